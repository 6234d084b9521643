//! The optimizers that move the hyperparameters.
//!
//! Each changes `h` in place from a hypergradient `d_h` of the same length; the state, where there
//! is one, lies in the caller's buffers. A hypergradient that is not finite is refused, and so is a step
//! that would leave a hyperparameter that is not; nothing is changed then. A [`Tuner`](crate::tuner::Tuner) takes these
//! steps round by round.
//!
//! Where hyperparameters have bounds there are two ways to keep them: a [`Parametrisation`] that has
//! none, or a projection after each step ([`Projected`], [`Projection`]).

mod adam;
mod parametrisation;
mod projections;
mod sgd;
mod sign;

pub use adam::Adam;
pub use parametrisation::Parametrisation;
pub use projections::{Projected, Projection};

pub use sgd::Sgd;
pub use sign::Sign;

use crate::error::{Error, check_len};
use crate::kernels::reduce::all_finite;
use crate::scalar::Scalar;
use crate::state::Fields;

/// An optimizer of hyperparameters.
pub trait Outer<S: Scalar> {
    /// Takes one step down the hypergradient.
    ///
    /// # Errors
    /// [`Error::Length`] where `h`, `d_h` and the state differ in length; [`Error::NonFinite`]. In
    /// both cases `h` and the state are as they were.
    fn step(&mut self, h: &mut [S], d_h: &[S]) -> Result<(), Error>;

    /// Hands what it remembers to `fields`, as [`State::state`](crate::state::State::state) says.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it does not say what that is.
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let _ = fields;
        Err(Error::Unsupported {
            what: "saving an optimizer that does not say what its state is",
        })
    }
}

/// What every step checks before it changes anything.
fn check<S: Scalar>(h: &[S], d_h: &[S], step: usize) -> Result<(), Error> {
    check_len("hypergradient", d_h, h.len())?;
    if all_finite(d_h) {
        Ok(())
    } else {
        Err(Error::NonFinite {
            what: "hypergradient",
            step,
        })
    }
}

/// A step of an optimizer that remembers nothing: each hyperparameter becomes what `moved` makes of it.
fn step_each<S: Scalar>(h: &mut [S], d_h: &[S], moved: impl Fn(S, S) -> S) -> Result<(), Error> {
    check(h, d_h, 0)?;
    check_moved(h.iter().zip(d_h).map(|(h, d)| moved(*h, *d)), 0)?;
    for (h, d) in h.iter_mut().zip(d_h) {
        *h = moved(*h, *d);
    }
    Ok(())
}

/// The other thing that every step checks: all that it would leave, before it leaves any of it.
fn check_moved<S: Scalar>(mut moved: impl Iterator<Item = S>, step: usize) -> Result<(), Error> {
    if moved.all(|h| h.is_finite()) {
        Ok(())
    } else {
        Err(Error::NonFinite {
            what: "hyperparameter after a step of its optimizer",
            step,
        })
    }
}
