//! The network of the papers, 784-50-50-50-10, with a penalty for each of its 934 units.
//!
//! Its 44,860 weights take 1.03 MiB for the six vectors and 173 KiB for the hats. What matters here is
//! the hash: its hypergradient has the same bits on every board and on the host.

use drmad::layers::Layer::{self, Dense, Tanh};
use drmad::memory::Need;
use drmad::training::Training;

use crate::network::{need, training, tune};
use crate::{Failure, Report};

const LAYERS: &[Layer] = &[Dense(50), Tanh, Dense(50), Tanh, Dense(50), Tanh, Dense(10)];

/// What is trained and tuned.
pub const TRAINING: Training<'static> = Training {
    valid_examples: 50,
    log_scale: -2.0,
    batch: 10,
    ..training(LAYERS, 1000, 16)
};

const NEED: Need<f32> = need(&TRAINING);
const _: () = assert!(NEED.bytes() <= 4 * 1024 * 1024);

/// All of its memory, but for the stack.
pub type Memory = crate::Numbers<{ NEED.len() }>;

/// Tunes, and holds the result to what it must be.
///
/// # Errors
/// [`Failure`].
pub fn run(memory: &mut Memory) -> Result<Report, Failure> {
    tune(&TRAINING, -3.0, 3, &mut memory.0)?.checked(0.8, 0.9)
}
