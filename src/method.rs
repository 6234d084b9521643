//! Every backward pass, as data: its name, its settings, what memory it takes, whether it is exact.
//!
//! A reverse method is one [sweep](crate::hypergradient) over a [path](crate::path), so it is a [`Recall`], the path with
//! its settings, and what goes around that: a tail run backwards, and how many last steps are taken back. The
//! others are no sweep: [forward mode](crate::forward), [implicit differentiation](crate::implicit), and the
//! direct term alone.
//!
//! | method | memory beyond weights, velocity, gradient and adjoints, in numbers | exact |
//! |---|---|---|
//! | [`Recall::Tape`] | `T P` | yes |
//! | [`Recall::Checkpoints`] | `2 S P`, of `S` snapshots | yes |
//! | [`Recall::Reversible`] | `T P log2(1 / gamma) / 32 + 3 P` | yes, of a training in fixed point |
//! | [`Recall::Line`], [`Recall::PublishedLine`] | none with initial weights from a seed | no |
//! | [`Recall::Knots`], [`Recall::Hermite`] | `K P`, `(2 K + 1) P`; a quarter in 255 levels | no |
//! | [`Recall::Legendre`] | `r P` | no |
//! | [`Recall::Hats`], the default | `K P / 8` in 11 levels | no |
//! | [`Recall::Reversed`] | none | for some steps |
//!
//! Twice that, where the optimizer's velocity is kept beside the weights.
//!
//! Refused: tails and last steps that the training has not, more hats or polynomials than steps, a tail where
//! the path takes all steps itself.

use bytemuck::Pod;

use crate::error::{Error, check_range};
use crate::memory::{Buffer, Need};
use crate::path::{
    AnyRows, Around, Behind, Checkpoints, Chosen, Grid, Hats, Knots, Legendre, Levels, Line, Mark,
    OfPath, Path, Plan, Quantised, Reversed, Reversible, Tail, Tape, Truncated, Whole, behind,
};
use crate::random::Initial;
use crate::scalar::{Arithmetic, Real, Scalar};
use crate::schedule::{Optimizer, Schedule};

/// How the weights on the way are recalled: a [path](crate::path) with its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Recall {
    /// Every step is stored.
    Tape,
    /// Some steps are stored, and the others taken again.
    Checkpoints {
        /// How many are stored.
        snapshots: usize,
    },
    /// Every step is undone, in fixed point.
    Reversible,
    /// The straight line from the first weights to the last (DrMAD as its formula says).
    Line,
    /// The line as the paper's code has it: a tenth of the steps, the first batches.
    PublishedLine {
        /// What the rate of this shortened sweep is multiplied by; 1 in the published code.
        rate_scale: f32,
    },
    /// Lines between points of the way, thinned as it grows.
    Knots {
        /// Intervals between them.
        intervals: usize,
        /// How they are stored.
        levels: Levels,
    },
    /// Cubics between them, which also know the steps that leave these points.
    Hermite {
        /// Intervals between them.
        intervals: usize,
        /// How points and steps are stored.
        levels: Levels,
    },
    /// A streamed least-squares fit by polynomials of time.
    Legendre {
        /// How many.
        polynomials: usize,
    },
    /// A streamed least-squares linear spline.
    Hats {
        /// Intervals between its knots.
        intervals: usize,
        /// How its coefficients are stored.
        levels: Levels,
        /// The power by which knots are denser early; none for the one that serves so many best.
        spacing: Option<f32>,
    },
    /// The training is run backwards in floating point.
    Reversed,
}

impl Recall {
    /// Snapshots where none are named.
    pub const SNAPSHOTS: usize = 10;

    /// All of them, with their defaults.
    pub const ALL: [Recall; 10] = [
        Recall::Hats {
            intervals: 8,
            levels: Levels::Eleven,
            spacing: None,
        },
        Recall::Tape,
        Recall::Checkpoints {
            snapshots: Self::SNAPSHOTS,
        },
        Recall::Reversible,
        Recall::Line,
        Recall::PublishedLine { rate_scale: 1.0 },
        Recall::Knots {
            intervals: 32,
            levels: Levels::Most,
        },
        Recall::Hermite {
            intervals: 32,
            levels: Levels::Most,
        },
        Recall::Legendre { polynomials: 16 },
        Recall::Reversed,
    ];

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Recall::Tape => "tape",
            Recall::Checkpoints { .. } => "checkpoints",
            Recall::Reversible => "reversible",
            Recall::Line => "line",
            Recall::PublishedLine { .. } => "line-published",
            Recall::Knots { .. } => "knots",
            Recall::Hermite { .. } => "hermite",
            Recall::Legendre { .. } => "legendre",
            Recall::Hats { .. } => "hats",
            Recall::Reversed => "reversed",
        }
    }

    /// Whether a tape over the last steps alone would do: whether it begins at the step that it first sees.
    const fn begins_anywhere(&self) -> bool {
        matches!(self, Recall::Tape | Recall::Checkpoints { .. })
    }
}

/// A reverse method: how the weights are recalled, and what goes around that.
///
/// ```
/// use drmad::{method::{Extent, Sweep}, schedule::Optimizer};
/// // What hats remember of a network with 44,860 weights: .99 words a weight.
/// const EXTENT: Extent = Extent {
///     weights: 44_860,
///     steps: 2000,
///     optimizer: Optimizer::HeavyBall,
///     recalls: false,
///     momentum: 0.95,
///     reach: 0,
/// };
/// const BYTES: usize = Sweep::HATS.need::<f32>(EXTENT).bytes();
/// assert_eq!(BYTES, 4 * (44_320 + 9));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sweep {
    /// How the weights on the way are recalled.
    pub recall: Recall,
    /// Steps at the end that are run backwards in floating point before the path begins; none for as many as
    /// the momentum allows before hats, and 0 before others.
    pub tail: Option<usize>,
    /// Only so many last steps are taken back; none for all.
    pub last: Option<usize>,
    /// Whether second-order products of negative curvature are left out ([`DropNegativeCurvature`](crate::wrap::DropNegativeCurvature)).
    pub drops_negative_curvature: bool,
}

/// What of a training decides how much a path remembers of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extent {
    /// Its weights `P`.
    pub weights: usize,
    /// Its steps `T`.
    pub steps: usize,
    /// How a step follows from the gradient.
    pub optimizer: Optimizer,
    /// Whether what the optimizer remembers is to be recalled beside the weights: [`Optimizer::recalls`].
    pub recalls: bool,
    /// The least momentum there is.
    pub momentum: f32,
    /// For how many steps it can be run backwards in floating point: [`Reversed::reach`], 0 of other optimizers
    /// than the heavy ball. No memory depends on it.
    pub reach: usize,
}

impl Extent {
    /// That of a training of so many steps, whose hypergradient by rates and momenta is wanted or not.
    pub fn of<S: Scalar>(schedule: &Schedule<'_, S>, steps: usize, wants_schedule: bool) -> Self {
        let least = |least: f64, momentum: &S| least.min(momentum.to_f64());
        Extent {
            weights: schedule.groups.weights(),
            steps,
            optimizer: schedule.optimizer,
            recalls: schedule.optimizer.recalls(wants_schedule),
            momentum: schedule.momenta.iter().fold(1.0, least) as f32,
            reach: match schedule.optimizer {
                Optimizer::HeavyBall => Reversed::reach(schedule, steps),
                _ => 0,
            },
        }
    }

    /// Vectors that are recalled beside the weights.
    const fn slots(&self) -> usize {
        if self.recalls {
            self.optimizer.slots()
        } else {
            0
        }
    }
}

impl Sweep {
    /// The default: eight hats in 11 levels, before a tail.
    pub const HATS: Sweep = Sweep::over(Recall::ALL[0]);
    /// Every step.
    pub const TAPE: Sweep = Sweep::over(Recall::Tape);

    /// All steps back over this path.
    pub const fn over(recall: Recall) -> Self {
        Sweep {
            recall,
            tail: None,
            last: None,
            drops_negative_curvature: false,
        }
    }

    /// Whether what it gives is the hypergradient of the training, up to rounding.
    pub const fn is_exact(&self) -> bool {
        matches!(
            self.recall,
            Recall::Tape | Recall::Checkpoints { .. } | Recall::Reversible
        ) && matches!(self.tail, None | Some(0))
            && self.last.is_none()
            && !self.drops_negative_curvature
    }

    /// How many of the last steps its path sees.
    const fn seen(&self, steps: usize) -> usize {
        match self.last {
            Some(last) if self.recall.begins_anywhere() && last < steps => last,
            _ => steps,
        }
    }

    /// Memory of its path: the most that it takes, whatever its tail.
    pub const fn need<S: Real>(&self, of: Extent) -> Need<S> {
        let Extent {
            weights,
            steps,
            momentum,
            ..
        } = of;
        let seen = self.seen(steps);
        match self.recall {
            Recall::Tape => Need::numbers(Tape::<S>::required_len(weights, seen, of.slots())),
            Recall::Checkpoints { snapshots } => {
                // The sweep takes steps again, with what the optimizer remembers.
                let slots = of.optimizer.slots();
                let states = Checkpoints::<S>::required_len(weights, snapshots, slots);
                Need::numbers(states).and(marks(snapshots))
            }
            Recall::Reversible => Need::words(Reversible::required_len(weights, seen, momentum)),
            Recall::Line | Recall::PublishedLine { .. } | Recall::Reversed => Need::NOTHING,
            Recall::Knots { intervals, levels } => levels.need(weights, intervals),
            Recall::Hermite { intervals, levels } => {
                let changes = levels.need(weights, intervals.saturating_add(1));
                levels.need(weights, intervals).and(changes)
            }
            Recall::Legendre { polynomials } => {
                Need::numbers(Legendre::<S>::required_len(weights, polynomials))
            }
            Recall::Hats {
                intervals, levels, ..
            } => {
                let factors = Need::numbers(intervals.saturating_add(1));
                levels.need(weights, intervals).and(factors)
            }
        }
    }

    /// The most bytes of its path's [state](crate::state).
    pub const fn state_len<S: Real>(&self, of: Extent) -> usize {
        let Extent {
            weights,
            steps,
            momentum,
            ..
        } = of;
        let seen = self.seen(steps);
        let path = match self.recall {
            Recall::Tape => Tape::<S>::state_len(weights, seen, of.slots()),
            Recall::Checkpoints { snapshots } => {
                Checkpoints::<S>::state_len(weights, snapshots, of.optimizer.slots())
            }
            Recall::Reversible => Reversible::state_len(weights, seen, momentum),
            Recall::Line | Recall::PublishedLine { .. } => Line::<()>::STATE_LEN,
            Recall::Knots { intervals, levels } => {
                Knots::<S, Initial<'_, S>, Quantised<'_, 11>>::state_len(
                    levels.state_len::<S>(weights, intervals),
                    None,
                )
            }
            Recall::Hermite { intervals, levels } => {
                Knots::<S, Initial<'_, S>, Quantised<'_, 11>>::state_len(
                    levels.state_len::<S>(weights, intervals),
                    Some(levels.state_len::<S>(weights, intervals.saturating_add(1))),
                )
            }
            Recall::Legendre { polynomials } => Legendre::<S>::state_len(weights, polynomials),
            Recall::Hats {
                intervals, levels, ..
            } => Hats::<S, Initial<'_, S>, Quantised<'_, 11>>::state_len(
                intervals,
                levels.state_len::<S>(weights, intervals),
            ),
            Recall::Reversed => Reversed::STATE_LEN,
        };
        let path = match self.tail {
            Some(0) => path,
            _ => Tail::<()>::state_len(path),
        };
        match self.last {
            None => path,
            Some(_) => Truncated::<()>::state_len(path),
        }
    }

    /// How many last steps are run backwards.
    ///
    /// # Errors
    /// [`Error::Range`] for a tail, or a number of last steps, that the training has not;
    /// [`Error::Unsupported`] for a tail of a path that takes the steps itself, and for what the optimizer's steps do
    /// not allow.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub fn tail(&self, of: Extent) -> Result<usize, Error> {
        let steps = of.steps;
        let last = self.last.unwrap_or(steps);
        check_range("number of last steps", last, 1, steps)?;
        let seen = self.seen(steps);
        let takes_steps = matches!(
            self.recall,
            Recall::Reversible | Recall::PublishedLine { .. } | Recall::Reversed
        );
        let tail = match (self.tail, self.recall) {
            (Some(1..), _) if takes_steps => {
                return Err(Error::Unsupported {
                    what: "a tail of a path that takes steps in a way of its own: leave the tail out",
                });
            }
            (Some(tail), _) => {
                check_range("steps of the tail", tail, 0, seen.saturating_sub(1))?;
                tail
            }
            // Shorter trainings than that are half tail, and a step is left for each hat.
            (None, Recall::Hats { intervals, .. }) => (of.reach)
                .min(steps / 2)
                .min(steps.saturating_sub(intervals)),
            (None, _) => 0,
        };
        if let Recall::Reversible = self.recall {
            Reversible::check(of.momentum)?;
        }
        if of.optimizer != Optimizer::HeavyBall {
            let backwards =
                tail > 0 || matches!(self.recall, Recall::Reversible | Recall::Reversed);
            // What the weights tell of a step is the heavy ball's velocity alone.
            if backwards || (of.recalls && !self.recall.begins_anywhere()) {
                return Err(Error::Unsupported {
                    what: "this path under another optimizer than the heavy ball's: take Tape or Checkpoints",
                });
            }
        }
        Ok(tail)
    }

    /// The path of a training from `initial`, in memory that has its [`need`](Self::need).
    ///
    /// # Errors
    /// As [`tail`](Self::tail); [`Error::Range`] for settings that the path refuses; [`Error::Length`] where the
    /// memory is too short.
    pub fn path<'a, A: Arithmetic, S: Real + Pod>(
        &self,
        of: Extent,
        initial: Initial<'a, S>,
        memory: &'a mut [S],
    ) -> Result<impl Path<A, S> + use<'a, A, S>, Error> {
        self.chosen(of, initial, memory)
    }

    /// The same by its name.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub(crate) fn chosen<'a, A: Arithmetic, S: Real + Pod>(
        &self,
        of: Extent,
        initial: Initial<'a, S>,
        memory: &'a mut [S],
    ) -> Result<Chosen<'a, A, S>, Error> {
        let (steps, tail) = (of.steps, self.tail(of)?);
        let last = self.last.unwrap_or(steps);
        let begins_anywhere = self.recall.begins_anywhere();
        let seen = self.seen(steps);
        let inside = Extent {
            steps: seen.saturating_sub(tail),
            ..of
        };
        let path = self.whole(inside, initial, memory)?;
        Ok(match (tail > 0, last < steps) {
            (false, false) => behind!(Around::Nothing(path)),
            (true, false) => behind!(Around::Tail(Tail::new(path, seen, tail)?)),
            (false, true) if begins_anywhere => {
                behind!(Around::Last(Truncated::new(path, steps, last)?))
            }
            (false, true) => behind!(Around::Last(Truncated::early(path, steps, last)?)),
            (true, true) => {
                let path = Tail::new(path, seen, tail)?;
                behind!(Around::LastTail(if begins_anywhere {
                    Truncated::new(path, steps, last)?
                } else {
                    Truncated::early(path, steps, last)?
                }))
            }
        })
    }

    /// The path of the steps that no tail takes.
    #[cfg_attr(not(feature = "std"), inline(always))]
    fn whole<'a, A: Arithmetic, S: Real + Pod>(
        &self,
        of: Extent,
        initial: Initial<'a, S>,
        memory: &'a mut [S],
    ) -> Result<Whole<'a, A, S>, Error> {
        let Extent {
            weights,
            steps,
            momentum,
            ..
        } = of;
        let mut memory = Buffer::new("memory of the path", memory);
        Ok(match self.recall {
            Recall::Tape => {
                let slots = of.slots();
                let storage = memory.numbers(Tape::<S>::required_len(weights, steps, slots))?;
                behind!(OfPath::Tape(Tape::new(weights, steps, slots, storage)?))
            }
            Recall::Checkpoints { snapshots } => {
                let slots = of.optimizer.slots();
                let len = Checkpoints::<S>::required_len(weights, snapshots, slots);
                let storage = memory.numbers(len)?;
                let room = memory.numbers(marks::<S>(snapshots).len())?;
                // What lies before is not where a mark may begin.
                let (_, marks, _) = bytemuck::pod_align_to_mut::<S, Mark>(room);
                let (want, got) = (snapshots, marks.len());
                let marks = marks.get_mut(..snapshots).ok_or(Error::Length {
                    what: "marks of the snapshots",
                    want,
                    got,
                })?;
                // Whatever lay there is no step of a snapshot, and would not be restored as one.
                marks.fill(Mark::default());
                let path = Checkpoints::new(weights, steps, slots, storage, marks)?;
                behind!(OfPath::Checkpoints(path))
            }
            Recall::Reversible => {
                let words = Reversible::required_len(weights, steps, momentum);
                let storage = memory.words(words)?;
                let path = Reversible::new(weights, steps, momentum, storage)?;
                behind!(OfPath::Reversible(path))
            }
            Recall::Line => behind!(OfPath::Line(Line::new(initial, steps))),
            Recall::PublishedLine { rate_scale } => {
                behind!(OfPath::Line(Line::new(initial, steps).with(Plan {
                    rate_scale,
                    ..Plan::published(steps)
                })))
            }
            Recall::Knots { intervals, levels } => {
                let rows = AnyRows::new(levels, weights, intervals, &mut memory)?;
                behind!(OfPath::Knots(Knots::new(
                    weights, intervals, initial, rows
                )?))
            }
            Recall::Hermite { intervals, levels } => {
                let rows = AnyRows::new(levels, weights, intervals, &mut memory)?;
                let more = intervals.saturating_add(1);
                let changes = AnyRows::new(levels, weights, more, &mut memory)?;
                let path = Knots::hermite(weights, intervals, initial, rows, changes)?;
                behind!(OfPath::Knots(path))
            }
            Recall::Legendre { polynomials } => {
                check_range("number of polynomials", polynomials, 1, steps)?;
                let len = Legendre::<S>::required_len(weights, polynomials);
                let storage = memory.numbers(len)?;
                let path = Legendre::new(weights, steps, polynomials, storage)?;
                behind!(OfPath::Legendre(path))
            }
            Recall::Hats {
                intervals,
                levels,
                spacing,
            } => {
                check_range("number of hats' intervals", intervals, 1, steps)?;
                let grid = Grid {
                    steps,
                    intervals,
                    spacing: spacing.unwrap_or(Grid::spacing(intervals)),
                };
                let rows = AnyRows::new(levels, weights, intervals, &mut memory)?;
                let factors = memory.numbers(intervals.saturating_add(1))?;
                behind!(OfPath::Hats(Hats::new(
                    weights, grid, initial, rows, factors
                )?))
            }
            Recall::Reversed => behind!(OfPath::Reversed(Reversed)),
        })
    }
}

/// Memory of the marks of so many snapshots, wherever it begins.
const fn marks<S: Real>(snapshots: usize) -> Need<S> {
    let bytes = snapshots
        .saturating_add(1)
        .saturating_mul(size_of::<Mark>());
    Need::words(bytes.div_ceil(4))
}

/// A way to a hypergradient.
///
/// ```
/// use drmad::method::Method;
/// assert_eq!(Method::HATS.name(), "hats");
/// assert!(Method::TAPE.is_exact() && !Method::HATS.is_exact());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Method {
    /// A sweep over a path.
    Sweep(Sweep),
    /// A tangent for each hyperparameter, carried along with training: exact, for a few of them. See
    /// [`forward`](crate::forward).
    Forward,
    /// Implicit differentiation at the last weights, over all examples trained on. See
    /// [`implicit`](crate::implicit).
    Implicit {
        /// The rate of a Neumann series; conjugate gradients without one.
        series_rate: Option<f32>,
        /// The most iterations, each one second-order product.
        iterations: usize,
        /// The residual, relative to that of no iteration, at which they end.
        tolerance: f32,
        /// What is added to the curvature.
        damping: f32,
    },
    /// The direct term alone, the weights taken for constants.
    Direct,
}

impl Method {
    /// The default: eight hats in 11 levels, before a tail.
    pub const HATS: Method = Method::Sweep(Sweep::HATS);
    /// Every step stored.
    pub const TAPE: Method = Method::Sweep(Sweep::TAPE);
    /// Implicit differentiation by 20 conjugate gradients.
    pub const IMPLICIT: Method = Method::Implicit {
        series_rate: None,
        iterations: 20,
        tolerance: 1e-6,
        damping: 0.01,
    };

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Method::Sweep(sweep) => sweep.recall.name(),
            Method::Forward => "forward",
            Method::Implicit {
                series_rate: None, ..
            } => "implicit",
            Method::Implicit { .. } => "neumann",
            Method::Direct => "direct",
        }
    }

    /// Whether what it gives is the hypergradient of the training, up to rounding.
    pub const fn is_exact(&self) -> bool {
        match self {
            Method::Sweep(sweep) => sweep.is_exact(),
            Method::Forward => true,
            Method::Implicit { .. } | Method::Direct => false,
        }
    }

    /// The sweep that it is, or one that costs nothing where it is none: a training alone is remembered by a line.
    pub const fn sweep(&self) -> Sweep {
        match self {
            Method::Sweep(sweep) => *sweep,
            _ => Sweep::over(Recall::Line),
        }
    }
}
