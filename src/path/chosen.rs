//! A path chosen at run time, without a heap: one type for all of them.
//!
//! A [`Method`](crate::method::Method) says which path it is, what memory it takes, and makes it in one buffer. Where
//! a program always takes the same method it links no other's path.
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
use crate::scalar::{Arithmetic, Real, Scalar};
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

/// One of several kinds, seen as a `D` through functions that are named where the kind is chosen. A program that
/// chooses the same kind wherever it chooses links that one alone; an enum that is matched in every call would link all.
pub(crate) struct Behind<K, D: ?Sized> {
    pub(crate) kind: K,
    pub(crate) get: fn(&K) -> Option<&D>,
    pub(crate) get_mut: fn(&mut K) -> Option<&mut D>,
}

impl<K, D: ?Sized> Behind<K, D> {
    fn get(&self) -> Option<&D> {
        (self.get)(&self.kind)
    }

    /// Never an error: the functions are those of the kind.
    fn get_mut(&mut self) -> Result<&mut D, Error> {
        (self.get_mut)(&mut self.kind).ok_or(Error::Unsupported {
            what: "a path of another kind than was chosen",
        })
    }
}

/// A kind, with the functions that see it.
macro_rules! behind {
    ($Kind:ident::$Variant:ident($it:expr)) => {
        Behind {
            kind: $Kind::$Variant($it),
            get: |kind| match kind {
                $Kind::$Variant(it) => Some(it),
                _ => None,
            },
            get_mut: |kind| match kind {
                $Kind::$Variant(it) => Some(it),
                _ => None,
            },
        }
    };
}
pub(crate) use behind;

/// The kinds of [`AnyRows`].
pub(crate) enum OfRows<'a, S> {
    Full(Full<'a, S>),
    Three(Quantised<'a, 3>),
    Seven(Quantised<'a, 7>),
    Eleven(Quantised<'a, 11>),
    Fifteen(Quantised<'a, 15>),
    Most(Quantised<'a, 255>),
}

/// Rows of whichever [`Levels`].
pub(crate) type AnyRows<'a, A, S> = Behind<OfRows<'a, S>, dyn Rows<A, S> + 'a>;

impl<'a, A: Arithmetic, S: Real + Pod> AnyRows<'a, A, S> {
    /// `count` rows of `weights`.
    #[cfg_attr(not(feature = "std"), inline(always))]
    pub(crate) fn new(
        levels: Levels,
        weights: usize,
        count: usize,
        buffer: &mut Buffer<'a, S>,
    ) -> Result<Self, Error> {
        if let Levels::Full = levels {
            let storage = buffer.numbers(Full::<S>::required_len(weights, count))?;
            return Ok(behind!(OfRows::Full(Full::new(weights, count, storage)?)));
        }
        let words = buffer.words(levels.need::<f32>(weights, count).len())?;
        Ok(match levels {
            Levels::Three => behind!(OfRows::Three(Quantised::new(weights, count, words)?)),
            Levels::Seven => behind!(OfRows::Seven(Quantised::new(weights, count, words)?)),
            Levels::Fifteen => behind!(OfRows::Fifteen(Quantised::new(weights, count, words)?)),
            Levels::Most => behind!(OfRows::Most(Quantised::new(weights, count, words)?)),
            Levels::Eleven | Levels::Full => {
                behind!(OfRows::Eleven(Quantised::new(weights, count, words)?))
            }
        })
    }
}

impl<A: Arithmetic, S: Real> Stored for AnyRows<'_, A, S> {
    fn floats(&self) -> usize {
        self.get().map_or(0, |rows| rows.floats())
    }

    fn check(&self, weights: usize, count: usize) -> Result<(), Error> {
        self.get().map_or(Ok(()), |rows| rows.check(weights, count))
    }

    fn copy(&mut self, from: usize, to: usize) {
        if let Ok(rows) = self.get_mut() {
            rows.copy(from, to);
        }
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        self.get_mut()?.state(fields)
    }
}

impl<A: Arithmetic, S: Real> Rows<A, S> for AnyRows<'_, A, S> {
    fn block(&self) -> usize {
        self.get().map_or(0, |rows| rows.block())
    }

    fn read(&self, k: usize, first: usize, x: &mut [S]) {
        if let Some(rows) = self.get() {
            rows.read(k, first, x);
        }
    }

    fn write(&mut self, k: usize, first: usize, x: &[S], before: &[S]) {
        if let Ok(rows) = self.get_mut() {
            rows.write(k, first, x, before);
        }
    }

    fn read_alone(&self, k: usize, first: usize, x: &mut [S]) {
        if let Some(rows) = self.get() {
            rows.read_alone(k, first, x);
        }
    }
}

/// The kinds of [`Whole`].
pub(crate) enum OfPath<'a, A: Arithmetic, S: Scalar> {
    Tape(Tape<'a, S>),
    Checkpoints(Checkpoints<'a, S>),
    Reversible(Reversible<'a>),
    Line(Line<Initial<'a, S>>),
    Knots(Knots<S, Initial<'a, S>, AnyRows<'a, A, S>>),
    Legendre(Legendre<'a, S>),
    Hats(Hats<'a, S, Initial<'a, S>, AnyRows<'a, A, S>>),
    Reversed(Reversed),
}

/// A path that sees every step it is asked for.
pub(crate) type Whole<'a, A, S> = Behind<OfPath<'a, A, S>, dyn Path<A, S> + 'a>;

/// The kinds of [`Chosen`].
pub(crate) enum Around<'a, A: Arithmetic, S: Scalar> {
    Nothing(Whole<'a, A, S>),
    Tail(Tail<Whole<'a, A, S>>),
    Last(Truncated<Whole<'a, A, S>>),
    LastTail(Truncated<Tail<Whole<'a, A, S>>>),
}

/// The path of a [`Sweep`](crate::method::Sweep): with a [`Tail`], over the last steps alone, or neither.
pub(crate) type Chosen<'a, A, S> = Behind<Around<'a, A, S>, dyn Path<A, S> + 'a>;

#[deny(clippy::missing_trait_methods)]
impl<K, A: Arithmetic, S: Real> Path<A, S> for Behind<K, dyn Path<A, S> + '_> {
    fn floats(&self) -> usize {
        self.get().map_or(0, |path| path.floats())
    }

    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        self.get_mut()?.start(w)
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.get_mut()?.record(t, w, v, spare)
    }

    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        self.get_mut()?.advance(t, w, v, g, steps)
    }

    fn taken(&self) -> Option<Taken<S>> {
        self.get()?.taken()
    }

    fn finish(&mut self, w: &[S], v: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.get_mut()?.finish(w, v, spare)
    }

    fn open(&mut self, w: &[S], spare: Spare<'_, S>) -> Result<(), Error> {
        self.get_mut()?.open(w, spare)
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        self.get_mut()?.recall(t, w, v, steps, spare)
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        self.get_mut()?.state(fields)
    }

    fn plan(&self, trained: usize) -> Plan {
        self.get()
            .map_or(Plan::every(trained), |path| path.plan(trained))
    }
}
