//! What the documents and the examples say, held to the sources: lengths are computed and not typed, arrows
//! point as the crate's first page has them, and what is proved of panics is said with its exception.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use drmad_host::recipe::Recipe;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files with this ending below a folder, but for what is built.
fn below(folder: &str, end: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (vec![], vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

// ------------------------------------------------------------------------- lengths of buffers

/// Buffers that may be longer than what works in them needs, so that nothing else holds their length.
const ROOMY: &[&str] = &[
    "buffer", "storage", "scratch", "memory", "packed", "code", "rows", "space", "flash",
];

/// A text up to the first `end` that stands in no bracket, or to a bracket that closes one which is open.
fn until(text: &str, end: char) -> &str {
    let mut depth = 0;
    let place = text.find(|c| {
        let here = depth == 0 && c == end;
        depth += match c {
            '(' | '[' | '{' => 1,
            ')' | ']' | '}' => -1,
            _ => 0,
        };
        here || depth < 0
    });
    &text[..place.unwrap_or(text.len())]
}

/// The parts of a text between commas that stand in no bracket.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (vec![], text);
    loop {
        let part = until(rest, ',');
        parts.push(part.trim());
        match rest[part.len()..].strip_prefix(',') {
            Some(more) => rest = more,
            None => return parts,
        }
    }
}

/// What a tuple or an array has inside, or else the text.
fn opened(text: &str, bracket: char) -> &str {
    let within = text.trim().strip_prefix(bracket);
    within.map_or(text.trim(), |text| until(text, '\0'))
}

/// Whether a length is numbers alone.
fn typed(length: &str) -> bool {
    length.contains(|c: char| c.is_ascii_digit()) && !length.contains(char::is_alphabetic)
}

/// The code of a text in two lines: that in comments that document, and the rest.
fn code(text: &str) -> [String; 2] {
    let documents = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("//!").or(line.strip_prefix("///"));
        line.map(str::to_string)
    };
    let comments: Vec<_> = text.lines().filter_map(documents).collect();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let rest: Vec<_> = text.lines().filter(is_code).collect();
    [comments.join(" "), rest.join(" ")]
}

/// The lengths that somebody typed: of roomy buffers, and of the scratch that a length is computed for.
fn typed_lengths(text: &str) -> Vec<String> {
    let mut found = vec![];
    for text in code(text) {
        for binding in text.split("let ").skip(1) {
            let Some((names, values)) = binding.split_once(" = ") else {
                continue;
            };
            let (names, values) = (opened(names, '('), opened(until(values, ';'), '('));
            for (name, value) in parts(names).into_iter().zip(parts(values)) {
                let name = name.trim_start_matches("mut ");
                let name = name.split(':').next().unwrap_or_default();
                // Of several buffers it is that of each.
                let value = value.trim_start_matches("vec!").replace("[[", "[");
                let length = opened(&value, '[').rsplit_once("; ");
                if let Some((_, length)) = length
                    && value.starts_with('[')
                    && ROOMY.contains(&name)
                    && typed(length)
                {
                    found.push(format!("{name}: {length}"));
                }
            }
        }
        for (whose, place) in [
            ("Workspace::<f32>::required_len(", 1),
            ("Workspace::<f64>::required_len(", 1),
            ("Forward::<f32>::required_len(", 4),
            ("Forward::<f64>::required_len(", 4),
        ] {
            for (i, _) in text.match_indices(whose) {
                let (before, call) = text.split_at(i);
                let scratch = parts(&call[whose.len()..])[place];
                let product = scratch.contains(" * ") && !scratch.contains('(');
                // What an example says of the length itself is another matter.
                let said = before.ends_with("assert_eq!(");
                if !said && (product || (typed(scratch) && scratch != "0")) {
                    found.push(format!("scratch of {whose}..): {scratch}"));
                }
            }
        }
    }
    found
}

#[test]
fn no_example_types_the_length_of_a_buffer_that_may_be_too_long() {
    let mut texts = vec![root().join("README.md")];
    texts.extend(below("docs", "md"));
    texts.extend(below("src", "rs"));
    texts.extend(below("examples", "rs"));
    let (mut computed, mut found) = (0, vec![]);
    for path in texts {
        let text = read(&path);
        // A document's code is as a source's.
        let text = if path.extension().is_some_and(|e| e == "md") {
            let blocks = text.split("```rust\n").skip(1);
            let blocks = blocks.filter_map(|block| block.split("```").next());
            blocks.collect::<Vec<_>>().join("\n")
        } else {
            text.split("#[cfg(test)]\nmod").next().unwrap().to_string()
        };
        computed += text.matches("_len(").count();
        let typed = typed_lengths(&text);
        found.extend(typed.into_iter().map(|typed| (path.clone(), typed)));
    }
    assert!(computed > 100, "the scan read {computed} lengths");
    assert!(found.is_empty(), "typed, not computed: {found:#?}");
}

#[test]
fn the_scan_of_lengths_finds_what_it_must() {
    for (text, found) in [
        ("let mut buffer = [0.0; 52];", 1),
        ("//! let mut buffer = [0.0; 12 + 40];", 1),
        (
            "let (mut buffer, mut storage, mut batch) = ([0.0; 52], [0.0; 40], [0]);",
            2,
        ),
        (
            "/// let (mut g, mut scratch) = ([0.0; 2], vec![0.0; 4]);",
            1,
        ),
        ("let mut scratch: [f32; 9] = [0.0; 9];", 1),
        ("let mut d_h = [0.0; 2]; let storage = [0.0; N];", 0),
        (
            "let mut buffer = [0.0; Workspace::<f32>::required_len(P, 8 * P, RULE, true)];",
            1,
        ),
        (
            "/// let mut buffer = [0.0; Forward::<f32>::required_len(1, 1, RULE, 2, 16)];",
            1,
        ),
        (
            "const N: usize = Workspace::<f32>::required_len(2, 16, RULE, true);",
            1,
        ),
        (
            "const N: usize = Workspace::<f32>::required_len(2, dual_required_len(2, 2, 0), RULE, true);",
            0,
        ),
        (
            "let mut buffer = [0.0; Workspace::<f32>::required_len(1, 0, Optimizer::HeavyBall, false)];",
            0,
        ),
        ("static MEMORY: [u32; LEN] = [0; LEN]; let x = 3;", 0),
    ] {
        assert_eq!(
            typed_lengths(text).len(),
            found,
            "{text}: {:?}",
            typed_lengths(text)
        );
    }
}

// ------------------------------------------------------------------------------------ arrows

/// The rows of modules on the crate's first page, and those modules that are private and in none of them.
fn map() -> (Vec<Vec<String>>, Vec<String>) {
    let page = read("src/lib.rs");
    let of = |line: &str| -> Vec<String> {
        let words = line.split('`').skip(1).step_by(2);
        words.map(str::to_string).collect()
    };
    let rows: Vec<Vec<String>> = page
        .lines()
        .skip_while(|line| *line != "//! | module | what is in it |")
        .skip(2)
        .map_while(|line| line.strip_prefix("//! | "))
        .map(|row| of(row.split(" | ").next().unwrap_or_default()))
        .collect();
    let modules = page.lines().filter_map(|line| line.strip_prefix("mod "));
    let private = modules.map(|name| name.trim_end_matches(';').to_string());
    let private = private.filter(|name| !rows.iter().flatten().any(|row| row == name));
    let private = private.collect();
    (rows, private)
}

/// The modules of the crate that a source names, without its tests.
fn uses(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let [_, text] = code(text);
    let names = text.split("crate::").skip(1).flat_map(|rest| {
        let each = match rest.starts_with('{') {
            true => parts(opened(rest, '{')),
            false => vec![rest],
        };
        let name = |each: &str| {
            let end = each.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            each[..end.unwrap_or(each.len())].to_string()
        };
        each.into_iter().map(name).collect::<Vec<_>>()
    });
    // What begins with a capital is an item of the root's.
    names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

#[test]
fn a_module_uses_only_those_above_and_beside_it_on_the_crates_first_page() {
    let (rows, private) = map();
    let place = |module: &str| rows.iter().position(|row| row.iter().any(|m| m == module));
    let page = read("src/lib.rs");
    for module in page
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
    {
        let module = module.trim_end_matches(';');
        assert!(place(module).is_some(), "the map lacks {module}");
    }
    let mut arrows: HashMap<(String, String), PathBuf> = HashMap::new();
    for path in below("src", "rs") {
        let within = path.strip_prefix(root().join("src")).unwrap();
        let module = within.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs").to_string();
        if module != "lib" {
            for used in uses(&read(&path)) {
                arrows.insert((module.clone(), used), path.clone());
            }
        }
    }
    assert!(arrows.len() > 60, "{} arrows", arrows.len());
    for ((from, to), path) in arrows {
        // What is private is small, and stands beside no module: it uses none.
        assert!(!private.contains(&from), "{from} uses {to}: {path:?}");
        let below = !private.contains(&to) && place(&to) > place(&from);
        let known = private.contains(&to) || place(&to).is_some();
        assert!(known && !below, "{from} uses {to}, below it: {path:?}");
    }
}

// ------------------------------------------------------------------------------------ claims

#[test]
fn wherever_no_public_operation_panics_the_module_that_is_not_proved_is_named() {
    let mut texts = vec!["README.md", "CHANGELOG.md", "benches/no-panic/run"]
        .into_iter()
        .map(|path| root().join(path))
        .collect::<Vec<_>>();
    texts.extend(below("docs", "md"));
    texts.extend(below("src", "rs"));
    texts.extend(below("benches/no-panic/src", "rs"));
    let mut said = 0;
    for path in texts {
        let text = read(&path);
        let lines = text.lines().map(|line| {
            line.trim_start()
                .trim_start_matches(['/', '!', '#', '*', ' '])
        });
        // Sentences, or near enough.
        let text = lines.collect::<Vec<_>>().join(" ");
        for (i, _) in text.match_indices("ublic operation") {
            let from = text[..i].rfind(". ").map_or(0, |i| i + 2);
            let rest = text[i..].match_indices(". ").nth(1);
            let near = &text[from..rest.map_or(text.len(), |(end, _)| i + end)];
            if near.contains("panic") && near.to_lowercase().contains("no p") {
                assert!(near.contains("cuda"), "{path:?}: {near}");
                said += 1;
            }
        }
    }
    assert!(said >= 4, "{said} places");
}

#[test]
fn the_readmes_experiment_is_one_that_the_harness_runs() {
    let readme = read("README.md");
    let file = readme.split("```toml\n").nth(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, file.split("```").next().unwrap()).unwrap();
    let recipe = Recipe::find(path.to_str().unwrap()).unwrap();
    recipe.study.as_ref().unwrap().check(&recipe).unwrap();
    // One for each weight, the biases with them.
    let hypers = recipe.experiment().unwrap().hypers();
    assert_eq!(hypers, (784 + 1) * 100 + (100 + 1) * 10);
}
