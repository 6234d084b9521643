//! One piece of the device's memory, cut up for all replicas of a launch.
//!
//! The same course of cuts is taken twice: once to measure, when nothing is written and addresses count from
//! 0, and once in the memory that was then allocated. What several replicas share is there once.
//!
//! Refused: freeing a part.

use std::collections::BTreeMap;
use std::vec::Vec;

use bytemuck::NoUninit;

use super::Error;
use super::machine::Memory;

/// What each part begins at a multiple of: a line of the device's cache.
const ALIGNMENT: u64 = 128;

/// The cuts.
pub(super) struct Arena<'m> {
    /// Where the parts are written; nowhere, while it measures.
    memory: Option<&'m Memory<'m>>,
    used: u64,
    /// Where slices lie that were written, by their addresses and lengths here.
    shared: BTreeMap<(usize, usize), u64>,
}

impl<'m> Arena<'m> {
    /// Measures.
    pub(super) fn measure() -> Self {
        Arena {
            memory: None,
            used: 0,
            shared: BTreeMap::new(),
        }
    }

    /// Cuts up `memory`.
    pub(super) fn new(memory: &'m Memory<'m>) -> Self {
        Arena {
            memory: Some(memory),
            ..Arena::measure()
        }
    }

    /// Bytes that were cut; `u64::MAX` for as many or more.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Where so many elements lie that are not written yet; 0 for none.
    pub(super) fn reserve<T>(&mut self, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        let base = self.memory.map_or(0, Memory::address);
        let address = base.saturating_add(self.used);
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        let end = self.used.saturating_add(bytes);
        self.used = end.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
        address
    }

    /// Where these elements lie.
    pub(super) fn write<T: NoUninit>(&mut self, elements: &[T]) -> Result<u64, Error> {
        self.write_with(elements.len(), || elements)
    }

    /// The same of elements that are made when there is a place for them.
    pub(super) fn write_with<T: NoUninit, E: AsRef<[T]>>(
        &mut self,
        count: usize,
        elements: impl FnOnce() -> E,
    ) -> Result<u64, Error> {
        let address = self.reserve::<T>(count);
        if let (Some(memory), true) = (self.memory, count > 0) {
            memory.write(address, bytemuck::cast_slice(elements().as_ref()))?;
        }
        Ok(address)
    }

    /// Where these elements lie, which other replicas may use, too.
    pub(super) fn share<T: NoUninit>(&mut self, elements: &[T]) -> Result<u64, Error> {
        let key = (elements.as_ptr() as usize, size_of_val(elements));
        if let Some(address) = self.shared.get(&key) {
            return Ok(*address);
        }
        let address = self.write(elements)?;
        self.shared.insert(key, address);
        Ok(address)
    }

    /// Reads a part that lies at this address.
    pub(super) fn read<T: bytemuck::Pod>(
        &self,
        address: u64,
        count: usize,
    ) -> Result<Vec<T>, Error> {
        let mut elements = std::vec![T::zeroed(); count];
        if let (Some(memory), true) = (self.memory, count > 0) {
            memory.read(address, bytemuck::cast_slice_mut(&mut elements))?;
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_can_be_addressed_is_never_measured_as_little() {
        for (counts, bytes) in [
            (&[][..], 0),
            (&[1, 0, 32], 2 * ALIGNMENT),
            (&[1 << 61, 1], (1 << 63) + ALIGNMENT),
            // The sum, the multiple after it, and the product leave 64 bits.
            (&[(1 << 61), (1 << 61)], u64::MAX),
            (&[(1 << 62) - 1], u64::MAX),
            (&[usize::MAX, 1], u64::MAX),
            (&[usize::MAX, usize::MAX], u64::MAX),
        ] {
            let mut arena = Arena::measure();
            for count in counts {
                arena.reserve::<f32>(*count);
            }
            assert_eq!(arena.used(), bytes, "{counts:?}");
        }
    }
}
