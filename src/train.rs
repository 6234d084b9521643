//! The forward pass from `w_0` to `w_T`; of the heavy ball
//!
//! ```text
//! v <- gamma_t v - (1 - gamma_t) g(w, batch_t)        w <- w + alpha_t v        t = 0 .. T-1
//! ```
//!
//! with `v_0 = 0`, and as its [`Schedule`] says of the other optimizers. A [`Path`] watches it, and may
//! take the steps in an arithmetic of its own. The weights are a function of its [`InnerProblem`] and of `w_0` alone,
//! so any step can be taken again.
//!
//! Refused: to go on with a loss or a weight that is no longer finite; the error has the step at which
//! that was seen.

use core::ops::Range;

use crate::error::{Error, check_len};
use crate::group::Block;
use crate::kernels::momentum::RowSteps;
use crate::kernels::reduce::all_finite;
use crate::objective::{At, Differentiable};
use crate::optimizer::Stepping;
use crate::path::{Path, Spare, Steps};
use crate::random::Batches;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Schedule};

/// A training: everything the trajectory is a function of, but for `w_0`. The crate's first page has an
/// example.
pub struct InnerProblem<'a, A: Arithmetic, S: Scalar> {
    /// What is minimised.
    pub objective: &'a dyn Differentiable<A, S>,
    /// Its hyperparameters.
    pub h: &'a [S],
    /// Rates and momenta.
    pub schedule: Schedule<'a, S>,
    /// Which examples each step sees.
    pub batches: Batches,
    /// The number `T` of steps.
    pub steps: usize,
}

/// The vectors of a training, `P` numbers each; `v` has as many as the optimizer remembers.
#[derive(Debug)]
pub(crate) struct Vectors<'a, S> {
    /// The weights: `w_0` going in, `w_T` coming out.
    pub(crate) w: &'a mut [S],
    /// The velocity: `v_T` coming out.
    pub(crate) v: &'a mut [S],
    /// The gradient.
    pub(crate) g: &'a mut [S],
    /// What the path may use while training goes on.
    pub(crate) spare: Spare<'a, S>,
}

/// Memory that objectives compute in and batches are drawn into.
#[derive(Debug)]
pub(crate) struct Scratch<'a, S> {
    /// At least as many numbers as the objective's pass needs.
    pub(crate) numbers: &'a mut [S],
    /// One element for each example of a batch.
    pub(crate) batch: &'a mut [u32],
}

impl<A: Arithmetic, S: Scalar> InnerProblem<'_, A, S> {
    /// Checks all that can be checked before the first step.
    ///
    /// # Errors
    /// [`Error::NoSteps`], [`Error::EmptyBatch`], [`Error::Momentum`], [`Error::NonFinite`] for a
    /// rate, momentum or hyperparameter, [`Error::Length`].
    pub fn check(&self) -> Result<(), Error> {
        if self.steps == 0 {
            return Err(Error::NoSteps);
        }
        if self.batches.size == 0 || self.batches.examples == 0 {
            return Err(Error::EmptyBatch);
        }
        check_len("h", self.h, self.objective.hypers())?;
        if !all_finite(self.h) {
            return Err(Error::NonFinite { what: "h", step: 0 });
        }
        self.schedule.check(self.objective.weights(), self.steps)
    }

    /// Refuses steps that are not among these many.
    pub(crate) fn check_steps(&self, steps: &Range<usize>, count: usize) -> Result<(), Error> {
        if steps.end <= count {
            return Ok(());
        }
        Err(Error::Range {
            what: "last step",
            value: steps.end as f64,
            least: 0.0,
            greatest: count as f64,
        })
    }

    /// Writes the gradient of step `t` at `w` to `g`; returns the loss.
    pub(crate) fn gradient(
        &self,
        t: usize,
        w: &[S],
        g: &mut [S],
        scratch: &mut Scratch<'_, S>,
    ) -> Result<S, Error> {
        self.batches.fill(t, scratch.batch)?;
        let at = At {
            w,
            h: self.h,
            batch: scratch.batch,
        };
        self.objective.gradient(at, g, None, scratch.numbers)
    }

    /// A part of the training: these steps alone, which follow the ones before in the same vectors. Step 0
    /// begins it, and step `T - 1` ends it. `path` records it; `each` is told every step's loss before the step.
    pub(crate) fn train_over(
        &self,
        steps: Range<usize>,
        path: &mut dyn Path<A, S>,
        walk: &mut Vectors<'_, S>,
        scratch: &mut Scratch<'_, S>,
        stepping: &dyn Stepping<A, S>,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        self.check()?;
        let p = self.objective.weights();
        for (what, x) in [
            ("w", &*walk.w),
            ("g", &*walk.g),
            ("spare a", &*walk.spare.a),
            ("spare b", &*walk.spare.b),
        ] {
            check_len(what, x, p)?;
        }
        check_len("v", walk.v, self.schedule.optimizer.slots() * p)?;
        let (want, got) = (self.objective.scratch_len(), scratch.numbers.len());
        if got < want {
            return Err(Error::Length {
                what: "scratch",
                want,
                got,
            });
        }
        self.check_steps(&steps, self.steps)?;
        if steps.is_empty() {
            return Ok(());
        }
        if steps.start == 0 {
            walk.v.fill(S::ZERO);
            path.start(walk.w)?;
        }
        let end = steps.end;
        for t in steps {
            path.record(t, walk.w, walk.v, walk.spare.again())?;
            let loss = self.gradient(t, walk.w, walk.g, scratch)?;
            let mut steps = Replay {
                problem: self,
                stepping,
                scratch,
            };
            if !path.advance(t, walk.w, walk.v, walk.g, &mut steps)? {
                steps.step(t, walk.w, walk.v, walk.g);
            }
            if !loss.is_finite() {
                return Err(Error::Diverged {
                    what: "training loss",
                    step: t,
                });
            }
            stepping.check((self.schedule.optimizer, t), t, walk.g, walk.v)?;
            each(t, loss);
        }
        if end < self.steps {
            return Ok(());
        }
        let remembered = self.schedule.optimizer.remembered();
        for (what, x) in [("weights", &*walk.w), (remembered, &*walk.v)] {
            if !all_finite(x) {
                let step = self.steps;
                return Err(Error::Diverged { what, step });
            }
        }
        path.finish(walk.w, walk.v, walk.spare.again())
    }
}

/// The training step as a path sees it.
pub(crate) struct Replay<'r, 'a, 's, 'b, A: Arithmetic, S: Scalar> {
    pub(crate) problem: &'r InnerProblem<'a, A, S>,
    pub(crate) stepping: &'r dyn Stepping<A, S>,
    pub(crate) scratch: &'s mut Scratch<'b, S>,
}

impl<A: Arithmetic, S: Scalar> Replay<'_, '_, '_, '_, A, S> {
    fn step(&self, t: usize, w: &mut [S], v: &mut [S], g: &[S]) {
        let schedule = &self.problem.schedule;
        schedule.apply(self.stepping, (t, t), g, v, w);
    }
}

impl<A: Arithmetic, S: Scalar> Steps<S> for Replay<'_, '_, '_, '_, A, S> {
    fn replay(&mut self, t: usize, w: &mut [S], v: &mut [S], g: &mut [S]) -> Result<(), Error> {
        self.gradient(t, w, g)?;
        self.step(t, w, v, g);
        Ok(())
    }

    fn gradient(&mut self, t: usize, w: &[S], g: &mut [S]) -> Result<(), Error> {
        self.problem.gradient(t, w, g, self.scratch).map(|_| ())
    }

    fn optimizer(&self) -> Optimizer {
        self.problem.schedule.optimizer
    }

    fn each(&self, t: usize, body: &mut dyn FnMut(Block, RowSteps<'_, S>)) {
        self.problem.schedule.each(t, body);
    }
}
