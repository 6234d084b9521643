//! `exp`, `ln`, `tanh` and the normal quantile `probit`: one portable definition each.
//!
//! A library's functions differ in their last bits from machine to machine; these do not. They are
//! built from the IEEE 754 operations alone (sum, difference, product, quotient, conversion, bits)
//! and [`Arithmetic::mul_add`], in the order written in the source, so they have the same bits
//! wherever subnormal numbers are kept and nothing is contracted or reassociated. They have no
//! branches, tables or calls: a loop over any of them vectorises at every width.
//!
//! # Errors
//! The largest error over all 2^32 arguments, in units of the last place (ULP) of the exact result;
//! for `probit`, whose purpose is random numbers, also the largest relative error.
//!
//! |                   | [`Plain`](crate::Plain) | [`Fused`](crate::Fused) |
//! |-------------------|------------------------:|------------------------:|
//! | [`exp`]           |                    1.01 |                    1.04 |
//! | [`ln`]            |                    0.97 |                    0.89 |
//! | [`tanh`]          |                    3.58 |                    3.31 |
//! | [`probit`]        |                    4.23 |                    3.74 |
//! | `probit` relative |                  3.2e-7 |                  2.9e-7 |
//!
//! # What they refuse to do
//! To raise flags, and to keep the sign or the payload of a NaN, in which processors differ: a NaN
//! comes out where one goes in, and which one is not part of the contract. None of them is correctly
//! rounded, and `tanh` is not monotone: neighbours may be out of order by their error.
//!
//! # Where the coefficients come from
//! A Remez exchange in 40 digits gave the polynomial or rational function with the least largest
//! error. Rounding its coefficients to `f32` spoils it, so those of `probit` were rounded one by
//! one, the rest fitted again each time; those of the others were moved by a few last places in a
//! random search for the least error of the function as it is computed, over random arguments and
//! the worst ones of exhaustive scans. The error that each function names is that of the
//! coefficients as they stand here, in exact arithmetic. They are written in the fewest decimals
//! that give back the same `f32`.

#[cfg(feature = "micromath")]
pub mod coarse;

use crate::scalar::{Arithmetic, Scalar};

/// 1.5 * 2^23. `(x + ROUND) - ROUND` is the integer nearest to `x` for |x| < 2^22, and the low bits
/// of `x + ROUND` are that integer, which saves a conversion that vectorises badly.
const ROUND: f32 = 12_582_912.0;
/// ln 2 to 15 bits: its products with integers below 2^9 are exact, in either arithmetic.
const LN_2_HIGH: f32 = 0.693_145_75;
/// ln 2 - `LN_2_HIGH`.
const LN_2_LOW: f32 = 1.428_606_8e-6;

/// The polynomial with these coefficients, highest power first, at `$x` by Horner's rule.
/// A macro, since a closure or a loop might not be inlined into the code for a vector width.
macro_rules! horner {
    ($A:ident, $x:ident; $highest:expr $(, $lower:expr)*) => {{
        let sum = $highest;
        $( let sum = $A::mul_add(sum, $x, $lower); )*
        sum
    }};
}

/// `x` in `low ..= high`, a NaN left as it is. Written so that it is one `min` and one `max` on
/// x86-64, which return their second operand where a NaN is compared.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

/// 2^n for `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    // `n` is arbitrary where the argument was NaN: wrapping keeps that free of panics.
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `e^x`.
///
/// With `n` the integer nearest to `x / ln 2` and `r = x - n ln 2`, `e^x = 2^n e^r`, |r| <= ln 2 / 2:
///
/// 1. `x` is clamped to -104 ..= 89, beyond which the result is 0 or infinite anyway.
/// 2. `t = mul_add(x, log2 e, 1.5 * 2^23)`, `n = t - 1.5 * 2^23`; as an integer, `n` is the
///    difference of the bits of the two.
/// 3. `r = mul_add(n, -LN_2_HIGH, x)`, `r = mul_add(n, -LN_2_LOW, r)`.
/// 4. `q` = the polynomial of degree 4 for `(e^r - 1 - r) / r^2` by Horner's rule, with `q(0) = 1/2`;
///    it is within 4.7e-9 of `e^r`, relatively.
/// 5. `p = 1 + mul_add(r * r, q, r)`.
/// 6. `(p * 2^h) * 2^(n - h)` with `h = floor(n / 2)`: only the last product can overflow or round.
///
/// Infinite above 88.722839, 0 below -103.97208, 1 at 0, NaN for NaN; subnormal results are as
/// precise as their last place allows.
///
/// ```
/// use drmad::{kernels::math::exp, Fused, Plain};
/// assert_eq!(exp::<Fused>(1.0), core::f32::consts::E);
/// assert_eq!(exp::<Plain>(-0.0), 1.0);
/// assert_eq!(exp::<Plain>(89.0), f32::INFINITY);
/// ```
#[inline(always)]
pub fn exp<A: Arithmetic>(x: f32) -> f32 {
    let x = clamp(x, -104.0, 89.0);
    let t = A::mul_add(x, core::f32::consts::LOG2_E, ROUND);
    let n = t - ROUND;
    let r = A::mul_add(n, -LN_2_HIGH, x);
    let r = A::mul_add(n, -LN_2_LOW, r);
    let q = horner!(A, r; 1.403_558_9e-3, 8.372_288e-3, 4.166_552_4e-2, 1.666_648_8e-1, 0.5);
    let p = 1.0 + A::mul_add(r * r, q, r);
    let n = t.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// The natural logarithm.
///
/// With `x = 2^e (1 + f)` and -1/3 <= f < 1/3, `ln x = e ln 2 + f - f^2 / 2 + ...`:
///
/// 1. A subnormal `x` is multiplied by 2^24, and `e` starts from -24 in place of 0.
/// 2. `i = bits(x) - bits(2/3)`; `e += i >> 23` (the shift keeps the sign); the bits of `1 + f` are
///    the low 23 bits of `i`, plus `bits(2/3)`; `f = (1 + f) - 1` is exact.
/// 3. `q` = the polynomial of degree 8 for `(ln(1 + f) - f) / f^2` by Horner's rule, with
///    `q(0) = -1/2`; `f + f^2 q` is within 1.3e-8 of `ln(1 + f)`, relatively.
/// 4. `l = f + mul_add(f * f, q, e * LN_2_LOW)`.
/// 5. `mul_add(e, LN_2_HIGH, l)`.
///
/// -infinity at both zeros, NaN below, infinity at infinity, 0 at 1, NaN for NaN.
///
/// ```
/// use drmad::{kernels::math::ln, Fused, Plain};
/// assert_eq!(ln::<Fused>(2.0), core::f32::consts::LN_2);
/// assert_eq!(ln::<Plain>(0.0), f32::NEG_INFINITY);
/// assert!(ln::<Plain>(-1.0).is_nan());
/// ```
#[inline(always)]
pub fn ln<A: Arithmetic>(x: f32) -> f32 {
    /// The bits of 2/3.
    const TWO_THIRDS: u32 = 0x3f2a_aaab;
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 16_777_216.0 } else { x };
    let e = if subnormal { -24.0 } else { 0.0 };
    let i = scaled.to_bits().wrapping_sub(TWO_THIRDS);
    let e = ((i as i32) >> 23) as f32 + e;
    let f = f32::from_bits((i & 0x007f_ffff) + TWO_THIRDS) - 1.0;
    let q = horner!(A, f;
        -1.245_278_64e-1, 1.407_357_8e-1, -1.227_791_5e-1, 1.398_794_4e-1, -1.667_430_4e-1,
        2.001_168_1e-1, -2.499_991e-1, 3.333_318e-1, -0.5);
    let l = f + A::mul_add(f * f, q, e * LN_2_LOW);
    let y = A::mul_add(e, LN_2_HIGH, l);
    // Infinity and NaN pass through.
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x < 0.0 { f32::NAN } else { y };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// `ln(1 + x)` for `x` from 0 on, by [`Scalar::ln`] and what `1 + x` lost in rounding:
///
/// 1. `u = 1 + x`; `lost = (u - 1) - x`, of which both differences are exact while `x` is below 1.
/// 2. `ln u - lost / u`, since `ln(u - lost) = ln u - lost / u - ...`, and the rest is below the last place.
///
/// Within 1.4 ULP for `f32` in either arithmetic, over every 61st `x` from 0 to 2^24; `x` itself below 2^-24.
///
/// ```
/// use drmad::{kernels::math::ln_1p, Fused};
/// assert_eq!(ln_1p::<Fused, f32>(1e-10), 1e-10);
/// assert_eq!(ln_1p::<Fused, f32>(1.0), core::f32::consts::LN_2);
/// ```
#[inline(always)]
pub fn ln_1p<A: Arithmetic, S: Scalar>(x: S) -> S {
    let u = S::ONE + x;
    let lost = (u - S::ONE) - x;
    u.ln::<A>() - lost / u
}

/// The hyperbolic tangent.
///
/// One rational function of `y = x^2` for all of it, `tanh x = x (11/64 + P(y) / Q(y))`, both of
/// degree 4 with `P(0) = 53/64` and `Q(0) = 1`. The 11/64 keep a part of the result clear of the
/// quotient's roundings; many more would make `P` cancel. The two constants add up to 1 exactly, so
/// small numbers come through unchanged.
///
/// 1. `x` is clamped to -10 ..= 10, where the result is 1 for certain.
/// 2. `y = x * x`; `p` and `q` by Horner's rule; the function is within 7e-8 of `tanh x`,
///    relatively.
/// 3. `x * (11/64 + p / q)`.
/// 4. That is clamped to -1 ..= 1.
///
/// Odd, bit for bit; the sign of a zero is kept; `x` itself for |x| < 1e-4, subnormal numbers
/// included; 1 from 9.1 on; NaN for NaN.
///
/// ```
/// use drmad::{kernels::math::tanh, Fused, Plain};
/// assert_eq!(tanh::<Plain>(1e-40), 1e-40);
/// assert_eq!(tanh::<Plain>(-f32::INFINITY), -1.0);
/// assert!((tanh::<Fused>(0.5) - 0.462_117_16).abs() < 1e-7);
/// ```
#[inline(always)]
pub fn tanh<A: Arithmetic>(x: f32) -> f32 {
    let x = clamp(x, -10.0, 10.0);
    let y = x * x;
    let p = horner!(A, y;
        -1.205_098_1e-7, -3.588_543_8e-5, -9.514_188e-4, 5.353_361e-2, 0.828_125);
    let q = horner!(A, y;
        7.790_199_6e-7, 3.288_504_4e-4, 2.588_43e-2, 4.671_599_3e-1, 1.0);
    clamp(x * (0.171_875 + p / q), -1.0, 1.0)
}

/// The quantile of the normal distribution at the probability `0.5 + q`: turns uniform numbers into
/// normal ones.
///
/// The argument is centred because `f32` cannot hold probabilities near 1 as well as those near 0,
/// and because the function is odd in `q`. From 24 random bits `k`,
/// `q = (k - 8_388_607.5) / 2^24` is exact, never 0 and never +-0.5. With `w = -ln(1 - 4 q^2)`,
/// `probit / q` is a smooth function of `w`, even in the tails, and `w` ends at 15.95, where
/// `q = 0.5 - 2^-25`, the last number before 0.5:
///
/// 1. `a = |q|`; `w = -ln(4 ((0.5 - a) * (0.5 + a)))` by this module's [`ln`].
/// 2. `n` and `d`, polynomials of degree 5, by Horner's rule; `n / d` is within 2e-8 of
///    `probit / q`, relatively, for 0 <= w <= 16.
/// 3. `(q * n) / d`.
///
/// Odd, bit for bit; the sign of a zero is kept; infinite at +-0.5; NaN beyond and for NaN.
///
/// ```
/// use drmad::{kernels::math::probit, Fused};
/// // 97.5 % lie below 1.96.
/// assert!((probit::<Fused>(0.475) - 1.959_964).abs() < 1e-6);
/// assert_eq!(probit::<Fused>(-0.25), -probit::<Fused>(0.25));
/// assert_eq!(probit::<Fused>(0.5), f32::INFINITY);
/// ```
#[inline(always)]
pub fn probit<A: Arithmetic>(q: f32) -> f32 {
    let a = f32::from_bits(q.to_bits() & 0x7fff_ffff);
    let w = -ln::<A>((0.5 - a) * (0.5 + a) * 4.0);
    let n = horner!(A, w;
        6.885_802e-5, 1.817_536e-3, 2.193_426e-2, 1.683_681_6e-1, 8.664_629e-1, 2.506_628_3);
    let d = horner!(A, w;
        1.293_698_4e-6, 1.795_490_5e-4, 1.870_359_4e-3, 3.217_883_4e-2, 8.386_953e-2, 1.0);
    let x = q * n / d;
    // At the ends n and d are infinite. Beyond, `ln` has made everything NaN.
    if a == 0.5 { q * f32::INFINITY } else { x }
}

/// `x^n` by squaring, so that no library's `pow` decides the bits.
///
/// ```
/// assert_eq!(drmad::kernels::math::power(0.5f32, 3), 0.125);
/// ```
pub fn power<S: Scalar>(mut x: S, mut n: u32) -> S {
    let mut y = S::ONE;
    while n > 0 {
        if n & 1 == 1 {
            y *= x;
        }
        x *= x;
        n >>= 1;
    }
    y
}
