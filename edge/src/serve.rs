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
pub mod explain;
mod look;
mod miss;
mod outward;
mod pass;
mod quick;
mod step;

pub use self::quick::{Desk, Hit};

use self::look::{Found, Judged};

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwap;
use edge_core::{
    directives::RequestDirectives,
    fields::Fields,
    forward,
    key::{CacheKey, Scheme},
    outcome::{ForwardReason, Outcome, Refusal, Verdict},
    reuse::RequestView,
    site::{Host, Policy},
    time::Timestamp,
};
use futures_util::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header, request,
    uri::{Authority, PathAndQuery},
};
use http_body::Body as _;
use tokio::{runtime, time::Instant};

use crate::{
    body::ServeBody,
    connection::{RequestContent, StreamInterim},
    fetch::room::FillRoom,
    purge::PurgeCounts,
    record::{Asked, Record, SiteMetrics, Tally, Worker},
    snapshot::{SiteEntry, Snapshot},
    store::budget::Charge,
    wire::{self, Handle, Interim},
};

/// What every request of a node shares.
pub struct Hall {
    /// The node's name, in Cache-Status and Via.
    pub node: Arc<str>,
    /// The node's cdn-id, in CDN-Loop.
    pub cdn_id: Arc<str>,
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
    /// Requests that were malformed, by what was wrong.
    pub refused: Tally,
    /// Selectors of purges that were applied.
    pub purges: PurgeCounts,
}

/// What the requests of one connection share.
pub struct Connection {
    /// The worker that serves it.
    pub worker: Arc<Worker>,
    /// Who is at its other end.
    pub client: SocketAddr,
    /// The same as the log writes it.
    pub client_text: Box<str>,
    /// The grip on an HTTP/1.1 connection, for interim responses; HTTP/2 has one for each stream.
    pub handle: Option<Handle>,
}

impl Connection {
    /// A connection of `worker`'s to `client`.
    #[must_use]
    pub fn new(worker: Arc<Worker>, client: SocketAddr, handle: Option<Handle>) -> Self {
        Self { worker, client, client_text: client.to_string().into(), handle }
    }
}

/// An answer, at once or later.
pub enum Answered {
    /// It is here.
    Now(Box<Response<ServeBody>>),
    /// The origin has to be asked.
    Later(BoxFuture<'static, Response<ServeBody>>),
}

/// How interim responses reach a client.
#[derive(Clone)]
enum Way {
    Http1(Interim),
    Http2(StreamInterim),
}

impl Way {
    fn to(connection: &Connection, content: &RequestContent) -> Option<Self> {
        match &connection.handle {
            Some(handle) => Some(Self::Http1(handle.interim())),
            None => content.interim().map(Self::Http2),
        }
    }
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
    /// The scheme that its client used.
    scheme: Scheme,
    /// The same, as it is sent.
    origin_target: Uri,
    key: CacheKey,
    interim: Option<Way>,
    client: SocketAddr,
    max_forwards: Option<u64>,
    /// What it takes of the budget while it waits; nothing where it is answered at once.
    charge: Option<Arc<Charge>>,
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

/// A request's head, whichever connection brought it.
struct Head<'a, F> {
    method: &'a Method,
    version: Version,
    /// The scheme that the target names, if it does.
    scheme: Option<&'a str>,
    /// The authority that the target names, if it does.
    authority: Option<&'a str>,
    path: &'a str,
    /// The target in origin-form.
    target: &'a str,
    fields: &'a F,
    /// Whether what its sender says about the client is believed.
    trusted: bool,
}

impl<'a> Head<'a, HeaderMap> {
    fn of(head: &'a request::Parts, trusted: bool) -> Self {
        Self {
            method: &head.method,
            version: head.version,
            scheme: head.uri.scheme_str(),
            authority: head.uri.authority().map(Authority::as_str),
            path: head.uri.path(),
            target: head.uri.path_and_query().map_or("/", PathAndQuery::as_str),
            fields: &head.headers,
            trusted,
        }
    }
}

/// Where a request is to go.
struct Arrival<'h, 's> {
    host: Host<'h>,
    entry: &'s SiteEntry,
    policy: &'s Policy,
    scheme: Scheme,
    max_forwards: Option<u64>,
}

thread_local! {
    /// The key is built here, so that a hit allocates none.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Hall {
    /// Answers one request.
    pub fn serve(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        request: Request<RequestContent>,
    ) -> Answered {
        let started = Instant::now();
        let now = self.room.clock.at(started);
        let snapshot = self.snapshot.load();
        let (mut parts, content) = request.into_parts();
        if parts.headers.contains_key(header::CONNECTION) {
            forward::drop_nominated(&mut parts.headers);
        }
        let trusted = snapshot.edge.trusts(connection.client.ip());
        if !trusted {
            forward::drop_claims(&mut parts.headers);
        }
        if let Some(uri) = outward::with_path(&parts.uri) {
            parts.uri = uri;
        }
        let head = Head::of(&parts, trusted);
        let arrival = match self.arrive(&snapshot, &head, content.size_hint().lower()) {
            Ok(arrival) => arrival,
            Err(refusal) => {
                let record = record(connection, &head, (started, now), &self.nowhere);
                return Answered::now(answer::refused(self, record, refusal));
            }
        };
        let record = record(connection, &head, (started, now), &arrival.entry.metrics);
        if arrival.max_forwards == Some(0) {
            return Answered::now(answer::options(record));
        }
        let mut key = KEY.take();
        let found = self.look(&head, &arrival, content.is_end_stream(), &mut key, now);
        let shown = snapshot.edge.cache_status_key.then(|| CacheKey::from(key.as_slice()));
        if let Some((stored, false)) = found.judged.hit() {
            let part = found.judged.part;
            let from = answer::Stored { response: stored, part, key: shown.as_ref() };
            KEY.set(key);
            return Answered::now(answer::stored(self, &snapshot, &parts, from, record));
        }
        if let Verdict::Refuse(refusal) = found.judged.verdict {
            KEY.set(key);
            return Answered::now(answer::refused(self, record, refusal));
        }
        let Found { target, directives, judged } = found;
        let Ok(origin_target) = Uri::try_from(&*target) else {
            KEY.set(key);
            return Answered::now(answer::refused(self, record, Refusal::BadRequest));
        };
        let ask = Ask {
            key: CacheKey::from(key.as_slice()),
            host: arrival.host.as_str().to_owned(),
            target: target.into_owned(),
            scheme: arrival.scheme,
            origin_target,
            entry: arrival.entry.clone(),
            snapshot: Arc::clone(&snapshot),
            now,
            directives,
            interim: Way::to(connection, &content),
            client: connection.client,
            max_forwards: arrival.max_forwards,
            head: parts,
            charge: None,
        };
        KEY.set(key);
        if let Some((stored, _)) = judged.hit() {
            let from = answer::Stored { response: stored, part: judged.part, key: shown.as_ref() };
            let response = answer::stored(self, &ask.snapshot, &ask.head, from, record);
            miss::refresh(self, &ask, &judged);
            return Answered::now(response);
        }
        Answered::Later(Box::pin(Arc::clone(self).forward(ask, judged, content, record)))
    }

    /// What a request may come to take of the budget, where its head is in memory before anybody looks
    /// at it; nothing where there is no room, for what is stored is answered all the same.
    #[must_use]
    pub fn charge_head(&self, head: &request::Parts) -> Option<Charge> {
        self.room.reserve_waiting(waiting_bytes(head))
    }

    /// Everything that is not answered from the store at once.
    async fn forward(
        self: Arc<Self>,
        mut ask: Ask,
        judged: Judged,
        mut content: RequestContent,
        record: Box<Record>,
    ) -> Response<ServeBody> {
        let charge = content.take_charge();
        let alone = || waiting_bytes(&ask.head).saturating_add(CONNECTION_BYTES);
        let charge = charge.or_else(|| self.room.reserve_waiting(alone()));
        ask.charge = charge.map(Arc::new);
        if ask.charge.is_none() {
            return step::crowded_out(&self, &ask, &judged, record);
        }
        let reason = match judged.verdict {
            Verdict::Forward(reason) => reason,
            Verdict::Hit | Verdict::HitStale { .. } | Verdict::Refuse(_) => ForwardReason::Miss,
        };
        if matches!(reason, ForwardReason::Method | ForwardReason::Bypass) {
            return pass::pass(&self, ask, reason, content, record).await;
        }
        miss::get(&self, ask, reason, judged, record).await
    }

    /// The checks that need no stored response, and the site.
    fn arrive<'h, 's, F: Fields>(
        &self,
        snapshot: &'s Snapshot,
        head: &Head<'h, F>,
        content_bytes: u64,
    ) -> Result<Arrival<'h, 's>, Refusal> {
        let limits = &snapshot.edge.limits;
        if head.target.len() as u64 > limits.uri_bytes_max.as_u64() {
            return Err(Refusal::UriTooLong);
        }
        let scheme = asked_scheme(head).ok_or(Refusal::MisdirectedHost)?;
        // HTTP/1.1 reads it before it gets here.
        if head.version == Version::HTTP_2
            && !wire::is_path(head.method.as_str().as_bytes(), head.target.as_bytes())
        {
            return Err(Refusal::BadRequest);
        }
        // HTTP/1.1 counts them before it gets here.
        let fields_max = usize::try_from(limits.header_count_max).unwrap_or(usize::MAX);
        if head.fields.count() > fields_max && fields_but_crumbs(head.fields) > fields_max {
            return Err(Refusal::HeadTooLarge);
        }
        if content_bytes > limits.body_bytes_max.as_u64() {
            return Err(Refusal::ContentTooLarge);
        }
        let max_forwards = forward::check(head.method, head.fields, &self.cdn_id)?;
        let host = asked_host(head).ok_or(Refusal::BadRequest)?;
        let entry = snapshot
            .table
            .find(&host)
            .and_then(|site| snapshot.sites.get(&site.id))
            .ok_or(Refusal::MisdirectedHost)?;
        Ok(Arrival { host, entry, policy: entry.site.policy(head.path), scheme, max_forwards })
    }
}

/// What a request holds while it waits for an origin, beside its head: its task, its record, its
/// place in a filling.
const WAITING_BYTES: usize = 8 * 1024;

/// What a request that has a connection for itself makes it hold, which it did not while it was idle or brought hits:
/// what hyper needs (measured, 1,900 connections whose requests wait beside as many idle ones).
const CONNECTION_BYTES: usize = 24 * 1024;

/// What a field of a request's head costs beside its bytes.
const FIELD_BYTES: usize = 64;

/// What a request takes of the budget while it waits.
fn waiting_bytes(head: &request::Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len().saturating_add(value.len()).saturating_add(FIELD_BYTES)
    };
    head.headers.iter().map(line).fold(WAITING_BYTES.saturating_add(target), usize::saturating_add)
}

/// The scheme that a request's client used; `None` where this connection may not say so. RFC 9110
/// §7.4: an https resource is not served over a connection that is not secured, unless by a trusted
/// peer it comes from one that is.
fn asked_scheme<F: Fields>(head: &Head<'_, F>) -> Option<Scheme> {
    let is = |name: &str| head.scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(name));
    match head.trusted {
        false => (head.scheme.is_none() || is("http")).then_some(Scheme::Http),
        true if is("https") => Some(Scheme::Https),
        true if head.scheme.is_none() || is("http") => Some(forward::claimed_scheme(head.fields)),
        true => None,
    }
}

/// The host that a request is for. Where both the target and Host say it, they have to agree
/// (RFC 9112 §3.2.2, RFC 9113 §8.3.1): a cache that believed one while the origin believed the other
/// would store one host's response for another.
fn asked_host<'a, F: Fields>(head: &Head<'a, F>) -> Option<Host<'a>> {
    let mut lines = head.fields.lines(&header::HOST);
    let line = lines.next();
    if lines.next().is_some() {
        return None;
    }
    let by_field = match line {
        Some(line) => Some(Host::parse(std::str::from_utf8(line).ok()?)?),
        None => None,
    };
    let Some(authority) = head.authority else { return by_field };
    let by_target = Host::parse(authority)?;
    let agree = by_field.is_none_or(|by_field| by_field.as_str() == by_target.as_str());
    agree.then_some(by_target)
}

/// The fields, with the lines of Cookie as the one that they were split from (RFC 9113 §8.2.3).
fn fields_but_crumbs<F: Fields>(fields: &F) -> usize {
    let crumbs = fields.lines(&header::COOKIE).count();
    fields.count().saturating_sub(crumbs.saturating_sub(1))
}

fn record<F: Fields>(
    connection: &Arc<Connection>,
    head: &Head<'_, F>,
    (started, now): (Instant, Timestamp),
    site: &Arc<SiteMetrics>,
) -> Box<Record> {
    let (how, to) = ((head.method, head.version), (head.authority, head.target));
    Box::new(Record {
        connection: Arc::clone(connection),
        site: Arc::clone(site),
        started,
        now,
        asked: Asked::of(&connection.worker, how, to, head.fields),
        status: None,
        outcome: Outcome::default(),
        request_id: None,
        bytes: 0,
        complete: false,
    })
}

impl Answered {
    /// The same, its first step made: one that finds no memory to wait in is over then.
    #[must_use]
    pub fn begun(self) -> Self {
        let Self::Later(mut later) = self else { return self };
        match later.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Self::now(response),
            Poll::Pending => Self::Later(later),
        }
    }

    fn now(response: Response<ServeBody>) -> Self {
        Self::Now(Box::new(response))
    }
}
