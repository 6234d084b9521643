//! Where trainings run: on the processor's cores, or as replicas on a GPU.
//!
//! Both give the same bits, so a device is chosen for the whole process, like the number of threads
//! ([`settle`]), and no result says which it was. A method that a GPU does not do (forward mode, implicit
//! differentiation, some paths) runs on the processor, which is said once; so do the losses and errors by which
//! trained weights are judged.

pub mod check;

use std::fmt;
use std::str::FromStr;
use std::sync::{Once, OnceLock};

use anyhow::{Context, Result, ensure};
use drmad::cuda;
use drmad::group::Groups;
use drmad::method::Extent;
use drmad::path::Grid;
use drmad::random::{Initial, InitialWeights};
use drmad::training::{Compiled, Values};
use drmad::wrap::Strength;
use rayon::prelude::*;

use crate::experiment::What;
use crate::inputs::Images;
use crate::method::{Method, Name};
use crate::problem::Problem;
use crate::trained::{Back, Trained};

/// A device as the command line names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// `cpu`: all cores.
    #[default]
    Cpu,
    /// `cuda` or `cuda:N`: a GPU by its number.
    Cuda(usize),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Which::Cpu),
            "cuda" => Ok(Which::Cuda(0)),
            _ => {
                let number = text.strip_prefix("cuda:").and_then(|n| n.parse().ok());
                number
                    .map(Which::Cuda)
                    .ok_or_else(|| "cpu, cuda, or cuda:N with the number of a GPU".into())
            }
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Cpu => f.write_str("cpu"),
            Which::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// What trainings run on.
pub enum Device {
    /// All cores.
    Cpu,
    /// A GPU, or what stands for one.
    Cuda(cuda::Device),
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// One training.
#[derive(Clone, Copy, Debug)]
pub struct Job<'j> {
    /// The draw.
    pub problem: &'j Problem<'j>,
    /// Its hyperparameters.
    pub hyper: &'j [f32],
    /// The way to its hypergradient, if it is to have one.
    pub method: Option<&'j Method>,
}

/// The device of this process.
static HERE: OnceLock<Device> = OnceLock::new();

/// Opens the device that this process trains on from now on.
///
/// # Errors
/// As [`Device::open`]; another device that is already in use.
pub fn settle(which: Which) -> Result<()> {
    let device = Device::open(which)?;
    ensure!(HERE.set(device).is_ok(), "trainings already run elsewhere");
    Ok(())
}

/// The device of this process: its processor, where nothing else was said.
pub fn here() -> &'static Device {
    HERE.get_or_init(|| Device::Cpu)
}

/// One training on the device of this process; `each` hears of every training step.
///
/// # Errors
/// As [`Problem::train`]; what the device says.
pub fn train<A: Compiled<f32>>(
    problem: &Problem<'_>,
    hyper: &[f32],
    method: Option<&Method>,
    each: &(dyn Fn() + Sync),
) -> Result<Trained> {
    let job = Job {
        problem,
        hyper,
        method,
    };
    let mut trained = here().train::<A>(&[job], each)?;
    trained.pop().context("no training")?
}

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// No such GPU, no driver, no compiler of its kernels.
    pub fn open(which: Which) -> Result<Self> {
        Ok(match which {
            Which::Cpu => Device::Cpu,
            Which::Cuda(number) => Device::Cuda(
                cuda::Device::open(number).with_context(|| format!("--device {which}"))?,
            ),
        })
    }

    /// What it is.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => "this processor".into(),
            Device::Cuda(device) => device.name(),
        }
    }

    /// Does these trainings, side by side; `each` hears of every training step.
    ///
    /// # Errors
    /// Of the outer result what the device says, of the inner ones a training or a sweep that diverges.
    pub fn train<A: Compiled<f32>>(
        &self,
        jobs: &[Job<'_>],
        each: &(dyn Fn() + Sync),
    ) -> Result<Vec<Result<Trained>>> {
        let on_cores = |jobs: &[Job<'_>]| -> Vec<Result<Trained>> {
            let jobs = jobs.par_iter().with_max_len(1);
            let train = |job: &Job<'_>| {
                job.problem
                    .train::<A>(job.hyper, job.method, &mut |_| each())
            };
            jobs.map(train).collect()
        };
        let Device::Cuda(device) = self else {
            return Ok(on_cores(jobs));
        };
        let mut methods = jobs.iter().filter_map(|job| job.method);
        if let Some(method) = methods.find(|method| !on_a_gpu(method)) {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                warn!(
                    "{} runs on the processor: a GPU does not do it",
                    method.name.as_str()
                );
            });
            return Ok(on_cores(jobs));
        }
        let mut rooms: Vec<_> = jobs.iter().map(|job| job.problem.room()).collect();
        let sides: Vec<Sides<'_>> = (jobs.iter().zip(&mut rooms))
            .map(|(job, room)| Sides::new::<A>(job, room))
            .collect::<Result<_>>()?;
        let initials: Vec<_> = sides.iter().map(Sides::initial).collect();
        let replicas: Vec<cuda::Replica<'_>> = (sides.iter().zip(&initials))
            .map(|(side, initial)| side.replica(initial))
            .collect::<Result<_>>()?;
        let results = device.run::<A>(&replicas)?;
        let count = jobs.len() as f64;
        let (forward, back) = (
            results.forward_seconds / count,
            results.back_seconds / count,
        );
        let trained = results.replicas.into_iter().zip(&sides);
        let trained = trained.map(|(done, side)| {
            (0..side.job.problem.experiment.steps).for_each(|_| each());
            side.trained(done?, [forward, back])
        });
        Ok(trained.collect())
    }
}

/// Whether a GPU does it.
const fn on_a_gpu(method: &Method) -> bool {
    !matches!(
        method.name,
        Name::Reversible
            | Name::Knots
            | Name::Hermite
            | Name::Legendre
            | Name::Forward
            | Name::Implicit
            | Name::Neumann
    )
}

/// What a replica borrows from.
struct Sides<'j> {
    job: Job<'j>,
    values: Values<'j, f32>,
}

impl<'j> Sides<'j> {
    fn new<A: Compiled<f32>>(job: &Job<'j>, room: &'j mut [f32]) -> Result<Self> {
        let values = job.problem.values::<A>(job.hyper, room)?;
        Ok(Sides { job: *job, values })
    }

    fn initial(&self) -> Initial<'_, f32> {
        self.values.initial(self.job.problem.from.as_deref())
    }

    fn replica<'s>(
        &'s self,
        initial: &'s (dyn InitialWeights<f32> + Sync),
    ) -> Result<cuda::Replica<'s>> {
        let problem = self.job.problem;
        let e = problem.experiment;
        let method = self.job.method;
        if let Some(method) = method {
            problem.check_method(method)?;
        }
        let drop_negative_curvature = method.is_some_and(|method| method.drop_negative_curvature);
        let data = &problem.data.train;
        let images = |chosen: &'s [u32], labels: &'s [u8]| cuda::Images {
            inputs: match problem.train {
                Images::Sparse(lists) => cuda::Inputs::Lists(&data.pixels, lists.images),
                Images::Dense(_) => cuda::Inputs::Pixels(&data.pixels),
            },
            labels,
            width: data.width(),
            chosen,
            mean: problem.mean,
        };
        let drawn = &problem.drawn;
        let labels = drawn.labels.as_deref().unwrap_or(&data.labels);
        let of_examples = [What::ExampleWeight, What::Pixel].map(|what| e.block(what));
        let of_examples = of_examples.into_iter().flatten();
        let beside = cuda::Tuned::Nothing(of_examples.map(|block| e.len_of(block)).sum());
        let tuned = match (e.block(What::ExampleWeight), e.block(What::Pixel)) {
            (Some(_), _) => cuda::Tuned::Weights,
            (None, Some(_)) => cuda::Tuned::Inputs,
            (None, None) => beside,
        };
        let scales = e.block(What::Scale).map(|block| e.groups_of(block));
        let off = e.block(What::Penalty);
        let validation_labels = match e.outer_loss {
            crate::experiment::OuterLoss::Valid => &data.labels[..],
            crate::experiment::OuterLoss::Train => labels,
        };
        let validated = method.and_then(|method| method.validate_on);
        let fresh = method.is_some_and(|method| method.fresh_batches);
        let batches = problem.batches();
        Ok(cuda::Replica {
            widths: &e.layers,
            microbatch: e.batch,
            training: cuda::Loss {
                images: images(&drawn.train, labels),
                tuned,
                scales,
                penalty: match e.block(What::Penalty) {
                    Some(block) => Some(Strength::Tuned(e.groups_of(block))),
                    None => e
                        .l2()
                        .map(|l2| Strength::Fixed(l2, Groups::global(e.weights()))),
                },
                drop_negative_curvature,
            },
            validation: cuda::Loss {
                images: images(&drawn.validation, validation_labels),
                tuned: beside,
                scales,
                penalty: off.map(|block| Strength::Off(e.groups_of(block))),
                drop_negative_curvature: false,
            },
            validated: validated.unwrap_or(drawn.validation.len()),
            h: self.values.h(),
            schedule: self.values.schedule(),
            batches,
            sweep_batches: if fresh {
                problem.fresh_batches()
            } else {
                batches
            },
            steps: e.steps,
            initial,
            way: match method {
                Some(method) => Some(self.way(method)?),
                None => None,
            },
            wants_schedule: e.tunes_schedule(),
        })
    }

    fn way(&self, method: &Method) -> Result<cuda::Way> {
        let steps = self.job.problem.experiment.steps;
        let extent = Extent::of(&self.values.schedule(), steps, false);
        let recall = match method.name {
            Name::Tape => cuda::Recall::Tape,
            Name::Checkpoints => cuda::Recall::Checkpoints {
                snapshots: method.snapshots,
            },
            Name::Line => cuda::Recall::Line,
            Name::LinePublished => cuda::Recall::LinePublished {
                rate_scale: method.rate_scale,
            },
            Name::Hats => cuda::Recall::Hats {
                intervals: method.knots,
                spacing: method.spacing.unwrap_or(Grid::spacing(method.knots)),
                levels: method.levels,
            },
            Name::Reversed => cuda::Recall::Reversed,
            // Direct, and what is no method.
            _ => cuda::Recall::Nowhere,
        };
        Ok(cuda::Way {
            recall,
            tail: method.tail_of(extent)?,
            last: method.last,
        })
    }

    /// The hypergradient, from what a device gives back.
    fn pull_back(&self, back: &cuda::Back) -> Result<Vec<f32>> {
        let problem = self.job.problem;
        let mut d = problem.room();
        let tables = self.values.derivatives(&mut d)?;
        tables.h.copy_from_slice(&back.d_h);
        if let Some((rates, momenta)) = &back.schedule {
            tables.rates.copy_from_slice(rates);
            tables.momenta.copy_from_slice(momenta);
        }
        if problem.experiment.block(What::InitialScale).is_some() {
            let (normal, mut w0) = (self.values.normal(), vec![0.0; back.d_w.len()]);
            normal.fill(0, &mut w0);
            normal.adjoint(&w0, &back.d_w, tables.log_scales)?;
        }
        let mut hypergradient = vec![0.0; self.job.hyper.len()];
        self.values.pull_back(&d, &mut hypergradient)?;
        Ok(hypergradient)
    }

    fn trained(&self, done: cuda::Done, [forward_seconds, seconds]: [f64; 2]) -> Result<Trained> {
        let Job {
            problem, method, ..
        } = self.job;
        let back = match (done.back, method) {
            (Some(back), Some(method)) => {
                let hypergradient = self.pull_back(&back)?;
                let hypergradient = problem.said_by(method, hypergradient);
                Some(Back {
                    hypergradient,
                    valid_loss: back.valid_loss,
                    seconds,
                    floats: back.costs.floats,
                    gradients: back.costs.gradients,
                    products: back.costs.products,
                    note: None,
                })
            }
            _ => None,
        };
        Ok(Trained {
            w: done.w,
            losses: done.losses,
            forward_seconds,
            back,
        })
    }
}
