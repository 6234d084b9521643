//! Operations on a training: the bits are those of the Rust interface, and every fault in a training, a method, a
//! result or the memory has its code and leaves the results as they were.
//!
//! (That `golden/hypergradients.txt` has its bits over C, the program `tests/vectors.c` shows, which `capi/run`
//! compares.)

use std::ffi::{CStr, c_char, c_void};
use std::slice::{from_mut, from_ref};

use drmad::group::Granularity;
use drmad::layers::Layer::{Dense, Relu, Tanh};
use drmad::method;
use drmad::models::{Features, Pixels};
use drmad::network::{self, Network};
use drmad::path::Levels;
use drmad::training as core;
use drmad::training::Compiled;
use drmad::{Fused, Plain};
use drmad_c::error::Code;
use drmad_c::operations::*;
use drmad_c::raw::{In, Out};
use drmad_c::types::*;

const INPUTS: usize = 5;
const CLASSES: usize = 3;
const P: usize = 6 * 4 + 5 * CLASSES;
const TRAIN: usize = 14;
const VALID: usize = 6;
// Miri takes a second a step.
const STEPS: usize = if cfg!(miri) { 16 } else { 40 };
const MARK: f32 = 77.0;

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

/// Examples with all that their pointers point to.
#[derive(Default)]
struct Data {
    features: Vec<f32>,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    targets: Vec<f32>,
}

impl Data {
    fn given(&self, len: usize) -> Examples {
        Examples {
            len,
            features: input(&self.features),
            pixels: input(&self.pixels),
            mean: if self.pixels.is_empty() { 0.0 } else { 0.25 },
            labels: input(&self.labels),
            targets: input(&self.targets),
        }
    }
}

/// A training with all that its pointers point to.
struct Owned {
    layers: Vec<Layer>,
    tuned: Vec<Tuned>,
    train: Data,
    valid: Data,
    h: Vec<f32>,
    initial: Vec<f32>,
    training: Training,
}

const fn tuned(what: What, by: By) -> Tuned {
    Tuned {
        what: what as i32,
        by: by as i32,
        each_step: 0,
        parametrisation: 0,
    }
}

const fn natural(what: What, by: By) -> Tuned {
    Tuned {
        parametrisation: Parametrisation::Natural as i32,
        ..tuned(what, by)
    }
}

/// Rates and momenta are numbers that a fault is easily put into.
const SCALES_AND_STEPS: &[Tuned] = &[
    tuned(What::Scale, By::Unit),
    natural(What::Rate, By::Global),
    natural(What::Momentum, By::Global),
];

impl Owned {
    fn new(rounding: Rounding, blocks: &[Tuned], pixels: bool) -> Owned {
        let mut noise = Noise(5);
        let mut data = |len: usize| Data {
            features: match pixels {
                true => vec![],
                false => noise.numbers(len * INPUTS),
            },
            pixels: match pixels {
                true => (0..len * INPUTS).map(|_| noise.word() as u8).collect(),
                false => vec![],
            },
            labels: (0..len).map(|_| (noise.word() % 3) as u8).collect(),
            targets: vec![],
        };
        let (train, valid) = (data(TRAIN), data(VALID));
        let layer = |kind: Kind, units| Layer {
            kind: kind as i32,
            units,
        };
        let mut owned = Owned {
            layers: vec![
                layer(Kind::Dense, 4),
                layer(Kind::Tanh, 0),
                layer(Kind::Dense, CLASSES),
            ],
            tuned: blocks.to_vec(),
            training: Training {
                abi: ABI,
                arithmetic: rounding as i32,
                inputs: INPUTS,
                layers: In::NULL,
                layers_len: 3,
                loss: 0,
                l2: 0.01,
                train: train.given(TRAIN),
                valid: valid.given(VALID),
                tuned: In::NULL,
                tuned_len: blocks.len(),
                h: In::NULL,
                h_len: 0,
                optimizer: 0,
                b2: 0.0,
                eps: 0.0,
                decay: 0.0,
                rate: 0.4,
                momentum: 0.8,
                batch: 6,
                microbatch: 4,
                steps: STEPS,
                seed: 9,
                initial: In::NULL,
                initial_len: 0,
                log_scale: -0.5,
                each: None,
                context: std::ptr::null_mut(),
            },
            train,
            valid,
            h: vec![],
            initial: vec![],
        };
        owned.point();
        let hypers = owned.sizes(HATS).hypers;
        owned.h = noise
            .numbers(hypers)
            .iter()
            .map(|h| 0.3 + 0.2 * h)
            .collect();
        owned.training.h_len = hypers;
        owned.point();
        owned
    }

    /// Sets the pointers to what they point to.
    fn point(&mut self) {
        let training = &mut self.training;
        training.layers = input(&self.layers);
        training.tuned = input(&self.tuned);
        training.train = self.train.given(TRAIN);
        training.valid = self.valid.given(VALID);
        (training.h, training.initial) = (input(&self.h), input(&self.initial));
    }

    fn sizes(&self, method: Method) -> Sizes {
        let mut sizes = Sizes::default();
        let training = from_ref(&self.training);
        let told = output(from_mut(&mut sizes));
        assert_eq!(drmad_sizes(input(training), input(&[method]), told), 0);
        sizes
    }

    fn memory(&self, method: Method) -> Vec<u32> {
        vec![0xffff_ffff; self.sizes(method).memory]
    }

    /// Everything that a hypergradient gives; the derivative by the initial weights where it is one of a sweep.
    fn hypergradient(&self, method: Method) -> All {
        let mut all = All::marked(self.h.len());
        if method.name > MethodName::Reversed as i32 {
            all.d_w0.clear();
        }
        let mut memory = self.memory(method);
        let n = memory.len();
        let mut results = all.results();
        let code = drmad_hypergradient(
            input(from_ref(&self.training)),
            input(&[method]),
            output(&mut memory),
            n,
            output(from_mut(&mut results)),
        );
        assert_eq!(code, 0, "{method:?}");
        (all.valid_loss, all.steps_back) = (results.valid_loss, results.steps_back);
        all
    }
}

const HATS: Method = Method {
    name: 0,
    levels: 0,
    size: 0,
    spacing: 0.0,
    tail: 0,
    last: 0,
    drops_negative_curvature: 0,
    rate: 0.0,
    tolerance: 0.0,
    damping: 0.0,
};

const fn method(name: MethodName) -> Method {
    Method {
        name: name as i32,
        ..HATS
    }
}

#[derive(Clone, Debug, PartialEq)]
struct All {
    d_h: Vec<f32>,
    d_w0: Vec<f32>,
    valid_loss: f32,
    steps_back: usize,
}

impl All {
    fn marked(hypers: usize) -> All {
        All {
            d_h: vec![MARK; hypers],
            d_w0: vec![MARK; P],
            valid_loss: MARK,
            steps_back: 77,
        }
    }

    fn results(&mut self) -> Results {
        Results {
            d_h: output(&mut self.d_h),
            d_h_len: self.d_h.len(),
            d_w0: output(&mut self.d_w0),
            d_w0_len: self.d_w0.len(),
            valid_loss: MARK,
            steps_back: 77,
            residual: MARK,
            slope: MARK,
        }
    }
}

/// The same training by the Rust interface.
fn over_rust<A: Compiled<f32>>(
    owned: &Owned,
    training: core::Training<'_>,
    method: method::Method,
    train: &dyn core::Source,
    valid: &dyn core::Source,
) -> All {
    struct DW0(Vec<f32>);
    impl core::Observer<f32> for DW0 {
        fn by_initial_weights(&mut self, d_w0: &[f32]) {
            self.0 = d_w0.to_vec();
        }
    }
    let mut memory = vec![0.0; training.need::<f32>(method).len()];
    let losses = training.losses::<A>(train, valid).unwrap();
    let (mut d_h, mut d_w0) = (vec![0.0; owned.h.len()], DW0(vec![]));
    let on = losses.on();
    let outcome = training.observed(method, on, &owned.h, &mut d_h, &mut memory, &mut d_w0);
    let outcome = outcome.unwrap();
    All {
        d_h,
        d_w0: d_w0.0,
        valid_loss: outcome.valid_loss,
        steps_back: outcome.steps_back,
    }
}

fn methods() -> Vec<(Method, method::Method)> {
    use drmad::method::{Method as M, Recall, Sweep};
    let hats = Recall::Hats {
        intervals: 5,
        levels: Levels::Full,
        spacing: Some(1.0),
    };
    vec![
        (HATS, M::HATS),
        (method(MethodName::Tape), M::TAPE),
        (
            Method {
                levels: LEVELS_FULL,
                size: 5,
                spacing: 1.0,
                tail: TAIL_NONE,
                drops_negative_curvature: 1,
                ..HATS
            },
            M::Sweep(Sweep {
                tail: Some(0),
                drops_negative_curvature: true,
                ..Sweep::over(hats)
            }),
        ),
        (
            Method {
                rate: 1.5,
                ..method(MethodName::LinePublished)
            },
            M::Sweep(Sweep::over(Recall::PublishedLine { rate_scale: 1.5 })),
        ),
        (method(MethodName::Forward), M::Forward),
    ]
}

fn bits_are_those_of_rust<A: Compiled<f32>>(rounding: Rounding, pixels: bool) {
    let blocks = [
        tuned(What::Momentum, By::Layer),
        tuned(What::Penalty, By::Unit),
        Tuned {
            each_step: 1,
            ..natural(What::Rate, By::Layer)
        },
    ];
    let short = 12;
    let mut owned = Owned::new(rounding, &blocks, pixels);
    (owned.layers[1].kind, owned.training.steps) = (Kind::Relu as i32, short);
    owned.h.truncate(2 + 9 + 2 * short);
    owned.training.h_len = owned.h.len();
    let network = Network {
        inputs: INPUTS,
        layers: &[Dense(4), Relu, Dense(CLASSES)],
        loss: network::Loss::CrossEntropy,
    };
    let described = [
        core::Tuned::new(core::What::Momentum, Granularity::Layer),
        core::Tuned::new(core::What::Penalty, Granularity::Unit),
        core::Tuned {
            each_step: true,
            parametrisation: None,
            ..core::Tuned::new(core::What::Rate, Granularity::Layer)
        },
    ];
    let training = core::Training {
        valid_examples: VALID,
        tuned: &described,
        rate: 0.4,
        momentum: 0.8,
        l2: 0.01,
        batch: 6,
        microbatch: Some(4),
        seed: 9,
        log_scale: -0.5,
        ..core::Training::of(network, TRAIN, short)
    };
    let all: Vec<u32> = (0..TRAIN as u32).collect();
    let images = |data: &'static Data| -> Box<dyn core::Source> {
        let (labels, width) = (&data.labels[..], INPUTS);
        match pixels {
            false => Box::new(Features {
                x: &data.features,
                labels,
                width,
            }),
            true => Box::new(Pixels {
                bytes: &data.pixels,
                labels,
                width,
                chosen: &all.clone().leak()[..labels.len()],
                mean: 0.25,
            }),
        }
    };
    let owned: &'static Owned = Box::leak(Box::new(owned));
    let (train, valid) = (images(&owned.train), images(&owned.valid));
    for (over_c, method) in methods() {
        let want = over_rust::<A>(owned, training, method, &*train, &*valid);
        assert_eq!(owned.hypergradient(over_c), want, "{method:?}");
    }
}

#[test]
fn trainings_have_the_bits_of_the_rust_interface() {
    bits_are_those_of_rust::<Plain>(Rounding::Plain, false);
    bits_are_those_of_rust::<Fused>(Rounding::Fused, true);
}

#[test]
fn what_belongs_to_examples_is_tuned_too_and_targets_are_learned() {
    let network = Network {
        inputs: INPUTS,
        layers: &[Dense(4), Tanh, Dense(CLASSES)],
        loss: network::Loss::SquaredError,
    };
    for (what, named) in [
        (What::ExampleWeight, core::What::ExampleWeight),
        (What::Input, core::What::Input),
    ] {
        let mut owned = Owned::new(Rounding::Fused, &[tuned(what, By::Global)], false);
        owned.training.loss = Loss::SquaredError as i32;
        let targets = |data: &mut Data| {
            data.targets = Noise(8).numbers(data.labels.len() * CLASSES);
            data.labels.clear();
        };
        targets(&mut owned.train);
        targets(&mut owned.valid);
        owned.point();
        struct Rows<'a>(&'a Data, usize);
        impl core::Source for Rows<'_> {
            fn len(&self) -> usize {
                self.1
            }
            fn inputs(&self) -> usize {
                INPUTS
            }
            fn targets(&self) -> Option<usize> {
                Some(CLASSES)
            }
            fn input(&self, i: u32) -> Result<core::Input<'_>, drmad::Error> {
                let row = &self.0.features[i as usize * INPUTS..][..INPUTS];
                Ok(core::Input::Numbers(row))
            }
            fn target(&self, i: u32) -> Result<core::Target<'_>, drmad::Error> {
                let row = &self.0.targets[i as usize * CLASSES..][..CLASSES];
                Ok(core::Target::Numbers(row))
            }
        }
        let training = core::Training {
            valid_examples: VALID,
            tuned: &[core::Tuned::new(named, Granularity::Global)],
            rate: 0.4,
            momentum: 0.8,
            l2: 0.01,
            batch: 6,
            microbatch: Some(4),
            seed: 9,
            log_scale: -0.5,
            ..core::Training::of(network, TRAIN, STEPS)
        };
        let (train, valid) = (Rows(&owned.train, TRAIN), Rows(&owned.valid, VALID));
        let want = over_rust::<Fused>(&owned, training, method::Method::TAPE, &train, &valid);
        assert_eq!(owned.hypergradient(method(MethodName::Tape)), want);
    }
}

#[test]
fn training_losses_and_predictions_agree_with_each_other() {
    for blocks in [SCALES_AND_STEPS, &[tuned(What::Penalty, By::Tensor)]] {
        let owned = Owned::new(Rounding::Fused, blocks, false);
        let all = owned.hypergradient(method(MethodName::Tape));
        let (training, tape) = (input(from_ref(&owned.training)), [method(MethodName::Tape)]);
        let mut memory = owned.memory(tape[0]);
        let (mut w, mut loss) = (vec![MARK; P], [MARK]);
        let train = |memory: &mut [u32], w: &mut [f32], loss: &mut [f32]| {
            let (n, memory, p) = (memory.len(), output(memory), w.len());
            drmad_train(
                training,
                input(&tape),
                memory,
                n,
                output(w),
                p,
                output(loss),
            )
        };
        let short = Code::Length as i32;
        assert_eq!(train(&mut memory[1..], &mut w, &mut loss), short);
        assert_eq!(train(&mut memory, &mut w[1..], &mut loss), short);
        assert_eq!((w[1], loss), (MARK, [MARK]));
        assert_eq!(train(&mut memory, &mut w, &mut loss), 0);
        assert_eq!(loss[0], all.valid_loss);

        let mut memory = owned.memory(method(MethodName::Direct));
        let (n, mut again) = (memory.len(), [MARK]);
        let lent = output(&mut memory);
        let code = drmad_valid_loss(training, lent, n, input(&w), P, output(&mut again));
        assert_eq!((code, again), (0, loss));

        let mut p = vec![MARK; VALID * CLASSES];
        let predict = |memory: &mut [u32], w: &[f32], p: &mut [f32]| {
            let (memory, n, len) = (output(memory), memory.len(), p.len());
            drmad_predict(training, memory, n, input(w), w.len(), output(p), len)
        };
        assert_eq!(predict(&mut memory[1..], &w, &mut p), short);
        assert_eq!(predict(&mut memory, &w[1..], &mut p), short);
        assert_eq!(predict(&mut memory, &w, &mut p[1..]), short);
        assert_eq!(
            predict(&mut memory, &[3e38; P], &mut p),
            Code::Diverged as i32
        );
        assert!(p.iter().all(|p| *p == MARK));
        assert_eq!(predict(&mut memory, &w, &mut p), 0);
        // The mean of the logarithms of what each example's own class got.
        let rows = owned.valid.labels.iter().zip(p.chunks(CLASSES));
        let logs = rows.map(|(label, p)| -f64::from(p[usize::from(*label)]).ln());
        let mean = logs.sum::<f64>() / VALID as f64;
        assert!((mean - f64::from(loss[0])).abs() < 1e-6, "{mean} {loss:?}");
    }
}

#[test]
fn weights_given_are_those_drawn() {
    let mut owned = Owned::new(Rounding::Plain, &[tuned(What::Penalty, By::Global)], false);
    let want = owned.hypergradient(HATS);
    owned.initial = vec![0.0; P];
    let place = output(&mut owned.initial);
    assert_eq!(drmad_c::random::drmad_normal(9, -0.5, 0, place, P), 0);
    owned.training.initial_len = P;
    owned.point();
    assert_eq!(owned.hypergradient(HATS), want);
}

#[test]
fn progress_is_told() {
    extern "C" fn each(context: *mut c_void, step: usize, loss: f32) {
        // SAFETY: the context is the vector below.
        let losses = unsafe { &mut *context.cast::<Vec<f32>>() };
        assert_eq!(losses.len(), step);
        losses.push(loss);
    }
    let mut owned = Owned::new(Rounding::Plain, &[tuned(What::Penalty, By::Global)], false);
    let mut losses: Vec<f32> = vec![];
    owned.training.each = Some(each);
    owned.training.context = (&raw mut losses).cast();
    owned.hypergradient(HATS);
    assert_eq!(losses.len(), STEPS);
    assert!(losses[STEPS - 1] < losses[0]);
}

#[test]
fn each_hyperparameter_has_its_name_and_its_natural_value() {
    let blocks = [
        tuned(What::Penalty, By::Layer),
        Tuned {
            each_step: 1,
            ..tuned(What::Momentum, By::Tensor)
        },
        tuned(What::Input, By::Global),
    ];
    let owned = Owned::new(Rounding::Plain, &blocks, false);
    let training = input(from_ref(&owned.training));
    let name = |j: usize, len: usize| {
        let mut text = [77 as c_char; NAME_LEN];
        let code = drmad_hyper_name(training, j, output(&mut text), len);
        if code != 0 {
            assert!(text.iter().all(|c| *c == 77));
            return Err(code);
        }
        // SAFETY: it ends with a zero.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        Ok(text.to_str().unwrap().to_string())
    };
    let n = owned.h.len();
    for (j, want) in [
        (1, "penalty, layer 2"),
        (2, "momentum, layer 1, weights, step 0"),
        (7, "momentum, layer 1, biases, step 1"),
        (n - 1, "input 4 of example 13"),
    ] {
        assert_eq!(name(j, NAME_LEN).as_deref(), Ok(want));
    }
    assert_eq!(name(n, NAME_LEN), Err(Code::Index as i32));
    assert_eq!(name(1, "penalty, layer 2".len()), Err(Code::Length as i32));
    assert!(name(1, "penalty, layer 2".len() + 1).is_ok());

    let values = |h: &mut [f32]| {
        let n = h.len();
        drmad_hyper_values(training, output(h), n)
    };
    let mut h = owned.h.clone();
    assert_eq!(values(&mut h), 0);
    assert!((h[0] - owned.h[0].exp()).abs() < 1e-6);
    assert!((h[2] - 1.0 / (1.0 + (-owned.h[2]).exp())).abs() < 1e-6);
    assert_eq!(h[n - 1], owned.h[n - 1]);
    let mut far = owned.h.clone();
    far[1] = 100.0;
    let before = far.clone();
    assert_eq!(values(&mut far), Code::NotFinite as i32);
    assert_eq!(
        far, before,
        "the first is not changed where the second is refused"
    );
    assert_eq!(values(&mut far[1..]), Code::Length as i32);
}

/// A fault in a training, a method and the results.
type Fault = fn(&mut Owned, &mut Method, &mut Results);

/// The place of the rate and that of the momentum.
const RATE: usize = 9;
const MOMENTUM: usize = 10;

#[rustfmt::skip]
fn faults() -> Vec<(&'static str, Code, Fault)> {
    vec![
        ("abi", Code::Abi, |o, _, _| o.training.abi = 0),
        ("arithmetic", Code::Enum, |o, _, _| o.training.arithmetic = 2),
        ("no inputs", Code::Empty, |o, _, _| o.training.inputs = 0),
        ("no layers", Code::Null, |o, _, _| o.training.layers = In::NULL),
        ("none of them", Code::Empty, |o, _, _| o.training.layers_len = 0),
        ("an activation last", Code::Unsupported, |o, _, _| o.training.layers_len = 2),
        ("an activation first", Code::Unsupported, |o, _, _| o.layers[0] = o.layers[1]),
        ("units of an activation", Code::Range, |o, _, _| o.layers[1].units = 4),
        ("many layers", Code::Size, |o, _, _| o.training.layers_len = usize::MAX / 2),
        ("33 layers", Code::Range, |o, _, _| { o.layers = vec![o.layers[0]; 33]; o.training.layers_len = 33; o.point() }),
        ("layer", Code::Enum, |o, _, _| o.layers[1].kind = 3),
        ("no units", Code::Empty, |o, _, _| o.layers[0].units = 0),
        ("wide", Code::Size, |o, _, _| o.layers[0].units = usize::MAX / 4),
        ("other network", Code::Length, |o, _, _| o.training.inputs = 6),
        ("loss", Code::Enum, |o, _, _| o.training.loss = 2),
        ("no features", Code::Null, |o, _, _| o.training.train.features = In::NULL),
        ("both inputs", Code::Unsupported, |o, _, _| o.training.valid.pixels = input(&[1])),
        ("both targets", Code::Unsupported, |o, _, _| o.training.valid.targets = input(&[1.0])),
        ("NaN in features", Code::NotFinite, |o, _, _| o.valid.features[29] = f32::NAN),
        ("mean", Code::NotFinite, |o, _, _| o.training.train.mean = f32::INFINITY),
        ("no labels", Code::Null, |o, _, _| o.training.train.labels = In::NULL),
        ("label", Code::Index, |o, _, _| o.train.labels[13] = 3),
        ("validation label", Code::Index, |o, _, _| o.valid.labels[5] = 3),
        ("no examples", Code::Empty, |o, _, _| o.training.train.len = 0),
        ("no validation", Code::Empty, |o, _, _| o.training.valid.len = 0),
        ("many examples", Code::Range, |o, _, _| o.training.train.len = u32::MAX as usize + 1),
        ("batch", Code::Empty, |o, _, _| o.training.batch = 0),
        ("large batch", Code::Size, |o, _, _| o.training.batch = usize::MAX / 8),
        ("microbatch", Code::Size, |o, _, _| o.training.microbatch = usize::MAX / 8),
        ("no blocks", Code::Null, |o, _, _| o.training.tuned = In::NULL),
        ("many blocks", Code::Unsupported, |o, _, _| { o.tuned = vec![o.tuned[0]; 8]; o.training.tuned_len = 8; o.point() }),
        ("two of a kind", Code::Unsupported, |o, _, _| o.tuned[1].what = What::Momentum as i32),
        ("what", Code::Enum, |o, _, _| o.tuned[0].what = 7),
        ("negative what", Code::Enum, |o, _, _| o.tuned[0].what = -1),
        ("by", Code::Enum, |o, _, _| o.tuned[0].by = 5),
        ("a flag", Code::Enum, |o, _, _| o.tuned[0].each_step = 2),
        ("scales of each step", Code::Unsupported, |o, _, _| o.tuned[0].each_step = 1),
        ("parametrisation", Code::Enum, |o, _, _| o.tuned[0].parametrisation = 4),
        ("rates and momenta of other groups", Code::Unsupported, |o, _, _| o.tuned[1].by = By::Layer as i32),
        ("natural initial scales", Code::Unsupported, |o, _, _| o.tuned[0] = natural(What::InitialScale, By::Global)),
        ("l2", Code::NotFinite, |o, _, _| o.training.l2 = f32::NAN),
        ("no h", Code::Null, |o, _, _| o.training.h = In::NULL),
        ("short h", Code::Length, |o, _, _| o.training.h_len -= 1),
        ("NaN in h", Code::NotFinite, |o, _, _| o.h[0] = f32::NAN),
        ("h of no value", Code::Range, |o, _, _| o.h[0] = 100.0),
        ("optimizer", Code::Enum, |o, _, _| o.training.optimizer = 3),
        ("decay", Code::Range, |o, m, _| { o.training.optimizer = Optimizer::Adam as i32; o.training.decay = -1.0; *m = method(MethodName::Tape) }),
        ("b2", Code::Range, |o, m, _| { o.training.optimizer = Optimizer::Adam as i32; o.training.b2 = 1.0; *m = method(MethodName::Tape) }),
        ("eps", Code::NotFinite, |o, _, _| o.training.eps = f32::NAN),
        ("rate of no use", Code::NotFinite, |o, _, _| o.training.rate = f32::NAN),
        ("infinite rate", Code::NotFinite, |o, _, _| o.h[RATE] = f32::INFINITY),
        ("momentum 1", Code::Range, |o, _, _| o.h[MOMENTUM] = 1.0),
        ("momentum below 0", Code::Range, |o, _, _| o.h[MOMENTUM] = -0.5),
        ("no steps", Code::Empty, |o, _, _| o.training.steps = 0),
        ("2^32 steps", Code::Range, |o, _, _| o.training.steps = 1 << 32),
        ("weights and a seed", Code::Length, |o, _, _| o.training.initial_len = P),
        ("weights of another length", Code::Length, |o, _, _| { o.initial = vec![0.1; P]; o.training.initial_len = P - 1; o.point() }),
        ("NaN in weights", Code::NotFinite, |o, _, _| { o.initial = vec![f32::NAN; P]; o.training.initial_len = P; o.point() }),
        ("scale", Code::NotFinite, |o, _, _| o.training.log_scale = f32::NEG_INFINITY),
        ("misaligned features", Code::Misaligned, |o, _, _| {
            // SAFETY: it is refused before it is read.
            o.training.train.features = unsafe { In::new(o.train.features.as_ptr().cast::<u8>().wrapping_add(2).cast()) }
        }),
        ("method", Code::Enum, |_, m, _| m.name = 14),
        ("negative method", Code::Enum, |_, m, _| m.name = -1),
        ("levels", Code::Enum, |_, m, _| m.levels = 5),
        ("curvature", Code::Enum, |_, m, _| m.drops_negative_curvature = 2),
        ("spacing NaN", Code::NotFinite, |_, m, _| m.spacing = f32::NAN),
        ("spacing", Code::Range, |_, m, _| m.spacing = 20.0),
        ("more hats than steps", Code::Range, |_, m, _| m.size = STEPS + 1),
        ("many hats", Code::Size, |_, m, _| m.size = usize::MAX / 4),
        ("many snapshots", Code::Size, |_, m, _| *m = Method { size: usize::MAX / 8, ..method(MethodName::Checkpoints) }),
        ("many polynomials", Code::Size, |_, m, _| *m = Method { size: usize::MAX / 8, ..method(MethodName::Legendre) }),
        ("polynomials", Code::Range, |_, m, _| *m = Method { size: STEPS + 2, ..method(MethodName::Legendre) }),
        ("tail of a reversal", Code::Unsupported, |_, m, _| *m = Method { tail: 3, ..method(MethodName::Reversible) }),
        ("all tail", Code::Range, |_, m, _| m.tail = STEPS),
        ("last", Code::Range, |_, m, _| m.last = STEPS + 1),
        ("reversal without momentum", Code::Range, |o, m, _| { o.training.momentum = 0.0; *m = method(MethodName::Reversible) }),
        ("reversal of a small momentum", Code::Range, |o, m, _| { o.h[MOMENTUM] = 1e-6; *m = method(MethodName::Reversible) }),
        ("reversal of less momentum than was said", Code::Length, |o, m, _| { o.h[MOMENTUM] = 0.01; *m = method(MethodName::Reversible) }),
        ("reversal that overflows", Code::Overflow, |o, m, _| { o.h[RATE] = 1e4; o.h[MOMENTUM] = 0.8; *m = method(MethodName::Reversible) }),
        ("hats of Adam", Code::Unsupported, |o, m, _| { o.training.optimizer = Optimizer::Adam as i32; m.tail = TAIL_NONE }),
        ("knots of Adam", Code::Unsupported, |o, m, _| { o.training.optimizer = Optimizer::Adam as i32; *m = method(MethodName::Knots) }),
        ("reversal of Nesterov", Code::Unsupported, |o, m, _| { o.training.optimizer = Optimizer::Nesterov as i32; *m = method(MethodName::Reversible) }),
        ("diverges", Code::Diverged, |o, _, _| o.h[RATE] = 1e30),
        ("rates at the last weights", Code::Unsupported, |_, m, r| { *m = method(MethodName::Direct); r.d_w0 = Out::NULL; r.d_w0_len = 0 }),
        ("initial weights without a sweep", Code::Unsupported, |_, m, _| *m = method(MethodName::Forward)),
        ("no d_h", Code::Null, |_, _, r| r.d_h = Out::NULL),
        ("short d_h", Code::Length, |_, _, r| r.d_h_len -= 1),
        ("short d_w0", Code::Length, |_, _, r| r.d_w0_len -= 1),
        ("two results in one", Code::Overlap, |_, _, r| r.d_h = r.d_w0),
        ("a result on the features", Code::Overlap, |o, _, r| r.d_w0 = output(&mut o.train.features)),
        ("a result on h", Code::Overlap, |o, _, r| r.d_h = output(&mut o.h)),
    ]
}

#[test]
fn every_fault_has_its_code_and_leaves_the_results_as_they_were() {
    for (name, want, fault) in faults() {
        let mut owned = Owned::new(Rounding::Plain, SCALES_AND_STEPS, false);
        let mut all = All::marked(owned.h.len());
        let before = all.clone();
        let (mut method, mut results) = (HATS, all.results());
        // Enough for any method here; that a word too few is refused is another test.
        let mut memory = vec![0u32; 1 << 16];
        fault(&mut owned, &mut method, &mut results);
        let n = memory.len();
        let got = drmad_hypergradient(
            input(from_ref(&owned.training)),
            input(&[method]),
            output(&mut memory),
            n,
            output(from_mut(&mut results)),
        );
        assert_eq!(got, want as i32, "{name}");
        assert_eq!(all, before, "{name}");
        let written = (results.valid_loss, results.steps_back);
        assert_eq!(written, (MARK, 77), "{name}");
    }
}

#[test]
fn the_memory_must_be_there_aligned_long_enough_and_apart() {
    let owned = Owned::new(Rounding::Plain, SCALES_AND_STEPS, false);
    let (training, method) = ([owned.training], [HATS]);
    let mut all = All::marked(owned.h.len());
    let before = all.clone();
    let mut out = [all.results()];
    let words = owned.sizes(HATS).memory;
    let mut memory = vec![0u32; words + 1];
    let place = memory.as_mut_ptr();
    // SAFETY: the memory outlives the calls.
    let at =
        |bytes: usize| unsafe { Out::new(place.cast::<u8>().wrapping_add(bytes).cast::<u32>()) };
    let call = |memory: Out<u32>, len: usize, out: &mut [Results]| {
        drmad_hypergradient(input(&training), input(&method), memory, len, output(out))
    };
    assert_eq!(call(Out::NULL, words, &mut out), Code::Null as i32);
    assert_eq!(call(at(1), words, &mut out), Code::Misaligned as i32);
    assert_eq!(call(at(0), words - 1, &mut out), Code::Length as i32);
    assert_eq!(call(at(0), 0, &mut out), Code::Length as i32);
    assert_eq!(call(at(0), usize::MAX / 4 + 1, &mut out), Code::Size as i32);
    // SAFETY: refused before they are used.
    let on = |pointer: *mut u32| unsafe { Out::new(pointer) };
    for other in [
        on(all.d_h.as_mut_ptr().cast()),
        on(owned.layers.as_ptr().cast_mut().cast()),
        on(owned.tuned.as_ptr().cast_mut().cast()),
        on((&raw const training).cast_mut().cast()),
    ] {
        assert_eq!(call(other, words, &mut out), Code::Overlap as i32);
    }
    assert!(
        memory.iter().all(|word| *word == 0),
        "a refused call does not touch the memory"
    );
    assert_eq!(all, before);
    // An address that is a multiple of 4 alone does, too.
    let odd = if place.addr().is_multiple_of(8) { 4 } else { 0 };
    assert_eq!(call(at(odd), words, &mut out), 0);
    assert_ne!(all, before);
    let [null_training, null_method] = [
        drmad_hypergradient(In::NULL, input(&method), at(0), words, output(&mut out)),
        drmad_hypergradient(input(&training), In::NULL, at(0), words, output(&mut out)),
    ];
    assert_eq!([null_training, null_method], [Code::Null as i32; 2]);
    assert_eq!(call(at(0), words, &mut []), Code::Null as i32);
}

#[test]
fn snapshots_lie_wherever_the_memory_begins() {
    let owned = Owned::new(Rounding::Plain, &[tuned(What::Scale, By::Unit)], false);
    let want = owned.hypergradient(method(MethodName::Tape));
    let words = owned.sizes(method(MethodName::Checkpoints)).memory;
    for odd in 0..4 {
        let mut all = All::marked(owned.h.len());
        let mut out = [all.results()];
        let mut memory = vec![0u32; words + odd];
        let code = drmad_hypergradient(
            input(from_ref(&owned.training)),
            input(&[method(MethodName::Checkpoints)]),
            output(&mut memory[odd..]),
            words,
            output(&mut out),
        );
        (all.valid_loss, all.steps_back) = (out[0].valid_loss, out[0].steps_back);
        assert_eq!((code, &all), (0, &want));
    }
}

#[test]
fn implicit_differentiation_has_its_refusals() {
    let owned = Owned::new(Rounding::Plain, &[tuned(What::Penalty, By::Layer)], false);
    let good = Method {
        size: 5,
        damping: 1.0,
        ..method(MethodName::Implicit)
    };
    let mut all = All::marked(owned.h.len());
    all.d_w0.clear();
    let before = all.clone();
    let mut memory = owned.memory(good);
    let mut call = |method: Method, out: &mut Results| {
        let (n, memory) = (memory.len(), output(&mut memory));
        let training = input(from_ref(&owned.training));
        drmad_hypergradient(training, input(&[method]), memory, n, output(from_mut(out)))
    };
    let mut out = all.results();
    let with = |damping, tolerance| Method {
        damping,
        tolerance,
        ..good
    };
    let series = Method {
        rate: 1e6,
        ..method(MethodName::Neumann)
    };
    for (want, method) in [
        (Code::NotFinite, with(f32::NAN, 0.0)),
        (Code::Range, with(-1.0, 0.0)),
        (Code::Range, with(1.0, 2.0)),
        (
            Code::Range,
            Method {
                rate: -1.0,
                ..series
            },
        ),
        (Code::Unsolved, series),
    ] {
        assert_eq!(call(method, &mut out), want as i32, "{method:?}");
        assert_eq!(all, before, "{method:?}");
    }
    assert_eq!(call(good, &mut out), 0);
    assert!(out.steps_back <= 5 && out.residual < 0.1 && out.slope > 0.0);
    assert_ne!(all.d_h, before.d_h);
}
