//! Where a classifier's examples come from, and what of them is a hyperparameter.
//!
//! To a model an example is three parts: inputs `x`, a target `q` (a number a class) and a weight
//! `l`. Plain examples have inputs that are [gathered](Examples::gather), the target `e_y` of their
//! class `y` and weight 1. Others [give](Examples::gives) a part themselves, as a function of the
//! hyperparameters `h`: those of [`Weighted`](super::Weighted), [`SoftLabels`](super::SoftLabels),
//! [`Smoothed`](super::Smoothed) and [`LearnedInputs`](super::LearnedInputs).
//!
//! Inputs that are mostly zero, but for a mean that is subtracted from all of them, also come as
//! [sparse](Examples::sparse) rows: those of [`SparsePixels`](super::SparsePixels).
//!
//! Whatever they give must not depend on the model's weights. Then one linear map, the
//! [pull-back](Examples::pull) from adjoints of the parts to adjoints of `h`, serves the gradient by
//! `h` and, fed with the derivatives of those adjoints along a direction of the weights, `M d`.

use crate::error::{Error, check_len};
use crate::kernels::activation::map;
use crate::pieces::piece_mut;
use crate::scalar::{Arithmetic, Scalar};

/// The parts of an example that are given by methods of their own; the others are plain.
///
/// ```
/// use drmad::models::{Examples, Features, Given, Weighted};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// assert_eq!(data.gives(), Given::default());
/// assert_eq!(Weighted { inner: data }.gives(), Given { weights: true, ..Given::default() });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Given {
    /// By [`Examples::inputs_at`]; otherwise by [`Examples::gather`].
    pub inputs: bool,
    /// By [`Examples::target`], for this many classes; otherwise 1 for the label's, 0 for others.
    pub targets: Option<usize>,
    /// By [`Examples::weight`]; otherwise 1.
    pub weights: bool,
}

/// The derivative of a loss by a part of one example.
///
/// ```
/// use drmad::{models::{Adjoint, Examples, Features, Weighted}, Fused};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let (h, mut d_h) = ([1.0f32, 3.0], [0.5, 0.5]);
/// Weighted { inner: data }.pull::<Fused, _>(&h, 1, Adjoint::Weight(2.0), &mut d_h)?;
/// assert_eq!(d_h, [0.5, 2.5]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Adjoint<'a, S> {
    /// By its inputs.
    Inputs(&'a [S]),
    /// By its target for this class.
    Target(usize, S),
    /// By its weight.
    Weight(S),
}

/// A numbered set of labelled examples. Implement it to stream them from wherever they are: the
/// first four methods are all that plain examples need. Models call [`target`](Self::target),
/// [`weight`](Self::weight) and [`pull`](Self::pull) within [`run`](crate::kernels::dispatch::run), so those of
/// one's own that compute are best `#[inline(always)]`.
pub trait Examples {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers in one example.
    fn inputs(&self) -> usize;

    /// Writes the inputs of the examples of `batch`, one after another, to `x`.
    ///
    /// # Errors
    /// [`Error::Index`] for an example that does not exist, [`Error::Length`] where `x` is not
    /// batch x inputs long.
    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error>;

    /// The class of example `i`.
    ///
    /// # Errors
    /// [`Error::Index`] for an example that does not exist.
    fn label(&self, i: u32) -> Result<usize, Error>;

    /// The mean `m` of examples that also come as sparse rows `p`, with inputs `x = p - m`. A model that
    /// finds one here reads the rows and does not gather. `None` where the examples
    /// [give](Self::gives) their inputs.
    fn sparse(&self) -> Option<f32> {
        None
    }

    /// Where the sparse row of example `i` is not zero, ascending.
    ///
    /// # Errors
    /// [`Error::Index`] for an example that does not exist, [`Error::Unsupported`] without sparse rows.
    fn indices(&self, _i: u32) -> Result<&[u16], Error> {
        Err(NO_ROWS)
    }

    /// Writes the values that stand at its indices to the start of `values`.
    ///
    /// # Errors
    /// As [`indices`](Self::indices); [`Error::Length`] where `values` is too short.
    fn values<A: Arithmetic, S: Scalar>(&self, _i: u32, _values: &mut [S]) -> Result<(), Error> {
        Err(NO_ROWS)
    }

    /// The number `H` of hyperparameters in the examples.
    fn hypers(&self) -> usize {
        0
    }

    /// The parts that the following methods give. A model asks them for nothing else.
    fn gives(&self) -> Given {
        Given::default()
    }

    /// As [`gather`](Self::gather), at these hyperparameters.
    ///
    /// # Errors
    /// As [`gather`](Self::gather); [`Error::Length`] where `h` is of another length.
    fn inputs_at<A: Arithmetic, S: Scalar>(
        &self,
        _h: &[S],
        batch: &[u32],
        x: &mut [S],
    ) -> Result<(), Error> {
        self.gather::<A, S>(batch, x)
    }

    /// The target of example `i` for a class.
    ///
    /// # Errors
    /// [`Error::Index`] for an example or a class that does not exist, [`Error::Length`] where `h`
    /// is of another length.
    #[inline(always)]
    fn target<A: Arithmetic, S: Scalar>(&self, _h: &[S], i: u32, class: usize) -> Result<S, Error> {
        Ok(if self.label(i)? == class {
            S::ONE
        } else {
            S::ZERO
        })
    }

    /// The weight of example `i`.
    ///
    /// # Errors
    /// [`Error::Index`] for an example that does not exist, [`Error::Length`] where `h` is of
    /// another length.
    #[inline(always)]
    fn weight<A: Arithmetic, S: Scalar>(&self, _h: &[S], _i: u32) -> Result<S, Error> {
        Ok(S::ONE)
    }

    /// Adds to `d_h` (`H`) the derivative by `h` that an adjoint of a part of example `i` stands
    /// for.
    ///
    /// # Errors
    /// [`Error::Index`] for an example or a class that does not exist, [`Error::Length`] where `h`,
    /// `d_h` or the adjoint are of another length.
    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        _h: &[S],
        _i: u32,
        _by: Adjoint<'_, S>,
        _d_h: &mut [S],
    ) -> Result<(), Error> {
        Ok(())
    }

    /// Calls `visit` with the name and the length of each block of `h`, in their order.
    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        if self.hypers() > 0 {
            visit("examples", self.hypers());
        }
    }
}

const NO_ROWS: Error = Error::Unsupported {
    what: "these examples have no sparse rows: gather them",
};

/// The piece of example `i` in a table of rows.
#[inline]
pub(crate) fn row<T>(table: &[T], width: usize, i: usize) -> Result<&[T], Error> {
    let piece = i
        .checked_mul(width)
        .and_then(|start| table.get(start..start.checked_add(width)?));
    piece.ok_or(Error::Index {
        what: "example",
        index: i,
        len: table.len() / width.max(1),
    })
}

/// The same to write to.
#[inline]
pub(crate) fn row_mut<T>(table: &mut [T], width: usize, i: usize) -> Result<&mut [T], Error> {
    row(table, width, i)?;
    Ok(piece_mut(table, i.saturating_mul(width), width))
}

/// The image that is example `i` of a chosen set.
#[inline]
pub(super) fn chosen_image(chosen: &[u32], i: u32) -> Result<usize, Error> {
    match chosen.get(i as usize) {
        Some(image) => Ok(*image as usize),
        None => Err(Error::Index {
            what: "example",
            index: i as usize,
            len: chosen.len(),
        }),
    }
}

/// The class of image `i`.
#[inline]
pub(super) fn label_of(labels: &[u8], i: usize) -> Result<usize, Error> {
    match labels.get(i) {
        Some(label) => Ok(usize::from(*label)),
        None => Err(Error::Index {
            what: "label",
            index: i,
            len: labels.len(),
        }),
    }
}

/// Images of bytes, a chosen set of them: an input is `byte / 255 - mean`, computed as
/// `mul_add(byte, 1 / 255, -mean)`.
///
/// ```
/// use drmad::{models::{Examples, Pixels}, Fused};
/// let two = Pixels { bytes: &[0, 255, 51, 0], labels: &[0, 1], width: 2, chosen: &[1], mean: 0.0 };
/// let mut x = [0.0f32; 2];
/// two.gather::<Fused, _>(&[0], &mut x)?;
/// assert_eq!((two.len(), x[1], two.label(0)?), (1, 0.0, 1));
/// assert!((x[0] - 0.2).abs() < 1e-7);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// All images, one after another.
    pub bytes: &'a [u8],
    /// Their classes.
    pub labels: &'a [u8],
    /// Bytes of one image.
    pub width: usize,
    /// The images that make up the set: example `i` is image `chosen[i]`.
    pub chosen: &'a [u32],
    /// What is subtracted from each input.
    pub mean: f32,
}

impl Pixels<'_> {
    fn image(&self, i: u32) -> Result<usize, Error> {
        chosen_image(self.chosen, i)
    }

    /// The bytes of example `i`.
    pub(crate) fn row(&self, i: u32) -> Result<&[u8], Error> {
        row(self.bytes, self.width, self.image(i)?)
    }
}

impl Examples for Pixels<'_> {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn inputs(&self) -> usize {
        self.width
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        check_len("x", x, batch.len() * self.width)?;
        let (unit, mean) = (S::from_f32(1.0 / 255.0), S::from_f32(-self.mean));
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(self.width.max(1))) {
            let bytes = self.row(*i)?;
            map(
                bytes,
                x,
                #[inline(always)]
                move |byte| A::mul_add(S::from_f32(f32::from(byte)), unit, mean),
            );
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        label_of(self.labels, self.image(i)?)
    }
}

/// Examples of f32 features.
///
/// ```
/// use drmad::models::{Examples, Features};
/// let one = Features { x: &[0.5, 2.0], labels: &[3], width: 2 };
/// assert_eq!((one.len(), one.label(0)?), (1, 3));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The features, one example after another.
    pub x: &'a [f32],
    /// The classes.
    pub labels: &'a [u8],
    /// Features of one example.
    pub width: usize,
}

impl Features<'_> {
    /// The features of example `i`.
    pub(crate) fn row(&self, i: u32) -> Result<&[f32], Error> {
        row(self.x, self.width, i as usize)
    }
}

impl Examples for Features<'_> {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn inputs(&self) -> usize {
        self.width
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        check_len("x", x, batch.len() * self.width)?;
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(self.width.max(1))) {
            for (x, feature) in x.iter_mut().zip(self.row(*i)?) {
                *x = S::from_f32(*feature);
            }
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        label_of(self.labels, i as usize)
    }
}
