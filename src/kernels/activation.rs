//! The elementwise parts of a network's passes: tanh and softmax with their derivatives.
//!
//! Order of arithmetic: `1 - y^2` is `mul_add(-y, y, 1)`; sums of products are one `mul_add` after
//! another as the formulas read from left to right, the R-pass of tanh as
//! `mul_add(-(2 y) r_y, d, r_d (1 - y^2))`. `R x` is the derivative of `x` along a direction of the weights (Pearlmutter 1994).

use super::dispatch::run;
use super::math::ln_1p;
use crate::pieces::{piece, piece_mut};
use crate::scalar::{Arithmetic, Scalar};

/// `y = f(x)`.
pub(crate) fn map<T: Copy, S>(x: &[T], y: &mut [S], f: impl Fn(T) -> S) {
    run(
        #[inline(always)]
        move || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = f(*x);
            }
        },
    );
}

/// `y = exp(x)`.
///
/// ```
/// let mut y = [0.0f32; 2];
/// drmad::kernels::activation::exp::<drmad::Fused, _>(&[0.0, f32::NEG_INFINITY], &mut y);
/// assert_eq!(y, [1.0, 0.0]);
/// ```
pub fn exp<A: Arithmetic, S: Scalar>(x: &[S], y: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = x.exp::<A>();
            }
        },
    );
}

/// `x <- tanh(x)`.
///
/// ```
/// let mut x = [0.0f32, f32::INFINITY];
/// drmad::kernels::activation::tanh::<drmad::Fused, _>(&mut x);
/// assert_eq!(x, [0.0, 1.0]);
/// ```
pub fn tanh<A: Arithmetic, S: Scalar>(x: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for x in x.iter_mut() {
                *x = x.tanh::<A>();
            }
        },
    );
}

/// `d <- d (1 - y^2)`, the derivative of `y = tanh(x)`: of its adjoint, or of its tangent.
///
/// ```
/// let mut d = [2.0f32];
/// drmad::kernels::activation::tanh_adjoint::<drmad::Fused, _>(&[0.5], &mut d);
/// assert_eq!(d, [1.5]);
/// ```
pub fn tanh_adjoint<A: Arithmetic, S: Scalar>(y: &[S], d: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (d, y) in d.iter_mut().zip(y) {
                *d *= A::mul_add(-*y, *y, S::ONE);
            }
        },
    );
}

/// The R-pass of [`tanh_adjoint`]: `r_d <- r_d (1 - y^2) - 2 y r_y d`, then `d <- d (1 - y^2)`.
///
/// ```
/// let (mut d, mut r_d) = ([2.0f32], [4.0]);
/// drmad::kernels::activation::tanh_adjoint_r::<drmad::Fused, _>(&[0.5], &[1.0], &mut d, &mut r_d);
/// assert_eq!((d, r_d), ([1.5], [1.0]));
/// ```
pub fn tanh_adjoint_r<A: Arithmetic, S: Scalar>(y: &[S], r_y: &[S], d: &mut [S], r_d: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (((d, r_d), y), r_y) in d.iter_mut().zip(r_d).zip(y).zip(r_y) {
                let slope = A::mul_add(-*y, *y, S::ONE);
                let bend = -(*y + *y) * *r_y;
                *r_d = A::mul_add(bend, *d, *r_d * slope);
                *d *= slope;
            }
        },
    );
}

/// `x <- max(x, 0)`, of what is a number.
///
/// ```
/// let mut x = [-2.0f32, 3.0, -0.0];
/// drmad::kernels::activation::relu(&mut x);
/// assert_eq!(x, [0.0, 3.0, 0.0]);
/// ```
pub fn relu<S: Scalar>(x: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for x in x.iter_mut() {
                // What is no number stays.
                *x = if *x <= S::ZERO { S::ZERO } else { *x };
            }
        },
    );
}

/// `d <- d (y > 0)`, the derivative of `y = max(x, 0)`: of its adjoint, or of its tangent. That of the adjoint's
/// tangent is the same, since nothing bends.
///
/// ```
/// let mut d = [2.0f32, 2.0];
/// drmad::kernels::activation::relu_adjoint(&[0.5, 0.0], &mut d);
/// assert_eq!(d, [2.0, 0.0]);
/// ```
pub fn relu_adjoint<S: Scalar>(y: &[S], d: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (d, y) in d.iter_mut().zip(y) {
                *d = if *y > S::ZERO { *d } else { S::ZERO };
            }
        },
    );
}

/// Softmax of each row of logits `z` (rows x classes): `z <- z - max`, `p = exp(z) / sum`. Writes
/// `ln sum exp z` of the shifted logits to `log_sums`, so that `log_sum - z_k` is `-ln p_k` without
/// cancellation, however large the logits were and however near to 1 the greatest `p`.
///
/// The sum of a row runs over its classes in ascending order; so does that of the log sum, which leaves
/// out the first of the greatest, whose `exp(z)` is 1, and is [`ln_1p`] of the others.
/// Within `classes + 4` ULP of the exact `ln sum exp z` of shifted logits; within 1.5 where there are two.
///
/// ```
/// let (mut z, mut p, mut log_sums) = ([1e6f32, 1e6], [0.0; 2], [0.0]);
/// drmad::kernels::activation::softmax::<drmad::Fused, _>(2, &mut z, &mut p, &mut log_sums);
/// assert_eq!((z, p), ([0.0; 2], [0.5; 2]));
/// assert_eq!(log_sums, [core::f32::consts::LN_2]);
/// ```
pub fn softmax<A: Arithmetic, S: Scalar>(
    classes: usize,
    z: &mut [S],
    p: &mut [S],
    log_sums: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            let classes = classes.max(1);
            for row in z.chunks_exact_mut(classes) {
                let top = row
                    .iter()
                    .fold(row[0], |top, z| if *z > top { *z } else { top });
                for z in row {
                    *z -= top;
                }
            }
            for (p, z) in p.iter_mut().zip(z.iter()) {
                *p = z.exp::<A>();
            }
            let rows = z.len().checked_div(classes).unwrap_or(0);
            for (row, log_sum) in log_sums.iter_mut().enumerate().take(rows) {
                let start = row.saturating_mul(classes);
                let (z, p) = (piece(z, start, classes), piece_mut(p, start, classes));
                *log_sum = normalise::<A, S>(z, p);
            }
        },
    );
}

/// Turns a row of `exp z` of shifted logits into probabilities; returns `ln sum exp z`.
#[inline(always)]
pub(crate) fn normalise<A: Arithmetic, S: Scalar>(z: &[S], p: &mut [S]) -> S {
    let (mut sum, mut others, mut found) = (S::ZERO, S::ZERO, false);
    for (e, z) in p.iter().zip(z) {
        sum += *e;
        if found || *z < S::ZERO {
            others += *e;
        } else {
            found = true;
        }
    }
    for e in p {
        *e = *e / sum;
    }
    ln_1p::<A, S>(others)
}

/// The R-pass of [`softmax`]: `r <- p (r - sum_k p_k r_k)` in each row, from the tangents of the
/// logits to those of the probabilities.
///
/// ```
/// let mut r = [1.0f32, 3.0];
/// drmad::kernels::activation::softmax_r::<drmad::Fused, _>(2, &[0.5, 0.5], &mut r);
/// assert_eq!(r, [-0.5, 0.5]);
/// ```
pub fn softmax_r<A: Arithmetic, S: Scalar>(classes: usize, p: &[S], r: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            let classes = classes.max(1);
            for (p, r) in p.chunks_exact(classes).zip(r.chunks_exact_mut(classes)) {
                let mean = p
                    .iter()
                    .zip(r.iter())
                    .fold(S::ZERO, |sum, (p, r)| A::mul_add(*p, *r, sum));
                for (p, r) in p.iter().zip(r) {
                    *r = *p * (*r - mean);
                }
            }
        },
    );
}
