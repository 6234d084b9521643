//! Gates: how many instructions each kernel may take.
//!
//! Whether a loop vectorises, and whether its sums stay in registers, is up to the compiler, and a
//! change somewhere else can undo it without changing a bit. Instructions are counted by callgrind,
//! so a count is the same on a busy machine. `limits.txt` has the counts and the limits; `run`
//! compares, and `run --renew` writes the file anew.
//!
//! The floor is the least number of instructions, in theory: arithmetic, stores, and those loads that
//! AVX cannot fold into the arithmetic, all lanes full; no counters, no copies between registers, no
//! packing. Valgrind has no AVX-512, so that level has no gate.

use drmad::kernels::dispatch::Level;
use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::momentum::{Step, adjoint, step};
use drmad::kernels::quantise::{block, decode, encode, words};
use drmad::kernels::sparse::{Row, outer, product, shifted};
use drmad::kernels::{accumulate, activation, interpolate, nesterov, reduce};
use drmad::{Arithmetic, Fused, Plain};

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Vectors of 4, products and sums apart, operands in registers.
    Baseline,
    /// Vectors of 8, products and sums apart.
    Plain,
    /// Vectors of 8, multiply-adds.
    Fused,
}

impl Variant {
    /// Those that valgrind can run. Fused arithmetic without FMA is a call for each number: no gate.
    pub const ALL: [Variant; 3] = [Variant::Baseline, Variant::Plain, Variant::Fused];

    /// Its name in `limits.txt`.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Baseline => "baseline_plain",
            Variant::Plain => "avx2_plain",
            Variant::Fused => "avx2_fused",
        }
    }

    /// The level to force.
    pub fn level(self) -> Level {
        match self {
            Variant::Baseline => Level::Baseline,
            _ => Level::Avx2,
        }
    }

    /// The kernels as they are compiled for it.
    pub fn kernels(self) -> Vec<Kernel> {
        match self {
            Variant::Fused => kernels::<Fused>(),
            _ => kernels::<Plain>(),
        }
    }

    fn width(self) -> usize {
        match self {
            Variant::Baseline => 4,
            _ => 8,
        }
    }
}

/// Instructions for a vector, in the order of [`Variant::ALL`].
type Floor = [usize; 3];

/// The most instructions that a kernel may take, by `limits.txt`.
///
/// # Panics
/// Where it has no such line.
pub fn limit(kernel: &str, variant: Variant) -> u64 {
    let mut lines = include_str!("../limits.txt").lines();
    let found = lines.find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [k, v, _, limit, ..] if k == kernel && v == variant.name() => limit.parse().ok(),
            _ => None,
        }
    });
    found.unwrap_or_else(|| panic!("limits.txt lacks {kernel} on {}", variant.name()))
}

/// How the vectors of a kernel lie.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One after another.
    Flat,
    /// In rows of so many numbers, each with so many instructions of its own.
    Rows(usize, Floor),
}

/// A kernel with its buffers.
pub struct Kernel {
    /// Its name in `limits.txt`.
    pub name: &'static str,
    /// Multiply-adds of a product, numbers that go through another kernel.
    pub units: usize,
    shape: Shape,
    vector: Floor,
    /// Runs it once.
    pub run: Box<dyn FnMut()>,
}

impl Kernel {
    /// The floor for a unit.
    pub fn floor(&self, variant: Variant) -> f64 {
        let (at, width) = (variant as usize, variant.width());
        match self.shape {
            Shape::Flat => self.vector[at] as f64 / width as f64,
            Shape::Rows(columns, row) => {
                let row = columns.div_ceil(width) * self.vector[at] + row[at];
                row as f64 / columns as f64
            }
        }
    }
}

/// Weights of 784-50-50-50-10.
const P: usize = 44_860;
/// Units of a layer, numbers in a row of its weights.
const UNITS: usize = 50;

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect()
}

/// The terms of a row of a product: a multiply-add that reads `b`, and one broadcast of `a`. SSE2 loads
/// `b`, and broadcasts in two instructions.
const TERMS: (Floor, Floor) = ([3, 2, 1], [2, 1, 1]);

fn kernels<A: Arithmetic + 'static>() -> Vec<Kernel> {
    let mut all = vec![];
    products::<A>(&mut all);
    sparse_products::<A>(&mut all);
    vectors::<A>(&mut all);
    rows::<A>(&mut all);
    functions::<A>(&mut all);
    all
}

fn products<A: Arithmetic + 'static>(all: &mut Vec<Kernel>) {
    for (name, form, [rows, inner, columns]) in [
        ("matmul_nn_50x784x50", Form::Nn, [50, 784, 50]),
        ("matmul_tn_784x50x50", Form::Tn, [784, 50, 50]),
        ("matmul_nn_50x50x50", Form::Nn, [50, 50, 50]),
        ("matmul_tn_50x50x50", Form::Tn, [50, 50, 50]),
        ("matmul_nt_50x50x50", Form::Nt, [50, 50, 50]),
        ("matmul_nn_50x50x10", Form::Nn, [50, 50, 10]),
        ("matmul_tn_50x50x10", Form::Tn, [50, 50, 10]),
        ("matmul_nt_50x10x50", Form::Nt, [50, 10, 50]),
    ] {
        let product = MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate: true,
        };
        let (a, b) = (numbers(rows * inner), numbers(inner * columns));
        let (mut c, mut packed) = (numbers(rows * columns), numbers(product.required_len()));
        all.push(Kernel {
            name,
            units: rows * inner * columns,
            shape: Shape::Rows(columns, TERMS.1),
            vector: TERMS.0,
            run: Box::new(move || product.run::<A, _>(&a, &b, &mut c, &mut packed).unwrap()),
        });
    }
}

/// The first layer's products on 50 images of 150 lit pixels in runs of six.
fn sparse_products<A: Arithmetic + 'static>(all: &mut Vec<Kernel>) {
    const LIT: usize = 150;
    let indices: Vec<u16> = (0..50 * LIT)
        .map(|i| (31 * (i % LIT / 6) + i % LIT % 6 + i / LIT % 3) as u16)
        .collect();
    let values = numbers(50 * LIT);
    fn images<'a>(i: &'a [u16], v: &'a [f32]) -> impl Iterator<Item = Row<'a, f32>> {
        let rows = i.chunks_exact(LIT).zip(v.chunks_exact(LIT));
        rows.map(|(indices, values)| Row { indices, values })
    }
    let w = numbers(784 * UNITS);
    let d = numbers(50 * UNITS);
    let mut push = |name, units, (vector, row), run| {
        all.push(Kernel {
            name,
            units,
            shape: Shape::Rows(UNITS, row),
            vector,
            run,
        });
    };
    let (i, v, weights, mut y) = (indices.clone(), values.clone(), w.clone(), d.clone());
    push(
        "sparse_product",
        50 * LIT * UNITS,
        TERMS,
        Box::new(move || {
            for (x, y) in images(&i, &v).zip(y.chunks_exact_mut(UNITS)) {
                product::<A, _>(x, &weights, y);
            }
        }),
    );
    let (dy, mut g) = (d.clone(), w.clone());
    push(
        "sparse_outer",
        50 * LIT * UNITS,
        ([5, 3, 3], [2, 1, 1]),
        Box::new(move || {
            for (x, d) in images(&indices, &values).zip(dy.chunks_exact(UNITS)) {
                outer::<A, _>(x, d, &mut g);
            }
        }),
    );
    let mut y = numbers(UNITS);
    push(
        "sparse_shifted",
        784 * UNITS,
        ([2, 1, 1], [0; 3]),
        Box::new(move || shifted::<A, _>(0.13, &w, &d[..UNITS], &mut y)),
    );
}

/// Two vectors to read, two to write.
type OnVectors = dyn FnMut([&[f32]; 2], [&mut [f32]; 2]);

/// Long vectors.
fn vectors<A: Arithmetic + 'static>(all: &mut Vec<Kernel>) {
    let by = Step {
        rate: 0.05f32,
        momentum: 0.95,
    };
    let mut push = |name, vector, mut run: Box<OnVectors>| {
        let (x, y, mut v, mut w) = (numbers(P), numbers(P), numbers(P), numbers(P));
        all.push(Kernel {
            name,
            units: P,
            shape: Shape::Flat,
            vector,
            run: Box::new(move || run([&x, &y], [&mut v, &mut w])),
        });
    };
    push(
        "momentum_step",
        [10, 7, 5],
        Box::new(move |[g, _], [v, w]| step::<A, _>(by, g, v, w)),
    );
    push(
        "momentum_adjoint",
        [8, 6, 6],
        Box::new(move |[d_w, _], [d_v, d_g]| adjoint::<A, _>(by, d_w, d_v, d_g)),
    );
    push(
        "nesterov_step",
        [12, 9, 7],
        Box::new(move |[g, _], [v, w]| nesterov::step::<A, _>(by, g, v, w)),
    );
    push(
        "interpolate_between",
        [6, 4, 3],
        Box::new(|[x, y], [_, out]| interpolate::between::<A, _>(3, 7, x, y, out)),
    );
    push(
        "interpolate_bend",
        [13, 9, 6],
        Box::new(|[x, y], [f, out]| {
            interpolate::bend::<A, _>([0.5, -0.25], 4, [x, y], [f, x], out)
        }),
    );
    push(
        "accumulate_add_scaled",
        [5, 3, 3],
        Box::new(|[x, _], [y, _]| accumulate::add_scaled::<A, _>(1e-9, x, y)),
    );
    push(
        "accumulate_scale",
        [3, 2, 2],
        Box::new(|[x, _], [y, _]| accumulate::scale(0.5, x, y)),
    );
    // Four rows.
    push(
        "accumulate_add_outer",
        [5, 3, 3],
        Box::new(|[x, _], [y, _]| {
            accumulate::add_outer::<A, _>(&[1e-9, 0.5, 0.25, 0.125], &x[..P / 4], y)
        }),
    );
    push(
        "accumulate_combine",
        [3, 2, 1],
        Box::new(|[x, _], [y, _]| {
            accumulate::combine::<A, _>(&[1e-9, 0.5, 0.25, 0.125], x, &mut y[..P / 4])
        }),
    );
    push(
        "reduce_dot",
        [4, 3, 2],
        Box::new(|[x, y], [out, _]| out[0] = reduce::dot::<A, _>(x, y)),
    );
    push(
        "reduce_sum",
        [2, 1, 1],
        Box::new(|[x, _], [out, _]| out[0] = reduce::sum(x)),
    );
    push(
        "reduce_all_finite",
        [3, 2, 2],
        Box::new(|[x, _], [out, _]| out[0] = f32::from(reduce::all_finite(x))),
    );
}

/// A matrix to read, one to write, and a number a row.
type OnRows = dyn FnMut(&[f32], &mut [f32], &mut [f32]);

/// The first layer's weights, a row a pixel.
fn rows<A: Arithmetic + 'static>(all: &mut Vec<Kernel>) {
    let mut push = |name, vector, row, mut run: Box<OnRows>| {
        let (x, mut y, mut r) = (numbers(784 * UNITS), numbers(784 * UNITS), numbers(784));
        all.push(Kernel {
            name,
            units: 784 * UNITS,
            shape: Shape::Rows(UNITS, row),
            vector,
            run: Box::new(move || run(&x, &mut y, &mut r)),
        });
    };
    push(
        "accumulate_scale_rows",
        [3, 2, 2],
        [2, 1, 1],
        Box::new(|x, y, r| accumulate::scale_rows(UNITS, r, x, y)),
    );
    push(
        "accumulate_add_scaled_rows",
        [5, 3, 3],
        [2, 1, 1],
        Box::new(|x, y, r| accumulate::add_scaled_rows::<A, _>(UNITS, r, x, y)),
    );
    // 32 lanes are folded to one number and that added to the result: 13 instructions, with AVX 11. The
    // first terms need no addition.
    push(
        "accumulate_add_row_dots",
        [4, 3, 2],
        [5, 7, 11],
        Box::new(|x, y, r| accumulate::add_row_dots::<A, _>(UNITS, x, y, r)),
    );
    push(
        "accumulate_add_row_sums",
        [2, 1, 1],
        [5, 11, 11],
        Box::new(|x, _, r| accumulate::add_row_sums(UNITS, x, r)),
    );
    push(
        "accumulate_add_rows",
        [2, 1, 1],
        [0; 3],
        Box::new(|x, _, r| accumulate::add_rows(x, &mut r[..UNITS])),
    );
    push(
        "accumulate_add_to_rows",
        [3, 2, 3],
        [0; 3],
        Box::new(|_, y, r| accumulate::add_to_rows::<A, _>(1e-9, &r[..UNITS], y)),
    );
}

/// Functions of each number, at a batch of all three layers' units; and the codes of paths.
fn functions<A: Arithmetic + 'static>(all: &mut Vec<Kernel>) {
    const N: usize = 7_500;
    const EXP: Floor = [32, 31, 23];
    let mut push = |name, units, vector, run| {
        all.push(Kernel {
            name,
            units,
            shape: Shape::Flat,
            vector,
            run,
        });
    };
    let mut x = numbers(N);
    push(
        "activation_tanh",
        N,
        [26, 25, 17],
        Box::new(move || activation::tanh::<A, _>(&mut x)),
    );
    let (y, mut d) = (numbers(N), numbers(N));
    push(
        "activation_tanh_adjoint",
        N,
        [6, 5, 4],
        Box::new(move || activation::tanh_adjoint::<A, _>(&y, &mut d)),
    );
    let (y, r_y, mut d, mut r_d) = (numbers(N), numbers(N), numbers(N), numbers(N));
    push(
        "activation_tanh_adjoint_r",
        N,
        [14, 12, 10],
        Box::new(move || activation::tanh_adjoint_r::<A, _>(&y, &r_y, &mut d, &mut r_d)),
    );
    let (x, mut y) = (numbers(N), numbers(N));
    push(
        "activation_exp",
        N,
        EXP,
        Box::new(move || activation::exp::<A, _>(&x, &mut y)),
    );
    // The greatest, less the greatest, the two sums, the quotient.
    let (mut z, mut p, mut log_sums) = (numbers(500), numbers(500), numbers(50));
    push(
        "activation_softmax",
        500,
        EXP.map(|exp| exp + 8),
        Box::new(move || activation::softmax::<A, _>(10, &mut z, &mut p, &mut log_sums)),
    );
    let (p, mut r) = (numbers(500), numbers(500));
    push(
        "activation_softmax_r",
        500,
        [9, 7, 6],
        Box::new(move || activation::softmax_r::<A, _>(10, &p, &mut r)),
    );
    const BLOCKS: usize = 50;
    let difference = numbers(BLOCKS * block(11));
    let mut code = vec![0; BLOCKS * words(11)];
    push(
        "quantise_encode",
        BLOCKS * block(11),
        [10; 3],
        Box::new(move || {
            let codes = code.chunks_exact_mut(words(11));
            for (x, code) in difference.chunks_exact(block(11)).zip(codes) {
                encode::<11>(x, code);
            }
        }),
    );
    let mut code = vec![0; words(11)];
    encode::<11>(&numbers(block(11)), &mut code);
    let mut y = numbers(BLOCKS * block(11));
    push(
        "quantise_decode",
        BLOCKS * block(11),
        [9, 9, 8],
        Box::new(move || {
            for y in y.chunks_exact_mut(block(11)) {
                decode::<11, A, _>(&code, y);
            }
        }),
    );
}
