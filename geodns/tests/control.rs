//! What probes, reloads and operators do to a server, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test builds is well-formed, or it fails"
)]

#[path = "control/listener.rs"]
mod listener;
#[path = "control/load.rs"]
mod load;
#[path = "control/nodes.rs"]
mod nodes;
#[path = "control/operators.rs"]
mod operators;
#[path = "control/probes.rs"]
mod probes;
#[path = "control/serials.rs"]
mod serials;
#[path = "control/stage.rs"]
mod stage;
#[path = "control/whole.rs"]
mod whole;
