//! What a tuning run found, and the page that shows it.
//!
//! [`Report`] holds the results of one run as plain data: it is written as `result.json` for
//! programs, and [`render`] turns the same struct into one HTML file for people. The two can't
//! disagree, because the page has no other source: every sentence, tile, caption and table is made
//! from these numbers, and a sentence that the numbers don't support is not written.
//!
//! The page is one file. Pictures are inline SVG, styles are inline, and there is no script, so it
//! can be mailed, archived, or opened from a disk years later. It follows the reader's light or
//! dark mode and the width of the screen.
//!
//! Runs go wrong, and then the report is most needed: a loss that is not finite is drawn as a gap
//! and named in words, a missing series leaves its section out, a series of one point is a point.
//!
//! What it refuses: shapes that contradict themselves (a strip whose values don't fill its rows
//! and columns, a scatter with unpaired values) are errors, as any picture of them would be a
//! guess. It reads no clock and no environment, so the same report gives the same page.
//!
//! * `plots` draws the pictures,
//! * `words` writes the numbers,
//! * `page.html` is the template,
//! * [`frontier`] is the page that compares methods, in the same look,
//! * [`scaling`] the one that shows how they grow,
//! * [`server`] that of a hyperparameter server and its clients.

#![deny(missing_docs)]

pub mod experiments;
pub mod frontier;
mod plots;
pub mod scaling;
pub mod server;
pub mod words;

use std::mem::take;

use anyhow::{Context, Result, ensure};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::{Deserialize, Deserializer, Serialize};

use crate::reduction::Reduction;
use plots::{Lines, Picture, Series, drawable};
use words::{capital, count, duration, fixed, moves, number, percent};

/// All that one tuning run found.
///
/// Numbers that are not finite become `null` in JSON and are read back as `NaN`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The name the experiment has on the command line.
    pub experiment: String,
    /// The heading of the page.
    pub title: String,
    /// How hypergradients were computed, for example `hats`.
    pub method: String,
    /// The outer optimizer.
    pub outer: String,
    /// Draws of a meta-iteration: hypergradients, losses and errors are means over them.
    pub draws: usize,
    /// Where each of them belongs to a client: what became of their hypergradients.
    #[serde(default)]
    pub clients: Option<Reduction>,
    /// Settings of the run as names and values. One named `training examples` is quoted in the
    /// opening sentence.
    pub settings: Vec<(String, String)>,
    /// What the run was made with: names and versions.
    pub versions: Vec<(String, String)>,
    /// One entry per meta-iteration.
    pub meta_steps: Vec<MetaStep>,
    /// How good the trained network was with the initial hyperparameters.
    pub before: Quality,
    /// How good it was with the tuned ones.
    pub after: Quality,
    /// What each kind of pass cost.
    pub costs: Vec<Cost>,
    /// The hypergradient's direction and length against the exact one, where that was computed.
    pub angles: Vec<Angle>,
    /// The training loss at every step, for one or more training runs.
    pub training: Vec<LossCurve>,
    /// The tuned penalties, layer by layer.
    pub penalties: Vec<Strip>,
    /// Hypergradients beside exact ones, at one or more meta-iterations.
    pub comparison: Vec<Scatter>,
}

/// What one meta-iteration measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetaStep {
    /// Its number.
    pub step: usize,
    /// The mean validation loss after training.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_loss: f64,
    /// The share of validation examples that are classified wrongly.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_error: f64,
    /// The share of test examples that are classified wrongly.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_error: f64,
    /// The Euclidean norm of the hypergradient.
    #[serde(deserialize_with = "null_is_nan")]
    pub norm: f64,
    /// The wall time of the whole meta-iteration.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// The mean training loss at the end of training.
    #[serde(deserialize_with = "null_is_nan")]
    pub train_loss: f64,
    /// The mean cosine between the hypergradients of two draws or clients, where there are two.
    #[serde(default)]
    pub agreement: Option<f64>,
    /// The clients that diverged and were left out.
    #[serde(default)]
    pub left_out: Vec<usize>,
}

/// How good a trained network is. Errors are fractions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quality {
    /// The mean loss on the validation examples.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_loss: f64,
    /// The share of validation examples that are classified wrongly.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_error: f64,
    /// The mean loss on the test examples.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_loss: f64,
    /// The share of test examples that are classified wrongly.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_error: f64,
}

/// What one kind of pass costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// The pass: `forward`, `backward (hats)`, `backward (tape, exact)`. A backward pass with
    /// `exact` in its name is the one others are compared with.
    pub name: String,
    /// Wall time of one pass.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// Numbers kept in memory for each weight of the network.
    #[serde(deserialize_with = "null_is_nan")]
    pub floats_per_weight: f64,
    /// Gradients computed in one pass.
    pub gradients: u64,
    /// Products with second derivatives computed in one pass.
    pub second_order_products: u64,
}

/// A hypergradient against the exact one at the same hyperparameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Angle {
    /// The meta-iteration it was measured at.
    pub meta_step: usize,
    /// The cosine of the angle between the two; not a number where the exact one diverged.
    #[serde(deserialize_with = "null_is_nan")]
    pub cosine: f64,
    /// The norm of the approximate one over the norm of the exact one.
    #[serde(deserialize_with = "null_is_nan")]
    pub norm_ratio: f64,
    /// The cosine between the exact one and the exact one of as many other draws of examples, initial
    /// weights and batches: how much of it is more than the chance of these draws. None where all draws
    /// are one.
    #[serde(default)]
    pub another_draw: Option<f64>,
}

/// The training loss of one training run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LossCurve {
    /// What the run is called, for example `before tuning`.
    pub label: String,
    /// The loss of each step's batch.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub losses: Vec<f32>,
}

/// The tuned penalties of one layer's units.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Strip {
    /// The layer or its units, for example `input pixels` or `hidden layer 1`.
    pub name: String,
    /// What the values are, for example `log penalty`.
    pub unit: String,
    /// Rows; a layer with one row is drawn as a strip, one with more as a heat map.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The values, row by row.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub values: Vec<f32>,
}

/// Approximate and exact hypergradient, hyperparameter by hyperparameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scatter {
    /// The meta-iteration it was measured at.
    pub meta_step: usize,
    /// The exact hypergradient.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub exact: Vec<f32>,
    /// The approximate one, in the same order.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub approximate: Vec<f32>,
    /// The cosine of the angle between the two.
    #[serde(deserialize_with = "null_is_nan")]
    pub cosine: f64,
}

/// JSON has no `NaN`: what was not finite was written as `null`.
fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The same for a vector.
fn nulls_are_nan<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f32>, D::Error> {
    let values: Vec<Option<f32>> = Vec::deserialize(from)?;
    Ok(values.into_iter().map(|v| v.unwrap_or(f32::NAN)).collect())
}

/// The same for a vector of float64.
fn nulls_are_nan_f64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let values: Vec<Option<f64>> = Vec::deserialize(from)?;
    Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

/// Renders a report as one self-contained HTML file.
///
/// # Errors
///
/// If a strip's values don't fill its rows and columns, or a scatter has values without a partner.
pub fn render(report: &Report) -> Result<String> {
    fill(view(report)?)
}

/// Fills the template.
fn fill(mut view: View) -> Result<String> {
    let (terms, tables) = (take(&mut view.terms), take(&mut view.tables));
    view.sections
        .extend([Section::terms(terms), Section::tables(tables)]);
    let mut env = Environment::new();
    // A misspelt name in the template must fail a test and not leave a hole in the page.
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.add_global("palette", Value::from_safe_string(PALETTE.into()));
    // The ending of the name is what turns escaping on.
    env.add_template("page.html", include_str!("page.html"))
        .context("the report's template")?;
    let html = env
        .get_template("page.html")
        .and_then(|template| template.render(Serde(&view)))
        .context("rendering the report")?;
    Ok(html)
}

/// The colours of the page and of its pictures, by day and by night.
const PALETTE: &str = include_str!("palette.css");

/// The page as the template sees it.
#[derive(Serialize)]
struct View {
    experiment: String,
    title: String,
    lead: String,
    sub: String,
    tiles: Vec<Tile>,
    sections: Vec<Section>,
    /// What closes the page.
    #[serde(skip)]
    terms: Vec<Term>,
    #[serde(skip)]
    tables: Vec<Table>,
}

#[derive(Serialize)]
struct Tile {
    label: String,
    value: String,
    note: String,
}

/// A part of the page. What is empty is left out.
#[derive(Default, Serialize)]
struct Section {
    /// What links lead to.
    id: String,
    heading: String,
    /// Where it comes from.
    source: String,
    /// What must be known before anything in it is believed.
    warning: String,
    /// Its paragraphs.
    about: Vec<String>,
    figures: Vec<Figure>,
    terms: Vec<Term>,
    tables: Vec<Table>,
    notes: Vec<String>,
}

impl Section {
    fn figures(heading: &str, figures: Vec<Figure>) -> Self {
        Self {
            heading: heading.into(),
            figures,
            ..Self::default()
        }
    }

    fn terms(terms: Vec<Term>) -> Self {
        Self {
            heading: if terms.is_empty() {
                ""
            } else {
                "How to read this"
            }
            .into(),
            terms,
            ..Self::default()
        }
    }

    fn tables(tables: Vec<Table>) -> Self {
        Self {
            tables,
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
struct Figure {
    /// What a screen reader says in the picture's place.
    label: String,
    caption: String,
    width: i32,
    height: i32,
    crisp: bool,
    /// As wide as the page, and scrolled where the screen is narrower than its labels.
    wide: bool,
    body: Value,
}

#[derive(Serialize)]
struct Term {
    word: String,
    meaning: String,
}

impl Term {
    fn new(word: &str, meaning: impl Into<String>) -> Self {
        Self {
            word: word.into(),
            meaning: meaning.into(),
        }
    }

    /// What every page is about.
    fn hypergradient() -> Self {
        Self::new(
            "hypergradient",
            "the derivative of the validation loss, after a whole training run, by every \
             hyperparameter of that run",
        )
    }
}

#[derive(Serialize)]
struct Table {
    heading: &'static str,
    note: String,
    columns: Vec<Cell>,
    rows: Vec<Line>,
    /// Columns after the first hold numbers and are set flush right.
    numbers: bool,
    /// A long table starts folded.
    open: bool,
}

/// A row of a table.
#[derive(Serialize)]
struct Line {
    cells: Vec<Cell>,
    /// Set off from the others.
    marked: bool,
    /// What there is to say about it, on a line of its own.
    remark: String,
}

/// A cell of a table.
#[derive(Default, Serialize)]
struct Cell {
    text: String,
    /// What the pointer is told.
    hint: String,
    /// A class of the style sheet.
    class: &'static str,
    /// The section it leads to.
    link: String,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

impl From<Vec<String>> for Line {
    fn from(texts: Vec<String>) -> Self {
        let cells = texts.into_iter().map(|text| Cell {
            text,
            ..Cell::default()
        });
        Self {
            cells: cells.collect(),
            marked: false,
            remark: String::new(),
        }
    }
}

impl Figure {
    fn new(label: String, caption: String, picture: Picture) -> Self {
        Self {
            label,
            caption,
            width: picture.width,
            height: picture.height,
            crisp: picture.crisp,
            wide: picture.wide,
            // The drawing code escapes every label it writes.
            body: Value::from_safe_string(picture.body),
        }
    }
}

fn view(report: &Report) -> Result<View> {
    let sections = [
        ("What tuning did", tuning(report)?),
        ("The penalties it chose", penalties(report)?),
        ("How good the hypergradient was", comparison(report)?),
    ];
    let sections = sections
        .into_iter()
        .filter(|(_, figures)| !figures.is_empty())
        .map(|(heading, figures)| Section::figures(heading, figures))
        .collect();
    Ok(View {
        experiment: report.experiment.clone(),
        title: report.title.clone(),
        lead: lead(report),
        sub: sub(report),
        tiles: tiles(report),
        sections,
        terms: terms(report),
        tables: tables(report),
    })
}

/// The result in one sentence.
fn lead(report: &Report) -> String {
    let cells: usize = report.penalties.iter().map(|s| s.values.len()).sum();
    let pairs = report.comparison.iter().map(|s| s.exact.len()).max();
    let tuned = match cells.max(pairs.unwrap_or(0)) {
        0 => "Hyperparameters".into(),
        n => count(n, "hyperparameter"),
    };
    const EXAMPLES: &str = "training examples";
    let examples = report.settings.iter().find(|(name, _)| name == EXAMPLES);
    let on = examples.map_or(String::new(), |(_, n)| match n.parse::<u32>() {
        Ok(n) => format!(" on {}", count(n as usize, "training example")),
        Err(_) => format!(" on {n} {EXAMPLES}"),
    });
    let from = percent(report.before.test_error);
    let to = percent(report.after.test_error);
    // The two numbers stay on one line: apart they say nothing.
    format!("{tuned} tuned{on}: test error {from}\u{a0}→\u{a0}{to}")
}

/// What is compared to see how much of a hypergradient belongs to its draws alone.
pub(crate) fn two_draws(report: &Report) -> String {
    match (report.draws, report.clients) {
        (1, _) => "two draws".into(),
        (n, None) => format!("two means of {n} draws"),
        (n, Some(_)) => format!("two draws of {n} clients"),
    }
}

/// The draws of a meta-iteration, or the clients whose they are.
fn draws(report: &Report) -> String {
    match report.clients {
        None => count(report.draws, "draw"),
        Some(_) => count(report.draws, "client"),
    }
}

/// How the result was come by.
fn sub(report: &Report) -> String {
    let of = match report.draws {
        1 => String::new(),
        _ => format!(" of {} each", draws(report)),
    };
    let how = format!("{} and {}", report.method, report.outer);
    match report.meta_steps.len() {
        0 => format!("Hypergradients by {how}."),
        n => format!("{}{of} with {how}.", capital(&count(n, "meta-iteration"))),
    }
}

fn tiles(report: &Report) -> Vec<Tile> {
    let Report { before, after, .. } = report;
    let mut tiles = vec![Tile {
        label: "test error".into(),
        value: format!(
            "{} → {}",
            percent(before.test_error),
            percent(after.test_error)
        ),
        note: format!(
            "validation {} → {}",
            percent(before.valid_error),
            percent(after.valid_error)
        ),
    }];
    if let (Some(first), Some(last)) = (report.angles.first(), report.angles.last()) {
        tiles.push(Tile {
            label: "cosine to exact".into(),
            value: format!("{} → {}", number(first.cosine), number(last.cosine)),
            note: match (first.another_draw, last.another_draw) {
                (Some(first), Some(last)) => format!(
                    "{} among themselves {} → {}",
                    two_draws(report),
                    number(first),
                    number(last)
                ),
                _ => "of the same draw".into(),
            },
        });
    } else if let Some(scatter) = report.comparison.last() {
        tiles.push(Tile {
            label: "cosine to exact".into(),
            value: number(scatter.cosine),
            note: format!("at meta-iteration {}", scatter.meta_step),
        });
    }
    let exact = |c: &&Cost| c.name.contains("exact");
    let backward = || report.costs.iter().filter(|c| c.name.contains("backward"));
    if let Some(cost) = backward().find(|c| !exact(c)).or(backward().next()) {
        tiles.push(Tile {
            label: "memory per weight".into(),
            value: floats(cost.floats_per_weight),
            note: match backward().find(exact) {
                Some(tape) if tape.name != cost.name => {
                    format!("exact: {}", floats(tape.floats_per_weight))
                }
                _ => cost.name.clone(),
            },
        });
    }
    if !report.meta_steps.is_empty() {
        let total: f64 = report.meta_steps.iter().map(|m| m.seconds).sum();
        let each = total / report.meta_steps.len() as f64;
        tiles.push(Tile {
            label: "time".into(),
            value: duration(total),
            note: format!("{} per meta-iteration", duration(each)),
        });
    }
    tiles
}

/// A count that may be a mean: whole numbers without decimals.
fn brief(value: f64) -> String {
    if value.fract() == 0.0 {
        fixed(value, 0)
    } else {
        number(value)
    }
}

/// So many floats, which may be a mean.
fn floats(value: f64) -> String {
    format!(
        "{} float{}",
        brief(value),
        if value == 1.0 { "" } else { "s" }
    )
}

/// The sentence that owns up to what a picture leaves out.
fn left_out(values: impl Iterator<Item = f64>) -> String {
    let (mut bad, mut all) = (0, 0);
    for value in values {
        all += 1;
        bad += usize::from(!drawable(value));
    }
    match bad {
        0 => String::new(),
        _ if bad == all => " Not one value is finite.".into(),
        1 => format!(
            " One of {} is not finite and left out.",
            count(all, "value")
        ),
        _ => format!(
            " {} of {} are not finite and left out.",
            fixed(bad as f64, 0),
            count(all, "value")
        ),
    }
}

/// One quantity of the meta-iterations as a curve.
fn over_steps(report: &Report, name: &str, get: fn(&MetaStep) -> f64) -> Series {
    let steps = report.meta_steps.iter();
    Series {
        name: name.into(),
        points: steps.map(|m| (m.step as f64, get(m))).collect(),
        raw: Vec::new(),
    }
}

fn tuning(report: &Report) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let x = || "meta-iteration".to_owned();
    if let (Some(first), Some(last)) = (report.meta_steps.first(), report.meta_steps.last()) {
        let between = match report.meta_steps.len() {
            1 => format!("at meta-iteration {}", first.step),
            _ => format!("between meta-iterations {} and {}", first.step, last.step),
        };
        let path = |name: &str, get: fn(&MetaStep) -> f64, say: fn(f64) -> String| {
            let (a, b) = (get(first), get(last));
            match report.meta_steps.len() {
                1 => format!("{name} is {}", say(a)),
                _ => format!("{name} {}", moves(a, b, say)),
            }
        };
        let all = |get: fn(&MetaStep) -> f64| report.meta_steps.iter().map(get);

        let lines = Lines {
            x_label: x(),
            y_label: "validation loss (nats per example)".into(),
            series: vec![over_steps(report, "validation", |m| m.valid_loss)],
            log: false,
        };
        let least = report.meta_steps.iter().filter(|m| drawable(m.valid_loss));
        let least = least.min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss));
        let least = match least {
            Some(m) if m.step != last.step && m.step != first.step => {
                let value = number(m.valid_loss);
                format!(" The least is {value}, at meta-iteration {}.", m.step)
            }
            _ => String::new(),
        };
        let caption = format!(
            "{} {between}.{least}{}",
            path("Validation loss", |m| m.valid_loss, number),
            left_out(all(|m| m.valid_loss))
        );
        let label = "Validation loss over the meta-iterations".into();
        figures.push(Figure::new(label, caption, lines.draw()?));

        let lines = Lines {
            x_label: x(),
            y_label: "wrongly classified (%)".into(),
            series: vec![
                over_steps(report, "validation error", |m| 100.0 * m.valid_error),
                over_steps(report, "test error", |m| 100.0 * m.test_error),
            ],
            log: false,
        };
        let caption = format!(
            "{}, {} {between}.{}",
            path("Validation error", |m| m.valid_error, percent),
            path("test error", |m| m.test_error, percent),
            left_out(all(|m| m.valid_error).chain(all(|m| m.test_error)))
        );
        let label = "Validation and test error over the meta-iterations".into();
        figures.push(Figure::new(label, caption, lines.draw()?));

        let lines = Lines {
            x_label: x(),
            y_label: "norm of the hypergradient (nats)".into(),
            series: vec![over_steps(report, "norm", |m| m.norm)],
            log: true,
        };
        let caption = format!(
            "{} {between}.{}",
            path("The hypergradient's norm", |m| m.norm, number),
            left_out(all(|m| m.norm))
        );
        let label = "Norm of the hypergradient over the meta-iterations".into();
        figures.push(Figure::new(label, caption, lines.draw()?));
    }
    figures.extend(training(report)?);
    Ok(figures)
}

/// The mean over a window around each step; steps whose loss isn't finite don't count.
fn running_mean(losses: &[f32], half: usize) -> Vec<(f64, f64)> {
    let mut sums = Vec::with_capacity(losses.len() + 1);
    let (mut sum, mut n) = (0.0, 0usize);
    sums.push((sum, n));
    for loss in losses {
        if loss.is_finite() {
            sum += f64::from(*loss);
            n += 1;
        }
        sums.push((sum, n));
    }
    (0..losses.len())
        .map(|i| {
            let (a, b) = (
                sums[i.saturating_sub(half)],
                sums[(i + half + 1).min(losses.len())],
            );
            // No finite loss in the window: nothing divided by nothing, and so a gap.
            (i as f64, (b.0 - a.0) / (b.1 - a.1) as f64)
        })
        .collect()
}

fn training(report: &Report) -> Result<Option<Figure>> {
    let curves = || report.training.iter().filter(|c| !c.losses.is_empty());
    let Some(longest) = curves().map(|c| c.losses.len()).max() else {
        return Ok(None);
    };
    let half = longest / 100;
    let series: Vec<Series> = curves()
        .map(|curve| Series {
            name: curve.label.clone(),
            points: running_mean(&curve.losses, half),
            raw: match half {
                0 => Vec::new(),
                _ => running_mean(&curve.losses, 0),
            },
        })
        .collect();
    let ends: Vec<String> = series
        .iter()
        .map(|s| {
            let end = s.points.last().map_or(f64::NAN, |p| p.1);
            let at = if end.is_finite() { " at" } else { "" };
            format!("{} ends{at} {}", s.name, number(end))
        })
        .collect();
    let how = match half {
        0 => String::new(),
        _ => format!(
            ", as a running mean over {} with the raw values faint behind",
            count(2 * half + 1, "step")
        ),
    };
    let values = curves().flat_map(|c| &c.losses).map(|v| f64::from(*v));
    let caption = format!(
        "Training loss{how}: {}.{}",
        ends.join(", "),
        left_out(values)
    );
    let lines = Lines {
        x_label: "training step".into(),
        y_label: "training loss (nats per example)".into(),
        series,
        log: true,
    };
    let label = "Training loss over the steps of training".into();
    Ok(Some(Figure::new(label, caption, lines.draw()?)))
}

/// The mean of the values that are numbers.
fn mean(values: impl Iterator<Item = f32>) -> f64 {
    let (sum, n) = values
        .filter(|v| v.is_finite())
        .fold((0.0, 0usize), |(sum, n), v| (sum + f64::from(v), n + 1));
    sum / n as f64
}

/// The least and the greatest value, in words.
fn span<'a>(values: impl Iterator<Item = &'a f32>) -> String {
    let mut values = values.map(|v| f64::from(*v)).filter(|v| drawable(*v));
    let Some(first) = values.next() else {
        return words::NOT_FINITE.into();
    };
    let (lo, hi) = values.fold((first, first), |(lo, hi), v| (lo.min(v), hi.max(v)));
    format!("from {} (dark) to {} (light)", number(lo), number(hi))
}

fn penalties(report: &Report) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut flat = Vec::new();
    for strip in &report.penalties {
        if strip.values.is_empty() {
            continue;
        }
        ensure!(
            strip.rows.checked_mul(strip.columns) == Some(strip.values.len()),
            "{}: {} rows of {} don't hold {} values",
            strip.name,
            strip.rows,
            strip.columns,
            strip.values.len()
        );
        if strip.rows == 1 {
            flat.push(strip);
        } else {
            let label = format!("Heat map: {} of the {}", strip.unit, strip.name);
            figures.push(Figure::new(
                label,
                map_caption(strip),
                plots::heat_map(strip)?,
            ));
        }
    }
    if let Some(first) = flat.first() {
        let values = || flat.iter().flat_map(|s| &s.values);
        let means: Vec<String> = flat
            .iter()
            .map(|s| format!("{} {}", s.name, number(mean(s.values.iter().copied()))))
            .collect();
        let caption = format!(
            "The {} of {}, layer by layer in the network's own order, {}. Means: {}.{}",
            first.unit,
            count(values().count(), "unit"),
            span(values()),
            means.join(", "),
            left_out(values().map(|v| f64::from(*v)))
        );
        let label = format!("Strips: {} of every unit", first.unit);
        figures.push(Figure::new(label, caption, plots::strips(&flat)?));
    }
    Ok(figures)
}

/// What the heat map of the pixels shows, with the frame of unlit pixels told apart.
fn map_caption(strip: &Strip) -> String {
    let Strip { rows, columns, .. } = *strip;
    let mut caption = format!(
        "The {} of the {}, {}.",
        strip.unit,
        strip.name,
        span(strip.values.iter())
    );
    // Images are centred more often than not: near the edge there is little to see.
    let edge = 2;
    if rows > 4 * edge && columns > 4 * edge {
        let on_frame = |i: usize| {
            let (r, c) = (i / columns, i % columns);
            r < edge || c < edge || r >= rows - edge || c >= columns - edge
        };
        let part = |frame: bool| {
            let cells = strip.values.iter().enumerate();
            mean(
                cells
                    .filter(|(i, _)| on_frame(*i) == frame)
                    .map(|(_, v)| *v),
            )
        };
        caption += &format!(
            " The frame of the outer two rows and columns averages {}; the inside averages {}.",
            number(part(true)),
            number(part(false))
        );
    }
    let (value, times) = commonest(&strip.values);
    if times >= 5 {
        caption += &format!(
            " {times} cells share the exact value {}: a pixel that no image lights passes nothing on, \
             its hypergradient is nil, and its penalty stays where it began.",
            number(value)
        );
    }
    caption += &left_out(strip.values.iter().map(|v| f64::from(*v)));
    caption
}

/// The value that occurs most often, and how often.
fn commonest(values: &[f32]) -> (f64, usize) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let runs = sorted.chunk_by(|a, b| a == b);
    let most = runs.max_by_key(|run| run.len()).unwrap_or(&[]);
    (most.first().map_or(f64::NAN, |v| f64::from(*v)), most.len())
}

fn comparison(report: &Report) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let method = &report.method;
    let (other, own, alone) = match report.draws {
        1 => (
            "exact, of another draw".into(),
            String::new(),
            "one draw".into(),
        ),
        n => {
            let all = draws(report);
            let (other, own) = match report.clients {
                None => (
                    format!("exact, of {n} other draws"),
                    format!(" Each is the mean over {all}."),
                ),
                Some(reduction) => (
                    "exact, of other draws".into(),
                    format!(" Each is of {all}: {}.", reduction.describe()),
                ),
            };
            (other, own, all)
        }
    };
    if let (Some(first), Some(last)) = (report.angles.first(), report.angles.last()) {
        let one = report.angles.len() == 1;
        let among = first.another_draw.zip(last.another_draw);
        let series = |name: &str, get: fn(&Angle) -> f64| Series {
            name: name.into(),
            points: report
                .angles
                .iter()
                .map(|a| (a.meta_step as f64, get(a)))
                .collect(),
            raw: Vec::new(),
        };
        let lines = Lines {
            x_label: "meta-iteration".into(),
            y_label: "cosine to the exact hypergradient".into(),
            series: [series(method, |a| a.cosine)]
                .into_iter()
                .chain(among.map(|_| series(&other, |a| a.another_draw.unwrap_or(f64::NAN))))
                .collect(),
            log: false,
        };
        let told = |first, last| match one {
            true => format!("is {}", number(first)),
            false => moves(first, last, number),
        };
        let path = told(first.cosine, last.cosine);
        let cosines = || report.angles.iter().map(|a| a.cosine);
        let least = cosines().filter(|c| drawable(*c)).min_by(f64::total_cmp);
        let least = match least {
            Some(c) if c < first.cosine && c < last.cosine => {
                format!(" The least is {}.", number(c))
            }
            _ => String::new(),
        };
        let among_draws = among.map_or(String::new(), |(first, last)| {
            let (draws, path) = (two_draws(report), told(first, last));
            format!(
                " Between the exact hypergradients of {draws} it {path}: the rest belongs to {alone} alone."
            )
        });
        let caption = format!(
            "The cosine between {method} and the exact hypergradient {path}.{least}{own} At one \
             both have the same direction.{among_draws}{}",
            left_out(cosines())
        );
        let label = format!("Cosine between {method} and exact hypergradient");
        figures.push(Figure::new(label, caption, lines.draw()?));

        let lines = Lines {
            x_label: "meta-iteration".into(),
            y_label: "norm, as a multiple of the exact one".into(),
            series: vec![series("ratio", |a| a.norm_ratio)],
            log: false,
        };
        let path = if one {
            format!("is {}", number(first.norm_ratio))
        } else {
            moves(first.norm_ratio, last.norm_ratio, number)
        };
        let caption = format!(
            "The length of the {method} hypergradient over that of the exact one {path}. At \
             one both have the same length.{}",
            left_out(report.angles.iter().map(|a| a.norm_ratio))
        );
        let label = format!("Norm of the {method} hypergradient over that of the exact one");
        figures.push(Figure::new(label, caption, lines.draw()?));
    }
    let filled = |s: &&Scatter| !s.exact.is_empty() || !s.approximate.is_empty();
    let filled: Vec<&Scatter> = report.comparison.iter().filter(filled).collect();
    for scatter in &filled {
        ensure!(
            scatter.exact.len() == scatter.approximate.len(),
            "meta-iteration {}: {} exact and {} approximate values are not pairs",
            scatter.meta_step,
            scatter.exact.len(),
            scatter.approximate.len()
        );
    }
    // The first and the last tell how it went; those between would tell the same.
    let ends = match filled.as_slice() {
        [] => vec![],
        [only] => vec![*only],
        [first, .., last] => vec![*first, *last],
    };
    for scatter in ends {
        let both = scatter.exact.iter().chain(&scatter.approximate);
        let (picture, dots) = plots::scatter(scatter, method)?;
        let thinned = dots.map_or(String::new(), |dots| {
            format!(
                " Those that would lie on one another are drawn as one, {} in all: the darker, the more.",
                count(dots, "dot")
            )
        });
        let caption = format!(
            "At meta-iteration {}: {} against the exact hypergradient for {}, with cosine {}. \
             Where both agree, points lie on the line.{thinned}{}",
            scatter.meta_step,
            method,
            count(scatter.exact.len(), "hyperparameter"),
            number(scatter.cosine),
            left_out(both.map(|v| f64::from(*v)))
        );
        let label = format!(
            "Scatter: {method} against exact hypergradient at meta-iteration {}",
            scatter.meta_step
        );
        figures.push(Figure::new(label, caption, picture));
    }
    Ok(figures)
}

/// The words a reader from elsewhere needs.
fn terms(report: &Report) -> Vec<Term> {
    let mut terms = vec![
        Term::hypergradient(),
        Term::new(
            "meta-iteration",
            format!(
                "{}, and one step of the outer optimizer ({})",
                match report.draws {
                    1 => "one training run from the start, its hypergradient".into(),
                    n => format!(
                        "{n} training runs from the start, each with examples, initial weights and \
                         batches of its own, {}",
                        report.clients.unwrap_or_default().describe()
                    ),
                },
                report.outer
            ),
        ),
        Term::new(
            "tape",
            "the weights of every training step, kept so that the backward pass through training is \
             exact; it grows with the length of training",
        ),
    ];
    if report.method == "hats" {
        terms.push(Term::new(
            "hats",
            "a shortcut without a tape: sums for a least-squares fit are streamed while training \
             runs, and the backward pass uses the fit in place of the steps themselves",
        ));
    } else if report.method != "tape" {
        let meaning = "the method that computed this run's hypergradients";
        terms.push(Term::new(&report.method, meaning));
    }
    terms
}

/// Which clients diverged, and when.
fn absent(report: &Report) -> String {
    let each = report.meta_steps.iter().flat_map(|m| {
        let clients = m.left_out.iter();
        clients.map(|client| format!("client {client} at meta-iteration {}", m.step))
    });
    match &each.collect::<Vec<_>>()[..] {
        [] => String::new(),
        all => format!(" Diverged and left out: {}.", all.join(", ")),
    }
}

fn tables(report: &Report) -> Vec<Table> {
    let mut tables = Vec::new();
    let steps = report.meta_steps.iter().map(|m| {
        vec![
            m.step.to_string(),
            number(m.train_loss),
            number(m.valid_loss),
            percent(m.valid_error),
            percent(m.test_error),
            number(m.norm),
            number(m.seconds),
        ]
    });
    tables.push(Table {
        heading: "Meta-iterations",
        note: format!(
            "Losses in nats per example; the norm is the hypergradient's.{}",
            absent(report)
        ),
        columns: [
            "meta-iteration",
            "training loss",
            "validation loss",
            "validation error",
            "test error",
            "norm",
            "seconds",
        ]
        .map(Cell::from)
        .into(),
        rows: steps.map(Line::from).collect(),
        numbers: true,
        open: report.meta_steps.len() <= 12,
    });
    let costs = report.costs.iter().map(|c| {
        vec![
            c.name.clone(),
            number(c.seconds),
            brief(c.floats_per_weight),
            fixed(c.gradients as f64, 0),
            fixed(c.second_order_products as f64, 0),
        ]
    });
    tables.push(Table {
        heading: "Costs",
        note: match report.draws {
            1 => "Each for one pass through the whole training run.".into(),
            _ => format!(
                "Each for one pass through the whole training run, while those of the {} share the \
                 cores.",
                draws(report)
            ),
        },
        columns: [
            "pass",
            "seconds",
            "floats per weight",
            "gradients",
            "second-order products",
        ]
        .map(Cell::from)
        .into(),
        rows: costs.map(Line::from).collect(),
        numbers: true,
        open: true,
    });
    tables.extend(backdrop(&report.settings, &report.versions));
    tables.retain(|table| !table.rows.is_empty());
    tables
}

/// What was run, and with what.
fn backdrop(settings: &[(String, String)], versions: &[(String, String)]) -> [Table; 2] {
    let table = |heading, columns: [&str; 2], pairs: &[(String, String)]| Table {
        heading,
        note: String::new(),
        columns: columns.map(Cell::from).into(),
        rows: pairs
            .iter()
            .map(|(name, value)| vec![name.clone(), value.clone()].into())
            .collect(),
        numbers: false,
        open: true,
    };
    [
        table("Settings", ["setting", "value"], settings),
        table("Versions", ["what", "version"], versions),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_skips_what_is_not_finite() {
        let mean = running_mean(&[1.0, f32::NAN, 3.0], 1);
        assert_eq!(mean, [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]);
        assert!(running_mean(&[f32::NAN], 0)[0].1.is_nan());
    }

    #[test]
    fn the_commonest_value_is_counted() {
        assert_eq!(commonest(&[1.0, -4.0, -4.0, f32::NAN]), (-4.0, 2));
        assert_eq!(commonest(&[]).1, 0);
    }
}
