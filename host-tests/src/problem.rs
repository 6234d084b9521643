//! An experiment with its data drawn: a function from hyperparameters to losses and hypergradients.
//!
//! Everything here is a function of the experiment, the data and a seed. Each draw of a meta-iteration
//! has a seed of its own ([`Use`]), so its examples, its initial weights and its batches are its own
//! too; the test examples are those of the whole run. A client is a draw whose examples come from its
//! shard, which it keeps for the whole run: it splits it anew in each meta-iteration.

use anyhow::{Context, Result, bail};
use drmad::random::{Batches, choose, mix};
use drmad::training::{Model, Training, Tuned};

use crate::data::Dataset;
use crate::experiment::{Clients, Counts, Experiment, OuterLoss, What};
use crate::inputs::{Images, Inputs};
use crate::method::zeros;
use crate::words::several;

/// The images of an experiment, as positions in the data's files.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Positions in the training file that are trained on.
    pub train: Vec<u32>,
    /// Positions in the training file that the outer loss is taken over.
    pub validation: Vec<u32>,
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
    /// What is tuned, as the crate has it.
    tuned: Vec<Tuned>,
    /// All images of the training file, none of them chosen.
    pub(crate) train: Images<'a>,
    /// The same of the test file.
    pub(crate) test: Images<'a>,
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
        let (mut trained, validation) = {
            let validation = chosen.split_off(trained);
            (chosen, validation)
        };
        if experiment.block(What::Pixel).is_some() {
            trained = one_of_each(&data.train.labels, experiment.classes(), trained.len())?;
        }
        let validation = match experiment.outer_loss {
            OuterLoss::Valid => validation,
            OuterLoss::Train => trained.clone(),
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
                validation,
                test: self.tested.clone(),
                labels,
            },
            seed,
            from: None,
            tuned: experiment.tuned.iter().map(Tuned::from).collect(),
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

    /// The training images, with the labels they are trained with.
    pub(crate) fn trained(&self) -> Images<'_> {
        self.label(self.train.choose(&self.drawn.train))
    }

    /// The first so many of those that the outer loss is taken over.
    pub(crate) fn validation(&self, count: usize) -> Images<'_> {
        let chosen = self.train.choose(&self.drawn.validation[..count]);
        match self.experiment.outer_loss {
            OuterLoss::Valid => chosen,
            OuterLoss::Train => self.label(chosen),
        }
    }

    fn label<'s>(&'s self, images: Images<'s>) -> Images<'s> {
        match &self.drawn.labels {
            Some(labels) => images.label_as(labels),
            None => images,
        }
    }

    /// Makes it a training of another experiment, on the examples that were drawn.
    pub fn train_as(&mut self, experiment: &'a Experiment) {
        self.experiment = experiment;
        self.tuned = experiment.tuned.iter().map(Tuned::from).collect();
    }

    /// What is trained, as the crate has it.
    pub fn training(&self) -> Training<'_> {
        let e = self.experiment;
        let model = Model::Widths {
            widths: &e.layers,
            sparse: self.train.is_sparse(),
        };
        Training {
            valid_examples: self.drawn.validation.len(),
            tuned: &self.tuned,
            rate: e.rate,
            momentum: e.momentum,
            log_scale: e.log_scale,
            l2: e.l2().unwrap_or(0.0),
            batch: e.batch,
            seed: self.seed,
            ..Training::new(model, self.drawn.train.len(), e.steps)
        }
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
