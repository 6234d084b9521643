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
//! derivatives come from dual numbers. A round is a [`Session`], which stops between steps for whatever else the device
//! is to do.

use drmad::group::{Granularity, Groups};
use drmad::memory::Need;
use drmad::method::{Method, Recall, Sweep};
use drmad::objective::{At, Objective};
use drmad::outer::Adam;
use drmad::random::{InitialWeights, Normal};
use drmad::training::{Model, On, Own, Session, Training, Tuned, What};
use drmad::tuner::Tuner;
use drmad::{Arithmetic, Error, Plain, Scalar};

use crate::{DOWN, Failure, Judged, Report, fnv1a64};

/// Weights of the model.
const P: usize = 8;
/// Powers of the temperature.
const POWERS: usize = 5;
/// Readings to learn from, and to judge by.
const TRAIN: usize = 8;
const READINGS: usize = 2 * TRAIN;
const ROUNDS: usize = 21;
/// Steps of a training or of its backward pass after which others may run.
const STEPS_AT_ONCE: usize = 25;

/// The logarithms of penalty, which is the objective's own, and rate.
const TUNED: &[Tuned] = &[
    Tuned::new(What::Objective, Granularity::Global),
    Tuned::new(What::Rate, Granularity::Global),
];
const H: usize = TRAINING.hypers().len();

/// What is trained and tuned.
pub const TRAINING: Training<'static> = Training {
    tuned: TUNED,
    batch: 6,
    seed: 1,
    ..Training::new(Model::Own(Own::new(P, 1, 0)), TRAIN, 200)
};

/// Six snapshots of the training, from which the steps between are taken again.
const METHOD: Sweep = Sweep::over(Recall::Checkpoints { snapshots: 6 });
const NEED: Need<f32> = TRAINING.need(Method::Sweep(METHOD));

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

/// All of its memory, but for the stack.
#[derive(Debug)]
pub struct Memory {
    readings: [Reading; READINGS],
    tuning: [f32; Tuner::<f32>::need(H).len()],
    training: [f32; NEED.len()],
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
            tuning: [0.0; _],
            training: [0.0; _],
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
    let (training, judges) = memory.readings.split_at(TRAIN);
    let of = |readings, penalised| Drift {
        readings,
        penalised,
    };
    let on = On {
        training: &of(training, true),
        validation: &of(judges, false),
        initial: Some(&[0.0; P]),
    };
    let (mut h, mut m, mut v) = ([-9.0, 0.0], [0.0; H], [0.0; H]);
    let mut adam = Adam::new(0.3 * DOWN, &mut m, &mut v)?;
    let mut tuner = Tuner::new(&mut h, &mut adam, &mut memory.tuning)?;
    let mut report = Report::default();
    for round in 0..ROUNDS {
        let mut session = Session::new(TRAINING, METHOD, on, tuner.h(), &mut memory.training)?;
        let test_error = bias(session.train(&mut |_, _| ())?);
        let outcome = loop {
            if let Some(outcome) = session.advance(STEPS_AT_ONCE, &mut |_, _| ())? {
                break outcome;
            }
            // Here the device does whatever else it is for.
        };
        let valid_loss = tuner.round_by(&mut |_, d_h| {
            session.hypergradient(d_h)?;
            Ok(outcome.valid_loss)
        })?;
        let judged = Judged {
            valid_loss,
            test_error,
        };
        if round == 0 {
            report.before = judged;
        }
        if tuner.best().is_some_and(|best| best.round == round) {
            report.after = judged;
        }
        report.round(valid_loss)?;
        report.hash = fnv1a64(tuner.hypergradient());
    }
    report.checked(0.75, 0.75)
}
