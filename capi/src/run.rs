//! Whole operations: training, validation loss, hypergradient, implicit differentiation, prediction.
//!
//! One struct says everything that a training is a function of. Every operation looks at all of it and at
//! all buffers, then works in the caller's `memory` alone, and writes its results at the end: a call that
//! is refused, or whose training diverges half way, leaves every result as it was. What `memory` holds
//! afterwards means nothing.
//!
//! With a scale for groups `w = s z` is the network's weight; training moves `z`, which is what `w0`, `w`
//! and `d_w0` are then. `h` holds the scales first, then the penalties `c` of `c z^2`.
//!
//! Refused: examples with hyperparameters, coupled tasks, own objectives; these are for Rust.

use core::ffi::c_void;

use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::implicit::{Implicit, Solver};
use drmad::kernels::accumulate::scale_rows;
use drmad::kernels::reduce::all_finite;
use drmad::method::Extent;
use drmad::models::{Examples, Features, Mlp, Pixels};
use drmad::objective::{self, At, Objective};
use drmad::path::Line;
use drmad::random::{Batches, Initial, Normal, Origin};
use drmad::train::{self, Rule, Schedule};
use drmad::wrap::{L2, Scaled, Strength};
use drmad::{Arithmetic, Error, Scalar};

use crate::error::guard;
use crate::method::Method;
use crate::raw::{Door, In, Open, Out, Reading, Writing};
use crate::{ABI, Code, finite, flag, in_arithmetic, known_arithmetic, some, times};

/// How many weights share a number.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// There is no such hyperparameter. For rates and initial scales, which there must be: one for all.
    None = 0,
    /// All of them.
    Global = 1,
    /// Those of a layer.
    Layer = 2,
    /// Those of a weight matrix, and those of a vector of biases.
    Tensor = 3,
    /// The weights that leave one input of a layer; the biases leave the constant input.
    Unit = 4,
    /// None: each has its own.
    Parameter = 5,
}

/// A map from weights to hyperparameters.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Grouping {
    /// One of `drmad_share`.
    pub by: i32,
    /// 1 where biases belong to a group. Otherwise no hyperparameter touches them, no rate trains them, and
    /// no initial scale moves them from 0.
    pub biases: i32,
}

/// How a gradient moves the weights.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// `v <- momentum v - (1 - momentum) g`, `w <- w + rate v`.
    HeavyBall = 0,
    /// The same with a look ahead.
    Nesterov = 1,
    /// Adam with decoupled decay; the momentum is `b1`.
    Adam = 2,
}

/// A training of a tanh network with softmax loss. Set it to zeros, then what is wanted.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// DRMAD_ABI.
    pub abi: u32,
    /// One of `drmad_rounding`.
    pub arithmetic: i32,
    /// Inputs, hidden units ..., classes.
    pub widths: In<usize>,
    /// How many of these: at least 2.
    pub widths_len: usize,

    /// Inputs, examples x the first width; NULL where there are pixels.
    pub features: In<f32>,
    /// Inputs as bytes, each `byte / 255 - mean`; NULL where there are features.
    pub pixels: In<u8>,
    /// The mean of pixels.
    pub mean: f32,
    /// The class of each example.
    pub labels: In<u8>,
    /// Examples there are.
    pub examples: usize,
    /// The first so many of them are trained on.
    pub train: usize,
    /// Those that the validation loss is of.
    pub valid: In<u32>,
    /// How many of these.
    pub valid_len: usize,
    /// Examples in a batch.
    pub batch: usize,
    /// Examples that are worked through at once: memory against speed, and part of the numerics; 0 is a
    /// batch.
    pub chunk: usize,
    /// The seed of the batches.
    pub batch_seed: u64,

    /// Which weights share a scale.
    pub scale: Grouping,
    /// Which weights share a penalty that is tuned.
    pub penalty: Grouping,
    /// The coefficient of a fixed penalty on all weights; 0 where a penalty is tuned.
    pub l2: f32,
    /// The scales, then the penalties.
    pub h: In<f32>,
    /// How many: `hypers` of `drmad_sizes`.
    pub h_len: usize,

    /// One of `drmad_moves`.
    pub rule: i32,
    /// Adam's; 0 is .999.
    pub b2: f32,
    /// Adam's; 0 is 1e-8.
    pub eps: f32,
    /// AdamW's, which each step multiplies by the rate, as PyTorch does.
    pub decay: f32,
    /// Which weights share a rate and a momentum. By NONE it is one for all, biases too.
    pub groups: Grouping,
    /// A rate for each group, or steps x groups; PyTorch's is this times 1 - momentum, but for Adam.
    pub rates: In<f32>,
    /// How many.
    pub rates_len: usize,
    /// A momentum in [0, 1) for each group, or steps x groups.
    pub momenta: In<f32>,
    /// How many.
    pub momenta_len: usize,
    /// The steps, below 2^32.
    pub steps: usize,

    /// The initial weights; NULL where they are drawn from a seed.
    pub w0: In<f32>,
    /// How many.
    pub w0_len: usize,
    /// The seed they are drawn from.
    pub w0_seed: u64,
    /// Which of them share a scale. By NONE it is one for all, biases too.
    pub w0_groups: Grouping,
    /// The logarithm of each scale.
    pub log_scales: In<f32>,
    /// How many.
    pub log_scales_len: usize,

    /// Told the training loss before each step, where it is not NULL. It must return, and touch none of
    /// the call's buffers.
    pub each: Option<extern "C" fn(context: *mut c_void, step: usize, loss: f32)>,
    /// What it is told first.
    pub context: *mut c_void,
}

/// What a run's buffers must hold.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    /// Weights.
    pub weights: usize,
    /// Hyperparameters: scales, then penalties.
    pub hypers: usize,
    /// Of these the scales.
    pub scales: usize,
    /// Groups of rates and momenta.
    pub groups: usize,
    /// Scales of the initial weights.
    pub log_scales: usize,
}

/// Where results go. A NULL is not wanted; the last four are written in the struct itself.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Results {
    /// The hypergradient: the derivative of the validation loss by `h`.
    pub d_h: Out<f32>,
    /// As many as `h`.
    pub d_h_len: usize,
    /// The derivative by the rates.
    pub d_rates: Out<f32>,
    /// As many as these.
    pub d_rates_len: usize,
    /// The derivative by the momenta.
    pub d_momenta: Out<f32>,
    /// As many as these.
    pub d_momenta_len: usize,
    /// The derivative by the initial weights; by those before the last steps where only these are taken
    /// back.
    pub d_w0: Out<f32>,
    /// As many as there are weights.
    pub d_w0_len: usize,
    /// The derivative by the logarithms of the initial scales, where the weights are drawn from a seed and
    /// all steps are taken back.
    pub d_log_scales: Out<f32>,
    /// As many as these.
    pub d_log_scales_len: usize,
    /// The trained weights.
    pub w: Out<f32>,
    /// As many as there are.
    pub w_len: usize,
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

/// No size is beyond this, so that sums of some dozens of them fit.
const MOST: usize = isize::MAX as usize / 256;

/// What follows from widths and groupings alone.
#[derive(Clone, Copy)]
struct Shape<'o> {
    widths: &'o [usize],
    weights: usize,
    scale: Option<Groups<'o>>,
    penalty: Option<Groups<'o>>,
    groups: Groups<'o>,
    w0_groups: Groups<'o>,
}

impl<'o> Shape<'o> {
    fn new(run: &Run, widths: &'o [usize]) -> Result<Self, Code> {
        if widths.len() < 2 {
            return Err(Code::Range);
        }
        some(widths)?;
        let mut weights = 0usize;
        for pair in widths.windows(2) {
            let [inputs, outputs] = [pair[0], pair[1]];
            let layer = times(inputs.checked_add(1).ok_or(Code::Size)?, outputs)?;
            weights = weights.checked_add(layer).ok_or(Code::Size)?;
        }
        let sum = widths.iter().try_fold(0usize, |sum, x| sum.checked_add(*x));
        let sum = sum.ok_or(Code::Size)?;
        // The activations, and the panels that a matrix is packed into.
        let chunk = if run.chunk == 0 { run.batch } else { run.chunk };
        let most = weights
            .max(times(chunk.max(1), sum)?)
            .max(times(chunk.max(sum), 64)?);
        if most > MOST {
            return Err(Code::Size);
        }
        let grouping = |of: Grouping| -> Result<Option<Groups<'o>>, Code> {
            let biases = flag(of.biases)?;
            let by = [
                (Share::Global, Granularity::Global),
                (Share::Layer, Granularity::Layer),
                (Share::Tensor, Granularity::Tensor),
                (Share::Unit, Granularity::Unit),
                (Share::Parameter, Granularity::Parameter),
            ];
            if of.by == Share::None as i32 {
                return Ok(None);
            }
            let by = by.into_iter().find(|(share, _)| *share as i32 == of.by);
            let (_, by) = by.ok_or(Code::Enum)?;
            let layout = Layout::Layers(widths);
            Ok(Some(Groups { layout, by, biases }))
        };
        let all = Groups::global(weights);
        Ok(Shape {
            widths,
            weights,
            scale: grouping(run.scale)?,
            penalty: grouping(run.penalty)?,
            groups: grouping(run.groups)?.unwrap_or(all),
            w0_groups: grouping(run.w0_groups)?.unwrap_or(all),
        })
    }

    fn sizes(&self) -> Sizes {
        let count = |groups: Option<Groups<'_>>| groups.map_or(0, |groups| groups.len());
        let scales = count(self.scale);
        Sizes {
            weights: self.weights,
            hypers: scales + count(self.penalty),
            scales,
            groups: self.groups.len(),
            log_scales: self.w0_groups.len(),
        }
    }
}

/// The examples.
#[derive(Clone, Copy)]
enum Data<'o> {
    Features(Features<'o>),
    /// Bytes, classes, bytes of one example, their mean.
    Pixels(&'o [u8], &'o [u8], usize, f32),
}

impl Examples for Data<'_> {
    fn len(&self) -> usize {
        match self {
            Data::Features(features) => features.len(),
            Data::Pixels(_, labels, ..) => labels.len(),
        }
    }

    fn inputs(&self) -> usize {
        match self {
            Data::Features(features) => features.inputs(),
            Data::Pixels(_, _, width, _) => *width,
        }
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        let (bytes, labels, width, mean) = match self {
            Data::Features(features) => return features.gather::<A, S>(batch, x),
            Data::Pixels(bytes, labels, width, mean) => (*bytes, *labels, *width, *mean),
        };
        // One by one, since example `i` is image `i` and no list says so.
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(width.max(1))) {
            let one = Pixels {
                bytes,
                labels,
                width,
                chosen: &[*i],
                mean,
            };
            one.gather::<A, S>(&[0], x)?;
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        match self {
            Data::Features(features) => features.label(i),
            Data::Pixels(_, labels, ..) => match labels.get(i as usize) {
                Some(label) => Ok(usize::from(*label)),
                None => Err(Error::Index {
                    what: "label",
                    index: i as usize,
                    len: labels.len(),
                }),
            },
        }
    }
}

/// The buffers of a run, each of them admitted.
struct Readings {
    features: Reading<f32>,
    pixels: Reading<u8>,
    labels: Reading<u8>,
    valid: Reading<u32>,
    h: Reading<f32>,
    rates: Reading<f32>,
    momenta: Reading<f32>,
    w0: Reading<f32>,
    log_scales: Reading<f32>,
}

impl Readings {
    fn new(door: &mut Door, run: &Run, shape: &Shape<'_>) -> Result<Self, Code> {
        let sizes = shape.sizes();
        // A size of 0 is told before the pointer that then need not be there.
        some(&[run.examples, run.train, run.valid_len, run.batch, run.steps])?;
        let counted = |n: usize| u32::try_from(n).is_ok();
        if run.train > run.examples || !counted(run.examples) || !counted(run.steps) {
            return Err(Code::Range);
        }
        let inputs = times(run.examples, shape.widths.first().copied().unwrap_or(0))?;
        let (features, pixels) = match (run.features.is_null(), run.pixels.is_null()) {
            (true, true) => return Err(Code::Null),
            (false, false) => return Err(Code::Unsupported),
            (false, true) => (inputs, 0),
            (true, false) => (0, inputs),
        };
        let table =
            |len: usize| len == sizes.groups || Some(len) == sizes.groups.checked_mul(run.steps);
        if run.h_len != sizes.hypers || !table(run.rates_len) || !table(run.momenta_len) {
            return Err(Code::Length);
        }
        let (w0, log_scales) = if run.w0.is_null() {
            (0, sizes.log_scales)
        } else {
            (sizes.weights, 0)
        };
        if run.w0_len != w0 || run.log_scales_len != log_scales {
            return Err(Code::Length);
        }
        Ok(Readings {
            features: door.read(run.features, features)?,
            pixels: door.read(run.pixels, pixels)?,
            labels: door.read(run.labels, run.examples)?,
            valid: door.read(run.valid, run.valid_len)?,
            h: door.read(run.h, run.h_len)?,
            rates: door.read(run.rates, run.rates_len)?,
            momenta: door.read(run.momenta, run.momenta_len)?,
            w0: door.read(run.w0, w0)?,
            log_scales: door.read(run.log_scales, log_scales)?,
        })
    }

    fn check<'o>(self, run: &Run, shape: Shape<'o>, open: &'o Open) -> Result<Checked<'o>, Code> {
        let width = shape.widths.first().copied().unwrap_or(0);
        let classes = shape.widths.last().copied().unwrap_or(0);
        let (labels, valid, h) = (
            self.labels.slice(open),
            self.valid.slice(open),
            self.h.slice(open),
        );
        let (rates, momenta) = (self.rates.slice(open), self.momenta.slice(open));
        let (w0, log_scales) = (self.w0.slice(open), self.log_scales.slice(open));
        let features = self.features.slice(open);
        finite(&[&[run.mean, run.l2, run.b2, run.eps, run.decay]])?;
        finite(&[features, h, rates, momenta, w0, log_scales])?;
        if labels.iter().any(|label| usize::from(*label) >= classes)
            || valid.iter().any(|i| *i as usize >= run.examples)
        {
            return Err(Code::Index);
        }
        if shape.penalty.is_some() && run.l2 != 0.0 {
            return Err(Code::Unsupported);
        }
        let data = if run.features.is_null() {
            Data::Pixels(self.pixels.slice(open), labels, width, run.mean)
        } else {
            Data::Features(Features {
                x: features,
                labels,
                width,
            })
        };
        let or = |value: f32, default: f32| if value == 0.0 { default } else { value };
        const HEAVY_BALL: i32 = Moves::HeavyBall as i32;
        const NESTEROV: i32 = Moves::Nesterov as i32;
        const ADAM: i32 = Moves::Adam as i32;
        let rule = match run.rule {
            HEAVY_BALL => Rule::HeavyBall,
            NESTEROV => Rule::Nesterov,
            ADAM => Rule::Adam {
                b2: or(run.b2, 0.999),
                eps: or(run.eps, 1e-8),
                decay: run.decay,
            },
            _ => return Err(Code::Enum),
        };
        let origin = if run.w0.is_null() {
            Initial::Drawn(Normal {
                seed: run.w0_seed,
                groups: shape.w0_groups,
                log_scales,
            })
        } else {
            Initial::Given(w0)
        };
        Ok(Checked {
            run: *run,
            shape,
            data,
            valid,
            h,
            schedule: Schedule {
                groups: shape.groups,
                rule,
                rates,
                momenta,
            },
            origin,
        })
    }
}

/// A run whose every number was looked at.
#[derive(Clone, Copy)]
struct Checked<'o> {
    run: Run,
    shape: Shape<'o>,
    data: Data<'o>,
    valid: &'o [u32],
    h: &'o [f32],
    schedule: Schedule<'o, f32>,
    origin: Initial<'o, f32>,
}

/// What is done with a run's objectives: that of the training, and that of the validation.
trait Task {
    type Output;
    /// Whether it looks at all examples trained on at once.
    const ALL: bool = false;
    fn run<A: Arithmetic>(self, on: &On<'_, A>) -> Result<Self::Output, Code>;
}

/// A training on its objectives.
struct On<'a, A: Arithmetic> {
    checked: &'a Checked<'a>,
    training: train::Run<'a, A, f32>,
    outside: &'a dyn objective::Differentiable<A, f32>,
}

impl<A: Arithmetic> On<'_, A> {
    fn validation(&self) -> Validation<'_, A, f32> {
        Validation {
            objective: self.outside,
            examples: self.checked.valid,
        }
    }

    /// Numbers of a workspace.
    fn workspace_len(&self, scratch: usize, schedule: bool) -> usize {
        let rule = self.checked.schedule.rule;
        Workspace::<f32>::required_len(self.checked.shape.weights, scratch, rule, schedule)
    }

    fn workspace<'m>(
        &self,
        numbers: &'m mut [u32],
        schedule: bool,
    ) -> Result<Workspace<'m, f32>, Code> {
        let rule = self.checked.schedule.rule;
        let numbers = bytemuck::cast_slice_mut(numbers);
        Ok(Workspace::new(
            numbers,
            self.checked.shape.weights,
            rule,
            schedule,
        )?)
    }

    /// Trains without remembering; the workspace holds the weights.
    fn train<'m>(
        &self,
        mut memory: Memory<'m>,
        scratch: usize,
    ) -> Result<(Workspace<'m, f32>, Memory<'m>), Code> {
        let c = self.checked;
        let mut workspace =
            self.workspace(memory.take(self.workspace_len(scratch, false))?, false)?;
        let batch = memory.take(c.run.batch)?;
        let mut line = Line::new(c.origin, c.run.steps);
        let each = &mut c.each();
        self.training
            .walk(&c.origin, &mut line, &mut workspace, batch, each)?;
        Ok((workspace, memory))
    }

    /// Words that training takes.
    fn train_len(&self, scratch: usize) -> Result<usize, Code> {
        total(&[self.workspace_len(scratch, false), self.checked.run.batch])
    }
}

impl Checked<'_> {
    fn each(&self) -> impl FnMut(usize, f32) {
        let (each, context) = (self.run.each, self.run.context);
        move |step, loss| {
            if let Some(each) = each {
                each(context, step, loss);
            }
        }
    }

    fn task<T: Task>(&self, task: T) -> Result<T::Output, Code> {
        in_arithmetic!(self.run.arithmetic, A => self.task_in::<A, T>(task))
    }

    /// The network, for batches of at most so many examples.
    fn network<A: Arithmetic>(&self, most: usize) -> Result<Mlp<'_, Data<'_>, A>, Code> {
        let Run { chunk, batch, .. } = self.run;
        let chunk = if chunk == 0 { batch } else { chunk };
        Ok(Mlp::new(self.data, self.shape.widths, chunk)?.with_batches_of(most))
    }

    fn task_in<A: Arithmetic, T: Task>(&self, task: T) -> Result<T::Output, Code> {
        let trained = if T::ALL {
            self.run.train
        } else {
            self.run.batch
        };
        let net = self.network::<A>(trained.max(self.valid.len()))?;
        let Shape {
            scale,
            penalty,
            weights,
            ..
        } = self.shape;
        match scale {
            None => self.penalised::<A, _, _>(net, penalty, weights, task),
            Some(groups) => {
                let scaled = Scaled { inner: net, groups };
                self.penalised::<A, _, _>(scaled, penalty, weights, task)
            }
        }
    }

    fn penalised<A: Arithmetic, I: Objective<Arithmetic = A> + Copy, T: Task>(
        &self,
        inner: I,
        penalty: Option<Groups<'_>>,
        weights: usize,
        task: T,
    ) -> Result<T::Output, Code> {
        match penalty {
            None => {
                let fixed = Strength::Fixed(self.run.l2, Groups::global(weights));
                self.on(&L2::new(inner, fixed), &inner, task)
            }
            Some(groups) => {
                let tuned = L2::new(inner, Strength::Tuned(groups));
                self.on(&tuned, &L2::new(inner, Strength::Off(groups)), task)
            }
        }
    }

    fn on<A: Arithmetic, T: Task>(
        &self,
        objective: &dyn objective::Differentiable<A, f32>,
        outside: &dyn objective::Differentiable<A, f32>,
        task: T,
    ) -> Result<T::Output, Code> {
        let training = train::Run {
            objective,
            h: self.h,
            schedule: self.schedule,
            batches: Batches {
                seed: self.run.batch_seed,
                examples: self.run.train,
                size: self.run.batch,
            },
            steps: self.run.steps,
        };
        training.check()?;
        task.run(&On {
            checked: self,
            training,
            outside,
        })
    }
}

/// A sum of sizes.
fn total(sizes: &[usize]) -> Result<usize, Code> {
    let sum = sizes.iter().try_fold(0usize, |sum, x| sum.checked_add(*x));
    sum.filter(|sum| *sum <= MOST).ok_or(Code::Size)
}

/// The caller's memory, cut piece by piece.
struct Memory<'m>(&'m mut [u32]);

impl<'m> Memory<'m> {
    fn take(&mut self, words: usize) -> Result<&'m mut [u32], Code> {
        self.0.split_off_mut(..words).ok_or(Code::Length)
    }

    fn floats(&mut self, numbers: usize) -> Result<&'m mut [f32], Code> {
        Ok(bytemuck::cast_slice_mut(self.take(numbers)?))
    }
}

/// Opens the door on a run, and calls `body` with it.
///
/// The widths are looked at behind a door of their own, since all other lengths follow from them. They
/// are admitted again with the others, so that nothing is written over them.
fn with_run<R>(
    run: In<Run>,
    admit: impl FnOnce(&mut Door, &Shape<'_>, &Run) -> Result<R, Code>,
    body: impl FnOnce(&Checked<'_>, R, &Open) -> Result<(), Code>,
) -> Result<(), Code> {
    let mut first = Door::new();
    let copy = first.get(run)?;
    if copy.abi != ABI {
        return Err(Code::Abi);
    }
    known_arithmetic(copy.arithmetic)?;
    let widths = first.read(copy.widths, copy.widths_len)?;
    let first = first.open()?;
    let shape = Shape::new(&copy, widths.slice(&first))?;
    let mut door = Door::new();
    door.get(run)?;
    door.read(copy.widths, copy.widths_len)?;
    let readings = Readings::new(&mut door, &copy, &shape)?;
    let more = admit(&mut door, &shape, &copy)?;
    let open = door.open()?;
    let checked = readings.check(&copy, shape, &open)?;
    body(&checked, more, &open)
}

/// Tells the words of memory that an operation needs: `admit` looks at what it is given beside the run,
/// and `want` counts them.
fn tell_words<R>(
    run: In<Run>,
    words: Out<usize>,
    admit: impl FnOnce(&mut Door, &Shape<'_>, &Run) -> Result<R, Code>,
    want: impl FnOnce(&Checked<'_>, R) -> Result<usize, Code>,
) -> Result<(), Code> {
    with_run(
        run,
        |door, shape, copy| Ok((admit(door, shape, copy)?, door.write(words, 1)?)),
        |c, (more, words), open| {
            words.set(open, want(c, more)?);
            Ok(())
        },
    )
}

/// For operations that are given a run alone.
const fn no_more(_: &mut Door, _: &Shape<'_>, _: &Run) -> Result<(), Code> {
    Ok(())
}

/// The words that a task without memory asks for.
fn asked<T>(output: Result<T, usize>) -> Result<usize, Code> {
    output.err().ok_or(Code::Internal)
}

/// The sizes that follow from a run's widths and groupings; nothing else of it is looked at.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_sizes(run: In<Run>, sizes: Out<Sizes>) -> i32 {
    guard(|| {
        let mut door = Door::new();
        let copy = door.get(run)?;
        if copy.abi != ABI {
            return Err(Code::Abi);
        }
        let widths = door.read(copy.widths, copy.widths_len)?;
        let sizes = door.write(sizes, 1)?;
        let open = door.open()?;
        let shape = Shape::new(&copy, widths.slice(&open))?;
        sizes.set(&open, shape.sizes());
        Ok(())
    })
}

/// What of a hypergradient is wanted.
#[derive(Clone, Copy)]
struct Wants {
    schedule: bool,
    w: bool,
    log_scales: bool,
}

impl Wants {
    fn of(results: &Results) -> Self {
        Wants {
            schedule: !(results.d_rates.is_null() && results.d_momenta.is_null()),
            w: !results.w.is_null(),
            log_scales: !results.d_log_scales.is_null(),
        }
    }
}

/// Refuses results of other lengths than they will have.
fn check_results(results: &Results, shape: &Shape<'_>, run: &Run) -> Result<(), Code> {
    let sizes = shape.sizes();
    if results.d_h.is_null() && sizes.hypers > 0 {
        return Err(Code::Null);
    }
    if !results.d_log_scales.is_null() && !run.w0.is_null() {
        return Err(Code::Unsupported);
    }
    for (pointer, len, want) in [
        (results.d_h, results.d_h_len, sizes.hypers),
        (results.d_rates, results.d_rates_len, run.rates_len),
        (results.d_momenta, results.d_momenta_len, run.momenta_len),
        (results.d_w0, results.d_w0_len, sizes.weights),
        (
            results.d_log_scales,
            results.d_log_scales_len,
            sizes.log_scales,
        ),
        (results.w, results.w_len, sizes.weights),
    ] {
        if len != if pointer.is_null() { 0 } else { want } {
            return Err(Code::Length);
        }
    }
    Ok(())
}

/// A hypergradient by a path.
struct Back<'m> {
    method: Method,
    wants: Wants,
    /// None where only the length is asked for.
    memory: Option<Memory<'m>>,
}

/// What a task leaves in the memory.
struct Found<'m> {
    d_h: &'m [f32],
    d_rates: &'m [f32],
    d_momenta: &'m [f32],
    d_w0: &'m [f32],
    d_log_scales: &'m [f32],
    w: &'m [f32],
    valid_loss: f32,
    steps_back: usize,
    residual: f32,
    slope: f32,
}

impl<'m> Task for Back<'m> {
    type Output = Result<Found<'m>, usize>;

    fn run<A: Arithmetic>(self, on: &On<'_, A>) -> Result<Self::Output, Code> {
        let c = on.checked;
        let steps = c.run.steps;
        let Wants {
            schedule,
            w,
            log_scales,
        } = self.wants;
        if log_scales && self.method.last != 0 {
            // The derivative by the initial weights is not known.
            return Err(Code::Unsupported);
        }
        let (sweep, extent) = (
            self.method.sweep()?,
            Extent::of(&c.schedule, steps, schedule),
        );
        sweep.tail(extent)?;
        let if_wanted = |wanted: bool, len: usize| if wanted { len } else { 0 };
        let sizes = c.shape.sizes();
        let workspace_len = on.workspace_len(on.training.scratch_len(&on.validation()), schedule);
        let lens = [
            workspace_len,
            sweep.need::<f32>(extent).len(),
            c.run.batch,
            sizes.hypers,
            if_wanted(schedule, c.run.rates_len),
            if_wanted(schedule, c.run.momenta_len),
            if_wanted(log_scales, sizes.log_scales),
            if_wanted(w, sizes.weights),
        ];
        let want = total(&lens)?;
        let Some(mut memory) = self.memory else {
            return Ok(Err(want));
        };
        if memory.0.len() < want {
            return Err(Code::Length);
        }
        let [_, storage, batch, hypers, rates, momenta, log_scales, w] = lens;
        let mut workspace = on.workspace(memory.take(workspace_len)?, schedule)?;
        let (storage, batch) = (memory.take(storage)?, memory.take(batch)?);
        let d_h = memory.floats(hypers)?;
        let (d_rates, d_momenta) = (memory.floats(rates)?, memory.floats(momenta)?);
        let (d_log_scales, trained) = (memory.floats(log_scales)?, memory.floats(w)?);

        let (run, storage) = (&on.training, bytemuck::cast_slice_mut(storage));
        let mut path = sweep.path::<A, f32>(extent, c.origin, storage)?;
        run.walk(&c.origin, &mut path, &mut workspace, batch, &mut c.each())?;
        for (trained, w) in trained.iter_mut().zip(workspace.w.iter()) {
            *trained = *w;
        }
        let wanted = Wanted {
            d_h,
            schedule: schedule.then_some((&mut *d_rates, &mut *d_momenta)),
        };
        let outcome = run.back(&on.validation(), &mut path, &mut workspace, batch, wanted)?;
        if let (Initial::Drawn(normal), false) = (c.origin, d_log_scales.is_empty()) {
            normal.fill(0, workspace.w);
            normal.adjoint(workspace.w, workspace.d_w, d_log_scales)?;
        }
        if !all_finite(workspace.d_w) || !all_finite(d_log_scales) {
            return Err(Code::Diverged);
        }
        Ok(Ok(Found {
            d_h,
            d_rates,
            d_momenta,
            d_w0: workspace.d_w,
            d_log_scales,
            w: trained,
            valid_loss: outcome.valid_loss,
            steps_back: outcome.steps_back,
            residual: 0.0,
            slope: 0.0,
        }))
    }
}

/// The words of memory that `drmad_hypergradient` needs for these results: it looks at the same arguments
/// and refuses the same.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_hypergradient_required_len(
    run: In<Run>,
    method: In<Method>,
    results: In<Results>,
    words: Out<usize>,
) -> i32 {
    guard(|| {
        tell_words(
            run,
            words,
            |door, shape, copy| {
                let (method, results) = (door.get(method)?, door.get(results)?);
                check_results(&results, shape, copy)?;
                Ok((method, Wants::of(&results)))
            },
            |c, (method, wants)| {
                let memory = None;
                asked(c.task(Back {
                    method,
                    wants,
                    memory,
                })?)
            },
        )
    })
}

/// The places of results, each of them admitted.
struct Writings {
    copy: Results,
    results: Writing<Results>,
    d_h: Writing<f32>,
    d_rates: Writing<f32>,
    d_momenta: Writing<f32>,
    d_w0: Writing<f32>,
    d_log_scales: Writing<f32>,
    w: Writing<f32>,
}

impl Writings {
    fn new(
        door: &mut Door,
        results: Out<Results>,
        shape: &Shape<'_>,
        run: &Run,
    ) -> Result<Self, Code> {
        let (copy, results) = door.exchange(results)?;
        check_results(&copy, shape, run)?;
        Ok(Writings {
            copy,
            results,
            d_h: door.write(copy.d_h, copy.d_h_len)?,
            d_rates: door.write(copy.d_rates, copy.d_rates_len)?,
            d_momenta: door.write(copy.d_momenta, copy.d_momenta_len)?,
            d_w0: door.write(copy.d_w0, copy.d_w0_len)?,
            d_log_scales: door.write(copy.d_log_scales, copy.d_log_scales_len)?,
            w: door.write(copy.w, copy.w_len)?,
        })
    }

    /// The one place where results are written.
    fn write(self, open: &Open, found: &Found<'_>) {
        for (place, x) in [
            (self.d_h, found.d_h),
            (self.d_rates, found.d_rates),
            (self.d_momenta, found.d_momenta),
            (self.d_w0, found.d_w0),
            (self.d_log_scales, found.d_log_scales),
            (self.w, found.w),
        ] {
            for (place, x) in place.slice(open).iter_mut().zip(x) {
                *place = *x;
            }
        }
        let Found {
            valid_loss,
            steps_back,
            residual,
            slope,
            ..
        } = *found;
        self.results.set(
            open,
            Results {
                valid_loss,
                steps_back,
                residual,
                slope,
                ..self.copy
            },
        );
    }
}

/// Trains, and takes the derivative of the validation loss back through the training. The same arguments
/// give the same bits, in any call and on any machine.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_hypergradient(
    run: In<Run>,
    method: In<Method>,
    memory: Out<u32>,
    memory_len: usize,
    results: Out<Results>,
) -> i32 {
    guard(|| {
        with_run(
            run,
            |door, shape, copy| {
                let method = door.get(method)?;
                let memory = door.write(memory, memory_len)?;
                Ok((method, memory, Writings::new(door, results, shape, copy)?))
            },
            |c, (method, memory, writings), open| {
                let task = Back {
                    method,
                    wants: Wants::of(&writings.copy),
                    memory: Some(Memory(memory.slice(open))),
                };
                let found = c.task(task)?.map_err(|_| Code::Internal)?;
                writings.write(open, &found);
                Ok(())
            },
        )
    })
}

/// How implicit differentiation solves its linear system.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solve {
    /// Conjugate gradients.
    ConjugateGradients = 0,
    /// The Neumann series.
    Neumann = 1,
}

/// Settings of implicit differentiation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// One of `drmad_solve`.
    pub solver: i32,
    /// The rate of the series.
    pub rate: f32,
    /// The most iterations, each one second-order product over all training examples.
    pub iterations: usize,
    /// The residual, relative to the right-hand side, at which they end.
    pub tolerance: f32,
    /// What is added to the diagonal of the Hessian.
    pub damping: f32,
}

/// A hypergradient from the end of training alone.
struct AtTheEnd<'m> {
    system: System,
    wants: Wants,
    memory: Option<Memory<'m>>,
}

impl<'m> Task for AtTheEnd<'m> {
    const ALL: bool = true;
    type Output = Result<Found<'m>, usize>;

    fn run<A: Arithmetic>(self, on: &On<'_, A>) -> Result<Self::Output, Code> {
        const CONJUGATE_GRADIENTS: i32 = Solve::ConjugateGradients as i32;
        const NEUMANN: i32 = Solve::Neumann as i32;
        let System {
            rate,
            iterations,
            tolerance,
            damping,
            ..
        } = self.system;
        let solver = match self.system.solver {
            CONJUGATE_GRADIENTS => Solver::ConjugateGradients,
            NEUMANN => Solver::Neumann { rate },
            _ => return Err(Code::Enum),
        };
        finite(&[&[rate, tolerance, damping]])?;
        some(&[iterations])?;
        if rate < 0.0 || damping < 0.0 || !(0.0..=1.0).contains(&tolerance) {
            return Err(Code::Range);
        }
        let c = on.checked;
        let sizes = c.shape.sizes();
        let scratch = on
            .training
            .scratch_len(&on.validation())
            .saturating_add(sizes.hypers);
        let want = total(&[on.train_len(scratch)?, c.run.train, sizes.hypers])?;
        let Some(mut memory) = self.memory else {
            return Ok(Err(want));
        };
        if memory.0.len() < want {
            return Err(Code::Length);
        }
        let examples = memory.take(c.run.train)?;
        for (i, example) in examples.iter_mut().enumerate() {
            *example = i as u32;
        }
        let d_h = memory.floats(sizes.hypers)?;
        let (mut workspace, _) = on.train(memory, scratch)?;
        let settings = Implicit {
            examples,
            solver,
            iterations,
            tolerance,
            damping,
        };
        let solved = on
            .training
            .implicit(&on.validation(), &settings, &mut workspace, d_h)?;
        Ok(Ok(Found {
            d_h,
            d_rates: &[],
            d_momenta: &[],
            d_w0: &[],
            d_log_scales: &[],
            w: if self.wants.w { workspace.w } else { &[] },
            valid_loss: solved.valid_loss,
            steps_back: solved.iterations,
            residual: solved.residual as f32,
            slope: solved.slope as f32,
        }))
    }
}

/// Implicit differentiation has nothing to say of these.
fn only_hypers_and_weights(results: &Results) -> Result<(), Code> {
    let none = [
        results.d_rates,
        results.d_momenta,
        results.d_w0,
        results.d_log_scales,
    ];
    if none.iter().all(|result| result.is_null()) {
        Ok(())
    } else {
        Err(Code::Unsupported)
    }
}

/// The words of memory that `drmad_implicit` needs.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_implicit_required_len(
    run: In<Run>,
    system: In<System>,
    results: In<Results>,
    words: Out<usize>,
) -> i32 {
    guard(|| {
        tell_words(
            run,
            words,
            |door, shape, copy| {
                let (system, results) = (door.get(system)?, door.get(results)?);
                check_results(&results, shape, copy)?;
                only_hypers_and_weights(&results)?;
                Ok((system, Wants::of(&results)))
            },
            |c, (system, wants)| {
                let memory = None;
                asked(c.task(AtTheEnd {
                    system,
                    wants,
                    memory,
                })?)
            },
        )
    })
}

/// Trains, and takes the derivative of the validation loss by implicit differentiation at the last weights.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_implicit(
    run: In<Run>,
    system: In<System>,
    memory: Out<u32>,
    memory_len: usize,
    results: Out<Results>,
) -> i32 {
    guard(|| {
        with_run(
            run,
            |door, shape, copy| {
                let system = door.get(system)?;
                let memory = door.write(memory, memory_len)?;
                let writings = Writings::new(door, results, shape, copy)?;
                only_hypers_and_weights(&writings.copy)?;
                Ok((system, memory, writings))
            },
            |c, (system, memory, writings), open| {
                let task = AtTheEnd {
                    system,
                    wants: Wants::of(&writings.copy),
                    memory: Some(Memory(memory.slice(open))),
                };
                let found = c.task(task)?.map_err(|_| Code::Internal)?;
                writings.write(open, &found);
                Ok(())
            },
        )
    })
}

/// Training alone, with the validation loss at its end.
struct Forth<'m>(Option<Memory<'m>>);

impl<'m> Task for Forth<'m> {
    type Output = Result<(&'m [f32], f32), usize>;

    fn run<A: Arithmetic>(self, on: &On<'_, A>) -> Result<Self::Output, Code> {
        let scratch = on
            .training
            .objective
            .scratch_len()
            .max(on.outside.loss_scratch_len());
        let want = on.train_len(scratch)?;
        let Some(memory) = self.0 else {
            return Ok(Err(want));
        };
        if memory.0.len() < want {
            return Err(Code::Length);
        }
        let (workspace, _) = on.train(memory, scratch)?;
        let loss = on.loss(workspace.w, workspace.scratch)?;
        Ok(Ok((workspace.w, loss)))
    }
}

impl<A: Arithmetic> On<'_, A> {
    fn loss(&self, w: &[f32], scratch: &mut [f32]) -> Result<f32, Code> {
        let (h, batch) = (self.checked.h, self.checked.valid);
        let loss = self.outside.loss(At { w, h, batch }, scratch)?;
        if loss.is_finite() {
            Ok(loss)
        } else {
            Err(Code::Diverged)
        }
    }
}

/// The words of memory that `drmad_train` needs.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_train_required_len(run: In<Run>, words: Out<usize>) -> i32 {
    guard(|| {
        let want = |c: &Checked<'_>, ()| asked(c.task(Forth(None))?);
        tell_words(run, words, no_more, want)
    })
}

/// Trains: the last weights to `w`, the validation loss to `valid_loss`.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_train(
    run: In<Run>,
    memory: Out<u32>,
    memory_len: usize,
    w: Out<f32>,
    w_len: usize,
    valid_loss: Out<f32>,
) -> i32 {
    guard(|| {
        with_run(
            run,
            |door, shape, _| {
                if w_len != shape.weights {
                    return Err(Code::Length);
                }
                let memory = door.write(memory, memory_len)?;
                Ok((memory, door.write(w, w_len)?, door.write(valid_loss, 1)?))
            },
            |c, (memory, w, valid_loss), open| {
                let task = Forth(Some(Memory(memory.slice(open))));
                let (trained, loss) = c.task(task)?.map_err(|_| Code::Internal)?;
                for (w, trained) in w.slice(open).iter_mut().zip(trained) {
                    *w = *trained;
                }
                valid_loss.set(open, loss);
                Ok(())
            },
        )
    })
}

/// The validation loss at given weights.
struct Loss<'m>(Option<(&'m [f32], Memory<'m>)>);

impl Task for Loss<'_> {
    type Output = Result<f32, usize>;

    fn run<A: Arithmetic>(self, on: &On<'_, A>) -> Result<Self::Output, Code> {
        let want = total(&[on.outside.loss_scratch_len()])?;
        let Some((w, mut memory)) = self.0 else {
            return Ok(Err(want));
        };
        Ok(Ok(on.loss(w, memory.floats(want)?)?))
    }
}

/// The words of memory that `drmad_valid_loss` needs.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_valid_loss_required_len(run: In<Run>, words: Out<usize>) -> i32 {
    guard(|| {
        let want = |c: &Checked<'_>, ()| asked(c.task(Loss(None))?);
        tell_words(run, words, no_more, want)
    })
}

/// The validation loss at weights `w`, without training.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_valid_loss(
    run: In<Run>,
    w: In<f32>,
    w_len: usize,
    memory: Out<u32>,
    memory_len: usize,
    valid_loss: Out<f32>,
) -> i32 {
    guard(|| {
        with_run(
            run,
            |door, shape, _| {
                if w_len != shape.weights {
                    return Err(Code::Length);
                }
                let memory = door.write(memory, memory_len)?;
                Ok((door.read(w, w_len)?, memory, door.write(valid_loss, 1)?))
            },
            |c, (w, memory, valid_loss), open| {
                let w = w.slice(open);
                finite(&[w])?;
                let task = Loss(Some((w, Memory(memory.slice(open)))));
                let loss = c.task(task)?.map_err(|_| Code::Internal)?;
                valid_loss.set(open, loss);
                Ok(())
            },
        )
    })
}

impl Checked<'_> {
    /// Words that a prediction takes: scaled weights, and the network's scratch.
    fn predict_len<A: Arithmetic>(&self) -> Result<usize, Code> {
        let scaled = if self.shape.scale.is_some() {
            self.shape.weights
        } else {
            0
        };
        let probabilities = times(self.chunk(), self.classes())?;
        total(&[scaled, probabilities, self.network::<A>(0)?.scratch_len()])
    }

    fn chunk(&self) -> usize {
        match self.run.chunk {
            0 => self.run.batch,
            chunk => chunk,
        }
    }

    fn classes(&self) -> usize {
        self.shape.widths.last().copied().unwrap_or(0)
    }

    fn predict<A: Arithmetic>(
        &self,
        z: &[f32],
        mut memory: Memory<'_>,
        probabilities: &mut [f32],
    ) -> Result<(), Code> {
        if memory.0.len() < self.predict_len::<A>()? {
            return Err(Code::Length);
        }
        let w = match self.shape.scale {
            None => z,
            Some(groups) => {
                let w = memory.floats(z.len())?;
                for block in groups.blocks() {
                    let (z, w) = (block.of(z), block.of_mut(w));
                    match block.hyper {
                        Some(_) => scale_rows(block.columns, block.hypers(self.h), z, w),
                        None => w.copy_from_slice(z),
                    }
                }
                w
            }
        };
        let net = self.network::<A>(0)?;
        let scratch = memory.floats(net.scratch_len())?;
        // All of them are seen to be finite before the first is written to its place.
        let room = memory.floats(times(self.chunk(), self.classes())?)?;
        let pieces = || self.valid.chunks(self.chunk());
        for piece in pieces() {
            let p = room
                .get_mut(..piece.len() * self.classes())
                .ok_or(Code::Length)?;
            net.predict(w, piece, p, scratch)?;
            if !all_finite(p) {
                return Err(Code::Diverged);
            }
        }
        for (piece, p) in pieces().zip(probabilities.chunks_mut(self.chunk() * self.classes())) {
            net.predict(w, piece, p, scratch)?;
        }
        Ok(())
    }
}

/// The words of memory that `drmad_predict` needs.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_predict_required_len(run: In<Run>, words: Out<usize>) -> i32 {
    guard(|| {
        tell_words(
            run,
            words,
            no_more,
            |c, ()| in_arithmetic!(c.run.arithmetic, A => c.predict_len::<A>()),
        )
    })
}

/// The probabilities of the classes for the examples in `valid`, at weights `w`: valid_len x classes.
/// Each piece is computed twice, so that nothing is written where one is not finite.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_predict(
    run: In<Run>,
    w: In<f32>,
    w_len: usize,
    memory: Out<u32>,
    memory_len: usize,
    probabilities: Out<f32>,
    probabilities_len: usize,
) -> i32 {
    guard(|| {
        with_run(
            run,
            |door, shape, copy| {
                let classes = shape.widths.last().copied().unwrap_or(0);
                if w_len != shape.weights || probabilities_len != times(copy.valid_len, classes)? {
                    return Err(Code::Length);
                }
                let (w, memory) = (door.read(w, w_len)?, door.write(memory, memory_len)?);
                Ok((w, memory, door.write(probabilities, probabilities_len)?))
            },
            |c, (w, memory, probabilities), open| {
                let w = w.slice(open);
                finite(&[w])?;
                let (memory, to) = (Memory(memory.slice(open)), probabilities.slice(open));
                in_arithmetic!(c.run.arithmetic, A => c.predict::<A>(w, memory, to))
            },
        )
    })
}
