//! The optimisers that move the hyperparameters.
//!
//! Each changes `h` in place from a hypergradient `d_h` of the same length; the state, where there
//! is one, lies in the caller's buffers. A hypergradient that is not finite is refused and nothing
//! is changed.
//!
//! Where hyperparameters have bounds there are two ways to keep them: a [`Parametrisation`] that has
//! none, or a projection after each step ([`Projected`], [`projections`]).

mod adam;
mod parametrisation;
pub mod projections;
mod sgd;
mod sign;

pub use adam::Adam;
pub use parametrisation::Parametrisation;
pub use projections::{Projected, Projection};
pub use sgd::Sgd;
pub use sign::Sign;

use crate::error::{Error, exactly};
use crate::kernels::reduce::all_finite;
use crate::scalar::Scalar;

/// An optimiser of hyperparameters.
pub trait Outer<S: Scalar> {
    /// Takes one step down the hypergradient.
    ///
    /// # Errors
    /// [`Error::Length`] where `h`, `d_h` and the state differ in length; [`Error::NonFinite`]. In
    /// both cases `h` and the state are as they were.
    fn step(&mut self, h: &mut [S], d_h: &[S]) -> Result<(), Error>;
}

/// What every step checks before it changes anything.
fn check<S: Scalar>(h: &[S], d_h: &[S], step: usize) -> Result<(), Error> {
    exactly("hypergradient", d_h, h.len())?;
    if all_finite(d_h) {
        Ok(())
    } else {
        Err(Error::NonFinite {
            what: "hypergradient",
            step,
        })
    }
}
