//! Where were the weights at step `t`?
//!
//! A [`Path`] watches the trajectory from `w_0` to `w_T` and answers that question when the
//! [sweep](crate::hypergradient) asks it for `t = T-1 .. 0`. What it remembers is all that distinguishes
//! the reverse methods:
//!
//! | path | remembers | exact |
//! |---|---|---|
//! | [`Tape`] | every step | yes |
//! | [`Checkpoints`] | few steps, and takes the others again | yes |
//! | [`Reversible`] | the bits that a step in fixed point loses | yes, of the training in fixed point |
//! | [`Line`] | the two ends | no |
//! | [`Knots`] | some of the steps, and what lies between by a line or a cubic | no |
//! | [`Legendre`] | a least-squares fit by polynomials of time | no |
//! | [`Hats`] | a least-squares fit by a few hat functions of time | no |
//! | [`Reversed`] | nothing: runs backwards | for a few steps |
//! | [`Tail`] | the last steps reversed, the others as another path | as that |
//! | [`Truncated`] | the last steps of another path | no |
//!
//! A path owns its storage (the caller's buffer) and is lent two vectors for free: while training
//! the two that will be the adjoints, and in the sweep two that training has done with ([`Spare`]).
//!
//! Refused: steps out of turn, and velocities that the weights remembered do not tell.

mod checkpoints;
mod chosen;
mod hats;
mod knots;
mod legendre;
mod line;
mod reversed;
mod reversible;
mod rows;
mod tail;
mod tape;
mod truncated;

pub use checkpoints::{Checkpoints, Mark};
pub use chosen::Levels;
pub(crate) use chosen::{AnyRows, Around, Behind, Chosen, OfPath, Whole, behind};
#[cfg(feature = "cuda")]
pub(crate) use hats::Elimination;
pub use hats::{Grid, Hats};
pub use knots::Knots;
pub use legendre::Legendre;
pub use line::{Line, Plan, Replayed};
pub use reversed::Reversed;
pub use reversible::Reversible;
pub use rows::{Full, Quantised, Rows, Stored};
pub use tail::Tail;
pub use tape::Tape;
pub use truncated::Truncated;

use crate::error::{Error, check_equal, check_len};
use crate::group::Block;
use crate::kernels::momentum::{RowSteps, velocity_rows};
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::Optimizer;
use crate::state::{FIELD, Fields};

/// Two vectors of `P` numbers that a path may use. They keep their contents from one call to the
/// next within the training, and within the sweep, but not from the one to the other.
#[derive(Debug)]
pub struct Spare<'a, S> {
    /// The first.
    pub a: &'a mut [S],
    /// The second.
    pub b: &'a mut [S],
}

impl<'s, S> Spare<'s, S> {
    /// The two as the left and the right end of an interval: the first and the second, or swapped.
    fn ends(self, swapped: bool) -> (&'s mut [S], &'s mut [S]) {
        if swapped {
            (self.b, self.a)
        } else {
            (self.a, self.b)
        }
    }

    /// The same two, lent on.
    #[inline]
    pub fn again(&mut self) -> Spare<'_, S> {
        Spare {
            a: self.a,
            b: self.b,
        }
    }
}

/// The training, handed to paths that must compute.
pub trait Steps<S: Scalar> {
    /// Takes step `t` again, from `w` and `v` in place; `g` is overwritten.
    ///
    /// # Errors
    /// What the objective refuses.
    fn replay(&mut self, t: usize, w: &mut [S], v: &mut [S], g: &mut [S]) -> Result<(), Error>;

    /// Writes the gradient of step `t` at `w` to `g`.
    ///
    /// # Errors
    /// What the objective refuses.
    fn gradient(&mut self, t: usize, w: &[S], g: &mut [S]) -> Result<(), Error>;

    /// How a step follows from its gradient.
    fn optimizer(&self) -> Optimizer;

    /// Calls `body` with each block of the weights, and with the rates and momenta of its rows in step `t`.
    /// What it leaves out is not trained.
    fn each(&self, t: usize, body: &mut dyn FnMut(Block, RowSteps<'_, S>));

    /// Writes the velocity before the path's first step, which is 0, to `v`: for a path that recalls
    /// weights alone.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the training began before: then it is not 0.
    fn first_velocity(&self, v: &mut [S]) -> Result<(), Error> {
        v.fill(S::ZERO);
        Ok(())
    }

    /// Turns the change of the weights in step `t` into the velocity after it: divides by the rate.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the velocity is not to be seen in the weights: where the optimizer is
    /// not the heavy ball, or a rate is 0.
    fn velocity(&self, t: usize, change: &mut [S]) -> Result<(), Error> {
        if self.optimizer() != Optimizer::HeavyBall {
            return Err(Error::Unsupported {
                what: "a path that recalls weights alone, under another optimizer than the heavy ball's: \
                       its velocities are to be kept too",
            });
        }
        let mut still = false;
        self.each(t, &mut |block, by| {
            still |= by.rates.contains(&S::ZERO);
            velocity_rows(by, block.of_mut(change));
        });
        if still {
            return Err(Error::Unsupported {
                what: "a path that recalls weights alone, where a rate is 0: nothing is seen of the \
                       velocity, which is to be kept too",
            });
        }
        Ok(())
    }
}

pub use crate::schedule::Taken;

/// A memory of the trajectory, in the arithmetic `A` of the run that it belongs to. The crate's paths have none
/// of their own, and the run's is its objective's, so there is no other to be had:
///
/// ```compile_fail,E0308
/// use drmad::{Error, Fused, Plain, hypergradient::Workspace, models::Quadratic, path::Path, train::InnerProblem};
/// fn train(
///     problem: &InnerProblem<'_, Quadratic<'_, Plain>, f32>,
///     path: &mut dyn Path<Fused, f32>,
///     workspace: &mut Workspace<'_, f32>,
/// ) -> Result<(), Error> {
///     problem.train(&&[0.0][..], path, workspace, &mut [0], &mut |_, _| ())
/// }
/// ```
///
/// One of the user's:
///
/// ```
/// use drmad::path::{Path, Spare, Steps};
/// use drmad::{Arithmetic, Error};
///
/// /// Remembers nothing and says that the weights never moved from 0.
/// struct Nowhere;
///
/// impl<A: Arithmetic> Path<A, f32> for Nowhere {
///     fn floats(&self) -> usize { 0 }
///     fn record(&mut self, _: usize, _: &[f32], _: &[f32], _: Spare<f32>) -> Result<(), Error> {
///         Ok(())
///     }
///     fn recall(
///         &mut self,
///         _t: usize,
///         w: &mut [f32],
///         _v: Option<&mut [f32]>,
///         _steps: &mut dyn Steps<f32>,
///         _spare: Spare<f32>,
///     ) -> Result<(), Error> {
///         w.fill(0.0);
///         Ok(())
///     }
/// }
/// ```
pub trait Path<A: Arithmetic, S: Scalar> {
    /// Memory it uses beside the spare vectors, in numbers of 32 bits (of `S`, where it stores `S`).
    fn floats(&self) -> usize;

    /// Sees `w_0`, and may round it to numbers of its own; the first call of the training.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        let _ = w;
        Ok(())
    }

    /// Sees the weights and the velocity before step `t`; called for `t = 0 .. T-1` in turn.
    ///
    /// # Errors
    /// [`Error::Order`] for a step out of turn, [`Error::Length`] for other lengths than it was
    /// made for.
    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error>;

    /// Takes step `t` from the gradient `g` at `w` in place of the training, and says whether it did: a
    /// path that can undo its steps exactly has an arithmetic of its own.
    ///
    /// # Errors
    /// A step that its arithmetic cannot take.
    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        let _ = (t, w, v, g, steps);
        Ok(false)
    }

    /// What the steps that it [takes](Self::advance) make of a momentum, where it is not that of the schedule: the
    /// sweep is the derivative of the steps that were taken.
    fn taken(&self) -> Option<Taken<S>> {
        None
    }

    /// Sees `w_T` and `v_T`; the last call of the training.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        let _ = (w, v, spare);
        Ok(())
    }

    /// Sees `w_T` again, with the spare vectors of the sweep, the first of which holds the velocity
    /// `v_T`; the first call of the sweep.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        let _ = (w, spare);
        Ok(())
    }

    /// Writes the weights before step `t` to `w` and, where it is wanted, the velocity (what the optimizer
    /// remembers) to `v`; called for descending `t`. `w` and `v` hold what the call before left there.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error>;

    /// Hands its kind, its sizes and all that it remembers to `fields`, as
    /// [`State::state`](crate::state::State::state) says. Kinds of other crates' paths begin at 1000.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it does not say what that is.
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let _ = fields;
        Err(Error::Unsupported {
            what: "saving a path that does not say what its state is",
        })
    }

    /// How the sweep is to walk back over `trained` steps; every one of them, unless the path says
    /// otherwise.
    fn plan(&self, trained: usize) -> Plan {
        Plan::every(trained)
    }
}

/// What a path's state begins with.
enum Kind {
    Tape = 1,
    Checkpoints = 2,
    Reversible = 3,
    Line = 4,
    Knots = 5,
    Legendre = 6,
    Hats = 7,
    Reversed = 8,
    Tail = 9,
    Truncated = 10,
}

impl Fields<'_> {
    /// The kind of a path and its sizes.
    fn path(&mut self, kind: Kind, sizes: &[usize]) -> Result<(), Error> {
        self.same("kind of path", kind as u64)?;
        for size in sizes {
            self.same("size of the path", *size as u64)?;
        }
        Ok(())
    }
}

/// Checks what an optimizer remembers at the door of a path that knows of one velocity alone.
fn one_velocity<S>(v: &[S], weights: usize) -> Result<(), Error> {
    if weights > 0 && v.len() == weights.saturating_mul(2) {
        return Err(Error::Unsupported {
            what: "a path of one velocity under an optimizer that remembers two moments: \
                   take Tape or Checkpoints with slots for both",
        });
    }
    check_len("v", v, weights)
}

/// Bytes of what [`Fields::path`] writes, and of so many fields more.
const fn fields_len(sizes: usize, more: usize) -> usize {
    (1 + sizes + more) * FIELD
}

/// Writes what a trajectory from `left` to `right` in `n` steps of one size changes in each to `v`.
fn slope<S: Scalar>(n: usize, left: &[S], right: &[S], v: &mut [S]) {
    let n = S::from_usize(n);
    for ((v, right), left) in v.iter_mut().zip(right).zip(left) {
        *v = (*right - *left) / n;
    }
}

/// Refuses a path inside another that is made for another number of steps, or that walks back in a
/// way of its own, of which the outer one knows nothing.
fn walks_every_step<A: Arithmetic, S: Scalar>(
    path: &impl Path<A, S>,
    trained: usize,
) -> Result<(), Error> {
    let plan = path.plan(trained);
    check_equal("steps of the inner path's plan", trained, plan.trained)?;
    if plan != Plan::every(trained) {
        return Err(Error::Unsupported {
            what: "a path inside another that does not walk back every step: give it no plan of its own",
        });
    }
    Ok(())
}

/// A path behind a pointer, as a program has it that chooses one at run time.
#[cfg(feature = "std")]
#[deny(clippy::missing_trait_methods)]
impl<A: Arithmetic, S: Scalar, P: Path<A, S> + ?Sized> Path<A, S> for std::boxed::Box<P> {
    fn floats(&self) -> usize {
        (**self).floats()
    }

    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        (**self).start(w)
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        (**self).record(t, w, v, spare)
    }

    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        (**self).advance(t, w, v, g, steps)
    }

    fn taken(&self) -> Option<Taken<S>> {
        (**self).taken()
    }

    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        (**self).finish(w, v, spare)
    }

    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        (**self).open(w, spare)
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        (**self).recall(t, w, v, steps, spare)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        (**self).state(fields)
    }

    fn plan(&self, trained: usize) -> Plan {
        (**self).plan(trained)
    }
}
