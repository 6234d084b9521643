//! The methods that are no sweep: forward mode, and those that look at the last weights alone.
//!
//! Refused: more than [`MOST_TANGENTS`](Training::MOST_TANGENTS) hyperparameters of forward mode; rates, momenta and
//! initial scales at the last weights, which do not know them.

use bytemuck::Pod;

use super::room::Room;
use super::values::{Tables, place};
use super::{Observer, On, Training, What};
use crate::error::Error;
use crate::forward::{Forward, Wrt};
use crate::hypergradient::{Outcome, Validation, Workspace};
use crate::implicit::{Implicit, Solver};
use crate::method::Method;
use crate::optimizer::Stepping;
use crate::path::Line;
use crate::pieces::{copy, part, part_mut};
use crate::scalar::{Arithmetic, Real};

impl Training<'_> {
    /// The most tangents that forward mode carries here: each costs about what a sweep costs.
    pub const MOST_TANGENTS: usize = 64;

    pub(super) fn forward<A: Arithmetic, S: Real + Pod>(
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
    pub(super) fn at_the_end<A: Arithmetic, S: Real + Pod>(
        &self,
        (method, stepping): (Method, &dyn Stepping<A, S>),
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
