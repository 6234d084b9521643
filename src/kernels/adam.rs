//! The step of Adam (Kingma and Ba 2015, algorithm 1), with the decoupled decay of AdamW (Loshchilov
//! and Hutter 2019, algorithm 2), and its adjoint.
//!
//! ```text
//! m <- b1 m + (1 - b1) g        n <- b2 n + (1 - b2) g^2
//! w <- (1 - alpha decay) w - alpha u,   u = c1 m / (sqrt(c2 n) + eps),   c = 1 / (1 - b^(t+1))
//! ```
//!
//! With `d_u = -alpha d_w` and `r = sqrt(c2 n)`,
//!
//! ```text
//! D_m = d_m + d_u c1 / (r + eps)           D_n = d_n - d_u u c2 / (2 r (r + eps))
//! d_g = (1 - b1) D_m + 2 (1 - b2) g D_n    d_m <- b1 D_m    d_n <- b2 D_n
//! d_alpha = -d_w . (u + decay w)           d_w <- (1 - alpha decay) d_w
//! d_b1 = D_m . (m - g) + d_u . m_new / (r + eps) dc1/db1
//! ```
//!
//! The second term of `D_n` is 0 where `r` is. There every gradient was 0; as one goes to 0, the term
//! goes to 0 with it, since `u` does and `g / r` is bounded. Programs that differentiate the square
//! root return 0 / 0 here, which is NaN.
//!
//! # The ends of f32
//! A square that rounds to 0 is missing from `n`: of gradients below `2^-75 / sqrt(1 - b2)`, which is
//! 8.4e-22 for `b2 = .999`. No root is off by more than that number, so an `eps` from `2^20` times it on,
//! the [`least_eps`], hides it: `u` is off by at most one in a million. From a root of 9.2e18 on, quotients
//! of the adjoint overflow, and soon the square itself: [`too_great`] finds such moments, and trainings
//! stop at them. In between, steps and adjoints are Adam's.
//!
//! Refused: an `eps` below the least one, 0 with it; derivatives by `b2`, `eps` and `decay`; AMSGrad.

use core::iter::once;

use super::dispatch::run;
use super::math::power;
use super::momentum::{Moving, RowSteps, Seed};
use super::reduce::total;
use super::rows::by_columns;
use crate::Dual;
use crate::error::Error;
use crate::pieces::{split, split_mut};
use crate::scalar::{Arithmetic, Scalar};

/// The least `eps` that hides the squares which round to 0 ([above](self#the-ends-of-f32)):
/// `2^-55 / sqrt(1 - b2)`.
///
/// ```
/// use drmad::kernels::adam::least_eps;
/// assert_eq!(least_eps(0.0), (-55f32).exp2());
/// assert!((8.7e-16..8.8e-16).contains(&least_eps(0.999)));
/// ```
pub fn least_eps(b2: f32) -> f32 {
    const HIDDEN: f32 = 1.0 / (1u64 << 55) as f32;
    HIDDEN / Scalar::sqrt(1.0 - b2)
}

/// The door of Adam's constants, of all who take its steps.
///
/// # Errors
/// [`Error::Range`] for a `b2` outside [0, 1), an `eps` below [`least_eps`], a `decay` below 0, and
/// numbers that are not finite.
pub fn check(b2: f32, eps: f32, decay: f32) -> Result<(), Error> {
    let below_one = 1.0 - f32::EPSILON / 2.0;
    for (what, value, least, greatest) in [
        ("b2", b2, 0.0, below_one),
        ("eps", eps, least_eps(b2), f32::MAX),
        ("decay", decay, 0.0, f32::MAX),
    ] {
        if !(least..=greatest).contains(&value) {
            return Err(Error::Range {
                what,
                value: f64::from(value),
                least: f64::from(least),
                greatest: f64::from(greatest),
            });
        }
    }
    Ok(())
}

/// The constants of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step<S> {
    rate: S,
    b1: S,
    b2: S,
    eps: S,
    decay: S,
    /// `1 / (1 - b^(t+1))`.
    c1: S,
    c2: S,
    /// The derivative of `c1` by `b1`.
    d_c1: S,
}

impl<S: Scalar> Step<S> {
    /// The step after `t` others with rate `alpha`, first decay `b1`, and the rest.
    ///
    /// # Errors
    /// As [`check`]; [`Error::Momentum`] for a `b1` outside [0, 1); [`Error::NonFinite`] for a rate.
    pub fn new(t: usize, rate: S, b1: S, b2: S, eps: S, decay: S) -> Result<Self, Error> {
        let [narrow_b2, narrow_eps, narrow_decay] = [b2, eps, decay].map(|x| x.to_f64() as f32);
        check(narrow_b2, narrow_eps, narrow_decay)?;
        if !(b1 >= S::ZERO && b1 < S::ONE) {
            let value = b1.to_f64();
            return Err(Error::Momentum { value, step: t });
        }
        if !rate.is_finite() {
            return Err(Error::NonFinite {
                what: "rate",
                step: t,
            });
        }
        let shared = Shared::after(t, b2, eps, decay);
        Ok(shared.step(rate, b1, power(b1, shared.taken)))
    }

    /// The new second moment.
    #[inline(always)]
    pub fn second<A: Arithmetic>(&self, g: S, n: S) -> S {
        A::mul_add(self.b2, n, (S::ONE - self.b2) * g * g)
    }

    /// New moments; the root, the divisor and `u`.
    #[inline(always)]
    fn moved<A: Arithmetic>(&self, g: S, m: S, n: S) -> Moved<S> {
        let m = A::mul_add(self.b1, m, (S::ONE - self.b1) * g);
        let n = self.second::<A>(g, n);
        // A path that recalls a second moment nearly may recall one below 0.
        let scaled = self.c2 * n;
        let root = if scaled > S::ZERO {
            scaled.sqrt()
        } else {
            S::ZERO
        };
        let under = root + self.eps;
        Moved {
            m,
            n,
            root,
            under,
            u: self.c1 * m / under,
        }
    }

    /// The adjoints of the new moments.
    #[inline(always)]
    fn adjoints(&self, new: &Moved<S>, d_w: S, d_m: S, d_n: S) -> (S, S) {
        let d_u = -self.rate * d_w;
        let by_m = d_m + d_u * self.c1 / new.under;
        let by_n = if new.root > S::ZERO {
            d_n - d_u * new.u * self.c2 / ((new.root + new.root) * new.under)
        } else {
            d_n
        };
        (by_m, by_n)
    }
}

/// What the steps of all rows share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<S> {
    /// Steps before this one.
    taken: u32,
    b2: S,
    eps: S,
    decay: S,
    c2: S,
    /// `t + 1`.
    count: S,
}

impl<S: Scalar> Shared<S> {
    /// That of the step after `t` others, of constants that were checked.
    pub(crate) fn after(t: usize, b2: S, eps: S, decay: S) -> Self {
        let taken = u32::try_from(t).unwrap_or(u32::MAX).min(u32::MAX - 1);
        Shared {
            taken,
            b2,
            eps,
            decay,
            c2: S::ONE / (S::ONE - power(b2, taken + 1)),
            count: S::from_usize(t.saturating_add(1)),
        }
    }

    /// The step of a rate and a first decay, of which `before` is the power `b1^t`.
    #[inline(always)]
    pub(crate) fn step(&self, rate: S, b1: S, before: S) -> Step<S> {
        let c1 = S::ONE / (S::ONE - before * b1);
        Step {
            rate,
            b1,
            b2: self.b2,
            eps: self.eps,
            decay: self.decay,
            c1,
            c2: self.c2,
            d_c1: c1 * c1 * self.count * before,
        }
    }

    /// The same on dual numbers; the constants have no tangents.
    fn dual(self) -> Shared<Dual<S>> {
        let [b2, eps, decay, c2, count] =
            [self.b2, self.eps, self.decay, self.c2, self.count].map(|x| Dual::new(x, S::ZERO));
        let taken = self.taken;
        Shared {
            taken,
            b2,
            eps,
            decay,
            c2,
            count,
        }
    }
}

/// Rows whose powers are taken at once.
const PIECE: usize = 32;

/// The steps of some rows.
struct Piece<T> {
    shared: Shared<T>,
    /// The first row.
    first: usize,
    rows: usize,
    columns: usize,
    rates: [T; PIECE],
    b1: [T; PIECE],
    /// `b1^t`.
    before: [T; PIECE],
}

impl<T: Scalar> Piece<T> {
    /// Calls `body` with the steps of all rows, a piece at a time; `of` makes numbers of this kind of a row's
    /// step.
    #[inline(always)]
    fn each<S: Scalar>(
        shared: Shared<T>,
        columns: usize,
        by: RowSteps<'_, S>,
        of: impl Fn(usize, super::momentum::Step<S>) -> super::momentum::Step<T>,
        mut body: impl FnMut(&Piece<T>),
    ) {
        let mut piece = Piece {
            shared,
            first: 0,
            rows: 0,
            columns,
            rates: [T::ZERO; PIECE],
            b1: [T::ZERO; PIECE],
            before: [T::ZERO; PIECE],
        };
        for (rates, momenta) in by.rates.chunks(PIECE).zip(by.momenta.chunks(PIECE)) {
            piece.first = piece.first.saturating_add(piece.rows);
            piece.rows = rates.len().min(momenta.len());
            let steps = RowSteps {
                rates,
                momenta,
                ..by
            }
            .steps();
            let places = piece.rates.iter_mut().zip(&mut piece.b1);
            for (row, ((rate, b1), step)) in places.zip(steps).enumerate() {
                let step = of(piece.first.saturating_add(row), step);
                (*rate, *b1) = (step.rate, step.momentum);
            }
            piece.before = powers(piece.b1, shared.taken);
            body(&piece);
        }
    }

    /// The step of each row.
    #[inline(always)]
    fn steps(&self) -> impl Iterator<Item = Step<T>> {
        let (rates, b1) = (
            split(&self.rates, self.rows).0,
            split(&self.b1, self.rows).0,
        );
        rates.iter().zip(b1.iter().zip(&self.before)).map(
            #[inline(always)]
            |(rate, (b1, before))| self.shared.step(*rate, *b1, *before),
        )
    }

    /// The rows of a vector.
    #[inline(always)]
    fn of<'x, S>(&self, x: &'x [S]) -> &'x [S] {
        let (_, x) = split(x, self.first.saturating_mul(self.columns));
        split(x, self.rows.saturating_mul(self.columns)).0
    }

    /// The same, to write.
    #[inline(always)]
    fn of_mut<'x, S>(&self, x: &'x mut [S]) -> &'x mut [S] {
        let (_, x) = split_mut(x, self.first.saturating_mul(self.columns));
        split_mut(x, self.rows.saturating_mul(self.columns)).0
    }

    /// The entries of a table of a number for each row.
    #[inline(always)]
    fn entries<'x, S>(&self, table: &'x mut [S]) -> &'x mut [S] {
        let (_, table) = split_mut(table, self.first);
        split_mut(table, self.rows).0
    }
}

impl<S: Scalar> Piece<Dual<S>> {
    /// The rows of a vector and of its tangent.
    #[inline(always)]
    fn of_moving<'x>(&self, x: &'x mut Moving<'_, S>) -> Moving<'x, S> {
        Moving {
            x: self.of(x.x),
            dot: self.of_mut(x.dot),
        }
    }
}

/// The [`power`] of each number.
#[inline(always)]
fn powers<T: Scalar>(mut x: [T; PIECE], mut n: u32) -> [T; PIECE] {
    let mut y = [T::ONE; PIECE];
    while n > 0 {
        if n & 1 == 1 {
            for (y, x) in y.iter_mut().zip(x) {
                *y *= x;
            }
        }
        for x in &mut x {
            *x *= *x;
        }
        n >>= 1;
    }
    y
}

/// What a step makes of a weight's moments.
struct Moved<S> {
    m: S,
    n: S,
    root: S,
    under: S,
    u: S,
}

/// The first of the new second moments whose root, or a quotient by its square, overflows: none where
/// `4 c2 n` is finite.
pub fn too_great<S: Scalar>(by: Step<S>, n: impl Iterator<Item = S> + Clone) -> Option<usize> {
    let four = by.c2 + by.c2 + by.c2 + by.c2;
    let fits = |n: S| (four * n).is_finite();
    // All of them first, without a branch for each.
    if n.clone().fold(true, |all, n| all & fits(n)) {
        return None;
    }
    n.enumerate().find(|(_, n)| !fits(*n)).map(|(i, _)| i)
}

/// One step of the moments `m` and `n` and of the weights, all of one length.
///
/// ```
/// use drmad::{kernels::adam::{step, Step}, Fused};
/// let (mut w, mut m, mut n) = ([1.0f32], [0.0], [0.0]);
/// let by = Step::new(0, 0.25, 0.5, 0.75, 1e-16, 0.0)?;
/// step::<Fused, _>(by, &[3.0], &mut m, &mut n, &mut w);
/// assert_eq!(w, [0.75]); // the first step is as long as the rate
/// # Ok::<(), drmad::Error>(())
/// ```
pub fn step<A: Arithmetic, S: Scalar>(by: Step<S>, g: &[S], m: &mut [S], n: &mut [S], w: &mut [S]) {
    let lengths = [g.len(), m.len(), n.len(), w.len()];
    run(
        #[inline(always)]
        move || move_rows::<A, S>(shortest(lengths), once(by), g, m, n, w),
    );
}

/// The columns of vectors that are one row.
fn shortest<const N: usize>(lengths: [usize; N]) -> usize {
    lengths.into_iter().fold(usize::MAX, usize::min).max(1)
}

#[inline(always)]
fn move_rows<A: Arithmetic, S: Scalar>(
    columns: usize,
    steps: impl Iterator<Item = Step<S>>,
    g: &[S],
    m: &mut [S],
    n: &mut [S],
    w: &mut [S],
) {
    let moments = m.chunks_exact_mut(columns).zip(n.chunks_exact_mut(columns));
    let rows = w.chunks_exact_mut(columns).zip(g.chunks_exact(columns));
    for (by, ((w, g), (m, n))) in steps.zip(rows.zip(moments)) {
        let kept = S::ONE - by.rate * by.decay;
        for ((w, g), (m, n)) in w.iter_mut().zip(g).zip(m.iter_mut().zip(n)) {
            let new = by.moved::<A>(*g, *m, *n);
            *m = new.m;
            *n = new.n;
            *w = A::mul_add(-by.rate, new.u, kept * *w);
        }
    }
}

/// The [`step`] of each row.
pub(crate) fn step_rows<A: Arithmetic, S: Scalar>(
    shared: Shared<S>,
    by: RowSteps<'_, S>,
    g: &[S],
    m: &mut [S],
    n: &mut [S],
    w: &mut [S],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    Piece::each(
                        shared,
                        columns,
                        by,
                        #[inline(always)]
                        |_, by| by,
                        #[inline(always)]
                        |piece| {
                            let (m, n, w) = (piece.of_mut(m), piece.of_mut(n), piece.of_mut(w));
                            move_rows::<A, S>(columns, piece.steps(), piece.of(g), m, n, w);
                        },
                    );
                },
            );
        },
    );
}

/// The derivative of the [`step`], as [`momentum::tangent`](super::momentum::tangent).
pub fn tangent<A: Arithmetic, S: Scalar>(
    by: Step<Dual<S>>,
    g: [&[S]; 2],
    m: Moving<'_, S>,
    n: Moving<'_, S>,
    w: Moving<'_, S>,
) {
    let [of_g, of_g_dot] = g.map(<[S]>::len);
    let columns = shortest([of_g, of_g_dot, m.len(), n.len(), w.len()]);
    run(
        #[inline(always)]
        move || move_tangents::<A, S>(columns, once(by), g, m, n, w),
    );
}

#[inline(always)]
fn move_tangents<A: Arithmetic, S: Scalar>(
    columns: usize,
    steps: impl Iterator<Item = Step<Dual<S>>>,
    [g, g_dot]: [&[S]; 2],
    mut m: Moving<'_, S>,
    mut n: Moving<'_, S>,
    mut w: Moving<'_, S>,
) {
    let g = g.chunks_exact(columns).zip(g_dot.chunks_exact(columns));
    let moments = m.rows(columns).zip(n.rows(columns));
    for (by, ((mut w, (g, g_dot)), (mut m, mut n))) in
        steps.zip(w.rows(columns).zip(g).zip(moments))
    {
        let kept = Dual::ONE - by.rate * by.decay;
        let moments = m.iter().zip(n.iter());
        for (((w, w_dot), (g, g_dot)), ((m, m_dot), (n, n_dot))) in
            w.iter().zip(g.iter().zip(g_dot)).zip(moments)
        {
            let new = by.moved::<A>(Dual::new(*g, *g_dot), m, n);
            *m_dot = new.m.tangent();
            *n_dot = new.n.tangent();
            *w_dot = A::mul_add(-by.rate, new.u, kept * w).tangent();
        }
    }
}

/// The [`tangent`] of each row.
pub(crate) fn tangent_rows<A: Arithmetic, S: Scalar>(
    shared: Shared<S>,
    by: RowSteps<'_, S>,
    seed: Seed,
    g: [&[S]; 2],
    [mut m, mut n, mut w]: [Moving<'_, S>; 3],
) {
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    Piece::each(
                        shared.dual(),
                        columns,
                        by,
                        #[inline(always)]
                        |row, by| seed.on(row, by),
                        #[inline(always)]
                        |piece| {
                            let g = g.map(|g| piece.of(g));
                            let m = piece.of_moving(&mut m);
                            let (n, w) = (piece.of_moving(&mut n), piece.of_moving(&mut w));
                            move_tangents::<A, S>(columns, piece.steps(), g, m, n, w);
                        },
                    );
                },
            );
        },
    );
}

/// What the step back needs to know of the step: moments and gradient before it.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a, S> {
    /// The gradient.
    pub g: &'a [S],
    /// The first moment.
    pub m: &'a [S],
    /// The second moment.
    pub n: &'a [S],
}

/// The step run backwards for the adjoints, without the objective's part: writes the direction `d_g`
/// whose products go to `d_w` and `d_h`.
pub fn adjoint<A: Arithmetic, S: Scalar>(
    by: Step<S>,
    before: Before<'_, S>,
    d_w: &mut [S],
    d_m: &mut [S],
    d_n: &mut [S],
    d_g: &mut [S],
) {
    let Before { g, m, n } = before;
    let [a, b, c, d] = [d_w.len(), d_m.len(), d_n.len(), d_g.len()];
    let columns = shortest([g.len(), m.len(), n.len(), a, b, c, d]);
    run(
        #[inline(always)]
        move || move_back::<A, S>(columns, once(by), g, m, n, d_w, d_m, d_n, d_g),
    );
}

// Each vector is an argument of its own, so that the compiler knows them apart.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn move_back<A: Arithmetic, S: Scalar>(
    columns: usize,
    steps: impl Iterator<Item = Step<S>>,
    g: &[S],
    m: &[S],
    n: &[S],
    d_w: &mut [S],
    d_m: &mut [S],
    d_n: &mut [S],
    d_g: &mut [S],
) {
    let moments = d_m
        .chunks_exact_mut(columns)
        .zip(d_n.chunks_exact_mut(columns));
    let others = d_w
        .chunks_exact_mut(columns)
        .zip(d_g.chunks_exact_mut(columns));
    let before = m.chunks_exact(columns).zip(n.chunks_exact(columns));
    let rows = g.chunks_exact(columns).zip(before);
    let rows = moments.zip(others).zip(rows);
    for (by, (((d_m, d_n), (d_w, d_g)), (g, (m, n)))) in steps.zip(rows) {
        let kept = S::ONE - by.rate * by.decay;
        let (one_less, twice) = (S::ONE - by.b1, (S::ONE - by.b2) + (S::ONE - by.b2));
        let adjoints = d_m.iter_mut().zip(d_n).zip(d_w.iter_mut().zip(d_g));
        for (((d_m, d_n), (d_w, d_g)), (g, (m, n))) in adjoints.zip(g.iter().zip(m.iter().zip(n))) {
            let new = by.moved::<A>(*g, *m, *n);
            let (by_m, by_n) = by.adjoints(&new, *d_w, *d_m, *d_n);
            *d_g = A::mul_add(one_less, by_m, twice * *g * by_n);
            *d_m = by.b1 * by_m;
            *d_n = by.b2 * by_n;
            *d_w = kept * *d_w;
        }
    }
}

/// The [`adjoint`] of each row, of `d_w`, `d_m`, `d_n` and `d_g`.
pub(crate) fn adjoint_rows<A: Arithmetic, S: Scalar>(
    shared: Shared<S>,
    by: RowSteps<'_, S>,
    before: Before<'_, S>,
    [d_w, d_m, d_n, d_g]: [&mut [S]; 4],
) {
    let Before { g, m, n } = before;
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    Piece::each(
                        shared,
                        columns,
                        by,
                        #[inline(always)]
                        |_, by| by,
                        #[inline(always)]
                        |piece| {
                            let [g, m, n] = [g, m, n].map(|x| piece.of(x));
                            let (d_w, d_m) = (piece.of_mut(d_w), piece.of_mut(d_m));
                            let (d_n, d_g) = (piece.of_mut(d_n), piece.of_mut(d_g));
                            let steps = piece.steps();
                            move_back::<A, S>(columns, steps, g, m, n, d_w, d_m, d_n, d_g);
                        },
                    );
                },
            );
        },
    );
}

/// The derivatives by the rate and by `b1`, from what was before the step and the adjoints after it.
pub fn by_step<A: Arithmetic, S: Scalar>(
    by: Step<S>,
    before: Before<'_, S>,
    w: &[S],
    d_w: &[S],
    d_m: &[S],
) -> super::momentum::Step<S> {
    run(
        #[inline(always)]
        move || derivatives::<A, S>(by, before, w, d_w, d_m),
    )
}

#[inline(always)]
fn derivatives<A: Arithmetic, S: Scalar>(
    by: Step<S>,
    before: Before<'_, S>,
    w: &[S],
    d_w: &[S],
    d_m: &[S],
) -> super::momentum::Step<S> {
    let Before { g, m, n } = before;
    let terms = || g.iter().zip(m.iter().zip(n)).zip(d_w.iter().zip(d_m));
    let rate = total(terms().zip(w).map(
        #[inline(always)]
        |(((g, (m, n)), (d_w, _)), w)| {
            let new = by.moved::<A>(*g, *m, *n);
            -(*d_w * A::mul_add(by.decay, *w, new.u))
        },
    ));
    let momentum = total(terms().map(
        #[inline(always)]
        |((g, (m, n)), (d_w, d_m))| {
            let new = by.moved::<A>(*g, *m, *n);
            let (by_m, _) = by.adjoints(&new, *d_w, *d_m, S::ZERO);
            A::mul_add(by_m, *m - *g, -by.rate * *d_w * new.m / new.under * by.d_c1)
        },
    ));
    super::momentum::Step { rate, momentum }
}

/// Adds the derivatives by the rate and by `b1` of each row, [`by_step`].
pub(crate) fn add_by_step<A: Arithmetic, S: Scalar>(
    shared: Shared<S>,
    by: RowSteps<'_, S>,
    before: Before<'_, S>,
    [w, d_w, d_m]: [&[S]; 3],
    [d_rates, d_momenta]: [&mut [S]; 2],
) {
    let scale = by.rate_scale;
    let Before { g, m, n } = before;
    run(
        #[inline(always)]
        move || {
            by_columns(
                by.columns,
                #[inline(always)]
                move |columns| {
                    Piece::each(
                        shared,
                        columns,
                        by,
                        #[inline(always)]
                        |_, by| by,
                        #[inline(always)]
                        |piece| {
                            let of = |x| piece.of(x).chunks_exact(columns);
                            let to = piece.entries(d_rates).iter_mut();
                            let to = to.zip(piece.entries(d_momenta));
                            let before = of(g).zip(of(m).zip(of(n)));
                            let rows = before.zip(of(w).zip(of(d_w).zip(of(d_m))));
                            for ((by, (d_rate, d_momentum)), ((g, (m, n)), (w, (d_w, d_m)))) in
                                piece.steps().zip(to).zip(rows)
                            {
                                let before = Before { g, m, n };
                                let d = derivatives::<A, S>(by, before, w, d_w, d_m);
                                *d_rate += scale * d.rate;
                                *d_momentum += d.momentum;
                            }
                        },
                    );
                },
            );
        },
    );
}
