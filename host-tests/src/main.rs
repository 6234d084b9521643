//! The binary `drmad`: see [`drmad_host::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    match drmad_host::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drmad_host::files::warn(format_args!("drmad: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
