//! Which settings are looked at only when the process starts.
//!
//! In: the settings that the process was started with, and new ones. Out: the keys whose change
//! waits for a restart.
//! Always: a key of the node's part of the file either stands here or is applied by a reload; the
//! test walks the schema, so that a new key has to choose. Sites are always applied.
//! Does not know: how anything is applied.

use edge_core::settings::EdgeSettings;
use geodns::{limits::StreamLimits, plan};
use geodns_core::settings::GeodnsSettings;
use nearcast_config::NodeConfig;

/// A key, and whether two nodes agree on it.
type Row = (&'static str, fn(&NodeConfig, &NodeConfig) -> bool);

/// Every setting that a reload cannot change.
const ROWS: [Row; 37] = [
    ("node.name", |a, b| a.node.name == b.node.name),
    ("node.workers", |a, b| a.node.workers == b.node.workers),
    ("edge.listen", |a, b| edges_agree(a, b, |a, b| a.listen == b.listen)),
    ("edge.listen_proxied", |a, b| edges_agree(a, b, |a, b| a.listen_proxied == b.listen_proxied)),
    ("edge.memory", |a, b| edges_agree(a, b, |a, b| a.memory == b.memory)),
    ("edge.variants_max", |a, b| edges_agree(a, b, |a, b| a.variants_max == b.variants_max)),
    // A reload neither starts nor stops a role.
    ("geodns", |a, b| a.geodns.is_some() == b.geodns.is_some()),
    ("geodns.listen", |a, b| dns_agree(a, b, |a, b| a.listen == b.listen)),
    ("geodns.workers", |a, b| dns_agree(a, b, |a, b| a.workers == b.workers)),
    ("geodns.tls.dot", |a, b| dns_agree(a, b, |a, b| a.tls.dot == b.tls.dot)),
    ("geodns.tls.doh", |a, b| dns_agree(a, b, |a, b| a.tls.doh == b.tls.doh)),
    ("geodns.tls.doq", |a, b| dns_agree(a, b, |a, b| a.tls.doq == b.tls.doq)),
    ("geodns.tls.doh_path", |a, b| dns_agree(a, b, |a, b| a.tls.doh_path == b.tls.doh_path)),
    ("geodns.query_log", |a, b| dns_agree(a, b, |a, b| a.query_log == b.query_log)),
    ("geodns.limits", |a, b| {
        dns_agree(a, b, |a, b| {
            let of_b =
                StreamLimits { https_path: a.tls.doh_path.as_str().into(), ..plan::streams(b) };
            plan::streams(a) == of_b
        })
    }),
    ("admin.listen", |a, b| a.admin.listen == b.admin.listen),
    ("admin.connections_max", |a, b| a.admin.connections_max == b.admin.connections_max),
    ("admin.header_bytes_max", |a, b| a.admin.header_bytes_max == b.admin.header_bytes_max),
    ("admin.header_deadline", |a, b| a.admin.header_deadline == b.admin.header_deadline),
    ("admin.request_deadline", |a, b| a.admin.request_deadline == b.admin.request_deadline),
    ("admin.connection_deadline", |a, b| {
        a.admin.connection_deadline == b.admin.connection_deadline
    }),
    ("control.embedded", |a, b| a.control.embedded == b.control.embedded),
    ("control.nats", |a, b| a.control.nats == b.control.nats),
    ("control.purges_kept", |a, b| a.control.purges_kept == b.control.purges_kept),
    ("control.audit_kept", |a, b| a.control.audit_kept == b.control.audit_kept),
    ("control.log_bytes_kept", |a, b| a.control.log_bytes_kept == b.control.log_bytes_kept),
    ("control.site_versions_kept", |a, b| {
        a.control.site_versions_kept == b.control.site_versions_kept
    }),
    ("control.requests_per_second", |a, b| {
        a.control.requests_per_second == b.control.requests_per_second
    }),
    ("control.heartbeat", |a, b| a.control.heartbeat == b.control.heartbeat),
    ("control.away_after", |a, b| a.control.away_after == b.control.away_after),
    ("control.ledger_lost", |a, b| a.control.ledger_lost == b.control.ledger_lost),
    ("control.lease", |a, b| a.control.lease == b.control.lease),
    ("log.format", |a, b| a.log.format == b.log.format),
    ("log.access", |a, b| a.log.access == b.log.access),
    ("log.access_buffer", |a, b| a.log.access_buffer == b.log.access_buffer),
    ("log.access_queue", |a, b| a.log.access_queue == b.log.access_queue),
    ("log.access_delay", |a, b| a.log.access_delay == b.log.access_delay),
];

/// A node without an edge has nothing to agree on; that it has one is itself looked at at the start.
fn edges_agree(
    a: &NodeConfig,
    b: &NodeConfig,
    agree: fn(&EdgeSettings, &EdgeSettings) -> bool,
) -> bool {
    match (&a.edge, &b.edge) {
        (Some(a), Some(b)) => agree(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The same of GeoDNS.
fn dns_agree(
    a: &NodeConfig,
    b: &NodeConfig,
    agree: fn(&GeodnsSettings, &GeodnsSettings) -> bool,
) -> bool {
    match (&a.geodns, &b.geodns) {
        (Some(a), Some(b)) => agree(&a.settings, &b.settings),
        _ => true,
    }
}

/// The keys at which `new` differs from what the process was started with.
pub(crate) fn needed(started: &NodeConfig, new: &NodeConfig) -> impl Iterator<Item = &'static str> {
    ROWS.iter().filter(|(_, agree)| !agree(started, new)).map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use nearcast_config::{parse, reference};
    use serde_json::Value;

    use super::*;

    /// Every key of the node's part with a value that is not its default, and whether a reload
    /// applies it.
    const OTHER: [(&str, &str, bool); 63] = [
        ("node.name", "\"other\"", false),
        ("node.pop", "\"fra\"", true),
        ("node.workers", "3", false),
        ("node.addresses", "[\"192.0.2.6\"]", true),
        ("node.drain_deadline", "\"1s\"", true),
        ("edge.listen", "[\"127.0.0.1:81\"]", false),
        ("edge.listen_proxied", "[\"127.0.0.1:82\"]\nedge.proxy_peers = [\"127.0.0.0/8\"]", false),
        ("edge.proxy_peers", "[\"10.0.0.0/8\"]", true),
        ("edge.memory", "\"1 GiB\"", false),
        ("edge.object_bytes_max", "\"1 MiB\"", true),
        ("edge.orphan_bytes_max", "\"2 KiB\"", true),
        ("edge.window_bytes", "\"128 KiB\"", true),
        ("edge.variants_max", "3", false),
        ("edge.ranges_max", "3", true),
        ("edge.uncacheable_remembered", "\"3s\"", true),
        ("edge.targeted_fields", "[]", true),
        ("edge.tags_to_clients", "true", true),
        ("edge.cache_status_key", "true", true),
        ("edge.trusted_peers", "[\"10.0.0.0/8\"]", true),
        ("edge.origin_networks_allowed", "[\"127.0.0.0/8\"]", true),
        ("edge.ledger_origins", "[\"10.0.0.0/8\"]", true),
        ("edge.resolvers", "[\"127.0.0.1:53\"]", true),
        ("edge.resolved_ttl_min", "\"3s\"", true),
        ("edge.resolved_ttl_max", "\"33s\"", true),
        ("edge.limits.header_bytes_max", "\"17 KiB\"", true),
        ("edge.limits.header_count_max", "33", true),
        ("edge.limits.uri_bytes_max", "\"1 KiB\"", true),
        ("edge.limits.body_bytes_max", "\"3 KiB\"", true),
        ("edge.limits.connections_max", "9000", true),
        ("edge.limits.connections_per_address_max", "17", true),
        ("edge.limits.header_timeout", "\"3s\"", true),
        ("edge.limits.idle_timeout", "\"3s\"", true),
        ("edge.limits.body_timeout", "\"3s\"", true),
        ("edge.limits.write_timeout", "\"3s\"", true),
        ("edge.limits.h2_streams_max", "3", true),
        ("edge.limits.h2_controls_max", "333", true),
        ("edge.limits.h2_resets_max", "33", true),
        ("edge.limits.invalidations_max", "33", true),
        ("edge.limits.purges_max", "33", true),
        ("edge.limits.tags_max", "33", true),
        ("edge.limits.tag_bytes_max", "\"33 B\"", true),
        ("admin.listen", "\"127.0.0.1:9091\"", false),
        ("admin.connections_max", "3", false),
        ("admin.header_bytes_max", "\"17 KiB\"", false),
        ("admin.header_deadline", "\"3s\"", false),
        ("admin.request_deadline", "\"3s\"", false),
        ("admin.connection_deadline", "\"3s\"", false),
        ("control.embedded", "\"ledger.redb\"", false),
        ("control.purges_kept", "2000", false),
        ("control.audit_kept", "2000", false),
        ("control.log_bytes_kept", "\"3 MiB\"", false),
        ("control.site_versions_kept", "3", false),
        ("control.requests_per_second", "3", false),
        ("control.heartbeat", "\"2s\"", false),
        ("control.away_after", "\"33s\"", false),
        ("control.ledger_lost", "\"revalidate\"", false),
        ("control.lease", "\"12s\"", false),
        ("log.level", "\"debug\"", true),
        ("log.format", "\"json\"", false),
        ("log.access", "\"stdout\"", false),
        ("log.access_buffer", "\"32 KiB\"", false),
        ("log.access_queue", "\"4 MiB\"", false),
        ("log.access_delay", "\"3s\"", false),
    ];

    const SITE: &str = "site = [{ name = \"www\", hosts = [\"*\"], \
                        origin = { servers = [\"https://a.test\"] } }]\n";

    fn with(line: &str) -> NodeConfig {
        let listen = if line.starts_with("edge.listen ") {
            ""
        } else {
            "edge.listen = [\"127.0.0.1:80\"]\n"
        };
        parse(&format!("{SITE}{listen}{line}\n"), line).unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn a_changed_key_is_named_or_applied() {
        let started = with("");
        for (key, value, applied) in OTHER {
            let new = with(&format!("{key} = {value}"));
            assert_ne!(format!("{started:?}"), format!("{new:?}"), "{key} = {value} is no change");
            let named: Vec<_> = needed(&started, &new).collect();
            let wanted: &[&str] = if applied { &[] } else { &[key] };
            assert_eq!(named, wanted, "{key}");
        }
    }

    /// The same of `[geodns]`, with the key that is named, which may be that of the whole table. A
    /// value may be followed by lines that it needs.
    const OF_GEODNS: [(&str, &str, Option<&str>); 60] = [
        ("geodns.listen", "[\"127.0.0.1:5354\"]", Some("geodns.listen")),
        ("geodns.workers", "3", Some("geodns.workers")),
        ("geodns.udp_bytes_max", "1400", None),
        ("geodns.identity", "\"off\"", None),
        ("geodns.lame_duck", "\"3s\"", None),
        ("geodns.zone", "[{ name = \"other.test\", servers = [\"ns.test\"] }]", None),
        ("geodns.geo.database", "\"a.mmdb\"", None),
        ("geodns.geo.supplements", "[\"a.mmdb\"]", None),
        ("geodns.client_subnet.believe", "\"none\"", None),
        (
            "geodns.client_subnet.resolvers",
            "[\"192.0.2.0/24\"]\ngeodns.client_subnet.believe = \"listed\"",
            None,
        ),
        ("geodns.map", "[{ name = \"other\" }]", None),
        ("geodns.route", "[{ name = \"other\", names = [\"www\"] }]", None),
        ("geodns.check", "[{ port = 80 }]", None),
        ("geodns.health.addresses_min", "2", None),
        ("geodns.health.ramp_up", "\"3s\"", None),
        ("geodns.health.ttl_max", "\"30s\"", None),
        ("geodns.health.ttl_min", "\"3s\"", None),
        ("geodns.health.load_age_max", "\"3s\"", None),
        ("geodns.health.flap_window", "\"3s\"", None),
        ("geodns.negative_ttl_max", "\"3s\"", None),
        ("geodns.rate_limit.answer", "7", None),
        ("geodns.rate_limit.nodata", "7", None),
        ("geodns.rate_limit.nxdomain", "7", None),
        ("geodns.rate_limit.referral", "7", None),
        ("geodns.rate_limit.error", "7", None),
        ("geodns.rate_limit.burst", "\"3s\"", None),
        ("geodns.rate_limit.window", "\"3s\"", None),
        ("geodns.rate_limit.slip", "3", None),
        ("geodns.rate_limit.ipv4_prefix_length", "25", None),
        ("geodns.rate_limit.ipv6_prefix_length", "57", None),
        ("geodns.rate_limit.networks_exempt", "[\"192.0.2.0/24\"]", None),
        ("geodns.rate_limit.entries_max", "2048", None),
        ("geodns.cookies.enabled", "false", None),
        ("geodns.cookies.secrets", "[\"e5e973e5a6b2a43f48e7dc849e37bfcf\"]", None),
        ("geodns.cookies.secrets_file", "\"secrets\"", None),
        ("geodns.tls.certificate", "\"a.pem\"\ngeodns.tls.key = \"a.key\"", None),
        ("geodns.tls.key", "\"a.key\"\ngeodns.tls.certificate = \"a.pem\"", None),
        (
            "geodns.tls.dot",
            "[\"127.0.0.1:853\"]\ngeodns.tls.certificate = \"a.pem\"\ngeodns.tls.key = \"a.key\"",
            Some("geodns.tls.dot"),
        ),
        (
            "geodns.tls.doh",
            "[\"127.0.0.1:443\"]\ngeodns.tls.certificate = \"a.pem\"\ngeodns.tls.key = \"a.key\"",
            Some("geodns.tls.doh"),
        ),
        (
            "geodns.tls.doq",
            "[\"127.0.0.1:853\"]\ngeodns.tls.certificate = \"a.pem\"\ngeodns.tls.key = \"a.key\"",
            Some("geodns.tls.doq"),
        ),
        ("geodns.tls.doh_path", "\"/q\"", Some("geodns.tls.doh_path")),
        ("geodns.query_log.target", "\"stdout\"", Some("geodns.query_log")),
        ("geodns.query_log.sample_percent", "2.0", Some("geodns.query_log")),
        ("geodns.query_log.buffer", "\"32 KiB\"", Some("geodns.query_log")),
        ("geodns.query_log.queue", "\"4 MiB\"", Some("geodns.query_log")),
        ("geodns.query_log.delay", "\"3s\"", Some("geodns.query_log")),
        ("geodns.limits.maps_max", "3", None),
        ("geodns.limits.map_memory_max", "\"3 MiB\"", None),
        ("geodns.limits.networks_max", "3", None),
        ("geodns.limits.database_bytes_max", "\"3 MiB\"", None),
        ("geodns.limits.zone_bytes_max", "\"3 MiB\"", None),
        ("geodns.limits.zone_includes_max", "3", None),
        ("geodns.limits.probes_max", "3", None),
        ("geodns.limits.connections_max", "300", Some("geodns.limits")),
        ("geodns.limits.connections_per_network_max", "3", Some("geodns.limits")),
        ("geodns.limits.queries_in_flight_max", "3", Some("geodns.limits")),
        ("geodns.limits.handshake_timeout", "\"3s\"", Some("geodns.limits")),
        ("geodns.limits.idle_timeout", "\"3s\"", Some("geodns.limits")),
        ("geodns.limits.query_timeout", "\"3s\"", Some("geodns.limits")),
        ("geodns.limits.write_timeout", "\"3s\"", Some("geodns.limits")),
    ];

    #[test]
    fn a_changed_key_of_geodns_is_named_or_applied() {
        let needed_by_all = [
            ("geodns.zone", "[{ name = \"cdn.test\", servers = [\"ns.test\"] }]"),
            ("geodns.listen", "[\"127.0.0.1:5353\"]"),
            ("pop", "[{ name = \"a\", addresses = [\"192.0.2.1\"] }]"),
        ];
        let with = |key: &str, line: &str| {
            let others = needed_by_all.iter().filter(|(other, _)| *other != key);
            let others: String = others.map(|(key, value)| format!("{key} = {value}\n")).collect();
            with(&format!("{others}{line}"))
        };
        let started = with("", "");
        for (key, value, named) in OF_GEODNS {
            let new = with(key, &format!("{key} = {value}"));
            assert_ne!(format!("{started:?}"), format!("{new:?}"), "{key} = {value} is no change");
            let told: Vec<_> = needed(&started, &new).collect();
            assert_eq!(told, named.into_iter().collect::<Vec<_>>(), "{key}");
        }
    }

    /// The same of `[control.nats]`, whose whole table is named.
    const OF_NATS: [(&str, &str); 8] = [
        ("control.nats.servers", "[\"nats://b\"]"),
        ("control.nats.folder", "\"other\""),
        ("control.nats.credentials", "\"a.creds\""),
        ("control.nats.ca", "\"a.pem\""),
        ("control.nats.certificate", "\"a.pem\"\ncontrol.nats.key = \"a.key\""),
        ("control.nats.key", "\"a.key\"\ncontrol.nats.certificate = \"a.pem\""),
        ("control.nats.prefix", "\"other\""),
        ("control.nats.replicas", "1"),
    ];

    #[test]
    fn a_changed_key_of_nats_names_the_table() {
        let needed_by_all =
            [("control.nats.servers", "[\"nats://a\"]"), ("control.nats.folder", "\".\"")];
        let with = |key: &str, line: &str| {
            let others = needed_by_all.iter().filter(|(other, _)| *other != key);
            let others: String = others.map(|(key, value)| format!("{key} = {value}\n")).collect();
            with(&format!("{others}{line}"))
        };
        let started = with("", "");
        for (key, value) in OF_NATS {
            let new = with(key, &format!("{key} = {value}"));
            assert_eq!(needed(&started, &new).collect::<Vec<_>>(), ["control.nats"], "{key}");
        }
    }

    /// The keys of a section of the schema, those of its tables included.
    fn keys(schema: &Value, section: &Value, path: &str, found: &mut Vec<String>) {
        let reference = section["$ref"].as_str().or_else(|| section["anyOf"][0]["$ref"].as_str());
        let section = match reference {
            Some(name) => &schema["$defs"][name.trim_start_matches("#/$defs/")],
            None => section,
        };
        match section["properties"].as_object() {
            Some(properties) => {
                for (key, law) in properties {
                    keys(schema, law, &format!("{path}.{key}"), found);
                }
            }
            None => found.push(path.to_owned()),
        }
    }

    #[test]
    fn no_key_of_the_schema_is_forgotten() {
        let schema: Value = serde_json::from_str(&reference::schema_page()).unwrap();
        let mut found = Vec::new();
        for section in ["node", "edge", "geodns", "admin", "control", "log"] {
            keys(&schema, &schema["properties"][section], section, &mut found);
        }
        let of_geodns = OF_GEODNS.iter().map(|(key, ..)| *key);
        let of_nats = OF_NATS.iter().map(|(key, _)| *key);
        let listed = OTHER.iter().map(|(key, ..)| *key).chain(of_geodns).chain(of_nats);
        let mut listed: Vec<String> = listed.map(str::to_owned).collect();
        found.sort();
        listed.sort();
        assert_eq!(found, listed);
    }
}
