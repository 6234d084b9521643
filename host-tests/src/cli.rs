//! The command line.
//!
//! Without arguments `drmad` is `drmad tune mnist-units`. Exit codes: 0 done; 2 bad usage; 1
//! anything else, with one line on standard error. Numbers on standard output are stable enough to
//! parse; progress goes to standard error, and only to a terminal.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use drmad::kernels::dispatch::{self, Level};
use rayon::ThreadPoolBuilder;

use crate::data::{Dataset, Folder};
use crate::device::{self, Device, Which};
use crate::dump::Request;
use crate::experiment::{Clients, Experiment, OuterOptimizer, Rounding, What};
use crate::files;
use crate::frontier::Frontier;
use crate::inputs::Inputs;
use crate::interrupt;
use crate::method::{MethodOptions, Name};
use crate::recipe::{self, Recipe};
use crate::reduction::Reduction;
use crate::report::words::several;
use crate::scaling::{self, Axis, Scaling};
use crate::server::link::Slow;
use crate::server::shards::Shards;
use crate::server::simulation::{ClientModel, Simulation};
use crate::server::wire::Wire;
use crate::server::{self, Absent, Conditions, Server};
use crate::setting::{
    Bounds, COUNT, DRAWS, MAYBE_NONE, MOMENTUM, OUTER_RATE, POSITIVE_OR_0, RATE, REPEATS, SEED,
    SHARE, number, whole,
};
use crate::study::{self, Studies};
use crate::tune::{self, Compare, Resume, Settings, Tuning};
use crate::verify;

/// Hypergradients through whole trainings: every method, side by side, on real MNIST.
#[derive(Debug, Parser)]
#[command(name = "drmad", version, about, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads; the results have the same bits with any number [default: RAYON_NUM_THREADS, or one for
    /// each core].
    #[arg(long, global = true, value_name = "N", value_parser = whole::<u16>(REPEATS))]
    threads: Option<u16>,
    /// Where trainings run: cpu, or cuda or cuda:N (an NVIDIA GPU); the results have the same bits on each.
    #[arg(long, global = true, value_name = "DEVICE", default_value_t = Which::Cpu)]
    device: Which,
}

const ENVIRONMENT: &str = "\
Environment:
  DRMAD_LEVEL  Vector level of the kernels: baseline, avx2 or avx512 [default: the widest this
               processor has]. The bits are the same on each.";

#[derive(Debug, Subcommand)]
enum Command {
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
fn recipe(name: &str) -> Result<Recipe, String> {
    Recipe::find(name).map_err(|error| format!("{error:#}"))
}

/// The same, of those that are a training.
fn training(name: &str) -> Result<Recipe, String> {
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
struct Source {
    /// Folder with four IDX files (raw or .gz) or four .npy to use in place of the MNIST compiled in.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// The training, where it is not the experiment's own.
#[derive(Clone, Debug, Args)]
struct Training {
    /// Rounding of multiply-adds.
    #[arg(long, value_enum, default_value = "fused")]
    arithmetic: Rounding,
    /// Training steps; the experiment's where left out.
    #[arg(long, value_name = "T", value_parser = whole::<u32>(COUNT))]
    steps: Option<u32>,
    /// Learning rate; PyTorch's lr is this times 1 - momentum. The experiment's where left out.
    #[arg(long, value_name = "RATE", value_parser = number::<f32>(RATE))]
    rate: Option<f32>,
    /// Momentum in [0, 1); the experiment's where left out.
    #[arg(long, value_name = "MOMENTUM", value_parser = number::<f32>(MOMENTUM))]
    momentum: Option<f32>,
}

/// `drmad frontier`.
#[derive(Debug, Args)]
struct Compared {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(long, default_value = recipe::DEFAULT, value_parser = training)]
    experiment: Recipe,
    #[command(flatten)]
    training: Training,
    /// All steps and meta-iterations of the experiment, in place of at most 1,000 and 5.
    #[arg(long)]
    full: bool,
    /// Meta-iterations of tuning with each method; 0 tunes with none.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(MAYBE_NONE))]
    meta_steps: Option<u32>,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
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
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    seed: u64,
    /// Where the report goes.
    #[arg(long, value_name = "DIR", default_value = "out/scaling")]
    out: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// `drmad experiment`.
#[derive(Debug, Args)]
struct Studied {
    /// The experiment: its name, a file that ends in .toml, or all.
    name: String,
    /// A reduced form, within a minute, whose numbers mean little.
    #[arg(long)]
    quick: bool,
    /// Seeds of each variant [default: the experiment's].
    #[arg(long, value_name = "N", value_parser = whole::<u16>(REPEATS))]
    seeds: Option<u16>,
    /// Where reports and states go.
    #[arg(long, value_name = "DIR", default_value = "out/all")]
    out: PathBuf,
    /// Go on after a kill, with the same bits, and leave what is done.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    source: Source,
}

/// `drmad tune`.
#[derive(Debug, Parser)]
struct Tune {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(default_value = recipe::DEFAULT, value_parser = training)]
    experiment: Recipe,
    #[command(flatten)]
    options: MethodOptions,
    #[command(flatten)]
    training: Training,
    /// The outer optimizer; the experiment's where left out.
    #[arg(long, value_enum)]
    outer: Option<OuterOptimizer>,
    /// Its rate; the experiment's where left out.
    #[arg(long, value_name = "RATE", value_parser = number::<f32>(OUTER_RATE))]
    outer_rate: Option<f32>,
    /// Meta-iterations; the experiment's where left out.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(COUNT))]
    meta_steps: Option<u32>,
    /// Draws of examples, initial weights and batches in each meta-iteration, which follows the mean of
    /// their hypergradients; they run on all cores, each with its own memory [default: 1].
    #[arg(long, value_name = "N", value_parser = whole::<u16>(DRAWS))]
    draws: Option<u16>,
    /// When to compute the exact hypergradient beside, for the angle; that takes a tape for each thread.
    #[arg(long, value_enum, default_value = "ends")]
    compare: Compare,
    /// Seed of examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
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

/// `drmad server`.
#[derive(Debug, Args)]
struct Served {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(default_value = "hyperserver-mnist", value_parser = training)]
    experiment: Recipe,
    /// Clients; the experiment's where left out.
    #[arg(long, value_name = "N", value_parser = whole::<u16>(DRAWS))]
    clients: Option<u16>,
    /// What all follow; the experiment's where left out. The sign vote steps by sgd unless --outer says
    /// otherwise.
    #[arg(long, value_enum)]
    reduction: Option<Reduction>,
    /// Which examples a client holds.
    #[arg(long, value_enum, default_value = "even")]
    shards: Shards,
    /// How hypergradients travel.
    #[arg(long, value_enum, default_value = "f32")]
    wire: Wire,
    /// Leave out of a meta-iteration who has not answered after so many seconds [default: wait].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    deadline: Option<Duration>,
    /// Clients that take no part in some meta-iterations: CLIENT@ONE, CLIENT@FIRST-LAST, or CLIENT@FIRST-
    /// for one that is gone; more than one with commas.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    absent: Vec<Absent>,
    /// Clients that wait so long before each hypergradient, for trying out a deadline: CLIENT=SECONDS.
    #[arg(long, value_name = "WHO", value_delimiter = ',')]
    slow: Vec<Slow>,
    #[command(flatten)]
    options: MethodOptions,
    #[command(flatten)]
    training: Training,
    /// The outer optimizer; the experiment's where left out.
    #[arg(long, value_enum)]
    outer: Option<OuterOptimizer>,
    /// Its rate; the experiment's where left out.
    #[arg(long, value_name = "RATE", value_parser = number::<f32>(OUTER_RATE))]
    outer_rate: Option<f32>,
    /// Meta-iterations; the experiment's where left out.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(COUNT))]
    meta_steps: Option<u32>,
    /// Seed of shards, examples, initial weights and batches.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
    seed: u64,
    /// Where the report goes [default: out/server-EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on after a kill, with the same bits, with any number of ranks and threads.
    #[arg(long)]
    resume: bool,
    /// Folder with four IDX files (raw or .gz) or four .npy to use in place of the MNIST compiled in. With
    /// {client} in its name each client has a folder of its own, by its number.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// `drmad simulate`.
#[derive(Debug, Args)]
struct Simulated {
    /// Clients; tables go up to so many.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<u32>(COUNT))]
    clients: u32,
    /// Hyperparameters of the model of time; a second part has 1,000 times as many.
    #[arg(long, value_name = "H", default_value_t = 934, value_parser = whole::<u32>(Bounds::Whole(1, 1_000_000)))]
    hypers: u32,
    /// Seconds of a training.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = number::<f64>(POSITIVE_OR_0))]
    training: f64,
    /// The standard deviation of the logarithm of a training's time.
    #[arg(long, default_value_t = 0.1, value_parser = number::<f64>(POSITIVE_OR_0))]
    spread: f64,
    /// The share of clients that are slow.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = number::<f64>(SHARE))]
    slow: f64,
    /// How many times longer these take.
    #[arg(long, value_name = "TIMES", default_value_t = 10.0, value_parser = number::<f64>(POSITIVE_OR_0))]
    slowdown: f64,
    /// The share of clients that drop out of a meta-iteration.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = number::<f64>(SHARE))]
    dropped: f64,
    /// When the server stops waiting [default: never].
    #[arg(long, value_name = "SECONDS", value_parser = number::<f64>(POSITIVE_OR_0))]
    deadline: Option<f64>,
    /// Meta-iterations of the tuning, which takes a minute or two; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole::<u32>(MAYBE_NONE))]
    meta_steps: u32,
    #[command(flatten)]
    source: Source,
}

/// A time in seconds, for the command line.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| format!("{text} is no number of seconds"))
}

/// `drmad hypergradient`.
#[derive(Debug, Args)]
struct Hypergradient {
    /// The experiment: its name, or a file that ends in .toml.
    #[arg(long, value_parser = training)]
    experiment: Recipe,
    #[command(flatten)]
    options: MethodOptions,
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
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(SEED))]
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

    /// Where the images are from, unless they are those compiled in.
    fn folder(&self, data: &Dataset) -> Option<Folder> {
        self.data.as_ref().map(|path| Folder {
            path: path.clone(),
            sha256: data.sha256(),
        })
    }
}

impl Training {
    /// The experiment with what the command line changes in it.
    fn experiment(&self, recipe: &Recipe) -> Result<Experiment> {
        let mut experiment = recipe.experiment()?;
        if let Some(steps) = self.steps {
            experiment.steps = steps as usize;
        }
        for (flag, given, what) in [
            ("--rate", self.rate, What::Rate),
            ("--momentum", self.momentum, What::Momentum),
        ] {
            if given.is_some() && experiment.block(what).is_some() {
                bail!("{} tunes what {flag} would set", experiment.name);
            }
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

/// The parser of the command line. What follows an option for a number is its value, also `-0.1` or `-inf`,
/// which its bounds then refuse, and not an option that nobody knows.
pub fn parser() -> clap::Command {
    let numbers = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<f32>(),
        TypeId::of::<f64>(),
    ];
    let option = |arg: Arg| {
        let value = arg.get_value_parser().type_id();
        let is_number = numbers.iter().any(|number| value == *number);
        arg.allow_hyphen_values(is_number)
    };
    let options = |command: clap::Command| command.mut_args(option);
    options(Cli::command()).mut_subcommands(options)
}

/// Parses the arguments and does what they say.
///
/// # Errors
/// Whatever went wrong, in one line. Bad usage ends the process here, with exit code 2.
pub fn run() -> Result<()> {
    let cli = Cli::from_arg_matches(&parser().get_matches()).unwrap_or_else(|error| error.exit());
    force_level()?;
    if cli.device != Which::Cpu {
        device::settle(cli.device)?;
    }
    let named = cli.command.is_some();
    let command = cli
        .command
        .unwrap_or_else(|| Command::Tune(Tune::parse_from(["tune"])));
    if let Some(state) = command.state()
        && server::started_ranks().is_none()
    {
        interrupt::watch(move || interrupt::say(state.as_deref(), &again(named)))?;
    }
    let threads = cli.threads.unwrap_or(0).into();
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| command.run())?;
    files::all_said()
}

/// The command that goes on where this one was interrupted; `named` is whether it names what it does.
fn again(named: bool) -> Vec<String> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if !named {
        words.push("tune".into());
    }
    if words.iter().all(|word| word != "--resume") {
        // What stands behind a lone `--` is no option.
        let end = words.iter().position(|word| word == "--");
        words.insert(end.unwrap_or(words.len()), "--resume".into());
    }
    words.iter().map(|word| interrupt::quoted(word)).collect()
}

/// Whether these arguments, the program's name first, can be understood; nothing of what they say is
/// done.
///
/// # Errors
/// What is wrong with them, or the help that they ask for.
pub fn check(arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    let cli = Cli::from_arg_matches(&parser().try_get_matches_from(arguments)?)?;
    let experiment = match cli.command {
        Some(Command::Tune(tune)) => tune.experiment()?,
        Some(Command::Hypergradient(one)) => one.experiment()?,
        Some(Command::Frontier(compared)) => compared.training.experiment(&compared.experiment)?,
        _ => return Ok(()),
    };
    experiment.check()
}

impl Command {
    /// Where it leaves what it can go on from; nowhere, if it cannot go on. Nothing of a part of a command
    /// that has words of its own.
    fn state(&self) -> Option<Option<PathBuf>> {
        Some(match self {
            Command::Tune(tune) => Some(tune.out().join("state.json")),
            Command::Server(served) => Some(served.out().join("state.json")),
            Command::Experiment(studied) => Some(studied.out.clone()),
            Command::Measure { .. } => return None,
            _ => None,
        })
    }

    fn run(&self) -> Result<()> {
        match self {
            Command::Tune(tune) => tune.run(),
            Command::Server(served) => served.run(),
            Command::Simulate(simulated) => simulated.run(),
            Command::Hypergradient(one) => one.run(),
            Command::Frontier(compared) => compared.run(),
            Command::Experiment(studied) => studied.run(),
            Command::Scaling(scaled) => scaled.run(),
            Command::Measure { task } => scaling::measure(task),
            Command::Check(source) => match device::here() {
                Device::Cpu => verify::run(&source.load()?),
                device => device::check::run(device, &source.load()?),
            },
            Command::List => list(),
        }
    }
}

impl Tune {
    /// The experiment as the other arguments change it.
    fn experiment(&self) -> Result<Experiment> {
        let mut experiment = self.training.experiment(&self.experiment)?;
        let outer = &mut experiment.outer;
        outer.optimizer = self.outer.unwrap_or(outer.optimizer);
        if let Some(rate) = self.outer_rate {
            outer.set_rate(rate);
        }
        outer.meta_steps = self.meta_steps.map_or(outer.meta_steps, |n| n as usize);
        outer.draws = self.draws.map_or(outer.draws, usize::from);
        experiment.method = self.options.or(experiment.method);
        Ok(experiment)
    }

    fn out(&self) -> PathBuf {
        let out = self.out.clone();
        out.unwrap_or_else(|| tune::default_out(&self.experiment.name))
    }

    fn run(&self) -> Result<()> {
        let experiment = self.experiment()?;
        let data = self.source.load()?;
        let tuning = Tuning {
            data: &data,
            out: self.out(),
            settings: Settings {
                version: env!("CARGO_PKG_VERSION").to_string(),
                experiment,
                compare: self.compare,
                seed: self.seed,
                arithmetic: self.training.arithmetic,
                data: self.source.folder(&data),
            },
            start: None,
            part_of: None,
        };
        tuning.run(if self.resume { Resume::Yes } else { Resume::No })?;
        Ok(())
    }
}

impl Served {
    fn out(&self) -> PathBuf {
        let out = format!("server-{}", self.experiment.name);
        self.out.clone().unwrap_or_else(|| tune::default_out(&out))
    }

    fn run(&self) -> Result<()> {
        let mut experiment = self.training.experiment(&self.experiment)?;
        let shard = experiment.examples.train + experiment.examples.valid;
        let outer = &mut experiment.outer;
        let mut clients = outer.clients.unwrap_or(Clients {
            count: 1,
            reduction: Reduction::Mean,
            pool: 0,
        });
        clients.count = self.clients.map_or(clients.count, usize::from);
        clients.reduction = self.reduction.unwrap_or(clients.reduction);
        if outer.clients.is_none() {
            // Of an experiment that knows no clients, shards that are apart as far as there are enough.
            clients.pool = shard.saturating_mul(clients.count).min(60_000).max(shard);
        }
        outer.clients = Some(clients);
        if clients.reduction == Reduction::SignVote {
            outer.optimizer = OuterOptimizer::Sgd;
        }
        outer.optimizer = self.outer.unwrap_or(outer.optimizer);
        if let Some(rate) = self.outer_rate {
            outer.set_rate(rate);
        }
        outer.meta_steps = self.meta_steps.map_or(outer.meta_steps, |n| n as usize);
        experiment.method = self.options.or(experiment.method);
        let server = Server {
            settings: server::Settings {
                version: env!("CARGO_PKG_VERSION").to_string(),
                experiment,
                shards: self.shards,
                wire: self.wire,
                seed: self.seed,
                arithmetic: self.training.arithmetic,
                data: self.data.clone(),
            },
            conditions: Conditions {
                deadline: self.deadline,
                absent: self.absent.clone(),
                slow: self.slow.clone(),
            },
            threads: rayon::current_num_threads(),
            out: self.out(),
            quiet: false,
        };
        server.start(self.resume)
    }
}

impl Simulated {
    fn run(&self) -> Result<()> {
        let simulation = Simulation {
            clients: self.clients as usize,
            hypers: self.hypers as usize,
            model: ClientModel {
                training: self.training,
                spread: self.spread,
                slow: self.slow,
                slowdown: self.slowdown,
                dropped: self.dropped,
                deadline: self.deadline,
            },
            meta_steps: self.meta_steps as usize,
        };
        simulation.run(&self.source.load()?)
    }
}

impl Compared {
    fn run(&self) -> Result<()> {
        let mut experiment = self.training.experiment(&self.experiment)?;
        let mut meta_steps = experiment.outer.meta_steps;
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

impl Studied {
    fn run(&self) -> Result<()> {
        let names: Vec<&str> = match self.name.as_str() {
            "all" => study::names().collect(),
            name => vec![name],
        };
        let recipes: Result<Vec<Recipe>> = names.into_iter().map(Recipe::find).collect();
        let data = self.source.load()?;
        let studies = Studies {
            recipes: recipes?,
            data: &data,
            source: self.source.folder(&data),
            quick: self.quick,
            seeds: self.seeds.map(usize::from),
            resume: self.resume,
            out: self.out.clone(),
        };
        studies.run()
    }
}

impl Hypergradient {
    /// The experiment as the other arguments change it.
    fn experiment(&self) -> Result<Experiment> {
        let experiment = self.training.experiment(&self.experiment)?;
        Ok(Experiment {
            inputs: self.inputs,
            method: self.options.or(experiment.method),
            ..experiment
        })
    }

    fn run(&self) -> Result<()> {
        let experiment = self.experiment()?;
        let data = self.source.load()?;
        let request = Request {
            experiment: &experiment,
            data: &data,
            method: experiment.method()?,
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

fn list() -> Result<()> {
    say!("experiments:");
    for name in recipe::names() {
        let recipe = Recipe::find(name)?;
        if recipe.trains() {
            let e = recipe.experiment()?;
            say!(
                "  {name:<18} {:>24}  {}",
                several(e.hypers(), "hyperparameter"),
                e.title
            );
        }
    }
    say!("those that `drmad experiment` runs:");
    for name in recipe::names() {
        if let Some(study) = Recipe::find(name)?.study {
            say!("  {name:<18} {}", study.source);
        }
    }
    say!("methods:");
    for name in Name::value_variants() {
        say!("  {:<18} {}", name.as_str(), name.about());
    }
    Ok(())
}
