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

use anyhow::Result;

use crate::data::Dataset;
use crate::reduction::Reduction;

pub mod clients;
pub mod times;

use clients::{ManyClients, PAIRS, Part};
use times::{ClientModel, Network, Taken, Topology, meta_iteration};

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
