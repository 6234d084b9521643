//! The golden vectors: for each kernel and for some whole runs what goes in and what comes out, as words
//! in hex, one file a case. `docs/porting.md` describes the files and what each name means.
//!
//! Inputs are noise and the places where kernels branch. Each case is computed in both arithmetics; what
//! comes out the same in both is written once.

use std::collections::BTreeMap;

use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::kernels::matmul::{Form, MatMul, reference};
use drmad::kernels::momentum::{Moving, Step};
use drmad::kernels::reversible::{Bits, Fixed, Ratio, Turn};
use drmad::kernels::sparse::{self, Row};
use drmad::kernels::{
    accumulate, activation, adam, interpolate, math, momentum, nesterov, quantise, reduce,
    reversible,
};
use drmad::models::{BLOCK, Examples, Features, Mlp, Pixels, SparseImages, SparsePixels};
use drmad::objective::Objective;
use drmad::path::{Grid, Hats, Line, Path, Quantised, Reversible, Tape};
use drmad::random::{self, Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L1, L2, Scaled, Strength};
use drmad::{Arithmetic, Dual, Fused, Plain};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::common::{Data, Noise, all_of, hypergradient};

/// A number as words of 32 bits, the high one first.
trait Words: Copy {
    /// Its name in the files.
    const TYPE: &'static str;
    fn words(self) -> [Option<u32>; 2];
}

macro_rules! words {
    ($($type:ty: $name:literal, $x:ident => $words:expr;)*) => {
        $(impl Words for $type {
            const TYPE: &'static str = $name;
            fn words(self) -> [Option<u32>; 2] {
                let $x = self;
                $words
            }
        })*
    };
}

fn two(x: u64) -> [Option<u32>; 2] {
    [Some((x >> 32) as u32), Some(x as u32)]
}

words! {
    f32: "f32", x => {
        assert!(!x.is_nan(), "which NaN is not promised");
        [Some(x.to_bits()), None]
    };
    i32: "i32", x => [Some(x as u32), None];
    u32: "u32", x => [Some(x), None];
    u8: "u32", x => [Some(x.into()), None];
    u16: "u32", x => [Some(x.into()), None];
    bool: "u32", x => [Some(x.into()), None];
    usize: "u32", x => [Some(u32::try_from(x).unwrap()), None];
    u64: "u64", x => two(x);
    f64: "f64", x => two(x.to_bits());
}

fn hex<T: Words>(x: &[T]) -> String {
    let words = x.iter().flat_map(|x| x.words()).flatten();
    words
        .map(|word| format!("{word:08x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A name and the words it stands for.
type Entry = (String, String);

/// One file: what goes in, and what comes out in each arithmetic.
#[derive(Default)]
struct Vector {
    kernel: String,
    inputs: Vec<Entry>,
    outputs: BTreeMap<&'static str, Vec<Entry>>,
}

impl Vector {
    fn text(&self) -> String {
        let [plain, fused] = [Plain::NAME, Fused::NAME].map(|name| &self.outputs[name]);
        assert_eq!(plain.len(), fused.len());
        assert!(!plain.is_empty());
        let mut entries = vec![("kernel".to_string(), self.kernel.clone())];
        let mut put = |role: &str, (name, words): &Entry| {
            entries.push((format!("{role} {name}"), words.clone()));
        };
        for input in &self.inputs {
            put("in", input);
        }
        for (plain, fused) in plain.iter().zip(fused) {
            assert_eq!(plain.0, fused.0);
            if plain.1 == fused.1 {
                put("out", plain);
            } else {
                put(Plain::NAME, plain);
                put(Fused::NAME, fused);
            }
        }
        let lines = entries
            .iter()
            .map(|(key, value)| format!("\"{key}\": \"{value}\""));
        format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"))
    }
}

/// The vectors by the names of their files, while one arithmetic adds its results.
struct Files {
    arithmetic: &'static str,
    vectors: BTreeMap<String, Vector>,
}

impl Files {
    /// The vector of a kernel, in a file of its name or `kernel-case`.
    fn at(&mut self, kernel: &str, case: &str) -> Case<'_> {
        let name = match case {
            "" => format!("{kernel}.json"),
            _ => format!("{kernel}-{case}.json"),
        };
        let vector = self.vectors.entry(name).or_default();
        vector.kernel = kernel.to_string();
        Case {
            arithmetic: self.arithmetic,
            vector,
            inputs: 0,
        }
    }
}

/// A vector that is being filled.
struct Case<'f> {
    arithmetic: &'static str,
    vector: &'f mut Vector,
    inputs: usize,
}

impl Case<'_> {
    /// An input, the same in each arithmetic.
    fn input<T: Words>(&mut self, name: &str, x: &[T]) -> &mut Self {
        let entry = (format!("{} {name}", T::TYPE), hex(x));
        match self.vector.inputs.get(self.inputs) {
            Some(known) => assert_eq!(*known, entry),
            None => self.vector.inputs.push(entry),
        }
        self.inputs += 1;
        self
    }

    fn scalar<T: Words>(&mut self, name: &str, x: T) -> &mut Self {
        self.input(name, &[x])
    }

    fn output<T: Words>(&mut self, name: &str, x: &[T]) -> &mut Self {
        let entry = (format!("{} {name}", T::TYPE), hex(x));
        let outputs = self.vector.outputs.entry(self.arithmetic).or_default();
        assert!(outputs.iter().all(|(known, _)| *known != entry.0));
        outputs.push(entry);
        self
    }
}

/// The scale of most noise. Noise itself is a multiple of 2^-23, whose sums would be exact in any order.
const ODD: f32 = 1.3;

/// More than two blocks of lanes, and a remainder for every vector width.
const N: usize = 83;

/// Of a sum over all numbers the rounding of one may not be seen; of few it is.
const LENGTHS: [(&str, usize); 6] = [
    ("", N),
    ("of_7", 7),
    ("of_5", 5),
    ("of_3", 3),
    ("of_2", 2),
    ("of_1", 1),
];

/// Columns of `N` numbers as rows: more than the lanes, the numbers, and fewer than the lanes.
const COLUMNS: [usize; 3] = [41, 1, 13];

const BY: Step<f32> = Step {
    rate: 0.3,
    momentum: 0.9,
};
const DUAL: Step<f32> = Step {
    rate: 0.7,
    momentum: -0.4,
};

fn dual(x: f32, dot: f32) -> Dual<f32> {
    Dual::new(x, dot)
}

fn dual_step() -> Step<Dual<f32>> {
    Step {
        rate: dual(BY.rate, DUAL.rate),
        momentum: dual(BY.momentum, DUAL.momentum),
    }
}

fn step_of<'c, 'f>(case: &'c mut Case<'f>) -> &'c mut Case<'f> {
    case.scalar("rate", BY.rate).scalar("momentum", BY.momentum)
}

fn dual_step_of<'c, 'f>(case: &'c mut Case<'f>) -> &'c mut Case<'f> {
    step_of(case)
        .scalar("rate_dot", DUAL.rate)
        .scalar("momentum_dot", DUAL.momentum)
}

fn heavy_ball<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(300);
    let (g, v, w) = (noise.f32s(N, ODD), noise.f32s(N, ODD), noise.f32s(N, 3.0));
    let [g_dot, v_dot, w_dot] = [(); 3].map(|()| noise.f32s(N, ODD));

    let (mut new_v, mut new_w) = (v.clone(), w.clone());
    momentum::step::<A, _>(BY, &g, &mut new_v, &mut new_w);
    step_of(&mut files.at("momentum_step", ""))
        .input("g", &g)
        .input("v", &v)
        .input("w", &w)
        .output("v", &new_v)
        .output("w", &new_w);

    let (mut old_v, mut old_w) = (v.clone(), w.clone());
    momentum::undo_weights::<A, _>(BY, &v, &mut old_w);
    momentum::undo_velocity::<A, _>(BY, &g, &mut old_v);
    step_of(&mut files.at("momentum_undo", ""))
        .input("g", &g)
        .input("v", &v)
        .input("w", &w)
        .output("w", &old_w)
        .output("v", &old_v);

    // d_w, d_v: any two vectors.
    let (mut d_v, mut d_g) = (v_dot.clone(), vec![0.0; N]);
    momentum::adjoint::<A, _>(BY, &w_dot, &mut d_v, &mut d_g);
    step_of(&mut files.at("momentum_adjoint", ""))
        .input("d_w", &w_dot)
        .input("d_v", &v_dot)
        .output("d_v", &d_v)
        .output("d_g", &d_g);

    type Tangent = fn(Step<Dual<f32>>, [&[f32]; 2], Moving<'_, f32>, Moving<'_, f32>);
    for (kernel, tangent) in [
        ("momentum_tangent", momentum::tangent::<A, f32> as Tangent),
        ("nesterov_tangent", nesterov::tangent::<A, f32>),
    ] {
        let (mut new_v_dot, mut new_w_dot) = (v_dot.clone(), w_dot.clone());
        let moving_v = Moving {
            x: &v,
            dot: &mut new_v_dot,
        };
        let moving_w = Moving {
            x: &w,
            dot: &mut new_w_dot,
        };
        tangent(dual_step(), [&g, &g_dot], moving_v, moving_w);
        dual_step_of(&mut files.at(kernel, ""))
            .input("g", &g)
            .input("g_dot", &g_dot)
            .input("v", &v)
            .input("v_dot", &v_dot)
            .input("w", &w)
            .input("w_dot", &w_dot)
            .output("v_dot", &new_v_dot)
            .output("w_dot", &new_w_dot);
    }

    let (mut new_v, mut new_w) = (v.clone(), w.clone());
    nesterov::step::<A, _>(BY, &g, &mut new_v, &mut new_w);
    step_of(&mut files.at("nesterov_step", ""))
        .input("g", &g)
        .input("v", &v)
        .input("w", &w)
        .output("v", &new_v)
        .output("w", &new_w);
    for (case, n) in LENGTHS {
        let (g, v, d_w) = (&g[..n], &v[..n], &w_dot[..n]);
        let (mut d_v, mut d_g) = (v_dot[..n].to_vec(), vec![0.0; n]);
        let mut case = files.at("nesterov_adjoint", case);
        step_of(&mut case)
            .input("g", g)
            .input("v", v)
            .input("d_w", d_w)
            .input("d_v", &d_v);
        let both = nesterov::by_step::<A, _>(BY, v, g, d_w, &d_v);
        nesterov::adjoint::<A, _>(BY, d_w, &mut d_v, &mut d_g);
        case.output("d_rate", &[both.rate])
            .output("d_momentum", &[both.momentum])
            .output("d_v", &d_v)
            .output("d_g", &d_g);
    }
}

/// The constants of Adam's step 4: `b1`, `b2`, `eps`, `decay`.
const ADAM: [f32; 4] = [0.9, 0.99, 1e-4, 0.7];

fn adam_of<'c, 'f>(case: &'c mut Case<'f>) -> &'c mut Case<'f> {
    let [b1, b2, eps, decay] = ADAM;
    case.scalar("t", 4usize)
        .scalar("rate", BY.rate)
        .scalar("b1", b1)
        .scalar("b2", b2)
        .scalar("eps", eps)
        .scalar("decay", decay)
}

fn adams<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(301);
    let [mut g, m, w] = [(); 3].map(|()| noise.f32s(N, ODD));
    let mut n: Vec<f32> = noise.f32s(N, ODD).iter().map(|n| n * n).collect();
    // A second moment of 0, and one below 0, which a path may recall.
    // They move far: last, so that short sums are without them.
    (g[N - 2], n[N - 2], g[N - 1], n[N - 1]) = (0.0, 0.0, 0.01, -0.5);
    let [d_w, d_m, d_n] = [(); 3].map(|()| noise.f32s(N, ODD));
    let [b1, b2, eps, decay] = ADAM;
    let by = adam::Step::new(4, BY.rate, b1, b2, eps, decay).unwrap();

    let (mut new_m, mut new_n, mut new_w) = (m.clone(), n.clone(), w.clone());
    adam::step::<A, _>(by, &g, &mut new_m, &mut new_n, &mut new_w);
    adam_of(&mut files.at("adam_step", ""))
        .input("g", &g)
        .input("m", &m)
        .input("n", &n)
        .input("w", &w)
        .output("m", &new_m)
        .output("n", &new_n)
        .output("w", &new_w);

    for (case, p) in LENGTHS {
        let (g, m, n, w) = (&g[..p], &m[..p], &n[..p], &w[..p]);
        let [mut d_w, mut d_m, mut d_n] = [&d_w, &d_m, &d_n].map(|d| d[..p].to_vec());
        let mut d_g = vec![0.0; p];
        let mut case = files.at("adam_adjoint", case);
        adam_of(&mut case)
            .input("g", g)
            .input("m", m)
            .input("n", n)
            .input("w", w)
            .input("d_w", &d_w)
            .input("d_m", &d_m)
            .input("d_n", &d_n);
        let before = adam::Before { g, m, n };
        let both = adam::by_step::<A, _>(by, before, w, &d_w, &d_m);
        adam::adjoint::<A, _>(by, before, &mut d_w, &mut d_m, &mut d_n, &mut d_g);
        case.output("d_rate", &[both.rate])
            .output("d_b1", &[both.momentum])
            .output("d_w", &d_w)
            .output("d_m", &d_m)
            .output("d_n", &d_n)
            .output("d_g", &d_g);
    }

    let [g_dot, w_dot, m_dot, n_dot] = [(); 4].map(|()| noise.f32s(N, ODD));
    let [rate_dot, b1_dot] = [DUAL.rate, DUAL.momentum];
    let by = adam::Step::new(
        4,
        dual(BY.rate, rate_dot),
        dual(b1, b1_dot),
        dual(b2, 0.0),
        dual(eps, 0.0),
        dual(decay, 0.0),
    )
    .unwrap();
    let (mut new_m, mut new_n, mut new_w) = (m_dot.clone(), n_dot.clone(), w_dot.clone());
    adam::tangent::<A, _>(
        by,
        [&g, &g_dot],
        Moving {
            x: &m,
            dot: &mut new_m,
        },
        Moving {
            x: &n,
            dot: &mut new_n,
        },
        Moving {
            x: &w,
            dot: &mut new_w,
        },
    );
    adam_of(&mut files.at("adam_tangent", ""))
        .scalar("rate_dot", rate_dot)
        .scalar("b1_dot", b1_dot)
        .input("g", &g)
        .input("g_dot", &g_dot)
        .input("m", &m)
        .input("m_dot", &m_dot)
        .input("n", &n)
        .input("n_dot", &n_dot)
        .input("w", &w)
        .input("w_dot", &w_dot)
        .output("m_dot", &new_m)
        .output("n_dot", &new_n)
        .output("w_dot", &new_w);
}

fn between<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(302);
    let [mut x0, x1, f0, f1, y] = [(); 5].map(|()| noise.f32s(N, ODD));
    x0[0] = -0.0;
    for i in [0, 3, 7, 9] {
        let mut out = vec![0.0; N];
        interpolate::between::<A, _>(i, 7, &x0, &x1, &mut out);
        let (a, b) = interpolate::weights::<f32>(i, 7);
        files
            .at("between", &format!("{i}_of_7"))
            .scalar("i", i)
            .scalar("n", 7usize)
            .input("x0", &x0)
            .input("x1", &x1)
            .output("weights", &[a, b])
            .output("y", &out);
    }
    let (g, mut out) = ([0.123, -0.456], y.clone());
    interpolate::bend::<A, _>(g, 7, [&x0, &x1], [&f0, &f1], &mut out);
    files
        .at("bend", "")
        .input("g", &g)
        .scalar("n", 7usize)
        .input("x0", &x0)
        .input("x1", &x1)
        .input("f0", &f0)
        .input("f1", &f1)
        .input("y", &y)
        .output("y", &out);
}

fn scaled_sums<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(303);
    let (x, y) = (noise.f32s(N, ODD), noise.f32s(N, 3.0));
    let (a, few) = (0.3f32, noise.f32s(3, ODD));
    let mut out = y.clone();
    accumulate::add_scaled::<A, _>(a, &x, &mut out);
    let mut scaled = vec![0.0; N];
    accumulate::scale(a, &x, &mut scaled);
    files
        .at("add_scaled", "")
        .scalar("a", a)
        .input("x", &x)
        .input("y", &y)
        .output("y", &out)
        .output("scaled", &scaled);

    let rows = noise.f32s(3 * N, ODD);
    let mut outer = rows.clone();
    accumulate::add_outer::<A, _>(&few, &x, &mut outer);
    let mut combined = vec![f32::NAN; N];
    accumulate::combine::<A, _>(&few, &rows, &mut combined);
    let mut to_rows = rows.clone();
    accumulate::add_to_rows::<A, _>(a, &x, &mut to_rows);
    // Rows of more than four, which a fast kernel adds by fours.
    let mut sums = few.clone();
    accumulate::add_rows(&x[..81], &mut sums);
    let mut repeated = vec![0.0; 11];
    accumulate::repeat(&few, &mut repeated);
    files
        .at("rows", "")
        .scalar("alpha", a)
        .input("a", &few)
        .input("x", &x)
        .input("y", &rows)
        .output("add_outer", &outer)
        .output("combine", &combined)
        .output("add_to_rows", &to_rows)
        .output("add_rows", &sums)
        .output("repeat", &repeated);
}

fn row_sums<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(304);
    let [x, y, d, h_u] = [(); 4].map(|()| noise.f32s(N, ODD));
    for columns in COLUMNS {
        let rows = N / columns;
        let (a, h) = (noise.f32s(rows, ODD), noise.f32s(rows, ODD));
        let (x, y) = (&x[..rows * columns], &y[..rows * columns]);
        let (d, h_u) = (&d[..rows * columns], &h_u[..rows * columns]);
        let mut scaled = vec![0.0; y.len()];
        accumulate::scale_rows(columns, &a, x, &mut scaled);
        let mut in_place = x.to_vec();
        accumulate::scale_rows_in_place(columns, &a, &mut in_place);
        assert_eq!(in_place, scaled);
        let mut added = y.to_vec();
        accumulate::add_scaled_rows::<A, _>(columns, &a, x, &mut added);
        let mut dots = h.clone();
        accumulate::add_row_dots::<A, _>(columns, x, y, &mut dots);
        let mut sums = h.clone();
        accumulate::add_row_sums(columns, x, &mut sums);
        let (mut h_d, mut m) = (y.to_vec(), h.clone());
        let factors = accumulate::Factors { d, g: y, z: x, h_u };
        accumulate::add_scaled_products::<A, _>(columns, &a, factors, &mut h_d, &mut m);
        files
            .at("by_rows", &format!("{rows}x{columns}"))
            .scalar("columns", columns)
            .input("a", &a)
            .input("h", &h)
            .input("x", x)
            .input("y", y)
            .input("d", d)
            .input("h_u", h_u)
            .output("scale_rows", &scaled)
            .output("add_scaled_rows", &added)
            .output("add_row_dots", &dots)
            .output("add_row_sums", &sums)
            .output("products_h_d", &h_d)
            .output("products_m", &m);
    }
}

fn sums<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(305);
    let (x, mut y) = (noise.f32s(N, ODD), noise.f32s(N, 3.0));
    for n in [0, 7, 33, N] {
        let (x, y) = (&x[..n], &y[..n]);
        files
            .at("reduce", &format!("of_{n}"))
            .input("x", x)
            .input("y", y)
            .output("sum", &[reduce::sum(x)])
            .output("dot", &[reduce::dot::<A, _>(x, y)])
            .output("norm", &[reduce::norm(x)])
            .output("cosine", &[reduce::cosine(x, y)])
            .output("all_finite", &[reduce::all_finite(y)]);
    }
    y[70] = f32::NEG_INFINITY;
    files
        .at("all_finite", "")
        .input("x", &y)
        .output("all_finite", &[reduce::all_finite(&y)]);
}

fn products<A: Arithmetic>(files: &mut Files) {
    for (name, form) in [("nn", Form::Nn), ("tn", Form::Tn), ("nt", Form::Nt)] {
        for (rows, inner, columns) in [(7, 13, 61), (3, 40, 2)] {
            let mut noise = Noise(306);
            let (a, b) = (
                noise.f32s(rows * inner, ODD),
                noise.f32s(inner * columns, ODD),
            );
            let c = noise.f32s(rows * columns, ODD);
            let mut case = files.at("matmul", &format!("{name}_{rows}x{inner}x{columns}"));
            case.scalar("form", form as u8)
                .scalar("rows", rows)
                .scalar("inner", inner)
                .scalar("columns", columns)
                .input("a", &a)
                .input("b", &b)
                .input("c", &c);
            for (name, accumulate) in [("accumulated", true), ("product", false)] {
                let product = MatMul {
                    form,
                    rows,
                    inner,
                    columns,
                    accumulate,
                };
                let mut out = c.clone();
                let mut packed = vec![0.0; product.required_len()];
                product.run::<A, _>(&a, &b, &mut out, &mut packed).unwrap();
                let mut again = c.clone();
                reference::<A, _>(&product, &a, &b, &mut again).unwrap();
                assert_eq!(out, again);
                case.output(name, &out);
            }
        }
    }

    let mut noise = Noise(307);
    let (w, y, bias) = (
        noise.f32s(9 * 21, ODD),
        noise.f32s(21, ODD),
        noise.f32s(21, ODD),
    );
    let (indices, values) = ([0u16, 2, 3, 7, 8], noise.f32s(5, ODD));
    let row = Row {
        indices: &indices,
        values: &values,
    };
    let mut start = vec![0.0; 21];
    sparse::shifted::<A, _>(0.13, &w, &bias, &mut start);
    let (mut product, mut outer) = (y.clone(), w.clone());
    sparse::product::<A, _>(row, &w, &mut product);
    sparse::outer::<A, _>(row, &y, &mut outer);
    files
        .at("sparse", "")
        .scalar("mean", 0.13f32)
        .input("bias", &bias)
        .input("indices", &indices)
        .input("values", &values)
        .input("w", &w)
        .input("y", &y)
        .output("shifted", &start)
        .output("product", &product)
        .output("outer", &outer);
}

fn functions<A: Arithmetic>(files: &mut Files) {
    // The whole range of exponents and signs, then where the functions bend and end.
    let mut x: Vec<f32> = (0..256u32)
        .map(|k| f32::from_bits(k << 24 | 0x005a_5a5a))
        .collect();
    x.extend((-200..=200).map(|i| i as f32 * 0.52));
    x.extend((-50..=50).map(|i| i as f32 * 0.031));
    x.extend([
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
    ]);
    x.extend([f32::NEG_INFINITY, 1.0, 2.0, 88.722_84, -103.972_08, 1e-45]);
    // Where exp goes from one power of two to the next, and where what is left to it is least.
    let mut powers = x.clone();
    powers.extend((-300..=256).map(|k| k as f32 * 0.5 * std::f32::consts::LN_2));
    let mut both = vec![0.0; powers.len()];
    activation::exp::<A, _>(&powers, &mut both);
    let exp: Vec<f32> = powers.iter().map(|x| math::exp::<A>(*x)).collect();
    assert_eq!(exp, both);
    files.at("exp", "").input("x", &powers).output("y", &exp);
    let mut both = x.clone();
    activation::tanh::<A, _>(&mut both);
    let tanh: Vec<f32> = x.iter().map(|x| math::tanh::<A>(*x)).collect();
    assert_eq!(tanh, both);
    files.at("tanh", "").input("x", &x).output("y", &tanh);
    let mut x: Vec<f32> = x.iter().map(|x| x.abs()).collect();
    x.extend((0..200).map(|k| f32::from_bits(1 + 41_000 * k)));
    let ln: Vec<f32> = x.iter().map(|x| math::ln::<A>(*x)).collect();
    files.at("ln", "").input("x", &x).output("y", &ln);

    let mut q: Vec<f32> = (-100..=100).map(|i| i as f32 / 201.0).collect();
    q.extend([0.5, -0.5, 0.499_999_97, -0.499_999_97, 0.0, -0.0, 1e-7]);
    let probit: Vec<f32> = q.iter().map(|q| math::probit::<A>(*q)).collect();
    files.at("probit", "").input("q", &q).output("y", &probit);

    // A last bit of a coefficient is seen in few results: here are a million of each.
    for (case, function, first, scale) in [
        (
            "exp",
            math::exp::<A> as fn(f32) -> f32,
            1 - (1 << 20),
            1.0 / 16_384.0,
        ),
        ("ln", math::ln::<A>, 1, 1.0 / 32_768.0),
        ("tanh", math::tanh::<A>, 1 - (1 << 20), 1.0 / 131_072.0),
        (
            "probit",
            math::probit::<A>,
            1 - (1 << 20),
            1.0 / 2_097_152.0,
        ),
    ] {
        let count = 1 << 20;
        let sum = (0..count).fold(0u64, |sum, i| {
            let y = function((first + 2 * i) as f32 * scale);
            let word = u64::from(y.to_bits());
            sum.wrapping_add((2 * i as u64 + 1).wrapping_mul(word))
        });
        files
            .at(&format!("many_{case}"), "")
            .scalar("first", first)
            .scalar("scale", scale)
            .scalar("count", count as u32)
            .output("sum", &[sum]);
    }

    let (x, n) = (
        Noise(308).f32s(12, 1.1),
        [0u32, 1, 2, 3, 4, 5, 7, 8, 15, 100, 1000, u32::MAX],
    );
    let power: Vec<f32> = x.iter().zip(n).map(|(x, n)| math::power(*x, n)).collect();
    files
        .at("power", "")
        .input("x", &x)
        .input("n", &n)
        .output("y", &power);
}

fn activations<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(309);
    let (y, d, r_y, r_d) = (
        noise.f32s(N, ODD),
        noise.f32s(N, ODD),
        noise.f32s(N, ODD),
        noise.f32s(N, ODD),
    );
    let (mut alone, mut beside, mut r) = (d.clone(), d.clone(), r_d.clone());
    activation::tanh_adjoint::<A, _>(&y, &mut alone);
    activation::tanh_adjoint_r::<A, _>(&y, &r_y, &mut beside, &mut r);
    assert_eq!(alone, beside);
    files
        .at("tanh_adjoint", "")
        .input("y", &y)
        .input("r_y", &r_y)
        .input("d", &d)
        .input("r_d", &r_d)
        .output("d", &alone)
        .output("r_d", &r);

    let (mut z, r) = (noise.f32s(7 * 11, 9.0), noise.f32s(10 * 11, ODD));
    // One class nearly certain, two equal ones that are large, and all equal.
    z.extend([
        10.0, 0.0, -0.5, -1.0, -2.0, -3.0, -5.0, -8.0, -13.0, -21.0, -300.0,
    ]);
    z.extend([-1e8, 1e8, 0.0, 1e8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e7]);
    z.extend([-1e30; 11]);
    let (mut p, mut r) = (vec![0.0; z.len()], r);
    let mut case = files.at("softmax", "");
    case.scalar("classes", 11usize)
        .input("z", &z)
        .input("r", &r);
    let mut log_sums = vec![0.0; 10];
    activation::softmax::<A, _>(11, &mut z, &mut p, &mut log_sums);
    activation::softmax_r::<A, _>(11, &p, &mut r);
    case.output("z", &z)
        .output("p", &p)
        .output("log_sums", &log_sums)
        .output("r", &r);
}

fn levels<const LEVELS: u32, A: Arithmetic>(files: &mut Files) {
    let block = quantise::block(LEVELS);
    // A whole block, one that is not full, one of zeros, and one too small to have a scale.
    let noise = Noise(310).f32s(block, 0.1);
    let tiny: Vec<f32> = noise.iter().map(|x| x * 1e-38).collect();
    // The greatest step that is no scale, and the least that is one.
    let m = (LEVELS / 2) as f32;
    let [none, least] = [0x0080_0000, 0x0080_0001].map(f32::from_bits);
    for (case, x) in [
        ("", &noise[..]),
        ("short", &noise[..block - 9]),
        ("zeros", &[0.0; 10]),
        ("tiny", &tiny),
        ("none", &[none * m, -none, 0.0]),
        ("least", &[least * m, -least, 0.0]),
    ] {
        if !(case.is_empty() || LEVELS == 11 || LEVELS == 3) {
            continue;
        }
        let mut code = vec![0; quantise::words(LEVELS)];
        quantise::encode::<LEVELS>(x, &mut code);
        let y = Noise(311).f32s(x.len(), ODD);
        let mut decoded = y.clone();
        quantise::decode::<LEVELS, A, _>(&code, &mut decoded);
        let dash = if case.is_empty() { "" } else { "_" };
        files
            .at("quantise", &format!("{LEVELS}_levels{dash}{case}"))
            .scalar("levels", LEVELS)
            .input("x", x)
            .input("y", &y)
            .output("code", &code)
            .output("y", &decoded);
    }
}

fn fixed_point(files: &mut Files) {
    let mut momenta = vec![0.5, 0.9, 0.95, 0.875, 0.8, 0.333, 0.99, 0.5002];
    momenta.extend([1.0 / 1024.0, 1023.0 / 1024.0]);
    momenta.extend(Noise(312).f32s(20, 0.49).iter().map(|x| 0.5 + x));
    let ratios: Vec<Ratio> = momenta
        .iter()
        .map(|momentum| Ratio::nearest(f64::from(*momentum)).unwrap())
        .collect();
    let bounds: Vec<u32> = (0..30).map(|i| i * 69_905 + i % 7).collect();
    let grown: Vec<u32> = ratios
        .iter()
        .zip(&bounds)
        .map(|(r, b)| r.grow(*b))
        .collect();
    files
        .at("ratio", "")
        .input("momentum", &momenta)
        .input("bound", &bounds)
        .output("n", &ratios.iter().map(|r| r.n()).collect::<Vec<_>>())
        .output("d", &ratios.iter().map(|r| r.d()).collect::<Vec<_>>())
        .output("grown", &grown);

    for (case, momentum, rate, bits) in [
        ("", 0.9f32, 0.3f32, Reversible::BITS),
        (
            "coarse",
            0.8,
            -0.7,
            Bits {
                weight: 12,
                velocity: 10,
            },
        ),
        ("still", 0.95, 0.0, Reversible::BITS),
    ] {
        let turn = Turn::new(
            Ratio::nearest(f64::from(momentum)).unwrap(),
            f64::from(rate),
            bits,
        )
        .unwrap();
        let mut noise = Noise(313);
        let (w, v, g) = (noise.f32s(N, ODD), noise.f32s(N, 0.3), noise.f32s(N, ODD));
        let x: Vec<u32> = (0..N).map(|_| (noise.word() >> 44) as u32).collect();
        let mut fixed_w = vec![0; N];
        reversible::fix(bits, &w, &mut fixed_w).unwrap();
        let mut fixed_v: Vec<i32> = v
            .iter()
            .map(|v| (f64::from(*v) / bits.velocity_unit()) as i32)
            .collect();
        let mut case = files.at("reversible_step", case);
        case.scalar("momentum", momentum)
            .scalar("rate", rate)
            .scalar("weight_bits", bits.weight)
            .scalar("velocity_bits", bits.velocity)
            .input("start", &w)
            .input("fixed_v", &fixed_v)
            .input("x", &x)
            .input("g", &g)
            .output("start", &fixed_w);
        let mut spare = x.clone();
        let (mut new_w, mut new_v) = (vec![0.0f32; N], vec![0.0f32; N]);
        let fixed = Fixed {
            w: &mut fixed_w,
            v: &mut fixed_v,
            x: &mut spare,
        };
        let before = (fixed.w.to_vec(), fixed.v.to_vec(), fixed.x.to_vec());
        reversible::step(&turn, &g, fixed, &mut new_w, &mut new_v).unwrap();
        case.output("fixed_w", &fixed_w)
            .output("fixed_v", &fixed_v)
            .output("x", &spare)
            .output("w", &new_w)
            .output("v", &new_v);
        reversible::undo_move(&turn, &fixed_v, &mut fixed_w, &mut new_w);
        reversible::undo_kick(&turn, &g, &mut fixed_v, &mut spare);
        assert_eq!(before, (fixed_w.clone(), fixed_v.clone(), spare.clone()));
        reversible::view(bits.weight_unit(), &fixed_w, &mut new_w);
        case.output("undone_w", &new_w);
        let mut bytes = vec![0; N];
        reversible::spill(&mut spare, &mut bytes);
        case.output("spilled_x", &spare)
            .output("spilled_bytes", &bytes);
        reversible::refill(&mut spare, &bytes);
        assert_eq!(spare, x);
    }
}

fn random_numbers(files: &mut Files) {
    for (case, seed, stream, position) in [
        ("", 0u64, 0u64, 0u64),
        ("later", 0x0123_4567_89ab_cdef, 2, (1 << 36) - 3),
    ] {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        generator.set_word_pos(u128::from(position));
        let words: Vec<u32> = (0..40).map(|_| generator.next_u32()).collect();
        files
            .at("chacha8", case)
            .scalar("seed", seed)
            .scalar("stream", stream)
            .scalar("position", position)
            .scalar("count", words.len())
            .output("words", &words);
    }

    for (case, seed, examples, size, steps) in [
        ("", 1, 100, 16, 15),
        ("small", 2, 6, 4, 8),
        ("one", 3, 1, 3, 2),
    ] {
        let batches = Batches {
            seed,
            examples,
            size,
        };
        files
            .at("batches", case)
            .scalar("seed", seed)
            .scalar("examples", examples)
            .scalar("size", size)
            .scalar("steps", steps)
            .output("batches", &all_batches(&batches, steps));
    }

    for (case, seed, counters) in [
        ("", 1u64, &[20u64, 3][..]),
        ("wide", u64::MAX, &[1 << 32, u64::MAX, 0, 1 << 54]),
    ] {
        files
            .at("mix", case)
            .scalar("seed", seed)
            .input("counters", counters)
            .output("mixed", &[random::mix(seed, counters)]);
    }

    let (mut pool, mut chosen) = ([0; 50], [0; 20]);
    random::choose(9, &mut pool, &mut chosen).unwrap();
    files
        .at("choose", "")
        .scalar("seed", 9u64)
        .scalar("pool", 50usize)
        .scalar("count", 20usize)
        .output("chosen", &chosen);
}

fn all_batches(batches: &Batches, steps: usize) -> Vec<u32> {
    crate::common::all_batches(batches, steps).concat()
}

const WIDTHS: &[usize] = &[8, 6, 4, 3];

fn layers(by: Granularity, biases: bool) -> Groups<'static> {
    Groups {
        layout: Layout::Layers(WIDTHS),
        by,
        biases,
    }
}

fn groups_of<'c, 'f>(case: &'c mut Case<'f>, name: &str, groups: Groups<'_>) -> &'c mut Case<'f> {
    case.scalar(&format!("{name}_by"), groups.by as u8)
        .scalar(&format!("{name}_biases"), groups.biases)
}

fn groups(files: &mut Files) {
    for (case, by) in [
        ("global", Granularity::Global),
        ("layer", Granularity::Layer),
        ("tensor", Granularity::Tensor),
        ("unit", Granularity::Unit),
        ("parameter", Granularity::Parameter),
    ] {
        for (rest, biases) in [("", false), ("_biases", true)] {
            let groups = layers(by, biases);
            let mut map = vec![0i64; groups.weights()];
            groups.map(&mut map).unwrap();
            let map: Vec<i32> = map.iter().map(|group| *group as i32).collect();
            let mut vector = files.at("groups", &format!("{case}{rest}"));
            vector.input("widths", WIDTHS);
            groups_of(&mut vector, "groups", groups).output("map", &map);
        }
    }

    let groups = layers(Granularity::Unit, false);
    let (p, len) = (groups.weights(), groups.len());
    let mut noise = Noise(314);
    let (log_scales, d_w) = (noise.f32s(len, ODD), noise.f32s(p, ODD));
    let normal = Normal {
        seed: 5,
        groups,
        log_scales: &log_scales,
    };
    let (mut w0, mut part, mut d, mut w_dot) =
        (vec![0.0; p], vec![0.0; 40], vec![0.0; len], vec![0.0; p]);
    normal.fill(0, &mut w0);
    normal.fill(37, &mut part);
    normal.adjoint(&w0, &d_w, &mut d).unwrap();
    normal.tangent(3, &w0, &mut w_dot).unwrap();
    let mut case = files.at("normal", "");
    case.scalar("seed", normal.seed).input("widths", WIDTHS);
    groups_of(&mut case, "groups", groups)
        .input("log_scales", &log_scales)
        .input("d_w", &d_w)
        .scalar("group", 3usize)
        .scalar("first", 37usize)
        .scalar("count", 40usize)
        .output("w0", &w0)
        .output("part", &part)
        .output("d_log_scales", &d)
        .output("w_dot", &w_dot);

    for (case, steps, intervals, spacing) in [
        ("", 1000, 8, Grid::SPACING),
        ("tight", 10, 7, 2.0),
        ("even", 30, 4, 1.0),
    ] {
        let grid = Grid {
            steps,
            intervals,
            spacing,
        };
        let knots: Vec<usize> = (0..=intervals).map(|k| grid.step(k)).collect();
        files
            .at("grid", case)
            .scalar("steps", steps)
            .scalar("intervals", intervals)
            .scalar("spacing", spacing)
            .output("knots", &knots);
    }
}

/// The examples, and how many of a batch are worked through at once.
const EXAMPLES: usize = 12;
const MICROBATCH: usize = 4;

fn data() -> Data {
    Data::learnable(320, EXAMPLES, WIDTHS[0], WIDTHS[3])
}

fn net<A: Arithmetic>(data: &Data) -> Mlp<'static, Features<'_>, A> {
    Mlp::new(data.features(), WIDTHS, MICROBATCH).unwrap()
}

fn network_of<'c, 'f>(case: &'c mut Case<'f>, data: &Data) -> &'c mut Case<'f> {
    case.input("widths", WIDTHS)
        .scalar("microbatch", MICROBATCH)
        .input("x", &data.x)
        .input("labels", &data.labels)
}

const UNITS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Unit,
    biases: false,
};
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};
const LAYERS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Layer,
    biases: false,
};

/// Scales, then coefficients of a penalty.
fn hypers(scales: usize, coefficients: usize) -> Vec<f32> {
    let mut noise = Noise(321);
    let mut h: Vec<f32> = noise.f32s(scales, 0.3).iter().map(|x| 1.0 + x).collect();
    h.extend(noise.f32s(coefficients, 0.01).iter().map(|x| 0.02 + x));
    h
}

/// Which wrappers a network has.
#[derive(Clone, Copy)]
struct Wrapped {
    scaled: Option<Groups<'static>>,
    /// 0: none, 1: L1, 2: L2.
    penalty: u8,
    of: Groups<'static>,
}

impl Wrapped {
    fn hypers(&self) -> Vec<f32> {
        let coefficients = if self.penalty > 0 { self.of.len() } else { 0 };
        hypers(self.scaled.map_or(0, |groups| groups.len()), coefficients)
    }

    fn describe<'c, 'f>(&self, case: &'c mut Case<'f>, data: &Data) -> &'c mut Case<'f> {
        network_of(case, data).scalar("scaled", self.scaled.is_some());
        groups_of(case, "scales", self.scaled.unwrap_or(UNITS)).scalar("penalty", self.penalty);
        groups_of(case, "penalties", self.of).input("h", &self.hypers())
    }
}

/// What is done with an objective: beside the training's there is that of the validation.
trait With<A: Arithmetic> {
    type Output;
    fn run<O: Objective<Arithmetic = A>>(&mut self, training: &O, judged: &O) -> Self::Output;
}

fn with<A: Arithmetic, W: With<A>>(wrapped: Wrapped, data: &Data, then: &mut W) -> W::Output {
    let net = || net::<A>(data);
    let scaled = |groups| Scaled {
        inner: net(),
        groups,
    };
    let (on, off) = (Strength::Tuned(wrapped.of), Strength::Off(wrapped.of));
    match (wrapped.scaled, wrapped.penalty) {
        (None, 0) => then.run(&net(), &net()),
        (None, 1) => then.run(&L1::new(net(), on), &L1::new(net(), off)),
        (None, _) => then.run(&L2::new(net(), on), &L2::new(net(), off)),
        (Some(s), 0) => then.run(&scaled(s), &scaled(s)),
        (Some(s), 1) => then.run(&L1::new(scaled(s), on), &L1::new(scaled(s), off)),
        (Some(s), _) => then.run(&L2::new(scaled(s), on), &L2::new(scaled(s), off)),
    }
}

/// An example twice, and a piece that is not full.
const BATCH: &[u32] = &[3, 0, 7, 7, 1, 11, 4];

/// More than a block of examples, and a piece of a block that is not full.
const MANY: usize = BLOCK + 250;

fn many() -> Vec<u32> {
    (0..MANY).map(|i| (i * 5 % EXAMPLES) as u32).collect()
}

/// All that an objective computes at one point, of a batch.
struct Point<'c, 'f>(&'c mut Case<'f>, Vec<f32>, &'c [u32]);

impl<A: Arithmetic> With<A> for Point<'_, '_> {
    type Output = ();
    fn run<O: Objective<Arithmetic = A>>(&mut self, training: &O, _: &O) {
        let mut noise = Noise(322);
        let p = training.weights();
        let (w, d) = (noise.f32s(p, ODD), noise.f32s(p, ODD));
        let got = all_of(training, &w, &self.1, self.2, &d);
        self.0
            .input("w", &w)
            .input("d", &d)
            .input("batch", self.2)
            .output("loss", &[got.loss])
            .output("g", &got.g)
            .output("h_d", &got.h_d);
        if !self.1.is_empty() {
            self.0.output("d_h", &got.d_h).output("m_d", &got.m_d);
        }
    }
}

fn objectives<A: Arithmetic>(files: &mut Files) {
    let data = data();
    for (case, wrapped) in [
        (
            "mlp",
            Wrapped {
                scaled: None,
                penalty: 0,
                of: UNITS,
            },
        ),
        (
            "scaled",
            Wrapped {
                scaled: Some(UNITS),
                penalty: 0,
                of: UNITS,
            },
        ),
        (
            "l1_layers",
            Wrapped {
                scaled: None,
                penalty: 1,
                of: LAYERS,
            },
        ),
        (
            "l2_units",
            Wrapped {
                scaled: None,
                penalty: 2,
                of: UNITS,
            },
        ),
        (
            "l2_tensors_scaled",
            Wrapped {
                scaled: Some(UNITS),
                penalty: 2,
                of: TENSORS,
            },
        ),
    ] {
        let mut case = files.at("objective", case);
        wrapped.describe(&mut case, &data);
        with::<A, _>(
            wrapped,
            &data,
            &mut Point(&mut case, wrapped.hypers(), BATCH),
        );
    }
    let mut case = files.at("objective", "blocks");
    Wrapped {
        scaled: None,
        penalty: 0,
        of: UNITS,
    }
    .describe(&mut case, &data);
    let net = net::<A>(&data).with_batches_of(MANY);
    Point(&mut case, vec![], &many()).run(&net, &net);
}

/// The network on bytes: as dense inputs, and as sparse rows with the mean in the biases.
fn pixels<A: Arithmetic>(files: &mut Files) {
    let mut noise = Noise(325);
    let bytes: Vec<u8> = (0..EXAMPLES * WIDTHS[0])
        .map(|_| (noise.word() >> 40) as u8)
        .map(|byte| if byte % 5 < 3 { 0 } else { byte })
        .collect();
    let (labels, chosen) = (data().labels, (0..EXAMPLES as u32).collect::<Vec<_>>());
    let (width, mean) = (WIDTHS[0], 0.1307f32);
    let dense = Pixels {
        bytes: &bytes,
        labels: &labels,
        width,
        chosen: &chosen,
        mean,
    };
    let len = SparseImages::required_len(&bytes);
    let mut starts = [0; EXAMPLES + 1];
    let (mut indices, mut lit) = (vec![0; len], vec![0; len]);
    let sparse = SparsePixels {
        images: SparseImages::pack(width, &bytes, &mut starts, &mut indices, &mut lit).unwrap(),
        labels: &labels,
        chosen: &chosen,
        mean,
    };
    let many = many();
    let mut put = |name: &str, sparse: bool, then: &mut dyn FnMut(&mut Point<'_, '_>)| {
        let batch = if name.ends_with("blocks") {
            &many
        } else {
            BATCH
        };
        let mut case = files.at("objective_pixels", name);
        case.input("widths", WIDTHS)
            .scalar("microbatch", MICROBATCH)
            .scalar("sparse", sparse)
            .scalar("mean", mean)
            .input("bytes", &bytes)
            .input("labels", &labels);
        then(&mut Point(&mut case, vec![], batch));
    };
    fn net<D: Examples, A: Arithmetic>(examples: D) -> Mlp<'static, D, A> {
        Mlp::new(examples, WIDTHS, MICROBATCH).unwrap()
    }
    let (dense, sparse) = (net::<_, A>(dense), net::<_, A>(sparse));
    put("dense", false, &mut |point| point.run(&dense, &dense));
    put("sparse", true, &mut |point| point.run(&sparse, &sparse));
    let sparse = sparse.with_batches_of(MANY);
    put("sparse_blocks", true, &mut |point| {
        point.run(&sparse, &sparse)
    });
}

const STEPS: usize = 30;
const VALID: &[u32] = &[8, 9, 10, 11];
const BATCHES: Batches = Batches {
    seed: 3,
    examples: 8,
    size: 5,
};
const ORIGIN: Normal<'static, f32> = Normal {
    seed: 4,
    groups: TENSORS,
    log_scales: &[-0.5; 6],
};
const KNOTS: Grid = Grid {
    steps: STEPS,
    intervals: 5,
    spacing: Grid::SPACING,
};

/// A whole run.
struct Whole<'c, 'f, 'p, A> {
    case: &'c mut Case<'f>,
    h: Vec<f32>,
    momenta: &'static [f32],
    path: &'p mut dyn Path<A, f32>,
}

impl<A: Arithmetic> With<A> for Whole<'_, '_, '_, A> {
    type Output = ();
    fn run<O: Objective<Arithmetic = A>>(&mut self, training: &O, judged: &O) {
        let mut noise = Noise(323);
        let rates: Vec<f32> = noise.f32s(STEPS * 6, 0.2).iter().map(|x| 0.5 + x).collect();
        let problem = InnerProblem {
            objective: training,
            h: &self.h,
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: TENSORS,
                rates: &rates,
                momenta: self.momenta,
            },
            batches: BATCHES,
            steps: STEPS,
        };
        let validation = Validation {
            objective: judged,
            examples: VALID,
        };
        let got = hypergradient(&problem, &validation, &ORIGIN, self.path, true).unwrap();
        let mut w0 = vec![0.0; training.weights()];
        ORIGIN.fill(0, &mut w0);
        let case = &mut *self.case;
        case.scalar("steps", STEPS)
            .scalar("batches_seed", BATCHES.seed)
            .scalar("batches_examples", BATCHES.examples)
            .scalar("batches_size", BATCHES.size)
            .input("valid", VALID)
            .scalar("initial_seed", ORIGIN.seed);
        groups_of(case, "initial", ORIGIN.groups).input("log_scales", ORIGIN.log_scales);
        groups_of(case, "schedule", TENSORS)
            .input("rates", &rates)
            .input("momenta", self.momenta)
            .output("batches", &all_batches(&BATCHES, STEPS))
            .output("w0", &w0)
            .output("losses", &got.losses)
            .output("w_T", &got.w)
            .output("valid_loss", &[got.valid_loss])
            .output("d_rates", &got.d_rates)
            .output("d_momenta", &got.d_momenta)
            .output("d_h", &got.d_h)
            .output("d_w0", &got.d_w0);
    }
}

fn runs<A: Arithmetic>(files: &mut Files) {
    let data = data();
    let p = UNITS.weights();
    let units = Wrapped {
        scaled: None,
        penalty: 2,
        of: UNITS,
    };
    let scaled = Wrapped {
        scaled: Some(UNITS),
        penalty: 2,
        of: TENSORS,
    };
    let mut put = |name: &str, wrapped: Wrapped, momenta, path: &mut dyn Path<A, f32>| {
        let mut case = files.at(name, "");
        match name {
            "run_hats" => {
                case.scalar("levels", 11u32)
                    .scalar("intervals", KNOTS.intervals)
                    .scalar("spacing", KNOTS.spacing);
            }
            "run_reversible" => {
                case.scalar("weight_bits", Reversible::BITS.weight)
                    .scalar("velocity_bits", Reversible::BITS.velocity);
            }
            _ => {}
        }
        wrapped.describe(&mut case, &data);
        let mut whole = Whole {
            case: &mut case,
            h: wrapped.hypers(),
            momenta,
            path,
        };
        with::<A, _>(wrapped, &data, &mut whole);
    };

    // One a tensor and step.
    static MOMENTA: std::sync::LazyLock<Vec<f32>> = std::sync::LazyLock::new(|| {
        let mut noise = Noise(324).f32s(STEPS * 6, 0.35);
        noise.iter_mut().for_each(|x| *x += 0.55);
        noise[0] = 0.0;
        noise
    });
    let mut storage = vec![0.0; Tape::<f32>::required_len(p, STEPS, 1)];
    let mut tape = Tape::new(p, STEPS, 1, &mut storage).unwrap();
    put("run_tape", units, &MOMENTA, &mut tape);

    const ONE_A_GROUP: &[f32] = &[0.5, 0.6, 0.7, 0.8, 0.9, 0.0];
    put(
        "run_line",
        units,
        ONE_A_GROUP,
        &mut Line::new(ORIGIN, STEPS),
    );

    let mut storage = vec![0; Quantised::<11>::required_len(p, KNOTS.intervals)];
    let rows = Quantised::<11>::new(p, KNOTS.intervals, &mut storage).unwrap();
    let mut factors = vec![0.0; KNOTS.intervals + 1];
    let mut hats = Hats::new(p, KNOTS, ORIGIN, rows, &mut factors).unwrap();
    put("run_hats", scaled, ONE_A_GROUP, &mut hats);

    // Momenta that a reversal can undo, small enough that it must spill.
    const LEAST: f32 = 0.4;
    // The second is no fraction of small numbers: the sweep takes the fraction too.
    const ENOUGH: &[f32] = &[0.8, 0.85002, LEAST, 0.95, 0.875, 0.9];
    let mut storage = vec![0; Reversible::required_len(p, STEPS, LEAST)];
    let mut reversible = Reversible::new(p, STEPS, LEAST, &mut storage).unwrap();
    put("run_reversible", scaled, ENOUGH, &mut reversible);
}

fn of<A: Arithmetic>(files: &mut Files) {
    files.arithmetic = A::NAME;
    heavy_ball::<A>(files);
    adams::<A>(files);
    between::<A>(files);
    scaled_sums::<A>(files);
    row_sums::<A>(files);
    sums::<A>(files);
    products::<A>(files);
    functions::<A>(files);
    activations::<A>(files);
    levels::<3, A>(files);
    levels::<7, A>(files);
    levels::<11, A>(files);
    levels::<15, A>(files);
    levels::<255, A>(files);
    fixed_point(files);
    random_numbers(files);
    groups(files);
    objectives::<A>(files);
    pixels::<A>(files);
    runs::<A>(files);
}

/// The text of every file, by its name.
pub(crate) fn all() -> BTreeMap<String, String> {
    let mut files = Files {
        arithmetic: Plain::NAME,
        vectors: BTreeMap::new(),
    };
    of::<Plain>(&mut files);
    of::<Fused>(&mut files);
    let texts = files.vectors.iter();
    texts
        .map(|(name, vector)| (name.clone(), vector.text()))
        .collect()
}
