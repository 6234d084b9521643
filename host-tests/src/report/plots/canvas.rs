//! The canvas of every picture, its axes, and the hand that writes on it.

use anyhow::Result;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    Cartesian2d, Circle, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBAColor, RGBColor,
    Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, ShapeStyle};

use crate::words;

/// Canvas units per nominal pixel.
pub(crate) const FINE: i32 = 4;
/// The nominal width of every picture: about what a phone shows, so that text stays readable.
pub(crate) const WIDTH: i32 = 360;
/// The nominal size of tick labels and of everything else that is written.
pub(crate) const TICK: i32 = 13;
pub(crate) const LABEL: i32 = 14;

pub(crate) const INK: RGBColor = RGBColor(1, 2, 3);
pub(crate) const MUTED: RGBColor = RGBColor(1, 2, 4);
pub(crate) const GRID: RGBColor = RGBColor(1, 2, 5);
pub(crate) const PAPER: RGBColor = RGBColor(1, 2, 6);
pub(crate) const SERIES: [RGBColor; 10] = [
    RGBColor(2, 1, 1),
    RGBColor(2, 1, 2),
    RGBColor(2, 1, 3),
    RGBColor(2, 1, 4),
    RGBColor(2, 1, 5),
    RGBColor(2, 1, 6),
    RGBColor(2, 1, 7),
    RGBColor(2, 1, 8),
    RGBColor(2, 1, 9),
    RGBColor(2, 1, 10),
];

/// Each sentinel, and the variable of the page it stands for.
pub(crate) const SENTINELS: [(RGBColor, &str); 14] = [
    (INK, "var(--ink)"),
    (MUTED, "var(--muted)"),
    (GRID, "var(--grid)"),
    (PAPER, "var(--paper)"),
    (SERIES[0], "var(--series-1)"),
    (SERIES[1], "var(--series-2)"),
    (SERIES[2], "var(--series-3)"),
    (SERIES[3], "var(--series-4)"),
    (SERIES[4], "var(--series-5)"),
    (SERIES[5], "var(--series-6)"),
    (SERIES[6], "var(--series-7)"),
    (SERIES[7], "var(--series-8)"),
    (SERIES[8], "var(--series-9)"),
    (SERIES[9], "var(--series-10)"),
];

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;

/// A finished picture: what goes between `<svg>` and `</svg>`, and the size of its canvas.
pub(crate) struct Picture {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) body: String,
    /// Cells that touch: they must not be smoothed at their edges, or seams would show.
    pub(crate) crisp: bool,
    /// Made for the whole width of the page.
    pub(crate) wide: bool,
}

/// Whether a value can be placed on an axis at all.
pub(crate) fn drawable(value: f64) -> bool {
    // Beyond this the width of a range would overflow.
    value.is_finite() && value.abs() < 1e200
}

/// Runs `draw` on a canvas of a nominal size and takes the result to the page's terms.
pub(crate) fn picture(
    (width, height): (i32, i32),
    crisp: bool,
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<Picture> {
    let (width, height) = (width * FINE, height * FINE);
    let mut raw = String::new();
    {
        let size = (width as u32, height as u32);
        let area = SVGBackend::with_string(&mut raw, size).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    let inner = raw
        .split_once('>')
        .and_then(|(_, rest)| rest.rsplit_once("</svg>"))
        .map_or("", |(inner, _)| inner);
    // Initial values need no writing: this halves the size of a heat map.
    let mut body = inner
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" font-family=\"sans-serif\"", "");
    for (RGBColor(r, g, b), variable) in SENTINELS {
        // With its quotes, so that a label that happens to spell the colour stays as it is.
        body = body.replace(
            &format!("\"#{r:02X}{g:02X}{b:02X}\""),
            &format!("\"{variable}\""),
        );
    }
    Ok(Picture {
        width,
        height,
        body,
        crisp,
        wide: width > WIDTH * FINE,
    })
}

/// How a piece of text is set.
#[derive(Clone, Copy)]
pub(crate) struct Hand {
    pub(crate) size: i32,
    pub(crate) colour: RGBColor,
    pub(crate) anchor: (HPos, VPos),
    /// Turned to be read from below.
    pub(crate) upright: bool,
}

/// The unit of an axis, over the picture's upper left corner.
pub(crate) const HEADING: Hand = Hand {
    size: LABEL,
    colour: INK,
    anchor: (HPos::Left, VPos::Top),
    upright: false,
};
/// A label centred under something.
pub(crate) const UNDER: Hand = Hand {
    size: TICK,
    colour: MUTED,
    anchor: (HPos::Center, VPos::Top),
    upright: false,
};
/// A label that ends at something.
pub(crate) const BEFORE: Hand = Hand {
    size: TICK,
    colour: MUTED,
    anchor: (HPos::Right, VPos::Center),
    upright: false,
};
/// A label that starts at something.
pub(crate) const BEHIND: Hand = Hand {
    size: TICK,
    colour: MUTED,
    anchor: (HPos::Left, VPos::Center),
    upright: false,
};

/// Writes text at a position in canvas units.
pub(crate) fn write(area: &Area<'_>, text: &str, at: (i32, i32), hand: Hand) -> Result<()> {
    // The backend divides the size by this number before it writes it down.
    let size = f64::from(hand.size * FINE) * 1.24;
    let turn = match hand.upright {
        true => FontTransform::Rotate270,
        false => FontTransform::None,
    };
    let style = ("sans-serif", size)
        .into_font()
        .transform(turn)
        .color(&hand.colour)
        .pos(Pos::new(hand.anchor.0, hand.anchor.1));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// A stroke of a nominal width in quarters of a pixel.
pub(crate) fn stroke(colour: impl Color, quarters: u32) -> ShapeStyle {
    colour.stroke_width(quarters)
}

/// A line in canvas units.
pub(crate) fn rule(
    area: &Area<'_>,
    from: (i32, i32),
    to: (i32, i32),
    style: ShapeStyle,
) -> Result<()> {
    area.draw(&PathElement::new(vec![from, to], style))?;
    Ok(())
}

/// An axis: its range and ticks as positions, which on a logarithmic one are powers of ten.
pub(crate) struct Axis {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) log: bool,
}

impl Axis {
    /// An axis with a little air around the values.
    pub(crate) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = padded(values, 0.06);
        Self {
            lo,
            hi,
            ticks: ticks(lo, hi, 5.0, 0.0),
            log: false,
        }
    }

    /// An axis that has ticks at whole numbers only.
    pub(crate) fn whole(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = padded(values, 0.03);
        Self {
            lo,
            hi,
            // Steps are counted from zero: air to the left of it is no step.
            ticks: ticks(lo.max(0.0), hi, 6.0, 1.0),
            log: false,
        }
    }

    /// An axis of powers; of the values only the positive ones can be on it.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = padded(values.filter(|v| *v > 0.0).map(f64::log10), 0.06);
        // The densest marks that leave the labels apart.
        let sets: [(&[f64], f64); 3] = [(&[1.0, 2.0, 5.0], 1.0), (&[1.0, 3.0], 1.0), (&[1.0], 1.0)];
        let sparse: (&[f64], f64) = (&[1.0], ((hi - lo) / 5.0).ceil());
        let mut marks = sets
            .into_iter()
            .map(|(mantissas, stride)| powers(lo, hi, mantissas, stride))
            .find(|marks| marks.len() <= 6)
            .unwrap_or_else(|| powers(lo, hi, sparse.0, sparse.1));
        // Less than a decade: the even ticks of the values themselves say more.
        if marks.len() < 3 {
            marks = ticks(10f64.powf(lo), 10f64.powf(hi), 5.0, 0.0)
                .into_iter()
                .filter(|(value, _)| *value > 0.0)
                .map(|(value, label)| (value.log10(), label))
                .collect();
        }
        Self {
            lo,
            hi,
            ticks: marks,
            log: true,
        }
    }

    /// Where a value is on the axis, if it is on it.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        if !drawable(value) || (self.log && value <= 0.0) {
            return None;
        }
        Some(if self.log { value.log10() } else { value })
    }

    /// How wide the longest tick label is, in nominal pixels.
    pub(crate) fn label_width(&self) -> i32 {
        let letters = self.ticks.iter().map(|(_, l)| l.chars().count()).max();
        // Digits are a little over half as wide as they are high.
        (letters.unwrap_or(1) as f64 * f64::from(TICK) * 0.6).ceil() as i32
    }
}

/// The range of the values that can be drawn, widened by a share of itself.
pub(crate) fn padded(values: impl Iterator<Item = f64>, share: f64) -> (f64, f64) {
    let (lo, hi) = values
        .filter(|v| drawable(*v))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
            (lo.min(v), hi.max(v))
        });
    if lo > hi {
        return (0.0, 1.0);
    }
    let size = lo.abs().max(hi.abs());
    // One value, or values that differ by rounding only: make room, or the axis has no length.
    if hi - lo <= 1e-9 * size {
        let half = if size == 0.0 { 1.0 } else { 0.2 * size };
        return (lo - half, hi + half);
    }
    let air = share * (hi - lo);
    (lo - air, hi + air)
}

/// Round numbers between two others, about as many as wanted and no closer than `least`.
pub(crate) fn ticks(lo: f64, hi: f64, wanted: f64, least: f64) -> Vec<(f64, String)> {
    let rough = (hi - lo) / wanted;
    let power = 10f64.powf(rough.log10().floor());
    let step = match rough / power {
        r if r <= 1.0 => power,
        r if r <= 2.0 => 2.0 * power,
        r if r <= 5.0 => 5.0 * power,
        _ => 10.0 * power,
    }
    .max(least);
    let first = (lo / step).ceil();
    (0..20)
        .map(|i| (first + f64::from(i)) * step)
        .take_while(|tick| *tick <= hi)
        .map(|tick| (tick, words::tick(tick, step)))
        .collect()
}

/// The marks of a logarithmic axis between two exponents: mantissas at every `stride`th power.
pub(crate) fn powers(lo: f64, hi: f64, mantissas: &[f64], stride: f64) -> Vec<(f64, String)> {
    let mut marks = Vec::new();
    let mut power = (lo / stride).floor() * stride;
    while power <= hi {
        for mantissa in mantissas {
            let place = power + mantissa.log10();
            if (lo..=hi).contains(&place) {
                marks.push((place, decade_label(*mantissa, power)));
            }
        }
        power += stride;
    }
    marks
}

/// The label of a mantissa at a power of ten.
pub(crate) fn decade_label(mantissa: f64, power: f64) -> String {
    if (-3.0..6.0).contains(&power) {
        let decimals = (-power).max(0.0) as usize;
        words::fixed(mantissa * 10f64.powf(power), decimals)
    } else if mantissa == 1.0 {
        words::power_of_ten(power)
    } else {
        words::scientific(mantissa * 10f64.powf(power), 0)
    }
}

/// The plot's place in the picture, in nominal pixels.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: i32,
    pub(crate) right: i32,
    pub(crate) top: i32,
    pub(crate) bottom: i32,
}

/// Draws grid and labels, and gives back the plane the values are drawn on.
pub(crate) fn plane<'a>(
    area: &Area<'a>,
    frame: Frame,
    axes: (&Axis, &Axis),
    x_label: &str,
) -> Result<DrawingArea<SVGBackend<'a>, Plane>> {
    let (x, y) = axes;
    let Frame {
        left,
        right,
        top,
        bottom,
    } = frame;
    let (l, r, t, b) = (left * FINE, right * FINE, top * FINE, bottom * FINE);
    // Downwards is upwards on a screen, so the vertical range is given from the bottom.
    let plane = area.apply_coord_spec(Plane::new(x.lo..x.hi, y.lo..y.hi, (l..r, b..t)));
    for (place, label) in &y.ticks {
        let (_, at) = plane.map_coordinate(&(x.lo, *place));
        rule(area, (l, at), (r, at), stroke(GRID, 4))?;
        write(area, label, (l - 7 * FINE, at), BEFORE)?;
    }
    for (place, label) in &x.ticks {
        let (at, _) = plane.map_coordinate(&(*place, y.lo));
        rule(area, (at, b), (at, b + 5 * FINE), stroke(MUTED, 4))?;
        write(area, label, (at, b + 9 * FINE), UNDER)?;
    }
    rule(area, (l, b), (r, b), stroke(MUTED, 4))?;
    let under = Hand {
        size: LABEL,
        colour: INK,
        ..UNDER
    };
    write(area, x_label, ((l + r) / 2, b + 28 * FINE), under)?;
    Ok(plane)
}

/// A mark of the legend.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    Line(RGBColor),
    Ring(RGBColor),
    Dot(RGBColor),
}

/// Draws a legend line by line from `top` on and says how high it came out, in nominal pixels.
pub(crate) fn legend(area: &Area<'_>, top: i32, entries: &[(Mark, String)]) -> Result<i32> {
    let row = 19;
    let (mut x, mut y) = (0, top);
    for (mark, name) in entries {
        let name = words::shortened(name, 40);
        let width = 28 + (name.chars().count() as f64 * f64::from(TICK) * 0.56) as i32;
        if x > 0 && x + width > WIDTH {
            x = 0;
            y += row;
        }
        let (at, middle) = (x * FINE, (y + row / 2) * FINE);
        let centre = (at + 10 * FINE, middle);
        match *mark {
            Mark::Line(colour) => {
                rule(
                    area,
                    (at, middle),
                    (at + 20 * FINE, middle),
                    stroke(colour, 9),
                )?;
            }
            Mark::Ring(colour) => {
                rule(
                    area,
                    (at, middle),
                    (at + 20 * FINE, middle),
                    stroke(colour, 9),
                )?;
                area.draw(&Circle::new(centre, 14, PAPER.filled()))?;
                area.draw(&Circle::new(centre, 14, stroke(colour, 7)))?;
            }
            Mark::Dot(colour) => area.draw(&Circle::new(centre, 14, colour.filled()))?,
        }
        write(area, &name, (at + 26 * FINE, middle), BEHIND)?;
        x += width + 16;
    }
    Ok(y + row - top)
}

/// The runs of points that can be drawn, as positions: a gap is left where one can't.
pub(crate) fn pieces(points: &[(f64, f64)], x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64)>> {
    points
        .split(|p| x.place(p.0).is_none() || y.place(p.1).is_none())
        .filter(|run| !run.is_empty())
        .map(|run| {
            run.iter()
                .filter_map(|p| Some((x.place(p.0)?, y.place(p.1)?)))
                .collect()
        })
        .collect()
}

/// A colour as the page names it.
pub(crate) fn css(colour: RGBAColor) -> String {
    let RGBAColor(r, g, b, alpha) = colour;
    let known = SENTINELS.iter().find(|(s, _)| *s == RGBColor(r, g, b));
    let stroke = known.map_or(format!("#{r:02X}{g:02X}{b:02X}"), |(_, v)| (*v).into());
    match alpha {
        1.0 => format!("stroke=\"{stroke}\""),
        _ => format!("stroke=\"{stroke}\" stroke-opacity=\"{alpha:.3}\""),
    }
}

/// The nominal width: that of the page.
pub(crate) const BROAD: i32 = 860;
/// The nominal size of small print: names off the front, numbers.
pub(crate) const SMALL: i32 = 12;
/// A letter's width as a share of its height, on the generous side.
pub(crate) const LETTER: f64 = 0.56;
/// The most letters of a name in a picture.
pub(crate) const LETTERS: usize = 30;

/// About how wide a text is, in nominal pixels.
pub(crate) fn width(text: &str, size: i32) -> f64 {
    text.chars().count() as f64 * f64::from(size) * LETTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let got = ticks(0.0, 50.0, 5.0, 1.0);
        assert_eq!(got.len(), 6);
        assert_eq!(got[1].1, "10");
        assert!(ticks(0.4, 0.6, 5.0, 1.0).is_empty());
    }
}
