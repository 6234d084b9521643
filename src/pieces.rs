//! Pieces of slices, and copies, without a panic: every operation checks its lengths at the door, so a
//! piece that is not there cannot be asked for; where the compiler does not see that, it is an empty one. Debug
//! builds, such as those of the tests and the fuzzers, assert that it is there.

use core::ops::Range;

/// The elements of `x` in a range.
#[inline(always)]
pub(crate) fn part<T>(x: &[T], range: Range<usize>) -> &[T] {
    debug_assert!(range.start <= range.end && range.end <= x.len());
    x.get(range).unwrap_or_default()
}

/// The same, to write.
#[inline(always)]
pub(crate) fn part_mut<T>(x: &mut [T], range: Range<usize>) -> &mut [T] {
    debug_assert!(range.start <= range.end && range.end <= x.len());
    x.get_mut(range).unwrap_or_default()
}

/// The `len` elements of `x` from `first` on.
#[inline(always)]
pub(crate) fn piece<T>(x: &[T], first: usize, len: usize) -> &[T] {
    part(x, first..first.saturating_add(len))
}

/// The same, to write.
#[inline(always)]
pub(crate) fn piece_mut<T>(x: &mut [T], first: usize, len: usize) -> &mut [T] {
    part_mut(x, first..first.saturating_add(len))
}

/// The first `len` elements and the others.
#[inline(always)]
pub(crate) fn split<T>(x: &[T], len: usize) -> (&[T], &[T]) {
    x.split_at(len.min(x.len()))
}

/// The same, to write.
#[inline(always)]
pub(crate) fn split_mut<T>(x: &mut [T], len: usize) -> (&mut [T], &mut [T]) {
    x.split_at_mut(len.min(x.len()))
}

/// Copies as many elements as there are on both sides.
#[inline(always)]
pub(crate) fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    let len = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) {
        to.copy_from_slice(from);
    }
}
