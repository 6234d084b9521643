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

use crate::error::{Error, check_len, cut};
use crate::group::{Block, Groups};
use crate::kernels::accumulate::{add_row_sums_beside, add_row_sums_of, add_scaled_rows_of};
use crate::kernels::reduce::dot;
use crate::objective::{At, Directions, Objective, Products};
use crate::pieces::{split, split_mut};
use crate::scalar::{Arithmetic, Scalar};

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

/// `r(w) = |w|`, with the slope [`sign`](Scalar::sign): 0 at 0, as at all [kinks](crate::scalar#kinks).
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
        w.sign()
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
    /// No penalty, and no `h`.
    Nothing,
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
/// let (mut g, mut scratch) = ([0.0; 2], vec![0.0; held.scratch_len()]);
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

    fn groups(&self) -> Groups<'a> {
        match self.strength {
            Strength::Fixed(_, groups) | Strength::Tuned(groups) | Strength::Off(groups) => groups,
            Strength::Nothing => Groups::NONE,
        }
    }

    /// The length of its own block of `h`.
    fn own(&self) -> usize {
        match self.strength {
            Strength::Fixed(..) | Strength::Nothing => 0,
            Strength::Tuned(groups) | Strength::Off(groups) => groups.len(),
        }
    }

    /// The inner and the own part of `h`.
    fn split<'s, S: Scalar>(&self, at: &At<'s, S>) -> Result<(&'s [S], &'s [S]), Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        if self.strength != Strength::Nothing {
            check_len("groups", at.w, self.groups().weights())?;
        }
        Ok(split(at.h, self.inner.hypers()))
    }

    /// The blocks of its groups. A fixed coefficient is one for all, and each block one row of it.
    fn blocks(&self) -> impl Iterator<Item = Block> + use<'a, O, R> {
        let fixed = matches!(self.strength, Strength::Fixed(..));
        self.groups().blocks().map(move |block| match block.hyper {
            Some(_) if fixed => Block {
                rows: 1,
                columns: block.len(),
                hyper: Some(0),
                ..block
            },
            _ => block,
        })
    }

    /// Numbers of scratch that the penalty itself needs: a sum for each coefficient, and the fixed one.
    fn own_scratch_len(&self) -> usize {
        match self.strength {
            Strength::Off(_) | Strength::Nothing => 0,
            Strength::Fixed(..) => 2,
            Strength::Tuned(groups) => groups.len(),
        }
    }

    /// Cuts the scratch; nothing where there is no penalty.
    fn cut<'s, S: Scalar>(
        &self,
        own: &'s [S],
        mut scratch: &'s mut [S],
    ) -> Result<Option<Parts<'s, S>>, Error> {
        let coefficients = match self.strength {
            Strength::Off(_) | Strength::Nothing => return Ok(None),
            Strength::Fixed(c, _) => {
                let one = cut("scratch", &mut scratch, 1)?;
                one.fill(S::from_f32(c));
                one
            }
            Strength::Tuned(_) => own,
        };
        let sums = cut("scratch", &mut scratch, coefficients.len())?;
        sums.fill(S::ZERO);
        Ok(Some(Parts { coefficients, sums }))
    }

    /// `y += c f(x)`, by group.
    fn add_scaled<S: Scalar>(&self, c: &[S], x: &[S], y: &mut [S], f: impl Fn(S) -> S + Copy) {
        for block in self.blocks() {
            add_scaled_rows_of::<O::Arithmetic, S>(
                block.columns,
                block.hypers(c),
                block.of(x),
                block.of_mut(y),
                f,
            );
        }
    }

    /// Adds `c r'(w)` to `g` and `r(w)` to the sums; returns the penalty.
    fn add_gradient<S: Scalar>(&self, w: &[S], parts: &mut Parts<'_, S>, g: &mut [S]) -> S {
        for block in self.blocks() {
            let w = block.of(w);
            add_row_sums_beside(
                block.columns,
                block.hypers(parts.coefficients),
                [w, w],
                block.of_mut(g),
                block.hypers_mut(parts.sums),
                #[inline(always)]
                |c, w, _, g, sum| {
                    let slope = O::Arithmetic::mul_add(c, R::slope(w), g);
                    (slope, sum + R::value(w))
                },
            );
        }
        parts.total::<O::Arithmetic>()
    }
}

/// What a penalty works with.
struct Parts<'s, S> {
    /// `c`, one a group.
    coefficients: &'s [S],
    /// One a group, 0 at first.
    sums: &'s mut [S],
}

impl<S: Scalar> Parts<'_, S> {
    /// The penalty, from the sums of `r(w)`.
    fn total<A: Arithmetic>(&self) -> S {
        dot::<A, S>(self.coefficients, self.sums)
    }
}

#[deny(clippy::missing_trait_methods)]
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
        scratch: &mut [S],
    ) -> Result<S, Error> {
        let (h, own) = self.split(&at)?;
        let inner_at = At { h, ..at };
        let (loss, d_own) = match d_h {
            None => (self.inner.gradient(inner_at, g, None, scratch)?, None),
            Some(d_h) => {
                check_len("d_h", d_h, self.hypers())?;
                let (inner_d_h, d_own) = split_mut(d_h, h.len());
                d_own.fill(S::ZERO);
                let loss = self.inner.gradient(inner_at, g, Some(inner_d_h), scratch)?;
                (loss, Some(d_own))
            }
        };
        let Some(mut parts) = self.cut(own, scratch)? else {
            return Ok(loss);
        };
        let penalty = self.add_gradient(at.w, &mut parts, g);
        // A fixed one has no derivative, and its own block of `d_h` no element.
        for (d, sum) in d_own.into_iter().flatten().zip(&*parts.sums) {
            *d = *sum;
        }
        Ok(loss + penalty)
    }

    fn loss_scratch_len(&self) -> usize {
        self.own_scratch_len().max(self.inner.loss_scratch_len())
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        let (h, own) = self.split(&at)?;
        let loss = self.inner.loss(At { h, ..at }, scratch)?;
        Ok(match self.cut(own, scratch)? {
            None => loss,
            Some(parts) => {
                for block in self.blocks() {
                    let sums = block.hypers_mut(parts.sums);
                    add_row_sums_of(
                        block.columns,
                        block.of(at.w),
                        sums,
                        #[inline(always)]
                        |w| R::value(w),
                    );
                }
                loss + parts.total::<O::Arithmetic>()
            }
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
        scratch: &mut [S],
    ) -> Result<(), Error> {
        let (h, own) = self.split(&at)?;
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
        let Some(parts) = self.cut(own, scratch)? else {
            return Ok(());
        };
        let c = parts.coefficients;
        if let Some(g) = g {
            self.add_scaled(
                c,
                at.w,
                g,
                #[inline(always)]
                |w| R::slope(w),
            );
        }
        let curvature = R::curvature::<S>();
        if let Strength::Fixed(..) = self.strength {
            self.add_scaled(
                c,
                d,
                out.h_d,
                #[inline(always)]
                |d| curvature * d,
            );
            return Ok(());
        }
        for block in self.blocks() {
            add_row_sums_beside(
                block.columns,
                block.hypers(c),
                [block.of(at.w), block.of(d)],
                block.of_mut(out.h_d),
                block.hypers_mut(m_d),
                #[inline(always)]
                |c, w, d, h_d, sum| {
                    let h_d = O::Arithmetic::mul_add(c, curvature * d, h_d);
                    (h_d, O::Arithmetic::mul_add(R::slope(w), d, sum))
                },
            );
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
        scratch: &mut [S],
    ) -> Result<S, Error> {
        along.check(self, g, g_dot)?;
        let (h, own) = self.split(&at)?;
        let loss = self
            .inner
            .tangents(At { h, ..at }, along, g, g_dot, scratch)?;
        let Some(mut parts) = self.cut(own, scratch)? else {
            return Ok(loss);
        };
        let penalty = self.add_gradient(at.w, &mut parts, g);
        let curvature = R::curvature::<S>();
        for ((w_dot, h_dot), g_dot) in along.rows().zip(g_dot.chunks_exact_mut(at.w.len().max(1))) {
            // Of a fixed one there is none.
            let c_dot = h_dot.get(h.len()..self.hypers()).unwrap_or(&[]);
            self.add_scaled(
                c_dot,
                at.w,
                g_dot,
                #[inline(always)]
                |w| R::slope(w),
            );
            self.add_scaled(
                parts.coefficients,
                w_dot,
                g_dot,
                #[inline(always)]
                |w_dot| curvature * w_dot,
            );
        }
        Ok(loss + penalty)
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.inner.visit_blocks(visit);
        if self.own() > 0 {
            visit(R::NAME, self.own());
        }
    }
}
