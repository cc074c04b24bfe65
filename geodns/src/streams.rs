//! Connections of one worker: accepted, counted, handed to their transport, waited for.
//!
//! In: listeners. Out: connections that are over. Always holds: a connection over a limit is closed
//! at once and counted; when the drain begins, what waits to be accepted is accepted, listeners
//! close, and connections end once nothing more comes; the worker ends with its last connection.
//! It deliberately does not know what is said on a connection.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener, UdpSocket},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use geodns_core::{answer::Transport, wire::response::STREAM_BYTES_MAX};
use nearcast_daemon::{
    drain::{Draining, Guard},
    seldom::Seldom,
};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    connections::{Connections, Refused, Slot},
    doh, doq,
    limits::StreamLimits,
    record::Met,
    serve::Desk,
    tcp,
    tls::{self, Certificates},
    udp::WAKE,
    workers::Serving,
};

/// The pause after a connection could not be accepted, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One worker's listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) tcp: Vec<StdListener>,
    pub(crate) tls: Vec<StdListener>,
    pub(crate) https: Vec<StdListener>,
    pub(crate) quic: Vec<UdpSocket>,
}

/// The worker's desk: its connections take turns, each for as long as an answer takes.
#[derive(Clone, Debug)]
pub(crate) struct Counter(Arc<Mutex<Place>>);

#[derive(Debug)]
struct Place {
    desk: Desk,
    room: Box<[u8]>,
}

/// What a connection has.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) client: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) counter: Counter,
    pub(crate) limits: Arc<StreamLimits>,
    pub(crate) draining: Draining,
}

/// What a connection holds until it is over.
#[derive(Debug)]
pub(crate) struct Held {
    _slot: Slot,
    _guard: Guard,
    _alive: mpsc::Sender<()>,
}

/// One worker, as its accept loops see it.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) counter: Counter,
    pub(crate) limits: Arc<StreamLimits>,
    pub(crate) draining: Draining,
    pub(crate) connections: Arc<Connections>,
    alive: mpsc::Sender<()>,
}

impl Counter {
    fn new(desk: Desk) -> Self {
        let room = vec![0; STREAM_BYTES_MAX.into()].into();
        Self(Arc::new(Mutex::new(Place { desk, room })))
    }

    /// Hands the response to `take`, if there is one.
    pub(crate) fn answer<T>(
        &self,
        session: &Session,
        message: &[u8],
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let Place { desk, room } = &mut *self.0.lock();
        desk.look();
        let length = desk.answer(message, session.client, session.transport, room)?;
        room.get(..length).map(take)
    }

    /// The network that a client is counted under, by the settings of this moment.
    fn network(&self, client: IpAddr) -> IpAddr {
        self.0.lock().desk.network(client)
    }

    /// Notes what became of a connection.
    pub(crate) fn met(&self, transport: Transport, what: Met) {
        self.0.lock().desk.met(transport, what);
    }

    fn tick(&self) {
        self.0.lock().desk.tick();
    }
}

impl Worker {
    /// A place for a connection, or nothing: then it is to be closed.
    pub(crate) fn admit(
        &self,
        client: SocketAddr,
        transport: Transport,
    ) -> Option<(Session, Held)> {
        let met = |what| self.counter.met(transport, what);
        let slot = match self.connections.admit(self.counter.network(client.ip())) {
            Ok(slot) => slot,
            Err(Refused::Total) => {
                met(Met::RefusedTotal);
                return None;
            }
            Err(Refused::Network) => {
                met(Met::RefusedNetwork);
                return None;
            }
        };
        met(Met::Accepted);
        let session = Session {
            client,
            transport,
            counter: self.counter.clone(),
            limits: Arc::clone(&self.limits),
            draining: self.draining.clone(),
        };
        let guard = self.draining.guard();
        Some((session, Held { _slot: slot, _guard: guard, _alive: self.alive.clone() }))
    }
}

impl Session {
    /// Notes what ended the connection.
    pub(crate) fn met(&self, what: Met) {
        self.counter.met(self.transport, what);
    }
}

/// Serves `listeners` until the drain has begun and the last connection is over.
pub(crate) async fn serve(listeners: Listeners, serving: Serving, connections: Arc<Connections>) {
    let (alive, mut over) = mpsc::channel(1);
    let draining = serving.shared.draining();
    let worker = Worker {
        counter: Counter::new(Desk::new(&serving.shared)),
        limits: Arc::new(serving.limits),
        draining: draining.clone(),
        connections,
        alive,
    };
    let guard = draining.attendance();
    let ticking = tokio::spawn(tick(worker.counter.clone()));
    open(listeners, &worker, serving.certificates.as_ref());
    drop(worker);
    tokio::select! {
        // Accept loops and connections hold the other side.
        _ = over.recv() => {}
        () = draining.stopped() => {}
    }
    ticking.abort();
    drop(guard);
}

fn open(listeners: Listeners, worker: &Worker, certificates: Option<&Certificates>) {
    let Listeners { tcp, tls, https, quic } = listeners;
    for listener in tcp {
        accept(listener, worker.clone(), Transport::Tcp, |stream, session| async move {
            tcp::serve(stream, &session).await;
        });
    }
    let Some(certificates) = certificates else { return };
    for listener in tls {
        let acceptor = certificates.acceptor(&[tls::ALPN]);
        accept(listener, worker.clone(), Transport::Tls, move |stream, session| {
            let acceptor = acceptor.clone();
            async move {
                if let Some(stream) = tls::handshake(&acceptor, stream, &session).await {
                    tcp::serve(stream, &session).await;
                }
            }
        });
    }
    for listener in https {
        let acceptor = certificates.acceptor(&doh::ALPN);
        accept(listener, worker.clone(), Transport::Https, move |stream, session| {
            let acceptor = acceptor.clone();
            async move {
                if let Some(stream) = tls::handshake(&acceptor, stream, &session).await {
                    doh::serve(stream, session).await;
                }
            }
        });
    }
    for socket in quic {
        match doq::endpoint(socket, certificates, &worker.limits) {
            Ok(endpoint) => drop(tokio::spawn(doq::serve(endpoint, worker.clone()))),
            Err(error) => tracing::error!(%error, "DNS over QUIC cannot be served"),
        }
    }
}

/// Accepts until the drain begins, and then what waits: for their clients those are connected, and
/// may have asked.
fn accept<F, R>(listener: StdListener, worker: Worker, transport: Transport, run: F)
where
    F: Fn(TcpStream, Session) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a DNS listener cannot be registered");
            return;
        }
    };
    drop(tokio::spawn(async move {
        let mut started = pin!(worker.draining.started());
        let mut told = Seldom::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut started => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => begin(&worker, stream, client, transport, run.clone()),
                // The client was gone before we came to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if told.is_due() {
                        tracing::warn!(%error, "a DNS connection cannot be accepted");
                    }
                    // Trying again at once would spin.
                    if timeout(ACCEPT_PAUSE, &mut started).await.is_ok() {
                        break;
                    }
                }
            }
        }
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, client)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                begin(&worker, stream, client, transport, run.clone());
            }
        }
    }));
}

fn begin<F, R>(worker: &Worker, stream: TcpStream, client: SocketAddr, transport: Transport, run: F)
where
    F: Fn(TcpStream, Session) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let Some((session, held)) = worker.admit(client, transport) else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    drop(tokio::spawn(async move {
        run(stream, session).await;
        drop(held);
    }));
}

/// Lets go of retired views and waiting lines, whether or not anybody asks.
async fn tick(counter: Counter) {
    let mut ticks = interval(WAKE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        counter.tick();
    }
}
