//! Experiments that are no training on images.
//!
//! Each has settings of its own, read from its file, and writes the same
//! [`Findings`](crate::report::experiments::Findings) as the others.

pub mod half;
pub mod precision;
