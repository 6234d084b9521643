//! A network on the images in flash whose penalties tune themselves.
//!
//! The training loss is that of an MLP and `sum_j exp(s_j) sum_i w_i^2`, a penalty for each unit: the
//! weights that leave one pixel or one hidden unit. `s` is moved by Adam down the hypergradient of the
//! validation loss, which comes back along [`Hats`]; the last steps are run backwards.
//!
//! All sizes are constants of a [`Plan`], so `Memory` is a static and the linker says whether it fits.

use drmad::group::{Granularity, Groups, Layout};
use drmad::hypergradient::{Validation, Wanted, Workspace};
use drmad::models::{Examples, Inputs, Mlp, Pass};
use drmad::objective::{At, Objective};
use drmad::outer::{Adam, Outer, Parametrisation};
use drmad::path::{Grid, Hats, Quantised, Tail};
use drmad::random::{Batches, Normal};
use drmad::train::{Rule, Run, Schedule};
use drmad::wrap::{L2, Strength};
use drmad::{Error, Plain};

use crate::images::{Images, TRAIN, UNSEEN, VALIDATION};
use crate::{DOWN, Judged, Report, fnv1a64};

/// Digits.
const CLASSES: usize = 10;
const RULE: Rule = Rule::HeavyBall;

/// A training and its tuning.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pixels, hidden units ..., classes.
    pub widths: &'static [usize],
    /// Examples that are worked through together.
    pub chunk: usize,
    /// Examples of a batch.
    pub batch: usize,
    /// Steps of a training.
    pub steps: usize,
    /// Of these, the last that are run backwards.
    pub tail: usize,
    /// The rate.
    pub rate: f32,
    /// The momentum.
    pub momentum: f32,
    /// The logarithm of the scale of the initial weights.
    pub log_scale: f32,
    /// The logarithm of the penalty to begin with.
    pub start: f32,
    /// Rounds of tuning.
    pub rounds: usize,
    /// The rate of Adam outside.
    pub outer_rate: f32,
    /// How many images are learned from, of those that might be.
    pub train: usize,
    /// How many images judge, of those that might.
    pub judges: usize,
}

/// Intervals of the hats.
pub const HATS: usize = 8;

type Levels<'a> = Quantised<'a, 11>;

impl Plan {
    const fn network(&self) -> Pass<'static> {
        Pass {
            layout: Layout::Layers(self.widths),
            chunk: self.chunk,
            inputs: Inputs::Sparse,
        }
    }

    /// Which weights share a penalty.
    const fn units(&self) -> Groups<'static> {
        Groups {
            layout: Layout::Layers(self.widths),
            by: Granularity::Unit,
            biases: false,
        }
    }

    /// Examples of the largest batch: of the training, or all judges.
    const fn most(&self) -> usize {
        if self.batch > self.judges {
            self.batch
        } else {
            self.judges
        }
    }

    /// The penalties.
    pub const fn hypers(&self) -> usize {
        self.units().len()
    }

    /// Numbers of the [`Workspace`].
    pub const fn workspace_len(&self) -> usize {
        let (network, units) = (self.network(), self.hypers());
        let sums = network.sums_len(self.most(), 2, 0);
        let network = network.second_order_scratch_len() + sums;
        // The penalty sums up by unit, after the network has done with its scratch.
        let scratch = if network > units { network } else { units };
        Workspace::<f32>::required_len(self.network().weights(), scratch, RULE, false)
    }

    /// Words of the [`Hats`]' rows.
    pub const fn rows_len(&self) -> usize {
        Levels::required_len(self.network().weights(), HATS)
    }
}

/// All the memory of a program, but for its stack.
#[derive(Debug)]
pub struct Memory<const WORKSPACE: usize, const ROWS: usize, const H: usize, const BATCH: usize> {
    workspace: [f32; WORKSPACE],
    rows: [u32; ROWS],
    factors: [f32; HATS + 1],
    batch: [u32; BATCH],
    /// The logarithms of the penalties, they themselves, and their hypergradient.
    logs: [f32; H],
    penalties: [f32; H],
    d_h: [f32; H],
    /// Adam's moments.
    m: [f32; H],
    v: [f32; H],
}

impl<const WORKSPACE: usize, const ROWS: usize, const H: usize, const BATCH: usize> Default
    for Memory<WORKSPACE, ROWS, H, BATCH>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const WORKSPACE: usize, const ROWS: usize, const H: usize, const BATCH: usize>
    Memory<WORKSPACE, ROWS, H, BATCH>
{
    /// Zeros, of which a program takes none for granted.
    pub const fn new() -> Self {
        Memory {
            workspace: [0.0; WORKSPACE],
            rows: [0; ROWS],
            factors: [0.0; HATS + 1],
            batch: [0; BATCH],
            logs: [0.0; H],
            penalties: [0.0; H],
            d_h: [0.0; H],
            m: [0.0; H],
            v: [0.0; H],
        }
    }

    /// Tunes.
    ///
    /// # Errors
    /// What the crate refuses.
    pub fn tune(&mut self, plan: &Plan) -> Result<Report, Error> {
        let net =
            Mlp::new(Images::in_flash()?, plan.widths, plan.chunk)?.with_batches_of(plan.most());
        let (units, everything) = (plan.units(), Groups::global(net.weights()));
        let objective = L2::new(net, Strength::Tuned(units));
        let outside = L2::new(net, Strength::Off(units));
        let validation = Validation {
            objective: &outside,
            examples: VALIDATION.get(..plan.judges).unwrap_or(&VALIDATION),
        };
        let unseen = UNSEEN.get(..plan.judges).unwrap_or(&UNSEEN);
        let origin = Normal {
            seed: 1,
            groups: everything,
            log_scales: &[plan.log_scale],
        };
        let knots = Grid {
            steps: plan.steps.saturating_sub(plan.tail),
            intervals: HATS,
            spacing: Grid::SPACING,
        };

        self.logs.fill(plan.start);
        self.m.fill(0.0);
        self.v.fill(0.0);
        let mut outer = Adam::new(DOWN * plan.outer_rate, &mut self.m, &mut self.v)?;
        let mut workspace = Workspace::new(&mut self.workspace, net.weights(), RULE, false)?;
        let mut report = Report::default();
        for round in 0..=plan.rounds {
            self.penalties.copy_from_slice(&self.logs);
            Parametrisation::Log.value::<Plain, _>(&mut self.penalties);
            let run = Run {
                objective: &objective,
                h: &self.penalties,
                schedule: Schedule {
                    groups: everything,
                    rule: RULE,
                    rates: &[plan.rate],
                    momenta: &[plan.momentum],
                },
                batches: Batches {
                    seed: 2,
                    examples: plan.train.min(TRAIN),
                    size: plan.batch,
                },
                steps: plan.steps,
            };
            let rows = Levels::new(net.weights(), HATS, &mut self.rows)?;
            let factors = &mut self.factors;
            let hats = Hats::new(net.weights(), knots, origin, rows, factors)?;
            let mut path = Tail::new(hats, plan.steps, plan.tail)?;
            let batch = &mut self.batch;
            run.walk(&origin, &mut path, &mut workspace, batch, &mut |_, _| ())?;
            if round == 0 {
                report.before = judge(&net, &validation, unseen, &mut workspace, run.h)?;
            }
            if round == plan.rounds {
                report.after = judge(&net, &validation, unseen, &mut workspace, run.h)?;
                break;
            }
            let wanted = Wanted {
                d_h: &mut self.d_h,
                schedule: None,
            };
            let outcome = run.back(&validation, &mut path, &mut workspace, batch, wanted)?;
            report.round(outcome.valid_loss)?;
            report.hash = fnv1a64(&self.d_h);
            Parametrisation::Log.pull_back(&self.penalties, &mut self.d_h)?;
            outer.step(&mut self.logs, &self.d_h)?;
        }
        Ok(report)
    }
}

/// Validation loss, and share of `unseen` images that the network takes for another digit.
fn judge(
    net: &Mlp<'_, Images, Plain>,
    validation: &Validation<'_, Plain, f32>,
    unseen: &[u32],
    workspace: &mut Workspace<'_, f32>,
    h: &[f32],
) -> Result<Judged, Error> {
    let Workspace {
        w, d_g, scratch, ..
    } = workspace;
    let at = At {
        w,
        h,
        batch: validation.examples,
    };
    let valid_loss = validation.objective.loss(at, scratch)?;
    let mut wrong = 0;
    for image in unseen.chunks(1) {
        // A vector that is free between the way there and the way back.
        let classes = d_g.get_mut(..CLASSES).unwrap_or_default();
        net.predict(w, image, classes, scratch)?;
        let ranked = classes.iter().enumerate();
        let best = ranked.max_by(|a, b| a.1.total_cmp(b.1));
        for i in image {
            let right = best.is_some_and(|(class, _)| net.examples().label(*i) == Ok(class));
            wrong += usize::from(!right);
        }
    }
    Ok(Judged {
        valid_loss,
        test_error: wrong as f32 / unseen.len() as f32,
    })
}
