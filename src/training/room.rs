//! The memory of a training, and how it is cut.
//!
//! ```text
//! memory    values of h | derivatives by them | vectors and scratch | path | batch | numbers of the examples
//! ```
//!
//! Refused: less memory than its [`need`](Training::need).

use bytemuck::Pod;

use super::values::{Tables, Values};
use super::{Model, Training, What};
use crate::error::Error;
use crate::forward::Forward;
use crate::hypergradient::{Trainer, Workspace};
use crate::memory::{Buffer, Need, greater};
use crate::method::{Extent, Method};
use crate::models::{Inputs, Pass};
use crate::objective::dual_required_len;
use crate::scalar::{Arithmetic, Real};

/// What a session is cut from, in numbers but for the words.
#[derive(Clone, Copy)]
struct Lens {
    workspace: usize,
    path: usize,
    batch: usize,
    valid: usize,
}

/// What a training works in, cut from one buffer.
pub(super) struct Room<'m, S> {
    pub(super) values: Values<'m, S>,
    /// The derivatives by the values.
    pub(super) d: &'m mut [S],
    pub(super) workspace: &'m mut [S],
    pub(super) path: &'m mut [S],
    pub(super) batch: &'m mut [u32],
    /// 0, 1, 2, and so on: those validated on, and with implicit differentiation those trained on.
    pub(super) examples: &'m [u32],
}

impl<'a> Training<'a> {
    /// Scratch of the training loss with `count` directions of forward mode, and of the validation loss.
    const fn scratch(&self, tangents: Option<usize>) -> usize {
        let hypers = Tables::of(self).rates;
        let (layout, sparse) = match self.model {
            Model::Own(own) => {
                let own_scratch = greater(own.scratch, own.second_order_scratch);
                return match tangents {
                    None => own_scratch,
                    Some(_) => greater(own_scratch, hypers.saturating_add(own.scratch)),
                };
            }
            Model::Network { sparse, .. } | Model::Widths { sparse, .. } => (self.layout(), sparse),
        };
        let rows = if sparse {
            Inputs::Sparse
        } else {
            Inputs::Gathered
        };
        let valid = Pass {
            layout,
            microbatch: self.microbatch(),
            inputs: rows,
        };
        let trained = Pass {
            inputs: match self.block(What::Input) {
                Some(_) => Inputs::Given,
                None => rows,
            },
            ..valid
        };
        let (p, own) = (layout.weights(), self.of_examples());
        let vectors = if self.block(What::Scale).is_some() {
            p
        } else {
            0
        };
        let validation = (valid.scratch_len())
            .saturating_add(valid.sums_len(self.valid_examples, 1, own))
            .saturating_add(vectors);
        let gradient = (trained.scratch_len()).saturating_add(trained.sums_len(self.batch, 1, own));
        let training = match tangents {
            None => {
                let second = (trained.second_order_scratch_len())
                    .saturating_add(trained.sums_len(self.batch, 2, own));
                let second = second.saturating_add(vectors.saturating_mul(4));
                greater(gradient.saturating_add(vectors), second)
            }
            Some(count) => {
                let inner = if own > 0 {
                    dual_required_len(p, own, gradient)
                } else {
                    let sums = trained.sums_len(self.batch, count.saturating_add(1), own);
                    trained.second_order_scratch_len().saturating_add(sums)
                };
                inner.saturating_add(vectors.saturating_mul(count.saturating_add(1)))
            }
        };
        let penalty = match self.block(What::Penalty) {
            Some(_) => self.len_of(What::Penalty),
            None => 2,
        };
        let training = greater(training, penalty);
        match tangents {
            None => greater(training, validation),
            // The validation's direct term has a place of its own there.
            Some(_) => greater(training, hypers.saturating_add(validation)),
        }
    }

    /// What decides how much a path remembers, where no momentum is known but the least.
    const fn extent(&self) -> Extent {
        Extent {
            weights: self.layout().weights(),
            steps: self.steps,
            optimizer: self.optimizer,
            recalls: self.optimizer.recalls(self.tunes_schedule()),
            momentum: self.momentum,
            reach: 0,
        }
    }

    const fn lens<S: Real>(&self, method: Method) -> Lens {
        let (p, schedule) = (self.layout().weights(), self.tunes_schedule());
        let hypers = Tables::of(self).rates;
        let dropped = if method.sweep().drops_negative_curvature {
            p
        } else {
            0
        };
        let scratch = self.scratch(None).saturating_add(dropped);
        let solver = match method {
            Method::Implicit { .. } => hypers,
            _ => 0,
        };
        let workspace = match method {
            Method::Forward => {
                let count = self.hypers().len();
                let scratch = self.scratch(Some(count));
                Forward::<S>::required_len(p, hypers, self.optimizer, count, scratch)
            }
            _ => {
                let scratch = scratch.saturating_add(solver);
                Workspace::<S>::required_len(p, scratch, self.optimizer, schedule)
            }
        };
        Lens {
            workspace,
            path: method.sweep().need::<S>(self.extent()).len(),
            batch: self.batch,
            valid: match method {
                // It is taken over all that is trained on, after the validation loss.
                Method::Implicit { .. } => greater(self.valid_examples, self.examples),
                _ => self.valid_examples,
            },
        }
    }

    /// The memory that it takes with a method, beside `h` and the hypergradient.
    pub const fn need<S: Real>(&self, method: Method) -> Need<S> {
        let Lens {
            workspace,
            path,
            batch,
            valid,
        } = self.lens::<S>(method);
        Need::numbers(Tables::of(self).end)
            .times(2)
            .and(Need::numbers(workspace))
            .and(Need::numbers(path))
            .and(Need::words(batch))
            .and(Need::words(valid))
    }

    /// Bytes that a [`Session`](super::Session) may take when it is [saved](super::Session::save).
    pub const fn state_len<S: Real>(&self, method: Method) -> usize {
        let tables = Tables::of(self);
        let schedule = if self.tunes_schedule() {
            Some((
                tables.momenta.saturating_sub(tables.rates),
                tables.log_scales.saturating_sub(tables.momenta),
            ))
        } else {
            None
        };
        let path = method.sweep().state_len::<S>(self.extent());
        Trainer::<crate::Plain, S>::state_len(
            self.layout().weights(),
            tables.rates,
            self.optimizer,
            schedule,
            path,
        )
    }

    /// Cuts the memory of a method, and fills in what `h` stands for.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub(super) fn cut<'m, A: Arithmetic, S: Real + Pod>(
        self,
        method: Method,
        h: &[S],
        memory: &'m mut [S],
    ) -> Result<Room<'m, S>, Error>
    where
        'a: 'm,
    {
        let (end, lens) = (Tables::of(&self).end, self.lens::<S>(method));
        let mut memory = Buffer::new("memory of the training", memory);
        let (room, d) = (memory.numbers(end)?, memory.numbers(end)?);
        let values = Values::new::<A>(self, h, room)?;
        let workspace = memory.numbers(lens.workspace)?;
        let path = memory.numbers(lens.path)?;
        let (batch, examples) = (memory.words(lens.batch)?, memory.words(lens.valid)?);
        for (i, example) in examples.iter_mut().enumerate() {
            *example = i as u32;
        }
        Ok(Room {
            values,
            d,
            workspace,
            path,
            batch,
            examples,
        })
    }
}
