//! What leaves the finite numbers, told from what goes wrong: the one is what came out of an experiment, the
//! other an error of the command.

use anyhow::Result;

use crate::words::several;

/// Finite numbers that were left outside the crate, which names those inside it in [`drmad::Error`].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// A logarithm or logit overflows.
    #[error("hyperparameter {place} is {value}, which stands for no finite number")]
    Hyperparameter {
        /// Which.
        place: usize,
        /// What it is.
        value: f32,
    },
    /// Finite weights that are too large.
    #[error("the trained network's loss is not finite: lower the rate or the scales")]
    Loss,
    /// Nothing is left to follow.
    #[error("none of {} has a finite hypergradient", several(*clients, "client"))]
    Clients {
        /// How many were asked.
        clients: usize,
    },
}

/// Whether it is a training, the backward pass through it or a step down it, that left the finite numbers: such
/// an error is what came out of an experiment, and any other is one of the command.
pub fn diverges(error: &anyhow::Error) -> bool {
    use drmad::Error::{Diverged, NonFinite, Overflow, Unsolved};
    let inside = matches!(
        error.downcast_ref(),
        Some(Diverged { .. } | NonFinite { .. } | Overflow { .. } | Unsolved { .. })
    );
    inside || error.is::<Divergence>()
}

/// What came out, or why it diverges.
///
/// # Errors
/// Whatever else went wrong.
pub fn or_divergence<T>(result: Result<T>) -> Result<Result<T, String>> {
    match result {
        Err(error) if diverges(&error) => Ok(Err(format!("{error:#}"))),
        result => result.map(Ok),
    }
}
