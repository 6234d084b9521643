//! What a comparison of methods found, and the page that shows it.
//!
//! [`Page`] holds one row a method as plain data; [`render`] turns it into one HTML file in the
//! look of the tuning report, [`table`](super::methods::table) into columns for a terminal and for programs, and
//! [`Page::to_json`] into JSON. All four say the same, having no other source.
//!
//! The question is which method to take for how much memory. A method is on the *front* where no
//! other is as near to the exact hypergradient for as little, where near is the cosine of the
//! angle between the two. The page marks the front in pictures and table, and its opening tiles
//! say what each budget of memory buys.
//!
//! An angle whose cosine is one up to [`EXACT`](super::methods::EXACT) counts as none: below it lies the rounding of a
//! whole training run. That does not make a method exact, which is what it does and not what it
//! measured: a row says of itself whether it is.
//!
//! Times are multiples of a training that no method watches. A method that is slow on the way forward
//! is slow, whatever its backward pass takes. Methods fail, and then the row says how in words; it is left out of the
//! pictures and named under them.
//!
//! Refused: nothing. Numbers that aren't finite are left out of pictures and said in words.

use anyhow::Result;

use super::methods::{Page, Row, aligned, angle, cosine_words, floats, placed};
use super::page::{Cell, Line, Section, Table, Term, Tile, View, backdrop, fill};
use super::plots::Family;
use super::plots::canvas::drawable;
use crate::words::{self, count, fixed, number};

mod figures;

use figures::{MEMORY, TIME, errors, field};

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
