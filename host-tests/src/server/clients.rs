//! Clients: what they hold, and what they do when they are told.
//!
//! A client sees nothing but its shard. Its hypergradient is that of a
//! [`Problem`], as everywhere in this harness. Its data are a shard of those that
//! all have, or, where the folder of the data names `{client}`, all that lie in a folder of its own: then
//! the mean that it subtracts from inputs is that of its own images too.
//!
//! Refused, in a reply and never by a panic: data that cannot be read or do not fit the experiment.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use drmad::kernels::reduce::norm;
use drmad::training::Compiled;
use drmad::{Fused, Plain};
use sha2::{Digest, Sha256};

use super::settings::Settings;
use super::shards::experiment_of;
use super::wire::{Measured, Order, Reply, Said, Shape, Task};
use crate::data::Dataset;
use crate::device;
use crate::divergence::diverges;
use crate::experiment::{Experiment, Rounding};
use crate::problem::{Population, Problem};

/// Whoever answers the orders to some clients.
pub trait Work: Sync {
    /// What a client says to an order.
    fn reply(&self, client: usize, order: &Order) -> Said;
}

/// What stands for a client's number in the name of a folder.
const OWN: &str = "{client}";

/// Whether each client has a folder of its own.
pub fn own_data(folder: &Path) -> bool {
    folder.to_string_lossy().contains(OWN)
}

/// What a client holds.
#[derive(Debug)]
pub struct Held {
    experiment: Experiment,
    data: Arc<Dataset>,
    shard: Vec<u32>,
}

impl Held {
    /// The shard of a client of the data that all have, or its own data where there are none such.
    ///
    /// # Errors
    /// Data that cannot be read, too few of them, shards that cannot be.
    pub fn new(settings: &Settings, shared: Option<&Arc<Dataset>>, client: usize) -> Result<Self> {
        let experiment = &settings.experiment;
        let (data, shard) = match &settings.data {
            Some(folder) if own_data(folder) => {
                let folder = folder.to_string_lossy().replace(OWN, &client.to_string());
                let data = Dataset::from_dir(Path::new(&folder))?;
                let shard = (0..data.train.len() as u32).collect();
                (Arc::new(data), shard)
            }
            _ => {
                let data = shared.context("no data")?;
                let shard = settings
                    .shards
                    .of(experiment, data, settings.seed, client)?;
                (Arc::clone(data), shard)
            }
        };
        Ok(Held {
            experiment: experiment_of(experiment, shard.len(), data.test.len())?,
            data,
            shard,
        })
    }
}

/// A digest of settings, by which two of them are told apart.
///
/// # Errors
/// None that settings can cause.
pub fn digest(settings: &Settings) -> Result<u64> {
    let digest = Sha256::digest(serde_json::to_vec(settings)?);
    Ok(digest
        .iter()
        .take(8)
        .fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

/// A client that has its data.
#[derive(Debug)]
struct Client<'a> {
    number: usize,
    held: &'a Held,
    /// What it may draw of, unless its data do not fit the experiment.
    population: Result<Population<'a>, String>,
}

/// The clients of one process.
#[derive(Debug)]
pub struct Clients<'a> {
    settings: &'a Settings,
    digest: u64,
    all: Vec<Result<Client<'a>, (usize, String)>>,
}

impl<'a> Clients<'a> {
    /// Those that hold this, with their numbers; or the reason why one holds nothing.
    ///
    /// # Errors
    /// As [`digest`].
    pub fn new(settings: &'a Settings, held: &'a [(usize, Result<Held>)]) -> Result<Self> {
        let all = held.iter().map(|(number, held)| {
            let number = *number;
            let held = held
                .as_ref()
                .map_err(|error| (number, format!("{error:#}")))?;
            let population = Population::new(&held.experiment, &held.data);
            Ok(Client {
                number,
                held,
                population: population.map_err(|error| format!("{error:#}")),
            })
        });
        Ok(Clients {
            settings,
            digest: digest(settings)?,
            all: all.collect(),
        })
    }

    fn find(&self, number: usize) -> Result<&Client<'a>, String> {
        let found = self.all.iter().find_map(|client| match client {
            Ok(client) if client.number == number => Some(Ok(client)),
            Err((of, words)) if *of == number => Some(Err(words.clone())),
            _ => None,
        });
        found.unwrap_or_else(|| Err("it is not held here".to_string()))
    }

    fn answer<A: Compiled<f32>>(&self, client: &Client<'a>, order: &Order) -> Result<Said> {
        let problem = |meta_step| -> Result<Problem<'a>> {
            let population = client.population.as_ref();
            let population = population.map_err(|words| anyhow::anyhow!("{words}"))?;
            let seed = self.settings.seed;
            population.client_of(&client.held.shard, seed, meta_step, client.number)
        };
        let experiment = &self.settings.experiment;
        Ok(match &order.task {
            Task::Greet => Said::Holds(Shape {
                rows: u32::try_from(client.held.data.train.rows)?,
                columns: u32::try_from(client.held.data.train.columns)?,
                examples: u32::try_from(client.held.shard.len())?,
                hypers: u32::try_from(experiment.hypers())?,
                settings: self.digest,
            }),
            Task::Step(hyper) => {
                // The first round is that of the greeting.
                let meta_step = (order.round as usize).saturating_sub(1);
                let problem = problem(meta_step)?;
                let method = experiment.method()?;
                let trained = device::train::<A>(&problem, hyper, Some(&method), &|| ())?;
                let errors = problem.errors::<A>(hyper, &trained.w)?;
                let train_loss = trained.last_loss();
                let back = trained.back.context("no hypergradient")?;
                let measured = Measured {
                    valid_loss: f64::from(back.valid_loss),
                    valid_error: errors.valid,
                    test_error: errors.test,
                    train_loss,
                    norm: norm(&back.hypergradient),
                };
                Said::Gradient(measured, self.settings.wire.encode(&back.hypergradient)?)
            }
            Task::Judge(hyper) => {
                // On a draw that no meta-iteration has seen.
                let problem = problem(experiment.outer.meta_steps)?;
                let trained = device::train::<A>(&problem, hyper, None, &|| ())?;
                Said::Quality(problem.quality::<A>(hyper, &trained.w)?)
            }
            Task::Stop => Said::Failed("told to stop".to_string()),
        })
    }
}

impl Work for Clients<'_> {
    fn reply(&self, client: usize, order: &Order) -> Said {
        let answer = |client| match self.settings.arithmetic {
            Rounding::Fused => self.answer::<Fused>(client, order),
            Rounding::Plain => self.answer::<Plain>(client, order),
        };
        match self.find(client).map(answer) {
            Ok(Ok(said)) => said,
            Ok(Err(error)) if diverges(&error) => Said::Diverged(format!("{error:#}")),
            Ok(Err(error)) => Said::Failed(format!("{error:#}")),
            Err(words) => Said::Failed(words),
        }
    }
}

/// The reply of a client, as it is sent.
pub fn reply(work: &impl Work, client: usize, order: &Order) -> Vec<u8> {
    let reply = Reply {
        round: order.round,
        client: client as u32,
        said: work.reply(client, order),
    };
    reply.to_bytes()
}
