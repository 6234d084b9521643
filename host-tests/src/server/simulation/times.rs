//! The time of a meta-iteration, by a model: messages over links, trainings, clients that drop out.

use std::ops::Range;

use anyhow::{Result, ensure};
use drmad::group::Groups;
use drmad::random::InitialWeights;
use drmad::random::{Normal, choose};

use crate::problem::Use;

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
