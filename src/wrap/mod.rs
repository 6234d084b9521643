//! Objectives around objectives: each adds one kind of hyperparameter and owns one block of `h`.
//! [`Psd`] adds none: it changes what a sweep sees of the curvature.
//!
//! Each of them says what becomes of every method of the inner objective. One left out would be the
//! trait's own, by dual numbers: slower, in more scratch and with other bits, without a word. So a method
//! that is left out is refused by a lint (`clippy::missing_trait_methods`), here as in every type that
//! stands for another.

mod coupled;
mod penalty;
mod psd;
mod scaled;

pub use coupled::{Coupled, Coupling, Tasks};
pub use penalty::{Absolute, L1, L2, Penalty, Square, Strength, Term};
pub use psd::Psd;
pub(crate) use psd::dropped;
pub use scaled::Scaled;
