//! A request's head, as it came.
//!
//! In: octets. Out: method, target, version, fields in their order, and how the content is framed.
//! Always holds: names and values are the client's octets (only the optional whitespace around a
//! value is gone); framing is read strictly, so that an edge that sends two readings is noticed.
//! Spec: RFC 9112 §3, §5, §6.

use bytes::Bytes;

use crate::raw::Raw;

/// Most fields of one head.
pub(crate) const FIELDS_MAX: usize = 512;

/// A request's head.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) fields: Vec<(Raw, Raw)>,
    /// The whole head as it came, the empty line at its end counted.
    pub(crate) head: Bytes,
}

/// The protocol version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
}

/// How a request's content ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A head that is none, or that can be read in two ways; the client is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadRequest(pub(crate) &'static str);

impl Version {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

impl Request {
    /// Reads a head from the beginning of `octets`: the request and the head's length, or nothing
    /// while it is incomplete.
    pub(crate) fn parse(octets: &[u8]) -> Result<Option<(Self, usize)>, BadRequest> {
        let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut slots);
        let length = match parsed.parse(octets) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(BadRequest(fault(error))),
        };
        let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let request = Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            version,
            fields: owned(parsed.headers),
            head: Bytes::copy_from_slice(&octets[..length]),
        };
        Ok(Some((request, length)))
    }

    /// The values of all fields of this name, in their order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_bytes())
    }

    /// The values of all fields of this name as one, as RFC 9110 §5.3 combines them.
    pub(crate) fn joined(&self, name: &str) -> Vec<u8> {
        let values: Vec<&[u8]> = self.values(name).collect();
        values.join(&b", "[..])
    }

    /// Whether a comma-separated field has this member, in any case.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|octet| *octet == b','))
            .any(|own| own.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    }

    /// How the content is framed.
    pub(crate) fn framing(&self) -> Result<Framing, BadRequest> {
        let codings = self.joined("transfer-encoding");
        let lengths: Vec<&[u8]> = self.values("content-length").collect();
        if !codings.is_empty() {
            if !lengths.is_empty() {
                return Err(BadRequest("both Content-Length and Transfer-Encoding"));
            }
            if !codings.eq_ignore_ascii_case(b"chunked") || self.version == Version::Http10 {
                return Err(BadRequest("a Transfer-Encoding other than chunked"));
            }
            return Ok(Framing::Chunked);
        }
        let Some(first) = lengths.first() else { return Ok(Framing::None) };
        if lengths.iter().any(|other| other != first) {
            return Err(BadRequest("differing Content-Length fields"));
        }
        let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
        match length {
            Some(length) if digits => Ok(Framing::Length(length)),
            _ => Err(BadRequest("a Content-Length that is no number")),
        }
    }

    /// Whether the client wants the connection to stay.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version {
            Version::Http11 => !self.lists("connection", "close"),
            Version::Http10 => self.lists("connection", "keep-alive"),
        }
    }

    /// Whether the client waits for a 100 before it sends content.
    pub(crate) fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.lists("expect", "100-continue")
    }
}

/// The fields of a trailer section, with the empty line at its end.
pub(crate) fn trailers(octets: &[u8]) -> Result<Vec<(Raw, Raw)>, BadRequest> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
    match httparse::parse_headers(octets, &mut slots) {
        Ok(httparse::Status::Complete((_, fields))) => Ok(owned(fields)),
        Ok(httparse::Status::Partial) => Err(BadRequest("an incomplete trailer section")),
        Err(error) => Err(BadRequest(fault(error))),
    }
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(Raw, Raw)> {
    fields.iter().map(|field| (field.name.into(), field.value.into())).collect()
}

fn fault(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a bad field name",
        httparse::Error::HeaderValue => "a bad field value",
        httparse::Error::NewLine => "a bad line end",
        httparse::Error::Status => "a bad status",
        httparse::Error::Token => "a bad method or target",
        httparse::Error::TooManyHeaders => "too many fields",
        httparse::Error::Version => "a bad version",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &str) -> Result<Framing, BadRequest> {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        Request::parse(head.as_bytes()).unwrap().unwrap().0.framing()
    }

    #[test]
    fn framing_with_two_readings_is_refused() {
        let rows = [
            ("", Some(Framing::None)),
            ("Content-Length: 5\r\n", Some(Framing::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Some(Framing::Length(5))),
            ("Transfer-Encoding: Chunked\r\n", Some(Framing::Chunked)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", None),
            ("Content-Length: +5\r\n", None),
            ("Content-Length: 5, 5\r\n", None),
            ("Content-Length:\r\n", None),
            ("Content-Length: 99999999999999999999\r\n", None),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
            ("Transfer-Encoding: gzip, chunked\r\n", None),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", None),
        ];
        for (fields, expected) in rows {
            assert_eq!(framing(fields).ok(), expected, "{fields}");
        }
    }

    #[test]
    fn heads_are_complete_partial_or_refused() {
        assert!(Request::parse(b"GET / HT").unwrap().is_none());
        assert!(Request::parse(b"\x16\x03\x01\x02\x00").is_err());
        let (request, length) =
            Request::parse(b"GET /x HTTP/1.0\r\nA:  b \r\n\r\nrest").unwrap().unwrap();
        assert_eq!((request.target.as_str(), length), ("/x", 27));
        assert_eq!(request.fields, [(Raw::from("A"), Raw::from("b"))]);
        assert!(!request.keeps_alive());
    }
}
