//! MNIST's digits by softmax regression, with a penalty for each pixel: 784 hyperparameters in a
//! quarter of a megabyte.
//!
//! Six vectors of 7850 weights are 184 KiB of it, the hats' eight rows 30 KiB.

use drmad::layers::Layer::{self, Dense, Tanh};
use drmad::memory::Need;
use drmad::training::Training;

use crate::network::{need, training, tune};
use crate::{Failure, Report};

/// The network that is too large has twelve hidden units.
const LAYERS: &[Layer] = if cfg!(feature = "too-large") {
    &[Dense(12), Tanh, Dense(10)]
} else {
    &[Dense(10)]
};

/// What is trained and tuned.
pub const TRAINING: Training<'static> = Training {
    valid_examples: 500,
    log_scale: -3.0,
    batch: 20,
    microbatch: Some(2),
    ..training(LAYERS, 300, 80)
};

const NEED: Need<f32> = need(&TRAINING);
/// RAM of the board, and what of it is the stack's.
const RAM: usize = 256 * 1024;
const STACK: usize = 10 * 1024;
// A network that does not fit ends the build here, before any linker.
const _: () = assert!(
    NEED.bytes() + STACK <= RAM,
    "the network does not fit into 256 KiB: fewer weights, hats or examples of a microbatch"
);

/// All of its memory, but for the stack.
pub type Memory = crate::Numbers<{ NEED.len() }>;

/// Tunes, and holds the result to what it must be.
///
/// # Errors
/// [`Failure`].
pub fn run(memory: &mut Memory) -> Result<Report, Failure> {
    tune(&TRAINING, -7.0, 5, &mut memory.0)?.checked(0.92, 0.95)
}
