//! The file descriptors that the settings of a node can come to need.
//!
//! In: a node file. Out: a number. Always holds: what only a restart changes counts as it was at the
//! start, everything else as it is now.
//! It deliberately does not know how many there are.
//! Clause: docs/operate.md *Start*.

use std::num::NonZeroUsize;

use edge_core::settings::SiteSettings;
use nearcast_config::NodeConfig;
use nearcast_daemon::descriptors::OTHERS;

/// What a thread with an event loop has open for it, beside its sockets.
const EVENT_LOOP: usize = 4;

/// What a node needs that was `started` with these settings and has others `now`.
pub(crate) fn needed(started: &NodeConfig, now: &NodeConfig, workers: NonZeroUsize) -> u64 {
    let sockets = number(of_edge(started, workers).saturating_add(of_dns(started, workers)));
    let origin = |site: &SiteSettings| {
        let servers = number(site.origin.servers.len());
        let checks = u64::from(site.origin.check.is_some());
        u64::from(site.origin.connections_max).saturating_add(checks).saturating_mul(servers)
    };
    let clients = now.edge.as_ref().map_or(0, |edge| edge.limits.connections_max.into());
    let edge = now.sites.iter().map(origin).fold(clients, u64::saturating_add);
    let edge = if started.edge.is_some() { edge } else { 0 };
    let probes = now.geodns.as_ref().map_or(0, |dns| dns.settings.limits.probes_max.into());
    let resolvers = started.geodns.as_ref().map(|dns| dns.settings.limits.connections_max.into());
    let dns = resolvers.map_or(0, |resolvers: u64| resolvers.saturating_add(probes));
    [OTHERS, sockets, edge, dns].into_iter().fold(0, u64::saturating_add)
}

/// Each worker has its own socket for each address.
fn of_edge(config: &NodeConfig, workers: NonZeroUsize) -> usize {
    let Some(edge) = &config.edge else { return 0 };
    edge.listen.len().saturating_add(EVENT_LOOP).saturating_mul(workers.get())
}

fn of_dns(config: &NodeConfig, workers: NonZeroUsize) -> usize {
    let Some(dns) = &config.geodns else { return 0 };
    let settings = &dns.settings;
    let workers = settings.workers.unwrap_or(workers).get();
    // Plain DNS is served over UDP and TCP.
    let plain = settings.listen.len().saturating_mul(2);
    let encrypted = [&settings.tls.dot, &settings.tls.doh, &settings.tls.doq].map(Vec::len);
    let each = encrypted.into_iter().fold(plain, usize::saturating_add);
    each.saturating_add(EVENT_LOOP).saturating_mul(workers)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use nearcast_config::parse;

    use super::*;

    const SITE: &str = "[[site]]\nname = \"www\"\nhosts = [\"*\"]\n\
                        origin = { servers = [\"https://a.test\", \"https://b.test\"], connections_max = 7, check = {} }\n";

    fn node(text: &str) -> NodeConfig {
        parse(&format!("{text}{SITE}"), "a.toml").unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn sockets_clients_origins_and_probes_all_count() {
        let edge = |most: u32| {
            format!(
                "[edge]\nlisten = [\"127.0.0.1:80\"]\nlimits = {{ connections_max = {most} }}\n"
            )
        };
        let dns = |most: u32, probes: u32| {
            format!(
                "[geodns]\nlisten = [\"127.0.0.1:53\", \"[::1]:53\"]\nworkers = 3\n\
                 zone = [{{ name = \"cdn.test\", servers = [\"ns.test\"] }}]\n\
                 limits = {{ connections_max = {most}, connections_per_network_max = 1, \
                 probes_max = {probes} }}\n\
                 [[pop]]\nname = \"a\"\naddresses = [\"192.0.2.1\"]\n"
            )
        };
        let two = NonZeroUsize::new(2).unwrap();
        let origins = 2 * (7 + 1);
        let rows = [
            ("an edge", edge(1000), edge(1000), 100 + 2 * 5 + 1000 + origins),
            ("more clients after a reload", edge(1000), edge(5000), 100 + 2 * 5 + 5000 + origins),
            ("DNS alone", dns(300, 64), dns(300, 64), 100 + 3 * 8 + 300 + 64),
            ("what a reload changes of it", dns(300, 64), dns(900, 65), 100 + 3 * 8 + 300 + 65),
        ];
        for (name, started, now, expected) in rows {
            assert_eq!(needed(&node(&started), &node(&now), two), expected, "{name}");
        }
    }
}
