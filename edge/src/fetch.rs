//! The origin side: connections, the choice of a server, and the fillings that share one forward.
//!
//! In: a request for the origin. Out: the origin's response head and a body to read, or a
//! [`FetchError`] that says who is at fault and what may be done.
//! It deliberately knows no caching law: whether a response may be stored is asked of the core by
//! [`filling`], never decided here.

mod ahead;
mod choose;
pub mod connect;
pub mod content;
mod failed;
pub mod filling;
mod frames;
mod freshen;
mod hedge;
mod life;
mod link;
mod message;
pub mod names;
pub mod policy;
pub mod pool;
pub mod probe;
pub mod response;
pub mod retry;
pub mod room;
pub mod server;
pub mod sharing;
mod sign;
pub mod slot;
mod socket;
pub mod standing;
mod stream;
pub mod table;
pub mod tls;
mod trunk;
mod way;
pub mod world;

use std::{error::Error as StdError, io, net::IpAddr, time::Duration};

use http::StatusCode;

/// Why the origin gave no response.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The server's name has no address.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The address is closed to the site, and no permission names it.
    #[error(
        "{host} resolves to {address}, which the node's settings do not allow \
         ({setting})"
    )]
    NotAllowed {
        /// The name.
        host: String,
        /// What it resolves to.
        address: IpAddr,
        /// Which of them would.
        setting: &'static str,
    },
    /// No connection could be made.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// The server.
        server: String,
        /// What the system said.
        reason: String,
    },
    /// This node had no descriptor, port or memory of the system's for a connection.
    #[error("this node has nothing left for a connection to {server}: {reason}")]
    Spent {
        /// The server.
        server: String,
        /// What the system said.
        reason: String,
    },
    /// No TLS session could be made.
    #[error("no TLS session with {server}: {reason}")]
    Tls {
        /// The server.
        server: String,
        /// What the TLS library said.
        reason: String,
    },
    /// A connection, TLS included, took longer than `connect_timeout`.
    #[error("no connection to {server} within {limit:?}")]
    ConnectTimeout {
        /// The server.
        server: String,
        /// The setting.
        limit: Duration,
    },
    /// More requests than `queue_max` wait for a connection already.
    #[error("the queue for {server} is full")]
    QueueFull {
        /// The server.
        server: String,
    },
    /// No connection became free within `queue_timeout`.
    #[error("no connection to {server} became free within {limit:?}")]
    QueueTimeout {
        /// The server.
        server: String,
        /// The setting.
        limit: Duration,
    },
    /// No response head within `first_byte_timeout`.
    #[error("no response from {server} within {limit:?}")]
    FirstByteTimeout {
        /// The server.
        server: String,
        /// The setting.
        limit: Duration,
    },
    /// The server took nothing of the request for `idle_timeout`.
    #[error("{server} took nothing of the request for {limit:?}")]
    RequestStalled {
        /// The server.
        server: String,
        /// The setting.
        limit: Duration,
    },
    /// The connection broke, or what came was no HTTP response.
    #[error("no valid response from {server}: {reason}")]
    Broken {
        /// The server.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The client's content broke off or was larger than allowed.
    #[error("the client's content failed: {reason}")]
    RequestContent {
        /// What went wrong.
        reason: String,
        /// Whether it was larger than `body_bytes_max`.
        too_large: bool,
    },
    /// Only a primary may have the request, and none is up.
    #[error("no primary is up, and no standby has taken over")]
    NoPrimary,
    /// A bucket is not asked for it.
    #[error("not asked of the bucket: {reason}")]
    Withheld {
        /// Why.
        reason: String,
    },
    /// Everybody had gone who waited for it, before anything was sent.
    #[error("nobody waits for the response any more")]
    Deserted,
    /// Not even the smallest window of memory was free for the response.
    #[error("no memory left to pass the response on")]
    Memory,
}

impl FetchError {
    /// The status that the client gets (RFC 9110 §15.6).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Resolve { .. }
            | Self::NotAllowed { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Broken { .. } => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout { .. }
            | Self::FirstByteTimeout { .. }
            | Self::RequestStalled { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::QueueFull { .. }
            | Self::QueueTimeout { .. }
            | Self::NoPrimary
            | Self::Deserted
            | Self::Spent { .. }
            | Self::Memory => StatusCode::SERVICE_UNAVAILABLE,
            Self::Withheld { .. } => StatusCode::FORBIDDEN,
            Self::RequestContent { too_large: true, .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestContent { too_large: false, .. } => StatusCode::BAD_REQUEST,
        }
    }

    /// The setting that was reached, if one was.
    #[must_use]
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::ConnectTimeout { .. } => Some("connect_timeout"),
            Self::FirstByteTimeout { .. } => Some("first_byte_timeout"),
            Self::RequestStalled { .. } => Some("idle_timeout"),
            Self::QueueFull { .. } => Some("queue_max"),
            Self::QueueTimeout { .. } => Some("queue_timeout"),
            Self::RequestContent { too_large: true, .. } => Some("body_bytes_max"),
            Self::Memory => Some("memory"),
            Self::Resolve { .. }
            | Self::NotAllowed { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Broken { .. }
            | Self::NoPrimary
            | Self::Deserted
            | Self::Spent { .. }
            | Self::Withheld { .. }
            | Self::RequestContent { too_large: false, .. } => None,
        }
    }

    /// Whether the server, or where its name leads, is to blame, which counts towards its ejection.
    #[must_use]
    pub fn blames_server(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::NotAllowed { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::ConnectTimeout { .. }
            | Self::FirstByteTimeout { .. }
            | Self::RequestStalled { .. }
            | Self::Broken { .. } => true,
            Self::QueueFull { .. }
            | Self::QueueTimeout { .. }
            | Self::RequestContent { .. }
            | Self::Withheld { .. }
            | Self::NoPrimary
            | Self::Deserted
            | Self::Spent { .. }
            | Self::Memory => false,
        }
    }

    /// The word for the log and the metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve",
            Self::NotAllowed { .. } => "not-allowed",
            Self::Connect { .. } => "connect",
            Self::Spent { .. } => "spent",
            Self::Tls { .. } => "tls",
            Self::ConnectTimeout { .. } => "connect-timeout",
            Self::QueueFull { .. } => "queue-full",
            Self::QueueTimeout { .. } => "queue-timeout",
            Self::FirstByteTimeout { .. } => "first-byte-timeout",
            Self::RequestStalled { .. } => "request-stalled",
            Self::Broken { .. } => "broken",
            Self::RequestContent { .. } => "request-content",
            Self::NoPrimary => "no-primary",
            Self::Withheld { .. } => "withheld",
            Self::Deserted => "deserted",
            Self::Memory => "memory",
        }
    }
}

/// An error with its causes in one line: what the outermost says does not repeat the inner.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// An I/O error as its kind and text.
pub(crate) fn io_reason(error: &io::Error) -> String {
    chain(error)
}
