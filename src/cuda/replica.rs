//! A training as the device takes it: what [`InnerProblem`](crate::train::InnerProblem) and its objective are made of, said in
//! numbers, since a device runs no objective of the host's.
//!
//! Refused: everything that is not written in `source/*.cuh`, by name and before anything is launched. What is
//! not finite or does not fit is refused as on the host, and every size that a kernel could not count
//! ([`counted`]) before any memory is asked for.

use std::vec::Vec;

use super::arena::Arena;
use super::layout::{self, counted, product};
use super::{Error, Unsupported};
use crate::error::{check_equal, check_index, check_len};
use crate::group::{Groups, Layout};
use crate::kernels::quantise;
use crate::kernels::reduce::all_finite;
use crate::models::{BLOCK, SparseImages};
use crate::path::{Checkpoints, Elimination, Grid};
use crate::random::{Batches, InitialWeights};
use crate::schedule::{Optimizer, Schedule};
use crate::wrap::Strength;

/// What images are made of.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// One byte an input, all read ([`Pixels`](crate::models::Pixels)).
    Pixels(&'a [u8]),
    /// The same, of which the first layer reads those that are not zero
    /// ([`SparsePixels`](crate::models::SparsePixels)): the bytes, and the lists of them.
    Lists(&'a [u8], SparseImages<'a>),
    /// Numbers ([`Features`](crate::models::Features)).
    Features(&'a [f32]),
}

/// Images and which of them are the examples.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// All images.
    pub inputs: Inputs<'a>,
    /// Their classes.
    pub labels: &'a [u8],
    /// Inputs of one image.
    pub width: usize,
    /// The images that make up the set.
    pub chosen: &'a [u32],
    /// What is subtracted from each pixel.
    pub mean: f32,
}

/// What of the examples is a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuned {
    /// Nothing; so many hyperparameters of other examples lie beside them ([`Beside`](crate::models::Beside)).
    Nothing(usize),
    /// A weight for each ([`Weighted`](crate::models::Weighted)).
    Weights,
    /// Their inputs ([`LearnedInputs`](crate::models::LearnedInputs)).
    Inputs,
}

/// A loss of the network: [`L2`](crate::wrap::L2) of [`Scaled`](crate::wrap::Scaled) of an
/// [`Mlp`](crate::models::Mlp), each of the two where it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Loss<'a> {
    /// The examples.
    pub images: Images<'a>,
    /// What of them is tuned.
    pub tuned: Tuned,
    /// Which weights share a scale.
    pub scales: Option<Groups<'a>>,
    /// The penalty.
    pub penalty: Option<Strength<'a>>,
    /// Whether products of negative curvature are dropped ([`DropNegativeCurvature`](crate::wrap::DropNegativeCurvature), outermost).
    pub drop_negative_curvature: bool,
}

/// How the weights along the way are recalled; see [`path`](crate::path).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recall {
    /// [`Tape`](crate::path::Tape), with velocities where they are wanted.
    Tape,
    /// [`Checkpoints`](crate::path::Checkpoints) of a known number of steps.
    Checkpoints {
        /// How many snapshots.
        snapshots: usize,
    },
    /// [`Line`](crate::path::Line).
    Line,
    /// The line [as published](crate::path::Plan::published).
    LinePublished {
        /// What the rate of its sweep is multiplied by.
        rate_scale: f32,
    },
    /// [`Hats`](crate::path::Hats).
    Hats {
        /// The intervals `K`.
        intervals: usize,
        /// The power by which knots are denser early.
        spacing: f32,
        /// 3, 7, 11, 15 or 255; 0 stores numbers in full.
        levels: u32,
    },
    /// [`Reversed`](crate::path::Reversed).
    Reversed,
    /// No backward pass at all: the direct term alone.
    Nowhere,
}

/// A path with what may stand around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// The path.
    pub recall: Recall,
    /// Last steps that run backwards in floating point ([`Tail`](crate::path::Tail)).
    pub tail: usize,
    /// Only so many last steps are taken back ([`Truncated`](crate::path::Truncated)).
    pub last: Option<usize>,
}

/// A training, and its hypergradient where a way is given.
#[derive(Clone, Copy)]
pub struct Replica<'a> {
    /// Inputs, hidden ..., classes.
    pub widths: &'a [usize],
    /// Examples in a piece of a batch.
    pub microbatch: usize,
    /// The training loss.
    pub training: Loss<'a>,
    /// The validation loss, of as many hyperparameters.
    pub validation: Loss<'a>,
    /// The first so many of its examples are looked at.
    pub validated: usize,
    /// The hyperparameters.
    pub h: &'a [f32],
    /// Rates and momenta of the heavy ball.
    pub schedule: Schedule<'a, f32>,
    /// Which examples each step sees.
    pub batches: Batches,
    /// Which examples each step of the sweep sees.
    pub sweep_batches: Batches,
    /// The number `T` of steps.
    pub steps: usize,
    /// The initial weights.
    pub initial: &'a (dyn InitialWeights<f32> + Sync),
    /// The backward pass; none for a training alone.
    pub way: Option<Way>,
    /// Whether the derivatives by rates and momenta are wanted.
    pub wants_schedule: bool,
}

/// What a backward pass takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Numbers that the path keeps, beside the initial weights and the vectors that every way has.
    pub floats: usize,
    /// Gradients of the training loss.
    pub gradients: usize,
    /// Second-order products.
    pub products: usize,
}

/// Where a replica's results lie.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) replica: layout::Replica,
    pub(super) costs: Costs,
}

impl Images<'_> {
    fn check(&self, what: &'static str, widths: &[usize]) -> Result<(), Error> {
        let inputs = widths.first().copied().unwrap_or(0);
        check_equal("inputs of the first layer", self.width, inputs)?;
        let count = self.labels.len();
        let len = count.saturating_mul(self.width);
        match &self.inputs {
            Inputs::Pixels(pixels) => check_len("pixels", pixels, len)?,
            Inputs::Features(features) => check_len("features", features, len)?,
            Inputs::Lists(pixels, lists) => {
                check_len("pixels", pixels, len)?;
                check_equal("images of the lists", count, lists.len())?;
                check_equal("inputs of the lists", self.width, lists.width())?;
            }
        }
        let classes = widths.last().copied().unwrap_or(0);
        for image in self.chosen {
            let image = *image as usize;
            check_index("image", image, count)?;
            check_index("class", usize::from(self.labels[image]), classes)?;
        }
        if self.chosen.is_empty() {
            return Err(Error::NoExamples(what));
        }
        if !self.mean.is_finite() {
            return Err(crate::Error::NonFinite {
                what: "mean",
                step: 0,
            }
            .into());
        }
        Ok(())
    }

    fn place(&self, arena: &mut Arena<'_>) -> Result<layout::Images, Error> {
        let mut images = layout::Images {
            labels: arena.share(self.labels)?,
            chosen: arena.share(self.chosen)?,
            count: counted("chosen images", self.chosen.len())?,
            mean: self.mean,
            ..layout::Images::default()
        };
        match &self.inputs {
            Inputs::Pixels(pixels) => images.pixels = arena.share(pixels)?,
            Inputs::Features(features) => images.features = arena.share(features)?,
            Inputs::Lists(pixels, lists) => {
                let (starts, indices, bytes) = lists.parts();
                images.pixels = arena.share(pixels)?;
                images.starts = arena.share(starts)?;
                images.indices = arena.share(indices)?;
                images.bytes = arena.share(bytes)?;
            }
        }
        Ok(images)
    }
}

fn place_groups(
    arena: &mut Arena<'_>,
    groups: &Groups<'_>,
    fixed: bool,
) -> Result<layout::Groups, Error> {
    let blocks: Vec<layout::Block> = groups
        .blocks()
        .map(|block| {
            // A fixed coefficient is one for all, and each block one row of it.
            let (rows, columns, hyper) = match block.hyper {
                Some(_) if fixed => (1, block.len(), Some(0)),
                hyper => (block.rows, block.columns, hyper),
            };
            Ok(layout::Block {
                start: counted("weights", block.start)?,
                rows: counted("rows of a group's block", rows)?,
                columns: counted("columns of a group's block", columns)?,
                hyper: match hyper {
                    // What is counted has no sign.
                    Some(hyper) => counted("hyperparameters of a group", hyper)?.cast_signed(),
                    None => -1,
                },
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(layout::Groups {
        count: counted("blocks of a group", blocks.len())?,
        hypers: counted("hyperparameters of a group", groups.len())?,
        blocks: arena.write(&blocks)?,
    })
}

impl Loss<'_> {
    /// Hyperparameters of the examples.
    fn of_examples(&self) -> usize {
        match self.tuned {
            Tuned::Nothing(beside) => beside,
            Tuned::Weights => self.images.chosen.len(),
            Tuned::Inputs => product([self.images.chosen.len(), self.images.width]),
        }
    }

    fn hypers(&self) -> usize {
        let scales = self.scales.map_or(0, |groups| groups.len());
        let penalty = match self.penalty {
            None | Some(Strength::Fixed(..) | Strength::Nothing) => 0,
            Some(Strength::Tuned(groups) | Strength::Off(groups)) => groups.len(),
        };
        self.of_examples()
            .saturating_add(scales)
            .saturating_add(penalty)
    }

    fn check(&self, what: &'static str, widths: &[usize]) -> Result<(), Error> {
        self.images.check(what, widths)?;
        let weights = Layout::Layers(widths).weights();
        let penalised = match &self.penalty {
            Some(Strength::Fixed(_, groups) | Strength::Tuned(groups) | Strength::Off(groups)) => {
                Some(groups)
            }
            None | Some(Strength::Nothing) => None,
        };
        for groups in self.scales.iter().chain(penalised) {
            check_equal("weights of the groups", weights, groups.weights())?;
        }
        Ok(())
    }

    fn place(&self, arena: &mut Arena<'_>) -> Result<layout::Loss, Error> {
        let (penalty, coefficient, penalised) = match &self.penalty {
            None | Some(Strength::Off(_) | Strength::Nothing) => (0, 0.0, None),
            Some(Strength::Fixed(c, groups)) => (1, *c, Some(groups)),
            Some(Strength::Tuned(groups)) => (2, 0.0, Some(groups)),
        };
        let tuned = match self.tuned {
            Tuned::Nothing(_) => 0,
            Tuned::Weights => 1,
            Tuned::Inputs => 2,
        };
        let none = layout::Groups::default();
        Ok(layout::Loss {
            examples: layout::Examples {
                images: self.images.place(arena)?,
                tuned,
                hypers: counted("hyperparameters of the examples", self.of_examples())?,
            },
            scales: match &self.scales {
                Some(groups) => place_groups(arena, groups, false)?,
                None => none,
            },
            penalised: match penalised {
                Some(groups) => place_groups(arena, groups, penalty == 1)?,
                None => none,
            },
            penalty,
            coefficient,
            hypers: counted("hyperparameters", self.hypers())?,
            drop_negative_curvature: u32::from(self.drop_negative_curvature),
        })
    }
}

impl Way {
    fn place(
        &self,
        replica: &Replica<'_>,
        arena: &mut Arena<'_>,
    ) -> Result<(layout::Path, Costs), Error> {
        let (steps, p) = (replica.steps, Layout::Layers(replica.widths).weights());
        let last = self.last.unwrap_or(steps);
        if last == 0 || last > steps {
            return Err(crate::Error::Range {
                what: "number of last steps",
                value: last as f64,
                least: 1.0,
                greatest: steps as f64,
            }
            .into());
        }
        // These begin where they are first asked to record; the others at the first weights.
        let sees_the_end_alone = matches!(self.recall, Recall::Tape | Recall::Checkpoints { .. });
        let seen = if sees_the_end_alone { last } else { steps };
        if self.tail >= seen && self.tail > 0 {
            return Err(crate::Error::Range {
                what: "steps of the tail",
                value: self.tail as f64,
                least: 0.0,
                greatest: (seen - 1) as f64,
            }
            .into());
        }
        let from_weights_alone = matches!(
            self.recall,
            Recall::Line | Recall::LinePublished { .. } | Recall::Hats { .. }
        );
        if replica.wants_schedule && from_weights_alone && replica.schedule.rates.contains(&0.0) {
            return Err(Unsupported::Velocity.into());
        }
        if (self.recall == Recall::Reversed || self.tail > 0)
            && replica.schedule.momenta.contains(&0.0)
        {
            return Err(Unsupported::Momentum.into());
        }
        let inner = seen - self.tail;
        // Each step of a tail that is taken back takes a gradient.
        let mut gradients = self.tail.min(last);
        let slots = u32::from(replica.wants_schedule);
        let mut path = layout::Path {
            trained: counted("steps", steps)?,
            back: counted("steps", last)?,
            first: counted("steps", steps - last)?,
            seen_from: counted("steps", steps - seen)?,
            tail_from: counted("steps", inner)?,
            rate_scale: 1.0,
            ..layout::Path::default()
        };
        let floats = match self.recall {
            Recall::Tape => {
                let len = product([p, inner, 1 + slots as usize]);
                (path.kind, path.slots) = (0, slots);
                path.storage = arena.reserve::<f32>(len);
                len
            }
            Recall::Checkpoints { snapshots } => {
                if snapshots == 0 {
                    return Err(crate::Error::Range {
                        what: "number of snapshots",
                        value: 0.0,
                        least: 1.0,
                        greatest: f64::INFINITY,
                    }
                    .into());
                }
                // The sweep takes steps again, with what the optimizer remembers.
                let len = product([2, p, snapshots]);
                (path.kind, path.slots) = (1, 1);
                path.snapshots = counted("number of snapshots", snapshots)?;
                path.storage = arena.reserve::<f32>(len);
                path.marks = arena.reserve::<u32>(snapshots);
                if last > self.tail {
                    let again = Checkpoints::<f32>::least_recomputed(inner, snapshots);
                    gradients = gradients.saturating_add(again as usize);
                }
                len.saturating_add(snapshots)
            }
            Recall::Line => {
                path.kind = 2;
                0
            }
            Recall::LinePublished { rate_scale } => {
                if self.tail > 0 || self.last.is_some() {
                    return Err(Unsupported::Published.into());
                }
                let plan = crate::path::Plan::published(steps);
                (path.kind, path.spread) = (2, 1);
                path.back = counted("steps", plan.steps)?;
                path.rate_scale = rate_scale;
                0
            }
            Recall::Hats {
                intervals,
                spacing,
                levels,
            } => {
                let grid = Grid {
                    steps: inner,
                    intervals,
                    spacing,
                };
                grid.check()?;
                let rows = intervals + 1;
                path.kind = 3;
                path.intervals = counted("number of knots' intervals", intervals)?;
                path.levels = levels;
                // All of them are steps, which are counted.
                let knots = || -> Vec<u32> { (0..rows).map(|k| grid.step(k) as u32).collect() };
                path.knots = arena.write_with(rows, knots)?;
                path.factors = arena.write_with(product([3, rows]), || factors(&grid))?;
                let stored = match levels {
                    0 => {
                        let len = product([p, intervals]);
                        path.storage = arena.reserve::<f32>(len);
                        len
                    }
                    levels => {
                        let block = quantise::block(levels);
                        if block == 0 {
                            return Err(Unsupported::Levels(levels).into());
                        }
                        let words =
                            product([p.div_ceil(block), quantise::words(levels), intervals]);
                        path.codes = arena.reserve::<u32>(words);
                        words
                    }
                };
                stored.saturating_add(rows)
            }
            Recall::Reversed => {
                path.kind = 4;
                gradients = last;
                0
            }
            Recall::Nowhere => {
                path.back = 0;
                path.kind = 2;
                0
            }
        };
        let costs = Costs {
            floats,
            gradients,
            products: path.back as usize,
        };
        Ok((path, costs))
    }
}

/// Of hats: `u_0 .. u_K`, then the factors of `b`, then those of the row before.
fn factors(grid: &Grid) -> Vec<f32> {
    let rows = grid.intervals + 1;
    let mut factors = std::vec![0.0f32; 3 * rows];
    for k in 1..rows {
        let Elimination { u, by_b, by_last } = grid.eliminate(k, factors[k - 1]);
        (factors[k], factors[rows + k], factors[2 * rows + k]) = (u, by_b, by_last);
    }
    factors
}

/// Places strides and offsets of all epochs that so many steps see.
fn place_batches(
    arena: &mut Arena<'_>,
    batches: &Batches,
    steps: usize,
) -> Result<layout::Batches, Error> {
    let seen = product([batches.size, steps]);
    let epochs = seen.div_ceil(batches.examples.max(1));
    let walks = || -> Vec<u64> {
        let pair = |epoch| {
            let (stride, offset) = batches.permutation(epoch);
            [stride, offset]
        };
        (0..epochs as u64).flat_map(pair).collect()
    };
    Ok(layout::Batches {
        epochs: arena.write_with(product([2, epochs]), walks)?,
        size: counted("examples of a batch", batches.size)?,
        examples: counted("examples", batches.examples)?,
    })
}

impl Replica<'_> {
    pub(super) fn weights(&self) -> usize {
        Layout::Layers(self.widths).weights()
    }

    /// All that can be refused before a launch.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.steps == 0 {
            return Err(crate::Error::NoSteps.into());
        }
        if self.widths.len() < 2 || self.widths.contains(&0) || self.microbatch == 0 {
            return Err(crate::Error::Range {
                what: "number of widths, a width or a microbatch",
                value: self
                    .widths
                    .iter()
                    .copied()
                    .min()
                    .unwrap_or(0)
                    .min(self.microbatch) as f64,
                least: 1.0,
                greatest: f64::INFINITY,
            }
            .into());
        }
        if self.schedule.optimizer != Optimizer::HeavyBall {
            return Err(Unsupported::Optimizer.into());
        }
        self.schedule.check(self.weights(), self.steps)?;
        self.training.check("training", self.widths)?;
        self.validation.check("validation", self.widths)?;
        let hypers = self.training.hypers();
        check_equal(
            "hyperparameters of the validation loss",
            hypers,
            self.validation.hypers(),
        )?;
        check_len("h", self.h, hypers)?;
        if !all_finite(self.h) {
            return Err(crate::Error::NonFinite { what: "h", step: 0 }.into());
        }
        check_equal("initial weights", self.weights(), self.initial.weights())?;
        for batches in [&self.batches, &self.sweep_batches] {
            if batches.size == 0 || batches.examples == 0 {
                return Err(crate::Error::EmptyBatch.into());
            }
            check_equal(
                "examples of the batches",
                self.training.images.chosen.len(),
                batches.examples,
            )?;
        }
        check_index(
            "last example validated on",
            self.validated.wrapping_sub(1),
            self.validation.images.chosen.len(),
        )?;
        counted("weights", self.weights())?;
        counted("steps", self.steps)?;
        // A list's entry has an example's place beside a byte.
        let widest = self.widths.iter().copied().max().unwrap_or(0);
        for (what, width) in [
            ("256 times the examples of a piece of a batch", 256),
            ("numbers of a layer of a piece of a batch", widest),
        ] {
            counted(what, product([self.microbatch, width]))?;
        }
        Ok(())
    }

    /// Cuts all that it needs.
    pub(super) fn place(&self, arena: &mut Arena<'_>) -> Result<Placed, Error> {
        let (p, steps) = (self.weights(), self.steps);
        let (mut start, mut before) = (0, 0);
        let mut layers = Vec::with_capacity(self.widths.len());
        for pair in self.widths.windows(2) {
            layers.push(layout::Layer {
                inputs: counted("inputs of a layer", pair[0])?,
                outputs: counted("outputs of a layer", pair[1])?,
                start: counted("weights", start)?,
                before: counted("units", before)?,
            });
            start = Layout::Layers(pair).weights().saturating_add(start);
            before = pair[0].saturating_add(before);
        }
        let units = (self.widths.iter()).fold(0usize, |sum, width| sum.saturating_add(*width));
        let net = layout::Network {
            layers: arena.write(&layers)?,
            depth: counted("layers", layers.len())?,
            // No piece is larger than the batches are.
            microbatch: counted("examples of a piece of a batch", self.microbatch)?,
            weights: counted("weights", p)?,
            units: counted("units", units)?,
        };
        let training = self.training.place(arena)?;
        let validation = self.validation.place(arena)?;
        let Schedule {
            groups,
            rates,
            momenta,
            ..
        } = &self.schedule;
        let back = self.way.is_some();
        let (path, costs) = match &self.way {
            Some(way) => way.place(self, arena)?,
            None => {
                let nowhere = Way {
                    recall: Recall::Nowhere,
                    tail: 0,
                    last: None,
                };
                nowhere.place(self, arena)?
            }
        };
        let vector = |arena: &mut Arena<'_>| arena.reserve::<f32>(p);
        let (w, v, g) = (vector(arena), vector(arena), vector(arena));
        let [d_w, d_v, d_g] = if back {
            [(); 3].map(|()| vector(arena))
        } else {
            [0; 3]
        };
        let [spare_a, spare_b] = match (back, self.wants_schedule) {
            (true, true) => [(); 2].map(|()| vector(arena)),
            _ => [v, g],
        };
        let x = layout::Vectors {
            w,
            v,
            g,
            d_w,
            d_v,
            d_g,
            spare_a,
            spare_b,
            w0: arena.write_with(p, || {
                let mut w0 = std::vec![0.0f32; p];
                self.initial.fill(0, &mut w0);
                w0
            })?,
        };
        let scratch = self.place_scratch(arena, units)?;
        let (wanted, hypers) = (back && self.wants_schedule, self.training.hypers());
        let status = arena.write(&[layout::Status::default()])?;
        let replica = layout::Replica {
            net,
            training,
            validation,
            batches: place_batches(arena, &self.batches, steps)?,
            sweep_batches: place_batches(arena, &self.sweep_batches, steps)?,
            schedule: layout::Schedule {
                groups: place_groups(arena, groups, false)?,
                rates: arena.write(rates)?,
                momenta: arena.write(momenta)?,
                rates_len: counted("rates", rates.len())?,
                momenta_len: counted("momenta", momenta.len())?,
            },
            path,
            x,
            scratch,
            h: arena.write(self.h)?,
            losses: arena.reserve::<f32>(steps),
            valid_loss: arena.reserve::<f32>(1),
            d_h: arena.reserve::<f32>(hypers),
            d_rates: if wanted {
                arena.reserve::<f32>(rates.len())
            } else {
                0
            },
            d_momenta: if wanted {
                arena.reserve::<f32>(momenta.len())
            } else {
                0
            },
            status,
            arrived: arena.write(&[0u32; 4])?,
            steps: counted("steps", steps)?,
            validated: counted("examples validated on", self.validated)?,
        };
        Ok(Placed { replica, costs })
    }

    fn place_scratch(&self, arena: &mut Arena<'_>, units: usize) -> Result<layout::Scratch, Error> {
        let (p, n) = (self.weights(), self.microbatch);
        let inputs = self.widths[0];
        let losses = [&self.training, &self.validation];
        let lists = losses.iter().any(|loss| {
            matches!(loss.images.inputs, Inputs::Lists(..)) && loss.tuned != Tuned::Inputs
        });
        let learned = losses.iter().any(|loss| loss.tuned == Tuned::Inputs);
        let scaled = losses.iter().any(|loss| loss.scales.is_some());
        // The widest adjoint there is: of a layer's outputs, and of the inputs where they have one.
        let adjoints = if learned {
            self.widths
        } else {
            &self.widths[1..]
        };
        let widest = product([2, n, adjoints.iter().copied().max().unwrap_or(0)]);
        let penalties = losses.iter().map(|loss| match loss.penalty {
            Some(Strength::Fixed(..)) => 1,
            Some(Strength::Tuned(groups)) => groups.len(),
            _ => 0,
        });
        // Batches of more than a block are summed with two more vectors for each that they are summed into.
        let gradients = self
            .validated
            .max(self.batches.size)
            .max(self.sweep_batches.size)
            > BLOCK;
        let products = self.sweep_batches.size > BLOCK;
        let of_examples = losses.map(Loss::of_examples).into_iter().max();
        let sums = |arena: &mut Arena<'_>, wanted| {
            arena.reserve::<f32>(if wanted { of_examples.unwrap_or(0) } else { 0 })
        };
        let vector =
            |arena: &mut Arena<'_>, wanted| arena.reserve::<f32>(if wanted { p } else { 0 });
        let each = |arena: &mut Arena<'_>| arena.reserve::<f32>(n);
        let columns = |arena: &mut Arena<'_>| arena.reserve::<f32>(self.widths[1]);
        Ok(layout::Scratch {
            example: arena.reserve::<u32>(n),
            image: arena.reserve::<u32>(n),
            counts: arena.reserve::<u32>(if lists { inputs } else { 0 }),
            lists: arena.reserve::<u32>(if lists { product([inputs, n]) } else { 0 }),
            a: arena.reserve::<f32>(product([n, units])),
            r_a: arena.reserve::<f32>(product([n, units - inputs])),
            d: arena.reserve::<f32>(widest),
            d_before: arena.reserve::<f32>(widest),
            log_sums: each(arena),
            losses: each(arena),
            shares: each(arena),
            pulled: each(arena),
            shifted: columns(arena),
            r_shifted: columns(arena),
            sums: columns(arena),
            w: vector(arena, scaled),
            u: vector(arena, scaled),
            h_u: vector(arena, scaled),
            g: vector(arena, scaled),
            dropped: vector(
                arena,
                losses.iter().any(|loss| loss.drop_negative_curvature),
            ),
            penalties: arena.reserve::<f32>(penalties.max().unwrap_or(0)),
            block_g: vector(arena, gradients),
            rest_g: vector(arena, gradients),
            block_h_d: vector(arena, products),
            rest_h_d: vector(arena, products),
            block_d_h: sums(arena, gradients),
            rest_d_h: sums(arena, gradients),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::string::{String, ToString};

    use super::*;

    /// Weights of 0.
    struct Zeros(usize);

    impl InitialWeights<f32> for Zeros {
        fn fill(&self, _: usize, out: &mut [f32]) {
            out.fill(0.0);
        }

        fn weights(&self) -> usize {
            self.0
        }

        fn floats(&self) -> usize {
            0
        }
    }

    /// Hands a replica on whose network has these widths: three examples of two classes.
    pub(in crate::cuda) fn of_widths<T>(
        widths: &[usize],
        body: impl FnOnce(Replica<'_>) -> T,
    ) -> T {
        let weights = Layout::Layers(widths);
        let loss = Loss {
            images: Images {
                inputs: Inputs::Pixels(&[0; 6]),
                labels: &[0, 1, 1],
                width: 2,
                chosen: &[0, 1, 2],
                mean: 0.0,
            },
            tuned: Tuned::Nothing(0),
            scales: None,
            penalty: None,
            drop_negative_curvature: false,
        };
        let batches = Batches {
            seed: 1,
            examples: 3,
            size: 2,
        };
        body(Replica {
            widths,
            microbatch: 2,
            training: loss,
            validation: loss,
            validated: 3,
            h: &[],
            schedule: Schedule {
                groups: Groups::global(weights.weights()),
                optimizer: Optimizer::HeavyBall,
                rates: &[0.1],
                momenta: &[0.5],
            },
            batches,
            sweep_batches: batches,
            steps: 4,
            initial: &Zeros(weights.weights()),
            way: Some(Way {
                recall: Recall::Tape,
                tail: 0,
                last: None,
            }),
            wants_schedule: false,
        })
    }

    /// Bytes that a replica needs, or why it cannot be counted.
    fn bytes(replica: &Replica<'_>) -> Result<u64, String> {
        let mut arena = Arena::measure();
        let measured = replica
            .check()
            .and_then(|()| replica.place(&mut arena).map(|_| arena.used()));
        measured.map_err(|error| error.to_string())
    }

    const MOST: usize = layout::MOST as usize;

    #[test]
    fn a_size_that_no_kernel_counts_is_refused_with_the_size_and_the_limit() {
        let refused = |what: &str, value: usize, replica: &Replica<'_>| {
            let told = bytes(replica).expect_err(what);
            let value = (value as f64).to_string();
            for word in [what, &value, "2147483647"] {
                assert!(told.contains(word), "{what} {value}: {told}");
            }
        };
        of_widths(&[2, 3, 2], |small| {
            assert!(bytes(&small).is_ok());
            for huge in [MOST + 1, u32::MAX as usize, 1 << 32, usize::MAX] {
                let steps = Replica {
                    steps: huge,
                    ..small
                };
                refused("steps", huge, &steps);
                let batches = Batches {
                    size: huge,
                    ..small.batches
                };
                refused("examples of a batch", huge, &Replica { batches, ..small });
                let sweep_batches = batches;
                let sweep = Replica {
                    sweep_batches,
                    ..small
                };
                refused("examples of a batch", huge, &sweep);
                let way = Some(Way {
                    recall: Recall::Checkpoints { snapshots: huge },
                    tail: 0,
                    last: None,
                });
                refused("number of snapshots", huge, &Replica { way, ..small });
            }
            for microbatch in [1 << 23, 1 << 24, 1 << 32, (1 << 56) + 1, usize::MAX] {
                let piece = microbatch.saturating_mul(256);
                refused(
                    "a piece of a batch",
                    piece,
                    &Replica {
                        microbatch,
                        ..small
                    },
                );
            }
            // As many hyperparameters as are said would have to be there.
            for beside in [1, u32::MAX as usize, 1 << 32, usize::MAX] {
                let mut many = small;
                many.training.tuned = Tuned::Nothing(beside);
                many.validation.tuned = Tuned::Nothing(beside);
                many.training.scales = Some(Groups::global(17));
                many.validation.scales = many.training.scales;
                let told = bytes(&many).unwrap_err();
                let wanted = beside.saturating_add(1);
                assert_eq!(told, std::format!("h: {wanted} numbers wanted, 0 given"));
            }
        });
        for (hidden, weights) in [
            (1 << 29, 5 * (1 << 29) + 2),
            (1 << 31, 5 * (1 << 31) + 2),
            // Products of 32 bits, and of 64, that begin again at 0.
            (1 << 32, 5 * (1 << 32) + 2),
            (usize::MAX / 2, usize::MAX),
            (usize::MAX, usize::MAX),
        ] {
            of_widths(&[2, hidden, 2], |wide| refused("weights", weights, &wide));
        }
        // Weights that can be counted, and a batch whose numbers cannot.
        of_widths(&[2, 1 << 28, 2], |wide| {
            let microbatch = 9;
            refused(
                "a piece of a batch",
                microbatch << 28,
                &Replica { microbatch, ..wide },
            );
        });
    }

    #[test]
    fn memory_is_measured_in_full_up_to_the_last_byte_that_can_be_addressed() {
        let way = |recall| {
            Some(Way {
                recall,
                tail: 0,
                last: None,
            })
        };
        of_widths(&[2, 3, 2], |small| {
            // In numbers of four bytes: 17 weights a step.
            let steps = MOST;
            let tape = bytes(&Replica { steps, ..small }).unwrap();
            let least = 4 * 17 * MOST as u64;
            // Beside it the losses and the epochs' walks: of 3 examples, 2 a step, twice.
            let beside = 4 * MOST as u64 + 2 * 16 * (2 * MOST as u64).div_ceil(3);
            assert!(
                (least + beside..least + beside + 10_000).contains(&tape),
                "{tape}"
            );
            let snapshots = way(Recall::Checkpoints { snapshots: MOST });
            let kept = bytes(&Replica {
                way: snapshots,
                ..small
            })
            .unwrap();
            let least = 4 * (2 * 17 + 1) * MOST as u64;
            assert!((least..least + 10_000).contains(&kept), "{kept}");
        });
        of_widths(&[2, 1 << 28, 2], |wide| {
            let (steps, microbatch) = (MOST, 1);
            let weights = 5 * (1 << 28) + 2u64;
            let tape = Replica {
                steps,
                microbatch,
                ..wide
            };
            // 4 bytes for each of 2^30.3 weights, 2^31 times, with and without velocities.
            let least = u128::from(weights) * 4 * MOST as u128;
            assert!(u64::try_from(least).is_ok() && u64::try_from(2 * least).is_err());
            assert!(u128::from(bytes(&tape).unwrap()) > least);
            let wants_schedule = true;
            let both = Replica {
                wants_schedule,
                ..tape
            };
            assert_eq!(bytes(&both), Ok(u64::MAX));
            let snapshots = 100;
            let way = way(Recall::Checkpoints { snapshots });
            let needed = bytes(&Replica {
                way,
                steps: 4,
                ..tape
            })
            .unwrap();
            assert!(needed > 2 * 4 * 100 * weights, "{needed}");
            assert!(needed < 2 * 4 * 120 * weights, "{needed}");
        });
    }

    #[test]
    fn a_layer_begins_where_those_before_it_end() {
        of_widths(&[2, 3, 5, 2], |replica| {
            let mut arena = Arena::measure();
            let placed = replica.place(&mut arena).unwrap().replica;
            assert_eq!((placed.net.weights, placed.net.units), (9 + 20 + 12, 12));
            assert_eq!(placed.net.depth, 3);
        });
    }
}
