//! The outer loop: hyperparameters follow their hypergradients.
//!
//! Each meta-iteration draws its examples, its initial weights and its batches anew, trains, and steps
//! down the hypergradient of its validation loss, or the mean `1/N (d_0 + ... + d_{N-1})` over `N`
//! draws: the part of a hypergradient that belongs to one draw alone shrinks in the mean. At the first
//! and the last one the exact hypergradient (of the same draws) is computed beside it, and the angle
//! between the two is part of the result. After every meta-iteration the whole state is written, so that
//! a killed run goes on with the same bits.
//!
//! Where there are [clients](crate::experiment::Clients), each is a draw of its own shard, and what is
//! followed is the [reduction](crate::reduction) of their hypergradients. One whose training diverges is
//! left out of that meta-iteration and named.
//!
//! Draws run on all cores. Order of arithmetic: the mean is a sum in float64 in the order of the draws,
//! divided by `N` and then rounded once to float32; so are the losses and errors of a meta-iteration,
//! without the rounding. The number of threads changes no bit.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use drmad::kernels::reduce::{cosine, norm};
use drmad::outer::{Adam, Outer as _, Projection, Sgd, Sign};
use drmad::training::Compiled;
use drmad::{Fused, Plain};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Folder, npy};
use crate::device::{self, Device, Job};
use crate::divergence::diverges;
use crate::experiment::{Experiment, Outer, OuterOptimizer, Rounding, What};
use crate::files::{self, progress};
use crate::method::{Method, Name};
use crate::problem::{Population, Problem};
use crate::provenance::{differences, named, versions};
use crate::quality::{Errors, Quality};
use crate::reduction::Reduced;
use crate::report::{run, tuning};
use crate::statistics;
use crate::trained::Trained;
use crate::words::several;

/// At which meta-iterations the exact hypergradient is computed beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// The first and the last.
    Ends,
    /// All of them.
    Every,
    /// None of them.
    Never,
}

/// What determines a run, and so must be the same when it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The version of the program.
    pub version: String,
    /// The experiment, with what the command line changed in it.
    pub experiment: Experiment,
    /// When the exact hypergradient is computed beside.
    pub compare: Compare,
    /// The seed.
    pub seed: u64,
    /// The rounding of multiply-adds.
    pub arithmetic: Rounding,
    /// The data, where they are not the ones compiled in.
    pub data: Option<Folder>,
}

/// Whether a run goes on from the state of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It starts anew, and its state replaces the earlier one's.
    No,
    /// It does, and there must be one.
    Yes,
    /// It does where there is one of this very run, and starts anew otherwise.
    IfBegun,
}

/// Everything a run knows after some meta-iterations. Numbers that decide bits are stored as bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    settings: Settings,
    /// The hyperparameters at the start.
    start: Vec<u32>,
    hyper: Vec<u32>,
    first_moment: Vec<u32>,
    second_moment: Vec<u32>,
    /// Where trainings start warm: the last weights.
    #[serde(default)]
    weights: Option<Vec<u32>>,
    meta_steps: Vec<run::MetaStep>,
    angles: Vec<run::Angle>,
    comparison: Vec<run::Scatter>,
    costs: Vec<run::Cost>,
}

/// The names of a run's files.
const STATE: &str = "state.json";
const PAGE: &str = "report.html";
const RESULT: &str = "result.json";
const HYPER: &str = "hyper.npy";

/// How far away the other draws are that exact hypergradients are compared with: beyond any run.
const ANOTHER_DRAW: usize = 1 << 20;

/// A training before or after tuning.
struct End {
    trained: Trained,
    quality: Quality,
}

pub(crate) fn to_bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

pub(crate) fn from_bits(x: &[u32]) -> Vec<f32> {
    x.iter().map(|x| f32::from_bits(*x)).collect()
}

/// Does a job on every problem, each on a core.
fn on_all_cores<T: Send>(
    problems: &[Problem<'_>],
    job: impl Fn(&Problem<'_>) -> Result<T> + Sync,
) -> Vec<Result<T>> {
    problems.par_iter().with_max_len(1).map(&job).collect()
}

/// Trains all of these with the same hyperparameters and takes them back.
fn train_all<A: Compiled<f32>>(
    device: &Device,
    problems: &[Problem<'_>],
    hyper: &[f32],
    method: &Method,
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Result<Trained>>> {
    let jobs: Vec<Job<'_>> = problems
        .iter()
        .map(|problem| Job {
            problem,
            hyper,
            method: Some(method),
        })
        .collect();
    device.train::<A>(&jobs, each)
}

/// A run of the outer loop.
#[derive(Debug)]
pub struct Tuning<'a> {
    /// The data.
    pub data: &'a Dataset,
    /// What determines the run.
    pub settings: Settings,
    /// Hyperparameters to start from, where they are not the experiment's.
    pub start: Option<Vec<f32>>,
    /// Where its files go.
    pub out: PathBuf,
    /// The bar of a whole of which this run is a part that says nothing itself.
    pub part_of: Option<&'a ProgressBar>,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// Everything that its page shows.
    pub report: run::Report,
    /// The hyperparameters.
    pub hyper: Vec<f32>,
}

impl Tuning<'_> {
    /// Runs to the end and writes the result.
    ///
    /// # Errors
    /// A state to resume that is of another run or unreadable; another run in the same folder; a training
    /// that diverges; too little memory; what the file system refuses.
    pub fn run(&self, resume: Resume) -> Result<Tuned> {
        let _claim = files::claim(&self.out)?;
        let state = match resume {
            Resume::No => None,
            Resume::Yes => Some(self.load()?),
            Resume::IfBegun => self.begun()?,
        };
        match self.settings.arithmetic {
            Rounding::Fused => self.run_in::<Fused>(state),
            Rounding::Plain => self.run_in::<Plain>(state),
        }
    }

    /// The meta-iterations that a run went through, be it to its end or not.
    ///
    /// # Errors
    /// A state that the system would not read.
    pub fn taken(&self) -> Result<Vec<run::MetaStep>> {
        Ok(self.begun()?.map_or(vec![], |state| state.meta_steps))
    }

    /// The state of this very run, where there is one.
    fn begun(&self) -> Result<Option<State>> {
        match self.load() {
            Err(error) if unreadable(&error) => Err(error),
            state => Ok(state.ok()),
        }
    }

    fn experiment(&self) -> &Experiment {
        &self.settings.experiment
    }

    /// The hyperparameters at the start.
    fn initial(&self) -> Vec<f32> {
        match &self.start {
            Some(start) => start.clone(),
            None => self.experiment().start(),
        }
    }

    /// A line for whoever watches, unless this is a part of a whole.
    fn tell(&self, line: &str) {
        if self.part_of.is_none() {
            say!("{line}");
        }
    }

    fn state_path(&self) -> PathBuf {
        self.out.join(STATE)
    }

    fn load(&self) -> Result<State> {
        let path = self.state_path();
        let text = std::fs::read(&path).with_context(|| {
            format!(
                "nothing to resume: cannot read {} (leave out --resume to start anew)",
                path.display()
            )
        })?;
        let state: State = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is not the state of a run of this version: delete it to start anew",
                path.display()
            )
        })?;
        if state.settings != self.settings {
            bail!(
                "{} is of a run with other settings: {}: \
                 give the same, another --out, or leave out --resume to start anew",
                path.display(),
                differences(&state.settings, &self.settings)?
            );
        }
        if state.start != to_bits(&self.initial()) {
            bail!(
                "{} is of a run that started from other hyperparameters: delete it to start anew",
                path.display()
            );
        }
        let hypers = self.experiment().hypers();
        if [&state.hyper, &state.first_moment, &state.second_moment]
            .iter()
            .any(|x| x.len() != hypers)
            || state.meta_steps.len() > self.experiment().outer.meta_steps
        {
            bail!("{} is damaged: delete it to start anew", path.display());
        }
        Ok(state)
    }

    fn start(&self) -> State {
        let hyper = self.initial();
        State {
            settings: self.settings.clone(),
            start: to_bits(&hyper),
            first_moment: vec![0; hyper.len()],
            second_moment: vec![0; hyper.len()],
            hyper: to_bits(&hyper),
            weights: None,
            meta_steps: vec![],
            angles: vec![],
            comparison: vec![],
            costs: vec![],
        }
    }

    fn run_in<A: Compiled<f32>>(&self, begun: Option<State>) -> Result<Tuned> {
        let (experiment, seed) = (self.experiment(), self.settings.seed);
        let outer = &experiment.outer;
        let Outer { meta_steps, .. } = *outer;
        let (method, steps) = (experiment.method()?, experiment.steps);
        let start = self.initial();
        if start.len() != experiment.hypers() {
            bail!(
                "{} has {} and starts from {}",
                experiment.name,
                several(experiment.hypers(), "hyperparameter"),
                start.len()
            );
        }
        let resumed = begun.is_some();
        let mut state = begun.unwrap_or_else(|| self.start());
        let mut hyper = from_bits(&state.hyper);
        let population = Population::new(experiment, self.data)?;
        self.tell(&format!(
            "{}: {} by {}, {} of {}{}",
            experiment.name,
            several(hyper.len(), "hyperparameter"),
            method.describe(),
            several(meta_steps, "meta-iteration"),
            match (outer.trainings(), outer.clients) {
                (1, _) => String::new(),
                (n, None) => format!("{n} draws of "),
                (n, Some(_)) => format!("{n} clients with "),
            },
            several(steps, "step")
        ));
        if resumed {
            self.tell(&format!(
                "resumed after {}",
                several(state.meta_steps.len(), "meta-iteration")
            ));
        }
        self.tell(&format!(
            "{:>4} {:>11} {:>12} {:>11} {:>11} {:>8}",
            "step", "valid_loss", "valid_error", "test_error", "norm", "seconds"
        ));
        let bar = Bar::new(self.part_of, experiment, state.meta_steps.len());
        for meta_step in state.meta_steps.len()..meta_steps {
            let clock = Instant::now();
            let compare = self.compares(meta_step)?;
            // The costs are those of the first: there each time is of one thing, and nothing runs beside.
            let timed = meta_step == 0;
            let from = state.weights.as_deref();
            let ours = || {
                self.each_draw(&population, meta_step, from, |problems| {
                    let device = device::here();
                    // On a GPU nothing runs beside in any case.
                    if !timed && matches!(device, Device::Cpu) {
                        return Ok(on_all_cores(problems, |problem| {
                            let each = &mut |_| bar.step();
                            problem.train_and_measure::<A>(&hyper, &method, each)
                        }));
                    }
                    let trained =
                        train_all::<A>(device, problems, &hyper, &method, &|| bar.step())?;
                    Ok(problems
                        .par_iter()
                        .zip(trained)
                        .map(|(problem, trained)| {
                            let trained = trained?;
                            let errors = problem.errors::<A>(&hyper, &trained.w)?;
                            Ok((trained, errors))
                        })
                        .collect())
                })
            };
            let tape = Method::new(Name::Tape);
            let exact_of = |wanted: bool, meta_step| {
                if !wanted {
                    return Ok(None);
                }
                let exact = self.each_draw(&population, meta_step, from, |problems| {
                    train_all::<A>(device::here(), problems, &hyper, &tape, &|| ())
                });
                match exact {
                    // A run goes on where there is nothing to compare it with.
                    Err(error) if diverges(&error) => Ok(None),
                    exact => exact.map(Some).context("the exact hypergradient"),
                }
            };
            let exact = || exact_of(compare, meta_step);
            // Of examples that are fixed there is one draw.
            let another = || {
                let wanted = compare && !experiment.examples.fixed;
                exact_of(wanted, meta_step + ANOTHER_DRAW)
            };
            let (ours, (exact, another)) = if timed {
                (ours(), (exact(), another()))
            } else {
                rayon::join(ours, || rayon::join(exact, another))
            };
            let ours =
                ours.with_context(|| format!("meta-iteration {meta_step} of {}", experiment.name))?;
            let reduced = self.reduced(ours.iter().map(|ours| Some(&ours.as_ref()?.0)))?;
            for client in &reduced.left_out {
                bar.println(&format!("client {client} diverges and is left out"));
            }
            let (exact, another) = (exact?, another?);
            self.note(
                &mut state,
                meta_step,
                &ours,
                &reduced,
                [exact.as_deref(), another.as_deref()],
                &clock,
            )?;
            let moments = [&mut state.first_moment, &mut state.second_moment];
            let d = &reduced.hypergradient;
            step(experiment, moments, &mut hyper, d, meta_step)?;
            state.hyper = to_bits(&hyper);
            if let (true, [Some((trained, _))]) = (experiment.outer.warm, &ours[..]) {
                state.weights = Some(to_bits(&trained.w));
            }
            files::write(&self.state_path(), &serde_json::to_vec(&state)?)?;
            if let Some(m) = state.meta_steps.last() {
                bar.println(&format!(
                    "{:>4} {:>11.5} {:>11.2}% {:>10.2}% {:>11.4e} {:>8.2}",
                    m.step,
                    m.valid_loss,
                    100.0 * m.valid_error,
                    100.0 * m.test_error,
                    m.norm,
                    m.seconds
                ));
            }
        }

        // The start and the result on the same draw, which neither has seen.
        let problem = population.draw(seed, meta_steps, 0)?;
        let ended = |hyper: &[f32], each: &(dyn Fn() + Sync)| -> Result<_> {
            let trained = device::train::<A>(&problem, hyper, None, each)?;
            let quality = problem.quality::<A>(hyper, &trained.w)?;
            Ok(End { trained, quality })
        };
        let (before, after) =
            rayon::join(|| ended(&start, &|| ()), || ended(&hyper, &|| bar.step()));
        let (before, after) = (before?, after?);
        bar.finish();
        let report = self.report(&state, &hyper, &before, &after)?;
        self.finish(&report, &hyper)?;
        Ok(Tuned { report, hyper })
    }

    /// Does a job on the draws or clients of a meta-iteration; of several errors it gives
    /// that of the first. Of a client that diverges it gives nothing, unless all do.
    fn each_draw<T: Send>(
        &self,
        population: &Population<'_>,
        meta_step: usize,
        from: Option<&[u32]>,
        job: impl Fn(&[Problem<'_>]) -> Result<Vec<Result<T>>>,
    ) -> Result<Vec<Option<T>>> {
        let (seed, outer) = (self.settings.seed, &self.experiment().outer);
        let shared = outer.clients.is_some();
        let problems: Vec<Problem<'_>> = (0..outer.trainings())
            .into_par_iter()
            .map(|i| {
                let mut problem = if shared {
                    population.client(seed, meta_step, i)?
                } else {
                    population.draw(seed, meta_step, i)?
                };
                problem.from = from.map(from_bits);
                Ok(problem)
            })
            .collect::<Result<_>>()?;
        let results = job(&problems)?;
        let mut first = None;
        let mut done = vec![];
        for result in results {
            done.push(match result {
                Err(error) if shared && diverges(&error) => {
                    first.get_or_insert(error);
                    None
                }
                result => Some(result?),
            });
        }
        match first {
            Some(error) if done.iter().all(Option::is_none) => {
                let who = match done.len() {
                    1 => "the client diverges".to_string(),
                    n => format!("all of {n} clients diverge"),
                };
                Err(error.context(who))
            }
            _ => Ok(done),
        }
    }

    /// Whether a meta-iteration's hypergradient is compared with the exact one.
    fn compares(&self, meta_step: usize) -> Result<bool> {
        let experiment = self.experiment();
        let compare = match self.settings.compare {
            Compare::Ends => meta_step == 0 || meta_step + 1 == experiment.outer.meta_steps,
            Compare::Every => true,
            Compare::Never => false,
        };
        Ok(compare && !experiment.method()?.is_exact())
    }

    /// The hypergradient that is followed.
    fn reduced<'t>(&self, of: impl Iterator<Item = Option<&'t Trained>>) -> Result<Reduced> {
        let hypergradients: Vec<Option<&[f32]>> = of
            .map(|trained| Some(&trained?.back.as_ref()?.hypergradient[..]))
            .collect();
        self.experiment().outer.reduction().reduce(&hypergradients)
    }

    /// Notes what a meta-iteration gave.
    fn note(
        &self,
        state: &mut State,
        meta_step: usize,
        ours: &[Option<(Trained, Errors)>],
        reduced: &Reduced,
        [exact, another]: [Option<&[Option<Trained>]>; 2],
        clock: &Instant,
    ) -> Result<()> {
        let ours: Vec<&(Trained, Errors)> = ours.iter().flatten().collect();
        let hypergradient = &reduced.hypergradient[..];
        let mean = |of: &dyn Fn(&Trained, &Errors) -> f64| {
            statistics::mean(ours.iter().map(|(trained, errors)| of(trained, errors)))
        };
        state.meta_steps.push(run::MetaStep {
            step: meta_step,
            valid_loss: mean(&|trained, _| {
                let back = trained.back.as_ref();
                back.map_or(f64::NAN, |back| f64::from(back.valid_loss))
            }),
            valid_error: mean(&|_, errors| errors.valid),
            test_error: mean(&|_, errors| errors.test),
            norm: norm(hypergradient),
            seconds: clock.elapsed().as_secs_f64(),
            train_loss: mean(&|trained, _| mean_of_last(&trained.losses)),
            agreement: reduced.agreement,
            left_out: reduced.left_out.clone(),
        });
        if let (0, [(ours, _), ..]) = (meta_step, &ours[..]) {
            let exact = exact.and_then(|exact| exact.iter().flatten().next());
            let experiment = self.experiment();
            state.costs = costs(&experiment.method()?, experiment, ours, exact);
        }
        let reduced = |of: &[Option<Trained>]| {
            let reduced = self.reduced(of.iter().map(Option::as_ref))?;
            anyhow::Ok(reduced.hypergradient)
        };
        let mut angle = run::Angle {
            meta_step,
            cosine: f64::NAN,
            norm_ratio: f64::NAN,
            another_draw: None,
        };
        if let Some(exact) = exact {
            let exact = reduced(exact)?;
            let another = another.map(reduced).transpose()?;
            angle.cosine = cosine(hypergradient, &exact);
            angle.norm_ratio = norm(hypergradient) / norm(&exact);
            angle.another_draw = another.map(|another| cosine(&exact, &another));
            state.comparison.push(run::Scatter {
                meta_step,
                exact,
                approximate: hypergradient.to_vec(),
                cosine: angle.cosine,
            });
        }
        if self.compares(meta_step)? {
            state.angles.push(angle);
        }
        Ok(())
    }

    /// Prints the table and writes the files.
    fn finish(&self, report: &run::Report, hyper: &[f32]) -> Result<()> {
        let (b, a) = (&report.before, &report.after);
        self.tell(&format!("\n{:<28} {:>10} {:>10}", "", "before", "after"));
        self.tell(&format!(
            "{:<28} {:>10.5} {:>10.5}",
            "validation loss", b.valid_loss, a.valid_loss
        ));
        for (what, b, a) in [
            ("validation error", b.valid_error, a.valid_error),
            ("test error", b.test_error, a.test_error),
        ] {
            self.tell(&format!(
                "{what:<28} {:>9.2}% {:>9.2}%",
                100.0 * b,
                100.0 * a
            ));
        }
        self.tell("");
        for cost in &report.costs {
            self.tell(&format!(
                "{:<44} {:>8.2} s {:>10.3} floats per weight",
                cost.name, cost.seconds, cost.floats_per_weight
            ));
        }
        for angle in &report.angles {
            let among = angle.another_draw.map_or(String::new(), |cosine| {
                let draws = run::two_draws(report);
                format!(" ({draws} among themselves: {cosine:.4})")
            });
            self.tell(&format!(
                "angle to the exact hypergradient at meta-iteration {}: cosine {:.4}, norm ratio {:.3}{among}",
                angle.meta_step, angle.cosine, angle.norm_ratio
            ));
        }
        let page = self.out.join(PAGE);
        files::write(&page, tuning::render(report)?.as_bytes())?;
        files::write(&self.out.join(RESULT), &serde_json::to_vec(report)?)?;
        npy::write(
            &self.out.join(HYPER),
            &[hyper.len() as u64],
            hyper.iter().copied(),
        )?;
        self.tell(&format!("report: {}", page.display()));
        Ok(())
    }

    fn report(
        &self,
        state: &State,
        hyper: &[f32],
        before: &End,
        after: &End,
    ) -> Result<run::Report> {
        let e = self.experiment();
        let s = &self.settings;
        let method = e.method()?;
        let settings = [
            ("network", e.network()),
            ("weights", e.weights().to_string()),
            ("hyperparameters", hyper.len().to_string()),
            ("training examples", e.examples.train.to_string()),
            ("validation examples", e.examples.valid.to_string()),
            ("test examples", e.examples.test.to_string()),
            ("training steps", e.steps.to_string()),
            ("batch", e.batch.to_string()),
            ("rate", e.said(What::Rate)),
            ("momentum", e.said(What::Momentum)),
            ("log of the initial scale", e.said(What::InitialScale)),
            ("log of the fixed penalty", e.said(What::Penalty)),
            ("method", method.describe()),
            ("outer optimizer", e.outer.optimizer.as_str().to_string()),
            ("outer rate", e.outer.rate().to_string()),
            ("meta-iterations", e.outer.meta_steps.to_string()),
            ("draws of a meta-iteration", e.outer.draws.to_string()),
            (
                "clients",
                e.outer.clients.map_or("none".into(), |c| c.describe()),
            ),
            ("seed", s.seed.to_string()),
            (
                "data",
                s.data
                    .as_ref()
                    .map_or("MNIST".into(), |d| d.path.display().to_string()),
            ),
        ];
        Ok(run::Report {
            experiment: e.name.clone(),
            title: e.title.clone(),
            method: method.describe(),
            outer: e.outer.optimizer.as_str().to_string(),
            draws: e.outer.trainings(),
            clients: e.outer.clients.map(|clients| clients.reduction),
            settings: named(&settings),
            versions: versions(s.arithmetic),
            meta_steps: state.meta_steps.clone(),
            before: before.quality,
            after: after.quality,
            costs: state.costs.clone(),
            angles: state.angles.clone(),
            training: [("before tuning", before), ("after tuning", after)]
                .map(|(label, end)| run::LossCurve {
                    label: label.to_string(),
                    losses: end.trained.losses.clone(),
                })
                .to_vec(),
            penalties: strips(e, (self.data.train.rows, self.data.train.columns), hyper),
            comparison: state.comparison.clone(),
        })
    }
}

/// Takes the outer step, with the optimizer's moments in bits.
pub(crate) fn step(
    experiment: &Experiment,
    [first, second]: [&mut Vec<u32>; 2],
    hyper: &mut [f32],
    d: &[f32],
    taken: usize,
) -> Result<()> {
    let outer = &experiment.outer;
    let rate = outer.rate();
    match outer.optimizer {
        OuterOptimizer::Sign => Sign { rate }.step(hyper, d)?,
        OuterOptimizer::Sgd => Sgd { rate }.step(hyper, d)?,
        OuterOptimizer::Adam => {
            let mut m = from_bits(first);
            let mut v = from_bits(second);
            let mut adam = Adam::new(rate, &mut m, &mut v)?;
            adam.taken = u32::try_from(taken)?;
            adam.step(hyper, d)?;
            *first = to_bits(&m);
            *second = to_bits(&v);
        }
    }
    for (block, range) in experiment.blocks() {
        if block.natural {
            Projection::NonNegative.project(&mut hyper[range])?;
        } else if block.what == What::ExampleWeight {
            let (low, high) = (0.0, 1.0);
            let within = match block.total {
                Some(total) => Projection::CappedBox { low, high, total },
                None => Projection::Box { low, high },
            };
            within.project(&mut hyper[range])?;
        }
    }
    Ok(())
}

/// Whether the system would not read what is there.
fn unreadable(error: &anyhow::Error) -> bool {
    let cause: Option<&std::io::Error> = error.root_cause().downcast_ref();
    cause.is_some_and(|cause| cause.kind() != ErrorKind::NotFound)
}

/// The mean of the last tenth.
pub(crate) fn mean_of_last(losses: &[f32]) -> f64 {
    let last = &losses[losses.len() - losses.len().div_ceil(10)..];
    statistics::mean(last.iter().map(|x| f64::from(*x)))
}

fn costs(
    method: &Method,
    experiment: &Experiment,
    ours: &Trained,
    exact: Option<&Trained>,
) -> Vec<run::Cost> {
    let weights = experiment.weights() as f64;
    let mut costs = vec![run::Cost {
        name: "forward".to_string(),
        seconds: ours.forward_seconds,
        floats_per_weight: 0.0,
        gradients: ours.losses.len() as u64,
        second_order_products: 0,
    }];
    let rows = [
        (method.describe(), ours.back.as_ref()),
        (
            "tape, exact".to_string(),
            exact.and_then(|exact| exact.back.as_ref()),
        ),
    ];
    for (name, back) in rows {
        if let Some(back) = back {
            costs.push(run::Cost {
                name: format!("backward ({name})"),
                seconds: back.seconds,
                floats_per_weight: back.floats as f64 / weights,
                gradients: back.gradients as u64,
                second_order_products: back.products as u64,
            });
        }
    }
    costs
}

/// The hyperparameters as pictures: a unit's, or the mean over a unit's weights.
/// Inputs that lie in rows and columns are shown so.
fn strips(
    experiment: &Experiment,
    (rows, columns): (usize, usize),
    hyper: &[f32],
) -> Vec<run::Strip> {
    let blocks = experiment.blocks();
    let mut blocks = blocks.filter(|(block, _)| matches!(block.what, What::Scale | What::Penalty));
    let Some((tuned, range)) = blocks.next() else {
        return vec![];
    };
    let hyper = &hyper[range];
    let reported = |h| experiment.reported(tuned.what, h);
    let (_, unit) = reported(0.0);
    let mut strips = vec![];
    let layers = experiment.layers.len() - 1;
    let blocks = experiment.groups_of(tuned).blocks().step_by(2);
    for (layer, block) in blocks.enumerate() {
        let inputs = experiment.layers[layer];
        let hypers = block.hypers(hyper);
        if hypers.len() < inputs || layer >= layers {
            continue;
        }
        let per_unit = hypers.len() / inputs;
        let values = hypers
            .chunks_exact(per_unit)
            .map(|h| statistics::mean(h.iter().map(|h| f64::from(*h))))
            .map(|mean| reported(mean as f32).0)
            .collect();
        let (name, rows, columns) = match layer {
            0 if rows > 1 && columns > 1 => ("input pixels".to_string(), rows, columns),
            0 => ("inputs".to_string(), 1, inputs),
            layer => (format!("hidden layer {layer}"), 1, inputs),
        };
        strips.push(run::Strip {
            name,
            unit: unit.to_string(),
            rows,
            columns,
            values,
        });
    }
    strips
}

/// The progress of the whole run, on a terminal alone, or of a part of a larger whole.
struct Bar<'a> {
    bar: Cow<'a, ProgressBar>,
}

/// The training steps of a run that a bar counts.
pub fn ticks(experiment: &Experiment) -> usize {
    let outer = &experiment.outer;
    let trainings = outer.meta_steps.saturating_mul(outer.trainings());
    experiment.steps.saturating_mul(trainings.saturating_add(1))
}

impl<'a> Bar<'a> {
    fn new(whole: Option<&'a ProgressBar>, experiment: &Experiment, done: usize) -> Self {
        let bar = match whole {
            Some(bar) => Cow::Borrowed(bar),
            None => {
                let bar = progress(ticks(experiment));
                bar.enable_steady_tick(Duration::from_millis(250));
                Cow::Owned(bar)
            }
        };
        let done = done.saturating_mul(experiment.outer.trainings());
        bar.inc(experiment.steps.saturating_mul(done) as u64);
        if whole.is_none() {
            bar.reset_eta();
        }
        Bar { bar }
    }

    fn step(&self) {
        self.bar.inc(1);
    }

    /// A line on standard output, with the bar out of its way.
    fn println(&self, line: &str) {
        if let Cow::Owned(bar) = &self.bar {
            bar.suspend(|| say!("{line}"));
        }
    }

    fn finish(&self) {
        if let Cow::Owned(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Removes what a run wrote to this folder.
///
/// # Errors
/// What the file system refuses.
pub fn clear(folder: &Path) -> Result<()> {
    for name in [STATE, PAGE, RESULT, HYPER] {
        files::remove(&folder.join(name))?;
    }
    Ok(())
}

/// Where a run of `experiment` writes unless told otherwise.
pub fn default_out(experiment: &str) -> PathBuf {
    Path::new("out").join(experiment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn inputs_are_a_picture_where_they_lie_in_rows_and_columns_alone() {
        let text = "like = \"mnist-units\"\nlayers = [16, 4, 3]";
        let experiment = Recipe::parse("wine", text).and_then(|recipe| recipe.experiment());
        let experiment = experiment.expect("in order");
        let hyper = experiment.start();
        for (shape, name) in [
            ((1, 16), "inputs"),
            ((4, 4), "input pixels"),
            ((2, 8), "input pixels"),
        ] {
            let strips = strips(&experiment, shape, &hyper);
            assert_eq!(strips[0].name, name);
            let want = if name == "inputs" { (1, 16) } else { shape };
            assert_eq!((strips[0].rows, strips[0].columns), want);
            assert_eq!(strips[1].name, "hidden layer 1");
        }
    }
}
