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
use super::momentum::{Moving, RowSteps, Step, move_rows, move_tangents};
use super::reduce::total;
use crate::dual::Dual;
use crate::scalar::{Arithmetic, Scalar};

/// The new velocity of a weight, and how far it moves.
#[inline(always)]
fn moved<A: Arithmetic, S: Scalar>(by: Step<S>, g: S, v: S) -> (S, S) {
    let push = (by.momentum - S::ONE) * g;
    let v = A::mul_add(by.momentum, v, push);
    (v, A::mul_add(by.momentum, v, push))
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
        move || {
            for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
                let (velocity, u) = moved::<A, S>(by, *g, *v);
                *v = velocity;
                *w = A::mul_add(by.rate, u, *w);
            }
        },
    );
}

/// The [`step`] of each row.
pub fn step_rows<A: Arithmetic, S: Scalar>(by: RowSteps<'_, S>, g: &[S], v: &mut [S], w: &mut [S]) {
    run(
        #[inline(always)]
        move || {
            move_rows(
                by,
                g,
                v,
                w,
                #[inline(always)]
                |by, g, v, w| {
                    let (velocity, u) = moved::<A, S>(by, g, v);
                    (velocity, A::mul_add(by.rate, u, w))
                },
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
        move || {
            move_tangents(
                g,
                v,
                w,
                #[inline(always)]
                |g, v, w| {
                    let (v, u) = moved::<A, _>(by, g, v);
                    (v, A::mul_add(by.rate, u, w))
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
        move || {
            let terms = || v.iter().zip(g).zip(d_w.iter().zip(d_v));
            let rate = total(terms().map(|((v, g), (d_w, _))| *d_w * moved::<A, S>(by, *g, *v).1));
            let momentum = total(terms().map(|((v, g), (d_w, d_v))| {
                let d_u = by.rate * *d_w;
                let d = A::mul_add(by.momentum, d_u, *d_v);
                let (new, _) = moved::<A, S>(by, *g, *v);
                A::mul_add(d, *v + *g, d_u * (new + *g))
            }));
            Step { rate, momentum }
        },
    )
}
