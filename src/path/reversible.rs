//! The trajectory run backwards, exactly: training in fixed point that keeps what it rounds away (Maclaurin,
//! Duvenaud and Adams 2015, algorithms 2 and 3).
//!
//! A heavy-ball step can be undone from its gradient, but for what the product by the momentum rounds
//! away: `log2(1 / gamma)` bits of the velocity. Here weights and velocities are integers, the path
//! takes the steps itself ([`Path::advance`]), and each weight has a word `x` for those bits
//! ([`kernels::reversible`](crate::kernels::reversible) has the arithmetic). What the training sees as
//! `w` and `v` are views of the integers, and the backward pass evaluates each gradient once more, at the
//! very weights of the way there. So it ends in `w_0`, bit for bit, with nothing left over.
//!
//! The words are spilled together: all that is known of `x` is a bound, which momenta alone make
//! grow, and when it reaches 2^21 the lowest 8 bits of every word go to a stack of bytes. The steps
//! at which that was are kept, so the backward pass knows when to take them up. This is a number of bits a
//! weight of
//!
//! ```text
//! T log2(1 / gamma) + log2(n) - 21, up to the next 8, and 96 for w, v and x         gamma = n / d
//! ```
//!
//! and up to 2 in a hundred more for the whole bounds of the largest denominators. A larger bound never
//! needs fewer spills: with `b' = floor((b + 1) d / n)` a spill before a step leaves no less than one
//! after it. So what suffices for a momentum suffices for all greater ones, step by step and group
//! by group; groups share the bound, so the least momentum of a step decides.
//!
//! Momenta are taken to be the nearest fractions `n / d` with `d` at most 1024, in the training and in the
//! sweep, whose derivatives are those at these fractions ([`Path::taken`]). Refused: momenta below 1/1024, 0 first of all,
//! and above 1023/1024; optimizers other than the heavy ball; dual numbers, whose tangents no integer holds;
//! an objective that does not give the same gradient twice.

use super::{Kind, Path, Spare, Steps, Taken, fields_len, one_velocity};
use crate::error::{Error, check_len, cut};
use crate::group::Block;
use crate::kernels::momentum::RowSteps;
use crate::kernels::reversible::{self as kernel, Bits, FULL, Fixed, Overflow, Ratio, Turn, What};
use crate::scalar::{Arithmetic, Real, Scalar};
use crate::schedule::{Optimizer, Step};
use crate::state::Fields;

/// The trajectory in fixed point.
///
/// ```
/// use drmad::path::Reversible;
/// let mut storage = [0; Reversible::required_len(10, 1000, 0.95)];
/// let path = Reversible::new(10, 1000, 0.95, &mut storage)?;
/// // 1000 log2(20/19) is 74 bits a weight, and w, v and x are 96.
/// assert_eq!(storage.len(), 58);
/// # Ok::<(), drmad::Error>(())
/// ```
#[derive(Debug)]
pub struct Reversible<'a> {
    bits: Bits,
    steps: usize,
    least: Ratio,
    words: usize,
    w: &'a mut [i32],
    v: &'a mut [i32],
    x: &'a mut [u32],
    /// The step of each spill.
    spilled: &'a mut [u32],
    stack: &'a mut [u8],
    spills: usize,
    /// No `x` is greater. Not known on the backward pass, nor needed.
    bound: u32,
    /// The step that is due; none before the start and after an error.
    next: Option<usize>,
}

/// The constants of a step's rows, one after another.
struct Turns<S> {
    bits: Bits,
    least: Ratio,
    /// The last momentum, which rows often share, as a fraction and with its constants.
    last: Option<(S, Turn)>,
    /// The bound on all `x` before the step, and after it.
    before: u32,
    after: u32,
    /// What was wrong with a row: it has none, and ends them.
    wrong: Result<(), Error>,
}

impl<S: Scalar> Turns<S> {
    /// The constants of a row, if it has any.
    #[inline(always)]
    fn of(&mut self, by: Step<S>) -> Option<Turn> {
        let still = match self.last {
            Some((momentum, still)) if momentum == by.momentum => still,
            _ => self.still(by.momentum)?,
        };
        let rate = by.rate.to_f64();
        let turn = still.with(rate, self.bits);
        if turn.is_none() {
            self.too_fast(rate);
        }
        turn
    }

    /// The constants of a momentum.
    #[inline(never)]
    fn still(&mut self, by: S) -> Option<Turn> {
        let (momentum, least) = (by.to_f64(), self.least.value());
        let ratio = Ratio::nearest(momentum);
        let Some(ratio) = ratio.filter(|ratio| ratio.value() >= least) else {
            let least = ratio.map_or(Ratio::LEAST, |_| least);
            self.wrong = Err(refused(momentum, least));
            return None;
        };
        let still = Turn::still(ratio, self.bits);
        self.after = self.after.max(ratio.grow(self.before));
        self.last = Some((by, still));
        Some(still)
    }

    #[cold]
    fn too_fast(&mut self, rate: f64) {
        let greatest = f64::from(1 << 29) * self.bits.weight_unit() / self.bits.velocity_unit();
        self.wrong = Err(Error::Range {
            what: "rate with reversal",
            value: rate,
            least: -greatest,
            greatest,
        });
    }
}

/// How often the words are spilled in this many steps of one momentum.
///
/// The bound after a step is a function of the one before, so it comes round again: from there on whole
/// rounds are counted at once (Brent's way to find them), and a horizon of any length takes no time.
const fn spills(momentum: Ratio, steps: usize) -> usize {
    let (mut bound, mut spills, mut t) = (0, 0usize, 0);
    let (mut mark, mut marked_at, mut spills_then, mut patience) = (0, 0, 0, 1usize);
    while t < steps {
        while bound >= FULL {
            bound >>= 8;
            spills = spills.saturating_add(1);
        }
        bound = momentum.grow(bound);
        t += 1;
        let round = t - marked_at;
        if bound == mark {
            let rounds = match (steps - t).checked_div(round) {
                Some(rounds) => rounds,
                None => 0,
            };
            t += rounds * round;
            spills = rounds
                .saturating_mul(spills - spills_then)
                .saturating_add(spills);
        }
        if round >= patience || bound == mark {
            (mark, marked_at, spills_then) = (bound, t, spills);
            patience = round.saturating_mul(2);
        }
    }
    spills
}

/// What is wrong with a momentum that has no [`Ratio`], or a lesser one than was planned for.
#[cold]
fn refused(momentum: f64, least: f64) -> Error {
    if momentum == 0.0 {
        return Error::Unsupported {
            what: "momentum 0 with reversal: such a step forgets its velocity, and nothing brings it back",
        };
    }
    Error::Range {
        what: "momentum with reversal",
        value: momentum,
        least,
        greatest: Ratio::GREATEST,
    }
}

impl<'a> Reversible<'a> {
    /// The bits that serve most trainings: weights within 32 of 0, velocities within 4.
    pub const BITS: Bits = Bits {
        weight: 26,
        velocity: 28,
    };

    /// Words of storage for `weights` and `steps` of a momentum that is never less than `momentum`: all
    /// of them are used where it is that one throughout. `usize::MAX` for a momentum that
    /// [`new`](Self::new) refuses.
    pub const fn required_len(weights: usize, steps: usize, momentum: f32) -> usize {
        match Ratio::nearest(momentum as f64) {
            Some(momentum) => {
                let spills = spills(momentum, steps);
                let bytes = weights.saturating_mul(spills);
                weights
                    .saturating_mul(3)
                    .saturating_add(spills)
                    .saturating_add(bytes.div_ceil(4))
            }
            None => usize::MAX,
        }
    }

    /// Bytes of its [state](Path::state).
    pub const fn state_len(weights: usize, steps: usize, momentum: f32) -> usize {
        Self::required_len(weights, steps, momentum)
            .saturating_mul(4)
            .saturating_add(fields_len(6, 3))
    }

    /// The fraction nearest to a momentum, which can be undone.
    pub(crate) fn check(momentum: f32) -> Result<Ratio, Error> {
        let momentum = f64::from(momentum);
        Ratio::nearest(momentum).ok_or_else(|| refused(momentum, Ratio::LEAST))
    }

    /// A path for a training of `steps` steps with momenta of at least `momentum`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for momentum 0, [`Error::Range`] for other momenta outside
    /// 1/1024 ..= 1023/1024, [`Error::Length`] where the storage is too short.
    pub fn new(
        weights: usize,
        steps: usize,
        momentum: f32,
        storage: &'a mut [u32],
    ) -> Result<Self, Error> {
        let least = Self::check(momentum)?;
        let words = Self::required_len(weights, steps, momentum);
        let mut storage = storage;
        let mut storage = cut("storage of the reversal", &mut storage, words)?;
        let mut vector = |len| cut("storage of the reversal", &mut storage, len);
        Ok(Reversible {
            bits: Self::BITS,
            steps,
            least,
            words,
            w: bytemuck::cast_slice_mut(vector(weights)?),
            v: bytemuck::cast_slice_mut(vector(weights)?),
            x: vector(weights)?,
            spilled: vector(spills(least, steps))?,
            stack: bytemuck::cast_slice_mut(storage),
            spills: 0,
            bound: 0,
            next: None,
        })
    }

    /// The same with other bits.
    ///
    /// # Errors
    /// [`Error::Range`] for none or more than [`Bits::MOST`].
    pub fn with(self, bits: Bits) -> Result<Self, Error> {
        for (what, bits) in [
            ("fraction bits of a weight", bits.weight),
            ("fraction bits of a velocity", bits.velocity),
        ] {
            if bits == 0 || bits > Bits::MOST {
                return Err(Error::Range {
                    what,
                    value: f64::from(bits),
                    least: 1.0,
                    greatest: f64::from(Bits::MOST),
                });
            }
        }
        Ok(Reversible { bits, ..self })
    }

    /// Whether it is where a training begins: nothing is stored of a step, and the velocity is 0.
    pub fn is_at_start(&self) -> bool {
        self.next == Some(0)
            && self.spills == 0
            && self.x.iter().all(|x| *x == 0)
            && self.v.iter().all(|v| *v == 0)
    }

    /// The weights as integers of `2^-26`, or what [`with`](Self::with) has made of it.
    pub fn weights(&self) -> &[i32] {
        self.w
    }

    /// The velocities as integers of `2^-28`, or what [`with`](Self::with) has made of it.
    pub fn velocities(&self) -> &[i32] {
        self.v
    }

    fn due(&self, t: usize) -> Result<(), Error> {
        match self.next {
            None => Err(Error::Unsupported {
                what: "a step of a reversal that was not started, or has failed: start it first",
            }),
            Some(next) if next != t => Err(Error::Order { want: next, got: t }),
            Some(_) if t >= self.steps => Err(Error::Index {
                what: "step of the reversal",
                index: t,
                len: self.steps,
            }),
            Some(_) => Ok(()),
        }
    }

    /// Calls `body` with each block of the weights, its integers and the constants of its rows; returns the bound
    /// on all `x` after the step.
    fn each<S: Scalar>(
        &mut self,
        t: usize,
        steps: &dyn Steps<S>,
        mut body: impl FnMut(Block, Fixed<'_>, RowSteps<'_, S>, &mut Turns<S>),
    ) -> Result<u32, Error> {
        let mut turns = Turns {
            bits: self.bits,
            least: self.least,
            last: None,
            before: self.bound,
            after: 0,
            wrong: Ok(()),
        };
        steps.each(t, &mut |block, by| {
            if turns.wrong.is_ok() {
                let fixed = Fixed {
                    w: block.of_mut(self.w),
                    v: block.of_mut(self.v),
                    x: block.of_mut(self.x),
                };
                body(block, fixed, by, &mut turns);
            }
        });
        turns.wrong.map(|()| turns.after)
    }

    /// The bytes of a spill.
    fn bytes(&mut self, spill: usize) -> (&mut [u32], &mut [u8]) {
        let p = self.x.len();
        let bytes = self.stack.get_mut(spill * p..(spill + 1) * p);
        (self.x, bytes.unwrap_or_default())
    }

    fn overflow(&self, step: usize, first: usize, overflow: Overflow, share: f64) -> Error {
        let Overflow {
            what,
            weight,
            value,
        } = overflow;
        let (what, greatest) = match what {
            What::Gradient if !value.is_finite() => {
                return Error::Diverged {
                    what: "gradient",
                    step,
                };
            }
            What::Gradient => (
                "gradient",
                self.bits.velocity_unit() * f64::from(1 << 30) / share,
            ),
            What::Velocity => ("velocity", self.bits.greatest_velocity()),
            What::Weight => ("value", self.bits.greatest_weight()),
        };
        Error::Overflow {
            what,
            step,
            weight: first + weight,
            value,
            least: -greatest,
            greatest,
        }
    }
}

impl<A: Arithmetic, S: Real> Path<A, S> for Reversible<'_> {
    fn floats(&self) -> usize {
        self.words
    }

    fn start(&mut self, w: &mut [S]) -> Result<(), Error> {
        check_len("w", w, self.w.len())?;
        self.next = None;
        kernel::fix(self.bits, w, self.w).map_err(|overflow| {
            if overflow.value.is_finite() {
                self.overflow(0, 0, overflow, 1.0)
            } else {
                Error::NonFinite { what: "w", step: 0 }
            }
        })?;
        kernel::view(self.bits.weight_unit(), self.w, w);
        self.v.fill(0);
        self.x.fill(0);
        self.spills = 0;
        self.bound = 0;
        self.next = Some(0);
        Ok(())
    }

    fn record(&mut self, t: usize, w: &[S], v: &[S], _spare: Spare<'_, S>) -> Result<(), Error> {
        self.due(t)?;
        check_len("w", w, self.w.len())?;
        one_velocity(v, self.v.len())
    }

    fn advance(
        &mut self,
        t: usize,
        w: &mut [S],
        v: &mut [S],
        g: &[S],
        steps: &mut dyn Steps<S>,
    ) -> Result<bool, Error> {
        if steps.optimizer() != Optimizer::HeavyBall {
            return Err(Error::Unsupported {
                what: "reversal of another optimizer than the heavy ball's: its steps cannot be undone",
            });
        }
        self.due(t)?;
        for (what, x) in [("w", &*w), ("v", &*v), ("g", g)] {
            check_len(what, x, self.w.len())?;
        }
        // Half a step cannot be undone.
        self.next = None;
        while self.bound >= FULL {
            let Some(spilled) = self.spilled.get_mut(self.spills) else {
                // Momenta are at least the planned one, which has room for all.
                return Err(Error::Index {
                    what: "spill of the reversal",
                    index: self.spills,
                    len: self.spilled.len(),
                });
            };
            *spilled = t as u32;
            let (x, bytes) = self.bytes(self.spills);
            kernel::spill(x, bytes);
            self.spills += 1;
            self.bound >>= 8;
        }
        let mut overflow = None;
        let bound = self.each(t, steps, |block, fixed, by, turns| {
            let (g, w, v) = (block.of(g), block.of_mut(w), block.of_mut(v));
            let turn = |by| turns.of(by);
            let found = kernel::step_rows(by.columns, by.steps(), turn, g, fixed, w, v);
            if let (Some((row, what)), None) = (found, overflow) {
                let momentum = by.momenta.get(row).copied().unwrap_or(S::ZERO).to_f64();
                let share = 1.0 - Ratio::nearest(momentum).map_or(0.0, Ratio::value);
                overflow = Some((block.start, what, share));
            }
        })?;
        if let Some((first, what, share)) = overflow {
            return Err(self.overflow(t, first, what, share));
        }
        self.bound = bound;
        self.next = Some(t + 1);
        Ok(true)
    }

    fn taken(&self) -> Option<Taken<S>> {
        // Of another momentum no step was taken.
        Some(|momentum| match Ratio::nearest(momentum.to_f64()) {
            Some(ratio) => S::from_f64(ratio.value()),
            None => momentum,
        })
    }

    fn recall(
        &mut self,
        t: usize,
        w: &mut [S],
        v: Option<&mut [S]>,
        steps: &mut dyn Steps<S>,
        spare: Spare<'_, S>,
    ) -> Result<(), Error> {
        let trained = self.next.unwrap_or(0);
        if t >= trained {
            return Err(Error::Index {
                what: "step of the reversal",
                index: t,
                len: trained,
            });
        }
        if t + 1 != trained {
            return Err(Error::Order {
                want: trained - 1,
                got: t,
            });
        }
        let g = spare.a;
        for (what, x) in [("w", &*w), ("spare a", &*g)] {
            check_len(what, x, self.w.len())?;
        }
        self.next = None;
        self.each(t, steps, |block, fixed, by, turns| {
            let w = block.of_mut(w);
            let turn = |by| turns.of(by);
            kernel::undo_move_rows(by.columns, by.steps(), turn, fixed.v, fixed.w, w);
        })?;
        steps.gradient(t, w, g)?;
        self.each(t, steps, |block, fixed, by, turns| {
            let g = block.of(g);
            let turn = |by| turns.of(by);
            kernel::undo_kick_rows(by.columns, by.steps(), turn, g, fixed.v, fixed.x);
        })?;
        while let Some(last) = self.spills.checked_sub(1)
            && self.spilled.get(last) == Some(&(t as u32))
        {
            let (x, bytes) = self.bytes(last);
            kernel::refill(x, bytes);
            self.spills = last;
        }
        self.next = Some(t);
        if t == 0 && !self.is_at_start() {
            return Err(Error::Unsupported {
                what: "reversal of a training whose gradient is not the same twice: it missed its start",
            });
        }
        if let Some(v) = v {
            one_velocity(v, self.v.len())?;
            kernel::view(self.bits.velocity_unit(), self.v, v);
        }
        Ok(())
    }

    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let sizes = [
            self.w.len(),
            self.steps,
            self.bits.weight as usize,
            self.bits.velocity as usize,
            self.spilled.len(),
            self.stack.len(),
        ];
        fields.path(Kind::Reversible, &sizes)?;
        // One more than the step that is due; 0 where none is.
        let mut due = self.next.map_or(0, |next| next.saturating_add(1));
        fields.count("steps taken", &mut due, self.steps.saturating_add(1))?;
        self.next = due.checked_sub(1);
        fields.count("spills", &mut self.spills, self.spilled.len())?;
        let greatest = self.least.grow(FULL - 1);
        fields.short("bound of what is lost", &mut self.bound, greatest)?;
        fields.words(bytemuck::cast_slice_mut(self.w))?;
        fields.words(bytemuck::cast_slice_mut(self.v))?;
        fields.words(self.x)?;
        fields.words(self.spilled)?;
        fields.bytes(self.stack)
    }
}
