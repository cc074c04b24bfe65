//! Validators, preconditions, and what a validation does to a stored response.
//!
//! In: request fields, stored heads, and the head of a 304 or of a HEAD response. Out: whether a
//! client's condition holds, the fields of a validating request, which stored responses a 304 is
//! about, and those responses as updated.
//! Always holds: a malformed condition never yields a 304, and a response is updated only when
//! its validators say that it is the same representation.
//! It deliberately does not know freshness (see [`crate::freshness`]) nor who stores what.
//!
//! RFC 9110 §8.8, §13; RFC 9111 §3.2, §4.3.

mod ask;
mod etag;
mod freshen;
mod precondition;
#[cfg(test)]
mod tests;

pub use self::{
    ask::{conditional_forward, select_for_update},
    etag::{ETag, Validators},
    freshen::{HeadFreshen, Withdrawn, freshen, freshen_by_head, says_the_same},
    precondition::{Precondition, precondition, range_applies},
};
