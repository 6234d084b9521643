//! Every input of every corpus, and every seed, once: what the fuzzers know of must hold in each build.

use std::fs;
use std::path::Path;

use drmad_fuzz::TARGETS;

#[test]
fn every_input_returns() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in &TARGETS {
        let name = target.name;
        let folder = fs::read_dir(corpora.join(name)).expect("a corpus");
        let inputs = folder.map(|file| fs::read(file.expect("a file").path()).expect("its bytes"));
        let inputs: Vec<Vec<u8>> = inputs.collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        inputs.iter().for_each(|input| (target.run)(input));
        println!("{name}: {} inputs", inputs.len());
    }
    // None is left out.
    assert_eq!(
        fs::read_dir(corpora).expect("corpora").count(),
        TARGETS.len()
    );
    for target in &TARGETS {
        (target.seeds)().iter().for_each(|seed| (target.run)(seed));
    }
}
