//! From initial weights to a hypergradient: training, validation and sweep in one call, in one
//! buffer.
//!
//! [`Workspace`] cuts a flat buffer into the vectors that the walk and the sweep need, and lets each
//! serve twice: the adjoints are the path's while training goes on; velocity and gradient are the
//! path's afterwards.
//!
//! Refused: a validation loss of other weights or hyperparameters than the training's, or that is not
//! finite.

use crate::error::{Error, cut, exactly, same};
use crate::kernels::reduce::all_finite;
use crate::objective::{At, Objective};
use crate::path::{Path, Spare};
use crate::random::Origin;
use crate::scalar::Scalar;
use crate::schedule::{Rule, Tables};
use crate::sweep::{Adjoints, State};
use crate::train::{Run, Scratch, Walk};

/// The validation loss `E(w_T, h)`: an objective with the same `w` and `h` as the training's, and
/// the examples to evaluate it on.
#[derive(Clone, Copy, Debug)]
pub struct Validation<'a, E> {
    /// The loss, without the training's penalties.
    pub objective: &'a E,
    /// Its examples.
    pub examples: &'a [u32],
}

/// One flat buffer, cut into the vectors of a hypergradient. All are `P` long but for the scratch, and
/// for `v` and `d_v`, which are as long as what the rule remembers.
#[derive(Debug)]
pub struct Workspace<'a, S> {
    /// The weights.
    pub w: &'a mut [S],
    /// The velocity.
    pub v: &'a mut [S],
    /// The gradient.
    pub g: &'a mut [S],
    /// The adjoint of the weights; after the sweep the derivative by the initial weights.
    pub d_w: &'a mut [S],
    /// The adjoint of the velocity.
    pub d_v: &'a mut [S],
    /// The adjoint of the gradient.
    pub d_g: &'a mut [S],
    /// Two more, where the way back needs `v` and `g` ([`Rule::recalls`]); empty otherwise.
    pub spare: [&'a mut [S]; 2],
    /// What objectives compute in.
    pub scratch: &'a mut [S],
}

impl<'a, S: Scalar> Workspace<'a, S> {
    /// Numbers of buffer for `weights`, and `scratch` of the objectives ([`scratch_len`]): six vectors
    /// for the heavy ball, eight with a `schedule`, ten for Adam.
    ///
    /// ```
    /// use drmad::{hypergradient::Workspace, schedule::Rule};
    /// assert_eq!(Workspace::<f32>::required_len(10, 100, Rule::HeavyBall, false), 160);
    /// assert_eq!(Workspace::<f32>::required_len(10, 100, Rule::ADAM, false), 200);
    /// ```
    pub const fn required_len(weights: usize, scratch: usize, rule: Rule, schedule: bool) -> usize {
        let spare = if rule.recalls(schedule) { 2 } else { 0 };
        weights
            .saturating_mul(4 + 2 * rule.slots() + spare)
            .saturating_add(scratch)
    }

    /// Cuts `buffer`; all that is left is scratch.
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short for the vectors.
    pub fn new(
        mut buffer: &'a mut [S],
        weights: usize,
        rule: Rule,
        schedule: bool,
    ) -> Result<Self, Error> {
        let mut vector = |len| cut("workspace", &mut buffer, len);
        let remembered = weights.saturating_mul(rule.slots());
        let more = if rule.recalls(schedule) { weights } else { 0 };
        Ok(Workspace {
            w: vector(weights)?,
            v: vector(remembered)?,
            g: vector(weights)?,
            d_w: vector(weights)?,
            d_v: vector(remembered)?,
            d_g: vector(weights)?,
            spare: [vector(more)?, vector(more)?],
            scratch: buffer,
        })
    }
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
pub struct Outcome<S> {
    /// The validation loss `E(w_T, h)`.
    pub valid_loss: S,
    /// Steps that the sweep took back.
    pub steps_back: usize,
}

impl<O: Objective, S: Scalar> Run<'_, O, S> {
    /// Trains from `origin`, leaving `w_T` in `workspace.w`.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn walk(
        &self,
        origin: &dyn Origin<S>,
        path: &mut dyn Path<S>,
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        let p = self.objective.weights();
        exactly("w", workspace.w, p)?;
        same("weights of the origin", p, origin.weights())?;
        origin.fill(0, workspace.w);
        let mut walk = Walk {
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
        self.train(path, &mut walk, &mut scratch, each)
    }

    /// The direct term `dE/dh` alone, written to `d_h` (`H`), and the validation loss: the baseline
    /// that takes the weights for constants. `workspace.d_w` is left with `dE/dw_T`.
    ///
    /// ```
    /// use drmad::{Fused, group::Groups, hypergradient::*, models::Quadratic, random::Batches, train::*};
    /// let bowl = Quadratic::<Fused>::new(&[2.0]);
    /// let schedule = Schedule { groups: Groups::global(1), rule: Rule::HeavyBall, rates: &[0.1f32], momenta: &[0.5] };
    /// let batches = Batches { seed: 0, examples: 1, size: 1 };
    /// let run = Run { objective: &bowl, h: &[1.0], schedule, batches, steps: 1 };
    /// let mut buffer = [0.0; 6];
    /// let mut workspace = Workspace::new(&mut buffer, 1, Rule::HeavyBall, false)?;
    /// workspace.w[0] = 4.0;
    /// let (validation, mut d_h) = (Validation { objective: &bowl, examples: &[] }, [0.0]);
    /// assert_eq!(run.direct(&validation, &mut workspace, &mut d_h)?, 9.0);
    /// assert_eq!((d_h[0], workspace.d_w[0]), (-6.0, 6.0));
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Diverged`] for the validation loss or its gradients; [`Error::Length`]; what the
    /// objective refuses.
    pub fn direct<E: Objective>(
        &self,
        validation: &Validation<'_, E>,
        workspace: &mut Workspace<'_, S>,
        d_h: &mut [S],
    ) -> Result<S, Error> {
        let (training, outside) = (self.objective, validation.objective);
        same(
            "weights of the validation loss",
            training.weights(),
            outside.weights(),
        )?;
        same(
            "hyperparameters of the validation loss",
            training.hypers(),
            outside.hypers(),
        )?;
        exactly("d_h", d_h, training.hypers())?;
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

    /// The hypergradient of the validation loss after [`walk`](Self::walk), whose weights and path
    /// it uses up. `workspace.d_w` is left with the derivative by the initial weights.
    ///
    /// # Errors
    /// [`Error::Diverged`] for the validation loss or the adjoints; otherwise as
    /// [`sweep`](Self::sweep).
    pub fn back<E: Objective>(
        &self,
        validation: &Validation<'_, E>,
        path: &mut dyn Path<S>,
        workspace: &mut Workspace<'_, S>,
        batch: &mut [u32],
        wanted: Wanted<'_, S>,
    ) -> Result<Outcome<S>, Error> {
        let valid_loss = self.direct(validation, workspace, wanted.d_h)?;
        let schedule = wanted
            .schedule
            .map(|(rates, momenta)| Tables { rates, momenta });
        let [spare_a, spare_b] = &mut workspace.spare;
        let (spare, state) = if self.schedule.rule.recalls(schedule.is_some()) {
            for (spare, v) in spare_a.iter_mut().zip(workspace.v.iter()) {
                *spare = *v;
            }
            let (v, g) = (&mut *workspace.v, &mut *workspace.g);
            (
                Spare {
                    a: spare_a,
                    b: spare_b,
                },
                Some(State { v, g }),
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
        let steps_back = self.sweep(path, &mut adjoints, &mut scratch)?;
        Ok(Outcome {
            valid_loss,
            steps_back,
        })
    }
}
