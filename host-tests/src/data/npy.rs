//! The NPY files that NumPy's `save` writes, as images and labels.
//!
//! ```text
//! \x93NUMPY  version (2 bytes)  length of the header (2 bytes; 4 from version 2)  header  items
//! header     {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }
//! ```
//!
//! Versions 1, 2 and 3 differ in the length alone. Sizes may end in the `L` of Python 2, and items may be in
//! Fortran order, in which the first index runs fastest: they are put in C order. A vector of
//! hyperparameters ([`read`]) is of f32, and of any shape.
//!
//! Written are arrays of f32 and i64, little-endian and in C order, with headers of version 1.
//!
//! Refused: items of other types than ours, or of a shape that is none of images or labels; a header that
//! is longer than NumPy itself would read, or is more than those three entries.
//! It is read here and by no general parser, whose recursion and products of sizes a header could
//! overflow.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

use super::error::{DataError, Kind};
use super::numbers::{self, Number};
use super::source::{Items, Source};
use crate::files;

/// What every file begins with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that NumPy reads from a file that it does not trust.
const LONGEST: u64 = 10_000;

/// What an array that is written consists of.
pub trait Item: Copy {
    /// What NumPy calls it.
    const DESCR: &'static str;
    /// Appends its bytes, the lowest first.
    fn write(self, bytes: &mut Vec<u8>);
}

impl Item for f32 {
    const DESCR: &'static str = "<f4";
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

impl Item for i64 {
    const DESCR: &'static str = "<i8";
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

/// A file with these items.
///
/// ```
/// let bytes = drmad_host::data::npy::bytes(&[2], [1.0f32, 2.0]);
/// assert_eq!((bytes.len(), &bytes[1..6]), (128 + 8, &b"NUMPY"[..]));
/// ```
pub fn bytes<T: Item>(shape: &[u64], values: impl IntoIterator<Item = T>) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(|size| format!("{size},")).collect();
    let (descr, sizes) = (T::DESCR, sizes.join(" "));
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Spaces and a line's end, so that the items begin at a multiple of 64.
    let before = MAGIC.len() + 4;
    let len = (before + header.len() + 1).next_multiple_of(64) - before;
    let mut bytes = [MAGIC, &[1, 0], &(len as u16).to_le_bytes()].concat();
    bytes.extend(format!("{header:<0$}\n", len - 1).into_bytes());
    for value in values {
        value.write(&mut bytes);
    }
    bytes
}

/// Writes an array as `.npy`, little-endian, of this shape.
///
/// # Errors
/// What the file system refuses, with the file's name.
pub fn write<T: Item>(
    path: &Path,
    shape: &[u64],
    values: impl IntoIterator<Item = T>,
) -> anyhow::Result<()> {
    files::write(path, &bytes(shape, values))
}

/// Reads a vector of f32 from `.npy`.
///
/// # Errors
/// A file that cannot be read, or that holds something else.
pub fn read(path: &Path) -> anyhow::Result<Vec<f32>> {
    numbers(path).with_context(|| format!("cannot read numbers from {}", path.display()))
}

/// What a header says.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl<R: Read> Source<R> {
    /// Reads images or labels to the end of the file.
    pub(super) fn npy(mut self, kind: Kind) -> Result<Items, DataError> {
        let (header, text) = self.header()?;
        let Some(number) = Number::of_npy(&header.descr) else {
            // Of a structure as much as names it.
            let name: String = header.descr.chars().take(60).collect();
            let advice = numbers::advice(kind, &header.descr);
            return Err(self.wrong_type(kind, format!("type {name:?}"), advice));
        };
        if header.shape.first() == Some(&0) {
            return Err(DataError::Empty {
                file: self.file,
                kind,
            });
        }
        let payload = payload(&header.shape, number.size as u64);
        let whole = payload.and_then(|payload| payload.checked_add(text));
        let (Some(sizes), Some(whole)) = (dimensions(kind, &header.shape), whole) else {
            return Err(DataError::Shape {
                file: self.file,
                kind,
                expected: match kind {
                    Kind::Images => "(n, rows, columns) or (n, width)",
                    Kind::Labels => "(n,)",
                },
                advice: match (kind, &header.shape[..]) {
                    (Kind::Images, [_, _, _, ..]) => "save images.reshape(len(images), -1)",
                    (Kind::Labels, [_, 1]) => "save labels.ravel()",
                    (Kind::Labels, [_, _]) => {
                        "if each row has one at its class, save labels.argmax(axis=1)"
                    }
                    _ => "save an array of such a shape",
                },
                found: header.shape,
            });
        };
        let mut items = self.items(kind, number, sizes, (text, whole))?;
        if header.fortran_order && kind == Kind::Images {
            items.bytes = in_c_order(&items.bytes, &header.shape, number.size);
        }
        Ok(items)
    }

    /// The header, and the bytes up to its end.
    fn header(&mut self) -> Result<(Header, u64), DataError> {
        let start = self.read(8)?;
        let (magic, version) = start.split_at(start.len().min(MAGIC.len()));
        let word = match version {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            _ => 0,
        };
        if magic != MAGIC || word == 0 {
            return Err(self.no_npy("no magic number and version at its beginning"));
        }
        let length = self.read(word)?;
        if (length.len() as u64) < word {
            return Err(self.no_npy("its end before that of its header"));
        }
        let length = length
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if length > LONGEST {
            return Err(self.no_npy("a header of more than 10,000 bytes"));
        }
        let text = self.read(length)?;
        if (text.len() as u64) < length {
            return Err(self.no_npy("its end before that of its header"));
        }
        match parse(&String::from_utf8_lossy(&text)) {
            Some(header) => Ok((header, 8 + word + length)),
            None => Err(self.no_npy("a header that is not of type, order and shape")),
        }
    }

    fn no_npy(&self, found: &'static str) -> DataError {
        let file = self.file.clone();
        DataError::Npy { file, found }
    }
}

/// The numbers in a file of f32, of whatever shape.
fn numbers(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    let mut source = Source {
        file: path.display().to_string(),
        size: bytes.len() as u64,
        gzip: false,
        reader: &bytes[..],
    };
    let (header, text) = source.header()?;
    let of = match header.descr.as_str() {
        "<f4" => f32::from_le_bytes,
        ">f4" => f32::from_be_bytes,
        other => match Number::of_npy(other) {
            Some(_) => {
                bail!("expected float32, found type {other:?}: save them as .astype(numpy.float32)")
            }
            None => bail!("expected float32, found type {other:?}: save numbers of that type"),
        },
    };
    let payload = header
        .shape
        .iter()
        .try_fold(4, |product: u64, n| product.checked_mul(*n));
    let expected = payload.and_then(|payload| payload.checked_add(text));
    let expected = expected.with_context(|| {
        let shape = &header.shape;
        format!("found shape {shape:?}: that is more than there can be")
    })?;
    let mut items = source.rest(text, expected)?;
    if header.fortran_order {
        items = in_c_order(&items, &header.shape, 4);
    }
    let (items, _) = items.as_chunks();
    Ok(items.iter().map(|item| of(*item)).collect())
}

/// Items whose first index runs fastest, in the order in which their last one does.
fn in_c_order(items: &[u8], shape: &[u64], size: usize) -> Vec<u8> {
    let shape: Vec<usize> = shape.iter().map(|n| *n as usize).collect();
    let strides = shape.iter().scan(1, |stride, n| {
        let own = *stride;
        *stride *= n;
        Some(own)
    });
    let axes: Vec<(usize, usize)> = shape.iter().copied().zip(strides).collect();
    let mut index = vec![0; axes.len()];
    let (mut at, mut ordered) = (0, Vec::with_capacity(items.len()));
    while ordered.len() < items.len() {
        ordered.extend(&items[at * size..][..size]);
        for (i, (n, stride)) in index.iter_mut().zip(&axes).rev() {
            *i += 1;
            at += stride;
            if *i < *n {
                break;
            }
            at -= stride * *i;
            *i = 0;
        }
    }
    ordered
}

/// Items, rows and columns. A row of pixels is a square where it can be one.
fn dimensions(kind: Kind, shape: &[u64]) -> Option<[usize; 3]> {
    let (count, rows, columns) = match (kind, shape) {
        (Kind::Labels, [count]) => (*count, 1, 1),
        (Kind::Images, [count, rows, columns]) => (*count, *rows, *columns),
        (Kind::Images, [count, width]) => match width.isqrt() {
            side if side * side == *width => (*count, side, side),
            _ => (*count, 1, *width),
        },
        _ => return None,
    };
    // Examples are numbered in 32 bits.
    let count = u32::try_from(count).ok()? as usize;
    Some([count, rows.try_into().ok()?, columns.try_into().ok()?])
}

/// The bytes of all items, of which there must be some.
fn payload(shape: &[u64], size: u64) -> Option<u64> {
    let bytes = shape
        .iter()
        .try_fold(size, |product, n| product.checked_mul(*n))?;
    (bytes > 0 && usize::try_from(bytes).is_ok()).then_some(bytes)
}

/// The three entries of a header, in any order.
fn parse(text: &str) -> Option<Header> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let after = match key {
            "descr" => {
                let (value, after) = match value.starts_with('[') {
                    true => bracketed(value)?,
                    false => quoted(value)?,
                };
                descr = Some(value.to_owned());
                after
            }
            "fortran_order" => {
                let (after, value) = match value.strip_prefix("True") {
                    Some(after) => (after, true),
                    None => (value.strip_prefix("False")?, false),
                };
                order = Some(value);
                after
            }
            "shape" => {
                let (value, after) = value.strip_prefix('(')?.split_once(')')?;
                shape = Some(sizes(value)?);
                after
            }
            _ => return None,
        };
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(Header {
        descr: descr?,
        fortran_order: order?,
        shape: shape?,
    })
}

/// The string that a text begins with, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// The list that a text begins with, brackets and all, and what follows.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut within) = (0u32, None);
    for (i, c) in text.char_indices() {
        match (within, c) {
            (Some(quote), c) if c == quote => within = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => within = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 1 => return text.split_at_checked(i + 1),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Numbers with commas between them, or after each.
fn sizes(text: &str) -> Option<Vec<u64>> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let size = |n: &str| n.strip_suffix('L').unwrap_or(n).parse().ok();
    text.split(',').map(|n| size(n.trim())).collect()
}
