//! MNIST in flash, four bits a pixel, and none for black ones.
//!
//! Of each pixel that is not black flash holds where it stands (16 bits) and its level, 1 to 15 (4 bits):
//! 364 bytes an image in place of 784. A network reads the places where they lie and has the levels
//! unpacked into its scratch, an image at a time as a batch needs it; no image is ever in RAM whole.
//! That is all it takes to implement [`Examples`] for a memory of one's own.

use drmad::models::Examples;
use drmad::{Arithmetic, Error, Scalar};

#[cfg(target_endian = "big")]
compile_error!("the packed images are little-endian");

/// Pixels of an image.
pub const PIXELS: usize = 784;
/// Images to learn from, and to judge hyperparameters by: both from MNIST's training file.
pub const TRAIN: usize = 1000;
/// See [`TRAIN`].
pub const VALID: usize = 2000;
/// Images of MNIST's test file.
pub const TEST: usize = 1000;

/// Where numbers of 32 and of 16 bits may lie.
#[repr(C, align(4))]
struct Aligned<T: ?Sized>(T);

static STARTS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/starts")));
static INDICES: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/indices")));
static LEVELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/levels"));
static LABELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/labels"));

/// `N` numbers in a row, from `first`.
const fn ascending<const N: usize>(first: usize) -> [u32; N] {
    let (mut numbers, mut i) = ([0; N], 0);
    while i < N {
        numbers[i] = (first + i) as u32;
        i += 1;
    }
    numbers
}

/// The images that hyperparameters are judged by.
pub static VALIDATION: [u32; VALID] = ascending(TRAIN);
/// The images that nothing has seen.
pub static UNSEEN: [u32; TEST] = ascending(TRAIN + VALID);

/// The packed images: a value is `level / 15 - mean`.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Where each image begins in the lists, and where the last one ends.
    starts: &'static [u32],
    indices: &'static [u16],
    /// Two to a byte, the first in the lower half.
    levels: &'static [u8],
    labels: &'static [u8],
}

impl Images {
    /// About the mean of all pixels.
    const MEAN: f32 = 0.13;

    /// Those in flash.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the lists are not what they must be.
    pub fn in_flash() -> Result<Images, Error> {
        let starts = bytemuck::try_cast_slice(&STARTS.0);
        let indices = bytemuck::try_cast_slice(&INDICES.0);
        let (Ok(starts), Ok(indices)) = (starts, indices) else {
            return Err(Error::Unsupported {
                what: "images in flash that are not aligned",
            });
        };
        let images = Images {
            starts,
            indices,
            levels: LEVELS,
            labels: LABELS,
        };
        let whole = images.len() == TRAIN + VALID + TEST
            && starts.is_sorted()
            && starts.last().map(|end| *end as usize) == Some(indices.len())
            && images.levels.len() == indices.len().div_ceil(2);
        if whole {
            Ok(images)
        } else {
            Err(Error::Unsupported {
                what: "other images in flash than the program was written for",
            })
        }
    }

    /// Where the lists of image `i` begin and end.
    fn place(&self, i: u32) -> Result<(usize, usize), Error> {
        let ends = self.starts.get(i as usize..);
        match ends.and_then(|ends| ends.first_chunk()) {
            Some([start, end]) => Ok((*start as usize, *end as usize)),
            None => Err(Error::Index {
                what: "image",
                index: i as usize,
                len: self.len(),
            }),
        }
    }

    /// The levels of an image, unpacked one by one.
    fn levels<S: Scalar>(&self, (start, end): (usize, usize)) -> impl Iterator<Item = S> {
        (start..end).map(|k| {
            let pair = self.levels.get(k / 2).copied().unwrap_or(0);
            let level = (pair >> (4 * (k % 2))) & 15;
            S::from_f32(f32::from(level) * (1.0 / 15.0))
        })
    }
}

impl Examples for Images {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn inputs(&self) -> usize {
        PIXELS
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        let mean = S::from_f32(Self::MEAN);
        x.fill(-mean);
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(PIXELS)) {
            let place = self.place(*i)?;
            for (index, level) in self.indices(*i)?.iter().zip(self.levels::<S>(place)) {
                if let Some(x) = x.get_mut(usize::from(*index)) {
                    *x = level - mean;
                }
            }
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        match self.labels.get(i as usize) {
            Some(label) => Ok(usize::from(*label)),
            None => Err(Error::Index {
                what: "image",
                index: i as usize,
                len: self.len(),
            }),
        }
    }

    fn sparse(&self) -> Option<f32> {
        Some(Self::MEAN)
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        let (start, end) = self.place(i)?;
        Ok(self.indices.get(start..end).unwrap_or_default())
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        let (start, end) = self.place(i)?;
        let got = values.len();
        let Some(values) = values.get_mut(..end.saturating_sub(start)) else {
            return Err(Error::Length {
                what: "values",
                want: end - start,
                got,
            });
        };
        for (value, level) in values.iter_mut().zip(self.levels((start, end))) {
            *value = level;
        }
        Ok(())
    }
}
