//! The framing of the responses that hyper writes, followed without touching them.
//!
//! In go the bytes that the socket has accepted, out goes where a response begins and ends: only there may anything
//! else be written, and only after the end may the next request be read. hyper's own encoder is trusted to be well
//! formed; what this cannot follow counts as a response that only the connection's end delimits, which is safe
//! (RFC 9112 §6.3, §7.1).

use super::octets::value_run;

/// The response to the current request.
#[derive(Debug)]
pub(super) struct Response {
    state: State,
    /// The beginning of a head of which the socket accepted only that much.
    partial: Vec<u8>,
    answers_head: bool,
    has_begun: bool,
    is_last: bool,
    /// Octets of content that were accepted.
    content: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next octet begins or continues a head, an interim or the final one.
    Head,
    /// So many octets of content follow.
    Length(u64),
    Chunked(Walk),
    /// The content ends with the connection.
    UntilClose,
    Complete,
}

/// A walk through the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    Size(u64),
    /// The rest of the chunk-size line after its size.
    SizeEnd(u64),
    /// A chunk's data and the CRLF after it.
    Data(u64),
    /// The trailer section; how many octets of its line there were.
    Trailer(u64),
}

/// A response head's meaning.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    bytes: usize,
    is_interim: bool,
    is_last: bool,
    state: State,
}

impl Response {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Complete,
            partial: Vec::new(),
            answers_head: false,
            has_begun: false,
            is_last: false,
            content: 0,
        }
    }

    /// A request has been given to hyper; a response to it must follow.
    pub(super) fn expect(&mut self, answers_head: bool) {
        debug_assert!(self.is_complete(), "one response at a time");
        *self = Self { state: State::Head, answers_head, ..Self::new() };
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The final response's first octets have left.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// How many octets of its content were accepted.
    pub(super) const fn content(&self) -> u64 {
        self.content
    }

    /// Whether its content goes on to the end of the connection.
    pub(super) fn is_until_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Whether it says that the connection ends with it (RFC 9112 §9.3, §9.6).
    pub(super) const fn is_last(&self) -> bool {
        self.is_last
    }

    /// Whether something else may be written now without tearing a response apart.
    pub(super) fn is_between(&self) -> bool {
        match self.state {
            State::Complete => true,
            State::Head => self.partial.is_empty(),
            State::Length(_) | State::Chunked(_) | State::UntilClose => false,
        }
    }

    /// The socket accepted `bytes`; says how many of them belong to the final response.
    pub(super) fn accepted(&mut self, bytes: &[u8]) -> u64 {
        let mut rest = bytes;
        let mut interim_bytes = 0;
        while !rest.is_empty() {
            let taken = match self.state {
                State::Head => {
                    let taken = self.head(rest);
                    if !self.has_begun {
                        interim_bytes += taken as u64;
                    }
                    taken
                }
                State::Length(left) => {
                    let taken = left.min(rest.len() as u64);
                    self.state = length(left - taken);
                    self.content += taken;
                    usize::try_from(taken).unwrap_or(usize::MAX)
                }
                State::Chunked(walk) => self.chunked(walk, rest),
                State::UntilClose => {
                    self.content += rest.len() as u64;
                    rest.len()
                }
                // Nothing follows a complete response; what does is not ours to frame.
                State::Complete => rest.len(),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        (bytes.len() as u64).saturating_sub(interim_bytes)
    }

    fn head(&mut self, rest: &[u8]) -> usize {
        let before = self.partial.len();
        let parsed = if before == 0 {
            parse(rest, self.answers_head)
        } else {
            self.partial.extend_from_slice(rest);
            parse(&self.partial, self.answers_head)
        };
        let Some(parsed) = parsed else {
            if before == 0 {
                self.partial.extend_from_slice(rest);
            }
            // Too few octets to tell: a head that may be final counts as begun.
            self.has_begun |= self.partial.get(9) != Some(&b'1');
            return rest.len();
        };
        self.partial.clear();
        self.has_begun |= !parsed.is_interim;
        self.is_last = parsed.is_last;
        self.state = parsed.state;
        parsed.bytes - before
    }

    fn chunked(&mut self, walk: Walk, rest: &[u8]) -> usize {
        let (octet, many) = match (walk, rest) {
            (Walk::Data(left), _) => {
                let taken = left.min(rest.len() as u64);
                self.content += taken.min(left.saturating_sub(2));
                let left = left - taken;
                self.state =
                    State::Chunked(if left == 0 { Walk::Size(0) } else { Walk::Data(left) });
                return usize::try_from(taken).unwrap_or(usize::MAX);
            }
            (_, [octet, ..]) => (*octet, 1),
            (_, []) => return 0,
        };
        self.state = match (walk, octet) {
            (Walk::Size(0) | Walk::SizeEnd(0), b'\n') => State::Chunked(Walk::Trailer(0)),
            (Walk::Size(size) | Walk::SizeEnd(size), b'\n') => {
                State::Chunked(Walk::Data(size.saturating_add(2)))
            }
            (Walk::Size(size), _) => State::Chunked(
                char::from(octet).to_digit(16).map_or(Walk::SizeEnd(size), |digit| {
                    Walk::Size(size.saturating_mul(16).saturating_add(u64::from(digit)))
                }),
            ),
            (Walk::SizeEnd(size), _) => State::Chunked(Walk::SizeEnd(size)),
            (Walk::Trailer(0), b'\n') => State::Complete,
            (Walk::Trailer(_), b'\n') => State::Chunked(Walk::Trailer(0)),
            (Walk::Trailer(line), b'\r') => State::Chunked(Walk::Trailer(line)),
            (Walk::Trailer(line), _) => State::Chunked(Walk::Trailer(line + 1)),
            (Walk::Data(left), _) => State::Chunked(Walk::Data(left)),
        };
        many
    }
}

const fn length(left: u64) -> State {
    if left == 0 { State::Complete } else { State::Length(left) }
}

/// The head at the front of `bytes`, `None` while it is not whole.
fn parse(bytes: &[u8], answers_head: bool) -> Option<Parsed> {
    let mut at = line(bytes)?;
    let status = bytes.get(9..12).unwrap_or_default();
    let mut state = State::UntilClose;
    let mut is_last = bytes.starts_with(b"HTTP/1.0");
    loop {
        let rest = bytes.get(at..)?;
        let next = line(rest)?;
        at += next;
        if next == 2 {
            break;
        }
        match rest {
            [b'c' | b'C', ..] => {
                if let Some(value) = value(rest, next, b"content-length:")
                    && state == State::UntilClose
                {
                    state = length(number(value));
                } else if let Some(value) = value(rest, next, b"connection:") {
                    is_last = names(value, b"close") || is_last && !names(value, b"keep-alive");
                }
            }
            [b't' | b'T', ..] if value(rest, next, b"transfer-encoding:").is_some() => {
                state = State::Chunked(Walk::Size(0));
            }
            _ => {}
        }
    }
    let is_interim = status.first() == Some(&b'1') && status != b"101";
    if is_interim {
        state = State::Head;
    } else if answers_head || status == b"204" || status == b"304" {
        state = State::Complete;
    }
    Some(Parsed { bytes: at, is_interim, is_last: is_last && !is_interim, state })
}

/// How long the line at the front is, its CRLF included.
fn line(bytes: &[u8]) -> Option<usize> {
    let end = value_run(bytes);
    (bytes.len() >= end + 2).then_some(end + 2)
}

fn value<'a>(rest: &'a [u8], line: usize, name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = rest.get(..line)?.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// Whether a list has this member.
fn names(list: &[u8], member: &[u8]) -> bool {
    list.split(|octet| *octet == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(member))
}

fn number(value: &[u8]) -> u64 {
    value.iter().filter(|octet| octet.is_ascii_digit()).fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it is, whether it answers HEAD, its octets, whether they complete it.
    const CASES: &[(&str, bool, &str, bool)] = &[
        ("9112 6.3: length", false, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", true),
        ("9112 6.3: length 0", false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("9112 6.3: HEAD", true, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true),
        (
            "9112 6.3: HEAD, chunked",
            true,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            true,
        ),
        ("9112 6.3: 204", false, "HTTP/1.1 204 No Content\r\n\r\n", true),
        ("9112 6.3: 304", false, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", true),
        ("9112 6.3: until close", false, "HTTP/1.0 200 OK\r\na: b\r\n\r\nabc\r\n\r\n", false),
        ("9110 15.2.2: 101", false, "HTTP/1.1 101 Switching Protocols\r\n\r\n", false),
        ("9110 15.2: interim alone", false, "HTTP/1.1 100 Continue\r\n\r\n", false),
        (
            "9110 15.2: interim and final",
            false,
            "HTTP/1.1 103 Early Hints\r\ncontent-length: 9\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
            true,
        ),
        (
            "9112 7.1: chunked",
            false,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1A\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\r\n0\r\n\r\n",
            true,
        ),
        (
            "9112 7.1: chunked with trailers",
            false,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx: y\r\nz: 0\r\n\r\n",
            true,
        ),
        (
            "a name that only begins alike",
            false,
            "HTTP/1.1 200 OK\r\ncontent-length-x: 3\r\n\r\n",
            false,
        ),
    ];

    /// Whatever the socket accepts at a time, the response is complete with its last octet and not before.
    #[test]
    fn a_response_ends_with_its_last_octet() {
        for (name, answers_head, bytes, completes) in CASES {
            for piece in [1, 3, 12, bytes.len()] {
                let mut response = Response::new();
                response.expect(*answers_head);
                let mut sent = 0;
                for part in bytes.as_bytes().chunks(piece) {
                    assert!(!response.is_complete(), "{name}: ended {} early", bytes.len() - sent);
                    response.accepted(part);
                    sent += part.len();
                }
                assert_eq!(response.is_complete(), *completes, "{name} by {piece}");
                let content = match *name {
                    "9112 6.3: length" => 3,
                    "9112 6.3: until close" => 7,
                    "9110 15.2: interim and final" => 1,
                    "9112 7.1: chunked" => 26,
                    "9112 7.1: chunked with trailers" => 2,
                    _ => 0,
                };
                assert_eq!(response.content(), content, "{name} by {piece}");
            }
        }
    }

    #[test]
    fn rfc9112_9_3_a_response_says_whether_it_is_the_last() {
        for (head, is_last) in [
            ("HTTP/1.1 204 No Content\r\n", false),
            ("HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n", false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n", true),
            ("HTTP/1.1 204 No Content\r\nconnection: x, Close \r\n", true),
            ("HTTP/1.1 204 No Content\r\nconnection: closed\r\n", false),
            ("HTTP/1.0 204 No Content\r\n", true),
            ("HTTP/1.0 204 No Content\r\nconnection: keep-alive\r\n", false),
            ("HTTP/1.1 103 Early Hints\r\nconnection: close\r\n", false),
        ] {
            for piece in [1, 1000] {
                let mut response = Response::new();
                response.expect(false);
                format!("{head}\r\n").as_bytes().chunks(piece).for_each(|part| {
                    response.accepted(part);
                });
                assert_eq!(response.is_last(), is_last, "{head} by {piece}");
            }
        }
    }

    #[test]
    fn nothing_may_be_written_inside_a_response() {
        let (name, _, bytes, _) = CASES[0];
        let mut response = Response::new();
        response.expect(false);
        for octet in bytes.bytes() {
            response.accepted(&[octet]);
            assert_eq!(response.is_between(), response.is_complete(), "{name}");
        }
        let mut interim = Response::new();
        interim.expect(false);
        assert_eq!(interim.accepted(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 0);
        assert!(interim.is_between() && !interim.has_begun());
        assert_eq!(interim.accepted(b"HTTP/1.1 204 No Content\r\n\r\n"), 27);
        assert!(interim.has_begun());
    }
}
