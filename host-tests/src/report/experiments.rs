//! The page of the papers' experiments: what was published, what we found, and a figure for each.
//!
//! [`Findings`] is all that one experiment found, as plain data: it is written as `findings.json`, and
//! the page has no other source.

use serde::{Deserialize, Serialize};

use super::{null_is_nan, nulls_are_nan_f64 as nulls_are_nan};

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
    pub y: Vec<Vec<f64>>,
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
