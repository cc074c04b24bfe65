//! One exchange on a shared HTTP/2 connection.
//!
//! In: a request. Out: its response, whose content is read at the reader's pace.
//! Always holds: a seat that drops gives its stream up (RST_STREAM, RFC 9113 §5.4.2) and leaves the
//! connection to the others; a request's content goes out as fast as the server takes it and no
//! faster; a request that the server says it has not looked at (REFUSED_STREAM, or GOAWAY with a
//! lower number, RFC 9113 §8.7) is handed back, its content as far as it is kept, and so is one whose
//! content waits behind that of others. It knows no server, no queue and no deadline.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header, request,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};
use http_body::{Body as _, Frame, SizeHint};
use tokio::{runtime::Handle, sync::Notify, task::JoinHandle, time::timeout};

use super::{
    ahead::Ahead,
    chain,
    content::ClientContent,
    link::{RESPONSE_HEAD_FIELDS_MAX, Signs},
    names::Residence,
    pool::OnInterim,
    trunk::{Stalled, Trunk, Use, is_unprocessed},
    way::{Blame, Content, Misread, Unanswered},
};
use crate::store::budget::Charge;

/// How long an upload waits for the server's leave before others look for another connection, and it
/// does itself if nothing of it is out. Longer than nearly all ways there and back.
const STALLED_AFTER: Duration = Duration::from_millis(250);

/// Whom interim responses are for, in a request's extensions.
#[derive(Clone)]
pub(super) struct Interim(pub(super) OnInterim);

/// A place for one stream on a connection.
pub(super) struct Seat {
    trunk: Arc<Trunk>,
    signs: Arc<Signs>,
    halves: Arc<Halves>,
    upload: Option<Upload>,
    is_settled: bool,
    charge: Option<Charge>,
}

/// Which halves of a stream are open.
#[derive(Default)]
struct Halves(AtomicU8);

/// The request's.
const OURS: u8 = 1;
/// The response's.
const THEIRS: u8 = 2;

impl Halves {
    fn begin(&self) {
        self.0.store(OURS | THEIRS, Ordering::Release);
    }

    fn end(&self, halves: u8) {
        self.0.fetch_and(!halves, Ordering::AcqRel);
    }

    fn are_open(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// The task that sends a request's content; it ends with its seat.
struct Upload {
    task: JoinHandle<ClientContent>,
    enough: Arc<Notify>,
    /// Told when it waits behind others with nothing of it sent.
    is_behind: Arc<Notify>,
}

impl Upload {
    /// Sends `content`, and keeps its beginning.
    fn begin(fills: &Handle, mut content: ClientContent, outward: Outward) -> Self {
        content.keep();
        let is_behind = Arc::clone(&outward.is_behind);
        let enough = Arc::new(Notify::new());
        let told = Arc::clone(&enough);
        let task = fills.spawn(async move {
            tokio::select! {
                () = send_content(&mut content, outward) => {}
                () = told.notified() => {}
            }
            content
        });
        Self { task, enough, is_behind }
    }

    /// The content as if nothing of it had been sent, as far as that is kept.
    async fn back(&mut self) -> Option<ClientContent> {
        self.enough.notify_one();
        let mut content = (&mut self.task).await.ok()?;
        content.begin_anew();
        Some(content)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.trunk.leave(self.halves.are_open());
    }
}

impl Seat {
    pub(super) fn new(trunk: Arc<Trunk>) -> Self {
        let (signs, halves) = (Arc::new(Signs::new()), Arc::default());
        Self { trunk, signs, halves, upload: None, is_settled: false, charge: None }
    }

    /// A request whose content waits behind others stays where it is: it has moved before.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// Holds the memory for what the server may send ahead.
    pub(super) fn hold(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }

    /// What the server has shown of itself on this stream.
    pub(super) fn signs(&self) -> Arc<Signs> {
        Arc::clone(&self.signs)
    }

    /// Where the connection leads.
    pub(super) fn residence(&self) -> Option<&Residence> {
        self.trunk.residence.as_ref()
    }

    /// Whether the connection takes no further request.
    pub(super) fn is_over(&self) -> bool {
        self.trunk.is_closed()
    }

    /// No answer came in time; so the next request has another connection.
    pub(super) fn give_up(&self) {
        self.trunk.use_.close();
    }

    /// Sends a request and waits for the response's head.
    pub(super) async fn send(
        &mut self,
        message: Request<ClientContent>,
        tls: bool,
    ) -> Result<Response<Content>, Unanswered> {
        let mut sender = self.trunk.sender.clone();
        let interim = message.extensions().get::<Interim>().cloned();
        let head = match head(&message, tls) {
            Ok(head) => head,
            Err(reason) => return Err(Unanswered::fault(reason, Blame::Request)),
        };
        let use_ = &self.trunk.use_;
        if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
            // It has gone since the seat was taken.
            use_.close();
            return Err(Unanswered::unsent(message, chain(&error), use_.blame(&error)));
        }
        let is_whole = message.body().is_end_stream();
        let (mut response, stream) = match sender.send_request(head, is_whole) {
            Ok(sent) => sent,
            Err(error) => {
                return Err(Unanswered::unsent(message, chain(&error), use_.blame(&error)));
            }
        };
        self.halves.begin();
        let (parts, mut content) = message.into_parts();
        if is_whole {
            self.halves.end(OURS);
        } else {
            let all = std::mem::replace(&mut content, ClientContent::none());
            let outward = Outward {
                stream,
                signs: Arc::clone(&self.signs),
                halves: Arc::clone(&self.halves),
                use_: Arc::clone(use_),
                is_behind: Arc::default(),
                may_move: !self.is_settled && parts.method.is_idempotent(),
            };
            self.upload = Some(Upload::begin(&self.trunk.fills, all, outward));
        }
        let answered = tokio::select! {
            biased;
            answered = answer(&mut response, interim.as_ref()) => answered,
            () = self.is_behind() => return Err(self.moves(parts, content).await),
        };
        let error = match answered {
            Ok(response) if response.headers().len() > RESPONSE_HEAD_FIELDS_MAX => {
                let reason = format!("a head of more than {RESPONSE_HEAD_FIELDS_MAX} fields");
                return Err(Unanswered::fault(reason, Blame::Answer));
            }
            Ok(response) => return Ok(response.map(|stream| self.content(stream))),
            Err(error) => error,
        };
        // What is idempotent may be done twice (RFC 9110 §9.2.2), so it need not be lost with others.
        let is_lost = !error.is_reset() && is_whole && parts.method.is_idempotent();
        let may_again = is_lost || is_unprocessed(&error);
        let content = if may_again { self.back(content).await } else { None };
        self.halves.end(OURS | THEIRS);
        let message = content.map(|content| Request::from_parts(parts, content));
        Err(Unanswered { message, reason: chain(&error), blame: self.trunk.use_.blame(&error) })
    }

    /// Ends when the request had better move to another connection.
    async fn is_behind(&self) {
        match &self.upload {
            Some(upload) => upload.is_behind.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Gives the stream up. A server that has had nothing of the content may still have begun with
    /// the request, so only what may be asked twice moves (RFC 9110 §9.2.2).
    async fn moves(&mut self, parts: request::Parts, content: ClientContent) -> Unanswered {
        let content = self.back(content).await;
        let message = content.map(|content| Request::from_parts(parts, content));
        let reason = "its content waits behind others, which the server does not take".to_owned();
        Unanswered { message, reason, blame: Blame::Others }
    }

    /// The content that was sent, or is still here.
    async fn back(&mut self, content: ClientContent) -> Option<ClientContent> {
        match &mut self.upload {
            Some(upload) => upload.back().await,
            None => Some(content),
        }
    }

    /// A response's content.
    fn content(&self, stream: RecvStream) -> Content {
        let halves = Arc::clone(&self.halves);
        let ahead = if stream.is_end_stream() {
            halves.end(THEIRS);
            None
        } else {
            Some(Ahead::of(stream, &self.trunk.fills, move || halves.end(THEIRS)))
        };
        Content::Shared(Stream { ahead, use_: Arc::clone(&self.trunk.use_) })
    }
}

/// The response's head; interim ones before it go where they belong.
async fn answer(
    response: &mut ResponseFuture,
    interim: Option<&Interim>,
) -> Result<Response<RecvStream>, h2::Error> {
    poll_fn(|cx| {
        while let Poll::Ready(Some(told)) = response.poll_informational(cx) {
            let told = told?;
            if let Some(Interim(tell)) = interim {
                tell(told.status(), told.headers());
            }
        }
        Pin::new(&mut *response).poll(cx)
    })
    .await
}

/// A request's head as HTTP/2 has it (RFC 9113 §8.2.2, §8.3.1).
fn head(message: &Request<ClientContent>, tls: bool) -> Result<Request<()>, String> {
    let mut fields = message.headers().clone();
    let host = fields.remove(header::HOST);
    let authority = host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = Parts::default();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority.ok_or("the Host that is to be sent is none")?);
    let root = || PathAndQuery::from_static("/");
    parts.path_and_query = Some(message.uri().path_and_query().cloned().unwrap_or_else(root));
    let uri = Uri::from_parts(parts).map_err(|error| chain(&error))?;
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::HeaderName::from_static("keep-alive"),
        header::HeaderName::from_static("proxy-connection"),
    ] {
        fields.remove(name);
    }
    only_trailers(&mut fields);
    let body = message.body();
    if let Some(length) = body.size_hint().exact().filter(|_| !body.is_end_stream()) {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut head = Request::new(());
    (*head.method_mut(), *head.uri_mut()) = (Method::clone(message.method()), uri);
    (*head.version_mut(), *head.headers_mut()) = (Version::HTTP_2, fields);
    Ok(head)
}

/// TE may say nothing but `trailers`.
fn only_trailers(fields: &mut HeaderMap) {
    let is_said = |value: &HeaderValue| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    };
    let says_trailers = fields.get_all(header::TE).iter().any(is_said);
    fields.remove(header::TE);
    if says_trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// The way of a request's content.
struct Outward {
    stream: SendStream<Bytes>,
    signs: Arc<Signs>,
    halves: Arc<Halves>,
    use_: Arc<Use>,
    is_behind: Arc<Notify>,
    /// Nothing of it is out, and there may be another connection for it.
    may_move: bool,
}

/// Sends a request's content at the server's pace.
async fn send_content(content: &mut ClientContent, mut outward: Outward) {
    let sent = async {
        loop {
            let stream = &mut outward.stream;
            let next = tokio::select! {
                next = poll_fn(|cx| Pin::new(&mut *content).poll_frame(cx)) => next,
                // The server wants no more of it.
                _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ok(()),
            };
            let Some(frame) = next else { return stream.send_data(Bytes::new(), true) };
            let Ok(frame) = frame else {
                stream.send_reset(Reason::CANCEL);
                outward.use_.note_reset();
                return Ok(());
            };
            match frame.into_data() {
                Ok(data) => outward.send(data).await?,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return stream.send_trailers(trailers);
                }
            }
        }
    };
    match sent.await {
        Ok(()) => outward.halves.end(OURS),
        Err(error) => {
            tracing::debug!(error = %chain(&error), "a request's content was not taken");
        }
    }
}

impl Outward {
    async fn send(&mut self, mut data: Bytes) -> Result<(), h2::Error> {
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len());
            let Some(room) = self.room().await else { return Ok(()) };
            let piece = data.split_to(room?.min(data.len()));
            self.signs.taken();
            self.may_move = false;
            self.stream.send_data(piece, false)?;
        }
        Ok(())
    }

    /// How much the server takes now; nothing if it takes no more.
    async fn room(&mut self) -> Option<Result<usize, h2::Error>> {
        let mut room = pin!(poll_fn(|cx| self.stream.poll_capacity(cx)));
        if let Ok(room) = timeout(STALLED_AFTER, &mut room).await {
            return room;
        }
        let _stalled = Stalled::on(&self.use_);
        if self.may_move {
            // From here on nothing of it goes out on this one.
            self.is_behind.notify_one();
            std::future::pending::<()>().await;
        }
        room.await
    }
}

/// A response's content on one stream.
pub(super) struct Stream {
    ahead: Option<Ahead>,
    use_: Arc<Use>,
}

impl Stream {
    pub(super) fn is_end_stream(&self) -> bool {
        self.ahead.as_ref().is_none_or(Ahead::is_over)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Misread>>> {
        let Some(ahead) = &mut self.ahead else { return Poll::Ready(None) };
        let frame = ready!(ahead.poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| Misread {
                reason: chain(&error),
                is_blameless: self.use_.blame(&error) != Blame::Server,
            })
        }))
    }
}
