//! The hallway: the life of a request, from its head to the answer's head.
//!
//! In: a request whose framing was checked, and the connection it came on. Out: an answer.
//! The rooms are called here, in this order, and nowhere else: settings ([`Snapshot`]) → host and
//! site → key → store → the law's verdict → stored content, or a forward ([`miss`], [`pass`]).
//! Always holds: one request sees one snapshot and one `now`; a verdict is asked of the core and
//! never second-guessed.
//! It knows no socket, no origin protocol and no storage format.
//!
//! Hot path (a hit): no await, no lock but the worker's own log buffer, no task; it allocates the
//! record, the fields of the answer and the value of Cache-Status (held by `tests/allocation`).

mod answer;
mod miss;
mod outward;
mod pass;

use std::{cell::RefCell, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use edge_core::{
    directives::RequestDirectives,
    forward,
    key::{self, CacheKey, KeyParts, Scheme},
    outcome::{ForwardReason, Outcome, Refusal, Verdict},
    range::{self, Span},
    reuse::{self, RequestView, Selection},
    site::{Host, Policy},
    time::Timestamp,
    validation,
};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header, request, uri::PathAndQuery};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::{runtime, time::Instant};

use crate::{
    body::ServeBody,
    fetch::room::FillRoom,
    record::{Named, Record, SiteMetrics, Tally, Worker},
    snapshot::{SiteEntry, Snapshot},
    store::{StoredResponse, Variants},
    wire::{Handle, Interim},
};

/// What every request of a node shares.
pub struct Hall {
    /// The node's name, in Cache-Status, Via and CDN-Loop.
    pub node: Arc<str>,
    /// The settings in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// The store and the fillings.
    pub room: Arc<FillRoom>,
    /// The runtime that origin connections and fillings live on.
    pub fills: runtime::Handle,
    /// Where requests are counted that no site answers for.
    pub nowhere: Arc<SiteMetrics>,
    /// What limits refused.
    pub limits: Tally,
}

/// What the requests of one connection share.
pub struct Connection {
    /// The worker that serves it.
    pub worker: Arc<Worker>,
    /// Who is at its other end.
    pub client: SocketAddr,
    /// The grip on an HTTP/1.1 connection, for interim responses; HTTP/2 has no way for them yet.
    pub handle: Option<Handle>,
}

/// An answer, at once or later.
pub enum Answered {
    /// It is here.
    Now(Box<Response<ServeBody>>),
    /// The origin has to be asked.
    Later(BoxFuture<'static, Response<ServeBody>>),
}

/// A request on its way through the forwarding rooms.
#[derive(Clone)]
struct Ask {
    snapshot: Arc<Snapshot>,
    entry: SiteEntry,
    now: Timestamp,
    head: request::Parts,
    directives: RequestDirectives,
    /// The normalised host.
    host: String,
    /// The target as it is keyed and forwarded.
    target: String,
    key: CacheKey,
    interim: Option<Interim>,
    client: SocketAddr,
    max_forwards: Option<u64>,
}

impl Ask {
    fn policy(&self) -> &Policy {
        self.entry.site.policy(self.head.uri.path())
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.head.method,
            fields: &self.head.headers,
            directives: &self.directives,
        }
    }
}

/// Where a request is to go.
struct Arrival<'h, 's> {
    host: Host<'h>,
    entry: &'s SiteEntry,
    max_forwards: Option<u64>,
}

/// What the store holds for a request, and what the law says to it.
struct Judged {
    verdict: Verdict,
    /// The response that the verdict speaks of.
    selected: Option<Arc<StoredResponse>>,
    /// Which part of it answers, if it is itself only a part.
    part: Option<Span>,
    /// Every whole response under the key, for a validation to select from.
    all: Vec<Arc<StoredResponse>>,
}

impl Judged {
    /// The stored response that answers, and whether it is to be refreshed.
    fn hit(&self) -> Option<(&Arc<StoredResponse>, bool)> {
        let refresh = match self.verdict {
            Verdict::Hit | Verdict::HitStale { refresh: false } => false,
            Verdict::HitStale { refresh: true } => true,
            Verdict::Forward(_) | Verdict::Refuse(_) => return None,
        };
        self.selected.as_ref().map(|stored| (stored, refresh))
    }

    fn nothing(verdict: Verdict) -> Self {
        Self { verdict, selected: None, part: None, all: Vec::new() }
    }
}

thread_local! {
    /// The key is built here, so that a hit allocates none.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Hall {
    /// Answers one request.
    #[expect(clippy::too_many_lines, reason = "the hallway tells the whole way in one piece")]
    pub fn serve(
        self: &Arc<Self>,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Answered {
        let started = Instant::now();
        let now = self.room.clock.at(started);
        let snapshot = self.snapshot.load();
        let (mut head, content) = request.into_parts();
        if head.headers.contains_key(header::CONNECTION) {
            forward::drop_nominated(&mut head.headers);
        }
        let arrival = match self.arrive(&snapshot, &head, &content) {
            Ok(arrival) => arrival,
            Err(refusal) => {
                let record = record(connection, &head, (started, now), &self.nowhere);
                return Answered::now(answer::refused(self, record, refusal));
            }
        };
        let Arrival { host, entry, max_forwards } = arrival;
        let record = record(connection, &head, (started, now), &entry.metrics);
        if max_forwards == Some(0) {
            return Answered::now(answer::options(record));
        }
        let policy = entry.site.policy(head.uri.path());
        let path_and_query = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let target = key::forward_target(path_and_query, &policy.query);
        let directives = RequestDirectives::parse(&head.headers);
        let mut buffer = KEY.take();
        buffer.clear();
        let parts = KeyParts {
            scheme: Scheme::Http,
            site: entry.site.id,
            host: host.as_str(),
            target: &target,
            key_fields: &policy.key_fields,
            fields: &head.headers,
        };
        key::write_key(&mut buffer, &parts);
        let view =
            RequestView { method: &head.method, fields: &head.headers, directives: &directives };
        // RFC 9110 §9.3.1: content of GET has no defined meaning, but an origin may act on it, so
        // its response may not be told to others.
        let judged = if content.is_end_stream() {
            self.judge(&buffer, &view, policy, now)
        } else {
            Judged::nothing(Verdict::Forward(match *view.method {
                Method::GET | Method::HEAD => ForwardReason::Bypass,
                _ => ForwardReason::Method,
            }))
        };
        let shown = snapshot.edge.cache_status_key.then(|| CacheKey::from(buffer.as_slice()));
        if let Some((stored, false)) = judged.hit() {
            let from = answer::Stored { response: stored, part: judged.part, key: shown.as_ref() };
            KEY.set(buffer);
            return Answered::now(answer::stored(self, &snapshot, &head, from, record));
        }
        if let Verdict::Refuse(refusal) = judged.verdict {
            KEY.set(buffer);
            return Answered::now(answer::refused(self, record, refusal));
        }
        let (host, target) = (host.as_str().to_owned(), target.into_owned());
        let ask = Ask {
            key: CacheKey::from(buffer.as_slice()),
            host,
            target,
            entry: entry.clone(),
            snapshot: Arc::clone(&snapshot),
            now,
            directives,
            interim: connection.handle.as_ref().map(Handle::interim),
            client: connection.client,
            max_forwards,
            head,
        };
        KEY.set(buffer);
        if let Some((stored, _)) = judged.hit() {
            let from = answer::Stored { response: stored, part: judged.part, key: shown.as_ref() };
            let response = answer::stored(self, &ask.snapshot, &ask.head, from, record);
            miss::refresh(self, &ask, &judged);
            return Answered::now(response);
        }
        Answered::Later(Box::pin(Arc::clone(self).forward(ask, judged, content, record)))
    }

    /// Everything that is not answered from the store at once.
    async fn forward(
        self: Arc<Self>,
        ask: Ask,
        judged: Judged,
        content: Incoming,
        record: Box<Record>,
    ) -> Response<ServeBody> {
        let reason = match judged.verdict {
            Verdict::Forward(reason) => reason,
            Verdict::Hit | Verdict::HitStale { .. } | Verdict::Refuse(_) => ForwardReason::Miss,
        };
        let direct = matches!(reason, ForwardReason::Method | ForwardReason::Bypass)
            || ask.head.method != Method::GET;
        if direct {
            return pass::pass(&self, ask, reason, &judged, content, record).await;
        }
        miss::get(&self, ask, reason, judged, record).await
    }

    /// The checks that need no stored response, and the site.
    fn arrive<'h, 's>(
        &self,
        snapshot: &'s Snapshot,
        head: &'h request::Parts,
        content: &Incoming,
    ) -> Result<Arrival<'h, 's>, Refusal> {
        let limits = &snapshot.edge.limits;
        let target_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target_bytes as u64 > limits.uri_bytes_max.as_u64() {
            return Err(Refusal::UriTooLong);
        }
        // HTTP/1.1 counts them before it gets here.
        if head.headers.len() as u64 > u64::from(limits.header_count_max) {
            return Err(Refusal::HeadTooLarge);
        }
        if content.size_hint().lower() > limits.body_bytes_max.as_u64() {
            return Err(Refusal::ContentTooLarge);
        }
        let max_forwards = forward::check(&head.method, &head.headers, &self.node)?;
        let host = asked_host(head).ok_or(Refusal::BadRequest)?;
        let entry = snapshot
            .table
            .find(&host)
            .and_then(|site| snapshot.sites.get(&site.id))
            .ok_or(Refusal::MisdirectedHost)?;
        Ok(Arrival { host, entry, max_forwards })
    }

    /// Looks the key up and asks the law.
    fn judge(
        &self,
        key: &[u8],
        request: &RequestView<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Judged {
        let without = reuse::without_stored(request, policy);
        if matches!(without, Verdict::Forward(ForwardReason::Method | ForwardReason::Bypass)) {
            return Judged::nothing(without);
        }
        let Some(variants) = self.room.tier.lookup(key) else { return Judged::nothing(without) };
        let alive = |stored: &&Arc<StoredResponse>| !self.room.is_dead(key, stored.head.stamp);
        let wholes = || variants.responses.iter().filter(alive).filter(|s| s.head.range.is_none());
        let selection = reuse::select(wholes().map(|stored| &stored.head), request.fields);
        if let Selection::Found(head) = selection {
            let selected =
                wholes().find(|stored| std::ptr::eq(&raw const stored.head, head)).cloned();
            let verdict = reuse::judge(head, request, policy, now);
            let forwards =
                matches!(verdict, Verdict::Forward(_) | Verdict::HitStale { refresh: true });
            let all = if forwards { wholes().cloned().collect() } else { Vec::new() };
            return Judged { verdict, selected, part: None, all };
        }
        let mut judged = Judged::nothing(without);
        let vary_miss = matches!(selection, Selection::VaryMiss);
        if vary_miss && without == Verdict::Forward(ForwardReason::UriMiss) {
            judged.verdict = Verdict::Forward(ForwardReason::VaryMiss);
            judged.all = wholes().cloned().collect();
        }
        self.consider_parts(judged, &variants, key, request, (policy, now))
    }

    /// A stored part answers a range that it covers (RFC 9111 §3.3, RFC 9110 §14.2).
    fn consider_parts(
        &self,
        mut judged: Judged,
        variants: &Variants,
        key: &[u8],
        request: &RequestView<'_>,
        (policy, now): (&Policy, Timestamp),
    ) -> Judged {
        let parts = variants.responses.iter().filter(|stored| {
            stored.head.range.is_some()
                && stored.head.vary.matches(request.fields)
                && !self.room.is_dead(key, stored.head.stamp)
        });
        for stored in parts {
            let covered = match (&stored.head.range, range::of(request.fields)) {
                (Some(part), Some(wanted)) if *request.method == Method::GET => {
                    range::covers(part, wanted)
                }
                _ => None,
            };
            let applies = validation::range_applies(request.fields, &stored.head.validators);
            let verdict = reuse::judge(&stored.head, request, policy, now);
            if let (Some(span), true, Verdict::Hit) = (covered, applies, verdict) {
                let selected = Some(Arc::clone(stored));
                return Judged { verdict, selected, part: Some(span), all: Vec::new() };
            }
            if matches!(judged.verdict, Verdict::Forward(_)) {
                judged.verdict = Verdict::Forward(ForwardReason::Partial);
            }
        }
        judged
    }
}

/// The host that a request is for. Where both the target and Host say it, they have to agree
/// (RFC 9112 §3.2.2, RFC 9113 §8.3.1): a cache that believed one while the origin believed the other
/// would store one host's response for another.
fn asked_host(head: &request::Parts) -> Option<Host<'_>> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return None;
    }
    let by_field = match line {
        Some(line) => Some(Host::parse(line.to_str().ok()?)?),
        None => None,
    };
    let Some(authority) = head.uri.authority() else { return by_field };
    let by_target = Host::parse(authority.as_str())?;
    let agree = by_field.is_none_or(|by_field| by_field.as_str() == by_target.as_str());
    agree.then_some(by_target)
}

fn record(
    connection: &Connection,
    head: &request::Parts,
    (started, now): (Instant, Timestamp),
    site: &Arc<SiteMetrics>,
) -> Box<Record> {
    Box::new(Record {
        worker: Arc::clone(&connection.worker),
        site: Arc::clone(site),
        started,
        now,
        client: connection.client,
        method: head.method.clone(),
        target: head.uri.clone(),
        version: head.version,
        named: Named::of(&head.headers, &connection.worker),
        status: StatusCode::OK,
        outcome: Outcome::default(),
        request_id: None,
        bytes: 0,
        complete: false,
    })
}

impl Answered {
    fn now(response: Response<ServeBody>) -> Self {
        Self::Now(Box::new(response))
    }
}
