//! DrMAD's headline (Fu et al. 2016): 45 times as fast as exact reversal, in a hundredth of the memory.
//!
//! Every method takes the hypergradient of the same training, by the same sweep in the same arithmetic:
//! equal draws, equal `T`, equal sizes. What is left to differ is where the weights of a step come from.
//! With `b` seconds of validation and sweep, and `m` numbers kept for the backward pass, its claim is that
//!
//! ```text
//! b(exact) / b(line) = 45        m(exact) / m(line) = 100
//! ```
//!
//! `m` is what the path keeps and the two vectors of `P` numbers that any path is lent: of the line its
//! two ends, and nothing else. Weights, gradient and adjoints are the same for all. The published code
//! walks back `T / 10` steps where exact reversal walks back `T`: a row of its own, and the ratio to it
//! the unlike setting.
//!
//! Times are medians over repeats, on one thread and with nothing beside; a repeat runs all methods in
//! turn, so that what slows the machine slows all of them.
//!
//! Refused: methods without `tape`, which angles are taken to, and without `line` and `line-published`,
//! which the others are set against.

use anyhow::{Context, Result, ensure};
use drmad::Fused;
use drmad::kernels::reduce::{cosine, norm};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::job::Job;
use super::kept::Kept;
use super::spent::Spent;
use crate::experiment::{Experiment, Rounding, What};
use crate::method::{Method, Name};
use crate::problem::{Population, Problem};
use crate::provenance::{named, versions};
use crate::recipe::Recipe;
use crate::report::findings::{Curve, Curves, Findings, Metric, Ranking, Shown, Unit, Variant};
use crate::statistics::{mean, median};

/// What is compared.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The momenta: what the packed buffer keeps of a step depends on them.
    pub momenta: Vec<f32>,
    /// The methods.
    pub methods: Vec<Name>,
    /// How often each time is taken.
    pub repeats: usize,
    /// Shorter trainings, to see what grows with `T`.
    pub steps: Vec<usize>,
    /// Keys put over those of the experiment.
    pub experiment: Table,
}

impl Default for Settings {
    /// All that the paper's claim is about, our hats, and the validation without a sweep.
    fn default() -> Self {
        Settings {
            momenta: vec![0.95, 0.1],
            methods: vec![
                Name::Tape,
                Name::Checkpoints,
                Name::Reversible,
                Name::Line,
                Name::LinePublished,
                Name::Hats,
                Name::Direct,
            ],
            repeats: 3,
            steps: vec![250, 500, 1000],
            experiment: Table::new(),
        }
    }
}

impl Settings {
    /// The experiment with a momentum and, where they are given, so many steps.
    ///
    /// # Errors
    /// One that cannot be run.
    pub fn experiment(
        &self,
        recipe: &Recipe,
        momentum: f32,
        steps: Option<usize>,
    ) -> Result<Experiment> {
        let mut over = Table::new();
        over.insert("momentum".into(), Value::Float(f64::from(momentum)));
        if let Some(steps) = steps {
            over.insert("steps".into(), Value::Integer(i64::try_from(steps)?));
        }
        recipe.with(&[&self.experiment, &over])
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// What is missing; an experiment that cannot be run.
    pub fn check(&self, recipe: &Recipe) -> Result<()> {
        for name in [Name::Tape, Name::Line, Name::LinePublished] {
            ensure!(
                self.methods.contains(&name),
                "methods: {} is missing, which the others are set against",
                name.as_str()
            );
        }
        ensure!(!self.momenta.is_empty(), "momenta: give at least one");
        for momentum in &self.momenta {
            for steps in self.lengths() {
                self.experiment(recipe, *momentum, steps)?;
            }
        }
        Ok(())
    }

    /// The experiment's own steps, then the others.
    fn lengths(&self) -> impl Iterator<Item = Option<usize>> {
        std::iter::once(None).chain(self.steps.iter().copied().map(Some))
    }

    /// The trainings that are timed.
    fn ticks(&self, seeds: usize) -> usize {
        self.momenta.len() * self.methods.len() * (seeds * self.repeats + self.steps.len())
    }
}

/// What a method cost and gave, on one draw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds of the training.
    pub forward: f64,
    /// Seconds of validation and sweep.
    pub backward: f64,
    /// Numbers that the path keeps, the two vectors that it is lent among them.
    pub floats: usize,
    /// Gradients of the training's loss computed after the training.
    pub gradients: usize,
    /// Second-order products.
    pub products: usize,
    /// The cosine to the tape's hypergradient.
    pub cosine: f64,
    /// The norm, as a part of the tape's.
    pub norm_ratio: f64,
}

/// Takes the hypergradient by each method, `repeats` times, one after the other; `each` hears of each.
///
/// # Errors
/// A training or a sweep that fails; methods without the tape.
pub fn measure(
    problem: &Problem<'_>,
    methods: &[Name],
    repeats: usize,
    each: &mut dyn FnMut(),
) -> Result<Vec<Measured>> {
    let hyper = problem.experiment.start();
    let lent = 2 * problem.experiment.weights();
    let mut times = vec![(vec![], vec![]); methods.len()];
    let mut backs = vec![];
    for _ in 0..repeats {
        backs.clear();
        for (name, (forward, backward)) in methods.iter().zip(&mut times) {
            let method = Method::fitting(*name, problem.experiment.steps);
            let trained = problem
                .train::<Fused>(&hyper, Some(&method), &mut |_| ())
                .with_context(|| name.as_str())?;
            let back = trained.back.context("no hypergradient")?;
            forward.push(trained.forward_seconds);
            backward.push(back.seconds);
            backs.push(back);
            each();
        }
    }
    let tape = methods.iter().position(|name| *name == Name::Tape);
    let exact = tape.and_then(|tape| backs.get(tape));
    let exact = &exact.context("no tape to compare with")?.hypergradient;
    let measured = backs.iter().zip(&times);
    let measured = measured.map(|(back, (forward, backward))| Measured {
        forward: median(forward.iter().copied()),
        backward: median(backward.iter().copied()),
        floats: back.floats + lent,
        gradients: back.gradients,
        products: back.products,
        cosine: cosine(&back.hypergradient, exact),
        norm_ratio: norm(&back.hypergradient) / norm(exact),
    });
    Ok(measured.collect())
}

/// What was measured with one momentum.
struct AtMomentum {
    momentum: f32,
    /// One for each seed, of each method.
    seeds: Vec<Vec<Measured>>,
    /// The steps of shorter trainings, with what they gave for the first seed.
    shorter: Vec<(usize, Vec<Measured>)>,
}

/// Measures all methods with all momenta and seeds.
///
/// # Errors
/// A method that fails, by name; what the file system refuses.
pub fn run(job: &Job<'_>, settings: &Settings, spent: &Spent) -> Result<Findings> {
    settings.check(job.recipe)?;
    let told = (job.recipe.text(), job.quick, &job.source);
    let told = serde_json::to_string(&told)?;
    let kept = Kept::new(job.out.clone(), job.resume, told, spent);
    let bar = job.bar(settings.ticks(job.seeds));
    let mut all = vec![];
    for momentum in settings.momenta.iter().copied() {
        let one = |steps: Option<usize>, seed: usize, repeats: usize| {
            let experiment = settings.experiment(job.recipe, momentum, steps)?;
            let name = format!("momentum-{momentum}-steps-{}-seed-{seed}", experiment.steps);
            kept.get(&name, || {
                let population = Population::new(&experiment, job.data)?;
                let problem = population.draw(seed as u64, 0, 0)?;
                measure(&problem, &settings.methods, repeats, &mut || bar.inc(1))
            })
            .with_context(|| format!("momentum {momentum}, seed {seed}"))
        };
        let seeds = (0..job.seeds).map(|seed| one(None, seed, settings.repeats));
        let seeds = seeds.collect::<Result<_>>()?;
        let shorter = settings.steps.iter();
        let shorter = shorter.map(|steps| Ok((*steps, one(Some(*steps), 0, 1)?)));
        let shorter = shorter.collect::<Result<_>>()?;
        all.push(AtMomentum {
            momentum,
            seeds,
            shorter,
        });
    }
    bar.finish_and_clear();
    let own = settings.experiment(job.recipe, settings.momenta[0], None)?;
    Ok(findings(settings, &own, &all))
}

impl AtMomentum {
    /// A number of a method for each seed, from what it gave and what another did.
    fn each(
        &self,
        methods: &[Name],
        [of, beside]: [Name; 2],
        read: impl Fn(&Measured, &Measured) -> f64,
    ) -> Vec<f64> {
        let place = |name| methods.iter().position(|method| *method == name);
        let (Some(of), Some(beside)) = (place(of), place(beside)) else {
            return vec![];
        };
        let seeds = self.seeds.iter();
        seeds
            .filter_map(|seed| Some(read(seed.get(of)?, seed.get(beside)?)))
            .collect()
    }
}

/// A number that is read of a method, with another beside it.
type Read = fn(&Measured, &Measured) -> f64;

/// What is shown of every method: its name, its unit, what stands beside it, and how to read it.
const METRICS: [(&str, Unit, Name, Read); 12] = [
    ("forward", Unit::Seconds, Name::Line, |m, _| m.forward),
    ("backward", Unit::Seconds, Name::Line, |m, _| m.backward),
    (BACKWARD, Unit::Times, Name::Line, |m, line| {
        m.backward / line.backward
    }),
    (
        "forward and backward, times the line's",
        Unit::Times,
        Name::Line,
        |m, line| (m.forward + m.backward) / (line.forward + line.backward),
    ),
    (UNLIKE, Unit::Times, Name::LinePublished, |m, published| {
        m.backward / published.backward
    }),
    ("memory", Unit::Bytes, Name::Line, |m, _| {
        size_of::<f32>() as f64 * m.floats as f64
    }),
    (MEMORY, Unit::Times, Name::Line, |m, line| {
        m.floats as f64 / line.floats as f64
    }),
    (KEPT, Unit::Number, Name::Line, |m, line| {
        2.0 * m.floats as f64 / line.floats as f64
    }),
    (COSINE, Unit::Cosine, Name::Line, |m, _| m.cosine),
    ("norm ratio", Unit::Times, Name::Line, |m, _| m.norm_ratio),
    ("second-order products", Unit::Count, Name::Line, |m, _| {
        m.products as f64
    }),
    (
        "gradients on the backward pass",
        Unit::Count,
        Name::Line,
        |m, _| m.gradients as f64,
    ),
];

const BACKWARD: &str = "backward, times the line's";
const UNLIKE: &str = "backward, times the published line's";
const MEMORY: &str = "memory, times the line's";
const KEPT: &str = "floats a weight";
const COSINE: &str = "cosine";

fn findings(settings: &Settings, own: &Experiment, all: &[AtMomentum]) -> Findings {
    let mut variants = vec![];
    for at in all {
        for name in settings.methods.iter().copied() {
            let metrics = METRICS.iter().map(|(metric, unit, beside, read)| Metric {
                name: (*metric).to_string(),
                unit: *unit,
                values: at.each(&settings.methods, [name, *beside], read),
            });
            variants.push(Variant {
                name: variant(name, at.momentum),
                metrics: metrics.collect(),
                failed: None,
            });
        }
    }
    let line = Some(variant(Name::Line, all[0].momentum));
    let ranking = |metric: &str, caption: &str| {
        Shown::Ranking(Ranking {
            caption: caption.to_string(),
            metric: metric.to_string(),
            baseline: line.clone(),
        })
    };
    let mut figures = vec![
        ranking(
            "backward",
            "Seconds of the backward pass, validation and sweep, on one thread: a dot for each seed. The published \
             line takes a tenth of the steps; the direct term takes none, and is the validation alone.",
        ),
        by_angle(settings, all),
    ];
    figures.extend(by_steps(settings, own, all));
    Findings {
        name: String::new(),
        title: String::new(),
        source: String::new(),
        about: String::new(),
        quick: false,
        settings: named(&[
            ("network", own.network()),
            ("weights", own.weights().to_string()),
            ("hyperparameters", own.hypers().to_string()),
            ("training steps", own.steps.to_string()),
            ("batch", own.batch.to_string()),
            ("validation examples", own.examples.valid.to_string()),
            ("rate", own.said(What::Rate)),
            ("momenta", joined(&settings.momenta)),
            ("repeats of each time", settings.repeats.to_string()),
        ]),
        seeds: all.first().map_or(0, |at| at.seeds.len()),
        seconds: f64::NAN,
        variants,
        compared: vec![],
        figures,
        notes: all.iter().map(|at| like_for_like(settings, at)).collect(),
        versions: versions(Rounding::Fused),
    }
}

fn variant(name: Name, momentum: f32) -> String {
    format!("{}, {momentum}", name.as_str())
}

fn joined(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(f32::to_string).collect();
    values.join(", ")
}

/// Memory against angle, a point for each method.
fn by_angle(settings: &Settings, all: &[AtMomentum]) -> Shown {
    let swept = settings.methods.iter().copied().filter(|m| m.has_path());
    let series = all.iter().flat_map(|at| {
        swept.clone().map(|name| {
            let floats = at.each(&settings.methods, [name, Name::Line], |m, line| {
                2.0 * m.floats as f64 / line.floats as f64
            });
            let cosines = at.each(&settings.methods, [name, Name::Line], |m, _| m.cosine);
            Curve {
                name: variant(name, at.momentum),
                x: vec![mean(floats)],
                y: cosines.into_iter().map(|c| vec![c]).collect(),
            }
        })
    });
    Shown::Curves(Curves {
        caption: "What memory buys: the numbers kept for the backward pass, for each weight, and the cosine of the \
                  hypergradient to the tape's."
            .to_string(),
        x_label: "floats a weight".to_string(),
        y_label: "cosine to the exact hypergradient".to_string(),
        log: [true, false],
        series: series.collect(),
    })
}

/// What grows with the steps of a training.
fn by_steps(settings: &Settings, own: &Experiment, all: &[AtMomentum]) -> Vec<Shown> {
    let swept = settings.methods.iter().copied().filter(|m| m.has_path());
    let place = |name| settings.methods.iter().position(|m| *m == name);
    let of = |read: Read| -> Vec<Curve> {
        let curves = all.iter().flat_map(|at| {
            let mut lengths: Vec<(usize, &[Measured])> =
                at.shorter.iter().map(|(t, all)| (*t, &all[..])).collect();
            lengths.extend(at.seeds.first().map(|all| (own.steps, &all[..])));
            lengths.sort_by_key(|(steps, _)| *steps);
            swept.clone().map(move |name| {
                let value = |all: &[Measured]| {
                    let get = |name| all.get(place(name)?);
                    Some(read(get(name)?, get(Name::Line)?))
                };
                Curve {
                    name: variant(name, at.momentum),
                    x: lengths.iter().map(|(steps, _)| *steps as f64).collect(),
                    y: vec![
                        lengths
                            .iter()
                            .map(|(_, all)| value(all).unwrap_or(f64::NAN))
                            .collect(),
                    ],
                }
            })
        });
        curves.collect()
    };
    let figures: [(&str, &str, Read); 2] = [
        (
            "Memory against the line's two ends, by the steps of the training: what the tape and the packed buffer \
             keep grows with them, so a factor of 100 is a matter of how long one trains (the first seed).",
            MEMORY,
            |m, line| m.floats as f64 / line.floats as f64,
        ),
        (
            "Seconds of the backward pass against the line's, by the steps of the training (the first seed).",
            BACKWARD,
            |m, line| m.backward / line.backward,
        ),
    ];
    let figures = figures.into_iter().map(|(caption, y_label, read)| {
        Shown::Curves(Curves {
            caption: caption.to_string(),
            x_label: "training steps".to_string(),
            y_label: y_label.to_string(),
            log: [true, true],
            series: of(read),
        })
    });
    figures.filter(|_| !settings.steps.is_empty()).collect()
}

/// What of the claim holds with one momentum, in words.
fn like_for_like(settings: &Settings, at: &AtMomentum) -> String {
    let of = |pair: [Name; 2], read: Read| mean(at.each(&settings.methods, pair, read));
    let backward: Read = |m, beside| m.backward / beside.backward;
    let memory: Read = |m, beside| m.floats as f64 / beside.floats as f64;
    let angle = |name| of([name, Name::Line], |m, _| m.cosine);
    let (mut times, mut bytes) = (vec![], vec![]);
    for (name, what) in [
        (Name::Tape, "the tape"),
        (Name::Checkpoints, "checkpoints"),
        (Name::Reversible, "reversal with the packed buffer"),
    ] {
        if settings.methods.contains(&name) {
            let pair = [name, Name::Line];
            times.push(format!("{what} {:.2}", of(pair, backward)));
            bytes.push(format!("{what} {:.3}", of(pair, memory)));
        }
    }
    let unlike = settings.methods.contains(&Name::Reversible).then(|| {
        format!(
            " Set against the published line, which walks back a tenth of the steps, reversal takes {:.1} times as long.",
            of([Name::Reversible, Name::LinePublished], backward)
        )
    });
    format!(
        "Momentum {}, like for like: of the line's time for the backward pass, exact methods take, in times: {}. Of its \
         memory: {}. Its cosine to the exact hypergradient is {:.3}, the published line's {:.3}.{}",
        at.momentum,
        times.join(", "),
        bytes.join(", "),
        angle(Name::Line),
        angle(Name::LinePublished),
        unlike.unwrap_or_default()
    )
}
