//! Where the generics of a training end: what is called through the front door is compiled with the crate, once for
//! each arithmetic and each of f32 and f64, and not once more in every program that uses it.
//!
//! A network's passes, the paths and the sweep are some hundred thousand instructions each time that they are
//! compiled, and a call through a pointer costs nanoseconds of a step's many microseconds.
//!
//! What is generic and called through it is in the modules of sessions and networks, which do not know this door.
//!
//! Without `std`, where flash counts and a program is one, all of it is compiled in the program that calls it, and
//! what looks at the method is inlined there: a method that is a constant links no other.
//!
//! Refused: other scalars. Dual numbers go through [`InnerProblem`](crate::train::InnerProblem).

use bytemuck::Pod;

use super::network::{Losses, NetworkLoss};
use super::session::Session;
use super::{Observer, On, Training};
use crate::error::{Error, check_len};
use crate::hypergradient::Outcome;
use crate::method::{Method, Sweep};
use crate::objective::Differentiable;
use crate::optimizer::stepping;
use crate::scalar::{Arithmetic, Fused, Plain, Real};

/// An arithmetic in which trainings of `S` are compiled with the crate: [`Plain`] and [`Fused`], of f32 and f64.
#[allow(missing_docs, private_bounds)] // the methods of the front door, under their names
pub trait Compiled<S: Real + Pod>: Arithmetic + Sealed {
    #[doc(hidden)]
    fn pointer<'l>(loss: &'l NetworkLoss<'_, Self>) -> &'l dyn Differentiable<Self, S>;

    #[doc(hidden)]
    fn predict(
        loss: &NetworkLoss<'_, Self>,
        w: &[S],
        batch: &[u32],
        outputs: &mut [S],
        scratch: &mut [S],
    ) -> Result<(), Error>;

    #[doc(hidden)]
    #[allow(clippy::too_many_arguments)] // those of `Training::observed`
    fn observed(
        training: &Training<'_>,
        method: Method,
        on: On<'_, Self, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error>;

    #[doc(hidden)]
    fn begin<'m>(
        training: Training<'m>,
        sweep: Sweep,
        on: On<'m, Self, S>,
        h: &[S],
        memory: &'m mut [S],
    ) -> Result<Session<'m, Self, S>, Error>;

    #[doc(hidden)]
    fn advance(
        session: &mut Session<'_, Self, S>,
        steps: usize,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<Option<Outcome<S>>, Error>;

    #[doc(hidden)]
    fn save(
        session: &mut Session<'_, Self, S>,
        sequence: u64,
        tag: u64,
        bytes: &mut [u8],
    ) -> Result<usize, Error>;

    #[doc(hidden)]
    fn restore(session: &mut Session<'_, Self, S>, tag: u64, bytes: &[u8]) -> Result<u64, Error>;
}

/// Of this crate alone.
trait Sealed {}
impl Sealed for Plain {}
impl Sealed for Fused {}

macro_rules! compiled {
    ($($A:ty, $S:ty;)*) => {$(
        impl Compiled<$S> for $A {
            #[cfg_attr(not(feature = "std"), inline)]
            fn pointer<'l>(loss: &'l NetworkLoss<'_, Self>) -> &'l dyn Differentiable<Self, $S> {
                loss
            }

            #[cfg_attr(not(feature = "std"), inline)]
            fn predict(
                loss: &NetworkLoss<'_, Self>,
                w: &[$S],
                batch: &[u32],
                outputs: &mut [$S],
                scratch: &mut [$S],
            ) -> Result<(), Error> {
                loss.tell(w, batch, outputs, scratch)
            }

            #[cfg_attr(not(feature = "std"), inline(always))]
            fn observed(
                training: &Training<'_>,
                method: Method,
                on: On<'_, Self, $S>,
                h: &[$S],
                d_h: &mut [$S],
                memory: &mut [$S],
                observer: &mut dyn Observer<$S>,
            ) -> Result<Outcome<$S>, Error> {
                training.observe(method, on, h, d_h, memory, observer)
            }

            #[cfg_attr(not(feature = "std"), inline(always))]
            fn begin<'m>(
                training: Training<'m>,
                sweep: Sweep,
                on: On<'m, Self, $S>,
                h: &[$S],
                memory: &'m mut [$S],
            ) -> Result<Session<'m, Self, $S>, Error> {
                Session::begin(training, sweep, on, h, memory)
            }

            #[cfg_attr(not(feature = "std"), inline)]
            fn advance(
                session: &mut Session<'_, Self, $S>,
                steps: usize,
                each: &mut dyn FnMut(usize, $S),
            ) -> Result<Option<Outcome<$S>>, Error> {
                session.go_on(steps, each)
            }

            #[cfg_attr(not(feature = "std"), inline)]
            fn save(
                session: &mut Session<'_, Self, $S>,
                sequence: u64,
                tag: u64,
                bytes: &mut [u8],
            ) -> Result<usize, Error> {
                session.write(sequence, tag, bytes)
            }

            #[cfg_attr(not(feature = "std"), inline)]
            fn restore(
                session: &mut Session<'_, Self, $S>,
                tag: u64,
                bytes: &[u8],
            ) -> Result<u64, Error> {
                session.read(tag, bytes)
            }
        }
    )*};
}

compiled! {
    Plain, f32;
    Plain, f64;
    Fused, f32;
    Fused, f64;
}

impl<A: Arithmetic> Losses<'_, A> {
    /// What a training is run on, from initial weights of its seed.
    pub fn on<S: Real + Pod>(&self) -> On<'_, A, S>
    where
        A: Compiled<S>,
    {
        On {
            training: self.training.pointer(),
            validation: self.validation.pointer(),
            initial: None,
        }
    }
}

impl<A: Arithmetic> NetworkLoss<'_, A> {
    /// A pointer to it as it is compiled with the crate: no program that uses it compiles it once more.
    pub fn pointer<S: Real + Pod>(&self) -> &dyn Differentiable<A, S>
    where
        A: Compiled<S>,
    {
        A::pointer(self)
    }
}

impl<A: Arithmetic> NetworkLoss<'_, A> {
    /// Probabilities, or with squared error outputs, of the examples of a batch of at most a microbatch
    /// (batch x outputs), at the network's own weights: scaled ones, where scales are tuned.
    ///
    /// # Errors
    /// As [`Mlp::predict`](crate::models::Mlp::predict).
    pub fn predict<S: Real + Pod>(
        &self,
        w: &[S],
        batch: &[u32],
        outputs: &mut [S],
        scratch: &mut [S],
    ) -> Result<(), Error>
    where
        A: Compiled<S>,
    {
        A::predict(self, w, batch, outputs, scratch)
    }
}

impl<'m, A: Compiled<S>, S: Real + Pod> Session<'m, A, S> {
    /// A hypergradient at `h` that has not begun, in `memory` that has the training's
    /// [`need`](Training::need).
    ///
    /// # Errors
    /// As [`Training::hypergradient`].
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn new(
        training: Training<'m>,
        sweep: Sweep,
        on: On<'m, A, S>,
        h: &[S],
        memory: &'m mut [S],
    ) -> Result<Self, Error> {
        A::begin(training, sweep, on, h, memory)
    }

    /// Takes it at most so many steps further, of the training and then of the sweep. `each` is told the number
    /// and the loss of every step of the training. Returns what came of it where it is done.
    ///
    /// # Errors
    /// As [`Training::hypergradient`]. After an error it has to begin again, and does.
    pub fn advance(
        &mut self,
        steps: usize,
        each: &mut dyn FnMut(usize, S),
    ) -> Result<Option<Outcome<S>>, Error> {
        A::advance(self, steps, each)
    }

    /// Trains to the end, if it has not yet; returns the trained weights.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn train(&mut self, each: &mut dyn FnMut(usize, S)) -> Result<&[S], Error> {
        let left = self.left();
        if left > 0 {
            self.advance(left, each)?;
        }
        Ok(self.weights())
    }

    /// Writes its state to the front of `bytes`, which has the training's [`state_len`](Training::state_len), with
    /// a sequence number and a tag; returns how many bytes it took. See [`state`](crate::state).
    ///
    /// # Errors
    /// [`Error::Length`] where they are too few.
    pub fn save(&mut self, sequence: u64, tag: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        A::save(self, sequence, tag, bytes)
    }

    /// Restores what was [saved](Self::save) with this tag; returns its sequence number.
    ///
    /// # Errors
    /// [`Error::Saved`] where it is damaged, or of something else.
    pub fn restore(&mut self, tag: u64, bytes: &[u8]) -> Result<u64, Error> {
        A::restore(self, tag, bytes)
    }
}

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
    fn observe<A: Compiled<S>, S: Real + Pod>(
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
                let chosen = (method, stepping(self.optimizer));
                self.at_the_end(chosen, on, h, d_h, memory, observer)
            }
        }
    }
}
