//! The hypergradient of a training by any [`Method`], for someone who may look on.
//!
//! A sweep is a [`Session`] that is taken to its end. Forward mode carries a tangent for each hyperparameter, of which
//! there may be 64 ([`Training::MOST_TANGENTS`]); implicit differentiation and the direct term look at the last weights.
//!
//! Costs what the method costs.
//!
//! Refused: more tangents than that; rates, momenta and initial scales at the last weights, which do not know them.

use bytemuck::Pod;

use super::values::{Tables, place};
use super::{Compiled, On, Room, Session, Training, What};
use crate::error::{Error, check_len};
use crate::forward::{Forward, Wrt};
use crate::hypergradient::{Outcome, Validation, Workspace};
use crate::implicit::{Implicit, Solved, Solver};
use crate::method::Method;
use crate::optimizer::stepping;
use crate::path::Line;
use crate::pieces::{copy, part, part_mut};
use crate::scalar::{Arithmetic, Real};

/// Someone who looks on while a training runs. What is not of interest is left out; `()` looks at nothing.
pub trait Observer<S> {
    /// A step of the training, and its loss before it was taken.
    fn step(&mut self, t: usize, loss: S) {
        let _ = (t, loss);
    }

    /// The trained weights, before the backward pass.
    fn trained(&mut self, w: &[S]) {
        let _ = w;
    }

    /// What became of the linear system of implicit differentiation.
    fn solved(&mut self, solved: Solved<S>) {
        let _ = solved;
    }

    /// The derivative by the initial weights, last of all: of a sweep alone, and by the weights before the last
    /// steps where only these are taken back.
    fn by_initial_weights(&mut self, d_w0: &[S]) {
        let _ = d_w0;
    }
}

impl<S> Observer<S> for () {}

impl Training<'_> {
    /// Trains with hyperparameters `h` and takes the derivative of the validation loss by each of them to `d_h`,
    /// in `memory` that has its [`need`](Self::need).
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::Length`]; [`Error::NonFinite`] for an entry of `h` that stands for
    /// no finite number; [`Error::Diverged`] with the step; what the method and the losses refuse.
    /// [`Error::Unsupported`] where the method knows no derivative by something that is tuned. `d_h` is as it was.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn hypergradient<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
    ) -> Result<Outcome<S>, Error> {
        self.observed(method, on, h, d_h, memory, &mut ())
    }

    /// The same, with someone who looks on.
    ///
    /// # Errors
    /// As [`hypergradient`](Self::hypergradient).
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn observed<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        A::observed(self, method, on, h, d_h, memory, observer)
    }

    #[cfg_attr(not(feature = "std"), inline(always))]
    pub(super) fn observe<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        check_len("d_h", d_h, self.hypers().len())?;
        match method {
            Method::Sweep(sweep) => {
                let mut session = Session::new(*self, sweep, on, h, memory)?;
                let w = session.train(&mut |t, loss| observer.step(t, loss))?;
                observer.trained(w);
                let outcome = session.advance(usize::MAX, &mut |_, _| ())?;
                let outcome = outcome.ok_or(Error::NoSteps)?;
                session.hypergradient(d_h)?;
                observer.by_initial_weights(session.by_initial_weights());
                Ok(outcome)
            }
            Method::Forward => self.forward(on, h, d_h, memory, observer),
            Method::Implicit { .. } | Method::Direct => {
                self.at_the_end(method, on, h, d_h, memory, observer)
            }
        }
    }

    /// The most tangents that forward mode carries here: each costs about what a sweep costs.
    pub const MOST_TANGENTS: usize = 64;

    fn forward<A: Arithmetic, S: Real + Pod>(
        &self,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        self.check()?;
        let count = self.hypers().len();
        let mut wrt = [Wrt::Initial; Self::MOST_TANGENTS];
        let Some(wrt) = wrt.get_mut(..count) else {
            return Err(Error::Range {
                what: "tangents of forward mode",
                value: count as f64,
                least: 0.0,
                greatest: Self::MOST_TANGENTS as f64,
            });
        };
        let tables = Tables::of(self);
        for (block, range) in self.hypers().blocks() {
            let here = part_mut(wrt, range);
            for (wrt, place) in here.iter_mut().zip(place(self, block)) {
                *wrt = match block.what {
                    What::Rate => Wrt::Rate(place.saturating_sub(tables.rates)),
                    What::Momentum => Wrt::Momentum(place.saturating_sub(tables.momenta)),
                    What::InitialScale => Wrt::Initial,
                    _ => Wrt::Hyper(place),
                };
            }
        }
        let Room {
            values,
            d,
            workspace,
            batch,
            examples: valid,
            ..
        } = self.cut::<A, S>(Method::Forward, h, memory)?;
        let problem = values.run(on.training)?;
        let mut forward = Forward::new(workspace, &problem, wrt)?;
        forward.start(&values.initial(on.initial))?;
        if let (Some((_, range)), None) = (self.hypers().block(What::InitialScale), on.initial) {
            let rows = forward.w_dot.chunks_exact_mut(forward.w.len().max(1));
            for (group, w_dot) in rows.skip(range.start).take(range.len()).enumerate() {
                values.normal().tangent(group, forward.w, w_dot)?;
            }
        }
        let each = &mut |t, loss| observer.step(t, loss);
        problem.forward(0..self.steps, &mut forward, batch, each)?;
        observer.trained(forward.w);
        let validation = Validation {
            objective: on.validation,
            examples: valid,
        };
        let mut by_entries = [S::ZERO; Self::MOST_TANGENTS];
        let by_entries = part_mut(&mut by_entries, 0..count);
        let valid_loss = problem.hypergradient(&validation, &mut forward, by_entries)?;
        for (block, range) in self.hypers().blocks() {
            let table = part_mut(d, place(self, block));
            copy(part(by_entries, range), table);
        }
        values.pull_back(d, d_h)?;
        Ok(Outcome {
            valid_loss,
            steps_back: 0,
        })
    }

    /// The methods that look at the last weights alone.
    #[cfg_attr(not(feature = "std"), inline(always))]
    fn at_the_end<A: Arithmetic, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        if self.tunes_schedule() || self.block(What::InitialScale).is_some() {
            return Err(Error::Unsupported {
                what: "derivatives by rates, momenta and initial scales at the last weights, which do not know them: take a sweep",
            });
        }
        self.check()?;
        let Room {
            values,
            d,
            workspace,
            batch,
            examples,
            ..
        } = self.cut::<A, S>(method, h, memory)?;
        let initial = values.initial(on.initial);
        let (problem, mut path) = (values.run(on.training)?, Line::new(initial, self.steps));
        let mut workspace =
            Workspace::new(workspace, self.layout().weights(), self.optimizer, false)?;
        let each = &mut |t, loss| observer.step(t, loss);
        let stepping = stepping(self.optimizer);
        problem.train_by(stepping, (&initial, &mut path), &mut workspace, batch, each)?;
        observer.trained(workspace.w);
        let validation = Validation {
            objective: on.validation,
            examples: part(examples, 0..self.valid_examples),
        };
        let d_loss = values.derivatives(d)?.h;
        let valid_loss = match method {
            Method::Implicit {
                series_rate,
                iterations,
                tolerance,
                damping,
            } => {
                let settings = Implicit {
                    examples: part(examples, 0..self.examples),
                    solver: match series_rate {
                        Some(rate) => Solver::Neumann {
                            rate: S::from_f32(rate),
                        },
                        None => Solver::ConjugateGradients,
                    },
                    iterations,
                    tolerance: S::from_f32(tolerance),
                    damping: S::from_f32(damping),
                };
                let solved = problem.implicit(&validation, &settings, &mut workspace, d_loss)?;
                observer.solved(solved);
                solved.valid_loss
            }
            _ => problem.direct(&validation, &mut workspace, d_loss)?,
        };
        values.pull_back(d, d_h)?;
        Ok(Outcome {
            valid_loss,
            steps_back: 0,
        })
    }
}
