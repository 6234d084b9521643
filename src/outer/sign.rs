//! `h <- h - rate sign(d_h)`, with sign(0) = 0: what the DrMAD paper does.

use super::{Outer, step_each};
use crate::error::Error;
use crate::scalar::Scalar;
use crate::state::{FIELD, Fields};

/// Steps of one size.
///
/// ```
/// use drmad::outer::{Outer, Sign};
/// let mut h = [1.0f32, 1.0, 1.0];
/// Sign { rate: 0.25 }.step(&mut h, &[1e9, -1e-9, 0.0])?;
/// assert_eq!(h, [0.75, 1.25, 1.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sign<S> {
    /// The size of a step.
    pub rate: S,
}

impl<S> Sign<S> {
    /// Bytes of its [state](Outer::state): it remembers nothing.
    pub const STATE_LEN: usize = FIELD;
}

impl<S: Scalar> Outer<S> for Sign<S> {
    fn step(&mut self, h: &mut [S], d_h: &[S]) -> Result<(), Error> {
        step_each(h, d_h, |h, d| {
            if d > S::ZERO {
                h - self.rate
            } else if d < S::ZERO {
                h + self.rate
            } else {
                h
            }
        })
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.same("kind of optimizer", 2)
    }
}
