//! The pictures of a tuning run, each with its caption, which owns up to what the picture leaves out.

use anyhow::{Result, ensure};

use crate::report::page::Figure;
use crate::report::plots::canvas::drawable;
use crate::report::plots::lines::{Lines, Series};
use crate::report::plots::{scatter, strips};
use crate::report::run::{Angle, MetaStep, Report, Scatter, Strip, draws, two_draws};
use crate::statistics;
use crate::words::{self, count, fixed, moves, number, percent};

/// The sentence that owns up to what a picture leaves out.
fn left_out(values: impl Iterator<Item = f64>) -> String {
    let (mut bad, mut all) = (0, 0);
    for value in values {
        all += 1;
        bad += usize::from(!drawable(value));
    }
    match bad {
        0 => String::new(),
        _ if bad == all => " Not one value is finite.".into(),
        1 => format!(
            " One of {} is not finite and left out.",
            count(all, "value")
        ),
        _ => format!(
            " {} of {} are not finite and left out.",
            fixed(bad as f64, 0),
            count(all, "value")
        ),
    }
}

/// One quantity of the meta-iterations as a curve.
fn over_steps(report: &Report, name: &str, get: fn(&MetaStep) -> f64) -> Series {
    let steps = report.meta_steps.iter();
    Series {
        name: name.into(),
        points: steps.map(|m| (m.step as f64, get(m))).collect(),
        raw: Vec::new(),
    }
}

pub(super) fn tuning(report: &Report) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let x = || "meta-iteration".to_owned();
    if let (Some(first), Some(last)) = (report.meta_steps.first(), report.meta_steps.last()) {
        let between = match report.meta_steps.len() {
            1 => format!("at meta-iteration {}", first.step),
            _ => format!("between meta-iterations {} and {}", first.step, last.step),
        };
        let path = |name: &str, get: fn(&MetaStep) -> f64, say: fn(f64) -> String| {
            let (a, b) = (get(first), get(last));
            match report.meta_steps.len() {
                1 => format!("{name} is {}", say(a)),
                _ => format!("{name} {}", moves(a, b, say)),
            }
        };
        let all = |get: fn(&MetaStep) -> f64| report.meta_steps.iter().map(get);

        let lines = Lines {
            x_label: x(),
            y_label: "validation loss (nats per example)".into(),
            series: vec![over_steps(report, "validation", |m| m.valid_loss)],
            log: false,
        };
        let least = report.meta_steps.iter().filter(|m| drawable(m.valid_loss));
        let least = least.min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss));
        let least = match least {
            Some(m) if m.step != last.step && m.step != first.step => {
                let value = number(m.valid_loss);
                format!(" The least is {value}, at meta-iteration {}.", m.step)
            }
            _ => String::new(),
        };
        let caption = format!(
            "{} {between}.{least}{}",
            path("Validation loss", |m| m.valid_loss, number),
            left_out(all(|m| m.valid_loss))
        );
        let label = "Validation loss over the meta-iterations".into();
        figures.push(Figure::new(label, caption, lines.draw()?));

        let lines = Lines {
            x_label: x(),
            y_label: "wrongly classified (%)".into(),
            series: vec![
                over_steps(report, "validation error", |m| 100.0 * m.valid_error),
                over_steps(report, "test error", |m| 100.0 * m.test_error),
            ],
            log: false,
        };
        let caption = format!(
            "{}, {} {between}.{}",
            path("Validation error", |m| m.valid_error, percent),
            path("test error", |m| m.test_error, percent),
            left_out(all(|m| m.valid_error).chain(all(|m| m.test_error)))
        );
        let label = "Validation and test error over the meta-iterations".into();
        figures.push(Figure::new(label, caption, lines.draw()?));

        let lines = Lines {
            x_label: x(),
            y_label: "norm of the hypergradient (nats)".into(),
            series: vec![over_steps(report, "norm", |m| m.norm)],
            log: true,
        };
        let caption = format!(
            "{} {between}.{}",
            path("The hypergradient's norm", |m| m.norm, number),
            left_out(all(|m| m.norm))
        );
        let label = "Norm of the hypergradient over the meta-iterations".into();
        figures.push(Figure::new(label, caption, lines.draw()?));
    }
    figures.extend(training(report)?);
    Ok(figures)
}

/// The mean over a window around each step; steps whose loss isn't finite don't count.
fn running_mean(losses: &[f32], half: usize) -> Vec<(f64, f64)> {
    let mut sums = Vec::with_capacity(losses.len() + 1);
    let (mut sum, mut n) = (0.0, 0usize);
    sums.push((sum, n));
    for loss in losses {
        if loss.is_finite() {
            sum += f64::from(*loss);
            n += 1;
        }
        sums.push((sum, n));
    }
    (0..losses.len())
        .map(|i| {
            let (a, b) = (
                sums[i.saturating_sub(half)],
                sums[(i + half + 1).min(losses.len())],
            );
            // No finite loss in the window: nothing divided by nothing, and so a gap.
            (i as f64, (b.0 - a.0) / (b.1 - a.1) as f64)
        })
        .collect()
}

fn training(report: &Report) -> Result<Option<Figure>> {
    let curves = || report.training.iter().filter(|c| !c.losses.is_empty());
    let Some(longest) = curves().map(|c| c.losses.len()).max() else {
        return Ok(None);
    };
    let half = longest / 100;
    let series: Vec<Series> = curves()
        .map(|curve| Series {
            name: curve.label.clone(),
            points: running_mean(&curve.losses, half),
            raw: match half {
                0 => Vec::new(),
                _ => running_mean(&curve.losses, 0),
            },
        })
        .collect();
    let ends: Vec<String> = series
        .iter()
        .map(|s| {
            let end = s.points.last().map_or(f64::NAN, |p| p.1);
            let at = if end.is_finite() { " at" } else { "" };
            format!("{} ends{at} {}", s.name, number(end))
        })
        .collect();
    let how = match half {
        0 => String::new(),
        _ => format!(
            ", as a running mean over {} with the raw values faint behind",
            count(2 * half + 1, "step")
        ),
    };
    let values = curves().flat_map(|c| &c.losses).map(|v| f64::from(*v));
    let caption = format!(
        "Training loss{how}: {}.{}",
        ends.join(", "),
        left_out(values)
    );
    let lines = Lines {
        x_label: "training step".into(),
        y_label: "training loss (nats per example)".into(),
        series,
        log: true,
    };
    let label = "Training loss over the steps of training".into();
    Ok(Some(Figure::new(label, caption, lines.draw()?)))
}

/// The mean of the values that are numbers.
fn mean(values: impl Iterator<Item = f32>) -> f64 {
    let finite = values.filter(|v| v.is_finite());
    statistics::mean(finite.map(f64::from))
}

/// The least and the greatest value, in words.
fn span<'a>(values: impl Iterator<Item = &'a f32>) -> String {
    let mut values = values.map(|v| f64::from(*v)).filter(|v| drawable(*v));
    let Some(first) = values.next() else {
        return words::NOT_FINITE.into();
    };
    let (lo, hi) = values.fold((first, first), |(lo, hi), v| (lo.min(v), hi.max(v)));
    format!("from {} (dark) to {} (light)", number(lo), number(hi))
}

pub(super) fn penalties(report: &Report) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut flat = Vec::new();
    for strip in &report.penalties {
        if strip.values.is_empty() {
            continue;
        }
        ensure!(
            strip.rows.checked_mul(strip.columns) == Some(strip.values.len()),
            "{}: {} rows of {} don't hold {} values",
            strip.name,
            strip.rows,
            strip.columns,
            strip.values.len()
        );
        if strip.rows == 1 {
            flat.push(strip);
        } else {
            let label = format!("Heat map: {} of the {}", strip.unit, strip.name);
            figures.push(Figure::new(
                label,
                map_caption(strip),
                strips::heat_map(strip)?,
            ));
        }
    }
    if let Some(first) = flat.first() {
        let values = || flat.iter().flat_map(|s| &s.values);
        let means: Vec<String> = flat
            .iter()
            .map(|s| format!("{} {}", s.name, number(mean(s.values.iter().copied()))))
            .collect();
        let caption = format!(
            "The {} of {}, layer by layer in the network's own order, {}. Means: {}.{}",
            first.unit,
            count(values().count(), "unit"),
            span(values()),
            means.join(", "),
            left_out(values().map(|v| f64::from(*v)))
        );
        let label = format!("Strips: {} of every unit", first.unit);
        figures.push(Figure::new(label, caption, strips::strips(&flat)?));
    }
    Ok(figures)
}

/// What the heat map of the pixels shows, with the frame of unlit pixels told apart.
fn map_caption(strip: &Strip) -> String {
    let Strip { rows, columns, .. } = *strip;
    let mut caption = format!(
        "The {} of the {}, {}.",
        strip.unit,
        strip.name,
        span(strip.values.iter())
    );
    // Images are centred more often than not: near the edge there is little to see.
    let edge = 2;
    if rows > 4 * edge && columns > 4 * edge {
        let on_frame = |i: usize| {
            let (r, c) = (i / columns, i % columns);
            r < edge || c < edge || r >= rows - edge || c >= columns - edge
        };
        let part = |frame: bool| {
            let cells = strip.values.iter().enumerate();
            mean(
                cells
                    .filter(|(i, _)| on_frame(*i) == frame)
                    .map(|(_, v)| *v),
            )
        };
        caption += &format!(
            " The frame of the outer two rows and columns averages {}; the inside averages {}.",
            number(part(true)),
            number(part(false))
        );
    }
    let (value, times) = commonest(&strip.values);
    if times >= 5 {
        caption += &format!(
            " {times} cells share the exact value {}: a pixel that no image lights passes nothing on, \
             its hypergradient is nil, and its penalty stays where it began.",
            number(value)
        );
    }
    caption += &left_out(strip.values.iter().map(|v| f64::from(*v)));
    caption
}

/// The value that occurs most often, and how often.
fn commonest(values: &[f32]) -> (f64, usize) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let runs = sorted.chunk_by(|a, b| a == b);
    let most = runs.max_by_key(|run| run.len()).unwrap_or(&[]);
    (most.first().map_or(f64::NAN, |v| f64::from(*v)), most.len())
}

pub(super) fn comparison(report: &Report) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let method = &report.method;
    let (other, own, alone) = match report.draws {
        1 => (
            "exact, of another draw".into(),
            String::new(),
            "one draw".into(),
        ),
        n => {
            let all = draws(report);
            let (other, own) = match report.clients {
                None => (
                    format!("exact, of {n} other draws"),
                    format!(" Each is the mean over {all}."),
                ),
                Some(reduction) => (
                    "exact, of other draws".into(),
                    format!(" Each is of {all}: {}.", reduction.describe()),
                ),
            };
            (other, own, all)
        }
    };
    if let (Some(first), Some(last)) = (report.angles.first(), report.angles.last()) {
        let one = report.angles.len() == 1;
        let among = first.another_draw.zip(last.another_draw);
        let series = |name: &str, get: fn(&Angle) -> f64| Series {
            name: name.into(),
            points: report
                .angles
                .iter()
                .map(|a| (a.meta_step as f64, get(a)))
                .collect(),
            raw: Vec::new(),
        };
        let lines = Lines {
            x_label: "meta-iteration".into(),
            y_label: "cosine to the exact hypergradient".into(),
            series: [series(method, |a| a.cosine)]
                .into_iter()
                .chain(among.map(|_| series(&other, |a| a.another_draw.unwrap_or(f64::NAN))))
                .collect(),
            log: false,
        };
        let told = |first, last| match one {
            true => format!("is {}", number(first)),
            false => moves(first, last, number),
        };
        let path = told(first.cosine, last.cosine);
        let cosines = || report.angles.iter().map(|a| a.cosine);
        let least = cosines().filter(|c| drawable(*c)).min_by(f64::total_cmp);
        let least = match least {
            Some(c) if c < first.cosine && c < last.cosine => {
                format!(" The least is {}.", number(c))
            }
            _ => String::new(),
        };
        let among_draws = among.map_or(String::new(), |(first, last)| {
            let (draws, path) = (two_draws(report), told(first, last));
            format!(
                " Between the exact hypergradients of {draws} it {path}: the rest belongs to {alone} alone."
            )
        });
        let caption = format!(
            "The cosine between {method} and the exact hypergradient {path}.{least}{own} At one \
             both have the same direction.{among_draws}{}",
            left_out(cosines())
        );
        let label = format!("Cosine between {method} and exact hypergradient");
        figures.push(Figure::new(label, caption, lines.draw()?));

        let lines = Lines {
            x_label: "meta-iteration".into(),
            y_label: "norm, as a multiple of the exact one".into(),
            series: vec![series("ratio", |a| a.norm_ratio)],
            log: false,
        };
        let path = if one {
            format!("is {}", number(first.norm_ratio))
        } else {
            moves(first.norm_ratio, last.norm_ratio, number)
        };
        let caption = format!(
            "The length of the {method} hypergradient over that of the exact one {path}. At \
             one both have the same length.{}",
            left_out(report.angles.iter().map(|a| a.norm_ratio))
        );
        let label = format!("Norm of the {method} hypergradient over that of the exact one");
        figures.push(Figure::new(label, caption, lines.draw()?));
    }
    let filled = |s: &&Scatter| !s.exact.is_empty() || !s.approximate.is_empty();
    let filled: Vec<&Scatter> = report.comparison.iter().filter(filled).collect();
    for scatter in &filled {
        ensure!(
            scatter.exact.len() == scatter.approximate.len(),
            "meta-iteration {}: {} exact and {} approximate values are not pairs",
            scatter.meta_step,
            scatter.exact.len(),
            scatter.approximate.len()
        );
    }
    // The first and the last tell how it went; those between would tell the same.
    let ends = match filled.as_slice() {
        [] => vec![],
        [only] => vec![*only],
        [first, .., last] => vec![*first, *last],
    };
    for scatter in ends {
        let both = scatter.exact.iter().chain(&scatter.approximate);
        let (picture, dots) = scatter::scatter(scatter, method)?;
        let thinned = dots.map_or(String::new(), |dots| {
            format!(
                " Those that would lie on one another are drawn as one, {} in all: the darker, the more.",
                count(dots, "dot")
            )
        });
        let caption = format!(
            "At meta-iteration {}: {} against the exact hypergradient for {}, with cosine {}. \
             Where both agree, points lie on the line.{thinned}{}",
            scatter.meta_step,
            method,
            count(scatter.exact.len(), "hyperparameter"),
            number(scatter.cosine),
            left_out(both.map(|v| f64::from(*v)))
        );
        let label = format!(
            "Scatter: {method} against exact hypergradient at meta-iteration {}",
            scatter.meta_step
        );
        figures.push(Figure::new(label, caption, picture));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_mean_skips_what_is_not_finite() {
        let mean = running_mean(&[1.0, f32::NAN, 3.0], 1);
        assert_eq!(mean, [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]);
        assert!(running_mean(&[f32::NAN], 0)[0].1.is_nan());
    }

    #[test]
    fn the_commonest_value_is_counted() {
        assert_eq!(commonest(&[1.0, -4.0, -4.0, f32::NAN]), (-4.0, 2));
        assert_eq!(commonest(&[]).1, 0);
    }
}
