//! Health: what probes come to, per address and port, and per PoP.
//!
//! In: results of probes, an operator's drains and forces, reports of load, and `now`. Out:
//! [`crate::standing::Standings`], made anew whenever anything changed; and when to probe next.
//! Always holds: own probes alone decide whether a PoP is reachable; a result changes a state only
//! after as many in a row as the check says; everything an operator says in passing ends by itself
//! where it was given an end.
//! It deliberately does not probe: a probe's outcome is a `bool` to it, a timeout is `false`, and
//! perhaps a report of load.

mod compose;
pub mod operator;
pub mod report;
mod table;
#[cfg(test)]
mod tests;

pub use ground::{machine, schedule};

pub use self::table::{Change, HealthTable, Target};
