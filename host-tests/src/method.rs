//! The ways to a hypergradient, by name, with the memory each needs.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum as _;
use drmad::Arithmetic;
use drmad::method::{self, Extent, Recall, Sweep};
use drmad::path::{Levels, Path};
use drmad::random::Initial;
use serde::{Deserialize, Serialize};

use crate::memory;
use crate::setting::{
    COUNT, KNOTS, LEVELS, MAYBE_NONE, POSITIVE_OR_0, RATE, SPACING, number, whole,
};
use crate::words::several;

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
    /// Lines between points of the way, thinned as it grows.
    Knots,
    /// Cubics between them, which also know the steps that leave these points.
    Hermite,
    /// A streamed least-squares fit by polynomials of time.
    Legendre,
    /// A streamed least-squares fit by hat functions of time.
    Hats,
    /// The training run backwards in floating point.
    Reversed,
    /// A tangent for each hyperparameter, carried along with training: exact, for a few of them.
    Forward,
    /// Implicit differentiation at the last weights, by conjugate gradients.
    Implicit,
    /// The same by a Neumann series.
    Neumann,
    /// The direct term alone.
    Direct,
    /// A random direction.
    Random,
    /// All hyperparameters alike.
    AllUp,
}

/// The most hyperparameters that forward mode takes: each costs about what a sweep costs.
pub const MOST_TANGENTS: usize = drmad::training::Training::MOST_TANGENTS;

impl Name {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Name::Tape => "tape",
            Name::Checkpoints => "checkpoints",
            Name::Reversible => "reversible",
            Name::Line => "line",
            Name::LinePublished => "line-published",
            Name::Knots => "knots",
            Name::Hermite => "hermite",
            Name::Legendre => "legendre",
            Name::Hats => "hats",
            Name::Reversed => "reversed",
            Name::Forward => "forward",
            Name::Implicit => "implicit",
            Name::Neumann => "neumann",
            Name::Direct => "direct",
            Name::Random => "random",
            Name::AllUp => "all-up",
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
            Name::Knots => "lines between points of the way, thinned as it grows",
            Name::Hermite => "cubics between them, with the steps taken there",
            Name::Legendre => "a streamed least-squares fit by polynomials of time",
            Name::Reversed => "the training run backwards in floating point: exact for some steps",
            Name::Forward => "a tangent for each hyperparameter: exact, for a few of them",
            Name::Implicit => "implicit at the last weights, by conjugate gradients",
            Name::Neumann => "implicit at the last weights, by a Neumann series",
            Name::Direct => "the direct term alone, the weights taken for constants",
            Name::Random => "a random direction: no method at all",
            Name::AllUp => "all hyperparameters raised alike: no method at all",
        }
    }

    /// Whether it sweeps over a path.
    pub const fn has_path(self) -> bool {
        !matches!(
            self,
            Name::Forward
                | Name::Implicit
                | Name::Neumann
                | Name::Direct
                | Name::Random
                | Name::AllUp
        )
    }

    /// What kind of method it is where all of its settings are the usual ones; see [`Method::family`].
    pub const fn family(self) -> &'static str {
        match self {
            Name::Tape | Name::Checkpoints | Name::Reversible => "exact",
            Name::Forward => "forward",
            Name::Implicit | Name::Neumann => "implicit",
            Name::Direct | Name::Random | Name::AllUp => "baseline",
            _ => "shortcut",
        }
    }
}

/// A method with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Which.
    pub name: Name,
    /// Of hats, knots and Hermite's cubics: intervals between knots. Of Legendre's: polynomials.
    pub knots: usize,
    /// Of hats, knots and Hermite's cubics: the values that a stored difference can take; 0 stores
    /// numbers in full.
    pub levels: u32,
    /// Of hats: the power by which knots are denser early; `None` is what serves so many best.
    pub spacing: Option<f32>,
    /// Steps at the end that are run backwards before the path begins; `None` is as many as the
    /// momentum allows for hats, and none for the others.
    pub tail: Option<usize>,
    /// Only so many last steps are taken back.
    pub last: Option<usize>,
    /// Of checkpoints: how many snapshots.
    pub snapshots: usize,
    /// Whether products of negative curvature are dropped.
    pub drop_negative_curvature: bool,
    /// Whether the sweep draws batches of its own in place of the training's.
    pub fresh_batches: bool,
    /// Only so many of the outer examples, the first, are validated on.
    pub validate_on: Option<usize>,
    /// Of the published line: what the rate of its sweep is multiplied by.
    pub rate_scale: f32,
    /// Of implicit methods: the most products.
    pub iterations: usize,
    /// Of implicit methods: what is added to the curvature.
    pub damping: f32,
    /// Of the Neumann series: its rate.
    pub rate: f32,
}

impl Method {
    /// A method with its default settings.
    pub const fn new(name: Name) -> Self {
        let (knots, levels) = match name {
            Name::Knots | Name::Hermite => (32, 255),
            Name::Legendre => (16, 0),
            _ => (8, 11),
        };
        Method {
            name,
            knots,
            levels,
            spacing: None,
            tail: None,
            last: None,
            snapshots: 10,
            drop_negative_curvature: false,
            fresh_batches: false,
            validate_on: None,
            rate_scale: 1.0,
            iterations: 20,
            damping: 0.01,
            rate: 0.1,
        }
    }

    /// The same for a training of so many steps, which no default asks for more of than there are.
    pub fn fitting(name: Name, steps: usize) -> Self {
        let mut method = Self::new(name);
        if matches!(name, Name::Hats | Name::Legendre) {
            method.knots = method.knots.min(steps).max(1);
        }
        method
    }

    /// Whether it is exact, by what it does and not by any angle.
    pub const fn is_exact(&self) -> bool {
        matches!(
            self.name,
            Name::Tape | Name::Checkpoints | Name::Reversible | Name::Forward
        ) && !self.drop_negative_curvature
            && !self.fresh_batches
            && self.validate_on.is_none()
            && self.last.is_none()
            && matches!(self.tail, None | Some(0))
    }

    /// What kind of method it is, for pictures: what drops something of an exact one is a shortcut.
    pub fn family(&self) -> &'static str {
        match self.name.family() {
            "exact" if !self.is_exact() => "shortcut",
            family => family,
        }
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let mut what = match self.name {
            Name::Checkpoints => format!("checkpoints, S = {}", self.snapshots),
            Name::Legendre => format!("legendre, r = {}", self.knots),
            name @ (Name::Hats | Name::Knots | Name::Hermite) => {
                let (name, knots) = (name.as_str(), self.knots);
                match self.levels {
                    0 => format!("{name}, K = {knots}, in full"),
                    levels => format!("{name}, K = {knots}, {levels} levels"),
                }
            }
            name => name.as_str().to_string(),
        };
        match self.tail {
            Some(0) => {}
            Some(tail) => {
                let _ = write!(what, ", tail of {tail}");
            }
            None if self.name == Name::Hats => what += ", tail",
            None => {}
        }
        if let Some(last) = self.last {
            let _ = write!(what, ", last {last}");
        }
        if self.drop_negative_curvature {
            what += ", no negative curvature";
        }
        if self.fresh_batches {
            what += ", fresh batches";
        }
        if let Some(examples) = self.validate_on {
            let _ = write!(what, ", validated on {examples}");
        }
        if self.rate_scale != 1.0 {
            let _ = write!(what, ", rate x {}", self.rate_scale);
        }
        what
    }
}

/// A method as the command line and an experiment's file give it: what is left out has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct MethodOptions {
    /// How the weights along the way are recalled [default: the experiment's, which is hats where it
    /// names none].
    #[arg(long = "method", value_enum)]
    pub name: Option<Name>,
    /// Of hats, knots and hermite: intervals between knots. Of legendre: polynomials [default: 8; of
    /// knots and hermite 32; of legendre 16].
    #[arg(long, value_name = "K", value_parser = whole::<u32>(KNOTS))]
    pub knots: Option<u32>,
    /// Of hats, knots and hermite: how many values a stored difference can take, 3, 7, 11, 15 or 255
    /// (2, 3.3, 4, 4.4 and 8.4 bits a weight); 0 stores numbers in full [default: 11; of knots and
    /// hermite 255].
    #[arg(long, value_name = "LEVELS", value_parser = whole::<u32>(LEVELS))]
    pub levels: Option<u32>,
    /// Of hats: the power by which knots are denser early [default: 2 below 8 knots, else 1.5].
    #[arg(long, value_name = "POWER", value_parser = number::<f32>(SPACING))]
    pub spacing: Option<f32>,
    /// Steps at the end that are run backwards in floating point before the method begins [default:
    /// as many as the momentum allows for hats, none for the others].
    #[arg(long, value_name = "M", value_parser = whole::<u32>(MAYBE_NONE))]
    pub tail: Option<u32>,
    /// Take only the last steps back.
    #[arg(long, value_name = "M", value_parser = whole::<u32>(COUNT))]
    pub last: Option<u32>,
    /// Drop second-order products of negative curvature.
    #[arg(long)]
    pub drop_negative_curvature: bool,
    /// Sweep over batches drawn anew in place of the training's; of methods that take no step again.
    #[arg(long)]
    pub fresh_batches: bool,
    /// Take the outer loss over so many of the outer examples, the first, in place of all.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(COUNT))]
    pub validate_on: Option<u32>,
    /// Of line-published: what the rate of its shortened sweep is multiplied by [default: 1].
    #[arg(long, value_name = "FACTOR", value_parser = number::<f32>(RATE))]
    pub rate_scale: Option<f32>,
    /// Of implicit and neumann: the most second-order products [default: 20].
    #[arg(long, value_name = "N", value_parser = whole::<u32>(COUNT))]
    pub iterations: Option<u32>,
    /// Of implicit and neumann: what is added to the curvature [default: 0.01].
    #[arg(long, value_name = "DAMPING", value_parser = number::<f32>(POSITIVE_OR_0))]
    pub damping: Option<f32>,
    /// Of neumann: the rate of the series [default: 0.1].
    #[arg(long, value_name = "RATE", value_parser = number::<f32>(RATE))]
    pub series_rate: Option<f32>,
    /// Of checkpoints: how many snapshots [default: 10].
    #[arg(long, value_name = "S", value_parser = whole::<u32>(COUNT))]
    pub snapshots: Option<u32>,
}

/// Whether a method takes an option.
type Takes = fn(Name) -> bool;

impl MethodOptions {
    /// These settings, and `other`'s where there are none; another method takes none of `other`'s.
    pub fn or(self, other: MethodOptions) -> MethodOptions {
        if self
            .name
            .is_some_and(|name| other.name.unwrap_or(Name::Hats) != name)
        {
            return self;
        }
        MethodOptions {
            name: self.name.or(other.name),
            knots: self.knots.or(other.knots),
            levels: self.levels.or(other.levels),
            spacing: self.spacing.or(other.spacing),
            tail: self.tail.or(other.tail),
            last: self.last.or(other.last),
            drop_negative_curvature: self.drop_negative_curvature || other.drop_negative_curvature,
            fresh_batches: self.fresh_batches || other.fresh_batches,
            validate_on: self.validate_on.or(other.validate_on),
            rate_scale: self.rate_scale.or(other.rate_scale),
            iterations: self.iterations.or(other.iterations),
            damping: self.damping.or(other.damping),
            series_rate: self.series_rate.or(other.series_rate),
            snapshots: self.snapshots.or(other.snapshots),
        }
    }

    /// The options that are given, each with whether a method takes it.
    fn given(&self) -> impl Iterator<Item = (&'static str, Takes)> {
        let walks =
            |name: Name| name.has_path() && !matches!(name, Name::Reversible | Name::LinePublished);
        let all: [(&str, bool, Takes); 13] = [
            ("knots", self.knots.is_some(), |name| {
                matches!(
                    name,
                    Name::Knots | Name::Hermite | Name::Legendre | Name::Hats
                )
            }),
            ("levels", self.levels.is_some(), |name| {
                matches!(name, Name::Knots | Name::Hermite | Name::Hats)
            }),
            ("spacing", self.spacing.is_some(), |name| name == Name::Hats),
            ("tail", self.tail.is_some_and(|tail| tail > 0), walks),
            ("last", self.last.is_some(), |name| {
                name.has_path() && name != Name::LinePublished
            }),
            (
                "drop-negative-curvature",
                self.drop_negative_curvature,
                |name| !matches!(name, Name::Direct | Name::Random | Name::AllUp),
            ),
            ("fresh-batches", self.fresh_batches, |name| {
                name.has_path()
                    && !matches!(name, Name::Checkpoints | Name::Reversible | Name::Reversed)
            }),
            // Forward mode validates on all.
            ("validate-on", self.validate_on.is_some(), |name| {
                name != Name::Forward
            }),
            ("rate-scale", self.rate_scale.is_some(), |name| {
                name == Name::LinePublished
            }),
            ("iterations", self.iterations.is_some(), |name| {
                matches!(name, Name::Implicit | Name::Neumann)
            }),
            ("damping", self.damping.is_some(), |name| {
                matches!(name, Name::Implicit | Name::Neumann)
            }),
            ("series-rate", self.series_rate.is_some(), |name| {
                name == Name::Neumann
            }),
            ("snapshots", self.snapshots.is_some(), |name| {
                name == Name::Checkpoints
            }),
        ];
        let given = all.into_iter();
        given.filter_map(|(option, given, takes)| given.then_some((option, takes)))
    }

    /// The method, for a training of so many steps: a default that asks for more is made to fit.
    ///
    /// # Errors
    /// Options that it does not take, with the methods that do.
    pub fn method(&self, steps: usize) -> Result<Method> {
        let name = self.name.unwrap_or(Name::Hats);
        for (option, takes) in self.given() {
            if !takes(name) {
                let those = Name::value_variants().iter().filter(|name| takes(**name));
                let those: Vec<&str> = those.map(|name| name.as_str()).collect();
                bail!(
                    "{} takes no {option}: leave it out; those that take it are {}",
                    name.as_str(),
                    those.join(", ")
                );
            }
        }
        let tail = self.tail.map(|tail| tail as usize);
        ensure!(
            !self.fresh_batches || tail.unwrap_or(usize::from(name == Name::Hats)) == 0,
            "fresh-batches: a tail takes steps again, with the batches of the training: give tail = 0"
        );
        let default = Method::fitting(name, steps.saturating_sub(tail.unwrap_or(0)));
        let or = |value: Option<u32>, default: usize| value.map_or(default, |n| n as usize);
        Ok(Method {
            name,
            knots: or(self.knots, default.knots),
            levels: self.levels.unwrap_or(default.levels),
            spacing: self.spacing,
            tail,
            last: self.last.map(|last| last as usize),
            snapshots: or(self.snapshots, default.snapshots),
            drop_negative_curvature: self.drop_negative_curvature,
            fresh_batches: self.fresh_batches,
            validate_on: self.validate_on.map(|examples| examples as usize),
            rate_scale: self.rate_scale.unwrap_or(default.rate_scale),
            iterations: or(self.iterations, default.iterations),
            damping: self.damping.unwrap_or(default.damping),
            rate: self.series_rate.unwrap_or(default.rate),
        })
    }
}

/// A vector of zeros, or an error that says how many bytes were wanted where there are not so many.
pub fn zeros<T: Clone + Default>(what: &str, len: usize) -> Result<Vec<T>> {
    let bytes = len.saturating_mul(size_of::<T>());
    if let Some(free) = memory::free()
        && bytes as u64 > free
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

impl Method {
    /// The core's method. Where there is no sweep any path will do, and the line costs nothing.
    ///
    /// # Errors
    /// Numbers of levels that there are not.
    pub fn sweep(&self) -> Result<Sweep> {
        let intervals = self.knots;
        let Some(levels) = Levels::of(self.levels) else {
            bail!("levels is {}: {}", self.levels, LEVELS.sentence());
        };
        let recall = match self.name {
            Name::Tape => Recall::Tape,
            Name::Checkpoints => Recall::Checkpoints {
                snapshots: self.snapshots,
            },
            Name::Reversible => Recall::Reversible,
            Name::LinePublished => Recall::PublishedLine {
                rate_scale: self.rate_scale,
            },
            Name::Knots => Recall::Knots { intervals, levels },
            Name::Hermite => Recall::Hermite { intervals, levels },
            Name::Legendre => Recall::Legendre {
                polynomials: self.knots,
            },
            Name::Hats => Recall::Hats {
                intervals,
                levels,
                spacing: self.spacing,
            },
            Name::Reversed => Recall::Reversed,
            Name::Line
            | Name::Forward
            | Name::Implicit
            | Name::Neumann
            | Name::Direct
            | Name::Random
            | Name::AllUp => Recall::Line,
        };
        Ok(Sweep {
            tail: self.tail,
            last: self.last,
            drops_negative_curvature: self.drop_negative_curvature,
            ..Sweep::over(recall)
        })
    }

    /// How many last steps of a training run backwards.
    ///
    /// # Errors
    /// A tail, or a number of last steps, that the training has not.
    pub fn tail_of(&self, training: Extent) -> Result<usize> {
        let steps = training.steps;
        let last = self.last.unwrap_or(steps);
        if last > steps || last == 0 {
            bail!("last is {last}: there are {}", several(steps, "step"));
        }
        let whole = !matches!(self.name, Name::Tape | Name::Checkpoints);
        let seen = if whole { steps } else { last };
        if let Some(tail) = self.tail
            && tail >= seen
        {
            bail!(
                "tail is {tail}: the method needs some of the {}",
                several(seen, "step")
            );
        }
        if self.name == Name::Reversible && self.tail.is_some_and(|tail| tail > 0) {
            bail!("reversible takes all steps itself: leave out tail");
        }
        Ok(self.sweep()?.tail(training)?)
    }

    /// The crate's method for a training, in its words where it does not fit.
    ///
    /// # Errors
    /// Hats, polynomials, tails or last steps that the training has too few steps for.
    pub fn to_core(&self, training: Extent) -> Result<method::Method> {
        Ok(match self.name {
            Name::Forward => method::Method::Forward,
            Name::Implicit | Name::Neumann => method::Method::Implicit {
                series_rate: (self.name == Name::Neumann).then_some(self.rate),
                iterations: self.iterations,
                tolerance: 1e-6,
                damping: self.damping,
            },
            Name::Direct | Name::Random | Name::AllUp => method::Method::Direct,
            _ => method::Method::Sweep(self.fitting_sweep(training)?),
        })
    }

    fn fitting_sweep(&self, training: Extent) -> Result<Sweep> {
        let left = training.steps - self.tail_of(training)?;
        if matches!(self.name, Name::Hats | Name::Legendre) && self.knots > left {
            let what = match self.name {
                Name::Hats => "hats",
                _ => "polynomials",
            };
            bail!(
                "knots is {}: {what} need at least as many steps, and they have {left}",
                self.knots
            );
        }
        self.sweep()
    }

    /// What the most of its memory is for.
    pub const fn memory(&self) -> &'static str {
        match self.name {
            Name::Tape => "the tape",
            Name::Checkpoints => "the checkpoints",
            Name::Reversible => "the reversal",
            Name::Forward => "forward mode",
            _ => "the path",
        }
    }

    /// Makes the path of a training in memory that it allocates.
    ///
    /// # Errors
    /// Too little memory, and what the path refuses.
    pub fn path<'s, A: Arithmetic>(
        &self,
        training: Extent,
        initial: Initial<'s, f32>,
        memory: &'s mut Vec<f32>,
    ) -> Result<impl Path<A, f32> + use<'s, A>> {
        let sweep = self.fitting_sweep(training)?;
        *memory = zeros(self.memory(), sweep.need::<f32>(training).len())?;
        Ok(sweep.path(training, initial, memory)?)
    }
}
