//! Ten thousand clients, simulated: what a meta-iteration takes, and what is tuned.
//!
//! **The time** is that of a model, and nothing of it is measured. A message of `b` bytes keeps a link busy
//! for `o + b / B` and arrives `l` later; a link carries one message at a time each way. A training takes
//! `s exp(sigma z)` seconds, `z` normal; of some clients, chosen anew in each meta-iteration, `slowdown`
//! times that; some drop out. What hypergradients of `H` numbers take on their way to the server and hyperparameters on theirs back:
//!
//! | reduction | messages | seconds, beside the trainings, at most |
//! |---|---|---|
//! | star | each client to the server, which sends all the hyperparameters | `2 l + 2 n (o + 4 H / B)` |
//! | tree | client `i` to client `(i - 1) / f`, with the sum of those below it in float64 | `2 l d + f d (2 o + 12 H / B)`, `d = log_f n` |
//! | ring | each to the next: a piece of `1 / n` of the sum, `2 (n - 1)` times | `2 (n - 1) (l + o) + 16 H / B` |
//!
//! A tree and a ring fold in an order of their own, fixed too, but with other bits than the order of clients.
//! With a client that drops out, the sum of those below it in a tree is lost in that meta-iteration. A ring
//! goes through those that have something to send, and nobody knows who that is before the last of them is
//! done or the deadline has passed.
//!
//! A server with a deadline counts those that are ready by then, and waits for their messages.
//!
//! **What is tuned** is computed and not modelled: each client trains on 24 images of its own, MNIST's in 7 x 7
//! pixels, and its hypergradient is exact. No two clients have the same images, and each image is with a few
//! of ten thousand. What is simulated of it is who takes part.
//!
//! Refused: no clients, and shares outside [0, 1].

use std::fmt::Write as _;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use drmad::Fused;
use drmad::group::Groups;
use drmad::random::{InitialWeights, Normal, choose};
use rayon::prelude::*;

use crate::data::{Dataset, Split};
use crate::divergence::diverges;
use crate::experiment::Experiment;
use crate::problem::{Population, Use, those};
use crate::recipe::Recipe;
use crate::reduction::Reduction;
use crate::statistics;
use crate::trained::Back;
use crate::tuner;

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// Seconds from one end to the other.
    pub latency: f64,
    /// Bytes a second that a link carries.
    pub bandwidth: f64,
    /// Seconds that a message takes whatever its length.
    pub overhead: f64,
}

impl Network {
    /// A cluster's: 20 microseconds, 10 Gbit/s.
    pub const CLUSTER: Network = Network {
        latency: 20e-6,
        bandwidth: 1.25e9,
        overhead: 2e-6,
    };
    /// The world's: 50 milliseconds, 100 Mbit/s.
    pub const WIDE: Network = Network {
        latency: 50e-3,
        bandwidth: 12.5e6,
        overhead: 20e-6,
    };

    /// How long a message keeps a link busy.
    fn busy(&self, bytes: f64) -> f64 {
        self.overhead + bytes / self.bandwidth
    }
}

/// The way in which hypergradients become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// All send to the server.
    Star,
    /// Each sends to the one above it, which has so many below.
    Tree(usize),
    /// Each sends to the next.
    Ring,
}

impl Topology {
    /// In a word.
    pub fn name(self) -> String {
        match self {
            Topology::Star => "star".to_string(),
            Topology::Tree(fan) => format!("tree of {fan}"),
            Topology::Ring => "ring".to_string(),
        }
    }
}

/// What clients live through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientModel {
    /// Seconds of a training.
    pub training: f64,
    /// How much it differs: the standard deviation of its logarithm.
    pub spread: f64,
    /// The share of clients that are slow.
    pub slow: f64,
    /// How many times longer these take.
    pub slowdown: f64,
    /// The share that drops out.
    pub dropped: f64,
    /// When the server stops waiting, in seconds, where it does.
    pub deadline: Option<f64>,
}

/// A meta-iteration of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Seconds from the order to the last hyperparameters.
    pub seconds: f64,
    /// The clients whose hypergradients were counted.
    pub counted: usize,
}

/// The words that one number takes: of hyperparameters, and of a sum of hypergradients.
const SINGLE: f64 = 4.0;
const DOUBLE: f64 = 8.0;

impl ClientModel {
    /// Refuses what there cannot be.
    ///
    /// # Errors
    /// What it is.
    pub fn check(&self) -> Result<()> {
        for (what, share) in [("slow", self.slow), ("dropped", self.dropped)] {
            ensure!(
                (0.0..=1.0).contains(&share),
                "{what} is {share}: a share is from 0 to 1"
            );
        }
        for (what, x) in [
            ("training", self.training),
            ("spread", self.spread),
            ("slowdown", self.slowdown),
            ("deadline", self.deadline.unwrap_or(0.0)),
        ] {
            ensure!(
                x.is_finite() && x >= 0.0,
                "{what} is {x}: it must be at least 0"
            );
        }
        Ok(())
    }

    /// The seconds of each client's training; nothing of one that drops out or is too slow.
    fn trainings(&self, clients: usize, seed: u64) -> Result<Vec<Option<f64>>> {
        let mut z = vec![0.0f32; clients];
        let normal = Normal {
            seed,
            groups: Groups::global(clients),
            log_scales: &[0.0],
        };
        normal.fill(0, &mut z);
        let those = |share: f64, seed| -> Result<Vec<u32>> {
            let mut chosen = vec![0; (share * clients as f64).round() as usize];
            choose(seed, &mut vec![0; clients], &mut chosen)?;
            Ok(chosen)
        };
        let seconds = z
            .iter()
            .map(|z| self.training * (self.spread * f64::from(*z)).exp());
        let mut seconds: Vec<Option<f64>> = seconds.map(Some).collect();
        for client in those(self.slow, seed)? {
            if let Some(Some(seconds)) = seconds.get_mut(client as usize) {
                *seconds *= self.slowdown;
            }
        }
        for client in those(self.dropped, Use::DropOuts.of(seed))? {
            if let Some(seconds) = seconds.get_mut(client as usize) {
                *seconds = None;
            }
        }
        Ok(seconds)
    }
}

/// One meta-iteration of `clients` clients with `hypers` hyperparameters.
///
/// # Errors
/// No clients, weather that there cannot be.
pub fn meta_iteration(
    topology: Topology,
    network: &Network,
    model: &ClientModel,
    clients: usize,
    hypers: usize,
    seed: u64,
) -> Result<Taken> {
    ensure!(clients > 0, "there are no clients");
    model.check()?;
    let trainings = model.trainings(clients, seed)?;
    let deadline = model.deadline.unwrap_or(f64::INFINITY);
    let (single, double) = (SINGLE * hypers as f64, DOUBLE * hypers as f64);
    Ok(match topology {
        Topology::Star => {
            let each = network.busy(single);
            let told = |i: usize| (i + 1) as f64 * each + network.latency;
            let ready = trainings.iter().enumerate().filter_map(|(i, training)| {
                let ready = told(i) + (*training)?;
                (ready <= deadline).then_some(ready + network.latency)
            });
            let mut arrivals: Vec<f64> = ready.collect();
            arrivals.sort_by(f64::total_cmp);
            let waited = all_or(deadline, arrivals.len() == clients);
            let last = arrivals
                .iter()
                .fold(0.0, |busy: f64, at| busy.max(*at) + each);
            Taken {
                seconds: last.max(waited),
                counted: arrivals.len(),
            }
        }
        Topology::Tree(fan) => {
            let fan = fan.max(1);
            let (down, up) = (network.busy(single), network.busy(double));
            let below = |i: usize| -> Range<usize> {
                let first = (fan * i + 1).min(clients);
                first..(first + fan).min(clients)
            };
            let mut told = vec![0.0; clients];
            for i in 0..clients {
                for (place, child) in below(i).enumerate() {
                    told[child] = told[i] + (place + 1) as f64 * down + network.latency;
                }
            }
            // When the sum of a client and all below it is there, and of how many it is.
            let mut sums: Vec<Option<(f64, usize)>> = vec![None; clients];
            for i in (0..clients).rev() {
                let (ready, own) = match trainings[i] {
                    Some(training) => {
                        let ready = told[i] + training;
                        (ready, usize::from(ready <= deadline))
                    }
                    // The first is at the server, which does not drop out.
                    None if i == 0 => (0.0, 0),
                    None => continue,
                };
                let mut arrivals: Vec<(f64, usize)> =
                    below(i).filter_map(|child| sums[child]).collect();
                arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
                let children = arrivals
                    .iter()
                    .fold((0.0f64, 0), |(busy, counted), (at, of)| {
                        (busy.max(at + network.latency) + up, counted + of)
                    });
                sums[i] = Some((children.0.max(ready.min(deadline)), own + children.1));
            }
            let (seconds, counted) = sums[0].unwrap_or((0.0, 0));
            Taken {
                seconds: seconds.max(all_or(deadline, counted == clients)),
                counted,
            }
        }
        Topology::Ring => {
            let ready = trainings
                .iter()
                .filter_map(|training| training.filter(|t| *t <= deadline));
            let (last, n) = ready.fold((0.0f64, 0usize), |(last, n), t| (last.max(t), n + 1));
            let pieces = 2.0 * n.saturating_sub(1) as f64;
            let piece = double / n.max(1) as f64;
            Taken {
                seconds: last.max(all_or(deadline, n == clients))
                    + pieces * (network.latency + network.busy(piece)),
                counted: n,
            }
        }
    })
}

/// How long a server waits at least: with a deadline it gives up no earlier on those that are missing;
/// without one it knows who has dropped out.
fn all_or(deadline: f64, all: bool) -> f64 {
    if all || deadline.is_infinite() {
        0.0
    } else {
        deadline
    }
}

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
const PAIRS: usize = 5;

impl ManyClients {
    /// So many clients with images of `data`, each the mean of 4 x 4 pixels.
    ///
    /// # Errors
    /// No clients, too few images or those of another size.
    pub fn new(data: &Dataset, clients: usize, by_label: bool) -> Result<Self> {
        ensure!(clients > 0, "there are no clients");
        let recipe = Recipe::parse("simulated", include_str!("../../server/simulated.toml"))?;
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

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Clients.
    pub clients: usize,
    /// Hyperparameters of the model of time.
    pub hypers: usize,
    /// What they live through.
    pub model: ClientModel,
    /// Meta-iterations of the tuning; 0 leaves it out.
    pub meta_steps: usize,
}

/// Meta-iterations of the model that a time is the median of.
const ROUNDS: u64 = 5;

impl Simulation {
    /// Prints the tables.
    ///
    /// # Errors
    /// What is refused.
    pub fn run(&self, data: &Dataset) -> Result<()> {
        say!("{}", self.times()?);
        if self.meta_steps > 0 {
            self.tuned(data)?;
        }
        Ok(())
    }

    /// The median time and the clients counted.
    fn median(
        &self,
        topology: Topology,
        network: &Network,
        clients: usize,
        hypers: usize,
    ) -> Result<Taken> {
        let taken = (0..ROUNDS)
            .map(|seed| meta_iteration(topology, network, &self.model, clients, hypers, seed));
        let mut taken = taken.collect::<Result<Vec<_>>>()?;
        taken.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        Ok(taken[taken.len() / 2])
    }

    /// The table of times.
    fn times(&self) -> Result<String> {
        let ways = [
            Topology::Star,
            Topology::Tree(2),
            Topology::Tree(16),
            Topology::Tree(64),
            Topology::Ring,
        ];
        let mut text = String::new();
        for (name, network) in [("cluster", Network::CLUSTER), ("wide", Network::WIDE)] {
            writeln!(
                text,
                "{name}: seconds of a meta-iteration beyond a training of {} s, and the share of clients counted",
                self.model.training
            )?;
            write!(text, "{:>10} {:>10}", "clients", "hypers")?;
            for topology in ways {
                write!(text, " {:>18}", topology.name())?;
            }
            writeln!(text)?;
            for hypers in [self.hypers, 1000 * self.hypers] {
                let mut clients = 10;
                while clients <= self.clients {
                    write!(text, "{clients:>10} {hypers:>10}")?;
                    for topology in ways {
                        let taken = self.median(topology, &network, clients, hypers)?;
                        let beyond = taken.seconds - self.model.training;
                        let share = 100.0 * taken.counted as f64 / clients as f64;
                        write!(text, " {beyond:>11.4} {share:>5.1}%")?;
                    }
                    writeln!(text)?;
                    clients *= 10;
                }
            }
        }
        Ok(text)
    }

    /// Tunes with a crowd under one condition after the other.
    fn tuned(&self, data: &Dataset) -> Result<()> {
        say!(
            "{:<44} {:>6} {:>11} {:>12} {:>16}",
            "tuned by",
            "taking",
            "valid_loss",
            "valid_error",
            "loss of 8s, 9s"
        );
        let dropped = self.model.dropped;
        for by_label in [false, true] {
            let clients = ManyClients::new(data, self.clients, by_label)?;
            let mut parts = vec![
                ("nobody".to_string(), Part::All, 0),
                ("all".to_string(), Part::All, self.meta_steps),
            ];
            let chance = |share: f64| {
                let words = format!("a share of {share}, by chance");
                (words, Part::Some(share), self.meta_steps)
            };
            if by_label {
                let words = "all but those with 8s and 9s".to_string();
                parts.push((words, Part::NoLastDigits, self.meta_steps));
            } else {
                parts.extend([1.0 - dropped, 0.5, 0.1, 0.01, 0.001].map(chance));
            }
            for reduction in [Reduction::Mean, Reduction::SignVote] {
                for (who, part, meta_steps) in &parts {
                    if reduction == Reduction::SignVote
                        && !matches!(part, Part::All if *meta_steps > 0)
                    {
                        continue;
                    }
                    let tuned = clients.tune(reduction, *part, *meta_steps)?;
                    let shards = if by_label {
                        "two digits each"
                    } else {
                        "all digits"
                    };
                    let vote = if reduction == Reduction::SignVote {
                        ", sign vote"
                    } else {
                        ""
                    };
                    say!(
                        "{:<44} {:>6} {:>11.5} {:>11.2}% {:>16}",
                        format!("{who}{vote} ({shards})"),
                        match part {
                            Part::All => self.clients,
                            Part::Some(share) => (share * self.clients as f64).round() as usize,
                            Part::NoLastDigits => self.clients - self.clients / PAIRS,
                        },
                        tuned.valid_loss,
                        100.0 * tuned.valid_error,
                        tuned
                            .last_digits
                            .map_or("-".to_string(), |loss| format!("{loss:.5}"))
                    );
                }
            }
        }
        Ok(())
    }
}
