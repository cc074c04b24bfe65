//! What an operator may say about a PoP.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[[pop]]`: a place with one or more nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PopSettings {
    /// The PoP's name, in maps, logs and metrics.
    #[schemars(extend("x-kind" = "label", "x-example" = "fra"))]
    pub name: String,
    /// Where it is; without it, it is found by `prefer` and as a fallback, never by distance.
    #[serde(default)]
    pub location: Option<LocationSettings>,
    /// The addresses that clients are given, those of its nodes. Without any they are those that its
    /// nodes say in the ledger, if there is one.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 256), extend("x-kind" = "address", "x-example" = ["192.0.2.6", "2001:db8::6"]))]
    pub addresses: Vec<IpAddr>,
    /// How much nearer (or, negative, farther) the PoP seems than it is, in percent of the
    /// distance: a positive bias expands its reach, a negative one shrinks it.
    #[serde(default)]
    #[schemars(range(min = -99, max = 99))]
    pub bias: i8,
    /// Its share of the clients, among PoPs that are equally good for them; 0 for none.
    #[serde(default = "PopSettings::default_weight")]
    #[schemars(range(min = 0, max = 10_000))]
    pub weight: u32,
    /// Lower goes first where a route's policy has `priority`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub priority: u32,
    /// Connections of clients that it can carry, of which its load is the share that its nodes have, as the
    /// ledger knows; without it, its nodes say how full they are. What probes read goes before both.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    pub capacity: Option<u64>,
    /// The clients that it may serve; all, unless something is said.
    #[serde(default)]
    pub fence: FenceSettings,
    /// What its HTTPS records say (RFC 9460).
    #[serde(default)]
    pub https: HttpsSettings,
    /// Whether it is taken out of answers, as long as others are there.
    #[serde(default)]
    pub drain: bool,
}

impl PopSettings {
    fn default_weight() -> u32 {
        100
    }
}

/// `pop.location`: a point on the globe.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationSettings {
    /// Degrees north of the equator; negative is south.
    #[schemars(range(min = -90.0, max = 90.0), extend("x-example" = 50.11))]
    pub latitude: f64,
    /// Degrees east of Greenwich; negative is west.
    #[schemars(range(min = -180.0, max = 180.0), extend("x-example" = 8.68))]
    pub longitude: f64,
}

/// `pop.fence`: the clients that a PoP may serve, those of any of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FenceSettings {
    /// Countries, by the two letters of ISO 3166-1.
    #[schemars(length(max = 256))]
    pub countries: Vec<String>,
    /// Continents: `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
    #[schemars(length(max = 7))]
    pub continents: Vec<String>,
    /// Networks.
    #[schemars(with = "Vec<String>", length(max = 10_000), extend("x-kind" = "network"))]
    pub networks: Vec<IpNet>,
}

/// `pop.https`: what a PoP's HTTPS records say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpsSettings {
    /// The protocols that it speaks, by ALPN; none for no HTTPS record. Of PoPs that answer one name
    /// all say some or none does, and the record has those that all speak.
    #[schemars(length(max = 8))]
    pub alpn: Vec<String>,
    /// The port, where it is not 443; the same at all PoPs that answer one name.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Whether its addresses stand in the record as hints.
    pub hints: bool,
}

impl Default for HttpsSettings {
    fn default() -> Self {
        Self { alpn: Vec::new(), port: None, hints: true }
    }
}
