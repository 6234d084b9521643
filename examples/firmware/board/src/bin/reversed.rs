//! See `programs::methods::reversed`.
#![no_std]
#![no_main]

board::firmware!(methods::reversed);
