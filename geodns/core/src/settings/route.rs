//! What an operator may say about a route.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::route::{
    filter::FilterName, first::FirstSettings, load::LoadSettings, nearest::NearestSettings,
    sticky::StickySettings,
};

/// `[[geodns.route]]`: how names are answered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteSettings {
    /// The route's name, in metrics and for `fallback`.
    #[schemars(extend("x-kind" = "label"))]
    pub name: String,
    /// The names that it answers, relative to each zone: `www`, `*.img`, or `@` for the apex.
    #[schemars(length(max = 10_000), extend("x-kind" = "relative-name", "x-example" = ["www"]))]
    pub names: Vec<String>,
    /// Whether it answers for every site, as `<site>.<first zone>`.
    pub sites: bool,
    /// The map that says which PoPs are good for a client.
    #[schemars(extend("x-kind" = "label"))]
    pub map: String,
    /// What is done with a client's list of PoPs, in order; each word may stand once. `fence`,
    /// `up` and `load` stand before the others, in this order, and `first` stands last.
    #[schemars(length(max = 9))]
    pub policy: Vec<FilterName>,
    /// How `nearest` chooses.
    pub nearest: NearestSettings,
    /// When `load` moves clients away.
    pub load: LoadSettings,
    /// What `sticky` holds on to.
    pub sticky: StickySettings,
    /// How many PoPs `first` leaves.
    pub first: FirstSettings,
    /// The route that is tried when none of this one's PoPs is up.
    #[schemars(extend("x-kind" = "label", "x-example" = "everywhere"))]
    pub fallback: Option<String>,
    /// What is answered when no PoP is up at all.
    pub all_down: AllDown,
    /// How long an answer may be cached; `geodns.health` bounds it.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Addresses in an answer.
    #[schemars(range(min = 1, max = 64))]
    pub addresses_max: u32,
}

impl Default for RouteSettings {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            names: Vec::new(),
            sites: false,
            map: "default".to_owned(),
            policy: vec![
                FilterName::Fence,
                FilterName::Up,
                FilterName::Load,
                FilterName::Nearest,
                FilterName::Weight,
                FilterName::First,
            ],
            nearest: NearestSettings::default(),
            load: LoadSettings::default(),
            sticky: StickySettings::default(),
            first: FirstSettings::default(),
            fallback: None,
            all_down: AllDown::Offer,
            ttl: Duration::from_secs(60),
            addresses_max: 8,
        }
    }
}

/// What is answered when no PoP is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AllDown {
    /// As if every PoP were up: more likely the probes are wrong than all of them are gone.
    #[default]
    Offer,
    /// SERVFAIL.
    Servfail,
}
