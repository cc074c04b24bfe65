//! The ledger of a fleet: what its nodes know together, and in which order it became so.
//!
//! In: documents and log entries that operators and nodes write. Out: the same to every node, in one
//! order; the routes of the admin listener that order them ([`api`]).
//! Always: what was acknowledged is on disk; a reader that was away learns whether it missed
//! something that is no longer there; every queue and value has a named limit.
//! It deliberately does not know what a purge does to an edge, nor any settings file.
//! Clause: docs/operate.md *The ledger*.

pub mod api;
pub mod applied;
pub mod awaited;
pub mod copy;
pub mod documents;
pub mod drain;
pub mod embedded;
pub mod familiar;
pub mod fleet;
mod keeper;
pub mod kept;
pub mod ledger;
pub mod nats;
pub mod node;
mod pace;
pub mod progress;
pub mod purge;
pub mod roster;
pub mod settings;
pub mod site;
pub mod token;
mod waiting;
