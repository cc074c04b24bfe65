//! What one connection has carried so far.
//!
//! In go the counts of the connection I/O, out go figures that any thread may read at any time. Only the I/O writes,
//! so a count is a plain store and never a locked addition. It does not know what is done with the figures.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use super::refusal::{Refusal, Timeout};

const NONE: u8 = u8::MAX;

/// The counters of one connection.
#[derive(Debug)]
pub struct ConnectionStats {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    requests: AtomicU64,
    responses: AtomicU64,
    response_bytes: AtomicU64,
    content_bytes: AtomicU64,
    refusal: AtomicU8,
    timeout: AtomicU8,
}

impl ConnectionStats {
    pub(super) const fn new() -> Self {
        Self {
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            responses: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            content_bytes: AtomicU64::new(0),
            refusal: AtomicU8::new(NONE),
            timeout: AtomicU8::new(NONE),
        }
    }

    /// Bytes read from the socket.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// Bytes that the socket accepted.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }

    /// Requests whose head was given to hyper.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Final responses that the socket accepted to their last byte.
    pub fn responses(&self) -> u64 {
        self.responses.load(Relaxed)
    }

    /// Bytes of the current final response, head included, that the socket accepted; the last one's until the next
    /// request's head is given to hyper.
    pub fn response_bytes(&self) -> u64 {
        self.response_bytes.load(Relaxed)
    }

    /// The same of its content alone, of a response of hyper's.
    pub(super) fn content_bytes(&self) -> u64 {
        self.content_bytes.load(Relaxed)
    }

    /// Why this connection's last request was refused, if it was.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::ALL.get(usize::from(self.refusal.load(Relaxed))).copied()
    }

    /// Which deadline ended this connection, if one did.
    pub fn timeout(&self) -> Option<Timeout> {
        match self.timeout.load(Relaxed) {
            0 => Some(Timeout::Header),
            1 => Some(Timeout::Idle),
            2 => Some(Timeout::Body),
            3 => Some(Timeout::Write),
            4 => Some(Timeout::Linger),
            _ => None,
        }
    }

    pub(super) fn count_in(&self, bytes: usize) {
        add(&self.bytes_in, bytes as u64);
    }

    pub(super) fn count_out(&self, bytes: usize) {
        add(&self.bytes_out, bytes as u64);
    }

    pub(super) fn count_response(&self, bytes: u64) {
        add(&self.response_bytes, bytes);
    }

    pub(super) fn count_content(&self, bytes: u64) {
        add(&self.content_bytes, bytes);
    }

    pub(super) fn request_begins(&self) {
        add(&self.requests, 1);
        self.response_bytes.store(0, Relaxed);
        self.content_bytes.store(0, Relaxed);
    }

    pub(super) fn response_ends(&self) {
        add(&self.responses, 1);
    }

    pub(super) fn refused(&self, reason: Refusal) {
        self.refusal.store(u8::try_from(reason.index()).unwrap_or(NONE), Relaxed);
    }

    pub(super) fn timed_out(&self, timeout: Timeout) {
        self.timeout.store(timeout as u8, Relaxed);
    }
}

/// A single writer needs no read-modify-write.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}
