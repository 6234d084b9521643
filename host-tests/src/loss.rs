//! The objectives of the experiments as one type, chosen at run time.

use drmad::models::Mlp;
use drmad::objective::{At, Directions, Objective, Products};
use drmad::wrap::{L2, Scaled};
use drmad::{Arithmetic, Error, Scalar};

use crate::inputs::Tuned;

type Network<'a, A> = Mlp<'a, Tuned<'a>, A>;

/// An experiment's training or validation loss.
#[derive(Debug)]
pub enum Loss<'a, A: Arithmetic> {
    /// The network alone.
    Plain(Network<'a, A>),
    /// Scaled weights.
    Scaled(Scaled<'a, Network<'a, A>>),
    /// Scaled weights with a penalty.
    ScaledL2(L2<'a, Scaled<'a, Network<'a, A>>>),
    /// A penalty.
    L2(L2<'a, Network<'a, A>>),
}

/// Calls the method of whichever objective it is.
macro_rules! each {
    ($self:ident, $loss:ident => $call:expr) => {
        match $self {
            Loss::Plain($loss) => $call,
            Loss::Scaled($loss) => $call,
            Loss::ScaledL2($loss) => $call,
            Loss::L2($loss) => $call,
        }
    };
}

impl<A: Arithmetic> Objective for Loss<'_, A> {
    type Arithmetic = A;

    fn weights(&self) -> usize {
        each!(self, loss => loss.weights())
    }

    fn hypers(&self) -> usize {
        each!(self, loss => loss.hypers())
    }

    fn scratch_len(&self) -> usize {
        each!(self, loss => loss.scratch_len())
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        each!(self, loss => loss.gradient(at, g, d_h, scratch))
    }

    fn loss_scratch_len(&self) -> usize {
        each!(self, loss => loss.loss_scratch_len())
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, scratch: &mut [S]) -> Result<S, Error> {
        each!(self, loss => loss.loss(at, scratch))
    }

    fn second_order_scratch_len(&self) -> usize {
        each!(self, loss => loss.second_order_scratch_len())
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        each!(self, loss => loss.second_order(at, d, out, scratch))
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        each!(self, loss => loss.tangents_scratch_len(count))
    }

    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        scratch: &mut [S],
    ) -> Result<S, Error> {
        each!(self, loss => loss.tangents(at, along, g, g_dot, scratch))
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        each!(self, loss => loss.visit_blocks(visit));
    }
}
