//! The programs of the firmware, without a board under them.
//!
//! | program | what tunes itself | RAM |
//! |---|---|---|
//! | [`drift`] | the rate and the penalty of a sensor's drift model | 16 KiB |
//! | [`digits`] | a penalty for each pixel of MNIST, softmax 784-10 | 256 KiB |
//! | [`papers`] | a penalty for each unit of the papers' network, 784-50-50-50-10 | 4 MiB |
//! | [`methods`] | nothing: the hypergradient of one small network by each method | |
//!
//! Each is a description of a training, its memory and a call of the tuner. The memory's length is a constant that
//! follows from the description, so that it is a static on a device. Then the program judges what it has done, and
//! refuses to call anything tuned that is no better than before.
//!
//! All compute in [`Plain`](drmad::Plain), so that their bits are those of the host.
#![no_std]
#![forbid(unsafe_code)]

pub mod digits;
pub mod drift;
pub mod images;
pub mod methods;
pub mod network;
pub mod papers;

pub use drmad::Error;
use heapless::Vec;

/// The most rounds of tuning of any program.
pub const MOST_ROUNDS: usize = 40;

/// Memory that holds nothing yet.
#[derive(Debug)]
pub struct Numbers<const LEN: usize>(pub [f32; LEN]);

impl<const LEN: usize> Numbers<LEN> {
    /// Zeros, of which no program takes any for granted.
    pub const fn new() -> Self {
        Numbers([0.0; LEN])
    }
}

impl<const LEN: usize> Default for Numbers<LEN> {
    fn default() -> Self {
        Self::new()
    }
}

/// How good a training was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judged {
    /// The validation loss, which is tuned for.
    pub valid_loss: f32,
    /// The error on what nothing has seen: a share of wrong answers, or a root mean square.
    pub test_error: f32,
}

/// What a program has done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// A hash of the bits of the last hypergradient: FNV-1a, 64 bits, lowest byte first.
    pub hash: u64,
    /// The validation loss of each round.
    pub losses: Vec<f32, MOST_ROUNDS>,
    /// As it was before tuning.
    pub before: Judged,
    /// As it is now.
    pub after: Judged,
}

/// Why a program has not done what it is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failure {
    /// The crate refused.
    Refused(Error),
    /// Tuning was to bring this number to `most` or below.
    NoBetter {
        /// Which number.
        what: &'static str,
        /// How great it may be.
        most: f32,
        /// How great it is.
        got: f32,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

/// Which way the hyperparameters go: down, unless the feature `uphill` asks for a wrong result.
pub(crate) const DOWN: f32 = if cfg!(feature = "uphill") { -1.0 } else { 1.0 };

impl Report {
    /// Notes the validation loss of a round.
    pub(crate) fn round(&mut self, valid_loss: f32) -> Result<(), Error> {
        self.losses.push(valid_loss).map_err(|_| Error::Length {
            what: "rounds",
            want: MOST_ROUNDS,
            got: MOST_ROUNDS + 1,
        })
    }

    /// Refuses a report whose numbers have not come down to these shares of what they were.
    pub(crate) fn checked(self, valid_loss: f32, test_error: f32) -> Result<Report, Failure> {
        let Report { before, after, .. } = &self;
        for (what, most, got) in [
            (
                "validation loss",
                valid_loss * before.valid_loss,
                after.valid_loss,
            ),
            (
                "test error",
                test_error * before.test_error,
                after.test_error,
            ),
        ] {
            // Nor does a NaN pass.
            if got.is_nan() || got > most {
                return Err(Failure::NoBetter { what, most, got });
            }
        }
        Ok(self)
    }
}

/// FNV-1a of the bits of some numbers.
pub(crate) fn fnv1a64(numbers: &[f32]) -> u64 {
    let bytes = numbers.iter().flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
