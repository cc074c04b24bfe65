//! What probes, reloads and operators do to a server, over real sockets.

#[path = "control/listener.rs"]
mod listener;
#[path = "control/probes.rs"]
mod probes;
