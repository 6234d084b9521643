//! The backward pass as it lies on a device: what the path that recalls the weights keeps there, and what it costs.
//!
//! A path costs what it costs on the host, in numbers and in products ([`Costs`]). Refused: paths that the kernels do not
//! have, and what the host refuses of those that they have.

use std::vec::Vec;

use super::arena::Arena;
use super::layout::{self, counted, product};
use super::replica::{Recall, Replica, Way};
use super::{Error, Unsupported};
use crate::kernels::quantise;
use crate::path::{Checkpoints, Elimination, Grid};

/// What a backward pass takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Numbers that the path keeps, beside the initial weights and the vectors that every way has.
    pub floats: usize,
    /// Gradients of the training loss.
    pub gradients: usize,
    /// Second-order products.
    pub products: usize,
}

impl Way {
    /// Cuts what the path keeps.
    pub(super) fn place(
        &self,
        replica: &Replica<'_>,
        arena: &mut Arena<'_>,
    ) -> Result<(layout::Path, Costs), Error> {
        let (steps, p) = (replica.steps, replica.weights());
        let last = self.last.unwrap_or(steps);
        if last == 0 || last > steps {
            return Err(crate::Error::Range {
                what: "number of last steps",
                value: last as f64,
                least: 1.0,
                greatest: steps as f64,
            }
            .into());
        }
        // These begin where they are first asked to record; the others at the first weights.
        let sees_the_end_alone = matches!(self.recall, Recall::Tape | Recall::Checkpoints { .. });
        let seen = if sees_the_end_alone { last } else { steps };
        if self.tail >= seen && self.tail > 0 {
            return Err(crate::Error::Range {
                what: "steps of the tail",
                value: self.tail as f64,
                least: 0.0,
                greatest: (seen - 1) as f64,
            }
            .into());
        }
        let from_weights_alone = matches!(
            self.recall,
            Recall::Line | Recall::LinePublished { .. } | Recall::Hats { .. }
        );
        if replica.wants_schedule && from_weights_alone && replica.schedule.rates.contains(&0.0) {
            return Err(Unsupported::Velocity.into());
        }
        if (self.recall == Recall::Reversed || self.tail > 0)
            && replica.schedule.momenta.contains(&0.0)
        {
            return Err(Unsupported::Momentum.into());
        }
        let inner = seen - self.tail;
        // Each step of a tail that is taken back takes a gradient.
        let mut gradients = self.tail.min(last);
        let slots = u32::from(replica.wants_schedule);
        let mut path = layout::Path {
            trained: counted("steps", steps)?,
            back: counted("steps", last)?,
            first: counted("steps", steps - last)?,
            seen_from: counted("steps", steps - seen)?,
            tail_from: counted("steps", inner)?,
            rate_scale: 1.0,
            ..layout::Path::default()
        };
        let floats = match self.recall {
            Recall::Tape => {
                let len = product([p, inner, 1 + slots as usize]);
                (path.kind, path.slots) = (0, slots);
                path.storage = arena.reserve::<f32>(len);
                len
            }
            Recall::Checkpoints { snapshots } => {
                if snapshots == 0 {
                    return Err(crate::Error::Range {
                        what: "number of snapshots",
                        value: 0.0,
                        least: 1.0,
                        greatest: f64::INFINITY,
                    }
                    .into());
                }
                // The sweep takes steps again, with what the optimizer remembers.
                let len = product([2, p, snapshots]);
                (path.kind, path.slots) = (1, 1);
                path.snapshots = counted("number of snapshots", snapshots)?;
                path.storage = arena.reserve::<f32>(len);
                path.marks = arena.reserve::<u32>(snapshots);
                if last > self.tail {
                    let again = Checkpoints::<f32>::least_recomputed(inner, snapshots);
                    gradients = gradients.saturating_add(again as usize);
                }
                len.saturating_add(snapshots)
            }
            Recall::Line => {
                path.kind = 2;
                0
            }
            Recall::LinePublished { rate_scale } => {
                if self.tail > 0 || self.last.is_some() {
                    return Err(Unsupported::Published.into());
                }
                let plan = crate::path::Plan::published(steps);
                (path.kind, path.spread) = (2, 1);
                path.back = counted("steps", plan.steps)?;
                path.rate_scale = rate_scale;
                0
            }
            Recall::Hats {
                intervals,
                spacing,
                levels,
            } => {
                let grid = Grid {
                    steps: inner,
                    intervals,
                    spacing,
                };
                grid.check()?;
                let rows = intervals + 1;
                path.kind = 3;
                path.intervals = counted("number of knots' intervals", intervals)?;
                path.levels = levels;
                // All of them are steps, which are counted.
                let knots = || -> Vec<u32> { (0..rows).map(|k| grid.step(k) as u32).collect() };
                path.knots = arena.write_with(rows, knots)?;
                path.factors = arena.write_with(product([3, rows]), || factors(&grid))?;
                let stored = match levels {
                    0 => {
                        let len = product([p, intervals]);
                        path.storage = arena.reserve::<f32>(len);
                        len
                    }
                    levels => {
                        let block = quantise::block(levels);
                        if block == 0 {
                            return Err(Unsupported::Levels(levels).into());
                        }
                        let words =
                            product([p.div_ceil(block), quantise::words(levels), intervals]);
                        path.codes = arena.reserve::<u32>(words);
                        words
                    }
                };
                stored.saturating_add(rows)
            }
            Recall::Reversed => {
                path.kind = 4;
                gradients = last;
                0
            }
            Recall::Nowhere => {
                path.back = 0;
                path.kind = 2;
                0
            }
        };
        let costs = Costs {
            floats,
            gradients,
            products: path.back as usize,
        };
        Ok((path, costs))
    }
}

/// Of hats: `u_0 .. u_K`, then the factors of `b`, then those of the row before.
fn factors(grid: &Grid) -> Vec<f32> {
    let rows = grid.intervals + 1;
    let mut factors = std::vec![0.0f32; 3 * rows];
    for k in 1..rows {
        let Elimination { u, by_b, by_last } = grid.eliminate(k, factors[k - 1]);
        (factors[k], factors[rows + k], factors[2 * rows + k]) = (u, by_b, by_last);
    }
    factors
}
