//! drmad
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

#[cfg(not(any(feature = "std", feature = "libm")))]
compile_error!(
    "drmad needs the feature `libm` (default) or `std` for square roots and multiply-adds"
);

pub mod check;
pub mod dual;
pub mod error;
pub mod group;
pub mod hypergradient;
pub mod kernels;
pub mod models;
pub mod objective;
pub mod outer;
pub mod path;
pub mod random;
pub mod scalar;
pub mod sweep;
pub mod train;
pub mod wrap;

pub use dual::Dual;
pub use error::Error;
pub use scalar::{Arithmetic, Fused, Plain, Scalar};
