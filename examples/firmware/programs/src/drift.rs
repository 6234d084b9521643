//! A sensor learns its own drift, and how to learn it: the smallest useful program.
//!
//! The zero of a sensor moves with temperature and age. A model of that is fitted on the device, to
//! readings at a known reference:
//!
//! ```text
//! m(w; x, t) = w_0 + w_1 x + .. + w_5 x^5 + w_6 (1 - exp(-exp(w_7) t))         x temperature, t age
//! L = mean (m - y)^2 + exp(s) (w_1^2 + .. + w_5^2)
//! ```
//!
//! The readings are few and noisy, and five powers of the temperature are too many for them: how much of
//! that freedom is good depends on the sensor. Other readings tell: the derivatives of their loss by `s`
//! and by the learning rate, through all of the training, move both.
//!
//! [`Drift`] is an objective as a user writes it: its gradient, generic over the scalar. The second
//! derivatives come from dual numbers.

use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::objective::{At, Objective, dual_required_len};
use drmad::outer::{Adam, Outer};
use drmad::path::{Checkpoints, Mark};
use drmad::random::{Batches, Normal, Origin};
use drmad::train::{Rule, Run, Schedule};
use drmad::{Arithmetic, Error, Plain, Scalar};

use crate::{DOWN, Failure, Judged, Report, fnv1a64};

/// Weights of the model.
const P: usize = 8;
/// Powers of the temperature.
const POWERS: usize = 5;
/// Readings to learn from, and to judge by.
const TRAIN: usize = 8;
const READINGS: usize = 2 * TRAIN;
const BATCH: usize = 6;
const STEPS: usize = 200;
const ROUNDS: usize = 20;
/// Snapshots of the training, from which the steps between are taken again.
const SNAPSHOTS: usize = 6;
const RULE: Rule = Rule::HeavyBall;

/// The sensor at its reference.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    temperature: f32,
    age: f32,
    value: f32,
}

/// What a sensor in a drawer would do: the truth that the model is to find.
fn truth(temperature: f32, age: f32) -> f32 {
    let x = temperature;
    0.3 + 0.5 * x - 0.4 * x * x + 0.8 * (1.0 - Scalar::exp::<Plain>(-3.0 * age))
}

/// The objective: readings, and whether the penalty counts.
#[derive(Clone, Copy, Debug)]
struct Drift<'a> {
    readings: &'a [Reading],
    penalised: bool,
}

impl Objective for Drift<'_> {
    type Arithmetic = Plain;

    fn weights(&self) -> usize {
        P
    }

    fn hypers(&self) -> usize {
        1
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        let (Some(w), Some(g), [s]) = (at.w.first_chunk::<P>(), g.first_chunk_mut::<P>(), at.h)
        else {
            return Err(Error::Length {
                what: "weights of the model",
                want: P,
                got: at.w.len(),
            });
        };
        g.fill(S::ZERO);
        let mut loss = S::ZERO;
        let share = S::ONE / S::from_usize(at.batch.len());
        for i in at.batch {
            let index = *i as usize;
            let len = self.readings.len();
            let reading = self.readings.get(index).ok_or(Error::Index {
                what: "reading",
                index,
                len,
            })?;
            let slopes = slopes(w, reading);
            let miss = model(w, &slopes) - S::from_f32(reading.value);
            loss += miss * miss * share;
            let by_model = (miss + miss) * share;
            for (g, slope) in g.iter_mut().zip(slopes) {
                *g = Plain::mul_add(by_model, slope, *g);
            }
        }
        let mut d_s = S::ZERO;
        if self.penalised {
            let strength = s.exp::<Plain>();
            for (w, g) in w.iter().zip(g.iter_mut()).skip(1).take(POWERS) {
                let term = strength * *w * *w;
                d_s += term;
                *g += (strength + strength) * *w;
            }
            loss += d_s;
        }
        if let Some([d_h]) = d_h {
            *d_h = d_s;
        }
        Ok(loss)
    }
}

/// The derivative of the model by each weight.
fn slopes<S: Scalar>(w: &[S; P], reading: &Reading) -> [S; P] {
    let x = S::from_f32(reading.temperature);
    let (mut slopes, mut power) = ([S::ONE; P], S::ONE);
    for slope in slopes.iter_mut().take(POWERS + 1) {
        *slope = power;
        power *= x;
    }
    let aged = w[7].exp::<Plain>() * S::from_f32(reading.age);
    let left = (-aged).exp::<Plain>();
    slopes[6] = S::ONE - left;
    slopes[7] = w[6] * left * aged;
    slopes
}

/// The model is linear in its weights but for the last, whose part is in the slopes.
fn model<S: Scalar>(w: &[S; P], slopes: &[S; P]) -> S {
    let terms = w.iter().zip(slopes).take(P - 1);
    terms.fold(S::ZERO, |sum, (w, slope)| Plain::mul_add(*w, *slope, sum))
}

const SCRATCH: usize = dual_required_len(P, 1, 0);

/// All of its memory, but for the stack.
#[derive(Debug)]
pub struct Memory {
    readings: [Reading; READINGS],
    workspace: [f32; Workspace::<f32>::required_len(P, SCRATCH, RULE, true)],
    snapshots: [f32; Checkpoints::<f32>::required_len(P, SNAPSHOTS, RULE.slots())],
}

const _: () = assert!(size_of::<Memory>() <= 4 * 1024);

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Zeros, of which the program takes none for granted.
    pub const fn new() -> Self {
        const NOTHING: Reading = Reading {
            temperature: 0.0,
            age: 0.0,
            value: 0.0,
        };
        Memory {
            readings: [NOTHING; READINGS],
            workspace: [0.0; _],
            snapshots: [0.0; _],
        }
    }
}

/// Fills the readings as a sensor would: noise about the truth.
fn sense(readings: &mut [Reading; READINGS]) {
    let noise = Normal {
        seed: 5,
        groups: Groups::global(3 * READINGS),
        log_scales: &[0.0f32],
    };
    for (i, reading) in readings.iter_mut().enumerate() {
        let mut random = [0.0; 3];
        noise.fill(3 * i, &mut random);
        let [temperature, age, value] = random;
        let (temperature, age) = (0.5 * temperature, (0.5 + 0.3 * age).clamp(0.0, 1.0));
        *reading = Reading {
            temperature,
            age,
            value: truth(temperature, age) + 0.2 * value,
        };
    }
}

/// The root mean square of what the model misses of the truth.
fn bias(w: &[f32]) -> f32 {
    let Some(w) = w.first_chunk::<P>() else {
        return f32::NAN;
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for i in 0..=10 {
        for j in 0..=10 {
            let reading = Reading {
                temperature: 0.2 * i as f32 - 1.0,
                age: 0.1 * j as f32,
                value: 0.0,
            };
            let miss = model(w, &slopes(w, &reading)) - truth(reading.temperature, reading.age);
            sum += miss * miss;
            count += 1.0;
        }
    }
    Scalar::sqrt(sum / count)
}

/// Tunes, and holds the result to what it must be.
///
/// # Errors
/// [`Failure`].
pub fn run(memory: &mut Memory) -> Result<Report, Failure> {
    sense(&mut memory.readings);
    let of = |penalised| Drift {
        readings: &memory.readings,
        penalised,
    };
    let (objective, outside) = (of(true), of(false));
    let judges: [u32; TRAIN] = core::array::from_fn(|i| (TRAIN + i) as u32);
    let validation = Validation {
        objective: &outside,
        examples: &judges,
    };
    let origin = [0.0f32; P];
    // The logarithms of penalty and rate.
    let mut logs = [-9.0f32, 0.0];
    let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
    let mut outer = Adam::new(0.3 * DOWN, &mut m, &mut v)?;
    let mut workspace = Workspace::new(&mut memory.workspace, P, RULE, true)?;
    let mut batch = [0; BATCH];
    let mut report = Report::default();
    for round in 0..=ROUNDS {
        let rate = Scalar::exp::<Plain>(logs[1]);
        let run = Run {
            objective: &objective,
            h: &logs[..1],
            schedule: Schedule {
                groups: Groups::global(P),
                rule: RULE,
                rates: &[rate],
                momenta: &[0.9],
            },
            batches: Batches {
                seed: 1,
                examples: TRAIN,
                size: BATCH,
            },
            steps: STEPS,
        };
        let mut marks = [Mark::default(); SNAPSHOTS];
        let snapshots = &mut memory.snapshots;
        let mut path = Checkpoints::new(P, STEPS, RULE.slots(), snapshots, &mut marks)?;
        let w0 = &origin[..];
        run.walk(&w0, &mut path, &mut workspace, &mut batch, &mut |_, _| ())?;
        let judged = Judged {
            test_error: bias(workspace.w),
            valid_loss: 0.0,
        };
        let (mut d_h, mut d_rate, mut d_momentum) = ([0.0], [0.0], [0.0]);
        let wanted = Wanted {
            d_h: &mut d_h,
            schedule: Some((&mut d_rate, &mut d_momentum)),
        };
        let outcome = run.back(&validation, &mut path, &mut workspace, &mut batch, wanted)?;
        let valid_loss = outcome.valid_loss;
        report.after = Judged {
            valid_loss,
            ..judged
        };
        if round == 0 {
            report.before = report.after;
        }
        report.round(valid_loss)?;
        report.hash = fnv1a64(&[d_h[0], d_rate[0], d_momentum[0]]);
        // The penalty is its own logarithm already.
        outer.step(&mut logs, &[d_h[0], rate * d_rate[0]])?;
    }
    report.checked(0.75, 0.75)
}
