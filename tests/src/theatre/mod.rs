//! The theatres: in-process with a paused clock, and real binaries over sockets.
//!
//! In: a scenario. Out: a [`crate::play::Stage`] for it, with an edge and an origin.
//! Always holds: a stage is used for one scenario and then gone, with all that ran on it.

pub mod edge;
pub mod paused;
pub mod pipes;
pub mod sockets;
