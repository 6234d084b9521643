//! Images as a network reads them: whole, or by the pixels that are not black.
//!
//! The inputs are the same numbers. Sparse ones spare the first layer most of its work; dense ones are
//! what other programs read, for a fair comparison of speed.

use drmad::models::{
    Adjoint, Beside, Examples, Given, LearnedInputs, Pixels, SparsePixels, Weighted,
};
use drmad::{Arithmetic, Error, Scalar};
use serde::{Deserialize, Serialize};

use crate::data::Split;

/// Which of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Inputs {
    /// The pixels that are not black, the mean moved into the first layer's biases.
    #[default]
    Sparse,
    /// All pixels.
    Dense,
}

/// A chosen set of a split's images.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// The pixels that are not black.
    Sparse(SparsePixels<'a>),
    /// All pixels.
    Dense(Pixels<'a>),
}

impl<'a> Images<'a> {
    /// The images of a split, none of them chosen; `mean` is subtracted from inputs.
    ///
    /// # Errors
    /// Images too large to be listed.
    pub fn new(inputs: Inputs, split: &'a Split, mean: f32) -> Result<Self, Error> {
        let (labels, chosen) = (&split.labels[..], &[][..]);
        Ok(match inputs {
            Inputs::Sparse => Images::Sparse(SparsePixels {
                images: split.lists()?,
                labels,
                chosen,
                mean,
            }),
            Inputs::Dense => Images::Dense(Pixels {
                bytes: &split.pixels,
                width: split.width(),
                labels,
                chosen,
                mean,
            }),
        })
    }

    /// The same with these of them chosen.
    pub const fn choose(mut self, set: &'a [u32]) -> Self {
        match &mut self {
            Images::Sparse(SparsePixels { chosen, .. }) | Images::Dense(Pixels { chosen, .. }) => {
                *chosen = set;
            }
        }
        self
    }

    /// The same with other labels, one for each image of the split.
    pub const fn label_as(mut self, all: &'a [u8]) -> Self {
        match &mut self {
            Images::Sparse(SparsePixels { labels, .. }) | Images::Dense(Pixels { labels, .. }) => {
                *labels = all;
            }
        }
        self
    }
}

/// Calls the method of whichever images they are.
macro_rules! each {
    ($self:ident, $kind:ident: $($variant:ident)*, $images:ident => $call:expr) => {
        match $self {
            $($kind::$variant($images) => $call,)*
        }
    };
}

macro_rules! images {
    ($self:ident, $images:ident => $call:expr) => {
        each!($self, Images: Sparse Dense, $images => $call)
    };
}

impl Examples for Images<'_> {
    fn len(&self) -> usize {
        images!(self, images => images.len())
    }

    fn inputs(&self) -> usize {
        images!(self, images => images.inputs())
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        images!(self, images => images.gather::<A, S>(batch, x))
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        images!(self, images => images.label(i))
    }

    fn sparse(&self) -> Option<f32> {
        images!(self, images => images.sparse())
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        images!(self, images => images.indices(i))
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        images!(self, images => images.values::<A, S>(i, values))
    }
}

/// Images and what of them is tuned.
#[derive(Clone, Copy, Debug)]
pub enum Tuned<'a> {
    /// Nothing; the images may lie beside hyperparameters of others.
    Nothing(Beside<Images<'a>>),
    /// A weight for each.
    Weights(Weighted<Images<'a>>),
    /// Their pixels.
    Pixels(LearnedInputs<Images<'a>>),
}

macro_rules! tuned {
    ($self:ident, $images:ident => $call:expr) => {
        each!($self, Tuned: Nothing Weights Pixels, $images => $call)
    };
}

impl Examples for Tuned<'_> {
    fn len(&self) -> usize {
        tuned!(self, images => images.len())
    }

    fn inputs(&self) -> usize {
        tuned!(self, images => images.inputs())
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        tuned!(self, images => images.gather::<A, S>(batch, x))
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        tuned!(self, images => images.label(i))
    }

    fn sparse(&self) -> Option<f32> {
        tuned!(self, images => images.sparse())
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        tuned!(self, images => images.indices(i))
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        tuned!(self, images => images.values::<A, S>(i, values))
    }

    fn hypers(&self) -> usize {
        tuned!(self, images => images.hypers())
    }

    fn gives(&self) -> Given {
        tuned!(self, images => images.gives())
    }

    fn inputs_at<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        batch: &[u32],
        x: &mut [S],
    ) -> Result<(), Error> {
        tuned!(self, images => images.inputs_at::<A, S>(h, batch, x))
    }

    fn target<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32, class: usize) -> Result<S, Error> {
        tuned!(self, images => images.target::<A, S>(h, i, class))
    }

    fn weight<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32) -> Result<S, Error> {
        tuned!(self, images => images.weight::<A, S>(h, i))
    }

    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        tuned!(self, images => images.pull::<A, S>(h, i, by, d_h))
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        tuned!(self, images => images.visit_blocks(visit));
    }
}
