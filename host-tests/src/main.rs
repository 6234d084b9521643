//! The binary `drmad`: see [`drmad_host::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    match drmad_host::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drmad: {error:#}");
            ExitCode::FAILURE
        }
    }
}
