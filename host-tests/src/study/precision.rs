//! A training run backwards with few bits (Maclaurin et al. 2015, section 2.1 and the public code of
//! their first figure): what rounding does to the backward pass, and what the information buffer saves.
//!
//! The loss is a warped valley of Rosenbrock's, of the weights `(y, x)`:
//!
//! ```text
//! R = 100 (x - y^2)^2 + (1 - y)^2 + 200 y        L = 800 / (1 + exp(-R / 500))
//! ```
//!
//! Each training is run in f32 and in half precision ([`Half`]), and reversed in floating point
//! ([`Reversed`]) and in fixed point ([`Reversible`]), of 32 bits or of 16. The backward pass is held against
//! the way there, bit for bit, and its hypergradient, by a rate and a momentum for each step, against
//! that of the same trajectory remembered, swept in the same arithmetic.
//!
//! Refused: weights and velocities that the fixed point of so many bits does not hold.

use std::time::Instant;

use anyhow::{Context, Result};
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::kernels::reduce::{cosine, norm};
use drmad::kernels::reversible::{Bits, FULL, Ratio};
use drmad::objective::{At, Objective};
use drmad::path::{Path, Reversed, Reversible, Spare, Steps, Taken};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Arithmetic, Error, Plain, Real, Scalar};
use serde::Deserialize;

use super::half::Half;
use crate::experiment::Rounding;
use crate::provenance::{named, versions};
use crate::report::findings::{Compared, Curve, Curves, Findings, Metric, Shown, Unit, Variant};

/// What is trained.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The weights `(y, x)` at the start.
    pub start: [f64; 2],
    /// The trainings; the first gives the variants their plain names.
    pub trainings: Vec<Training>,
}

/// A training; its rates are all alike, and so are its momenta, and each is a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Training {
    /// The number `T` of steps.
    pub steps: usize,
    /// The logarithm of the rate.
    pub log_rate: f64,
    /// The momentum.
    pub momentum: f64,
}

impl Default for Settings {
    /// Those of the public code: its first figure, its naive reversal in half precision, and that with
    /// other momenta.
    fn default() -> Self {
        let [first, naive] = [(50, -4.5, 0.99), (46, -5.5, 0.8)].map(Training::from);
        let with = |momentum| Training { momentum, ..naive };
        Settings {
            start: [1.4, 3.9],
            trainings: vec![first, with(0.9), naive, with(0.5)],
        }
    }
}

impl From<(usize, f64, f64)> for Training {
    fn from((steps, log_rate, momentum): (usize, f64, f64)) -> Self {
        Training {
            steps,
            log_rate,
            momentum,
        }
    }
}

/// 32-bit fixed point: weights within 32 of 0, velocities within 256.
pub const BITS_32: Bits = Bits {
    weight: 26,
    velocity: 22,
};
/// 16-bit fixed point: weights within 8 of 0, velocities within 256. The kernel has words of 32 bits, of
/// which weights and velocities then need the 16 lowest.
pub const BITS_16: Bits = Bits {
    weight: 12,
    velocity: 7,
};

/// The warped valley. It has no hyperparameters and no examples.
///
/// ```
/// use drmad::objective::{At, Objective};
/// use drmad_host::study::precision::Valley;
/// // R = 100 + 1, whose share of 500 is .202.
/// let (at, mut g) = (At { w: &[0.0, 1.0], h: &[], batch: &[] }, [0.0; 2]);
/// let loss: f64 = Valley.gradient(at, &mut g, None, &mut []).unwrap();
/// assert!((loss - 800.0 / (1.0 + (-0.202f64).exp())).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Valley;

impl Objective for Valley {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        2
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        _d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let wrong = |what, got| Error::Length { what, want: 2, got };
        let [y, x] = *at.w else {
            return Err(wrong("w", at.w.len()));
        };
        let got = g.len();
        let [g_y, g_x] = g else {
            return Err(wrong("g", got));
        };
        let of = S::from_f64;
        let (bend, away) = (Plain::mul_add(-y, y, x), S::ONE - y);
        let height = Plain::mul_add(of(100.0) * bend, bend, away * away);
        let height = Plain::mul_add(of(200.0), y, height);
        let share = S::ONE / (S::ONE + (-height / of(500.0)).exp::<Plain>());
        let slope = of(1.6) * share * (S::ONE - share);
        let by_bend = of(200.0) * bend;
        // By y: -400 y bend - 2 (1 - y) + 200.
        let by_y = of(200.0) - (away + away);
        *g_y = slope * Plain::mul_add(-(y + y), by_bend, by_y);
        *g_x = slope * by_bend;
        Ok(of(800.0) * share)
    }
}

/// Weights and velocity before a step.
type Place<S> = [Vec<S>; 2];

/// A path under watch: where it was on the way there, and where it says it was on the backward pass. It can
/// also remember, and then needs no backward pass of its own.
struct Watched<'p, S> {
    path: Box<dyn Path<Plain, S> + 'p>,
    remembers: bool,
    there: Vec<Place<S>>,
    end: Option<Place<S>>,
    /// From the last step to the first.
    back: Vec<Place<S>>,
}

impl<S: Scalar> Path<Plain, S> for Watched<'_, S> {
    fn floats(&self) -> usize {
        self.path.floats()
    }

    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        self.there.clear();
        self.back.clear();
        self.path.start(w)
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.there.push([w.to_vec(), v.to_vec()]);
        self.path.record(t, w, v, spare)
    }

    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        self.path.advance(t, w, v, g, steps)
    }

    fn taken(&self) -> Option<Taken<S>> {
        self.path.taken()
    }

    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.end = Some([w.to_vec(), v.to_vec()]);
        self.path.finish(w, v, spare)
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        // The sweep is asked for the momenta's derivatives, so it always wants velocities.
        let v = v.unwrap_or_default();
        if self.remembers {
            for (x, known) in [&mut *w, &mut *v].into_iter().zip(&self.there[t]) {
                x.copy_from_slice(known);
            }
        } else {
            self.path.recall(t, w, Some(&mut *v), steps, spare)?;
        }
        self.back.push([w.to_vec(), v.to_vec()]);
        Ok(())
    }
}

/// The hypergradient of the last loss by all rates, then by all momenta.
fn hypergradient<S: Scalar>(
    start: [f64; 2],
    training: Training,
    path: &mut dyn Path<Plain, S>,
) -> Result<Vec<f64>, Error> {
    let Training {
        steps,
        log_rate,
        momentum,
    } = training;
    let (rates, momenta) = (
        vec![S::from_f64(log_rate.exp()); steps],
        vec![S::from_f64(momentum); steps],
    );
    let optimizer = Optimizer::HeavyBall;
    let problem = InnerProblem {
        objective: &Valley,
        h: &[],
        schedule: Schedule {
            groups: Groups::global(2),
            optimizer,
            rates: &rates,
            momenta: &momenta,
        },
        batches: Batches {
            seed: 0,
            examples: 1,
            size: 1,
        },
        steps,
    };
    let scratch = scratch_len(&Valley, &Valley);
    let mut buffer = vec![S::ZERO; Workspace::<S>::required_len(2, scratch, optimizer, true)];
    let mut workspace = Workspace::new(&mut buffer, 2, optimizer, true)?;
    let start = start.map(S::from_f64);
    problem.train(&&start[..], path, &mut workspace, &mut [0], &mut |_, _| ())?;
    let (mut by_rates, mut by_momenta) = (vec![S::ZERO; steps], vec![S::ZERO; steps]);
    let wanted = Wanted {
        d_h: &mut [],
        schedule: Some((&mut by_rates, &mut by_momenta)),
    };
    let validation = Validation {
        objective: &Valley,
        examples: &[],
    };
    problem.backward(&validation, path, &mut workspace, &mut [0], wanted)?;
    Ok(by_rates
        .iter()
        .chain(&by_momenta)
        .map(|d| d.to_f64())
        .collect())
}

/// What came of a way there and back.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The weights before each step.
    pub there: Vec<[f64; 2]>,
    /// The weights that the backward pass found, from the last step to the first; fewer where it was lost.
    pub back: Vec<[f64; 2]>,
    /// Steps whose weights and velocity came back bit for bit.
    pub same: usize,
    /// The hypergradient over the backward pass, or what went wrong.
    pub found: Result<Vec<f64>, Error>,
    /// That of the same trajectory remembered, in the same arithmetic.
    pub exact: Vec<f64>,
    /// Bytes of the information buffer.
    pub buffer: usize,
}

impl Measured {
    /// The distance from the true weights, from the last step to the first.
    pub fn errors(&self) -> Vec<f64> {
        let pairs = self.back.iter().zip(self.there.iter().rev());
        pairs
            .map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]))
            .collect()
    }

    /// The distance from the start, where the backward pass was not lost before.
    pub fn at_start(&self, training: Training) -> Option<f64> {
        let error = self.errors().last().copied();
        error.filter(|_| self.back.len() == training.steps)
    }

    /// The factor by which the distance grew a step, from where it was first seen to where the backward pass
    /// ends.
    pub fn growth(&self) -> Option<f64> {
        let errors = self.errors();
        let seen = errors.iter().position(|e| *e > 0.0)?;
        let (from, to) = (errors[seen], *errors.last()?);
        let steps = errors.len() - 1 - seen;
        (steps > 0).then(|| (to / from).powf(1.0 / steps as f64))
    }
}

/// Refuses a trajectory whose weights or velocities need more than 16 bits.
fn holds_in_16_bits<'a, S: Scalar>(
    bits: Bits,
    there: impl Iterator<Item = &'a Place<S>>,
) -> Result<(), Error> {
    for (step, [w, v]) in there.enumerate() {
        let weights = (bits.weight_unit(), "value", w);
        let velocities = (bits.velocity_unit(), "velocity", v);
        for (unit, what, x) in [weights, velocities] {
            let greatest = unit * f64::from(i16::MAX);
            let over = x.iter().position(|x| x.to_f64().abs() > greatest);
            if let Some(weight) = over {
                return Err(Error::Overflow {
                    what,
                    step,
                    weight,
                    value: x[weight].to_f64(),
                    least: -greatest,
                    greatest,
                });
            }
        }
    }
    Ok(())
}

/// A training there and back in numbers `S`: reversed in floating point, or in fixed point of these
/// bits.
///
/// # Errors
/// A training that diverges, and weights or velocities that the fixed point does not hold.
pub fn measure<S: Real>(
    start: [f64; 2],
    training: Training,
    fixed: Option<Bits>,
) -> Result<Measured, Error> {
    let steps = training.steps;
    let momentum = S::from_f64(training.momentum).to_f64() as f32;
    let len = Reversible::required_len(2, steps, momentum);
    let mut words = vec![0; if fixed.is_some() { len } else { 0 }];
    // Without weights and velocities.
    let buffer = words.len().saturating_sub(4) * 4;
    let path: Box<dyn Path<Plain, S>> = match fixed {
        None => Box::new(Reversed),
        Some(bits) => Box::new(Reversible::new(2, steps, momentum, &mut words)?.with(bits)?),
    };
    let mut path = Watched {
        path,
        remembers: false,
        there: vec![],
        end: None,
        back: vec![],
    };
    let found = hypergradient(start, training, &mut path);
    let bits = |place: &Place<S>| {
        let [w, v] = place;
        let all = w.iter().chain(v).map(|x| x.to_f64().to_bits());
        all.collect::<Vec<_>>()
    };
    let pairs = path.back.iter().zip(path.there.iter().rev());
    let same = pairs.filter(|(a, b)| bits(a) == bits(b)).count();
    let weights = |places: &[Place<S>]| -> Vec<[f64; 2]> {
        let weights = places.iter().map(|[w, _]| [w[0].to_f64(), w[1].to_f64()]);
        weights.collect()
    };
    let (there, back) = (weights(&path.there), weights(&path.back));
    path.remembers = true;
    // A trajectory that was refused is refused again.
    let exact = hypergradient(start, training, &mut path)?;
    if let Some(bits) = fixed.filter(|bits| *bits == BITS_16) {
        holds_in_16_bits(bits, path.there.iter().chain(&path.end))?;
    }
    Ok(Measured {
        there,
        back,
        same,
        found,
        exact,
        buffer,
    })
}

/// The hypergradient in float64, of the training in float64.
///
/// # Errors
/// A training that diverges.
pub fn truth(start: [f64; 2], training: Training) -> Result<Vec<f64>, Error> {
    measure::<f64>(start, training, None).map(|measured| measured.exact)
}

/// The bits that the buffer must hold for each weight after each step: those of the bound on its word,
/// and those spilled.
pub fn held(momentum: f64, steps: usize) -> Vec<f64> {
    let Some(ratio) = Ratio::nearest(momentum) else {
        return vec![];
    };
    let (mut bound, mut spilled) = (0, 0);
    let after = (0..steps).map(|_| {
        while bound >= FULL {
            bound >>= 8;
            spilled += 8;
        }
        bound = ratio.grow(bound);
        f64::from(spilled) + f64::from(bound + 1).log2()
    });
    after.collect()
}

/// A way to train and to come back.
struct Numbers {
    name: &'static str,
    measure: fn([f64; 2], Training) -> Result<Measured, Error>,
    /// The momentum as its numbers hold it.
    momentum: fn(f64) -> f64,
    buffered: bool,
}

const SINGLE: fn(f64) -> f64 = |x| f64::from(x as f32);
const HALF: fn(f64) -> f64 = |x| Half::from_f64(x).to_f64();

const F32_REVERSED: &str = "f32, reversed";
const F32_BUFFER: &str = "f32, information buffer";
const HALF_REVERSED: &str = "half, reversed";
const HALF_BUFFER: &str = "half, information buffer";
const MIXED_BUFFER: &str = "16 bits with f32 gradients, information buffer";

const NUMBERS: [Numbers; 5] = [
    Numbers {
        name: F32_REVERSED,
        measure: |start, training| measure::<f32>(start, training, None),
        momentum: SINGLE,
        buffered: false,
    },
    Numbers {
        name: F32_BUFFER,
        measure: |start, training| measure::<f32>(start, training, Some(BITS_32)),
        momentum: SINGLE,
        buffered: true,
    },
    Numbers {
        name: HALF_REVERSED,
        measure: |start, training| measure::<Half>(start, training, None),
        momentum: HALF,
        buffered: false,
    },
    Numbers {
        name: HALF_BUFFER,
        measure: |start, training| measure::<Half>(start, training, Some(BITS_16)),
        momentum: HALF,
        buffered: true,
    },
    Numbers {
        name: MIXED_BUFFER,
        measure: |start, training| measure::<f32>(start, training, Some(BITS_16)),
        momentum: SINGLE,
        buffered: true,
    },
];

/// A distance that shows in the picture.
const SEEN: f64 = 0.1;

impl Numbers {
    fn variant(
        &self,
        name: String,
        training: Training,
        measured: &Result<Measured, Error>,
        truth: &[f64],
    ) -> Variant {
        let mut metrics = vec![];
        let measured = match measured {
            Ok(measured) => measured,
            Err(error) => {
                return Variant {
                    name,
                    metrics,
                    failed: Some(error.to_string()),
                };
            }
        };
        let mut metric = |name: &str, unit, value: f64| {
            metrics.push(Metric {
                name: name.into(),
                unit,
                values: vec![value],
            });
        };
        if let Some(error) = measured.at_start(training) {
            metric("error at the start", Unit::Number, error);
        }
        let reach = measured
            .errors()
            .into_iter()
            .take_while(|e| *e <= SEEN)
            .count();
        metric("steps back within 0.1", Unit::Count, reach as f64);
        metric("steps back bit for bit", Unit::Count, measured.same as f64);
        if let Some(growth) = measured.growth() {
            metric("growth of the error a step", Unit::Number, growth);
            metric("1 / momentum", Unit::Number, 1.0 / training.momentum);
        }
        if let Ok(found) = &measured.found {
            for (of, known) in [
                ("the same trajectory", &measured.exact[..]),
                ("float64", truth),
            ] {
                metric(
                    &format!("cosine to {of}"),
                    Unit::Cosine,
                    cosine(found, known),
                );
                let ratio = norm(found) / norm(known);
                metric(&format!("norm ratio to {of}"), Unit::Times, ratio);
            }
        }
        if self.buffered {
            let momentum = (self.momentum)(training.momentum);
            let held = held(momentum, training.steps);
            let a_step = held.last().map_or(f64::NAN, |h| h / training.steps as f64);
            metric("bits a number and step", Unit::Number, a_step);
            metric("log2(1 / momentum)", Unit::Number, -momentum.log2());
            metric("buffer", Unit::Bytes, measured.buffer as f64);
        }
        let failed = measured.found.as_ref().err();
        Variant {
            name,
            metrics,
            failed: failed.map(|error| format!("the sweep over the backward pass: {error}")),
        }
    }
}

fn curve(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Curve {
    let (x, y) = points.into_iter().unzip();
    Curve {
        name: name.into(),
        x,
        y: vec![y],
    }
}

fn curves(caption: String, labels: [&str; 2], log: [bool; 2], series: Vec<Curve>) -> Shown {
    let [x_label, y_label] = labels.map(String::from);
    Shown::Curves(Curves {
        caption,
        x_label,
        y_label,
        log,
        series,
    })
}

/// The ways there and back in half precision, in the plane of the weights.
fn ways(training: Training, reversed: &Measured, buffer: &Measured) -> Shown {
    let points = |places: &[[f64; 2]]| places.iter().map(|[y, x]| (*y, *x)).collect::<Vec<_>>();
    let errors = reversed.errors();
    let shown = errors.iter().take_while(|e| **e < 2.0).count();
    let series = vec![
        curve("the way there", points(&reversed.there)),
        curve("reversed", points(&reversed.back[..shown])),
        curve("there, fixed point", points(&buffer.there)),
        curve("back, information buffer", points(&buffer.back)),
    ];
    let Training {
        steps, momentum, ..
    } = training;
    let end = match reversed.at_start(training) {
        Some(error) => format!("ends {error:.2} from the start"),
        None => format!("is lost after {} steps", errors.len()),
    };
    let caption = format!(
        "{steps} steps with momentum {momentum} in half precision, and the backward passes. The naive reversal \
         {end}; it is drawn while it is within 2 of the true weights. The one with the information \
         buffer retraces the way there that was taken in 16-bit fixed point."
    );
    curves(
        caption,
        ["first weight", "second weight"],
        [false; 2],
        series,
    )
}

/// The error of a naive reversal over the steps back, for each training.
fn errors<'a>(number: &str, of: impl Iterator<Item = (Training, &'a Measured)>) -> Shown {
    let series = of.map(|(training, measured)| {
        let errors = measured.errors();
        let points = errors.into_iter().enumerate();
        let points = points.map(|(i, e)| ((i + 1) as f64, e));
        // A logarithm has no place for 0.
        let points = points.filter(|(_, e)| *e > 0.0);
        curve(format!("momentum {}", training.momentum), points)
    });
    let caption = format!(
        "How far the naive reversal in {number} is from the true weights. With the information buffer \
         the distance is 0 at every step, which a logarithmic axis cannot show."
    );
    let labels = ["steps back", "distance from the true weights"];
    curves(caption, labels, [false, true], series.collect())
}

/// The bits held over steps, beside what a product by the momentum loses.
fn bits(trainings: &[Training]) -> Shown {
    let mut series = vec![];
    for Training { momentum, .. } in trainings {
        let steps = || (0..=10).map(|k| 1 << k);
        let held = held(SINGLE(*momentum), 1 << 10);
        let held = steps().zip(steps().filter_map(|t| held.get(t - 1).copied()));
        let lost = steps().map(|t| (t, -momentum.log2() * t as f64));
        let points = |(t, bits): (usize, f64)| (t as f64, bits);
        series.push(curve(format!("held, {momentum}"), held.map(points)));
        series.push(curve(format!("lost, {momentum}"), lost.map(points)));
    }
    let caption = "What the information buffer must hold for each weight, and t log2(1 / momentum), \
                   what the product by the momentum loses. The difference is about \
                   log2(1 / (1 - momentum)), whatever the number of steps.";
    curves(
        caption.into(),
        ["steps", "bits a number"],
        [true; 2],
        series,
    )
}

/// The derivatives by the rates.
fn by_rates(of: &Trained) -> Shown {
    let steps = of.training.steps;
    let rates = |all: &[f64]| {
        let rates = all.iter().take(steps).enumerate();
        rates.map(|(t, d)| (t as f64, *d)).collect::<Vec<_>>()
    };
    let mut series = vec![curve("float64", rates(&of.truth))];
    for name in [HALF_REVERSED, HALF_BUFFER, MIXED_BUFFER] {
        let found = of
            .of(name)
            .and_then(|measured| measured.found.as_ref().ok());
        if let Some(found) = found.filter(|found| norm(found) < 10.0 * norm(&of.truth)) {
            series.push(curve(name, rates(found)));
        }
    }
    let caption = format!(
        "The hypergradient by the rate of each step, momentum {}. One that was lost, or is ten times \
         too long, is left out.",
        of.training.momentum
    );
    curves(
        caption,
        ["step", "derivative by the rate"],
        [false; 2],
        series,
    )
}

/// A training with what came of each of [`NUMBERS`].
struct Trained {
    training: Training,
    truth: Vec<f64>,
    ways: Vec<Result<Measured, Error>>,
}

impl Trained {
    fn of(&self, name: &str) -> Option<&Measured> {
        let mut ways = NUMBERS.iter().zip(&self.ways);
        let (_, of) = ways.find(|(numbers, _)| numbers.name == name)?;
        of.as_ref().ok()
    }
}

fn figures(all: &[Trained]) -> Vec<Shown> {
    let mut figures = vec![];
    for of in all {
        if let (Some(reversed), Some(buffer)) = (of.of(HALF_REVERSED), of.of(HALF_BUFFER)) {
            figures.push(ways(of.training, reversed, buffer));
        }
    }
    for (number, name) in [("half precision", HALF_REVERSED), ("f32", F32_REVERSED)] {
        let measured = all
            .iter()
            .filter_map(|of| Some((of.training, of.of(name)?)));
        figures.push(errors(number, measured));
    }
    figures.extend(all.iter().map(by_rates));
    let trainings: Vec<Training> = all.iter().map(|of| of.training).collect();
    figures.push(bits(&trainings));
    figures
}

/// The paper's two claims, in half precision.
fn compared(all: &[Trained]) -> Vec<Compared> {
    let claims = [
        (
            HALF_REVERSED,
            "said to be lost to rounding; the figure of the public code has momentum 0.8",
        ),
        (HALF_BUFFER, "said to be exact"),
    ];
    let rows = all.iter().flat_map(|of| {
        claims.map(|(name, remark)| {
            let error = of
                .of(name)
                .and_then(|measured| measured.at_start(of.training));
            Compared {
                what: format!(
                    "error at the start, {name}, momentum {}",
                    of.training.momentum
                ),
                published: None,
                ours: vec![error.unwrap_or(f64::NAN)],
                unit: Unit::Number,
                remark: remark.into(),
            }
        })
    });
    rows.collect()
}

const ABOUT: &str = "Two weights are trained down a warped Rosenbrock valley by heavy-ball steps, and the \
    training is then run backwards. In floating point each step back divides what rounding lost by the \
    momentum, so the backward pass leaves the way there: the sooner, the fewer the bits and the smaller the \
    momentum. In fixed point with the information buffer it comes back bit for bit, in 32 bits and in \
    16, and the hypergradient by the rate and the momentum of every step is that of the trajectory it took.";

const NOTES: [&str; 5] = [
    "The paper's first figure trains 50 steps with rate exp(-4.5) and momentum 0.99. Its public code \
     shows the naive reversal in half precision on another training: 46 steps, rate exp(-5.5), momentum \
     0.8. Both are here, and the second with other momenta. At 0.99 over 50 steps the naive reversal \
     does not fail yet, even in half precision: the momentum alone makes a rounding grow to 0.99^-50 = 1.7 \
     times itself. The curvature of the loss makes some grow more, and each step adds its own.",
    "Half precision is emulated: every operation on binary16 numbers is rounded to nearest, those of the \
     objective, the step and the sweep alike. The public code rounds weights and velocity once a step.",
    "The crate's fixed point is made of 32-bit words. For half precision its weights have 12 fraction \
     bits and its velocities 7, and it is checked that none of them needs more than 16 bits. The \
     buffer's own words, and what is computed within a step, stay as wide as they are.",
    "To come back exactly is not to train well. A product by a momentum n / d moves a velocity by up to \
     d units, and in half precision 0.8 is 819 / 1024: 1024 units of 1/128 are 8. The training in half \
     precision with the buffer is therefore another one, which its cosine to float64 shows. With gradients \
     and momenta in f32, where 0.8 is 4 / 5, the same 16 bits do well; with 819 / 1024 they do not in \
     f32 either.",
    "Both sides of a cosine to the same trajectory are swept in the same arithmetic, so it tells of the backward pass \
     alone. The cosine to float64 tells of the training and of the sweep as well.",
];

fn described(settings: &Settings) -> Vec<(String, String)> {
    let [y, x] = settings.start;
    let mut pairs = named(&[("start", format!("({y}, {x})"))]);
    for of in &settings.trainings {
        let Training {
            steps,
            log_rate,
            momentum,
        } = of;
        let name = format!("training, momentum {momentum}");
        let hypers = 2 * steps;
        let value = format!("{steps} steps, rate exp({log_rate}), {hypers} hyperparameters");
        pairs.push((name, value));
    }
    for (name, Bits { weight, velocity }) in [("32 bits", BITS_32), ("16 bits", BITS_16)] {
        let value = format!("{weight} fraction bits in a weight, {velocity} in a velocity");
        pairs.push((name.into(), value));
    }
    pairs
}

/// Trains and reverses in every way.
///
/// # Errors
/// A training that diverges in float64.
///
/// ```
/// use drmad_host::study::precision::{Settings, run};
/// let findings = run(&Settings::default())?;
/// assert_eq!(findings.variants[1].name, "f32, information buffer");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn run(settings: &Settings) -> Result<Findings> {
    let began = Instant::now();
    let (mut variants, mut all) = (vec![], vec![]);
    for (i, training) in settings.trainings.iter().copied().enumerate() {
        let truth = truth(settings.start, training)
            .with_context(|| format!("momentum {} in float64", training.momentum))?;
        let mut ways = vec![];
        for numbers in &NUMBERS {
            let name = match i {
                0 => numbers.name.to_string(),
                _ => format!("{}, momentum {}", numbers.name, training.momentum),
            };
            let measured = (numbers.measure)(settings.start, training);
            variants.push(numbers.variant(name, training, &measured, &truth));
            ways.push(measured);
        }
        all.push(Trained {
            training,
            truth,
            ways,
        });
    }
    Ok(Findings {
        name: "reverse-precision".into(),
        title: "A training run backwards with few bits".into(),
        source: "Maclaurin et al. 2015, section 2.1, and the public code of their first figure"
            .into(),
        about: ABOUT.into(),
        quick: false,
        settings: described(settings),
        seeds: 1,
        seconds: began.elapsed().as_secs_f64(),
        variants,
        compared: compared(&all),
        figures: figures(&all),
        notes: NOTES.map(String::from).to_vec(),
        versions: versions(Rounding::Plain),
    })
}
