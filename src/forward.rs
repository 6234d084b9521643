//! Forward mode: one tangent per hyperparameter, carried along with training (Franceschi et al. 2017,
//! section 3.2).
//!
//! With `s = (w, v)` the state of a training and `s <- f_t(s, lambda)` its step, the tangent
//! `s_dot = ds/dlambda` follows it by their equation 13, and the hypergradient is known at any step
//! (equations 14 and 15):
//!
//! ```text
//! g_dot = H w_dot + M' h_dot        s_dot <- d/de f_t(s + e s_dot, lambda + e)
//! dE/dlambda = <grad_w E, w_dot> + <grad_h E, h_dot>
//! ```
//!
//! The derivative of the step is the optimizer's own formula on [dual numbers](crate::Dual); of the heavy ball,
//! with `alpha_dot` or `gamma_dot` 1 where `lambda` is the rate or the momentum, that is
//!
//! ```text
//! v_dot <- gamma v_dot - (1 - gamma) g_dot + gamma_dot (v + g)
//! w_dot <- w_dot + alpha v_dot + alpha_dot v
//! ```
//!
//! It is exact, needs no [`Path`](crate::path::Path) and no end of the training: what a few
//! hyperparameters ask for. A training may be stopped after any step and read, its hyperparameters
//! changed and the training taken up again with the tangents it has: hyperparameters tuned in real time
//! (RTHO, section 3.3). It costs `K` passes a step where a sweep costs one for all, and a tangent
//! needs as many vectors as the training itself.
//!
//! Refused: tangents that are no longer finite; directions that are no coordinate, but for one of the
//! initial weights. Sums of tangents give the others.

use core::ops::Range;

use crate::error::{Error, check_equal, check_index, check_len, cut};
use crate::group::Block;
use crate::hypergradient::Validation;
use crate::kernels::momentum::{Moving, Seed};
use crate::kernels::reduce::{all_finite, dot};
use crate::kernels::{adam, momentum, nesterov};
use crate::objective::{At, Directions, Objective};
use crate::optimizer::stepping;
use crate::pieces::{split, split_mut};
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Schedule, place};
use crate::state::{FIELD, Fields, KIND, Kind, State, with_header};
use crate::train::InnerProblem;

/// What a tangent is the derivative by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Wrt {
    /// This number of `h`.
    Hyper(usize),
    /// This entry of the schedule's table of rates.
    Rate(usize),
    /// This entry of the schedule's table of momenta.
    Momentum(usize),
    /// The initial weights, along what the caller writes to [`w_dot`](Forward::w_dot) after
    /// [`start`](Forward::start), such as [`Normal::tangent`](crate::random::Normal::tangent).
    Initial,
}

/// A training with its tangents, `K` of them, in one flat buffer.
///
/// ```
/// use drmad::{forward::{Forward, Wrt, scratch_len}, hypergradient::Validation, schedule::*, train::*};
/// use drmad::{group::Groups, models::Quadratic, random::Batches, Fused};
///
/// // One step from 1 by v = -(1 - gamma) (w - h), w + alpha v; the loss at the end is (w - h)^2 / 2.
/// let bowl = Quadratic::<Fused>::new(&[1.0]);
/// const RULE: Optimizer = Optimizer::HeavyBall;
/// let groups = Groups::global(1);
/// let schedule = Schedule { groups, optimizer: RULE, rates: &[0.5f32], momenta: &[0.5] };
/// let batches = Batches { seed: 0, examples: 1, size: 1 };
/// let problem = InnerProblem { objective: &bowl, h: &[0.0], schedule, batches, steps: 1 };
///
/// let wrt = [Wrt::Hyper(0), Wrt::Rate(0)];
/// let mut buffer = vec![0.0; Forward::<f32>::required_len(1, 1, RULE, 2, scratch_len(&bowl, &bowl, 2))];
/// let mut forward = Forward::new(&mut buffer, &problem, &wrt)?;
/// forward.start(&&[1.0][..])?;
/// let mut batch = [0];
/// problem.forward(0..1, &mut forward, &mut batch, &mut |_, _| ())?;
/// let validation = Validation { objective: &bowl, examples: &[] };
/// let mut d = [0.0; 2];
/// problem.hypergradient(&validation, &mut forward, &mut d)?;
/// assert_eq!((forward.w[0], d), (0.75, [0.75 * (0.25 - 1.0), 0.75 * -0.5]));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Forward<'a, S> {
    /// The weights (`P`).
    pub w: &'a mut [S],
    /// What the optimizer remembers, one or two vectors of `P`.
    pub v: &'a mut [S],
    /// The gradient (`P`).
    pub g: &'a mut [S],
    /// What each tangent is the derivative by (`K`).
    pub wrt: &'a [Wrt],
    /// The weights' tangents (`K x P`).
    pub w_dot: &'a mut [S],
    /// The tangents of what the optimizer remembers, each as long as `v`.
    pub v_dot: &'a mut [S],
    /// The gradient's tangents (`K x P`).
    pub g_dot: &'a mut [S],
    /// The directions of `h` (`K x H`).
    pub h_dot: &'a mut [S],
    /// What objectives compute in.
    pub scratch: &'a mut [S],
    /// The steps of the training it was made for: what a saved step is held to.
    steps: usize,
    /// Steps taken since what the optimizer remembers was 0: since [`start`](Self::start) or
    /// [`restart`](Self::restart). Adam corrects its bias by this number, whatever step it is.
    pub taken: usize,
}

/// Scratch that a training on `objective` with `count` tangents and a validation on `validation` need.
pub fn scratch_len<O: Objective, E: Objective>(
    objective: &O,
    validation: &E,
    count: usize,
) -> usize {
    let validation = validation.hypers().saturating_add(validation.scratch_len());
    objective.tangents_scratch_len(count).max(validation)
}

impl<'a, S: Scalar> Forward<'a, S> {
    /// Numbers of buffer for `weights`, `hypers`, `count` tangents, and `scratch` of the objectives
    /// ([`scratch_len`]).
    ///
    /// ```
    /// use drmad::{forward::Forward, schedule::Optimizer};
    /// assert_eq!(Forward::<f32>::required_len(10, 2, Optimizer::HeavyBall, 3, 100), 30 + 3 * 32 + 100);
    /// ```
    pub const fn required_len(
        weights: usize,
        hypers: usize,
        optimizer: Optimizer,
        count: usize,
        scratch: usize,
    ) -> usize {
        let state = weights.saturating_mul(2 + optimizer.slots());
        let tangents = count.saturating_mul(state.saturating_add(hypers));
        state.saturating_add(tangents).saturating_add(scratch)
    }

    /// Cuts `buffer` for a training like `run`; all that is left is scratch. The state is for
    /// [`start`](Self::start) to set.
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short; [`Error::Index`] for a coordinate that does not exist.
    pub fn new<A: Arithmetic>(
        mut buffer: &'a mut [S],
        problem: &InnerProblem<'_, A, S>,
        wrt: &'a [Wrt],
    ) -> Result<Self, Error> {
        let (p, hypers) = (problem.objective.weights(), problem.objective.hypers());
        let (slots, count) = (problem.schedule.optimizer.slots(), wrt.len());
        let mut vector = |rows: usize, len| cut("forward", &mut buffer, rows.saturating_mul(len));
        let mut forward = Forward {
            w: vector(1, p)?,
            v: vector(slots, p)?,
            g: vector(1, p)?,
            wrt,
            w_dot: vector(count, p)?,
            v_dot: vector(count, p.saturating_mul(slots))?,
            g_dot: vector(count, p)?,
            h_dot: vector(count, hypers)?,
            scratch: buffer,
            steps: problem.steps,
            taken: 0,
        };
        problem.check_forward(&forward)?;
        forward.h_dot.fill(S::ZERO);
        for (wrt, h_dot) in wrt
            .iter()
            .zip(forward.h_dot.chunks_exact_mut(hypers.max(1)))
        {
            if let Wrt::Hyper(i) = wrt
                && let Some(h_dot) = h_dot.get_mut(*i)
            {
                *h_dot = S::ONE;
            }
        }
        forward.restart();
        Ok(forward)
    }

    /// Sets the weights to the initial ones, and all else to 0.
    ///
    /// # Errors
    /// [`Error::Length`] where the initial weights are another number.
    pub fn start(&mut self, initial: &dyn InitialWeights<S>) -> Result<(), Error> {
        check_equal("initial weights", self.w.len(), initial.weights())?;
        initial.fill(0, self.w);
        self.restart();
        Ok(())
    }

    /// A warm restart: the weights stay and are from now on a constant, their tangents and all that the
    /// optimizer remembers 0.
    pub fn restart(&mut self) {
        self.taken = 0;
        self.v.fill(S::ZERO);
        self.w_dot.fill(S::ZERO);
        self.v_dot.fill(S::ZERO);
    }
}

/// A training with its tangents as a state to be [saved](crate::state), together with the
/// [`Tuner`](crate::tuner::Tuner) of its hyperparameters: a state may be two.
///
/// ```
/// use drmad::{forward::*, outer::Sgd, state, schedule::*, train::*, tuner::Tuner};
/// use drmad::{group::Groups, models::Quadratic, random::Batches, Fused};
///
/// const RULE: Optimizer = Optimizer::HeavyBall;
/// let bowl = Quadratic::<Fused>::new(&[1.0]);
/// let schedule = Schedule { groups: Groups::global(1), optimizer: RULE, rates: &[0.5f32], momenta: &[0.5] };
/// let batches = Batches { seed: 0, examples: 1, size: 1 };
/// let mut h = [0.25];
/// let problem = InnerProblem { objective: &bowl, h: &h.clone(), schedule, batches, steps: 10 };
/// let mut buffer = vec![0.0; Forward::<f32>::required_len(1, 1, RULE, 1, scratch_len(&bowl, &bowl, 1))];
/// let mut forward = Forward::new(&mut buffer, &problem, &[Wrt::Hyper(0)])?;
///
/// let (mut sgd, mut memory, mut t) = (Sgd { rate: 0.5f32 }, [0.0; Tuner::<f32>::need(1).len()], 0);
/// let tuner = Tuner::new(&mut h, &mut sgd, &mut memory)?;
/// let training = Stepped { forward: &mut forward, t: &mut t, tag: 0 };
/// let mut flash = [0xff; Tuner::<f32>::state_len(1, 0, Sgd::<f32>::STATE_LEN)
///     + Stepped::<f32>::state_len(1, 1, RULE, 1)];
/// state::save(7, &mut (tuner, training), &mut flash)?;
/// assert_eq!(state::newest(&[&flash]).map(|found| found.sequence), Some(7));
/// # Ok::<(), drmad::Error>(())
/// ```
pub struct Stepped<'f, 'a, S> {
    /// The training with its tangents.
    pub forward: &'f mut Forward<'a, S>,
    /// The step that is due.
    pub t: &'f mut usize,
    /// What must be the same where it is restored: a number of the caller's choice.
    pub tag: u64,
}

impl<S: Scalar> Stepped<'_, '_, S> {
    /// Bytes of the state of `weights` and `hypers` with `count` tangents.
    pub const fn state_len(
        weights: usize,
        hypers: usize,
        optimizer: Optimizer,
        count: usize,
    ) -> usize {
        // Neither `g` nor its tangents.
        let one = weights.saturating_mul(1 + optimizer.slots());
        let tangents = count.saturating_mul(one.saturating_add(hypers));
        let numbers = one.saturating_add(tangents).saturating_mul(S::BYTES);
        with_header(numbers.saturating_add(KIND + 6 * FIELD))
    }
}

impl<S: Scalar> State for Stepped<'_, '_, S> {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let forward = &mut *self.forward;
        fields.kind(Kind::Forward, S::BYTES, self.tag)?;
        for (what, len) in [
            ("number of weights", forward.w.len()),
            ("length of v", forward.v.len()),
            ("number of tangents", forward.wrt.len()),
            ("length of h_dot", forward.h_dot.len()),
        ] {
            fields.same(what, len as u64)?;
        }
        fields.count("step", self.t, forward.steps)?;
        fields.count("steps since the restart", &mut forward.taken, usize::MAX)?;
        fields.numbers(forward.w)?;
        fields.numbers(forward.v)?;
        fields.numbers(forward.w_dot)?;
        fields.numbers(forward.v_dot)?;
        fields.numbers(forward.h_dot)
    }
}

/// A block of a vector and of its tangent; empty where the vector has no such block.
fn moving<'s, S>(block: Block, x: &'s [S], dot: &'s mut [S]) -> Moving<'s, S> {
    Moving {
        x: block.of(x),
        dot: block.of_mut(dot),
    }
}

impl<A: Arithmetic, S: Scalar> InnerProblem<'_, A, S> {
    /// Scratch that forward mode with so many tangents and a validation loss need: [`scratch_len`] of its
    /// objectives.
    pub fn forward_scratch_len(&self, validation: &Validation<'_, A, S>, count: usize) -> usize {
        let objective = validation.objective;
        let validation = objective.hypers().saturating_add(objective.scratch_len());
        self.objective.tangents_scratch_len(count).max(validation)
    }

    /// Takes the training through `steps`, its tangents with it. `each` is told every step's loss
    /// before the step.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Range`] for steps beyond the training's; [`Error::Length`];
    /// [`Error::Index`] for a coordinate that does not exist; [`Error::Diverged`] where loss, weights or
    /// tangents are no longer finite; [`Error::Moment`] where a second moment of Adam was too great.
    pub fn forward(
        &self,
        steps: Range<usize>,
        forward: &mut Forward<'_, S>,
        batch: &mut [u32],
        each: &mut dyn FnMut(usize, S),
    ) -> Result<(), Error> {
        self.check()?;
        self.check_forward(forward)?;
        self.check_steps(&steps, self.steps)?;
        let end = steps.end;
        let stepping = stepping::<A, S>(self.schedule.optimizer);
        for t in steps {
            self.batches.fill(t, batch)?;
            let at = At {
                w: forward.w,
                h: self.h,
                batch,
            };
            let along = Directions {
                count: forward.wrt.len(),
                w: forward.w_dot,
                h: forward.h_dot,
            };
            let (g, g_dot) = (&mut *forward.g, &mut *forward.g_dot);
            let loss = self
                .objective
                .tangents(at, along, g, g_dot, forward.scratch)?;
            self.step_tangents(t, forward);
            let taken = forward.taken;
            let (g, v, w) = (&*forward.g, &mut *forward.v, &mut *forward.w);
            self.schedule.apply(stepping, (t, taken), g, v, w);
            forward.taken = taken.saturating_add(1);
            if !loss.is_finite() {
                return Err(Error::Diverged {
                    what: "training loss",
                    step: t,
                });
            }
            let at = (self.schedule.optimizer, taken);
            stepping.check(at, t, forward.g, forward.v)?;
            each(t, loss);
        }
        for (what, x) in [
            ("weights", &*forward.w),
            (self.schedule.optimizer.remembered(), &*forward.v),
            ("tangents", &*forward.w_dot),
            ("tangents", &*forward.v_dot),
        ] {
            if !all_finite(x) {
                return Err(Error::Diverged { what, step: end });
            }
        }
        Ok(())
    }

    /// Moves the tangents over step `t`, from the state before it.
    fn step_tangents(&self, t: usize, forward: &mut Forward<'_, S>) {
        let p = forward.w.len();
        let Schedule {
            groups,
            optimizer,
            rates,
            momenta,
        } = self.schedule;
        let groups = groups.len();
        let adam = optimizer.adam(forward.taken);
        let rows = forward
            .w_dot
            .chunks_exact_mut(p.max(1))
            .zip(forward.v_dot.chunks_exact_mut(forward.v.len().max(1)))
            .zip(forward.g_dot.chunks_exact(p.max(1)));
        let (first, second) = split(forward.v, p);
        for (wrt, ((w_dot, v_dot), g_dot)) in forward.wrt.iter().zip(rows) {
            let (first_dot, second_dot) = split_mut(v_dot, p);
            self.schedule.each(t, |block, by| {
                // The row of an entry of a table, if it is of this step and block.
                let row = |table: &[S], entry: usize| {
                    let start = place(table.len(), groups, t, block.hyper.unwrap_or(0));
                    entry.checked_sub(start).unwrap_or(usize::MAX)
                };
                let none = usize::MAX;
                let (rate, momentum) = match *wrt {
                    Wrt::Rate(i) => (row(rates, i), none),
                    Wrt::Momentum(i) => (none, row(momenta, i)),
                    Wrt::Hyper(_) | Wrt::Initial => (none, none),
                };
                let seed = Seed { rate, momentum };
                let g = [&*forward.g, g_dot].map(|x| block.of(x));
                let v = moving(block, first, first_dot);
                let w = moving(block, forward.w, w_dot);
                match optimizer {
                    Optimizer::HeavyBall => {
                        momentum::tangent_rows::<A, S>(by, seed, g, v, w);
                    }
                    Optimizer::Nesterov => {
                        nesterov::tangent_rows::<A, S>(by, seed, g, v, w);
                    }
                    Optimizer::Adam { .. } => {
                        let state = [v, moving(block, second, second_dot), w];
                        adam::tangent_rows::<A, S>(adam, by, seed, g, state);
                    }
                }
            });
        }
    }

    /// The hypergradient of the validation loss at the present weights, one number a tangent, to `d`
    /// (`K`); returns the validation loss. The training can go on.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::Diverged`] where the loss or the hypergradient is not finite; what
    /// the validation loss refuses.
    pub fn hypergradient(
        &self,
        validation: &Validation<'_, A, S>,
        forward: &mut Forward<'_, S>,
        d: &mut [S],
    ) -> Result<S, Error> {
        self.check_forward(forward)?;
        check_len("d", d, forward.wrt.len())?;
        let (p, hypers) = (self.objective.weights(), self.objective.hypers());
        let objective = validation.objective;
        check_equal("weights of the validation loss", p, objective.weights())?;
        check_equal(
            "hyperparameters of the validation loss",
            hypers,
            objective.hypers(),
        )?;
        let mut scratch = &mut *forward.scratch;
        let d_h = cut("scratch", &mut scratch, hypers)?;
        d_h.fill(S::ZERO);
        let at = At {
            w: forward.w,
            h: self.h,
            batch: validation.examples,
        };
        let loss = objective.gradient(at, forward.g, Some(d_h), scratch)?;
        let along = Directions {
            count: d.len(),
            w: forward.w_dot,
            h: forward.h_dot,
        };
        for (d, (w_dot, h_dot)) in d.iter_mut().zip(along.rows()) {
            *d = dot::<A, S>(forward.g, w_dot) + dot::<A, S>(d_h, h_dot);
        }
        for (what, finite) in [
            ("validation loss", loss.is_finite()),
            ("hypergradient", all_finite(d)),
        ] {
            if !finite {
                let step = self.steps;
                return Err(Error::Diverged { what, step });
            }
        }
        Ok(loss)
    }

    fn check_forward(&self, forward: &Forward<'_, S>) -> Result<(), Error> {
        let (p, hypers) = (self.objective.weights(), self.objective.hypers());
        let v = self.schedule.optimizer.slots().saturating_mul(p);
        let count = forward.wrt.len();
        for (what, x, want) in [
            ("w", &*forward.w, p),
            ("v", &*forward.v, v),
            ("g", &*forward.g, p),
            ("w_dot", &*forward.w_dot, count.saturating_mul(p)),
            ("v_dot", &*forward.v_dot, count.saturating_mul(v)),
            ("g_dot", &*forward.g_dot, count.saturating_mul(p)),
            ("h_dot", &*forward.h_dot, count.saturating_mul(hypers)),
        ] {
            check_len(what, x, want)?;
        }
        for wrt in forward.wrt {
            match *wrt {
                Wrt::Hyper(i) => check_index("hyperparameter", i, hypers)?,
                Wrt::Rate(i) => check_index("rate", i, self.schedule.rates.len())?,
                Wrt::Momentum(i) => check_index("momentum", i, self.schedule.momenta.len())?,
                Wrt::Initial => {}
            }
        }
        Ok(())
    }
}
