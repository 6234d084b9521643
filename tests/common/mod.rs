//! What the tests share: noise, small problems, an independent network in nested loops, and one call
//! that goes from initial weights to a hypergradient.
#![allow(dead_code)] // each test program uses its own part

#[path = "../../host-tests/src/counted.rs"]
#[allow(unreachable_pub)] // of the harness it is public
pub(crate) mod counted;
pub(crate) mod plain;

use std::io::{self, Write};
use std::sync::Mutex;

use crate::tolerances::{
    CENTRAL_DIFFERENCES, CENTRAL_STEP, DIFFERENCED_LOSSES, FLOOR, SAME_FORMULA_F64,
};
use drmad::check::{self, Deviation, Probes};
use drmad::group::Block;
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::kernels::dispatch::{self, Level};
use drmad::kernels::momentum::RowSteps;
use drmad::models::Features;
use drmad::objective::{self, At, Objective, Products};
use drmad::path::{Path, Steps};
use drmad::random::{Batches, InitialWeights};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Arithmetic, Error, Scalar};

/// Something is missing: says what to install, and fails with `CI_REQUIRED=1`, where it should be there.
#[track_caller]
pub(crate) fn skipped(what: &str) {
    // What goes through `println!` and `eprintln!` is shown of failing tests alone.
    writeln!(io::stderr(), "skipped: {what}").expect("standard error");
    assert!(
        std::env::var("CI_REQUIRED").as_deref() != Ok("1"),
        "missing: {what}"
    );
}

/// The smallest network with two hidden layers in which no two widths agree.
pub(crate) const WIDTHS: &[usize] = &[6, 5, 4, 3];

/// Fixed pseudo-random numbers (SplitMix64), which share nothing with the crate's generator.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in -1 .. 1, exact in f32.
    pub(crate) fn number(&mut self) -> f32 {
        (self.word() >> 40) as f32 / 8_388_608.0 - 1.0
    }

    pub(crate) fn f32s(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| scale * self.number()).collect()
    }

    pub(crate) fn f64s(&mut self, n: usize, scale: f64) -> Vec<f64> {
        (0..n).map(|_| scale * f64::from(self.number())).collect()
    }
}

/// Labelled examples of f32 features.
pub(crate) struct Data {
    pub(crate) x: Vec<f32>,
    pub(crate) labels: Vec<u8>,
    pub(crate) width: usize,
}

impl Data {
    /// `count` examples whose class is the greatest of `classes` random linear functions of them:
    /// something a network can learn.
    pub(crate) fn learnable(seed: u64, count: usize, width: usize, classes: usize) -> Data {
        let teacher = Noise(1).f32s(width * classes, 1.0);
        let x = Noise(seed).f32s(count * width, 1.0);
        let score = |x: &[f32], class: usize| -> f32 {
            x.iter()
                .zip(teacher.chunks(classes))
                .map(|(x, row)| x * row[class])
                .sum()
        };
        let labels = x
            .chunks(width)
            .map(|x| {
                (0..classes)
                    .max_by(|a, b| score(x, *a).total_cmp(&score(x, *b)))
                    .unwrap() as u8
            })
            .collect();
        Data { x, labels, width }
    }

    /// Twelve examples for [`WIDTHS`].
    pub(crate) fn small() -> Data {
        Data::learnable(2, 12, WIDTHS[0], WIDTHS[3])
    }

    pub(crate) fn features(&self) -> Features<'_> {
        Features {
            x: &self.x,
            labels: &self.labels,
            width: self.width,
        }
    }
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Runs `body` once on each vector level of this processor. The level belongs to the whole process,
/// so only one test at a time may set it.
pub(crate) fn on_every_level(mut body: impl FnMut(Level)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    for level in Level::ALL {
        if level.is_available() {
            dispatch::force(level).unwrap();
            body(level);
        }
    }
    dispatch::force(Level::widest()).unwrap();
}

/// The largest difference between two vectors, beside the largest magnitude in the second.
pub(crate) fn relative_error(got: &[f64], want: &[f64]) -> f64 {
    worst(got, want, |_, size| size).0
}

/// The largest error of an entry, and the entry: its difference from that of `want` beside this, or beside
/// its unit where that is more, and never beside more than the largest magnitude in `want`, which is what
/// `unit` is given with the entry's place.
fn worst(got: &[f64], want: &[f64], unit: impl Fn(usize, f64) -> f64) -> (f64, usize) {
    assert_eq!(got.len(), want.len());
    assert!(!want.is_empty());
    let size = want.iter().map(|x| x.abs()).fold(0.0, nan_max);
    assert!(size > 0.0, "a comparison with nothing but zeros");
    let mut worst = (0.0, 0);
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = match (got - want).abs() {
            0.0 => 0.0,
            off => off / want.abs().max(unit(i, size).min(size)),
        };
        if nan_max(error, worst.0) != worst.0 {
            worst = (error, i);
        }
    }
    worst
}

/// A maximum that a NaN survives.
fn nan_max(x: f64, y: f64) -> f64 {
    if x > y || x.is_nan() { x } else { y }
}

/// The one assertion of closeness.
#[track_caller]
fn hold<S: Scalar>(
    what: &str,
    got: &[S],
    want: &[f64],
    unit: impl Fn(usize, f64) -> f64,
    tolerance: f64,
) {
    let got: Vec<f64> = got.iter().map(|x| x.to_f64()).collect();
    let (error, i) = worst(&got, want, unit);
    assert!(
        error <= tolerance,
        "{what}: entry {i} is {error:e} off, more than {tolerance:e}: {} and not {}\n got {got:?}\nwant {want:?}",
        got[i],
        want[i]
    );
}

/// Close beside the largest entry: for what errs by as much in each entry, and so has no small entry that is
/// right to as many digits. Such are fits and lines through a training, iterations that end at a tolerance,
/// fixed point, and shifts by a common number. What is exact takes one of the assertions below.
#[track_caller]
pub(crate) fn assert_close<S: Scalar>(what: &str, got: &[S], want: &[f64], tolerance: f64) {
    hold(what, got, want, |_, size| size, tolerance);
}

/// The same entry by entry: one that is small beside the others is held to its own size, down to [`FLOOR`]
/// of the largest. Vectors of several kinds are given kind by kind.
#[track_caller]
pub(crate) fn assert_each_close<S: Scalar>(what: &str, got: &[S], want: &[f64], tolerance: f64) {
    assert_each_above(what, got, want, FLOOR, tolerance);
}

/// The same with a floor of its own.
#[track_caller]
pub(crate) fn assert_each_above<S: Scalar>(
    what: &str,
    got: &[S],
    want: &[f64],
    floor: f64,
    tolerance: f64,
) {
    hold(what, got, want, |_, size| floor * size, tolerance);
}

/// The same where it is known what each entry is summed of: it is held to the sum of their magnitudes.
#[track_caller]
pub(crate) fn assert_sums_close<S: Scalar>(
    what: &str,
    got: &[S],
    want: &[f64],
    sizes: &[f64],
    tolerance: f64,
) {
    assert_eq!(sizes.len(), want.len());
    hold(what, got, want, |i, _| sizes[i], tolerance);
}

/// Entry by entry against [`plain::derivative`] by this step of losses of order 1: an entry's error is
/// relative to it, or what the rounding of the losses makes of it ([`DIFFERENCED_LOSSES`]).
#[track_caller]
pub(crate) fn assert_differences<S: Scalar>(
    what: &str,
    got: &[S],
    want: &[f64],
    step: f64,
    tolerance: f64,
) {
    let rounding = DIFFERENCED_LOSSES / step;
    hold(what, got, want, |_, _| rounding / tolerance, tolerance);
}

/// A batch of [`Data::small`] with an example twice.
pub(crate) const BATCH: &[u32] = &[3, 0, 7, 7, 1, 11, 4];

/// Holds an objective to all identities at a random point.
pub(crate) fn keeps_the_identities<O: Objective>(what: &str, objective: &O) {
    let len = check::required_len(objective);
    identities_hold(
        what,
        [objective.weights(), objective.hypers(), len],
        &|at, probes, scratch, report| {
            check::objective(objective, at, probes, scratch, report).unwrap();
        },
    );
}

/// Measures the identities at a point, in so much scratch.
type Measure<'m> = dyn Fn(At<'_, f64>, Probes<'_>, &mut [f64], &mut dyn FnMut(Deviation)) + 'm;

/// What of that is compiled once for all objectives.
fn identities_hold(what: &str, [p, h, len]: [usize; 3], measure: &Measure<'_>) {
    let mut noise = Noise(20);
    // Away from 0, where an absolute value has its kink.
    let w: Vec<f64> = noise
        .f64s(p, 1.0)
        .iter()
        .map(|w| w + 0.01 * w.signum())
        .collect();
    let hypers = noise.f64s(h, 0.5);
    let (d, e, q) = (noise.f64s(p, 1.0), noise.f64s(p, 1.0), noise.f64s(h, 1.0));
    let at = At {
        w: &w,
        h: &hypers,
        batch: BATCH,
    };
    let probes = Probes {
        d: &d,
        e: &e,
        q: &q,
        step: CENTRAL_STEP,
    };
    let mut scratch = vec![f64::NAN; len];
    let mut seen = 0;
    measure(at, probes, &mut scratch, &mut |deviation| {
        let Deviation { identity, .. } = deviation;
        let tolerance = match identity {
            "symmetry of H"
            | "H d by dual numbers"
            | "M d by dual numbers"
            | "tangents by dual numbers"
            | "adjoints of the tangents"
            | "gradient beside the tangents" => SAME_FORMULA_F64,
            _ => CENTRAL_DIFFERENCES,
        };
        assert!(
            deviation.error() <= tolerance,
            "{what}, {identity}: {:e} off: {deviation:?}",
            deviation.error()
        );
        seen += 1;
    });
    assert_eq!(seen, if h > 0 { 13 } else { 10 }, "{what}");
}

/// Loss, gradient by weights and by hyperparameters, `H d`, `M d`.
#[derive(Debug, PartialEq)]
pub(crate) struct All<S> {
    pub(crate) loss: S,
    pub(crate) g: Vec<S>,
    pub(crate) d_h: Vec<S>,
    pub(crate) h_d: Vec<S>,
    pub(crate) m_d: Vec<S>,
}

pub(crate) fn all_of<O: Objective, S: Scalar>(
    objective: &O,
    w: &[S],
    h: &[S],
    batch: &[u32],
    d: &[S],
) -> All<S> {
    all_behind(objective, At { w, h, batch }, d)
}

/// The same, which is compiled once for all objectives.
fn all_behind<A: Arithmetic, S: Scalar>(
    objective: &dyn objective::Differentiable<A, S>,
    at: At<'_, S>,
    d: &[S],
) -> All<S> {
    let (p, hypers) = (objective.weights(), objective.hypers());
    let nan = S::from_f64(f64::NAN);
    // What was in the buffers must not matter, and the promised lengths must do.
    let scratch = |n| vec![nan; n];
    let (mut g, mut d_h) = (vec![nan; p], vec![nan; hypers]);
    let loss = objective
        .gradient(
            at,
            &mut g,
            Some(&mut d_h),
            &mut scratch(objective.scratch_len()),
        )
        .unwrap();
    let alone = objective
        .loss(at, &mut scratch(objective.loss_scratch_len()))
        .unwrap();
    assert_eq!(
        alone, loss,
        "the loss alone has the bits of that beside the gradient"
    );
    let (mut g_again, mut h_d, mut m_d) = (vec![nan; p], vec![S::ZERO; p], vec![S::ZERO; hypers]);
    let out = Products {
        g: Some(&mut g_again),
        h_d: &mut h_d,
        m_d: &mut m_d,
    };
    objective
        .second_order(
            at,
            d,
            out,
            &mut scratch(objective.second_order_scratch_len()),
        )
        .unwrap();
    assert_eq!(
        g_again, g,
        "the gradient beside the products has the bits of that alone"
    );
    All {
        loss,
        g,
        d_h,
        h_d,
        m_d,
    }
}

/// What a gradient and products over a batch are summed of: the mean of the magnitudes of each example's.
pub(crate) fn magnitudes<O: Objective>(
    objective: &O,
    w: &[f64],
    h: &[f64],
    batch: &[u32],
    d: &[f64],
) -> All<f64> {
    let each: Vec<All<f64>> = batch
        .iter()
        .map(|i| all_of(objective, w, h, &[*i], d))
        .collect();
    let mean = |of: fn(&All<f64>) -> &[f64]| -> Vec<f64> {
        (0..of(&each[0]).len())
            .map(|i| each.iter().map(|all| of(all)[i].abs()).sum::<f64>() / batch.len() as f64)
            .collect()
    };
    All {
        loss: each.iter().map(|all| all.loss.abs()).sum::<f64>() / batch.len() as f64,
        g: mean(|all| &all.g),
        d_h: mean(|all| &all.d_h),
        h_d: mean(|all| &all.h_d),
        m_d: mean(|all| &all.m_d),
    }
}

/// The examples of every step.
pub(crate) fn all_batches(batches: &Batches, steps: usize) -> Vec<Vec<u32>> {
    (0..steps)
        .map(|t| {
            let mut batch = vec![0; batches.size];
            batches.fill(t, &mut batch).unwrap();
            batch
        })
        .collect()
}

/// All that comes out of a training with its sweep.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer<S> {
    /// The losses before each step.
    pub(crate) losses: Vec<S>,
    /// `w_T`.
    pub(crate) w: Vec<S>,
    pub(crate) valid_loss: S,
    pub(crate) steps_back: usize,
    pub(crate) d_h: Vec<S>,
    pub(crate) d_w0: Vec<S>,
    /// Empty where the schedule's hypergradients are not wanted.
    pub(crate) d_rates: Vec<S>,
    pub(crate) d_momenta: Vec<S>,
}

impl<S: Scalar> Answer<S> {
    /// All numbers of it.
    pub(crate) fn numbers(&self) -> Vec<S> {
        let Answer {
            losses,
            w,
            valid_loss,
            steps_back: _,
            d_h,
            d_w0,
            d_rates,
            d_momenta,
        } = self;
        [losses, w, d_h, d_w0, d_rates, d_momenta]
            .into_iter()
            .flatten()
            .chain([valid_loss])
            .copied()
            .collect()
    }
}

/// Trains, validates and sweeps; with the hypergradients of the schedule where `schedule` says so.
pub(crate) fn hypergradient<A: Arithmetic, S: Scalar>(
    problem: &InnerProblem<'_, A, S>,
    validation: &Validation<'_, A, S>,
    initial: &dyn InitialWeights<S>,
    path: &mut dyn Path<A, S>,
    schedule: bool,
) -> Result<Answer<S>, Error> {
    let p = problem.objective.weights();
    let scratch = problem.scratch_len(validation);
    let optimizer = problem.schedule.optimizer;
    let mut buffer = vec![S::ZERO; Workspace::<S>::required_len(p, scratch, optimizer, schedule)];
    let mut workspace = Workspace::new(&mut buffer, p, optimizer, schedule)?;
    let mut batch = vec![0; problem.batches.size];
    let mut losses = Vec::new();
    problem.train(initial, path, &mut workspace, &mut batch, &mut |t, loss| {
        assert_eq!(t, losses.len());
        losses.push(loss);
    })?;
    let w = workspace.w.to_vec();
    let mut d_h = vec![S::ZERO; problem.h.len()];
    let (mut d_rates, mut d_momenta) = (Vec::new(), Vec::new());
    if schedule {
        d_rates = vec![S::ZERO; problem.schedule.rates.len()];
        d_momenta = vec![S::ZERO; problem.schedule.momenta.len()];
    }
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: schedule.then_some((&mut d_rates[..], &mut d_momenta[..])),
    };
    let outcome = problem.backward(validation, path, &mut workspace, &mut batch, wanted)?;
    Ok(Answer {
        losses,
        w,
        valid_loss: outcome.valid_loss,
        steps_back: outcome.steps_back,
        d_w0: workspace.d_w.to_vec(),
        d_h,
        d_rates,
        d_momenta,
    })
}

/// For paths that need nothing of the training but the rate, which is 1/2 for all of these many
/// weights.
pub(crate) struct NoTraining(pub(crate) usize);

impl<S: Scalar> Steps<S> for NoTraining {
    fn replay(&mut self, _: usize, _: &mut [S], _: &mut [S], _: &mut [S]) -> Result<(), Error> {
        unreachable!("this path computes nothing")
    }
    fn gradient(&mut self, _: usize, _: &[S], _: &mut [S]) -> Result<(), Error> {
        unreachable!("this path computes nothing")
    }
    fn optimizer(&self) -> Optimizer {
        Optimizer::HeavyBall
    }
    fn each(&self, _: usize, body: &mut dyn FnMut(Block, RowSteps<'_, S>)) {
        let all = Block {
            start: 0,
            rows: 1,
            columns: self.0,
            hyper: Some(0),
        };
        let by = RowSteps {
            columns: self.0,
            rates: &[S::from_f32(0.5)],
            rate_scale: S::ONE,
            momenta: &[S::ZERO],
        };
        body(all, by);
    }
}

/// What a path that takes no step needs to know of a training.
pub(crate) struct Rates<'a>(pub(crate) Schedule<'a, f32>);

impl Steps<f32> for Rates<'_> {
    fn replay(
        &mut self,
        _: usize,
        _: &mut [f32],
        _: &mut [f32],
        _: &mut [f32],
    ) -> Result<(), Error> {
        unreachable!("this path computes nothing")
    }
    fn gradient(&mut self, _: usize, _: &[f32], _: &mut [f32]) -> Result<(), Error> {
        unreachable!("this path computes nothing")
    }
    fn optimizer(&self) -> Optimizer {
        self.0.optimizer
    }
    fn each(&self, t: usize, body: &mut dyn FnMut(Block, RowSteps<'_, f32>)) {
        self.0.each(t, body);
    }
}
