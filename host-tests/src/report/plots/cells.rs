//! Values as coloured cells: small pictures in rows, and a matrix with names.
//!
//! A picture of ten digits has 7,840 cells, so cells of one colour are one path, each run of them a
//! stroke of a few letters. That takes the colours from a ladder of [`LEVELS`], finer than the eye
//! tells apart between neighbours.
//!
//! What it refuses: nothing. The caller has checked that rows and columns are full. A value that isn't
//! finite has the grid's colour in a small picture and none in a matrix.

use std::collections::BTreeMap;

use anyhow::Result;
use minijinja::HtmlEscape;
use plotters::prelude::{RGBAColor, RGBColor, Rectangle};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{
    Area, BEFORE, BEHIND, BROAD, FINE, GRID, HEADING, Hand, INK, LABEL, LETTERS, PAPER, Picture,
    SMALL, TICK, UNDER, WIDTH, css, drawable, picture, stroke, width, write,
};
use super::shade::Shade;
use crate::words;

/// How many colours there are.
const LEVELS: usize = 48;

/// Small pictures of one size.
pub(crate) struct Tiles<'a> {
    pub(crate) unit: String,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) across: usize,
    pub(crate) diverging: bool,
    /// Names and values, row by row.
    pub(crate) images: Vec<(&'a str, &'a [f64])>,
}

/// A matrix.
pub(crate) struct Grid<'a> {
    pub(crate) unit: String,
    pub(crate) rows: &'a [String],
    pub(crate) columns: &'a [String],
    pub(crate) values: &'a [f64],
    /// A value as it is written into its cell.
    pub(crate) say: &'a dyn Fn(f64) -> String,
}

/// Cells from a corner on, in canvas units, with a colour for what isn't finite or none.
fn cells(
    values: &[f64],
    columns: usize,
    (x, y): (i32, i32),
    (wide, high): (f64, f64),
    shade: &Shade,
    bad: Option<RGBAColor>,
) -> String {
    let level = |v: f64| {
        let level = (shade.share(v) * LEVELS as f64) as usize;
        drawable(v).then_some(level.min(LEVELS - 1))
    };
    // For each level a path, and where its pen is.
    let mut paths: BTreeMap<Option<usize>, (String, (i64, i64))> = BTreeMap::new();
    for (r, row) in values.chunks(columns.max(1)).enumerate() {
        let (mut c, r) = (0, r as i64);
        for run in row.chunk_by(|a, b| level(*a) == level(*b)) {
            let n = run.len() as i64;
            let (path, pen) = paths
                .entry(run.first().and_then(|v| level(*v)))
                .or_default();
            *path += &format!("m{} {}h{n}", c - pen.0, r - pen.1);
            c += n;
            *pen = (c, r);
        }
    }
    // A stroke runs along the middle of its row.
    let middle = f64::from(y) + 0.5 * high;
    let mut out = format!("<g transform=\"translate({x} {middle}) scale({wide} {high})\">\n");
    for (level, (path, _)) in paths {
        let middle = |level| (level as f64 + 0.5) / LEVELS as f64;
        let colour = level.map(|level| shade.at(middle(level))).or(bad);
        if let Some(colour) = colour {
            out += &format!("<path {} d=\"{path}\"/>\n", css(colour));
        }
    }
    out + "</g>\n"
}

/// The part of a picture's width that a shared scale takes, in nominal pixels, and its height.
const BAR: (i32, i32) = (240, 42);

/// Draws the scale under a picture, with what its values are.
fn scale(
    area: &Area<'_>,
    shade: &Shade,
    unit: &str,
    (left, top): (i32, i32),
    limit: i32,
) -> Result<()> {
    let wide = BAR.0.min(limit - left - 20).max(60);
    let word = words::shortened(unit, LETTERS);
    let hand = Hand {
        colour: INK,
        ..BEHIND
    };
    let (l, t) = (left * FINE, top * FINE);
    shade.bar(area, (l, t), wide * FINE, limit * FINE)?;
    // Beside the bar where there is room; the heading says it anyway.
    let after = left + wide + 14;
    match f64::from(after) + width(&word, TICK) < f64::from(limit) {
        true => write(area, &word, (after * FINE, t + 6 * FINE), hand),
        false => Ok(()),
    }
}

impl Tiles<'_> {
    /// Draws the pictures.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let values = || self.images.iter().flat_map(|(_, v)| v.iter().copied());
        let shade = match self.diverging {
            true => Shade::about_zero(values()),
            false => Shade::new(values()),
        };
        let across = self.across.min(self.images.len()).max(1);
        let (gap, under) = (14, 24);
        let most = (BROAD - gap * (across as i32 - 1)) / across as i32;
        let most = f64::from(most.clamp(8, 180) * FINE);
        let tall = f64::from(360 * FINE);
        // Whole canvas units, so that all cells are alike.
        let cell = (most / self.columns as f64).min(tall / self.rows as f64);
        let cell = if cell > 1.0 { cell.floor() } else { cell };
        let wide = (cell * self.columns as f64 / f64::from(FINE)).ceil() as i32;
        let high = (cell * self.rows as f64 / f64::from(FINE)).ceil() as i32;
        let all = wide * across as i32 + gap * (across as i32 - 1);
        let limit = if all <= WIDTH { WIDTH } else { BROAD };
        let top = 30;
        let lines = self.images.len().div_ceil(across) as i32;
        let foot = top + lines * (high + under) + 4;
        let mut body = String::new();
        let mut picture = picture((limit, foot + BAR.1), true, |area| {
            let most = (f64::from(limit) / (f64::from(LABEL) * 0.56)) as usize;
            let heading = words::shortened(&self.unit, most);
            write(area, &heading, (0, 2 * FINE), HEADING)?;
            for (i, (name, values)) in self.images.iter().enumerate() {
                let left = (i % across) as i32 * (wide + gap);
                let top = top + (i / across) as i32 * (high + under);
                let corner = (left * FINE, top * FINE);
                body += &cells(
                    values,
                    self.columns,
                    corner,
                    (cell, cell),
                    &shade,
                    Some(GRID.to_rgba()),
                );
                let (r, b) = (
                    left * FINE + (cell * self.columns as f64) as i32,
                    (top * FINE) + (cell * self.rows as f64) as i32,
                );
                area.draw(&Rectangle::new([corner, (r, b)], stroke(GRID, 4)))?;
                let most = (f64::from(wide + gap - 4) / (f64::from(TICK) * 0.56)) as usize;
                let name = words::shortened(name, most);
                let half = (width(&name, TICK) / 2.0).ceil() as i32;
                let middle =
                    (left + wide / 2).clamp(half.min(limit / 2), limit - half.min(limit / 2));
                write(area, &name, (middle * FINE, b + 5 * FINE), UNDER)?;
            }
            scale(area, &shade, &self.unit, (0, foot + 6), limit)
        })?;
        // Under the labels.
        picture.body.insert_str(0, &body);
        Ok(picture)
    }
}

impl Grid<'_> {
    /// Draws the matrix.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let finite = || self.values.iter().copied().filter(|v| drawable(*v));
        let both = finite().any(|v| v < 0.0) && finite().any(|v| v > 0.0);
        let shade = match both {
            true => Shade::about_zero(finite()),
            false => Shade::new(finite()),
        };
        let short = |names: &[String]| -> Vec<String> {
            names.iter().map(|n| words::shortened(n, LETTERS)).collect()
        };
        let longest = |names: &[String]| names.iter().map(|n| width(n, TICK)).fold(0.0, f64::max);
        let (rows, columns) = (short(self.rows), short(self.columns));
        let (n, m) = (rows.len() as f64, columns.len() as f64);
        let left = longest(&rows) as i32 + 14;
        // Cells that hold their numbers and the names of their columns where that is no luxury.
        let texts: Vec<String> = self.values.iter().map(|v| (self.say)(*v)).collect();
        let written = self
            .values
            .iter()
            .zip(&texts)
            .filter(|(v, _)| drawable(**v));
        let text = written.map(|(_, t)| width(t, SMALL)).fold(0.0, f64::max) + 8.0;
        let room = f64::from(BROAD - left - 20) / m;
        let wide = room.min(text.max(longest(&columns) + 10.0).clamp(34.0, 96.0));
        let high = wide.min((600.0 / n).clamp(6.0, 30.0));
        let quarters = |v: f64| (v * f64::from(FINE)).floor().max(1.0);
        let (wide, high) = (quarters(wide), quarters(high));
        let fine = f64::from(FINE);
        let numbers = text.floor() * fine <= wide && high >= 16.0 * fine;
        // Names of columns that are too long stand upright, and those too many give way to every second,
        // fifth, tenth.
        let level = longest(&columns) + 6.0 <= wide / fine || wide < 14.0 * fine;
        let stride = |cell: f64, need: f64| {
            let strides = (0..6).flat_map(|p| [1, 2, 5].map(|m| m * 10usize.pow(p)));
            let mut strides = strides.filter(|s| *s as f64 * cell >= need * fine);
            strides.next().unwrap_or(usize::MAX)
        };
        let across = if level { longest(&columns) + 6.0 } else { 14.0 };
        let top = 30;
        let bottom = top + (n * high / fine).ceil() as i32;
        let names = if level { 18 } else { longest(&columns) as i32 };
        let foot = bottom + names + 18;
        let right = left + (m * wide / fine).ceil() as i32;
        let limit = if right <= WIDTH { WIDTH } else { BROAD };
        let mut picture = picture((limit, foot + BAR.1), true, |area| {
            let most = (f64::from(limit) / (f64::from(LABEL) * 0.56)) as usize;
            write(
                area,
                &words::shortened(&self.unit, most),
                (0, 2 * FINE),
                HEADING,
            )?;
            let (l, t, b) = (
                left * FINE,
                top * FINE,
                (f64::from(top * FINE) + n * high) as i32,
            );
            let at = |start: i32, cell: f64, i: usize| start + (cell * (i as f64 + 0.5)) as i32;
            for (i, name) in rows.iter().enumerate().step_by(stride(high, 14.0)) {
                write(area, name, (l - 7 * FINE, at(t, high, i)), BEFORE)?;
            }
            let aside = Hand {
                upright: true,
                anchor: (HPos::Right, VPos::Center),
                ..UNDER
            };
            for (j, name) in columns.iter().enumerate().step_by(stride(wide, across)) {
                let hand = if level { UNDER } else { aside };
                write(area, name, (at(l, wide, j), b + 7 * FINE), hand)?;
            }
            let r = (f64::from(l) + m * wide) as i32;
            area.draw(&Rectangle::new([(l, t), (r, b)], stroke(GRID, 4)))?;
            let cells = self.values.iter().zip(&texts).enumerate();
            for (i, (value, text)) in cells.filter(|(_, (v, _))| numbers && drawable(**v)) {
                let share = shade.share(*value);
                let colour = match both {
                    true if (share - 0.5).abs() > 0.3 => PAPER,
                    true => INK,
                    false if share > 0.6 => RGBColor(0, 0, 0),
                    false => RGBColor(255, 255, 255),
                };
                let place = (
                    at(l, wide, i % columns.len()),
                    at(t, high, i / columns.len()),
                );
                let hand = Hand {
                    size: SMALL,
                    colour,
                    anchor: (HPos::Center, VPos::Center),
                    upright: false,
                };
                write(area, text, place, hand)?;
            }
            scale(area, &shade, &self.unit, (left, foot + 6), limit)
        })?;
        let corner = (left * FINE, top * FINE);
        let mut body = cells(
            self.values,
            columns.len(),
            corner,
            (wide, high),
            &shade,
            None,
        );
        if !numbers && self.values.len() <= 400 {
            // What doesn't fit is told by the pointer.
            for (i, text) in texts.iter().enumerate() {
                let (r, c) = (i / columns.len(), i % columns.len());
                body += &format!(
                    "<rect x=\"{}\" y=\"{}\" width=\"{wide}\" height=\"{high}\" fill=\"transparent\"><title>{}, {}: {}</title></rect>\n",
                    f64::from(corner.0) + wide * c as f64,
                    f64::from(corner.1) + high * r as f64,
                    HtmlEscape(&rows[r]),
                    HtmlEscape(&columns[c]),
                    HtmlEscape(text)
                );
            }
        }
        picture.body.insert_str(0, &body);
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_colour_are_one_stroke() {
        let shade = Shade::about_zero([1.0].into_iter());
        let body = cells(
            &[1.0, 1.0, f64::NAN, -1.0, 1.0, 1.0],
            3,
            (0, 8),
            (4.0, 4.0),
            &shade,
            None,
        );
        assert!(body.contains("d=\"m0 0h2m-1 1h2\""), "{body}");
        assert!(body.contains("d=\"m0 1h1\""), "{body}");
        assert_eq!(body.matches("<path").count(), 2);
        assert!(body.contains("translate(0 10) scale(4 4)"), "{body}");
    }
}
