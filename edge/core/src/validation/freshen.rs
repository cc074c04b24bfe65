//! A stored response with the fields of a newer answer about it (RFC 9111 §3.2).
//!
//! In: a stored head and the head of a 304 or of a HEAD response. Out: the head as updated, or
//! why the stored response must go.
//! Always holds: the newer head is judged as any response is before it is stored, so a no-store
//! or private that comes with a 304 is obeyed; what describes the stored bytes stays what it was; a
//! cookie that comes with the newer head is kept only if that head itself says that it is for all.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{ask::select_for_update, etag::Validators};
use crate::{
    directives::ResponseDirectives,
    forward, freshness,
    site::Policy,
    storable::{self, Exchange, NotStored, StoredHead},
    time::Timestamp,
};

/// What the answer to a HEAD does to a stored GET response (RFC 9111 §4.3.4, §4.3.5).
#[derive(Clone, Debug)]
pub enum HeadFreshen {
    /// It is about the same representation: this takes the stored head's place.
    Update(Box<StoredHead>),
    /// It is about another one, or may not be stored: the stored response is stale from now on.
    Invalidate,
    /// It says nothing about the stored response.
    Ignore,
}

/// A stored response that was validated but may not be stored as it now is.
#[derive(Clone, Debug)]
pub struct Withdrawn {
    /// Its updated head, with which it answers the request that validated it, and no other.
    pub head: Box<StoredHead>,
    /// Why; if not because of the response, the stored one stays as it was.
    pub why: NotStored,
}

/// `stored` with the fields of a 304; `times` are those of the request and of the response.
///
/// # Errors
/// Where the response may not be stored any longer, or not on this request's account.
pub fn freshen(
    stored: &StoredHead,
    response_fields_304: &HeaderMap,
    times: (Timestamp, Timestamp),
    request_fields: &HeaderMap,
    policy: &Policy,
) -> Result<StoredHead, Withdrawn> {
    let (request_time, response_time) = times;
    let fields = updated(&stored.fields, response_fields_304, response_time);
    let own_cookie = response_fields_304.contains_key(header::SET_COOKIE)
        && !is_for_all(stored.status, response_fields_304, times, policy);
    let shared = own_cookie.then(|| with_cookies_of(&fields, stored));
    let judged = storable::judge(&Exchange {
        // The stored response answers GET, whatever it was an answer to.
        method: &Method::GET,
        target: "",
        request_fields,
        status: stored.status,
        response_fields: shared.as_ref().unwrap_or(&fields),
        request_time,
        response_time,
        policy,
    });
    match judged {
        Ok(head) => Ok(StoredHead {
            content_length: stored.content_length,
            stamp: stored.stamp,
            validated: stored.validated,
            tags: stored.tags.clone(),
            ..head
        }),
        Err(why) => {
            let directives = ResponseDirectives::parse(&fields, &policy.targeted_fields);
            let freshness = freshness::compute(
                stored.status,
                &fields,
                &directives,
                policy,
                request_time,
                response_time,
            );
            let mut head =
                StoredHead { freshness, validators: Validators::of(&fields), ..stored.clone() };
            head.fields = fields;
            head.fields.remove(header::AGE);
            Err(Withdrawn { head: Box::new(head), why })
        }
    }
}

/// Whether the newer head by itself is explicitly fresh. The lifetime that was stored with the older
/// one speaks of the cookies that came with it, not of these (RFC 9111 §7.3).
fn is_for_all(
    status: StatusCode,
    fields: &HeaderMap,
    (request_time, response_time): (Timestamp, Timestamp),
    policy: &Policy,
) -> bool {
    let directives = ResponseDirectives::parse(fields, &policy.targeted_fields);
    let freshness =
        freshness::compute(status, fields, &directives, policy, request_time, response_time);
    freshness.source.is_explicit() && !freshness.no_cache && freshness.is_fresh(response_time)
}

/// `fields` with the cookies of `stored` in place of their own.
fn with_cookies_of(fields: &HeaderMap, stored: &StoredHead) -> HeaderMap {
    let mut fields = fields.clone();
    fields.remove(header::SET_COOKIE);
    for cookie in stored.fields.get_all(header::SET_COOKIE) {
        fields.append(header::SET_COOKIE, cookie.clone());
    }
    fields
}

/// What the answer to a HEAD for the same key means for `stored` (RFC 9111 §4.3.5).
#[must_use]
pub fn freshen_by_head(
    stored: &StoredHead,
    head_response: (StatusCode, &HeaderMap),
    times: (Timestamp, Timestamp),
    request_fields: &HeaderMap,
    policy: &Policy,
) -> HeadFreshen {
    let (status, fields) = head_response;
    match status {
        StatusCode::OK if is_same(stored, fields) => {}
        StatusCode::OK => return HeadFreshen::Invalidate,
        // It answers conditions that may be the client's own: only a validator says about what.
        StatusCode::NOT_MODIFIED
            if !Validators::of(fields).is_empty()
                && !select_for_update(fields, request_fields, &[stored]).is_empty() => {}
        _ => return HeadFreshen::Ignore,
    }
    match freshen(stored, fields, times, request_fields, policy) {
        Ok(head) => HeadFreshen::Update(Box::new(head)),
        Err(withdrawn) if withdrawn.why.of_response() => HeadFreshen::Invalidate,
        Err(_) => HeadFreshen::Ignore,
    }
}

/// Whether the answer to a HEAD says what the stored response says: then it is no sign that this is
/// out of date, whatever its status.
#[must_use]
pub fn says_the_same(stored: &StoredHead, (status, fields): (StatusCode, &HeaderMap)) -> bool {
    let same_place = fields.get(header::LOCATION) == stored.fields.get(header::LOCATION);
    status == stored.status && same_place && has_same_validators(stored, fields)
}

/// Whether a 200 to HEAD has the validators and the length of the stored response, as far as it
/// has any. A stored error is another representation than a success.
fn is_same(stored: &StoredHead, fields: &HeaderMap) -> bool {
    let success = matches!(stored.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    success && has_same_validators(stored, fields)
}

fn has_same_validators(stored: &StoredHead, fields: &HeaderMap) -> bool {
    let theirs = Validators::of(fields);
    let length = match stored.range {
        None => stored.content_length,
        Some(part) => part.complete,
    };
    let same_etag = !fields.contains_key(header::ETAG)
        || (theirs.etag.is_some() && theirs.etag == stored.validators.etag);
    let same_date = !fields.contains_key(header::LAST_MODIFIED)
        || (theirs.last_modified.is_some()
            && theirs.last_modified == stored.validators.last_modified);
    let same_length = fields.get_all(header::CONTENT_LENGTH).iter().all(|value| {
        length.is_some_and(|length| value.as_bytes() == length.to_string().as_bytes())
    });
    same_etag && same_date && same_length
}

/// Every field that the newer head has replaces the stored one of its name (RFC 9111 §3.2).
fn updated(stored: &HeaderMap, newer: &HeaderMap, response_time: Timestamp) -> HeaderMap {
    let newer = forward::end_to_end(newer);
    let mut fields = stored.clone();
    for name in newer.keys().filter(|name| !is_excepted(name)) {
        fields.remove(name);
        for value in newer.get_all(name) {
            fields.append(name, value.clone());
        }
    }
    // RFC 9110 §6.6.1: a message without Date was made when it was received, not when the stored
    // one was.
    if !newer.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::try_from(response_time.to_http_date())
    {
        fields.insert(header::DATE, date);
    }
    fields
}

/// RFC 9111 §3.2: Content-Length, and what the stored bytes depend upon to be read rightly.
fn is_excepted(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE].contains(name)
}
