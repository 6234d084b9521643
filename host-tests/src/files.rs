//! Files written whole or not at all, folders that one run has for itself, lines for whoever still reads,
//! and how far the work is.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// What standard output said when it took no more.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

/// A line on standard output, as long as that takes any.
pub fn say(line: fmt::Arguments<'_>) {
    if REFUSED.get().is_none()
        && let Err(error) = writeln!(io::stdout().lock(), "{line}")
    {
        // The work goes on: its results go to files.
        let _ = REFUSED.set(error);
    }
}

/// Whether all that was [said](fn@say) was taken. A pipe whose reader has seen enough took all that was wanted.
///
/// # Errors
/// A full disk, or whatever else it was.
pub fn all_said() -> Result<()> {
    match REFUSED.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            bail!("cannot write to standard output: {error}")
        }
        _ => Ok(()),
    }
}

/// A line on standard error, if that takes it.
pub fn warn(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The file by which a folder is claimed. It is left behind: who deletes it could delete another's claim.
const LOCK: &str = ".lock";

/// A folder that no other run writes to for as long as this lives. The system takes the claim back when
/// the process ends, however it ends.
#[must_use]
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

/// Makes a folder that results will go to, and claims it, before the work that they are results of.
///
/// Where a file system knows no locks there is no claim.
///
/// # Errors
/// What the file system refuses, with the folder's name; another run that has claimed it.
pub fn claim(folder: &Path) -> Result<Claim> {
    let attempt = || -> io::Result<File> {
        fs::create_dir_all(folder)?;
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        options.open(folder.join(LOCK))
    };
    let refused = |error: io::Error| {
        let advice = advice(&error);
        anyhow::Error::new(error).context(format!("cannot write to {}{advice}", folder.display()))
    };
    let lock = attempt().map_err(refused)?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => bail!(
            "another run writes to {}: wait for its end, or give another folder",
            folder.display()
        ),
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
            Err(refused(error))
        }
        _ => Ok(Claim { _lock: lock }),
    }
}

/// What to do about what the file system says, where there is something.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            " (make room there and run it again; what was written before is whole)"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            " (give a folder that may be written)"
        }
        _ => "",
    }
}

/// Writes a file so that whoever reads it, even after a kill or a loss of power, sees the old contents or
/// the new.
///
/// The new contents are written beside it under a name of its own, so that what a kill leaves there is
/// overwritten by the next attempt.
///
/// # Errors
/// What the file system refuses, with the file's name; then the old contents are still there.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut part = OsString::from(".");
    part.push(path.file_name().unwrap_or_default());
    part.push(".part");
    let part = folder.join(part);
    let attempt = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // Made anew, so that a link that somebody put there is not followed.
        if let Err(error) = fs::remove_file(&part)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = File::create_new(&part)?;
        file.write_all(contents)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&part, path)?;
        sync(folder)
    };
    attempt().map_err(|error| {
        // What is half written would take room that the next attempt needs.
        let _ = fs::remove_file(&part);
        let advice = advice(&error);
        anyhow::Error::new(error).context(format!("cannot write {}{advice}", path.display()))
    })
}

/// Removes a file, if it is there.
///
/// # Errors
/// What the file system refuses, with the file's name.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Lets the names in a folder survive a loss of power, where the system can do that.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        // Some file systems have nothing to do there, and say so.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// A bar of `len` parts, with the time gone and the time left; seen on a terminal alone.
pub fn progress(len: usize) -> ProgressBar {
    let bar = ProgressBar::new(len as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {percent:>3}% {elapsed} gone, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}
