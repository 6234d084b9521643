//! `docs/errors.md` has every message that the program can print, and none that it cannot.
//!
//! Messages are the first string in each of a few forms, read from the sources by a scan that knows
//! strings, comments and parentheses: `bail!`, `anyhow!`, `ensure!` (after its condition), `context`,
//! `with_context`, `Err(format!`, `#[error(`, what is `Unsupported`, and the `write!`s of `drmad::Error`.

use std::fs;
use std::path::{Path, PathBuf};

/// What a message begins after, and the commas that come before it.
const FORMS: &[(&str, usize)] = &[
    ("bail!(", 0),
    ("anyhow!(", 0),
    ("ensure!(", 1),
    (".context(", 0),
    (".with_context(", 0),
    ("Err(format!(", 0),
    ("#[error(", 0),
    ("warn!(", 0),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files below a folder, without their test modules and whole lines of comments.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let text = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            found.push((path, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    found.sort();
    found
}

/// The string that begins at a quote, and what follows it.
fn string(text: &str) -> (String, &str) {
    let mut said = String::new();
    let mut rest = text[1..].chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => match rest.next() {
                Some('\n') => rest = rest.as_str().trim_start().chars(),
                Some('n') => said.push('\n'),
                Some('u') => {
                    let (digits, after) = rest.as_str()[1..].split_once('}').expect("a character");
                    let code = u32::from_str_radix(digits, 16).expect("hexadecimal");
                    said.push(char::from_u32(code).expect("a character"));
                    rest = after.chars();
                }
                Some(c) => said.push(c),
                None => break,
            },
            c => said.push(c),
        }
    }
    (said, rest.as_str())
}

/// The first string within parentheses that are open already, after so many commas.
fn first(mut text: &str, mut commas: usize) -> Option<String> {
    let mut depth = 1;
    loop {
        let c = text.chars().next()?;
        match c {
            '"' => {
                let (said, rest) = string(text);
                if commas == 0 {
                    return Some(said);
                }
                text = rest;
                continue;
            }
            // A character, which may be a quote, and not a lifetime.
            '\'' if text[1..].chars().nth(1) == Some('\'') => {
                text = &text[2 + text[1..].chars().next()?.len_utf8()..];
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 1 => commas = commas.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return None;
        }
        text = &text[c.len_utf8()..];
    }
}

/// The messages of a source.
fn messages(text: &str, forms: &[(&str, usize)]) -> Vec<String> {
    let mut found = vec![];
    for (form, commas) in forms {
        let places = text.match_indices(form);
        found.extend(places.filter_map(|(i, form)| first(&text[i + form.len()..], *commas)));
    }
    found
}

/// The parts of a message between what is filled in.
fn fragments(message: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in message.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                parts.push(String::new());
            }
            // Quotes of code cannot stand in quotes of code.
            '`' => {}
            c if depth == 0 => parts.last_mut().expect("a part").push(c),
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether the text is these parts in this order, with something else between them alone.
fn is_of(text: &str, message: &str) -> bool {
    let parts = fragments(message);
    let message = message.replace('`', "");
    let open = |at_end: bool| {
        if at_end {
            message.ends_with('}')
        } else {
            message.starts_with('{')
        }
    };
    let mut rest = text;
    for (i, part) in parts.iter().enumerate() {
        match rest.find(part.as_str()) {
            Some(0) => rest = &rest[part.len()..],
            Some(place) if i > 0 || open(false) => rest = &rest[place + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || open(true)
}

/// Everything that is printed, with the file that prints it.
fn printed() -> Vec<(PathBuf, String)> {
    let mut all = vec![];
    for (path, text) in sources(&root().join("host-tests/src")) {
        all.extend(
            messages(&text, FORMS)
                .into_iter()
                .map(|said| (path.clone(), said)),
        );
    }
    for (path, text) in sources(&root().join("src")) {
        let mut said = messages(&text, &[("Unsupported {", 0)]);
        if path.ends_with("src/error.rs") {
            said = messages(&text, &[("write!(f,", 0), ("write!(\n", 0)]);
        }
        if path.ends_with("src/cuda/error.rs") {
            said = messages(
                &text,
                &[("f.write_str(", 0), ("write!(f,", 0), ("write!(\n", 0)],
            );
        }
        all.extend(said.into_iter().map(|said| (path.clone(), said)));
    }
    // A message of another error, and the form of all of them.
    all.retain(|(_, said)| fragments(said).concat().chars().any(char::is_alphabetic));
    all.retain(|(_, said)| said != "drmad: {error:#}");
    all
}

/// The messages on the page: of each row of a table its first cell.
fn page() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/errors.md")).expect("the page");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split("` |").next().unwrap_or_default().to_string())
        .collect()
}

#[test]
fn every_message_is_on_the_page_and_the_page_has_no_other() {
    let (printed, page) = (printed(), page());
    assert!(
        printed.len() > 150,
        "the scan found {} messages",
        printed.len()
    );
    let missing: Vec<_> = printed
        .iter()
        .filter(|(_, said)| !page.iter().any(|row| is_of(row, said)))
        .collect();
    assert!(missing.is_empty(), "not in docs/errors.md: {missing:#?}");
    let extra: Vec<_> = page
        .iter()
        .filter(|row| !printed.iter().any(|(_, said)| is_of(row, said)))
        .collect();
    assert!(
        extra.is_empty(),
        "nothing prints what docs/errors.md has: {extra:#?}"
    );
    eprintln!("{} messages, {} rows", printed.len(), page.len());
}

#[test]
fn every_variant_of_the_crates_error_is_on_the_page() {
    let text = fs::read_to_string(root().join("src/error.rs")).expect("the source");
    let variants = text
        .split("pub enum Error {")
        .nth(1)
        .expect("the enumeration");
    let variants = variants.split("\n}").next().expect("its end");
    let variants = variants.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?.trim_end_matches([',', '{', ' ']);
        name.chars().all(char::is_alphanumeric).then_some(name)
    });
    let variants: Vec<&str> = variants.filter(|name| !name.is_empty()).collect();
    let written = messages(&text, &[("write!(f,", 0), ("write!(\n", 0)]);
    assert_eq!(variants.len(), written.len(), "{variants:?} {written:#?}");
}

#[test]
fn the_scan_reads_what_it_must() {
    let source = r#"
        ensure!(names.iter().all(|c| c != '"' && c != "a, b"), "{} is \
                 wrong", x);
        bail!("take {x:?} \"quoted\"")
    "#;
    let got = messages(source, FORMS);
    assert_eq!(got, ["take {x:?} \"quoted\"", "{} is wrong"]);
    assert!(is_of("X is wrong", "{} is wrong") && is_of("is A of B", "is {} of {}"));
    assert!(!is_of("X is wrong, too", "{} is wrong") && !is_of("so is A of B", "is {} of {}"));
}
