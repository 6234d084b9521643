//! Variants of one experiment, each tuned with each seed, and what they reach.
//!
//! Variants and seeds run on all cores, each in a folder of its own, where it leaves its state. A variant
//! that starts from another one's hyperparameters waits for it. One that diverges is named with its
//! reason, and its curve ends where it did.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use rayon::prelude::*;
use toml::Table;

use super::job::Job;
use super::spent::Spent;
use crate::divergence::or_divergence;
use crate::experiment::{Block, Experiment, Rounding, What};
use crate::provenance::{named, versions};
use crate::recipe::Recipe;
use crate::recipe::study::Study;
use crate::report::findings::{
    Curve, Curves, Findings, Image, Images, Metric, Ranking, Shown, Unit, Variant as Shows,
};
use crate::report::run::MetaStep;
use crate::tune::{self, Compare, Resume, Settings, Tuned, Tuning};

/// A variant, ready to run.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// The experiment with its keys.
    pub experiment: Experiment,
    /// The variant it starts from, by its place.
    pub from: Option<usize>,
}

/// The variants of a file; where it names none, its experiment is the only one.
///
/// # Errors
/// Variants without a name or with another's, that start from none before them, or whose experiment
/// cannot be run.
pub fn variants(recipe: &Recipe, study: &Study, quick: bool) -> Result<Vec<Variant>> {
    let mut reduced = study.reduced(quick);
    reduced.remove("seeds");
    let mut variants: Vec<Variant> = vec![];
    let own = [Table::from_iter([("name".to_string(), "tuned".into())])];
    let tables = match &study.variants[..] {
        [] => &own[..],
        tables => tables,
    };
    for table in tables {
        let mut over = table.clone();
        let name = over.remove("name");
        let name = name.as_ref().and_then(|name| name.as_str());
        let name = name.filter(|name| !name.is_empty());
        let name = name.context("a variant has no name")?.to_string();
        let place = |name: &str| variants.iter().position(|v| v.name == name);
        if let Some(same) = variants
            .iter()
            .find(|v| folder_name(&v.name) == folder_name(&name))
        {
            bail!(
                "two variants go by one folder, {}: {} and {name}; call one otherwise",
                folder_name(&name),
                same.name
            );
        }
        let from = match over.remove("from") {
            None => None,
            Some(from) => Some(from.as_str().and_then(place).with_context(|| {
                format!("{name}: from = {from}: no variant before it is called that")
            })?),
        };
        let experiment = recipe
            .with(&[&over, &reduced])
            .with_context(|| format!("variant {name}"))?;
        variants.push(Variant {
            name,
            experiment,
            from,
        });
    }
    for name in study.curves.iter().chain(&study.baseline) {
        ensure!(
            variants.iter().any(|v| v.name == *name),
            "no variant is called {name}, whose curve is wanted"
        );
    }
    Ok(variants)
}

/// What one variant gave with one seed.
pub(super) struct Ran {
    /// How it ended.
    pub(super) tuned: Result<Tuned, String>,
    /// The meta-iterations there were.
    pub(super) taken: Vec<MetaStep>,
}

/// Tunes all variants with all seeds.
///
/// # Errors
/// Variants that cannot be run, and what the file system refuses; a variant that diverges is none.
pub fn run(job: &Job<'_>, spent: &Spent) -> Result<Findings> {
    let variants = variants(job.recipe, job.study, job.quick)?;
    let ran = tune(job, &variants, spent)?;
    findings(job, &variants, &ran)
}

/// What each variant gave with each seed.
pub(super) fn tune(job: &Job<'_>, variants: &[Variant], spent: &Spent) -> Result<Vec<Vec<Ran>>> {
    let ticks: usize = variants.iter().map(|v| tune::ticks(&v.experiment)).sum();
    let bar = job.bar(ticks.saturating_mul(job.seeds));
    let mut ran: Vec<Vec<Option<Ran>>> = vec![];
    ran.resize_with(variants.len(), || (0..job.seeds).map(|_| None).collect());
    // Those that start from others wait for them: the others come before.
    let mut waves: Vec<usize> = vec![];
    for variant in variants {
        waves.push(variant.from.map_or(0, |from| waves[from] + 1));
    }
    for wave in 0..=waves.iter().copied().max().unwrap_or(0) {
        let places = (0..variants.len()).filter(|v| waves[*v] == wave);
        let runs: Vec<(usize, usize)> = places
            .flat_map(|v| (0..job.seeds).map(move |seed| (v, seed)))
            .collect();
        let results: Vec<Result<Ran>> = runs
            .par_iter()
            .with_max_len(1)
            .map(|(v, seed)| {
                let variant = &variants[*v];
                let start = match variant.from {
                    None => None,
                    Some(from) => match ran[from][*seed].as_ref().map(|ran| &ran.tuned) {
                        Some(Ok(before)) => Some(spread(
                            &variants[from].experiment,
                            &before.hyper,
                            &variant.experiment,
                        )?),
                        _ => None,
                    },
                };
                let ran = one(job, variant, *seed, start, &bar)?;
                spent.note()?;
                Ok(ran)
            })
            .collect();
        for ((v, seed), result) in runs.into_iter().zip(results) {
            ran[v][seed] = Some(result?);
        }
    }
    bar.finish_and_clear();
    let ran = ran.into_iter();
    Ok(ran
        .map(|seeds| seeds.into_iter().flatten().collect())
        .collect())
}

/// One variant with one seed.
fn one(
    job: &Job<'_>,
    variant: &Variant,
    seed: usize,
    start: Option<Vec<f32>>,
    bar: &ProgressBar,
) -> Result<Ran> {
    let tuning = Tuning {
        data: job.data,
        settings: Settings {
            version: env!("CARGO_PKG_VERSION").to_string(),
            experiment: variant.experiment.clone(),
            compare: Compare::Ends,
            seed: seed as u64,
            arithmetic: Rounding::Fused,
            data: job.source.clone(),
        },
        start,
        out: folder(job, &variant.name, seed),
        part_of: Some(bar),
    };
    // A state of other settings is left by a file that was changed since: the variant begins anew.
    let tuned = tuning.run(if job.resume {
        Resume::IfBegun
    } else {
        Resume::No
    });
    let tuned = or_divergence(tuned).with_context(|| format!("variant {}", variant.name))?;
    let taken = match &tuned {
        Ok(tuned) => tuned.report.meta_steps.clone(),
        Err(_) => tuning.taken()?,
    };
    Ok(Ran { tuned, taken })
}

/// Removes what a run that is done left of its variants for one that goes on.
///
/// # Errors
/// What the file system refuses.
pub(super) fn clear(job: &Job<'_>) -> Result<()> {
    for variant in variants(job.recipe, job.study, job.quick)? {
        for seed in 0..job.seeds {
            tune::clear(&folder(job, &variant.name, seed))?;
        }
    }
    Ok(())
}

/// Where a variant's files go.
pub(super) fn folder(job: &Job<'_>, name: &str, seed: usize) -> PathBuf {
    let folder = job.out.join(folder_name(name));
    folder.join(format!("seed-{seed}"))
}

/// A variant's name as that of a folder: letters, digits and decimal points, so that it can neither lead
/// elsewhere nor be the name of one of the study's files.
fn folder_name(name: &str) -> String {
    let after = name.chars().skip(1).chain(std::iter::once(' '));
    let plain = |(c, after): (char, char)| match c {
        c if c.is_ascii_alphanumeric() => c,
        '.' if after.is_ascii_digit() => c,
        _ => '-',
    };
    name.chars().zip(after).map(plain).collect()
}

/// Hyperparameters for finer groups: each has that of the coarser group its weights were in, or where
/// they were in none its own start.
fn spread(coarse: &Experiment, hyper: &[f32], fine: &Experiment) -> Result<Vec<f32>> {
    let mut spread = fine.start();
    for (block, to) in fine.blocks() {
        let Some((before, from)) = coarse.blocks().find(|(b, _)| b.what == block.what) else {
            continue;
        };
        let map = |experiment: &Experiment, block: &Block| -> Result<Vec<i64>> {
            let mut map = vec![-1; experiment.weights()];
            experiment.groups_of(block).map(&mut map)?;
            Ok(map)
        };
        for (new, old) in map(fine, block)?.into_iter().zip(map(coarse, before)?) {
            if let (Ok(new), Ok(old)) = (usize::try_from(new), usize::try_from(old)) {
                spread[to.start + new] = hyper[from.start + old];
            }
        }
    }
    Ok(spread)
}

/// A way to read a number from a run.
type Read = fn(&Tuned) -> Option<f64>;

/// What is measured of every variant.
const METRICS: &[(&str, Unit, Read)] = &[
    ("test error", Unit::Percent, |t| {
        Some(t.report.after.test_error)
    }),
    ("test loss", Unit::Number, |t| {
        Some(t.report.after.test_loss)
    }),
    ("validation loss", Unit::Number, |t| {
        Some(t.report.after.valid_loss)
    }),
    ("test error before", Unit::Percent, |t| {
        Some(t.report.before.test_error)
    }),
    ("test loss before", Unit::Number, |t| {
        Some(t.report.before.test_loss)
    }),
    ("test error, last meta-iteration", Unit::Percent, |t| {
        t.report.meta_steps.last().map(|m| m.test_error)
    }),
    ("cosine, first", Unit::Cosine, |t| {
        t.report.angles.first().map(|a| a.cosine)
    }),
    ("cosine, last", Unit::Cosine, |t| {
        t.report.angles.last().map(|a| a.cosine)
    }),
    ("norm ratio, first", Unit::Times, |t| {
        t.report.angles.first().map(|a| a.norm_ratio)
    }),
    ("norm ratio, last", Unit::Times, |t| {
        t.report.angles.last().map(|a| a.norm_ratio)
    }),
    ("agreement, first", Unit::Cosine, |t| {
        t.report.meta_steps.first()?.agreement
    }),
    ("agreement, last", Unit::Cosine, |t| {
        t.report.meta_steps.last()?.agreement
    }),
    ("clients left out", Unit::Number, |t| {
        t.report.clients?;
        let left_out = t.report.meta_steps.iter().map(|m| m.left_out.len());
        Some(left_out.sum::<usize>() as f64)
    }),
    ("floats a weight", Unit::Number, |t| {
        t.report.costs.get(1).map(|c| c.floats_per_weight)
    }),
];

/// What all of them found, before the words of the file.
pub(super) fn findings(job: &Job<'_>, variants: &[Variant], ran: &[Vec<Ran>]) -> Result<Findings> {
    let study = job.study;
    let shows: Vec<Shows> = variants
        .iter()
        .zip(ran)
        .map(|(variant, seeds)| Shows {
            name: variant.name.clone(),
            metrics: metrics(seeds),
            failed: failed(
                seeds.iter().filter_map(|ran| ran.tuned.as_ref().err()),
                seeds.len(),
            ),
        })
        .collect();
    let base = variants.first().context("no variants")?;
    let e = &base.experiment;
    let mut figures = vec![Shown::Ranking(Ranking {
        caption: format!(
            "Test error after tuning: a dot for each seed and the mean of them.{}",
            if e.examples.fixed {
                ""
            } else {
                " Each is measured on a draw of examples that tuning has not seen."
            }
        ),
        metric: "test error".to_string(),
        baseline: study.baseline.clone(),
    })];
    figures.extend(curves(variants, ran, study));
    let shape = (job.data.train.rows, job.data.train.columns);
    figures.extend(pictures(base, shape, &ran[0]));
    Ok(Findings {
        name: job.recipe.name.clone(),
        title: e.title.clone(),
        source: String::new(),
        about: String::new(),
        quick: job.quick,
        settings: named(&[
            ("network", e.network()),
            ("weights", e.weights().to_string()),
            ("hyperparameters", e.hypers().to_string()),
            ("training examples", e.examples.train.to_string()),
            ("validation examples", e.examples.valid.to_string()),
            ("test examples", e.examples.test.to_string()),
            ("batch", e.batch.to_string()),
            ("training steps", e.steps.to_string()),
            ("rate", e.said(What::Rate)),
            ("momentum", e.said(What::Momentum)),
            ("log of the initial scale", e.said(What::InitialScale)),
            ("meta-iterations", e.outer.meta_steps.to_string()),
            (
                "clients",
                e.outer.clients.map_or("none".into(), |c| c.describe()),
            ),
            ("first variant", base.name.clone()),
        ]),
        seeds: job.seeds,
        seconds: f64::NAN,
        variants: shows,
        compared: vec![],
        figures,
        notes: vec![],
        versions: versions(Rounding::Fused),
    })
}

fn metrics(seeds: &[Ran]) -> Vec<Metric> {
    let done = || seeds.iter().filter_map(|ran| ran.tuned.as_ref().ok());
    let metrics = METRICS.iter().map(|(name, unit, read)| Metric {
        name: (*name).to_string(),
        unit: *unit,
        values: done().filter_map(read).collect(),
    });
    metrics.filter(|metric| !metric.values.is_empty()).collect()
}

/// What to say of the seeds that failed, of so many in all.
pub(super) fn failed<'a>(errors: impl Iterator<Item = &'a String>, all: usize) -> Option<String> {
    let failed: Vec<&String> = errors.collect();
    let first = failed.first()?;
    Some(match failed.len() {
        bad if bad < all => format!("{bad} of {all} seeds: {first}"),
        _ => (*first).clone(),
    })
}

/// Test error and validation loss over meta-iterations.
fn curves(variants: &[Variant], ran: &[Vec<Ran>], study: &Study) -> Vec<Shown> {
    let of = |read: fn(&MetaStep) -> f64| -> Vec<Curve> {
        let pairs = variants.iter().zip(ran);
        let pairs = pairs.filter(|(v, _)| study.draws_curve_of(&v.name));
        let curves = pairs.map(|(variant, seeds)| {
            let longest = seeds.iter().map(|ran| ran.taken.len()).max().unwrap_or(0);
            let heights = |ran: &Ran| {
                let mut y: Vec<f64> = ran.taken.iter().map(read).collect();
                y.resize(longest, f64::NAN);
                y
            };
            Curve {
                name: variant.name.clone(),
                x: (0..longest).map(|x| x as f64).collect(),
                y: seeds.iter().map(heights).collect(),
            }
        });
        curves.filter(|curve| curve.x.len() > 1).collect()
    };
    let all = [
        (
            "The validation loss of each meta-iteration's training, as its hypergradient saw it.",
            "validation loss",
            of(|step| step.valid_loss),
        ),
        (
            "The test error of each meta-iteration's training.",
            "test error, %",
            of(|step| 100.0 * step.test_error),
        ),
    ];
    all.into_iter()
        .filter(|(_, _, series)| !series.is_empty())
        .map(|(caption, y_label, series)| {
            Shown::Curves(Curves {
                caption: caption.to_string(),
                x_label: "meta-iteration".to_string(),
                y_label: y_label.to_string(),
                log: [false, false],
                series,
            })
        })
        .collect()
}

/// What the first variant's hyperparameters became, block by block.
fn pictures(variant: &Variant, shape: (usize, usize), seeds: &[Ran]) -> Vec<Shown> {
    let e = &variant.experiment;
    // Inputs that lie in a row are no picture.
    let shape = Some(shape).filter(|(rows, columns)| *rows > 1 && *columns > 1);
    let hypers: Vec<&[f32]> = seeds
        .iter()
        .filter_map(|ran| ran.tuned.as_ref().ok())
        .map(|tuned| &tuned.hyper[..])
        .collect();
    let Some(first) = hypers.first() else {
        return vec![];
    };
    let mut shown = vec![];
    for (block, range) in e.blocks() {
        let of = |hyper: &[f32]| hyper[range.clone()].to_vec();
        match block.what {
            What::Rate | What::Momentum if block.each_step => {
                shown.push(by_step(
                    e,
                    block,
                    &hypers.iter().map(|h| of(h)).collect::<Vec<_>>(),
                ));
            }
            What::Pixel => shown.extend(shape.map(|shape| images(e, shape, &first[range.clone()]))),
            What::Scale | What::Penalty => {
                shown.extend(shape.and_then(|shape| by_pixel(e, shape, block, &of(first))));
            }
            _ => {}
        }
    }
    shown
}

/// Curves of rates or momenta over steps.
fn by_step(e: &Experiment, block: &Block, seeds: &[Vec<f32>]) -> Shown {
    let groups = e.groups_of(block).len();
    let (name, value): (_, fn(f64) -> f64) = match block.what {
        What::Rate => ("rate", f64::exp),
        _ => ("momentum", |x| 1.0 / (1.0 + (-x).exp())),
    };
    let group_name = |group: usize| match block.by {
        crate::experiment::By::Tensor if group.is_multiple_of(2) => {
            format!("weights {}", group / 2 + 1)
        }
        crate::experiment::By::Tensor => format!("biases {}", group / 2 + 1),
        _ => format!("group {}", group + 1),
    };
    let series = (0..groups.min(10)).map(|group| Curve {
        name: group_name(group),
        x: (0..e.steps).map(|t| t as f64).collect(),
        y: seeds
            .iter()
            .map(|h| {
                h.iter()
                    .skip(group)
                    .step_by(groups)
                    .map(|x| value(f64::from(*x)))
                    .collect()
            })
            .collect(),
    });
    Shown::Curves(Curves {
        caption: format!("The {name} of each step, tuned, by groups of weights."),
        x_label: "training step".to_string(),
        y_label: name.to_string(),
        log: [false, block.what == What::Rate],
        series: series.collect(),
    })
}

/// Learned images.
fn images(e: &Experiment, (rows, columns): (usize, usize), pixels: &[f32]) -> Shown {
    let classes = e.classes();
    let images = pixels
        .chunks_exact(rows * columns)
        .take(4 * classes)
        .enumerate();
    Shown::Images(Images {
        caption:
            "The images that were learned, one a class: what to train on, so that a short training \
                  does best on real ones."
                .to_string(),
        unit: "input".to_string(),
        rows,
        columns,
        across: classes,
        diverging: true,
        images: images
            .map(|(i, values)| Image {
                name: (i % classes).to_string(),
                values: values.iter().map(|x| f64::from(*x)).collect(),
            })
            .collect(),
    })
}

/// A picture of each pixel's penalty: one, or one for each class where weights have their own.
fn by_pixel(
    e: &Experiment,
    (rows, columns): (usize, usize),
    block: &Block,
    hyper: &[f32],
) -> Option<Shown> {
    let pixels = rows * columns;
    let first = e.groups_of(block).blocks().next()?;
    let own = first.hypers(hyper);
    let each = own.len() / pixels;
    if each == 0 || (each > 1 && e.layers.len() != 2) {
        return None;
    }
    let (_, unit) = e.reported(block.what, 0.0);
    let image = |k: usize| Image {
        name: if each > 1 {
            k.to_string()
        } else {
            "input pixels".to_string()
        },
        values: own
            .iter()
            .skip(k)
            .step_by(each)
            .map(|h| f64::from(e.reported(block.what, *h).0))
            .collect(),
    };
    Some(Shown::Images(Images {
        caption: if each > 1 {
            "The penalty of each pixel's weight for each class (the first seed).".to_string()
        } else {
            format!(
                "The {unit} of each input pixel's weights after tuning (the first variant and seed)."
            )
        },
        unit: unit.to_string(),
        rows,
        columns,
        across: each.min(10),
        diverging: false,
        images: (0..each).map(image).collect(),
    }))
}
