//! A client of a scenario: one connection, what it sends and what it has read.
//!
//! In: a stream to the edge, octets to send, leave to read. Out: the answers so far.
//! Always holds: it reads as soon as it may, so that only a scenario that says `stalls` is slow; a
//! change of what it has read wakes whoever waits.
//! It deliberately judges nothing.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::message::Reader;

/// A stream of octets in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Any such stream.
pub type BoxedStream = Box<dyn Stream>;

/// Wakes whoever waits for a scenario to move on.
pub type Changes = watch::Sender<u64>;

/// Leave to read everything.
const ALL: u64 = u64::MAX;

/// Octets read at a time.
const READ_OCTETS: usize = 16 * 1024;

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    reader: Arc<Mutex<Reader>>,
    leave: Arc<watch::Sender<u64>>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    tasks: [JoinHandle<()>; 2],
    /// Answers that expectations have used up.
    pub used: usize,
}

impl Client {
    /// A client on a fresh connection.
    #[must_use]
    pub fn on(io: BoxedStream, stalls: bool, changes: &Arc<Changes>) -> Self {
        let (read, write) = tokio::io::split(io);
        let reader = Arc::new(Mutex::new(Reader::default()));
        let leave = Arc::new(watch::Sender::new(if stalls { 0 } else { ALL }));
        let (out, queue) = mpsc::unbounded_channel();
        let reading = read_all(read, Arc::clone(&reader), Arc::clone(&leave), Arc::clone(changes));
        let tasks = [tokio::spawn(reading), tokio::spawn(write_all(write, queue))];
        Self { reader, leave, out, tasks, used: 0 }
    }

    /// Sends a request.
    pub fn send(&self, method: &str, octets: Vec<u8>, stalls: bool) {
        self.reader.lock().asked(method);
        if stalls {
            self.leave.send_replace(0);
        }
        self.more(octets);
    }

    /// Sends further octets. A peer that has gone is noticed on the reading side.
    pub fn more(&self, octets: Vec<u8>) {
        drop(self.out.send(octets));
    }

    /// May read this many octets more, or all.
    pub fn may_read(&self, octets: Option<u64>) {
        self.leave
            .send_modify(|leave| *leave = octets.map_or(ALL, |more| leave.saturating_add(more)));
    }

    /// What has been read.
    pub fn read(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock()
    }
}

impl Drop for Client {
    /// The connection goes with its client.
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn read_all(
    mut from: ReadHalf<BoxedStream>,
    reader: Arc<Mutex<Reader>>,
    leave: Arc<watch::Sender<u64>>,
    changes: Arc<Changes>,
) {
    let mut allowed = leave.subscribe();
    let mut buffer = vec![0; READ_OCTETS];
    loop {
        let most = *allowed.borrow_and_update();
        let room = usize::try_from(most).unwrap_or(READ_OCTETS).min(READ_OCTETS);
        let portion = buffer.get_mut(..room).unwrap_or_default();
        let count = tokio::select! {
            biased;
            _ = allowed.changed() => continue,
            count = from.read(portion), if room > 0 => count.unwrap_or(0),
        };
        if count == 0 {
            break;
        }
        reader.lock().feed(portion.get(..count).unwrap_or_default());
        if most != ALL {
            let taken = u64::try_from(count).unwrap_or(ALL);
            leave.send_modify(|leave| *leave = leave.saturating_sub(taken));
        }
        changes.send_modify(|count| *count += 1);
    }
    reader.lock().end();
    changes.send_modify(|count| *count += 1);
}

async fn write_all(mut to: WriteHalf<BoxedStream>, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(octets) = queue.recv().await {
        if to.write_all(&octets).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
