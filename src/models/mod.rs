//! Objectives that come with the crate, and the examples they learn from.

mod blocks;
mod examples;
mod learned;
mod logistic;
mod mlp;
mod output_loss;
mod quadratic;
mod sparse;

pub use blocks::BLOCK;
pub use examples::{Adjoint, Examples, Features, Given, Pixels};
pub(crate) use examples::{row, row_mut};
pub use learned::{Beside, LearnedInputs, Smoothed, SoftLabels, Weighted};
pub(crate) use learned::{add_to, number};
pub use logistic::Logistic;
pub use mlp::{Inputs, Mlp, Pass};
pub use quadratic::Quadratic;
pub use sparse::{SparseImages, SparsePixels};
