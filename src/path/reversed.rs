//! The training run backwards in floating point: no memory, and no exactness either.
//!
//! ```text
//! w_t = w_{t+1} - alpha v_{t+1}        v_t = (v_{t+1} + (1 - gamma) g(w_t)) / gamma
//! ```
//!
//! Each step divides what rounding lost by `gamma`, so after `M` steps an error of `gamma^-M` units in
//! the last place is left: the way back is the way there for [`Reversed::reach`] steps, and nonsense
//! soon after (Maclaurin et al. 2015, section 2.1). It costs a gradient a step. It is the row that
//! shows why [`Reversible`](super::Reversible) keeps the lost bits, and, since its first steps back are
//! good and free, what [`Tail`](super::Tail) begins with.
//!
//! Refused: momentum 0, where nothing of the velocity is left to be found; other rules than the heavy
//! ball.

use core::marker::PhantomData;

use super::{Path, Spare, Steps};
use crate::error::{Error, exactly};
use crate::kernels::math::ln;
use crate::kernels::momentum::{undo_velocity, undo_weights};
use crate::scalar::{Arithmetic, Plain, Scalar};
use crate::schedule::Rule;

/// The naive reversal.
///
/// ```
/// use drmad::{path::Reversed, Fused};
/// let path = Reversed::<Fused>::new();
/// assert_eq!(Reversed::<Fused>::reach(0.95), 202);
/// assert_eq!(Reversed::<Fused>::reach(0.1), 4);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reversed<A> {
    arithmetic: PhantomData<A>,
}

impl<A: Arithmetic> Reversed<A> {
    /// A reversal.
    pub const fn new() -> Self {
        Reversed {
            arithmetic: PhantomData,
        }
    }

    /// The number of steps after which the rounding of an f32 has grown to a `2^-9` of the velocity:
    /// `15 ln 2 / ln(1 / gamma)`.
    pub fn reach(momentum: f32) -> usize {
        if momentum <= 0.0 {
            return 0;
        }
        let steps = -10.397_208 / ln::<Plain>(momentum);
        if steps.is_finite() {
            steps as usize
        } else {
            usize::MAX
        }
    }
}

impl<A: Arithmetic, S: Scalar> Path<S> for Reversed<A> {
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
        if steps.rule() != Rule::HeavyBall {
            return Err(Error::Unsupported {
                what: "running another rule than the heavy ball backwards: take Checkpoints or Tape",
            });
        }
        // Without a velocity of the sweep's own, the first spare vector is it.
        let v = v.unwrap_or(spare.a);
        exactly("v", v, w.len())?;
        exactly("spare b", spare.b, w.len())?;
        let mut still = false;
        steps.each(t, &mut |range, by| {
            still |= by.momentum == S::ZERO;
            if let (Some(v), Some(w)) = (v.get(range.clone()), w.get_mut(range)) {
                undo_weights::<A, S>(by, v, w);
            }
        });
        if still {
            return Err(Error::Unsupported {
                what: "momentum 0 with reversal: nothing is left of the velocity",
            });
        }
        steps.gradient(t, w, spare.b)?;
        steps.each(t, &mut |range, by| {
            if let (Some(g), Some(v)) = (spare.b.get(range.clone()), v.get_mut(range)) {
                undo_velocity::<A, S>(by, g, v);
            }
        });
        Ok(())
    }
}
