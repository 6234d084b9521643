//! The penalties of a network's units: a heat map of those that lie in rows and columns, strips of the others.

use anyhow::Result;
use plotters::prelude::Rectangle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{
    BEFORE, BEHIND, FINE, HEADING, Hand, INK, LABEL, MUTED, Picture, TICK, UNDER, WIDTH, picture,
    rule, stroke, width, write,
};
use super::shade::{Shade, edges};
use crate::report::run::Strip;
use crate::words;

/// Numbers from one that can stand beside `count` cells without crowding.
pub(crate) fn cell_ticks(count: usize) -> Vec<usize> {
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500]
        .into_iter()
        .find(|step| count / step <= 6)
        .unwrap_or(count);
    // The step before the last cell gives way, or the two labels would touch.
    let inner = (1..)
        .map(|i| i * step)
        .take_while(|n| *n + step / 2 < count);
    let mut out = vec![1];
    out.extend(inner.filter(|n| *n > 1));
    if count > 1 {
        out.push(count);
    }
    out
}

/// The penalties of a layer with rows and columns, cell by cell, with the colours' meaning beside.
pub(crate) fn heat_map(strip: &Strip) -> Result<Picture> {
    let shade = Shade::new(strip.values.iter().map(|v| f64::from(*v)));
    let bar = shade.ticks();
    let (left, top) = (42, 30);
    // The labels of the bar are within the picture, however long they are.
    let labels = bar.iter().map(|(_, label)| width(label, TICK));
    let labels = labels.fold(0.0, f64::max).ceil() as i32;
    let wide = (WIDTH - left - 35 - labels).clamp(60, 250);
    // Square cells, unless that would make a tower.
    let high = (wide * strip.rows as i32 / strip.columns.max(1) as i32).clamp(40, 420);
    picture((WIDTH, top + high + 50), true, |area| {
        let heading = format!("{} of {}", strip.unit, strip.name);
        let heading = words::shortened(&heading, 44);
        write(area, &heading, (0, 2 * FINE), HEADING)?;
        let (l, t, w, h) = (left * FINE, top * FINE, wide * FINE, high * FINE);
        for (i, value) in strip.values.iter().enumerate() {
            let (x0, x1) = edges(l, w, strip.columns, i % strip.columns);
            let (y0, y1) = edges(t, h, strip.rows, i / strip.columns);
            let colour = shade.colour(f64::from(*value));
            area.draw(&Rectangle::new([(x0, y0), (x1, y1)], colour.filled()))?;
        }
        for n in cell_ticks(strip.columns) {
            let (x0, x1) = edges(l, w, strip.columns, n - 1);
            write(
                area,
                &n.to_string(),
                ((x0 + x1) / 2, t + h + 6 * FINE),
                UNDER,
            )?;
        }
        for n in cell_ticks(strip.rows) {
            let (y0, y1) = edges(t, h, strip.rows, n - 1);
            write(area, &n.to_string(), (l - 6 * FINE, (y0 + y1) / 2), BEFORE)?;
        }
        let under = Hand {
            size: LABEL,
            colour: INK,
            ..UNDER
        };
        let label = (l + w / 2, t + h + 25 * FINE);
        write(area, "column", label, under)?;
        let side = Hand {
            upright: true,
            ..under
        };
        write(area, "row", (0, t + h / 2), side)?;
        let (x0, x1) = (l + w + 14 * FINE, l + w + 28 * FINE);
        for (i, colour) in shade.steps(60) {
            let (y1, y0) = edges(t, h, 60, (59 - i) as usize);
            area.draw(&Rectangle::new([(x0, y1), (x1, y0)], colour.filled()))?;
        }
        for (share, label) in &bar {
            let y = t + h - (share * f64::from(h)).round() as i32;
            rule(area, (x1, y), (x1 + 4 * FINE, y), stroke(MUTED, 4))?;
            write(area, label, (x1 + 7 * FINE, y), BEHIND)?;
        }
        Ok(())
    })
}

/// The penalties of layers that are mere rows of units, under one another in shared colours.
pub(crate) fn strips(strips: &[&Strip]) -> Result<Picture> {
    let values = strips.iter().flat_map(|s| &s.values);
    let shade = Shade::new(values.map(|v| f64::from(*v)));
    let (left, wide, first, each) = (6, WIDTH - 12, 28, 78);
    let foot = first + each * strips.len() as i32;
    let (l, w) = (left * FINE, wide * FINE);
    picture((WIDTH, foot + 78), true, |area| {
        let unit = strips.first().map_or("", |s| s.unit.as_str());
        let heading = format!("{unit} of each unit");
        write(
            area,
            &words::shortened(&heading, 44),
            (0, 2 * FINE),
            HEADING,
        )?;
        for (i, strip) in strips.iter().enumerate() {
            let top = (first + each * i as i32) * FINE;
            let name = words::shortened(&strip.name, 42);
            let hand = Hand {
                anchor: (HPos::Left, VPos::Top),
                ..BEHIND
            };
            write(area, &name, (l, top), hand)?;
            let (y0, y1) = (top + 18 * FINE, top + 46 * FINE);
            for (n, value) in strip.values.iter().enumerate() {
                let (x0, x1) = edges(l, w, strip.values.len(), n);
                let colour = shade.colour(f64::from(*value));
                area.draw(&Rectangle::new([(x0, y0), (x1, y1)], colour.filled()))?;
            }
            for n in cell_ticks(strip.values.len()) {
                let (x0, x1) = edges(l, w, strip.values.len(), n - 1);
                write(area, &n.to_string(), ((x0 + x1) / 2, y1 + 5 * FINE), UNDER)?;
            }
        }
        let under = Hand {
            size: LABEL,
            colour: INK,
            ..UNDER
        };
        let middle = l + w / 2;
        write(area, "unit", (middle, (foot - 8) * FINE), under)?;
        let y0 = (foot + 20) * FINE;
        shade.bar(area, (l, y0), w, WIDTH * FINE)?;
        let word = words::shortened(unit, 40);
        write(area, &word, (middle, y0 + 38 * FINE), under)?;
        Ok(())
    })
}
