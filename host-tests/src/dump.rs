//! One hypergradient, with everything an independent program needs to compute it again.
//!
//! The files of `--dump` are a contract: `meta.json` with the settings and results, and arrays in
//! `.npy`. Their names and meanings do not change.

use std::path::Path;

use anyhow::{Context, Result, bail};
use drmad::training::Compiled;
use drmad::{Fused, Plain};
use serde::Serialize;

use crate::data::Dataset;
use crate::data::npy;
use crate::device;
use crate::experiment::{Experiment, Rounding, What};
use crate::files::{claim, write};
use crate::method::Method;
use crate::problem::Problem;
use crate::quality::Errors;
use crate::trained::Trained;
use crate::words::several;

/// One hypergradient to take.
#[derive(Debug)]
pub struct Request<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The data.
    pub data: &'a Dataset,
    /// The method.
    pub method: Method,
    /// The hyperparameters to take it at.
    pub hyper: Vec<f32>,
    /// The seed.
    pub seed: u64,
    /// The rounding of multiply-adds.
    pub arithmetic: Rounding,
}

/// `meta.json`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // the contract's own words
pub struct Meta {
    pub experiment: String,
    pub method: String,
    pub arithmetic: Rounding,
    pub seed: u64,
    pub layers: Vec<usize>,
    pub steps: usize,
    pub batch: usize,
    /// Where rates are tuned, where they start: `hyper.npy` has those of the run.
    pub rate: f32,
    /// As of the rate.
    pub momentum: f32,
    pub l2: f32,
    pub input_mean: f32,
    pub valid_loss: f32,
    pub valid_error: f64,
    pub test_error: f64,
    pub floats: usize,
    pub forward_seconds: f64,
    pub backward_seconds: f64,
    pub forward_gradients: usize,
    pub second_order_products: usize,
}

impl Request<'_> {
    /// Trains and takes the hypergradient; writes it to `folder` where one is given.
    ///
    /// # Errors
    /// A training or sweep that diverges, too little memory, what the file system refuses.
    pub fn run(&self, folder: Option<&Path>) -> Result<Meta> {
        let _claim = folder.map(claim).transpose()?;
        match self.arithmetic {
            Rounding::Fused => self.run_in::<Fused>(folder),
            Rounding::Plain => self.run_in::<Plain>(folder),
        }
    }

    fn run_in<A: Compiled<f32>>(&self, folder: Option<&Path>) -> Result<Meta> {
        let problem = Problem::draw(self.experiment, self.data, self.seed, 0)?;
        let want = self.experiment.hypers();
        if self.hyper.len() != want {
            bail!(
                "{} has {} and {} were given",
                self.experiment.name,
                several(want, "hyperparameter"),
                self.hyper.len()
            );
        }
        let hyper = &self.hyper;
        let trained = device::train::<A>(&problem, hyper, Some(&self.method), &|| ())?;
        let errors = problem.errors::<A>(hyper, &trained.w)?;
        let meta = self.meta(&problem, &trained, errors)?;
        if let Some(folder) = folder {
            self.write::<A>(folder, &problem, &trained, &meta)?;
        }
        Ok(meta)
    }

    fn meta(&self, problem: &Problem<'_>, trained: &Trained, errors: Errors) -> Result<Meta> {
        let e = self.experiment;
        let back = trained.back.as_ref().context("no hypergradient")?;
        Ok(Meta {
            experiment: e.name.clone(),
            method: self.method.name.as_str().to_string(),
            arithmetic: self.arithmetic,
            seed: self.seed,
            layers: e.layers.clone(),
            steps: self.experiment.steps,
            batch: e.batch,
            rate: e.at_start(What::Rate).unwrap_or(e.rate),
            momentum: e.at_start(What::Momentum).unwrap_or(e.momentum),
            l2: e.l2().unwrap_or(0.0),
            input_mean: problem.mean,
            valid_loss: back.valid_loss,
            valid_error: errors.valid,
            test_error: errors.test,
            floats: back.floats,
            forward_seconds: trained.forward_seconds,
            backward_seconds: back.seconds,
            forward_gradients: self.experiment.steps,
            second_order_products: back.products,
        })
    }

    fn write<A: Compiled<f32>>(
        &self,
        folder: &Path,
        problem: &Problem<'_>,
        trained: &Trained,
        meta: &Meta,
    ) -> Result<()> {
        let e = self.experiment;
        let back = trained.back.as_ref().context("no hypergradient")?;
        let last = folder.join("meta.json");
        if last.exists() {
            std::fs::remove_file(&last)
                .with_context(|| format!("cannot replace {}", last.display()))?;
        }
        let index = |name: &str, shape: &[u64], values: &[u32]| {
            let values = values.iter().map(|i| i64::from(*i));
            npy::write(&folder.join(name), shape, values)
        };
        let numbers = |name: &str, values: &[f32]| {
            let shape = [values.len() as u64];
            npy::write(&folder.join(name), &shape, values.iter().copied())
        };
        let (train, validation) = (&problem.drawn.train, &problem.drawn.validation);
        index("train_index.npy", &[train.len() as u64], train)?;
        index("valid_index.npy", &[validation.len() as u64], validation)?;
        index(
            "batches.npy",
            &[self.experiment.steps as u64, e.batch as u64],
            &problem.all_batches()?,
        )?;
        let mut group = vec![-1i64; e.weights()];
        if let Some((_, groups, range)) = e.by_weights() {
            groups.map(&mut group)?;
            for group in group.iter_mut().filter(|group| **group >= 0) {
                *group += range.start as i64;
            }
        }
        npy::write(&folder.join("group.npy"), &[group.len() as u64], group)?;
        numbers("w0.npy", &problem.initial::<A>(&self.hyper)?)?;
        numbers("wT.npy", &trained.w)?;
        numbers("hyper.npy", &self.hyper)?;
        numbers("hypergradient.npy", &back.hypergradient)?;
        // Last, so that a folder with this file is whole.
        write(&last, &serde_json::to_vec_pretty(meta)?)
    }
}
