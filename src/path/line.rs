//! The straight line from the first to the last weights: DrMAD (Fu et al. 2016, equation 5).
//!
//! ```text
//! w_t = (1 - b) w_0 + b w_T        b = t / T
//! ```
//!
//! It remembers nothing: `w_T` is there when the sweep begins, `w_0` comes from the caller's memory
//! or from its seed. Measured, the line points the wrong way: along the chord the loss has negative
//! curvature, and the adjoints grow exponentially there.
//!
//! The code published with the paper does something else ([`Plan::published`]): it takes `T / 10`
//! steps back with the rate unscaled, over the first `T / 10` batches. The sign that it takes of
//! the result hides the scale.
//!
//! Refused: initial weights of another number; velocities, where a rate is 0 or the optimizer is not the heavy ball.

use super::{Kind, Path, Spare, Steps, fields_len, slope};
use crate::error::{Error, check_equal, check_len};
use crate::kernels::interpolate::between;
use crate::random::InitialWeights;
use crate::scalar::{Arithmetic, Scalar};
use crate::state::Fields;

/// Which batches a shortened sweep runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Replayed {
    /// Those of the first steps, as the published code does.
    First,
    /// Those of the steps it stands for, evenly spread over the training.
    Spread,
    /// Those of the last steps: a truncated sweep.
    Last,
}

/// How a sweep walks back: how many steps, over which batches, with which scale of the rate.
///
/// ```
/// use drmad::path::Plan;
/// let plan = Plan::published(2000);
/// assert_eq!((plan.steps, plan.step(199)), (200, 199));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Plan {
    /// Steps back.
    pub steps: usize,
    /// Steps of the training.
    pub trained: usize,
    /// Which batches.
    pub batches: Replayed,
    /// What the rate is multiplied by.
    pub rate_scale: f32,
}

impl Plan {
    /// Every step of the training, as it was.
    pub const fn every(trained: usize) -> Self {
        Plan {
            steps: trained,
            trained,
            batches: Replayed::Spread,
            rate_scale: 1.0,
        }
    }

    /// The published variant: a tenth of the steps, the first batches, the rate unscaled.
    pub const fn published(trained: usize) -> Self {
        let steps = trained / 10;
        Plan {
            steps: if steps == 0 { 1 } else { steps },
            trained,
            batches: Replayed::First,
            rate_scale: 1.0,
        }
    }

    /// The step of the training whose batch, rate and momentum step `s` back takes.
    pub const fn step(&self, s: usize) -> usize {
        match self.batches {
            Replayed::First => s,
            Replayed::Last => self.trained.saturating_sub(self.steps).saturating_add(s),
            Replayed::Spread => {
                match (s as u128 * self.trained as u128).checked_div(self.steps as u128) {
                    Some(t) => t as usize,
                    None => 0,
                }
            }
        }
    }
}

/// The straight line.
///
/// ```
/// use drmad::path::{Line, Plan};
/// let w0 = [0.0f32; 10];
/// let paper = Line::new(&w0[..], 100);
/// let code = Line::new(&w0[..], 100).with(Plan::published(100));
/// ```
#[derive(Debug)]
pub struct Line<G> {
    initial: G,
    plan: Plan,
}

impl<G> Line<G> {
    /// The line from `initial` over a training of `steps` steps, each walked back.
    pub const fn new(initial: G, steps: usize) -> Self {
        Line {
            initial,
            plan: Plan::every(steps),
        }
    }

    /// Bytes of its [state](Path::state).
    pub const STATE_LEN: usize = fields_len(4, 0);

    /// The same line, walked back another way.
    #[must_use]
    pub fn with(self, plan: Plan) -> Self {
        Line { plan, ..self }
    }
}

impl<A: Arithmetic, S: Scalar, G: InitialWeights<S>> Path<A, S> for Line<G> {
    fn floats(&self) -> usize {
        self.initial.floats()
    }

    fn record(&mut self, _: usize, _: &[S], _: &[S], _: Spare<'_, S>) -> Result<(), Error> {
        Ok(())
    }

    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        check_len("spare a", spare.a, w.len())?;
        check_len("spare b", spare.b, w.len())?;
        check_equal("initial weights", w.len(), self.initial.weights())?;
        spare.a.copy_from_slice(w);
        self.initial.fill(0, spare.b);
        Ok(())
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        between::<A, S>(t, self.plan.steps, spare.b, spare.a, w);
        let Some(v) = v else { return Ok(()) };
        if t == 0 {
            return steps.first_velocity(v);
        }
        slope(self.plan.trained, spare.b, spare.a, v);
        steps.velocity(self.plan.step(t - 1), v)
    }

    fn plan(&self, _trained: usize) -> Plan {
        self.plan
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let Plan {
            steps,
            trained,
            batches,
            rate_scale,
        } = self.plan;
        let sizes = [
            steps,
            trained,
            batches as usize,
            rate_scale.to_bits() as usize,
        ];
        fields.path(Kind::Line, &sizes)
    }
}
