//! Selecting among the variants that are stored under a key (RFC 9111 §4.1).

use http::{Method, header};

use super::RequestView;
use crate::{fields::Fields, range, storable::StoredHead, time::Timestamp, validation};

/// What is stored for a request.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Nothing under this key.
    None,
    /// Variants, but none for this request.
    VaryMiss,
    /// The one to use.
    Found(&'a StoredHead),
}

/// Selects the newest variant that matches, by Date, then by when it was received. A part gives
/// way to any response that holds what the request asks for.
pub fn select<'a, I, F>(variants: I, request_fields: &F) -> Selection<'a>
where
    I: Iterator<Item = &'a StoredHead>,
    F: Fields,
{
    let mut selection = Selection::None;
    for stored in variants {
        selection = match selection {
            unmatched if !stored.vary.matches(request_fields) => match unmatched {
                Selection::None | Selection::VaryMiss => Selection::VaryMiss,
                Selection::Found(_) => unmatched,
            },
            Selection::Found(best)
                if rank(best, request_fields) >= rank(stored, request_fields) =>
            {
                selection
            }
            Selection::None | Selection::VaryMiss | Selection::Found(_) => Selection::Found(stored),
        };
    }
    selection
}

/// What makes one matching variant preferable to another, in order.
fn rank(stored: &StoredHead, request_fields: &impl Fields) -> (bool, Option<Timestamp>, Timestamp) {
    (holds_for(stored, request_fields), stored.validators.date, stored.freshness.response_time)
}

/// Whether `stored` holds what the request asks for: all whole responses do, a part only for a
/// GET with a range within it.
pub(super) fn holds<F: Fields>(stored: &StoredHead, request: &RequestView<'_, F>) -> bool {
    match *request.method {
        Method::GET => holds_for(stored, request.fields),
        // Range is defined for GET alone (RFC 9110 §14.2).
        _ => stored.range.is_none(),
    }
}

fn holds_for(stored: &StoredHead, request_fields: &impl Fields) -> bool {
    let Some(part) = &stored.range else { return true };
    let Some(wanted) = request_fields.lines(&header::RANGE).next() else { return false };
    range::covers(part, wanted).is_some()
        && validation::range_applies(request_fields, &stored.validators)
}
