//! What a meta-iteration with clients gave, and who was left out of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::Measured;
use crate::statistics::mean;
use crate::words::several;

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

    /// A meta-iteration, as a line, and a line for each client that was left out.
    pub(super) fn line(&self, meta_step: usize, elapsed: Duration) -> String {
        let mut line = format!(
            "{meta_step:>4} {:>11.5} {:>11.2}% {:>10.2}% {:>11.4e} {:>9} {:>10} {:>8.2}",
            self.mean(|m| m.valid_loss),
            100.0 * self.mean(|m| m.valid_error),
            100.0 * self.mean(|m| m.test_error),
            self.norm,
            // One client agrees with nobody.
            self.agreement
                .map_or("-".to_string(), |cosine| format!("{cosine:.4}")),
            self.sent,
            elapsed.as_secs_f64()
        );
        for (client, why) in self.left_out() {
            line += &format!("\n     client {client} {why} and is left out");
        }
        line
    }
}

/// Why no client has a hypergradient, in words: those of each that diverges, and how many the others are.
pub(super) fn why_nobody(clients: &[Result<Measured, Why>], diverged: Vec<String>) -> String {
    let others = [
        (Why::Absent, "absent: shorten --absent"),
        (Why::Late, "late: raise --deadline"),
        (
            Why::NotFinite,
            "without finite numbers: lower the rate or the scales",
        ),
    ];
    let others = others.into_iter().filter_map(|(why, words)| {
        let n = clients.iter().filter(|of| **of == Err(why)).count();
        let are = if n == 1 { "is" } else { "are" };
        (n > 0).then(|| format!("{n} of {} {are} {words}", several(clients.len(), "client")))
    });
    let words: Vec<String> = diverged.into_iter().chain(others).collect();
    words.join("; ")
}
