//! The route that tells how each origin server does, on the operators' listener.
//!
//! In: the edges that there are. Out: a line or an object per server.
//! Always holds: there are no tokens yet, so it is for this machine alone ([`Local`]); what it says
//! is read when it is asked for, and no request waits for it.

use std::{
    fmt,
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use edge_core::settings::RoleWord;
use http::{HeaderMap, header::ACCEPT};
use nearcast_daemon::local::Local;
use serde::Serialize;

use crate::{
    Edge,
    fetch::{server::Server, standing::Standing},
};

/// How one server does.
#[derive(Debug, Serialize)]
struct Status {
    node: String,
    site: String,
    server: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: String,
    role: RoleWord,
    /// Whether it is a standby that stands in for the primaries.
    acting: bool,
    /// `up`, `down` (its checks fail) or `ejected` (requests have failed).
    state: &'static str,
    /// Why it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// For how long it has been so.
    for_seconds: u64,
    in_flight: u32,
    waiting: usize,
    /// Requests that it may have at once, where its answers say.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// Its time to the first byte; 0 before the first response.
    first_byte_microseconds: u64,
    requests: u64,
    failures: u64,
    ejections: u64,
    checks_failed: u64,
}

/// The route for those `edges` that there are when it is asked.
pub fn router(edges: impl Fn() -> Vec<Edge> + Clone + Send + Sync + 'static) -> Router {
    Router::new().route("/v1/origins", get(origins::<_>)).with_state(Edges(edges))
}

#[derive(Clone)]
struct Edges<F>(F);

async fn origins<F>(
    _local: Local,
    State(Edges(edges)): State<Edges<F>>,
    fields: HeaderMap,
) -> Response
where
    F: Fn() -> Vec<Edge>,
{
    let told: Vec<Status> = edges().iter().flat_map(told).collect();
    // For a terminal; who says nothing gets JSON.
    if fields.get(ACCEPT).is_none_or(|accept| accept != "text/plain") {
        return Json(told).into_response();
    }
    let mut text = String::new();
    for status in &told {
        // Writing to a string does not fail.
        if writeln!(text, "{status}").is_err() {
            break;
        }
    }
    text.into_response()
}

fn told(edge: &Edge) -> Vec<Status> {
    let hall = edge.hall();
    let snapshot = hall.snapshot.load();
    let mut entries: Vec<_> = snapshot.sites.values().collect();
    entries.sort_by(|one, other| one.site.name.cmp(&other.site.name));
    let mut all = Vec::new();
    for entry in entries {
        let servers = entry.pool.servers().iter();
        let acting = entry.pool.acting();
        all.extend(servers.map(|server| {
            let acts = acting.is_some_and(|acting| Arc::ptr_eq(acting, server));
            status((&hall.node, &entry.site.name), server, acts)
        }));
    }
    all
}

fn status((node, site): (&str, &str), server: &Server, acting: bool) -> Status {
    let (standing, lasts) = server.standing();
    let counts = server.counts();
    let plan = server.plan();
    Status {
        node: node.to_owned(),
        site: site.to_owned(),
        server: server.name().to_owned(),
        group: plan.group_name.to_string(),
        role: plan.role,
        acting,
        state: standing.as_str(),
        why: (standing != Standing::Up).then(|| standing.to_string()),
        for_seconds: lasts.as_secs(),
        in_flight: server.in_flight(),
        waiting: server.waiting(),
        limit: server.limit(),
        first_byte_microseconds: u64::try_from(server.first_byte().as_micros()).unwrap_or(u64::MAX),
        requests: counts.requests.load(Ordering::Relaxed),
        failures: counts.failures.load(Ordering::Relaxed),
        ejections: counts.ejections.load(Ordering::Relaxed),
        checks_failed: server.checks_failed(),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, site, server, state, for_seconds, in_flight, waiting, .. } = self;
        write!(f, "{node} {site} {server}")?;
        if !self.group.is_empty() {
            write!(f, " ({})", self.group)?;
        }
        if self.acting {
            f.write_str(", for the primaries")?;
        }
        let first_byte = Duration::from_micros(self.first_byte_microseconds);
        write!(
            f,
            ": {state} for {for_seconds} s; {in_flight} in flight, {waiting} waiting, first byte \
             {first_byte:.1?}; {} requests, {} failures, ejected {} times",
            self.requests, self.failures, self.ejections
        )?;
        match &self.why {
            Some(why) => write!(f, "; {why}"),
            None => Ok(()),
        }
    }
}
