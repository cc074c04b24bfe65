//! Active checks: what this node itself sees of an origin's servers.
//!
//! In: a pool's servers, its check, its way to them. Out: a [`Verdict`] after the other for each server.
//! Always holds: a server is checked no more often than the check says, also over a reload; a check is
//! one connection of its own, to an address that the policy allows, and ends within its timeout;
//! nothing of it runs where requests do. It deliberately does not know what follows from a verdict.
//!
//! A TCP check sees no further than the kernel, which accepts connections for a process that has
//! stopped: only HTTP checks tell that nobody is there.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use edge_core::{
    settings::OriginCheckKind,
    site::{CheckPlan, HostChoice, OriginPlan},
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ground::{moment::Moment, schedule};
use http::{HeaderValue, Request, header};
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    FetchError,
    content::ClientContent,
    server::Server,
    sign::Signer,
    tls::TlsPlan,
    way::{Content, Misread, Roads, Unanswered},
    world::OriginWorld,
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

/// What leads to a pool's servers.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) plan: Arc<OriginPlan>,
    pub(super) tls: Option<TlsPlan>,
    pub(super) signer: Option<Signer>,
    pub(super) world: OriginWorld,
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
    pub(super) fn begin(check: &Arc<CheckPlan>, servers: &[Arc<Server>], asker: &Asker) -> Self {
        let all: Vec<_> = servers
            .iter()
            .map(|server| watch(Arc::clone(check), Arc::clone(server), asker.clone()))
            .collect();
        let running = asker.world.control.spawn(async move {
            let mut all: FuturesUnordered<_> = all.into_iter().collect();
            while all.next().await.is_some() {}
        });
        Self(running.abort_handle())
    }
}

/// Checks one server again and again.
async fn watch(check: Arc<CheckPlan>, server: Arc<Server>, asker: Asker) {
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
        let asked = timeout(check.timeout, ask(&check, &server, &asker)).await;
        let verdict = asked.unwrap_or(Some(Err(Fault::Timeout(check.timeout))));
        server.checked(verdict);
        due = schedule::next(&*check, began, rand::random());
    }
}

/// One check.
async fn ask(check: &CheckPlan, server: &Server, asker: &Asker) -> Verdict {
    let unanswered = |error: FetchError| match error {
        FetchError::Spent { .. } => None,
        error => Some(Err(Fault::Unanswered(error.to_string()))),
    };
    let Asker { plan, tls, signer, world } = asker;
    let address = &server.address;
    if check.kind == OriginCheckKind::Tcp {
        return match world.connector.connect(address, &world.policy).await {
            Ok(_opened) => Some(Ok(())),
            Err(error) => unanswered(error),
        };
    }
    let roads = Roads { plan, tls: tls.as_ref(), world };
    // Without memory for a connection nothing is known of the server.
    let charge = world.memory.reserve(roads.cost(address.tls))?;
    let mut message = request(check, server, plan);
    if let Some(signer) = signer
        && let Err(error) = signer.sign(&mut message, world.clock.wall())
    {
        return unanswered(error);
    }
    let mut way = match roads.apart(server, &Handle::current(), charge).await {
        Ok(way) => way,
        Err(error) => return unanswered(error),
    };
    let response = match way.send(message, address.tls).await {
        Ok(response) => response,
        Err(Unanswered { reason, .. }) => {
            return Some(Err(Fault::Unanswered(format!("no valid response: {reason}"))));
        }
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

fn request(check: &CheckPlan, server: &Server, plan: &OriginPlan) -> Request<ClientContent> {
    let mut request = Request::new(ClientContent::none());
    *request.method_mut() = check.method.clone();
    *request.uri_mut() = check.target.clone();
    let host = match (&check.host, &plan.host) {
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
async fn holds(mut content: Content, text: &str) -> Result<(), Fault> {
    let mut search = Search::of(text);
    loop {
        if search.is_found {
            return Ok(());
        }
        if search.left == 0 || content.is_end_stream() {
            return Err(Fault::Content(text.to_owned()));
        }
        match poll_fn(|cx| content.poll_frame(cx)).await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_else(|_trailers| Bytes::new());
                search.look(&data);
            }
            Some(Err(Misread { reason, .. })) => {
                return Err(Fault::Unanswered(format!("the content broke off: {reason}")));
            }
            None => return Err(Fault::Content(text.to_owned())),
        }
    }
}

/// Looks for a text in what comes piece by piece; no byte is looked at again with the next piece but
/// those that the text may have begun with.
struct Search<'t> {
    text: &'t [u8],
    /// The end of what came, shorter than the text.
    tail: Vec<u8>,
    /// Bytes that are still looked at.
    left: usize,
    is_found: bool,
}

impl<'t> Search<'t> {
    fn of(text: &'t str) -> Self {
        let (text, is_found) = (text.as_bytes(), text.is_empty());
        Self { text, tail: Vec::new(), left: CONTENT_BYTES_MAX, is_found }
    }

    fn look(&mut self, piece: &[u8]) {
        let piece = piece.get(..self.left).unwrap_or(piece);
        self.left = self.left.saturating_sub(piece.len());
        self.tail.extend_from_slice(piece);
        let length = self.text.len().max(1);
        self.is_found |= self.tail.windows(length).any(|part| part == self.text);
        let done = self.tail.len().saturating_sub(length - 1);
        self.tail.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_over_the_ends_of_pieces_and_what_is_kept_is_shorter_than_it() {
        for length in 1..=6 {
            let mut search = Search::of("ready");
            for piece in b"not rearearead, but ready".chunks(length) {
                assert!(!search.is_found, "{length}");
                search.look(piece);
                assert!(search.tail.len() < 5, "{length}");
            }
            assert!(search.is_found, "{length}");
        }
        assert!(Search::of("").is_found);
    }

    #[test]
    fn a_text_behind_the_beginning_of_the_content_is_not_looked_for() {
        for (before, is_found) in [(CONTENT_BYTES_MAX - 5, true), (CONTENT_BYTES_MAX - 4, false)] {
            let mut search = Search::of("ready");
            search.look(&vec![b' '; before]);
            search.look(b"ready");
            assert_eq!((search.is_found, search.left), (is_found, 0), "{before}");
        }
    }
}
