//! `drmad check --device`: a device against the processor, bit for bit.
//!
//! First each kernel of the device on its golden vectors, in both arithmetics; then whole trainings and ways
//! back, of small forms of the experiments and by every method that a device does. Beside them stands how many
//! numbers were compared and how many differ: none may.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use drmad::cuda::{self, Kernels};
use drmad::training::Compiled;
use drmad::{Arithmetic as _, Fused, Plain};

use super::{Device, Job};
use crate::data::Dataset;
use crate::experiment::{Counts, Experiment};
use crate::inputs::Inputs;
use crate::method::{Method, Name};
use crate::problem::Population;
use crate::recipe;
use crate::trained::Trained;

macro_rules! vectors {
    ($($name:literal)*) => {
        /// Golden vectors of the device's kernels: names and files.
        const VECTORS: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../golden/vectors/", $name, ".json"))),)*
        ];
    };
}

vectors!(
    "all_finite" "between-0_of_7" "between-3_of_7" "between-7_of_7" "between-9_of_7" "by_rows-2x41"
    "by_rows-6x13" "by_rows-83x1" "exp" "ln" "matmul-nn_3x40x2" "matmul-nn_7x13x61" "matmul-nt_3x40x2"
    "matmul-nt_7x13x61" "matmul-tn_3x40x2" "matmul-tn_7x13x61" "momentum_adjoint" "momentum_step"
    "momentum_undo" "quantise-11_levels" "quantise-11_levels_least" "quantise-11_levels_none"
    "quantise-11_levels_short" "quantise-11_levels_tiny" "quantise-11_levels_zeros" "quantise-15_levels"
    "quantise-255_levels" "quantise-3_levels" "quantise-3_levels_least" "quantise-3_levels_none"
    "quantise-3_levels_short" "quantise-3_levels_tiny" "quantise-3_levels_zeros" "quantise-7_levels"
    "reduce-of_0" "reduce-of_33" "reduce-of_7" "reduce-of_83" "softmax" "tanh" "tanh_adjoint"
);

/// How many numbers were compared, and how many of them differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Numbers.
    pub numbers: usize,
    /// Of these, those with other bits.
    pub differing: usize,
}

impl Compared {
    fn words(&mut self, here: &[u32], there: &[u32]) {
        self.numbers += here.len().max(there.len());
        let pairs = here.iter().zip(there);
        self.differing += pairs.filter(|(here, there)| here != there).count();
        self.differing += here.len().abs_diff(there.len());
    }

    fn numbers(&mut self, here: &[f32], there: &[f32]) {
        let [here, there] =
            [here, there].map(|x| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        self.words(&here, &there);
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.differing {
            0 => write!(f, "{} numbers, the same bits", self.numbers),
            n => write!(f, "{} numbers, {n} of them differ: FAILED", self.numbers),
        }
    }
}

/// A named buffer of words.
type Entry<'t> = (&'t str, Vec<u32>);

/// What a golden vector's file holds, for one arithmetic.
struct Vector<'t> {
    kernel: &'t str,
    inputs: Vec<Vec<u32>>,
    outputs: Vec<Entry<'t>>,
}

impl<'t> Vector<'t> {
    /// One entry a line, in their order, which a map would lose.
    fn parse(text: &'t str, arithmetic: &str) -> Result<Self> {
        let mut vector = Vector {
            kernel: "",
            inputs: vec![],
            outputs: vec![],
        };
        for line in text.lines().filter(|line| line.contains(':')) {
            let mut parts = line.split('"').skip(1).step_by(2);
            let (key, value) = parts.next().zip(parts.next()).context("an entry a line")?;
            let (role, name) = key.split_once(' ').unwrap_or((key, ""));
            if role == "kernel" {
                vector.kernel = value;
                continue;
            }
            let words = value.split_whitespace();
            let words = words.map(|word| u32::from_str_radix(word, 16));
            let words = words.collect::<Result<Vec<u32>, _>>()?;
            match role {
                "in" => vector.inputs.push(words),
                _ if role == "out" || role == arithmetic => vector.outputs.push((name, words)),
                _ => {}
            }
        }
        Ok(vector)
    }
}

/// Outputs of vectors that are the host's alone: sums in float64.
const OF_THE_HOST: [&str; 2] = ["f64 norm", "f64 cosine"];

/// Runs each kernel of a device on its golden vectors; returns each vector's name and what came out.
///
/// # Errors
/// What the device says.
pub fn kernels<A: Compiled<f32>>(device: &cuda::Device) -> Result<Vec<(&'static str, Compared)>> {
    let mut all = vec![];
    for (name, text) in VECTORS {
        let vector = Vector::parse(text, A::NAME).with_context(|| format!("vector {name}"))?;
        ensure!(
            Kernels::ALL.contains(&vector.kernel),
            "{name}: no kernel of the device is called {}",
            vector.kernel
        );
        // Numbers that the kernel must overwrite; flags that it may only take down are up.
        let up = |name: &str| u32::from(name.contains("all_finite"));
        let blank = vector.outputs.iter();
        let mut got: Vec<Vec<u32>> = blank
            .map(|(name, words)| vec![up(name); words.len()])
            .collect();
        device.kernel::<A>(vector.kernel, &vector.inputs, &mut got)?;
        let mut compared = Compared::default();
        for ((what, want), got) in vector.outputs.iter().zip(&got) {
            if !OF_THE_HOST.contains(what) {
                compared.words(want, got);
            }
        }
        all.push((*name, compared));
    }
    Ok(all)
}

/// An experiment in a form small enough for an emulation, whose batches go over the end of an epoch.
///
/// # Errors
/// No such experiment.
pub fn small(name: &str) -> Result<Experiment> {
    let mut experiment = recipe::find(name)?;
    experiment.layers = match experiment.layers.len() {
        2 => vec![784, 10],
        3 => vec![784, 7, 10],
        _ => vec![784, 9, 6, 10],
    };
    experiment.steps = 11;
    experiment.batch = 7;
    experiment.examples = Counts {
        train: 30,
        valid: 17,
        test: 10,
        wrong_labels: experiment.examples.wrong_labels.min(5),
        ..experiment.examples
    };
    experiment.outer.clients = None;
    Ok(experiment)
}

/// Every backward pass that a device takes, with options.
pub fn methods() -> Vec<Method> {
    let of = Method::new;
    let hats = of(Name::Hats);
    vec![
        of(Name::Tape),
        hats,
        Method {
            tail: Some(0),
            knots: 3,
            ..hats
        },
        Method {
            levels: 0,
            tail: Some(2),
            knots: 4,
            ..hats
        },
        of(Name::Line),
        of(Name::LinePublished),
        Method {
            snapshots: 3,
            ..of(Name::Checkpoints)
        },
        of(Name::Reversed),
        of(Name::Direct),
        Method {
            drop_negative_curvature: true,
            ..of(Name::Line)
        },
        Method {
            last: Some(5),
            ..of(Name::Tape)
        },
        Method {
            last: Some(8),
            tail: Some(3),
            ..hats
        },
        Method {
            fresh_batches: true,
            validate_on: Some(9),
            ..of(Name::Tape)
        },
    ]
}

/// Trains so many draws of an experiment on the processor and on a device, takes them back by a method, and
/// compares all that comes out.
///
/// # Errors
/// What the device says; a training that only one of them takes to its end.
pub fn trainings<A: Compiled<f32>>(
    device: &Device,
    experiment: &Experiment,
    method: &Method,
    draws: usize,
    data: &Dataset,
) -> Result<Compared> {
    let population = Population::new(experiment, data)?;
    let problems: Vec<_> = (0..draws)
        .map(|draw| population.draw(3, 0, draw))
        .collect::<Result<_>>()?;
    let hyper = experiment.start();
    let jobs: Vec<Job<'_>> = problems
        .iter()
        .map(|problem| Job {
            problem,
            hyper: &hyper,
            method: Some(method),
        })
        .collect();
    let here = Device::Cpu.train::<A>(&jobs, &|| ())?;
    let mut compared = Compared::default();
    let there = match device.train::<A>(&jobs, &|| ()) {
        // What neither does is no difference, though each says it in its own words.
        Err(_) if here.iter().all(Result::is_err) => {
            compared.numbers = here.len();
            return Ok(compared);
        }
        there => there?,
    };
    for (here, there) in here.iter().zip(&there) {
        match (here, there) {
            (Ok(here), Ok(there)) => compared.trained(here, there),
            (Err(here), Err(there)) if here.to_string() == there.to_string() => {
                compared.numbers += 1;
            }
            (here, there) => bail!(
                "the processor says {}, the device {}",
                said(here),
                said(there)
            ),
        }
    }
    Ok(compared)
}

fn said(trained: &Result<Trained>) -> String {
    match trained {
        Ok(_) => "that all is well".into(),
        Err(error) => format!("{error:#}"),
    }
}

impl Compared {
    fn trained(&mut self, here: &Trained, there: &Trained) {
        self.numbers(&here.losses, &there.losses);
        self.numbers(&here.w, &there.w);
        let (here, there) = match (&here.back, &there.back) {
            (Some(here), Some(there)) => (here, there),
            (here, there) => {
                self.differing += usize::from(here.is_some() != there.is_some());
                return;
            }
        };
        self.numbers(&[here.valid_loss], &[there.valid_loss]);
        self.numbers(&here.hypergradient, &there.hypergradient);
        let counts = |back: &crate::trained::Back| [back.gradients as u32, back.products as u32];
        self.words(&counts(here), &counts(there));
    }
}

/// Experiments with other blocks of hyperparameters: scales, penalties, schedules, weights of examples, images.
pub const EXPERIMENTS: [&str; 6] = [
    "mnist-units",
    "mnist-l2-units",
    "mnist-global",
    "schedules",
    "hyper-cleaning",
    "learned-data",
];

/// Checks a device, with a line for each comparison.
///
/// # Errors
/// Bits that differ; what the device says.
pub fn run(device: &Device, data: &Dataset) -> Result<()> {
    let Device::Cuda(gpu) = device else {
        bail!("the processor is what a device is checked against: give --device cuda");
    };
    say!("{}", device.name());
    let mut differing = 0;
    let mut line = |what: String, compared: Compared| {
        say!("{what:<56} {compared}");
        differing += compared.differing;
    };
    for (arithmetic, all) in [
        (Plain::NAME, kernels::<Plain>(gpu)?),
        (Fused::NAME, kernels::<Fused>(gpu)?),
    ] {
        for (name, compared) in all {
            line(format!("{name}, {arithmetic}"), compared);
        }
    }
    for name in EXPERIMENTS {
        let experiment = small(name)?;
        for method in of(&experiment, methods()) {
            let what = format!("{name} by {}", method.describe());
            let fused = trainings::<Fused>(device, &experiment, &method, 2, data);
            line(format!("{what}, fused"), fused.context(what.clone())?);
            let plain = trainings::<Plain>(device, &experiment, &method, 1, data);
            line(format!("{what}, plain"), plain.context(what)?);
        }
    }
    let whole = Experiment {
        inputs: Inputs::Dense,
        ..small("mnist-layers")?
    };
    let compared = trainings::<Fused>(device, &whole, &Method::new(Name::Tape), 2, data)?;
    line(
        "mnist-layers, inputs read whole, by tape, fused".into(),
        compared,
    );
    if differing > 0 {
        bail!("{differing} numbers have other bits on the device: see FAILED above");
    }
    say!("all bits are the processor's");
    Ok(())
}

/// Those of the methods that know all that an experiment tunes.
pub fn of(experiment: &Experiment, methods: Vec<Method>) -> impl Iterator<Item = Method> {
    let along = experiment.tunes_schedule();
    let knows = move |method: &Method| !along || method.name.has_path();
    methods.into_iter().filter(knows)
}
