//! The final head for a client, out of a stored head.
//!
//! In: a request, a stored head, and `now`. Out: which answer it is ([`Answer`]) and its status
//! and fields. Always holds: every answer with stored content says its Age (RFC 9111 §5.1); a part
//! says which one it is; a 304 carries only what updates the client's own copy (RFC 9110 §15.4.5).
//! It deliberately does not know whether the stored response may be used: that is
//! [`crate::reuse`]'s to say, and for a stored part [`crate::range::covers`]'s.
//!
//! Hot path: [`decide`] allocates nothing without several ranges; [`head`] of a whole response
//! makes one copy of the fields with room for what is added, and nothing else.

#[cfg(test)]
mod tests;

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::{
    fields::Fields,
    range::{self, ContentRange, Ranges, Span},
    storable::StoredHead,
    time::Timestamp,
    validation::{self, Precondition},
};

/// What a stored response is answered as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As it is stored, with all its content.
    Whole,
    /// 304: the client has it already.
    NotModified,
    /// 412: a condition is false.
    PreconditionFailed,
    /// 206: one part of it.
    Part(Span),
    /// 206: several parts of it, in this order.
    Parts(Vec<Span>),
    /// 416: no part of it was asked for.
    NotSatisfiable,
}

/// How a stored response answers a request: first the conditions, then the Range
/// (RFC 9110 §13.2.2). A Range is ignored while the complete length is not known.
#[must_use]
pub fn decide(
    method: &Method,
    request_fields: &impl Fields,
    stored: &StoredHead,
    complete_length: Option<u64>,
    ranges_max: u32,
) -> Answer {
    match validation::precondition(method, request_fields, &stored.validators, stored.status) {
        Precondition::NotModified => return Answer::NotModified,
        Precondition::Failed => return Answer::PreconditionFailed,
        Precondition::Proceed => {}
    }
    // RFC 9110 §14.2: only for GET, and only where the answer would else be a 200.
    if *method != Method::GET || stored.status != StatusCode::OK {
        return Answer::Whole;
    }
    let (Some(wanted), Some(length)) = (range::of(request_fields), complete_length) else {
        return Answer::Whole;
    };
    if !validation::range_applies(request_fields, &stored.validators) {
        return Answer::Whole;
    }
    match range::resolve(Some(wanted), length, ranges_max) {
        Ranges::Whole => Answer::Whole,
        Ranges::Unsatisfiable => Answer::NotSatisfiable,
        Ranges::One(span) => Answer::Part(span),
        Ranges::Many(spans) => Answer::Parts(spans),
    }
}

/// Room for what is added to a stored response's fields: Age, Cache-Status, and two more.
const FIELDS_ADDED: usize = 4;

/// Status and fields of an answer.
///
/// A multipart answer still has the stored Content-Type; [`range::Multipart::describe`] makes it
/// its own.
#[must_use]
pub fn head(
    stored: &StoredHead,
    answer: &Answer,
    now: Timestamp,
    method: &Method,
) -> (StatusCode, HeaderMap) {
    let age = age_value(stored.freshness.current_age(now));
    let mut fields = match answer {
        Answer::Whole | Answer::Part(_) | Answer::Parts(_) => copy(&stored.fields, |_| true),
        Answer::NotModified => {
            let has_etag = stored.fields.contains_key(header::ETAG);
            copy(&stored.fields, |name| updates_a_copy(name, has_etag))
        }
        Answer::PreconditionFailed => return (StatusCode::PRECONDITION_FAILED, empty(now)),
        Answer::NotSatisfiable => {
            let mut fields = empty(now);
            fields.insert(header::CONTENT_RANGE, unsatisfied(stored.content_length));
            return (StatusCode::RANGE_NOT_SATISFIABLE, fields);
        }
    };
    fields.insert(header::AGE, age);
    let status = match answer {
        Answer::Part(span) => {
            let complete = stored.content_length;
            let part = ContentRange { first: span.first, last: span.last, complete };
            fields.insert(header::CONTENT_RANGE, part.to_value());
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(span.length()));
            StatusCode::PARTIAL_CONTENT
        }
        Answer::Parts(_) => {
            fields.remove(header::CONTENT_LENGTH);
            StatusCode::PARTIAL_CONTENT
        }
        Answer::NotModified => StatusCode::NOT_MODIFIED,
        Answer::Whole | Answer::PreconditionFailed | Answer::NotSatisfiable => {
            // Where content follows, its framing says its length; a HEAD has only the field, but
            // not a 204 (RFC 9110 §8.6).
            if let (&Method::HEAD, Some(length)) = (method, stored.content_length)
                && stored.status != StatusCode::NO_CONTENT
            {
                fields.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
            }
            stored.status
        }
    };
    (status, fields)
}

/// The same for an answer that the origin gave or validated for this very request: an Age of zero
/// would deny that (RFC 9111 §5.1).
#[must_use]
pub fn head_from_origin(
    stored: &StoredHead,
    answer: &Answer,
    now: Timestamp,
    method: &Method,
) -> (StatusCode, HeaderMap) {
    let (status, mut fields) = head(stored, answer, now, method);
    if stored.freshness.current_age(now) < Duration::from_secs(1) {
        fields.remove(header::AGE);
    }
    (status, fields)
}

/// A copy of those fields whose name is `kept`, in their order, with room for more.
///
/// `HeaderMap::clone` leaves no room: the first field added would move all of them.
fn copy(stored: &HeaderMap, kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(stored.keys_len().saturating_add(FIELDS_ADDED));
    for (name, value) in stored {
        if kept(name) {
            fields.append(name, value.clone());
        }
    }
    fields
}

/// The fields that a 304 repeats (RFC 9110 §15.4.5): Last-Modified only where there is no ETag;
/// Via and Cache-Status, which are about the message.
fn updates_a_copy(name: &HeaderName, has_etag: bool) -> bool {
    const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
    const REPEATED: [HeaderName; 8] = [
        header::CACHE_CONTROL,
        header::CONTENT_LOCATION,
        header::DATE,
        header::ETAG,
        header::EXPIRES,
        header::VARY,
        header::VIA,
        CACHE_STATUS,
    ];
    REPEATED.contains(name) || (*name == header::LAST_MODIFIED && !has_etag)
}

/// The fields of an answer of our own making.
fn empty(now: Timestamp) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(FIELDS_ADDED);
    if let Ok(date) = HeaderValue::try_from(now.to_http_date()) {
        fields.insert(header::DATE, date);
    }
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    fields
}

/// Content-Range of a 416 (RFC 9110 §14.4).
fn unsatisfied(complete: Option<u64>) -> HeaderValue {
    complete
        .and_then(|length| HeaderValue::try_from(format!("bytes */{length}")).ok())
        .unwrap_or_else(|| HeaderValue::from_static("bytes */*"))
}

/// Ages below this many seconds take no allocation.
const AGES_AT_HAND: usize = 10_000;

/// The decimal digits of the ages at hand, four each.
static AGES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..AGES_AT_HAND).flat_map(|seconds| format!("{seconds:04}").into_bytes()).collect()
});

/// The largest age that every recipient can hold (RFC 9111 §1.2.2).
const AGE_MAX: u64 = 2_147_483_648;

/// The value of Age: whole seconds (RFC 9111 §5.1).
#[must_use]
pub fn age_value(age: Duration) -> HeaderValue {
    let seconds = age.as_secs().min(AGE_MAX);
    at_hand(seconds).unwrap_or_else(|| HeaderValue::from(seconds))
}

fn at_hand(seconds: u64) -> Option<HeaderValue> {
    let leading_zeros = match seconds {
        0..10 => 3,
        10..100 => 2,
        100..1000 => 1,
        _ => 0,
    };
    let start = usize::try_from(seconds).ok()?.checked_mul(4)?;
    let digits: &'static [u8] = AGES.get(start..start.checked_add(4)?)?.get(leading_zeros..)?;
    HeaderValue::from_maybe_shared(Bytes::from_static(digits)).ok()
}
