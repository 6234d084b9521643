//! The reverse methods: which of the crate's a struct stands for.

use drmad::method::{Recall, Sweep};
use drmad::path::{Grid, Levels};

use crate::Code;

/// Where the weights were: what a method remembers of the training.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A least-squares fit by hat functions of time, the default.
    Hats = 0,
    /// Every step: exact.
    Tape = 1,
    /// Some steps, the others are taken again: exact.
    Checkpoints = 2,
    /// The bits that a step in fixed point loses: exact, of that training.
    Reversible = 3,
    /// Nothing: a straight line from the first weights to the last (DrMAD as its formula says).
    Line = 4,
    /// The same as DrMAD's published code has it.
    LinePublished = 5,
    /// Some points, with lines between them.
    Knots = 6,
    /// Some points, with cubics between them.
    Hermite = 7,
    /// A least-squares fit by polynomials of time.
    Legendre = 8,
    /// Nothing: runs backwards in floating point, good for some steps.
    Reversed = 9,
}

/// No tail.
pub const TAIL_NONE: usize = !0;
/// Numbers in full, not as differences of a few levels.
pub const LEVELS_FULL: u32 = 1;

/// A reverse method. All zeros are the default: hats, 8 of them, in 11 levels, with a tail.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// One of `drmad_path`.
    pub path: i32,
    /// Levels of hats and knots: 3, 7, 11, 15, 255 or DRMAD_LEVELS_FULL; 0 is 11 for hats and 255 for
    /// knots.
    pub levels: u32,
    /// How many hats, snapshots, intervals or polynomials; 0 is 8 hats, 10 snapshots, 32 intervals, 16
    /// polynomials.
    pub size: usize,
    /// The power of the spacing of hats, 0.1 to 10; 0 is the one that serves their number best.
    pub spacing: f32,
    /// The last steps that are run backwards, before a path that does not take the steps itself; 0 is as many as
    /// the momentum allows for hats, and none for the others; DRMAD_TAIL_NONE is none.
    pub tail: usize,
    /// Only so many last steps are taken back; 0 is all.
    pub last: usize,
}

impl Method {
    /// The crate's method of these settings.
    pub(crate) fn sweep(&self) -> Result<Sweep, Code> {
        // `Way` is their order.
        let way = usize::try_from(self.path).ok();
        let recall = way.and_then(|way| Recall::ALL.get(way));
        let mut recall = *recall.ok_or(Code::Enum)?;
        let levels_given = match self.levels {
            0 => None,
            LEVELS_FULL => Some(Levels::Full),
            levels => Some(Levels::of(levels).ok_or(Code::Enum)?),
        };
        if !self.spacing.is_finite() {
            return Err(Code::NotFinite);
        }
        match &mut recall {
            Recall::Checkpoints { snapshots: count } | Recall::Legendre { polynomials: count } => {
                *count = given(self.size, *count);
            }
            Recall::Hats {
                intervals,
                levels,
                spacing,
            } => {
                *intervals = given(self.size, *intervals);
                *levels = levels_given.unwrap_or(*levels);
                *spacing = Some(match self.spacing {
                    0.0 => Grid::spacing(*intervals),
                    spacing => spacing,
                });
            }
            Recall::Knots { intervals, levels } | Recall::Hermite { intervals, levels } => {
                *intervals = given(self.size, *intervals);
                *levels = levels_given.unwrap_or(*levels);
            }
            _ => {}
        }
        Ok(Sweep {
            tail: match self.tail {
                0 => None,
                TAIL_NONE => Some(0),
                tail => Some(tail),
            },
            last: (self.last > 0).then_some(self.last),
            ..Sweep::over(recall)
        })
    }
}

/// What was given, or the default.
const fn given(size: usize, default: usize) -> usize {
    if size == 0 { default } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_the_crates_of_its_name() {
        for (way, name) in [
            (Way::Hats, "hats"),
            (Way::Tape, "tape"),
            (Way::Checkpoints, "checkpoints"),
            (Way::Reversible, "reversible"),
            (Way::Line, "line"),
            (Way::LinePublished, "line-published"),
            (Way::Knots, "knots"),
            (Way::Hermite, "hermite"),
            (Way::Legendre, "legendre"),
            (Way::Reversed, "reversed"),
        ] {
            assert_eq!(Recall::ALL[way as usize].name(), name);
        }
    }
}
