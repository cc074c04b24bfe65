//! What an operator may say about a map.

use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[[geodns.map]]`: which PoPs serve which clients, best first.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapSettings {
    /// The map's name, for routes.
    #[schemars(extend("x-kind" = "label"))]
    pub name: String,
    /// Its PoPs; all of them unless some are named.
    #[schemars(length(max = 256), extend("x-kind" = "label"))]
    pub pops: Vec<String>,
    /// How many PoPs a client's list has before the fallback order begins. A longer list tells
    /// more clients apart, and so costs memory and makes scopes longer.
    #[schemars(range(min = 1, max = 16))]
    pub list: u32,
    /// PoPs that are farther than another by no more than this count as equally near to a client,
    /// in percent of the distance.
    #[schemars(range(min = 0, max = 100))]
    pub tie_percent: u32,
    /// The same in kilometres, on top.
    #[schemars(range(min = 0, max = 5000))]
    pub tie_km: u32,
    /// Clients that are served by certain PoPs before distance decides.
    #[schemars(length(max = 10_000))]
    pub prefer: Vec<PreferSettings>,
    /// A file of networks and their PoPs, a line each: `192.0.2.0/24 fra ams`. It goes before
    /// `prefer`, where both name the same network.
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "networks.txt"))]
    pub networks: Option<PathBuf>,
    /// The order in which the other PoPs follow a list. Without it they follow by their distance
    /// from the list's first PoP, or, where a list is empty, in the order of `[[pop]]`.
    #[schemars(length(max = 256), extend("x-kind" = "label"))]
    pub fallback: Vec<String>,
}

impl Default for MapSettings {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            pops: Vec::new(),
            // Longer lists multiply: with three, a city database and twenty PoPs make a few
            // thousand different ones.
            list: 3,
            tie_percent: 0,
            tie_km: 0,
            prefer: Vec::new(),
            networks: None,
            fallback: Vec::new(),
        }
    }
}

/// `[[geodns.map.prefer]]`: clients that are served by certain PoPs before distance decides.
/// Where several speak of a client, its network decides before its autonomous system, its region,
/// its country and its continent, and among networks the longest prefix.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PreferSettings {
    /// The PoPs, best first.
    #[schemars(length(min = 1, max = 16), extend("x-kind" = "label", "x-example" = ["fra"]))]
    pub pops: Vec<String>,
    /// Whether they are equally good, so that weight decides among them.
    pub equal: bool,
    /// Client networks.
    #[schemars(with = "Vec<String>", extend("x-kind" = "network"))]
    pub networks: Vec<IpNet>,
    /// Autonomous systems, by number.
    #[schemars(length(max = 100_000))]
    pub asns: Vec<u32>,
    /// Parts of countries, by ISO 3166-2: `US-CA`.
    #[schemars(length(max = 10_000))]
    pub regions: Vec<String>,
    /// Countries, by the two letters of ISO 3166-1.
    #[schemars(length(max = 256))]
    pub countries: Vec<String>,
    /// Continents: `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
    #[schemars(length(max = 7))]
    pub continents: Vec<String>,
}
