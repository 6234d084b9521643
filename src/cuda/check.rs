//! The kernels one by one, as golden vectors see them.

use std::format;
use std::vec::Vec;

use super::arena::Arena;
use super::device::Device;
use super::{Error, layout};
use crate::Arithmetic;

/// An input or an output of a kernel: words of 32 bits, whatever they stand for.
pub type Buffer = Vec<u32>;

/// Kernels that [`Device::kernel`] knows, by the names of the golden vectors (`docs/porting.md`).
pub struct Kernels;

impl Kernels {
    /// Their names.
    pub const ALL: [&'static str; 14] = [
        "momentum_step",
        "momentum_adjoint",
        "momentum_undo",
        "between",
        "exp",
        "ln",
        "tanh",
        "tanh_adjoint",
        "softmax",
        "reduce",
        "all_finite",
        "matmul",
        "by_rows",
        "quantise",
    ];
}

impl Device {
    /// Runs a kernel on inputs in the order of its golden vector's file; `outputs` holds words of the right
    /// number, which it overwrites where the device computes them. What it does not compute it leaves.
    ///
    /// # Errors
    /// What the machine says, and a kernel that it does not know.
    pub fn kernel<A: Arithmetic>(
        &self,
        kernel: &str,
        inputs: &[Buffer],
        outputs: &mut [Buffer],
    ) -> Result<(), Error> {
        let place = |arena: &mut Arena<'_>| -> Result<(Vec<layout::Buffer>, u64), Error> {
            let mut buffers = |of: &[Buffer]| -> Result<Vec<layout::Buffer>, Error> {
                of.iter()
                    .map(|words| {
                        Ok(layout::Buffer {
                            address: arena.write(words)?,
                            count: words.len() as u32,
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
                blocks: self.spread.blocks.unwrap_or(1),
                unused: 0,
            };
            Ok((output, arena.write(&[vector])?))
        };
        let mut arena = Arena::measure();
        place(&mut arena)?;
        let machine = self.machine();
        let memory = machine.allocate(arena.used() as usize)?;
        let mut arena = Arena::new(machine, &memory);
        let (output, args) = place(&mut arena)?;
        let launch = self.launch_of::<A>(self.spread.blocks.unwrap_or(1));
        machine.launch(&format!("check_{kernel}"), launch, args)?;
        for (words, buffer) in outputs.iter_mut().zip(output) {
            *words = arena.read(buffer.address, words.len())?;
        }
        Ok(())
    }
}
