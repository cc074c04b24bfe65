//! Interim (1xx) responses on their way to the client.
//!
//! In go a status and fields from whoever serves the request, out go encoded heads that the connection I/O writes
//! between hyper's flushes. They belong to one exchange: after its final response has begun, or to an HTTP/1.0 client,
//! they are declined (RFC 9110 §15.2). Only one 100 (Continue) leaves per exchange. It does not know which fields are
//! worth sending; it only drops those that would frame a message that has no content (RFC 9110 §8.6, RFC 9112 §6.1).

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Release},
    },
};

use http::{HeaderMap, StatusCode, Version, header};

use super::shared::{INTERIM, Shared};

/// Sends interim responses to one request; clones share it.
#[derive(Debug, Clone)]
pub struct Interim {
    shared: Arc<Shared>,
    exchange: u64,
}

/// Why an interim response is not sent. None of these is a reason to fail the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InterimError {
    /// The status is not an interim one that may be sent this way (101 ends HTTP and is not).
    #[error("not an interim status")]
    Status,
    /// The client speaks HTTP/1.0.
    #[error("an HTTP/1.0 client takes no interim response")]
    Version,
    /// The request's final response has begun, or the request is over.
    #[error("the final response has begun")]
    Late,
    /// A 100 (Continue) has been sent for this request.
    #[error("100 (Continue) has been sent")]
    Repeated,
    /// More bytes wait than `interim_bytes_max`.
    #[error("too many interim responses wait")]
    Full,
}

/// Interim responses that wait to be written, and the exchange that they belong to.
#[derive(Debug, Default)]
pub(super) struct Queue {
    exchange: u64,
    bytes: Vec<u8>,
}

impl Queue {
    /// Takes what waits for `exchange`; what waits for an earlier one is too late and falls away.
    pub(super) fn take(&mut self, exchange: u64) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut self.bytes);
        (self.exchange == exchange && !bytes.is_empty()).then_some(bytes)
    }
}

/// The current exchange in one word, so that the I/O takes no lock to begin or end one.
#[derive(Debug)]
pub(super) struct Current(AtomicU64);

const OPEN: u64 = 1;
const HTTP_10: u64 = 2;
const CONTINUED: u64 = 4;
const NUMBER: u32 = 3;

impl Current {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A request's head is given to hyper. The connection's first exchange has the number 1.
    pub(super) fn begin(&self, exchange: u64, version: Version) {
        let version = if version == Version::HTTP_10 { HTTP_10 } else { 0 };
        self.0.store(exchange << NUMBER | version | OPEN, Release);
    }

    /// The final response begins, or none will.
    pub(super) fn end(&self) {
        // Only the I/O clears the bit, and a sender that raced it is told apart when the queue is taken.
        self.0.fetch_and(!OPEN, AcqRel);
    }

    /// Whether interim responses for `exchange` may still be written.
    pub(super) fn is_open(&self, exchange: u64) -> bool {
        let now = self.0.load(Acquire);
        now >> NUMBER == exchange && now & OPEN != 0
    }

    /// Whether a 100 was sent.
    pub(super) fn is_continued(&self, exchange: u64) -> bool {
        let now = self.0.load(Acquire);
        now >> NUMBER == exchange && now & CONTINUED != 0
    }

    /// Marks a 100 as sent; false if one had been.
    pub(super) fn mark_continued(&self, exchange: u64) -> bool {
        self.0
            .fetch_update(AcqRel, Acquire, |now| {
                (now >> NUMBER == exchange && now & CONTINUED == 0).then_some(now | CONTINUED)
            })
            .is_ok()
    }
}

impl Interim {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let exchange = shared.current.0.load(Acquire) >> NUMBER;
        Self { shared, exchange }
    }

    /// Queues one interim response; the connection's task is woken to write it.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) -> Result<(), InterimError> {
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(InterimError::Status);
        }
        let current = &self.shared.current;
        if !current.is_open(self.exchange) {
            return Err(InterimError::Late);
        }
        if current.0.load(Acquire) & HTTP_10 != 0 {
            return Err(InterimError::Version);
        }
        {
            let mut queue = self.shared.interim.lock();
            if queue.exchange != self.exchange {
                queue.exchange = self.exchange;
                queue.bytes.clear();
            }
            let before = queue.bytes.len();
            encode(&mut queue.bytes, status, fields);
            let refused = if queue.bytes.len() > self.shared.interim_bytes_max {
                Some(InterimError::Full)
            } else if status == StatusCode::CONTINUE && !current.mark_continued(self.exchange) {
                Some(InterimError::Repeated)
            } else {
                None
            };
            if let Some(refused) = refused {
                queue.bytes.truncate(before);
                return Err(refused);
            }
        }
        self.shared.wish(INTERIM);
        Ok(())
    }
}

fn encode(out: &mut Vec<u8>, status: StatusCode, fields: &HeaderMap) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in fields {
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender that is overtaken by the end of its exchange leaves bytes behind; the next client must not get them.
    #[test]
    fn what_waits_for_an_earlier_exchange_falls_away() {
        let waiting = || Queue { exchange: 3, bytes: b"HTTP/1.1 103 \r\n\r\n".to_vec() };
        assert!(waiting().take(3).is_some());
        let mut late = waiting();
        assert_eq!(late.take(4), None);
        assert_eq!(late.take(3), None, "it is gone");
    }

    #[test]
    fn an_exchange_is_open_and_continued_only_as_itself() {
        let current = Current::new();
        current.begin(1, Version::HTTP_11);
        assert!(current.is_open(1) && !current.is_open(2));
        assert!(current.mark_continued(1) && !current.mark_continued(1));
        current.begin(2, Version::HTTP_10);
        assert!(!current.is_continued(1) && !current.is_continued(2));
        assert!(!current.mark_continued(1), "an overtaken sender marks nothing");
        current.end();
        assert!(!current.is_open(2));
    }
}
