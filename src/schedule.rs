//! How a gradient moves the weights: the optimizer, and the rate and momentum of each step and group.
//!
//! | optimizer | step | vectors it remembers |
//! |---|---|---|
//! | [`Optimizer::HeavyBall`] | [`momentum`](crate::kernels::momentum) | the velocity |
//! | [`Optimizer::Nesterov`] | [`nesterov`](crate::kernels::nesterov) | the velocity |
//! | [`Optimizer::Adam`] | [`adam`] | two moments |
//!
//! Gradient descent is the heavy ball with momentum 0. What an optimizer remembers is called `v`, one or
//! two vectors of `P` numbers in a row. Rates and momenta of each of them are hyperparameters; of
//! Adam the momentum is `b1`.
//!
//! # Rates in PyTorch's terms
//! The velocity here is a mean of gradients, PyTorch's a sum: with a momentum that stays as it is, ours is
//! `-(1 - gamma)` times theirs. So their `lr` is our rate times `1 - gamma`, at each step its own, for the heavy
//! ball (`SGD(momentum)` with dampening 0) and Nesterov's step alike. Where the momentum changes from step to
//! step no `lr` gives the same trajectory: here `g_k` enters with the weight `1 - gamma_k` of its own step, there with
//! one that is the same for all. And where they vary the momentum with `lr` fixed, here the rate moves too:
//! `dE/dmomentum = d_gamma + d_alpha alpha / (1 - gamma)`. Adam's rate and its `b1` are theirs; so is AdamW's `decay`,
//! which is multiplied by the rate (`weight_decay` of `AdamW`). The paper's algorithm 2 does not do that: its
//! `lambda` is our rate times `decay`.
//!
//! Refused: momenta outside [0, 1), and momenta of Adam that change from step to step, whose bias
//! would need a product over all of them.

use core::ops::Range;

use crate::error::{Error, check_equal};
use crate::group::{Block, Groups};
use crate::kernels::adam;
use crate::kernels::momentum::RowSteps;
use crate::pieces::split;
use crate::scalar::Scalar;

pub use crate::kernels::momentum::Step;

/// The momentum of the step that was taken in place of one of the schedule's: [`Path::taken`](crate::path::Path::taken).
pub type Taken<S> = fn(S) -> S;

/// How a step follows from the gradient. Of the first two PyTorch's `lr` is the rate `alpha` times
/// `1 - gamma`, of the third it is the rate: see the [module](self).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Optimizer {
    /// `v <- gamma v - (1 - gamma) g`, `w <- w + alpha v`.
    HeavyBall,
    /// The same with a look ahead.
    Nesterov,
    /// Adam, with decoupled decay where that is not 0.
    Adam {
        /// How much of the second moment stays.
        b2: f32,
        /// What is added to its root.
        eps: f32,
        /// How much a weight shrinks in a step, divided by the rate: `weight_decay` of PyTorch's `AdamW`.
        decay: f32,
    },
}

impl Optimizer {
    /// Adam as published.
    pub const ADAM: Optimizer = Optimizer::Adam {
        b2: 0.999,
        eps: 1e-8,
        decay: 0.0,
    };

    /// How many vectors `v` is.
    pub const fn slots(&self) -> usize {
        match self {
            Optimizer::HeavyBall | Optimizer::Nesterov => 1,
            Optimizer::Adam { .. } => 2,
        }
    }

    /// Whether the backward pass needs `v` and `g`: Adam's, and all where rates and momenta are wanted.
    pub const fn recalls(&self, schedule: bool) -> bool {
        schedule || matches!(self, Optimizer::Adam { .. })
    }

    /// What Adam's steps of all groups share, after `taken` others.
    pub(crate) fn adam<S: Scalar>(&self, taken: usize) -> adam::Shared<S> {
        let (b2, eps, decay) = match *self {
            Optimizer::Adam { b2, eps, decay } => (b2, eps, decay),
            _ => (0.0, 0.0, 0.0),
        };
        let [b2, eps, decay] = [b2, eps, decay].map(S::from_f32);
        adam::Shared::after(taken, b2, eps, decay)
    }

    fn check(&self) -> Result<(), Error> {
        match *self {
            Optimizer::HeavyBall | Optimizer::Nesterov => Ok(()),
            Optimizer::Adam { b2, eps, decay } => adam::check(b2, eps, decay),
        }
    }

    /// What it remembers, in words.
    pub(crate) const fn remembered(&self) -> &'static str {
        match self {
            Optimizer::HeavyBall | Optimizer::Nesterov => "velocity",
            Optimizer::Adam { .. } => "first moment of Adam",
        }
    }
}

/// The optimizer, with the rate and the momentum of each step and group.
///
/// ```
/// use drmad::{group::Groups, schedule::{Optimizer, Schedule}};
/// let (groups, optimizer) = (Groups::global(10), Optimizer::HeavyBall);
/// let constant = Schedule { groups, optimizer, rates: &[0.1f32], momenta: &[0.9] };
/// assert_eq!(constant.step(1234, 0).rate, 0.1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a, S> {
    /// Which weights share a rate and a momentum; a weight in no group is not trained.
    pub groups: Groups<'a>,
    /// How a step follows from the gradient.
    pub optimizer: Optimizer,
    /// The rates `alpha`: one a group, or steps x groups.
    pub rates: &'a [S],
    /// The momenta `gamma` in [0, 1): one a group, or steps x groups.
    pub momenta: &'a [S],
}

/// The place of step `t` and a group in a table of one number a group, or of steps x groups.
pub(crate) fn place(len: usize, groups: usize, t: usize, group: usize) -> usize {
    if len == groups {
        group
    } else {
        t.saturating_mul(groups).saturating_add(group)
    }
}

/// The tables of a schedule's hypergradients, as long as its own.
#[derive(Debug)]
pub(crate) struct Tables<'a, S> {
    /// The derivative by the rates.
    pub(crate) rates: &'a mut [S],
    /// The derivative by the momenta.
    pub(crate) momenta: &'a mut [S],
}

impl<S> Tables<'_, S> {
    /// The entries of step `t` and the rows of a block, of so many groups.
    pub(crate) fn of(&mut self, groups: usize, t: usize, block: Block) -> [&mut [S]; 2] {
        [&mut *self.rates, &mut *self.momenta].map(|table| {
            let rows = rows(table.len(), groups, t, block);
            table.get_mut(rows).unwrap_or_default()
        })
    }
}

/// The places of step `t` and the rows of a block in such a table.
fn rows(len: usize, groups: usize, t: usize, block: Block) -> Range<usize> {
    let start = place(len, groups, t, block.hyper.unwrap_or(0));
    start..start.saturating_add(block.rows)
}

impl<S: Scalar> Schedule<'_, S> {
    /// Rate and momentum of step `t` of a group.
    pub fn step(&self, t: usize, group: usize) -> Step<S> {
        let groups = self.groups.len();
        let of = |table: &[S]| {
            let index = place(table.len(), groups, t, group);
            table.get(index).copied().unwrap_or(S::ZERO)
        };
        Step {
            rate: of(self.rates),
            momentum: of(self.momenta),
        }
    }

    /// Calls `body` with each block of the weights, and the rates and momenta of its rows at step `t`.
    #[inline]
    pub fn each(&self, t: usize, mut body: impl FnMut(Block, RowSteps<'_, S>)) {
        let groups = self.groups.len();
        for block in self.groups.blocks() {
            if block.hyper.is_none() {
                continue;
            }
            let of = |table: &'_ [S]| rows(table.len(), groups, t, block);
            let by = RowSteps {
                columns: block.columns,
                rates: self.rates.get(of(self.rates)).unwrap_or_default(),
                rate_scale: S::ONE,
                momenta: self.momenta.get(of(self.momenta)).unwrap_or_default(),
            };
            body(block, by);
        }
    }

    /// The same where a path made other momenta of them ([`Path::taken`](crate::path::Path::taken)), of some rows
    /// at a time.
    pub(crate) fn each_taken(
        &self,
        t: usize,
        taken: Option<Taken<S>>,
        mut body: impl FnMut(Block, RowSteps<'_, S>),
    ) {
        const ROWS: usize = 32;
        self.each(t, |block, by| {
            let Some(taken) = taken else {
                return body(block, by);
            };
            let pieces = by.rates.chunks(ROWS).zip(by.momenta.chunks(ROWS));
            let mut last = [S::ONE; 2];
            for (i, (rates, momenta)) in pieces.enumerate() {
                let mut own = [S::ZERO; ROWS];
                for (own, momentum) in own.iter_mut().zip(momenta) {
                    // Rows often share their momentum.
                    if *momentum != last[0] {
                        last = [*momentum, taken(*momentum)];
                    }
                    *own = last[1];
                }
                let (momenta, _) = split(&own, momenta.len());
                let rows = rates.len().min(momenta.len());
                let by = RowSteps {
                    rates,
                    momenta,
                    ..by
                };
                body(block.rows(i.saturating_mul(ROWS), rows), by);
            }
        });
    }

    /// Checks all that a training of `weights` weights and `steps` steps presumes.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::NonFinite`], [`Error::Momentum`]; [`Error::Range`] for a constant
    /// of Adam's.
    pub(crate) fn check(&self, weights: usize, steps: usize) -> Result<(), Error> {
        let groups = self.groups.len();
        check_equal(
            "weights of the schedule's groups",
            weights,
            self.groups.weights(),
        )?;
        self.optimizer.check()?;
        if matches!(self.optimizer, Optimizer::Adam { .. }) {
            check_equal("momenta of Adam", groups, self.momenta.len())?;
        }
        for (what, table) in [("rates", self.rates), ("momenta", self.momenta)] {
            if table.len() != groups && Some(table.len()) != groups.checked_mul(steps) {
                return Err(Error::Length {
                    what,
                    want: groups.saturating_mul(steps),
                    got: table.len(),
                });
            }
            for (i, x) in table.iter().enumerate() {
                if !x.is_finite() {
                    return Err(Error::NonFinite {
                        what,
                        step: i / groups.max(1),
                    });
                }
            }
        }
        for (i, momentum) in self.momenta.iter().enumerate() {
            if *momentum < S::ZERO || *momentum >= S::ONE {
                return Err(Error::Momentum {
                    value: momentum.to_f64(),
                    step: if self.momenta.len() == groups {
                        0
                    } else {
                        i / groups.max(1)
                    },
                });
            }
        }
        Ok(())
    }
}
