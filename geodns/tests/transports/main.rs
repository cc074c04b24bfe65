//! The server over real sockets, on loopback and on ports that the system chooses.
//!
//! In: a hand-built snapshot. Out: what real and hand-written clients see of it over UDP, TCP, TLS,
//! HTTPS and QUIC. Always holds: a wait has a deadline; nothing sleeps.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bytes;
mod clients;
mod ending;
mod limits;
mod metrics;
mod programs;
mod query;
mod stage;
mod streams;
