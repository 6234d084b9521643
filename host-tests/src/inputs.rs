//! Images as a network reads them: whole, or by the pixels that are not black.
//!
//! The inputs are the same numbers. Sparse ones spare the first layer most of its work; dense ones are
//! what other programs read, for a fair comparison of speed.

use drmad::models::{Examples, Pixels, SparsePixels};
use drmad::training::{Input, Source, Target};
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

    /// Whether they come as the pixels that are not black.
    pub const fn is_sparse(&self) -> bool {
        matches!(self, Images::Sparse(_))
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
macro_rules! images {
    ($self:ident, $images:ident => $call:expr) => {
        match $self {
            Images::Sparse($images) => $call,
            Images::Dense($images) => $call,
        }
    };
}

impl Examples for Images<'_> {
    fn len(&self) -> usize {
        images!(self, images => Examples::len(images))
    }

    fn inputs(&self) -> usize {
        images!(self, images => Examples::inputs(images))
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        images!(self, images => images.gather::<A, S>(batch, x))
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        images!(self, images => images.label(i))
    }

    fn sparse(&self) -> Option<f32> {
        images!(self, images => Examples::sparse(images))
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        images!(self, images => images.indices(i))
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        images!(self, images => images.values::<A, S>(i, values))
    }
}

impl Source for Images<'_> {
    fn len(&self) -> usize {
        images!(self, images => Source::len(images))
    }

    fn inputs(&self) -> usize {
        images!(self, images => Source::inputs(images))
    }

    fn sparse(&self) -> Option<f32> {
        images!(self, images => Source::sparse(images))
    }

    fn input(&self, i: u32) -> Result<Input<'_>, Error> {
        images!(self, images => images.input(i))
    }

    fn target(&self, i: u32) -> Result<Target<'_>, Error> {
        images!(self, images => Source::target(images, i))
    }
}
