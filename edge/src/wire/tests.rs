//! The connection I/O as a client and a service see it: a real hyper server over an in-memory pipe.
//!
//! In go a client's bytes in pieces, out come the requests that the service saw and the bytes that came back. The
//! clock is paused, so a connection that nobody ends is ended by its deadlines at once; no test sleeps.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;

use super::{Deadlines, Handle, Io, Limits, Never, Quick, Stream, Told};

mod accounts;
mod bodies;
mod deadlines;
mod heads;
mod interim;
mod leaving;
mod pipeline;
mod properties;
mod quick;

/// A request as the service saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    /// The content, or `None` if it broke off.
    content: Option<Vec<u8>>,
    trailers: usize,
}

/// What the service does, by path: `/early` answers without reading, `/held` waits for `release`, `/stream` sends
/// three chunks, `/hint` sends an interim 103 first, `/continue` an interim 100 of its own before it reads.
struct Server {
    client: DuplexStream,
    handle: Handle,
    seen: Arc<Mutex<Vec<Seen>>>,
    release: Arc<Notify>,
    outcome: tokio::task::JoinHandle<Result<(), Box<dyn std::error::Error + Send + Sync>>>,
}

fn limits() -> Limits {
    Limits { header_bytes_max: 2048, uri_bytes_max: 256, header_count_max: 20, ..Limits::default() }
}

impl Server {
    fn start() -> Self {
        Self::with(limits(), 64 * 1024)
    }

    fn with(limits: Limits, pipe_bytes: usize) -> Self {
        Self::answering(Never, limits, pipe_bytes)
    }

    /// What `quick` answers never reaches the service.
    fn answering(quick: impl Quick, limits: Limits, pipe_bytes: usize) -> Self {
        let (client, server) = tokio::io::duplex(pipe_bytes);
        Self::over(server, client, quick, limits)
    }

    /// `stream` is the other end of `client`.
    fn over<S>(stream: S, client: DuplexStream, quick: impl Quick, limits: Limits) -> Self
    where
        S: Stream + Send + 'static,
    {
        let deadlines = Deadlines::new(Duration::from_secs(1));
        tokio::spawn(deadlines.clone().sweep());
        let (mut io, handle) = Io::new(stream, &[], quick, Arc::new(limits), &deadlines);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let release = Arc::new(Notify::new());
        let service = {
            let (seen, release, handle) = (Arc::clone(&seen), Arc::clone(&release), handle.clone());
            service_fn(move |request| {
                serve(request, Arc::clone(&seen), Arc::clone(&release), handle.clone())
            })
        };
        let outcome = tokio::spawn(async move {
            std::future::poll_fn(|cx| io.poll_alone(cx)).await?;
            http1::Builder::new().serve_connection(io, service).await?;
            Ok(())
        });
        Self { client, handle, seen, release, outcome }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Reads until `end` has come.
    async fn receive_until(&mut self, end: &str) -> String {
        let mut received = Vec::new();
        while !received.ends_with(end.as_bytes()) {
            let octet = self.client.read_u8().await;
            let so_far = String::from_utf8_lossy(&received);
            received.push(octet.unwrap_or_else(|_| panic!("ended before {end:?}: {so_far}")));
        }
        String::from_utf8(received).expect("ASCII")
    }

    /// Reads so many bytes.
    async fn receive(&mut self, bytes: usize) -> String {
        let mut received = vec![0; bytes];
        self.client.read_exact(&mut received).await.expect("more");
        String::from_utf8(received).expect("ASCII")
    }

    /// Reads to the end of the connection, which its deadlines bring about if nothing else does.
    async fn receive_all(&mut self) -> String {
        let mut received = Vec::new();
        if self.client.read_to_end(&mut received).await.is_err() {
            received.extend_from_slice(b"<reset>");
        }
        String::from_utf8(received).expect("ASCII")
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    fn targets(&self) -> Vec<String> {
        self.seen.lock().iter().map(|seen| seen.target.clone()).collect()
    }
}

async fn serve(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
    release: Arc<Notify>,
    handle: Handle,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let interim = handle.interim();
    let (head, mut content) = request.into_parts();
    let path = head.uri.path().to_owned();
    let place = {
        let mut seen = seen.lock();
        seen.push(Seen {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            content: None,
            trailers: 0,
        });
        seen.len() - 1
    };
    match path.as_str() {
        "/early" => return Ok(respond("early")),
        "/held" => release.notified().await,
        "/hint" => {
            let mut fields = HeaderMap::new();
            fields.insert("link", "</a.css>; rel=preload".parse().unwrap());
            fields.insert("content-length", "7".parse().unwrap());
            let sent = interim.send(StatusCode::EARLY_HINTS, &fields);
            if sent.is_err() {
                return Ok(respond(&format!("{sent:?}")));
            }
        }
        "/continue" => {
            interim.send(StatusCode::CONTINUE, &HeaderMap::new()).unwrap();
            interim.send(StatusCode::CONTINUE, &HeaderMap::new()).unwrap_err();
        }
        _ => {}
    }
    let mut collected = Vec::new();
    let mut trailers = 0;
    while let Some(frame) = content.frame().await {
        let Ok(frame) = frame else { return Ok(respond("broken")) };
        match frame.into_data() {
            Ok(data) => collected.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().map_or(0, |fields| fields.len()),
        }
    }
    let answer = format!("{} {path} {}", head.method, collected.len());
    if let Some(seen) = seen.lock().get_mut(place) {
        seen.content = Some(collected);
        seen.trailers = trailers;
    }
    if path == "/stream" {
        let release = Arc::clone(&release);
        let chunks = futures_util::stream::unfold(0, move |n| {
            let release = Arc::clone(&release);
            async move {
                if n == 1 {
                    release.notified().await;
                }
                (n < 3).then(|| (Ok(Frame::data(Bytes::from(format!("part{n}")))), n + 1))
            }
        });
        return Ok(Response::new(BodyExt::boxed(StreamBody::new(chunks))));
    }
    Ok(respond(&answer))
}

fn respond(text: &str) -> Response<BoxBody<Bytes, Infallible>> {
    Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed())
}
