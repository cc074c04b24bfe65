//! The routes of the ledger on the operators' listener: purges, sites, tokens, nodes, and who did
//! what.
//!
//! In: a ledger, what this process holds, a wall clock. Out: axum routes; every error is a problem
//! detail (RFC 9457).
//! Always: every route asks for a token, but for the OpenAPI document, which is the same everywhere;
//! what is refused writes nothing to the ledger; requests of a token are limited, and so is the size
//! of what is sent, and how many orders outlive their connections; an order that was acknowledged is
//! on disk. It deliberately does not know an edge: who mounts the routes says what it holds.
//! Clause: docs/operate.md *Ordering purges*, *Tokens*; RFC 6750; RFC 9457.

mod audit;
mod caller;
mod catalogue;
mod copies;
mod drains;
mod explain;
mod nodes;
pub mod openapi;
mod purges;
mod rate;
mod reading;
mod sites;
mod tokens;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use edge_core::purge::Purge;
use http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE};
use nearcast_daemon::http_problem::Problem;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

pub use self::explain::{Explained, Held, NextRequest, Url};
use self::rate::Rates;
use crate::{
    copy::COPY_BYTES_MAX,
    drain::Settled,
    ledger::{Ledger, LedgerError},
    roster::Roster,
    site::{self, Rules},
};

/// The largest content of a request.
const CONTENT_BYTES_MAX: usize = 192 * 1024;

/// Orders that are carried out at once.
const ORDERS_MAX: usize = 64;

/// What this process holds.
pub trait Holdings: Send + Sync {
    /// The names of the sites that it knows.
    fn sites(&self) -> Vec<String>;
    /// How many stored responses each of its nodes has that a purge speaks of. May take a while.
    fn count(&self, purge: &Purge) -> Vec<Counted>;
    /// What each of its nodes has of a URL. May take a while.
    fn explain(&self, url: &Url) -> Vec<Explained>;
}

/// What a node has of what a purge speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counted {
    /// The node's name.
    pub node: String,
    /// Its stored responses.
    pub responses: u64,
}

/// Tells people when something was; nothing is decided by it.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What the routes need.
pub struct Api {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Its nodes.
    pub roster: Roster,
    /// What this process holds.
    pub holdings: Arc<dyn Holdings>,
    /// The wall clock.
    pub clock: WallClock,
    /// The longest wait for nodes.
    pub wait_max: Duration,
    /// Requests of a token a second.
    pub requests_per_second: u32,
    /// How sites are read here.
    pub rules: Arc<dyn Rules>,
    /// Versions of a site that are kept.
    pub site_versions_kept: usize,
}

/// What every route is given.
struct Shared {
    ledger: Arc<dyn Ledger>,
    roster: Roster,
    holdings: Arc<dyn Holdings>,
    clock: WallClock,
    wait_max: Duration,
    rates: Rates,
    /// One dry run or explanation at a time: each may walk whole stores.
    counting: Arc<Semaphore>,
    /// One copy of the ledger at a time is taken or put in: it is held in memory.
    copying: Arc<Semaphore>,
    /// One comes in at a time.
    receiving: Semaphore,
    /// One revocation at a time.
    revoking: Semaphore,
    rules: Arc<dyn Rules>,
    site_versions_kept: usize,
    /// One site is written at a time: others would only have to look again.
    writing: Semaphore,
    /// One node is drained at a time: two at once would each be the other's last.
    draining: Semaphore,
    /// Since when drained nodes are sent nobody.
    settled: Settled,
}

impl Shared {
    /// Now, for people (RFC 3339).
    fn at(&self) -> String {
        at((self.clock)())
    }

    /// The names of all sites: of this process, and of the ledger, which it may not have yet.
    async fn sites(&self) -> Vec<String> {
        let mut names = self.holdings.sites();
        // Where that cannot be read, what is asked for will not be written either.
        if let Ok(catalogue) = site::catalogue(&*self.ledger).await {
            names.extend(catalogue.present().map(|(name, _)| name.clone()));
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A time, for people (RFC 3339).
#[must_use]
pub fn at(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// The routes.
pub fn router(api: Api) -> Router {
    let shared = Shared {
        ledger: api.ledger,
        roster: api.roster,
        holdings: api.holdings,
        clock: api.clock,
        wait_max: api.wait_max,
        rates: Rates::new(api.requests_per_second),
        counting: Arc::new(Semaphore::new(1)),
        copying: Arc::new(Semaphore::new(1)),
        receiving: Semaphore::new(1),
        revoking: Semaphore::new(1),
        rules: api.rules,
        site_versions_kept: api.site_versions_kept,
        writing: Semaphore::new(1),
        draining: Semaphore::new(1),
        settled: Settled::default(),
    };
    let orders = Arc::new(Semaphore::new(ORDERS_MAX));
    Router::new()
        .route("/v1/purges", post(purges::order))
        .route("/v1/purges/{id}", get(purges::progress))
        .route("/v1/sites", get(sites::list))
        .route("/v1/sites/{name}", get(sites::one).put(sites::put).delete(sites::delete))
        .route("/v1/sites/{name}/history", get(sites::history))
        .route("/v1/catalogue", get(catalogue::look))
        .route("/v1/tokens", get(tokens::list).post(tokens::make))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/{name}", delete(nodes::remove))
        .route(
            "/v1/nodes/{name}/drain",
            get(drains::progress).put(drains::drain).delete(drains::undrain),
        )
        .route("/v1/explain", get(explain::explain))
        .route(
            "/v1/ledger",
            get(copies::export).put(copies::import).layer(DefaultBodyLimit::max(COPY_BYTES_MAX)),
        )
        .route("/v1/audit", get(audit::list))
        .route(openapi::PATH, get(openapi::page))
        .layer(middleware::from_fn(move |request, next| {
            to_its_end(Arc::clone(&orders), request, next)
        }))
        .layer(middleware::map_response(challenge))
        .layer(DefaultBodyLimit::max(CONTENT_BYTES_MAX))
        .with_state(Arc::new(shared))
}

/// What was begun is ended, with its line in the audit log, even if the caller goes away meanwhile;
/// what only reads ends with its connection.
async fn to_its_end(orders: Arc<Semaphore>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let Ok(turn) = orders.try_acquire_owned() else {
        let detail =
            "too many orders are under way; none of them may have been taken by the ledger";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(detail).into_response();
    };
    let order = async move {
        let response = next.run(request).await;
        drop(turn);
        response
    };
    match tokio::spawn(order.in_current_span()).await {
        Ok(response) => response,
        Err(error) => internal(&error).into_response(),
    }
}

/// Who shows a token that does not allow this is told so as RFC 6750 §3 asks.
async fn challenge(mut response: Response) -> Response {
    if response.status() == StatusCode::FORBIDDEN {
        let scope = "Bearer realm=\"nearcast\", error=\"insufficient_scope\"";
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scope));
    }
    response
}

/// What the ledger's refusal is to a caller.
fn refused(error: &LedgerError) -> Problem {
    let status = match error {
        LedgerError::Conflict { .. } => StatusCode::CONFLICT,
        LedgerError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        // The ledger itself tells the log, once; a line for each request would be a flood.
        LedgerError::Unavailable(_) | LedgerError::Lost(_) => {
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE).detail(
                "the ledger cannot be used at the moment, so nothing was acknowledged; edges serve \
                 on; GET /readyz says why, and the request may be sent again",
            );
        }
    };
    Problem::new(status).detail(error.to_string())
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "the admin API failed");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST).detail(detail)
}
