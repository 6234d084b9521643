//! Objectives that come with the crate, and the examples they learn from.

mod examples;
mod logistic;
mod mlp;
mod quadratic;

pub use examples::{Examples, Features, Pixels};
pub use logistic::Logistic;
pub use mlp::Mlp;
pub use quadratic::Quadratic;
