//! A body that one filling appends to and any number of readers stream from, each at its own pace.
//!
//! In: chunks from the origin, in order, then an end. Out: the same chunks to every reader, woken
//! when there are more, never polled by time.
//! Always holds: every chunk is charged to the byte budget until its last reference drops; a
//! kept body holds all its chunks until its end; a windowed one costs at most `window` bytes (or one
//! chunk) that its slowest reader has not let go of, and its writer waits meanwhile; a body that was
//! broken off is never complete; of a body whose end is known nobody has the last octet before
//! [`SharedBody::finish`].
//! What a reader has been given counts until it is dropped, not until it is given: it may stand in
//! a connection's queue for as long as its client likes.
//! It knows nothing of HTTP, keys or storing.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use slab::Slab;
use tokio::time::{Instant, sleep_until};

use super::budget::{Budget, COPY_OVERHEAD_BYTES, Charge, PIECE_BYTES, Purse, cost};

/// How long a windowed body waits for its slowest reader once another one has nothing left to
/// read, before the slow one is cut.
const LAGGARD_PATIENCE: Duration = Duration::from_secs(5);

/// Chunks smaller than this are joined to one as soon as [`SMALL_RUN`] of them stand at the end: an
/// origin that flushes byte by byte would else cost its content a hundred times over.
const SMALL_BYTES: usize = 512;
/// See [`SMALL_BYTES`]; joined they are no larger than a piece.
const SMALL_RUN: usize = 32;

/// How a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The origin's response broke off or stalled; its clients see the break.
    #[error("the origin broke off")]
    Origin,
    /// This reader was too slow for the others of a windowed body.
    #[error("the client was too slow for the others")]
    Laggard,
    /// The byte budget had no room for even one more chunk.
    #[error("no memory left for the next chunk")]
    Memory,
    /// Every client had gone and more remained than an orphan may fetch.
    #[error("no client was left")]
    Orphaned,
}

/// The shared body; the writer and all readers hold one.
#[derive(Debug)]
pub struct SharedBody {
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Each chunk with its offset, in order.
    chunks: VecDeque<(u64, Bytes)>,
    /// Offset of the first chunk that is still held.
    base: u64,
    /// What the chunks cost.
    held: usize,
    /// Chunks at the end that are smaller than [`SMALL_BYTES`].
    small: usize,
    /// Bytes appended so far.
    length: u64,
    /// `None` keeps everything; otherwise what the chunks may cost that the slowest reader holds up.
    window: Option<usize>,
    /// What the window's chunks are paid with first. A reader that was cut may keep some of them
    /// for a while; others are then charged by themselves.
    purse: Option<Arc<Purse>>,
    /// The last piece, kept back until the end.
    last: Option<Bytes>,
    end: Option<Result<(), Broken>>,
    /// Readers that are on their way; nothing is dropped before they are here.
    expected: usize,
    readers: Slab<ReaderState>,
    /// Readers so far; each is known by its number, as slots are used again.
    readers_seen: u64,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct ReaderState {
    number: u64,
    /// Up to where it was given chunks.
    offset: u64,
    /// Up to where it has let go of them.
    released: u64,
    waker: Option<Waker>,
    cut: bool,
}

impl SharedBody {
    /// An empty body that keeps everything until told otherwise.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                base: 0,
                held: 0,
                small: 0,
                length: 0,
                window: None,
                purse: None,
                last: None,
                end: None,
                expected: 0,
                readers: Slab::new(),
                readers_seen: 0,
                writer: None,
            }),
        })
    }

    /// Turns the body into a window as large as `charge`: from now on what all have let go of is
    /// dropped, and what is appended is paid out of that charge.
    pub fn narrow(&self, charge: Charge) {
        let mut state = self.state.lock();
        state.window = Some(charge.bytes());
        state.purse = Some(Purse::new(charge));
        state.drop_read_by_all();
    }

    /// Drops what all have read, and from now on will have read, and nothing is appended any more
    /// until [`Self::narrow`] gives the body a window.
    pub fn squeeze(&self) {
        let mut state = self.state.lock();
        state.window = Some(0);
        state.drop_read_by_all();
    }

    /// Announces `readers` that will come, or be [called off](Self::call_off).
    pub fn expect(&self, readers: usize) {
        self.state.lock().expected = readers;
    }

    /// One announced reader has come or will not come.
    pub fn call_off(&self) {
        let mut state = self.state.lock();
        state.expected = state.expected.saturating_sub(1);
        state.drop_read_by_all();
    }

    /// Whether everything since the first byte is still held.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let state = self.state.lock();
        state.window.is_none() && state.base == 0
    }

    /// Bytes appended so far, the last piece among them.
    #[must_use]
    pub fn length(&self) -> u64 {
        let state = self.state.lock();
        state.length.saturating_add(state.last.as_ref().map_or(0, |last| last.len() as u64))
    }

    /// Appends an exact copy of `content` and wakes the readers. It is paid out of the window's
    /// charge while that lasts, else charged by itself.
    ///
    /// # Errors
    /// [`Broken::Memory`] when the budget has no room; nothing was appended then.
    pub fn append(&self, content: &[u8]) -> Result<(), Broken> {
        if content.is_empty() {
            return Ok(());
        }
        let purse = self.state.lock().purse.clone();
        let chunk = self.copy(purse.as_ref(), content).ok_or(Broken::Memory)?;
        let wakers = {
            let mut state = self.state.lock();
            let start = state.length;
            state.length = start.saturating_add(chunk.len() as u64);
            state.push(start, chunk);
            if state.small >= SMALL_RUN {
                let (start, small) = state.last_small();
                // Without memory for it they stay as they are.
                if let Some(joined) = self.copy(purse.as_ref(), &small) {
                    state.pop_small();
                    state.push(start, joined);
                }
            }
            state.reader_wakers()
        };
        wake(wakers);
        Ok(())
    }

    /// Appends the last piece of a kept body, which readers get with the end: who has all that was
    /// announced asks again at once, and must then find it stored.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_last(&self, content: &[u8]) -> Result<(), Broken> {
        let chunk = self.budget.copy(content).ok_or(Broken::Memory)?;
        self.state.lock().last = Some(chunk);
        Ok(())
    }

    /// An exact copy, paid out of the purse while it lasts.
    fn copy(&self, purse: Option<&Arc<Purse>>, content: &[u8]) -> Option<Bytes> {
        purse.and_then(|purse| purse.copy(content)).or_else(|| self.budget.copy(content))
    }

    /// Waits until a windowed body has room for more; a kept one always has.
    ///
    /// Readers that hold the window full while another has read everything are cut after
    /// [`LAGGARD_PATIENCE`], so that slow clients do not slow the rest for ever.
    pub async fn room(&self) {
        let patience = sleep_until(Instant::now() + LAGGARD_PATIENCE);
        tokio::pin!(patience);
        poll_fn(|cx| {
            if self.poll_room(cx).is_ready() {
                return Poll::Ready(());
            }
            if patience.as_mut().poll(cx).is_ready() {
                self.cut_laggards();
                patience.as_mut().reset(Instant::now() + LAGGARD_PATIENCE);
                // The timer must be polled again to be armed again.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        let Some(window) = state.window else { return Poll::Ready(()) };
        let nobody = state.readers.is_empty() && state.expected == 0;
        // A whole piece fits, or it is the only one.
        let fits = state.held.saturating_add(PIECE_BYTES + COPY_OVERHEAD_BYTES) <= window;
        if fits || state.chunks.is_empty() || nobody {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Cuts the slowest readers, and with them all that are more than half a window behind: in all
    /// this time they have not read the other half. One after the other they would each cost the
    /// prompt ones their whole patience.
    fn cut_laggards(&self) {
        let wakers = {
            let mut state = self.state.lock();
            let length = state.length;
            let prompt = |(_, reader): (_, &ReaderState)| !reader.cut && reader.released == length;
            if !state.readers.iter().any(prompt) {
                return;
            }
            let half = state.offset_behind(state.window.unwrap_or(0) / 2);
            let slowest = state.uncut().map(|reader| reader.released).min().unwrap_or(length);
            let mut wakers = Vec::new();
            for (_, reader) in &mut state.readers {
                let behind = reader.released <= slowest || reader.released < half;
                if behind && !reader.cut && reader.released < length {
                    reader.cut = true;
                    wakers.extend(reader.waker.take());
                }
            }
            state.drop_read_by_all();
            wakers
        };
        wake(wakers);
    }

    /// Ends the body: whole, or broken off.
    pub fn finish(&self, how: Result<(), Broken>) {
        let wakers = {
            let mut state = self.state.lock();
            if state.end.is_some() {
                return;
            }
            if let Some(last) = state.last.take().filter(|_| how.is_ok()) {
                let start = state.length;
                state.length = start.saturating_add(last.len() as u64);
                state.push(start, last);
            }
            state.end = Some(how);
            state.reader_wakers()
        };
        wake(wakers);
    }

    /// All chunks of a kept body as far as it has come, the last piece among them.
    #[must_use]
    pub fn chunks_so_far(&self) -> Option<Vec<Bytes>> {
        let state = self.state.lock();
        let whole = state.window.is_none() && state.base == 0;
        let chunks = state.chunks.iter().map(|(_, chunk)| chunk);
        whole.then(|| chunks.chain(&state.last).cloned().collect())
    }

    /// A reader from `offset` on; `None` when that is no longer held.
    #[must_use]
    pub fn reader(self: &Arc<Self>, offset: u64) -> Option<Reader> {
        let mut state = self.state.lock();
        if offset < state.base || (state.window.is_some() && offset > state.base) {
            return None;
        }
        let number = state.readers_seen;
        state.readers_seen += 1;
        let reader = ReaderState { number, offset, released: offset, waker: None, cut: false };
        let slot = state.readers.insert(reader);
        drop(state);
        Some(Reader { body: Arc::clone(self), slot })
    }

    /// A reader has let go of `bytes` more.
    fn release(&self, (slot, number): (usize, u64), bytes: usize) {
        let mut state = self.state.lock();
        let Some(reader) = state.readers.get_mut(slot).filter(|reader| reader.number == number)
        else {
            return;
        };
        reader.released = reader.released.saturating_add(bytes as u64);
        state.drop_read_by_all();
    }
}

impl State {
    fn push(&mut self, start: u64, chunk: Bytes) {
        self.held = self.held.saturating_add(cost(&chunk));
        self.small = if chunk.len() < SMALL_BYTES { self.small + 1 } else { 0 };
        self.chunks.push_back((start, chunk));
    }

    /// Where the last [`SMALL_RUN`] chunks start, and their content.
    fn last_small(&self) -> (u64, Vec<u8>) {
        let first = self.chunks.len().saturating_sub(SMALL_RUN);
        let mut content = Vec::with_capacity(SMALL_RUN * SMALL_BYTES);
        self.chunks.range(first..).for_each(|(_, chunk)| content.extend_from_slice(chunk));
        (self.chunks.get(first).map_or(self.length, |(start, _)| *start), content)
    }

    /// Takes them away. What readers have been given of them is theirs.
    fn pop_small(&mut self) {
        for _ in 0..SMALL_RUN {
            let Some((_, chunk)) = self.chunks.pop_back() else { break };
            self.held = self.held.saturating_sub(cost(&chunk));
        }
        self.small = 0;
    }

    fn uncut(&self) -> impl Iterator<Item = &ReaderState> {
        self.readers.iter().map(|(_, reader)| reader).filter(|reader| !reader.cut)
    }

    /// The least offset behind which chunks of no more than `bytes` stand.
    fn offset_behind(&self, bytes: usize) -> u64 {
        let mut left = bytes;
        let fits = |(_, chunk): &&(u64, Bytes)| match left.checked_sub(cost(chunk)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let last = self.chunks.iter().rev().take_while(fits).last();
        last.map_or(self.length, |(start, _)| *start)
    }

    fn reader_wakers(&mut self) -> Vec<Waker> {
        self.readers.iter_mut().filter_map(|(_, reader)| reader.waker.take()).collect()
    }

    /// Drops the chunks of a windowed body that every reader has let go of, and wakes the writer.
    fn drop_read_by_all(&mut self) {
        if self.window.is_none() || self.expected > 0 {
            return;
        }
        let before = self.base;
        while let Some((start, chunk)) = self.chunks.front() {
            let end = start.saturating_add(chunk.len() as u64);
            // Not the minimum over all readers: the first that still holds it is enough.
            if self.uncut().any(|reader| reader.released < end) {
                break;
            }
            self.held = self.held.saturating_sub(cost(chunk));
            self.base = end;
            self.chunks.pop_front();
        }
        self.small = self.small.min(self.chunks.len());
        if (self.base > before || self.readers.is_empty())
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }

    /// The chunk at `offset`, from there to its end.
    fn chunk_at(&self, offset: u64) -> Option<Bytes> {
        let after = self.chunks.partition_point(|(start, _)| *start <= offset);
        let (start, chunk) = self.chunks.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(offset.saturating_sub(*start)).unwrap_or(usize::MAX);
        (skip < chunk.len()).then(|| chunk.slice(skip..))
    }
}

fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

/// One reader's place in a [`SharedBody`].
#[derive(Debug)]
pub struct Reader {
    body: Arc<SharedBody>,
    slot: usize,
}

impl Reader {
    /// The next chunk; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let mut guard = self.body.state.lock();
        let state = &mut *guard;
        let Some(reader) = state.readers.get_mut(self.slot) else {
            return Poll::Ready(Some(Err(Broken::Laggard)));
        };
        if reader.cut {
            return Poll::Ready(Some(Err(Broken::Laggard)));
        }
        let offset = reader.offset;
        if offset < state.length {
            let Some(chunk) = state.chunk_at(offset) else {
                return Poll::Ready(Some(Err(Broken::Laggard)));
            };
            let windowed = state.window.is_some();
            let Some(reader) = state.readers.get_mut(self.slot) else {
                return Poll::Ready(Some(Err(Broken::Laggard)));
            };
            reader.offset = offset.saturating_add(chunk.len() as u64);
            if !windowed {
                // Nothing waits for it, and it is charged by itself.
                reader.released = reader.offset;
                return Poll::Ready(Some(Ok(chunk)));
            }
            let reader = (self.slot, reader.number);
            let body = Arc::clone(&self.body);
            return Poll::Ready(Some(Ok(Bytes::from_owner(Given { chunk, body, reader }))));
        }
        match state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(broken)) => Poll::Ready(Some(Err(broken))),
            None => {
                if let Some(reader) = state.readers.get_mut(self.slot) {
                    match &mut reader.waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                }
                Poll::Pending
            }
        }
    }
}

/// A chunk of a windowed body in a reader's hands.
struct Given {
    chunk: Bytes,
    body: Arc<SharedBody>,
    reader: (usize, u64),
}

impl AsRef<[u8]> for Given {
    fn as_ref(&self) -> &[u8] {
        &self.chunk
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.body.release(self.reader, self.chunk.len());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.body.state.lock();
        state.readers.remove(self.slot);
        state.drop_read_by_all();
        // An orphaned filling must notice that it is one, even while it waits for room.
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}
