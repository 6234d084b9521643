//! Many hypergradients at the start values, and their mean (Maclaurin et al. 2015, section 3.1): what
//! shape it has, and how much of it one draw tells.
//!
//! Draw `i` has its own examples, initial weights and batches, and the hypergradient `d_i`. Their mean
//! is taken in f64. How well draws agree is a cosine between vectors that share no draw:
//!
//! ```text
//! one draw      the mean of cos(d_i, mean of all others) over i
//! n and n       the mean of cos(mean of n draws, mean of n others) over disjoint pairs of such sets
//! ```
//!
//! Were each `d_i` the true mean and noise of its own, and the cosine of two single draws `c`, then that
//! of `n` and `n` were `n c / (1 + (n - 1) c)` (Spearman 1910, Brown 1910); it stands beside the measured
//! one.
//!
//! Refused: fewer draws than 2, and more than a meta-iteration has.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use drmad::Fused;
use drmad::kernels::reduce::{cosine, norm};
use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::device;
use crate::experiment::{Block, By, Experiment, Rounding};
use crate::files;
use crate::method::Method;
use crate::problem::Population;
use crate::provenance::{named, versions};
use crate::recipe::Recipe;
use crate::recipe::study::Study;
use crate::report::findings::{Curve, Curves, Findings, Metric, Shown, Unit, Variant};
use crate::statistics;

/// How many draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Draws of each seed.
    pub draws: usize,
}

impl Default for Settings {
    /// The paper's.
    fn default() -> Self {
        Settings { draws: 100 }
    }
}

/// Draws that are taken before they are written down.
const CHUNK: usize = 20;

/// The experiment and the settings of a file.
///
/// # Errors
/// Fewer draws than 2, or more than there are; an experiment that cannot be run.
pub fn plan(recipe: &Recipe, study: &Study, quick: bool) -> Result<(Experiment, Settings)> {
    recipe.with_settings(study, quick)
}

/// A hypergradient at the start values, and the processor seconds it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// By each hyperparameter.
    pub hypergradient: Vec<f32>,
    /// What it took.
    pub seconds: f64,
}

/// Takes the hypergradients of these draws, side by side. `each` hears of every one that is done.
///
/// # Errors
/// The first training that diverges.
pub fn take(
    population: &Population<'_>,
    experiment: &Experiment,
    seed: u64,
    draws: Range<usize>,
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Draw>> {
    let (method, start): (Method, _) = (experiment.method()?, experiment.start());
    let problems: Vec<_> = draws
        .map(|draw| population.draw(seed, 0, draw))
        .collect::<Result<_>>()?;
    let jobs: Vec<_> = problems
        .iter()
        .map(|problem| device::Job {
            problem,
            hyper: &start,
            method: Some(&method),
        })
        .collect();
    let trained = device::here().train::<Fused>(&jobs, &|| ())?;
    let draws = trained.into_iter().map(|trained| -> Result<Draw> {
        let trained = trained?;
        let back = trained.back.context("no hypergradient")?;
        each();
        Ok(Draw {
            hypergradient: back.hypergradient,
            seconds: trained.forward_seconds + back.seconds,
        })
    });
    draws.collect()
}

/// Their mean, in f64.
///
/// ```
/// use drmad_host::study::average::mean;
/// assert_eq!(mean([&[1.0f32, 2.0][..], &[2.0, 4.0]]), [1.5, 3.0]);
/// ```
pub fn mean<'a>(of: impl IntoIterator<Item = &'a [f32]>) -> Vec<f64> {
    let (mut sum, mut count): (Vec<f64>, usize) = (vec![], 0);
    for d in of {
        sum.resize(d.len(), 0.0);
        sum.iter_mut()
            .zip(d)
            .for_each(|(sum, d)| *sum += f64::from(*d));
        count += 1;
    }
    sum.iter_mut().for_each(|sum| *sum /= count as f64);
    sum
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    of: String,
    draws: Vec<Draw>,
}

/// The draws of a seed: those that an earlier run left, and the rest.
fn seed(
    job: &Job<'_>,
    (experiment, settings): &(Experiment, Settings),
    population: &Population<'_>,
    seed: usize,
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Draw>> {
    let path = job.out.join(format!("seed-{seed}.json"));
    let mut state = State {
        of: format!(
            "{} {} {:?}",
            env!("CARGO_PKG_VERSION"),
            serde_json::to_string(experiment)?,
            job.source
        ),
        draws: vec![],
    };
    if job.resume
        && let Some(draws) = left(&path, &state.of)
    {
        state.draws = draws;
        state.draws.truncate(settings.draws);
        state.draws.iter().for_each(|_| each());
    }
    while state.draws.len() < settings.draws {
        let from = state.draws.len();
        let chunk = from..settings.draws.min(from + CHUNK);
        state
            .draws
            .extend(take(population, experiment, seed as u64, chunk, each)?);
        files::write(&path, &serde_json::to_vec(&state)?)?;
    }
    Ok(state.draws)
}

/// The draws that a run of the same experiment left.
fn left(path: &Path, of: &str) -> Option<Vec<Draw>> {
    let text = std::fs::read(path).ok()?;
    let state: State = serde_json::from_slice(&text).ok()?;
    (state.of == of).then_some(state.draws)
}

/// Some hyperparameters, by name.
struct Part {
    name: String,
    places: Vec<usize>,
}

/// The hyperparameters of some draws at some places, draw by draw.
fn part(draws: &[Draw], places: &[usize]) -> Vec<Vec<f32>> {
    let at = |draw: &Draw| places.iter().map(|i| draw.hypergradient[*i]).collect();
    draws.iter().map(at).collect()
}

fn mean_of(of: &[Vec<f32>]) -> Vec<f64> {
    mean(of.iter().map(Vec::as_slice))
}

/// How well a draw agrees with the mean of all others: the cosine, averaged over draws.
pub fn one_draw(of: &[Vec<f32>]) -> f64 {
    let (all, n) = (mean_of(of), of.len() as f64);
    let cosines = of.iter().map(|d| {
        let d: Vec<f64> = d.iter().map(|d| f64::from(*d)).collect();
        let pairs = all.iter().zip(&d);
        let others: Vec<f64> = pairs.map(|(mean, d)| (n * mean - d) / (n - 1.0)).collect();
        cosine(&d, &others)
    });
    statistics::mean(cosines)
}

/// How well the mean of `n` draws agrees with that of `n` others: the cosine, averaged over disjoint
/// pairs of sets, of which there must be at least one.
pub fn halves(of: &[Vec<f32>], n: usize) -> f64 {
    statistics::mean(of.chunks_exact(2 * n).map(|both| {
        let (a, b) = both.split_at(n);
        cosine(&mean_of(a), &mean_of(b))
    }))
}

/// The mean cosine of all pairs of draws: `c`.
pub fn two_draws(of: &[Vec<f32>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, a) in of.iter().enumerate() {
        for b in &of[..i] {
            sum += cosine(a, b);
            count += 1.0;
        }
    }
    sum / count
}

/// Numbers of draws to compare halves of: 1, 2, 5, 10, .. as far as there are twice as many.
fn sizes(draws: usize) -> Vec<usize> {
    let steps = (0..).flat_map(|k| [1, 2, 5].map(|m| m * 10usize.pow(k)));
    steps.take_while(|n| 2 * n <= draws).collect()
}

/// The names of a block's groups.
fn groups(experiment: &Experiment, block: &Block) -> Vec<String> {
    let layer = |i: usize| format!("layer {}", i + 1);
    let count = experiment.groups_of(block).len();
    let name = |i: usize| match block.by {
        By::Layer => layer(i),
        By::Tensor => format!("{} {}", layer(i / 2), ["weights", "biases"][i % 2]),
        _ => format!("group {}", i + 1),
    };
    (0..count).map(name).collect()
}

/// Groups that one picture can show.
const MOST_GROUPS: usize = 10;

/// The seeds' draws with what all numbers are taken from.
struct Draws<'a> {
    experiment: &'a Experiment,
    seeds: Vec<Vec<Draw>>,
}

impl Draws<'_> {
    fn each(&self, places: &[usize], of: impl Fn(&[Vec<f32>]) -> f64) -> Vec<f64> {
        let seeds = self.seeds.iter();
        seeds.map(|draws| of(&part(draws, places))).collect()
    }

    /// All hyperparameters, and each block of them.
    fn blocks(&self) -> Vec<Part> {
        let all = Part {
            name: "all".into(),
            places: (0..self.experiment.hypers()).collect(),
        };
        let blocks = self.experiment.blocks().map(|(block, range)| Part {
            name: format!("by {}", block.what.as_str()),
            places: range.collect(),
        });
        std::iter::once(all).chain(blocks).collect()
    }

    /// Each group's hyperparameters, block by block.
    fn grouped(&self) -> Vec<(&Block, Vec<Part>)> {
        let blocks = self.experiment.blocks().map(|(block, range)| {
            let names = groups(self.experiment, block);
            let count = names.len();
            let parts = names.into_iter().enumerate().map(|(i, name)| Part {
                name,
                // Step by step, and in each step group by group.
                places: range.clone().skip(i).step_by(count).collect(),
            });
            (block, parts.collect::<Vec<_>>())
        });
        blocks
            .filter(|(_, parts)| parts.len() <= MOST_GROUPS)
            .collect()
    }

    fn variants(&self) -> Vec<Variant> {
        let blocks = self.blocks().into_iter().map(|part| {
            let (of, places) = (part.name, &part.places[..]);
            let metrics = vec![
                metric("hyperparameters", Unit::Count, vec![places.len() as f64]),
                metric(
                    "norm of the mean",
                    Unit::Number,
                    self.each(places, |of| norm(&mean_of(of))),
                ),
                metric(
                    "cosine, one draw to all others",
                    Unit::Cosine,
                    self.each(places, one_draw),
                ),
                metric(
                    "cosine of two draws",
                    Unit::Cosine,
                    self.each(places, two_draws),
                ),
                metric(
                    "cosine of two halves",
                    Unit::Cosine,
                    self.each(places, |of| halves(of, of.len() / 2)),
                ),
            ];
            variant(of, metrics)
        });
        let mut variants: Vec<Variant> = blocks.collect();
        // A group is one row, whatever blocks it is in.
        for (block, parts) in self.grouped() {
            for part in parts {
                let sum = self.each(&part.places, |of| mean_of(of).iter().sum());
                let what = format!(
                    "by {}{}",
                    block.what.as_str(),
                    if block.each_step { ", all steps" } else { "" }
                );
                let metric = metric(&what, Unit::Number, sum);
                match variants
                    .iter_mut()
                    .find(|variant| variant.name == part.name)
                {
                    Some(variant) => variant.metrics.push(metric),
                    None => variants.push(variant(part.name, vec![metric])),
                }
            }
        }
        variants
    }

    /// The mean by each step of each group, and a single draw beside it.
    fn shapes(&self) -> Vec<Shown> {
        let grouped = self.grouped();
        let stepped = grouped.iter().filter(|(block, _)| block.each_step);
        let steps: Vec<f64> = (1..=self.experiment.steps).map(|t| t as f64).collect();
        let curve = |name: String, y: Vec<Vec<f64>>| Curve {
            name,
            x: steps.clone(),
            y,
        };
        let means = |part: &Part| -> Vec<Vec<f64>> {
            let seeds = self.seeds.iter();
            let means = seeds.map(|draws| mean_of(&self::part(draws, &part.places)));
            means.collect()
        };
        let shown = |caption, what: &str, series| {
            Shown::Curves(Curves {
                caption,
                x_label: "training step".into(),
                y_label: format!("derivative by {what}"),
                log: [false; 2],
                series,
            })
        };
        let draws = self.seeds.first().map_or(0, Vec::len);
        let mut figures = vec![];
        for (block, parts) in stepped {
            let what = block.what.as_str();
            for (kind, ending) in [("weights", "biases"), ("biases", "weights")] {
                let these = parts.iter().filter(|part| !part.name.ends_with(ending));
                let series: Vec<Curve> = these
                    .map(|part| curve(part.name.clone(), means(part)))
                    .collect();
                if kind == "biases" && block.by != By::Tensor {
                    continue;
                }
                let kind = if block.by == By::Tensor {
                    kind
                } else {
                    "groups"
                };
                let caption = format!(
                    "The mean of {draws} hypergradients, by the {what} of each step: {kind}."
                );
                figures.push(shown(caption, what, series));
            }
            if let (Some(part), Some(draws)) = (parts.first(), self.seeds.first()) {
                let single = draws.iter().take(2).enumerate().map(|(i, draw)| {
                    let of = self::part(std::slice::from_ref(draw), &part.places);
                    curve(format!("draw {}", i + 1), vec![mean_of(&of)])
                });
                let mut series = vec![curve("mean".into(), means(part))];
                series.extend(single);
                let caption = format!(
                    "The mean and two of the draws it is of, by the {what}: {}.",
                    part.name
                );
                figures.push(shown(caption, what, series));
            }
        }
        figures
    }

    fn agreement(&self) -> Shown {
        let draws = self.seeds.first().map_or(0, Vec::len);
        let sizes = sizes(draws);
        let all: Vec<usize> = (0..self.experiment.hypers()).collect();
        let mut series = vec![];
        for part in self.blocks() {
            let columns: Vec<Vec<f64>> = sizes
                .iter()
                .map(|n| self.each(&part.places, |of| halves(of, *n)))
                .collect();
            series.push(curve_of(part.name, &sizes, &columns));
        }
        let c = self.each(&all, two_draws);
        let predicted: Vec<Vec<f64>> = sizes
            .iter()
            .map(|n| {
                let n = *n as f64;
                c.iter().map(|c| n * c / (1.0 + (n - 1.0) * c)).collect()
            })
            .collect();
        series.push(curve_of(
            "all, predicted from two draws".into(),
            &sizes,
            &predicted,
        ));
        Shown::Curves(Curves {
            caption: "How well the mean of some draws agrees with the mean of as many others. The prediction \
                      takes each draw for the true mean and noise of its own."
                .into(),
            x_label: "draws in each mean".into(),
            y_label: "cosine".into(),
            log: [true, false],
            series,
        })
    }
}

/// A curve over numbers of draws, of a column of seeds for each.
fn curve_of(name: String, sizes: &[usize], columns: &[Vec<f64>]) -> Curve {
    let seeds = columns.first().map_or(0, Vec::len);
    let of = |seed: usize| columns.iter().map(|column| column[seed]).collect();
    Curve {
        name,
        x: sizes.iter().map(|n| *n as f64).collect(),
        y: (0..seeds).map(of).collect(),
    }
}

fn metric(name: &str, unit: Unit, values: Vec<f64>) -> Metric {
    let name = name.into();
    Metric { name, unit, values }
}

fn variant(name: String, metrics: Vec<Metric>) -> Variant {
    Variant {
        name,
        metrics,
        failed: None,
    }
}

/// Takes the hypergradients of each seed.
///
/// # Errors
/// As [`plan`] and [`take`]; data that do not fit; what the file system refuses.
pub fn run(job: &Job<'_>) -> Result<Findings> {
    let plan = plan(job.recipe, job.study, job.quick)?;
    let (experiment, settings) = &plan;
    let population = Population::new(experiment, job.data)?;
    let bar = job.bar(settings.draws.saturating_mul(job.seeds));
    let seeds: Result<Vec<Vec<Draw>>> = (0..job.seeds)
        .map(|i| seed(job, &plan, &population, i, &|| bar.inc(1)))
        .collect();
    let seeds = seeds?;
    bar.finish_and_clear();
    let draws = Draws { experiment, seeds };
    let mut figures = draws.shapes();
    figures.push(draws.agreement());
    let e = experiment;
    let starts = e.tuned.iter().map(|block| {
        let name = format!("{} at the start", block.what.as_str());
        (name, block.start.to_string())
    });
    let mut settings = named(&[
        ("network", e.network()),
        ("weights", e.weights().to_string()),
        ("hyperparameters", e.hypers().to_string()),
        ("training examples", e.examples.train.to_string()),
        ("batch", e.batch.to_string()),
        ("training steps", e.steps.to_string()),
        ("draws", settings.draws.to_string()),
    ]);
    settings.extend(starts);
    Ok(Findings {
        name: String::new(),
        title: e.title.clone(),
        source: String::new(),
        about: String::new(),
        quick: job.quick,
        settings,
        seeds: job.seeds,
        seconds: draws.seeds.iter().flatten().map(|draw| draw.seconds).sum(),
        variants: draws.variants(),
        compared: vec![],
        figures,
        notes: vec![
            "A draw has examples, initial weights and batches of its own. A cosine is always of vectors that \
             share no draw: a draw is held against the mean of all others."
                .into(),
        ],
        versions: versions(Rounding::Fused),
    })
}
