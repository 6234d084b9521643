//! Experiments as files, blocks of hyperparameters in any combination, and studies that survive a kill.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{assert_each_above, wide};
use drmad::Fused;
use drmad_host::data::Dataset;
use drmad_host::experiment::Experiment;
use drmad_host::method::{Method, Name};
use drmad_host::problem::Problem;
use drmad_host::recipe::{self, Recipe};
use drmad_host::tolerances::{EXPERIMENT_DIFFERENCES, EXPERIMENT_STEP, F32_SWEEP, FLOOR_F32_SWEEP};

/// A small network, with keys of the caller's put in the first place.
fn small(keys: &str) -> Experiment {
    // What is tuned has no value beside it.
    let fixed = [
        ("rate", "rate", 0.2),
        ("momentum", "momentum", 0.8),
        ("log-scale", "initial-scale", -2.0),
    ];
    let fixed = fixed.map(|(key, block, value)| {
        let tuned = keys.contains(&format!("what = \"{block}\""));
        if tuned {
            String::new()
        } else {
            format!("{key} = {value}")
        }
    });
    let fixed = fixed.join("\n");
    let text = format!(
        r#"
        title = "small"
        layers = [784, 8, 10]
        batch = 20
        steps = 15
        {fixed}
        examples.train = 60
        examples.valid = 200
        examples.test = 50
        outer.meta-steps = 2
        {keys}
        "#
    );
    Recipe::parse("small", &text)
        .and_then(|recipe| recipe.experiment())
        .expect("in order")
}

fn valid_loss(problem: &Problem<'_>, hyper: &[f32]) -> f64 {
    let trained = problem
        .train::<Fused>(hyper, None, &mut |_| ())
        .expect("trained");
    problem
        .quality::<Fused>(hyper, &trained.w)
        .expect("finite")
        .valid_loss
}

#[test]
fn hypergradients_of_blocks_in_any_combination_are_the_slopes_of_the_validation_loss() {
    let data = Dataset::mnist().expect("MNIST");
    for keys in [
        r#"tuned = [
            { what = "momentum", by = "layer", start = 1 },
            { what = "penalty", by = "tensor", start = -5 },
            { what = "rate", by = "layer", each-step = true, start = -1.5 },
            { what = "initial-scale", by = "tensor", start = -2 },
            { what = "scale", by = "layer", start = 0.1 },
        ]"#,
        r#"tuned = [
            { what = "penalty", start = -5 },
            { what = "example-weight", start = 0.7, total = 50 },
        ]"#,
        r#"tuned = [
            { what = "scale", by = "unit", start = 0.1 },
            { what = "pixel", start = 0.2 },
            { what = "rate", start = -1 },
        ]
        log-l2 = -5"#,
    ] {
        let experiment = small(keys);
        let problem = Problem::draw(&experiment, &data, 3, 0).expect("drawn");
        let start = experiment.start();
        let back = |name| {
            let method = Method::new(name);
            let trained = problem.train::<Fused>(&start, Some(&method), &mut |_| ());
            trained
                .expect("trained")
                .back
                .expect("a backward pass")
                .hypergradient
        };
        let got = back(Name::Tape);
        assert_eq!(got.len(), experiment.hypers());
        // Along each block's own hypergradient, where the slope is steepest.
        for (block, range) in experiment.blocks() {
            let d: Vec<f64> = got[range.clone()].iter().map(|d| f64::from(*d)).collect();
            let length = d.iter().map(|d| d * d).sum::<f64>().sqrt();
            assert!(length > 0.0, "{block:?}");
            let moved = |by: f64| {
                let mut hyper = start.clone();
                for (h, d) in hyper[range.clone()].iter_mut().zip(&d) {
                    *h = (f64::from(*h) + by * d / length) as f32;
                }
                valid_loss(&problem, &hyper)
            };
            let slope =
                (moved(EXPERIMENT_STEP) - moved(-EXPERIMENT_STEP)) / (2.0 * EXPERIMENT_STEP);
            let error = (slope - length).abs();
            assert!(
                error <= EXPERIMENT_DIFFERENCES * length.max(1e-2),
                "{block:?}: {slope} by differences, {length} by the sweep"
            );
        }
    }
}

#[test]
fn forward_mode_agrees_with_the_sweep_on_blocks_of_every_table() {
    let data = Dataset::mnist().expect("MNIST");
    let experiment = small(
        r#"tuned = [
            { what = "rate", by = "tensor", start = -1.5 },
            { what = "penalty", start = -5 },
            { what = "initial-scale", by = "layer", start = -2 },
            { what = "momentum", by = "tensor", start = 1 },
            { what = "scale", by = "layer", start = 0.1 },
        ]"#,
    );
    let problem = Problem::draw(&experiment, &data, 1, 0).expect("drawn");
    let [forward, tape] = [Name::Forward, Name::Tape].map(|name| {
        let method = Method::new(name);
        let trained = problem.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ());
        trained
            .expect("trained")
            .back
            .expect("a backward pass")
            .hypergradient
    });
    for (block, range) in experiment.blocks() {
        let (forward, tape) = (&forward[range.clone()], wide(&tape[range]));
        let what = format!("{block:?}");
        assert_each_above(&what, forward, &tape, FLOOR_F32_SWEEP, F32_SWEEP);
    }
}

#[test]
fn wrong_labels_are_as_many_as_asked_for_and_only_among_the_training_examples() {
    let data = Dataset::mnist().expect("MNIST");
    let experiment = small(
        r#"examples.wrong-labels = 25
        examples.fixed = true
        tuned = [{ what = "example-weight", start = 1 }]"#,
    );
    let problem = Problem::draw(&experiment, &data, 7, 0).expect("drawn");
    let labels = problem.drawn.labels.as_ref().expect("labels");
    let differ: Vec<u32> = (0u32..)
        .zip(labels.iter().zip(&data.train.labels))
        .filter_map(|(i, (new, old))| (new != old).then_some(i))
        .collect();
    let mut want = problem.drawn.train[..25].to_vec();
    want.sort_unstable();
    assert_eq!(differ, want);
    assert!(labels.iter().all(|label| *label < 10));
    let again = Problem::draw(&experiment, &data, 7, 5).expect("drawn");
    assert_eq!(again.drawn.labels, problem.drawn.labels);
    assert_eq!(again.drawn.train, problem.drawn.train);
}

#[test]
fn every_file_can_be_run_in_both_forms() {
    for name in recipe::names() {
        let recipe = Recipe::find(name).expect(name);
        match &recipe.study {
            Some(study) => study.check(&recipe).expect(name),
            None => drop(recipe.experiment().expect(name)),
        }
    }
}

#[test]
fn what_makes_no_sense_in_a_file_is_named() {
    let refuse = |text: &str, words: &[&str]| {
        let error = match Recipe::parse("mine", text) {
            Err(error) => error,
            Ok(recipe) => {
                let study = recipe.study.clone().expect("a study, or an error");
                study.check(&recipe).expect_err(text)
            }
        };
        let error = format!("{error:#}");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
    };
    let like = |keys: &str| format!("like = \"mnist-units\"\n{keys}");
    refuse("layers = [784", &["line 1"]);
    refuse("title = \"nothing else\"", &["missing field"]);
    refuse("like = \"mnist-unit\"", &["mnist-unit"]);
    refuse(&like("stepps = 3"), &["stepps"]);
    refuse(&like("steps = 0"), &["steps is 0"]);
    refuse(&like("momentum = 1.0"), &["momentum is 1"]);
    refuse(&like("layers = [784]"), &["at least two widths"]);
    refuse(&like("layers = [784, 4000000000, 10]"), &["more weights"]);
    refuse(&like("method.levels = 5"), &["levels is 5"]);
    refuse(&like("method.name = \"rope\""), &["rope"]);
    refuse(&like("tuned = []"), &["nothing is tuned"]);
    refuse(
        &like("tuned = [{ what = \"rate\", start = 0 }, { what = \"rate\", start = 1 }]"),
        &["log rate is tuned twice"],
    );
    refuse(
        &like("tuned = [{ what = \"scale\", each-step = true, start = 0 }]"),
        &["from step to step"],
    );
    refuse(
        &like("[study]\nsource = \"\"\nabout = \"\"\nvariants = [{ name = \"a\", stepps = 3 }]"),
        &["variant a", "stepps"],
    );
    refuse(
        &like("[study]\nsource = \"\"\nabout = \"\"\nvariants = [{ name = \"a\", from = \"b\" }]"),
        &["from", "b"],
    );
    refuse(
        &like("[study]\nsource = \"\"\nabout = \"\"\nkindd = \"tuned\""),
        &["kindd"],
    );
}

fn drmad(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = crate::drmad();
    command.args(arguments).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = drmad(folder, arguments).output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const MINE: &str = r#"
title = "My own: 7 x 7 images of two kinds"
layers = [784, 12, 10]
batch = 10
steps = 40
rate = 0.1
momentum = 0.5
log-scale = -2
examples = { train = 100, valid = 50, test = 40 }
tuned = [{ what = "penalty", by = "layer", start = -4 }, { what = "scale", start = 0 }]
outer = { meta-steps = 6, rates.adam = 0.1 }

[study]
source = "nobody"
about = "What <I> wanted to know."
seeds = 2
variants = [
  { name = "coarse" },
  { name = "fine", from = "coarse", tuned = [{ what = "penalty", by = "unit", start = -4 }] },
  { name = "diverges", rate = 1e30, tuned = [{ what = "penalty", start = -4 }] },
]
quick = { seeds = 1, steps = 10 }

[[study.published]]
what = "test error"
value = 0.5
variant = "fine"
metric = "test error"
"#;

/// A folder with an experiment of the user's and some images in IDX.
fn mine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mine.toml"), MINE).expect("written");
    let data = Dataset::mnist().expect("MNIST");
    data.write_first(folder.path(), 300, 100).expect("written");
    folder
}

#[test]
fn a_file_of_the_users_is_tuned_studied_and_dumped() {
    let folder = mine();
    let folder = folder.path();
    let printed = run(folder, &["tune", "mine.toml", "--data", ".", "--out", "t"]);
    assert!(printed.contains("3 hyperparameters by hats"), "{printed}");
    run(
        folder,
        &[
            "hypergradient",
            "--experiment",
            "mine.toml",
            "--data",
            ".",
            "--dump",
            "d",
        ],
    );
    let group = fs::read(folder.join("d/group.npy")).expect("a dump");
    assert!(!group.is_empty());
    let printed = run(folder, &["experiment", "mine.toml", "--data", "."]);
    for name in ["coarse", "fine", "diverges", "failed"] {
        assert!(printed.contains(name), "{printed}");
    }
    let page = fs::read_to_string(folder.join("out/all/mine/report.html")).expect("a page");
    assert!(page.contains("What &lt;I&gt; wanted to know."), "escaped");
}

/// The tuned hyperparameters of every run in a study's folder.
fn tuned(folder: &Path) -> Vec<Vec<u8>> {
    let mut all = vec![];
    for variant in ["coarse", "fine"] {
        for seed in ["seed-0", "seed-1"] {
            let file = folder
                .join("out/all/mine")
                .join(variant)
                .join(seed)
                .join("hyper.npy");
            all.push(fs::read(&file).expect("hyperparameters"));
        }
    }
    all
}

#[test]
fn a_killed_experiment_resumes_with_the_same_bits_and_a_done_one_is_left_alone() {
    let (whole, killed) = (mine(), mine());
    let arguments = ["experiment", "mine.toml", "--data", ".", "--resume"];
    run(whole.path(), &arguments);
    let mut child = drmad(killed.path(), &arguments)
        .spawn()
        .expect("the binary runs");
    let state = killed.path().join("out/all/mine/coarse/seed-0/state.json");
    let patience = Instant::now();
    while !state.exists() && patience.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    run(killed.path(), &arguments);
    assert_eq!(tuned(killed.path()), tuned(whole.path()));

    let findings = killed.path().join("out/all/mine/findings.json");
    let written = || {
        fs::metadata(&findings)
            .and_then(|m| m.modified())
            .expect("findings")
    };
    let before = written();
    run(killed.path(), &arguments);
    assert_eq!(written(), before);
    run(
        killed.path(),
        &[
            "experiment",
            "mine.toml",
            "--data",
            ".",
            "--resume",
            "--seeds",
            "1",
        ],
    );
    assert_ne!(written(), before);
}

#[test]
fn a_variant_whose_settings_were_changed_begins_anew_and_the_others_are_left_alone() {
    let folder = mine();
    let folder = folder.path();
    let arguments = ["experiment", "mine.toml", "--data", ".", "--resume"];
    run(folder, &arguments);
    let before = tuned(folder);
    let file = folder.join("mine.toml");
    let text = fs::read_to_string(&file).expect("the experiment");
    let changed = text.replacen("name = \"fine\"", "rate = 0.11, name = \"fine\"", 1);
    assert_ne!(text, changed);
    fs::write(&file, changed).expect("written");
    let printed = run(folder, &arguments);
    assert!(!printed.contains("other settings"), "{printed}");
    let after = tuned(folder);
    assert_eq!(before[..2], after[..2], "coarse");
    assert_ne!(before[2..], after[2..], "fine");
}

#[test]
fn hyperparameters_that_overflow_are_a_result() {
    let folder = mine();
    let folder = folder.path();
    let wild = MINE.replace(
        "rate = 1e30, tuned = [{ what = \"penalty\", start = -4 }]",
        "tuned = [{ what = \"penalty\", start = 1e30 }]",
    );
    assert_ne!(wild, MINE);
    fs::write(folder.join("mine.toml"), wild).expect("written");
    let printed = run(folder, &["experiment", "mine.toml", "--data", "."]);
    assert!(
        printed.contains("which stands for no finite number"),
        "{printed}"
    );
    assert!(folder.join("out/all/mine/report.html").exists());
}

#[test]
fn a_variant_that_cannot_be_run_is_an_error_of_the_command_and_no_result() {
    let folder = mine();
    let folder = folder.path();
    let place = folder.join("out/all/mine/fine/seed-0");
    fs::create_dir_all(&place).expect("made");
    // As another run would hold it.
    let lock = fs::File::create(place.join(".lock")).expect("made");
    lock.lock().expect("claimed");
    let arguments = ["experiment", "mine.toml", "--data", "."];
    let output = drmad(folder, &arguments).output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let want = "drmad: the experiment mine: variant fine: another run writes to ";
    assert!(errors.starts_with(want), "{errors}");
    for name in ["report.html", "findings.json"] {
        assert!(!folder.join("out/all/mine").join(name).exists(), "{name}");
    }
    drop(lock);
    run(
        folder,
        &["experiment", "mine.toml", "--data", ".", "--resume"],
    );
}

#[test]
fn the_reduced_form_keeps_no_states_of_its_variants_once_it_is_done() {
    let folder = mine();
    let folder = folder.path();
    run(
        folder,
        &["experiment", "mine.toml", "--data", ".", "--quick"],
    );
    let out = folder.join("out/all/mine");
    for name in ["report.html", "findings.json"] {
        assert!(out.join(name).exists(), "{name}");
    }
    let left = fs::read_dir(out.join("coarse/seed-0")).expect("a folder");
    let left: Vec<_> = left
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn a_comparison_that_diverges_does_not_end_a_run() {
    // So high a rate that the adjoints overflow, of which the direct term has none.
    let folder = mine();
    let folder = folder.path();
    let (experiment, _) = MINE.split_once("[study]").expect("a study");
    let mut text = experiment.replace("rate = 0.1\n", "rate = 60\n");
    text = text.replace("steps = 40", "steps = 1500\nmethod.name = \"direct\"");
    text = text.replace(
        r#"{ what = "penalty", by = "layer", start = -4 }, { what = "scale", start = 0 }"#,
        r#"{ what = "scale", by = "layer", start = 0.1 }"#,
    );
    text += "[study]\nsource = \"nobody\"\nabout = \"What it is compared with.\"\nseeds = 1\n";
    fs::write(folder.join("wild.toml"), text).expect("written");
    let printed = run(folder, &["experiment", "wild.toml", "--data", "."]);
    assert!(!printed.contains("failed"), "{printed}");
    assert!(printed.contains("NaN"), "{printed}");
}

/// The tags of a page with the names of their attributes, read as a browser would.
fn tags(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let mut tag = String::new();
        let mut quote = None;
        let mut end = rest.len();
        for (i, c) in rest.char_indices() {
            match (quote, c) {
                (None, '>') => {
                    end = i;
                    break;
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(q), c) if c == q => quote = None,
                (None, c) => tag.push(c),
                _ => {}
            }
        }
        rest = &rest[end..];
        found.insert(tag);
    }
    found
}

#[test]
fn what_files_and_folders_are_called_is_text_on_every_page() {
    let evil = "</title></text><script>alert(1)</script><b onload=\\\"x\\\">&'";
    let named = |name: &str| {
        let text = MINE.replace("My own: 7 x 7 images of two kinds", name);
        let text = text.replace("What <I> wanted to know.", name);
        let text = text.replace("\"nobody\"", &format!("\"{name}\""));
        let text = text.replace("\"coarse\"", &format!("\"{name}\""));
        text.replace(
            "what = \"test error\"",
            &format!("what = \"{name}\"\nremark = \"{name}\""),
        )
    };
    let pages = |folder: &Path, images: &str, name: &str| {
        fs::write(folder.join("mine.toml"), named(name)).expect("written");
        let images_folder = folder.join(images);
        fs::create_dir_all(&images_folder).expect("made");
        let data = Dataset::mnist().expect("MNIST");
        data.write_first(&images_folder, 300, 100).expect("written");
        run(
            folder,
            &["tune", "mine.toml", "--data", images, "--out", "t"],
        );
        run(
            folder,
            &["experiment", "mine.toml", "--data", images, "--quick"],
        );
        let frontier = ["frontier", "--experiment", "mine.toml", "--data", images];
        run(
            folder,
            &[&frontier[..], &["--out", "f", "--meta-steps", "1"]].concat(),
        );
        ["t", "out/all/mine", "f"]
            .map(|page| fs::read_to_string(folder.join(page).join("report.html")).expect("a page"))
    };
    let (plain, hostile) = (mine(), mine());
    let want = pages(plain.path(), "images", "plain");
    let got = pages(hostile.path(), "<script>alert(1) & \"'", evil);
    for (got, want) in got.iter().zip(&want) {
        assert!(
            got.contains("&lt;script&gt;alert(1)"),
            "it is not there at all"
        );
        let (got, want) = (tags(got), tags(want));
        let new: Vec<&String> = got.difference(&want).collect();
        assert!(new.is_empty(), "{new:?}");
    }
}

#[test]
fn no_name_leads_out_of_the_folder_or_onto_a_file_of_the_study() {
    let folder = mine();
    let folder = folder.path();
    let names = [
        "..",
        "../../../escaped",
        "/tmp/escaped",
        "findings.json",
        "a\\\\..\\\\b",
        "report.html",
    ];
    let variants = names.map(|name| format!("  {{ name = \"{name}\" }},\n"));
    let (head, rest) = MINE.split_once("variants = [").expect("variants");
    let (_, tail) = rest.split_once("\n]").expect("their end");
    let (tail, _) = tail.split_once("[[study.published]]").expect("published");
    let text = format!("{head}variants = [\n{}]{tail}", variants.concat());
    fs::create_dir_all(folder.join("within/in")).expect("made");
    fs::write(folder.join("within/in/mine.toml"), text).expect("written");
    let before = everything(folder, "within/in/out");
    let within = folder.join("within/in");
    run(
        &within,
        &[
            "experiment",
            "mine.toml",
            "--data",
            "../..",
            "--quick",
            "--out",
            "out",
        ],
    );
    assert_eq!(everything(folder, "within/in/out"), before);
    let made: BTreeSet<PathBuf> = everything(&within.join("out/mine"), "none");
    for name in [
        "--/seed-0",
        "---------escaped/seed-0",
        "findings-json/seed-0",
        "findings.json",
    ] {
        assert!(
            made.contains(Path::new(name)),
            "{name} is not among {made:?}"
        );
    }

    // An experiment's file gives its folder's name.
    for name in ["...toml", "..toml", ".toml"] {
        fs::write(folder.join(name), MINE).expect("written");
        let output = drmad(folder, &["experiment", name, "--data", "."]).output();
        let output = output.expect("the binary runs");
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("name the file with letters"));
    }
}

/// All there is below a folder but in one of its own.
fn everything(folder: &Path, but: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("inside").to_path_buf();
            if name == Path::new(but) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            }
            found.insert(name);
        }
    }
    found
}
