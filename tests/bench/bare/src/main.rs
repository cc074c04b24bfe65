//! The bare loop: hyper's HTTP/1 server and a moka cache, and nothing of ours but, with `--own-io`, the connection
//! I/O.
//!
//! In go GET requests for `/o/k1_N.bin`, `/o/k16_N.bin` and `/o/m1_N.bin` (1 KiB, 16 KiB, 1 MiB), out come their bytes
//! from memory, served by one thread; of `/held/k16_N.bin` and the like only once a POST has come, as who waits for an
//! origin does. It prints its address and runs until it is killed. The difference between the two modes is what
//! `edge::wire` costs; the difference between this and the edge is what the cache law costs.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, Ready, ready};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use moka::sync::Cache;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use edge::wire::{Deadlines, Io, Limits, Never};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is answered with, and how often a POST has let go who waited.
#[derive(Clone)]
struct Desk {
    objects: Cache<String, Bytes>,
    released: watch::Sender<u64>,
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn main() -> Result<(), Box<dyn Error>> {
    let own_io = std::env::args().any(|argument| argument == "--own-io");
    let desk = Desk { objects: fill(), released: watch::Sender::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let listener = listen()?;
        announce(listener.local_addr()?);
        let deadlines = Deadlines::new(Duration::from_secs(1));
        tokio::task::spawn_local(deadlines.clone().sweep());
        let limits = Arc::new(Limits::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let desk = desk.clone();
            if own_io {
                let (io, _handle) = Io::new(stream, &[], Never, Arc::clone(&limits), &deadlines);
                tokio::task::spawn_local(serve_own(io, desk));
            } else {
                tokio::task::spawn_local(serve_bare(TokioIo::new(stream), desk));
            }
        }
    }))
}

#[expect(clippy::print_stdout, reason = "the address is this program's result")]
fn announce(address: SocketAddr) {
    println!("{address}");
}

fn fill() -> Cache<String, Bytes> {
    let objects = Cache::builder()
        .max_capacity(1 << 30)
        .weigher(|_: &String, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
        .build();
    for (prefix, size, count) in
        [("k1", 1 << 10, 1000), ("k16", 16 << 10, 1000), ("m1", 1 << 20, 50)]
    {
        for n in 0..count {
            objects.insert(format!("/o/{prefix}_{n}.bin"), Bytes::from(vec![b'x'; size]));
        }
    }
    objects.run_pending_tasks();
    objects
}

fn listen() -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

async fn serve_bare(io: TokioIo<TcpStream>, desk: Desk) {
    let service = service_fn(|request| desk.answer(&request));
    // A connection that ends badly is the client's business here.
    drop(http1::Builder::new().serve_connection(io, service).await);
}

async fn serve_own(io: Io<TcpStream, Never>, desk: Desk) {
    let service = service_fn(|request| desk.answer(&request));
    drop(http1::Builder::new().serve_connection(io, service).await);
}

impl Desk {
    fn answer(
        &self,
        request: &Request<Incoming>,
    ) -> Either<Ready<Answer>, impl Future<Output = Answer> + use<>> {
        let path = request.uri().path();
        if *request.method() == Method::POST {
            self.released.send_modify(|times| *times += 1);
        } else if let Some(name) = path.strip_prefix("/held/") {
            let (desk, path) = (self.clone(), format!("/o/{name}"));
            let mut released = self.released.subscribe();
            return Either::Right(async move {
                // Whoever lets go outlives all connections.
                drop(released.changed().await);
                Ok(desk.found(&path))
            });
        }
        Either::Left(ready(Ok(self.found(path))))
    }

    fn found(&self, path: &str) -> Response<Full<Bytes>> {
        let mut response = match self.objects.get(path) {
            Some(bytes) => Response::new(Full::new(bytes)),
            None => {
                let mut response =
                    Response::new(Full::new(Bytes::from_static(b"no such object\n")));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        let kind = header::HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
