//! A training as data: what is trained, on what, how, and what of it is tuned. Nothing runs until something runs it.
//!
//! A [`Training`] says it all in one value, a `const` where one likes. From it follow, each in one place:
//!
//! - one vector `h` of all hyperparameters, rates, momenta and initial scales among them, in the order of its
//!   [`Tuned`] blocks, and one hypergradient in the same order ([`Training::hypergradient`]);
//! - a name and a natural value for each entry ([`Hypers`]);
//! - the memory that it takes with a [`Method`], a value known before anything runs ([`Training::need`]), from
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
//! Costs nothing but the copy of `h`: what runs is a [`InnerProblem`](crate::train::Run).
//!
//! Refused: scales and penalties of an objective of one's own, which is to be [wrapped](crate::wrap); rates and
//! momenta of different groups; initial scales in another parametrisation than their logarithm; weights and
//! inputs of examples both at once.

mod evaluate;
mod examples;
mod front;
mod network;
mod session;
mod tuned;
mod values;

use bytemuck::Pod;

use crate::error::{Error, check_len};
use crate::forward::{Forward, Wrt};
use crate::group::{Groups, Layout};
use crate::hypergradient::{Outcome, Trainer, Validation, Workspace};
use crate::implicit::{Implicit, Solved, Solver};
use crate::memory::{Buffer, Need, greater};
use crate::method::{Extent, Method};
use crate::models::{Inputs, Pass};
use crate::network::Network;
use crate::objective::{Differentiable, dual_required_len, gradient_len};
use crate::optimizer::stepping;
use crate::outer::Parametrisation;
use crate::path::Line;
use crate::pieces::{copy, part, part_mut};
use crate::random::Batches;
use crate::scalar::{Arithmetic, Real, Scalar};
use crate::schedule::Optimizer;

pub use examples::{Input, Source, Target};
pub use front::Compiled;
pub use network::{Losses, NetworkLoss};
pub use session::Session;
pub use tuned::{Hypers, Name, Of, Tuned, What};
pub use values::{Derivatives, Values};
use values::{Tables, place};

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

/// What a session is cut from, in numbers but for the words.
#[derive(Clone, Copy)]
struct Lens {
    workspace: usize,
    path: usize,
    batch: usize,
    valid: usize,
}

/// What a training works in, cut from one buffer.
struct Room<'m, S> {
    values: Values<'m, S>,
    /// The derivatives by the values.
    d: &'m mut [S],
    workspace: &'m mut [S],
    path: &'m mut [S],
    batch: &'m mut [u32],
    /// 0, 1, 2, and so on: those validated on, and with implicit differentiation those trained on.
    examples: &'m [u32],
}

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

    /// Scratch of the training loss with `count` directions of forward mode, and of the validation loss.
    const fn scratch(&self, tangents: Option<usize>) -> usize {
        let hypers = Tables::of(self).rates;
        let (layout, sparse) = match self.model {
            Model::Own(own) => {
                let own_scratch = greater(own.scratch, own.second_order_scratch);
                return match tangents {
                    None => own_scratch,
                    Some(_) => greater(own_scratch, hypers.saturating_add(own.scratch)),
                };
            }
            Model::Network { sparse, .. } | Model::Widths { sparse, .. } => (self.layout(), sparse),
        };
        let rows = if sparse {
            Inputs::Sparse
        } else {
            Inputs::Gathered
        };
        let valid = Pass {
            layout,
            microbatch: self.microbatch(),
            inputs: rows,
        };
        let trained = Pass {
            inputs: match self.block(What::Input) {
                Some(_) => Inputs::Given,
                None => rows,
            },
            ..valid
        };
        let (p, own) = (layout.weights(), self.of_examples());
        let vectors = if self.block(What::Scale).is_some() {
            p
        } else {
            0
        };
        let validation = (valid.scratch_len())
            .saturating_add(valid.sums_len(self.valid_examples, 1, own))
            .saturating_add(vectors);
        let gradient = (trained.scratch_len()).saturating_add(trained.sums_len(self.batch, 1, own));
        let training = match tangents {
            None => {
                let second = (trained.second_order_scratch_len())
                    .saturating_add(trained.sums_len(self.batch, 2, own));
                let second = second.saturating_add(vectors.saturating_mul(4));
                greater(gradient.saturating_add(vectors), second)
            }
            Some(count) => {
                let inner = if own > 0 {
                    dual_required_len(p, own, gradient)
                } else {
                    let sums = trained.sums_len(self.batch, count.saturating_add(1), own);
                    trained.second_order_scratch_len().saturating_add(sums)
                };
                inner.saturating_add(vectors.saturating_mul(count.saturating_add(1)))
            }
        };
        let penalty = match self.block(What::Penalty) {
            Some(_) => self.len_of(What::Penalty),
            None => 2,
        };
        let training = greater(training, penalty);
        match tangents {
            None => greater(training, validation),
            // The validation's direct term has a place of its own there.
            Some(_) => greater(training, hypers.saturating_add(validation)),
        }
    }

    /// What decides how much a path remembers, where no momentum is known but the least.
    const fn extent(&self) -> Extent {
        Extent {
            weights: self.layout().weights(),
            steps: self.steps,
            optimizer: self.optimizer,
            recalls: self.optimizer.recalls(self.tunes_schedule()),
            momentum: self.momentum,
            reach: 0,
        }
    }

    const fn lens<S: Real>(&self, method: Method) -> Lens {
        let (p, schedule) = (self.layout().weights(), self.tunes_schedule());
        let hypers = Tables::of(self).rates;
        let dropped = if method.sweep().drops_negative_curvature {
            p
        } else {
            0
        };
        let scratch = self.scratch(None).saturating_add(dropped);
        let solver = match method {
            Method::Implicit { .. } => hypers,
            _ => 0,
        };
        let workspace = match method {
            Method::Forward => {
                let count = self.hypers().len();
                let scratch = self.scratch(Some(count));
                Forward::<S>::required_len(p, hypers, self.optimizer, count, scratch)
            }
            _ => {
                let scratch = scratch.saturating_add(solver);
                Workspace::<S>::required_len(p, scratch, self.optimizer, schedule)
            }
        };
        Lens {
            workspace,
            path: method.sweep().need::<S>(self.extent()).len(),
            batch: self.batch,
            valid: match method {
                // It is taken over all that is trained on, after the validation loss.
                Method::Implicit { .. } => greater(self.valid_examples, self.examples),
                _ => self.valid_examples,
            },
        }
    }

    /// The memory that it takes with a method, beside `h` and the hypergradient.
    pub const fn need<S: Real>(&self, method: Method) -> Need<S> {
        let Lens {
            workspace,
            path,
            batch,
            valid,
        } = self.lens::<S>(method);
        Need::numbers(Tables::of(self).end)
            .times(2)
            .and(Need::numbers(workspace))
            .and(Need::numbers(path))
            .and(Need::words(batch))
            .and(Need::words(valid))
    }

    /// Bytes that a [`Session`] may take when it is [saved](Session::save).
    pub const fn state_len<S: Real>(&self, method: Method) -> usize {
        let tables = Tables::of(self);
        let schedule = if self.tunes_schedule() {
            Some((
                tables.momenta.saturating_sub(tables.rates),
                tables.log_scales.saturating_sub(tables.momenta),
            ))
        } else {
            None
        };
        let path = method.sweep().state_len::<S>(self.extent());
        Trainer::<crate::Plain, S>::state_len(
            self.layout().weights(),
            tables.rates,
            self.optimizer,
            schedule,
            path,
        )
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

    /// Cuts the memory of a method, and fills in what `h` stands for.
    #[cfg_attr(not(feature = "std"), inline(always))]
    fn cut<'m, A: Arithmetic, S: Real + Pod>(
        self,
        method: Method,
        h: &[S],
        memory: &'m mut [S],
    ) -> Result<Room<'m, S>, Error>
    where
        'a: 'm,
    {
        let (end, lens) = (Tables::of(&self).end, self.lens::<S>(method));
        let mut memory = Buffer::new("memory of the training", memory);
        let (room, d) = (memory.numbers(end)?, memory.numbers(end)?);
        let values = Values::new::<A>(self, h, room)?;
        let workspace = memory.numbers(lens.workspace)?;
        let path = memory.numbers(lens.path)?;
        let (batch, examples) = (memory.words(lens.batch)?, memory.words(lens.valid)?);
        for (i, example) in examples.iter_mut().enumerate() {
            *example = i as u32;
        }
        Ok(Room {
            values,
            d,
            workspace,
            path,
            batch,
            examples,
        })
    }

    /// Trains with hyperparameters `h` and takes the derivative of the validation loss by each of them to `d_h`,
    /// in `memory` that has its [`need`](Self::need).
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::Length`]; [`Error::NonFinite`] for an entry of `h` that stands for
    /// no finite number; [`Error::Diverged`] with the step; what the method and the losses refuse.
    /// [`Error::Unsupported`] where the method knows no derivative by something that is tuned. `d_h` is as it was.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn hypergradient<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
    ) -> Result<Outcome<S>, Error> {
        self.observed(method, on, h, d_h, memory, &mut ())
    }

    /// The same, with someone who looks on.
    ///
    /// # Errors
    /// As [`hypergradient`](Self::hypergradient).
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn observed<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        A::observed(self, method, on, h, d_h, memory, observer)
    }

    #[cfg_attr(not(feature = "std"), inline(always))]
    fn observe<A: Compiled<S>, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        check_len("d_h", d_h, self.hypers().len())?;
        match method {
            Method::Sweep(sweep) => {
                let mut session = Session::new(*self, sweep, on, h, memory)?;
                let w = session.train(&mut |t, loss| observer.step(t, loss))?;
                observer.trained(w);
                let outcome = session.advance(usize::MAX, &mut |_, _| ())?;
                let outcome = outcome.ok_or(Error::NoSteps)?;
                session.hypergradient(d_h)?;
                observer.by_initial_weights(session.by_initial_weights());
                Ok(outcome)
            }
            Method::Forward => self.forward(on, h, d_h, memory, observer),
            Method::Implicit { .. } | Method::Direct => {
                self.at_the_end(method, on, h, d_h, memory, observer)
            }
        }
    }

    /// The most tangents that forward mode carries here: each costs about what a sweep costs.
    pub const MOST_TANGENTS: usize = 64;

    fn forward<A: Arithmetic, S: Real + Pod>(
        &self,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        self.check()?;
        let count = self.hypers().len();
        let mut wrt = [Wrt::Initial; Self::MOST_TANGENTS];
        let Some(wrt) = wrt.get_mut(..count) else {
            return Err(Error::Range {
                what: "tangents of forward mode",
                value: count as f64,
                least: 0.0,
                greatest: Self::MOST_TANGENTS as f64,
            });
        };
        let tables = Tables::of(self);
        for (block, range) in self.hypers().blocks() {
            let here = part_mut(wrt, range);
            for (wrt, place) in here.iter_mut().zip(place(self, block)) {
                *wrt = match block.what {
                    What::Rate => Wrt::Rate(place.saturating_sub(tables.rates)),
                    What::Momentum => Wrt::Momentum(place.saturating_sub(tables.momenta)),
                    What::InitialScale => Wrt::Initial,
                    _ => Wrt::Hyper(place),
                };
            }
        }
        let Room {
            values,
            d,
            workspace,
            batch,
            examples: valid,
            ..
        } = self.cut::<A, S>(Method::Forward, h, memory)?;
        let problem = values.run(on.training)?;
        let mut forward = Forward::new(workspace, &problem, wrt)?;
        forward.start(&values.initial(on.initial))?;
        if let (Some((_, range)), None) = (self.hypers().block(What::InitialScale), on.initial) {
            let rows = forward.w_dot.chunks_exact_mut(forward.w.len().max(1));
            for (group, w_dot) in rows.skip(range.start).take(range.len()).enumerate() {
                values.normal().tangent(group, forward.w, w_dot)?;
            }
        }
        let each = &mut |t, loss| observer.step(t, loss);
        problem.forward(0..self.steps, &mut forward, batch, each)?;
        observer.trained(forward.w);
        let validation = Validation {
            objective: on.validation,
            examples: valid,
        };
        let mut by_entries = [S::ZERO; Self::MOST_TANGENTS];
        let by_entries = part_mut(&mut by_entries, 0..count);
        let valid_loss = problem.hypergradient(&validation, &mut forward, by_entries)?;
        for (block, range) in self.hypers().blocks() {
            let table = part_mut(d, place(self, block));
            copy(part(by_entries, range), table);
        }
        values.pull_back(d, d_h)?;
        Ok(Outcome {
            valid_loss,
            steps_back: 0,
        })
    }

    /// The methods that look at the last weights alone.
    #[cfg_attr(not(feature = "std"), inline(always))]
    fn at_the_end<A: Arithmetic, S: Real + Pod>(
        &self,
        method: Method,
        on: On<'_, A, S>,
        h: &[S],
        d_h: &mut [S],
        memory: &mut [S],
        observer: &mut dyn Observer<S>,
    ) -> Result<Outcome<S>, Error> {
        if self.tunes_schedule() || self.block(What::InitialScale).is_some() {
            return Err(Error::Unsupported {
                what: "derivatives by rates, momenta and initial scales at the last weights, which do not know them: take a sweep",
            });
        }
        self.check()?;
        let Room {
            values,
            d,
            workspace,
            batch,
            examples,
            ..
        } = self.cut::<A, S>(method, h, memory)?;
        let initial = values.initial(on.initial);
        let (problem, mut path) = (values.run(on.training)?, Line::new(initial, self.steps));
        let mut workspace =
            Workspace::new(workspace, self.layout().weights(), self.optimizer, false)?;
        let each = &mut |t, loss| observer.step(t, loss);
        let stepping = stepping(self.optimizer);
        problem.train_by(stepping, (&initial, &mut path), &mut workspace, batch, each)?;
        observer.trained(workspace.w);
        let validation = Validation {
            objective: on.validation,
            examples: part(examples, 0..self.valid_examples),
        };
        let d_loss = values.derivatives(d)?.h;
        let valid_loss = match method {
            Method::Implicit {
                series_rate,
                iterations,
                tolerance,
                damping,
            } => {
                let settings = Implicit {
                    examples: part(examples, 0..self.examples),
                    solver: match series_rate {
                        Some(rate) => Solver::Neumann {
                            rate: S::from_f32(rate),
                        },
                        None => Solver::ConjugateGradients,
                    },
                    iterations,
                    tolerance: S::from_f32(tolerance),
                    damping: S::from_f32(damping),
                };
                let solved = problem.implicit(&validation, &settings, &mut workspace, d_loss)?;
                observer.solved(solved);
                solved.valid_loss
            }
            _ => problem.direct(&validation, &mut workspace, d_loss)?,
        };
        values.pull_back(d, d_h)?;
        Ok(Outcome {
            valid_loss,
            steps_back: 0,
        })
    }
}
