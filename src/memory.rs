//! Memory as values that add: how much an operation takes, known before it begins.
//!
//! A [`Need`] counts numbers of `S`, of 4 bytes or 8. Two things that live side by side need one
//! [`and`](Need::and) the other; two of which one ends before the other begins need one [`or`](Need::or) the
//! other. All of it is `const`, so that what does not fit stops the build:
//!
//! ```
//! use drmad::memory::Need;
//! const VECTORS: Need<f32> = Need::numbers(6 * 7_850);
//! const ROWS: Need<f32> = Need::words(7_760);
//! const ALL: Need<f32> = VECTORS.and(ROWS);
//! const { assert!(ALL.bytes() <= 256 * 1024, "the training does not fit") };
//! static mut BUFFER: [f32; ALL.len()] = [0.0; ALL.len()];
//! assert_eq!(ALL.len(), 54_860);
//! ```
//!
//! Sums saturate: what cannot be counted is more than any buffer has, and is refused as such.

use core::marker::PhantomData;

use bytemuck::Pod;

use crate::error::{Error, cut};
use crate::scalar::Scalar;

/// How much memory something takes, in numbers of `S`.
#[derive(Debug)]
pub struct Need<S>(usize, PhantomData<S>);

impl<S> Clone for Need<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Need<S> {}

impl<S: Scalar> Need<S> {
    /// Nothing.
    pub const NOTHING: Self = Self::numbers(0);

    /// So many numbers.
    pub const fn numbers(count: usize) -> Self {
        Need(count, PhantomData)
    }

    /// So many words of 32 bits.
    pub const fn words(count: usize) -> Self {
        Self::numbers(count.div_ceil(size_of::<S>() / 4))
    }

    /// Both at once.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::numbers(self.0.saturating_add(other.0))
    }

    /// One after the other, in the same place.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        if self.0 > other.0 { self } else { other }
    }

    /// So many times.
    #[must_use]
    pub const fn times(self, count: usize) -> Self {
        Self::numbers(self.0.saturating_mul(count))
    }

    /// Numbers of a buffer that has it.
    pub const fn len(self) -> usize {
        self.0
    }

    /// Whether it is nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Bytes.
    pub const fn bytes(self) -> usize {
        self.0.saturating_mul(size_of::<S>())
    }
}

/// `Ord::max`, for constants.
pub(crate) const fn greater(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// A buffer from which pieces are cut, from its front.
///
/// ```
/// use drmad::memory::{Buffer, Need};
/// const H: Need<f32> = Need::numbers(3);
/// let mut all = [0f32; H.and(Need::words(2)).len()];
/// let mut buffer = Buffer::new("memory of the program", &mut all);
/// let (h, batch) = (buffer.numbers(H.len())?, buffer.words(2)?);
/// (h[2], batch[1]) = (0.5, 7);
/// assert_eq!(
///     buffer.numbers(1).unwrap_err().to_string(),
///     "memory of the program: 1 numbers wanted, 0 given"
/// );
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Buffer<'a, S> {
    /// What they are for, in an error.
    what: &'static str,
    rest: &'a mut [S],
}

impl<'a, S: Scalar + Pod> Buffer<'a, S> {
    /// All of `rest`, which is called `what` in an error.
    pub fn new(what: &'static str, rest: &'a mut [S]) -> Self {
        Buffer { what, rest }
    }

    /// So many numbers.
    ///
    /// # Errors
    /// [`Error::Length`] where they are not there.
    pub fn numbers(&mut self, count: usize) -> Result<&'a mut [S], Error> {
        cut(self.what, &mut self.rest, count)
    }

    /// So many words.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    pub fn words(&mut self, count: usize) -> Result<&'a mut [u32], Error> {
        let words = self.numbers(Need::<S>::words(count).len())?;
        let mut words: &'a mut [u32] = bytemuck::cast_slice_mut(words);
        cut(self.what, &mut words, count)
    }
}
