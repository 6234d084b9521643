//! The fuzzer of the target that the environment's `DRMAD_FUZZ` names.
#![no_main]

use std::sync::LazyLock;

use drmad_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("DRMAD_FUZZ").unwrap_or_default();
    let named = TARGETS.iter().find(|target| target.name == name);
    named.unwrap_or_else(|| panic!("DRMAD_FUZZ is {name:?}, which is no target"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
