//! See `programs::methods::line`.
#![no_std]
#![no_main]

board::firmware!(methods::line);
