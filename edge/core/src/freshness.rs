//! Freshness: how long a response may be reused, and how old it is.
//!
//! In: a response head, its directives, the policy, and when it was asked for and received.
//! Out: [`Freshness`], the facts that stay with a stored response; every question about its age
//! is answered from them and `now`.
//! Always holds: a response is fresh while its freshness lifetime is greater than its current age
//! (RFC 9111 §4.2), and arithmetic saturates.
//! It deliberately does not know whether a response may be stored or reused.
//!
//! RFC 9111 §4.2, §5.1, §5.3. Hot path: no question about a [`Freshness`] allocates.

mod age;
mod lifetime;
#[cfg(test)]
mod tests;

pub(crate) use self::{age::date, lifetime::is_heuristically_cacheable};

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::{directives::ResponseDirectives, site::Policy, time::Timestamp};

/// Where a freshness lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifetimeSource {
    /// A lifetime in a targeted field (RFC 9213).
    Targeted,
    /// `s-maxage`.
    SMaxage,
    /// `max-age`.
    MaxAge,
    /// Expires.
    Expires,
    /// The site's rule: `negative_ttl`, `default_ttl` or `min_ttl`.
    Rule,
    /// A share of the time since Last-Modified (RFC 9111 §4.2.2).
    Heuristic,
    /// Nothing at all: the response is never reused without validation.
    None,
}

/// The facts from which a stored response's freshness follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the response was received, or last validated.
    pub response_time: Timestamp,
    /// Its age at that time (RFC 9111 §4.2.3).
    pub corrected_initial_age: Duration,
    /// Its freshness lifetime.
    pub lifetime: Duration,
    /// Where the lifetime comes from.
    pub source: LifetimeSource,
    /// `no-cache` without field names: validated before every reuse.
    pub no_cache: bool,
    /// Never reused stale: `must-revalidate`, or what says the same to a shared cache:
    /// `proxy-revalidate`, and `s-maxage` that no stale-* of the origin lifts (RFC 9111 §5.2.2.8,
    /// §5.2.2.10).
    pub must_revalidate: bool,
    /// `s-maxage` was there: nobody but the origin's own stale-* allows reuse when stale.
    pub s_maxage: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `stale-while-revalidate` as the origin said it.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` as the origin said it.
    pub stale_if_error: Option<Duration>,
}

impl LifetimeSource {
    /// Whether the origin itself gave the lifetime.
    #[must_use]
    pub const fn is_explicit(self) -> bool {
        match self {
            Self::Targeted | Self::SMaxage | Self::MaxAge | Self::Expires => true,
            Self::Rule | Self::Heuristic | Self::None => false,
        }
    }
}

/// The freshness of a response that was asked for at `request_time` and received at
/// `response_time`; `directives` are those of `fields`.
#[must_use]
pub fn compute(
    status: StatusCode,
    fields: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &Policy,
    request_time: Timestamp,
    response_time: Timestamp,
) -> Freshness {
    let (lifetime, source) = lifetime::lifetime(status, fields, directives, policy, response_time);
    let s_maxage = directives.s_maxage.is_some();
    let lifted = directives.stale_while_revalidate.is_some() || directives.stale_if_error.is_some();
    Freshness {
        response_time,
        corrected_initial_age: age::corrected_initial_age(fields, request_time, response_time),
        lifetime,
        source,
        no_cache: directives.no_cache.is_whole(),
        must_revalidate: directives.must_revalidate
            || directives.proxy_revalidate
            || (s_maxage && !lifted),
        s_maxage,
        immutable: directives.immutable,
        stale_while_revalidate: directives.stale_while_revalidate,
        stale_if_error: directives.stale_if_error,
    }
}

impl Freshness {
    /// The current age (RFC 9111 §4.2.3).
    #[must_use]
    pub const fn current_age(&self, now: Timestamp) -> Duration {
        let resident_time = now.since(self.response_time);
        self.corrected_initial_age.saturating_add(resident_time)
    }

    /// Whether the freshness lifetime is greater than the current age (RFC 9111 §4.2).
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.lifetime > self.current_age(now)
    }

    /// How long the response has been stale; zero while it is fresh.
    #[must_use]
    pub const fn staleness(&self, now: Timestamp) -> Duration {
        self.current_age(now).saturating_sub(self.lifetime)
    }

    /// What is left of the freshness lifetime, in whole seconds rounded down, so that it is
    /// negative as soon as the response has been stale for any time (RFC 9211 §2.4).
    #[must_use]
    pub fn ttl(&self, now: Timestamp) -> i64 {
        let left = millis(self.lifetime).saturating_sub(millis(self.current_age(now)));
        left.div_euclid(1000)
    }

    /// The same for a response that was declared stale at `since`, whatever is left of its lifetime.
    #[must_use]
    pub fn stale_since(&self, since: Timestamp) -> Self {
        Self { lifetime: self.lifetime.min(self.current_age(since)), ..self.clone() }
    }

    /// The same for a response of which nobody can say whether it was purged: as if its origin wanted
    /// it validated before every reuse.
    #[must_use]
    pub fn unvouched(&self) -> Self {
        Self { no_cache: true, ..self.clone() }
    }

    /// The first moment at which the response is stale; never before it was received.
    #[must_use]
    pub fn fresh_until(&self) -> Timestamp {
        self.response_time.plus(self.lifetime.saturating_sub(self.corrected_initial_age))
    }
}

/// Milliseconds, clamped.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
