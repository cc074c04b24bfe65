//! Storability: whether a response may be stored, and what is then kept of it.
//!
//! In: an [`Exchange`], the request that was forwarded and the head that came back.
//! Out: a [`StoredHead`] ready to be sent, or the reason why not ([`NotStored`]).
//! Always holds: what is stored may be reused or validated some day; a 206 is stored only as the
//! part that it is; fields that may not be reused are not in a stored head.
//! It deliberately does not know content, keys or room in a store.
//!
//! RFC 9111 §3; RFC 9110 §9.3.3, §15.

#[cfg(test)]
mod tests;
mod verdict;

pub use self::verdict::{NotStored, is_of_resource, judge};

use http::{HeaderMap, Method, StatusCode};

use crate::{
    freshness::Freshness, key::VaryKey, purge::Tags, range::ContentRange, site::Policy,
    time::Timestamp, validation::Validators,
};

/// A request as it was forwarded, and the head of its response.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The target URI in absolute form: `https://host/path?query`.
    /// The target URI in absolute form: `https://host/path?query`.
    pub target: &'a str,
    /// The client's request fields (Vary speaks of them).
    pub request_fields: &'a HeaderMap,
    /// The response's status.
    pub status: StatusCode,
    /// The response's end-to-end fields.
    pub response_fields: &'a HeaderMap,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head was received.
    pub response_time: Timestamp,
    /// The rule that applies.
    pub policy: &'a Policy,
}

/// The head of a stored response.
#[derive(Clone, Debug)]
pub struct StoredHead {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields, ready to be sent: without Age, with a Date, without the fields that
    /// a qualified no-cache or private names.
    pub fields: HeaderMap,
    /// How long it is fresh.
    pub freshness: Freshness,
    /// The requests that it answers.
    pub vary: VaryKey,
    /// Its validators.
    pub validators: Validators,
    /// Which part of the representation it is, for a 206.
    pub range: Option<ContentRange>,
    /// The content's length as the origin announced it.
    pub content_length: Option<u64>,
    /// The node's stamp when its fetch began; set by the edge.
    pub stamp: u64,
    /// The same when its last validation began, else that of its fetch; set by the edge.
    pub validated: u64,
    /// Its tags; set by the edge.
    pub tags: Tags,
}
