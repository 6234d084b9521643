//! MNIST's digits by softmax regression, with a penalty for each pixel: 784 hyperparameters in a
//! quarter of a megabyte.
//!
//! Six vectors of 7850 weights are 184 KiB of it, the hats' eight rows 30 KiB.

use crate::network::{HATS, Memory as Buffers, Plan};
use crate::{Failure, Report};

/// The network that is too large has twelve hidden units.
const WIDTHS: &[usize] = if cfg!(feature = "too-large") {
    &[784, 12, 10]
} else {
    &[784, 10]
};

/// What is trained and tuned.
pub const PLAN: Plan = Plan {
    widths: WIDTHS,
    chunk: 4,
    batch: 20,
    steps: 80,
    tail: 20,
    rate: 0.3,
    momentum: 0.9,
    log_scale: -3.0,
    start: -7.0,
    rounds: 4,
    outer_rate: 1.0,
    train: 300,
    judges: 500,
};

/// All of its memory, but for the stack.
pub type Memory =
    Buffers<{ PLAN.workspace_len() }, { PLAN.rows_len() }, { PLAN.hypers() }, { PLAN.batch }>;

/// RAM of the board, and what of it is the stack's.
const RAM: usize = 256 * 1024;
const STACK: usize = 8 * 1024;
// A network that does not fit ends the build here, before any linker.
const _: () = assert!(
    size_of::<Memory>() + STACK <= RAM,
    "the network does not fit into 256 KiB: fewer weights, hats or examples of a chunk"
);
const _: () = assert!(HATS < PLAN.steps - PLAN.tail);

/// Tunes, and holds the result to what it must be.
///
/// # Errors
/// [`Failure`].
pub fn run(memory: &mut Memory) -> Result<Report, Failure> {
    memory.tune(&PLAN)?.checked(0.92, 0.95)
}
