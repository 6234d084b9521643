//! Where shortcuts keep their vectors: in full, or as differences of a few levels.
//!
//! Refused: checking indices; a row that is not there is neither read nor written. Dual numbers, as
//! differences, whose tangents no level holds.

use crate::error::{Error, check_equal, cut};
use crate::kernels::quantise::{self, MOST};
use crate::pieces::{copy, part, split_mut};
use crate::scalar::{Arithmetic, Real, Scalar};
use crate::state::{FIELD, Fields};

use core::ops::Range;

/// Storage of `K` vectors of weights, whatever their numbers.
pub trait Stored {
    /// Numbers of 32 bits in use.
    fn floats(&self) -> usize;

    /// Whether it holds `rows` rows of `weights`.
    ///
    /// # Errors
    /// [`Error::Length`] where it was made for others.
    fn check(&self, weights: usize, rows: usize) -> Result<(), Error>;

    /// Copies row `from` to row `to`.
    fn copy(&mut self, from: usize, to: usize);

    /// Hands its sizes and its storage to `fields`, as [`State::state`](crate::state::State::state) says.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it does not say what they are.
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let _ = fields;
        Err(Error::Unsupported {
            what: "saving rows that do not say what their state is",
        })
    }
}

/// The vectors of a [`Stored`], rows `1 ..= K`, by blocks of weights, in the arithmetic `A` of the
/// training. Row 0 is a vector that the caller can make again, such as `w_0`.
pub trait Rows<A, S>: Stored {
    /// Weights in a block: at most [`MOST`].
    fn block(&self) -> usize;

    /// Writes the block of row `k` that begins with weight `first` to `x`, which holds row 0 and is
    /// left as it is for it. Each row was written with the one before.
    fn read(&self, k: usize, first: usize, x: &mut [S]);

    /// Stores `x` as that block of row `k`; `before` is the block of row `k - 1` as read. Row 0 is not
    /// stored.
    fn write(&mut self, k: usize, first: usize, x: &[S], before: &[S]);

    /// [`read`](Self::read) of a row that was written with row 0 as the one before.
    fn read_alone(&self, k: usize, first: usize, x: &mut [S]);
}

/// The block of some rows, within the bounds of the arrays that hold one.
pub(super) fn block_of<A, S>(rows: &impl Rows<A, S>) -> usize {
    rows.block().clamp(1, MOST)
}

/// Copies row `from` of `len` numbers to row `to`, where both are there.
fn copy_row<T: Copy>(storage: &mut [T], len: usize, from: usize, to: usize) {
    let (Some(from), Some(to)) = (from.checked_sub(1), to.checked_sub(1)) else {
        return;
    };
    if from == to {
        return;
    }
    let (early, late) = split_mut(storage, from.max(to).saturating_mul(len));
    let first = from.min(to).saturating_mul(len);
    let early = early.get_mut(first..first.saturating_add(len));
    let (Some(early), Some(late)) = (early, late.get_mut(..len)) else {
        return;
    };
    if from < to {
        copy(early, late);
    } else {
        copy(late, early);
    }
}

/// Rows in full: `rows P` numbers.
///
/// ```
/// assert_eq!(drmad::path::Full::<f32>::required_len(44_860, 8), 358_880);
/// ```
#[derive(Debug)]
pub struct Full<'a, S> {
    weights: usize,
    storage: &'a mut [S],
}

impl<'a, S: Scalar> Full<'a, S> {
    /// Numbers of storage for `rows` rows of `weights`.
    pub const fn required_len(weights: usize, rows: usize) -> usize {
        weights.saturating_mul(rows)
    }

    /// Bytes of its [state](Stored::state).
    pub const fn state_len(weights: usize, rows: usize) -> usize {
        Self::required_len(weights, rows)
            .saturating_mul(S::BYTES)
            .saturating_add(2 * FIELD)
    }

    /// Rows in `storage`.
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short.
    pub fn new(weights: usize, rows: usize, storage: &'a mut [S]) -> Result<Self, Error> {
        let mut storage = storage;
        let want = Self::required_len(weights, rows);
        let storage = cut("storage of the rows", &mut storage, want)?;
        Ok(Full { weights, storage })
    }

    /// Where weight `first` of row `k` lies; nowhere for row 0.
    fn start(&self, k: usize, first: usize) -> Option<usize> {
        let before = k.checked_sub(1)?;
        Some(before.saturating_mul(self.weights).saturating_add(first))
    }
}

impl<S: Scalar> Stored for Full<'_, S> {
    fn floats(&self) -> usize {
        self.storage.len()
    }

    fn check(&self, weights: usize, rows: usize) -> Result<(), Error> {
        check_equal("weights of the rows", weights, self.weights)?;
        let want = Self::required_len(weights, rows);
        check_equal("storage of the rows", want, self.storage.len())
    }

    fn copy(&mut self, from: usize, to: usize) {
        copy_row(self.storage, self.weights, from, to);
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.same("levels of the rows", 0)?;
        fields.same("numbers of the rows", self.storage.len() as u64)?;
        fields.numbers(self.storage)
    }
}

impl<A, S: Scalar> Rows<A, S> for Full<'_, S> {
    fn block(&self) -> usize {
        MOST
    }

    fn read(&self, k: usize, first: usize, x: &mut [S]) {
        let Some(start) = self.start(k, first) else {
            return;
        };
        let stored = self.storage.get(start..);
        for (x, stored) in x.iter_mut().zip(stored.unwrap_or_default()) {
            *x = *stored;
        }
    }

    fn write(&mut self, k: usize, first: usize, x: &[S], _before: &[S]) {
        let Some(start) = self.start(k, first) else {
            return;
        };
        let stored = self.storage.get_mut(start..);
        for (stored, x) in stored.unwrap_or_default().iter_mut().zip(x) {
            *stored = *x;
        }
    }

    fn read_alone(&self, k: usize, first: usize, x: &mut [S]) {
        Rows::<A, S>::read(self, k, first, x);
    }
}

/// Rows as differences of 3, 7, 11, 15 or 255 levels, with a scale for each block of weights
/// ([`quantise`]).
///
/// ```
/// use drmad::path::Quantised;
/// // .99 words a weight.
/// assert_eq!(Quantised::<11>::required_len(44_860, 8), 44_320);
/// ```
#[derive(Debug)]
pub struct Quantised<'a, const LEVELS: u32> {
    blocks: usize,
    storage: &'a mut [u32],
}

impl<'a, const LEVELS: u32> Quantised<'a, LEVELS> {
    const BLOCK: usize = {
        let block = quantise::block(LEVELS);
        assert!(block > 0, "3, 7, 11, 15 or 255 levels");
        block
    };
    const WORDS: usize = quantise::words(LEVELS);

    /// Words of storage for `rows` rows of `weights`.
    pub const fn required_len(weights: usize, rows: usize) -> usize {
        (weights.div_ceil(Self::BLOCK) * Self::WORDS).saturating_mul(rows)
    }

    /// Bytes of its [state](Stored::state).
    pub const fn state_len(weights: usize, rows: usize) -> usize {
        Self::required_len(weights, rows)
            .saturating_mul(4)
            .saturating_add(2 * FIELD)
    }

    /// Rows in `storage`.
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short.
    pub fn new(weights: usize, rows: usize, storage: &'a mut [u32]) -> Result<Self, Error> {
        let mut storage = storage;
        let want = Self::required_len(weights, rows);
        let storage = cut("storage of the rows", &mut storage, want)?;
        Ok(Quantised {
            blocks: weights.div_ceil(Self::BLOCK),
            storage,
        })
    }

    /// Where the block of row `k`, from 1, lies.
    fn place(&self, k: usize, first: usize) -> Range<usize> {
        let block = k
            .saturating_sub(1)
            .saturating_mul(self.blocks)
            .saturating_add(first / Self::BLOCK);
        let start = block.saturating_mul(Self::WORDS);
        start..start.saturating_add(Self::WORDS)
    }
}

impl<const LEVELS: u32> Stored for Quantised<'_, LEVELS> {
    fn floats(&self) -> usize {
        self.storage.len()
    }

    fn check(&self, weights: usize, rows: usize) -> Result<(), Error> {
        let blocks = weights.div_ceil(Self::BLOCK);
        check_equal("blocks of the rows", blocks, self.blocks)?;
        let want = Self::required_len(weights, rows);
        check_equal("storage of the rows", want, self.storage.len())
    }

    fn copy(&mut self, from: usize, to: usize) {
        copy_row(self.storage, self.blocks * Self::WORDS, from, to);
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.same("levels of the rows", u64::from(LEVELS))?;
        fields.same("numbers of the rows", self.storage.len() as u64)?;
        fields.words(self.storage)
    }
}

impl<const LEVELS: u32, A: Arithmetic, S: Real> Rows<A, S> for Quantised<'_, LEVELS> {
    fn block(&self) -> usize {
        Self::BLOCK
    }

    fn read(&self, k: usize, first: usize, x: &mut [S]) {
        for j in 1..=k {
            Rows::<A, S>::read_alone(self, j, first, x);
        }
    }

    fn read_alone(&self, k: usize, first: usize, x: &mut [S]) {
        if k > 0 {
            let code = self.storage.get(self.place(k, first));
            quantise::decode::<LEVELS, A, S>(code.unwrap_or_default(), x);
        }
    }

    fn write(&mut self, k: usize, first: usize, x: &[S], before: &[S]) {
        if k == 0 {
            return;
        }
        let mut difference = [0.0; MOST];
        for ((d, x), before) in difference.iter_mut().zip(x).zip(before) {
            *d = (*x - *before).to_f64() as f32;
        }
        let place = self.place(k, first);
        let code = self.storage.get_mut(place);
        let difference = part(&difference, 0..x.len());
        quantise::encode::<LEVELS>(difference, code.unwrap_or_default());
    }
}

/// Rows behind a pointer, as a program has them that chooses their bits at run time.
#[cfg(feature = "std")]
#[deny(clippy::missing_trait_methods)]
impl<R: Stored + ?Sized> Stored for std::boxed::Box<R> {
    fn floats(&self) -> usize {
        (**self).floats()
    }

    fn check(&self, weights: usize, rows: usize) -> Result<(), Error> {
        (**self).check(weights, rows)
    }

    fn copy(&mut self, from: usize, to: usize) {
        (**self).copy(from, to);
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        (**self).state(fields)
    }
}

/// As [`Stored`] behind a pointer.
#[cfg(feature = "std")]
impl<A, S, R: Rows<A, S> + ?Sized> Rows<A, S> for std::boxed::Box<R> {
    fn block(&self) -> usize {
        (**self).block()
    }

    fn read(&self, k: usize, first: usize, x: &mut [S]) {
        (**self).read(k, first, x);
    }

    fn write(&mut self, k: usize, first: usize, x: &[S], before: &[S]) {
        (**self).write(k, first, x, before);
    }

    fn read_alone(&self, k: usize, first: usize, x: &mut [S]) {
        (**self).read_alone(k, first, x);
    }
}
