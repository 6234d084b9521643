//! The kernels and the methods: each derivative against an independent float64 computation, finite
//! differences and adjoint identities; each refusal; any training.
//!
//! One program, since each compiles the trainings that it is generic over anew.
#![allow(clippy::needless_range_loop)] // indices as in the formulas

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "cuda")]
#[path = "../emulated/mod.rs"]
mod emulated;
#[path = "../../host-tests/src/tolerances.rs"]
#[allow(dead_code, unreachable_pub)] // the table of all tests
mod tolerances;

mod answers;
mod checkpoints;
mod data_hypers;
mod described;
#[cfg(feature = "cuda")]
mod emulation;
mod extremes;
mod forward;
mod hypergradients;
mod implicit;
mod interpolants;
mod kernels;
mod kinks;
mod math;
mod means;
mod methods;
mod objectives;
mod power_loss;
mod projections;
mod properties;
mod random;
mod refusals;
mod reversible;
mod rules;
mod sparse;
mod tails;
mod training;
mod tuner;
mod work;
mod wraps;
