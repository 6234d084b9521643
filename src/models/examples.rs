//! Where a classifier's examples come from.

use crate::error::{Error, exactly};
use crate::kernels::activation::map;
use crate::scalar::{Arithmetic, Scalar};

/// A numbered set of labelled examples. Implement it to stream them from wherever they are.
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
}

/// The piece of example `i` in a table of rows.
fn row<T>(table: &[T], width: usize, i: usize) -> Result<&[T], Error> {
    let piece = i
        .checked_mul(width)
        .and_then(|start| table.get(start..start.checked_add(width)?));
    piece.ok_or(Error::Index {
        what: "example",
        index: i,
        len: table.len() / width.max(1),
    })
}

fn label_of(labels: &[u8], i: usize) -> Result<usize, Error> {
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
        match self.chosen.get(i as usize) {
            Some(image) => Ok(*image as usize),
            None => Err(Error::Index {
                what: "example",
                index: i as usize,
                len: self.chosen.len(),
            }),
        }
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
        exactly("x", x, batch.len() * self.width)?;
        let (unit, mean) = (S::from_f32(1.0 / 255.0), S::from_f32(-self.mean));
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(self.width.max(1))) {
            let bytes = row(self.bytes, self.width, self.image(*i)?)?;
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

impl Examples for Features<'_> {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn inputs(&self) -> usize {
        self.width
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        exactly("x", x, batch.len() * self.width)?;
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(self.width.max(1))) {
            for (x, feature) in x.iter_mut().zip(row(self.x, self.width, *i as usize)?) {
                *x = S::from_f32(*feature);
            }
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        label_of(self.labels, i as usize)
    }
}
