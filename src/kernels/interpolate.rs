//! A point between two vectors.
//!
//! `y = (1 - b) x_0 + b x_1` with `b = i / n` from integers: exact at both ends, where the end is
//! copied, signed zeros included; and what [`bend`]s the line between them to a cubic. Refused:
//! extrapolation (`i > n` is taken as `n`).

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

/// `y += g_0 (f_0 - s) + g_1 (f_1 - s)` with `s = (x_1 - x_0) / n`: nothing, where the slopes `f` at
/// both ends are that of the line.
///
/// Arithmetic: `mul_add(g_0, f_0, mul_add(g_1, f_1, mul_add(-(g_0 + g_1) / n, x_1 - x_0, y)))`, the
/// factors computed in f64 and rounded once.
///
/// ```
/// use drmad::{kernels::interpolate::bend, Fused};
/// let mut y = [2.0f32];
/// bend::<Fused, _>([0.5, -0.25], 4, [&[0.0], &[8.0]], [&[4.0], &[2.0]], &mut y);
/// assert_eq!(y, [3.0]);
/// ```
pub fn bend<A: Arithmetic, S: Scalar>(
    g: [f64; 2],
    n: usize,
    x: [&[S]; 2],
    f: [&[S]; 2],
    y: &mut [S],
) {
    let chord = S::from_f64(-(g[0] + g[1]) / n.max(1) as f64);
    let g = g.map(S::from_f64);
    run(
        #[inline(always)]
        move || {
            let ends = x[0].iter().zip(x[1]).zip(f[0].iter().zip(f[1]));
            for (y, ((x0, x1), (f0, f1))) in y.iter_mut().zip(ends) {
                let line = A::mul_add(chord, *x1 - *x0, *y);
                *y = A::mul_add(g[0], *f0, A::mul_add(g[1], *f1, line));
            }
        },
    );
}
