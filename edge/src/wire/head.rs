//! One request head, checked raw before hyper normalises it.
//!
//! In go the bytes that have arrived from the head's first octet on, as often as more arrive; out goes the whole
//! head's length and the framing of its content, or the reason to refuse it. Where RFC 9112 leaves a choice between
//! repairing and refusing, this refuses: two servers that repair differently can be played against each other.
//!
//! What always holds: each octet is looked at once when the head arrives whole; a line that arrives in pieces is
//! looked at again only when it may be complete. It does not know hyper, sockets or deadlines.

use std::ops::Range;

use http::Version;

use super::{
    limits::Limits,
    octets::{PATH, QUERY, TOKEN, trim, value_run},
    refusal::Refusal,
    target::{self, Authority, Form},
};

/// Longer than any registered method; a longer one is refused before it fills the head's limit.
const METHOD_BYTES_MAX: usize = 64;

/// hyper keeps the largest numbers for its own use.
const CONTENT_LENGTH_MAX: u64 = u64::MAX >> 1;

/// A head that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Its bytes, to the end of the empty line.
    pub(super) bytes: usize,
    /// Where its content ends.
    pub(super) framing: Framing,
    /// HTTP/1.0 or HTTP/1.1.
    pub(super) version: Version,
    /// What matters here about its method.
    pub(super) method: Method,
}

/// How a request's content is delimited (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, which may be 0.
    Length(u64),
    /// By the chunked coding.
    Chunked,
}

/// The methods that matter to how a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// A response in full, and nothing that changes how the connection goes on.
    Get,
    /// Its response has no content.
    Head,
    /// What follows may be a tunnel's bytes, so no further request is read.
    Connect,
    /// Any other.
    Other,
}

/// A head in the making.
#[derive(Debug, Default)]
pub(super) struct HeadCheck {
    line: Option<RequestLine>,
    /// Where the first line that is not yet checked begins.
    at: usize,
    /// Up to where a field line that is not yet complete was searched for its end.
    searched: usize,
    fields: usize,
    host: Option<Range<usize>>,
    length: Option<u64>,
    coding: Coding,
}

#[derive(Debug, Clone)]
struct RequestLine {
    version: Version,
    method: Method,
    target: Range<usize>,
    form: Form,
    bytes: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Coding {
    #[default]
    None,
    /// Only codings that are not `chunked` so far.
    Unfinished,
    Chunked,
    /// `chunked`, after a coding that is not implemented.
    Unknown,
}

impl HeadCheck {
    /// Looks at all that has arrived of the head; `None` means that its end has not.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<Head>, Refusal> {
        let line = match self.line.take() {
            Some(line) => line,
            None => match request_line(input, limits)? {
                Some(line) => {
                    self.at = line.bytes;
                    line
                }
                None => return Ok(None),
            },
        };
        let fresh = input.get(self.searched..).unwrap_or_default();
        let complete = if self.searched > 0 && !fresh.contains(&b'\n') {
            None
        } else {
            self.fields(input, limits)?
        };
        if complete.unwrap_or(input.len()) > limits.header_bytes_max {
            return Err(Refusal::HeaderBytes);
        }
        let Some(bytes) = complete else {
            self.searched = input.len();
            self.line = Some(line);
            return Ok(None);
        };
        self.check_host(&line, input)?;
        let framing = self.framing(line.version)?;
        Ok(Some(Head { bytes, framing, version: line.version, method: line.method }))
    }

    /// Looks at the field lines that have arrived; `Some` is where the head ends.
    fn fields(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        loop {
            let rest = input.get(self.at..).unwrap_or_default();
            match field_line(rest)? {
                FieldLine::Partial => return Ok(None),
                FieldLine::End => return Ok(Some(self.at + 2)),
                FieldLine::Field { name, value, bytes } => {
                    self.fields += 1;
                    if self.fields > limits.header_count_max {
                        return Err(Refusal::HeaderCount);
                    }
                    let from = self.at + value.start;
                    let value_bytes = rest.get(value.clone()).unwrap_or_default();
                    self.field(name, value_bytes, from..self.at + value.end)?;
                    self.at += bytes;
                }
            }
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8], place: Range<usize>) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                // RFC 9112 §3.2: more than one Host is refused, be they equal or not.
                match self.host {
                    None => self.host = Some(place),
                    Some(_) => return Err(Refusal::Host),
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                // §6.3: a repeated length may be refused even where it is the same, and so is a list.
                match self.length {
                    None => self.length = Some(content_length(value)?),
                    Some(_) => return Err(Refusal::ContentLength),
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.coding = self.coding.with(trim(value))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 §3.2 and §3.2.2.
    fn check_host(&self, line: &RequestLine, input: &[u8]) -> Result<(), Refusal> {
        let Some(place) = self.host.clone() else {
            let may_lack = line.version == Version::HTTP_10;
            return if may_lack { Ok(()) } else { Err(Refusal::HostMissing) };
        };
        let host =
            Authority::parse(trim(input.get(place).unwrap_or_default())).ok_or(Refusal::Host)?;
        let Form::Absolute { from, to, default_port } = line.form else {
            return Ok(());
        };
        let target = input.get(line.target.clone()).unwrap_or_default();
        let named =
            Authority::parse(target.get(from..to).unwrap_or_default()).ok_or(Refusal::Target)?;
        if host.matches(&named, default_port) { Ok(()) } else { Err(Refusal::HostMismatch) }
    }

    /// RFC 9112 §6.1 and §6.3.
    const fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        let is_chunked = match self.coding {
            Coding::None => false,
            Coding::Chunked => true,
            Coding::Unfinished => return Err(Refusal::TransferEncoding),
            Coding::Unknown => return Err(Refusal::TransferCoding),
        };
        match (is_chunked, self.length) {
            (true, Some(_)) => Err(Refusal::BothLengths),
            (true, None) if matches!(version, Version::HTTP_10) => Err(Refusal::TransferEncoding),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::Length(0)),
        }
    }
}

impl Coding {
    /// The codings so far and one more field line's list (RFC 9112 §6.1): `chunked` once and last.
    fn with(mut self, list: &[u8]) -> Result<Self, Refusal> {
        for coding in list.split(|octet| *octet == b',') {
            let coding = trim(coding);
            if TOKEN.run(coding) != coding.len() || coding.is_empty() {
                return Err(Refusal::TransferEncoding);
            }
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self = match (self, is_chunked) {
                (Self::None, true) => Self::Chunked,
                (Self::Unfinished, true) => Self::Unknown,
                (Self::None | Self::Unfinished, false) => Self::Unfinished,
                (Self::Chunked | Self::Unknown, _) => return Err(Refusal::TransferEncoding),
            };
        }
        Ok(self)
    }
}

/// `1*DIGIT` (RFC 9110 §8.6).
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let value = trim(value);
    let number = value.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    match number {
        Some(number) if !value.is_empty() && number <= CONTENT_LENGTH_MAX => Ok(number),
        _ => Err(Refusal::ContentLength),
    }
}

/// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3).
fn request_line(input: &[u8], limits: &Limits) -> Result<Option<RequestLine>, Refusal> {
    let method_bytes = TOKEN.run(input);
    match input.get(method_bytes) {
        _ if method_bytes > METHOD_BYTES_MAX => return Err(Refusal::Method),
        None => return Ok(None),
        Some(b' ') if method_bytes > 0 => {}
        Some(b'\n' | b'\r' | b' ') => return Err(Refusal::RequestLine),
        Some(_) => return Err(Refusal::Method),
    }
    let from = method_bytes + 1;
    let rest = input.get(from..).unwrap_or_default();
    let target_bytes = target_run(rest);
    match rest.get(target_bytes) {
        _ if target_bytes > limits.uri_bytes_max => return Err(Refusal::TargetTooLong),
        None => return Ok(None),
        Some(b' ') if target_bytes > 0 => {}
        Some(b'\n' | b'\r' | b' ') => return Err(Refusal::RequestLine),
        Some(_) => return Err(Refusal::Target),
    }
    let (method, target) = (
        input.get(..method_bytes).unwrap_or_default(),
        rest.get(..target_bytes).unwrap_or_default(),
    );
    let Some(version) = version(rest.get(target_bytes + 1..).unwrap_or_default())? else {
        return Ok(None);
    };
    let form = target::form(method, target)?;
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"CONNECT" => Method::Connect,
        _ => Method::Other,
    };
    let to = from + target_bytes;
    let bytes = to + " HTTP/1.1\r\n".len();
    Ok(Some(RequestLine { version, method, target: from..to, form, bytes }))
}

/// How many octets at the front may stand in a target.
pub(super) fn target_run(bytes: &[u8]) -> usize {
    let path = PATH.run(bytes);
    if bytes.get(path) == Some(&b'?') {
        return path + QUERY.run(bytes.get(path..).unwrap_or_default());
    }
    path
}

/// `HTTP-version CRLF` (RFC 9112 §2.3), `None` while it is a beginning of one.
fn version(bytes: &[u8]) -> Result<Option<Version>, Refusal> {
    if bytes.starts_with(b"HTTP/1.1\r\n") {
        return Ok(Some(Version::HTTP_11));
    }
    for (place, octet) in bytes.iter().take(10).enumerate() {
        let fits = match place {
            0..5 => Some(octet) == b"HTTP/".get(place),
            5 | 7 => octet.is_ascii_digit(),
            6 => *octet == b'.',
            8 if *octet == b'\n' => return Err(Refusal::LineEnd),
            8 => *octet == b'\r',
            _ if *octet == b'\n' => true,
            _ => return Err(Refusal::LineEnd),
        };
        if !fits {
            return Err(Refusal::RequestLine);
        }
    }
    match bytes {
        [_, _, _, _, _, b'1', _, b'0', b'\r', b'\n', ..] => Ok(Some(Version::HTTP_10)),
        [_, _, _, _, _, b'1', _, b'0' | b'1', ..] => Ok(None),
        [_, _, _, _, _, _, _, _, ..] => Err(Refusal::Version),
        _ => Ok(None),
    }
}

/// A line of a field section.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FieldLine<'a> {
    /// Its end has not arrived.
    Partial,
    /// The empty line.
    End,
    /// A field.
    Field {
        /// Its name, a token.
        name: &'a [u8],
        /// Where its value stands, whitespace around it included.
        value: Range<usize>,
        /// How long the line is, its CRLF included.
        bytes: usize,
    },
}

/// `field-name ":" OWS field-value OWS CRLF` or CRLF (RFC 9112 §5, §5.1, §5.2, §2.2).
pub(super) fn field_line(rest: &[u8]) -> Result<FieldLine<'_>, Refusal> {
    let name_bytes = TOKEN.run(rest);
    match rest.get(name_bytes) {
        None => return Ok(FieldLine::Partial),
        Some(b':') if name_bytes > 0 => {}
        Some(b'\r') if name_bytes == 0 => {
            return match rest.get(1) {
                None => Ok(FieldLine::Partial),
                Some(b'\n') => Ok(FieldLine::End),
                Some(_) => Err(Refusal::LineEnd),
            };
        }
        Some(b'\n') if name_bytes == 0 => return Err(Refusal::LineEnd),
        // §2.2 refuses whitespace before the first field, §5.2 a folded line; both begin like this.
        Some(b' ' | b'\t') if name_bytes == 0 => return Err(Refusal::Fold),
        Some(_) => return Err(Refusal::FieldName),
    }
    let from = name_bytes + 1;
    let to = from + value_run(rest.get(from..).unwrap_or_default());
    match rest.get(to..).unwrap_or_default() {
        [] | [b'\r'] => Ok(FieldLine::Partial),
        [b'\r', b'\n', ..] => {
            let name = rest.get(..name_bytes).unwrap_or_default();
            Ok(FieldLine::Field { name, value: from..to, bytes: to + 2 })
        }
        [b'\r' | b'\n', ..] => Err(Refusal::LineEnd),
        _ => Err(Refusal::FieldValue),
    }
}
