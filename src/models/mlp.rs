//! A [network](crate::network) of any depth, and its hand-written R-operator.
//!
//! Dense layer `l` has weights `W_l` (inputs x outputs) and biases `b_l`; `a_0` are the inputs,
//! `n` the size of the batch, `p` the softmax of the last layer. With tanh and cross-entropy:
//!
//! ```text
//! z_l = a_{l-1} W_l + b_l       a_l = tanh(z_l)            L = mean(ln sum exp z - z_y)
//! d_L = (p - e_y) / n           d_{l-1} = (d_l W_l') (1 - a_{l-1}^2)
//! grad W_l = a_{l-1}' d_l       grad b_l = sum of the rows of d_l
//! ```
//!
//! The products `H d` come from differentiating all of this once along the direction `R w = d`
//! (Pearlmutter 1994), where `R a_0 = 0`:
//!
//! ```text
//! R z_l = R a_{l-1} W_l + a_{l-1} R W_l + R b_l            R a_l = (1 - a_l^2) R z_l
//! R d_L = p (R z - sum p R z) / n
//! R d_{l-1} = (R d_l W_l' + d_l R W_l') (1 - a^2) - 2 a R a (d_l W_l')
//! R grad W_l = R a_{l-1}' d_l + a_{l-1}' R d_l
//! ```
//!
//! Another activation has another slope in place of `1 - a^2`, and another bend in place of `-2 a`: those of
//! ReLU are 1 or 0, and 0. Another loss has another `d_L` (`output_loss.rs`).
//!
//! [`Examples`] with hyperparameters lend theirs to the network. Other targets and weights
//! than `e_y` and 1 change `d_L` and `R d_L` alone (`output_loss.rs`); inputs that are learned have
//! adjoints like any layer's, but for the activation:
//!
//! ```text
//! grad a_0 = d_1 W_1'           R grad a_0 = R d_1 W_1' + d_1 R W_1'
//! ```
//!
//! Examples that come as [sparse](Examples::sparse) rows `p` of inputs `a_0 = p - m` spare the first
//! layer most of its work (`kernels/sparse.rs`): what is zero is left out, and the mean moves into the
//! biases,
//!
//! ```text
//! a_0 W_1 + b_1 = p W_1 + (b_1 - m sum_i W_1i)             grad W_1i = p_i' d_1 - m grad b_1
//! ```
//!
//! Order of arithmetic: means are products by `1 / n`, rounded. A sum over inputs begins with the bias and
//! ascends. The losses `ln sum exp (z - max) - (z_y - max)`, in which nothing cancels, are summed by a [`Total`];
//! a gradient's sum over the batch ascends inside blocks of [`BLOCK`] examples, whose sums are compensated
//! (`blocks.rs`, with the bound). A block is worked through in pieces of `microbatch` examples that go on adding to the
//! same accumulators: for loss and gradient the size of a piece is a matter of memory and changes no bit. `H d` has two sums in one
//! accumulator, `R a' d` after `a' R d` of each piece, so there a block of more than one piece is
//! another order, and `microbatch` part of the numerics. Sparse rows have the order of `kernels/sparse.rs`;
//! the mean's part of a gradient comes after the whole batch, that of `H d` after each piece.
//!
//! Refused: what [`network`](crate::network) refuses.

use core::marker::PhantomData;

use super::blocks::{BLOCK, Sum, check, sums_len};
use super::output_loss::{Example, check_classes};
use super::{Adjoint, Examples};
use crate::error::{Error, check_equal, check_len, cut};
use crate::group::Layout;
use crate::kernels::accumulate::{add_rows, add_to_rows, repeat, scale_rows};
use crate::kernels::activation::{softmax, softmax_r};
use crate::kernels::dispatch::run;
use crate::kernels::matmul::{Form, MatMul};
use crate::kernels::reduce::Total;
use crate::kernels::sparse::{Row, outer, product, shifted};
use crate::layers::{Activation, Dense};
use crate::memory::greater;
use crate::network::{Loss, Network};
use crate::objective::{
    At, Directions, Objective, Products, dual_scratch_len, tangents_by_dual_numbers,
};
use crate::pieces::{copy, part, piece, piece_mut, split, split_mut};
use crate::scalar::{Arithmetic, Scalar};

/// A network on examples.
///
/// ```
/// use drmad::models::{Features, Mlp};
/// use drmad::objective::{At, Objective};
/// use drmad::Fused;
///
/// let data = Features { x: &[1.0, 0.0, 0.0, 1.0], labels: &[0, 1], width: 2 };
/// let net = Mlp::<_, Fused>::new(data, &[2, 3, 2], 2)?;
/// let (w, mut scratch) = (vec![0.0f32; net.weights()], vec![0.0; net.loss_scratch_len()]);
/// let loss = net.loss(At { w: &w, h: &[], batch: &[0, 1] }, &mut scratch)?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mlp<'a, D, A> {
    examples: D,
    layout: Layout<'a>,
    loss: Loss,
    microbatch: usize,
    /// Examples of the largest batch.
    most: usize,
    arithmetic: PhantomData<A>,
}

/// How the first layer reads its examples, as far as the scratch depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// In full: [`Examples::gather`].
    Gathered,
    /// By [`Examples::sparse`] rows.
    Sparse,
    /// The examples [give](Examples::gives) them, as a function of hyperparameters.
    Given,
}

/// What the scratch of an [`Mlp`] depends on: for static buffers, whose sizes the compiler must know.
///
/// ```
/// use drmad::{group::Layout, models::{Inputs, Pass}};
/// const PASS: Pass = Pass { layout: Layout::Layers(&[784, 10]), microbatch: 4, inputs: Inputs::Sparse };
/// static SCRATCH: [f32; PASS.second_order_scratch_len()] = [0.0; PASS.second_order_scratch_len()];
/// assert_eq!((PASS.weights(), SCRATCH.len()), (7850, 3394));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass<'a> {
    /// Where its weights lie.
    pub layout: Layout<'a>,
    /// Examples in a piece of a batch.
    pub microbatch: usize,
    /// How it reads them.
    pub inputs: Inputs,
}

impl Pass<'_> {
    /// The number `P` of its weights.
    pub const fn weights(&self) -> usize {
        self.layout.weights()
    }

    /// [`Objective::scratch_len`] of the network, for batches of at most [`BLOCK`] examples.
    pub const fn scratch_len(&self) -> usize {
        let widest = self.widest().saturating_mul(2);
        let each = self.sum(0).saturating_add(widest).saturating_add(2);
        (self.microbatch.saturating_mul(each)).saturating_add(self.packed_len())
    }

    /// [`Objective::second_order_scratch_len`] of the network, likewise, which is no less.
    pub const fn second_order_scratch_len(&self) -> usize {
        let each = self.sum(1).saturating_add(self.widest().saturating_mul(2));
        (self.scratch_len()).saturating_add(self.microbatch.saturating_mul(each))
    }

    /// What both need more where a batch may have `most` examples and these have so many hyperparameters, with
    /// `vectors` 1 for the gradient and 2 for the second order; nothing up to [`BLOCK`].
    ///
    /// ```
    /// use drmad::{group::Layout, models::{BLOCK, Inputs, Pass}};
    /// const PASS: Pass = Pass { layout: Layout::Layers(&[2, 3]), microbatch: 4, inputs: Inputs::Gathered };
    /// assert_eq!(PASS.sums_len(BLOCK, 2, 0), 0);
    /// assert_eq!(PASS.sums_len(BLOCK + 1, 2, 0), 2 * 2 * PASS.weights());
    /// ```
    pub const fn sums_len(&self, most: usize, vectors: usize, hypers: usize) -> usize {
        let numbers = self.weights().saturating_mul(vectors);
        sums_len(most, numbers.saturating_add(hypers))
    }

    /// The sum of the units from `l` on, the inputs being those of 0.
    const fn sum(&self, l: usize) -> usize {
        let mut sum = if l == 0 { self.layout.inputs() } else { 0 };
        let mut i = l.saturating_sub(1);
        while let Some(layer) = self.layout.dense(i) {
            (sum, i) = (sum.saturating_add(layer.outputs), i + 1);
        }
        sum
    }

    /// The widest adjoint there is: of a layer's outputs, and of the inputs where they have one.
    const fn widest(&self) -> usize {
        let mut widest = if matches!(self.inputs, Inputs::Given) {
            self.layout.inputs()
        } else {
            0
        };
        let mut l = 0;
        while let Some(layer) = self.layout.dense(l) {
            (widest, l) = (greater(widest, layer.outputs), l + 1);
        }
        widest
    }

    /// What the products of all layers pack their second operand into.
    const fn packed_len(&self) -> usize {
        let (mut l, mut len) = (0, 0);
        while let Some(layer) = self.layout.dense(l) {
            let packed = match (l, self.inputs) {
                // A row that is subtracted from others, or what they begin with.
                (0, Inputs::Sparse) => layer.outputs,
                // No adjoint goes to the inputs of the first layer, unless they are learned.
                (0, Inputs::Gathered) => self.products(layer, false),
                _ => self.products(layer, true),
            };
            (len, l) = (greater(len, packed), l + 1);
        }
        len
    }

    /// What the products of a layer pack into, those that lead back to its inputs or not.
    const fn products(&self, dense: Dense, back: bool) -> usize {
        let layer = Layer {
            dense,
            before_it: Activation::Identity,
            start: 0,
            before: 0,
        };
        let forward = layer
            .product(Form::Nn, self.microbatch, false)
            .required_len();
        let gradient = layer
            .product(Form::Tn, self.microbatch, false)
            .required_len();
        let there = greater(forward, gradient);
        if back {
            greater(
                there,
                layer
                    .product(Form::Nt, self.microbatch, false)
                    .required_len(),
            )
        } else {
            there
        }
    }
}

/// A layer's place in the network.
#[derive(Clone, Copy)]
struct Layer {
    dense: Dense,
    /// What its inputs come from; nothing of the first.
    before_it: Activation,
    /// Its first weight.
    start: usize,
    /// Its inputs' place in the scratch of activations, for one example.
    before: usize,
}

impl core::ops::Deref for Layer {
    type Target = Dense;

    fn deref(&self) -> &Dense {
        &self.dense
    }
}

impl Layer {
    /// Its weight matrix and its biases in a vector of weights.
    fn of<'s, S>(&self, w: &'s [S]) -> (&'s [S], &'s [S]) {
        let layer = piece(w, self.start, (self.inputs + 1) * self.outputs);
        split(layer, self.inputs * self.outputs)
    }

    fn of_mut<'s, S>(&self, w: &'s mut [S]) -> (&'s mut [S], &'s mut [S]) {
        let layer = piece_mut(w, self.start, (self.inputs + 1) * self.outputs);
        split_mut(layer, self.inputs * self.outputs)
    }

    /// Where its inputs and its outputs lie in the activations of `n` examples.
    fn activations<'s, S>(&self, a: &'s mut [S], n: usize) -> (&'s mut [S], &'s mut [S]) {
        let both = piece_mut(a, n * self.before, n * (self.inputs + self.outputs));
        split_mut(both, n * self.inputs)
    }

    const fn product(&self, form: Form, n: usize, accumulate: bool) -> MatMul {
        let Dense {
            inputs, outputs, ..
        } = self.dense;
        let (rows, inner, columns) = match form {
            Form::Nn => (n, inputs, outputs),
            Form::Tn => (inputs, n, outputs),
            Form::Nt => (n, outputs, inputs),
        };
        MatMul {
            form,
            rows,
            inner,
            columns,
            accumulate,
        }
    }
}

/// Scratch of one pass over at most `microbatch` examples.
struct Parts<'s, S> {
    /// Inputs, then each layer's outputs; the last layer's are the probabilities.
    a: &'s mut [S],
    /// Adjoints of a layer's outputs, and of its inputs. Before there are any, the logits less the greatest.
    d: &'s mut [S],
    d_before: &'s mut [S],
    /// `ln sum exp z` of each example, of its logits less the greatest.
    log_sums: &'s mut [S],
    /// What each example's probabilities count in the adjoint of its logits.
    shares: &'s mut [S],
    packed: &'s mut [S],
}

/// Refuses a number below another.
fn check_at_least(what: &'static str, value: usize, least: usize) -> Result<(), Error> {
    if value >= least {
        return Ok(());
    }
    Err(Error::Range {
        what,
        value: value as f64,
        least: least as f64,
        greatest: f64::INFINITY,
    })
}

impl<'a, D: Examples, A: Arithmetic> Mlp<'a, D, A> {
    /// A tanh network of these widths (inputs, hidden ..., classes) with cross-entropy on `examples`, worked
    /// through in pieces of `microbatch` examples.
    ///
    /// # Errors
    /// [`Error::Range`] for less than two widths, a width or a microbatch of 0; [`Error::Length`] where the
    /// first width is not that of the examples, or the last not that of their targets.
    pub fn new(examples: D, widths: &'a [usize], microbatch: usize) -> Result<Self, Error> {
        check_at_least("number of widths", widths.len(), 2)?;
        check_at_least("width", widths.iter().copied().min().unwrap_or(0), 1)?;
        Self::laid_out(
            examples,
            Layout::Layers(widths),
            Loss::CrossEntropy,
            microbatch,
        )
    }

    /// The same of any network.
    ///
    /// ```
    /// use drmad::{layers::Layer::*, models::{Features, Mlp}, network::{Loss, Network}, objective::Objective, Fused};
    /// let network = Network { inputs: 2, layers: &[Dense(3), Relu, Dense(1)], loss: Loss::SquaredError };
    /// let data = Features { x: &[1.0, 0.0, 0.0, 1.0], labels: &[0, 0], width: 2 };
    /// assert_eq!(Mlp::<_, Fused>::of(network, data, 2)?.weights(), 13);
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new), and those of [`Network::check`].
    pub fn of(network: Network<'a>, examples: D, microbatch: usize) -> Result<Self, Error> {
        network.check()?;
        Self::laid_out(examples, network.layout(), network.loss, microbatch)
    }

    fn laid_out(
        examples: D,
        layout: Layout<'a>,
        loss: Loss,
        microbatch: usize,
    ) -> Result<Self, Error> {
        check_at_least("microbatch", microbatch, 1)?;
        check_equal(
            "inputs of the first layer",
            examples.inputs(),
            layout.inputs(),
        )?;
        check_classes(&examples, layout.outputs())?;
        Ok(Mlp {
            most: examples.len(),
            examples,
            layout,
            loss,
            microbatch,
            arithmetic: PhantomData,
        })
    }

    /// The same for batches of at most so many examples, in place of as many as there are: what its
    /// scratch is for. Batches of more than [`BLOCK`] take some, for what they sum up;
    /// batches of more than this are refused for want of scratch if they do.
    ///
    /// ```
    /// use drmad::{models::{BLOCK, Features, Mlp}, objective::Objective, Fused};
    /// let (x, labels) = ([0.0; 2 * BLOCK], [0; 2 * BLOCK]);
    /// let all = Mlp::<_, Fused>::new(Features { x: &x, labels: &labels, width: 1 }, &[1, 2], 50)?;
    /// let minibatches = all.with_batches_of(50);
    /// // Two numbers for each of the four weights.
    /// assert_eq!(all.scratch_len() - minibatches.scratch_len(), 8);
    /// # Ok::<(), drmad::Error>(())
    /// ```
    #[must_use]
    pub fn with_batches_of(self, most: usize) -> Self {
        Mlp { most, ..self }
    }

    /// Numbers of scratch, of which `own` are the network's, for `vectors` sums of the weights' length and one
    /// of the hyperparameters' over a batch.
    fn needs(&self, own: usize, batch: usize, vectors: usize) -> usize {
        let sums = self.pass().sums_len(batch, vectors, self.hypers());
        own.saturating_add(sums)
    }

    /// Its examples.
    pub const fn examples(&self) -> &D {
        &self.examples
    }

    /// Where its weights lie.
    pub const fn layout(&self) -> Layout<'a> {
        self.layout
    }

    /// Probabilities (batch x classes) of the examples of a batch of at most `microbatch`; with squared error the
    /// outputs.
    ///
    /// # Errors
    /// [`Error::Length`] for a buffer of another length or a larger batch, and where the inputs are
    /// hyperparameters: there are none here.
    pub fn predict<S: Scalar>(
        &self,
        w: &[S],
        batch: &[u32],
        probabilities: &mut [S],
        mut scratch: &mut [S],
    ) -> Result<(), Error> {
        check_len("w", w, self.weights())?;
        let want = batch.len().saturating_mul(self.classes());
        check_len("probabilities", probabilities, want)?;
        if batch.len() > self.microbatch {
            return Err(Error::Length {
                what: "batch",
                want: self.microbatch,
                got: batch.len(),
            });
        }
        let mut parts = self.cut(1, &mut scratch)?;
        self.forward(w, &[], batch, &mut parts)?;
        let last = batch.len() * (self.units() - self.classes());
        copy(piece(parts.a, last, probabilities.len()), probabilities);
        Ok(())
    }

    fn inputs(&self) -> usize {
        self.layout.inputs()
    }

    fn classes(&self) -> usize {
        self.layout.outputs()
    }

    /// Inputs and outputs of all layers.
    fn units(&self) -> usize {
        self.pass().sum(0)
    }

    fn layers(&self) -> impl DoubleEndedIterator<Item = Layer> + ExactSizeIterator + use<'a, D, A> {
        let layout = self.layout;
        let mut depth = 0;
        while layout.dense(depth).is_some() {
            depth += 1;
        }
        let dense = move |l| {
            layout.dense(l).unwrap_or(Dense {
                inputs: 0,
                outputs: 0,
                activation: Activation::Identity,
            })
        };
        (0..depth).map(move |l: usize| Layer {
            dense: dense(l),
            before_it: match l.checked_sub(1) {
                Some(before) => dense(before).activation,
                None => Activation::Identity,
            },
            start: layout.weights_before(l),
            before: (0..l).filter_map(|l| Some(layout.dense(l)?.inputs)).sum(),
        })
    }

    /// What its scratch depends on.
    fn pass(&self) -> Pass<'a> {
        let inputs = match (self.examples.gives().inputs, self.examples.sparse()) {
            (true, _) => Inputs::Given,
            (false, Some(_)) => Inputs::Sparse,
            (false, None) => Inputs::Gathered,
        };
        Pass {
            layout: self.layout,
            microbatch: self.microbatch,
            inputs,
        }
    }

    /// Cuts the scratch; `adjoints` are 2 where they have tangents, which then follow them.
    fn cut<'s, S>(
        &self,
        adjoints: usize,
        scratch: &mut &'s mut [S],
    ) -> Result<Parts<'s, S>, Error> {
        let (n, pass) = (self.microbatch, self.pass());
        let widest = n.saturating_mul(adjoints).saturating_mul(pass.widest());
        Ok(Parts {
            a: cut("scratch", scratch, n.saturating_mul(pass.sum(0)))?,
            d: cut("scratch", scratch, widest)?,
            d_before: cut("scratch", scratch, widest)?,
            log_sums: cut("scratch", scratch, n)?,
            shares: cut("scratch", scratch, n)?,
            packed: cut("scratch", scratch, pass.packed_len())?,
        })
    }

    /// The mean of a layer's inputs, where these are sparse rows.
    fn mean_of(&self, layer: &Layer) -> Option<f32> {
        let rows = layer.start == 0 && !self.examples.gives().inputs;
        self.examples.sparse().filter(|_| rows)
    }

    /// The sparse rows of a piece, whose values are `x`, each with its row of `y`.
    fn rows<'s, S, Y>(
        &'s self,
        piece: &'s [u32],
        x: &'s [S],
        y: impl Iterator<Item = Y> + 's,
    ) -> impl Iterator<Item = Result<(Row<'s, S>, Y), Error>> + 's {
        let values = x.chunks_exact(self.inputs().max(1));
        piece.iter().zip(values).zip(y).map(|((i, values), y)| {
            let indices = self.examples.indices(*i)?;
            Ok((Row { indices, values }, y))
        })
    }

    /// `z = x W + b` of a layer, for a piece of a batch.
    fn affine<S: Scalar>(
        &self,
        layer: &Layer,
        w: &[S],
        piece: &[u32],
        x: &[S],
        z: &mut [S],
        packed: &mut [S],
    ) -> Result<(), Error> {
        let (matrix, biases) = layer.of(w);
        if let Some(mean) = self.mean_of(layer) {
            let start = piece_mut(packed, 0, layer.outputs);
            shifted::<A, S>(S::from_f32(mean), matrix, biases, start);
            repeat(start, z);
            for row in self.rows(piece, x, z.chunks_exact_mut(layer.outputs.max(1))) {
                let (x, z) = row?;
                product::<A, S>(x, matrix, z);
            }
            return Ok(());
        }
        repeat(biases, z);
        let product = layer.product(Form::Nn, piece.len(), true);
        product.run::<A, S>(x, matrix, z, packed)
    }

    /// Adds `x' d` and the rows of `d` to a layer's matrix and biases in `g`. Of sparse rows
    /// this is `p' d`: the mean's part is left to [`subtract_mean`](Self::subtract_mean).
    fn add_gradient<S: Scalar>(
        &self,
        layer: &Layer,
        piece: &[u32],
        x: &[S],
        d: &[S],
        g: &mut [S],
        packed: &mut [S],
    ) -> Result<(), Error> {
        let (matrix, biases) = layer.of_mut(g);
        add_rows(d, biases);
        if self.mean_of(layer).is_some() {
            for row in self.rows(piece, x, d.chunks_exact(layer.outputs.max(1))) {
                let (x, d) = row?;
                outer::<A, S>(x, d, matrix);
            }
            return Ok(());
        }
        let product = layer.product(Form::Tn, piece.len(), true);
        product.run::<A, S>(x, d, matrix, packed)
    }

    /// The mean's part of a gradient by the first layer's matrix: its gradient by the biases.
    fn subtract_mean<S: Scalar>(&self, g: &mut [S]) {
        for layer in self.layers().take(1) {
            if let Some(mean) = self.mean_of(&layer) {
                let (matrix, biases) = layer.of_mut(g);
                add_to_rows::<A, S>(S::from_f32(-mean), biases, matrix);
            }
        }
    }

    /// Fills the activations of a piece of a batch; leaves its logits, less the greatest, in `d`.
    fn forward<S: Scalar>(
        &self,
        w: &[S],
        h: &[S],
        piece: &[u32],
        parts: &mut Parts<'_, S>,
    ) -> Result<(), Error> {
        let n = piece.len();
        let depth = self.layers().len();
        let x = piece_mut(parts.a, 0, n * self.inputs());
        if self.examples.gives().inputs {
            self.examples.inputs_at::<A, S>(h, piece, x)?;
        } else if self.examples.sparse().is_some() {
            for (i, x) in piece.iter().zip(x.chunks_exact_mut(self.inputs().max(1))) {
                self.examples.values::<A, S>(*i, x)?;
            }
        } else {
            self.examples.gather::<A, S>(piece, x)?;
        }
        for (l, layer) in self.layers().enumerate() {
            let (x, z) = layer.activations(parts.a, n);
            self.affine(&layer, w, piece, x, z, parts.packed)?;
            layer.activation.run::<A, S>(z);
            if l + 1 == depth {
                copy(z, parts.d);
                let (logits, sums) = (
                    piece_mut(parts.d, 0, z.len()),
                    piece_mut(parts.log_sums, 0, n),
                );
                match self.loss {
                    Loss::CrossEntropy => softmax::<A, S>(layer.outputs, logits, z, sums),
                    Loss::SquaredError => {}
                }
            }
        }
        Ok(())
    }

    /// Example `i` at these hyperparameters.
    #[inline(always)]
    fn example<'s, S: Scalar>(&'s self, h: &'s [S], i: u32) -> Result<Example<'s, D, S>, Error> {
        Example::new(&self.examples, self.loss, h, i, self.classes())
    }

    /// Adds the losses of a piece after [`forward`](Self::forward) to `loss`.
    fn add_losses<S: Scalar>(
        &self,
        h: &[S],
        piece: &[u32],
        parts: &Parts<'_, S>,
        loss: &mut Total<S>,
    ) -> Result<(), Error> {
        let classes = self.classes();
        let (d, log_sums) = (&*parts.d, &*parts.log_sums);
        run(
            #[inline(always)]
            move || {
                let logits = d.chunks_exact(classes.max(1));
                for ((i, log_sum), z) in piece.iter().zip(log_sums).zip(logits) {
                    let example = self.example(h, *i)?;
                    loss.add(example.loss::<A>(*log_sum, z)?);
                }
                Ok(())
            },
        )
    }

    /// Puts the adjoint of the logits in their place, `(p - e_y) share` for plain examples, and adds
    /// to `d_h`, where wanted, the derivative through targets and weights.
    fn logits<S: Scalar>(
        &self,
        h: &[S],
        piece: &[u32],
        share: S,
        parts: &mut Parts<'_, S>,
        mut d_h: Option<&mut [S]>,
    ) -> Result<(), Error> {
        let classes = self.classes();
        let first = piece.len() * (self.units() - classes);
        let classes = classes.max(1);
        let (logits, shares) = (&mut *parts.d, &mut *parts.shares);
        let (probabilities, log_sums) = (split(parts.a, first).1, &*parts.log_sums);
        run(
            #[inline(always)]
            move || {
                let rows = logits
                    .chunks_exact_mut(classes)
                    .zip(probabilities.chunks_exact(classes));
                let sums = log_sums.iter().zip(shares);
                for ((i, (d, p)), (log_sum, own)) in piece.iter().zip(rows).zip(sums) {
                    let example = self.example(h, *i)?;
                    if let Some(d_h) = &mut d_h {
                        example.pull::<A>(share, *log_sum, d, d_h)?;
                    }
                    copy(p, d);
                    *own = example.adjoint::<A>(share, d)?;
                }
                Ok(())
            },
        )
    }

    /// Cuts the tangents of the outputs of all layers; those of the inputs vanish.
    fn cut_tangents<'s, S>(&self, scratch: &mut &'s mut [S]) -> Result<&'s mut [S], Error> {
        let hidden = self.units() - self.inputs();
        cut("scratch", scratch, self.microbatch.saturating_mul(hidden))
    }

    /// Adds to `d_h` the derivative through the inputs of a piece, from their adjoints.
    fn pull_inputs<S: Scalar>(
        &self,
        h: &[S],
        piece: &[u32],
        d_x: &[S],
        d_h: &mut [S],
    ) -> Result<(), Error> {
        for (i, d_x) in piece.iter().zip(d_x.chunks_exact(self.inputs().max(1))) {
            self.examples
                .pull::<A, S>(h, *i, Adjoint::Inputs(d_x), d_h)?;
        }
        Ok(())
    }

    /// Adds the gradient of a piece of a batch, `at.batch`, to `g`, without the mean's part, and to `d_h` where
    /// it is wanted; adds its losses to `loss`.
    fn gradient_of_piece<S: Scalar>(
        &self,
        at: At<'_, S>,
        share: S,
        g: &mut [S],
        mut d_h: Option<&mut [S]>,
        loss: &mut Total<S>,
        parts: &mut Parts<'_, S>,
    ) -> Result<(), Error> {
        let (piece, n) = (at.batch, at.batch.len());
        self.forward(at.w, at.h, piece, parts)?;
        self.add_losses(at.h, piece, parts, loss)?;
        self.logits(at.h, piece, share, parts, d_h.as_deref_mut())?;
        for layer in self.layers().rev() {
            let d = piece_mut(parts.d, 0, n * layer.outputs);
            let (a, _) = layer.activations(parts.a, n);
            self.add_gradient(&layer, piece, a, d, g, parts.packed)?;
            let before = &mut parts.d_before;
            let back = layer.product(Form::Nt, n, false);
            if layer.start > 0 {
                let before = piece_mut(before, 0, n * layer.inputs);
                back.run::<A, S>(d, layer.of(at.w).0, before, parts.packed)?;
                layer.before_it.adjoint::<A, S>(a, before);
                core::mem::swap(&mut parts.d, &mut parts.d_before);
            } else if let (Some(d_h), true) = (&mut d_h, self.examples.gives().inputs) {
                let before = piece_mut(before, 0, n * layer.inputs);
                back.run::<A, S>(d, layer.of(at.w).0, before, parts.packed)?;
                self.pull_inputs(at.h, piece, before, d_h)?;
            }
        }
        Ok(())
    }

    /// The R-operator along `d` on the activations of a piece of a batch, `at.batch`: adds `H d` and
    /// `M d` to what is there, and where it is wanted the gradient without the mean's part.
    fn r_pass<S: Scalar>(
        &self,
        at: At<'_, S>,
        share: S,
        d: &[S],
        out: Products<'_, S>,
        parts: &mut Parts<'_, S>,
        r_a: &mut [S],
    ) -> Result<(), Error> {
        let (r_w, h_d, mut g) = (d, out.h_d, out.g);
        let (n, inputs, depth) = (at.batch.len(), self.inputs(), self.layers().len());
        self.logits(at.h, at.batch, share, parts, None)?;
        // Where `R a` of a layer's inputs lies; the first layer's vanish and are not stored.
        let tangents = |layer: &Layer| {
            let end = n * (layer.before + layer.inputs - inputs);
            end.saturating_sub(n * layer.inputs)..end
        };
        for (l, layer) in self.layers().enumerate() {
            let here = tangents(&layer);
            let (r_x, r_z) = split_mut(r_a, here.end);
            let (r_x, r_z) = (
                split(r_x, here.start).1,
                piece_mut(r_z, 0, n * layer.outputs),
            );
            let (x, y) = layer.activations(parts.a, n);
            self.affine(&layer, r_w, at.batch, x, r_z, parts.packed)?;
            if l > 0 {
                let product = layer.product(Form::Nn, n, true);
                product.run::<A, S>(r_x, layer.of(at.w).0, r_z, parts.packed)?;
            }
            layer.activation.adjoint::<A, S>(y, r_z);
            if l + 1 == depth {
                let classes = layer.outputs.max(1);
                let (p, r_z_before, m_d) = (&*y, &*r_z, &mut *out.m_d);
                run(
                    #[inline(always)]
                    move || {
                        let r_z = r_z_before.chunks_exact(classes);
                        let rows = p.chunks_exact(classes).zip(r_z);
                        for (i, (p, r_z)) in at.batch.iter().zip(rows) {
                            self.example(at.h, *i)?.pull_r::<A>(share, p, r_z, m_d)?;
                        }
                        Ok::<_, Error>(())
                    },
                )?;
                match self.loss {
                    Loss::CrossEntropy => softmax_r::<A, S>(classes, y, r_z),
                    Loss::SquaredError => {}
                }
                let r_d = piece_mut(parts.d, n * classes, n * classes);
                scale_rows(classes, piece(parts.shares, 0, n), r_z, r_d);
            }
        }
        for (l, layer) in self.layers().enumerate().rev() {
            let both = piece(parts.d, 0, 2 * n * layer.outputs);
            let (d, r_d) = split(both, n * layer.outputs);
            let (a, _) = layer.activations(parts.a, n);
            let r_x = part(r_a, tangents(&layer));
            if let Some(g) = &mut g {
                self.add_gradient(&layer, at.batch, a, d, g, parts.packed)?;
            }
            self.add_gradient(&layer, at.batch, a, r_d, h_d, parts.packed)?;
            let h_matrix = layer.of_mut(h_d).0;
            if let Some(mean) = self.mean_of(&layer) {
                let sums = piece_mut(parts.packed, 0, layer.outputs);
                sums.fill(S::ZERO);
                add_rows(r_d, sums);
                add_to_rows::<A, S>(S::from_f32(-mean), sums, h_matrix);
            }
            if l > 0 {
                let product = layer.product(Form::Tn, n, true);
                product.run::<A, S>(r_x, d, h_matrix, parts.packed)?;
            } else if !self.examples.gives().inputs {
                continue;
            }
            let (matrix, r_matrix) = (layer.of(at.w).0, layer.of(r_w).0);
            // `d W'` and `R d W'` are one product of twice the rows.
            let before = piece_mut(parts.d_before, 0, 2 * n * layer.inputs);
            let back = layer.product(Form::Nt, 2 * n, false);
            back.run::<A, S>(both, matrix, before, parts.packed)?;
            let (before, r_before) = split_mut(before, n * layer.inputs);
            let go_on = layer.product(Form::Nt, n, true);
            go_on.run::<A, S>(d, r_matrix, r_before, parts.packed)?;
            if l == 0 {
                self.pull_inputs(at.h, at.batch, r_before, out.m_d)?;
                continue;
            }
            layer.before_it.adjoint_r::<A, S>(a, r_x, before, r_before);
            core::mem::swap(&mut parts.d, &mut parts.d_before);
        }
        Ok(())
    }
}

impl<D: Examples, A: Arithmetic> Objective for Mlp<'_, D, A> {
    type Arithmetic = A;

    fn weights(&self) -> usize {
        self.layout().weights()
    }

    fn hypers(&self) -> usize {
        self.examples.hypers()
    }

    fn scratch_len(&self) -> usize {
        self.needs(self.pass().scratch_len(), self.most, 1)
    }

    fn gradient<S: Scalar>(
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
        let want = self.needs(self.pass().scratch_len(), count, 1);
        check(scratch.len(), want)?;
        let mut parts = self.cut(1, &mut scratch)?;
        let share = S::ONE / S::from_usize(count);
        let mut loss = Total::default();
        g.fill(S::ZERO);
        let mut g = Sum::new(g, count, &mut scratch)?;
        let mut d_h = match d_h {
            Some(d_h) => Some(Sum::new(d_h, count, &mut scratch)?),
            None => None,
        };
        for block in at.batch.chunks(BLOCK) {
            for piece in block.chunks(self.microbatch.max(1)) {
                let d_h = d_h.as_mut().map(Sum::here);
                self.gradient_of_piece(
                    At { batch: piece, ..at },
                    share,
                    g.here(),
                    d_h,
                    &mut loss,
                    &mut parts,
                )?;
            }
            g.close();
            if let Some(d_h) = &mut d_h {
                d_h.close();
            }
        }
        if let Some(d_h) = d_h {
            d_h.finish();
        }
        self.subtract_mean(g.finish());
        Ok(loss.value() * share)
    }

    fn loss_scratch_len(&self) -> usize {
        self.pass().scratch_len()
    }

    fn loss<S: Scalar>(&self, at: At<'_, S>, mut scratch: &mut [S]) -> Result<S, Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        if at.batch.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let mut parts = self.cut(1, &mut scratch)?;
        let mut loss = Total::default();
        for piece in at.batch.chunks(self.microbatch.max(1)) {
            self.forward(at.w, at.h, piece, &mut parts)?;
            self.add_losses(at.h, piece, &parts, &mut loss)?;
        }
        Ok(loss.value() * (S::ONE / S::from_usize(at.batch.len())))
    }

    fn second_order_scratch_len(&self) -> usize {
        self.needs(self.pass().second_order_scratch_len(), self.most, 2)
    }

    fn second_order<S: Scalar>(
        &self,
        at: At<'_, S>,
        d: &[S],
        out: Products<'_, S>,
        mut scratch: &mut [S],
    ) -> Result<(), Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        check_len("d", d, self.weights())?;
        check_len("h_d", out.h_d, self.weights())?;
        check_len("m_d", out.m_d, self.hypers())?;
        if at.batch.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let count = at.batch.len();
        let want = self.needs(self.pass().second_order_scratch_len(), count, 2);
        check(scratch.len(), want)?;
        let mut parts = self.cut(2, &mut scratch)?;
        let r_a = self.cut_tangents(&mut scratch)?;
        let mut g = match out.g {
            Some(g) => {
                check_len("g", g, self.weights())?;
                g.fill(S::ZERO);
                Some(Sum::new(g, count, &mut scratch)?)
            }
            None => None,
        };
        let mut h_d = Sum::new(out.h_d, count, &mut scratch)?;
        let mut m_d = Sum::new(out.m_d, count, &mut scratch)?;
        let share = S::ONE / S::from_usize(count);
        for block in at.batch.chunks(BLOCK) {
            for piece in block.chunks(self.microbatch.max(1)) {
                self.forward(at.w, at.h, piece, &mut parts)?;
                let at = At { batch: piece, ..at };
                let out = Products {
                    g: g.as_mut().map(Sum::here),
                    h_d: h_d.here(),
                    m_d: m_d.here(),
                };
                self.r_pass(at, share, d, out, &mut parts, r_a)?;
            }
            for sum in g.iter_mut().chain([&mut h_d, &mut m_d]) {
                sum.close();
            }
        }
        h_d.finish();
        m_d.finish();
        if let Some(g) = g {
            self.subtract_mean(g.finish());
        }
        Ok(())
    }

    fn tangents_scratch_len(&self, count: usize) -> usize {
        if self.hypers() > 0 {
            return dual_scratch_len(self);
        }
        let vectors = count.saturating_add(1);
        self.needs(self.pass().second_order_scratch_len(), self.most, vectors)
    }

    /// The directions share each piece's activations, unless the examples have hyperparameters.
    fn tangents<S: Scalar>(
        &self,
        at: At<'_, S>,
        along: Directions<'_, S>,
        g: &mut [S],
        g_dot: &mut [S],
        mut scratch: &mut [S],
    ) -> Result<S, Error> {
        if self.hypers() > 0 {
            return tangents_by_dual_numbers(self, at, along, g, g_dot, scratch);
        }
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, 0)?;
        along.check(self, g, g_dot)?;
        if along.count == 0 {
            return self.gradient(at, g, None, scratch);
        }
        if at.batch.is_empty() {
            return Err(Error::EmptyBatch);
        }
        g.fill(S::ZERO);
        g_dot.fill(S::ZERO);
        let (count, vectors) = (at.batch.len(), along.count.saturating_add(1));
        let want = self.needs(self.pass().second_order_scratch_len(), count, vectors);
        check(scratch.len(), want)?;
        let mut parts = self.cut(2, &mut scratch)?;
        let r_a = self.cut_tangents(&mut scratch)?;
        let mut g = Sum::new(g, count, &mut scratch)?;
        let mut g_dot = Sum::new(g_dot, count, &mut scratch)?;
        let share = S::ONE / S::from_usize(count);
        let mut loss = Total::default();
        for block in at.batch.chunks(BLOCK) {
            for piece in block.chunks(self.microbatch.max(1)) {
                self.forward(at.w, at.h, piece, &mut parts)?;
                self.add_losses(at.h, piece, &parts, &mut loss)?;
                let rows = g_dot.here().chunks_exact_mut(self.weights().max(1));
                for (k, ((w_dot, _), g_dot)) in along.rows().zip(rows).enumerate() {
                    let at = At { batch: piece, ..at };
                    let out = Products {
                        g: (k == 0).then_some(g.here()),
                        h_d: g_dot,
                        m_d: &mut [],
                    };
                    self.r_pass(at, share, w_dot, out, &mut parts, r_a)?;
                }
            }
            g.close();
            g_dot.close();
        }
        g_dot.finish();
        self.subtract_mean(g.finish());
        Ok(loss.value() * share)
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        self.examples.visit_blocks(visit);
    }
}
