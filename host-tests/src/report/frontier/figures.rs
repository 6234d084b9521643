//! The pictures of the methods: memory and time against the angle, and what tuning with each came to.

use anyhow::Result;

use crate::report::methods::{EXACT, Page, Row, placed};
use crate::report::page::Figure;
use crate::report::plots::{Dot, Field, Ranked, Ranking};
use crate::words::{self, count, fixed, percent};

/// A cost of methods, for one picture.
pub(super) struct Cost {
    pub(super) of: fn(&Page, &Row) -> f64,
    pub(super) axis: &'static str,
    /// What the tick of no cost says.
    pub(super) nothing: &'static str,
    pub(super) label: &'static str,
    pub(super) caption: &'static str,
}

pub(super) const MEMORY: Cost = Cost {
    of: |_, row| row.floats_per_weight,
    axis: "memory in floats per weight (log axis): further left is less",
    nothing: "0",
    label: "Every method: its memory across, its angle to the exact hypergradient upwards",
    caption: "Memory is what a method keeps beside the weights, the velocity, the gradient and \
              the adjoints.",
};

pub(super) const TIME: Cost = Cost {
    of: Page::time,
    axis: "time as a multiple of a plain training's (log axis): further left is less",
    nothing: "0",
    label: "Every method: its time across, its angle to the exact hypergradient upwards",
    caption: "Time is that of both ways, forward and back, over that of a training without any method: \
              1 would be a hypergradient for nothing.",
};

/// Every method at its cost and its angle.
pub(super) fn field(page: &Page, cost: &Cost) -> Result<Option<Figure>> {
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
pub(super) fn errors(page: &Page) -> Result<Option<Figure>> {
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
