//! See `programs::methods::direct`.
#![no_std]
#![no_main]

board::firmware!(methods::direct);
