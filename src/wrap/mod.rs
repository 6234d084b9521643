//! Objectives around objectives: each adds one kind of hyperparameter and owns one block of `h`.
//! [`Psd`] adds none: it changes what a sweep sees of the curvature.

mod coupled;
mod penalty;
mod psd;
mod scaled;

pub use coupled::{Coupled, Coupling, Tasks};
pub use penalty::{Absolute, L1, L2, Penalty, Square, Strength, Term};
pub use psd::Psd;
pub use scaled::Scaled;
