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

use super::dispatch::run;
use super::math::power;
use super::momentum::Moving;
use super::reduce::total;
use crate::dual::Dual;
use crate::error::Error;
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
        Ok(Step::after(t, rate, b1, b2, eps, decay))
    }

    /// The same of constants that were checked.
    pub(crate) fn after(t: usize, rate: S, b1: S, b2: S, eps: S, decay: S) -> Self {
        let taken = u32::try_from(t).unwrap_or(u32::MAX).min(u32::MAX - 1);
        let before = power(b1, taken);
        let c1 = S::ONE / (S::ONE - before * b1);
        Step {
            rate,
            b1,
            b2,
            eps,
            decay,
            c1,
            c2: S::ONE / (S::ONE - power(b2, taken + 1)),
            d_c1: c1 * c1 * S::from_usize(t.saturating_add(1)) * before,
        }
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
    let kept = S::ONE - by.rate * by.decay;
    run(
        #[inline(always)]
        move || {
            for ((w, g), (m, n)) in w.iter_mut().zip(g).zip(m.iter_mut().zip(n)) {
                let new = by.moved::<A>(*g, *m, *n);
                *m = new.m;
                *n = new.n;
                *w = A::mul_add(-by.rate, new.u, kept * *w);
            }
        },
    );
}

/// The derivative of the [`step`], as [`momentum::tangent`](super::momentum::tangent).
pub fn tangent<A: Arithmetic, S: Scalar>(
    by: Step<Dual<S>>,
    g: [&[S]; 2],
    mut m: Moving<'_, S>,
    mut n: Moving<'_, S>,
    mut w: Moving<'_, S>,
) {
    let kept = Dual::ONE - by.rate * by.decay;
    run(
        #[inline(always)]
        move || {
            let [g, g_dot] = g;
            let moments = m.iter().zip(n.iter());
            for (((w, w_dot), (g, g_dot)), ((m, m_dot), (n, n_dot))) in
                w.iter().zip(g.iter().zip(g_dot)).zip(moments)
            {
                let new = by.moved::<A>(Dual::new(*g, *g_dot), m, n);
                *m_dot = new.m.tangent();
                *n_dot = new.n.tangent();
                *w_dot = A::mul_add(-by.rate, new.u, kept * w).tangent();
            }
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
    let kept = S::ONE - by.rate * by.decay;
    let (one_less, twice) = (S::ONE - by.b1, (S::ONE - by.b2) + (S::ONE - by.b2));
    run(
        #[inline(always)]
        move || {
            let Before { g, m, n } = before;
            let adjoints = d_m.iter_mut().zip(d_n).zip(d_w.iter_mut().zip(d_g));
            for (((d_m, d_n), (d_w, d_g)), (g, (m, n))) in
                adjoints.zip(g.iter().zip(m.iter().zip(n)))
            {
                let new = by.moved::<A>(*g, *m, *n);
                let (by_m, by_n) = by.adjoints(&new, *d_w, *d_m, *d_n);
                *d_g = A::mul_add(one_less, by_m, twice * *g * by_n);
                *d_m = by.b1 * by_m;
                *d_n = by.b2 * by_n;
                *d_w = kept * *d_w;
            }
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
    let Before { g, m, n } = before;
    run(
        #[inline(always)]
        move || {
            let terms = || g.iter().zip(m.iter().zip(n)).zip(d_w.iter().zip(d_m));
            let rate = total(terms().zip(w).map(|(((g, (m, n)), (d_w, _)), w)| {
                let new = by.moved::<A>(*g, *m, *n);
                -(*d_w * A::mul_add(by.decay, *w, new.u))
            }));
            let momentum = total(terms().map(|((g, (m, n)), (d_w, d_m))| {
                let new = by.moved::<A>(*g, *m, *n);
                let (by_m, _) = by.adjoints(&new, *d_w, *d_m, S::ZERO);
                A::mul_add(by_m, *m - *g, -by.rate * *d_w * new.m / new.under * by.d_c1)
            }));
            super::momentum::Step { rate, momentum }
        },
    )
}
