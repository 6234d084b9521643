//! Blocks of numbers as small integers with one scale a block.
//!
//! A block of [`BLOCK`] numbers `x` becomes its scale `s = max |x| / m` and integers
//! `q = round(x * (m / max |x|))` in `-m ..= m` (0 where `s` is not a normal number), `m = 2^(BITS - 1) - 1`, packed as `q + m` into words of 32 bits,
//! the first in the lowest bits, `32 / BITS` in a word. Decoding adds: `y <- mul_add(s, q, y)`, so
//! that blocks of differences are summed up as they are read. Rounding is to nearest, ties to even.
//!
//! Refused: blocks that are not finite; they are for the caller to keep out.

use super::dispatch::run;
use crate::scalar::{Arithmetic, Scalar};

/// Numbers in a block: a multiple of the codes in a word for 2, 3, 4 and 8 bits.
pub const BLOCK: usize = 80;

/// Words of 32 bits for a block of `bits` bits a number, its scale included.
///
/// ```
/// assert_eq!(drmad::kernels::quantise::words(4), 11);
/// ```
///
/// # Panics
/// At compile time, where it is used as a constant, for other than 2, 3, 4 or 8 bits.
pub const fn words(bits: u32) -> usize {
    assert!(matches!(bits, 2 | 3 | 4 | 8), "2, 3, 4 or 8 bits");
    BLOCK / (32 / bits as usize) + 1
}

/// The greatest code `m`.
const fn greatest(bits: u32) -> u32 {
    (1 << (bits - 1)) - 1
}

/// Adding and taking away this number rounds to an integer; its low bits then hold it.
const MAGIC: f32 = 12_582_912.0;

/// Writes a block of at most [`BLOCK`] numbers to `words(BITS)` words, the scale first.
///
/// ```
/// use drmad::{kernels::quantise::{decode, encode, words}, Fused};
/// let mut code = [0u32; words(4)];
/// encode::<4>(&[1.0, -7.0, 2.4], &mut code);
/// let mut y = [0.0f32, 0.0, 1.0];
/// decode::<4, Fused, _>(&code, &mut y);
/// assert_eq!(y, [1.0, -7.0, 3.0]);
/// ```
pub fn encode<const BITS: u32>(x: &[f32], code: &mut [u32]) {
    const { words(BITS) };
    let Some((scale, packed)) = code.split_first_mut() else {
        return;
    };
    run(
        #[inline(always)]
        move || {
            let m = greatest(BITS) as f32;
            let top = x
                .iter()
                .fold(0.0, |top: f32, x| if x.abs() > top { x.abs() } else { top });
            let step = top / m;
            // A block of zeros, or of numbers too small to have a scale, is stored as zeros.
            let inverse = if step > f32::MIN_POSITIVE {
                m / top
            } else {
                0.0
            };
            *scale = step.to_bits();
            let per_word = 32 / BITS as usize;
            for (word, x) in packed.iter_mut().zip(x.chunks(per_word)) {
                *word = 0;
                for (i, x) in x.iter().enumerate() {
                    let q = (x * inverse).clamp(-m, m) + MAGIC;
                    let q = q
                        .to_bits()
                        .wrapping_sub(MAGIC.to_bits())
                        .wrapping_add(greatest(BITS));
                    *word |= q << (BITS as usize * i);
                }
            }
        },
    );
}

/// Adds a block's numbers to `y`.
pub fn decode<const BITS: u32, A: Arithmetic, S: Scalar>(code: &[u32], y: &mut [S]) {
    const { words(BITS) };
    let Some((scale, packed)) = code.split_first() else {
        return;
    };
    run(
        #[inline(always)]
        move || {
            let scale = S::from_f32(f32::from_bits(*scale));
            let mask = (1 << BITS) - 1;
            for (word, y) in packed.iter().zip(y.chunks_mut(32 / BITS as usize)) {
                for (i, y) in y.iter_mut().enumerate() {
                    let q = (word >> (BITS as usize * i)) & mask;
                    let q = q as i32 - greatest(BITS) as i32;
                    *y = A::mul_add(scale, S::from_f32(q as f32), *y);
                }
            }
        },
    );
}
