//! Curves over a whole-numbered axis.

use anyhow::Result;
use plotters::backend::SVGBackend;
use plotters::prelude::{Circle, DrawingArea, PathElement};
use plotters::style::Color;

use super::canvas::{
    Axis, FINE, Frame, HEADING, Mark, PAPER, Picture, Plane, SERIES, UNDER, WIDTH, drawable,
    legend, picture, pieces, plane, stroke, write,
};
use crate::words;

/// The most points a curve is drawn with; more would be finer than a screen.
pub(super) const CURVE_POINTS: usize = 400;

/// One curve of a line picture.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// The same curve before smoothing, drawn faint behind it.
    pub(crate) raw: Vec<(f64, f64)>,
}

/// A picture of curves over a whole-numbered axis.
pub(crate) struct Lines {
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) series: Vec<Series>,
    /// A logarithmic axis is asked for; it is used where every value is positive.
    pub(crate) log: bool,
}

impl Lines {
    /// Whether the vertical axis comes out logarithmic.
    pub(crate) fn is_log(&self) -> bool {
        self.log && self.values().all(|v| !drawable(v) || v > 0.0)
    }

    /// Every value of every curve.
    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let points = |s: &'_ Series| {
            s.points
                .iter()
                .chain(&s.raw)
                .map(|p| p.1)
                .collect::<Vec<_>>()
        };
        self.series.iter().flat_map(points)
    }

    /// Draws the curves.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let steps = self.series.iter().flat_map(|s| s.points.iter());
        // Only where there is something to draw: a curve that ended early needs no empty room.
        let steps = steps.filter(|p| drawable(p.1)).map(|p| p.0);
        let x = Axis::whole(steps);
        let (y, heading) = if self.is_log() {
            // The kind of axis goes into the brackets of the unit where there are any.
            let heading = match self.y_label.strip_suffix(')') {
                Some(open) => format!("{open}, log axis)"),
                None => format!("{} (log axis)", self.y_label),
            };
            (Axis::log(self.values()), heading)
        } else {
            (Axis::linear(self.values()), self.y_label.clone())
        };
        picture((WIDTH, 280), false, |area| {
            write(area, &heading, (0, 2 * FINE), HEADING)?;
            let mut top = 30;
            if self.series.len() > 1 {
                let entries: Vec<_> = self.series.iter().enumerate().collect();
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(i, s)| (self.mark(*i), s.name.clone()))
                    .collect();
                top += legend(area, 24, &entries)?;
            }
            let frame = Frame {
                left: y.label_width() + 8,
                right: WIDTH - 12,
                top,
                bottom: 230,
            };
            let plane = plane(area, frame, (&x, &y), &self.x_label)?;
            for (i, series) in self.series.iter().enumerate() {
                let faint = stroke(SERIES[i % SERIES.len()].mix(0.3), 4);
                for piece in pieces(&extremes(&series.raw), &x, &y) {
                    plane.draw(&PathElement::new(piece, faint))?;
                }
            }
            for (i, series) in self.series.iter().enumerate() {
                self.curve(&plane, (&x, &y), (i, series))?;
            }
            if y.ticks.is_empty() || self.values().all(|v| !drawable(v)) {
                let middle = (WIDTH / 2 * FINE, 130 * FINE);
                write(area, words::NOT_FINITE, middle, UNDER)?;
            }
            Ok(())
        })
    }

    /// Whether the points are few enough to be marked one by one.
    fn marked(&self) -> bool {
        self.series
            .iter()
            .all(|s| s.points.len() <= 40 && s.raw.is_empty())
    }

    /// The legend's mark of a curve: a second curve differs by more than its colour.
    fn mark(&self, i: usize) -> Mark {
        let colour = SERIES[i % SERIES.len()];
        match (self.marked(), i) {
            (true, 1) => Mark::Ring(colour),
            _ => Mark::Line(colour),
        }
    }

    /// One curve, with its points marked where they are few.
    fn curve(
        &self,
        plane: &DrawingArea<SVGBackend<'_>, Plane>,
        (x, y): (&Axis, &Axis),
        (i, series): (usize, &Series),
    ) -> Result<()> {
        let colour = SERIES[i % SERIES.len()];
        let every = series.points.len().div_ceil(CURVE_POINTS).max(1);
        let last = series.points.len().saturating_sub(1);
        let thinned: Vec<_> = series
            .points
            .iter()
            .enumerate()
            .filter(|(n, _)| n % every == 0 || *n == last)
            .map(|(_, p)| *p)
            .collect();
        let pieces = pieces(&thinned, x, y);
        for piece in &pieces {
            plane.draw(&PathElement::new(piece.clone(), stroke(colour, 9)))?;
        }
        for piece in &pieces {
            // A lone point makes no line, so it is marked whatever the rest is like.
            if !self.marked() && piece.len() > 1 {
                continue;
            }
            for at in piece {
                if matches!(self.mark(i), Mark::Ring(_)) {
                    plane.draw(&Circle::new(*at, 12, PAPER.filled()))?;
                    plane.draw(&Circle::new(*at, 12, stroke(colour, 7)))?;
                } else {
                    plane.draw(&Circle::new(*at, 13, colour.filled()))?;
                }
            }
        }
        Ok(())
    }
}

/// A curve thinned to the least and the greatest value of each stretch, which keeps its spread.
pub(super) fn extremes(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * CURVE_POINTS {
        return points.to_vec();
    }
    let mut out = Vec::with_capacity(2 * CURVE_POINTS + 2);
    for stretch in points.chunks(points.len().div_ceil(CURVE_POINTS)) {
        let finite = || stretch.iter().filter(|p| drawable(p.1));
        let least = finite().min_by(|a, b| a.1.total_cmp(&b.1));
        let greatest = finite().max_by(|a, b| a.1.total_cmp(&b.1));
        match (least, greatest) {
            (Some(a), Some(b)) if a.0 <= b.0 => out.extend([*a, *b]),
            (Some(a), Some(b)) => out.extend([*b, *a]),
            _ => out.extend(stretch.first()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_extremes() {
        let points: Vec<_> = (0..9000)
            .map(|i| (f64::from(i), f64::from(i % 97)))
            .collect();
        let thin = extremes(&points);
        assert!(thin.len() <= 2 * CURVE_POINTS);
        assert!(thin.iter().any(|p| p.1 == 96.0) && thin.iter().any(|p| p.1 == 0.0));
    }
}
