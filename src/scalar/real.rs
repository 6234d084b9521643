//! `f32` and `f64` as [`Scalar`]s: the number in earnest, and the reference.
//!
//! Elementary functions of `f32` are those of [`math`], the same everywhere; those of `f64` are a library's. They are
//! apart from the traits because `math` itself is written in terms of these.

use super::{Arithmetic, Real, Scalar};
use crate::kernels::math;

impl Real for f32 {}
impl Real for f64 {}

/// One elementary function for `f32` and `f64` from whichever library the features give.
macro_rules! from_library {
    ($(#[$doc:meta])* $name:ident, $type:ty, $std:ident, $libm:ident ( $($arg:ident),* )) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name(x: $type $(, $arg: $type)*) -> $type {
            #[cfg(feature = "std")]
            return x.$std($($arg),*);
            #[cfg(not(feature = "std"))]
            return libm::$libm(x $(, $arg)*);
        }
    };
}

from_library!(
    /// With `std` the target's instruction where there is one; `libm` gives the same bits in software.
    fused_f32, f32, mul_add, fmaf(b, c));
from_library!(fused_f64, f64, mul_add, fma(b, c));
from_library!(
    /// IEEE 754 rounds the square root correctly, so any library gives the same bits.
    sqrt_f32, f32, sqrt, sqrtf());
from_library!(sqrt_f64, f64, sqrt, sqrt());
from_library!(exp_f64, f64, exp, exp());
from_library!(ln_f64, f64, ln, log());
from_library!(tanh_f64, f64, tanh, tanh());

impl Scalar for f32 {
    const BYTES: usize = 4;
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        fused_f32(self, b, c)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        sqrt_f32(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }
    #[inline(always)]
    fn exp<A: Arithmetic>(self) -> Self {
        math::exp::<A>(self)
    }
    #[inline(always)]
    fn ln<A: Arithmetic>(self) -> Self {
        math::ln::<A>(self)
    }
    #[inline(always)]
    fn tanh<A: Arithmetic>(self) -> Self {
        math::tanh::<A>(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

/// The reference: its functions are the library's, so its bits are those of one machine only.
impl Scalar for f64 {
    const BYTES: usize = 8;
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        f64::from(x)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        fused_f64(self, b, c)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        sqrt_f64(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }
    #[inline(always)]
    fn exp<A: Arithmetic>(self) -> Self {
        exp_f64(self)
    }
    #[inline(always)]
    fn ln<A: Arithmetic>(self) -> Self {
        ln_f64(self)
    }
    #[inline(always)]
    fn tanh<A: Arithmetic>(self) -> Self {
        tanh_f64(self)
    }
}
