//! What an operator may say about a part of a site's paths.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[[site.rule]]`: settings for a part of a site's paths.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSettings {
    /// The paths: exact, or with `*` for any run of characters. A path that an origin may read as
    /// one under another rule (`%2F` or `//` in it), or that has dot segments, is not cached; what
    /// ends like a static file may still be anything, so give lifetimes to folders, not to endings.
    #[schemars(extend("x-kind" = "path-pattern"))]
    pub path: String,
    /// Whether responses may be stored and reused at all.
    pub cache: bool,
    /// Freshness lifetime of responses that say nothing explicit, before any heuristic; for statuses
    /// 200, 203, 204, 206, 300, 301 and 308 only (errors: `negative_ttl`).
    #[schemars(with = "Option<String>", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "10 years", "x-example" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub default_ttl: Option<Duration>,
    /// The least freshness lifetime, for statuses 200, 203, 204, 206, 300, 301 and 308 only; never
    /// overrides no-store, private or no-cache.
    #[schemars(with = "Option<String>", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "10 years", "x-example" = "1m"))]
    #[serde(with = "humantime_serde")]
    pub min_ttl: Option<Duration>,
    /// The largest freshness lifetime.
    #[schemars(with = "Option<String>", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "10 years", "x-example" = "30 days"))]
    #[serde(with = "humantime_serde")]
    pub max_ttl: Option<Duration>,
    /// Freshness lifetime by status for error responses that say nothing explicit:
    /// `{ "404" = "10s", "503" = "1s" }`.
    #[schemars(with = "BTreeMap<String, String>", extend("x-kind" = "status-ttl"))]
    pub negative_ttl: BTreeMap<String, String>,
    /// Share of the time since Last-Modified that counts as fresh, in percent; 0 for no heuristic.
    #[schemars(range(min = 0, max = 100))]
    pub heuristic_percent: u32,
    /// The largest heuristic freshness lifetime.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 year"))]
    #[serde(with = "humantime_serde")]
    pub heuristic_max: Duration,
    /// Stale responses are served for this long while one request refreshes them (RFC 5861),
    /// where the origin does not say.
    #[schemars(with = "Option<String>", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 year", "x-example" = "30s"))]
    #[serde(with = "humantime_serde")]
    pub stale_while_revalidate: Option<Duration>,
    /// Stale responses are served for this long when the origin answers 500, 502, 503 or 504
    /// (RFC 5861), where the origin does not say.
    #[schemars(with = "Option<String>", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 year", "x-example" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub stale_if_error: Option<Duration>,
    /// Stale responses are served for this long when the origin is unreachable or fails a
    /// validation (RFC 9111 §4.2.4), and no longer than its own stale-if-error says.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 year"))]
    #[serde(with = "humantime_serde")]
    pub stale_on_failure: Duration,
    /// Whether no-cache, max-age and Pragma of clients are honoured (RFC 9111 §5.2.1 leaves it
    /// to the cache); a key is then validated for them at most once a second.
    pub honour_client_reload: bool,
    /// Which query parameters tell responses apart.
    pub query: QuerySettings,
    /// Request fields that tell responses apart, beside Vary; not Forwarded, X-Forwarded-For or
    /// Via, which the edge writes for each client.
    #[schemars(extend("x-kind" = "field-name"))]
    pub key_fields: Vec<String>,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            path: "*".to_owned(),
            cache: true,
            default_ttl: None,
            min_ttl: None,
            max_ttl: None,
            negative_ttl: BTreeMap::new(),
            heuristic_percent: 10,
            heuristic_max: Duration::from_secs(24 * 3600),
            stale_while_revalidate: None,
            stale_if_error: None,
            stale_on_failure: Duration::from_secs(3600),
            honour_client_reload: false,
            query: QuerySettings::default(),
            key_fields: Vec::new(),
        }
    }
}

/// `site.rule.query`: what becomes of the query before it enters the key and the forward.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// `all` (default), `none`, `keep` (only those in `names`) or `drop` (all but those).
    pub mode: QueryMode,
    /// The parameters that `keep` and `drop` speak of; a trailing `*` matches any ending.
    #[schemars(extend("x-kind" = "parameter"))]
    pub names: Vec<String>,
    /// Whether parameters are sorted by name, so that their order tells nothing apart.
    pub sort: bool,
}

/// Which query parameters enter the key and the forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueryMode {
    /// All of them.
    #[default]
    All,
    /// None of them.
    None,
    /// Only the named ones.
    Keep,
    /// All but the named ones.
    Drop,
}
