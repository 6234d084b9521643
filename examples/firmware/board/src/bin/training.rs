//! See `programs::methods::training`.
#![no_std]
#![no_main]

board::firmware!(methods::training);
