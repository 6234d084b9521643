//! What people write: experiment files and command lines.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use drmad_host::experiment::Experiment;
use drmad_host::recipe::Recipe;

/// The text of an experiment file. Nothing is trained and no vector is made.
pub fn experiment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(recipe) = Recipe::parse("fuzz", text) else {
        return;
    };
    if let Some(study) = &recipe.study {
        for variant in study.variants.iter().chain(&study.quick) {
            hold(recipe.with(&[variant]));
        }
    }
    // A study of another kind need be no training.
    assert!(hold(recipe.experiment()) || !recipe.trains());
}

/// Holds an experiment that was accepted to its word.
fn hold(experiment: anyhow::Result<Experiment>) -> bool {
    let Ok(experiment) = experiment else {
        return false;
    };
    experiment.check().expect("what was accepted once");
    assert!(experiment.weights() > 0 && experiment.classes() > 0);
    let blocks: usize = experiment.blocks().map(|(_, places)| places.len()).sum();
    assert_eq!(blocks, experiment.hypers());
    for (block, _) in experiment.blocks() {
        let _ = experiment.groups_of(block).len();
    }
    let _ = (
        experiment.network(),
        experiment.l2(),
        experiment.outer.reduction(),
    );
    let method = experiment.method().expect("a method that was checked");
    let _ = method.describe();
    true
}

/// The command line, an argument a line. It is understood or refused; nothing of it is done.
pub fn cli(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').take(24);
    let arguments = lines.map(|line| OsString::from(std::ffi::OsStr::from_bytes(line)));
    let _ = drmad_host::cli::check(std::iter::once("drmad".into()).chain(arguments));
}

pub(crate) fn experiment_seeds() -> Vec<Vec<u8>> {
    let names = drmad_host::recipe::names();
    let text = |name| Recipe::find(name).map(|recipe| recipe.text().as_bytes().to_vec());
    names.filter_map(|name| text(name).ok()).collect()
}

pub(crate) fn cli_seeds() -> Vec<Vec<u8>> {
    [
        "tune\nmnist-l2\n--method\nknots\n--knots\n16\n--levels\n7\n--outer\nsgd\n--outer-rate\n.1\n--resume",
        "tune\n--steps=5\n--meta-steps\n3\n--draws\n2\n--compare\nevery\n--seed\n7\n--out\nx\n--rate\n1e30",
        "hypergradient\n--experiment\nschedules\n--arithmetic\nplain\n--inputs\ndense\n--dump\nd\n--drop-negative-curvature",
        "hypergradient\n--experiment\nmnist-units\n--method\nneumann\n--series-rate\n-1\n--damping\n-2\n--iterations\n9",
        "frontier\n--full\n--experiment\nmnist-layers\n--momentum\n.5\n--threads\n2",
        "experiment\nall\n--quick\n--seeds\n2\n--data\nx",
        "scaling\n--axis\nsteps\n--method\ntape\n--method\nhats",
        "measure\n{}",
        "check\n--data\n.",
        "list",
        "--help",
        "--version",
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}
