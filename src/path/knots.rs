//! Interpolation between some points of the true path, thinned out as it grows.
//!
//! The weights of every `s`-th step are kept, at first with `s = 1`. Where one more than `K` would
//! be kept, every other one is dropped, in place, and `s` doubles: the knots always lie evenly over
//! the trajectory so far, and nobody has to say beforehand how long it will be. `w_T` is the last knot.
//! Step `i` of the `n` between the knots `x_0` and `x_1` is recalled as
//!
//! ```text
//! line     w(i) = (1 - i / n) x_0 + (i / n) x_1
//! Hermite  w(i) = the line + g_0(i) (f_0 - c) + g_1(i) (f_1 - c)        c = (x_1 - x_0) / n
//!          g_0 = i (n - i) (n + 1 - i) / (n (n - 1))        g_1 = -i (i - 1) (n - i) / (n (n + 1))
//! ```
//!
//! with `f = w_{t+1} - w_t = alpha v_{t+1}` the change in the step that leaves a knot. So a trajectory of
//! constant velocity is recalled exactly by both. Time is counted in steps, and `f` is no derivative:
//! the `g` are chosen so that the cubic goes through the weights at `0`, `1`, `n` and `n + 1`, and any
//! walk that is a cubic of `t` is recalled exactly. (With a derivative in place of `f`, `n + 1` and
//! `n - 1` become `n`: Hermite's own cubic.) No step leaves `w_T`: there `f` is the change of the
//! step that led to it, and the cubic goes through `0`, `1`, `n - 1` and `n`:
//!
//! ```text
//!          g_0 = i (n - i) (n - 1 - i) / ((n - 1) (n - 2))  g_1 = -i (i - 1) (n - i) / ((n - 1) (n - 2))
//! ```
//!
//! The velocity before step `t` is `(w(t) - w(t - 1)) / alpha`, both by the same piece. In full the
//! knots are met bit for bit, and up to `K` steps the path is the [`Tape`](super::Tape) with its bits.
//! [`Quantised`](super::Quantised) stores differences to `w_0`, and `f` itself.
//!
//! Cost: `K P` numbers for lines and `(2 K + 1) P` for Hermite, beside `w_0`; an eighth or a quarter of it in 15 or
//! 255 levels. On MNIST 255 levels are as good as numbers in full and 15 are too few; and interpolation inherits the
//! noise of the single steps it kept, slopes more than points, so with little momentum lines are better
//! than cubics. A fit ([`Hats`](super::Hats)) averages it away.
//! Refused: knots elsewhere than the trajectory puts them, and a sweep before the training has ended.

use super::rows::block_of;
use super::{Kind, Path, Rows, Spare, Steps, Stored, fields_len, one_velocity, slope};
use crate::error::{Error, check_equal, check_len};
use crate::kernels::interpolate::{bend, between};
use crate::kernels::quantise::MOST;
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Scalar};
use crate::state::Fields;

use core::marker::PhantomData;

/// Some points of the path.
///
/// ```
/// use drmad::path::{Full, Knots, Quantised};
/// let w0 = [0.0f32; 100];
/// let mut storage = [0.0; Full::<f32>::required_len(100, 16)];
/// let rows = Full::new(100, 16, &mut storage)?;
/// let lines = Knots::<f32, _, _>::new(100, 16, &w0[..], rows)?;
///
/// let mut storage = [[0; Quantised::<255>::required_len(100, 17)]; 2];
/// let [rows, changes] = &mut storage;
/// let rows = Quantised::<255>::new(100, 16, rows)?;
/// let changes = Quantised::<255>::new(100, 17, changes)?;
/// let cubics = Knots::<f32, _, _>::hermite(100, 16, &w0[..], rows, changes)?;
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Knots<S, G, R> {
    weights: usize,
    intervals: usize,
    initial: G,
    rows: R,
    /// The changes `f`, of Hermite's cubics.
    changes: Option<R>,
    /// Steps from knot to knot, and how many of them there are but for `w_T`.
    stride: usize,
    count: usize,
    /// The step that is due; in the end `T`.
    next: usize,
    finished: bool,
    /// The interval in hand, and whether its left end is the second spare vector.
    interval: usize,
    swapped: bool,
    scalar: PhantomData<S>,
}

/// `g_0` and `g_1` at step `i` of `n`, where `last` says that `w_T` is the right end.
fn factors(i: usize, n: usize, last: bool) -> [f64; 2] {
    if i == 0 || i >= n {
        return [0.0; 2];
    }
    // Also where the last interval has two steps, and its four points are three.
    if i == 1 {
        return [1.0, 0.0];
    }
    let (i, n) = (i as f64, n as f64);
    let inside = i * (n - i);
    if last {
        let share = inside / ((n - 1.0) * (n - 2.0));
        [share * (n - 1.0 - i), -share * (i - 1.0)]
    } else {
        [
            inside * (n + 1.0 - i) / (n * (n - 1.0)),
            -inside * (i - 1.0) / (n * (n + 1.0)),
        ]
    }
}

impl<S: Scalar, G: InitialWeights<S>, R: Stored> Knots<S, G, R> {
    /// Lines over at most `intervals` intervals `K`. `initial` is `w_0`, which quantised rows are
    /// differences to; `rows` are `K`, since the first knot is `w_0`.
    ///
    /// # Errors
    /// [`Error::Range`] for no intervals; [`Error::Length`].
    pub fn new(weights: usize, intervals: usize, initial: G, rows: R) -> Result<Self, Error> {
        if intervals == 0 {
            return Err(Error::Range {
                what: "number of knots' intervals",
                value: 0.0,
                least: 1.0,
                greatest: usize::MAX as f64,
            });
        }
        check_equal("initial weights", weights, initial.weights())?;
        rows.check(weights, intervals)?;
        Ok(Knots {
            weights,
            intervals,
            initial,
            rows,
            changes: None,
            stride: 1,
            count: 0,
            next: 0,
            finished: false,
            interval: 0,
            swapped: false,
            scalar: PhantomData,
        })
    }

    /// Hermite's cubics, with `K + 1` rows more for the `changes`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn hermite(
        weights: usize,
        intervals: usize,
        initial: G,
        rows: R,
        changes: R,
    ) -> Result<Self, Error> {
        changes.check(weights, intervals.saturating_add(1))?;
        let lines = Self::new(weights, intervals, initial, rows)?;
        Ok(Knots {
            changes: Some(changes),
            ..lines
        })
    }

    /// Bytes of its [state](Path::state), with rows and changes of so many.
    pub const fn state_len(rows: usize, changes: Option<usize>) -> usize {
        let changes = match changes {
            Some(changes) => changes,
            None => 0,
        };
        rows.saturating_add(changes)
            .saturating_add(fields_len(3, 6))
    }

    /// The step of knot `k`.
    fn step(&self, k: usize) -> usize {
        if k < self.count {
            k.saturating_mul(self.stride)
        } else {
            self.next
        }
    }

    /// The step of the knot to come.
    fn due(&self) -> usize {
        self.count.saturating_mul(self.stride)
    }

    /// The steps between knots after so many steps: the least power of two that leaves room for all.
    fn stride_of(&self, steps: usize) -> usize {
        let (mut stride, mut last) = (1usize, steps.saturating_sub(1));
        while last > 0 && last >= self.intervals {
            (stride, last) = (stride.saturating_mul(2), last / 2);
        }
        stride
    }

    /// Whether step `t` is that of the newest knot.
    fn is_newest(&self, t: usize) -> bool {
        self.count
            .checked_sub(1)
            .is_some_and(|k| t == k.saturating_mul(self.stride))
    }

    /// Drops every other knot.
    fn thin(&mut self) {
        self.count = self.count.div_ceil(2);
        self.stride = self.stride.saturating_mul(2);
        for k in 1..self.count {
            self.rows.copy(2 * k, k);
            if let Some(changes) = &mut self.changes {
                changes.copy(2 * k + 1, k + 1);
            }
        }
    }

    /// Stores `w` as knot `k`.
    fn write<A: Arithmetic>(&mut self, k: usize, w: &[S], w0: &[S])
    where
        R: Rows<A, S>,
    {
        let block = block_of(&self.rows);
        for (i, (w, w0)) in w.chunks(block).zip(w0.chunks(block)).enumerate() {
            self.rows.write(k, i * block, w, w0);
        }
    }

    /// Stores the change from the weights `last` to `w` as that of knot `k`.
    fn write_change<A: Arithmetic>(&mut self, k: usize, w: &[S], last: &[S])
    where
        R: Rows<A, S>,
    {
        let Some(changes) = &mut self.changes else {
            return;
        };
        let mut change = [S::ZERO; MOST];
        let block = block_of(changes);
        for (i, (w, last)) in w.chunks(block).zip(last.chunks(block)).enumerate() {
            for ((change, w), last) in change.iter_mut().zip(w).zip(last) {
                *change = *w - *last;
            }
            // The change at the first knot is no row 0: it is not known.
            changes.write(k + 1, i * block, &change[..w.len()], &[S::ZERO; MOST]);
        }
    }

    /// Writes knot `k` to `w`.
    fn read<A: Arithmetic>(&self, k: usize, w: &mut [S])
    where
        R: Rows<A, S>,
    {
        self.initial.fill(0, w);
        let block = block_of(&self.rows);
        for (i, w) in w.chunks_mut(block).enumerate() {
            self.rows.read_alone(k, i * block, w);
        }
    }

    /// Adds what the changes at the ends of the interval in hand, of `n` steps, make of its line.
    fn bend<A: Arithmetic>(&self, g: [f64; 2], n: usize, ends: [&[S]; 2], y: &mut [S])
    where
        R: Rows<A, S>,
    {
        let Some(changes) = &self.changes else { return };
        if g == [0.0; 2] {
            return;
        }
        let block = block_of(changes);
        let ends = ends[0].chunks(block).zip(ends[1].chunks(block));
        for (i, (y, (left, right))) in y.chunks_mut(block).zip(ends).enumerate() {
            let mut f = [[S::ZERO; MOST]; 2];
            for (k, f) in (self.interval + 1..).zip(&mut f) {
                changes.read_alone(k, i * block, &mut f[..y.len()]);
            }
            bend::<A, S>(g, n, [left, right], [&f[0], &f[1]], y);
        }
    }

    /// Both spare vectors are used, in the training and in the sweep.
    fn check(&self, w: &[S], spare: &Spare<'_, S>) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        check_len("spare a", spare.a, self.weights)?;
        check_len("spare b", spare.b, self.weights)
    }

    fn check_finished(&self) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a sweep over knots that have not seen the end of the training",
        })
    }
}

impl<A: Arithmetic, S: Scalar, G: InitialWeights<S>, R: Rows<A, S>> Path<A, S> for Knots<S, G, R> {
    fn floats(&self) -> usize {
        let changes = self.changes.as_ref().map_or(0, Stored::floats);
        self.rows.floats() + changes + self.initial.floats()
    }

    /// The spare vectors hold the weights of the step before and `w_0`.
    fn record(&mut self, t: usize, w: &[S], _v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.check(w, &spare)?;
        if t == 0 {
            (self.stride, self.count, self.next) = (1, 0, 0);
            self.finished = false;
            self.initial.fill(0, spare.b);
        }
        if self.finished || t != self.next {
            return Err(Error::Order {
                want: self.next,
                got: t,
            });
        }
        if t > 0 && self.is_newest(t - 1) {
            self.write_change(self.count - 1, w, spare.a);
        }
        if t == self.due() && self.count == self.intervals {
            self.thin();
        }
        if t == self.due() {
            self.write(self.count, w, spare.b);
            self.count += 1;
        }
        if self.changes.is_some() {
            spare.a.copy_from_slice(w);
        }
        self.next += 1;
        Ok(())
    }

    fn finish(&mut self, w: &[S], _v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.check(w, &spare)?;
        let Some(last) = self.next.checked_sub(1) else {
            return Err(Error::NoSteps);
        };
        if self.is_newest(last) {
            self.write_change(self.count - 1, w, spare.a);
        }
        self.write(self.count, w, spare.b);
        self.write_change(self.count, w, spare.a);
        self.finished = true;
        Ok(())
    }

    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.check(w, &spare)?;
        self.check_finished()?;
        self.interval = self.count;
        self.swapped = false;
        // The left end of the interval that would follow the last one.
        self.read(self.count, spare.a);
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
        self.check(w, &spare)?;
        self.check_finished()?;
        if t >= self.next {
            return Err(Error::Index {
                what: "step of the knots",
                index: t,
                len: self.next,
            });
        }
        // A knot belongs to the interval before it, where the step that led to it lies.
        while self.interval > 0 && t <= self.step(self.interval) {
            self.interval -= 1;
            self.swapped = !self.swapped;
            let (left, _) = spare.again().ends(self.swapped);
            self.read(self.interval, left);
        }
        let (start, end) = (self.step(self.interval), self.step(self.interval + 1));
        let (into, length) = (t.saturating_sub(start), end.saturating_sub(start));
        if into > length {
            return Err(Error::Order { want: end, got: t });
        }
        let (left, right) = spare.ends(self.swapped);
        let (left, right) = (&*left, &*right);
        let last = self.interval + 1 == self.count;
        let here = factors(into, length, last);
        between::<A, S>(into, length, left, right, w);
        self.bend(here, length, [left, right], w);
        let Some(v) = v else { return Ok(()) };
        one_velocity(v, self.weights)?;
        if t == 0 {
            return steps.first_velocity(v);
        }
        slope(length, left, right, v);
        let before = factors(into.saturating_sub(1), length, last);
        let change = [here[0] - before[0], here[1] - before[1]];
        self.bend(change, length, [left, right], v);
        steps.velocity(t - 1, v)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let cubic = usize::from(self.changes.is_some());
        fields.path(Kind::Knots, &[self.weights, self.intervals, cubic])?;
        let stride = fields.count("steps between knots", &mut self.stride, usize::MAX)?;
        let knots = fields.count("knots", &mut self.count, self.intervals)?;
        let next = fields.count("steps recorded", &mut self.next, usize::MAX)?;
        // No number of steps is planned, but each has its stride and its knots.
        for (what, want, got) in [
            ("steps between knots", self.stride_of(next), stride),
            ("knots", next.div_ceil(stride.max(1)), knots),
        ] {
            if got != want {
                return Err(Error::Saved {
                    what,
                    want: want as u64,
                    got: got as u64,
                });
            }
        }
        fields.flag("end of the training", &mut self.finished)?;
        fields.count("interval in hand", &mut self.interval, self.intervals)?;
        fields.flag("ends swapped", &mut self.swapped)?;
        self.rows.state(fields)?;
        match &mut self.changes {
            Some(changes) => changes.state(fields),
            None => Ok(()),
        }
    }
}
