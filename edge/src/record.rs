//! What is kept of a request: one access-log line, and the metrics of its site.
//!
//! In: facts gathered by the hallway; the end of the response. Out: a line of JSON and counts.
//! Always holds: everything about a request is recorded once, when the socket has accepted the last
//! byte of its response or its client went away; nothing here waits or locks more than this worker's
//! own buffer. The words are the outcome's own (RFC 9211), as in Cache-Status.
//!
//! Hot path: no allocation; one line is formatted into the worker's buffer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use edge_core::{
    fields::Fields,
    outcome::{Outcome, OutcomeLabel},
    time::Timestamp,
};
use http::{Method, StatusCode, Version, header};
use nearcast_daemon::{
    access_log::Writer,
    json::json_string,
    sharded::{ShardedCounters, ShardedHistogram},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    serve::Connection,
    wire::{Account, Refusal, Sent},
};

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
    /// The connection that it came on.
    pub connection: Arc<Connection>,
    /// The metrics of its site.
    pub site: Arc<SiteMetrics>,
    /// When its head had come.
    pub started: Instant,
    /// The same in wall time.
    pub now: Timestamp,
    /// What was asked.
    pub asked: Asked,
    /// The status of the answer, if it came to have one before its client went away.
    pub status: Option<StatusCode>,
    /// What was done.
    pub outcome: Outcome,
    /// The id given out with an error.
    pub request_id: Option<u64>,
    /// Content bytes handed over so far.
    pub bytes: u64,
    /// Whether the response has come to its end.
    pub complete: bool,
}

/// What was refused, by its reasons; none of it on the way of a request that is served.
#[derive(Debug)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

/// What hyper refuses although we let it pass: no such message is known.
pub const UNREAD: &str = "unread";

/// The limits, those among them that no setting names; they stand on the page before they are hit,
/// because a counter that appears with its first hit shows no increase.
const LIMITS: [&str; 18] = [
    "body_bytes_max",
    "body_timeout",
    "chunk_extension_bytes_max",
    "connect_timeout",
    "first_byte_timeout",
    "h2_controls_max",
    "h2_resets_max",
    "header_bytes_max",
    "header_count_max",
    "header_timeout",
    "idle_timeout",
    "linger_timeout",
    "memory",
    "queue_max",
    "queue_timeout",
    "trailer_bytes_max",
    "uri_bytes_max",
    "write_timeout",
];

impl Tally {
    /// What limits refuse, by their names.
    #[must_use]
    pub fn limits() -> Self {
        Self::of(LIMITS.into_iter())
    }

    /// Malformed requests, by what is wrong with them.
    #[must_use]
    pub fn refusals() -> Self {
        let ours = Refusal::ALL.into_iter().filter(|why| !why.is_limit()).map(Refusal::as_str);
        Self::of(ours.chain([UNREAD]))
    }

    fn of(reasons: impl Iterator<Item = &'static str>) -> Self {
        Self(Mutex::new(reasons.map(|reason| (reason, 0)).collect()))
    }

    /// One more.
    pub fn hit(&self, reason: &'static str) {
        *self.0.lock().entry(reason).or_insert(0) += 1;
    }

    /// All so far.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}

/// What the log repeats of a request: its own copy, because the request is gone before its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The target and the named fields, one behind the other.
    text: Vec<u8>,
    /// How long the target is.
    target: usize,
    /// How long the host, User-Agent and Referer are, as far as there are any.
    named: [Option<usize>; NAMED],
}

/// The host and the fields that the log repeats.
const NAMED: usize = 3;

/// The same, taken apart.
struct Parts<'a> {
    path: &'a [u8],
    query: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    referer: Option<&'a [u8]>,
}

/// Bytes of each text from a client that a line repeats. A client may send fields of tens of
/// kilobytes, six times that in JSON; a log that held them would drop everybody else's lines.
const TEXT_BYTES_MAX: usize = 1024;

impl Asked {
    /// What `worker` logs of a request; without a log only the target, for messages.
    #[must_use]
    pub fn of(
        worker: &Worker,
        (method, version): (&Method, Version),
        (authority, target): (Option<&str>, &str),
        fields: &impl Fields,
    ) -> Self {
        let named = if worker.logs {
            let first = |name| fields.lines(name).next();
            let host = authority.map(str::as_bytes).or_else(|| first(&header::HOST));
            [host, first(&header::USER_AGENT), first(&header::REFERER)].map(|value| value.map(cut))
        } else {
            [None; NAMED]
        };
        let length: usize = named.iter().flatten().map(|value| value.len()).sum();
        let mut text = Vec::with_capacity(target.len().saturating_add(length));
        text.extend_from_slice(target.as_bytes());
        for value in named.into_iter().flatten() {
            text.extend_from_slice(value);
        }
        let named = named.map(|value| value.map(<[u8]>::len));
        Self { method: method.clone(), version, text, target: target.len(), named }
    }

    /// The target in origin-form, for messages: what would move an operator's terminal, C1 controls
    /// included, is escaped, as in the log's lines.
    #[must_use]
    pub fn target(&self) -> String {
        let target = String::from_utf8_lossy(self.text.get(..self.target).unwrap_or_default());
        let mut told = String::with_capacity(target.len());
        for char in target.chars() {
            if char.is_control() {
                told.extend(char.escape_unicode());
            } else {
                told.push(char);
            }
        }
        told
    }

    fn parts(&self) -> Parts<'_> {
        let (target, mut rest) = self.text.split_at_checked(self.target).unwrap_or_default();
        let query = target.iter().position(|byte| *byte == b'?');
        let path = target.get(..query.unwrap_or(target.len())).unwrap_or_default();
        let query = query.and_then(|at| target.get(at + 1..));
        let named = self.named.map(|length| {
            let (value, after) = rest.split_at_checked(length?)?;
            rest = after;
            Some(value)
        });
        let [host, user_agent, referer] = named;
        Parts { path, query, host, user_agent, referer }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let worker = self.connection.worker.index;
        let label = self.outcome.label();
        self.site.requests.record(worker, label.index());
        if let Some(status) = self.status {
            let class = usize::from(status.as_u16() / 100).saturating_sub(1);
            self.site.statuses.record(worker, class.min(STATUS_CLASSES - 1));
        }
        self.site.bytes.add(worker, 0, self.bytes);
        let forwarded = usize::from(self.outcome.forward.is_some());
        self.site.latency.record(worker, forwarded, duration);
        if !self.complete {
            self.site.aborted.fetch_add(1, Ordering::Relaxed);
        }
        let worker = &self.connection.worker;
        if worker.logs {
            worker.log.lock().line(|line| self.write(line, duration));
        }
    }
}

impl Account for Record {
    fn settle(mut self: Box<Self>, sent: &Sent) {
        self.bytes = sent.content_bytes;
        self.complete &= sent.is_complete;
        if let Some((refusal, id)) = sent.refused {
            self.status = StatusCode::from_u16(refusal.status()).ok();
            (self.request_id, self.complete) = (id, sent.is_complete);
        }
    }
}

impl Record {
    /// One line of JSON; times are seconds since the epoch and microseconds.
    fn write(&self, line: &mut Vec<u8>, duration: Duration) {
        let Parts { path, query, host, user_agent, referer } = self.asked.parts();
        let millis = self.now.as_millis();
        line.extend_from_slice(b"{\"time\":");
        digits(line, millis / 1000);
        // Three digits behind the point: the thousand in front keeps their leading zeros.
        let point = line.len();
        digits(line, 1000 + millis % 1000);
        if let Some(digit) = line.get_mut(point) {
            *digit = b'.';
        }
        plain(line, b",\"client\":\"", self.connection.client_text.as_bytes());
        plain(line, b",\"site\":\"", self.site.site.as_bytes());
        plain(line, b",\"method\":\"", self.asked.method.as_str().as_bytes());
        if let Some(host) = host {
            text(line, b",\"host\":", host);
        }
        text(line, b",\"path\":", cut(path));
        if let Some(query) = query {
            text(line, b",\"query\":", cut(query));
        }
        plain(line, b",\"version\":\"", version(self.asked.version).as_bytes());
        // 0 is no status, and a number like the others.
        number(line, b",\"status\":", self.status.map_or(0, |status| status.as_u16().into()));
        number(line, b",\"bytes\":", self.bytes);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        number(line, b",\"micros\":", micros);
        self.write_outcome(line);
        if let Some(agent) = user_agent {
            text(line, b",\"user_agent\":", agent);
        }
        if let Some(referer) = referer {
            text(line, b",\"referer\":", referer);
        }
        line.push(b'}');
    }

    fn write_outcome(&self, line: &mut Vec<u8>) {
        plain(line, b",\"outcome\":\"", self.outcome.label().as_str().as_bytes());
        if let Some(status) = self.outcome.forward_status {
            number(line, b",\"fwd_status\":", u64::from(status.as_u16()));
        }
        if let Some(ttl) = self.outcome.ttl {
            line.extend_from_slice(b",\"ttl\":");
            digits(line, ttl);
        }
        for (name, said) in [
            (&b",\"stored\":true"[..], self.outcome.stored),
            (b",\"collapsed\":true", self.outcome.collapsed),
            (b",\"aborted\":true", !self.complete),
        ] {
            if said {
                line.extend_from_slice(name);
            }
        }
        if let Some(detail) = self.outcome.detail {
            plain(line, b",\"detail\":\"", detail.as_str().as_bytes());
        }
        if let Some(id) = self.request_id {
            text(line, b",\"request_id\":", format!("{id:016x}").as_bytes());
        }
    }
}

/// As much of a client's text as a line repeats.
fn cut(value: &[u8]) -> &[u8] {
    value.get(..TEXT_BYTES_MAX).unwrap_or(value)
}

/// A name with what stands around it, and a value from the network.
fn text(line: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    line.extend_from_slice(name);
    json_string(line, value);
}

/// A name, and words that need no escape: our own, an address, a token (RFC 9110 §5.6.2), or the name of a site.
fn plain(line: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(!value.iter().any(|octet| matches!(octet, 0..0x20 | b'"' | b'\\' | 0x7f..)));
    line.extend_from_slice(name);
    line.extend_from_slice(value);
    line.push(b'"');
}

fn number(line: &mut Vec<u8>, name: &[u8], value: u64) {
    line.extend_from_slice(name);
    digits(line, value);
}

fn digits(line: &mut Vec<u8>, value: impl itoa::Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP",
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::HeaderMap;
    use nearcast_daemon::access_log::AccessLog;

    use super::*;
    use crate::wire::Timeout;

    /// Whatever a client sends, a line stays within a few kilobytes.
    #[test]
    fn a_line_repeats_a_bounded_part_of_what_a_client_wrote() {
        let worker =
            Arc::new(Worker { index: 0, log: Mutex::new(AccessLog::off().writer()), logs: true });
        let long = "\u{1}".repeat(30_000);
        let mut fields = HeaderMap::new();
        for name in [header::USER_AGENT, header::REFERER] {
            fields.insert(name, "x".repeat(30_000).parse().unwrap());
        }
        let target = format!("/{long}?{long}");
        let asked = (&Method::GET, Version::HTTP_11);
        let client = SocketAddr::from(([127, 0, 0, 1], 1));
        let record = Record {
            connection: Arc::new(Connection::new(Arc::clone(&worker), client, None)),
            site: Arc::new(SiteMetrics::new(Arc::from("www"), 1)),
            started: Instant::now(),
            now: Timestamp::default(),
            asked: Asked::of(&worker, asked, (Some(&long), &target), &fields),
            status: Some(StatusCode::OK),
            outcome: Outcome::default(),
            request_id: None,
            bytes: 0,
            complete: true,
        };
        let mut line = Vec::new();
        record.write(&mut line, Duration::ZERO);
        // A control character takes six bytes in JSON.
        assert!(line.len() < (3 * 6 + 2) * TEXT_BYTES_MAX + 1000, "{} bytes", line.len());
    }

    #[test]
    fn every_limit_that_is_counted_is_on_the_page_and_explained() {
        let refused = Refusal::ALL.into_iter().filter(|why| why.is_limit()).map(Refusal::as_str);
        let timeouts =
            [Timeout::Header, Timeout::Idle, Timeout::Body, Timeout::Write, Timeout::Linger];
        for limit in refused.chain(timeouts.map(Timeout::as_str)) {
            assert!(LIMITS.contains(&limit), "{limit} appears with its first hit");
        }
        let pages = [
            include_str!("../../docs/operate.md"),
            include_str!("../../docs/reference/settings.md"),
        ];
        for limit in LIMITS {
            let name = format!("`{limit}`");
            assert!(pages.iter().any(|page| page.contains(&name)), "{limit} is explained nowhere");
        }
    }

    #[test]
    fn a_target_in_a_message_moves_no_terminal() {
        let worker = Worker::new(0, AccessLog::off().writer());
        for (target, told) in [
            ("/c1\u{9b}31mRED", "/c1\\u{9b}31mRED"),
            ("/\u{1b}[2J\r\n", "/\\u{1b}[2J\\u{d}\\u{a}"),
            ("/a'b?c=\u{e4}", "/a'b?c=\u{e4}"),
        ] {
            let asked = (&Method::GET, Version::HTTP_2);
            let asked = Asked::of(&worker, asked, (None, target), &HeaderMap::new());
            assert_eq!(asked.target(), told);
        }
    }
}
