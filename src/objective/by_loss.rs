//! An objective of which only the loss is written: gradients and second-order products come from dual numbers, and
//! from dual numbers of them.
//!
//! ```text
//! grad_w_i = d/de L(w + e e_i, h)        H d = d/df grad_w L(w + f d, h)
//! ```
//!
//! Each entry of a gradient costs a loss in dual numbers, so a gradient costs `P + H` of them, and a second-order
//! product `P + H` in dual numbers of dual numbers, each some four times a loss. That is for tens of weights: whoever
//! has more writes the gradient ([`Objective`]), for the cost of one or two losses.
//!
//! Refused: nothing of its own.

use super::{At, Objective};
use crate::Dual;
use crate::error::{Error, check_len, cut};
use crate::scalar::{Arithmetic, Scalar};

/// A loss, generic over the scalar.
pub trait Loss {
    /// The rounding in which it, the training and the sweep compute.
    type Arithmetic: Arithmetic;

    /// The number `P` of weights.
    fn weights(&self) -> usize;

    /// The number `H` of hyperparameters.
    fn hypers(&self) -> usize {
        0
    }

    /// The loss.
    ///
    /// # Errors
    /// Whatever it refuses.
    fn loss<S: Scalar>(&self, at: At<'_, S>) -> Result<S, Error>;
}

/// The objective of a [`Loss`].
///
/// ```
/// use drmad::{Arithmetic, Error, Fused, Scalar, objective::{At, ByLoss, Loss, Objective}};
/// /// `(w_0 w_1 - h_0)^2`
/// struct Product;
/// impl Loss for Product {
///     type Arithmetic = Fused;
///     fn weights(&self) -> usize { 2 }
///     fn hypers(&self) -> usize { 1 }
///     fn loss<S: Scalar>(&self, at: At<'_, S>) -> Result<S, Error> {
///         let miss = at.w[0] * at.w[1] - at.h[0];
///         Ok(miss * miss)
///     }
/// }
/// let (objective, at) = (ByLoss(Product), At { w: &[2.0, 3.0], h: &[5.0], batch: &[] });
/// let (mut g, mut d_h, mut scratch) = ([0.0f64; 2], [0.0], vec![0.0; objective.scratch_len()]);
/// assert_eq!(objective.gradient(at, &mut g, Some(&mut d_h), &mut scratch)?, 1.0);
/// assert_eq!((g, d_h), ([6.0, 4.0], [-2.0]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ByLoss<L>(pub L);

/// The scratch of the gradient of a [`ByLoss`] of so many weights and hyperparameters, for static buffers.
pub const fn gradient_len(weights: usize, hypers: usize) -> usize {
    weights.saturating_add(hypers).saturating_mul(2)
}

impl<L: Loss> Objective for ByLoss<L> {
    type Arithmetic = L::Arithmetic;

    fn weights(&self) -> usize {
        self.0.weights()
    }

    fn hypers(&self) -> usize {
        self.0.hypers()
    }

    fn scratch_len(&self) -> usize {
        gradient_len(self.weights(), self.hypers())
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        let (p, hypers) = (self.weights(), self.hypers());
        check_len("w", at.w, p)?;
        check_len("h", at.h, hypers)?;
        check_len("g", g, p)?;
        let scratch = cut("scratch", &mut scratch, gradient_len(p, hypers))?;
        let both = Dual::view(scratch);
        for (dual, x) in both.iter_mut().zip(at.w.iter().chain(at.h)) {
            *dual = Dual::new(*x, S::ZERO);
        }
        let wanted = match d_h {
            Some(d_h) => {
                check_len("d_h", d_h, hypers)?;
                d_h
            }
            None => &mut [],
        };
        for (i, slope) in g.iter_mut().chain(wanted).enumerate() {
            *slope = self.moved(both, p, i, at.batch)?.tangent();
        }
        self.0.loss(at)
    }

    fn loss_scratch_len(&self) -> usize {
        0
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, _scratch: &mut [S]) -> Result<S, Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        self.0.loss(at)
    }
}

impl<L: Loss> ByLoss<L> {
    /// The loss with entry `i` of weights and hyperparameters moving.
    fn moved<S: Scalar>(
        &self,
        both: &mut [Dual<S>],
        weights: usize,
        i: usize,
        batch: &[u32],
    ) -> Result<Dual<S>, Error> {
        let set = |both: &mut [Dual<S>], slope| {
            if let Some(x) = both.get_mut(i) {
                *x = Dual::new(x.value(), slope);
            }
        };
        set(both, S::ONE);
        let (w, h) = both.split_at(weights.min(both.len()));
        let loss = self.0.loss(At { w, h, batch });
        set(both, S::ZERO);
        loss
    }
}
