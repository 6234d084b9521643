//! How deep the stack has been: what lies under it is painted, and what is still painted afterwards was
//! never used.

use core::arch::asm;
use core::ptr::addr_of;

#[cfg(target_arch = "arm")]
use cortex_m_rt::heap_start as end_of_statics;
#[cfg(target_arch = "riscv32")]
use riscv_rt::heap_start as end_of_statics;

const PAINT: u32 = 0x5AFE_57AC;
/// Left alone below the stack pointer: what the painting itself may use.
const MARGIN: usize = 512;

unsafe extern "C" {
    /// Where the stack begins, from the linker; it grows down.
    static _stack_start: u32;
}

fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack));
        #[cfg(target_arch = "riscv32")]
        asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack));
    }
    pointer
}

/// Paints all between the statics and the stack.
pub(crate) fn paint() {
    let (mut at, end) = (end_of_statics().cast::<u32>(), pointer() - MARGIN);
    while (at as usize) < end {
        // SAFETY: from the end of the statics to well below the stack pointer nothing else lives.
        unsafe {
            at.write_volatile(PAINT);
            at = at.add(1);
        }
    }
}

/// The most bytes that the stack has taken since; nothing where it has used up all that was painted.
pub(crate) fn deepest() -> Option<usize> {
    let (first, top) = (
        end_of_statics().cast::<u32>(),
        addr_of!(_stack_start) as usize,
    );
    let mut at = first;
    // SAFETY: as in `paint`; only reads.
    while (at as usize) < top && unsafe { at.read_volatile() } == PAINT {
        at = unsafe { at.add(1) };
    }
    (at != first).then_some(top - at as usize)
}
