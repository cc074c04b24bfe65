//! How old a response is when it arrives (RFC 9111 §4.2.3).

use std::time::Duration;

use http::{HeaderMap, header};

use crate::{directives::delta_seconds, time::Timestamp};

/// The age at `response_time`: by the origin's Date, or by Age and the time that the response
/// took, whichever says older.
pub(super) fn corrected_initial_age(
    fields: &HeaderMap,
    request_time: Timestamp,
    response_time: Timestamp,
) -> Duration {
    // Date has whole seconds: the fraction of ours is no age.
    let apparent_age = date(fields)
        .map_or(Duration::ZERO, |date| Timestamp::from_secs(response_time.as_secs()).since(date));
    let response_delay = response_time.since(request_time);
    let corrected_age_value = age_value(fields).saturating_add(response_delay);
    apparent_age.max(corrected_age_value)
}

/// The Age field: its first member, nothing if that is no non-negative integer (RFC 9111 §5.1).
fn age_value(fields: &HeaderMap) -> Duration {
    let first_line = fields.get(header::AGE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let first_member = first_line.split(|byte| *byte == b',').next().unwrap_or_default();
    delta_seconds(first_member.trim_ascii()).unwrap_or_default()
}

/// The origin's Date. Of several the earliest that is a date, which makes the response oldest;
/// without any the response counts as made when it was received (RFC 9110 §6.6.1).
pub(crate) fn date(fields: &HeaderMap) -> Option<Timestamp> {
    let dates = fields.get_all(header::DATE).iter();
    dates.filter_map(|value| Timestamp::from_http_date(value.to_str().ok()?)).min()
}
