//! See `programs::digits`.
#![no_std]
#![no_main]

board::firmware!(digits);
