//! `drmad check`: every identity on the losses of described trainings, and every method on a training, with its error
//! and its tolerance.
//!
//! Losses are checked in f64 on a small network over real digits; methods by training it for a
//! few steps and comparing the sweep with finite differences of the whole training, and the
//! approximate ones with the exact one by their angle.

use anyhow::{Result, bail};
use drmad::Fused;
use drmad::check::{Deviation, Probes, objective, required_len};
use drmad::group::{Granularity, Groups};
use drmad::kernels::reduce::cosine;
use drmad::layers::Layer::{Dense, Relu, Tanh};
use drmad::method::{Method, Recall, Sweep};
use drmad::models::{Pixels, SparsePixels};
use drmad::network::{Loss, Network};
use drmad::objective::{At, Objective};
use drmad::path::Levels;
use drmad::random::{InitialWeights, Normal, choose};
use drmad::training::{Losses, Model, NetworkLoss, On, Source, Training, Tuned, What};

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

fn check_loss(what: &str, loss: &NetworkLoss<'_, Fused>, hyper: f64) -> Result<bool> {
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

/// A training of the small network on so many digits.
fn small(tuned: &[Tuned], sparse: bool) -> Training<'_> {
    let model = Model::Widths {
        widths: WIDTHS,
        sparse,
    };
    Training {
        tuned,
        valid_examples: 20,
        // Below those that it is tuned from.
        momentum: 0.7,
        batch: 20,
        microbatch: Some(7),
        seed: 5,
        ..Training::new(model, 40, STEPS)
    }
}

/// Every kind of block that a loss knows of, on dense and on sparse rows, and other layers and losses.
fn check_losses(dense: &dyn Source, sparse: &dyn Source) -> Result<bool> {
    let by = |what, by| vec![Tuned::new(what, by)];
    let unit = Granularity::Unit;
    let blocks = [
        ("network", vec![], 0.0),
        ("scales, global", by(What::Scale, Granularity::Global), 1.2),
        ("scales by layer", by(What::Scale, Granularity::Layer), 1.2),
        ("scales by unit", by(What::Scale, unit), 1.2),
        (
            "scales by weight",
            by(What::Scale, Granularity::Parameter),
            1.2,
        ),
        ("penalties by unit", by(What::Penalty, unit), 0.2),
        ("weights of examples", by(What::ExampleWeight, unit), 1.0),
        ("inputs of examples", by(What::Input, unit), 0.0),
        (
            "weights, scales and penalties",
            [What::ExampleWeight, What::Scale, What::Penalty]
                .map(|what| Tuned::new(what, unit))
                .to_vec(),
            0.7,
        ),
    ];
    let mut passed = true;
    for (what, tuned, hyper) in &blocks {
        for (rows, source, sparse) in [("dense", dense, false), ("sparse", sparse, true)] {
            let loss = Training {
                l2: 0.02,
                ..small(tuned, sparse)
            }
            .loss(source)?;
            passed &= check_loss(&format!("{what}, {rows}"), &loss, *hyper)?;
        }
    }
    for (what, loss) in [
        ("ReLU", Loss::CrossEntropy),
        ("squared error", Loss::SquaredError),
    ] {
        let network = Network {
            inputs: WIDTHS[0],
            layers: &[Dense(6), Relu, Dense(5), Tanh, Dense(CLASSES)],
            loss,
        };
        let tuned = by(What::ExampleWeight, unit);
        let model = Model::Network {
            network,
            sparse: false,
        };
        let training = Training {
            model,
            ..small(&tuned, false)
        };
        passed &= check_loss(what, &training.loss(dense)?, 1.0)?;
    }
    Ok(passed)
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
    let header = |what| {
        say!(
            "{:<34} {:<28} {:>10} {:>9}",
            what,
            "identity",
            "error",
            "tolerance"
        );
    };
    header("loss");
    let sparse = SparsePixels {
        images: data.train.lists()?,
        labels: &data.train.labels,
        chosen: train,
        mean: data.mean_pixel(),
    };
    let (train, valid) = (pixels(train), pixels(valid));
    let mut passed = check_losses(&train, &sparse)?;
    say!("");
    header("method");
    passed &= check_methods(&train, &valid)?;
    passed &= check_forward(&train, &valid)?;
    passed &= check_implicit(&train, &valid)?;
    if passed {
        say!("all identities hold");
        Ok(())
    } else {
        bail!("some identities do not hold: see FAILED above");
    }
}

/// The validation loss and the hypergradient by a method.
fn hypergradient(
    training: &Training<'_>,
    method: Method,
    on: On<'_, Fused, f64>,
    h: &[f64],
) -> Result<(f64, Vec<f64>)> {
    let mut memory = vec![0.0; training.need::<f64>(method).len()];
    let mut d_h = vec![0.0; h.len()];
    let found = training.hypergradient(method, on, h, &mut d_h, &mut memory)?;
    Ok((found.valid_loss, d_h))
}

const fn each_step(what: What, by: Granularity) -> Tuned {
    Tuned {
        each_step: true,
        ..Tuned::new(what, by)
    }
}

/// What all blocks begin with.
fn start(training: &Training<'_>) -> Vec<f64> {
    let mut h = vec![];
    for (block, range) in training.hypers().blocks() {
        let start = match block.what {
            What::Scale => 0.2,
            What::Penalty => -5.0,
            What::Rate => -1.2,
            What::Momentum => 0.85,
            _ => -2.0,
        };
        h.extend(range.map(|_| start));
    }
    h
}

fn check_methods(train: &dyn Source, valid: &dyn Source) -> Result<bool> {
    const TUNED: &[Tuned] = &[
        Tuned::new(What::Scale, Granularity::Unit),
        Tuned::new(What::Penalty, Granularity::Unit),
        each_step(What::Rate, Granularity::Tensor),
        each_step(What::Momentum, Granularity::Tensor),
        Tuned::new(What::InitialScale, Granularity::Tensor),
    ];
    let training = small(TUNED, false);
    let losses: Losses<'_, Fused> = training.losses(train, valid)?;
    let h = start(&training);
    let by = |method, h: &[f64]| hypergradient(&training, method, losses.on(), h);
    let (_, exact) = by(Method::TAPE, &h)?;

    // The derivative by each kind along a random direction, against whole trainings.
    let mut passed = true;
    for (i, (block, range)) in training.hypers().blocks().enumerate() {
        let direction = probe(20 + i as u64, range.len(), 1.0);
        let pairs = exact[range.clone()].iter().zip(&direction);
        let got: f64 = pairs.map(|(x, d)| x * d).sum();
        let mut ends = [0.0; 2];
        let step = 1e-5;
        for (loss, s) in ends.iter_mut().zip([-step, step]) {
            let mut moved = h.clone();
            for (x, d) in moved[range.clone()].iter_mut().zip(&direction) {
                *x += s * d;
            }
            *loss = by(Method::Sweep(Sweep::over(Recall::Line)), &moved)?.0;
        }
        let want = (ends[1] - ends[0]) / (2.0 * step);
        passed &= Row {
            what: "tape".to_string(),
            identity: match block.what {
                What::Scale => "scales",
                What::Penalty => "penalties",
                What::Rate => "rates",
                What::Momentum => "momenta",
                _ => "initial scales",
            },
            error: (got - want).abs() / want.abs().max(1e-3),
            tolerance: Some(tolerances::CHECK_TRAINING),
        }
        .print();
    }

    let few = Recall::Checkpoints { snapshots: 5 };
    let (_, again) = by(Method::Sweep(Sweep::over(few)), &h)?;
    let pairs = again.iter().zip(&exact);
    let differing = pairs.filter(|(x, y)| x.to_bits() != y.to_bits()).count();
    passed &= Row {
        what: "checkpoints, S = 5".to_string(),
        identity: "numbers unlike the tape's",
        error: differing as f64,
        tolerance: Some(0.0),
    }
    .print();

    let of_the_loss = 2 * (training.hypers().blocks().next()).map_or(0, |(_, range)| range.len());
    let hats = |levels| Recall::Hats {
        intervals: 8,
        levels,
        spacing: None,
    };
    let (intervals, levels) = (16, Levels::Full);
    for (what, recall, tolerance) in [
        (
            "hats, K = 8, in full",
            hats(Levels::Full),
            Some(tolerances::CHECK_HATS),
        ),
        (
            "hats, K = 8, 11 levels",
            hats(Levels::Eleven),
            Some(tolerances::CHECK_HATS_11_LEVELS),
        ),
        (
            "reversible",
            Recall::Reversible,
            Some(tolerances::CHECK_REVERSIBLE),
        ),
        (
            "knots, K = 16, in full",
            Recall::Knots { intervals, levels },
            None,
        ),
        (
            "hermite, K = 16, in full",
            Recall::Hermite { intervals, levels },
            None,
        ),
        ("legendre, r = 8", Recall::Legendre { polynomials: 8 }, None),
        ("line", Recall::Line, None),
        (
            "line-published",
            Recall::PublishedLine { rate_scale: 1.0 },
            None,
        ),
    ] {
        let sweep = Sweep {
            tail: Some(0),
            ..Sweep::over(recall)
        };
        let (_, got) = by(Method::Sweep(sweep), &h)?;
        passed &= Row {
            what: what.to_string(),
            identity: "1 - cosine to tape, by h",
            error: 1.0 - cosine(&got[..of_the_loss], &exact[..of_the_loss]),
            tolerance,
        }
        .print();
    }
    Ok(passed)
}

/// Forward mode against the tape, by a few of each kind.
fn check_forward(train: &dyn Source, valid: &dyn Source) -> Result<bool> {
    const TUNED: &[Tuned] = &[
        Tuned::new(What::Scale, Granularity::Layer),
        Tuned::new(What::Penalty, Granularity::Layer),
        Tuned::new(What::Rate, Granularity::Tensor),
        Tuned::new(What::Momentum, Granularity::Tensor),
        Tuned::new(What::InitialScale, Granularity::Tensor),
    ];
    let training = small(TUNED, false);
    let losses: Losses<'_, Fused> = training.losses(train, valid)?;
    let h = start(&training);
    let by = |method| hypergradient(&training, method, losses.on(), &h);
    let ((_, want), (_, got)) = (by(Method::TAPE)?, by(Method::Forward)?);
    let errors = got.iter().zip(want).map(|(x, y)| (x - y).abs() / y.abs());
    Ok(Row {
        what: "forward".to_string(),
        identity: "against the tape",
        error: errors.fold(0.0, f64::max),
        tolerance: Some(tolerances::CHECK_DUAL),
    }
    .print())
}

/// Implicit differentiation against the tape, on a softmax regression whose penalties make it strongly
/// convex, trained until nothing moves.
fn check_implicit(train: &dyn Source, valid: &dyn Source) -> Result<bool> {
    const TUNED: &[Tuned] = &[Tuned {
        parametrisation: None,
        ..Tuned::new(What::Penalty, Granularity::Parameter)
    }];
    let model = Model::Widths {
        widths: &[784, 10],
        sparse: false,
    };
    let training = Training {
        valid_examples: valid.len(),
        tuned: TUNED,
        rate: 0.2,
        momentum: 0.5,
        batch: train.len(),
        microbatch: Some(10),
        ..Training::new(model, train.len(), 120)
    };
    let losses: Losses<'_, Fused> = training.losses(train, valid)?;
    let p = training.hypers().len();
    let h: Vec<f64> = probe(30, p, 0.1).iter().map(|x| 1.0 + x).collect();
    let initial = probe(31, p, 0.1);
    let on = On {
        initial: Some(&initial[..]),
        ..losses.on()
    };
    let (_, exact) = hypergradient(&training, Method::TAPE, on, &h)?;
    let greatest = |x: &mut dyn Iterator<Item = f64>| x.fold(0.0, |a: f64, b| a.max(b.abs()));
    let size = greatest(&mut exact.iter().copied());
    let mut passed = true;
    for (what, series_rate) in [
        ("implicit, conjugate gradients", None),
        ("implicit, Neumann series", Some(0.1)),
    ] {
        let method = Method::Implicit {
            series_rate,
            iterations: 200,
            tolerance: 1e-13,
            damping: 0.0,
        };
        let (_, d_h) = hypergradient(&training, method, on, &h)?;
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
