//! The one who writes: a thread that commits, for all who wait at once, in one transaction.
//!
//! In: actions. Out: what became of each, once it is on disk, and how far all has come.
//! Always: whoever is answered is answered after the commit; nobody is published before it; while
//! one commit waits for the disk the next group gathers. A group that fails fails for all of it.

use std::{io, sync::Arc, thread};

use bytes::Bytes;
use redb::Database;
use tokio::sync::{mpsc, oneshot, watch};

pub(super) use super::tables::Done;
use super::{
    Kept,
    tables::{self, Heads},
};
use crate::ledger::{Expect, Key, LedgerError, Log};

/// Actions of one transaction, at most.
const GROUP_MAX: usize = 256;
/// Actions that wait for the thread; who comes then waits to be let in.
const WAITING_MAX: usize = 1024;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Action {
    /// A document; without a value it is taken away.
    Write { key: Key, value: Option<Bytes>, expect: Expect },
    /// An entry of a log.
    Append { log: Log, entry: Bytes, once: Option<Box<str>> },
}

struct Order {
    action: Action,
    answer: oneshot::Sender<Result<Done, LedgerError>>,
}

/// See the module. Dropping it waits for the commit under way.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        database: Arc<Database>,
        publish: watch::Sender<Heads>,
        kept: Kept,
    ) -> io::Result<Self> {
        let (orders, received) = mpsc::channel(WAITING_MAX);
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || run(&database, received, &publish, kept))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Does it, and waits until it is on disk. Who stops waiting has not undone it.
    pub(super) async fn perform(&self, action: Action) -> Result<Done, LedgerError> {
        let ended = || LedgerError::Unavailable("its thread has ended".to_owned());
        let orders = self.orders.as_ref().ok_or_else(ended)?;
        let (answer, answered) = oneshot::channel();
        orders.send(Order { action, answer }).await.map_err(|_order| ended())?;
        answered.await.map_err(|_gone| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's thread ended badly");
        }
    }
}

fn run(
    database: &Database,
    mut orders: mpsc::Receiver<Order>,
    publish: &watch::Sender<Heads>,
    kept: Kept,
) {
    while let Some(first) = orders.blocking_recv() {
        let (mut actions, mut answers) = (vec![first.action], vec![first.answer]);
        while actions.len() < GROUP_MAX
            && let Ok(order) = orders.try_recv()
        {
            actions.push(order.action);
            answers.push(order.answer);
        }
        let heads = *publish.borrow();
        match tables::perform(database, heads, kept, &actions) {
            Ok((done, heads)) => {
                publish.send_replace(heads);
                for (answer, done) in answers.into_iter().zip(done) {
                    // Who has gone does not want it.
                    drop(answer.send(done));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the ledger could not be written; nothing was acknowledged");
                for answer in answers {
                    drop(answer.send(Err(LedgerError::Unavailable(error.to_string()))));
                }
            }
        }
    }
}
