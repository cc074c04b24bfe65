//! HTTP/1.1 responses as a client reads them off a connection, byte by byte.
//!
//! In: octets in any portions, and the end of the connection. Out: [`Answer`]s: interim heads, the
//! final head, content, trailers, and whether the end was a proper one.
//! Always holds: what was read is kept as it was sent (names, order, repeated lines); a response
//! that does not parse becomes a fault that the next expectation reports, never a panic.
//! It deliberately shares no code with the edge, so that one cannot hide the other's mistakes.
//! Spec: RFC 9112 §6, §7.

use std::collections::VecDeque;

/// Fields as they came: name and value of every line.
pub type Fields = Vec<(String, String)>;

/// The value of all lines with this name, in any case, joined as RFC 9110 §5.3 allows.
#[must_use]
pub fn joined(fields: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<&str> = fields
        .iter()
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect();
    if values.is_empty() { None } else { Some(values.join(", ")) }
}

/// A response head.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// The reason phrase; the space before it is there in any case (RFC 9112 §4).
    pub reason: String,
    /// The field lines.
    pub fields: Fields,
}

/// What came for one request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Heads with a 1xx status, in order.
    pub interim: Vec<Head>,
    /// The final head.
    pub head: Option<Head>,
    /// The content so far.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
    /// Nothing more will come.
    pub ended: bool,
    /// It ended before its framing said so.
    pub cut: bool,
}

#[derive(Debug)]
enum State {
    Head,
    Sized(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

/// Reads responses.
#[derive(Debug)]
pub struct Reader {
    state: State,
    buffer: Vec<u8>,
    /// The methods of the requests that no response has completed yet.
    methods: VecDeque<String>,
    /// What was read, one per request.
    pub answers: Vec<Answer>,
    /// What was wrong with the octets.
    pub fault: Option<String>,
    /// The connection has ended.
    pub closed: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Head,
            buffer: Vec::new(),
            methods: VecDeque::new(),
            answers: Vec::new(),
            fault: None,
            closed: false,
        }
    }
}

impl Reader {
    /// Notes that a request with this method was sent.
    pub fn asked(&mut self, method: &str) {
        self.methods.push_back(method.to_owned());
    }

    /// Takes octets in.
    pub fn feed(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
        while self.fault.is_none() && self.step() {}
    }

    /// Takes the end of the connection in.
    pub fn end(&mut self) {
        self.closed = true;
        if matches!(self.state, State::UntilClose) {
            self.finish();
        } else if !(matches!(self.state, State::Head) && self.buffer.is_empty())
            && let Some(answer) = self.answers.last_mut()
        {
            answer.cut = !answer.ended;
            answer.ended = true;
        }
    }

    /// Reads one element; whether there may be another.
    fn step(&mut self) -> bool {
        match self.state {
            State::Head => self.read_head(),
            State::Sized(left) => {
                let taken = self.take_content(left);
                let left = left.saturating_sub(taken);
                self.state = State::Sized(left);
                if left == 0 {
                    self.finish();
                }
                left == 0
            }
            State::UntilClose => {
                self.take_content(u64::MAX);
                false
            }
            State::ChunkSize => self.read_chunk_size(),
            State::ChunkData(left) => {
                let left = left.saturating_sub(self.take_content(left));
                self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                left == 0
            }
            State::ChunkEnd => match self.line() {
                Some(line) if line.is_empty() => {
                    self.state = State::ChunkSize;
                    true
                }
                Some(line) => self.fail(&format!("a chunk is followed by {line:?}")),
                None => false,
            },
            State::Trailers => match self.line() {
                Some(line) if line.is_empty() => {
                    self.finish();
                    true
                }
                Some(line) => match (field_of(&line), self.answers.last_mut()) {
                    (Some(field), Some(answer)) => {
                        answer.trailers.push(field);
                        true
                    }
                    _ => self.fail(&format!("no trailer field: {line:?}")),
                },
                None => false,
            },
        }
    }

    fn fail(&mut self, why: &str) -> bool {
        self.fault = Some(why.to_owned());
        false
    }

    fn finish(&mut self) {
        if let Some(answer) = self.answers.last_mut() {
            answer.ended = true;
        }
        self.methods.pop_front();
        self.state = State::Head;
    }

    fn take_content(&mut self, most: u64) -> u64 {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        let taken = self.buffer.drain(..count);
        if let Some(answer) = self.answers.last_mut() {
            answer.body.extend(taken);
        }
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// The next line, without its end.
    fn line(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\r\n")?;
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    fn read_chunk_size(&mut self) -> bool {
        let Some(line) = self.line() else { return false };
        let digits = line.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(digits, 16) {
            Ok(0) => self.state = State::Trailers,
            Ok(size) => self.state = State::ChunkData(size),
            Err(_) => return self.fail(&format!("no chunk size: {line:?}")),
        }
        true
    }

    fn read_head(&mut self) -> bool {
        if self.buffer.is_empty() {
            return false;
        }
        if self.methods.is_empty() {
            return self.fail("octets that no request asked for");
        }
        if self.answers.last().is_none_or(|answer| answer.ended) {
            self.answers.push(Answer::default());
        }
        let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        let text: Vec<u8> = self.buffer.drain(..end + 4).take(end).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        let Some(head) = head_of(&text) else {
            return self.fail(&format!("no response head: {text:?}"));
        };
        let Some(answer) = self.answers.last_mut() else { return false };
        if head.status < 200 {
            answer.interim.push(head);
            return true;
        }
        answer.head = Some(head.clone());
        let method = self.methods.front().map(String::as_str).unwrap_or_default();
        match framing(&head, method) {
            Ok(State::Head) => self.finish(),
            Ok(state) => self.state = state,
            Err(why) => return self.fail(why),
        }
        true
    }
}

/// How the content after this head ends (RFC 9112 §6.3); `State::Head` when there is none.
fn framing(head: &Head, method: &str) -> Result<State, &'static str> {
    if method == "HEAD" || head.status == 204 || head.status == 304 {
        return Ok(State::Head);
    }
    let coding = joined(&head.fields, "transfer-encoding");
    let length = joined(&head.fields, "content-length");
    match (coding, length) {
        (Some(_), Some(_)) => Err("both Transfer-Encoding and Content-Length"),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(State::ChunkSize),
        (Some(_), None) => Err("a transfer coding that was not asked for"),
        (None, Some(length)) => match length.parse() {
            Ok(0) => Ok(State::Head),
            Ok(length) => Ok(State::Sized(length)),
            Err(_) => Err("a Content-Length that is no number"),
        },
        (None, None) => Ok(State::UntilClose),
    }
}

fn head_of(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let status_line = lines.next()?.strip_prefix("HTTP/1.")?;
    let (status, reason) =
        status_line.strip_prefix(['0', '1'])?.strip_prefix(' ')?.split_once(' ')?;
    let status = status.get(..3).filter(|digits| *digits == status)?.parse().ok()?;
    let fields = lines.map(field_of).collect::<Option<Fields>>()?;
    Some(Head { status, reason: reason.to_owned(), fields })
}

fn field_of(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    if name.is_empty() || name.ends_with([' ', '\t']) {
        return None;
    }
    Some((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(methods: &[&str], octets: &[u8], portion: usize, end: bool) -> Reader {
        let mut reader = Reader::default();
        for method in methods {
            reader.asked(method);
        }
        for part in octets.chunks(portion) {
            reader.feed(part);
        }
        if end {
            reader.end();
        }
        reader
    }

    #[test]
    fn responses_are_read_alike_in_any_portions() {
        let octets = b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: v\r\n\r\n\
            HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\
            HTTP/1.1 200 OK\r\n\r\nto the end";
        for portion in [1, 2, 3, 7, 1000] {
            let reader = read(&["GET", "GET", "GET", "HEAD", "GET"], octets, portion, true);
            assert_eq!(reader.fault, None, "{portion}");
            let bodies: Vec<&[u8]> = reader.answers.iter().map(|a| a.body.as_slice()).collect();
            assert_eq!(bodies, [b"abc".as_slice(), b"def", b"", b"", b"to the end"], "{portion}");
            assert!(reader.answers.iter().all(|answer| answer.ended && !answer.cut));
            assert_eq!(reader.answers[0].interim[0].status, 103);
            assert_eq!(reader.answers[1].trailers, [("T".to_owned(), "v".to_owned())]);
        }
    }

    #[test]
    fn an_end_inside_the_framing_is_a_cut() {
        for octets in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".as_slice(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n",
            b"HTTP/1.1 200 O",
        ] {
            let reader = read(&["GET"], octets, 5, true);
            assert!(reader.answers[0].cut && reader.answers[0].ended);
        }
    }

    #[test]
    fn octets_that_are_no_response_are_a_fault() {
        for octets in [
            b"GARBAGE\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read(&["GET"], octets, 1000, false).fault.is_some(), "{octets:?}");
        }
    }
}
