//! What DrMAD leaves open, and its headline: that each choice is what it says.

use drmad::Fused;
use drmad::kernels::reduce::norm;
use drmad_host::data::Dataset;
use drmad_host::experiment::Experiment;
use drmad_host::method::{Method, Name};
use drmad_host::problem::Problem;
use drmad_host::recipe::Recipe;
use drmad_host::study::headline::{Settings, measure};
use drmad_host::tolerances::*;
use drmad_host::trained::Trained;
use drmad_host::tune::{self, Compare, Resume, Tuning};

const SMALL: &str = "
like = \"mnist-l2\"
layers = [784, 10]
steps = 30
examples = { train = 200, valid = 100, test = 50 }
";

fn experiment(more: &str) -> Result<Experiment, anyhow::Error> {
    Recipe::parse("small", &format!("{SMALL}{more}"))?.experiment()
}

fn taken(problem: &Problem<'_>, hyper: &[f32], method: Method) -> Trained {
    let method = Some(&method);
    problem.train::<Fused>(hyper, method, &mut |_| ()).unwrap()
}

fn hypergradient(trained: &Trained) -> &[f32] {
    &trained.back.as_ref().unwrap().hypergradient
}

const FRESH: Method = Method {
    fresh_batches: true,
    ..Method::new(Name::Tape)
};

#[test]
fn fresh_batches_change_the_hypergradient_alone_and_are_the_same_each_time() {
    let (e, data) = (experiment("").unwrap(), Dataset::mnist().unwrap());
    let problem = Problem::draw(&e, &data, 0, 0).unwrap();
    let own = taken(&problem, &e.start(), Method::new(Name::Tape));
    let fresh = taken(&problem, &e.start(), FRESH);
    assert_eq!(own.w, fresh.w);
    assert_ne!(hypergradient(&own), hypergradient(&fresh));
    assert_eq!(
        hypergradient(&fresh),
        hypergradient(&taken(&problem, &e.start(), FRESH))
    );
}

#[test]
fn a_batch_of_the_outer_examples_is_all_of_them_where_it_has_as_many() {
    let (e, data) = (experiment("").unwrap(), Dataset::mnist().unwrap());
    let problem = Problem::draw(&e, &data, 0, 0).unwrap();
    let on = |examples| Method {
        validate_on: examples,
        ..Method::new(Name::Tape)
    };
    let [all, hundred, ten] =
        [None, Some(100), Some(10)].map(|n| taken(&problem, &e.start(), on(n)));
    assert_eq!(hypergradient(&all), hypergradient(&hundred));
    assert_ne!(hypergradient(&all), hypergradient(&ten));
}

#[test]
fn a_natural_coefficient_has_the_derivative_of_its_logarithm_by_itself() {
    let data = Dataset::mnist().unwrap();
    let log = experiment("").unwrap();
    let natural = experiment(
        "tuned = [{ what = \"penalty\", by = \"parameter\", start = 0.0024787522, natural = true }]",
    )
    .unwrap();
    let [by_log, by_itself] = [&log, &natural].map(|e| {
        let problem = Problem::draw(e, &data, 0, 0).unwrap();
        hypergradient(&taken(&problem, &e.start(), Method::new(Name::Tape))).to_vec()
    });
    // d/d(log c) = c d/dc, with c = exp(-6).
    let c = f64::exp(-6.0);
    let apart: Vec<f32> = by_log
        .iter()
        .zip(&by_itself)
        .map(|(log, itself)| (f64::from(*log) - c * f64::from(*itself)) as f32)
        .collect();
    assert!(norm(&apart) < F32_SWEEP * norm(&by_log), "{}", norm(&apart));
}

#[test]
fn a_warm_training_begins_at_the_last_weights() {
    let (e, data) = (experiment("").unwrap(), Dataset::mnist().unwrap());
    let mut problem = Problem::draw(&e, &data, 0, 0).unwrap();
    let first = taken(&problem, &e.start(), Method::new(Name::Line));
    problem.from = Some(first.w.clone());
    let second = taken(&problem, &e.start(), Method::new(Name::Line));
    // The loss of the first step is that of the weights it starts from, on the batch of step 0.
    assert!(second.losses[0] < first.losses[0]);
    assert_eq!(second.back.unwrap().floats, e.weights());
    problem.from = None;
    let again = taken(&problem, &e.start(), Method::new(Name::Line));
    assert_eq!(again.w, first.w);
}

#[test]
fn a_projected_and_warm_run_stays_above_zero_and_goes_on_where_it_was() {
    let data = Dataset::mnist().unwrap();
    let out = tempfile::tempdir().unwrap();
    let e = experiment(
        "tuned = [{ what = \"penalty\", by = \"parameter\", start = 0.001, natural = true }]
         outer = { optimizer = \"sign\", rates.sign = 0.01, meta-steps = 2, warm = true }",
    )
    .unwrap();
    let tuning = Tuning {
        data: &data,
        settings: tune::Settings {
            version: String::new(),
            experiment: e,
            compare: Compare::Never,
            seed: 0,
            arithmetic: drmad_host::experiment::Rounding::Fused,
            data: None,
        },
        start: None,
        out: out.path().to_path_buf(),
        part_of: None,
    };
    let tuned = tuning.run(Resume::No).unwrap();
    assert!(tuned.hyper.iter().all(|c| *c >= 0.0));
    assert!(tuned.hyper.contains(&0.0), "nothing was projected");
    let [first, second] = &tuned.report.meta_steps[..] else {
        panic!("two meta-iterations");
    };
    assert!(second.train_loss < first.train_loss);
    assert_eq!(tuning.run(Resume::Yes).unwrap().hyper, tuned.hyper);
}

#[test]
fn choices_that_make_no_sense_are_refused() {
    for (more, says) in [
        (
            "method = { name = \"checkpoints\", fresh-batches = true }",
            "fresh-batches",
        ),
        (
            "method = { name = \"hats\", fresh-batches = true }",
            "fresh-batches",
        ),
        (
            "method = { name = \"line\", rate-scale = 10 }",
            "rate-scale",
        ),
        ("method.validate-on = 101", "validate-on"),
        (
            "outer = { meta-steps = 1, draws = 2, warm = true }",
            "outer.warm",
        ),
        (
            "tuned = [{ what = \"penalty\", by = \"unit\", start = -1, natural = true }]",
            "natural",
        ),
        (
            "tuned = [{ what = \"scale\", start = 0.1, natural = true }]",
            "natural",
        ),
    ] {
        let error = format!("{:#}", experiment(more).unwrap_err());
        assert!(error.contains(says), "{more}: {error}");
    }
}

#[test]
fn the_headline_weighs_the_line_at_two_vectors_and_the_tape_at_one_more_for_each_step() {
    let (e, data) = (experiment("").unwrap(), Dataset::mnist().unwrap());
    let problem = Problem::draw(&e, &data, 0, 0).unwrap();
    let methods = Settings::default().methods;
    let mut ticks = 0;
    let all = measure(&problem, &methods, 2, &mut || ticks += 1).unwrap();
    assert_eq!(ticks, 2 * methods.len());
    let of = |name| all[methods.iter().position(|m| *m == name).unwrap()];
    assert_eq!(of(Name::Line).floats, 2 * e.weights());
    assert_eq!(of(Name::Tape).floats, (e.steps + 2) * e.weights());
    assert!((of(Name::Checkpoints).cosine - 1.0).abs() < TWO_EXACT_METHODS);
    assert_eq!(of(Name::Line).products, e.steps);
    assert_eq!(of(Name::LinePublished).products, e.steps / 10);
    for measured in &all {
        assert!(measured.backward > 0.0 && measured.norm_ratio.is_finite());
    }
}
