//! What may be wrong with a dataset: each message names the file, what was expected, what was found and what to do.

use std::{fmt, io};

/// Labels of any kind as numbers from 0. Training and test labels go by the same numbers.
pub(super) const NUMBERED: &str =
    "numpy.searchsorted(numpy.unique([*train_labels, *test_labels]), labels)";

/// Why a dataset could not be loaded.
///
/// Each message names the file, what was expected, what was found and what to
/// do. The cause, if there is one, is part of the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// None of the names that a file may have is there.
    #[error(
        "{directory}: expected a file `{name}`, raw or with `.gz`, and found none: \
         give the directory that holds the four IDX or NPY files"
    )]
    Missing {
        /// The directory searched.
        directory: String,
        /// The usual name of the file.
        name: &'static str,
    },
    /// Some of the four NPY files are there, and one is not.
    #[error(
        "{directory}: expected a file `{name}` beside the other NPY files, and found none: \
         save all four, or take the others away to have IDX files read"
    )]
    MissingNpy {
        /// The directory searched.
        directory: String,
        /// The name of the file.
        name: &'static str,
    },
    /// The system would not open or read the file, or hold its bytes in memory.
    #[error(
        "{file}: expected a readable file, found: {cause}: check what it is and who may read it"
    )]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The compressed stream is damaged.
    #[error("{file}: expected a whole gzip stream, found: {cause}: fetch the file again")]
    BrokenGzip {
        /// The file.
        file: String,
        /// What the decoder said.
        cause: io::Error,
    },
    /// The compiled-in file does not decode.
    #[error(
        "{file}: expected a whole Zstandard frame, found: {cause}: \
         restore host-tests/data and build again"
    )]
    BrokenFrame {
        /// The file.
        file: String,
        /// What the decoder said.
        cause: io::Error,
    },
    /// The compiled-in file is not the published one.
    #[error(
        "{file}: expected sha256 {expected}, found {found}: restore host-tests/data and build again"
    )]
    Sha256 {
        /// The file.
        file: String,
        /// The published digest.
        expected: &'static str,
        /// The digest of the bytes at hand.
        found: String,
    },
    /// The file is of another kind.
    #[error(
        "{file}: expected the magic number {expected:#010x} of IDX {kind}, found {found:#010x}: \
         put the file of {kind} under this name"
    )]
    Magic {
        /// The file.
        file: String,
        /// `images` or `labels`.
        kind: Kind,
        /// The magic number of that kind.
        expected: u32,
        /// The first four bytes of the file.
        found: u32,
    },
    /// The file ends too early.
    #[error("{file}: expected {expected} bytes, found {found}: truncated, fetch the file again")]
    Truncated {
        /// The file.
        file: String,
        /// The bytes that the header asks for, itself included.
        expected: u64,
        /// The bytes there are.
        found: u64,
    },
    /// The file goes on for too long.
    #[error(
        "{file}: expected {expected} bytes, found {found}: \
         the end does not belong to it, fetch the file again"
    )]
    Oversized {
        /// The file.
        file: String,
        /// The bytes that the header asks for, itself included.
        expected: u64,
        /// The bytes there are.
        found: u64,
    },
    /// The header describes images without pixels, or more bytes than there can be.
    #[error(
        "{file}: expected images that fit in memory, \
         found a header of {count} images of {rows} x {columns} pixels: fetch the file again"
    )]
    Dimensions {
        /// The file.
        file: String,
        /// The number of images.
        count: u32,
        /// The height of each.
        rows: u32,
        /// The breadth of each.
        columns: u32,
    },
    /// The file is not NPY, or no such file as NumPy would read.
    #[error("{file}: expected an NPY file, found {found}: write it with numpy.save")]
    Npy {
        /// The file.
        file: String,
        /// Where it departs from the format.
        found: &'static str,
    },
    /// The items are of another type.
    #[error("{file}: expected {kind} of {expected}, found {found}: {advice}")]
    Type {
        /// The file.
        file: String,
        /// `images` or `labels`.
        kind: Kind,
        /// The types there may be.
        expected: &'static str,
        /// The type as the header has it, and what the items are like.
        found: String,
        /// How to save what they show.
        advice: String,
    },
    /// The array has other dimensions, or more items than there can be.
    #[error(
        "{file}: expected {kind} of shape {expected} that fit in memory, \
         found shape {found:?}: {advice}"
    )]
    Shape {
        /// The file.
        file: String,
        /// `images` or `labels`.
        kind: Kind,
        /// The shapes there may be.
        expected: &'static str,
        /// The shape in the header.
        found: Vec<u64>,
        /// How to save what it holds.
        advice: &'static str,
    },
    /// A label is no byte.
    #[error(
        "{file}: expected labels from 0 to 255, found {found} at position {place}: \
         save {}",
        NUMBERED
    )]
    Label {
        /// The file.
        file: String,
        /// Which of them it is.
        place: usize,
        /// Its value.
        found: i128,
    },
    /// The file is in order and holds nothing.
    #[error("{file}: expected at least one of its {kind}, found none: use a dataset with examples")]
    Empty {
        /// The file.
        file: String,
        /// `images` or `labels`.
        kind: Kind,
    },
    /// Images and labels do not pair up.
    #[error(
        "{file}: expected {images} labels, one for each image of {partner}, found {labels}: \
         take both files from the same dataset"
    )]
    Counts {
        /// The file of labels.
        file: String,
        /// The file of images.
        partner: String,
        /// How many images there are.
        images: usize,
        /// How many labels there are.
        labels: usize,
    },
    /// The two splits have images of different sizes.
    #[error(
        "{file}: expected test images of {} x {} pixels, as in {partner}, found {} x {}: \
         take all four files from the same dataset", train.0, train.1, test.0, test.1
    )]
    Sizes {
        /// The file of test images.
        file: String,
        /// The file of training images.
        partner: String,
        /// Rows and columns of a training image.
        train: (usize, usize),
        /// Rows and columns of a test image.
        test: (usize, usize),
    },
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Images: three dimensions.
    Images,
    /// Labels: one dimension.
    Labels,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Images => "images",
            Self::Labels => "labels",
        })
    }
}
