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

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use drmad::kernels::reduce::{cosine, norm};
use drmad::state::restore;
use drmad::training::Compiled;
use drmad::tuner::Tuner;
use drmad::{Fused, Plain};
use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::data::{Dataset, npy};
use crate::device::{self, Device, Job};
use crate::divergence::diverges;
use crate::experiment::{Experiment, Outer, Rounding};
use crate::files;
use crate::method::{Method, Name};
use crate::problem::{Population, Problem};
use crate::quality::Errors;
use crate::reduction::Reduced;
use crate::report::{run, tuning};
use crate::statistics;
use crate::trained::Trained;
use crate::tuner;
use crate::words::several;

use bar::Bar;
use page::End;
use state::{State, from_bits, to_bits};

mod bar;
mod page;
mod settings;
mod state;

pub use bar::ticks;
pub use settings::{Compare, Resume, Settings};

/// The names of a run's files.
const STATE: &str = "state.json";
const PAGE: &str = "report.html";
const RESULT: &str = "result.json";
const HYPER: &str = "hyper.npy";

/// How far away the other draws are that exact hypergradients are compared with: beyond any run.
const ANOTHER_DRAW: usize = 1 << 20;

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
        let start = self.initial();
        let begun = match resume {
            Resume::No => None,
            Resume::Yes => Some(State::load(&self.state_path(), &self.settings, &start)?),
            Resume::IfBegun => State::begun(&self.state_path(), &self.settings, &start)?,
        };
        match self.settings.arithmetic {
            Rounding::Fused => self.run_in::<Fused>(begun, &start),
            Rounding::Plain => self.run_in::<Plain>(begun, &start),
        }
    }

    /// The meta-iterations that a run went through, be it to its end or not.
    ///
    /// # Errors
    /// A state that the system would not read.
    pub fn taken(&self) -> Result<Vec<run::MetaStep>> {
        let begun = State::begun(&self.state_path(), &self.settings, &self.initial())?;
        Ok(begun.map_or(vec![], |state| state.meta_steps))
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

    fn run_in<A: Compiled<f32>>(&self, begun: Option<State>, start: &[f32]) -> Result<Tuned> {
        let experiment = self.experiment();
        if start.len() != experiment.hypers() {
            bail!(
                "{} has {} and starts from {}",
                experiment.name,
                several(experiment.hypers(), "hyperparameter"),
                start.len()
            );
        }
        tuner::tune(experiment, start, |tuner| {
            self.tune::<A>(tuner, begun, start)
        })
    }

    fn tune<A: Compiled<f32>>(
        &self,
        tuner: &mut Tuner<'_, f32>,
        begun: Option<State>,
        start: &[f32],
    ) -> Result<Tuned> {
        let (experiment, seed) = (self.experiment(), self.settings.seed);
        let outer = &experiment.outer;
        let Outer { meta_steps, .. } = *outer;
        let (method, steps) = (experiment.method()?, experiment.steps);
        let resumed = begun.is_some();
        let mut state = begun.unwrap_or_else(|| State::new(&self.settings, start));
        if resumed {
            restore(&state.tuner, tuner)?;
        }
        let population = Population::new(experiment, self.data)?;
        self.tell(&format!(
            "{}: {} by {}, {} of {}{}",
            experiment.name,
            several(start.len(), "hyperparameter"),
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
            let hyper = tuner.h();
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
                            problem.train_and_measure::<A>(hyper, &method, each)
                        }));
                    }
                    let trained = train_all::<A>(device, problems, hyper, &method, &|| bar.step())?;
                    Ok(problems
                        .par_iter()
                        .zip(trained)
                        .map(|(problem, trained)| {
                            let trained = trained?;
                            let errors = problem.errors::<A>(hyper, &trained.w)?;
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
                    train_all::<A>(device::here(), problems, hyper, &tape, &|| ())
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
            let valid_loss = self.note(
                &mut state,
                meta_step,
                &ours,
                &reduced,
                [exact.as_deref(), another.as_deref()],
                &clock,
            )?;
            tuner.follow(valid_loss as f32, &reduced.hypergradient)?;
            state.tuner = tuner::save(tuner)?;
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

        let hyper = tuner.h();
        // The start and the result on the same draw, which neither has seen.
        let problem = population.draw(seed, meta_steps, 0)?;
        let ended = |hyper: &[f32], each: &(dyn Fn() + Sync)| -> Result<_> {
            let trained = device::train::<A>(&problem, hyper, None, each)?;
            let quality = problem.quality::<A>(hyper, &trained.w)?;
            Ok(End { trained, quality })
        };
        let (before, after) = rayon::join(|| ended(start, &|| ()), || ended(hyper, &|| bar.step()));
        let (before, after) = (before?, after?);
        bar.finish();
        let report = page::report(&self.settings, self.data, &state, hyper, &before, &after)?;
        self.finish(&report, hyper)?;
        let hyper = hyper.to_vec();
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

    /// Notes what a meta-iteration gave, and returns its validation loss.
    fn note(
        &self,
        state: &mut State,
        meta_step: usize,
        ours: &[Option<(Trained, Errors)>],
        reduced: &Reduced,
        [exact, another]: [Option<&[Option<Trained>]>; 2],
        clock: &Instant,
    ) -> Result<f64> {
        let ours: Vec<&(Trained, Errors)> = ours.iter().flatten().collect();
        let hypergradient = &reduced.hypergradient[..];
        let mean = |of: &dyn Fn(&Trained, &Errors) -> f64| {
            statistics::mean(ours.iter().map(|(trained, errors)| of(trained, errors)))
        };
        let valid_loss = mean(&|trained, _| {
            let back = trained.back.as_ref();
            back.map_or(f64::NAN, |back| f64::from(back.valid_loss))
        });
        state.meta_steps.push(run::MetaStep {
            step: meta_step,
            valid_loss,
            valid_error: mean(&|_, errors| errors.valid),
            test_error: mean(&|_, errors| errors.test),
            norm: norm(hypergradient),
            seconds: clock.elapsed().as_secs_f64(),
            train_loss: mean(&|trained, _| trained.last_loss()),
            agreement: reduced.agreement,
            left_out: reduced.left_out.clone(),
        });
        if let (0, [(ours, _), ..]) = (meta_step, &ours[..]) {
            let exact = exact.and_then(|exact| exact.iter().flatten().next());
            let experiment = self.experiment();
            state.costs = page::costs(&experiment.method()?, experiment, ours, exact);
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
        Ok(valid_loss)
    }

    /// Prints the table and writes the files.
    fn finish(&self, report: &run::Report, hyper: &[f32]) -> Result<()> {
        page::table(report).iter().for_each(|line| self.tell(line));
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
