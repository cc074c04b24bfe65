//! Threads: which socket is served where, and how all of it ends.
//!
//! In: bound sockets, the shared state, limits. Out: [`Workers`], which end after
//! [`Shared::start_draining`]. Always holds: each socket of plain DNS over UDP has a thread that
//! only waits for it; each worker has one thread more, with a runtime of its own, for everything
//! that has connections, so that neither a flood of datagrams nor one of connections delays the
//! other, and neither delays probes or reloads, which run elsewhere.
//! It deliberately does not know what is said on a connection.

use std::{io, sync::Arc, thread};

use tokio::runtime;

use crate::{
    connections::Connections,
    limits::StreamLimits,
    listen::{Addresses, Bound, Sockets},
    serve::Desk,
    state::Shared,
    streams,
    tls::Certificates,
    udp,
};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread could not be started.
    #[error("cannot start the thread {name}")]
    Thread {
        /// What it would have been called.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// An encrypted transport has nothing to show.
    #[error("DNS over TLS, HTTPS and QUIC needs a certificate")]
    NoCertificate,
}

/// What a server is made of, beside its sockets.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What all threads read.
    pub shared: Arc<Shared>,
    /// What a connection may cost.
    pub limits: StreamLimits,
    /// What the encrypted transports show; none where there is no such listener.
    pub certificates: Option<Certificates>,
}

/// The running threads.
#[derive(Debug)]
pub struct Workers {
    /// Where they listen.
    pub addresses: Addresses,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Workers {
    /// Waits for all threads; they end once the drain has begun and their connections are over, or
    /// the drain is stopped.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a DNS thread panicked");
            }
        }
    }
}

/// Starts the threads of `bound` sockets.
///
/// # Errors
/// There is no certificate for an encrypted transport, or a thread cannot be started; those that run
/// end once the drain begins.
pub fn start(bound: Bound, serving: &Serving) -> Result<Workers, StartError> {
    let Addresses { tls, https, quic, .. } = &bound.addresses;
    let is_encrypted = !(tls.is_empty() && https.is_empty() && quic.is_empty());
    if is_encrypted && serving.certificates.is_none() {
        return Err(StartError::NoCertificate);
    }
    let connections = Connections::new(&serving.limits);
    let mut threads = Vec::new();
    for (worker, sockets) in bound.workers.into_iter().enumerate() {
        let Sockets { udp, tcp, tls, https, quic } = sockets;
        for (index, socket) in udp.into_iter().enumerate() {
            let mut desk = Desk::new(&serving.shared);
            let guard = serving.shared.draining().attendance();
            threads.push(spawn(format!("dns-udp-{worker}-{index}"), move || {
                if let Err(error) = udp::serve(&socket, &mut desk) {
                    tracing::error!(%error, "a DNS socket cannot be served");
                }
                drop(guard);
            })?);
        }
        let name = format!("dns-{worker}");
        let failed = |source| StartError::Thread { name: name.clone(), source };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listeners = streams::Listeners { tcp, tls, https, quic };
        let (serving, connections) = (serving.clone(), Arc::clone(&connections));
        threads.push(spawn(name.clone(), move || {
            runtime.block_on(streams::serve(listeners, serving, connections));
        })?);
    }
    Ok(Workers { addresses: bound.addresses, threads })
}

fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> Result<thread::JoinHandle<()>, StartError> {
    let builder = thread::Builder::new().name(name.clone());
    builder.spawn(run).map_err(|source| StartError::Thread { name, source })
}
