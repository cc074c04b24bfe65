//! What an operator may say about the edge and its sites: type, bounds, default, unit, doc line.
//!
//! These are the words as typed. `config` checks a file against the schema that these types
//! derive (every bound stands here and nowhere else) and generates the reference page from it.
//! Its own keys in the schema are `x-kind` (on a list it speaks of the items), `x-min`, `x-max`,
//! `x-words` (allowed beside the kind) and `x-example` (for a key that has no default);
//! [`crate::site`] turns them into the values that the law uses.

mod bucket;
mod check;
mod rule;
mod servers;

pub use self::{
    bucket::BucketSettings,
    check::{OriginCheckKind, OriginCheckMethod, OriginCheckSettings},
    rule::{QueryMode, QuerySettings, RuleSettings},
    servers::{BalanceWord, ConcurrencyWord, RoleWord, ServerForm, ServerSettings, ServerTable},
};

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
pub use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[edge]`: the HTTP side of a node.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EdgeSettings {
    /// Addresses and ports that clients connect to, HTTP/1.1 and HTTP/2 by prior knowledge;
    /// at least one.
    #[schemars(with = "Vec<String>", extend("x-kind" = "socket-address", "x-example" = ["0.0.0.0:80", "[::]:80"]))]
    pub listen: Vec<SocketAddr>,
    /// The same for balancers that say in front of a connection whose it is (PROXY protocol, version
    /// 1 or 2); for `proxy_peers` alone.
    #[schemars(with = "Vec<String>", extend("x-kind" = "socket-address"))]
    pub listen_proxied: Vec<SocketAddr>,
    /// Networks of the balancers that may connect to `listen_proxied`; what they say in front of a
    /// connection is who its client is.
    #[schemars(with = "Vec<String>", extend("x-kind" = "network"))]
    pub proxy_peers: Vec<IpNet>,
    /// Memory for everything stored, being filled, or held by a slow client.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "16 MiB", "x-max" = "16 TiB"))]
    pub memory: ByteSize,
    /// The largest response content that is stored, never more than a fifth of `memory`; larger
    /// ones stream through a bounded window. Where it is left out and `memory` is less, it is
    /// `memory`.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 KiB", "x-max" = "1 TiB"))]
    pub object_bytes_max: ByteSize,
    /// What may remain to be fetched for a filling whose clients have all gone.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "0 B", "x-max" = "1 TiB"))]
    pub orphan_bytes_max: ByteSize,
    /// The window through which content that is not stored streams to its clients.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "64 KiB", "x-max" = "64 MiB"))]
    pub window_bytes: ByteSize,
    /// The number of stored variants under one cache key (Vary). For one too many, that one makes
    /// room which was asked for longest ago, of those that have answered nobody for a minute; if
    /// all have, the one that took its place last.
    #[schemars(range(min = 1, max = 1000))]
    pub variants_max: u32,
    /// Ranges that one request may ask for; more are answered with the whole representation.
    #[schemars(range(min = 1, max = 1000))]
    pub ranges_max: u32,
    /// How long a key is remembered as uncacheable after a response that could not be stored.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub uncacheable_remembered: Duration,
    /// Response fields that carry caching directives for this cache, before Cache-Control
    /// (RFC 9213), in order of precedence.
    #[schemars(length(max = 16), extend("x-kind" = "field-name"))]
    pub targeted_fields: Vec<String>,
    /// Whether Surrogate-Key and Cache-Tag, the tags that responses are purged by, reach clients;
    /// Cache-Groups does, for caches of theirs (RFC 9875).
    pub tags_to_clients: bool,
    /// Whether Cache-Status says the cache key.
    pub cache_status_key: bool,
    /// Networks whose Forwarded and X-Forwarded-* fields are believed and extended; the scheme that
    /// they name is part of the key.
    #[schemars(with = "Vec<String>", extend("x-kind" = "network"))]
    pub trusted_peers: Vec<IpNet>,
    /// Networks among the loopback and link-local ones, and this node's own listeners, that
    /// origins may be reached at.
    #[schemars(with = "Vec<String>", extend("x-kind" = "network"))]
    pub origin_networks_allowed: Vec<IpNet>,
    /// Networks among those that are not public, NATS servers of the ledger and this node's own
    /// listeners, that origins of the ledger's sites may be reached at.
    #[schemars(with = "Vec<String>", extend("x-kind" = "network"))]
    pub ledger_origins: Vec<IpNet>,
    /// Resolvers that are asked for the names of origins, over UDP and TCP, instead of the system's;
    /// what the hosts file says comes before either.
    #[schemars(with = "Vec<String>", length(max = 16), extend("x-kind" = "socket-address"))]
    pub resolvers: Vec<SocketAddr>,
    /// The shortest time before an origin's name is resolved again, whatever its TTL.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub resolved_ttl_min: Duration,
    /// The longest time before an origin's name is resolved again, whatever its TTL.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1 day"))]
    #[serde(with = "humantime_serde")]
    pub resolved_ttl_max: Duration,
    /// What a client may take of the edge.
    pub limits: LimitSettings,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            listen_proxied: Vec::new(),
            proxy_peers: Vec::new(),
            memory: ByteSize::mib(256),
            object_bytes_max: ByteSize::mib(64),
            orphan_bytes_max: ByteSize::mib(8),
            // Measured: with 1 MiB, a thousand slow readers of large objects took a third more than
            // `memory`; a window only has to cover the way between two tasks.
            window_bytes: ByteSize::kib(256),
            variants_max: 32,
            ranges_max: 16,
            uncacheable_remembered: Duration::from_secs(120),
            targeted_fields: vec!["CDN-Cache-Control".to_owned()],
            tags_to_clients: false,
            cache_status_key: false,
            trusted_peers: Vec::new(),
            origin_networks_allowed: Vec::new(),
            ledger_origins: Vec::new(),
            resolvers: Vec::new(),
            resolved_ttl_min: Duration::from_secs(1),
            resolved_ttl_max: Duration::from_secs(300),
            limits: LimitSettings::default(),
        }
    }
}

/// `[edge.limits]`: what a client may take of the edge.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Bytes of a request head; more is answered 431.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "1 KiB", "x-max" = "1 MiB"))]
    pub header_bytes_max: ByteSize,
    /// Fields of a request head; more is answered 431.
    #[schemars(range(min = 8, max = 1000))]
    pub header_count_max: u32,
    /// Bytes of a request target; more is answered 414.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "256 B", "x-max" = "63 KiB"))]
    pub uri_bytes_max: ByteSize,
    /// Bytes of request content; more is answered 413.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "0 B", "x-max" = "1 TiB"))]
    pub body_bytes_max: ByteSize,
    /// Connections at once, over all listeners.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub connections_max: u32,
    /// Connections at once from one address (for IPv6 from one /64).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address_max: u32,
    /// Time for a whole request head to arrive: the first one's counts from the accept, a later one's from its first byte.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "10m"))]
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// Time that a connection may wait for its next request.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Time that a client may take for the next 16 KiB of request content, or the rest of it.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Time that a client may take no byte of a response that waits for it.
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// HTTP/2 streams at once on one connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub h2_streams_max: u32,
    /// HTTP/2 streams that a client may reset before their answer, per connection and minute.
    #[schemars(range(min = 1, max = 100_000))]
    pub h2_resets_max: u32,
    /// HTTP/2 frames that carry no request, content or window (SETTINGS, PING and the like) that a
    /// client may send, per connection and minute, beside one for every 16 KiB that it takes.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub h2_controls_max: u32,
    /// Invalidated URLs of one site that are remembered one by one, and as many groups (RFC 9875);
    /// past it what was on its way from the origin before the older half of them is not stored.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub invalidations_max: u32,
    /// Purged selectors of each kind of one site that are remembered one by one; past it the older
    /// half of them counts for the whole site: as stale if they were soft, as gone if they were hard
    /// and the store has not been swept since.
    #[schemars(range(min = 16, max = 10_000_000))]
    pub purges_max: u32,
    /// Tags that are kept of one field of a response; with more, a purge of any tag takes it.
    #[schemars(range(min = 32, max = 10_000))]
    pub tags_max: u32,
    /// Bytes of a tag that is kept; with a longer one, a purge of any tag takes the response.
    #[schemars(with = "String", extend("x-kind" = "bytes", "x-min" = "32 B", "x-max" = "8 KiB"))]
    pub tag_bytes_max: ByteSize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            header_bytes_max: ByteSize::kib(32),
            header_count_max: 100,
            uri_bytes_max: ByteSize::kib(8),
            body_bytes_max: ByteSize::gib(1),
            connections_max: 20_000,
            connections_per_address_max: 2_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            h2_streams_max: 100,
            h2_resets_max: 200,
            h2_controls_max: 1_000,
            invalidations_max: 10_000,
            purges_max: 200_000,
            tags_max: 256,
            tag_bytes_max: ByteSize::kib(1),
        }
    }
}

/// `[[site]]`: what a site owner has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteSettings {
    /// The site's name: a DNS label, unique on the node.
    #[schemars(extend("x-kind" = "label", "x-example" = "shop"))]
    pub name: String,
    /// Host names that the site answers for: exact, `*.example.com`, or `*` for all the rest.
    #[schemars(length(min = 1), extend("x-kind" = "host-pattern", "x-example" = ["static.shop.example"]))]
    pub hosts: Vec<String>,
    /// Where the site's content comes from.
    pub origin: OriginSettings,
    /// Settings for parts of the site; the first rule whose path matches applies.
    #[serde(default, rename = "rule")]
    pub rules: Vec<RuleSettings>,
    /// Which site of its name it is, so that what is stored of one is never met by another: empty for
    /// one of a file. Nobody writes it.
    #[serde(skip)]
    pub id: String,
}

/// `site.origin`: the site owner's servers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginSettings {
    /// The servers, each as `http://host[:port]` or `https://host[:port]`, or as a table that says
    /// more; one that is written `http+srv://name` or `https+srv://name` is where the SRV records of
    /// `_http._tcp` or `_https._tcp` at that name lead (another service:
    /// `https+srv://_service._tcp.name`).
    #[schemars(length(min = 1), extend("x-example" = ["https://origin.shop.example"]))]
    pub servers: Vec<ServerSettings>,
    /// The Host that is sent: `server` (the server's own name), `client` (the client's Host in
    /// lower case, without its port, because no response is told from another by them), or a name.
    #[serde(default = "OriginSettings::default_host")]
    #[schemars(extend("x-kind" = "authority", "x-words" = ["server", "client"]))]
    pub host: String,
    /// The name asked for in TLS (SNI) and expected in the certificate; else the server's.
    #[serde(default)]
    #[schemars(extend("x-kind" = "host", "x-example" = "shop.example"))]
    pub sni: Option<String>,
    /// A PEM file of certificate authorities to trust instead of the system's.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "origin-ca.pem"))]
    pub ca: Option<PathBuf>,
    /// A PEM file of the certificate that the edge shows to a server that asks for one, with its
    /// chain, first the certificate itself; needs `key`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "edge.pem"))]
    pub certificate: Option<PathBuf>,
    /// A PEM file of the private key of `certificate`.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("x-kind" = "path", "x-example" = "edge.key"))]
    pub key: Option<PathBuf>,
    /// What is spoken with the servers: `auto` (over TLS what the server prefers of HTTP/2 and
    /// HTTP/1.1, else HTTP/1.1), `http1`, or `http2` (without TLS by prior knowledge).
    #[serde(default)]
    pub protocol: OriginProtocol,
    /// Whether a connection begins with a header of the PROXY protocol, version 2, for servers that
    /// insist on one. It says LOCAL: connections are shared by clients, and these are named in
    /// Forwarded and X-Forwarded-For.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Connections at once to each server; over HTTP/2, where requests share them, requests.
    #[serde(default = "OriginSettings::default_connections_max")]
    #[schemars(range(min = 1, max = 100_000))]
    pub connections_max: u32,
    /// Requests that may wait for a connection to each server; more are answered 503.
    #[serde(default = "OriginSettings::default_queue_max")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub queue_max: u32,
    /// Time that a request may wait for a connection, at all servers together.
    #[serde(default = "OriginSettings::default_queue_timeout", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "10m"))]
    pub queue_timeout: Duration,
    /// Time for a connection, TLS included.
    #[serde(default = "OriginSettings::default_connect_timeout", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "5m"))]
    pub connect_timeout: Duration,
    /// Time from the request sent to the first byte of the response head.
    #[serde(default = "OriginSettings::default_first_byte_timeout", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "1h"))]
    pub first_byte_timeout: Duration,
    /// Time between two reads of response content, and that a server may take nothing of a request.
    #[serde(default = "OriginSettings::default_idle_timeout", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "1h"))]
    pub idle_timeout: Duration,
    /// How long an unused connection is kept.
    #[serde(default = "OriginSettings::default_keep_alive", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    pub keep_alive: Duration,
    /// Failures in a row after which a server is left out for `ejection_time`: no connection, no
    /// valid response in time, content that breaks off; a response of any status is none.
    #[serde(default = "OriginSettings::default_ejection_failures")]
    #[schemars(range(min = 1, max = 1000))]
    pub ejection_failures: u32,
    /// How long a failing server is left out, doubled each time that it is so again soon; while all
    /// are left out, all are tried.
    #[serde(default = "OriginSettings::default_ejection_time", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1h"))]
    pub ejection_time: Duration,
    /// Tries on another server, in percent of requests, over all reasons to retry.
    #[serde(default = "OriginSettings::default_retry_percent")]
    #[schemars(range(min = 0, max = 100))]
    pub retry_percent: u32,
    /// How a server is chosen among those that may have a request and are up.
    #[serde(default)]
    pub balance: BalanceWord,
    /// With `hash`: the requests that a server may have at once, in percent of its share of all,
    /// before more of its keys go to the next.
    #[serde(default = "OriginSettings::default_hash_load_max")]
    #[schemars(range(min = 100, max = 1000))]
    pub hash_load_max: u32,
    /// The share of a group's servers, in percent of their weight, that have to be up for it to take
    /// all that comes; below it, the next group takes the rest in proportion.
    #[serde(default = "OriginSettings::default_group_up_min")]
    #[schemars(range(min = 1, max = 100))]
    pub group_up_min: u32,
    /// How long the primaries have to be down before a standby takes over.
    #[serde(default = "OriginSettings::default_takeover_after", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    pub takeover_after: Duration,
    /// The longest time that a server is left out for failing, where `ejection_time` is less.
    #[serde(default = "OriginSettings::default_ejection_time_max", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "100ms", "x-max" = "1 day"))]
    pub ejection_time_max: Duration,
    /// How many of the servers may be left out at once, in percent, but one of several always.
    #[serde(default = "OriginSettings::default_ejection_share_max")]
    #[schemars(range(min = 1, max = 100))]
    pub ejection_share_max: u32,
    /// Leaves a server out whose errors are so many percent of its requests more than the errors of
    /// the others are of theirs; never the last one. Errors are failures and `error_statuses`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100), extend("x-example" = 30))]
    pub ejection_error_percent: Option<u32>,
    /// Leaves a server out whose first byte takes so many times as long as the median of the others'
    /// does; never the last one.
    #[serde(default)]
    #[schemars(range(min = 2, max = 1000), extend("x-example" = 5))]
    pub ejection_latency_factor: Option<u32>,
    /// The requests to a server within `ejection_window` without which these two are not judged.
    #[serde(default = "OriginSettings::default_ejection_requests_min")]
    #[schemars(range(min = 1, max = 100_000))]
    pub ejection_requests_min: u32,
    /// The time that these two look back on; up to twice as much counts.
    #[serde(default = "OriginSettings::default_ejection_window", with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub ejection_window: Duration,
    /// Statuses, from 500 to 599, that are tried again on another server where the method allows, and
    /// count for `ejection_error_percent`. If none does better the client gets the first.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub error_statuses: Vec<u16>,
    /// How long a server that was down takes to be back at its whole share; 0 for at once.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "String", extend("x-kind" = "duration", "x-min" = "0s", "x-max" = "1h"))]
    pub slow_start: Duration,
    /// How many requests a server may have at once; what is more waits for it in the queue.
    #[serde(default)]
    pub concurrency: ConcurrencyWord,
    /// A GET that has no response after this time is sent to another server as well, if one is free,
    /// and the first response counts; within `retry_percent`. Without it none is.
    #[serde(default, with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("x-kind" = "duration", "x-min" = "10ms", "x-max" = "5m", "x-example" = "500ms"))]
    pub hedge_after: Option<Duration>,
    /// How each server is asked whether it works. Without it only requests tell.
    #[serde(default)]
    pub check: Option<OriginCheckSettings>,
    /// The origin is a bucket that answers signed requests alone.
    #[serde(default)]
    pub bucket: Option<BucketSettings>,
}

/// What is spoken with the servers of an origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OriginProtocol {
    /// Over TLS what the server prefers of HTTP/2 and HTTP/1.1, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl OriginSettings {
    fn default_host() -> String {
        "server".to_owned()
    }
    fn default_connections_max() -> u32 {
        256
    }
    fn default_queue_max() -> u32 {
        1024
    }
    fn default_queue_timeout() -> Duration {
        Duration::from_secs(10)
    }
    fn default_connect_timeout() -> Duration {
        Duration::from_secs(5)
    }
    fn default_first_byte_timeout() -> Duration {
        Duration::from_secs(30)
    }
    fn default_idle_timeout() -> Duration {
        Duration::from_secs(30)
    }
    fn default_keep_alive() -> Duration {
        Duration::from_secs(60)
    }
    fn default_ejection_failures() -> u32 {
        5
    }
    fn default_ejection_time() -> Duration {
        Duration::from_secs(10)
    }
    fn default_retry_percent() -> u32 {
        10
    }
    fn default_hash_load_max() -> u32 {
        125
    }
    fn default_group_up_min() -> u32 {
        70
    }
    fn default_ejection_time_max() -> Duration {
        Duration::from_secs(300)
    }
    fn default_ejection_share_max() -> u32 {
        100
    }
    fn default_ejection_requests_min() -> u32 {
        20
    }
    fn default_ejection_window() -> Duration {
        Duration::from_secs(10)
    }
    fn default_takeover_after() -> Duration {
        Duration::from_secs(10)
    }
}
