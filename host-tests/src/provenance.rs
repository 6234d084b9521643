//! What a report says of how it came to be.

use crate::experiment::Rounding;

/// Pairs of a name and a value, as reports keep them.
pub fn named(pairs: &[(&str, String)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect()
}

/// The program and the processor that computed it.
pub fn versions(arithmetic: Rounding) -> Vec<(String, String)> {
    named(&[
        ("drmad", env!("CARGO_PKG_VERSION").to_string()),
        ("arithmetic", arithmetic.as_str().to_string()),
        (
            "vector level",
            drmad::kernels::dispatch::level().name().to_string(),
        ),
        ("processor", std::env::consts::ARCH.to_string()),
    ])
}
