//! What a hyperparameter server and its clients found, and the page that shows it.
//!
//! Each client has a curve of its own beside the shared one, the mean over those that took part.
//!
//! Refused: curves of more clients than a picture can tell apart. The shared one and the tables show all.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::round::Round;
use super::wire::Measured;
use crate::quality::Quality;
use crate::report::page::{Cell, Figure, Line, Section, Table, Term, Tile, View, backdrop, fill};
use crate::report::plots::lines::{Lines, Series};
use crate::statistics;
use crate::words::{bytes, count, fixed, number, percent};

/// Everything that the page shows.
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
    /// The hyperparameters.
    pub hypers: usize,
    /// The meta-iterations.
    pub rounds: Vec<Round>,
    /// How good each client's training is with the initial hyperparameters; nothing of one that said nothing.
    pub before: Vec<Option<Quality>>,
    /// The same with the tuned ones.
    pub after: Vec<Option<Quality>>,
    /// The seconds of each meta-iteration of the last start of the run.
    pub seconds: Vec<f64>,
}

/// What a training is judged by: the name, the value, and what it is multiplied by for people.
pub type Compared = (&'static str, fn(&Quality) -> f64, f64);

/// All of these.
pub const fn compared() -> [Compared; 3] {
    [
        ("validation loss", |q| q.valid_loss, 1.0),
        ("validation error, %", |q| q.valid_error, 100.0),
        ("test error, %", |q| q.test_error, 100.0),
    ]
}

/// The mean of a quantity over the clients of whom there is one.
pub fn mean(judged: &[Option<Quality>], of: fn(&Quality) -> f64) -> f64 {
    statistics::mean(judged.iter().flatten().map(of))
}

/// The most clients whose curves are drawn: with the shared one as many as there are colours.
const MOST: usize = 9;

/// Renders the page as one self-contained HTML file.
///
/// # Errors
/// What the drawing refuses.
pub fn render(page: &Page) -> Result<String> {
    let clients = page.rounds.first().map_or(0, |round| round.clients.len());
    let mut tables = vec![judged(page), rounds(page), absent(page)];
    tables.extend(backdrop(&page.settings, &page.versions));
    tables.retain(|table| !table.rows.is_empty());
    let figures = if page.rounds.is_empty() {
        vec![]
    } else {
        vec![
            curves(
                page,
                "validation loss (nats per example)",
                |m| m.valid_loss,
                false,
            )?,
            curves(
                page,
                "wrongly classified test examples (%)",
                |m| 100.0 * m.test_error,
                false,
            )?,
            curves(page, "norm of the hypergradient (nats)", |m| m.norm, true)?,
            agreement(page)?,
        ]
    };
    let of = |judged| mean(judged, |q| q.test_error);
    fill(View {
        experiment: page.experiment.clone(),
        title: page.title.clone(),
        lead: format!(
            "{} that share hypergradients and no examples tuned {}: their test error goes from {} to {} in \
             the mean.",
            count(clients, "client"),
            count(page.hypers, "hyperparameter"),
            percent(of(&page.before)),
            percent(of(&page.after))
        ),
        sub: format!(
            "{} of a hyperparameter server",
            count(page.rounds.len(), "meta-iteration")
        ),
        tiles: tiles(page, clients),
        sections: vec![Section::figures(
            "Each client, and what they share",
            figures,
        )],
        terms: vec![
            Term::hypergradient(),
            Term::new(
                "shared",
                "the mean over the clients that took part in a meta-iteration, all with the same \
                 hyperparameters",
            ),
            Term::new(
                "agreement",
                "the mean cosine between the hypergradients of two clients: 1 where all point the same way, 0 \
                 where they have nothing in common",
            ),
        ],
        tables,
    })
}

fn tiles(page: &Page, clients: usize) -> Vec<Tile> {
    let of = |judged| mean(judged, |q| q.valid_loss);
    let sent: u64 = page.rounds.iter().map(|round| round.sent).sum();
    let each = sent as f64 / (page.rounds.len() * clients).max(1) as f64;
    let left_out: usize = page
        .rounds
        .iter()
        .map(|round| round.left_out().count())
        .sum();
    let tile = |label: &str, value, note| Tile {
        label: label.into(),
        value,
        note,
    };
    vec![
        tile(
            "validation loss",
            number(of(&page.after)),
            format!(
                "mean over clients; {} before tuning",
                number(of(&page.before))
            ),
        ),
        tile(
            "sent by a client",
            bytes(each),
            "each meta-iteration, in the mean".to_string(),
        ),
        tile(
            "left out",
            fixed(left_out as f64, 0),
            format!(
                "of {} hypergradients",
                fixed((page.rounds.len() * clients) as f64, 0)
            ),
        ),
    ]
}

/// A quantity of each client, and the mean.
fn curves(page: &Page, y_label: &str, of: fn(&Measured) -> f64, log: bool) -> Result<Figure> {
    let over = |name: String, value: &dyn Fn(&Round) -> f64| Series {
        name,
        points: (0..)
            .zip(&page.rounds)
            .map(|(i, round)| (f64::from(i), value(round)))
            .collect(),
        raw: vec![],
    };
    let clients = page.rounds.first().map_or(0, |round| round.clients.len());
    let mut series = vec![over("shared".into(), &|round| round.mean(of))];
    let drawn = if clients > MOST { 0 } else { clients };
    series.extend((0..drawn).map(|client| {
        // A gap where it was left out.
        over(format!("client {client}"), &|round| {
            round
                .clients
                .get(client)
                .and_then(|of| of.ok())
                .map_or(f64::NAN, |m| of(&m))
        })
    }));
    let lines = Lines {
        x_label: "meta-iteration".into(),
        y_label: y_label.into(),
        series,
        log,
    };
    let who = match drawn {
        0 => format!("The mean over {}.", count(clients, "client")),
        _ => "Each client, and the mean over those that took part.".to_string(),
    };
    let label = format!("{y_label} of each client over the meta-iterations");
    Ok(Figure::new(label, who, lines.draw()?))
}

fn agreement(page: &Page) -> Result<Figure> {
    let points = (0..).zip(&page.rounds);
    let points = points.map(|(i, round)| (f64::from(i), round.agreement.unwrap_or(f64::NAN)));
    let lines = Lines {
        x_label: "meta-iteration".into(),
        y_label: "agreement (cosine)".into(),
        series: vec![Series {
            name: "agreement".into(),
            points: points.collect(),
            raw: vec![],
        }],
        log: false,
    };
    let caption =
        "How much the clients agree: the mean cosine between two of their hypergradients.";
    Ok(Figure::new(
        "Agreement over the meta-iterations".into(),
        caption.into(),
        lines.draw()?,
    ))
}

fn judged(page: &Page) -> Table {
    let rows = page
        .before
        .iter()
        .zip(&page.after)
        .enumerate()
        .map(|(client, (before, after))| {
            let of = |judged: &Option<Quality>, say: &dyn Fn(&Quality) -> String| {
                judged.as_ref().map_or("said nothing".to_string(), say)
            };
            let mut cells = vec![client.to_string()];
            for say in [
                |q: &Quality| number(q.valid_loss),
                |q: &Quality| percent(q.valid_error),
                |q: &Quality| percent(q.test_error),
            ] {
                cells.extend([of(before, &say), of(after, &say)]);
            }
            Line::from(cells)
        });
    Table {
        heading: "Before and after",
        note:
            "A training of each client on a draw of its own shard that no meta-iteration has seen."
                .into(),
        columns: [
            "client",
            "validation loss before",
            "after",
            "validation error before",
            "after",
            "test error before",
            "after",
        ]
        .map(Cell::from)
        .into(),
        rows: rows.collect(),
        numbers: true,
        open: page.before.len() <= 12,
    }
}

fn rounds(page: &Page) -> Table {
    let earlier = page.rounds.len().saturating_sub(page.seconds.len());
    let rows = page.rounds.iter().enumerate().map(|(i, round)| {
        let seconds = i.checked_sub(earlier).and_then(|i| page.seconds.get(i));
        Line::from(vec![
            i.to_string(),
            number(round.mean(|m| m.train_loss)),
            number(round.mean(|m| m.valid_loss)),
            percent(round.mean(|m| m.valid_error)),
            percent(round.mean(|m| m.test_error)),
            number(round.norm),
            round.agreement.map_or(String::new(), number),
            fixed(round.sent as f64, 0),
            fixed(round.received as f64, 0),
            seconds.map_or(String::new(), |s| number(*s)),
        ])
    });
    Table {
        heading: "Meta-iterations",
        note: "Means over the clients that took part; the norm is that of what all follow; the bytes are those \
               of all clients together. Seconds are of the last start of the run."
            .into(),
        columns: [
            "meta-iteration",
            "training loss",
            "validation loss",
            "validation error",
            "test error",
            "norm",
            "agreement",
            "bytes sent",
            "bytes received",
            "seconds",
        ]
        .map(Cell::from)
        .into(),
        rows: rows.collect(),
        numbers: true,
        open: page.rounds.len() <= 12,
    }
}

fn absent(page: &Page) -> Table {
    let rows = page.rounds.iter().enumerate().flat_map(|(i, round)| {
        let left_out = round.left_out();
        left_out.map(move |(client, why)| {
            Line::from(vec![i.to_string(), client.to_string(), why.to_string()])
        })
    });
    let rows: Vec<Line> = rows.collect();
    Table {
        heading: "Left out",
        note: "What a client that is left out would have sent is part of no mean.".into(),
        columns: ["meta-iteration", "client", "because it"]
            .map(Cell::from)
            .into(),
        open: rows.len() <= 12,
        rows,
        numbers: false,
    }
}
