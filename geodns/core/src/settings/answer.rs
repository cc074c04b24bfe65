//! What an operator may say about answers as messages: who the server is, how large they are, who
//! proves what, and how many are sent.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::limit::{Limits, Rates};

/// `geodns.answer`: answers as messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerSettings {
    /// What the server calls itself where it is asked (NSID of RFC 5001, `id.server` of RFC 4892):
    /// the name of its node, unless another one is said; an empty text keeps it from telling.
    #[schemars(length(max = 255), extend("x-example" = "fra-1"))]
    pub id: Option<String>,
    /// What it says to `version.bind`; without it, nothing.
    #[schemars(length(max = 255), extend("x-example" = "GeoDNS"))]
    pub version: Option<String>,
    /// The largest datagram that is sent; a longer answer is asked for again over TCP.
    #[schemars(range(min = 512, max = 4096))]
    pub udp_bytes_max: u16,
    /// To what multiple of bytes answers are padded where nobody can read them (RFC 8467).
    #[schemars(range(min = 1, max = 4096))]
    pub padding_block_bytes: u16,
}

impl Default for AnswerSettings {
    fn default() -> Self {
        Self { id: None, version: None, udp_bytes_max: 1232, padding_block_bytes: 468 }
    }
}

/// `geodns.cookies`: proof that a client has its address (RFC 7873, RFC 9018).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CookieSettings {
    /// Whether cookies are spoken.
    pub enabled: bool,
    /// A file of one secret or two, 32 hexadecimal digits a line: the first makes cookies, both
    /// are accepted. Nodes with the same file accept each other's cookies. Without a file each
    /// node makes a secret of its own when it starts.
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "cookie.secrets"))]
    pub secrets: Option<PathBuf>,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self { enabled: true, secrets: None }
    }
}

/// `geodns.rate_limit`: how many answers a network is sent that has not proven its addresses, by a
/// cookie or a connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// Whether there is a limit.
    pub enabled: bool,
    /// Answers with records, per second and network; 0 for no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub answers: u32,
    /// Answers that a name has no such records.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub nodata: u32,
    /// Answers that there is no such name.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub nxdomain: u32,
    /// Referrals to the servers of a delegated name.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub referrals: u32,
    /// Everything else, such as refusals.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub errors: u32,
    /// How far ahead of its rate a network may be.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub burst: Duration,
    /// How long at most a network is refused after it has stopped asking too much.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// One refusal in so many is an empty answer, by which a client that is really there asks
    /// again over TCP; 0 for none, 1 for all.
    #[schemars(range(min = 0, max = 100))]
    pub slip: u32,
    /// How many bits of an IPv4 address are one network.
    #[schemars(range(min = 8, max = 32))]
    pub bits_v4: u8,
    /// The same for IPv6.
    #[schemars(range(min = 8, max = 128))]
    pub bits_v6: u8,
    /// Networks that are never limited.
    #[schemars(with = "Vec<String>", length(max = 10_000), extend("x-kind" = "network"))]
    pub allow: Vec<IpNet>,
    /// How many networks are remembered, 8 bytes each.
    #[schemars(range(min = 1024, max = 16_777_216))]
    pub entries: u32,
}

impl Default for RateLimitSettings {
    /// Generous: the resolvers of whole countries come from few networks. A flood that pretends to
    /// be a victim is far above it.
    fn default() -> Self {
        Self {
            enabled: true,
            answers: 2000,
            nodata: 1000,
            nxdomain: 500,
            referrals: 500,
            errors: 200,
            burst: Duration::from_secs(2),
            window: Duration::from_secs(15),
            slip: 2,
            bits_v4: 24,
            bits_v6: 56,
            allow: Vec::new(),
            entries: 1 << 20,
        }
    }
}

impl RateLimitSettings {
    /// What a limiter goes by; nothing, where there is no limit.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        self.enabled.then(|| Limits {
            rates: Rates {
                answer: self.answers,
                nodata: self.nodata,
                nxdomain: self.nxdomain,
                referral: self.referrals,
                error: self.errors,
            },
            burst: self.burst,
            window: self.window,
            slip: self.slip,
            ipv4_prefix_length: self.bits_v4,
            ipv6_prefix_length: self.bits_v6,
            allowed: self.allow.clone(),
            entries: usize::try_from(self.entries).unwrap_or(1024),
        })
    }
}
