//! See `programs::methods::neumann`.
#![no_std]
#![no_main]

board::firmware!(methods::neumann);
