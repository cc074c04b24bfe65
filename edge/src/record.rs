//! What is kept of a request: one access-log line, and the metrics of its site.
//!
//! In: facts gathered by the hallway; the end of the response. Out: a line of JSON and counts.
//! Always holds: everything about a request is recorded once, when the last byte of its response
//! was handed over or its client went away; nothing here waits or locks more than this worker's
//! own buffer. The words are the outcome's own (RFC 9211), as in Cache-Status.
//!
//! Hot path: no allocation; one line is formatted into the worker's buffer.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use edge_core::{
    outcome::{Outcome, OutcomeLabel},
    time::Timestamp,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use nearcast_daemon::{
    access_log::Writer,
    json::json_string,
    sharded::{ShardedCounters, ShardedHistogram},
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The classes of status codes, 1xx to 5xx.
pub const STATUS_CLASSES: usize = 5;

/// One worker's own side of the log; connections of the worker share it.
pub struct Worker {
    /// The worker's number.
    pub index: usize,
    log: Mutex<Writer>,
    logs: bool,
}

impl Worker {
    /// Worker `index`, logging to `writer`.
    #[must_use]
    pub fn new(index: usize, writer: Writer) -> Self {
        let logs = writer.is_on();
        Self { index, log: Mutex::new(writer), logs }
    }

    /// Hands over all log lines; called when the worker ends.
    pub fn flush(&self) {
        self.log.lock().flush();
    }

    /// Hands over log lines that have rested long enough; called by the worker's ticker.
    pub fn tick(&self) {
        self.log.lock().flush_if_older(Instant::now());
    }
}

/// Counters of one site; they outlive reloads.
pub struct SiteMetrics {
    /// The site's name, the label.
    pub site: Arc<str>,
    /// Requests by outcome.
    pub requests: ShardedCounters,
    /// Responses by status class.
    pub statuses: ShardedCounters,
    /// Content bytes sent: `[0]` to clients.
    pub bytes: ShardedCounters,
    /// Time from the request's head to the response's end: `[0]` answered here, `[1]` forwarded.
    pub latency: ShardedHistogram,
    /// Responses whose client went away, or that broke off.
    pub aborted: AtomicU64,
    /// The second in which a failure of this site was last told to the operator.
    told: AtomicU64,
}

impl SiteMetrics {
    /// All zero, for `workers` workers.
    #[must_use]
    pub fn new(site: Arc<str>, workers: usize) -> Self {
        Self {
            site,
            requests: ShardedCounters::new(workers, OutcomeLabel::COUNT),
            statuses: ShardedCounters::new(workers, STATUS_CLASSES),
            bytes: ShardedCounters::new(workers, 1),
            latency: ShardedHistogram::new(workers, 2),
            aborted: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// Whether a failure may be told now: once a second; the counters know the rest.
    #[must_use]
    pub fn may_tell(&self, now: Timestamp) -> bool {
        self.told.swap(now.as_secs(), Ordering::Relaxed) != now.as_secs()
    }
}

/// A request and its response, as far as they are recorded. Dropping it records them.
pub struct Record {
    /// The worker that serves it.
    pub worker: Arc<Worker>,
    /// The metrics of its site.
    pub site: Arc<SiteMetrics>,
    /// When its head had come.
    pub started: Instant,
    /// The same in wall time.
    pub now: Timestamp,
    /// Who asked.
    pub client: SocketAddr,
    /// The method.
    pub method: Method,
    /// The target as it came.
    pub target: Uri,
    /// The version.
    pub version: Version,
    /// Host, User-Agent, Referer of the request.
    pub named: Named,
    /// The status of the answer.
    pub status: StatusCode,
    /// What was done.
    pub outcome: Outcome,
    /// The id given out with an error.
    pub request_id: Option<u64>,
    /// Content bytes handed over so far.
    pub bytes: u64,
    /// Whether the response has come to its end.
    pub complete: bool,
}

/// What limits refused, by their names; none of it on the way of a request that is served.
#[derive(Debug)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

/// The limits that an operator can set; they stand on the page before they are hit, because a
/// counter that appears with its first hit shows no increase.
const LIMITS: [&str; 14] = [
    "body_bytes_max",
    "body_timeout",
    "connect_timeout",
    "first_byte_timeout",
    "h2_resets_max",
    "header_bytes_max",
    "header_count_max",
    "header_timeout",
    "idle_timeout",
    "memory",
    "queue_max",
    "queue_timeout",
    "uri_bytes_max",
    "write_timeout",
];

impl Default for Tally {
    fn default() -> Self {
        Self(Mutex::new(LIMITS.into_iter().map(|limit| (limit, 0)).collect()))
    }
}

impl Tally {
    /// One more.
    pub fn hit(&self, limit: &'static str) {
        *self.0.lock().entry(limit).or_insert(0) += 1;
    }

    /// All so far.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}

/// Request fields that the log repeats; clones share the request's bytes.
#[derive(Clone, Debug, Default)]
pub struct Named {
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
}

impl Named {
    /// The fields that the log repeats, if this worker logs at all.
    #[must_use]
    pub fn of(fields: &HeaderMap, worker: &Worker) -> Self {
        if !worker.logs {
            return Self::default();
        }
        Self {
            host: fields.get(header::HOST).cloned(),
            user_agent: fields.get(header::USER_AGENT).cloned(),
            referer: fields.get(header::REFERER).cloned(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let worker = self.worker.index;
        let label = self.outcome.label();
        self.site.requests.record(worker, label.index());
        let class = usize::from(self.status.as_u16() / 100).saturating_sub(1);
        self.site.statuses.record(worker, class.min(STATUS_CLASSES - 1));
        self.site.bytes.add(worker, 0, self.bytes);
        let forwarded = usize::from(self.outcome.forward.is_some());
        self.site.latency.record(worker, forwarded, duration);
        if !self.complete {
            self.site.aborted.fetch_add(1, Ordering::Relaxed);
        }
        if self.worker.logs {
            self.worker.log.lock().line(|line| self.write(line, duration));
        }
    }
}

impl Record {
    /// One line of JSON; times are seconds since the epoch and microseconds.
    fn write(&self, line: &mut Vec<u8>, duration: Duration) {
        let text = |line: &mut Vec<u8>, name: &str, value: &[u8]| {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":");
            json_string(line, value);
        };
        let number = |line: &mut Vec<u8>, name: &str, value: u64| {
            // Writing into a Vec cannot fail.
            write!(line, ",\"{name}\":{value}").unwrap_or_default();
        };
        let millis = self.now.as_millis();
        write!(line, "{{\"time\":{}.{:03}", millis / 1000, millis % 1000).unwrap_or_default();
        write!(line, ",\"client\":\"{}\"", self.client).unwrap_or_default();
        text(line, "site", self.site.site.as_bytes());
        text(line, "method", self.method.as_str().as_bytes());
        if let Some(host) = self.target.authority() {
            text(line, "host", host.as_str().as_bytes());
        } else if let Some(host) = &self.named.host {
            text(line, "host", host.as_bytes());
        }
        text(line, "path", self.target.path().as_bytes());
        if let Some(query) = self.target.query() {
            text(line, "query", query.as_bytes());
        }
        text(line, "version", version(self.version).as_bytes());
        number(line, "status", u64::from(self.status.as_u16()));
        number(line, "bytes", self.bytes);
        number(line, "micros", u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        text(line, "outcome", self.outcome.label().as_str().as_bytes());
        if let Some(status) = self.outcome.forward_status {
            number(line, "fwd_status", u64::from(status.as_u16()));
        }
        if let Some(ttl) = self.outcome.ttl {
            write!(line, ",\"ttl\":{ttl}").unwrap_or_default();
        }
        for (name, said) in [
            ("stored", self.outcome.stored),
            ("collapsed", self.outcome.collapsed),
            ("aborted", !self.complete),
        ] {
            if said {
                write!(line, ",\"{name}\":true").unwrap_or_default();
            }
        }
        if let Some(detail) = self.outcome.detail {
            text(line, "detail", detail.as_str().as_bytes());
        }
        if let Some(id) = self.request_id {
            write!(line, ",\"request_id\":\"{id:016x}\"").unwrap_or_default();
        }
        if let Some(agent) = &self.named.user_agent {
            text(line, "user_agent", agent.as_bytes());
        }
        if let Some(referer) = &self.named.referer {
            text(line, "referer", referer.as_bytes());
        }
        line.push(b'}');
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP",
    }
}
