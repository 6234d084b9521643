//! The softmax loss of one example, and its derivatives by the logits and by the example.
//!
//! With logits `z` less the greatest of them, so that `s - z_k` does not cancel, `s = ln sum exp z`, `p` the
//! softmax, target `q`, weight `l` and `Q = sum_k q_k`:
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
//! so that by the example the second line is the first with `R s` and `R z` in place of `s` and `z`.
//!
//! Order of arithmetic: sums over classes ascend from 0. For the plain target `e_y` of weight 1 it is
//! `s - z_y` and `p`, less 1 at `y`, alone. A sum of targets need not be 1, nor any of them positive.
//!
//! Refused: labels that are none of the classes.

use super::{Adjoint, Examples};
use crate::error::{Error, same};
use crate::scalar::{Arithmetic, Scalar};

/// Refuses a model of other classes than the targets of its examples are for.
pub(super) fn check_classes(examples: &impl Examples, classes: usize) -> Result<(), Error> {
    let want = examples.gives().targets.unwrap_or(classes);
    same("classes of the targets", want, classes)
}

/// One example with its label. Its methods are parts of kernels, to be called within
/// [`run`](crate::kernels::dispatch::run) and compiled with it.
pub(super) struct Example<'a, D, S> {
    examples: &'a D,
    h: &'a [S],
    i: u32,
    label: usize,
    classes: usize,
}

impl<'a, D: Examples, S: Scalar> Example<'a, D, S> {
    /// # Errors
    /// [`Error::Index`] for an example that does not exist, or whose label is none of the classes.
    #[inline(always)]
    pub(super) fn new(examples: &'a D, h: &'a [S], i: u32, classes: usize) -> Result<Self, Error> {
        let label = examples.label(i)?;
        if label >= classes {
            return Err(Error::Index {
                what: "class",
                index: label,
                len: classes,
            });
        }
        Ok(Example {
            examples,
            h,
            i,
            label,
            classes,
        })
    }

    #[inline(always)]
    fn is_plain(&self) -> bool {
        let given = self.examples.gives();
        given.targets.is_none() && !given.weights
    }

    #[inline(always)]
    fn weight<A: Arithmetic>(&self) -> Result<S, Error> {
        self.examples.weight::<A, S>(self.h, self.i)
    }

    #[inline(always)]
    fn target<A: Arithmetic>(&self, class: usize) -> Result<S, Error> {
        self.examples.target::<A, S>(self.h, self.i, class)
    }

    /// `sum_k q_k (s - z_k)`.
    #[inline(always)]
    fn unweighted<A: Arithmetic>(&self, s: S, z: &[S]) -> Result<S, Error> {
        let mut sum = S::ZERO;
        for (k, z) in z.iter().enumerate() {
            sum = A::mul_add(self.target::<A>(k)?, s - *z, sum);
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

    /// Turns the probabilities `d` into `share` of the adjoint of the logits; returns `l Q share`.
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
        let (given, h, i) = (self.examples.gives(), self.h, self.i);
        if given.targets.is_some() {
            let weight = self.weight::<A>()? * share;
            for (k, z) in z.iter().enumerate() {
                let by = Adjoint::Target(k, weight * (s - *z));
                self.examples.pull::<A, S>(h, i, by, d_h)?;
            }
        }
        if given.weights {
            let by = Adjoint::Weight(share * self.unweighted::<A>(s, z)?);
            self.examples.pull::<A, S>(h, i, by, d_h)?;
        }
        Ok(())
    }

    /// The R-pass of [`pull`](Self::pull), from the tangents of the logits to `M d`.
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
        let mut r_s = S::ZERO;
        for (p, r_z) in p.iter().zip(r_z) {
            r_s = A::mul_add(*p, *r_z, r_s);
        }
        self.pull::<A>(share, r_s, r_z, m_d)
    }
}
