//! What each setting may be, whichever door it comes through.
//!
//! A setting has [`Bounds`]. The command line reads its numbers by them ([`whole`], [`number`]); an
//! experiment's file is held to the list of its keys ([`check`]), before and after it is read, and so is an
//! experiment that a program made. A number that no list knows is refused, so a setting without bounds
//! cannot be used.
//!
//! | bounds | said as |
//! |---|---|
//! | `Whole(1, 9)` | a whole number from 1 to 9 |
//! | `OneOf([0, 3])` | one of 0, 3 |
//! | `Number(Excluded(0), Unbounded)` | a number above 0, in 32 bits |
//!
//! **Rounding.** A number is judged as float32 holds it: 1e-46 is 0 there, and 1e39 is infinite.
//!
//! Refused: what is not within the bounds, with its value; text where a number is due.

use std::fmt;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use toml::{Table, Value};

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// One of these whole numbers.
    OneOf(&'static [u64]),
    /// A number between these, finite in float32.
    Number(Bound<f32>, Bound<f32>),
}

impl Bounds {
    const fn has_whole(self, n: i128) -> bool {
        match self {
            Bounds::Whole(least, most) => least as i128 <= n && n <= most as i128,
            Bounds::OneOf(all) => {
                let mut i = 0;
                while i < all.len() {
                    if all[i] as i128 == n {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            Bounds::Number(..) => false,
        }
    }

    fn has_number(self, x: f64) -> bool {
        let Bounds::Number(low, high) = self else {
            return false;
        };
        let x = x as f32;
        let above = match low {
            Included(low) => x >= low,
            Excluded(low) => x > low,
            Unbounded => true,
        };
        let below = match high {
            Included(high) => x <= high,
            Excluded(high) => x < high,
            Unbounded => true,
        };
        x.is_finite() && above && below
    }

    /// What is said of everything else.
    ///
    /// ```
    /// use drmad_host::setting::{COUNT, MOMENTUM, RATE};
    /// assert_eq!(COUNT.sentence(), "it must be a whole number from 1 to 4294967295");
    /// assert_eq!(RATE.sentence(), "it must be a number above 0, in 32 bits");
    /// assert_eq!(MOMENTUM.sentence(), "it must be a number of at least 0 and below 1, in 32 bits");
    /// ```
    pub fn sentence(self) -> String {
        format!("it must be {self}")
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bounds::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Bounds::OneOf(all) => {
                let all: Vec<String> = all.iter().map(u64::to_string).collect();
                write!(f, "one of {}", all.join(", "))
            }
            Bounds::Number(low, high) => {
                let low = match low {
                    Included(low) => Some(format!("of at least {low}")),
                    Excluded(low) => Some(format!("above {low}")),
                    Unbounded => None,
                };
                let high = match high {
                    Included(high) => Some(format!("at most {high}")),
                    Excluded(high) => Some(format!("below {high}")),
                    Unbounded => None,
                };
                let both: Vec<String> = low.into_iter().chain(high).collect();
                match &both[..] {
                    [] => f.write_str("a finite number, in 32 bits"),
                    both => write!(f, "a number {}, in 32 bits", both.join(" and ")),
                }
            }
        }
    }
}

/// A whole number of the command line.
///
/// ```
/// use drmad_host::setting::{COUNT, whole};
/// assert_eq!(whole::<u32>(COUNT)("7"), Ok(7));
/// assert_eq!(whole::<u32>(COUNT)("-7"), Err(COUNT.sentence()));
/// ```
pub fn whole<T: FromStr + Copy + Into<i128>>(
    bounds: Bounds,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let value = text.parse().ok();
        let value = value.filter(|value: &T| bounds.has_whole((*value).into()));
        value.ok_or_else(|| bounds.sentence())
    }
}

/// A number of the command line.
///
/// ```
/// use drmad_host::setting::{RATE, number};
/// assert_eq!(number::<f32>(RATE)(".5"), Ok(0.5));
/// assert_eq!(number::<f32>(RATE)("1e-46"), Err(RATE.sentence()));
/// ```
pub fn number<T: FromStr + Copy + Into<f64>>(
    bounds: Bounds,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let value = text.parse().ok();
        let value = value.filter(|value: &T| bounds.has_number((*value).into()));
        value.ok_or_else(|| bounds.sentence())
    }
}

/// How many of something.
pub const COUNT: Bounds = Bounds::Whole(1, u32::MAX as u64);
/// The same where there may be none.
pub const MAYBE_NONE: Bounds = Bounds::Whole(0, u32::MAX as u64);
/// Any number.
pub const FINITE: Bounds = Bounds::Number(Unbounded, Unbounded);
/// At least 0.
pub const POSITIVE_OR_0: Bounds = Bounds::Number(Included(0.0), Unbounded);
/// A share of a whole.
pub const SHARE: Bounds = Bounds::Number(Included(0.0), Included(1.0));
/// The logarithm of a number that float32 holds to all its digits.
pub const LOGARITHM: Bounds = Bounds::Number(Included(-87.0), Included(88.0));
/// The rate of a training, or of a series.
pub const RATE: Bounds = Bounds::Number(Excluded(0.0), Unbounded);
/// The momentum of a training.
pub const MOMENTUM: Bounds = Bounds::Number(Included(0.0), Excluded(1.0));
/// A momentum that is tuned, or divided by: 0 has neither a logit nor an inverse.
pub const MOMENTUM_ABOVE_0: Bounds = Bounds::Number(Excluded(0.0), Excluded(1.0));
/// The rate of an outer optimizer; with 0 nothing is tuned.
pub const OUTER_RATE: Bounds = POSITIVE_OR_0;
/// Seeds that a run is repeated with, and threads.
pub const REPEATS: Bounds = Bounds::Whole(1, u16::MAX as u64);
/// A seed itself.
pub const SEED: Bounds = Bounds::Whole(0, u64::MAX);
/// The most draws that a meta-iteration has.
pub const MOST_DRAWS: usize = 1 << 10;
/// Draws of a meta-iteration, and clients.
pub const DRAWS: Bounds = Bounds::Whole(1, MOST_DRAWS as u64);
/// Intervals between knots, and polynomials.
pub const KNOTS: Bounds = Bounds::Whole(1, 1 << 16);
/// The values that a stored difference can take.
pub const LEVELS: Bounds = Bounds::OneOf(&[0, 3, 7, 11, 15, 255]);
/// The power by which knots are denser early.
pub const SPACING: Bounds = Bounds::Number(Included(0.1), Included(10.0));

/// Keys and what they may be: of an array each of its entries, of an array of tables each of theirs.
pub type Keys = [(&'static str, Bounds)];

/// The keys of an experiment.
pub const EXPERIMENT: &Keys = &[
    ("layers", COUNT),
    ("examples.train", COUNT),
    ("examples.valid", COUNT),
    ("examples.test", COUNT),
    ("examples.wrong-labels", MAYBE_NONE),
    ("batch", COUNT),
    ("steps", COUNT),
    ("rate", RATE),
    ("momentum", MOMENTUM),
    ("log-scale", LOGARITHM),
    ("log-l2", LOGARITHM),
    ("tuned.start", FINITE),
    ("tuned.total", POSITIVE_OR_0),
    ("outer.rates.adam", OUTER_RATE),
    ("outer.rates.sign", OUTER_RATE),
    ("outer.rates.sgd", OUTER_RATE),
    ("outer.meta-steps", COUNT),
    ("outer.draws", DRAWS),
    ("outer.clients.count", DRAWS),
    ("outer.clients.pool", COUNT),
    ("method.knots", KNOTS),
    ("method.levels", LEVELS),
    ("method.spacing", SPACING),
    ("method.tail", MAYBE_NONE),
    ("method.last", COUNT),
    ("method.validate-on", COUNT),
    ("method.rate-scale", RATE),
    ("method.iterations", COUNT),
    ("method.damping", POSITIVE_OR_0),
    ("method.series-rate", RATE),
    ("method.snapshots", COUNT),
];

/// The keys that a study has of its own, its `settings` among them; those that two kinds share mean the
/// same in both.
pub const STUDY: &Keys = &[
    ("seeds", REPEATS),
    // Of a precision.
    ("start", FINITE),
    ("trainings.steps", COUNT),
    ("trainings.log-rate", LOGARITHM),
    ("trainings.momentum", MOMENTUM_ABOVE_0),
    // Of tuning in real time.
    ("layers", COUNT),
    ("train", COUNT),
    ("valid", COUNT),
    ("test", COUNT),
    ("batch", COUNT),
    ("rate", RATE),
    ("momentum", MOMENTUM_ABOVE_0),
    ("penalty", RATE),
    ("log-scale", LOGARITHM),
    ("full-runs", COUNT),
    ("real-time", COUNT),
    ("warm-restarts", COUNT),
    ("full-rate", OUTER_RATE),
    ("outer-rate", OUTER_RATE),
    // Of couplings.
    ("train-per-class", COUNT),
    ("valid-per-class", COUNT),
    ("angles", FINITE),
    ("hidden", COUNT),
    ("tuning.steps", COUNT),
    ("tuning.rate", RATE),
    ("tuning.momentum", MOMENTUM),
    ("tuning.meta-steps", COUNT),
    ("tuning.rho-rate", OUTER_RATE),
    ("tuning.coupling-rate", OUTER_RATE),
    ("tuning.log-rho", LOGARITHM),
    ("tuning.coupling", POSITIVE_OR_0),
    // Of a scan, of many draws, of a comparison.
    ("points", COUNT),
    ("from", FINITE),
    ("to", FINITE),
    ("window", COUNT),
    ("hats-every", COUNT),
    ("draws", Bounds::Whole(2, MOST_DRAWS as u64)),
    ("momenta", MOMENTUM),
    ("repeats", COUNT),
    ("steps", COUNT),
];

/// Whether keys that no list knows are left to who reads the table, or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Left.
    Left,
    /// Refused, where they are numbers.
    Refused,
}

/// Holds the numbers of a table to their bounds.
///
/// # Errors
/// The first that is not within its own, with its key and value.
pub fn check(table: &Table, keys: &Keys, unknown: Unknown) -> Result<()> {
    for (key, value) in table {
        check_value(key, value, keys, unknown)?;
    }
    Ok(())
}

fn check_value(key: &str, value: &Value, keys: &Keys, unknown: Unknown) -> Result<()> {
    match value {
        Value::Table(table) => {
            for (inner, value) in table {
                check_value(&format!("{key}.{inner}"), value, keys, unknown)?;
            }
        }
        Value::Array(all) => {
            for value in all {
                check_value(key, value, keys, unknown)?;
            }
        }
        value => match keys.iter().find(|(of, _)| *of == key) {
            Some((_, bounds)) => {
                let within = match (bounds, value) {
                    (Bounds::Number(..), Value::Integer(n)) => bounds.has_number(*n as f64),
                    (_, Value::Integer(n)) => bounds.has_whole((*n).into()),
                    (_, Value::Float(x)) => bounds.has_number(*x),
                    _ => false,
                };
                ensure!(within, "{key} is {}: it must be {bounds}", said(value));
            }
            None => {
                let number = matches!(value, Value::Integer(_) | Value::Float(_));
                if number && unknown == Unknown::Refused {
                    bail!("{key} is a number of which no list of settings says what it may be");
                }
            }
        },
    }
    Ok(())
}

/// A value as whoever wrote it reads it: a float32 with its own digits.
fn said(value: &Value) -> String {
    match value {
        Value::Float(x) if f64::from(*x as f32) == *x => (*x as f32).to_string(),
        Value::Float(x) => format!("{x:?}"),
        value => value.to_string(),
    }
}

/// Puts the keys of `over` over those of `table`; tables within are put over each other.
pub fn put_over(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => put_over(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
