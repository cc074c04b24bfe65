//! Sites: the settings as typed, turned into values ready to use.
//!
//! In: [`crate::settings`]. Out: [`Site`], its [`Policy`] per path, and [`SiteTable`], which finds
//! the site of a host; or every [`Problem`] of the settings at once.
//! Always holds: what is built needs no further check; no host belongs to two sites.
//! It deliberately does not know files, defaults of files, or how a server is reached.
//!
//! RFC 9110 §4.2, §7.2. Hot path: [`SiteTable::find`], [`Site::policy`] of a normal path and
//! [`Host::parse`] of a normal host allocate nothing.

mod bucket;
mod build;
mod check;
mod host;
mod origin;
mod path;
mod pattern;
mod table;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    bucket::{BucketKey, BucketPlan, Withheld},
    check::CheckPlan,
    host::{Host, HostPattern},
    pattern::PathPattern,
    table::SiteTable,
};

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};

use crate::{
    balance::BalancePlan,
    ejection::EjectionPlan,
    key::QueryPlan,
    settings::{ConcurrencyWord, OriginProtocol, RoleWord},
};

/// A site's identity, never reused within a process: a site that is removed and added again does
/// not find what the former one stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u64);

/// What a site owner has.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its identity in cache keys.
    pub id: SiteId,
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The hosts that it answers for.
    pub hosts: Vec<HostPattern>,
    /// Where its content comes from.
    pub origin: Arc<OriginPlan>,
    /// Its rules; the first whose pattern matches applies.
    pub rules: Vec<Rule>,
    /// The policy of paths that no rule matches.
    pub fallback: Policy,
    /// The policy of paths that may be read as another than they seem: nothing is stored.
    pub ambiguous: Policy,
}

/// A rule: a policy for a part of a site's paths.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The paths.
    pub pattern: PathPattern,
    /// The same for paths as an origin may resolve them.
    pub resolved: PathPattern,
    /// The policy.
    pub policy: Policy,
}

/// The origin of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPlan {
    /// The site's name, for logs.
    pub site: Arc<str>,
    /// Its servers, at least one.
    pub servers: Vec<ServerPlan>,
    /// The Host that is sent.
    pub host: HostChoice,
    /// The name asked for in TLS; else the server's host.
    pub sni: Option<String>,
    /// A PEM file of certificate authorities; else the system's.
    pub ca: Option<PathBuf>,
    /// What the edge shows to a server that asks who it is.
    pub identity: Option<Identity>,
    /// What is spoken with the servers.
    pub protocol: OriginProtocol,
    /// Whether a connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Connections at once to each server.
    pub connections_max: u32,
    /// Requests that may wait for a connection to each server.
    pub queue_max: u32,
    /// Time that a request may wait for a connection.
    pub queue_timeout: Duration,
    /// Time for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time from the request sent to the first byte of the response head.
    pub first_byte_timeout: Duration,
    /// Time between two reads of response content.
    pub idle_timeout: Duration,
    /// How long an unused connection is kept.
    pub keep_alive: Duration,
    /// When a failing server is left out, and for how long.
    pub ejection: EjectionPlan,
    /// Statuses that are tried again on another server, and count as errors; sorted.
    pub error_statuses: Vec<u16>,
    /// Tries on another server, in percent of requests.
    pub retry_percent: u32,
    /// How a server is chosen.
    pub balance: BalancePlan,
    /// How long the primaries have to be down before a standby takes over.
    pub takeover_after: Duration,
    /// How long a server that was down takes to be back at its whole share.
    pub slow_start: Duration,
    /// How many requests a server may have at once.
    pub concurrency: ConcurrencyWord,
    /// When a GET is sent to another server as well.
    pub hedge_after: Option<Duration>,
    /// How each server is asked whether it works.
    pub check: Option<Arc<CheckPlan>>,
    /// What a bucket is asked for, and with whose key.
    pub bucket: Option<BucketPlan>,
}

/// A server of an origin, and its place among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPlan {
    /// Where it is.
    pub address: ServerAddress,
    /// What logs and metrics call it: its authority, with the scheme before it if another server of the
    /// origin has the same.
    pub name: Arc<str>,
    /// What hashing knows it by.
    pub key: u64,
    /// Its share among equals.
    pub weight: u32,
    /// What it may be asked.
    pub role: RoleWord,
    /// Its group; a lower one goes first.
    pub group: usize,
    /// The group's name; empty where there are none.
    pub group_name: Arc<str>,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A server of an origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name of the service whose SRV records say the hosts and ports to connect to
    /// (RFC 2782); else it is reached at its host and port.
    pub service: Option<String>,
    /// `host[:port]` as a Host field says it: without the scheme's default port.
    pub authority: String,
}

/// The Host that is sent to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostChoice {
    /// The server's own authority.
    Server,
    /// The client's Host.
    Client,
    /// This name.
    Name(HeaderValue),
}

/// What a rule says about storing and reusing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether responses may be stored and reused at all.
    pub cache: bool,
    /// Freshness lifetime of responses that say nothing explicit and are no errors.
    pub default_ttl: Option<Duration>,
    /// The least freshness lifetime of responses that are no errors.
    pub min_ttl: Option<Duration>,
    /// The largest freshness lifetime.
    pub max_ttl: Option<Duration>,
    /// Freshness lifetime by status for responses that say nothing explicit, sorted by status.
    pub negative_ttl: Vec<(StatusCode, Duration)>,
    /// Share of the time since Last-Modified that counts as fresh, in percent.
    pub heuristic_percent: u32,
    /// The largest heuristic freshness lifetime.
    pub heuristic_max: Duration,
    /// stale-while-revalidate where the origin does not say.
    pub stale_while_revalidate: Option<Duration>,
    /// stale-if-error where the origin does not say.
    pub stale_if_error: Option<Duration>,
    /// How stale a response may be served when the origin is unreachable or answers 5xx.
    pub stale_on_failure: Duration,
    /// Whether no-cache, max-age and Pragma of clients are honoured.
    pub honour_client_reload: bool,
    /// Which query parameters tell responses apart.
    pub query: QueryPlan,
    /// Request fields that tell responses apart, beside Vary.
    pub key_fields: Vec<HeaderName>,
    /// Response fields that carry directives for this cache, in order of precedence.
    pub targeted_fields: Arc<[HeaderName]>,
    /// Response fields that are for caches like this one and go no further.
    pub withheld_fields: Arc<[HeaderName]>,
}

/// A fault in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key path inside the section that was given: `hosts[1]`, `rule[0].path`.
    pub at: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}
