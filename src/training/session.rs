//! A hypergradient under way: a described training by a few steps at a time, so that others may run between them,
//! saved and restored with the same bits.
//!
//! ```text
//! memory    values of h | derivatives by them | vectors and scratch | path | batch | numbers of the examples
//! ```
//!
//! A session is one hypergradient. For the next one, make another in the same memory.
//!
//! Costs nothing over the training and the sweep that it takes.
//!
//! Refused: initial scales where only the last steps are taken back, since the derivative by the initial weights is
//! not known there.

use bytemuck::Pod;

use super::room::Room;
use super::values::{Derivatives, Values};
use super::{On, Training, What};
use crate::error::Error;
use crate::hypergradient::{Outcome, Progress, Trainer, Validation, Wanted, Workspace};
use crate::method::{Extent, Method, Sweep};
use crate::objective::{At, Differentiable, Directions, Products};
use crate::optimizer::{Both, stepping, stepping_back};
use crate::path::{Chosen, Path};
use crate::random::{Batches, Initial, InitialWeights};
use crate::scalar::{Arithmetic, Real, Scalar};
use crate::state;
use crate::train::InnerProblem;
use crate::wrap::dropped;

/// A hypergradient of a [`Training`] by a sweep, under way.
///
/// ```
/// use drmad::{Error, Fused, layers::Layer::*, method::Sweep, models::Features, network::{Loss, Network}};
/// use drmad::{group::Granularity, method::Method, training::*};
/// const NET: Network = Network { inputs: 2, layers: &[Dense(2)], loss: Loss::CrossEntropy };
/// const RATES: &[Tuned] = &[Tuned { each_step: true, ..Tuned::new(What::Rate, Granularity::Layer) }];
/// const TRAINING: Training = Training { tuned: RATES, ..Training::of(NET, 2, 30) };
/// const HATS: Sweep = Sweep::HATS;
///
/// let two = Features { x: &[1.0, 0.0, 0.0, 1.0], labels: &[0, 1], width: 2 };
/// let (losses, h) = (TRAINING.losses::<Fused>(&two, &two)?, [-2.0; 30]);
/// let mut memory = [0f32; TRAINING.need::<f32>(Method::HATS).len()];
/// let mut flash = [0; TRAINING.state_len::<f32>(Method::HATS)];
///
/// let mut session = Session::new(TRAINING, HATS, losses.on(), &h, &mut memory)?;
/// while session.advance(4, &mut |_, _| ())?.is_none() {
///     // Whatever else is to be done; and the power may go.
///     session.save(0, 7, &mut flash)?;
/// }
/// let (mut d_h, mut restored) = ([0.0; 30], [0.0; 30]);
/// session.hypergradient(&mut d_h)?;
///
/// let mut session = Session::new(TRAINING, HATS, losses.on(), &h, &mut memory)?;
/// session.restore(7, &flash)?;
/// assert!(session.advance(4, &mut |_, _| ())?.is_some());
/// session.hypergradient(&mut restored)?;
/// assert_eq!(d_h, restored);
/// # Ok::<(), Error>(())
/// ```
pub struct Session<'m, A: Arithmetic, S: Scalar> {
    training: Training<'m>,
    on: On<'m, A, S>,
    values: Values<'m, S>,
    /// The derivatives by the values.
    d: &'m mut [S],
    workspace: Workspace<'m, S>,
    path: Chosen<'m, A, S>,
    batch: &'m mut [u32],
    valid: &'m [u32],
    progress: Progress<S>,
    done: bool,
    both: Both<'static, A, S>,
    curvature: Curvature<'m, A, S>,
    /// The batches of the backward pass, where they are not those of the training.
    fresh: Option<Batches>,
}

impl<'m, A: Arithmetic, S: Real + Pod> Session<'m, A, S> {
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub(super) fn begin(
        training: Training<'m>,
        sweep: Sweep,
        on: On<'m, A, S>,
        h: &[S],
        memory: &'m mut [S],
    ) -> Result<Self, Error> {
        training.check()?;
        if sweep.last.is_some_and(|last| last < training.steps)
            && training.block(What::InitialScale).is_some()
        {
            return Err(Error::Unsupported {
                what: "initial scales where only the last steps are taken back: take all of them back",
            });
        }
        let Room {
            values,
            d,
            workspace,
            path,
            batch,
            examples: valid,
        } = training.cut::<A, S>(Method::Sweep(sweep), h, memory)?;
        let (p, schedule) = (training.layout().weights(), training.tunes_schedule());
        let workspace = Workspace::new(workspace, p, training.optimizer, schedule)?;
        let problem = values.run(on.training)?;
        let extent = Extent::of(&problem.schedule, training.steps, schedule);
        let path = sweep.chosen(extent, values.initial(on.initial), path)?;
        Ok(Session {
            training,
            on,
            values,
            d,
            workspace,
            path,
            batch,
            valid,
            progress: Progress::default(),
            done: false,
            both: (
                stepping(training.optimizer),
                stepping_back(training.optimizer),
            ),
            curvature: Curvature::of(sweep, on.training),
            fresh: None,
        })
    }

    /// The same with batches of its own on the backward pass: whether the hypergradient is that of the batches that it
    /// trained on, or of any. For paths that take no step again.
    #[must_use]
    pub fn with_fresh_batches(self, batches: Batches) -> Self {
        let fresh = Some(batches);
        Session { fresh, ..self }
    }

    /// Numbers that its path keeps, beyond weights, velocity, gradient and adjoints.
    pub fn floats(&self) -> usize {
        self.path.floats()
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress<S> {
        self.progress
    }

    /// The weights: the trained ones from the last step of the training until the backward pass begins.
    pub fn weights(&self) -> &[S] {
        self.workspace.w
    }

    /// The weights, and the scratch that their loss computes in, which is free between two steps: for a look at what
    /// they predict, without memory of its own.
    pub fn weights_and_scratch(&mut self) -> (&[S], &mut [S]) {
        (self.workspace.w, self.workspace.scratch)
    }

    pub(super) fn go_on(
        &mut self,
        steps: usize,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<Option<Outcome<S>>, Error> {
        let left = self.left();
        if self.fresh.is_some() && (1..steps).contains(&left) {
            // The backward pass begins with a run of other batches.
            self.go_on(left, each)?;
            return self.go_on(steps.saturating_sub(left), each);
        }
        let validation = Validation {
            objective: self.on.validation,
            examples: self.valid,
        };
        let initial = self.values.initial(self.on.initial);
        let (was_done, both) = (self.done, self.both);
        let outcome = self.with(|problem, trainer| {
            problem.advance_by(both, trainer, (&initial, &validation), steps, each)
        })?;
        self.done = outcome.is_some();
        if self.done && !was_done {
            self.by_initial_scales(initial)?;
        }
        Ok(outcome)
    }

    /// The steps of the training that are left.
    pub(super) fn left(&self) -> usize {
        self.training.steps.saturating_sub(self.progress.walked)
    }

    /// The validation loss at its weights.
    pub(super) fn valid_loss(&mut self) -> Result<S, Error> {
        let at = At {
            w: self.workspace.w,
            h: self.values.h(),
            batch: self.valid,
        };
        finite_loss(self.on.validation, at, self.workspace.scratch)
    }

    /// The hypergradient, where it is done.
    ///
    /// # Errors
    /// [`Error::Order`] before; [`Error::Length`].
    pub fn hypergradient(&self, d_h: &mut [S]) -> Result<(), Error> {
        if !self.done {
            return Err(Error::Order {
                want: self.progress.swept,
                got: self.training.steps,
            });
        }
        self.values.pull_back(self.d, d_h)
    }

    /// The derivative by the initial weights, where it is done and all steps were taken back.
    pub fn by_initial_weights(&self) -> &[S] {
        self.workspace.d_w
    }

    pub(super) fn write(
        &mut self,
        sequence: u64,
        tag: u64,
        bytes: &mut [u8],
    ) -> Result<usize, Error> {
        self.with(|problem, trainer| state::save(sequence, &mut problem.state(trainer, tag), bytes))
    }

    pub(super) fn read(&mut self, tag: u64, bytes: &[u8]) -> Result<u64, Error> {
        self.with(|problem, trainer| state::restore(bytes, &mut problem.state(trainer, tag)))
    }

    /// Calls `body` with the run and the trainer.
    fn with<T>(
        &mut self,
        body: impl FnOnce(&InnerProblem<'_, A, S>, &mut Trainer<'_, A, S>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let curvature = &self.curvature;
        let mut problem = self.values.run((curvature.seen)(&curvature.of))?;
        if let (Some(fresh), true) = (self.fresh, self.progress.walked == problem.steps) {
            problem.batches = fresh;
        }
        let d = self.values.derivatives(self.d)?;
        let Derivatives {
            h, rates, momenta, ..
        } = d;
        let schedule = self.training.tunes_schedule();
        let wanted = Wanted {
            d_h: h,
            schedule: schedule.then_some((rates, momenta)),
        };
        let mut trainer = Trainer::new(&mut self.path, self.workspace.again(), self.batch, wanted)
            .at(self.progress);
        let result = body(&problem, &mut trainer);
        self.progress = trainer.progress();
        result
    }

    fn by_initial_scales(&mut self, initial: Initial<'_, S>) -> Result<(), Error> {
        let (Some(_), Initial::Drawn(normal)) = (self.training.block(What::InitialScale), initial)
        else {
            return Ok(());
        };
        let d = self.values.derivatives(self.d)?;
        normal.fill(0, self.workspace.w);
        normal.adjoint(self.workspace.w, self.workspace.d_w, d.log_scales)
    }
}

/// A validation loss that is finite.
pub(super) fn finite_loss<A: Arithmetic, S: Scalar>(
    validation: &dyn Differentiable<A, S>,
    at: At<'_, S>,
    scratch: &mut [S],
) -> Result<S, Error> {
    let loss = validation.loss(at, scratch)?;
    if loss.is_finite() {
        return Ok(loss);
    }
    Err(Error::Diverged {
        what: "validation loss",
        step: 0,
    })
}

/// A loss with all of its curvature or without the negative one: chosen once, so that a program which drops none links
/// nothing of that.
struct Curvature<'m, A, S> {
    of: DroppedCurvature<'m, A, S>,
    seen: for<'s> fn(&'s DroppedCurvature<'m, A, S>) -> &'s dyn Differentiable<A, S>,
}

impl<'m, A: Arithmetic, S: Scalar> Curvature<'m, A, S> {
    #[cfg_attr(not(feature = "std"), inline(always))]
    fn of(sweep: Sweep, loss: &'m dyn Differentiable<A, S>) -> Self {
        Curvature {
            of: DroppedCurvature(loss),
            seen: if sweep.drops_negative_curvature {
                |loss| loss
            } else {
                |loss| loss.0
            },
        }
    }
}

/// A loss whose second-order products of negative curvature are left out: those of [`DropNegativeCurvature`](crate::wrap::DropNegativeCurvature).
struct DroppedCurvature<'a, A, S>(&'a dyn Differentiable<A, S>);

impl<A: Arithmetic, S: Scalar> Differentiable<A, S> for DroppedCurvature<'_, A, S> {
    fn weights(&self) -> usize {
        self.0.weights()
    }

    fn hypers(&self) -> usize {
        self.0.hypers()
    }

    fn scratch_len(&self) -> usize {
        self.0.scratch_len()
    }

    fn gradient(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.0.gradient(at, g, d_h, scratch)
    }

    fn loss_scratch_len(&self) -> usize {
        self.0.loss_scratch_len()
    }

    fn loss(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        self.0.loss(at, scratch)
    }

    fn second_order_scratch_len(&self) -> usize {
        let inner = self.0.second_order_scratch_len();
        self.weights().saturating_add(inner)
    }

    fn second_order(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        let inner =
            |out: Products<'_, S>, scratch: &mut [S]| self.0.second_order(at, d, out, scratch);
        dropped::<A, S>(self.weights(), d, out, scratch, inner)
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        self.0.tangents_scratch_len(count)
    }

    fn tangents(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.0.tangents(at, along, g, g_dot, scratch)
    }
}
