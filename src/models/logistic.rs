//! Softmax regression, written the way a user writes an objective: the gradient once, generic over
//! the scalar; the second-order products come from dual numbers.
//!
//! With one example `x` of class `y` and logits `z = x W + b`:
//!
//! ```text
//! L = ln sum_k exp(z_k) - z_y        dL/dz = p - e_y        dL/dW = x' (p - e_y)
//! ```
//!
//! averaged over the batch (`blocks.rs`), with `z` less the greatest; other targets and weights than `e_y` and
//! 1 are the examples' affair, and hyperparameters only they have. It is the reference for [`Mlp`](super::Mlp)
//! without hidden layers, which computes the same with matrix kernels: take that one where speed counts.
//!
//! Refused: no classes, empty batches, and targets for another number of classes.

use core::marker::PhantomData;

use super::blocks::{BLOCK, Sum, check, sums_len};
use super::output_loss::{Example, check_classes};
use super::{Adjoint, Examples};
use crate::error::{Error, check_len, cut};
use crate::kernels::activation::softmax;
use crate::kernels::dispatch::run;
use crate::kernels::reduce::Total;
use crate::network::Loss;
use crate::objective::{At, Objective};
use crate::pieces::{copy, split, split_mut};
use crate::scalar::{Arithmetic, Scalar};

/// Softmax regression on `examples` into `classes`; weights inputs x classes, then biases.
///
/// ```
/// use drmad::{models::{Features, Logistic}, objective::{At, Objective}, Fused};
/// let data = Features { x: &[1.0, 0.0], labels: &[1], width: 2 };
/// let model = Logistic::<_, Fused>::new(data, 2)?;
/// let (mut g, mut scratch) = ([0.0f32; 6], vec![0.0; model.scratch_len()]);
/// let at = At { w: &[0.0; 6], h: &[], batch: &[0] };
/// let loss = model.gradient(at, &mut g, None, &mut scratch)?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// assert_eq!(g, [0.5, -0.5, 0.0, 0.0, 0.5, -0.5]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Logistic<D, A> {
    examples: D,
    classes: usize,
    /// Examples of the largest batch.
    most: usize,
    arithmetic: PhantomData<A>,
}

impl<D: Examples, A: Arithmetic> Logistic<D, A> {
    /// A model of these examples.
    ///
    /// # Errors
    /// [`Error::Range`] where there are no classes, [`Error::Length`] where the examples' targets are
    /// for another number of them.
    pub fn new(examples: D, classes: usize) -> Result<Self, Error> {
        if classes == 0 {
            return Err(Error::Range {
                what: "classes",
                value: 0.0,
                least: 1.0,
                greatest: f64::INFINITY,
            });
        }
        check_classes(&examples, classes)?;
        Ok(Logistic {
            most: examples.len(),
            examples,
            classes,
            arithmetic: PhantomData,
        })
    }

    /// The same for batches of at most so many examples: as
    /// [`Mlp::with_batches_of`](super::Mlp::with_batches_of).
    #[must_use]
    pub fn with_batches_of(self, most: usize) -> Self {
        Logistic { most, ..self }
    }

    /// Numbers of scratch for batches of at most so many examples.
    fn needs(&self, most: usize) -> usize {
        let logits = self.classes.saturating_mul(2);
        let sums = self.weights().saturating_add(self.hypers());
        (self.examples.inputs().saturating_add(logits)).saturating_add(sums_len(most, sums))
    }
}

impl<D: Examples, A: Arithmetic> Objective for Logistic<D, A> {
    type Arithmetic = A;

    fn weights(&self) -> usize {
        let inputs = self.examples.inputs().saturating_add(1);
        inputs.saturating_mul(self.classes)
    }

    fn hypers(&self) -> usize {
        self.examples.hypers()
    }

    fn scratch_len(&self) -> usize {
        self.needs(self.most)
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        scratch: &mut [S],
    ) -> Result<S, Error> {
        run(
            #[inline(always)]
            move || self.evaluate(at, g, d_h, scratch),
        )
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.examples.visit_blocks(visit);
    }
}

impl<D: Examples, A: Arithmetic> Logistic<D, A> {
    /// The gradient, compiled for the level that it is called on.
    #[inline(always)]
    fn evaluate<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        mut d_h: Option<&mut [S]>,
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        check_len("g", g, self.weights())?;
        if let Some(d_h) = &mut d_h {
            check_len("d_h", d_h, self.hypers())?;
            d_h.fill(S::ZERO);
        }
        if at.batch.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let count = at.batch.len();
        check(scratch.len(), self.needs(count))?;
        let x = cut("scratch", &mut scratch, self.examples.inputs())?;
        let z = cut("scratch", &mut scratch, self.classes)?;
        let d = cut("scratch", &mut scratch, self.classes)?;
        let classes = self.classes.max(1);
        let (matrix, biases) = split(at.w, x.len() * classes);
        let share = S::ONE / S::from_usize(count);
        let (mut loss, mut log_sum) = (Total::default(), S::ZERO);
        g.fill(S::ZERO);
        let mut g = Sum::new(g, count, &mut scratch)?;
        let mut d_h = match d_h {
            Some(d_h) => Some(Sum::new(d_h, count, &mut scratch)?),
            None => None,
        };
        for block in at.batch.chunks(BLOCK) {
            for i in block {
                let example =
                    Example::new(&self.examples, Loss::CrossEntropy, at.h, *i, self.classes)?;
                let i_alone = core::slice::from_ref(i);
                if self.examples.gives().inputs {
                    self.examples.inputs_at::<A, S>(at.h, i_alone, x)?;
                } else {
                    self.examples.gather::<A, S>(i_alone, x)?;
                }
                copy(biases, z);
                for (x, row) in x.iter().zip(matrix.chunks_exact(classes)) {
                    for (z, w) in z.iter_mut().zip(row) {
                        *z = A::mul_add(*x, *w, *z);
                    }
                }
                softmax::<A, S>(classes, z, d, core::slice::from_mut(&mut log_sum));
                loss.add(example.loss::<A>(log_sum, z)?);
                if let Some(d_h) = &mut d_h {
                    example.pull::<A>(share, log_sum, z, d_h.here())?;
                }
                example.adjoint::<A>(share, d)?;
                let (g_matrix, g_biases) = split_mut(g.here(), x.len() * classes);
                for (x, row) in x.iter().zip(g_matrix.chunks_exact_mut(classes)) {
                    for (g, d) in row.iter_mut().zip(d.iter()) {
                        *g = A::mul_add(*x, *d, *g);
                    }
                }
                for (g, d) in g_biases.iter_mut().zip(d.iter()) {
                    *g += *d;
                }
                if let (Some(d_h), true) = (&mut d_h, self.examples.gives().inputs) {
                    // The inputs have served: their adjoint takes their place.
                    for (x, row) in x.iter_mut().zip(matrix.chunks_exact(classes)) {
                        *x = row
                            .iter()
                            .zip(d.iter())
                            .fold(S::ZERO, |sum, (w, d)| A::mul_add(*w, *d, sum));
                    }
                    let by = Adjoint::Inputs(x);
                    self.examples.pull::<A, S>(at.h, *i, by, d_h.here())?;
                }
            }
            for sum in d_h.iter_mut().chain([&mut g]) {
                sum.close();
            }
        }
        g.finish();
        if let Some(d_h) = d_h {
            d_h.finish();
        }
        Ok(loss.value() * share)
    }
}
