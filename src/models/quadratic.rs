//! `L(w, h) = 1/2 sum_i a_i (w_i - h_i)^2`: the objective with a closed form.
//!
//! Each weight is on its own, so a heavy-ball step is a 2 x 2 matrix on `(w - h, v)` and a training
//! run is its power: what the tests hold the whole machinery against. The minimum `h` is the
//! hyperparameter; `H d = a d`, `M d = -a d`. Its examples are nothing: it ignores the batch.

use core::marker::PhantomData;

use crate::error::{Error, check_len};
use crate::kernels::dispatch::run;
use crate::objective::{At, Objective};
use crate::scalar::{Arithmetic, Scalar};

/// A quadratic with diagonal curvature, and its minimum as the hyperparameter.
///
/// ```
/// use drmad::{models::Quadratic, objective::{At, Objective}, Fused};
/// let bowl = Quadratic::<Fused>::new(&[2.0]);
/// let mut g = [0.0f32];
/// let at = At { w: &[3.0], h: &[1.0], batch: &[] };
/// assert_eq!(bowl.gradient(at, &mut g, None, &mut [])?, 4.0);
/// assert_eq!(g, [4.0]);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Quadratic<'a, A> {
    curvature: &'a [f32],
    arithmetic: PhantomData<A>,
}

impl<'a, A: Arithmetic> Quadratic<'a, A> {
    /// The quadratic with these curvatures `a`, one a weight.
    pub const fn new(curvature: &'a [f32]) -> Self {
        Quadratic {
            curvature,
            arithmetic: PhantomData,
        }
    }
}

impl<A: Arithmetic> Objective for Quadratic<'_, A> {
    type Arithmetic = A;

    fn weights(&self) -> usize {
        self.curvature.len()
    }

    fn hypers(&self) -> usize {
        self.curvature.len()
    }

    fn gradient<S: Scalar>(
        &self,
        at: At<'_, S>,
        g: &mut [S],
        d_h: Option<&mut [S]>,
        _scratch: &mut [S],
    ) -> Result<S, Error> {
        check_len("w", at.w, self.weights())?;
        check_len("h", at.h, self.hypers())?;
        check_len("g", g, self.weights())?;
        let place = &mut *g;
        let twice = run(
            #[inline(always)]
            move || {
                let mut twice = S::ZERO;
                for (((g, a), w), h) in place.iter_mut().zip(self.curvature).zip(at.w).zip(at.h) {
                    let miss = *w - *h;
                    *g = S::from_f32(*a) * miss;
                    twice = A::mul_add(*g, miss, twice);
                }
                twice
            },
        );
        if let Some(d_h) = d_h {
            check_len("d_h", d_h, self.hypers())?;
            for (d_h, g) in d_h.iter_mut().zip(g.iter()) {
                *d_h = -*g;
            }
        }
        Ok(twice * S::from_f32(0.5))
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        visit("minimum", self.hypers());
    }
}
