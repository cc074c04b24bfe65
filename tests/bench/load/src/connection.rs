//! One keep-alive connection with one request on its way at a time.
//!
//! In: paths to ask for, bytes from the socket. Out: [`Progress`]. What always holds: an answer is
//! complete when all content that its `Content-Length` promises has arrived; an answer without one
//! breaks the connection, because the servers compared here all send it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A response head longer than this is none.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What has become of the request on its way.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    Waiting,
    Answered {
        due: Duration,
        good: bool,
    },
    /// The connection is of no use any more; `unanswered` if a request was on its way.
    Broken {
        unanswered: bool,
    },
}

/// The connection and the answer that is arriving on it.
pub(crate) struct Connection {
    stream: TcpStream,
    due: Option<Duration>,
    unsent: Vec<u8>,
    head: Vec<u8>,
    good: bool,
    content_left: Option<u64>,
    buffer: Box<[u8]>,
}

impl Connection {
    /// Starts to connect; requests may be given to it at once.
    pub(crate) fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            due: None,
            unsent: Vec::new(),
            head: Vec::new(),
            good: false,
            content_left: None,
            buffer: vec![0; 64 * 1024].into_boxed_slice(),
        })
    }

    /// The same place, on a new connection.
    pub(crate) fn reopen(
        &mut self,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        registry.deregister(&mut self.stream)?;
        *self = Self::open(address, registry, token)?;
        Ok(())
    }

    /// Asks for `path`; what the socket does not take now, [`Self::advance`] sends.
    pub(crate) fn send(&mut self, path: &str, host: SocketAddr, due: Duration) -> io::Result<()> {
        self.due = Some(due);
        self.head.clear();
        self.content_left = None;
        write!(self.unsent, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        // A failure shows when the answer is read.
        drop(self.flush());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let sent = self.stream.write(&self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Sends and reads what is possible now.
    pub(crate) fn advance(&mut self) -> Progress {
        match self.flush() {
            Err(error) if !is_later(&error) => return self.broken(),
            _ => {}
        }
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = self.stream.read(&mut buffer);
            let arrived =
                read.as_ref().ok().and_then(|count| buffer.get(..*count)).unwrap_or_default();
            let progress = match &read {
                Ok(0) => self.broken(),
                Err(error) if is_later(error) => Progress::Waiting,
                Err(_) => self.broken(),
                Ok(_) => self.receive(arrived),
            };
            self.buffer = buffer;
            if progress != Progress::Waiting || read.is_err() {
                return progress;
            }
        }
    }

    fn broken(&self) -> Progress {
        Progress::Broken { unanswered: self.due.is_some() }
    }

    fn receive(&mut self, mut arrived: &[u8]) -> Progress {
        if self.content_left.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(arrived);
            let from = before.saturating_sub(3);
            let end =
                self.head.get(from..).unwrap_or_default().windows(4).position(|w| w == b"\r\n\r\n");
            let Some(end) = end.map(|at| from + at + 4) else {
                let endless = self.head.len() > HEAD_BYTES_MAX;
                return if endless { self.broken() } else { Progress::Waiting };
            };
            arrived = arrived.get(end - before..).unwrap_or_default();
            self.head.truncate(end);
            self.good = self.head.starts_with(b"HTTP/1.1 200 ");
            self.content_left = content_length(&self.head);
        }
        let Some(left) = self.content_left.and_then(|left| left.checked_sub(arrived.len() as u64))
        else {
            return self.broken();
        };
        self.content_left = Some(left);
        match self.due {
            Some(due) if left == 0 => {
                self.due = None;
                Progress::Answered { due, good: self.good }
            }
            Some(_) => Progress::Waiting,
            None => self.broken(),
        }
    }
}

/// Whether the socket is only not ready yet, to connect, send or receive.
fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}

fn content_length(head: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.trim().parse().ok()
}
