//! Sums and dot products with a fixed tree.
//!
//! Element `i` is added to lane `i % LANES`, each lane in ascending order from 0; then the lanes are
//! folded in halves: lane `j` takes lane `j + LANES / 2`, and so on until one is left. The number of
//! lanes and the tree are part of the result, so no vector width can change a bit.
//! Terms that come one by one, and may be millions, are added up by a [`Total`], which keeps what its sum
//! loses. Refused: exact summation.

use super::dispatch::run;
use crate::scalar::{Arithmetic, Scalar};

/// How many partial sums run side by side: four registers of 256 bits, enough to hide the latency
/// of an addition.
pub const LANES: usize = 32;

/// Numbers of a short vector.
const SHORT: usize = 8;

/// Folds the lanes in halves.
#[inline(always)]
fn fold<S: Scalar>(mut lanes: [S; LANES]) -> S {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (l, h) in low.iter_mut().zip(high.iter()) {
            *l += *h;
        }
        half /= 2;
    }
    lanes[0]
}

/// `sum_i f(x_i, y_i)`, where `f` adds its term to the lane.
#[inline(always)]
fn reduce<T: Copy, S: Scalar>(x: &[T], y: &[T], add: impl Fn(T, T, S) -> S) -> S {
    let n = x.len().min(y.len());
    let (x, y) = (&x[..n], &y[..n]);
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (y_chunks, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = [S::ZERO; LANES];
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        // Into other lanes: what is updated in place is taken apart, and does not vectorise.
        let mut next = lanes;
        for l in 0..LANES {
            next[l] = add(x[l], y[l], lanes[l]);
        }
        lanes = next;
    }
    // The rest by short vectors, too: rows of matrices are seldom much longer than the lanes.
    let (lane_chunks, _) = lanes.as_chunks_mut::<SHORT>();
    let (x_chunks, x_rest) = x_rest.as_chunks::<SHORT>();
    let (y_chunks, y_rest) = y_rest.as_chunks::<SHORT>();
    for (i, lanes) in lane_chunks.iter_mut().enumerate() {
        if let (Some(x), Some(y)) = (x_chunks.get(i), y_chunks.get(i)) {
            let before = *lanes;
            for l in 0..SHORT {
                lanes[l] = add(x[l], y[l], before[l]);
            }
        } else if i == x_chunks.len() {
            for ((lane, x), y) in lanes.iter_mut().zip(x_rest).zip(y_rest) {
                *lane = add(*x, *y, *lane);
            }
        }
    }
    fold(lanes)
}

/// A sum with the lanes and the tree of [`sum`], and another vector changed on the way: `f(x_c, y_c, sum)` is the new `y_c` with the new sum, where `x` are `N` vectors.
#[inline(always)]
pub(super) fn reduce_beside<const N: usize, S: Scalar>(
    x: [&[S]; N],
    y: &mut [S],
    f: impl Fn([S; N], S, S) -> (S, S),
) -> S {
    let x = x.map(|x| x.as_chunks::<LANES>());
    let (y, y_rest) = y.as_chunks_mut::<LANES>();
    let (none, mut lanes) = ([S::ZERO; LANES], [S::ZERO; LANES]);
    for (i, y) in y.iter_mut().enumerate() {
        let x = x.map(|(x, _)| x.get(i).unwrap_or(&none));
        add_beside(x, y, &mut lanes, &f);
    }
    // The rest by short vectors, as in `reduce`.
    let x = x.map(|(_, rest)| rest.as_chunks::<SHORT>());
    let (y, y_rest) = y_rest.as_chunks_mut::<SHORT>();
    let (none, full) = ([S::ZERO; SHORT], y.len());
    for (i, lanes) in lanes.as_chunks_mut::<SHORT>().0.iter_mut().enumerate() {
        if let Some(y) = y.get_mut(i) {
            let x = x.map(|(x, _)| x.get(i).unwrap_or(&none));
            add_beside(x, y, lanes, &f);
        } else if i == full {
            for (i, (y, lane)) in y_rest.iter_mut().zip(lanes).enumerate() {
                let x = x.map(|(_, rest)| rest.get(i).copied().unwrap_or(S::ZERO));
                (*y, *lane) = f(x, *y, *lane);
            }
        }
    }
    fold(lanes)
}

/// A vector of it.
#[inline(always)]
fn add_beside<const N: usize, const W: usize, S: Scalar>(
    x: [&[S; W]; N],
    y: &mut [S; W],
    lanes: &mut [S; W],
    f: &impl Fn([S; N], S, S) -> (S, S),
) {
    // Into others, as in `reduce`.
    let (mut next, mut changed) = (*lanes, *y);
    for l in 0..W {
        (changed[l], next[l]) = f(x.map(|x| x[l]), y[l], lanes[l]);
    }
    (*lanes, *y) = (next, changed);
}

/// `sum_i x_i`.
///
/// ```
/// assert_eq!(drmad::kernels::reduce::sum(&[1.0f32, 2.0, 3.5]), 6.5);
/// ```
pub fn sum<S: Scalar>(x: &[S]) -> S {
    run(
        #[inline(always)]
        move || sum_inline(x, |x| x),
    )
}

/// The sum of computed terms, in the same lanes and the same tree.
#[inline(always)]
pub(crate) fn total<S: Scalar>(terms: impl Iterator<Item = S>) -> S {
    let mut lanes = [S::ZERO; LANES];
    for (i, term) in terms.enumerate() {
        lanes[i % LANES] += term;
    }
    fold(lanes)
}

/// `a + b` as a rounded sum and what the rounding lost, exactly (Knuth's two-sum).
#[inline(always)]
pub(super) fn two_sum<S: Scalar>(a: S, b: S) -> (S, S) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// A running sum whose error does not grow with the number of its terms (Kahan 1965): within `(2 + n u) u sum |x|`
/// of the exact sum of `n` terms, with `u` half a unit of the last place of 1; that is `3 u sum |x|` up to 2^24 terms
/// in `f32`.
///
/// Order of arithmetic: that of [`add_with_rest`](super::accumulate::add_with_rest); the value is the sum plus
/// the rest.
///
/// ```
/// use drmad::kernels::reduce::Total;
/// let mut total = Total::default();
/// for _ in 0..10_000_000 {
///     total.add(0.1f32);
/// }
/// assert_eq!(total.value(), 1e6);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Total<S> {
    sum: S,
    rest: S,
}

impl<S: Scalar> Total<S> {
    /// Adds a term.
    #[inline(always)]
    pub fn add(&mut self, x: S) {
        (self.sum, self.rest) = two_sum(self.sum, x + self.rest);
    }

    /// The sum of the terms.
    #[inline(always)]
    pub fn value(&self) -> S {
        self.sum + self.rest
    }
}

/// `sum_i f(x_i)` as [`sum`], for use inside other kernels.
#[inline(always)]
pub(super) fn sum_inline<S: Scalar>(x: &[S], f: impl Fn(S) -> S) -> S {
    reduce(x, x, |x, _, lane| lane + f(x))
}

/// `sum_i f(x_i)`, in float64.
pub(crate) fn sum_of<S: Scalar>(x: &[S], f: impl Fn(S) -> f64) -> f64 {
    run(
        #[inline(always)]
        move || reduce(x, x, |x, _, lane: f64| lane + f(x)),
    )
}

/// `sum_i x_i y_i`.
///
/// ```
/// use drmad::{kernels::reduce::dot, Fused};
/// assert_eq!(dot::<Fused, f32>(&[1.0, 2.0], &[3.0, 4.0]), 11.0);
/// ```
pub fn dot<A: Arithmetic, S: Scalar>(x: &[S], y: &[S]) -> S {
    run(
        #[inline(always)]
        move || dot_inline::<A, S>(x, y),
    )
}

/// [`dot`] for use inside other kernels.
#[inline(always)]
pub(super) fn dot_inline<A: Arithmetic, S: Scalar>(x: &[S], y: &[S]) -> S {
    reduce(x, y, |x, y, lane| A::mul_add(x, y, lane))
}

/// Whether all numbers are finite, the tangents of dual ones too.
///
/// ```
/// use drmad::kernels::reduce::all_finite;
/// assert!(all_finite(&[1.0f32, -0.0]) && !all_finite(&[1.0, f32::NAN]));
/// ```
pub fn all_finite<S: Scalar>(x: &[S]) -> bool {
    // 0 x is 0 for a finite number and NaN for any other: a sum the compiler can vectorise.
    run(
        #[inline(always)]
        move || reduce(x, x, |x, _, lane: S| lane + x * S::ZERO),
    )
    .is_finite()
}

/// The greatest magnitude of some numbers; 0 of none.
pub(crate) fn greatest<S: Scalar>(x: &[S]) -> S {
    let greater = |top, x: S| if x > top { x } else { top };
    x.iter().fold(S::ZERO, |top, x| greater(top, x.abs()))
}

/// A power of two by which numbers are divided before they are squared, so that no square is infinite or
/// vanishes: the one of the greatest magnitude, within a factor of 2; 1 where that is 0 or no number.
/// Nothing is rounded by it, so it changes no bit of what needs it not.
fn unit<S: Scalar>(x: &[S]) -> f64 {
    const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
    let bits = greatest(x).to_f64().to_bits();
    match bits & EXPONENT {
        // Of subnormal numbers the quotients are no less than 2^-52.
        0 if bits > 0 => f64::MIN_POSITIVE,
        0 | EXPONENT => 1.0,
        power => f64::from_bits(power),
    }
}

/// Cosine of the angle between two vectors, in float64; 0 where one of them vanishes.
///
/// ```
/// use drmad::kernels::reduce::cosine;
/// assert_eq!(cosine(&[1.0f32, 0.0], &[0.0, 2.0]), 0.0);
/// ```
pub fn cosine<S: Scalar>(x: &[S], y: &[S]) -> f64 {
    let (mut xx, mut yy, mut xy) = (0.0f64, 0.0f64, 0.0f64);
    let (unit_x, unit_y) = (unit(x), unit(y));
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x.to_f64() / unit_x, y.to_f64() / unit_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    let norms = Scalar::sqrt(xx) * Scalar::sqrt(yy);
    if norms > 0.0 { xy / norms } else { 0.0 }
}

/// Euclidean length, in float64.
///
/// ```
/// assert_eq!(drmad::kernels::reduce::norm(&[3.0f32, 4.0]), 5.0);
/// ```
pub fn norm<S: Scalar>(x: &[S]) -> f64 {
    let unit = unit(x);
    let square = |x: &S| (x.to_f64() / unit) * (x.to_f64() / unit);
    // From 0: an iterator's own sum of nothing is -0.
    unit * Scalar::sqrt(x.iter().fold(0.0, |sum, x| sum + square(x)))
}
