//! See `programs::methods::forward_mode`.
#![no_std]
#![no_main]

board::firmware!(methods::forward_mode);
