//! MNIST in flash, and nothing for black pixels.
//!
//! Of each pixel that is not black flash holds where it stands (16 bits) and its byte: some 450 bytes an image in
//! place of 784. A network reads both where they lie, and no image is ever in RAM whole.

use core::ops::Range;

use drmad::Error;
use drmad::models::{SparseImages, SparsePixels};

#[cfg(target_endian = "big")]
compile_error!("the packed images are little-endian");

/// Pixels of an image.
pub const PIXELS: usize = 784;
/// Digits.
pub const CLASSES: usize = 10;
/// Images to learn from, and to judge hyperparameters by: both from MNIST's training file.
pub const TRAIN: usize = 1000;
/// See [`TRAIN`].
pub const VALID: usize = 500;
/// Images of MNIST's test file.
pub const TEST: usize = 500;
const ALL: usize = TRAIN + VALID + TEST;
/// About the mean of all pixels.
const MEAN: f32 = 0.13;

/// Where numbers of 32 and of 16 bits may lie.
#[repr(C, align(4))]
struct Aligned<T: ?Sized>(T);

static STARTS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/starts")));
static INDICES: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/indices")));
static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bytes"));
static LABELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/labels"));
static NUMBERS: [u32; ALL] = {
    let (mut numbers, mut i) = ([0; ALL], 0);
    while i < ALL {
        numbers[i] = i as u32;
        i += 1;
    }
    numbers
};

/// The images to learn from, those to judge hyperparameters by, and as many that nothing has seen.
///
/// # Errors
/// [`Error::Unsupported`] and [`Error::Range`] where flash does not hold what it must.
pub fn in_flash(trained: usize, judges: usize) -> Result<[SparsePixels<'static>; 3], Error> {
    let starts = bytemuck::try_cast_slice(&STARTS.0);
    let indices = bytemuck::try_cast_slice(&INDICES.0);
    let (Ok(starts), Ok(indices)) = (starts, indices) else {
        return Err(Error::Unsupported {
            what: "images in flash that are not aligned",
        });
    };
    let images = SparseImages::new(PIXELS, starts, indices, BYTES)?;
    let part = |range: Range<usize>| SparsePixels {
        images,
        labels: LABELS,
        chosen: NUMBERS.get(range).unwrap_or_default(),
        mean: MEAN,
    };
    Ok([
        part(0..trained),
        part(TRAIN..TRAIN + judges),
        part(TRAIN + VALID..TRAIN + VALID + judges),
    ])
}
