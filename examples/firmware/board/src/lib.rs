//! What the programs need of a board: a log, a stack whose depth is measured, a counter of instructions,
//! and an end that QEMU reports as its exit code: 0 where the program's result is right, 1 where it is
//! not, where it panics and where it faults.
//!
//! The log is [`defmt`]'s, over semihosting: strings stay in the ELF file, and `defmt-print` puts them
//! together again on the host.
#![no_std]
#![allow(unsafe_code)]

use core::panic::PanicInfo;

use defmt::{error, info};
use programs::{Failure, Report};
use semihosting::process::exit;

// Linked for what they export: the logger, and critical sections for it.
#[cfg(target_arch = "arm")]
use cortex_m as _;
use defmt_semihosting as _;
#[cfg(target_arch = "riscv32")]
use riscv as _;

mod counter;
mod stack;

pub use semihosting;
pub use static_cell::ConstStaticCell;

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;

/// A firmware of one of the programs: its memory in a static, its result in the log and the exit code.
#[macro_export]
macro_rules! firmware {
    ($($program:ident)::+) => {
        #[$crate::entry]
        fn main() -> ! {
            use programs::$($program)::+::{Memory, run};
            static MEMORY: $crate::ConstStaticCell<Memory> =
                $crate::ConstStaticCell::new(Memory::new());
            $crate::conclude(stringify!($($program)::+), || run(MEMORY.take()))
        }
    };
}

/// Runs a program and ends the machine with what came of it.
pub fn conclude(name: &str, program: impl FnOnce() -> Result<Report, Failure>) -> ! {
    stack::paint();
    let start = counter::start();
    let result = program();
    let instructions = counter::since(start);
    match result {
        Ok(report) => {
            info!("losses {=[?]}", &report.losses[..]);
            let (before, after) = (report.before, report.after);
            info!(
                "valid_loss {=f32} {=f32}",
                before.valid_loss, after.valid_loss
            );
            info!(
                "test_error {=f32} {=f32}",
                before.test_error, after.test_error
            );
            info!("hash {=u64:016x}", report.hash);
        }
        Err(Failure::NoBetter { what, most, got }) => {
            error!(
                "{=str}: {=str} is {=f32}, to be at most {=f32}",
                name, what, got, most
            );
            exit(1);
        }
        Err(Failure::Refused(error)) => {
            error!("{=str}: {}", name, error);
            exit(1);
        }
    }
    info!("instructions {=u64}", instructions);
    match stack::deepest() {
        Some(bytes) => info!("stack {=usize}", bytes),
        None => {
            error!("{=str}: the stack has grown into the statics", name);
            exit(1);
        }
    }
    exit(0)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => error!("panic"),
    }
    exit(1)
}

/// A fault is an end, not a loop.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn HardFault(_frame: &cortex_m_rt::ExceptionFrame) -> ! {
    exit(1)
}

/// A fault is an end, not a loop.
#[cfg(target_arch = "riscv32")]
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn fault(_frame: &mut riscv_rt::TrapFrame) {
    exit(1)
}
