//! A point between two vectors.
//!
//! `y = (1 - b) x_0 + b x_1` with `b = i / n` from integers: exact at both ends, where the end is
//! copied, signed zeros included. Refused: extrapolation (`i > n` is taken as `n`).

use super::dispatch::run;
use crate::scalar::{Arithmetic, Scalar};

/// The weights `1 - b` and `b` of the two ends at step `i` of `n`, each rounded once from the
/// quotient of integers.
#[inline]
pub fn weights<S: Scalar>(i: usize, n: usize) -> (S, S) {
    let (i, n) = (i.min(n), n.max(1));
    let over = |i: usize| S::from_usize(i) / S::from_usize(n);
    (over(n - i), over(i))
}

/// `y = (1 - b) x_0 + b x_1`, `b = i / n`.
///
/// Arithmetic: `mul_add(b, x_1, (1 - b) * x_0)`.
///
/// ```
/// use drmad::{kernels::interpolate::between, Fused};
/// let mut y = [0.0f32; 2];
/// between::<Fused, _>(1, 4, &[0.0, 8.0], &[4.0, 0.0], &mut y);
/// assert_eq!(y, [1.0, 6.0]);
/// ```
pub fn between<A: Arithmetic, S: Scalar>(i: usize, n: usize, x0: &[S], x1: &[S], y: &mut [S]) {
    let end = if i == 0 {
        Some(x0)
    } else if i >= n {
        Some(x1)
    } else {
        None
    };
    if let Some(end) = end {
        for (y, x) in y.iter_mut().zip(end) {
            *y = *x;
        }
        return;
    }
    let (a, b) = weights::<S>(i, n);
    run(
        #[inline(always)]
        move || {
            for ((y, x0), x1) in y.iter_mut().zip(x0).zip(x1) {
                *y = A::mul_add(b, *x1, a * *x0);
            }
        },
    );
}
