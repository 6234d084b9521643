//! What is tuned: blocks of hyperparameters, which make up one vector `h` in their order.
//!
//! A [`Tuned`] block says what its numbers are, which weights or examples share one, whether each step has
//! its own, and in which parametrisation they lie in `h`. From that follow the length of `h`, the name of
//! each of its entries ([`Hypers::name`]), and the value that an entry stands for ([`Hypers::values`]).
//!
//! | what | its natural value | default parametrisation |
//! |---|---|---|
//! | [`What::Objective`] | a hyperparameter of an objective of one's own | natural |
//! | [`What::ExampleWeight`] | the weight of a training example's loss | natural |
//! | [`What::Input`] | an input of a training example | natural |
//! | [`What::Scale`] | `s` in `w = s z` | log |
//! | [`What::Penalty`] | `c` in `c z^2` | log |
//! | [`What::InitialScale`] | the standard deviation of initial weights | log |
//! | [`What::Rate`] | the rate of a step | log |
//! | [`What::Momentum`] | the momentum of a step | logit |
//!
//! Numbers of a block that differ from step to step are step-major: all groups of step 0, then those of
//! step 1.
//!
//! Refused: a kind that is tuned twice, and kinds other than rates and momenta that differ from step to step.

use core::fmt;
use core::ops::Range;

use crate::error::{Error, check_len};
use crate::group::{Granularity, Groups, Layout, Member};
use crate::outer::Parametrisation;
use crate::pieces::{part, part_mut};
use crate::scalar::{Arithmetic, Scalar};

/// What the numbers of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum What {
    /// A hyperparameter of an objective of one's own.
    Objective,
    /// A weight for each training example.
    ExampleWeight,
    /// The inputs of the training examples, one example after another.
    Input,
    /// A scale of weights, `w = s z`.
    Scale,
    /// A coefficient `c` of a penalty `c z^2`.
    Penalty,
    /// The scale of initial weights.
    InitialScale,
    /// A rate.
    Rate,
    /// A momentum.
    Momentum,
}

impl What {
    /// What one of them is called.
    pub const fn name(self) -> &'static str {
        match self {
            What::Objective => "hyperparameter",
            What::ExampleWeight => "weight of an example",
            What::Input => "input",
            What::Scale => "scale",
            What::Penalty => "penalty",
            What::InitialScale => "initial scale",
            What::Rate => "rate",
            What::Momentum => "momentum",
        }
    }

    /// The parametrisation that keeps its values where they may be.
    pub const fn parametrisation(self) -> Option<Parametrisation> {
        match self {
            What::Scale | What::Penalty | What::InitialScale | What::Rate => {
                Some(Parametrisation::Log)
            }
            What::Momentum => Some(Parametrisation::Logit),
            What::Objective | What::ExampleWeight | What::Input => None,
        }
    }

    /// Whether each step may have its own.
    pub(crate) const fn may_change(self) -> bool {
        matches!(self, What::Rate | What::Momentum)
    }

    /// Whether the loss takes it: it is a part of the objective's `h`, where it lies in the order of this enum.
    pub(crate) const fn is_of_the_loss(self) -> bool {
        !matches!(self, What::InitialScale | What::Rate | What::Momentum)
    }
}

/// A block of hyperparameters.
///
/// ```
/// use drmad::{group::Granularity, training::{Tuned, What}};
/// let penalties = Tuned::new(What::Penalty, Granularity::Unit);
/// let rates = Tuned { each_step: true, ..Tuned::new(What::Rate, Granularity::Layer) };
/// assert!(penalties.parametrisation == rates.parametrisation && !penalties.each_step);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tuned {
    /// What they are.
    pub what: What,
    /// Which weights share one; of what belongs to examples it says nothing.
    pub by: Granularity,
    /// Whether each step has its own.
    pub each_step: bool,
    /// How an entry of `h` stands for its value; none for the value itself.
    pub parametrisation: Option<Parametrisation>,
}

impl Tuned {
    /// A block in its default parametrisation, the same at all steps.
    pub const fn new(what: What, by: Granularity) -> Self {
        Tuned {
            what,
            by,
            each_step: false,
            parametrisation: what.parametrisation(),
        }
    }

    /// Which weights share a number. A penalty or a scale that weights share with biases is nothing that anyone
    /// wants: these have one where it is their own, by tensor and by parameter.
    pub const fn groups<'a>(&self, layout: Layout<'a>) -> Groups<'a> {
        let spares_biases = matches!(self.what, What::Scale | What::Penalty);
        Groups {
            layout,
            by: self.by,
            biases: !spares_biases
                || matches!(self.by, Granularity::Tensor | Granularity::Parameter),
        }
    }
}

/// The hyperparameters of a training: its blocks, and what decides their lengths.
///
/// ```
/// use drmad::group::{Granularity, Layout};
/// use drmad::training::{Hypers, Tuned, What};
///
/// const HYPERS: Hypers<'static> = Hypers {
///     tuned: &[
///         Tuned::new(What::Penalty, Granularity::Unit),
///         Tuned { each_step: true, ..Tuned::new(What::Rate, Granularity::Global) },
///     ],
///     layout: Layout::Layers(&[4, 3, 2]),
///     examples: 100,
///     own: 0,
///     steps: 5,
/// };
/// const LEN: usize = HYPERS.len();
/// assert_eq!(LEN, 7 + 5);
/// let name = |j| HYPERS.name(j).map(|name| name.to_string());
/// assert_eq!(name(0).as_deref(), Some("penalty, layer 1, unit 0"));
/// assert_eq!(name(4).as_deref(), Some("penalty, layer 2, unit 0"));
/// assert_eq!(name(9).as_deref(), Some("rate, step 2"));
/// assert_eq!(name(12), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hypers<'a> {
    /// The blocks, in the order of `h`.
    pub tuned: &'a [Tuned],
    /// Where the weights lie.
    pub layout: Layout<'a>,
    /// How many examples are trained on.
    pub examples: usize,
    /// How many hyperparameters an objective of one's own has.
    pub own: usize,
    /// Steps of the training.
    pub steps: usize,
}

/// An entry of `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Name {
    /// What it is.
    pub what: What,
    /// Whose.
    pub of: Of,
    /// The step it is for, where each has its own.
    pub step: Option<usize>,
}

/// What a hyperparameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Of {
    /// Some weights.
    Weights(Member),
    /// A training example.
    Example(usize),
    /// The objective: the one of this number.
    Objective(usize),
    /// An input of a training example.
    Input {
        /// The example.
        example: usize,
        /// Which of its inputs.
        input: usize,
    },
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Of::Weights(member) => {
                f.write_str(self.what.name())?;
                if member != Member::Everything {
                    write!(f, ", {member}")?;
                }
            }
            Of::Objective(i) => write!(f, "hyperparameter {i}")?,
            Of::Example(i) => write!(f, "weight of example {i}")?,
            Of::Input { example, input } => write!(f, "input {input} of example {example}")?,
        }
        match self.step {
            Some(step) => write!(f, ", step {step}"),
            None => Ok(()),
        }
    }
}

impl<'a> Hypers<'a> {
    /// How many numbers a block has.
    pub const fn len_of(&self, block: &Tuned) -> usize {
        match block.what {
            What::Objective => self.own,
            What::ExampleWeight => self.examples,
            What::Input => self.examples.saturating_mul(self.layout.inputs()),
            _ => {
                let groups = block.groups(self.layout).len();
                if block.each_step {
                    groups.saturating_mul(self.steps)
                } else {
                    groups
                }
            }
        }
    }

    /// The length of `h`.
    pub const fn len(&self) -> usize {
        let (mut len, mut i) = (0usize, 0);
        while i < self.tuned.len() {
            len = len.saturating_add(self.len_of(&self.tuned[i]));
            i += 1;
        }
        len
    }

    /// Whether nothing is tuned.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All blocks, each with the places of its numbers in `h`.
    pub fn blocks(&self) -> impl Iterator<Item = (&'a Tuned, Range<usize>)> + use<'a> {
        let this = *self;
        this.tuned.iter().scan(0usize, move |start, block| {
            let range = *start..start.saturating_add(this.len_of(block));
            *start = range.end;
            Some((block, range))
        })
    }

    /// The block of this kind, where it is tuned, and the places of its numbers in `h`.
    pub fn block(&self, what: What) -> Option<(&'a Tuned, Range<usize>)> {
        self.blocks().find(|(block, _)| block.what == what)
    }

    /// Whether it can be tuned.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a kind that is tuned twice, and where something differs from step to step
    /// that cannot.
    pub fn check(&self) -> Result<(), Error> {
        for (i, block) in self.tuned.iter().enumerate() {
            if block.each_step && !block.what.may_change() {
                return Err(Error::Unsupported {
                    what: "numbers that differ from step to step and are neither rates nor momenta",
                });
            }
            if self
                .tuned
                .iter()
                .take(i)
                .any(|other| other.what == block.what)
            {
                return Err(Error::Unsupported {
                    what: "two blocks of one kind: tune each kind once",
                });
            }
        }
        Ok(())
    }

    /// The name of entry `j` of `h`.
    pub fn name(&self, j: usize) -> Option<Name> {
        let (block, range) = self.blocks().find(|(_, range)| range.contains(&j))?;
        let place = j.checked_sub(range.start)?;
        let (of, step) = match block.what {
            What::Objective => (Of::Objective(place), None),
            What::ExampleWeight => (Of::Example(place), None),
            What::Input => {
                let inputs = self.layout.inputs();
                let example = place.checked_div(inputs)?;
                let input = place.checked_rem(inputs)?;
                (Of::Input { example, input }, None)
            }
            _ => {
                let groups = block.groups(self.layout);
                let count = groups.len();
                let member = groups.member(place.checked_rem(count)?)?;
                let step = place.checked_div(count).filter(|_| block.each_step);
                (Of::Weights(member), step)
            }
        };
        let what = block.what;
        Some(Name { what, of, step })
    }

    /// The values that `h` stands for, in its place.
    ///
    /// # Errors
    /// [`Error::Length`]; [`Error::NonFinite`] for an entry that stands for no finite number. Then `h` is as it
    /// was.
    pub fn values<A: Arithmetic, S: Scalar>(&self, h: &mut [S]) -> Result<(), Error> {
        check_len("h", h, self.len())?;
        let value = |block: &Tuned, h: &mut [S]| {
            if let Some(parametrisation) = block.parametrisation {
                parametrisation.value::<A, S>(h);
            }
        };
        for (block, range) in self.blocks() {
            for h in part(h, range) {
                let mut one = [*h];
                value(block, &mut one);
                if !one[0].is_finite() {
                    return Err(Error::NonFinite {
                        what: "value of a hyperparameter",
                        step: 0,
                    });
                }
            }
        }
        for (block, range) in self.blocks() {
            value(block, part_mut(h, range));
        }
        Ok(())
    }
}
