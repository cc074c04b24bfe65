//! What one client connection may cost, by name.
//!
//! In go an operator's choices, out goes a value that the connection I/O obeys. The defaults are safe on the open
//! internet. It does not know where the values come from or in which units they were written.

use std::time::Duration;

/// The limits and deadlines of a client connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request head, request line included; more is refused with 431.
    pub header_bytes_max: usize,
    /// Field lines of one request head; more are refused with 431.
    pub header_count_max: usize,
    /// Bytes of the request target; more are refused with 414.
    pub uri_bytes_max: usize,
    /// Bytes of a chunked request's trailer section; more are refused with 431.
    pub trailer_bytes_max: usize,
    /// Bytes of the chunk extensions of one request; more are refused with 400.
    pub chunk_extension_bytes_max: usize,
    /// Bytes that may wait in one request's queue of interim responses.
    pub interim_bytes_max: usize,
    /// From the accept, or from a later request's first byte, to the end of its head.
    pub header_timeout: Duration,
    /// From the end of one exchange to the first byte of the next request.
    pub idle_timeout: Duration,
    /// For the next 16 KiB of a request's content, or the rest of it, while somebody waits for them.
    pub body_timeout: Duration,
    /// Between two pieces of a response that the socket accepts.
    pub write_timeout: Duration,
    /// How long a connection that ends early still reads and discards, so that its last response is not lost.
    pub linger_timeout: Duration,
    /// How many bytes such a connection discards at most.
    pub linger_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes_max: 32 * 1024,
            header_count_max: 100,
            uri_bytes_max: 8 * 1024,
            trailer_bytes_max: 8 * 1024,
            chunk_extension_bytes_max: 4 * 1024,
            interim_bytes_max: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            linger_bytes_max: 256 * 1024,
        }
    }
}
