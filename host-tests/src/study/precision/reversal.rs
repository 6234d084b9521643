//! A training of two weights there and back, in numbers of any kind: where it was on the way there, where the backward
//! pass says that it was, and the hypergradient that it gives.
//!
//! Refused: weights and velocities that the fixed point of so many bits does not hold.

use anyhow::Result;
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::kernels::reversible::{Bits, FULL, Ratio};
use drmad::objective::{At, Objective};
use drmad::path::{Path, Reversed, Reversible, Spare, Steps, Taken};
use drmad::random::Batches;
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::{Arithmetic, Error, Plain, Real, Scalar};
use serde::Deserialize;

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
/// use drmad_host::study::precision::reversal::Valley;
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
