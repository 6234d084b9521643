//! Half precision, emulated: numbers of 1 + 5 + 10 bits (binary16 of IEEE 754), every operation rounded
//! to nearest, ties to even.
//!
//! Sums and products of two such numbers fit an f64 exactly, quotients and square roots are rounded
//! there to more than twice their bits, so the one rounding that is seen is that to 11 bits. A fused
//! multiply-add may be rounded twice where its summands are 2^53 apart. Elementary functions are the
//! library's in f64, rounded.
//!
//! Rounded here and by no library: those come from an f64 by way of an f32 where the processor has an
//! instruction for that, which rounds twice, and otherwise not.
//!
//! Refused: speed, and NaNs other than the one.

use core::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use drmad::Real;
use drmad::state::{Fields, State};
use drmad::{Arithmetic, Error, Scalar};

/// A number of half precision.
///
/// ```
/// use drmad::Scalar;
/// use drmad_host::study::half::Half;
/// let third = Half::ONE / Half::from_f64(3.0);
/// assert_eq!(third.to_f64(), 1365.0 / 4096.0);
/// assert!(!Half::from_f64(65520.0).is_finite());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Half(f32);

impl Half {
    /// The unit in the last place of 1.
    pub const EPSILON: f64 = 1.0 / 1024.0;
}

/// The nearest of them.
fn round(x: f64) -> Half {
    // 2^exponent <= |x| < 2^(exponent + 1); below 2^-14 the numbers stand as far apart as there.
    let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let unit = f64::from_bits(((1023 - 10 + exponent.max(-14)) as u64) << 52);
    // A power of two divides without rounding; of what is no number there is no unit.
    let rounded = if x.is_finite() {
        (x / unit).round_ties_even() * unit
    } else {
        x
    };
    Half(if rounded.abs() < 65_536.0 || rounded.is_nan() {
        rounded as f32
    } else {
        f32::INFINITY.copysign(rounded as f32)
    })
}

macro_rules! rounded {
    ($($of:ident $name:ident $op:tt)*) => {$(
        impl $of for Half {
            type Output = Half;
            fn $name(self, b: Half) -> Half {
                round(self.to_f64() $op b.to_f64())
            }
        }
    )*};
}

macro_rules! in_place {
    ($($of:ident $name:ident $op:tt)*) => {$(
        impl $of for Half {
            fn $name(&mut self, b: Half) {
                *self = *self $op b;
            }
        }
    )*};
}

rounded!(Add add + Sub sub - Mul mul * Div div /);
in_place!(AddAssign add_assign + SubAssign sub_assign - MulAssign mul_assign *);

impl Neg for Half {
    type Output = Half;
    fn neg(self) -> Half {
        Half(-self.0)
    }
}

impl State for Half {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        self.0.state(fields)
    }
}

impl Scalar for Half {
    const BYTES: usize = 4;
    const ZERO: Self = Half(0.0);
    const ONE: Self = Half(1.0);

    fn from_f64(x: f64) -> Self {
        round(x)
    }
    fn from_f32(x: f32) -> Self {
        round(f64::from(x))
    }
    fn to_f64(self) -> f64 {
        f64::from(self.0)
    }
    fn fused(self, b: Self, c: Self) -> Self {
        round(self.to_f64().mul_add(b.to_f64(), c.to_f64()))
    }
    fn sqrt(self) -> Self {
        round(self.to_f64().sqrt())
    }
    fn abs(self) -> Self {
        Half(self.0.abs())
    }
    fn exp<A: Arithmetic>(self) -> Self {
        round(self.to_f64().exp())
    }
    fn ln<A: Arithmetic>(self) -> Self {
        round(self.to_f64().ln())
    }
    fn tanh<A: Arithmetic>(self) -> Self {
        round(self.to_f64().tanh())
    }
}

/// No tangent: fixed point can hold what it stands for.
impl Real for Half {}
