//! Why a connection's request was refused, and how the client is told.
//!
//! In goes a reason, out go its metric label, its status and the bytes of the response. The response always ends the
//! connection (RFC 9112 §9.6) and says nothing that is internal. It does not know when it may be written.

use super::quick::Told;

/// The reason for which a request never reached the service. The client is at fault in all of them but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request line is not `method SP target SP version CRLF` (RFC 9112 §3).
    RequestLine,
    /// The method is not a token (RFC 9110 §9.1).
    Method,
    /// The target has octets or a form that its method may not use (RFC 9112 §3.2).
    Target,
    /// The target is longer than `uri_bytes_max` (RFC 9112 §3).
    TargetTooLong,
    /// The version is neither HTTP/1.0 nor HTTP/1.1 (RFC 9112 §2.3).
    Version,
    /// A line ends in a bare LF, or a CR stands alone (RFC 9112 §2.2).
    LineEnd,
    /// A field line is folded (RFC 9112 §5.2).
    Fold,
    /// A field name is empty, not a token, or followed by whitespace (RFC 9112 §5.1).
    FieldName,
    /// A field value holds a control character (RFC 9110 §5.5).
    FieldValue,
    /// The head has more bytes than `header_bytes_max`.
    HeaderBytes,
    /// The head has more fields than `header_count_max`.
    HeaderCount,
    /// Content-Length is not one decimal number (RFC 9112 §6.3).
    ContentLength,
    /// Transfer-Encoding is not exactly `chunked`, or comes with HTTP/1.0 (RFC 9112 §6.1, §6.3).
    TransferEncoding,
    /// A transfer coding before `chunked` is not implemented (RFC 9112 §6.1).
    TransferCoding,
    /// Content-Length and Transfer-Encoding together (RFC 9112 §6.1).
    BothLengths,
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    HostMissing,
    /// Host is repeated or not `uri-host [ ":" port ]` (RFC 9110 §7.2).
    Host,
    /// The authority of an absolute-form target differs from Host (RFC 9112 §3.2.2).
    HostMismatch,
    /// The chunked coding is broken (RFC 9112 §7.1).
    Chunk,
    /// The chunk extensions have more bytes than `chunk_extension_bytes_max` (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A trailer field is malformed or may not be one (RFC 9110 §6.5.1).
    Trailer,
    /// The trailer section has more bytes or fields than its limits.
    TrailerBytes,
    /// The head did not end within `header_timeout`.
    HeaderTimeout,
    /// The content stalled for `body_timeout`.
    BodyTimeout,
    /// There is no memory for what the client has sent before its turn.
    Memory,
}

impl Refusal {
    /// Every reason, in the order of [`Refusal::index`]: for tables of counters.
    pub const ALL: [Self; 25] = [
        Self::RequestLine,
        Self::Method,
        Self::Target,
        Self::TargetTooLong,
        Self::Version,
        Self::LineEnd,
        Self::Fold,
        Self::FieldName,
        Self::FieldValue,
        Self::HeaderBytes,
        Self::HeaderCount,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::TransferCoding,
        Self::BothLengths,
        Self::HostMissing,
        Self::Host,
        Self::HostMismatch,
        Self::Chunk,
        Self::ChunkExtension,
        Self::Trailer,
        Self::TrailerBytes,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::Memory,
    ];

    /// The reason's place in [`Refusal::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The reason as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Method => "method",
            Self::Target => "target",
            Self::TargetTooLong => "uri_bytes_max",
            Self::Version => "version",
            Self::LineEnd => "line_end",
            Self::Fold => "obs_fold",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::HeaderBytes => "header_bytes_max",
            Self::HeaderCount => "header_count_max",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::TransferCoding => "transfer_coding",
            Self::BothLengths => "both_lengths",
            Self::HostMissing => "host_missing",
            Self::Host => "host",
            Self::HostMismatch => "host_mismatch",
            Self::Chunk => "chunk",
            Self::ChunkExtension => "chunk_extension_bytes_max",
            Self::Trailer => "trailer",
            Self::TrailerBytes => "trailer_bytes_max",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::Memory => "memory",
        }
    }

    /// Whether a limit was reached, rather than a rule of the protocol broken.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TargetTooLong
                | Self::HeaderBytes
                | Self::HeaderCount
                | Self::ChunkExtension
                | Self::TrailerBytes
                | Self::HeaderTimeout
                | Self::BodyTimeout
                | Self::Memory
        )
    }

    /// The status that tells the client.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeaderBytes | Self::HeaderCount | Self::TrailerBytes => 431,
            Self::HeaderTimeout | Self::BodyTimeout => 408,
            Self::TransferCoding => 501,
            Self::Memory => 503,
            Self::Version => 505,
            Self::RequestLine
            | Self::Method
            | Self::Target
            | Self::LineEnd
            | Self::Fold
            | Self::FieldName
            | Self::FieldValue
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::BothLengths
            | Self::HostMissing
            | Self::Host
            | Self::HostMismatch
            | Self::Chunk
            | Self::ChunkExtension
            | Self::Trailer => 400,
        }
    }

    /// The complete response, and how long its head is; a HEAD request gets it without content (RFC 9110 §9.3.2).
    pub(super) fn response(self, content: Content, told: &Told) -> (Vec<u8>, usize) {
        let reason = match self.status() {
            408 => "408 Request Timeout",
            414 => "414 URI Too Long",
            431 => "431 Request Header Fields Too Large",
            501 => "501 Not Implemented",
            503 => "503 Service Unavailable",
            505 => "505 HTTP Version Not Supported",
            _ => "400 Bad Request",
        };
        let mut text = format!("{reason}\n");
        if let Some(id) = told.request_id {
            text.push_str(&format!("Request id: {id:016x}\n"));
        }
        let date = told.date.as_ref().map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
        let length = text.len();
        let mut response = format!(
            "HTTP/1.1 {reason}\r\nConnection: close\r\n{date}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        );
        let head_bytes = response.len();
        if content == Content::Sent {
            response.push_str(&text);
        }
        (response.into_bytes(), head_bytes)
    }
}

/// Whether a response carries its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// It does.
    Sent,
    /// It answers a HEAD request, so it must not.
    Omitted,
}

/// Which deadline ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// `header_timeout`.
    Header,
    /// `idle_timeout`.
    Idle,
    /// `body_timeout`.
    Body,
    /// `write_timeout`.
    Write,
    /// `linger_timeout`: an ended connection's client kept sending.
    Linger,
}

impl Timeout {
    /// The deadline's name as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header_timeout",
            Self::Idle => "idle_timeout",
            Self::Body => "body_timeout",
            Self::Write => "write_timeout",
            Self::Linger => "linger_timeout",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "request refused: {}", self.as_str())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Told = Told { date: None, request_id: None, account: None };

    #[test]
    fn the_table_of_reasons_is_in_index_order_and_its_labels_differ() {
        let mut labels: Vec<_> = Refusal::ALL.iter().map(|reason| reason.as_str()).collect();
        for (place, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Refusal::ALL.len());
    }

    #[test]
    fn a_refusal_is_one_complete_closing_response() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
        let known = Told { date, request_id: Some(0x2a), account: None };
        for (reason, told) in
            Refusal::ALL.into_iter().flat_map(|reason| [(reason, &known), (reason, &NOTHING)])
        {
            let (bytes, head_bytes) = reason.response(Content::Sent, told);
            let bytes = String::from_utf8(bytes).unwrap();
            let (head, content) = bytes.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", reason.status())), "{head}");
            assert!(head.contains("\r\nConnection: close\r\n"));
            assert!(head.contains(&format!("\r\nContent-Length: {}", content.len())));
            let is_known = told.request_id.is_some();
            assert_eq!(head.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), is_known);
            assert_eq!(content.ends_with("\nRequest id: 000000000000002a\n"), is_known);
            assert_eq!(head_bytes, head.len() + 4);
            let bare = String::from_utf8(reason.response(Content::Omitted, told).0).unwrap();
            assert_eq!(bare, format!("{head}\r\n\r\n"));
        }
    }
}
