//! The forward walk: heavy ball from `w_0` to `w_T`.
//!
//! ```text
//! v <- gamma_t v - (1 - gamma_t) g(w, batch_t)        w <- w + alpha_t v        t = 0 .. T-1
//! ```
//!
//! with `v_0 = 0`. A [`Path`] watches it. The walk is a function of its [`Run`] and of `w_0` alone,
//! so any step can be taken again. A loss or a weight that is no longer finite stops it with the
//! step at which that was seen; no NaN is ever returned.

use crate::error::{Error, exactly};
use crate::group::Groups;
use crate::kernels::momentum::{self, Step};
use crate::kernels::reduce::all_finite;
use crate::objective::{At, Objective};
use crate::path::{Path, Spare, Steps};
use crate::random::Batches;
use crate::scalar::Scalar;

/// The rate and the momentum of each step and group.
///
/// ```
/// use drmad::{group::Groups, train::Schedule};
/// let constant = Schedule { groups: Groups::global(10), rates: &[0.1f32], momenta: &[0.9] };
/// assert_eq!(constant.step(1234, 0).rate, 0.1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a, S> {
    /// Which weights share a rate and a momentum; a weight in no group is not trained.
    pub groups: Groups<'a>,
    /// The rates `alpha`: one a group, or steps x groups.
    pub rates: &'a [S],
    /// The momenta `gamma` in [0, 1): one a group, or steps x groups.
    pub momenta: &'a [S],
}

impl<S: Scalar> Schedule<'_, S> {
    /// Rate and momentum of step `t` of a group.
    #[inline]
    pub fn step(&self, t: usize, group: usize) -> Step<S> {
        let of = |table: &[S]| {
            let constant = table.len() == self.groups.len();
            let index = if constant {
                group
            } else {
                t * self.groups.len() + group
            };
            table.get(index).copied().unwrap_or(S::ZERO)
        };
        Step {
            rate: of(self.rates),
            momentum: of(self.momenta),
        }
    }

    /// Calls `body` with the range of weights of each group's rows and the group's number.
    #[inline]
    pub(crate) fn each(&self, mut body: impl FnMut(core::ops::Range<usize>, usize)) {
        for block in self.groups.blocks() {
            let Some(first) = block.hyper else { continue };
            for row in 0..block.rows {
                let start = block.start + row * block.columns;
                body(start..start + block.columns, first + row);
            }
        }
    }

    fn check(&self, weights: usize, steps: usize) -> Result<(), Error> {
        let groups = self.groups.len();
        if self.groups.weights() != weights {
            return Err(Error::Length {
                what: "weights of the schedule's groups",
                want: weights,
                got: self.groups.weights(),
            });
        }
        for (what, table) in [("rates", self.rates), ("momenta", self.momenta)] {
            if table.len() != groups && Some(table.len()) != groups.checked_mul(steps) {
                return Err(Error::Length {
                    what,
                    want: groups.saturating_mul(steps),
                    got: table.len(),
                });
            }
            for (i, x) in table.iter().enumerate() {
                if !x.is_finite() {
                    return Err(Error::NonFinite {
                        what,
                        step: i / groups.max(1),
                    });
                }
            }
        }
        for (i, momentum) in self.momenta.iter().enumerate() {
            if *momentum < S::ZERO || *momentum >= S::ONE {
                return Err(Error::Momentum {
                    value: momentum.to_f64(),
                    step: if self.momenta.len() == groups {
                        0
                    } else {
                        i / groups
                    },
                });
            }
        }
        Ok(())
    }
}

/// A training: everything the walk is a function of, but for `w_0`. The crate's first page has an
/// example.
#[derive(Debug)]
pub struct Run<'a, O, S> {
    /// What is minimised.
    pub objective: &'a O,
    /// Its hyperparameters.
    pub h: &'a [S],
    /// Rates and momenta.
    pub schedule: Schedule<'a, S>,
    /// Which examples each step sees.
    pub batches: Batches,
    /// The number `T` of steps.
    pub steps: usize,
}

/// The vectors of a training, `P` numbers each.
#[derive(Debug)]
pub struct Walk<'a, S> {
    /// The weights: `w_0` going in, `w_T` coming out.
    pub w: &'a mut [S],
    /// The velocity: `v_T` coming out.
    pub v: &'a mut [S],
    /// The gradient.
    pub g: &'a mut [S],
    /// What the path may use while training goes on.
    pub spare: Spare<'a, S>,
}

/// Memory that objectives compute in and batches are drawn into.
#[derive(Debug)]
pub struct Scratch<'a, S> {
    /// At least as many numbers as the objective's pass needs.
    pub numbers: &'a mut [S],
    /// One element for each example of a batch.
    pub batch: &'a mut [u32],
}

impl<O: Objective, S: Scalar> Run<'_, O, S> {
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
        exactly("h", self.h, self.objective.hypers())?;
        if !all_finite(self.h) {
            return Err(Error::NonFinite { what: "h", step: 0 });
        }
        self.schedule.check(self.objective.weights(), self.steps)
    }

    /// One step, from `w` and `v` in place; returns the loss before it.
    fn step(
        &self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &mut [S],
        scratch: &mut Scratch<'_, S>,
    ) -> Result<S, Error> {
        self.batches.fill(t, scratch.batch)?;
        let at = At {
            w,
            h: self.h,
            batch: scratch.batch,
        };
        let loss = self.objective.gradient(at, g, None, scratch.numbers)?;
        self.schedule.each(|range, group| {
            let by = self.schedule.step(t, group);
            if let (Some(g), Some(v), Some(w)) = (
                g.get(range.clone()),
                v.get_mut(range.clone()),
                w.get_mut(range),
            ) {
                momentum::step::<O::Arithmetic, S>(by, g, v, w);
            }
        });
        Ok(loss)
    }

    /// The walk. `path` records it; `each` is told every step's loss before the step.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Diverged`] with the step at which the loss or the
    /// weights were no longer finite; what the objective or the path refuse.
    pub fn train(
        &self,
        path: &mut dyn Path<S>,
        walk: &mut Walk<'_, S>,
        scratch: &mut Scratch<'_, S>,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        self.check()?;
        let p = self.objective.weights();
        for (what, x) in [
            ("w", &*walk.w),
            ("v", &*walk.v),
            ("g", &*walk.g),
            ("spare a", &*walk.spare.a),
            ("spare b", &*walk.spare.b),
        ] {
            exactly(what, x, p)?;
        }
        let (want, got) = (self.objective.scratch_len(), scratch.numbers.len());
        if got < want {
            return Err(Error::Length {
                what: "scratch",
                want,
                got,
            });
        }
        walk.v.fill(S::ZERO);
        for t in 0..self.steps {
            path.record(t, walk.w, walk.v, walk.spare.again())?;
            let loss = self.step(t, walk.w, walk.v, walk.g, scratch)?;
            if !loss.is_finite() {
                return Err(Error::Diverged {
                    what: "training loss",
                    step: t,
                });
            }
            each(t, loss);
        }
        if !(all_finite(walk.w) && all_finite(walk.v)) {
            return Err(Error::Diverged {
                what: "weights",
                step: self.steps,
            });
        }
        path.finish(walk.w, walk.v, walk.spare.again())
    }
}

/// The training step as a path sees it.
pub(crate) struct Replay<'r, 'a, 's, 'b, O, S> {
    pub(crate) run: &'r Run<'a, O, S>,
    pub(crate) scratch: &'s mut Scratch<'b, S>,
}

impl<O: Objective, S: Scalar> Steps<S> for Replay<'_, '_, '_, '_, O, S> {
    fn replay(&mut self, t: usize, w: &mut [S], v: &mut [S], g: &mut [S]) -> Result<(), Error> {
        self.run.step(t, w, v, g, self.scratch).map(|_| ())
    }

    fn velocity(&self, t: usize, change: &mut [S]) {
        self.run.schedule.each(|range, group| {
            let rate = self.run.schedule.step(t, group).rate;
            if let Some(change) = change.get_mut(range) {
                for x in change {
                    // A group that does not move tells nothing of its velocity.
                    *x = if rate == S::ZERO { S::ZERO } else { *x / rate };
                }
            }
        });
    }
}
