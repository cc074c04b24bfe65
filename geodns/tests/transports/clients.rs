//! Clients of the five transports that carry bytes as they are.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::stage::{DEADLINE, Stage, in_time};

/// Bytes with their length before them.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(message);
    framed
}

/// A socket that answers can come to.
pub(crate) fn udp(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(to).unwrap();
    socket
}

pub(crate) fn ask_udp(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    socket.send(message).unwrap();
    let mut response = vec![0; 2000];
    let length = socket.recv(&mut response).unwrap();
    response.truncate(length);
    response
}

pub(crate) fn tcp(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// The next response; nothing at the end of the stream.
pub(crate) fn next(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    let mut first = 0;
    while first < 2 {
        match stream.read(&mut length[first..]) {
            Ok(0) | Err(_) => return None,
            Ok(read) => first += read,
        }
    }
    let mut response = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut response).ok()?;
    Some(response)
}

pub(crate) fn ask_tcp(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    stream.write_all(&framed(message)).unwrap();
    next(stream).unwrap()
}

/// What a client believes: the server's own certificate, and no other.
pub(crate) fn client_config(stage: &Stage, alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&stage.certificate).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

pub(crate) async fn tls(
    stage: &Stage,
    to: SocketAddr,
    alpn: &[u8],
) -> TlsStream<tokio::net::TcpStream> {
    let connector = TlsConnector::from(Arc::new(client_config(stage, alpn)));
    let stream = in_time(tokio::net::TcpStream::connect(to)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    in_time(connector.connect(ServerName::try_from("dns.test").unwrap(), stream)).await.unwrap()
}

pub(crate) async fn next_tls(stream: &mut TlsStream<tokio::net::TcpStream>) -> Vec<u8> {
    let length = in_time(stream.read_u16()).await.unwrap();
    let mut response = vec![0; length.into()];
    in_time(stream.read_exact(&mut response)).await.unwrap();
    response
}

pub(crate) async fn ask_tls(
    stream: &mut TlsStream<tokio::net::TcpStream>,
    message: &[u8],
) -> Vec<u8> {
    in_time(stream.write_all(&framed(message))).await.unwrap();
    next_tls(stream).await
}

/// A client of HTTPS, over one connection.
pub(crate) enum Https {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Https {
    pub(crate) async fn connect(stage: &Stage, alpn: &[u8]) -> Self {
        let io = TokioIo::new(tls(stage, stage.addresses.https[0], alpn).await);
        if alpn == b"h2" {
            let (sender, connection) =
                in_time(http2::handshake(TokioExecutor::new(), io)).await.unwrap();
            drop(tokio::spawn(connection));
            Self::Two(sender)
        } else {
            let (sender, connection) = in_time(http1::handshake(io)).await.unwrap();
            drop(tokio::spawn(connection));
            Self::One(sender)
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let response = match self {
            Self::One(sender) => {
                in_time(sender.ready()).await.unwrap();
                in_time(sender.send_request(request)).await.unwrap()
            }
            Self::Two(sender) => {
                in_time(sender.ready()).await.unwrap();
                in_time(sender.send_request(request)).await.unwrap()
            }
        };
        let (parts, body) = response.into_parts();
        Response::from_parts(parts, in_time(body.collect()).await.unwrap().to_bytes())
    }

    pub(crate) fn get(message: &[u8]) -> Request<Full<Bytes>> {
        let dns = URL_SAFE_NO_PAD.encode(message);
        let target = format!("https://dns.test/dns-query?dns={dns}");
        Request::get(target).header("host", "dns.test").body(Full::default()).unwrap()
    }

    pub(crate) fn post(message: &[u8]) -> Request<Full<Bytes>> {
        Request::post("https://dns.test/dns-query")
            .header("host", "dns.test")
            .header("content-type", "application/dns-message")
            .body(Full::from(message.to_vec()))
            .unwrap()
    }
}

pub(crate) async fn quic(stage: &Stage) -> quinn::Connection {
    let endpoint = quic_client(stage, None);
    in_time(endpoint.connect(stage.addresses.quic[0], "dns.test").unwrap()).await.unwrap()
}

/// A client that sends PING so often.
pub(crate) fn quic_client(stage: &Stage, ping: Option<Duration>) -> quinn::Endpoint {
    let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
    let crypto = client_config(stage, b"doq");
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(crypto).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(ping);
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    endpoint
}

/// Sends bytes on a stream of their own and reads what comes back to its end, if it has one.
pub(crate) async fn exchange_quic(connection: &quinn::Connection, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut receive) = in_time(connection.open_bi()).await.ok()?;
    in_time(send.write_all(bytes)).await.ok()?;
    send.finish().ok()?;
    in_time(receive.read_to_end(70_000)).await.ok()
}

pub(crate) async fn ask_quic(connection: &quinn::Connection, message: &[u8]) -> Vec<u8> {
    let response = exchange_quic(connection, &framed(message)).await.unwrap();
    assert_eq!(framed(&response[2..]), response, "RFC 9250 §4.2: one message");
    response[2..].to_vec()
}
