//! As much of HTTP/2 as it takes to hear a server say goodbye (RFC 9113 §3.4, §6.7, §6.8).
//!
//! In: an address. Out: the frames' types. Always holds: settings and pings are acknowledged, as a
//! server may wait for that before it goes. It sends no request.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use nearcast_tests::real::{PATIENCE, Tested};

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// A connection without streams.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Opens one and waits until the server has said its settings.
    pub(crate) fn open(address: SocketAddr) -> Tested<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        let mut connection = Self(stream);
        connection.write(SETTINGS, 0, &[])?;
        while connection.frame()?.0 != SETTINGS {}
        Ok(connection)
    }

    /// Reads until the server says GOAWAY and closes; the code that it gave.
    pub(crate) fn goodbye(&mut self) -> Tested<u32> {
        let mut code = None;
        loop {
            match (self.frame(), code) {
                (Ok((GOAWAY, content)), _) => {
                    let octets = content.get(4..8).ok_or("a short GOAWAY")?;
                    code = Some(u32::from_be_bytes(octets.try_into()?));
                }
                (Ok(_), _) => {}
                (Err(_), Some(code)) => return Ok(code),
                (Err(error), None) => return Err(format!("no GOAWAY: {error}").into()),
            }
        }
    }

    fn frame(&mut self) -> Tested<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let [long, middle, short, kind, flags, ..] = head;
        let mut content = vec![0; u32::from_be_bytes([0, long, middle, short]).try_into()?];
        self.0.read_exact(&mut content)?;
        if flags & ACK == 0 && matches!(kind, SETTINGS | PING) {
            let echo = if kind == PING { content.as_slice() } else { &[] };
            self.write(kind, ACK, echo)?;
        }
        Ok((kind, content))
    }

    fn write(&mut self, kind: u8, flags: u8, content: &[u8]) -> Tested {
        let length = u8::try_from(content.len())?;
        self.0.write_all(&[&[0, 0, length, kind, flags, 0, 0, 0, 0], content].concat())?;
        Ok(())
    }
}
