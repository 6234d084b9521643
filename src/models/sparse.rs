//! Images by their bytes that are not zero.
//!
//! Four fifths of the pixels of a handwritten digit are black. A list of the others, three bytes for
//! each, is smaller than the image and spares a network most of the work of its first layer
//! ([`kernels::sparse`](crate::kernels::sparse)). It is made once, into the caller's buffers, or kept in
//! read-only memory.
//!
//! Order of arithmetic: a value is `byte (1 / 255)`, the very bits that [`Pixels`](super::Pixels) of
//! mean 0 have.
//!
//! Refused: images of more than 65,536 bytes; lists whose indices do not ascend.

use core::hint::black_box;

use super::Examples;
use super::examples::{chosen_image, label_of};
use crate::error::{Error, check_len, check_range, cut};
use crate::kernels::activation::map;
use crate::kernels::dispatch::run;
use crate::pieces::{piece, split_mut};
use crate::scalar::{Arithmetic, Scalar};

/// The bytes of images that are not zero, and where they stand.
///
/// ```
/// use drmad::models::SparseImages;
/// let bytes = [0, 7, 9, 0, 0, 0, 5, 0];
/// let n = SparseImages::required_len(&bytes);
/// let (mut starts, mut indices, mut values) = ([0; 3], [0; 3], [0; 3]);
/// let images = SparseImages::pack(4, &bytes, &mut starts, &mut indices, &mut values)?;
/// assert_eq!((n, images.len(), images.get(1)?), (3, 2, (&[2][..], &[5][..])));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SparseImages<'a> {
    width: usize,
    starts: &'a [u32],
    indices: &'a [u16],
    bytes: &'a [u8],
}

/// The widest image whose indices are numbers of 16 bits.
const WIDEST: usize = u16::MAX as usize + 1;

impl<'a> SparseImages<'a> {
    /// Images of `width` bytes. Image `i` has the bytes `starts[i] .. starts[i + 1]` of the list; the
    /// last start is the list's length.
    ///
    /// # Errors
    /// [`Error::Range`] for an image that is empty or too wide, starts that descend or lie beyond the
    /// list, and indices of an image that do not ascend or lie beyond it; [`Error::Length`] where there
    /// is no start, or another number of bytes than of indices.
    pub fn new(
        width: usize,
        starts: &'a [u32],
        indices: &'a [u16],
        bytes: &'a [u8],
    ) -> Result<Self, Error> {
        check_range("bytes of an image", width, 1, WIDEST)?;
        check_len("bytes", bytes, indices.len())?;
        let (Some(first), Some(last)) = (starts.first(), starts.last()) else {
            return Err(Error::Length {
                what: "starts",
                want: 1,
                got: 0,
            });
        };
        check_range("the first start", *first as usize, 0, 0)?;
        check_range(
            "the last start",
            *last as usize,
            indices.len(),
            indices.len(),
        )?;
        let images = SparseImages {
            width,
            starts,
            indices,
            bytes,
        };
        for pair in starts.windows(2) {
            let (start, end) = (pair[0] as usize, pair[1] as usize);
            check_range("the start of an image", end, start, indices.len())?;
            let mut least = 0;
            for i in piece(indices, start, end - start) {
                check_range("the index of a byte", usize::from(*i), least, width - 1)?;
                least = usize::from(*i) + 1;
            }
        }
        Ok(images)
    }

    /// How many bytes of these images are not zero.
    pub fn required_len(images: &[u8]) -> usize {
        images.iter().filter(|byte| **byte != 0).count()
    }

    /// Lists the bytes that are not zero of images of `width` bytes: `starts` takes one number more than
    /// there are images, `indices` and `bytes` at least [`required_len`](Self::required_len).
    ///
    /// # Errors
    /// [`Error::Range`] for an image that is empty or too wide, or more bytes than `u32` can count;
    /// [`Error::Length`] for a part of an image or a buffer of another length.
    pub fn pack(
        width: usize,
        images: &[u8],
        starts: &'a mut [u32],
        mut indices: &'a mut [u16],
        mut bytes: &'a mut [u8],
    ) -> Result<Self, Error> {
        check_range("bytes of an image", width, 1, WIDEST)?;
        check_len("images", images, images.len() / width * width)?;
        check_len("starts", starts, images.len() / width + 1)?;
        let len = Self::required_len(images);
        check_range("bytes", len, 0, u32::MAX as usize)?;
        let indices = cut("indices", &mut indices, len)?;
        let bytes = cut("bytes", &mut bytes, len)?;
        let mut places = indices.iter_mut().zip(bytes.iter_mut());
        let mut listed = 0;
        let (first, ends) = split_mut(starts, 1);
        first.fill(0);
        for (image, end) in images.chunks_exact(width).zip(ends) {
            // Most pieces of eight bytes are all zero.
            for (k, piece) in image.chunks(8).enumerate() {
                if piece.iter().fold(0, |any, byte| any | byte) == 0 {
                    continue;
                }
                let lit = piece.iter().enumerate().filter(|(_, byte)| **byte != 0);
                for ((i, byte), (index, value)) in lit.zip(&mut places) {
                    (*index, *value) = ((8 * k + i) as u16, *byte);
                    listed += 1;
                }
            }
            *end = listed;
        }
        Ok(SparseImages {
            width,
            starts,
            indices,
            bytes,
        })
    }

    /// The starts of the images in the list, the indices and the bytes.
    #[cfg(feature = "cuda")]
    pub(crate) const fn parts(&self) -> (&'a [u32], &'a [u16], &'a [u8]) {
        (self.starts, self.indices, self.bytes)
    }

    /// How many images there are.
    pub const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one image.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Where image `i` has bytes that are not zero, and these.
    ///
    /// # Errors
    /// [`Error::Index`] for an image that does not exist.
    pub fn get(&self, i: usize) -> Result<(&'a [u16], &'a [u8]), Error> {
        let ends = self.starts.get(i..).and_then(|starts| starts.first_chunk());
        let Some([start, end]) = ends else {
            return Err(Error::Index {
                what: "example",
                index: i,
                len: self.len(),
            });
        };
        let (first, len) = (*start as usize, end.saturating_sub(*start) as usize);
        Ok((
            piece(self.indices, first, len),
            piece(self.bytes, first, len),
        ))
    }
}

/// [`Pixels`](super::Pixels) whose images are sparse: the same inputs, `byte / 255 - mean`, of which a
/// network reads those alone that are not `-mean`.
///
/// ```
/// use drmad::{models::{Examples, SparseImages, SparsePixels}, Fused};
/// let images = SparseImages::new(3, &[0, 1, 3], &[1, 0, 2], &[255, 51, 255])?;
/// let one = SparsePixels { images, labels: &[0, 1], chosen: &[1], mean: 0.0 };
/// let mut x = [0.0f32; 3];
/// one.gather::<Fused, _>(&[0], &mut x)?;
/// assert!((x[0] - 0.2).abs() < 1e-7 && x[1] == 0.0);
/// assert_eq!((one.sparse(), one.indices(0)?), (Some(0.0), &[0, 2][..]));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SparsePixels<'a> {
    /// All images.
    pub images: SparseImages<'a>,
    /// Their classes.
    pub labels: &'a [u8],
    /// The images that make up the set: example `i` is image `chosen[i]`.
    pub chosen: &'a [u32],
    /// What is subtracted from each input.
    pub mean: f32,
}

impl<'a> SparsePixels<'a> {
    pub(crate) fn pairs(&self, i: u32) -> Result<(&'a [u16], &'a [u8]), Error> {
        self.images.get(chosen_image(self.chosen, i)?)
    }

    /// Writes the inputs that these bytes stand for, the mean left out, to the start of `values`.
    pub(crate) fn read<S: Scalar>(
        indices: &[u16],
        bytes: &[u8],
        mut values: &mut [S],
    ) -> Result<(), Error> {
        // The indices are read soon, row after row: to ask for them here, a cache line each, overlaps
        // what would be a wait for memory at each row.
        black_box(indices.iter().step_by(32).fold(0, |all, i| all | i));
        let values = cut("values", &mut values, bytes.len())?;
        let unit = S::from_f32(1.0 / 255.0);
        map(
            bytes,
            values,
            #[inline(always)]
            move |byte| S::from_f32(f32::from(byte)) * unit,
        );
        Ok(())
    }
}

impl Examples for SparsePixels<'_> {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn inputs(&self) -> usize {
        self.images.width
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        check_len("x", x, batch.len() * self.inputs())?;
        let (unit, mean) = (S::from_f32(1.0 / 255.0), S::from_f32(-self.mean));
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(self.inputs())) {
            let (indices, bytes) = self.pairs(*i)?;
            run(
                #[inline(always)]
                move || {
                    x.fill(A::mul_add(S::ZERO, unit, mean));
                    for (i, byte) in indices.iter().zip(bytes) {
                        x[usize::from(*i)] = A::mul_add(S::from_f32(f32::from(*byte)), unit, mean);
                    }
                },
            );
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        label_of(self.labels, chosen_image(self.chosen, i)?)
    }

    fn sparse(&self) -> Option<f32> {
        Some(self.mean)
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        Ok(self.pairs(i)?.0)
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        let (indices, bytes) = self.pairs(i)?;
        Self::read(indices, bytes, values)
    }
}
