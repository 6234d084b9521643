//! Parts of a study that are done, kept for a run that resumes.
//!
//! A part is whatever took long, as JSON in a file of its own, beside the settings that it depends on.

use std::path::PathBuf;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::spent::Spent;
use crate::files;

/// Where parts are kept.
#[derive(Debug, Default)]
pub struct Kept<'a> {
    /// The folder; none keeps nothing.
    folder: Option<PathBuf>,
    resume: bool,
    settings: String,
    /// Noted after each part.
    spent: Option<&'a Spent>,
}

/// A part with what it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Part<T> {
    version: String,
    settings: String,
    value: T,
}

impl<'a> Kept<'a> {
    /// Keeps parts in this folder; those that are there are taken where the run resumes and the settings
    /// are the same. The time spent so far is noted after each.
    pub const fn new(folder: PathBuf, resume: bool, settings: String, spent: &'a Spent) -> Self {
        Kept {
            folder: Some(folder),
            resume,
            settings,
            spent: Some(spent),
        }
    }

    /// The part of this name: kept, or made and kept.
    ///
    /// # Errors
    /// Those of making it, and what the file system refuses.
    pub fn get<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(folder) = &self.folder else {
            return make();
        };
        let path = folder.join(format!("{name}.json"));
        let version = env!("CARGO_PKG_VERSION");
        if self.resume
            && let Ok(text) = std::fs::read(&path)
            && let Ok(part) = serde_json::from_slice::<Part<T>>(&text)
            && (&*part.version, &part.settings) == (version, &self.settings)
        {
            return Ok(part.value);
        }
        let part = Part {
            version: version.to_string(),
            settings: self.settings.clone(),
            value: make()?,
        };
        files::write(&path, &serde_json::to_vec(&part)?)?;
        if let Some(spent) = self.spent {
            spent.note()?;
        }
        Ok(part.value)
    }
}
