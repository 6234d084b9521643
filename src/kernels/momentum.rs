//! The heavy-ball step and its adjoint (Maclaurin et al. 2015, algorithms 1 and 2).
//!
//! ```text
//! v <- gamma v - (1 - gamma) g        w <- w + alpha v
//! ```
//!
//! Both work on a range of weights that share a rate `alpha` and a momentum `gamma`, or on the rows of a
//! block, each with its own: so a schedule calls them once a block, also where each weight has its rate.
//! Refused: checking `gamma`, which the trainer does at its door.

use core::iter::once;

use super::dispatch::run;
use super::reduce::dot_inline;
use super::rows::by_columns;
use crate::Dual;
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

impl<'a, S: Scalar> RowSteps<'a, S> {
    /// The step of each row.
    #[inline(always)]
    pub(crate) fn steps(self) -> impl Iterator<Item = Step<S>> + use<'a, S> {
        let scale = self.rate_scale;
        self.rates.iter().zip(self.momenta).map(
            #[inline(always)]
            move |(rate, momentum)| Step {
                rate: *rate * scale,
                momentum: *momentum,
            },
        )
    }

    /// The same on dual numbers.
    #[inline(always)]
    pub(super) fn seeded(self, by: Seed) -> impl Iterator<Item = Step<Dual<S>>> + use<'a, S> {
        self.steps().enumerate().map(
            #[inline(always)]
            move |(row, step)| by.on(row, step),
        )
    }
}

/// The rows whose rate and whose momentum a tangent is by; no row where it is by neither.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    pub(crate) rate: usize,
    pub(crate) momentum: usize,
}

impl Seed {
    /// A row's step with its tangent.
    #[inline(always)]
    pub(super) fn on<S: Scalar>(self, row: usize, by: Step<S>) -> Step<Dual<S>> {
        let one_at = |at| if row == at { S::ONE } else { S::ZERO };
        Step {
            rate: Dual::new(by.rate, one_at(self.rate)),
            momentum: Dual::new(by.momentum, one_at(self.momentum)),
        }
    }
}

/// Moves `y` by `x`, weight by weight: `f(step, x, y)` gives the new `y`.
#[inline(always)]
fn change_rows<S: Scalar>(
    columns: usize,
    steps: impl Iterator<Item = Step<S>>,
    x: &[S],
    y: &mut [S],
    f: impl Fn(Step<S>, S, S) -> S,
) {
    let rows = x.chunks_exact(columns).zip(y.chunks_exact_mut(columns));
    for (by, (x, y)) in steps.zip(rows) {
        for (x, y) in x.iter().zip(y) {
            *y = f(by, *x, *y);
        }
    }
}

/// Moves `y` and `z` by `x`, weight by weight: `f(step, x, y, z)` gives the new `y` and `z`.
#[inline(always)]
pub(super) fn move_rows<S: Scalar>(
    columns: usize,
    steps: impl Iterator<Item = Step<S>>,
    x: &[S],
    y: &mut [S],
    z: &mut [S],
    f: impl Fn(Step<S>, S, S, S) -> (S, S),
) {
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

/// [`move_rows`] of one row.
#[inline(always)]
pub(super) fn move_all<S: Scalar>(
    by: Step<S>,
    x: &[S],
    y: &mut [S],
    z: &mut [S],
    f: impl Fn(Step<S>, S, S, S) -> (S, S),
) {
    let columns = x.len().min(y.len()).min(z.len()).max(1);
    move_rows(columns, once(by), x, y, z, f);
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
            move_all(by, g, v, w, moved::<A, S>);
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
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| move_rows(columns, by.steps(), g, v, w, moved::<A, S>),
            );
        },
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
    /// Each row before the step, and the place of its tangent.
    #[inline(always)]
    pub(super) fn rows(&mut self, columns: usize) -> impl Iterator<Item = Moving<'_, S>> {
        let rows = self.x.chunks_exact(columns);
        rows.zip(self.dot.chunks_exact_mut(columns)).map(
            #[inline(always)]
            |(x, dot)| Moving { x, dot },
        )
    }

    /// Each number before the step, and the place of its tangent.
    #[inline(always)]
    pub(super) fn iter(&mut self) -> impl Iterator<Item = (Dual<S>, &mut S)> {
        let pairs = self.x.iter().zip(self.dot.iter_mut());
        pairs.map(
            #[inline(always)]
            |(x, dot)| (Dual::new(*x, *dot), dot),
        )
    }

    pub(super) fn len(&self) -> usize {
        self.x.len().min(self.dot.len())
    }
}

/// Moves the tangents of `v` and `w` by the derivative of each row's step, weight by weight: `moved` gives the
/// new `v` and `w` on dual numbers.
#[inline(always)]
pub(super) fn move_tangents<S: Scalar>(
    columns: usize,
    steps: impl Iterator<Item = Step<Dual<S>>>,
    [g, g_dot]: [&[S]; 2],
    mut v: Moving<'_, S>,
    mut w: Moving<'_, S>,
    moved: impl Fn(Step<Dual<S>>, Dual<S>, Dual<S>, Dual<S>) -> (Dual<S>, Dual<S>),
) {
    let g = g.chunks_exact(columns).zip(g_dot.chunks_exact(columns));
    let rows = g.zip(v.rows(columns)).zip(w.rows(columns));
    for (by, (((g, g_dot), mut v), mut w)) in steps.zip(rows) {
        for (((w, w_dot), (v, v_dot)), (g, g_dot)) in
            w.iter().zip(v.iter()).zip(g.iter().zip(g_dot))
        {
            let (v, w) = moved(by, Dual::new(*g, *g_dot), v, w);
            (*v_dot, *w_dot) = (v.tangent(), w.tangent());
        }
    }
}

/// [`move_tangents`] of one row.
#[inline(always)]
pub(super) fn move_all_tangents<S: Scalar>(
    by: Step<Dual<S>>,
    g: [&[S]; 2],
    v: Moving<'_, S>,
    w: Moving<'_, S>,
    moved: impl Fn(Step<Dual<S>>, Dual<S>, Dual<S>, Dual<S>) -> (Dual<S>, Dual<S>),
) {
    let of_g = g[0].len().min(g[1].len());
    let columns = of_g.min(v.len()).min(w.len()).max(1);
    move_tangents(columns, once(by), g, v, w, moved);
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
        move || move_all_tangents(by, g, v, w, moved::<A, Dual<S>>),
    );
}

/// The [`tangent`] of each row.
pub(crate) fn tangent_rows<A: Arithmetic, S: Scalar>(
    by: RowSteps<'_, S>,
    seed: Seed,
    g: [&[S]; 2],
    v: Moving<'_, S>,
    w: Moving<'_, S>,
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    move_tangents(columns, by.seeded(seed), g, v, w, moved::<A, Dual<S>>);
                },
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
            move_all(by, d_w, d_v, d_g, moved_back::<A, S>);
        },
    );
}

/// The adjoint of the velocity before a step, and the direction.
#[inline(always)]
fn moved_back<A: Arithmetic, S: Scalar>(by: Step<S>, d_w: S, d_v: S, _: S) -> (S, S) {
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
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    move_rows(columns, by.steps(), d_w, d_v, d_g, moved_back::<A, S>);
                },
            );
        },
    );
}

/// Adds to `d_momenta` the derivatives by the momenta, `d_gamma = d_v . (v + g)` with velocity and gradient
/// before the step, from the direction `d_g = -(1 - gamma) d_v`.
pub(crate) fn add_by_momentum<A: Arithmetic, S: Scalar>(
    by: RowSteps<'_, S>,
    d_g: &[S],
    v: &[S],
    g: &[S],
    d_momenta: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    let to = d_momenta.iter_mut().zip(by.momenta);
                    let before = v.chunks_exact(columns).zip(g.chunks_exact(columns));
                    let rows = d_g.chunks_exact(columns).zip(before);
                    for ((d, momentum), (d_g, (v, g))) in to.zip(rows) {
                        let sum = dot_inline::<A, S>(d_g, v) + dot_inline::<A, S>(d_g, g);
                        *d += sum / (*momentum - S::ONE);
                    }
                },
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
    run(
        #[inline(always)]
        move || {
            let columns = v.len().min(w.len()).max(1);
            change_rows(columns, once(by), v, w, weight_before::<A, S>);
        },
    );
}

#[inline(always)]
fn weight_before<A: Arithmetic, S: Scalar>(by: Step<S>, v: S, w: S) -> S {
    A::mul_add(-by.rate, v, w)
}

/// [`undo_weights`] of each row.
pub(crate) fn undo_weights_rows<A: Arithmetic, S: Scalar>(
    by: RowSteps<'_, S>,
    v: &[S],
    w: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| change_rows(columns, by.steps(), v, w, weight_before::<A, S>),
            );
        },
    );
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
    run(
        #[inline(always)]
        move || {
            let columns = g.len().min(v.len()).max(1);
            change_rows(columns, once(by), g, v, velocity_before::<A, S>);
        },
    );
}

#[inline(always)]
fn velocity_before<A: Arithmetic, S: Scalar>(by: Step<S>, g: S, v: S) -> S {
    S::ONE / by.momentum * A::mul_add(S::ONE - by.momentum, g, v)
}

/// [`undo_velocity`] of each row.
pub(crate) fn undo_velocity_rows<A: Arithmetic, S: Scalar>(
    by: RowSteps<'_, S>,
    g: &[S],
    v: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| change_rows(columns, by.steps(), g, v, velocity_before::<A, S>),
            );
        },
    );
}

/// Turns the change of the weights in a step into the velocity after it, `v = change / alpha`.
pub(crate) fn velocity_rows<S: Scalar>(by: RowSteps<'_, S>, change: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    for (by, row) in by.steps().zip(change.chunks_exact_mut(columns)) {
                        for x in row {
                            *x = *x / by.rate;
                        }
                    }
                },
            );
        },
    );
}
