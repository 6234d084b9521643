//! The step of Nesterov's accelerated gradient and its adjoint, in the form of Sutskever et al.
//! (2013, equations 3 and 4) that evaluates the gradient at the weights themselves.
//!
//! ```text
//! v <- gamma v - (1 - gamma) g        w <- w + alpha u,   u = gamma v - (1 - gamma) g
//! ```
//!
//! With `D = d_v + gamma alpha d_w` the adjoint of the new velocity,
//!
//! ```text
//! d_g = -(1 - gamma) (D + alpha d_w)      d_v <- gamma D
//! d_alpha = d_w . u                       d_gamma = D . (v + g) + alpha d_w . (v_new + g)
//! ```
//!
//! Refused: checking `gamma`, which the trainer does at its door.

use super::dispatch::run;
use super::momentum::{
    Moving, RowSteps, Seed, Step, move_all, move_all_tangents, move_rows, move_tangents,
};
use super::reduce::total;
use super::rows::by_columns;
use crate::Dual;
use crate::scalar::{Arithmetic, Scalar};

/// The new velocity of a weight, and how far it moves in units of the rate.
#[inline(always)]
fn pushed<A: Arithmetic, S: Scalar>(by: Step<S>, g: S, v: S) -> (S, S) {
    let push = (by.momentum - S::ONE) * g;
    let v = A::mul_add(by.momentum, v, push);
    (v, A::mul_add(by.momentum, v, push))
}

/// The new velocity of a weight, and the new weight.
#[inline(always)]
fn moved<A: Arithmetic, S: Scalar>(by: Step<S>, g: S, v: S, w: S) -> (S, S) {
    let (velocity, u) = pushed::<A, S>(by, g, v);
    (velocity, A::mul_add(by.rate, u, w))
}

/// One step: with `p = -(1 - gamma) g`, `v <- mul_add(gamma, v, p)`, `u = mul_add(gamma, v, p)`,
/// `w <- mul_add(alpha, u, w)`.
///
/// ```
/// use drmad::{kernels::{momentum::Step, nesterov::step}, Fused};
/// let (mut w, mut v) = ([1.0f32], [0.0]);
/// step::<Fused, _>(Step { rate: 0.5, momentum: 0.75 }, &[4.0], &mut v, &mut w);
/// assert_eq!((w, v), ([0.125], [-1.0]));
/// ```
pub fn step<A: Arithmetic, S: Scalar>(by: Step<S>, g: &[S], v: &mut [S], w: &mut [S]) {
    run(
        #[inline(always)]
        move || move_all(by, g, v, w, moved::<A, S>),
    );
}

/// The [`step`] of each row.
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

/// The derivative of the [`step`], as [`momentum::tangent`](super::momentum::tangent).
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

/// The step run backwards for the adjoints, without the objective's part: writes the direction `d_g`
/// whose products go to `d_w` and `d_h`.
///
/// ```
/// use drmad::{kernels::{momentum::Step, nesterov::adjoint}, Fused};
/// let (mut d_v, mut d_g) = ([1.0f32], [0.0]);
/// adjoint::<Fused, _>(Step { rate: 0.5, momentum: 0.5 }, &[2.0], &mut d_v, &mut d_g);
/// assert_eq!((d_v, d_g), ([0.75], [-1.25]));
/// ```
pub fn adjoint<A: Arithmetic, S: Scalar>(by: Step<S>, d_w: &[S], d_v: &mut [S], d_g: &mut [S]) {
    run(
        #[inline(always)]
        move || move_all(by, d_w, d_v, d_g, moved_back::<A, S>),
    );
}

/// The adjoint of the velocity before a step, and the direction.
#[inline(always)]
fn moved_back<A: Arithmetic, S: Scalar>(by: Step<S>, d_w: S, d_v: S, _: S) -> (S, S) {
    let d_u = by.rate * d_w;
    let d = A::mul_add(by.momentum, d_u, d_v);
    (by.momentum * d, (by.momentum - S::ONE) * (d + d_u))
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

/// The derivatives by rate and momentum, from velocity and gradient before the step and the adjoints
/// after it.
pub fn by_step<A: Arithmetic, S: Scalar>(
    by: Step<S>,
    v: &[S],
    g: &[S],
    d_w: &[S],
    d_v: &[S],
) -> Step<S> {
    run(
        #[inline(always)]
        move || derivatives::<A, S>(by, v, g, d_w, d_v),
    )
}

#[inline(always)]
fn derivatives<A: Arithmetic, S: Scalar>(
    by: Step<S>,
    v: &[S],
    g: &[S],
    d_w: &[S],
    d_v: &[S],
) -> Step<S> {
    let terms = || v.iter().zip(g).zip(d_w.iter().zip(d_v));
    let rate = total(terms().map(
        #[inline(always)]
        |((v, g), (d_w, _))| *d_w * pushed::<A, S>(by, *g, *v).1,
    ));
    let momentum = total(terms().map(
        #[inline(always)]
        |((v, g), (d_w, d_v))| {
            let d_u = by.rate * *d_w;
            let d = A::mul_add(by.momentum, d_u, *d_v);
            let (new, _) = pushed::<A, S>(by, *g, *v);
            A::mul_add(d, *v + *g, d_u * (new + *g))
        },
    ));
    Step { rate, momentum }
}

/// Adds the derivatives by the rate and the momentum of each row, [`by_step`].
pub(crate) fn add_by_step<A: Arithmetic, S: Scalar>(
    by: RowSteps<'_, S>,
    [v, g]: [&[S]; 2],
    [d_w, d_v]: [&[S]; 2],
    [d_rates, d_momenta]: [&mut [S]; 2],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    let to = d_rates.iter_mut().zip(d_momenta);
                    let before = v.chunks_exact(columns).zip(g.chunks_exact(columns));
                    let after = d_w.chunks_exact(columns).zip(d_v.chunks_exact(columns));
                    for ((step, (d_rate, d_momentum)), ((v, g), (d_w, d_v))) in
                        by.steps().zip(to).zip(before.zip(after))
                    {
                        let d = derivatives::<A, S>(step, v, g, d_w, d_v);
                        *d_rate += by.rate_scale * d.rate;
                        *d_momentum += d.momentum;
                    }
                },
            );
        },
    );
}
