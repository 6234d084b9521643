//! What a tuning run found, as plain data: it is written as `result.json` for programs, and the
//! [page](super::tuning) is made from the same.

use serde::{Deserialize, Serialize};

use crate::json::{null_is_nan, nulls_are_nan};
use crate::quality::Quality;
use crate::reduction::Reduction;
use crate::words::count;

/// All that one tuning run found.
///
/// Numbers that are not finite become `null` in JSON and are read back as `NaN`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The name the experiment has on the command line.
    pub experiment: String,
    /// The heading of the page.
    pub title: String,
    /// How hypergradients were computed, for example `hats`.
    pub method: String,
    /// The outer optimizer.
    pub outer: String,
    /// Draws of a meta-iteration: hypergradients, losses and errors are means over them.
    pub draws: usize,
    /// Where each of them belongs to a client: what became of their hypergradients.
    #[serde(default)]
    pub clients: Option<Reduction>,
    /// Settings of the run as names and values. One named `training examples` is quoted in the
    /// opening sentence.
    pub settings: Vec<(String, String)>,
    /// What the run was made with: names and versions.
    pub versions: Vec<(String, String)>,
    /// One entry per meta-iteration.
    pub meta_steps: Vec<MetaStep>,
    /// How good the trained network was with the initial hyperparameters.
    pub before: Quality,
    /// How good it was with the tuned ones.
    pub after: Quality,
    /// What each kind of pass cost.
    pub costs: Vec<Cost>,
    /// The hypergradient's direction and length against the exact one, where that was computed.
    pub angles: Vec<Angle>,
    /// The training loss at every step, for one or more training runs.
    pub training: Vec<LossCurve>,
    /// The tuned penalties, layer by layer.
    pub penalties: Vec<Strip>,
    /// Hypergradients beside exact ones, at one or more meta-iterations.
    pub comparison: Vec<Scatter>,
}

/// What one meta-iteration measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MetaStep {
    /// Its number.
    pub step: usize,
    /// The mean validation loss after training.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_loss: f64,
    /// The share of validation examples that are classified wrongly.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_error: f64,
    /// The share of test examples that are classified wrongly.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_error: f64,
    /// The Euclidean norm of the hypergradient.
    #[serde(deserialize_with = "null_is_nan")]
    pub norm: f64,
    /// The wall time of the whole meta-iteration.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// The mean training loss at the end of training.
    #[serde(deserialize_with = "null_is_nan")]
    pub train_loss: f64,
    /// The mean cosine between the hypergradients of two draws or clients, where there are two.
    #[serde(default)]
    pub agreement: Option<f64>,
    /// The clients that diverged and were left out.
    #[serde(default)]
    pub left_out: Vec<usize>,
}

/// What one kind of pass costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// The pass: `forward`, `backward (hats)`, `backward (tape, exact)`. A backward pass with
    /// `exact` in its name is the one others are compared with.
    pub name: String,
    /// Wall time of one pass.
    #[serde(deserialize_with = "null_is_nan")]
    pub seconds: f64,
    /// Numbers kept in memory for each weight of the network.
    #[serde(deserialize_with = "null_is_nan")]
    pub floats_per_weight: f64,
    /// Gradients computed in one pass.
    pub gradients: u64,
    /// Products with second derivatives computed in one pass.
    pub second_order_products: u64,
}

/// A hypergradient against the exact one at the same hyperparameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Angle {
    /// The meta-iteration it was measured at.
    pub meta_step: usize,
    /// The cosine of the angle between the two; not a number where the exact one diverged.
    #[serde(deserialize_with = "null_is_nan")]
    pub cosine: f64,
    /// The norm of the approximate one over the norm of the exact one.
    #[serde(deserialize_with = "null_is_nan")]
    pub norm_ratio: f64,
    /// The cosine between the exact one and the exact one of as many other draws of examples, initial
    /// weights and batches: how much of it is more than the chance of these draws. None where all draws
    /// are one.
    #[serde(default)]
    pub another_draw: Option<f64>,
}

/// The training loss of one training run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LossCurve {
    /// What the run is called, for example `before tuning`.
    pub label: String,
    /// The loss of each step's batch.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub losses: Vec<f32>,
}

/// The tuned penalties of one layer's units.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Strip {
    /// The layer or its units, for example `input pixels` or `hidden layer 1`.
    pub name: String,
    /// What the values are, for example `log penalty`.
    pub unit: String,
    /// Rows; a layer with one row is drawn as a strip, one with more as a heat map.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The values, row by row.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub values: Vec<f32>,
}

/// Approximate and exact hypergradient, hyperparameter by hyperparameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scatter {
    /// The meta-iteration it was measured at.
    pub meta_step: usize,
    /// The exact hypergradient.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub exact: Vec<f32>,
    /// The approximate one, in the same order.
    #[serde(deserialize_with = "nulls_are_nan")]
    pub approximate: Vec<f32>,
    /// The cosine of the angle between the two.
    #[serde(deserialize_with = "null_is_nan")]
    pub cosine: f64,
}

/// What is compared to see how much of a hypergradient belongs to its draws alone.
pub(crate) fn two_draws(report: &Report) -> String {
    match (report.draws, report.clients) {
        (1, _) => "two draws".into(),
        (n, None) => format!("two means of {n} draws"),
        (n, Some(_)) => format!("two draws of {n} clients"),
    }
}

/// The draws of a meta-iteration, or the clients whose they are.
pub(super) fn draws(report: &Report) -> String {
    match report.clients {
        None => count(report.draws, "draw"),
        Some(_) => count(report.draws, "client"),
    }
}
