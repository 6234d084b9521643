//! How the hypergradients of several clients become one that all of them follow.
//!
//! Of `n` clients with hypergradients `d_0 .. d_{n-1}`:
//!
//! | reduction | what is followed |
//! |---|---|
//! | mean | `1/n (d_0 + ... + d_{n-1})` |
//! | sum | `d_0 + ... + d_{n-1}` |
//! | sign vote | `1/n (sign d_0 + ... + sign d_{n-1})` |
//!
//! Down the mean by the optimizer `sign`, all step alike, by the sign of the mean. Down the sign vote by
//! `sgd`, each client moves by `sign * rate / n` (Fu et al. 2016); by `sign`, the majority decides.
//!
//! Order of arithmetic: a sum in float64 in the order of the clients, divided by `n` where it is a mean,
//! and rounded once to float32. So no number of threads or machines that holds the clients changes a bit.
//!
//! A client that has no hypergradient, or one with numbers that are not finite, is left out and named;
//! `n` counts the others. Refused: hypergradients of different lengths, and clients of which none is left.

use std::iter;

use anyhow::{Result, ensure};
use drmad::kernels::reduce::norm;
use serde::{Deserialize, Serialize};

use crate::divergence::Divergence;
use crate::words::several;

/// The reductions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// The mean of the hypergradients.
    #[default]
    Mean,
    /// The mean of their signs.
    SignVote,
    /// Their sum.
    Sum,
}

/// What the clients follow, and how they stood to each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduced {
    /// By each hyperparameter.
    pub hypergradient: Vec<f32>,
    /// The clients that were left out, in order.
    pub left_out: Vec<usize>,
    /// The mean cosine between the hypergradients of two clients, where there are two.
    pub agreement: Option<f64>,
}

impl Reduction {
    /// What it takes of hypergradients, in words.
    pub const fn describe(self) -> &'static str {
        match self {
            Reduction::Mean => "the mean of their hypergradients",
            Reduction::SignVote => "the mean of their hypergradients' signs",
            Reduction::Sum => "the sum of their hypergradients",
        }
    }

    /// Reduces the hypergradients of clients, in their order; `None` is one that has none.
    ///
    /// # Errors
    /// Different lengths, by the first client that differs; no client with finite numbers.
    ///
    /// ```
    /// use drmad_host::reduction::Reduction;
    ///
    /// let clients = [Some(&[3.0, -1.0][..]), None, Some(&[1.0, -4.0])];
    /// let reduced = Reduction::Mean.reduce(&clients)?;
    /// assert_eq!(reduced.hypergradient, [2.0, -2.5]);
    /// assert_eq!(reduced.left_out, [1]);
    /// assert_eq!(Reduction::SignVote.reduce(&clients)?.hypergradient, [1.0, -1.0]);
    /// # anyhow::Ok(())
    /// ```
    pub fn reduce(self, clients: &[Option<&[f32]>]) -> Result<Reduced> {
        let mut left_out = vec![];
        let mut kept: Vec<&[f32]> = vec![];
        for (client, d) in clients.iter().enumerate() {
            match d {
                Some(d) if d.iter().all(|d| d.is_finite()) => kept.push(d),
                _ => left_out.push(client),
            }
            if let (Some(d), Some(first)) = (d, kept.first()) {
                ensure!(
                    d.len() == first.len(),
                    "client {client} has {} and another {}",
                    several(d.len(), "hyperparameter"),
                    first.len()
                );
            }
        }
        let len = kept.first().map(|d| d.len());
        let clients = clients.len();
        let len = len.ok_or(Divergence::Clients { clients })?;
        let n = kept.len() as f64;
        let sum = |of: fn(f64) -> f64| fold(len, kept.iter().map(|d| (*d, of)));
        let (sums, over) = match self {
            Reduction::Mean => (sum(|d| d), n),
            Reduction::SignVote => (sum(sign), n),
            Reduction::Sum => (sum(|d| d), 1.0),
        };
        Ok(Reduced {
            hypergradient: sums.into_iter().map(|sum| (sum / over) as f32).collect(),
            left_out,
            agreement: agreement(&kept),
        })
    }
}

/// The sum of `of(d)` over some vectors, in their order.
fn fold<'d>(
    len: usize,
    vectors: impl Iterator<Item = (&'d [f32], impl Fn(f64) -> f64)>,
) -> Vec<f64> {
    // Only from -0 does every number begin its sum as it is.
    let mut sums: Vec<f64> = iter::repeat_n(-0.0, len).collect();
    for (d, of) in vectors {
        for (sum, d) in sums.iter_mut().zip(d) {
            *sum += of(f64::from(*d));
        }
    }
    sums
}

/// Of zero it is zero.
fn sign(d: f64) -> f64 {
    f64::from(i8::from(d > 0.0) - i8::from(d < 0.0))
}

/// The mean cosine between two of some vectors. Those of all pairs are in the norm of the sum of the
/// vectors' directions: `|u_0 + ... + u_{n-1}|^2 = n + 2 sum_{i<j} u_i . u_j`.
fn agreement(vectors: &[&[f32]]) -> Option<f64> {
    let n = vectors.len() as f64;
    let lengths: Vec<f64> = vectors.iter().map(|d| norm(d)).collect();
    // One without a direction is at right angles to all.
    let directed = lengths.iter().filter(|length| **length > 0.0).count() as f64;
    let directions = vectors.iter().zip(&lengths).map(|(d, length)| {
        let length = if *length > 0.0 { *length } else { 1.0 };
        (*d, move |d| d / length)
    });
    let sum = norm(&fold(vectors.first()?.len(), directions));
    (vectors.len() > 1).then(|| (sum * sum - directed) / (n * (n - 1.0)))
}
