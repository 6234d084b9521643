//! MNIST, compiled in, and any other dataset in its format or in NumPy's.
//!
//! A dataset is four files: images and labels, for training and for testing.
//!
//! # The IDX format
//!
//! Each file begins with big-endian 32-bit words, and the bytes of its items follow
//! to the end of the file:
//!
//! | file   | magic number  | then                                 | then            |
//! |--------|---------------|--------------------------------------|-----------------|
//! | images | `0x0000_0803` | images, rows of each, columns of each | pixels, row-major |
//! | labels | `0x0000_0801` | labels                               | labels          |
//!
//! In the magic number `08` stands for unsigned bytes and the last digit for the
//! number of dimensions. Labels may be integers of another type.
//!
//! A file may be compressed: the streams of gzip, one behind the other, with zeros behind them
//! (`data/gzip.rs`).
//!
//! # The NPY format
//!
//! What NumPy's `save` writes (`data/npy.rs`):
//!
//! | file                                   | type        | shape                            |
//! |----------------------------------------|-------------|----------------------------------|
//! | `train_images.npy`, `test_images.npy`  | uint8       | (n, rows, columns) or (n, width) |
//! | `train_labels.npy`, `test_labels.npy`  | any integer | (n,), values from 0 to 255       |
//!
//! Where a width is a square number, its images are squares; otherwise they have one row.
//!
//! # What is refused
//!
//! A header is a claim, and the file is the evidence. A [`DataError`] meets every
//! file that is missing or unreadable, has another magic number, type or
//! shape, is shorter or longer than its header says, holds nothing or a label that
//! is none, or is damaged in its gzip stream; and every dataset whose files disagree on the number of items or the size of
//! an image. Sizes are computed with checked arithmetic, and memory is taken only
//! for bytes that the file has turned out to hold: no header can make the loader
//! overflow, panic or allocate.
//!
//! Nothing is converted without being asked: what a number between black and white means is not in the
//! file. A refusal of items of another type looks at all of them and names the operation that keeps the
//! picture (`data/numbers.rs`).

pub mod error;
mod gzip;
pub mod npy;
mod numbers;
mod source;

use std::{
    fmt::{self, Write as _},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use drmad::models::SparseImages;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use error::{DataError, Kind};
use source::{Items, Source};

use crate::files;

/// A training and a test split, with images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The examples to learn from.
    pub train: Split,
    /// The examples to judge by.
    pub test: Split,
}

/// A folder that images are from, and [their digest](Dataset::sha256): a run that resumes must find the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub sha256: String,
}

/// Images of one size, and a label for each.
#[derive(Clone, PartialEq, Eq)]
pub struct Split {
    /// One row of [`width`](Self::width) bytes for each image.
    pub pixels: Vec<u8>,
    /// One label for each image.
    pub labels: Vec<u8>,
    /// The height of an image, in pixels.
    pub rows: usize,
    /// The breadth of an image, in pixels.
    pub columns: usize,
    lists: OnceLock<Lists>,
}

/// The pixels that are not zero: where each image's begin, where they stand, and they themselves.
type Lists = (Vec<u32>, Vec<u16>, Vec<u8>);

/// A compiled-in file: its usual name and that of its like in NPY, its frame, and the sha256 of what
/// the frame holds.
struct Embedded {
    name: &'static str,
    npy: &'static str,
    frame: &'static [u8],
    sha256: &'static str,
}

macro_rules! embedded {
    ($name:literal, $npy:literal, $sha256:literal) => {
        Embedded {
            name: $name,
            npy: $npy,
            frame: include_bytes!(concat!("../data/", $name, ".zst")),
            sha256: $sha256,
        }
    };
}

const TRAIN_IMAGES: Embedded = embedded!(
    "train-images-idx3-ubyte",
    "train_images.npy",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
);
const TRAIN_LABELS: Embedded = embedded!(
    "train-labels-idx1-ubyte",
    "train_labels.npy",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
);
const TEST_IMAGES: Embedded = embedded!(
    "t10k-images-idx3-ubyte",
    "test_images.npy",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
);
const TEST_LABELS: Embedded = embedded!(
    "t10k-labels-idx1-ubyte",
    "test_labels.npy",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
);

impl Dataset {
    /// MNIST as published, from the harness itself: 60 000 training and 10 000
    /// test images of 28 × 28 pixels.
    ///
    /// # Errors
    ///
    /// If a compiled-in file is damaged, which its sha256 would tell.
    pub fn mnist() -> Result<Self, DataError> {
        Self::assemble(|file, kind| {
            let raw = file.unpack()?;
            Source {
                file: file.label(),
                size: raw.len() as u64,
                gzip: false,
                reader: &raw[..],
            }
            .idx(kind)
        })
    }

    /// The dataset in the four files of a directory.
    ///
    /// Where any of `train_images.npy`, `train_labels.npy`, `test_images.npy` and
    /// `test_labels.npy` is there, these four are read, whatever else lies beside them.
    ///
    /// Otherwise the files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    /// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`; a `.` may stand for
    /// the `-` before `idx`, and `.gz` may follow. Of several, the raw file goes
    /// first, then the dash. Whether a file is compressed is read from its
    /// content, since downloads are often unpacked under their old name.
    ///
    /// # Errors
    ///
    /// If anything is amiss with a file, or the files do not belong together.
    pub fn from_dir(directory: &Path) -> Result<Self, DataError> {
        let all = [&TRAIN_IMAGES, &TRAIN_LABELS, &TEST_IMAGES, &TEST_LABELS];
        if all.iter().any(|file| directory.join(file.npy).exists()) {
            return Self::assemble(|file, kind| Source::open_npy(directory, file.npy)?.npy(kind));
        }
        Self::assemble(|file, kind| Source::open(directory, file.name)?.idx(kind))
    }

    /// Writes the first so many training and test images as four raw files, which
    /// [`from_dir`](Self::from_dir) reads.
    ///
    /// # Errors
    ///
    /// What the file system refuses, with the file's name.
    pub fn write_first(&self, directory: &Path, train: usize, test: usize) -> anyhow::Result<()> {
        for (split, count, images, labels) in [
            (&self.train, train, &TRAIN_IMAGES, &TRAIN_LABELS),
            (&self.test, test, &TEST_IMAGES, &TEST_LABELS),
        ] {
            let count = count.min(split.len());
            let sizes = [count, split.rows, split.columns];
            for (file, kind, sizes, bytes) in [
                (
                    images,
                    Kind::Images,
                    &sizes[..],
                    &split.pixels[..count * split.width()],
                ),
                (labels, Kind::Labels, &sizes[..1], &split.labels[..count]),
            ] {
                let words = std::iter::once(kind.magic()).chain(sizes.iter().map(|n| *n as u32));
                let mut contents: Vec<u8> = words.flat_map(u32::to_be_bytes).collect();
                contents.extend(bytes);
                files::write(&directory.join(file.name), &contents)?;
            }
        }
        Ok(())
    }

    /// Loads the four files in turn and checks that they belong together.
    fn assemble(
        load: impl Fn(&Embedded, Kind) -> Result<Items, DataError>,
    ) -> Result<Self, DataError> {
        let split = |images, labels| {
            let images = load(images, Kind::Images)?;
            let labels = load(labels, Kind::Labels)?;
            if images.count != labels.count {
                return Err(DataError::Counts {
                    file: labels.file,
                    partner: images.file,
                    images: images.count,
                    labels: labels.count,
                });
            }
            let split = Split::new(images.bytes, labels.bytes, images.rows, images.columns);
            Ok((split, images.file))
        };
        let (train, partner) = split(&TRAIN_IMAGES, &TRAIN_LABELS)?;
        let (test, file) = split(&TEST_IMAGES, &TEST_LABELS)?;
        if (train.rows, train.columns) != (test.rows, test.columns) {
            return Err(DataError::Sizes {
                file,
                partner,
                train: (train.rows, train.columns),
                test: (test.rows, test.columns),
            });
        }
        Ok(Self { train, test })
    }

    /// The mean of all training pixels, in units of the brightest possible one.
    ///
    /// The sum is one of integers, so the order of the images has no bearing on it.
    pub fn mean_pixel(&self) -> f32 {
        let sum: u64 = self
            .train
            .pixels
            .iter()
            .map(|&pixel| u64::from(pixel))
            .sum();
        (sum as f64 / (self.train.pixels.len() as f64 * 255.0)) as f32
    }

    /// A digest of all that a result depends on: sizes, pixels and labels of both splits.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for split in [&self.train, &self.test] {
            for size in [split.len(), split.rows, split.columns] {
                digest.update((size as u64).to_le_bytes());
            }
            digest.update(&split.pixels);
            digest.update(&split.labels);
        }
        hex(&digest.finalize())
    }

    /// The number of classes: one more than the largest label of either split.
    pub fn classes(&self) -> usize {
        let labels = self.train.labels.iter().chain(&self.test.labels);
        labels.max().map_or(0, |&largest| usize::from(largest) + 1)
    }
}

impl Split {
    /// Images of `rows * columns` bytes with their labels.
    pub const fn new(pixels: Vec<u8>, labels: Vec<u8>, rows: usize, columns: usize) -> Self {
        Split {
            pixels,
            labels,
            rows,
            columns,
            lists: OnceLock::new(),
        }
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples, which is never so in a loaded dataset.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of pixels in an image.
    pub fn width(&self) -> usize {
        self.rows * self.columns
    }

    /// The images as lists of the pixels that are not zero, made when they are first asked for.
    ///
    /// # Errors
    /// Images of more than 65,536 pixels.
    pub fn lists(&self) -> Result<SparseImages<'_>, drmad::Error> {
        let width = self.width();
        let (starts, indices, bytes) = match self.lists.get() {
            Some(lists) => lists,
            None => {
                let n = SparseImages::required_len(&self.pixels);
                let (mut starts, mut indices) = (vec![0; self.len() + 1], vec![0; n]);
                let mut bytes = vec![0; n];
                SparseImages::pack(width, &self.pixels, &mut starts, &mut indices, &mut bytes)?;
                self.lists.get_or_init(|| (starts, indices, bytes))
            }
        };
        SparseImages::new(width, starts, indices, bytes)
    }
}

/// Without the millions of pixels.
impl fmt::Debug for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, columns, .. } = self;
        write!(f, "Split({} images of {rows} x {columns})", self.len())
    }
}

impl Embedded {
    fn label(&self) -> String {
        format!("embedded {}", self.name)
    }

    /// The raw file, once its digest has been found right.
    fn unpack(&self) -> Result<Vec<u8>, DataError> {
        let raw = decode(self.frame).map_err(|cause| DataError::BrokenFrame {
            file: self.label(),
            cause,
        })?;
        let found = hex(&Sha256::digest(&raw));
        if found == self.sha256 {
            Ok(raw)
        } else {
            Err(DataError::Sha256 {
                file: self.label(),
                expected: self.sha256,
                found,
            })
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn decode(frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(frame)
        .map_err(io::Error::other)?
        .read_to_end(&mut raw)?;
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_file_of_another_sha256_is_refused_with_both() {
        let error = Embedded {
            sha256: TRAIN_LABELS.sha256,
            ..TEST_LABELS
        }
        .unpack()
        .unwrap_err()
        .to_string();
        let (expected, found) = (TRAIN_LABELS.sha256, TEST_LABELS.sha256);
        assert_eq!(
            error,
            format!(
                "embedded t10k-labels-idx1-ubyte: expected sha256 {expected}, found {found}: \
                 restore host-tests/data and build again"
            )
        );
    }

    #[test]
    fn a_damaged_embedded_frame_is_refused() {
        for frame in [
            &TEST_LABELS.frame[..1000],
            &TEST_LABELS.frame[1..],
            b"version https://git-lfs",
            b"",
        ] {
            let damaged = Embedded {
                frame,
                ..TEST_LABELS
            };
            let error = damaged.unpack().unwrap_err().to_string();
            assert!(
                error.starts_with(
                    "embedded t10k-labels-idx1-ubyte: expected a whole Zstandard frame, found: "
                ) && error.ends_with(": restore host-tests/data and build again"),
                "{error}"
            );
        }
    }
}
