//! The ways to a hypergradient, by name, with the memory each needs.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use drmad::Arithmetic;
use drmad::path::{
    Checkpoints, Full, Grid, Hats, Line, Mark, Path, Plan, Quantised, Reversed, Reversible, Tail,
    Tape, Truncated,
};
use drmad::random::Origin;
use serde::{Deserialize, Serialize};

/// A method of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// Every step stored: exact.
    Tape,
    /// Few snapshots, the steps between them taken again: exact, with the tape's bits.
    Checkpoints,
    /// Every step undone, in fixed point: exact, of a training in fixed point.
    Reversible,
    /// The straight line from the first to the last weights (DrMAD as its formula says).
    Line,
    /// The line as the paper's code has it: T/10 steps, the first batches, the rate unscaled.
    LinePublished,
    /// A streamed least-squares fit by hat functions of time.
    Hats,
    /// The training run backwards in floating point.
    Reversed,
}

impl Name {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Name::Tape => "tape",
            Name::Checkpoints => "checkpoints",
            Name::Reversible => "reversible",
            Name::Line => "line",
            Name::LinePublished => "line-published",
            Name::Hats => "hats",
            Name::Reversed => "reversed",
        }
    }

    /// One line on what it is.
    pub const fn about(self) -> &'static str {
        match self {
            Name::Tape => "every step stored: exact",
            Name::Checkpoints => "some steps stored, the others taken again: exact",
            Name::Reversible => "every step undone: exact, of a training in fixed point",
            Name::Line => "the straight line from first to last weights: DrMAD",
            Name::LinePublished => "DrMAD as its published code has it",
            Name::Hats => "a streamed least-squares fit of the way (default)",
            Name::Reversed => "the training run backwards in floating point: exact for some steps",
        }
    }
}

/// A method with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Which.
    pub name: Name,
    /// Of hats: intervals between knots.
    pub knots: usize,
    /// Of hats: bits of a stored difference; 32 stores numbers in full.
    pub bits: u32,
    /// Of hats: the power by which knots are denser early.
    pub spacing: f32,
    /// Steps at the end that are run backwards before the path begins.
    pub tail: usize,
    /// Only so many last steps are taken back.
    pub last: Option<usize>,
    /// Of checkpoints: how many snapshots.
    pub snapshots: usize,
}

impl Method {
    /// A method with the default settings.
    pub const fn new(name: Name) -> Self {
        Method {
            name,
            knots: 8,
            bits: 4,
            spacing: Grid::SPACING,
            tail: 0,
            last: None,
            snapshots: 10,
        }
    }

    /// Whether it is exact.
    pub const fn is_exact(&self) -> bool {
        matches!(self.name, Name::Tape | Name::Checkpoints | Name::Reversible)
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let mut what = match self.name {
            Name::Hats if self.bits == 32 => format!("hats, K = {}, in full", self.knots),
            Name::Hats => format!("hats, K = {}, {} bits", self.knots, self.bits),
            Name::Checkpoints => format!("checkpoints, S = {}", self.snapshots),
            name => name.as_str().to_string(),
        };
        if self.tail > 0 {
            let _ = write!(what, ", tail of {}", self.tail);
        }
        if let Some(last) = self.last {
            let _ = write!(what, ", last {last}");
        }
        what
    }
}

/// What a path must know of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Its weights.
    pub weights: usize,
    /// Its steps.
    pub steps: usize,
    /// Vectors of what the rule remembers that are to be kept too.
    pub slots: usize,
    /// The least momentum.
    pub momentum: f32,
}

/// The path's memory, allocated once.
#[derive(Debug, Default)]
pub struct Storage {
    numbers: Vec<f32>,
    words: Vec<u32>,
    factors: Vec<f32>,
    marks: Vec<Mark>,
}

/// A vector of zeros, or an error that says how many bytes were wanted where there are not so many.
pub fn zeros<T: Clone + Default>(what: &str, len: usize) -> Result<Vec<T>> {
    let bytes = len.saturating_mul(size_of::<T>());
    if let Some(free) = free_memory()
        && bytes > free
    {
        bail!(
            "{what} needs {:.1} GB of memory and {:.1} GB are free: take fewer steps or another method",
            bytes as f64 / 1e9,
            free as f64 / 1e9
        );
    }
    let mut vector = Vec::new();
    vector
        .try_reserve_exact(len)
        .with_context(|| format!("{what} needs {bytes} bytes of memory"))?;
    vector.resize(len, T::default());
    Ok(vector)
}

/// Free memory where the system tells it: an allocation that is too large is granted there and kills
/// the process only when it is touched.
fn free_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

impl Method {
    /// Makes the path of a training.
    ///
    /// # Errors
    /// Too little memory, and what the path refuses.
    pub fn path<'s, A: Arithmetic>(
        &self,
        training: Shape,
        origin: impl Origin<f32> + 's,
        storage: &'s mut Storage,
    ) -> Result<Box<dyn Path<f32> + 's>> {
        let steps = training.steps;
        let last = self.last.unwrap_or(steps);
        if last > steps || last == 0 {
            bail!("--last {last}: there are {steps} steps");
        }
        if self.tail >= last {
            bail!(
                "--tail {}: the method needs some of the {last} steps",
                self.tail
            );
        }
        if self.name == Name::Reversible && (self.tail > 0 || last < steps) {
            bail!("reversible takes all steps itself: leave out --tail and --last");
        }
        let inner = Shape {
            steps: last - self.tail,
            ..training
        };
        let mut path = self.inner::<A>(inner, origin, storage)?;
        if self.tail > 0 {
            path = Box::new(Tail::<A, _>::new(path, last, self.tail)?);
        }
        if last < steps {
            path = Box::new(Truncated::new(path, steps, last)?);
        }
        Ok(path)
    }

    fn inner<'s, A: Arithmetic>(
        &self,
        training: Shape,
        origin: impl Origin<f32> + 's,
        storage: &'s mut Storage,
    ) -> Result<Box<dyn Path<f32> + 's>> {
        let Shape {
            weights,
            steps,
            slots,
            momentum,
        } = training;
        Ok(match self.name {
            Name::Tape => {
                let len = Tape::<f32>::required_len(weights, steps, slots);
                storage.numbers = zeros("the tape", len)?;
                Box::new(Tape::new(weights, steps, slots, &mut storage.numbers)?)
            }
            Name::Reversed => Box::new(Reversed::<A>::new()),
            Name::Checkpoints => {
                // The sweep takes steps again, with what the rule remembers at least once.
                let slots = slots.max(1);
                let len = Checkpoints::<f32>::required_len(weights, self.snapshots, slots);
                let Storage { numbers, marks, .. } = storage;
                *numbers = zeros("the checkpoints", len)?;
                *marks = zeros("the checkpoints", self.snapshots)?;
                Box::new(Checkpoints::new(weights, steps, slots, numbers, marks)?)
            }
            Name::Reversible => {
                let len = Reversible::required_len(weights, steps, momentum);
                // A momentum that cannot be reversed has no length, and the path says so.
                if len < usize::MAX {
                    storage.words = zeros("the reversal", len)?;
                }
                Box::new(Reversible::new(
                    weights,
                    steps,
                    momentum,
                    &mut storage.words,
                )?)
            }
            Name::Line => Box::new(Line::<A, _>::new(origin, steps)),
            Name::LinePublished => {
                Box::new(Line::<A, _>::new(origin, steps).with(Plan::published(steps)))
            }
            Name::Hats => {
                if self.knots > steps {
                    bail!(
                        "--knots {} needs at least as many steps and there are {steps}",
                        self.knots
                    );
                }
                let knots = Grid {
                    steps,
                    intervals: self.knots,
                    spacing: self.spacing,
                };
                let Storage {
                    numbers,
                    words,
                    factors,
                    ..
                } = storage;
                *factors = zeros("the hats", self.knots + 1)?;
                let fit = Fit {
                    weights,
                    knots,
                    origin,
                    factors,
                };
                match self.bits {
                    32 => {
                        *numbers = zeros(
                            "the hats",
                            Full::<f32>::required_len(weights, knots.intervals),
                        )?;
                        let rows = Full::new(weights, knots.intervals, numbers)?;
                        fit.with::<A, _>(rows)?
                    }
                    8 => fit.quantised::<8, A>(words)?,
                    4 => fit.quantised::<4, A>(words)?,
                    3 => fit.quantised::<3, A>(words)?,
                    2 => fit.quantised::<2, A>(words)?,
                    bits => bail!("hats are stored in 2, 3, 4, 8 or 32 bits, not in {bits}"),
                }
            }
        })
    }
}

/// Hats but for their rows.
struct Fit<'s, G> {
    weights: usize,
    knots: Grid,
    origin: G,
    factors: &'s mut [f32],
}

impl<'s, G: Origin<f32> + 's> Fit<'s, G> {
    fn with<A: Arithmetic, R: drmad::path::Rows<f32> + 's>(
        self,
        rows: R,
    ) -> Result<Box<dyn Path<f32> + 's>> {
        let Fit {
            weights,
            knots,
            origin,
            factors,
        } = self;
        Ok(Box::new(Hats::<A, f32, _, _>::new(
            weights, knots, origin, rows, factors,
        )?))
    }

    fn quantised<const BITS: u32, A: Arithmetic>(
        self,
        words: &'s mut Vec<u32>,
    ) -> Result<Box<dyn Path<f32> + 's>> {
        let (weights, intervals) = (self.weights, self.knots.intervals);
        *words = zeros(
            "the hats",
            Quantised::<BITS, A>::required_len(weights, intervals),
        )?;
        let rows = Quantised::<BITS, A>::new(weights, intervals, words)?;
        self.with::<A, _>(rows)
    }
}
