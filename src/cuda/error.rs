//! What can be wrong with a device, with what to do.

use core::fmt;
use std::boxed::Box;
use std::string::String;

use crate::error;

/// Why replicas were not run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No driver.
    NoDriver,
    /// No run-time compiler.
    NoCompiler,
    /// No such device.
    NoDevice {
        /// The number asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// What does not fit the device's memory.
    Memory {
        /// Bytes that are needed; `u64::MAX` for as many or more.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// No kernel of this name.
    NoKernel(String),
    /// What a kernel does not take.
    Kernel {
        /// Its name.
        kernel: &'static str,
        /// The buffer or the integer, with what is wanted and given.
        why: Box<Error>,
    },
    /// A library that lacks a function.
    Lacks {
        /// The library.
        library: &'static str,
        /// The function.
        function: &'static str,
    },
    /// A set of examples without any.
    NoExamples(&'static str),
    /// What devices do not do.
    Unsupported(Unsupported),
    /// What the host would refuse, too.
    Refused(error::Error),
    /// Sources that do not compile.
    Sources(String),
    /// Two sides that mean different things by one struct.
    Mismatch(Mismatch),
    /// What a driver, or another [machine](super::Machine), says.
    Machine {
        /// The operation.
        what: &'static str,
        /// Its own words.
        why: String,
    },
}

/// What devices do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Another optimizer than the heavy ball.
    Optimizer,
    /// Velocities from weights alone, where a rate is 0.
    Velocity,
    /// Reversal without momentum.
    Momentum,
    /// The published line inside another path.
    Published,
    /// Differences of so many levels.
    Levels(u32),
}

/// Bytes of a struct on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Its name.
    pub what: &'static str,
    /// Bytes here.
    pub here: usize,
    /// Bytes there.
    pub there: u32,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoDriver => f.write_str(
                "no NVIDIA driver: its library (libcuda.so.1, nvcuda.dll) is not found or does not load; install it, or take the processor",
            ),
            Error::NoCompiler => f.write_str(
                "no NVRTC: its library (libnvrtc.so) is not found or does not load; install the CUDA toolkit, or \
                 `pip install nvidia-cuda-nvrtc-cu12` and put its folder on LD_LIBRARY_PATH",
            ),
            Error::NoDevice { number, count } => write!(
                f,
                "no GPU {number}: there are {count}, counted from 0"
            ),
            Error::Memory { needed, free } => write!(
                f,
                "the device's memory: {needed} bytes needed, {free} free; take a method that needs less, or fewer steps"
            ),
            Error::NoKernel(kernel) => write!(f, "no kernel is called {kernel}"),
            Error::Kernel { kernel, why } => write!(f, "{kernel}: {why}"),
            Error::Lacks { library, function } => write!(
                f,
                "{library}: its library lacks {function}; install one of CUDA 12.0 or newer"
            ),
            Error::NoExamples(what) => write!(f, "no {what} examples"),
            Error::Unsupported(what) => what.fmt(f),
            Error::Refused(error) => error.fmt(f),
            Error::Sources(log) => write!(f, "the kernels do not compile: {log}"),
            Error::Mismatch(Mismatch { what, here, there }) => write!(
                f,
                "{what} has {here} bytes here and {there} on the device: the sources are of another version"
            ),
            Error::Machine { what, why } => write!(f, "{what}: {why}"),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::Optimizer => f.write_str("devices train by the heavy ball alone: take the processor"),
            Unsupported::Velocity => f.write_str(
                "a path that recalls weights alone, where a rate is 0: nothing is seen of the velocity; take the tape or checkpoints",
            ),
            Unsupported::Momentum => {
                f.write_str("momentum 0 with reversal: nothing is left of the velocity; take no tail")
            }
            Unsupported::Published => f.write_str(
                "the published line has a plan of its own: take it without a tail, over all steps",
            ),
            Unsupported::Levels(levels) => {
                write!(f, "{levels} levels: a stored difference takes one of 3, 7, 11, 15 or 255; 0 is in full")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl From<error::Error> for Error {
    fn from(error: error::Error) -> Self {
        Error::Refused(error)
    }
}

impl From<Unsupported> for Error {
    fn from(what: Unsupported) -> Self {
        Error::Unsupported(what)
    }
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        Error::Mismatch(mismatch)
    }
}
