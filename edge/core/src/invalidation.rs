//! Invalidation: what an unsafe request makes unusable.
//!
//! In: a method, a status, a target URI and the response's fields. Out: the targets and the groups
//! to invalidate. Always holds: nothing of another origin is ever invalidated (RFC 9111 §4.4, RFC
//! 9875 §2.1).
//! It deliberately does not know what is stored. RFC 9111 §4.4; RFC 9110 §9.2.1; RFC 9875 §3.

pub(crate) mod reference;
#[cfg(test)]
mod tests;

use http::{HeaderMap, Method, StatusCode, header};

use crate::{key::Scheme, purge};

/// What an answer to `method` invalidates: the target itself, and what Location and
/// Content-Location name on the same origin, each as path and query.
///
/// `target_uri` is the scheme, the authority and the path with its query.
#[must_use]
pub fn targets(
    method: &Method,
    status: StatusCode,
    target_uri: (Scheme, &str, &str),
    response_fields: &HeaderMap,
) -> Vec<String> {
    let is_error = !(status.is_success() || status.is_redirection());
    if is_error || is_safe(method) {
        return Vec::new();
    }
    let (scheme, authority, path) = target_uri;
    let mut targets = vec![path.to_owned()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let references = response_fields.get_all(name).iter().filter_map(|v| v.to_str().ok());
        for target in references.filter_map(|r| reference::resolve(r, scheme, authority, path)) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    targets
}

/// The groups of the target's origin that an answer to `method` invalidates, whatever its status:
/// the origin says so itself (RFC 9875 §3).
#[must_use]
pub fn groups(method: &Method, response_fields: &HeaderMap) -> Vec<Box<str>> {
    if is_safe(method) { Vec::new() } else { purge::invalidated_groups(response_fields) }
}

/// Whether a method is known to be safe: RFC 9110 §9.2.1, and the others that the IANA registry
/// of methods marks so. One that is not known counts as unsafe (RFC 9111 §4.4).
fn is_safe(method: &Method) -> bool {
    const REGISTERED: [&str; 4] = ["PROPFIND", "QUERY", "REPORT", "SEARCH"];
    method.is_safe() || REGISTERED.contains(&method.as_str())
}
