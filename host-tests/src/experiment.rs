//! What an experiment is: a network, its data, a training, and what is tuned.
//!
//! An experiment is a short file; [`recipe`](crate::recipe) reads it. What is tuned is a list of
//! [blocks](Block): the hyperparameters are the numbers of the first block, then those of the second, and
//! so on.
//!
//! Refused: rates and momenta with groups of their own each, scales and learned pixels of half a network,
//! and whatever else a training could not be run with; [`Experiment::check`] says what.

use std::ops::Range;

use anyhow::Context;
use anyhow::{Result, bail, ensure};
use drmad::Plain;
use drmad::group::{Groups, Layout};
use drmad::training::Tuned;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::inputs::Inputs;
use crate::method::{Method, MethodOptions, Name};
use crate::reduction::Reduction;
use crate::setting::{self, Unknown};
use crate::words::several;

mod block;

pub use block::{Block, By, What};

/// Which examples the outer loss is taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OuterLoss {
    /// The validation examples.
    #[default]
    Valid,
    /// The training examples.
    Train,
}

/// How many examples there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Counts {
    /// To train on.
    pub train: usize,
    /// For the outer loss.
    pub valid: usize,
    /// To judge by.
    pub test: usize,
    /// Of the training examples, the first so many have a wrong label.
    #[serde(default)]
    pub wrong_labels: usize,
    /// Whether every meta-iteration has the same examples, initial weights and batches.
    #[serde(default)]
    pub fixed: bool,
}

/// The outer optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OuterOptimizer {
    /// Adam.
    #[default]
    Adam,
    /// A step of one size down each sign, as the DrMAD paper does.
    Sign,
    /// Gradient descent.
    Sgd,
}

impl OuterOptimizer {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            OuterOptimizer::Adam => "Adam",
            OuterOptimizer::Sign => "sign",
            OuterOptimizer::Sgd => "SGD",
        }
    }
}

/// The rate of each outer optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the names of the optimizers
pub struct OuterRates {
    pub adam: f32,
    pub sign: f32,
    pub sgd: f32,
}

impl Default for OuterRates {
    fn default() -> Self {
        let (adam, sign, sgd) = (0.07, 0.07, 1.0);
        OuterRates { adam, sign, sgd }
    }
}

/// Clients, who hold examples of their own and share their hypergradients alone.
///
/// Of the examples a run chooses a pool, and of the pool each client its shard: as many as it trains on
/// and validates with, none of them twice. Shards overlap where they are more than the pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Clients {
    /// How many there are.
    pub count: usize,
    /// What they follow.
    #[serde(default)]
    pub reduction: Reduction,
    /// The training examples that their shards are of.
    pub pool: usize,
}

impl Clients {
    /// In a few words.
    pub fn describe(&self) -> String {
        let Clients { count, pool, .. } = self;
        let follow = self.reduction.describe();
        let pool = several(*pool, "example");
        format!("{count}, with shards of a pool of {pool}; all follow {follow}")
    }
}

/// The outer loop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Outer {
    /// What moves the hyperparameters.
    #[serde(default)]
    pub optimizer: OuterOptimizer,
    /// How far, for each of those.
    #[serde(default)]
    pub rates: OuterRates,
    /// Meta-iterations.
    pub meta_steps: usize,
    /// Draws of a meta-iteration, whose mean hypergradient is followed.
    #[serde(default = "one")]
    pub draws: usize,
    /// Clients, where there are some: each has one draw, of its shard.
    #[serde(default)]
    pub clients: Option<Clients>,
    /// Whether a training starts at the last weights of the one before.
    #[serde(default)]
    pub warm: bool,
}

const fn one() -> usize {
    1
}

impl Outer {
    /// The trainings of a meta-iteration.
    pub fn trainings(&self) -> usize {
        self.clients.map_or(self.draws, |clients| clients.count)
    }

    /// What becomes of their hypergradients.
    pub fn reduction(&self) -> Reduction {
        let clients = self.clients.map(|clients| clients.reduction);
        clients.unwrap_or_default()
    }

    /// The rate of its optimizer.
    pub const fn rate(&self) -> f32 {
        let OuterRates { adam, sign, sgd } = self.rates;
        match self.optimizer {
            OuterOptimizer::Adam => adam,
            OuterOptimizer::Sign => sign,
            OuterOptimizer::Sgd => sgd,
        }
    }

    /// Sets the rate of its optimizer.
    pub const fn set_rate(&mut self, rate: f32) {
        let OuterRates { adam, sign, sgd } = &mut self.rates;
        match self.optimizer {
            OuterOptimizer::Adam => *adam = rate,
            OuterOptimizer::Sign => *sign = rate,
            OuterOptimizer::Sgd => *sgd = rate,
        }
    }
}

/// The settings of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Experiment {
    /// Its name on the command line: that of its file.
    #[serde(default)]
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Widths of the network.
    pub layers: Vec<usize>,
    /// How many examples there are.
    pub examples: Counts,
    /// What the outer loss is taken over.
    #[serde(default)]
    pub outer_loss: OuterLoss,
    /// How the network reads its images.
    #[serde(default)]
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
    #[serde(default)]
    pub log_l2: Option<f32>,
    /// What is tuned.
    pub tuned: Vec<Block>,
    /// How it is tuned.
    pub outer: Outer,
    /// How hypergradients are taken.
    #[serde(default)]
    pub method: MethodOptions,
}

impl Experiment {
    /// Whether it can be run.
    ///
    /// # Errors
    /// The first setting that makes no sense, with its value.
    pub fn check(&self) -> Result<()> {
        let settings = Table::try_from(self).context("the settings of an experiment")?;
        setting::check(&settings, setting::EXPERIMENT, Unknown::Refused)?;
        let layers = &self.layers;
        ensure!(
            layers.len() >= 2,
            "layers has {}: give at least two widths",
            several(layers.len(), "width")
        );
        let product = layers.windows(2).try_fold(0usize, |sum, pair| {
            let [a, b] = pair else { return None };
            sum.checked_add(a.checked_add(1)?.checked_mul(*b)?)
        });
        ensure!(
            product.is_some_and(|p| u32::try_from(p).is_ok()),
            "layers are {}: that is more weights than a network can have",
            self.network()
        );
        ensure!(
            self.examples.wrong_labels <= self.examples.train,
            "examples.wrong-labels is {}: there are {}",
            self.examples.wrong_labels,
            several(self.examples.train, "training example")
        );
        if let Some(clients) = &self.outer.clients {
            self.check_clients(clients)?;
        }
        ensure!(
            !self.outer.warm
                || (self.outer.trainings() == 1 && self.block(What::InitialScale).is_none()),
            "outer.warm: a training starts where one other ended; give one draw or client, and no initial scales to tune"
        );
        let method = self.method()?;
        ensure!(
            !self.outer.warm || method.name != Name::Forward,
            "outer.warm: forward mode starts at initial weights of its own; take a method with a path"
        );
        let examples_of_it = match self.outer_loss {
            OuterLoss::Valid => self.examples.valid,
            OuterLoss::Train => self.examples.train,
        };
        if let Some(examples) = method.validate_on {
            ensure!(
                examples <= examples_of_it,
                "method.validate-on is {examples}: there are {}",
                several(examples_of_it, "example")
            );
        }
        self.check_blocks()
    }

    fn check_clients(&self, clients: &Clients) -> Result<()> {
        let pool = clients.pool;
        let shard = self.examples.train.saturating_add(self.examples.valid);
        ensure!(
            shard <= pool,
            "outer.clients.pool is {pool}: a shard has {}",
            several(shard, "example")
        );
        ensure!(
            self.outer.draws == 1,
            "outer.draws is {}: each client has one draw",
            self.outer.draws
        );
        for what in [What::ExampleWeight, What::Pixel] {
            ensure!(
                self.block(what).is_none(),
                "a {} belongs to one client's examples: clients share what belongs to the training",
                what.as_str()
            );
        }
        Ok(())
    }

    fn check_blocks(&self) -> Result<()> {
        ensure!(
            !self.tuned.is_empty(),
            "nothing is tuned: give at least one [[tuned]]"
        );
        for (i, block) in self.tuned.iter().enumerate() {
            let what = block.what.as_str();
            ensure!(
                self.tuned[..i].iter().all(|b| b.what != block.what),
                "{what} is tuned twice: give each block once"
            );
            ensure!(
                !block.each_step || matches!(block.what, What::Rate | What::Momentum),
                "{what} cannot differ from step to step: leave out each-step"
            );
            ensure!(
                !block.natural || (block.what == What::Penalty && block.start >= 0.0),
                "{what} starts at {} and is natural: only a penalty can be, from at least 0",
                block.start
            );
            if let Some(total) = block.total {
                ensure!(
                    block.what == What::ExampleWeight,
                    "{what} has the total {total}: only weights of examples have one"
                );
            }
        }
        if let (Some(rate), Some(momentum)) = (self.block(What::Rate), self.block(What::Momentum))
            && rate.by != momentum.by
        {
            bail!("rates and momenta must be tuned by the same groups");
        }
        if self.block(What::Pixel).is_some() {
            let classes = self.classes();
            ensure!(
                self.block(What::ExampleWeight).is_none() && self.examples.wrong_labels == 0,
                "learned images have their own labels, and no weights"
            );
            ensure!(
                self.examples.train.is_multiple_of(classes),
                "examples.train is {}: learned images are as many for each of {classes} classes",
                self.examples.train
            );
        }
        Ok(())
    }

    /// Its method, whose defaults fit its steps.
    ///
    /// # Errors
    /// As [`MethodOptions::method`].
    pub fn method(&self) -> Result<Method> {
        self.method.method(self.steps)
    }

    /// A setting of the training for people: where what is tuned starts, and of a penalty that is tuned that
    /// none is fixed.
    pub fn said(&self, what: What) -> String {
        let fixed = match what {
            What::Rate => Some(self.rate),
            What::Momentum => Some(self.momentum),
            What::InitialScale => Some(self.log_scale),
            What::Penalty => self.log_l2,
            What::ExampleWeight | What::Pixel | What::Scale => None,
        };
        match (self.block(what), fixed) {
            (Some(block), Some(_)) if what != What::Penalty => {
                format!("tuned, from {}", what.value_of(block.start))
            }
            (None, Some(fixed)) => fixed.to_string(),
            _ => "none".to_string(),
        }
    }

    /// The block of this kind, where it is tuned.
    pub fn block(&self, what: What) -> Option<&Block> {
        self.tuned.iter().find(|block| block.what == what)
    }

    /// Whether rates or momenta are tuned, whose derivatives the backward pass must be asked for.
    pub fn tunes_schedule(&self) -> bool {
        self.block(What::Rate).is_some() || self.block(What::Momentum).is_some()
    }

    /// All blocks, with the places of their numbers among the hyperparameters.
    pub fn blocks(&self) -> impl Iterator<Item = (&Block, Range<usize>)> {
        self.tuned.iter().scan(0, |start, block| {
            let range = *start..*start + self.len_of(block);
            *start = range.end;
            Some((block, range))
        })
    }

    /// How many numbers a block has.
    pub fn len_of(&self, block: &Block) -> usize {
        match block.what {
            What::ExampleWeight => self.examples.train,
            What::Pixel => self.examples.train * self.layers[0],
            _ if block.each_step => self.groups_of(block).len() * self.steps,
            _ => self.groups_of(block).len(),
        }
    }

    /// Which weights share a number of a block that belongs to weights.
    pub fn groups_of(&self, block: &Block) -> Groups<'_> {
        Tuned::from(block).groups(Layout::Layers(&self.layers))
    }

    /// The first block that belongs to weights, with its groups and places.
    pub fn by_weights(&self) -> Option<(&Block, Groups<'_>, Range<usize>)> {
        let mut blocks = self.blocks();
        let (block, range) =
            blocks.find(|(block, _)| !matches!(block.what, What::ExampleWeight | What::Pixel))?;
        Some((block, self.groups_of(block), range))
    }

    /// Its weights.
    pub const fn weights(&self) -> usize {
        Layout::Layers(self.layers.as_slice()).weights()
    }

    /// Its classes.
    pub fn classes(&self) -> usize {
        self.layers.last().copied().unwrap_or(0)
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

    /// The number of hyperparameters.
    pub fn hypers(&self) -> usize {
        self.tuned.iter().map(|block| self.len_of(block)).sum()
    }

    /// Their values at the start.
    pub fn start(&self) -> Vec<f32> {
        let blocks = self.tuned.iter();
        blocks
            .flat_map(|block| std::iter::repeat_n(block.start, self.len_of(block)))
            .collect()
    }

    /// The value that the numbers of a block stand for at the start, where it is tuned.
    pub fn at_start(&self, what: What) -> Option<f32> {
        let block = self.block(what)?;
        let mut value = [block.start];
        if let Some(parametrisation) = block.parametrisation() {
            parametrisation.value::<Plain, _>(&mut value);
        }
        Some(value[0])
    }

    /// A hyperparameter of a block as it is reported, and its name: the log L2 coefficient that a scale
    /// amounts to, or the hyperparameter itself.
    pub fn reported(&self, what: What, hyper: f32) -> (f32, &'static str) {
        match what {
            What::Penalty if self.block(what).is_some_and(|block| block.natural) => {
                (hyper, "penalty")
            }
            What::Scale => (
                self.log_l2.unwrap_or(0.0) - 2.0 * hyper,
                What::Penalty.as_str(),
            ),
            _ => (hyper, what.as_str()),
        }
    }
}

/// The rounding of a multiply-add, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// Products and sums rounded apart.
    Plain,
    /// Every multiply-add one rounding.
    #[default]
    Fused,
}

impl Rounding {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rounding::Plain => "plain",
            Rounding::Fused => "fused",
        }
    }
}
