//! The pictures of a study, each with its caption.
//!
//! Figures without anything to show are left out, and so is a metric that a variant doesn't have.
//!
//! Refused: shapes that contradict themselves (a curve with more heights than places, a matrix that its
//! rows and columns don't fill), and a ranking by a metric that no variant has.

use std::cmp::Ordering;

use anyhow::{Result, ensure};

use crate::report::findings::{
    Curves, Findings, Images, Matrix, Metric, Ranking, Shown, Spread, Variant, lower_is_better,
};
use crate::report::page::Figure;
use crate::report::plots::canvas::{Picture, drawable};
use crate::report::plots::{self, Band, Bands, Grid, Ranked, Tiles};
use crate::words::{self, count};

/// The pictures of an experiment that have something to show.
pub(super) fn figures(one: &Findings) -> Result<Vec<Figure>> {
    let mut figures = vec![];
    for (i, shown) in one.figures.iter().enumerate() {
        let name = format!("{}, figure {}", one.name, i + 1);
        let drawn = match shown {
            Shown::Curves(f) => curves(f, &name)?,
            Shown::Images(f) => images(f, &name)?,
            Shown::Matrix(f) => matrix(f, &name)?,
            Shown::Ranking(f) => ranking(f, one, &name)?,
        };
        if let Some((label, more, picture)) = drawn {
            let caption = format!("{}{more}", shown.caption());
            figures.push(Figure::new(label, caption.trim().into(), picture));
        }
    }
    Ok(figures)
}

/// What a screen reader says, what is said behind the caption, and the picture.
type Drawn = Option<(String, String, Picture)>;

/// The sentence that owns up to what a picture leaves out.
fn left_out(bad: usize, all: usize, why: &str) -> String {
    match bad {
        0 => String::new(),
        _ if bad == all => format!(" Not one value is {why}."),
        _ => format!(
            " {} of {} not {why} and left out.",
            words::fixed(bad as f64, 0),
            match bad {
                1 => format!("{} is", count(all, "value")),
                _ => format!("{} are", count(all, "value")),
            }
        ),
    }
}

fn curves(f: &Curves, name: &str) -> Result<Drawn> {
    let mut bands = vec![];
    let (mut bad, mut all, mut seeds) = (0, 0, 0);
    let placed = |v: f64, log: bool| drawable(v) && (!log || v > 0.0);
    for curve in &f.series {
        for heights in &curve.y {
            ensure!(
                heights.len() == curve.x.len(),
                "{name}: the curve {} has {} places and {} heights",
                curve.name,
                curve.x.len(),
                heights.len()
            );
            all += heights.len();
            let pairs = curve.x.iter().zip(heights);
            bad += pairs
                .filter(|(x, y)| !placed(**x, f.log[0]) || !placed(**y, f.log[1]))
                .count();
        }
        if curve.x.is_empty() || curve.y.is_empty() {
            continue;
        }
        seeds = seeds.max(curve.y.len());
        let spread = |i: usize| Spread::of(curve.y.iter().filter_map(|y| y.get(i).copied()));
        let spreads: Vec<Spread> = (0..curve.x.len()).map(spread).collect();
        let points = || curve.x.iter().copied().zip(&spreads);
        bands.push(Band {
            name: curve.name.clone(),
            line: points().map(|(x, s)| (x, s.mean)).collect(),
            range: match curve.y.len() {
                1 => vec![],
                _ => points().map(|(x, s)| (x, s.least, s.greatest)).collect(),
            },
        });
    }
    if bands.is_empty() {
        return Ok(None);
    }
    let mut more = match seeds {
        0 | 1 => String::new(),
        n => {
            format!(" Lines are means over {n} seeds, bands reach from the least to the greatest.")
        }
    };
    let why = if f.log[1] || f.log[0] {
        "finite and positive"
    } else {
        "finite"
    };
    more += &left_out(bad, all, why);
    let label = format!("{} over {}", f.y_label, f.x_label);
    let picture = Bands {
        x_label: f.x_label.clone(),
        y_label: f.y_label.clone(),
        log: f.log,
        curves: bands,
    };
    Ok(Some((label, more, picture.draw()?)))
}

/// How many values aren't finite, and how many there are.
fn bad<'a>(values: impl Iterator<Item = &'a f64>) -> (usize, usize) {
    values.fold((0, 0), |(bad, all), v| {
        (bad + usize::from(!drawable(*v)), all + 1)
    })
}

fn images(f: &Images, name: &str) -> Result<Drawn> {
    for image in &f.images {
        ensure!(
            f.rows.checked_mul(f.columns) == Some(image.values.len()),
            "{name}: {} rows of {} don\u{2019}t hold the {} values of {}",
            f.rows,
            f.columns,
            image.values.len(),
            image.name
        );
    }
    if f.images.is_empty() || f.rows == 0 || f.columns == 0 {
        return Ok(None);
    }
    ensure!(f.across > 0, "{name}: no picture fits a row of none");
    let (bad, all) = bad(f.images.iter().flat_map(|i| &i.values));
    let tiles = Tiles {
        unit: f.unit.clone(),
        rows: f.rows,
        columns: f.columns,
        across: f.across,
        diverging: f.diverging,
        images: f
            .images
            .iter()
            .map(|i| (i.name.as_str(), i.values.as_slice()))
            .collect(),
    };
    let label = format!("{} of {}", f.unit, count(f.images.len(), "picture"));
    Ok(Some((label, left_out(bad, all, "finite"), tiles.draw()?)))
}

fn matrix(f: &Matrix, name: &str) -> Result<Drawn> {
    ensure!(
        f.rows.len().checked_mul(f.columns.len()) == Some(f.values.len()),
        "{name}: {} rows of {} don\u{2019}t hold {} values",
        f.rows.len(),
        f.columns.len(),
        f.values.len()
    );
    if f.values.is_empty() {
        return Ok(None);
    }
    // All cells as the largest of them, with a digit less than in a table.
    let most = f
        .values
        .iter()
        .filter(|v| drawable(**v))
        .fold(0.0f64, |m, v| m.max(v.abs()));
    let decimals = match most > 0.0 {
        true => (2.0 - most.log10().floor()).clamp(0.0, 4.0) as usize,
        false => 0,
    };
    let say = |v: f64| match most >= 1e5 || (most > 0.0 && most < 1e-3) {
        true => words::scientific(v, 1),
        false => words::fixed(v, decimals),
    };
    let grid = Grid {
        unit: f.unit.clone(),
        rows: &f.rows,
        columns: &f.columns,
        values: &f.values,
        say: &say,
    };
    let (bad, all) = bad(f.values.iter());
    let label = format!("{}, {} by {}", f.unit, f.rows.len(), f.columns.len());
    Ok(Some((label, left_out(bad, all, "finite"), grid.draw()?)))
}

fn ranking(f: &Ranking, one: &Findings, name: &str) -> Result<Drawn> {
    if let Some(baseline) = &f.baseline {
        ensure!(
            one.variants.iter().any(|v| v.name == *baseline),
            "{name}: no variant is called {baseline}"
        );
    }
    let having = |v: &'_ &Variant| v.metric(&f.metric).is_some();
    let Some(unit) = one
        .variants
        .iter()
        .find_map(|v| Some(v.metric(&f.metric)?.unit))
    else {
        ensure!(
            one.variants.iter().all(|v| v.failed.is_some()),
            "{name}: no variant has the metric {}",
            f.metric
        );
        return Ok(None);
    };
    let mut measured: Vec<(&Variant, &Metric, Spread)> = vec![];
    let mut absent: Vec<&str> = vec![];
    for variant in one.variants.iter().filter(having) {
        match variant.metric(&f.metric).map(|m| (m, m.spread())) {
            Some((metric, spread)) if drawable(spread.mean) => {
                measured.push((variant, metric, spread))
            }
            _ => absent.push(&variant.name),
        }
    }
    let lower = lower_is_better(&f.metric, unit).unwrap_or(true);
    measured.sort_by(|a, b| match lower {
        true => a.2.mean.total_cmp(&b.2.mean),
        false => b.2.mean.total_cmp(&a.2.mean),
    });
    let Some((_, _, best)) = measured.first() else {
        return Ok(None);
    };
    let alike = unit.alike(best.mean);
    let all = || {
        measured
            .iter()
            .flat_map(|(_, m, _)| &m.values)
            .copied()
            .filter(|v| drawable(*v))
    };
    let (least, most) = all().fold((f64::INFINITY, 0.0f64), |(l, m), v| (l.min(v), m.max(v)));
    // What failed badly must not squeeze all others into one place.
    let log = least > 0.0 && most / least > 30.0;
    let line = f.baseline.as_ref().and_then(|baseline| {
        let (_, _, spread) = measured.iter().find(|(v, ..)| v.name == *baseline)?;
        let name = words::shortened(baseline, 30);
        Some((
            spread.mean / alike.per,
            format!("{name}: {}", alike.say(spread.mean)),
        ))
    });
    let rows = measured.iter().map(|(variant, metric, spread)| Ranked {
        name: variant.name.clone(),
        family: None,
        seeds: metric.values.iter().map(|v| v / alike.per).collect(),
        mean: spread.mean / alike.per,
        text: alike.bare(spread.mean),
        front: spread.mean.total_cmp(&best.mean) == Ordering::Equal,
        hint: format!("{}\n{} {}", variant.name, f.metric, spread.say(unit)),
    });
    let shown = alike.unit.trim_start_matches('\u{a0}');
    let x_label = match shown {
        "" => f.metric.clone(),
        unit => format!("{} ({unit})", f.metric),
    };
    let sense = if lower {
        "lower is better"
    } else {
        "higher is better"
    };
    let rows: Vec<Ranked> = rows.collect();
    let mut more = match rows.iter().any(|r| r.seeds.len() > 1) {
        true => " A dot is a seed, the stroke their mean.".to_owned(),
        false => String::new(),
    };
    if !absent.is_empty() {
        more += &format!(" Not drawn, for want of a number: {}.", absent.join("; "));
    }
    let label = format!("{} of {}", f.metric, count(rows.len(), "variant"));
    let picture = plots::Ranking {
        heading: format!("{}: {sense}", f.metric),
        x_label: if log {
            format!("{x_label}, log axis")
        } else {
            x_label
        },
        log,
        line,
        rows,
    };
    Ok(Some((label, more, picture.draw()?)))
}
