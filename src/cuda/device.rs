//! Replicas on a device: placed in its memory, walked and swept in two launches, read back.

use std::boxed::Box;
use std::string::String;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::vec::Vec;

use super::arena::Arena;
use super::driver::Driver;
use super::layout;
use super::layout::counted;
use super::machine::{Launch, Machine, Memory};
use super::placed::Placed;
use super::replica::Replica;
use super::way::Costs;
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

/// The backward pass of a replica.
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
    /// The backward pass, where one was given.
    pub back: Option<Back>,
}

/// What all of them gave, in their order.
#[derive(Debug)]
pub struct Results {
    /// Each replica's own: some may diverge.
    pub replicas: Vec<Result<Done, crate::Error>>,
    /// Seconds of all trainings, side by side.
    pub forward_seconds: f64,
    /// Seconds of all backward passes.
    pub back_seconds: f64,
}

impl Device {
    /// The GPU of this number, from 0.
    ///
    /// # Errors
    /// No driver, no NVRTC, no such GPU; what the driver says.
    pub fn open(number: usize) -> Result<Self, Error> {
        Device::on(Driver::open(number)?)
    }

    /// Any other machine that runs the [sources](super::sources()).
    ///
    /// # Errors
    /// [`Error::Mismatch`] where it has compiled other sources; what the machine says.
    pub fn on(machine: impl Machine + 'static) -> Result<Self, Error> {
        let mut device = Device {
            machine: Box::new(machine),
            shared: 0,
            most_threads: 0,
            turn: Mutex::new(()),
            spread: Spread::default(),
            most_bytes: None,
        };
        let mut sizes = [0u32; 5];
        let memory = Memory::new(&*device.machine, size_of_val(&sizes))?;
        let one = Launch {
            fused: false,
            blocks: 1,
            threads: 32,
            shared: 0,
            cooperative: false,
        };
        memory.launch("sizes", one, memory.address())?;
        memory.read(memory.address(), bytemuck::cast_slice_mut(&mut sizes))?;
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
        let launch = self.launch_of::<crate::Plain>(1, 1)?;
        let memory = Memory::new(&*self.machine, size_of::<[u32; 5]>())?;
        let clock = Instant::now();
        for _ in 0..count {
            memory.launch("sizes", launch, memory.address())?;
        }
        Ok(clock.elapsed().as_secs_f64() / f64::from(count.max(1)))
    }

    /// A launch of so many teams of so many blocks each, as all are made but the first.
    ///
    /// # Errors
    /// [`Range`](crate::Error::Range) for threads that no block has, and more blocks than a launch.
    pub(super) fn launch_of<A: Arithmetic>(
        &self,
        blocks: u32,
        teams: usize,
    ) -> Result<Launch, Error> {
        let threads = self.spread.threads;
        if !(32..=self.most_threads).contains(&threads) || !threads.is_multiple_of(32) {
            return Err(crate::Error::Range {
                what: "threads of a block, a multiple of 32",
                value: f64::from(threads),
                least: 32.0,
                greatest: f64::from(self.most_threads),
            }
            .into());
        }
        Ok(Launch {
            fused: A::NAME == crate::Fused::NAME,
            blocks: counted("blocks of a launch", teams.saturating_mul(blocks as usize))?,
            threads,
            shared: self.shared,
            cooperative: blocks > 1,
        })
    }

    /// The blocks of each of so many teams in these kernels: as many as the spread says, or as `choose` makes of
    /// those that fit the device at the same time.
    ///
    /// # Errors
    /// [`Range`](crate::Error::Range) for none, and for more than fit; as [`launch_of`](Self::launch_of).
    pub(super) fn blocks<A: Arithmetic>(
        &self,
        kernels: &[&str],
        teams: usize,
        choose: impl FnOnce(u32) -> u32,
    ) -> Result<u32, Error> {
        let launch = self.launch_of::<A>(1, 1)?;
        if self.spread.blocks == Some(1) {
            return Ok(1);
        }
        // Those of a team wait for each other, so all must run at the same time.
        let mut resident = u32::MAX;
        for kernel in kernels {
            resident = resident.min(self.machine.resident(kernel, launch)?);
        }
        let fit = (resident as usize / teams.max(1)).max(1) as u32;
        match self.spread.blocks {
            Some(blocks) if blocks > fit || blocks == 0 => Err(crate::Error::Range {
                what: "blocks of a replica",
                value: f64::from(blocks),
                least: 1.0,
                greatest: f64::from(fit),
            }
            .into()),
            Some(blocks) => Ok(blocks),
            None => Ok(choose(fit)),
        }
    }

    /// Memory for what an arena has measured.
    ///
    /// # Errors
    /// [`Error::Memory`] where that is more than is free; what the machine says.
    pub(super) fn room(&self, measured: &Arena<'_>) -> Result<Memory<'_>, Error> {
        let needed = measured.used();
        let free = self
            .machine
            .free()?
            .min(self.most_bytes.unwrap_or(u64::MAX));
        match usize::try_from(needed) {
            Ok(bytes) if needed <= free => Memory::new(&*self.machine, bytes),
            _ => Err(Error::Memory { needed, free }),
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
        // A launch counts them.
        let mut most = replicas.len().min(layout::MOST as usize);
        while !rest.is_empty() {
            let wave = &rest[..most.min(rest.len())];
            let mut arena = Arena::measure();
            place(wave, 0, &mut arena)?;
            let memory = match self.room(&arena) {
                Err(Error::Memory { .. }) if wave.len() > 1 => {
                    most = wave.len().div_ceil(2);
                    continue;
                }
                memory => memory?,
            };
            self.run_wave::<A>(wave, &memory, &mut results)?;
            rest = &rest[wave.len()..];
        }
        Ok(results)
    }

    fn run_wave<A: Arithmetic>(
        &self,
        wave: &[Replica<'_>],
        memory: &Memory<'_>,
        results: &mut Results,
    ) -> Result<(), Error> {
        let mut arena = Arena::new(memory);
        let blocks = self.blocks_of_a_replica::<A>(wave)?;
        let launch = self.launch_of::<A>(blocks, wave.len())?;
        let (placed, args) = place(wave, blocks, &mut arena)?;
        let timed = |kernel| -> Result<f64, Error> {
            let clock = Instant::now();
            memory.launch(kernel, launch, args)?;
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
                        Some(_) => Some(backward(&arena, replica, placed)?),
                    },
                }),
            });
        }
        Ok(())
    }

    /// Blocks for each replica of a wave.
    fn blocks_of_a_replica<A: Arithmetic>(&self, wave: &[Replica<'_>]) -> Result<u32, Error> {
        let processors = self.machine.processors() as usize / wave.len().max(1);
        let weights = wave.iter().map(Replica::weights).max().unwrap_or(0);
        // A barrier between blocks costs as much as some thousands of weights' work.
        let worth = processors.min(weights.div_ceil(WEIGHTS_OF_A_BLOCK)).max(1);
        self.blocks::<A>(&["walk_replicas", "sweep_replicas"], wave.len(), |fit| {
            u32::try_from(worth).map_or(fit, |worth| fit.min(worth))
        })
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
    let count = counted("replicas of a launch", wave.len())?;
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

fn backward(arena: &Arena<'_>, replica: &Replica<'_>, placed: &Placed) -> Result<Back, Error> {
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

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::super::machine::tests::Nothing;
    use super::super::replica::tests::of_widths;
    use super::super::replica::{Recall, Way};
    use super::*;
    use crate::Plain;

    fn nothing(free: u64) -> Device {
        Device {
            machine: Box::new(Nothing { free }),
            shared: 0,
            most_threads: 256,
            turn: Mutex::new(()),
            spread: Spread::default(),
            most_bytes: None,
        }
    }

    #[test]
    fn what_no_memory_holds_is_refused_before_it_is_asked_for_with_what_it_needs() {
        of_widths(&[2, 1 << 28, 2], |wide| {
            let tape = Replica {
                steps: layout::MOST as usize,
                microbatch: 1,
                wants_schedule: true,
                ..wide
            };
            // Sums that leave 64 bits, and one that does not.
            let snapshots = Some(Way {
                recall: Recall::Checkpoints { snapshots: 3 },
                tail: 0,
                last: None,
            });
            let some = Replica {
                way: snapshots,
                steps: 4,
                ..tape
            };
            for (replica, least, greatest) in
                [(tape, u64::MAX, u64::MAX), (some, 6 << 30, 100 << 30)]
            {
                for free in [0, 1 << 30, isize::MAX as u64] {
                    if free > greatest {
                        continue;
                    }
                    let refused = nothing(free).run::<Plain>(&[replica, replica]);
                    let Err(Error::Memory { needed, free: told }) = refused else {
                        panic!("{refused:?}");
                    };
                    assert_eq!(told, free);
                    assert!((least..=greatest).contains(&needed), "{needed}");
                }
            }
        });
        let refused =
            nothing(100).kernel::<Plain>("exp", &[std::vec![0; 5]], &mut [std::vec![0; 5]]);
        let Err(Error::Memory { needed, free: 100 }) = refused else {
            panic!("{refused:?}");
        };
        assert!((101..2_000).contains(&needed), "{needed}");
    }

    #[test]
    fn blocks_are_counted_with_the_teams_that_they_are_of() {
        let device = nothing(0);
        for (blocks, teams, all) in [(1, 1, 1), (3, 5, 15), (1, 1 << 20, 1 << 20)] {
            let launch = device.launch_of::<Plain>(blocks, teams).unwrap();
            assert_eq!((launch.blocks, launch.cooperative), (all, blocks > 1));
        }
        for (blocks, teams) in [(1, 1 << 31), (1 << 16, 1 << 16), (u32::MAX, usize::MAX)] {
            let told = device.launch_of::<Plain>(blocks, teams).unwrap_err();
            assert!(
                told.to_string().starts_with("blocks of a launch is "),
                "{told}"
            );
        }
        // Eight blocks fit, so of three teams two each; of more teams than that, one.
        for (teams, fit) in [(1, 8), (3, 2), (9, 1), (usize::MAX, 1)] {
            assert_eq!(
                device.blocks::<Plain>(&["walk_replicas"], teams, |fit| fit),
                Ok(fit)
            );
            for blocks in [0, fit + 1, u32::MAX] {
                let spread = Spread {
                    blocks: Some(blocks),
                    ..Spread::default()
                };
                let device = Device {
                    spread,
                    ..nothing(0)
                };
                let refused = device.blocks::<Plain>(&["walk_replicas"], teams, |fit| fit);
                assert!(refused.is_err(), "{blocks} blocks of {teams} teams");
            }
        }
    }
}
