//! A client's request content on its way to the origin: bounded in bytes and time, streamed with
//! backpressure, never kept but for its beginning, where a server may say that it has not looked at it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use edge_core::forward;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

use super::FetchError;
use crate::connection::RequestContent;

/// Content that has to arrive within one `body_timeout`, or else the rest of it: a single octet now
/// and then would hold the origin's connection for days.
const STEP_BYTES: u64 = 16 * 1024;

/// How much is kept to be sent again: no more than is queued for a server anyway.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// The same in pieces, which cost something each.
const KEPT_PIECES_MAX: usize = 64;

/// A client's request content on its way to the origin: bounded, streamed.
pub struct ClientContent {
    incoming: Option<RequestContent>,
    left: u64,
    /// The longest wait for [`STEP_BYTES`] or the rest.
    patience: Duration,
    /// What was waited for the current step, and how many bytes it still has to bring.
    waited: Duration,
    step_left: u64,
    /// Since when the next piece is awaited, and until when.
    awaited: Option<(Instant, Pin<Box<Sleep>>)>,
    /// What has gone out, where it is kept and as long as that is all of it.
    kept: Option<Vec<Piece>>,
    /// What goes out once more before the rest, the last first.
    again: Vec<Piece>,
    pub(super) watch: Arc<Watch>,
}

/// A piece of content.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn of(frame: Frame<Bytes>) -> Self {
        match frame.into_data() {
            // An exact copy: a piece of a few bytes would keep a whole read buffer in the queue.
            Ok(data) => Self::Data(Bytes::copy_from_slice(&data)),
            // Behind the content nobody may say what the head was not allowed to (RFC 9110 §6.5.1).
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                Self::Trailers(forward::trailer_fields(&trailers))
            }
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// What became of a client's content.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// 0 untouched, 1 begun, 2 read to its end, 3 broken off, 4 too large, 5 left unread.
    state: AtomicU32,
    turn: Mutex<Turn>,
    done: Notify,
}

/// Whose the next step of the content is.
#[derive(Clone, Copy, Debug, Default)]
enum Turn {
    /// The origin's, since the request was sent.
    #[default]
    First,
    /// The client's: its next piece is awaited, and its own deadline runs.
    Client,
    /// The origin's: it was handed a piece at this moment.
    Origin(Instant),
}

impl Watch {
    fn set(&self, state: u32) {
        self.state.store(state, Ordering::Release);
        if state >= 2 {
            self.done.notify_waiters();
        }
    }

    /// Since when the origin has had something to take of a request that went out at `sent`; none
    /// while the client is awaited.
    pub(super) fn origin_since(&self, sent: Instant) -> Option<Instant> {
        match *self.turn.lock() {
            Turn::First => Some(sent),
            Turn::Client => None,
            Turn::Origin(since) => Some(since),
        }
    }

    /// Since when the origin has had all of a request that went out at `sent`; none while it has not.
    pub(super) fn whole_since(&self, sent: Instant) -> Option<Instant> {
        let since = self.is_whole().then(|| self.origin_since(sent))?;
        since.map(|since| since.max(sent))
    }

    fn turn(&self, turn: Turn) {
        *self.turn.lock() = turn;
    }

    pub(super) async fn finished(&self) {
        let done = self.done.notified();
        if self.state.load(Ordering::Acquire) < 2 {
            done.await;
        }
    }

    /// Whether all of it was read.
    pub(super) fn is_whole(&self) -> bool {
        self.state.load(Ordering::Acquire) == 2
    }

    pub(super) fn failure(&self) -> Option<FetchError> {
        match self.state.load(Ordering::Acquire) {
            3 => Some(FetchError::RequestContent {
                reason: "it broke off".to_owned(),
                too_large: false,
            }),
            4 => Some(FetchError::RequestContent {
                reason: "it is larger than body_bytes_max".to_owned(),
                too_large: true,
            }),
            _ => None,
        }
    }
}

impl ClientContent {
    /// The content of a request, at most `max` bytes of it, [`STEP_BYTES`] of them (or the rest)
    /// within `patience`. Only waiting for the client counts, not what the origin takes.
    #[must_use]
    pub fn new(incoming: RequestContent, max: u64, patience: Duration) -> Self {
        let watch = Arc::default();
        Self {
            incoming: Some(incoming),
            left: max,
            patience,
            waited: Duration::ZERO,
            step_left: STEP_BYTES,
            awaited: None,
            kept: None,
            again: Vec::new(),
            watch,
        }
    }

    pub(super) fn none() -> Self {
        let watch = Watch::default();
        watch.set(2);
        Self {
            incoming: None,
            left: 0,
            patience: Duration::ZERO,
            waited: Duration::ZERO,
            step_left: STEP_BYTES,
            awaited: None,
            kept: None,
            again: Vec::new(),
            watch: Arc::new(watch),
        }
    }

    pub(super) fn untouched(&self) -> bool {
        self.incoming.is_none() || self.watch.state.load(Ordering::Acquire) == 0
    }

    /// Keeps what goes out from now on, up to [`KEPT_BYTES_MAX`].
    pub(super) fn keep(&mut self) {
        self.kept = self.untouched().then(Vec::new);
    }

    /// Begins anew, if all that has gone out is still here.
    pub(super) fn begin_anew(&mut self) {
        let Some(mut kept) = self.kept.take() else { return };
        if self.watch.failure().is_some() {
            return;
        }
        kept.reverse();
        self.again.append(&mut kept);
        self.watch.set(0);
    }

    /// Takes note of what goes out.
    fn note(&mut self, piece: &Piece) {
        let Some(kept) = &mut self.kept else { return };
        let bytes: usize = kept.iter().map(Piece::length).sum();
        if kept.len() < KEPT_PIECES_MAX && bytes + piece.length() <= KEPT_BYTES_MAX {
            kept.push(piece.clone());
        } else {
            self.kept = None;
        }
    }

    /// What goes out once more, if there is any left.
    fn next_again(&mut self) -> Option<Frame<Bytes>> {
        let piece = self.again.pop()?;
        self.watch.turn(Turn::Origin(Instant::now()));
        if self.is_end_stream() || self.size_hint().exact() == Some(0) {
            self.watch.set(2);
        }
        self.note(&piece);
        Some(piece.into())
    }

    pub(super) fn into_some(self) -> Option<Self> {
        self.incoming.is_some().then_some(self)
    }
}

impl Body for ClientContent {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let this = &mut *self;
        if this.incoming.is_none() {
            return Poll::Ready(None);
        }
        if this.watch.state.load(Ordering::Relaxed) == 0 {
            this.watch.set(1);
        }
        if let Some(frame) = this.next_again() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
            this.watch.turn(Turn::Client);
            let left = this.patience.saturating_sub(this.waited);
            let (_, deadline) = this.awaited.get_or_insert_with(|| {
                let now = Instant::now();
                (now, Box::pin(sleep_until(now + left)))
            });
            ready!(deadline.as_mut().poll(cx));
            this.watch.set(3);
            return Poll::Ready(this.watch.failure().map(Err));
        };
        if let Some((since, _)) = this.awaited.take() {
            this.waited += since.elapsed();
        }
        this.watch.turn(Turn::Origin(Instant::now()));
        let Some(frame) = frame else {
            this.watch.set(2);
            return Poll::Ready(None);
        };
        let Ok(frame) = frame else {
            this.watch.set(3);
            return Poll::Ready(this.watch.failure().map(Err));
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = this.left.checked_sub(length) else {
            this.watch.set(4);
            return Poll::Ready(this.watch.failure().map(Err));
        };
        this.left = left;
        this.step_left = this.step_left.saturating_sub(length);
        if this.step_left == 0 {
            (this.step_left, this.waited) = (STEP_BYTES, Duration::ZERO);
        }
        // hyper asks no further once it has all that was announced.
        if incoming.is_end_stream() || incoming.size_hint().exact() == Some(0) {
            this.watch.set(2);
        }
        let piece = Piece::of(frame);
        this.note(&piece);
        Poll::Ready(Some(Ok(piece.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_empty() && self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(incoming) = &self.incoming else { return SizeHint::with_exact(0) };
        let mut hint = incoming.size_hint();
        let again = self.again.iter().map(|piece| piece.length() as u64).sum::<u64>();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint.set_lower(hint.lower().saturating_add(again));
        hint
    }
}

impl Drop for ClientContent {
    fn drop(&mut self) {
        // A response may come before the content is read to its end; nobody waits for more then.
        if self.watch.state.load(Ordering::Acquire) < 2 {
            self.watch.set(5);
        }
    }
}
