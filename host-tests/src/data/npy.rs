//! The NPY files that NumPy's `save` writes, as images and labels.
//!
//! ```text
//! \x93NUMPY  version (2 bytes)  length of the header (2 bytes; 4 from version 2)  header  items
//! header     {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }
//! ```
//!
//! Refused: items of other types than ours, in Fortran order, or of a shape that is none of images or
//! labels; a header that is longer than NumPy itself would read, or is more than those three entries. A
//! vector of hyperparameters ([`numbers`]) is of f32, and of any shape.
//! It is read here and by no general parser, whose recursion and products of sizes a header could
//! overflow.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::{DataError, Items, Kind, Source};

/// What every file begins with.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that NumPy reads from a file that it does not trust.
const LONGEST: u64 = 10_000;

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
        let size = match item_size(&header.descr) {
            Some((1, false)) => 1,
            Some((size, _)) if kind == Kind::Labels => size,
            _ => {
                return Err(DataError::Type {
                    file: self.file,
                    kind,
                    expected: match kind {
                        Kind::Images => "uint8",
                        Kind::Labels => "an integer type",
                    },
                    found: header.descr,
                });
            }
        };
        if header.fortran_order {
            return Err(DataError::FortranOrder {
                file: self.file,
                kind,
            });
        }
        if header.shape.first() == Some(&0) {
            return Err(DataError::Empty {
                file: self.file,
                kind,
            });
        }
        let (Some([count, rows, columns]), Some(expected)) = (
            dimensions(kind, &header.shape),
            payload(&header.shape, size).and_then(|payload| payload.checked_add(text)),
        ) else {
            return Err(DataError::Shape {
                file: self.file,
                kind,
                expected: match kind {
                    Kind::Images => "(n, rows, columns) or (n, width)",
                    Kind::Labels => "(n,)",
                },
                found: header.shape,
            });
        };
        let bytes = self.rest(text, expected)?;
        let bytes = match kind {
            Kind::Images => bytes,
            Kind::Labels => self.labels(&header.descr, size, &bytes)?,
        };
        Ok(Items {
            file: self.file,
            count,
            rows,
            columns,
            bytes,
        })
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
        match std::str::from_utf8(&text).ok().and_then(parse) {
            Some(header) => Ok((header, 8 + word + length)),
            None => Err(self.no_npy("a header that is not of type, order and shape")),
        }
    }

    fn no_npy(&self, found: &'static str) -> DataError {
        let file = self.file.clone();
        DataError::Npy { file, found }
    }

    /// Integers of any type as the bytes that labels are.
    fn labels(&self, descr: &str, size: u64, bytes: &[u8]) -> Result<Vec<u8>, DataError> {
        let (big, signed) = (descr.starts_with('>'), descr.contains('i'));
        let items = bytes.chunks_exact(size as usize).enumerate();
        let label = |(place, item): (usize, &[u8])| {
            let digit = |sum: i128, byte: &u8| sum << 8 | i128::from(*byte);
            let mut value = match big {
                true => item.iter().fold(0, digit),
                false => item.iter().rev().fold(0, digit),
            };
            let bits = 8 * size as u32;
            if signed && value >> (bits - 1) == 1 {
                value -= 1 << bits;
            }
            u8::try_from(value).map_err(|_| DataError::Label {
                file: self.file.clone(),
                place,
                found: value,
            })
        };
        items.map(label).collect()
    }
}

/// The numbers in a file of f32, of whatever shape.
///
/// # Errors
/// A file that cannot be read, or that holds something else.
pub(crate) fn numbers(path: &Path) -> anyhow::Result<Vec<f32>> {
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
        other => {
            bail!("expected float32, found type {other:?}: save them as .astype(numpy.float32)")
        }
    };
    ensure!(
        !header.fortran_order || header.shape.len() < 2,
        "expected C order, found Fortran order: save numpy.ascontiguousarray of them"
    );
    let payload = header
        .shape
        .iter()
        .try_fold(4, |product: u64, n| product.checked_mul(*n));
    let expected = payload.and_then(|payload| payload.checked_add(text));
    let expected = expected.with_context(|| {
        let shape = &header.shape;
        format!("found shape {shape:?}: that is more than there can be")
    })?;
    let items = source.rest(text, expected)?;
    let (items, _) = items.as_chunks();
    Ok(items.iter().map(|item| of(*item)).collect())
}

/// The bytes of an integer, and whether it has a sign.
fn item_size(descr: &str) -> Option<(u64, bool)> {
    let kind = descr.strip_prefix(['<', '>', '|', '='])?;
    let (size, signed) = match kind.strip_prefix('u') {
        Some(size) => (size, false),
        None => (kind.strip_prefix('i')?, true),
    };
    match size {
        "1" => Some((1, signed)),
        "2" => Some((2, signed)),
        "4" => Some((4, signed)),
        "8" => Some((8, signed)),
        _ => None,
    }
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
                let (value, after) = quoted(value)?;
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

/// Numbers with commas between them, or after each.
fn sizes(text: &str) -> Option<Vec<u64>> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|n| n.trim().parse().ok()).collect()
}
