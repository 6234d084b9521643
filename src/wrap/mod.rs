//! Objectives around objectives: each adds one kind of hyperparameter and owns one block of `h`.
//! [`DropNegativeCurvature`] adds none: it changes what a sweep sees of the curvature.
//!
//! Each of them says what becomes of every method of the inner objective. One left out would be the
//! trait's own, by dual numbers: slower, in more scratch and with other bits, without a word. So a method
//! that is left out is refused by a lint (`clippy::missing_trait_methods`), here as in every type that
//! stands for another.

mod coupled;
mod curvature;
mod penalty;
mod scaled;

pub use coupled::{Coupled, Coupling, Tasks};
pub use curvature::DropNegativeCurvature;
pub(crate) use curvature::dropped;
pub use penalty::{Absolute, L1, L2, Penalty, Square, Strength, Term};
pub use scaled::Scaled;
