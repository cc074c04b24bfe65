//! A client's own conditions, as a cache evaluates them (RFC 9110 §13, RFC 9111 §4.3.2).
//!
//! In: request fields and a stored response's validators. Out: whether the answer is the stored
//! response, a 304 or a 412; and whether a Range applies.
//! Always holds: If-Match rules If-Unmodified-Since out, and If-None-Match If-Modified-Since.
//!
//! RFC 9111 §4.3.2 leaves If-Match and If-Unmodified-Since to the origin server. This cache is a
//! gateway, which acts as one for its clients (RFC 9110 §3.7) and alone knows what they were
//! given: it evaluates them, so that a download that goes on never mixes two representations.

use http::{HeaderName, Method, StatusCode, header};

use super::etag::{ETag, Validators, any_in_list, date_of, trim};
use crate::fields::Fields;

/// What a client's conditions ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The answer as it would be without them.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// It is not what the client takes it for: 412.
    Failed,
}

/// Evaluates the conditions of a request against the stored response that would answer it
/// (RFC 9110 §13.2.2, steps 1 to 4).
#[must_use]
pub fn precondition(
    request_method: &Method,
    request_fields: &impl Fields,
    validators: &Validators,
    status_of_stored: StatusCode,
) -> Precondition {
    // RFC 9110 §13.2.1: conditions are ignored where the answer without them is no success.
    if !status_of_stored.is_success() {
        return Precondition::Proceed;
    }
    if request_fields.has(&header::IF_MATCH) {
        if !is_match(request_fields, validators.etag.as_ref()) {
            return Precondition::Failed;
        }
    } else if is_modified(request_fields, validators) {
        return Precondition::Failed;
    }
    let reads = matches!(*request_method, Method::GET | Method::HEAD);
    if request_fields.has(&header::IF_NONE_MATCH) {
        return match (matches_any(request_fields, validators.etag.as_ref()), reads) {
            (false, _) => Precondition::Proceed,
            (true, true) => Precondition::NotModified,
            (true, false) => Precondition::Failed,
        };
    }
    if reads && is_unmodified(request_fields, validators) {
        return Precondition::NotModified;
    }
    Precondition::Proceed
}

/// Whether a request's Range applies, by its If-Range (RFC 9110 §13.1.5).
#[must_use]
pub fn range_applies(request_fields: &impl Fields, validators: &Validators) -> bool {
    if !request_fields.has(&header::IF_RANGE) {
        return true;
    }
    let Some(value) = request_fields.only(&header::IF_RANGE) else { return false };
    if let Some(theirs) = ETag::parse(value) {
        return validators.etag.as_ref().is_some_and(|ours| ours.strong_eq(&theirs));
    }
    let date = date_of(value);
    date.is_some() && date == validators.last_modified && validators.last_modified_is_strong()
}

/// If-Match: whether it names the stored response, by strong comparison (RFC 9110 §13.1.1).
fn is_match(request_fields: &impl Fields, etag: Option<&ETag>) -> bool {
    is_any(request_fields, &header::IF_MATCH)
        || etag.is_some_and(|ours| {
            let mut lines = request_fields.lines(&header::IF_MATCH);
            lines.any(|line| any_in_list(line, |theirs| theirs.strong_eq(ours.as_ref())))
        })
}

/// If-None-Match: whether it names the stored response, by weak comparison (RFC 9110 §13.1.2).
fn matches_any(request_fields: &impl Fields, etag: Option<&ETag>) -> bool {
    is_any(request_fields, &header::IF_NONE_MATCH)
        || etag.is_some_and(|ours| {
            let mut lines = request_fields.lines(&header::IF_NONE_MATCH);
            lines.any(|line| any_in_list(line, |theirs| theirs.weak_eq(ours.as_ref())))
        })
}

/// Whether the field says `*`, which names whatever is there.
fn is_any(request_fields: &impl Fields, name: &HeaderName) -> bool {
    request_fields.only(name).is_some_and(|value| trim(value) == b"*")
}

/// If-Unmodified-Since: whether the stored response is newer (RFC 9110 §13.1.4); ignored without
/// Last-Modified.
fn is_modified(request_fields: &impl Fields, validators: &Validators) -> bool {
    let since = request_fields.only(&header::IF_UNMODIFIED_SINCE).and_then(date_of);
    match (since, validators.last_modified) {
        (Some(since), Some(modified)) => modified > since,
        _ => false,
    }
}

/// If-Modified-Since: whether the stored response is not newer (RFC 9110 §13.1.3); without
/// Last-Modified, its Date counts (RFC 9111 §4.3.2).
fn is_unmodified(request_fields: &impl Fields, validators: &Validators) -> bool {
    let since = request_fields.only(&header::IF_MODIFIED_SINCE).and_then(date_of);
    match (since, validators.last_modified.or(validators.date)) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}
