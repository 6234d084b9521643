//! See `programs::methods::legendre`.
#![no_std]
#![no_main]

board::firmware!(methods::legendre);
