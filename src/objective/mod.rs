//! What is minimised, and its derivatives.
//!
//! An objective is a function `L(w, h, batch)` of weights, hyperparameters and a set of examples.
//! The sweep asks for its gradient by `w` and by `h`, and for two second-order products along a
//! direction `d`,
//!
//! ```text
//! H d = d/de grad_w L(w + e d, h)        M d = d/de grad_h L(w + e d, h)
//! ```
//!
//! which are the derivatives of `<grad_w L, d>` by `w` and by `h`: both fall out of one pass.
//! Forward mode asks for the derivative of the gradient along several [`Directions`] of `w` and `h`,
//!
//! ```text
//! g_dot = d/de grad_w L(w + e w_dot, h + e h_dot) = H w_dot + M' h_dot
//! ```
//!
//! A mean over thousands of examples is worth a [`Total`](crate::kernels::reduce::Total) for the loss, and
//! [`add_with_rest`](crate::kernels::accumulate::add_with_rest) for what is a vector: one after another, ten million
//! equal terms end at a third of what they are. The models of the crate do so.
//!
//! A user writes the [`Loss`] alone, generic over the scalar, and all else comes from dual numbers and dual numbers
//! of them ([`ByLoss`]); that is for tens of weights. Or the [`gradient`](Objective::gradient), and the second-order
//! products come from [dual numbers](crate::Dual). A hand-written pass may override them and is tested against these.
//!
//! Objectives compose: [`Scaled`](crate::wrap::Scaled), [`L2`](crate::wrap::L2),
//! [`L1`](crate::wrap::L1) wrap another and append their own block to `h`, after the inner one's.
//! Nothing is allocated: all that an objective needs it cuts from the `scratch` it is given. Its loops run
//! on the processor's vectors, and its multiply-adds in hardware, inside
//! [`dispatch::run`](crate::kernels::dispatch::run).
//!
//! A training calls its objective through a pointer, a few times a step for microseconds each: behind that
//! pointer it is a [`Differentiable`], which every objective is. So all of training and sweep is compiled once for
//! each arithmetic and scalar, and not once more for each objective.
//!
//! Refused: state between calls.

mod by_loss;

use crate::Dual;
use crate::error::{Error, check_len, cut};
use crate::scalar::{Arithmetic, Scalar};

pub use by_loss::{ByLoss, Loss, gradient_len};

/// Where an objective is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct At<'a, S> {
    /// The weights, `P` of them.
    pub w: &'a [S],
    /// The hyperparameters, `H` of them.
    pub h: &'a [S],
    /// The examples, as the objective numbers them.
    pub batch: &'a [u32],
}

/// Where the second-order products go.
#[derive(Debug)]
pub struct Products<'a, S> {
    /// The gradient by the weights (`P`), overwritten, where it is wanted.
    pub g: Option<&'a mut [S]>,
    /// `H d` (`P`) is added to this.
    pub h_d: &'a mut [S],
    /// `M d` (`H`) is added to this.
    pub m_d: &'a mut [S],
}

/// Directions of weights and hyperparameters, `K` of them.
#[derive(Clone, Copy, Debug)]
pub struct Directions<'a, S> {
    /// How many.
    pub count: usize,
    /// `w_dot`, `K` rows of `P` numbers.
    pub w: &'a [S],
    /// `h_dot`, `K` rows of `H` numbers or more: an objective looks at the first `H` of a row, so that
    /// one around it can pass its own rows on.
    pub h: &'a [S],
}

/// Row `k` of `count`.
fn row<S>(x: &[S], count: usize, k: usize) -> &[S] {
    let len = x.len().checked_div(count).unwrap_or(0);
    x.get(k * len..(k + 1) * len).unwrap_or(&[])
}

impl<'a, S> Directions<'a, S> {
    /// Each direction's `w_dot` and `h_dot`.
    ///
    /// ```
    /// use drmad::objective::Directions;
    /// let both = Directions { count: 2, w: &[1.0, 2.0, 3.0, 4.0], h: &[5.0, 6.0] };
    /// assert_eq!(both.rows().nth(1), Some((&[3.0, 4.0][..], &[6.0][..])));
    /// ```
    pub fn rows(&self) -> impl Iterator<Item = (&'a [S], &'a [S])> + use<'a, S> {
        let Directions { count, w, h } = *self;
        (0..count).map(move |k| (row(w, count, k), row(h, count, k)))
    }

    /// Checks all lengths at the door of [`Objective::tangents`].
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn check<O: Objective + ?Sized>(
        &self,
        objective: &O,
        g: &[S],
        g_dot: &[S],
    ) -> Result<(), Error> {
        let (p, h) = (objective.weights(), objective.hypers());
        check_len("w_dot", self.w, self.count.saturating_mul(p))?;
        check_len("g", g, p)?;
        check_len("g_dot", g_dot, self.w.len())?;
        let row = self.h.len().checked_div(self.count).unwrap_or(h);
        check_len("h_dot", self.h, self.count.saturating_mul(row.max(h)))
    }
}

/// A function of weights and hyperparameters with its derivatives.
///
/// ```
/// use drmad::{objective::{At, Objective}, Arithmetic, Error, Fused, Scalar};
///
/// /// `sum_i (exp(h) w_i - 1)^2`.
/// struct Fit;
///
/// impl Objective for Fit {
///     type Arithmetic = Fused;
///     fn weights(&self) -> usize { 3 }
///     fn hypers(&self) -> usize { 1 }
///     fn gradient<S: Scalar>(
///         &self,
///         at: At<'_, S>,
///         g: &mut [S],
///         d_h: Option<&mut [S]>,
///         _scratch: &mut [S],
///     ) -> Result<S, Error> {
///         let scale = at.h[0].exp::<Fused>();
///         let (mut loss, mut by_h) = (S::ZERO, S::ZERO);
///         for (g, w) in g.iter_mut().zip(at.w) {
///             let miss = scale * *w - S::ONE;
///             loss += miss * miss;
///             *g = (miss + miss) * scale;
///             by_h += *g * *w;
///         }
///         if let Some(d_h) = d_h {
///             d_h[0] = by_h;
///         }
///         Ok(loss)
///     }
/// }
/// ```
pub trait Objective {
    /// The rounding in which it, the training and the sweep compute.
    type Arithmetic: Arithmetic;

    /// The number `P` of weights.
    fn weights(&self) -> usize;

    /// The number `H` of hyperparameters.
    fn hypers(&self) -> usize {
        0
    }

    /// Numbers of scratch that [`gradient`](Self::gradient) and [`loss`](Self::loss) need.
    fn scratch_len(&self) -> usize {
        0
    }

    /// Writes the gradient by the weights to `g` (`P`) and, where wanted, by the hyperparameters to
    /// `d_h` (`H`); returns the loss.
    ///
    /// # Errors
    /// [`Error::Length`] for a buffer of another length, and what else the objective refuses.
    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error>;

    /// Numbers of scratch that [`loss`](Self::loss) needs.
    fn loss_scratch_len(&self) -> usize {
        self.weights().saturating_add(self.scratch_len())
    }

    /// The loss alone.
    ///
    /// # Errors
    /// As [`gradient`](Self::gradient).
    fn loss<S: Scalar>(&self, at: At<'_, S>, mut scratch: &mut [S]) -> Result<S, Error> {
        let g = cut("scratch", &mut scratch, self.weights())?;
        self.gradient(at, g, None, scratch)
    }

    /// Numbers of scratch that [`second_order`](Self::second_order) needs.
    fn second_order_scratch_len(&self) -> usize {
        dual_scratch_len(self)
    }

    /// Adds `H d` and `M d` to `out`.
    ///
    /// # Errors
    /// As [`gradient`](Self::gradient).
    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        by_dual_numbers(self, at, d, out, scratch)
    }

    /// Numbers of scratch that [`tangents`](Self::tangents) needs along `count` directions.
    fn tangents_scratch_len(&self, count: usize) -> usize {
        let _ = count;
        dual_scratch_len(self)
    }

    /// Writes the gradient by the weights to `g` (`P`) and its derivative along each direction to a row
    /// of `g_dot` (`K x P`); returns the loss.
    ///
    /// # Errors
    /// As [`gradient`](Self::gradient).
    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        tangents_by_dual_numbers(self, at, along, g, g_dot, scratch)
    }

    /// Calls `visit` with the name and the length of each block of `h`, in their order.
    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        if self.hypers() > 0 {
            visit("h", self.hypers());
        }
    }
}

/// An [`Objective`] at one scalar, as a training calls it: whatever implements that one is this, too, and can
/// be pointed to (`&dyn Differentiable`). Shapes, meanings and errors are those of the methods of the same names.
///
/// ```
/// use drmad::{Fused, models::Quadratic, objective::{At, Differentiable}};
/// let bowl = Quadratic::<Fused>::new(&[2.0]);
/// let pointed: &dyn Differentiable<Fused, f64> = &bowl;
/// let at = At { w: &[4.0], h: &[1.0], batch: &[] };
/// assert_eq!(pointed.gradient(at, &mut [0.0], None, &mut []), Ok(9.0));
/// ```
#[allow(missing_docs)] // those of `Objective`
pub trait Differentiable<A: Arithmetic, S: Scalar> {
    fn weights(&self) -> usize;
    fn hypers(&self) -> usize;
    fn scratch_len(&self) -> usize;
    fn gradient(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error>;
    fn loss_scratch_len(&self) -> usize;
    fn loss(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error>;
    fn second_order_scratch_len(&self) -> usize;
    fn second_order(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error>;
    fn tangents_scratch_len(&self, count: usize) -> usize;
    fn tangents(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error>;
}

impl<O: Objective, S: Scalar> Differentiable<O::Arithmetic, S> for O {
    fn weights(&self) -> usize {
        Objective::weights(self)
    }

    fn hypers(&self) -> usize {
        Objective::hypers(self)
    }

    fn scratch_len(&self) -> usize {
        Objective::scratch_len(self)
    }

    fn gradient(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        Objective::gradient(self, at, g, d_h, scratch)
    }

    fn loss_scratch_len(&self) -> usize {
        Objective::loss_scratch_len(self)
    }

    fn loss(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        Objective::loss(self, at, scratch)
    }

    fn second_order_scratch_len(&self) -> usize {
        Objective::second_order_scratch_len(self)
    }

    fn second_order(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        Objective::second_order(self, at, d, out, scratch)
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        Objective::tangents_scratch_len(self, count)
    }

    fn tangents(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        Objective::tangents(self, at, along, g, g_dot, scratch)
    }
}

/// Numbers of scratch that [`by_dual_numbers`] needs: weights, hyperparameters, both gradients and the
/// objective's own scratch, in dual numbers.
pub fn dual_scratch_len<O: Objective + ?Sized>(objective: &O) -> usize {
    dual_required_len(
        objective.weights(),
        objective.hypers(),
        objective.scratch_len(),
    )
}

/// [`dual_scratch_len`] of so many weights, hyperparameters and numbers of own scratch, for static
/// buffers.
///
/// ```
/// assert_eq!(drmad::objective::dual_required_len(10, 2, 5), 2 * (2 * 12 + 5));
/// ```
pub const fn dual_required_len(weights: usize, hypers: usize, scratch: usize) -> usize {
    let both = weights.saturating_add(hypers);
    (both.saturating_mul(2))
        .saturating_add(scratch)
        .saturating_mul(2)
}

/// Gradients on dual numbers with these tangents: by the weights, and by the hyperparameters; and the loss.
#[allow(clippy::type_complexity)] // two gradients and the loss
fn on_dual_numbers<'s, O: Objective + ?Sized, S: Scalar>(
    objective: &O,
    at: At<'_, S>,
    w_dot: &[S],
    h_dot: impl Iterator<Item = S>,
    mut scratch: &'s mut [S],
) -> Result<(&'s mut [Dual<S>], &'s mut [Dual<S>], Dual<S>), Error> {
    let (p, h) = (objective.weights(), objective.hypers());
    let scratch = cut("scratch", &mut scratch, dual_scratch_len(objective))?;
    let mut rest = Dual::view(scratch);
    let w = cut("scratch", &mut rest, p)?;
    let hyper = cut("scratch", &mut rest, h)?;
    let g = cut("scratch", &mut rest, p)?;
    let d_h = cut("scratch", &mut rest, h)?;
    for ((w, value), tangent) in w.iter_mut().zip(at.w).zip(w_dot) {
        *w = Dual::new(*value, *tangent);
    }
    for ((hyper, value), tangent) in hyper.iter_mut().zip(at.h).zip(h_dot) {
        *hyper = Dual::new(*value, tangent);
    }
    let at = At {
        w,
        h: hyper,
        batch: at.batch,
    };
    let loss = objective.gradient(at, g, Some(d_h), rest)?;
    Ok((g, d_h, loss))
}

/// The second-order products of any objective, from its gradient on dual numbers: what
/// [`Objective::second_order`] does where it is not overridden, and what an override is tested
/// against. `scratch` needs [`dual_scratch_len`] numbers.
///
/// # Errors
/// As [`Objective::gradient`].
pub fn by_dual_numbers<O: Objective + ?Sized, S: Scalar>(
    objective: &O,
    at: At<'_, S>,
    d: &[S],
    out: Products<'_, S>,
    scratch: &mut [S],
) -> Result<(), Error> {
    let (p, h) = (objective.weights(), objective.hypers());
    check_len("w", at.w, p)?;
    check_len("h", at.h, h)?;
    check_len("d", d, p)?;
    check_len("h_d", out.h_d, p)?;
    check_len("m_d", out.m_d, h)?;
    let zeros = core::iter::repeat(S::ZERO);
    let (g, d_h, _) = on_dual_numbers(objective, at, d, zeros, scratch)?;
    for (sum, g) in out.h_d.iter_mut().zip(g.iter()) {
        *sum += g.tangent();
    }
    for (sum, d_h) in out.m_d.iter_mut().zip(d_h.iter()) {
        *sum += d_h.tangent();
    }
    if let Some(plain) = out.g {
        check_len("g", plain, p)?;
        for (plain, g) in plain.iter_mut().zip(g.iter()) {
            *plain = g.value();
        }
    }
    Ok(())
}

/// The derivatives of any objective's gradient along directions, from the gradient on dual numbers, one
/// direction after another: what [`Objective::tangents`] does where it is not overridden, and what an
/// override is tested against. `scratch` needs [`dual_scratch_len`] numbers.
///
/// # Errors
/// As [`Objective::gradient`].
pub fn tangents_by_dual_numbers<O: Objective + ?Sized, S: Scalar>(
    objective: &O,
    at: At<'_, S>,
    along: Directions<'_, S>,
    g: &mut [S],
    g_dot: &mut [S],
    scratch: &mut [S],
) -> Result<S, Error> {
    let p = objective.weights();
    check_len("w", at.w, p)?;
    check_len("h", at.h, objective.hypers())?;
    along.check(objective, g, g_dot)?;
    if along.count == 0 {
        return objective.gradient(at, g, None, scratch);
    }
    let mut loss = S::ZERO;
    for ((w_dot, h_dot), g_dot) in along.rows().zip(g_dot.chunks_exact_mut(p.max(1))) {
        let h_dot = h_dot.iter().copied();
        let (dual, _, dual_loss) = on_dual_numbers(objective, at, w_dot, h_dot, scratch)?;
        for ((g, g_dot), dual) in g.iter_mut().zip(g_dot).zip(dual) {
            (*g, *g_dot) = (dual.value(), dual.tangent());
        }
        loss = dual_loss.value();
    }
    Ok(loss)
}
