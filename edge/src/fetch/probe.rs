//! Active checks: what this node itself sees of an origin's servers.
//!
//! In: a pool's servers, its check, its way to them. Out: a [`Verdict`] after the other for each server.
//! Always holds: a server is checked no more often than the check says, also over a reload; a check is
//! one connection of its own, to an address that the policy allows, and ends within its timeout;
//! nothing of it runs where requests do. It deliberately does not know what follows from a verdict.
//!
//! A TCP check sees no further than the kernel, which accepts connections for a process that has
//! stopped: only HTTP checks tell that nobody is there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use edge_core::{
    settings::OriginCheckKind,
    site::{CheckPlan, HostChoice},
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ground::{moment::Moment, schedule};
use http::{HeaderValue, Request, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    FetchError, chain, content::ClientContent, link::Link, pool::OriginWorld, server::Server,
    tls::TlsPlan,
};

/// How much content is looked through.
const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// Who asks.
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("nearcast-probe/", env!("CARGO_PKG_VERSION")));

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// There is no connection, no TLS session, or no answer over it.
    #[error("{0}")]
    Unanswered(String),
    /// The answer's status is none that passes.
    #[error("status {0}")]
    Status(u16),
    /// The content does not hold what it must.
    #[error("the content has no \"{0}\"")]
    Content(String),
}

/// What a check came to; nothing where this node could not ask.
pub(super) type Verdict = Option<Result<(), Fault>>;

/// The way to a pool's servers.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) world: OriginWorld,
    pub(super) tls: Option<TlsPlan>,
    pub(super) host: HostChoice,
}

/// The checks of a pool, for as long as it lives.
pub(super) struct Checks(AbortHandle);

impl Drop for Checks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Checks {
    /// Begins to check `servers`.
    pub(super) fn begin(check: &Arc<CheckPlan>, servers: &[Arc<Server>], way: &Way) -> Self {
        let all: Vec<_> = servers
            .iter()
            .map(|server| watch(Arc::clone(check), Arc::clone(server), way.clone()))
            .collect();
        let running = way.world.control.spawn(async move {
            let mut all: FuturesUnordered<_> = all.into_iter().collect();
            while all.next().await.is_some() {}
        });
        Self(running.abort_handle())
    }
}

/// Checks one server again and again.
async fn watch(check: Arc<CheckPlan>, server: Arc<Server>, way: Way) {
    let mut due = server.glance(|state, now| match state.probed() {
        Some(last) => schedule::next(&*check, last, rand::random()).max(now),
        None => schedule::first(&*check, now, rand::random()),
    });
    loop {
        let wait = server.glance(|_, now| due.since(now));
        if !wait.is_zero() {
            // Rounded up: a timer that fires too early would have nothing to do.
            sleep_until(Instant::now() + wait.max(Duration::from_millis(1))).await;
        }
        let began: Moment = server.glance(|state, now| state.begin_probe(now));
        let asked = timeout(check.timeout, ask(&check, &server, &way)).await;
        let verdict = asked.unwrap_or(Some(Err(Fault::Timeout(check.timeout))));
        server.checked(verdict);
        due = schedule::next(&*check, began, rand::random());
    }
}

/// One check.
async fn ask(check: &CheckPlan, server: &Server, way: &Way) -> Verdict {
    let unanswered = |error: FetchError| Fault::Unanswered(error.to_string());
    let address = &server.address;
    let mut opened = match way.world.connector.connect(address, &way.world.policy).await {
        Ok(opened) => opened,
        Err(error) => return Some(Err(unanswered(error))),
    };
    if check.kind == OriginCheckKind::Tcp {
        return Some(Ok(()));
    }
    if let Some(tls) = way.tls.as_ref().filter(|_| address.tls) {
        opened.stream = match tls.wrap(opened.stream, address).await {
            Ok(stream) => stream,
            Err(error) => return Some(Err(unanswered(error))),
        };
    }
    // Without memory for a connection nothing is known of the server.
    let charge = way.world.memory.reserve(Link::cost(address.tls))?;
    let broken =
        |error: &hyper::Error| Fault::Unanswered(format!("no valid response: {}", chain(error)));
    let mut link = match Link::over(opened, &Handle::current(), charge).await {
        Ok(link) => link,
        Err(error) => return Some(Err(broken(&error))),
    };
    let response = match link.sender().send_request(request(check, server, way)).await {
        Ok(response) => response,
        Err(error) => return Some(Err(broken(&error))),
    };
    let status = response.status().as_u16();
    if !check.statuses.contains(&status) {
        return Some(Err(Fault::Status(status)));
    }
    Some(match &check.body {
        Some(text) => holds(response.into_body(), text).await,
        None => Ok(()),
    })
}

fn request(check: &CheckPlan, server: &Server, way: &Way) -> Request<ClientContent> {
    let mut request = Request::new(ClientContent::none());
    *request.method_mut() = check.method.clone();
    *request.uri_mut() = check.target.clone();
    let host = match (&check.host, &way.host) {
        (Some(host), _) => host.clone(),
        (None, HostChoice::Name(name)) => name.clone(),
        // No client asks.
        (None, HostChoice::Server | HostChoice::Client) => server.authority.clone(),
    };
    let fields = request.headers_mut();
    fields.insert(header::HOST, host);
    fields.insert(header::USER_AGENT, USER_AGENT);
    fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

/// Whether the beginning of the content holds `text`.
async fn holds(mut content: Incoming, text: &str) -> Result<(), Fault> {
    let mut read: Vec<u8> = Vec::new();
    loop {
        if read.windows(text.len().max(1)).any(|part| part == text.as_bytes()) || text.is_empty() {
            return Ok(());
        }
        if read.len() >= CONTENT_BYTES_MAX || content.is_end_stream() {
            return Err(Fault::Content(text.to_owned()));
        }
        match content.frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_else(|_trailers| Bytes::new());
                let left = CONTENT_BYTES_MAX.saturating_sub(read.len());
                read.extend_from_slice(data.get(..left).unwrap_or(&data));
            }
            Some(Err(error)) => {
                return Err(Fault::Unanswered(format!("the content broke off: {}", chain(&error))));
            }
            None => return Err(Fault::Content(text.to_owned())),
        }
    }
}
