//! What runs the kernels: a GPU by its [driver](super::driver), or an [emulation](super::emulated).

use std::boxed::Box;
use std::string::String;

use super::Error;

/// A piece of a machine's memory, given back when it is dropped.
pub(super) struct Memory {
    address: u64,
    bytes: usize,
    give_back: Option<Box<dyn FnOnce() + Send>>,
}

impl Memory {
    pub(super) fn new(
        address: u64,
        bytes: usize,
        give_back: impl FnOnce() + Send + 'static,
    ) -> Self {
        Memory {
            address,
            bytes,
            give_back: Some(Box::new(give_back)),
        }
    }

    /// Its first byte.
    pub(super) const fn address(&self) -> u64 {
        self.address
    }

    /// Where `bytes` of it from `offset` on begin.
    pub(super) fn part(&self, offset: usize, bytes: usize) -> Result<u64, Error> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(self.address + offset as u64),
            _ => Err(Error::Machine {
                what: "a part of the device's memory",
                why: std::format!("{bytes} bytes from {offset} of {}", self.bytes),
            }),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back();
        }
    }
}

/// How a kernel is launched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    /// Which of the two arithmetics: whether multiply-adds are fused.
    pub(super) fused: bool,
    /// Blocks.
    pub(super) blocks: u32,
    /// Threads of each.
    pub(super) threads: u32,
    /// Bytes of shared memory of each.
    pub(super) shared: u32,
    /// Whether all blocks are to run at the same time, and may wait for each other.
    pub(super) cooperative: bool,
}

/// A machine with the kernels compiled for it, in both arithmetics.
pub(super) trait Machine: Send + Sync {
    /// What it is.
    fn name(&self) -> String;
    /// Bytes that are free.
    fn free(&self) -> Result<u64, Error>;
    /// How many blocks run side by side without sharing a processor.
    fn processors(&self) -> u32;
    /// How many blocks can be on it at the same time.
    fn resident(&self, kernel: &str, launch: Launch) -> Result<u32, Error>;
    /// Memory at a multiple of 256 bytes.
    fn allocate(&self, bytes: usize) -> Result<Memory, Error>;
    /// Writes bytes.
    fn write(&self, to: &Memory, offset: usize, bytes: &[u8]) -> Result<(), Error>;
    /// Reads bytes.
    fn read(&self, from: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), Error>;
    /// Runs a kernel to its end, with the address of what it is given.
    fn launch(&self, kernel: &str, launch: Launch, args: u64) -> Result<(), Error>;
}
