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

mod gzip;
pub mod npy;
mod numbers;

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use drmad::models::SparseImages;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use numbers::{Number, Seen};

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
        numbers::NUMBERED
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
                crate::files::write(&directory.join(file.name), &contents)?;
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

impl Kind {
    const fn magic(self) -> u32 {
        match self {
            Self::Images => 0x0803,
            Self::Labels => 0x0801,
        }
    }

    /// The bytes of the header: the magic number and a word for each dimension.
    const fn header(self) -> usize {
        match self {
            Self::Images => 16,
            Self::Labels => 8,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Images => "images",
            Self::Labels => "labels",
        })
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

/// The items of a file that has passed; a label counts as one pixel.
struct Items {
    file: String,
    count: usize,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

/// A file being read.
struct Source<R> {
    file: String,
    /// The bytes it takes up, compressed or not.
    size: u64,
    gzip: bool,
    reader: R,
}

impl Source<Box<dyn Read>> {
    fn open(directory: &Path, name: &'static str) -> Result<Self, DataError> {
        let dotted = name.replace("-idx", ".idx");
        for candidate in [
            name,
            &dotted,
            &format!("{name}.gz"),
            &format!("{dotted}.gz"),
        ] {
            let path = directory.join(candidate);
            let file = path.display().to_string();
            match Self::start(&path) {
                Ok((size, gzip, reader)) => {
                    return Ok(Self {
                        file,
                        size,
                        gzip,
                        reader,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(DataError::Unreadable { file, cause }),
            }
        }
        Err(DataError::Missing {
            directory: directory.display().to_string(),
            name,
        })
    }

    fn open_npy(directory: &Path, name: &'static str) -> Result<Self, DataError> {
        let path = directory.join(name);
        let file = path.display().to_string();
        let attempt = File::open(&path).and_then(|open| {
            let size = open.metadata()?.len();
            Ok((size, BufReader::new(open)))
        });
        match attempt {
            Ok((size, reader)) => Ok(Self {
                file,
                size,
                gzip: false,
                reader: Box::new(reader),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataError::MissingNpy {
                directory: directory.display().to_string(),
                name,
            }),
            Err(cause) => Err(DataError::Unreadable { file, cause }),
        }
    }

    fn start(path: &Path) -> io::Result<(u64, bool, Box<dyn Read>)> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut reader = BufReader::new(file);
        let gzip = reader.fill_buf()?.starts_with(&gzip::MAGIC);
        Ok(if gzip {
            (size, gzip, Box::new(gzip::Members::new(reader)))
        } else {
            (size, gzip, Box::new(reader))
        })
    }
}

impl<R: Read> Source<R> {
    fn idx(mut self, kind: Kind) -> Result<Items, DataError> {
        let header = self.read(kind.header() as u64)?;
        let mut words = header
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        // Before the length, which another kind of file may not reach.
        let found = words.next().unwrap_or(kind.magic());
        let [.., code, _] = found.to_be_bytes();
        // The type, which this byte names, may be another.
        let likes = found & !0xff00 == kind.magic() & !0xff00;
        let Some(number) = Number::of_idx(code).filter(|_| likes) else {
            return Err(DataError::Magic {
                file: self.file,
                kind,
                expected: kind.magic(),
                found,
            });
        };
        if header.len() < kind.header() {
            return Err(DataError::Truncated {
                file: self.file,
                expected: kind.header() as u64,
                found: header.len() as u64,
            });
        }
        // The dimensions that labels lack are ones.
        let mut word = || words.next().unwrap_or(1);
        let (count, rows, columns) = (word(), word(), word());
        if count == 0 {
            return Err(DataError::Empty {
                file: self.file,
                kind,
            });
        }
        let sizes = [count, rows, columns];
        let whole = sizes
            .iter()
            .try_fold(number.size as u64, |product, &size| {
                product.checked_mul(u64::from(size))
            })
            .filter(|&payload| payload > 0)
            .and_then(|payload| payload.checked_add(header.len() as u64))
            .filter(|&whole| usize::try_from(whole).is_ok());
        let Some(whole) = whole else {
            return Err(DataError::Dimensions {
                file: self.file,
                count,
                rows,
                columns,
            });
        };
        let sizes = sizes.map(|size| size as usize);
        self.items(kind, number, sizes, (header.len() as u64, whole))
    }

    /// The items behind the first `read` bytes of a file that has `whole`.
    fn items(
        mut self,
        kind: Kind,
        number: Number,
        [count, rows, columns]: [usize; 3],
        (read, whole): (u64, u64),
    ) -> Result<Items, DataError> {
        if !number.is_of(kind) {
            let seen = self.survey(number, read, whole)?;
            return Err(self.wrong_type(kind, seen.found(), seen.advice(kind)));
        }
        let bytes = self.rest(read, whole)?;
        let label = |(place, item): (usize, &[u8])| {
            let found = number.integer(item);
            u8::try_from(found).map_err(|_| DataError::Label {
                file: self.file.clone(),
                place,
                found,
            })
        };
        let bytes = match kind {
            Kind::Images => bytes,
            Kind::Labels => {
                let items = bytes.chunks_exact(number.size).enumerate();
                items.map(label).collect::<Result<_, _>>()?
            }
        };
        Ok(Items {
            file: self.file,
            count,
            rows,
            columns,
            bytes,
        })
    }

    /// Looks at all items behind the first `read` bytes of a file that has `whole`.
    fn survey(&mut self, number: Number, read: u64, whole: u64) -> Result<Seen, DataError> {
        let (mut seen, mut at) = (Seen::new(number), read);
        while at < whole {
            let wanted = (whole - at).min(numbers::PIECE);
            let bytes = self.read(wanted)?;
            seen.see(&bytes);
            at += bytes.len() as u64;
            if (bytes.len() as u64) < wanted {
                break;
            }
        }
        self.end(at, whole)?;
        Ok(seen)
    }

    fn wrong_type(&self, kind: Kind, found: String, advice: String) -> DataError {
        DataError::Type {
            file: self.file.clone(),
            kind,
            expected: match kind {
                Kind::Images => "uint8",
                Kind::Labels => "an integer type",
            },
            found,
            advice,
        }
    }

    /// What follows the first `read` bytes of a file that has `expected`, and then ends.
    fn rest(&mut self, read: u64, expected: u64) -> Result<Vec<u8>, DataError> {
        let bytes = self.read(expected - read)?;
        self.end(read + bytes.len() as u64, expected)?;
        Ok(bytes)
    }

    /// Refuses a file that does not end after the `expected` bytes, of which `found` were read.
    fn end(&mut self, found: u64, expected: u64) -> Result<(), DataError> {
        if found < expected {
            return Err(DataError::Truncated {
                file: self.file.clone(),
                expected,
                found,
            });
        }
        // Reading on to the end also has the decoder check the sum of a gzip stream.
        let rest = io::copy(&mut self.reader, &mut io::sink()).map_err(|e| self.failure(e))?;
        if rest > 0 {
            return Err(DataError::Oversized {
                file: self.file.clone(),
                expected,
                found: found.saturating_add(rest),
            });
        }
        Ok(())
    }

    /// Up to `wanted` bytes, fewer only at the end of the file.
    ///
    /// `wanted` may come from a header, so it reserves no more than the file takes
    /// up; a compressed file earns the rest as it unfolds.
    fn read(&mut self, wanted: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let room = usize::try_from(wanted.min(self.size)).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(room)
            .map_err(io::Error::from)
            .and_then(|()| self.reader.by_ref().take(wanted).read_to_end(&mut bytes))
            .map_err(|error| self.failure(error))?;
        Ok(bytes)
    }

    /// The decoder's complaints are about the content, all others about the file.
    fn failure(&self, cause: io::Error) -> DataError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let file = self.file.clone();
        match cause.kind() {
            InvalidData | InvalidInput | UnexpectedEof if self.gzip => {
                DataError::BrokenGzip { file, cause }
            }
            _ => DataError::Unreadable { file, cause },
        }
    }
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
