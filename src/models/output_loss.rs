//! The loss of one example, and its derivatives by the outputs and by the example.
//!
//! With cross-entropy the outputs are logits `z`, less the greatest of them, so that `s - z_k` does not cancel;
//! `s = ln sum exp z`, `p` the softmax, target `q`, weight `l` and `Q = sum_k q_k`:
//!
//! ```text
//! L = l sum_k q_k (s - z_k)         dL/dz = l (Q p - q)
//! dL/dq_k = l (s - z_k)             dL/dl = sum_k q_k (s - z_k)
//! ```
//!
//! Along a direction of the weights, which moves `z` by `R z` and the example not at all,
//!
//! ```text
//! R s = sum_k p_k R z_k             R dL/dz = l Q p (R z - R s)
//! R dL/dq_k = l (R s - R z_k)       R dL/dl = sum_k q_k (R s - R z_k)
//! ```
//!
//! so that by the example the second line is the first with `R s` and `R z` in place of `s` and `z`. With squared
//! error and `e_k = z_k - q_k`:
//!
//! ```text
//! L = l / 2 sum_k e_k^2             dL/dz = l e               dL/dq = -l e         dL/dl = 1/2 sum_k e_k^2
//!                                   R dL/dz = l R z           R dL/dq = -l R z     R dL/dl = sum_k e_k R z_k
//! ```
//!
//! Order of arithmetic: sums over classes ascend from 0. For the plain target `e_y` of weight 1 it is
//! `s - z_y` and `p`, less 1 at `y`, alone. A sum of targets need not be 1, nor any of them positive.
//! Half of a sum of squares is the sum of `1/2 e_k e_k`.
//!
//! Refused: labels that are none of the classes, where targets come from labels.

use super::{Adjoint, Examples};
use crate::error::{Error, check_equal};
use crate::network::Loss;
use crate::scalar::{Arithmetic, Scalar};

/// Refuses a model of other classes than the targets of its examples are for.
pub(super) fn check_classes(examples: &impl Examples, classes: usize) -> Result<(), Error> {
    let want = examples.gives().targets.unwrap_or(classes);
    check_equal("classes of the targets", want, classes)
}

/// One example with its label. Its methods are parts of kernels, to be called within
/// [`run`](crate::kernels::dispatch::run) and compiled with it.
pub(super) struct Example<'a, D, S> {
    examples: &'a D,
    loss: Loss,
    h: &'a [S],
    i: u32,
    label: usize,
    classes: usize,
}

impl<'a, D: Examples, S: Scalar> Example<'a, D, S> {
    /// # Errors
    /// [`Error::Index`] for an example that does not exist, or whose label is none of the classes.
    #[inline(always)]
    pub(super) fn new(
        examples: &'a D,
        loss: Loss,
        h: &'a [S],
        i: u32,
        classes: usize,
    ) -> Result<Self, Error> {
        // What is to be met by numbers has no class.
        let label = match (loss, examples.gives().targets) {
            (Loss::SquaredError, Some(_)) => 0,
            _ => examples.label(i)?,
        };
        if label >= classes {
            return Err(Error::Index {
                what: "class",
                index: label,
                len: classes,
            });
        }
        Ok(Example {
            examples,
            loss,
            h,
            i,
            label,
            classes,
        })
    }

    #[inline(always)]
    fn is_plain(&self) -> bool {
        let given = self.examples.gives();
        self.loss == Loss::CrossEntropy && given.targets.is_none() && !given.weights
    }

    #[inline(always)]
    fn weight<A: Arithmetic>(&self) -> Result<S, Error> {
        self.examples.weight::<A, S>(self.h, self.i)
    }

    #[inline(always)]
    fn target<A: Arithmetic>(&self, class: usize) -> Result<S, Error> {
        self.examples.target::<A, S>(self.h, self.i, class)
    }

    /// The loss of weight 1: `sum_k q_k (s - z_k)`, or half a sum of squares.
    #[inline(always)]
    fn unweighted<A: Arithmetic>(&self, s: S, z: &[S]) -> Result<S, Error> {
        let mut sum = S::ZERO;
        for (k, z) in z.iter().enumerate() {
            let q = self.target::<A>(k)?;
            sum = match self.loss {
                Loss::CrossEntropy => A::mul_add(q, s - *z, sum),
                Loss::SquaredError => {
                    let e = *z - q;
                    A::mul_add(S::from_f32(0.5) * e, e, sum)
                }
            };
        }
        Ok(sum)
    }

    /// The loss.
    #[inline(always)]
    pub(super) fn loss<A: Arithmetic>(&self, s: S, z: &[S]) -> Result<S, Error> {
        if self.is_plain() {
            return Ok(s - z.get(self.label).copied().unwrap_or(S::ZERO));
        }
        Ok(self.weight::<A>()? * self.unweighted::<A>(s, z)?)
    }

    /// Turns the probabilities `d`, or outputs, into `share` of the adjoint of the outputs; returns what the
    /// tangents of the probabilities, or of the outputs, are multiplied by in its R-pass: `l Q share`, or
    /// `l share`.
    #[inline(always)]
    pub(super) fn adjoint<A: Arithmetic>(&self, share: S, d: &mut [S]) -> Result<S, Error> {
        if self.is_plain() {
            if let Some(d) = d.get_mut(self.label) {
                *d -= S::ONE;
            }
            for d in d {
                *d *= share;
            }
            return Ok(share);
        }
        let weight = self.weight::<A>()? * share;
        if self.loss == Loss::SquaredError {
            for (k, d) in d.iter_mut().enumerate() {
                *d = weight * (*d - self.target::<A>(k)?);
            }
            return Ok(weight);
        }
        let mut sum = S::ZERO;
        for k in 0..self.classes {
            sum += self.target::<A>(k)?;
        }
        for (k, d) in d.iter_mut().enumerate() {
            *d = weight * A::mul_add(sum, *d, -self.target::<A>(k)?);
        }
        Ok(weight * sum)
    }

    /// Adds `share` of the derivative by `h`, through target and weight, to `d_h`.
    #[inline(always)]
    pub(super) fn pull<A: Arithmetic>(
        &self,
        share: S,
        s: S,
        z: &[S],
        d_h: &mut [S],
    ) -> Result<(), Error> {
        self.pull_targets::<A>(share, z, d_h, |k, z| {
            Ok(match self.loss {
                Loss::CrossEntropy => s - z,
                Loss::SquaredError => self.target::<A>(k)? - z,
            })
        })?;
        self.pull_weight::<A>(share, d_h, || self.unweighted::<A>(s, z))
    }

    /// The R-pass of [`pull`](Self::pull), from probabilities `p`, or outputs, and the tangents of the outputs to
    /// `M d`.
    #[inline(always)]
    pub(super) fn pull_r<A: Arithmetic>(
        &self,
        share: S,
        p: &[S],
        r_z: &[S],
        m_d: &mut [S],
    ) -> Result<(), Error> {
        if self.is_plain() {
            return Ok(());
        }
        if self.loss == Loss::SquaredError {
            self.pull_targets::<A>(share, r_z, m_d, |_, r_z| Ok(-r_z))?;
            return self.pull_weight::<A>(share, m_d, || {
                let mut sum = S::ZERO;
                for (k, (z, r_z)) in p.iter().zip(r_z).enumerate() {
                    sum = A::mul_add(*z - self.target::<A>(k)?, *r_z, sum);
                }
                Ok(sum)
            });
        }
        let mut r_s = S::ZERO;
        for (p, r_z) in p.iter().zip(r_z) {
            r_s = A::mul_add(*p, *r_z, r_s);
        }
        self.pull::<A>(share, r_s, r_z, m_d)
    }

    /// Through the targets, where these are given: `by` is the derivative by the target of a class of the loss of
    /// weight 1, from its place in `z`.
    #[inline(always)]
    fn pull_targets<A: Arithmetic>(
        &self,
        share: S,
        z: &[S],
        d_h: &mut [S],
        by: impl Fn(usize, S) -> Result<S, Error>,
    ) -> Result<(), Error> {
        if self.examples.gives().targets.is_none() {
            return Ok(());
        }
        let weight = self.weight::<A>()? * share;
        for (k, z) in z.iter().enumerate() {
            let by = Adjoint::Target(k, weight * by(k, *z)?);
            self.examples.pull::<A, S>(self.h, self.i, by, d_h)?;
        }
        Ok(())
    }

    /// Through the weight, where it is given: `by` is the loss of weight 1.
    #[inline(always)]
    fn pull_weight<A: Arithmetic>(
        &self,
        share: S,
        d_h: &mut [S],
        by: impl Fn() -> Result<S, Error>,
    ) -> Result<(), Error> {
        if !self.examples.gives().weights {
            return Ok(());
        }
        let by = Adjoint::Weight(share * by()?);
        self.examples.pull::<A, S>(self.h, self.i, by, d_h)
    }
}
