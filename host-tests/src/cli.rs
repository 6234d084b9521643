//! The command line.
//!
//! Without arguments `drmad` is `drmad tune mnist-units`. Exit codes: 0 done; 2 bad usage; 1
//! anything else, with one line on standard error. Numbers on standard output are stable enough to
//! parse; progress goes to standard error, and only to a terminal.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Arg;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use drmad::kernels::dispatch::{self, Level};
use rayon::ThreadPoolBuilder;

use crate::data::npy;
use crate::data::{Dataset, Folder};
use crate::device::{self, Device, Which};
use crate::dump::Request;
use crate::experiment::{Clients, Experiment, Outer, OuterOptimizer, What};
use crate::files;
use crate::frontier::Frontier;
use crate::interrupt;
use crate::method::Name;
use crate::recipe::{self, Recipe};
use crate::reduction::Reduction;
use crate::scaling::{self, Axis, Scaling};
use crate::server::settings::{self, Conditions};
use crate::server::simulation::{Simulation, times::ClientModel};
use crate::server::{Server, start::started_ranks};
use crate::study::{self, Studies};
use crate::tune::{self, Resume, Settings, Tuning};
use crate::verify;
use crate::words::several;

mod arguments;

use arguments::*;

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
        && started_ranks().is_none()
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

impl OuterLoop {
    /// Changes in an experiment what the command line says otherwise.
    fn change(self, outer: &mut Outer) {
        outer.optimizer = self.outer.unwrap_or(outer.optimizer);
        if let Some(rate) = self.outer_rate {
            outer.set_rate(rate);
        }
        outer.meta_steps = self.meta_steps.map_or(outer.meta_steps, |n| n as usize);
    }
}

impl Tune {
    /// The experiment as the other arguments change it.
    fn experiment(&self) -> Result<Experiment> {
        let mut experiment = self.training.experiment(&self.experiment)?;
        let outer = &mut experiment.outer;
        self.outer.change(outer);
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
        self.outer.change(outer);
        experiment.method = self.options.or(experiment.method);
        let server = Server {
            settings: settings::Settings {
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
                Some(file) => npy::read(file)?,
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
