//! Where the generics of a training end: what is called through the front door is compiled with the crate, once for
//! each arithmetic and each of f32 and f64, and not once more in every program that uses it.
//!
//! A network's passes, the paths and the sweep are some hundred thousand instructions each time that they are
//! compiled, and a call through a pointer costs nanoseconds of a step's many microseconds.
//!
//! Without `std`, where flash counts and a program is one, all of it is compiled in the program that calls it, and
//! what looks at the method is inlined there: a method that is a constant links no other.
//!
//! Refused: other scalars. Dual numbers go through [`InnerProblem`](crate::train::InnerProblem).

use bytemuck::Pod;

use super::{NetworkLoss, Observer, On, Session, Training};
use crate::error::Error;
use crate::hypergradient::Outcome;
use crate::method::{Method, Sweep};
use crate::objective::Differentiable;
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
