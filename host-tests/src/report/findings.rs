//! What a study found, as plain data: it is written as `findings.json`, and its [page](super::experiments) has no
//! other source.
//!
//! A number that was measured for several seeds is their mean `m` with half the distance between the
//! least and the greatest of them, `m ± (max - min) / 2`; values that aren't finite are left out of both
//! and counted.
//!
//! Refused: a metric in two units.

use anyhow::{Result, ensure};
use serde::{Deserialize, Deserializer, Serialize};

use super::plots::canvas::drawable;
use crate::json::{null_is_nan, nulls_are_nan_f64 as nulls_are_nan};
use crate::words::{self, Alike};

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
    pub(super) fn alike(self, like: f64) -> Alike {
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
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
    /// How many are numbers, and how many there are.
    pub(super) finite: usize,
    pub(super) all: usize,
}

impl Spread {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
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
    pub(super) fn missing(&self) -> String {
        match self.all - self.finite {
            0 => String::new(),
            _ if self.finite == 0 => String::new(),
            n => format!(" ({n} of {} {})", self.all, words::NOT_FINITE),
        }
    }

    /// The mean with half the spread.
    pub(super) fn say(&self, unit: Unit) -> String {
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
    pub(super) fn id(&self) -> String {
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
    pub(super) fn metrics(&self) -> Result<Vec<(&str, Unit)>> {
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
    pub(super) fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|m| m.name == name)
    }
}

impl Metric {
    pub(super) fn spread(&self) -> Spread {
        Spread::of(self.values.iter().copied())
    }
}

/// Whether the better of two values of a metric is the smaller one, where its name says so.
pub(super) fn lower_is_better(metric: &str, unit: Unit) -> Option<bool> {
    let has = |names: &[&str]| names.iter().any(|n| metric.to_lowercase().contains(n));
    match unit {
        Unit::Cosine => Some(false),
        _ if has(&["error", "loss", "perplexity"]) => Some(true),
        _ if has(&["accuracy", "f1", "precision", "recall", "cosine", "correct"]) => Some(false),
        Unit::Seconds | Unit::Bytes => Some(true),
        _ => None,
    }
}

impl Compared {
    pub(super) fn spread(&self) -> Spread {
        Spread::of(self.ours.iter().copied())
    }

    /// Ours less the published value, and where that says something its share of the latter.
    pub(super) fn difference(&self) -> String {
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

impl Shown {
    pub(super) fn caption(&self) -> &str {
        match self {
            Self::Curves(f) => &f.caption,
            Self::Images(f) => &f.caption,
            Self::Matrix(f) => &f.caption,
            Self::Ranking(f) => &f.caption,
        }
    }
}
