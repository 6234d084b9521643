//! The layers that a network is made of, as data, and what follows a dense one.
//!
//! | layer | a row of `n` numbers becomes | weights |
//! |---|---|---|
//! | [`Layer::Dense`] | `z = a W + b` | `W` (inputs x outputs, row-major), then `b` |
//! | [`Layer::Tanh`] | `a = tanh z` | none |
//! | [`Layer::Relu`] | `a = max(z, 0)`, of slope 0 at 0, as at all [kinks](crate::scalar#kinks) | none |
//!
//! Refused: nothing of its own; what order they may have is for [`Network`](crate::network::Network) to say.

use crate::kernels::activation::{relu, relu_adjoint, tanh, tanh_adjoint, tanh_adjoint_r};
use crate::scalar::{Arithmetic, Scalar};

/// A layer of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Layer {
    /// So many outputs, each a weighted sum of all inputs and a bias.
    Dense(usize),
    /// The hyperbolic tangent.
    Tanh,
    /// What is negative becomes 0.
    Relu,
}

/// What follows a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    Identity,
    /// [`Layer::Tanh`].
    Tanh,
    /// [`Layer::Relu`].
    Relu,
}

/// A dense layer with what it takes and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dense {
    /// Its inputs.
    pub inputs: usize,
    /// Its outputs.
    pub outputs: usize,
    /// What follows it.
    pub activation: Activation,
}

/// Dense layer `l` of these, counted from 0.
pub(crate) const fn dense(inputs: usize, layers: &[Layer], l: usize) -> Option<Dense> {
    let (mut inputs, mut found, mut i) = (inputs, 0, 0);
    while i < layers.len() {
        if let Layer::Dense(outputs) = layers[i] {
            if found == l {
                let after = i + 1;
                let activation = if after < layers.len() {
                    match layers[after] {
                        Layer::Tanh => Activation::Tanh,
                        Layer::Relu => Activation::Relu,
                        Layer::Dense(_) => Activation::Identity,
                    }
                } else {
                    Activation::Identity
                };
                return Some(Dense {
                    inputs,
                    outputs,
                    activation,
                });
            }
            (inputs, found) = (outputs, found + 1);
        }
        i += 1;
    }
    None
}

impl Activation {
    /// `x <- f(x)`.
    pub(crate) fn run<A: Arithmetic, S: Scalar>(self, x: &mut [S]) {
        match self {
            Activation::Identity => {}
            Activation::Tanh => tanh::<A, S>(x),
            Activation::Relu => relu(x),
        }
    }

    /// `d <- d f'`, from `y = f(x)`.
    pub(crate) fn adjoint<A: Arithmetic, S: Scalar>(self, y: &[S], d: &mut [S]) {
        match self {
            Activation::Identity => {}
            Activation::Tanh => tanh_adjoint::<A, S>(y, d),
            Activation::Relu => relu_adjoint(y, d),
        }
    }

    /// `r_d <- r_d f' + r_y (f'' / f') d`, then `d <- d f'`.
    pub(crate) fn adjoint_r<A: Arithmetic, S: Scalar>(
        self,
        y: &[S],
        r_y: &[S],
        d: &mut [S],
        r_d: &mut [S],
    ) {
        match self {
            Activation::Identity => {}
            Activation::Tanh => tanh_adjoint_r::<A, S>(y, r_y, d, r_d),
            Activation::Relu => {
                relu_adjoint(y, d);
                relu_adjoint(y, r_d);
            }
        }
    }
}
