//! The harness: its files, its experiments and their pages, the program as its users meet it, devices,
//! servers, kills.

#[path = "../../../tests/common/mod.rs"]
mod common;
#[path = "../../../tests/emulated/mod.rs"]
mod emulated;

use drmad_host::tolerances;

mod chaos;
mod cleaning;
mod cli;
mod clients;
mod completions;
mod cuda;
mod data;
mod documents;
#[cfg(target_os = "linux")]
mod drivers;
mod errors;
mod experiments;
mod experiments_page;
mod frontier_page;
mod kills;
mod mnist;
mod multitask;
mod precision;
mod report;
mod rtho;
mod scaling;
mod server;
mod settings;

use std::process::{Command, Stdio};

/// The program.
fn drmad() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drmad"));
    command.stdin(Stdio::null());
    command
}
