//! A small blocking HTTP/1.1 client that shares nothing with the edge.
//!
//! In: an address, a request's words. Out: the final response, whole, with its framing checked.
//! Always holds: a response is whole or an error; every read has a deadline; a connection is used
//! again until it says that it closes. It follows no redirect and decodes no coding but chunked.
//! Clause: RFC 9112 §6.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    ops::Range,
};

use super::{PATIENCE, Tested};
use crate::cache_status::{self, Member};

/// Bytes read from the socket at once; a line must fit in.
const READ_BYTES: usize = 64 * 1024;

/// A final response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its fields in order.
    pub fields: Vec<(String, String)>,
    /// Its content, chunks put together.
    pub content: Vec<u8>,
}

impl Response {
    /// A field's values, joined.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        crate::message::joined(&self.fields, name)
    }

    /// The nearest cache's member of Cache-Status.
    #[must_use]
    pub fn cache_status(&self) -> Option<Member> {
        cache_status::members(&self.field("cache-status")?).pop()
    }

    /// Whether the nearest cache says that it had it.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.cache_status().is_some_and(|member| member.parameters.contains_key("hit"))
    }

    /// Why the nearest cache forwarded.
    #[must_use]
    pub fn forwarded(&self) -> Option<String> {
        self.cache_status()?.parameters.get("fwd").cloned()
    }

    /// Whether the connection ends with this response.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|said| said.eq_ignore_ascii_case("close"))
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    host: String,
    read: Box<[u8]>,
    /// Where in `read` the bytes are that nobody took yet.
    held: Range<usize>,
}

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: SocketAddr) -> Tested<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let read = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Self { stream, host: address.to_string(), read, held: 0..0 })
    }

    /// The Host that requests name from now on.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The socket, for what a well-behaved client would not do.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends raw bytes.
    ///
    /// # Errors
    /// When the other side takes no more.
    pub fn send(&mut self, octets: &[u8]) -> Tested {
        Ok(self.stream.write_all(octets)?)
    }

    /// GET.
    ///
    /// # Errors
    /// When no whole response comes.
    pub fn get(&mut self, target: &str) -> Tested<Response> {
        self.ask("GET", target, &[])
    }

    /// A request without content.
    ///
    /// # Errors
    /// When no whole response comes.
    pub fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Tested<Response> {
        self.send_head(method, target, fields)?;
        self.response(method)
    }

    /// Sends a request's head.
    ///
    /// # Errors
    /// When the other side takes no more.
    pub fn send_head(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Tested {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    /// Reads the final response to a request with `method`.
    ///
    /// # Errors
    /// When it does not come, or breaks off.
    pub fn response(&mut self, method: &str) -> Tested<Response> {
        let mut response = self.head()?;
        while response.status < 200 {
            response = self.head()?;
        }
        if method == "HEAD" || matches!(response.status, 204 | 304) {
            return Ok(response);
        }
        let length =
            response.field("content-length").map(|text| text.parse::<usize>()).transpose()?;
        let coding = response.field("transfer-encoding");
        response.content = match (coding, length) {
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => self.chunks()?,
            (None, Some(length)) => self.take(length)?,
            (None, None) => self.rest()?,
            (coding, length) => return Err(format!("framed by {coding:?} and {length:?}").into()),
        };
        Ok(response)
    }

    /// Reads a response's head and leaves its content on the wire.
    ///
    /// # Errors
    /// When it does not come.
    pub fn head(&mut self) -> Tested<Response> {
        let status_line = self.line()?;
        let mut words = status_line.splitn(3, ' ');
        let (version, status) = (words.next(), words.next().unwrap_or_default());
        if version != Some("HTTP/1.1") {
            return Err(format!("not a status line: {status_line:?}").into());
        }
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response { status: status.parse()?, fields, content: Vec::new() });
            }
            let (name, value) = line.split_once(':').ok_or("a field line without a colon")?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads exactly `length` bytes.
    ///
    /// # Errors
    /// When fewer come.
    pub fn take(&mut self, length: usize) -> Tested<Vec<u8>> {
        // Zeroed by the allocator: debug builds fill a vector byte by byte, and some content is large.
        let mut taken = vec![0; length];
        let had = length.min(self.held.len());
        let (first, rest) = taken.split_at_mut(had);
        first.copy_from_slice(self.held().get(..had).unwrap_or_default());
        self.held.start += had;
        self.stream
            .read_exact(rest)
            .map_err(|error| format!("the content broke off before its {length} bytes: {error}"))?;
        Ok(taken)
    }

    /// Whether the other side ends the connection, without another byte.
    ///
    /// # Errors
    /// When it keeps it open, or says something first.
    pub fn closed(&mut self) -> Tested {
        if !self.held.is_empty() {
            return Err(format!("{} bytes instead of the end", self.held.len()).into());
        }
        let mut octets = [0; 64];
        match self.stream.read(&mut octets) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Ok(read) => {
                let said = String::from_utf8_lossy(octets.get(..read).unwrap_or_default());
                Err(format!("{said:?} instead of the end").into())
            }
            Err(error) => Err(format!("not closed: {error}").into()),
        }
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// When the connection has gone.
    pub fn end_sending(&self) -> Tested {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    fn line(&mut self) -> Tested<String> {
        loop {
            let held = self.held();
            if let Some(end) = held.windows(2).position(|two| two == b"\r\n") {
                let line =
                    String::from_utf8_lossy(held.get(..end).unwrap_or_default()).into_owned();
                self.held.start += end + 2;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err("the connection ended where a line was expected".into());
            }
        }
    }

    fn chunks(&mut self) -> Tested<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(content);
            }
            content.append(&mut self.take(size)?);
            if !self.line()?.is_empty() {
                return Err("a chunk longer than its size".into());
            }
        }
    }

    fn rest(&mut self) -> Tested<Vec<u8>> {
        let mut content = self.held().to_vec();
        self.held = 0..0;
        self.stream.read_to_end(&mut content)?;
        Ok(content)
    }

    fn held(&self) -> &[u8] {
        self.read.get(self.held.clone()).unwrap_or_default()
    }

    fn fill(&mut self) -> Tested<usize> {
        self.read.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        let room = self.read.get_mut(self.held.end..).filter(|room| !room.is_empty());
        let read = self.stream.read(room.ok_or("a line without end")?)?;
        self.held.end += read;
        Ok(read)
    }
}
