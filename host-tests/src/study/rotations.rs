//! Digits turned by ten angles as ten tasks: a network for each on few examples, coupled layer by layer
//! (Maclaurin et al. 2015, section 3.4, where the tasks are rotated alphabets).
//!
//! ```text
//! sum_k L_k(w_k) + rho |w|^2 + sum_layers sum_(j<k) A_jk |w_j - w_k|^2 + sum_j A_jj |w_j|^2
//! ```
//!
//! All networks begin at the same weights: hidden units have no order, so those of networks that
//! began apart would have nothing in common to be coupled by. The validation loss, the same without
//! penalties, tunes rho and the couplings, 55 a layer. A rotation is about the middle of the image,
//! bilinear, and the same on every machine.
//!
//! Refused: fewer examples of a class than are drawn.

use anyhow::Result;
use drmad::Fused;
use drmad::group::{Granularity, Groups, Layout};
use drmad::models::{Mlp, SparsePixels};
use drmad::objective::{At, Objective};
use drmad::random::{InitialWeights, Normal};
use drmad::wrap::{Coupled, Coupling, L2, Strength, Tasks};
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};

use super::coupled::{
    Measured, Outcome, Training, Tuned, Tuning, all, curves, drawn, matrix, measured, one, own,
    variant,
};
use super::kept::Kept;
use super::side_by_side::SideBySide;
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
    /// The angles, in degrees: one task each.
    pub angles: Vec<f64>,
    /// Widths of the two hidden layers.
    pub hidden: [usize; 2],
    /// Training examples of each class and task.
    pub train_per_class: usize,
    /// Validation examples of each class and task.
    pub valid_per_class: usize,
    /// Test examples of each task, the first of the test images.
    pub test: usize,
    /// The logarithm of the initial weights' scale.
    pub log_scale: f32,
    /// How many seeds.
    pub seeds: usize,
    /// Training and tuning; what is not given is as in the full experiment.
    #[serde(deserialize_with = "tuning")]
    pub tuning: Tuning,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            angles: (0..10).map(|task| 18.0 * f64::from(task)).collect(),
            hidden: [20, 20],
            train_per_class: 3,
            valid_per_class: 10,
            test: 1000,
            log_scale: -2.0,
            seeds: 3,
            tuning: Tuning {
                rate: 0.3,
                meta_steps: 20,
                coupling_rate: 0.05,
                coupling: 0.01,
                ..Tuning::default()
            },
        }
    }
}

fn tuning<'de, D: Deserializer<'de>>(from: D) -> Result<Tuning, D::Error> {
    Settings::default().tuning.over(from)
}

/// What is compared.
const VARIANTS: [&str; 5] = [
    "one network for all",
    "no coupling",
    "a penalty for each task and layer",
    "one shared coupling",
    "all couplings",
];

/// Layers of a network.
const LAYERS: usize = 3;

/// Examples of a batch that a network works through at once.
const CHUNK: usize = 50;

impl Settings {
    /// How often `each` of [`run`] is called.
    pub const fn ticks(&self) -> usize {
        self.seeds * VARIANTS.len() * (self.tuning.meta_steps + 1)
    }
}

/// Cosine and sine of an angle in degrees by their series, whose bits depend on no library.
fn direction(degrees: f64) -> (f64, f64) {
    let x = (degrees % 360.0) * (std::f64::consts::PI / 180.0);
    // Powers of x over factorials reach 1e-17 at 40 where x is 2 pi.
    let (mut cosine, mut sine, mut term) = (1.0, 0.0, 1.0);
    for k in 1..40 {
        term *= x / f64::from(k);
        match k % 4 {
            0 => cosine += term,
            1 => sine += term,
            2 => cosine -= term,
            _ => sine -= term,
        }
    }
    (cosine, sine)
}

/// An image turned counterclockwise about its middle. Each pixel is interpolated between the four
/// nearest to where it came from; what lies outside is 0.
///
/// ```
/// use drmad_host::study::rotations::rotated;
/// let image = [1, 2, 3, 4, 5, 6, 7, 8, 9];
/// assert_eq!(rotated(&image, 3, 3, 90.0), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
/// ```
pub fn rotated(image: &[u8], rows: usize, columns: usize, degrees: f64) -> Vec<u8> {
    let (cosine, sine) = direction(degrees);
    let middle = [rows, columns].map(|n| (n as f64 - 1.0) / 2.0);
    let pixel = |row: f64, column: f64| {
        let inside = row >= 0.0 && column >= 0.0 && row < rows as f64 && column < columns as f64;
        let place = if inside {
            row as usize * columns + column as usize
        } else {
            usize::MAX
        };
        image.get(place).map_or(0.0, |pixel| f64::from(*pixel))
    };
    let each = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    each.map(|(row, column)| {
        let (down, right) = (row as f64 - middle[0], column as f64 - middle[1]);
        let from_row = middle[0] + cosine * down + sine * right;
        let from_column = middle[1] + cosine * right - sine * down;
        let (top, left) = (from_row.floor(), from_column.floor());
        let (below, beside) = (from_row - top, from_column - left);
        let upper = (1.0 - beside) * pixel(top, left) + beside * pixel(top, left + 1.0);
        let lower = (1.0 - beside) * pixel(top + 1.0, left) + beside * pixel(top + 1.0, left + 1.0);
        ((1.0 - below) * upper + below * lower + 0.5) as u8
    })
    .collect()
}

/// The images of some tasks, each turned by its angle; they are numbered throughout.
struct Turned {
    split: Split,
    numbers: Vec<u32>,
}

impl Turned {
    /// Sets of images of a split, each with its angle.
    fn new<'s>(split: &Split, sets: impl IntoIterator<Item = (&'s Vec<u32>, &'s f64)>) -> Self {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (chosen, angle) in sets {
            for i in chosen {
                let (i, width) = (*i as usize, split.width());
                let image = &split.pixels[i * width..(i + 1) * width];
                pixels.extend(rotated(image, split.rows, split.columns, *angle));
                labels.push(split.labels[i]);
            }
        }
        Turned {
            numbers: (0..labels.len() as u32).collect(),
            split: Split::new(pixels, labels, split.rows, split.columns),
        }
    }

    /// A task for each set.
    fn each<'s>(
        split: &Split,
        sets: impl IntoIterator<Item = (&'s Vec<u32>, &'s f64)>,
    ) -> Vec<Self> {
        let sets = sets.into_iter();
        sets.map(|set| Turned::new(split, [set])).collect()
    }

    fn examples(&self, mean: f32) -> Result<SparsePixels<'_>, drmad::Error> {
        Ok(SparsePixels {
            images: self.split.lists()?,
            labels: &self.split.labels,
            chosen: &self.numbers,
            mean,
        })
    }
}

type Network<'a> = Mlp<'a, SparsePixels<'a>, Fused>;

/// An objective of tasks whose weights lie one after another, each a network of these widths: with rho,
/// and with couplings in each layer. Or beside numbers for these, for the validation loss.
pub fn coupled<'a, O: Objective>(
    inner: O,
    widths: &[usize; LAYERS + 1],
    tasks: usize,
    strength: impl Fn(Groups<'a>) -> Strength<'a>,
    coupling: impl Fn(Tasks) -> Coupling,
) -> Coupled<Coupled<Coupled<L2<'a, O>>>> {
    let groups = Groups::global(inner.weights());
    let layer = |l: usize| {
        let start = Layout::Layers(&widths[..=l]).weights();
        let end = Layout::Layers(&widths[..=l + 1]).weights();
        coupling(Tasks::Slices {
            tasks,
            start,
            len: end - start,
        })
    };
    Coupled {
        inner: Coupled {
            inner: Coupled {
                inner: L2::new(inner, strength(groups)),
                coupling: layer(0),
            },
            coupling: layer(1),
        },
        coupling: layer(2),
    }
}

/// All variants on one seed.
fn of_seed(
    settings: &Settings,
    data: &Dataset,
    seed: u64,
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Outcome>> {
    let (width, classes, count) = (data.train.width(), data.classes(), settings.angles.len());
    let mean = data.mean_pixel();
    let per_task = [settings.train_per_class, settings.valid_per_class];
    let sets = drawn(&data.train, classes, &per_task.repeat(count), seed)?;
    // Sets to train on and to validate on take turns.
    let of = |k: usize| sets.iter().skip(k).step_by(2).zip(&settings.angles);
    let first: Vec<u32> = (0..settings.test.min(data.test.len()) as u32).collect();
    let train = Turned::each(&data.train, of(0));
    let valid = Turned::each(&data.train, of(1));
    let test = Turned::each(
        &data.test,
        settings.angles.iter().map(|angle| (&first, angle)),
    );

    let [a, b] = settings.hidden;
    let widths = [width, a, b, classes];
    let layout = Layout::Layers(&widths);
    let p = layout.weights();
    let network = |of| Network::new(Turned::examples(of, mean)?, &widths, CHUNK);
    let groups = Groups {
        layout,
        by: Granularity::Global,
        biases: false,
    };
    let mut w0 = vec![0.0; p];
    Normal {
        seed,
        groups,
        log_scales: &[settings.log_scale],
    }
    .fill(0, &mut w0);

    let tests = test.iter().map(network).collect::<Result<Vec<_>, _>>()?;
    // The mean over the tasks, which share their weights or have their own.
    let judged = |tuned: Tuned, own: bool| -> Result<Measured> {
        let (mut error, mut loss) = (0.0, 0.0);
        for (k, test) in tests.iter().enumerate() {
            let w = if own {
                &tuned.w[k * p..(k + 1) * p]
            } else {
                &tuned.w[..]
            };
            let mut scratch = vec![0.0; test.loss_scratch_len()];
            let at = At {
                w,
                h: &[],
                batch: &first,
            };
            error += error_of(test, w, classes, CHUNK)?;
            loss += f64::from(test.loss(at, &mut scratch)?);
        }
        Ok(Measured {
            tuned,
            test_error: error / count as f64,
            test_loss: loss / count as f64,
        })
    };

    // One network for all tasks.
    let (all_train, all_valid) = (
        Turned::new(&data.train, of(0)),
        Turned::new(&data.train, of(1)),
    );
    let shared = Training {
        objective: &L2::new(network(&all_train)?, Strength::Tuned(Groups::global(p))),
        examples: all_train.numbers.len(),
        validation: &L2::new(network(&all_valid)?, Strength::Off(Groups::global(p))),
        valid_examples: all_valid.numbers.len(),
    };

    // A network for each.
    let (side, validation) = (
        SideBySide::new(train.iter().map(network).collect::<Result<_, _>>()?)?,
        SideBySide::new(valid.iter().map(network).collect::<Result<_, _>>()?)?,
    );
    let [examples, valid_examples] = per_task.map(|of_class| of_class * classes);
    let weights = Groups::global(count * p);
    let apart = Training {
        objective: &L2::new(side.clone(), Strength::Tuned(weights)),
        examples,
        validation: &L2::new(validation.clone(), Strength::Off(weights)),
        valid_examples,
    };
    let together = Training {
        objective: &coupled(side, &widths, count, Strength::Tuned, Coupling::Tuned),
        examples,
        validation: &coupled(validation, &widths, count, Strength::Off, Coupling::Off),
        valid_examples,
    };

    let (w0_of_all, tasks) = (w0.repeat(count), Tasks::Stacked(count));
    let measure = |v: usize| {
        let tuning = &settings.tuning;
        let sharing = match v {
            0 => return judged(shared.tune(tuning, &[], &w0, each)?, false),
            1 => vec![],
            2 => own(tasks, LAYERS),
            3 => one(tasks, LAYERS),
            _ => all(tasks, LAYERS),
        };
        let mut tuned = match v {
            1 => apart.tune(tuning, &sharing, &w0_of_all, each)?,
            _ => together.tune(tuning, &sharing, &w0_of_all, each)?,
        };
        // The networks' losses add up.
        for loss in &mut tuned.valid {
            *loss /= count as f64;
        }
        judged(tuned, true)
    };
    (0..VARIANTS.len())
        .into_par_iter()
        .map(|v| or_divergence(measure(v)))
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
    let names: Vec<String> = (settings.angles.iter())
        .map(|angle| format!("{angle}\u{b0}"))
        .collect();
    let tasks = Tasks::Stacked(settings.angles.len());
    let [a, b] = settings.hidden;
    let (width, classes) = (data.train.width(), data.classes());
    let mut described = vec![
        ("network", format!("{width}-{a}-{b}-{classes}, one a task")),
        ("angles", names.join(", ")),
        (
            "training examples per class and task",
            settings.train_per_class.to_string(),
        ),
        (
            "validation examples per class and task",
            settings.valid_per_class.to_string(),
        ),
        (
            "test examples per task",
            settings.test.min(data.test.len()).to_string(),
        ),
        ("log initial scale", settings.log_scale.to_string()),
    ];
    described.extend(settings.tuning.described());
    let mut figures = vec![Shown::Ranking(Ranking {
        caption: "The test error, the mean over all tasks, with couplings tuned and with none."
            .to_string(),
        metric: "test error".to_string(),
        baseline: Some(VARIANTS[1].to_string()),
    })];
    figures.extend((0..LAYERS).map(|l| {
        let caption = format!(
            "The learned couplings of layer {}, the mean over seeds; on the diagonal a task's own \
             penalty.",
            l + 1
        );
        Shown::Matrix(matrix(
            caption,
            &names,
            tasks,
            l,
            &measured(&of(VARIANTS.len() - 1)),
        ))
    }));
    figures.push(Shown::Curves(curves(&found)));
    Ok(Findings {
        name: "rotations".to_string(),
        title: "Learning what tasks have in common, layer by layer".to_string(),
        source: "Maclaurin et al. 2015, section 3.4".to_string(),
        about:
            "Each angle by which digits are turned is a task with few examples and a network of \
                its own. Couplings draw the weights of two tasks together, in each layer by a \
                number of its own; they and rho are tuned by the hypergradient through the whole \
                training."
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
        figures,
        notes: vec![
            "The paper's tasks are ten alphabets of Omniglot, which cannot be had here; these are \
             MNIST's digits turned by ten angles, so no published number can stand beside ours."
                .to_string(),
            "The paper has 300 couplings, one for each ordered pair and layer; the penalty is \
             symmetric, so that 165 say the same."
                .to_string(),
            "All networks begin at the same weights: hidden units of networks that began apart \
             would have nothing in common."
                .to_string(),
            "One network for all is what infinite couplings would make of ten networks; it has the \
             size of one of them and as many steps."
                .to_string(),
            "A penalty for each task and layer tunes the diagonals of the matrices alone: what all \
             couplings find beyond it is due to pairs."
                .to_string(),
            "More examples judge the hyperparameters than train the weights; test examples do \
             neither. All tasks are tested on the same images, each turned by its angle."
                .to_string(),
            "Of each tuning the hyperparameters with the least validation loss are kept."
                .to_string(),
        ],
        versions: versions(Rounding::Fused),
    })
}
