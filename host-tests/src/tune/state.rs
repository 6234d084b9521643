//! Everything a run of the outer loop knows after some meta-iterations, as a file.
//!
//! Refused: a state of another version, of other settings, of a run that started elsewhere, and one that is damaged.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use drmad::state::restore;
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::provenance::differences;
use crate::report::run::{Angle, Cost, MetaStep, Scatter};
use crate::tuner;

/// The state of a run. Numbers that decide bits are stored as bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    settings: Settings,
    /// The hyperparameters at the start.
    start: Vec<u32>,
    /// The tuner, [saved](tuner::save); nothing before the first meta-iteration.
    pub(super) tuner: Vec<u8>,
    /// Where trainings start warm: the last weights.
    #[serde(default)]
    pub(super) weights: Option<Vec<u32>>,
    pub(super) meta_steps: Vec<MetaStep>,
    pub(super) angles: Vec<Angle>,
    pub(super) comparison: Vec<Scatter>,
    pub(super) costs: Vec<Cost>,
}

impl State {
    /// That of a run that begins.
    pub(super) fn new(settings: &Settings, start: &[f32]) -> Self {
        State {
            settings: settings.clone(),
            start: to_bits(start),
            tuner: vec![],
            weights: None,
            meta_steps: vec![],
            angles: vec![],
            comparison: vec![],
            costs: vec![],
        }
    }

    /// That of a run of these settings from these hyperparameters, from its file.
    ///
    /// # Errors
    /// What the module refuses, and what the file system does.
    pub(super) fn load(path: &Path, settings: &Settings, start: &[f32]) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| {
            format!(
                "nothing to resume: cannot read {} (leave out --resume to start anew)",
                path.display()
            )
        })?;
        let state: State = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is not the state of a run of this version: delete it to start anew",
                path.display()
            )
        })?;
        if state.settings != *settings {
            bail!(
                "{} is of a run with other settings: {}: \
                 give the same, another --out, or leave out --resume to start anew",
                path.display(),
                differences(&state.settings, settings)?
            );
        }
        if state.start != to_bits(start) {
            bail!(
                "{} is of a run that started from other hyperparameters: delete it to start anew",
                path.display()
            );
        }
        let meta_steps = state.meta_steps.len();
        let whole = tuner::tune(&settings.experiment, start, |tuner| {
            restore(&state.tuner, tuner)?;
            Ok(tuner.rounds() == meta_steps)
        });
        if !whole.unwrap_or(false) || meta_steps > settings.experiment.outer.meta_steps {
            bail!("{} is damaged: delete it to start anew", path.display());
        }
        Ok(state)
    }

    /// That of this very run, where there is one.
    ///
    /// # Errors
    /// A file that the system would not read.
    pub(super) fn begun(path: &Path, settings: &Settings, start: &[f32]) -> Result<Option<Self>> {
        match Self::load(path, settings, start) {
            Err(error) if unreadable(&error) => Err(error),
            state => Ok(state.ok()),
        }
    }
}

pub(super) fn to_bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

pub(super) fn from_bits(x: &[u32]) -> Vec<f32> {
    x.iter().map(|x| f32::from_bits(*x)).collect()
}

/// Whether the system would not read what is there.
fn unreadable(error: &anyhow::Error) -> bool {
    let cause: Option<&std::io::Error> = error.root_cause().downcast_ref();
    cause.is_some_and(|cause| cause.kind() != ErrorKind::NotFound)
}
