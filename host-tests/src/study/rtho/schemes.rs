//! The schemes: what is trained, and how its hyperparameters are tuned while it is.
//!
//! Refused: data of other sizes than the network's, hyperparameters at their bounds, and schemes of no
//! steps.

use std::time::Instant;

use anyhow::Context;
use anyhow::{Result, bail, ensure};
use drmad::Fused;
use drmad::forward::{Forward, Wrt, scratch_len};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::Mlp;
use drmad::objective::At;
use drmad::objective::Objective;
use drmad::outer::Adam;
use drmad::outer::Outer;
use drmad::outer::Parametrisation::{Log, Logit};
use drmad::random::{Batches, Normal, choose};
use drmad::schedule::{Optimizer, Schedule};
use drmad::train::InnerProblem;
use drmad::wrap::{L2, Strength};
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::inputs::{Images, Inputs};
use crate::quality::error_of;

/// What is trained, and how it is tuned.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Inputs, hidden layers, classes.
    pub layers: Vec<usize>,
    /// Examples that are trained on.
    pub train: usize,
    /// Examples of the outer loss.
    pub valid: usize,
    /// Test examples.
    pub test: usize,
    /// Examples in a batch.
    pub batch: usize,
    /// The rate `alpha` at the start.
    pub rate: f32,
    /// The momentum `gamma` at the start.
    pub momentum: f32,
    /// The penalty `c` at the start.
    pub penalty: f32,
    /// The logarithm of the initial weights' scale.
    pub log_scale: f32,
    /// Full runs, and steps of each.
    pub full_runs: [usize; 2],
    /// Blocks in real time, and steps of each; the fixed training has as many.
    pub real_time: [usize; 2],
    /// Warm restarts, and steps of each.
    pub warm_restarts: [usize; 2],
    /// Adam's rate between full runs, where there are few.
    pub full_rate: f32,
    /// Adam's rate between blocks and between warm restarts.
    pub outer_rate: f32,
    /// How often each scheme is run.
    pub seeds: usize,
}

impl Default for Settings {
    /// The paper's; what it leaves open is named in the notes.
    fn default() -> Self {
        Settings {
            layers: vec![784, 400, 400, 400, 10],
            train: 35_000,
            valid: 7_000,
            test: 10_000,
            batch: 256,
            rate: 0.02,
            momentum: 0.9,
            penalty: 1e-4,
            log_scale: -3.0,
            full_runs: [20, 200],
            real_time: [50, 100],
            warm_restarts: [50, 100],
            full_rate: 0.2,
            outer_rate: 0.1,
            seeds: 3,
        }
    }
}

/// What a block begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The initial weights.
    FullRuns,
    /// All that the last block left.
    RealTime,
    /// The weights that the last block left.
    WarmRestarts,
    /// All that the last block left; nothing is tuned.
    Fixed,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 4] = [
        Scheme::FullRuns,
        Scheme::RealTime,
        Scheme::WarmRestarts,
        Scheme::Fixed,
    ];

    /// Its variant's name.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::FullRuns => "full runs",
            Scheme::RealTime => "real time",
            Scheme::WarmRestarts => "warm restarts",
            Scheme::Fixed => "fixed",
        }
    }
}

impl Settings {
    /// Blocks of a scheme, and steps of each.
    pub(super) fn blocks(&self, scheme: Scheme) -> [usize; 2] {
        match scheme {
            Scheme::FullRuns => self.full_runs,
            Scheme::RealTime | Scheme::Fixed => self.real_time,
            Scheme::WarmRestarts => self.warm_restarts,
        }
    }

    /// How often [`run`](super::run) calls `each`.
    pub fn ticks(&self) -> usize {
        let blocks = Scheme::ALL.map(|scheme| self.blocks(scheme)[0]);
        self.seeds * blocks.iter().sum::<usize>()
    }

    /// Adam's rate.
    const fn outer_rate(&self, scheme: Scheme) -> f32 {
        match scheme {
            Scheme::FullRuns => self.full_rate,
            _ => self.outer_rate,
        }
    }

    /// `ln c`, `ln alpha`, `logit gamma` at the start.
    pub(super) fn start(&self) -> Result<[f32; 3]> {
        let mut lambda = [self.penalty, self.rate, self.momentum];
        let (logs, logit) = lambda.split_at_mut(2);
        Log.invert::<Fused, _>(logs).context("penalty and rate")?;
        Logit.invert::<Fused, _>(logit).context("momentum")?;
        Ok(lambda)
    }

    pub(super) fn check(&self, data: &Dataset) -> Result<()> {
        let (inputs, classes) = match self.layers[..] {
            [inputs, .., classes] => (inputs, classes),
            _ => bail!("a network has inputs and classes"),
        };
        let width = data.train.width();
        ensure!(
            width == inputs && data.classes() <= classes,
            "the network takes {inputs} pixels to {classes} classes, and the data have {width} and {}",
            data.classes()
        );
        for (what, have, want) in [
            ("training", data.train.len(), self.train + self.valid),
            ("test", data.test.len(), self.test),
        ] {
            ensure!(
                have >= want,
                "{want} of the {what} images are drawn and there are {have}"
            );
        }
        let blocks = Scheme::ALL.map(|scheme| self.blocks(scheme));
        let counts = [self.train, self.valid, self.test, self.batch, self.seeds];
        let counts = counts.iter().chain(blocks.iter().flatten());
        ensure!(
            counts.into_iter().all(|n| *n > 0),
            "examples, batches, seeds, blocks and steps are at least one each"
        );
        Ok(())
    }
}

/// Penalty, rate and momentum of `ln c`, `ln alpha`, `logit gamma`.
pub(super) fn values(mut lambda: [f32; 3]) -> [f32; 3] {
    let (logs, logit) = lambda.split_at_mut(2);
    Log.value::<Fused, _>(logs);
    Logit.value::<Fused, _>(logit);
    lambda
}

/// What was measured at the end of a block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Block {
    /// Seconds since the first block began.
    pub seconds: f64,
    /// The outer loss.
    pub loss: f64,
    /// Penalty, rate and momentum of the block.
    pub values: [f32; 3],
    /// The hypergradient by these; none where nothing is tuned.
    pub hypergradient: Vec<f32>,
}

/// A training with one scheme and one seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    /// Block by block.
    pub blocks: Vec<Block>,
    /// Share of the outer examples that are misclassified at the end.
    pub valid_error: f64,
    /// Share of the test examples.
    pub test_error: f64,
    /// The loss on the test examples.
    pub test_loss: f64,
}

type Network<'a> = Mlp<'a, Images<'a>, Fused>;

const OPTIMIZER: Optimizer = Optimizer::HeavyBall;
const WRT: [Wrt; 3] = [Wrt::Hyper(0), Wrt::Rate(0), Wrt::Momentum(0)];

/// Training with this penalty, rate and momentum.
fn training<'a>(
    objective: &'a L2<'a, Network<'a>>,
    values: &'a [f32; 3],
    batches: Batches,
    steps: usize,
) -> InnerProblem<'a, Fused, f32> {
    let (h, rest) = values.split_at(1);
    let (rates, momenta) = rest.split_at(1);
    InnerProblem {
        objective,
        h,
        schedule: Schedule {
            groups: Groups::global(objective.weights()),
            optimizer: OPTIMIZER,
            rates,
            momenta,
        },
        batches,
        steps,
    }
}

/// Trains with one scheme and tunes; `each` is called after each block.
///
/// # Errors
/// What the settings do not allow; a training that diverges.
pub fn train(
    settings: &Settings,
    data: &Dataset,
    scheme: Scheme,
    seed: u64,
    each: &dyn Fn(),
) -> Result<Trained> {
    settings.check(data)?;
    let Settings {
        layers,
        train,
        valid,
        batch: size,
        ..
    } = settings;
    let mean = data.mean_pixel();
    let mut chosen = vec![0; train + valid];
    choose(seed, &mut vec![0; data.train.len()], &mut chosen)?;
    let (trained, outer) = chosen.split_at(*train);
    // The same for every seed.
    let mut tested = vec![0; settings.test];
    choose(0, &mut vec![0; data.test.len()], &mut tested)?;
    let images = Images::new(Inputs::Sparse, &data.train, mean)?;
    let network = Network::new(images.choose(trained), layers, *size)?;
    let judge = Network::new(images.choose(outer), layers, *size)?;
    let tests = Images::new(Inputs::Sparse, &data.test, mean)?.choose(&tested);
    let tests = Network::new(tests, layers, *size)?;

    let p = network.weights();
    let everywhere = Groups::global(p);
    let objective = L2::new(network, Strength::Tuned(everywhere));
    let unpenalised = L2::new(judge, Strength::Off(everywhere));
    let outer: Vec<u32> = (0..*valid as u32).collect();
    let validation = Validation {
        objective: &unpenalised,
        examples: &outer,
    };
    let log_scales = vec![settings.log_scale; layers.len() - 1];
    let initial = Normal {
        seed,
        groups: Groups {
            layout: Layout::Layers(layers),
            by: Granularity::Layer,
            biases: true,
        },
        log_scales: &log_scales,
    };

    let [blocks, steps] = settings.blocks(scheme);
    let batches = Batches {
        seed,
        examples: *train,
        size: *size,
    };
    let tuned = scheme != Scheme::Fixed;
    let wrt: &[Wrt] = if tuned { &WRT } else { &[] };
    let mut lambda = settings.start()?;
    let scratch = scratch_len(&objective, &unpenalised, wrt.len());
    let len = Forward::<f32>::required_len(p, 1, OPTIMIZER, wrt.len(), scratch);
    let (mut buffer, mut batch) = (vec![0.0; len], vec![0; *size]);
    let first = values(lambda);
    let problem = training(&objective, &first, batches, blocks * steps);
    let mut forward = Forward::new(&mut buffer, &problem, wrt)?;
    forward.start(&initial)?;

    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    let mut adam = Adam::new(settings.outer_rate(scheme), &mut m, &mut v)?;
    let mut measured = Vec::with_capacity(blocks);
    let clock = Instant::now();
    for block in 0..blocks {
        let begin = match scheme {
            Scheme::FullRuns => {
                forward.start(&initial)?;
                0
            }
            Scheme::WarmRestarts => {
                forward.restart();
                block * steps
            }
            Scheme::RealTime | Scheme::Fixed => block * steps,
        };
        let values = values(lambda);
        let problem = training(&objective, &values, batches, begin + steps);
        let range = begin..begin + steps;
        problem.forward(range, &mut forward, &mut batch, &mut |_, _| ())?;
        let mut d = vec![0.0; wrt.len()];
        let loss = problem.hypergradient(&validation, &mut forward, &mut d)?;
        measured.push(Block {
            seconds: clock.elapsed().as_secs_f64(),
            loss: f64::from(loss),
            values,
            hypergradient: d.clone(),
        });
        if tuned {
            Log.pull_back(&values[..2], &mut d[..2])?;
            Logit.pull_back(&values[2..], &mut d[2..])?;
            adam.step(&mut lambda, &d)?;
        }
        each();
    }
    let classes = layers[layers.len() - 1];
    let examples: Vec<u32> = (0..settings.test as u32).collect();
    let at = At {
        w: &*forward.w,
        h: &[],
        batch: &examples,
    };
    let test_loss = tests.loss(at, &mut vec![0.0; tests.loss_scratch_len()])?;
    Ok(Trained {
        blocks: measured,
        valid_error: error_of(&judge, forward.w, classes, *size)?,
        test_error: error_of(&tests, forward.w, classes, *size)?,
        test_loss: f64::from(test_loss),
    })
}
