//! What a connection's I/O shares with its sweeper, its handle and its interim responses.
//!
//! In go deadlines and wishes, out goes a wake-up of the task that polls the connection. The I/O looks at one atomic
//! byte per poll; everything else is touched only when that byte is not zero. It knows nothing of HTTP.

use std::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};
use std::task::Waker;

use parking_lot::Mutex;

use super::{
    account::Ledger,
    interim::{Current, Queue},
    stats::ConnectionStats,
};

/// No deadline is set.
pub(super) const NEVER: u64 = u64::MAX;

/// A deadline may have passed.
pub(super) const EXPIRED: u8 = 1;
/// Interim responses wait.
pub(super) const INTERIM: u8 = 2;
/// End the connection after the current exchange.
pub(super) const CLOSE: u8 = 4;
/// The same, but not under a request that its client may have sent already.
pub(super) const DRAIN: u8 = 16;
/// End the connection now.
pub(super) const ABORT: u8 = 8;

/// One connection as others see it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) stats: ConnectionStats,
    pub(super) current: Current,
    pub(super) interim: Mutex<Queue>,
    pub(super) ledger: Ledger,
    pub(super) interim_bytes_max: usize,
    attention: AtomicU8,
    read_deadline: AtomicU64,
    write_deadline: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    pub(super) fn new(interim_bytes_max: usize) -> Self {
        Self {
            stats: ConnectionStats::new(),
            current: Current::new(),
            interim: Mutex::new(Queue::default()),
            ledger: Ledger::default(),
            interim_bytes_max,
            attention: AtomicU8::new(0),
            read_deadline: AtomicU64::new(NEVER),
            write_deadline: AtomicU64::new(NEVER),
            waker: Mutex::new(None),
        }
    }

    /// What the I/O must look at.
    pub(super) fn attention(&self) -> u8 {
        self.attention.load(Acquire)
    }

    pub(super) fn attended(&self, wish: u8) {
        self.attention.fetch_and(!wish, AcqRel);
    }

    /// Ask the I/O to look, and wake its task.
    pub(super) fn wish(&self, wish: u8) {
        self.attention.fetch_or(wish, AcqRel);
        let waker = self.waker.lock();
        if let Some(waker) = waker.as_ref() {
            waker.wake_by_ref();
        }
    }

    /// The I/O's own wish: its task is running already.
    pub(super) fn wish_quietly(&self, wish: u8) {
        self.attention.fetch_or(wish, AcqRel);
    }

    pub(super) fn register(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    pub(super) fn set_read_deadline(&self, millis: u64) {
        self.read_deadline.store(millis, Release);
    }

    pub(super) fn read_deadline(&self) -> u64 {
        self.read_deadline.load(Acquire)
    }

    pub(super) fn set_write_deadline(&self, millis: u64) {
        self.write_deadline.store(millis, Release);
    }

    /// The sweeper's question: has either deadline passed?
    pub(super) fn is_overdue(&self, now_millis: u64) -> bool {
        let (read, write) = self.overdue(now_millis);
        read || write
    }

    /// Which deadlines have passed: reading, writing.
    pub(super) fn overdue(&self, now_millis: u64) -> (bool, bool) {
        let (read, write) = (&self.read_deadline, &self.write_deadline);
        (read.load(Acquire) <= now_millis, write.load(Acquire) <= now_millis)
    }
}
