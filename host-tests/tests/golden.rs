//! The golden bits: every kernel, and whole trainings with their sweeps, on every vector level.
//!
//! A changed bit is a breaking change. The files are for other implementations too: inputs come
//! from `Noise` (SplitMix64, `common/mod.rs`), whose numbers are exact in f32.

mod common;

use std::path::PathBuf;

use common::{Answer, Data, Noise, WIDTHS, bits, hypergradient, on_every_level};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::kernels::matmul::{Form, MatMul};
use drmad::kernels::momentum::{self, Step};
use drmad::kernels::{accumulate, activation, interpolate, quantise, reduce};
use drmad::models::Mlp;
use drmad::path::{Grid, Hats, Line, Path, Quantised, Tape};
use drmad::random::{Batches, Normal, Origin};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Arithmetic, Fused, Plain, Scalar};

const HEADER: &str = "\
# One result a line: name, arithmetic (plain, fused, or any where none is used), then its f32 bits
# as u32 words in hex, or for more than 16 of them fnv1a64:count:hash, the 64-bit FNV-1a hash of
# the words' bytes, each word's lowest byte first.
";

/// 64-bit FNV-1a.
fn fnv1a64(words: &[u32]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The lines of a golden file.
struct Lines(Vec<String>);

impl Lines {
    fn words(&mut self, name: &str, arithmetic: &str, words: &[u32]) {
        let result = if words.len() <= 16 {
            let hex: Vec<String> = words.iter().map(|word| format!("{word:08x}")).collect();
            hex.join(" ")
        } else {
            format!("fnv1a64:{}:{:016x}", words.len(), fnv1a64(words))
        };
        self.0.push(format!("{name} {arithmetic} {result}"));
    }

    fn numbers(&mut self, name: &str, arithmetic: &str, x: &[f32]) {
        assert!(
            x.iter().all(|x| !x.is_nan()),
            "{name}: which NaN is not promised"
        );
        self.words(name, arithmetic, &bits(x));
    }
}

/// More than a block, and a remainder for every number of lanes.
const N: usize = 203;

fn arithmetic_kernels<A: Arithmetic>(lines: &mut Lines) {
    let mut noise = Noise(200);
    let (x, y, z) = (noise.f32s(N, 1.0), noise.f32s(N, 3.0), noise.f32s(N, 0.1));
    let a = noise.f32s(7, 1.0);
    let by = Step {
        rate: 0.3,
        momentum: 0.9,
    };
    let mut put = |name: &str, x: &[f32]| lines.numbers(name, A::NAME, x);

    let (mut v, mut w) = (x.clone(), y.clone());
    momentum::step::<A, _>(by, &z, &mut v, &mut w);
    put("momentum_step_v", &v);
    put("momentum_step_w", &w);
    let (mut d_v, mut d_g) = (x.clone(), vec![0.0; N]);
    momentum::adjoint::<A, _>(by, &y, &mut d_v, &mut d_g);
    put("momentum_adjoint_d_v", &d_v);
    put("momentum_adjoint_d_g", &d_g);

    let mut out = vec![0.0; N];
    interpolate::between::<A, _>(3, 7, &x, &y, &mut out);
    put("between_3_of_7", &out);
    let mut out = y.clone();
    accumulate::add_scaled::<A, _>(0.3, &x, &mut out);
    put("add_scaled", &out);
    let mut out = y.clone();
    accumulate::add_scaled_rows::<A, _>(29, &a, &x, &mut out);
    put("add_scaled_rows", &out);
    // Rows longer than the lanes, or no product is added to another.
    let mut h = a[..3].to_vec();
    accumulate::add_row_dots::<A, _>(67, &x, &y, &mut h);
    put("add_row_dots", &h);
    let mut h = z.clone();
    accumulate::add_row_dots::<A, _>(1, &x, &y, &mut h);
    put("add_row_dots_of_one", &h);
    put("dot", &[reduce::dot::<A, _>(&x, &y)]);
    put("dot_of_33", &[reduce::dot::<A, _>(&x[..33], &y[..33])]);

    for (name, form) in [("nn", Form::Nn), ("tn", Form::Tn), ("nt", Form::Nt)] {
        for (rows, inner, columns) in [(7, 13, 61), (3, 40, 2)] {
            let product = MatMul {
                form,
                rows,
                inner,
                columns,
                accumulate: true,
            };
            let mut noise = Noise(201);
            let (a, b) = (
                noise.f32s(rows * inner, 1.0),
                noise.f32s(inner * columns, 1.0),
            );
            let mut c = noise.f32s(rows * columns, 1.0);
            let mut packed = vec![0.0; product.required_len()];
            product.run::<A, _>(&a, &b, &mut c, &mut packed).unwrap();
            put(&format!("matmul_{name}_{rows}x{inner}x{columns}"), &c);
        }
    }

    // Every tenth of a unit from -100 to 100 and the ends of the range.
    let mut arguments: Vec<f32> = (-1000..=1000).map(|i| i as f32 / 10.0).collect();
    arguments.extend([-0.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY]);
    let mut out = vec![0.0; arguments.len()];
    activation::exp::<A, _>(&arguments, &mut out);
    put("exp", &out);
    let mut out: Vec<f32> = arguments.iter().map(|x| 0.1 * x).collect();
    activation::tanh::<A, _>(&mut out);
    put("tanh", &out);
    let out: Vec<f32> = arguments.iter().map(|x| Scalar::ln::<A>(x.abs())).collect();
    put("ln", &out);

    let tanh = |x: &[f32]| {
        let mut y = x.to_vec();
        activation::tanh::<A, _>(&mut y);
        y
    };
    let (mut d, mut r_d) = (y.clone(), z.clone());
    activation::tanh_adjoint::<A, _>(&tanh(&x), &mut d);
    put("tanh_adjoint", &d);
    let mut d = y.clone();
    activation::tanh_adjoint_r::<A, _>(&tanh(&x), &z, &mut d, &mut r_d);
    put("tanh_adjoint_r", &r_d);
    let (mut p, mut log_sums) = (y.clone(), vec![0.0; 7]);
    activation::softmax::<A, _>(29, &mut p, &mut log_sums);
    put("softmax", &p);
    put("softmax_log_sums", &log_sums);
    let mut r = x.clone();
    activation::softmax_r::<A, _>(29, &p, &mut r);
    put("softmax_r", &r);
}

fn quantised<const BITS: u32>(lines: &mut Lines) {
    let x = Noise(202).f32s(quantise::BLOCK, 0.1);
    let mut code = vec![0; quantise::words(BITS)];
    quantise::encode::<BITS>(&x, &mut code);
    lines.words(&format!("encode_{BITS}_bits"), "any", &code);
    for (arithmetic, decode) in [
        (
            Plain::NAME,
            quantise::decode::<BITS, Plain, f32> as fn(&[u32], &mut [f32]),
        ),
        (Fused::NAME, quantise::decode::<BITS, Fused, f32>),
    ] {
        let mut y = Noise(203).f32s(quantise::BLOCK, 1.0);
        decode(&code, &mut y);
        lines.numbers(&format!("decode_{BITS}_bits"), arithmetic, &y);
    }
}

fn kernels() -> Vec<String> {
    let mut lines = Lines(vec![]);
    arithmetic_kernels::<Plain>(&mut lines);
    arithmetic_kernels::<Fused>(&mut lines);
    let x = Noise(200).f32s(N, 1.0);
    let a = Noise(204).f32s(7, 1.0);
    lines.numbers("sum", "any", &[reduce::sum(&x)]);
    let mut y = vec![0.0; N];
    accumulate::scale(0.3, &x, &mut y);
    lines.numbers("scale", "any", &y);
    accumulate::scale_rows(29, &a, &x, &mut y);
    lines.numbers("scale_rows", "any", &y);
    let mut h = a.clone();
    accumulate::add_row_sums(29, &x, &mut h);
    lines.numbers("add_row_sums", "any", &h);
    let mut sums = a.repeat(4);
    accumulate::add_rows(&x[..196], &mut sums);
    lines.numbers("add_rows", "any", &sums);
    quantised::<2>(&mut lines);
    quantised::<3>(&mut lines);
    quantised::<4>(&mut lines);
    quantised::<8>(&mut lines);

    let batches = Batches {
        seed: 1,
        examples: 100,
        size: 16,
    };
    let mut batch = [0; 16];
    batches.fill(7, &mut batch).unwrap();
    lines.words("batch", "any", &batch);
    let mut w = vec![0.0; N];
    let normal = Normal {
        seed: 2,
        groups: Groups::global(N),
        log_scales: &[-1.0],
    };
    normal.fill(0, &mut w);
    lines.numbers("normal", "any", &w);
    lines.0
}

const STEPS: usize = 20;
const P: usize = 74;

fn sweeps<A: Arithmetic>(lines: &mut Lines) {
    let data = Data::small();
    let groups = |by, biases| Groups {
        layout: Layout::Layers(WIDTHS),
        by,
        biases,
    };
    let units = groups(Granularity::Unit, false);
    let tensors = groups(Granularity::Tensor, true);
    let net = Mlp::<_, A>::new(data.features(), WIDTHS, 4).unwrap();
    let inner = Scaled {
        inner: net,
        groups: units,
    };
    let training = L2::new(inner, Strength::Tuned(tensors));
    let objective = L2::new(inner, Strength::Off(tensors));
    let mut noise = Noise(210);
    let h = [
        noise.f32s(15, 0.3),
        noise.f32s(6, 1.0).iter().map(|x| x - 5.0).collect(),
    ]
    .concat();
    let rates: Vec<f32> = noise.f32s(STEPS * 6, 0.2).iter().map(|x| 0.5 + x).collect();
    let run = Run {
        objective: &training,
        h: &h,
        schedule: Schedule {
            rule: Rule::HeavyBall,
            groups: tensors,
            rates: &rates,
            momenta: &[0.5, 0.6, 0.7, 0.8, 0.9, 0.0],
        },
        batches: Batches {
            seed: 3,
            examples: 8,
            size: 5,
        },
        steps: STEPS,
    };
    let validation = Validation {
        objective: &objective,
        examples: &[8, 9, 10, 11],
    };
    let origin = Normal {
        seed: 4,
        groups: tensors,
        log_scales: &[-0.5f32; 6],
    };
    let mut put = |name: &str, path: &mut dyn Path<f32>| {
        let Answer {
            losses,
            w,
            valid_loss,
            d_h,
            d_w0,
            d_rates,
            d_momenta,
            ..
        } = hypergradient(&run, &validation, &origin, path, true).unwrap();
        let mut put = |what: &str, x: &[f32]| lines.numbers(&format!("{name}_{what}"), A::NAME, x);
        if name == "tape" {
            put("losses", &losses);
            put("w_T", &w);
            put("valid_loss", &[valid_loss]);
        }
        put("d_h", &d_h);
        put("d_w_0", &d_w0);
        put("d_rates", &d_rates);
        put("d_momenta", &d_momenta);
    };

    let mut storage = vec![0.0; Tape::<f32>::required_len(P, STEPS, 1)];
    put("tape", &mut Tape::new(P, STEPS, 1, &mut storage).unwrap());
    put("line", &mut Line::<A, _>::new(origin, STEPS));
    let knots = Grid {
        steps: STEPS,
        intervals: 4,
        spacing: Grid::SPACING,
    };
    let mut storage = vec![0; Quantised::<4, A>::required_len(P, 4)];
    let rows = Quantised::<4, A>::new(P, 4, &mut storage).unwrap();
    let mut factors = [0.0f32; 5];
    let mut hats = Hats::<A, _, _, _>::new(P, knots, origin, rows, &mut factors).unwrap();
    put("hats_4_bits", &mut hats);
}

fn hypergradients() -> Vec<String> {
    let mut lines = Lines(vec![]);
    sweeps::<Plain>(&mut lines);
    sweeps::<Fused>(&mut lines);
    lines.0
}

fn file(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("golden").join(name)
}

fn has_its_bits(name: &str, compute: fn() -> Vec<String>) {
    let text = std::fs::read_to_string(file(name)).unwrap();
    let want: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    on_every_level(|level| {
        let got = compute();
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got, want, "{name} on {level:?}");
        }
        assert_eq!(got.len(), want.len(), "{name}: another number of results");
    });
}

#[test]
fn every_kernel_has_its_golden_bits() {
    has_its_bits("kernels.txt", kernels);
}

#[test]
fn every_sweep_has_its_golden_bits() {
    has_its_bits("hypergradients.txt", hypergradients);
}

#[test]
fn the_hash_is_fnv_1a() {
    // The published values for no bytes and for "chongo was here!", whose length is four words.
    let bytes = b"chongo was here!";
    let words: Vec<u32> = bytes
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(fnv1a64(&[]), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a64(&words), 0x858e_2fa3_2a55_e61d);
}

#[test]
#[ignore = "writes golden files: run on purpose"]
fn write_the_golden_files() {
    for (name, compute) in [
        ("kernels.txt", kernels as fn() -> Vec<String>),
        ("hypergradients.txt", hypergradients),
    ] {
        let text = format!("{HEADER}{}\n", compute().join("\n"));
        std::fs::create_dir_all(file(name).parent().unwrap()).unwrap();
        std::fs::write(file(name), text).unwrap();
    }
}
