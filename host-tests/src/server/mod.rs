//! A hyperparameter server: data stay where they are, and hypergradients travel.
//!
//! Clients hold shards of their own. In each meta-iteration the server sends the hyperparameters, each
//! client trains and sends its hypergradient with the norm and what it measured, and all step down one
//! [reduction](crate::reduction) of what came (Fu et al. 2016, section 4.2):
//!
//! ```text
//! server:  h -> all         d = reduce(d_0, .., d_{n-1})        h <- outer(h, d)
//! client:  d_i = d L_valid,i(w_T(h)) / dh, by any method, on its own shard
//! ```
//!
//! One loop serves all. What differs between clients that are threads of this process and clients that are
//! ranks of MPI is a [`Link`], which carries [bytes](wire).
//!
//! **Same bits** for any number of threads and ranks: replies are sorted by client and only then folded, in
//! float64 in their order. The whole state is written after each meta-iteration and holds no times, so that
//! the files of two such runs are equal byte for byte; a run that was killed goes on from it, with another
//! number of ranks where that is wanted.
//!
//! Left out of a meta-iteration, and named: a client whose training diverges, one that sends numbers that are
//! not finite, one that is [absent](settings::Absent), and one whose reply is not there when the deadline has passed. Without
//! a deadline the server waits. A deadline is the only thing here that a clock decides; the run ends with the
//! absences that give its bits again without one.
//!
//! Refused: clients whose images differ in size from those of the first, or whose settings do, before
//! anything is trained; signs alone where numbers are to be added up; a reply that says what its client
//! cannot do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use drmad::kernels::reduce::norm;
use drmad::state::restore;
use drmad::tuner::Tuner;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, npy};
use crate::experiment::{Experiment, What};
use crate::files::{self, progress};
use crate::provenance::{differences, named, versions};
use crate::quality::Quality;
use crate::reduction::Reduction;
use crate::tuner;
use crate::words::several;

use clients::{Clients, Held, own_data};
use link::{Link, Threads};
use round::{Round, Why, why_nobody};
use settings::{Absent, Conditions, Settings};
use wire::{Measured, Order, Reply, Said, Shape, Task, Wire};

pub mod clients;
pub mod link;
pub mod page;
#[cfg(feature = "mpi")]
pub mod ranks;
pub mod round;
pub mod settings;
pub mod shards;
pub mod simulation;
pub mod start;
pub mod wire;

/// Everything that a run knows after some meta-iterations. Numbers that decide bits are stored as bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    settings: Settings,
    /// The tuner, [saved](tuner::save); nothing before the first meta-iteration.
    tuner: Vec<u8>,
    rounds: Vec<Round>,
}

/// How good the trainings of each client are; nothing of one that diverges or says nothing.
pub type Judged = Vec<Option<Quality>>;

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Served {
    /// The hyperparameters.
    pub hyper: Vec<f32>,
    /// The meta-iterations.
    pub rounds: Vec<Round>,
    /// With the hyperparameters at the start.
    pub before: Judged,
    /// With those of the end.
    pub after: Judged,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    /// What determines the run.
    pub settings: Settings,
    /// What clients live through.
    pub conditions: Conditions,
    /// Threads for the clients of a process.
    pub threads: usize,
    /// Where its files go.
    pub out: PathBuf,
    /// Whether nothing is said.
    pub quiet: bool,
}

impl Server {
    /// Runs to the end with all clients in this process, and writes the result; `resume` goes on from the
    /// state of an earlier run.
    ///
    /// # Errors
    /// Settings and clients that are refused; a state to resume that is of another run; a meta-iteration
    /// in which no client has a hypergradient; what the file system refuses.
    pub fn run(&self, resume: bool) -> Result<Served> {
        self.check()?;
        let own: Vec<usize> = (0..self.clients()).collect();
        self.with_clients(&own, |link| self.serve(link, resume))
    }

    /// Refuses what no run can be made with.
    ///
    /// # Errors
    /// What it is.
    pub fn check(&self) -> Result<()> {
        let Settings {
            experiment, wire, ..
        } = &self.settings;
        experiment.check()?;
        let Some(clients) = experiment.outer.clients else {
            bail!("{} has no clients: give --clients", experiment.name);
        };
        ensure!(
            *wire != Wire::Sign || clients.reduction == Reduction::SignVote,
            "--wire sign sends signs alone, and {} takes more: give --reduction sign-vote",
            clients.reduction.describe()
        );
        ensure!(
            !experiment.outer.warm,
            "outer.warm: a server knows no weights to go on from"
        );
        let named = self.conditions.absent.iter().map(|absent| absent.client);
        let named = named.chain(self.conditions.slow.iter().map(|slow| slow.client));
        for client in named {
            ensure!(
                client < clients.count,
                "there is no client {client}: they are numbered from 0 to {}",
                clients.count - 1
            );
        }
        // With the last of these numbers go the judgements.
        let meta_steps = experiment.outer.meta_steps;
        for Absent { client, first, .. } in &self.conditions.absent {
            ensure!(
                *first <= meta_steps,
                "--absent {client}@{first}: there are {}, numbered from 0",
                several(meta_steps, "meta-iteration")
            );
        }
        Ok(())
    }

    /// Has some of the clients in this process while `body` runs.
    ///
    /// # Errors
    /// Data of all that cannot be read, and what `body` says.
    pub fn with_clients<T>(
        &self,
        own: &[usize],
        body: impl FnOnce(&mut Threads) -> Result<T>,
    ) -> Result<T> {
        let settings = &self.settings;
        let shared = match &settings.data {
            Some(folder) if own_data(folder) => None,
            Some(folder) => Some(Arc::new(Dataset::from_dir(folder)?)),
            None => Some(Arc::new(Dataset::mnist()?)),
        };
        let held = own
            .iter()
            .map(|client| (*client, Held::new(settings, shared.as_ref(), *client)));
        let held: Vec<_> = held.collect();
        let clients = Clients::new(settings, &held)?;
        Threads::with(&clients, own, &self.conditions.slow, self.threads, body)
    }

    /// Serves the clients at the other end of a link.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn serve(&self, link: &mut impl Link, resume: bool) -> Result<Served> {
        let served = self.serve_all(link, resume);
        // Whatever happened, nobody waits for more.
        let stop = Order {
            round: u32::MAX,
            task: Task::Stop,
        };
        let stopped = link.tell(&stop);
        let served = served?;
        stopped?;
        Ok(served)
    }

    fn experiment(&self) -> &Experiment {
        &self.settings.experiment
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.experiment().outer.trainings()
    }

    /// Where the state is.
    pub fn state_path(&self) -> PathBuf {
        self.out.join("state.json")
    }

    fn tell(&self, line: &str) {
        if !self.quiet {
            say!("{line}");
        }
    }

    fn load(&self) -> Result<State> {
        let path = self.state_path();
        let text = std::fs::read(&path)
            .with_context(|| format!("nothing to resume: cannot read {}", path.display()))?;
        let state: State = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is not the state of a server of this version: delete it to start anew",
                path.display()
            )
        })?;
        ensure!(
            state.settings == self.settings,
            "{} is of a run with other settings: {}: \
             give the same, another --out, or leave out --resume to start anew",
            path.display(),
            differences(&state.settings, &self.settings)?
        );
        let experiment = self.experiment();
        let whole = tuner::tune(experiment, &experiment.start(), |tuner| {
            restore(&state.tuner, tuner)?;
            Ok(tuner.rounds() == state.rounds.len())
        });
        ensure!(
            whole.unwrap_or(false)
                && state.rounds.len() <= experiment.outer.meta_steps
                && state
                    .rounds
                    .iter()
                    .all(|round| round.clients.len() == self.clients()),
            "{} is damaged: delete it to start anew",
            path.display()
        );
        Ok(state)
    }

    fn begin(&self) -> State {
        State {
            settings: self.settings.clone(),
            tuner: vec![],
            rounds: vec![],
        }
    }

    fn serve_all(&self, link: &mut impl Link, resume: bool) -> Result<Served> {
        let _claim = files::claim(&self.out)?;
        let state = if resume { self.load()? } else { self.begin() };
        let experiment = self.experiment();
        tuner::tune(experiment, &experiment.start(), |tuner| {
            self.tune(link, tuner, state, resume)
        })
    }

    fn tune(
        &self,
        link: &mut impl Link,
        tuner: &mut Tuner<'_, f32>,
        mut state: State,
        resume: bool,
    ) -> Result<Served> {
        let (experiment, clients) = (self.experiment(), self.clients());
        let meta_steps = experiment.outer.meta_steps;
        if resume {
            restore(&state.tuner, tuner)?;
        }
        self.greet(link)?;
        self.tell(&format!(
            "{}: {} by {}, {} of {} with {}",
            experiment.name,
            several(tuner.h().len(), "hyperparameter"),
            experiment.method()?.describe(),
            several(meta_steps, "meta-iteration"),
            several(clients, "client"),
            several(experiment.steps, "step")
        ));
        if resume {
            self.tell(&format!(
                "resumed after {}",
                several(state.rounds.len(), "meta-iteration")
            ));
        }
        self.tell(&format!(
            "{:>4} {:>11} {:>12} {:>11} {:>11} {:>9} {:>10} {:>8}",
            "step",
            "valid_loss",
            "valid_error",
            "test_error",
            "norm",
            "agreement",
            "bytes",
            "seconds"
        ));
        let bar = match self.quiet {
            true => ProgressBar::hidden(),
            false => progress(meta_steps * clients),
        };
        bar.inc((state.rounds.len() * clients) as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(250));
        let mut seconds = vec![];
        for meta_step in state.rounds.len()..meta_steps {
            let clock = Instant::now();
            let (round, d) = self
                .meta_iteration(link, meta_step, tuner.h(), &bar)
                .with_context(|| format!("meta-iteration {meta_step} of {}", experiment.name))?;
            tuner.follow(round.mean(|m| m.valid_loss) as f32, &d)?;
            state.tuner = tuner::save(tuner)?;
            bar.suspend(|| self.tell(&round.line(meta_step, clock.elapsed())));
            state.rounds.push(round);
            files::write(&self.state_path(), &serde_json::to_vec(&state)?)?;
            seconds.push(clock.elapsed().as_secs_f64());
        }
        bar.finish_and_clear();
        let last = meta_steps as u32;
        let before = self.judge(link, last + 1, &experiment.start())?;
        let after = self.judge(link, last + 2, tuner.h())?;
        let served = Served {
            hyper: tuner.h().to_vec(),
            rounds: state.rounds,
            before,
            after,
        };
        self.finish(&served, seconds)?;
        Ok(served)
    }

    /// Gives an order, and waits for what those clients say who take part, in their order. Nothing is said
    /// by one that takes no part or is late.
    fn ask(
        &self,
        link: &mut impl Link,
        order: &Order,
        takes_part: impl Fn(usize) -> bool,
        deadline: Option<Duration>,
        bar: &ProgressBar,
    ) -> Result<Vec<Option<(Said, usize)>>> {
        link.tell(order)?;
        let mut said: Vec<Option<(Said, usize)>> = vec![None; self.clients()];
        let mut missing = (0..self.clients())
            .filter(|client| takes_part(*client))
            .count();
        let clock = Instant::now();
        while missing > 0 {
            let patience = match deadline {
                Some(deadline) => match deadline.checked_sub(clock.elapsed()) {
                    Some(left) => left,
                    None => break,
                },
                None => Duration::from_secs(3600),
            };
            let Some(bytes) = link.hear(patience)? else {
                continue;
            };
            let reply = Reply::from_bytes(&bytes)?;
            let client = reply.client as usize;
            let place = said.get_mut(client);
            let place = place.with_context(|| format!("a reply of client {client}"))?;
            // A reply to an earlier order is late, whenever it comes.
            if reply.round == order.round && takes_part(client) && place.is_none() {
                if let Said::Failed(words) = reply.said {
                    bail!("client {client}: {words}");
                }
                *place = Some((reply.said, bytes.len()));
                missing -= 1;
                bar.inc(1);
            }
        }
        Ok(said)
    }

    /// Asks all what they hold, and refuses those that differ.
    fn greet(&self, link: &mut impl Link) -> Result<()> {
        let order = Order {
            round: 0,
            task: Task::Greet,
        };
        let said = self.ask(link, &order, |_| true, None, &ProgressBar::hidden())?;
        let mut first: Option<Shape> = None;
        for (client, said) in said.into_iter().enumerate() {
            let Some((Said::Holds(shape), _)) = said else {
                bail!("client {client} does not say what it holds");
            };
            let first = first.get_or_insert(shape);
            for (what, of) in [
                (
                    "images of",
                    [*first, shape].map(|s| format!("{} x {}", s.rows, s.columns)),
                ),
                (
                    "hyperparameters:",
                    [*first, shape].map(|s| s.hypers.to_string()),
                ),
                (
                    "settings of digest",
                    [*first, shape].map(|s| format!("{:016x}", s.settings)),
                ),
            ] {
                let [ours, its] = of;
                ensure!(
                    ours == its,
                    "client {client} has {what} {its} and client 0 {ours}"
                );
            }
        }
        Ok(())
    }

    /// One meta-iteration: what the clients sent, and what all follow.
    fn meta_iteration(
        &self,
        link: &mut impl Link,
        meta_step: usize,
        hyper: &[f32],
        bar: &ProgressBar,
    ) -> Result<(Round, Vec<f32>)> {
        let Conditions {
            deadline, absent, ..
        } = &self.conditions;
        let takes_part = |client| !absent.iter().any(|absent| absent.at(client, meta_step));
        let order = Order {
            round: u32::try_from(meta_step + 1)?,
            task: Task::Step(hyper.to_vec()),
        };
        let said = self.ask(link, &order, takes_part, *deadline, bar)?;
        let (mut sent, mut words) = (0, vec![]);
        let mut gradients: Vec<Option<Vec<f32>>> = vec![];
        let mut clients: Vec<Result<Measured, Why>> = vec![];
        for (client, said) in said.into_iter().enumerate() {
            let mut gradient = None;
            clients.push(match said {
                None if takes_part(client) => Err(Why::Late),
                None => Err(Why::Absent),
                Some((said, bytes)) => {
                    sent += bytes as u64;
                    match said {
                        Said::Gradient(measured, d) => {
                            gradient = Some(self.settings.wire.decode(hyper.len(), &d)?);
                            Ok(measured)
                        }
                        Said::Diverged(why) => {
                            words.push(format!("client {client}: {why}"));
                            Err(Why::Diverged)
                        }
                        said => bail!("client {client} answers with {}", said.kind()),
                    }
                }
            });
            gradients.push(gradient);
        }
        for (of, d) in clients.iter_mut().zip(&mut gradients) {
            let finite = d.as_ref().is_none_or(|d| d.iter().all(|d| d.is_finite()));
            if of.is_ok_and(|measured| !(finite && measured.is_finite())) {
                (*of, *d) = (Err(Why::NotFinite), None);
            }
        }
        let taken: Vec<Option<&[f32]>> = gradients.iter().map(Option::as_deref).collect();
        if clients.iter().all(Result::is_err) {
            bail!("nobody is left to follow: {}", why_nobody(&clients, words));
        }
        let reduced = self.experiment().outer.reduction().reduce(&taken)?;
        let round = Round {
            norm: norm(&reduced.hypergradient),
            agreement: reduced.agreement,
            sent,
            received: (order.to_bytes().len()
                * (0..self.clients()).filter(|c| takes_part(*c)).count())
                as u64,
            clients,
        };
        Ok((round, reduced.hypergradient))
    }

    /// How good the trainings of all clients are with these hyperparameters.
    fn judge(&self, link: &mut impl Link, round: u32, hyper: &[f32]) -> Result<Judged> {
        let meta_steps = self.experiment().outer.meta_steps;
        let absent = &self.conditions.absent;
        let takes_part = |client| !absent.iter().any(|absent| absent.at(client, meta_steps));
        let order = Order {
            round,
            task: Task::Judge(hyper.to_vec()),
        };
        let bar = ProgressBar::hidden();
        let said = self.ask(link, &order, takes_part, self.conditions.deadline, &bar)?;
        let quality = said.into_iter().map(|said| match said {
            Some((Said::Quality(quality), _)) => Some(quality),
            _ => None,
        });
        Ok(quality.collect())
    }

    /// Prints what came out and writes the files.
    fn finish(&self, served: &Served, seconds: Vec<f64>) -> Result<()> {
        let page = self.page(served, seconds)?;
        self.tell(&format!(
            "\n{:<28} {:>10} {:>10}",
            "mean over clients", "before", "after"
        ));
        for (what, of, unit) in page::compared() {
            let [before, after] =
                [&page.before, &page.after].map(|judged| unit * page::mean(judged, of));
            self.tell(&format!("{what:<28} {before:>10.5} {after:>10.5}"));
        }
        let late = served
            .rounds
            .iter()
            .enumerate()
            .flat_map(|(meta_step, round)| {
                let late = round.left_out().filter(|(_, why)| *why == Why::Late);
                late.map(move |(client, _)| format!("{client}@{meta_step}"))
            });
        let late: Vec<String> = late.collect();
        if !late.is_empty() {
            self.tell(&format!(
                "the same bits without a clock: --absent {}",
                late.join(",")
            ));
        }
        let path = self.out.join("report.html");
        files::write(&path, page::render(&page)?.as_bytes())?;
        files::write(&self.out.join("result.json"), &serde_json::to_vec(&page)?)?;
        npy::write(
            &self.out.join("hyper.npy"),
            &[served.hyper.len() as u64],
            served.hyper.iter().copied(),
        )?;
        self.tell(&format!("report: {}", path.display()));
        Ok(())
    }

    fn page(&self, served: &Served, seconds: Vec<f64>) -> Result<page::Page> {
        let (e, s) = (self.experiment(), &self.settings);
        let follow = e.outer.reduction().describe();
        Ok(page::Page {
            experiment: e.name.clone(),
            title: e.title.clone(),
            settings: named(&[
                ("network", e.network()),
                ("weights", e.weights().to_string()),
                ("hyperparameters", e.hypers().to_string()),
                ("clients", self.clients().to_string()),
                ("shards", s.shards.describe().to_string()),
                ("what all follow", follow.to_string()),
                ("hypergradients travel as", s.wire.as_str().to_string()),
                ("training steps", e.steps.to_string()),
                ("rate", e.said(What::Rate)),
                ("momentum", e.said(What::Momentum)),
                ("method", e.method()?.describe()),
                ("outer optimizer", e.outer.optimizer.as_str().to_string()),
                ("outer rate", e.outer.rate().to_string()),
                ("seed", s.seed.to_string()),
                (
                    "data",
                    s.data
                        .as_ref()
                        .map_or("MNIST".into(), |d| d.display().to_string()),
                ),
            ]),
            versions: versions(s.arithmetic),
            hypers: e.hypers(),
            rounds: served.rounds.clone(),
            before: served.before.clone(),
            after: served.after.clone(),
            seconds,
        })
    }
}
