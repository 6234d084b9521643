//! What determines a run of a server, and what its clients live through.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shards::Shards;
use super::wire::Wire;
use crate::experiment::{Experiment, Rounding};

/// What determines a run, and so must be the same where it is resumed, and for all its clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The version of the program.
    pub version: String,
    /// The experiment, with its clients.
    pub experiment: Experiment,
    /// Who holds what.
    pub shards: Shards,
    /// How hypergradients travel.
    pub wire: Wire,
    /// The seed.
    pub seed: u64,
    /// The rounding of multiply-adds.
    pub arithmetic: Rounding,
    /// The folder of the data, where they are not the ones compiled in; with `{client}` in its name each
    /// client has its own.
    pub data: Option<PathBuf>,
}

/// What clients live through.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// How long the server waits for replies, where it does not wait until they are there.
    pub deadline: Option<Duration>,
    /// Who does not take part.
    pub absent: Vec<Absent>,
    /// Who is slow.
    pub slow: Vec<Slow>,
}

/// A client that takes no part in some meta-iterations: `2@3`, `2@3-5`, or `2@3-` for one that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Which.
    pub client: usize,
    /// The first of these meta-iterations.
    pub first: usize,
    /// The last, where there is one.
    pub last: Option<usize>,
}

impl Absent {
    pub(super) fn at(&self, client: usize, meta_step: usize) -> bool {
        let ends = self.last.is_none_or(|last| meta_step <= last);
        self.client == client && self.first <= meta_step && ends
    }
}

impl FromStr for Absent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (client, when) = text.split_once('@')?;
            let (first, last) = match when.split_once('-') {
                None => (when, Some(when)),
                Some((first, "")) => (first, None),
                Some((first, last)) => (first, Some(last)),
            };
            let last = match last {
                Some(last) => Some(last.parse().ok()?),
                None => None,
            };
            Some(Absent {
                client: client.parse().ok()?,
                first: first.parse().ok()?,
                last,
            })
        };
        let absent = parse().ok_or_else(|| {
            format!("{text} is not CLIENT@FIRST-LAST, CLIENT@FIRST- or CLIENT@ONE")
        })?;
        match absent.last {
            Some(last) if last < absent.first => Err(format!(
                "{text} is of no meta-iteration: {last} comes before {}",
                absent.first
            )),
            _ => Ok(absent),
        }
    }
}

/// A client that takes its time before each reply, for trying out what a server does then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// Which.
    pub client: usize,
    /// How long it waits before it begins.
    pub wait: Duration,
}

impl FromStr for Slow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (client, seconds) = text.split_once('=')?;
            let wait = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
            let client = client.parse().ok()?;
            Some(Slow { client, wait })
        };
        parse().ok_or_else(|| format!("{text} is not CLIENT=SECONDS"))
    }
}
