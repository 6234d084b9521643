//! Values as colours, and the bar that explains them.

use anyhow::Result;
use plotters::prelude::{ColorMap, RGBAColor, Rectangle, ViridisRGB};
use plotters::style::Color;

use super::canvas::{
    Area, FINE, GRID, MUTED, SERIES, TICK, UNDER, drawable, padded, rule, stroke, ticks, write,
};

/// A range of values and the colours it is told by.
pub(crate) struct Shade {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    pub(crate) diverging: bool,
}

impl Shade {
    pub(crate) fn new(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = padded(values, 0.0);
        Self {
            lo,
            hi,
            diverging: false,
        }
    }

    /// A range about zero, which has the colour of the paper.
    pub(crate) fn about_zero(values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|v| drawable(*v)).map(f64::abs);
        let (_, hi) = padded([0.0].into_iter().chain(most), 0.0);
        Self {
            lo: -hi,
            hi,
            diverging: true,
        }
    }

    /// How far along the range a value is.
    pub(crate) fn share(&self, value: f64) -> f64 {
        (value - self.lo) / (self.hi - self.lo)
    }

    /// The colour at a share of the range.
    pub(crate) fn at(&self, share: f64) -> RGBAColor {
        match self.diverging {
            true if share < 0.5 => SERIES[0].mix(1.0 - 2.0 * share),
            true => SERIES[1].mix(2.0 * share - 1.0),
            false => ViridisRGB.get_color(share).to_rgba(),
        }
    }

    /// The colour of a value; one that isn't finite has none but the grid's.
    pub(crate) fn colour(&self, value: f64) -> RGBAColor {
        if drawable(value) {
            self.at(self.share(value))
        } else {
            GRID.to_rgba()
        }
    }

    /// Ticks as shares of the range.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        ticks(self.lo, self.hi, 5.0, 0.0)
            .into_iter()
            .map(|(value, label)| (self.share(value), label))
            .collect()
    }

    /// The cells of the bar that explains the colours, `n` of them from low to high.
    pub(crate) fn steps(&self, n: i32) -> impl Iterator<Item = (i32, RGBAColor)> + '_ {
        (0..n).map(move |i| {
            let share = (f64::from(i) + 0.5) / f64::from(n);
            (i, self.at(share))
        })
    }

    /// Draws a level bar that explains the colours; labels stay within `limit`. All in canvas units.
    pub(crate) fn bar(
        &self,
        area: &Area<'_>,
        (l, y0): (i32, i32),
        w: i32,
        limit: i32,
    ) -> Result<()> {
        let y1 = y0 + 12 * FINE;
        for (i, colour) in self.steps(80) {
            let (x0, x1) = edges(l, w, 80, i as usize);
            area.draw(&Rectangle::new([(x0, y0), (x1, y1)], colour.filled()))?;
        }
        for (share, label) in self.ticks() {
            let x = l + (share * f64::from(w)).round() as i32;
            // A label at the very end would hang over the picture's edge.
            let half = label.chars().count() as i32 * TICK * FINE * 3 / 10;
            let at = x.clamp(half, limit - half);
            rule(area, (x, y1), (x, y1 + 4 * FINE), stroke(MUTED, 4))?;
            write(area, &label, (at, y1 + 8 * FINE), UNDER)?;
        }
        Ok(())
    }
}

/// A cell's edges along `length` canvas units, for `count` cells from `start` on.
pub(crate) fn edges(start: i32, length: i32, count: usize, i: usize) -> (i32, i32) {
    let edge = |i: usize| start + (f64::from(length) * i as f64 / count as f64).round() as i32;
    (edge(i), edge(i + 1))
}

#[cfg(test)]
mod tests {
    use plotters::prelude::RGBColor;

    use super::*;
    use crate::report::plots::canvas::SENTINELS;

    #[test]
    fn no_colour_of_the_map_is_a_sentinel() {
        for i in 0..=1000 {
            let colour: RGBColor = ViridisRGB.get_color(f64::from(i) / 1000.0);
            assert!(SENTINELS.iter().all(|(s, _)| *s != colour));
        }
    }
}
