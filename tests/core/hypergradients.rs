//! Whole hypergradients: against closed forms, float64 differences of whole trainings, forward mode
//! on dual numbers; and the paths against their definitions.

use std::cell::RefCell;
use std::ops::Range;

use crate::common::plain::{self, Training};
use crate::common::{
    Answer, Data, NoTraining, Noise, WIDTHS, all_batches, assert_close, assert_differences,
    assert_each_above, assert_each_close, assert_sums_close, bits, hypergradient, wide,
};
use crate::tolerances::*;
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::kernels::quantise::MOST;
use drmad::kernels::reduce::cosine;
use drmad::models::{Features, Mlp, Quadratic};
use drmad::objective::{At, Objective, Products};
use drmad::path::{
    Full, Grid, Hats, Line, Path, Plan, Quantised, Replayed, Spare, Steps, Stored, Tape,
};
use drmad::random::{Batches, InitialWeights, Normal};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L1, L2, Scaled, Strength};
use drmad::{Arithmetic, Dual, Error, Fused, Plain, Scalar};

// ---------------------------------------------------------------- the quadratic in closed form

type Matrix = [[f64; 2]; 2];

fn times(a: Matrix, b: Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j]))
}

fn power(a: Matrix, n: usize) -> Matrix {
    (0..n).fold([[1.0, 0.0], [0.0, 1.0]], |p, _| times(a, p))
}

/// A heavy-ball step on `(w - h, v)` for curvature `a`, and its derivatives by rate and momentum.
fn heavy_ball(a: f64, alpha: f64, gamma: f64) -> [Matrix; 3] {
    let pull = (1.0 - gamma) * a;
    [
        [[1.0 - alpha * pull, alpha * gamma], [-pull, gamma]],
        [[-pull, gamma], [0.0, 0.0]],
        [[alpha * a, alpha], [a, 1.0]],
    ]
}

#[test]
fn the_sweep_of_a_quadratic_is_the_power_of_a_matrix() {
    let (p, steps) = (7, 30);
    let (alpha, gamma) = (0.4, 0.7);
    let a: Vec<f32> = Noise(40).f32s(p, 0.7).iter().map(|x| 1.0 + x).collect();
    let b: Vec<f32> = Noise(41).f32s(p, 0.7).iter().map(|x| 1.0 + x).collect();
    let (h, w0) = (Noise(42).f64s(p, 1.0), Noise(43).f64s(p, 1.0));
    let (training, validation) = (Quadratic::<Fused>::new(&a), Quadratic::<Fused>::new(&b));
    let validation = Validation {
        objective: &validation,
        examples: &[],
    };

    // E = 1/2 sum b u^2 with u = w_T - h = m (w_0 - h), m = (M^T)_00.
    let (mut w_end, mut by_h, mut by_w0) = (vec![], vec![], vec![]);
    let (mut by_rate, mut by_momentum) = (vec![0.0; steps], vec![0.0; steps]);
    // The weights end so near h that w_T - h, which all derivatives begin with, is known to the roundings of
    // the last steps alone: two, of numbers as large as both.
    let roundings = 2.0 * F64_ROUNDING;
    let mut sizes = vec![];
    let mut loss = 0.0;
    for i in 0..p {
        let b = f64::from(b[i]);
        let [step, by_alpha, by_gamma] = heavy_ball(f64::from(a[i]), alpha, gamma);
        let m = power(step, steps)[0][0];
        let start = w0[i] - h[i];
        w_end.push(h[i] + m * start);
        loss += 0.5 * b * m * m * start * start;
        by_h.push(-b * m * m * start);
        by_w0.push(b * m * m * start);
        let both = h[i].abs() + (h[i] + m * start).abs();
        sizes.push((b * m).abs() * both * roundings / CLOSED_FORM);
        for t in 0..steps {
            let through = |d| times(power(step, steps - 1 - t), times(d, power(step, t)))[0][0];
            by_rate[t] += b * m * start * start * through(by_alpha);
            by_momentum[t] += b * m * start * start * through(by_gamma);
        }
    }

    for constant in [false, true] {
        let table = if constant { 1 } else { steps };
        let problem = InnerProblem {
            objective: &training,
            h: &h,
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: Groups::global(p),
                rates: &vec![alpha; table],
                momenta: &vec![gamma; table],
            },
            batches: Batches {
                seed: 0,
                examples: 1,
                size: 1,
            },
            steps,
        };
        let mut storage = vec![f64::NAN; Tape::<f64>::required_len(p, steps, 1)];
        let mut tape = Tape::new(p, steps, 1, &mut storage).unwrap();
        let got = hypergradient(&problem, &validation, &&w0[..], &mut tape, true).unwrap();
        assert_each_close("w_T", &got.w, &w_end, CLOSED_FORM);
        assert_each_close("E", &[got.valid_loss], &[loss], CLOSED_FORM);
        assert_sums_close("by h", &got.d_h, &by_h, &sizes, CLOSED_FORM);
        assert_sums_close("by w_0", &got.d_w0, &by_w0, &sizes, CLOSED_FORM);
        if constant {
            let sum = [by_rate.iter().sum()];
            assert_each_close("by the rate", &got.d_rates, &sum, CLOSED_FORM);
            let sum = [by_momentum.iter().sum()];
            assert_each_close("by the momentum", &got.d_momenta, &sum, CLOSED_FORM);
        } else {
            assert_each_close("by rates", &got.d_rates, &by_rate, CLOSED_FORM);
            assert_each_close("by momenta", &got.d_momenta, &by_momentum, CLOSED_FORM);
        }
    }
}

// ------------------------------------------------ a network with every kind of hyperparameter

const STEPS: usize = 12;
/// The seed of the initial weights, such that the differences below carry none of them over 0.
const START: u64 = 245;
const P: usize = 74;
const TENSORS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Tensor,
    biases: true,
};
const UNITS: Groups<'static> = Groups {
    layout: Layout::Layers(WIDTHS),
    by: Granularity::Unit,
    biases: false,
};
const BATCHES: Batches = Batches {
    seed: 5,
    examples: 8,
    size: 5,
};
const VALID: &[u32] = &[8, 9, 10, 11];

type Penalised<'a, A> = L1<'a, L2<'a, Scaled<'a, Mlp<'a, Features<'a>, A>>>>;

/// A small training: `h` is 15 scales of units, 6 coefficients of L2 and 6 of L1, both by tensor; rates and momenta are for each step and tensor.
struct Small {
    data: Data,
    h: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
    log_scales: Vec<f32>,
}

impl Small {
    fn new() -> Small {
        let around = |seed, n, middle: f32, by: f32| -> Vec<f32> {
            let noise = Noise(seed).f32s(n, by);
            noise.iter().map(|x| middle + x).collect()
        };
        let logs = [
            around(50, 15, 0.0, 0.3),
            around(51, 6, -4.0, 1.0),
            around(52, 6, -5.0, 1.0),
        ];
        Small {
            data: Data::small(),
            h: logs.concat().iter().map(|x| x.exp()).collect(),
            rates: around(53, STEPS * 6, 0.5, 0.2),
            momenta: around(54, STEPS * 6, 0.6, 0.3),
            log_scales: around(55, 6, -0.5, 0.3),
        }
    }

    fn objective<'a, A: Arithmetic>(&'a self, valid: bool) -> Penalised<'a, A> {
        let inner = Scaled {
            inner: Mlp::new(self.data.features(), WIDTHS, 3).unwrap(),
            groups: UNITS,
        };
        let strength = if valid {
            Strength::Off(TENSORS)
        } else {
            Strength::Tuned(TENSORS)
        };
        L1::new(L2::new(inner, strength), strength)
    }

    fn initial<S: Scalar>(&self) -> Vec<S> {
        let normal = Normal {
            seed: START,
            groups: TENSORS,
            log_scales: &self.log_scales,
        };
        let mut w0 = vec![0.0f32; P];
        normal.fill(0, &mut w0);
        numbers(&w0)
    }

    fn inputs<S: Scalar>(&self) -> Inputs<S> {
        Inputs {
            h: numbers(&self.h),
            rates: numbers(&self.rates),
            momenta: numbers(&self.momenta),
            w0: self.initial(),
        }
    }

    fn answer<A: Arithmetic, S: Scalar>(
        &self,
        inputs: &Inputs<S>,
        initial: &dyn InitialWeights<S>,
        path: &mut dyn Path<A, S>,
        schedule: bool,
    ) -> Result<Answer<S>, Error> {
        let (training, validation) = (self.objective::<A>(false), self.objective::<A>(true));
        let problem = InnerProblem {
            objective: &training,
            h: &inputs.h,
            schedule: Schedule {
                optimizer: Optimizer::HeavyBall,
                groups: TENSORS,
                rates: &inputs.rates,
                momenta: &inputs.momenta,
            },
            batches: BATCHES,
            steps: STEPS,
        };
        let validation = Validation {
            objective: &validation,
            examples: VALID,
        };
        hypergradient(&problem, &validation, initial, path, schedule)
    }

    /// With the tape, velocities and all.
    fn taped<A: Arithmetic, S: Scalar>(&self, inputs: &Inputs<S>) -> Answer<S> {
        let mut storage = vec![S::ZERO; Tape::<S>::required_len(P, STEPS, 1)];
        let mut tape = Tape::new(P, STEPS, 1, &mut storage).unwrap();
        self.answer::<A, S>(inputs, &&inputs.w0[..], &mut tape, true)
            .unwrap()
    }

    /// The same training in nested loops.
    fn plain<'a>(&'a self, inputs: &Inputs<f64>, batches: &'a [Vec<u32>]) -> Training<'a> {
        let (units, tensors) = (plain::units(WIDTHS, false), plain::tensors(WIDTHS));
        let steps = |table: &[f64]| -> Vec<Vec<f64>> {
            table
                .chunks(6)
                .map(|row| plain::spread(row, &tensors, f64::NAN))
                .collect()
        };
        Training {
            widths: WIDTHS,
            x: &self.data.x,
            labels: &self.data.labels,
            batches,
            start: inputs.w0.clone(),
            scales: plain::spread(&inputs.h[..15], &units, 1.0),
            l2: plain::spread(&inputs.h[15..21], &tensors, f64::NAN),
            l1: plain::spread(&inputs.h[21..], &tensors, f64::NAN),
            rates: steps(&inputs.rates),
            momenta: steps(&inputs.momenta),
        }
    }
}

fn numbers<S: Scalar>(x: &[f32]) -> Vec<S> {
    x.iter().map(|x| S::from_f32(*x)).collect()
}

/// All that a training depends on and can be derived by.
#[derive(Clone)]
struct Inputs<S> {
    h: Vec<S>,
    rates: Vec<S>,
    momenta: Vec<S>,
    w0: Vec<S>,
}

/// Each kind of input by itself.
type Field<S> = fn(&mut Inputs<S>) -> &mut Vec<S>;

fn fields<S>() -> [(&'static str, Field<S>); 4] {
    [
        ("h", |x| &mut x.h),
        ("rates", |x| &mut x.rates),
        ("momenta", |x| &mut x.momenta),
        ("w_0", |x| &mut x.w0),
    ]
}

/// The numbers of each kind within them: scales, and penalties by their square and by their magnitude, are
/// of sizes of their own.
fn kinds(what: &str, len: usize) -> Vec<Range<usize>> {
    match what {
        "h" => vec![0..15, 15..21, 21..27],
        _ => std::iter::once(0..len).collect(),
    }
}

fn derivatives<'a>(answer: &'a Answer<f64>, what: &str) -> &'a [f64] {
    match what {
        "h" => &answer.d_h,
        "rates" => &answer.d_rates,
        "momenta" => &answer.d_momenta,
        _ => &answer.d_w0,
    }
}

#[test]
fn a_training_agrees_step_by_step_with_nested_loops() {
    let small = Small::new();
    let inputs = small.inputs::<f64>();
    let answer = small.taped::<Plain, f64>(&inputs);
    let batches = all_batches(&BATCHES, STEPS);
    let training = small.plain(&inputs, &batches);
    let mut losses = vec![];
    let w = training.run(|_, loss| losses.push(loss));
    assert_each_close("losses", &answer.losses, &losses, TWO_EXACT_METHODS);
    assert_each_close("w_T", &answer.w, &w, TWO_EXACT_METHODS);
    let valid = [training.valid_loss(VALID)];
    assert_each_close("E", &[answer.valid_loss], &valid, TWO_EXACT_METHODS);
}

/// On which side of 0 each weight lies at each step.
fn sides_of_zero(training: &Training<'_>) -> Vec<bool> {
    let mut sides = vec![];
    training.run(|z, _| sides.extend(z.iter().map(|z| *z > 0.0)));
    sides
}

#[test]
fn every_hypergradient_is_the_difference_of_whole_trainings_in_nested_loops() {
    let small = Small::new();
    let inputs = small.inputs::<f64>();
    let answer = small.taped::<Plain, f64>(&inputs);
    let batches = all_batches(&BATCHES, STEPS);
    // The L1 penalty has a kink at 0, which no weight may cross between two of these trainings.
    let sides = sides_of_zero(&small.plain(&inputs, &batches));
    // Penalties are a hundredth of the others, and so near the kink are some weights.
    let step = |what: &str, i: usize| {
        let share = if what == "h" && i >= 15 { 0.1 } else { 1.0 };
        share * WHOLE_TRAINING_STEP
    };
    for (what, field) in fields() {
        let want: Vec<f64> = (0..field(&mut inputs.clone()).len())
            .map(|i| {
                plain::derivative(step(what, i), |s| {
                    let mut moved = inputs.clone();
                    field(&mut moved)[i] += s;
                    let moved = small.plain(&moved, &batches);
                    assert_eq!(sides_of_zero(&moved), sides, "{what} {i}: a kink");
                    moved.valid_loss(VALID)
                })
            })
            .collect();
        for kind in kinds(what, want.len()) {
            let step = step(what, kind.start);
            let (got, want) = (&derivatives(&answer, what)[kind.clone()], &want[kind]);
            assert_differences(what, got, want, step, WHOLE_TRAINING);
        }
    }
}

#[test]
fn the_hypergradient_by_log_initial_scales_is_the_difference_of_whole_trainings() {
    let small = Small::new();
    let inputs = small.inputs::<f64>();
    let answer = small.taped::<Plain, f64>(&inputs);
    let batches = all_batches(&BATCHES, STEPS);
    let tensors = plain::tensors(WIDTHS);
    let want: Vec<f64> = (0..6)
        .map(|j| {
            plain::derivative(WHOLE_TRAINING_STEP, |s| {
                let mut moved = inputs.clone();
                for (w, tensor) in moved.w0.iter_mut().zip(&tensors) {
                    *w *= if *tensor == j { s.exp() } else { 1.0 };
                }
                small.plain(&moved, &batches).valid_loss(VALID)
            })
        })
        .collect();
    let log_scales = wide(&small.log_scales);
    let normal = Normal {
        seed: START,
        groups: TENSORS,
        log_scales: &log_scales,
    };
    let mut got = vec![f64::NAN; 6];
    normal.adjoint(&inputs.w0, &answer.d_w0, &mut got).unwrap();
    assert_differences(
        "log scales",
        &got,
        &want,
        WHOLE_TRAINING_STEP,
        WHOLE_TRAINING,
    );
}

#[test]
fn the_sweep_agrees_with_forward_mode_through_the_whole_training() {
    let small = Small::new();
    let answer = small.taped::<Fused, f64>(&small.inputs());
    let inputs = small.inputs::<Dual<f64>>();
    for (what, field) in fields() {
        let want: Vec<f64> = (0..field(&mut inputs.clone()).len())
            .map(|i| {
                let mut moved = inputs.clone();
                let x = &mut field(&mut moved)[i];
                *x = Dual::new(x.value(), 1.0);
                let mut line = Line::new(&moved.w0[..], STEPS);
                let answer = small.answer::<Fused, _>(&moved, &&moved.w0[..], &mut line, false);
                answer.unwrap().valid_loss.tangent()
            })
            .collect();
        for kind in kinds(what, want.len()) {
            let (got, want) = (&derivatives(&answer, what)[kind.clone()], &want[kind]);
            assert_each_close(what, got, want, TWO_EXACT_METHODS);
        }
    }
}

#[test]
fn constant_rates_and_momenta_get_the_sum_over_all_steps() {
    let small = Small::new();
    let mut constant = small.inputs::<f64>();
    constant.rates.truncate(6);
    constant.momenta.truncate(6);
    let mut by_step = constant.clone();
    by_step.rates = constant.rates.repeat(STEPS);
    by_step.momenta = constant.momenta.repeat(STEPS);
    let constant = small.taped::<Fused, f64>(&constant);
    let by_step = small.taped::<Fused, f64>(&by_step);
    assert_eq!(constant.d_h, by_step.d_h);
    let sum =
        |x: &[f64]| -> Vec<f64> { (0..6).map(|j| x.iter().skip(j).step_by(6).sum()).collect() };
    let (rates, momenta) = (sum(&by_step.d_rates), sum(&by_step.d_momenta));
    assert_each_close("rates", &constant.d_rates, &rates, TWO_EXACT_METHODS);
    assert_each_close("momenta", &constant.d_momenta, &momenta, TWO_EXACT_METHODS);
}

fn single_precision<A: Arithmetic>() {
    let small = Small::new();
    let exact = small.taped::<A, f64>(&small.inputs());
    let single = small.taped::<A, f32>(&small.inputs());
    for (what, got, want) in [
        ("w_T", &single.w, &exact.w),
        ("h", &single.d_h, &exact.d_h),
        ("rates", &single.d_rates, &exact.d_rates),
        ("momenta", &single.d_momenta, &exact.d_momenta),
        ("w_0", &single.d_w0, &exact.d_w0),
    ] {
        for kind in kinds(what, want.len()) {
            let (got, want) = (&got[kind.clone()], &want[kind]);
            assert_each_above(what, got, want, FLOOR_F32_SWEEP, F32_SWEEP);
        }
    }
}

#[test]
fn a_sweep_in_f32_agrees_with_one_in_f64_to_single_precision() {
    single_precision::<Plain>();
    single_precision::<Fused>();
}

// ------------------------------------------------------------------------------------ the tape

#[test]
fn a_tape_without_velocities_finds_them_by_differences() {
    let small = Small::new();
    let inputs = small.inputs::<f64>();
    let with = small.taped::<Fused, f64>(&inputs);
    let mut storage = vec![f64::NAN; Tape::<f64>::required_len(P, STEPS, 0)];
    let mut tape = Tape::new(P, STEPS, 0, &mut storage).unwrap();
    let without = small
        .answer::<Fused, _>(&inputs, &&inputs.w0[..], &mut tape, true)
        .unwrap();
    assert_eq!((&without.d_h, &without.d_w0), (&with.d_h, &with.d_w0));
    let (rates, momenta) = (&with.d_rates, &with.d_momenta);
    for (what, got, want) in [
        ("rates", &without.d_rates, rates),
        ("momenta", &without.d_momenta, momenta),
    ] {
        let tolerance = DIFFERENCED_VELOCITIES;
        assert_each_above(what, got, want, DIFFERENCED_VELOCITIES_FLOOR, tolerance);
    }
}

#[test]
fn asking_for_the_schedule_changes_no_bit_of_the_rest() {
    let small = Small::new();
    let inputs = small.inputs::<f32>();
    let with = small.taped::<Fused, f32>(&inputs);
    let mut storage = vec![f32::NAN; Tape::<f32>::required_len(P, STEPS, 0)];
    let mut tape = Tape::new(P, STEPS, 0, &mut storage).unwrap();
    let without = small
        .answer::<Fused, _>(&inputs, &&inputs.w0[..], &mut tape, false)
        .unwrap();
    assert_eq!(bits(&without.d_h), bits(&with.d_h));
    assert_eq!(bits(&without.d_w0), bits(&with.d_w0));
    assert_eq!(bits(&without.w), bits(&with.w));
}

#[test]
fn a_tape_can_be_used_again() {
    let small = Small::new();
    let inputs = small.inputs::<f32>();
    let mut storage = vec![f32::NAN; Tape::<f32>::required_len(P, STEPS, 1)];
    let mut tape = Tape::new(P, STEPS, 1, &mut storage).unwrap();
    let mut again = || {
        small
            .answer::<Fused, _>(&inputs, &&inputs.w0[..], &mut tape, true)
            .unwrap()
    };
    assert_eq!(again(), again());
}

/// Remembers `w_0` alone and takes all steps again for each answer.
struct Again<S> {
    w0: Vec<S>,
    g: Vec<S>,
    replayed: usize,
}

impl<A: Arithmetic, S: Scalar> Path<A, S> for Again<S> {
    fn floats(&self) -> usize {
        self.w0.len() + self.g.len()
    }

    fn record(&mut self, t: usize, w: &[S], _: &[S], _: Spare<'_, S>) -> Result<(), Error> {
        if t == 0 {
            self.w0 = w.to_vec();
        }
        Ok(())
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        w.copy_from_slice(&self.w0);
        let v = v.unwrap_or(spare.a);
        v.fill(S::ZERO);
        self.g.resize(w.len(), S::ZERO);
        for s in 0..t {
            steps.replay(s, w, v, &mut self.g)?;
            self.replayed += 1;
        }
        Ok(())
    }
}

fn recomputing_gives_the_bits_of_storing<A: Arithmetic>() {
    let small = Small::new();
    let inputs = small.inputs::<f32>();
    let taped = small.taped::<A, f32>(&inputs);
    for schedule in [false, true] {
        let mut path = Again {
            w0: vec![],
            g: vec![],
            replayed: 0,
        };
        let again = small
            .answer::<A, _>(&inputs, &&inputs.w0[..], &mut path, schedule)
            .unwrap();
        assert_eq!(path.replayed, STEPS * (STEPS - 1) / 2);
        assert_eq!(bits(&again.d_h), bits(&taped.d_h));
        assert_eq!(bits(&again.d_w0), bits(&taped.d_w0));
        if schedule {
            assert_eq!(again, taped);
        }
    }
}

#[test]
fn a_path_that_replays_every_step_has_the_bits_of_the_tape_under_the_same_sweep() {
    recomputing_gives_the_bits_of_storing::<Plain>();
    recomputing_gives_the_bits_of_storing::<Fused>();
}

// ------------------------------------------------------------------------------------ the line

fn line_meets_both_ends<A: Arithmetic>() {
    let n = 50;
    let (mut w0, mut w1) = (Noise(60).f32s(n, 1.0), Noise(61).f32s(n, 1.0));
    (w0[0], w1[0]) = (-0.0, 1.0);
    (w0[1], w1[1]) = (1.0, -0.0);
    for steps in [1, 2, 7, 1000] {
        let (mut a, mut b) = (vec![f32::NAN; n], vec![f32::NAN; n]);
        let mut line = Line::new(&w0[..], steps);
        let path: &mut dyn Path<A, f32> = &mut line;
        let mut spare = Spare {
            a: &mut a,
            b: &mut b,
        };
        path.open(&w1, spare.again()).unwrap();
        let (mut w, mut v) = (vec![f32::NAN; n], vec![f32::NAN; n]);
        for (t, end) in [(steps, &w1), (0, &w0)] {
            path.recall(t, &mut w, Some(&mut v), &mut NoTraining(n), spare.again())
                .unwrap();
            assert_eq!(bits(&w), bits(end), "{steps} steps, step {t}");
        }
        assert!(v.iter().all(|v| *v == 0.0), "training begins at rest");
    }
}

#[test]
fn the_line_meets_both_ends_bit_for_bit() {
    line_meets_both_ends::<Plain>();
    line_meets_both_ends::<Fused>();
}

/// An objective that notes where its second-order products are asked for.
struct Spy<'a, O> {
    inner: O,
    seen: &'a RefCell<Vec<(Vec<f64>, Vec<u32>)>>,
}

impl<O: Objective> Objective for Spy<'_, O> {
    type Arithmetic = O::Arithmetic;
    fn weights(&self) -> usize {
        self.inner.weights()
    }
    fn hypers(&self) -> usize {
        self.inner.hypers()
    }
    fn scratch_len(&self) -> usize {
        self.inner.scratch_len()
    }
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.inner.gradient(at, g, d_h, scratch)
    }
    fn second_order_scratch_len(&self) -> usize {
        self.inner.second_order_scratch_len()
    }
    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        let w = at.w.iter().map(|w| w.to_f64()).collect();
        self.seen.borrow_mut().push((w, at.batch.to_vec()));
        self.inner.second_order(at, d, out, scratch)
    }
}

/// A training of 30 steps watched by a spy: the answer, what the sweep saw, and `w_0`.
#[allow(clippy::type_complexity)] // what a spy sees
fn watched(
    path: impl FnOnce(Line<&'static [f32]>) -> Line<&'static [f32]>,
) -> (Answer<f32>, Vec<(Vec<f64>, Vec<u32>)>, Vec<f32>) {
    let small = Small::new();
    let seen = RefCell::default();
    let spy = Spy {
        inner: small.objective::<Fused>(false),
        seen: &seen,
    };
    let validation = small.objective::<Fused>(true);
    let w0: &'static [f32] = small.initial().leak();
    let problem = InnerProblem {
        objective: &spy,
        h: &small.h,
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: TENSORS,
            rates: &[0.3; 6],
            momenta: &[0.5; 6],
        },
        batches: BATCHES,
        steps: 30,
    };
    let validation = Validation {
        objective: &validation,
        examples: VALID,
    };
    let mut line = path(Line::new(w0, 30));
    let answer = hypergradient(&problem, &validation, &w0, &mut line, false).unwrap();
    (answer, seen.take(), w0.to_vec())
}

#[test]
fn the_line_takes_every_step_back_over_its_own_batch() {
    let (answer, seen, w0) = watched(|line| line);
    assert_eq!(answer.steps_back, 30);
    let batches = all_batches(&BATCHES, 30);
    assert_eq!(seen.len(), 30);
    for (t, (w, batch)) in seen.iter().rev().enumerate() {
        assert_eq!(batch, &batches[t]);
        let b = t as f64 / 30.0;
        let ends = |i: usize| [(1.0 - b) * f64::from(w0[i]), b * f64::from(answer.w[i])];
        let line: Vec<f64> = (0..P).map(|i| ends(i)[0] + ends(i)[1]).collect();
        let sizes: Vec<f64> = (0..P)
            .map(|i| ends(i)[0].abs() + ends(i)[1].abs())
            .collect();
        assert_sums_close("line", w, &line, &sizes, 4.0 * F32_ROUNDING);
    }
    assert_eq!(seen[29].0, wide(&w0));
}

#[test]
fn the_published_line_takes_a_tenth_of_the_steps_over_the_first_batches() {
    let (answer, seen, w0) = watched(|line| line.with(Plan::published(30)));
    assert_eq!(answer.steps_back, 3);
    let batches = all_batches(&BATCHES, 3);
    assert_eq!(seen.len(), 3);
    for (s, (w, batch)) in seen.iter().rev().enumerate() {
        assert_eq!(batch, &batches[s]);
        let b = s as f64 / 3.0;
        let ends = |i: usize| [(1.0 - b) * f64::from(w0[i]), b * f64::from(answer.w[i])];
        let line: Vec<f64> = (0..P).map(|i| ends(i)[0] + ends(i)[1]).collect();
        let sizes: Vec<f64> = (0..P)
            .map(|i| ends(i)[0].abs() + ends(i)[1].abs())
            .collect();
        assert_sums_close("line", w, &line, &sizes, 4.0 * F32_ROUNDING);
    }
    assert_eq!(Plan::published(9).steps, 1);
}

#[test]
fn a_spread_sweep_takes_evenly_spaced_batches() {
    let plan = Plan {
        steps: 7,
        trained: 30,
        batches: Replayed::Spread,
        rate_scale: 30.0 / 7.0,
    };
    let (answer, seen, _) = watched(|line| line.with(plan));
    assert_eq!(answer.steps_back, 7);
    let batches = all_batches(&BATCHES, 30);
    for (s, (_, batch)) in seen.iter().rev().enumerate() {
        assert_eq!(batch, &batches[s * 30 / 7]);
    }
}

// ------------------------------------------------------------------------------------ the hats

/// Weights of more than one block, the last one incomplete.
const MANY: usize = 2 * MOST + 17;

/// Drives a path through a trajectory `w_0 ..= w_T` and back; returns the weights it recalls for
/// `t = 0 .. T` and the velocities.
fn recalled<S: Scalar>(
    path: &mut dyn Path<Plain, S>,
    walk: &[Vec<S>],
) -> (Vec<Vec<S>>, Vec<Vec<S>>) {
    let (n, steps) = (walk[0].len(), walk.len() - 1);
    let nan = S::from_f64(f64::NAN);
    let (mut a, mut b) = (vec![nan; n], vec![nan; n]);
    let mut spare = Spare {
        a: &mut a,
        b: &mut b,
    };
    for (t, w) in walk[..steps].iter().enumerate() {
        path.record(t, w, w, spare.again()).unwrap();
    }
    path.finish(&walk[steps], &walk[steps], spare.again())
        .unwrap();
    // The sweep's spare vectors are others, and hold anything.
    spare.a.fill(nan);
    spare.b.fill(nan);
    path.open(&walk[steps], spare.again()).unwrap();
    let (mut ws, mut vs) = (vec![vec![nan; n]; steps], vec![vec![nan; n]; steps]);
    for t in (0..steps).rev() {
        let v = Some(&mut vs[t][..]);
        path.recall(t, &mut ws[t], v, &mut NoTraining(n), spare.again())
            .unwrap();
    }
    (ws, vs)
}

/// The hats' answer in full precision, with the rows they store.
#[allow(clippy::type_complexity)] // rows, weights and velocities
fn full_hats(knots: Grid, walk: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let n = walk[0].len();
    let mut storage = vec![f64::NAN; Full::<f64>::required_len(n, knots.intervals)];
    let rows = Full::new(n, knots.intervals, &mut storage).unwrap();
    let mut factors = vec![f64::NAN; knots.intervals + 1];
    let mut hats = Hats::new(n, knots, &walk[0][..], rows, &mut factors).unwrap();
    let (ws, vs) = recalled(&mut hats, walk);
    (storage, ws, vs)
}

/// Steps, intervals and spacings: one interval, as many as steps, a prime number of them.
fn all_knots() -> Vec<Grid> {
    let mut all = vec![];
    for spacing in [0.5, 1.0, 1.5, 3.0] {
        for (steps, intervals) in [
            (1, 1),
            (2, 1),
            (10, 1),
            (10, 3),
            (10, 10),
            (97, 8),
            (200, 17),
        ] {
            all.push(Grid {
                steps,
                intervals,
                spacing,
            });
        }
    }
    all
}

/// The value of hat `k` at step `t`.
fn hat(knots: &Grid, k: usize, t: usize) -> f64 {
    let at = |k: usize| knots.step(k) as f64;
    let t = t as f64;
    if k > 0 && t >= at(k - 1) && t <= at(k) {
        (t - at(k - 1)) / (at(k) - at(k - 1))
    } else if k < knots.intervals && t >= at(k) && t <= at(k + 1) {
        (at(k + 1) - t) / (at(k + 1) - at(k))
    } else {
        0.0
    }
}

/// `w_t = sum_k c_k hat_k(t)` for `t = 0 ..= T`.
fn piecewise_linear(knots: &Grid, c: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..=knots.steps)
        .map(|t| {
            (0..c[0].len())
                .map(|i| {
                    (0..=knots.intervals)
                        .map(|k| c[k][i] * hat(knots, k, t))
                        .sum()
                })
                .collect()
        })
        .collect()
}

/// A smooth walk with noise.
fn some_walk(steps: usize, n: usize) -> Vec<Vec<f64>> {
    let (from, to) = (Noise(70).f64s(n, 1.0), Noise(71).f64s(n, 1.0));
    (0..=steps)
        .map(|t| {
            let b = 1.0 - (-5.0 * t as f64 / steps as f64).exp();
            let noise = Noise(1000 + t as u64).f64s(n, 0.05);
            (0..n)
                .map(|i| from[i] + b * (to[i] - from[i]) + noise[i])
                .collect()
        })
        .collect()
}

#[test]
fn knots_ascend_from_the_first_step_to_the_last() {
    for knots in all_knots() {
        let steps: Vec<usize> = (0..=knots.intervals).map(|k| knots.step(k)).collect();
        assert_eq!((steps[0], steps[knots.intervals]), (0, knots.steps));
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    }
}

#[test]
fn hats_reproduce_a_path_that_is_linear_between_their_knots() {
    for knots in all_knots() {
        let c: Vec<Vec<f64>> = (0..=knots.intervals)
            .map(|k| Noise(80 + k as u64).f64s(MANY, 1.0))
            .collect();
        let walk = piecewise_linear(&knots, &c);
        let (_, ws, vs) = full_hats(knots, &walk);
        for t in 0..knots.steps {
            assert_close(&format!("{knots:?} {t}"), &ws[t], &walk[t], HATS_F64);
            if t == 0 {
                assert!(vs[t].iter().all(|v| *v == 0.0), "training begins at rest");
            }
        }
    }
}

#[test]
fn hats_are_the_least_squares_fit_that_begins_at_the_first_weights() {
    for knots in all_knots() {
        let walk = some_walk(knots.steps, MANY);
        let (_, ws, _) = full_hats(knots, &walk);
        // The normal equations, dense and without a thought.
        let count = knots.intervals;
        let design = |t, k| hat(&knots, k + 1, t);
        let sum = |f: &dyn Fn(usize) -> f64| -> f64 { (0..=knots.steps).map(f).sum() };
        let gram: Vec<Vec<f64>> = (0..count)
            .map(|j| {
                (0..count)
                    .map(|k| sum(&|t| design(t, j) * design(t, k)))
                    .collect()
            })
            .collect();
        let mut c = vec![walk[0].clone(); count + 1];
        for i in 0..MANY {
            let left = |t: usize| walk[t][i] - hat(&knots, 0, t) * walk[0][i];
            let b = (0..count)
                .map(|k| sum(&|t| design(t, k) * left(t)))
                .collect();
            for (k, x) in plain::solve(gram.clone(), b).into_iter().enumerate() {
                c[k + 1][i] = x;
            }
        }
        let fit = piecewise_linear(&knots, &c);
        for t in 0..knots.steps {
            assert_close(&format!("{knots:?} {t}"), &ws[t], &fit[t], HATS_F64);
        }
    }
}

#[test]
fn hats_with_a_knot_for_each_step_are_the_walk_itself() {
    for spacing in [0.5, 1.0, 1.5] {
        let knots = Grid {
            steps: 40,
            intervals: 40,
            spacing,
        };
        let walk = some_walk(40, MANY);
        let (_, ws, vs) = full_hats(knots, &walk);
        for t in 0..40 {
            assert_eq!(ws[t], walk[t]);
            if t > 0 {
                // The velocity before step t is that of the interval in which t lies.
                let v: Vec<f64> = (0..MANY)
                    .map(|i| 2.0 * (walk[t + 1][i] - walk[t][i]))
                    .collect();
                assert_eq!(vs[t], v);
            }
        }
    }
}

fn quantised_hats_stay_close<const LEVELS: u32>() {
    let m = f64::from(LEVELS / 2);
    let mut worst_of_all = 0.0f64;
    for knots in all_knots() {
        let walk = some_walk(knots.steps, MANY);
        let (rows, full, _) = full_hats(knots, &walk);
        let mut storage = vec![u32::MAX; Quantised::<LEVELS>::required_len(MANY, knots.intervals)];
        let quantised = Quantised::<LEVELS>::new(MANY, knots.intervals, &mut storage).unwrap();
        let mut factors = vec![f64::NAN; knots.intervals + 1];
        let initial = &walk[0][..];
        let mut hats = Hats::new(MANY, knots, initial, quantised, &mut factors).unwrap();
        let (ws, _) = recalled(&mut hats, &walk);
        // The largest difference that had to be stored sets the step.
        let mut before = walk[0].clone();
        let mut top: f64 = 0.0;
        for row in rows.chunks(MANY) {
            for (x, before) in row.iter().zip(&before) {
                top = top.max((x - before).abs());
            }
            before = row.to_vec();
        }
        // The rows that are stored differ by as much again as the errors of the row before.
        let half_step = 0.5 * top / m * (1.0 + 1.0 / m);
        let worst = ws
            .iter()
            .flatten()
            .zip(full.iter().flatten())
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max);
        assert!(
            worst <= QUANTISED_HATS * half_step,
            "{LEVELS} levels, {knots:?}: {} half steps off",
            worst / half_step
        );
        // The first step alone is exact: it lies at the origin.
        assert!(
            worst > 0.0 || knots.steps == 1,
            "{LEVELS} levels cannot be exact"
        );
        worst_of_all = worst_of_all.max(worst / half_step);
    }
    println!("{LEVELS} levels: {worst_of_all} half steps off");
}

#[test]
fn hats_of_255_levels_are_within_a_few_half_steps_of_full_ones() {
    quantised_hats_stay_close::<255>();
}

#[test]
fn hats_of_15_levels_are_within_a_few_half_steps_of_full_ones() {
    quantised_hats_stay_close::<15>();
}

#[test]
fn hats_with_a_knot_for_each_step_give_the_hypergradient_of_the_tape() {
    let small = Small::new();
    let inputs = small.inputs::<f64>();
    let taped = small.taped::<Fused, f64>(&inputs);
    let mut storage = vec![f64::NAN; Full::<f64>::required_len(P, STEPS)];
    let rows = Full::new(P, STEPS, &mut storage).unwrap();
    let mut factors = vec![f64::NAN; STEPS + 1];
    let knots = Grid {
        steps: STEPS,
        intervals: STEPS,
        spacing: 1.0,
    };
    let initial = &inputs.w0[..];
    let mut hats = Hats::new(P, knots, initial, rows, &mut factors).unwrap();
    let mut again = || {
        small
            .answer::<Fused, _>(&inputs, &initial, &mut hats, false)
            .unwrap()
    };
    let first = again();
    assert_eq!(first.d_h, taped.d_h);
    assert_eq!(first.d_w0, taped.d_w0);
    assert_eq!(again(), first, "hats can be used again");
}

// ---------------------------------------------------------------------- a training that learns

const LONG: usize = 200;

/// A training of 200 steps from normal weights; `h` are the scales of units.
fn long<A: Arithmetic>(
    path: &mut dyn Path<A, f32>,
    initial: &dyn InitialWeights<f32>,
    data: &Data,
) -> Answer<f32> {
    let net = Mlp::<_, A>::new(data.features(), WIDTHS, 16).unwrap();
    let objective = Scaled {
        inner: net,
        groups: UNITS,
    };
    let training = L2::new(objective, Strength::Fixed(1e-3, TENSORS));
    let problem = InnerProblem {
        objective: &training,
        h: &[1.0; 15],
        schedule: Schedule {
            optimizer: Optimizer::HeavyBall,
            groups: Groups::global(P),
            rates: &[0.3],
            momenta: &[0.9],
        },
        batches: Batches {
            seed: 8,
            examples: 100,
            size: 16,
        },
        steps: LONG,
    };
    let valid: Vec<u32> = (100..150).collect();
    let validation = Validation {
        objective: &objective,
        examples: &valid,
    };
    hypergradient(&problem, &validation, initial, path, false).unwrap()
}

const NORMAL: Normal<'static, f32> = Normal {
    seed: 9,
    groups: Groups::global(P),
    log_scales: &[-1.0],
};

fn hats_of_15_levels<G: InitialWeights<f32>>(initial: G, data: &Data) -> Answer<f32> {
    let knots = Grid {
        steps: LONG,
        intervals: 8,
        spacing: Grid::SPACING,
    };
    let mut storage = vec![0; Quantised::<15>::required_len(P, 8)];
    let rows = Quantised::<15>::new(P, 8, &mut storage).unwrap();
    let mut factors = vec![0.0; 9];
    let mut hats = Hats::new(P, knots, initial, rows, &mut factors).unwrap();
    long::<Fused>(&mut hats, &NORMAL, data)
}

#[test]
fn hats_of_15_levels_point_where_the_tape_does() {
    let data = Data::learnable(90, 150, WIDTHS[0], WIDTHS[3]);
    let mut storage = vec![0.0; Tape::<f32>::required_len(P, LONG, 0)];
    let mut tape = Tape::new(P, LONG, 0, &mut storage).unwrap();
    let taped = long::<Fused>(&mut tape, &NORMAL, &data);
    let (first, last) = (taped.losses[0], taped.losses[LONG - 1]);
    assert!(
        last < 0.5 * first,
        "it should have learnt: {first} to {last}"
    );
    let hats = hats_of_15_levels(NORMAL, &data);
    assert_eq!(
        bits(&hats.w),
        bits(&taped.w),
        "a path does not touch the training"
    );
    let cosine = cosine(&hats.d_h, &taped.d_h);
    assert!(cosine > HATS_COSINE, "cosine {cosine}");
    println!("cosine {cosine}");
}

#[test]
fn initial_weights_from_their_seed_give_the_bits_of_those_from_memory() {
    let data = Data::learnable(90, 150, WIDTHS[0], WIDTHS[3]);
    let mut w0 = vec![0.0f32; P];
    NORMAL.fill(0, &mut w0);
    let (seed, memory) = (
        hats_of_15_levels(NORMAL, &data),
        hats_of_15_levels(&w0[..], &data),
    );
    assert_eq!(bits(&seed.d_h), bits(&memory.d_h));
    let mut line = Line::new(NORMAL, LONG).with(Plan::published(LONG));
    let seed = long::<Fused>(&mut line, &NORMAL, &data);
    let mut line = Line::new(&w0[..], LONG).with(Plan::published(LONG));
    let memory = long::<Fused>(&mut line, &&w0[..], &data);
    assert_eq!(bits(&seed.d_h), bits(&memory.d_h));
}

#[test]
fn paths_say_how_much_they_remember() {
    let mut storage = vec![0.0f32; 1000];
    let tape = Tape::new(10, 20, 1, &mut storage).unwrap();
    assert_eq!(Path::<Fused, f32>::floats(&tape), 400);
    let line = Line::new(NORMAL, 20);
    assert_eq!(Path::<Fused, f32>::floats(&line), 0);
    let mut storage = vec![0; 1000];
    let rows = Quantised::<15>::new(100, 8, &mut storage).unwrap();
    // Two blocks of 11 words in each of eight rows.
    assert_eq!(rows.floats(), 176);
}
