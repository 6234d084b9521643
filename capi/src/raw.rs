//! The border: what C hands over becomes slices here, and nowhere else.
//!
//! Pointers arrive as [`In`] and [`Out`], which safe code can neither make nor read. A function hands
//! them to a `Door` with the number of elements behind each. The door refuses null and misaligned
//! pointers and lengths that no address space holds, and when it is asked to open also
//! whatever is written where something else is read or written. Slices come from an open door alone, so
//! no function can forget a check, and none writes before all of them are done.
//!
//! What the door cannot see is left to the caller's promise, which is C's ordinary one: there are as many
//! elements behind a pointer as the lengths say, they are initialised where they are read, and nobody else
//! touches them during the call.
#![allow(unsafe_code)]

use crate::error::Code;

/// A pointer to what is only read.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct In<T>(*const T);

/// A pointer to what is written.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Out<T>(*mut T);

impl<T> In<T> {
    /// A pointer as C would hand it over.
    ///
    /// # Safety
    /// Behind it must be, for as long as it is used, as many initialised elements as the function it is
    /// given to is told, and nobody may write them meanwhile.
    pub const unsafe fn new(pointer: *const T) -> Self {
        In(pointer)
    }

    /// No pointer.
    pub const NULL: Self = In(core::ptr::null());

    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

impl<T> Out<T> {
    /// A pointer as C would hand it over.
    ///
    /// # Safety
    /// As [`In::new`], and nobody may read it meanwhile.
    pub const unsafe fn new(pointer: *mut T) -> Self {
        Out(pointer)
    }

    /// No pointer.
    pub const NULL: Self = Out(core::ptr::null_mut());

    pub(crate) fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

/// What any bits are a value of.
///
/// # Safety
/// Every pattern of bits must be a value.
pub(crate) unsafe trait Anything: Copy {}

/// For numbers, pointers, and `repr(C)` structs of these alone.
macro_rules! anything {
    ($($type:ty)*) => { $(
        // SAFETY: any bits are a number or a pointer.
        unsafe impl $crate::raw::Anything for $type {}
    )* };
}
pub(crate) use anything;
anything!(f32 i8 u8 u16 u32 i32 usize);

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    written: bool,
}

/// More buffers than any function has.
const MOST: usize = 24;

/// Where a function's buffers are checked.
pub(crate) struct Door {
    spans: [Span; MOST],
    len: usize,
}

/// The checks are done. It lives until the function returns, and so do the slices.
pub(crate) struct Open(());

/// A checked pointer to read from.
pub(crate) struct Reading<T>(In<T>, usize);

/// A checked pointer to write to. It is not `Copy`: there is one slice of each.
pub(crate) struct Writing<T>(Out<T>, usize);

impl Door {
    pub(crate) const fn new() -> Self {
        let none = Span {
            start: 0,
            end: 0,
            written: false,
        };
        Door {
            spans: [none; MOST],
            len: 0,
        }
    }

    fn admit<T>(&mut self, pointer: *const T, len: usize, written: bool) -> Result<(), Code> {
        let bytes = len
            .checked_mul(size_of::<T>())
            .filter(|bytes| *bytes <= isize::MAX as usize)
            .ok_or(Code::Size)?;
        if bytes == 0 {
            return Ok(());
        }
        if pointer.is_null() {
            return Err(Code::Null);
        }
        if !pointer.is_aligned() {
            return Err(Code::Misaligned);
        }
        let start = pointer.addr();
        let end = start.checked_add(bytes).ok_or(Code::Size)?;
        let span = self.spans.get_mut(self.len).ok_or(Code::Internal)?;
        *span = Span {
            start,
            end,
            written,
        };
        self.len += 1;
        Ok(())
    }

    /// `len` elements that will be read.
    pub(crate) fn read<T: Anything>(&mut self, x: In<T>, len: usize) -> Result<Reading<T>, Code> {
        self.admit(x.0, len, false)?;
        Ok(Reading(x, len))
    }

    /// `len` elements that will be written.
    pub(crate) fn write<T: Anything>(&mut self, x: Out<T>, len: usize) -> Result<Writing<T>, Code> {
        self.admit(x.0, len, true)?;
        Ok(Writing(x, len))
    }

    /// A copy of a struct that is read.
    pub(crate) fn get<T: Anything>(&mut self, x: In<T>) -> Result<T, Code> {
        self.admit(x.0, 1, false)?;
        // SAFETY: not null, aligned, and any bits are a `T`.
        Ok(unsafe { x.0.read() })
    }

    /// A copy of a struct that will be written too.
    pub(crate) fn exchange<T: Anything>(&mut self, x: Out<T>) -> Result<(T, Writing<T>), Code> {
        self.admit(x.0, 1, true)?;
        // SAFETY: not null, aligned, and any bits are a `T`.
        Ok((unsafe { x.0.read() }, Writing(x, 1)))
    }

    /// Opens where nothing that is written overlaps anything else. The slices of a door are for its own
    /// `Open`.
    pub(crate) fn open(self) -> Result<Open, Code> {
        let spans = self.spans.get(..self.len).unwrap_or_default();
        for (i, a) in spans.iter().enumerate() {
            for b in spans.iter().skip(i + 1) {
                if (a.written || b.written) && a.start < b.end && b.start < a.end {
                    return Err(Code::Overlap);
                }
            }
        }
        Ok(Open(()))
    }
}

impl<T: Anything> Reading<T> {
    pub(crate) fn slice(self, _: &Open) -> &[T] {
        if self.1 == 0 {
            return &[];
        }
        // SAFETY: the door found it not null, aligned and no larger than `isize::MAX` bytes, any bits are a
        // `T`, and nothing that is written overlaps it.
        unsafe { core::slice::from_raw_parts(self.0.0, self.1) }
    }
}

impl<T: Anything> Writing<T> {
    #[allow(clippy::mut_from_ref)] // of another door than the first argument
    pub(crate) fn slice(self, _: &Open) -> &mut [T] {
        if self.1 == 0 {
            return &mut [];
        }
        // SAFETY: as above, and nothing at all overlaps it; it is used up, so there is one such slice.
        unsafe { core::slice::from_raw_parts_mut(self.0.0, self.1) }
    }

    /// Writes the one element there is.
    pub(crate) fn set(self, open: &Open, value: T) {
        for place in self.slice(open) {
            *place = value;
        }
    }
}

/// The slices of buffers, under the names that they had as pointers: each is admitted to `read` or to `write` so many
/// elements, the door is opened, with what has gone through it before where one is named, and all of them are taken.
macro_rules! slices {
    ($door:ident: $($admit:ident $x:ident[$len:expr]),+) => {
        $(let $x = $door.$admit($x, $len)?;)+
        let open = $door.open()?;
        $(let $x = $x.slice(&open);)+
    };
    ($($admit:ident $x:ident[$len:expr]),+) => {
        let mut door = $crate::raw::Door::new();
        $crate::raw::slices!(door: $($admit $x[$len]),+);
    };
}
pub(crate) use slices;
