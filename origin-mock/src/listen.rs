//! Taking TCP connections.
//!
//! In: a bound listener. Out: served connections, and a handle that stops them.
//! Always holds: every connection belongs to the accept task, so that a shut down or dropped
//! handle leaves none behind; at most `connections_max` are open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::origin::Origin;

/// The wait after a failed accept: most likely the process is out of file descriptors, and only a
/// connection's end helps.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// A listening origin; dropping it stops it.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and drops every connection, at once, as a killed process would.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // The error says that the task was aborted, as it was.
        drop((&mut self.accepting).await);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) fn listen(
    origin: Origin,
    listener: TcpListener,
    connections_max: usize,
) -> std::io::Result<Handle> {
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(accept(origin, listener, connections_max));
    Ok(Handle { address, accepting })
}

async fn accept(origin: Origin, listener: TcpListener, connections_max: usize) {
    let room = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        // Ended tasks are taken away as new ones come, so that the set does not grow for ever.
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it a small response may wait for the peer's acknowledgement; a failure
                // means that the connection is gone, which serving it finds out.
                drop(stream.set_nodelay(true));
                let origin = origin.clone();
                connections.spawn(async move {
                    origin.serve_tcp(stream).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep_until(tokio::time::Instant::now() + ACCEPT_AGAIN).await,
        }
    }
}
