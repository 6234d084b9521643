//! What an experiment is: a network, its data, a training, and what is tuned.
//!
//! An experiment is one entry of [`EXPERIMENTS`]; everything else follows from it. Settings are
//! those of the papers.

use drmad::Plain;
use drmad::group::{Granularity, Groups, Layout};
use serde::{Deserialize, Serialize};

use crate::inputs::Inputs;

/// What the hyperparameters are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tuned {
    /// A scale `t` a group: `w = z exp(t)`, with the fixed penalty on `z`.
    Scales(Granularity),
    /// The logarithm of an L2 coefficient a group.
    Penalties(Granularity),
    /// A log initial scale for each tensor, then for each step and tensor a log rate, then for each
    /// step and tensor a logit momentum.
    Schedules,
}

/// Which examples the outer loss is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// The validation examples.
    Valid,
    /// The training examples.
    Train,
}

/// The settings of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// Widths of the network.
    pub layers: &'static [usize],
    /// Training, validation and test examples.
    pub examples: [usize; 3],
    /// What the outer loss is taken over.
    pub outside: Outside,
    /// How the network reads its images.
    pub inputs: Inputs,
    /// Examples in a batch.
    pub batch: usize,
    /// Training steps.
    pub steps: usize,
    /// The rate.
    pub rate: f32,
    /// The momentum.
    pub momentum: f32,
    /// The logarithm of the initial weights' scale.
    pub log_scale: f32,
    /// The logarithm of the fixed penalty's coefficient.
    pub log_l2: Option<f32>,
    /// What is tuned.
    pub tuned: Tuned,
    /// Where each hyperparameter starts (scales and penalties).
    pub start: f32,
    /// Steps of the outer optimiser.
    pub meta_steps: usize,
    /// Its rate: Adam's, and that of the sign.
    pub outer_rates: [f32; 2],
}

/// The paper's network.
const DEEP: &[usize] = &[784, 50, 50, 50, 10];

const UNITS: Experiment = Experiment {
    name: "mnist-units",
    title: "A scale for each unit of 784-50-50-50-10 on MNIST (Fu et al. 2016)",
    layers: DEEP,
    examples: [15_000, 5_000, 5_000],
    outside: Outside::Valid,
    inputs: Inputs::Sparse,
    batch: 50,
    steps: 2000,
    rate: 0.05,
    momentum: 0.95,
    log_scale: -3.0,
    log_l2: Some(-4.0),
    tuned: Tuned::Scales(Granularity::Unit),
    start: 0.2,
    meta_steps: 20,
    outer_rates: [0.07, 0.07],
};

/// All experiments; the first is the default.
pub const EXPERIMENTS: &[Experiment] = &[
    UNITS,
    Experiment {
        name: "mnist-scales",
        title: "The same with a scale for each weight",
        steps: 1000,
        tuned: Tuned::Scales(Granularity::Parameter),
        ..UNITS
    },
    Experiment {
        name: "mnist-layers",
        title: "The same with a scale for each layer",
        tuned: Tuned::Scales(Granularity::Layer),
        ..UNITS
    },
    Experiment {
        name: "mnist-global",
        title: "The same with one scale for all weights",
        tuned: Tuned::Scales(Granularity::Global),
        ..UNITS
    },
    Experiment {
        name: "mnist-l2-units",
        title: "An L2 coefficient for each unit of 784-50-50-50-10 on MNIST",
        log_l2: None,
        tuned: Tuned::Penalties(Granularity::Unit),
        start: -6.0,
        outer_rates: [0.2, 0.2],
        ..UNITS
    },
    Experiment {
        name: "mnist-l2",
        title: "An L2 coefficient for each of its 44,860 weights",
        log_l2: None,
        tuned: Tuned::Penalties(Granularity::Parameter),
        start: -6.0,
        outer_rates: [0.2, 0.2],
        ..UNITS
    },
    Experiment {
        name: "schedules",
        title: "Rate and momentum of each step and tensor, and initial scales (Maclaurin et al. 2015)",
        layers: DEEP,
        examples: [10_000, 10_000, 10_000],
        outside: Outside::Train,
        inputs: Inputs::Sparse,
        batch: 200,
        steps: 100,
        rate: 0.367_879_45,
        momentum: 0.622_459_35,
        log_scale: -3.0,
        log_l2: None,
        tuned: Tuned::Schedules,
        start: 0.0,
        meta_steps: 50,
        outer_rates: [0.04, 0.04],
    },
];

/// Finds an experiment by its name.
pub fn find(name: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|e| e.name == name)
}

impl Experiment {
    /// Its weights.
    pub const fn weights(&self) -> usize {
        Layout::Layers(self.layers).weights()
    }

    /// Its widths, as in 784-50-10.
    pub fn network(&self) -> String {
        let widths: Vec<String> = self.layers.iter().map(usize::to_string).collect();
        widths.join("-")
    }

    /// The coefficient of the fixed penalty. By this crate's `exp`, so that it has the same bits on
    /// every machine.
    pub fn l2(&self) -> Option<f32> {
        self.log_l2.map(drmad::kernels::math::exp::<Plain>)
    }

    /// Which weights share a hyperparameter (for schedules: a rate and a momentum).
    pub const fn groups(&self) -> Groups<'static> {
        let (by, biases) = match self.tuned {
            Tuned::Scales(by) | Tuned::Penalties(by) => (by, matches!(by, Granularity::Parameter)),
            Tuned::Schedules => (Granularity::Tensor, true),
        };
        Groups {
            layout: Layout::Layers(self.layers),
            by,
            biases,
        }
    }

    /// The number of hyperparameters.
    pub fn hypers(&self) -> usize {
        let groups = self.groups().len();
        match self.tuned {
            Tuned::Schedules => groups * (1 + 2 * self.steps),
            _ => groups,
        }
    }

    /// Their values at the start.
    pub fn start(&self) -> Vec<f32> {
        let groups = self.groups().len();
        match self.tuned {
            Tuned::Schedules => {
                let mut hyper = vec![self.log_scale; groups];
                hyper.resize(groups * (1 + self.steps), -1.0);
                hyper.resize(groups * (1 + 2 * self.steps), 0.5);
                hyper
            }
            _ => vec![self.start; groups],
        }
    }

    /// A hyperparameter as it is reported, and its name: the log L2 coefficient that a scale amounts
    /// to, or the hyperparameter itself.
    pub fn reported(&self, hyper: f32) -> (f32, &'static str) {
        match self.tuned {
            Tuned::Scales(_) => (self.log_l2.unwrap_or(0.0) - 2.0 * hyper, "log penalty"),
            Tuned::Penalties(_) => (hyper, "log penalty"),
            Tuned::Schedules => (hyper, "value"),
        }
    }
}

/// The rounding of a multiply-add, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// Products and sums rounded apart.
    Plain,
    /// Every multiply-add one rounding.
    Fused,
}
