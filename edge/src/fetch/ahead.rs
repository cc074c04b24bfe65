//! What a server sends ahead on one stream, read as it comes.
//!
//! In: a stream. Out: its content at the reader's pace.
//! Always holds: the library keeps nothing: it has a place for each frame, of whatever size, which
//! nobody is charged for, and ends the connection of all when there are too many; what is kept here
//! is the content and hardly more, no more than the stream's window, which opens again only as the
//! reader takes it. It knows no request.
//!
//! RFC 9113 §5.2 (flow control), §8.1 (trailers).

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use h2::{FlowControl, RecvStream};
use http::HeaderMap;
use http_body::Frame;
use parking_lot::Mutex;
use tokio::{runtime::Handle, task::AbortHandle};

/// Smaller pieces are copied together: each would keep the buffer that it was read in.
const COPIED_BELOW: usize = 4 * 1024;
/// What is copied together at most.
const COPY_BYTES: usize = 16 * 1024;

/// See the module.
pub(super) struct Ahead {
    queue: Arc<Mutex<Queue>>,
    flow: FlowControl,
    reader: AbortHandle,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    /// What comes after them.
    tail: BytesMut,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Ahead {
    /// Reads `stream` on `fills`; `at_end` is told when the server has nothing more to say.
    pub(super) fn of(
        mut stream: RecvStream,
        fills: &Handle,
        at_end: impl FnOnce() + Send + 'static,
    ) -> Self {
        let queue = Arc::<Mutex<Queue>>::default();
        let flow = stream.flow_control().clone();
        let read = Arc::clone(&queue);
        let reader = fills.spawn(async move {
            let (last, end) = read_all(&mut stream, &read).await;
            at_end();
            // At once: whoever takes the last piece sees that it is the last.
            let mut queue = read.lock();
            queue.push(last);
            queue.ends(end);
        });
        Self { queue, flow, reader: reader.abort_handle() }
    }

    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        let queue = self.queue.lock();
        queue.is_empty() && matches!(queue.end, Some(Ok(None)))
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let mut queue = self.queue.lock();
        if let Some(data) = queue.next() {
            drop(queue);
            // Taken in hand: the server may send as much again.
            let released = self.flow.release_capacity(data.len());
            return Poll::Ready(Some(released.map(|()| Frame::data(data))));
        }
        match queue.end.replace(Ok(None)) {
            Some(Ok(trailers)) => {
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                queue.end = None;
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

type End = Result<Option<HeaderMap>, h2::Error>;

/// Reads up to the last piece and the end, which may have trailers.
async fn read_all(stream: &mut RecvStream, queue: &Mutex<Queue>) -> (Bytes, End) {
    while let Some(data) = poll_fn(|cx| stream.poll_data(cx)).await {
        match data {
            Ok(data) if stream.is_end_stream() => return (data, Ok(None)),
            Ok(data) => queue.lock().push(data),
            Err(error) => return (Bytes::new(), Err(error)),
        }
    }
    (Bytes::new(), poll_fn(|cx| stream.poll_trailers(cx)).await)
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let is_small = data.len() < COPIED_BELOW;
        if !self.tail.is_empty() && (!is_small || self.tail.len() + data.len() > COPY_BYTES) {
            let tail = self.tail.split().freeze();
            self.pieces.push_back(tail);
        }
        if is_small {
            self.tail.extend_from_slice(&data);
        } else {
            self.pieces.push_back(data);
        }
        self.wake();
    }

    fn ends(&mut self, end: End) {
        self.end = Some(end);
        self.wake();
    }

    fn next(&mut self) -> Option<Bytes> {
        let tail = |tail: &mut BytesMut| (!tail.is_empty()).then(|| tail.split().freeze());
        self.pieces.pop_front().or_else(|| tail(&mut self.tail))
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
