//! One origin's servers: one is chosen for each request, each has a bounded number of connections
//! and a bounded queue for them, shared by all workers.
//!
//! In: a request for the origin. Out: its response with a body that gives the connection back at
//! its end. Always holds: never more than `connections_max` connections to a server; never more
//! than `queue_max` requests waiting for one; no try on another server after bytes of the
//! client's content left, none beyond the retry budget, none unless the method is idempotent
//! (RFC 9110 §9.2.2). It knows no caching law.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use edge_core::{
    balance::{roles::Takeover, turns::Turns},
    site::{HostChoice, OriginPlan, ServerAddress},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::{
    FetchError, chain,
    choose::{Wish, refused},
    content::{ClientContent, Watch},
    failed::Failed,
    link::Signs,
    message::{expected, frame, is_conditional, withhold},
    policy::AddressPolicy,
    probe::{Asker, Checks},
    response::{Lease, OriginBody, finish},
    retry::RetryBudget,
    server::{Admission, Server},
    sign::Signer,
    stream::Interim,
    tls::TlsPlan,
    way::{Blame, Need, Roads, Unanswered, Way},
    world::OriginWorld,
};
use crate::store::budget::Charge;

/// What a response on its way holds beside what is copied of it: a piece in hyper's read buffer, one
/// that hyper has read ahead, one in hand.
const EXCHANGE_BYTES: usize = 48 * 1024;

/// What TLS holds beside it: a record each way, and what it has decrypted.
const TLS_BYTES: usize = 40 * 1024;

/// What a request's content holds on its way at most: the queue of the server's connection, and the
/// read buffer of the client's with a piece in hand.
const CONTENT_BYTES: u64 = 192 * 1024;

/// Called with each interim response (1xx) that the origin sends.
pub type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

/// A request for an origin.
pub struct OriginRequest {
    /// The method.
    pub method: Method,
    /// The target in origin form.
    pub target: Uri,
    /// End-to-end fields and our own; Host is set here.
    pub fields: HeaderMap,
    /// The client's host, for sites that pass it on.
    pub client_host: String,
    /// The client's content, if any.
    pub content: Option<ClientContent>,
    /// A hash of the cache key, by which a server may be chosen.
    pub key: u64,
    /// Where interim responses go.
    pub interim: Option<OnInterim>,
}

/// The servers of one site's origin.
pub struct Pool {
    pub(super) plan: Arc<OriginPlan>,
    pub(super) servers: Vec<Arc<Server>>,
    pub(super) turns: Mutex<Turns>,
    pub(super) takeover: Mutex<Takeover>,
    /// Held by who leaves out servers.
    pub(super) judging: Mutex<()>,
    pub(super) budget: RetryBudget,
    tls: Option<TlsPlan>,
    signer: Option<Signer>,
    world: OriginWorld,
    checks: Mutex<Option<Checks>>,
}

impl Pool {
    /// A pool for `plan`; what the one `before` it knows of servers that are still there goes on.
    ///
    /// # Errors
    /// Why TLS to the servers cannot be set up.
    pub fn new(
        plan: &Arc<OriginPlan>,
        world: OriginWorld,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let tls = if plan.servers.iter().any(|server| server.address.tls) {
            Some(TlsPlan::new(plan)?)
        } else {
            None
        };
        let signer = plan.bucket.as_ref().map(Signer::new).transpose()?;
        let known = |address: &ServerAddress| {
            let all: &[Arc<Server>] = before.map(|pool| &*pool.servers).unwrap_or_default();
            all.iter().find(|server| server.address == *address).map(|server| &**server)
        };
        let server = |one| Server::new(one, plan, world.clock, known(&one.address));
        let servers: Vec<_> = plan.servers.iter().map(server).collect();
        let asker = Asker {
            plan: Arc::clone(plan),
            tls: tls.clone(),
            signer: signer.clone(),
            world: world.clone(),
        };
        let checks = plan.check.as_ref().map(|check| Checks::begin(check, &servers, &asker));
        let takeover = Self::inherited(before, plan);
        Ok(Self {
            plan: Arc::clone(plan),
            servers,
            turns: Mutex::new(Turns::of(plan.servers.len())),
            takeover: Mutex::new(takeover),
            judging: Mutex::default(),
            budget: RetryBudget::after(before.map(|pool| &pool.budget), plan.retry_percent),
            tls,
            signer,
            world,
            checks: Mutex::new(checks),
        })
    }

    /// The servers, for metrics.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Tries that the retry budget refused.
    #[must_use]
    pub fn retries_refused(&self) -> u64 {
        self.budget.refused()
    }

    /// Which addresses its servers may be reached at.
    #[must_use]
    pub fn policy(&self) -> &AddressPolicy {
        &self.world.policy
    }

    /// Ends its checks: another pool has its place, and what still uses this one ends with it.
    pub fn retire(&self) {
        drop(self.checks.lock().take());
    }

    /// Whether the files that its settings name are still those that it was made of.
    #[must_use]
    pub fn has_current_files(&self) -> bool {
        self.tls.as_ref().is_none_or(TlsPlan::is_current)
            && self.signer.as_ref().is_none_or(Signer::is_current)
    }

    /// Whether every server is left out now.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.judge();
        self.servers.iter().all(|server| server.glance(|state, _| !state.is_up()))
    }

    /// Closes connections that have been idle for longer than `keep_alive`, and sees how servers do
    /// that nobody asks at the moment.
    pub fn sweep(&self) {
        self.judge();
        for server in &self.servers {
            server.sweep(self.plan.keep_alive);
        }
    }

    /// Sends `request` and waits for the response head, unless `deserted` ends while the request
    /// still waits for a connection: what nobody waits for any more takes no place in a queue.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn send(
        &self,
        mut request: OriginRequest,
        deserted: impl Future<Output = ()> + Send,
    ) -> Result<Response<OriginBody>, FetchError> {
        let mut deserted = pin!(deserted);
        self.budget.deposit();
        let mut tried: Vec<usize> = Vec::new();
        let mut patience = self.plan.queue_timeout;
        let wish = Wish::of(&request.method, request.key);
        let (mut crossed, mut kept, mut last) = (false, None, None);
        let replayable = request.content.is_none() && request.method.is_idempotent();
        let conditional = is_conditional(&request.fields);
        loop {
            let (index, server) = match self.choose(wish, &tried) {
                Ok(chosen) => chosen,
                Err(none) => return kept.ok_or_else(|| last.unwrap_or_else(|| refused(none))),
            };
            tried.push(index);
            let admitted = tokio::select! {
                biased;
                () = &mut deserted => Err(FetchError::Deserted),
                admitted = server.admit(&self.plan, &mut patience) => admitted,
            };
            let admission = match admitted {
                Ok(admission) => admission,
                Err(error @ FetchError::Deserted) => return Err(error),
                // Nothing was sent, so another server has no more to do than if it had had the
                // turn: this is no retry.
                Err(_) if self.has_other(wish, &tried) => continue,
                Err(error) => return kept.ok_or(error),
            };
            let message = self.message(server, &mut request)?;
            let first = (server, admission, message);
            match self.hedged(first, &mut request, wish, &mut tried).await {
                Ok(response) => {
                    let mut response = expected(response, conditional, server)?;
                    let is_error = self.is_error(response.status());
                    let may_again = is_error && replayable && self.has_other(wish, &tried);
                    let again = may_again && self.budget.withdraw();
                    // The client gets another, now or later.
                    if is_error && (kept.is_some() || again) {
                        response.body_mut().take_in().await;
                    }
                    if !again {
                        return Ok(kept.filter(|_| is_error).unwrap_or(response));
                    }
                    tracing::debug!(
                        server = server.name(), status = %response.status(), "trying again"
                    );
                    kept.get_or_insert(response);
                    // Where it is long it holds its place until it is read: who queued for a second
                    // beside it could wait for another that does the same.
                    patience = Duration::ZERO;
                }
                Err(Failed { error, unsent, may_do_better, .. }) => {
                    // An unsent message may go elsewhere whatever its method; its content, if it
                    // has any, is still whole.
                    let again = match unsent {
                        Some(message) => {
                            let whole = message.body().untouched();
                            request.content = message.into_body().into_some();
                            whole
                        }
                        None => replayable,
                    };
                    // The same server is asked again only where its closing of a kept connection
                    // may have crossed our request (RFC 9112 §9.3.1), or at another address.
                    let other = self.has_other(wish, &tried);
                    let elsewhere = other || may_do_better && !crossed;
                    if !(again && elsewhere && error.blames_server() && self.budget.withdraw()) {
                        return kept.ok_or(error);
                    }
                    if !other {
                        crossed = true;
                        tried.pop();
                    }
                    tracing::debug!(server = server.name(), %error, "trying again");
                    last = Some(error);
                }
            }
        }
    }

    /// The message for `server`; the request's content goes with it.
    pub(super) fn message(
        &self,
        server: &Server,
        request: &mut OriginRequest,
    ) -> Result<Request<ClientContent>, FetchError> {
        let content = request.content.take();
        let mut message = Request::new(content.unwrap_or_else(ClientContent::none));
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = request.target.clone();
        *message.headers_mut() = request.fields.clone();
        let host = self.host(server, &request.client_host)?;
        message.headers_mut().insert(header::HOST, host);
        frame(&mut message);
        if let Some(signer) = &self.signer {
            signer.sign(&mut message, self.world.clock.wall())?;
        }
        if let Some(interim) = request.interim.clone() {
            message.extensions_mut().insert(Interim(Arc::clone(&interim)));
            hyper::ext::on_informational(&mut message, move |response| {
                interim(response.status(), response.headers());
            });
        }
        Ok(message)
    }

    /// Whether a response of this status may be bettered by another server.
    pub(super) fn is_error(&self, status: StatusCode) -> bool {
        self.plan.error_statuses.binary_search(&status.as_u16()).is_ok()
    }

    fn host(&self, server: &Server, client_host: &str) -> Result<HeaderValue, FetchError> {
        match &self.plan.host {
            HostChoice::Server => Ok(server.authority.clone()),
            HostChoice::Name(name) => Ok(name.clone()),
            HostChoice::Client => HeaderValue::from_str(client_host).map_err(|error| {
                FetchError::RequestContent { reason: chain(&error), too_large: false }
            }),
        }
    }

    /// One exchange; a failure that blames the server is noted, and what a bucket says of refusals kept.
    pub(super) async fn exchange(
        &self,
        server: &Arc<Server>,
        admission: Admission,
        message: Request<ClientContent>,
    ) -> Result<Response<OriginBody>, Failed> {
        let began = Instant::now();
        let mut exchanged = self.carry(server, admission, message).await;
        match &mut exchanged {
            Ok(response) if self.signer.is_some() => withhold(response),
            Err(failed) if failed.counts() => server.failed(&self.plan, began),
            Ok(_) | Err(_) => {}
        }
        exchanged
    }

    async fn carry(
        &self,
        server: &Arc<Server>,
        admission: Admission,
        message: Request<ClientContent>,
    ) -> Result<Response<OriginBody>, Failed> {
        let content = message.body().size_hint().upper().unwrap_or(CONTENT_BYTES);
        let content = usize::try_from(content.min(CONTENT_BYTES)).unwrap_or(usize::MAX);
        let tls = if server.address.tls { TLS_BYTES } else { 0 };
        let charge = match self.reserve(EXCHANGE_BYTES.saturating_add(content + tls)) {
            Ok(charge) => charge,
            Err(error) => return Err(Failed::unsent(error, message)),
        };
        let mut message = message;
        let with_content = !message.body().is_end_stream();
        let mut need = Need { with_content, ..Need::default() };
        let roads = Roads { plan: &self.plan, tls: self.tls.as_ref(), world: &self.world };
        loop {
            let way = roads.to(server, need, &|bytes| self.reserve(bytes)).await;
            let (mut way, reused) = match way {
                Ok(way) => way,
                Err(error) => return Err(Failed::unsent(error, message)),
            };
            if need.fresh {
                way.settle();
            }
            let sent = Instant::now();
            let watch = Arc::clone(&message.body().watch);
            let signs = way.signs();
            server.counts.requests.fetch_add((!need.fresh).into(), Ordering::Relaxed);
            let answer = {
                let send = pin!(way.send(message, server.address.tls));
                tokio::select! {
                    answer = send => Ok(answer),
                    error = self.overdue(server, sent, (&watch, &signs)) => Err(error),
                }
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    way.give_up();
                    // How long a client takes for its content is not the server's time.
                    let since = watch.origin_since(sent).unwrap_or(sent).max(sent);
                    server.was_late(since);
                    let may_do_better = way.shun();
                    return Err(Failed { may_do_better, ..Failed::sent(error) });
                }
            };
            match answer {
                Ok(response) => {
                    let status = response.status();
                    let kind = (self.is_error(status), status.is_server_error());
                    let took = watch.whole_since(sent).map(|since| since.elapsed());
                    server.answered(&self.plan.ejection, (sent, took), kind);
                    let (server, plan, charge) =
                        (Arc::clone(server), Arc::clone(&self.plan), Some(charge));
                    let lease = Lease { server, plan, way, admission, watch, charge };
                    return finish(response, lease, sent).map_err(Failed::answered);
                }
                Err(unanswered) => {
                    if let Some(error) = watch.failure() {
                        return Err(Failed::sent(error));
                    }
                    let needs_another = unanswered.blame == Blame::Others || way.is_over();
                    let again = self.in_vain(server, unanswered, (&way, reused, sent), need);
                    message = again.map_err(|failed| *failed)?;
                    need.fresh = true;
                    need.since = needs_another.then_some(sent);
                }
            }
        }
    }

    /// A message that had no response: whether it may be sent again at once.
    fn in_vain(
        &self,
        server: &Server,
        Unanswered { message, reason, blame }: Unanswered,
        (way, reused, sent): (&Way, bool, Instant),
        need: Need,
    ) -> Result<Request<ClientContent>, Box<Failed>> {
        if blame == Blame::Request {
            let error = FetchError::RequestContent { reason, too_large: false };
            return Err(Box::new(Failed::sent(error)));
        }
        let is_shared = matches!(way, Way::Shared(_));
        let may_again = !need.fresh && (reused || is_shared);
        match message {
            // The server had left a connection that was there before, or did not look at a stream:
            // nothing was done, so another costs nobody anything.
            Some(message) if may_again && message.body().untouched() => {
                if is_shared && blame == Blame::Server {
                    // All that were on it are sent again; nobody else tells of its end.
                    server.failed(&self.plan, sent);
                }
                if blame != Blame::Others {
                    server.drop_idle();
                }
                Ok(message)
            }
            unsent => {
                let error = FetchError::Broken { server: server.address.authority.clone(), reason };
                // What a server has refused on a stream it may take a moment later.
                let may_do_better = reused && !need.fresh
                    || blame == Blame::Nobody
                    || blame == Blame::Server && way.shun();
                Err(Box::new(Failed { error, unsent, may_do_better, blame }))
            }
        }
    }

    /// Takes bytes from the budget, closing connections that are kept for later if it must.
    fn reserve(&self, bytes: usize) -> Result<Charge, FetchError> {
        let memory = &self.world.memory;
        let charge = memory.reserve(bytes).or_else(|| {
            self.servers.iter().for_each(|server| server.drop_idle());
            memory.reserve(bytes)
        });
        charge.ok_or(FetchError::Memory)
    }

    /// Ends when a request has been left to stand: its content not taken for `idle_timeout`, or not
    /// answered for `first_byte_timeout` once all of it is out.
    ///
    /// The content has no deadline of its own for this: hyper does not ask it for more, nor learn
    /// that its client has gone, while the server takes nothing.
    async fn overdue(
        &self,
        server: &Server,
        sent: Instant,
        (watch, signs): (&Watch, &Signs),
    ) -> FetchError {
        let server = server.address.authority.clone();
        let (idle, first_byte) = (self.plan.idle_timeout, self.plan.first_byte_timeout);
        loop {
            let now = Instant::now();
            let since = watch.origin_since(sent).map_or(now, |since| since.max(signs.last_taken()));
            if since + idle <= now {
                return FetchError::RequestStalled { server, limit: idle };
            }
            tokio::select! {
                biased;
                () = watch.finished() => break,
                () = sleep_until(since + idle) => {}
            }
        }
        sleep_until(Instant::now() + first_byte).await;
        FetchError::FirstByteTimeout { server, limit: first_byte }
    }
}
