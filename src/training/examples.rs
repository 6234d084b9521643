//! Who lends the examples of a training: inputs and targets, by index.
//!
//! A [`Source`] is what a user has: rows of numbers, of bytes, or of the bytes that are not zero, with a class or
//! numbers to predict. A network reads them through a pointer, so that it is compiled once for all sources.
//! [`Lent`] are examples of a source as [`Examples`] want them, with what of them is tuned: a weight for each, or
//! their inputs.
//!
//! An example costs one call through the pointer for each pass. A source lends, it does not compute: what is read
//! from a sensor lies in a buffer first.
//!
//! Refused: sources that lend one kind of rows for one example and another for the next.

use crate::error::{Error, check_len};
use crate::kernels::accumulate::add_rows;
use crate::kernels::activation::map;
use crate::kernels::dispatch::run;
use crate::models::{Adjoint, Examples, Features, Given, Pixels, SparsePixels};
use crate::models::{add_to, number, row, row_mut};
use crate::pieces::copy;
use crate::scalar::{Arithmetic, Scalar};

/// The inputs of an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input<'a> {
    /// As they are.
    Numbers(&'a [f32]),
    /// `byte / 255 - mean` of each.
    Bytes {
        /// The bytes.
        bytes: &'a [u8],
        /// What is subtracted from each input.
        mean: f32,
    },
    /// The same of those bytes that are not zero; the other inputs are `-mean`.
    Sparse {
        /// Where they stand, ascending.
        indices: &'a [u16],
        /// The bytes that stand there.
        bytes: &'a [u8],
        /// What is subtracted from each input.
        mean: f32,
    },
}

/// What a network is to say of an example.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// A class: 1 for this output, 0 for the others.
    Class(usize),
    /// A number for each output.
    Numbers(&'a [f32]),
}

/// A numbered set of examples.
///
/// ```
/// use drmad::{Error, training::{Input, Source, Target}};
/// /// The last readings of a sensor, four at a time, to tell the next one.
/// struct Readings<'a>(&'a [f32]);
/// impl Source for Readings<'_> {
///     fn len(&self) -> usize { self.0.len().saturating_sub(4) }
///     fn inputs(&self) -> usize { 4 }
///     fn targets(&self) -> Option<usize> { Some(1) }
///     fn input(&self, i: u32) -> Result<Input<'_>, Error> {
///         Ok(Input::Numbers(&self.0[i as usize..][..4]))
///     }
///     fn target(&self, i: u32) -> Result<Target<'_>, Error> {
///         Ok(Target::Numbers(&self.0[i as usize + 4..][..1]))
///     }
/// }
/// let readings = Readings(&[1.0, 2.0, 3.0, 4.0, 5.0]);
/// assert_eq!((readings.len(), readings.target(0)?), (1, Target::Numbers(&[5.0])));
/// # Ok::<(), Error>(())
/// ```
pub trait Source {
    /// How many examples there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers in one example.
    fn inputs(&self) -> usize;

    /// The mean of [`Input::Sparse`] rows, where it lends these.
    fn sparse(&self) -> Option<f32> {
        None
    }

    /// How many [`Target::Numbers`] an example has, where it lends these.
    fn targets(&self) -> Option<usize> {
        None
    }

    /// The inputs of example `i`.
    ///
    /// # Errors
    /// [`Error::Index`] for an example that does not exist.
    fn input(&self, i: u32) -> Result<Input<'_>, Error>;

    /// The target of example `i`.
    ///
    /// # Errors
    /// As [`input`](Self::input).
    fn target(&self, i: u32) -> Result<Target<'_>, Error>;
}

impl Source for Features<'_> {
    fn len(&self) -> usize {
        Examples::len(self)
    }

    fn inputs(&self) -> usize {
        self.width
    }

    fn input(&self, i: u32) -> Result<Input<'_>, Error> {
        self.row(i).map(Input::Numbers)
    }

    fn target(&self, i: u32) -> Result<Target<'_>, Error> {
        self.label(i).map(Target::Class)
    }
}

impl Source for Pixels<'_> {
    fn len(&self) -> usize {
        Examples::len(self)
    }

    fn inputs(&self) -> usize {
        self.width
    }

    fn input(&self, i: u32) -> Result<Input<'_>, Error> {
        let (bytes, mean) = (self.row(i)?, self.mean);
        Ok(Input::Bytes { bytes, mean })
    }

    fn target(&self, i: u32) -> Result<Target<'_>, Error> {
        self.label(i).map(Target::Class)
    }
}

impl Source for SparsePixels<'_> {
    fn len(&self) -> usize {
        Examples::len(self)
    }

    fn inputs(&self) -> usize {
        self.images.width()
    }

    fn sparse(&self) -> Option<f32> {
        Some(self.mean)
    }

    fn input(&self, i: u32) -> Result<Input<'_>, Error> {
        let (indices, bytes) = self.pairs(i)?;
        Ok(Input::Sparse {
            indices,
            bytes,
            mean: self.mean,
        })
    }

    fn target(&self, i: u32) -> Result<Target<'_>, Error> {
        self.label(i).map(Target::Class)
    }
}

/// What of the examples is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Nothing: so many hyperparameters, of examples that others train on, are passed over.
    Nothing(usize),
    /// A weight for each.
    Weights,
    /// Their inputs.
    Inputs,
}

/// The examples of a source, with what of them is tuned.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a> {
    source: &'a dyn Source,
    own: Own,
}

const OTHER_ROWS: Error = Error::Unsupported {
    what: "a source that lends rows of another kind than it says: its examples are all sparse, or none of them",
};

impl<'a> Lent<'a> {
    pub(super) fn new(source: &'a dyn Source, own: Own) -> Self {
        Lent { source, own }
    }

    /// Whether its rows are sparse, whatever is tuned of them.
    pub(super) fn is_sparse(&self) -> bool {
        self.source.sparse().is_some()
    }

    fn is(&self, own: Own) -> bool {
        self.own == own
    }
}

/// An input that is a byte.
#[inline(always)]
fn of_byte<A: Arithmetic, S: Scalar>(byte: u8, mean: f32) -> S {
    let unit = S::from_f32(1.0 / 255.0);
    A::mul_add(S::from_f32(f32::from(byte)), unit, S::from_f32(-mean))
}

#[deny(clippy::missing_trait_methods)]
impl Examples for Lent<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    fn inputs(&self) -> usize {
        self.source.inputs()
    }

    fn gather<A: Arithmetic, S: Scalar>(&self, batch: &[u32], x: &mut [S]) -> Result<(), Error> {
        let width = self.inputs();
        check_len("x", x, batch.len().saturating_mul(width))?;
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(width.max(1))) {
            match self.source.input(*i)? {
                Input::Numbers(numbers) => {
                    check_len("inputs of an example", numbers, width)?;
                    for (x, number) in x.iter_mut().zip(numbers) {
                        *x = S::from_f32(*number);
                    }
                }
                Input::Bytes { bytes, mean } => {
                    check_len("inputs of an example", bytes, width)?;
                    map(
                        bytes,
                        x,
                        #[inline(always)]
                        move |byte| of_byte::<A, S>(byte, mean),
                    );
                }
                Input::Sparse {
                    indices,
                    bytes,
                    mean,
                } => {
                    run(
                        #[inline(always)]
                        move || {
                            x.fill(of_byte::<A, S>(0, mean));
                            for (index, byte) in indices.iter().zip(bytes) {
                                if let Some(x) = x.get_mut(usize::from(*index)) {
                                    *x = of_byte::<A, S>(*byte, mean);
                                }
                            }
                        },
                    );
                }
            }
        }
        Ok(())
    }

    fn label(&self, i: u32) -> Result<usize, Error> {
        match self.source.target(i)? {
            Target::Class(class) => Ok(class),
            // The first of the greatest.
            Target::Numbers(numbers) => {
                let mut class = 0;
                for (k, number) in numbers.iter().enumerate() {
                    if numbers.get(class).is_some_and(|greatest| number > greatest) {
                        class = k;
                    }
                }
                Ok(class)
            }
        }
    }

    fn sparse(&self) -> Option<f32> {
        self.source.sparse().filter(|_| !self.is(Own::Inputs))
    }

    fn indices(&self, i: u32) -> Result<&[u16], Error> {
        match self.source.input(i)? {
            Input::Sparse { indices, .. } => Ok(indices),
            _ => Err(OTHER_ROWS),
        }
    }

    fn values<A: Arithmetic, S: Scalar>(&self, i: u32, values: &mut [S]) -> Result<(), Error> {
        let Input::Sparse { indices, bytes, .. } = self.source.input(i)? else {
            return Err(OTHER_ROWS);
        };
        SparsePixels::read(indices, bytes, values)
    }

    fn hypers(&self) -> usize {
        match self.own {
            Own::Nothing(hypers) => hypers,
            Own::Weights => self.len(),
            Own::Inputs => self.len().saturating_mul(self.inputs()),
        }
    }

    fn gives(&self) -> Given {
        Given {
            inputs: self.is(Own::Inputs),
            targets: self.source.targets(),
            weights: self.is(Own::Weights),
        }
    }

    fn inputs_at<A: Arithmetic, S: Scalar>(
        &self,
        h: &[S],
        batch: &[u32],
        x: &mut [S],
    ) -> Result<(), Error> {
        if !self.is(Own::Inputs) {
            return self.gather::<A, S>(batch, x);
        }
        let width = self.inputs();
        check_len("h", h, self.hypers())?;
        check_len("x", x, batch.len().saturating_mul(width))?;
        for (i, x) in batch.iter().zip(x.chunks_exact_mut(width.max(1))) {
            copy(row(h, width, *i as usize)?, x);
        }
        Ok(())
    }

    fn target<A: Arithmetic, S: Scalar>(&self, _h: &[S], i: u32, class: usize) -> Result<S, Error> {
        Ok(match self.source.target(i)? {
            Target::Class(label) if label == class => S::ONE,
            Target::Class(_) => S::ZERO,
            Target::Numbers(numbers) => {
                let (what, index, len) = ("target", class, numbers.len());
                let number = numbers.get(class);
                S::from_f32(*number.ok_or(Error::Index { what, index, len })?)
            }
        })
    }

    fn weight<A: Arithmetic, S: Scalar>(&self, h: &[S], i: u32) -> Result<S, Error> {
        if !self.is(Own::Weights) {
            return Ok(S::ONE);
        }
        check_len("h", h, self.hypers())?;
        number("example", h, i as usize)
    }

    fn pull<A: Arithmetic, S: Scalar>(
        &self,
        _h: &[S],
        i: u32,
        by: Adjoint<'_, S>,
        d_h: &mut [S],
    ) -> Result<(), Error> {
        check_len("d_h", d_h, self.hypers())?;
        match (self.own, by) {
            (Own::Weights, Adjoint::Weight(d)) => {
                add_to::<A, S>("example", d_h, i as usize, d, S::ONE)?;
            }
            (Own::Inputs, Adjoint::Inputs(d_x)) => {
                check_len("adjoint of the inputs", d_x, self.inputs())?;
                add_rows(d_x, row_mut(d_h, self.inputs(), i as usize)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_blocks(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        if self.hypers() > 0 {
            visit("examples", self.hypers());
        }
    }
}
