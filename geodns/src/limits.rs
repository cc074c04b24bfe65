//! What a connection may cost.
//!
//! Always holds: every wait and every buffer of a connection has its limit here.

use std::{sync::Arc, time::Duration};

/// Limits of everything that has connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections of all transports and workers together.
    pub connections_max: u32,
    /// Connections of one client network.
    pub connections_per_network_max: u32,
    /// The longest wait for the next query (RFC 7766 §6.2.3).
    pub idle_timeout: Duration,
    /// The longest time from the first byte of a query to its last.
    pub query_timeout: Duration,
    /// The longest wait for a client to take its responses.
    pub write_timeout: Duration,
    /// The longest handshake, of TLS or QUIC.
    pub handshake_timeout: Duration,
    /// The longest query. A thousand bytes are a long one.
    pub query_bytes_max: usize,
    /// Queries of one HTTP/2 or QUIC connection that are under way at once.
    pub streams_max: u32,
    /// The path of DNS over HTTPS (RFC 8484 §4.1.1).
    pub https_path: Arc<str>,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            connections_per_network_max: 128,
            idle_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            query_bytes_max: 4096,
            streams_max: 64,
            https_path: "/dns-query".into(),
        }
    }
}
