//! A training as a device takes it: what [`InnerProblem`](crate::train::InnerProblem) and its objective are made of, said in
//! numbers, since a device runs no objective of the host's.
//!
//! Refused: everything that is not written in `source/*.cuh`, by name and before anything is launched. What is
//! not finite or does not fit is refused as on the host.

use super::layout::{counted, product};
use super::{Error, Unsupported};
use crate::error::{check_equal, check_index, check_len};
use crate::group::{Groups, Layout};
use crate::kernels::reduce::all_finite;
use crate::models::SparseImages;
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
}

impl Loss<'_> {
    /// Hyperparameters of the examples.
    pub(super) fn of_examples(&self) -> usize {
        match self.tuned {
            Tuned::Nothing(beside) => beside,
            Tuned::Weights => self.images.chosen.len(),
            Tuned::Inputs => product([self.images.chosen.len(), self.images.width]),
        }
    }

    pub(super) fn hypers(&self) -> usize {
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
}

#[cfg(test)]
pub(super) mod tests {
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
}
