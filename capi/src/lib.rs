//! The C interface of `drmad`: `include/drmad.h` is made from this crate, `docs/c.md` is its manual.
//!
//! Everything here is thin: a function checks what C hands over ([`raw`]) and calls the Rust function of
//! the same name. Nothing allocates, nothing is global, every function may run on any number of threads at
//! once. Every one of them returns a [`Code`] and looks at all its arguments before it
//! writes the first element, so that a refused call leaves all buffers as they were.
//!
//! The arithmetic is an argument, not a suffix: there is one function for each thing that can be done, a
//! caller stores its choice in one place, and a wrong value is refused. A device that has no use for the
//! fused arithmetic leaves it out with the feature of that name.
//!
//! The only `unsafe` blocks are in [`raw`]; elsewhere the word stands before `no_mangle` alone, which a
//! test holds.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

pub mod error;
pub mod kernels;
pub mod method;
pub mod outer;
pub mod raw;
pub mod run;

use core::ffi::c_char;

pub use error::Code;
pub use raw::{In, Out};

use drmad::kernels::reduce::all_finite;

/// The version of the structs. It changes where a struct or the meaning of a field does; codes and
/// functions do not.
pub const ABI: u32 = 1;

/// How a multiply-add is rounded. For each of them results have the same bits on every machine.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// A product and a sum, each rounded: for devices.
    Plain = 0,
    /// Every multiply-add is one rounding: for hosts.
    Fused = 1,
}

/// The library's version, such as "0.1.0": a static string.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// The library's DRMAD_ABI, to be compared with the header's.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_abi() -> u32 {
    ABI
}

/// Runs a body with `$A` the arithmetic that a number stands for.
macro_rules! in_arithmetic {
    ($rounding:expr, $A:ident => $body:expr) => {{
        const PLAIN: i32 = $crate::Rounding::Plain as i32;
        const FUSED: i32 = $crate::Rounding::Fused as i32;
        match $rounding {
            PLAIN => {
                type $A = drmad::Plain;
                $body
            }
            #[cfg(feature = "fused")]
            FUSED => {
                type $A = drmad::Fused;
                $body
            }
            #[cfg(not(feature = "fused"))]
            FUSED => return Err($crate::Code::LeftOut),
            _ => return Err($crate::Code::Enum),
        }
    }};
}
pub(crate) use in_arithmetic;

/// Refuses an arithmetic that is not there.
pub(crate) fn known_arithmetic(rounding: i32) -> Result<(), Code> {
    in_arithmetic!(rounding, A => {
        let _ = core::marker::PhantomData::<A>;
        Ok(())
    })
}

/// Refuses numbers that are not finite.
pub(crate) fn finite(vectors: &[&[f32]]) -> Result<(), Code> {
    if vectors.iter().all(|x| all_finite(x)) {
        Ok(())
    } else {
        Err(Code::NotFinite)
    }
}

/// Refuses a size of 0.
pub(crate) fn some(sizes: &[usize]) -> Result<(), Code> {
    if sizes.contains(&0) {
        Err(Code::Empty)
    } else {
        Ok(())
    }
}

/// The product of two sizes, where there is one.
pub(crate) fn times(a: usize, b: usize) -> Result<usize, Code> {
    a.checked_mul(b).ok_or(Code::Size)
}

/// A flag.
pub(crate) fn flag(value: i32) -> Result<bool, Code> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Code::Enum),
    }
}

/// A panic has nowhere to go on a device: it stops there, for a watchdog to see.
#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
