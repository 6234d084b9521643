//! One hyperparameter moved along an axis, and means of hypergradients: drawn derivatives against
//! differences of the drawn losses, the same bits on one core and on two, means against sums in float64.

use std::sync::LazyLock;

use drmad_host::data::Dataset;
use drmad_host::experiment::Experiment;
use drmad_host::problem::Population;
use drmad_host::recipe::Recipe;
use drmad_host::study::average::{self, Draw};
use drmad_host::study::chaos::{self, AGAINST, Found, OPPOSITE, Point, Settings};
use drmad_host::tolerances::{DRAWN_SLOPE, F64_ROUNDING};
use toml::Table;

static MNIST: LazyLock<Dataset> = LazyLock::new(|| Dataset::mnist().expect("MNIST"));

/// The experiment of a file, made tiny.
fn tiny(name: &str) -> Experiment {
    let small: Table = "layers = [784, 8, 10]
        batch = 20
        steps = 10
        examples = { train = 60, valid = 1, test = 1 }"
        .parse()
        .unwrap();
    Recipe::find(name).unwrap().with(&[&small]).unwrap()
}

/// The points of the tiny experiment at these places.
fn scan(places: &[f32], hats_every: usize) -> Vec<Found> {
    let experiment = tiny("chaos");
    let population = Population::new(&experiment, &MNIST).unwrap();
    let problem = population.draw(3, 0, 0).unwrap();
    let exact = experiment.method().unwrap();
    let points = chaos::scan(&problem, &exact, places, (0, hats_every), &|| ());
    points.expect("the processor does it")
}

fn on<T: Send>(threads: usize, body: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(body)
}

fn draws(seed: u64, these: std::ops::Range<usize>) -> Vec<Draw> {
    let experiment = tiny("average-gradient");
    let population = Population::new(&experiment, &MNIST).unwrap();
    average::take(&population, &experiment, seed, these, &|| ()).unwrap()
}

#[test]
fn the_drawn_derivative_is_the_slope_of_the_drawn_loss() {
    // Places a step apart, of which the inner ones have two neighbours on either side.
    let step = 0.03125;
    let places: Vec<f32> = (0..9).map(|i| -1.0 + step * i as f32).collect();
    let points = scan(&places, 1);
    let points: Vec<&Point> = points.iter().map(|point| point.as_ref().unwrap()).collect();
    for five in points.windows(5) {
        let near = five[3].loss - five[1].loss;
        let far = five[4].loss - five[0].loss;
        let slope = (8.0 * near - far) / (12.0 * f64::from(step));
        let drawn = five[2].slope;
        assert!(
            (drawn - slope).abs() <= DRAWN_SLOPE * slope.abs(),
            "{drawn} is drawn, and the curve rises by {slope}"
        );
    }
}

#[test]
fn a_scan_has_the_same_bits_on_one_core_and_on_two() {
    let places = Settings {
        points: 6,
        ..Settings::default()
    }
    .places();
    let bits = |threads| -> Vec<_> {
        let points = on(threads, || scan(&places, 2));
        let points = points.into_iter().map(Result::unwrap);
        let of = points.map(|p| [Some(p.loss), Some(p.slope), p.hats].map(|x| x.map(f64::to_bits)));
        of.collect()
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    let asked: Vec<bool> = one.iter().map(|[.., hats]| hats.is_some()).collect();
    assert_eq!(asked, [true, false, true, false, true, false]);
}

#[test]
fn a_place_where_training_diverges_is_missing_and_says_why() {
    let points = scan(&[0.5, 200.0], 1);
    assert!(points[0].is_ok());
    assert!(points[1].as_ref().unwrap_err().contains("finite"));
}

/// Points of a loss and its derivative.
fn points(of: impl Iterator<Item = (f64, f64)>) -> Vec<Found> {
    of.map(|(loss, slope)| {
        Ok(Point {
            loss,
            slope,
            hats: None,
            seconds: 0.0,
        })
    })
    .collect()
}

#[test]
fn shares_tell_a_smooth_curve_from_one_whose_neighbours_are_strangers() {
    // A parabola turns once, between two of its points; and derivatives that alternate always do, though
    // each tells the way to the next.
    let smooth = points(
        (0..40)
            .map(|i| f64::from(i) - 19.6)
            .map(|x| (x * x, 2.0 * x)),
    );
    let opposite = chaos::shares(&smooth, 10, OPPOSITE);
    assert_eq!(opposite.len(), 30);
    assert!(opposite.iter().all(|share| *share == 0.0 || *share == 0.1));
    assert_eq!(opposite.iter().filter(|share| **share > 0.0).count(), 10);
    assert!(
        chaos::shares(&smooth, 10, AGAINST)
            .iter()
            .all(|share| *share <= 0.1)
    );
    let wild = points((0..40).map(|i| (f64::from(i), if i % 2 == 0 { 3.0 } else { -4.0 })));
    assert!(
        chaos::shares(&wild, 10, OPPOSITE)
            .iter()
            .all(|share| *share == 1.0)
    );
    assert!(
        chaos::shares(&wild, 10, AGAINST)
            .iter()
            .all(|share| *share == 1.0)
    );
}

#[test]
fn shares_leave_missing_points_out() {
    let mut few = points((0..5).map(|i| (f64::from(i), 1.0)));
    few[1] = Err("diverged".into());
    few[3] = Err("diverged".into());
    assert!(chaos::shares(&few, 4, OPPOSITE)[0].is_nan());
    few[3] = Ok(Point {
        loss: 0.0,
        slope: -1.0,
        hats: None,
        seconds: 0.0,
    });
    assert_eq!(chaos::shares(&few, 4, OPPOSITE), [1.0]);
}

#[test]
fn the_mean_of_draws_is_the_float64_mean_of_single_ones() {
    let together = on(2, || draws(5, 0..4));
    let single: Vec<Draw> = (0..4).flat_map(|i| draws(5, i..i + 1)).collect();
    let mean = average::mean(together.iter().map(|draw| &draw.hypergradient[..]));
    for (i, mean) in mean.iter().enumerate() {
        let of = single.iter().map(|draw| f64::from(draw.hypergradient[i]));
        let want = of.clone().sum::<f64>() / 4.0;
        let size: f64 = of.map(f64::abs).sum();
        assert!((mean - want).abs() <= 4.0 * F64_ROUNDING * size);
    }
    assert!(single[0].hypergradient != single[1].hypergradient);
}

#[test]
fn draws_of_one_direction_agree_and_those_of_none_do_not() {
    let alike = vec![vec![1.0f32, -2.0]; 6];
    for cosine in [
        average::one_draw(&alike),
        average::two_draws(&alike),
        average::halves(&alike, 3),
    ] {
        assert!((cosine - 1.0).abs() <= 8.0 * F64_ROUNDING);
    }
    // A draw at a right angle to all others.
    let apart: Vec<Vec<f32>> = (0..4)
        .map(|i| (0..4).map(|k| f32::from(u8::from(i == k))).collect())
        .collect();
    for cosine in [
        average::one_draw(&apart),
        average::two_draws(&apart),
        average::halves(&apart, 2),
    ] {
        assert!(cosine.abs() <= 8.0 * F64_ROUNDING);
    }
}
