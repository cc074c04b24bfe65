//! The authoritative GeoDNS server: sockets, probes, reloads and counters around `geodns-core`.
//!
//! In: settings, the fleet and zones; queries. Out: the core's answers, byte for byte.
//! Always holds: every answer comes from `geodns_core::answer`, whatever carried the question; a
//! query is never delayed by a reload, a probe or an operator.
//! It deliberately does not know how an answer comes about.

pub mod admin;
pub mod alone;
mod beside;
pub mod clock;
mod connections;
mod doh;
mod doq;
pub mod geo;
mod given_up;
pub mod limits;
pub mod listen;
pub mod load;
pub mod plan;
pub mod probe;
pub mod record;
pub mod serials;
pub mod serve;
pub mod server;
mod spare;
pub mod state;
mod streams;
mod tcp;
pub mod tls;
pub mod udp;
pub mod workers;
