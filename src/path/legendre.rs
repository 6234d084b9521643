//! The least-squares fit of the trajectory by polynomials of time, built while training runs.
//!
//! On `t = 0 .. T` with equal weights the orthonormal polynomials are Gram's (the discrete ones of
//! Chebyshev; Legendre's as `T` grows). With `N = T + 1` points and `x = t - T/2`:
//!
//! ```text
//! sqrt(b_{n+1}) p_{n+1} = x p_n - sqrt(b_n) p_{n-1}        b_n = n^2 (N^2 - n^2) / (4 (4 n^2 - 1))
//! p_0 = 1 / sqrt(N)           c_j = sum_t p_j(t) w_t           w(t) = sum_{j < r} p_j(t) c_j
//! ```
//!
//! The coefficients `c` are sums over the steps, so they need no second look at any, and they are the
//! fit: no equations are left to solve. A trajectory that is a polynomial of `t` of a degree below `r` is
//! recalled exactly. The velocity before step `t` is `(w(t) - w(t - 1)) / alpha`.
//!
//! Cost: `r P` numbers, and `r` multiply-adds a weight in each step of the training and of the sweep.
//! Order of arithmetic: `p` in f64, rounded once; `c_j <- mul_add(p_j, w, c_j)` for ascending `t`;
//! `w <- mul_add(p_j, c_j, w)` for ascending `j` from 0.
//! Beyond `r = 2 sqrt(T)` polynomials on evenly spaced points are of no use: they are tiny but near
//! the ends. From `3 sqrt(T)` on the recurrence loses digits.
//! Refused: no polynomials, more of them than points, and a horizon that is not known beforehand.

use super::{Kind, Path, Spare, Steps, fields_len, one_velocity};
use crate::error::{Error, check_len, cut};
use crate::kernels::accumulate::{add_outer, combine};
use crate::kernels::dispatch::run;
use crate::scalar::{Arithmetic, Scalar};
use crate::state::Fields;

use core::marker::PhantomData;

/// The values `p_0(t), p_1(t), ..` on the points `0 .. T`.
struct Polynomials<A> {
    points: f64,
    x: f64,
    degree: usize,
    /// The last two values, and `sqrt(b)` of the last one.
    p: f64,
    before: f64,
    root: f64,
    arithmetic: PhantomData<A>,
}

impl<A: Arithmetic> Polynomials<A> {
    fn at(t: usize, steps: usize) -> Self {
        Polynomials {
            points: steps as f64 + 1.0,
            x: t as f64 - 0.5 * steps as f64,
            degree: 0,
            p: 0.0,
            before: 0.0,
            root: 0.0,
            arithmetic: PhantomData,
        }
    }
}

impl<A: Arithmetic> Iterator for Polynomials<A> {
    type Item = f64;

    #[inline(always)]
    fn next(&mut self) -> Option<f64> {
        let n = self.degree as f64;
        let (root, p) = if self.degree == 0 {
            (0.0, 1.0 / Scalar::sqrt(self.points))
        } else {
            let (above, below) = ((self.points - n) * (self.points + n), 4.0 * n * n - 1.0);
            let root = 0.5 * n * Scalar::sqrt(above / below);
            let p = A::mul_add(-self.root, self.before, self.x * self.p) / root;
            (root, p)
        };
        (self.before, self.p, self.root) = (self.p, p, root);
        self.degree += 1;
        Some(p)
    }
}

/// Rounds numbers computed in f64 to `values`.
fn fill<S: Scalar>(values: &mut [S], numbers: impl Iterator<Item = f64>) {
    run(
        #[inline(always)]
        move || {
            for (value, number) in values.iter_mut().zip(numbers) {
                *value = S::from_f64(number);
            }
        },
    );
}

/// The fit.
///
/// ```
/// use drmad::path::Legendre;
/// let mut storage = [0.0f32; Legendre::<f32>::required_len(100, 16)];
/// let path = Legendre::new(100, 1000, 16, &mut storage)?;
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Legendre<'a, S> {
    weights: usize,
    steps: usize,
    /// `c_0 .. c_{r-1}`, one after the other.
    coefficients: &'a mut [S],
    /// The values of the polynomials at a step.
    values: &'a mut [S],
    /// The step that is due.
    next: usize,
    finished: bool,
}

impl<'a, S: Scalar> Legendre<'a, S> {
    /// Numbers of storage for `weights` and `r` polynomials: their coefficients, and a value each.
    pub const fn required_len(weights: usize, polynomials: usize) -> usize {
        weights.saturating_add(1).saturating_mul(polynomials)
    }

    /// Bytes of its [state](Path::state).
    pub const fn state_len(weights: usize, polynomials: usize) -> usize {
        weights
            .saturating_mul(polynomials)
            .saturating_mul(S::BYTES)
            .saturating_add(fields_len(3, 2))
    }

    /// A fit by `polynomials` polynomials to a training of `steps` steps.
    ///
    /// # Errors
    /// [`Error::NoSteps`]; [`Error::Range`] for no polynomials, or more than the `T + 1` points;
    /// [`Error::Length`] where the storage is too short.
    pub fn new(
        weights: usize,
        steps: usize,
        polynomials: usize,
        storage: &'a mut [S],
    ) -> Result<Self, Error> {
        if steps == 0 {
            return Err(Error::NoSteps);
        }
        if polynomials == 0 || polynomials - 1 > steps {
            return Err(Error::Range {
                what: "number of polynomials",
                value: polynomials as f64,
                least: 1.0,
                greatest: steps as f64 + 1.0,
            });
        }
        let mut storage = storage;
        let want = Self::required_len(weights, polynomials);
        let mut storage = cut("storage of the polynomials", &mut storage, want)?;
        let values = cut("storage of the polynomials", &mut storage, polynomials)?;
        Ok(Legendre {
            weights,
            steps,
            coefficients: storage,
            values,
            next: 0,
            finished: false,
        })
    }

    /// Adds the point `w_t` to the sums.
    fn add<A: Arithmetic>(&mut self, t: usize, w: &[S]) {
        fill(self.values, Polynomials::<A>::at(t, self.steps));
        add_outer::<A, S>(self.values, w, self.coefficients);
    }

    fn order(&self, got: usize) -> Error {
        Error::Order {
            want: self.next,
            got,
        }
    }
}

impl<A: Arithmetic, S: Scalar> Path<A, S> for Legendre<'_, S> {
    fn floats(&self) -> usize {
        self.coefficients.len() + self.values.len()
    }

    fn record(&mut self, t: usize, w: &[S], _v: &[S], _spare: Spare<'_, S>) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        if t == 0 {
            (self.next, self.finished) = (0, false);
            self.coefficients.fill(S::ZERO);
        }
        if t != self.next {
            return Err(self.order(t));
        }
        if t >= self.steps {
            return Err(Error::Index {
                what: "step of the polynomials",
                index: t,
                len: self.steps,
            });
        }
        self.add::<A>(t, w);
        self.next += 1;
        Ok(())
    }

    fn finish(&mut self, w: &[S], _v: &[S], _spare: Spare<'_, S>) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        if self.finished || self.next != self.steps {
            return Err(self.order(self.steps));
        }
        self.add::<A>(self.steps, w);
        self.finished = true;
        Ok(())
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        _spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        check_len("w", w, self.weights)?;
        if !self.finished {
            return Err(self.order(self.steps));
        }
        if t >= self.steps {
            return Err(Error::Index {
                what: "step of the polynomials",
                index: t,
                len: self.steps,
            });
        }
        let at = |t| Polynomials::<A>::at(t, self.steps);
        fill(self.values, at(t));
        combine::<A, S>(self.values, self.coefficients, w);
        let Some(v) = v else { return Ok(()) };
        one_velocity(v, self.weights)?;
        if t == 0 {
            return steps.first_velocity(v);
        }
        let changes = at(t).zip(at(t - 1)).map(
            #[inline(always)]
            |(p, before)| p - before,
        );
        fill(self.values, changes);
        combine::<A, S>(self.values, self.coefficients, v);
        steps.velocity(t - 1, v)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let sizes = [self.weights, self.steps, self.values.len()];
        fields.path(Kind::Legendre, &sizes)?;
        fields.count("steps recorded", &mut self.next, self.steps)?;
        fields.flag("end of the training", &mut self.finished)?;
        fields.numbers(self.coefficients)
    }
}
