//! `h <- h - rate d_h`.

use super::{Outer, step_each};
use crate::error::Error;
use crate::scalar::Scalar;
use crate::state::{FIELD, Fields};

/// Plain gradient descent.
///
/// ```
/// use drmad::outer::{Outer, Sgd};
/// let mut h = [1.0f32];
/// Sgd { rate: 0.5 }.step(&mut h, &[2.0])?;
/// assert_eq!(h, [0.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sgd<S> {
    /// The rate.
    pub rate: S,
}

impl<S> Sgd<S> {
    /// Bytes of its [state](Outer::state): it remembers nothing.
    pub const STATE_LEN: usize = FIELD;
}

impl<S: Scalar> Outer<S> for Sgd<S> {
    fn step(&mut self, h: &mut [S], d_h: &[S]) -> Result<(), Error> {
        step_each(h, d_h, |h, d| h - self.rate * d)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.same("kind of optimizer", 1)
    }
}
