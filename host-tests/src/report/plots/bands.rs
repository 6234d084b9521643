//! Curves with bands: a line and, behind it, the range from the least to the greatest of its seeds.
//!
//! The names are at the right edge, level with the ends of their curves. A curve of many points has a
//! finer line, so that what jumps from point to point does not become a block of colour.
//!
//! What it refuses: nothing. A point that has no place on an axis is a gap; the caller counts those.

use anyhow::Result;
use plotters::element::Polygon;
use plotters::prelude::{Circle, PathElement};
use plotters::style::Color;

use super::canvas::{
    Axis, BROAD, FINE, Frame, HEADING, LETTERS, Picture, SERIES, TICK, UNDER, drawable, picture,
    pieces, plane, stroke, width, write,
};
use super::curves::{APART, name_ends};
use super::lines::{CURVE_POINTS, extremes};
use crate::words;

/// One curve.
pub(crate) struct Band {
    pub(crate) name: String,
    pub(crate) line: Vec<(f64, f64)>,
    /// Where a point is, its least and its greatest value; empty where there is one seed.
    pub(crate) range: Vec<(f64, f64, f64)>,
}

/// A picture of them.
pub(crate) struct Bands {
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    /// Whether the axes are logarithmic: x, y.
    pub(crate) log: [bool; 2],
    pub(crate) curves: Vec<Band>,
}

/// The name of an axis that may be logarithmic.
fn named(label: &str, axis: &Axis) -> String {
    match (axis.log, label.strip_suffix(')')) {
        (false, _) => label.into(),
        // The kind of axis goes into the brackets of the unit where there are any.
        (true, Some(open)) => format!("{open}, log axis)"),
        (true, None) => format!("{label} (log axis)"),
    }
}

impl Bands {
    /// Draws the curves.
    pub(crate) fn draw(&self) -> Result<Picture> {
        // Only where there is something to draw: a curve that ended early needs no empty room.
        let finite = |c: &'_ Band| {
            c.line
                .iter()
                .filter(|p| drawable(p.1))
                .map(|p| p.0)
                .collect()
        };
        let across: Vec<f64> = self.curves.iter().flat_map::<Vec<f64>, _>(finite).collect();
        let lines = self.curves.iter().flat_map(|c| c.line.iter().map(|p| p.1));
        let ranges = self.curves.iter().flat_map(|c| &c.range);
        let upwards = || lines.clone().chain(ranges.clone().flat_map(|p| [p.1, p.2]));
        let x = match self.log[0] {
            true => Axis::log(across.into_iter()),
            false if across.iter().all(|x| x.fract() == 0.0) => Axis::whole(across.into_iter()),
            false => Axis::linear(across.into_iter()),
        };
        let y = match self.log[1] {
            true => Axis::log(upwards()),
            false => Axis::linear(upwards()),
        };
        let several = self.curves.len() > 1;
        let names: Vec<String> = self
            .curves
            .iter()
            .map(|c| words::shortened(&c.name, LETTERS))
            .collect();
        let longest = names.iter().map(|n| width(n, TICK)).fold(0.0, f64::max);
        let top = 38;
        // The names need room one under the other.
        let high = (APART * (names.len() + 1) as f64).max(280.0) as i32;
        let frame = Frame {
            // The same for most pictures, so that one under another has its axis in line.
            left: (y.label_width() + 12).max(64),
            right: BROAD - if several { longest as i32 + 34 } else { 24 },
            top,
            bottom: top + high,
        };
        picture((BROAD, frame.bottom + 52), false, |area| {
            write(area, &named(&self.y_label, &y), (0, 2 * FINE), HEADING)?;
            let plane = plane(area, frame, (&x, &y), &named(&self.x_label, &x))?;
            for (i, curve) in self.curves.iter().enumerate() {
                let colour = SERIES[i % SERIES.len()].mix(0.16);
                for outline in outlines(&curve.range, &x, &y) {
                    plane.draw(&Polygon::new(outline, colour.filled()))?;
                }
            }
            let mut ends = Vec::new();
            for (i, (curve, name)) in self.curves.iter().zip(&names).enumerate() {
                let colour = SERIES[i % SERIES.len()];
                let fine = if curve.line.len() > CURVE_POINTS {
                    5
                } else {
                    8
                };
                let pieces = pieces(&extremes(&curve.line), &x, &y);
                for piece in &pieces {
                    match piece.as_slice() {
                        // A lone point makes no line.
                        [at] => plane.draw(&Circle::new(*at, 10, colour.filled()))?,
                        _ => plane.draw(&PathElement::new(piece.clone(), stroke(colour, fine)))?,
                    }
                }
                if let Some(end) = pieces.last().and_then(|piece| piece.last()) {
                    let tie = stroke(colour.mix(0.6), 4);
                    ends.push((plane.map_coordinate(end), name.as_str(), tie));
                }
            }
            if ends.is_empty() {
                let middle = (
                    (frame.left + frame.right) / 2 * FINE,
                    (top + high / 2) * FINE,
                );
                return write(area, words::NOT_FINITE, middle, UNDER);
            }
            match several {
                true => name_ends(area, frame, ends),
                false => Ok(()),
            }
        })
    }
}

/// The bands' outlines, there along the least values and back along the greatest.
fn outlines(range: &[(f64, f64, f64)], x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64)>> {
    let every = range.len().div_ceil(CURVE_POINTS).max(1);
    let thinned: Vec<(f64, f64, f64)> = range
        .chunks(every)
        .flat_map(|stretch| {
            let finite = || stretch.iter().filter(|p| drawable(p.1) && drawable(p.2));
            let least = finite().map(|p| p.1).fold(f64::INFINITY, f64::min);
            let greatest = finite().map(|p| p.2).fold(f64::NEG_INFINITY, f64::max);
            stretch.first().map(|p| (p.0, least, greatest))
        })
        .collect();
    // What is under a logarithmic axis reaches down to its edge.
    let low = |v: f64| match y.place(v) {
        None if drawable(v) => Some(y.lo),
        place => place,
    };
    let placed = |p: &(f64, f64, f64)| Some((x.place(p.0)?, low(p.1)?, y.place(p.2)?));
    thinned
        .split(|p| placed(p).is_none())
        .filter(|run| run.len() > 1)
        .map(|run| {
            let run: Vec<_> = run.iter().filter_map(placed).collect();
            let back = run.iter().rev().map(|p| (p.0, p.2));
            run.iter().map(|p| (p.0, p.1)).chain(back).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_has_gaps_and_reaches_down_to_a_logarithmic_edge() {
        let axis = |log| Axis {
            lo: -2.0,
            hi: 8.0,
            ticks: vec![],
            log,
        };
        let range = [
            (1.0, 0.0, 10.0),
            (2.0, 1.0, 100.0),
            (3.0, f64::NAN, 1.0),
            (4.0, 1.0, 1.0),
            (5.0, 1.0, 1.0),
        ];
        let got = outlines(&range, &axis(false), &axis(true));
        let first = vec![(1.0, -2.0), (2.0, 0.0), (2.0, 2.0), (1.0, 1.0)];
        assert_eq!(got.len(), 2);
        assert_eq!(got[0], first);
    }
}
