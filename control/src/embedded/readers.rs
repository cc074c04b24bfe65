//! Those who read: threads of the ledger's own.
//!
//! In: reads. Out: what each came to. Always: a read waits for other reads of the ledger at most,
//! never for whatever else in the process waits on threads that may; both the threads and those
//! who wait for one are limited. It does not know what is read.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::store::Store;
use crate::ledger::LedgerError;

/// Threads that read.
const READERS: usize = 2;
/// Reads that wait for a thread; who comes then waits to be let in.
const WAITING_MAX: usize = 1024;

type Read = Box<dyn FnOnce(&Store) + Send>;

/// See the module. Dropping it waits for the reads under way.
#[derive(Debug)]
pub(super) struct Readers {
    reads: Option<mpsc::Sender<Read>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Readers {
    /// Starts the threads.
    pub(super) fn start(store: &Arc<Store>) -> io::Result<Self> {
        let (reads, received) = mpsc::channel(WAITING_MAX);
        let received = Arc::new(Mutex::new(received));
        let start = |number: usize| {
            let (store, received) = (Arc::clone(store), Arc::clone(&received));
            let thread = thread::Builder::new().name(format!("ledger-read-{number}"));
            thread.spawn(move || run(&store, &received))
        };
        let threads = (1..=READERS).map(start).collect::<io::Result<_>>()?;
        Ok(Self { reads: Some(reads), threads })
    }

    /// Reads; without an answer when the read itself went wrong in a way that nobody foresaw.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<Result<T, redb::Error>, LedgerError> {
        let ended = || LedgerError::Unavailable("a read of it ended badly".to_owned());
        let reads = self.reads.as_ref().ok_or_else(ended)?;
        let (answer, answered) = oneshot::channel();
        let read: Read = Box::new(move |store| {
            // Who has gone does not want it.
            drop(answer.send(store.with(read)));
        });
        reads.send(read).await.map_err(|_read| ended())?;
        answered.await.map_err(|_gone| ended())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        drop(self.reads.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that reads the ledger ended badly");
            }
        }
    }
}

fn run(store: &Store, reads: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let next = reads.lock().blocking_recv();
        let Some(read) = next else { return };
        // What redb does is caught by the store; one read is lost if anything else goes wrong.
        if catch_unwind(AssertUnwindSafe(|| read(store))).is_err() {
            tracing::error!("a read of the ledger ended badly");
        }
    }
}
