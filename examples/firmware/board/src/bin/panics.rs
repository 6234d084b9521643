//! Panics, so that a script can see it end with an exit code that is not 0.
#![no_std]
#![no_main]

#[board::entry]
fn main() -> ! {
    panic!("on purpose")
}
