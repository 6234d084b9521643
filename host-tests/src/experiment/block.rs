//! What is tuned: blocks of hyperparameters.

use drmad::Plain;
use drmad::group::Granularity;
use drmad::outer::Parametrisation;
use drmad::training::{self, Tuned};
use serde::{Deserialize, Serialize};

/// What the numbers of a block are. In the objective's `h` they lie in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A weight for each training example, in [0, 1].
    ExampleWeight,
    /// The training images themselves, one after another: example `i` is of class `i mod classes`.
    Pixel,
    /// The logarithm `t` of a scale: `w = z exp(t)`, with the fixed penalty on `z`.
    Scale,
    /// The logarithm of an L2 coefficient.
    Penalty,
    /// The logarithm of the initial weights' scale.
    InitialScale,
    /// The logarithm of a rate.
    Rate,
    /// The logit of a momentum.
    Momentum,
}

impl What {
    /// How a number of the block stands for what the training takes.
    pub const fn parametrisation(self) -> Option<Parametrisation> {
        match self {
            What::Scale | What::Penalty | What::Rate => Some(Parametrisation::Log),
            What::Momentum => Some(Parametrisation::Logit),
            What::ExampleWeight | What::Pixel | What::InitialScale => None,
        }
    }

    /// Whether the objective takes it, as a part of `h`.
    pub const fn in_objective(self) -> bool {
        !matches!(self, What::InitialScale | What::Rate | What::Momentum)
    }

    /// The key of a file that gives what the block tunes where it is not tuned, and the block's own name
    /// there.
    pub const fn fixed(self) -> Option<(&'static str, &'static str)> {
        match self {
            What::Rate => Some(("rate", "rate")),
            What::Momentum => Some(("momentum", "momentum")),
            What::InitialScale => Some(("log-scale", "initial-scale")),
            What::Penalty => Some(("log-l2", "penalty")),
            What::ExampleWeight | What::Pixel | What::Scale => None,
        }
    }

    /// What the training takes for a number of the block.
    pub fn value_of(self, number: f32) -> f32 {
        let mut value = [number];
        if let Some(parametrisation) = self.parametrisation() {
            parametrisation.value::<Plain, _>(&mut value);
        }
        value[0]
    }

    /// What a number is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            What::ExampleWeight => "weight of an example",
            What::Pixel => "pixel",
            What::Scale => "log scale",
            What::Penalty => "log penalty",
            What::InitialScale => "log initial scale",
            What::Rate => "log rate",
            What::Momentum => "logit momentum",
        }
    }
}

/// How many weights share a number; see [`Granularity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // those of the crate
pub enum By {
    #[default]
    Global,
    Layer,
    Tensor,
    Unit,
    Parameter,
}

impl From<By> for Granularity {
    fn from(by: By) -> Self {
        match by {
            By::Global => Granularity::Global,
            By::Layer => Granularity::Layer,
            By::Tensor => Granularity::Tensor,
            By::Unit => Granularity::Unit,
            By::Parameter => Granularity::Parameter,
        }
    }
}

/// A block of hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Block {
    /// What they are.
    pub what: What,
    /// Which weights share one; of weights of examples and of pixels it says nothing.
    #[serde(default)]
    pub by: By,
    /// Of rates and momenta: whether each step has its own.
    #[serde(default)]
    pub each_step: bool,
    /// Where they start.
    pub start: f32,
    /// Of weights of examples: what they may add up to.
    #[serde(default)]
    pub total: Option<f32>,
    /// Of penalties: whether a number is the coefficient itself, at least 0, and not its logarithm.
    #[serde(default)]
    pub natural: bool,
}

impl Block {
    /// How a number of the block stands for what the training takes.
    pub const fn parametrisation(&self) -> Option<Parametrisation> {
        if self.natural {
            None
        } else {
            self.what.parametrisation()
        }
    }
}

impl From<&Block> for Tuned {
    fn from(block: &Block) -> Self {
        let what = match block.what {
            What::ExampleWeight => training::What::ExampleWeight,
            What::Pixel => training::What::Input,
            What::Scale => training::What::Scale,
            What::Penalty => training::What::Penalty,
            What::InitialScale => training::What::InitialScale,
            What::Rate => training::What::Rate,
            What::Momentum => training::What::Momentum,
        };
        let default = Tuned::new(what, block.by.into());
        Tuned {
            each_step: block.each_step,
            parametrisation: default.parametrisation.filter(|_| !block.natural),
            ..default
        }
    }
}
