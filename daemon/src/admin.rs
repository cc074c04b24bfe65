//! The operators' listener: health, readiness, metrics, and what other parts mount beside them.
//!
//! In: an address, limits, the process's readiness and metrics, more routes. Out: HTTP/1.1 answers;
//! every error is a problem detail.
//! Always: the number of connections, the size and time of a request head, the time of an answer and
//! the life of a connection are bounded; it goes on answering while the process drains; nothing here
//! runs on a serving thread.
//! Does not know: tokens (routes that ask for one are mounted by who knows them), sites, caching.
//! Clause: docs/operate.md *What is going on*, RFC 9457.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};

use crate::http_problem::Problem;
use crate::metrics::{self, Metrics};
use crate::readiness::Readiness;
use crate::request_id;
use crate::seldom::Seldom;
use crate::settings::AdminSettings;

/// After a failed accept (out of file descriptors, say) the listener rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// An answer under way gets this long to end when its connection or the listener must.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Smallest read buffer that hyper allows.
const BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Why the admin listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken, not ours, or not allowed.
    #[error("[admin] listen = \"{address}\": cannot listen there")]
    Bind {
        /// The address as set.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime cannot watch the listener.
    #[error("the admin listener cannot be watched")]
    Watch(#[source] io::Error),
}

/// The runtime for admin, probes and everything else that must not slow serving down.
///
/// # Errors
/// When the system gives no thread or no event queue.
pub fn control_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(4)
        .thread_name("control")
        .enable_all()
        .build()
}

/// Health, readiness and metrics, `more` routes (without fallbacks of their own), and problem
/// details for all else.
pub fn router(metrics: &Metrics, readiness: &Readiness, more: Router) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "alive": true })) }))
        .route("/readyz", get(readyz).with_state(readiness.clone()))
        .route("/metrics", get(scrape).with_state(metrics.clone()))
        .merge(more)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(page) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(_) => {
            tracing::error!("/metrics: a source failed; the page is not served");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND).detail(format!("there is nothing at {}", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED)
        .detail(format!("{} does not take {method}", uri.path()))
}

/// Who asks, for routes that are for some only: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// A bound admin listener that does not answer yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    settings: AdminSettings,
    /// How often all places were taken when the next connection was to be let in.
    full: Arc<AtomicU64>,
}

impl Admin {
    /// Binds `address`; port 0 takes any free one. Without SO_REUSEPORT, so that a taken port is an
    /// error.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr, settings: &AdminSettings) -> Result<Self, AdminError> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let full = Arc::default();
            Ok(Self { listener, address, settings: settings.clone(), full })
        };
        bind().map_err(|source| AdminError::Bind { address, source })
    }

    /// Where it listens, the chosen port included.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts how often its limits were reached on the metrics page.
    pub fn register(&self, metrics: &Metrics) {
        let full = Arc::clone(&self.full);
        metrics.register(move |scrape| {
            let mut family = scrape.counter(
                "admin_limits_hit",
                "Times that a limit of [admin] was reached, by name.",
            )?;
            family.sample(&[("limit", "connections_max")], full.load(Ordering::Relaxed))
        });
    }

    /// Answers until `end` resolves, then gives answers under way a moment to finish.
    ///
    /// # Errors
    /// When the runtime cannot watch the listener.
    pub async fn serve(
        self,
        routes: Router,
        end: impl Future<Output = ()> + Send,
    ) -> Result<(), AdminError> {
        let listener =
            tokio::net::TcpListener::from_std(self.listener).map_err(AdminError::Watch)?;
        let places = Arc::new(Semaphore::new(self.settings.connections_max));
        let (closing, closed) = watch::channel(());
        let service = Connections::new(&self.settings, routes, closed);
        let mut connections = JoinSet::new();
        let mut told = Seldom::default();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                Some(ended) = connections.join_next() => report_panic(ended),
                accepted = accept(&listener, &places, &self.full) => match accepted {
                    Ok((stream, place)) => {
                        connections.spawn(service.clone().serve(stream, place));
                    }
                    Err(error) => {
                        if told.is_due() {
                            tracing::warn!(error = %error, "admin listener: accept failed; trying again");
                        }
                        if tokio::time::timeout(ACCEPT_REST, &mut end).await.is_ok() {
                            break;
                        }
                    }
                },
            }
        }
        drop(listener);
        drop(closing);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        // Whoever still reads after that is cut off when the set is dropped.
        drop(tokio::time::timeout(LAST_ANSWER, all_ended).await);
        Ok(())
    }
}

fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "admin listener: a connection's task failed");
    }
}

/// A connection, once there is a place for it; until then it waits in the kernel's backlog, where
/// nobody can count it, so `full` counts how often there was no place.
async fn accept(
    listener: &tokio::net::TcpListener,
    places: &Arc<Semaphore>,
    full: &AtomicU64,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    if places.available_permits() == 0 {
        full.fetch_add(1, Ordering::Relaxed);
    }
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

#[derive(Debug, Clone)]
struct Connections {
    http: http1::Builder,
    routes: Router,
    deadline: Duration,
    /// Fails once the listener ends.
    closed: watch::Receiver<()>,
}

impl Connections {
    fn new(settings: &AdminSettings, routes: Router, closed: watch::Receiver<()>) -> Self {
        let header_bytes = usize::try_from(settings.header_bytes_max.0).unwrap_or(usize::MAX);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(settings.header_deadline)
            .max_buf_size(header_bytes.max(BUFFER_BYTES_MIN));
        let deadline = settings.request_deadline;
        let routes = routes.layer(middleware::from_fn(move |request: Request, next: Next| {
            answer_within(deadline, request, next)
        }));
        let routes = routes.layer(middleware::from_fn(request_id::named));
        Self { http, routes, deadline: settings.connection_deadline, closed }
    }

    async fn serve(mut self, stream: TcpStream, _place: OwnedSemaphorePermit) {
        // A client that is gone already asks nothing.
        let Ok(peer) = stream.peer_addr() else { return };
        let routes = self.routes.layer(Extension(Peer(peer)));
        let service = TowerToHyperService::new(routes);
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let end = async { tokio::time::timeout(self.deadline, self.closed.changed()).await };
        let result = tokio::select! {
            result = connection.as_mut() => result,
            _ = end => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(LAST_ANSWER, connection).await {
                    Ok(result) => result,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(error = %error, "admin connection ended early");
        }
    }
}

/// One answer, or 503 when it takes too long; answers of this listener are never for a cache.
async fn answer_within(deadline: Duration, request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail("the answer took longer than request_deadline")
            .into_response(),
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(no_store);
    response
}
