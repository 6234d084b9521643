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

use core::ops::Range;

use crate::error::{Error, check_equal, check_len, cut};
use crate::kernels::reduce::all_finite;
use crate::objective::{At, Differentiable, Objective};
use crate::optimizer::{Stepping, stepping};
use crate::path::{Path, Spare};
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Schedule, Tables};
use crate::state::{FIELD, Fields, KIND, Kind, State, crc32, digest, with_header};
use crate::sweep::{self, Adjoints};
use crate::train::{InnerProblem, Scratch, Vectors};

/// The validation loss `E(w_T, h)`: an objective with the same `w` and `h` as the training's, and
/// the examples to evaluate it on.
#[derive(Clone, Copy)]
pub struct Validation<'a, A: Arithmetic, S: Scalar> {
    /// The loss, without the training's penalties.
    pub objective: &'a dyn Differentiable<A, S>,
    /// Its examples.
    pub examples: &'a [u32],
}

/// One flat buffer, cut into the vectors of a hypergradient. What a training takes in all is a constant,
/// and a network that does not fit is an error of the build:
///
/// ```
/// use drmad::{group::Layout, hypergradient::*, models::{Inputs, Pass}, path::Quantised, schedule::Optimizer};
///
/// const WIDTHS: &[usize] = &[16, 12, 4];
/// const NETWORK: Pass = Pass { layout: Layout::Layers(WIDTHS), microbatch: 8, inputs: Inputs::Gathered };
/// const P: usize = NETWORK.weights();
/// const SCRATCH: usize = NETWORK.second_order_scratch_len();
/// const VECTORS: usize = Workspace::<f32>::required_len(P, SCRATCH, Optimizer::HeavyBall, false);
/// // Hats over 8 intervals: their rows and factors.
/// const PATH: usize = Quantised::<11>::required_len(P, 8) + 9;
/// // Rate and penalty with their hypergradient and Adam's two moments, and a batch of 8 examples.
/// const BYTES: usize = 4 * (VECTORS + PATH + 2 * 4 + 8);
/// const { assert!(BYTES <= 16 * 1024, "the network does not fit") };
/// ```
///
/// With layers of 17 units it would not be built:
///
/// ```compile_fail,E0080
/// use drmad::{group::Layout, hypergradient::*, models::{Inputs, Pass}, path::Quantised, schedule::Optimizer};
///
/// const WIDTHS: &[usize] = &[16, 17, 17, 4];
/// const NETWORK: Pass = Pass { layout: Layout::Layers(WIDTHS), microbatch: 8, inputs: Inputs::Gathered };
/// const P: usize = NETWORK.weights();
/// const SCRATCH: usize = NETWORK.second_order_scratch_len();
/// const VECTORS: usize = Workspace::<f32>::required_len(P, SCRATCH, Optimizer::HeavyBall, false);
/// const PATH: usize = Quantised::<11>::required_len(P, 8) + 9;
/// const BYTES: usize = 4 * (VECTORS + PATH + 2 * 4 + 8);
/// const { assert!(BYTES <= 16 * 1024, "the network does not fit") };
/// ```
///
/// All are `P` long but for the scratch, and
/// for `v` and `d_v`, which are as long as what the optimizer remembers.
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
    /// Two more, where the backward pass needs `v` and `g` ([`Optimizer::recalls`]); empty otherwise.
    pub spare: [&'a mut [S]; 2],
    /// What objectives compute in.
    pub scratch: &'a mut [S],
}

impl<'a, S: Scalar> Workspace<'a, S> {
    /// Numbers of buffer for `weights`, and `scratch` of the objectives ([`scratch_len`]): six vectors
    /// for the heavy ball, eight with a `schedule`, ten for Adam.
    ///
    /// ```
    /// use drmad::{hypergradient::Workspace, schedule::Optimizer};
    /// assert_eq!(Workspace::<f32>::required_len(10, 100, Optimizer::HeavyBall, false), 160);
    /// assert_eq!(Workspace::<f32>::required_len(10, 100, Optimizer::ADAM, false), 200);
    /// ```
    pub const fn required_len(
        weights: usize,
        scratch: usize,
        optimizer: Optimizer,
        schedule: bool,
    ) -> usize {
        weights
            .saturating_mul(1 + Self::kept(optimizer, schedule))
            .saturating_add(scratch)
    }

    /// Vectors that a training goes on from: all but `d_g`.
    const fn kept(optimizer: Optimizer, schedule: bool) -> usize {
        let spare = if optimizer.recalls(schedule) { 2 } else { 0 };
        3 + 2 * optimizer.slots() + spare
    }

    /// Cuts `buffer`; all that is left is scratch.
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short for the vectors.
    pub fn new(
        mut buffer: &'a mut [S],
        weights: usize,
        optimizer: Optimizer,
        schedule: bool,
    ) -> Result<Self, Error> {
        let mut vector = |len| cut("workspace", &mut buffer, len);
        let remembered = weights.saturating_mul(optimizer.slots());
        let more = if optimizer.recalls(schedule) {
            weights
        } else {
            0
        };
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

impl<S> Workspace<'_, S> {
    /// The same for a while.
    pub(crate) fn again(&mut self) -> Workspace<'_, S> {
        let [a, b] = &mut self.spare;
        Workspace {
            w: self.w,
            v: self.v,
            g: self.g,
            d_w: self.d_w,
            d_v: self.d_v,
            d_g: self.d_g,
            spare: [a, b],
            scratch: self.scratch,
        }
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

/// How far a hypergradient has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Progress<S> {
    /// Steps of the training taken.
    pub walked: usize,
    /// Steps of the sweep taken; none before the training is done.
    pub swept: usize,
    /// The validation loss, from the first step of the sweep on.
    pub valid_loss: S,
}

/// A hypergradient under way, in the caller's buffers. [`InnerProblem::advance`] takes it further, by some steps
/// at a time; between them [`InnerProblem::state`] is what to save.
///
/// ```
/// use drmad::{group::Groups, hypergradient::*, models::Quadratic, path::Tape, random::Batches, schedule::*, train::*};
/// use drmad::{Error, Fused, objective::dual_required_len, state};
///
/// const RULE: Optimizer = Optimizer::HeavyBall;
/// const SPACE: usize = Workspace::<f32>::required_len(2, dual_required_len(2, 2, 0), RULE, false);
/// const TAPE: usize = Tape::<f32>::required_len(2, 20, 0);
/// const LEN: usize = Trainer::<Fused, f32>::state_len(2, 2, RULE, None, Tape::<f32>::state_len(2, 20, 0));
///
/// /// Goes on from what is in `flash` until the power goes after `steps` steps, or to the end.
/// fn boot(flash: &mut [u8; LEN], steps: usize) -> Result<Option<[f32; 2]>, Error> {
///     let bowl = Quadratic::<Fused>::new(&[1.0, 10.0]);
///     let schedule = Schedule { groups: Groups::global(2), optimizer: RULE, rates: &[0.1f32], momenta: &[0.5] };
///     let batches = Batches { seed: 0, examples: 1, size: 1 };
///     let problem = InnerProblem { objective: &bowl, h: &[0.0, 0.5], schedule, batches, steps: 20 };
///     let (mut buffer, mut storage, mut batch, mut d_h) = ([0.0; SPACE], [0.0; TAPE], [0], [0.0; 2]);
///     let workspace = Workspace::new(&mut buffer, 2, RULE, false)?;
///     let mut tape = Tape::new(2, 20, 0, &mut storage)?;
///     let wanted = Wanted { d_h: &mut d_h, schedule: None };
///     let mut trainer = Trainer::new(&mut tape, workspace, &mut batch, wanted);
///     if state::newest(&[flash]).is_some() {
///         state::restore(flash, &mut problem.state(&mut trainer, 0))?;
///     }
///     let (initial, validation) = ([1.0, 1.0], Validation { objective: &bowl, examples: &[] });
///     let done = problem.advance(&mut trainer, &&initial[..], &validation, steps, &mut |_, _| ())?;
///     state::save(0, &mut problem.state(&mut trainer, 0), flash)?;
///     Ok(done.map(|_| d_h))
/// }
///
/// let mut flash = [0xff; LEN];
/// let uninterrupted = boot(&mut flash.clone(), 40)?;
/// // Twice on the way there, and once on the way back.
/// assert_eq!([7, 7, 11].map(|steps| boot(&mut flash, steps)), [Ok(None); 3]);
/// assert_eq!(boot(&mut flash, 40)?, uninterrupted);
/// # Ok::<(), Error>(())
/// ```
pub struct Trainer<'a, A: Arithmetic, S: Scalar> {
    /// What remembers the trajectory.
    pub path: &'a mut dyn Path<A, S>,
    /// The vectors: in the end with the derivative by the initial weights in `d_w`.
    pub workspace: Workspace<'a, S>,
    /// One element for each example of a batch.
    pub batch: &'a mut [u32],
    /// Where the hypergradient goes.
    pub wanted: Wanted<'a, S>,
    progress: Progress<S>,
}

impl<'a, A: Arithmetic, S: Scalar> Trainer<'a, A, S> {
    /// A hypergradient that has not begun.
    pub fn new(
        path: &'a mut dyn Path<A, S>,
        workspace: Workspace<'a, S>,
        batch: &'a mut [u32],
        wanted: Wanted<'a, S>,
    ) -> Self {
        Trainer {
            path,
            workspace,
            batch,
            wanted,
            progress: Progress::default(),
        }
    }

    /// The same where one has come so far.
    pub(crate) fn at(self, progress: Progress<S>) -> Self {
        Trainer { progress, ..self }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress<S> {
        self.progress
    }

    /// Begins again, for the next hypergradient.
    pub fn restart(&mut self) {
        self.progress = Progress::default();
    }

    /// Bytes of its [state](InnerProblem::state), with tables of so many rates and momenta where their
    /// hypergradients are wanted, and a path of so many bytes (each has a `state_len`, too). The layout
    /// is the same on the way there and back.
    pub const fn state_len(
        weights: usize,
        hypers: usize,
        optimizer: Optimizer,
        schedule: Option<(usize, usize)>,
        path: usize,
    ) -> usize {
        let kept = Workspace::<S>::kept(optimizer, schedule.is_some());
        let (rates, momenta) = match schedule {
            Some(lens) => lens,
            None => (0, 0),
        };
        let numbers = weights
            .saturating_mul(kept)
            .saturating_add(hypers)
            .saturating_add(rates)
            .saturating_add(momenta)
            .saturating_add(1);
        let fields = numbers.saturating_mul(S::BYTES).saturating_add(path);
        with_header(fields.saturating_add(KIND + 19 * FIELD))
    }
}

/// A [`Trainer`] with the run that it belongs to: [`InnerProblem::state`].
struct Saved<'r, 't, 'a, A: Arithmetic, S: Scalar> {
    problem: &'r InnerProblem<'r, A, S>,
    trainer: &'t mut Trainer<'a, A, S>,
    tag: u64,
}

impl<A: Arithmetic, S: Scalar> State for Saved<'_, '_, '_, A, S> {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let (problem, trainer) = (self.problem, &mut *self.trainer);
        let Schedule {
            groups,
            optimizer,
            rates,
            momenta,
        } = problem.schedule;
        let (optimizer, constants) = match optimizer {
            Optimizer::HeavyBall => (1, [0.0; 3]),
            Optimizer::Nesterov => (2, [0.0; 3]),
            Optimizer::Adam { b2, eps, decay } => (3, [b2, eps, decay]),
        };
        fields.kind(Kind::Trainer, S::BYTES, self.tag)?;
        for (what, value) in [
            ("number of weights", problem.objective.weights() as u64),
            (
                "number of hyperparameters",
                problem.objective.hypers() as u64,
            ),
            ("number of steps", problem.steps as u64),
            ("examples in a batch", problem.batches.size as u64),
            ("number of examples", problem.batches.examples as u64),
            ("seed of the batches", problem.batches.seed),
            ("arithmetic", u64::from(crc32(A::NAME.as_bytes()))),
            ("optimizer", optimizer),
            ("optimizer's constants", digest(&constants)),
            ("number of groups", groups.len() as u64),
            ("hyperparameters", digest(problem.h)),
            ("rates", digest(rates)),
            ("momenta", digest(momenta)),
        ] {
            fields.same(what, value)?;
        }
        let Progress {
            walked,
            swept,
            valid_loss,
        } = &mut trainer.progress;
        let walked = fields.count("steps trained", walked, problem.steps)?;
        let back = trainer.path.plan(problem.steps).steps;
        let back = if walked == problem.steps { back } else { 0 };
        fields.count("steps swept", swept, back)?;
        valid_loss.state(fields)?;
        let Workspace {
            w,
            v,
            g,
            d_w,
            d_v,
            d_g: _,
            spare: [a, b],
            scratch: _,
        } = &mut trainer.workspace;
        fields.same("numbers of the workspace", (a.len() + b.len()) as u64)?;
        for vector in [w, v, g, d_w, d_v, a, b] {
            fields.numbers(vector)?;
        }
        fields.same("length of d_h", trainer.wanted.d_h.len() as u64)?;
        fields.numbers(trainer.wanted.d_h)?;
        let (rates, momenta) = match &mut trainer.wanted.schedule {
            Some((rates, momenta)) => (&mut **rates, &mut **momenta),
            None => (&mut [][..], &mut [][..]),
        };
        fields.same("length of d_rates", rates.len() as u64)?;
        fields.same("length of d_momenta", momenta.len() as u64)?;
        fields.numbers(rates)?;
        fields.numbers(momenta)?;
        trainer.path.state(fields)
    }
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
        let (all, stepping) = (0..steps_back, stepping(self.schedule.optimizer));
        self.sweep_steps(all, path, workspace, batch, &mut wanted, stepping)?;
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
        stepping: &dyn Stepping<A, S>,
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
        self.sweep_over(steps, path, &mut adjoints, &mut scratch, stepping)
    }

    /// Takes a hypergradient at most `steps` steps further, of the training and then of the sweep: from
    /// `initial` to `validation` and back, as [`train`](Self::train) and [`backward`](Self::backward). Returns what
    /// came of it where it is done.
    ///
    /// # Errors
    /// As those two. After an error it has to begin again, and does.
    pub fn advance(
        &self,
        trainer: &mut Trainer<'_, A, S>,
        initial: &dyn InitialWeights<S>,
        validation: &Validation<'_, A, S>,
        steps: usize,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<Option<Outcome<S>>, Error> {
        let stepping = stepping(self.schedule.optimizer);
        self.advance_by(stepping, trainer, (initial, validation), steps, each)
    }

    /// The same by the kernels of the optimizer that are given.
    pub(crate) fn advance_by(
        &self,
        stepping: &dyn Stepping<A, S>,
        trainer: &mut Trainer<'_, A, S>,
        (initial, validation): (&dyn InitialWeights<S>, &Validation<'_, A, S>),
        steps: usize,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<Option<Outcome<S>>, Error> {
        let mut progress = trainer.progress;
        trainer.restart();
        let Trainer {
            path,
            workspace,
            batch,
            wanted,
            ..
        } = trainer;
        let mut left = steps;
        if progress.walked == 0 {
            self.begin(initial, workspace)?;
        }
        let end = self.steps.min(progress.walked.saturating_add(left));
        if progress.walked < end || self.steps == 0 {
            let steps = progress.walked..end;
            self.train_steps(steps, *path, workspace, batch, stepping, each)?;
            left -= end - progress.walked;
            progress.walked = end;
        }
        let all = path.plan(self.steps).steps;
        let unswept = all.saturating_sub(progress.swept);
        let some = unswept.min(left);
        if progress.walked == self.steps && (some > 0 || all == 0) {
            if progress.swept == 0 {
                progress.valid_loss = self.turn(validation, workspace, wanted)?;
            }
            let steps = unswept - some..unswept;
            self.sweep_steps(steps, *path, workspace, batch, wanted, stepping)?;
            progress.swept += some;
        }
        trainer.progress = progress;
        let done = progress.walked == self.steps && progress.swept == all;
        Ok(done.then_some(Outcome {
            valid_loss: progress.valid_loss,
            steps_back: all,
        }))
    }

    /// The state of a hypergradient of this run, to be [saved](crate::state::save) and
    /// [restored](crate::state::restore); `tag` is a number that must be the same. A restored one goes on
    /// with the same bits. Neither the objective's data nor the initial weights are part of it.
    pub fn state<'t, 'a>(
        &'t self,
        trainer: &'t mut Trainer<'a, A, S>,
        tag: u64,
    ) -> impl State + use<'t, 'a, A, S> {
        Saved {
            problem: self,
            trainer,
            tag,
        }
    }
}
