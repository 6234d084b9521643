//! See `programs::methods::hats`.
#![no_std]
#![no_main]

board::firmware!(methods::hats);
