//! The arithmetic: slices in, slices out, and nothing else.
//!
//! A kernel knows nothing of objectives, paths or hyperparameters. It is generic over the number
//! and the arithmetic, takes slices whose lengths its caller has made equal, and writes down the
//! order in which it adds, for that order is the promise that the bits are the same everywhere.
//! Two rules keep it:
//!
//! - a loop may be vectorised over *outputs*, each of which has one accumulator and adds in
//!   ascending order ([`matmul`]);
//! - a sum over a vector has a fixed number of lanes and a fixed tree ([`reduce`]).
//!
//! Where slices differ in length a kernel works on the shortest; it does not panic.

pub mod accumulate;
pub mod activation;
pub mod adam;
pub mod dispatch;
pub mod interpolate;
pub mod math;
pub mod matmul;
pub mod momentum;
pub mod nesterov;
pub mod quantise;
pub mod reduce;
pub mod reversible;
mod rows;
pub mod sparse;
