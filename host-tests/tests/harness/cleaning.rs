//! Hyper-cleaning: which labels are wrong, which weights there may be, and what is made of them.

use drmad::Fused;
use drmad_host::data::Dataset;
use drmad_host::experiment::{Experiment, Rounding};
use drmad_host::method::Method;
use drmad_host::problem::Problem;
use drmad_host::recipe::Recipe;
use drmad_host::study::Studies;
use drmad_host::study::cleaning::Score;
use drmad_host::tolerances::{DIFFERENCED_F32, PROJECTED_SUM_F32, SIGMAS};
use drmad_host::tune::{Compare, Resume, Settings, Tuning};
use std::sync::LazyLock;

static MNIST: LazyLock<Dataset> = LazyLock::new(|| Dataset::mnist().unwrap());

const WRONG: usize = 30;

fn small() -> Experiment {
    let mut e = drmad_host::recipe::find("hyper-cleaning").unwrap();
    (e.batch, e.steps) = (80, 12);
    (e.examples.train, e.examples.valid, e.examples.test) = (80, 50, 60);
    e.examples.wrong_labels = WRONG;
    e.tuned[0].total = Some(40.0);
    e.outer.meta_steps = 6;
    e
}

fn out(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("drmad-cleaning-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn exactly_so_many_labels_are_wrong_and_in_every_meta_iteration_the_same() {
    let e = small();
    let right = &MNIST.train.labels;
    let mut first = None;
    for meta_step in [0, 1, 5, 1000] {
        let drawn = Problem::draw(&e, &MNIST, 3, meta_step).unwrap().drawn;
        let labels = drawn.labels.clone().unwrap();
        let differ: Vec<usize> = (0..right.len())
            .filter(|i| labels[*i] != right[*i])
            .collect();
        let mut meant: Vec<usize> = drawn.train[..WRONG].iter().map(|i| *i as usize).collect();
        meant.sort_unstable();
        assert_eq!(differ, meant);
        assert!(labels.iter().all(|label| *label < 10));
        assert!(
            drawn
                .validation
                .iter()
                .all(|i| labels[*i as usize] == right[*i as usize])
        );
        assert!(drawn.validation.iter().all(|i| !drawn.train.contains(i)));
        let all = (drawn.train, drawn.validation, drawn.test, labels);
        assert_eq!(*first.get_or_insert(all.clone()), all);
    }
    let (train, .., labels) = first.unwrap();
    let other = Problem::draw(&e, &MNIST, 4, 0).unwrap().drawn;
    assert!(other.train != train && other.labels != Some(labels));
}

#[test]
fn a_wrong_label_is_any_other_with_the_same_chance() {
    let mut e = small();
    (e.examples.train, e.examples.wrong_labels) = (50_000, 45_000);
    let drawn = Problem::draw(&e, &MNIST, 0, 0).unwrap().drawn;
    let labels = drawn.labels.unwrap();
    let mut shifts = [0usize; 10];
    for i in &drawn.train[..45_000] {
        let i = *i as usize;
        shifts[usize::from((labels[i] + 10 - MNIST.train.labels[i]) % 10)] += 1;
    }
    // Each of nine is binomial with the mean 5,000.
    let deviation = (5_000.0f64 * 8.0 / 9.0).sqrt();
    assert_eq!(shifts[0], 0);
    assert!(
        shifts[1..]
            .iter()
            .all(|n| (*n as f64 - 5_000.0).abs() < SIGMAS * deviation),
        "{shifts:?}"
    );
}

/// The derivative of the outer loss by some weights, by central differences of whole trainings.
#[test]
fn the_hypergradient_is_that_of_the_wrongly_labelled_training() {
    let e = small();
    let problem = Problem::draw(&e, &MNIST, 1, 0).unwrap();
    let tape = Method::new(drmad_host::method::Name::Tape);
    let hyper = e.start();
    let d = problem
        .train::<Fused>(&hyper, Some(&tape), &mut |_| ())
        .unwrap()
        .back
        .unwrap()
        .hypergradient;
    let loss = |hyper: &[f32]| {
        let w = problem.train::<Fused>(hyper, None, &mut |_| ()).unwrap().w;
        problem.quality::<Fused>(hyper, &w).unwrap().valid_loss
    };
    // All wrong ones up, and all right ones.
    for range in [0..WRONG, WRONG..80] {
        let moved = |by: f32| {
            let mut hyper = hyper.clone();
            hyper[range.clone()].iter_mut().for_each(|l| *l += by);
            hyper
        };
        let slope = (loss(&moved(0.05)) - loss(&moved(-0.05))) / 0.1;
        let ours: f64 = d[range.clone()].iter().map(|d| f64::from(*d)).sum();
        assert!(
            (ours - slope).abs() < DIFFERENCED_F32 * slope.abs(),
            "{range:?}: {ours} and {slope}"
        );
    }
}

#[test]
fn weights_stay_in_the_box_and_the_ball_and_wrong_labels_lose_theirs() {
    let out = out("weights");
    let mut e = small();
    e.outer.rates.adam = 0.2;
    for meta_steps in [1, 2, 6] {
        e.outer.meta_steps = meta_steps;
        let tuning = Tuning {
            data: &MNIST,
            settings: Settings {
                version: String::new(),
                experiment: e.clone(),
                compare: Compare::Never,
                seed: 0,
                arithmetic: Rounding::Fused,
                data: None,
            },
            start: None,
            out: out.clone(),
            part_of: None,
        };
        let tuned = tuning.run(Resume::No).unwrap();
        let weights = &tuned.hyper;
        assert!(weights.iter().all(|l| (0.0..=1.0).contains(l)));
        let sum: f64 = weights.iter().map(|l| f64::from(*l)).sum();
        assert!(sum <= 40.0 * (1.0 + PROJECTED_SUM_F32), "{sum}");
        let page = std::fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.contains("</html>") && tuned.report.penalties.is_empty());
        if meta_steps == 6 {
            let mean = |of: &[f32]| of.iter().sum::<f32>() / of.len() as f32;
            assert!(mean(&weights[..WRONG]) < 0.7 * mean(&weights[WRONG..]));
        }
    }
    let _ = std::fs::remove_dir_all(out);
}

#[test]
fn the_score_is_that_of_a_count_by_hand() {
    let of = |weights: &[f32], wrong| Score::of(weights, wrong);
    let perfect = of(&[0.0, -0.0, 1e-30, 1.0], 2);
    assert_eq!(
        (perfect.precision, perfect.recall, perfect.f1),
        (1.0, 1.0, 1.0)
    );
    let half = of(&[0.0, 0.3, 0.0, 0.0, 1.0], 2);
    assert_eq!(
        (half.precision, half.recall, half.f1),
        (1.0 / 3.0, 0.5, 0.4)
    );
    let none = of(&[0.1, 0.2], 1);
    assert!(none.precision.is_nan());
    assert_eq!((none.recall, none.f1), (0.0, 0.0));
}

const SMALL: &str = r#"
like = "hyper-cleaning"
batch = 80
steps = 12
examples = { train = 80, valid = 50, test = 60, wrong-labels = 30 }
tuned = [{ what = "example-weight", start = 0.5, total = 40 }]
outer.meta-steps = 6
outer.rates.adam = 0.2
[study]
kind = "cleaning"
source = ""
about = ""
seeds = 2
variants = [{ name = "exact", method.name = "tape" }, { name = "short", steps = 6, batch = 40 }]
published = [{ what = "oracle", value = 0.9, variant = "oracle, T = 12", metric = "test accuracy" }]
"#;

#[test]
fn the_study_trains_oracle_baseline_and_cleaned_and_resumes_with_the_same_findings() {
    let out = out("study");
    let study = |resume| {
        let studies = Studies {
            recipes: vec![Recipe::parse("small", SMALL).unwrap()],
            data: &MNIST,
            source: None,
            quick: false,
            seeds: None,
            resume,
            out: out.clone(),
        };
        studies.run().unwrap();
        let text = std::fs::read_to_string(out.join("small").join("findings.json")).unwrap();
        let made: serde_json::Value = serde_json::from_str(&text).unwrap();
        made["findings"].clone()
    };
    let mut before = study(false);
    std::fs::remove_file(out.join("small").join("findings.json")).unwrap();
    let mut after = study(true);
    for findings in [&mut before, &mut after] {
        for variant in findings["variants"].as_array_mut().unwrap() {
            let metrics = variant["metrics"].as_array_mut().unwrap();
            metrics.retain(|metric| metric["unit"] != "seconds");
        }
    }
    assert_eq!(before["variants"], after["variants"]);
    let variants = before["variants"].as_array().unwrap();
    let names: Vec<&str> = variants
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "exact",
            "short",
            "oracle, T = 12",
            "baseline, T = 12",
            "oracle, T = 6, batches of 40",
            "baseline, T = 6, batches of 40"
        ]
    );
    let accuracy = |variant: usize, seed: usize| {
        let metric = &variants[variant]["metrics"][0];
        assert_eq!(metric["name"], "test accuracy");
        metric["values"][seed].as_f64().unwrap()
    };
    // The oracle's network, trained by other means: an experiment that has no other examples.
    for seed in 0..2 {
        let e = small();
        let mut problem = Problem::draw(&e, &MNIST, seed as u64, 0).unwrap();
        let mut set = problem.drawn.train[WRONG..].to_vec();
        set.extend(&problem.drawn.validation);
        let mut plain = e.clone();
        (plain.batch, plain.examples.train) = (set.len(), set.len());
        problem.drawn.train = set;
        problem.experiment = &plain;
        // As weights of one each, which change nothing.
        let ones = vec![1.0; plain.examples.train];
        let w = problem.train::<Fused>(&ones, None, &mut |_| ()).unwrap().w;
        let errors = problem.errors::<Fused>(&ones, &w).unwrap();
        assert_eq!(accuracy(2, seed), 1.0 - errors.test);
        assert!((0.0..=1.0).contains(&accuracy(0, seed)));
    }
    assert_eq!(
        before["compared"][0]["ours"],
        variants[2]["metrics"][0]["values"]
    );
    assert!(out.join("small").join("report.html").exists());
    let _ = std::fs::remove_dir_all(out);
}

#[test]
fn what_is_no_cleaning_is_refused() {
    for (over, why) in [
        ("examples.fixed = false", "examples.fixed = true"),
        ("examples.wrong-labels = 0", "give from 1 to 79"),
        ("examples.wrong-labels = 80", "give from 1 to 79"),
        (
            "tuned = [{ what = \"penalty\", start = -3 }]",
            "tune these alone",
        ),
        ("outer-loss = \"train\"", "outer-loss"),
    ] {
        let text = SMALL.replace("steps = 6, batch = 40", over);
        let recipe = Recipe::parse("small", &text).unwrap();
        let error = recipe.study.as_ref().unwrap().check(&recipe).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{over}: {error:#}");
    }
}
