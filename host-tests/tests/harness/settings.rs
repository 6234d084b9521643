//! Settings: what is refused, whichever door it comes through, and that nothing is said of what was not used.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use drmad_host::cli;
use drmad_host::experiment::{Experiment, What};
use drmad_host::method::{Method, MethodOptions, Name};
use drmad_host::recipe::{self, Recipe};
use drmad_host::setting::{self, Unknown};
use drmad_host::study::{chaos, multitask, rotations, rtho};
use toml::Table;

/// A setting: its key in a file, the command and the flag that give it, values that it may not have, and what
/// is said of them.
type Door = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
    &'static str,
);

const COUNT: &str = "it must be a whole number from 1 to 4294967295";
const COUNT_OR_0: &str = "it must be a whole number from 0 to 4294967295";
const ABOVE_0: &str = "it must be a number above 0, in 32 bits";
const NOT_BELOW_0: &str = "it must be a number of at least 0, in 32 bits";
const TO_1024: &str = "it must be a whole number from 1 to 1024";

const TUNE: &[&str] = &["tune"];
const SERVER: &[&str] = &["server"];

const DOORS: &[Door] = &[
    (
        "steps",
        TUNE,
        "--steps",
        &["0", "-1", "0.5", "4294967296"],
        COUNT,
    ),
    (
        "rate",
        TUNE,
        "--rate",
        // The least that float32 tells from 0 is 1.4e-45, the most 3.4e38.
        &[
            "-0.1", "-1e-3", "-inf", "0", "0.0", "1e-46", "1e39", "nan", "inf",
        ],
        ABOVE_0,
    ),
    (
        "momentum",
        TUNE,
        "--momentum",
        // 1 - 1e-9 is 1 in float32.
        &["-0.1", "1", "1.5", "0.999999999", "nan"],
        "it must be a number of at least 0 and below 1, in 32 bits",
    ),
    (
        "outer.rates.adam",
        TUNE,
        "--outer-rate",
        &["-1", "-0.1", "nan", "1e39"],
        NOT_BELOW_0,
    ),
    (
        "outer.rates.adam",
        SERVER,
        "--outer-rate",
        &["-1", "nan"],
        NOT_BELOW_0,
    ),
    (
        "outer.meta-steps",
        TUNE,
        "--meta-steps",
        &["0", "-1", "2.5"],
        COUNT,
    ),
    (
        "outer.meta-steps",
        SERVER,
        "--meta-steps",
        &["0", "-1"],
        COUNT,
    ),
    (
        "outer.draws",
        TUNE,
        "--draws",
        &["0", "-1", "1025", "65536"],
        TO_1024,
    ),
    (
        "outer.clients.count",
        SERVER,
        "--clients",
        &["0", "-1", "1025"],
        TO_1024,
    ),
    (
        "method.knots",
        TUNE,
        "--knots",
        &["0", "-1", "65537", "1.5"],
        "it must be a whole number from 1 to 65536",
    ),
    (
        "method.levels",
        TUNE,
        "--levels",
        &["1", "5", "-3", "256"],
        "it must be one of 0, 3, 7, 11, 15, 255",
    ),
    (
        "method.spacing",
        TUNE,
        "--spacing",
        &["0", "-1", "0.09", "10.5", "nan"],
        "it must be a number of at least 0.1 and at most 10, in 32 bits",
    ),
    ("method.tail", TUNE, "--tail", &["-1", "1.5"], COUNT_OR_0),
    ("method.last", TUNE, "--last", &["0", "-1"], COUNT),
    (
        "method.validate-on",
        TUNE,
        "--validate-on",
        &["0", "-1"],
        COUNT,
    ),
    (
        "method.rate-scale",
        TUNE,
        "--rate-scale",
        &["0", "-1", "nan"],
        ABOVE_0,
    ),
    (
        "method.iterations",
        TUNE,
        "--iterations",
        &["0", "-1"],
        COUNT,
    ),
    (
        "method.damping",
        TUNE,
        "--damping",
        &["-0.1", "nan"],
        NOT_BELOW_0,
    ),
    (
        "method.series-rate",
        TUNE,
        "--series-rate",
        &["0", "-1", "nan"],
        ABOVE_0,
    ),
    ("method.snapshots", TUNE, "--snapshots", &["0", "-1"], COUNT),
    (
        "study.seeds",
        &["experiment", "chaos"],
        "--seeds",
        &["0", "-1", "65536"],
        "it must be a whole number from 1 to 65535",
    ),
];

/// Settings of files alone.
const KEYS: &[(&str, &[&str], &str)] = &[
    ("batch", &["0", "-1", "true"], COUNT),
    ("layers", &["[784, 0, 10]", "[784, -5, 10]"], COUNT),
    ("examples.train", &["0", "-1"], COUNT),
    ("examples.wrong-labels", &["-1"], COUNT_OR_0),
    (
        "log-scale",
        &["nan", "inf", "-88"],
        "it must be a number of at least -87 and at most 88, in 32 bits",
    ),
    (
        "log-l2",
        &["nan", "89"],
        "it must be a number of at least -87 and at most 88, in 32 bits",
    ),
    ("outer.rates.sign", &["-1", "\"fast\""], NOT_BELOW_0),
    ("outer.rates.sgd", &["-1e-9"], NOT_BELOW_0),
    ("outer.clients", &["{ count = 2, pool = 0 }"], COUNT),
    (
        "tuned",
        &["[{ what = \"scale\", start = nan }]"],
        "it must be a finite number, in 32 bits",
    ),
    (
        "tuned",
        &["[{ what = \"example-weight\", start = 0, total = -1 }]"],
        NOT_BELOW_0,
    ),
];

fn arguments(all: &[&str]) -> Vec<OsString> {
    std::iter::once("drmad")
        .chain(all.iter().copied())
        .map(OsString::from)
        .collect()
}

/// What the command line says of a value, given with a space.
fn said_by_flag(command: &[&str], flag: &str, value: &str) -> String {
    let all = [command, &[flag, value]].concat();
    let error = cli::check(arguments(&all)).expect_err(value);
    format!("{error:#}")
}

fn file(key: &str, value: &str) -> String {
    let like = "like = \"mnist-units\"\n";
    match key.strip_prefix("study.") {
        Some(key) => format!("{like}[study]\nsource = \"\"\nabout = \"\"\n{key} = {value}"),
        None if key.starts_with("outer.clients.") => {
            format!("{like}outer.clients.pool = 60_000\n{key} = {value}")
        }
        None => format!("{like}{key} = {value}"),
    }
}

/// What a file says of it.
fn said_by_file(key: &str, value: &str) -> String {
    format!(
        "{:#}",
        Recipe::parse("mine", &file(key, value)).expect_err(value)
    )
}

/// What is said, from the words that both doors share.
fn sentence(said: &str) -> &str {
    let from = said.find("it must be").unwrap_or_else(|| panic!("{said}"));
    said[from..].lines().next().expect("a line")
}

#[test]
fn a_setting_has_one_check_and_one_sentence_whichever_door_it_comes_through() {
    for (key, command, flag, bad, says) in DOORS {
        for value in *bad {
            let by_flag = said_by_flag(command, flag, value);
            let by_file = said_by_file(key, value);
            assert_eq!(sentence(&by_flag), *says, "{flag} {value}");
            assert_eq!(sentence(&by_file), *says, "{key} = {value}");
            assert!(
                by_flag.contains(&format!("'{value}' for '{flag}")),
                "{by_flag}"
            );
            let key = key.trim_start_matches("study.");
            assert!(by_file.contains(&format!("{key} is ")), "{by_file}");
        }
    }
    for (key, bad, says) in KEYS {
        for value in *bad {
            assert_eq!(
                sentence(&said_by_file(key, value)),
                *says,
                "{key} = {value}"
            );
        }
    }
}

#[test]
fn what_a_setting_may_be_passes_both_doors() {
    for (key, flag, good) in [
        ("rate", "--rate", "1.5e-45"),
        ("momentum", "--momentum", "0"),
        ("outer.rates.adam", "--outer-rate", "0"),
        ("outer.draws", "--draws", "1024"),
        ("method.levels", "--levels", "255"),
        ("method.spacing", "--spacing", "0.1"),
    ] {
        cli::check(arguments(&["tune", flag, good])).expect(flag);
        Recipe::parse("mine", &file(key, good)).expect(key);
    }
}

#[test]
fn no_option_takes_a_number_that_nothing_checks() {
    // What has words, or a grammar of its own.
    const WORDS: &[&str] = &[
        "data", "out", "dump", "hyper", "task", "name", "help", "version",
    ];
    let mut numbers = 0;
    let parser = cli::parser();
    for command in parser.get_subcommands() {
        for option in command
            .get_arguments()
            .filter(|option| option.get_action().takes_values())
        {
            let Some(flag) = option.get_long().filter(|flag| !WORDS.contains(flag)) else {
                continue;
            };
            let value = format!("--{flag}=-1e99");
            let error = cli::check(arguments(&[command.get_name(), &value])).expect_err(flag);
            let said = error.to_string();
            let words = [
                "[possible values",
                "no experiment is called",
                "CLIENT",
                "seconds",
                "cpu",
            ];
            let checked = said.contains("it must be");
            assert!(
                checked || words.iter().any(|words| said.contains(words)),
                "{} --{flag} -1e99: {said}",
                command.get_name()
            );
            numbers += usize::from(checked);
        }
    }
    assert!(numbers > 60, "{numbers} options take numbers");
}

#[test]
fn every_number_of_every_file_and_of_every_study_has_bounds() {
    let held = |table: Table, keys, what: &str| {
        setting::check(&table, keys, Unknown::Refused).expect(what);
    };
    for name in recipe::names() {
        let recipe = Recipe::find(name).expect(name);
        if recipe.trains() {
            let experiment = recipe.experiment().expect(name);
            held(
                Table::try_from(&experiment).expect(name),
                setting::EXPERIMENT,
                name,
            );
        }
    }
    let options = MethodOptions {
        name: Some(Name::Hats),
        knots: Some(8),
        levels: Some(11),
        spacing: Some(1.5),
        tail: Some(3),
        last: Some(9),
        drop_negative_curvature: true,
        fresh_batches: true,
        validate_on: Some(5),
        rate_scale: Some(2.0),
        iterations: Some(3),
        damping: Some(0.1),
        series_rate: Some(0.1),
        snapshots: Some(3),
    };
    let method = Table::from_iter([(
        "method".to_string(),
        Table::try_from(options).unwrap().into(),
    )]);
    held(method, setting::EXPERIMENT, "method");
    for (what, table) in [
        ("rtho", Table::try_from(rtho::schemes::Settings::default())),
        ("multitask", Table::try_from(multitask::Settings::default())),
        ("rotations", Table::try_from(rotations::Settings::default())),
        ("chaos", Table::try_from(chaos::Settings::default())),
    ] {
        held(table.expect(what), setting::STUDY, what);
    }
    let unknown = Table::from_iter([("haste".to_string(), 3.into())]);
    let error = setting::check(&unknown, setting::STUDY, Unknown::Refused).expect_err("a number");
    assert!(error.to_string().contains("haste"));
}

#[test]
fn settings_of_a_study_are_held_to_their_bounds_in_both_forms() {
    for (kind, key, says) in [
        (
            "rtho",
            "rate = -0.1",
            "rate is -0.1: it must be a number above 0",
        ),
        (
            "rtho",
            "momentum = 1",
            "momentum is 1: it must be a number above 0 and below 1",
        ),
        (
            "rtho",
            "full-runs = [0, 5]",
            "full-runs is 0: it must be a whole number from 1",
        ),
        (
            "multitask",
            "tuning.meta-steps = 0",
            "tuning.meta-steps is 0",
        ),
        (
            "rotations",
            "tuning.coupling-rate = -1",
            "tuning.coupling-rate is -1",
        ),
        (
            "precision",
            "trainings = [{ steps = 0, log-rate = -4, momentum = 0.9 }]",
            "trainings.steps is 0",
        ),
    ] {
        for quick in [false, true] {
            let table = if quick { "quick" } else { "settings" };
            let text = format!(
                "[study]\nkind = \"{kind}\"\nsource = \"\"\nabout = \"\"\n[study.{table}]\n{key}"
            );
            let recipe = Recipe::parse("mine", &text).expect("read");
            let study = recipe.study.clone().expect("a study");
            let error = format!("{:#}", study.check(&recipe).expect_err(key));
            assert!(error.contains(says), "{error}");
        }
    }
}

fn like_units(keys: &str) -> anyhow::Result<Experiment> {
    let text = format!("like = \"mnist-units\"\n{keys}");
    Recipe::parse("mine", &text)?.experiment()
}

#[test]
fn a_file_does_not_take_the_title_of_the_one_it_is_like() {
    let title = |keys: &str| like_units(keys).expect("in order").title;
    assert_eq!(title("layers = [4, 2]"), "mine, like mnist-units");
    assert_eq!(title("title = \"Wine\""), "Wine");
}

/// What follows `tuned, from`.
fn start(experiment: &Experiment, what: What) -> f64 {
    let said = experiment.said(what);
    let said = said
        .strip_prefix("tuned, from ")
        .unwrap_or_else(|| panic!("{said}"));
    said.parse().expect("a number")
}

#[test]
fn what_is_tuned_has_no_value_beside_it() {
    for (key, block) in [
        ("rate", "rate"),
        ("momentum", "momentum"),
        ("log-scale", "initial-scale"),
        ("log-l2", "penalty"),
    ] {
        let keys = format!("{key} = 0.5\ntuned = [{{ what = \"{block}\", start = -1 }}]");
        let error = format!("{:#}", like_units(&keys).expect_err(key));
        assert!(
            error.contains(&format!("{key} is given and tuned")),
            "{error}"
        );
    }
    // What comes from below is left out, and what is said is where the block starts.
    let e = like_units(
        "tuned = [{ what = \"rate\", start = -1 }, { what = \"momentum\", start = 0.5 }, \
         { what = \"penalty\", start = -3 }]",
    )
    .expect("in order");
    assert!((start(&e, What::Rate) - (-1.0f64).exp()).abs() < 1e-7);
    assert!((start(&e, What::Momentum) - 1.0 / (1.0 + (-0.5f64).exp())).abs() < 1e-7);
    assert_eq!(e.said(What::Penalty), "none");
    assert_eq!(e.l2(), None);
    // A start that stands for no rate is refused as one.
    let error = like_units("tuned = [{ what = \"rate\", start = -200 }]").expect_err("a rate of 0");
    assert!(format!("{error:#}").contains("rate is 0: it must be a number above 0"));
    // Nor does a variant give what its file tunes.
    let text = "like = \"mnist-units\"\ntuned = [{ what = \"rate\", start = -1 }]";
    let recipe = Recipe::parse("mine", text).expect("in order");
    let over: Table = "rate = 0.1".parse().expect("TOML");
    assert!(recipe.with(&[&over]).is_err());
    // But one may tune what its file gives.
    let recipe = Recipe::parse("mine", "like = \"mnist-units\"\nrate = 0.1").expect("in order");
    let over: Table = "tuned = [{ what = \"rate\", start = -1 }]"
        .parse()
        .expect("TOML");
    assert!(recipe.with(&[&over]).is_ok());
}

#[test]
fn an_option_of_another_method_is_refused_with_the_methods_that_take_it() {
    for (method, option, value, those) in [
        ("tape", "knots", "4", "knots, hermite, legendre, hats"),
        ("legendre", "levels", "7", "knots, hermite, hats"),
        ("knots", "spacing", "1.5", "hats"),
        (
            "reversible",
            "tail",
            "3",
            "tape, checkpoints, line, knots, hermite, legendre, hats, reversed",
        ),
        ("forward", "validate-on", "3", "tape"),
        ("hats", "snapshots", "3", "checkpoints"),
        ("hats", "rate-scale", "2", "line-published"),
        ("tape", "iterations", "9", "implicit, neumann"),
        ("tape", "damping", "0.1", "implicit, neumann"),
        ("implicit", "series-rate", "0.1", "neumann"),
        ("direct", "last", "3", "tape"),
        ("direct", "drop-negative-curvature", "true", "tape"),
    ] {
        let keys = format!("method = {{ name = \"{method}\", {option} = {value} }}");
        let by_file = format!("{:#}", like_units(&keys).expect_err(&keys));
        let flag = format!("--{option}");
        let mut all = vec!["tune", "--method", method, &flag];
        all.extend((value != "true").then_some(value));
        let by_flag = format!("{:#}", cli::check(arguments(&all)).expect_err(&keys));
        let says =
            format!("{method} takes no {option}: leave it out; those that take it are {those}");
        assert!(by_file.contains(&says), "{by_file}");
        assert!(by_flag.contains(&says), "{by_flag}");
    }
    // What every method is called takes its own defaults.
    for name in Name::value_variants() {
        let options = MethodOptions {
            name: Some(*name),
            ..MethodOptions::default()
        };
        assert_eq!(
            options.method(1000).expect("no options"),
            Method::new(*name)
        );
    }
}

#[test]
fn a_default_fits_the_training_and_what_is_asked_for_does_not_change() {
    for (name, tail, steps, knots) in [
        (Name::Hats, None, 5, 5),
        (Name::Hats, Some(3), 5, 2),
        (Name::Hats, None, 1, 1),
        (Name::Hats, None, 8, 8),
        (Name::Hats, None, 9, 8),
        (Name::Legendre, None, 15, 15),
        // These thin as they go.
        (Name::Knots, None, 5, 32),
    ] {
        let options = MethodOptions {
            name: Some(name),
            tail,
            ..MethodOptions::default()
        };
        assert_eq!(
            options.method(steps).expect("a method").knots,
            knots,
            "{name:?} {steps}"
        );
    }
    let options = MethodOptions {
        knots: Some(21),
        ..MethodOptions::default()
    };
    assert_eq!(options.method(20).expect("a method").knots, 21);
}

#[test]
fn exact_is_what_a_method_does() {
    for name in [Name::Tape, Name::Checkpoints, Name::Reversible] {
        let whole = Method::new(name);
        assert!(whole.is_exact() && whole.family() == "exact");
        for less in [
            Method {
                last: Some(5),
                ..whole
            },
            Method {
                drop_negative_curvature: true,
                ..whole
            },
            Method {
                fresh_batches: true,
                ..whole
            },
            Method {
                validate_on: Some(5),
                ..whole
            },
            Method {
                tail: Some(5),
                ..whole
            },
        ] {
            assert!(
                !less.is_exact() && less.family() == "shortcut",
                "{}",
                less.describe()
            );
        }
    }
    assert_eq!(Method::new(Name::Forward).family(), "forward");
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = crate::drmad()
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const SMALL: &str = "\
title = \"Small\"
layers = [784, 6, 10]
batch = 10
steps = 20
rate = 0.1
momentum = 0.9
log-scale = -2
examples = { train = 60, valid = 50, test = 50 }
tuned = [{ what = \"penalty\", start = -5 }]
outer.meta-steps = 2
method.tail = 7
";

#[test]
fn costs_count_the_gradients_of_a_tail_and_one_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("small.toml"), SMALL).expect("written");
    let (code, said, errors) = run(folder, &["tune", "small.toml", "--out", "out"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.contains("small: 1 hyperparameter by hats"), "{said}");
    assert!(said.contains("2 meta-iterations of 20 steps"), "{said}");
    let result = fs::read(folder.join("out/result.json")).expect("a result");
    let result: serde_json::Value = serde_json::from_slice(&result).expect("JSON");
    // Each step of the tail is undone with its gradient; what hats recall needs none.
    let gradients: Vec<u64> = result["costs"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|cost| cost["gradients"].as_u64().expect("a count"))
        .collect();
    assert_eq!(gradients, [20, 7, 0]);
    let (code, said, errors) = run(folder, &["tune", "small.toml", "--out", "out", "--resume"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.contains("resumed after 2 meta-iterations"), "{said}");
    // A default fits five steps.
    let few = [
        "hypergradient",
        "--experiment",
        "small.toml",
        "--steps",
        "5",
        "--tail",
        "2",
    ];
    let (code, _, errors) = run(folder, &few);
    assert_eq!(code, Some(0), "{errors}");
}

#[test]
fn a_study_without_a_quick_form_says_so_and_what_to_add() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let study = format!("{SMALL}\n[study]\nsource = \"\"\nabout = \"\"\nseeds = 1\n");
    fs::write(folder.join("mine.toml"), &study).expect("written");
    let (code, said, errors) = run(folder, &["experiment", "mine.toml", "--quick"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(errors.contains("mine has no quick form"), "{errors}");
    assert!(
        errors.contains("quick = { seeds = 1, steps = 50 }"),
        "{errors}"
    );
    assert!(!folder.join("out/all/mine/findings.json").exists());
    fs::write(
        folder.join("mine.toml"),
        study + "quick = { steps = 8, method.tail = 2 }\n",
    )
    .expect("written");
    let (code, said, errors) = run(folder, &["experiment", "mine.toml", "--quick"]);
    assert_eq!(code, Some(0), "{errors}");
    let findings = fs::read_to_string(folder.join("out/all/mine/findings.json")).expect("findings");
    assert!(
        said.contains("mine: Small") && findings.contains("\"quick\":true"),
        "{said}"
    );
    for name in recipe::names() {
        if let Some(study) = Recipe::find(name).expect(name).study {
            assert!(study.quick.is_some(), "{name} has no quick form");
        }
    }
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    files
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

#[test]
fn nothing_is_said_in_the_form_that_is_for_programmers() {
    // A type, a shape and the name of a field as NumPy writes them; a number's shortest digits; keys that no
    // person reads.
    const KNOWN: &[(&str, &str)] = &[
        ("error.rs", "found shape {found:?}"),
        ("npy.rs", "type {name:?}"),
        ("npy.rs", "found type {other:?}"),
        ("npy.rs", "found shape {shape:?}"),
        ("numbers.rs", "{kind}[{field:?}]"),
        ("setting.rs", "{x:?}"),
        ("chaos.rs", "{} {} {:?} {}"),
        ("average.rs", "{} {} {:?}"),
    ];
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(all.len() > 50, "{} sources", all.len());
    for path in all {
        let text = fs::read_to_string(&path).expect("UTF-8");
        let text = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines.filter(|line| line.contains(":?}")) {
            let known = KNOWN
                .iter()
                .any(|(file, form)| path.ends_with(file) && line.contains(form));
            assert!(known, "{}: {line}", path.display());
        }
    }
}
