//! Listeners that live, die, hang and come back at their addresses, as a test says.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What a listener does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers any request with this status.
    Status(u16),
    /// Answers that it passes, and how full it is.
    Loaded(&'static str),
    /// Takes the connection and says nothing.
    Silent,
    /// Takes nothing: the kernel accepts, as it does for a process that was stopped.
    Stopped,
    /// Takes the connection and closes it.
    Rude,
}

/// An address that something may listen at.
pub(crate) struct Place {
    /// It.
    pub(crate) address: SocketAddr,
    tls: Option<TlsAcceptor>,
    listening: JoinSet<()>,
    stopped: Option<TcpListener>,
}

impl Place {
    /// So many places, at different addresses with the same port, that answer 200.
    pub(crate) async fn some(count: u8, tls: Option<TlsAcceptor>) -> Vec<Self> {
        // Every process has a network of its own within loopback, so that no other test is given
        // a port that is free for a moment only because its listener is meant to be dead.
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = |index| IpAddr::V4(Ipv4Addr::new(127, high | 0x40, low, index + 1));
        for _ in 0..16 {
            let first = TcpListener::bind((ip(0), 0)).await.unwrap();
            let port = first.local_addr().unwrap().port();
            drop(first);
            let mut places = Vec::new();
            for index in 0..count {
                let mut place = Self {
                    address: SocketAddr::new(ip(index), port),
                    tls: tls.clone(),
                    listening: JoinSet::new(),
                    stopped: None,
                };
                if place.live(Manner::Status(200)).await.is_err() {
                    break;
                }
                places.push(place);
            }
            if places.len() == usize::from(count) {
                return places;
            }
        }
        panic!("no port is free at {count} addresses");
    }

    /// Listens, and does this with connections from now on.
    pub(crate) async fn live(&mut self, manner: Manner) -> io::Result<()> {
        self.die().await;
        let listener = TcpListener::bind(self.address).await?;
        if manner == Manner::Stopped {
            self.stopped = Some(listener);
        } else {
            self.listening.spawn(accept(listener, manner, self.tls.clone()));
        }
        Ok(())
    }

    /// Closes the listener and all that it accepted.
    pub(crate) async fn die(&mut self) {
        self.stopped = None;
        self.listening.shutdown().await;
    }
}

async fn accept(listener: TcpListener, manner: Manner, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, manner, tls.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, manner: Manner, tls: Option<TlsAcceptor>) {
    let served = match (manner, tls) {
        (Manner::Status(status), None) => answer(stream, status, "").await,
        (Manner::Loaded(metrics), _) => answer(stream, 200, metrics).await,
        (Manner::Status(status), Some(tls)) => match tls.accept(stream).await {
            Ok(stream) => answer(stream, status, "").await,
            Err(error) => Err(error),
        },
        (Manner::Silent, _) => {
            let _held = stream;
            std::future::pending().await
        }
        (Manner::Rude | Manner::Stopped, _) => Ok(()),
    };
    // The prober closes as soon as it knows enough.
    drop(served);
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: u16,
    metrics: &str,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let expected = ["GET /health?deep=1 HTTP/1.1\r\n", "\r\nconnection: close\r\n"];
    let as_asked = expected.iter().all(|line| head.to_lowercase().contains(&line.to_lowercase()));
    let status = if as_asked { status } else { 400 };
    let metrics = format!("endpoint-load-metrics: {metrics}\r\n");
    let answer = format!("HTTP/1.1 {status} Any\r\n{metrics}content-length: 5\r\n\r\nhello");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Certificates for `name` from an authority of the test's own.
pub(crate) fn certified(name: &str) -> (TlsAcceptor, RootCertStore) {
    let authority =
        CertifiedIssuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
}
