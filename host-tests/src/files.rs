//! Files written whole or not at all, lines for whoever still reads, and how far the work is.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use npyz::WriterBuilder;

use crate::data::npy;

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

/// Writes a file so that whoever reads it, even after a kill, sees the old contents or the new.
///
/// # Errors
/// What the file system refuses, with the file's name.
pub fn write(path: &Path, contents: &[u8]) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        // A temporary file is private unless told otherwise; a report is for others to read.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
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
    npy::numbers(path).with_context(|| format!("cannot read numbers from {}", path.display()))
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
