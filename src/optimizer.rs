//! The step of each [`Optimizer`] over some rows, and its adjoint, behind a pointer.
//!
//! The pointers are chosen where the optimizer is named ([`stepping`], [`stepping_back`]). Without `std` that choice is
//! inlined, so a program whose optimizer is a constant links the kernels of that one alone, and adjoints where it takes
//! steps back; a match in every step would link all. It costs a call for each block of rows.
//!
//! Refused: nothing of its own; the constants were checked by [`Schedule`].

use crate::error::Error;
use crate::kernels::momentum::RowSteps;
use crate::kernels::{adam, momentum, nesterov};
use crate::pieces::split_mut;
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Schedule};

/// Some rows before a step: the weights, what the optimizer remembers, and the gradient. Empty where the adjoint of
/// the optimizer's step does not need them.
pub(crate) struct Before<'r, S> {
    pub(crate) w: &'r [S],
    pub(crate) v: &'r [S],
    pub(crate) n: &'r [S],
    pub(crate) g: &'r [S],
}

/// The adjoints of the same rows; that of the gradient is written.
pub(crate) struct Adjoints<'r, S> {
    pub(crate) w: &'r mut [S],
    pub(crate) v: &'r mut [S],
    pub(crate) n: &'r mut [S],
    pub(crate) g: &'r mut [S],
}

/// The step of an optimizer with these constants, `taken` steps after what it remembers was 0.
pub(crate) trait Stepping<A, S> {
    /// Moves `w` and what is remembered, `v` and `n`, by the gradient.
    fn step(
        &self,
        at: (Optimizer, usize),
        by: RowSteps<'_, S>,
        g: &[S],
        v: [&mut [S]; 2],
        w: &mut [S],
    );

    /// Refuses what step `t` has left of what is remembered where it has outgrown the numbers: a velocity cannot.
    fn check(&self, at: (Optimizer, usize), t: usize, g: &[S], v: &[S]) -> Result<(), Error> {
        let _ = (at, t, g, v);
        Ok(())
    }
}

/// The adjoint of the step of an optimizer with these constants.
pub(crate) trait SteppingBack<A, S> {
    /// Takes the adjoints back over the step. The derivatives by rate and momentum are added to `to` where they are
    /// wanted, but for those of the heavy ball, which need no gradient beforehand: the sweep adds them.
    fn back(
        &self,
        at: (Optimizer, usize),
        by: RowSteps<'_, S>,
        before: Before<'_, S>,
        d: Adjoints<'_, S>,
        to: Option<[&mut [S]; 2]>,
    );
}

/// What a sweep takes: paths take steps again.
pub(crate) type Both<'r, A, S> = (&'r dyn Stepping<A, S>, &'r dyn SteppingBack<A, S>);

/// The step of an optimizer.
#[cfg_attr(not(feature = "std"), inline(always))]
pub(crate) fn stepping<A: Arithmetic, S: Scalar>(
    optimizer: Optimizer,
) -> &'static dyn Stepping<A, S> {
    match optimizer {
        Optimizer::HeavyBall => &HeavyBall,
        Optimizer::Nesterov => &Nesterov,
        Optimizer::Adam { .. } => &Adam,
    }
}

/// The adjoint of its step.
#[cfg_attr(not(feature = "std"), inline(always))]
pub(crate) fn stepping_back<A: Arithmetic, S: Scalar>(
    optimizer: Optimizer,
) -> &'static dyn SteppingBack<A, S> {
    match optimizer {
        Optimizer::HeavyBall => &HeavyBall,
        Optimizer::Nesterov => &Nesterov,
        Optimizer::Adam { .. } => &Adam,
    }
}

impl<S: Scalar> Schedule<'_, S> {
    /// Moves `w` and `v` by the gradient `g` with the rates and momenta of step `t`, `taken` steps after
    /// `v` was 0.
    pub(crate) fn apply<A: Arithmetic>(
        &self,
        stepping: &dyn Stepping<A, S>,
        (t, taken): (usize, usize),
        g: &[S],
        v: &mut [S],
        w: &mut [S],
    ) {
        let (first, second) = split_mut(v, w.len());
        self.each(t, |block, by| {
            // The second is empty where the optimizer remembers one vector.
            let v = [block.of_mut(first), block.of_mut(second)];
            stepping.step((self.optimizer, taken), by, block.of(g), v, block.of_mut(w));
        });
    }
}

struct HeavyBall;

impl<A: Arithmetic, S: Scalar> Stepping<A, S> for HeavyBall {
    fn step(
        &self,
        _: (Optimizer, usize),
        by: RowSteps<'_, S>,
        g: &[S],
        [v, _]: [&mut [S]; 2],
        w: &mut [S],
    ) {
        momentum::step_rows::<A, S>(by, g, v, w);
    }
}

impl<A: Arithmetic, S: Scalar> SteppingBack<A, S> for HeavyBall {
    fn back(
        &self,
        _: (Optimizer, usize),
        by: RowSteps<'_, S>,
        _: Before<'_, S>,
        d: Adjoints<'_, S>,
        _: Option<[&mut [S]; 2]>,
    ) {
        momentum::adjoint_rows::<A, S>(by, d.w, d.v, d.g);
    }
}

struct Nesterov;

impl<A: Arithmetic, S: Scalar> Stepping<A, S> for Nesterov {
    fn step(
        &self,
        _: (Optimizer, usize),
        by: RowSteps<'_, S>,
        g: &[S],
        [v, _]: [&mut [S]; 2],
        w: &mut [S],
    ) {
        nesterov::step_rows::<A, S>(by, g, v, w);
    }
}

impl<A: Arithmetic, S: Scalar> SteppingBack<A, S> for Nesterov {
    fn back(
        &self,
        _: (Optimizer, usize),
        by: RowSteps<'_, S>,
        before: Before<'_, S>,
        d: Adjoints<'_, S>,
        to: Option<[&mut [S]; 2]>,
    ) {
        if let Some(to) = to {
            nesterov::add_by_step::<A, S>(by, [before.v, before.g], [d.w, d.v], to);
        }
        nesterov::adjoint_rows::<A, S>(by, d.w, d.v, d.g);
    }
}

struct Adam;

impl<A: Arithmetic, S: Scalar> Stepping<A, S> for Adam {
    fn step(
        &self,
        (optimizer, taken): (Optimizer, usize),
        by: RowSteps<'_, S>,
        g: &[S],
        [m, n]: [&mut [S]; 2],
        w: &mut [S],
    ) {
        adam::step_rows::<A, S>(optimizer.adam(taken), by, g, m, n, w);
    }

    fn check(
        &self,
        (optimizer, taken): (Optimizer, usize),
        t: usize,
        g: &[S],
        v: &[S],
    ) -> Result<(), Error> {
        let by = optimizer.adam(taken).step(S::ZERO, S::ZERO, S::ZERO);
        let (_, n) = v.split_at(g.len().min(v.len()));
        let Some(weight) = adam::too_great(by, n.iter().copied()) else {
            return Ok(());
        };
        let gradient = g.get(weight).copied().unwrap_or(S::ZERO).to_f64();
        Err(if gradient.is_finite() {
            Error::Moment {
                step: t,
                weight,
                gradient,
            }
        } else {
            Error::Diverged {
                what: "gradient",
                step: t,
            }
        })
    }
}

impl<A: Arithmetic, S: Scalar> SteppingBack<A, S> for Adam {
    fn back(
        &self,
        (optimizer, taken): (Optimizer, usize),
        by: RowSteps<'_, S>,
        before: Before<'_, S>,
        d: Adjoints<'_, S>,
        to: Option<[&mut [S]; 2]>,
    ) {
        let adam = optimizer.adam(taken);
        let (w, before) = (
            before.w,
            adam::Before {
                g: before.g,
                m: before.v,
                n: before.n,
            },
        );
        if let Some(to) = to {
            adam::add_by_step::<A, S>(adam, by, before, [w, &*d.w, &*d.v], to);
        }
        adam::adjoint_rows::<A, S>(adam, by, before, [d.w, d.v, d.n, d.g]);
    }
}
