//! A page: what the template is filled with. Sections with figures, terms and tables.

use std::mem::take;

use anyhow::{Context, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::plots::canvas::Picture;
use crate::words::{fixed, number};

/// Fills the template.
pub(crate) fn fill(mut view: View) -> Result<String> {
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
pub(crate) const PALETTE: &str = include_str!("palette.css");

/// The page as the template sees it.
#[derive(Serialize)]
pub(crate) struct View {
    pub(crate) experiment: String,
    pub(crate) title: String,
    pub(crate) lead: String,
    pub(crate) sub: String,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) sections: Vec<Section>,
    /// What closes the page.
    #[serde(skip)]
    pub(crate) terms: Vec<Term>,
    #[serde(skip)]
    pub(crate) tables: Vec<Table>,
}

#[derive(Serialize)]
pub(crate) struct Tile {
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) note: String,
}

/// A part of the page. What is empty is left out.
#[derive(Default, Serialize)]
pub(crate) struct Section {
    /// What links lead to.
    pub(crate) id: String,
    pub(crate) heading: String,
    /// Where it comes from.
    pub(crate) source: String,
    /// What must be known before anything in it is believed.
    pub(crate) warning: String,
    /// Its paragraphs.
    pub(crate) about: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) terms: Vec<Term>,
    pub(crate) tables: Vec<Table>,
    pub(crate) notes: Vec<String>,
}

impl Section {
    pub(crate) fn figures(heading: &str, figures: Vec<Figure>) -> Self {
        Self {
            heading: heading.into(),
            figures,
            ..Self::default()
        }
    }

    pub(crate) fn terms(terms: Vec<Term>) -> Self {
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

    pub(crate) fn tables(tables: Vec<Table>) -> Self {
        Self {
            tables,
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Figure {
    /// What a screen reader says in the picture's place.
    pub(crate) label: String,
    pub(crate) caption: String,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) crisp: bool,
    /// As wide as the page, and scrolled where the screen is narrower than its labels.
    pub(crate) wide: bool,
    pub(crate) body: Value,
}

#[derive(Serialize)]
pub(crate) struct Term {
    pub(crate) word: String,
    pub(crate) meaning: String,
}

impl Term {
    pub(crate) fn new(word: &str, meaning: impl Into<String>) -> Self {
        Self {
            word: word.into(),
            meaning: meaning.into(),
        }
    }

    /// What every page is about.
    pub(crate) fn hypergradient() -> Self {
        Self::new(
            "hypergradient",
            "the derivative of the validation loss, after a whole training run, by every \
             hyperparameter of that run",
        )
    }
}

#[derive(Serialize)]
pub(crate) struct Table {
    pub(crate) heading: &'static str,
    pub(crate) note: String,
    pub(crate) columns: Vec<Cell>,
    pub(crate) rows: Vec<Line>,
    /// Columns after the first hold numbers and are set flush right.
    pub(crate) numbers: bool,
    /// A long table starts folded.
    pub(crate) open: bool,
}

/// A row of a table.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) cells: Vec<Cell>,
    /// Set off from the others.
    pub(crate) marked: bool,
    /// What there is to say about it, on a line of its own.
    pub(crate) remark: String,
}

/// A cell of a table.
#[derive(Default, Serialize)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// What the pointer is told.
    pub(crate) hint: String,
    /// A class of the style sheet.
    pub(crate) class: &'static str,
    /// The section it leads to.
    pub(crate) link: String,
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
    pub(crate) fn new(label: String, caption: String, picture: Picture) -> Self {
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

/// A count that may be a mean: whole numbers without decimals.
pub(crate) fn brief(value: f64) -> String {
    if value.fract() == 0.0 {
        fixed(value, 0)
    } else {
        number(value)
    }
}

/// So many floats, which may be a mean.
pub(crate) fn floats(value: f64) -> String {
    format!(
        "{} float{}",
        brief(value),
        if value == 1.0 { "" } else { "s" }
    )
}

/// What was run, and with what.
pub(crate) fn backdrop(settings: &[(String, String)], versions: &[(String, String)]) -> [Table; 2] {
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
