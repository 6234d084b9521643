//! Adam (Kingma and Ba 2015, algorithm 1): the default outside.
//!
//! ```text
//! m <- b1 m + (1 - b1) d        v <- b2 v + (1 - b2) d^2
//! h <- h - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//!
//! The two quotients by `1 - b^t` are products by their rounded reciprocals, `b^t` by squaring; nothing
//! is fused. A derivative that is and stays 0 moves nothing. `eps` is small beside the hypergradients of single
//! weights, which may be 1e-9: the default is far below Adam's usual one.
//!
//! Refused: constants that the [training's Adam](crate::kernels::adam#the-ends-of-f32) refuses; a
//! hypergradient whose square is not finite.

use super::{Outer, check, check_moved};
use crate::error::{Error, check_len};
use crate::kernels::adam;
use crate::kernels::math::power;
use crate::scalar::Scalar;
use crate::state::{FIELD, Fields};

/// Adam with its state in the caller's buffers.
///
/// ```
/// use drmad::outer::{Adam, Outer};
/// let (mut m, mut v, mut h) = ([0.0f32], [0.0], [1.0]);
/// let mut adam = Adam::new(0.25, &mut m, &mut v)?;
/// adam.step(&mut h, &[1e-3])?;
/// assert!((h[0] - 0.75).abs() < 1e-4);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Adam<'a, S> {
    /// The rate: about the size of a step.
    pub rate: S,
    /// How much of the first moment stays (.9).
    pub b1: S,
    /// How much of the second moment stays (.999).
    pub b2: S,
    /// What keeps the quotient finite (1e-12).
    pub eps: S,
    /// Steps taken.
    pub taken: u32,
    m: &'a mut [S],
    v: &'a mut [S],
}

impl<'a, S: Scalar> Adam<'a, S> {
    /// Adam with its first and second moment in `m` and `v`, one number a hyperparameter; zeros at
    /// the start, or what an earlier run left there, then with `taken` set.
    ///
    /// # Errors
    /// [`Error::Length`] where they differ in length.
    pub fn new(rate: S, m: &'a mut [S], v: &'a mut [S]) -> Result<Self, Error> {
        check_len("second moment", v, m.len())?;
        Ok(Adam {
            rate,
            b1: S::from_f64(0.9),
            b2: S::from_f64(0.999),
            eps: S::from_f64(1e-12),
            taken: 0,
            m,
            v,
        })
    }

    /// Bytes of its [state](Outer::state): the moments, and the steps taken.
    pub const fn state_len(hypers: usize) -> usize {
        let moments = hypers.saturating_mul(2).saturating_mul(S::BYTES);
        moments.saturating_add(3 * FIELD)
    }
}

impl<S: Scalar> Outer<S> for Adam<'_, S> {
    fn step(&mut self, h: &mut [S], d_h: &[S]) -> Result<(), Error> {
        check_len("moments", self.m, h.len())?;
        let taken = self.taken as usize;
        // The constants, as at the doors of all who take such steps.
        adam::Step::new(taken, self.rate, self.b1, self.b2, self.eps, S::ZERO)?;
        check(h, d_h, taken)?;
        let Adam {
            rate, b1, b2, eps, ..
        } = *self;
        let now = self.taken.saturating_add(1);
        let first = S::ONE / (S::ONE - power(b1, now));
        let second = S::ONE / (S::ONE - power(b2, now));
        let moved = |h: S, d: S, m: S, v: S| {
            let m = b1 * m + (S::ONE - b1) * d;
            let v = b2 * v + (S::ONE - b2) * d * d;
            (h - rate * (m * first) / ((v * second).sqrt() + eps), m, v)
        };
        let before = h.iter().zip(d_h).zip(self.m.iter()).zip(self.v.iter());
        // A second moment that is infinite would stop its hyperparameter, without a word.
        let mut squares = before
            .clone()
            .map(|(((h, d), m), v)| moved(*h, *d, *m, *v).2 * second);
        if !squares.all(|square| square.is_finite()) {
            return Err(Error::NonFinite {
                what: "square of the hypergradient",
                step: taken,
            });
        }
        let after = before.map(|(((h, d), m), v)| moved(*h, *d, *m, *v).0);
        check_moved(after, taken)?;
        self.taken = now;
        for (((h, d), m), v) in h
            .iter_mut()
            .zip(d_h)
            .zip(self.m.iter_mut())
            .zip(self.v.iter_mut())
        {
            (*h, *m, *v) = moved(*h, *d, *m, *v);
        }
        Ok(())
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        fields.same("kind of optimizer", 3)?;
        fields.same("moments", self.m.len() as u64)?;
        fields.short("steps taken", &mut self.taken, u32::MAX)?;
        fields.numbers(self.m)?;
        fields.numbers(self.v)
    }
}
