//! The outer loop: hyperparameters follow their hypergradients.
//!
//! Each meta-iteration draws its examples, its initial weights and its batches anew, trains, and steps
//! down the hypergradient of its validation loss, or the mean `1/N (d_0 + ... + d_{N-1})` over `N`
//! draws: the part of a hypergradient that belongs to one draw alone shrinks in the mean. At the first
//! and the last one the exact hypergradient (of the same draws) is computed beside it, and the angle
//! between the two is part of the result. After every meta-iteration the whole state is written, so that
//! a killed run goes on with the same bits.
//!
//! Draws run on all cores. Order of arithmetic: the mean is a sum in float64 in the order of the draws,
//! divided by `N` and then rounded once to float32; so are the losses and errors of a meta-iteration,
//! without the rounding. The number of threads changes no bit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use drmad::kernels::reduce::{cosine, norm};
use drmad::outer::{Adam, Outer, Sgd, Sign};
use drmad::{Arithmetic, Fused, Plain};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::experiment::{Experiment, Rounding, Tuned};
use crate::files::{self, progress};
use crate::method::{Method, Name};
use crate::problem::{Errors, Population, Problem, Quality, Trained};
use crate::provenance::{named, versions};
use crate::report;

/// The outer optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// Adam.
    Adam,
    /// A step of one size down each sign, as the DrMAD paper does.
    Sign,
    /// Gradient descent.
    Sgd,
}

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
    /// The experiment's name.
    pub experiment: String,
    /// The method.
    pub method: Method,
    /// The outer optimiser.
    pub outer: Optimiser,
    /// Its rate.
    pub outer_rate: f32,
    /// Training steps.
    pub steps: usize,
    /// The rate of the training.
    pub rate: f32,
    /// Its momentum.
    pub momentum: f32,
    /// Meta-iterations.
    pub meta_steps: usize,
    /// Draws of a meta-iteration, whose mean hypergradient is followed.
    pub draws: usize,
    /// When the exact hypergradient is computed beside.
    pub compare: Compare,
    /// The seed.
    pub seed: u64,
    /// The rounding of multiply-adds.
    pub arithmetic: Rounding,
    /// The folder of the data, where they are not the ones compiled in.
    pub data: Option<PathBuf>,
}

/// Everything a run knows after some meta-iterations. Numbers that decide bits are stored as bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    settings: Settings,
    hyper: Vec<u32>,
    first_moment: Vec<u32>,
    second_moment: Vec<u32>,
    meta_steps: Vec<report::MetaStep>,
    angles: Vec<report::Angle>,
    comparison: Vec<report::Scatter>,
    costs: Vec<report::Cost>,
}

/// How far away the other draws are that exact hypergradients are compared with: beyond any run.
const ANOTHER_DRAW: usize = 1 << 20;

/// A training before or after tuning.
struct End {
    trained: Trained,
    quality: Quality,
}

fn to_bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn from_bits(x: &[u32]) -> Vec<f32> {
    x.iter().map(|x| f32::from_bits(*x)).collect()
}

/// A run of the outer loop.
#[derive(Debug)]
pub struct Tuning<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The data.
    pub data: &'a Dataset,
    /// What determines the run.
    pub settings: Settings,
    /// Where its files go.
    pub out: PathBuf,
}

impl Tuning<'_> {
    /// Runs to the end and writes the result; `resume` goes on from the state of an earlier run, which
    /// a run from the start replaces.
    ///
    /// # Errors
    /// A state to resume that is of another run or unreadable; a training that diverges; too little
    /// memory; what the file system refuses.
    pub fn run(&self, resume: bool) -> Result<()> {
        files::prepare(&self.out)?;
        match self.settings.arithmetic {
            Rounding::Fused => self.run_in::<Fused>(resume),
            Rounding::Plain => self.run_in::<Plain>(resume),
        }
    }

    fn state_path(&self) -> PathBuf {
        self.out.join("state.json")
    }

    fn load(&self) -> Result<State> {
        let path = self.state_path();
        let text = std::fs::read(&path)
            .with_context(|| format!("nothing to resume: cannot read {}", path.display()))?;
        let state: State = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is not the state of a run of this version: delete it to start anew",
                path.display()
            )
        })?;
        if state.settings != self.settings {
            bail!(
                "{} is of a run with other settings ({}), not of this one ({}): \
                 give the same, another --out, or leave out --resume to start anew",
                path.display(),
                serde_json::to_string(&state.settings)?,
                serde_json::to_string(&self.settings)?
            );
        }
        let hypers = self.experiment.hypers();
        if [&state.hyper, &state.first_moment, &state.second_moment]
            .iter()
            .any(|x| x.len() != hypers)
            || state.meta_steps.len() > self.settings.meta_steps
        {
            bail!("{} is damaged: delete it to start anew", path.display());
        }
        Ok(state)
    }

    fn start(&self) -> State {
        let hyper = self.experiment.start();
        State {
            settings: self.settings.clone(),
            first_moment: vec![0; hyper.len()],
            second_moment: vec![0; hyper.len()],
            hyper: to_bits(&hyper),
            meta_steps: vec![],
            angles: vec![],
            comparison: vec![],
            costs: vec![],
        }
    }

    fn run_in<A: Arithmetic>(&self, resume: bool) -> Result<()> {
        let Settings {
            method,
            steps,
            meta_steps,
            draws,
            seed,
            ..
        } = self.settings;
        let mut state = if resume { self.load()? } else { self.start() };
        let mut hyper = from_bits(&state.hyper);
        let population = Population::new(self.experiment, self.data)?;
        say!(
            "{}: {} hyperparameters by {}, {} meta-iterations of {}{steps} steps",
            self.experiment.name,
            hyper.len(),
            method.describe(),
            meta_steps,
            match draws {
                1 => String::new(),
                _ => format!("{draws} draws of "),
            }
        );
        if resume {
            say!("resumed after meta-iteration {}", state.meta_steps.len());
        }
        say!(
            "{:>4} {:>11} {:>12} {:>11} {:>11} {:>8}",
            "step",
            "valid_loss",
            "valid_error",
            "test_error",
            "norm",
            "seconds"
        );
        let bar = Bar::new(
            steps,
            meta_steps.saturating_mul(draws),
            state.meta_steps.len() * draws,
        );
        for meta_step in state.meta_steps.len()..meta_steps {
            let clock = Instant::now();
            let compare = !method.is_exact()
                && match self.settings.compare {
                    Compare::Ends => meta_step == 0 || meta_step + 1 == meta_steps,
                    Compare::Every => true,
                    Compare::Never => false,
                };
            // The costs are those of the first: there each time is of one thing, and nothing runs beside.
            let timed = meta_step == 0;
            let ours = || {
                self.each_draw(&population, meta_step, |problem| {
                    let each = &mut |_| bar.step();
                    if timed {
                        let trained = problem.train::<A>(&hyper, Some(&method), each)?;
                        let errors = problem.errors::<A>(&hyper, &trained.w)?;
                        Ok((trained, errors))
                    } else {
                        problem.train_and_measure::<A>(&hyper, &method, each)
                    }
                })
            };
            let tape = Method::new(Name::Tape);
            let exact_of = |meta_step| {
                if !compare {
                    return Ok(None);
                }
                let exact = self.each_draw(&population, meta_step, |problem| {
                    problem.train::<A>(&hyper, Some(&tape), &mut |_| ())
                });
                exact.map(Some).context("the exact hypergradient")
            };
            let exact = || exact_of(meta_step);
            let another = || exact_of(meta_step + ANOTHER_DRAW);
            let (ours, (exact, another)) = if timed {
                (ours(), (exact(), another()))
            } else {
                rayon::join(ours, || rayon::join(exact, another))
            };
            let ours = ours.with_context(|| {
                format!("meta-iteration {meta_step} of {}", self.experiment.name)
            })?;
            let hypergradient = mean_of(ours.iter().map(|(trained, _)| trained))?;
            let (exact, another) = (exact?, another?);
            self.note(
                &mut state,
                meta_step,
                &ours,
                &hypergradient,
                [exact.as_deref(), another.as_deref()],
                &clock,
            )?;
            self.step(&mut state, &mut hyper, &hypergradient, meta_step)?;
            state.hyper = to_bits(&hyper);
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
        let ended = |hyper: &[f32], each: &mut dyn FnMut(usize)| -> Result<_> {
            let trained = problem.train::<A>(hyper, None, each)?;
            let quality = problem.quality::<A>(hyper, &trained.w)?;
            Ok(End { trained, quality })
        };
        let (before, after) = rayon::join(
            || ended(&self.experiment.start(), &mut |_| ()),
            || ended(&hyper, &mut |_| bar.step()),
        );
        let (before, after) = (before?, after?);
        bar.finish();
        self.finish(&state, &hyper, &before, &after)
    }

    /// Does a job on every draw of a meta-iteration, on all cores; of several errors it gives that of
    /// the first draw.
    fn each_draw<T: Send>(
        &self,
        population: &Population<'_>,
        meta_step: usize,
        job: impl Fn(&Problem<'_>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let Settings { seed, draws, .. } = self.settings;
        let results: Vec<Result<T>> = (0..draws)
            .into_par_iter()
            .with_max_len(1)
            .map(|draw| job(&population.draw(seed, meta_step, draw)?))
            .collect();
        results.into_iter().collect()
    }

    /// Takes the outer step, with the optimiser's state in bits.
    fn step(&self, state: &mut State, hyper: &mut [f32], d: &[f32], taken: usize) -> Result<()> {
        let rate = self.settings.outer_rate;
        match self.settings.outer {
            Optimiser::Sign => Sign { rate }.step(hyper, d)?,
            Optimiser::Sgd => Sgd { rate }.step(hyper, d)?,
            Optimiser::Adam => {
                let mut m = from_bits(&state.first_moment);
                let mut v = from_bits(&state.second_moment);
                let mut adam = Adam::new(rate, &mut m, &mut v)?;
                adam.taken = u32::try_from(taken)?;
                adam.step(hyper, d)?;
                state.first_moment = to_bits(&m);
                state.second_moment = to_bits(&v);
            }
        }
        if hyper.iter().any(|h| !h.is_finite()) {
            bail!("the outer step left hyperparameters that are not finite: lower --outer-rate");
        }
        Ok(())
    }

    /// Notes what a meta-iteration gave.
    fn note(
        &self,
        state: &mut State,
        meta_step: usize,
        ours: &[(Trained, Errors)],
        hypergradient: &[f32],
        [exact, another]: [Option<&[Trained]>; 2],
        clock: &Instant,
    ) -> Result<()> {
        let mean = |of: &dyn Fn(&Trained, &Errors) -> f64| {
            let sum: f64 = ours
                .iter()
                .map(|(trained, errors)| of(trained, errors))
                .sum();
            sum / ours.len() as f64
        };
        state.meta_steps.push(report::MetaStep {
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
        });
        if let (0, [(ours, _), ..]) = (meta_step, ours) {
            let exact = exact.and_then(|exact| exact.first());
            state.costs = costs(&self.settings.method, self.experiment, ours, exact);
        }
        if let (Some(exact), Some(another)) = (exact, another) {
            let (exact, another) = (mean_of(exact.iter())?, mean_of(another.iter())?);
            let angle = cosine(hypergradient, &exact);
            state.angles.push(report::Angle {
                meta_step,
                cosine: angle,
                norm_ratio: norm(hypergradient) / norm(&exact),
                another_draw: cosine(&exact, &another),
            });
            state.comparison.push(report::Scatter {
                meta_step,
                exact,
                approximate: hypergradient.to_vec(),
                cosine: angle,
            });
        }
        Ok(())
    }

    /// Prints the table and writes the files.
    fn finish(&self, state: &State, hyper: &[f32], before: &End, after: &End) -> Result<()> {
        say!("");
        say!("{:<28} {:>10} {:>10}", "", "before", "after");
        let (b, a) = (&before.quality, &after.quality);
        say!(
            "{:<28} {:>10.5} {:>10.5}",
            "validation loss",
            b.valid_loss,
            a.valid_loss
        );
        for (what, b, a) in [
            ("validation error", b.valid_error, a.valid_error),
            ("test error", b.test_error, a.test_error),
        ] {
            say!("{what:<28} {:>9.2}% {:>9.2}%", 100.0 * b, 100.0 * a);
        }
        say!("");
        for cost in &state.costs {
            say!(
                "{:<44} {:>8.2} s {:>10.3} floats per weight",
                cost.name,
                cost.seconds,
                cost.floats_per_weight
            );
        }
        for angle in &state.angles {
            say!(
                "angle to the exact hypergradient at meta-iteration {}: cosine {:.4}, norm ratio {:.3} \
                 ({} among themselves: {:.4})",
                angle.meta_step,
                angle.cosine,
                angle.norm_ratio,
                report::two_draws(self.settings.draws),
                angle.another_draw
            );
        }
        let report = self.report(state, hyper, before, after);
        let page = self.out.join("report.html");
        files::write(&page, report::render(&report)?.as_bytes())?;
        files::write(&self.out.join("result.json"), &serde_json::to_vec(&report)?)?;
        files::write_npy(
            &self.out.join("hyper.npy"),
            &[hyper.len() as u64],
            hyper.iter().copied(),
        )?;
        say!("report: {}", page.display());
        Ok(())
    }

    fn report(&self, state: &State, hyper: &[f32], before: &End, after: &End) -> report::Report {
        let e = self.experiment;
        let s = &self.settings;
        let settings = [
            ("network", e.network()),
            ("weights", e.weights().to_string()),
            ("hyperparameters", hyper.len().to_string()),
            ("digits", e.examples[0].to_string()),
            ("validation examples", e.examples[1].to_string()),
            ("test examples", e.examples[2].to_string()),
            ("training steps", s.steps.to_string()),
            ("batch", e.batch.to_string()),
            ("rate", e.rate.to_string()),
            ("momentum", e.momentum.to_string()),
            ("log of the initial scale", e.log_scale.to_string()),
            (
                "log of the fixed penalty",
                e.log_l2.map_or("none".into(), |l| l.to_string()),
            ),
            ("method", s.method.describe()),
            ("outer optimiser", format!("{:?}", s.outer)),
            ("outer rate", s.outer_rate.to_string()),
            ("meta-iterations", s.meta_steps.to_string()),
            ("draws of a meta-iteration", s.draws.to_string()),
            ("seed", s.seed.to_string()),
            (
                "data",
                s.data
                    .as_ref()
                    .map_or("MNIST".into(), |d| d.display().to_string()),
            ),
        ];
        let quality = |q: &Quality| report::Quality {
            valid_loss: q.valid_loss,
            valid_error: q.valid_error,
            test_loss: q.test_loss,
            test_error: q.test_error,
        };
        report::Report {
            experiment: e.name.to_string(),
            title: e.title.to_string(),
            method: s.method.describe(),
            outer: format!("{:?}", s.outer),
            draws: s.draws,
            settings: named(&settings),
            versions: versions(s.arithmetic),
            meta_steps: state.meta_steps.clone(),
            before: quality(&before.quality),
            after: quality(&after.quality),
            costs: state.costs.clone(),
            angles: state.angles.clone(),
            training: [("before tuning", before), ("after tuning", after)]
                .map(|(label, end)| report::LossCurve {
                    label: label.to_string(),
                    losses: end.trained.losses.clone(),
                })
                .to_vec(),
            penalties: strips(e, hyper),
            comparison: state.comparison.clone(),
        }
    }
}

/// The mean hypergradient of some draws, in the order of arithmetic that this module promises.
fn mean_of<'t>(draws: impl ExactSizeIterator<Item = &'t Trained>) -> Result<Vec<f32>> {
    let n = draws.len() as f64;
    let mut sums = vec![];
    for trained in draws {
        let d = &trained
            .back
            .as_ref()
            .context("no hypergradient")?
            .hypergradient;
        // Only from -0 does every number begin its sum as it is.
        sums.resize(d.len(), -0.0);
        for (sum, d) in sums.iter_mut().zip(d) {
            *sum += f64::from(*d);
        }
    }
    Ok(sums.into_iter().map(|sum| (sum / n) as f32).collect())
}

/// The mean of the last tenth.
fn mean_of_last(losses: &[f32]) -> f64 {
    let last = &losses[losses.len() - losses.len().div_ceil(10)..];
    last.iter().map(|x| f64::from(*x)).sum::<f64>() / last.len() as f64
}

fn costs(
    method: &Method,
    experiment: &Experiment,
    ours: &Trained,
    exact: Option<&Trained>,
) -> Vec<report::Cost> {
    let weights = experiment.weights() as f64;
    let mut costs = vec![report::Cost {
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
            costs.push(report::Cost {
                name: format!("backward ({name})"),
                seconds: back.seconds,
                floats_per_weight: back.floats as f64 / weights,
                gradients: 0,
                second_order_products: back.products as u64,
            });
        }
    }
    costs
}

/// The hyperparameters as pictures: a unit's, or the mean over a unit's weights.
fn strips(experiment: &Experiment, hyper: &[f32]) -> Vec<report::Strip> {
    if experiment.tuned == Tuned::Schedules {
        return vec![];
    }
    let (_, unit) = experiment.reported(0.0);
    let mut strips = vec![];
    let layers = experiment.layers.len() - 1;
    let blocks = experiment.groups().blocks().step_by(2);
    for (layer, block) in blocks.enumerate() {
        let inputs = experiment.layers[layer];
        let hypers = block.hypers(hyper);
        if hypers.len() < inputs || layer >= layers {
            continue;
        }
        let per_unit = hypers.len() / inputs;
        let values = hypers
            .chunks_exact(per_unit)
            .map(|h| {
                experiment
                    .reported(h.iter().sum::<f32>() / per_unit as f32)
                    .0
            })
            .collect();
        let side = inputs.isqrt();
        let (name, rows, columns) = if layer == 0 && side * side == inputs {
            ("input pixels".to_string(), side, side)
        } else {
            (format!("hidden layer {layer}"), 1, inputs)
        };
        strips.push(report::Strip {
            name,
            unit: unit.to_string(),
            rows,
            columns,
            values,
        });
    }
    strips
}

/// The progress of the whole run, on a terminal alone.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(steps: usize, trainings: usize, done: usize) -> Self {
        let bar = progress(steps.saturating_mul(trainings.saturating_add(1)));
        bar.set_position(steps.saturating_mul(done) as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(250));
        Bar { bar }
    }

    fn step(&self) {
        self.bar.inc(1);
    }

    /// A line on standard output, with the bar out of its way.
    fn println(&self, line: &str) {
        self.bar.suspend(|| say!("{line}"));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Where a run of `experiment` writes unless told otherwise.
pub fn default_out(experiment: &str) -> PathBuf {
    Path::new("out").join(experiment)
}
