//! An experiment with its data drawn: a function from hyperparameters to losses and hypergradients.
//!
//! Everything here is a function of the experiment, the data and a seed. Each draw of a meta-iteration
//! has a seed of its own ([`seed_of`]), so its examples, its initial weights and its batches are its own
//! too; the test examples are those of the whole run.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use drmad::Arithmetic;
use drmad::forward::{self, Forward, Wrt};
use drmad::group::Groups;
use drmad::hypergradient::{Validation, Wanted, Workspace, scratch_len};
use drmad::implicit::{self, Implicit, Solver, Stopped};
use drmad::kernels::accumulate::scale_rows_in_place;
use drmad::models::{Examples, Mlp};
use drmad::objective::{At, Objective};
use drmad::outer::Parametrisation;
use drmad::path::{Path, Reversed};
use drmad::random::{Batches, Normal, Origin, choose};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{L2, Psd, Scaled, Strength};

use crate::counted::{Counted, Counts};
use crate::data::Dataset;
use crate::experiment::{Experiment, Outside, Tuned};
use crate::inputs::Images;
use crate::loss::Loss;
use crate::method::{MOST_TANGENTS, Method, Name, Shape, Storage, zeros};

/// The images of an experiment, as positions in the data's files.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Positions in the training file that are trained on.
    pub train: Vec<u32>,
    /// Positions in the training file that the outer loss is taken over.
    pub outside: Vec<u32>,
    /// Positions in the test file.
    pub test: Vec<u32>,
}

/// An experiment and its data, checked once: what draws are taken from.
#[derive(Clone, Debug)]
pub struct Population<'a> {
    experiment: &'a Experiment,
    data: &'a Dataset,
    mean: f32,
    train: Images<'a>,
    test: Images<'a>,
    /// Positions in the test file.
    tested: Vec<u32>,
}

/// The most draws that a meta-iteration has.
pub const MOST_DRAWS: usize = 1 << 10;

/// The seed of a draw, `seed + 2^32 meta_step + 2^54 draw`: no two share one while seeds are below
/// 2^32, meta-iterations below 2^22 and draws below [`MOST_DRAWS`].
pub const fn seed_of(seed: u64, meta_step: usize, draw: usize) -> u64 {
    seed.wrapping_add((meta_step as u64) << 32)
        .wrapping_add((draw as u64) << 54)
}

/// An experiment, its data and a seed.
#[derive(Debug)]
pub struct Problem<'a> {
    /// The settings.
    pub experiment: &'a Experiment,
    /// The images.
    pub data: &'a Dataset,
    /// What is subtracted from inputs.
    pub mean: f32,
    /// The examples.
    pub drawn: Drawn,
    /// The seed of initial weights and batches.
    pub seed: u64,
    /// All images of the training file, none of them chosen.
    train: Images<'a>,
    /// The same of the test file.
    test: Images<'a>,
}

/// How good some weights are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Outer loss.
    pub valid_loss: f64,
    /// Share of the outer examples that are misclassified.
    pub valid_error: f64,
    /// Loss on the test examples.
    pub test_loss: f64,
    /// Share of the test examples that are misclassified.
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

/// What is asked of a training.
#[derive(Clone, Copy)]
struct Task<'t> {
    hyper: &'t [f32],
    method: Option<&'t Method>,
    counts: &'t Counts,
}

/// What a method says.
struct Taken {
    hypergradient: Vec<f32>,
    valid_loss: f32,
    note: Option<String>,
}

/// The values of the hyperparameters and what else a training wants, in the form it wants it.
struct Tables {
    log_scales: Vec<f32>,
    rates: Vec<f32>,
    momenta: Vec<f32>,
    /// What is left for the objective: scales or coefficients, where the hyperparameters are their
    /// logarithms.
    h: Vec<f32>,
    groups: Groups<'static>,
}

impl<'a> Population<'a> {
    /// Checks the data and lists their pixels.
    ///
    /// # Errors
    /// Fewer examples in the data than the experiment needs, other image sizes, more classes.
    pub fn new(experiment: &'a Experiment, data: &'a Dataset) -> Result<Self> {
        let [train, valid, test] = experiment.examples;
        let (inputs, classes) = (
            experiment.layers[0],
            experiment.layers[experiment.layers.len() - 1],
        );
        if data.train.width() != inputs {
            bail!(
                "{} takes images of {inputs} pixels and the data have {} x {}",
                experiment.name,
                data.train.rows,
                data.train.columns
            );
        }
        if data.classes() > classes {
            bail!(
                "{} knows {classes} classes and the data have {}",
                experiment.name,
                data.classes()
            );
        }
        for (what, have, want) in [
            ("training", data.train.len(), train + valid),
            ("test", data.test.len(), test),
        ] {
            if have < want {
                bail!(
                    "{} draws {want} of the {what} images and there are {have}",
                    experiment.name
                );
            }
        }
        // The test examples are the same for every seed, so that runs compare.
        let mut tested = vec![0; test];
        choose(0, &mut vec![0; data.test.len()], &mut tested)?;
        let mean = data.mean_pixel();
        let all = |split| Images::new(experiment.inputs, split, mean);
        Ok(Population {
            experiment,
            data,
            mean,
            train: all(&data.train)?,
            test: all(&data.test)?,
            tested,
        })
    }

    /// Draws the examples of a meta-iteration: draw 0 is the one of a meta-iteration that has no other.
    ///
    /// # Errors
    /// None for a population that was checked.
    pub fn draw(&self, seed: u64, meta_step: usize, draw: usize) -> Result<Problem<'a>> {
        let Population {
            experiment,
            data,
            mean,
            train,
            test,
            ..
        } = *self;
        let seed = seed_of(seed, meta_step, draw);
        let [trained, valid, _] = experiment.examples;
        let mut chosen = vec![0; trained + valid];
        choose(seed, &mut vec![0; data.train.len()], &mut chosen)?;
        let outside = match experiment.outside {
            Outside::Valid => chosen[trained..].to_vec(),
            Outside::Train => chosen[..trained].to_vec(),
        };
        chosen.truncate(trained);
        Ok(Problem {
            experiment,
            data,
            mean,
            train,
            test,
            drawn: Drawn {
                train: chosen,
                outside,
                test: self.tested.clone(),
            },
            seed,
        })
    }
}

impl<'a> Problem<'a> {
    /// The first draw of meta-iteration `meta_step`.
    ///
    /// # Errors
    /// As [`Population::new`].
    pub fn draw(
        experiment: &'a Experiment,
        data: &'a Dataset,
        seed: u64,
        meta_step: usize,
    ) -> Result<Self> {
        Population::new(experiment, data)?.draw(seed, meta_step, 0)
    }

    fn network<'s, A: Arithmetic>(
        &'s self,
        all: Images<'s>,
        chosen: &'s [u32],
    ) -> Result<Mlp<'s, Images<'s>, A>> {
        let Experiment { layers, batch, .. } = self.experiment;
        Ok(Mlp::new(all.choose(chosen), layers, *batch)?)
    }

    /// The training loss.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn training<A: Arithmetic>(&self) -> Result<Loss<'_, A>> {
        let network = self.network(self.train, &self.drawn.train)?;
        let groups = self.experiment.groups();
        let everywhere = Groups::global(self.experiment.weights());
        Ok(match (self.experiment.tuned, self.experiment.l2()) {
            (Tuned::Scales(_), Some(l2)) => Loss::ScaledL2(L2::new(
                Scaled {
                    inner: network,
                    groups,
                },
                Strength::Fixed(l2, everywhere),
            )),
            (Tuned::Scales(_), None) => Loss::Scaled(Scaled {
                inner: network,
                groups,
            }),
            (Tuned::Penalties(_), _) => Loss::L2(L2::new(network, Strength::Tuned(groups))),
            (Tuned::Schedules, Some(l2)) => {
                Loss::L2(L2::new(network, Strength::Fixed(l2, everywhere)))
            }
            (Tuned::Schedules, None) => Loss::Plain(network),
        })
    }

    /// The outer loss, without penalties.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn outside<A: Arithmetic>(&self) -> Result<Loss<'_, A>> {
        self.unpenalised(self.train, &self.drawn.outside)
    }

    fn unpenalised<'s, A: Arithmetic>(
        &'s self,
        all: Images<'s>,
        chosen: &'s [u32],
    ) -> Result<Loss<'s, A>> {
        let network = self.network(all, chosen)?;
        let groups = self.experiment.groups();
        Ok(match self.experiment.tuned {
            Tuned::Scales(_) => Loss::Scaled(Scaled {
                inner: network,
                groups,
            }),
            Tuned::Penalties(_) => Loss::L2(L2::new(network, Strength::Off(groups))),
            Tuned::Schedules => Loss::Plain(network),
        })
    }

    fn tables<A: Arithmetic>(&self, hyper: &[f32]) -> Tables {
        let e = self.experiment;
        match e.tuned {
            Tuned::Schedules => {
                let groups = e.groups();
                let (log_scales, rest) = hyper.split_at(groups.len());
                let (log_rates, logit_momenta) =
                    rest.split_at(groups.len() * self.experiment.steps);
                let (mut rates, mut momenta) = (log_rates.to_vec(), logit_momenta.to_vec());
                Parametrisation::Log.value::<A, _>(&mut rates);
                Parametrisation::Logit.value::<A, _>(&mut momenta);
                Tables {
                    log_scales: log_scales.to_vec(),
                    rates,
                    momenta,
                    h: vec![],
                    groups,
                }
            }
            _ => {
                let mut h = hyper.to_vec();
                Parametrisation::Log.value::<A, _>(&mut h);
                Tables {
                    log_scales: vec![e.log_scale],
                    rates: vec![e.rate],
                    momenta: vec![e.momentum],
                    h,
                    groups: Groups::global(e.weights()),
                }
            }
        }
    }

    /// The derivative by the values becomes one by the hyperparameters. That by initial scales is one
    /// by their logarithms already.
    fn pull_back(&self, tables: &Tables, d: &mut [f32]) -> Result<()> {
        if self.experiment.tuned == Tuned::Schedules {
            let (d_rates, d_momenta) = d[tables.groups.len()..].split_at_mut(tables.rates.len());
            Parametrisation::Log.pull_back(&tables.rates, d_rates)?;
            Parametrisation::Logit.pull_back(&tables.momenta, d_momenta)?;
        } else {
            Parametrisation::Log.pull_back(&tables.h, d)?;
        }
        if d.iter().any(|d| !d.is_finite()) {
            bail!("the hypergradient is not finite: lower the hyperparameters");
        }
        Ok(())
    }

    fn batches(&self) -> Batches {
        Batches {
            seed: self.seed,
            examples: self.drawn.train.len(),
            size: self.experiment.batch,
        }
    }

    /// The examples of every step, steps x batch, as positions in `drawn.train`.
    ///
    /// # Errors
    /// None for an experiment that can be trained.
    pub fn all_batches(&self) -> Result<Vec<u32>> {
        let size = self.experiment.batch;
        let mut all = zeros("the list of batches", self.experiment.steps * size)?;
        for (t, batch) in all.chunks_exact_mut(size).enumerate() {
            self.batches().fill(t, batch)?;
        }
        Ok(all)
    }

    /// The initial weights for these hyperparameters.
    pub fn initial<A: Arithmetic>(&self, hyper: &[f32]) -> Vec<f32> {
        let tables = self.tables::<A>(hyper);
        let mut w = vec![0.0; self.experiment.weights()];
        self.normal(&tables).fill(0, &mut w);
        w
    }

    fn normal<'s>(&self, tables: &'s Tables) -> Normal<'s, f32> {
        Normal {
            seed: self.seed,
            groups: tables.groups,
            log_scales: &tables.log_scales,
        }
    }

    /// Trains with these hyperparameters and, where a method is given, takes the hypergradient.
    /// `each` hears of every training step.
    ///
    /// # Errors
    /// A training or a sweep that diverges, and too little memory.
    pub fn train<A: Arithmetic>(
        &self,
        hyper: &[f32],
        method: Option<&Method>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Trained> {
        self.train_then::<A>(hyper, method, each, &mut |_| ())
    }

    /// The same with the errors of the trained weights, which are measured beside the way back: on
    /// another core where one is free.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_and_measure<A: Arithmetic>(
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

    /// As [`train`](Self::train); `then` hears of the trained weights, before a way back begins.
    fn train_then<A: Arithmetic>(
        &self,
        hyper: &[f32],
        method: Option<&Method>,
        each: &mut dyn FnMut(usize),
        then: &mut dyn FnMut(&[f32]),
    ) -> Result<Trained> {
        let (loss, counts) = (self.training::<A>()?, Counts::default());
        let counted = Counted {
            inner: &loss,
            counts: &counts,
        };
        let task = Task {
            hyper,
            method,
            counts: &counts,
        };
        if method.is_some_and(|method| method.psd) {
            self.train_on::<A, _>(&Psd { inner: counted }, task, each, then)
        } else {
            self.train_on::<A, _>(&counted, task, each, then)
        }
    }

    fn train_on<A: Arithmetic, O: Objective<Arithmetic = A>>(
        &self,
        training: &O,
        task: Task<'_>,
        each: &mut dyn FnMut(usize),
        then: &mut dyn FnMut(&[f32]),
    ) -> Result<Trained> {
        let (p, steps) = (self.experiment.weights(), self.experiment.steps);
        let tables = self.tables::<A>(task.hyper);
        if let Some(i) = tables.h.iter().position(|x| !x.is_finite()) {
            bail!(
                "hyperparameter {i} is {}, whose exponential is not a finite number",
                task.hyper[i]
            );
        }
        let outside = self.outside::<A>()?;
        let schedules = self.experiment.tuned == Tuned::Schedules;
        let rule = Rule::HeavyBall;
        let run = Run {
            objective: training,
            h: &tables.h,
            schedule: Schedule {
                rule,
                groups: tables.groups,
                rates: &tables.rates,
                momenta: &tables.momenta,
            },
            batches: self.batches(),
            steps,
        };
        let origin = self.normal(&tables);
        if task
            .method
            .is_some_and(|method| method.name == Name::Forward)
        {
            let trained = self.train_forward(&run, &tables, &outside, each)?;
            then(&trained.w);
            return Ok(trained);
        }
        let scratch =
            scratch_len(training, &outside).max(implicit::scratch_len(training, &outside));
        let len = Workspace::<f32>::required_len(p, scratch, rule, schedules);
        let mut buffer = zeros("the workspace", len)?;
        let mut workspace = Workspace::new(&mut buffer, p, rule, schedules)?;
        let mut batch = vec![0; self.experiment.batch];
        let mut storage = Storage::default();
        // Without a sweep any path will do, and the line costs nothing.
        let method = task.method.copied().unwrap_or(Method::new(Name::Line));
        let shape = Shape {
            weights: p,
            steps,
            slots: usize::from(schedules),
            momentum: tables.momenta.iter().copied().fold(1.0, f32::min),
            reach: Reversed::<A>::reach(&run.schedule, steps),
        };
        let mut path = method.path::<A>(shape, origin, &mut storage)?;

        let mut losses = vec![0.0; steps];
        let clock = Instant::now();
        run.walk(
            &origin,
            &mut *path,
            &mut workspace,
            &mut batch,
            &mut |t, loss| {
                losses[t] = loss;
                each(t);
            },
        )?;
        let forward_seconds = clock.elapsed().as_secs_f64();
        let w = workspace.w.to_vec();
        then(&w);
        let mut back = None;
        if task.method.is_some() {
            task.counts.gradients.set(0);
            let clock = Instant::now();
            let taken = self.take::<A, O>(
                &run,
                &outside,
                method,
                &mut *path,
                &mut workspace,
                &mut batch,
                (task.hyper, &tables),
            )?;
            back = Some(Back {
                hypergradient: taken.hypergradient,
                valid_loss: taken.valid_loss,
                seconds: clock.elapsed().as_secs_f64(),
                floats: path.floats(),
                gradients: task.counts.gradients.get(),
                products: task.counts.products.get(),
                note: taken.note,
            });
        }
        Ok(Trained {
            w,
            losses,
            forward_seconds,
            back,
        })
    }

    /// The hypergradient by a method, after the walk.
    #[allow(clippy::too_many_arguments)] // everything a hypergradient depends on
    fn take<A: Arithmetic, O: Objective<Arithmetic = A>>(
        &self,
        run: &Run<'_, O, f32>,
        outside: &Loss<'_, A>,
        method: Method,
        path: &mut dyn Path<f32>,
        workspace: &mut Workspace<'_, f32>,
        batch: &mut [u32],
        (hyper, tables): (&[f32], &Tables),
    ) -> Result<Taken> {
        let examples: Vec<u32> = (0..self.drawn.outside.len() as u32).collect();
        let validation = Validation {
            objective: outside,
            examples: &examples,
        };
        let mut hypergradient = vec![0.0; hyper.len()];
        let schedules = self.experiment.tuned == Tuned::Schedules;
        if schedules && !method.name.has_path() {
            bail!(
                "{} has no derivative by rates and momenta: take a method with a path",
                method.name.as_str()
            );
        }
        let mut note = None;
        let valid_loss = match method.name {
            Name::Implicit | Name::Neumann => {
                let all: Vec<u32> = (0..self.drawn.train.len() as u32).collect();
                let solver = match method.name {
                    Name::Neumann => Solver::Neumann { rate: method.rate },
                    _ => Solver::ConjugateGradients,
                };
                let settings = Implicit {
                    examples: &all,
                    solver,
                    iterations: method.iterations,
                    tolerance: 1e-6,
                    damping: method.damping,
                };
                let solved = run.implicit(&validation, &settings, workspace, &mut hypergradient)?;
                note = Some(format!(
                    "residual {:.2e} after {} iterations{}",
                    solved.residual,
                    solved.iterations,
                    match solved.stopped {
                        Stopped::Curvature => ", then negative curvature",
                        _ => "",
                    }
                ));
                solved.valid_loss
            }
            // The last two are no methods: what they say is written below.
            Name::Direct | Name::Random | Name::AllUp => {
                run.direct(&validation, workspace, &mut hypergradient)?
            }
            _ if schedules => {
                let groups = tables.groups.len();
                let (d_scales, rest) = hypergradient.split_at_mut(groups);
                let (d_rates, d_momenta) = rest.split_at_mut(tables.rates.len());
                let wanted = Wanted {
                    d_h: &mut [],
                    schedule: Some((d_rates, d_momenta)),
                };
                let outcome = run.back(&validation, path, workspace, batch, wanted)?;
                let w0 = self.initial::<A>(hyper);
                self.normal(tables).adjoint(&w0, workspace.d_w, d_scales)?;
                outcome.valid_loss
            }
            _ => {
                let wanted = Wanted {
                    d_h: &mut hypergradient,
                    schedule: None,
                };
                run.back(&validation, path, workspace, batch, wanted)?
                    .valid_loss
            }
        };
        self.pull_back(tables, &mut hypergradient)?;
        match method.name {
            Name::AllUp => hypergradient.fill(-1.0),
            Name::Random => {
                let groups = Groups::global(hypergradient.len());
                let (seed, log_scales) = (!self.seed, &[0.0]);
                Normal {
                    seed,
                    groups,
                    log_scales,
                }
                .fill(0, &mut hypergradient);
            }
            _ => {}
        }
        Ok(Taken {
            hypergradient,
            valid_loss,
            note,
        })
    }

    /// The same with a tangent for each hyperparameter.
    fn train_forward<A: Arithmetic, O: Objective<Arithmetic = A>>(
        &self,
        run: &Run<'_, O, f32>,
        tables: &Tables,
        outside: &Loss<'_, A>,
        each: &mut dyn FnMut(usize),
    ) -> Result<Trained> {
        let (p, count) = (self.experiment.weights(), self.experiment.hypers());
        let Schedule { rule, groups, .. } = run.schedule;
        if count > MOST_TANGENTS {
            bail!(
                "forward carries a tangent for each hyperparameter: {} has {count}, which need {} numbers; it takes at most {MOST_TANGENTS}: take hats or tape",
                self.experiment.name,
                count.saturating_mul(2 * p)
            );
        }
        let schedules = self.experiment.tuned == Tuned::Schedules;
        let wrt: Vec<Wrt> = if schedules {
            let initial = (0..groups.len()).map(|_| Wrt::Initial);
            let rates = (0..tables.rates.len()).map(Wrt::Rate);
            let momenta = (0..tables.momenta.len()).map(Wrt::Momentum);
            initial.chain(rates).chain(momenta).collect()
        } else {
            (0..count).map(Wrt::Hyper).collect()
        };
        let scratch = forward::scratch_len(run.objective, outside, count);
        let len = Forward::<f32>::required_len(p, run.h.len(), rule, count, scratch);
        let mut buffer = zeros("forward mode", len)?;
        let mut state = Forward::new(&mut buffer, run, &wrt)?;
        let origin = self.normal(tables);
        state.start(&origin)?;
        if schedules {
            let initial = state.w_dot.chunks_exact_mut(p).take(groups.len());
            for (group, w_dot) in initial.enumerate() {
                origin.tangent(group, state.w, w_dot)?;
            }
        }
        let mut losses = vec![0.0; run.steps];
        let mut batch = vec![0; self.experiment.batch];
        let clock = Instant::now();
        run.forward(0..run.steps, &mut state, &mut batch, &mut |t, loss| {
            losses[t] = loss;
            each(t);
        })?;
        let forward_seconds = clock.elapsed().as_secs_f64();
        let examples: Vec<u32> = (0..self.drawn.outside.len() as u32).collect();
        let validation = Validation {
            objective: outside,
            examples: &examples,
        };
        let mut hypergradient = vec![0.0; count];
        let clock = Instant::now();
        let valid_loss = run.hypergradient(&validation, &mut state, &mut hypergradient)?;
        self.pull_back(tables, &mut hypergradient)?;
        let seconds = clock.elapsed().as_secs_f64();
        Ok(Trained {
            w: state.w.to_vec(),
            losses,
            forward_seconds,
            back: Some(Back {
                hypergradient,
                valid_loss,
                seconds,
                floats: state.w_dot.len() + state.v_dot.len() + state.g_dot.len(),
                gradients: 0,
                products: run.steps * count,
                note: None,
            }),
        })
    }

    /// Losses and errors of trained weights (of `z`, where weights are scaled).
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn quality<A: Arithmetic>(&self, hyper: &[f32], w: &[f32]) -> Result<Quality> {
        let own = self.own::<A>(hyper, w);
        let loss_of = |all, chosen: &[u32]| -> Result<f64> {
            let network = self.network::<A>(all, chosen)?;
            let examples: Vec<u32> = (0..chosen.len() as u32).collect();
            let at = At {
                w: &own,
                h: &[],
                batch: &examples,
            };
            let loss = network.loss(at, &mut vec![0.0; network.loss_scratch_len()])?;
            if !loss.is_finite() {
                bail!("the trained network's loss is not finite: lower the rate or the scales");
            }
            Ok(f64::from(loss))
        };
        let valid_loss = loss_of(self.train, &self.drawn.outside)?;
        let test_loss = loss_of(self.test, &self.drawn.test)?;
        let Errors { valid, test } = self.errors::<A>(hyper, w)?;
        Ok(Quality {
            valid_loss,
            valid_error: valid,
            test_loss,
            test_error: test,
        })
    }

    /// The errors alone.
    ///
    /// # Errors
    /// What the network refuses.
    pub fn errors<A: Arithmetic>(&self, hyper: &[f32], w: &[f32]) -> Result<Errors> {
        let own = self.own::<A>(hyper, w);
        let error_of = |all, chosen: &[u32]| -> Result<f64> {
            let network = self.network::<A>(all, chosen)?;
            let classes = self.experiment.layers[self.experiment.layers.len() - 1];
            let mut scratch = vec![0.0; network.scratch_len()];
            let mut p = vec![0.0f32; self.experiment.batch * classes];
            let examples: Vec<u32> = (0..chosen.len() as u32).collect();
            let mut wrong = 0;
            for batch in examples.chunks(self.experiment.batch) {
                let p = &mut p[..batch.len() * classes];
                network.predict(&own, batch, p, &mut scratch)?;
                for (i, p) in batch.iter().zip(p.chunks_exact(classes)) {
                    let label = network.examples().label(*i)?;
                    // A tie with a wrong class is an error, and so is what is not a number.
                    let right = (0..classes).all(|k| k == label || p[k] < p[label]);
                    wrong += usize::from(!right);
                }
            }
            Ok(wrong as f64 / chosen.len() as f64)
        };
        Ok(Errors {
            valid: error_of(self.train, &self.drawn.outside)?,
            test: error_of(self.test, &self.drawn.test)?,
        })
    }

    /// The network's own weights: of scaled ones, `s z`.
    fn own<'w, A: Arithmetic>(&self, hyper: &[f32], w: &'w [f32]) -> Cow<'w, [f32]> {
        let mut own = Cow::from(w);
        if let Tuned::Scales(_) = self.experiment.tuned {
            let scales = self.tables::<A>(hyper).h;
            for block in self.experiment.groups().blocks() {
                let rows = block.of_mut(own.to_mut());
                scale_rows_in_place(block.columns, block.hypers(&scales), rows);
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_draws_share_a_seed_and_the_first_is_that_of_its_meta_iteration() {
        let mut seeds = BTreeSet::new();
        for seed in [0, 1, u64::from(u32::MAX)] {
            for meta_step in [0, 1, 20, 1 << 20, (1 << 22) - 1] {
                assert_eq!(
                    seed_of(seed, meta_step, 0),
                    seed + ((meta_step as u64) << 32)
                );
                for draw in [0, 1, 2, MOST_DRAWS - 1] {
                    assert!(seeds.insert(seed_of(seed, meta_step, draw)));
                }
            }
        }
    }
}
