//! The examples of a training, lent to the crate.
//!
//! Refused: inputs or targets that are there twice or not at all, numbers that are not finite, labels that are no output's.

use drmad::Error;
use drmad::training::{Input, Source, Target};

use crate::check::{finite, times};
use crate::error::Code;
use crate::raw::{Door, Open, Reading};
use crate::types::Examples;

/// Their buffers, each of them admitted.
pub(crate) struct Readings {
    features: Reading<f32>,
    pixels: Reading<u8>,
    labels: Reading<u8>,
    targets: Reading<f32>,
}

/// Examples whose every number was looked at. Of inputs and of targets one kind is empty.
#[derive(Clone, Copy)]
pub(crate) struct Lent<'o> {
    features: &'o [f32],
    pixels: &'o [u8],
    mean: f32,
    labels: &'o [u8],
    targets: &'o [f32],
    len: usize,
    inputs: usize,
    outputs: usize,
}

/// How many elements two buffers have of which one is given.
fn one_of_two(given: [bool; 2], lens: [usize; 2]) -> Result<[usize; 2], Code> {
    match given {
        [true, false] => Ok([lens[0], 0]),
        [false, true] => Ok([0, lens[1]]),
        [false, false] => Err(Code::Null),
        [true, true] => Err(Code::Unsupported),
    }
}

impl Examples {
    /// Admits their buffers, for a network of so many inputs and outputs.
    pub(crate) fn admit(
        &self,
        door: &mut Door,
        inputs: usize,
        outputs: usize,
    ) -> Result<Readings, Code> {
        let (all_inputs, all_targets) = (times(self.len, inputs)?, times(self.len, outputs)?);
        let given = [!self.features.is_null(), !self.pixels.is_null()];
        let [features, pixels] = one_of_two(given, [all_inputs; 2])?;
        let given = [!self.labels.is_null(), !self.targets.is_null()];
        let [labels, targets] = one_of_two(given, [self.len, all_targets])?;
        Ok(Readings {
            features: door.read(self.features, features)?,
            pixels: door.read(self.pixels, pixels)?,
            labels: door.read(self.labels, labels)?,
            targets: door.read(self.targets, targets)?,
        })
    }
}

impl Readings {
    pub(crate) fn check<'o>(
        self,
        given: &Examples,
        inputs: usize,
        outputs: usize,
        open: &'o Open,
    ) -> Result<Lent<'o>, Code> {
        let lent = Lent {
            features: self.features.slice(open),
            pixels: self.pixels.slice(open),
            mean: given.mean,
            labels: self.labels.slice(open),
            targets: self.targets.slice(open),
            len: given.len,
            inputs,
            outputs,
        };
        finite(&[&[lent.mean], lent.features, lent.targets])?;
        if lent
            .labels
            .iter()
            .any(|label| usize::from(*label) >= outputs)
        {
            return Err(Code::Index);
        }
        Ok(lent)
    }
}

/// Row `i` of so many numbers each.
fn row<T>(x: &[T], width: usize, i: u32) -> Result<&[T], Error> {
    let (index, what) = (i as usize, "example");
    let start = index.saturating_mul(width);
    let len = x.len().checked_div(width).unwrap_or(0);
    let row = x.get(start..start.saturating_add(width));
    row.ok_or(Error::Index { what, index, len })
}

impl Source for Lent<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn targets(&self) -> Option<usize> {
        (!self.targets.is_empty()).then_some(self.outputs)
    }

    fn input(&self, i: u32) -> Result<Input<'_>, Error> {
        if self.pixels.is_empty() {
            return row(self.features, self.inputs, i).map(Input::Numbers);
        }
        let (bytes, mean) = (row(self.pixels, self.inputs, i)?, self.mean);
        Ok(Input::Bytes { bytes, mean })
    }

    fn target(&self, i: u32) -> Result<Target<'_>, Error> {
        if self.labels.is_empty() {
            return row(self.targets, self.outputs, i).map(Target::Numbers);
        }
        let [label] = row(self.labels, 1, i)? else {
            return Ok(Target::Class(0));
        };
        Ok(Target::Class(usize::from(*label)))
    }
}
