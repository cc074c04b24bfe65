//! One exchange on a shared HTTP/2 connection.
//!
//! In: a request. Out: its response, whose content is read at the reader's pace.
//! Always holds: a seat that drops gives its stream up (RST_STREAM, RFC 9113 §5.4.2) and leaves the
//! connection to the others; a request's content goes out as fast as the server takes it and no
//! faster; of a request that the server says it has not looked at (REFUSED_STREAM, or GOAWAY with a
//! lower number, RFC 9113 §8.7) that is known. It knows no server, no queue and no deadline.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};
use http_body::{Body as _, Frame, SizeHint};
use tokio::task::AbortHandle;

use super::{
    chain,
    content::ClientContent,
    link::{RESPONSE_HEAD_FIELDS_MAX, Signs},
    pool::OnInterim,
    trunk::Trunk,
    way::{Content, Misread, Unanswered},
};
use crate::store::budget::Charge;

/// Whom interim responses are for, in a request's extensions.
#[derive(Clone)]
pub(super) struct Interim(pub(super) OnInterim);

/// A place for one stream on a connection.
pub(super) struct Seat {
    trunk: Arc<Trunk>,
    signs: Arc<Signs>,
    upload: Option<Upload>,
    charge: Option<Charge>,
}

/// The task that sends a request's content; it ends with its seat.
struct Upload(AbortHandle);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.trunk.leave();
    }
}

impl Seat {
    pub(super) fn new(trunk: Arc<Trunk>) -> Self {
        Self { trunk, signs: Arc::new(Signs::new()), upload: None, charge: None }
    }

    /// Holds the memory for what the server may send ahead.
    pub(super) fn hold(&mut self, charge: Charge) {
        self.charge = Some(charge);
    }

    /// What the server has shown of itself on this stream.
    pub(super) fn signs(&self) -> Arc<Signs> {
        Arc::clone(&self.signs)
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
            Err(reason) => return Err(Unanswered::fault(reason)),
        };
        if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
            // It has gone since the seat was taken.
            self.trunk.close();
            return Err(Unanswered::unsent(message, chain(&error)));
        }
        let is_whole = message.body().is_end_stream();
        let (mut response, stream) = match sender.send_request(head, is_whole) {
            Ok(sent) => sent,
            Err(error) => return Err(Unanswered::unsent(message, chain(&error))),
        };
        let message = if is_whole {
            Some(message)
        } else {
            let sending = send_content(message.into_body(), stream, Arc::clone(&self.signs));
            self.upload = Some(Upload(self.trunk.fills.spawn(sending).abort_handle()));
            None
        };
        match answer(&mut response, interim.as_ref()).await {
            Ok(response) if response.headers().len() > RESPONSE_HEAD_FIELDS_MAX => {
                let reason = format!("a head of more than {RESPONSE_HEAD_FIELDS_MAX} fields");
                Err(Unanswered { message: None, reason, is_answer: true })
            }
            Ok(response) => Ok(response.map(|stream| Content::Shared(Stream::new(stream)))),
            Err(error) => {
                let message = message.filter(|_| is_unprocessed(&error));
                if error.is_go_away() {
                    self.trunk.close();
                }
                Err(Unanswered { message, reason: chain(&error), is_answer: is_misread(&error) })
            }
        }
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

/// Whether the server says that it has not looked at a request (RFC 9113 §8.7). A GOAWAY that tells
/// of an error may be about any stream.
fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let left = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
    error.is_remote() && (refused || left)
}

/// Whether a stream was ended on our side because of what the server said on it.
fn is_misread(error: &h2::Error) -> bool {
    error.is_reset() && error.is_library()
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

/// Sends a request's content at the server's pace.
async fn send_content(
    mut content: ClientContent,
    mut stream: SendStream<Bytes>,
    signs: Arc<Signs>,
) {
    let sent = async {
        loop {
            let next = tokio::select! {
                next = poll_fn(|cx| Pin::new(&mut content).poll_frame(cx)) => next,
                // The server wants no more of it.
                _ = poll_fn(|cx| stream.poll_reset(cx)) => return Ok(()),
            };
            let Some(frame) = next else { return stream.send_data(Bytes::new(), true) };
            let Ok(frame) = frame else {
                stream.send_reset(Reason::CANCEL);
                return Ok(());
            };
            match frame.into_data() {
                Ok(data) => send_piece(&mut stream, data, &signs).await?,
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return stream.send_trailers(trailers);
                }
            }
        }
    };
    if let Err(error) = sent.await {
        tracing::debug!(error = %chain(&error), "a request's content was not taken");
    }
}

async fn send_piece(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    signs: &Signs,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
        let piece = data.split_to(room?.min(data.len()));
        signs.taken();
        stream.send_data(piece, false)?;
    }
    Ok(())
}

/// A response's content on one stream.
pub(super) struct Stream {
    stream: RecvStream,
    is_read: bool,
}

impl Stream {
    fn new(stream: RecvStream) -> Self {
        Self { stream, is_read: false }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Misread>>> {
        let wrong =
            |error: h2::Error| Misread { reason: chain(&error), is_misframed: is_misread(&error) };
        if !self.is_read {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Taken in hand: the server may send as much again.
                    let released = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(released.map(|()| Frame::data(data)).map_err(wrong)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(wrong(error)))),
                None => self.is_read = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map_err(wrong).transpose().map(|ended| ended.map(Frame::trailers)))
    }
}
