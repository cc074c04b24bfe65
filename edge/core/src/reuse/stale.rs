//! Reusing stale responses (RFC 9111 §4.2.4, RFC 5861).
//!
//! Always holds: a window of length zero allows nothing; nothing outlasts a window that the origin
//! states for its kind, be it the rule's, the client's or `stale_on_failure`; s-maxage (as proxy-revalidate, §5.2.2.10) forbids everything but what the origin's
//! own stale-* directive allows.

use http::StatusCode;

use super::RequestView;
use crate::{
    directives::MaxStale,
    freshness::{Freshness, LifetimeSource},
    site::Policy,
    storable::StoredHead,
    time::Timestamp,
};

/// How a forward failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No response: no connection, a reset, a timeout.
    Unreachable,
    /// A response of this status.
    Status(StatusCode),
}

impl Failure {
    /// An error as stale-if-error means it: 500, 502, 503, 504, or what would yield one of them
    /// (RFC 5861 §4).
    fn is_error(self) -> bool {
        match self {
            Self::Unreachable => true,
            Self::Status(status) => matches!(status.as_u16(), 500 | 502 | 503 | 504),
        }
    }

    /// The origin failed at its task (RFC 9111 §4.3.3).
    fn is_server_failure(self) -> bool {
        match self {
            Self::Unreachable => true,
            Self::Status(status) => status.is_server_error(),
        }
    }
}

/// Whether `stored`, of this freshness, answers the request after the forward failed.
///
/// The origin's stale-if-error, else the rule's or the client's, allow it for their errors; the
/// rule's `stale_on_failure` allows it for every 5xx, but no longer than the origin's
/// stale-if-error. A stale 5xx is no better than the failure.
#[must_use]
pub fn stale_after_failure(
    stored: &StoredHead,
    freshness: &Freshness,
    request: &RequestView<'_>,
    failure: Failure,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    if !failure.is_server_failure() || !super::select::holds(stored, request) {
        return false;
    }
    // Forwarded for the client's sake only: what forbids stale reuse does not yet apply.
    if freshness.is_fresh(now) {
        return !freshness.no_cache;
    }
    if stored.status.is_server_error() || is_forbidden(freshness) {
        return false;
    }
    let staleness = freshness.staleness(now);
    let within = |window| staleness < window;
    let on_failure = may_be_assigned(freshness) && within(policy.stale_on_failure);
    if let Some(window) = freshness.stale_if_error {
        return within(window) && (failure.is_error() || on_failure);
    }
    let if_error = may_be_assigned(freshness)
        && (policy.stale_if_error.is_some_and(within)
            || request.directives.stale_if_error.is_some_and(within));
    (failure.is_error() && if_error) || on_failure
}

/// Whether stale-while-revalidate allows it: the origin's, else the rule's.
pub(super) fn while_revalidate(freshness: &Freshness, policy: &Policy, now: Timestamp) -> bool {
    if is_forbidden(freshness) {
        return false;
    }
    let rule = policy.stale_while_revalidate.filter(|_| may_be_assigned(freshness));
    let window = freshness.stale_while_revalidate.or(rule);
    window.is_some_and(|window| freshness.staleness(now) < window)
}

/// Whether the client's max-stale allows it (RFC 9111 §5.2.1.2).
pub(super) fn client_accepts(
    freshness: &Freshness,
    max_stale: Option<MaxStale>,
    now: Timestamp,
) -> bool {
    let within = match max_stale {
        None => false,
        Some(MaxStale::Any) => true,
        Some(MaxStale::Within(limit)) => freshness.staleness(now) <= limit,
    };
    within && !is_forbidden(freshness) && may_be_assigned(freshness)
}

/// Whether anything but a client's max-stale could ever let the response be reused stale.
pub(crate) fn may_be_stale(freshness: &Freshness, policy: &Policy) -> bool {
    let any = |windows: &[Option<std::time::Duration>]| {
        windows.iter().flatten().any(|window| !window.is_zero())
    };
    let (revalidate, error) = (freshness.stale_while_revalidate, freshness.stale_if_error);
    let rules = [
        policy.stale_while_revalidate.filter(|_| revalidate.is_none()),
        policy.stale_if_error.filter(|_| error.is_none()),
        Some(policy.stale_on_failure).filter(|_| error.is_none()),
    ];
    !is_forbidden(freshness)
        && (any(&[revalidate, error]) || (may_be_assigned(freshness) && any(&rules)))
}

/// What forbids all stale reuse, whoever asks for it.
const fn is_forbidden(freshness: &Freshness) -> bool {
    freshness.no_cache || freshness.must_revalidate
}

/// Whether somebody other than the origin may allow stale reuse: not against s-maxage, and not
/// for a response that never had a lifetime.
fn may_be_assigned(freshness: &Freshness) -> bool {
    !freshness.s_maxage && freshness.source != LifetimeSource::None
}
