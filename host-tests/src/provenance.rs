//! What a report says of how it came to be.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

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

/// The most settings that [`differences`] names.
const NAMED: usize = 3;

/// Where two settings differ, each place by its path with what is there and what is here.
///
/// # Errors
/// None that settings can cause.
pub fn differences<T: Serialize>(there: &T, here: &T) -> Result<String> {
    let (there, here) = (serde_json::to_value(there)?, serde_json::to_value(here)?);
    let mut all = vec![];
    differ("", Some(&there), Some(&here), &mut all);
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    if more > 0 {
        all.push(format!("{more} more differ"));
    }
    Ok(all.join(", "))
}

/// Walks both as far down as they have the same parts.
fn differ(path: &str, there: Option<&Value>, here: Option<&Value>, found: &mut Vec<String>) {
    let below = |name: &str| match path {
        "" => name.to_string(),
        path => format!("{path}.{name}"),
    };
    match (there, here) {
        (there, here) if there == here => {}
        (Some(Value::Object(there)), Some(Value::Object(here))) => {
            let names: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
            for name in names {
                differ(&below(name), there.get(name), here.get(name), found);
            }
        }
        (Some(Value::Array(there)), Some(Value::Array(here))) => {
            for i in 0..there.len().max(here.len()) {
                differ(&below(&i.to_string()), there.get(i), here.get(i), found);
            }
        }
        (there, here) => {
            let [there, here] = [there, here].map(|value| match value {
                None | Some(Value::Null) => "nothing".to_string(),
                Some(value) => value.to_string(),
            });
            found.push(format!("{path} is {there} there and {here} here"));
        }
    }
}
