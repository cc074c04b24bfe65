//! What an operator may say about GeoDNS: type, bounds, default, unit, doc line.
//!
//! These are the words as typed. Bounds of numbers, durations and sizes stand in the schema that
//! these types derive (its own keys are `x-kind`, on a list of the items, `x-min`, `x-max`,
//! `x-words` and `x-example`, for a key that has no default); what cannot be said there is found
//! when values are built: [`crate::fleet`], [`crate::locate::plan`], [`crate::route`] and
//! [`crate::health`] report every problem at once.

mod check;
mod identity;
mod map;
mod pop;
mod rate;
mod route;
mod transport;

pub use self::{
    check::{CheckKind, CheckMethod, CheckSettings, HealthSettings},
    identity::{CookieSecret, CookieSettings, Identity},
    map::{MapSettings, PreferSettings},
    pop::{FenceSettings, HttpsSettings, LocationSettings, PopSettings},
    rate::RateLimitSettings,
    route::{AllDown, RouteSettings},
    transport::{QueryLogSettings, QueryTarget, TlsSettings},
};
pub use ground::state::StateWord;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    nets::unfoldable,
    problem::{Problem, Problems},
};

/// `[geodns]`: the DNS side of a node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeodnsSettings {
    /// Addresses and ports that resolvers ask, over UDP and TCP; at least one.
    #[schemars(with = "Vec<String>", length(max = 64), extend("x-kind" = "socket-address", "x-example" = ["0.0.0.0:53", "[::]:53"]))]
    pub listen: Vec<SocketAddr>,
    /// Number of answering threads; as many as the node has serving threads when absent.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<NonZeroUsize>,
    /// The largest answer that is sent over UDP, in bytes, up to what an Ethernet frame carries; a
    /// larger one is sent empty with TC.
    #[schemars(range(min = 512, max = 1472))]
    pub udp_bytes_max: u16,
    /// What NSID and `id.server` tell: `node` for the node's name, `off` for nothing, or a text.
    #[schemars(with = "String", extend("x-kind" = "name", "x-words" = ["node", "off"]))]
    pub identity: Identity,
    /// How long queries are answered on after SIGTERM has turned readiness off, so that whoever
    /// sends them here can look elsewhere first.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub lame_duck: Duration,
    /// The zones that this node answers for; sites answer under the first. At least one.
    #[schemars(length(max = 10_000))]
    pub zone: Vec<ZoneSettings>,
    /// Where clients are.
    pub geo: GeoSettings,
    /// Whose client subnets (RFC 7871) are believed.
    pub client_subnet: ClientSubnetSettings,
    /// The maps: which PoPs serve which clients. Without one there is `default`, by distance.
    pub map: Vec<MapSettings>,
    /// The routes: which names are answered by which map, and how. Without one there is `default`,
    /// which answers for the sites by the first map.
    pub route: Vec<RouteSettings>,
    /// How PoPs are probed; all of them must pass. Without one, every address counts as up.
    #[schemars(length(max = 16))]
    pub check: Vec<CheckSettings>,
    /// What follows from probes.
    pub health: HealthSettings,
    /// The longest time that a negative answer may be cached (RFC 2308).
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "3h"))]
    #[serde(with = "humantime_serde")]
    pub negative_ttl_max: Duration,
    /// How much is sent over UDP to a network that cannot prove that it asked.
    pub rate_limit: RateLimitSettings,
    /// Proof that a client has the address that it asks from (RFC 7873).
    pub cookies: CookieSettings,
    /// Encrypted transports; each is there if it has an address.
    pub tls: TlsSettings,
    /// A sample of all queries, one JSON object per line.
    pub query_log: QueryLogSettings,
    /// What the geo data may take, and what a client may take of the server.
    pub limits: GeodnsLimits,
}

impl GeodnsSettings {
    /// What is wrong with the lists of networks that no other builder looks at.
    #[must_use]
    pub fn unfoldable_networks(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        let lists = [
            ("geodns.client_subnet.resolvers", &self.client_subnet.resolvers),
            ("geodns.rate_limit.networks_exempt", &self.rate_limit.networks_exempt),
        ];
        for (at, networks) in lists {
            unfoldable(networks, at, &mut problems);
        }
        problems.all()
    }
}

impl Default for GeodnsSettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            workers: None,
            // What arrives unfragmented nearly everywhere: IPv6's smallest MTU less its headers.
            udp_bytes_max: 1232,
            identity: Identity::Node,
            lame_duck: Duration::from_secs(5),
            zone: Vec::new(),
            geo: GeoSettings::default(),
            client_subnet: ClientSubnetSettings::default(),
            map: Vec::new(),
            route: Vec::new(),
            check: Vec::new(),
            health: HealthSettings::default(),
            negative_ttl_max: Duration::from_secs(60),
            rate_limit: RateLimitSettings::default(),
            cookies: CookieSettings::default(),
            tls: TlsSettings::default(),
            query_log: QueryLogSettings::default(),
            limits: GeodnsLimits::default(),
        }
    }
}

/// `[[geodns.zone]]`: a zone and its file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneSettings {
    /// The zone's apex.
    #[schemars(extend("x-kind" = "host", "x-example" = "cdn.example"))]
    pub name: String,
    /// Its zone file (RFC 1035 §5); what it includes lies in its folder or below. Without one the
    /// zone holds only what the routes answer.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "cdn.example.zone"))]
    pub file: Option<PathBuf>,
    /// The names of its name servers, where its file has no NS records or no SOA, or is left out;
    /// these records are then made of them.
    #[serde(default)]
    #[schemars(length(max = 13), extend("x-kind" = "host", "x-example" = ["ns1.example.net"]))]
    pub servers: Vec<String>,
}

/// `geodns.geo`: where clients are.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeoSettings {
    /// An mmdb file of countries or cities; else the built-in database of countries.
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "GeoLite2-City.mmdb"))]
    pub database: Option<PathBuf>,
    /// Further mmdb files, asked in order for what the former do not know: one of autonomous
    /// systems, or the IPv6 half of a database in two files.
    #[schemars(with = "Vec<String>", length(max = 3), extend("x-kind" = "path"))]
    pub supplements: Vec<PathBuf>,
}

/// `geodns.client_subnet`: whose client subnets are believed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSubnetSettings {
    /// Which resolvers may say where their client is.
    pub believe: Believe,
    /// The resolvers that `listed` speaks of.
    #[schemars(with = "Vec<String>", length(max = 10_000), extend("x-kind" = "network"))]
    pub resolvers: Vec<IpNet>,
}

/// Which resolvers may say where their client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Believe {
    /// All of them.
    #[default]
    All,
    /// Only those of `resolvers`.
    Listed,
    /// None: a client is where its resolver is.
    None,
}

/// `geodns.limits`: what the geo data may take, and what a client may take of the server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeodnsLimits {
    /// The number of maps.
    #[schemars(range(min = 1, max = 256))]
    pub maps_max: u32,
    /// Memory of all maps together; a map that needs more is refused, and the old one kept.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 MiB", "x-max" = "16 GiB"))]
    pub map_memory_max: ByteSize,
    /// Networks that a map's `prefer` and file may name together.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub networks_max: u32,
    /// Bytes of an mmdb file, and of a map's file of networks.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 MiB", "x-max" = "4 GiB"))]
    pub database_bytes_max: ByteSize,
    /// Bytes of a zone's file and all that it includes.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 KiB", "x-max" = "1 GiB"))]
    pub zone_bytes_max: ByteSize,
    /// Files that a zone's file may include, over all depths; files include files at most 8 deep.
    #[schemars(range(min = 0, max = 100_000))]
    pub zone_includes_max: u32,
    /// Probes under way at once; further ones wait for their turn.
    #[schemars(range(min = 1, max = 10_000))]
    pub probes_max: u32,
    /// Connections at once, over TCP, DoT, DoH and DoQ together.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub connections_max: u32,
    /// Connections at once from one client network, as large as `rate_limit` says.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_network_max: u32,
    /// Queries of one connection that are not answered yet; its next ones wait in the kernel.
    #[schemars(range(min = 1, max = 10_000))]
    pub queries_in_flight_max: u32,
    /// Time for a TLS or QUIC handshake.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1m"))]
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Time that a connection may wait for its next query (RFC 7766 §6.2.3).
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Time for a whole query to arrive once its first byte has.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1m"))]
    #[serde(with = "humantime_serde")]
    pub query_timeout: Duration,
    /// Time for a client to take the answers that wait for it, all of them together.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "10m"))]
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
}

impl Default for GeodnsLimits {
    fn default() -> Self {
        Self {
            maps_max: 16,
            map_memory_max: ByteSize::mib(256),
            networks_max: 1_000_000,
            database_bytes_max: ByteSize::mib(512),
            zone_bytes_max: ByteSize::mib(64),
            zone_includes_max: 1_000,
            probes_max: 256,
            connections_max: 10_000,
            connections_per_network_max: 200,
            queries_in_flight_max: 64,
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests;
