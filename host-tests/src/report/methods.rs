//! Every method on one experiment, as plain data and as lines of plain numbers; the [page](super::frontier) is made from
//! the same.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::page::brief;
use super::plots::canvas::drawable;
use super::plots::{Family, on_front};
use crate::json::null_is_nan;
use crate::words::{columns, fixed, number, percent, plain};

/// One less the cosine up to which two hypergradients have one direction.
pub const EXACT: f64 = 1e-6;

/// Every method on one experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// The name the experiment has on the command line.
    pub experiment: String,
    /// The heading of the page.
    pub title: String,
    /// Settings of the run as names and values.
    pub settings: Vec<(String, String)>,
    /// What the run was made with: names and versions.
    pub versions: Vec<(String, String)>,
    /// Wall time of a training without any method: what times are multiples of.
    #[serde(default = "nan", deserialize_with = "null_is_nan")]
    pub plain_seconds: f64,
    /// One row a method, the exact one first.
    pub rows: Vec<Row>,
    /// The meta-iterations that each method tuned for, or nought where none did.
    pub tuned_meta_steps: usize,
}

/// One method. Numbers that are not finite become `null` in JSON and are read back as `NaN`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its name with its settings, for example `hats, K = 8, 11 levels`.
    pub method: String,
    /// `exact`, `shortcut`, `forward`, `implicit` or `baseline`; any other is drawn as the last.
    pub family: String,
    /// Whether the method drops nothing, whatever its angle.
    #[serde(default)]
    pub exact: bool,
    /// Numbers kept for each weight beside the weights, the velocity, the gradient and the adjoints.
    #[serde(deserialize_with = "null_is_nan")]
    pub floats_per_weight: f64,
    /// Wall time of training, with what the method does meanwhile.
    #[serde(deserialize_with = "null_is_nan")]
    pub forward_seconds: f64,
    /// Wall time of the way to the hypergradient after that.
    #[serde(deserialize_with = "null_is_nan")]
    pub backward_seconds: f64,
    /// Gradients evaluated beyond those of training.
    pub gradients: u64,
    /// Products with second derivatives evaluated.
    pub second_order_products: u64,
    /// The cosine of the angle to the exact hypergradient; nothing where the method failed.
    pub cosine: Option<f64>,
    /// The norm over that of the exact one; nothing where the method failed.
    pub norm_ratio: Option<f64>,
    /// How it failed. A method that was not tried has no cosine and a note that says why.
    pub failure: Option<String>,
    /// The share of test examples classified wrongly after tuning with it.
    pub test_error: Option<f64>,
    /// One remark.
    pub note: Option<String>,
}

impl Row {
    /// How far it is from exact, where that can be drawn.
    pub(super) fn angle(&self) -> Option<f64> {
        self.cosine.and_then(angle)
    }

    /// The time of both ways.
    pub(super) fn seconds(&self) -> f64 {
        self.forward_seconds + self.backward_seconds
    }

    pub(super) fn family(&self) -> Family {
        Family::of(&self.family)
    }

    /// The test error where it is a number.
    pub(super) fn error(&self) -> Option<f64> {
        self.test_error.filter(|e| drawable(*e))
    }

    /// Everything about it in a few lines.
    pub(super) fn hint(&self) -> String {
        let mut hint = format!(
            "{} ({})\n{} a weight\n{} s forward, {} s backward",
            self.method,
            self.family,
            floats(self.floats_per_weight),
            number(self.forward_seconds),
            number(self.backward_seconds)
        );
        if let Some(cosine) = self.cosine {
            hint += &format!("\ncosine {}", cosine_words(cosine));
        }
        if let Some(ratio) = self.norm_ratio {
            hint += &format!("\nnorm {} times the exact one's", number(ratio));
        }
        if let Some(error) = self.test_error {
            hint += &format!("\ntest error {}", percent(error));
        }
        for words in self.failure.iter().chain(&self.note) {
            hint += &format!("\n{words}");
        }
        hint
    }
}

impl Page {
    /// The page as JSON.
    ///
    /// # Errors
    /// None that these types can cause.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).context("writing the comparison as JSON")
    }

    /// The time of both ways as a multiple of a training without a method.
    pub(super) fn time(&self, row: &Row) -> f64 {
        row.seconds() / self.plain_seconds
    }

    /// Which rows no other beats in a cost and in the angle at once.
    pub(super) fn front(&self, cost: fn(&Self, &Row) -> f64) -> Vec<bool> {
        let point = |row: &Row| match row.angle() {
            Some(angle) if placed(cost(self, row)) => (cost(self, row), angle),
            // Beaten by anything, and no front of its own.
            _ => (f64::INFINITY, f64::INFINITY),
        };
        let points: Vec<_> = self.rows.iter().map(point).collect();
        let fronts = on_front(&points).into_iter().zip(&points);
        fronts.map(|(on, p)| on && p.0.is_finite()).collect()
    }
}

/// One less the cosine, with nought for all that counts as exact.
pub(super) fn angle(cosine: f64) -> Option<f64> {
    let angle = 1.0 - Some(cosine).filter(|c| drawable(*c))?;
    Some(if angle <= EXACT { 0.0 } else { angle })
}

const fn nan() -> f64 {
    f64::NAN
}

/// Whether a cost has a place on an axis that starts at nought.
pub(super) fn placed(cost: f64) -> bool {
    drawable(cost) && cost >= 0.0
}

/// The columns of [`table`], with their widths; the first and the last are words.
const COLUMNS: [(&str, usize); 10] = [
    ("method", 30),
    ("floats/weight", 13),
    ("forward s", 9),
    ("backward s", 10),
    ("gradients", 9),
    ("products", 8),
    ("cosine", 8),
    ("norm ratio", 10),
    ("test error", 10),
    ("note", 0),
];

/// The head of the terminal's table.
pub fn head() -> String {
    columns(&COLUMNS, COLUMNS.map(|(name, _)| name.to_owned()))
}

/// A row of the terminal's table.
pub fn line(row: &Row) -> String {
    let or = |value: Option<f64>, say: fn(f64) -> String| value.map_or("-".into(), say);
    let note = match (&row.failure, &row.note) {
        (Some(failure), _) => format!("failed: {failure}"),
        (None, Some(note)) => note.clone(),
        (None, None) => String::new(),
    };
    let texts = [
        row.method.clone(),
        plain(row.floats_per_weight, 3),
        plain(row.forward_seconds, 3),
        plain(row.backward_seconds, 3),
        row.gradients.to_string(),
        row.second_order_products.to_string(),
        or(row.cosine, |c| plain(c, 5)),
        or(row.norm_ratio, |r| match r.is_finite() {
            true => format!("{r:.3e}"),
            false => "-".into(),
        }),
        or(row.test_error, |e| plain(e, 4)),
        note,
    ];
    columns(&COLUMNS, texts)
}

/// The whole table for a terminal: a head, then a line a method.
///
/// Columns are two or more spaces apart and nothing inside one is; what there isn't is `-`.
pub fn table(page: &Page) -> String {
    let lines = page.rows.iter().map(line);
    let lines: Vec<String> = std::iter::once(head()).chain(lines).collect();
    lines.join("\n") + "\n"
}

/// A count of floats and its noun.
pub(super) fn floats(n: f64) -> String {
    let text = match n {
        // What eighths of a float come to is worth its three decimals.
        n if n.abs() < 10.0 => aligned(n, 3).trim_end().into(),
        n => brief(n),
    };
    format!("{text}\u{a0}float{}", if n == 1.0 { "" } else { "s" })
}

/// A cosine with as many nines as it has.
pub(super) fn cosine_words(cosine: f64) -> String {
    let short = 1.0 - cosine;
    let decimals = match short {
        s if s.abs() <= EXACT => return "1".into(),
        s if s > 0.0 => (1.0 - s.log10().floor()).clamp(3.0, 7.0),
        _ => 3.0,
    };
    fixed(cosine, decimals as usize)
}

/// A number with as many decimals, of which zeros at the end are left blank: points stay aligned.
pub(super) fn aligned(value: f64, decimals: usize) -> String {
    let text = fixed(value, decimals);
    if !text.contains('.') {
        return text;
    }
    let kept = text.trim_end_matches('0');
    let blank = "\u{2007}".repeat(text.len() - kept.len());
    match kept.strip_suffix('.') {
        Some(whole) => format!("{whole}\u{2008}{blank}"),
        None => format!("{kept}{blank}"),
    }
}
