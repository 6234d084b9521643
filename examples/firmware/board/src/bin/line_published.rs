//! See `programs::methods::line_published`.
#![no_std]
#![no_main]

board::firmware!(methods::line_published);
