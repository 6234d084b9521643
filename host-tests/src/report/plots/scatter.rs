//! The approximate hypergradient against the exact one, a dot for each hyperparameter.

use std::collections::BTreeMap;

use anyhow::Result;
use plotters::prelude::PathElement;
use plotters::style::Color;

use super::canvas::{
    Axis, FINE, Frame, HEADING, MUTED, Mark, Picture, SERIES, WIDTH, css, drawable, legend,
    picture, plane, stroke, ticks, write,
};
use crate::report::run::Scatter;
use crate::words;

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
pub(crate) fn scatter(scatter: &Scatter, method: &str) -> Result<(Picture, Option<usize>)> {
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
