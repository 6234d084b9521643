//! The page of a tuning run.
//!
//! Every sentence, tile, caption and table is made from the numbers of a [`Report`], and a sentence that they do not
//! support is not written.

use anyhow::Result;

use super::page::{Cell, Line, Section, Table, Term, Tile, View, backdrop, brief, fill, floats};
use super::run::{Cost, Report, draws, two_draws};
use crate::words::{capital, count, duration, fixed, number, percent};

pub mod figures;

use figures::{comparison, penalties, tuning};

/// Renders a report as one self-contained HTML file.
///
/// # Errors
///
/// If a strip's values don't fill its rows and columns, or a scatter has values without a partner.
pub fn render(report: &Report) -> Result<String> {
    fill(view(report)?)
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
