//! Which examples a client holds.
//!
//! | shards | a client has |
//! |---|---|
//! | even | as many as the experiment trains and validates on, by chance from the pool that all share |
//! | uneven | client `c` of `n` has `2 (c + 1) / (n + 1)` as many: all together what even ones are |
//! | by label | at most as many, of a few classes alone: client `c` has the classes `j` with `floor(j n / k) = c` of `k` classes, or of more clients than classes the class `c mod k` |
//!
//! Even shards are those of `drmad tune`, so that both have the same bits. Two shards that are uneven or by
//! label of many clients may share examples too.
//!
//! Refused: shards larger than the pool, and those without examples to train or to validate on.

use anyhow::{Result, ensure};
use drmad::random::choose;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::experiment::{Counts, Experiment};
use crate::problem::{Population, Use, those};
use crate::words::several;

/// The kinds of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shards {
    /// All of one size.
    #[default]
    Even,
    /// The first the smallest, the last the largest.
    Uneven,
    /// Each of a few classes.
    ByLabel,
}

/// Whether client `client` of `clients` has a class of `classes`.
fn has(client: usize, clients: usize, class: usize, classes: usize) -> bool {
    if clients <= classes {
        class * clients / classes == client
    } else {
        class == client % classes
    }
}

impl Shards {
    /// In a few words.
    pub const fn describe(self) -> &'static str {
        match self {
            Shards::Even => "of one size",
            Shards::Uneven => "of different sizes",
            Shards::ByLabel => "of a few classes each",
        }
    }

    /// The examples of a client, as positions in the training file.
    ///
    /// # Errors
    /// A shard larger than the pool, or data that the experiment refuses.
    pub fn of(
        self,
        experiment: &Experiment,
        data: &Dataset,
        seed: u64,
        client: usize,
    ) -> Result<Vec<u32>> {
        let population = Population::new(experiment, data)?;
        let (clients, all) = (experiment.outer.trainings(), shard_of(experiment.examples));
        let (pooled, len) = match self {
            Shards::Even => return population.shard(seed, client),
            Shards::Uneven => {
                let len = 2 * (client + 1) * all / (clients + 1);
                (population.pool(seed)?, len)
            }
            Shards::ByLabel => {
                let classes = experiment.classes();
                let labels = &data.train.labels;
                let of_ours = |i: &u32| {
                    let label = labels.get(*i as usize).copied().map(usize::from);
                    label.is_some_and(|class| has(client, clients, class, classes))
                };
                let pooled: Vec<u32> = population.pool(seed)?.into_iter().filter(of_ours).collect();
                let len = all.min(pooled.len());
                (pooled, len)
            }
        };
        ensure!(
            len <= pooled.len(),
            "client {client} has {} of a pool of {}: give a larger outer.clients.pool",
            several(len, "example"),
            pooled.len()
        );
        let mut shard = vec![0; len];
        let places = &mut vec![0; pooled.len()];
        choose(Use::Shard(client).of(seed), places, &mut shard)?;
        Ok(those(&shard, &pooled))
    }
}

/// The examples of a shard.
const fn shard_of(counts: Counts) -> usize {
    counts.train + counts.valid
}

/// The experiment of a client that holds so many examples: as many of them to train on, and to validate
/// on, as the experiment says, or where it holds another number the same share of them.
///
/// # Errors
/// Too few to have some of both.
pub fn experiment_of(experiment: &Experiment, held: usize, tested: usize) -> Result<Experiment> {
    let mut own = experiment.clone();
    let Counts { train, valid, .. } = experiment.examples;
    let all = shard_of(experiment.examples);
    own.examples.train = train * held / all;
    own.examples.valid = held - own.examples.train;
    own.examples.test = experiment.examples.test.min(tested);
    ensure!(
        own.examples.train > 0 && own.examples.valid > 0,
        "a client that holds {} has none to train on or none to validate on: {train} and {valid} of {all} are wanted",
        several(held, "example")
    );
    if let Some(clients) = &mut own.outer.clients {
        clients.pool = held;
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::has;

    #[test]
    fn each_class_has_one_client_and_each_client_a_class() {
        for clients in 1..=30 {
            for class in 0..10 {
                let holders = (0..clients).filter(|client| has(*client, clients, class, 10));
                assert!(holders.count() == 1 || clients > 10);
            }
            for client in 0..clients {
                assert!((0..10).any(|class| has(client, clients, class, 10)));
            }
        }
    }
}
