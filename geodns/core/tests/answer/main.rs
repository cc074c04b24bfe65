//! Answers as a whole, from the bytes of a query to those of its response.
//!
//! A file holds the clauses of one RFC, or one promise of ours. Each row cites its clause and says
//! the whole response, which hickory-proto reads, so that no mistake is made twice alike.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a table holds is known to be well-formed, and a test may fail"
)]

mod stage;

mod allocation;
mod building;
mod composition;
mod explaining;
mod limits;
mod options;
mod properties;
mod rfc1034;
mod rfc1035;
mod rfc2308;
mod rfc4592;
mod rfc6891;
mod rfc7871;
mod rfc7873;
mod rfc8482;
mod rfc9018;
mod rfc9460;
