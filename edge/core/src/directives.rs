//! Caching directives: Cache-Control of both sides, Pragma, and the targeted fields.
//!
//! In: fields. Out: [`ResponseDirectives`] and [`RequestDirectives`].
//! Always holds: parsing never fails and never panics; what is malformed, doubled or in conflict
//! is resolved to the less fresh (RFC 9111 §4.2.1), so that adding a directive never makes a
//! response fresher than that directive alone would; unknown directives are ignored (§5.2.3).
//! It deliberately does not know what follows from a directive: that is for the rooms that obey.
//!
//! RFC 9111 §5.2, §5.4; RFC 5861; RFC 8246; RFC 9213.
//!
//! Hot path: [`RequestDirectives::parse`] allocates nothing, and is two look-ups for a request
//! without Cache-Control and Pragma.

mod member;
mod request;
mod response;
mod targeted;
#[cfg(test)]
mod tests;

pub(crate) use self::member::delta_seconds;

use std::time::Duration;

use http::HeaderName;

/// A directive that speaks of the whole response or, with an argument, of some of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Qualified {
    /// Not there.
    #[default]
    Absent,
    /// There, for the named fields only; without duplicates, at least one.
    Fields(Vec<HeaderName>),
    /// There, for the whole response.
    Whole,
}

/// What the origin says about storing and reusing a response (RFC 9111 §5.2.2).
///
/// A lifetime or window that is there but malformed is [`Duration::ZERO`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// From a targeted field: Cache-Control and Expires are then ignored (RFC 9213 §2.2).
    pub targeted: bool,
    /// `max-age` (§5.2.2.1).
    pub max_age: Option<Duration>,
    /// `s-maxage` (§5.2.2.10).
    pub s_maxage: Option<Duration>,
    /// `must-revalidate` (§5.2.2.2).
    pub must_revalidate: bool,
    /// `must-understand` (§5.2.2.3).
    pub must_understand: bool,
    /// `no-cache` (§5.2.2.4).
    pub no_cache: Qualified,
    /// `no-store` (§5.2.2.5).
    pub no_store: bool,
    /// `no-transform` (§5.2.2.6).
    pub no_transform: bool,
    /// `private` (§5.2.2.7).
    pub private: Qualified,
    /// `proxy-revalidate` (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// `public` (§5.2.2.9).
    pub public: bool,
    /// `immutable` (RFC 8246 §2).
    pub immutable: bool,
    /// `stale-while-revalidate` (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}

/// How stale a response a client accepts (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxStale {
    /// `max-stale` without a value.
    Any,
    /// `max-stale=N`.
    Within(Duration),
}

/// What a client says about being answered from a cache (RFC 9111 §5.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `max-age` (§5.2.1.1).
    pub max_age: Option<Duration>,
    /// `max-stale` (§5.2.1.2).
    pub max_stale: Option<MaxStale>,
    /// `min-fresh` (§5.2.1.3).
    pub min_fresh: Option<Duration>,
    /// `no-cache` (§5.2.1.4), or `Pragma: no-cache` where there is no Cache-Control (§5.4).
    pub no_cache: bool,
    /// `no-store` (§5.2.1.5).
    pub no_store: bool,
    /// `no-transform` (§5.2.1.6).
    pub no_transform: bool,
    /// `only-if-cached` (§5.2.1.7).
    pub only_if_cached: bool,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
}
