//! One HTTP/1.1 connection to an origin server, for as long as it is of use.
//!
//! In: a byte stream to the server. Out: a way to send requests on it one after the other, and what
//! the server has shown of itself meanwhile.
//! Always holds: a link that drops closes its connection at once, whatever is still under way on
//! it: hyper alone would go on sending a client's content over a connection that nobody counts any
//! more. It knows no server, no queue and no deadline.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take},
    runtime::Handle,
    task::AbortHandle,
    time::Instant,
};

use super::{
    chain,
    connect::{BoxedIo, Opened},
    content::ClientContent,
    names::Residence,
    server::Counted,
    socket::Look,
};
use crate::store::budget::{Charge, PIECE_BYTES};

/// The largest buffer of an origin connection: for a response head that comes in many reads, and
/// for what is queued for the server.
const BUFFER_BYTES: usize = 64 * 1024;
/// What an idle connection holds: hyper's read buffer, its task and its head's fields.
const LINK_BYTES: usize = 16 * 1024;
/// What an idle TLS session holds beside it.
const TLS_BYTES: usize = 8 * 1024;

/// The largest response head.
pub(super) const RESPONSE_HEAD_FIELDS_MAX: usize = 200;

/// A connection and hyper's end of it.
pub(super) struct Link {
    sender: SendRequest<ClientContent>,
    driver: AbortHandle,
    signs: Arc<Signs>,
    look: Option<Look>,
    residence: Option<Residence>,
    _counted: Option<Counted>,
    _charge: Charge,
}

impl Link {
    /// What the budget is charged for a connection, with TLS or without.
    pub(super) fn cost(tls: bool) -> usize {
        if tls { LINK_BYTES + TLS_BYTES } else { LINK_BYTES }
    }

    /// Speaks HTTP/1.1 over a stream; `fills` drives the connection from then on.
    pub(super) async fn over(
        Opened { stream, residence, counted, look }: Opened,
        fills: &Handle,
        charge: Charge,
    ) -> hyper::Result<Self> {
        let signs = Arc::new(Signs::new());
        let stream = Watched::new(stream, Arc::clone(&signs));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER_BYTES)
            .max_headers(RESPONSE_HEAD_FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        // Ends when the connection closes or the link drops.
        let driver = fills.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "an origin connection ended");
            }
        });
        let driver = driver.abort_handle();
        let (_counted, _charge) = (counted, charge);
        Ok(Self { sender, driver, signs, look, residence, _counted, _charge })
    }

    /// Waits until a request may be sent; false where none may.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and waits for the response's head.
    ///
    /// What has come by the time that the request is written is no response to it (RFC 9112 §6.3,
    /// §9.2): hyper reads before it takes a request, and ends the connection at anything that comes
    /// to it. What is on its way by then cannot be told from the response.
    pub(super) async fn send(
        &mut self,
        message: Request<ClientContent>,
    ) -> Result<Response<Incoming>, TrySendError<Request<ClientContent>>> {
        if let Some(look) = &self.look {
            look.asks();
        }
        self.sender.try_send_request(message).await
    }

    /// Whether the server has closed it, or its name leads elsewhere.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.residence.as_ref().is_some_and(Residence::is_out_of_use)
    }

    /// Whether nothing has come since the last response: what has would be taken for the next, and
    /// is either the end or nobody's (RFC 9112 §6.3).
    pub(super) fn is_quiet(&self) -> bool {
        !self.look.as_ref().is_some_and(Look::shows_something)
    }

    /// Where it leads.
    pub(super) fn residence(&self) -> Option<&Residence> {
        self.residence.as_ref()
    }

    /// What the server has shown of itself.
    pub(super) fn signs(&self) -> Arc<Signs> {
        Arc::clone(&self.signs)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a server has shown of itself on one connection.
#[derive(Debug)]
pub(super) struct Signs {
    began: Instant,
    /// When it last took bytes of what is sent to it, since `began`.
    millis: AtomicU64,
    speaks_http: AtomicBool,
}

impl Signs {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            millis: AtomicU64::new(0),
            speaks_http: AtomicBool::new(false),
        }
    }

    /// When it last took bytes, or the connection was made.
    pub(super) fn last_taken(&self) -> Instant {
        self.began + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Whether the first that it said was the beginning of an HTTP/1 response.
    pub(super) fn speaks_http(&self) -> bool {
        self.speaks_http.load(Ordering::Relaxed)
    }

    /// It takes bytes now.
    pub(super) fn taken(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }
}

/// What every HTTP/1 response begins with (RFC 9112 §4).
const RESPONSE: &[u8] = b"HTTP/1.";

/// A stream that notes the server's signs, and gives no more than a piece at a time.
///
/// hyper doubles its read buffer, to 64 KiB, whenever a read has filled it; a content that nobody
/// reads would hold three such buffers. A read that leaves a little room in 16 KiB keeps it there.
struct Watched {
    stream: Take<BoxedIo>,
    signs: Arc<Signs>,
    has_spoken: bool,
}

impl Watched {
    fn new(stream: BoxedIo, signs: Arc<Signs>) -> Self {
        Self { stream: stream.take(0), signs, has_spoken: false }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.set_limit(PIECE_BYTES as u64);
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let said = buf.filled().get(before..).unwrap_or_default();
        if !self.has_spoken && !said.is_empty() {
            self.has_spoken = true;
            let speaks_http = said.starts_with(RESPONSE) || RESPONSE.starts_with(said);
            self.signs.speaks_http.store(speaks_http, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(self.stream.get_mut()).poll_write(cx, buf));
        self.signs.taken();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(self.stream.get_mut()).poll_write_vectored(cx, bufs));
        self.signs.taken();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::ServerName};
    use tokio::{
        io::{AsyncWriteExt as _, duplex},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::{fetch::socket::Socket, store::budget::Budget};

    fn get() -> Request<ClientContent> {
        Request::new(ClientContent::none())
    }

    /// Both ends of a connection.
    async fn ends() -> (Opened, BoxedIo) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        far.set_nodelay(true).unwrap();
        let (stream, look) = Socket::of(near);
        let opened = Opened { look: Some(look), ..(Box::new(stream) as BoxedIo).into() };
        (opened, Box::new(far))
    }

    /// The same with TLS.
    async fn secure((mut near, far): (Opened, BoxedIo)) -> (Opened, BoxedIo) {
        let signed = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let certificate = signed.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key =
            rustls::pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let (client, server) =
            tokio::join!(connector.connect(name, near.stream), acceptor.accept(far));
        near.stream = Box::new(client.unwrap());
        near.look = near.look.map(Look::through_tls);
        (near, Box::new(server.unwrap()))
    }

    /// Nobody has had a turn to read what came by the time that the request is written.
    #[tokio::test]
    async fn rfc9112_6_3_what_came_before_a_request_is_no_response_to_it() {
        for is_secure in [false, true] {
            for surplus in ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "HTT"] {
                let ends = ends().await;
                let (near, mut far) = if is_secure { secure(ends).await } else { ends };
                let charge = Budget::new(1).reserve(1).unwrap();
                let mut link = Link::over(near, &Handle::current(), charge).await.unwrap();
                let answers = async {
                    assert!(far.read(&mut [0; 1024]).await.unwrap() > 0);
                    far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    far.flush().await.unwrap();
                };
                let (first, ()) = tokio::join!(link.send(get()), answers);
                assert!(first.is_ok_and(|response| response.status() == 204));
                assert!(link.is_ready().await && link.is_quiet());
                far.write_all(surplus.as_bytes()).now_or_never().unwrap().unwrap();
                far.flush().now_or_never().unwrap().unwrap();
                let second = link.send(get()).await;
                let unsent = second.err().and_then(|mut failure| failure.take_message());
                assert!(unsent.is_some(), "{surplus:?}, TLS: {is_secure}");
            }
        }
    }

    #[tokio::test]
    async fn a_read_is_one_piece_at_most() {
        let (near, mut far) = duplex(256 * 1024);
        far.write_all(&[b'x'; 200 * 1024]).await.unwrap();
        let stream: BoxedIo = Box::new(near);
        let mut stream = Watched::new(stream, Arc::new(Signs::new()));
        for _ in 0..3 {
            assert_eq!(stream.read(&mut [0; 64 * 1024]).await.unwrap(), PIECE_BYTES);
        }
    }
}
