//! What carries orders to clients and replies back.
//!
//! A [`Link`] is all that a server knows of its clients' whereabouts. [`Threads`] has them in this process:
//! client `i` of those here on thread `i mod threads`. A process of MPI holds its clients in the same way.
//!
//! Replies come in any order; the server sorts them. A client that hears the next order before it has begun
//! to answer the last, or while it waits as a [slow](Slow) one does, leaves that one unanswered. One that is in the midst of a
//! training ends it, and its reply is late.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::clients::{Work, reply};
use super::settings::Slow;
use super::wire::{Order, Reply, Said, Task};

/// What carries orders to clients and replies back.
pub trait Link {
    /// Sends an order to all.
    ///
    /// # Errors
    /// Clients that are no longer there.
    fn tell(&mut self, order: &Order) -> Result<()>;

    /// The next reply, where one comes within this time.
    ///
    /// # Errors
    /// Clients that are no longer there.
    fn hear(&mut self, patience: Duration) -> Result<Option<Vec<u8>>>;
}

/// Clients in this process.
#[derive(Debug)]
pub struct Threads {
    orders: Vec<Sender<Arc<Order>>>,
    replies: Receiver<Vec<u8>>,
}

impl Threads {
    /// Has these clients on so many threads while `body` runs.
    ///
    /// # Errors
    /// Those of `body`.
    pub fn with<T>(
        work: &impl Work,
        clients: &[usize],
        slow: &[Slow],
        threads: usize,
        body: impl FnOnce(&mut Threads) -> Result<T>,
    ) -> Result<T> {
        thread::scope(|scope| {
            let (heard, replies) = mpsc::channel();
            let threads = threads.clamp(1, clients.len().max(1));
            let orders = (0..threads).map(|i| {
                let (told, orders) = mpsc::channel();
                let own = clients.iter().copied().skip(i).step_by(threads);
                let mut own: Vec<usize> = own.collect();
                // Nobody on its thread waits for a slow one.
                own.sort_by_key(|client| slow.iter().any(|slow| slow.client == *client));
                let heard = heard.clone();
                scope.spawn(move || serve(work, &own, slow, &orders, &heard));
                told
            });
            let mut link = Threads {
                orders: orders.collect(),
                replies,
            };
            drop(heard);
            // With the link its senders go, and the threads end.
            body(&mut link)
        })
    }
}

impl Link for Threads {
    fn tell(&mut self, order: &Order) -> Result<()> {
        let order = Arc::new(order.clone());
        for thread in &self.orders {
            let sent = thread.send(Arc::clone(&order));
            sent.ok().context("a thread of clients has ended")?;
        }
        Ok(())
    }

    fn hear(&mut self, patience: Duration) -> Result<Option<Vec<u8>>> {
        match self.replies.recv_timeout(patience) {
            Ok(reply) => Ok(Some(reply)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("all threads of clients have ended"),
        }
    }
}

/// Answers orders for some clients until there is nothing more.
fn serve(
    work: &impl Work,
    clients: &[usize],
    slow: &[Slow],
    orders: &Receiver<Arc<Order>>,
    replies: &Sender<Vec<u8>>,
) {
    let mut next = orders.recv().ok();
    'orders: while let Some(order) = next.take() {
        if order.task == Task::Stop {
            return;
        }
        for client in clients {
            let waits =
                |slow: &&Slow| slow.client == *client && matches!(order.task, Task::Step(_));
            let newer = match slow.iter().find(waits) {
                Some(slow) => orders.recv_timeout(slow.wait),
                None => orders.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
            };
            match newer {
                Ok(order) => {
                    next = Some(order);
                    continue 'orders;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // A server that hears nothing would wait for ever.
            let attempt = catch_unwind(AssertUnwindSafe(|| reply(work, *client, &order)));
            let bytes = attempt.unwrap_or_else(|panic| {
                let said = Said::Failed(words(&*panic).to_string());
                let (round, client) = (order.round, *client as u32);
                let reply = Reply {
                    round,
                    client,
                    said,
                };
                reply.to_bytes()
            });
            if replies.send(bytes).is_err() {
                return;
            }
        }
        next = orders.recv().ok();
    }
}

/// What a panic says.
fn words(panic: &dyn Any) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    let words = owned.or_else(|| panic.downcast_ref::<&str>().copied());
    words.unwrap_or("a panic without words")
}
