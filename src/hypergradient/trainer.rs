//! A hypergradient by as many steps at a time as one likes, saved and restored between them.
//!
//! Costs nothing over the training and the sweep that it takes. Refused: a state of something else.

use super::{Outcome, Validation, Wanted, Workspace};
use crate::error::Error;
use crate::optimizer::{Both, stepping, stepping_back};
use crate::path::Path;
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Schedule};
use crate::state::{FIELD, Fields, KIND, Kind, State, crc32, digest, with_header};
use crate::train::InnerProblem;

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

impl<A: Arithmetic, S: Scalar> InnerProblem<'_, A, S> {
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
        let optimizer = self.schedule.optimizer;
        let both = (stepping(optimizer), stepping_back(optimizer));
        self.advance_by(both, trainer, (initial, validation), steps, each)
    }

    /// The same by the kernels of the optimizer that are given.
    pub(crate) fn advance_by(
        &self,
        both: Both<'_, A, S>,
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
            self.train_steps(steps, *path, workspace, batch, both.0, each)?;
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
            self.sweep_steps(steps, *path, workspace, batch, wanted, both)?;
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
