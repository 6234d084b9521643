//! The streams of gzip in a file, read as one.
//!
//! A file may hold several streams, one behind the other, whose contents are read as if they were one
//! (RFC 1952, 2.2). Zeros behind a stream are padding, as tapes and block devices leave it: `gzip` and
//! Python's `gzip` pass over them. Refused: whatever else stands behind a stream, of which `gzip` warns.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// The first two bytes of a stream.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The contents of all streams.
pub(super) struct Members<R> {
    /// The stream that is being read; none behind the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// Those of a file that begins with one.
    pub(super) fn new(reader: R) -> Self {
        let member = Some(GzDecoder::new(reader));
        Members { member }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(mut member) = self.member.take() {
            let read = member.read(into);
            if !matches!(read, Ok(0)) {
                self.member = Some(member);
                return read;
            }
            let mut reader = member.into_inner();
            if follows(&mut reader)? {
                *self = Members::new(reader);
            }
        }
        Ok(0)
    }
}

/// Whether there is another stream behind the zeros that follow one.
fn follows(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let ahead = match reader.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            ahead => ahead?,
        };
        let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
        match ahead.get(zeros) {
            Some(byte) if *byte == MAGIC[0] => {
                reader.consume(zeros);
                return Ok(true);
            }
            Some(byte) => {
                let words = format!("the byte {byte:#04x} behind its end");
                return Err(io::Error::new(ErrorKind::InvalidData, words));
            }
            None if zeros == 0 => return Ok(false),
            None => reader.consume(zeros),
        }
    }
}
