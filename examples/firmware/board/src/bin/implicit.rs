//! See `programs::methods::implicit`.
#![no_std]
#![no_main]

board::firmware!(methods::implicit);
