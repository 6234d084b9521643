//! The heavy-ball step and its adjoint (Maclaurin et al. 2015, algorithms 1 and 2).
//!
//! ```text
//! v <- gamma v - (1 - gamma) g        w <- w + alpha v
//! ```
//!
//! Both work on a range of weights that share a rate `alpha` and a momentum `gamma`, or on the rows of a
//! block, each with its own: so a schedule calls them once a block, also where each weight has its rate.
//! Refused: checking `gamma`, which the trainer does at its door.

use super::dispatch::run;
use crate::dual::Dual;
use crate::scalar::{Arithmetic, Scalar};

/// The rate `alpha` and the momentum `gamma` of one step of one group.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step<S> {
    /// The learning rate `alpha`.
    pub rate: S,
    /// The momentum `gamma`, in [0, 1).
    pub momentum: S,
}

/// The steps of the rows of a block of weights, rows x columns.
#[derive(Clone, Copy, Debug)]
pub struct RowSteps<'a, S> {
    /// The weights of a row.
    pub columns: usize,
    /// The rate of each row, before it is scaled.
    pub rates: &'a [S],
    /// What the rates are multiplied by.
    pub rate_scale: S,
    /// The momentum of each row.
    pub momenta: &'a [S],
}

/// Moves `y` and `z` by `x`, weight by weight: `f(step, x, y, z)` gives the new `y` and `z`.
#[inline(always)]
pub(super) fn move_rows<S: Scalar>(
    by: RowSteps<'_, S>,
    x: &[S],
    y: &mut [S],
    z: &mut [S],
    f: impl Fn(Step<S>, S, S, S) -> (S, S),
) {
    let scale = by.rate_scale;
    let steps = by.rates.iter().zip(by.momenta).map(
        #[inline(always)]
        |(rate, momentum)| Step {
            rate: *rate * scale,
            momentum: *momentum,
        },
    );
    if by.columns == 1 {
        // A loop over weights, so that it vectorises.
        for (((by, x), y), z) in steps.zip(x).zip(y).zip(z) {
            (*y, *z) = f(by, *x, *y, *z);
        }
        return;
    }
    let columns = by.columns.max(1);
    let rows = x
        .chunks_exact(columns)
        .zip(y.chunks_exact_mut(columns))
        .zip(z.chunks_exact_mut(columns));
    for (by, ((x, y), z)) in steps.zip(rows) {
        for ((x, y), z) in x.iter().zip(y).zip(z) {
            (*y, *z) = f(by, *x, *y, *z);
        }
    }
}

/// The new velocity of a weight, and the new weight.
#[inline(always)]
fn moved<A: Arithmetic, S: Scalar>(by: Step<S>, g: S, v: S, w: S) -> (S, S) {
    let v = A::mul_add(by.momentum - S::ONE, g, by.momentum * v);
    (v, A::mul_add(by.rate, v, w))
}

/// One step: `v <- mul_add(-(1 - gamma), g, gamma * v)`, `w <- mul_add(alpha, v, w)`.
///
/// ```
/// use drmad::{kernels::momentum::{step, Step}, Fused};
/// let (mut w, mut v) = ([1.0f32], [0.0]);
/// step::<Fused, _>(Step { rate: 0.5, momentum: 0.75 }, &[4.0], &mut v, &mut w);
/// assert_eq!((w, v), ([0.5], [-1.0]));
/// ```
pub fn step<A: Arithmetic, S: Scalar>(by: Step<S>, g: &[S], v: &mut [S], w: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
                (*v, *w) = moved::<A, S>(by, *g, *v, *w);
            }
        },
    );
}

/// The [`step`] of each row.
///
/// ```
/// use drmad::{kernels::momentum::{step_rows, RowSteps}, Fused};
/// let by = RowSteps { columns: 1, rates: &[0.5, 1.0], rate_scale: 1.0, momenta: &[0.75, 0.5] };
/// let (mut w, mut v) = ([1.0f32, 1.0], [0.0, 0.0]);
/// step_rows::<Fused, _>(by, &[4.0, 4.0], &mut v, &mut w);
/// assert_eq!((w, v), ([0.5, -1.0], [-1.0, -2.0]));
/// ```
pub fn step_rows<A: Arithmetic, S: Scalar>(by: RowSteps<'_, S>, g: &[S], v: &mut [S], w: &mut [S]) {
    run(
        #[inline(always)]
        move || move_rows(by, g, v, w, moved::<A, S>),
    );
}

/// A vector that a step moves, and its tangent.
#[derive(Debug)]
pub struct Moving<'a, S> {
    /// The vector before the step.
    pub x: &'a [S],
    /// Its tangent, which follows the step.
    pub dot: &'a mut [S],
}

impl<S: Scalar> Moving<'_, S> {
    /// Each number before the step, and the place of its tangent.
    #[inline(always)]
    pub(super) fn iter(&mut self) -> impl Iterator<Item = (Dual<S>, &mut S)> {
        let pairs = self.x.iter().zip(self.dot.iter_mut());
        pairs.map(|(x, dot)| (Dual::new(*x, *dot), dot))
    }
}

/// Moves the tangents of `v` and `w` by the derivative of a step, weight by weight: `moved` gives the new
/// `v` and `w` on dual numbers.
#[inline(always)]
pub(super) fn move_tangents<S: Scalar>(
    g: [&[S]; 2],
    mut v: Moving<'_, S>,
    mut w: Moving<'_, S>,
    moved: impl Fn(Dual<S>, Dual<S>, Dual<S>) -> (Dual<S>, Dual<S>),
) {
    let [g, g_dot] = g;
    for (((w, w_dot), (v, v_dot)), (g, g_dot)) in w.iter().zip(v.iter()).zip(g.iter().zip(g_dot)) {
        let (v, w) = moved(Dual::new(*g, *g_dot), v, w);
        (*v_dot, *w_dot) = (v.tangent(), w.tangent());
    }
}

/// The derivative of the [`step`]: moves the tangents of `v` and `w` where the gradient `g` is given with
/// its own, and rate and momentum with theirs.
///
/// ```
/// use drmad::{kernels::momentum::{tangent, Moving, Step}, Dual, Fused};
/// // By the rate: w_dot = v_new = -(1 - .75) 4.
/// let by = Step { rate: Dual::new(0.5f32, 1.0), momentum: Dual::new(0.75, 0.0) };
/// let (mut v_dot, mut w_dot) = ([0.0], [0.0]);
/// let (v, w) = (Moving { x: &[0.0], dot: &mut v_dot }, Moving { x: &[1.0], dot: &mut w_dot });
/// tangent::<Fused, _>(by, [&[4.0], &[0.0]], v, w);
/// assert_eq!((w_dot, v_dot), ([-1.0], [0.0]));
/// ```
pub fn tangent<A: Arithmetic, S: Scalar>(
    by: Step<Dual<S>>,
    g: [&[S]; 2],
    v: Moving<'_, S>,
    w: Moving<'_, S>,
) {
    run(
        #[inline(always)]
        move || {
            move_tangents(
                g,
                v,
                w,
                #[inline(always)]
                |g, v, w| moved::<A, _>(by, g, v, w),
            );
        },
    );
}

/// The step run backwards for the adjoints, without the objective's part:
///
/// ```text
/// d_v <- d_v + alpha d_w      d_g <- -(1 - gamma) d_v      d_v <- gamma d_v
/// ```
///
/// `d_g` is the direction whose products `H d_g` and `M d_g` then go to `d_w` and `d_h`.
///
/// ```
/// use drmad::{kernels::momentum::{adjoint, Step}, Fused};
/// let (mut d_v, mut d_g) = ([1.0f32], [0.0]);
/// adjoint::<Fused, _>(Step { rate: 0.5, momentum: 0.75 }, &[2.0], &mut d_v, &mut d_g);
/// assert_eq!((d_v, d_g), ([1.5], [-0.5]));
/// ```
pub fn adjoint<A: Arithmetic, S: Scalar>(by: Step<S>, d_w: &[S], d_v: &mut [S], d_g: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            for ((d_v, d_g), d_w) in d_v.iter_mut().zip(d_g).zip(d_w) {
                (*d_v, *d_g) = moved_back::<A, S>(by, *d_w, *d_v);
            }
        },
    );
}

/// The adjoint of the velocity before a step, and the direction.
#[inline(always)]
fn moved_back<A: Arithmetic, S: Scalar>(by: Step<S>, d_w: S, d_v: S) -> (S, S) {
    let d = A::mul_add(by.rate, d_w, d_v);
    (by.momentum * d, (by.momentum - S::ONE) * d)
}

/// The [`adjoint`] of each row.
pub fn adjoint_rows<A: Arithmetic, S: Scalar>(
    by: RowSteps<'_, S>,
    d_w: &[S],
    d_v: &mut [S],
    d_g: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            move_rows(
                by,
                d_w,
                d_v,
                d_g,
                #[inline(always)]
                |by, d_w, d_v, _| moved_back::<A, S>(by, d_w, d_v),
            );
        },
    );
}

/// The step undone: `w <- mul_add(-alpha, v, w)`, the weights before the step. What rounding lost is
/// lost.
///
/// ```
/// use drmad::{kernels::momentum::{undo_weights, Step}, Fused};
/// let mut w = [0.5f32];
/// undo_weights::<Fused, _>(Step { rate: 0.5, momentum: 0.75 }, &[-1.0], &mut w);
/// assert_eq!(w, [1.0]);
/// ```
pub fn undo_weights<A: Arithmetic, S: Scalar>(by: Step<S>, v: &[S], w: &mut [S]) {
    super::accumulate::add_scaled::<A, S>(-by.rate, v, w);
}

/// The rest of the step undone, with the gradient at those weights:
/// `v <- (1 / gamma) * mul_add(1 - gamma, g, v)`.
///
/// ```
/// use drmad::{kernels::momentum::{undo_velocity, Step}, Fused};
/// let mut v = [-1.0f32];
/// undo_velocity::<Fused, _>(Step { rate: 0.5, momentum: 0.75 }, &[4.0], &mut v);
/// assert_eq!(v, [0.0]);
/// ```
pub fn undo_velocity<A: Arithmetic, S: Scalar>(by: Step<S>, g: &[S], v: &mut [S]) {
    let (share, inverse) = (S::ONE - by.momentum, S::ONE / by.momentum);
    run(
        #[inline(always)]
        move || {
            for (v, g) in v.iter_mut().zip(g) {
                *v = inverse * A::mul_add(share, *g, *v);
            }
        },
    );
}
