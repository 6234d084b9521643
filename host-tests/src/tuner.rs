//! The core's [`Tuner`] as an experiment has it: its outer optimizer with its rate, and the sets that its
//! hyperparameters stay in.
//!
//! Who tunes computes a loss and a hypergradient of [`h`](Tuner::h) over whatever trainings, and
//! [tells](Tuner::follow) the tuner. Between two rounds it is [bytes](save).

use std::ops::Range;

use anyhow::Result;
use drmad::outer::{Adam, Outer, Projected, Projection, Sgd, Sign};
use drmad::state;
use drmad::tuner::Tuner;

use crate::experiment::{Experiment, OuterOptimizer, What};

/// Tunes from these hyperparameters on, in `body`, which begins with no round taken.
///
/// # Errors
/// Those of `body`.
pub(crate) fn tune<T>(
    experiment: &Experiment,
    start: &[f32],
    body: impl FnOnce(&mut Tuner<'_, f32>) -> Result<T>,
) -> Result<T> {
    let (len, rate, onto) = (start.len(), experiment.outer.rate(), sets(experiment));
    let (mut h, mut m, mut v) = (start.to_vec(), vec![0.0; len], vec![0.0; len]);
    let mut memory = vec![0.0; Tuner::<f32>::need(len).len()];
    let onto = &onto[..];
    let (mut adam, mut sign, mut sgd);
    let outer: &mut dyn Outer<f32> = match experiment.outer.optimizer {
        OuterOptimizer::Adam => {
            let inner = Adam::new(rate, &mut m, &mut v)?;
            adam = Projected { inner, onto };
            &mut adam
        }
        OuterOptimizer::Sign => {
            let inner = Sign { rate };
            sign = Projected { inner, onto };
            &mut sign
        }
        OuterOptimizer::Sgd => {
            let inner = Sgd { rate };
            sgd = Projected { inner, onto };
            &mut sgd
        }
    };
    body(&mut Tuner::new(&mut h, outer, &mut memory)?)
}

/// Where which hyperparameters stay.
fn sets(experiment: &Experiment) -> Vec<(Range<usize>, Projection<f32>)> {
    let sets = experiment.blocks().filter_map(|(block, range)| {
        let (low, high) = (0.0, 1.0);
        let set = match (block.what, block.total) {
            _ if block.natural => Projection::NonNegative,
            (What::ExampleWeight, Some(total)) => Projection::CappedBox { low, high, total },
            (What::ExampleWeight, None) => Projection::Box { low, high },
            _ => return None,
        };
        Some((range, set))
    });
    sets.collect()
}

/// All that a tuner knows, to be [restored](state::restore) with the same bits.
///
/// # Errors
/// None for the tuner of an experiment.
pub(crate) fn save(tuner: &mut Tuner<'_, f32>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; state::len(tuner)?];
    state::save(tuner.rounds() as u64, tuner, &mut bytes)?;
    Ok(bytes)
}
