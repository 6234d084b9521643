//! The exact path: every step is stored.
//!
//! `T P` numbers. What the optimizer remembers is asked for only by Adam and by the hypergradients of rates
//! and momenta; kept too, it costs another `T P` for each of its vectors. Where it is not kept, the
//! heavy ball's velocity is `(w_t - w_{t-1}) / alpha`, good to the rounding of the difference.
//!
//! Refused: steps out of turn; velocities that were not kept, where a rate is 0 or the optimizer another.

use super::{Kind, Path, Spare, Steps, fields_len, one_velocity};
use crate::error::{Error, check_len, cut};
use crate::pieces::{copy, split_mut};
use crate::scalar::{Arithmetic, Scalar};
use crate::state::Fields;

/// The stored walk.
///
/// ```
/// use drmad::path::Tape;
/// let mut storage = [0.0f32; Tape::<f32>::required_len(10, 100, 0)];
/// let tape = Tape::new(10, 100, 0, &mut storage)?;
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Tape<'a, S> {
    weights: usize,
    slots: usize,
    storage: &'a mut [S],
    next: usize,
}

impl<'a, S: Scalar> Tape<'a, S> {
    /// Numbers of storage for `weights` and `steps`, with `slots` vectors of what the optimizer remembers:
    /// none, or [`Optimizer::slots`](crate::schedule::Optimizer::slots).
    pub const fn required_len(weights: usize, steps: usize, slots: usize) -> usize {
        weights
            .saturating_mul(steps)
            .saturating_mul(slots.saturating_add(1))
    }

    /// Bytes of its [state](Path::state).
    pub const fn state_len(weights: usize, steps: usize, slots: usize) -> usize {
        Self::required_len(weights, steps, slots)
            .saturating_mul(S::BYTES)
            .saturating_add(fields_len(3, 1))
    }

    /// A tape for a training of `steps` steps.
    ///
    /// # Errors
    /// [`Error::Length`] where the storage is too short.
    pub fn new(
        weights: usize,
        steps: usize,
        slots: usize,
        storage: &'a mut [S],
    ) -> Result<Self, Error> {
        let mut storage = storage;
        let want = Self::required_len(weights, steps, slots);
        let storage = cut("storage of the tape", &mut storage, want)?;
        Ok(Tape {
            weights,
            slots,
            storage,
            next: 0,
        })
    }

    /// The stored weights of step `t`, and what the optimizer remembers.
    fn at(&mut self, t: usize) -> Result<(&mut [S], &mut [S]), Error> {
        let each = Self::required_len(self.weights, 1, self.slots);
        let len = self.storage.len() / each.max(1);
        match self.storage.get_mut(t * each..(t + 1) * each) {
            Some(stored) => Ok(split_mut(stored, self.weights)),
            None => Err(Error::Index {
                what: "step of the tape",
                index: t,
                len,
            }),
        }
    }
}

impl<A: Arithmetic, S: Scalar> Path<A, S> for Tape<'_, S> {
    fn floats(&self) -> usize {
        self.storage.len()
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], _spare: Spare<'_, S>) -> Result<(), Error> {
        if t != 0 && t != self.next {
            return Err(Error::Order {
                want: self.next,
                got: t,
            });
        }
        check_len("w", w, self.weights)?;
        if self.slots > 0 {
            check_len("v", v, self.slots * self.weights)?;
        }
        let (stored_w, stored_v) = self.at(t)?;
        copy(w, stored_w);
        for (stored, v) in stored_v.iter_mut().zip(v) {
            *stored = *v;
        }
        self.next = t + 1;
        Ok(())
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        _spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        if t >= self.next {
            return Err(Error::Index {
                what: "step of the tape",
                index: t,
                len: self.next,
            });
        }
        let slots = self.slots;
        let (stored_w, stored_v) = self.at(t)?;
        copy(stored_w, w);
        let Some(v) = v else { return Ok(()) };
        if slots > 0 {
            check_len("v", v, stored_v.len())?;
            copy(stored_v, v);
        } else if t == 0 {
            steps.first_velocity(v)?;
        } else {
            one_velocity(v, self.weights)?;
            for ((v, w), before) in v.iter_mut().zip(w.iter()).zip(self.at(t - 1)?.0) {
                *v = *w - *before;
            }
            steps.velocity(t - 1, v)?;
        }
        Ok(())
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let sizes = [self.weights, self.slots, self.storage.len()];
        fields.path(Kind::Tape, &sizes)?;
        let steps = self.storage.len() / Self::required_len(self.weights, 1, self.slots).max(1);
        fields.count("steps on the tape", &mut self.next, steps)?;
        fields.numbers(self.storage)
    }
}
