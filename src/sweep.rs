//! The one backward sweep.
//!
//! From `d_w = dE/dw_T`, `d_v = 0`, `d_h = dE/dh` (the direct term), for `t = T-1 .. 0`, with the
//! weights that the [`Path`] recalls (Maclaurin et al. 2015, algorithm 2), for the heavy ball:
//!
//! ```text
//! d_alpha_t = d_w . v_{t+1}              d_v <- d_v + alpha d_w
//! d_gamma_t = d_v . (v_t + g_t)          d_g = -(1 - gamma) d_v
//! d_w <- d_w + H d_g                     d_h <- d_h + M d_g              d_v <- gamma d_v
//! ```
//!
//! and at the end `d_w` is the derivative by the initial weights. Another [`Optimizer`] has another `d_g`;
//! the rest is the same. Where a [`Path`] takes the steps in an arithmetic of its own, `alpha` and `gamma`
//! are what those steps made of them ([`Path::taken`]). Rates and momenta of the heavy ball cost nothing but
//! two dot products; where nobody asks for them, velocities are not recalled at all. Adam's direction depends
//! on the gradient, and so do the rates of Nesterov's step: there each step back takes the gradient once
//! more.
//!
//! Refused: adjoints that are no longer finite, with the step at which that was seen. A path far
//! from the true one can make them grow without bound.

use core::ops::Range;

use crate::error::{Error, check_equal, check_len};
use crate::group::Block;
use crate::kernels::accumulate::add_scaled_row_dots;
use crate::kernels::momentum;
use crate::kernels::momentum::RowSteps;
use crate::kernels::reduce::all_finite;
use crate::objective::{At, Products};
use crate::optimizer::{self, Both, SteppingBack};
use crate::path::{Path, Spare};
use crate::pieces::{split, split_mut};
use crate::scalar::{Arithmetic, Scalar};
use crate::schedule::{Optimizer, Tables};
use crate::train::{InnerProblem, Replay, Scratch};

/// The vectors of a sweep, `P` numbers each unless said otherwise.
#[derive(Debug)]
pub(crate) struct Adjoints<'a, S> {
    /// The weights: `w_T` going in, overwritten.
    pub(crate) w: &'a mut [S],
    /// `dE/dw_T` going in, `dE/dw_0` coming out.
    pub(crate) d_w: &'a mut [S],
    /// Overwritten; as many numbers as the optimizer remembers.
    pub(crate) d_v: &'a mut [S],
    /// Overwritten.
    pub(crate) d_g: &'a mut [S],
    /// `dE/dh` going in (`H`), the hypergradient coming out.
    pub(crate) d_h: &'a mut [S],
    /// What the path may use; the first holds the velocity `v_T` going in.
    pub(crate) spare: Spare<'a, S>,
    /// What the optimizer remembers, and the gradient: where [`Optimizer::recalls`] says so.
    pub(crate) state: Option<State<'a, S>>,
    /// Where the hypergradients of rates and momenta go, if they are wanted.
    pub(crate) schedule: Option<Tables<'a, S>>,
}

/// What the optimizer remembers, and the gradient.
#[derive(Debug)]
pub(crate) struct State<'a, S> {
    /// `v_T` going in, overwritten; as many numbers as the optimizer remembers.
    pub(crate) v: &'a mut [S],
    /// Overwritten (`P`).
    pub(crate) g: &'a mut [S],
}

impl<A: Arithmetic, S: Scalar> InnerProblem<'_, A, S> {
    /// A part of the sweep: these steps of the path's plan alone, from the last to the first, after the
    /// ones behind them in the same vectors. The plan's last step begins it, and step 0 ends it.
    ///
    /// # Errors
    /// [`Error::Diverged`] with the step at which the adjoints were no longer finite;
    /// [`Error::Length`], also where the path's plan is for another number of steps;
    /// [`Error::Range`] where it takes back none, or more than there are; what the run, the objective or the path refuse.
    pub(crate) fn sweep_over(
        &self,
        steps: Range<usize>,
        path: &mut dyn Path<A, S>,
        adjoints: &mut Adjoints<'_, S>,
        scratch: &mut Scratch<'_, S>,
        (stepping, stepping_back): Both<'_, A, S>,
    ) -> Result<(), Error> {
        self.check()?;
        self.check_adjoints(adjoints)?;
        let plan = path.plan(self.steps);
        check_equal("steps of the path's plan", self.steps, plan.trained)?;
        if plan.steps == 0 || plan.steps > self.steps {
            return Err(Error::Range {
                what: "steps back",
                value: plan.steps as f64,
                least: 1.0,
                greatest: self.steps as f64,
            });
        }
        self.check_steps(&steps, plan.steps)?;
        if steps.is_empty() {
            return Ok(());
        }
        let rate_scale = S::from_f32(plan.rate_scale);
        if steps.end == plan.steps {
            if let Some(tables) = &mut adjoints.schedule {
                tables.rates.fill(S::ZERO);
                tables.momenta.fill(S::ZERO);
            }
            adjoints.d_v.fill(S::ZERO);
            path.open(adjoints.w, adjoints.spare.again())?;
        }
        // What no step trains stays 0.
        adjoints.d_g.fill(S::ZERO);
        let first = steps.start;
        for s in steps.rev() {
            let t = plan.step(s);
            let back = Back {
                problem: self,
                stepping_back,
                t,
                rate_scale,
            };
            // The velocity here is still that after the step.
            back.rates_of_the_heavy_ball(adjoints);
            let velocity = adjoints.state.as_mut().map(|state| &mut *state.v);
            let mut replay = Replay {
                problem: self,
                stepping,
                scratch,
            };
            path.recall(s, adjoints.w, velocity, &mut replay, adjoints.spare.again())?;
            back.step(path, adjoints, scratch)?;
            if !all_finite(adjoints.d_w) {
                return Err(Error::Diverged {
                    what: "adjoint of the weights",
                    step: t,
                });
            }
        }
        if first > 0 {
            return Ok(());
        }
        let tables = adjoints.schedule.as_ref();
        if !(all_finite(adjoints.d_h)
            && tables.is_none_or(|tables| all_finite(tables.rates) && all_finite(tables.momenta)))
        {
            return Err(Error::Diverged {
                what: "hypergradient",
                step: 0,
            });
        }
        Ok(())
    }

    fn check_adjoints(&self, adjoints: &Adjoints<'_, S>) -> Result<(), Error> {
        let p = self.objective.weights();
        let slots = self.schedule.optimizer.slots();
        for (what, x) in [
            ("w", &*adjoints.w),
            ("d_w", &*adjoints.d_w),
            ("d_g", &*adjoints.d_g),
            ("spare a", &*adjoints.spare.a),
            ("spare b", &*adjoints.spare.b),
        ] {
            check_len(what, x, p)?;
        }
        check_len("d_v", adjoints.d_v, slots * p)?;
        check_len("d_h", adjoints.d_h, self.objective.hypers())?;
        match &adjoints.state {
            Some(state) => {
                check_len("v", state.v, slots * p)?;
                check_len("g", state.g, p)?;
            }
            None if self.schedule.optimizer.recalls(adjoints.schedule.is_some()) => {
                return Err(Error::Length {
                    what: "v and g of the sweep",
                    want: (slots + 1) * p,
                    got: 0,
                });
            }
            None => {}
        }
        if let Some(tables) = &adjoints.schedule {
            check_len("d_rates", tables.rates, self.schedule.rates.len())?;
            check_len("d_momenta", tables.momenta, self.schedule.momenta.len())?;
        }
        Ok(())
    }
}

/// One step back.
struct Back<'r, 'a, A: Arithmetic, S: Scalar> {
    problem: &'r InnerProblem<'a, A, S>,
    stepping_back: &'r dyn SteppingBack<A, S>,
    t: usize,
    rate_scale: S,
}

impl<A: Arithmetic, S: Scalar> Back<'_, '_, A, S> {
    /// Calls `body` with each block of the weights, and the rates and momenta of the steps that were taken.
    fn each(&self, path: &dyn Path<A, S>, mut body: impl FnMut(Block, RowSteps<'_, S>)) {
        let rate_scale = self.rate_scale;
        let schedule = &self.problem.schedule;
        schedule.each_taken(self.t, path.taken(), |block, by| {
            body(block, RowSteps { rate_scale, ..by });
        });
    }

    fn is_heavy_ball(&self) -> bool {
        self.problem.schedule.optimizer == Optimizer::HeavyBall
    }

    /// `d_alpha += d_w . v_{t+1}`.
    fn rates_of_the_heavy_ball(&self, adjoints: &mut Adjoints<'_, S>) {
        let (Some(state), Some(tables)) = (&adjoints.state, &mut adjoints.schedule) else {
            return;
        };
        if !self.is_heavy_ball() {
            return;
        }
        let groups = self.problem.schedule.groups.len();
        self.problem.schedule.each(self.t, |block, _| {
            let [rates, _] = tables.of(groups, self.t, block);
            let (d_w, v) = (block.of(adjoints.d_w), block.of(state.v));
            let (columns, scale) = (block.columns, self.rate_scale);
            add_scaled_row_dots::<A, S>(columns, scale, d_w, v, rates);
        });
    }

    /// `d_gamma += d_v . (v_t + g_t)`, with `d_g = -(1 - gamma) d_v`.
    fn momenta_of_the_heavy_ball(&self, path: &dyn Path<A, S>, adjoints: &mut Adjoints<'_, S>) {
        let (Some(state), Some(tables)) = (&adjoints.state, &mut adjoints.schedule) else {
            return;
        };
        let groups = self.problem.schedule.groups.len();
        self.each(path, |block, by| {
            let [_, momenta] = tables.of(groups, self.t, block);
            let (d_g, v, g) = (block.of(adjoints.d_g), block.of(state.v), block.of(state.g));
            momentum::add_by_momentum::<A, S>(by, d_g, v, g, momenta);
        });
    }

    /// The step back at the recalled weights.
    fn step(
        &self,
        path: &dyn Path<A, S>,
        adjoints: &mut Adjoints<'_, S>,
        scratch: &mut Scratch<'_, S>,
    ) -> Result<(), Error> {
        let problem = self.problem;
        let wants_schedule = adjoints.schedule.is_some();
        // The heavy ball's direction does not need the gradient, which then comes with the products.
        let beside = self.is_heavy_ball() && wants_schedule;
        if problem.schedule.optimizer.recalls(wants_schedule)
            && !beside
            && let Some(state) = &mut adjoints.state
        {
            problem.gradient(self.t, adjoints.w, state.g, scratch)?;
        }
        self.direction(path, adjoints);
        problem.batches.fill(self.t, scratch.batch)?;
        let at = At {
            w: &*adjoints.w,
            h: problem.h,
            batch: &*scratch.batch,
        };
        let state = adjoints.state.as_mut().filter(|_| beside);
        let products = Products {
            g: state.map(|state| &mut *state.g),
            h_d: adjoints.d_w,
            m_d: adjoints.d_h,
        };
        problem
            .objective
            .second_order(at, adjoints.d_g, products, scratch.numbers)?;
        if beside {
            self.momenta_of_the_heavy_ball(path, adjoints);
        }
        Ok(())
    }

    /// The optimizer's part: takes `d_v` (and `d_w`) back over the step, writes `d_g`, and adds the
    /// derivatives by rate and momentum where they are wanted and need the gradient.
    fn direction(&self, path: &dyn Path<A, S>, adjoints: &mut Adjoints<'_, S>) {
        let schedule = &self.problem.schedule;
        let groups = schedule.groups.len();
        let (d_first, d_second) = split_mut(adjoints.d_v, adjoints.w.len());
        let (v, g) = match &adjoints.state {
            Some(state) => (&*state.v, &*state.g),
            None => (&[][..], &[][..]),
        };
        let (first, second) = split(v, adjoints.w.len());
        self.each(path, |block, by| {
            let before = optimizer::Before {
                w: block.of(adjoints.w),
                v: block.of(first),
                n: block.of(second),
                g: block.of(g),
            };
            let d = optimizer::Adjoints {
                w: block.of_mut(adjoints.d_w),
                v: block.of_mut(d_first),
                n: block.of_mut(d_second),
                g: block.of_mut(adjoints.d_g),
            };
            let tables = adjoints.schedule.as_mut();
            let to = tables.map(|tables| tables.of(groups, self.t, block));
            self.stepping_back
                .back((schedule.optimizer, self.t), by, before, d, to);
        });
    }
}
