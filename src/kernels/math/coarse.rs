//! Coarser functions from the crate `micromath`, for a firmware that asks for them by name. Nothing in
//! this crate calls them, and no feature puts them in another's place.
//!
//! The worst error over every 997th number of each sign where there is a result, from the least normal
//! one to 87 (`exp`), 100 (`tanh`) or the greatest; instructions of a call with its loop, counted by
//! callgrind on an x86-64 without vectors; bytes of code on a Cortex-M4F. Beside each the crate's own
//! (of `sqrt` that of `libm`):
//!
//! | function | error | own | instructions | own | bytes | own |
//! |---|---|---|---|---|---|---|
//! | `exp`, relative | 2.4e-3 | 7.9e-8 | 119 | 64 | 468 | 236 |
//! | `ln`, absolute | 7.0e-5 | 3.8e-6 | 78 | 94 | 316 | 392 |
//! | `tanh`, relative | 1.0e-3 | 2.1e-7 | 138 | 53 | 520 | 224 |
//! | `sqrt`, relative | 6.1e-2 | 6.0e-8 | 41 | 87 | 104 | 504 |
//!
//! So `sqrt` is a fifth of the size and `ln` four fifths, and `exp` and `tanh` are worse in all three: take
//! the crate's own. That of `ln` is 6.91e-5 over all normal numbers, and near 1 as great as anywhere: relatively
//! it is 5.7 % at .999, below 1 % only where the logarithm is beyond .007, and without bound at 1.
//!
//! Beyond those ranges and at NaN they are what the exact function is, but for subnormal arguments of `ln`
//! and `sqrt`. Their bits are the same on every machine, since sums and products are; they are not golden:
//! another version of `micromath` may have others.

use micromath::F32Ext;

/// The exponential.
///
/// ```
/// use drmad::kernels::math::coarse::exp;
/// assert!((exp(1.5) / 1.5f32.exp() - 1.0).abs() < 1e-2);
/// assert_eq!((exp(-200.0), exp(200.0)), (0.0, f32::INFINITY));
/// ```
pub fn exp(x: f32) -> f32 {
    if x.is_nan() {
        x
    } else if x < -87.0 {
        0.0
    } else if x > 88.7 {
        f32::INFINITY
    } else {
        F32Ext::exp(x)
    }
}

/// The natural logarithm; below 1 that of the reciprocal, since the reciprocal that `micromath` takes there is
/// off by an eighth.
///
/// ```
/// use drmad::kernels::math::coarse::ln;
/// assert!((ln(10.0) - 10f32.ln()).abs() < 1e-2);
/// assert!(ln(0.0) == f32::NEG_INFINITY && ln(-1.0).is_nan());
/// ```
pub fn ln(x: f32) -> f32 {
    if x.is_nan() || x == f32::INFINITY {
        x
    } else if x < 0.0 {
        f32::NAN
    } else if x == 0.0 {
        f32::NEG_INFINITY
    } else {
        let (y, sign) = if x < 1.0 { (1.0 / x, -1.0) } else { (x, 1.0) };
        sign * F32Ext::ln(y)
    }
}

/// The hyperbolic tangent: `x - x^3/3` near 0, and beyond it `1 - 2 / (exp(2 x) + 1)`. Odd, bit for bit,
/// at zeros too.
///
/// ```
/// use drmad::kernels::math::coarse::tanh;
/// assert!((tanh(0.5) - 0.5f32.tanh()).abs() < 1e-2);
/// assert_eq!((tanh(-0.5), tanh(f32::INFINITY)), (-tanh(0.5), 1.0));
/// ```
pub fn tanh(x: f32) -> f32 {
    let a = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    let y = if a < 0.25 {
        a - a * a * a * (1.0 / 3.0)
    } else {
        1.0 - 2.0 / (exp(a + a) + 1.0)
    };
    f32::copysign(y, x)
}

/// The square root.
///
/// ```
/// use drmad::kernels::math::coarse::sqrt;
/// assert!((sqrt(2.0) / 2f32.sqrt() - 1.0).abs() < 0.07);
/// assert!(sqrt(0.0) == 0.0 && sqrt(-1.0).is_nan());
/// ```
pub fn sqrt(x: f32) -> f32 {
    if x == 0.0 || x == f32::INFINITY || x.is_nan() {
        x
    } else {
        F32Ext::sqrt(x)
    }
}

#[cfg(test)]
mod tests {
    use super::{exp, ln, sqrt, tanh};
    use crate::{Plain, Scalar};

    /// The worst error over every 997th number from `first` to `last`, both positive, and their negatives
    /// where `both`; relative, or absolute.
    fn worst(
        [first, last]: [f32; 2],
        both: bool,
        relative: bool,
        f: fn(f32) -> f32,
        exact: fn(f64) -> f64,
    ) -> f64 {
        let mut worst = 0.0;
        for bits in (first.to_bits()..=last.to_bits()).step_by(997) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                if x > 0.0 || both {
                    let want = exact(f64::from(x));
                    let error = Scalar::abs(f64::from(f(x)) - want);
                    let error = if relative {
                        error / Scalar::abs(want)
                    } else {
                        error
                    };
                    assert!(error.is_finite(), "{x}");
                    worst = if error > worst { error } else { worst };
                }
            }
        }
        worst
    }

    #[test]
    fn errors_are_those_of_the_table() {
        let least = f32::MIN_POSITIVE;
        for (name, got, want) in [
            (
                "exp",
                worst([least, 87.0], true, true, exp, Scalar::exp::<Plain>),
                2.4e-3,
            ),
            (
                "ln",
                worst([least, f32::MAX], false, false, ln, Scalar::ln::<Plain>),
                7.0e-5,
            ),
            (
                "tanh",
                worst([least, 100.0], true, true, tanh, Scalar::tanh::<Plain>),
                1.1e-3,
            ),
            (
                "sqrt",
                worst([least, f32::MAX], false, true, sqrt, Scalar::sqrt),
                6.1e-2,
            ),
        ] {
            assert!(
                got < want && got > 0.9 * want,
                "{name}: {got:e}, and not {want:e}"
            );
        }
    }

    #[test]
    fn logarithms_near_1_are_off_by_no_more_than_others() {
        // ln(1 + t) to 1e-12 by its series.
        for k in -999..=999 {
            let x = 1.0 + 1e-5 * k as f32;
            let t = f64::from(x) - 1.0;
            let want = t - t * t / 2.0 + t * t * t / 3.0 - t * t * t * t / 4.0;
            assert!(Scalar::abs(f64::from(ln(x)) - want) < 7e-5, "{x}");
        }
    }

    #[test]
    fn ends_are_exact() {
        let (infinity, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!(
            [exp(-infinity), exp(infinity), exp(0.0)],
            [0.0, infinity, 1.0]
        );
        assert_eq!([ln(0.0), ln(infinity), ln(1.0)], [-infinity, infinity, 0.0]);
        assert_eq!(
            [tanh(-infinity), tanh(infinity), tanh(0.0)],
            [-1.0, 1.0, 0.0]
        );
        assert_eq!([sqrt(0.0), sqrt(infinity)], [0.0, infinity]);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(sqrt(-0.0).to_bits(), (-0.0f32).to_bits());
        for x in [
            exp(nan),
            ln(nan),
            tanh(nan),
            sqrt(nan),
            ln(-1.0),
            sqrt(-1.0),
        ] {
            assert!(x.is_nan());
        }
        assert!((0..10_000).all(|i| tanh(-0.001 * i as f32) == -tanh(0.001 * i as f32)));
    }
}
