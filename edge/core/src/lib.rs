//! The caching law: what HTTP says about storing, reusing, validating and answering; and whom of an
//! origin's servers to ask.
//!
//! In: request and response heads, settings, and `now`. Out: values that say what to do.
//! Always holds: same input, same output; nothing here panics on bytes from the network.
//! It deliberately knows no clock, socket, disk, environment, randomness, log or async: those
//! live in the `edge` crate, whose hallway (`serve`) calls these rooms in order.
//!
//! RFC 9110 (semantics), RFC 9111 (caching), RFC 5861, 8246, 8586, 9211, 9213 and 9875.
#![warn(clippy::indexing_slicing, clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

pub mod balance;
pub mod concurrency;
pub mod directives;
pub mod ejection;
pub mod fields;
pub mod forward;
pub mod freshness;
pub mod invalidation;
pub mod key;
pub mod outcome;
pub mod purge;
pub mod range;
pub mod respond;
pub mod reuse;
pub mod settings;
pub mod site;
pub mod stamps;
pub mod storable;
pub mod time;
pub mod validation;
