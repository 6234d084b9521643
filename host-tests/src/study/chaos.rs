//! One hyperparameter moved along an axis (Maclaurin et al. 2015, figure 2): the loss after training,
//! its exact derivative, and where the two turn chaotic.
//!
//! At places `x_0 < x_1 < ..`, evenly spaced, the same draw is trained once: the same examples, initial
//! weights and batches. That gives the outer loss `L_i` and its derivative `D_i` by `x`. Of two
//! neighbours, both trained to finite numbers, two things are asked:
//!
//! ```text
//! opposite:   D_i D_{i+1} < 0
//! against:    (L_{i+1} - L_i) (D_i + D_{i+1}) < 0
//! ```
//!
//! Along a smooth curve the first happens at its extrema alone, and so does the second. Where neighbours
//! have nothing to do with each other, each happens half of the time. The share of either in a window
//! of neighbours tells the one from the other, and the curve *turns* where the share is first
//! [`TURN`] or more: at the middle of that window.
//!
//! Another method's derivative stands beside the exact one at some of the places. There is one number
//! and so no angle: what is measured is their ratio.
//!
//! Refused: experiments that tune any other number of hyperparameters than one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use drmad::Fused;
use serde::{Deserialize, Serialize};

use super::job::Job;
use crate::device::{self, Device};
use crate::divergence::{Divergence, or_divergence};
use crate::experiment::{Experiment, Rounding, What};
use crate::files;
use crate::method::{Method, Name};
use crate::problem::{Population, Problem};
use crate::provenance::{named, versions};
use crate::recipe::Recipe;
use crate::recipe::study::Study;
use crate::report::findings::{Curve, Curves, Findings, Metric, Shown, Unit, Variant};
use crate::statistics::median;
use crate::trained::Trained;
use crate::words::several;

/// Which places there are, and what is asked of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How many places.
    pub points: usize,
    /// The first.
    pub from: f32,
    /// The last.
    pub to: f32,
    /// Pairs of neighbours in a window.
    pub window: usize,
    /// At every so many places the derivative by hats is taken, too.
    pub hats_every: usize,
}

impl Default for Settings {
    /// The paper's.
    fn default() -> Self {
        Settings {
            points: 1_000,
            from: 0.5,
            to: 2.5,
            window: 40,
            hats_every: 10,
        }
    }
}

/// The share of pairs at which a curve turns chaotic: half of what neighbours have that do not know
/// each other.
pub const TURN: f64 = 0.25;

/// Places that are done before they are written down.
const CHUNK: usize = 50;

impl Settings {
    /// The places, each the nearest f32 to `from + (to - from) i / (points - 1)`.
    ///
    /// ```
    /// use drmad_host::study::chaos::Settings;
    /// let few = Settings { points: 5, ..Settings::default() };
    /// assert_eq!(few.places(), [0.5, 1.0, 1.5, 2.0, 2.5]);
    /// ```
    pub fn places(&self) -> Vec<f32> {
        let (from, to) = (f64::from(self.from), f64::from(self.to));
        let last = self.points.saturating_sub(1).max(1) as f64;
        let place = |i| (from + (to - from) * (i as f64 / last)) as f32;
        (0..self.points).map(place).collect()
    }
}

/// What a training at one place gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The outer loss.
    pub loss: f64,
    /// Its derivative, by the experiment's method.
    pub slope: f64,
    /// The same by hats, where it was asked for and is a number.
    pub hats: Option<f64>,
    /// Processor seconds.
    pub seconds: f64,
}

/// A place's point, or why there is none.
pub type Found = Result<Point, String>;

/// The experiment and the settings of a file.
///
/// # Errors
/// More or fewer hyperparameters than one; an axis without two places, a window without a pair.
pub fn plan(recipe: &Recipe, study: &Study, quick: bool) -> Result<(Experiment, Settings)> {
    let (experiment, settings): (_, Settings) = recipe.with_settings(study, quick)?;
    ensure!(
        experiment.hypers() == 1,
        "{} tunes {}: one is moved along an axis",
        experiment.name,
        several(experiment.hypers(), "hyperparameter")
    );
    let Settings {
        points,
        from,
        to,
        window,
        ..
    } = settings;
    ensure!(
        from.is_finite() && to.is_finite() && from < to,
        "the axis goes from {from} to {to}: give numbers that rise"
    );
    ensure!(
        window >= 1 && points > window,
        "there are {points} points and windows of {window} pairs: give more points than pairs, at least 1"
    );
    Ok((experiment, settings))
}

/// Trains a draw once at each of these places, side by side; at every `hats_every`-th, counted from
/// `first`, it asks hats, too. `each` hears of every place that is done.
///
/// # Errors
/// What the device says; a training that fails otherwise than by diverging, which makes a point that is
/// missing.
pub fn scan(
    problem: &Problem<'_>,
    exact: &Method,
    places: &[f32],
    (first, hats_every): (usize, usize),
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Found>> {
    let hats = Method::fitting(Name::Hats, problem.experiment.steps);
    let asked = |i: usize| (first + i).is_multiple_of(hats_every);
    let job = |x, method| device::Job {
        problem,
        hyper: std::slice::from_ref(x),
        method: Some(method),
    };
    let jobs: Vec<_> = places.iter().map(|x| job(x, exact)).collect();
    let some = places.iter().enumerate().filter(|(i, _)| asked(*i));
    let few: Vec<_> = some.map(|(_, x)| job(x, &hats)).collect();
    let device = device::here();
    let exact = device.train::<Fused>(&jobs, &|| ())?;
    let mut by_hats = device.train::<Fused>(&few, &|| ())?.into_iter();
    let points = exact.into_iter().enumerate().map(|(i, trained)| {
        let hats = if asked(i) { by_hats.next() } else { None };
        each();
        point(trained, hats)
    });
    points.collect()
}

/// Loss, slope and seconds of a training.
fn said(trained: Result<Trained>) -> Result<(f64, f64, f64)> {
    let trained = trained?;
    let back = trained.back.context("no hypergradient")?;
    let loss = f64::from(back.valid_loss);
    ensure!(loss.is_finite(), Divergence::Loss);
    let slope = back.hypergradient.first().context("no hypergradient")?;
    let seconds = trained.forward_seconds + back.seconds;
    Ok((loss, f64::from(*slope), seconds))
}

/// What the exact method and, where it was asked, hats say at a place.
fn point(exact: Result<Trained>, hats: Option<Result<Trained>>) -> Result<Found> {
    let hats = hats.map(|hats| or_divergence(said(hats))).transpose()?;
    let hats = hats.and_then(Result::ok);
    let point = |(loss, slope, seconds): (f64, f64, f64)| Point {
        loss,
        slope,
        hats: hats.map(|(_, slope, _)| slope),
        seconds: seconds + hats.map_or(0.0, |(_, _, seconds)| seconds),
    };
    Ok(or_divergence(said(exact))?.map(point))
}

/// What is kept of a seed, and what it is of.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    of: String,
    points: Vec<Found>,
}

/// The points of a seed: those that an earlier run left, and the rest.
fn seed(
    job: &Job<'_>,
    (experiment, settings): &(Experiment, Settings),
    population: &Population<'_>,
    seed: usize,
    each: &(dyn Fn() + Sync),
) -> Result<Vec<Found>> {
    let problem = population.draw(seed as u64, 0, 0)?;
    let exact = experiment.method()?;
    let path = job.out.join(format!("seed-{seed}.json"));
    let mut state = State {
        of: format!(
            "{} {} {:?} {}",
            env!("CARGO_PKG_VERSION"),
            serde_json::to_string(experiment)?,
            job.source,
            serde_json::to_string(settings)?
        ),
        points: vec![],
    };
    if job.resume
        && let Some(points) = left(&path, &state.of)
    {
        state.points = points;
        state.points.iter().for_each(|_| each());
    }
    let places = settings.places();
    while let Some(rest) = places.get(state.points.len()..).filter(|r| !r.is_empty()) {
        // A GPU does all at once.
        let most = match device::here() {
            Device::Cpu => CHUNK,
            Device::Cuda(_) => rest.len(),
        };
        let chunk = &rest[..rest.len().min(most)];
        let from = (state.points.len(), settings.hats_every);
        let points = scan(&problem, &exact, chunk, from, each)?;
        state.points.extend(points);
        files::write(&path, &serde_json::to_vec(&state)?)?;
    }
    Ok(state.points)
}

/// The points that a run of the same things left.
fn left(path: &Path, of: &str) -> Option<Vec<Found>> {
    let text = std::fs::read(path).ok()?;
    let state: State = serde_json::from_slice(&text).ok()?;
    (state.of == of).then_some(state.points)
}

/// What two neighbours can do.
type Indicator = fn(&Point, &Point) -> bool;

/// Their derivatives have opposite signs.
pub const OPPOSITE: Indicator = |a, b| a.slope * b.slope < 0.0;
/// The loss moves against the derivatives.
pub const AGAINST: Indicator = |a, b| (b.loss - a.loss) * (a.slope + b.slope) < 0.0;

/// The share of the pairs in each window that do it, of those that have both points: NaN where that is
/// fewer than half of them.
pub fn shares(points: &[Found], window: usize, told: Indicator) -> Vec<f64> {
    let pairs: Vec<Option<bool>> = points
        .windows(2)
        .map(|pair| match pair {
            [Ok(a), Ok(b)] => Some(told(a, b)),
            _ => None,
        })
        .collect();
    let share = |pairs: &[Option<bool>]| {
        let told = pairs.iter().flatten();
        let (all, those) = (told.clone().count(), told.filter(|told| **told).count());
        match 2 * all < pairs.len() {
            true => f64::NAN,
            false => those as f64 / all as f64,
        }
    };
    pairs.windows(window).map(share).collect()
}

/// The middle of each window.
fn middles(places: &[f32], window: usize) -> Vec<f64> {
    let middle = |these: &[f32]| match these {
        [first, .., last] => 0.5 * (f64::from(*first) + f64::from(*last)),
        _ => f64::NAN,
    };
    places.windows(window + 1).map(middle).collect()
}

/// Where the shares first reach [`TURN`]; NaN where they never do.
fn turn(middles: &[f64], shares: &[f64]) -> f64 {
    let mut both = middles.iter().zip(shares);
    let first = both.find(|(_, share)| **share >= TURN);
    first.map_or(f64::NAN, |(x, _)| *x)
}

/// The seeds with what all of their numbers are taken from.
struct Scans<'a> {
    experiment: &'a Experiment,
    settings: Settings,
    places: Vec<f32>,
    middles: Vec<f64>,
    seeds: Vec<Vec<Found>>,
}

impl Scans<'_> {
    fn turn(&self, points: &[Found], told: Indicator) -> f64 {
        turn(&self.middles, &shares(points, self.settings.window, told))
    }

    /// `|hats / exact - 1|` at the places on one side of the turn of the signs.
    fn errors(&self, points: &[Found], before: bool) -> Vec<f64> {
        let turn = self.turn(points, OPPOSITE);
        let beyond = |x: f32| f64::from(x) >= turn;
        let places = self.places.iter().zip(points);
        let places = places.filter(|(x, _)| beyond(**x) != before);
        places.filter_map(|(_, point)| error(point)).collect()
    }

    fn exact(&self) -> Variant {
        let ok = |points: &[Found]| -> Vec<(f64, Point)> {
            let places = self.places.iter().zip(points);
            let ok = places.filter_map(|(x, point)| Some((f64::from(*x), *point.as_ref().ok()?)));
            ok.collect()
        };
        let least = |points: &[Found]| {
            let least = ok(points);
            least
                .into_iter()
                .min_by(|(_, a), (_, b)| a.loss.total_cmp(&b.loss))
        };
        let slopes = |points: &[Found], before: bool| {
            let turn = self.turn(points, OPPOSITE);
            let side = ok(points).into_iter();
            let side = side.filter(|(x, _)| (*x >= turn) != before);
            median(side.map(|(_, point)| point.slope.abs()))
        };
        let missing = |points: &[Found]| points.iter().filter(|point| point.is_err()).count();
        let metrics = [
            metric(
                "signs turn at",
                Unit::Number,
                self.each(|points| self.turn(points, OPPOSITE)),
            ),
            metric(
                "losses turn at",
                Unit::Number,
                self.each(|points| self.turn(points, AGAINST)),
            ),
            metric(
                "least loss",
                Unit::Number,
                self.each(|points| least(points).map_or(f64::NAN, |(_, p)| p.loss)),
            ),
            metric(
                "least loss at",
                Unit::Number,
                self.each(|points| least(points).map_or(f64::NAN, |(x, _)| x)),
            ),
            metric(
                "median |derivative| before",
                Unit::Number,
                self.each(|points| slopes(points, true)),
            ),
            metric(
                "median |derivative| beyond",
                Unit::Number,
                self.each(|points| slopes(points, false)),
            ),
            metric(
                "points missing",
                Unit::Count,
                self.each(|points| missing(points) as f64),
            ),
        ];
        let mut failed = self.seeds.iter().flatten();
        let failed = failed.find_map(|point| point.as_ref().err());
        Variant {
            name: "exact".into(),
            metrics: metrics.to_vec(),
            failed: failed
                .map(|error| format!("some points are missing, the first of them: {error}")),
        }
    }

    fn hats(&self) -> Variant {
        let within = |points: &[Found], before| {
            let errors = self.errors(points, before);
            let close = errors.iter().filter(|error| **error <= 0.1).count();
            close as f64 / errors.len() as f64
        };
        let metrics = [true, false].into_iter().flat_map(|before| {
            let side = if before { "before" } else { "beyond" };
            [
                metric(
                    &format!("median |hats / exact - 1| {side}"),
                    Unit::Percent,
                    self.each(|points| median(self.errors(points, before))),
                ),
                metric(
                    &format!("within a tenth {side}"),
                    Unit::Percent,
                    self.each(|points| within(points, before)),
                ),
            ]
        });
        Variant {
            name: "hats".into(),
            metrics: metrics.collect(),
            failed: None,
        }
    }

    fn each(&self, of: impl Fn(&[Found]) -> f64) -> Vec<f64> {
        self.seeds.iter().map(|points| of(points)).collect()
    }

    fn name(&self) -> &'static str {
        let block = self.experiment.tuned.first();
        block.map_or("hyperparameter", |block| block.what.as_str())
    }

    /// A curve for each seed: chaos has no mean.
    fn by_seed(&self, of: impl Fn(&Found) -> f64) -> Vec<Curve> {
        let curve = |(seed, points): (usize, &Vec<Found>)| Curve {
            name: format!("seed {seed}"),
            x: self.places.iter().map(|x| f64::from(*x)).collect(),
            y: vec![points.iter().map(&of).collect()],
        };
        self.seeds.iter().enumerate().map(curve).collect()
    }

    fn figures(&self) -> Vec<Shown> {
        let name = self.name();
        let ok = |point: &Found, of: fn(&Point) -> f64| point.as_ref().map_or(f64::NAN, of);
        let shown = |caption: String, y_label: &str, log: bool, series| {
            Shown::Curves(Curves {
                caption,
                x_label: name.into(),
                y_label: y_label.into(),
                log: [false, log],
                series,
            })
        };
        let loss = shown(
            format!(
                "The loss after training, at each {name}. A line is broken where training diverged."
            ),
            "loss",
            true,
            self.by_seed(|point| ok(point, |point| point.loss)),
        );
        let slope = shown(
            format!("The magnitude of the exact derivative of that loss by the {name}."),
            "|derivative of the loss|",
            true,
            self.by_seed(|point| ok(point, |point| point.slope.abs())),
        );
        let window = self.settings.window;
        let told = [
            ("signs opposite", OPPOSITE),
            ("loss against derivative", AGAINST),
        ];
        let told = told.map(|(name, told)| Curve {
            name: name.into(),
            x: self.middles.clone(),
            y: self
                .seeds
                .iter()
                .map(|points| shares(points, window, told))
                .collect(),
        });
        let turns = shown(
            format!(
                "Of {window} neighbouring pairs, the share whose derivatives have opposite signs, and whose \
                 losses move against the mean of the two derivatives. A smooth curve has almost none of \
                 either; numbers that do not know each other have a half."
            ),
            "share of neighbours",
            false,
            told.to_vec(),
        );
        // Only the places where hats were asked.
        let asked = || (0..self.places.len()).step_by(self.settings.hats_every);
        let hats = self.seeds.iter().enumerate().map(|(seed, points)| Curve {
            name: format!("seed {seed}"),
            x: asked().map(|i| f64::from(self.places[i])).collect(),
            y: vec![
                asked()
                    .map(|i| points.get(i).and_then(error).unwrap_or(f64::NAN))
                    .collect(),
            ],
        });
        let hats = shown(
            format!(
                "How far hats are from the exact derivative, at every {}th place: 0.01 is a hundredth, 1 \
                 is as good as no derivative.",
                self.settings.hats_every
            ),
            "|hats / exact - 1|",
            true,
            hats.collect(),
        );
        vec![loss, slope, turns, hats]
    }
}

/// `|hats / exact - 1|` of a point that has both.
fn error(point: &Found) -> Option<f64> {
    let point = point.as_ref().ok()?;
    Some((point.hats? / point.slope - 1.0).abs())
}

fn metric(name: &str, unit: Unit, values: Vec<f64>) -> Metric {
    let name = name.into();
    Metric { name, unit, values }
}

/// Moves the hyperparameter along its axis with each seed.
///
/// # Errors
/// As [`plan`]; data that do not fit; what the file system refuses.
pub fn run(job: &Job<'_>) -> Result<Findings> {
    let plan = plan(job.recipe, job.study, job.quick)?;
    let (experiment, settings) = &plan;
    let population = Population::new(experiment, job.data)?;
    let bar = job.bar(settings.points.saturating_mul(job.seeds));
    let seeds: Result<Vec<Vec<Found>>> = (0..job.seeds)
        .map(|i| seed(job, &plan, &population, i, &|| bar.inc(1)))
        .collect();
    let seeds = seeds?;
    bar.finish_and_clear();
    let places = settings.places();
    let scans = Scans {
        experiment,
        settings: *settings,
        middles: middles(&places, settings.window),
        places,
        seeds,
    };
    let points = scans.seeds.iter().flatten().flatten();
    let e = experiment;
    Ok(Findings {
        name: String::new(),
        title: e.title.clone(),
        source: String::new(),
        about: String::new(),
        quick: job.quick,
        settings: named(&[
            ("network", e.network()),
            ("weights", e.weights().to_string()),
            ("training examples", e.examples.train.to_string()),
            ("batch", e.batch.to_string()),
            ("training steps", e.steps.to_string()),
            ("momentum", e.said(What::Momentum)),
            ("log of the initial scale", e.log_scale.to_string()),
            (
                "moved",
                format!(
                    "{}, from {} to {}",
                    scans.name(),
                    settings.from,
                    settings.to
                ),
            ),
            ("points", settings.points.to_string()),
            ("pairs in a window", settings.window.to_string()),
        ]),
        seeds: job.seeds,
        seconds: points.map(|point| point.seconds).sum(),
        variants: vec![scans.exact(), scans.hats()],
        compared: vec![],
        figures: scans.figures(),
        notes: vec![format!(
            "The signs turn where, in a window of {} neighbouring pairs, a quarter first have derivatives of \
             opposite signs; the losses turn where a quarter first move against the mean of the two \
             derivatives. Before and beyond are the places on either side of where the signs turn.",
            settings.window
        )],
        versions: versions(Rounding::Fused),
    })
}
