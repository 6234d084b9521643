//! The heavy-ball step in fixed-point integers, and the same step undone (Maclaurin et al. 2015,
//! algorithm 3).
//!
//! A weight `w` and its velocity `v` are integers of the units that [`Bits`] says, the momentum is a
//! fraction `n / d`. The product by it would lose `log2(d / n)` bits; they go to `x`, one word a
//! weight, and what `x` gives up fills the lowest digit of `v`:
//!
//! ```text
//! x <- x d + v mod d               v <- floor(v / d) n + x mod n          x <- floor(x / n)
//! v <- v - round((1 - n/d) g)      w <- w + round(alpha v)
//! ```
//!
//! Undone in the opposite order, each line is exact, for the same gradient:
//!
//! ```text
//! w <- w - round(alpha v)          v <- v + round((1 - n/d) g)
//! x <- x n + v mod n               v <- floor(v / n) d + x mod d          x <- floor(x / d)
//! ```
//!
//! Where `x` is at most `b` before the step, it is at most `floor((b + 1) d / n)` after it
//! ([`Ratio::grow`]), and below 2^31 within it as long as `b` is below [`FULL`]; [`spill`] keeps it
//! there.
//!
//! Order of arithmetic: the gradient is multiplied in f64 by `(1 - n/d) 2^bits`, a number computed
//! once, and rounded to nearest, ties to even; `alpha` is an integer of 30 bits and a shift, and the
//! product by it is rounded to nearest, ties upward. All else is integers. Refused: a `v` beyond
//! [`FASTEST`], a `w` beyond 32 bits: the step says so and the caller finds which.

use core::iter::once;

use super::dispatch::run;
use super::rows::by_columns;
use crate::pieces::piece;
use crate::scalar::Scalar;

/// How many bits of the integers are a fraction.
///
/// ```
/// use drmad::kernels::reversible::Bits;
/// let bits = Bits { weight: 26, velocity: 28 };
/// assert_eq!((bits.greatest_weight() + 0.5) as f32, 32.5);
/// assert!(bits.greatest_velocity() < 4.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bits {
    /// Of a weight: it lies within `2^(31 - weight)` of 0.
    pub weight: u32,
    /// Of a velocity: it lies within `2^(30 - velocity)` of 0.
    pub velocity: u32,
}

impl Bits {
    /// The most of either.
    pub const MOST: u32 = 30;

    /// The greatest weight.
    pub fn greatest_weight(self) -> f64 {
        f64::from(i32::MAX) * self.weight_unit()
    }

    /// The greatest velocity.
    pub fn greatest_velocity(self) -> f64 {
        f64::from(FASTEST) * self.velocity_unit()
    }

    /// The weight of the integer 1.
    pub fn weight_unit(self) -> f64 {
        power(-i64::from(self.weight))
    }

    /// The velocity of the integer 1.
    pub fn velocity_unit(self) -> f64 {
        power(-i64::from(self.velocity))
    }
}

/// `2^k`, for `k` in -1022 ..= 1023.
const fn power(k: i64) -> f64 {
    f64::from_bits(((1023 + k) as u64) << 52)
}

/// The greatest denominator of a momentum.
pub const DENOMINATOR: u32 = 1024;
/// The greatest velocity: with a multiple of any denominator near 2^30 added to it, it is below 2^31.
pub const FASTEST: i32 = (1 << 30) - 2 * DENOMINATOR as i32;
/// The bound on `x` at which it must be spilled: `FULL * DENOMINATOR` is 2^31.
pub const FULL: u32 = 1 << 21;

/// A momentum as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ratio {
    n: u32,
    d: u32,
}

impl Ratio {
    /// The least one.
    pub const LEAST: f64 = 1.0 / DENOMINATOR as f64;
    /// The greatest one.
    pub const GREATEST: f64 = 1.0 - Self::LEAST;

    /// The fraction nearest to `momentum` whose denominator is at most [`DENOMINATOR`], by its
    /// continued fraction; none outside [`Ratio::LEAST`] `..=` [`Ratio::GREATEST`]. It is off by at
    /// most 2.5e-4 (next to 1/2), and by the rounding of `momentum` alone where that was such a fraction.
    ///
    /// ```
    /// use drmad::kernels::reversible::Ratio;
    /// let ratio = Ratio::nearest(f64::from(0.95f32)).unwrap();
    /// assert_eq!((ratio.n(), ratio.d()), (19, 20));
    /// assert_eq!(Ratio::nearest(0.0), None);
    /// ```
    pub const fn nearest(momentum: f64) -> Option<Ratio> {
        // Not a range's `contains`, which is no constant function; NaN is kept out.
        if !(momentum >= Self::LEAST && momentum <= Self::GREATEST) {
            return None;
        }
        let (mut before, mut last) = (Ratio { n: 1, d: 0 }, Ratio { n: 0, d: 1 });
        let mut rest = momentum;
        while rest > 0.0 {
            let inverse = 1.0 / rest;
            let Some(most) = (DENOMINATOR - before.d).checked_div(last.d) else {
                break;
            };
            // The last digit is cut down to what fits; then it may be worse than none.
            let fits = inverse < most as f64 + 1.0;
            let digit = if fits { inverse as u32 } else { most };
            let next = Ratio {
                n: digit * last.n + before.n,
                d: digit * last.d + before.d,
            };
            if !fits {
                let (a, b) = (next.value() - momentum, last.value() - momentum);
                if a.abs() < b.abs() {
                    last = next;
                }
                break;
            }
            (before, last) = (last, next);
            rest = inverse - digit as f64;
        }
        Some(last)
    }

    /// The numerator, at least 1.
    pub const fn n(self) -> u32 {
        self.n
    }

    /// The denominator, greater than the numerator.
    pub const fn d(self) -> u32 {
        self.d
    }

    /// The number.
    pub const fn value(self) -> f64 {
        self.n as f64 / self.d as f64
    }

    /// The bound on `x` after a step, from that before it, which is below [`FULL`].
    pub const fn grow(self, bound: u32) -> u32 {
        let scaled = (bound as u64 + 1) * self.d as u64;
        match scaled.checked_div(self.n as u64) {
            Some(bound) => bound as u32,
            None => u32::MAX,
        }
    }
}

/// Division of integers below 2^31 by one number `d` of at most 2^10, as a product and a shift.
///
/// With `2^(l-1) < d <= 2^l` and `m = floor(2^(31+l) / d) + 1` there is `m = (2^(31+l) + e) / d`,
/// `0 < e <= d`, so `x m / 2^(31+l)` exceeds `x / d` by `(x / 2^31) (e / 2^l) / d < 1 / d`: too
/// little to reach the next integer. `m` is below 2^32.
#[derive(Clone, Copy, Debug)]
struct Divisor {
    by: u32,
    factor: u32,
    shift: u32,
    /// `lift * by` lifts the numbers down to -2^30 to positive ones.
    lift: u32,
}

impl Divisor {
    const fn new(by: u32) -> Self {
        let by = if by == 0 { 1 } else { by };
        let shift = 31 + by.next_power_of_two().trailing_zeros();
        Divisor {
            by,
            factor: ((1 << shift) / by as u64 + 1) as u32,
            shift,
            lift: (1u32 << 30).div_ceil(by),
        }
    }

    /// Quotient and remainder.
    #[inline(always)]
    fn split(self, x: u32) -> (u32, u32) {
        let q = ((u64::from(x) * u64::from(self.factor)) >> self.shift) as u32;
        (q, x.wrapping_sub(q.wrapping_mul(self.by)))
    }

    /// The same of a velocity, rounding down.
    #[inline(always)]
    fn split_signed(self, v: i32) -> (i32, u32) {
        let (q, r) = self.split((v as u32).wrapping_add(self.lift.wrapping_mul(self.by)));
        (q.wrapping_sub(self.lift) as i32, r)
    }
}

/// Adding this number to one below 2^51 rounds it to an integer; the low bits then hold it.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// The nearest integer to `x`, below 2^31.
#[inline(always)]
fn round(x: f64) -> i32 {
    (x + MAGIC).to_bits() as i32
}

/// The constants of one step of one group.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    n: Divisor,
    d: Divisor,
    /// What makes a gradient the change of a velocity.
    share: f64,
    /// `alpha` is `rate / 2^shift`, in units of a weight by a unit of velocity.
    rate: i32,
    shift: u32,
    /// Half a unit to round by, and 2^63 so that the shift is one of a positive number.
    lift: u64,
    /// No faster velocity moves a weight by less than 2^31.
    reach: u32,
    units: [f64; 2],
}

impl Turn {
    /// Those of a momentum and a rate; none where the rate is beyond 2^29 units a unit.
    pub fn new(momentum: Ratio, rate: f64, bits: Bits) -> Option<Turn> {
        Turn::still(momentum, bits).with(rate, bits)
    }

    /// Those of a momentum, without a rate.
    pub(crate) fn still(momentum: Ratio, bits: Bits) -> Turn {
        let share = f64::from(momentum.d - momentum.n) / f64::from(momentum.d);
        Turn {
            n: Divisor::new(momentum.n),
            d: Divisor::new(momentum.d),
            share: share * power(i64::from(bits.velocity)),
            rate: 0,
            shift: 0,
            lift: 0,
            reach: 0,
            units: [bits.weight_unit(), bits.velocity_unit()],
        }
    }

    /// The same momentum with another rate.
    #[inline(always)]
    pub(crate) fn with(self, rate: f64, bits: Bits) -> Option<Turn> {
        let alpha = rate * power(i64::from(bits.weight) - i64::from(bits.velocity));
        // 2^exponent <= |alpha| < 2^(exponent + 1); of 0 it is -1023.
        let exponent = ((alpha.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        if exponent > 29 {
            return None;
        }
        let shift = (29 - exponent).min(62) as u32;
        let rate = round(alpha * power(i64::from(shift)));
        let half = (1u64 << shift) >> 1;
        let reach = if shift >= 30 {
            FASTEST as u32
        } else {
            let most = ((1u64 << (31 + shift)) - half - 1) / u64::from(rate.unsigned_abs().max(1));
            most.min(FASTEST as u64) as u32
        };
        Some(Turn {
            rate,
            shift,
            lift: (1 << 63) + half,
            reach,
            ..self
        })
    }

    /// How far `v` moves a weight; right where `v` is within reach.
    #[inline(always)]
    fn motion(self, v: i32) -> i32 {
        let product = (i64::from(v) * i64::from(self.rate)) as u64;
        let lifted = product.wrapping_add(self.lift) >> self.shift;
        lifted.wrapping_sub((1 << 63) >> self.shift) as i32
    }
}

/// The integers of some weights.
#[derive(Debug)]
pub struct Fixed<'a> {
    /// The weights.
    pub w: &'a mut [i32],
    /// The velocities.
    pub v: &'a mut [i32],
    /// What the momentum has cut off.
    pub x: &'a mut [u32],
}

/// What no integer held.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Overflow {
    /// Which.
    pub what: What,
    /// The first weight at which it was seen.
    pub weight: usize,
    /// The number.
    pub value: f64,
}

/// What can overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum What {
    /// The gradient, which may be no number either.
    Gradient,
    /// The velocity.
    Velocity,
    /// The weight.
    Weight,
}

/// The change of a velocity may be this many units.
const HARDEST: f64 = (1u32 << 30) as f64;

/// One step; `w` and `v` get the numbers nearest to the integers. Where something overflowed, all of
/// them are worthless.
///
/// # Errors
/// The first overflow.
///
/// ```
/// use drmad::kernels::reversible::{step, undo_kick, undo_move, Bits, Fixed, Ratio, Turn};
/// let momentum = Ratio::nearest(0.75).unwrap();
/// let turn = Turn::new(momentum, 0.5, Bits { weight: 4, velocity: 4 }).unwrap();
/// let (mut w, mut v) = ([0.0f32], [0.0f32]);
/// let (mut fixed_w, mut fixed_v, mut x) = ([16], [-7], [0]);
/// let fixed = Fixed { w: &mut fixed_w, v: &mut fixed_v, x: &mut x };
/// step(&turn, &[4.0], fixed, &mut w, &mut v).unwrap();
/// // -7 = -2 * 4 + 1, so x is 1 and v is -2 * 3 + 1; the gradient is 16 units.
/// assert_eq!((fixed_v, x, fixed_w), ([-5 - 16], [0], [16 - 10]));
/// assert_eq!((v, w), ([-21.0 / 16.0], [6.0 / 16.0]));
///
/// undo_move(&turn, &fixed_v, &mut fixed_w, &mut w);
/// undo_kick(&turn, &[4.0f32], &mut fixed_v, &mut x);
/// assert_eq!((fixed_w, fixed_v, x), ([16], [-7], [0]));
/// ```
pub fn step<S: Scalar>(
    by: &Turn,
    g: &[S],
    fixed: Fixed<'_>,
    w: &mut [S],
    v: &mut [S],
) -> Result<(), Overflow> {
    let lengths = [g.len(), w.len(), v.len(), fixed.w.len(), fixed.v.len()];
    let columns = lengths.into_iter().fold(fixed.x.len(), usize::min).max(1);
    match step_rows(columns, once(*by), Some, g, fixed, w, v) {
        None => Ok(()),
        Some((_, overflow)) => Err(overflow),
    }
}

/// The [`step`] of each row, up to the first for which `turn` has no constants; the first overflow, and its row.
pub(crate) fn step_rows<S: Scalar, T>(
    columns: usize,
    steps: impl Iterator<Item = T>,
    mut turn: impl FnMut(T) -> Option<Turn>,
    g: &[S],
    fixed: Fixed<'_>,
    w: &mut [S],
    v: &mut [S],
) -> Option<(usize, Overflow)> {
    let mut outside: Option<(usize, Turn)> = None;
    let Fixed {
        w: fixed_w,
        v: fixed_v,
        x,
    } = fixed;
    {
        let (fixed_w, fixed_v, x) = (&mut *fixed_w, &mut *fixed_v, &mut *x);
        let outside = &mut outside;
        run(
            #[inline(always)]
            move || {
                by_columns(
                    columns,
                    #[inline(always)]
                    move |columns| {
                        let of_integers = fixed_w
                            .chunks_exact_mut(columns)
                            .zip(fixed_v.chunks_exact_mut(columns))
                            .zip(x.chunks_exact_mut(columns));
                        let of_numbers = w
                            .chunks_exact_mut(columns)
                            .zip(v.chunks_exact_mut(columns))
                            .zip(g.chunks_exact(columns));
                        let rows = of_integers.zip(of_numbers).enumerate();
                        for (by, (row, (((i, j), x), ((w, v), g)))) in steps.zip(rows) {
                            let Some(by) = turn(by) else { return };
                            if !by.step(i, j, x, w, v, g) && outside.is_none() {
                                *outside = Some((row, by));
                            }
                        }
                    },
                );
            },
        );
    }
    outside.map(|(row, by)| {
        let first = row.saturating_mul(columns);
        let (g, w) = (piece(g, first, columns), piece(fixed_w, first, columns));
        let mut overflow = find(&by, g, w, piece(fixed_v, first, columns));
        overflow.weight = overflow.weight.saturating_add(first);
        (row, overflow)
    })
}

impl Turn {
    /// The step of a row; whether all of it is within the integers. Each vector is an argument of its own, so
    /// that the compiler knows them apart.
    #[inline(always)]
    fn step<S: Scalar>(
        self,
        i: &mut [i32],
        j: &mut [i32],
        x: &mut [u32],
        w: &mut [S],
        v: &mut [S],
        g: &[S],
    ) -> bool {
        let mut outside = 0;
        let of_integers = i.iter_mut().zip(j).zip(x);
        let of_numbers = w.iter_mut().zip(v).zip(g);
        for (((i, j), x), ((w, v), g)) in of_integers.zip(of_numbers) {
            let (q, r) = self.d.split_signed(*j);
            let (more, digit) = self.n.split(x.wrapping_mul(self.d.by).wrapping_add(r));
            *x = more;
            let kept = q.wrapping_mul(self.n.by as i32).wrapping_add(digit as i32);
            let kick = g.to_f64() * self.share;
            *j = kept.wrapping_sub(round(kick));
            let motion = self.motion(*j);
            let moved = i.wrapping_add(motion);
            outside |= u32::from(kick.abs() <= HARDEST) ^ 1;
            outside |= u32::from(j.unsigned_abs() > self.reach);
            // Two summands of one sign, and a sum of the other.
            outside |= (((*i ^ moved) & (motion ^ moved)) as u32) >> 31;
            *i = moved;
            *w = S::from_f64(f64::from(moved) * self.units[0]);
            *v = S::from_f64(f64::from(*j) * self.units[1]);
        }
        outside == 0
    }
}

/// What has overflowed in a step.
#[cold]
fn find<S: Scalar>(by: &Turn, g: &[S], w: &[i32], v: &[i32]) -> Overflow {
    let [weight_unit, velocity_unit] = by.units;
    let first = g.iter().position(|g| {
        let kick = g.to_f64() * by.share;
        kick.abs() > HARDEST || kick.is_nan()
    });
    if let Some((weight, g)) = first.and_then(|i| Some((i, g.get(i)?))) {
        return Overflow {
            what: What::Gradient,
            weight,
            value: g.to_f64(),
        };
    }
    let first = v.iter().position(|v| v.unsigned_abs() > FASTEST as u32);
    if let Some((weight, v)) = first.and_then(|i| Some((i, v.get(i)?))) {
        return Overflow {
            what: What::Velocity,
            weight,
            value: f64::from(*v) * velocity_unit,
        };
    }
    let alpha = f64::from(by.rate) * power(-i64::from(by.shift));
    for (weight, (moved, v)) in w.iter().zip(v).enumerate() {
        let before = moved.wrapping_sub(by.motion(*v));
        let wanted = f64::from(before) + alpha * f64::from(*v);
        if v.unsigned_abs() > by.reach || before.checked_add(by.motion(*v)).is_none() {
            return Overflow {
                what: What::Weight,
                weight,
                value: wanted * weight_unit,
            };
        }
    }
    // Not reached: one of the three was seen.
    Overflow {
        what: What::Weight,
        weight: 0,
        value: 0.0,
    }
}

/// Takes back the motion of the weights in a step; `w` gets the numbers nearest to them.
pub fn undo_move<S: Scalar>(by: &Turn, v: &[i32], fixed_w: &mut [i32], w: &mut [S]) {
    let columns = v.len().min(fixed_w.len()).min(w.len()).max(1);
    undo_move_rows(columns, once(*by), Some, v, fixed_w, w);
}

/// The same of each row.
pub(crate) fn undo_move_rows<S: Scalar, T>(
    columns: usize,
    steps: impl Iterator<Item = T>,
    turn: impl FnMut(T) -> Option<Turn>,
    v: &[i32],
    fixed_w: &mut [i32],
    w: &mut [S],
) {
    undo_rows(
        columns,
        steps,
        turn,
        v,
        fixed_w,
        w,
        #[inline(always)]
        |by, v, i, w| {
            *i = i.wrapping_sub(by.motion(*v));
            *w = S::from_f64(f64::from(*i) * by.units[0]);
        },
    );
}

/// Takes back the rest of the step, from its gradient.
pub fn undo_kick<S: Scalar>(by: &Turn, g: &[S], v: &mut [i32], x: &mut [u32]) {
    let columns = g.len().min(v.len()).min(x.len()).max(1);
    undo_kick_rows(columns, once(*by), Some, g, v, x);
}

/// The same of each row.
pub(crate) fn undo_kick_rows<S: Scalar, T>(
    columns: usize,
    steps: impl Iterator<Item = T>,
    turn: impl FnMut(T) -> Option<Turn>,
    g: &[S],
    v: &mut [i32],
    x: &mut [u32],
) {
    undo_rows(
        columns,
        steps,
        turn,
        g,
        v,
        x,
        #[inline(always)]
        |by, g, j, x| {
            let kept = j.wrapping_add(round(g.to_f64() * by.share));
            let (q, digit) = by.n.split_signed(kept);
            let (less, r) = by.d.split(x.wrapping_mul(by.n.by).wrapping_add(digit));
            *x = less;
            *j = q.wrapping_mul(by.d.by as i32).wrapping_add(r as i32);
        },
    );
}

/// Changes `b` and `c` by `a`, weight by weight.
fn undo_rows<X, Y, Z, T>(
    columns: usize,
    steps: impl Iterator<Item = T>,
    mut turn: impl FnMut(T) -> Option<Turn>,
    a: &[X],
    b: &mut [Y],
    c: &mut [Z],
    change: impl Fn(Turn, &X, &mut Y, &mut Z),
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                columns,
                #[inline(always)]
                move |columns| {
                    let rows = a
                        .chunks_exact(columns)
                        .zip(b.chunks_exact_mut(columns))
                        .zip(c.chunks_exact_mut(columns));
                    for (by, ((a, b), c)) in steps.zip(rows) {
                        let Some(by) = turn(by) else { return };
                        for ((a, b), c) in a.iter().zip(b).zip(c) {
                            change(by, a, b, c);
                        }
                    }
                },
            );
        },
    );
}

/// Moves the lowest 8 bits of each `x` to `bytes`.
///
/// ```
/// use drmad::kernels::reversible::{refill, spill};
/// let (mut x, mut bytes) = ([0x1234], [0]);
/// spill(&mut x, &mut bytes);
/// assert_eq!((x, bytes), ([0x12], [0x34]));
/// refill(&mut x, &bytes);
/// assert_eq!(x, [0x1234]);
/// ```
pub fn spill(x: &mut [u32], bytes: &mut [u8]) {
    run(
        #[inline(always)]
        move || {
            for (x, byte) in x.iter_mut().zip(bytes) {
                *byte = *x as u8;
                *x >>= 8;
            }
        },
    );
}

/// Takes them back.
pub fn refill(x: &mut [u32], bytes: &[u8]) {
    run(
        #[inline(always)]
        move || {
            for (x, byte) in x.iter_mut().zip(bytes) {
                *x = *x << 8 | u32::from(*byte);
            }
        },
    );
}

/// The integers as numbers: `x = unit * i`, rounded once.
pub fn view<S: Scalar>(unit: f64, fixed: &[i32], x: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for (x, i) in x.iter_mut().zip(fixed) {
                *x = S::from_f64(f64::from(*i) * unit);
            }
        },
    );
}

/// The integers nearest to weights; ties to even.
///
/// # Errors
/// The first weight beyond 32 bits.
///
/// ```
/// use drmad::kernels::reversible::{fix, view, Bits};
/// let bits = Bits { weight: 4, velocity: 4 };
/// let (mut fixed, mut w) = ([0; 2], [0.0f32; 2]);
/// fix(bits, &[0.34f32, -1.0], &mut fixed)?;
/// view(bits.weight_unit(), &fixed, &mut w);
/// assert_eq!((fixed, w), ([5, -16], [0.3125, -1.0]));
/// # Ok::<(), drmad::kernels::reversible::Overflow>(())
/// ```
pub fn fix<S: Scalar>(bits: Bits, x: &[S], fixed: &mut [i32]) -> Result<(), Overflow> {
    for (weight, (i, x)) in fixed.iter_mut().zip(x).enumerate() {
        let value = x.to_f64();
        let units = value * power(i64::from(bits.weight));
        if !(-f64::from(i32::MAX)..=f64::from(i32::MAX)).contains(&units) {
            return Err(Overflow {
                what: What::Weight,
                weight,
                value,
            });
        }
        *i = round(units);
    }
    Ok(())
}
