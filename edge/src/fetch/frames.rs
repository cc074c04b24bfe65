//! The bytes of a server that speaks HTTP/2, less what says nothing.
//!
//! In: a byte stream of frames. Out: the same without empty DATA frames that end no stream, and a
//! sign of life for each read.
//! Always holds: every other frame passes as it came; what is read without a pause is bounded, so
//! that readers of streams have their turn.
//! It judges no frame: what is none goes on as it is.
//!
//! An empty DATA frame has no effect (RFC 9113 §6.1), and servers that flush send them; the h2
//! library ends a connection that has had a hundred in all its life.
//!
//! RFC 9113 §4.1 (frame format).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, BufReader, ReadBuf};

use super::{connect::BoxedIo, life::Life};

/// What is read at once.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// How many reads follow one another without a pause.
const READS_MAX: u32 = 4;
/// The fixed part of a frame.
const HEAD: usize = 9;
const DATA: u8 = 0;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// See the module.
pub(super) struct Frames {
    io: BufReader<BoxedIo>,
    sieve: Sieve,
    life: Arc<Life>,
    reads: u32,
}

impl Frames {
    pub(super) fn of(io: BoxedIo, life: Arc<Life>) -> Self {
        let io = BufReader::with_capacity(READ_BYTES, io);
        Self { io, sieve: Sieve::default(), life, reads: 0 }
    }

    /// Has something in the buffer, unless it is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reads >= READS_MAX {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(filled) = Pin::new(&mut self.io).poll_fill_buf(cx) else {
            self.reads = 0;
            return Poll::Pending;
        };
        if !filled?.is_empty() {
            self.reads += 1;
            self.life.heard();
        }
        Poll::Ready(Ok(()))
    }
}

/// Where in a frame the stream is.
#[derive(Default)]
struct Sieve {
    head: Vec<u8>,
    /// How much of the head has passed.
    passed: usize,
    /// What is left of the payload.
    left: usize,
}

impl Sieve {
    /// Passes on what there is room for; how much of `from` was used.
    fn pass(&mut self, from: &[u8], to: &mut ReadBuf<'_>) -> usize {
        let mut rest = from;
        loop {
            if self.head.len() < HEAD {
                take(&mut rest, HEAD - self.head.len(), |part| self.head.extend_from_slice(part));
                if self.head.len() < HEAD {
                    break;
                }
                (self.left, self.passed) = (length(&self.head), 0);
                if says_nothing(&self.head) {
                    self.head.clear();
                    continue;
                }
            }
            let mut head = self.head.get(self.passed..).unwrap_or_default();
            self.passed += take(&mut head, to.remaining(), |part| to.put_slice(part));
            let room = to.remaining().min(self.left);
            self.left -= take(&mut rest, room, |part| to.put_slice(part));
            if self.passed < HEAD || self.left > 0 {
                break;
            }
            self.head.clear();
        }
        from.len() - rest.len()
    }
}

/// Takes up to `most` bytes off the front.
fn take(from: &mut &[u8], most: usize, with: impl FnOnce(&[u8])) -> usize {
    let (part, rest) = from.split_at(from.len().min(most));
    with(part);
    *from = rest;
    part.len()
}

fn length(head: &[u8]) -> usize {
    head.iter().take(3).fold(0, |length, octet| length << 8 | usize::from(*octet))
}

fn says_nothing(head: &[u8]) -> bool {
    match head {
        [0, 0, 0, DATA, flags, ..] => flags & (END_STREAM | PADDED) == 0,
        _ => false,
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            let used = this.sieve.pass(this.io.buffer(), buf);
            Pin::new(&mut this.io).consume(used);
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_fill(cx))?;
            if this.io.buffer().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, join, sink};

    use super::*;

    /// A stream of these bytes, all there.
    fn frames(bytes: Vec<u8>) -> Frames {
        Frames::of(Box::new(join(io::Cursor::new(bytes), sink())), Arc::new(Life::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_streams_have_their_turn_and_nothing_is_left_behind() {
        let data = frame(DATA, 0, &[b'x'; 200]);
        let all = data.repeat(2000);
        let mut stream = frames(all.clone());
        let mut passed = Vec::<u8>::new();
        // The longest time without a pause.
        let (mut ready, mut longest) = (0, 0);
        let whole = std::future::poll_fn(|cx| {
            loop {
                let mut buf = [0; READ_BYTES];
                let mut buf = ReadBuf::new(&mut buf);
                let Poll::Ready(read) = Pin::new(&mut stream).poll_read(cx, &mut buf) else {
                    ready = 0;
                    return Poll::Pending;
                };
                read.unwrap();
                passed.extend(buf.filled());
                ready += 1;
                longest = longest.max(ready);
                if buf.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        });
        tokio::time::timeout(std::time::Duration::from_secs(9), whole).await.unwrap();
        assert_eq!(passed, all);
        assert!(longest <= 2 * READS_MAX, "{longest} reads without a pause");
    }

    #[tokio::test]
    async fn what_is_no_frame_goes_on_as_it_is_to_its_end() {
        // Of a payload that is longer than what came of it, which may look like frames that say nothing.
        let lengthy = |octet: usize| {
            let mut frame = [frame(4, 0, b""), frame(DATA, 0, b""), vec![0; 2 * HEAD]].concat();
            frame[octet] = 1;
            frame
        };
        let cut = frame(4, 0, b"abc")[..11].to_vec();
        for bytes in [lengthy(0), lengthy(1), cut, frame(DATA, PADDED, b"")] {
            let mut passed = Vec::<u8>::new();
            frames(bytes.clone()).read_to_end(&mut passed).await.unwrap();
            assert_eq!(passed, bytes);
        }
        let mut passed = Vec::<u8>::new();
        frames(frame(DATA, 0, b"")).read_to_end(&mut passed).await.unwrap();
        assert!(passed.is_empty());
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        frame.extend(payload);
        frame
    }

    #[test]
    fn rfc9113_6_1_empty_data_is_left_out_wherever_reads_and_buffers_end() {
        let (empty, data) = (frame(DATA, 0, b""), frame(DATA, 0, b"\0\0\0\0\0\0\0\0\0content"));
        let kept = [
            data.clone(),
            frame(DATA, END_STREAM, b""),
            frame(DATA, PADDED, b"\0"),
            frame(4, 0, b""),
            data,
        ];
        let all: Vec<u8> = kept
            .iter()
            .flat_map(|one| [empty.clone(), one.clone(), empty.clone()].concat())
            .collect();
        for read in 1..all.len() {
            for room in [1, 2, 8, 9, 10, 64] {
                let (mut sieve, mut passed) = (Sieve::default(), Vec::<u8>::new());
                for mut from in all.chunks(read) {
                    loop {
                        let mut to = vec![0; room];
                        let mut to = ReadBuf::new(&mut to);
                        let used = sieve.pass(from, &mut to);
                        from = &from[used..];
                        passed.extend(to.filled());
                        if from.is_empty() && to.filled().is_empty() {
                            break;
                        }
                    }
                }
                assert_eq!(passed, kept.concat(), "{read} read, room for {room}");
            }
        }
    }
}
