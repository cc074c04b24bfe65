//! One origin's servers: taken in turn, left out while they fail, each with a bounded number of
//! connections and a bounded queue for them, shared by all workers.
//!
//! In: a request for the origin. Out: its response with a body that gives the connection back at
//! its end. Always holds: never more than `connections_max` connections to a server; never more
//! than `queue_max` requests waiting for one; no try on another server after bytes of the
//! client's content left, none beyond the retry budget, none unless the method is idempotent
//! (RFC 9110 §9.2.2). It knows no caching law.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use edge_core::site::{HostChoice, OriginPlan};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use tokio::{
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

use super::{
    FetchError, chain,
    connect::{AddressPolicy, Connect},
    content::{ClientContent, Watch},
    link::Signs,
    response::{Lease, OriginBody, finish},
    retry::RetryBudget,
    server::Server,
    stream::Interim,
    tls::TlsPlan,
    way::{Roads, Unanswered, Way},
};
use crate::store::{Memory, budget::Charge};

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
    /// Where interim responses go.
    pub interim: Option<OnInterim>,
}

/// The servers of one site's origin.
pub struct Pool {
    plan: Arc<OriginPlan>,
    servers: Vec<Arc<Server>>,
    next: AtomicUsize,
    budget: RetryBudget,
    tls: Option<TlsPlan>,
    world: OriginWorld,
}

/// What a pool needs of its surroundings.
#[derive(Clone)]
pub struct OriginWorld {
    /// How bytes travel.
    pub connector: Arc<dyn Connect>,
    /// Which addresses are allowed.
    pub policy: Arc<AddressPolicy>,
    /// The runtime that owns the connections.
    pub fills: Handle,
    /// What connections and what is on its way over them are charged to.
    pub memory: Memory,
}

impl Pool {
    /// A pool for `plan`.
    ///
    /// # Errors
    /// Why TLS to the servers cannot be set up.
    pub fn new(plan: &Arc<OriginPlan>, world: OriginWorld) -> Result<Self, String> {
        let tls = if plan.servers.iter().any(|server| server.tls) {
            Some(TlsPlan::new(plan)?)
        } else {
            None
        };
        let servers = plan.servers.iter().map(|address| Server::new(address, plan)).collect();
        Ok(Self {
            plan: Arc::clone(plan),
            servers,
            next: AtomicUsize::new(0),
            budget: RetryBudget::new(plan.retry_percent),
            tls,
            world,
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

    /// Whether the files that its settings name are still those that it was made of.
    #[must_use]
    pub fn has_current_files(&self) -> bool {
        self.tls.as_ref().is_none_or(TlsPlan::is_current)
    }

    /// Whether every server is left out now.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.servers.iter().all(|server| server.is_ejected())
    }

    /// Closes connections that have been idle for longer than `keep_alive`.
    pub fn sweep(&self) {
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
        request: OriginRequest,
        deserted: impl Future<Output = ()> + Send,
    ) -> Result<Response<OriginBody>, FetchError> {
        let mut deserted = pin!(deserted);
        self.budget.deposit();
        let mut tried: Vec<usize> = Vec::new();
        let mut patience = self.plan.queue_timeout;
        let replayable = request.content.is_none() && request.method.is_idempotent();
        let mut request = request;
        let conditional = is_conditional(&request.fields);
        loop {
            let index = self.pick(&tried);
            let Some(server) = self.servers.get(index) else {
                return Err(FetchError::Resolve {
                    host: request.client_host,
                    reason: "the site has no server".to_owned(),
                });
            };
            tried.push(index);
            let admitted = tokio::select! {
                biased;
                () = &mut deserted => Err(FetchError::Deserted),
                admitted = server.admit(&self.plan, &mut patience) => admitted,
            };
            let permit = match admitted {
                Ok(permit) => permit,
                Err(error @ FetchError::Deserted) => return Err(error),
                // Nothing was sent, so another server has no more to do than if it had had the
                // turn: this is no retry.
                Err(_) if self.untried(&tried) => continue,
                Err(error) => return Err(error),
            };
            let message = self.message(server, &mut request)?;
            match self.exchange(server, permit, message).await {
                Ok(response) => return expected(response, conditional, server),
                Err(Failed { error, unsent, kept_connection, is_answer }) => {
                    if error.blames_server() && !is_answer {
                        server.failed(&self.plan);
                    }
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
                    // may have crossed our request (RFC 9112 §9.3.1).
                    let elsewhere = self.untried(&tried)
                        || kept_connection && tried.len() == self.servers.len();
                    if !(again && elsewhere && error.blames_server() && self.budget.withdraw()) {
                        return Err(error);
                    }
                    tracing::debug!(server = %server.address.authority, %error, "trying again");
                }
            }
        }
    }

    /// Whether there is a server that has not had its try.
    fn untried(&self, tried: &[usize]) -> bool {
        tried.len() < self.servers.len()
    }

    /// The message for `server`; the request's content goes with it.
    fn message(
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
        if let Some(interim) = request.interim.clone() {
            message.extensions_mut().insert(Interim(Arc::clone(&interim)));
            hyper::ext::on_informational(&mut message, move |response| {
                interim(response.status(), response.headers());
            });
        }
        Ok(message)
    }

    /// The next server in turn: not tried yet and not left out, else not tried yet, else any.
    ///
    /// Of those that are alike in this, one with a free connection goes before one that has a
    /// queue, and the shorter queue before the longer: a server that hangs keeps its requests for
    /// `first_byte_timeout` and would else be given a share of the others all the while.
    fn pick(&self, tried: &[usize]) -> usize {
        let count = self.servers.len().max(1);
        // A further try takes no turn of its own: with two servers the failing one would else be
        // the first for every request, its neighbour always being the second.
        let start = self.next.fetch_add(usize::from(tried.is_empty()), Ordering::Relaxed);
        let turn = |skip_ejected: bool, skip_tried: bool| {
            (0..count)
                .map(|step| start.wrapping_add(step) % count)
                .filter_map(|index| Some((index, self.servers.get(index)?)))
                .filter(|(index, server)| {
                    !(skip_ejected && server.is_ejected() || skip_tried && tried.contains(index))
                })
                // The first of the least.
                .min_by_key(|(_, server)| (!server.is_free(), server.waiting()))
                .map(|(index, _)| index)
        };
        let any = start % count;
        turn(true, true).or_else(|| turn(false, true)).or_else(|| turn(true, false)).unwrap_or(any)
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

    async fn exchange(
        &self,
        server: &Arc<Server>,
        permit: OwnedSemaphorePermit,
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
        let mut fresh_only = false;
        let roads = Roads { plan: &self.plan, tls: self.tls.as_ref(), world: &self.world };
        loop {
            let way = roads.to(server, fresh_only, &|bytes| self.reserve(bytes)).await;
            let (mut way, reused) = match way {
                Ok(way) => way,
                Err(error) => return Err(Failed::unsent(error, message)),
            };
            let sent = Instant::now();
            let watch = Arc::clone(&message.body().watch);
            let signs = way.signs();
            server.counts.requests.fetch_add(1, Ordering::Relaxed);
            let answer = {
                let send = pin!(way.send(message, server.address.tls));
                tokio::select! {
                    answer = send => answer,
                    error = self.overdue(server, sent, (&watch, &signs)) => {
                        return Err(Failed::sent(error));
                    }
                }
            };
            match answer {
                Ok(response) => {
                    let (server, plan) = (Arc::clone(server), Arc::clone(&self.plan));
                    let lease = Lease { server, plan, way, permit, watch, _charge: charge };
                    return finish(response, lease, sent).map_err(Failed::answered);
                }
                Err(Unanswered { message: unsent, reason, is_answer }) => {
                    if let Some(error) = watch.failure() {
                        return Err(Failed::sent(error));
                    }
                    match unsent {
                        // The server had left a connection that was there before: nothing was
                        // done, so a new one costs nobody anything.
                        Some(unsent) if reused && !fresh_only && unsent.body().untouched() => {
                            server.counts.requests.fetch_sub(1, Ordering::Relaxed);
                            message = unsent;
                            fresh_only = true;
                            server.drop_idle();
                        }
                        unsent => {
                            let server = server.address.authority.clone();
                            let error = FetchError::Broken { server, reason };
                            // What a server has refused on a stream it may take a moment later.
                            let kept_connection =
                                reused || unsent.is_some() && matches!(way, Way::Shared(_));
                            return Err(Failed { error, unsent, kept_connection, is_answer });
                        }
                    }
                }
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

/// A 304 answers conditions only (RFC 9110 §15.4.5): to a request without any it is no response, and
/// a client that has made none could do nothing with it.
fn expected(
    response: Response<OriginBody>,
    conditional: bool,
    server: &Server,
) -> Result<Response<OriginBody>, FetchError> {
    if response.status() != StatusCode::NOT_MODIFIED || conditional {
        return Ok(response);
    }
    Err(FetchError::Broken {
        server: server.address.authority.clone(),
        reason: "a 304 to a request without conditions".to_owned(),
    })
}

/// Whether a request asks for a 304 or a 412.
fn is_conditional(fields: &HeaderMap) -> bool {
    let conditions = [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    conditions.iter().any(|name| fields.contains_key(name))
}

/// Says the length of the content that is really sent, whatever the client's fields say: a length
/// without its content would have the origin read the next request as that content.
fn frame(message: &mut Request<ClientContent>) {
    let exact = message.body().size_hint().exact();
    let empty = message.body().is_end_stream();
    let (method, fields) = (message.method().clone(), message.headers_mut());
    let announced = fields.remove(header::CONTENT_LENGTH).is_some();
    if empty && announced && method != Method::GET && method != Method::HEAD {
        // RFC 9110 §8.6: a method that anticipates content says that there is none.
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    } else if !empty && exact.is_none() {
        // hyper sends GET and HEAD without content unless they are framed by the caller.
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// An exchange that brought no response.
struct Failed {
    error: FetchError,
    /// The request, if certainly none of it left.
    unsent: Option<Request<ClientContent>>,
    /// It went over a connection that was kept from before.
    kept_connection: bool,
    /// The server did answer, in a way that cannot be taken. That blames it no more than a 500 does:
    /// else a client that knows a URL that is answered so could have it left out for all.
    is_answer: bool,
}

impl Failed {
    fn unsent(error: FetchError, message: Request<ClientContent>) -> Self {
        Self { error, unsent: Some(message), kept_connection: false, is_answer: false }
    }

    fn sent(error: FetchError) -> Self {
        Self { error, unsent: None, kept_connection: false, is_answer: false }
    }

    fn answered(error: FetchError) -> Self {
        Self { is_answer: true, ..Self::sent(error) }
    }
}
