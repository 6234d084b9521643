//! Which of the crate's methods a struct stands for.
//!
//! Refused: values that do not exist, numbers that are not finite, and of implicit differentiation rates and
//! dampings below 0 and tolerances beyond 1.

use drmad::method::{Method, Recall, Sweep};
use drmad::path::Levels;

use crate::check::{finite, flag};
use crate::error::Code;
use crate::types::{self, LEVELS_FULL, MethodName, TAIL_NONE};

impl types::Method {
    /// The crate's method of these settings.
    pub(crate) fn method(&self) -> Result<Method, Code> {
        const FORWARD: i32 = MethodName::Forward as i32;
        const IMPLICIT: i32 = MethodName::Implicit as i32;
        const NEUMANN: i32 = MethodName::Neumann as i32;
        const DIRECT: i32 = MethodName::Direct as i32;
        match self.name {
            FORWARD => Ok(Method::Forward),
            IMPLICIT => self.implicit(None),
            NEUMANN => self.implicit(Some(self.rate)),
            DIRECT => Ok(Method::Direct),
            _ => self.sweep().map(Method::Sweep),
        }
    }

    fn implicit(&self, series_rate: Option<f32>) -> Result<Method, Code> {
        let (rate, tolerance, damping) = (series_rate.unwrap_or(0.0), self.tolerance, self.damping);
        finite(&[&[rate, tolerance, damping]])?;
        if rate < 0.0 || damping < 0.0 || !(0.0..=1.0).contains(&tolerance) {
            return Err(Code::Range);
        }
        Ok(Method::Implicit {
            series_rate,
            iterations: given(self.size).unwrap_or(20),
            tolerance,
            damping,
        })
    }

    fn sweep(&self) -> Result<Sweep, Code> {
        // `MethodName` begins with them, in their order.
        let name = usize::try_from(self.name).ok();
        let recall = name.and_then(|name| Recall::ALL.get(name));
        let mut recall = *recall.ok_or(Code::Enum)?;
        let levels_given = match self.levels {
            0 => None,
            LEVELS_FULL => Some(Levels::Full),
            levels => Some(Levels::of(levels).ok_or(Code::Enum)?),
        };
        finite(&[&[self.spacing, self.rate]])?;
        match &mut recall {
            Recall::Checkpoints { snapshots: count } | Recall::Legendre { polynomials: count } => {
                *count = given(self.size).unwrap_or(*count);
            }
            Recall::Hats {
                intervals,
                levels,
                spacing,
            } => {
                *intervals = given(self.size).unwrap_or(*intervals);
                *levels = levels_given.unwrap_or(*levels);
                *spacing = (self.spacing != 0.0).then_some(self.spacing);
            }
            Recall::Knots { intervals, levels } | Recall::Hermite { intervals, levels } => {
                *intervals = given(self.size).unwrap_or(*intervals);
                *levels = levels_given.unwrap_or(*levels);
            }
            Recall::PublishedLine { rate_scale } if self.rate != 0.0 => *rate_scale = self.rate,
            _ => {}
        }
        Ok(Sweep {
            recall,
            tail: match self.tail {
                TAIL_NONE => Some(0),
                tail => given(tail),
            },
            last: given(self.last),
            drops_negative_curvature: flag(self.drops_negative_curvature)?,
        })
    }
}

/// What was given, if anything.
fn given(size: usize) -> Option<usize> {
    (size > 0).then_some(size)
}

/// The sweeps among `MethodName` are `Recall::ALL`, in its order.
const _: () = {
    const fn is(method: MethodName, name: &str) -> bool {
        let (all, mut i) = (Recall::ALL[method as usize].name().as_bytes(), 0);
        while i < all.len() && i < name.len() && all[i] == name.as_bytes()[i] {
            i += 1;
        }
        i == all.len() && i == name.len()
    }
    assert!(is(MethodName::Hats, "hats") && is(MethodName::Tape, "tape"));
    assert!(is(MethodName::Checkpoints, "checkpoints") && is(MethodName::Reversible, "reversible"));
    assert!(is(MethodName::Line, "line") && is(MethodName::LinePublished, "line-published"));
    assert!(is(MethodName::Knots, "knots") && is(MethodName::Hermite, "hermite"));
    assert!(is(MethodName::Legendre, "legendre") && is(MethodName::Reversed, "reversed"));
};
