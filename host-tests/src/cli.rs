//! The command line.
//!
//! Without arguments `drmad` is `drmad tune mnist-units`. Exit codes: 0 done; 2 bad usage; 1
//! anything else, with one line on standard error. Numbers on standard output are stable enough to
//! parse; progress goes to standard error, and only to a terminal.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use drmad::kernels::dispatch::{self, Level};
use rayon::ThreadPoolBuilder;

use crate::data::Dataset;
use crate::dump::Request;
use crate::experiment::{self, EXPERIMENTS, Experiment, Rounding, Tuned};
use crate::files;
use crate::frontier::Frontier;
use crate::inputs::Inputs;
use crate::method::{Method, Name};
use crate::problem::MOST_DRAWS;
use crate::scaling::{self, Axis, Scaling};
use crate::tune::{self, Compare, Optimiser, Settings, Tuning};
use crate::verify;

/// Hypergradients through whole trainings: every method, side by side, on real MNIST.
#[derive(Debug, Parser)]
#[command(name = "drmad", version, about, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads; the results have the same bits with any number [default: RAYON_NUM_THREADS, or one for
    /// each core].
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

const ENVIRONMENT: &str = "\
Environment:
  DRMAD_LEVEL  Vector level of the kernels: baseline, avx2 or avx512 [default: the widest this
               processor has]. The bits are the same on each.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Tune an experiment's hyperparameters and write a report (the default).
    Tune(Tune),
    /// Compute one hypergradient and print what it cost.
    Hypergradient(Hypergradient),
    /// Compare every method on one experiment: memory, time, angle to the exact hypergradient.
    Frontier(Compared),
    /// Show how time and memory grow with steps, weights and hyperparameters, method by method.
    Scaling(Scaled),
    /// One point of `scaling`, in a process of its own.
    #[command(hide = true)]
    Measure {
        /// What to measure, as JSON.
        task: String,
    },
    /// Check every derivative: finite differences and adjoint identities.
    Check(Source),
    /// List the experiments and the methods.
    List,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(EXPERIMENTS.iter().map(|e| e.name))
}

/// Where the images come from.
#[derive(Clone, Debug, Default, Args)]
struct Source {
    /// Folder with four IDX files (raw or .gz) to use in place of the MNIST compiled in.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How the weights along the way are recalled.
#[derive(Clone, Debug, Args)]
struct Way {
    /// How the weights along the way are recalled.
    #[arg(long, value_enum, default_value = "hats")]
    method: Name,
    /// Of hats, knots and hermite: intervals between knots. Of legendre: polynomials [default: 8; of
    /// knots and hermite 32; of legendre 16].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    knots: Option<u32>,
    /// Of hats, knots and hermite: how many values a stored difference can take, 3, 7, 11, 15 or 255
    /// (2, 3.3, 4, 4.4 and 8.4 bits a weight); 0 stores numbers in full [default: 11; of knots and
    /// hermite 255].
    #[arg(long, value_parser = PossibleValuesParser::new(["0", "3", "7", "11", "15", "255"]))]
    levels: Option<String>,
    /// Of hats: the power by which knots are denser early [default: 2 below 8 knots, else 1.5].
    #[arg(long)]
    spacing: Option<f32>,
    /// Steps at the end that are run backwards in floating point before the method begins [default:
    /// as many as the momentum allows for hats, none for the others].
    #[arg(long, value_name = "M")]
    tail: Option<u32>,
    /// Take only the last steps back.
    #[arg(long, value_name = "M")]
    last: Option<u32>,
    /// Drop second-order products of negative curvature.
    #[arg(long)]
    psd: bool,
    /// Of implicit and neumann: the most second-order products.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    iterations: u32,
    /// Of implicit and neumann: what is added to the curvature.
    #[arg(long, allow_negative_numbers = true)]
    damping: Option<f32>,
    /// Of neumann: the rate of the series.
    #[arg(long, value_name = "RATE")]
    series_rate: Option<f32>,
    /// Of checkpoints: how many snapshots.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    snapshots: u32,
}

/// The training, where it is not the experiment's own.
#[derive(Clone, Debug, Args)]
struct Training {
    /// Rounding of multiply-adds.
    #[arg(long, value_enum, default_value = "fused")]
    arithmetic: Rounding,
    /// Training steps; the experiment's where left out.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Learning rate; the experiment's where left out.
    #[arg(long)]
    rate: Option<f32>,
    /// Momentum in [0, 1); the experiment's where left out.
    #[arg(long)]
    momentum: Option<f32>,
}

/// `drmad frontier`.
#[derive(Debug, Args)]
struct Compared {
    /// The experiment.
    #[arg(long, default_value = EXPERIMENTS[0].name, value_parser = names())]
    experiment: String,
    #[command(flatten)]
    training: Training,
    /// All steps and meta-iterations of the experiment, in place of at most 1,000 and 5.
    #[arg(long)]
    full: bool,
    /// Meta-iterations of tuning with each method; 0 tunes with none.
    #[arg(long, value_name = "N")]
    meta_steps: Option<u32>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the report goes [default: out/frontier-EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

/// `drmad scaling`.
#[derive(Debug, Args)]
struct Scaled {
    /// What grows.
    #[arg(long, default_value = "all", value_parser = PossibleValuesParser::new(["steps", "weights", "hypers", "all"]))]
    axis: String,
    /// Few and small sizes, for a look within half a minute.
    #[arg(long)]
    quick: bool,
    /// Only this method; may be given more than once [default: every method that scales].
    #[arg(long, value_enum)]
    method: Vec<Name>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the report goes.
    #[arg(long, value_name = "DIR", default_value = "out/scaling")]
    out: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// `drmad tune`.
#[derive(Debug, Parser)]
struct Tune {
    /// The experiment.
    #[arg(default_value = EXPERIMENTS[0].name, value_parser = names())]
    experiment: String,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    training: Training,
    /// The outer optimiser.
    #[arg(long, value_enum, default_value = "adam")]
    outer: Optimiser,
    /// Its rate; the experiment's where left out.
    #[arg(long, value_name = "RATE")]
    outer_rate: Option<f32>,
    /// Meta-iterations; the experiment's where left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    meta_steps: Option<u32>,
    /// Draws of examples, initial weights and batches in each meta-iteration, which follows the mean of
    /// their hypergradients; they run on all cores, each with its own memory.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MOST_DRAWS as i64))]
    draws: u16,
    /// When to compute the exact hypergradient beside, for the angle; that takes a tape for each thread.
    #[arg(long, value_enum, default_value = "ends")]
    compare: Compare,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the report goes [default: out/EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on after a kill, with the same bits.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    source: Source,
}

/// `drmad hypergradient`.
#[derive(Debug, Args)]
struct Hypergradient {
    /// The experiment.
    #[arg(long, value_parser = names())]
    experiment: String,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    training: Training,
    /// How the network reads its images: the pixels that are not black, or all.
    #[arg(long, value_enum, default_value = "sparse")]
    inputs: Inputs,
    /// Hyperparameters to take it at (.npy, f32), such as a run's hyper.npy; the experiment's start
    /// where left out.
    #[arg(long, value_name = "FILE")]
    hyper: Option<PathBuf>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write everything that is needed to compute the result again.
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

impl Source {
    fn load(&self) -> Result<Dataset> {
        Ok(match &self.data {
            Some(folder) => Dataset::from_dir(folder)?,
            None => Dataset::mnist()?,
        })
    }
}

impl Way {
    fn method(&self) -> Result<Method> {
        let default = Method::new(self.method);
        Ok(Method {
            name: self.method,
            knots: self.knots.map_or(default.knots, |k| k as usize),
            levels: match &self.levels {
                Some(levels) => levels.parse()?,
                None => default.levels,
            },
            spacing: self.spacing,
            tail: self.tail.map(|tail| tail as usize),
            last: self.last.map(|last| last as usize),
            snapshots: self.snapshots as usize,
            psd: self.psd,
            iterations: self.iterations as usize,
            damping: self.damping.unwrap_or(default.damping),
            rate: self.series_rate.unwrap_or(default.rate),
        })
    }
}

impl Training {
    /// The experiment of this name with what the command line changes in it.
    fn experiment(&self, name: &str) -> Result<Experiment> {
        let mut experiment = experiment::find(name)
            .with_context(|| format!("no experiment is called {name}"))?
            .clone();
        if let Some(steps) = self.steps {
            experiment.steps = steps as usize;
        }
        if experiment.tuned == Tuned::Schedules && (self.rate.is_some() || self.momentum.is_some())
        {
            bail!("{name} tunes rates and momenta: --rate and --momentum have no meaning there");
        }
        experiment.rate = self.rate.unwrap_or(experiment.rate);
        experiment.momentum = self.momentum.unwrap_or(experiment.momentum);
        Ok(experiment)
    }
}

/// Lets `DRMAD_LEVEL` force the vector level; the bits are the same on each.
fn force_level() -> Result<()> {
    let Some(name) = std::env::var_os("DRMAD_LEVEL") else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    match Level::ALL.into_iter().find(|level| level.name() == name) {
        Some(level) => Ok(dispatch::force(level)?),
        None => bail!(
            "DRMAD_LEVEL is {name}: the levels are {}",
            Level::ALL.map(Level::name).join(", ")
        ),
    }
}

/// Parses the arguments and does what they say.
///
/// # Errors
/// Whatever went wrong, in one line. Bad usage ends the process here, with exit code 2.
pub fn run() -> Result<()> {
    let cli = Cli::parse();
    force_level()?;
    let command = cli
        .command
        .unwrap_or_else(|| Command::Tune(Tune::parse_from(["tune"])));
    let threads = cli.threads.unwrap_or(0).into();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| command.run())
}

impl Command {
    fn run(&self) -> Result<()> {
        match self {
            Command::Tune(tune) => tune.run(),
            Command::Hypergradient(one) => one.run(),
            Command::Frontier(compared) => compared.run(),
            Command::Scaling(scaled) => scaled.run(),
            Command::Measure { task } => scaling::measure(task),
            Command::Check(source) => verify::run(&source.load()?),
            Command::List => {
                list();
                Ok(())
            }
        }
    }
}

impl Tune {
    fn run(&self) -> Result<()> {
        let experiment = &self.training.experiment(&self.experiment)?;
        let data = self.source.load()?;
        let [adam, sign] = experiment.outer_rates;
        let own_rate = match self.outer {
            Optimiser::Adam => adam,
            Optimiser::Sign => sign,
            Optimiser::Sgd => 1.0,
        };
        let outer_rate = self.outer_rate.unwrap_or(own_rate);
        if !(outer_rate.is_finite() && outer_rate >= 0.0) {
            bail!("--outer-rate is {outer_rate}: it must be a number of at least 0");
        }
        let tuning = Tuning {
            experiment,
            data: &data,
            settings: Settings {
                version: env!("CARGO_PKG_VERSION").to_string(),
                experiment: experiment.name.to_string(),
                method: self.way.method()?,
                outer: self.outer,
                outer_rate,
                steps: experiment.steps,
                rate: experiment.rate,
                momentum: experiment.momentum,
                meta_steps: self
                    .meta_steps
                    .map_or(experiment.meta_steps, |n| n as usize),
                draws: self.draws.into(),
                compare: self.compare,
                seed: self.seed,
                arithmetic: self.training.arithmetic,
                data: self.source.data.clone(),
            },
            out: self
                .out
                .clone()
                .unwrap_or_else(|| tune::default_out(experiment.name)),
        };
        tuning.run(self.resume)
    }
}

impl Compared {
    fn run(&self) -> Result<()> {
        let mut experiment = self.training.experiment(&self.experiment)?;
        let mut meta_steps = experiment.meta_steps;
        if !self.full {
            if self.training.steps.is_none() {
                experiment.steps = experiment.steps.min(1000);
            }
            meta_steps = meta_steps.min(5);
        }
        let out = format!("frontier-{}", experiment.name);
        let frontier = Frontier {
            experiment: &experiment,
            data: &self.source.load()?,
            seed: self.seed,
            arithmetic: self.training.arithmetic,
            meta_steps: self.meta_steps.map_or(meta_steps, |n| n as usize),
            out: self.out.clone().unwrap_or_else(|| tune::default_out(&out)),
        };
        frontier.run()
    }
}

impl Scaled {
    fn run(&self) -> Result<()> {
        let axes = match Axis::from_str(&self.axis, false) {
            Ok(axis) => vec![axis],
            Err(_) => Axis::value_variants().to_vec(),
        };
        let scaling = Scaling {
            axes: &axes,
            methods: &self.method,
            quick: self.quick,
            data: &self.source.load()?,
            seed: self.seed,
            out: self.out.clone(),
        };
        scaling.run()
    }
}

impl Hypergradient {
    fn run(&self) -> Result<()> {
        let experiment = Experiment {
            inputs: self.inputs,
            ..self.training.experiment(&self.experiment)?
        };
        let data = self.source.load()?;
        let request = Request {
            experiment: &experiment,
            data: &data,
            method: self.way.method()?,
            hyper: match &self.hyper {
                Some(file) => files::read_npy(file)?,
                None => experiment.start(),
            },
            seed: self.seed,
            arithmetic: self.training.arithmetic,
        };
        let meta = request.run(self.dump.as_deref())?;
        let serde_json::Value::Object(fields) = serde_json::to_value(&meta)? else {
            bail!("the result has no fields");
        };
        for (name, value) in fields {
            say!("{name:<24} {value}");
        }
        Ok(())
    }
}

fn list() {
    say!("experiments:");
    for e in EXPERIMENTS {
        say!(
            "  {:<16} {:>7} hyperparameters  {}",
            e.name,
            e.hypers(),
            e.title
        );
    }
    say!("methods:");
    for name in Name::value_variants() {
        say!("  {:<16} {}", name.as_str(), name.about());
    }
}
