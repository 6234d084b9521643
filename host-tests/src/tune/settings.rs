//! What determines a run of the outer loop, and whether it goes on from an earlier one.

use serde::{Deserialize, Serialize};

use crate::data::Folder;
use crate::experiment::{Experiment, Rounding};

/// At which meta-iterations the exact hypergradient is computed beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Compare {
    /// The first and the last.
    Ends,
    /// All of them.
    Every,
    /// None of them.
    Never,
}

/// What determines a run, and so must be the same when it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The version of the program.
    pub version: String,
    /// The experiment, with what the command line changed in it.
    pub experiment: Experiment,
    /// When the exact hypergradient is computed beside.
    pub compare: Compare,
    /// The seed.
    pub seed: u64,
    /// The rounding of multiply-adds.
    pub arithmetic: Rounding,
    /// The data, where they are not the ones compiled in.
    pub data: Option<Folder>,
}

/// Whether a run goes on from the state of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It starts anew, and its state replaces the earlier one's.
    No,
    /// It does, and there must be one.
    Yes,
    /// It does where there is one of this very run, and starts anew otherwise.
    IfBegun,
}
