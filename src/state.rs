//! States that outlive a loss of power: written to bytes, restored with the same bits, or refused.
//!
//! Whatever goes on for long says in one place what its state is ([`State::state`]): it hands its fields
//! to [`Fields`], in a fixed order. The same pass over them measures, writes, checks and reads, so what
//! is read cannot differ from what was written. Numbers are little-endian on every machine:
//!
//! | bytes | what |
//! |---|---|
//! | 0 .. 8 | `drmad st` |
//! | 8 .. 12 | the layout's version, [`LAYOUT`] |
//! | 12 .. 16 | zeros |
//! | 16 .. 24 | `n`, the length of all this |
//! | 24 .. 32 | the sequence number |
//! | 32 .. n - 4 | the fields: counts, flags and what must be the same as 8 bytes each, vectors as their numbers' bits |
//! | n - 4 .. n | CRC-32 (ISO-HDLC, that of zip and Ethernet) of all before |
//!
//! Among the fields are those that never change: the numbers of weights, hyperparameters and steps, the
//! optimizer, the kind of path and its sizes, and digests of hyperparameters, rates and momenta. They are the
//! fingerprint of what a state belongs to. [`restore`] compares all of it before it changes anything.
//!
//! Flash that is being written when the power goes holds neither the old state nor the new one. So keep
//! two slots, write the one that is not [`newest`], with the next sequence number:
//!
//! ```
//! use drmad::{outer::Sgd, state, tuner::Tuner};
//!
//! const LEN: usize = Tuner::<f32>::state_len(2, 0, Sgd::<f32>::STATE_LEN);
//! let mut flash = [[0xff; LEN]; 2];
//! let (mut h, mut sgd, mut memory) = ([1.0f32, 2.0], Sgd { rate: 0.1 }, [0.0; Tuner::<f32>::need(2).len()]);
//! let mut tuner = Tuner::new(&mut h, &mut sgd, &mut memory)?;
//! for _ in 0..3 {
//!     tuner.round_by(&mut |_, d_h| {
//!         d_h.copy_from_slice(&[0.5, -0.5]);
//!         Ok(0.0)
//!     })?;
//!     let newest = state::newest(&[&flash[0], &flash[1]]);
//!     let (slot, sequence) = newest.map_or((0, 0), |found| (1 - found.slot, found.sequence + 1));
//!     state::save(sequence, &mut tuner, &mut flash[slot])?;
//! }
//!
//! // Power is lost while the next state is written. After that:
//! flash[1][..40].fill(0);
//! let (mut h, mut memory) = ([0.0; 2], [0.0; Tuner::<f32>::need(2).len()]);
//! let mut tuner = Tuner::new(&mut h, &mut sgd, &mut memory)?;
//! let newest = state::newest(&[&flash[0], &flash[1]]).map(|found| found.slot);
//! assert_eq!(newest, Some(0));
//! state::restore(&flash[0], &mut tuner)?;
//! assert_eq!(tuner.rounds(), 3);
//! # Ok::<(), drmad::Error>(())
//! ```
//!
//! A training and the [`Tuner`](crate::tuner::Tuner) of its hyperparameters have states of their own, since the training
//! depends on the hyperparameters. Save the tuner after each of its rounds and restore it first: a state
//! of a training with the hyperparameters before that round is stale, and refused.
//!
//! Refused, with [`Error::Saved`] and the caller's buffers as they were: bytes that are not all there,
//! that a bit has changed in, of another layout, or of something else. Not noticed: an objective with
//! other data, or another origin; give what tells them apart as a `tag`. Of random damage one in 2^32
//! goes unnoticed. Damage by someone who computes the checksum again is not looked for in numbers; a
//! count beyond its plan, such as more steps than the training has, is refused like the rest, so that
//! what is restored comes to its end. Nothing panics on either.

use crate::error::{Error, cut};

/// The version of the layout. Since 2 a training with tangents knows the steps since its restart, since 3 a tuner its
/// best and its history.
pub const LAYOUT: u32 = 3;

const MAGIC: [u8; 8] = *b"drmad st";
const HEADER: usize = 32;
const CHECKSUM: usize = 4;

/// Bytes of a count, a flag, or something that must be the same.
pub(crate) const FIELD: usize = 8;

/// Bytes of a state whose fields take so many.
pub(crate) const fn with_header(fields: usize) -> usize {
    fields.saturating_add(HEADER + CHECKSUM)
}

/// CRC-32 with a table of 16 words.
#[derive(Clone, Copy, Debug)]
struct Crc(u32);

impl Crc {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let (mut c, mut bit) = (i as u32, 0);
            while bit < 4 {
                c = (c >> 1) ^ if c & 1 == 1 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };

    const NEW: Crc = Crc(!0);

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..2 {
                self.0 = (self.0 >> 4) ^ Self::TABLE[(self.0 & 15) as usize];
            }
        }
    }

    fn value(self) -> u32 {
        !self.0
    }
}

/// The CRC-32 of some bytes.
///
/// ```
/// assert_eq!(drmad::state::crc32(b"123456789"), 0xcbf4_3926);
/// ```
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::NEW;
    crc.add(bytes);
    crc.value()
}

/// The CRC-32 of some numbers as they are saved: part of a fingerprint.
pub fn digest<N: State + Copy>(numbers: &[N]) -> u64 {
    let mut fields = Fields {
        mode: Mode::Write {
            sink: &mut |_| Ok(()),
            crc: Crc::NEW,
        },
        at: 0,
    };
    for x in numbers {
        // A sink that refuses nothing.
        let _ = { *x }.state(&mut fields);
    }
    match fields.mode {
        Mode::Write { crc, .. } => u64::from(crc.value()),
        _ => 0,
    }
}

/// What can be saved.
pub trait State {
    /// Hands its fields to `fields`, which are the same and in the same order whatever they hold.
    ///
    /// # Errors
    /// What `fields` refuses, to be passed on.
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error>;
}

impl State for f32 {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let mut bytes = self.to_le_bytes();
        fields.bytes(&mut bytes)?;
        *self = f32::from_le_bytes(bytes);
        Ok(())
    }
}

impl State for f64 {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        let mut bytes = self.to_le_bytes();
        fields.bytes(&mut bytes)?;
        *self = f64::from_le_bytes(bytes);
        Ok(())
    }
}

impl<T: State + ?Sized> State for &mut T {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        (**self).state(fields)
    }
}

/// Two at once: both are restored, or none.
impl<A: State, B: State> State for (A, B) {
    fn state(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
        self.0.state(fields)?;
        self.1.state(fields)
    }
}

/// What is done with the fields.
enum Mode<'a> {
    Measure,
    Write {
        sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Error>,
        crc: Crc,
    },
    /// Everything is looked at, and nothing changed.
    Check(&'a [u8]),
    Read(&'a [u8]),
}

/// The fields of a state, one after the other.
pub struct Fields<'a> {
    mode: Mode<'a>,
    /// Bytes so far.
    at: usize,
}

impl Fields<'_> {
    /// Some bytes.
    ///
    /// # Errors
    /// [`Error::Saved`] where they are not there.
    pub fn bytes(&mut self, field: &mut [u8]) -> Result<(), Error> {
        let end = self.at.saturating_add(field.len());
        let from = self.at;
        self.at = end;
        match &mut self.mode {
            Mode::Measure => Ok(()),
            Mode::Write { sink, crc } => {
                crc.add(field);
                sink(field)
            }
            Mode::Check(bytes) => found(bytes, from, field.len()).map(|_| ()),
            Mode::Read(bytes) => {
                let found = found(bytes, from, field.len())?;
                for (field, found) in field.iter_mut().zip(found) {
                    *field = *found;
                }
                Ok(())
            }
        }
    }

    /// Numbers.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn numbers<N: State>(&mut self, field: &mut [N]) -> Result<(), Error> {
        field.iter_mut().try_for_each(|x| x.state(self))
    }

    /// Words of 32 bits.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn words(&mut self, field: &mut [u32]) -> Result<(), Error> {
        for word in field {
            let mut bytes = word.to_le_bytes();
            self.bytes(&mut bytes)?;
            *word = u32::from_le_bytes(bytes);
        }
        Ok(())
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn long(&mut self, field: &mut u64) -> Result<(), Error> {
        let mut bytes = field.to_le_bytes();
        self.bytes(&mut bytes)?;
        *field = u64::from_le_bytes(bytes);
        Ok(())
    }

    /// The number of 64 bits that is there, or that is to be, without changing it.
    fn peek(&mut self, field: u64) -> Result<u64, Error> {
        let mut there = field;
        if let Mode::Check(bytes) = self.mode {
            let (found, _) = found(bytes, self.at, FIELD)?.as_chunks::<FIELD>();
            there = found.first().map_or(there, |it| u64::from_le_bytes(*it));
        }
        let mut moved = there;
        self.long(&mut moved)?;
        Ok(moved)
    }

    /// Part of the fingerprint: `value` is what must be there.
    ///
    /// # Errors
    /// [`Error::Saved`] where something else is.
    pub fn same(&mut self, what: &'static str, value: u64) -> Result<(), Error> {
        let got = self.peek(value)?;
        if got == value {
            Ok(())
        } else {
            Err(Error::Saved {
                what,
                want: value,
                got,
            })
        }
    }

    /// A count of at most `greatest`, or `usize::MAX` where there is none. Returns the count that is
    /// there, for what depends on it to be held to.
    ///
    /// # Errors
    /// [`Error::Saved`] where it is greater.
    pub fn count(
        &mut self,
        what: &'static str,
        field: &mut usize,
        greatest: usize,
    ) -> Result<usize, Error> {
        let wide = if *field == usize::MAX {
            u64::MAX
        } else {
            *field as u64
        };
        let got = self.peek(wide)?;
        let narrow = if got == u64::MAX {
            usize::MAX
        } else {
            usize::try_from(got).unwrap_or(usize::MAX)
        };
        if narrow > greatest || (narrow == usize::MAX && got != u64::MAX) {
            return Err(Error::Saved {
                what,
                want: greatest as u64,
                got,
            });
        }
        if let Mode::Read(_) = self.mode {
            *field = narrow;
        }
        Ok(narrow)
    }

    /// A count that is kept in 32 bits, and saved in 64, of at most `greatest`.
    pub(crate) fn short(
        &mut self,
        what: &'static str,
        field: &mut u32,
        greatest: u32,
    ) -> Result<(), Error> {
        let got = self.peek(u64::from(*field))?;
        match u32::try_from(got) {
            Ok(short) if short <= greatest => {
                if let Mode::Read(_) = self.mode {
                    *field = short;
                }
                Ok(())
            }
            _ => Err(Error::Saved {
                what,
                want: u64::from(greatest),
                got,
            }),
        }
    }

    /// Yes or no. Returns which of them is there.
    ///
    /// # Errors
    /// [`Error::Saved`] where it is neither.
    pub fn flag(&mut self, what: &'static str, field: &mut bool) -> Result<bool, Error> {
        let mut count = usize::from(*field);
        let there = self.count(what, &mut count, 1)?;
        *field = count == 1;
        Ok(there == 1)
    }
}

/// The bytes of a field.
fn found(bytes: &[u8], from: usize, len: usize) -> Result<&[u8], Error> {
    let end = from.saturating_add(len);
    bytes.get(from..end).ok_or_else(|| length(end, bytes.len()))
}

fn length(want: usize, got: usize) -> Error {
    Error::Saved {
        what: "length",
        want: want as u64,
        got: got as u64,
    }
}

/// Bytes that a state takes.
///
/// # Errors
/// What the state refuses.
pub fn len(state: &mut dyn State) -> Result<usize, Error> {
    let mut fields = Fields {
        mode: Mode::Measure,
        at: 0,
    };
    state.state(&mut fields)?;
    Ok(with_header(fields.at))
}

/// Writes a state to the front of `buffer`; returns how many bytes it took.
///
/// # Errors
/// [`Error::Length`] where the buffer is too short, and then it is as it was; what the state refuses.
pub fn save(sequence: u64, state: &mut dyn State, buffer: &mut [u8]) -> Result<usize, Error> {
    let (want, got) = (len(state)?, buffer.len());
    if got < want {
        return Err(Error::Length {
            what: "buffer of the state",
            want,
            got,
        });
    }
    let mut rest = buffer;
    stream(sequence, state, &mut |bytes| {
        let piece = cut("buffer of the state", &mut rest, bytes.len())?;
        for (there, byte) in piece.iter_mut().zip(bytes) {
            *there = *byte;
        }
        Ok(())
    })
}

/// Writes a state to `sink`, some bytes at a time, for memory that is none, such as flash: no buffer of
/// the state's size is needed. Returns how many bytes there were.
///
/// # Errors
/// What the sink or the state refuses.
pub fn stream(
    sequence: u64,
    state: &mut dyn State,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<usize, Error> {
    let len = len(state)?;
    let crc = Crc::NEW;
    let mut fields = Fields {
        mode: Mode::Write { sink, crc },
        at: 0,
    };
    fields.bytes(&mut { MAGIC })?;
    fields.bytes(&mut LAYOUT.to_le_bytes())?;
    fields.bytes(&mut [0; 4])?;
    fields.bytes(&mut (len as u64).to_le_bytes())?;
    fields.bytes(&mut sequence.to_le_bytes())?;
    state.state(&mut fields)?;
    if let Mode::Write { sink, crc } = fields.mode {
        sink(&crc.value().to_le_bytes())?;
    }
    Ok(len)
}

/// The little-endian number at the front of some bytes; what is missing counts as 0.
fn number(bytes: Option<&[u8]>) -> u64 {
    let bytes = bytes.unwrap_or_default().iter().rev();
    bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// Checks that a state is whole; returns its sequence number and its fields.
fn whole(bytes: &[u8]) -> Result<(u64, &[u8]), Error> {
    let have = bytes.len();
    if have < with_header(0) {
        return Err(length(with_header(0), have));
    }
    for (what, at, want) in [
        ("beginning", 0..8, u64::from_le_bytes(MAGIC)),
        ("layout's version", 8..12, u64::from(LAYOUT)),
    ] {
        let got = number(bytes.get(at));
        if got != want {
            return Err(Error::Saved { what, want, got });
        }
    }
    let len = usize::try_from(number(bytes.get(16..24))).unwrap_or(usize::MAX);
    let all = bytes.get(..len).filter(|all| all.len() >= with_header(0));
    let Some((rest, checksum)) = all.and_then(|all| all.split_last_chunk::<CHECKSUM>()) else {
        return Err(length(len, have));
    };
    let (want, got) = (crc32(rest), u32::from_le_bytes(*checksum));
    if want != got {
        return Err(Error::Saved {
            what: "checksum",
            want: u64::from(want),
            got: u64::from(got),
        });
    }
    let sequence = number(bytes.get(24..32));
    Ok((sequence, rest.get(HEADER..).unwrap_or_default()))
}

/// Restores a state from the front of `bytes`; returns its sequence number.
///
/// # Errors
/// [`Error::Saved`] with what is wrong, or what the state refuses; then everything is as it was.
pub fn restore(bytes: &[u8], state: &mut dyn State) -> Result<u64, Error> {
    let (sequence, fields) = whole(bytes)?;
    let mut check = Fields {
        mode: Mode::Check(fields),
        at: 0,
    };
    state.state(&mut check)?;
    if check.at != fields.len() {
        return Err(length(with_header(check.at), with_header(fields.len())));
    }
    let mut read = Fields {
        mode: Mode::Read(fields),
        at: 0,
    };
    state.state(&mut read)?;
    Ok(sequence)
}

/// A slot, and what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Found {
    /// Which slot.
    pub slot: usize,
    /// Its sequence number.
    pub sequence: u64,
}

/// The whole state with the greatest sequence number, if any slot holds a whole one.
pub fn newest(slots: &[&[u8]]) -> Option<Found> {
    let mut newest: Option<Found> = None;
    for (slot, bytes) in slots.iter().enumerate() {
        if let Ok((sequence, _)) = whole(bytes)
            && newest.is_none_or(|found| found.sequence < sequence)
        {
            newest = Some(Found { slot, sequence });
        }
    }
    newest
}

/// Which state it is.
pub(crate) enum Kind {
    Tuner = 1,
    Trainer = 2,
    Forward = 3,
}

impl Fields<'_> {
    /// What every state begins with; a number of it takes so many bytes.
    pub(crate) fn kind(&mut self, kind: Kind, number: usize, tag: u64) -> Result<(), Error> {
        self.same("kind of state", kind as u64)?;
        self.same("tag", tag)?;
        self.same("bytes of a number", number as u64)
    }
}

/// Bytes of what [`Fields::kind`] writes.
pub(crate) const KIND: usize = 3 * FIELD;
