//! Asking the origin whether what is stored still holds, and whom its 304 is about.
//!
//! In: a client's fields and the stored responses under its key. Out: conditions, and later the
//! stored responses that a 304 selects.
//! Always holds: another variant's weak tag or date is neither sent nor matched, for variants may
//! share those (RFC 9110 §8.8.1): a 304 for one must not bring the content of another.

use http::{HeaderMap, HeaderValue, header};

use super::etag::{ETag, Validators};
use crate::storable::StoredHead;

/// The conditions with which a request validates what is stored (RFC 9111 §4.3.1); nothing else
/// of the request's fields.
///
/// The tags are those of every whole response that the request selects and the strong ones of the
/// other variants. The date goes along when one response alone is validated. The client's own
/// tags stay out (a MAY in §4.3.2): what comes back then always serves us. A stored part is never
/// validated: its tag must not be sent unless the very range is asked for again (§4.3.2).
#[must_use]
pub fn conditional_forward(client_fields: &HeaderMap, stored: &[&StoredHead]) -> HeaderMap {
    let wholes = || stored.iter().filter(|head| head.range.is_none());
    let selected = || wholes().filter(|head| head.vary.matches(client_fields));
    let mut fields = HeaderMap::new();
    let any_selected_tag = selected().any(|head| head.validators.etag.is_some());
    let mut tags: Vec<&ETag> = Vec::new();
    // Where only dates select, another variant's tag would rule them out (RFC 9110 §13.1.3).
    if any_selected_tag || selected().next().is_none() {
        let usable = |head: &&&StoredHead| head.vary.matches(client_fields) || is_strong(head);
        for tag in wholes().filter(usable).filter_map(|head| head.validators.etag.as_ref()) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    if let Some(value) = tag_list(&tags) {
        fields.insert(header::IF_NONE_MATCH, value);
    }
    let mut selected = selected();
    if let (Some(only), None, ..=1) = (selected.next(), selected.next(), tags.len())
        && only.validators.last_modified.is_some()
        && let Some(date) = only.fields.get(header::LAST_MODIFIED)
    {
        fields.insert(header::IF_MODIFIED_SINCE, date.clone());
    }
    fields
}

fn is_strong(head: &StoredHead) -> bool {
    head.validators.etag.as_ref().is_some_and(|tag| !tag.is_weak())
}

fn tag_list(tags: &[&ETag]) -> Option<HeaderValue> {
    let mut line = Vec::new();
    for tag in tags {
        if !line.is_empty() {
            line.extend_from_slice(b", ");
        }
        tag.write(&mut line);
    }
    // Tags are read from field values, so they make one.
    if line.is_empty() { None } else { HeaderValue::from_bytes(&line).ok() }
}

/// The stored responses that a 304 updates, the most recent first (RFC 9111 §4.3.4).
///
/// Among those that the request selects, or anywhere for a strong tag, which names one variant
/// only. Where the 304 has no validator at all, the one selected response is meant if it has no
/// tag: §15.4.5 of RFC 9110 lets a 304 leave Last-Modified out, but not the tag.
#[must_use]
pub fn select_for_update(
    response_304: &HeaderMap,
    client_fields: &HeaderMap,
    stored: &[&StoredHead],
) -> Vec<usize> {
    let theirs = Validators::of(response_304);
    let mut all: Vec<(usize, &StoredHead)> = stored.iter().copied().enumerate().collect();
    all.sort_by_key(|(_, head)| {
        std::cmp::Reverse((head.validators.date, head.freshness.response_time))
    });
    let selected = || all.iter().filter(|(_, head)| head.vary.matches(client_fields));
    let ours = |head: &StoredHead| head.validators.etag.clone();
    let mut chosen: Vec<usize> = Vec::new();
    match (&theirs.etag, theirs.last_modified) {
        (Some(tag), _) if !tag.is_weak() => {
            let same = all.iter().filter(|(_, head)| ours(head).is_some_and(|o| o.strong_eq(tag)));
            chosen.extend(same.map(|(at, _)| *at));
        }
        (Some(tag), _) => {
            let same = selected().find(|(_, head)| ours(head).is_some_and(|o| o.weak_eq(tag)));
            chosen.extend(same.map(|(at, _)| *at));
        }
        (None, Some(date)) => {
            let same = || selected().filter(|(_, h)| h.validators.last_modified == Some(date));
            let strong = same().filter(|(_, head)| head.validators.last_modified_is_strong());
            chosen.extend(strong.map(|(at, _)| *at));
            if chosen.is_empty() {
                chosen.extend(same().next().map(|(at, _)| *at));
            }
        }
        (None, None) => {
            let mut selected = selected();
            if let (Some((at, head)), None) = (selected.next(), selected.next())
                && head.validators.etag.is_none()
            {
                chosen.push(*at);
            }
        }
    }
    chosen
}
