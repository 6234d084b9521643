//! What runs the kernels, and its memory: the seam between this module and a GPU.
//!
//! [`Device::open`](super::Device::open) takes a GPU by its [driver](super::driver). Anything else that runs the
//! [sources](super::sources()) is a [`Machine`] of its maker's: the tests have one that emulates a GPU's threads on the
//! processor (`tests/emulated`).
//!
//! Memory costs one allocation for each launch, whatever lies in it. Refused: reading, writing and launching outside
//! of it, before the machine is asked.
#![allow(unsafe_code)]

use std::string::String;

use super::Error;

/// How a kernel is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Which of the two arithmetics: whether multiply-adds are fused.
    pub fused: bool,
    /// Blocks.
    pub blocks: u32,
    /// Threads of each, a multiple of 32.
    pub threads: u32,
    /// Bytes of shared memory of each.
    pub shared: u32,
    /// Whether all blocks are to run at the same time, and may wait for each other.
    pub cooperative: bool,
}

/// A machine with the [kernels](super::sources()) compiled for it, in both arithmetics.
///
/// [`Device::on`](super::Device::on) runs trainings on it. What it cannot do it says as [`Error::Machine`]. Calls come
/// from several threads, launches among them.
pub trait Machine: Send + Sync {
    /// What it is.
    fn name(&self) -> String;

    /// Bytes that are free.
    ///
    /// # Errors
    /// What the machine says.
    fn free(&self) -> Result<u64, Error>;

    /// How many blocks run side by side without sharing a processor.
    fn processors(&self) -> u32;

    /// How many blocks can be on it at the same time.
    ///
    /// # Errors
    /// No such kernel; what the machine says.
    fn resident(&self, kernel: &str, launch: Launch) -> Result<u32, Error>;

    /// The address of memory of its own, a multiple of 256, for the host to write before anything reads it.
    ///
    /// # Errors
    /// [`Error::Memory`] where there is less; what the machine says.
    fn allocate(&self, bytes: usize) -> Result<u64, Error>;

    /// Takes memory back.
    ///
    /// # Safety
    /// [`allocate`](Self::allocate) of this machine gave the address for so many bytes, and they are not used again.
    unsafe fn release(&self, address: u64, bytes: usize);

    /// Writes bytes.
    ///
    /// # Errors
    /// What the machine says.
    ///
    /// # Safety
    /// They lie in memory that this machine has allocated, and that no running kernel uses.
    unsafe fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Reads bytes.
    ///
    /// # Errors
    /// What the machine says.
    ///
    /// # Safety
    /// As [`write`](Self::write).
    unsafe fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error>;

    /// Runs a kernel to its end.
    ///
    /// # Errors
    /// No such kernel; what the machine says.
    ///
    /// # Safety
    /// At the address `args`, in memory that this machine has allocated, stands what the kernel takes, and all that it
    /// points to is allocated, too.
    unsafe fn launch(&self, kernel: &str, launch: Launch, args: u64) -> Result<(), Error>;
}

/// A piece of a machine's memory, given back when it is dropped.
pub(super) struct Memory<'m> {
    machine: &'m dyn Machine,
    address: u64,
    bytes: usize,
}

impl<'m> Memory<'m> {
    pub(super) fn new(machine: &'m dyn Machine, bytes: usize) -> Result<Self, Error> {
        Ok(Memory {
            machine,
            address: machine.allocate(bytes)?,
            bytes,
        })
    }

    /// Its first byte.
    pub(super) const fn address(&self) -> u64 {
        self.address
    }

    /// Refuses an address of which so many bytes are not all in it.
    fn check(&self, address: u64, bytes: usize) -> Result<(), Error> {
        let end = (address.checked_sub(self.address)).and_then(|at| at.checked_add(bytes as u64));
        match end {
            Some(end) if end <= self.bytes as u64 => Ok(()),
            _ => Err(Error::Machine {
                what: "a part of the device's memory",
                why: std::format!(
                    "{bytes} bytes at {address}, of {} at {}",
                    self.bytes,
                    self.address
                ),
            }),
        }
    }

    /// Writes bytes from an address on.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        self.check(address, bytes.len())?;
        // SAFETY: they lie in this memory, and launches are waited for.
        unsafe { self.machine.write(address, bytes) }
    }

    /// Reads bytes from an address on.
    pub(super) fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.check(address, bytes.len())?;
        // SAFETY: as above.
        unsafe { self.machine.read(address, bytes) }
    }

    /// Runs a kernel to its end, with the address in this memory of what it is given.
    pub(super) fn launch(&self, kernel: &str, launch: Launch, args: u64) -> Result<(), Error> {
        self.check(args, 1)?;
        // SAFETY: what the kernel is given was placed in this memory by this module, the only one to launch.
        unsafe { self.machine.launch(kernel, launch, args) }
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // SAFETY: it was allocated with so many bytes, and nothing has its address any longer.
        unsafe { self.machine.release(self.address, self.bytes) };
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine that says what it has, and of which nothing may be asked beyond that.
    pub(in crate::cuda) struct Nothing {
        pub(in crate::cuda) free: u64,
    }

    impl Machine for Nothing {
        fn name(&self) -> String {
            "nothing".into()
        }

        fn free(&self) -> Result<u64, Error> {
            Ok(self.free)
        }

        fn processors(&self) -> u32 {
            4
        }

        fn resident(&self, _: &str, _: Launch) -> Result<u32, Error> {
            Ok(8)
        }

        fn allocate(&self, bytes: usize) -> Result<u64, Error> {
            panic!("{bytes} bytes")
        }

        unsafe fn release(&self, _: u64, _: usize) {}

        unsafe fn write(&self, _: u64, _: &[u8]) -> Result<(), Error> {
            panic!("nothing is allocated")
        }

        unsafe fn read(&self, _: u64, _: &mut [u8]) -> Result<(), Error> {
            panic!("nothing is allocated")
        }

        unsafe fn launch(&self, _: &str, _: Launch, _: u64) -> Result<(), Error> {
            panic!("nothing is allocated")
        }
    }

    #[test]
    fn what_lies_outside_of_the_memory_is_refused_before_the_machine_is_asked() {
        let memory = Memory {
            machine: &Nothing { free: 0 },
            address: 512,
            bytes: 64,
        };
        let one = Launch {
            fused: false,
            blocks: 1,
            threads: 32,
            shared: 0,
            cooperative: false,
        };
        for (address, bytes) in [
            (512, 65),
            (513, 64),
            (576, 1),
            (511, 1),
            (0, 64),
            (u64::MAX, 1),
        ] {
            let mut there = std::vec![0; bytes];
            assert!(memory.read(address, &mut there).is_err(), "{address}");
            assert!(memory.write(address, &there).is_err(), "{address}");
        }
        for args in [0, 511, 576, u64::MAX] {
            assert!(memory.launch("sizes", one, args).is_err(), "{args}");
        }
        assert_eq!(memory.check(512, 64), Ok(()));
        assert_eq!(memory.check(576, 0), Ok(()));
    }
}
