//! Every input of every corpus, and every seed, once: what the fuzzers know of must hold in each build.

use std::fs;
use std::path::Path;

use drmad_fuzz::{self as fuzz, seeds};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 11] = [
    ("idx", fuzz::idx),
    ("gz", fuzz::gz),
    ("npy", fuzz::npy),
    ("numbers", fuzz::numbers),
    ("experiment", fuzz::experiment),
    ("cli", fuzz::cli),
    ("resume", fuzz::resume),
    ("state", fuzz::state),
    ("kernels", fuzz::kernels),
    ("runs", fuzz::runs),
    ("planner", fuzz::planner),
];

#[test]
fn every_input_returns() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let folder = fs::read_dir(corpora.join(name)).expect("a corpus");
        let inputs = folder.map(|file| fs::read(file.expect("a file").path()).expect("its bytes"));
        let inputs: Vec<Vec<u8>> = inputs.collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        inputs.iter().for_each(|input| target(input));
        println!("{name}: {} inputs", inputs.len());
    }
    // None is left out.
    assert_eq!(
        fs::read_dir(corpora).expect("corpora").count(),
        TARGETS.len()
    );
    for ((name, target), (of, seeds)) in TARGETS.iter().zip(seeds()) {
        assert_eq!(*name, of);
        seeds.iter().for_each(|seed| target(seed));
    }
}
