//! The committed header is the one that the sources make, and the sources keep their promises.

use std::path::{Path, PathBuf};

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> PathBuf {
    here().join("../include/drmad.h")
}

/// `In<T>` and `Out<T>` as the pointers that they are: cbindgen would make a type of each.
fn with_pointers(text: &str) -> String {
    let mut text = text.to_string();
    for (name, pointer) in [("In<", "*const "), ("Out<", "*mut ")] {
        while let Some(start) = text.find(&format!(": {name}")) {
            let end = start + text[start..].find('>').unwrap();
            let inner = text[start + 2 + name.len()..end].to_string();
            text.replace_range(start..=end, &format!(": {pointer}{inner}"));
        }
    }
    text
}

fn made() -> String {
    let config = cbindgen::Config::from_file(here().join("cbindgen.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for (path, text) in sources().iter().filter(|(path, _)| !is_border(path)) {
        let copy = folder.path().join(path.file_name().unwrap());
        std::fs::write(&copy, with_pointers(text)).unwrap();
        builder = builder.with_src(copy);
    }
    let bindings = builder.generate().unwrap();
    let mut text = vec![];
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_committed_header_is_what_the_sources_make() {
    let committed = std::fs::read_to_string(header()).unwrap_or_default();
    assert!(
        committed == made(),
        "include/drmad.h is stale: cargo test -p drmad-capi --test header write -- --ignored"
    );
}

#[test]
#[ignore = "writes the header: run on purpose"]
fn write_the_header() {
    std::fs::create_dir_all(header().parent().unwrap()).unwrap();
    std::fs::write(header(), made()).unwrap();
}

fn sources() -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(here().join("src")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // The header is in this order, whatever that of the folder is.
    paths.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

fn is_border(path: &Path) -> bool {
    path.ends_with("raw.rs")
}

#[test]
fn the_word_unsafe_stands_in_raw_alone_but_for_symbols() {
    for (path, text) in sources().iter().filter(|(path, _)| !is_border(path)) {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code.filter(|line| line.contains("unsafe")) {
            assert_eq!(line.trim(), "#[unsafe(no_mangle)]", "{}", path.display());
        }
    }
}

#[test]
fn every_exported_function_is_in_the_header_and_guarded() {
    let header = made();
    let mut seen = 0;
    for (path, text) in sources() {
        for function in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = function
                .split("fn ")
                .nth(1)
                .unwrap()
                .split('(')
                .next()
                .unwrap();
            assert!(
                header.contains(&format!("{name}(")),
                "{name} is not in the header"
            );
            let body = function.split("\n}").next().unwrap();
            let constant = ["drmad_version", "drmad_abi", "drmad_error_text"].contains(&name);
            assert!(
                constant || body.contains("guard(|| {") || body.contains("guard(|| plain_step"),
                "{name} in {} lets panics out",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} functions");
}
