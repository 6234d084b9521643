//! Dual numbers: `x + e x'` with `e^2 = 0`.
//!
//! Running a gradient on dual numbers whose tangent is a direction `d` gives `H d` and `M d` beside
//! the gradient itself: forward over reverse (Pearlmutter 1994). Each operation carries the value
//! with exactly the arithmetic the plain number would use, so the values of a dual computation have
//! the bits of the plain one. Nesting (`Dual<Dual<f64>>`) gives higher derivatives.
//!
//! At a kink the derivative is 0: the convention of [all scalars](crate::scalar#kinks). Comparisons, `==`
//! among them, look at the value alone. The square root of zero has tangent 0, the one-sided limit for a
//! second moment that is and stays zero, where others return NaN.

use core::cmp::Ordering;
use core::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use bytemuck::TransparentWrapper;

use crate::error::Error;
use crate::scalar::{Arithmetic, Plain, Scalar};
use crate::state::{Fields, State};

/// A value and its derivative along one direction.
///
/// ```
/// use drmad::Dual;
/// let x = Dual::new(3.0f64, 1.0);
/// let y = x * x + x;
/// assert_eq!((y.value(), y.tangent()), (12.0, 7.0));
/// ```
#[derive(Clone, Copy, Debug, Default, TransparentWrapper)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct Dual<S>([S; 2]);

impl<S: Scalar> Dual<S> {
    /// The number `value + e tangent`.
    #[inline(always)]
    pub fn new(value: S, tangent: S) -> Self {
        Dual([value, tangent])
    }

    /// The value.
    #[inline(always)]
    pub fn value(self) -> S {
        self.0[0]
    }

    /// The derivative.
    #[inline(always)]
    pub fn tangent(self) -> S {
        self.0[1]
    }

    /// A buffer of `2 n` plain numbers, seen as `n` dual ones.
    #[inline]
    pub(crate) fn view(buffer: &mut [S]) -> &mut [Dual<S>] {
        Dual::wrap_slice_mut(buffer.as_chunks_mut::<2>().0)
    }
}

impl<S: Scalar> PartialEq for Dual<S> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl<S: Scalar> PartialOrd for Dual<S> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value().partial_cmp(&other.value())
    }
}

impl<S: Scalar> Add for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Dual([self.0[0] + b.0[0], self.0[1] + b.0[1]])
    }
}

impl<S: Scalar> Sub for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Dual([self.0[0] - b.0[0], self.0[1] - b.0[1]])
    }
}

impl<S: Scalar> Mul for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Dual([self.0[0] * b.0[0], self.0[0] * b.0[1] + self.0[1] * b.0[0]])
    }
}

impl<S: Scalar> Div for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        let q = self.0[0] / b.0[0];
        Dual([q, (self.0[1] - q * b.0[1]) / b.0[0]])
    }
}

impl<S: Scalar> Neg for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Dual([-self.0[0], -self.0[1]])
    }
}

impl<S: Scalar> AddAssign for Dual<S> {
    #[inline(always)]
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl<S: Scalar> SubAssign for Dual<S> {
    #[inline(always)]
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl<S: Scalar> MulAssign for Dual<S> {
    #[inline(always)]
    fn mul_assign(&mut self, b: Self) {
        *self = *self * b;
    }
}

impl<S: Scalar> State for Dual<S> {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.numbers(&mut self.0)
    }
}

impl<S: Scalar> Scalar for Dual<S> {
    const BYTES: usize = 2 * S::BYTES;
    const ZERO: Self = Dual([S::ZERO, S::ZERO]);
    const ONE: Self = Dual([S::ONE, S::ZERO]);

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        Dual([S::from_f64(x), S::ZERO])
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Dual([S::from_f32(x), S::ZERO])
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.0[0].to_f64()
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        Dual([
            self.0[0].fused(b.0[0], c.0[0]),
            self.0[0].fused(b.0[1], self.0[1].fused(b.0[0], c.0[1])),
        ])
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let root = self.0[0].sqrt();
        let slope = if root == S::ZERO {
            S::ZERO
        } else {
            self.0[1] / (root + root)
        };
        Dual([root, slope])
    }
    #[inline(always)]
    fn abs(self) -> Self {
        let [value, tangent] = self.0;
        Dual([value.abs(), value.sign() * tangent])
    }
    #[inline(always)]
    fn exp<A: Arithmetic>(self) -> Self {
        let e = self.0[0].exp::<A>();
        Dual([e, e * self.0[1]])
    }
    #[inline(always)]
    fn ln<A: Arithmetic>(self) -> Self {
        Dual([self.0[0].ln::<A>(), self.0[1] / self.0[0]])
    }
    #[inline(always)]
    fn tanh<A: Arithmetic>(self) -> Self {
        let y = self.0[0].tanh::<A>();
        Dual([y, Plain::mul_add(-y, y, S::ONE) * self.0[1]])
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        self.0[0].is_finite() && self.0[1].is_finite()
    }
}
