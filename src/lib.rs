//! Hypergradients: the derivative of a validation loss with respect to thousands of hyperparameters,
//! taken through a whole training run. `no_std`, no heap, the same bits on every machine.
//!
//! # The one idea
//! Training is a trajectory `w_0 -> w_T`. Its reverse derivative is one backward sweep that asks, for
//! `t = T-1 .. 0`, only two questions: *where were the weights at step `t`?* and *what does the
//! objective's second derivative do to this vector there?* All reverse methods are the same sweep
//! over another answer to the first question, a [`path`]:
//!
//! | path | remembers | floats beyond the weights | exact |
//! |---|---|---|---|
//! | [`Tape`](path::Tape) | every step | `T P` | yes |
//! | [`Checkpoints`](path::Checkpoints) | `S` steps, and takes the others again | `2 S P` | yes |
//! | [`Reversible`](path::Reversible) | the bits that a step in fixed point loses | `T P log2(1 / gamma) / 32 + 3 P` | yes, of that training |
//! | [`Line`](path::Line) (DrMAD) | the two ends | 0 with `w_0` from its seed | no |
//! | [`Knots`](path::Knots) | some points, with lines or cubics between them | `K P`, `(2 K + 1) P`; a quarter in 255 levels | no |
//! | [`Legendre`](path::Legendre) | a least-squares fit by `r` polynomials of time | `r P` | no |
//! | [`Hats`](path::Hats) | a least-squares fit by hat functions of time | `K P / 8` in 11 levels | no |
//! | [`Reversed`](path::Reversed) | nothing: runs backwards | 0 | for some steps |
//!
//! [`Tail`](path::Tail) runs the last steps backwards and leaves the others to another path, and
//! [`Truncated`](path::Truncated) leaves them out.
//!
//! The answer to the second is an [`objective`]: a gradient written once, generic over the scalar.
//!
//! Beside the sweep stand the methods that are none: [`forward`] mode, one tangent a hyperparameter,
//! also in real time while training goes on, and [`implicit`] differentiation at the last weights.
//!
//! # A training is data
//! A [`Training`](training::Training) says in one value what is trained, on what, how, and what of it is tuned. All
//! hyperparameters are one vector `h`, rates, momenta and initial scales among them; the hypergradient lies in the same
//! order, and each entry has a name. What it takes with a [`Method`](method::Method) is a constant.
//!
//! ```
//! use drmad::group::Granularity::Unit;
//! use drmad::{Error, Fused, layers::Layer::*, method::Method, models::Features, network::*, training::*};
//!
//! const XOR: Network = Network { inputs: 2, layers: &[Dense(4), Tanh, Dense(2)], loss: Loss::CrossEntropy };
//! const TRAINING: Training = Training { tuned: &[Tuned::new(What::Penalty, Unit)], ..Training::of(XOR, 4, 200) };
//!
//! let corners = Features { x: &[0., 0., 0., 1., 1., 0., 1., 1.], labels: &[0, 1, 1, 0], width: 2 };
//! let losses = TRAINING.losses::<Fused>(&corners, &corners)?;
//! let (mut memory, mut d_h) = ([0f32; TRAINING.need::<f32>(Method::HATS).len()], [0.0; 6]);
//! TRAINING.hypergradient(Method::HATS, losses.on(), &[-9.0; 6], &mut d_h, &mut memory)?;
//! println!("d E / d h by {}: {}", TRAINING.hypers().name(0).unwrap(), d_h[0]);
//! # Ok::<(), Error>(())
//! ```
//!
//! Below that door the parts can be had by themselves: an [`InnerProblem`](train::InnerProblem) of any objective over any path, in any
//! scalar.
//!
//! # What it is not
//! No automatic differentiation of programs, no tensors, few layers (dense, tanh, ReLU), no training framework. It
//! neither allocates nor reads files nor starts threads. Whoever wants data, pictures and a command line takes the harness,
//! `host-tests/` of the repository.
//!
//! # The map
//! A module uses those above it in this list and those beside it, none below.
//!
//! | module | what is in it |
//! |---|---|
//! | `error`, [`state`] | what can be wrong; what outlives a loss of power: bytes with a checksum |
//! | [`scalar`], `dual`, [`kernels`] | the number and the rounding that everything is generic over; dual numbers; momentum, interpolation, sums, matrix products, tanh, exp, ln, quantisation: slices in, slices out |
//! | [`memory`] | how much memory something takes, as values that add |
//! | [`layers`] | dense, tanh and ReLU, as data |
//! | [`group`], [`random`] | how hyperparameters map to weights; numbers that are a function of a seed |
//! | [`network`] | a network and its loss, as data |
//! | [`objective`], [`wrap`], [`models`] | what is minimised, with its second-order products |
//! | [`schedule`], `optimizer` | how a gradient moves the weights: heavy ball, Nesterov, Adam, with their rates |
//! | [`path`] | where the weights were |
//! | [`train`], `sweep`, [`hypergradient`] | the training, the one sweep, and both in one call |
//! | [`method`] | every path with its settings, by name, with its memory |
//! | [`forward`], [`implicit`] | the methods that are no sweep |
//! | [`outer`] | what moves the hyperparameters, and keeps them in their sets |
//! | [`training`] | a training as data: what is trained and tuned, with names, values, memory and sessions |
//! | [`tuner`] | the outer loop over a training: the best so far, a history, a state |
//! | [`check`] | the identities every objective must satisfy |
//! | `cuda` | behind the feature `cuda`: whole trainings on a GPU |
//!
//! # The same bits everywhere
//! Two named arithmetics, [`Plain`] and [`Fused`], say how a multiply-add is rounded. For each of
//! them results have the same bits on any processor with any vector width: loops are vectorised over
//! outputs whose sums run in ascending order, and sums over vectors have a fixed tree. Elementary
//! functions are our own. A golden bit that changes is a breaking change.
//!
//! # Memory
//! All of it is the caller's. What a training takes is [a value](training::Training::need) that adds to others
//! ([`memory::Need`]), a constant where the training is one, so that a network which does not fit stops the build.
//! Each operation below has a `required_len` beside it.
//!
//! No public operation can panic, whatever it is given: `benches/no-panic` proves it by link. Of the module `cuda`,
//! which is for hosts, it says nothing.
//!
//! # Features
//! - `libm` (default): square roots and multiply-adds in software, for targets without `std`.
//! - `std`: hardware multiply-adds, and the vector width chosen at run time.
//!
//! At least one of these two is needed. The others add names and change nothing:
//! - `defmt`: `defmt::Format` of errors, outcomes and settings, for a firmware's log.
//! - `cuda`: whole trainings on NVIDIA's GPUs, with `std`.
//! - `micromath`: coarser elementary functions, `kernels::math::coarse`, with their errors and sizes.
//!
//! `heapless` needs no feature: a `heapless::Vec` of layers, of blocks or of numbers is lent as the slice that it is. The
//! C interface puts its trainings together so.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

#[cfg(not(any(feature = "std", feature = "libm")))]
compile_error!(
    "drmad needs the feature `libm` (default) or `std` for square roots and multiply-adds"
);

pub mod check;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dual;
mod error;
pub mod forward;
pub mod group;
pub mod hypergradient;
pub mod implicit;
pub mod kernels;
pub mod layers;
pub mod memory;
pub mod method;
pub mod models;
pub mod network;
pub mod objective;
mod optimizer;
pub mod outer;
pub mod path;
mod pieces;
pub mod random;
pub mod scalar;
pub mod schedule;
pub mod state;
mod sweep;
pub mod train;
pub mod training;
pub mod tuner;
pub mod wrap;

pub use dual::Dual;
pub use error::Error;
pub use scalar::{Arithmetic, Fused, Plain, Real, Scalar};

/// The README's example is compiled and run with the other tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So are the answers to questions.
#[cfg(doctest)]
#[doc = include_str!("../docs/questions.md")]
struct Questions;

/// And the firmware's memory plan.
#[cfg(doctest)]
#[doc = include_str!("../docs/firmware.md")]
struct Firmware;
