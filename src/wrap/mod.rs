//! Objectives around objectives: each adds one kind of hyperparameter and owns one block of `h`.

mod penalty;
mod scaled;

pub use penalty::{Absolute, L1, L2, Penalty, Square, Strength, Term};
pub use scaled::Scaled;
