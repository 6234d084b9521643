//! Rate, momentum and penalty tuned by forward mode, between full runs and in real time (Franceschi et
//! al. 2017, section 3.3).
//!
//! A network of hidden layers learns digits by heavy-ball steps,
//!
//! ```text
//! v <- gamma v - (1 - gamma) grad (L + c |w|^2)        w <- w + alpha v
//! ```
//!
//! and three tangents go with it, by `alpha`, `gamma` and `c`. After each block of steps the outer loss is
//! taken over all outer examples, its hypergradient read from the tangents, and Adam moves `ln alpha`,
//! `logit gamma` and `ln c`. The schemes differ in what the next block begins with:
//!
//! | scheme | weights | velocity and tangents | hyperparameters, Adam's moments |
//! |---|---|---|---|
//! | full runs | the initial ones | 0 | go on |
//! | real time | go on | go on | go on |
//! | warm restarts | go on | 0 | go on |
//! | fixed | go on | go on, no tangents | stay |
//!
//! In real time a tangent is the derivative by a change of its hyperparameter since the first step;
//! after a warm restart by one since the restart, whose weights are a constant.
//!
//! Refused: data of other sizes than the network's, hyperparameters at their bounds, and schemes of no
//! steps.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use drmad::Fused;
use drmad::forward::{Forward, Wrt, scratch_len};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::Validation;
use drmad::models::Mlp;
use drmad::objective::{At, Objective};
use drmad::outer::Parametrisation::{Log, Logit};
use drmad::outer::{Adam, Outer};
use drmad::random::{Batches, Normal, choose};
use drmad::train::{InnerProblem, Optimizer, Schedule};
use drmad::wrap::{L2, Strength};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use crate::data::Dataset;
use crate::divergence::or_divergence;
use crate::experiment::Rounding;
use crate::inputs::{Images, Inputs};
use crate::provenance::{named, versions};
use crate::quality::error_of;
use crate::report::findings::{Compared, Curve, Curves, Findings, Metric, Shown, Unit, Variant};
use crate::statistics::mean;

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
    fn blocks(&self, scheme: Scheme) -> [usize; 2] {
        match scheme {
            Scheme::FullRuns => self.full_runs,
            Scheme::RealTime | Scheme::Fixed => self.real_time,
            Scheme::WarmRestarts => self.warm_restarts,
        }
    }

    /// How often [`run`] calls `each`.
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
    fn start(&self) -> Result<[f32; 3]> {
        let mut lambda = [self.penalty, self.rate, self.momentum];
        let (logs, logit) = lambda.split_at_mut(2);
        Log.invert::<Fused, _>(logs).context("penalty and rate")?;
        Logit.invert::<Fused, _>(logit).context("momentum")?;
        Ok(lambda)
    }

    fn check(&self, data: &Dataset) -> Result<()> {
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
fn values(mut lambda: [f32; 3]) -> [f32; 3] {
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
    let unpenalised = L2::new(judge.clone(), Strength::Off(everywhere));
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

/// What came of a scheme: seed by seed, or what went wrong.
type Outcome = Result<Vec<Trained>, String>;

fn variant(scheme: Scheme, outcome: &Outcome) -> Variant {
    let name = scheme.name().into();
    let all = match outcome {
        Ok(all) => all,
        Err(error) => {
            return Variant {
                name,
                metrics: vec![],
                failed: Some(error.clone()),
            };
        }
    };
    let metric = |name: &str, unit, of: &dyn Fn(&Trained, &Block) -> f64| Metric {
        name: name.into(),
        unit,
        values: of_last(all, of),
    };
    Variant {
        name,
        metrics: vec![
            metric(OUTER_LOSS, Unit::Number, &|_, last| last.loss),
            metric("valid error", Unit::Percent, &|of, _| of.valid_error),
            metric("test error", Unit::Percent, &|of, _| of.test_error),
            metric("test loss", Unit::Number, &|of, _| of.test_loss),
            metric("seconds", Unit::Seconds, &|_, last| last.seconds),
            metric("final rate", Unit::Number, &|_, last| {
                f64::from(last.values[1])
            }),
            metric("final momentum", Unit::Number, &|_, last| {
                f64::from(last.values[2])
            }),
            metric("final penalty", Unit::Number, &|_, last| {
                f64::from(last.values[0])
            }),
        ],
        failed: None,
    }
}

const OUTER_LOSS: &str = "outer loss";

/// A number of each training and its last block.
fn of_last(all: &[Trained], of: &dyn Fn(&Trained, &Block) -> f64) -> Vec<f64> {
    let lasts = all
        .iter()
        .filter_map(|trained| Some((trained, trained.blocks.last()?)));
    lasts.map(|(trained, last)| of(trained, last)).collect()
}

/// What runs along the bottom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Along {
    Steps,
    Seconds,
}

/// A number of each block, one curve a scheme.
fn curves(
    settings: &Settings,
    outcomes: &[(Scheme, Outcome)],
    along: Along,
    [y_label, caption]: [&str; 2],
    log: bool,
    of: &dyn Fn(&Block) -> f64,
) -> Shown {
    let mut series = vec![];
    for (scheme, outcome) in outcomes {
        let Ok(all) = outcome else { continue };
        let [blocks, steps] = settings.blocks(*scheme);
        let x = (0..blocks).map(|b| match along {
            Along::Steps => ((b + 1) * steps) as f64,
            Along::Seconds => {
                let seconds = all.iter().map(|trained| trained.blocks[b].seconds);
                mean(seconds)
            }
        });
        series.push(Curve {
            name: scheme.name().into(),
            x: x.collect(),
            y: all
                .iter()
                .map(|trained| trained.blocks.iter().map(of).collect())
                .collect(),
        });
    }
    let x_label = match along {
        Along::Steps => "steps of training",
        Along::Seconds => "seconds",
    };
    Shown::Curves(Curves {
        caption: caption.into(),
        x_label: x_label.into(),
        y_label: y_label.into(),
        log: [false, log],
        series,
    })
}

fn figures(settings: &Settings, outcomes: &[(Scheme, Outcome)]) -> Vec<Shown> {
    let value = |i: usize| move |block: &Block| f64::from(block.values[i]);
    let draw = |along, words, log, of: &dyn Fn(&Block) -> f64| {
        curves(settings, outcomes, along, words, log, of)
    };
    let loss = |block: &Block| block.loss;
    vec![
        draw(
            Along::Seconds,
            [
                OUTER_LOSS,
                "The outer loss at the end of each block over the seconds that it took on one \
              core, each the mean of the seeds. What has no tangents is faster.",
            ],
            true,
            &loss,
        ),
        draw(
            Along::Steps,
            [
                OUTER_LOSS,
                "The same over steps. The steps of all full runs are counted; each of them \
              begins with the initial weights.",
            ],
            true,
            &loss,
        ),
        draw(
            Along::Steps,
            ["rate", "The rate of each block."],
            true,
            &value(1),
        ),
        draw(
            Along::Steps,
            [
                "1 - momentum",
                "What the momentum lacks to 1: about one over the steps that it averages.",
            ],
            true,
            &|block| 1.0 - f64::from(block.values[2]),
        ),
        draw(
            Along::Steps,
            ["penalty", "The penalty of each block."],
            true,
            &value(0),
        ),
    ]
}

fn compared(outcomes: &[(Scheme, Outcome)]) -> Vec<Compared> {
    let rows = outcomes.iter().filter_map(|(scheme, outcome)| {
        let published = match scheme {
            Scheme::FullRuns => 0.2135,
            Scheme::RealTime => 0.1483,
            Scheme::WarmRestarts => 0.1040,
            Scheme::Fixed => return None,
        };
        let all = outcome.as_deref().unwrap_or_default();
        Some(Compared {
            what: format!("{OUTER_LOSS}, {}", scheme.name()),
            published: Some(published),
            ours: of_last(all, &|_, last| last.loss),
            unit: Unit::Number,
            remark: REMARK.into(),
        })
    });
    rows.collect()
}

/// Why ours need not be the published ones.
const REMARK: &str =
    "the penalty at the start, the outer optimizer and the initial weights are ours";

const ABOUT: &str = "A network of three hidden layers begins with a rate far too small. Three tangents go \
    with its training, by rate, momentum and penalty, and after each block of steps Adam moves the three \
    down the hypergradient of the outer loss: between full runs that begin with the same weights, in \
    real time while one training goes on, or with a warm restart after each block, which takes the \
    weights for a constant. The fixed training has no tangents and keeps what it began with.";

const NOTES: [&str; 6] = [
    "A warm restart keeps the weights, the hyperparameters and Adam's moments; velocity and tangents \
     begin at 0. So its hypergradient looks as far back as a block is long, and in real time that of the \
     last block looks back to the first step.",
    "The rate is that of the crate's step, v <- gamma v - (1 - gamma) g, w <- w + alpha v: with a momentum \
     of 0.9 it moves weights a tenth as far as the same alpha after v <- gamma v - g. If the published \
     training has the latter, its 0.02 is our 0.2.",
    "Rate and penalty are moved by their logarithms and the momentum by its logit, so that none leaves its \
     bounds; with a rate r, Adam moves each by about r a block at most, and an error in the length of the \
     hypergradient matters little. Between the few full runs r is twice as large.",
    "The penalty is the coefficient of the sum of squares of all weights and biases. Its start is small \
     beside what would hurt, and its derivative has a sign all the same.",
    "The outer loss is taken over all outer examples, at the end of each block only.",
    "The paper's settings are known here from a table of them, not from its code: what it leaves open is \
     ours.",
];

fn described(settings: &Settings) -> Vec<(String, String)> {
    let Settings {
        layers,
        train,
        valid,
        test,
        batch,
        rate,
        momentum,
        penalty,
        log_scale,
        full_rate,
        outer_rate,
        ..
    } = settings;
    let widths: Vec<_> = layers.iter().map(usize::to_string).collect();
    let of = |scheme| {
        let [blocks, steps] = settings.blocks(scheme);
        format!("{blocks} x {steps} steps")
    };
    named(&[
        ("network", widths.join("-")),
        (
            "examples",
            format!("{train} trained on, {valid} outer, {test} test"),
        ),
        ("batch", batch.to_string()),
        (
            "start",
            format!("rate {rate}, momentum {momentum}, penalty {penalty}"),
        ),
        ("initial scale", format!("exp({log_scale})")),
        ("full runs", of(Scheme::FullRuns)),
        ("real time, fixed", of(Scheme::RealTime)),
        ("warm restarts", of(Scheme::WarmRestarts)),
        (
            "outer loop",
            format!("Adam, rate {outer_rate}, {full_rate} between full runs; log, log, logit"),
        ),
    ])
}

/// Trains with every scheme and seed, in parallel; `each` is called after each block, [`Settings::ticks`]
/// times unless a training diverges.
///
/// # Errors
/// What the settings do not allow, and what the file system refuses. A scheme that diverges is a variant
/// that failed.
pub fn run(
    settings: &Settings,
    data: &Dataset,
    kept: &Kept,
    each: &(dyn Fn() + Sync),
) -> Result<Findings> {
    settings.check(data)?;
    settings.start()?;
    let jobs: Vec<_> = Scheme::ALL
        .into_iter()
        .flat_map(|scheme| (0..settings.seeds).map(move |seed| (scheme, seed as u64)))
        .collect();
    let one = |(scheme, seed): (Scheme, u64)| {
        let name = format!("{}-{seed}", scheme.name());
        or_divergence(kept.get(&name, || train(settings, data, scheme, seed, &|| each())))
    };
    let trained: Vec<_> = jobs.into_par_iter().with_max_len(1).map(one).collect();
    let trained: Vec<_> = trained.into_iter().collect::<Result<_>>()?;
    let mut trained = trained.into_iter();
    let outcomes: Vec<(Scheme, Outcome)> = Scheme::ALL
        .map(|scheme| (scheme, trained.by_ref().take(settings.seeds).collect()))
        .into();
    Ok(Findings {
        name: "rtho".into(),
        title: "Rate, momentum and penalty in real time".into(),
        source: "Franceschi et al. 2017".into(),
        about: ABOUT.into(),
        quick: false,
        settings: described(settings),
        seeds: settings.seeds,
        seconds: f64::NAN,
        variants: outcomes
            .iter()
            .map(|(scheme, outcome)| variant(*scheme, outcome))
            .collect(),
        compared: compared(&outcomes),
        figures: figures(settings, &outcomes),
        notes: NOTES.map(String::from).to_vec(),
        versions: versions(Rounding::Fused),
    })
}
