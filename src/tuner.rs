//! The outer loop: hyperparameters follow their hypergradient, a training a round.
//!
//! ```text
//! round n    E, d = validation loss and hypergradient of a training with h_n
//!            best = (n, h_n, E) where E is less than in all rounds before
//!            h_{n+1} = what the optimizer, with its projections, makes of h_n and d
//! ```
//!
//! Who takes loss and hypergradient from one described training calls [`Tuner::round`]: one call a round, with any
//! [`Method`]. Who computes them in another way, as the mean over several trainings, by a [`Session`] that lets others
//! run between its steps, or on another machine, hands [`Tuner::round_by`] a function that does so, or takes
//! [`h`](Tuner::h) and tells [`Tuner::follow`] what came of it.
//!
//! A round is taken whole or not at all. A training that diverges, a loss that is not finite and a hypergradient that
//! the optimizer refuses come back as errors, and hyperparameters, optimizer, best and history are as before the
//! round: lower what made it diverge, or stop and take the best.
//!
//! Costs three copies of `h` a round, in the caller's memory ([`Tuner::need`]). Between two rounds a tuner is a
//! [`State`] to be saved; a training that was cut off within a round has one of its own ([`Session::save`]).
//!
//! Who knows argmin: a tuner is its executor and its iteration state, an [`Outer`] its solver, and what
//! [`Tuner::round_by`] is given its problem.
//!
//! Refused: deciding when to stop. The loop around the rounds is the caller's, and with it their number and time.

#[cfg(doc)]
use crate::training::Session;

use bytemuck::Pod;

use crate::error::{Error, check_len, cut};
use crate::hypergradient::Outcome;
use crate::memory::Need;
use crate::method::Method;
use crate::outer::Outer;
use crate::pieces::copy;
use crate::scalar::{Real, Scalar};
use crate::state::{FIELD, Fields, KIND, Kind, State, with_header};
use crate::training::{Compiled, On, Training};

/// Hyperparameters, what moves them, and the best of them so far.
///
/// ```
/// use drmad::{Error, Fused, group::Granularity, layers::Layer::*, method::Method, models::Features, network::*};
/// use drmad::{memory::Need, outer::Adam, state, training::*, tuner::Tuner};
///
/// const NET: Network = Network { inputs: 2, layers: &[Dense(4), Tanh, Dense(2)], loss: Loss::CrossEntropy };
/// const RATES: &[Tuned] = &[Tuned::new(What::Rate, Granularity::Layer)];
/// const XOR: Training = Training { tuned: RATES, ..Training::of(NET, 4, 50) };
/// const H: usize = XOR.hypers().len();
/// const NEED: Need<f32> = Tuner::need(H).and(XOR.need(Method::TAPE));
/// const { assert!(NEED.bytes() <= 16 * 1024, "the tuning does not fit") };
///
/// let corners = Features { x: &[0., 0., 0., 1., 1., 0., 1., 1.], labels: &[0, 1, 1, 0], width: 2 };
/// let losses = XOR.losses::<Fused>(&corners, &corners)?;
/// let mut memory = [0f32; NEED.len()];
/// let (tuning, training) = memory.split_at_mut(Tuner::<f32>::need(H).len());
///
/// let (mut h, mut m, mut v, mut history) = ([-2.0; H], [0.0; H], [0.0; H], [0.0; 20]);
/// let mut adam = Adam::new(0.2, &mut m, &mut v)?;
/// let mut tuner = Tuner::new(&mut h, &mut adam, tuning)?.with_history(&mut history);
/// let mut flash = [0; Tuner::<f32>::state_len(H, 20, Adam::<f32>::state_len(H))];
/// for _ in 0..20 {
///     tuner.round(&XOR, Method::TAPE, losses.on(), training)?;
///     // And the power may go.
///     state::save(tuner.rounds() as u64, &mut tuner, &mut flash)?;
/// }
/// let best = tuner.best().ok_or(Error::NoSteps)?;
/// assert!(best.loss < 0.7 * tuner.history()[0], "from {} to {}", tuner.history()[0], best.loss);
/// # Ok::<(), Error>(())
/// ```
pub struct Tuner<'a, S, O: ?Sized = dyn Outer<S> + 'a> {
    /// What moves the hyperparameters. Its settings, such as a rate that falls, are the caller's and no part of the
    /// state.
    pub outer: &'a mut O,
    h: &'a mut [S],
    /// The hypergradient of the last round.
    d_h: &'a mut [S],
    /// Where the optimizer takes its step, so that one that it refuses changes nothing.
    next: &'a mut [S],
    /// The best hyperparameters, their loss and their round; any before the first round.
    best: &'a mut [S],
    loss: S,
    round: usize,
    rounds: usize,
    history: &'a mut [S],
    tag: u64,
}

/// The round of the least validation loss so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best<'a, S> {
    /// Which round.
    pub round: usize,
    /// The validation loss.
    pub loss: S,
    /// The hyperparameters that the training had.
    pub h: &'a [S],
}

impl<S: Scalar> Tuner<'_, S> {
    /// Memory of so many hyperparameters, beside their own, their optimizer's and the training's.
    pub const fn need(hypers: usize) -> Need<S> {
        Need::numbers(hypers).times(3)
    }

    /// Bytes of the state of so many hyperparameters and kept losses, with an optimizer of so many bytes.
    pub const fn state_len(hypers: usize, history: usize, outer: usize) -> usize {
        let numbers = hypers
            .saturating_mul(2)
            .saturating_add(history)
            .saturating_add(1);
        let fields = numbers.saturating_mul(S::BYTES).saturating_add(outer);
        with_header(fields.saturating_add(KIND + 4 * FIELD))
    }
}

impl<'a, S: Scalar, O: Outer<S> + ?Sized> Tuner<'a, S, O> {
    /// No round taken yet of tuning `h`, from the values it has, in `memory` that has its [`need`](Self::need).
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short.
    pub fn new(h: &'a mut [S], outer: &'a mut O, mut memory: &'a mut [S]) -> Result<Self, Error> {
        let mut vector = || cut("memory of the tuner", &mut memory, h.len());
        Ok(Tuner {
            d_h: vector()?,
            next: vector()?,
            best: vector()?,
            outer,
            h,
            loss: S::ZERO,
            round: 0,
            rounds: 0,
            history: &mut [],
            tag: 0,
        })
    }

    /// The same with the validation losses of the first rounds in `history`, as many as it is long.
    #[must_use]
    pub fn with_history(self, history: &'a mut [S]) -> Self {
        history.fill(S::ZERO);
        Tuner { history, ..self }
    }

    /// The same with a number of the caller's choice that must be the same where its state is restored.
    #[must_use]
    pub fn with_tag(self, tag: u64) -> Self {
        Tuner { tag, ..self }
    }

    /// The hyperparameters of the next round.
    pub fn h(&self) -> &[S] {
        self.h
    }

    /// The hypergradient of the last round. It is no part of the state.
    pub fn hypergradient(&self) -> &[S] {
        self.d_h
    }

    /// How many rounds have been taken.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// The best of them, where there is one: the first of those that are equally good.
    pub fn best(&self) -> Option<Best<'_, S>> {
        (self.rounds > 0).then_some(Best {
            round: self.round,
            loss: self.loss,
            h: self.best,
        })
    }

    /// The validation losses of the rounds, as many as are [kept](Self::with_history).
    pub fn history(&self) -> &[S] {
        let history = self.history.get(..self.rounds);
        history.unwrap_or(self.history)
    }

    /// Takes a round: trains with the hyperparameters as they are, in `memory` that has the training's
    /// [`need`](Training::need), and moves them.
    ///
    /// # Errors
    /// Those of [`Training::hypergradient`] and [`round_by`](Self::round_by); then the tuner is as it was.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn round<A: Compiled<S>>(
        &mut self,
        training: &Training<'_>,
        method: Method,
        on: On<'_, A, S>,
        memory: &mut [S],
    ) -> Result<Outcome<S>, Error>
    where
        S: Real + Pod,
    {
        let outcome = training.hypergradient(method, on, self.h, self.d_h, memory)?;
        self.move_on(outcome.valid_loss)?;
        Ok(outcome)
    }

    /// Takes a round with the validation loss that `compute` returns for the hyperparameters that it is given, and
    /// the hypergradient that it writes.
    ///
    /// ```
    /// use drmad::{Error, outer::Sgd, tuner::Tuner};
    /// let (mut h, mut sgd, mut memory) = ([0.0f32], Sgd { rate: 0.5 }, [0.0; Tuner::<f32>::need(1).len()]);
    /// let mut tuner = Tuner::new(&mut h, &mut sgd, &mut memory)?;
    /// // The mean of two losses `(h - c)^2`, as if each were of a training.
    /// let mut mean = |h: &[f32], d_h: &mut [f32]| {
    ///     d_h.fill(0.0);
    ///     let mut loss = 0.0;
    ///     for c in [1.0, 3.0] {
    ///         loss += 0.5 * (h[0] - c) * (h[0] - c);
    ///         d_h[0] += h[0] - c;
    ///     }
    ///     Ok(loss)
    /// };
    /// assert_eq!(tuner.round_by(&mut mean), Ok(5.0));
    /// assert_eq!((tuner.round_by(&mut mean), tuner.h()), (Ok(1.0), &[2.0][..]));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// What `compute` refuses; [`Error::NonFinite`] for a loss that is not finite; what the optimizer refuses. Then
    /// the tuner is as it was, but for [`hypergradient`](Self::hypergradient).
    #[allow(clippy::type_complexity)] // of `h`, to `d_h`, the loss
    pub fn round_by(
        &mut self,
        compute: &mut dyn FnMut(&[S], &mut [S]) -> Result<S, Error>,
    ) -> Result<S, Error> {
        let loss = compute(self.h, self.d_h)?;
        self.move_on(loss)?;
        Ok(loss)
    }

    /// Takes a round with a validation loss and a hypergradient of [`h`](Self::h) that are there already.
    ///
    /// ```
    /// use drmad::{Error, outer::Sgd, tuner::Tuner};
    /// let (mut h, mut sgd, mut memory) = ([3.0f32], Sgd { rate: 0.5 }, [0.0; Tuner::<f32>::need(1).len()]);
    /// let mut tuner = Tuner::new(&mut h, &mut sgd, &mut memory)?;
    /// // Of h^2.
    /// let (loss, d_h) = (tuner.h()[0] * tuner.h()[0], [2.0 * tuner.h()[0]]);
    /// tuner.follow(loss, &d_h)?;
    /// assert_eq!((tuner.h(), tuner.rounds()), (&[0.0][..], 1));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`]; as [`round_by`](Self::round_by).
    pub fn follow(&mut self, loss: S, d_h: &[S]) -> Result<(), Error> {
        check_len("hypergradient", d_h, self.h.len())?;
        copy(d_h, self.d_h);
        self.move_on(loss)
    }

    /// Moves `h` after a training of this loss, and notes it.
    fn move_on(&mut self, loss: S) -> Result<(), Error> {
        if !loss.is_finite() {
            return Err(Error::NonFinite {
                what: "validation loss",
                step: self.rounds,
            });
        }
        copy(self.h, self.next);
        self.outer.step(self.next, self.d_h)?;
        if self.best().is_none_or(|best| loss < best.loss) {
            copy(self.h, self.best);
            (self.loss, self.round) = (loss, self.rounds);
        }
        copy(self.next, self.h);
        if let Some(kept) = self.history.get_mut(self.rounds) {
            *kept = loss;
        }
        self.rounds = self.rounds.saturating_add(1);
        Ok(())
    }
}

impl<S: Scalar, O: Outer<S> + ?Sized> State for Tuner<'_, S, O> {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.kind(Kind::Tuner, S::BYTES, self.tag)?;
        fields.same("hyperparameters", self.h.len() as u64)?;
        fields.same("losses of the history", self.history.len() as u64)?;
        let rounds = fields.count("rounds", &mut self.rounds, usize::MAX)?;
        let last = rounds.saturating_sub(1);
        fields.count("round of the best", &mut self.round, last)?;
        self.loss.state(fields)?;
        fields.numbers(self.h)?;
        fields.numbers(self.best)?;
        fields.numbers(self.history)?;
        self.outer.state(fields)
    }
}
