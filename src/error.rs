//! What can be wrong, with its numbers.

use core::fmt;

/// Why an operation was refused or stopped. Buffers it was to write may be partly written.
///
/// ```
/// use drmad::Error;
/// let error = Error::Length { what: "w", want: 44860, got: 100 };
/// assert_eq!(error.to_string(), "w: 44860 numbers wanted, 100 given");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// A buffer of the wrong length.
    Length {
        /// The buffer's name.
        what: &'static str,
        /// The length it must have (of scratch and storage: at least).
        want: usize,
        /// The length it has.
        got: usize,
    },
    /// A number given that is infinite or not a number.
    NonFinite {
        /// What it is.
        what: &'static str,
        /// The step it is for: of the training, or of the outer optimizer.
        step: usize,
    },
    /// A training, or the backward pass through it, that left the finite numbers.
    Diverged {
        /// What did.
        what: &'static str,
        /// The training step at which it was seen.
        step: usize,
    },
    /// A linear system whose residual left all bounds.
    Unsolved {
        /// Iterations taken when that was seen.
        iterations: usize,
        /// The residual, relative to the right-hand side.
        residual: f64,
    },
    /// A training of no steps.
    NoSteps,
    /// A batch, or a set to draw batches from, without examples.
    EmptyBatch,
    /// A momentum outside [0, 1).
    Momentum {
        /// The momentum given.
        value: f64,
        /// The step it is for.
        step: usize,
    },
    /// A setting outside its range.
    Range {
        /// The setting's name.
        what: &'static str,
        /// The value given.
        value: f64,
        /// The least value allowed.
        least: f64,
        /// The greatest value allowed.
        greatest: f64,
    },
    /// A value outside the open interval on which a function is defined.
    Domain {
        /// What it is.
        what: &'static str,
        /// Its place in its vector.
        index: usize,
        /// The value given.
        value: f64,
        /// What it must exceed.
        above: f64,
        /// What must exceed it.
        below: f64,
    },
    /// A set without a point.
    EmptySet {
        /// What would have to lie between its bounds.
        what: &'static str,
        /// Its least value allowed.
        least: f64,
        /// Its greatest value allowed.
        greatest: f64,
    },
    /// An index into something that has fewer elements.
    Index {
        /// What is indexed.
        what: &'static str,
        /// The index.
        index: usize,
        /// How many elements there are.
        len: usize,
    },
    /// Steps recorded or recalled out of order.
    Order {
        /// The step that was due.
        want: usize,
        /// The step that came.
        got: usize,
    },
    /// A number that a fixed-point integer cannot hold.
    Overflow {
        /// What it is.
        what: &'static str,
        /// The training step.
        step: usize,
        /// The weight.
        weight: usize,
        /// The number.
        value: f64,
        /// The least number there is.
        least: f64,
        /// The greatest number there is.
        greatest: f64,
    },
    /// A second moment of Adam near or beyond the greatest number, where its root and the quotients of
    /// the backward pass overflow.
    Moment {
        /// The training step.
        step: usize,
        /// The weight.
        weight: usize,
        /// Its gradient there.
        gradient: f64,
    },
    /// A combination that does not exist.
    Unsupported {
        /// What, and what to do.
        what: &'static str,
    },
    /// A saved state that is damaged, or of something else.
    Saved {
        /// What is wrong with it.
        what: &'static str,
        /// What there should be; of a count, the greatest there can be.
        want: u64,
        /// What there is.
        got: u64,
    },
    /// A vector level that this processor lacks.
    Level {
        /// The level asked for.
        wanted: &'static str,
        /// The widest level there is.
        widest: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::Length { what, want, got } => {
                write!(f, "{what}: {want} numbers wanted, {got} given")
            }
            Error::NonFinite { what, step } => {
                write!(f, "{what} is not a finite number at step {step}")
            }
            Error::Diverged { what, step } => write!(
                f,
                "{what} is not finite at step {step}: lower the rate or the scale, or take fewer steps"
            ),
            Error::Unsolved {
                iterations,
                residual,
            } => write!(
                f,
                "no solution: the residual is {residual:.1e} of the right-hand side at iteration {iterations}: lower the rate of the series or add damping"
            ),
            Error::NoSteps => write!(f, "a training needs at least one step"),
            Error::EmptyBatch => write!(f, "a batch needs at least one example"),
            Error::Momentum { value, step } => write!(
                f,
                "momentum {value} at step {step}: it must be at least 0 and less than 1"
            ),
            Error::Range {
                what,
                value,
                least,
                greatest,
            } => write!(
                f,
                "{what} is {value}: it must lie in {least} ..= {greatest}"
            ),
            Error::Domain {
                what,
                index,
                value,
                above,
                below,
            } => write!(
                f,
                "{what} {index} is {value}: it must be greater than {above} and less than {below}"
            ),
            Error::EmptySet {
                what,
                least,
                greatest,
            } => write!(
                f,
                "nothing to project onto: no {what} is at least {least} and at most {greatest}"
            ),
            Error::Index { what, index, len } => {
                write!(f, "{what} {index} does not exist: there are {len}")
            }
            Error::Order { want, got } => write!(
                f,
                "step {got} came where step {want} was due: record ascending from 0, recall descending"
            ),
            Error::Overflow {
                what,
                step,
                weight,
                value,
                least,
                greatest,
            } => write!(
                f,
                "{what} of weight {weight} is {value} at step {step}: the fraction bits leave room for {least} ..= {greatest}: lower the rate, or take fewer of them"
            ),
            Error::Moment {
                step,
                weight,
                gradient,
            } => write!(
                f,
                "second moment of weight {weight} is too great at step {step}, where the gradient is {gradient:e}: divide the loss by a constant, which leaves Adam's steps as they are"
            ),
            Error::Unsupported { what } => write!(f, "not possible: {what}"),
            Error::Saved { what, want, got } => {
                write!(f, "saved state: {what} is {got:#x}, not {want:#x}")
            }
            Error::Level { wanted, widest } => write!(
                f,
                "this processor has no {wanted}: the widest level it has is {widest}"
            ),
        }
    }
}

impl core::error::Error for Error {}

/// The door of every operation: `slice` must have exactly `want` elements.
#[inline]
pub(crate) fn check_len<T>(what: &'static str, slice: &[T], want: usize) -> Result<(), Error> {
    check_equal(what, want, slice.len())
}

/// The same for a count.
#[inline]
pub(crate) fn check_equal(what: &'static str, want: usize, got: usize) -> Result<(), Error> {
    if got == want {
        Ok(())
    } else {
        Err(Error::Length { what, want, got })
    }
}

/// The same for an index.
#[inline]
pub(crate) fn check_index(what: &'static str, index: usize, len: usize) -> Result<(), Error> {
    if index < len {
        Ok(())
    } else {
        Err(Error::Index { what, index, len })
    }
}

/// The same for a count that has bounds.
pub(crate) fn check_range(
    what: &'static str,
    value: usize,
    least: usize,
    greatest: usize,
) -> Result<(), Error> {
    if least <= value && value <= greatest {
        return Ok(());
    }
    Err(Error::Range {
        what,
        value: value as f64,
        least: least as f64,
        greatest: greatest as f64,
    })
}

/// Cuts `want` elements off the front of a buffer that must hold at least them.
#[inline]
pub(crate) fn cut<'a, T>(
    what: &'static str,
    buffer: &mut &'a mut [T],
    want: usize,
) -> Result<&'a mut [T], Error> {
    let got = buffer.len();
    buffer
        .split_off_mut(..want)
        .ok_or(Error::Length { what, want, got })
}
