//! What a meta-iteration with clients gave, and who was left out of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::wire::Measured;
use crate::statistics::mean;

/// Why a client was left out of a meta-iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It took no part.
    Absent,
    /// Its reply was not there in time.
    Late,
    /// Its training left the finite numbers.
    Diverged,
    /// What it sent is not finite.
    NotFinite,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Absent => "is absent",
            Why::Late => "is too late",
            Why::Diverged => "diverges",
            Why::NotFinite => "sent numbers that are not finite",
        })
    }
}

/// What a meta-iteration gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// What each client measured, or why it was left out.
    pub clients: Vec<Result<Measured, Why>>,
    /// The norm of what was followed.
    pub norm: f64,
    /// The mean cosine between the hypergradients of two clients, where there are two.
    pub agreement: Option<f64>,
    /// The bytes that the clients sent.
    pub sent: u64,
    /// The bytes that were sent to them.
    pub received: u64,
}

impl Round {
    /// The mean of a quantity over the clients that took part.
    pub fn mean(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        mean(self.clients.iter().flatten().map(of))
    }

    /// Who was left out.
    pub fn left_out(&self) -> impl Iterator<Item = (usize, Why)> {
        let all = self.clients.iter().enumerate();
        all.filter_map(|(client, of)| Some((client, of.as_ref().err().copied()?)))
    }
}
