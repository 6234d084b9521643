//! What a comparison of methods found, and the page that shows it.
//!
//! [`Page`] holds one row a method as plain data; [`render`] turns it into one HTML file in the
//! look of the tuning report, [`table`] into columns for a terminal and for programs, and
//! [`Page::to_json`] into JSON. All four say the same, having no other source.
//!
//! The question is which method to take for how much memory. A method is on the *front* where no
//! other is as near to the exact hypergradient for as little, where near is the cosine of the
//! angle between the two. The page marks the front in pictures and table, and its opening tiles
//! say what each budget of memory buys.
//!
//! An angle whose cosine is one up to [`EXACT`] counts as none: below it lies the rounding of a
//! whole training run. That does not make a method exact, which is what it does and not what it
//! measured: a row says of itself whether it is.
//!
//! Times are multiples of a training that no method watches. A method that is slow on the way forward
//! is slow, whatever its backward pass takes. Methods fail, and then the row says how in words; it is left out of the
//! pictures and named under them.
//!
//! Refused: nothing. Numbers that aren't finite are left out of pictures and said in words.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::page::{Cell, Figure, Line, Section, Table, Term, Tile, View, backdrop, brief, fill};
use super::plots::canvas::drawable;
use super::plots::{Dot, Family, Field, Ranked, Ranking, on_front};
use crate::json::null_is_nan;
use crate::words::{self, columns, count, fixed, number, percent, plain};

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
    fn angle(&self) -> Option<f64> {
        self.cosine.and_then(angle)
    }

    /// The time of both ways.
    fn seconds(&self) -> f64 {
        self.forward_seconds + self.backward_seconds
    }

    fn family(&self) -> Family {
        Family::of(&self.family)
    }

    /// The test error where it is a number.
    fn error(&self) -> Option<f64> {
        self.test_error.filter(|e| drawable(*e))
    }

    /// Everything about it in a few lines.
    fn hint(&self) -> String {
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
    fn time(&self, row: &Row) -> f64 {
        row.seconds() / self.plain_seconds
    }

    /// Which rows no other beats in a cost and in the angle at once.
    fn front(&self, cost: fn(&Self, &Row) -> f64) -> Vec<bool> {
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
fn angle(cosine: f64) -> Option<f64> {
    let angle = 1.0 - Some(cosine).filter(|c| drawable(*c))?;
    Some(if angle <= EXACT { 0.0 } else { angle })
}

const fn nan() -> f64 {
    f64::NAN
}

/// Whether a cost has a place on an axis that starts at nought.
fn placed(cost: f64) -> bool {
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

/// Renders a comparison as one self-contained HTML file.
///
/// # Errors
/// If the template or the drawing library fails, which no content causes.
pub fn render(page: &Page) -> Result<String> {
    let sections = [
        ("Which method for how much memory", field(page, &MEMORY)?),
        ("Which method for how much time", field(page, &TIME)?),
        ("What tuning with it came to", errors(page)?),
    ];
    let sections = sections.into_iter().filter_map(|(heading, figure)| {
        let figures = vec![figure?];
        Some(Section::figures(heading, figures))
    });
    let mut tables = vec![methods(page)];
    tables.extend(backdrop(&page.settings, &page.versions));
    tables.retain(|table| !table.rows.is_empty());
    fill(View {
        experiment: page.experiment.clone(),
        title: page.title.clone(),
        lead: lead(page),
        sub: sub(page),
        tiles: tiles(page),
        sections: sections.collect(),
        terms: terms(),
        tables,
    })
}

/// A cost of methods, for one picture.
struct Cost {
    of: fn(&Page, &Row) -> f64,
    axis: &'static str,
    /// What the tick of no cost says.
    nothing: &'static str,
    label: &'static str,
    caption: &'static str,
}

const MEMORY: Cost = Cost {
    of: |_, row| row.floats_per_weight,
    axis: "memory in floats per weight (log axis): further left is less",
    nothing: "0",
    label: "Every method: its memory across, its angle to the exact hypergradient upwards",
    caption: "Memory is what a method keeps beside the weights, the velocity, the gradient and \
              the adjoints.",
};

const TIME: Cost = Cost {
    of: Page::time,
    axis: "time as a multiple of a plain training's (log axis): further left is less",
    nothing: "0",
    label: "Every method: its time across, its angle to the exact hypergradient upwards",
    caption: "Time is that of both ways, forward and back, over that of a training without any method: \
              1 would be a hypergradient for nothing.",
};

/// Every method at its cost and its angle.
fn field(page: &Page, cost: &Cost) -> Result<Option<Figure>> {
    let front = page.front(cost.of);
    let dots: Vec<Dot> = page
        .rows
        .iter()
        .zip(&front)
        .enumerate()
        .filter(|(_, (row, _))| placed((cost.of)(page, row)))
        .filter_map(|(i, (row, front))| {
            Some(Dot {
                name: row.method.clone(),
                number: i + 1,
                family: row.family(),
                cost: (cost.of)(page, row),
                angle: row.angle()?,
                front: *front,
                hint: row.hint(),
            })
        })
        .collect();
    if dots.is_empty() {
        return Ok(None);
    }
    let absent: Vec<&str> = page
        .rows
        .iter()
        .filter(|row| row.angle().is_none() || !placed((cost.of)(page, row)))
        .map(|row| row.method.as_str())
        .collect();
    let absent = match absent.as_slice() {
        [] => String::new(),
        names => format!(" Not drawn, for want of a number: {}.", names.join("; ")),
    };
    let caption = format!(
        "{} Full marks are on the front; bare numbers are those of the table. What differs from \
         one by less than {} in the cosine is drawn at one.{absent}",
        cost.caption,
        words::power_of_ten(EXACT.log10().round()),
    );
    let field = Field {
        cost: cost.axis.into(),
        nothing: cost.nothing,
        exact: EXACT,
        dots,
    };
    Ok(Some(Figure::new(cost.label.into(), caption, field.draw()?)))
}

/// The test errors of the rows that have one.
fn errors(page: &Page) -> Result<Option<Figure>> {
    let mut rows: Vec<Ranked> = page
        .rows
        .iter()
        .zip(page.front(MEMORY.of))
        .filter_map(|(row, front)| {
            let error = 100.0 * row.error()?;
            Some(Ranked {
                name: row.method.clone(),
                family: Some(row.family()),
                seeds: vec![],
                mean: error,
                text: fixed(error, 2),
                front,
                hint: row.hint(),
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    rows.sort_by(|a, b| a.mean.total_cmp(&b.mean));
    let exact = page.rows.iter().filter(|row| row.exact);
    let exact = exact.filter_map(Row::error).next();
    let line = match exact {
        Some(error) => format!(" The line is the exact method's, {}.", percent(error)),
        None => String::new(),
    };
    let after = match page.tuned_meta_steps {
        0 => String::new(),
        n => format!(" after {}", count(n, "meta-iteration")),
    };
    let caption = format!(
        "The share of test examples classified wrongly{after}, the least first.{line} Full marks \
         are on the front of memory."
    );
    let label = "Test error after tuning with each method".into();
    let ranking = Ranking {
        heading: "test error after tuning".into(),
        x_label: "test error (%)".into(),
        log: false,
        line: exact.map(|error| (100.0 * error, format!("exact: {}", percent(error)))),
        rows,
    };
    Ok(Some(Figure::new(label, caption, ranking.draw()?)))
}

/// A count of floats and its noun.
fn floats(n: f64) -> String {
    let text = match n {
        // What eighths of a float come to is worth its three decimals.
        n if n.abs() < 10.0 => aligned(n, 3).trim_end().into(),
        n => brief(n),
    };
    format!("{text}\u{a0}float{}", if n == 1.0 { "" } else { "s" })
}

/// A cosine with as many nines as it has.
fn cosine_words(cosine: f64) -> String {
    let short = 1.0 - cosine;
    let decimals = match short {
        s if s.abs() <= EXACT => return "1".into(),
        s if s > 0.0 => (1.0 - s.log10().floor()).clamp(3.0, 7.0),
        _ => 3.0,
    };
    fixed(cosine, decimals as usize)
}

/// The rows of the front of memory, from the least memory on.
fn best(page: &Page) -> Vec<&Row> {
    let rows = page.rows.iter().zip(page.front(MEMORY.of));
    let mut best: Vec<&Row> = rows.filter(|(_, on)| *on).map(|(row, _)| row).collect();
    best.sort_by(|a, b| a.floats_per_weight.total_cmp(&b.floats_per_weight));
    best.dedup_by(|a, b| a.floats_per_weight == b.floats_per_weight);
    best
}

/// The result in one sentence.
fn lead(page: &Page) -> String {
    let front = best(page);
    let near = front
        .iter()
        .find(|row| row.angle().is_some_and(|a| a <= 0.05));
    let exact = page
        .rows
        .iter()
        .filter(|row| row.exact && placed(row.floats_per_weight) && row.angle().is_some());
    let exact = exact.min_by(|a, b| a.floats_per_weight.total_cmp(&b.floats_per_weight));
    let near = near.filter(|row| !row.exact).map(|row| {
        format!(
            "a cosine of {} for {} a weight ({})",
            cosine_words(row.cosine.unwrap_or(f64::NAN)),
            floats(row.floats_per_weight),
            row.method
        )
    });
    let exact = exact.map(|row| {
        format!(
            "exact for {} ({})",
            floats(row.floats_per_weight),
            row.method
        )
    });
    match (near, exact) {
        (Some(near), Some(exact)) => words::capital(&format!("{near}, {exact}")),
        (Some(only), None) | (None, Some(only)) => words::capital(&only),
        (None, None) => "No method came near the exact hypergradient".into(),
    }
}

/// What was compared.
fn sub(page: &Page) -> String {
    let failed = page.rows.iter().filter(|row| row.failure.is_some()).count();
    let failed = match failed {
        0 => String::new(),
        n => format!(", of which {} failed", fixed(n as f64, 0)),
    };
    format!(
        "{} compared{failed}. What each budget of floats per weight buys:",
        count(page.rows.len(), "method")
    )
}

/// What each budget of memory buys, until it buys the exact hypergradient.
fn tiles(page: &Page) -> Vec<Tile> {
    let front = best(page);
    let mut tiles = Vec::new();
    let mut last = None;
    for budget in [0.0, 1.0, 2.0, 5.0, 10.0, 100.0, f64::INFINITY] {
        let affordable = |row: &&&Row| row.floats_per_weight <= budget;
        let Some(row) = front.iter().rfind(affordable) else {
            continue;
        };
        if last == Some(row.floats_per_weight) {
            continue;
        }
        last = Some(row.floats_per_weight);
        let cosine = row.cosine.unwrap_or(f64::NAN);
        tiles.push(Tile {
            label: match budget {
                0.0 => "no memory".into(),
                b if b.is_finite() => format!("up to {}", floats(b)),
                _ => "any memory".into(),
            },
            value: match row.exact {
                true => "exact".into(),
                false => format!("cosine {}", cosine_words(cosine)),
            },
            note: format!(
                "{}: {}, {} × the time of a plain training",
                row.method,
                floats(row.floats_per_weight),
                number(page.time(row))
            ),
        });
        if row.angle() == Some(0.0) {
            break;
        }
    }
    tiles
}

/// The words a reader from elsewhere needs.
fn terms() -> Vec<Term> {
    vec![
        Term::hypergradient(),
        Term::new(
            "cosine",
            "that of the angle between a method's hypergradient and the exact one: one where both \
             have the same direction, nought where they have nothing in common",
        ),
        Term::new(
            "front",
            "the methods that no other beats, being at least as near to exact for at most as much",
        ),
        Term::new(
            "floats per weight",
            "numbers kept for each weight of the network, beside those that training and any way \
             back need",
        ),
    ]
}

/// A number with as many decimals, of which zeros at the end are left blank: points stay aligned.
fn aligned(value: f64, decimals: usize) -> String {
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

/// A column of numbers.
struct Column {
    name: &'static str,
    hint: &'static str,
    value: fn(&Row) -> Option<f64>,
    say: fn(f64) -> String,
    /// What a number is judged by: the least is the best.
    judge: fn(f64) -> f64,
}

const NUMBERS: [Column; 8] = [
    Column {
        name: "floats/weight",
        hint: "kept beside the weights, the velocity, the gradient and the adjoints",
        value: |row| Some(row.floats_per_weight),
        say: |n| aligned(n, 3),
        judge: |n| n,
    },
    Column {
        name: "forward, s",
        hint: "training, with what the method does meanwhile",
        value: |row| Some(row.forward_seconds),
        say: |s| fixed(s, 2),
        judge: |s| s,
    },
    Column {
        name: "backward, s",
        hint: "from the last weights to the hypergradient",
        value: |row| Some(row.backward_seconds),
        say: |s| fixed(s, 2),
        judge: |s| s,
    },
    Column {
        name: "gradients",
        hint: "evaluated beyond those of training",
        value: |row| Some(row.gradients as f64),
        say: |n| fixed(n, 0),
        judge: |n| n,
    },
    Column {
        name: "products",
        hint: "with second derivatives",
        value: |row| Some(row.second_order_products as f64),
        say: |n| fixed(n, 0),
        judge: |n| n,
    },
    Column {
        name: "cosine",
        hint: "of the angle to the exact hypergradient",
        value: |row| row.cosine,
        say: |c| aligned(c, 5),
        judge: |c| angle(c).unwrap_or(f64::NAN),
    },
    Column {
        name: "norm ratio",
        hint: "norm over that of the exact hypergradient",
        value: |row| row.norm_ratio,
        say: |r| match r {
            r if (0.001..1e4).contains(&r) => fixed(r, 3),
            r => number(r),
        },
        judge: |r| r.ln().abs(),
    },
    Column {
        name: "test error",
        hint: "after tuning with the method",
        value: |row| row.test_error,
        say: |e| format!("{}\u{a0}%", fixed(100.0 * e, 2)),
        judge: |e| e,
    },
];

impl Column {
    /// The best value as the column judges, where it tells rows apart: what most rows have is no
    /// distinction. A method that failed is out of the contest.
    fn best(&self, rows: &[Row]) -> Option<f64> {
        let sound = rows.iter().filter(|row| row.angle().is_some());
        let judged: Vec<f64> = sound.filter_map(|row| self.judged(row)).collect();
        let best = judged.iter().copied().min_by(f64::total_cmp)?;
        let ties = judged.iter().filter(|v| **v == best).count();
        (2 * ties <= judged.len()).then_some(best)
    }

    fn judged(&self, row: &Row) -> Option<f64> {
        let judged = (self.value)(row).map(self.judge);
        judged.filter(|v| drawable(*v) && row.angle().is_some())
    }

    fn cell(&self, row: &Row, best: Option<f64>) -> Cell {
        let Some(value) = (self.value)(row) else {
            return "–".into();
        };
        let is_best = best.is_some() && self.judged(row) == best;
        Cell {
            text: (self.say)(value),
            hint: match value.is_finite() {
                true => value.to_string(),
                false => String::new(),
            },
            class: if is_best { "best" } else { "" },
            ..Cell::default()
        }
    }
}

/// The table of all methods.
fn methods(page: &Page) -> Table {
    let has = |column: &&Column| page.rows.iter().any(|row| (column.value)(row).is_some());
    let numbers: Vec<_> = NUMBERS
        .iter()
        .filter(has)
        .map(|column| (column, column.best(&page.rows)))
        .collect();
    let words = |text: &str, class: &'static str| Cell {
        class,
        ..text.into()
    };
    let mut columns = vec!["no.".into(), words("method", "words"), words("", "words")];
    columns.extend(numbers.iter().map(|(column, _)| Cell {
        hint: column.hint.into(),
        ..column.name.into()
    }));
    let rows = page.rows.iter().zip(page.front(MEMORY.of)).enumerate();
    let rows = rows.map(|(i, (row, marked))| {
        let family = row.family();
        let sign = family.sign().to_string();
        let mut cells = vec![
            (i + 1).to_string().as_str().into(),
            Cell {
                hint: row.hint(),
                ..words(&row.method, "words")
            },
            Cell {
                hint: row.family.clone(),
                ..words(&sign, family.class())
            },
        ];
        cells.extend(numbers.iter().map(|(column, best)| column.cell(row, *best)));
        Line {
            cells,
            marked,
            remark: match (&row.failure, &row.note) {
                (Some(failure), _) => format!("failed: {failure}"),
                (None, note) => note.clone().unwrap_or_default(),
            },
        }
    });
    let kinds = Family::ALL.map(|family| format!("{}\u{a0}{}", family.sign(), family.name()));
    Table {
        heading: "Methods",
        note: format!(
            "Shaded rows are on the front of memory. The best numbers of a column are in colour. \
             {}.",
            kinds.join(", ")
        ),
        columns,
        rows: rows.collect(),
        numbers: true,
        open: true,
    }
}
