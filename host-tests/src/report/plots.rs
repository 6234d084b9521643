//! The pictures of the report, as SVG that takes its colours from the page.
//!
//! `plotters` draws with colours that are fixed when the picture is made, and a page that follows
//! the reader's dark mode cannot use those. So every drawing here uses a small set of sentinel
//! colours, near-black tones no colour map produces, and when the picture is done each sentinel is
//! exchanged for a CSS variable: the page's two palettes then reach the pictures too. Sizes are
//! treated alike: the outer `<svg>` tag with its fixed width is cut off, and the page writes its
//! own with nothing but a view box, so that a picture is as wide as its column.
//!
//! The backend knows whole pixels only. Everything is therefore drawn on a canvas [`FINE`] times
//! larger than the nominal one, which gives curves a quarter of a pixel to move by.
//!
//! The axes are drawn here and not by the library's own mesh, because without a font library it
//! can only guess the width of a label, and a guess makes labels collide. Here a label is anchored
//! at the end that must not move, and the margin is made from the longest label.
//!
//! What it refuses: bitmaps, fonts (text is set in the page's font by the browser), and values
//! that aren't finite. Those are never drawn; the caller counts them and says so in the caption.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    Cartesian2d, Circle, ColorMap, DrawingArea, IntoDrawingArea, IntoFont, PathElement, RGBAColor,
    RGBColor, Rectangle, Text, ViridisRGB,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, ShapeStyle};

use super::{Scatter, Strip, words};

mod bands;
mod cells;
mod curves;
mod front;
mod ranking;

pub(super) use bands::{Band, Bands};
use cells::css;
pub(super) use cells::{Grid, Tiles};
pub(super) use curves::{Curve, Curves};
pub(super) use front::{Dot, Family, Field, on_front};
pub(super) use ranking::{Ranked, Ranking};

/// Canvas units per nominal pixel.
pub(super) const FINE: i32 = 4;
/// The nominal width of every picture: about what a phone shows, so that text stays readable.
const WIDTH: i32 = 360;
/// The nominal size of tick labels and of everything else that is written.
const TICK: i32 = 13;
const LABEL: i32 = 14;
/// The most points a curve is drawn with; more would be finer than a screen.
const CURVE_POINTS: usize = 400;

const INK: RGBColor = RGBColor(1, 2, 3);
const MUTED: RGBColor = RGBColor(1, 2, 4);
const GRID: RGBColor = RGBColor(1, 2, 5);
const PAPER: RGBColor = RGBColor(1, 2, 6);
const SERIES: [RGBColor; 10] = [
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
const SENTINELS: [(RGBColor, &str); 14] = [
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

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;

/// A finished picture: what goes between `<svg>` and `</svg>`, and the size of its canvas.
pub(super) struct Picture {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) body: String,
    /// Cells that touch: they must not be smoothed at their edges, or seams would show.
    pub(super) crisp: bool,
    /// Made for the whole width of the page.
    pub(super) wide: bool,
}

/// One curve of a line picture.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// The same curve before smoothing, drawn faint behind it.
    pub(super) raw: Vec<(f64, f64)>,
}

/// A picture of curves over a whole-numbered axis.
pub(super) struct Lines {
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) series: Vec<Series>,
    /// A logarithmic axis is asked for; it is used where every value is positive.
    pub(super) log: bool,
}

/// Whether a value can be placed on an axis at all.
pub(super) fn drawable(value: f64) -> bool {
    // Beyond this the width of a range would overflow.
    value.is_finite() && value.abs() < 1e200
}

/// Runs `draw` on a canvas of a nominal size and takes the result to the page's terms.
fn picture(
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
struct Hand {
    size: i32,
    colour: RGBColor,
    anchor: (HPos, VPos),
    /// Turned to be read from below.
    upright: bool,
}

/// The unit of an axis, over the picture's upper left corner.
const HEADING: Hand = Hand {
    size: LABEL,
    colour: INK,
    anchor: (HPos::Left, VPos::Top),
    upright: false,
};
/// A label centred under something.
const UNDER: Hand = Hand {
    size: TICK,
    colour: MUTED,
    anchor: (HPos::Center, VPos::Top),
    upright: false,
};
/// A label that ends at something.
const BEFORE: Hand = Hand {
    size: TICK,
    colour: MUTED,
    anchor: (HPos::Right, VPos::Center),
    upright: false,
};
/// A label that starts at something.
const BEHIND: Hand = Hand {
    size: TICK,
    colour: MUTED,
    anchor: (HPos::Left, VPos::Center),
    upright: false,
};

/// Writes text at a position in canvas units.
fn write(area: &Area<'_>, text: &str, at: (i32, i32), hand: Hand) -> Result<()> {
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
fn stroke(colour: impl Color, quarters: u32) -> ShapeStyle {
    colour.stroke_width(quarters)
}

/// A line in canvas units.
fn rule(area: &Area<'_>, from: (i32, i32), to: (i32, i32), style: ShapeStyle) -> Result<()> {
    area.draw(&PathElement::new(vec![from, to], style))?;
    Ok(())
}

/// An axis: its range and ticks as positions, which on a logarithmic one are powers of ten.
struct Axis {
    lo: f64,
    hi: f64,
    ticks: Vec<(f64, String)>,
    log: bool,
}

impl Axis {
    /// An axis with a little air around the values.
    fn linear(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = padded(values, 0.06);
        Self {
            lo,
            hi,
            ticks: ticks(lo, hi, 5.0, 0.0),
            log: false,
        }
    }

    /// An axis that has ticks at whole numbers only.
    fn whole(values: impl Iterator<Item = f64>) -> Self {
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
    fn log(values: impl Iterator<Item = f64>) -> Self {
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
    fn place(&self, value: f64) -> Option<f64> {
        if !drawable(value) || (self.log && value <= 0.0) {
            return None;
        }
        Some(if self.log { value.log10() } else { value })
    }

    /// How wide the longest tick label is, in nominal pixels.
    fn label_width(&self) -> i32 {
        let letters = self.ticks.iter().map(|(_, l)| l.chars().count()).max();
        // Digits are a little over half as wide as they are high.
        (letters.unwrap_or(1) as f64 * f64::from(TICK) * 0.6).ceil() as i32
    }
}

/// The range of the values that can be drawn, widened by a share of itself.
fn padded(values: impl Iterator<Item = f64>, share: f64) -> (f64, f64) {
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
fn ticks(lo: f64, hi: f64, wanted: f64, least: f64) -> Vec<(f64, String)> {
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
fn powers(lo: f64, hi: f64, mantissas: &[f64], stride: f64) -> Vec<(f64, String)> {
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
fn decade_label(mantissa: f64, power: f64) -> String {
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
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

/// Draws grid and labels, and gives back the plane the values are drawn on.
fn plane<'a>(
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
enum Mark {
    Line(RGBColor),
    Ring(RGBColor),
    Dot(RGBColor),
}

/// Draws a legend line by line from `top` on and says how high it came out, in nominal pixels.
fn legend(area: &Area<'_>, top: i32, entries: &[(Mark, String)]) -> Result<i32> {
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

impl Lines {
    /// Whether the vertical axis comes out logarithmic.
    pub(super) fn is_log(&self) -> bool {
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
    pub(super) fn draw(&self) -> Result<Picture> {
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

/// The runs of points that can be drawn, as positions: a gap is left where one can't.
fn pieces(points: &[(f64, f64)], x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64)>> {
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

/// A curve thinned to the least and the greatest value of each stretch, which keeps its spread.
fn extremes(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
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

/// A range of values and the colours it is told by.
struct Shade {
    lo: f64,
    hi: f64,
    diverging: bool,
}

impl Shade {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let (lo, hi) = padded(values, 0.0);
        Self {
            lo,
            hi,
            diverging: false,
        }
    }

    /// A range about zero, which has the colour of the paper.
    fn about_zero(values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|v| drawable(*v)).map(f64::abs);
        let (_, hi) = padded([0.0].into_iter().chain(most), 0.0);
        Self {
            lo: -hi,
            hi,
            diverging: true,
        }
    }

    /// How far along the range a value is.
    fn share(&self, value: f64) -> f64 {
        (value - self.lo) / (self.hi - self.lo)
    }

    /// The colour at a share of the range.
    fn at(&self, share: f64) -> RGBAColor {
        match self.diverging {
            true if share < 0.5 => SERIES[0].mix(1.0 - 2.0 * share),
            true => SERIES[1].mix(2.0 * share - 1.0),
            false => ViridisRGB.get_color(share).to_rgba(),
        }
    }

    /// The colour of a value; one that isn't finite has none but the grid's.
    fn colour(&self, value: f64) -> RGBAColor {
        if drawable(value) {
            self.at(self.share(value))
        } else {
            GRID.to_rgba()
        }
    }

    /// Ticks as shares of the range.
    fn ticks(&self) -> Vec<(f64, String)> {
        ticks(self.lo, self.hi, 5.0, 0.0)
            .into_iter()
            .map(|(value, label)| (self.share(value), label))
            .collect()
    }

    /// The cells of the bar that explains the colours, `n` of them from low to high.
    fn steps(&self, n: i32) -> impl Iterator<Item = (i32, RGBAColor)> + '_ {
        (0..n).map(move |i| {
            let share = (f64::from(i) + 0.5) / f64::from(n);
            (i, self.at(share))
        })
    }

    /// Draws a level bar that explains the colours; labels stay within `limit`. All in canvas units.
    fn bar(&self, area: &Area<'_>, (l, y0): (i32, i32), w: i32, limit: i32) -> Result<()> {
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

/// Numbers from one that can stand beside `count` cells without crowding.
fn cell_ticks(count: usize) -> Vec<usize> {
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

/// A cell's edges along `length` canvas units, for `count` cells from `start` on.
fn edges(start: i32, length: i32, count: usize, i: usize) -> (i32, i32) {
    let edge = |i: usize| start + (f64::from(length) * i as f64 / count as f64).round() as i32;
    (edge(i), edge(i + 1))
}

/// The penalties of a layer with rows and columns, cell by cell, with the colours' meaning beside.
pub(super) fn heat_map(strip: &Strip) -> Result<Picture> {
    let shade = Shade::new(strip.values.iter().map(|v| f64::from(*v)));
    let bar = shade.ticks();
    let (left, top) = (42, 30);
    // The labels of the bar are within the picture, however long they are.
    let labels = bar.iter().map(|(_, label)| front::width(label, TICK));
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
pub(super) fn strips(strips: &[&Strip]) -> Result<Picture> {
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

/// The side of the squares in each of which one dot is drawn, in canvas units: less than a dot's breadth.
const CLOSE: i32 = 2 * FINE;
/// A dot's radius.
const DOT: i32 = 10;

/// The approximate hypergradient against the exact one, on axes that reach equally far; and how many dots
/// there are, where those are fewer than the points.
///
/// Of points in one square of [`CLOSE`] the first is drawn, the darker the more there are: dots over
/// one another show nothing else, and a network has more weights than a screen has places. So a picture has at
/// most 22,500 dots of a dozen letters.
pub(super) fn scatter(scatter: &Scatter, method: &str) -> Result<(Picture, Option<usize>)> {
    let pairs: Vec<(f64, f64)> = scatter
        .exact
        .iter()
        .zip(&scatter.approximate)
        .map(|(a, b)| (f64::from(*a), f64::from(*b)))
        .filter(|(a, b)| drawable(*a) && drawable(*b))
        .collect();
    let reach = pairs
        .iter()
        .fold(0f64, |most, (a, b)| most.max(a.abs()).max(b.abs()));
    let reach = if reach > 0.0 { reach } else { 1.0 };
    // Labels such as 0.00002 are noise: the power of ten goes to the axis's name.
    let exponent = reach.log10().floor();
    let (scale, unit) = if (-1.0..4.0).contains(&exponent) {
        (1.0, "nats".to_owned())
    } else {
        let unit = format!("{} nats", words::power_of_ten(exponent));
        (10f64.powf(-exponent), unit)
    };
    let end = 1.06 * reach * scale;
    let axis = || Axis {
        lo: -end,
        hi: end,
        ticks: ticks(-end, end, 7.0, 0.0),
        log: false,
    };
    let (x, y) = (axis(), axis());
    // The same for every scatter, so that two side by side have the same size.
    let left = 48;
    let (right, top) = (WIDTH - 12, 52);
    let bottom = top + right - left;
    // The squares from the top down, each with its first point and the number of its points.
    let mut squares: BTreeMap<(i32, i32), ((i32, i32), usize)> = BTreeMap::new();
    let mut picture = picture((WIDTH, bottom + 50), false, |area| {
        let heading = format!("{} hypergradient ({unit})", words::shortened(method, 16));
        write(area, &heading, (0, 2 * FINE), HEADING)?;
        let entries = [
            (Mark::Dot(SERIES[0]), "a hyperparameter".to_owned()),
            (Mark::Line(SERIES[1]), "where both agree".to_owned()),
        ];
        legend(area, 24, &entries)?;
        let frame = Frame {
            left,
            right,
            top,
            bottom,
        };
        let label = format!("exact hypergradient ({unit})");
        let plane = plane(area, frame, (&x, &y), &label)?;
        for line in [[(-end, 0.0), (end, 0.0)], [(0.0, -end), (0.0, end)]] {
            plane.draw(&PathElement::new(line.to_vec(), stroke(MUTED.mix(0.6), 4)))?;
        }
        let identity = vec![(-end, -end), (end, end)];
        plane.draw(&PathElement::new(identity, stroke(SERIES[1], 6)))?;
        for (a, b) in &pairs {
            let (x, y) = plane.map_coordinate(&(a * scale, b * scale));
            let square = (y.div_euclid(CLOSE), x.div_euclid(CLOSE));
            squares.entry(square).or_insert(((x, y), 0)).1 += 1;
        }
        Ok(())
    })?;
    // Each translucent layer lets half through, and more than three are as good as opaque.
    for layers in 1..=3 {
        let dots = squares.values().filter(|(_, n)| (*n).min(3) == layers);
        let (mut path, mut pen) = (String::new(), (0, 0));
        for ((x, y), _) in dots {
            path += &format!("m{} {}h0", x - pen.0, y - pen.1);
            pen = (*x, *y);
        }
        if !path.is_empty() {
            let colour = css(SERIES[0].mix(1.0 - 0.5f64.powi(layers as i32)));
            picture.body += &format!(
                "<path {colour} stroke-width=\"{}\" stroke-linecap=\"round\" d=\"{path}\"/>\n",
                2 * DOT
            );
        }
    }
    let thinned = squares.len() < pairs.len();
    Ok((picture, thinned.then_some(squares.len())))
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

    #[test]
    fn thinning_keeps_the_extremes() {
        let points: Vec<_> = (0..9000)
            .map(|i| (f64::from(i), f64::from(i % 97)))
            .collect();
        let thin = extremes(&points);
        assert!(thin.len() <= 2 * CURVE_POINTS);
        assert!(thin.iter().any(|p| p.1 == 96.0) && thin.iter().any(|p| p.1 == 0.0));
    }

    #[test]
    fn no_colour_of_the_map_is_a_sentinel() {
        for i in 0..=1000 {
            let colour: RGBColor = ViridisRGB.get_color(f64::from(i) / 1000.0);
            assert!(SENTINELS.iter().all(|(s, _)| *s != colour));
        }
    }
}
