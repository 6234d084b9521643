//! See `programs::drift`.
#![no_std]
#![no_main]

board::firmware!(drift);
