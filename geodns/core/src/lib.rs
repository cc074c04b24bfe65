//! DNS law and geo law: what a query means, where its client is, and what it is answered.
//!
//! In: query bytes, zones, maps, health, `now` and a draw. Out: values and response bytes.
//! Always holds: same input, same output; nothing here panics on bytes from the network.
//! It deliberately knows no clock, socket, disk, environment, randomness, log or async.
//!
//! RFC 1034, 1035, 2181, 2308, 4592, 6891, 7871, 7873, 8482, 9018, 9460.
#![warn(clippy::indexing_slicing, clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

pub mod answer;
pub mod fleet;
pub mod health;
pub mod limit;
pub mod locate;
mod nets;
pub mod problem;
pub mod route;
pub mod serial;
pub mod settings;
pub mod standing;
pub mod wire;
pub mod zone;
pub mod zonefile;

// What this law shares with that of caching has its place here under the names of its rooms.
pub use ground::moment;
