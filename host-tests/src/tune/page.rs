//! What a run of the outer loop shows: its settings, its costs, its hyperparameters as pictures.

use anyhow::Result;

use super::settings::Settings;
use super::state::State;
use crate::data::Dataset;
use crate::experiment::{Experiment, What};
use crate::method::Method;
use crate::provenance::{named, versions};
use crate::quality::Quality;
use crate::report::run;
use crate::statistics;
use crate::trained::Trained;

/// A training before or after tuning.
pub(super) struct End {
    pub(super) trained: Trained,
    pub(super) quality: Quality,
}

/// Everything that the page of a run shows.
pub(super) fn report(
    settings: &Settings,
    data: &Dataset,
    state: &State,
    hyper: &[f32],
    before: &End,
    after: &End,
) -> Result<run::Report> {
    let (s, e) = (settings, &settings.experiment);
    let method = e.method()?;
    let said = [
        ("network", e.network()),
        ("weights", e.weights().to_string()),
        ("hyperparameters", hyper.len().to_string()),
        ("training examples", e.examples.train.to_string()),
        ("validation examples", e.examples.valid.to_string()),
        ("test examples", e.examples.test.to_string()),
        ("training steps", e.steps.to_string()),
        ("batch", e.batch.to_string()),
        ("rate", e.said(What::Rate)),
        ("momentum", e.said(What::Momentum)),
        ("log of the initial scale", e.said(What::InitialScale)),
        ("log of the fixed penalty", e.said(What::Penalty)),
        ("method", method.describe()),
        ("outer optimizer", e.outer.optimizer.as_str().to_string()),
        ("outer rate", e.outer.rate().to_string()),
        ("meta-iterations", e.outer.meta_steps.to_string()),
        ("draws of a meta-iteration", e.outer.draws.to_string()),
        (
            "clients",
            e.outer.clients.map_or("none".into(), |c| c.describe()),
        ),
        ("seed", s.seed.to_string()),
        (
            "data",
            s.data
                .as_ref()
                .map_or("MNIST".into(), |d| d.path.display().to_string()),
        ),
    ];
    Ok(run::Report {
        experiment: e.name.clone(),
        title: e.title.clone(),
        method: method.describe(),
        outer: e.outer.optimizer.as_str().to_string(),
        draws: e.outer.trainings(),
        clients: e.outer.clients.map(|clients| clients.reduction),
        settings: named(&said),
        versions: versions(s.arithmetic),
        meta_steps: state.meta_steps.clone(),
        before: before.quality,
        after: after.quality,
        costs: state.costs.clone(),
        angles: state.angles.clone(),
        training: [("before tuning", before), ("after tuning", after)]
            .map(|(label, end)| run::LossCurve {
                label: label.to_string(),
                losses: end.trained.losses.clone(),
            })
            .to_vec(),
        penalties: strips(e, (data.train.rows, data.train.columns), hyper),
        comparison: state.comparison.clone(),
    })
}

/// The table at the end of a run, line by line.
pub(super) fn table(report: &run::Report) -> Vec<String> {
    let mut lines = vec![];
    let (b, a) = (&report.before, &report.after);
    lines.push(format!("\n{:<28} {:>10} {:>10}", "", "before", "after"));
    lines.push(format!(
        "{:<28} {:>10.5} {:>10.5}",
        "validation loss", b.valid_loss, a.valid_loss
    ));
    for (what, b, a) in [
        ("validation error", b.valid_error, a.valid_error),
        ("test error", b.test_error, a.test_error),
    ] {
        lines.push(format!(
            "{what:<28} {:>9.2}% {:>9.2}%",
            100.0 * b,
            100.0 * a
        ));
    }
    lines.push(String::new());
    for cost in &report.costs {
        lines.push(format!(
            "{:<44} {:>8.2} s {:>10.3} floats per weight",
            cost.name, cost.seconds, cost.floats_per_weight
        ));
    }
    for angle in &report.angles {
        let among = angle.another_draw.map_or(String::new(), |cosine| {
            let draws = run::two_draws(report);
            format!(" ({draws} among themselves: {cosine:.4})")
        });
        lines.push(format!(
            "angle to the exact hypergradient at meta-iteration {}: cosine {:.4}, norm ratio {:.3}{among}",
            angle.meta_step, angle.cosine, angle.norm_ratio
        ));
    }
    lines
}

/// What the first draw of a run cost, and the exact hypergradient beside it.
pub(super) fn costs(
    method: &Method,
    experiment: &Experiment,
    ours: &Trained,
    exact: Option<&Trained>,
) -> Vec<run::Cost> {
    let weights = experiment.weights() as f64;
    let mut costs = vec![run::Cost {
        name: "forward".to_string(),
        seconds: ours.forward_seconds,
        floats_per_weight: 0.0,
        gradients: ours.losses.len() as u64,
        second_order_products: 0,
    }];
    let rows = [
        (method.describe(), ours.back.as_ref()),
        (
            "tape, exact".to_string(),
            exact.and_then(|exact| exact.back.as_ref()),
        ),
    ];
    for (name, back) in rows {
        if let Some(back) = back {
            costs.push(run::Cost {
                name: format!("backward ({name})"),
                seconds: back.seconds,
                floats_per_weight: back.floats as f64 / weights,
                gradients: back.gradients as u64,
                second_order_products: back.products as u64,
            });
        }
    }
    costs
}

/// The hyperparameters as pictures: a unit's, or the mean over a unit's weights.
/// Inputs that lie in rows and columns are shown so.
fn strips(
    experiment: &Experiment,
    (rows, columns): (usize, usize),
    hyper: &[f32],
) -> Vec<run::Strip> {
    let blocks = experiment.blocks();
    let mut blocks = blocks.filter(|(block, _)| matches!(block.what, What::Scale | What::Penalty));
    let Some((tuned, range)) = blocks.next() else {
        return vec![];
    };
    let hyper = &hyper[range];
    let reported = |h| experiment.reported(tuned.what, h);
    let (_, unit) = reported(0.0);
    let mut strips = vec![];
    let layers = experiment.layers.len() - 1;
    let blocks = experiment.groups_of(tuned).blocks().step_by(2);
    for (layer, block) in blocks.enumerate() {
        let inputs = experiment.layers[layer];
        let hypers = block.hypers(hyper);
        if hypers.len() < inputs || layer >= layers {
            continue;
        }
        let per_unit = hypers.len() / inputs;
        let values = hypers
            .chunks_exact(per_unit)
            .map(|h| statistics::mean(h.iter().map(|h| f64::from(*h))))
            .map(|mean| reported(mean as f32).0)
            .collect();
        let (name, rows, columns) = match layer {
            0 if rows > 1 && columns > 1 => ("input pixels".to_string(), rows, columns),
            0 => ("inputs".to_string(), 1, inputs),
            layer => (format!("hidden layer {layer}"), 1, inputs),
        };
        strips.push(run::Strip {
            name,
            unit: unit.to_string(),
            rows,
            columns,
            values,
        });
    }
    strips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn inputs_are_a_picture_where_they_lie_in_rows_and_columns_alone() {
        let text = "like = \"mnist-units\"\nlayers = [16, 4, 3]";
        let experiment = Recipe::parse("wine", text).and_then(|recipe| recipe.experiment());
        let experiment = experiment.expect("in order");
        let hyper = experiment.start();
        for (shape, name) in [
            ((1, 16), "inputs"),
            ((4, 4), "input pixels"),
            ((2, 8), "input pixels"),
        ] {
            let strips = strips(&experiment, shape, &hyper);
            assert_eq!(strips[0].name, name);
            let want = if name == "inputs" { (1, 16) } else { shape };
            assert_eq!((strips[0].rows, strips[0].columns), want);
            assert_eq!(strips[1].name, "hidden layer 1");
        }
    }
}
