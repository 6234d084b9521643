//! One buffer, cut into the vectors of a hypergradient.
//!
//! Each serves twice: the adjoints are the path's while training goes on; velocity and gradient are the path's
//! afterwards. Costs nothing. Refused: a buffer that is too short.

use crate::error::{Error, cut};
use crate::scalar::Scalar;
use crate::schedule::Optimizer;

/// One flat buffer, cut into the vectors of a hypergradient. What a training takes in all is a constant,
/// and a network that does not fit is an error of the build:
///
/// ```
/// use drmad::{group::Layout, hypergradient::*, models::{Inputs, Pass}, path::Quantised, schedule::Optimizer};
///
/// const WIDTHS: &[usize] = &[16, 12, 4];
/// const NETWORK: Pass = Pass { layout: Layout::Layers(WIDTHS), microbatch: 8, inputs: Inputs::Gathered };
/// const P: usize = NETWORK.weights();
/// const SCRATCH: usize = NETWORK.second_order_scratch_len();
/// const VECTORS: usize = Workspace::<f32>::required_len(P, SCRATCH, Optimizer::HeavyBall, false);
/// // Hats over 8 intervals: their rows and factors.
/// const PATH: usize = Quantised::<11>::required_len(P, 8) + 9;
/// // Rate and penalty with their hypergradient and Adam's two moments, and a batch of 8 examples.
/// const BYTES: usize = 4 * (VECTORS + PATH + 2 * 4 + 8);
/// const { assert!(BYTES <= 16 * 1024, "the network does not fit") };
/// ```
///
/// With layers of 17 units it would not be built:
///
/// ```compile_fail,E0080
/// use drmad::{group::Layout, hypergradient::*, models::{Inputs, Pass}, path::Quantised, schedule::Optimizer};
///
/// const WIDTHS: &[usize] = &[16, 17, 17, 4];
/// const NETWORK: Pass = Pass { layout: Layout::Layers(WIDTHS), microbatch: 8, inputs: Inputs::Gathered };
/// const P: usize = NETWORK.weights();
/// const SCRATCH: usize = NETWORK.second_order_scratch_len();
/// const VECTORS: usize = Workspace::<f32>::required_len(P, SCRATCH, Optimizer::HeavyBall, false);
/// const PATH: usize = Quantised::<11>::required_len(P, 8) + 9;
/// const BYTES: usize = 4 * (VECTORS + PATH + 2 * 4 + 8);
/// const { assert!(BYTES <= 16 * 1024, "the network does not fit") };
/// ```
///
/// All are `P` long but for the scratch, and
/// for `v` and `d_v`, which are as long as what the optimizer remembers.
#[derive(Debug)]
pub struct Workspace<'a, S> {
    /// The weights.
    pub w: &'a mut [S],
    /// The velocity.
    pub v: &'a mut [S],
    /// The gradient.
    pub g: &'a mut [S],
    /// The adjoint of the weights; after the sweep the derivative by the initial weights.
    pub d_w: &'a mut [S],
    /// The adjoint of the velocity.
    pub d_v: &'a mut [S],
    /// The adjoint of the gradient.
    pub d_g: &'a mut [S],
    /// Two more, where the backward pass needs `v` and `g` ([`Optimizer::recalls`]); empty otherwise.
    pub spare: [&'a mut [S]; 2],
    /// What objectives compute in.
    pub scratch: &'a mut [S],
}

impl<'a, S: Scalar> Workspace<'a, S> {
    /// Numbers of buffer for `weights`, and `scratch` of the objectives ([`scratch_len`](super::scratch_len)): six vectors
    /// for the heavy ball, eight with a `schedule`, ten for Adam.
    ///
    /// ```
    /// use drmad::{hypergradient::Workspace, schedule::Optimizer};
    /// assert_eq!(Workspace::<f32>::required_len(10, 100, Optimizer::HeavyBall, false), 160);
    /// assert_eq!(Workspace::<f32>::required_len(10, 100, Optimizer::ADAM, false), 200);
    /// ```
    pub const fn required_len(
        weights: usize,
        scratch: usize,
        optimizer: Optimizer,
        schedule: bool,
    ) -> usize {
        weights
            .saturating_mul(1 + Self::kept(optimizer, schedule))
            .saturating_add(scratch)
    }

    /// Vectors that a training goes on from: all but `d_g`.
    pub(super) const fn kept(optimizer: Optimizer, schedule: bool) -> usize {
        let spare = if optimizer.recalls(schedule) { 2 } else { 0 };
        3 + 2 * optimizer.slots() + spare
    }

    /// Cuts `buffer`; all that is left is scratch.
    ///
    /// # Errors
    /// [`Error::Length`] where it is too short for the vectors.
    pub fn new(
        mut buffer: &'a mut [S],
        weights: usize,
        optimizer: Optimizer,
        schedule: bool,
    ) -> Result<Self, Error> {
        let mut vector = |len| cut("workspace", &mut buffer, len);
        let remembered = weights.saturating_mul(optimizer.slots());
        let more = if optimizer.recalls(schedule) {
            weights
        } else {
            0
        };
        Ok(Workspace {
            w: vector(weights)?,
            v: vector(remembered)?,
            g: vector(weights)?,
            d_w: vector(weights)?,
            d_v: vector(remembered)?,
            d_g: vector(weights)?,
            spare: [vector(more)?, vector(more)?],
            scratch: buffer,
        })
    }
}

impl<S> Workspace<'_, S> {
    /// The same for a while.
    pub(crate) fn again(&mut self) -> Workspace<'_, S> {
        let [a, b] = &mut self.spare;
        Workspace {
            w: self.w,
            v: self.v,
            g: self.g,
            d_w: self.d_w,
            d_v: self.d_v,
            d_g: self.d_g,
            spare: [a, b],
            scratch: self.scratch,
        }
    }
}
