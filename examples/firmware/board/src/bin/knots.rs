//! See `programs::methods::knots`.
#![no_std]
#![no_main]

board::firmware!(methods::knots);
