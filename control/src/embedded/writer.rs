//! The one who writes: a thread that commits, for all who wait at once, in one transaction.
//!
//! In: actions. Out: what became of each, once it is on disk, and how far all has come.
//! Always: whoever is answered is answered after the commit; nobody is published before it; while
//! one commit waits for the disk the next group gathers. A group that fails fails for all of it, and
//! what comes after it is refused at once until the storage takes writes again ([`mending`]).

mod mending;

use std::{io, sync::Arc, thread};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use self::mending::{End, Mending};
pub(super) use super::tables::Done;
use super::{
    Kept,
    store::Store,
    tables::{self, Heads},
};
use crate::ledger::{Expect, Health, Key, LedgerError, Log};

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

enum Order {
    Perform(Action, oneshot::Sender<Result<Done, LedgerError>>),
    /// A read has failed: the storage may have.
    Look,
}

/// See the module. Dropping it waits for the commit under way.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
    health: watch::Receiver<Health>,
    end: Arc<End>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        store: Arc<Store>,
        publish: watch::Sender<Heads>,
        kept: Kept,
    ) -> io::Result<Self> {
        let (orders, received) = mpsc::channel(WAITING_MAX);
        let (told, health) = watch::channel(Health::default());
        let end = Arc::<End>::default();
        let mending = Mending::new(Arc::clone(&store), told, Arc::clone(&end));
        let thread = Thread { store, orders: received, publish, kept, mending };
        let thread =
            thread::Builder::new().name("ledger".to_owned()).spawn(move || thread.run())?;
        Ok(Self { orders: Some(orders), thread: Some(thread), health, end })
    }

    /// Whether it takes anything.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Does it, and waits until it is on disk. Who stops waiting has not undone it.
    pub(super) async fn perform(&self, action: Action) -> Result<Done, LedgerError> {
        if let Some(reason) = self.health.borrow().failing() {
            return Err(LedgerError::Unavailable(reason.to_owned()));
        }
        let ended = || LedgerError::Unavailable("its thread has ended".to_owned());
        let orders = self.orders.as_ref().ok_or_else(ended)?;
        let (answer, answered) = oneshot::channel();
        orders.send(Order::Perform(action, answer)).await.map_err(|_order| ended())?;
        answered.await.map_err(|_gone| ended())?
    }

    /// Has it look whether the storage still takes writes.
    pub(super) fn look(&self) {
        if let Some(orders) = &self.orders {
            // Where too many wait for it, it looks anyway.
            orders.try_send(Order::Look).unwrap_or_default();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.end.come();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's thread ended badly");
        }
    }
}

struct Thread {
    store: Arc<Store>,
    orders: mpsc::Receiver<Order>,
    publish: watch::Sender<Heads>,
    kept: Kept,
    mending: Mending,
}

impl Thread {
    fn run(mut self) {
        while let Some(first) = self.orders.blocking_recv() {
            let failed = match first {
                Order::Perform(action, answer) => self.perform(action, answer),
                Order::Look => self.store.with(tables::probe).map(drop),
            };
            if let Err(error) = failed {
                let orders = &mut self.orders;
                let refuse = |reason: &str| refuse_waiting(orders, reason);
                let told = *self.publish.borrow();
                match self.mending.mend(&error.to_string(), told, refuse) {
                    Some(heads) => drop(self.publish.send_replace(heads)),
                    None => return,
                }
            }
        }
    }

    /// Does the action, and those that wait, in one transaction.
    fn perform(
        &mut self,
        action: Action,
        answer: oneshot::Sender<Result<Done, LedgerError>>,
    ) -> Result<(), redb::Error> {
        let (mut actions, mut answers) = (vec![action], vec![answer]);
        while actions.len() < GROUP_MAX
            && let Ok(order) = self.orders.try_recv()
        {
            // Writing is looking.
            let Order::Perform(action, answer) = order else { continue };
            actions.push(action);
            answers.push(answer);
        }
        let heads = *self.publish.borrow();
        let perform = |database: &_| tables::perform(database, heads, self.kept, &actions);
        match self.store.with(perform) {
            Ok((done, heads)) => {
                self.publish.send_replace(heads);
                for (answer, done) in answers.into_iter().zip(done) {
                    // Who has gone does not want it.
                    drop(answer.send(done));
                }
                Ok(())
            }
            Err(error) => {
                self.mending.begin(&error.to_string());
                for answer in answers {
                    drop(answer.send(Err(LedgerError::Unavailable(error.to_string()))));
                }
                Err(error)
            }
        }
    }
}

/// Refuses all that waits.
fn refuse_waiting(orders: &mut mpsc::Receiver<Order>, reason: &str) {
    while let Ok(order) = orders.try_recv() {
        if let Order::Perform(_, answer) = order {
            drop(answer.send(Err(LedgerError::Unavailable(reason.to_owned()))));
        }
    }
}
