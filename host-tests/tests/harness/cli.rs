//! The command line as a user meets it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use drmad::Fused;
use drmad::kernels::dispatch::Level;
use drmad::path::Checkpoints;
use drmad_host::data::Dataset;
use drmad_host::experiment::Experiment;
use drmad_host::method::{Method, Name};
use drmad_host::problem::Population;
use drmad_host::recipe;
use drmad_host::report::methods::Page;
use drmad_host::tolerances::REVERSIBLE_COSINE;

fn drmad(arguments: &[&str]) -> Command {
    let mut command = crate::drmad();
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    drmad(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Fails with exit code 1 and one line on standard error, which it returns.
fn refusal(arguments: &[&str]) -> String {
    let output = output(arguments);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    errors
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}

#[test]
fn bad_usage_exits_with_2() {
    for arguments in [
        &["tune", "mnist-unit"][..],
        &["tune", "--method", "rope"],
        &["tune", "--steps", "0"],
        &["tune", "--meta-steps", "0"],
        &["tune", "--draws", "0"],
        &["tune", "--draws", "1025"],
        &["tune", "--threads", "0"],
        &["tune", "--momentum", "1.5"],
        &["tune", "--rate", "-0.1"],
        &["tune", "--spacing", "0"],
        &["tune", "--bits", "5"],
        &["hypergradient"],
        &["dance"],
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn list_names_every_experiment_and_method() {
    let listed = text(&output(&["list"]).stdout);
    for name in recipe::names() {
        assert!(listed.contains(name), "{name}");
    }
    for name in Name::value_variants() {
        let method = name.as_str();
        assert!(listed.contains(method), "{method}");
    }
}

#[test]
fn every_identity_of_check_holds() {
    let output = output(&["check"]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("all identities hold") && !printed.contains("FAILED"));
}

#[test]
fn the_frontier_has_a_row_for_each_method_and_exact_methods_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = path(folder.path());
    let printed = output(&[
        "frontier",
        "--experiment",
        "mnist-layers",
        "--steps",
        "40",
        "--meta-steps",
        "0",
        "--out",
        out,
    ]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let json = fs::read(folder.path().join("frontier.json")).expect("JSON");
    let page: Page = serde_json::from_slice(&json).expect("a page");
    assert!(folder.path().join("report.html").exists());
    for name in Name::value_variants() {
        let family = page.rows.iter().filter(|row| row.family == name.family());
        let mut named = family.filter(|row| row.method.starts_with(name.as_str()));
        assert!(named.next().is_some(), "{}", name.as_str());
    }
    let exact = ["checkpoints", "reversible", "forward"];
    for row in page.rows {
        assert!(
            row.cosine.is_some() || row.failure.is_some(),
            "{}",
            row.method
        );
        if exact.iter().any(|name| row.method.starts_with(name)) {
            let cosine = row.cosine.expect("an angle");
            assert!(cosine > 1.0 - REVERSIBLE_COSINE, "{}: {cosine}", row.method);
        }
        if row.method == "checkpoints, S = 4" {
            let again = Checkpoints::<f32>::least_recomputed(40, 4);
            assert_eq!((row.gradients, row.second_order_products), (again, 40));
        }
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_its_numbers() {
    let one = |more: &[&str]| {
        let mut all = vec![
            "hypergradient",
            "--experiment",
            "mnist-units",
            "--steps",
            "20",
        ];
        all.extend(more);
        refusal(&all)
    };
    let says = |error: String, words: &[&str]| {
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
    };
    says(
        one(&["--rate", "1e30"]),
        &["not finite at step", "lower the rate"],
    );
    says(one(&["--knots", "21"]), &["knots", "21", "20"]);
    says(one(&["--data", "/nowhere"]), &["/nowhere"]);
    says(one(&["--hyper", "/nowhere.npy"]), &["/nowhere.npy"]);
    says(
        refusal(&[
            "hypergradient",
            "--experiment",
            "mnist-units",
            "--method",
            "tape",
            "--steps",
            "4294967295",
        ]),
        &["the tape needs", "GB"],
    );
    says(
        refusal(&["hypergradient", "--experiment", "schedules", "--rate", "1"]),
        &["schedules", "--rate"],
    );
}

#[test]
fn a_hyperparameter_without_a_finite_value_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("h.npy");
    // exp(89) is beyond f32.
    for value in [89.0, f32::NAN] {
        let mut hyper = [0.0; 934];
        hyper[7] = value;
        drmad_host::data::npy::write(&file, &[934], hyper).expect("written");
        let error = refusal(&[
            "hypergradient",
            "--experiment",
            "mnist-units",
            "--steps",
            "20",
            "--hyper",
            path(&file),
        ]);
        let words = format!("hyperparameter 7 is {value}, which stands for no finite number");
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn tables_without_a_file_name_their_lengths() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("h.npy");
    drmad_host::data::npy::write(&file, &[3], [0.0f32; 3]).expect("written");
    let error = refusal(&[
        "hypergradient",
        "--experiment",
        "mnist-units",
        "--hyper",
        path(&file),
    ]);
    assert!(
        error.contains("934") && error.contains("3 were given"),
        "{error}"
    );
}

fn npy<T: npyz::Deserialize>(folder: &Path, name: &str) -> (Vec<u64>, Vec<T>) {
    let bytes = fs::read(folder.join(name)).expect(name);
    let file = npyz::NpyFile::new(&bytes[..]).expect(name);
    let shape = file.shape().to_vec();
    (shape, file.into_vec().expect(name))
}

fn dump(arguments: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = vec!["hypergradient", "--dump", path(folder.path())];
    all.extend(arguments);
    let output = output(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

#[test]
fn dump_keeps_the_format_that_others_rely_on() {
    let folder = dump(&[
        "--experiment",
        "mnist-units",
        "--steps",
        "30",
        "--seed",
        "3",
    ]);
    let folder = folder.path();
    let meta: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("meta.json")).expect("meta")).expect("JSON");
    let keys: BTreeSet<&str> = meta
        .as_object()
        .expect("fields")
        .keys()
        .map(|k| &**k)
        .collect();
    let promised = [
        "experiment",
        "method",
        "arithmetic",
        "seed",
        "layers",
        "steps",
        "batch",
        "rate",
        "momentum",
        "l2",
        "input_mean",
        "valid_loss",
        "valid_error",
        "test_error",
        "floats",
        "forward_seconds",
        "backward_seconds",
        "forward_gradients",
        "second_order_products",
    ];
    assert_eq!(keys, BTreeSet::from(promised));
    assert_eq!(meta["layers"], serde_json::json!([784, 50, 50, 50, 10]));
    assert_eq!(
        (&meta["steps"], &meta["forward_gradients"]),
        (&30.into(), &30.into())
    );
    assert_eq!(meta["arithmetic"], "fused");

    let p = 44_860;
    assert_eq!(npy::<f32>(folder, "w0.npy").0, [p]);
    assert_eq!(npy::<f32>(folder, "wT.npy").0, [p]);
    assert_eq!(npy::<f32>(folder, "hyper.npy").1, [0.2; 934]);
    let (shape, hypergradient) = npy::<f32>(folder, "hypergradient.npy");
    assert_eq!(shape, [934]);
    assert!(hypergradient.iter().all(|x| x.is_finite()));
    let (shape, group) = npy::<i64>(folder, "group.npy");
    assert_eq!(shape, [p]);
    assert_eq!(group.iter().filter(|g| **g == -1).count(), 160);
    assert_eq!(group[50], 1);
    let train = npy::<i64>(folder, "train_index.npy").1;
    let valid = npy::<i64>(folder, "valid_index.npy").1;
    let all: BTreeSet<i64> = train.iter().chain(&valid).copied().collect();
    assert_eq!(
        (train.len(), valid.len(), all.len()),
        (15_000, 5_000, 20_000)
    );
    let (shape, batches) = npy::<i64>(folder, "batches.npy");
    assert_eq!(shape, [30, 50]);
    assert!(batches.iter().all(|i| (0..15_000).contains(i)));
}

#[test]
fn schedules_dump_scales_then_rates_then_momenta() {
    let folder = dump(&[
        "--experiment",
        "schedules",
        "--steps",
        "5",
        "--method",
        "tape",
    ]);
    let (_, hyper) = npy::<f32>(folder.path(), "hyper.npy");
    let parts = [&[-3.0f32; 8][..], &[-1.0; 40], &[0.5; 40]].concat();
    assert_eq!(hyper, parts);
    let (shape, hypergradient) = npy::<f32>(folder.path(), "hypergradient.npy");
    assert_eq!(shape, [88]);
    assert!(hypergradient.iter().all(|x| x.is_finite() && *x != 0.0));
    // v_0 = 0, so the first momentum moves nothing but the share of the gradient.
    let group = npy::<i64>(folder.path(), "group.npy").1;
    assert_eq!(group.iter().max(), Some(&7));
}

#[test]
fn every_vector_level_gives_the_same_bits() {
    for arithmetic in ["plain", "fused"] {
        let mut all = vec![];
        for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
            let folder = tempfile::tempdir().expect("a folder");
            let status = drmad(&[
                "hypergradient",
                "--experiment",
                "mnist-units",
                "--steps",
                "12",
            ])
            .args(["--arithmetic", arithmetic, "--dump", path(folder.path())])
            .env("DRMAD_LEVEL", level.name())
            .stdout(Stdio::null())
            .status()
            .expect("the binary runs");
            assert!(status.success());
            let bits = ["w0.npy", "wT.npy", "hypergradient.npy"]
                .map(|name| fs::read(folder.path().join(name)).expect(name));
            all.push((level, bits));
        }
        for (level, bits) in &all {
            assert!(*bits == all[0].1, "{arithmetic} on {}", level.name());
        }
    }
}

#[test]
fn a_level_that_is_unknown_or_lacking_is_refused_with_those_there_are() {
    let refused = |level: &str| {
        let output = drmad(&["list"]).env("DRMAD_LEVEL", level).output();
        let output = output.expect("the binary runs");
        assert_eq!(output.status.code(), Some(1), "{level}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{level}");
        text(&output.stderr)
    };
    for unknown in ["mmx", "", "AVX2"] {
        assert!(refused(unknown).contains("baseline, avx2, avx512"));
    }
    for level in Level::ALL.into_iter().filter(|level| !level.is_available()) {
        let message = refused(level.name());
        assert!(message.contains(level.name()) && message.contains(Level::widest().name()));
    }
}

#[test]
fn the_help_names_every_level_and_how_to_force_it() {
    let output = drmad(&["--help"]).output().expect("the binary runs");
    let help = text(&output.stdout);
    assert!(help.contains("DRMAD_LEVEL"));
    for level in Level::ALL {
        assert!(help.contains(level.name()), "{help}");
    }
}

const SMALL: &[&str] = &["tune", "mnist-units", "--steps", "60", "--meta-steps", "4"];

#[test]
fn a_small_tune_lowers_the_loss_and_writes_its_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = drmad(SMALL)
        .args(["--out", path(folder.path())])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("test error"));
    let result = fs::read(folder.path().join("result.json")).expect("the result");
    let report: drmad_host::report::run::Report =
        serde_json::from_slice(&result).expect("a report");
    assert_eq!(report.meta_steps.len(), 4);
    assert!(report.after.valid_loss < report.before.valid_loss);
    assert_eq!(report.angles.len(), 2);
    assert!(report.angles[0].cosine > 0.9, "{}", report.angles[0].cosine);
    let page = fs::read_to_string(folder.path().join("report.html")).expect("the page");
    assert!(page.contains("<svg") && page.trim_end().ends_with("</html>"));
    assert_eq!(npy::<f32>(folder.path(), "hyper.npy").0, [934]);
}

/// Kills a run after its first state and lets it go on.
fn kill_and_resume(draws: &str, steps: &str) {
    let (whole, killed) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let settings = [
        "tune",
        "mnist-units",
        "--draws",
        draws,
        "--steps",
        steps,
        "--meta-steps",
        "12",
        "--compare",
        "never",
    ];
    let run = |folder: &Path, more: &[&str]| {
        let mut command = drmad(&settings);
        command.args(["--out", path(folder)]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(run(whole.path(), &[]).status().expect("runs").success());

    let mut child = run(killed.path(), &[]).spawn().expect("runs");
    let state = killed.path().join("state.json");
    let clock = Instant::now();
    while !state.exists() {
        assert!(
            clock.elapsed() < Duration::from_secs(60),
            "no state written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(
        !killed.path().join("hyper.npy").exists(),
        "killed too late to show anything"
    );

    let other = run(killed.path(), &["--resume", "--seed", "1"])
        .stderr(Stdio::piped())
        .output()
        .expect("runs");
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("other settings: seed is 0 there and 1 here: give"));

    assert!(
        run(killed.path(), &["--resume"])
            .status()
            .expect("runs")
            .success()
    );
    let bits = |folder: &Path| fs::read(folder.join("hyper.npy")).expect("the result");
    assert!(bits(whole.path()) == bits(killed.path()));
    assert_eq!(untimed(whole.path()), untimed(killed.path()));
}

#[test]
fn a_killed_run_resumes_with_the_same_bits() {
    kill_and_resume("1", "100");
}

#[test]
fn a_killed_run_of_several_draws_resumes_with_the_same_bits() {
    kill_and_resume("3", "40");
}

/// Runs a tiny tuning and gives its folder.
fn tuned(arguments: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let output = drmad(&["tune", "mnist-units", "--steps", "25"])
        .args(["--out", path(folder.path())])
        .args(arguments)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let all = ["1", "2", "3"].map(|threads| {
        let more = ["--draws", "3", "--meta-steps", "3", "--threads", threads];
        let folder = tuned(&[&more[..], &["--compare", "every"]].concat());
        let hyper = fs::read(folder.path().join("hyper.npy")).expect("the result");
        (hyper, untimed(folder.path()))
    });
    let angles = all[0].1["angles"].as_array().map(Vec::len);
    assert_eq!(angles, Some(3));
    assert!(all[1] == all[0] && all[2] == all[0]);
}

#[test]
fn draws_are_followed_down_the_float64_mean_of_their_hypergradients() {
    let data = Dataset::mnist().expect("MNIST");
    let experiment = Experiment {
        steps: 25,
        ..recipe::find("mnist-units").expect("there")
    };
    let population = Population::new(&experiment, &data).expect("enough images");
    let method = Method::new(Name::Hats);
    let of = |draw| {
        let problem = population.draw(0, 0, draw).expect("drawn");
        let trained = problem.train::<Fused>(&experiment.start(), Some(&method), &mut |_| ());
        trained
            .expect("trained")
            .back
            .expect("a backward pass")
            .hypergradient
    };
    let draws = [of(0), of(1), of(2)];
    for n in [1, 3] {
        let count = n.to_string();
        let more = ["--outer", "sgd", "--meta-steps", "1", "--compare", "never"];
        let folder = tuned(&[&more[..], &["--draws", &count]].concat());
        let (_, got) = npy::<f32>(folder.path(), "hyper.npy");
        for (i, got) in got.iter().enumerate() {
            let sum: f64 = draws[..n].iter().map(|d| f64::from(d[i])).sum();
            assert_eq!(*got, 0.2 - (sum / n as f64) as f32, "{i} of {n} draws");
        }
    }
}

#[test]
fn a_run_of_other_draws_is_not_resumed() {
    let folder = tuned(&["--meta-steps", "1", "--draws", "2", "--compare", "never"]);
    let resume = |draws: &str| {
        drmad(&["tune", "mnist-units", "--steps", "25", "--meta-steps", "1"])
            .args(["--compare", "never", "--resume", "--draws", draws])
            .args(["--out", path(folder.path())])
            .output()
            .expect("the binary runs")
    };
    let refused = resume("3");
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(error.contains("draws is 2 there and 3 here"), "{error}");
    assert!(resume("2").status.success());
}

/// The result without what the clock says.
fn untimed(folder: &Path) -> serde_json::Value {
    fn forget(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.remove("seconds");
                fields.values_mut().for_each(forget);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(forget),
            _ => (),
        }
    }
    let text = fs::read(folder.join("result.json")).expect("the result");
    let mut result = serde_json::from_slice(&text).expect("JSON");
    forget(&mut result);
    result
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_the_work() {
    for command in [
        &["tune", "--out", "/dev/null/x"][..],
        &[
            "hypergradient",
            "--experiment",
            "mnist-units",
            "--dump",
            "/dev/null/x",
        ],
    ] {
        assert!(refusal(command).contains("cannot write to /dev/null/x"));
        assert!(output(command).stdout.is_empty());
    }
}

#[test]
fn resuming_nothing_and_damage_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let resume = |folder: &Path| {
        let arguments = [SMALL, &["--resume", "--out", path(folder)]].concat();
        refusal(&arguments)
    };
    assert!(resume(folder.path()).contains("nothing to resume"));
    fs::write(folder.path().join("state.json"), "{\"settings\":").expect("written");
    assert!(resume(folder.path()).contains("delete it to start anew"));
}
