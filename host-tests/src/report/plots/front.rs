//! Methods as marks in a field: what they cost across, how far they are from exact upwards.
//!
//! Both axes are logarithmic down to a floor. What lies on or under the floor has no place on such
//! an axis, and here it is the best there is: no memory at all, no angle at all. It gets a shaded
//! band of its own beside the axis, with a tick that says what it stands for.
//!
//! A mark is filled where nothing else is as near for as little; those marks form the front, a
//! line of steps. Marks of the front carry their names. The others carry names where there is room
//! and their number in the table where there is none. Labels are placed one by one at the free
//! place that costs least, and never over a mark, over one another, or outside the field.
//!
//! What it refuses: costs and angles that aren't finite; the caller leaves those out and says so.

use anyhow::Result;
use minijinja::HtmlEscape;
use plotters::element::Polygon;
use plotters::prelude::{Circle, PathElement, RGBColor, Rectangle};
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{
    Area, Axis, BEHIND, BROAD, FINE, Frame, GRID, HEADING, Hand, INK, LETTERS, MUTED, PAPER,
    Picture, SERIES, SMALL, TICK, padded, picture, plane, powers, rule, stroke, width, write,
};
use crate::words;

/// How far from its mark a label may go, in nominal pixels.
const FAR: [f64; 4] = [11.0, 24.0, 40.0, 58.0];
/// The nominal radius of a mark.
const RADIUS: f64 = 6.0;

/// The kinds of methods, each with a colour and a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// The whole path, stored or computed again.
    Exact,
    /// A path that stands in for the true one.
    Shortcut,
    /// Derivatives carried along with training.
    Forward,
    /// The optimality of the last weights in place of a path.
    Implicit,
    /// What needs no method at all, and any other.
    Baseline,
}

impl Family {
    /// Every family, in the order of the legend.
    pub(crate) const ALL: [Self; 5] = [
        Self::Exact,
        Self::Shortcut,
        Self::Forward,
        Self::Implicit,
        Self::Baseline,
    ];

    /// The family of a name.
    pub(crate) fn of(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|family| family.name() == name);
        known.unwrap_or(Self::Baseline)
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Shortcut => "shortcut",
            Self::Forward => "forward",
            Self::Implicit => "implicit",
            Self::Baseline => "baseline",
        }
    }

    /// Its mark as a letter.
    pub(crate) const fn sign(self) -> char {
        match self {
            Self::Exact => '■',
            Self::Shortcut => '●',
            Self::Forward => '▲',
            Self::Implicit => '◆',
            Self::Baseline => '×',
        }
    }

    /// Its colour as a class of the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Exact => "words series-1",
            Self::Shortcut => "words series-2",
            Self::Forward => "words series-3",
            Self::Implicit => "words series-4",
            Self::Baseline => "words",
        }
    }

    pub(super) const fn colour(self) -> RGBColor {
        match self {
            Self::Exact => SERIES[0],
            Self::Shortcut => SERIES[1],
            Self::Forward => SERIES[2],
            Self::Implicit => SERIES[3],
            Self::Baseline => MUTED,
        }
    }

    /// Draws a legend of the families that occur and says where it ends, in nominal pixels.
    pub(super) fn legend(area: &Area<'_>, top: i32, occurs: impl Fn(Self) -> bool) -> Result<f64> {
        let (mut x, y) = (8.0, (top + 9) * FINE);
        for family in Self::ALL.into_iter().filter(|family| occurs(*family)) {
            family.mark(area, ((x * f64::from(FINE)) as i32, y), true)?;
            let at = ((x + 12.0) * f64::from(FINE)) as i32;
            write(area, family.name(), (at, y), BEHIND)?;
            x += 12.0 + width(family.name(), TICK) + 20.0;
        }
        Ok(x)
    }

    /// Draws its mark around a point in canvas units.
    pub(super) fn mark(self, area: &Area<'_>, (x, y): (i32, i32), filled: bool) -> Result<()> {
        let r = (RADIUS * f64::from(FINE)) as i32;
        let colour = self.colour();
        let corners = match self {
            Self::Shortcut => {
                let fill = if filled { colour } else { PAPER };
                area.draw(&Circle::new((x, y), r, fill.filled()))?;
                area.draw(&Circle::new((x, y), r, stroke(colour, 7)))?;
                return Ok(());
            }
            Self::Baseline => {
                let (r, width) = (r * 4 / 5, if filled { 12 } else { 7 });
                rule(area, (x - r, y - r), (x + r, y + r), stroke(colour, width))?;
                return rule(area, (x - r, y + r), (x + r, y - r), stroke(colour, width));
            }
            Self::Exact => {
                let r = r * 9 / 10;
                vec![
                    (x - r, y - r),
                    (x + r, y - r),
                    (x + r, y + r),
                    (x - r, y + r),
                ]
            }
            Self::Forward => vec![
                (x, y - r * 6 / 5),
                (x + r * 6 / 5, y + r),
                (x - r * 6 / 5, y + r),
            ],
            Self::Implicit => {
                let r = r * 5 / 4;
                vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
            }
        };
        let fill = if filled { colour } else { PAPER };
        area.draw(&Polygon::new(corners.clone(), fill.filled()))?;
        let ring = corners.iter().chain(corners.first()).copied();
        area.draw(&PathElement::new(
            ring.collect::<Vec<_>>(),
            stroke(colour, 7),
        ))?;
        Ok(())
    }
}

/// A method in the field.
pub(crate) struct Dot {
    pub(crate) name: String,
    /// Its number in the table.
    pub(crate) number: usize,
    pub(crate) family: Family,
    pub(crate) cost: f64,
    /// One less the cosine.
    pub(crate) angle: f64,
    /// Whether nothing else is as near for as little.
    pub(crate) front: bool,
    /// What the pointer is told.
    pub(crate) hint: String,
}

/// A picture of methods.
pub(crate) struct Field {
    pub(crate) cost: String,
    /// What the tick of no cost says.
    pub(crate) nothing: &'static str,
    /// The angle up to which a method is exact.
    pub(crate) exact: f64,
    pub(crate) dots: Vec<Dot>,
}

/// A logarithmic axis with a place of its own for what is on or under a floor.
struct Floored {
    axis: Axis,
    floor: f64,
    /// Where the band of the floor ends, and where in it the marks are.
    band: Option<(f64, f64)>,
}

impl Floored {
    fn new(values: &[f64], floor: f64, name: &str, sets: &[&[f64]], most: usize) -> Self {
        let above = values.iter().filter(|v| **v > floor);
        let (mut lo, hi) = padded(above.map(|v| v.log10()), 0.05);
        let densest = sets.iter().map(|set| powers(lo, hi, set, 1.0));
        let stride = ((hi - lo) / most as f64).ceil();
        let mut ticks = densest
            .into_iter()
            .find(|marks| marks.len() <= most)
            .unwrap_or_else(|| powers(lo, hi, &[1.0], stride));
        let mut band = None;
        if values.iter().any(|v| *v <= floor) {
            let wide = 0.075 * (hi - lo);
            band = Some((lo, lo - 0.5 * wide));
            ticks.push((lo - 0.5 * wide, name.into()));
            lo -= wide;
        }
        let axis = Axis {
            lo,
            hi,
            ticks,
            log: true,
        };
        Self { axis, floor, band }
    }

    /// Exchanges each label for the cosine it stands for, which is one less the value.
    fn name_cosines(&mut self) {
        let floor = self.band.map_or(f64::NEG_INFINITY, |(edge, _)| edge);
        for (place, label) in self.axis.ticks.iter_mut().filter(|(p, _)| *p >= floor) {
            let decimals = (-place.floor()).max(0.0) as usize;
            *label = words::fixed(1.0 - 10f64.powf(*place), decimals);
        }
    }

    /// Where a value is on the axis.
    fn place(&self, value: f64) -> f64 {
        match self.band {
            Some((_, middle)) if value <= self.floor => middle,
            _ => value.log10(),
        }
    }
}

/// A rectangle in nominal pixels: left, top, right, bottom.
type Box4 = [f64; 4];

fn meet(a: &Box4, b: &Box4) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Text that wants a place.
struct Label<'a> {
    text: &'a str,
    size: i32,
    /// The mark it belongs to, by number, and where that is.
    own: usize,
    at: (f64, f64),
    /// How far other marks must be for it to be plain whose label it is.
    air: f64,
    /// Whether it may cross the front, at a price.
    crosses: bool,
    /// The distances from its mark that are tried.
    rings: &'a [f64],
}

/// Where labels may still go.
struct Room {
    frame: Box4,
    marks: Vec<(f64, f64)>,
    labels: Vec<Box4>,
    /// The front.
    steps: Vec<Box4>,
}

impl Room {
    /// Whether a label may be at a place at all.
    fn free(&self, label: &Label<'_>, place: &Box4) -> bool {
        let inside = place[0] >= self.frame[0]
            && place[1] >= self.frame[1]
            && place[2] <= self.frame[2]
            && place[3] <= self.frame[3];
        let mark = |(i, (x, y)): (usize, &(f64, f64))| {
            let air = if i == label.own { 0.0 } else { label.air };
            let r = RADIUS + 2.0 + air;
            meet(place, &[x - r, y - r, x + r, y + r])
        };
        inside
            && !self.marks.iter().enumerate().any(mark)
            && !self.labels.iter().any(|other| meet(place, other))
    }

    /// Takes the free place of least price: what it covers, and the end that must not move.
    fn take(&mut self, label: &Label<'_>) -> Option<(Box4, HPos)> {
        let (x, y) = label.at;
        let width = width(label.text, label.size);
        let half = 0.62 * f64::from(label.size);
        let mut best: Option<(f64, Box4, HPos)> = None;
        for (ring, r) in label.rings.iter().enumerate() {
            let (aside, over, level) = (0.8 * r, half + 0.5 * r, half + r - 2.0);
            let ways = [
                (HPos::Left, *r, 0.0),
                (HPos::Left, aside, -over),
                (HPos::Left, aside, over),
                (HPos::Center, 0.0, -level),
                (HPos::Center, 0.0, level),
                (HPos::Right, -r, 0.0),
                (HPos::Right, -aside, -over),
                (HPos::Right, -aside, over),
            ];
            for (way, (anchor, dx, dy)) in ways.into_iter().enumerate() {
                let share = match anchor {
                    HPos::Left => 0.0,
                    HPos::Center => 0.5,
                    HPos::Right => 1.0,
                };
                let (left, middle) = (x + dx - share * width, y + dy);
                let place = [left, middle - half, left + width, middle + half];
                if !self.free(label, &place) {
                    continue;
                }
                let crossed = self.steps.iter().filter(|s| meet(s, &place)).count();
                if crossed > 0 && !label.crosses {
                    continue;
                }
                let price = 10.0 * ring as f64 + way as f64 + 15.0 * crossed as f64;
                if best.as_ref().is_none_or(|(least, ..)| price < *least) {
                    best = Some((price, place, anchor));
                }
            }
        }
        let (_, place, anchor) = best?;
        self.labels.push(place);
        Some((place, anchor))
    }
}

/// Which of the points no other beats, being as good in both coordinates and better in one.
pub(crate) fn on_front(points: &[(f64, f64)]) -> Vec<bool> {
    let beaten = |p: &(f64, f64)| {
        let beats = |q: &(f64, f64)| q.0 <= p.0 && q.1 <= p.1 && q != p;
        points.iter().any(beats)
    };
    points.iter().map(|p| !beaten(p)).collect()
}

impl Field {
    /// Draws the field.
    pub(crate) fn draw(&self) -> Result<Picture> {
        let costs: Vec<f64> = self.dots.iter().map(|d| d.cost).collect();
        let angles: Vec<f64> = self.dots.iter().map(|d| d.angle).collect();
        let x = Floored::new(
            &costs,
            0.0,
            self.nothing,
            &[&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]],
            13,
        );
        let mut y = Floored::new(
            &angles,
            self.exact,
            "1",
            &[&[1.0, 2.0, 5.0], &[1.0, 5.0], &[1.0]],
            11,
        );
        y.name_cosines();
        let (top, bottom) = (60, 500);
        let frame = Frame {
            left: y.axis.label_width() + 12,
            right: BROAD - 14,
            top,
            bottom,
        };
        let mut hints = String::new();
        let mut picture = picture((BROAD, bottom + 52), false, |area| {
            write(
                area,
                "cosine to the exact hypergradient: lower is nearer",
                (0, 2 * FINE),
                HEADING,
            )?;
            self.legend(area, 26)?;
            self.bands(area, frame, (&x, &y))?;
            let plane = plane(area, frame, (&x.axis, &y.axis), &self.cost)?;
            let at = |d: &Dot| plane.map_coordinate(&(x.place(d.cost), y.place(d.angle)));
            let mut front: Vec<(i32, i32)> = self.dots.iter().filter(|d| d.front).map(at).collect();
            front.sort_unstable();
            front.dedup();
            let steps = steps(&front, frame);
            area.draw(&PathElement::new(steps.clone(), stroke(INK.mix(0.55), 6)))?;
            for dot in self.dots.iter().filter(|d| !d.front) {
                dot.family.mark(area, at(dot), false)?;
            }
            for dot in self.dots.iter().filter(|d| d.front) {
                dot.family.mark(area, at(dot), true)?;
            }
            self.labels(area, frame, &steps, at)?;
            for dot in &self.dots {
                let (x, y) = at(dot);
                hints += &format!(
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"44\" fill=\"transparent\"><title>{}</title></circle>\n",
                    HtmlEscape(&dot.hint)
                );
            }
            Ok(())
        })?;
        picture.body += &hints;
        Ok(picture)
    }

    /// The shaded bands of the floors.
    fn bands(&self, area: &Area<'_>, frame: Frame, (x, y): (&Floored, &Floored)) -> Result<()> {
        let share = |axis: &Axis, edge: f64| (edge - axis.lo) / (axis.hi - axis.lo);
        let (l, r) = (frame.left * FINE, frame.right * FINE);
        let (t, b) = (frame.top * FINE, frame.bottom * FINE);
        let shade = GRID.mix(0.45).filled();
        if let Some((edge, _)) = x.band {
            let end = l + (share(&x.axis, edge) * f64::from(r - l)) as i32;
            area.draw(&Rectangle::new([(l, t), (end, b)], shade))?;
        }
        if let Some((edge, _)) = y.band {
            let end = b - (share(&y.axis, edge) * f64::from(b - t)) as i32;
            area.draw(&Rectangle::new([(l, end), (r, b)], shade))?;
        }
        Ok(())
    }

    /// The families that occur, and what filling and the line mean.
    fn legend(&self, area: &Area<'_>, top: i32) -> Result<()> {
        let occurs = |family| self.dots.iter().any(|d| d.family == family);
        let (x, y) = (Family::legend(area, top, occurs)?, (top + 9) * FINE);
        let at = (x * f64::from(FINE)) as i32;
        rule(area, (at, y), (at + 20 * FINE, y), stroke(INK.mix(0.55), 6))?;
        write(
            area,
            "the front: nothing else is as near for as little",
            (at + 26 * FINE, y),
            BEHIND,
        )
    }

    /// The names and numbers.
    fn labels(
        &self,
        area: &Area<'_>,
        frame: Frame,
        steps: &[(i32, i32)],
        at: impl Fn(&Dot) -> (i32, i32),
    ) -> Result<()> {
        let fine = f64::from(FINE);
        let nominal = |(x, y): (i32, i32)| (f64::from(x) / fine, f64::from(y) / fine);
        let mut room = Room {
            frame: [frame.left + 2, frame.top, frame.right, frame.bottom].map(f64::from),
            marks: self.dots.iter().map(|dot| nominal(at(dot))).collect(),
            labels: Vec::new(),
            steps: Vec::new(),
        };
        for pair in steps.windows(2) {
            let [a, b] = [nominal(pair[0]), nominal(pair[1])];
            room.steps.push([
                a.0.min(b.0) - 1.0,
                a.1.min(b.1) - 1.0,
                a.0.max(b.0) + 1.0,
                a.1.max(b.1) + 1.0,
            ]);
        }
        let mut order: Vec<(usize, &Dot)> = self.dots.iter().enumerate().collect();
        // The front first; the sort keeps the order otherwise.
        order.sort_by_key(|(_, dot)| !dot.front);
        for (own, dot) in order {
            let name = words::shortened(&dot.name, LETTERS);
            let number = dot.number.to_string();
            let (size, colour, air) = match dot.front {
                true => (TICK, INK, 0.0),
                false => (SMALL, MUTED, 5.0),
            };
            let rings: &[f64] = if dot.front { &FAR } else { &FAR[..1] };
            let at = nominal(at(dot));
            for (text, air, crosses) in [(&name, air, dot.front), (&number, 0.0, true)] {
                let label = Label {
                    text,
                    size,
                    own,
                    at,
                    air,
                    crosses,
                    rings,
                };
                let Some((place, anchor)) = room.take(&label) else {
                    continue;
                };
                let middle = 0.5 * (place[1] + place[3]);
                let canvas = |x: f64, y: f64| ((x * fine) as i32, (y * fine) as i32);
                let nearest = at.0.clamp(place[0], place[2]);
                // A label out of reach of its mark is tied to it.
                if (nearest - at.0).hypot(middle - at.1) > 22.0 {
                    let tie = stroke(MUTED.mix(0.6), 3);
                    rule(area, canvas(at.0, at.1), canvas(nearest, middle), tie)?;
                }
                let end = match anchor {
                    HPos::Left => place[0],
                    HPos::Center => 0.5 * (place[0] + place[2]),
                    HPos::Right => place[2],
                };
                let hand = Hand {
                    size,
                    colour,
                    anchor: (anchor, VPos::Center),
                    upright: false,
                };
                write(area, text, canvas(end, middle), hand)?;
                break;
            }
        }
        Ok(())
    }
}

/// The line of the front: from the upper edge over each of its marks to the last.
fn steps(front: &[(i32, i32)], frame: Frame) -> Vec<(i32, i32)> {
    let mut line = Vec::new();
    let mut level = frame.top * FINE;
    for (x, y) in front {
        line.push((*x, level));
        line.push((*x, *y));
        level = *y;
    }
    line
}
