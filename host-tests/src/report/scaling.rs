//! How time and memory grow, and the page that shows it.
//!
//! A [`Curve`] is one method at growing sizes along one axis. What grows like a power of the size has
//! an exponent, the slope of the logarithms' least-squares line over the larger half of the sizes,
//! where costs that do not grow matter less; the exponent of theory stands beside it. Times on the page are ratios to those of the smallest size, so that pages of different
//! machines compare; JSON has the seconds.
//!
//! Refused: slopes of fewer than two sizes, and of values that are not all positive: they are no
//! power, and the place of their exponent stays empty.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::page::{
    Cell, Figure, Line, Section, Table, Term, Tile, View, backdrop, brief, fill, floats,
};
use super::plots::canvas::drawable;
use super::plots::{self, Curves, Family};
use crate::words::{bytes, columns, count, fixed, number, plain};

/// Every method along every axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// Settings of the run as names and values.
    pub settings: Vec<(String, String)>,
    /// What the run was made with: names and versions.
    pub versions: Vec<(String, String)>,
    /// The axes.
    pub axes: Vec<Growth>,
}

/// Every method along one axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Growth {
    /// The name the axis has on the command line.
    pub axis: String,
    /// What grows, for example `training steps`.
    pub what: String,
    /// What stays as it is, in words.
    pub setting: String,
    /// The methods.
    pub curves: Vec<Curve>,
}

/// One method along one axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Its name with its settings.
    pub method: String,
    /// Its family, as in the comparison of methods.
    pub family: String,
    /// The sizes that were measured, in ascending order.
    pub points: Vec<Point>,
    /// Those that were not.
    pub absent: Vec<Absent>,
    /// What theory says.
    pub theory: Exponents,
    /// What was measured.
    pub measured: Exponents,
}

/// One size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// Its place on the axis.
    pub size: usize,
    /// Wall time of training, with what the method does meanwhile.
    pub forward_seconds: f64,
    /// Wall time from the last weights to the hypergradient.
    pub backward_seconds: f64,
    /// Trainings that these are the medians of.
    pub runs: usize,
    /// Numbers the method keeps, as it counts them itself.
    pub floats: usize,
    /// The most memory that the process took beyond what it held before the training, in bytes; nothing
    /// where the system does not tell.
    pub memory: Option<u64>,
}

/// A size that was left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Absent {
    /// Its place on the axis.
    pub size: usize,
    /// The bytes it would have needed, where memory is the reason.
    pub bytes: Option<f64>,
    /// The reason.
    pub why: String,
}

/// Powers of the size; nothing where there is no power.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exponents {
    /// Of the time of training.
    pub forward: Option<f64>,
    /// Of the time of the backward pass.
    pub backward: Option<f64>,
    /// Of the numbers kept.
    pub floats: Option<f64>,
    /// Of the memory of the process.
    pub memory: Option<f64>,
}

impl Exponents {
    const NAMES: [&str; 4] = ["forward", "backward", "floats", "memory"];

    fn all(&self) -> [Option<f64>; 4] {
        [self.forward, self.backward, self.floats, self.memory]
    }
}

/// The fewest sizes for a slope, where there are so many.
const LEAST: usize = 3;

/// The slope of the least-squares line through the logarithms.
///
/// ```
/// use drmad_host::report::scaling::slope;
/// assert_eq!(slope(&[(1.0, 5.0), (10.0, 500.0)]), Some(2.0));
/// assert_eq!(slope(&[(1.0, 5.0), (10.0, 0.0)]), None);
/// ```
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(x, y)| !(*x > 0.0 && *y > 0.0)) {
        return None;
    }
    let n = points.len() as f64;
    // As ratios to the first, so that what is constant has the exponent nought to the last bit.
    let (x0, y0) = points.first()?;
    let logs = || {
        points
            .iter()
            .map(|(x, y)| ((x / x0).log10(), (y / y0).log10()))
    };
    let (x, y) = logs().fold((0.0, 0.0), |m, (x, y)| (m.0 + x / n, m.1 + y / n));
    let (xx, xy) = logs().fold((0.0, 0.0), |s, (a, b)| {
        (s.0 + (a - x) * (a - x), s.1 + (a - x) * (b - y))
    });
    (xx > 0.0).then_some(xy / xx)
}

impl Point {
    /// Of training and the backward pass.
    pub fn seconds(&self) -> f64 {
        self.forward_seconds + self.backward_seconds
    }
}

impl Curve {
    /// A method without sizes as yet.
    pub fn new(method: String, family: &str, theory: Exponents) -> Self {
        Curve {
            method,
            family: family.into(),
            points: vec![],
            absent: vec![],
            theory,
            measured: Exponents {
                forward: None,
                backward: None,
                floats: None,
                memory: None,
            },
        }
    }

    /// One size more.
    pub fn push(&mut self, point: Point) {
        self.points.push(point);
        let half = self.points.len().div_ceil(2).max(LEAST);
        let small = self.points.len().saturating_sub(half);
        let of = |value: fn(&Point) -> f64| {
            let points = self.points.iter().skip(small);
            slope(
                &points
                    .map(|p| (p.size as f64, value(p)))
                    .collect::<Vec<_>>(),
            )
        };
        self.measured = Exponents {
            forward: of(|p| p.forward_seconds),
            backward: of(|p| p.backward_seconds),
            floats: of(|p| p.floats as f64),
            memory: of(|p| p.memory.unwrap_or(0) as f64),
        };
    }

    /// The curve of a quantity, as a multiple of that at the smallest size where it is `relative`.
    fn drawn(&self, growth: &Growth, value: fn(&Point) -> f64, relative: bool) -> plots::Curve {
        let unit = match (relative, self.points.first()) {
            (true, Some(first)) => value(first),
            _ => 1.0,
        };
        let points = self.points.iter().map(|p| {
            let memory = p.memory.map_or("unknown".into(), |n| bytes(n as f64));
            let hint = format!(
                "{}\n{} {}\n{} s forward, {} s backward\n{}, memory {memory}",
                self.method,
                fixed(p.size as f64, 0),
                growth.what,
                number(p.forward_seconds),
                number(p.backward_seconds),
                count(p.floats, "float"),
            );
            ((p.size as f64, value(p) / unit), hint)
        });
        plots::Curve {
            name: self.method.clone(),
            family: Family::of(&self.family),
            points: points
                .filter(|((_, y), _)| drawable(*y) && *y > 0.0)
                .collect(),
        }
    }
}

impl Page {
    /// The page as JSON.
    ///
    /// # Errors
    /// None that these types can cause.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).context("writing the growth as JSON")
    }
}

/// Which exponents are of time, and which of memory.
const TIME: [usize; 2] = [0, 1];
const MEMORY: [usize; 2] = [2, 3];

/// The columns of the terminal's table; the first and the last are words.
const COLUMNS: [(&str, usize); 8] = [
    ("method", 30),
    ("axis", 8),
    ("sizes", 6),
    ("forward (theory)", 16),
    ("backward (theory)", 17),
    ("floats (theory)", 15),
    ("memory (theory)", 15),
    ("note", 0),
];

/// The head of the terminal's table.
pub fn head() -> String {
    columns(&COLUMNS, COLUMNS.map(|(name, _)| name.to_owned()))
}

/// A method's exponents, measured and of theory, for the terminal.
pub fn line(axis: &str, curve: &Curve) -> String {
    let say = |value: Option<f64>| plain(value.unwrap_or(f64::NAN), 2);
    let (measured, theory) = (curve.measured.all(), curve.theory.all());
    let both = |i: usize| format!("{} ({})", say(measured[i]), say(theory[i]));
    let note = curve.absent.first().map_or(String::new(), |absent| {
        format!("without {} and more: {}", absent.size, absent.why)
    });
    let sizes = curve.points.len().to_string();
    let method = curve.method.clone();
    let texts = [
        method,
        axis.into(),
        sizes,
        both(0),
        both(1),
        both(2),
        both(3),
        note,
    ];
    columns(&COLUMNS, texts)
}

/// Renders the page as one self-contained HTML file.
///
/// # Errors
/// What the drawing refuses.
pub fn render(page: &Page) -> Result<String> {
    let mut sections = vec![];
    for growth in &page.axes {
        let figures: Vec<Figure> = [time(growth)?, memory(growth)?]
            .into_iter()
            .flatten()
            .collect();
        if !figures.is_empty() {
            sections.push(Section::figures(heading(&growth.axis), figures));
        }
    }
    let mut tables = vec![exponents(page), left_out(page), points(page)];
    tables.extend(backdrop(&page.settings, &page.versions));
    tables.retain(|table| !table.rows.is_empty());
    fill(View {
        experiment: "scaling".into(),
        title: "How time and memory grow".into(),
        lead: lead(page),
        sub: sub(page),
        tiles: tiles(page),
        sections,
        terms: terms(),
        tables,
    })
}

/// The heading of an axis.
fn heading(axis: &str) -> &'static str {
    match axis {
        "steps" => "Longer trainings",
        "weights" => "Larger networks",
        _ => "More hyperparameters",
    }
}

fn figure(
    growth: &Growth,
    y_label: &str,
    value: fn(&Point) -> f64,
    relative: bool,
    caption: &str,
) -> Result<Option<Figure>> {
    let curves = growth
        .curves
        .iter()
        .map(|c| c.drawn(growth, value, relative));
    let curves: Vec<plots::Curve> = curves.filter(|c| !c.points.is_empty()).collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let label = format!("{y_label} of every method over {}", growth.what);
    let curves = Curves {
        x_label: growth.what.clone(),
        y_label: y_label.into(),
        curves,
        guides: relative,
    };
    let caption = format!("{caption} {}", growth.setting);
    Ok(Some(Figure::new(label, caption, curves.draw()?)))
}

fn time(growth: &Growth) -> Result<Option<Figure>> {
    let caption =
        "Training and the backward pass together, as a multiple of what the smallest size takes.";
    let label = "time, the smallest size's being one";
    figure(growth, label, Point::seconds, true, caption)
}

fn memory(growth: &Growth) -> Result<Option<Figure>> {
    let caption = "The most memory that the process took beyond what it held before: the method's, \
                   that of the training itself and a few numbers of bookkeeping.";
    let value = |p: &Point| p.memory.map_or(f64::NAN, |n| n as f64);
    figure(growth, "memory in bytes", value, false, caption)
}

/// How far each exponent of time or of memory is from theory, and which it is.
fn deviations(page: &Page, which: [usize; 2]) -> Vec<(f64, String)> {
    let curves = page
        .axes
        .iter()
        .flat_map(|g| g.curves.iter().map(move |c| (g, c)));
    let all = curves.flat_map(|(growth, curve)| {
        which.into_iter().filter_map(move |i| {
            let (measured, theory) = (curve.measured.all()[i]?, curve.theory.all()[i]?);
            let what = format!(
                "{} over {} by {}",
                Exponents::NAMES[i],
                growth.what,
                curve.method
            );
            Some(((measured - theory).abs(), what))
        })
    });
    all.collect()
}

/// The result in one sentence.
fn lead(page: &Page) -> String {
    let part = |what: &str, which| {
        let all = deviations(page, which);
        let near = all.iter().filter(|(far, _)| *far <= FAR).count();
        (!all.is_empty()).then(|| format!("{near} of {} exponents of {what}", all.len()))
    };
    let parts = [part("memory", MEMORY), part("time", TIME)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "Too few sizes for an exponent".into(),
        false => format!("{} are within {FAR} of theory", parts.join(" and ")),
    }
}

/// What is furthest from theory.
fn sub(page: &Page) -> String {
    let furthest = |which| {
        let all = deviations(page, which).into_iter();
        let (far, what) = all.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(format!("{what} ({})", fixed(far, 2)))
    };
    let all: Vec<String> = [furthest(MEMORY), furthest(TIME)]
        .into_iter()
        .flatten()
        .collect();
    let furthest = match all.is_empty() {
        true => String::new(),
        false => format!(" Furthest from theory: {}.", all.join("; ")),
    };
    format!("An exponent of nought is constant, one is linear.{furthest}")
}

/// The default method along each axis, or the first there is.
fn tiles(page: &Page) -> Vec<Tile> {
    let tile = |growth: &Growth| {
        let hats = growth.curves.iter().find(|c| c.method.starts_with("hats"));
        let curve = hats.or(growth.curves.first())?;
        let (first, last) = (curve.points.first()?, curve.points.last()?);
        Some(Tile {
            label: format!(
                "{} to {} {}",
                fixed(first.size as f64, 0),
                fixed(last.size as f64, 0),
                growth.what
            ),
            value: format!("time × {}", number(last.seconds() / first.seconds())),
            note: format!(
                "{}: {}, then {}",
                curve.method,
                floats(first.floats as f64),
                brief(last.floats as f64)
            ),
        })
    };
    page.axes.iter().filter_map(tile).collect()
}

/// The words a reader from elsewhere needs.
fn terms() -> Vec<Term> {
    vec![
        Term::hypergradient(),
        Term::new(
            "exponent",
            "the power of the size that a quantity grows like: twice the size takes twice as much \
             where it is one, and as much as before where it is nought",
        ),
        Term::new(
            "floats",
            "numbers that a method keeps beside those that training and any backward pass need, as it \
             counts them itself",
        ),
        Term::new(
            "memory",
            "the most that the process of one size held at once, as the system counts it, less what \
             it held before the training",
        ),
    ]
}

fn words(text: &str) -> Cell {
    Cell {
        class: "words",
        ..text.into()
    }
}

/// Measured exponents beside those of theory.
fn exponents(page: &Page) -> Table {
    let say = |value: Option<f64>| match value {
        Some(value) => fixed(value, 2),
        None => "–".into(),
    };
    let mut columns = vec![words("method"), words("axis"), "sizes".into()];
    for name in Exponents::NAMES {
        columns.extend([name.into(), "theory".into()]);
    }
    let rows = page.axes.iter().flat_map(|growth| {
        growth.curves.iter().map(move |curve| {
            let mut cells = vec![
                words(&curve.method),
                words(&growth.axis),
                curve.points.len().to_string().as_str().into(),
            ];
            for (measured, theory) in curve.measured.all().into_iter().zip(curve.theory.all()) {
                let far = measured
                    .zip(theory)
                    .is_some_and(|(m, t)| (m - t).abs() > FAR);
                cells.push(Cell {
                    class: if far { "best" } else { "" },
                    ..say(measured).as_str().into()
                });
                cells.push(say(theory).as_str().into());
            }
            Line {
                cells,
                marked: false,
                remark: String::new(),
            }
        })
    });
    Table {
        heading: "Exponents",
        note: format!(
            "Slopes over the larger half of the sizes. What is further than {FAR} from theory is in colour: small sizes \
             have costs that do not grow, and large ones leave the cache."
        ),
        columns,
        rows: rows.collect(),
        numbers: true,
        open: true,
    }
}

/// How far from theory an exponent is worth a look.
const FAR: f64 = 0.15;

/// The sizes that were left out.
fn left_out(page: &Page) -> Table {
    let rows = page.axes.iter().flat_map(|growth| {
        growth.curves.iter().flat_map(move |curve| {
            curve.absent.iter().map(move |absent| Line {
                cells: vec![
                    words(&curve.method),
                    words(&growth.axis),
                    fixed(absent.size as f64, 0).as_str().into(),
                    absent.bytes.map_or("–".into(), bytes).as_str().into(),
                    words(&absent.why),
                ],
                marked: false,
                remark: String::new(),
            })
        })
    });
    Table {
        heading: "Left out",
        note: "With the memory that the method's numbers alone would have needed, where that is \
               the reason."
            .into(),
        columns: vec![
            words("method"),
            words("axis"),
            "size".into(),
            "memory".into(),
            words("why"),
        ],
        rows: rows.collect(),
        numbers: true,
        open: true,
    }
}

/// Every size of every method.
fn points(page: &Page) -> Table {
    let ratio = |a: f64, b: f64| number(a / b);
    let rows = page.axes.iter().flat_map(|growth| {
        growth.curves.iter().flat_map(move |curve| {
            let points = curve.points.iter().zip(curve.points.iter().take(1).cycle());
            points.map(move |(p, first)| Line {
                cells: vec![
                    words(&curve.method),
                    words(&growth.axis),
                    fixed(p.size as f64, 0).as_str().into(),
                    ratio(p.forward_seconds, first.forward_seconds)
                        .as_str()
                        .into(),
                    ratio(p.backward_seconds, first.backward_seconds)
                        .as_str()
                        .into(),
                    fixed(p.floats as f64, 0).as_str().into(),
                    p.memory
                        .map_or("–".into(), |n| bytes(n as f64))
                        .as_str()
                        .into(),
                    p.runs.to_string().as_str().into(),
                ],
                marked: false,
                remark: String::new(),
            })
        })
    });
    let rows: Vec<Line> = rows.collect();
    Table {
        heading: "Every size",
        note: format!(
            "{}. Times are multiples of those at the smallest size.",
            count(rows.len(), "size")
        ),
        columns: vec![
            words("method"),
            words("axis"),
            "size".into(),
            "forward".into(),
            "backward".into(),
            "floats".into(),
            "memory".into(),
            "runs".into(),
        ],
        open: rows.len() <= 40,
        rows,
        numbers: true,
    }
}
