//! Growth as curves: a size across, what it takes upwards, both axes logarithmic, so that a power is
//! a straight line and its exponent the slope.
//!
//! Every curve has its name at the right edge, level with its end or as near to that as the others
//! let it, and tied to it.
//!
//! What it refuses: sizes and values that aren't positive and finite; the caller leaves those out
//! and says so.

use anyhow::Result;
use minijinja::HtmlEscape;
use plotters::prelude::PathElement;
use plotters::style::{Color, ShapeStyle};

use super::canvas::{
    Area, Axis, BEHIND, BROAD, FINE, Frame, HEADING, Hand, INK, LETTERS, MUTED, Picture, TICK,
    picture, plane, rule, stroke, width, write,
};
use super::front::Family;
use crate::words;

/// How far apart the names at the right edge are, in nominal pixels.
pub(super) const APART: f64 = 17.0;

/// What one method takes.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) family: Family,
    /// Sizes and values, with what the pointer is told of each.
    pub(crate) points: Vec<((f64, f64), String)>,
}

/// A picture of growth.
pub(crate) struct Curves {
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) curves: Vec<Curve>,
    /// Whether all curves begin at one: then lines show what constant and linear growth are.
    pub(crate) guides: bool,
}

impl Curves {
    /// Draws the curves.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let all = || self.curves.iter().flat_map(|c| &c.points).map(|(p, _)| *p);
        let (x, y) = (Axis::log(all().map(|p| p.0)), Axis::log(all().map(|p| p.1)));
        let names: Vec<String> = self
            .curves
            .iter()
            .map(|c| words::shortened(&c.name, LETTERS))
            .collect();
        let longest = names.iter().map(|n| width(n, TICK)).fold(0.0, f64::max);
        let top = 56;
        // The names need room one under the other.
        let high = (APART * (names.len() + 1) as f64).max(340.0) as i32;
        let frame = Frame {
            left: y.label_width() + 12,
            right: BROAD - longest as i32 - 34,
            top,
            bottom: top + high,
        };
        let mut hints = String::new();
        let mut picture = picture((BROAD, frame.bottom + 52), false, |area| {
            let heading = format!("{} (log axis)", self.y_label);
            write(area, &heading, (0, 2 * FINE), HEADING)?;
            let occurs = |family| self.curves.iter().any(|c| c.family == family);
            let after = Family::legend(area, 26, occurs)?;
            let label = format!("{} (log axis)", self.x_label);
            let plane = plane(area, frame, (&x, &y), &label)?;
            if self.guides {
                let faint = stroke(INK.mix(0.35), 5);
                let reach = (x.hi - x.lo).min(y.hi).max(0.0);
                let from = all().map(|p| p.0).fold(f64::INFINITY, f64::min).log10();
                for end in [
                    (x.hi, 0.0),
                    (from + reach.min(x.hi - from), reach.min(x.hi - from)),
                ] {
                    plane.draw(&PathElement::new(vec![(from, 0.0), end], faint))?;
                }
                let (at, level) = ((after * f64::from(FINE)) as i32, 35 * FINE);
                rule(area, (at, level), (at + 20 * FINE, level), faint)?;
                let text = "constant and linear growth";
                write(area, text, (at + 26 * FINE, level), BEHIND)?;
            }
            let mut ends = Vec::new();
            for (curve, name) in self.curves.iter().zip(&names) {
                let mut line = Vec::new();
                for ((size, value), hint) in &curve.points {
                    let (Some(x), Some(y)) = (x.place(*size), y.place(*value)) else {
                        continue;
                    };
                    let at = plane.map_coordinate(&(x, y));
                    line.push(at);
                    hints += &format!(
                        "<circle cx=\"{}\" cy=\"{}\" r=\"36\" fill=\"transparent\"><title>{}</title></circle>\n",
                        at.0,
                        at.1,
                        HtmlEscape(hint)
                    );
                }
                if let Some(end) = line.last() {
                    ends.push((*end, name.as_str(), stroke(MUTED.mix(0.5), 3)));
                }
                let colour = curve.family.colour();
                area.draw(&PathElement::new(line.clone(), stroke(colour.mix(0.75), 6)))?;
                for at in line {
                    curve.family.mark(area, at, true)?;
                }
            }
            name_ends(area, frame, ends)?;
            Ok(())
        })?;
        picture.body += &hints;
        Ok(picture)
    }
}

/// Writes names at the right edge, each as near to the end of its curve as the others let it and tied
/// to it.
pub(super) fn name_ends(
    area: &Area<'_>,
    frame: Frame,
    mut ends: Vec<((i32, i32), &str, ShapeStyle)>,
) -> Result<()> {
    ends.sort_by_key(|(at, ..)| at.1);
    let wanted: Vec<f64> = ends
        .iter()
        .map(|(at, ..)| f64::from(at.1) / f64::from(FINE))
        .collect();
    let levels = spread(&wanted, f64::from(frame.bottom));
    let edge = (frame.right + 20) * FINE;
    for ((at, name, tie), level) in ends.into_iter().zip(levels) {
        let level = (level * f64::from(FINE)) as i32;
        rule(area, (at.0 + 7 * FINE, at.1), (edge - 3 * FINE, level), tie)?;
        write(
            area,
            name,
            (edge, level),
            Hand {
                colour: INK,
                ..BEHIND
            },
        )?;
    }
    Ok(())
}

/// Levels in ascending order moved apart, downwards and then, from the lowest that may be, upwards.
fn spread(wanted: &[f64], lowest: f64) -> Vec<f64> {
    let mut levels = wanted.to_vec();
    for i in 1..levels.len() {
        levels[i] = levels[i].max(levels[i - 1] + APART);
    }
    let mut most = lowest;
    for level in levels.iter_mut().rev() {
        *level = level.min(most);
        most = *level - APART;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_apart_and_above_the_lowest_level() {
        let levels = spread(&[10.0, 11.0, 11.0, 95.0, 99.0], 100.0);
        assert_eq!(levels, [10.0, 27.0, 44.0, 83.0, 100.0]);
    }
}
