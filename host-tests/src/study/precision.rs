//! A training run backwards with few bits (Maclaurin et al. 2015, section 2.1 and the public code of
//! their first figure): what rounding does to the backward pass, and what the information buffer saves.
//!
//! The loss is a warped valley of Rosenbrock's, of the weights `(y, x)`:
//!
//! ```text
//! R = 100 (x - y^2)^2 + (1 - y)^2 + 200 y        L = 800 / (1 + exp(-R / 500))
//! ```
//!
//! Each training is run in f32 and in half precision ([`Half`]), and reversed in floating point
//! ([`Reversed`](drmad::path::Reversed)) and in fixed point ([`Reversible`](drmad::path::Reversible)), of 32 bits or of 16. The backward pass is held against
//! the way there, bit for bit, and its hypergradient, by a rate and a momentum for each step, against
//! that of the same trajectory remembered, swept in the same arithmetic.
//!
//! Refused: weights and velocities that the fixed point of so many bits does not hold.

use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use drmad::Error;
use drmad::Scalar;
use drmad::kernels::reduce::{cosine, norm};
use drmad::kernels::reversible::Bits;
use serde::Deserialize;

use super::half::Half;
use crate::experiment::Rounding;
use crate::provenance::{named, versions};
use crate::report::findings::{Compared, Curve, Curves, Findings, Metric, Shown, Unit, Variant};

pub mod reversal;

use reversal::{BITS_16, BITS_32, Measured, Training, held, measure, truth};

/// What is trained.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The weights `(y, x)` at the start.
    pub start: [f64; 2],
    /// The trainings; the first gives the variants their plain names.
    pub trainings: Vec<Training>,
}

impl Default for Settings {
    /// Those of the public code: its first figure, its naive reversal in half precision, and that with
    /// other momenta.
    fn default() -> Self {
        let [first, naive] = [(50, -4.5, 0.99), (46, -5.5, 0.8)].map(Training::from);
        let with = |momentum| Training { momentum, ..naive };
        Settings {
            start: [1.4, 3.9],
            trainings: vec![first, with(0.9), naive, with(0.5)],
        }
    }
}

/// A way to train and to come back.
struct Numbers {
    name: &'static str,
    measure: fn([f64; 2], Training) -> Result<Measured, Error>,
    /// The momentum as its numbers hold it.
    momentum: fn(f64) -> f64,
    buffered: bool,
}

const SINGLE: fn(f64) -> f64 = |x| f64::from(x as f32);
const HALF: fn(f64) -> f64 = |x| Half::from_f64(x).to_f64();

const F32_REVERSED: &str = "f32, reversed";
const F32_BUFFER: &str = "f32, information buffer";
const HALF_REVERSED: &str = "half, reversed";
const HALF_BUFFER: &str = "half, information buffer";
const MIXED_BUFFER: &str = "16 bits with f32 gradients, information buffer";

const NUMBERS: [Numbers; 5] = [
    Numbers {
        name: F32_REVERSED,
        measure: |start, training| measure::<f32>(start, training, None),
        momentum: SINGLE,
        buffered: false,
    },
    Numbers {
        name: F32_BUFFER,
        measure: |start, training| measure::<f32>(start, training, Some(BITS_32)),
        momentum: SINGLE,
        buffered: true,
    },
    Numbers {
        name: HALF_REVERSED,
        measure: |start, training| measure::<Half>(start, training, None),
        momentum: HALF,
        buffered: false,
    },
    Numbers {
        name: HALF_BUFFER,
        measure: |start, training| measure::<Half>(start, training, Some(BITS_16)),
        momentum: HALF,
        buffered: true,
    },
    Numbers {
        name: MIXED_BUFFER,
        measure: |start, training| measure::<f32>(start, training, Some(BITS_16)),
        momentum: SINGLE,
        buffered: true,
    },
];

/// A distance that shows in the picture.
const SEEN: f64 = 0.1;

impl Numbers {
    fn variant(
        &self,
        name: String,
        training: Training,
        measured: &Result<Measured, Error>,
        truth: &[f64],
    ) -> Variant {
        let mut metrics = vec![];
        let measured = match measured {
            Ok(measured) => measured,
            Err(error) => {
                return Variant {
                    name,
                    metrics,
                    failed: Some(error.to_string()),
                };
            }
        };
        let mut metric = |name: &str, unit, value: f64| {
            metrics.push(Metric {
                name: name.into(),
                unit,
                values: vec![value],
            });
        };
        if let Some(error) = measured.at_start(training) {
            metric("error at the start", Unit::Number, error);
        }
        let reach = measured
            .errors()
            .into_iter()
            .take_while(|e| *e <= SEEN)
            .count();
        metric("steps back within 0.1", Unit::Count, reach as f64);
        metric("steps back bit for bit", Unit::Count, measured.same as f64);
        if let Some(growth) = measured.growth() {
            metric("growth of the error a step", Unit::Number, growth);
            metric("1 / momentum", Unit::Number, 1.0 / training.momentum);
        }
        if let Ok(found) = &measured.found {
            for (of, known) in [
                ("the same trajectory", &measured.exact[..]),
                ("float64", truth),
            ] {
                metric(
                    &format!("cosine to {of}"),
                    Unit::Cosine,
                    cosine(found, known),
                );
                let ratio = norm(found) / norm(known);
                metric(&format!("norm ratio to {of}"), Unit::Times, ratio);
            }
        }
        if self.buffered {
            let momentum = (self.momentum)(training.momentum);
            let held = held(momentum, training.steps);
            let a_step = held.last().map_or(f64::NAN, |h| h / training.steps as f64);
            metric("bits a number and step", Unit::Number, a_step);
            metric("log2(1 / momentum)", Unit::Number, -momentum.log2());
            metric("buffer", Unit::Bytes, measured.buffer as f64);
        }
        let failed = measured.found.as_ref().err();
        Variant {
            name,
            metrics,
            failed: failed.map(|error| format!("the sweep over the backward pass: {error}")),
        }
    }
}

fn curve(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Curve {
    let (x, y) = points.into_iter().unzip();
    Curve {
        name: name.into(),
        x,
        y: vec![y],
    }
}

fn curves(caption: String, labels: [&str; 2], log: [bool; 2], series: Vec<Curve>) -> Shown {
    let [x_label, y_label] = labels.map(String::from);
    Shown::Curves(Curves {
        caption,
        x_label,
        y_label,
        log,
        series,
    })
}

/// The ways there and back in half precision, in the plane of the weights.
fn ways(training: Training, reversed: &Measured, buffer: &Measured) -> Shown {
    let points = |places: &[[f64; 2]]| places.iter().map(|[y, x]| (*y, *x)).collect::<Vec<_>>();
    let errors = reversed.errors();
    let shown = errors.iter().take_while(|e| **e < 2.0).count();
    let series = vec![
        curve("the way there", points(&reversed.there)),
        curve("reversed", points(&reversed.back[..shown])),
        curve("there, fixed point", points(&buffer.there)),
        curve("back, information buffer", points(&buffer.back)),
    ];
    let Training {
        steps, momentum, ..
    } = training;
    let end = match reversed.at_start(training) {
        Some(error) => format!("ends {error:.2} from the start"),
        None => format!("is lost after {} steps", errors.len()),
    };
    let caption = format!(
        "{steps} steps with momentum {momentum} in half precision, and the backward passes. The naive reversal \
         {end}; it is drawn while it is within 2 of the true weights. The one with the information \
         buffer retraces the way there that was taken in 16-bit fixed point."
    );
    curves(
        caption,
        ["first weight", "second weight"],
        [false; 2],
        series,
    )
}

/// The error of a naive reversal over the steps back, for each training.
fn errors<'a>(number: &str, of: impl Iterator<Item = (Training, &'a Measured)>) -> Shown {
    let series = of.map(|(training, measured)| {
        let errors = measured.errors();
        let points = errors.into_iter().enumerate();
        let points = points.map(|(i, e)| ((i + 1) as f64, e));
        // A logarithm has no place for 0.
        let points = points.filter(|(_, e)| *e > 0.0);
        curve(format!("momentum {}", training.momentum), points)
    });
    let caption = format!(
        "How far the naive reversal in {number} is from the true weights. With the information buffer \
         the distance is 0 at every step, which a logarithmic axis cannot show."
    );
    let labels = ["steps back", "distance from the true weights"];
    curves(caption, labels, [false, true], series.collect())
}

/// The bits held over steps, beside what a product by the momentum loses.
fn bits(trainings: &[Training]) -> Shown {
    let mut series = vec![];
    for Training { momentum, .. } in trainings {
        let steps = || (0..=10).map(|k| 1 << k);
        let held = held(SINGLE(*momentum), 1 << 10);
        let held = steps().zip(steps().filter_map(|t| held.get(t - 1).copied()));
        let lost = steps().map(|t| (t, -momentum.log2() * t as f64));
        let points = |(t, bits): (usize, f64)| (t as f64, bits);
        series.push(curve(format!("held, {momentum}"), held.map(points)));
        series.push(curve(format!("lost, {momentum}"), lost.map(points)));
    }
    let caption = "What the information buffer must hold for each weight, and t log2(1 / momentum), \
                   what the product by the momentum loses. The difference is about \
                   log2(1 / (1 - momentum)), whatever the number of steps.";
    curves(
        caption.into(),
        ["steps", "bits a number"],
        [true; 2],
        series,
    )
}

/// The derivatives by the rates.
fn by_rates(of: &Trained) -> Shown {
    let steps = of.training.steps;
    let rates = |all: &[f64]| {
        let rates = all.iter().take(steps).enumerate();
        rates.map(|(t, d)| (t as f64, *d)).collect::<Vec<_>>()
    };
    let mut series = vec![curve("float64", rates(&of.truth))];
    for name in [HALF_REVERSED, HALF_BUFFER, MIXED_BUFFER] {
        let found = of
            .of(name)
            .and_then(|measured| measured.found.as_ref().ok());
        if let Some(found) = found.filter(|found| norm(found) < 10.0 * norm(&of.truth)) {
            series.push(curve(name, rates(found)));
        }
    }
    let caption = format!(
        "The hypergradient by the rate of each step, momentum {}. One that was lost, or is ten times \
         too long, is left out.",
        of.training.momentum
    );
    curves(
        caption,
        ["step", "derivative by the rate"],
        [false; 2],
        series,
    )
}

/// A training with what came of each of [`NUMBERS`].
struct Trained {
    training: Training,
    truth: Vec<f64>,
    ways: Vec<Result<Measured, Error>>,
}

impl Trained {
    fn of(&self, name: &str) -> Option<&Measured> {
        let mut ways = NUMBERS.iter().zip(&self.ways);
        let (_, of) = ways.find(|(numbers, _)| numbers.name == name)?;
        of.as_ref().ok()
    }
}

fn figures(all: &[Trained]) -> Vec<Shown> {
    let mut figures = vec![];
    for of in all {
        if let (Some(reversed), Some(buffer)) = (of.of(HALF_REVERSED), of.of(HALF_BUFFER)) {
            figures.push(ways(of.training, reversed, buffer));
        }
    }
    for (number, name) in [("half precision", HALF_REVERSED), ("f32", F32_REVERSED)] {
        let measured = all
            .iter()
            .filter_map(|of| Some((of.training, of.of(name)?)));
        figures.push(errors(number, measured));
    }
    figures.extend(all.iter().map(by_rates));
    let trainings: Vec<Training> = all.iter().map(|of| of.training).collect();
    figures.push(bits(&trainings));
    figures
}

/// The paper's two claims, in half precision.
fn compared(all: &[Trained]) -> Vec<Compared> {
    let claims = [
        (
            HALF_REVERSED,
            "said to be lost to rounding; the figure of the public code has momentum 0.8",
        ),
        (HALF_BUFFER, "said to be exact"),
    ];
    let rows = all.iter().flat_map(|of| {
        claims.map(|(name, remark)| {
            let error = of
                .of(name)
                .and_then(|measured| measured.at_start(of.training));
            Compared {
                what: format!(
                    "error at the start, {name}, momentum {}",
                    of.training.momentum
                ),
                published: None,
                ours: vec![error.unwrap_or(f64::NAN)],
                unit: Unit::Number,
                remark: remark.into(),
            }
        })
    });
    rows.collect()
}

const ABOUT: &str = "Two weights are trained down a warped Rosenbrock valley by heavy-ball steps, and the \
    training is then run backwards. In floating point each step back divides what rounding lost by the \
    momentum, so the backward pass leaves the way there: the sooner, the fewer the bits and the smaller the \
    momentum. In fixed point with the information buffer it comes back bit for bit, in 32 bits and in \
    16, and the hypergradient by the rate and the momentum of every step is that of the trajectory it took.";

const NOTES: [&str; 5] = [
    "The paper's first figure trains 50 steps with rate exp(-4.5) and momentum 0.99. Its public code \
     shows the naive reversal in half precision on another training: 46 steps, rate exp(-5.5), momentum \
     0.8. Both are here, and the second with other momenta. At 0.99 over 50 steps the naive reversal \
     does not fail yet, even in half precision: the momentum alone makes a rounding grow to 0.99^-50 = 1.7 \
     times itself. The curvature of the loss makes some grow more, and each step adds its own.",
    "Half precision is emulated: every operation on binary16 numbers is rounded to nearest, those of the \
     objective, the step and the sweep alike. The public code rounds weights and velocity once a step.",
    "The crate's fixed point is made of 32-bit words. For half precision its weights have 12 fraction \
     bits and its velocities 7, and it is checked that none of them needs more than 16 bits. The \
     buffer's own words, and what is computed within a step, stay as wide as they are.",
    "To come back exactly is not to train well. A product by a momentum n / d moves a velocity by up to \
     d units, and in half precision 0.8 is 819 / 1024: 1024 units of 1/128 are 8. The training in half \
     precision with the buffer is therefore another one, which its cosine to float64 shows. With gradients \
     and momenta in f32, where 0.8 is 4 / 5, the same 16 bits do well; with 819 / 1024 they do not in \
     f32 either.",
    "Both sides of a cosine to the same trajectory are swept in the same arithmetic, so it tells of the backward pass \
     alone. The cosine to float64 tells of the training and of the sweep as well.",
];

fn described(settings: &Settings) -> Vec<(String, String)> {
    let [y, x] = settings.start;
    let mut pairs = named(&[("start", format!("({y}, {x})"))]);
    for of in &settings.trainings {
        let Training {
            steps,
            log_rate,
            momentum,
        } = of;
        let name = format!("training, momentum {momentum}");
        let hypers = 2 * steps;
        let value = format!("{steps} steps, rate exp({log_rate}), {hypers} hyperparameters");
        pairs.push((name, value));
    }
    for (name, Bits { weight, velocity }) in [("32 bits", BITS_32), ("16 bits", BITS_16)] {
        let value = format!("{weight} fraction bits in a weight, {velocity} in a velocity");
        pairs.push((name.into(), value));
    }
    pairs
}

/// Trains and reverses in every way.
///
/// # Errors
/// A training that diverges in float64.
///
/// ```
/// use drmad_host::study::precision::{Settings, run};
/// let findings = run(&Settings::default())?;
/// assert_eq!(findings.variants[1].name, "f32, information buffer");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn run(settings: &Settings) -> Result<Findings> {
    let began = Instant::now();
    let (mut variants, mut all) = (vec![], vec![]);
    for (i, training) in settings.trainings.iter().copied().enumerate() {
        let truth = truth(settings.start, training)
            .with_context(|| format!("momentum {} in float64", training.momentum))?;
        let mut ways = vec![];
        for numbers in &NUMBERS {
            let name = match i {
                0 => numbers.name.to_string(),
                _ => format!("{}, momentum {}", numbers.name, training.momentum),
            };
            let measured = (numbers.measure)(settings.start, training);
            variants.push(numbers.variant(name, training, &measured, &truth));
            ways.push(measured);
        }
        all.push(Trained {
            training,
            truth,
            ways,
        });
    }
    Ok(Findings {
        name: "reverse-precision".into(),
        title: "A training run backwards with few bits".into(),
        source: "Maclaurin et al. 2015, section 2.1, and the public code of their first figure"
            .into(),
        about: ABOUT.into(),
        quick: false,
        settings: described(settings),
        seeds: 1,
        seconds: began.elapsed().as_secs_f64(),
        variants,
        compared: compared(&all),
        figures: figures(&all),
        notes: NOTES.map(String::from).to_vec(),
        versions: versions(Rounding::Plain),
    })
}
