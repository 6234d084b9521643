//! Examples around examples: each gives one part of them by its own block of `h`, which lies after
//! the inner one's.
//!
//! With inputs `x`, target `q` and weight `l` of the inner examples, of which there are `N`, and `t`
//! the own block:
//!
//! ```text
//! Weighted        l_i <- t_i l_i                            N numbers, raw
//! SoftLabels      q_ik <- t_ik                              N x classes, raw
//! Smoothed        q_ik <- (1 - t) q_ik + t / classes        1, or one for each class of a label
//! LearnedInputs   x_ij <- t_ij                              N x inputs
//! Beside          as they are                               any number, ignored
//! ```
//!
//! Each is affine in its own block, so its pull-back needs no weights: an adjoint `d` of the new part
//! becomes
//!
//! ```text
//! Weighted        d_t_i += d l_i                            d t_i for the inner weight
//! SoftLabels      d_t_ik += d                               nothing
//! Smoothed        d_t += d (1 / classes - q_ik)             d (1 - t) for the inner target
//! LearnedInputs   d_t_ij += d_j                             nothing
//! ```
//!
//! Weights are those of Ren et al. 2018 ("Learning to reweight examples"), learned inputs those of
//! Maclaurin et al. 2015 ("Gradient-based hyperparameter optimization through reversible learning").
//!
//! Order of arithmetic: a smoothed target is `mul_add(t, 1 / classes - q, q)`: at `t = 0` the inner
//! one's bits.
//!
//! What a loss asks of an example is a few operations each, so it is inlined into the loss's kernel: there
//! a multiply-add is an instruction.
//!
//! Refused: weights that are kept positive, targets that are kept a distribution. A batch's loss is
//! divided by its number of examples, never by the sum of their weights.

use super::examples::{row, row_mut};
use super::{Adjoint, Examples, Given};
use crate::error::{Error, check_len};
use crate::kernels::accumulate::add_rows;
use crate::pieces::copy;
use crate::scalar::{Arithmetic, Scalar};

/// The methods that a wrapper passes on to its inner examples.
macro_rules! pass_on {
    ($($method:ident)*) => { $(pass_on!(@ $method);)* };
    (@ examples) => {
        fn len(&self) -> usize {
            self.inner.len()
        }

        fn inputs(&self) -> usize {
            self.inner.inputs()
        }

        fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
            self.inner.gather::<A, S>(batch, x)
        }

        #[inline(always)]
        fn label(&self, i: u32) -> Result<usize, Error> {
            self.inner.label(i)
        }

        #[inline(always)]
        fn hypers(&self) -> usize {
            self.inner.hypers().saturating_add(self.own())
        }
    };
    (@ inputs_at) => {
        fn sparse(&self) -> Option<f32> {
            self.inner.sparse()
        }

        fn indices(&self, i: u32) -> Result<&[u16], Error> {
            self.inner.indices(i)
        }

        fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
            self.inner.values::<A, S>(i, values)
        }

        fn inputs_at<A: Arithmetic, S: Scalar>(
            &self,
            h: &[S],
            batch: &[u32],
            x: &mut [S],
        ) -> Result<(), Error> {
            self.inner.inputs_at::<A, S>(split(self, &self.inner, h)?.0, batch, x)
        }
    };
    (@ target) => {
        #[inline(always)]
        fn target<A: Arithmetic, S: Scalar>(
            &self,
            h: &[S],
            i: u32,
            class: usize,
        ) -> Result<S, Error> {
            self.inner.target::<A, S>(split(self, &self.inner, h)?.0, i, class)
        }
    };
    (@ weight) => {
        #[inline(always)]
        fn weight<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32) -> Result<S, Error> {
            self.inner.weight::<A, S>(split(self, &self.inner, h)?.0, i)
        }
    };
    (@ visit_blocks) => {
        fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
            self.inner.visit_blocks(visit);
            visit(Self::NAME, self.own());
        }
    };
}

/// The inner and the own part of a wrapper's `h`.
#[inline(always)]
fn split<'h, S>(
    outer: &impl Examples,
    inner: &impl Examples,
    h: &'h [S],
) -> Result<(&'h [S], &'h [S]), Error> {
    check_len("h", h, outer.hypers())?;
    Ok(h.split_at(inner.hypers()))
}

/// The same of its adjoint.
#[inline(always)]
fn split_mut<'h, S>(
    outer: &impl Examples,
    inner: &impl Examples,
    d_h: &'h mut [S],
) -> Result<(&'h mut [S], &'h mut [S]), Error> {
    check_len("d_h", d_h, outer.hypers())?;
    Ok(d_h.split_at_mut(inner.hypers()))
}

/// The number of a table at `index`, one of `what`.
#[inline(always)]
pub(crate) fn number<S: Copy>(what: &'static str, table: &[S], index: usize) -> Result<S, Error> {
    let len = table.len();
    let number = table.get(index);
    number.copied().ok_or(Error::Index { what, index, len })
}

/// Adds `a b` to it.
#[inline(always)]
pub(crate) fn add_to<A: Arithmetic, S: Scalar>(
    what: &'static str,
    table: &mut [S],
    index: usize,
    a: S,
    b: S,
) -> Result<(), Error> {
    let len = table.len();
    let sum = table.get_mut(index);
    let sum = sum.ok_or(Error::Index { what, index, len })?;
    *sum = A::mul_add(a, b, *sum);
    Ok(())
}

/// A weight for each example of the set.
///
/// ```
/// use drmad::{models::{Features, Logistic, Weighted}, objective::{At, Objective}, Fused};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let model = Logistic::<_, Fused>::new(Weighted { inner: data }, 2)?;
/// // The second example counts three times.
/// let at = At { w: &[0.0f64; 4], h: &[1.0, 3.0], batch: &[0, 1] };
/// let (mut g, mut d_h, mut scratch) = ([0.0; 4], [0.0; 2], vec![0.0; model.scratch_len()]);
/// let loss = model.gradient(at, &mut g, Some(&mut d_h), &mut scratch)?;
/// assert!((loss - 2.0 * 2f64.ln()).abs() < 1e-12);
/// assert!((d_h[1] - 0.5 * 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Weighted<D> {
    /// The examples without it.
    pub inner: D,
}

impl<D: Examples> Weighted<D> {
    const NAME: &'static str = "weight";

    #[inline(always)]
    fn own(&self) -> usize {
        self.inner.len()
    }
}

impl<D: Examples> Examples for Weighted<D> {
    pass_on!(examples inputs_at target visit_blocks);

    fn gives(&self) -> Given {
        Given {
            weights: true,
            ..self.inner.gives()
        }
    }

    #[inline(always)]
    fn weight<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32) -> Result<S, Error> {
        let (h, own) = split(self, &self.inner, h)?;
        Ok(number("example", own, i as usize)? * self.inner.weight::<A, S>(h, i)?)
    }

    #[inline(always)]
    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        let (h, own) = split(self, &self.inner, h)?;
        let (d_h, d_own) = split_mut(self, &self.inner, d_h)?;
        let by = match by {
            Adjoint::Weight(d) => {
                let t = number("example", own, i as usize)?;
                let weight = self.inner.weight::<A, S>(h, i)?;
                add_to::<A, S>("example", d_own, i as usize, d, weight)?;
                Adjoint::Weight(d * t)
            }
            other => other,
        };
        self.inner.pull::<A, S>(h, i, by, d_h)
    }
}

/// A target distribution for each example, in place of its label's.
///
/// ```
/// use drmad::{models::{Examples, Features, SoftLabels}, Fused};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let soft = SoftLabels { inner: data, classes: 2 };
/// let h = [0.9f32, 0.1, 0.2, 0.8];
/// assert_eq!((soft.hypers(), soft.target::<Fused, _>(&h, 1, 0)?), (4, 0.2));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SoftLabels<D> {
    /// The examples without it; their labels still tell what is right.
    pub inner: D,
    /// The classes of the model.
    pub classes: usize,
}

impl<D: Examples> SoftLabels<D> {
    const NAME: &'static str = "target";

    #[inline(always)]
    fn own(&self) -> usize {
        self.inner.len().saturating_mul(self.classes)
    }
}

impl<D: Examples> Examples for SoftLabels<D> {
    pass_on!(examples inputs_at weight visit_blocks);

    fn gives(&self) -> Given {
        Given {
            targets: Some(self.classes),
            ..self.inner.gives()
        }
    }

    #[inline(always)]
    fn target<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32, class: usize) -> Result<S, Error> {
        let (_, own) = split(self, &self.inner, h)?;
        number("class", row(own, self.classes, i as usize)?, class)
    }

    #[inline(always)]
    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        let (h, _) = split(self, &self.inner, h)?;
        let (d_h, d_own) = split_mut(self, &self.inner, d_h)?;
        match by {
            Adjoint::Target(class, d) => {
                let d_q = row_mut(d_own, self.classes, i as usize)?;
                add_to::<A, S>("class", d_q, class, d, S::ONE)
            }
            other => self.inner.pull::<A, S>(h, i, other, d_h),
        }
    }
}

/// Targets smoothed towards the uniform distribution.
///
/// ```
/// use drmad::{models::{Examples, Features, Smoothed}, Fused};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let smoothed = Smoothed { inner: data, classes: 2, by_label: false };
/// assert_eq!(smoothed.target::<Fused, _>(&[0.5f32], 0, 0)?, 0.75);
/// assert_eq!(smoothed.target::<Fused, _>(&[0.5f32], 0, 1)?, 0.25);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Smoothed<D> {
    /// The examples without it.
    pub inner: D,
    /// The classes of the model.
    pub classes: usize,
    /// Whether the examples of each label have a hyperparameter of their own.
    pub by_label: bool,
}

impl<D: Examples> Smoothed<D> {
    const NAME: &'static str = "smoothing";

    #[inline(always)]
    fn own(&self) -> usize {
        if self.by_label { self.classes } else { 1 }
    }

    /// The place of example `i` in the own block.
    #[inline(always)]
    fn place(&self, i: u32) -> Result<usize, Error> {
        if self.by_label {
            self.inner.label(i)
        } else {
            Ok(0)
        }
    }

    /// `1 / classes - q`.
    #[inline(always)]
    fn away<S: Scalar>(&self, q: S) -> S {
        S::ONE / S::from_usize(self.classes) - q
    }
}

impl<D: Examples> Examples for Smoothed<D> {
    pass_on!(examples inputs_at weight visit_blocks);

    fn gives(&self) -> Given {
        Given {
            targets: Some(self.classes),
            ..self.inner.gives()
        }
    }

    #[inline(always)]
    fn target<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32, class: usize) -> Result<S, Error> {
        let (h, own) = split(self, &self.inner, h)?;
        let t = number("class", own, self.place(i)?)?;
        let q = self.inner.target::<A, S>(h, i, class)?;
        Ok(A::mul_add(t, self.away(q), q))
    }

    #[inline(always)]
    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        let (h, own) = split(self, &self.inner, h)?;
        let (d_h, d_own) = split_mut(self, &self.inner, d_h)?;
        let by = match by {
            Adjoint::Target(class, d) => {
                let place = self.place(i)?;
                let t = number("class", own, place)?;
                let q = self.inner.target::<A, S>(h, i, class)?;
                add_to::<A, S>("class", d_own, place, d, self.away(q))?;
                Adjoint::Target(class, d * (S::ONE - t))
            }
            other => other,
        };
        self.inner.pull::<A, S>(h, i, by, d_h)
    }
}

/// Inputs that are hyperparameters themselves: learned training data. What the inner examples
/// [gather](Examples::gather) is a place to start from.
///
/// ```
/// use drmad::{models::{Examples, Features, LearnedInputs}, Fused};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let learned = LearnedInputs { inner: data };
/// let mut x = [0.0f32];
/// learned.inputs_at::<Fused, _>(&[0.3, 0.7], &[1], &mut x)?;
/// assert_eq!((learned.hypers(), x[0], learned.label(1)?), (2, 0.7, 1));
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LearnedInputs<D> {
    /// The examples whose labels these inputs have.
    pub inner: D,
}

impl<D: Examples> LearnedInputs<D> {
    const NAME: &'static str = "inputs";

    #[inline(always)]
    fn own(&self) -> usize {
        self.inner.len().saturating_mul(self.inner.inputs())
    }
}

impl<D: Examples> Examples for LearnedInputs<D> {
    pass_on!(examples target weight visit_blocks);

    fn gives(&self) -> Given {
        Given {
            inputs: true,
            ..self.inner.gives()
        }
    }

    fn inputs_at<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        batch: &[u32],
        x: &mut [S],
    ) -> Result<(), Error> {
        let (_, own) = split(self, &self.inner, h)?;
        let width = self.inputs();
        check_len("x", x, batch.len().saturating_mul(width))?;
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(width.max(1))) {
            copy(row(own, width, *i as usize)?, x);
        }
        Ok(())
    }

    #[inline(always)]
    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        let (h, _) = split(self, &self.inner, h)?;
        let (d_h, d_own) = split_mut(self, &self.inner, d_h)?;
        match by {
            Adjoint::Inputs(d_x) => {
                check_len("adjoint of the inputs", d_x, self.inputs())?;
                add_rows(d_x, row_mut(d_own, self.inputs(), i as usize)?);
                Ok(())
            }
            other => self.inner.pull::<A, S>(h, i, other, d_h),
        }
    }
}

/// Examples beside hyperparameters that they ignore: the validation loss of a training on examples
/// that have some.
///
/// ```
/// use drmad::models::{Beside, Examples, Features, Weighted};
/// let data = Features { x: &[1.0, -1.0], labels: &[0, 1], width: 1 };
/// let training = Weighted { inner: data };
/// let validation = Beside { inner: data, hypers: training.hypers() };
/// assert_eq!((validation.hypers(), validation.gives()), (2, data.gives()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Beside<D> {
    /// The examples.
    pub inner: D,
    /// How many numbers of `h`, after the inner ones, they ignore.
    pub hypers: usize,
}

impl<D: Examples> Beside<D> {
    const NAME: &'static str = "ignored";

    #[inline(always)]
    fn own(&self) -> usize {
        self.hypers
    }
}

impl<D: Examples> Examples for Beside<D> {
    pass_on!(examples inputs_at target weight visit_blocks);

    fn gives(&self) -> Given {
        self.inner.gives()
    }

    #[inline(always)]
    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        let (h, _) = split(self, &self.inner, h)?;
        let (d_h, _) = split_mut(self, &self.inner, d_h)?;
        self.inner.pull::<A, S>(h, i, by, d_h)
    }
}
