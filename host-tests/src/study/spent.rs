//! The processor time that a study takes, over all cores and over kills.
//!
//! Wall time would say how busy the machine was, and the time of a thread little where threads take each
//! other's work.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Result;
use cpu_time::ProcessTime;

use crate::files;

/// The processor time of a study.
#[derive(Debug)]
pub struct Spent {
    path: PathBuf,
    before: f64,
    began: ProcessTime,
    writing: Mutex<()>,
}

impl Spent {
    /// Begins to count, from what an earlier run of the study in this folder left where this one resumes.
    pub fn new(folder: &Path, resume: bool) -> Self {
        let path = folder.join("seconds.json");
        let left = std::fs::read(&path).ok().filter(|_| resume);
        let before = left.and_then(|text| serde_json::from_slice(&text).ok());
        Spent {
            path,
            before: before.unwrap_or(0.0),
            began: ProcessTime::now(),
            writing: Mutex::new(()),
        }
    }

    /// Seconds of processor time so far.
    pub fn seconds(&self) -> f64 {
        self.before + self.began.elapsed().as_secs_f64()
    }

    /// Writes it down, so that a kill loses no more than what comes after.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn note(&self) -> Result<()> {
        let _one_at_a_time = self.writing.lock();
        files::write(&self.path, &serde_json::to_vec(&self.seconds())?)
    }
}
