//! What a server and its clients say to each other, as bytes.
//!
//! An order goes to all clients alike, a reply comes from one. Both name their round, so that a reply that
//! comes late is known for what it is. Numbers are little-endian. A hypergradient of `H` numbers travels as
//!
//! | wire | bytes | what arrives |
//! |---|---|---|
//! | `f32` | `4 H` | the numbers |
//! | `f16` | `2 H + 2` | each to 11 bits, down to `2^-39` of the largest |
//! | `sign` | `H / 5` | -1, 0 or 1: three values, so five to a byte |
//!
//! Of 16 bits a binary16 alone would lose what is below `6e-8` and what is above 65,504. So all are divided
//! by the power of two that puts the largest into `[2^14, 2^15)`, which is sent along and changes no bit.
//!
//! Refused: numbers to send that are not finite, which 16 bits and signs would hide; messages that are cut
//! short or say what there is not.

use anyhow::{Context, Result, bail, ensure};
use half::f16;
use serde::{Deserialize, Serialize};

use crate::quality::Quality;
use crate::words::several;

/// How hypergradients travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// As they are, 32 bits each.
    #[default]
    F32,
    /// 16 bits each, and a common power of two.
    F16,
    /// Their signs alone.
    Sign,
}

/// The signs in a byte: `3^5 = 243`.
const SIGNS: usize = 5;

impl Wire {
    /// The numbers as bytes.
    ///
    /// # Errors
    /// [`drmad::Error::NonFinite`], the error of a hypergradient that diverges.
    ///
    /// ```
    /// use drmad_host::server::wire::Wire;
    /// let d = [3.0e-9, 0.0, -1.0e-9];
    /// assert_eq!(Wire::F32.decode(3, &Wire::F32.encode(&d)?)?, d);
    /// assert_eq!(Wire::Sign.decode(3, &Wire::Sign.encode(&d)?)?, [1.0, 0.0, -1.0]);
    /// assert_eq!(Wire::Sign.encode(&[1.0; 11])?.len(), 3);
    /// # anyhow::Ok(())
    /// ```
    pub fn encode(self, d: &[f32]) -> Result<Vec<u8>> {
        if d.iter().any(|d| !d.is_finite()) {
            bail!(drmad::Error::NonFinite {
                what: "hypergradient",
                step: 0,
            });
        }
        Ok(match self {
            Wire::F32 => d.iter().flat_map(|d| d.to_le_bytes()).collect(),
            Wire::F16 => {
                let largest = d.iter().fold(0.0f32, |most, d| most.max(d.abs()));
                let power = exponent(largest) - 14;
                let halves = d.iter().map(|d| {
                    let scaled = f64::from(*d) * two_to(-power);
                    f16::from_f32(scaled as f32)
                });
                let halves = halves.flat_map(f16::to_le_bytes);
                power.to_le_bytes().into_iter().chain(halves).collect()
            }
            Wire::Sign => {
                let bytes = d.chunks(SIGNS).map(|d| {
                    let digits = d.iter().rev();
                    digits.fold(0, |byte, d| {
                        3 * byte + 1 + u8::from(*d > 0.0) - u8::from(*d < 0.0)
                    })
                });
                bytes.collect()
            }
        })
    }

    /// The `len` numbers that arrive.
    ///
    /// # Errors
    /// Another number of bytes than so many numbers take.
    pub fn decode(self, len: usize, bytes: &[u8]) -> Result<Vec<f32>> {
        let want = self.bytes(len);
        ensure!(
            bytes.len() == want,
            "{} take {} and {} came",
            several(len, "number"),
            several(want, "byte"),
            bytes.len()
        );
        Ok(match self {
            Wire::F32 => floats(bytes),
            Wire::F16 => {
                let (power, halves) = bytes.split_at(2);
                let power = power
                    .iter()
                    .rev()
                    .fold(0, |word, b| word << 8 | i16::from(*b));
                // A power that no encoder writes still is one of a float64.
                let unit = two_to(power.clamp(-400, 400));
                let (halves, _) = halves.as_chunks();
                let halves = halves.iter().map(|half| f16::from_le_bytes(*half).to_f32());
                halves.map(|x| (f64::from(x) * unit) as f32).collect()
            }
            Wire::Sign => {
                let digits = bytes
                    .iter()
                    .flat_map(|byte| (0..SIGNS as u32).map(move |i| byte / 3u8.pow(i) % 3));
                digits
                    .take(len)
                    .map(|digit| f32::from(digit) - 1.0)
                    .collect()
            }
        })
    }

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Wire::F32 => "f32",
            Wire::F16 => "f16",
            Wire::Sign => "sign",
        }
    }

    /// The bytes that so many numbers take.
    pub const fn bytes(self, len: usize) -> usize {
        match self {
            Wire::F32 => 4 * len,
            Wire::F16 => 2 * len + 2,
            Wire::Sign => len.div_ceil(SIGNS),
        }
    }
}

/// `e` with `2^e <= x < 2^(e + 1)`; of 0 it is 0.
fn exponent(x: f32) -> i16 {
    match f64::from(x).to_bits() >> 52 & 0x7ff {
        0 => 0,
        biased => biased as i16 - 1023,
    }
}

/// A power of two, of an exponent that a float64 has.
fn two_to(exponent: i16) -> f64 {
    f64::from_bits(((1023 + i64::from(exponent)) as u64) << 52)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// What a server tells its clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Which it is: 0 for the first words, then one for each meta-iteration, then the judgements.
    pub round: u32,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Say what you hold.
    Greet,
    /// Train with these hyperparameters and send the hypergradient.
    Step(Vec<f32>),
    /// Train with these and say how good it is.
    Judge(Vec<f32>),
    /// There is nothing more.
    Stop,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The round of the order.
    pub round: u32,
    /// Whose it is.
    pub client: u32,
    /// What there is to say.
    pub said: Said,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// What the client holds.
    Holds(Shape),
    /// A hypergradient, encoded, and what was measured beside it.
    Gradient(Measured, Vec<u8>),
    /// How good a training is.
    Quality(Quality),
    /// The training left the finite numbers.
    Diverged(String),
    /// Nothing can be done.
    Failed(String),
}

impl Said {
    /// What kind of thing it is, in words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Said::Holds(_) => "what it holds",
            Said::Gradient(..) => "a hypergradient",
            Said::Quality(_) => "how good it is",
            Said::Diverged(_) => "a training that diverged",
            Said::Failed(_) => "a failure",
        }
    }
}

/// What must be the same of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The height of its images.
    pub rows: u32,
    /// Their width.
    pub columns: u32,
    /// The examples it holds, which may differ.
    pub examples: u32,
    /// The hyperparameters of its experiment.
    pub hypers: u32,
    /// A digest of all settings.
    pub settings: u64,
}

/// What a client measured in a meta-iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Loss on its validation examples.
    pub valid_loss: f64,
    /// Share of these that are misclassified.
    pub valid_error: f64,
    /// Share of the test examples that are misclassified.
    pub test_error: f64,
    /// Loss at the end of training.
    pub train_loss: f64,
    /// The norm of its hypergradient.
    pub norm: f64,
}

impl Measured {
    const fn all(&self) -> [f64; 5] {
        let Measured {
            valid_loss,
            valid_error,
            test_error,
            train_loss,
            norm,
        } = *self;
        [valid_loss, valid_error, test_error, train_loss, norm]
    }

    /// Whether all are numbers.
    pub fn is_finite(&self) -> bool {
        self.all().iter().all(|x| x.is_finite())
    }
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk().context("a message cut short")?;
        self.0 = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn f64s<const N: usize>(&mut self) -> Result<[f64; N]> {
        let mut all = [0.0; N];
        for x in &mut all {
            *x = f64::from_le_bytes(self.take()?);
        }
        Ok(all)
    }

    fn words(self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

impl Order {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, hyper): (u8, &[f32]) = match &self.task {
            Task::Greet => (0, &[]),
            Task::Step(hyper) => (1, hyper),
            Task::Judge(hyper) => (2, hyper),
            Task::Stop => (3, &[]),
        };
        let mut bytes = vec![kind];
        bytes.extend(self.round.to_le_bytes());
        bytes.extend(hyper.iter().flat_map(|h| h.to_le_bytes()));
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// Bytes that are no order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        let [kind] = reader.take()?;
        let round = reader.u32()?;
        let task = match kind {
            0 => Task::Greet,
            1 => Task::Step(floats(reader.0)),
            2 => Task::Judge(floats(reader.0)),
            3 => Task::Stop,
            kind => bail!("an order of the kind {kind}"),
        };
        Ok(Order { round, task })
    }
}

impl Reply {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.said {
            Said::Holds(_) => 0u8,
            Said::Gradient(..) => 1,
            Said::Quality(_) => 2,
            Said::Diverged(_) => 3,
            Said::Failed(_) => 4,
        };
        let mut bytes = vec![kind];
        bytes.extend(self.round.to_le_bytes());
        bytes.extend(self.client.to_le_bytes());
        match &self.said {
            Said::Holds(shape) => {
                let Shape {
                    rows,
                    columns,
                    examples,
                    hypers,
                    settings,
                } = *shape;
                let words = [rows, columns, examples, hypers];
                bytes.extend(words.into_iter().flat_map(u32::to_le_bytes));
                bytes.extend(settings.to_le_bytes());
            }
            Said::Gradient(measured, d) => {
                bytes.extend(measured.all().into_iter().flat_map(f64::to_le_bytes));
                bytes.extend(d);
            }
            Said::Quality(q) => {
                let all = [q.valid_loss, q.valid_error, q.test_loss, q.test_error];
                bytes.extend(all.into_iter().flat_map(f64::to_le_bytes));
            }
            Said::Diverged(words) | Said::Failed(words) => bytes.extend(words.bytes()),
        }
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// Bytes that are no reply.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        let [kind] = reader.take()?;
        let (round, client) = (reader.u32()?, reader.u32()?);
        let said = match kind {
            0 => Said::Holds(Shape {
                rows: reader.u32()?,
                columns: reader.u32()?,
                examples: reader.u32()?,
                hypers: reader.u32()?,
                settings: u64::from_le_bytes(reader.take()?),
            }),
            1 => {
                let [valid_loss, valid_error, test_error, train_loss, norm] = reader.f64s()?;
                let measured = Measured {
                    valid_loss,
                    valid_error,
                    test_error,
                    train_loss,
                    norm,
                };
                Said::Gradient(measured, reader.0.to_vec())
            }
            2 => {
                let [valid_loss, valid_error, test_loss, test_error] = reader.f64s()?;
                Said::Quality(Quality {
                    valid_loss,
                    valid_error,
                    test_loss,
                    test_error,
                })
            }
            3 => Said::Diverged(reader.words()),
            4 => Said::Failed(reader.words()),
            kind => bail!("a reply of the kind {kind}"),
        };
        Ok(Reply {
            round,
            client,
            said,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::half::Half;
    use drmad::Scalar;

    #[test]
    fn rounding_to_a_half_is_that_of_the_emulation() {
        // All magnitudes that are sent, in steps that meet ties and what lies beside them.
        for bits in (0..f32::to_bits(32_768.0)).step_by(1 << 11) {
            for x in [bits, bits + 1].map(f32::from_bits) {
                let want = Half::from_f64(f64::from(x)).to_f64();
                assert_eq!(f16::from_f32(x).to_f64(), want, "{x:e}");
            }
        }
    }

    #[test]
    fn sixteen_bits_keep_eleven_of_whatever_size() {
        for scale in [1e-37f32, 1e-20, 1.0, 1e30] {
            let d: Vec<f32> = (-50..50).map(|i| scale * (i as f32 / 7.0)).collect();
            let bytes = Wire::F16.encode(&d).expect("finite");
            assert_eq!(bytes.len(), Wire::F16.bytes(d.len()));
            let back = Wire::F16.decode(d.len(), &bytes).expect("whole");
            for (d, back) in d.iter().zip(back) {
                assert!((d - back).abs() <= d.abs() / 2048.0, "{d:e} {back:e}");
            }
        }
    }
}
