//! Hyperparameters without bounds for values with bounds.
//!
//! ```text
//! log      h = ln x               x = exp(h)                in (0, inf)      dx/dh = x
//! logit    h = ln(x / (1 - x))    x = 1 / (1 + exp(-h))     in (0, 1)        dx/dh = x (1 - x)
//! ```
//!
//! A training takes the values `x` (rates, momenta, scales, coefficients), an optimizer moves `h`, and a
//! hypergradient by `x` becomes one by `h` as a product with `dx/dh`. All in place.
//!
//! Refused: values at a bound, whose `h` would be infinite. A very negative `h`, and a very large one of
//! the logit, has a value that rounds to its bound nevertheless, and there the derivative is 0; a very
//! large one of the logarithm has an infinite value and derivative.

use crate::error::{Error, check_len};
use crate::kernels::dispatch::run;
use crate::scalar::{Arithmetic, Scalar};

/// What a hyperparameter `h` is of its value `x`.
///
/// ```
/// use drmad::{outer::Parametrisation::Logit, Fused};
/// let mut momenta = [0.0f32, 100.0];
/// Logit.value::<Fused, _>(&mut momenta);
/// assert_eq!(momenta, [0.5, 1.0]);
/// let mut d = [8.0, 8.0];
/// Logit.pull_back(&momenta, &mut d)?;
/// assert_eq!(d, [2.0, 0.0]);
/// // The value 1 has no logit.
/// assert!(Logit.invert::<Fused, _>(&mut momenta).is_err());
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Parametrisation {
    /// The logarithm, of what is positive.
    Log,
    /// The logit, of what lies between 0 and 1.
    Logit,
}

/// `x <- f(x)`.
fn map<S: Scalar>(x: &mut [S], f: impl Fn(S) -> S) {
    run(
        #[inline(always)]
        move || {
            for x in x {
                *x = f(*x);
            }
        },
    );
}

impl Parametrisation {
    /// `h` becomes its value `x`.
    pub fn value<A: Arithmetic, S: Scalar>(self, h: &mut [S]) {
        match self {
            Self::Log => map(
                h,
                #[inline(always)]
                |h| h.exp::<A>(),
            ),
            Self::Logit => map(
                h,
                #[inline(always)]
                |h| S::ONE / (S::ONE + (-h).exp::<A>()),
            ),
        }
    }

    /// The value `x` becomes its `h`.
    ///
    /// # Errors
    /// [`Error::Domain`] for a value at its bounds, beyond them or not a number; `x` is as it was.
    pub fn invert<A: Arithmetic, S: Scalar>(self, x: &mut [S]) -> Result<(), Error> {
        let below = match self {
            Self::Log => f64::INFINITY,
            Self::Logit => 1.0,
        };
        for (index, x) in x.iter().enumerate() {
            let value = x.to_f64();
            if !(value > 0.0 && value < below) {
                return Err(Error::Domain {
                    what: "value",
                    index,
                    value,
                    above: 0.0,
                    below,
                });
            }
        }
        match self {
            Self::Log => map(
                x,
                #[inline(always)]
                |x| x.ln::<A>(),
            ),
            Self::Logit => map(
                x,
                #[inline(always)]
                |x| (x / (S::ONE - x)).ln::<A>(),
            ),
        }
        Ok(())
    }

    /// The derivative of a value by its `h`.
    #[inline(always)]
    pub(crate) fn slope<S: Scalar>(self, x: S) -> S {
        match self {
            Self::Log => x,
            Self::Logit => x * (S::ONE - x),
        }
    }

    /// The derivative `d` by the values `x` becomes one by their `h`.
    ///
    /// # Errors
    /// [`Error::Length`] where the two differ in length.
    pub fn pull_back<S: Scalar>(self, x: &[S], d: &mut [S]) -> Result<(), Error> {
        check_len("values", x, d.len())?;
        run(
            #[inline(always)]
            move || {
                for (d, x) in d.iter_mut().zip(x) {
                    *d *= self.slope(*x);
                }
            },
        );
        Ok(())
    }
}
