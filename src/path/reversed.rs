//! The training run backwards in floating point: no memory, and no exactness either.
//!
//! ```text
//! w_t = w_{t+1} - alpha v_{t+1}        v_t = (v_{t+1} + (1 - gamma) g(w_t)) / gamma
//! ```
//!
//! Each step divides what rounding lost by `gamma`, so after `M` steps an error of `gamma^-M` units in
//! the last place is left: the backward pass is the way there for [`Reversed::reach`] steps, and nonsense
//! soon after (Maclaurin et al. 2015, section 2.1). It costs a gradient a step. It is the row that
//! shows why [`Reversible`](super::Reversible) keeps the lost bits, and, since its first steps back are
//! good and free, what [`Tail`](super::Tail) begins with.
//!
//! Refused: momentum 0, where nothing of the velocity is left to be found; other optimizers than the heavy
//! ball.

use super::{Kind, Path, Spare, Steps, fields_len, one_velocity};
use crate::error::{Error, check_len};
use crate::kernels::momentum::{undo_velocity_rows, undo_weights_rows};
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Schedule};
use crate::state::Fields;

/// The naive reversal.
///
/// ```
/// use drmad::{group::Groups, path::Reversed, schedule::*, train::*};
/// let reach = |momentum: f32| {
///     let (groups, optimizer) = (Groups::global(10), Optimizer::HeavyBall);
///     let schedule = Schedule { groups, optimizer, rates: &[0.1f32], momenta: &[momentum] };
///     Reversed::reach(&schedule, 1000)
/// };
/// assert_eq!([0.95, 0.1, 0.0].map(reach), [202, 4, 0]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reversed;

impl Reversed {
    /// Bytes of its [state](Path::state).
    pub const STATE_LEN: usize = fields_len(0, 0);

    /// The number of steps after which one rounding of an f32 has grown to `2^-9` of a velocity: while
    /// the product of `1 / gamma` over the last steps is below `2^15`, whichever group has the least.
    /// Each step on the way adds roundings of its own, so the error there is some
    /// `1 / sqrt(1 - gamma^2)` times that: measured, less than `2^-9` for `gamma = .5`, 1.7 times for
    /// .9, 4.5 times for .95.
    pub fn reach<S: Scalar>(schedule: &Schedule<'_, S>, steps: usize) -> usize {
        let (mut grown, mut reach) = (1.0, 0);
        for t in (0..steps).rev() {
            let mut least = 1.0;
            schedule.each(t, |_, by| {
                for momentum in by.momenta.iter().map(|momentum| momentum.to_f64()) {
                    if momentum < least {
                        least = momentum;
                    }
                }
            });
            grown /= least;
            if grown >= 32_768.0 {
                break;
            }
            reach += 1;
        }
        reach
    }
}

impl<A: Arithmetic, S: Scalar> Path<A, S> for Reversed {
    fn floats(&self) -> usize {
        0
    }

    fn record(&mut self, _: usize, _: &[S], _: &[S], _: Spare<'_, S>) -> Result<(), Error> {
        Ok(())
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        if steps.optimizer() != Optimizer::HeavyBall {
            return Err(Error::Unsupported {
                what: "running another optimizer than the heavy ball backwards: take Checkpoints or Tape",
            });
        }
        // Without a velocity of the sweep's own, the first spare vector is it.
        let v = v.unwrap_or(spare.a);
        one_velocity(v, w.len())?;
        check_len("spare b", spare.b, w.len())?;
        let mut still = false;
        steps.each(t, &mut |block, by| {
            still |= by.momenta.contains(&S::ZERO);
            undo_weights_rows::<A, S>(by, block.of(v), block.of_mut(w));
        });
        if still {
            return Err(Error::Unsupported {
                what: "momentum 0 with reversal: nothing is left of the velocity",
            });
        }
        steps.gradient(t, w, spare.b)?;
        steps.each(t, &mut |block, by| {
            undo_velocity_rows::<A, S>(by, block.of(spare.b), block.of_mut(v));
        });
        Ok(())
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.path(Kind::Reversed, &[])
    }
}
