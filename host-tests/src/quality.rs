//! How good trained weights are: losses and errors on the outer and on the test examples.

use anyhow::Result;
use drmad::Arithmetic;
use drmad::models::{Examples, Mlp};
use drmad::objective::{At, Objective};
use drmad::training::{Compiled, NetworkLoss, Training};
use serde::{Deserialize, Serialize};

use crate::divergence::Divergence;
use crate::experiment::What;
use crate::inputs::Images;
use crate::json::null_is_nan;
use crate::problem::Problem;

/// How good some weights are. Errors are fractions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Outer loss.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_loss: f64,
    /// Share of the outer examples that are misclassified.
    #[serde(deserialize_with = "null_is_nan")]
    pub valid_error: f64,
    /// Loss on the test examples.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_loss: f64,
    /// Share of the test examples that are misclassified.
    #[serde(deserialize_with = "null_is_nan")]
    pub test_error: f64,
}

/// The shares of the outer and of the test examples that some weights misclassify.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Of the outer examples.
    pub valid: f64,
    /// Of the test examples.
    pub test: f64,
}

/// Examples whose probabilities are written by `predict`, and whose classes `label` knows.
struct Judged<'a> {
    /// How many there are.
    examples: usize,
    /// The classes, of each a probability.
    classes: usize,
    /// How many are asked for at once.
    batch: usize,
    /// The class of an example.
    label: &'a dyn Fn(u32) -> Result<usize, drmad::Error>,
}

impl Judged<'_> {
    /// The share that is misclassified. A tie with a wrong class is an error, and so is what is not a number.
    ///
    /// # Errors
    /// Those of `predict` and of the labels.
    fn error(
        &self,
        mut predict: impl FnMut(&[u32], &mut [f32]) -> Result<(), drmad::Error>,
    ) -> Result<f64, drmad::Error> {
        let Judged {
            examples, classes, ..
        } = *self;
        let batch = self.batch.clamp(1, examples.max(1));
        let (mut p, mut wrong) = (vec![0.0; batch * classes], 0);
        let all: Vec<u32> = (0..examples as u32).collect();
        for batch in all.chunks(batch) {
            let p = &mut p[..batch.len() * classes];
            predict(batch, p)?;
            for (i, p) in batch.iter().zip(p.chunks_exact(classes)) {
                let label = (self.label)(*i)?;
                let right = (0..classes).all(|k| k == label || p[k] < p[label]);
                wrong += usize::from(!right);
            }
        }
        Ok(wrong as f64 / examples as f64)
    }
}

/// The share of a network's examples that are misclassified.
///
/// # Errors
/// What the network refuses.
pub fn error_of<D: Examples, A: Arithmetic>(
    network: &Mlp<'_, D, A>,
    w: &[f32],
    classes: usize,
    batch: usize,
) -> Result<f64, drmad::Error> {
    let mut scratch = vec![0.0; network.scratch_len()];
    let judged = Judged {
        examples: network.examples().len(),
        classes,
        batch,
        label: &|i| network.examples().label(i),
    };
    judged.error(|batch, p| network.predict(w, batch, p, &mut scratch))
}

/// The loss of a network of whom nothing is tuned, to judge weights by.
fn judged<'s, A: Compiled<f32>>(
    problem: &'s Problem<'_>,
    images: &'s Images<'s>,
) -> Result<NetworkLoss<'s, A>> {
    let training = Training {
        valid_examples: images.len(),
        tuned: &[],
        ..problem.training()
    };
    Ok(training.validation_loss(images)?)
}

impl Problem<'_> {
    /// The network's own weights: of scaled ones, `s z`.
    fn own<A: Compiled<f32>>(&self, hyper: &[f32], w: &[f32]) -> Result<Vec<f32>> {
        let mut own = w.to_vec();
        if self.experiment.block(What::Scale).is_none() {
            return Ok(own);
        }
        let mut room = self.room();
        self.values::<A>(hyper, &mut room)?.scale(&mut own)?;
        Ok(own)
    }

    fn loss_of<A: Compiled<f32>>(&self, images: &Images<'_>, own: &[f32]) -> Result<f64> {
        let network = judged::<A>(self, images)?;
        let network = network.pointer::<f32>();
        let examples: Vec<u32> = (0..images.len() as u32).collect();
        let at = At {
            w: own,
            h: &[],
            batch: &examples,
        };
        let loss = network.loss(at, &mut vec![0.0f32; network.loss_scratch_len()])?;
        if !loss.is_finite() {
            return Err(Divergence::Loss.into());
        }
        Ok(f64::from(loss))
    }

    fn error_of<A: Compiled<f32>>(&self, images: &Images<'_>, own: &[f32]) -> Result<f64> {
        let network = judged::<A>(self, images)?;
        let mut scratch = vec![0.0f32; network.scratch_len()];
        let judged = Judged {
            examples: images.len(),
            classes: self.experiment.classes(),
            batch: self.experiment.batch,
            label: &|i| Examples::label(images, i),
        };
        Ok(judged.error(|batch, p| network.predict(own, batch, p, &mut scratch))?)
    }

    /// The outer and the test examples.
    fn judges(&self) -> [Images<'_>; 2] {
        let valid = self.train.choose(&self.drawn.validation);
        [valid, self.test.choose(&self.drawn.test)]
    }

    /// Losses and errors of trained weights (of `z`, where weights are scaled).
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn quality<A: Compiled<f32>>(&self, hyper: &[f32], w: &[f32]) -> Result<Quality> {
        let own = self.own::<A>(hyper, w)?;
        let [valid, test] = self.judges();
        Ok(Quality {
            valid_loss: self.loss_of::<A>(&valid, &own)?,
            valid_error: self.error_of::<A>(&valid, &own)?,
            test_loss: self.loss_of::<A>(&test, &own)?,
            test_error: self.error_of::<A>(&test, &own)?,
        })
    }

    /// The errors alone.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn errors<A: Compiled<f32>>(&self, hyper: &[f32], w: &[f32]) -> Result<Errors> {
        let own = self.own::<A>(hyper, w)?;
        let [valid, test] = self.judges();
        Ok(Errors {
            valid: self.error_of::<A>(&valid, &own)?,
            test: self.error_of::<A>(&test, &own)?,
        })
    }
}
