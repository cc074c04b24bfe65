//! The DNS message as bytes: what a query says, and what a response looks like.
//!
//! In: datagrams, and parts of an answer. Out: values that borrow from the datagram, and bytes in
//! the caller's buffer. Always holds: reading and writing on the query path allocates nothing
//! (`tests/answer/allocation.rs`), loops are bounded by the message, and no input panics.
//! It deliberately does not know zones, routes, clocks or sockets.
//!
//! RFC 1035 §4, RFC 6891, and the RFCs that the rooms name.

pub mod chaos;
pub mod cookie;
pub(crate) mod cursor;
#[cfg(test)]
pub(crate) mod dump;
pub mod ecs;
pub mod edns;
pub mod header;
pub mod kind;
pub mod name;
pub mod query;
pub mod response;
pub mod rrset;
pub mod text;
