//! Parts of a study that are done, kept for a run that resumes.
//!
//! A part is whatever took long, as JSON in a file of its own, beside the settings that it depends on.

use std::path::PathBuf;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;

/// Where parts are kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// The folder; none keeps nothing.
    folder: Option<PathBuf>,
    resume: bool,
    settings: String,
}

/// A part with what it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Part<T> {
    version: String,
    settings: String,
    value: T,
}

impl Kept {
    /// Keeps parts in this folder; those that are there are taken where the run resumes and the settings
    /// are the same.
    pub const fn new(folder: PathBuf, resume: bool, settings: String) -> Self {
        let folder = Some(folder);
        Kept {
            folder,
            resume,
            settings,
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
        Ok(part.value)
    }
}
