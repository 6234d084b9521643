//! See `programs::methods::forward`.
#![no_std]
#![no_main]

board::firmware!(methods::forward);
