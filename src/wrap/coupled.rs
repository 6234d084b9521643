//! Couplings between tasks: a penalty on how far their weights lie apart (Franceschi et al. 2017,
//! section 5.2; Maclaurin et al. 2015).
//!
//! With `w_j` the weights of task `j` and a symmetric matrix `A` of couplings, beside the inner
//! objective's:
//!
//! ```text
//! loss    sum_(j<k) A_jk |w_j - w_k|^2 + sum_j A_jj |w_j|^2
//! grad_w  2 A_jk (w_j - w_k) added to task j, taken from task k; 2 A_jj w_j added to task j
//! grad_h  |w_j - w_k|^2 by A_jk;  |w_j|^2 by A_jj
//! H d     grad_w with d for w
//! M d     2 <w_j - w_k, d_j - d_k> by A_jk;  2 <w_j, d_j> by A_jj
//! ```
//!
//! and along `(w_dot, A_dot)` the gradient moves by `grad_w` with `w_dot` for `w`, and by `grad_w` with
//! `A_dot` for `A`.
//!
//! The block of `h` is the upper triangle of `A` row by row, the numbers themselves and no logarithms:
//! a coupling may vanish. The papers sum over ordered pairs, so their coefficients of a pair are half
//! of these. Differences are taken before they are squared, since strongly coupled tasks nearly agree.
//!
//! A coupling belongs to the training loss. For the validation loss the same wrapper with
//! [`Coupling::Off`] leaves the loss as it is and `h` as long as it was.
//!
//! Refused: weights that belong to no task, slices that reach beyond one. Not refused: negative couplings,
//! which make the loss unbounded; [`non_negative`](crate::outer::projections::non_negative) keeps them
//! out.

use crate::error::{Error, check_equal, check_len, cut};
use crate::kernels::dispatch::run;
use crate::kernels::reduce::dot;
use crate::objective::{At, Directions, Objective, Products};
use crate::pieces::{copy, split, split_mut};
use crate::scalar::{Arithmetic, Scalar};

/// How many tasks there are, and where their weights lie; each has as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Tasks {
    /// Weight `i` belongs to task `i mod K`: the columns of a weight matrix, inputs x `K`, and its
    /// biases.
    Interleaved(usize),
    /// The weights of each task are contiguous.
    Stacked(usize),
    /// The same, and of each task `len` weights from its `start` on are coupled, such as those of a
    /// layer; the others are free. Layers with couplings of their own are wrapped one by one.
    Slices {
        /// How many tasks there are.
        tasks: usize,
        /// The first weight of a task that is coupled.
        start: usize,
        /// How many are.
        len: usize,
    },
}

impl Tasks {
    /// The number `K` of tasks.
    pub const fn len(&self) -> usize {
        match self {
            Tasks::Interleaved(k) | Tasks::Stacked(k) | Tasks::Slices { tasks: k, .. } => *k,
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many couplings there are: `K (K + 1) / 2`.
    pub const fn couplings(&self) -> usize {
        self.len().saturating_add(1).saturating_mul(self.len()) / 2
    }

    /// Where `A_jk` lies among the couplings, in either order of the tasks.
    ///
    /// ```
    /// use drmad::wrap::Tasks;
    /// let tasks = Tasks::Interleaved(3);
    /// let row = [0, 1, 2].map(|k| tasks.coupling(1, k));
    /// assert_eq!(row, [Some(1), Some(3), Some(4)]);
    /// assert_eq!(tasks.coupling(1, 3), None);
    /// ```
    pub const fn coupling(&self, j: usize, k: usize) -> Option<usize> {
        let (j, k) = if j < k { (j, k) } else { (k, j) };
        if k >= self.len() {
            return None;
        }
        // The rows before are K, K - 1, ... numbers long.
        let before = (self.len() - j)
            .saturating_add(1)
            .saturating_mul(self.len() - j)
            / 2;
        Some(self.couplings() - before + (k - j))
    }

    /// All pairs `j <= k`, in the order of their couplings.
    fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.len()).flat_map(move |j| (j..self.len()).map(move |k| (j, k)))
    }

    /// How many of `weights` a task has.
    const fn whole(self, weights: usize) -> usize {
        match weights.checked_div(self.len()) {
            Some(whole) => whole,
            None => 0,
        }
    }

    /// How many of them are coupled.
    const fn each(self, weights: usize) -> usize {
        match self {
            Tasks::Slices { len, .. } => len,
            _ => self.whole(weights),
        }
    }

    /// Refuses weights that belong to no task, and slices that reach beyond one.
    fn check(self, weights: usize) -> Result<(), Error> {
        let whole = self.whole(weights);
        check_equal("weights of the tasks", weights, self.len() * whole)?;
        match self {
            Tasks::Slices { start, len, .. } if start.saturating_add(len) > whole => {
                Err(Error::Length {
                    what: "weights of a task",
                    want: start.saturating_add(len),
                    got: whole,
                })
            }
            _ => Ok(()),
        }
    }

    /// The first coupled weight of task `j`, and the way to its next.
    const fn place(self, j: usize, weights: usize) -> (usize, usize) {
        match self {
            Tasks::Interleaved(k) => (j, if k == 0 { 1 } else { k }),
            Tasks::Stacked(_) => (j * self.whole(weights), 1),
            Tasks::Slices { start, .. } => (j * self.whole(weights) + start, 1),
        }
    }

    /// The coupled weights of task `j`.
    #[inline(always)]
    fn of<S>(self, j: usize, w: &[S]) -> impl Iterator<Item = &S> {
        let (start, stride) = self.place(j, w.len());
        let own = w.get(start..).unwrap_or_default();
        own.iter().step_by(stride).take(self.each(w.len()))
    }

    /// `x = w_j - w_k`, or `w_j` where the two are one.
    fn difference<S: Scalar>(self, (j, k): (usize, usize), w: &[S], x: &mut [S]) {
        run(
            #[inline(always)]
            move || {
                for (x, w) in x.iter_mut().zip(self.of(j, w)) {
                    *x = *w;
                }
                if j != k {
                    for (x, w) in x.iter_mut().zip(self.of(k, w)) {
                        *x -= *w;
                    }
                }
            },
        );
    }

    /// `y_j += a x`.
    #[inline(always)]
    fn add_to<A: Arithmetic, S: Scalar>(self, j: usize, a: S, x: &[S], y: &mut [S]) {
        let (start, stride) = self.place(j, y.len());
        let own = y.get_mut(start..).unwrap_or_default();
        for (y, x) in own.iter_mut().step_by(stride).zip(x) {
            *y = A::mul_add(a, *x, *y);
        }
    }

    /// `y_j += a x` and `y_k -= a x`; the first alone where the two are one.
    fn add<A: Arithmetic, S: Scalar>(self, (j, k): (usize, usize), a: S, x: &[S], y: &mut [S]) {
        run(
            #[inline(always)]
            move || {
                self.add_to::<A, S>(j, a, x, y);
                if j != k {
                    self.add_to::<A, S>(k, -a, x, y);
                }
            },
        );
    }
}

/// Whether the couplings act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Coupling {
    /// They do, and are tuned.
    Tuned(Tasks),
    /// They do not, beside an `h` for each: the validation loss of coupled tasks.
    Off(Tasks),
}

/// An objective with couplings between its tasks.
///
/// ```
/// use drmad::{models::Quadratic, objective::{At, Objective}, wrap::{Coupled, Coupling, Tasks}, Fused};
/// let flat = Quadratic::<Fused>::new(&[0.0; 4]);
/// let coupled = Coupled { inner: flat, coupling: Coupling::Tuned(Tasks::Interleaved(2)) };
/// // Task 0 is (3, 5), task 1 is (1, 1); the couplings are A_00, A_01, A_11.
/// let at = At { w: &[3.0f32, 1.0, 5.0, 1.0], h: &[0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0], batch: &[] };
/// let (mut g, mut scratch) = ([0.0; 4], vec![0.0; coupled.scratch_len()]);
/// assert_eq!(coupled.gradient(at, &mut g, None, &mut scratch)?, 0.5 * (4.0 + 16.0));
/// assert_eq!(g, [2.0, -2.0, 4.0, -4.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Coupled<O> {
    /// The objective without them.
    pub inner: O,
    /// The couplings.
    pub coupling: Coupling,
}

impl<O: Objective> Coupled<O> {
    fn tasks(&self) -> Tasks {
        match self.coupling {
            Coupling::Tuned(tasks) | Coupling::Off(tasks) => tasks,
        }
    }

    fn is_off(&self) -> bool {
        matches!(self.coupling, Coupling::Off(_))
    }

    /// The inner and the own part of `h`.
    fn split<'s, S: Scalar>(&self, at: &At<'s, S>) -> Result<(&'s [S], &'s [S]), Error> {
        let (p, tasks) = (self.weights(), self.tasks());
        check_len("w", at.w, p)?;
        check_len("h", at.h, self.hypers())?;
        tasks.check(p)?;
        Ok(split(at.h, self.inner.hypers()))
    }

    /// Numbers of scratch for the loss: one a coupling, and a task's weights.
    fn own_scratch_len(&self) -> usize {
        match self.coupling {
            Coupling::Off(_) => 0,
            Coupling::Tuned(tasks) => {
                let each = tasks.each(self.weights());
                tasks.couplings().saturating_add(each)
            }
        }
    }

    /// The loss of the couplings `a`. Its gradient is added to `g` and its derivative by the
    /// couplings written to `d_a`, where they are wanted.
    fn value<S: Scalar>(
        &self,
        w: &[S],
        a: &[S],
        mut g: Option<&mut [S]>,
        d_a: Option<&mut [S]>,
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        if self.is_off() {
            if let Some(d_a) = d_a {
                d_a.fill(S::ZERO);
            }
            return Ok(S::ZERO);
        }
        let tasks = self.tasks();
        let squares = cut("scratch", &mut scratch, a.len())?;
        let x = cut("scratch", &mut scratch, tasks.each(w.len()))?;
        for ((pair, a), square) in tasks.pairs().zip(a).zip(squares.iter_mut()) {
            tasks.difference(pair, w, x);
            *square = dot::<O::Arithmetic, S>(x, x);
            if let Some(g) = &mut g {
                tasks.add::<O::Arithmetic, S>(pair, *a + *a, x, g);
            }
        }
        if let Some(d_a) = d_a {
            copy(squares, d_a);
        }
        Ok(dot::<O::Arithmetic, S>(a, squares))
    }
}

#[deny(clippy::missing_trait_methods)]
impl<O: Objective> Objective for Coupled<O> {
    type Arithmetic = O::Arithmetic;

    fn weights(&self) -> usize {
        self.inner.weights()
    }

    fn hypers(&self) -> usize {
        (self.inner.hypers()).saturating_add(self.tasks().couplings())
    }

    fn scratch_len(&self) -> usize {
        self.own_scratch_len().max(self.inner.scratch_len())
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        let (h, a) = self.split(&at)?;
        let (inner_d_h, d_a) = match d_h {
            None => (None, None),
            Some(d_h) => {
                check_len("d_h", d_h, self.hypers())?;
                let (inner_d_h, d_a) = split_mut(d_h, h.len());
                (Some(inner_d_h), Some(d_a))
            }
        };
        let loss = self.inner.gradient(At { h, ..at }, g, inner_d_h, scratch)?;
        Ok(loss + self.value(at.w, a, Some(g), d_a, scratch)?)
    }

    fn loss_scratch_len(&self) -> usize {
        self.own_scratch_len().max(self.inner.loss_scratch_len())
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        let (h, a) = self.split(&at)?;
        let loss = self.inner.loss(At { h, ..at }, scratch)?;
        Ok(loss + self.value(at.w, a, None, None, scratch)?)
    }

    fn second_order_scratch_len(&self) -> usize {
        let own = match self.coupling {
            Coupling::Off(_) => 0,
            Coupling::Tuned(tasks) => tasks.each(self.weights()).saturating_mul(2),
        };
        own.max(self.inner.second_order_scratch_len())
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        mut scratch: &mut [S],
    ) -> Result<(), Error> {
        let (h, a) = self.split(&at)?;
        check_len("d", d, self.weights())?;
        check_len("m_d", out.m_d, self.hypers())?;
        let (inner_m_d, m_d) = split_mut(out.m_d, h.len());
        let mut g = out.g;
        self.inner.second_order(
            At { h, ..at },
            d,
            Products {
                g: g.as_deref_mut(),
                h_d: out.h_d,
                m_d: inner_m_d,
            },
            scratch,
        )?;
        if self.is_off() {
            return Ok(());
        }
        let tasks = self.tasks();
        let x = cut("scratch", &mut scratch, tasks.each(d.len()))?;
        let y = cut("scratch", &mut scratch, tasks.each(d.len()))?;
        for ((pair, a), m_d) in tasks.pairs().zip(a).zip(m_d) {
            tasks.difference(pair, at.w, x);
            tasks.difference(pair, d, y);
            let half = dot::<O::Arithmetic, S>(x, y);
            *m_d += half + half;
            tasks.add::<O::Arithmetic, S>(pair, *a + *a, y, out.h_d);
            if let Some(g) = &mut g {
                tasks.add::<O::Arithmetic, S>(pair, *a + *a, x, g);
            }
        }
        Ok(())
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        let inner = self.inner.tangents_scratch_len(count);
        self.own_scratch_len().max(inner)
    }

    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        along.check(self, g, g_dot)?;
        let (h, a) = self.split(&at)?;
        let inner_at = At { h, ..at };
        let loss = self.inner.tangents(inner_at, along, g, g_dot, scratch)?;
        let coupled = self.value(at.w, a, Some(g), None, scratch)?;
        if self.is_off() {
            return Ok(loss);
        }
        let tasks = self.tasks();
        let x = cut("scratch", &mut scratch, tasks.each(at.w.len()))?;
        for ((w_dot, h_dot), g_dot) in along.rows().zip(g_dot.chunks_exact_mut(at.w.len().max(1))) {
            let a_dot = h_dot.get(h.len()..self.hypers()).unwrap_or(&[]);
            for ((pair, a), a_dot) in tasks.pairs().zip(a).zip(a_dot) {
                for (w, a) in [(w_dot, *a), (at.w, *a_dot)] {
                    tasks.difference(pair, w, x);
                    tasks.add::<O::Arithmetic, S>(pair, a + a, x, g_dot);
                }
            }
        }
        Ok(loss + coupled)
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.inner.visit_blocks(visit);
        visit("coupling", self.tasks().couplings());
    }
}
