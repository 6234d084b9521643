//! The C interface of `drmad`: `include/drmad.h` is made from this crate, `docs/c.md` is its manual.
//!
//! Everything here is thin: a function checks what C hands over and calls the Rust function of the same name. Nothing
//! allocates, nothing is global, every function may run on any number of threads at once. Every one of them
//! returns a [`Code`](error::Code) and looks at all its arguments before it writes the first element, so that a
//! refused call leaves all buffers as they were.
//!
//! Each module knows those above it alone:
//!
//! | module | what it is |
//! |---|---|
//! | [`error`] | the codes, and the border that no panic crosses |
//! | [`raw`] | pointers, and the door behind which they are slices |
//! | [`types`] | every struct and enumeration, as the header has them |
//! | `check` | what is refused of numbers and sizes |
//! | `method`, `examples`, `training` | what the structs of these names stand for in the crate |
//! | [`operations`] | what is done with them: train, hypergradient, validation loss, predict |
//! | [`outer`] | what moves the hyperparameters |
//! | [`matrices`], [`random`], [`steps`], [`stored`], [`vectors`] | the kernels |
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

// Blank lines keep the order, which is the header's.
pub mod error;
pub mod raw;
pub mod types;

mod check;

mod examples;
mod method;
mod training;

pub mod operations;
pub mod outer;

pub mod matrices;
pub mod random;
pub mod steps;
pub mod stored;
pub mod vectors;

use core::ffi::c_char;

/// The library's version, such as "0.1.0": a static string.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// The library's DRMAD_ABI, to be compared with the header's.
#[unsafe(no_mangle)]
pub extern "C" fn drmad_abi() -> u32 {
    types::ABI
}

/// A panic has nowhere to go on a device: it stops there, for a watchdog to see.
#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
