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

use anyhow::Result;
use rayon::prelude::*;

use super::kept::Kept;
use crate::data::Dataset;
use crate::divergence::or_divergence;
use crate::experiment::Rounding;
use crate::provenance::{named, versions};
use crate::report::findings::{Compared, Curve, Curves, Findings, Metric, Shown, Unit, Variant};
use crate::statistics::mean;

pub mod schemes;

use schemes::{Block, Scheme, Settings, Trained, train};

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
