//! Forward mode: against the sweep over the tape, for every optimizer and kind of hyperparameter; in pieces
//! of a training; in real time.

use crate::common::plain;
use crate::common::{
    Answer, Data, Noise, WIDTHS, assert_each_above, assert_each_close, assert_sums_close, bits,
    hypergradient, wide,
};
use crate::tolerances::*;
use drmad::forward::{Forward, Stepped, Wrt, scratch_len};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::{Features, Mlp, Quadratic};
use drmad::objective::{At, Directions, Objective};
use drmad::outer::{Adam, Outer};
use drmad::path::Tape;
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Error, Fused, Plain, Scalar, state};

const STEPS: usize = 9;
const P: usize = 74;
const LAYOUT: Layout<'static> = Layout::Layers(WIDTHS);
const TENSORS: Groups<'static> = Groups {
    layout: LAYOUT,
    by: Granularity::Tensor,
    biases: true,
};
const LAYERS: Groups<'static> = Groups {
    by: Granularity::Layer,
    ..TENSORS
};
/// Three scales and six penalties.
const H: usize = 9;
const BATCHES: Batches = Batches {
    seed: 5,
    examples: 8,
    size: 5,
};
const VALID: &[u32] = &[8, 9, 10, 11];
const DECAYING: Optimizer = Optimizer::Adam {
    b2: 0.9,
    eps: 1e-3,
    decay: 0.2,
};
const RULES: [Optimizer; 4] = [
    Optimizer::HeavyBall,
    Optimizer::Nesterov,
    Optimizer::ADAM,
    DECAYING,
];

type Penalised<'a> = L2<'a, Scaled<'a, Mlp<'a, Features<'a>, Fused>>>;

fn objective<'a>(data: &'a Data, strength: Strength<'a>) -> Penalised<'a> {
    let inner = Mlp::new(data.features(), WIDTHS, 3).unwrap();
    let scaled = Scaled {
        inner,
        groups: LAYERS,
    };
    L2::new(scaled, strength)
}

/// The numbers of a training.
struct Inputs<S> {
    h: Vec<S>,
    rates: Vec<S>,
    momenta: Vec<S>,
    log_scales: Vec<S>,
}

impl<S: Scalar> Inputs<S> {
    /// With tables by step where `by_step` says so; Adam's momenta are constant.
    fn new(optimizer: Optimizer, by_step: bool) -> Self {
        let adam = matches!(optimizer, Optimizer::Adam { .. });
        let around = |seed, n, middle: f32, by: f32| -> Vec<S> {
            let noise = Noise(seed).f32s(n, by);
            noise.iter().map(|x| S::from_f32(middle + x)).collect()
        };
        let rows = |few: bool| if few { 1 } else { STEPS };
        Inputs {
            h: [around(60, 3, 1.0, 0.3), around(61, 6, 0.02, 0.01)].concat(),
            rates: around(62, 6 * rows(!by_step), if adam { 0.05 } else { 0.5 }, 0.02),
            momenta: around(63, 6 * rows(adam || !by_step), 0.6, 0.3),
            log_scales: around(64, 6, -0.5, 0.3),
        }
    }

    fn run<'a, O: Objective>(
        &'a self,
        objective: &'a O,
        optimizer: Optimizer,
    ) -> InnerProblem<'a, O::Arithmetic, S> {
        InnerProblem {
            objective,
            h: &self.h,
            schedule: Schedule {
                optimizer,
                groups: TENSORS,
                rates: &self.rates,
                momenta: &self.momenta,
            },
            batches: BATCHES,
            steps: STEPS,
        }
    }

    fn initial(&self) -> Normal<'_, S> {
        Normal {
            seed: 7,
            groups: TENSORS,
            log_scales: &self.log_scales,
        }
    }

    /// Every coordinate there is, the initial scales last.
    fn wrt(&self) -> Vec<Wrt> {
        let hypers = (0..self.h.len()).map(Wrt::Hyper);
        let rates = (0..self.rates.len()).map(Wrt::Rate);
        let momenta = (0..self.momenta.len()).map(Wrt::Momentum);
        let initial = self.log_scales.iter().map(|_| Wrt::Initial);
        hypers.chain(rates).chain(momenta).chain(initial).collect()
    }
}

/// What forward mode makes of a training, taken in these pieces.
struct Forwarded<S> {
    losses: Vec<S>,
    w: Vec<S>,
    valid_loss: S,
    d: Vec<S>,
}

fn forward<S: Scalar>(optimizer: Optimizer, inputs: &Inputs<S>, pieces: &[usize]) -> Forwarded<S> {
    let data = Data::small();
    let training = objective(&data, Strength::Tuned(TENSORS));
    let judged = objective(&data, Strength::Off(TENSORS));
    let validation = Validation {
        objective: &judged,
        examples: VALID,
    };
    let problem = inputs.run(&training, optimizer);
    let wrt = inputs.wrt();
    let scratch = scratch_len(&training, &judged, wrt.len());
    let len = Forward::<S>::required_len(P, H, optimizer, wrt.len(), scratch);
    let mut buffer = vec![S::from_f32(f32::NAN); len];
    let mut forward = Forward::new(&mut buffer, &problem, &wrt).unwrap();
    forward.start(&inputs.initial()).unwrap();
    let first = (wrt.len() - 6) * P;
    let initial = forward.w_dot[first..].chunks_mut(P);
    for (group, w_dot) in initial.enumerate() {
        inputs.initial().tangent(group, forward.w, w_dot).unwrap();
    }
    let mut losses = vec![];
    let mut batch = [0; 5];
    let mut start = 0;
    let mut d = vec![S::ZERO; wrt.len()];
    let mut valid_loss = S::ZERO;
    for end in pieces {
        problem
            .forward(start..*end, &mut forward, &mut batch, &mut |t, loss| {
                assert_eq!(t, losses.len());
                losses.push(loss);
            })
            .unwrap();
        // To read it changes nothing that follows.
        valid_loss = problem
            .hypergradient(&validation, &mut forward, &mut d)
            .unwrap();
        start = *end;
    }
    Forwarded {
        losses,
        w: forward.w.to_vec(),
        valid_loss,
        d,
    }
}

/// The same by the sweep, the initial scales' derivative beside, and what that adds up over the weights of
/// a group: the sum of the magnitudes.
fn swept<S: Scalar>(optimizer: Optimizer, inputs: &Inputs<S>) -> (Answer<S>, Vec<S>, Vec<f64>) {
    let data = Data::small();
    let training = objective(&data, Strength::Tuned(TENSORS));
    let judged = objective(&data, Strength::Off(TENSORS));
    let validation = Validation {
        objective: &judged,
        examples: VALID,
    };
    let problem = inputs.run(&training, optimizer);
    let mut storage = vec![S::ZERO; Tape::<S>::required_len(P, STEPS, optimizer.slots())];
    let mut tape = Tape::new(P, STEPS, optimizer.slots(), &mut storage).unwrap();
    let initial = inputs.initial();
    let answer = hypergradient(&problem, &validation, &initial, &mut tape, true).unwrap();
    let (mut w0, mut d) = (vec![S::ZERO; P], vec![S::ZERO; 6]);
    initial.fill(0, &mut w0);
    initial.adjoint(&w0, &answer.d_w0, &mut d).unwrap();
    let mut sizes = vec![0.0; 6];
    for ((group, w), d) in plain::tensors(WIDTHS).iter().zip(&w0).zip(&answer.d_w0) {
        sizes[*group as usize] += (w.to_f64() * d.to_f64()).abs();
    }
    (answer, d, sizes)
}

fn to_f64<S: Scalar>(x: &[S]) -> Vec<f64> {
    x.iter().map(|x| x.to_f64()).collect()
}

/// Holds each kind of hyperparameter to the sweep by itself.
fn agrees<S: Scalar>(optimizer: Optimizer, by_step: bool, floor: f64, tolerance: f64) {
    let inputs = Inputs::<S>::new(optimizer, by_step);
    let got = forward(optimizer, &inputs, &[STEPS]);
    let (want, by_log_scales, sizes) = swept(optimizer, &inputs);
    let (scales, penalties) = want.d_h.split_at(3);
    let mut rest = &got.d[..];
    for (what, want) in [
        ("scales", scales),
        ("penalties", penalties),
        ("rates", &want.d_rates),
        ("momenta", &want.d_momenta),
    ] {
        let (here, after) = rest.split_at(want.len());
        let what = format!("{optimizer:?}, {what}");
        assert_each_above(&what, here, &to_f64(want), floor, tolerance);
        rest = after;
    }
    let what = format!("{optimizer:?}, initial scales");
    assert_sums_close(&what, rest, &to_f64(&by_log_scales), &sizes, tolerance);
    assert_eq!(got.losses, want.losses);
    assert_eq!(got.w, want.w);
    assert_eq!(got.valid_loss, want.valid_loss);
}

#[test]
fn forward_mode_agrees_with_the_sweep_for_every_rule_and_hyperparameter() {
    for optimizer in RULES {
        for by_step in [false, true] {
            agrees::<f64>(optimizer, by_step, FLOOR, TWO_EXACT_METHODS);
        }
    }
}

#[test]
fn forward_mode_in_f32_trains_with_the_same_bits_and_agrees_with_the_sweep() {
    for optimizer in RULES {
        agrees::<f32>(optimizer, true, FLOOR_F32_SWEEP, F32_SWEEP);
    }
}

#[test]
fn a_training_taken_in_pieces_and_read_between_is_the_same_bit_for_bit() {
    for optimizer in RULES {
        let inputs = Inputs::<f32>::new(optimizer, true);
        let whole = forward(optimizer, &inputs, &[STEPS]);
        let pieces = forward(optimizer, &inputs, &[1, 4, 4, STEPS]);
        assert_eq!(bits(&whole.losses), bits(&pieces.losses));
        assert_eq!(bits(&whole.w), bits(&pieces.w));
        assert_eq!(bits(&whole.d), bits(&pieces.d));
    }
}

#[test]
fn a_hypergradient_read_on_the_way_is_that_of_the_shorter_training() {
    let inputs = Inputs::<f64>::new(Optimizer::HeavyBall, false);
    let data = Data::small();
    let training = objective(&data, Strength::Tuned(TENSORS));
    let judged = objective(&data, Strength::Off(TENSORS));
    let validation = Validation {
        objective: &judged,
        examples: VALID,
    };
    let mut problem = inputs.run(&training, Optimizer::HeavyBall);
    problem.steps = 4;
    let mut storage = vec![0.0; Tape::<f64>::required_len(P, 4, 1)];
    let mut tape = Tape::new(P, 4, 1, &mut storage).unwrap();
    let short = hypergradient(&problem, &validation, &inputs.initial(), &mut tape, true).unwrap();
    let got = forward(Optimizer::HeavyBall, &inputs, &[4]);
    assert_each_close("h", &got.d[..H], &short.d_h, TWO_EXACT_METHODS);
    let rates = &got.d[H..H + 6];
    assert_each_close("rates", rates, &short.d_rates, TWO_EXACT_METHODS);
}

#[test]
fn a_rate_of_a_step_to_come_has_no_derivative_yet() {
    let inputs = Inputs::<f64>::new(Optimizer::Nesterov, true);
    let got = forward(Optimizer::Nesterov, &inputs, &[3]);
    let rates = &got.d[H..H + 6 * STEPS];
    assert!(rates[..18].iter().all(|d| *d != 0.0));
    assert!(rates[18..].iter().all(|d| *d == 0.0));
}

#[test]
fn a_warm_restart_forgets_how_the_weights_came_about() {
    let a = [1.5f32, 0.5];
    let bowl = Quadratic::<Plain>::new(&a);
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let problem = InnerProblem {
        objective: &bowl,
        h: &[0.3, -0.2],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(2),
            rates: &[0.2f64],
            momenta: &[0.5],
        },
        batches: BATCHES,
        steps: 6,
    };
    let wrt = [Wrt::Hyper(0), Wrt::Rate(0), Wrt::Momentum(0)];
    let len = Forward::<f64>::required_len(2, 2, Optimizer::HeavyBall, 3, 50);
    let train = |initial: &[f64], again: bool| {
        let mut buffer = vec![0.0; len];
        let mut forward = Forward::new(&mut buffer, &problem, &wrt).unwrap();
        forward.start(&initial).unwrap();
        let mut batch = [0; 5];
        problem
            .forward(0..6, &mut forward, &mut batch, &mut |_, _| ())
            .unwrap();
        let end = forward.w.to_vec();
        if again {
            forward.restart();
            problem
                .forward(0..6, &mut forward, &mut batch, &mut |_, _| ())
                .unwrap();
        }
        let mut d = [0.0; 3];
        problem
            .hypergradient(&validation, &mut forward, &mut d)
            .unwrap();
        (end, d)
    };
    let (end, once) = train(&[1.0, 2.0], false);
    let (_, restarted) = train(&[1.0, 2.0], true);
    let (_, fresh) = train(&end, false);
    assert_eq!(restarted, fresh);
    assert_ne!(restarted, once);
}

#[test]
fn the_first_step_after_a_restart_of_adam_is_the_first_of_a_new_training() {
    // So far from its middle that the gradient is nearly the same at every step: Adam's first step is as
    // long as the rate.
    let bowl = Quadratic::<Plain>::new(&[1.0f32, 0.5]);
    let rates = [0.1f64];
    let problem = InnerProblem {
        objective: &bowl,
        h: &[1e6, -1e6],
        schedule: Schedule {
            optimizer: Optimizer::ADAM,
            groups: Groups::global(2),
            rates: &rates,
            momenta: &[0.9],
        },
        batches: BATCHES,
        steps: 1002,
    };
    let wrt = [Wrt::Hyper(0), Wrt::Rate(0), Wrt::Momentum(0)];
    let mut buffers =
        [(); 3].map(|()| vec![0.0; Forward::<f64>::required_len(2, 2, Optimizer::ADAM, 3, 50)]);
    let [first, second, third] = &mut buffers;
    let mut batch = [0; 5];

    let mut long = Forward::new(first, &problem, &wrt).unwrap();
    long.start(&&[1.0, 2.0][..]).unwrap();
    problem
        .forward(0..1000, &mut long, &mut batch, &mut |_, _| ())
        .unwrap();
    assert_eq!(long.taken, 1000);
    let before = long.w.to_vec();
    long.restart();
    problem
        .forward(1000..1001, &mut long, &mut batch, &mut |_, _| ())
        .unwrap();
    let moved = [long.w[0] - before[0], long.w[1] - before[1]];
    assert_each_close("the step after the restart", &moved, &[0.1, -0.1], 1e-12);

    let mut new = Forward::new(second, &problem, &wrt).unwrap();
    new.start(&&before[..]).unwrap();
    problem
        .forward(0..1, &mut new, &mut batch, &mut |_, _| ())
        .unwrap();
    assert_eq!(long.w, new.w);
    assert_eq!((&*long.w_dot, &*long.v_dot), (&*new.w_dot, &*new.v_dot));

    // A saved state knows how long ago the restart was.
    const LEN: usize = Stepped::<f64>::state_len(2, 2, Optimizer::ADAM, 3);
    let mut flash = [0xff; LEN];
    let mut stepped = Stepped {
        forward: &mut long,
        t: &mut 1001,
        tag: 0,
    };
    assert_eq!(state::save(1, &mut stepped, &mut flash), Ok(LEN));
    let mut restored = Forward::new(third, &problem, &wrt).unwrap();
    let mut t = 0;
    let mut stepped = Stepped {
        forward: &mut restored,
        t: &mut t,
        tag: 0,
    };
    state::restore(&flash, &mut stepped).unwrap();
    assert_eq!((restored.taken, t), (1, 1001));
    for forward in [&mut long, &mut restored] {
        problem
            .forward(1001..1002, forward, &mut batch, &mut |_, _| ())
            .unwrap();
    }
    assert_eq!(long.w, restored.w);
    assert_eq!(long.w_dot, restored.w_dot);
}

#[test]
fn directions_taken_together_have_the_bits_of_each_alone() {
    let data = Data::small();
    let training = objective(&data, Strength::Tuned(TENSORS));
    let (k, mut noise) = (4, Noise(70));
    let (w, h) = (noise.f32s(P, 0.5), noise.f32s(H, 0.5));
    let (w_dot, h_dot) = (noise.f32s(k * P, 1.0), noise.f32s(k * H, 1.0));
    let at = At {
        w: &w,
        h: &h,
        batch: &[1, 2, 3, 5, 8],
    };
    let mut scratch = vec![f32::NAN; training.tangents_scratch_len(k)];
    let (mut g, mut together) = (vec![0.0; P], vec![0.0; k * P]);
    let along = Directions {
        count: k,
        w: &w_dot,
        h: &h_dot,
    };
    let loss = training
        .tangents(at, along, &mut g, &mut together, &mut scratch)
        .unwrap();
    for ((w, h), together) in along.rows().zip(together.chunks(P)) {
        let one = Directions { count: 1, w, h };
        let mut alone = vec![0.0; P];
        let same = training.tangents(at, one, &mut g, &mut alone, &mut scratch);
        assert_eq!(same.unwrap().to_bits(), loss.to_bits());
        assert_eq!(bits(&alone), bits(together));
    }
    // None at all: the gradient.
    let none = Directions {
        count: 0,
        w: &[],
        h: &[],
    };
    let mut alone = vec![0.0; P];
    let same = training.tangents(at, none, &mut alone, &mut [], &mut scratch);
    assert_eq!(same.unwrap().to_bits(), loss.to_bits());
    assert_each_close("gradient", &alone, &wide(&g), SAME_FORMULA_F32);
}

const ROUNDS: usize = 40;
const BLOCK: usize = 5;

fn real_time<'a, O: Objective>(
    objective: &'a O,
    h: &'a [f32],
    rates: &'a [f32],
    momenta: &'a [f32],
) -> InnerProblem<'a, O::Arithmetic, f32> {
    InnerProblem {
        objective,
        h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(P),
            rates,
            momenta,
        },
        batches: Batches {
            seed: 1,
            examples: 30,
            size: 10,
        },
        steps: ROUNDS * BLOCK,
    }
}

/// A penalty, a rate and a momentum tuned while training goes on (Franceschi et al. 2017, section 3.3):
/// the validation loss at the end, and the hyperparameters.
fn in_real_time(outer_rate: f32) -> (f32, [f32; 3]) {
    let data = Data::learnable(3, 60, WIDTHS[0], WIDTHS[3]);
    let everywhere = Groups::global(P);
    let net = || Mlp::<_, Fused>::new(data.features(), WIDTHS, 10).unwrap();
    let training = L2::new(net(), Strength::Tuned(everywhere));
    let judged = L2::new(net(), Strength::Off(everywhere));
    let examples: Vec<u32> = (30..60).collect();
    let validation = Validation {
        objective: &judged,
        examples: &examples,
    };
    // The logarithms of penalty and rate, and the logit of the momentum: all poor.
    let mut lambda = [-3.0f32, -4.0, 0.0];
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    let mut outer = Adam::new(outer_rate, &mut m, &mut v).unwrap();
    let wrt = [Wrt::Hyper(0), Wrt::Rate(0), Wrt::Momentum(0)];
    let scratch = scratch_len(&training, &judged, 3);
    let len = Forward::<f32>::required_len(P, 1, Optimizer::HeavyBall, 3, scratch);
    let mut buffer = vec![0.0; len];
    let first = real_time(&training, &[0.0], &[0.0], &[0.0]);
    let mut forward = Forward::new(&mut buffer, &first, &wrt).unwrap();
    let initial = Normal {
        seed: 9,
        groups: everywhere,
        log_scales: &[-1.0],
    };
    forward.start(&initial).unwrap();
    let mut loss = f32::NAN;
    for round in 0..ROUNDS {
        let [log_penalty, log_rate, logit] = lambda;
        let (penalty, rate) = (log_penalty.exp(), log_rate.exp());
        let momentum = 1.0 / (1.0 + (-logit).exp());
        let (h, rates, momenta) = ([penalty], [rate], [momentum]);
        let problem = real_time(&training, &h, &rates, &momenta);
        let steps = round * BLOCK..(round + 1) * BLOCK;
        problem
            .forward(steps, &mut forward, &mut [0; 10], &mut |_, _| ())
            .unwrap();
        let mut d = [0.0; 3];
        loss = problem
            .hypergradient(&validation, &mut forward, &mut d)
            .unwrap();
        d[0] *= penalty;
        d[1] *= rate;
        d[2] *= momentum * (1.0 - momentum);
        outer.step(&mut lambda, &d).unwrap();
    }
    (loss, lambda)
}

#[test]
fn hyperparameters_tuned_in_real_time_lower_the_validation_loss() {
    let (untuned, same) = in_real_time(0.0);
    let (tuned, lambda) = in_real_time(0.1);
    assert_eq!(same, [-3.0, -4.0, 0.0]);
    assert!(lambda[1] > -3.0, "a rate this low should rise: {lambda:?}");
    assert!(tuned < 0.8 * untuned, "{tuned} after {untuned}");
}

#[test]
fn forward_mode_refuses_what_does_not_fit() {
    let bowl = Quadratic::<Plain>::new(&[1.0, 2.0]);
    let problem = InnerProblem {
        objective: &bowl,
        h: &[0.0f32, 0.0],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(2),
            rates: &[0.1],
            momenta: &[0.5],
        },
        batches: BATCHES,
        steps: 3,
    };
    let len = Forward::<f32>::required_len(2, 2, Optimizer::HeavyBall, 1, 24);
    let mut buffer = vec![0.0; len];
    let mut refused =
        |wrt, len: usize| Forward::new(&mut buffer[..len], &problem, &[wrt]).unwrap_err();
    for (wrt, what, index, count) in [
        (Wrt::Hyper(2), "hyperparameter", 2, 2),
        (Wrt::Rate(1), "rate", 1, 1),
        (Wrt::Momentum(9), "momentum", 9, 1),
    ] {
        let (got, len) = (refused(wrt, len), count);
        assert_eq!(got, Error::Index { what, index, len });
    }
    let short = refused(Wrt::Hyper(0), 6 + 7);
    assert_eq!(
        short,
        Error::Length {
            what: "forward",
            want: 2,
            got: 1
        }
    );

    let wrt = [Wrt::Rate(0)];
    let mut forward = Forward::new(&mut buffer, &problem, &wrt).unwrap();
    let three = [1.0f32; 3];
    assert!(matches!(
        forward.start(&&three[..]),
        Err(Error::Length { .. })
    ));
    let beyond = problem.forward(2..4, &mut forward, &mut [0; 5], &mut |_, _| ());
    assert!(matches!(beyond, Err(Error::Range { .. })));
    let batch = problem.forward(0..3, &mut forward, &mut [0; 4], &mut |_, _| ());
    assert!(matches!(batch, Err(Error::Length { .. })));
    let validation = Validation {
        objective: &bowl,
        examples: &[],
    };
    let d = problem.hypergradient(&validation, &mut forward, &mut [0.0; 2]);
    assert!(matches!(d, Err(Error::Length { .. })));
    // Tangents that left the finite numbers are not handed out.
    forward.w_dot[1] = f32::INFINITY;
    let diverged = problem.forward(0..1, &mut forward, &mut [0; 5], &mut |_, _| ());
    assert_eq!(
        diverged,
        Err(Error::Diverged {
            what: "tangents",
            step: 1
        })
    );
}
