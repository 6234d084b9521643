//! Scaled copies and sums of vectors, plain and by rows.
//!
//! The row forms see a block of weights as a matrix `x` (rows x columns, row-major) with one number
//! per row: the shape of a group of hyperparameters. One row of all columns is a shared
//! hyperparameter, rows of one column are a hyperparameter for each weight.
//!
//! Refused: checking lengths; what one of the vectors lacks is left out.

use super::dispatch::run;
use super::reduce::{dot_inline, reduce_beside, sum_inline, two_sum};
use super::rows::by_columns;
use crate::scalar::{Arithmetic, Scalar};

/// `y += a x`.
///
/// ```
/// use drmad::{kernels::accumulate::add_scaled, Fused};
/// let mut y = [1.0f32, 2.0];
/// add_scaled::<Fused, _>(0.5, &[2.0, 4.0], &mut y);
/// assert_eq!(y, [2.0, 4.0]);
/// ```
pub fn add_scaled<A: Arithmetic, S: Scalar>(a: S, x: &[S], y: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = A::mul_add(a, *x, *y);
            }
        },
    );
}

/// `y = a x`.
///
/// ```
/// use drmad::kernels::accumulate::scale;
/// let mut y = [0.0f32; 2];
/// scale(0.5, &[2.0, 4.0], &mut y);
/// assert_eq!(y, [1.0, 2.0]);
/// ```
pub fn scale<S: Scalar>(a: S, x: &[S], y: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (y, x) in y.iter_mut().zip(x) {
                *y = a * *x;
            }
        },
    );
}

/// Numbers of a vector that are taken through all rows at once: a piece stays in the first cache.
const PIECE: usize = 1024;

/// `y_jc += a_j x_c`: one vector added to each row of `y`.
///
/// ```
/// use drmad::{kernels::accumulate::add_outer, Fused};
/// let mut y = [1.0f32; 4];
/// add_outer::<Fused, _>(&[1.0, 10.0], &[1.0, 2.0], &mut y);
/// assert_eq!(y, [2.0, 3.0, 11.0, 21.0]);
/// ```
pub fn add_outer<A: Arithmetic, S: Scalar>(a: &[S], x: &[S], y: &mut [S]) {
    let columns = x.len().max(1);
    run(
        #[inline(always)]
        move || {
            for (i, x) in x.chunks(PIECE).enumerate() {
                for (a, y) in a.iter().zip(y.chunks_exact_mut(columns)) {
                    let y = y.get_mut(i * PIECE..).unwrap_or_default();
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = A::mul_add(*a, *x, *y);
                    }
                }
            }
        },
    );
}

/// `y_c = sum_j a_j x_jc`, the rows in ascending order from 0.
///
/// ```
/// use drmad::{kernels::accumulate::combine, Fused};
/// let mut y = [f32::NAN; 2];
/// combine::<Fused, _>(&[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0], &mut y);
/// assert_eq!(y, [31.0, 42.0]);
/// ```
pub fn combine<A: Arithmetic, S: Scalar>(a: &[S], x: &[S], y: &mut [S]) {
    let columns = y.len().max(1);
    run(
        #[inline(always)]
        move || {
            for (i, y) in y.chunks_mut(PIECE).enumerate() {
                y.fill(S::ZERO);
                for (a, x) in a.iter().zip(x.chunks_exact(columns)) {
                    let x = x.get(i * PIECE..).unwrap_or_default();
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = A::mul_add(*a, *x, *y);
                    }
                }
            }
        },
    );
}

/// Calls `body` with the number of each row and its piece of `x` and of `y`.
#[inline(always)]
fn by_row<S>(columns: usize, rows: &[S], x: &[S], y: &mut [S], body: impl Fn(&S, &[S], &mut [S])) {
    by_columns(
        columns,
        #[inline(always)]
        move |columns| {
            let pieces = x.chunks_exact(columns).zip(y.chunks_exact_mut(columns));
            for (r, (x, y)) in rows.iter().zip(pieces) {
                body(r, x, y);
            }
        },
    );
}

/// `y_rc = a_r x_rc`.
///
/// ```
/// use drmad::kernels::accumulate::scale_rows;
/// let mut y = [0.0f32; 4];
/// scale_rows(2, &[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0], &mut y);
/// assert_eq!(y, [1.0, 2.0, 30.0, 40.0]);
/// ```
pub fn scale_rows<S: Scalar>(columns: usize, a: &[S], x: &[S], y: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            by_row(
                columns,
                a,
                x,
                y,
                #[inline(always)]
                |a, x, y| {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = *a * *x;
                    }
                },
            );
        },
    );
}

/// `x_rc *= a_r`.
///
/// ```
/// use drmad::kernels::accumulate::scale_rows_in_place;
/// let mut x = [1.0f32, 2.0, 3.0, 4.0];
/// scale_rows_in_place(2, &[1.0, 10.0], &mut x);
/// assert_eq!(x, [1.0, 2.0, 30.0, 40.0]);
/// ```
pub fn scale_rows_in_place<S: Scalar>(columns: usize, a: &[S], x: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            if columns == 1 {
                for (x, a) in x.iter_mut().zip(a) {
                    *x = *a * *x;
                }
            } else {
                for (x, a) in x.chunks_exact_mut(columns.max(1)).zip(a) {
                    for x in x {
                        *x = *a * *x;
                    }
                }
            }
        },
    );
}

/// `y_rc += a_r x_rc`.
///
/// ```
/// use drmad::{kernels::accumulate::add_scaled_rows, Fused};
/// let mut y = [1.0f32; 4];
/// add_scaled_rows::<Fused, _>(2, &[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0], &mut y);
/// assert_eq!(y, [2.0, 3.0, 31.0, 41.0]);
/// ```
pub fn add_scaled_rows<A: Arithmetic, S: Scalar>(columns: usize, a: &[S], x: &[S], y: &mut [S]) {
    add_scaled_rows_of::<A, S>(
        columns,
        a,
        x,
        y,
        #[inline(always)]
        |x| x,
    );
}

/// `y_rc += a_r f(x_rc)`.
pub(crate) fn add_scaled_rows_of<A: Arithmetic, S: Scalar>(
    columns: usize,
    a: &[S],
    x: &[S],
    y: &mut [S],
    f: impl Fn(S) -> S,
) {
    run(
        #[inline(always)]
        move || {
            by_row(
                columns,
                a,
                x,
                y,
                #[inline(always)]
                |a, x, y| {
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = A::mul_add(*a, f(*x), *y);
                    }
                },
            );
        },
    );
}

/// `h_r += sum_c x_rc y_rc`: how a derivative by weights becomes one by hyperparameters. Each row's
/// sum is a [`dot`](super::reduce::dot); rows of one column are `h_r <- mul_add(x_r, y_r, h_r)`.
///
/// ```
/// use drmad::{kernels::accumulate::add_row_dots, Fused};
/// let mut h = [0.5f32, 0.0];
/// add_row_dots::<Fused, _>(2, &[1.0, 2.0, 3.0, 4.0], &[1.0, 1.0, 10.0, 10.0], &mut h);
/// assert_eq!(h, [3.5, 70.0]);
/// ```
pub fn add_row_dots<A: Arithmetic, S: Scalar>(columns: usize, x: &[S], y: &[S], h: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            if columns == 1 {
                for ((h, x), y) in h.iter_mut().zip(x).zip(y) {
                    *h = A::mul_add(*x, *y, *h);
                }
            } else {
                let columns = columns.max(1);
                for ((h, x), y) in h
                    .iter_mut()
                    .zip(x.chunks_exact(columns))
                    .zip(y.chunks_exact(columns))
                {
                    *h += dot_inline::<A, S>(x, y);
                }
            }
        },
    );
}

/// `h_r += a sum_c x_rc y_rc`, where each row's sum is a [`dot`](super::reduce::dot), of one column too.
pub(crate) fn add_scaled_row_dots<A: Arithmetic, S: Scalar>(
    columns: usize,
    a: S,
    x: &[S],
    y: &[S],
    h: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                columns,
                #[inline(always)]
                move |columns| {
                    let rows = x.chunks_exact(columns).zip(y.chunks_exact(columns));
                    for (h, (x, y)) in h.iter_mut().zip(rows) {
                        *h += a * dot_inline::<A, S>(x, y);
                    }
                },
            );
        },
    );
}

/// What [`add_scaled_products`] multiplies, each rows x columns.
#[derive(Clone, Copy, Debug)]
pub struct Factors<'a, S> {
    /// The direction.
    pub d: &'a [S],
    /// The gradient by the scaled weights.
    pub g: &'a [S],
    /// The weights before they are scaled.
    pub z: &'a [S],
    /// The Hessian's product with the scaled direction.
    pub h_u: &'a [S],
}

/// The second-order products of weights scaled by row, `w = s z`, in one pass:
///
/// ```text
/// m_r += sum_c (d_rc g_rc + z_rc h_u_rc)       h_d_rc += s_r h_u_rc
/// ```
///
/// The sum has the lanes and the tree of [`dot`](super::reduce::dot); a lane takes
/// `mul_add(z, h_u, mul_add(d, g, lane))`, and so does `m` where a row is of one column.
///
/// ```
/// use drmad::{kernels::accumulate::{add_scaled_products, Factors}, Fused};
/// let of = Factors { d: &[1.0f32, 2.0], g: &[3.0, 4.0], z: &[5.0, 6.0], h_u: &[7.0, 8.0] };
/// let (mut h_d, mut m) = ([0.0, 1.0], [0.0]);
/// add_scaled_products::<Fused, _>(2, &[10.0], of, &mut h_d, &mut m);
/// assert_eq!((h_d, m), ([70.0, 81.0], [94.0]));
/// ```
pub fn add_scaled_products<A: Arithmetic, S: Scalar>(
    columns: usize,
    s: &[S],
    of: Factors<'_, S>,
    h_d: &mut [S],
    m: &mut [S],
) {
    let Factors { d, g, z, h_u } = of;
    run(
        #[inline(always)]
        move || {
            if columns == 1 {
                // Two loops a piece, since one over seven vectors does not vectorise.
                let sums = h_d.chunks_mut(PIECE).zip(m.chunks_mut(PIECE));
                let (s, d, g) = (s.chunks(PIECE), d.chunks(PIECE), g.chunks(PIECE));
                let (z, h_u) = (z.chunks(PIECE), h_u.chunks(PIECE));
                for (((h_d, m), s), (((d, g), z), h_u)) in sums.zip(s).zip(d.zip(g).zip(z).zip(h_u))
                {
                    for ((((m, d), g), z), h_u) in m.iter_mut().zip(d).zip(g).zip(z).zip(h_u) {
                        *m = A::mul_add(*z, *h_u, A::mul_add(*d, *g, *m));
                    }
                    for ((h_d, s), h_u) in h_d.iter_mut().zip(s).zip(h_u) {
                        *h_d = A::mul_add(*s, *h_u, *h_d);
                    }
                }
            } else {
                let columns = columns.max(1);
                let sums = h_d.chunks_exact_mut(columns).zip(m).zip(s);
                let (d, g) = (d.chunks_exact(columns), g.chunks_exact(columns));
                let (z, h_u) = (z.chunks_exact(columns), h_u.chunks_exact(columns));
                for (((h_d, m), s), (((d, g), z), h_u)) in sums.zip(d.zip(g).zip(z).zip(h_u)) {
                    *m += reduce_beside(
                        [d, g, z, h_u],
                        h_d,
                        #[inline(always)]
                        |[d, g, z, h_u], h_d, sum| {
                            let sum = A::mul_add(z, h_u, A::mul_add(d, g, sum));
                            (A::mul_add(*s, h_u, h_d), sum)
                        },
                    );
                }
            }
        },
    );
}

/// `h_r += sum_c x_rc`, each row's sum a [`sum`](super::reduce::sum).
///
/// ```
/// let mut h = [0.5f32, 0.0];
/// drmad::kernels::accumulate::add_row_sums(2, &[1.0, 2.0, 3.0, 4.0], &mut h);
/// assert_eq!(h, [3.5, 7.0]);
/// ```
pub fn add_row_sums<S: Scalar>(columns: usize, x: &[S], h: &mut [S]) {
    add_row_sums_of(
        columns,
        x,
        h,
        #[inline(always)]
        |x| x,
    );
}

/// `h_r += sum_c f(x_rc)`, with the lanes and the tree of [`add_row_sums`].
pub(crate) fn add_row_sums_of<S: Scalar>(columns: usize, x: &[S], h: &mut [S], f: impl Fn(S) -> S) {
    run(
        #[inline(always)]
        move || {
            if columns == 1 {
                for (h, x) in h.iter_mut().zip(x) {
                    *h += f(*x);
                }
            } else {
                for (h, x) in h.iter_mut().zip(x.chunks_exact(columns.max(1))) {
                    *h += sum_inline(x, &f);
                }
            }
        },
    );
}

/// Sums by row and another vector changed on the way, in one pass: `f(a_r, x_rc, d_rc, y_rc, sum)` is the
/// new `y_rc` with the new sum; the lanes and the tree are those of [`add_row_sums`].
pub(crate) fn add_row_sums_beside<S: Scalar>(
    columns: usize,
    a: &[S],
    [x, d]: [&[S]; 2],
    y: &mut [S],
    h: &mut [S],
    f: impl Fn(S, S, S, S, S) -> (S, S),
) {
    run(
        #[inline(always)]
        move || {
            let (rows, of) = (h.iter_mut().zip(a), x.iter().zip(d));
            if columns == 1 {
                for (((h, a), (x, d)), y) in rows.zip(of).zip(y) {
                    (*y, *h) = f(*a, *x, *d, *y, *h);
                }
                return;
            }
            let columns = columns.max(1);
            let of = x.chunks_exact(columns).zip(d.chunks_exact(columns));
            for (((h, a), (x, d)), y) in rows.zip(of).zip(y.chunks_exact_mut(columns)) {
                *h += reduce_beside(
                    [x, d],
                    y,
                    #[inline(always)]
                    |[x, d], y, sum| f(*a, x, d, y, sum),
                );
            }
        },
    );
}

/// `y_c += sum_r x_rc`, the rows in ascending order: the gradient by biases.
///
/// ```
/// let mut y = [0.0f32, 1.0];
/// drmad::kernels::accumulate::add_rows(&[1.0, 2.0, 3.0, 4.0], &mut y);
/// assert_eq!(y, [4.0, 7.0]);
/// ```
pub fn add_rows<S: Scalar>(x: &[S], y: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            let columns = y.len().max(1);
            // By fours, so that `y` is loaded and stored the less often.
            let mut fours = x.chunks_exact(columns.saturating_mul(4));
            for four in &mut fours {
                let mut rows = four.chunks_exact(columns);
                let (Some(a), Some(b), Some(c), Some(d)) =
                    (rows.next(), rows.next(), rows.next(), rows.next())
                else {
                    return;
                };
                for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *y = *y + *a + *b + *c + *d;
                }
            }
            for x in fours.remainder().chunks_exact(columns) {
                for (y, x) in y.iter_mut().zip(x) {
                    *y += *x;
                }
            }
        },
    );
}

/// `y += x`, where `rest` is what `y` lacks: it is added with the next `x`, and what that sum loses is the new one
/// (Kahan's summation, with Knuth's two-sum). However many were added so, `y + rest` is their sum to within two
/// roundings: the bound is that of [`Total`](super::reduce::Total).
///
/// Order of arithmetic: `t = x + rest`, `s = y + t`, `of_t = s - y`, `rest <- (y - (s - of_t)) + (t - of_t)`, `y <- s`.
///
/// ```
/// use drmad::kernels::accumulate::add_with_rest;
/// let (mut y, mut rest) = ([1.0f32], [0.0]);
/// for _ in 0..8 {
///     add_with_rest(&[f32::EPSILON / 4.0], &mut y, &mut rest);
/// }
/// assert_eq!(y[0] + rest[0], 1.0 + 2.0 * f32::EPSILON);
/// ```
pub fn add_with_rest<S: Scalar>(x: &[S], y: &mut [S], rest: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for ((y, rest), x) in y.iter_mut().zip(rest).zip(x) {
                (*y, *rest) = two_sum(*y, *x + *rest);
            }
        },
    );
}

/// `y_rc = x_c`: the same vector in each row of `y`.
///
/// ```
/// let mut y = [0.0f32; 6];
/// drmad::kernels::accumulate::repeat(&[1.0, 2.0], &mut y);
/// assert_eq!(y, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
/// ```
pub fn repeat<S: Scalar>(x: &[S], y: &mut [S]) {
    // What is there is doubled: a copy is a call, and rows are short.
    let mut done = x.len().min(y.len());
    y[..done].copy_from_slice(&x[..done]);
    while done > 0 && done < y.len() {
        let more = done.min(y.len() - done);
        y.copy_within(..more, done);
        done += more;
    }
}

/// `y_rc += a x_c`: the same vector added to each row of `y`.
///
/// ```
/// use drmad::{kernels::accumulate::add_to_rows, Fused};
/// let mut y = [1.0f32, 2.0, 3.0, 4.0];
/// add_to_rows::<Fused, _>(-2.0, &[1.0, 0.5], &mut y);
/// assert_eq!(y, [-1.0, 1.0, 1.0, 3.0]);
/// ```
pub fn add_to_rows<A: Arithmetic, S: Scalar>(a: S, x: &[S], y: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for y in y.chunks_exact_mut(x.len().max(1)) {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = A::mul_add(a, *x, *y);
                }
            }
        },
    );
}
