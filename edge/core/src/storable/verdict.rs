//! The decision whether a response may be stored (RFC 9111 §3), clause by clause.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{Exchange, StoredHead};
use crate::{
    directives::{RequestDirectives, ResponseDirectives},
    freshness::{self, Freshness, is_heuristically_cacheable},
    invalidation::reference::resolve,
    key::{NoVariant, Scheme, VaryKey},
    purge::Tags,
    range::ContentRange,
    reuse,
    validation::Validators,
};

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The site's rule forbids it.
    Bypass,
    /// The request's method does not allow it (RFC 9110 §9.2.3, §9.3.3).
    Method,
    /// The request's no-store.
    RequestNoStore,
    /// The request had Authorization, and the response does not say that it is for all (§3.5).
    Authorization,
    /// The status answers this request alone (304, 412, 416) or is not final.
    Status,
    /// A 206 that is not exactly one part of known position.
    Part,
    /// A 206 to a request with If-Range, which may leave out fields that its client has (RFC 9110
    /// §15.3.7): others lack them.
    IfRange,
    /// The response's no-store.
    NoStore,
    /// The response's private.
    Private,
    /// must-understand, with a status that is not understood.
    MustUnderstand,
    /// Vary that no request matches.
    Vary,
    /// The request's values of the fields that Vary nominates are too long to be kept.
    VaryBytes,
    /// Neither explicit freshness, nor public, nor a rule, nor a heuristically cacheable status.
    Unspecified,
    /// Set-Cookie, and the origin does not say explicitly that it is fresh for all.
    SetCookie,
    /// It could be neither reused nor validated.
    Useless,
}

impl NotStored {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::RequestNoStore => "request-no-store",
            Self::Authorization => "authorization",
            Self::Status => "status",
            Self::Part => "part",
            Self::IfRange => "if-range",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::MustUnderstand => "must-understand",
            Self::Vary => "vary",
            Self::VaryBytes => "vary-bytes",
            Self::Unspecified => "unspecified",
            Self::SetCookie => "set-cookie",
            Self::Useless => "useless",
        }
    }

    /// Whether the response was the cause: the next request for the same key will likely not be
    /// stored either. Else the request was, or what it asked for, or the rule.
    #[must_use]
    pub const fn of_response(self) -> bool {
        match self {
            Self::NoStore
            | Self::Private
            | Self::MustUnderstand
            | Self::Vary
            | Self::Unspecified
            | Self::SetCookie
            | Self::Useless => true,
            Self::Bypass
            | Self::Method
            | Self::RequestNoStore
            | Self::Authorization
            | Self::Status
            | Self::Part
            | Self::IfRange
            | Self::VaryBytes => false,
        }
    }
}

/// Whether an answer of this status says what the target resource is like. Else it speaks of this
/// request, whose client may have provoked it (400, 403, 405, 429, 431), or of the server's moment (5xx):
/// it is no word on what is stored for the key (RFC 9111 §4.3.3), nor on what the next one will get.
#[must_use]
pub fn is_of_resource(status: StatusCode) -> bool {
    const OF_RESOURCE: [StatusCode; 3] =
        [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS];
    status.is_success() || status.is_redirection() || OF_RESOURCE.contains(&status)
}

/// Whether the response may be stored: what is then stored, or why not.
///
/// # Errors
/// The first clause that forbids it; those about the request come first.
pub fn judge(exchange: &Exchange<'_>) -> Result<StoredHead, NotStored> {
    let directives =
        ResponseDirectives::parse(exchange.response_fields, &exchange.policy.targeted_fields);
    let freshness = freshness::compute(
        exchange.status,
        exchange.response_fields,
        &directives,
        exchange.policy,
        exchange.request_time,
        exchange.response_time,
    );
    check_request(exchange, &directives, &freshness)?;
    let range = check_status(exchange)?;
    check_directives(exchange.status, &directives)?;
    check_freshness(exchange.status, &directives, &freshness)?;
    let vary =
        VaryKey::of(exchange.response_fields, exchange.request_fields).map_err(
            |why| match why {
                NoVariant::Unmatched => NotStored::Vary,
                NoVariant::TooLong => NotStored::VaryBytes,
            },
        )?;
    let fields = fields_to_store(exchange, &directives);
    let fresh = freshness.is_fresh(exchange.response_time) && !freshness.no_cache;
    // A cookie is for one client unless the origin explicitly says that it is for all, for some
    // time: "0", "-1" and no-cache are explicit as well, and say the opposite (RFC 9111 §7.3).
    if fields.contains_key(header::SET_COOKIE) && !(fresh && freshness.source.is_explicit()) {
        return Err(NotStored::SetCookie);
    }
    let validators = Validators::of(&fields);
    if validators.is_empty() && !fresh && !reuse::may_be_stale(&freshness, exchange.policy) {
        return Err(NotStored::Useless);
    }
    let content_length = content_length(&fields);
    Ok(StoredHead {
        status: exchange.status,
        fields,
        freshness,
        vary,
        validators,
        range,
        content_length,
        stamp: 0,
        validated: 0,
        tags: Tags::default(),
    })
}

/// What the request and the rule say.
fn check_request(
    exchange: &Exchange<'_>,
    directives: &ResponseDirectives,
    freshness: &Freshness,
) -> Result<(), NotStored> {
    if !exchange.policy.cache {
        return Err(NotStored::Bypass);
    }
    match *exchange.method {
        Method::GET => {}
        Method::POST if post_answers_get(exchange, freshness) => {}
        // A response to HEAD lacks the content; it may freshen a stored one (§4.3.5).
        _ => return Err(NotStored::Method),
    }
    if RequestDirectives::parse(exchange.request_fields).no_store {
        return Err(NotStored::RequestNoStore);
    }
    // RFC 9111 §3.5.
    let for_all = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if exchange.request_fields.contains_key(header::AUTHORIZATION) && !for_all {
        return Err(NotStored::Authorization);
    }
    Ok(())
}

/// RFC 9110 §9.3.3: explicit freshness, and a Content-Location that is the target; §8.7 gives
/// that its meaning in a successful response only, and a part is not what a GET asks for.
fn post_answers_get(exchange: &Exchange<'_>, freshness: &Freshness) -> bool {
    let mut locations = exchange.response_fields.get_all(header::CONTENT_LOCATION).iter();
    let location = locations.next().and_then(|value| value.to_str().ok());
    freshness.source.is_explicit()
        && exchange.status.is_success()
        && exchange.status != StatusCode::PARTIAL_CONTENT
        && locations.next().is_none()
        && location.is_some_and(|location| is_target(location, exchange.target))
}

/// Whether a reference names the target itself (RFC 9110 §8.7).
fn is_target(reference: &str, target: &str) -> bool {
    let (scheme, rest) = match target.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return false,
    };
    let begin = rest.find('/').unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(begin) else { return false };
    resolve(reference, scheme, authority, path).is_some_and(|resolved| resolved == path)
}

/// The part that a 206 is; nothing for a whole response.
fn check_status(exchange: &Exchange<'_>) -> Result<Option<ContentRange>, NotStored> {
    match exchange.status {
        // They answer the conditions and ranges of this request, not the next one's.
        StatusCode::NOT_MODIFIED
        | StatusCode::PRECONDITION_FAILED
        | StatusCode::RANGE_NOT_SATISFIABLE => Err(NotStored::Status),
        status if status.is_informational() => Err(NotStored::Status),
        StatusCode::PARTIAL_CONTENT => {
            // multipart/byteranges has no Content-Range of its own (RFC 9110 §15.3.7.2).
            let mut values = exchange.response_fields.get_all(header::CONTENT_RANGE).iter();
            let part = values.next().and_then(ContentRange::parse);
            match (part, values.next()) {
                _ if exchange.request_fields.contains_key(header::IF_RANGE) => {
                    Err(NotStored::IfRange)
                }
                (Some(part), None) => Ok(Some(part)),
                _ => Err(NotStored::Part),
            }
        }
        _ => Ok(None),
    }
}

fn check_directives(status: StatusCode, directives: &ResponseDirectives) -> Result<(), NotStored> {
    if directives.must_understand {
        // no-store is then there for caches that do not know must-understand (§5.2.2.3).
        if !is_understood(status) {
            return Err(NotStored::MustUnderstand);
        }
    } else if directives.no_store {
        return Err(NotStored::NoStore);
    }
    if directives.private.is_whole() {
        return Err(NotStored::Private);
    }
    Ok(())
}

/// The last clause of RFC 9111 §3, and the rule's word as its own kind of explicit freshness.
fn check_freshness(
    status: StatusCode,
    directives: &ResponseDirectives,
    freshness: &Freshness,
) -> Result<(), NotStored> {
    let assigned = freshness.source != freshness::LifetimeSource::None;
    if assigned || directives.public || is_heuristically_cacheable(status) {
        Ok(())
    } else {
        Err(NotStored::Unspecified)
    }
}

/// The final statuses of RFC 9110 §15 whose caching requirements this cache conforms to.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=206 | 300..=303 | 307 | 308 | 400..=411 | 413..=415 | 417 | 421 | 422 | 426
            | 500..=505
    )
}

/// What is kept of the fields (RFC 9111 §3.1): not those limited to one user or to one response,
/// nor Age, which is told anew each time; and a Date in any case (RFC 9110 §6.6.1).
fn fields_to_store(exchange: &Exchange<'_>, directives: &ResponseDirectives) -> HeaderMap {
    let mut fields = exchange.response_fields.clone();
    for name in directives.no_cache.fields().iter().chain(directives.private.fields()) {
        fields.remove(name);
    }
    fields.remove(header::AGE);
    if exchange.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: an origin that says one must not have.
        fields.remove(header::CONTENT_LENGTH);
    }
    let date = freshness::date(&fields);
    if date.is_none() || fields.get_all(header::DATE).iter().nth(1).is_some() {
        let text = date.unwrap_or(exchange.response_time).to_http_date();
        if let Ok(value) = HeaderValue::try_from(text) {
            fields.insert(header::DATE, value);
        }
    }
    fields
}

/// Content-Length when there is exactly one and it is a number.
fn content_length(fields: &HeaderMap) -> Option<u64> {
    let mut values = fields.get_all(header::CONTENT_LENGTH).iter();
    let text = values.next()?.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && values.next().is_none();
    if digits { text.parse().ok() } else { None }
}
