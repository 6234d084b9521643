//! See `programs::methods::tape`.
#![no_std]
#![no_main]

board::firmware!(methods::tape);
