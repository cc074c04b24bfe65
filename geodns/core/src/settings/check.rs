//! What an operator may say about probes and what follows from them.

use std::time::Duration;

use ground::state::{Pace, StateWord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[[geodns.check]]`: how each address of a PoP is probed on one port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckSettings {
    /// What is done.
    #[serde(default)]
    pub kind: CheckKind,
    /// The port.
    #[schemars(range(min = 1), extend("x-example" = 443))]
    pub port: u16,
    /// The path that is asked for.
    #[serde(default = "CheckSettings::default_path")]
    #[schemars(extend("x-kind" = "uri-path"))]
    pub path: String,
    /// The Host, and for HTTPS the name in TLS; else the address.
    #[serde(default)]
    #[schemars(extend("x-kind" = "host", "x-example" = "health.cdn.example"))]
    pub host: Option<String>,
    /// The method of the request.
    #[serde(default)]
    pub method: CheckMethod,
    /// Whether an HTTPS answer must come with a certificate that the system's authorities vouch for,
    /// for `host`. Without it a probe asks only whether the address answers.
    #[serde(default)]
    pub verify: bool,
    /// The statuses that pass, from 100 to 599.
    #[serde(default = "CheckSettings::default_status")]
    #[schemars(length(min = 1, max = 64))]
    pub status: Vec<u16>,
    /// Whether an HTTP or HTTPS answer says how full the address is, for `load` in policies: its
    /// field `Endpoint-Load-Metrics` has, in the text form of ORCA, `application_utilization` or
    /// else `cpu_utilization`, of which 1 is full.
    #[serde(default)]
    pub load: bool,
    /// Time from one probe to the next.
    #[serde(default = "CheckSettings::default_interval", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1h"))]
    pub interval: Duration,
    /// Time for an answer, never more than `interval`.
    #[serde(default = "CheckSettings::default_timeout", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "5m"))]
    pub timeout: Duration,
    /// Passes in a row after which what was down is up.
    #[serde(default = "CheckSettings::default_rise")]
    #[schemars(range(min = 1, max = 100))]
    pub rise: u32,
    /// Failures in a row after which what was up is down.
    #[serde(default = "CheckSettings::default_fall")]
    #[schemars(range(min = 1, max = 100))]
    pub fall: u32,
    /// How much an interval may vary either way, in percent, so that probes do not march in step.
    #[serde(default = "CheckSettings::default_jitter")]
    #[schemars(range(min = 0, max = 50))]
    pub jitter: u32,
    /// What is assumed before the first result; that result then decides alone.
    #[serde(default)]
    pub before: StateWord,
}

impl CheckSettings {
    fn default_path() -> String {
        "/".to_owned()
    }
    fn default_status() -> Vec<u16> {
        vec![200]
    }
    fn default_interval() -> Duration {
        Duration::from_secs(5)
    }
    fn default_timeout() -> Duration {
        Duration::from_secs(2)
    }
    fn default_rise() -> u32 {
        2
    }
    fn default_fall() -> u32 {
        3
    }
    fn default_jitter() -> u32 {
        10
    }

    /// Whether it asks the same question as another, however often, and whatever follows from the
    /// answers.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.port == other.port
            && self.path == other.path
            && self.host == other.host
            && self.method == other.method
    }

    /// A check of this kind on this port that says nothing else.
    #[must_use]
    pub fn new(kind: CheckKind, port: u16) -> Self {
        Self {
            kind,
            port,
            path: Self::default_path(),
            host: None,
            method: CheckMethod::default(),
            verify: false,
            status: Self::default_status(),
            load: false,
            interval: Self::default_interval(),
            timeout: Self::default_timeout(),
            rise: Self::default_rise(),
            fall: Self::default_fall(),
            jitter: Self::default_jitter(),
            before: StateWord::default(),
        }
    }
}

/// What a probe does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// Connects. The kernel accepts for a process that was stopped, so this does not see one.
    #[default]
    Tcp,
    /// Connects and sends a request.
    Http,
    /// The same over TLS.
    Https,
}

/// How a probe asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckMethod {
    /// GET; the content is not read.
    #[default]
    Get,
    /// HEAD.
    Head,
}

impl Pace for CheckSettings {
    fn rise(&self) -> u32 {
        self.rise
    }
    fn fall(&self) -> u32 {
        self.fall
    }
    fn before(&self) -> StateWord {
        self.before
    }
    fn interval(&self) -> Duration {
        self.interval
    }
    fn jitter(&self) -> u32 {
        self.jitter
    }
}

/// `geodns.health`: what follows from probes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// Addresses of a family that must be up for the PoP to be up in it; never more than it has.
    #[schemars(range(min = 1, max = 256))]
    pub addresses_min: u32,
    /// The time in which a PoP that was down takes its clients back, a growing share of them.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub ramp_up: Duration,
    /// The longest TTL of an answer that depends on health.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub ttl_max: Duration,
    /// The shortest TTL, while a PoP is in doubt.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub ttl_min: Duration,
    /// How old a report of load may be; an older one is ignored.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub load_age_max: Duration,
    /// The time over which changes of state are counted as flapping.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub flap_window: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            addresses_min: 1,
            ramp_up: Duration::ZERO,
            ttl_max: Duration::from_secs(60),
            ttl_min: Duration::from_secs(5),
            load_age_max: Duration::from_secs(60),
            flap_window: Duration::from_secs(600),
        }
    }
}
