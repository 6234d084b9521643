//! See `programs::methods::checkpoints`.
#![no_std]
#![no_main]

board::firmware!(methods::checkpoints);
