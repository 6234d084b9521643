//! The page of the papers' experiments: what was published, what we found, and a figure for each.
//!
//! [`render`] turns one or several [`Findings`] into one HTML file in the look of the tuning report;
//! [`markdown`] makes a page of documentation of them. [`figures`](mod@figures) are their pictures.
//!
//! Figures without anything to show are left out, and so is a metric that a variant doesn't have.
//!
//! Refused: shapes that contradict themselves (a curve with more heights than places, a matrix that its
//! rows and columns don't fill), a metric in two units, a ranking by a metric that no variant has, and
//! experiments of one name. The error says which figure it is.

use anyhow::{Result, ensure};

use super::findings::{Compared, Findings, Spread, Unit, Variant, lower_is_better};
use super::page::{Cell, Line, Section, Table, Term, Tile, View, backdrop, fill};
use super::plots::canvas::drawable;
use crate::words::{self, capital, count, duration};

pub mod figures;
pub mod markdown;

use figures::figures;

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

pub(super) fn view(findings: &[Findings]) -> Result<View> {
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
