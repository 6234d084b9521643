//! From initial weights to a hypergradient: training, validation and sweep in one call, in one
//! buffer.
//!
//! [`Workspace`] cuts a flat buffer into the vectors that the training and the sweep need, and lets each
//! serve twice: the adjoints are the path's while training goes on; velocity and gradient are the
//! path's afterwards.
//!
//! A [`Trainer`] does the same by as many steps at a time as one likes, and its state can be
//! [saved](crate::state) between them, while training and on the backward pass.
//!
//! Refused: a validation loss of other weights or hyperparameters than the training's, or that is not
//! finite.

mod trainer;
mod workspace;

use core::ops::Range;

use crate::error::{Error, check_equal, check_len};
use crate::kernels::reduce::all_finite;
use crate::objective::{At, Differentiable, Objective};
use crate::optimizer::{Both, Stepping, stepping, stepping_back};
use crate::path::{Path, Spare};
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::Tables;
use crate::sweep::{self, Adjoints};
use crate::train::{InnerProblem, Scratch, Vectors};

pub use trainer::{Progress, Trainer};
pub use workspace::Workspace;

/// The validation loss `E(w_T, h)`: an objective with the same `w` and `h` as the training's, and
/// the examples to evaluate it on.
#[derive(Clone, Copy)]
pub struct Validation<'a, A: Arithmetic, S: Scalar> {
    /// The loss, without the training's penalties.
    pub objective: &'a dyn Differentiable<A, S>,
    /// Its examples.
    pub examples: &'a [u32],
}

/// Scratch that a training on `objective` and a validation on `validation` need together.
pub fn scratch_len<O: Objective, E: Objective>(objective: &O, validation: &E) -> usize {
    objective
        .scratch_len()
        .max(objective.second_order_scratch_len())
        .max(validation.scratch_len())
}

/// Where the hypergradient goes.
#[derive(Debug)]
pub struct Wanted<'a, S> {
    /// The derivative by `h` (`H`), overwritten.
    pub d_h: &'a mut [S],
    /// The derivatives by the schedule's tables of rates and of momenta, where they are wanted.
    pub schedule: Option<(&'a mut [S], &'a mut [S])>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Outcome<S> {
    /// The validation loss `E(w_T, h)`.
    pub valid_loss: S,
    /// Steps that the sweep took back.
    pub steps_back: usize,
}

impl<A: Arithmetic, S: Scalar> InnerProblem<'_, A, S> {
    /// Scratch that this training and a validation loss need together: [`scratch_len`] of its objectives.
    pub fn scratch_len(&self, validation: &Validation<'_, A, S>) -> usize {
        self.objective
            .scratch_len()
            .max(self.objective.second_order_scratch_len())
            .max(validation.objective.scratch_len())
    }

    /// Trains from `initial`, leaving `w_T` in `workspace.w`.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Diverged`] with the step at which the loss or the
    /// weights were no longer finite; [`Error::Moment`] where a second moment of Adam was too great;
    /// what the objective or the path refuse.
    pub fn train(
        &self,
        initial: &dyn InitialWeights<S>,
        path: &mut dyn Path<A, S>,
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        let stepping = stepping(self.schedule.optimizer);
        self.train_by(stepping, (initial, path), workspace, batch, each)
    }

    /// The same by the kernels of the optimizer that are given.
    pub(crate) fn train_by(
        &self,
        stepping: &dyn Stepping<A, S>,
        (initial, path): (&dyn InitialWeights<S>, &mut dyn Path<A, S>),
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        // That of no steps begins, too, and is refused then.
        self.begin(initial, workspace)?;
        self.train_steps(0..self.steps, path, workspace, batch, stepping, each)
    }

    fn begin(
        &self,
        initial: &dyn InitialWeights<S>,
        workspace: &mut Workspace<'_, S>,
    ) -> Result<(), Error> {
        let p = self.objective.weights();
        check_len("w", workspace.w, p)?;
        check_equal("initial weights", p, initial.weights())?;
        initial.fill(0, workspace.w);
        Ok(())
    }

    /// These steps of the training.
    fn train_steps(
        &self,
        steps: Range<usize>,
        path: &mut dyn Path<A, S>,
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        stepping: &dyn Stepping<A, S>,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        let p = self.objective.weights();
        let mut walk = Vectors {
            w: workspace.w,
            v: workspace.v,
            g: workspace.g,
            spare: Spare {
                a: workspace.d_w,
                b: workspace.d_v.get_mut(..p).unwrap_or_default(),
            },
        };
        let mut scratch = Scratch {
            numbers: workspace.scratch,
            batch,
        };
        self.train_over(steps, path, &mut walk, &mut scratch, stepping, each)
    }

    /// The direct term `dE/dh` alone, written to `d_h` (`H`), and the validation loss: the baseline
    /// that takes the weights for constants. `workspace.d_w` is left with `dE/dw_T`.
    ///
    /// ```
    /// use drmad::{Fused, group::Groups, hypergradient::*, models::Quadratic, random::Batches, schedule::*, train::*};
    /// let bowl = Quadratic::<Fused>::new(&[2.0]);
    /// let schedule = Schedule { groups: Groups::global(1), optimizer: Optimizer::HeavyBall, rates: &[0.1f32], momenta: &[0.5] };
    /// let batches = Batches { seed: 0, examples: 1, size: 1 };
    /// let problem = InnerProblem { objective: &bowl, h: &[1.0], schedule, batches, steps: 1 };
    /// let mut buffer = [0.0; Workspace::<f32>::required_len(1, 0, Optimizer::HeavyBall, false)];
    /// let mut workspace = Workspace::new(&mut buffer, 1, Optimizer::HeavyBall, false)?;
    /// workspace.w[0] = 4.0;
    /// let (validation, mut d_h) = (Validation { objective: &bowl, examples: &[] }, [0.0]);
    /// assert_eq!(problem.direct(&validation, &mut workspace, &mut d_h)?, 9.0);
    /// assert_eq!((d_h[0], workspace.d_w[0]), (-6.0, 6.0));
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Diverged`] for the validation loss or its gradients; [`Error::Length`]; what the
    /// objective refuses.
    pub fn direct(
        &self,
        validation: &Validation<'_, A, S>,
        workspace: &mut Workspace<'_, S>,
        d_h: &mut [S],
    ) -> Result<S, Error> {
        let (training, outside) = (self.objective, validation.objective);
        check_equal(
            "weights of the validation loss",
            training.weights(),
            outside.weights(),
        )?;
        check_equal(
            "hyperparameters of the validation loss",
            training.hypers(),
            outside.hypers(),
        )?;
        check_len("d_h", d_h, training.hypers())?;
        // An objective without hyperparameters of its own leaves these as they are.
        d_h.fill(S::ZERO);
        let at = At {
            w: workspace.w,
            h: self.h,
            batch: validation.examples,
        };
        let valid_loss = outside.gradient(at, workspace.d_w, Some(&mut *d_h), workspace.scratch)?;
        for (what, finite) in [
            ("validation loss", valid_loss.is_finite()),
            ("gradient of the validation loss", all_finite(workspace.d_w)),
            ("direct term", all_finite(d_h)),
        ] {
            if !finite {
                let step = self.steps;
                return Err(Error::Diverged { what, step });
            }
        }
        Ok(valid_loss)
    }

    /// The hypergradient of the validation loss after [`train`](Self::train), whose weights and path
    /// it uses up. `workspace.d_w` is left with the derivative by the initial weights.
    ///
    /// # Errors
    /// [`Error::Diverged`] for the validation loss or the adjoints, with the step at which these were no longer
    /// finite; [`Error::Length`], also where the path's plan is for another number of steps; [`Error::Range`] where it
    /// takes back none, or more than there are; what the run, the objective or the path refuse.
    pub fn backward(
        &self,
        validation: &Validation<'_, A, S>,
        path: &mut dyn Path<A, S>,
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        mut wanted: Wanted<'_, S>,
    ) -> Result<Outcome<S>, Error> {
        let valid_loss = self.turn(validation, workspace, &mut wanted)?;
        let steps_back = path.plan(self.steps).steps;
        let (all, optimizer) = (0..steps_back, self.schedule.optimizer);
        let both = (stepping(optimizer), stepping_back(optimizer));
        self.sweep_steps(all, path, workspace, batch, &mut wanted, both)?;
        Ok(Outcome {
            valid_loss,
            steps_back,
        })
    }

    /// What lies between the training and the sweep; returns the validation loss.
    fn turn(
        &self,
        validation: &Validation<'_, A, S>,
        workspace: &mut Workspace<'_, S>,
        wanted: &mut Wanted<'_, S>,
    ) -> Result<S, Error> {
        let valid_loss = self.direct(validation, workspace, wanted.d_h)?;
        // Empty where the sweep gets `v` itself.
        for (spare, v) in workspace.spare[0].iter_mut().zip(workspace.v.iter()) {
            *spare = *v;
        }
        Ok(valid_loss)
    }

    /// These steps of the sweep.
    fn sweep_steps(
        &self,
        steps: Range<usize>,
        path: &mut dyn Path<A, S>,
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        wanted: &mut Wanted<'_, S>,
        both: Both<'_, A, S>,
    ) -> Result<(), Error> {
        let schedule = wanted
            .schedule
            .as_mut()
            .map(|(rates, momenta)| Tables { rates, momenta });
        let [spare_a, spare_b] = &mut workspace.spare;
        let (spare, state) = if self.schedule.optimizer.recalls(schedule.is_some()) {
            let (v, g) = (&mut *workspace.v, &mut *workspace.g);
            (
                Spare {
                    a: spare_a,
                    b: spare_b,
                },
                Some(sweep::State { v, g }),
            )
        } else {
            let (a, b) = (&mut *workspace.v, &mut *workspace.g);
            (Spare { a, b }, None)
        };
        let mut adjoints = Adjoints {
            w: workspace.w,
            d_w: workspace.d_w,
            d_v: workspace.d_v,
            d_g: workspace.d_g,
            d_h: wanted.d_h,
            spare,
            state,
            schedule,
        };
        let mut scratch = Scratch {
            numbers: workspace.scratch,
            batch,
        };
        self.sweep_over(steps, path, &mut adjoints, &mut scratch, both)
    }
}
