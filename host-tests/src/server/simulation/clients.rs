//! Many clients that tune: what each of them holds, and what comes out where some take part.

use anyhow::Context;
use anyhow::{Result, ensure};
use drmad::Fused;
use drmad::random::choose;
use rayon::prelude::*;

use crate::data::{Dataset, Split};
use crate::divergence::diverges;
use crate::experiment::Experiment;
use crate::problem::{Population, those};
use crate::recipe::Recipe;
use crate::reduction::Reduction;
use crate::statistics;
use crate::trained::Back;
use crate::tuner;

/// Who takes part in a meta-iteration of the tuning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// All.
    All,
    /// A share, chosen anew in each meta-iteration.
    Some(f64),
    /// All but those who hold the last two digits.
    NoLastDigits,
}

/// Real clients in large numbers.
#[derive(Debug)]
pub struct ManyClients {
    experiment: Experiment,
    data: Dataset,
    /// The images of each client.
    shards: Vec<Vec<u32>>,
    /// Whether each client holds two digits alone.
    by_label: bool,
}

/// What they tuned.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The hyperparameters.
    pub hyper: Vec<f32>,
    /// Mean validation loss over all clients, whoever took part.
    pub valid_loss: f64,
    /// The same of the share that is misclassified.
    pub valid_error: f64,
    /// The loss of those alone who hold the last two digits, where there are such.
    pub last_digits: Option<f64>,
}

/// A client holds so many images.
const HELD: usize = 24;
/// Pairs of digits.
pub(super) const PAIRS: usize = 5;

impl ManyClients {
    /// So many clients with images of `data`, each the mean of 4 x 4 pixels.
    ///
    /// # Errors
    /// No clients, too few images or those of another size.
    pub fn new(data: &Dataset, clients: usize, by_label: bool) -> Result<Self> {
        ensure!(clients > 0, "there are no clients");
        let recipe = Recipe::parse("simulated", include_str!("../../../server/simulated.toml"))?;
        let data = Dataset {
            train: small(&data.train)?,
            test: small(&data.test)?,
        };
        let labels = &data.train.labels;
        let of = |pair: usize| {
            let its = |label: u8| !by_label || usize::from(label / 2) == pair;
            let images = (0u32..).zip(labels).filter(|(_, label)| its(**label));
            images.map(|(image, _)| image).collect::<Vec<u32>>()
        };
        let pools: Vec<Vec<u32>> = (0..PAIRS).map(of).collect();
        let shard = |client: usize| {
            let pool = &pools[client % PAIRS];
            let mut chosen = vec![0; HELD];
            choose(client as u64, &mut vec![0; pool.len()], &mut chosen)?;
            anyhow::Ok(those(&chosen, pool))
        };
        let shards = (0..clients).into_par_iter().map(shard);
        let shards = shards.collect::<Result<_>>()?;
        Ok(ManyClients {
            experiment: recipe.experiment()?,
            data,
            shards,
            by_label,
        })
    }

    /// The hyperparameters.
    pub fn hypers(&self) -> usize {
        self.experiment.hypers()
    }

    const fn holds_last_digits(&self, client: usize) -> bool {
        self.by_label && client % PAIRS == PAIRS - 1
    }

    /// Tunes for so many meta-iterations.
    ///
    /// # Errors
    /// A meta-iteration in which nobody has a hypergradient.
    pub fn tune(&self, reduction: Reduction, part: Part, meta_steps: usize) -> Result<Tuned> {
        let population = Population::new(&self.experiment, &self.data)?;
        let method = self.experiment.method()?;
        let clients = self.shards.len();
        let problem = |client: usize, meta_step| {
            // Seeds are by client, of whom there are more than draws.
            population.client_of(&self.shards[client], client as u64, meta_step, 0)
        };
        let tuned = tuner::tune(&self.experiment, &self.experiment.start(), |tuner| {
            for meta_step in 0..meta_steps {
                let taking: Vec<usize> = match part {
                    Part::All => (0..clients).collect(),
                    Part::NoLastDigits => (0..clients)
                        .filter(|client| !self.holds_last_digits(*client))
                        .collect(),
                    Part::Some(share) => {
                        let wanted = ((share * clients as f64).round() as usize).clamp(1, clients);
                        let mut chosen = vec![0; wanted];
                        choose(meta_step as u64, &mut vec![0; clients], &mut chosen)?;
                        chosen.sort_unstable();
                        chosen.into_iter().map(|client| client as usize).collect()
                    }
                };
                let hyper = tuner.h();
                let backs: Result<Vec<Option<Back>>> = taking
                    .into_par_iter()
                    .map(|client| {
                        let problem = problem(client, meta_step)?;
                        match problem.train::<Fused>(hyper, Some(&method), &mut |_| ()) {
                            Err(error) if diverges(&error) => Ok(None),
                            trained => Ok(trained?.back),
                        }
                    })
                    .collect();
                let backs = backs?;
                let all: Vec<Option<&[f32]>> = backs
                    .iter()
                    .map(|back| Some(&back.as_ref()?.hypergradient[..]))
                    .collect();
                let reduced = reduction.reduce(&all)?;
                let losses = backs
                    .iter()
                    .flatten()
                    .map(|back| f64::from(back.valid_loss));
                tuner.follow(statistics::mean(losses) as f32, &reduced.hypergradient)?;
            }
            Ok(tuner.h().to_vec())
        });
        let hyper = tuned?;
        let judged: Result<Vec<_>> = (0..clients)
            .into_par_iter()
            .map(|client| {
                let problem = problem(client, meta_steps)?;
                let trained = problem.train::<Fused>(&hyper, None, &mut |_| ())?;
                let quality = problem.quality::<Fused>(&hyper, &trained.w)?;
                Ok((quality.valid_loss, quality.valid_error))
            })
            .collect();
        let judged = judged?;
        let mean = |of: fn(&(f64, f64)) -> f64, kept: &dyn Fn(usize) -> bool| {
            let mut kept = judged
                .iter()
                .enumerate()
                .filter(|(i, _)| kept(*i))
                .peekable();
            let any = kept.peek().is_some();
            any.then(|| statistics::mean(kept.map(|(_, q)| of(q))))
        };
        Ok(Tuned {
            valid_loss: mean(|q| q.0, &|_| true).context("no clients")?,
            valid_error: mean(|q| q.1, &|_| true).context("no clients")?,
            last_digits: mean(|q| q.0, &|client| self.holds_last_digits(client)),
            hyper,
        })
    }
}

/// Images of which each pixel is the mean of 4 x 4.
fn small(split: &Split) -> Result<Split> {
    let (rows, columns) = (split.rows / 4, split.columns / 4);
    ensure!(
        (rows, columns) == (7, 7),
        "images of {} x {} are not 28 x 28",
        split.rows,
        split.columns
    );
    let pixel = |image: &[u8], i: usize| {
        let (row, column) = (i / columns * 4, i % columns * 4);
        let square = (0..16).map(|k| {
            let at = (row + k / 4) * split.columns + column + k % 4;
            u32::from(image.get(at).copied().unwrap_or(0))
        });
        (square.sum::<u32>() / 16) as u8
    };
    let images = split.pixels.chunks_exact(split.width());
    let pixels = images.flat_map(|image| (0..rows * columns).map(move |i| pixel(image, i)));
    Ok(Split::new(
        pixels.collect(),
        split.labels.clone(),
        rows,
        columns,
    ))
}
