//! Reads where there is no memory, so that a script can see it end with an exit code that is not 0.
#![no_std]
#![no_main]

#[board::entry]
fn main() -> ! {
    let nowhere = core::hint::black_box(0xE800_0000_usize) as *const u32;
    // SAFETY: there is nothing, and the processor says so.
    let _ = unsafe { nowhere.read_volatile() };
    board::semihosting::process::exit(0)
}
