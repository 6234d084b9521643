//! Clients as ranks of MPI.
//!
//! Rank `r` of `k` holds the clients `c` with `c mod k = r`, in threads as [one process](super::link::Threads)
//! alone does; rank 0 is the server too. So any number of ranks up to that of the clients holds them, and as
//! replies are sorted by client, none changes a bit.
//!
//! Messages are bytes, from point to point: an order goes to each rank once, a reply comes from each client.
//! Nobody spins: a rank with nothing to do looks for messages every [`NAP`]. A rank that sends keeps
//! receiving, so that no two wait for each other.
//!
//! MPI ends all ranks where one dies. Rank 0 then hears of it by a signal, and says where the state is.
//!
//! Refused: more ranks than clients.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mpi::Threading;
use mpi::point_to_point::{Message, Status};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, MatchedReceiveVec, Source};

use super::Server;
use super::link::{Link, Threads};
use super::wire::{Order, Task};
use crate::interrupt;
use crate::words::several;

/// How long a rank with nothing to do waits before it looks again.
const NAP: Duration = Duration::from_micros(200);

/// The rank of the server.
const ROOT: i32 = 0;

/// Runs as one of the ranks that were started.
///
/// # Errors
/// On rank 0 those of the server; on all ranks what is refused by all alike.
pub fn run(server: &Server, resume: bool) -> Result<()> {
    let initialised = mpi::initialize_with_threading(Threading::Funneled);
    let (universe, threading) = initialised.context("MPI was begun already")?;
    ensure!(
        threading >= Threading::Funneled,
        "this MPI allows no threads beside it: build it with some"
    );
    let world = universe.world();
    let (rank, ranks) = (world.rank(), world.size());
    let clients = server.clients();
    let refused = server.check().and_then(|()| {
        ensure!(
            ranks as usize <= clients,
            "{} and {}: start at most one rank for each client",
            several(ranks as usize, "rank"),
            several(clients, "client")
        );
        Ok(())
    });
    if refused.is_err() {
        // All ranks see it, and one says it.
        return if rank == ROOT { refused } else { Ok(()) };
    }
    let own = (0..clients).skip(rank as usize).step_by(ranks as usize);
    let own: Vec<usize> = own.collect();
    let mut served = false;
    let done = server.with_clients(&own, |local| {
        if rank == ROOT {
            let state = server.state_path();
            interrupt::watch(move || match state.exists() {
                true => warn!(
                    "drmad: ended from outside, as when a rank has died; --resume goes on from {}",
                    state.display()
                ),
                false => warn!(
                    "drmad: ended from outside, as when a rank has died, before a first state was saved"
                ),
            })?;
            served = true;
            let mut link = Ranks {
                world: &world,
                local,
            };
            server.serve(&mut link, resume).map(drop)
        } else {
            // One rank's word is enough.
            interrupt::watch(|| ())?;
            obey(&world, local)
        }
    });
    if let (Err(error), false) = (&done, served) {
        // The others would wait for it.
        warn!("drmad: rank {rank}: {error:#}");
        world.abort(1);
    }
    done
}

/// The clients of all ranks, as rank 0 sees them.
struct Ranks<'a> {
    world: &'a SimpleCommunicator,
    local: &'a mut Threads,
}

impl Link for Ranks<'_> {
    fn tell(&mut self, order: &Order) -> Result<()> {
        let bytes = order.to_bytes();
        for rank in 1..self.world.size() {
            self.world.process_at_rank(rank).send(&bytes[..]);
        }
        self.local.tell(order)
    }

    fn hear(&mut self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let clock = Instant::now();
        loop {
            if let Some(message) = self.world.any_process().immediate_matched_probe() {
                return Ok(Some(receive(message)));
            }
            if let Some(reply) = self.local.hear(NAP)? {
                return Ok(Some(reply));
            }
            if clock.elapsed() >= patience {
                return Ok(None);
            }
        }
    }
}

fn receive(message: (Message, Status)) -> Vec<u8> {
    let (bytes, _) = message.matched_receive_vec();
    bytes
}

/// Has the clients of this rank do what rank 0 says.
fn obey(world: &SimpleCommunicator, local: &mut Threads) -> Result<()> {
    let root = world.process_at_rank(ROOT);
    let order = || root.immediate_matched_probe().map(receive);
    let mut orders = VecDeque::new();
    loop {
        orders.extend(order());
        if let Some(bytes) = orders.pop_front() {
            let order = Order::from_bytes(&bytes)?;
            local.tell(&order)?;
            if order.task == Task::Stop {
                return Ok(());
            }
        }
        if let Some(reply) = local.hear(NAP)? {
            mpi::request::scope(|scope| {
                let mut sending = root.immediate_send(scope, &reply[..]);
                while let Err(still) = sending.test() {
                    sending = still;
                    orders.extend(order());
                    thread::sleep(NAP);
                }
            });
        }
    }
}
