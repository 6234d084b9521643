//! Whole operations: the bits are those of the Rust interface, and every fault in a run, a method, a result
//! or the memory has its code and leaves the results as they were.
//!
//! (That the features of `golden/hypergradients.txt` have their bits over C, the program
//! `tests/vectors.c` shows, which `capi/run` compares.)

use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::models::{Features, Mlp, Pixels};
use drmad::objective::Objective;
use drmad::path::{Full, Grid, Hats, Knots, Line, Path, Plan, Quantised, Reversed, Rows, Tail};
use drmad::random::{Batches, Normal};
use drmad::train::{self, Rule, Schedule};
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Arithmetic, Fused, Plain};
use drmad_c::method::{LEVELS_FULL, Method, TAIL_NONE, Way};
use drmad_c::run::*;
use drmad_c::{ABI, Code, In, Out, Rounding};

const WIDTHS: &[usize] = &[5, 4, 3];
const P: usize = 6 * 4 + 5 * 3;
const EXAMPLES: usize = 20;
const TRAIN: usize = 14;
// Miri takes a second a step.
const STEPS: usize = if cfg!(miri) { 16 } else { 40 };

/// Fixed pseudo-random numbers (SplitMix64).
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn numbers(&mut self, n: usize) -> Vec<f32> {
        let mut number = || (self.word() >> 40) as f32 / 8_388_608.0 - 1.0;
        (0..n).map(|_| number()).collect()
    }
}

/// A run with all that its pointers point to.
struct Owned {
    features: Vec<f32>,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    valid: Vec<u32>,
    h: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
    w0: Vec<f32>,
    log_scales: Vec<f32>,
    run: Run,
}

fn input<T>(x: &[T]) -> In<T> {
    if x.is_empty() {
        return In::NULL;
    }
    // SAFETY: the callers keep what they lend, and write it only between calls.
    unsafe { In::new(x.as_ptr()) }
}

fn output<T>(x: &mut [T]) -> Out<T> {
    if x.is_empty() {
        return Out::NULL;
    }
    // SAFETY: as above.
    unsafe { Out::new(x.as_mut_ptr()) }
}

fn by(share: Share) -> i32 {
    share as i32
}

impl Owned {
    fn new(rounding: Rounding, scale: Share, penalty: Share, pixels: bool) -> Owned {
        let mut noise = Noise(5);
        let features = noise.numbers(EXAMPLES * WIDTHS[0]);
        let bytes = (0..EXAMPLES * WIDTHS[0])
            .map(|_| noise.word() as u8)
            .collect();
        let labels = (0..EXAMPLES).map(|_| (noise.word() % 3) as u8).collect();
        let none = Grouping { by: 0, biases: 0 };
        let mut owned = Owned {
            features: if pixels { vec![] } else { features },
            pixels: if pixels { bytes } else { vec![] },
            labels,
            valid: (TRAIN as u32..EXAMPLES as u32).collect(),
            h: vec![],
            rates: vec![0.4],
            momenta: vec![0.8],
            w0: vec![],
            log_scales: vec![-0.5],
            run: Run {
                abi: ABI,
                arithmetic: rounding as i32,
                widths: input(WIDTHS),
                widths_len: WIDTHS.len(),
                features: In::NULL,
                pixels: In::NULL,
                mean: if pixels { 0.25 } else { 0.0 },
                labels: In::NULL,
                examples: EXAMPLES,
                train: TRAIN,
                valid: In::NULL,
                valid_len: EXAMPLES - TRAIN,
                batch: 6,
                chunk: 4,
                batch_seed: 9,
                scale: Grouping {
                    by: by(scale),
                    biases: 1,
                },
                penalty: Grouping {
                    by: by(penalty),
                    biases: 0,
                },
                l2: if penalty == Share::None { 0.01 } else { 0.0 },
                h: In::NULL,
                h_len: 0,
                rule: Moves::HeavyBall as i32,
                b2: 0.0,
                eps: 0.0,
                decay: 0.0,
                groups: none,
                rates: In::NULL,
                rates_len: 1,
                momenta: In::NULL,
                momenta_len: 1,
                steps: STEPS,
                w0: In::NULL,
                w0_len: 0,
                w0_seed: 3,
                w0_groups: none,
                log_scales: In::NULL,
                log_scales_len: 1,
                each: None,
                context: std::ptr::null_mut(),
            },
        };
        let mut sizes = Sizes::default();
        assert_eq!(
            drmad_sizes(
                input(&[owned.run]),
                output(std::slice::from_mut(&mut sizes))
            ),
            0
        );
        let h = noise.numbers(sizes.hypers);
        owned.h = h.iter().map(|h| 0.3 + 0.2 * h).collect();
        owned.run.h_len = sizes.hypers;
        owned.point();
        owned
    }

    /// Sets the pointers to what they point to.
    fn point(&mut self) {
        let run = &mut self.run;
        (run.features, run.pixels) = (input(&self.features), input(&self.pixels));
        (run.labels, run.valid) = (input(&self.labels), input(&self.valid));
        (run.h, run.rates, run.momenta) =
            (input(&self.h), input(&self.rates), input(&self.momenta));
        (run.w0, run.log_scales) = (input(&self.w0), input(&self.log_scales));
    }
}

const DEFAULT: Method = Method {
    path: 0,
    levels: 0,
    size: 0,
    spacing: 0.0,
    tail: 0,
    last: 0,
};

fn way(way: Way) -> Method {
    Method {
        path: way as i32,
        ..DEFAULT
    }
}

/// Everything a hypergradient gives.
#[derive(Clone, Debug, PartialEq)]
struct All {
    d_h: Vec<f32>,
    d_rates: Vec<f32>,
    d_momenta: Vec<f32>,
    d_w0: Vec<f32>,
    w: Vec<f32>,
    valid_loss: f32,
    steps_back: usize,
}

const MARK: f32 = 77.0;

fn results(all: &mut All) -> Results {
    Results {
        d_h: output(&mut all.d_h),
        d_h_len: all.d_h.len(),
        d_rates: output(&mut all.d_rates),
        d_rates_len: all.d_rates.len(),
        d_momenta: output(&mut all.d_momenta),
        d_momenta_len: all.d_momenta.len(),
        d_w0: output(&mut all.d_w0),
        d_w0_len: all.d_w0.len(),
        d_log_scales: Out::NULL,
        d_log_scales_len: 0,
        w: output(&mut all.w),
        w_len: all.w.len(),
        valid_loss: MARK,
        steps_back: 77,
        residual: MARK,
        slope: MARK,
    }
}

fn marked(run: &Run) -> All {
    All {
        d_h: vec![MARK; run.h_len],
        d_rates: vec![MARK; run.rates_len],
        d_momenta: vec![MARK; run.momenta_len],
        d_w0: vec![MARK; P],
        w: vec![MARK; P],
        valid_loss: MARK,
        steps_back: 77,
    }
}

fn over_c(run: &Run, method: Method) -> All {
    let mut all = marked(run);
    let mut results = [results(&mut all)];
    let (run, method, mut words) = ([*run], [method], [0]);
    let code = drmad_hypergradient_required_len(
        input(&run),
        input(&method),
        input(&results),
        output(&mut words),
    );
    assert_eq!(code, 0);
    let mut memory = vec![0xffff_ffff; words[0]];
    let code = drmad_hypergradient(
        input(&run),
        input(&method),
        output(&mut memory),
        words[0],
        output(&mut results),
    );
    assert_eq!(code, 0);
    (all.valid_loss, all.steps_back) = (results[0].valid_loss, results[0].steps_back);
    all
}

fn groups(by: Granularity, biases: bool) -> Groups<'static> {
    Groups {
        layout: Layout::Layers(WIDTHS),
        by,
        biases,
    }
}

const RULE: Rule = Rule::HeavyBall;

fn over_rust<O: Objective, E: Objective<Arithmetic = O::Arithmetic>>(
    owned: &Owned,
    objective: &O,
    outside: &E,
    path: &mut dyn Path<O::Arithmetic, f32>,
) -> All {
    let run = train::Run {
        objective,
        h: &owned.h,
        schedule: Schedule {
            groups: Groups::global(P),
            rule: RULE,
            rates: &owned.rates,
            momenta: &owned.momenta,
        },
        batches: Batches {
            seed: 9,
            examples: TRAIN,
            size: 6,
        },
        steps: STEPS,
    };
    let scratch = scratch_len(objective, outside);
    let mut buffer = vec![0.0; Workspace::<f32>::required_len(P, scratch, RULE, true)];
    let mut workspace = Workspace::new(&mut buffer, P, RULE, true).unwrap();
    let mut batch = [0; 6];
    run.walk(
        &origin(owned),
        path,
        &mut workspace,
        &mut batch,
        &mut |_, _| (),
    )
    .unwrap();
    let mut all = marked(&owned.run);
    all.w = workspace.w.to_vec();
    let wanted = Wanted {
        d_h: &mut all.d_h,
        schedule: Some((&mut all.d_rates, &mut all.d_momenta)),
    };
    let validation = Validation {
        objective: outside,
        examples: &owned.valid,
    };
    let outcome = run
        .back(&validation, path, &mut workspace, &mut batch, wanted)
        .unwrap();
    all.d_w0 = workspace.d_w.to_vec();
    (all.valid_loss, all.steps_back) = (outcome.valid_loss, outcome.steps_back);
    all
}

fn origin(owned: &Owned) -> Normal<'_, f32> {
    Normal {
        seed: 3,
        groups: Groups::global(P),
        log_scales: &owned.log_scales,
    }
}

fn rounding<A: Arithmetic>() -> Rounding {
    if A::NAME == "plain" {
        Rounding::Plain
    } else {
        Rounding::Fused
    }
}

fn hats<'a, A: Arithmetic>(
    owned: &'a Owned,
    steps: usize,
    rows: impl Rows<A, f32> + 'a,
) -> impl Path<A, f32> + 'a {
    let knots = Grid {
        steps,
        intervals: 8,
        spacing: Grid::spacing(8),
    };
    Hats::new(P, knots, origin(owned), rows, vec![0.0; 9].leak()).unwrap()
}

fn default_method_on_pixels<A: Arithmetic>() {
    let owned = Owned::new(rounding::<A>(), Share::Parameter, Share::None, true);
    let chosen: Vec<u32> = (0..EXAMPLES as u32).collect();
    let data = Pixels {
        bytes: &owned.pixels,
        labels: &owned.labels,
        width: WIDTHS[0],
        chosen: &chosen,
        mean: 0.25,
    };
    let inner = Mlp::<_, A>::new(data, WIDTHS, 4).unwrap();
    let scaled = Scaled {
        inner,
        groups: groups(Granularity::Parameter, true),
    };
    let training = L2::new(scaled, Strength::Fixed(0.01, Groups::global(P)));
    let schedule = Schedule {
        groups: Groups::global(P),
        rule: RULE,
        rates: &owned.rates[..],
        momenta: &owned.momenta,
    };
    let tail = Reversed::reach(&schedule, STEPS).min(STEPS / 2);
    assert!(tail > 0);
    let mut storage = vec![0; Quantised::<11>::required_len(P, 8)];
    let rows = Quantised::<11>::new(P, 8, &mut storage).unwrap();
    let path = hats::<A>(&owned, STEPS - tail, rows);
    let mut path = Tail::new(path, STEPS, tail).unwrap();
    let want = over_rust(&owned, &training, &scaled, &mut path);
    assert_eq!(over_c(&owned.run, DEFAULT), want);
}

fn knots_and_lines_on_features<A: Arithmetic>() {
    let owned = Owned::new(rounding::<A>(), Share::None, Share::Unit, false);
    let data = Features {
        x: &owned.features,
        labels: &owned.labels,
        width: WIDTHS[0],
    };
    let net = Mlp::<_, A>::new(data, WIDTHS, 4).unwrap();
    let units = groups(Granularity::Unit, false);
    let training = L2::new(net, Strength::Tuned(units));
    let outside = L2::new(net, Strength::Off(units));

    let mut storage = vec![0; Quantised::<255>::required_len(P, 32)];
    let rows = Quantised::<255>::new(P, 32, &mut storage).unwrap();
    let mut knots = Knots::new(P, 32, origin(&owned), rows).unwrap();
    let want = over_rust(&owned, &training, &outside, &mut knots);
    assert_eq!(over_c(&owned.run, way(Way::Knots)), want);

    let mut line = Line::new(origin(&owned), STEPS).with(Plan::published(STEPS));
    let want = over_rust(&owned, &training, &outside, &mut line);
    assert_eq!(want.steps_back, STEPS / 10);
    assert_eq!(over_c(&owned.run, way(Way::LinePublished)), want);

    let mut storage = vec![0.0; Full::<f32>::required_len(P, 8)];
    let rows = Full::new(P, 8, &mut storage).unwrap();
    let want = over_rust(
        &owned,
        &training,
        &outside,
        &mut hats::<A>(&owned, STEPS, rows),
    );
    let full = Method {
        levels: LEVELS_FULL,
        tail: TAIL_NONE,
        ..DEFAULT
    };
    assert_eq!(over_c(&owned.run, full), want);
}

#[test]
fn runs_have_the_bits_of_the_rust_interface() {
    default_method_on_pixels::<Plain>();
    default_method_on_pixels::<Fused>();
    knots_and_lines_on_features::<Plain>();
    knots_and_lines_on_features::<Fused>();
}

#[test]
fn training_losses_and_predictions_agree_with_each_other() {
    for (scale, penalty) in [(Share::Unit, Share::Layer), (Share::None, Share::Global)] {
        let owned = Owned::new(Rounding::Fused, scale, penalty, false);
        let all = over_c(&owned.run, way(Way::Tape));
        let run = [owned.run];
        let (mut w, mut loss, mut words) = (vec![MARK; P], [MARK], [0]);
        assert_eq!(drmad_train_required_len(input(&run), output(&mut words)), 0);
        let mut memory = vec![0; words[0]];
        let n = memory.len();
        let train = |memory: &mut [u32], w: &mut [f32], loss: &mut [f32]| {
            drmad_train(
                input(&run),
                output(memory),
                memory.len(),
                output(w),
                P,
                output(loss),
            )
        };
        assert_eq!(
            train(&mut memory[1..], &mut w, &mut loss),
            Code::Length as i32
        );
        assert_eq!((w[0], loss), (MARK, [MARK]));
        assert_eq!(train(&mut memory, &mut w, &mut loss), 0);
        assert_eq!((&w, loss[0]), (&all.w, all.valid_loss), "{n} words");

        let (mut again, mut words) = ([MARK], [0]);
        assert_eq!(
            drmad_valid_loss_required_len(input(&run), output(&mut words)),
            0
        );
        let mut memory = vec![0; words[0]];
        let out = output(&mut memory);
        assert_eq!(
            drmad_valid_loss(input(&run), input(&w), P, out, words[0], output(&mut again)),
            0
        );
        assert_eq!(again, loss);

        let classes = WIDTHS[2];
        let mut p = vec![MARK; owned.valid.len() * classes];
        assert_eq!(
            drmad_predict_required_len(input(&run), output(&mut words)),
            0
        );
        let mut memory = vec![0; words[0]];
        let predict = |memory: &mut [u32], w: &[f32], p: &mut [f32]| {
            let (memory, memory_len, p, p_len) = (output(memory), memory.len(), output(p), p.len());
            drmad_predict(input(&run), input(w), w.len(), memory, memory_len, p, p_len)
        };
        assert_eq!(predict(&mut memory[1..], &w, &mut p), Code::Length as i32);
        assert_eq!(predict(&mut memory, &w[1..], &mut p), Code::Length as i32);
        assert_eq!(predict(&mut memory, &w, &mut p[1..]), Code::Length as i32);
        assert!(p.iter().all(|p| *p == MARK));
        assert_eq!(predict(&mut memory, &w, &mut p), 0);
        // The mean of the logarithms of what each example's own class got.
        let logs = owned.valid.iter().zip(p.chunks(classes)).map(|(i, p)| {
            let label = usize::from(owned.labels[*i as usize]);
            -f64::from(p[label]).ln()
        });
        let mean = logs.sum::<f64>() / owned.valid.len() as f64;
        assert!((mean - f64::from(loss[0])).abs() < 1e-6, "{mean} {loss:?}");
    }
}

#[test]
fn weights_given_are_those_drawn() {
    let mut owned = Owned::new(Rounding::Plain, Share::None, Share::Global, false);
    let want = over_c(&owned.run, DEFAULT);
    owned.w0 = vec![0.0; P];
    assert_eq!(
        drmad_c::kernels::drmad_normal(3, -0.5, 0, output(&mut owned.w0), P),
        0
    );
    owned.log_scales.clear();
    (owned.run.w0_len, owned.run.log_scales_len) = (P, 0);
    owned.point();
    assert_eq!(over_c(&owned.run, DEFAULT), want);
}

#[test]
fn progress_is_told_and_validation_is_of_the_trained_weights() {
    extern "C" fn each(context: *mut std::ffi::c_void, step: usize, loss: f32) {
        // SAFETY: the context is the vector below.
        let losses = unsafe { &mut *context.cast::<Vec<f32>>() };
        assert_eq!(losses.len(), step);
        losses.push(loss);
    }
    let mut owned = Owned::new(Rounding::Plain, Share::None, Share::Global, false);
    let mut losses: Vec<f32> = vec![];
    owned.run.each = Some(each);
    owned.run.context = (&raw mut losses).cast();
    over_c(&owned.run, DEFAULT);
    assert_eq!(losses.len(), STEPS);
    assert!(losses[STEPS - 1] < losses[0]);
}

/// A fault in a run, a method and the results.
type Fault = fn(&mut Owned, &mut Method, &mut Results);

#[rustfmt::skip]
fn faults() -> Vec<(&'static str, Code, Fault)> {
    vec![
        ("abi", Code::Abi, |o, _, _| o.run.abi = 0),
        ("arithmetic", Code::Enum, |o, _, _| o.run.arithmetic = 2),
        ("no widths", Code::Null, |o, _, _| o.run.widths = In::NULL),
        ("one width", Code::Range, |o, _, _| o.run.widths_len = 1),
        ("many widths", Code::Size, |o, _, _| o.run.widths_len = usize::MAX / 2),
        ("width 0", Code::Empty, |o, _, _| o.run.widths = input(&[5, 0, 3])),
        ("wide", Code::Size, |o, _, _| o.run.widths = input(&[5, usize::MAX / 4, 3])),
        ("other network", Code::Length, |o, _, _| { o.run.widths = input(&[5, 5, 3]) }),
        ("no inputs", Code::Null, |o, _, _| o.run.features = In::NULL),
        ("both inputs", Code::Unsupported, |o, _, _| o.run.pixels = input(&[1])),
        ("NaN in features", Code::NotFinite, |o, _, _| { o.features[99] = f32::NAN; o.point() }),
        ("mean", Code::NotFinite, |o, _, _| o.run.mean = f32::INFINITY),
        ("no labels", Code::Null, |o, _, _| o.run.labels = In::NULL),
        ("label", Code::Index, |o, _, _| { o.labels[19] = 3; o.point() }),
        ("no examples", Code::Empty, |o, _, _| o.run.examples = 0),
        ("many examples", Code::Range, |o, _, _| o.run.examples = u32::MAX as usize + 1),
        ("no training examples", Code::Empty, |o, _, _| o.run.train = 0),
        ("too many of them", Code::Range, |o, _, _| o.run.train = EXAMPLES + 1),
        ("no validation", Code::Null, |o, _, _| o.run.valid = In::NULL),
        ("none of it", Code::Empty, |o, _, _| o.run.valid_len = 0),
        ("validation example", Code::Index, |o, _, _| { o.valid[5] = EXAMPLES as u32; o.point() }),
        ("batch", Code::Empty, |o, _, _| o.run.batch = 0),
        ("large batch", Code::Size, |o, _, _| o.run.batch = usize::MAX / 8),
        ("chunk", Code::Size, |o, _, _| o.run.chunk = usize::MAX / 8),
        ("scale", Code::Enum, |o, _, _| o.run.scale.by = 6),
        ("negative share", Code::Enum, |o, _, _| o.run.penalty.by = -1),
        ("biases", Code::Enum, |o, _, _| o.run.scale.biases = 2),
        ("two penalties", Code::Unsupported, |o, _, _| o.run.l2 = 0.5),
        ("l2", Code::NotFinite, |o, _, _| o.run.l2 = f32::NAN),
        ("no h", Code::Null, |o, _, _| o.run.h = In::NULL),
        ("short h", Code::Length, |o, _, _| o.run.h_len -= 1),
        ("NaN in h", Code::NotFinite, |o, _, _| { o.h[0] = f32::NAN; o.point() }),
        ("rule", Code::Enum, |o, _, _| o.run.rule = 3),
        ("decay", Code::Range, |o, _, _| { o.run.rule = Moves::Adam as i32; o.run.decay = -1.0 }),
        ("b2", Code::Range, |o, _, _| { o.run.rule = Moves::Adam as i32; o.run.b2 = 1.0 }),
        ("groups", Code::Enum, |o, _, _| o.run.groups.by = 77),
        ("rates", Code::Length, |o, _, _| o.run.rates_len = 2),
        ("no rates", Code::Null, |o, _, _| o.run.rates = In::NULL),
        ("infinite rate", Code::NotFinite, |o, _, _| { o.rates[0] = f32::INFINITY; o.point() }),
        ("momenta", Code::Length, |o, _, _| o.run.momenta_len = STEPS + 1),
        ("momentum 1", Code::Range, |o, _, _| { o.momenta[0] = 1.0; o.point() }),
        ("momentum below 0", Code::Range, |o, _, _| { o.momenta[0] = -0.5; o.point() }),
        ("momentum NaN", Code::NotFinite, |o, _, _| { o.momenta[0] = f32::NAN; o.point() }),
        ("no steps", Code::Empty, |o, _, _| o.run.steps = 0),
        ("2^32 steps", Code::Range, |o, _, _| o.run.steps = 1 << 32),
        ("weights and a seed", Code::Length, |o, _, _| o.run.w0_len = P),
        ("weights of another length", Code::Length, |o, _, _| { o.w0 = vec![0.1; P]; o.run.w0_len = P - 1; o.run.log_scales_len = 0 }),
        ("NaN in weights", Code::NotFinite, |o, _, _| { o.w0 = vec![f32::NAN; P]; o.run.w0_len = P; o.run.log_scales_len = 0 }),
        ("no scales", Code::Null, |o, _, _| o.run.log_scales = In::NULL),
        ("scales", Code::Length, |o, _, _| o.run.log_scales_len = 2),
        ("NaN in scales", Code::NotFinite, |o, _, _| { o.log_scales[0] = f32::NAN; o.point() }),
        ("misaligned features", Code::Misaligned, |o, _, _| {
            // SAFETY: it is refused before it is read.
            o.run.features = unsafe { In::new(o.features.as_ptr().cast::<u8>().wrapping_add(2).cast()) }
        }),
        ("path", Code::Enum, |_, m, _| m.path = 10),
        ("levels", Code::Enum, |_, m, _| m.levels = 5),
        ("spacing NaN", Code::NotFinite, |_, m, _| m.spacing = f32::NAN),
        ("spacing", Code::Range, |_, m, _| m.spacing = 20.0),
        ("more hats than steps", Code::Range, |_, m, _| m.size = STEPS + 1),
        ("many hats", Code::Size, |_, m, _| m.size = usize::MAX / 4),
        ("many snapshots", Code::Size, |_, m, _| *m = Method { size: usize::MAX / 8, ..way(Way::Checkpoints) }),
        ("many polynomials", Code::Size, |_, m, _| *m = Method { size: usize::MAX / 8, ..way(Way::Legendre) }),
        ("polynomials", Code::Range, |_, m, _| *m = Method { size: STEPS + 2, ..way(Way::Legendre) }),
        ("tail of a reversal", Code::Unsupported, |_, m, _| *m = Method { tail: 3, ..way(Way::Reversible) }),
        ("all tail", Code::Range, |_, m, _| m.tail = STEPS),
        ("last", Code::Range, |_, m, _| m.last = STEPS + 1),
        ("reversal without momentum", Code::Unsupported, |o, m, _| { o.momenta[0] = 0.0; o.point(); *m = way(Way::Reversible) }),
        ("reversal of a small momentum", Code::Range, |o, m, _| { o.momenta[0] = 1e-6; o.point(); *m = way(Way::Reversible) }),
        ("reversal that overflows", Code::Overflow, |o, m, _| { o.rates[0] = 1e4; o.point(); *m = way(Way::Reversible) }),
        ("hats of Adam", Code::Unsupported, |o, m, _| { o.run.rule = Moves::Adam as i32; o.rates[0] = 0.01; o.point(); m.tail = TAIL_NONE }),
        ("knots of Adam", Code::Unsupported, |o, m, _| { o.run.rule = Moves::Adam as i32; *m = way(Way::Knots) }),
        ("polynomials of Adam", Code::Unsupported, |o, m, _| { o.run.rule = Moves::Adam as i32; *m = way(Way::Legendre) }),
        ("reversal of Nesterov", Code::Unsupported, |o, m, _| { o.run.rule = Moves::Nesterov as i32; *m = way(Way::Reversible) }),
        ("diverges", Code::Diverged, |o, _, _| { o.rates[0] = 1e30; o.point() }),
        ("no d_h", Code::Null, |_, _, r| r.d_h = Out::NULL),
        ("short d_h", Code::Length, |_, _, r| r.d_h_len -= 1),
        ("long d_rates", Code::Length, |_, _, r| r.d_rates_len += 1),
        ("d_momenta without a pointer", Code::Length, |_, _, r| r.d_momenta = Out::NULL),
        ("short d_w0", Code::Length, |_, _, r| r.d_w0_len -= 1),
        ("short w", Code::Length, |_, _, r| r.w_len -= 1),
        ("log scales of weights given", Code::Unsupported, |o, _, r| { o.w0 = vec![0.1; P]; o.run.w0_len = P; o.run.log_scales_len = 0; r.d_log_scales = r.d_rates; r.d_log_scales_len = 1 }),
        ("two results in one", Code::Overlap, |_, _, r| r.d_rates = r.d_momenta),
        ("a result on the features", Code::Overlap, |o, _, r| r.d_w0 = output(&mut o.features)),
        ("a result on the run's rates", Code::Overlap, |o, _, r| r.d_rates = output(&mut o.rates)),
    ]
}

#[test]
fn every_fault_has_its_code_and_leaves_the_results_as_they_were() {
    for (name, want, fault) in faults() {
        let mut owned = Owned::new(Rounding::Plain, Share::Unit, Share::Layer, false);
        let mut all = marked(&owned.run);
        let before = all.clone();
        let (mut method, mut results) = (DEFAULT, results(&mut all));
        // Enough for any method here; that a word too few is refused is another test.
        let mut memory = vec![0u32; 1 << 16];
        fault(&mut owned, &mut method, &mut results);
        if !owned.w0.is_empty() {
            owned.run.w0 = input(&owned.w0);
        }
        let (faulty, method, results) = ([owned.run], [method], &mut [results]);
        let n = memory.len();
        let got = drmad_hypergradient(
            input(&faulty),
            input(&method),
            output(&mut memory),
            n,
            output(results),
        );
        assert_eq!(got, want as i32, "{name}");
        assert_eq!(all, before, "{name}");
        assert_eq!(
            (results[0].valid_loss, results[0].steps_back),
            (MARK, 77),
            "{name}"
        );
    }
}

#[test]
fn the_memory_must_be_there_aligned_long_enough_and_apart() {
    let owned = Owned::new(Rounding::Plain, Share::Unit, Share::None, false);
    let (run, method) = ([owned.run], [DEFAULT]);
    let mut all = marked(&owned.run);
    let before = all.clone();
    let mut out = [results(&mut all)];
    let mut words = [0];
    let len = |words: &mut [usize], out: &[Results]| {
        drmad_hypergradient_required_len(input(&run), input(&method), input(out), output(words))
    };
    assert_eq!(len(&mut words, &out), 0);
    let mut memory = vec![0u32; words[0] + 1];
    let place = memory.as_mut_ptr();
    // SAFETY: the memory outlives the calls.
    let at =
        |bytes: usize| unsafe { Out::new(place.cast::<u8>().wrapping_add(bytes).cast::<u32>()) };
    let call = |memory: Out<u32>, len: usize, out: &mut [Results]| {
        drmad_hypergradient(input(&run), input(&method), memory, len, output(out))
    };
    assert_eq!(call(Out::NULL, words[0], &mut out), Code::Null as i32);
    assert_eq!(call(at(1), words[0], &mut out), Code::Misaligned as i32);
    assert_eq!(call(at(0), words[0] - 1, &mut out), Code::Length as i32);
    assert_eq!(call(at(0), 0, &mut out), Code::Length as i32);
    assert_eq!(call(at(0), usize::MAX / 4 + 1, &mut out), Code::Size as i32);
    // SAFETY: refused before it is used.
    let on_result = unsafe { Out::new(all.d_h.as_mut_ptr().cast::<u32>()) };
    assert_eq!(call(on_result, words[0], &mut out), Code::Overlap as i32);
    let on_widths = unsafe { Out::new(WIDTHS.as_ptr().cast_mut().cast::<u32>()) };
    assert_eq!(call(on_widths, words[0], &mut out), Code::Overlap as i32);
    let on_run = unsafe { Out::new((&raw const run).cast_mut().cast::<u32>()) };
    assert_eq!(call(on_run, words[0], &mut out), Code::Overlap as i32);
    assert!(
        memory.iter().all(|word| *word == 0),
        "a refused call does not touch the memory"
    );
    assert_eq!(all, before);
    // An address that is a multiple of 4 alone does, too.
    let odd = if place.addr().is_multiple_of(8) { 4 } else { 0 };
    assert_eq!(call(at(odd), words[0], &mut out), 0);
    assert_ne!(all, before);
    let [null_run, null_method] = [
        drmad_hypergradient(In::NULL, input(&method), at(0), words[0], output(&mut out)),
        drmad_hypergradient(input(&run), In::NULL, at(0), words[0], output(&mut out)),
    ];
    assert_eq!([null_run, null_method], [Code::Null as i32; 2]);
    assert_eq!(call(at(0), words[0], &mut []), Code::Null as i32);
}

#[test]
fn snapshots_lie_wherever_the_memory_begins() {
    let owned = Owned::new(Rounding::Plain, Share::Unit, Share::None, false);
    let (run, method) = ([owned.run], [way(Way::Checkpoints)]);
    let want = over_c(&owned.run, way(Way::Tape));
    for odd in 0..4 {
        let mut all = marked(&owned.run);
        let mut out = [results(&mut all)];
        let mut words = [0];
        let code = drmad_hypergradient_required_len(
            input(&run),
            input(&method),
            input(&out),
            output(&mut words),
        );
        assert_eq!(code, 0);
        let mut memory = vec![0u32; words[0] + odd];
        let memory = output(&mut memory[odd..]);
        let code = drmad_hypergradient(
            input(&run),
            input(&method),
            memory,
            words[0],
            output(&mut out),
        );
        (all.valid_loss, all.steps_back) = (out[0].valid_loss, out[0].steps_back);
        assert_eq!((code, &all), (0, &want));
    }
}

#[test]
fn implicit_differentiation_has_its_refusals() {
    let owned = Owned::new(Rounding::Plain, Share::None, Share::Layer, false);
    let run = [owned.run];
    let good = System {
        solver: Solve::ConjugateGradients as i32,
        rate: 0.0,
        iterations: 5,
        tolerance: 0.0,
        damping: 1.0,
    };
    let mut all = marked(&owned.run);
    let before = all.clone();
    let mut memory = vec![0u32; 1 << 14];
    let mut call = |system: System, out: &mut Results| {
        let (n, memory) = (memory.len(), output(&mut memory));
        drmad_implicit(
            input(&run),
            input(&[system]),
            memory,
            n,
            output(std::slice::from_mut(out)),
        )
    };
    let mut all_wanted = results(&mut all);
    assert_eq!(call(good, &mut all_wanted), Code::Unsupported as i32);
    let mut out = Results {
        d_rates: Out::NULL,
        d_rates_len: 0,
        d_momenta: Out::NULL,
        d_momenta_len: 0,
        d_w0: Out::NULL,
        d_w0_len: 0,
        ..all_wanted
    };
    for (want, system) in [
        (Code::Enum, System { solver: 2, ..good }),
        (
            Code::Empty,
            System {
                iterations: 0,
                ..good
            },
        ),
        (
            Code::NotFinite,
            System {
                damping: f32::NAN,
                ..good
            },
        ),
        (
            Code::Range,
            System {
                damping: -1.0,
                ..good
            },
        ),
        (
            Code::Range,
            System {
                tolerance: 2.0,
                ..good
            },
        ),
        (
            Code::Unsolved,
            System {
                solver: Solve::Neumann as i32,
                rate: 1e6,
                ..good
            },
        ),
    ] {
        assert_eq!(call(system, &mut out), want as i32, "{system:?}");
        assert_eq!(all, before, "{system:?}");
    }
    assert_eq!(call(good, &mut out), 0);
    assert!(out.steps_back <= 5 && out.residual < 0.1 && out.slope > 0.0);
    assert_ne!(all.d_h, before.d_h);
}
