//! The page of a run: what it must hold, and what it must survive.
//!
//! The sample below is test data. Its numbers come from a small generator with a fixed seed and
//! are shaped like those of a run, so that the page can be looked at; they were measured nowhere.
//! `REPORT_SAMPLE=FILE cargo test -p drmad-host --test harness report` writes the page to a file.

use drmad_host::quality::Quality;
use drmad_host::report::run::{Angle, Cost, LossCurve, MetaStep, Report, Scatter, Strip};
use drmad_host::report::tuning::render;

/// A fixed sequence of numbers between nought and one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, with unit variance.
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

fn meta_step(step: usize, dice: &mut Dice) -> MetaStep {
    let t = 1.0 - (-(step as f64) / 12.0).exp();
    MetaStep {
        step,
        valid_loss: 0.342 - 0.071 * t + 0.002 * dice.bell(),
        valid_error: 0.102 - 0.023 * t + 0.0008 * dice.bell(),
        test_error: 0.099 - 0.021 * t + 0.0008 * dice.bell(),
        norm: 0.021 * (-3.0 * t).exp() * (1.0 + 0.1 * dice.bell()),
        seconds: 14.0 + dice.roll(),
        train_loss: 0.05 + 0.1 * t + 0.002 * dice.bell(),
        agreement: None,
        left_out: vec![],
    }
}

fn losses(end: f64, dice: &mut Dice) -> Vec<f32> {
    (0..4000)
        .map(|i| {
            let smooth = end + (2.3 - end) * (-f64::from(i) / 260.0).exp();
            (smooth * (0.22 * dice.bell()).exp()) as f32
        })
        .collect()
}

fn pixels(dice: &mut Dice) -> Strip {
    let values = (0..784).map(|i| {
        let (r, c) = (f64::from(i / 28) - 13.5, f64::from(i % 28) - 13.5);
        let radius = (r * r + 1.3 * c * c).sqrt();
        // The corners are never lit and have not moved.
        if radius > 12.4 {
            -4.0
        } else {
            (-4.0 + 1.6 * (radius - 9.0) / 5.0 + 0.35 * dice.bell()) as f32
        }
    });
    Strip {
        name: "input pixels".into(),
        unit: "log penalty".into(),
        rows: 28,
        columns: 28,
        values: values.collect(),
    }
}

fn hidden(layer: usize, dice: &mut Dice) -> Strip {
    Strip {
        name: format!("hidden layer {layer}"),
        unit: "log penalty".into(),
        rows: 1,
        columns: 50,
        values: (0..50)
            .map(|_| (-4.6 + 0.3 * layer as f64 + 0.5 * dice.bell()) as f32)
            .collect(),
    }
}

fn scatter(meta_step: usize, noise: f64, dice: &mut Dice) -> Scatter {
    let exact: Vec<f32> = (0..934)
        .map(|_| (1e-4 * dice.bell() * (1.2 * dice.bell()).exp()) as f32)
        .collect();
    let approximate: Vec<f32> = exact
        .iter()
        .map(|v| (f64::from(*v) * (1.0 + noise * dice.bell()) + 1e-5 * dice.bell()) as f32)
        .collect();
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let cosine =
        dot(&exact, &approximate) / (dot(&exact, &exact) * dot(&approximate, &approximate)).sqrt();
    Scatter {
        meta_step,
        exact,
        approximate,
        cosine,
    }
}

fn cost(name: &str, seconds: f64, floats: f64, products: u64) -> Cost {
    Cost {
        name: name.into(),
        seconds,
        floats_per_weight: floats,
        gradients: 4000,
        second_order_products: products,
    }
}

fn sample() -> Report {
    let mut dice = Dice(7);
    let d = &mut dice;
    let mut meta_steps: Vec<MetaStep> = (0..=30).map(|i| meta_step(i, d)).collect();
    // The ends are the qualities before and after, as in a run.
    let ends = [(0, 0.342, 0.102, 0.099), (30, 0.271, 0.079, 0.078)];
    for (i, loss, valid, test) in ends {
        let m = &mut meta_steps[i];
        (m.valid_loss, m.valid_error, m.test_error) = (loss, valid, test);
    }
    let comparison = vec![scatter(0, 0.25, d), scatter(30, 0.1, d)];
    let mut angles: Vec<Angle> = (0..=30)
        .step_by(5)
        .map(|meta_step| Angle {
            meta_step,
            cosine: 0.985 - 0.02 * d.roll(),
            norm_ratio: 0.93 + 0.1 * d.roll(),
            another_draw: Some(0.8 - 0.1 * d.roll()),
        })
        .collect();
    angles[0].cosine = comparison[0].cosine;
    angles[6].cosine = comparison[1].cosine;
    Report {
        experiment: "mnist-units".into(),
        title: "Test data: one penalty for every unit".into(),
        method: "hats".into(),
        outer: "Adam".into(),
        draws: 1,
        clients: None,
        settings: vec![
            pair("training examples", "15000"),
            pair("network", "784-50-50-50-10, tanh"),
            pair("training steps", "4000 of 50 examples each"),
            pair("outer learning rate", "0.04"),
            pair("seed", "7"),
        ],
        versions: vec![pair("drmad", "0.1.0"), pair("kernels", "test data")],
        meta_steps,
        before: Quality {
            valid_loss: 0.342,
            valid_error: 0.102,
            test_loss: 0.331,
            test_error: 0.099,
        },
        after: Quality {
            valid_loss: 0.271,
            valid_error: 0.079,
            test_loss: 0.262,
            test_error: 0.078,
        },
        costs: vec![
            cost("forward", 3.1, 5.0, 0),
            cost("backward (hats)", 11.2, 8.0, 8000),
            cost("backward (tape, exact)", 12.9, 4002.0, 8000),
        ],
        angles,
        training: vec![
            LossCurve {
                label: "before tuning".into(),
                losses: losses(0.05, d),
            },
            LossCurve {
                label: "after tuning".into(),
                losses: losses(0.15, d),
            },
        ],
        penalties: vec![pixels(d), hidden(1, d), hidden(2, d), hidden(3, d)],
        comparison,
    }
}

/// A report with nothing in it.
fn bare() -> Report {
    let nothing = Quality {
        valid_loss: f64::NAN,
        valid_error: f64::NAN,
        test_loss: f64::NAN,
        test_error: f64::NAN,
    };
    Report {
        experiment: String::new(),
        title: String::new(),
        method: String::new(),
        outer: String::new(),
        draws: 1,
        clients: None,
        settings: vec![],
        versions: vec![],
        meta_steps: vec![],
        before: nothing,
        after: nothing,
        costs: vec![],
        angles: vec![],
        training: vec![],
        penalties: vec![],
        comparison: vec![],
    }
}

/// The figures of a page, each from its opening tag to its closing one.
fn figures(page: &str) -> Vec<&str> {
    page.split("<figure>")
        .skip(1)
        .map(|rest| rest.split("</figure>").next().unwrap())
        .collect()
}

#[test]
fn report_is_one_file_without_external_references() {
    let page = render(&sample()).unwrap();
    if let Some(path) = std::env::var_os("REPORT_SAMPLE") {
        std::fs::write(path, &page).unwrap();
    }
    for reference in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<img", "<use",
    ] {
        assert!(!page.contains(reference), "the page has {reference}");
    }
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert_eq!(
        page,
        render(&sample()).unwrap(),
        "the page is deterministic"
    );
}

#[test]
fn opening_sentence_states_the_result() {
    let page = render(&sample()).unwrap();
    let lead = "934 hyperparameters tuned on 15,000 training examples: test error 9.9\u{a0}%\u{a0}→\u{a0}7.8\u{a0}%";
    assert!(page.contains(lead));
}

#[test]
fn means_of_draws_are_called_so_and_one_draw_is_not() {
    let (mut report, words) = (
        sample(),
        [
            "31 meta-iterations of 3 draws each",
            "two means of 3 draws",
            "of 3 other draws",
        ],
    );
    let one = render(&report).unwrap();
    report.draws = 3;
    let three = render(&report).unwrap();
    for words in words {
        assert!(three.contains(words) && !one.contains("3 draws"), "{words}");
    }
    assert!(one.contains("two draws among themselves"));
}

#[test]
fn every_figure_has_a_caption_and_labels() {
    let page = render(&sample()).unwrap();
    let figures = figures(&page);
    // Loss, error, norm, training; pixels, strips; cosine, length, two scatters.
    assert_eq!(figures.len(), 10);
    for figure in figures {
        assert_eq!(figure.matches("<figcaption>").count(), 1);
        assert_eq!(figure.matches("role=\"img\"").count(), 1);
        let label = figure.split("aria-label=\"").nth(1).unwrap();
        assert!(label.find('"').unwrap() > 20, "a label says what it is");
        let caption = figure.split("<figcaption>").nth(1).unwrap();
        assert!(
            caption.chars().any(|c| c.is_ascii_digit()),
            "a caption speaks of numbers: {caption}"
        );
        // Two axes with their units and at least two ticks each.
        assert!(figure.matches("<text").count() >= 6);
        assert!(figure.contains("viewBox") && figure.contains("width=\"100%\""));
        assert!(figure.contains("var(--ink)"), "text follows the page");
        assert!(!figure.contains("\"#0102") && !figure.contains("\"#0201"));
    }
}

#[test]
fn report_survives_empty_and_nonfinite_series() {
    let page = render(&bare()).unwrap();
    assert_eq!(figures(&page).len(), 0);
    assert!(page.contains("not finite"));
    assert!(!page.contains("<table"));

    // Every number of a full report gone bad, in each of the ways a number can.
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 0.0] {
        let mut report = sample();
        for m in &mut report.meta_steps {
            (m.valid_loss, m.valid_error, m.test_error) = (bad, bad, bad);
            (m.norm, m.seconds, m.train_loss) = (bad, bad, bad);
        }
        for a in &mut report.angles {
            (a.cosine, a.norm_ratio) = (bad, bad);
        }
        for c in &mut report.costs {
            (c.seconds, c.floats_per_weight) = (bad, bad);
        }
        for curve in &mut report.training {
            curve.losses.fill(bad as f32);
        }
        for strip in &mut report.penalties {
            strip.values.fill(bad as f32);
        }
        for s in &mut report.comparison {
            s.exact.fill(bad as f32);
            s.approximate.fill(bad as f32);
            s.cosine = bad;
        }
        report.after = Quality {
            valid_loss: bad,
            valid_error: bad,
            test_loss: bad,
            test_error: bad,
        };
        let page = render(&report).unwrap();
        assert_eq!(figures(&page).len(), 10);
        assert!(!page.contains("NaN") && !page.contains(">inf"));
    }

    // One bad value among good ones is a gap that is owned up to.
    let mut report = sample();
    report.meta_steps[3].valid_loss = f64::NAN;
    report.penalties[0].values[400] = f32::NAN;
    let page = render(&report).unwrap();
    assert!(page.contains("One of 31 values is not finite"));
    assert!(page.contains("One of 784 values is not finite"));
}

#[test]
fn labels_of_a_colour_bar_lie_within_the_picture() {
    for (low, high) in [(-4.0f32, -2.0), (12_345.2, 12_345.8), (-1.25e-5, -1.2e-5)] {
        let mut report = sample();
        let strip = &mut report.penalties[0];
        let last = (strip.values.len() - 1) as f32;
        for (i, value) in strip.values.iter_mut().enumerate() {
            *value = low + (high - low) * (i as f32 / last);
        }
        let page = render(&report).unwrap();
        let figures = figures(&page);
        let map = figures
            .iter()
            .find(|figure| figure.contains("Heat map"))
            .unwrap();
        let attribute = |tag: &str, name: &str| -> String {
            let start = format!(" {name}=\"");
            let rest = tag.split(&start).nth(1).expect(name);
            rest.split('"').next().unwrap().to_owned()
        };
        let view = attribute(map, "viewBox");
        let width: f64 = view.split(' ').nth(2).unwrap().parse().unwrap();
        let mut labels = 0;
        for part in map.split("<text").skip(1) {
            let (tag, rest) = part.split_once('>').unwrap();
            if tag.contains("rotate") || attribute(tag, "text-anchor") != "start" {
                continue;
            }
            let text = rest.split("</text>").next().unwrap().trim();
            let number = |name| attribute(tag, name).parse::<f64>().unwrap();
            // Digits are about .55 as wide as the letters' size.
            let right = number("x") + 0.55 * number("font-size") * text.chars().count() as f64;
            assert!(right <= width, "{text} ends at {right} of {width}");
            labels += 1;
        }
        assert!(labels >= 3, "{labels} labels of the bar");
    }
}

#[test]
fn a_page_of_a_million_hyperparameters_is_small_and_says_what_it_left_out() {
    let dice = &mut Dice(7);
    // All over the picture, where the fewest lie on one another.
    let exact: Vec<f32> = (0..1_000_000)
        .map(|_| 2.0 * dice.roll() as f32 - 1.0)
        .collect();
    let approximate = exact
        .iter()
        .map(|_| 2.0 * dice.roll() as f32 - 1.0)
        .collect();
    let mut report = sample();
    let scatter = Scatter {
        meta_step: 0,
        exact,
        approximate,
        cosine: 0.0,
    };
    report.comparison = vec![scatter.clone(), scatter];
    let page = render(&report).unwrap();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    let (_, rest) = page.split_once("are drawn as one, ").expect("said");
    let (dots, _) = rest.split_once(" dots in all").expect("how many");
    let dots: usize = dots.replace(',', "").parse().expect("a number");
    // The axes are 300 pixels of the picture long, the dots two apart.
    assert!((15_000..22_801).contains(&dots), "{dots}");
    let drawn = figures(&page).last().unwrap().matches("h0").count();
    assert_eq!(drawn, dots);
}

#[test]
fn dots_that_lie_on_one_another_are_one_that_is_darker() {
    let mut report = sample();
    report.comparison.truncate(1);
    report.comparison[0].exact = vec![1.0, 1.0, 1.0, -1.0, 0.5, 0.5];
    report.comparison[0].approximate = vec![1.0, 1.0, 1.0, -1.0, 0.5, 0.501];
    let page = render(&report).unwrap();
    assert!(page.contains("are drawn as one, 3 dots in all"));
    let figures = figures(&page);
    let figure = figures.last().unwrap();
    let dots = |opacity: &str| {
        let paths = figure.split("<path ").skip(1);
        let mut paths =
            paths.filter(|path| path.contains(&format!("stroke-opacity=\"{opacity}\"")));
        paths
            .find(|path| path.contains("linecap"))
            .map(|path| path.matches("h0").count())
    };
    assert_eq!([dots("0.500"), dots("0.750"), dots("0.875")], [Some(1); 3]);

    // Apart, all are there, and nothing is said.
    report.comparison[0].exact = vec![1.0, -1.0, 0.5];
    report.comparison[0].approximate = vec![1.0, -1.0, 0.5];
    let page = render(&report).unwrap();
    assert!(!page.contains("drawn as one"));
}

#[test]
fn series_of_length_one_are_drawn() {
    let mut report = sample();
    report.meta_steps.truncate(1);
    report.angles.truncate(1);
    report.comparison.truncate(1);
    report.training.truncate(1);
    report.training[0].losses.truncate(1);
    report.penalties.truncate(2);
    report.penalties[1].columns = 1;
    report.penalties[1].values.truncate(1);
    let page = render(&report).unwrap();
    let figures = figures(&page);
    assert_eq!(figures.len(), 9);
    for figure in &figures[..4] {
        assert!(figure.contains("<circle"), "a lone point is marked");
    }
}

#[test]
fn shapes_that_contradict_themselves_are_errors() {
    let mut report = sample();
    report.penalties[0].rows = 27;
    let error = render(&report).unwrap_err().to_string();
    assert!(error.contains("27 rows of 28"), "{error}");

    let mut report = sample();
    report.comparison[0].exact.pop();
    assert!(render(&report).is_err());
}

#[test]
fn names_are_escaped() {
    let evil = "<b>&\"'#010203</b>";
    let mut report = sample();
    report.experiment = evil.into();
    report.title = evil.into();
    report.method = evil.into();
    report.outer = evil.into();
    report.settings.push(pair(evil, evil));
    report.settings[0] = pair("training examples", evil);
    report.versions.push(pair(evil, evil));
    report.costs[1].name = format!("backward {evil}");
    report.training[0].label = evil.into();
    for strip in &mut report.penalties {
        strip.name = evil.into();
        strip.unit = evil.into();
    }
    let page = render(&report).unwrap();
    assert!(!page.contains("<b>") && !page.contains("</b>"));
    assert!(page.contains("&lt;b&gt;&amp;"));
    for label in page.split("aria-label=\"").skip(1) {
        let end = label.find('"').unwrap();
        let after = &label[end + 1..];
        assert!(
            after.starts_with('>') || after.starts_with(" shape-rendering"),
            "a name closed its attribute: {}",
            &label[..end + 20]
        );
    }
}

#[test]
fn json_keeps_the_report_and_reads_null_as_nan() {
    let mut report = sample();
    report.meta_steps[0].norm = f64::NAN;
    report.training[0].losses[0] = f32::INFINITY;
    let text = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert!(back.meta_steps[0].norm.is_nan() && back.training[0].losses[0].is_nan());
    assert_eq!(back.penalties[0].values, report.penalties[0].values);
}
