//! Replicas on a device: placed in its memory, walked and swept in two launches, read back.

use std::boxed::Box;
use std::string::String;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::vec::Vec;

use super::arena::Arena;
use super::driver::Driver;
use super::emulated::{Emulated, Order};
use super::layout;
use super::machine::{Launch, Machine};
use super::replica::{Costs, Placed, Replica};
use super::{Error, Mismatch};
use crate::Arithmetic;

/// How the threads of a launch are spread. No bit depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Threads in a block, a multiple of 32 up to 256.
    pub threads: u32,
    /// Blocks for each replica; none for as many as fit, one where there are many replicas.
    pub blocks: Option<u32>,
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            threads: 256,
            blocks: None,
        }
    }
}

/// A device with the kernels compiled for it.
pub struct Device {
    machine: Box<dyn Machine>,
    /// Bytes of shared memory that a block needs.
    shared: u32,
    /// Threads that a block may have.
    most_threads: u32,
    /// One run has it at a time: another would find less memory than it measured.
    turn: Mutex<()>,
    /// How launches are spread.
    pub spread: Spread,
    /// Bytes of its memory that may be used, where that is less than what is free.
    pub most_bytes: Option<u64>,
}

/// The way back of a replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Back {
    /// The validation loss.
    pub valid_loss: f32,
    /// The derivative by `h`.
    pub d_h: Vec<f32>,
    /// By the tables of rates and momenta, where they are wanted.
    pub schedule: Option<(Vec<f32>, Vec<f32>)>,
    /// By the initial weights.
    pub d_w: Vec<f32>,
    /// What it took.
    pub costs: Costs,
}

/// What a replica gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The weights at the end.
    pub w: Vec<f32>,
    /// The training loss before every step.
    pub losses: Vec<f32>,
    /// The way back, where one was given.
    pub back: Option<Back>,
}

/// What all of them gave, in their order.
#[derive(Debug)]
pub struct Results {
    /// Each replica's own: some may diverge.
    pub replicas: Vec<Result<Done, crate::Error>>,
    /// Seconds of all trainings, side by side.
    pub forward_seconds: f64,
    /// Seconds of all ways back.
    pub back_seconds: f64,
}

impl Device {
    /// The GPU of this number, from 0.
    ///
    /// # Errors
    /// No driver, no NVRTC, no such GPU; what the driver says.
    pub fn open(number: usize) -> Result<Self, Error> {
        Device::new(Driver::boxed(number)?)
    }

    /// An emulation on the processor, whose threads take turns in this order.
    ///
    /// # Errors
    /// No C++ compiler; what it says.
    pub fn emulated(order: Order) -> Result<Self, Error> {
        let mut device = Device::new(Emulated::boxed(order)?)?;
        // Of the fewest threads that a block can have, each turn costs least.
        device.spread.threads = 32;
        Ok(device)
    }

    fn new(machine: Box<dyn Machine>) -> Result<Self, Error> {
        let mut device = Device {
            machine,
            shared: 0,
            most_threads: 0,
            turn: Mutex::new(()),
            spread: Spread::default(),
            most_bytes: None,
        };
        let mut sizes = [0u32; 5];
        let memory = device.machine.allocate(size_of_val(&sizes))?;
        let one = Launch {
            fused: false,
            blocks: 1,
            threads: 32,
            shared: 0,
            cooperative: false,
        };
        device.machine.launch("sizes", one, memory.address())?;
        device
            .machine
            .read(&memory, 0, bytemuck::cast_slice_mut(&mut sizes))?;
        drop(memory);
        let [replica, status, teams, shared, threads] = sizes;
        for (what, here, there) in [
            ("Replica", size_of::<layout::Replica>(), replica),
            ("Status", size_of::<layout::Status>(), status),
            ("Teams", size_of::<layout::Teams>(), teams),
        ] {
            if here != there as usize {
                return Err(Mismatch { what, here, there }.into());
            }
        }
        (device.shared, device.most_threads) = (shared, threads);
        Ok(device)
    }

    /// Seconds from a launch of nothing to its end, the mean of `count`: what a training pays that is launched
    /// step by step.
    ///
    /// # Errors
    /// What the machine says.
    pub fn seconds_of_a_launch(&self, count: u32) -> Result<f64, Error> {
        let memory = self.machine.allocate(size_of::<[u32; 5]>())?;
        let launch = self.launch_of::<crate::Plain>(1);
        let clock = Instant::now();
        for _ in 0..count {
            self.machine.launch("sizes", launch, memory.address())?;
        }
        Ok(clock.elapsed().as_secs_f64() / f64::from(count.max(1)))
    }

    pub(super) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    /// A launch of so many blocks.
    pub(super) fn launch_of<A: Arithmetic>(&self, blocks: u32) -> Launch {
        Launch {
            fused: A::NAME == crate::Fused::NAME,
            blocks,
            threads: self.spread.threads,
            shared: self.shared,
            cooperative: blocks > 1,
        }
    }

    /// What it is.
    pub fn name(&self) -> String {
        self.machine.name()
    }

    /// Trains all replicas and takes them back where they have a way: as many at a time as fit the
    /// device's memory.
    ///
    /// # Errors
    /// What a device cannot do, and what no training could; a replica that does not fit, with the bytes that
    /// were needed and free; what the driver says. A training that diverges is an error of its own replica.
    pub fn run<A: Arithmetic>(&self, replicas: &[Replica<'_>]) -> Result<Results, Error> {
        for replica in replicas {
            replica.check()?;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut results = Results {
            replicas: Vec::with_capacity(replicas.len()),
            forward_seconds: 0.0,
            back_seconds: 0.0,
        };
        let mut rest = replicas;
        let mut most = replicas.len();
        while !rest.is_empty() {
            let wave = &rest[..most.min(rest.len())];
            let mut arena = Arena::measure();
            place(wave, 0, &mut arena)?;
            let free = self
                .machine
                .free()?
                .min(self.most_bytes.unwrap_or(u64::MAX));
            let needed = arena.used();
            if needed > free {
                if wave.len() == 1 {
                    return Err(Error::Memory { needed, free });
                }
                most = wave.len().div_ceil(2);
                continue;
            }
            self.run_wave::<A>(wave, needed, &mut results)?;
            rest = &rest[wave.len()..];
        }
        Ok(results)
    }

    fn run_wave<A: Arithmetic>(
        &self,
        wave: &[Replica<'_>],
        bytes: u64,
        results: &mut Results,
    ) -> Result<(), Error> {
        let machine = &*self.machine;
        let memory = machine.allocate(bytes as usize)?;
        let mut arena = Arena::new(machine, &memory);
        let blocks = self.blocks::<A>(wave)?;
        let (placed, args) = place(wave, blocks, &mut arena)?;
        let launch = Launch {
            blocks: blocks * wave.len() as u32,
            ..self.launch_of::<A>(blocks)
        };
        let timed = |kernel| -> Result<f64, Error> {
            let clock = Instant::now();
            machine.launch(kernel, launch, args)?;
            Ok(clock.elapsed().as_secs_f64())
        };
        results.forward_seconds += timed("walk_replicas")?;
        // What the sweep does not leave as it is.
        let ends: Vec<Vec<f32>> = placed
            .iter()
            .map(|placed| arena.read(placed.replica.x.w, placed.replica.net.weights as usize))
            .collect::<Result<_, _>>()?;
        if wave.iter().any(|replica| replica.way.is_some()) {
            results.back_seconds += timed("sweep_replicas")?;
        }
        for ((replica, placed), w) in wave.iter().zip(&placed).zip(ends) {
            let there = &placed.replica;
            let status: Vec<layout::Status> = arena.read(there.status, 1)?;
            results.replicas.push(match said(status[0]) {
                Err(error) => Err(error),
                Ok(()) => Ok(Done {
                    w,
                    losses: arena.read(there.losses, replica.steps)?,
                    back: match replica.way {
                        None => None,
                        Some(_) => Some(back(&arena, replica, placed)?),
                    },
                }),
            });
        }
        Ok(())
    }

    /// Blocks for each replica of a wave.
    fn blocks<A: Arithmetic>(&self, wave: &[Replica<'_>]) -> Result<u32, Error> {
        let Spread { threads, blocks } = self.spread;
        if !(32..=self.most_threads).contains(&threads) || threads % 32 != 0 {
            return Err(crate::Error::Range {
                what: "threads of a block, a multiple of 32",
                value: f64::from(threads),
                least: 32.0,
                greatest: f64::from(self.most_threads),
            }
            .into());
        }
        if blocks == Some(1)
            || (blocks.is_none() && wave.len() >= self.machine.processors() as usize)
        {
            return Ok(1);
        }
        // Those of a team wait for each other, so all must run at the same time.
        let mut resident = u32::MAX;
        for kernel in ["walk_replicas", "sweep_replicas"] {
            resident = resident.min(self.machine.resident(kernel, self.launch_of::<A>(1))?);
        }
        let fit = (resident as usize / wave.len()).max(1) as u32;
        let blocks = match blocks {
            Some(blocks) if blocks > fit || blocks == 0 => {
                return Err(crate::Error::Range {
                    what: "blocks of a replica",
                    value: f64::from(blocks),
                    least: 1.0,
                    greatest: f64::from(fit),
                }
                .into());
            }
            Some(blocks) => blocks,
            None => {
                // A barrier between blocks costs as much as some thousands of weights' work.
                let weights = wave
                    .iter()
                    .map(|replica| replica.weights())
                    .max()
                    .unwrap_or(0);
                let worth = weights.div_ceil(WEIGHTS_OF_A_BLOCK).max(1) as u32;
                let processors = (self.machine.processors() as usize / wave.len()).max(1) as u32;
                fit.min(processors).min(worth)
            }
        };
        Ok(blocks)
    }
}

/// From this many weights on a second block is worth its barriers.
const WEIGHTS_OF_A_BLOCK: usize = 1 << 15;

/// Places all replicas, a table of them, and what the entry points are given, whose address is the second.
fn place(
    wave: &[Replica<'_>],
    blocks: u32,
    arena: &mut Arena<'_>,
) -> Result<(Vec<Placed>, u64), Error> {
    let placed: Vec<Placed> = wave
        .iter()
        .map(|replica| replica.place(arena))
        .collect::<Result<_, _>>()?;
    let table: Vec<layout::Replica> = placed.iter().map(|placed| placed.replica).collect();
    let replicas = arena.write(&table)?;
    let count = wave.len() as u32;
    let args = arena.write(&[layout::Teams {
        replicas,
        blocks,
        count,
    }])?;
    Ok((placed, args))
}

/// What a status stands for.
fn said(status: layout::Status) -> Result<(), crate::Error> {
    let what = match status.code {
        0 => return Ok(()),
        1 => "training loss",
        2 => "weights",
        3 => "validation loss",
        4 => "gradient of the validation loss",
        5 => "direct term",
        6 => "adjoint of the weights",
        _ => "hypergradient",
    };
    let step = status.step as usize;
    Err(crate::Error::Diverged { what, step })
}

fn back(arena: &Arena<'_>, replica: &Replica<'_>, placed: &Placed) -> Result<Back, Error> {
    let there = &placed.replica;
    let valid_loss: Vec<f32> = arena.read(there.valid_loss, 1)?;
    Ok(Back {
        valid_loss: valid_loss[0],
        d_h: arena.read(there.d_h, replica.h.len())?,
        schedule: match replica.wants_schedule {
            true => Some((
                arena.read(there.d_rates, replica.schedule.rates.len())?,
                arena.read(there.d_momenta, replica.schedule.momenta.len())?,
            )),
            false => None,
        },
        d_w: arena.read(there.x.d_w, replica.weights())?,
        costs: placed.costs,
    })
}
