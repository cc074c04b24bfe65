//! As much of HTTP/2 as it takes to hear a server refuse a stream and say goodbye (RFC 9113 §3.4,
//! §5.1.2, §6.7, §6.8).
//!
//! In: an address, targets. Out: frames. Always holds: settings and pings are acknowledged, as a
//! server may wait for that before it goes. It decodes no field.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use nearcast_tests::real::{
    PATIENCE, Tested,
    node::{Node, NodeFile},
};

use super::drain::{Gate, gated};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
/// END_STREAM and END_HEADERS: a request of one frame.
const WHOLE: u8 = 5;
/// REFUSED_STREAM: nothing was done, so the client may ask again (RFC 9113 §8.7).
const REFUSED: u32 = 7;
/// `:status: 200` (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;

/// A frame that came.
struct Frame {
    kind: u8,
    stream: u8,
    content: Vec<u8>,
}

/// A connection.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Opens one and waits until the server has said its settings.
    pub(crate) fn open(address: SocketAddr) -> Tested<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        let mut connection = Self(stream);
        connection.write(SETTINGS, 0, 0, &[])?;
        connection.next(|frame| frame.kind == SETTINGS)?;
        Ok(connection)
    }

    /// Reads until the server says GOAWAY and closes; the code that it gave.
    pub(crate) fn goodbye(&mut self) -> Tested<u32> {
        let mut code = None;
        loop {
            match (self.frame(), code) {
                (Ok(Frame { kind: GOAWAY, content, .. }), _) => code = Some(number(&content, 4)?),
                (Ok(_), _) => {}
                (Err(_), Some(code)) => return Ok(code),
                (Err(error), None) => return Err(format!("no GOAWAY: {error}").into()),
            }
        }
    }

    /// Sends a GET on `stream`.
    fn get(&mut self, stream: u8, target: &str) -> Tested {
        // `:method: GET`, `:scheme: http`, then `:path` and `:authority` by the names' indexes.
        let path = [&[0x44, u8::try_from(target.len())?], target.as_bytes()].concat();
        let block = [&[0x82, 0x86][..], &path, &[0x41, 1, b'a']].concat();
        self.write(HEADERS, WHOLE, stream, &block)
    }

    /// The next frame that `wanted` knows.
    fn next(&mut self, wanted: impl Fn(&Frame) -> bool) -> Tested<Frame> {
        loop {
            let frame = self.frame()?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }

    fn frame(&mut self) -> Tested<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let [long, middle, short, kind, flags, .., stream] = head;
        let mut content = vec![0; u32::from_be_bytes([0, long, middle, short]).try_into()?];
        self.0.read_exact(&mut content)?;
        if flags & ACK == 0 && matches!(kind, SETTINGS | PING) {
            let echo = if kind == PING { content.as_slice() } else { &[] };
            self.write(kind, ACK, 0, echo)?;
        }
        Ok(Frame { kind, stream, content })
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u8, content: &[u8]) -> Tested {
        let length = u8::try_from(content.len())?;
        self.0.write_all(&[&[0, 0, length, kind, flags, 0, 0, 0, stream], content].concat())?;
        Ok(())
    }
}

/// The four octets at `at`.
fn number(content: &[u8], at: usize) -> Tested<u32> {
    let octets = content.get(at..at + 4).ok_or("a short frame")?;
    Ok(u32::from_be_bytes(octets.try_into()?))
}

/// `h2_streams_max`: one stream too many is refused, and the connection and its other streams go on.
#[test]
fn a_stream_over_the_limit_is_refused_and_the_others_are_answered() {
    let gate = Arc::<Gate>::default();
    let origin = gated(&gate).unwrap();
    let file = NodeFile::pulling(origin.address).limit("h2_streams_max = 2");
    let node = Node::start(&file).unwrap();
    let mut connection = Connection::open(node.edge).unwrap();
    for stream in [1, 3, 5] {
        connection.get(stream, "/head").unwrap();
    }
    let refused = connection.next(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((refused.stream, number(&refused.content, 0).unwrap()), (5, REFUSED));
    gate.open();
    for _ in 0..2 {
        let head = connection.next(|frame| frame.kind == HEADERS).unwrap();
        assert!([1, 3].contains(&head.stream), "{}", head.stream);
        assert_eq!(head.content.first(), Some(&STATUS_200));
    }
    connection.get(7, "/head").unwrap();
    let head = connection.next(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((head.stream, head.content.first()), (7, Some(&STATUS_200)));
}
