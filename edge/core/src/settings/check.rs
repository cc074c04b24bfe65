//! What an operator may say about checks of an origin's servers.

use std::time::Duration;

use ground::state::StateWord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `site.origin.check`: how each server is asked whether it works. Each node asks for itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OriginCheckSettings {
    /// What is done.
    pub kind: OriginCheckKind,
    /// The method of the request.
    pub method: OriginCheckMethod,
    /// The path that is asked for, with a query if need be.
    #[schemars(extend("x-kind" = "uri-path"))]
    pub path: String,
    /// The Host that is sent; else that of requests, and the server's own where they have the client's.
    #[schemars(extend("x-kind" = "authority", "x-example" = "health.shop.example"))]
    pub host: Option<String>,
    /// The statuses that pass, from 100 to 599.
    #[schemars(length(min = 1, max = 64))]
    pub status: Vec<u16>,
    /// Text that the content has to hold, within its first 64 KiB.
    #[schemars(extend("x-example" = "ready"))]
    pub body: Option<String>,
    /// Time from one check of a server to the next.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Time for an answer, never more than `interval`.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "5m"))]
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Passes in a row after which what was down is up.
    #[schemars(range(min = 1, max = 100))]
    pub rise: u32,
    /// Failures in a row after which what was up is down.
    #[schemars(range(min = 1, max = 100))]
    pub fall: u32,
    /// How much an interval may vary either way, in percent, so that nodes do not march in step.
    #[schemars(range(min = 0, max = 50))]
    pub jitter: u32,
    /// What is assumed before the first result; that result then decides alone.
    pub before: StateWord,
}

impl Default for OriginCheckSettings {
    fn default() -> Self {
        Self {
            kind: OriginCheckKind::default(),
            method: OriginCheckMethod::default(),
            path: "/".to_owned(),
            host: None,
            status: vec![200],
            body: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            jitter: 10,
            before: StateWord::Up,
        }
    }
}

/// What a check does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OriginCheckKind {
    /// a request, over TLS where the server's URL says so
    #[default]
    Http,
    /// a connection alone; the kernel accepts for a process that was stopped, so this sees no such one
    Tcp,
}

/// How a check asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum OriginCheckMethod {
    /// GET
    #[default]
    Get,
    /// HEAD
    Head,
}
