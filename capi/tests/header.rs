//! The committed header is the one that the sources make, and the sources keep their promises.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use drmad_c::types::{ABI, LEVELS_FULL, TAIL_NONE};

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
    for (path, text) in sources().iter().filter(|(path, _)| !is_border(path)) {
        let copy = folder.path().join(path.file_name().unwrap());
        std::fs::write(&copy, with_pointers(text)).unwrap();
    }
    // The root alone: the modules that it names are read with it, and given too they would be read twice.
    let builder = cbindgen::Builder::new().with_config(config);
    let root = folder.path().join("lib.rs");
    let bindings = builder.with_src(root).generate().unwrap();
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

/// The words of a text: names and numbers.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

#[test]
fn every_name_that_a_macro_stands_for_is_one_that_c_has() {
    // Of stdint.h, which the header includes.
    const INCLUDED: &[&str] = &["SIZE_MAX"];
    let header = made();
    let is_macro = |line: &&str| line.starts_with("#define");
    let declared: HashSet<&str> = header
        .lines()
        .filter(|line| !is_macro(line) && !line.trim_start().starts_with("//"))
        .flat_map(words)
        .chain(INCLUDED.iter().copied())
        .collect();
    let mut macros = HashMap::new();
    for line in header.lines().filter(is_macro) {
        let mut parts = line.splitn(3, ' ').skip(1);
        let (name, value) = (parts.next().unwrap(), parts.next().unwrap_or_default());
        for word in words(value) {
            let known = word.starts_with(|c: char| c.is_ascii_digit()) || declared.contains(word);
            assert!(known, "{name} stands for {word}, which nothing declares");
        }
        macros.insert(name, value);
    }
    assert_eq!(macros["DRMAD_ABI"], ABI.to_string());
    assert_eq!(macros["DRMAD_LEVELS_FULL"], LEVELS_FULL.to_string());
    // The one that is written by hand, in cbindgen.toml.
    assert_eq!(
        (macros["DRMAD_TAIL_NONE"], TAIL_NONE),
        ("SIZE_MAX", usize::MAX)
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
            let declared = header.matches(&format!(" {name}(")).count()
                + header.matches(&format!("*{name}(")).count();
            assert_eq!(declared, 1, "declarations of {name} in the header");
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
    assert!(seen >= 60, "{seen} functions");
}
