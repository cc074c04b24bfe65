//! The bare loop: hyper's HTTP/1 server and a moka cache, and nothing of ours but, with `--own-io`, the connection
//! I/O.
//!
//! In go GET requests for `/o/k1_N.bin`, `/o/k16_N.bin` and `/o/m1_N.bin` (1 KiB, 16 KiB, 1 MiB), out come their bytes
//! from memory, served by one thread. It prints its address and runs until it is killed. The difference between
//! the two modes is what `edge::wire` costs; the difference between this and the edge is what the cache law costs.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use moka::sync::Cache;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use edge::wire::{Deadlines, Io, Limits, Never};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Objects = Cache<String, Bytes>;

fn main() -> Result<(), Box<dyn Error>> {
    let own_io = std::env::args().any(|argument| argument == "--own-io");
    let objects = fill();
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
            let objects = objects.clone();
            if own_io {
                let (io, _handle) = Io::new(stream, &[], Never, Arc::clone(&limits), &deadlines);
                tokio::task::spawn_local(serve_own(io, objects));
            } else {
                tokio::task::spawn_local(serve_bare(TokioIo::new(stream), objects));
            }
        }
    }))
}

#[expect(clippy::print_stdout, reason = "the address is this program's result")]
fn announce(address: SocketAddr) {
    println!("{address}");
}

fn fill() -> Objects {
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

async fn serve_bare(io: TokioIo<TcpStream>, objects: Objects) {
    let service = service_fn(|request| std::future::ready(answer(&request, &objects)));
    // A connection that ends badly is the client's business here.
    drop(http1::Builder::new().serve_connection(io, service).await);
}

async fn serve_own(io: Io<TcpStream, Never>, objects: Objects) {
    let service = service_fn(|request| std::future::ready(answer(&request, &objects)));
    drop(http1::Builder::new().serve_connection(io, service).await);
}

fn answer(
    request: &Request<Incoming>,
    objects: &Objects,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = match objects.get(request.uri().path()) {
        Some(bytes) => Response::new(Full::new(bytes)),
        None => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"no such object\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    };
    let kind = header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
