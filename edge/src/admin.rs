//! The edge's part of the metrics page.
//!
//! In: an edge. Out: families of counters, gauges and histograms in the outcome's own words.
//! Always holds: everything is summed when it is read; nothing here is touched by a request.

pub mod origins;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use edge_core::{outcome::OutcomeLabel, purge::Mode, settings::RoleWord, stamps::Cause};
use nearcast_daemon::metrics::{Metrics, Scrape};

use crate::{
    Edge,
    fetch::{names, server::Server, standing::Standing},
    listener::Connections,
    record::SiteMetrics,
    serve::Hall,
    snapshot::Snapshot,
};

/// One edge, as the page sees it.
struct Seen {
    hall: Arc<Hall>,
    connections: Arc<Connections>,
    snapshot: Arc<Snapshot>,
    names: Vec<names::Seen>,
}

impl Seen {
    fn node(&self) -> &str {
        &self.hall.node
    }

    /// The sites' counters in order of their names, and those of requests that no site answers.
    fn sites(&self) -> Vec<&SiteMetrics> {
        let mut sites: Vec<&SiteMetrics> =
            self.snapshot.sites.values().map(|entry| entry.metrics.as_ref()).collect();
        sites.sort_by(|one, other| one.site.cmp(&other.site));
        sites.push(&self.hall.nowhere);
        sites
    }
}

/// Puts those `edges` on the page that there are when it is read; a family stands there once, with
/// every edge's samples.
pub fn register(edges: impl Fn() -> Vec<Edge> + Send + Sync + 'static, metrics: &Metrics) {
    metrics.register(move |scrape| {
        let seen: Vec<Seen> = edges()
            .iter()
            .map(|edge| {
                let hall = Arc::clone(edge.hall());
                let snapshot = hall.snapshot.load_full();
                // Else the counts of what is stored are those of the last busy moment.
                hall.room.tier.settle();
                let connections = Arc::clone(edge.connections());
                Seen { hall, connections, snapshot, names: edge.names() }
            })
            .collect();
        requests(&seen, scrape)?;
        latency(&seen, scrape)?;
        store(&seen, scrape)?;
        fillings(&seen, scrape)?;
        purges(&seen, scrape)?;
        origins(&seen, scrape)?;
        names_of_origins(&seen, scrape)?;
        limits(&seen, scrape)?;
        refused(&seen, scrape)
    });
}

fn requests(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family = scrape.counter("edge_requests", "Requests by outcome (RFC 9211)")?;
    for edge in edges {
        for site in edge.sites() {
            for label in OutcomeLabel::ALL {
                let labels =
                    [("node", edge.node()), ("site", &site.site), ("outcome", label.as_str())];
                family.sample(&labels, site.requests.sum(label.index()))?;
            }
        }
    }
    let mut family = scrape.counter("edge_responses", "Responses by class of status")?;
    for edge in edges {
        for site in edge.sites() {
            for (class, name) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
                let labels = [("node", edge.node()), ("site", &site.site), ("status", name)];
                family.sample(&labels, site.statuses.sum(class))?;
            }
        }
    }
    let mut family = scrape.counter("edge_content_bytes", "Content bytes handed to clients")?;
    for edge in edges {
        for site in edge.sites() {
            let labels = [("node", edge.node()), ("site", &*site.site)];
            family.sample(&labels, site.bytes.sum(0))?;
        }
    }
    let mut family = scrape
        .counter("edge_responses_aborted", "Responses that broke off or lost their client")?;
    for edge in edges {
        for site in edge.sites() {
            let labels = [("node", edge.node()), ("site", &*site.site)];
            family.sample(&labels, site.aborted.load(Ordering::Relaxed))?;
        }
    }
    Ok(())
}

fn latency(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family = scrape.histogram(
        "edge_request_duration_seconds",
        "Time from a request's head to its response's end",
    )?;
    for edge in edges {
        for site in edge.sites() {
            for (index, answered) in ["here", "origin"].into_iter().enumerate() {
                let labels = [("node", edge.node()), ("site", &site.site), ("answered", answered)];
                family.sample(&labels, &site.latency.sum(index))?;
            }
        }
    }
    Ok(())
}

type Level = fn(&Hall) -> u64;

fn store(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let gauges: [(&str, &str, Level); 5] = [
        ("edge_memory_bytes", "Bytes of the memory budget in use", |hall| {
            hall.room.budget.used() as u64
        }),
        ("edge_memory_limit_bytes", "The memory budget", |hall| hall.room.budget.limit() as u64),
        ("edge_stored_keys", "Cache keys with a stored response", |hall| {
            hall.room.tier.usage().keys
        }),
        ("edge_stored_bytes", "Bytes of stored responses", |hall| hall.room.tier.usage().bytes),
        ("edge_fillings", "Fillings that may be joined now", |hall| hall.room.table.len() as u64),
    ];
    for (name, help, level) in gauges {
        let mut family = scrape.gauge(name, help)?;
        for edge in edges {
            family.sample(&[("node", edge.node())], level(&edge.hall))?;
        }
    }
    // An edge without a lease has nothing to tell.
    let leased = edges.iter().filter_map(|edge| Some((edge, edge.hall.room.lease.as_ref()?)));
    let mut leased = leased.peekable();
    if leased.peek().is_some() {
        let mut family = scrape.gauge(
            "edge_lease_good",
            "1 while what is stored may be reused before its origin was asked",
        )?;
        for (edge, lease) in leased {
            let is_good = lease.is_good(edge.hall.room.clock.now());
            family.sample(&[("node", edge.node())], u64::from(is_good))?;
        }
    }
    // All edges of a process have one runtime for it.
    if let Some(edge) = edges.first() {
        let tasks = edge.hall.fills.metrics().num_alive_tasks();
        scrape
            .gauge("edge_tasks", "Tasks that fetch from origins or keep connections to them")?
            .sample(&[], tasks as u64)?;
    }
    Ok(())
}

fn fillings(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let ends: [(&str, Level); 5] = [
        ("stored", |hall| hall.room.counts.stored.load(Ordering::Relaxed)),
        ("unstored-memory", |hall| hall.room.counts.unstored_for_memory.load(Ordering::Relaxed)),
        ("unstored-size", |hall| hall.room.counts.unstored_for_size.load(Ordering::Relaxed)),
        ("orphaned", |hall| hall.room.counts.orphaned.load(Ordering::Relaxed)),
        ("broken", |hall| hall.room.counts.broken.load(Ordering::Relaxed)),
    ];
    let mut family = scrape.counter("edge_fillings_ended", "Shared fillings by how they ended")?;
    for edge in edges {
        for (how, count) in ends {
            family.sample(&[("node", edge.node()), ("how", how)], count(&edge.hall))?;
        }
    }
    let mut family =
        scrape.counter("edge_memory_refused", "Reservations that the memory budget refused")?;
    for edge in edges {
        family.sample(&[("node", edge.node())], edge.hall.room.budget.refused())?;
    }
    Ok(())
}

fn purges(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let purges = || Cause::ALL.into_iter().filter(|cause| cause.is_purge());
    let mut family = scrape.counter("edge_purges", "Selectors of purges that were applied")?;
    for edge in edges {
        for cause in purges() {
            for mode in [Mode::Hard, Mode::Soft] {
                let labels =
                    [("node", edge.node()), ("selector", cause.as_str()), ("mode", mode.as_str())];
                family.sample(&labels, edge.hall.purges.count(cause, mode))?;
            }
        }
    }
    let mut family = scrape.counter(
        "edge_stored_struck",
        "Stored responses that were found purged or invalidated, by what became of them",
    )?;
    for edge in edges {
        for cause in Cause::ALL {
            let (dead, stale) = edge.hall.room.stamps.found(cause);
            for (became, count) in [("dead", dead), ("stale", stale)] {
                let labels = [("node", edge.node()), ("cause", cause.as_str()), ("became", became)];
                family.sample(&labels, count)?;
            }
        }
    }
    Ok(())
}

/// Every server of every site of every edge, in order.
fn servers(edges: &[Seen]) -> Vec<([(&str, &str); 3], &Server)> {
    let mut servers = Vec::new();
    for edge in edges {
        for entry in edge.snapshot.sites.values() {
            for server in entry.pool.servers() {
                let labels =
                    [("node", edge.node()), ("site", &*entry.site.name), ("server", server.name())];
                servers.push((labels, server.as_ref()));
            }
        }
    }
    servers.sort_by_key(|(labels, _)| *labels);
    servers
}

/// What the page says of a server.
type Read = fn(&Server) -> u64;

fn origins(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let families: [(&str, &str, Read); 6] = [
        ("edge_origin_requests", "Requests sent to an origin server", |server| {
            server.counts().requests.load(Ordering::Relaxed)
        }),
        ("edge_origin_connections", "Connections opened to an origin server", |server| {
            server.counts().connections.load(Ordering::Relaxed)
        }),
        (
            "edge_origin_tls_resumed",
            "TLS sessions to an origin server that were resumed",
            |server| server.counts().resumed.load(Ordering::Relaxed),
        ),
        ("edge_origin_failures", "Failures that blame an origin server", |server| {
            server.counts().failures.load(Ordering::Relaxed)
        }),
        ("edge_origin_ejections", "Times an origin server was left out", |server| {
            server.counts().ejections.load(Ordering::Relaxed)
        }),
        ("edge_origin_checks_failed", "Checks of an origin server that failed", |server| {
            server.checks_failed()
        }),
    ];
    let servers = servers(edges);
    for (name, help, read) in families {
        let mut family = scrape.counter(name, help)?;
        for (labels, server) in &servers {
            family.sample(labels, read(server))?;
        }
    }
    let mut family = scrape.gauge("edge_origin_waiting", "Requests that wait for a connection")?;
    for (labels, server) in &servers {
        family.sample(labels, server.waiting() as u64)?;
    }
    let mut family = scrape.gauge("edge_origin_ejected", "Whether a server is left out now")?;
    for (labels, server) in &servers {
        family.sample(labels, u64::from(server.is_ejected()))?;
    }
    standings(&servers, scrape)?;
    acting(edges, scrape)?;
    let mut family = scrape.counter("edge_origin_retries_refused", "Retries over the budget")?;
    for edge in edges {
        for entry in edge.snapshot.sites.values() {
            let labels = [("node", edge.node()), ("site", &*entry.site.name)];
            family.sample(&labels, entry.pool.retries_refused())?;
        }
    }
    Ok(())
}

/// Which standbys stand in for primaries.
fn acting(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family =
        scrape.gauge("edge_origin_acting", "Whether a standby stands in for the primaries")?;
    for edge in edges {
        for entry in edge.snapshot.sites.values() {
            let acting = entry.pool.acting();
            let servers = entry.pool.servers().iter();
            for server in servers.filter(|server| server.plan().role == RoleWord::Standby) {
                let labels =
                    [("node", edge.node()), ("site", &*entry.site.name), ("server", server.name())];
                let acts = acting.is_some_and(|acting| Arc::ptr_eq(acting, server));
                family.sample(&labels, u64::from(acts))?;
            }
        }
    }
    Ok(())
}

/// How each server does at this moment.
fn standings(servers: &[([(&str, &str); 3], &Server)], scrape: &mut Scrape<'_>) -> fmt::Result {
    let gauges: [(&str, &str, Read); 5] = [
        ("edge_origin_connections_open", "Connections to an origin server", |server| {
            server.counts().open.load(Ordering::Relaxed)
        }),
        ("edge_origin_up", "Whether a server is asked as others are", |server| {
            u64::from(server.standing().0 == Standing::Up)
        }),
        ("edge_origin_state_seconds", "For how long a server has been up, or not", |server| {
            server.standing().1.as_secs()
        }),
        ("edge_origin_in_flight", "Requests that a server has now", |server| {
            server.in_flight().into()
        }),
        (
            "edge_origin_first_byte_microseconds",
            "A server's time to the first byte of a response, the latest counting most",
            |server| u64::try_from(server.first_byte().as_micros()).unwrap_or(u64::MAX),
        ),
    ];
    let mut family = scrape.gauge(
        "edge_origin_limit",
        "Requests that a server may have at once, where its answers say",
    )?;
    for (labels, server) in servers {
        if let Some(limit) = server.limit() {
            family.sample(labels, u64::from(limit))?;
        }
    }
    for (name, help, read) in gauges {
        let mut family = scrape.gauge(name, help)?;
        for (labels, server) in servers {
            family.sample(labels, read(server))?;
        }
    }
    Ok(())
}

fn names_of_origins(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    type Read = fn(&names::Seen) -> u64;
    let mut family =
        scrape.counter("edge_origin_lookups", "Questions for an origin's name, by their end")?;
    let ends: [(&str, Read); 2] =
        [("answered", |name| name.answered), ("failed", |name| name.failed)];
    for edge in edges {
        for name in &edge.names {
            for (end, read) in ends {
                let labels = [("node", edge.node()), ("name", &*name.name), ("end", end)];
                family.sample(&labels, read(name))?;
            }
        }
    }
    let gauges: [(&str, &str, Read); 2] = [
        ("edge_origin_addresses", "Addresses that an origin's name leads to", |name| {
            name.addresses
        }),
        ("edge_origin_name_failing", "Whether the last question for a name failed", |name| {
            u64::from(name.is_failing)
        }),
    ];
    for (family, help, read) in gauges {
        let mut family = scrape.gauge(family, help)?;
        for edge in edges {
            for name in &edge.names {
                family.sample(&[("node", edge.node()), ("name", &*name.name)], read(name))?;
            }
        }
    }
    Ok(())
}

fn refused(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family =
        scrape.counter("edge_requests_refused", "Malformed requests, by what was wrong")?;
    for edge in edges {
        for (reason, count) in edge.hall.refused.counts() {
            family.sample(&[("node", edge.node()), ("reason", reason)], count)?;
        }
    }
    Ok(())
}

fn limits(edges: &[Seen], scrape: &mut Scrape<'_>) -> fmt::Result {
    let mut family = scrape.gauge("edge_connections", "Client connections that are open")?;
    for edge in edges {
        family.sample(&[("node", edge.node())], edge.connections.open())?;
    }
    let mut family = scrape.counter("edge_connections_accepted", "Client connections accepted")?;
    for edge in edges {
        let count = edge.connections.accepted.load(Ordering::Relaxed);
        family.sample(&[("node", edge.node())], count)?;
    }
    let mut family = scrape.counter(
        "edge_proxied_refused",
        "Connections refused on balancers' listeners, by what was wrong",
    )?;
    for edge in edges {
        for (reason, counter) in [
            ("stranger", &edge.connections.refused_stranger),
            ("header", &edge.connections.refused_header),
        ] {
            let labels = [("node", edge.node()), ("reason", reason)];
            family.sample(&labels, counter.load(Ordering::Relaxed))?;
        }
    }
    let mut family = scrape.counter("edge_limits_hit", "What a limit refused, by its name")?;
    for edge in edges {
        for (limit, counter) in [
            ("connections_max", &edge.connections.refused_total),
            ("connections_per_address_max", &edge.connections.refused_address),
        ] {
            let labels = [("node", edge.node()), ("limit", limit)];
            family.sample(&labels, counter.load(Ordering::Relaxed))?;
        }
        let room = &edge.hall.room;
        for (limit, count) in [
            ("variants_max", room.tier.usage().variants_displaced),
            ("invalidations_max", room.stamps.overflows().0),
            ("purges_max", room.stamps.overflows().1),
        ] {
            family.sample(&[("node", edge.node()), ("limit", limit)], count)?;
        }
        for (limit, count) in edge.hall.limits.counts() {
            family.sample(&[("node", edge.node()), ("limit", limit)], count)?;
        }
    }
    Ok(())
}
