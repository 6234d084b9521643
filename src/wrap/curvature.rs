//! Products of negative curvature dropped: the remedy for a path as poor as
//! [`Line`](crate::path::Line).
//!
//! ```text
//! H d    where <d, H d> >= 0,        0    where <d, H d> < 0
//! ```
//!
//! Off the true path the loss may curve downward along an adjoint, which then grows by a factor
//! at every step back. Without those products it cannot. The gradient and `M d` stay as they are.
//!
//! **This is by intention not the derivative of its gradient**: [`check`](crate::check) reports it
//! wherever a product was dropped, and on an exact path it spoils an exact hypergradient. The
//! products are dropped whole, for each step and batch by itself; wrapped innermost it judges the
//! inner curvature without penalties and scales, outermost that of the whole training loss. Forward mode grows by no adjoint: its tangents are those of
//! the inner objective.

use crate::error::{Error, check_len, cut};
use crate::kernels::reduce::dot;
use crate::objective::{At, Directions, Objective, Products};
use crate::scalar::{Arithmetic, Scalar};

/// Adds the products along `d` that `inner` adds to what it is given, `H d` where its curvature is not negative.
/// The scratch is that of the inner ones, and a number for each of the weights before it.
pub(crate) fn dropped<A: Arithmetic, S: Scalar>(
    weights: usize,
    d: &[S],
    out: Products<'_, S>,
    mut scratch: &mut [S],
    inner: impl FnOnce(Products<'_, S>, &mut [S]) -> Result<(), Error>,
) -> Result<(), Error> {
    check_len("d", d, weights)?;
    check_len("h_d", out.h_d, weights)?;
    let h_d = cut("scratch", &mut scratch, weights)?;
    h_d.fill(S::ZERO);
    let products = Products {
        g: out.g,
        h_d,
        m_d: out.m_d,
    };
    inner(products, scratch)?;
    // A curvature that is not a number is kept, so that the sweep sees it.
    if dot::<A, S>(d, h_d) < S::ZERO {
        return Ok(());
    }
    for (sum, h_d) in out.h_d.iter_mut().zip(h_d) {
        *sum += *h_d;
    }
    Ok(())
}

/// An objective without products of negative curvature.
///
/// ```
/// use drmad::{models::Quadratic, objective::{At, Objective, Products}, wrap::DropNegativeCurvature, Fused};
/// let saddle = DropNegativeCurvature { inner: Quadratic::<Fused>::new(&[1.0, -1.0]) };
/// let at = At { w: &[0.0f32; 2], h: &[0.0; 2], batch: &[] };
/// let mut scratch = vec![0.0; saddle.second_order_scratch_len()];
/// for (d, want) in [([2.0, 1.0], [2.0, -1.0]), ([1.0, 2.0], [0.0, 0.0])] {
///     let (mut h_d, mut m_d) = ([0.0; 2], [0.0; 2]);
///     let out = Products { g: None, h_d: &mut h_d, m_d: &mut m_d };
///     saddle.second_order(at, &d, out, &mut scratch)?;
///     assert_eq!(h_d, want);
/// }
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DropNegativeCurvature<O> {
    /// The objective with all of them.
    pub inner: O,
}

#[deny(clippy::missing_trait_methods)]
impl<O: Objective> Objective for DropNegativeCurvature<O> {
    type Arithmetic = O::Arithmetic;

    fn weights(&self) -> usize {
        self.inner.weights()
    }

    fn hypers(&self) -> usize {
        self.inner.hypers()
    }

    fn scratch_len(&self) -> usize {
        self.inner.scratch_len()
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.inner.gradient(at, g, d_h, scratch)
    }

    fn loss_scratch_len(&self) -> usize {
        self.inner.loss_scratch_len()
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        self.inner.loss(at, scratch)
    }

    fn second_order_scratch_len(&self) -> usize {
        let inner = self.inner.second_order_scratch_len();
        self.weights().saturating_add(inner)
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        let inner =
            |out: Products<'_, S>, scratch: &mut [S]| self.inner.second_order(at, d, out, scratch);
        dropped::<O::Arithmetic, S>(self.weights(), d, out, scratch, inner)
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        self.inner.tangents_scratch_len(count)
    }

    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        self.inner.tangents(at, along, g, g_dot, scratch)
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.inner.visit_blocks(visit);
    }
}
