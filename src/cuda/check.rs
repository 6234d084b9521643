//! The kernels one by one, as golden vectors see them.
//!
//! A kernel's entry point (`source/check.cuh`) reads and writes whatever buffers it is given, and takes sizes from
//! them. So [`TABLE`] has what each of them takes, and nothing is launched on anything else.

use std::boxed::Box;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::arena::Arena;
use super::device::Device;
use super::layout::{self, MOST, counted, product};
use super::{Error, Unsupported};
use crate::Arithmetic;
use crate::error::check_equal;
use crate::kernels::quantise;

/// An input or an output of a kernel: words of 32 bits, whatever they stand for.
pub type Buffer = Vec<u32>;

/// Kernels that [`Device::kernel`] knows, by the names of the golden vectors (`docs/porting.md`).
pub struct Kernels;

impl Kernels {
    /// Their names.
    pub const ALL: [&'static str; TABLE.len()] = {
        let mut names = [""; TABLE.len()];
        let mut k = 0;
        while k < names.len() {
            names[k] = TABLE[k].name;
            k += 1;
        }
        names
    };
}

/// A size that the buffers of a kernel share. It is an integer among the inputs, or the length of the first buffer
/// that has it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Count,
    Rows,
    Inner,
    Columns,
    /// Of a code of so many levels.
    Levels,
}

/// How many words a buffer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// So many.
    Fixed(usize),
    /// As many as a size, which is not an integer of its own.
    Of(Size),
    /// A row for each of the first, as long as the second.
    Matrix(Size, Size),
    /// A code: of at most as many numbers as a block has.
    Code,
    /// One: an integer from the first to the second bound.
    Integer(u32, u32),
    /// One: an integer from this bound on, which is a size.
    Sizes(Size, u32),
}

use Size::{Columns, Count, Inner, Levels, Rows};
use Words::{Code, Fixed, Integer, Matrix, Of, Sizes};

/// A kernel, and the names of its inputs and its outputs with the words of each.
struct Kernel {
    name: &'static str,
    inputs: &'static [(&'static str, Words)],
    outputs: &'static [(&'static str, Words)],
}

macro_rules! table {
    ($($name:ident ($($input:ident: $of_input:expr),*) -> ($($output:ident: $of_output:expr),*);)*) => {
        /// What each kernel takes and gives.
        const TABLE: &[Kernel] = &[$(Kernel {
            name: stringify!($name),
            inputs: &[$((stringify!($input), $of_input)),*],
            outputs: &[$((stringify!($output), $of_output)),*],
        }),*];
    };
}

table! {
    momentum_step(rate: Fixed(1), momentum: Fixed(1), g: Of(Count), v: Of(Count), w: Of(Count))
        -> (v: Of(Count), w: Of(Count));
    momentum_adjoint(rate: Fixed(1), momentum: Fixed(1), d_w: Of(Count), d_v: Of(Count))
        -> (d_v: Of(Count), d_g: Of(Count));
    momentum_undo(rate: Fixed(1), momentum: Fixed(1), g: Of(Count), v: Of(Count), w: Of(Count))
        -> (w: Of(Count), v: Of(Count));
    // What the integers are divided by is no 0.
    between(i: Integer(0, u32::MAX), n: Integer(1, u32::MAX), x0: Of(Count), x1: Of(Count))
        -> (weights: Fixed(2), y: Of(Count));
    exp(x: Of(Count)) -> (y: Of(Count));
    ln(x: Of(Count)) -> (y: Of(Count));
    tanh(x: Of(Count)) -> (y: Of(Count));
    tanh_adjoint(y: Of(Count), r_y: Of(Count), d: Of(Count), r_d: Of(Count))
        -> (d: Of(Count), r_d: Of(Count));
    softmax(classes: Sizes(Columns, 1), z: Matrix(Rows, Columns), r: Matrix(Rows, Columns))
        -> (z: Matrix(Rows, Columns), p: Matrix(Rows, Columns), log_sums: Of(Rows), r: Matrix(Rows, Columns));
    // Two of the sums are the host's, in numbers of two words.
    reduce(x: Of(Count), y: Of(Count))
        -> (sum: Fixed(1), dot: Fixed(1), norm: Fixed(2), cosine: Fixed(2), all_finite: Fixed(1));
    all_finite(x: Of(Count)) -> (all_finite: Fixed(1));
    matmul(
        form: Integer(0, 2), rows: Sizes(Rows, 0), inner: Sizes(Inner, 0), columns: Sizes(Columns, 0),
        a: Matrix(Rows, Inner), b: Matrix(Inner, Columns), c: Matrix(Rows, Columns)
    ) -> (accumulated: Matrix(Rows, Columns), product: Matrix(Rows, Columns));
    by_rows(
        columns: Sizes(Columns, 1), a: Of(Rows), h: Of(Rows), x: Matrix(Rows, Columns),
        y: Matrix(Rows, Columns), d: Matrix(Rows, Columns), h_u: Matrix(Rows, Columns)
    ) -> (
        scale_rows: Matrix(Rows, Columns), add_scaled_rows: Matrix(Rows, Columns), add_row_dots: Of(Rows),
        add_row_sums: Of(Rows), products_h_d: Matrix(Rows, Columns), products_m: Of(Rows)
    );
    quantise(levels: Sizes(Levels, 0), x: Of(Count), y: Of(Count)) -> (code: Code, y: Of(Count));
}

impl Kernel {
    /// Refuses all buffers but those of the table.
    fn check(&self, inputs: &[Buffer], outputs: &[Buffer]) -> Result<(), Error> {
        check_equal("buffers to read", self.inputs.len(), inputs.len())?;
        check_equal("buffers to write", self.outputs.len(), outputs.len())?;
        let all = || {
            let named = self.inputs.iter().zip(inputs);
            named.chain(self.outputs.iter().zip(outputs))
        };
        let mut sizes: Vec<(Size, usize)> = Vec::new();
        let known = |sizes: &[(Size, usize)], size| {
            let mut known = sizes.iter().filter(|(of, _)| *of == size);
            known.next().map(|(_, size)| *size)
        };
        for ((name, words), buffer) in all() {
            let (least, greatest) = match words {
                Integer(least, greatest) => (*least, *greatest),
                Sizes(_, least) => (*least, MOST),
                Of(size) if known(&sizes, *size).is_none() => {
                    sizes.push((*size, buffer.len()));
                    continue;
                }
                _ => continue,
            };
            check_equal(name, 1, buffer.len())?;
            let value = buffer[0];
            if !(least..=greatest).contains(&value) {
                return Err(crate::Error::Range {
                    what: name,
                    value: f64::from(value),
                    least: f64::from(least),
                    greatest: f64::from(greatest),
                }
                .into());
            }
            if let Sizes(size, _) = words {
                sizes.push((*size, value as usize));
            }
        }
        // Whatever a buffer is measured by, an integer or another buffer has.
        let size = |size| known(&sizes, size).unwrap_or(0);
        for ((name, words), buffer) in all() {
            let want = match *words {
                Fixed(count) => count,
                Of(of) => size(of),
                Matrix(rows, columns) => product([size(rows), size(columns)]),
                Code => {
                    let levels = size(Levels) as u32;
                    let block = quantise::block(levels);
                    if block == 0 {
                        return Err(Unsupported::Levels(levels).into());
                    }
                    if size(Count) > block {
                        return Err(crate::Error::Range {
                            what: "numbers of a block",
                            value: size(Count) as f64,
                            least: 0.0,
                            greatest: block as f64,
                        }
                        .into());
                    }
                    quantise::words(levels)
                }
                Integer(..) | Sizes(..) => 1,
            };
            check_equal(name, want, buffer.len())?;
            counted(name, want)?;
        }
        Ok(())
    }
}

impl Device {
    /// Runs a kernel on inputs in the order of its golden vector's file; `outputs` holds words of the right
    /// number, which it overwrites where the device computes them. What it does not compute it leaves.
    ///
    /// # Errors
    /// [`Error::NoKernel`]; [`Error::Kernel`] for another number of buffers, a buffer of another length, and an
    /// integer outside its range; threads and blocks that no launch has; [`Error::Memory`]; what the machine says.
    pub fn kernel<A: Arithmetic>(
        &self,
        kernel: &str,
        inputs: &[Buffer],
        outputs: &mut [Buffer],
    ) -> Result<(), Error> {
        let Some(known) = TABLE.iter().find(|known| known.name == kernel) else {
            return Err(Error::NoKernel(kernel.to_string()));
        };
        (known.check(inputs, outputs)).map_err(|why| Error::Kernel {
            kernel: known.name,
            why: Box::new(why),
        })?;
        let entry = format!("check_{kernel}");
        let blocks = self.blocks::<A>(&[&entry], 1, |_| 1)?;
        let launch = self.launch_of::<A>(blocks, 1)?;
        let place = |arena: &mut Arena<'_>| -> Result<(Vec<layout::Buffer>, u64), Error> {
            let mut buffers = |of: &[Buffer]| -> Result<Vec<layout::Buffer>, Error> {
                of.iter()
                    .map(|words| {
                        Ok(layout::Buffer {
                            address: arena.write(words)?,
                            count: counted("words of a buffer", words.len())?,
                            unused: 0,
                        })
                    })
                    .collect()
            };
            let (input, output) = (buffers(inputs)?, buffers(outputs)?);
            let vector = layout::Vector {
                input: arena.write(&input)?,
                output: arena.write(&output)?,
                arrived: arena.write(&[0u32; 4])?,
                blocks,
                unused: 0,
            };
            Ok((output, arena.write(&[vector])?))
        };
        let mut arena = Arena::measure();
        place(&mut arena)?;
        let memory = self.room(&arena)?;
        let mut arena = Arena::new(&memory);
        let (output, args) = place(&mut arena)?;
        memory.launch(&entry, launch, args)?;
        for (words, buffer) in outputs.iter_mut().zip(output) {
            *words = arena.read(buffer.address, words.len())?;
        }
        Ok(())
    }
}
