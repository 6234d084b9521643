//! A path chosen at run time, without a heap: one type for all of them.
//!
//! A [`Method`](crate::Method) says which path it is, what memory it takes, and makes it in one buffer. Where
//! a program knows its path when it is compiled it takes the path's own type, and links no other.
//!
//! Refused: nothing of its own.

use bytemuck::Pod;

use super::{
    Checkpoints, Full, Hats, Knots, Legendre, Line, Path, Plan, Quantised, Reversed, Reversible,
    Rows, Spare, Steps, Stored, Tail, Taken, Tape, Truncated,
};
use crate::error::Error;
use crate::memory::{Buffer, Need};
use crate::random::Initial;
use crate::scalar::{Arithmetic, Real};
use crate::state::Fields;

/// The numbers that a stored difference can take.
///
/// ```
/// use drmad::path::Levels;
/// // 11 levels take .99 words a weight for eight rows.
/// assert_eq!(Levels::Eleven.need::<f32>(44_860, 8).len(), 44_320);
/// assert_eq!(Levels::of(11), Some(Levels::Eleven));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Levels {
    /// Numbers in full, no differences.
    Full,
    /// 3: 2 bits a number.
    Three,
    /// 7: 3.3 bits.
    Seven,
    /// 11: 4 bits.
    Eleven,
    /// 15: 4.4 bits.
    Fifteen,
    /// 255: 8.4 bits.
    Most,
}

impl Levels {
    /// All of them, the finest last.
    pub const ALL: [Levels; 6] = [
        Levels::Three,
        Levels::Seven,
        Levels::Eleven,
        Levels::Fifteen,
        Levels::Most,
        Levels::Full,
    ];

    /// How many there are; 0 for numbers in full.
    pub const fn count(self) -> u32 {
        match self {
            Levels::Full => 0,
            Levels::Three => 3,
            Levels::Seven => 7,
            Levels::Eleven => 11,
            Levels::Fifteen => 15,
            Levels::Most => 255,
        }
    }

    /// Those of this [`count`](Self::count).
    pub fn of(count: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|levels| levels.count() == count)
    }

    /// Memory of `rows` vectors of `weights`.
    pub const fn need<S: Real>(self, weights: usize, rows: usize) -> Need<S> {
        Need::words(match self {
            Levels::Full => return Need::numbers(Full::<S>::required_len(weights, rows)),
            Levels::Three => Quantised::<3>::required_len(weights, rows),
            Levels::Seven => Quantised::<7>::required_len(weights, rows),
            Levels::Eleven => Quantised::<11>::required_len(weights, rows),
            Levels::Fifteen => Quantised::<15>::required_len(weights, rows),
            Levels::Most => Quantised::<255>::required_len(weights, rows),
        })
    }
}

impl Levels {
    /// Bytes of the [state](crate::state) of so many rows.
    pub(crate) const fn state_len<S: Real>(self, weights: usize, rows: usize) -> usize {
        match self {
            Levels::Full => Full::<S>::state_len(weights, rows),
            Levels::Three => Quantised::<3>::state_len(weights, rows),
            Levels::Seven => Quantised::<7>::state_len(weights, rows),
            Levels::Eleven => Quantised::<11>::state_len(weights, rows),
            Levels::Fifteen => Quantised::<15>::state_len(weights, rows),
            Levels::Most => Quantised::<255>::state_len(weights, rows),
        }
    }
}

/// Calls the same on whichever it is.
macro_rules! each {
    ($self:expr, $Type:ident: $($Variant:ident)*, $it:ident => $body:expr) => {
        match $self {
            $($Type::$Variant($it) => $body,)*
        }
    };
}

/// Rows of whichever [`Levels`].
#[derive(Debug)]
pub(crate) enum AnyRows<'a, S> {
    Full(Full<'a, S>),
    Three(Quantised<'a, 3>),
    Seven(Quantised<'a, 7>),
    Eleven(Quantised<'a, 11>),
    Fifteen(Quantised<'a, 15>),
    Most(Quantised<'a, 255>),
}

macro_rules! each_rows {
    ($self:expr, $rows:ident => $body:expr) => {
        each!($self, AnyRows: Full Three Seven Eleven Fifteen Most, $rows => $body)
    };
}

impl<'a, S: Real + Pod> AnyRows<'a, S> {
    /// `count` rows of `weights`.
    pub(crate) fn new(
        levels: Levels,
        weights: usize,
        count: usize,
        buffer: &mut Buffer<'a, S>,
    ) -> Result<Self, Error> {
        if let Levels::Full = levels {
            let storage = buffer.numbers(Full::<S>::required_len(weights, count))?;
            return Ok(AnyRows::Full(Full::new(weights, count, storage)?));
        }
        let words = levels.need::<f32>(weights, count).len();
        let words = buffer.words(words)?;
        Ok(match levels {
            Levels::Three => AnyRows::Three(Quantised::new(weights, count, words)?),
            Levels::Seven => AnyRows::Seven(Quantised::new(weights, count, words)?),
            Levels::Fifteen => AnyRows::Fifteen(Quantised::new(weights, count, words)?),
            Levels::Most => AnyRows::Most(Quantised::new(weights, count, words)?),
            Levels::Eleven | Levels::Full => {
                AnyRows::Eleven(Quantised::new(weights, count, words)?)
            }
        })
    }
}

impl<S: Real> Stored for AnyRows<'_, S> {
    fn floats(&self) -> usize {
        each_rows!(self, rows => rows.floats())
    }

    fn check(&self, weights: usize, count: usize) -> Result<(), Error> {
        each_rows!(self, rows => rows.check(weights, count))
    }

    fn copy(&mut self, from: usize, to: usize) {
        each_rows!(self, rows => rows.copy(from, to));
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        each_rows!(self, rows => rows.state(fields))
    }
}

impl<A: Arithmetic, S: Real> Rows<A, S> for AnyRows<'_, S> {
    fn block(&self) -> usize {
        each_rows!(self, rows => Rows::<A, S>::block(rows))
    }

    fn read(&self, k: usize, first: usize, x: &mut [S]) {
        each_rows!(self, rows => Rows::<A, S>::read(rows, k, first, x));
    }

    fn write(&mut self, k: usize, first: usize, x: &[S], before: &[S]) {
        each_rows!(self, rows => Rows::<A, S>::write(rows, k, first, x, before));
    }

    fn read_alone(&self, k: usize, first: usize, x: &mut [S]) {
        each_rows!(self, rows => Rows::<A, S>::read_alone(rows, k, first, x));
    }
}

/// A path that sees every step it is asked for.
#[derive(Debug)]
pub(crate) enum Whole<'a, S> {
    Tape(Tape<'a, S>),
    Checkpoints(Checkpoints<'a, S>),
    Reversible(Reversible<'a>),
    Line(Line<Initial<'a, S>>),
    Knots(Knots<S, Initial<'a, S>, AnyRows<'a, S>>),
    Legendre(Legendre<'a, S>),
    Hats(Hats<'a, S, Initial<'a, S>, AnyRows<'a, S>>),
    Reversed(Reversed),
}

/// The path of a [`Sweep`](crate::method::Sweep): with a [`Tail`], over the last steps alone, or neither.
#[derive(Debug)]
pub(crate) enum Chosen<'a, S> {
    Whole(Whole<'a, S>),
    Tail(Tail<Whole<'a, S>>),
    Last(Truncated<Whole<'a, S>>),
    LastTail(Truncated<Tail<Whole<'a, S>>>),
}

/// Makes a sum of paths one itself.
macro_rules! is_path {
    ($Type:ident: $($Variant:ident)*) => {
        #[deny(clippy::missing_trait_methods)]
        impl<A: Arithmetic, S: Real> Path<A, S> for $Type<'_, S> {
            fn floats(&self) -> usize {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::floats(path))
            }

            fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::start(path, w))
            }

            fn record(
                &mut self,
                t: usize,
                w: &[S],
                v: &[S],
                spare: Spare<'_, S>,
            ) -> Result<(), Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::record(path, t, w, v, spare))
            }

            fn advance(
                &mut self,
                t: usize,
                w: &mut [S],
                v: &mut [S],
                g: &[S],
                steps: &mut dyn Steps<S>,
            ) -> Result<bool, Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::advance(path, t, w, v, g, steps))
            }

            fn taken(&self) -> Option<Taken<S>> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::taken(path))
            }

            fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::finish(path, w, v, spare))
            }

            fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::open(path, w, spare))
            }

            fn recall(
                &mut self,
                t: usize,
                w: &mut [S],
                v: Option<&mut [S]>,
                steps: &mut dyn Steps<S>,
                spare: Spare<'_, S>,
            ) -> Result<(), Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::recall(path, t, w, v, steps, spare))
            }

            fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::state(path, fields))
            }

            fn plan(&self, trained: usize) -> Plan {
                each!(self, $Type: $($Variant)*, path => Path::<A, S>::plan(path, trained))
            }
        }
    };
}

is_path!(Whole: Tape Checkpoints Reversible Line Knots Legendre Hats Reversed);
is_path!(Chosen: Whole Tail Last LastTail);
