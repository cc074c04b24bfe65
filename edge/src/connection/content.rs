//! A request's content, whichever connection brings it.
//!
//! In: hyper's or the HTTP/2 library's side of it. Out: frames for who forwards it.
//! Always holds: content that breaks off ends in an error, whatever reason the client gives: a
//! cancelled upload must not reach an origin as a complete one; the client's window opens by what
//! was read, so that what lies here unread is bounded by that window and charged to the budget.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::streams::StreamInterim;
use crate::store::budget::Charge;

/// A request's content.
#[derive(Debug)]
pub enum RequestContent {
    /// It comes over HTTP/1.1.
    Http1(Incoming),
    /// It comes over HTTP/2.
    Http2(StreamContent),
}

/// Why a request's content broke off.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// An HTTP/1.1 connection ended, or its framing did.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// An HTTP/2 stream or its connection ended.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

/// The content of one HTTP/2 stream.
#[derive(Debug)]
pub struct StreamContent {
    incoming: RecvStream,
    /// What Content-Length leaves to come.
    left: Option<u64>,
    is_read: bool,
    interim: StreamInterim,
    /// The client waits for leave to send (RFC 9110 §10.1.1).
    expects: bool,
    charges: Charges,
}

/// What a stream takes of the budget as long as its request is not done with.
#[derive(Debug)]
pub(super) struct Charges {
    /// Its request, until who waits with it takes that over; nothing where there was no room.
    pub(super) request: Option<Charge>,
    /// The connection's window; nothing where there is no content.
    pub(super) _window: Option<Arc<Charge>>,
}

impl StreamContent {
    pub(super) fn new(
        incoming: RecvStream,
        fields: &HeaderMap,
        (interim, charges): (StreamInterim, Charges),
    ) -> Self {
        let length = fields.get(header::CONTENT_LENGTH);
        let left = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let expects = fields.contains_key(header::EXPECT);
        Self { incoming, left, is_read: false, interim, expects, charges }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_read {
            let polled = self.incoming.poll_data(cx);
            // What is here already needs no leave.
            if std::mem::take(&mut self.expects) && polled.is_pending() {
                self.interim.send(StatusCode::CONTINUE, HeaderMap::new());
            }
            if let Some(content) = ready!(polled) {
                let content = content?;
                self.incoming.flow_control().release_capacity(content.len())?;
                self.left = self.left.map(|left| left.saturating_sub(content.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(content))));
            }
            self.is_read = true;
        }
        let trailers = ready!(self.incoming.poll_trailers(cx))?;
        if trailers.as_ref().is_some_and(has_bare_space) {
            return Poll::Ready(Some(Err(Reason::PROTOCOL_ERROR.into())));
        }
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl RequestContent {
    /// What the request takes of the budget already.
    pub fn take_charge(&mut self) -> Option<Charge> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(content) => content.charges.request.take(),
        }
    }

    /// The way to an HTTP/2 client for interim responses; HTTP/1.1 has one for its connection.
    #[must_use]
    pub fn interim(&self) -> Option<StreamInterim> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(content) => Some(content.interim.clone()),
        }
    }
}

/// Whether a value begins or ends with white space: a message with one is malformed
/// (RFC 9113 §8.2.1).
pub(super) fn has_bare_space(fields: &HeaderMap) -> bool {
    let is_space = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    fields.values().map(HeaderValue::as_bytes).any(|of| is_space(of.first()) || is_space(of.last()))
}

impl Body for RequestContent {
    type Data = Bytes;
    type Error = ContentError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ContentError>>> {
        match self.get_mut() {
            Self::Http1(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| Ok(frame?)))
            }
            Self::Http2(content) => content.poll(cx).map(|frame| frame.map(|frame| Ok(frame?))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(content) => content.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2(content) => {
                content.left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}
