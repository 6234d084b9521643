//! Sums over the examples of a batch: losses, gradients and second-order products of every model here.
//!
//! A sum of `n` terms, one after another, has an error of up to `n u sum |x|` (`u = 2^-24` in `f32`): ten
//! million equal terms end at a third of what they are. So a batch is taken in **blocks** of [`BLOCK`]
//! examples. Inside a block a sum ascends, as the kernels have it; what a block adds up to is added to the
//! result with what that sum loses kept for the next ([`add_with_rest`]). Then, whatever `n` is,
//!
//! ```text
//! |sum - exact| <= (BLOCK + 3) u sum |x|
//! ```
//!
//! where `x` are the examples' own terms as they were computed. Losses are numbers, of which each is a block of
//! its own ([`Total`](crate::kernels::reduce::Total)): within `3 u sum |x|` for up to 2^24 of them.
//!
//! A batch of no more than a block needs nothing of this and is added to the result at once. A longer one
//! takes two more vectors of the result's length, its block's sum and what the total lacks, from the scratch:
//! [`sums_len`]. A model asks for them where its examples are more than a block, unless it is told that its
//! batches are smaller (`with_batches_of`); a batch that is longer than its scratch allows is refused.
//!
//! Order of arithmetic: blocks begin at the batch's first example; pieces of `microbatch` examples begin anew in each.

use crate::error::{Error, cut};
use crate::kernels::accumulate::{add_rows, add_with_rest};
use crate::scalar::Scalar;

/// Examples whose terms are added one after another. Part of the numerics.
pub const BLOCK: usize = 1024;

/// Numbers of scratch that a sum of so many numbers over a batch of `most` examples takes.
pub(super) const fn sums_len(most: usize, numbers: usize) -> usize {
    if most > BLOCK {
        numbers.saturating_mul(2)
    } else {
        0
    }
}

/// Refuses a batch that needs more scratch than there is.
pub(super) fn check(scratch: usize, want: usize) -> Result<(), Error> {
    if scratch >= want {
        return Ok(());
    }
    Err(Error::Length {
        what: "scratch",
        want,
        got: scratch,
    })
}

/// A vector that the examples of a batch are summed into.
pub(super) struct Sum<'t, 's, S> {
    total: &'t mut [S],
    /// Of the present block, and what the total lacks; empty where the batch is one block.
    block: &'s mut [S],
    rest: &'s mut [S],
    blocks: bool,
}

impl<'t, 's, S: Scalar> Sum<'t, 's, S> {
    /// Goes on from what is in `total`, over a batch of so many examples.
    pub(super) fn new(
        total: &'t mut [S],
        batch: usize,
        scratch: &mut &'s mut [S],
    ) -> Result<Self, Error> {
        let len = sums_len(batch, total.len()) / 2;
        let block = cut("scratch", scratch, len)?;
        let rest = cut("scratch", scratch, len)?;
        block.fill(S::ZERO);
        rest.fill(S::ZERO);
        Ok(Sum {
            total,
            block,
            rest,
            blocks: batch > BLOCK,
        })
    }

    /// Where the terms of the present block are added.
    pub(super) fn here(&mut self) -> &mut [S] {
        if self.blocks { self.block } else { self.total }
    }

    /// Ends a block.
    pub(super) fn close(&mut self) {
        if self.blocks {
            add_with_rest(self.block, self.total, self.rest);
            self.block.fill(S::ZERO);
        }
    }

    /// Ends the sum.
    pub(super) fn finish(self) -> &'t mut [S] {
        if self.blocks {
            add_rows(self.rest, self.total);
        }
        self.total
    }
}
