//! The codes are fixed for ever, and each has a text that says what to do.

use std::ffi::CStr;

use drmad_c::error::{Code, drmad_error_text, guard};
use drmad_c::types::ABI;
use drmad_c::{drmad_abi, drmad_version};

/// What each code has been since it was first given out. Lines are added, never changed.
const FOR_EVER: &[(&str, i32)] = &[
    ("None", 0),
    ("Null", -1),
    ("Misaligned", -2),
    ("Length", -3),
    ("Overlap", -4),
    ("Size", -5),
    ("Empty", -6),
    ("Enum", -7),
    ("NotFinite", -8),
    ("Range", -9),
    ("Index", -10),
    ("Order", -11),
    ("Diverged", -12),
    ("Overflow", -13),
    ("Unsolved", -14),
    ("Unsupported", -15),
    ("EmptySet", -16),
    ("LeftOut", -17),
    ("Abi", -18),
    ("Internal", -128),
];

fn text(pointer: *const std::ffi::c_char) -> &'static str {
    // SAFETY: the library's strings are static and end with a zero.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
}

#[test]
fn no_code_ever_changes() {
    let codes: Vec<(String, i32)> = Code::ALL
        .iter()
        .map(|code| (format!("{code:?}"), *code as i32))
        .collect();
    let want: Vec<(String, i32)> = FOR_EVER
        .iter()
        .map(|(name, code)| (name.to_string(), *code))
        .collect();
    assert_eq!(codes, want);
}

#[test]
fn every_code_has_a_text_of_its_own() {
    let mut texts: Vec<&str> = Code::ALL
        .iter()
        .map(|code| text(drmad_error_text(*code as i32)))
        .collect();
    assert!(texts.iter().skip(1).all(|text| text.contains(": ")));
    for unknown in [1, -19, i32::MIN, i32::MAX] {
        assert_eq!(
            text(drmad_error_text(unknown)),
            "not a code of this library"
        );
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), Code::ALL.len());
}

#[test]
fn versions_are_those_of_the_crate_and_of_the_header() {
    assert_eq!(text(drmad_version()), env!("CARGO_PKG_VERSION"));
    assert_eq!(drmad_abi(), ABI);
}

#[test]
fn a_panic_ends_at_the_border() {
    assert_eq!(guard(|| panic!("on purpose")), Code::Internal as i32);
    assert_eq!(guard(|| Ok(())), 0);
    assert_eq!(guard(|| Err(Code::Null)), -1);
}

#[test]
fn the_manual_has_every_code() {
    let manual = include_str!("../../docs/c.md");
    let header = include_str!("../../include/drmad.h");
    for code in Code::ALL {
        let number = code as i32;
        let place = header.split(&format!(" = {number},\n")).next().unwrap();
        let name = place.rsplit("DRMAD_ERROR_").next().unwrap();
        let row = format!("| {number} | `{name}` |");
        assert!(manual.contains(&row), "docs/c.md lacks {row}");
    }
}
