//! A file of images or labels being read: opened, unpacked, as long as its header says and no longer; and the IDX format.
//!
//! A header is a claim, and the file is the evidence: sizes are computed with checked arithmetic, and memory is taken
//! only for bytes that the file has turned out to hold.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::error::{DataError, Kind};
use super::gzip;
use super::numbers::{self, Number, Seen};

impl Kind {
    pub(super) const fn magic(self) -> u32 {
        match self {
            Self::Images => 0x0803,
            Self::Labels => 0x0801,
        }
    }

    /// The bytes of the header: the magic number and a word for each dimension.
    pub(super) const fn header(self) -> usize {
        match self {
            Self::Images => 16,
            Self::Labels => 8,
        }
    }
}

/// The items of a file that has passed; a label counts as one pixel.
pub(super) struct Items {
    pub(super) file: String,
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) bytes: Vec<u8>,
}

/// A file being read.
pub(super) struct Source<R> {
    pub(super) file: String,
    /// The bytes it takes up, compressed or not.
    pub(super) size: u64,
    pub(super) gzip: bool,
    pub(super) reader: R,
}

impl Source<Box<dyn Read>> {
    pub(super) fn open(directory: &Path, name: &'static str) -> Result<Self, DataError> {
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

    pub(super) fn open_npy(directory: &Path, name: &'static str) -> Result<Self, DataError> {
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
    pub(super) fn idx(mut self, kind: Kind) -> Result<Items, DataError> {
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
    pub(super) fn items(
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

    pub(super) fn wrong_type(&self, kind: Kind, found: String, advice: String) -> DataError {
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
    pub(super) fn rest(&mut self, read: u64, expected: u64) -> Result<Vec<u8>, DataError> {
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
    pub(super) fn read(&mut self, wanted: u64) -> Result<Vec<u8>, DataError> {
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
