//! What an operator may say in `[control]`.
//!
//! In: a deserializer over the node file. Out: plain values with defaults.
//! Always: each field's doc line is its entry in the reference page; each bound stands in the schema.
//! Does not know: files, other sections, or how a problem is worded.
//! Clause: docs/operate.md *The ledger*.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The ledger of the fleet, and what operators ask of it over the admin listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// File of the ledger of a node that stands alone; it is made where there is none, for this user
    /// alone. Its folder must be there, and gets the first token as `token` and the node's position in
    /// the purge log. Without it and `nats` there is no ledger, and nothing can be purged.
    #[schemars(extend("x-kind" = "path"))]
    pub embedded: Option<PathBuf>,
    /// The ledger of many nodes, in NATS JetStream, instead of `embedded`.
    pub nats: Option<NatsSettings>,
    /// Purges that the ledger keeps. A node that was away for more of them purges everything it holds.
    /// With `nats` this and the two below must be the same for all nodes: the node that starts last
    /// sets them.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub purges_kept: u64,
    /// Lines of the audit log that the ledger keeps; an order has two.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub audit_kept: u64,
    /// What the entries of each of the two logs may take, whatever their number; the oldest give way.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 MiB", "x-max" = "1 TiB"))]
    pub log_bytes_kept: ByteSize,
    /// Versions of a site that the ledger keeps, the one in force included, for `nearcast site history`
    /// and `rollback`. It should be the same for all nodes that take orders.
    #[schemars(range(min = 1, max = 100))]
    pub site_versions_kept: u16,
    /// Requests a second that one token may make, and as many at once after a rest; further ones are
    /// answered 429.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_second: u32,
    /// How often a node says in the ledger that it is there, at least.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1m"))]
    pub heartbeat: Duration,
    /// After how long a silence a node is shown as away; must be twice `heartbeat` at least, and no
    /// less than 1.1 times `lease` and 100 ms. Nothing is decided by it but whether a node may be removed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub away_after: Duration,
    /// What an edge does that cannot reach the ledger, and so may miss purges: serve on, or ask the
    /// origin before it reuses anything stored.
    pub ledger_lost: LedgerLost,
    /// With `ledger_lost = "revalidate"`: how long after its last acknowledged heartbeat an edge goes
    /// on to reuse what it has stored; must be twice `heartbeat` at least. A purge that is waited for
    /// is complete without an edge that has been silent for a little longer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub lease: Duration,
}

/// What an edge does without the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LedgerLost {
    /// It serves on.
    #[default]
    Serve,
    /// It asks the origin before it reuses anything stored.
    Revalidate,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            embedded: None,
            nats: None,
            purges_kept: 100_000,
            audit_kept: 100_000,
            log_bytes_kept: ByteSize::mib(64),
            site_versions_kept: 16,
            requests_per_second: 100,
            heartbeat: Duration::from_secs(3),
            away_after: Duration::from_secs(15),
            ledger_lost: LedgerLost::Serve,
            lease: Duration::from_secs(10),
        }
    }
}

/// The ledger in NATS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NatsSettings {
    /// Servers of one cluster; the others of it are found by themselves.
    #[schemars(length(min = 1, max = 32))]
    #[schemars(extend("x-kind" = "nats-url", "x-example" = ["nats://10.0.0.1:4222"]))]
    pub servers: Vec<String>,
    /// Folder of this node's own files, which must be there: its position in the purge log, and as
    /// `token` the first token, where this node was the first of all.
    #[schemars(extend("x-kind" = "path", "x-example" = "/var/lib/nearcast"))]
    pub folder: PathBuf,
    /// File with a user's JWT and seed, as `nsc generate creds` writes it, or with the seed of an nkey
    /// alone. Without it no name is given, or the one of `certificate`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "node.creds"))]
    pub credentials: Option<PathBuf>,
    /// A PEM file of certificate authorities to trust instead of the system's; with it TLS is
    /// insisted on, and so it is with servers that are written `tls://`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "nats-ca.pem"))]
    pub ca: Option<PathBuf>,
    /// A PEM file of the certificate that this node shows to the servers, with its chain; needs `key`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "node.pem"))]
    pub certificate: Option<PathBuf>,
    /// A PEM file of the private key of `certificate`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "node.key"))]
    pub key: Option<PathBuf>,
    /// The name of the key-value bucket, and how the names of the other streams and their subjects
    /// begin; another one is another ledger.
    #[serde(default = "NatsSettings::default_prefix")]
    #[schemars(extend("x-kind" = "label"))]
    pub prefix: String,
    /// Servers that keep each stream; 1 where there is one alone, which then may lose what it has.
    #[serde(default = "NatsSettings::default_replicas")]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: u8,
}

/// The port of NATS where none is said.
const NATS_PORT: u16 = 4222;

impl NatsSettings {
    /// Where the servers are: their addresses, as far as they are no names, and ports.
    #[must_use]
    pub fn places(&self) -> Vec<(Option<IpAddr>, u16)> {
        let place = |url: &String| {
            let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            let authority = authority.trim_end_matches('/');
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
                _ => (authority, None),
            };
            let address = host.trim_matches(['[', ']']).parse().ok();
            (address, port.unwrap_or(NATS_PORT))
        };
        self.servers.iter().map(place).collect()
    }

    fn default_prefix() -> String {
        "nearcast".to_owned()
    }

    fn default_replicas() -> u8 {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_at_an_address_or_a_name_and_a_port() {
        let servers =
            ["nats://nats.example", "tls://10.0.0.1:4333/", "nats://[fd00::1]:1", "nats://[::1]"];
        let settings = NatsSettings {
            servers: servers.map(str::to_owned).to_vec(),
            folder: PathBuf::new(),
            credentials: None,
            ca: None,
            certificate: None,
            key: None,
            prefix: String::new(),
            replicas: 1,
        };
        let address = |text: &str| text.parse().ok();
        let places = [
            (None, 4222),
            (address("10.0.0.1"), 4333),
            (address("fd00::1"), 1),
            (address("::1"), 4222),
        ];
        assert_eq!(settings.places(), places);
    }
}
