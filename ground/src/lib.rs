//! What both laws stand on: points in time, what checks of a target come to, weighted choice, and
//! which addresses are one, or public.
//!
//! In: values. Out: values. Always holds: same input, same output, on every node and in every build.
//! It deliberately knows no clock, socket, disk, environment, randomness, log or async; nor DNS, nor
//! HTTP: what is checked, and what follows from a state, is each law's own business.
#![warn(clippy::indexing_slicing, clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

pub mod fold;
pub mod machine;
pub mod moment;
pub mod networks;
pub mod rendezvous;
pub mod schedule;
pub mod state;
