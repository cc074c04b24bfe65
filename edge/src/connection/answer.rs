//! One HTTP/2 stream's answer, from the hallway to the client's window.
//!
//! In: an answer, at once or later, and the library's side of the stream. Out: frames.
//! Always holds: the task lives until the last byte was accepted by the transport, so that a client
//! that stops inside it can still be reset, alone; the body, its charges and its record go then and
//! not before (RFC 9113 §5.1, §8.1).

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Body as _;

use super::streams::{Piece, Progress, Stream};
use crate::{body::ServeBody, serve::Answered};

/// Fields that speak of an HTTP/1.1 connection; a message with one is malformed (RFC 9113 §8.2.2).
const CONNECTION_FIELDS: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Sends the answer and ends with it, or with the stream.
pub(super) async fn answer(
    answered: Answered,
    mut respond: SendResponse<Piece>,
    mut stream: Stream,
) {
    let response = response_of(answered, &mut respond, &stream.progress).await;
    let Some(response) = response else { return };
    let (mut head, body) = response.into_parts();
    prepare(&mut head.headers, &body);
    let is_end = body.is_end_stream();
    match respond.send_response(Response::from_parts(head, ()), is_end) {
        Ok(to) => {
            stream.is_answered = true;
            if !is_end {
                let mut sending = Sending::new(body, Arc::clone(&stream.progress));
                let mut to = to;
                poll_fn(|cx| sending.poll(&mut to, cx)).await;
            }
        }
        Err(error) => {
            tracing::debug!(%error, "an HTTP/2 response was not sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// The response, unless the client resets the stream before; interim ones are sent meanwhile.
async fn response_of(
    answered: Answered,
    respond: &mut SendResponse<Piece>,
    progress: &Progress,
) -> Option<Response<ServeBody>> {
    let mut later = match answered {
        Answered::Now(response) => return Some(*response),
        Answered::Later(later) => later,
    };
    poll_fn(|cx| {
        progress.attend(cx.waker());
        let answer = later.as_mut().poll(cx);
        for interim in progress.take_interims() {
            if let Err(error) = respond.send_informational(interim) {
                tracing::debug!(%error, "an interim response was not sent");
            }
        }
        match answer {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    })
    .await
}

fn prepare(fields: &mut HeaderMap, body: &ServeBody) {
    for name in &CONNECTION_FIELDS {
        fields.remove(name);
    }
    if let (false, Some(length)) = (body.is_end_stream(), body.size_hint().exact()) {
        fields.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

/// Content on its way into the stream.
struct Sending {
    body: ServeBody,
    progress: Arc<Progress>,
    /// Waits for room in the client's window, and whether it is the last.
    held: Option<(Piece, bool)>,
    has_ended: bool,
}

impl Sending {
    fn new(body: ServeBody, progress: Arc<Progress>) -> Self {
        Self { body, progress, held: None, has_ended: false }
    }

    fn poll(&mut self, to: &mut SendStream<Piece>, cx: &mut Context<'_>) -> Poll<()> {
        self.progress.attend(cx.waker());
        if self.progress.is_stalled() {
            to.send_reset(Reason::CANCEL);
            return Poll::Ready(());
        }
        if to.poll_reset(cx).is_ready() {
            return Poll::Ready(());
        }
        match ready!(self.step(to, cx)) {
            Ok(()) => {}
            Err(reason) => to.send_reset(reason),
        }
        Poll::Ready(())
    }

    fn step(
        &mut self,
        to: &mut SendStream<Piece>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Reason>> {
        let broken = |_: h2::Error| Reason::INTERNAL_ERROR;
        loop {
            if let Some((piece, is_last)) = self.held.take() {
                if to.capacity() == 0 {
                    match to.poll_capacity(cx) {
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(_) => return Poll::Ready(Err(Reason::CANCEL)),
                        Poll::Pending => {
                            self.held = Some((piece, is_last));
                            return Poll::Pending;
                        }
                    }
                }
                to.send_data(piece, is_last).map_err(broken)?;
                self.has_ended = is_last;
                continue;
            }
            if self.has_ended {
                return if self.progress.is_taken() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(content) => {
                        // Not the whole piece: capacity that a stream reserves and does not use is
                        // taken from its neighbours.
                        to.reserve_capacity(1);
                        let is_last = self.body.is_end_stream();
                        self.held = Some((self.progress.give(content), is_last));
                    }
                    Err(frame) => {
                        to.reserve_capacity(0);
                        let trailers = frame.into_trailers().unwrap_or_default();
                        to.send_trailers(trailers).map_err(broken)?;
                        self.has_ended = true;
                    }
                },
                Some(Err(error)) => {
                    tracing::debug!(%error, "the content of an HTTP/2 response broke off");
                    return Poll::Ready(Err(Reason::INTERNAL_ERROR));
                }
                None => {
                    to.send_data(self.progress.give(Bytes::new()), true).map_err(broken)?;
                    self.has_ended = true;
                }
            }
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // What waits here goes with the task.
        self.held = None;
        let missing = self.progress.missing();
        if missing > 0 {
            self.body.broke_off(missing);
        }
    }
}
