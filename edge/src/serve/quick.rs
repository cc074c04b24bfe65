//! The hallway's short way: a hit, answered from the raw head of its request.
//!
//! In: a checked head. Out: a whole response, or nothing, and then the request takes the long way.
//! Always holds: what is answered here is what the long way would answer, byte for byte but for the
//! order of fields: both ask the same rooms in the same order; only hits that need no refresh are.
//! It knows no socket; [`crate::wire`] writes what it returns.
//!
//! Hot path: no await, no lock but the worker's own log buffer; it allocates the record, the copy of
//! what the log repeats, and the head (held by `tests/allocation`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use edge_core::{
    fields::Fields,
    forward::Believed,
    key::CacheKey,
    outcome::Outcome,
    respond::{self, Answer},
    time::Timestamp,
};
use http::{HeaderMap, Method, StatusCode, Version, header};
use tokio::time::Instant;

use super::{Connection, Found, Hall, Head, KEY, answer, record};
use crate::{
    record::Record,
    snapshot::Snapshot,
    store::{BodyReader, CACHE_STATUS, StoredResponse, budget::Charge},
    wire::{self, RawHead, Reply, Told},
};

/// What a head has beside the stored lines: status line, Age, Cache-Status.
const HEAD_BYTES: usize = 192;

/// Content of so many bytes at most goes out in one piece with its head. A slow client holds a copy of it.
const FRONT_BYTES_MAX: usize = 2048;

/// Bytes of a refused target that are recorded.
const REFUSED_BYTES: usize = 1024;

/// Answers the hits of one connection.
pub struct Desk {
    hall: Arc<Hall>,
    connection: Arc<Connection>,
    /// For what the connection holds of its client's.
    held: Option<Charge>,
}

impl Desk {
    /// Answers what comes on `connection`.
    #[must_use]
    pub fn new(hall: Arc<Hall>, connection: Arc<Connection>) -> Self {
        Self { hall, connection, held: None }
    }
}

impl wire::Quick for Desk {
    type Content = Hit;

    fn answer(&mut self, raw: &RawHead<'_>) -> Option<Reply<Hit>> {
        // What Connection nominates has to be taken away first, and `close` ends the connection.
        if !raw.lines(&header::CONNECTION).all(|value| value.eq_ignore_ascii_case(b"keep-alive")) {
            return None;
        }
        let started = Instant::now();
        let now = self.hall.room.clock.at(started);
        let snapshot = self.hall.snapshot.load();
        let trusted = snapshot.edge.trusts(self.connection.client.ip());
        let method = if raw.is_head { Method::HEAD } else { Method::GET };
        let head = Head {
            method: &method,
            version: Version::HTTP_11,
            scheme: None,
            authority: None,
            path: raw.target.split('?').next().unwrap_or_default(),
            target: raw.target,
            fields: &Believed { fields: raw, trusted },
            trusted,
        };
        let arrival = self.hall.arrive(&snapshot, &head, 0).ok()?;
        let mut key = KEY.take();
        let Found { judged, .. } = self.hall.look(&head, &arrival, true, &mut key, now);
        let shown = snapshot.edge.cache_status_key.then(|| CacheKey::from(key.as_slice()));
        KEY.set(key);
        let (stored, false) = judged.hit()? else { return None };
        // The rest of what a stored part may answer is rare.
        if judged.part.is_some() || stored.head.status == StatusCode::NO_CONTENT {
            return None;
        }
        let answer = self.decide(&snapshot, &head, stored)?;
        let mut record = record(&self.connection, &head, (started, now), &arrival.entry.metrics);
        let ttl = stored.freshness().ttl(now);
        stored.mark_used(now);
        record.outcome = Outcome { hit: true, ttl: Some(ttl), ..Outcome::default() };
        Some(self.reply(stored, &answer, (&method, shown.as_ref()), record))
    }

    /// A request that never got here is recorded all the same, as one of no site.
    fn refused(&mut self, _refusal: wire::Refusal, head: Option<&[u8]>) -> Told {
        let started = Instant::now();
        let now = self.hall.room.clock.at(started);
        let request_id = rand::random();
        // One that the hallway has is its own to record.
        let account = head.map(|head| self.nobodys(head, (started, now)) as Box<dyn wire::Account>);
        Told { date: Some(now.to_http_date()), request_id: Some(request_id), account }
    }

    fn holds(&mut self, bytes: usize) -> bool {
        self.held = None;
        if bytes > 0 {
            self.held = self.hall.room.reserve_waiting(bytes);
        }
        bytes == 0 || self.held.is_some()
    }
}

impl Desk {
    /// The record of a head that may be anything: its first two words stand for method and target.
    fn nobodys(&self, head: &[u8], times: (Instant, Timestamp)) -> Box<Record> {
        let line = head.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
        let mut words = line.split(|octet| *octet == b' ');
        let method = Method::from_bytes(words.next().unwrap_or_default());
        let method = method.or_else(|_| Method::from_bytes(b"-")).unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let target = String::from_utf8_lossy(target.get(..REFUSED_BYTES).unwrap_or(target));
        let head = Head {
            method: &method,
            version: Version::HTTP_11,
            scheme: None,
            authority: None,
            path: "",
            target: &target,
            fields: &HeaderMap::new(),
            trusted: false,
        };
        record(&self.connection, &head, times, &self.hall.nowhere)
    }

    /// What the stored response answers; several ranges go the long way.
    fn decide<F: Fields>(
        &self,
        snapshot: &Snapshot,
        head: &Head<'_, F>,
        stored: &StoredResponse,
    ) -> Option<Answer> {
        let (length, ranges_max) = (Some(stored.body.length()), snapshot.edge.ranges_max);
        let answer = respond::decide(head.method, head.fields, &stored.head, length, ranges_max);
        (!matches!(answer, Answer::Parts(_))).then_some(answer)
    }

    fn reply(
        &self,
        stored: &StoredResponse,
        answer: &Answer,
        (method, key): (&Method, Option<&CacheKey>),
        mut record: Box<Record>,
    ) -> Reply<Hit> {
        let front = match answer {
            Answer::Whole if *method == Method::GET => stored.body.small(FRONT_BYTES_MAX),
            _ => None,
        };
        let bytes = HEAD_BYTES.saturating_add(stored.lines().len());
        let mut head = Vec::with_capacity(bytes.saturating_add(front.map_or(0, <[u8]>::len)));
        let made;
        let (status, fields) = match answer {
            Answer::Whole => {
                status_line(&mut head, stored.head.status);
                head.extend_from_slice(stored.lines());
                write_age(&mut head, stored.head.freshness.current_age(record.now));
                (stored.head.status, stored.passes_cache_status().then_some(&stored.head.fields))
            }
            Answer::NotModified
            | Answer::PreconditionFailed
            | Answer::NotSatisfiable
            | Answer::Part(_)
            | Answer::Parts(_) => {
                let (status, fields) = respond::head(&stored.head, answer, record.now, method);
                status_line(&mut head, status);
                write_lines(&mut head, &fields);
                made = fields;
                (status, Some(&made))
            }
        };
        record.status = Some(status);
        head.extend_from_slice(b"cache-status: ");
        answer::write_cache_status(&self.hall, fields, &record, key, &mut head);
        head.extend_from_slice(b"\r\n\r\n");
        let head_bytes = head.len();
        head.extend_from_slice(front.unwrap_or_default());
        let reader = match answer {
            _ if *method == Method::HEAD || front.is_some() => None,
            Answer::Whole => Some(stored.body.reader()),
            Answer::Part(span) => Some(stored.body.reader_of(*span)),
            Answer::Parts(_)
            | Answer::NotModified
            | Answer::PreconditionFailed
            | Answer::NotSatisfiable => None,
        };
        Reply { front: head, head_bytes, content: Hit { reader, record } }
    }
}

fn status_line(head: &mut Vec<u8>, status: StatusCode) {
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
}

fn write_age(head: &mut Vec<u8>, age: Duration) {
    head.extend_from_slice(b"age: ");
    head.extend_from_slice(respond::age_value(age).as_bytes());
    head.extend_from_slice(b"\r\n");
}

fn write_lines(head: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields.iter().filter(|(name, _)| **name != CACHE_STATUS) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
}

/// Stored content on its way out, and the record that drops behind its last byte.
pub struct Hit {
    reader: Option<BodyReader>,
    record: Box<Record>,
}

impl wire::Content for Hit {
    fn next(&mut self) -> Option<Bytes> {
        self.reader.as_mut().and_then(BodyReader::next_chunk)
    }

    fn accepted(&mut self, bytes: usize) {
        self.record.bytes += bytes as u64;
    }

    fn ended(&mut self) {
        self.record.complete = true;
    }
}
