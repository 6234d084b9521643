//! Ten digits as ten tasks: the columns of a softmax regression on few examples, coupled (Franceschi et
//! al. 2017, section 5.2).
//!
//! ```text
//! mean cross-entropy + rho |W|^2 + sum_(j<k) A_jk |w_j - w_k|^2 + sum_j A_jj |w_j|^2
//! ```
//!
//! with a column `w_j` and its bias for each digit. The loss is the softmax's and not that of ten
//! one-against-all problems: its ten columns are the tasks. The validation loss, the same without
//! penalties, tunes rho and the 55 couplings `A`. All weights begin at 0.
//!
//! One number for all pairs adds nothing to rho: `sum_(j<k) |w_j - w_k|^2 = 10 |W|^2 - |sum_j w_j|^2`, and
//! columns that began at 0 then add up to 0 at every step.
//!
//! Refused: fewer examples of a class than are drawn.

use anyhow::Result;
use drmad::Fused;
use drmad::group::Groups;
use drmad::models::{Mlp, SparsePixels};
use drmad::objective::{At, Objective};
use drmad::wrap::{Coupled, Coupling, L2, Strength, Tasks};
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};

use super::coupled::{
    Measured, Outcome, Training, Tuning, all, curves, drawn, matrix, measured, none, one, own,
    variant,
};
use super::kept::Kept;
use crate::data::{Dataset, Split};
use crate::divergence::or_divergence;
use crate::experiment::Rounding;
use crate::provenance::{named, versions};
use crate::quality::error_of;
use crate::report::findings::{Findings, Ranking, Shown};

/// The settings of the experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Training examples of each class.
    pub train_per_class: usize,
    /// Validation examples of each class.
    pub valid_per_class: usize,
    /// How many seeds.
    pub seeds: usize,
    /// Training and tuning; what is not given is as in the full experiment.
    #[serde(deserialize_with = "tuning")]
    pub tuning: Tuning,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            train_per_class: 5,
            valid_per_class: 50,
            seeds: 3,
            tuning: Tuning {
                steps: 200,
                rate: 0.3,
                ..Tuning::default()
            },
        }
    }
}

fn tuning<'de, D: Deserializer<'de>>(from: D) -> Result<Tuning, D::Error> {
    Settings::default().tuning.over(from)
}

/// What is compared.
const VARIANTS: [&str; 4] = [
    "no coupling",
    "a penalty for each digit",
    "one shared coupling",
    "all couplings",
];

/// Examples of a batch that a network works through at once.
const CHUNK: usize = 100;

impl Settings {
    /// How often `each` of [`run`] is called.
    pub const fn ticks(&self) -> usize {
        self.seeds * VARIANTS.len() * (self.tuning.meta_steps + 1)
    }
}

/// All variants on one seed.
fn of_seed(
    settings: &Settings,
    data: &Dataset,
    seed: u64,
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Outcome>> {
    let (width, classes) = (data.train.width(), data.classes());
    let counts = [settings.train_per_class, settings.valid_per_class];
    let sets = drawn(&data.train, classes, &counts, seed)?;
    let everything: Vec<u32> = (0..data.test.len() as u32).collect();
    let mean = data.mean_pixel();
    let pixels = |split, chosen| -> Result<_, drmad::Error> {
        Ok(SparsePixels {
            images: Split::lists(split)?,
            labels: &split.labels,
            chosen,
            mean,
        })
    };
    let widths = [width, classes];
    let network = |examples| Mlp::<_, Fused>::new(examples, &widths, CHUNK);
    let (train, valid) = (
        network(pixels(&data.train, &sets[0])?)?,
        network(pixels(&data.train, &sets[1])?)?,
    );
    let test = network(pixels(&data.test, &everything)?)?;
    let tasks = Tasks::Interleaved(classes);
    let groups = Groups::global(train.weights());
    let coupled = Coupled {
        inner: L2::new(train, Strength::Tuned(groups)),
        coupling: Coupling::Tuned(tasks),
    };
    let validation = Coupled {
        inner: L2::new(valid, Strength::Off(groups)),
        coupling: Coupling::Off(tasks),
    };
    let training = Training {
        objective: &coupled,
        examples: sets[0].len(),
        validation: &validation,
        valid_examples: sets[1].len(),
    };
    let w0 = vec![0.0; train.weights()];
    let measure = |sharing: Vec<_>| {
        let tuned = training.tune(&settings.tuning, &sharing, &w0, each)?;
        let mut scratch = vec![0.0; test.loss_scratch_len()];
        let at = At {
            w: &tuned.w[..],
            h: &[],
            batch: &everything,
        };
        Ok(Measured {
            test_error: error_of(&test, &tuned.w, classes, CHUNK)?,
            test_loss: f64::from(test.loss(at, &mut scratch)?),
            tuned,
        })
    };
    [none, own, one, all]
        .map(|sharing| sharing(tasks, 1))
        .into_par_iter()
        .map(|sharing| or_divergence(measure(sharing)))
        .collect()
}

/// Runs the experiment, seeds and variants beside each other. From any of the threads, `each` is called
/// after every meta-iteration: [`Settings::ticks`] times.
///
/// # Errors
/// Too few examples. A variant that diverges is named with its reason.
pub fn run(
    settings: &Settings,
    data: &Dataset,
    kept: &Kept,
    each: &(dyn Fn() + Sync),
) -> Result<Findings> {
    let seeds = (0..settings.seeds as u64).into_par_iter();
    let seeds = seeds
        .map(|seed| {
            kept.get(&format!("seed-{seed}"), || {
                of_seed(settings, data, seed, each)
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let of = |v: usize| -> Vec<&Outcome> { seeds.iter().filter_map(|one| one.get(v)).collect() };
    let found: Vec<(&str, Vec<&Outcome>)> = (VARIANTS.iter().enumerate())
        .map(|(v, name)| (*name, of(v)))
        .collect();
    let classes = data.classes();
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let tasks = Tasks::Interleaved(classes);
    let mut described = vec![
        ("network", format!("{}-{classes}", data.train.width())),
        (
            "training examples per class",
            settings.train_per_class.to_string(),
        ),
        (
            "validation examples per class",
            settings.valid_per_class.to_string(),
        ),
        ("test examples", data.test.len().to_string()),
    ];
    described.extend(settings.tuning.described());
    Ok(Findings {
        name: "multitask".to_string(),
        title: "Learning which digits are alike".to_string(),
        source: "Franceschi et al. 2017, section 5.2".to_string(),
        about: "Each digit's column of a softmax regression is a task with few examples. A \
                symmetric matrix of couplings draws the columns of a pair of digits together; it \
                and rho are tuned by the hypergradient through the whole training."
            .to_string(),
        quick: false,
        settings: named(&described),
        seeds: settings.seeds,
        seconds: f64::NAN,
        variants: found
            .iter()
            .map(|(name, seeds)| variant(name, seeds))
            .collect(),
        compared: Vec::new(),
        figures: vec![
            Shown::Ranking(Ranking {
                caption: "The test error with couplings tuned, and with none.".to_string(),
                metric: "test error".to_string(),
                baseline: Some(VARIANTS[0].to_string()),
            }),
            Shown::Matrix(matrix(
                "The learned couplings of each pair of digits, the mean over seeds; on the \
                 diagonal a digit's own penalty."
                    .to_string(),
                &names,
                tasks,
                0,
                &measured(&of(VARIANTS.len() - 1)),
            )),
            Shown::Curves(curves(&found)),
        ],
        notes: vec![
            "The paper's tasks are the classes of CIFAR-10 and CIFAR-100 on features of a trained \
             network; these are pixels of MNIST, so no published number can stand beside ours."
                .to_string(),
            "The tasks are the columns of one softmax, in place of ten one-against-all problems."
                .to_string(),
            "One coupling shared by all pairs is another rho: columns of a softmax that began at 0 \
             add up to 0, and the squares of all their differences are then ten times those of \
             the weights."
                .to_string(),
            "A penalty for each digit tunes the diagonal of the matrix alone: what all couplings \
             find beyond it is due to pairs."
                .to_string(),
            "More examples judge the hyperparameters than train the weights, as in any tuning of \
             many hyperparameters for little data; test examples do neither."
                .to_string(),
            "Of each tuning the hyperparameters with the least validation loss are kept."
                .to_string(),
        ],
        versions: versions(Rounding::Fused),
    })
}
