//! Invalidation: what an unsafe request makes unusable, and the memory of it.
//!
//! In: a method, a status, a target URI and the response's fields; later, keys and stamps. Out:
//! the targets to invalidate, and whether something stored at a stamp is dead.
//! Always holds: nothing of another origin is ever invalidated (RFC 9111 §4.4); a full
//! [`StampMap`] declares too much dead, never too little.
//! It deliberately does not know what is stored. RFC 9111 §4.4; RFC 9110 §9.2.1.

pub(crate) mod reference;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use http::{HeaderMap, Method, StatusCode, header};

use crate::key::Scheme;

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

/// Whether a method is known to be safe: RFC 9110 §9.2.1, and the others that the IANA registry
/// of methods marks so. One that is not known counts as unsafe (RFC 9111 §4.4).
fn is_safe(method: &Method) -> bool {
    const REGISTERED: [&str; 4] = ["PROPFIND", "QUERY", "REPORT", "SEARCH"];
    method.is_safe() || REGISTERED.contains(&method.as_str())
}

/// The latest stamp at which each selector was invalidated, for a bounded number of them.
///
/// A response that carries a stamp up to and including its selector's is dead.
#[derive(Debug)]
pub struct StampMap {
    stamps: HashMap<Box<[u8]>, u64>,
    entries_max: usize,
    floor: u64,
    latest: u64,
}

impl StampMap {
    /// Nothing invalidated; room for `entries_max` selectors, at least one.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { stamps: HashMap::new(), entries_max: entries_max.max(1), floor: 0, latest: 0 }
    }

    /// Declares dead what is stored under `selector` up to `stamp`.
    pub fn insert(&mut self, selector: &[u8], stamp: u64) {
        self.latest = self.latest.max(stamp);
        if let Some(known) = self.stamps.get_mut(selector) {
            *known = stamp.max(*known);
            return;
        }
        if self.stamps.len() >= self.entries_max {
            self.raise_floor();
        }
        self.stamps.insert(selector.into(), stamp);
    }

    /// Whether what is stored under `selector` at `stamp` has been invalidated since.
    #[must_use]
    pub fn is_dead(&self, selector: &[u8], stamp: u64) -> bool {
        stamp <= self.floor || self.stamps.get(selector).is_some_and(|dead| stamp <= *dead)
    }

    /// The same for something that every invalidation of `selector` has removed from where it is
    /// stored: then what has been forgotten since says nothing of what is still there.
    #[must_use]
    pub fn names_dead(&self, selector: &[u8], stamp: u64) -> bool {
        self.stamps.get(selector).is_some_and(|dead| stamp <= *dead)
    }

    /// Everything up to this stamp counts as dead.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// From now on there is room for `entries_max` selectors, at least one.
    pub fn resize(&mut self, entries_max: usize) {
        self.entries_max = entries_max.max(1);
    }

    /// The latest stamp of all: anything later is alive, without a look-up.
    #[must_use]
    pub const fn latest(&self) -> u64 {
        self.latest
    }

    /// Forgets the older half, and declares everything up to it dead in return.
    fn raise_floor(&mut self) {
        let mut stamps: Vec<u64> = self.stamps.values().copied().collect();
        let (_, median, _) = {
            let middle = stamps.len() / 2;
            stamps.select_nth_unstable(middle)
        };
        self.floor = self.floor.max(*median);
        let floor = self.floor;
        self.stamps.retain(|_, stamp| *stamp > floor);
    }
}
