//! Numbers of every type that files hold, and how to save those that are neither pixels nor labels so that
//! they show the same.
//!
//! What a number means is not in the file: a pixel of .5 is grey where white is 1 and black where it is
//! 255. So what is found decides what is advised, over all items of the file:
//!
//! | images                          | operation |
//! |---------------------------------|-----------|
//! | from 0 to 1, or booleans        | times 255, rounded |
//! | whole numbers from 0 to 255     | another type |
//! | from 0 to 255                   | rounded, if that is their scale |
//! | from 0 to more                  | times 255 by the greatest, rounded, if that is white |
//! | from below 0                    | the least to 0 and the greatest to 255, rounded, if these are black and white |
//! | with some that are not finite   | none, before these are replaced |
//!
//! Labels that are whole numbers from 0 to 255 get another type; all others a number for each class.
//!
//! Cost: one pass over the file, in pieces of [`PIECE`] bytes.

use super::error::{Kind, NUMBERED};

/// The bytes that are looked at together: whole items of any size.
pub(super) const PIECE: u64 = 1 << 16;

/// What sort of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Bool,
    Unsigned,
    Signed,
    Float,
}

/// How a number is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    sort: Sort,
    /// Its bytes.
    pub(super) size: usize,
    /// Whether the first of them is the most significant.
    big: bool,
}

impl Number {
    /// That of a type in an NPY header.
    pub(super) fn of_npy(descr: &str) -> Option<Self> {
        let (order, kind) = descr.split_at_checked(1)?;
        let big = match order {
            "<" | "|" => false,
            ">" => true,
            "=" => cfg!(target_endian = "big"),
            _ => return None,
        };
        let (sort, size) = kind.split_at_checked(1)?;
        let (sort, size) = match (sort, size) {
            ("b", "1") => (Sort::Bool, 1),
            ("u", "1" | "2" | "4" | "8") => (Sort::Unsigned, size.parse().ok()?),
            ("i", "1" | "2" | "4" | "8") => (Sort::Signed, size.parse().ok()?),
            ("f", "2" | "4" | "8") => (Sort::Float, size.parse().ok()?),
            _ => return None,
        };
        Some(Number { sort, size, big })
    }

    /// That of the third byte of an IDX file.
    pub(super) const fn of_idx(code: u8) -> Option<Self> {
        let (sort, size) = match code {
            0x08 => (Sort::Unsigned, 1),
            0x09 => (Sort::Signed, 1),
            0x0b => (Sort::Signed, 2),
            0x0c => (Sort::Signed, 4),
            0x0d => (Sort::Float, 4),
            0x0e => (Sort::Float, 8),
            _ => return None,
        };
        Some(Number {
            sort,
            size,
            big: true,
        })
    }

    /// Whether images or labels are of this type.
    pub(super) const fn is_of(self, kind: Kind) -> bool {
        match kind {
            Kind::Images => matches!(self.sort, Sort::Unsigned) && self.size == 1,
            Kind::Labels => matches!(self.sort, Sort::Unsigned | Sort::Signed),
        }
    }

    /// Its name in NumPy.
    fn name(self) -> String {
        let bits = 8 * self.size;
        match self.sort {
            Sort::Bool => "bool".to_string(),
            Sort::Unsigned => format!("uint{bits}"),
            Sort::Signed => format!("int{bits}"),
            Sort::Float => format!("float{bits}"),
        }
    }

    /// Its bits.
    fn bits(self, item: &[u8]) -> u64 {
        let digit = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match self.big {
            true => item.iter().fold(0, digit),
            false => item.iter().rev().fold(0, digit),
        }
    }

    /// The value of an integer.
    pub(super) fn integer(self, item: &[u8]) -> i128 {
        let (bits, all) = (i128::from(self.bits(item)), 8 * self.size);
        match self.sort {
            Sort::Signed if bits >> (all - 1) == 1 => bits - (1 << all),
            _ => bits,
        }
    }

    fn value(self, item: &[u8]) -> f64 {
        let bits = self.bits(item);
        match (self.sort, self.size) {
            (Sort::Float, 2) => half(bits as u16),
            (Sort::Float, 4) => f64::from(f32::from_bits(bits as u32)),
            (Sort::Float, _) => f64::from_bits(bits),
            _ => self.integer(item) as f64,
        }
    }
}

/// A half precision number.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let size = match bits >> 10 & 0x1f {
        0 => fraction * 2f64.powi(-14),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1.0 + fraction) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// What the items of a file are like.
#[derive(Debug)]
pub(super) struct Seen {
    number: Number,
    /// The least and the greatest of those that are finite.
    least: f64,
    greatest: f64,
    /// How many are not.
    not_finite: u64,
    /// Whether those that are finite are whole numbers.
    whole: bool,
}

impl Seen {
    pub(super) const fn new(number: Number) -> Self {
        Seen {
            number,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
            not_finite: 0,
            whole: true,
        }
    }

    /// Looks at some more of them.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        for item in bytes.chunks_exact(self.number.size) {
            let value = self.number.value(item);
            if value.is_finite() {
                self.least = self.least.min(value);
                self.greatest = self.greatest.max(value);
                self.whole &= value.fract() == 0.0;
            } else {
                self.not_finite += 1;
            }
        }
    }

    fn is_within(&self, greatest: f64) -> bool {
        0.0 <= self.least && self.greatest <= greatest
    }

    /// Them in words.
    pub(super) fn found(&self) -> String {
        let (name, least, greatest) = (self.number.name(), self.least, self.greatest);
        match self.not_finite {
            0 => format!("{name} from {least} to {greatest}"),
            n => format!("{name}, {n} of them not finite"),
        }
    }

    /// How to save what they show.
    pub(super) fn advice(&self, kind: Kind) -> String {
        if self.not_finite > 0 {
            return match kind {
                Kind::Images => "put pixels in their place before anything else".to_string(),
                Kind::Labels => "leave out the examples that they belong to".to_string(),
            };
        }
        match kind {
            Kind::Images => self.images(),
            Kind::Labels if self.whole && self.is_within(255.0) => {
                "save labels.astype(numpy.uint8)".to_string()
            }
            Kind::Labels => format!("save {NUMBERED}"),
        }
    }

    fn images(&self) -> String {
        let Seen {
            least, greatest, ..
        } = *self;
        let rounded = |scaled: &str| format!("save numpy.rint({scaled}).astype(numpy.uint8)");
        if self.is_within(1.0) {
            return rounded("images.astype(float) * 255");
        }
        if self.is_within(255.0) {
            return match self.whole {
                true => "save images.astype(numpy.uint8)".to_string(),
                false => format!("if 0 is black and 255 white, {}", rounded("images")),
            };
        }
        if least == greatest {
            return "save images that show something".to_string();
        }
        let (black, scaled) = match least < 0.0 {
            true => {
                let scaled = format!(
                    "(images.astype(float) + {}) * (255 / {})",
                    -least,
                    greatest - least
                );
                (least, scaled)
            }
            false => (0.0, format!("images.astype(float) * (255 / {greatest})")),
        };
        format!(
            "if {black} is black and {greatest} white, {}, training and test images by the same numbers",
            rounded(&scaled)
        )
    }
}

/// How to save items of a type that is no number, by its name in an NPY header.
pub(super) fn advice(kind: Kind, descr: &str) -> String {
    // The first field of a structure: [('name', ...
    let field = descr.strip_prefix("[(").and_then(|rest| {
        let quote = rest.chars().next()?;
        rest.get(1..)?.split(quote).next()
    });
    if let Some(field) = field {
        return format!("save one of its fields, such as {kind}[{field:?}]");
    }
    match (kind, descr.get(1..2)) {
        (_, Some("O")) => {
            format!("these are Python's objects: save numpy.array({kind}.tolist())")
        }
        (Kind::Labels, Some("U" | "S" | "a" | "M" | "m")) => format!("save {NUMBERED}"),
        (Kind::Labels, _) => "save the number of a class for each".to_string(),
        (Kind::Images, _) => "save a number from 0 to 255 for each pixel".to_string(),
    }
}
