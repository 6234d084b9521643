//! The least-squares fit of the trajectory by hat functions of time, built while training runs.
//!
//! Hat `k` is 1 at knot `k` and falls linearly to 0 at its neighbours; `w_t = sum_k c_k hat_k(t)`.
//! `c_0` is `w_0`, which is known and costs nothing; the other `c` are the least squares over
//! `t = 0 .. T`. The normal equations are tridiagonal and the same for every weight. At any step at
//! most two hats are open, and their right-hand sides `b_k = sum_t hat_k(t) w_t` are the two spare
//! vectors. When a hat closes, the forward half of Thomas' algorithm takes its row, with `G` the Gram
//! matrix and `u_0 = 0`, `r_0 = w_0`:
//!
//! ```text
//! e_k = G_kk - G_k,k-1 u_{k-1}      u_k = G_k,k+1 / e_k      r_k = (b_k - G_k,k-1 r_{k-1}) / e_k
//! ```
//!
//! and the backward half, `c_k = r_k - u_k c_{k+1}`, runs with the sweep in just the order in which
//! it asks. What is stored is `x_k = r_k / (1 + u_k)`: of a trajectory that stands still it is the weight
//! itself, so each of the [`Rows`] is predicted by the one before and the first by `w_0`, and errors of
//! differences do not pile up.
//!
//! Knots lie at `T (k / K)^spacing`, rounded to different integers.
//! Order of arithmetic: `x_k = mul_add(-G (1 + u_{k-1}) / (e_k (1 + u_k)), x_{k-1},
//! b_k / (e_k (1 + u_k)))` and `c_k = mul_add(-u_k, c_{k+1}, (1 + u_k) x_k)`, the factors computed in
//! f64 and rounded once.
//! Refused: fewer steps than knots' intervals, and a horizon that is not known beforehand.

use super::rows::block_of;
use super::{Kind, Path, Rows, Spare, Steps, Stored, fields_len, slope};
use crate::error::{Error, check_equal, check_len};
use crate::kernels::accumulate::add_scaled;
use crate::kernels::dispatch::run;
use crate::kernels::interpolate::{between, weights};
use crate::kernels::math::{exp, ln};
use crate::kernels::quantise::MOST;
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Plain, Scalar};
use crate::state::Fields;

/// Where the knots lie: `K + 1` of them over `T` steps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Grid {
    /// The steps `T`.
    pub steps: usize,
    /// The intervals `K`.
    pub intervals: usize,
    /// The power: 1 is even, more is denser early.
    pub spacing: f32,
}

impl Grid {
    /// The power for eight intervals and more.
    pub const SPACING: f32 = 1.5;

    /// The power that serves so many intervals best: fewer of them must lie denser early.
    ///
    /// ```
    /// use drmad::path::Grid;
    /// assert_eq!([5, 8].map(Grid::spacing), [2.0, 1.5]);
    /// ```
    pub const fn spacing(intervals: usize) -> f32 {
        if intervals < 8 { 2.0 } else { Self::SPACING }
    }

    /// # Errors
    /// [`Error::NoSteps`]; [`Error::Range`] for no intervals, for more intervals than steps, and for
    /// a spacing outside 0.1 ..= 10.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.steps == 0 {
            return Err(Error::NoSteps);
        }
        if self.intervals == 0 || self.intervals > self.steps {
            return Err(Error::Range {
                what: "number of knots' intervals",
                value: self.intervals as f64,
                least: 1.0,
                greatest: self.steps as f64,
            });
        }
        if !(0.1..=10.0).contains(&self.spacing) {
            return Err(Error::Range {
                what: "spacing",
                value: f64::from(self.spacing),
                least: 0.1,
                greatest: 10.0,
            });
        }
        // The power is rounded: many knots over hardly more steps may fall on one step.
        for k in 0..self.intervals {
            if self.step(k + 1) <= self.step(k) {
                return Err(Error::Range {
                    what: "number of knots' intervals",
                    value: self.intervals as f64,
                    least: 1.0,
                    greatest: k as f64,
                });
            }
        }
        Ok(())
    }

    /// The step of knot `k`. Portable: the power is made of this crate's `exp` and `ln`.
    ///
    /// ```
    /// use drmad::path::Grid;
    /// let knots = Grid { steps: 1000, intervals: 4, spacing: 1.5 };
    /// assert_eq!([0, 1, 2, 3, 4].map(|k| knots.step(k)), [0, 125, 354, 650, 1000]);
    /// ```
    pub fn step(&self, k: usize) -> usize {
        let Grid {
            steps, intervals, ..
        } = *self;
        if k >= intervals {
            return steps;
        }
        if k == 0 {
            return 0;
        }
        let share = k as f32 / intervals as f32;
        let power = exp::<Plain>(self.spacing * ln::<Plain>(share));
        let step = (power * steps as f32 + 0.5) as usize;
        // At least one step for each interval before and after.
        step.max(k).min(steps.saturating_sub(intervals - k))
    }
}

/// The factors with which a hat is eliminated.
pub(crate) struct Elimination<S> {
    /// `u_k`.
    pub(crate) u: S,
    /// What `b_k` is multiplied by in `x_k`.
    pub(crate) by_b: S,
    /// What `x_{k-1}` is multiplied by in it.
    pub(crate) by_last: S,
}

impl Grid {
    /// The first step and the length of an interval.
    fn interval(&self, k: usize) -> (usize, usize) {
        let start = self.step(k);
        (start, self.step(k + 1) - start)
    }

    /// The row of the Gram matrix of hat `k`, from 1: its neighbour before, itself, its neighbour after.
    fn gram(&self, k: usize) -> (f64, f64, f64) {
        let (_, rising, before) = gram(self.interval(k - 1).1);
        if k < self.intervals {
            let (falling, _, after) = gram(self.interval(k).1);
            (before, rising + falling, after)
        } else {
            (before, rising + 1.0, 0.0)
        }
    }

    /// The factors of hat `k`, from 1, where those of the one before begin with `previous`.
    pub(crate) fn eliminate<S: Scalar>(&self, k: usize, previous: S) -> Elimination<S> {
        let (before, itself, after) = self.gram(k);
        let previous = previous.to_f64();
        let pivot = itself - before * previous;
        let u = S::from_f64(after / pivot);
        let share = 1.0 / (pivot * (1.0 + u.to_f64()));
        Elimination {
            u,
            by_b: S::from_f64(share),
            by_last: S::from_f64(-before * (1.0 + previous) * share),
        }
    }
}

/// The fit.
///
/// ```
/// use drmad::path::{Hats, Grid, Quantised};
/// let knots = Grid { steps: 1000, intervals: 8, spacing: Grid::SPACING };
/// let w0 = [0.0f32; 100];
/// let mut storage = [0; Quantised::<11>::required_len(100, 8)];
/// let rows = Quantised::<11>::new(100, 8, &mut storage)?;
/// let mut factors = [0.0; 9];
/// let hats = Hats::new(100, knots, &w0[..], rows, &mut factors)?;
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Hats<'a, S, G, R> {
    weights: usize,
    knots: Grid,
    initial: G,
    rows: R,
    /// `u_0 .. u_K`.
    factors: &'a mut [S],
    /// The interval in hand, and whether its left end is the second spare vector.
    interval: usize,
    swapped: bool,
    next: usize,
    /// Whether all hats are closed.
    finished: bool,
}

/// What the Gram matrix gets from an interval of `n` steps: its left hat's square with the left
/// end and without the right one, the right hat's likewise, and their product.
fn gram(n: usize) -> (f64, f64, f64) {
    let n = n as f64;
    (
        (n + 1.0) * (2.0 * n + 1.0) / (6.0 * n),
        (n - 1.0) * (2.0 * n - 1.0) / (6.0 * n),
        (n * n - 1.0) / (6.0 * n),
    )
}

impl<'a, S: Scalar, G: InitialWeights<S>, R: Stored> Hats<'a, S, G, R> {
    /// A fit of `weights` weights. `initial` is `w_0`, from which the fit starts; `factors`
    /// are `K + 1` numbers of storage.
    ///
    /// # Errors
    /// [`Error::NoSteps`]; [`Error::Range`] for no intervals, more of them than steps, or a spacing
    /// outside 0.1 ..= 10; [`Error::Length`].
    pub fn new(
        weights: usize,
        knots: Grid,
        initial: G,
        rows: R,
        factors: &'a mut [S],
    ) -> Result<Self, Error> {
        knots.check()?;
        check_len("factors", factors, knots.intervals + 1)?;
        check_equal("initial weights", weights, initial.weights())?;
        rows.check(weights, knots.intervals)?;
        Ok(Hats {
            weights,
            knots,
            initial,
            rows,
            factors,
            interval: 0,
            swapped: false,
            next: 0,
            finished: false,
        })
    }

    /// Bytes of its [state](Path::state), with rows of so many.
    pub const fn state_len(intervals: usize, rows: usize) -> usize {
        let factors = intervals.saturating_add(1).saturating_mul(S::BYTES);
        rows.saturating_add(factors)
            .saturating_add(fields_len(4, 4))
    }

    /// The first step and the length of an interval.
    fn interval(&self, k: usize) -> (usize, usize) {
        self.knots.interval(k)
    }

    /// Eliminates hat `k`, whose right-hand side is `b`.
    fn close<A: Arithmetic>(&mut self, k: usize, b: &[S])
    where
        R: Rows<A, S>,
    {
        if k == 0 {
            // Its coefficient is known.
            if let Some(u) = self.factors.first_mut() {
                *u = S::ZERO;
            }
            return;
        }
        let previous = self.factors.get(k - 1).copied().unwrap_or(S::ZERO);
        let Elimination { u, by_b, by_last } = self.knots.eliminate(k, previous);
        if let Some(factor) = self.factors.get_mut(k) {
            *factor = u;
        }
        let (mut last, mut x) = ([S::ZERO; MOST], [S::ZERO; MOST]);
        let block = block_of(&self.rows);
        for (i, b) in b.chunks(block).enumerate() {
            let first = i * block;
            let (last, x) = (&mut last[..b.len()], &mut x[..b.len()]);
            self.initial.fill(first, last);
            self.rows.read(k - 1, first, last);
            let (place, before) = (&mut *x, &*last);
            run(
                #[inline(always)]
                move || {
                    for ((x, b), last) in place.iter_mut().zip(b).zip(before) {
                        *x = A::mul_add(by_last, *last, by_b * *b);
                    }
                },
            );
            self.rows.write(k, first, x, last);
        }
    }

    /// Writes `c_k = (1 + u_k) x_k - u_k c_{k+1}`.
    fn coefficients<A: Arithmetic>(&self, k: usize, after: Option<&[S]>, c: &mut [S])
    where
        R: Rows<A, S>,
    {
        let u = self.factors.get(k).copied().unwrap_or(S::ZERO);
        let block = block_of(&self.rows);
        for (i, c) in c.chunks_mut(block).enumerate() {
            let first = i * block;
            self.initial.fill(first, c);
            self.rows.read(k, first, c);
            if let Some(after) = after.and_then(|after| after.get(first..)) {
                run(
                    #[inline(always)]
                    move || {
                        for (c, after) in c.iter_mut().zip(after) {
                            *c = A::mul_add(-u, *after, (S::ONE + u) * *c);
                        }
                    },
                );
            }
        }
    }
}

impl<A: Arithmetic, S: Scalar, G: InitialWeights<S>, R: Rows<A, S>> Path<A, S>
    for Hats<'_, S, G, R>
{
    fn floats(&self) -> usize {
        self.rows.floats() + self.initial.floats() + self.factors.len()
    }

    fn record(
        &mut self,
        t: usize,
        w: &[S],
        _v: &[S],
        mut spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        if t == 0 {
            (self.interval, self.swapped, self.next) = (0, false, 0);
            self.finished = false;
            spare.a.fill(S::ZERO);
            spare.b.fill(S::ZERO);
        }
        if t != self.next {
            return Err(Error::Order {
                want: self.next,
                got: t,
            });
        }
        if t >= self.knots.steps {
            return Err(Error::Index {
                what: "step of the hats",
                index: t,
                len: self.knots.steps,
            });
        }
        self.next += 1;
        let (mut start, mut length) = self.interval(self.interval);
        if t == start + length {
            let (left, _) = spare.again().ends(self.swapped);
            self.close(self.interval, left);
            left.fill(S::ZERO);
            self.interval += 1;
            self.swapped = !self.swapped;
            (start, length) = self.interval(self.interval);
        }
        let (fall, rise) = weights::<S>(t.saturating_sub(start), length);
        let first = self.interval == 0;
        let (left, right) = spare.ends(self.swapped);
        if !first {
            add_scaled::<A, S>(fall, w, left);
        }
        if t > start {
            add_scaled::<A, S>(rise, w, right);
        }
        Ok(())
    }

    fn finish(&mut self, w: &[S], _v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        if self.finished || self.next != self.knots.steps {
            return Err(Error::Order {
                want: self.next,
                got: self.knots.steps,
            });
        }
        let (left, right) = spare.ends(self.swapped);
        self.close(self.interval, left);
        add_scaled::<A, S>(S::ONE, w, right);
        self.close(self.interval + 1, right);
        self.finished = true;
        Ok(())
    }

    fn open(&mut self, _w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        check_len("spare a", spare.a, self.weights)?;
        check_len("spare b", spare.b, self.weights)?;
        if !self.finished {
            return Err(Error::Order {
                want: self.next,
                got: self.knots.steps,
            });
        }
        self.interval = self.knots.intervals;
        self.swapped = false;
        // The left end of the interval that would follow the last one.
        self.coefficients(self.knots.intervals, None, spare.a);
        Ok(())
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        mut spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        while self.interval > 0 && t < self.knots.step(self.interval) {
            self.interval -= 1;
            self.swapped = !self.swapped;
            let (left, right) = spare.again().ends(self.swapped);
            self.coefficients(self.interval, Some(right), left);
        }
        let (start, length) = self.interval(self.interval);
        let Some(into) = t.checked_sub(start).filter(|into| *into < length) else {
            return Err(Error::Order {
                want: start + length - 1,
                got: t,
            });
        };
        let (left, right) = spare.ends(self.swapped);
        between::<A, S>(into, length, left, right, w);
        let Some(v) = v else { return Ok(()) };
        if t == 0 {
            return steps.first_velocity(v);
        }
        slope(length, left, right, v);
        steps.velocity(t - 1, v)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let Grid {
            steps,
            intervals,
            spacing,
        } = self.knots;
        let sizes = [self.weights, steps, intervals, spacing.to_bits() as usize];
        fields.path(Kind::Hats, &sizes)?;
        fields.count("interval in hand", &mut self.interval, intervals)?;
        fields.flag("ends swapped", &mut self.swapped)?;
        fields.count("steps recorded", &mut self.next, steps)?;
        fields.flag("end of the training", &mut self.finished)?;
        fields.numbers(self.factors)?;
        self.rows.state(fields)
    }
}
