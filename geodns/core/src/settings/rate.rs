//! What an operator may say about response rate limiting.

use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::limit::{ClientNetworks, Limits, Rates};

/// `geodns.rate_limit`: how much is sent over UDP to a network that cannot prove that it asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// Responses with records per second and client network; 0 for no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub answer: u32,
    /// Responses that a name has no such records, per second and client network; 0 for no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub nodata: u32,
    /// Responses that there is no such name, per second and client network; 0 for no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub nxdomain: u32,
    /// Referrals per second and client network; 0 for no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub referral: u32,
    /// Responses of any other code per second and client network; 0 for no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub error: u32,
    /// How far ahead of its rate a network may be: the burst that it may have at once.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1m"))]
    #[serde(with = "humantime_serde")]
    pub burst: Duration,
    /// For how long at most a network that asked too much is refused after it has stopped.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// One refusal in so many is sent as an empty answer with TC, by which a real client finds its
    /// way over TCP; 0 for none, 1 for all.
    #[schemars(range(min = 0, max = 10))]
    pub slip: u32,
    /// Bits of an IPv4 address that are one client network, here and for
    /// `limits.connections_per_network_max`.
    #[schemars(range(min = 8, max = 32))]
    pub ipv4_prefix_length: u8,
    /// Bits of an IPv6 address that are one client network, here and for
    /// `limits.connections_per_network_max`.
    #[schemars(range(min = 16, max = 128))]
    pub ipv6_prefix_length: u8,
    /// Networks that are never limited.
    #[schemars(with = "Vec<String>", length(max = 10_000), extend("x-kind" = "network"))]
    pub networks_exempt: Vec<IpNet>,
    /// Client networks that are remembered, rounded up to a power of two; each takes 8 bytes.
    #[schemars(range(min = 1024, max = 134_217_728))]
    pub entries_max: u32,
}

impl Default for RateLimitSettings {
    fn default() -> Self {
        Self {
            // A resolver with many users behind one /24 asks hundreds of times a second, and an
            // answer is hardly larger than its query; what only a flood asks for gets less.
            answer: 1000,
            nodata: 200,
            nxdomain: 200,
            referral: 200,
            error: 100,
            burst: Duration::from_secs(2),
            window: Duration::from_secs(15),
            slip: 2,
            ipv4_prefix_length: 24,
            ipv6_prefix_length: 56,
            networks_exempt: Vec::new(),
            entries_max: 524_288,
        }
    }
}

impl RateLimitSettings {
    /// What counts as one client, also where no class has a limit.
    #[must_use]
    pub fn networks(&self) -> ClientNetworks {
        ClientNetworks::new(self.ipv4_prefix_length, self.ipv6_prefix_length)
    }

    /// What the limiter goes by; nothing, where no class has a limit.
    #[must_use]
    pub fn limits(&self) -> Option<Limits> {
        let rates = Rates {
            answer: self.answer,
            nodata: self.nodata,
            nxdomain: self.nxdomain,
            referral: self.referral,
            error: self.error,
        };
        let unlimited = Rates { answer: 0, nodata: 0, nxdomain: 0, referral: 0, error: 0 };
        (rates != unlimited).then(|| Limits {
            rates,
            burst: self.burst,
            window: self.window,
            slip: self.slip,
            ipv4_prefix_length: self.ipv4_prefix_length,
            ipv6_prefix_length: self.ipv6_prefix_length,
            allowed: self.networks_exempt.clone(),
            entries: usize::try_from(self.entries_max).unwrap_or(usize::MAX),
        })
    }
}
