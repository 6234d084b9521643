//! The exact path: every step is stored.
//!
//! `T P` numbers; with the velocities, which only the hypergradients of momenta and rates ask for,
//! `2 T P`. Without them a velocity is `(w_t - w_{t-1}) / alpha`, good to the rounding of the
//! difference.

use super::{Path, Spare, Steps};
use crate::error::{Error, cut, exactly};
use crate::scalar::Scalar;

/// The stored walk.
///
/// ```
/// use drmad::path::Tape;
/// let mut storage = [0.0f32; Tape::<f32>::required_len(10, 100, false)];
/// let tape = Tape::new(10, 100, false, &mut storage)?;
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Tape<'a, S> {
    weights: usize,
    velocities: bool,
    storage: &'a mut [S],
    next: usize,
}

impl<'a, S: Scalar> Tape<'a, S> {
    /// Numbers of storage for `weights` and `steps`, with or without `velocities`.
    pub const fn required_len(weights: usize, steps: usize, velocities: bool) -> usize {
        let vectors = if velocities { 2 } else { 1 };
        weights.saturating_mul(steps).saturating_mul(vectors)
    }

    /// A tape for a training of `steps` steps.
    ///
    /// # Errors
    /// [`Error::Length`] where the storage is too short.
    pub fn new(
        weights: usize,
        steps: usize,
        velocities: bool,
        storage: &'a mut [S],
    ) -> Result<Self, Error> {
        let mut storage = storage;
        let want = Self::required_len(weights, steps, velocities);
        let storage = cut("storage of the tape", &mut storage, want)?;
        Ok(Tape {
            weights,
            velocities,
            storage,
            next: 0,
        })
    }

    /// The stored vector `of` (0 weights, 1 velocities) of step `t`.
    fn at(&mut self, t: usize, of: usize) -> Result<&mut [S], Error> {
        let vectors = if self.velocities { 2 } else { 1 };
        let len = self.storage.len() / self.weights.max(1) / vectors;
        let start = (t * vectors + of) * self.weights;
        self.storage
            .get_mut(start..start + self.weights)
            .ok_or(Error::Index {
                what: "step of the tape",
                index: t,
                len,
            })
    }
}

impl<S: Scalar> Path<S> for Tape<'_, S> {
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
        exactly("w", w, self.weights)?;
        exactly("v", v, self.weights)?;
        self.at(t, 0)?.copy_from_slice(w);
        if self.velocities {
            self.at(t, 1)?.copy_from_slice(v);
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
        exactly("w", w, self.weights)?;
        if t >= self.next {
            return Err(Error::Index {
                what: "step of the tape",
                index: t,
                len: self.next,
            });
        }
        w.copy_from_slice(self.at(t, 0)?);
        let Some(v) = v else { return Ok(()) };
        exactly("v", v, self.weights)?;
        if self.velocities {
            v.copy_from_slice(self.at(t, 1)?);
        } else if t == 0 {
            v.fill(S::ZERO);
        } else {
            for ((v, w), before) in v.iter_mut().zip(w.iter()).zip(self.at(t - 1, 0)?) {
                *v = *w - *before;
            }
            steps.velocity(t - 1, v);
        }
        Ok(())
    }
}
