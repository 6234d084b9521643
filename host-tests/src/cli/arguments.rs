//! What the command line can say. What is done about it is of the module above.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::device::Which;
use crate::experiment::{OuterOptimizer, Rounding};
use crate::inputs::Inputs;
use crate::method::{MethodOptions, Name};
use crate::recipe::{self, Recipe};
use crate::reduction::Reduction;
use crate::server::settings::{Absent, Slow};
use crate::server::shards::Shards;
use crate::server::wire::Wire;
use crate::setting::{
    Bounds, COUNT, DRAWS, MAYBE_NONE, MOMENTUM, OUTER_RATE, POSITIVE_OR_0, RATE, REPEATS, SEED,
    SHARE, number, whole,
};
use crate::tune::Compare;

/// Hypergradients through whole trainings: every method, side by side, on real MNIST.
#[derive(Debug, Parser)]
#[command(name = "drmad", version, about, after_help = ENVIRONMENT)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// Threads; the results have the same bits with any number [default: RAYON_NUM_THREADS, or one for
    /// each core].
    #[arg(long, global = true, value_name = "N", value_parser = whole::<u16>(REPEATS))]
    pub(super) threads: Option<u16>,
    /// Where trainings run: cpu, or cuda or cuda:N (an NVIDIA GPU); the results have the same bits on each.
    #[arg(long, global = true, value_name = "DEVICE", default_value_t = Which::Cpu)]
    pub(super) device: Which,
}

pub(super) const ENVIRONMENT: &str = "\
Environment:
  DRMAD_LEVEL  Vector level of the kernels: baseline, avx2 or avx512 [default: the widest this
               processor has]. The bits are the same on each.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tune an experiment's hyperparameters and write a report (the default).
    Tune(Tune),
    /// Tune with clients that hold shards of the data and share hypergradients alone.
    Server(Served),
    /// Simulate a server with very many clients: what a meta-iteration takes and what is tuned.
    Simulate(Simulated),
    /// Compute one hypergradient and print what it cost.
    Hypergradient(Hypergradient),
    /// Compare every method on one experiment: memory, time, angle to the exact hypergradient.
    Frontier(Compared),
    /// Run the papers' experiments and write one page of what was published and what came out.
    Experiment(Studied),
    /// Show how time and memory grow with steps, weights and hyperparameters, method by method.
    Scaling(Scaled),
    /// One point of `scaling`, in a process of its own.
    #[command(hide = true)]
    Measure {
        /// What to measure, as JSON.
        task: String,
    },
    /// Check every derivative: finite differences and adjoint identities. With --device, check a device:
    /// its bits against the processor's.
    Check(Source),
    /// List the experiments and the methods.
    List,
}

/// An experiment by its name or file, for the command line.
pub(super) fn recipe(name: &str) -> Result<Recipe, String> {
    Recipe::find(name).map_err(|error| format!("{error:#}"))
}

/// The same, of those that are a training.
pub(super) fn training(name: &str) -> Result<Recipe, String> {
    let recipe = recipe(name)?;
    if recipe.trains() {
        Ok(recipe)
    } else {
        Err(format!(
            "{name} is no training: run it with `drmad experiment {name}`"
        ))
    }
}

/// Where the images come from.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Source {
    /// Folder with four IDX files (raw or .gz) or four .npy to use in place of the MNIST compiled in.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

/// The training, where it is not the experiment's own.
#[derive(Clone, Debug, Args)]
pub(super) struct Training {
    /// Rounding of multiply-adds.
    #[arg(long, value_enum, default_value = "fused")]
    pub(super) arithmetic: Rounding,
    /// Training steps; the experiment's where left out.
    #[arg(long, value_name = "T", value_parser = whole::<u32>(COUNT))]
    pub(super) steps: Option<u32>,
    /// Learning rate; PyTorch's lr is this times 1 - momentum. The experiment's where left out.
    #[arg(long, value_name = "RATE", value_parser = number::<f32>(RATE))]
    pub(super) rate: Option<f32>,
    /// Momentum in [0, 1); the experiment's where left out.
    #[arg(long, value_name = "MOMENTUM", value_parser = number::<f32>(MOMENTUM))]
    pub(super) momentum: Option<f32>,
}

/// The outer loop, where it is not the experiment's own.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct OuterLoop {
    /// The outer optimizer; the experiment's where left out.
    #[arg(long, value_enum)]
    pub(super) outer: Option<OuterOptimizer>,
    /// Its rate; the experiment's where left out.
    #[arg(long, value_name = "RATE", value_parser = number::<f32>(OUTER_RATE))]
    pub(super) outer_rate: Option<f32>,
    /// Meta-iterations; the experiment's where left out.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(COUNT))]
    pub(super) meta_steps: Option<u32>,
}

/// `drmad frontier`.
#[derive(Debug, Args)]
pub(super) struct Compared {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(long, default_value = recipe::DEFAULT, value_parser = training)]
    pub(super) experiment: Recipe,
    #[command(flatten)]
    pub(super) training: Training,
    /// All steps and meta-iterations of the experiment, in place of at most 1,000 and 5.
    #[arg(long)]
    pub(super) full: bool,
    /// Meta-iterations of tuning with each method; 0 tunes with none.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(MAYBE_NONE))]
    pub(super) meta_steps: Option<u32>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    pub(super) seed: u64,
    /// Where the report goes [default: out/frontier-EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) source: Source,
}

/// `drmad scaling`.
#[derive(Debug, Args)]
pub(super) struct Scaled {
    /// What grows.
    #[arg(long, default_value = "all", value_parser = PossibleValuesParser::new(["steps", "weights", "hypers", "all"]))]
    pub(super) axis: String,
    /// Few and small sizes, for a look within half a minute.
    #[arg(long)]
    pub(super) quick: bool,
    /// Only this method; may be given more than once [default: every method that scales].
    #[arg(long, value_enum)]
    pub(super) method: Vec<Name>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    pub(super) seed: u64,
    /// Where the report goes.
    #[arg(long, value_name = "DIR", default_value = "out/scaling")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) source: Source,
}

/// `drmad experiment`.
#[derive(Debug, Args)]
pub(super) struct Studied {
    /// The experiment: its name, a file that ends in .toml, or all.
    pub(super) name: String,
    /// A reduced form, within a minute, whose numbers mean little.
    #[arg(long)]
    pub(super) quick: bool,
    /// Seeds of each variant [default: the experiment's].
    #[arg(long, value_name = "N", value_parser = whole::<u16>(REPEATS))]
    pub(super) seeds: Option<u16>,
    /// Where reports and states go.
    #[arg(long, value_name = "DIR", default_value = "out/all")]
    pub(super) out: PathBuf,
    /// Go on after a kill, with the same bits, and leave what is done.
    #[arg(long)]
    pub(super) resume: bool,
    #[command(flatten)]
    pub(super) source: Source,
}

/// `drmad tune`.
#[derive(Debug, Parser)]
pub(super) struct Tune {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(default_value = recipe::DEFAULT, value_parser = training)]
    pub(super) experiment: Recipe,
    #[command(flatten)]
    pub(super) options: MethodOptions,
    #[command(flatten)]
    pub(super) training: Training,
    #[command(flatten)]
    pub(super) outer: OuterLoop,
    /// Draws of examples, initial weights and batches in each meta-iteration, which follows the mean of
    /// their hypergradients; they run on all cores, each with its own memory [default: 1].
    #[arg(long, value_name = "N", value_parser = whole::<u16>(DRAWS))]
    pub(super) draws: Option<u16>,
    /// When to compute the exact hypergradient beside, for the angle; that takes a tape for each thread.
    #[arg(long, value_enum, default_value = "ends")]
    pub(super) compare: Compare,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    pub(super) seed: u64,
    /// Where the report goes [default: out/EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Go on after a kill, with the same bits.
    #[arg(long)]
    pub(super) resume: bool,
    #[command(flatten)]
    pub(super) source: Source,
}

/// `drmad server`.
#[derive(Debug, Args)]
pub(super) struct Served {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(default_value = "hyperserver-mnist", value_parser = training)]
    pub(super) experiment: Recipe,
    /// Clients; the experiment's where left out.
    #[arg(long, value_name = "N", value_parser = whole::<u16>(DRAWS))]
    pub(super) clients: Option<u16>,
    /// What all follow; the experiment's where left out. The sign vote steps by sgd unless --outer says
    /// otherwise.
    #[arg(long, value_enum)]
    pub(super) reduction: Option<Reduction>,
    /// Which examples a client holds.
    #[arg(long, value_enum, default_value = "even")]
    pub(super) shards: Shards,
    /// How hypergradients travel.
    #[arg(long, value_enum, default_value = "f32")]
    pub(super) wire: Wire,
    /// Leave out of a meta-iteration who has not answered after so many seconds [default: wait].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) deadline: Option<Duration>,
    /// Clients that take no part in some meta-iterations: CLIENT@ONE, CLIENT@FIRST-LAST, or CLIENT@FIRST-
    /// for one that is gone; more than one with commas.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    pub(super) absent: Vec<Absent>,
    /// Clients that wait so long before each hypergradient, for trying out a deadline: CLIENT=SECONDS.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    pub(super) slow: Vec<Slow>,
    #[command(flatten)]
    pub(super) options: MethodOptions,
    #[command(flatten)]
    pub(super) training: Training,
    #[command(flatten)]
    pub(super) outer: OuterLoop,
    /// Seed of shards, examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    pub(super) seed: u64,
    /// Where the report goes [default: out/server-EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Go on after a kill, with the same bits, with any number of ranks and threads.
    #[arg(long)]
    pub(super) resume: bool,
    /// Folder with four IDX files (raw or .gz) or four .npy to use in place of the MNIST compiled in. With
    /// {client} in its name each client has a folder of its own, by its number.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

/// `drmad simulate`.
#[derive(Debug, Args)]
pub(super) struct Simulated {
    /// Clients; tables go up to so many.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<u32>(COUNT))]
    pub(super) clients: u32,
    /// Hyperparameters of the model of time; a second part has 1,000 times as many.
    #[arg(long, value_name = "H", default_value_t = 934, value_parser = whole::<u32>(Bounds::Whole(1, 1_000_000)))]
    pub(super) hypers: u32,
    /// Seconds of a training.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = number::<f64>(POSITIVE_OR_0))]
    pub(super) training: f64,
    /// The standard deviation of the logarithm of a training's time.
    #[arg(long, default_value_t = 0.1, value_parser = number::<f64>(POSITIVE_OR_0))]
    pub(super) spread: f64,
    /// The share of clients that are slow.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = number::<f64>(SHARE))]
    pub(super) slow: f64,
    /// How many times longer these take.
    #[arg(long, value_name = "TIMES", default_value_t = 10.0, value_parser = number::<f64>(POSITIVE_OR_0))]
    pub(super) slowdown: f64,
    /// The share of clients that drop out of a meta-iteration.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = number::<f64>(SHARE))]
    pub(super) dropped: f64,
    /// When the server stops waiting [default: never].
    #[arg(long, value_name = "SECONDS", value_parser = number::<f64>(POSITIVE_OR_0))]
    pub(super) deadline: Option<f64>,
    /// Meta-iterations of the tuning, which takes a minute or two; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole::<u32>(MAYBE_NONE))]
    pub(super) meta_steps: u32,
    #[command(flatten)]
    pub(super) source: Source,
}

/// A time in seconds, for the command line.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| format!("{text} is no number of seconds"))
}

/// `drmad hypergradient`.
#[derive(Debug, Args)]
pub(super) struct Hypergradient {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(long, value_parser = training)]
    pub(super) experiment: Recipe,
    #[command(flatten)]
    pub(super) options: MethodOptions,
    #[command(flatten)]
    pub(super) training: Training,
    /// How the network reads its images: the pixels that are not black, or all.
    #[arg(long, value_enum, default_value = "sparse")]
    pub(super) inputs: Inputs,
    /// Hyperparameters to take it at (.npy, f32), such as a run's hyper.npy; the experiment's start
    /// where left out.
    #[arg(long, value_name = "FILE")]
    pub(super) hyper: Option<PathBuf>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    pub(super) seed: u64,
    /// Write everything that is needed to compute the result again.
    #[arg(long, value_name = "DIR")]
    pub(super) dump: Option<PathBuf>,
    #[command(flatten)]
    pub(super) source: Source,
}
