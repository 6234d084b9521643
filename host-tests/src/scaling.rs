//! `drmad scaling`: how time and memory of every method grow with the training's steps `T`, the
//! network's weights `P` and the number of hyperparameters `H`.
//!
//! Along each axis all else stays as it is. A size of a method is a process of its own, so that the
//! most memory that the process ever held is that size's; times are medians of a few runs in it. It
//! reads no more images than it draws, or those would hide what a small size takes.
//!
//! ```text
//! time          T: 1, checkpoints' options back 1 + 1/S        P: 1        H: 0, forward mode 1
//! floats        T: tape and reversible 1, others 0         P: 1        H: 0, forward mode 1
//! ```
//!
//! Refused: sizes that would need more than [`MOST_BYTES`] or [`MOST_SECONDS`], as theory extrapolates
//! the size before; more tangents than forward mode takes; reversal in floating point beyond its
//! reach. They are left out, with what they would have needed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use drmad::Fused;
use drmad::group::Groups;
use drmad::path::Reversed;
use drmad::schedule::{Optimizer, Schedule};
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::experiment::{
    Block, By, Counts, Experiment, Outer, OuterLoss, OuterOptimizer, OuterRates, Rounding, What,
};
use crate::files::{self, progress};
use crate::inputs::Inputs;
use crate::memory;
use crate::method::{MOST_TANGENTS, Method, MethodOptions, Name};
use crate::problem::Problem;
use crate::provenance::{named, versions};
use crate::report::scaling::{Absent, Curve, Exponents, Growth, Page, Point, head, line, render};
use crate::statistics::median;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// The training's steps.
    Steps,
    /// The network's weights.
    Weights,
    /// The hyperparameters.
    Hypers,
}

/// What to measure.
#[derive(Debug)]
pub struct Scaling<'a> {
    /// Along which axes.
    pub axes: &'a [Axis],
    /// Which methods; none are all of [`METHODS`].
    pub methods: &'a [Name],
    /// Few and small sizes.
    pub quick: bool,
    /// The images.
    pub data: &'a Dataset,
    /// The seed.
    pub seed: u64,
    /// Where the page goes.
    pub out: PathBuf,
}

/// The methods that are worth it: of those alike, one.
pub const METHODS: &[Name] = &[
    Name::Tape,
    Name::Checkpoints,
    Name::Reversible,
    Name::Line,
    Name::Knots,
    Name::Hermite,
    Name::Legendre,
    Name::Hats,
    Name::Reversed,
    Name::Forward,
    Name::Implicit,
    Name::Direct,
];

/// The most that a method's numbers may take, in bytes.
pub const MOST_BYTES: f64 = 4e9;
/// The longest that one training and its backward pass may take.
pub const MOST_SECONDS: f64 = 120.0;

/// Training, validation and test examples: few, as they are no axis.
const EXAMPLES: Counts = Counts {
    train: 250,
    valid: 50,
    test: 50,
    wrong_labels: 0,
    fixed: false,
};
/// Of implicit differentiation: the most products.
const ITERATIONS: usize = 4;
/// Runs of a size, and the seconds after which there are no more.
const RUNS: usize = 15;
const ENOUGH: f64 = 0.5;

/// Softmax regression: convex, so that no length of training is too long for any method.
const CONVEX: &[usize] = &[784, 10];
/// Networks of one depth, from 8 thousand weights, which fit any cache, to 10 million, which fit
/// none.
const WIDER: [&[usize]; 6] = [
    &[784, 10, 10, 10, 10],
    &[784, 30, 30, 30, 10],
    &[784, 100, 100, 100, 10],
    &[784, 300, 300, 300, 10],
    &[784, 1000, 1000, 1000, 10],
    &[784, 2050, 2050, 2050, 10],
];
/// Sixteen layers, for as many hyperparameters.
const DEEP: &[usize] = &[
    784, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
];

/// A place on an axis.
#[derive(Clone, Copy, Debug)]
struct Size {
    layers: &'static [usize],
    steps: usize,
    by: By,
}

impl Axis {
    /// Its name on the command line.
    const fn as_str(self) -> &'static str {
        match self {
            Axis::Steps => "steps",
            Axis::Weights => "weights",
            Axis::Hypers => "hypers",
        }
    }

    /// What it counts.
    const fn what(self) -> &'static str {
        match self {
            Axis::Steps => "training steps",
            Axis::Weights => "weights",
            Axis::Hypers => "hyperparameters",
        }
    }

    /// Its sizes in ascending order.
    fn sizes(self, quick: bool) -> Vec<Size> {
        let (layers, by) = (CONVEX, By::Layer);
        match self {
            Axis::Steps => {
                let steps: &[usize] = match quick {
                    true => &[100, 400, 1600],
                    false => &[100, 300, 1000, 3000, 10_000, 30_000, 100_000],
                };
                let of = |steps: &usize| Size {
                    layers,
                    steps: *steps,
                    by,
                };
                steps.iter().map(of).collect()
            }
            Axis::Weights => {
                // More than the polynomials and the knots that methods have.
                let steps = 33;
                let of = |layers| Size { layers, steps, by };
                WIDER[..if quick { 3 } else { 6 }]
                    .iter()
                    .copied()
                    .map(of)
                    .collect()
            }
            Axis::Hypers => {
                use By::{Global, Layer, Parameter, Unit};
                let (layers, steps) = (DEEP, if quick { 33 } else { 200 });
                // By tensor there are twice as many as by layer.
                [Global, Layer, Unit, Parameter]
                    .map(|by| Size { layers, steps, by })
                    .to_vec()
            }
        }
    }

    /// Where on it an experiment is.
    fn place(self, e: &Experiment) -> usize {
        match self {
            Axis::Steps => e.steps,
            Axis::Weights => e.weights(),
            Axis::Hypers => e.hypers(),
        }
    }

    /// What stays as it is along it.
    fn setting(self, quick: bool) -> String {
        let Some(e) = self.sizes(quick).first().map(Size::experiment) else {
            return String::new();
        };
        match self {
            Axis::Steps => format!(
                "Softmax regression, {} weights in {}. The reversal in fixed point keeps a few numbers a \
                 weight at first, and what grows with the steps is more than that from some thousands \
                 of them on.",
                e.weights(),
                e.network()
            ),
            Axis::Weights => format!(
                "{} steps of networks 784-n-n-n-10. The first layer skips black pixels, four of five, \
                 and is nearly all of a small network and little of a large one: a weight of a large \
                 one is more work.",
                e.steps
            ),
            Axis::Hypers => format!(
                "{} steps of 784-10-...-10 with {} layers; one scale for all weights, one a layer, one \
                 a unit, one a weight.",
                e.steps,
                e.layers.len() - 1
            ),
        }
    }

    /// What theory says of a method.
    fn theory(self, method: &Method) -> Exponents {
        let name = method.name;
        let only = |grows: bool| f64::from(u8::from(grows));
        let keeps = !matches!(
            name,
            Name::Line | Name::LinePublished | Name::Reversed | Name::Implicit | Name::Neumann
        ) && (name.has_path() || name == Name::Forward);
        let [forward, backward, floats, memory] = match self {
            Axis::Steps => {
                let backward = match name {
                    // Binomial: some (S! T)^(1/S) repetitions of T steps.
                    Name::Checkpoints => 1.0 + 1.0 / method.snapshots as f64,
                    name => only(name.has_path()),
                };
                let kept = only(matches!(name, Name::Tape | Name::Reversible));
                [1.0, backward, kept, kept]
            }
            Axis::Weights => [1.0; 4],
            Axis::Hypers => [only(name == Name::Forward); 4],
        };
        Exponents {
            forward: Some(forward),
            // Forward mode's backward pass is one gradient and a dot product a tangent: no power.
            backward: (self != Axis::Hypers || name != Name::Forward).then_some(backward),
            floats: keeps.then_some(floats),
            memory: Some(memory),
        }
    }
}

impl Size {
    fn experiment(&self) -> Experiment {
        // About what keeps the scale of what goes through a layer.
        let inputs = self.layers.get(1).copied().unwrap_or(1) as f32;
        Experiment {
            inputs: Inputs::Sparse,
            name: "scaling".to_string(),
            title: "How time and memory grow".to_string(),
            layers: self.layers.to_vec(),
            examples: EXAMPLES,
            outer_loss: OuterLoss::Valid,
            batch: 10,
            steps: self.steps,
            rate: 0.05,
            momentum: 0.99,
            log_scale: -0.5 * inputs.ln(),
            log_l2: Some(-9.0),
            tuned: vec![Block {
                what: What::Scale,
                by: self.by,
                each_step: false,
                start: 0.0,
                total: None,
                natural: false,
            }],
            outer: Outer {
                optimizer: OuterOptimizer::Adam,
                rates: OuterRates::default(),
                meta_steps: 1,
                draws: 1,
                clients: None,
                warm: false,
            },
            method: MethodOptions::default(),
        }
    }
}

/// One size of a method, as one process is told by another.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    axis: Axis,
    quick: bool,
    /// Which of the axis's sizes.
    number: usize,
    method: Method,
    seed: u64,
    /// The folder with the images.
    data: PathBuf,
}

/// Measures the size that a task in JSON says, and prints the point as JSON.
///
/// # Errors
/// What is no task; a training that diverges, and too little memory.
pub fn measure(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task).context("no task")?;
    let sizes = task.axis.sizes(task.quick);
    let size = sizes.get(task.number).context("no such size")?;
    let experiment = size.experiment();
    let data = Dataset::from_dir(&task.data)?;
    let problem = Problem::draw(&experiment, &data, task.seed, 0)?;
    let hyper = experiment.start();
    let before = memory::resident();
    let (mut forward, mut backward, mut floats) = (vec![], vec![], 0);
    while forward.len() < RUNS && forward.iter().chain(&backward).sum::<f64>() < ENOUGH {
        let trained = problem.train::<Fused>(&hyper, Some(&task.method), &mut |_| ())?;
        let back = trained.back.context("no hypergradient")?;
        forward.push(trained.forward_seconds);
        backward.push(back.seconds);
        floats = back.floats;
    }
    let runs = forward.len();
    let memory = before.zip(memory::resident());
    let point = Point {
        size: task.axis.place(&experiment),
        forward_seconds: median(forward),
        backward_seconds: median(backward),
        runs,
        floats,
        memory: memory.map(|(before, after)| after.peak.saturating_sub(before.now)),
    };
    say!("{}", serde_json::to_string(&point)?);
    Ok(())
}

impl Scaling<'_> {
    /// Runs, prints the exponents and writes the page.
    ///
    /// # Errors
    /// What the file system refuses, and a process that cannot be started. A size that fails is left
    /// out and says how.
    pub fn run(&self) -> Result<()> {
        let _claim = files::claim(&self.out)?;
        let folder = tempfile::tempdir().context("cannot make a folder for the images")?;
        let Counts {
            train, valid, test, ..
        } = EXAMPLES;
        self.data.write_first(folder.path(), train + valid, test)?;
        let all = if self.methods.is_empty() {
            METHODS
        } else {
            self.methods
        };
        let methods = all.iter().map(|name| Method {
            iterations: ITERATIONS,
            ..Method::new(*name)
        });
        let methods: Vec<Method> = methods.collect();
        let sizes = self.axes.iter().map(|axis| axis.sizes(self.quick).len());
        let bar = progress(methods.len() * sizes.sum::<usize>());
        let mut axes = vec![];
        say!("{}", head());
        for axis in self.axes {
            let mut curves = vec![];
            for method in &methods {
                let task = Task {
                    axis: *axis,
                    quick: self.quick,
                    number: 0,
                    method: *method,
                    seed: self.seed,
                    data: folder.path().into(),
                };
                let curve = curve(task, &mut || bar.inc(1))?;
                bar.suspend(|| say!("{}", line(axis.as_str(), &curve)));
                curves.push(curve);
            }
            axes.push(Growth {
                axis: axis.as_str().into(),
                what: axis.what().into(),
                setting: axis.setting(self.quick),
                curves,
            });
        }
        bar.finish_and_clear();
        let page = self.page(axes);
        files::write(&self.out.join("scaling.json"), page.to_json()?.as_bytes())?;
        let report = self.out.join("report.html");
        files::write(&report, render(&page)?.as_bytes())?;
        say!("report: {}", report.display());
        Ok(())
    }

    fn page(&self, axes: Vec<Growth>) -> Page {
        let e = Size {
            layers: CONVEX,
            steps: 1,
            by: By::Global,
        }
        .experiment();
        let Counts { train, valid, .. } = EXAMPLES;
        Page {
            settings: named(&[
                ("batch", e.batch.to_string()),
                ("rate", e.rate.to_string()),
                ("momentum", e.momentum.to_string()),
                ("training examples", train.to_string()),
                ("validation examples", valid.to_string()),
                (
                    "products of implicit differentiation",
                    ITERATIONS.to_string(),
                ),
                ("runs of a size", format!("up to {RUNS}, within {ENOUGH} s")),
                (
                    "sizes",
                    if self.quick { "quick" } else { "all" }.to_string(),
                ),
                ("seed", self.seed.to_string()),
            ]),
            versions: versions(Rounding::Fused),
            axes,
        }
    }
}

/// A method along an axis.
fn curve(mut task: Task, each: &mut dyn FnMut()) -> Result<Curve> {
    let (axis, method) = (task.axis, task.method);
    let theory = axis.theory(&method);
    let mut curve = Curve::new(method.describe(), method.name.family(), theory);
    for (number, size) in axis.sizes(task.quick).iter().enumerate() {
        task.number = number;
        let experiment = size.experiment();
        match refused(axis, &method, &experiment, &curve) {
            Some(absent) => curve.absent.push(absent),
            None => match apart(&task)? {
                Ok(point) => curve.push(point),
                Err(why) => curve.absent.push(Absent {
                    size: axis.place(&experiment),
                    bytes: None,
                    why,
                }),
            },
        }
        each();
    }
    Ok(curve)
}

/// Why a size is not tried.
fn refused(axis: Axis, method: &Method, e: &Experiment, curve: &Curve) -> Option<Absent> {
    let size = axis.place(e);
    let absent = |bytes, why| Some(Absent { size, bytes, why });
    if method.name == Name::Forward && e.hypers() > MOST_TANGENTS {
        // Tangents of weights, velocity and gradient.
        let bytes = 12.0 * e.hypers() as f64 * e.weights() as f64;
        return absent(Some(bytes), format!("more than {MOST_TANGENTS} tangents"));
    }
    if method.name == Name::Reversed {
        let schedule = Schedule {
            groups: Groups::global(e.weights()),
            optimizer: Optimizer::HeavyBall,
            rates: &[e.rate],
            momenta: &[e.momentum],
        };
        let reach = Reversed::reach(&schedule, e.steps);
        if reach < e.steps {
            return absent(
                None,
                format!("runs backwards for {reach} steps in floating point"),
            );
        }
    }
    let last = curve.points.last()?;
    let grown =
        |exponent: Option<f64>| (size as f64 / last.size as f64).powf(exponent.unwrap_or(0.0));
    let bytes = 4.0 * last.floats as f64 * grown(curve.theory.floats);
    let most = memory::free().map_or(MOST_BYTES, |free| MOST_BYTES.min(free as f64));
    if bytes > most {
        return absent(Some(bytes), "too much memory".into());
    }
    let seconds = last.forward_seconds * grown(curve.theory.forward)
        + last.backward_seconds * grown(curve.theory.backward);
    if seconds > MOST_SECONDS {
        return absent(None, format!("some {seconds:.0} seconds"));
    }
    None
}

/// A size in a process of its own; how it failed, where it did.
fn apart(task: &Task) -> Result<Result<Point, String>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(program)
        .arg("measure")
        .arg(serde_json::to_string(task)?)
        .stdin(Stdio::null())
        .output()
        .context("cannot start a process for one size")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let error = errors.trim().trim_start_matches("drmad: ");
        return Ok(Err(match error {
            "" => format!("ended early: {}", output.status),
            error => format!("failed: {error}"),
        }));
    }
    let Ok(point) = serde_json::from_slice(&output.stdout) else {
        bail!("a process for one size printed no point");
    };
    Ok(Ok(point))
}
