//! An experiment with its data drawn: a function from hyperparameters to losses and hypergradients.
//!
//! Everything here is a function of the experiment, the data and a seed. Each draw of a meta-iteration
//! has a seed of its own ([`Use`]), so its examples, its initial weights and its batches are its own
//! too; the test examples are those of the whole run. A client is a draw whose examples come from its
//! shard, which it keeps for the whole run: it splits it anew in each meta-iteration.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use drmad::Arithmetic;
use drmad::forward::{Forward, Wrt};
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::implicit::{Implicit, Solver, Stopped};
use drmad::kernels::accumulate::scale_rows_in_place;
use drmad::method::Extent;
use drmad::models::{Beside, Examples, LearnedInputs, Mlp, Weighted};
use drmad::objective::{self, At, Objective};
use drmad::path::Path;
use drmad::random::{Batches, Initial, Normal, Origin, choose, mix};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{L2, Psd, Scaled, Strength};

use crate::counted::{self, Counted};
use crate::data::Dataset;
use crate::divergence::Divergence;
use crate::experiment::{Block, Clients, Counts, Experiment, Outside, What};
use crate::inputs::{Images, Inputs, Tuned};
use crate::loss::Loss;
use crate::method::{MOST_TANGENTS, Method, Name, zeros};
use crate::report::words::several;

/// The images of an experiment, as positions in the data's files.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Positions in the training file that are trained on.
    pub train: Vec<u32>,
    /// Positions in the training file that the outer loss is taken over.
    pub outside: Vec<u32>,
    /// Positions in the test file.
    pub test: Vec<u32>,
    /// Labels for all of the training file, where some are wrong on purpose; those that are not drawn
    /// to train on are right.
    pub labels: Option<Vec<u8>>,
}

/// An experiment and its data, checked once: what draws are taken from.
#[derive(Clone, Debug)]
pub struct Population<'a> {
    experiment: &'a Experiment,
    data: &'a Dataset,
    mean: f32,
    train: Images<'a>,
    test: Images<'a>,
    /// Positions in the test file.
    tested: Vec<u32>,
}

/// What a seed is used for beside the numbers that it stands for itself: each use has a seed of its own,
/// [mixed](mix) from that one.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// A draw of a meta-iteration, of a run's seed.
    Draw {
        /// The meta-iteration.
        meta_step: usize,
        /// The draw.
        draw: usize,
    },
    /// The pool that the clients' shards are of, of a run's seed.
    Pool,
    /// A client's shard, of a run's seed.
    Shard(usize),
    /// The labels that are wrong on purpose, of a draw's seed.
    WrongLabels,
    /// The batches of a sweep that has its own, of a draw's seed.
    FreshBatches,
    /// A random hypergradient, of a draw's seed.
    Direction,
    /// The clients that drop out of a simulated meta-iteration, of its seed.
    DropOuts,
}

impl Use {
    /// The seed of this use.
    pub const fn of(self, seed: u64) -> u64 {
        match self {
            Use::Draw { meta_step, draw } => mix(seed, &[0, meta_step as u64, draw as u64]),
            Use::Pool => mix(seed, &[1]),
            Use::Shard(client) => mix(seed, &[2, client as u64]),
            Use::WrongLabels => mix(seed, &[3]),
            Use::FreshBatches => mix(seed, &[4]),
            Use::Direction => mix(seed, &[5]),
            Use::DropOuts => mix(seed, &[6]),
        }
    }
}

/// An experiment, its data and a seed.
#[derive(Debug)]
pub struct Problem<'a> {
    /// The settings.
    pub experiment: &'a Experiment,
    /// The images.
    pub data: &'a Dataset,
    /// What is subtracted from inputs.
    pub mean: f32,
    /// The examples.
    pub drawn: Drawn,
    /// The seed of initial weights and batches.
    pub seed: u64,
    /// Weights to start from, where they are not the initial ones.
    pub from: Option<Vec<f32>>,
    /// All images of the training file, none of them chosen.
    pub(crate) train: Images<'a>,
    /// The same of the test file.
    test: Images<'a>,
}

/// How good some weights are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Outer loss.
    pub valid_loss: f64,
    /// Share of the outer examples that are misclassified.
    pub valid_error: f64,
    /// Loss on the test examples.
    pub test_loss: f64,
    /// Share of the test examples that are misclassified.
    pub test_error: f64,
}

/// The shares of the outer and of the test examples that some weights misclassify.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Of the outer examples.
    pub valid: f64,
    /// Of the test examples.
    pub test: f64,
}

/// A trained network, and its hypergradient where one was asked for.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The weights at the end.
    pub w: Vec<f32>,
    /// The training loss of every step.
    pub losses: Vec<f32>,
    /// Seconds of the training.
    pub forward_seconds: f64,
    /// What the sweep gave.
    pub back: Option<Back>,
}

/// A hypergradient and its costs.
#[derive(Clone, Debug)]
pub struct Back {
    /// By each hyperparameter.
    pub hypergradient: Vec<f32>,
    /// The outer loss as the sweep saw it.
    pub valid_loss: f32,
    /// Seconds of validation and sweep.
    pub seconds: f64,
    /// Numbers the path kept, beyond weights, velocity, gradient and the adjoints; those of tangents.
    pub floats: usize,
    /// Gradients computed after the training.
    pub gradients: usize,
    /// Second-order products computed.
    pub products: usize,
    /// What else there is to say.
    pub note: Option<String>,
}

/// What is asked of a training.
#[derive(Clone, Copy)]
struct Task<'t> {
    hyper: &'t [f32],
    method: Option<&'t Method>,
    counts: &'t counted::Counts,
}

/// What a method says.
struct Taken {
    hypergradient: Vec<f32>,
    valid_loss: f32,
    note: Option<String>,
}

/// The values of the hyperparameters, each where the training looks for it.
pub(crate) struct Tables<'e> {
    /// Those of the objective, block by block.
    pub(crate) h: Vec<f32>,
    /// Which weights share a rate and a momentum.
    pub(crate) groups: Groups<'e>,
    pub(crate) rates: Vec<f32>,
    pub(crate) momenta: Vec<f32>,
    /// Which weights share an initial scale.
    started: Groups<'e>,
    log_scales: Vec<f32>,
}

impl Tables<'_> {
    /// The table that has the numbers of a block, and where it has them.
    fn place(&self, experiment: &Experiment, block: &Block) -> (Table, Range<usize>) {
        let len = experiment.len_of(block);
        let table = match block.what {
            What::Rate => Table::Rates,
            What::Momentum => Table::Momenta,
            What::InitialScale => Table::LogScales,
            _ => {
                let before = experiment.tuned.iter();
                let before = before.filter(|b| b.what.in_objective() && b.what < block.what);
                let start: usize = before.map(|b| experiment.len_of(b)).sum();
                return (Table::Objective, start..start + len);
            }
        };
        (table, 0..len)
    }

    fn of(&self, table: Table) -> &[f32] {
        match table {
            Table::Objective => &self.h,
            Table::Rates => &self.rates,
            Table::Momenta => &self.momenta,
            Table::LogScales => &self.log_scales,
        }
    }

    /// The first hyperparameter whose value is not a finite number.
    fn not_finite(&self, experiment: &Experiment) -> Option<usize> {
        experiment.blocks().find_map(|(block, range)| {
            let (table, place) = self.place(experiment, block);
            let bad = self.of(table)[place].iter().position(|x| !x.is_finite());
            bad.map(|i| range.start + i)
        })
    }
}

/// Where a training looks for a hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Objective,
    Rates,
    Momenta,
    LogScales,
}

/// The derivative by each table.
pub(crate) struct Slopes {
    pub(crate) h: Vec<f32>,
    pub(crate) rates: Vec<f32>,
    pub(crate) momenta: Vec<f32>,
    log_scales: Vec<f32>,
}

impl Slopes {
    pub(crate) fn new(tables: &Tables<'_>) -> Self {
        Slopes {
            h: vec![0.0; tables.h.len()],
            rates: vec![0.0; tables.rates.len()],
            momenta: vec![0.0; tables.momenta.len()],
            log_scales: vec![0.0; tables.log_scales.len()],
        }
    }

    fn of(&mut self, table: Table) -> &mut [f32] {
        match table {
            Table::Objective => &mut self.h,
            Table::Rates => &mut self.rates,
            Table::Momenta => &mut self.momenta,
            Table::LogScales => &mut self.log_scales,
        }
    }
}

impl<'a> Population<'a> {
    /// Checks the data and lists their pixels.
    ///
    /// # Errors
    /// Fewer examples in the data than the experiment needs, other image sizes, more classes.
    pub fn new(experiment: &'a Experiment, data: &'a Dataset) -> Result<Self> {
        let Counts {
            train, valid, test, ..
        } = experiment.examples;
        experiment
            .check()
            .with_context(|| format!("experiment {}", experiment.name))?;
        let (inputs, classes) = (experiment.layers[0], experiment.classes());
        if data.train.width() != inputs {
            bail!(
                "{} takes images of {inputs} pixels and the data have {} x {}",
                experiment.name,
                data.train.rows,
                data.train.columns
            );
        }
        if data.classes() > classes {
            bail!(
                "{} knows {classes} classes and the data have {}",
                experiment.name,
                data.classes()
            );
        }
        let pool = experiment.outer.clients.map_or(0, |clients| clients.pool);
        for (what, have, want) in [
            ("training", data.train.len(), pool.max(train + valid)),
            ("test", data.test.len(), test),
        ] {
            if have < want {
                bail!(
                    "{} draws {want} of the {what} images and there are {have}",
                    experiment.name
                );
            }
        }
        // The test examples are the same for every seed, so that runs compare.
        let mut tested = vec![0; test];
        choose(0, &mut vec![0; data.test.len()], &mut tested)?;
        let mean = data.mean_pixel();
        // Learned images are read whole, so all are.
        let inputs = match experiment.block(What::Pixel) {
            Some(_) => Inputs::Dense,
            None => experiment.inputs,
        };
        let all = |split| Images::new(inputs, split, mean);
        Ok(Population {
            experiment,
            data,
            mean,
            train: all(&data.train)?,
            test: all(&data.test)?,
            tested,
        })
    }

    /// Draws the examples of a meta-iteration: draw 0 is the one of a meta-iteration that has no other.
    ///
    /// # Errors
    /// None for a population that was checked.
    pub fn draw(&self, seed: u64, meta_step: usize, draw: usize) -> Result<Problem<'a>> {
        self.problem(self.seed_of(seed, meta_step, draw), None)
    }

    /// The same of a client, whose examples are all of its shard.
    ///
    /// # Errors
    /// An experiment without clients.
    pub fn client(&self, seed: u64, meta_step: usize, client: usize) -> Result<Problem<'a>> {
        let shard = self.shard(seed, client)?;
        self.client_of(&shard, seed, meta_step, client)
    }

    /// The same of a client with this shard, as positions in the training file.
    ///
    /// # Errors
    /// A shard with fewer examples than the experiment trains and validates on.
    pub fn client_of(
        &self,
        shard: &[u32],
        seed: u64,
        meta_step: usize,
        client: usize,
    ) -> Result<Problem<'a>> {
        self.problem(self.seed_of(seed, meta_step, client), Some(shard))
    }

    /// The examples of a client in a run, as positions in the training file.
    ///
    /// # Errors
    /// An experiment without clients.
    pub fn shard(&self, seed: u64, client: usize) -> Result<Vec<u32>> {
        let e = self.experiment;
        let pooled = self.pool(seed)?;
        let mut shard = vec![0; e.examples.train + e.examples.valid];
        choose(
            Use::Shard(client).of(seed),
            &mut vec![0; pooled.len()],
            &mut shard,
        )?;
        Ok(those(&shard, &pooled))
    }

    /// The examples of a run that clients' shards are of, as positions in the training file.
    ///
    /// # Errors
    /// An experiment without clients.
    pub fn pool(&self, seed: u64) -> Result<Vec<u32>> {
        let clients = self.experiment.outer.clients;
        let Clients { pool, .. } = clients.context("an experiment without clients")?;
        let mut pooled = vec![0; pool];
        let all = &mut vec![0; self.data.train.len()];
        choose(Use::Pool.of(seed), all, &mut pooled)?;
        Ok(pooled)
    }

    /// The seed of a draw, where each meta-iteration has its own.
    const fn seed_of(&self, seed: u64, meta_step: usize, draw: usize) -> u64 {
        let fixed = self.experiment.examples.fixed;
        let meta_step = if fixed { 0 } else { meta_step };
        Use::Draw { meta_step, draw }.of(seed)
    }

    /// With all of the training images to choose from, or with a shard of them.
    fn problem(&self, seed: u64, shard: Option<&[u32]>) -> Result<Problem<'a>> {
        let Population {
            experiment,
            data,
            mean,
            train,
            test,
            ..
        } = *self;
        let Counts {
            train: trained,
            valid,
            wrong_labels,
            ..
        } = experiment.examples;
        let mut chosen = vec![0; trained + valid];
        let all = shard.map_or(data.train.len(), <[u32]>::len);
        choose(seed, &mut vec![0; all], &mut chosen)?;
        if let Some(shard) = shard {
            chosen = those(&chosen, shard);
        }
        let (mut trained, outside) = {
            let outside = chosen.split_off(trained);
            (chosen, outside)
        };
        if experiment.block(What::Pixel).is_some() {
            trained = one_of_each(&data.train.labels, experiment.classes(), trained.len())?;
        }
        let outside = match experiment.outside {
            Outside::Valid => outside,
            Outside::Train => trained.clone(),
        };
        let labels = (wrong_labels > 0).then(|| {
            wrong(
                &data.train.labels,
                &trained[..wrong_labels],
                experiment.classes(),
                seed,
            )
        });
        Ok(Problem {
            experiment,
            data,
            mean,
            train,
            test,
            drawn: Drawn {
                train: trained,
                outside,
                test: self.tested.clone(),
                labels,
            },
            seed,
            from: None,
        })
    }
}

/// The numbers at these places.
pub(crate) fn those(places: &[u32], of: &[u32]) -> Vec<u32> {
    let places = places.iter();
    places
        .filter_map(|i| of.get(*i as usize))
        .copied()
        .collect()
}

/// The first images of each class in turn, for what is only a place to start from.
fn one_of_each(labels: &[u8], classes: usize, count: usize) -> Result<Vec<u32>> {
    let mut found = vec![vec![]; classes];
    for (i, label) in (0u32..).zip(labels) {
        found[usize::from(*label)].push(i);
    }
    (0..count)
        .map(|i| {
            let of = &found[i % classes];
            let image = of.get(i / classes).copied();
            image.with_context(|| {
                format!(
                    "the data have {} of class {}",
                    several(of.len(), "image"),
                    i % classes
                )
            })
        })
        .collect()
}

/// The labels with these images given another class, any other with the same chance.
fn wrong(labels: &[u8], these: &[u32], classes: usize, seed: u64) -> Vec<u8> {
    let mut labels = labels.to_vec();
    let shifts = Batches {
        seed: Use::WrongLabels.of(seed),
        examples: classes - 1,
        size: 1,
    };
    for (i, image) in these.iter().enumerate() {
        let mut shift = [0];
        // A batch of one example of at least one cannot be refused.
        if shifts.fill(i, &mut shift).is_ok() {
            let label = &mut labels[*image as usize];
            *label = ((usize::from(*label) + 1 + shift[0] as usize) % classes) as u8;
        }
    }
    labels
}

impl<'a> Problem<'a> {
    /// The first draw of meta-iteration `meta_step`.
    ///
    /// # Errors
    /// As [`Population::new`].
    pub fn draw(
        experiment: &'a Experiment,
        data: &'a Dataset,
        seed: u64,
        meta_step: usize,
    ) -> Result<Self> {
        Population::new(experiment, data)?.draw(seed, meta_step, 0)
    }

    fn network<'s, A: Arithmetic>(&'s self, examples: Tuned<'s>) -> Result<Mlp<'s, Tuned<'s>, A>> {
        let Experiment { layers, batch, .. } = self.experiment;
        // A batch may be more than there are examples, which then stand in it twice.
        let most = examples.len().max(*batch);
        Ok(Mlp::new(examples, layers, *batch)?.with_batches_of(most))
    }

    /// The network on images of whom nothing is tuned, to judge weights by.
    fn judged<'s, A: Arithmetic>(
        &'s self,
        all: Images<'s>,
        chosen: &'s [u32],
    ) -> Result<Mlp<'s, Tuned<'s>, A>> {
        let inner = all.choose(chosen);
        self.network(Tuned::Nothing(Beside { inner, hypers: 0 }))
    }

    /// The training images, with the labels they are trained with.
    fn trained(&self) -> Images<'_> {
        let images = self.train.choose(&self.drawn.train);
        match &self.drawn.labels {
            Some(labels) => images.label_as(labels),
            None => images,
        }
    }

    /// How many hyperparameters are of the examples that are trained on.
    pub(crate) fn hypers_of_examples(&self) -> usize {
        let e = self.experiment;
        let blocks = [What::ExampleWeight, What::Pixel].map(|what| e.block(what));
        let hypers = blocks.into_iter().flatten().map(|block| e.len_of(block));
        hypers.sum()
    }

    /// Images of whom nothing is tuned, beside what is tuned of those that are trained on.
    fn beside<'s>(&self, inner: Images<'s>) -> Tuned<'s> {
        let hypers = self.hypers_of_examples();
        Tuned::Nothing(Beside { inner, hypers })
    }

    /// The penalty of the training loss.
    pub(crate) fn penalty(&self) -> Option<Strength<'_>> {
        let e = self.experiment;
        match e.block(What::Penalty) {
            Some(block) => Some(Strength::Tuned(e.groups_of(block))),
            None => e
                .l2()
                .map(|l2| Strength::Fixed(l2, Groups::global(e.weights()))),
        }
    }

    /// The training loss.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn training<A: Arithmetic>(&self) -> Result<Loss<'_, A>> {
        let e = self.experiment;
        let inner = self.trained();
        let examples = if e.block(What::ExampleWeight).is_some() {
            Tuned::Weights(Weighted { inner })
        } else if e.block(What::Pixel).is_some() {
            Tuned::Pixels(LearnedInputs { inner })
        } else {
            self.beside(inner)
        };
        self.loss(examples, self.penalty())
    }

    /// The outer loss, without penalties.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn outside<A: Arithmetic>(&self) -> Result<Loss<'_, A>> {
        let examples = match self.experiment.outside {
            Outside::Valid => self.beside(self.train.choose(&self.drawn.outside)),
            Outside::Train => self.beside(self.trained()),
        };
        let tuned = self.experiment.block(What::Penalty);
        let off = tuned.map(|block| Strength::Off(self.experiment.groups_of(block)));
        self.loss(examples, off)
    }

    fn loss<'s, A: Arithmetic>(
        &'s self,
        examples: Tuned<'s>,
        strength: Option<Strength<'s>>,
    ) -> Result<Loss<'s, A>> {
        let inner = self.network(examples)?;
        let scales = self.experiment.block(What::Scale);
        Ok(match (scales, strength) {
            (None, None) => Loss::Plain(inner),
            (None, Some(strength)) => Loss::L2(L2::new(inner, strength)),
            (Some(block), strength) => {
                let groups = self.experiment.groups_of(block);
                let scaled = Scaled { inner, groups };
                match strength {
                    None => Loss::Scaled(scaled),
                    Some(strength) => Loss::ScaledL2(L2::new(scaled, strength)),
                }
            }
        })
    }

    fn tables<A: Arithmetic>(&self, hyper: &[f32]) -> Tables<'_> {
        let e = self.experiment;
        let groups_of = |what| e.block(what).map(|block| e.groups_of(block));
        let everywhere = Groups::global(e.weights());
        let groups = groups_of(What::Rate).or(groups_of(What::Momentum));
        let groups = groups.unwrap_or(everywhere);
        let started = groups_of(What::InitialScale).unwrap_or(everywhere);
        let mut inside: Vec<(What, Vec<f32>)> = vec![];
        let mut tables = Tables {
            h: vec![],
            groups,
            rates: vec![e.rate; groups.len()],
            momenta: vec![e.momentum; groups.len()],
            started,
            log_scales: vec![e.log_scale; started.len()],
        };
        for (block, range) in e.blocks() {
            let mut values = hyper.get(range).unwrap_or_default().to_vec();
            if let Some(parametrisation) = block.parametrisation() {
                parametrisation.value::<A, _>(&mut values);
            }
            match block.what {
                What::Rate => tables.rates = values,
                What::Momentum => tables.momenta = values,
                What::InitialScale => tables.log_scales = values,
                what => inside.push((what, values)),
            }
        }
        inside.sort_by_key(|(what, _)| *what);
        tables.h = inside.into_iter().flat_map(|(_, values)| values).collect();
        tables
    }

    /// The tables, all of whose numbers are finite.
    pub(crate) fn finite_tables<A: Arithmetic>(&self, hyper: &[f32]) -> Result<Tables<'_>> {
        let tables = self.tables::<A>(hyper);
        if let Some(place) = tables.not_finite(self.experiment) {
            let value = hyper[place];
            return Err(Divergence::Hyperparameter { place, value }.into());
        }
        Ok(tables)
    }

    /// The derivative by the values becomes one by the hyperparameters. That by initial scales is one
    /// by their logarithms already.
    fn pull_back(&self, tables: &Tables<'_>, mut slopes: Slopes) -> Result<Vec<f32>> {
        let mut hypergradient = Vec::with_capacity(self.experiment.hypers());
        for block in &self.experiment.tuned {
            let (table, range) = tables.place(self.experiment, block);
            let mut d = slopes.of(table)[range.clone()].to_vec();
            if let Some(parametrisation) = block.parametrisation() {
                parametrisation.pull_back(&tables.of(table)[range], &mut d)?;
            }
            hypergradient.extend(d);
        }
        if hypergradient.iter().any(|d| !d.is_finite()) {
            return Err(drmad::Error::NonFinite {
                what: "hypergradient",
                step: 0,
            })
            .context("the hypergradient is not finite: lower the hyperparameters");
        }
        Ok(hypergradient)
    }

    pub(crate) fn batches(&self) -> Batches {
        Batches {
            seed: self.seed,
            examples: self.drawn.train.len(),
            size: self.experiment.batch,
        }
    }

    /// The batches that a sweep takes which has its own.
    pub const fn fresh_batches(&self) -> Batches {
        Batches {
            seed: Use::FreshBatches.of(self.seed),
            examples: self.drawn.train.len(),
            size: self.experiment.batch,
        }
    }

    /// The examples of every step, steps x batch, as positions in `drawn.train`.
    ///
    /// # Errors
    /// None for an experiment that can be trained.
    pub fn all_batches(&self) -> Result<Vec<u32>> {
        let size = self.experiment.batch;
        let mut all = zeros("the list of batches", self.experiment.steps * size)?;
        for (t, batch) in all.chunks_exact_mut(size).enumerate() {
            self.batches().fill(t, batch)?;
        }
        Ok(all)
    }

    /// The initial weights for these hyperparameters.
    pub fn initial<A: Arithmetic>(&self, hyper: &[f32]) -> Vec<f32> {
        let tables = self.tables::<A>(hyper);
        let mut w = vec![0.0; self.experiment.weights()];
        self.normal(&tables).fill(0, &mut w);
        w
    }

    /// Where the training starts.
    pub(crate) fn origin<'s>(&'s self, tables: &'s Tables<'_>) -> Initial<'s, f32> {
        match &self.from {
            Some(from) => Initial::Given(from),
            None => Initial::Drawn(self.normal(tables)),
        }
    }

    fn normal<'s>(&self, tables: &'s Tables<'_>) -> Normal<'s, f32> {
        Normal {
            seed: self.seed,
            groups: tables.started,
            log_scales: &tables.log_scales,
        }
    }

    /// Trains with these hyperparameters and, where a method is given, takes the hypergradient.
    /// `each` hears of every training step.
    ///
    /// # Errors
    /// A training or a sweep that diverges, and too little memory.
    pub fn train<A: Arithmetic>(
        &self,
        hyper: &[f32],
        method: Option<&Method>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Trained> {
        self.train_then::<A>(hyper, method, each, &mut |_| ())
    }

    /// The same with the errors of the trained weights, which are measured beside the way back: on
    /// another core where one is free.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_and_measure<A: Arithmetic>(
        &self,
        hyper: &[f32],
        method: &Method,
        each: &mut dyn FnMut(usize),
    ) -> Result<(Trained, Errors)> {
        let errors = OnceLock::new();
        let trained = rayon::in_place_scope(|beside| {
            self.train_then::<A>(hyper, Some(method), each, &mut |w| {
                let (w, errors) = (w.to_vec(), &errors);
                beside.spawn(move |_| {
                    errors.get_or_init(|| self.errors::<A>(hyper, &w));
                });
            })
        })?;
        let errors = errors.into_inner().context("no trained weights")??;
        Ok((trained, errors))
    }

    /// As [`train`](Self::train); `then` hears of the trained weights, before a way back begins.
    fn train_then<A: Arithmetic>(
        &self,
        hyper: &[f32],
        method: Option<&Method>,
        each: &mut dyn FnMut(usize),
        then: &mut dyn FnMut(&[f32]),
    ) -> Result<Trained> {
        let (loss, counts) = (self.training::<A>()?, counted::Counts::default());
        let counted = Counted {
            inner: &loss,
            counts: &counts,
        };
        let task = Task {
            hyper,
            method,
            counts: &counts,
        };
        if method.is_some_and(|method| method.psd) {
            self.train_on::<A>(&Psd { inner: counted }, task, each, then)
        } else {
            self.train_on::<A>(&counted, task, each, then)
        }
    }

    fn train_on<A: Arithmetic>(
        &self,
        training: &dyn objective::Differentiable<A, f32>,
        task: Task<'_>,
        each: &mut dyn FnMut(usize),
        then: &mut dyn FnMut(&[f32]),
    ) -> Result<Trained> {
        let (p, steps) = (self.experiment.weights(), self.experiment.steps);
        let tables = self.finite_tables::<A>(task.hyper)?;
        let outside = self.outside::<A>()?;
        let schedules = self.experiment.tunes_schedule();
        let rule = Rule::HeavyBall;
        let run = Run {
            objective: training,
            h: &tables.h,
            schedule: Schedule {
                rule,
                groups: tables.groups,
                rates: &tables.rates,
                momenta: &tables.momenta,
            },
            batches: self.batches(),
            steps,
        };
        let origin = self.origin(&tables);
        if task
            .method
            .is_some_and(|method| method.name == Name::Forward)
        {
            let trained = self.train_forward(&run, &tables, &outside, each)?;
            then(&trained.w);
            return Ok(trained);
        }
        let unseen = Validation {
            objective: &outside,
            examples: &[],
        };
        // Implicit differentiation needs a number more for each hyperparameter.
        let scratch = run.scratch_len(&unseen).saturating_add(run.h.len());
        let len = Workspace::<f32>::required_len(p, scratch, rule, schedules);
        let mut buffer = zeros("the workspace", len)?;
        let mut workspace = Workspace::new(&mut buffer, p, rule, schedules)?;
        let mut batch = vec![0; self.experiment.batch];
        let mut storage = vec![];
        // Without a sweep any path will do, and the line costs nothing.
        let method = task.method.copied().unwrap_or(Method::new(Name::Line));
        let extent = Extent::of(&run.schedule, steps, schedules);
        let mut path = method.path::<A>(extent, origin, &mut storage)?;

        let mut losses = vec![0.0; steps];
        let clock = Instant::now();
        run.walk(
            &origin,
            &mut path,
            &mut workspace,
            &mut batch,
            &mut |t, loss| {
                losses[t] = loss;
                each(t);
            },
        )?;
        let forward_seconds = clock.elapsed().as_secs_f64();
        let w = workspace.w.to_vec();
        then(&w);
        let mut back = None;
        if task.method.is_some() {
            task.counts.gradients.set(0);
            let clock = Instant::now();
            let taken = self.take::<A>(
                &run,
                &outside,
                method,
                &mut path,
                &mut workspace,
                &mut batch,
                (task.hyper, &tables),
            )?;
            back = Some(Back {
                hypergradient: taken.hypergradient,
                valid_loss: taken.valid_loss,
                seconds: clock.elapsed().as_secs_f64(),
                floats: path.floats(),
                gradients: task.counts.gradients.get(),
                products: task.counts.products.get(),
                note: taken.note,
            });
        }
        Ok(Trained {
            w,
            losses,
            forward_seconds,
            back,
        })
    }

    /// The hypergradient by a method, after the walk.
    #[allow(clippy::too_many_arguments)] // everything a hypergradient depends on
    fn take<A: Arithmetic>(
        &self,
        run: &Run<'_, A, f32>,
        outside: &Loss<'_, A>,
        method: Method,
        path: &mut dyn Path<A, f32>,
        workspace: &mut Workspace<'_, f32>,
        batch: &mut [u32],
        (hyper, tables): (&[f32], &Tables<'_>),
    ) -> Result<Taken> {
        // The outer examples are in the order of their drawing, so the first of them are a draw too.
        let validated = method.validate_on.unwrap_or(self.drawn.outside.len());
        let examples: Vec<u32> = (0..validated as u32).collect();
        let validation = Validation {
            objective: outside,
            examples: &examples,
        };
        let mut slopes = Slopes::new(tables);
        let schedules = self.experiment.tunes_schedule();
        self.check_method(&method)?;
        let mut note = None;
        let valid_loss = match method.name {
            Name::Implicit | Name::Neumann => {
                let all: Vec<u32> = (0..self.drawn.train.len() as u32).collect();
                let solver = match method.name {
                    Name::Neumann => Solver::Neumann { rate: method.rate },
                    _ => Solver::ConjugateGradients,
                };
                let settings = Implicit {
                    examples: &all,
                    solver,
                    iterations: method.iterations,
                    tolerance: 1e-6,
                    damping: method.damping,
                };
                let solved = run.implicit(&validation, &settings, workspace, &mut slopes.h)?;
                note = Some(format!(
                    "residual {:.2e} after {}{}",
                    solved.residual,
                    several(solved.iterations, "iteration"),
                    match solved.stopped {
                        Stopped::Curvature => ", then negative curvature",
                        _ => "",
                    }
                ));
                solved.valid_loss
            }
            // The last two are no methods: what they say is written below.
            Name::Direct | Name::Random | Name::AllUp => {
                run.direct(&validation, workspace, &mut slopes.h)?
            }
            _ => {
                let Slopes {
                    h, rates, momenta, ..
                } = &mut slopes;
                let wanted = Wanted {
                    d_h: h,
                    schedule: schedules.then_some((rates, momenta)),
                };
                let batches = match method.fresh_batches {
                    true => self.fresh_batches(),
                    false => run.batches,
                };
                let run = Run { batches, ..*run };
                let outcome = run.back(&validation, path, workspace, batch, wanted)?;
                self.by_initial_scales::<A>(hyper, tables, workspace.d_w, &mut slopes)?;
                outcome.valid_loss
            }
        };
        Ok(Taken {
            hypergradient: self.said_by(&method, tables, slopes)?,
            valid_loss,
            note,
        })
    }

    /// Refuses a method that does not know all that is tuned.
    pub(crate) fn check_method(&self, method: &Method) -> Result<()> {
        let e = self.experiment;
        let along = e.tunes_schedule() || e.block(What::InitialScale).is_some();
        if along && !method.name.has_path() {
            bail!(
                "{} has no derivative by rates, momenta and initial scales: take a method with a path",
                method.name.as_str()
            );
        }
        Ok(())
    }

    /// The derivative by the initial scales, where they are tuned, from that by the initial weights.
    pub(crate) fn by_initial_scales<A: Arithmetic>(
        &self,
        hyper: &[f32],
        tables: &Tables<'_>,
        d_w: &[f32],
        slopes: &mut Slopes,
    ) -> Result<()> {
        if self.experiment.block(What::InitialScale).is_some() {
            let w0 = self.initial::<A>(hyper);
            self.normal(tables)
                .adjoint(&w0, d_w, &mut slopes.log_scales)?;
        }
        Ok(())
    }

    /// What a method says, from the derivatives by the tables.
    pub(crate) fn said_by(
        &self,
        method: &Method,
        tables: &Tables<'_>,
        slopes: Slopes,
    ) -> Result<Vec<f32>> {
        let mut hypergradient = self.pull_back(tables, slopes)?;
        match method.name {
            Name::AllUp => hypergradient.fill(-1.0),
            Name::Random => {
                let groups = Groups::global(hypergradient.len());
                let (seed, log_scales) = (Use::Direction.of(self.seed), &[0.0]);
                Normal {
                    seed,
                    groups,
                    log_scales,
                }
                .fill(0, &mut hypergradient);
            }
            _ => {}
        }
        Ok(hypergradient)
    }

    /// The same with a tangent for each hyperparameter.
    fn train_forward<A: Arithmetic>(
        &self,
        run: &Run<'_, A, f32>,
        tables: &Tables<'_>,
        outside: &Loss<'_, A>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Trained> {
        let (p, count) = (self.experiment.weights(), self.experiment.hypers());
        let rule = run.schedule.rule;
        if count > MOST_TANGENTS {
            bail!(
                "forward carries a tangent for each hyperparameter: {} has {count}, which need {} numbers; it takes at most {MOST_TANGENTS}: take hats or tape",
                self.experiment.name,
                count.saturating_mul(2 * p)
            );
        }
        let mut wrt: Vec<Wrt> = vec![];
        for block in &self.experiment.tuned {
            let (table, range) = tables.place(self.experiment, block);
            let of = match table {
                Table::Objective => Wrt::Hyper,
                Table::Rates => Wrt::Rate,
                Table::Momenta => Wrt::Momentum,
                Table::LogScales => |_| Wrt::Initial,
            };
            wrt.extend(range.map(of));
        }
        let examples: Vec<u32> = (0..self.drawn.outside.len() as u32).collect();
        let validation = Validation {
            objective: outside,
            examples: &examples,
        };
        let scratch = run.forward_scratch_len(&validation, count);
        let len = Forward::<f32>::required_len(p, run.h.len(), rule, count, scratch);
        let mut buffer = zeros("forward mode", len)?;
        let mut state = Forward::new(&mut buffer, run, &wrt)?;
        let origin = self.normal(tables);
        state.start(&origin)?;
        for (block, range) in self.experiment.blocks() {
            if block.what == What::InitialScale {
                let tangents = state.w_dot.chunks_exact_mut(p).skip(range.start);
                for (group, w_dot) in tangents.take(range.len()).enumerate() {
                    origin.tangent(group, state.w, w_dot)?;
                }
            }
        }
        let mut losses = vec![0.0; run.steps];
        let mut batch = vec![0; self.experiment.batch];
        let clock = Instant::now();
        run.forward(0..run.steps, &mut state, &mut batch, &mut |t, loss| {
            losses[t] = loss;
            each(t);
        })?;
        let forward_seconds = clock.elapsed().as_secs_f64();
        let mut hypergradient = vec![0.0; count];
        let clock = Instant::now();
        let valid_loss = run.hypergradient(&validation, &mut state, &mut hypergradient)?;
        let mut slopes = Slopes::new(tables);
        for (block, range) in self.experiment.blocks() {
            let (table, place) = tables.place(self.experiment, block);
            slopes.of(table)[place].copy_from_slice(&hypergradient[range]);
        }
        let hypergradient = self.pull_back(tables, slopes)?;
        let seconds = clock.elapsed().as_secs_f64();
        Ok(Trained {
            w: state.w.to_vec(),
            losses,
            forward_seconds,
            back: Some(Back {
                hypergradient,
                valid_loss,
                seconds,
                floats: state.w_dot.len() + state.v_dot.len() + state.g_dot.len(),
                gradients: 0,
                products: run.steps * count,
                note: None,
            }),
        })
    }

    /// Losses and errors of trained weights (of `z`, where weights are scaled).
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn quality<A: Arithmetic>(&self, hyper: &[f32], w: &[f32]) -> Result<Quality> {
        let own = self.own::<A>(hyper, w);
        let loss_of = |all, chosen: &[u32]| -> Result<f64> {
            let network = self.judged::<A>(all, chosen)?;
            let examples: Vec<u32> = (0..chosen.len() as u32).collect();
            let at = At {
                w: &own,
                h: &[],
                batch: &examples,
            };
            let loss = network.loss(at, &mut vec![0.0; network.loss_scratch_len()])?;
            if !loss.is_finite() {
                return Err(Divergence::Loss.into());
            }
            Ok(f64::from(loss))
        };
        let valid_loss = loss_of(self.train, &self.drawn.outside)?;
        let test_loss = loss_of(self.test, &self.drawn.test)?;
        let Errors { valid, test } = self.errors::<A>(hyper, w)?;
        Ok(Quality {
            valid_loss,
            valid_error: valid,
            test_loss,
            test_error: test,
        })
    }

    /// The errors alone.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn errors<A: Arithmetic>(&self, hyper: &[f32], w: &[f32]) -> Result<Errors> {
        let own = self.own::<A>(hyper, w);
        let error_of = |all, chosen: &[u32]| -> Result<f64> {
            let network = self.judged::<A>(all, chosen)?;
            let classes = self.experiment.classes();
            let mut scratch = vec![0.0; network.scratch_len()];
            let mut p = vec![0.0f32; self.experiment.batch * classes];
            let examples: Vec<u32> = (0..chosen.len() as u32).collect();
            let mut wrong = 0;
            for batch in examples.chunks(self.experiment.batch) {
                let p = &mut p[..batch.len() * classes];
                network.predict(&own, batch, p, &mut scratch)?;
                for (i, p) in batch.iter().zip(p.chunks_exact(classes)) {
                    let label = network.examples().label(*i)?;
                    // A tie with a wrong class is an error, and so is what is not a number.
                    let right = (0..classes).all(|k| k == label || p[k] < p[label]);
                    wrong += usize::from(!right);
                }
            }
            Ok(wrong as f64 / chosen.len() as f64)
        };
        Ok(Errors {
            valid: error_of(self.train, &self.drawn.outside)?,
            test: error_of(self.test, &self.drawn.test)?,
        })
    }

    /// The network's own weights: of scaled ones, `s z`.
    fn own<'w, A: Arithmetic>(&self, hyper: &[f32], w: &'w [f32]) -> Cow<'w, [f32]> {
        let mut own = Cow::from(w);
        if let Some(scaled) = self.experiment.block(What::Scale) {
            let tables = self.tables::<A>(hyper);
            let (table, place) = tables.place(self.experiment, scaled);
            let scales = &tables.of(table)[place];
            for block in self.experiment.groups_of(scaled).blocks() {
                let rows = block.of_mut(own.to_mut());
                scale_rows_in_place(block.columns, block.hypers(scales), rows);
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::MOST_DRAWS;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_uses_share_a_seed_whatever_the_seed_the_meta_iteration_and_the_draw() {
        let mut found = BTreeSet::new();
        let mut insert = |what: String, seed| assert!(found.insert(seed), "{what}");
        // Multiples of 2^32 and 2^54 among them, by which seeds were once told apart.
        let words = [0, 1 << 31, 1 << 32, 2 << 32, 1 << 54, 3 << 54, 1 << 63];
        for seed in words.into_iter().flat_map(|word| [word, word + 1, !word]) {
            for meta_step in [0, 1, 2, 20, 1 << 20, 1 << 22] {
                for draw in [0, 1, 2, MOST_DRAWS - 1] {
                    let of = Use::Draw { meta_step, draw };
                    insert(format!("{of:?} of {seed}"), of.of(seed));
                }
            }
            let others = [
                Use::Pool,
                Use::Shard(0),
                Use::Shard(1),
                Use::Shard(MOST_DRAWS - 1),
                Use::WrongLabels,
                Use::FreshBatches,
                Use::Direction,
                Use::DropOuts,
            ];
            for of in others {
                insert(format!("{of:?} of {seed}"), of.of(seed));
            }
            insert(format!("{seed} itself"), seed);
        }
    }
}
