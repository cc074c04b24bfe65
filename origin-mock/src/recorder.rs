//! What the origin was asked, in order, and how its connections fared.
//!
//! In: heads, content and ends as they arrive. Out: the requests, counters, and waits for either.
//! Always holds: a waiter is woken by what it waits for, never by a clock; what is kept stays under
//! the limits, the oldest requests going first; the counters count what was not kept as well.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::raw::Raw;
use crate::request::Request;

/// One request, as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its number since the origin began, from 0.
    pub sequence: u64,
    /// The connection's number since the origin began, from 0.
    pub connection: u64,
    /// When its head was complete, by the injected clock.
    pub at: SystemTime,
    /// The method.
    pub method: String,
    /// The request target, verbatim.
    pub target: String,
    /// The protocol version, such as `HTTP/1.1`.
    pub version: String,
    /// The fields, in order; only the whitespace around a value is gone.
    pub fields: Vec<(Raw, Raw)>,
    /// The whole head, verbatim.
    pub head: Raw,
    /// The beginning of the content.
    pub content: Raw,
    /// How much content came, kept or not.
    pub content_bytes: u64,
    /// The fields after the last chunk.
    pub trailers: Vec<(Raw, Raw)>,
    /// Whether the whole content has come.
    pub complete: bool,
}

/// What the recorder counts. `requests`, `requests_complete` and `responses` begin anew when the
/// record is cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Request heads that came.
    pub requests: u64,
    /// Requests whose content came whole.
    pub requests_complete: u64,
    /// Responses that went out as scripted, whole or cut.
    pub responses: u64,
    /// Requests that are held at this moment.
    pub held: u64,
    /// Heads or content that were refused with 400 or 431.
    pub requests_bad: u64,
    /// Requests that are no longer kept.
    pub requests_dropped: u64,
    /// Connections taken; those of the control route are not counted.
    pub connections_opened: u64,
    /// Connections that are open at this moment.
    pub connections_open: u64,
    /// Connections whose peer left in the middle of an exchange.
    pub peers_vanished: u64,
}

/// What was waited for did not come in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("nothing of the kind within {within:?}; the origin has {stats:?}")]
pub struct Late {
    /// How long it was waited for.
    pub within: Duration,
    /// What the origin had by then.
    pub stats: Stats,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Most requests.
    pub requests_max: usize,
    /// Most content octets of one request.
    pub content_bytes_max: usize,
    /// Most octets of heads, content and trailers together.
    pub bytes_max: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self { requests_max: 20_000, content_bytes_max: 256 * 1024, bytes_max: 64 * 1024 * 1024 }
    }
}

/// The record of one origin.
#[derive(Debug)]
pub struct Recorder {
    keep: Keep,
    kept: Mutex<Kept>,
    stats: watch::Sender<Stats>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Recorded>,
    bytes: usize,
    next: u64,
    /// Requests below this number were cleared away and count no longer.
    cleared: u64,
}

impl Recorder {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, kept: Mutex::default(), stats: watch::Sender::new(Stats::default()) }
    }

    /// The kept requests, in the order of their heads.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.kept.lock().requests.iter().cloned().collect()
    }

    /// The kept requests for one target or path, in the order of their heads.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> Vec<Recorded> {
        let kept = self.kept.lock();
        kept.requests.iter().filter(|request| request.is_for(path)).cloned().collect()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// Waits until `count` requests have come whole, and answers them.
    ///
    /// # Errors
    /// When they have not come within that time.
    pub async fn wait_for(&self, count: u64, within: Duration) -> Result<Vec<Recorded>, Late> {
        self.wait_until(|stats| stats.requests_complete >= count, within).await?;
        Ok(self.requests())
    }

    /// Waits until `count` request heads have come.
    ///
    /// # Errors
    /// When they have not come within that time.
    pub async fn wait_for_heads(&self, count: u64, within: Duration) -> Result<Stats, Late> {
        self.wait_until(|stats| stats.requests >= count, within).await
    }

    /// Waits until the counters are as `reached` wants them.
    ///
    /// # Errors
    /// When they were not within that time.
    pub async fn wait_until(
        &self,
        reached: impl Fn(&Stats) -> bool,
        within: Duration,
    ) -> Result<Stats, Late> {
        let mut stats = self.stats.subscribe();
        let wait = stats.wait_for(|stats| reached(stats));
        match tokio::time::timeout(within, wait).await {
            Ok(Ok(stats)) => Ok(*stats),
            // The sender lives in `self`, so a closed channel cannot come; time out either way.
            Ok(Err(_)) | Err(_) => Err(Late { within, stats: self.stats() }),
        }
    }

    /// Forgets the requests; their counters begin anew.
    pub fn clear(&self) {
        let mut kept = self.kept.lock();
        kept.requests.clear();
        kept.bytes = 0;
        kept.cleared = kept.next;
        self.stats.send_modify(|stats| {
            stats.requests = 0;
            stats.requests_complete = 0;
            stats.responses = 0;
        });
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    /// Takes a head in and answers the request's number.
    pub(crate) fn head(&self, request: &Request, connection: u64, at: SystemTime) -> u64 {
        let mut kept = self.kept.lock();
        let sequence = kept.next;
        kept.next += 1;
        let recorded = Recorded {
            sequence,
            connection,
            at,
            method: request.method.clone(),
            target: request.target.clone(),
            version: request.version.as_str().to_owned(),
            fields: request.fields.clone(),
            head: Raw::from(&request.head[..]),
            content: Raw::default(),
            content_bytes: 0,
            trailers: Vec::new(),
            complete: false,
        };
        kept.bytes += recorded.bytes();
        kept.requests.push_back(recorded);
        let dropped = kept.shrink(self.keep);
        self.stats.send_modify(|stats| {
            stats.requests += 1;
            stats.requests_dropped += dropped;
        });
        sequence
    }

    /// Takes some of a request's content in.
    pub(crate) fn content(&self, sequence: u64, piece: &[u8]) {
        let mut kept = self.kept.lock();
        let Some(request) = kept.find(sequence) else { return };
        request.content_bytes += piece.len() as u64;
        let room = self.keep.content_bytes_max.saturating_sub(request.content.as_bytes().len());
        let taken = &piece[..piece.len().min(room)];
        request.content.append(taken);
        kept.bytes += taken.len();
        let dropped = kept.shrink(self.keep);
        if dropped > 0 {
            self.stats.send_modify(|stats| stats.requests_dropped += dropped);
        }
    }

    /// Notes that a request has come whole.
    pub(crate) fn whole(&self, sequence: u64, trailers: Vec<(Raw, Raw)>) {
        let mut kept = self.kept.lock();
        let bytes = fields_bytes(&trailers);
        if let Some(request) = kept.find(sequence) {
            request.trailers = trailers;
            request.complete = true;
            kept.bytes += bytes;
        }
        if sequence >= kept.cleared {
            self.stats.send_modify(|stats| stats.requests_complete += 1);
        }
    }

    /// Notes that a request was answered.
    pub(crate) fn answered(&self, sequence: u64) {
        let kept = self.kept.lock();
        if sequence >= kept.cleared {
            self.stats.send_modify(|stats| stats.responses += 1);
        }
    }
}

impl Kept {
    fn find(&mut self, sequence: u64) -> Option<&mut Recorded> {
        let first = self.requests.front()?.sequence;
        let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
        self.requests.get_mut(index)
    }

    /// Drops the oldest until the limits hold again; answers how many went.
    fn shrink(&mut self, keep: Keep) -> u64 {
        let mut dropped = 0;
        while self.requests.len() > keep.requests_max || self.bytes > keep.bytes_max {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
            dropped += 1;
        }
        dropped
    }
}

impl Recorded {
    /// The value of the first field of this name, as text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields(name).into_iter().next()
    }

    /// The values of all fields of this name, in order, as text.
    #[must_use]
    pub fn fields(&self, name: &str) -> Vec<String> {
        let named = |own: &Raw| own.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(|(own, _)| named(own)).map(|(_, value)| value.to_text()).collect()
    }

    /// Whether it asked for this target or, whatever its query, this path.
    #[must_use]
    pub fn is_for(&self, path: &str) -> bool {
        self.target == path || self.target.split('?').next() == Some(path)
    }

    fn bytes(&self) -> usize {
        self.head.as_bytes().len()
            + self.content.as_bytes().len()
            + fields_bytes(&self.fields)
            + fields_bytes(&self.trailers)
    }
}

/// What fields cost in memory: their octets, and what it takes to keep each of them.
fn fields_bytes(fields: &[(Raw, Raw)]) -> usize {
    let each = |(name, value): &(Raw, Raw)| {
        size_of::<(Raw, Raw)>() + name.as_bytes().len() + value.as_bytes().len()
    };
    fields.iter().map(each).sum()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn request(target: &str) -> Request {
        let head = format!("GET {target} HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n");
        Request::parse(head.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn the_oldest_go_when_a_limit_is_reached_and_are_counted() {
        let recorder = Recorder::new(Keep { requests_max: 2, ..Keep::default() });
        for target in ["/1", "/2", "/3"] {
            recorder.head(&request(target), 0, UNIX_EPOCH);
        }
        let targets: Vec<String> = recorder.requests().into_iter().map(|own| own.target).collect();
        assert_eq!(targets, ["/2", "/3"]);
        assert_eq!((recorder.stats().requests, recorder.stats().requests_dropped), (3, 1));
    }

    #[test]
    fn kept_octets_stay_under_their_limit() {
        let keep = Keep { content_bytes_max: 10, bytes_max: 500, ..Keep::default() };
        let recorder = Recorder::new(keep);
        for _ in 0..50 {
            let sequence = recorder.head(&request("/"), 0, UNIX_EPOCH);
            recorder.content(sequence, &[b'x'; 8]);
            recorder.content(sequence, &[b'x'; 8]);
            recorder.whole(sequence, Vec::new());
            assert!(recorder.kept.lock().bytes <= 500);
        }
        let last = recorder.requests().pop().unwrap();
        assert_eq!((last.content.as_bytes().len(), last.content_bytes), (10, 16));
        assert_eq!(last.fields("A"), ["1", "2"]);
        let bytes: usize = recorder.requests().iter().map(Recorded::bytes).sum();
        assert_eq!(recorder.kept.lock().bytes, bytes);
    }

    #[test]
    fn a_request_from_before_a_clear_counts_no_longer() {
        let recorder = Recorder::new(Keep::default());
        let old = recorder.head(&request("/old"), 0, UNIX_EPOCH);
        recorder.clear();
        recorder.whole(old, Vec::new());
        recorder.answered(old);
        let stats = recorder.stats();
        assert_eq!((stats.requests, stats.requests_complete, stats.responses), (0, 0, 0));
        recorder.head(&request("/new"), 0, UNIX_EPOCH);
        assert_eq!(recorder.requests().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline_with_what_there_was() {
        let recorder = Recorder::new(Keep::default());
        recorder.head(&request("/"), 0, UNIX_EPOCH);
        let late = recorder.wait_for(1, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(late.stats.requests, 1);
        recorder.wait_for_heads(1, Duration::from_secs(5)).await.unwrap();
    }
}
