//! A training as the device takes it: what [`Run`](crate::train::Run) and its objective are made of, said in
//! numbers, since a device runs no objective of the host's.
//!
//! Refused: everything that is not written in `source/*.cuh`, by name and before anything is launched. What is
//! not finite or does not fit is refused as on the host.

use std::vec::Vec;

use super::arena::Arena;
use super::layout;
use super::{Error, Unsupported};
use crate::error::{exactly, exists, same};
use crate::group::{Groups, Layout};
use crate::kernels::quantise;
use crate::kernels::reduce::all_finite;
use crate::models::{BLOCK, SparseImages};
use crate::path::{Checkpoints, Elimination, Grid};
use crate::random::{Batches, Origin};
use crate::schedule::{Rule, Schedule};
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
    /// Whether products of negative curvature are dropped ([`Psd`](crate::wrap::Psd), outermost).
    pub psd: bool,
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
    /// No way back at all: the direct term alone.
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
    pub chunk: usize,
    /// The training loss.
    pub training: Loss<'a>,
    /// The validation loss, of as many hyperparameters.
    pub outside: Loss<'a>,
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
    pub origin: &'a (dyn Origin<f32> + Sync),
    /// The way back; none for a training alone.
    pub way: Option<Way>,
    /// Whether the derivatives by rates and momenta are wanted.
    pub wants_schedule: bool,
}

/// What a way back takes.
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

/// Refuses what a device's index cannot count.
fn counted(what: &'static str, count: usize) -> Result<u32, Error> {
    u32::try_from(count).map_err(|_| {
        crate::Error::Range {
            what,
            value: count as f64,
            least: 0.0,
            greatest: f64::from(u32::MAX),
        }
        .into()
    })
}

impl Images<'_> {
    fn check(&self, what: &'static str, widths: &[usize]) -> Result<(), Error> {
        let inputs = widths.first().copied().unwrap_or(0);
        same("inputs of the first layer", self.width, inputs)?;
        let count = self.labels.len();
        let len = count.saturating_mul(self.width);
        match &self.inputs {
            Inputs::Pixels(pixels) => exactly("pixels", pixels, len)?,
            Inputs::Features(features) => exactly("features", features, len)?,
            Inputs::Lists(pixels, lists) => {
                exactly("pixels", pixels, len)?;
                same("images of the lists", count, lists.len())?;
                same("inputs of the lists", self.width, lists.width())?;
            }
        }
        let classes = widths.last().copied().unwrap_or(0);
        for image in self.chosen {
            let image = *image as usize;
            exists("image", image, count)?;
            exists("class", usize::from(self.labels[image]), classes)?;
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
            count: self.chosen.len() as u32,
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
            layout::Block {
                start: block.start as u32,
                rows: rows as u32,
                columns: columns as u32,
                hyper: hyper.map_or(-1, |hyper| hyper as i32),
            }
        })
        .collect();
    Ok(layout::Groups {
        count: blocks.len() as u32,
        hypers: groups.len() as u32,
        blocks: arena.write(&blocks)?,
    })
}

impl Loss<'_> {
    /// Hyperparameters of the examples.
    fn of_examples(&self) -> usize {
        match self.tuned {
            Tuned::Nothing(beside) => beside,
            Tuned::Weights => self.images.chosen.len(),
            Tuned::Inputs => self.images.chosen.len() * self.images.width,
        }
    }

    fn hypers(&self) -> usize {
        let scales = self.scales.map_or(0, |groups| groups.len());
        let penalty = match self.penalty {
            None | Some(Strength::Fixed(..)) => 0,
            Some(Strength::Tuned(groups) | Strength::Off(groups)) => groups.len(),
        };
        self.of_examples() + scales + penalty
    }

    fn check(&self, what: &'static str, widths: &[usize]) -> Result<(), Error> {
        self.images.check(what, widths)?;
        let weights = Layout::Layers(widths).weights();
        let penalised = match &self.penalty {
            Some(Strength::Fixed(_, groups) | Strength::Tuned(groups) | Strength::Off(groups)) => {
                Some(groups)
            }
            None => None,
        };
        for groups in self.scales.iter().chain(penalised) {
            same("weights of the groups", weights, groups.weights())?;
        }
        Ok(())
    }

    fn place(&self, arena: &mut Arena<'_>) -> Result<layout::Loss, Error> {
        let (penalty, coefficient, penalised) = match &self.penalty {
            None | Some(Strength::Off(_)) => (0, 0.0, None),
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
            psd: u32::from(self.psd),
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
        let slots = usize::from(replica.wants_schedule);
        let mut path = layout::Path {
            trained: counted("steps", steps)?,
            back: last as u32,
            first: (steps - last) as u32,
            seen_from: (steps - seen) as u32,
            tail_from: inner as u32,
            rate_scale: 1.0,
            ..layout::Path::default()
        };
        let floats = match self.recall {
            Recall::Tape => {
                let len = p * inner * (1 + slots);
                (path.kind, path.slots) = (0, slots as u32);
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
                // The sweep takes steps again, with what the rule remembers.
                let len = 2 * p * snapshots;
                (path.kind, path.slots) = (1, 1);
                path.snapshots = counted("number of snapshots", snapshots)?;
                path.storage = arena.reserve::<f32>(len);
                path.marks = arena.reserve::<u32>(snapshots);
                if last > self.tail {
                    let again = Checkpoints::<f32>::least_recomputed(inner, snapshots);
                    gradients += again as usize;
                }
                len + snapshots
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
                path.back = plan.steps as u32;
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
                let knots: Vec<u32> = (0..=intervals).map(|k| grid.step(k) as u32).collect();
                let rows = intervals + 1;
                // u_0 .. u_K, then the factors of b, then those of the row before.
                let mut factors = std::vec![0.0f32; 3 * rows];
                for k in 1..rows {
                    let Elimination { u, by_b, by_last } = grid.eliminate(k, factors[k - 1]);
                    (factors[k], factors[rows + k], factors[2 * rows + k]) = (u, by_b, by_last);
                }
                path.kind = 3;
                path.intervals = intervals as u32;
                path.levels = levels;
                path.knots = arena.write(&knots)?;
                path.factors = arena.write(&factors)?;
                rows + match levels {
                    0 => {
                        path.storage = arena.reserve::<f32>(p * intervals);
                        p * intervals
                    }
                    levels => {
                        let block = quantise::block(levels);
                        if block == 0 {
                            return Err(Unsupported::Levels(levels).into());
                        }
                        let words = p.div_ceil(block) * quantise::words(levels) * intervals;
                        path.codes = arena.reserve::<u32>(words);
                        words
                    }
                }
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

/// Strides and offsets of all epochs that so many steps see.
fn epochs(batches: &Batches, steps: usize) -> Vec<u64> {
    let seen = (batches.size as u64).saturating_mul(steps as u64);
    let epochs = seen.div_ceil(batches.examples.max(1) as u64);
    let pair = |epoch| {
        let (stride, offset) = batches.walk(epoch);
        [stride, offset]
    };
    (0..epochs).flat_map(pair).collect()
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
        if self.widths.len() < 2 || self.widths.contains(&0) || self.chunk == 0 {
            return Err(crate::Error::Range {
                what: "number of widths, a width or a chunk",
                value: self
                    .widths
                    .iter()
                    .copied()
                    .min()
                    .unwrap_or(0)
                    .min(self.chunk) as f64,
                least: 1.0,
                greatest: f64::INFINITY,
            }
            .into());
        }
        if self.schedule.rule != Rule::HeavyBall {
            return Err(Unsupported::Rule.into());
        }
        self.schedule.check(self.weights(), self.steps)?;
        self.training.check("training", self.widths)?;
        self.outside.check("validation", self.widths)?;
        let hypers = self.training.hypers();
        same(
            "hyperparameters of the validation loss",
            hypers,
            self.outside.hypers(),
        )?;
        exactly("h", self.h, hypers)?;
        if !all_finite(self.h) {
            return Err(crate::Error::NonFinite { what: "h", step: 0 }.into());
        }
        same(
            "weights of the origin",
            self.weights(),
            self.origin.weights(),
        )?;
        for batches in [&self.batches, &self.sweep_batches] {
            if batches.size == 0 || batches.examples == 0 {
                return Err(crate::Error::EmptyBatch.into());
            }
            same(
                "examples of the batches",
                self.training.images.chosen.len(),
                batches.examples,
            )?;
            counted("examples seen", batches.size.saturating_mul(self.steps))?;
        }
        exists(
            "last example validated on",
            self.validated.wrapping_sub(1),
            self.outside.images.chosen.len(),
        )?;
        // A list's entry has an example's place beside a byte.
        counted("weights", self.weights().saturating_mul(2))?;
        counted("a piece of a batch", self.chunk.saturating_mul(256))?;
        Ok(())
    }

    /// Cuts all that it needs.
    pub(super) fn place(&self, arena: &mut Arena<'_>) -> Result<Placed, Error> {
        let (p, steps) = (self.weights(), self.steps);
        let layers: Vec<layout::Layer> = (1..self.widths.len())
            .map(|l| layout::Layer {
                inputs: self.widths[l - 1] as u32,
                outputs: self.widths[l] as u32,
                start: Layout::Layers(&self.widths[..l]).weights() as u32,
                before: self.widths[..l - 1].iter().sum::<usize>() as u32,
            })
            .collect();
        let units: usize = self.widths.iter().sum();
        let net = layout::Network {
            layers: arena.write(&layers)?,
            depth: layers.len() as u32,
            // No piece is larger than the batches are.
            chunk: self.chunk as u32,
            weights: counted("weights", p)?,
            units: units as u32,
        };
        let training = self.training.place(arena)?;
        let outside = self.outside.place(arena)?;
        let batches = |arena: &mut Arena<'_>, batches: &Batches| -> Result<_, Error> {
            let epochs = epochs(batches, steps);
            Ok(layout::Batches {
                epochs: arena.write(&epochs)?,
                size: batches.size as u32,
                examples: batches.examples as u32,
            })
        };
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
                self.origin.fill(0, &mut w0);
                w0
            })?,
        };
        let scratch = self.place_scratch(arena, units)?;
        let (wanted, hypers) = (back && self.wants_schedule, self.training.hypers());
        let status = arena.write(&[layout::Status::default()])?;
        let replica = layout::Replica {
            net,
            training,
            outside,
            batches: batches(arena, &self.batches)?,
            sweep_batches: batches(arena, &self.sweep_batches)?,
            schedule: layout::Schedule {
                groups: place_groups(arena, groups, false)?,
                rates: arena.write(rates)?,
                momenta: arena.write(momenta)?,
                rates_len: rates.len() as u32,
                momenta_len: momenta.len() as u32,
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
            validated: self.validated as u32,
        };
        Ok(Placed { replica, costs })
    }

    fn place_scratch(&self, arena: &mut Arena<'_>, units: usize) -> Result<layout::Scratch, Error> {
        let (p, n) = (self.weights(), self.chunk);
        let inputs = self.widths[0];
        let losses = [&self.training, &self.outside];
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
        let widest = 2 * n * adjoints.iter().copied().max().unwrap_or(0);
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
            lists: arena.reserve::<u32>(if lists { inputs * n } else { 0 }),
            a: arena.reserve::<f32>(n * units),
            r_a: arena.reserve::<f32>(n * (units - inputs)),
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
            dropped: vector(arena, losses.iter().any(|loss| loss.psd)),
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
