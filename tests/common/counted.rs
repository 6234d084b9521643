//! An objective that counts how often it is evaluated: the harness's, for tests that need none.

use std::cell::Cell;

use drmad::objective::{At, Differentiable, Directions, Products};
use drmad::{Arithmetic, Error, Scalar};

/// How often an objective was evaluated.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Gradients.
    pub(crate) gradients: Cell<usize>,
    /// Second-order products; a tangent is one.
    pub(crate) products: Cell<usize>,
}

fn add(count: &Cell<usize>, n: usize) {
    count.set(count.get() + n);
}

/// An objective with its counts.
pub(crate) struct Counted<'a, A, S> {
    /// The objective.
    pub(crate) inner: &'a dyn Differentiable<A, S>,
    /// Its counts.
    pub(crate) counts: &'a Counts,
}

impl<A: Arithmetic, S: Scalar> Differentiable<A, S> for Counted<'_, A, S> {
    fn weights(&self) -> usize {
        self.inner.weights()
    }

    fn hypers(&self) -> usize {
        self.inner.hypers()
    }

    fn scratch_len(&self) -> usize {
        self.inner.scratch_len()
    }

    fn gradient(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        add(&self.counts.gradients, 1);
        self.inner.gradient(at, g, d_h, scratch)
    }

    fn loss_scratch_len(&self) -> usize {
        self.inner.loss_scratch_len()
    }

    fn loss(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        self.inner.loss(at, scratch)
    }

    fn second_order_scratch_len(&self) -> usize {
        self.inner.second_order_scratch_len()
    }

    fn second_order(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        add(&self.counts.products, 1);
        self.inner.second_order(at, d, out, scratch)
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        self.inner.tangents_scratch_len(count)
    }

    fn tangents(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        add(&self.counts.products, along.count);
        self.inner.tangents(at, along, g, g_dot, scratch)
    }
}
