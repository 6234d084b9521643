//! A training as data: what is trained, on what, how, and what of it is tuned. Nothing runs until something runs it.
//!
//! A [`Training`] says it all in one value, a `const` where one likes. From it follow, each in one place:
//!
//! - one vector `h` of all hyperparameters, rates, momenta and initial scales among them, in the order of its
//!   [`Tuned`] blocks, and one hypergradient in the same order ([`Training::hypergradient`]);
//! - a name and a natural value for each entry ([`Hypers`]);
//! - the memory that it takes with a [`Method`](crate::method::Method), a value known before anything runs ([`Training::need`]), from
//!   which one buffer is cut;
//! - the losses of a network on examples that a [`Source`] lends ([`Training::loss`]): the training's with penalties
//!   and weights of examples, the validation's without, since the description knows which blocks are the
//!   training's alone;
//! - a [`Session`]: the same training by a few steps at a time, saved and restored;
//! - training alone ([`Training::train`]), and what weights are worth: their validation loss
//!   ([`Training::valid_loss`]) and their predictions ([`Training::predict`]).
//!
//! ```
//! use drmad::{Fused, layers::Layer::*, method::Method, models::Features, network::{Loss, Network}, training::*};
//! use drmad::group::Granularity;
//!
//! const XOR: Network = Network { inputs: 2, layers: &[Dense(4), Tanh, Dense(2)], loss: Loss::CrossEntropy };
//! const PENALTIES: &[Tuned] = &[Tuned::new(What::Penalty, Granularity::Unit)];
//! const TRAINING: Training = Training { tuned: PENALTIES, ..Training::of(XOR, 4, 200) };
//! let corners = Features { x: &[0., 0., 0., 1., 1., 0., 1., 1.], labels: &[0, 1, 1, 0], width: 2 };
//! let losses = TRAINING.losses::<Fused>(&corners, &corners)?;
//!
//! let (mut memory, mut d_h) = ([0f32; TRAINING.need::<f32>(Method::HATS).len()], [0.0; 6]);
//! TRAINING.hypergradient(Method::HATS, losses.on(), &[-9.0; 6], &mut d_h, &mut memory)?;
//! assert!(d_h[0] > 0.0, "{}: less of it lowers the loss", TRAINING.hypers().name(0).unwrap());
//! # Ok::<(), drmad::Error>(())
//! ```
//!
//! Costs nothing but the copy of `h`: what runs is a [`InnerProblem`](crate::train::InnerProblem).
//!
//! Refused: scales and penalties of an objective of one's own, which is to be [wrapped](crate::wrap); rates and
//! momenta of different groups; initial scales in another parametrisation than their logarithm; weights and
//! inputs of examples both at once.

mod evaluate;
mod examples;
mod front;
mod network;
mod room;
mod session;
mod tuned;
mod values;
mod without_sweep;

use crate::error::Error;
use crate::group::{Groups, Layout};
use crate::implicit::Solved;
use crate::network::Network;
use crate::objective::{Differentiable, dual_required_len, gradient_len};
use crate::outer::Parametrisation;
use crate::random::Batches;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::Optimizer;

pub use examples::{Input, Source, Target};
pub use front::Compiled;
pub use network::{Losses, NetworkLoss};
pub use session::Session;
pub use tuned::{Hypers, Name, Of, Tuned, What};
pub use values::{Derivatives, Values};

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Model<'a> {
    /// A network.
    Network {
        /// Which.
        network: Network<'a>,
        /// Whether its examples come as [sparse](Input::Sparse) rows.
        sparse: bool,
    },
    /// A tanh network of these widths (inputs, hidden ..., classes) with cross-entropy, for who knows them when
    /// the program runs.
    Widths {
        /// The widths.
        widths: &'a [usize],
        /// Whether its examples come as [sparse](Input::Sparse) rows.
        sparse: bool,
    },
    /// An [`Objective`](crate::objective::Objective) of one's own.
    Own(Own),
}

/// The sizes of an objective of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its weights `P`.
    pub weights: usize,
    /// Its hyperparameters.
    pub hypers: usize,
    /// Scratch of its gradient, and of the validation loss's.
    pub scratch: usize,
    /// Scratch of its second-order products.
    pub second_order_scratch: usize,
}

impl Own {
    /// One whose second-order products come from dual numbers, and whose gradient takes so much scratch.
    pub const fn new(weights: usize, hypers: usize, scratch: usize) -> Self {
        Own {
            weights,
            hypers,
            scratch,
            second_order_scratch: dual_required_len(weights, hypers, scratch),
        }
    }

    /// One of which the loss alone is written ([`ByLoss`](crate::objective::ByLoss)).
    pub const fn by_loss(weights: usize, hypers: usize) -> Self {
        Self::new(weights, hypers, gradient_len(weights, hypers))
    }
}

/// A training, and what of it is tuned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training<'a> {
    /// What is trained.
    pub model: Model<'a>,
    /// How many examples it is trained on.
    pub examples: usize,
    /// How many examples the validation loss is taken over.
    pub valid_examples: usize,
    /// What is tuned.
    pub tuned: &'a [Tuned],
    /// How a step follows from the gradient.
    pub optimizer: Optimizer,
    /// The rate, where it is not tuned; in PyTorch's terms it is this times `1 - momentum`
    /// ([`schedule`](crate::schedule)).
    pub rate: f32,
    /// The momentum, where it is not tuned. Where it is, the least one that memory is kept for.
    pub momentum: f32,
    /// The logarithm of the standard deviation of initial weights, where it is not tuned.
    pub log_scale: f32,
    /// The coefficient `c` of a penalty `c z^2` on all weights, where none is tuned.
    pub l2: f32,
    /// Examples in a batch.
    pub batch: usize,
    /// Examples that are worked through at a time, where that is not the whole batch: less of them take less
    /// scratch.
    pub microbatch: Option<usize>,
    /// The number `T` of steps.
    pub steps: usize,
    /// The seed of initial weights and batches.
    pub seed: u64,
}

/// The losses that a training is run on, at one scalar.
#[derive(Clone, Copy)]
pub struct On<'a, A: Arithmetic, S: Scalar> {
    /// That of the training.
    pub training: &'a dyn Differentiable<A, S>,
    /// That of the validation, of the same weights and hyperparameters.
    pub validation: &'a dyn Differentiable<A, S>,
    /// Weights to begin with, where they are not drawn from the seed.
    pub initial: Option<&'a [S]>,
}

/// Someone who looks on while a training runs. What is not of interest is left out; `()` looks at nothing.
pub trait Observer<S> {
    /// A step of the training, and its loss before it was taken.
    fn step(&mut self, t: usize, loss: S) {
        let _ = (t, loss);
    }

    /// The trained weights, before the backward pass.
    fn trained(&mut self, w: &[S]) {
        let _ = w;
    }

    /// What became of the linear system of implicit differentiation.
    fn solved(&mut self, solved: Solved<S>) {
        let _ = solved;
    }

    /// The derivative by the initial weights, last of all: of a sweep alone, and by the weights before the last
    /// steps where only these are taken back.
    fn by_initial_weights(&mut self, d_w0: &[S]) {
        let _ = d_w0;
    }
}

impl<S> Observer<S> for () {}

impl<'a> Training<'a> {
    /// A network trained and validated on as many examples, for so many steps, with the settings that serve small
    /// networks: heavy ball of rate .1 and momentum .9, initial weights of deviation .2, batches of 32. Nothing is
    /// tuned.
    pub const fn of(network: Network<'a>, examples: usize, steps: usize) -> Self {
        let sparse = false;
        Self::new(Model::Network { network, sparse }, examples, steps)
    }

    /// The same of any model.
    pub const fn new(model: Model<'a>, examples: usize, steps: usize) -> Self {
        Training {
            model,
            examples,
            valid_examples: examples,
            tuned: &[],
            optimizer: Optimizer::HeavyBall,
            rate: 0.1,
            momentum: 0.9,
            log_scale: -1.6,
            l2: 0.0,
            batch: if examples < 32 { examples } else { 32 },
            microbatch: None,
            steps,
            seed: 0,
        }
    }

    /// Where its weights lie.
    pub const fn layout(&self) -> Layout<'a> {
        match self.model {
            Model::Network { network, .. } => network.layout(),
            Model::Widths { widths, .. } => Layout::Layers(widths),
            Model::Own(own) => Layout::Flat(own.weights),
        }
    }

    /// Its hyperparameters.
    pub const fn hypers(&self) -> Hypers<'a> {
        Hypers {
            tuned: self.tuned,
            layout: self.layout(),
            examples: self.examples,
            own: match self.model {
                Model::Own(own) => own.hypers,
                _ => 0,
            },
            steps: self.steps,
        }
    }

    /// The block of a kind, where it is tuned.
    const fn block(&self, what: What) -> Option<Tuned> {
        let mut i = 0;
        while i < self.tuned.len() {
            if self.tuned[i].what as usize == what as usize {
                return Some(self.tuned[i]);
            }
            i += 1;
        }
        None
    }

    /// How many numbers the block of a kind has; 0 where it is not tuned.
    const fn len_of(&self, what: What) -> usize {
        match self.block(what) {
            Some(block) => self.hypers().len_of(&block),
            None => 0,
        }
    }

    /// Which weights share a number of this kind: one for all, where it is not tuned.
    const fn groups_of(&self, what: What) -> Groups<'a> {
        match self.block(what) {
            Some(block) => block.groups(self.layout()),
            None => Groups::global(self.layout().weights()),
        }
    }

    /// Which weights share a rate and a momentum.
    const fn scheduled(&self) -> Groups<'a> {
        match self.block(What::Rate) {
            Some(_) => self.groups_of(What::Rate),
            None => self.groups_of(What::Momentum),
        }
    }

    /// Whether rates or momenta are tuned.
    const fn tunes_schedule(&self) -> bool {
        self.block(What::Rate).is_some() || self.block(What::Momentum).is_some()
    }

    /// Numbers of `h` that belong to examples.
    const fn of_examples(&self) -> usize {
        let (weights, inputs) = (self.len_of(What::ExampleWeight), self.len_of(What::Input));
        weights.saturating_add(inputs)
    }

    /// Examples that are worked through at a time.
    const fn microbatch(&self) -> usize {
        match self.microbatch {
            Some(microbatch) => microbatch,
            None => self.batch,
        }
    }

    /// Whether it can be trained.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the module refuses; [`Error::NonFinite`] for a setting; those of
    /// [`Network::check`] and [`Hypers::check`].
    pub fn check(&self) -> Result<(), Error> {
        self.hypers().check()?;
        for (what, value) in [
            ("rate", self.rate),
            ("momentum", self.momentum),
            ("logarithm of the initial scale", self.log_scale),
            ("coefficient of the penalty", self.l2),
        ] {
            if !value.is_finite() {
                return Err(Error::NonFinite { what, step: 0 });
            }
        }
        if let Model::Network { network, .. } = self.model {
            network.check()?;
        }
        let has = |what| self.block(what).is_some();
        let owns = matches!(self.model, Model::Own(_));
        if has(What::Objective) && !owns {
            return Err(Error::Unsupported {
                what: "hyperparameters of an objective, where a network is trained",
            });
        }
        if self.hypers().own > 0 && !has(What::Objective) {
            return Err(Error::Unsupported {
                what: "an objective with hyperparameters that are not tuned: name them in the blocks that are",
            });
        }
        let of_networks = [What::Scale, What::Penalty, What::ExampleWeight, What::Input];
        if owns && (of_networks.into_iter().any(has) || self.l2 != 0.0) {
            return Err(Error::Unsupported {
                what: "scales, penalties and examples of an objective of one's own: wrap it, and tune its hyperparameters",
            });
        }
        if has(What::ExampleWeight) && has(What::Input) {
            return Err(Error::Unsupported {
                what: "weights and inputs of examples at once",
            });
        }
        if let (Some(rate), Some(momentum)) = (self.block(What::Rate), self.block(What::Momentum))
            && rate.by != momentum.by
        {
            return Err(Error::Unsupported {
                what: "rates and momenta of different groups",
            });
        }
        let raw = |block: Tuned| block.parametrisation != Some(Parametrisation::Log);
        if self.block(What::InitialScale).is_some_and(raw) {
            return Err(Error::Unsupported {
                what: "initial scales in another parametrisation than their logarithm",
            });
        }
        Ok(())
    }

    /// The batches it is trained on.
    pub const fn batches(&self) -> Batches {
        Batches {
            seed: self.seed,
            examples: self.examples,
            size: self.batch,
        }
    }
}
