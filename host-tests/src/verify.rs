//! `drmad check`: every identity on every objective and method, with its error and its tolerance.
//!
//! Objectives are checked in f64 on a small network over real digits; methods by training it for a
//! few steps and comparing the sweep with finite differences of the whole training, and the
//! approximate ones with the exact one by their angle.

use std::cell::Cell;

use anyhow::{Result, bail};
use drmad::Fused;
use drmad::check::{Deviation, Probes, objective, required_len};
use drmad::forward::{Forward, Wrt};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::implicit::{self, Implicit, Solver};
use drmad::kernels::reduce::cosine;
use drmad::models::{
    Beside, Examples, LearnedInputs, Logistic, Mlp, Pixels, Quadratic, Smoothed, SoftLabels,
    SparsePixels, Weighted,
};
use drmad::objective::{At, Objective};
use drmad::outer::Parametrisation;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Knots, Legendre, Line, Mark, Path, Plan, Quantised, Reversible,
    Tape,
};
use drmad::random::{Batches, Normal, Origin, choose};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{Coupled, Coupling, L1, L2, Scaled, Strength, Tasks};

use crate::data::Dataset;
use crate::tolerances;

const CLASSES: usize = 10;
const WIDTHS: &[usize] = &[784, 6, 5, CLASSES];
const STEPS: usize = 60;

/// One line of the table.
struct Row {
    what: String,
    identity: &'static str,
    error: f64,
    tolerance: Option<f64>,
}

impl Row {
    fn print(&self) -> bool {
        let passed = self
            .tolerance
            .is_none_or(|tolerance| self.error <= tolerance);
        let tolerance = self
            .tolerance
            .map_or("reported".to_string(), |t| format!("{t:.0e}"));
        let verdict = match (self.tolerance, passed) {
            (None, _) => "",
            (_, true) => "ok",
            (_, false) => "FAILED",
        };
        say!(
            "{:<34} {:<28} {:>10.1e} {:>9} {verdict}",
            self.what,
            self.identity,
            self.error,
            tolerance
        );
        passed
    }
}

/// Normal numbers of this scale, a function of the seed.
fn probe(seed: u64, n: usize, scale: f64) -> Vec<f64> {
    let normal = Normal {
        seed,
        groups: Groups::global(n),
        log_scales: &[scale.ln()],
    };
    let mut x = vec![0.0; n];
    normal.fill(0, &mut x);
    x
}

fn check_objective<O: Objective>(what: &str, loss: &O, hyper: f64) -> Result<bool> {
    let (p, h) = (loss.weights(), loss.hypers());
    let w = probe(11, p, 0.3);
    let hyper: Vec<f64> = probe(12, h, 0.1).iter().map(|x| x + hyper).collect();
    let (d, e, q) = (probe(13, p, 1.0), probe(14, p, 1.0), probe(15, h, 1.0));
    let batch: Vec<u32> = (0..20).collect();
    let mut scratch = vec![0.0; required_len(loss)];
    let at = At {
        w: &w,
        h: &hyper,
        batch: &batch,
    };
    let probes = Probes {
        d: &d,
        e: &e,
        q: &q,
        step: 1e-5,
    };
    let mut passed = true;
    objective(
        loss,
        at,
        probes,
        &mut scratch,
        &mut |deviation: Deviation| {
            let tolerance = match deviation.identity {
                "symmetry of H" | "adjoints of the tangents" => tolerances::CHECK_SYMMETRY,
                "H d by dual numbers"
                | "M d by dual numbers"
                | "H d is added"
                | "gradient beside the products"
                | "tangents by dual numbers"
                | "gradient beside the tangents" => tolerances::CHECK_DUAL,
                _ => tolerances::CHECK_DIFFERENCES,
            };
            passed &= Row {
                what: what.to_string(),
                identity: deviation.identity,
                error: deviation.error(),
                tolerance: Some(tolerance),
            }
            .print();
        },
    )?;
    Ok(passed)
}

/// A training in f64 as a function of all its hyperparameters.
struct Training<'a> {
    pixels: Pixels<'a>,
    valid: Pixels<'a>,
    groups: Groups<'a>,
    tensors: Groups<'a>,
}

/// All hyperparameters of a [`Training`], in f64.
#[derive(Clone)]
struct Hypers {
    /// Logarithms of scales, then of penalties.
    log_h: Vec<f64>,
    rates: Vec<f64>,
    momenta: Vec<f64>,
    log_scales: Vec<f64>,
}

/// Scales and a penalty of a network.
type Penalised<'a> = L2<'a, Scaled<'a, Mlp<'a, Pixels<'a>, Fused>>>;

/// Which path a [`Training`] is swept over.
type MakePath<'m> = dyn Fn(&Normal<'_, f64>, &mut dyn FnMut(&mut dyn Path<Fused, f64>) -> Result<f64>) -> Result<f64>
    + 'm;

impl Training<'_> {
    /// Calls `body` with the training's run, the validation loss and the initial weights.
    fn with<R>(
        &self,
        at: &Hypers,
        body: impl FnOnce(
            &Run<'_, Fused, f64>,
            &Validation<'_, Fused, f64>,
            &Normal<'_, f64>,
        ) -> Result<R>,
    ) -> Result<R> {
        let network = |pixels| Mlp::<_, Fused>::new(pixels, WIDTHS, 10);
        let mut h = at.log_h.clone();
        Parametrisation::Log.value::<Fused, _>(&mut h);
        let penalised = |pixels, strength| -> Result<Penalised<'_>> {
            let scaled = Scaled {
                inner: network(pixels)?,
                groups: self.groups,
            };
            Ok(L2::new(scaled, strength))
        };
        let training = penalised(self.pixels, Strength::Tuned(self.groups))?;
        let outside = penalised(self.valid, Strength::Off(self.groups))?;
        let run = Run {
            objective: &training,
            h: &h,
            schedule: Schedule {
                rule: Rule::HeavyBall,
                groups: self.tensors,
                rates: &at.rates,
                momenta: &at.momenta,
            },
            batches: Batches {
                seed: 5,
                examples: self.pixels.chosen.len(),
                size: 20,
            },
            steps: STEPS,
        };
        let origin = Normal {
            seed: 6,
            groups: self.tensors,
            log_scales: &at.log_scales,
        };
        let examples: Vec<u32> = (0..self.valid.chosen.len() as u32).collect();
        let validation = Validation {
            objective: &outside,
            examples: &examples,
        };
        body(&run, &validation, &origin)
    }

    /// The derivatives by a few of the hyperparameters, in forward mode.
    fn forward(&self, at: &Hypers, wrt: &[Wrt]) -> Result<Vec<f64>> {
        self.with(at, |run, validation, origin| {
            let (p, h) = (run.objective.weights(), run.h.len());
            let (rule, count) = (run.schedule.rule, wrt.len());
            let scratch = run.forward_scratch_len(validation, count);
            let len = Forward::<f64>::required_len(p, h, rule, count, scratch);
            let mut buffer = vec![0.0; len];
            let mut forward = Forward::new(&mut buffer, run, wrt)?;
            forward.start(origin)?;
            let mut batch = vec![0; run.batches.size];
            run.forward(0..STEPS, &mut forward, &mut batch, &mut |_, _| ())?;
            let mut d = vec![0.0; count];
            run.hypergradient(validation, &mut forward, &mut d)?;
            for (d, wrt) in d.iter_mut().zip(wrt) {
                if let Wrt::Hyper(i) = *wrt {
                    Parametrisation::Log.pull_back(&run.h[i..=i], std::slice::from_mut(d))?;
                }
            }
            Ok(d)
        })
    }

    /// The validation loss, and the derivative of it by everything where `into` is given.
    fn evaluate(
        &self,
        at: &Hypers,
        make: &MakePath<'_>,
        mut into: Option<&mut Hypers>,
    ) -> Result<f64> {
        self.with(at, |run, validation, origin| {
            let (p, rule) = (run.objective.weights(), run.schedule.rule);
            let scratch = run.scratch_len(validation);
            let len = Workspace::<f64>::required_len(p, scratch, rule, true);
            let mut buffer = vec![0.0; len];
            let mut batch = vec![0; run.batches.size];
            make(origin, &mut |path| {
                let mut workspace = Workspace::new(&mut buffer, p, rule, true)?;
                run.walk(origin, path, &mut workspace, &mut batch, &mut |_, _| ())?;
                let Some(into) = &mut into else {
                    let at = At {
                        w: workspace.w,
                        h: run.h,
                        batch: validation.examples,
                    };
                    return Ok(validation.objective.loss(at, workspace.scratch)?);
                };
                let wanted = Wanted {
                    d_h: &mut into.log_h,
                    schedule: Some((&mut into.rates, &mut into.momenta)),
                };
                let outcome = run.back(validation, path, &mut workspace, &mut batch, wanted)?;
                Parametrisation::Log.pull_back(run.h, &mut into.log_h)?;
                let mut w0 = vec![0.0; p];
                origin.fill(0, &mut w0);
                origin.adjoint(&w0, workspace.d_w, &mut into.log_scales)?;
                Ok(outcome.valid_loss)
            })
        })
    }
}

/// Runs all checks and prints them.
///
/// # Errors
/// Any identity beyond its tolerance, after all have been printed.
pub fn run(data: &Dataset) -> Result<()> {
    let mut chosen = vec![0; 60];
    choose(3, &mut vec![0; data.train.len()], &mut chosen)?;
    let (train, valid) = chosen.split_at(40);
    let pixels = |chosen| Pixels {
        bytes: &data.train.pixels,
        labels: &data.train.labels,
        width: data.train.width(),
        chosen,
        mean: data.mean_pixel(),
    };
    if data.train.width() != WIDTHS[0] || data.classes() > CLASSES {
        bail!("check works on images of 784 pixels in at most 10 classes");
    }
    say!(
        "{:<34} {:<28} {:>10} {:>9}",
        "objective",
        "identity",
        "error",
        "tolerance"
    );
    let network = || Mlp::<_, Fused>::new(pixels(train), WIDTHS, 7);
    let layout = Layout::Layers(WIDTHS);
    let groups = |by, biases| Groups { layout, by, biases };
    let units = groups(Granularity::Unit, false);
    let mut passed = true;
    let curvature: Vec<f32> = (1..=9).map(|i| i as f32).collect();
    passed &= check_objective("quadratic", &Quadratic::<Fused>::new(&curvature), 0.0)?;
    passed &= check_objective(
        "logistic",
        &Logistic::<_, Fused>::new(pixels(train), CLASSES)?,
        0.0,
    )?;
    passed &= check_objective("mlp", &network()?, 0.0)?;
    let sparse = SparsePixels {
        images: data.train.lists()?,
        labels: &data.train.labels,
        chosen: train,
        mean: data.mean_pixel(),
    };
    let on_lists = Mlp::<_, Fused>::new(sparse, WIDTHS, 7)?;
    passed &= check_objective("mlp (sparse)", &on_lists, 0.0)?;
    for (name, groups) in [
        ("scaled by global", groups(Granularity::Global, true)),
        ("scaled by layer", groups(Granularity::Layer, true)),
        ("scaled by unit", units),
        ("scaled by parameter", groups(Granularity::Parameter, true)),
    ] {
        let inner = network()?;
        passed &= check_objective(name, &Scaled { inner, groups }, 1.2)?;
    }
    let tuned = Strength::Tuned(units);
    passed &= check_objective("l2", &L2::new(network()?, tuned), 0.2)?;
    passed &= check_objective("l1", &L1::new(network()?, tuned), 0.2)?;
    passed &= check_objective(
        "l2 (l1 (mlp))",
        &L2::new(L1::new(network()?, tuned), tuned),
        0.2,
    )?;
    let fixed = Strength::Fixed(0.02, Groups::global(layout.weights()));
    let scaled = Scaled {
        inner: network()?,
        groups: units,
    };
    passed &= check_objective("fixed l2 (scaled (mlp))", &L2::new(scaled, fixed), 1.2)?;
    passed &= check_objective(
        "coupled columns (logistic)",
        &Coupled {
            inner: Logistic::<_, Fused>::new(pixels(train), 10)?,
            coupling: Coupling::Tuned(Tasks::Interleaved(10)),
        },
        0.3,
    )?;
    passed &= check_objective(
        "coupled pieces (mlp)",
        &Coupled {
            inner: network()?,
            coupling: Coupling::Tuned(Tasks::Stacked(5)),
        },
        0.3,
    )?;

    passed &= check_examples(pixels(train))?;

    say!("");
    say!(
        "{:<34} {:<28} {:>10} {:>9}",
        "method",
        "identity",
        "error",
        "tolerance"
    );
    passed &= check_methods(&Training {
        pixels: pixels(train),
        valid: pixels(valid),
        groups: units,
        tensors: groups(Granularity::Tensor, true),
    })?;
    passed &= check_implicit(pixels(train), pixels(valid))?;
    if passed {
        say!("all identities hold");
        Ok(())
    } else {
        bail!("some identities do not hold: see FAILED above");
    }
}

/// Every kind of hyperparameter in the examples, of a network and of a softmax regression.
fn check_examples(inner: Pixels<'_>) -> Result<bool> {
    fn both<D: Examples + Copy>(what: &str, examples: D, hyper: f64) -> Result<bool> {
        let network = Mlp::<_, Fused>::new(examples, WIDTHS, 7)?;
        let regression = Logistic::<_, Fused>::new(examples, CLASSES)?;
        let passed = check_objective(&format!("mlp ({what})"), &network, hyper)?;
        Ok(passed & check_objective(&format!("logistic ({what})"), &regression, hyper)?)
    }
    let classes = CLASSES;
    let smoothed = |by_label| Smoothed {
        inner,
        classes,
        by_label,
    };
    let soft = SoftLabels { inner, classes };
    let all = Weighted {
        inner: LearnedInputs {
            inner: Smoothed {
                inner: soft,
                classes,
                by_label: false,
            },
        },
    };
    let mut passed = both("weighted", Weighted { inner }, 1.0)?;
    passed &= both("soft labels", soft, 0.1)?;
    passed &= both("smoothed", smoothed(false), 0.2)?;
    passed &= both("smoothed by label", smoothed(true), 0.2)?;
    passed &= both("learned inputs", LearnedInputs { inner }, 0.0)?;
    passed &= both("beside", Beside { inner, hypers: 3 }, 0.0)?;
    passed &= both("all at once", all, 0.3)?;
    Ok(passed)
}

fn check_methods(training: &Training<'_>) -> Result<bool> {
    let p = Layout::Layers(WIDTHS).weights();
    let (units, tensors) = (training.groups.len(), training.tensors.len());
    let mut log_h = vec![0.2; units];
    log_h.resize(2 * units, -5.0);
    let at = Hypers {
        log_h,
        rates: vec![0.3; tensors * STEPS],
        momenta: vec![0.7; tensors * STEPS],
        log_scales: vec![-2.0; tensors],
    };
    let zero = Hypers {
        log_h: vec![0.0; at.log_h.len()],
        rates: vec![0.0; at.rates.len()],
        momenta: vec![0.0; at.momenta.len()],
        log_scales: vec![0.0; tensors],
    };
    let tape: &MakePath<'_> = &|_, sweep| {
        let mut storage = vec![0.0; Tape::<f64>::required_len(p, STEPS, 1)];
        sweep(&mut Tape::new(p, STEPS, 1, &mut storage)?)
    };
    let mut exact = zero.clone();
    training.evaluate(&at, tape, Some(&mut exact))?;

    // The derivative by each kind along a random direction, against whole trainings.
    type Kind = fn(&mut Hypers) -> &mut Vec<f64>;
    let kinds: [(&'static str, Kind); 4] = [
        ("scales and penalties", |x| &mut x.log_h),
        ("rates", |x| &mut x.rates),
        ("momenta", |x| &mut x.momenta),
        ("initial scales", |x| &mut x.log_scales),
    ];
    let mut passed = true;
    for (i, (identity, of)) in kinds.into_iter().enumerate() {
        let direction = probe(20 + i as u64, of(&mut exact).len(), 1.0);
        let got: f64 = of(&mut exact)
            .iter()
            .zip(&direction)
            .map(|(x, d)| x * d)
            .sum();
        let mut losses = [0.0; 2];
        let step = 1e-5;
        for (loss, s) in losses.iter_mut().zip([-step, step]) {
            let mut moved = at.clone();
            for (x, d) in of(&mut moved).iter_mut().zip(&direction) {
                *x += s * d;
            }
            *loss = training.evaluate(&moved, tape, None)?;
        }
        let want = (losses[1] - losses[0]) / (2.0 * step);
        passed &= Row {
            what: "tape".to_string(),
            identity,
            error: (got - want).abs() / want.abs().max(1e-3),
            tolerance: Some(tolerances::CHECK_TRAINING),
        }
        .print();
    }

    let checkpoints: &MakePath<'_> = &|_, sweep| {
        let mut storage = vec![0.0; Checkpoints::<f64>::required_len(p, 5, 1)];
        let mut marks = [Mark::default(); 5];
        let mut path = Checkpoints::new(p, STEPS, 1, &mut storage, &mut marks)?;
        sweep(&mut path)
    };
    let mut again = zero.clone();
    training.evaluate(&at, checkpoints, Some(&mut again))?;
    let mut differing = 0;
    for (_, of) in kinds {
        let pairs = of(&mut again).iter().zip(of(&mut exact).iter());
        differing += pairs.filter(|(x, y)| x.to_bits() != y.to_bits()).count();
    }
    passed &= Row {
        what: "checkpoints, S = 5".to_string(),
        identity: "numbers unlike the tape's",
        error: differing as f64,
        tolerance: Some(0.0),
    }
    .print();

    // A few of each kind, a scale and a penalty among them.
    let few = [
        Wrt::Hyper(units / 2),
        Wrt::Hyper(units + units / 2),
        Wrt::Rate(0),
        Wrt::Rate(tensors * (STEPS - 1)),
        Wrt::Momentum(0),
    ];
    let got = training.forward(&at, &few)?;
    let want = [
        exact.log_h[units / 2],
        exact.log_h[units + units / 2],
        exact.rates[0],
        exact.rates[tensors * (STEPS - 1)],
        exact.momenta[0],
    ];
    let errors = got.iter().zip(want).map(|(x, y)| (x - y).abs() / y.abs());
    passed &= Row {
        what: "forward".to_string(),
        identity: "against the tape",
        error: errors.fold(0.0, f64::max),
        tolerance: Some(tolerances::CHECK_DUAL),
    }
    .print();

    let grid = Grid {
        steps: STEPS,
        intervals: 8,
        spacing: Grid::SPACING,
    };
    let hats_full: &MakePath<'_> = &|origin, sweep| {
        let mut storage = vec![0.0; Full::<f64>::required_len(p, 8)];
        let mut factors = [0.0; 9];
        let rows = Full::new(p, 8, &mut storage)?;
        sweep(&mut Hats::new(p, grid, *origin, rows, &mut factors)?)
    };
    let hats_11: &MakePath<'_> = &|origin, sweep| {
        let mut storage = vec![0; Quantised::<11>::required_len(p, 8)];
        let mut factors = [0.0; 9];
        let rows = Quantised::<11>::new(p, 8, &mut storage)?;
        sweep(&mut Hats::new(p, grid, *origin, rows, &mut factors)?)
    };
    let left_over = Cell::new(true);
    let reversible: &MakePath<'_> = &|_, sweep| {
        let mut storage = vec![0; Reversible::required_len(p, STEPS, 0.7)];
        let mut path = Reversible::new(p, STEPS, 0.7, &mut storage)?;
        let loss = sweep(&mut path)?;
        left_over.set(!path.is_at_start());
        Ok(loss)
    };
    let knots: &MakePath<'_> = &|origin, sweep| {
        let mut storage = vec![0.0; Full::<f64>::required_len(p, 16)];
        let rows = Full::new(p, 16, &mut storage)?;
        sweep(&mut Knots::<f64, _, _>::new(p, 16, *origin, rows)?)
    };
    let hermite: &MakePath<'_> = &|origin, sweep| {
        let mut storage = [(); 2].map(|()| vec![0.0; Full::<f64>::required_len(p, 17)]);
        let [rows, changes] = &mut storage;
        let (rows, changes) = (Full::new(p, 16, rows)?, Full::new(p, 17, changes)?);
        sweep(&mut Knots::<f64, _, _>::hermite(
            p, 16, *origin, rows, changes,
        )?)
    };
    let legendre: &MakePath<'_> = &|_, sweep| {
        let mut storage = vec![0.0; Legendre::<f64>::required_len(p, 8)];
        sweep(&mut Legendre::<f64>::new(p, STEPS, 8, &mut storage)?)
    };
    let line: &MakePath<'_> = &|origin, sweep| sweep(&mut Line::new(*origin, STEPS));
    let published: &MakePath<'_> =
        &|origin, sweep| sweep(&mut Line::new(*origin, STEPS).with(Plan::published(STEPS)));
    for (what, path, tolerance) in [
        (
            "hats, K = 8, in full",
            hats_full,
            Some(tolerances::CHECK_HATS),
        ),
        (
            "hats, K = 8, 11 levels",
            hats_11,
            Some(tolerances::CHECK_HATS_11_LEVELS),
        ),
        ("reversible", reversible, Some(tolerances::CHECK_REVERSIBLE)),
        ("knots, K = 16, in full", knots, None),
        ("hermite, K = 16, in full", hermite, None),
        ("legendre, r = 8", legendre, None),
        ("line", line, None),
        ("line-published", published, None),
    ] {
        let mut got = zero.clone();
        training.evaluate(&at, path, Some(&mut got))?;
        passed &= Row {
            what: what.to_string(),
            identity: "1 - cosine to tape, by h",
            error: 1.0 - cosine(&got.log_h, &exact.log_h),
            tolerance,
        }
        .print();
    }
    passed &= Row {
        what: "reversible".to_string(),
        identity: "bits left over at w_0",
        error: f64::from(u8::from(left_over.get())),
        tolerance: Some(0.0),
    }
    .print();
    Ok(passed)
}

/// Implicit differentiation against the tape, on a softmax regression whose penalties make it strongly
/// convex, trained until nothing moves.
fn check_implicit(train: Pixels<'_>, valid: Pixels<'_>) -> Result<bool> {
    const WIDTHS: &[usize] = &[784, 10];
    let groups = Groups {
        layout: Layout::Layers(WIDTHS),
        by: Granularity::Unit,
        biases: true,
    };
    let model = |pixels| Mlp::<_, Fused>::new(pixels, WIDTHS, 10);
    let training = L2::new(model(train)?, Strength::Tuned(groups));
    let outside = L2::new(model(valid)?, Strength::Off(groups));
    let (p, units, steps) = (groups.weights(), groups.len(), 120);
    let h: Vec<f64> = probe(30, units, 0.1).iter().map(|x| 1.0 + x).collect();
    let run = Run {
        objective: &training,
        h: &h,
        schedule: Schedule {
            rule: Rule::HeavyBall,
            groups: Groups::global(p),
            rates: &[0.2],
            momenta: &[0.5],
        },
        batches: Batches {
            seed: 5,
            examples: train.chosen.len(),
            size: train.chosen.len(),
        },
        steps,
    };
    let all = |n: usize| -> Vec<u32> { (0..n as u32).collect() };
    let (train, valid) = (all(train.chosen.len()), all(valid.chosen.len()));
    let validation = Validation {
        objective: &outside,
        examples: &valid,
    };
    let scratch = implicit::scratch_len(&training, &outside);
    let mut buffer = vec![0.0; Workspace::<f64>::required_len(p, scratch, Rule::HeavyBall, false)];
    let mut workspace = Workspace::new(&mut buffer, p, Rule::HeavyBall, false)?;
    let mut storage = vec![0.0; Tape::<f64>::required_len(p, steps, 0)];
    let mut tape = Tape::new(p, steps, 0, &mut storage)?;
    let (origin, mut batch) = (probe(31, p, 0.1), vec![0; train.len()]);
    let start = &origin[..];
    run.walk(
        &start,
        &mut tape,
        &mut workspace,
        &mut batch,
        &mut |_, _| (),
    )?;

    // They leave the weights and the path to the sweep.
    let mut solved = Vec::new();
    for (what, solver) in [
        ("implicit, conjugate gradients", Solver::ConjugateGradients),
        ("implicit, Neumann series", Solver::Neumann { rate: 0.1 }),
    ] {
        let settings = Implicit {
            examples: &train,
            solver,
            iterations: 200,
            tolerance: 1e-13,
            damping: 0.0,
        };
        let mut d_h = vec![0.0; units];
        run.implicit(&validation, &settings, &mut workspace, &mut d_h)?;
        solved.push((what, d_h));
    }
    let mut exact = vec![0.0; units];
    let wanted = Wanted {
        d_h: &mut exact,
        schedule: None,
    };
    run.back(&validation, &mut tape, &mut workspace, &mut batch, wanted)?;

    let greatest = |x: &mut dyn Iterator<Item = f64>| x.fold(0.0, |a: f64, b| a.max(b.abs()));
    let size = greatest(&mut exact.iter().copied());
    let mut passed = true;
    for (what, d_h) in solved {
        let difference = greatest(&mut d_h.iter().zip(&exact).map(|(got, want)| got - want));
        passed &= Row {
            what: what.to_string(),
            identity: "tape, converged, by h",
            error: difference / size,
            tolerance: Some(tolerances::CHECK_IMPLICIT),
        }
        .print();
    }
    Ok(passed)
}
