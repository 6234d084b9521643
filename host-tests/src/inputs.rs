//! Images as a network reads them: whole, or by the pixels that are not black.
//!
//! The inputs are the same numbers. Sparse ones spare the first layer most of its work; dense ones are
//! what other programs read, for a fair comparison of speed.

use drmad::models::{Examples, Pixels, SparsePixels};
use drmad::{Arithmetic, Error, Scalar};

use crate::data::Split;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Inputs {
    /// The pixels that are not black, the mean moved into the first layer's biases.
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
}

/// Calls the method of whichever images they are.
macro_rules! each {
    ($self:ident, $images:ident => $call:expr) => {
        match $self {
            Images::Sparse($images) => $call,
            Images::Dense($images) => $call,
        }
    };
}

impl Examples for Images<'_> {
    fn len(&self) -> usize {
        each!(self, images => images.len())
    }

    fn inputs(&self) -> usize {
        each!(self, images => images.inputs())
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        each!(self, images => images.gather::<A, S>(batch, x))
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        each!(self, images => images.label(i))
    }

    fn sparse(&self) -> Option<f32> {
        each!(self, images => images.sparse())
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        each!(self, images => images.indices(i))
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        each!(self, images => images.values::<A, S>(i, values))
    }
}
