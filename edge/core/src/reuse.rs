//! Reuse: whether a stored response answers a request.
//!
//! In: stored heads, a request, the policy and `now`. Out: the one to use ([`Selection`]) and the
//! [`Verdict`].
//! Always holds: what the origin forbids (no-cache, must-revalidate, proxy-revalidate, s-maxage
//! when stale) no client and no rule allows; a response without any lifetime is never reused
//! unvalidated, unless the origin's own stale-* directive allows it.
//! It deliberately does not know how a request is forwarded or what answers it in the end.
//!
//! RFC 9111 §4, §5.2; RFC 5861; RFC 8246. Hot path: nothing here allocates.

mod select;
mod stale;
#[cfg(test)]
mod tests;

pub(crate) use self::stale::may_be_stale;
pub use self::{
    select::{Selection, select},
    stale::{Failure, stale_after_failure},
};

use std::time::Duration;

use http::{HeaderMap, Method};

use crate::{
    directives::{MaxStale, RequestDirectives},
    fields::Fields,
    freshness::Freshness,
    outcome::{ForwardReason, Refusal, Verdict},
    site::Policy,
    storable::StoredHead,
    time::Timestamp,
};

/// What the law needs to see of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a, F = HeaderMap> {
    /// The method.
    pub method: &'a Method,
    /// The fields.
    pub fields: &'a F,
    /// The directives among the fields.
    pub directives: &'a RequestDirectives,
}

/// What a client wishes beyond what is stored reaches the origin at most once in this time for a key.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// What to do with a request for which `stored` was selected.
#[must_use]
pub fn judge<F: Fields>(
    stored: &StoredHead,
    request: &RequestView<'_, F>,
    policy: &Policy,
    now: Timestamp,
) -> Verdict {
    judge_as(stored, &stored.freshness, request, policy, now)
}

/// The same as if `freshness` were that of `stored`: for what was declared stale since.
#[must_use]
pub fn judge_as<F: Fields>(
    stored: &StoredHead,
    freshness: &Freshness,
    request: &RequestView<'_, F>,
    policy: &Policy,
    now: Timestamp,
) -> Verdict {
    if let Some(reason) = not_for_cache(request, policy) {
        return forward(request, reason);
    }
    if !select::holds(stored, request) {
        return forward(request, ForwardReason::Partial);
    }
    if freshness.no_cache {
        return forward(request, ForwardReason::Stale);
    }
    let wishes = Wishes::of(freshness, request, policy, now);
    if freshness.is_fresh(now) {
        return if wishes.fresh_is_enough(freshness, now) {
            Verdict::Hit
        } else {
            forward(request, ForwardReason::Request)
        };
    }
    if wishes.stale_is_enough() {
        if stale::while_revalidate(freshness, policy, now) {
            return Verdict::HitStale { refresh: true };
        }
        if stale::client_accepts(freshness, request.directives.max_stale, now) {
            return Verdict::HitStale { refresh: false };
        }
    }
    forward(request, ForwardReason::Stale)
}

/// What to do with a request for which nothing stored was selected.
#[must_use]
pub fn without_stored<F>(request: &RequestView<'_, F>, policy: &Policy) -> Verdict {
    forward(request, not_for_cache(request, policy).unwrap_or(ForwardReason::UriMiss))
}

/// What to do with a request that has content, whatever is stored: content of GET has no defined
/// meaning, but an origin may act on it, so its response may not be told to others
/// (RFC 9110 §9.3.1).
#[must_use]
pub fn with_content<F>(request: &RequestView<'_, F>) -> Verdict {
    let reason = match *request.method {
        Method::GET | Method::HEAD => ForwardReason::Bypass,
        _ => ForwardReason::Method,
    };
    forward(request, reason)
}

/// Why no stored response may answer the request, whatever is stored.
fn not_for_cache<F>(request: &RequestView<'_, F>, policy: &Policy) -> Option<ForwardReason> {
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        Some(ForwardReason::Method)
    } else if policy.cache {
        None
    } else {
        Some(ForwardReason::Bypass)
    }
}

/// Forwards, unless the client wants an answer from the cache only (RFC 9111 §5.2.1.7).
fn forward<F>(request: &RequestView<'_, F>, reason: ForwardReason) -> Verdict {
    if request.directives.only_if_cached {
        Verdict::Refuse(Refusal::OnlyIfCached)
    } else {
        Verdict::Forward(reason)
    }
}

/// What the client asks of a stored response, as far as it is honoured.
struct Wishes {
    /// `no-cache`, in either form.
    no_cache: bool,
    max_age: Option<Duration>,
    min_fresh: Option<Duration>,
    max_stale: Option<MaxStale>,
}

impl Wishes {
    fn of<F>(
        freshness: &Freshness,
        request: &RequestView<'_, F>,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let directives = request.directives;
        // All of it is advice (RFC 9111 §5.2.1): a rule may honour reloads, min-fresh is honoured
        // anyway, and even then what was just fetched or validated is not asked for again, so that
        // a storm of such requests costs the origin one a second.
        let settled = now.since(freshness.response_time) >= RELOAD_INTERVAL;
        let reload = policy.honour_client_reload && settled;
        Self {
            no_cache: reload && directives.no_cache,
            max_age: directives.max_age.filter(|_| reload),
            // Who takes an answer from the cache only asks nothing of the origin.
            min_fresh: directives.min_fresh.filter(|_| settled || directives.only_if_cached),
            max_stale: directives.max_stale,
        }
    }

    fn fresh_is_enough(&self, freshness: &Freshness, now: Timestamp) -> bool {
        let age = freshness.current_age(now);
        let too_old = self.max_age.is_some_and(|max_age| age > max_age);
        let too_short = self
            .min_fresh
            .is_some_and(|min_fresh| freshness.lifetime < age.saturating_add(min_fresh));
        // An immutable response is not validated for a mere reload while it is fresh, only for a
        // forced one (RFC 8246 §2).
        !self.no_cache && !too_short && (!too_old || freshness.immutable)
    }

    /// Whether the client takes a stale response at all: with max-age only if it says max-stale
    /// as well (§5.2.1.1), and never with min-fresh (§5.2.1.3).
    fn stale_is_enough(&self) -> bool {
        !self.no_cache
            && self.min_fresh.is_none()
            && (self.max_age.is_none() || self.max_stale.is_some())
    }
}
