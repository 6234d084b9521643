//! Control-C.
//!
//! Files are written whole or not at all, and what a run knows after each of its steps, so that an interrupt
//! needs no more than a kill does: the step that is underway is abandoned, one line on standard error says
//! how to go on, and the process ends with exit code 1. The same holds where another process asks for the
//! end (SIGTERM).
//!
//! A second Control-C ends the process there and then, whatever has become of that line.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How long an interrupt waits until it is seen, at most.
const NAP: Duration = Duration::from_millis(50);

/// What is said before the process ends.
static WORDS: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

/// Ends the process at the first interrupt, once this has said its words; where it is watched already, these
/// words take the place of the others.
///
/// # Errors
/// A system that takes no handler, or has no room for a thread.
pub fn watch(say: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let words = || WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if words().replace(Box::new(say)).is_some() {
        return Ok(());
    }
    let seen = Arc::new(AtomicBool::new(false));
    // In this order: only the second finds the flag set. Who asks for the end, as MPI does, may ask twice at once.
    flag::register_conditional_shutdown(SIGINT, 1, Arc::clone(&seen))?;
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&seen))?;
    }
    let wait = move || {
        while !seen.load(Ordering::SeqCst) {
            thread::sleep(NAP);
        }
        if io::stderr().is_terminal() {
            // Below a bar that may stand there.
            warn!("");
        }
        let said = words().take();
        if let Some(say) = said {
            say();
        }
        std::process::exit(1);
    };
    thread::Builder::new().spawn(wait).map(drop)
}

/// Says how `command` goes on from what it left in this place, if it can do that and has left anything.
pub fn say(state: Option<&Path>, command: &[String]) {
    match state.filter(|state| state.exists()) {
        Some(state) => warn!(
            "drmad: interrupted: what is done is in {}; go on with `{}`",
            state.display(),
            command.join(" ")
        ),
        None => warn!("drmad: interrupted: nothing is kept of what was done; run it again"),
    }
}

/// A word as a shell reads it back.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
