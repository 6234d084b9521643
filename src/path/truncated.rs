//! Any path over the last `M` of `T` steps alone (Shaban et al. 2019).
//!
//! The sweep goes back `M` steps and leaves the rest out: what hyperparameters did before counts as
//! nothing. The inner path is made for a training of `M` steps and needs the memory of one. What is
//! left in `d_w` is the derivative by `w_{T-M}`, not by the initial weights.
//!
//! Refused: more steps than the training has.

use core::ops::Range;

use super::{Path, Plan, Replayed, Spare, Steps};
use crate::error::Error;
use crate::scalar::Scalar;
use crate::schedule::{Rule, Step};

/// The last steps of a path.
///
/// ```
/// use drmad::path::{Path, Tape, Truncated};
/// let mut storage = [0.0f32; Tape::<f32>::required_len(10, 20, 0)];
/// let last = Truncated::new(Tape::new(10, 20, 0, &mut storage)?, 100, 20)?;
/// assert_eq!(last.plan(100).step(0), 80);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Truncated<P> {
    path: P,
    trained: usize,
    last: usize,
}

impl<P> Truncated<P> {
    /// The `last` steps of a training of `trained`, over a path made for `last` steps.
    ///
    /// # Errors
    /// [`Error::Range`] where there are not so many, or none.
    pub fn new(path: P, trained: usize, last: usize) -> Result<Self, Error> {
        if last == 0 || last > trained {
            return Err(Error::Range {
                what: "number of last steps",
                value: last as f64,
                least: 1.0,
                greatest: trained as f64,
            });
        }
        Ok(Truncated {
            path,
            trained,
            last,
        })
    }

    fn first(&self) -> usize {
        self.trained - self.last
    }
}

/// The training seen from a later step.
struct Later<'s, S> {
    first: usize,
    steps: &'s mut dyn Steps<S>,
}

impl<S: Scalar> Steps<S> for Later<'_, S> {
    fn replay(&mut self, t: usize, w: &mut [S], v: &mut [S], g: &mut [S]) -> Result<(), Error> {
        self.steps.replay(self.first + t, w, v, g)
    }

    fn gradient(&mut self, t: usize, w: &[S], g: &mut [S]) -> Result<(), Error> {
        self.steps.gradient(self.first + t, w, g)
    }

    fn rule(&self) -> Rule {
        self.steps.rule()
    }

    fn each(&self, t: usize, body: &mut dyn FnMut(Range<usize>, Step<S>)) {
        self.steps.each(self.first + t, body);
    }
}

impl<S: Scalar, P: Path<S>> Path<S> for Truncated<P> {
    fn floats(&self) -> usize {
        self.path.floats()
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        match t.checked_sub(self.first()) {
            Some(t) => self.path.record(t, w, v, spare),
            None => Ok(()),
        }
    }

    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        let first = self.first();
        match t.checked_sub(first) {
            Some(t) => self.path.advance(t, w, v, g, &mut Later { first, steps }),
            None => Ok(false),
        }
    }

    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.path.finish(w, v, spare)
    }

    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.path.open(w, spare)
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        let first = self.first();
        self.path
            .recall(t, w, v, &mut Later { first, steps }, spare)
    }

    fn plan(&self, _trained: usize) -> Plan {
        Plan {
            steps: self.last,
            batches: Replayed::Last,
            ..Plan::every(self.trained)
        }
    }
}
