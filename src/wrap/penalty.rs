//! A penalty on the weights: `sum_j c_j sum_i r(w_i)` over groups `j` and their members `i`.
//!
//! `r(w) = w^2` is [`L2`], `r(w) = |w|` is [`L1`]. The coefficients are fixed, or the `c_j` are
//! hyperparameters to be tuned. Then, beside the inner objective's,
//!
//! ```text
//! grad_w = c r'(w)      grad_c = sum_j r(w)      H d = c r''(w) d      M d = sum_j r'(w) d
//! ```
//!
//! and along `(w_dot, c_dot)` the gradient moves by `c r''(w) w_dot + c_dot r'(w)`.
//!
//! A penalty belongs to the training loss. For the validation loss the same wrapper with
//! [`Strength::Off`] leaves the loss as it is and `h` as long as it was.
//!
//! A coefficient may be negative; one that must not is moved by its logarithm
//! ([`Parametrisation::Log`](crate::outer::Parametrisation::Log)). Refused: groups of other weights.

use core::marker::PhantomData;

use crate::error::{Error, cut, exactly};
use crate::group::Groups;
use crate::kernels::accumulate::{add_row_dots, add_row_sums, add_scaled_rows};
use crate::kernels::activation;
use crate::kernels::reduce::dot;
use crate::objective::{At, Directions, Objective, Products};
use crate::scalar::Scalar;

/// The function `r` of a penalty.
pub trait Term: Copy {
    /// The name of its block of `h`.
    const NAME: &'static str;
    /// `r(w)`.
    fn value<S: Scalar>(w: S) -> S;
    /// `r'(w)`.
    fn slope<S: Scalar>(w: S) -> S;
    /// `r''(w)`.
    fn curvature<S: Scalar>() -> S;
}

/// `r(w) = w^2`.
#[derive(Clone, Copy, Debug)]
pub struct Square;

impl Term for Square {
    const NAME: &'static str = "l2";
    #[inline(always)]
    fn value<S: Scalar>(w: S) -> S {
        w * w
    }
    #[inline(always)]
    fn slope<S: Scalar>(w: S) -> S {
        w + w
    }
    #[inline(always)]
    fn curvature<S: Scalar>() -> S {
        S::ONE + S::ONE
    }
}

/// `r(w) = |w|`, with slope 0 at 0.
#[derive(Clone, Copy, Debug)]
pub struct Absolute;

impl Term for Absolute {
    const NAME: &'static str = "l1";
    #[inline(always)]
    fn value<S: Scalar>(w: S) -> S {
        w.abs()
    }
    #[inline(always)]
    fn slope<S: Scalar>(w: S) -> S {
        if w > S::ZERO {
            S::ONE
        } else if w < S::ZERO {
            -S::ONE
        } else {
            S::ZERO
        }
    }
    #[inline(always)]
    fn curvature<S: Scalar>() -> S {
        S::ZERO
    }
}

/// The coefficients of a penalty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strength<'a> {
    /// One coefficient for all weights, not to be tuned.
    Fixed(f32, Groups<'a>),
    /// `h` itself, one coefficient a group.
    Tuned(Groups<'a>),
    /// No penalty, beside an `h` for each group: the validation loss of a tuned penalty.
    Off(Groups<'a>),
}

/// An objective with a penalty; see [`L2`] and [`L1`].
#[derive(Clone, Copy, Debug)]
pub struct Penalty<'a, O, R> {
    /// The objective without it.
    pub inner: O,
    /// The coefficients.
    pub strength: Strength<'a>,
    term: PhantomData<R>,
}

/// The penalty `c w^2`.
///
/// ```
/// use drmad::{group::Groups, models::Quadratic, objective::{At, Objective}, Fused};
/// use drmad::wrap::{L2, Strength};
/// let bowl = Quadratic::<Fused>::new(&[0.0, 0.0]);
/// let held = L2::new(bowl, Strength::Fixed(0.5, Groups::global(2)));
/// let at = At { w: &[3.0f32, 1.0], h: &[0.0, 0.0], batch: &[] };
/// let (mut g, mut scratch) = ([0.0; 2], [0.0; 4]);
/// assert_eq!(held.gradient(at, &mut g, None, &mut scratch)?, 5.0);
/// assert_eq!(g, [3.0, 1.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
pub type L2<'a, O> = Penalty<'a, O, Square>;
/// The penalty `c |w|`, with `sign(0) = 0`.
///
/// ```
/// use drmad::{group::{Granularity, Groups, Layout}, models::Quadratic, objective::Objective, Fused};
/// use drmad::wrap::{L1, Strength};
/// let each = Groups { layout: Layout::Flat(2), by: Granularity::Parameter, biases: false };
/// let sparse = L1::new(Quadratic::<Fused>::new(&[1.0, 1.0]), Strength::Tuned(each));
/// assert_eq!(sparse.hypers(), 2 + 2);
/// ```
pub type L1<'a, O> = Penalty<'a, O, Absolute>;

impl<'a, O: Objective, R: Term> Penalty<'a, O, R> {
    /// `inner` with a penalty.
    pub const fn new(inner: O, strength: Strength<'a>) -> Self {
        Penalty {
            inner,
            strength,
            term: PhantomData,
        }
    }

    fn groups(&self) -> &Groups<'a> {
        match &self.strength {
            Strength::Fixed(_, groups) | Strength::Tuned(groups) | Strength::Off(groups) => groups,
        }
    }

    /// The length of its own block of `h`.
    fn own(&self) -> usize {
        match self.strength {
            Strength::Fixed(..) => 0,
            Strength::Tuned(groups) | Strength::Off(groups) => groups.len(),
        }
    }

    /// The inner and the own part of `h`.
    fn split<'s, S: Scalar>(&self, at: &At<'s, S>) -> Result<(&'s [S], &'s [S]), Error> {
        exactly("w", at.w, self.weights())?;
        exactly("h", at.h, self.hypers())?;
        exactly("groups", at.w, self.groups().weights())?;
        Ok(at.h.split_at(self.inner.hypers()))
    }

    /// Numbers of scratch that the penalty itself needs: one a weight, two a group.
    fn own_scratch_len(&self) -> usize {
        match self.strength {
            Strength::Off(_) => 0,
            _ => {
                let groups = self.groups().len().saturating_mul(2);
                self.weights().saturating_add(groups)
            }
        }
    }

    /// Cuts the scratch; nothing where there is no penalty.
    fn cut<'s, S: Scalar>(
        &self,
        own: &[S],
        scratch: &mut &'s mut [S],
    ) -> Result<Option<Parts<'s, S>>, Error> {
        if let Strength::Off(_) = self.strength {
            return Ok(None);
        }
        let groups = self.groups().len();
        let coefficients = cut("scratch", scratch, groups)?;
        let sums = cut("scratch", scratch, groups)?;
        let terms = cut("scratch", scratch, self.weights())?;
        match self.strength {
            Strength::Fixed(c, _) => coefficients.fill(S::from_f32(c)),
            _ => coefficients.copy_from_slice(own),
        }
        sums.fill(S::ZERO);
        Ok(Some(Parts {
            coefficients,
            sums,
            terms,
        }))
    }

    /// The penalty; where wanted its derivative by the own `h` is written to `d_own`.
    fn value<S: Scalar>(&self, w: &[S], parts: &mut Parts<'_, S>, d_own: Option<&mut [S]>) -> S {
        for block in self.groups().blocks() {
            let terms = block.of_mut(parts.terms);
            activation::map(
                block.of(w),
                terms,
                #[inline(always)]
                |w| R::value(w),
            );
            add_row_sums(block.columns, terms, block.hypers_mut(parts.sums));
        }
        if let Some(d_own) = d_own {
            for (d, sum) in d_own.iter_mut().zip(&*parts.sums) {
                *d = *sum;
            }
        }
        dot::<O::Arithmetic, S>(parts.coefficients, parts.sums)
    }

    /// Adds `c r'(w)` to `g`; leaves `r'(w)` in the terms.
    fn add_gradient<S: Scalar>(&self, w: &[S], parts: &mut Parts<'_, S>, g: Option<&mut [S]>) {
        activation::map(
            w,
            parts.terms,
            #[inline(always)]
            |w| R::slope(w),
        );
        if let Some(g) = g {
            self.add_scaled(parts.coefficients, parts.terms, g);
        }
    }

    /// `y += c x`, by group.
    fn add_scaled<S: Scalar>(&self, c: &[S], x: &[S], y: &mut [S]) {
        for block in self.groups().blocks() {
            add_scaled_rows::<O::Arithmetic, S>(
                block.columns,
                block.hypers(c),
                block.of(x),
                block.of_mut(y),
            );
        }
    }
}

/// The scratch of a penalty.
struct Parts<'s, S> {
    /// `c`, one a group.
    coefficients: &'s mut [S],
    /// One a group, 0 at first.
    sums: &'s mut [S],
    /// One a weight.
    terms: &'s mut [S],
}

impl<O: Objective, R: Term> Objective for Penalty<'_, O, R> {
    type Arithmetic = O::Arithmetic;

    fn weights(&self) -> usize {
        self.inner.weights()
    }

    fn hypers(&self) -> usize {
        self.inner.hypers().saturating_add(self.own())
    }

    fn scratch_len(&self) -> usize {
        self.own_scratch_len().max(self.inner.scratch_len())
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        let (h, own) = self.split(&at)?;
        let inner_at = At { h, ..at };
        let (loss, d_own) = match d_h {
            None => (self.inner.gradient(inner_at, g, None, scratch)?, None),
            Some(d_h) => {
                exactly("d_h", d_h, self.hypers())?;
                let (inner_d_h, d_own) = d_h.split_at_mut(h.len());
                d_own.fill(S::ZERO);
                let loss = self.inner.gradient(inner_at, g, Some(inner_d_h), scratch)?;
                (loss, Some(d_own))
            }
        };
        let Some(mut parts) = self.cut(own, &mut scratch)? else {
            return Ok(loss);
        };
        self.add_gradient(at.w, &mut parts, Some(g));
        Ok(loss + self.value(at.w, &mut parts, d_own))
    }

    fn loss_scratch_len(&self) -> usize {
        self.own_scratch_len().max(self.inner.loss_scratch_len())
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, mut scratch: &mut [S]) -> Result<S, Error> {
        let (h, own) = self.split(&at)?;
        let loss = self.inner.loss(At { h, ..at }, scratch)?;
        Ok(match self.cut(own, &mut scratch)? {
            None => loss,
            Some(mut parts) => loss + self.value(at.w, &mut parts, None),
        })
    }

    fn second_order_scratch_len(&self) -> usize {
        self.own_scratch_len()
            .max(self.inner.second_order_scratch_len())
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        mut scratch: &mut [S],
    ) -> Result<(), Error> {
        let (h, own) = self.split(&at)?;
        exactly("d", d, self.weights())?;
        exactly("m_d", out.m_d, self.hypers())?;
        let (inner_m_d, m_d) = out.m_d.split_at_mut(h.len());
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
        let Some(mut parts) = self.cut(own, &mut scratch)? else {
            return Ok(());
        };
        let tuned = matches!(self.strength, Strength::Tuned(_));
        if g.is_some() || tuned {
            self.add_gradient(at.w, &mut parts, g);
        }
        if tuned {
            for block in self.groups().blocks() {
                add_row_dots::<O::Arithmetic, S>(
                    block.columns,
                    block.of(parts.terms),
                    block.of(d),
                    block.hypers_mut(m_d),
                );
            }
        }
        let curvature = R::curvature::<S>();
        if curvature != S::ZERO {
            for c in parts.coefficients.iter_mut() {
                *c = curvature * *c;
            }
            self.add_scaled(parts.coefficients, d, out.h_d);
        }
        Ok(())
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        self.own_scratch_len()
            .max(self.inner.tangents_scratch_len(count))
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
        let (h, own) = self.split(&at)?;
        let loss = self
            .inner
            .tangents(At { h, ..at }, along, g, g_dot, scratch)?;
        let Some(mut parts) = self.cut(own, &mut scratch)? else {
            return Ok(loss);
        };
        self.add_gradient(at.w, &mut parts, Some(g));
        let tuned = matches!(self.strength, Strength::Tuned(_));
        let curvature = R::curvature::<S>();
        for ((w_dot, h_dot), g_dot) in along.rows().zip(g_dot.chunks_exact_mut(at.w.len().max(1))) {
            if tuned {
                let c_dot = h_dot.get(h.len()..).unwrap_or(&[]);
                self.add_scaled(c_dot, parts.terms, g_dot);
            }
            if curvature != S::ZERO {
                for (sum, c) in parts.sums.iter_mut().zip(&*parts.coefficients) {
                    *sum = curvature * *c;
                }
                self.add_scaled(parts.sums, w_dot, g_dot);
            }
        }
        parts.sums.fill(S::ZERO);
        Ok(loss + self.value(at.w, &mut parts, None))
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.inner.visit_blocks(visit);
        if self.own() > 0 {
            visit(R::NAME, self.own());
        }
    }
}
