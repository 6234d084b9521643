//! The one backward sweep.
//!
//! From `d_w = dE/dw_T`, `d_v = 0`, `d_h = dE/dh` (the direct term), for `t = T-1 .. 0`, with the
//! weights that the [`Path`] recalls (Maclaurin et al. 2015, algorithm 2):
//!
//! ```text
//! d_alpha_t = d_w . v_{t+1}              d_v <- d_v + alpha d_w
//! d_gamma_t = d_v . (v_t + g_t)          d_g = -(1 - gamma) d_v
//! d_w <- d_w + H d_g                     d_h <- d_h + M d_g              d_v <- gamma d_v
//! ```
//!
//! and at the end `d_w` is the derivative by the initial weights. Rates and momenta cost nothing
//! but two dot products; where nobody asks for them, velocities are not recalled at all.
//!
//! Refused: adjoints that are no longer finite, with the step at which that was seen. A path far
//! from the true one can make them grow without bound.

use crate::error::{Error, exactly};
use crate::kernels::momentum;
use crate::kernels::reduce::{all_finite, dot};
use crate::objective::{At, Objective, Products};
use crate::path::{Path, Spare};
use crate::scalar::Scalar;
use crate::train::{Replay, Run, Scratch};

/// The vectors of a sweep, `P` numbers each unless said otherwise.
#[derive(Debug)]
pub struct Adjoints<'a, S> {
    /// The weights: `w_T` going in, overwritten.
    pub w: &'a mut [S],
    /// `dE/dw_T` going in, `dE/dw_0` coming out.
    pub d_w: &'a mut [S],
    /// Overwritten.
    pub d_v: &'a mut [S],
    /// Overwritten.
    pub d_g: &'a mut [S],
    /// `dE/dh` going in (`H`), the hypergradient coming out.
    pub d_h: &'a mut [S],
    /// What the path may use.
    pub spare: Spare<'a, S>,
    /// What is needed for rates and momenta, where their hypergradients are wanted.
    pub schedule: Option<ScheduleAdjoint<'a, S>>,
}

/// The hypergradients of rates and momenta, and the vectors they need.
#[derive(Debug)]
pub struct ScheduleAdjoint<'a, S> {
    /// `v_T` going in (`P`), overwritten.
    pub v: &'a mut [S],
    /// Overwritten (`P`).
    pub g: &'a mut [S],
    /// The derivative by the rates, as long as the schedule's table of them.
    pub d_rates: &'a mut [S],
    /// The derivative by the momenta, as long as the schedule's table of them.
    pub d_momenta: &'a mut [S],
}

/// The place of step `t` and a group in a table of one number a group, or of steps x groups.
fn entry<S>(table: &mut [S], groups: usize, t: usize, group: usize) -> Option<&mut S> {
    let index = if table.len() == groups {
        group
    } else {
        t * groups + group
    };
    table.get_mut(index)
}

impl<O: Objective, S: Scalar> Run<'_, O, S> {
    /// The sweep over `path`; returns the number of steps it took.
    ///
    /// # Errors
    /// [`Error::Diverged`] with the step at which the adjoints were no longer finite;
    /// [`Error::Length`], also where the path's plan is for another number of steps;
    /// [`Error::Range`] where it takes back none, or more than there are; what the run, the objective or the path refuse.
    pub fn sweep(
        &self,
        path: &mut dyn Path<S>,
        adjoints: &mut Adjoints<'_, S>,
        scratch: &mut Scratch<'_, S>,
    ) -> Result<usize, Error> {
        self.check()?;
        let p = self.objective.weights();
        let Adjoints {
            w,
            d_w,
            d_v,
            d_g,
            d_h,
            spare,
            schedule,
        } = adjoints;
        for (what, x) in [
            ("w", &**w),
            ("d_w", &**d_w),
            ("d_v", &**d_v),
            ("d_g", &**d_g),
            ("spare a", &*spare.a),
            ("spare b", &*spare.b),
        ] {
            exactly(what, x, p)?;
        }
        exactly("d_h", d_h, self.objective.hypers())?;
        if let Some(wanted) = schedule {
            exactly("v", wanted.v, p)?;
            exactly("g", wanted.g, p)?;
            exactly("d_rates", wanted.d_rates, self.schedule.rates.len())?;
            exactly("d_momenta", wanted.d_momenta, self.schedule.momenta.len())?;
            wanted.d_rates.fill(S::ZERO);
            wanted.d_momenta.fill(S::ZERO);
        }
        let groups = self.schedule.groups.len();
        let plan = path.plan(self.steps);
        if plan.trained != self.steps {
            return Err(Error::Length {
                what: "steps of the path's plan",
                want: self.steps,
                got: plan.trained,
            });
        }
        if plan.steps == 0 || plan.steps > self.steps {
            return Err(Error::Range {
                what: "steps back",
                value: plan.steps as f64,
                least: 1.0,
                greatest: self.steps as f64,
            });
        }
        let rate_scale = S::from_f32(plan.rate_scale);
        d_v.fill(S::ZERO);
        d_g.fill(S::ZERO);
        path.open(w, spare.again())?;
        for s in (0..plan.steps).rev() {
            let t = plan.step(s);
            if let Some(wanted) = schedule {
                // The velocity here is still that after the step.
                self.schedule.each(|range, group| {
                    if let (Some(d), Some(d_w), Some(v)) = (
                        entry(wanted.d_rates, groups, t, group),
                        d_w.get(range.clone()),
                        wanted.v.get(range),
                    ) {
                        *d += rate_scale * dot::<O::Arithmetic, S>(d_w, v);
                    }
                });
            }
            let velocity = schedule.as_mut().map(|wanted| &mut *wanted.v);
            let mut replay = Replay { run: self, scratch };
            path.recall(s, w, velocity, &mut replay, spare.again())?;
            self.schedule.each(|range, group| {
                let mut by = self.schedule.step(t, group);
                by.rate *= rate_scale;
                if let (Some(d_w), Some(d_v), Some(d_g)) = (
                    d_w.get(range.clone()),
                    d_v.get_mut(range.clone()),
                    d_g.get_mut(range),
                ) {
                    momentum::adjoint::<O::Arithmetic, S>(by, d_w, d_v, d_g);
                }
            });
            self.batches.fill(t, scratch.batch)?;
            let at = At {
                w,
                h: self.h,
                batch: scratch.batch,
            };
            let products = Products {
                g: schedule.as_mut().map(|wanted| &mut *wanted.g),
                h_d: d_w,
                m_d: d_h,
            };
            self.objective
                .second_order(at, d_g, products, scratch.numbers)?;
            if let Some(wanted) = schedule {
                // d_g = -(1 - gamma) d_v, with the d_v before it was multiplied by gamma.
                self.schedule.each(|range, group| {
                    let share = self.schedule.step(t, group).momentum - S::ONE;
                    if let (Some(d), Some(d_g), Some(v), Some(g)) = (
                        entry(wanted.d_momenta, groups, t, group),
                        d_g.get(range.clone()),
                        wanted.v.get(range.clone()),
                        wanted.g.get(range),
                    ) {
                        let sum = dot::<O::Arithmetic, S>(d_g, v) + dot::<O::Arithmetic, S>(d_g, g);
                        *d += sum / share;
                    }
                });
            }
            if !all_finite(d_w) {
                return Err(Error::Diverged {
                    what: "adjoint of the weights",
                    step: t,
                });
            }
        }
        let schedule_is_finite = schedule
            .as_ref()
            .is_none_or(|wanted| all_finite(wanted.d_rates) && all_finite(wanted.d_momenta));
        if !(all_finite(d_h) && schedule_is_finite) {
            return Err(Error::Diverged {
                what: "hypergradient",
                step: 0,
            });
        }
        Ok(plan.steps)
    }
}
