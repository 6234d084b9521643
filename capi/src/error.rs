//! What a function returns: 0, or a negative code that keeps its meaning for ever.

use core::ffi::{CStr, c_char};

use drmad::Error;

/// What every function returns. A code's number and meaning never change; there may be new ones.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    None = 0,
    /// A pointer that is needed is null.
    Null = -1,
    /// A pointer is not a multiple of its type's alignment.
    Misaligned = -2,
    /// A buffer has another length than it must have, or too short a one.
    Length = -3,
    /// A buffer that is written overlaps another one.
    Overlap = -4,
    /// A size is beyond the address space.
    Size = -5,
    /// A size, a number of steps, of examples or of elements is 0.
    Empty = -6,
    /// An enumeration or a flag has a value that it does not know.
    Enum = -7,
    /// A number that is read is infinite or not a number.
    NotFinite = -8,
    /// A number is outside its range.
    Range = -9,
    /// An index, a label or an example does not exist.
    Index = -10,
    /// Indices do not ascend.
    Order = -11,
    /// A training, or the backward pass through it, left the finite numbers.
    Diverged = -12,
    /// A number does not fit its fixed-point integer.
    Overflow = -13,
    /// A linear system's residual left all bounds.
    Unsolved = -14,
    /// A combination that does not exist.
    Unsupported = -15,
    /// There is no point to project onto.
    EmptySet = -16,
    /// This library was built without the fused arithmetic.
    LeftOut = -17,
    /// The struct is of another version of the header.
    Abi = -18,
    /// A fault in the library itself.
    Internal = -128,
}

impl Code {
    /// All of them. C has no associated constants, so the header leaves it out.
    ///
    /// cbindgen:ignore
    pub const ALL: [Code; 20] = [
        Code::None,
        Code::Null,
        Code::Misaligned,
        Code::Length,
        Code::Overlap,
        Code::Size,
        Code::Empty,
        Code::Enum,
        Code::NotFinite,
        Code::Range,
        Code::Index,
        Code::Order,
        Code::Diverged,
        Code::Overflow,
        Code::Unsolved,
        Code::Unsupported,
        Code::EmptySet,
        Code::LeftOut,
        Code::Abi,
        Code::Internal,
    ];

    /// What it means and what to do.
    pub const fn text(self) -> &'static CStr {
        match self {
            Code::None => c"done",
            Code::Null => c"a pointer that is needed is null: give it a buffer, or the length 0",
            Code::Misaligned => c"a pointer is misaligned: align the buffer to its element type",
            Code::Length => {
                c"a buffer has the wrong length: ask drmad_sizes or the function's required_len"
            }
            Code::Overlap => {
                c"a buffer that is written overlaps another: give each argument a buffer of its own"
            }
            Code::Size => c"a size is beyond the address space: look for an overflow in your lengths",
            Code::Empty => c"a size is 0: there must be at least one element, step, example and batch",
            Code::Enum => c"an unknown enumeration value or flag: take one of the header's constants",
            Code::NotFinite => c"an input is infinite or not a number: look where it comes from",
            Code::Range => c"a number is outside its range: see the argument's description",
            Code::Index => c"an index, label or example does not exist: compare it with the counts",
            Code::Order => c"indices do not ascend: sort them, each only once",
            Code::Diverged => {
                c"training or sweep diverged: lower the rate or the scale, take fewer steps, or bring Adam's gradients below 9e18"
            }
            Code::Overflow => c"a number does not fit its fixed-point integer: lower the rate or the bits",
            Code::Unsolved => c"the linear system has no solution: add damping or lower the series' rate",
            Code::Unsupported => c"this combination does not exist: see the description of the method",
            Code::EmptySet => c"nothing to project onto: the bounds leave no point",
            Code::LeftOut => {
                c"built without the fused arithmetic: take the plain one, or build with the feature fused"
            }
            Code::Abi => c"the struct's abi is not this library's: set it to DRMAD_ABI and compile again",
            Code::Internal => c"a fault in the library: please report it with the arguments",
        }
    }
}

impl From<Error> for Code {
    fn from(error: Error) -> Code {
        match error {
            Error::Length { .. } => Code::Length,
            Error::NonFinite { .. } => Code::NotFinite,
            Error::Diverged { .. } => Code::Diverged,
            Error::Unsolved { .. } => Code::Unsolved,
            Error::NoSteps | Error::EmptyBatch => Code::Empty,
            Error::Momentum { .. } | Error::Range { .. } | Error::Domain { .. } => Code::Range,
            Error::EmptySet { .. } => Code::EmptySet,
            Error::Index { .. } => Code::Index,
            Error::Overflow { .. } => Code::Overflow,
            Error::Moment { .. } => Code::Diverged,
            Error::Unsupported { .. } => Code::Unsupported,
            // Order is kept by the crate itself, levels are not chosen here.
            _ => Code::Internal,
        }
    }
}

/// Runs the body of a function and returns its code. Where there is `std`, a panic is caught here and never
/// crosses the border.
pub fn guard(body: impl FnOnce() -> Result<(), Code>) -> i32 {
    #[cfg(feature = "std")]
    let done =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(Err(Code::Internal));
    #[cfg(not(feature = "std"))]
    let done = body();
    match done {
        Ok(()) => Code::None as i32,
        Err(code) => code as i32,
    }
}

/// What a code means and what to do about it: a static string.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_error_text(code: i32) -> *const c_char {
    let known = Code::ALL.iter().find(|known| **known as i32 == code);
    known
        .map_or(c"not a code of this library", |code| code.text())
        .as_ptr()
}
