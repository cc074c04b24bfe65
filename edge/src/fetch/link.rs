//! One connection to an origin server, for as long as it is of use.
//!
//! In: a byte stream to the server. Out: a way to send requests on it one after the other.
//! Always holds: a link that drops closes its connection at once, whatever is still under way on
//! it: hyper alone would go on sending a client's content over a connection that nobody counts any
//! more. It knows no server, no queue and no deadline.

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{runtime::Handle, task::AbortHandle};

use super::{chain, connect::BoxedIo, content::ClientContent};

/// The largest read buffer of an origin connection.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The largest response head.
const RESPONSE_HEAD_FIELDS_MAX: usize = 200;

/// A connection and hyper's end of it.
pub(super) struct Link {
    sender: SendRequest<ClientContent>,
    driver: AbortHandle,
}

impl Link {
    /// Speaks HTTP/1.1 over `stream`; `fills` drives the connection from then on.
    pub(super) async fn over(stream: BoxedIo, fills: &Handle) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BUFFER_BYTES)
            .max_headers(RESPONSE_HEAD_FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends when the connection closes or the link drops.
        let driver = fills.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "an origin connection ended");
            }
        });
        Ok(Self { sender, driver: driver.abort_handle() })
    }

    /// What requests are sent by.
    pub(super) fn sender(&mut self) -> &mut SendRequest<ClientContent> {
        &mut self.sender
    }

    /// Whether the server has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
