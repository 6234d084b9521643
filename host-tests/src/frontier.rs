//! `drmad frontier`: every method on one experiment, with its memory, its time and evaluations, its
//! angle to the exact hypergradient, and the test error after tuning with it.
//!
//! Angles and times are of the first meta-iteration, one method after the other so that times compare.
//! Tuning takes all cores. A method that fails is a row of the table.

use std::path::PathBuf;

use anyhow::{Context, Result};
use drmad::kernels::reduce::{cosine, norm};
use drmad::outer::{Adam, Outer};
use drmad::training::Compiled;
use drmad::{Fused, Plain};
use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::data::Dataset;
use crate::device;
use crate::experiment::{Experiment, Rounding, What};
use crate::files::{self, progress};
use crate::method::{MOST_TANGENTS, Method, Name};
use crate::problem::Population;
use crate::provenance::{named, versions};
use crate::report::frontier::render;
use crate::report::methods::{Page, Row, head, line};
use crate::trained::{Back, Trained};
use crate::words::several;

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
    /// Meta-iterations of tuning with each method; 0 tunes with none.
    pub meta_steps: usize,
    /// Where the page goes.
    pub out: PathBuf,
}

/// Plain trainings, of which the fastest is what times are measured by: the first warms the machine.
const PLAIN: usize = 2;

/// The rows of the table, the exact method first.
fn methods(steps: usize, hypers: usize) -> Vec<Method> {
    let of = Method::new;
    let mut methods = vec![of(Name::Tape)];
    for snapshots in [4, 10, 32] {
        methods.push(Method {
            snapshots,
            ..of(Name::Checkpoints)
        });
    }
    methods.push(of(Name::Reversible));
    methods.push(of(Name::Forward));
    for knots in [4, 5, 6, 8, 16, 32, 64] {
        methods.push(Method {
            knots,
            ..of(Name::Hats)
        });
    }
    let hats = of(Name::Hats);
    for levels in [3, 7, 15, 0] {
        methods.push(Method { levels, ..hats });
    }
    methods.push(Method {
        tail: Some(0),
        ..hats
    });
    for (name, counts) in [
        (Name::Knots, [16, 32, 64]),
        (Name::Hermite, [16, 32, 64]),
        (Name::Legendre, [8, 16, 32]),
    ] {
        for knots in counts {
            methods.push(Method { knots, ..of(name) });
        }
    }
    let early = Some((steps / 4).max(1));
    methods.extend([
        Method {
            last: early,
            ..of(Name::Tape)
        },
        of(Name::Reversed),
        of(Name::LinePublished),
        of(Name::Line),
        Method {
            drop_negative_curvature: true,
            ..of(Name::Line)
        },
        of(Name::Implicit),
        of(Name::Neumann),
        of(Name::Direct),
        of(Name::Random),
        of(Name::AllUp),
    ]);
    methods.retain(|method| match method.name {
        Name::Hats | Name::Legendre => method.knots < steps,
        Name::Forward => hypers <= MOST_TANGENTS,
        _ => true,
    });
    methods
}

impl Frontier<'_> {
    /// Runs, prints the table and writes the page.
    ///
    /// # Errors
    /// A training that diverges, too little memory for the tape, and what the file system refuses.
    pub fn run(&self) -> Result<()> {
        let _claim = files::claim(&self.out)?;
        match self.arithmetic {
            Rounding::Fused => self.run_in::<Fused>(),
            Rounding::Plain => self.run_in::<Plain>(),
        }
    }

    fn run_in<A: Compiled<f32>>(&self) -> Result<()> {
        let e = self.experiment;
        let hypers = e.hypers();
        say!(
            "{}: {}, {}, momentum {}",
            e.name,
            several(hypers, "hyperparameter"),
            several(e.steps, "step"),
            e.said(What::Momentum)
        );
        let methods = methods(e.steps, hypers);
        let population = Population::new(self.experiment, self.data)?;
        let bar = progress(PLAIN + methods.len() * (1 + self.meta_steps));
        let (plain_seconds, mut rows) = self.angles::<A>(&population, &methods, &bar)?;
        if self.meta_steps > 0 {
            let errors: Vec<Result<f64>> = methods
                .par_iter()
                .with_max_len(1)
                .map(|method| self.tuned_error::<A>(&population, method, &bar))
                .collect();
            for (row, error) in rows.iter_mut().zip(errors) {
                match error {
                    Ok(error) => row.test_error = Some(error),
                    Err(error) => {
                        row.failure
                            .get_or_insert(format!("tuning with it: {error:#}"));
                    }
                }
            }
        }
        bar.finish_and_clear();
        say!("{}", head());
        for row in &rows {
            say!("{}", line(row));
        }
        let page = self.page(plain_seconds, rows);
        files::write(&self.out.join("frontier.json"), page.to_json()?.as_bytes())?;
        let report = self.out.join("report.html");
        files::write(&report, render(&page)?.as_bytes())?;
        say!("report: {}", report.display());
        Ok(())
    }

    /// The seconds of a training that no method watches, and every method on the first draw, one after the
    /// other.
    fn angles<A: Compiled<f32>>(
        &self,
        population: &Population<'_>,
        methods: &[Method],
        bar: &ProgressBar,
    ) -> Result<(f64, Vec<Row>)> {
        let problem = population.draw(self.seed, 0, 0)?;
        let hyper = self.experiment.start();
        let mut plain_seconds = f64::INFINITY;
        for _ in 0..PLAIN {
            let trained = device::train::<A>(&problem, &hyper, None, &|| ())?;
            plain_seconds = plain_seconds.min(trained.forward_seconds);
            bar.inc(1);
        }
        let mut exact: Option<Back> = None;
        let mut rows = vec![];
        for method in methods {
            let trained = device::train::<A>(&problem, &hyper, Some(method), &|| ());
            bar.inc(1);
            let trained = match (trained, &exact) {
                (Err(error), None) => return Err(error).context("the exact hypergradient"),
                (Err(error), Some(_)) => Err(format!("{error:#}")),
                (Ok(trained), _) => Ok(trained),
            };
            rows.push(self.row(method, trained, &mut exact)?);
        }
        Ok((plain_seconds, rows))
    }

    fn row(
        &self,
        method: &Method,
        trained: Result<Trained, String>,
        exact: &mut Option<Back>,
    ) -> Result<Row> {
        let mut row = Row {
            method: method.describe(),
            family: method.family().to_string(),
            exact: method.is_exact(),
            floats_per_weight: f64::NAN,
            forward_seconds: f64::NAN,
            backward_seconds: f64::NAN,
            gradients: 0,
            second_order_products: 0,
            cosine: None,
            norm_ratio: None,
            failure: None,
            test_error: None,
            note: None,
        };
        match trained {
            Err(error) => row.failure = Some(error),
            Ok(trained) => {
                let back = trained.back.context("no hypergradient")?;
                let exact = exact.get_or_insert_with(|| back.clone());
                row.floats_per_weight = back.floats as f64 / self.experiment.weights() as f64;
                row.forward_seconds = trained.forward_seconds;
                row.backward_seconds = back.seconds;
                row.gradients = back.gradients as u64;
                row.second_order_products = back.products as u64;
                row.cosine = Some(cosine(&back.hypergradient, &exact.hypergradient));
                row.norm_ratio = Some(norm(&back.hypergradient) / norm(&exact.hypergradient));
                row.note = back.note;
            }
        }
        Ok(row)
    }

    /// The test error after tuning with a method, on a draw that no method has seen.
    fn tuned_error<A: Compiled<f32>>(
        &self,
        population: &Population<'_>,
        method: &Method,
        bar: &ProgressBar,
    ) -> Result<f64> {
        let mut hyper = self.experiment.start();
        let mut moments = vec![0.0; 2 * hyper.len()];
        let (first, second) = moments.split_at_mut(hyper.len());
        let mut adam = Adam::new(self.experiment.outer.rates.adam, first, second)?;
        for meta_step in 0..self.meta_steps {
            let problem = population.draw(self.seed, meta_step, 0)?;
            let trained = device::train::<A>(&problem, &hyper, Some(method), &|| ())?;
            let back = trained.back.context("no hypergradient")?;
            adam.step(&mut hyper, &back.hypergradient)?;
            bar.inc(1);
        }
        let problem = population.draw(self.seed, self.meta_steps, 0)?;
        let trained = device::train::<A>(&problem, &hyper, None, &|| ())?;
        Ok(problem.errors::<A>(&hyper, &trained.w)?.test)
    }

    fn page(&self, plain_seconds: f64, rows: Vec<Row>) -> Page {
        let e = self.experiment;
        Page {
            experiment: e.name.clone(),
            title: e.title.clone(),
            settings: named(&[
                ("network", e.network()),
                ("weights", e.weights().to_string()),
                ("hyperparameters", e.hypers().to_string()),
                ("training steps", e.steps.to_string()),
                ("batch", e.batch.to_string()),
                ("rate", e.said(What::Rate)),
                ("momentum", e.said(What::Momentum)),
                ("tuning", format!("Adam {}", e.outer.rates.adam)),
                ("seed", self.seed.to_string()),
            ]),
            versions: versions(self.arithmetic),
            plain_seconds,
            rows,
            tuned_meta_steps: self.meta_steps,
        }
    }
}
