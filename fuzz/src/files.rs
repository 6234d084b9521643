//! Data sets and vectors as files, in memory where the system has a folder for that.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use drmad_host::data::Dataset;
use drmad_host::data::npy;
use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

/// A folder of this process that goes with it.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder for the files")
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file in that folder");
}

const IDX: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];
const NPY: [&str; 4] = [
    "train_images.npy",
    "train_labels.npy",
    "test_images.npy",
    "test_labels.npy",
];

/// Two images of 2 x 3 pixels, and their labels.
pub(crate) const IMAGES: &[u8] =
    b"\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x03\x00\x01\x02\x03\x04\x05\x06\x00\xff\xfe\x80\x07";
pub(crate) const LABELS: &[u8] = b"\x00\x00\x08\x01\x00\x00\x00\x02\x00\x01";

fn of_npy(descr: &str, shape: &str, items: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    of_header(&header, items)
}

fn of_header(header: &str, items: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(items);
    bytes
}

/// In the other order, as Python 2 wrote it.
const FORTRAN: &str = "{'descr': '|u1', 'fortran_order': True, 'shape': (2L, 2L, 3L), }\n";
const STRUCTURE: &str =
    "{'descr': [('a', '|u1'), ('b', '<f4')], 'fortran_order': False, 'shape': (2,), }\n";

/// Four good files.
fn good(names: &[&str; 4], images: &[u8], labels: &[u8]) -> TempDir {
    let folder = folder();
    for (name, bytes) in names.iter().zip([images, labels, images, labels]) {
        put(&folder.path().join(name), bytes);
    }
    folder
}

/// Loads the folder with one of its files replaced, puts it back, and holds what was loaded to its word.
fn with(folder: &TempDir, name: &str, good: &[u8], bytes: &[u8]) {
    let path = folder.path().join(name);
    put(&path, bytes);
    let loaded = Dataset::from_dir(folder.path());
    put(&path, good);
    let Ok(data) = loaded else {
        return;
    };
    for split in [&data.train, &data.test] {
        assert!(!split.is_empty());
        assert_eq!(split.pixels.len(), split.len() * split.width());
        if let Ok(lists) = split.lists() {
            assert_eq!(lists.len(), split.len());
        }
    }
    assert_eq!(data.train.width(), data.test.width());
    assert!((1..=256).contains(&data.classes()));
    assert!((0.0..=1.0).contains(&data.mean_pixel()));
}

/// Which of the four files, and what it holds.
fn split(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((first, rest)) => (usize::from(*first) % 4, rest),
        None => (0, data),
    }
}

fn idx_file(data: &[u8], which: usize) {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| good(&IDX, IMAGES, LABELS));
    with(folder, IDX[which], [IMAGES, LABELS][which % 2], data);
}

/// One byte says which file, the others are it.
pub fn idx(data: &[u8]) {
    let (which, bytes) = split(data);
    idx_file(bytes, which);
}

/// The same packed, and then damaged where the first bytes say.
pub fn gz(data: &[u8]) {
    let (which, rest) = split(data);
    let (damage, bytes) = rest.split_at(rest.len().min(4));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(u32::from(data.len() % 2 == 1)));
    encoder.write_all(bytes).expect("memory");
    let mut packed = encoder.finish().expect("memory");
    match *damage {
        [1, at, by, _] => {
            let at = usize::from(at) % packed.len();
            packed[at] ^= by;
        }
        [2, short, _, _] => packed.truncate(packed.len().saturating_sub(usize::from(short))),
        // A stream behind the stream, rubbish, or padding.
        [3, at, _, _] => packed.extend_from_within(usize::from(at) % packed.len()..),
        [4, ..] => packed.extend(bytes),
        [5, zeros, ..] => packed.extend(vec![0; zeros.into()]),
        _ => {}
    }
    idx_file(&packed, which);
}

/// One byte says which file, the others are it.
pub fn npy(data: &[u8]) {
    static GOOD: OnceLock<(Vec<u8>, Vec<u8>, TempDir)> = OnceLock::new();
    let (images, labels, folder) = GOOD.get_or_init(|| {
        let images = of_npy("|u1", "(2, 2, 3)", &IMAGES[16..]);
        let labels = of_npy(
            "<i8",
            "(2,)",
            &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
        );
        let folder = good(&NPY, &images, &labels);
        (images, labels, folder)
    });
    let (which, bytes) = split(data);
    with(folder, NPY[which], [images, labels][which % 2], bytes);
}

/// A file of hyperparameters.
pub fn numbers(data: &[u8]) {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let path = FOLDER.get_or_init(folder).path().join("hyper.npy");
    put(&path, data);
    if let Ok(numbers) = npy::read(&path) {
        assert!(4 * numbers.len() <= data.len());
    }
}

fn behind(start: &[u8], rest: &[u8]) -> Vec<u8> {
    [start, rest].concat()
}

pub(crate) fn idx_seeds() -> Vec<Vec<u8>> {
    vec![behind(&[0], IMAGES), behind(&[1], LABELS)]
}

pub(crate) fn gz_seeds() -> Vec<Vec<u8>> {
    let damages = [
        [0; 4],
        [1, 12, 4, 0],
        [2, 3, 0, 0],
        [3, 0, 0, 0],
        [4, 0, 0, 0],
        [5, 9, 0, 0],
    ];
    let of = |damage: &[u8; 4]| behind(&[0], &behind(damage, IMAGES));
    damages.iter().map(of).collect()
}

pub(crate) fn npy_seeds() -> Vec<Vec<u8>> {
    vec![
        behind(&[0], &of_npy("|u1", "(2, 2, 3)", &IMAGES[16..])),
        behind(&[0], &of_npy("|u1", "(2, 6)", &IMAGES[16..])),
        behind(&[1], &of_npy(">i2", "(2,)", &[0, 1, 0, 2])),
        behind(&[0], &of_header(FORTRAN, &IMAGES[16..])),
        behind(&[1], &of_header(STRUCTURE, &[0; 10])),
        behind(&[0], &of_npy("<f2", "(2, 2, 3)", &[60; 24])),
        behind(&[1], &of_npy("<f8", "(2,)", &[1; 16])),
        behind(&[1], &of_npy("<u4", "(2,)", &[1, 0, 0, 0, 2, 0, 0, 0])),
    ]
}

pub(crate) fn numbers_seeds() -> Vec<Vec<u8>> {
    vec![
        of_npy("<f4", "(2,)", &[0, 0, 128, 63, 0, 0, 0, 64]),
        of_npy("<f8", "(1,)", &[0; 8]),
        of_header(&FORTRAN.replace("|u1", "<f4"), &[0; 48]),
        of_npy("|S5", "(2, 1)", &[0; 10]),
    ]
}
