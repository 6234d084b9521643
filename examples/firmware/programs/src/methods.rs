//! The hypergradient of one small network by each method, a program for each: what does a method cost in
//! flash and RAM?
//!
//! A network 16-8-4 with a penalty for each of its 24 units learns four clouds of points in 64 steps. All
//! programs but for the way back are the same; [`training`] has none and is what the others are measured
//! against. Nothing is tuned: the hash of the hypergradient is compared with the host's, and there its
//! cosine to the exact one is asserted.

use drmad::forward::{self, Forward, Wrt};
use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::implicit::{Implicit, Solver};
use drmad::models::{Features, Inputs, Mlp, Pass};
use drmad::objective::Objective;
use drmad::path::{
    Checkpoints, Grid, Hats, Knots, Legendre, Line, Mark, Path, Quantised, Reversed, Reversible,
    Spare, Steps, Tape,
};
use drmad::random::{Batches, Normal, Origin};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{L2, Strength};
use drmad::{Error, Plain};

use crate::{Failure, Judged, Report, fnv1a64};

const WIDTHS: &[usize] = &[16, 8, 4];
const INPUTS: usize = WIDTHS[0];
const BATCH: usize = 4;
const NETWORK: Pass<'static> = Pass {
    layout: Layout::Layers(WIDTHS),
    chunk: BATCH,
    inputs: Inputs::Gathered,
};
const LAYOUT: Layout<'static> = Layout::Layers(WIDTHS);
const UNITS: Groups<'static> = Groups {
    layout: LAYOUT,
    by: Granularity::Unit,
    biases: false,
};
const P: usize = NETWORK.weights();
const H: usize = UNITS.len();
const STEPS: usize = 64;
const MOMENTUM: f32 = 0.9;
const EXAMPLES: usize = 64;
const TRAINED: usize = 40;
const RULE: Rule = Rule::HeavyBall;
/// Snapshots, knots, hats and polynomials.
const K: usize = 8;
const ORIGIN: Normal<'static, f32> = Normal {
    seed: 9,
    groups: Groups::global(P),
    log_scales: &[-1.0],
};
/// What the network needs, or the penalty's sums by unit, whichever is more.
const SCRATCH: usize = {
    let network = NETWORK.second_order_scratch_len();
    if network > H { network } else { H }
};
/// Implicit differentiation needs a number for each hyperparameter more.
const WORKSPACE: usize = Workspace::<f32>::required_len(P, SCRATCH + H, RULE, false);

type Loss<'a> = L2<'a, Mlp<'a, Features<'a>, Plain>>;

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

    /// The training loss, and the validation loss.
    fn losses(&self) -> Result<[Loss<'_>; 2], Error> {
        let data = Features {
            x: &self.x,
            labels: &self.labels,
            width: INPUTS,
        };
        let net = Mlp::new(data, WIDTHS, BATCH)?;
        let of = |strength| L2::new(net, strength);
        Ok([of(Strength::Tuned(UNITS)), of(Strength::Off(UNITS))])
    }
}

/// The numbers from `first` on.
fn numbers<const N: usize>(first: usize) -> [u32; N] {
    core::array::from_fn(|i| (first + i) as u32)
}

/// The training.
fn training_of<'a>(objective: &'a Loss<'a>, h: &'a [f32; H]) -> Run<'a, Plain, f32> {
    Run {
        objective,
        h,
        schedule: Schedule {
            groups: Groups::global(P),
            rule: RULE,
            rates: &[0.2],
            momenta: &[MOMENTUM],
        },
        batches: Batches {
            seed: 1,
            examples: TRAINED,
            size: BATCH,
        },
        steps: STEPS,
    }
}

const PENALTIES: [f32; H] = [0.01; H];

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

/// The way there, and the way back along a path.
fn sweep(
    clouds: &mut Clouds,
    workspace: &mut [f32],
    path: &mut dyn Path<Plain, f32>,
) -> Result<Hypergradient, Error> {
    clouds.fill();
    let [objective, outside] = &clouds.losses()?;
    let run = training_of(objective, &PENALTIES);
    let validation = Validation {
        objective: outside,
        examples: &numbers::<{ EXAMPLES - TRAINED }>(TRAINED),
    };
    let mut workspace = Workspace::new(workspace, P, RULE, false)?;
    let mut batch = [0; BATCH];
    run.walk(&ORIGIN, path, &mut workspace, &mut batch, &mut |_, _| ())?;
    let mut d_h = [0.0; H];
    let wanted = Wanted {
        d_h: &mut d_h,
        schedule: None,
    };
    let outcome = run.back(&validation, path, &mut workspace, &mut batch, wanted)?;
    Ok(Hypergradient {
        d_h,
        valid_loss: outcome.valid_loss,
    })
}

/// A method's memory and program: the length of its workspace, and what storage it needs beside that.
macro_rules! method {
    ($(#[$doc:meta])* $name:ident, $space:expr, [$type:ty; $len:expr], $zero:expr,
     |$clouds:ident, $workspace:ident, $storage:ident| $body:expr) => {
        $(#[$doc])*
        pub mod $name {
            use super::*;

            /// Bytes of storage beside the workspace: the method's own `required_len`.
            pub const STORAGE: usize = size_of::<[$type; $len]>();

            /// All of its memory, but for the stack.
            #[derive(Debug)]
            pub struct Memory {
                clouds: Clouds,
                workspace: [f32; $space],
                storage: [$type; $len],
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
                        workspace: [0.0; $space],
                        storage: [$zero; $len],
                    }
                }
            }

            /// The hypergradient.
            ///
            /// # Errors
            /// What the crate refuses.
            pub fn hypergradient(memory: &mut Memory) -> Result<Hypergradient, Error> {
                let ($clouds, $workspace) = (&mut memory.clouds, &mut memory.workspace);
                let $storage = &mut memory.storage;
                $body
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
    /// No way back at all.
    training, WORKSPACE, [f32; 0], 0.0, |clouds, workspace, _storage| {
        clouds.fill();
        let [objective, outside] = &clouds.losses()?;
        let run = training_of(objective, &PENALTIES);
        let mut workspace = Workspace::new(workspace, P, RULE, false)?;
        run.walk(&ORIGIN, &mut Nowhere, &mut workspace, &mut [0; BATCH], &mut |_, _| ())?;
        let at = drmad::objective::At {
            w: &*workspace.w,
            h: &PENALTIES,
            batch: &numbers::<{ EXAMPLES - TRAINED }>(TRAINED),
        };
        Ok(Hypergradient { d_h: [0.0; H], valid_loss: outside.loss(at, workspace.scratch)? })
    }
);

method!(
    /// Every step stored.
    tape, WORKSPACE, [f32; Tape::<f32>::required_len(P, STEPS, 0)], 0.0,
    |clouds, workspace, storage| sweep(clouds, workspace, &mut Tape::new(P, STEPS, 0, storage)?)
);

method!(
    /// Some steps stored, the others taken again.
    checkpoints, WORKSPACE, [f32; Checkpoints::<f32>::required_len(P, K, RULE.slots())], 0.0,
    |clouds, workspace, storage| {
        let mut marks = [Mark::default(); K];
        let path = &mut Checkpoints::new(P, STEPS, RULE.slots(), storage, &mut marks)?;
        sweep(clouds, workspace, path)
    }
);

method!(
    /// Training in fixed point, run backwards.
    reversible, WORKSPACE, [u32; Reversible::required_len(P, STEPS, MOMENTUM)], 0,
    |clouds, workspace, storage| {
        sweep(clouds, workspace, &mut Reversible::new(P, STEPS, MOMENTUM, storage)?)
    }
);

method!(
    /// The straight line.
    line, WORKSPACE, [f32; 0], 0.0, |clouds, workspace, _storage| {
        sweep(clouds, workspace, &mut Line::new(ORIGIN, STEPS))
    }
);

method!(
    /// Lines between some points, in 255 levels.
    knots, WORKSPACE, [u32; Quantised::<255>::required_len(P, K)], 0, |clouds, workspace, storage| {
        let rows = Quantised::<255>::new(P, K, storage)?;
        sweep(clouds, workspace, &mut Knots::<f32, _, _>::new(P, K, ORIGIN, rows)?)
    }
);

method!(
    /// A fit by polynomials.
    legendre, WORKSPACE, [f32; Legendre::<f32>::required_len(P, K)], 0.0,
    |clouds, workspace, storage| {
        sweep(clouds, workspace, &mut Legendre::new(P, STEPS, K, storage)?)
    }
);

method!(
    /// A fit by hats, in 11 levels.
    hats, WORKSPACE, [u32; Quantised::<11>::required_len(P, K)], 0, |clouds, workspace, storage| {
        let rows = Quantised::<11>::new(P, K, storage)?;
        let knots = Grid { steps: STEPS, intervals: K, spacing: Grid::SPACING };
        let mut factors = [0.0f32; K + 1];
        let hats = &mut Hats::new(P, knots, ORIGIN, rows, &mut factors)?;
        sweep(clouds, workspace, hats)
    }
);

method!(
    /// Training in floating point, run backwards.
    reversed, WORKSPACE, [f32; 0], 0.0,
    |clouds, workspace, _storage| sweep(clouds, workspace, &mut Reversed)
);

/// A tangent for each penalty.
const WRT: [Wrt; H] = {
    let (mut wrt, mut i) = ([Wrt::Initial; H], 0);
    while i < H {
        wrt[i] = Wrt::Hyper(i);
        i += 1;
    }
    wrt
};

method!(
    /// One tangent for each hyperparameter, carried along. It has a buffer of its own.
    forward_mode, 0, [f32; Forward::<f32>::required_len(P, H, RULE, H, SCRATCH + H)], 0.0,
    |clouds, _workspace, storage| {
        clouds.fill();
        let [objective, outside] = &clouds.losses()?;
        let run = training_of(objective, &PENALTIES);
        debug_assert!(forward::scratch_len(objective, outside, H) <= SCRATCH + H);
        let mut forward = Forward::new(storage, &run, &WRT)?;
        forward.start(&ORIGIN)?;
        run.forward(0..STEPS, &mut forward, &mut [0; BATCH], &mut |_, _| ())?;
        let validation = Validation {
            objective: outside,
            examples: &numbers::<{ EXAMPLES - TRAINED }>(TRAINED),
        };
        let mut d_h = [0.0; H];
        let valid_loss = run.hypergradient(&validation, &mut forward, &mut d_h)?;
        Ok(Hypergradient { d_h, valid_loss })
    }
);

method!(
    /// From the end of training alone, by conjugate gradients.
    implicit, WORKSPACE, [f32; 0], 0.0, |clouds, workspace, _storage| {
        clouds.fill();
        let [objective, outside] = &clouds.losses()?;
        let run = training_of(objective, &PENALTIES);
        let mut workspace = Workspace::new(workspace, P, RULE, false)?;
        run.walk(&ORIGIN, &mut Nowhere, &mut workspace, &mut [0; BATCH], &mut |_, _| ())?;
        let validation = Validation {
            objective: outside,
            examples: &numbers::<{ EXAMPLES - TRAINED }>(TRAINED),
        };
        let settings = Implicit {
            examples: &numbers::<TRAINED>(0),
            solver: Solver::ConjugateGradients,
            iterations: 20,
            tolerance: 1e-3,
            damping: 0.01,
        };
        let mut d_h = [0.0; H];
        let solved = run.implicit(&validation, &settings, &mut workspace, &mut d_h)?;
        Ok(Hypergradient { d_h, valid_loss: solved.valid_loss })
    }
);

/// A path for those that do not come back.
struct Nowhere;

impl Path<Plain, f32> for Nowhere {
    fn floats(&self) -> usize {
        0
    }

    fn record(&mut self, _: usize, _: &[f32], _: &[f32], _: Spare<'_, f32>) -> Result<(), Error> {
        Ok(())
    }

    fn recall(
        &mut self,
        _: usize,
        _: &mut [f32],
        _: Option<&mut [f32]>,
        _: &mut dyn Steps<f32>,
        _: Spare<'_, f32>,
    ) -> Result<(), Error> {
        Err(Error::Unsupported {
            what: "a way back without a path",
        })
    }
}
