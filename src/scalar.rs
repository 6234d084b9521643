//! The two things every kernel is generic over: the number ([`Scalar`]) and the rounding of a
//! multiply-add ([`Arithmetic`]).
//!
//! A kernel never writes `a * b + c`: it writes `A::mul_add(a, b, c)`, and `A` says whether that is
//! two roundings ([`Plain`]) or one ([`Fused`]). Each of them gives the same bits on every machine;
//! a compiler that was free to choose would not.
//!
//! [`Scalar`] is `f32` in earnest, `f64` where a test needs a reference, and
//! [`Dual`](crate::Dual) of either where a derivative of a gradient is wanted. It refuses
//! integers and complex numbers.
//!
//! # Kinks
//! There is one convention for the derivative where a function has none: **at a kink it is 0**, in every
//! mode and of every order. `|x|` has the slope [`sign(x)`](Scalar::sign), which is 0 at 0 and itself a
//! constant, and the square root has the slope 0 at 0. So the derivative of `|x|` is the same whether a
//! gradient is written by hand (the penalty [`L1`](crate::wrap::L1)) or dual numbers find it. Comparisons
//! of dual numbers, `==` among them, see the values alone: a branch is taken as with plain numbers, and
//! has the derivative of the side that is taken. `if x > S::ZERO { x } else { S::ZERO }` keeps the
//! convention, and with `>=` it would not.

use core::fmt::Debug;
use core::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::state::State;

mod real;

/// How a multiply-add is rounded: [`Plain`] or [`Fused`].
///
/// ```
/// use drmad::{Arithmetic, Fused, Plain};
/// let x = 1.0f32 + 2.0 * f32::EPSILON;
/// assert_eq!(Plain::mul_add(x, x, -1.0), 4.0 * f32::EPSILON);
/// assert!(Fused::mul_add(x, x, -1.0) > 4.0 * f32::EPSILON);
/// ```
pub trait Arithmetic: Copy + Default + Debug + PartialEq + Send + Sync + 'static {
    /// The name used on command lines and in reports.
    const NAME: &'static str;

    /// `a * b + c`.
    fn mul_add<S: Scalar>(a: S, b: S, c: S) -> S;
}

/// A product and a sum, each rounded: the arithmetic of firmware, where hardware that fuses is
/// absent or no faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Plain;

/// Every multiply-add is one rounding: the arithmetic of hosts and GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fused;

impl Arithmetic for Plain {
    const NAME: &'static str = "plain";

    #[inline(always)]
    fn mul_add<S: Scalar>(a: S, b: S, c: S) -> S {
        a * b + c
    }
}

impl Arithmetic for Fused {
    const NAME: &'static str = "fused";

    #[inline(always)]
    fn mul_add<S: Scalar>(a: S, b: S, c: S) -> S {
        a.fused(b, c)
    }
}

/// A number the kernels can work on.
///
/// ```
/// use drmad::{Fused, Scalar};
/// fn logistic<S: Scalar>(x: S) -> S {
///     S::ONE / (S::ONE + (-x).exp::<Fused>())
/// }
/// assert_eq!(logistic(0.0f32), 0.5);
/// ```
pub trait Scalar:
    Copy
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + State
{
    /// Bytes that it takes as a [`State`].
    const BYTES: usize;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// The nearest number to `x`.
    fn from_f64(x: f64) -> Self;
    /// `x`, exactly.
    fn from_f32(x: f32) -> Self;
    /// The number itself; of a dual number its value, without the tangent.
    fn to_f64(self) -> f64;
    /// `self * b + c` in one rounding.
    fn fused(self, b: Self, c: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// `e` to the power of `self`.
    fn exp<A: Arithmetic>(self) -> Self;
    /// The natural logarithm.
    fn ln<A: Arithmetic>(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh<A: Arithmetic>(self) -> Self;

    /// The absolute value, which has the slope [`sign`](Self::sign); of -0 it is +0.
    fn abs(self) -> Self;

    /// 1, -1, or 0 for a zero; without a derivative anywhere.
    #[inline(always)]
    fn sign(self) -> Self {
        if self > Self::ZERO {
            Self::ONE
        } else if self < Self::ZERO {
            -Self::ONE
        } else {
            Self::ZERO
        }
    }

    /// Neither infinite nor NaN.
    #[inline(always)]
    fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }

    /// The count `n`, rounded to the nearest number.
    #[inline(always)]
    fn from_usize(n: usize) -> Self {
        Self::from_f64(n as f64)
    }
}

/// Numbers without a tangent: `f32` and `f64`.
pub trait Real: Scalar {}
