//! The network of the papers, 784-50-50-50-10, with a penalty for each of its 934 units.
//!
//! Its 44,860 weights take 1.03 MiB for the six vectors and 173 KiB for the hats. What matters here is
//! the hash: its hypergradient has the same bits on every board and on the host.

use crate::network::{Memory as Buffers, Plan};
use crate::{Failure, Report};

/// What is trained and tuned.
pub const PLAN: Plan = Plan {
    widths: &[784, 50, 50, 50, 10],
    chunk: 10,
    batch: 10,
    steps: 16,
    tail: 3,
    rate: 0.3,
    momentum: 0.9,
    log_scale: -2.0,
    start: -3.0,
    rounds: 2,
    outer_rate: 1.0,
    train: 1000,
    judges: 50,
};

/// All of its memory, but for the stack.
pub type Memory =
    Buffers<{ PLAN.workspace_len() }, { PLAN.rows_len() }, { PLAN.hypers() }, { PLAN.batch }>;

const _: () = assert!(size_of::<Memory>() <= 4 * 1024 * 1024);

/// Tunes, and holds the result to what it must be.
///
/// # Errors
/// [`Failure`].
pub fn run(memory: &mut Memory) -> Result<Report, Failure> {
    memory.tune(&PLAN)?.checked(0.8, 0.9)
}
