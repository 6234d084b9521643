//! A problem trained, and its hypergradient: what of the crate's [`Training`] the program
//! wants to know beside the numbers, that is times, counts, memory and words.

use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use drmad::group::Groups;
use drmad::implicit::{Solved, Stopped};
use drmad::method::Extent;
use drmad::random::{InitialWeights, Normal};
use drmad::training::{Compiled, Observer, On, Session, Training, Values};

use crate::counted::{Counted, Counts};
use crate::divergence::Divergence;
use crate::experiment::What;
use crate::method::{MOST_TANGENTS, Method, Name, zeros};
use crate::problem::{Problem, Use};
use crate::quality::Errors;
use crate::statistics;
use crate::words::several;

/// A trained network, and its hypergradient where one was asked for.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The weights at the end.
    pub w: Vec<f32>,
    /// The training loss of every step.
    pub losses: Vec<f32>,
    /// Seconds of the training.
    pub forward_seconds: f64,
    /// What the sweep gave.
    pub back: Option<Back>,
}

impl Trained {
    /// The mean of the last tenth of the training losses.
    pub(crate) fn last_loss(&self) -> f64 {
        let last = &self.losses[self.losses.len() - self.losses.len().div_ceil(10)..];
        statistics::mean(last.iter().map(|x| f64::from(*x)))
    }
}

/// A hypergradient and its costs.
#[derive(Clone, Debug)]
pub struct Back {
    /// By each hyperparameter.
    pub hypergradient: Vec<f32>,
    /// The outer loss as the sweep saw it.
    pub valid_loss: f32,
    /// Seconds of validation and sweep.
    pub seconds: f64,
    /// Numbers the path kept, beyond weights, velocity, gradient and the adjoints; those of tangents.
    pub floats: usize,
    /// Gradients computed after the training.
    pub gradients: usize,
    /// Second-order products computed.
    pub products: usize,
    /// What else there is to say.
    pub note: Option<String>,
}

/// What is seen of a training while it runs.
struct Seen<'s> {
    losses: Vec<f32>,
    clock: Instant,
    forward_seconds: f64,
    counts: &'s Counts,
    each: &'s mut dyn FnMut(usize),
    then: &'s mut dyn FnMut(&[f32]),
    w: Vec<f32>,
    note: Option<String>,
}

impl Observer<f32> for Seen<'_> {
    fn step(&mut self, t: usize, loss: f32) {
        self.losses[t] = loss;
        (self.each)(t);
    }

    fn trained(&mut self, w: &[f32]) {
        self.forward_seconds = self.clock.elapsed().as_secs_f64();
        self.w = w.to_vec();
        (self.then)(w);
        self.counts.gradients.set(0);
        self.clock = Instant::now();
    }

    fn solved(&mut self, solved: Solved<f32>) {
        self.note = Some(format!(
            "residual {:.2e} after {}{}",
            solved.residual,
            several(solved.iterations, "iteration"),
            match solved.stopped {
                Stopped::Curvature => ", then negative curvature",
                _ => "",
            }
        ));
    }
}

impl Problem<'_> {
    /// Room for the [values](Self::values) of hyperparameters.
    pub(crate) fn room(&self) -> Vec<f32> {
        vec![0.0; Values::<f32>::required_len(&self.training())]
    }

    /// What hyperparameters stand for.
    ///
    /// # Errors
    /// One that stands for no finite number.
    pub(crate) fn values<'v, A: Compiled<f32>>(
        &'v self,
        hyper: &[f32],
        room: &'v mut [f32],
    ) -> Result<Values<'v, f32>> {
        match Values::new::<A>(self.training(), hyper, room) {
            Err(drmad::Error::Domain { index: place, .. }) => {
                let value = hyper[place];
                Err(Divergence::Hyperparameter { place, value }.into())
            }
            values => Ok(values?),
        }
    }

    /// The initial weights for these hyperparameters.
    ///
    /// # Errors
    /// A hyperparameter that stands for no finite number.
    pub fn initial<A: Compiled<f32>>(&self, hyper: &[f32]) -> Result<Vec<f32>> {
        let (mut room, mut w) = (self.room(), vec![0.0; self.experiment.weights()]);
        self.values::<A>(hyper, &mut room)?.normal().fill(0, &mut w);
        Ok(w)
    }

    /// Trains with these hyperparameters and, where a method is given, takes the hypergradient.
    /// `each` hears of every training step.
    ///
    /// # Errors
    /// A training or a sweep that diverges, and too little memory.
    pub fn train<A: Compiled<f32>>(
        &self,
        hyper: &[f32],
        method: Option<&Method>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Trained> {
        self.train_then::<A>(hyper, method, each, &mut |_| ())
    }

    /// The same with the errors of the trained weights, which are measured beside the backward pass: on
    /// another core where one is free.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_and_measure<A: Compiled<f32>>(
        &self,
        hyper: &[f32],
        method: &Method,
        each: &mut dyn FnMut(usize),
    ) -> Result<(Trained, Errors)> {
        let errors = OnceLock::new();
        let trained = rayon::in_place_scope(|beside| {
            self.train_then::<A>(hyper, Some(method), each, &mut |w| {
                let (w, errors) = (w.to_vec(), &errors);
                beside.spawn(move |_| {
                    errors.get_or_init(|| self.errors::<A>(hyper, &w));
                });
            })
        })?;
        let errors = errors.into_inner().context("no trained weights")??;
        Ok((trained, errors))
    }

    /// As [`train`](Self::train); `then` hears of the trained weights, before a backward pass begins.
    fn train_then<A: Compiled<f32>>(
        &self,
        hyper: &[f32],
        method: Option<&Method>,
        each: &mut dyn FnMut(usize),
        then: &mut dyn FnMut(&[f32]),
    ) -> Result<Trained> {
        if let Some(method) = method {
            self.check_method(method)?;
        }
        // The outer examples are in the order of their drawing, so the first of them are a draw too.
        let validated = method.and_then(|method| method.validate_on);
        let validated = validated.unwrap_or(self.drawn.validation.len());
        let extent = {
            let mut room = self.room();
            let schedule = self.values::<A>(hyper, &mut room)?.schedule();
            let wanted = self.experiment.tunes_schedule();
            Extent::of(&schedule, self.experiment.steps, wanted)
        };
        let training = Training {
            valid_examples: validated,
            // What memory is kept for: momenta that are tuned may be below the one that is not.
            momentum: extent.momentum,
            ..self.training()
        };
        let (trained, validation) = (self.trained(), self.validation(validated));
        let (losses, counts) = (
            training.losses::<A>(&trained, &validation)?,
            Counts::default(),
        );
        let counted = Counted {
            inner: losses.training.pointer(),
            counts: &counts,
        };
        let on = On {
            training: &counted,
            validation: losses.validation.pointer(),
            initial: self.from.as_deref(),
        };
        let mut seen = Seen {
            losses: vec![0.0; training.steps],
            clock: Instant::now(),
            forward_seconds: 0.0,
            counts: &counts,
            each,
            then,
            w: vec![],
            note: None,
        };
        let Some(method) = method else {
            let way = Method::new(Name::Line).to_core(extent)?;
            let mut memory = zeros("the training", training.need::<f32>(way).len())?;
            let mut session = Session::new(training, way.sweep(), on, hyper, &mut memory)?;
            let w = session.train(&mut |t, loss| seen.step(t, loss))?;
            seen.trained(w);
            return Ok(seen.end(None));
        };
        let way = method.to_core(extent)?;
        let mut memory = zeros(method.memory(), training.need::<f32>(way).len())?;
        let mut hypergradient = vec![0.0; hyper.len()];
        let (valid_loss, floats) = if method.name.has_path() {
            let mut session = Session::new(training, way.sweep(), on, hyper, &mut memory)?;
            if method.fresh_batches {
                session = session.with_fresh_batches(self.fresh_batches());
            }
            let w = session.train(&mut |t, loss| seen.step(t, loss))?;
            seen.trained(w);
            let outcome = session.advance(usize::MAX, &mut |_, _| ())?;
            session.hypergradient(&mut hypergradient)?;
            let outcome = outcome.context("a backward pass without an end")?;
            (outcome.valid_loss, session.floats())
        } else {
            let d_h = &mut hypergradient;
            let outcome = training.observed(way, on, hyper, d_h, &mut memory, &mut seen)?;
            let floats = match method.name {
                Name::Forward => 3 * hyper.len() * self.experiment.weights(),
                _ => 0,
            };
            (outcome.valid_loss, floats)
        };
        let back = Back {
            hypergradient: self.said_by(method, hypergradient),
            valid_loss,
            seconds: seen.clock.elapsed().as_secs_f64(),
            floats,
            gradients: counts.gradients.get(),
            products: counts.products.get(),
            note: seen.note.take(),
        };
        Ok(seen.end(Some(back)))
    }

    /// Refuses a method that does not know all that is tuned.
    pub(crate) fn check_method(&self, method: &Method) -> Result<()> {
        let e = self.experiment;
        let along = e.tunes_schedule() || e.block(What::InitialScale).is_some();
        if method.name == Name::Forward {
            let (count, p) = (e.hypers(), e.weights());
            if count > MOST_TANGENTS {
                bail!(
                    "forward carries a tangent for each hyperparameter: {} has {count}, which need {} numbers; it takes at most {MOST_TANGENTS}: take hats or tape",
                    e.name,
                    count.saturating_mul(2 * p)
                );
            }
        } else if along && !method.name.has_path() {
            bail!(
                "{} has no derivative by rates, momenta and initial scales: take a method with a path",
                method.name.as_str()
            );
        }
        Ok(())
    }

    /// What a method says, from a hypergradient: the baselines that are none say something else.
    pub(crate) fn said_by(&self, method: &Method, mut hypergradient: Vec<f32>) -> Vec<f32> {
        match method.name {
            Name::AllUp => hypergradient.fill(-1.0),
            Name::Random => {
                let groups = Groups::global(hypergradient.len());
                let (seed, log_scales) = (Use::Direction.of(self.seed), &[0.0]);
                let normal = Normal {
                    seed,
                    groups,
                    log_scales,
                };
                normal.fill(0, &mut hypergradient);
            }
            _ => {}
        }
        hypergradient
    }
}

impl Seen<'_> {
    fn end(self, back: Option<Back>) -> Trained {
        Trained {
            w: self.w,
            losses: self.losses,
            forward_seconds: self.forward_seconds,
            back,
        }
    }
}
