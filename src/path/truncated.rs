//! Any path over the last `M` of `T` steps alone (Shaban et al. 2019).
//!
//! The sweep goes back `M` steps and leaves the rest out: what hyperparameters did before counts as
//! nothing. What is left in `d_w` is the derivative by `w_{T-M}`, not by the initial weights.
//!
//! Refused: more steps than the training has; a path made for another number of steps, or with a plan of
//! its own; a path that takes the steps itself but sees only the last of them; and the velocity before
//! the first of these from a path that keeps weights alone.

use super::{Kind, Path, Plan, Replayed, Spare, Steps, Taken, fields_len, walks_every_step};
use crate::error::Error;
use crate::group::Block;
use crate::kernels::momentum::RowSteps;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::Optimizer;
use crate::state::Fields;

/// The last steps of a path.
///
/// ```
/// use drmad::{Fused, path::{Path, Tape, Truncated}};
/// let mut storage = [0.0f32; Tape::<f32>::required_len(10, 20, 0)];
/// let last = Truncated::new(Tape::new(10, 20, 0, &mut storage)?, 100, 20)?;
/// assert_eq!(Path::<Fused, f32>::plan(&last, 100).step(0), 80);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Truncated<P> {
    path: P,
    trained: usize,
    last: usize,
    /// The step that is the path's first.
    seen_from: usize,
}

impl<P> Truncated<P> {
    /// Bytes of its [state](Path::state), with a path of so many.
    pub const fn state_len(path: usize) -> usize {
        path.saturating_add(fields_len(3, 0))
    }

    /// The `last` steps of a training of `trained`, over a path made for these alone: a tape, or
    /// checkpoints. Of a path with initial weights that is where these steps begin, not `w_0`. Where velocities
    /// are wanted the path must keep them: that before its first step is not 0.
    ///
    /// # Errors
    /// [`Error::Range`] where there are not so many, or none.
    pub fn new(path: P, trained: usize, last: usize) -> Result<Self, Error> {
        let early = Self::early(path, trained, last)?;
        Ok(Truncated {
            seen_from: trained - last,
            ..early
        })
    }

    /// The same over a path made for all the steps: time is saved, and no memory.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn early(path: P, trained: usize, last: usize) -> Result<Self, Error> {
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
            seen_from: 0,
        })
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

    fn optimizer(&self) -> Optimizer {
        self.steps.optimizer()
    }

    fn each(&self, t: usize, body: &mut dyn FnMut(Block, RowSteps<'_, S>)) {
        self.steps.each(self.first + t, body);
    }

    fn first_velocity(&self, v: &mut [S]) -> Result<(), Error> {
        if self.first > 0 {
            return Err(Error::Unsupported {
                what: "velocities of the last steps from weights alone: the path is to keep them, as \
                       Tape and Checkpoints do",
            });
        }
        self.steps.first_velocity(v)
    }
}

impl<A: Arithmetic, S: Scalar, P: Path<A, S>> Path<A, S> for Truncated<P> {
    fn floats(&self) -> usize {
        self.path.floats()
    }

    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        walks_every_step(&self.path, self.trained - self.seen_from)?;
        if self.seen_from == 0 {
            self.path.start(w)?;
        }
        Ok(())
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        match t.checked_sub(self.seen_from) {
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
        let first = self.seen_from;
        match t.checked_sub(first) {
            Some(t) => self.path.advance(t, w, v, g, &mut Later { first, steps }),
            None => Ok(false),
        }
    }

    fn taken(&self) -> Option<Taken<S>> {
        self.path.taken()
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
        let first = self.seen_from;
        let t = (self.trained - self.last - first).saturating_add(t);
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

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.path(Kind::Truncated, &[self.trained, self.last, self.seen_from])?;
        self.path.state(fields)
    }
}
