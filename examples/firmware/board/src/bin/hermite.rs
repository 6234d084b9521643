//! See `programs::methods::hermite`.
#![no_std]
#![no_main]

board::firmware!(methods::hermite);
