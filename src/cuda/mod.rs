//! Whole trainings on a GPU, with the processor's bits.
//!
//! A launch costs a GPU some microseconds, and a step of a small network takes no more. So nothing is launched
//! by the step: one kernel walks a whole training, another sweeps back over it, and only results come back.
//! What a GPU is for here is **many trainings at once**, the *replicas*: rates along an axis, seeds, clients,
//! draws of a mean hypergradient; and large networks.
//!
//! # Teams
//! A replica belongs to a *team* of threads: one block of the device, or several, with a barrier between them.
//! The kernels are phases: each thread of the team computes every size-th output, then all wait. A thousand
//! replicas are a thousand teams, one large network is one team of all processors, and the code is the same
//! (`source/team.cuh`). What is written there is the training, the sweep and the paths of the crate once more
//! (`source/run.cuh`, `path.cuh`), over the network with its wrappers (`loss.cuh`, `network.cuh`).
//!
//! # The same bits
//! Every output's sum runs in the order of the crate's kernels, in one thread; sums over a vector have its 32
//! lanes, which are a warp, and its tree. `exp`, `ln` and `tanh` are its own definitions. Multiply-adds are
//! written out, in one of its two arithmetics, and the compiler contracts nothing. So the team's size changes
//! no bit, and neither does the machine: results are compared with the processor's as bits.
//!
//! # Without a GPU
//! [`Device::on`] takes any [`Machine`] that runs the same [`sources()`]. The tests have one that compiles them as C++ and
//! runs all threads on the processor, each to its next barrier, in an order that can be chosen: that shows a missing
//! barrier. It does not show a GPU's speed, and it is no part of the library.
//!
//! # What it refuses
//! More than 2^31 - 1 of anything that a kernel counts: weights, steps, hyperparameters, numbers of a layer of a
//! piece of a batch. Objectives of the host's: a [`Replica`] says in numbers what is trained. Other optimizers than the heavy ball,
//! reversible training, knots, polynomials, forward mode and implicit differentiation, soft labels, the penalty
//! |w|. Tensor cores, whose sums have another order.
//!
//! ```no_run
//! let device = drmad::cuda::Device::open(0)?;
//! println!("{}", device.name());
//! # Ok::<(), drmad::cuda::Error>(())
//! ```

mod arena;
mod check;
mod device;
mod driver;
mod error;
mod layout;
mod machine;
mod placed;
mod replica;
mod sources;
mod way;

pub use check::{Buffer, Kernels};
pub use device::{Back, Device, Done, Results, Spread};
pub use error::{Error, Mismatch, Unsupported};
pub use machine::{Launch, Machine};
pub use replica::{Images, Inputs, Loss, Recall, Replica, Tuned, Way};
pub use sources::sources;
pub use way::Costs;

/// The kernels in the assembly of GPUs of this compute capability (75, 80, 90), of which none needs to be
/// here: to be looked at. `fused` says in which of the two arithmetics.
///
/// # Errors
/// [`Error::NoCompiler`] where NVRTC is not installed; [`Error::Sources`] where it refuses them or warns.
pub fn assembly(capability: u32, fused: bool) -> Result<std::string::String, Error> {
    let assembly = driver::compile(driver::Target::Assembly(capability), fused)?;
    Ok(std::string::String::from_utf8_lossy(&assembly).into_owned())
}
