//! The page of the papers' experiments: what was published, what we found, and a figure for each.
//!
//! [`Findings`] is all that one experiment found, as plain data: it is written as `findings.json`, and
//! the page has no other source. [`render`] turns one or several of them into one HTML file in the look
//! of the tuning report; [`markdown`] and [`picture_files`] into a page of documentation and the pictures
//! that it shows, which follow the reader's light or dark mode by themselves.
//!
//! A number that was measured for several seeds is their mean `m` with half the distance between the
//! least and the greatest of them, `m ± (max - min) / 2`; values that aren't finite are left out of both
//! and counted.
//!
//! Figures without anything to show are left out, and so is a metric that a variant doesn't have.
//!
//! Refused: shapes that contradict themselves (a curve with more heights than places, a matrix that its
//! rows and columns don't fill), a metric in two units, a ranking by a metric that no variant has, and
//! experiments of one name. The error says which figure it is.

use std::cmp::Ordering;

use anyhow::{Result, ensure};
use minijinja::HtmlEscape;
use serde::{Deserialize, Deserializer, Serialize};

use super::plots::{self, Band, Bands, Grid, Picture, Ranked, Tiles, drawable};
use super::words::{self, Alike, capital, count, duration};
use super::{
    Cell, Figure, Line, PALETTE, Section, Table, Term, Tile, View, backdrop, fill, null_is_nan,
    nulls_are_nan_f64 as nulls_are_nan,
};

/// All that one experiment found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Findings {
    /// Its name on the command line.
    pub name: String,
    /// The heading.
    pub title: String,
    /// Whose experiment it is, for example `Maclaurin et al. 2015, section 3.2`.
    pub source: String,
    /// What was done and what it shows, a few sentences.
    pub about: String,
    /// Whether this is the reduced form, whose numbers mean little.
    pub quick: bool,
    /// Settings as names and values.
    pub settings: Vec<(String, String)>,
    /// The seeds of each variant.
    pub seeds: usize,
    /// Processor time that all of it took, over all cores.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// What was compared.
    pub variants: Vec<Variant>,
    /// Published values beside ours.
    pub compared: Vec<Compared>,
    /// The pictures.
    pub figures: Vec<Shown>,
    /// What else there is to say: where settings depart from the paper's, what did not work.
    pub notes: Vec<String>,
    /// What it was made with: names and versions.
    pub versions: Vec<(String, String)>,
}

/// One of the things compared, with what was measured of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What was measured; variants of one experiment need not have the same.
    pub metrics: Vec<Metric>,
    /// What went wrong, where it did: the variant then has few metrics or none.
    pub failed: Option<String>,
}

/// A number, measured once for each seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// What it is, for example `test error`.
    pub name: String,
    /// How it is written.
    pub unit: Unit,
    /// One value a seed.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub values: Vec<f64>,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A loss, or any other plain number of that size.
    Number,
    /// A fraction, written in percent.
    Percent,
    /// A cosine.
    Cosine,
    /// So many times.
    Times,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A whole number.
    Count,
}

/// A published value beside ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compared {
    /// What it is of, for example `test error, DrMAD, 20 meta-iterations`.
    pub what: String,
    /// The published value.
    pub published: Option<f64>,
    /// Ours, one value a seed.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub ours: Vec<f64>,
    /// How both are written.
    pub unit: Unit,
    /// A sentence on why they differ, or empty.
    pub remark: String,
}

/// A picture, as the numbers it shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Shown {
    /// Curves over one axis.
    Curves(Curves),
    /// Small pictures in rows, such as a penalty for each pixel and digit.
    Images(Images),
    /// A matrix as a heat map with names at its rows and columns.
    Matrix(Matrix),
    /// A metric of all variants, seed by seed.
    Ranking(Ranking),
}

/// Curves over one axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curves {
    /// One or two sentences under the picture.
    pub caption: String,
    /// What runs along the bottom.
    pub x_label: String,
    /// What runs up.
    pub y_label: String,
    /// Whether the axes are logarithmic: x, y.
    pub log: [bool; 2],
    /// The curves.
    pub series: Vec<Curve>,
}

/// One curve, of one or more seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Where its points stand.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub x: Vec<f64>,
    /// The heights for each seed, each as long as `x`: the page draws their mean and, where there are
    /// several, the band from the least to the greatest.
    #[serde(deserialize_with = "rows")]
    pub y: Vec<Vec<f64>>,
}

/// Nulls as NaN, in each row.
fn rows<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<f64>>, D::Error> {
    #[derive(Deserialize)]
    struct Row(#[serde(deserialize_with = "nulls_are_nan")] Vec<f64>);
    let rows: Vec<Row> = Vec::deserialize(from)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Small pictures of one size, in rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Images {
    /// One or two sentences under the picture.
    pub caption: String,
    /// What a value is, for the scale.
    pub unit: String,
    /// Rows of pixels in each.
    pub rows: usize,
    /// Columns of pixels in each.
    pub columns: usize,
    /// How many stand side by side.
    pub across: usize,
    /// Whether the colours part at zero.
    pub diverging: bool,
    /// The pictures with their names.
    pub images: Vec<Image>,
}

/// One small picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Its pixels, row by row.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub values: Vec<f64>,
}

/// A matrix with names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// One or two sentences under the picture.
    pub caption: String,
    /// What a value is, for the scale.
    pub unit: String,
    /// The names of the rows.
    pub rows: Vec<String>,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The values, row by row; NaN is left blank.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub values: Vec<f64>,
}

/// A metric of all variants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ranking {
    /// One or two sentences under the picture.
    pub caption: String,
    /// The metric's name; variants without it are left out.
    pub metric: String,
    /// The name of a variant the others are compared with by a line, or none.
    pub baseline: Option<String>,
}

impl Unit {
    /// How numbers like this one are written.
    fn alike(self, like: f64) -> Alike {
        match self {
            Self::Number => Alike::number(like),
            Self::Percent => Alike::percent(),
            Self::Cosine => Alike::cosine(like),
            Self::Times => Alike::times(like),
            Self::Seconds => Alike::duration(like),
            Self::Bytes => Alike::bytes(like),
            Self::Count => Alike::count(like),
        }
    }
}

/// What the values of some seeds come to.
struct Spread {
    mean: f64,
    least: f64,
    greatest: f64,
    /// How many are numbers, and how many there are.
    finite: usize,
    all: usize,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut sum, mut all) = (0.0, 0);
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut finite = 0;
        for value in values {
            all += 1;
            if drawable(value) {
                finite += 1;
                sum += value;
                least = least.min(value);
                greatest = greatest.max(value);
            }
        }
        Self {
            // No value: nothing divided by nothing, and so not a number.
            mean: sum / finite as f64,
            least,
            greatest,
            finite,
            all,
        }
    }

    /// What is missing from the mean.
    fn missing(&self) -> String {
        match self.all - self.finite {
            0 => String::new(),
            _ if self.finite == 0 => String::new(),
            n => format!(" ({n} of {} {})", self.all, words::NOT_FINITE),
        }
    }

    /// The mean with half the spread.
    fn say(&self, unit: Unit) -> String {
        let alike = unit.alike(self.mean);
        let text = match self.finite {
            0 if self.all == 0 => return "–".into(),
            0 => return words::NOT_FINITE.into(),
            _ if self.least == self.greatest => alike.say(self.mean),
            _ => alike.both(self.mean, " ± ", 0.5 * (self.greatest - self.least)),
        };
        text + &self.missing()
    }
}

impl Findings {
    /// What links lead to and what its pictures' names begin with.
    fn id(&self) -> String {
        let plain = |c: char| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_lowercase(),
            false => '-',
        };
        let id: String = self.name.chars().map(plain).collect();
        match id.trim_matches('-') {
            "" => "experiment".into(),
            id => id.into(),
        }
    }

    /// The names and units of all metrics, in the order in which they occur.
    fn metrics(&self) -> Result<Vec<(&str, Unit)>> {
        let mut metrics: Vec<(&str, Unit)> = vec![];
        for metric in self.variants.iter().flat_map(|v| &v.metrics) {
            match metrics.iter().find(|(name, _)| *name == metric.name) {
                None => metrics.push((&metric.name, metric.unit)),
                Some((_, unit)) => ensure!(
                    *unit == metric.unit,
                    "{}: {} is measured in two units",
                    self.name,
                    metric.name
                ),
            }
        }
        Ok(metrics)
    }
}

impl Variant {
    fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|m| m.name == name)
    }
}

impl Metric {
    fn spread(&self) -> Spread {
        Spread::of(self.values.iter().copied())
    }
}

/// Whether the better of two values of a metric is the smaller one, where its name says so.
fn lower_is_better(metric: &str, unit: Unit) -> Option<bool> {
    let has = |names: &[&str]| names.iter().any(|n| metric.to_lowercase().contains(n));
    match unit {
        Unit::Cosine => Some(false),
        _ if has(&["error", "loss", "perplexity"]) => Some(true),
        _ if has(&["accuracy", "f1", "precision", "recall", "cosine", "correct"]) => Some(false),
        Unit::Seconds | Unit::Bytes => Some(true),
        _ => None,
    }
}

/// What an experiment found, for a terminal: each variant with its metrics, plain numbers that stay as
/// they are: the mean of the seeds, then the least and the greatest.
pub fn text(findings: &Findings) -> String {
    let mut lines = vec![format!("\n{}: {}", findings.name, findings.title)];
    for variant in &findings.variants {
        lines.push(variant.name.clone());
        for metric in &variant.metrics {
            let Spread {
                mean,
                least,
                greatest,
                ..
            } = metric.spread();
            lines.push(format!(
                "    {:<28} {mean:>12.5e} {least:>12.5e} {greatest:>12.5e}",
                metric.name
            ));
        }
        if let Some(why) = &variant.failed {
            lines.push(format!("    failed: {why}"));
        }
    }
    lines.join("\n")
}

/// Renders one experiment, or several with a table over all of them, as one self-contained HTML file.
///
/// # Errors
///
/// If a figure contradicts itself, a metric has two units, or two experiments have one name.
pub fn render(findings: &[Findings]) -> Result<String> {
    fill(view(findings)?)
}

fn view(findings: &[Findings]) -> Result<View> {
    let mut ids: Vec<String> = findings.iter().map(Findings::id).collect();
    ids.sort();
    for pair in ids.windows(2) {
        ensure!(pair[0] != pair[1], "two experiments are called {}", pair[0]);
    }
    let mut opening = vec![compared(findings), times(findings)];
    opening.retain(|table| !table.rows.is_empty());
    let mut sections = vec![];
    let alone = matches!(findings, [_]);
    if !alone {
        sections.push(Section::tables(opening));
        opening = vec![];
    }
    // Most often all were made with the same things.
    let same = findings.windows(2).all(|w| w[0].versions == w[1].versions);
    for one in findings {
        let mut tables = opening;
        opening = vec![];
        tables.retain(|table| alone && table.heading == COMPARED);
        tables.push(variants(one)?);
        tables.retain(|table| !table.rows.is_empty());
        sections.push(Section {
            id: one.id(),
            heading: if alone { "" } else { &one.title }.into(),
            source: if alone { "" } else { &one.source }.into(),
            warning: if one.quick { QUICK } else { "" }.into(),
            about: paragraphs(&one.about),
            figures: figures(one)?,
            terms: vec![],
            tables,
            notes: one.notes.clone(),
        });
        let versions: &[_] = if same { &[] } else { &one.versions };
        let mut tables: Vec<Table> = backdrop(&one.settings, versions).into();
        tables.retain(|table| !table.rows.is_empty());
        for table in &mut tables {
            table.open = false;
        }
        if !tables.is_empty() {
            sections.push(Section::tables(tables));
        }
    }
    let terms = terms(findings);
    if !terms.is_empty() {
        sections.push(Section::terms(terms));
    }
    let versions = findings
        .first()
        .filter(|_| same)
        .map_or(&[][..], |f| &f.versions);
    let [_, mut versions] = backdrop(&[], versions);
    versions.open = false;
    Ok(View {
        experiment: match findings {
            [one] => one.name.clone(),
            _ => "experiments".into(),
        },
        title: match findings {
            [one] => one.title.clone(),
            _ => "The papers\u{2019} experiments".into(),
        },
        lead: lead(findings),
        sub: sub(findings),
        tiles: match findings {
            [one] => tiles(one),
            _ => vec![],
        },
        sections,
        terms: vec![],
        tables: if versions.rows.is_empty() {
            vec![]
        } else {
            vec![versions]
        },
    })
}

const COMPARED: &str = "Published and ours";
const QUICK: &str = "A quick run: everything is smaller and shorter than in the experiment, to see that \
                     all of it works. Its numbers mean little.";

fn paragraphs(text: &str) -> Vec<String> {
    let parts = text
        .split("\n\n")
        .map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    parts.filter(|p| !p.is_empty()).collect()
}

/// How many published values there are to compare with, and how many of them ours is near to.
fn near(findings: &[Findings]) -> (usize, usize) {
    let pairs = findings.iter().flat_map(|f| &f.compared).filter_map(|c| {
        let (ours, published) = (c.spread().mean, c.published?);
        let known = drawable(ours) && drawable(published);
        known.then_some((ours - published, published, c.unit))
    });
    pairs.fold((0, 0), |(near, all), (difference, published, unit)| {
        // Of 90 % right, a tenth is a tenth of the 10 % that are wrong.
        let size = match unit {
            Unit::Percent | Unit::Cosine => published.abs().min((1.0 - published).abs()),
            _ => published.abs(),
        };
        let is_near = difference.abs() <= 0.1 * size;
        (near + usize::from(is_near), all + 1)
    })
}

/// The result in one sentence.
fn lead(findings: &[Findings]) -> String {
    let known = |c: &&Compared| c.published.is_some_and(drawable) && drawable(c.spread().mean);
    if let [one] = findings {
        return match one.compared.iter().find(known) {
            Some(c) => {
                let published = c.published.unwrap_or(f64::NAN);
                format!(
                    "{}: {}, published\u{a0}{}",
                    capital(&c.what),
                    c.unit.alike(published).say(c.spread().mean),
                    c.unit.alike(published).say(published)
                )
            }
            None => match one.variants.len() {
                0 | 1 => capital(&count(one.seeds, "seed")),
                n => format!(
                    "{} compared over {}",
                    count(n, "variant"),
                    count(one.seeds, "seed")
                ),
            },
        };
    }
    let experiments = count(findings.len(), "experiment");
    match near(findings) {
        (_, 0) => experiments,
        (near, all) => format!(
            "{experiments}: ours is near {near} of {}",
            count(all, "published value")
        ),
    }
}

/// How the result was come by.
fn sub(findings: &[Findings]) -> String {
    if let [one] = findings {
        let end = if one.source.ends_with('.') { "" } else { "." };
        let source = match one.source.is_empty() {
            true => String::new(),
            false => format!("{}{end} ", one.source),
        };
        return format!(
            "{source}{} a variant, {} of processor time.",
            capital(&count(one.seeds, "seed")),
            duration(one.seconds)
        );
    }
    let quick: Vec<&str> = findings
        .iter()
        .filter(|f| f.quick)
        .map(|f| f.name.as_str())
        .collect();
    match quick.len() {
        0 => String::new(),
        n if n == findings.len() => "All of them are quick runs, whose numbers mean little.".into(),
        _ => format!(
            "Quick runs, whose numbers mean little: {}.",
            quick.join(", ")
        ),
    }
}

/// Our values beside the published ones.
fn tiles(one: &Findings) -> Vec<Tile> {
    let tile = |c: &Compared| Tile {
        label: c.what.clone(),
        value: c.unit.alike(c.spread().mean).say(c.spread().mean),
        note: match c.published {
            Some(published) => format!("published {}", c.unit.alike(published).say(published)),
            None => "not published".into(),
        },
    };
    one.compared.iter().take(4).map(tile).collect()
}

impl Compared {
    fn spread(&self) -> Spread {
        Spread::of(self.ours.iter().copied())
    }

    /// Ours less the published value, and where that says something its share of the latter.
    fn difference(&self) -> String {
        let ours = self.spread().mean;
        let Some(published) = self.published.filter(|p| drawable(*p) && drawable(ours)) else {
            return "–".into();
        };
        let difference = self.unit.alike(published).difference(ours - published);
        match self.unit {
            Unit::Percent | Unit::Cosine => difference,
            _ if published == 0.0 => difference,
            _ => {
                let share = 100.0 * (ours - published) / published.abs();
                let plus = if share > 0.0 { "+" } else { "" };
                format!("{difference} ({plus}{}\u{a0}%)", words::fixed(share, 1))
            }
        }
    }
}

fn words(text: &str) -> Cell {
    Cell {
        class: "words",
        ..text.into()
    }
}

/// An experiment's name, which leads to it.
fn link(one: &Findings) -> Cell {
    let quick = if one.quick { " (quick)" } else { "" };
    Cell {
        link: one.id(),
        ..words(&format!("{}{quick}", one.name))
    }
}

/// All published values beside ours.
fn compared(findings: &[Findings]) -> Table {
    let alone = matches!(findings, [_]);
    let mut columns: Vec<Cell> = vec![];
    if !alone {
        columns.push(words("experiment"));
    }
    columns.extend([words("what"), "published".into(), "ours".into()]);
    columns.extend(["least to greatest".into(), "difference".into()]);
    let row = |one: &Findings, c: &Compared| {
        let spread = c.spread();
        let alike = c.unit.alike(c.published.unwrap_or(spread.mean));
        let mut cells = vec![];
        if !alone {
            cells.push(link(one));
        }
        cells.push(Cell {
            class: "words wrap",
            ..c.what.as_str().into()
        });
        let ours = match spread.all {
            0 => "–".into(),
            _ => alike.say(spread.mean) + &spread.missing(),
        };
        let range = match spread.finite {
            0 | 1 => "–".into(),
            _ => alike.both(spread.least, " to ", spread.greatest),
        };
        let published = c.published.map_or("–".into(), |p| alike.say(p));
        for text in [published, ours, range, c.difference()] {
            cells.push(text.as_str().into());
        }
        Line {
            cells,
            marked: false,
            remark: c.remark.clone(),
        }
    };
    let rows = findings
        .iter()
        .flat_map(|f| f.compared.iter().map(move |c| row(f, c)));
    Table {
        heading: COMPARED,
        note: "Ours is the mean over the seeds; the difference is ours less the published value. Near is \
               within a tenth of it, or of what it lacks to 100\u{a0}% where that is less."
            .into(),
        columns,
        rows: rows.collect(),
        numbers: true,
        open: true,
    }
}

/// What took how long, the longest first.
fn times(findings: &[Findings]) -> Table {
    let total: f64 = findings
        .iter()
        .map(|f| f.seconds)
        .filter(|s| drawable(*s))
        .sum();
    let mut order: Vec<&Findings> = findings.iter().collect();
    let key = |f: &Findings| if drawable(f.seconds) { f.seconds } else { -1.0 };
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    let rows = order.into_iter().map(|one| Line {
        cells: vec![
            link(one),
            duration(one.seconds).as_str().into(),
            words::percent(one.seconds / total).as_str().into(),
        ],
        marked: false,
        remark: String::new(),
    });
    Table {
        heading: "What took how long",
        note: format!(
            "Processor time over all cores, {} together.",
            duration(total)
        ),
        columns: vec![words("experiment"), "processor time".into(), "share".into()],
        rows: rows.collect(),
        numbers: true,
        open: true,
    }
}

/// Variants by metrics.
fn variants(one: &Findings) -> Result<Table> {
    let metrics = one.metrics()?;
    let columns = [words("variant")].into_iter();
    let columns = columns.chain(metrics.iter().map(|(name, _)| (*name).into()));
    // The best mean of each column, where there is a choice.
    let best = |(name, unit): &(&str, Unit)| {
        let lower = lower_is_better(name, *unit)?;
        let means = one.variants.iter().filter_map(|v| v.metric(name));
        let means: Vec<f64> = means
            .map(|m| m.spread().mean)
            .filter(|m| drawable(*m))
            .collect();
        let ends = means
            .iter()
            .copied()
            .fold(None, |best: Option<f64>, m| match best {
                Some(b) if (m < b) != lower => Some(b),
                _ => Some(m),
            });
        // Where all are alike, none is best.
        ends.filter(|best| means.iter().any(|m| m != best))
    };
    let bests: Vec<Option<f64>> = metrics.iter().map(best).collect();
    let row = |variant: &Variant| {
        let cells = metrics.iter().zip(&bests).map(|((name, unit), best)| {
            let Some(metric) = variant.metric(name) else {
                return "–".into();
            };
            let spread = metric.spread();
            let alike = unit.alike(spread.mean);
            let seeds: Vec<String> = metric.values.iter().map(|v| alike.say(*v)).collect();
            Cell {
                hint: if seeds.len() > 1 {
                    seeds.join(", ")
                } else {
                    String::new()
                },
                class: if *best == Some(spread.mean) {
                    "best"
                } else {
                    ""
                },
                ..spread.say(*unit).as_str().into()
            }
        });
        Line {
            cells: [words(&variant.name)].into_iter().chain(cells).collect(),
            marked: false,
            remark: match &variant.failed {
                Some(why) => format!("failed: {why}"),
                None => String::new(),
            },
        }
    };
    let several = one
        .variants
        .iter()
        .flat_map(|v| &v.metrics)
        .any(|m| m.values.len() > 1);
    let note = match several {
        true => format!(
            "Means over {}, ± half the distance from the least to the greatest.",
            count(one.seeds, "seed")
        ),
        false => String::new(),
    };
    let note = match bests.iter().any(Option::is_some) {
        true => format!("{note} The best of a column is in colour."),
        false => note,
    };
    Ok(Table {
        heading: "Variants",
        note: note.trim().into(),
        columns: columns.collect(),
        rows: one.variants.iter().map(row).collect(),
        numbers: true,
        open: true,
    })
}

/// Words that a reader from elsewhere needs, each explained where it occurs.
const TERMS: [(&str, &[&str], &str); 10] = [
    (
        "meta-iteration",
        &["meta-iteration", "meta-step"],
        "one training from the start, its hypergradient, and one step of the outer optimizer, which \
         changes the hyperparameters",
    ),
    (
        "sign vote",
        &["sign vote"],
        "each of several trainings votes up or down for every hyperparameter by the sign of its \
         hypergradient, and the majority decides which way it moves by a fixed step",
    ),
    (
        "DrMAD",
        &["drmad"],
        "the shortcut that replaces the true path of training by the straight line from its first \
         weights to its last",
    ),
    (
        "exact",
        &["exact"],
        "through the very steps that training took, up to rounding",
    ),
    (
        "forward mode",
        &["forward mode"],
        "derivatives by the hyperparameters carried along while training runs; its cost grows with \
         their number, its memory doesn\u{2019}t grow with the length of training",
    ),
    (
        "real time",
        &["real time", "real-time", "rtho"],
        "hyperparameters changed while training runs, and not after it",
    ),
    (
        "cosine",
        &["cosine"],
        "that of the angle between two vectors: one where both have the same direction, nought where \
         they have nothing in common",
    ),
    (
        "penalty",
        &["penalty", "penalties"],
        "the coefficient of the squares of weights in the training loss: the larger, the closer they \
         stay to zero",
    ),
    (
        "F1",
        &["f1"],
        "the harmonic mean of the share of findings that are right and the share of what is right that \
         was found",
    ),
    (
        "baseline",
        &["baseline"],
        "the same without tuning, what every tuned variant is compared with",
    ),
];

/// The terms that occur in what the page says.
fn terms(findings: &[Findings]) -> Vec<Term> {
    let mut said = String::new();
    for one in findings {
        let mut say = |text: &str| {
            said.push('\n');
            said.push_str(&text.to_lowercase());
        };
        [&one.title, &one.about]
            .into_iter()
            .chain(&one.notes)
            .for_each(|t| say(t));
        one.settings.iter().for_each(|(name, value)| {
            say(name);
            say(value);
        });
        one.compared.iter().for_each(|c| {
            say(&c.what);
            say(&c.remark);
        });
        for variant in &one.variants {
            say(&variant.name);
            variant.metrics.iter().for_each(|m| say(&m.name));
        }
        one.figures.iter().for_each(|f| say(f.caption()));
    }
    let mut terms = vec![];
    if !findings.is_empty() {
        terms.push(Term::hypergradient());
    }
    let known = TERMS
        .iter()
        .filter(|(_, forms, _)| forms.iter().any(|f| said.contains(f)));
    terms.extend(known.map(|(word, _, meaning)| Term::new(word, *meaning)));
    if findings.iter().any(|f| f.seeds > 1) {
        terms.push(Term::new(
            "seed",
            "what examples, initial weights and batches are drawn from: seeds differ in nothing else",
        ));
    }
    terms
}

impl Shown {
    fn caption(&self) -> &str {
        match self {
            Self::Curves(f) => &f.caption,
            Self::Images(f) => &f.caption,
            Self::Matrix(f) => &f.caption,
            Self::Ranking(f) => &f.caption,
        }
    }
}

/// The pictures of an experiment that have something to show.
fn figures(one: &Findings) -> Result<Vec<Figure>> {
    let mut figures = vec![];
    for (i, shown) in one.figures.iter().enumerate() {
        let name = format!("{}, figure {}", one.name, i + 1);
        let drawn = match shown {
            Shown::Curves(f) => curves(f, &name)?,
            Shown::Images(f) => images(f, &name)?,
            Shown::Matrix(f) => matrix(f, &name)?,
            Shown::Ranking(f) => ranking(f, one, &name)?,
        };
        if let Some((label, more, picture)) = drawn {
            let caption = format!("{}{more}", shown.caption());
            figures.push(Figure::new(label, caption.trim().into(), picture));
        }
    }
    Ok(figures)
}

/// What a screen reader says, what is said behind the caption, and the picture.
type Drawn = Option<(String, String, Picture)>;

/// The sentence that owns up to what a picture leaves out.
fn left_out(bad: usize, all: usize, why: &str) -> String {
    match bad {
        0 => String::new(),
        _ if bad == all => format!(" Not one value is {why}."),
        _ => format!(
            " {} of {} not {why} and left out.",
            words::fixed(bad as f64, 0),
            match bad {
                1 => format!("{} is", count(all, "value")),
                _ => format!("{} are", count(all, "value")),
            }
        ),
    }
}

fn curves(f: &Curves, name: &str) -> Result<Drawn> {
    let mut bands = vec![];
    let (mut bad, mut all, mut seeds) = (0, 0, 0);
    let placed = |v: f64, log: bool| drawable(v) && (!log || v > 0.0);
    for curve in &f.series {
        for heights in &curve.y {
            ensure!(
                heights.len() == curve.x.len(),
                "{name}: the curve {} has {} places and {} heights",
                curve.name,
                curve.x.len(),
                heights.len()
            );
            all += heights.len();
            let pairs = curve.x.iter().zip(heights);
            bad += pairs
                .filter(|(x, y)| !placed(**x, f.log[0]) || !placed(**y, f.log[1]))
                .count();
        }
        if curve.x.is_empty() || curve.y.is_empty() {
            continue;
        }
        seeds = seeds.max(curve.y.len());
        let spread = |i: usize| Spread::of(curve.y.iter().filter_map(|y| y.get(i).copied()));
        let spreads: Vec<Spread> = (0..curve.x.len()).map(spread).collect();
        let points = || curve.x.iter().copied().zip(&spreads);
        bands.push(Band {
            name: curve.name.clone(),
            line: points().map(|(x, s)| (x, s.mean)).collect(),
            range: match curve.y.len() {
                1 => vec![],
                _ => points().map(|(x, s)| (x, s.least, s.greatest)).collect(),
            },
        });
    }
    if bands.is_empty() {
        return Ok(None);
    }
    let mut more = match seeds {
        0 | 1 => String::new(),
        n => {
            format!(" Lines are means over {n} seeds, bands reach from the least to the greatest.")
        }
    };
    let why = if f.log[1] || f.log[0] {
        "finite and positive"
    } else {
        "finite"
    };
    more += &left_out(bad, all, why);
    let label = format!("{} over {}", f.y_label, f.x_label);
    let picture = Bands {
        x_label: f.x_label.clone(),
        y_label: f.y_label.clone(),
        log: f.log,
        curves: bands,
    };
    Ok(Some((label, more, picture.draw()?)))
}

/// How many values aren't finite, and how many there are.
fn bad<'a>(values: impl Iterator<Item = &'a f64>) -> (usize, usize) {
    values.fold((0, 0), |(bad, all), v| {
        (bad + usize::from(!drawable(*v)), all + 1)
    })
}

fn images(f: &Images, name: &str) -> Result<Drawn> {
    for image in &f.images {
        ensure!(
            f.rows.checked_mul(f.columns) == Some(image.values.len()),
            "{name}: {} rows of {} don\u{2019}t hold the {} values of {}",
            f.rows,
            f.columns,
            image.values.len(),
            image.name
        );
    }
    if f.images.is_empty() || f.rows == 0 || f.columns == 0 {
        return Ok(None);
    }
    ensure!(f.across > 0, "{name}: no picture fits a row of none");
    let (bad, all) = bad(f.images.iter().flat_map(|i| &i.values));
    let tiles = Tiles {
        unit: f.unit.clone(),
        rows: f.rows,
        columns: f.columns,
        across: f.across,
        diverging: f.diverging,
        images: f
            .images
            .iter()
            .map(|i| (i.name.as_str(), i.values.as_slice()))
            .collect(),
    };
    let label = format!("{} of {}", f.unit, count(f.images.len(), "picture"));
    Ok(Some((label, left_out(bad, all, "finite"), tiles.draw()?)))
}

fn matrix(f: &Matrix, name: &str) -> Result<Drawn> {
    ensure!(
        f.rows.len().checked_mul(f.columns.len()) == Some(f.values.len()),
        "{name}: {} rows of {} don\u{2019}t hold {} values",
        f.rows.len(),
        f.columns.len(),
        f.values.len()
    );
    if f.values.is_empty() {
        return Ok(None);
    }
    // All cells as the largest of them, with a digit less than in a table.
    let most = f
        .values
        .iter()
        .filter(|v| drawable(**v))
        .fold(0.0f64, |m, v| m.max(v.abs()));
    let decimals = match most > 0.0 {
        true => (2.0 - most.log10().floor()).clamp(0.0, 4.0) as usize,
        false => 0,
    };
    let say = |v: f64| match most >= 1e5 || (most > 0.0 && most < 1e-3) {
        true => words::scientific(v, 1),
        false => words::fixed(v, decimals),
    };
    let grid = Grid {
        unit: f.unit.clone(),
        rows: &f.rows,
        columns: &f.columns,
        values: &f.values,
        say: &say,
    };
    let (bad, all) = bad(f.values.iter());
    let label = format!("{}, {} by {}", f.unit, f.rows.len(), f.columns.len());
    Ok(Some((label, left_out(bad, all, "finite"), grid.draw()?)))
}

fn ranking(f: &Ranking, one: &Findings, name: &str) -> Result<Drawn> {
    if let Some(baseline) = &f.baseline {
        ensure!(
            one.variants.iter().any(|v| v.name == *baseline),
            "{name}: no variant is called {baseline}"
        );
    }
    let having = |v: &'_ &Variant| v.metric(&f.metric).is_some();
    let Some(unit) = one
        .variants
        .iter()
        .find_map(|v| Some(v.metric(&f.metric)?.unit))
    else {
        ensure!(
            one.variants.iter().all(|v| v.failed.is_some()),
            "{name}: no variant has the metric {}",
            f.metric
        );
        return Ok(None);
    };
    let mut measured: Vec<(&Variant, &Metric, Spread)> = vec![];
    let mut absent: Vec<&str> = vec![];
    for variant in one.variants.iter().filter(having) {
        match variant.metric(&f.metric).map(|m| (m, m.spread())) {
            Some((metric, spread)) if drawable(spread.mean) => {
                measured.push((variant, metric, spread))
            }
            _ => absent.push(&variant.name),
        }
    }
    let lower = lower_is_better(&f.metric, unit).unwrap_or(true);
    measured.sort_by(|a, b| match lower {
        true => a.2.mean.total_cmp(&b.2.mean),
        false => b.2.mean.total_cmp(&a.2.mean),
    });
    let Some((_, _, best)) = measured.first() else {
        return Ok(None);
    };
    let alike = unit.alike(best.mean);
    let all = || {
        measured
            .iter()
            .flat_map(|(_, m, _)| &m.values)
            .copied()
            .filter(|v| drawable(*v))
    };
    let (least, most) = all().fold((f64::INFINITY, 0.0f64), |(l, m), v| (l.min(v), m.max(v)));
    // What failed badly must not squeeze all others into one place.
    let log = least > 0.0 && most / least > 30.0;
    let line = f.baseline.as_ref().and_then(|baseline| {
        let (_, _, spread) = measured.iter().find(|(v, ..)| v.name == *baseline)?;
        let name = words::shortened(baseline, 30);
        Some((
            spread.mean / alike.per,
            format!("{name}: {}", alike.say(spread.mean)),
        ))
    });
    let rows = measured.iter().map(|(variant, metric, spread)| Ranked {
        name: variant.name.clone(),
        family: None,
        seeds: metric.values.iter().map(|v| v / alike.per).collect(),
        mean: spread.mean / alike.per,
        text: alike.bare(spread.mean),
        front: spread.mean.total_cmp(&best.mean) == Ordering::Equal,
        hint: format!("{}\n{} {}", variant.name, f.metric, spread.say(unit)),
    });
    let shown = alike.unit.trim_start_matches('\u{a0}');
    let x_label = match shown {
        "" => f.metric.clone(),
        unit => format!("{} ({unit})", f.metric),
    };
    let sense = if lower {
        "lower is better"
    } else {
        "higher is better"
    };
    let rows: Vec<Ranked> = rows.collect();
    let mut more = match rows.iter().any(|r| r.seeds.len() > 1) {
        true => " A dot is a seed, the stroke their mean.".to_owned(),
        false => String::new(),
    };
    if !absent.is_empty() {
        more += &format!(" Not drawn, for want of a number: {}.", absent.join("; "));
    }
    let label = format!("{} of {}", f.metric, count(rows.len(), "variant"));
    let picture = plots::Ranking {
        heading: format!("{}: {sense}", f.metric),
        x_label: if log {
            format!("{x_label}, log axis")
        } else {
            x_label
        },
        log,
        line,
        rows,
    };
    Ok(Some((label, more, picture.draw()?)))
}

/// What the page's style sheet says of pictures, for one that stands alone.
const ALONE: &str = "svg { background: var(--card); --paper: var(--card); font-family: system-ui, \
                     -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\", Arial, sans-serif; } \
                     text { font-variant-numeric: tabular-nums; } \
                     polyline { stroke-linejoin: round; stroke-linecap: round; }";
const HALO: &str = " text { paint-order: stroke; stroke: var(--paper); stroke-width: 16; stroke-linejoin: round; }";

/// The name of an experiment's picture as a file.
fn file_name(id: &str, i: usize) -> String {
    format!("{id}-{}.svg", i + 1)
}

/// An experiment's pictures as SVG files that stand alone: names and texts.
///
/// # Errors
///
/// As [`render`].
pub fn picture_files(findings: &Findings) -> Result<Vec<(String, String)>> {
    findings.metrics()?;
    let id = findings.id();
    let files = figures(findings)?.into_iter().enumerate().map(|(i, f)| {
        // Air around the picture, as the page's cards have it.
        let (air, scale) = (48, plots::FINE);
        let (w, h) = (f.width + 2 * air, f.height + 2 * air);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-{air} -{air} {w} {h}\" \
             width=\"{}\" height=\"{}\" role=\"img\"{}>\n<title>{}</title>\n<style>\n{PALETTE}{ALONE}{}\n\
             </style>\n<rect x=\"-{air}\" y=\"-{air}\" width=\"{w}\" height=\"{h}\" rx=\"32\" fill=\"var(--card)\"/>\n\
             {}</svg>\n",
            w / scale,
            h / scale,
            if f.crisp { " shape-rendering=\"crispEdges\"" } else { "" },
            HtmlEscape(&f.label),
            if f.wide && !f.crisp { HALO } else { "" },
            f.body,
        );
        // XML knows no control characters.
        let text = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
        (file_name(&id, i), text)
    });
    Ok(files.collect())
}

/// Text that GitHub shows as it is, on one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// The same as a paragraph: what would make it a list or a rule loses that meaning.
fn paragraph(text: &str) -> String {
    let text = plain(text);
    match text.find(|c: char| !c.is_ascii_digit()) {
        Some(0) if text.starts_with(['-', '+', '=']) => format!("\\{text}"),
        Some(n) if n > 0 && text[n..].starts_with(['.', ')']) => {
            format!("{}\\{}", &text[..n], &text[n..])
        }
        _ => text,
    }
}

impl Table {
    /// The table in GitHub's Markdown.
    fn markdown(&self) -> String {
        let mut out = String::from("|");
        for column in &self.columns {
            out += &format!(" {} |", plain(&column.text));
        }
        out += "\n|";
        for (i, column) in self.columns.iter().enumerate() {
            let right = self.numbers && i > 0 && !column.class.contains("words");
            out += if right { " ---: |" } else { " --- |" };
        }
        for row in &self.rows {
            out += "\n|";
            // The remark goes under the words that it is on.
            let last = row.cells.iter().rposition(|c| c.class.contains("words"));
            for (i, cell) in row.cells.iter().enumerate() {
                let mut text = plain(&cell.text);
                if cell.class == "best" {
                    text = format!("**{text}**");
                }
                if !cell.link.is_empty() {
                    text = format!("[{text}](#{})", cell.link);
                }
                if Some(i) == last && !row.remark.is_empty() {
                    text += &format!("<br><sub>{}</sub>", plain(&row.remark));
                }
                out += &format!(" {text} |");
            }
        }
        out + "\n"
    }
}

/// Experiments as a page of documentation in GitHub's Markdown, with the pictures of [`picture_files`]
/// in a folder beside it.
///
/// # Errors
///
/// As [`render`].
pub fn markdown(findings: &[Findings], folder: &str) -> Result<String> {
    let view = view(findings)?;
    let folder: String = folder
        .trim_end_matches('/')
        .chars()
        .map(|c| match c {
            ' ' => "%20".into(),
            '(' => "%28".into(),
            ')' => "%29".into(),
            '<' => "%3C".into(),
            '>' => "%3E".into(),
            c => c.to_string(),
        })
        .collect();
    let mut blocks = vec![format!("# {}", plain(&view.title))];
    blocks.extend([paragraph(&view.lead), paragraph(&view.sub)]);
    let tables = Section::tables(view.tables);
    for section in view.sections.iter().chain([&tables]) {
        if !section.id.is_empty() {
            blocks.push(format!("<a id=\"{}\"></a>", section.id));
        }
        if !section.heading.is_empty() {
            blocks.push(format!("## {}", plain(&section.heading)));
        }
        if !section.source.is_empty() {
            blocks.push(format!("*{}*", plain(&section.source)));
        }
        if !section.warning.is_empty() {
            blocks.push(format!("> **{}**", plain(&section.warning)));
        }
        blocks.extend(section.about.iter().map(|text| paragraph(text)));
        for (i, figure) in section.figures.iter().enumerate() {
            let path = format!("{folder}/{}", file_name(&section.id, i));
            blocks.push(format!(
                "![{}]({})",
                plain(&figure.label),
                path.trim_start_matches('/')
            ));
            blocks.push(format!("<sub>{}</sub>", plain(&figure.caption)));
        }
        let terms = section.terms.iter();
        let terms = terms.map(|t| format!("- **{}**: {}.", plain(&t.word), plain(&t.meaning)));
        blocks.push(terms.collect::<Vec<_>>().join("\n"));
        for table in &section.tables {
            match table.open {
                true => {
                    blocks.push(format!("### {}", table.heading));
                    blocks.push(paragraph(&table.note));
                    blocks.push(table.markdown());
                }
                false => blocks.push(format!(
                    "<details><summary>{}</summary>\n\n{}\n</details>",
                    table.heading,
                    table.markdown()
                )),
            }
        }
        let notes = section.notes.iter().map(|n| format!("- {}", paragraph(n)));
        blocks.push(notes.collect::<Vec<_>>().join("\n"));
    }
    blocks.retain(|block| !block.trim().is_empty());
    Ok(blocks
        .iter()
        .map(|b| b.trim_end())
        .collect::<Vec<_>>()
        .join("\n\n")
        + "\n")
}
