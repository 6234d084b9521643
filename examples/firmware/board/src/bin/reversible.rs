//! See `programs::methods::reversible`.
#![no_std]
#![no_main]

board::firmware!(methods::reversible);
