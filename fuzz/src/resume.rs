//! The state that `tune --resume` goes on from.

use std::sync::OnceLock;

use drmad_host::data::{Dataset, Split};
use drmad_host::experiment::Rounding;
use drmad_host::recipe::Recipe;
use drmad_host::tune::{Compare, Resume, Settings, Tuning};
use tempfile::TempDir;

use crate::files::{folder, put};

/// A training that takes no time: 5 weights, 2 steps, 2 meta-iterations.
const TEXT: &str = "
    title = 'fuzz'
    layers = [4, 1]
    examples = { train = 2, valid = 2, test = 2 }
    batch = 2
    steps = 2
    rate = 0.1
    momentum = 0.5
    log-scale = -1.0
    log-l2 = -3.0
    method.name = 'line'
    tuned = [{ what = 'scale', by = 'global', start = 0.0 }]
    outer = { meta-steps = 2 }
";

struct Fixture {
    data: Dataset,
    settings: Settings,
    folder: TempDir,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let split = || Split::new((0..24).map(|i| i * 9).collect(), vec![0; 6], 2, 2);
        let recipe = Recipe::parse("fuzz", TEXT).expect("an experiment");
        Fixture {
            data: Dataset {
                train: split(),
                test: split(),
            },
            settings: Settings {
                version: "0".into(),
                experiment: recipe.experiment().expect("an experiment"),
                compare: Compare::Never,
                seed: 0,
                arithmetic: Rounding::Plain,
                data: None,
            },
            folder: folder(),
        }
    })
}

/// The bytes of `state.json`. One that is accepted is gone on from, to the end of the run and its report.
///
/// The settings within, which must be those of the run, stand for `@` in the bytes.
pub fn resume(data: &[u8]) {
    let Fixture {
        data: images,
        settings,
        folder,
    } = fixture();
    static SETTINGS: OnceLock<Vec<u8>> = OnceLock::new();
    let same = SETTINGS.get_or_init(|| serde_json::to_vec(settings).expect("settings"));
    let mut bytes = vec![];
    for (i, part) in data.split(|byte| *byte == b'@').take(4).enumerate() {
        if i > 0 {
            bytes.extend(same);
        }
        bytes.extend(part);
    }
    put(&folder.path().join("state.json"), &bytes);
    let hidden = indicatif::ProgressBar::hidden();
    let tuning = Tuning {
        data: images,
        settings: settings.clone(),
        start: None,
        out: folder.path().to_path_buf(),
        part_of: Some(&hidden),
    };
    let taken = tuning.taken();
    let tuned = tuning.run(Resume::Yes);
    assert!(taken.is_ok() || tuned.is_err());
    if let Ok(tuned) = tuned {
        assert!(tuned.hyper.iter().all(|h| h.is_finite()));
    }
}

/// The states of a run before its first meta-iteration's end, and after each.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let Fixture {
        data,
        settings,
        folder,
    } = fixture();
    let hidden = indicatif::ProgressBar::hidden();
    let seed = |meta_steps| {
        let mut settings = settings.clone();
        settings.experiment.outer.meta_steps = meta_steps;
        let out = folder.path().to_path_buf();
        let tuning = Tuning {
            data,
            settings,
            start: None,
            out,
            part_of: Some(&hidden),
        };
        tuning.run(Resume::No).expect("a run");
        let text = std::fs::read(folder.path().join("state.json")).expect("its state");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let mut text = value.to_string();
        let own = value["settings"].to_string();
        text = text.replace(&own, "@");
        text.into_bytes()
    };
    vec![seed(1), seed(2)]
}
