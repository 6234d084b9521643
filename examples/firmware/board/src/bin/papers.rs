//! See `programs::papers`.
#![no_std]
#![no_main]

board::firmware!(papers);
