//! Everything that crosses the border, in the order of the header: what a training is, its backward pass, what comes of
//! it, and the constants of kernels and of the outer optimizers.
//!
//! A number that stands for one of several is an `i32`, of which the enumeration above it has the values: what C
//! hands over may be any. Zeros are a value of every field, and the default wherever there is one.

use core::ffi::c_void;

use crate::raw::{In, Out, anything};

/// The version of the structs. It changes where a struct or the meaning of a field does; codes and
/// functions do not.
pub const ABI: u32 = 1;

/// How a multiply-add is rounded. For each of them results have the same bits on every machine.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// A product and a sum, each rounded: for devices.
    Plain = 0,
    /// Every multiply-add is one rounding: for hosts.
    Fused = 1,
}

/// What a layer of a network is. An activation follows a dense layer, and the last layer is dense.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each output is a weighted sum of all inputs and a bias.
    Dense = 0,
    /// The hyperbolic tangent.
    Tanh = 1,
    /// What is negative becomes 0.
    Relu = 2,
}

/// A layer of a network.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// One of `drmad_kind`.
    pub kind: i32,
    /// Outputs of a dense layer; 0 of an activation.
    pub units: usize,
}

/// The most layers of a network, activations among them.
pub const MOST_LAYERS: usize = 32;

/// The loss of a network's outputs.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Softmax and cross-entropy.
    CrossEntropy = 0,
    /// Half the squared distance to the target.
    SquaredError = 1,
}

/// Examples: their inputs are features or pixels, what they are to come to is a label or targets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Examples {
    /// How many, below 2^32.
    pub len: usize,
    /// Inputs, len x inputs of the network; NULL where there are pixels.
    pub features: In<f32>,
    /// Inputs as bytes, each `byte / 255 - mean`; NULL where there are features.
    pub pixels: In<u8>,
    /// The mean of pixels.
    pub mean: f32,
    /// The class of each example; NULL where there are targets.
    pub labels: In<u8>,
    /// A number for each output, len x outputs of the network; NULL where there are labels.
    pub targets: In<f32>,
}

/// What the hyperparameters of a block are.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `c` in a penalty `c z^2`. Biases have one by tensor and by parameter alone.
    Penalty = 0,
    /// `s` in `w = s z`. Training moves `z`. Biases have one by tensor and by parameter alone.
    Scale = 1,
    /// The rate of a step. PyTorch's `lr` is this times 1 - momentum, but for Adam.
    Rate = 2,
    /// The momentum of a step, in [0, 1); of Adam `b1`.
    Momentum = 3,
    /// The logarithm of the standard deviation of initial weights.
    InitialScale = 4,
    /// The weight of a training example's loss.
    ExampleWeight = 5,
    /// The inputs of the training examples, in place of those that are given with them.
    Input = 6,
}

/// Which weights share a hyperparameter. What belongs to examples takes no notice of it.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// All of them.
    Global = 0,
    /// Those of a layer.
    Layer = 1,
    /// Those of a weight matrix, and those of a vector of biases.
    Tensor = 2,
    /// The weights that leave one input of a layer; the biases leave the constant input.
    Unit = 3,
    /// None: each has its own.
    Parameter = 4,
}

/// What a hyperparameter is of the value that it stands for.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parametrisation {
    /// The logarithm of rates, scales, initial scales and penalties, the logit of momenta, and what belongs to
    /// examples itself.
    Default = 0,
    /// The value itself.
    Natural = 1,
    /// The logarithm, of what is positive.
    Log = 2,
    /// The logit, of what lies between 0 and 1.
    Logit = 3,
}

/// A block of hyperparameters.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Tuned {
    /// One of `drmad_what`, each in one block at most.
    pub what: i32,
    /// One of `drmad_by`.
    pub by: i32,
    /// 1 where each step has its own, of rates and momenta: all of step 0, then those of step 1.
    pub each_step: i32,
    /// One of `drmad_parametrisation`.
    pub parametrisation: i32,
}

/// How a gradient moves the weights.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
    HeavyBall = 0,
    /// The same with a look ahead.
    Nesterov = 1,
    /// Adam with decoupled decay; the momentum is `b1`.
    Adam = 2,
}

/// A training, and what of it is tuned: all that its result is a function of. Set it to zeros, then what is
/// wanted.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// DRMAD_ABI.
    pub abi: u32,
    /// One of `drmad_rounding`.
    pub arithmetic: i32,

    /// Numbers of an example.
    pub inputs: usize,
    /// The layers of the network, the first one first.
    pub layers: In<Layer>,
    /// How many, at most DRMAD_MOST_LAYERS.
    pub layers_len: usize,
    /// One of `drmad_loss`.
    pub loss: i32,
    /// The coefficient `c` of a penalty `c z^2` on all weights, where none is tuned.
    pub l2: f32,

    /// What it is trained on. Batches walk through them with a stride: shuffle them first.
    pub train: Examples,
    /// What the validation loss is of.
    pub valid: Examples,

    /// What is tuned: the blocks of `h`, in their order.
    pub tuned: In<Tuned>,
    /// How many blocks.
    pub tuned_len: usize,
    /// The hyperparameters.
    pub h: In<f32>,
    /// How many: `hypers` of `drmad_sizes`.
    pub h_len: usize,

    /// One of `drmad_optimizer`.
    pub optimizer: i32,
    /// Adam's; 0 is .999.
    pub b2: f32,
    /// Adam's; 0 is 1e-8.
    pub eps: f32,
    /// AdamW's, which each step multiplies by the rate, as PyTorch does.
    pub decay: f32,
    /// The rate, where it is not tuned. PyTorch's `lr` is this times 1 - momentum, but for Adam.
    pub rate: f32,
    /// The momentum in [0, 1), where it is not tuned. Where it is, the least that memory is kept for.
    pub momentum: f32,

    /// Examples in a batch.
    pub batch: usize,
    /// Examples that are worked through at once: memory against speed, and part of the numerics; 0 is a batch.
    pub microbatch: usize,
    /// The steps, below 2^32.
    pub steps: usize,
    /// The seed of initial weights and batches.
    pub seed: u64,

    /// The initial weights; NULL where they are drawn from the seed.
    pub initial: In<f32>,
    /// How many.
    pub initial_len: usize,
    /// The logarithm of the standard deviation of those that are drawn, where it is not tuned.
    pub log_scale: f32,

    /// Told the training loss before each step, where it is not NULL. It must return, and touch none of
    /// the call's buffers.
    pub each: Option<extern "C" fn(context: *mut c_void, step: usize, loss: f32)>,
    /// What it is told first.
    pub context: *mut c_void,
}

/// A backward pass: where the weights were, or how to do without.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodName {
    /// A least-squares fit by hat functions of time, the default.
    Hats = 0,
    /// Every step: exact.
    Tape = 1,
    /// Some steps, the others are taken again: exact.
    Checkpoints = 2,
    /// The bits that a step in fixed point loses: exact, of that training.
    Reversible = 3,
    /// Nothing: a straight line from the first weights to the last (DrMAD as its formula says).
    Line = 4,
    /// The same as DrMAD's published code has it.
    LinePublished = 5,
    /// Some points, with lines between them.
    Knots = 6,
    /// Some points, with cubics between them.
    Hermite = 7,
    /// A least-squares fit by polynomials of time.
    Legendre = 8,
    /// Nothing: runs backwards in floating point, good for some steps.
    Reversed = 9,
    /// Forward mode, a tangent for each of at most 64 hyperparameters: exact.
    Forward = 10,
    /// Implicit differentiation at the last weights by conjugate gradients.
    Implicit = 11,
    /// The same by a Neumann series.
    Neumann = 12,
    /// The direct term alone, the weights taken for constants.
    Direct = 13,
}

/// No tail.
pub const TAIL_NONE: usize = !0;
/// Numbers in full, not as differences of a few levels.
pub const LEVELS_FULL: u32 = 1;

/// A method. All zeros are the default: hats, 8 of them, in 11 levels, with a tail. What a way has no use for is not
/// looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// One of `drmad_method_name`.
    pub name: i32,
    /// Levels of hats and knots: 3, 7, 11, 15, 255 or DRMAD_LEVELS_FULL; 0 is 11 for hats and 255 for
    /// knots.
    pub levels: u32,
    /// How many hats, snapshots, intervals, polynomials or iterations; 0 is 8 hats, 10 snapshots, 32 intervals, 16
    /// polynomials, 20 iterations.
    pub size: usize,
    /// The power of the spacing of hats, 0.1 to 10; 0 is the one that serves their number best.
    pub spacing: f32,
    /// The last steps that are run backwards, before a path that does not take the steps itself; 0 is as many as
    /// the momentum allows for hats, and none for the others; DRMAD_TAIL_NONE is none.
    pub tail: usize,
    /// Only so many last steps are taken back; 0 is all.
    pub last: usize,
    /// 1 where second-order products of negative curvature are left out, of a sweep.
    pub drops_negative_curvature: i32,
    /// The rate of the Neumann series; of the published line what rates are multiplied by, where 0 is 1.
    pub rate: f32,
    /// The residual of implicit differentiation, relative to that of no iteration, at which it ends.
    pub tolerance: f32,
    /// What it adds to the diagonal of the Hessian.
    pub damping: f32,
}

/// Lengths of a training's buffers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Weights.
    pub weights: usize,
    /// Hyperparameters.
    pub hypers: usize,
    /// Words of memory, for every operation on the training with the method.
    pub memory: usize,
}

/// Bytes that are enough for the name of any hyperparameter, with the zero at its end.
pub const NAME_LEN: usize = 96;

/// Where results go. A NULL is not wanted; the last four are written in the struct itself.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Results {
    /// The hypergradient: the derivative of the validation loss by `h`.
    pub d_h: Out<f32>,
    /// As many as `h`.
    pub d_h_len: usize,
    /// The derivative by the initial weights, of a sweep; by those before the last steps where only these are
    /// taken back.
    pub d_w0: Out<f32>,
    /// As many as there are weights.
    pub d_w0_len: usize,
    /// The validation loss.
    pub valid_loss: f32,
    /// Steps that were taken back; of implicit differentiation its iterations.
    pub steps_back: usize,
    /// Of implicit differentiation: how far the solution is off, relatively.
    pub residual: f32,
    /// Of implicit differentiation: the length of the training gradient. The hypergradient is exact where
    /// it is 0.
    pub slope: f32,
}

/// Adam's constants, and the steps it has taken. `.rate` alone need be set: the others are the defaults
/// where they are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OuterAdam {
    /// The rate: about the size of a step.
    pub rate: f32,
    /// How much of the first moment stays, in [0, 1); 0 is .9.
    pub b1: f32,
    /// How much of the second moment stays, in [0, 1); 0 is .999.
    pub b2: f32,
    /// What keeps the quotient finite, above 0; 0 is 1e-12.
    pub eps: f32,
    /// Steps taken; each call adds one.
    pub taken: u32,
}

/// A convex set.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convex {
    /// `x_i >= 0`.
    NonNegative = 0,
    /// `low <= x_i <= high`.
    Box = 1,
    /// `x_i >= 0, sum x = total`.
    Simplex = 2,
    /// `sum |x| <= total`.
    L1Ball = 3,
    /// `low <= x_i <= high, sum x <= total`.
    CappedBox = 4,
}

/// A convex set with its bounds, which may be infinite; those it has no use for are not looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// One of `drmad_convex`.
    pub set: i32,
    /// The least number.
    pub low: f32,
    /// The greatest number.
    pub high: f32,
    /// The sum, or the greatest one.
    pub total: f32,
}

/// The constants of a step of Adam.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// The step, from 0.
    pub t: u32,
    /// The rate.
    pub rate: f32,
    /// How much of the first moment stays, in [0, 1).
    pub b1: f32,
    /// How much of the second moment stays, in [0, 1).
    pub b2: f32,
    /// What is added to the root, at least `2^-55 / sqrt(1 - b2)`: 8.8e-16 for .999.
    pub eps: f32,
    /// How much a weight shrinks, divided by the rate (PyTorch's `weight_decay` of `AdamW`), at least 0.
    pub decay: f32,
}

/// Which operand of a matrix product is transposed. All are row-major as stored.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// `a` is rows x inner, `b` is inner x columns.
    Nn = 0,
    /// `a` is inner x rows, `b` is inner x columns.
    Tn = 1,
    /// `a` is rows x inner, `b` is columns x inner.
    Nt = 2,
}

/// The shape of a matrix product `c (rows x columns) = a b`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// One of `drmad_operands`.
    pub operands: i32,
    /// 1 to add to `c`, 0 to overwrite it.
    pub accumulate: i32,
    /// Rows of `c`.
    pub rows: usize,
    /// Length of each sum.
    pub inner: usize,
    /// Columns of `c`.
    pub columns: usize,
}

/// The constants of a step in fixed point.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The momentum: the nearest fraction with a denominator of at most 1024 is taken.
    pub momentum: f32,
    /// The rate.
    pub rate: f32,
    /// Bits of a weight that are a fraction, 1 to 30; 26 serves most trainings.
    pub weight_bits: u32,
    /// Bits of a velocity that are a fraction, 1 to 30; 28 serves most trainings.
    pub velocity_bits: u32,
}

/// The integers of some weights: three buffers of the call's `n`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// The weights.
    pub w: Out<i32>,
    /// The velocities.
    pub v: Out<i32>,
    /// What the momentum has cut off, below 2^21; greater ones are to be spilled first.
    pub x: Out<u32>,
}

anything!(AdamStep Examples Fixed Layer Method OuterAdam Product Results Set Sizes Training Tuned Turn);
