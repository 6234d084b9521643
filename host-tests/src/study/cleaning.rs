//! Wrong labels, found by a weight for each training example.
//!
//! The first `M` of `N` training examples have a wrong label, the validation examples have none. Weights
//! `0 <= l_i <= 1`, `l_1 + ... + l_N <= R`, are tuned such that the training by
//!
//! ```text
//! w_{t+1} = w_t - alpha grad 1/N (l_1 L_1(w_t) + ... + l_N L_N(w_t))
//! ```
//!
//! ends at the least validation loss (Franceschi et al. 2017, section 5.1). An example with `l_i = 0`,
//! which the projection onto that set gives exactly, is one found:
//!
//! ```text
//! precision = wrong labels found / examples found,    recall = wrong labels found / M,
//! F1 = 2 precision recall / (precision + recall)
//! ```
//!
//! The test accuracy is that of a network trained from the same initial weights, by the same rate and
//! steps and without weights, on the validation examples and on the training examples that are
//!
//! | | |
//! |---|---|
//! | oracle | rightly labelled |
//! | baseline | all of them |
//! | cleaned | not among those found |
//!
//! Batches of all training examples become batches of all that these networks are trained on.
//!
//! Refused: trainings that tune anything else, draws that change, no wrong labels or nothing but them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use drmad::Fused;
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::job::Job;
use super::spent::Spent;
use super::tuned::{self, Ran, Variant, folder};
use crate::data::Folder;
use crate::device;
use crate::experiment::{Counts, Experiment, Outer, OuterLoss, What};
use crate::files;
use crate::method::MethodOptions;
use crate::problem::{Population, Problem};
use crate::recipe::Recipe;
use crate::recipe::study::Study;
use crate::report::findings::{
    Curve, Curves, Findings, Image, Images, Metric, Ranking, Shown, Unit, Variant as Shows,
};

/// The examples of a picture.
const PICTURED: usize = 10;

/// What is trained without weights, and whether on all examples or those rightly labelled.
const ENDS: [(&str, bool); 2] = [("oracle", false), ("baseline", true)];

/// The points of a curve of sorted weights.
const POINTS: usize = 201;

/// How well wrong labels are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The share of those found that are wrong; of none, not a number.
    pub precision: f64,
    /// The share of the wrong ones that are found.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

impl Score {
    /// That of weights whose first `wrong` examples have a wrong label.
    ///
    /// ```
    /// use drmad_host::study::cleaning::Score;
    /// let score = Score::of(&[0.0, 0.0, 0.5, 0.0, 1.0], 3);
    /// assert_eq!((score.precision, score.recall, score.f1), (2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0));
    /// ```
    pub fn of(weights: &[f32], wrong: usize) -> Self {
        let (mut all, mut right) = (0usize, 0usize);
        for (i, weight) in weights.iter().enumerate() {
            if found(*weight) {
                all += 1;
                right += usize::from(i < wrong);
            }
        }
        let share = |of: usize| right as f64 / of as f64;
        Score {
            precision: share(all),
            recall: share(wrong),
            f1: 2.0 * right as f64 / (all + wrong) as f64,
        }
    }
}

/// Whether an example of this weight is taken for one with a wrong label.
fn found(weight: f32) -> bool {
    weight <= 0.0
}

/// The variants of a file; see [`tuned::variants`].
///
/// # Errors
/// Those of [`tuned::variants`], and variants that tune other things than this one.
pub fn variants(recipe: &Recipe, study: &Study, quick: bool) -> Result<Vec<Variant>> {
    let variants = tuned::variants(recipe, study, quick)?;
    for Variant {
        name,
        experiment: e,
        ..
    } in &variants
    {
        let Counts {
            train,
            wrong_labels,
            fixed,
            ..
        } = e.examples;
        ensure!(
            matches!(&e.tuned[..], [block] if block.what == What::ExampleWeight),
            "variant {name}: it is weights of examples that find wrong labels: tune these alone"
        );
        ensure!(
            fixed && e.outer.draws == 1 && e.outer_loss == OuterLoss::Valid,
            "variant {name}: weights belong to the examples of one draw: examples.fixed = true, outer.draws = 1 \
             and outer-loss = \"valid\""
        );
        ensure!(
            (1..train).contains(&wrong_labels),
            "variant {name}: examples.wrong-labels is {wrong_labels}: give from 1 to {}",
            train - 1
        );
    }
    trainings(&variants)?;
    Ok(variants)
}

/// The trainings that variants have, as the oracle and the baseline are told apart by them.
///
/// # Errors
/// Two that would be called the same, and one that a variant is called like.
fn trainings(variants: &[Variant]) -> Result<Vec<(String, &Experiment)>> {
    let mut all: Vec<(String, &Experiment, Experiment)> = vec![];
    for Variant { experiment: e, .. } in variants {
        let (said, plain) = (said(e), plain(e, e.examples.train));
        match all.iter().find(|(other, ..)| *other == said) {
            Some((.., same)) if *same == plain => {}
            Some(_) => bail!("two trainings have {said}: let them differ in steps or batches"),
            None => all.push((said, e, plain)),
        }
    }
    let all: Vec<(String, &Experiment)> = all.into_iter().map(|(said, e, _)| (said, e)).collect();
    for (said, _) in &all {
        for (end, _) in ENDS {
            let name = format!("{end}, {said}");
            ensure!(
                variants.iter().all(|variant| variant.name != name),
                "a variant is called {name}, and so are trainings without weights: call it otherwise"
            );
        }
    }
    Ok(all)
}

/// Tunes all variants with all seeds, and trains anew on what they leave.
///
/// # Errors
/// Those of [`tuned::run`].
pub fn run(job: &Job<'_>, spent: &Spent) -> Result<Findings> {
    let variants = variants(job.recipe, job.study, job.quick)?;
    let ran = tuned::tune(job, &variants, spent)?;
    let mut findings = tuned::findings(job, &variants, &ran)?;
    let ends = ends(job, &variants, &ran)?;
    let mut ends = ends.into_iter();
    for ((variant, seeds), shows) in variants.iter().zip(&ran).zip(&mut findings.variants) {
        let cleaned = ends.next().context("a variant has no end")?;
        let mut metrics = vec![cleaned.accuracy()];
        metrics.extend(scores(&variant.experiment, seeds));
        metrics.append(&mut shows.metrics);
        shows.metrics = metrics;
    }
    let others: Vec<Shows> = ends
        .map(|end| Shows {
            metrics: vec![end.accuracy()],
            name: end.name,
            failed: None,
        })
        .collect();
    let baseline = others.iter().find(|v| v.name.starts_with("baseline"));
    let baseline = baseline.map(|v| v.name.clone());
    // By the test error of weighted trainings nothing can be said.
    findings
        .figures
        .retain(|shown| !matches!(shown, Shown::Ranking(_)));
    findings.variants.extend(others);
    let mut figures = rankings(&findings.variants, baseline);
    for (variant, seeds) in variants.iter().zip(&ran) {
        if job.study.draws_curve_of(&variant.name) {
            figures.extend(sorted(variant, seeds));
        }
    }
    if let (Some(variant), Some(seeds)) = (variants.first(), ran.first()) {
        figures.extend(pictures(job, variant, seeds)?);
    }
    figures.append(&mut findings.figures);
    findings.figures = figures;
    Ok(findings)
}

/// Networks trained on one choice of examples, a seed each.
struct End {
    name: String,
    made: Vec<Made>,
}

/// One such network: what it depends on, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    version: String,
    training: Experiment,
    seed: usize,
    data: Option<Folder>,
    set: Vec<u32>,
    accuracy: f64,
    seconds: f64,
}

impl End {
    fn accuracy(&self) -> Metric {
        Metric {
            name: "test accuracy".to_string(),
            unit: Unit::Percent,
            values: self.made.iter().map(|made| made.accuracy).collect(),
        }
    }
}

/// Which of the training examples a network is trained on.
enum Kept<'a> {
    Right,
    All,
    NotFound(&'a [f32]),
}

impl Kept<'_> {
    fn has(&self, e: &Experiment, i: usize) -> bool {
        match self {
            Kept::Right => i >= e.examples.wrong_labels,
            Kept::All => true,
            Kept::NotFound(weights) => weights.get(i).is_some_and(|weight| !found(*weight)),
        }
    }
}

/// The networks of each variant, then the oracle's and the baseline's of each training there is.
fn ends(job: &Job<'_>, variants: &[Variant], ran: &[Vec<Ran>]) -> Result<Vec<End>> {
    let mut names = vec![];
    let mut tasks: Vec<(usize, &Experiment, usize, Kept<'_>)> = vec![];
    for (variant, seeds) in variants.iter().zip(ran) {
        for (seed, ran) in seeds.iter().enumerate() {
            if let Ok(tuned) = &ran.tuned {
                let kept = Kept::NotFound(&tuned.hyper);
                tasks.push((names.len(), &variant.experiment, seed, kept));
            }
        }
        names.push(variant.name.clone());
    }
    for (said, e) in trainings(variants)? {
        for (end, all) in ENDS {
            for seed in 0..job.seeds {
                let kept = if all { Kept::All } else { Kept::Right };
                tasks.push((names.len(), e, seed, kept));
            }
            names.push(format!("{end}, {said}"));
        }
    }
    let ticks = tasks.iter().map(|(_, e, ..)| e.steps).sum();
    let bar = job.bar(ticks);
    let made: Vec<Result<Made>> = tasks
        .par_iter()
        .with_max_len(1)
        .map(|(end, e, seed, kept)| {
            let path = folder(job, &names[*end], *seed).join("trained.json");
            train(job, e, *seed, kept, &path, &bar)
        })
        .collect();
    bar.finish_and_clear();
    let mut ends: Vec<End> = names
        .into_iter()
        .map(|name| End { name, made: vec![] })
        .collect();
    for ((end, ..), made) in tasks.iter().zip(made) {
        ends[*end].made.push(made?);
    }
    Ok(ends)
}

/// A training as the oracle and the baseline are told apart by it.
fn said(e: &Experiment) -> String {
    match e.batch < e.examples.train {
        true => format!("T = {}, batches of {}", e.steps, e.batch),
        false => format!("T = {}", e.steps),
    }
}

/// The training of `e` on so many examples without weights.
fn plain(e: &Experiment, train: usize) -> Experiment {
    Experiment {
        title: String::new(),
        batch: match e.batch < e.examples.train {
            true => e.batch.min(train),
            false => train,
        },
        examples: Counts {
            train,
            ..e.examples
        },
        tuned: vec![],
        outer: Outer {
            meta_steps: 0,
            optimizer: Default::default(),
            rates: Default::default(),
            ..e.outer
        },
        method: MethodOptions::default(),
        ..e.clone()
    }
}

/// Trains on some of the examples, or reads what an earlier run made of them.
fn train(
    job: &Job<'_>,
    e: &Experiment,
    seed: usize,
    kept: &Kept<'_>,
    path: &Path,
    bar: &ProgressBar,
) -> Result<Made> {
    let mut problem = Population::new(e, job.data)?.draw(seed as u64, 0, 0)?;
    let drawn = &mut problem.drawn;
    let trained = drawn.train.iter().enumerate();
    let trained = trained
        .filter(|(i, _)| kept.has(e, *i))
        .map(|(_, image)| *image);
    drawn.train = trained.chain(drawn.validation.iter().copied()).collect();
    let training = plain(e, drawn.train.len());
    let mut made = Made {
        version: env!("CARGO_PKG_VERSION").to_string(),
        training: training.clone(),
        seed,
        data: job.source.clone(),
        set: drawn.train.clone(),
        accuracy: f64::NAN,
        seconds: f64::NAN,
    };
    if job.resume
        && let Ok(text) = std::fs::read(path)
        && let Ok(before) = serde_json::from_slice::<Made>(&text)
        && (Made {
            accuracy: before.accuracy,
            seconds: before.seconds,
            ..made.clone()
        }) == before
    {
        bar.inc(e.steps as u64);
        return Ok(before);
    }
    problem.train_as(&training);
    let clock = Instant::now();
    let trained = device::train::<Fused>(&problem, &[], None, &|| bar.inc(1))?;
    made.accuracy = 1.0 - problem.errors::<Fused>(&[], &trained.w)?.test;
    made.seconds = clock.elapsed().as_secs_f64();
    files::write(path, &serde_json::to_vec(&made)?)?;
    Ok(made)
}

/// What each seed's weights found.
fn scores(e: &Experiment, seeds: &[Ran]) -> Vec<Metric> {
    let scores: Vec<Score> = weights(seeds)
        .map(|weights| Score::of(weights, e.examples.wrong_labels))
        .collect();
    let metric = |name: &str, unit, read: fn(&Score) -> f64| Metric {
        name: name.to_string(),
        unit,
        values: scores.iter().map(read).collect(),
    };
    vec![
        metric("F1", Unit::Number, |score| score.f1),
        metric("precision", Unit::Percent, |score| score.precision),
        metric("recall", Unit::Percent, |score| score.recall),
    ]
}

fn weights(seeds: &[Ran]) -> impl Iterator<Item = &[f32]> {
    let tuned = seeds.iter().filter_map(|ran| ran.tuned.as_ref().ok());
    tuned.map(|tuned| &tuned.hyper[..])
}

fn rankings(variants: &[Shows], baseline: Option<String>) -> Vec<Shown> {
    let ranking = |metric: &str, caption: &str, baseline| {
        let measured = variants.iter().flat_map(|variant| &variant.metrics);
        let mut measured = measured.filter(|measured| measured.name == metric);
        measured.next()?;
        Some(Shown::Ranking(Ranking {
            caption: caption.to_string(),
            metric: metric.to_string(),
            baseline,
        }))
    };
    [
        ranking(
            "test accuracy",
            "Test accuracy of networks trained on the validation examples and those training examples that \
             were not found to be wrong; the oracle's are those rightly labelled, the baseline's all. A dot \
             for each seed.",
            baseline,
        ),
        ranking(
            "F1",
            "How well wrong labels are found: the harmonic mean of precision and recall.",
            None,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The weights of right and of wrong examples, sorted, against the share of them that is below.
fn sorted(variant: &Variant, seeds: &[Ran]) -> Option<Shown> {
    let wrong = variant.experiment.examples.wrong_labels;
    let curve = |name: &str, of: fn(&[f32], usize) -> &[f32]| Curve {
        name: name.to_string(),
        x: (0..POINTS)
            .map(|i| i as f64 / (POINTS - 1) as f64)
            .collect(),
        y: weights(seeds)
            .map(|weights| {
                let mut own = of(weights, wrong).to_vec();
                own.sort_unstable_by(f32::total_cmp);
                let last = own.len() - 1;
                (0..POINTS)
                    .map(|i| f64::from(own[i * last / (POINTS - 1)]))
                    .collect()
            })
            .collect(),
    };
    weights(seeds).next()?;
    Some(Shown::Curves(Curves {
        caption: format!(
            "The weights that {} gives to examples with right and with wrong labels, from the least to the \
             greatest.",
            variant.name
        ),
        x_label: "share of the examples".to_string(),
        y_label: "weight".to_string(),
        log: [false, false],
        series: vec![
            curve("right labels", |weights, wrong| &weights[wrong..]),
            curve("wrong labels", |weights, wrong| &weights[..wrong]),
        ],
    }))
}

/// Some of the examples that the first seed found, evenly spaced among them.
fn pictures(job: &Job<'_>, variant: &Variant, seeds: &[Ran]) -> Result<Option<Shown>> {
    let Some(Ok(tuned)) = seeds.first().map(|ran| &ran.tuned) else {
        return Ok(None);
    };
    let e = &variant.experiment;
    let problem = Problem::draw(e, job.data, 0, 0)?;
    let train = &job.data.train;
    let examples = problem.drawn.train.iter().zip(&tuned.hyper);
    let examples: Vec<usize> = examples
        .filter(|(_, weight)| found(**weight))
        .map(|(image, _)| *image as usize)
        .collect();
    let count = examples.len().min(PICTURED);
    let Some(labels) = problem.drawn.labels.as_ref().filter(|_| count > 0) else {
        return Ok(None);
    };
    let width = train.width();
    let images = (0..count)
        .map(|i| examples[i * examples.len() / count])
        .map(|image| Image {
            name: match (labels[image], train.labels[image]) {
                (said, is) if said == is => format!("{is}, right"),
                (said, _) => format!("“{said}”"),
            },
            values: train.pixels[image * width..][..width]
                .iter()
                .map(|pixel| f64::from(*pixel) / 255.0)
                .collect(),
        });
    Ok(Some(Shown::Images(Images {
        caption: format!(
            "Examples that {} finds to be wrong, with the labels they have, evenly spaced among all that the \
             first seed found.",
            variant.name
        ),
        unit: "brightness".to_string(),
        rows: train.rows,
        columns: train.columns,
        across: PICTURED,
        diverging: false,
        images: images.collect(),
    })))
}
