//! Blocks of numbers as small integers with one scale a block.
//!
//! A block of numbers `x` becomes its scale `s = max |x| / m` and integers
//! `q = round(x * (m / max |x|))` in `-m ..= m` (0 where `s` is not a normal number), where `2 m + 1` is
//! the number `L` of levels. The codes `q + m` are the digits of words of 32 bits to the base `L`, the
//! first the lowest, as many in a word as fit:
//!
//! | levels | 3 | 7 | 11 | 15 | 255 |
//! |---|---|---|---|---|---|
//! | codes in a word | 20 | 11 | 9 | 8 | 4 |
//! | numbers in a block | 80 | 88 | 81 | 80 | 80 |
//! | bits a number, the scale included | 2.0 | 3.3 | 4.0 | 4.4 | 8.4 |
//!
//! Decoding adds: `y <- mul_add(s, q, y)`, so that blocks of differences are summed up as they are
//! read. Rounding is to nearest, ties to even.
//!
//! Refused: blocks that are not finite; they are for the caller to keep out.

use super::dispatch::run;
use crate::scalar::{Arithmetic, Scalar};

/// The most numbers in a block, whatever the levels.
pub const MOST: usize = 88;

/// Codes of so many levels in a word of 32 bits.
const fn in_a_word(levels: u32) -> usize {
    let (mut codes, mut room) = (0, u32::MAX as u64 + 1);
    if levels < 2 {
        return 0;
    }
    while room >= levels as u64 {
        room /= levels as u64;
        codes += 1;
    }
    codes
}

/// Words of codes in a block: the fewest that hold 80 of them.
const fn packed(levels: u32) -> usize {
    match levels {
        3 | 7 | 11 | 15 | 255 => match 79usize.checked_div(in_a_word(levels)) {
            Some(words) => words + 1,
            None => 0,
        },
        _ => 0,
    }
}

/// Numbers in a block of so many levels; 0 for other than 3, 7, 11, 15 or 255 of them, for which the
/// kernels do not compile.
///
/// ```
/// use drmad::kernels::quantise::block;
/// assert_eq!([3, 7, 11, 15, 255].map(block), [80, 88, 81, 80, 80]);
/// ```
pub const fn block(levels: u32) -> usize {
    packed(levels) * in_a_word(levels)
}

/// Words of 32 bits for a block, its scale included; 0 as [`block`].
///
/// ```
/// assert_eq!([3, 7, 11, 15, 255].map(drmad::kernels::quantise::words), [5, 9, 10, 11, 21]);
/// ```
pub const fn words(levels: u32) -> usize {
    match packed(levels) {
        0 => 0,
        packed => packed + 1,
    }
}

/// Adding and taking away this number rounds to an integer; its low bits then hold it.
const MAGIC: f32 = 12_582_912.0;

/// Writes a block of at most [`block`] numbers to [`words`] words, the scale first.
///
/// ```
/// use drmad::{kernels::quantise::{decode, encode, words}, Fused};
/// let mut code = [0u32; words(15)];
/// encode::<15>(&[1.0, -7.0, 2.4], &mut code);
/// let mut y = [0.0f32, 0.0, 1.0];
/// decode::<15, Fused, _>(&code, &mut y);
/// assert_eq!(y, [1.0, -7.0, 3.0]);
/// ```
pub fn encode<const LEVELS: u32>(x: &[f32], code: &mut [u32]) {
    const { assert!(words(LEVELS) > 0, "3, 7, 11, 15 or 255 levels") };
    let Some((scale, packed)) = code.split_first_mut() else {
        return;
    };
    run(
        #[inline(always)]
        move || {
            let greatest = LEVELS / 2;
            let m = greatest as f32;
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
            for (word, x) in packed.iter_mut().zip(x.chunks(in_a_word(LEVELS))) {
                *word = 0;
                for x in x.iter().rev() {
                    let q = (x * inverse).clamp(-m, m) + MAGIC;
                    let q = q
                        .to_bits()
                        .wrapping_sub(MAGIC.to_bits())
                        .wrapping_add(greatest);
                    *word = word.wrapping_mul(LEVELS).wrapping_add(q);
                }
            }
        },
    );
}

/// Adds a block's numbers to `y`.
pub fn decode<const LEVELS: u32, A: Arithmetic, S: Scalar>(code: &[u32], y: &mut [S]) {
    const { assert!(words(LEVELS) > 0, "3, 7, 11, 15 or 255 levels") };
    let Some((scale, packed)) = code.split_first() else {
        return;
    };
    run(
        #[inline(always)]
        move || {
            let scale = S::from_f32(f32::from_bits(*scale));
            let greatest = (LEVELS / 2) as i32;
            for (word, y) in packed.iter().zip(y.chunks_mut(in_a_word(LEVELS))) {
                let mut digits = *word;
                for y in y {
                    let q = (digits % LEVELS) as i32 - greatest;
                    digits /= LEVELS;
                    *y = A::mul_add(scale, S::from_f32(q as f32), *y);
                }
            }
        },
    );
}
