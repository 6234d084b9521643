//! Files written whole or not at all, lines for whoever still reads, and how far the work is.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use npyz::WriterBuilder;

/// A line on standard output.
pub fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}") {
        let code = match error.kind() {
            std::io::ErrorKind::BrokenPipe => 0,
            _ => {
                eprintln!("drmad: cannot write to standard output: {error}");
                1
            }
        };
        std::process::exit(code);
    }
}

/// Makes a folder that results will go to, before the work that they are results of.
///
/// # Errors
/// What the file system refuses, with the folder's name.
pub fn prepare(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot write to {}", folder.display()))
}

/// A folder that one run alone writes to.
#[derive(Debug)]
#[must_use = "another run may write there as soon as this is dropped"]
pub struct Owned {
    /// The lock goes with the file, and with the process, however it ends.
    _lock: Option<fs::File>,
}

/// What a file is called before it is whole.
const UNFINISHED: &str = ".unfinished-";

/// [Makes](prepare) a folder and keeps other runs out of it; what a killed one left unfinished is removed.
///
/// # Errors
/// Another run that is writing there; what the file system refuses.
pub fn own(folder: &Path) -> Result<Owned> {
    prepare(folder)?;
    let path = folder.join(".lock");
    let file = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let lock = match file.try_lock() {
        Ok(()) => Some(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "another run is writing to {}: wait for it, or give another --out",
            folder.display()
        ),
        // Some file systems of a network know no locks: there nobody is kept out.
        Err(fs::TryLockError::Error(_)) => None,
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // Whoever cannot remove it can write all the same.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(Owned { _lock: lock })
}

/// Writes a file so that whoever reads it, even after a kill, sees the old contents or the new.
///
/// # Errors
/// What the file system refuses, with the file's name.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        // A temporary file is private unless told otherwise; a report is for others to read.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The name is of the folder, which is to be on the disk, too.
        #[cfg(unix)]
        if let Ok(folder) = fs::File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes an array as `.npy`, little-endian, of this shape.
///
/// # Errors
/// What the file system refuses, with the file's name.
pub fn write_npy<T: npyz::AutoSerialize + Copy>(
    path: &Path,
    shape: &[u64],
    values: impl IntoIterator<Item = T>,
) -> Result<()> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    write(path, &bytes)
}

/// Reads a vector of f32 from `.npy`.
///
/// # Errors
/// A file that cannot be read, or that holds something else.
pub fn read_npy(path: &Path) -> Result<Vec<f32>> {
    let what = || format!("cannot read numbers from {}", path.display());
    let bytes = fs::read(path).with_context(what)?;
    let file = npyz::NpyFile::new(&bytes[..]).with_context(what)?;
    file.into_vec().with_context(what)
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
