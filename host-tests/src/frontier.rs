//! `drmad frontier`: every method on one experiment, with its memory, time and angle to the exact
//! hypergradient.

use anyhow::{Context, Result};
use drmad::kernels::reduce::{cosine, norm};
use drmad::{Arithmetic, Fused, Plain};
use indicatif::ProgressBar;

use crate::data::Dataset;
use crate::experiment::{Experiment, Rounding};
use crate::method::{MOST_TANGENTS, Method, Name};
use crate::problem::{Back, Problem};

/// What to compare on.
#[derive(Debug)]
pub struct Frontier<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The data.
    pub data: &'a Dataset,
    /// The seed.
    pub seed: u64,
    /// The rounding of multiply-adds.
    pub arithmetic: Rounding,
}

/// The rows of the table, the exact method first.
fn methods(steps: usize, hypers: usize) -> Vec<Method> {
    let mut methods = vec![
        Method::new(Name::Tape),
        Method::new(Name::Checkpoints),
        Method::new(Name::Reversible),
        Method::new(Name::Forward),
        Method::new(Name::Line),
        Method::new(Name::LinePublished),
    ];
    for bits in [32, 4] {
        for knots in [4, 8, 16, 32, 64] {
            methods.push(Method {
                knots,
                bits,
                ..Method::new(Name::Hats)
            });
        }
    }
    for name in [Name::Knots, Name::Hermite] {
        for knots in [16, 32, 64] {
            methods.push(Method {
                knots,
                ..Method::new(name)
            });
        }
    }
    for knots in [8, 16, 32] {
        methods.push(Method {
            knots,
            ..Method::new(Name::Legendre)
        });
    }
    let fits = |method: &Method| {
        !matches!(method.name, Name::Hats | Name::Legendre) || method.knots <= steps
    };
    methods.retain(fits);
    methods
}

impl Frontier<'_> {
    /// Runs and prints the table.
    ///
    /// # Errors
    /// A training that diverges or too little memory for the tape. A sweep that diverges is a row of
    /// the table.
    pub fn run(&self) -> Result<()> {
        match self.arithmetic {
            Rounding::Fused => self.run_in::<Fused>(),
            Rounding::Plain => self.run_in::<Plain>(),
        }
    }

    fn run_in<A: Arithmetic>(&self) -> Result<()> {
        let e = self.experiment;
        let problem = Problem::draw(e, self.data, self.seed, 0)?;
        let hyper = e.start();
        let take = |method: &Method| problem.train::<A>(&hyper, Some(method), &mut |_| ());
        say!(
            "{}: {} hyperparameters, {} steps, momentum {}",
            e.name,
            hyper.len(),
            e.steps,
            e.momentum
        );
        say!(
            "{:<24} {:>14} {:>9} {:>9} {:>9} {:>11}",
            "method",
            "floats/weight",
            "forward",
            "backward",
            "cosine",
            "norm ratio"
        );
        let methods = methods(e.steps, hyper.len());
        let bar = ProgressBar::new(methods.len() as u64);
        let mut exact: Option<Back> = None;
        for method in &methods {
            let row = match take(method) {
                Ok(trained) => {
                    let back = trained.back.context("no hypergradient")?;
                    let exact = exact.get_or_insert_with(|| back.clone());
                    format!(
                        "{:>14.3} {:>7.2} s {:>7.2} s {:>9.4} {:>11.3e}",
                        back.floats as f64 / e.weights() as f64,
                        trained.forward_seconds,
                        back.seconds,
                        cosine(&back.hypergradient, &exact.hypergradient),
                        norm(&back.hypergradient) / norm(&exact.hypergradient),
                    )
                }
                Err(error) if exact.is_none() => return Err(error),
                Err(error) => format!("{error:#}"),
            };
            bar.inc(1);
            bar.suspend(|| say!("{:<24} {row}", method.describe()));
        }
        bar.finish_and_clear();
        Ok(())
    }
}
