//! Instructions, as QEMU counts them with `-icount shift=0`: one for each nanosecond of the machine's time.

/// The 32-bit timer of the MPS2 boards, 25 MHz: one tick for 40 instructions, 171 thousand million in all.
#[cfg(target_arch = "arm")]
mod timer {
    const CONTROL: *mut u32 = 0x4000_0000 as *mut u32;
    const VALUE: *mut u32 = 0x4000_0004 as *mut u32;
    const RELOAD: *mut u32 = 0x4000_0008 as *mut u32;
    const INSTRUCTIONS: u64 = 40;

    /// Starts it.
    pub(crate) fn start() -> u64 {
        // SAFETY: the registers of a timer that nobody else has.
        unsafe {
            RELOAD.write_volatile(u32::MAX);
            VALUE.write_volatile(u32::MAX);
            CONTROL.write_volatile(1);
        }
        0
    }

    /// Instructions since.
    pub(crate) fn since(_start: u64) -> u64 {
        // SAFETY: as above. It counts down.
        let left = unsafe { VALUE.read_volatile() };
        u64::from(u32::MAX - left) * INSTRUCTIONS
    }
}

/// The counter of retired instructions.
#[cfg(target_arch = "riscv32")]
mod timer {
    /// Where it stands.
    pub(crate) fn start() -> u64 {
        riscv::register::minstret::read64()
    }

    /// Instructions since.
    pub(crate) fn since(start: u64) -> u64 {
        riscv::register::minstret::read64().wrapping_sub(start)
    }
}

pub(crate) use timer::{since, start};
