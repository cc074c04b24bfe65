//! How long a response is fresh (RFC 9111 §4.2.1, §4.2.2).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::{LifetimeSource, date};
use crate::{directives::ResponseDirectives, site::Policy, time::Timestamp};

/// The freshness lifetime and where it comes from: what the origin says, else what the rule says,
/// else a heuristic; within the rule's bounds.
///
/// A rule's `default_ttl` and `min_ttl` are about answers that everybody gets alike: an error or a
/// redirect to a login is raised to neither, for whoever provoked it would have it told to all.
pub(super) fn lifetime(
    status: StatusCode,
    fields: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &Policy,
    response_time: Timestamp,
) -> (Duration, LifetimeSource) {
    let explicit = explicit(fields, directives, response_time);
    // `public` makes any final status heuristically cacheable (RFC 9111 §4.2.2).
    let may_assign = is_heuristically_cacheable(status) || directives.public;
    let may_raise = is_for_rules(status);
    let assigned = || {
        if let Some((_, ttl)) = policy.negative_ttl.iter().find(|(of, _)| *of == status) {
            return Some((*ttl, LifetimeSource::Rule));
        }
        if !may_assign {
            return None;
        }
        match policy.default_ttl.filter(|_| may_raise) {
            Some(ttl) => Some((ttl, LifetimeSource::Rule)),
            None => heuristic(fields, policy, response_time),
        }
    };
    let found = explicit.or_else(assigned);
    match (found, policy.min_ttl.filter(|_| may_raise)) {
        // What the rule has raised is the rule's word, no longer the origin's.
        (Some((lifetime, _)), Some(min_ttl)) if lifetime < min_ttl => {
            (bounded(min_ttl, policy), LifetimeSource::Rule)
        }
        (Some((lifetime, source)), _) => (bounded(lifetime, policy), source),
        (None, Some(min_ttl)) => (bounded(min_ttl, policy), LifetimeSource::Rule),
        (None, None) => (Duration::ZERO, LifetimeSource::None),
    }
}

/// The statuses that a rule's `default_ttl` and `min_ttl` apply to: those of RFC 9110 §15.1 that are
/// no errors.
const fn is_for_rules(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308)
}

/// The statuses of RFC 9110 §15.1 that may be stored without the origin's explicit word.
pub(crate) const fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The origin's word, in the order of RFC 9111 §4.2.1 for a shared cache.
fn explicit(
    fields: &HeaderMap,
    directives: &ResponseDirectives,
    response_time: Timestamp,
) -> Option<(Duration, LifetimeSource)> {
    let source = |of| if directives.targeted { LifetimeSource::Targeted } else { of };
    if let Some(s_maxage) = directives.s_maxage {
        return Some((s_maxage, source(LifetimeSource::SMaxage)));
    }
    if let Some(max_age) = directives.max_age {
        return Some((max_age, source(LifetimeSource::MaxAge)));
    }
    // A targeted field silences Expires (RFC 9213 §2.2).
    if directives.targeted {
        return None;
    }
    let mut values = fields.get_all(header::EXPIRES).iter();
    let first = values.next()?;
    let expires = match values.next() {
        None => first.to_str().ok().and_then(Timestamp::from_http_date),
        // Several are not to be relied upon (§4.2.1), even if they say the same.
        Some(_) => None,
    };
    // What is no date, "0" above all, lies in the past (§5.3).
    let lifetime = expires.map(|expires| expires.since(date(fields).unwrap_or(response_time)));
    Some((lifetime.unwrap_or_default(), LifetimeSource::Expires))
}

/// A share of the time since Last-Modified, capped (§4.2.2). A query in the target does not
/// forbid it: RFC 2616 §13.9 did, RFC 9111 does not.
fn heuristic(
    fields: &HeaderMap,
    policy: &Policy,
    response_time: Timestamp,
) -> Option<(Duration, LifetimeSource)> {
    if policy.heuristic_percent == 0 {
        return None;
    }
    let last_modified = fields.get(header::LAST_MODIFIED)?.to_str().ok()?;
    let last_modified = Timestamp::from_http_date(last_modified)?;
    let unchanged = date(fields).unwrap_or(response_time).since(last_modified);
    let share = unchanged.saturating_mul(policy.heuristic_percent).checked_div(100)?;
    Some((share.min(policy.heuristic_max), LifetimeSource::Heuristic))
}

fn bounded(lifetime: Duration, policy: &Policy) -> Duration {
    policy.max_ttl.map_or(lifetime, |max_ttl| lifetime.min(max_ttl))
}
