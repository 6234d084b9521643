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
use super::machine::{Machine, Memory};

/// What each part begins at a multiple of: a line of the device's cache.
const ALIGNMENT: u64 = 128;

/// The cuts.
pub(super) struct Arena<'m> {
    /// Where the parts are written; nowhere, while it measures.
    memory: Option<(&'m dyn Machine, &'m Memory)>,
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
    pub(super) fn new(machine: &'m dyn Machine, memory: &'m Memory) -> Self {
        Arena {
            memory: Some((machine, memory)),
            ..Arena::measure()
        }
    }

    /// Bytes that were cut.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Where so many elements lie that are not written yet; 0 for none.
    pub(super) fn reserve<T>(&mut self, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        let base = self.memory.map_or(0, |(_, memory)| memory.address());
        let address = base + self.used;
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        self.used = (self.used.saturating_add(bytes)).next_multiple_of(ALIGNMENT);
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
        let offset = self.used;
        let address = self.reserve::<T>(count);
        if let (Some((machine, memory)), true) = (self.memory, count > 0) {
            let elements = elements();
            machine.write(
                memory,
                offset as usize,
                bytemuck::cast_slice(elements.as_ref()),
            )?;
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
        if let (Some((machine, memory)), true) = (self.memory, count > 0) {
            let offset = (address - memory.address()) as usize;
            machine.read(memory, offset, bytemuck::cast_slice_mut(&mut elements))?;
        }
        Ok(elements)
    }
}
