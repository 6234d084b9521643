//! The hypergradient of one small network by each method, a program for each: what does a method cost in
//! flash and RAM?
//!
//! A network 16-8-4 with a penalty for each of its 24 units learns four clouds of points in 64 steps. All
//! programs but for the backward pass are the same; [`direct`] has none and is what the others are measured
//! against. Nothing is tuned: the hash of the hypergradient is compared with the host's, and there its
//! cosine to the exact one is asserted.

use drmad::group::{Granularity, Groups};
use drmad::layers::Layer::{Dense, Tanh};
use drmad::memory::Need;
use drmad::method::{Method, Recall, Sweep};
use drmad::models::Features;
use drmad::network::{Loss, Network};
use drmad::path::Levels;
use drmad::random::{InitialWeights, Normal};
use drmad::training::{On, Training, Tuned, What};
use drmad::{Error, Plain};

use crate::{Failure, Judged, Report, fnv1a64};

const INPUTS: usize = 16;
const EXAMPLES: usize = 64;
const TRAINED: usize = 40;
const NETWORK: Network<'static> = Network {
    inputs: INPUTS,
    layers: &[Dense(8), Tanh, Dense(4)],
    loss: Loss::CrossEntropy,
};
const UNITS: &[Tuned] = &[Tuned::new(What::Penalty, Granularity::Unit)];

/// What is trained.
pub const TRAINING: Training<'static> = Training {
    valid_examples: EXAMPLES - TRAINED,
    tuned: UNITS,
    rate: 0.2,
    log_scale: -1.0,
    batch: 4,
    seed: 1,
    ..Training::of(NETWORK, TRAINED, 64)
};
const H: usize = TRAINING.hypers().len();
/// The logarithm of a hundredth.
const PENALTIES: [f32; H] = [-4.6; H];
/// Snapshots, knots, hats and polynomials.
const K: usize = 8;

/// The data.
#[derive(Debug)]
struct Clouds {
    x: [f32; EXAMPLES * INPUTS],
    labels: [u8; EXAMPLES],
}

impl Clouds {
    const fn new() -> Self {
        Clouds {
            x: [0.0; _],
            labels: [0; _],
        }
    }

    /// Points about four corners, their classes in turn.
    fn fill(&mut self) {
        let normal = Normal {
            seed: 3,
            groups: Groups::global(self.x.len()),
            log_scales: &[0.0f32],
        };
        normal.fill(0, &mut self.x);
        let points = self.x.chunks_exact_mut(INPUTS);
        for (i, (point, label)) in points.zip(&mut self.labels).enumerate() {
            *label = (i % 4) as u8;
            for x in point.iter_mut().skip(i % 4).take(1) {
                *x += 1.5;
            }
        }
    }

    /// Those trained on, and those validated on.
    fn halves(&self) -> [Features<'_>; 2] {
        let (x, valid_x) = self.x.split_at(TRAINED * INPUTS);
        let (labels, valid_labels) = self.labels.split_at(TRAINED);
        [(x, labels), (valid_x, valid_labels)].map(|(x, labels)| Features {
            x,
            labels,
            width: INPUTS,
        })
    }
}

/// A hypergradient, its hash and the validation loss.
#[derive(Clone, Copy, Debug)]
pub struct Hypergradient {
    /// By the penalties.
    pub d_h: [f32; H],
    /// At the end of training.
    pub valid_loss: f32,
}

impl Hypergradient {
    fn report(&self) -> Report {
        let judged = Judged {
            valid_loss: self.valid_loss,
            test_error: 0.0,
        };
        Report {
            hash: fnv1a64(&self.d_h),
            before: judged,
            after: judged,
            ..Report::default()
        }
    }
}

/// A method's memory and program.
macro_rules! method {
    ($(#[$doc:meta])* $name:ident, $method:expr) => {
        $(#[$doc])*
        pub mod $name {
            use super::*;

            const METHOD: Method = $method;

            /// What the training takes with it.
            pub const NEED: Need<f32> = TRAINING.need(METHOD);

            /// All of its memory, but for the stack.
            #[derive(Debug)]
            pub struct Memory {
                clouds: Clouds,
                training: [f32; NEED.len()],
            }

            impl Default for Memory {
                fn default() -> Self {
                    Self::new()
                }
            }

            impl Memory {
                /// Zeros.
                pub const fn new() -> Self {
                    Memory {
                        clouds: Clouds::new(),
                        training: [0.0; _],
                    }
                }
            }

            /// The hypergradient.
            ///
            /// # Errors
            /// What the crate refuses.
            pub fn hypergradient(memory: &mut Memory) -> Result<Hypergradient, Error> {
                memory.clouds.fill();
                let [train, valid] = memory.clouds.halves();
                let [training, validation] = &TRAINING.losses_of::<Plain, _>(train, valid)?;
                let on = On {
                    training,
                    validation,
                    initial: None,
                };
                let (mut d_h, room) = ([0.0; H], &mut memory.training);
                let outcome = TRAINING.hypergradient(METHOD, on, &PENALTIES, &mut d_h, room)?;
                let valid_loss = outcome.valid_loss;
                Ok(Hypergradient { d_h, valid_loss })
            }

            /// Its report.
            ///
            /// # Errors
            /// [`Failure::Refused`].
            pub fn run(memory: &mut Memory) -> Result<Report, Failure> {
                Ok(hypergradient(memory)?.report())
            }
        }
    };
}

method!(
    /// No backward pass at all: the weights are taken for constants.
    direct,
    Method::Direct
);

method!(
    /// Every step stored.
    tape,
    Method::TAPE
);

method!(
    /// Some steps stored, the others taken again.
    checkpoints,
    Method::Sweep(Sweep::over(Recall::Checkpoints { snapshots: K }))
);

method!(
    /// Training in fixed point, run backwards.
    reversible,
    Method::Sweep(Sweep::over(Recall::Reversible))
);

method!(
    /// The straight line.
    line,
    Method::Sweep(Sweep::over(Recall::Line))
);

method!(
    /// The same as published: a tenth of the steps, the first batches.
    line_published,
    Method::Sweep(Sweep::over(Recall::PublishedLine { rate_scale: 1.0 }))
);

method!(
    /// Lines between some points, in 255 levels.
    knots,
    Method::Sweep(Sweep::over(Recall::Knots {
        intervals: K,
        levels: Levels::Most,
    }))
);

method!(
    /// Cubics between them.
    hermite,
    Method::Sweep(Sweep::over(Recall::Hermite {
        intervals: K,
        levels: Levels::Most,
    }))
);

method!(
    /// A fit by polynomials.
    legendre,
    Method::Sweep(Sweep::over(Recall::Legendre { polynomials: K }))
);

method!(
    /// A fit by hats, in 11 levels, before a tail.
    hats,
    Method::HATS
);

method!(
    /// Training in floating point, run backwards.
    reversed,
    Method::Sweep(Sweep::over(Recall::Reversed))
);

method!(
    /// One tangent for each hyperparameter, carried along.
    forward,
    Method::Forward
);

method!(
    /// From the end of training alone, by conjugate gradients.
    implicit,
    Method::IMPLICIT
);

method!(
    /// The same by a Neumann series.
    neumann,
    Method::Implicit {
        series_rate: Some(0.5),
        iterations: 20,
        tolerance: 0.0,
        damping: 0.01,
    }
);
