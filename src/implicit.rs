//! Implicit differentiation: the hypergradient from the end of training alone.
//!
//! Where training has converged, `grad_w L(w_T, h) = 0` makes `w_T` a function of `h`, whatever the
//! way there was. Its derivative turns that of the validation loss into
//!
//! ```text
//! dE/dh - M x        (H + damping I) x = dE/dw
//! ```
//!
//! with `H` and `M` the training objective's second-order products at `w_T`, usually over all
//! examples (Bengio 2000, section 2.1). Weights that no group trains stay where they are: `x` is 0
//! there. Two solvers start from `x = 0` and `d = r = dE/dw` and take the same step,
//!
//! ```text
//! x <- x + a d        r <- r - a (H + damping I) d        d <- r + b d
//! ```
//!
//! | solver | `a` | `b` |
//! |---|---|---|
//! | conjugate gradients (Pedregosa 2016) | `r.r / d.(H + damping I) d` | the new `r.r` over the old |
//! | Neumann series (Lorraine et al. 2020, algorithm 3) | the rate | 0 |
//!
//! so that the series is `x = rate sum_k (I - rate (H + damping I))^k dE/dw`, and for both `r` is
//! what is left of the right-hand side. They work on the right-hand side divided by its greatest
//! magnitude, so that no square of a small gradient vanishes in f32, nor is that of a large one infinite;
//! `M x` is multiplied by it in the end.
//!
//! # Where it errs
//! Two errors are measured: `slope` is how far training is from its end, `residual` how far `x` is from a solution.
//! One is not. Under a penalty `c |w|` ([`L1`](crate::wrap::L1)) the end is a kink for each weight
//! that the penalty holds at 0: that weight does not move with `h`, but `H` says that it is free. So each of them, in a
//! loss of curvature `a_i`, adds `-s_i (dE/dw_i) / a_i` to the derivative by `c`, where `s_i` is the side of 0 on which
//! training has stopped; and a hyperparameter that pulls at it alone gets the derivative of a free weight. Nothing is
//! wrong for the others. Of four weights of a test two are held: by `c` the derivative is .225, and what comes is
//! between .105 and .345, by the step at which training stops; by what pulls at the held ones alone it is .1 and -.04,
//! and 0 comes. What shows it is `slope`, which stays where the gradient jumps from one side of 0 to the other. A
//! smooth penalty, such as `c sqrt(w^2 + e^2)`, has no kink.
//!
//! Refused: a residual that is no longer finite, and a series that grows instead of converging. An
//! answer that is merely poor is not refused but measured: [`Solved`] says how far `x` is from a
//! solution and how far `w_T` is from converged.

use crate::error::{Error, check_len, cut};
use crate::hypergradient::{Validation, Workspace};
use crate::kernels::accumulate::{add_scaled, scale};
use crate::kernels::dispatch::run;
use crate::kernels::reduce::{all_finite, dot, greatest, norm};
use crate::objective::{At, Objective, Products};
use crate::pieces::copy;
use crate::scalar::{Arithmetic, Scalar};
use crate::train::InnerProblem;

/// The residual, relative to the right-hand side, beyond which a Neumann series has diverged. One
/// that converges never exceeds 1.
const DIVERGED: f64 = 2.0;

/// How the linear system is solved.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Solver<S> {
    /// Conjugate gradients; they need `H + damping I` to be positive definite.
    ConjugateGradients,
    /// The Neumann series; it converges for a rate below 2 over the greatest eigenvalue of
    /// `H + damping I`, where the least one is above 0.
    Neumann {
        /// The rate.
        rate: S,
    },
}

/// Settings of implicit differentiation.
#[derive(Clone, Copy, Debug)]
pub struct Implicit<'a, S> {
    /// The training examples that `H` and `M` are taken over: usually all.
    pub examples: &'a [u32],
    /// How the system is solved.
    pub solver: Solver<S>,
    /// The most iterations, each one second-order product.
    pub iterations: usize,
    /// The residual, relative to `dE/dw`, at which iterations end early. Below the rounding of an
    /// f64 they always do.
    pub tolerance: S,
    /// What is added to the diagonal of `H`.
    pub damping: S,
}

impl<S: Scalar> Implicit<'_, S> {
    fn check(&self) -> Result<(), Error> {
        let rate = match self.solver {
            Solver::ConjugateGradients => S::ZERO,
            Solver::Neumann { rate } => rate,
        };
        for (what, value, least, greatest) in [
            ("iterations", self.iterations as f64, 1.0, f64::INFINITY),
            ("tolerance", self.tolerance.to_f64(), 0.0, 1.0),
            ("damping", self.damping.to_f64(), 0.0, f64::INFINITY),
            ("rate of the series", rate.to_f64(), 0.0, f64::INFINITY),
        ] {
            if !value.is_finite() {
                return Err(Error::NonFinite { what, step: 0 });
            }
            if value < least || value > greatest {
                return Err(Error::Range {
                    what,
                    value,
                    least,
                    greatest,
                });
            }
        }
        Ok(())
    }
}

/// Why the iterations ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stopped {
    /// The residual came down to the tolerance.
    Tolerance,
    /// There were no more of them.
    Iterations,
    /// Conjugate gradients met a direction `d` with `d.(H + damping I) d <= 0`, where `w_T` is no
    /// minimum. The `x` before that direction is taken, the best on all directions of positive
    /// curvature so far; at the first one that is 0, and the direct term all there is. More damping
    /// helps.
    Curvature,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Solved<S> {
    /// The validation loss `E(w_T, h)`.
    pub valid_loss: S,
    /// `|dE/dw - (H + damping I) x| / |dE/dw|` over the trained weights, computed from the final
    /// `x`; 0 where `dE/dw` is.
    pub residual: f64,
    /// Iterations taken, each one second-order product. One more gives `M x` and the residual.
    pub iterations: usize,
    /// Why there were not more.
    pub stopped: Stopped,
    /// The length of the training objective's gradient at `w_T`, over the trained weights. The
    /// hypergradient is exact only where this is 0.
    pub slope: f64,
}

/// Scratch that implicit differentiation needs: as
/// [`hypergradient::scratch_len`](crate::hypergradient::scratch_len), and one number a
/// hyperparameter.
pub fn scratch_len<O: Objective, E: Objective>(objective: &O, validation: &E) -> usize {
    crate::hypergradient::scratch_len(objective, validation).saturating_add(objective.hypers())
}

impl<A: Arithmetic, S: Scalar> InnerProblem<'_, A, S> {
    /// The hypergradient of the validation loss by implicit differentiation after
    /// [`train`](Self::train), written to `d_h` (`H`). It needs no path. The weights are left as they
    /// are, the first `P` numbers of `workspace.d_v` hold `-x`; the other vectors are used up.
    ///
    /// ```
    /// use drmad::hypergradient::{Validation, Workspace};
    /// use drmad::implicit::{Implicit, Solver, Stopped, scratch_len};
    /// use drmad::{Fused, group::Groups, models::Quadratic, path::Line, random::Batches, schedule::*, train::*};
    /// use drmad::wrap::{L2, Strength};
    ///
    /// // 1/2 sum a (w - h)^2 + 1/2 w^2 is least at w = a h / (a + 1).
    /// let bowl = Quadratic::<Fused>::new(&[1.0, 3.0]);
    /// let held = L2::new(bowl, Strength::Fixed(0.5, Groups::global(2)));
    /// let schedule = Schedule { groups: Groups::global(2), optimizer: Optimizer::HeavyBall, rates: &[0.2f32], momenta: &[0.5] };
    /// let batches = Batches { seed: 0, examples: 1, size: 1 };
    /// let problem = InnerProblem { objective: &held, h: &[1.0, 1.0], schedule, batches, steps: 200 };
    ///
    /// let mut buffer = vec![0.0; Workspace::<f32>::required_len(2, scratch_len(&held, &bowl), Optimizer::HeavyBall, false)];
    /// let mut workspace = Workspace::new(&mut buffer, 2, Optimizer::HeavyBall, false)?;
    /// let (start, mut batch, mut d_h) = ([0.0; 2], [0], [0.0; 2]);
    /// let mut line = Line::new(&start[..], 200);
    /// problem.train(&&start[..], &mut line, &mut workspace, &mut batch, &mut |_, _| ())?;
    /// let implicit = Implicit {
    ///     examples: &[0],
    ///     solver: Solver::ConjugateGradients,
    ///     iterations: 10,
    ///     tolerance: 1e-6,
    ///     damping: 0.0,
    /// };
    /// let validation = Validation { objective: &bowl, examples: &[] };
    /// let solved = problem.implicit(&validation, &implicit, &mut workspace, &mut d_h)?;
    /// assert_eq!((solved.stopped, solved.iterations), (Stopped::Tolerance, 2));
    /// // E = 1/2 sum a (h / (a + 1))^2
    /// assert!((d_h[0] - 1.0 / 4.0).abs() < 1e-6 && (d_h[1] - 3.0 / 16.0).abs() < 1e-6);
    /// # Ok::<(), drmad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Range`] or [`Error::NonFinite`] for a setting; [`Error::Unsolved`] where the
    /// residual left all bounds; [`Error::Diverged`] for the hypergradient; otherwise as
    /// [`direct`](Self::direct) and [`check`](Self::check).
    pub fn implicit(
        &self,
        validation: &Validation<'_, A, S>,
        settings: &Implicit<'_, S>,
        workspace: &mut Workspace<'_, S>,
        d_h: &mut [S],
    ) -> Result<Solved<S>, Error> {
        self.check()?;
        settings.check()?;
        let p = self.objective.weights();
        for (what, x) in [
            ("w", &*workspace.w),
            ("g", &*workspace.g),
            ("d_w", &*workspace.d_w),
            ("d_g", &*workspace.d_g),
        ] {
            check_len(what, x, p)?;
        }
        let remembered = self.schedule.optimizer.slots() * p;
        check_len("v", workspace.v, remembered)?;
        check_len("d_v", workspace.d_v, remembered)?;
        let valid_loss = self.direct(validation, workspace, d_h)?;
        let Workspace {
            w,
            v: x,
            g: r,
            d_w: right,
            d_v: d,
            d_g: h_d,
            scratch,
            ..
        } = workspace;
        // Of what an optimizer remembers one vector is enough.
        let (x, d) = match (x.get_mut(..p), d.get_mut(..p)) {
            (Some(x), Some(d)) => (x, d),
            _ => (&mut [][..], &mut [][..]),
        };
        let mut scratch = &mut **scratch;
        // Every product comes with an `M d`, of which only the last is wanted.
        let aside = cut("scratch", &mut scratch, self.objective.hypers())?;
        let at = At {
            w,
            h: self.h,
            batch: settings.examples,
        };

        self.only_trained(right);
        let size = greatest(right);
        // Divided, since the inverse of a number may be infinite.
        if size > S::ZERO {
            for right in right.iter_mut() {
                *right = *right / size;
            }
        }
        let length = norm(right);
        let relative = |x: &[S]| {
            if length > 0.0 { norm(x) / length } else { 0.0 }
        };
        copy(right, r);
        copy(r, d);
        x.fill(S::ZERO);

        // Below this the residual that is carried along says nothing of the true one.
        let tolerance = settings.tolerance.to_f64().max(f64::EPSILON);
        // That of conjugate gradients may grow on the way.
        let most = match settings.solver {
            Solver::ConjugateGradients => f64::MAX,
            Solver::Neumann { .. } => DIVERGED,
        };
        let mut iterations = 0;
        let mut squares = dot::<A, S>(r, r);
        let stopped = loop {
            let residual = relative(r);
            if residual.is_nan() || residual > most {
                return Err(Error::Unsolved {
                    iterations,
                    residual,
                });
            }
            if residual <= tolerance {
                break Stopped::Tolerance;
            }
            if iterations == settings.iterations {
                break Stopped::Iterations;
            }
            h_d.fill(S::ZERO);
            let products = Products {
                g: None,
                h_d,
                m_d: aside,
            };
            self.damped(at, settings.damping, d, products, scratch)?;
            iterations += 1;
            let step = match settings.solver {
                Solver::Neumann { rate } => rate,
                Solver::ConjugateGradients => {
                    let curvature = dot::<A, S>(d, h_d);
                    if !curvature.is_finite() {
                        return Err(Error::Unsolved {
                            iterations,
                            residual: f64::NAN,
                        });
                    }
                    if curvature <= S::ZERO {
                        break Stopped::Curvature;
                    }
                    squares / curvature
                }
            };
            add_scaled::<A, S>(step, d, x);
            add_scaled::<A, S>(-step, h_d, r);
            let next = dot::<A, S>(r, r);
            let keep = match settings.solver {
                Solver::Neumann { .. } => S::ZERO,
                Solver::ConjugateGradients => next / squares,
            };
            squares = next;
            let (d, r) = (&mut *d, r.iter());
            run(
                #[inline(always)]
                move || {
                    for (d, r) in d.iter_mut().zip(r) {
                        *d = A::mul_add(keep, *d, *r);
                    }
                },
            );
        };

        // Along -x one product takes M x off the direct term and (H + damping I) x off dE/dw.
        scale(-S::ONE, x, d);
        aside.fill(S::ZERO);
        let products = Products {
            g: Some(r),
            h_d: right,
            m_d: aside,
        };
        self.damped(at, settings.damping, d, products, scratch)?;
        add_scaled::<A, S>(size, aside, d_h);
        for d in d.iter_mut() {
            *d *= size;
        }
        self.only_trained(r);
        let residual = relative(right);
        if !residual.is_finite() {
            return Err(Error::Unsolved {
                iterations,
                residual,
            });
        }
        if !all_finite(d_h) {
            return Err(Error::Diverged {
                what: "hypergradient",
                step: self.steps,
            });
        }
        Ok(Solved {
            valid_loss,
            residual,
            iterations,
            stopped,
            slope: norm(r),
        })
    }

    /// Adds `(H + damping I) d`, for the trained weights, and `M d` to `out`.
    fn damped(
        &self,
        at: At<'_, S>,
        damping: S,
        d: &[S],
        out: Products<'_, S>,
        scratch: &mut [S],
    ) -> Result<(), Error> {
        let Products { g, h_d, m_d } = out;
        let products = Products {
            g,
            h_d: &mut *h_d,
            m_d,
        };
        self.objective.second_order(at, d, products, scratch)?;
        add_scaled::<A, S>(damping, d, h_d);
        self.only_trained(h_d);
        Ok(())
    }

    /// 0 for the weights in no group.
    fn only_trained(&self, x: &mut [S]) {
        for block in self.schedule.groups.blocks() {
            if block.hyper.is_none() {
                block.of_mut(x).fill(S::ZERO);
            }
        }
    }
}
