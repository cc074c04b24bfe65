//! What an operator may say about GeoDNS: type, bounds, default, unit, doc line.
//!
//! These are the words as typed. Bounds of numbers, durations and sizes stand in the schema that
//! these types derive (its own keys are `x-kind`, on a list of the items, `x-min`, `x-max`,
//! `x-words` and `x-example`, for a key that has no default); what cannot be said there is found
//! when values are built: [`crate::fleet`], [`crate::locate::plan`], [`crate::route`] and
//! [`crate::health`] report every problem at once.

mod answer;
mod check;
mod map;
mod pop;
mod route;

pub use self::{
    answer::{AnswerSettings, CookieSettings, RateLimitSettings},
    check::{CheckKind, CheckMethod, CheckSettings, HealthSettings, StateWord},
    map::{MapSettings, PreferSettings},
    pop::{FenceSettings, HttpsSettings, LocationSettings, PopSettings},
    route::{AllDown, RouteSettings},
};

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[geodns]`: the DNS side of a node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeodnsSettings {
    /// Addresses and ports that resolvers ask, over UDP and TCP; at least one.
    #[schemars(with = "Vec<String>", extend("x-kind" = "socket-address", "x-example" = ["0.0.0.0:53", "[::]:53"]))]
    pub listen: Vec<SocketAddr>,
    /// The zones that this node answers for; sites answer under the first.
    pub zone: Vec<ZoneSettings>,
    /// Where clients are.
    pub geo: GeoSettings,
    /// Whose client subnets (RFC 7871) are believed.
    pub client_subnet: ClientSubnetSettings,
    /// The maps: which PoPs serve which clients. Without one there is `default`, by distance.
    pub map: Vec<MapSettings>,
    /// The routes: which names are answered by which map, and how. Without one, every site is
    /// answered by the map `default`.
    pub route: Vec<RouteSettings>,
    /// How PoPs are probed; all of them must pass. Without one, every address counts as up.
    pub check: Vec<CheckSettings>,
    /// What follows from probes.
    pub health: HealthSettings,
    /// The longest time that a negative answer may be cached (RFC 2308).
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "3h"))]
    #[serde(with = "humantime_serde")]
    pub negative_ttl_max: Duration,
    /// Answers as messages.
    pub answer: AnswerSettings,
    /// Proof that a client has its address.
    pub cookies: CookieSettings,
    /// How many answers a network is sent.
    pub rate_limit: RateLimitSettings,
    /// What the geo data may take.
    pub limits: GeodnsLimits,
}

impl Default for GeodnsSettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            zone: Vec::new(),
            geo: GeoSettings::default(),
            client_subnet: ClientSubnetSettings::default(),
            map: Vec::new(),
            route: Vec::new(),
            check: Vec::new(),
            health: HealthSettings::default(),
            negative_ttl_max: Duration::from_secs(60),
            answer: AnswerSettings::default(),
            cookies: CookieSettings::default(),
            rate_limit: RateLimitSettings::default(),
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
    /// Its zone file (RFC 1035 §5); without one it holds only what the routes answer.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "cdn.example.zone"))]
    pub file: Option<PathBuf>,
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

/// `geodns.limits`: what the geo data may take.
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
}

impl Default for GeodnsLimits {
    fn default() -> Self {
        Self { maps_max: 16, map_memory_max: ByteSize::mib(256), networks_max: 1_000_000 }
    }
}

#[cfg(test)]
mod tests;
