//! The harness that plays scenarios against an edge.
//!
//! In: `.scn` pages (`tests/scenarios`), an edge in one of two theatres. Out: agreement, or the line
//! that failed.
//! Always holds: what a client read and what the origin received is kept as it came, by code that
//! the edge does not share.
//! It deliberately does not know how the edge works inside.
//! Clause: CONTRIBUTING.md *Tests*.

pub mod cache_status;
pub mod client;
pub mod judge;
pub mod message;
pub mod play;
pub mod real;
pub mod scenario;
pub mod theatre;
pub mod world;
