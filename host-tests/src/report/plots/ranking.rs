//! A metric of many things, each on a line of its own in the caller's order, with one of them as a
//! rule across.
//!
//! Things of a family have its mark; others have a dot for every seed and an upright stroke at their
//! mean.
//!
//! What it refuses: nothing; a value that has no place on the axis has no mark.

use anyhow::Result;
use minijinja::HtmlEscape;
use plotters::prelude::Circle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{
    Axis, BEFORE, BEHIND, BROAD, FINE, Frame, GRID, HEADING, Hand, INK, LETTERS, MUTED, Picture,
    SERIES, TICK, UNDER, padded, picture, plane, rule, stroke, ticks, width, write,
};
use super::front::Family;
use crate::words;

/// One line.
pub(crate) struct Ranked {
    pub(crate) name: String,
    pub(crate) family: Option<Family>,
    /// One value a seed, or none where the mean is all there is.
    pub(crate) seeds: Vec<f64>,
    pub(crate) mean: f64,
    /// The mean in words.
    pub(crate) text: String,
    /// Whether it is set off from the others.
    pub(crate) front: bool,
    /// What the pointer is told.
    pub(crate) hint: String,
}

/// A picture of them.
pub(crate) struct Ranking {
    pub(crate) heading: String,
    pub(crate) x_label: String,
    pub(crate) log: bool,
    /// The value to compare with, and its name.
    pub(crate) line: Option<(f64, String)>,
    pub(crate) rows: Vec<Ranked>,
}

impl Ranking {
    /// Draws the lines.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let values = || {
            let all = self
                .rows
                .iter()
                .flat_map(|r| r.seeds.iter().chain([&r.mean]));
            all.copied()
                .chain(self.line.iter().map(|(value, _)| *value))
        };
        let x = match self.log {
            true => Axis::log(values()),
            false => {
                let (lo, hi) = padded(values(), 0.06);
                Axis {
                    lo,
                    hi,
                    ticks: ticks(lo, hi, 8.0, 0.0),
                    log: false,
                }
            }
        };
        let names: Vec<String> = self
            .rows
            .iter()
            .map(|r| words::shortened(&r.name, LETTERS))
            .collect();
        let longest = names.iter().map(|n| width(n, TICK)).fold(0.0, f64::max);
        let texts = self.rows.iter().map(|r| width(&r.text, TICK));
        let behind = texts.fold(0.0, f64::max);
        let (top, each) = (if self.line.is_some() { 50 } else { 30 }, 20);
        let frame = Frame {
            left: longest as i32 + 16,
            right: BROAD - (behind as i32 + 20).max(60),
            top,
            bottom: top + each * self.rows.len() as i32 + 6,
        };
        let y = Axis {
            lo: 0.0,
            hi: 1.0,
            ticks: Vec::new(),
            log: false,
        };
        let mut hints = String::new();
        let mut picture = picture((BROAD, frame.bottom + 52), false, |area| {
            write(area, &self.heading, (0, 2 * FINE), HEADING)?;
            let plane = plane(area, frame, (&x, &y), &self.x_label)?;
            let across = |value: f64| Some(plane.map_coordinate(&(x.place(value)?, 0.0)).0);
            if let Some((at, label)) = self.line.as_ref().and_then(|l| Some((across(l.0)?, &l.1))) {
                let (t, b) = (frame.top * FINE, frame.bottom * FINE);
                rule(area, (at, t - 4 * FINE), (at, b), stroke(SERIES[0], 6))?;
                let half = (width(label, TICK) / 2.0) as i32 * FINE;
                let over = Hand {
                    anchor: (HPos::Center, VPos::Bottom),
                    colour: SERIES[0],
                    ..UNDER
                };
                let middle = at.clamp(half, (BROAD * FINE - half).max(half));
                write(area, label, (middle, t - 7 * FINE), over)?;
            }
            for (i, (row, name)) in self.rows.iter().zip(&names).enumerate() {
                let at = (frame.top + 3 + each * i as i32 + each / 2) * FINE;
                let (l, r) = (frame.left * FINE, frame.right * FINE);
                rule(area, (l, at), (r, at), stroke(GRID, 4))?;
                let colour = if row.front { INK } else { MUTED };
                write(area, name, (l - 9 * FINE, at), Hand { colour, ..BEFORE })?;
                let Some(x) = across(row.mean) else { continue };
                let seeds = row.seeds.iter().filter_map(|s| across(*s));
                let mut end = x;
                for seed in seeds {
                    area.draw(&Circle::new((seed, at), 16, SERIES[1].mix(0.5).filled()))?;
                    end = end.max(seed);
                }
                match row.family {
                    Some(family) => family.mark(area, (x, at), row.front)?,
                    None => {
                        let (up, down) = ((x, at - 7 * FINE), (x, at + 7 * FINE));
                        rule(area, up, down, stroke(INK, 9))?;
                    }
                }
                let behind = (end + 11 * FINE, at);
                write(area, &row.text, behind, Hand { colour, ..BEHIND })?;
                hints += &format!(
                    "<circle cx=\"{x}\" cy=\"{at}\" r=\"44\" fill=\"transparent\"><title>{}</title></circle>\n",
                    HtmlEscape(&row.hint)
                );
            }
            Ok(())
        })?;
        picture.body += &hints;
        Ok(picture)
    }
}
