//! What a training stands for in the crate: its description, then the buffers that it names.
//!
//! The description is looked at behind a door of its own, since all lengths follow from it. What it lies in is
//! admitted again with the buffers, so that nothing is written over it.
//!
//! Refused: what the crate's [`Training::check`] refuses, values of enumerations that do not exist, more layers than
//! there may be, sizes of 0 and beyond the address space, numbers that are not finite.

use drmad::Arithmetic;
use drmad::group::Granularity;
use drmad::kernels::reversible::Ratio;
use drmad::layers::Layer;
use drmad::method::{Method, Recall, Sweep};
use drmad::network::{Loss, Network};
use drmad::outer::Parametrisation;
use drmad::schedule::Optimizer;
use drmad::training::{Compiled, Losses, Model, On, Training, Tuned, What};
use heapless::Vec;

use crate::check::{finite, flag, known_arithmetic, one_of, some};
use crate::error::Code;
use crate::examples::{self, Lent};
use crate::raw::{Door, In, Open, Reading};
use crate::types::{self, ABI, By, Kind, MOST_LAYERS};

/// No size is beyond this, so that sums of some dozens of them fit.
const MOST: usize = isize::MAX as usize / 256;

/// Kinds of hyperparameters, each of which may be tuned once.
const MOST_TUNED: usize = 7;

/// A training as its struct says it, without the buffers of its numbers.
pub(crate) struct Plan {
    pub(crate) given: types::Training,
    loss: Loss,
    optimizer: Optimizer,
    layers: Vec<Layer, MOST_LAYERS>,
    tuned: Vec<Tuned, MOST_TUNED>,
}

impl types::Layer {
    fn layer(&self) -> Result<Layer, Code> {
        let layers = [
            (Kind::Dense as i32, Layer::Dense(self.units)),
            (Kind::Tanh as i32, Layer::Tanh),
            (Kind::Relu as i32, Layer::Relu),
        ];
        match one_of(self.kind, &layers)? {
            Layer::Dense(0) => Err(Code::Empty),
            Layer::Tanh | Layer::Relu if self.units != 0 => Err(Code::Range),
            layer => Ok(layer),
        }
    }
}

impl types::Tuned {
    fn tuned(&self) -> Result<Tuned, Code> {
        let whats = [
            (types::What::Penalty as i32, What::Penalty),
            (types::What::Scale as i32, What::Scale),
            (types::What::Rate as i32, What::Rate),
            (types::What::Momentum as i32, What::Momentum),
            (types::What::InitialScale as i32, What::InitialScale),
            (types::What::ExampleWeight as i32, What::ExampleWeight),
            (types::What::Input as i32, What::Input),
        ];
        let shares = [
            (By::Global as i32, Granularity::Global),
            (By::Layer as i32, Granularity::Layer),
            (By::Tensor as i32, Granularity::Tensor),
            (By::Unit as i32, Granularity::Unit),
            (By::Parameter as i32, Granularity::Parameter),
        ];
        let what = one_of(self.what, &whats)?;
        let parametrisations = [
            (
                types::Parametrisation::Default as i32,
                what.parametrisation(),
            ),
            (types::Parametrisation::Natural as i32, None),
            (
                types::Parametrisation::Log as i32,
                Some(Parametrisation::Log),
            ),
            (
                types::Parametrisation::Logit as i32,
                Some(Parametrisation::Logit),
            ),
        ];
        Ok(Tuned {
            what,
            by: one_of(self.by, &shares)?,
            each_step: flag(self.each_step)?,
            parametrisation: one_of(self.parametrisation, &parametrisations)?,
        })
    }
}

impl types::Training {
    fn optimizer(&self) -> Result<Optimizer, Code> {
        let or = |value: f32, default: f32| if value == 0.0 { default } else { value };
        let adam = Optimizer::Adam {
            b2: or(self.b2, 0.999),
            eps: or(self.eps, 1e-8),
            decay: self.decay,
        };
        let rules = [
            (types::Optimizer::HeavyBall as i32, Optimizer::HeavyBall),
            (types::Optimizer::Nesterov as i32, Optimizer::Nesterov),
            (types::Optimizer::Adam as i32, adam),
        ];
        one_of(self.optimizer, &rules)
    }

    fn loss(&self) -> Result<Loss, Code> {
        let losses = [
            (types::Loss::CrossEntropy as i32, Loss::CrossEntropy),
            (types::Loss::SquaredError as i32, Loss::SquaredError),
        ];
        one_of(self.loss, &losses)
    }
}

impl Plan {
    /// The description, and a door through which what it lies in has gone.
    pub(crate) fn read(training: In<types::Training>) -> Result<(Self, Door), Code> {
        let mut first = Door::new();
        let given = first.get(training)?;
        if given.abi != ABI {
            return Err(Code::Abi);
        }
        known_arithmetic(given.arithmetic)?;
        let layers = first.read(given.layers, given.layers_len)?;
        let tuned = first.read(given.tuned, given.tuned_len)?;
        let open = first.open()?;
        let plan = Plan::new(given, layers.slice(&open), tuned.slice(&open))?;
        let mut door = Door::new();
        door.get(training)?;
        door.read(given.layers, given.layers_len)?;
        door.read(given.tuned, given.tuned_len)?;
        Ok((plan, door))
    }

    fn new(
        given: types::Training,
        layers: &[types::Layer],
        tuned: &[types::Tuned],
    ) -> Result<Self, Code> {
        let counts = [given.train.len, given.valid.len, given.steps];
        some(&counts)?;
        some(&[given.inputs, given.batch, layers.len()])?;
        if counts.iter().any(|n| u32::try_from(*n).is_err()) {
            return Err(Code::Range);
        }
        finite(&[&[given.b2, given.eps, given.decay]])?;
        let mut plan = Plan {
            given,
            loss: given.loss()?,
            optimizer: given.optimizer()?,
            layers: Vec::new(),
            tuned: Vec::new(),
        };
        for layer in layers {
            (plan.layers.push(layer.layer()?)).map_err(|_| Code::Range)?;
        }
        for tuned in tuned {
            (plan.tuned.push(tuned.tuned()?)).map_err(|_| Code::Unsupported)?;
        }
        plan.training().check()?;
        if plan.weights() > MOST || plan.hypers() > MOST {
            return Err(Code::Size);
        }
        Ok(plan)
    }

    fn network(&self) -> Network<'_> {
        Network {
            inputs: self.given.inputs,
            layers: &self.layers,
            loss: self.loss,
        }
    }

    /// The crate's training.
    pub(crate) fn training(&self) -> Training<'_> {
        let given = &self.given;
        Training {
            model: Model::Network {
                network: self.network(),
                sparse: false,
            },
            examples: given.train.len,
            valid_examples: given.valid.len,
            tuned: &self.tuned,
            optimizer: self.optimizer,
            rate: given.rate,
            momentum: given.momentum,
            log_scale: given.log_scale,
            l2: given.l2,
            batch: given.batch,
            microbatch: (given.microbatch > 0).then_some(given.microbatch),
            steps: given.steps,
            seed: given.seed,
        }
    }

    pub(crate) fn weights(&self) -> usize {
        self.network().weights()
    }

    pub(crate) fn outputs(&self) -> usize {
        self.network().outputs()
    }

    pub(crate) fn hypers(&self) -> usize {
        self.training().hypers().len()
    }

    /// Words of memory for every operation with a method.
    pub(crate) fn memory(&self, method: Method) -> Result<usize, Code> {
        let is_reversible = |sweep: Sweep| sweep.recall == Recall::Reversible;
        if is_reversible(method.sweep()) && Ratio::nearest(self.given.momentum.into()).is_none() {
            return Err(Code::Range);
        }
        let training = self.training();
        let least = training.need::<f32>(Method::Direct);
        match training.need::<f32>(method).or(least).len() {
            words if words > MOST => Err(Code::Size),
            words => Ok(words),
        }
    }

    /// Refuses memory that is too short for a method.
    pub(crate) fn check_memory(&self, method: Method, words: usize) -> Result<(), Code> {
        if words < self.memory(method)? {
            return Err(Code::Length);
        }
        Ok(())
    }

    /// Admits the buffers of its numbers.
    pub(crate) fn admit(&self, door: &mut Door) -> Result<Readings, Code> {
        let (given, inputs, outputs) = (&self.given, self.given.inputs, self.outputs());
        let initial = if given.initial.is_null() {
            0
        } else {
            self.weights()
        };
        if given.h_len != self.hypers() || given.initial_len != initial {
            return Err(Code::Length);
        }
        Ok(Readings {
            train: given.train.admit(door, inputs, outputs)?,
            valid: given.valid.admit(door, inputs, outputs)?,
            h: door.read(given.h, given.h_len)?,
            initial: door.read(given.initial, initial)?,
        })
    }
}

/// The buffers of a training, each of them admitted.
pub(crate) struct Readings {
    train: examples::Readings,
    valid: examples::Readings,
    h: Reading<f32>,
    initial: Reading<f32>,
}

impl Readings {
    pub(crate) fn check<'o>(self, plan: &'o Plan, open: &'o Open) -> Result<Checked<'o>, Code> {
        let (given, inputs, outputs) = (&plan.given, plan.given.inputs, plan.outputs());
        let (h, initial) = (self.h.slice(open), self.initial.slice(open));
        finite(&[h, initial])?;
        Ok(Checked {
            training: plan.training(),
            train: self.train.check(&given.train, inputs, outputs, open)?,
            valid: self.valid.check(&given.valid, inputs, outputs, open)?,
            h,
            initial: (!initial.is_empty()).then_some(initial),
        })
    }
}

/// A training whose every number was looked at.
pub(crate) struct Checked<'o> {
    pub(crate) training: Training<'o>,
    train: Lent<'o>,
    valid: Lent<'o>,
    pub(crate) h: &'o [f32],
    initial: Option<&'o [f32]>,
}

impl<'o> Checked<'o> {
    pub(crate) fn losses<A: Arithmetic>(&self) -> Result<Losses<'_, A>, Code> {
        Ok(self.training.losses(&self.train, &self.valid)?)
    }

    pub(crate) fn on<'l, A: Compiled<f32>>(&'l self, losses: &'l Losses<'_, A>) -> On<'l, A, f32> {
        let initial = self.initial;
        On {
            initial,
            ..losses.on()
        }
    }
}
