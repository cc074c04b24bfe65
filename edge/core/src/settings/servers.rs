//! What an operator may say about one server of an origin, and how servers are chosen among.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server of `site.origin.servers`, however it was written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "ServerForm")]
pub struct ServerSettings {
    /// Where it is.
    pub url: String,
    /// Its share among equals.
    pub weight: u32,
    /// What it may be asked.
    pub role: RoleWord,
    /// Its group.
    pub group: Option<String>,
}

/// The two ways to write a server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ServerForm {
    /// Its URL alone.
    Url(#[schemars(extend("x-kind" = "origin-url"))] String),
    /// All that may be said of it.
    Table(ServerTable),
}

/// A server with more than its URL.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTable {
    /// The server, as `http://host[:port]` or `https://host[:port]`.
    #[schemars(extend("x-kind" = "origin-url", "x-example" = "https://origin.shop.example"))]
    pub url: String,
    /// Its share among servers that are alike.
    #[serde(default = "ServerTable::default_weight")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// What it may be asked.
    #[serde(default)]
    pub role: RoleWord,
    /// The data center that it is in. Groups are used in the order in which they first stand in the
    /// list; either all servers have one or none has.
    #[serde(default)]
    #[schemars(extend("x-kind" = "name", "x-example" = "fra"))]
    pub group: Option<String>,
}

/// What a server may be asked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RoleWord {
    /// everything, and GET and HEAD only while no replica is up
    #[default]
    Primary,
    /// GET and HEAD alone
    Replica,
    /// nothing, until the primaries are down; then what they were asked, until it has been down for
    /// `takeover_after` itself
    Standby,
}

/// How a server is chosen among equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BalanceWord {
    /// in turn, by weight
    #[default]
    RoundRobin,
    /// of two by chance the one with less to do for its weight and its first-byte time
    LeastLoaded,
    /// each cache key has its server, unless that one is crowded
    Hash,
}

/// How many requests a server may have at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConcurrencyWord {
    /// as many as `connections_max`
    #[default]
    Fixed,
    /// as many as it answers without delay, up to `connections_max`
    Adaptive,
}

impl ServerTable {
    fn default_weight() -> u32 {
        1
    }
}

impl From<ServerForm> for ServerSettings {
    fn from(form: ServerForm) -> Self {
        match form {
            ServerForm::Url(url) => Self::from(&*url),
            ServerForm::Table(ServerTable { url, weight, role, group }) => {
                Self { url, weight, role, group }
            }
        }
    }
}

impl From<&str> for ServerSettings {
    fn from(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            weight: ServerTable::default_weight(),
            role: RoleWord::default(),
            group: None,
        }
    }
}
