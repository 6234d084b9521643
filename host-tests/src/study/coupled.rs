//! Tuning what couples tasks: one L2 coefficient and the couplings, by the hypergradient through a whole
//! training.
//!
//! The first of `h` is the coefficient `rho`, moved by its logarithm; all others are couplings, numbers
//! that a projection keeps from being negative. Several may be [tied](Sharing) to one number, whose
//! derivative is then the sum of theirs. Outside is Adam, with one rate for the logarithm and one for
//! the couplings, both of which fall to 0 along a line.
//!
//! Refused: validation losses that penalise.

use std::time::Instant;

use anyhow::{Context, Result};
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::method::Extent;
use drmad::objective::Objective;
use drmad::outer::{Adam, Outer, Parametrisation, Projected, Projection};
use drmad::path::Path;
use drmad::random::{Batches, Initial, choose};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::Tasks;
use drmad::{Fused, Scalar};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::tuned::failed;
use crate::data::Split;
use crate::method::{Method, Name};
use crate::report::findings::{Curve, Curves, Matrix, Metric, Unit, Variant};
use crate::statistics;

/// How to train, and how to tune.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tuning {
    /// The steps `T` of one training, each on all examples.
    pub steps: usize,
    /// The rate.
    pub rate: f32,
    /// The momentum.
    pub momentum: f32,
    /// The path of the hypergradient.
    pub method: Name,
    /// Steps of Adam outside.
    pub meta_steps: usize,
    /// Its rate for the logarithm of rho.
    pub rho_rate: f32,
    /// Its rate for the couplings.
    pub coupling_rate: f32,
    /// The logarithm of rho at the start.
    pub log_rho: f32,
    /// Each coupling at the start.
    pub coupling: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            steps: 100,
            rate: 0.1,
            momentum: 0.9,
            method: Name::Hats,
            meta_steps: 50,
            rho_rate: 0.2,
            coupling_rate: 0.002,
            log_rho: -6.0,
            coupling: 0.001,
        }
    }
}

impl Tuning {
    /// Reads those of the settings that are given and takes all others from an experiment's own.
    ///
    /// # Errors
    /// What is no setting, or not of its kind.
    pub fn over<'de, D: Deserializer<'de>>(self, from: D) -> Result<Self, D::Error> {
        let mut all = serde_json::to_value(self).map_err(D::Error::custom)?;
        let given = serde_json::Map::deserialize(from)?;
        if let Some(all) = all.as_object_mut() {
            all.extend(given);
        }
        serde_json::from_value(all).map_err(D::Error::custom)
    }

    /// Names and values for the page.
    pub fn described(&self) -> Vec<(&'static str, String)> {
        vec![
            ("steps", self.steps.to_string()),
            ("rate", self.rate.to_string()),
            ("momentum", self.momentum.to_string()),
            ("method", self.method.as_str().to_string()),
            ("meta-iterations", self.meta_steps.to_string()),
            ("Adam's rate for log rho", self.rho_rate.to_string()),
            ("Adam's rate for couplings", self.coupling_rate.to_string()),
            ("log rho at the start", self.log_rho.to_string()),
            ("couplings at the start", self.coupling.to_string()),
        ]
    }
}

/// Which couplings share a number: its index for each, or none where the coupling is 0.
pub type Sharing = Vec<Option<usize>>;

/// No coupling at all.
pub fn none(tasks: Tasks, blocks: usize) -> Sharing {
    vec![None; tasks.couplings() * blocks]
}

/// A number for each of the couplings `(block, j, k)` that are `kept`, or one for all of them.
fn kept(tasks: Tasks, blocks: usize, tied: bool, kept: impl Fn(usize, usize) -> bool) -> Sharing {
    let n = tasks.len();
    let pairs = (0..blocks).flat_map(|_| (0..n).flat_map(move |j| (j..n).map(move |k| (j, k))));
    let mut count = 0;
    let mut number = |(j, k)| {
        kept(j, k).then(|| {
            count += 1;
            if tied { 0 } else { count - 1 }
        })
    };
    pairs.map(&mut number).collect()
}

/// One number for every pair of different tasks, in all blocks.
pub fn one(tasks: Tasks, blocks: usize) -> Sharing {
    kept(tasks, blocks, true, |j, k| j != k)
}

/// A number for each coupling of a task with itself, which is a penalty; pairs are not coupled.
pub fn own(tasks: Tasks, blocks: usize) -> Sharing {
    kept(tasks, blocks, false, |j, k| j == k)
}

/// A number for each coupling, those of a task with itself among them.
pub fn all(tasks: Tasks, blocks: usize) -> Sharing {
    kept(tasks, blocks, false, |_, _| true)
}

/// The couplings that these numbers stand for.
fn spread(sharing: &[Option<usize>], numbers: &[f32]) -> Vec<f32> {
    let value = |own: &Option<usize>| own.and_then(|i| numbers.get(i)).copied();
    sharing
        .iter()
        .map(|own| value(own).unwrap_or(0.0))
        .collect()
}

/// The derivatives by the numbers from those by the couplings.
fn gathered(sharing: &[Option<usize>], d: &[f32], numbers: usize) -> Vec<f32> {
    let mut sums = vec![0.0; numbers];
    for (own, d) in sharing.iter().zip(d) {
        if let Some(sum) = own.and_then(|i| sums.get_mut(i)) {
            *sum += d;
        }
    }
    sums
}

/// One rate and one momentum for all weights and steps.
fn schedule<'s, S>(weights: usize, rates: &'s [S; 1], momenta: &'s [S; 1]) -> Schedule<'s, S> {
    Schedule {
        groups: Groups::global(weights),
        optimizer: Optimizer::HeavyBall,
        rates,
        momenta,
    }
}

/// What is trained, on how many examples, and what judges it, on how many.
#[derive(Debug)]
pub struct Training<'a, O, E> {
    /// The training loss.
    pub objective: &'a O,
    /// Its examples.
    pub examples: usize,
    /// The validation loss.
    pub validation: &'a E,
    /// Its examples.
    pub valid_examples: usize,
}

/// A hypergradient.
#[derive(Clone, Debug)]
pub struct Found<S> {
    /// The validation loss.
    pub valid_loss: S,
    /// Its derivative by `h`.
    pub d_h: Vec<S>,
    /// The trained weights.
    pub w: Vec<S>,
}

impl<O: Objective, E: Objective<Arithmetic = O::Arithmetic>> Training<'_, O, E> {
    /// Trains from `w0` with `h` and takes the hypergradient along the path that `path` makes of the
    /// training's schedule.
    ///
    /// # Errors
    /// A training that diverges, and what the objectives refuse.
    pub fn hypergradient<S: Scalar>(
        &self,
        tuning: &Tuning,
        h: &[S],
        w0: &[S],
        path: &mut dyn Path<O::Arithmetic, S>,
    ) -> Result<Found<S>, drmad::Error> {
        let p = self.objective.weights();
        let (rates, momenta) = ([S::from_f32(tuning.rate)], [S::from_f32(tuning.momentum)]);
        let problem = InnerProblem {
            objective: self.objective,
            h,
            schedule: schedule(p, &rates, &momenta),
            batches: Batches {
                seed: 0,
                examples: self.examples,
                size: self.examples,
            },
            steps: tuning.steps,
        };
        let optimizer = problem.schedule.optimizer;
        let scratch = scratch_len(self.objective, self.validation);
        let mut buffer = vec![S::ZERO; Workspace::<S>::required_len(p, scratch, optimizer, false)];
        let mut workspace = Workspace::new(&mut buffer, p, optimizer, false)?;
        let mut batch = vec![0; self.examples];
        problem.train(&w0, path, &mut workspace, &mut batch, &mut |_, _| ())?;
        let w = workspace.w.to_vec();
        let examples: Vec<u32> = (0..self.valid_examples as u32).collect();
        let validation = Validation {
            objective: self.validation,
            examples: &examples,
        };
        let mut d_h = vec![S::ZERO; h.len()];
        let wanted = Wanted {
            d_h: &mut d_h,
            schedule: None,
        };
        let outcome = problem.backward(&validation, path, &mut workspace, &mut batch, wanted)?;
        Ok(Found {
            valid_loss: outcome.valid_loss,
            d_h,
            w,
        })
    }

    /// Tunes rho and the couplings that `sharing` ties; `each` hears of every meta-iteration.
    ///
    /// # Errors
    /// As [`hypergradient`](Self::hypergradient).
    pub fn tune(
        &self,
        tuning: &Tuning,
        sharing: &[Option<usize>],
        w0: &[f32],
        each: &(dyn Fn() + Sync),
    ) -> Result<Tuned> {
        let count = sharing.iter().flatten().max().map_or(0, |most| most + 1);
        let (mut log_rho, mut numbers) = ([tuning.log_rho], vec![tuning.coupling; count]);
        let (mut m, mut v) = (vec![0.0; count + 1], vec![0.0; count + 1]);
        let ((m_rho, m), (v_rho, v)) = (m.split_at_mut(1), v.split_at_mut(1));
        let mut rho_outer = Adam::new(tuning.rho_rate, m_rho, v_rho)?;
        let mut outer = Projected {
            inner: Adam::new(tuning.coupling_rate, m, v)?,
            onto: &[(0..count, Projection::NonNegative)],
        };
        let (rates, momenta) = ([tuning.rate], [tuning.momentum]);
        let weights = self.objective.weights();
        let extent = Extent::of(&schedule(weights, &rates, &momenta), tuning.steps, false);
        let mut storage = vec![];
        let mut tuned = Tuned::default();
        let clock = Instant::now();
        for step in 0..=tuning.meta_steps {
            let mut rho = log_rho;
            Parametrisation::Log.value::<Fused, _>(&mut rho);
            let h = [&rho, &spread(sharing, &numbers)[..]].concat();
            let mut path = Method::fitting(tuning.method, tuning.steps).path::<O::Arithmetic>(
                extent,
                Initial::Given(w0),
                &mut storage,
            )?;
            let found = self
                .hypergradient(tuning, &h, w0, &mut path)
                .with_context(|| format!("meta-iteration {step}"))?;
            let best = tuned.valid.iter().copied().fold(f64::INFINITY, f64::min);
            let loss = f64::from(found.valid_loss);
            tuned.valid.push(loss);
            if loss < best {
                (tuned.w, tuned.h) = (found.w, h);
            }
            each();
            if step == tuning.meta_steps {
                break;
            }
            // Both rates fall to 0 along a line, so that what swings about its best comes to rest there.
            let left = 1.0 - step as f32 / tuning.meta_steps as f32;
            rho_outer.rate = left * tuning.rho_rate;
            outer.inner.rate = left * tuning.coupling_rate;
            let (d_rho, d) = found.d_h.split_at(1);
            let mut d_rho = d_rho.to_vec();
            Parametrisation::Log.pull_back(&rho, &mut d_rho)?;
            rho_outer.step(&mut log_rho, &d_rho)?;
            outer.step(&mut numbers, &gathered(sharing, d, count))?;
        }
        tuned.seconds = clock.elapsed().as_secs_f64();
        Ok(tuned)
    }
}

/// What tuning came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tuned {
    /// The validation loss before each step outside, and after the last.
    pub valid: Vec<f64>,
    /// The hyperparameters of the least of them.
    pub h: Vec<f32>,
    /// The weights trained with these.
    pub w: Vec<f32>,
    /// The seconds it took.
    pub seconds: f64,
}

/// One variant on one seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The tuning.
    pub tuned: Tuned,
    /// The share of test examples that are taken for another class.
    pub test_error: f64,
    /// The test loss.
    pub test_loss: f64,
}

/// One variant on one seed, or why it diverges.
pub type Outcome = Result<Measured, String>;

/// Those that did not diverge.
pub fn measured<'a>(outcomes: &[&'a Outcome]) -> Vec<&'a Measured> {
    outcomes
        .iter()
        .filter_map(|one| one.as_ref().ok())
        .collect()
}

/// Sets that share no image, each with so many of every class as `counts` says: positions in the split,
/// drawn from a seed.
///
/// # Errors
/// A class without so many.
pub fn drawn(split: &Split, classes: usize, counts: &[usize], seed: u64) -> Result<Vec<Vec<u32>>> {
    let mut order = vec![0; split.len()];
    choose(seed, &mut vec![0; split.len()], &mut order)?;
    let mut of_class: Vec<_> = (0..classes)
        .map(|class| {
            let labels = &split.labels;
            order
                .iter()
                .copied()
                .filter(move |i| labels.get(*i as usize).copied().map(usize::from) == Some(class))
        })
        .collect();
    let mut sets = Vec::new();
    for count in counts {
        let mut set = Vec::new();
        for (class, images) in of_class.iter_mut().enumerate() {
            let before = set.len();
            set.extend(images.by_ref().take(*count));
            if set.len() < before + count {
                anyhow::bail!(
                    "class {class} has fewer than the {} images that are to be drawn of it: \
                     take fewer examples per class",
                    counts.iter().sum::<usize>()
                );
            }
        }
        sets.push(set);
    }
    Ok(sets)
}

/// A variant's line on the page.
pub fn variant(name: &str, outcomes: &[&Outcome]) -> Variant {
    let seeds = measured(outcomes);
    let errors = outcomes.iter().filter_map(|one| one.as_ref().err());
    let metric = |name: &str, unit, value: &dyn Fn(&Measured) -> f64| Metric {
        name: name.to_string(),
        unit,
        values: seeds.iter().map(|one| value(one)).collect(),
    };
    let least = |one: &Measured| one.tuned.valid.iter().copied().fold(f64::NAN, f64::min);
    let rho = |one: &Measured| one.tuned.h.first().map_or(f64::NAN, |rho| f64::from(*rho));
    Variant {
        name: name.to_string(),
        metrics: vec![
            metric("test error", Unit::Percent, &|one| one.test_error),
            metric("test loss", Unit::Number, &|one| one.test_loss),
            metric("validation loss", Unit::Number, &least),
            metric("rho", Unit::Number, &rho),
            metric("seconds", Unit::Seconds, &|one| one.tuned.seconds),
        ],
        failed: failed(errors, outcomes.len()),
    }
}

/// The validation loss of each variant over the meta-iterations.
pub fn curves(variants: &[(&str, Vec<&Outcome>)]) -> Curves {
    let variants = variants.iter().map(|(name, all)| (name, measured(all)));
    let series = variants.map(|(name, seeds)| Curve {
        name: name.to_string(),
        x: (0..seeds.first().map_or(0, |one| one.tuned.valid.len()))
            .map(|step| step as f64)
            .collect(),
        y: seeds.iter().map(|one| one.tuned.valid.clone()).collect(),
    });
    Curves {
        caption: "The validation loss while rho and the couplings are tuned.".to_string(),
        x_label: "meta-iteration".to_string(),
        y_label: "validation loss".to_string(),
        log: [false, false],
        series: series.collect(),
    }
}

/// The couplings of one block, the mean over seeds. Those of a task with itself, which are penalties,
/// stand on the diagonal.
pub fn matrix(
    caption: String,
    names: &[String],
    tasks: Tasks,
    block: usize,
    seeds: &[&Measured],
) -> Matrix {
    let first = 1 + block * tasks.couplings();
    let coupling = |one: &Measured, j, k| {
        let place = tasks.coupling(j, k)?;
        one.tuned.h.get(first + place).map(|a| f64::from(*a))
    };
    let each = (0..tasks.len()).flat_map(|j| (0..tasks.len()).map(move |k| (j, k)));
    let mean = |(j, k)| {
        let couplings = seeds.iter().map(|one| coupling(one, j, k));
        statistics::mean(couplings.map(|a| a.unwrap_or(f64::NAN)))
    };
    Matrix {
        caption,
        unit: "coupling".to_string(),
        rows: names.to_vec(),
        columns: names.to_vec(),
        values: each.map(mean).collect(),
    }
}
