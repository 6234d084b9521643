//! A network as data: its layers in their order, and the loss of its outputs.
//!
//! | loss of outputs `z` for an example of weight `l` and target `q` | with targets that are classes |
//! |---|---|
//! | [`Loss::CrossEntropy`]: `l sum_k q_k (ln sum exp z - z_k)` | `q = e_y` |
//! | [`Loss::SquaredError`]: `l / 2 sum_k (z_k - q_k)^2` | `q = e_y` |
//!
//! A batch's loss is the mean over its examples. How all of this is computed, and differentiated twice, is
//! [`Mlp`](crate::models::Mlp)'s.
//!
//! Refused: layers in another order than a dense one, then at most one activation, and so on, with a dense one at
//! the end; layers without units.

use crate::error::Error;
use crate::group::Layout;
use crate::layers::Layer;

/// The loss of a network's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Loss {
    /// Softmax and cross-entropy.
    CrossEntropy,
    /// Half the squared distance to the target.
    SquaredError,
}

/// A network.
///
/// ```
/// use drmad::{layers::Layer::*, network::{Loss, Network}};
/// const DIGITS: Network = Network {
///     inputs: 784,
///     layers: &[Dense(128), Relu, Dense(64), Relu, Dense(10)],
///     loss: Loss::CrossEntropy,
/// };
/// const P: usize = DIGITS.weights();
/// assert_eq!((P, DIGITS.outputs()), (784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10, 10));
/// assert!(DIGITS.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Network<'a> {
    /// Numbers of an example.
    pub inputs: usize,
    /// The layers, the first one first.
    pub layers: &'a [Layer],
    /// The loss of the last one's outputs.
    pub loss: Loss,
}

impl<'a> Network<'a> {
    /// Where its weights lie.
    pub const fn layout(&self) -> Layout<'a> {
        Layout::Network {
            inputs: self.inputs,
            layers: self.layers,
        }
    }

    /// The number `P` of its weights.
    pub const fn weights(&self) -> usize {
        self.layout().weights()
    }

    /// Outputs of the last layer.
    pub const fn outputs(&self) -> usize {
        self.layout().outputs()
    }

    /// Whether it is a network.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an order of layers that the module refuses, [`Error::Range`] for a layer
    /// without units and a network without inputs.
    pub const fn check(&self) -> Result<(), Error> {
        const NONE: Error = Error::Range {
            what: "units of a layer",
            value: 0.0,
            least: 1.0,
            greatest: f64::INFINITY,
        };
        if self.inputs == 0 {
            return Err(NONE);
        }
        let (mut may_activate, mut i) = (false, 0);
        while i < self.layers.len() {
            may_activate = match self.layers[i] {
                Layer::Dense(0) => return Err(NONE),
                Layer::Dense(_) => true,
                _ if may_activate => false,
                _ => {
                    return Err(Error::Unsupported {
                        what: "an activation that follows no dense layer: give each dense layer one at most",
                    });
                }
            };
            i += 1;
        }
        // Nothing but a dense layer leaves this.
        if may_activate {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a network that does not end with a dense layer",
        })
    }
}
