//! The chunked coding of a request's content, followed so strictly that hyper cannot end it elsewhere.
//!
//! In go the content's bytes as they arrive, out goes how many of them belong to the message and whether it has
//! ended. The bytes themselves pass on unchanged. A chunk-size line or a trailer line that ends in a bare LF, a size
//! that is not plain hexadecimal, data that overruns its chunk and a trailer field that frames or routes are refused
//! (RFC 9112 §7.1, RFC 9110 §6.5.1).

use super::{
    head::{FieldLine, field_line},
    limits::Limits,
    octets::VALUE,
    refusal::Refusal,
};

/// A 64-bit length has no more digits, and no client sends leading zeros beyond it.
const SIZE_DIGITS_MAX: u8 = 16;

/// Fields that frame, route, authenticate or control a message may not come after it (RFC 9110 §6.5.1).
const NOT_TRAILERS: [&[u8]; 18] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
];

/// Where in the coding the next octet stands.
#[derive(Debug)]
pub(super) struct ChunkCheck {
    state: State,
    size: u64,
    digits: u8,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
    /// The trailer line that has not ended.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// Whitespace after the size, which only an extension may follow.
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    End,
}

impl ChunkCheck {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
            line: Vec::new(),
        }
    }

    /// The message has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::End
    }

    /// How many bytes of `input` belong to the message.
    pub(super) fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<usize, Refusal> {
        let mut at = 0;
        while let Some(octet) = input.get(at) {
            match self.state {
                State::End => break,
                State::Data => {
                    let there = (input.len() - at) as u64;
                    let taken = there.min(self.size);
                    self.size -= taken;
                    at += usize::try_from(taken).unwrap_or(usize::MAX);
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailer => {
                    self.trailer(*octet, limits)?;
                    at += 1;
                }
                State::Size
                | State::SizeSpace
                | State::Extension
                | State::SizeLf
                | State::DataCr
                | State::DataLf => {
                    self.state = self.line_octet(*octet, limits)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// `chunk-size [ chunk-ext ] CRLF` and the CRLF after the data.
    fn line_octet(&mut self, octet: u8, limits: &Limits) -> Result<State, Refusal> {
        match (self.state, octet) {
            (State::Size, b'\r') | (State::Extension, b'\r') if self.digits > 0 => {
                Ok(State::SizeLf)
            }
            (State::Size, b';') | (State::SizeSpace, b';') if self.digits > 0 => {
                Ok(State::Extension)
            }
            (State::Size | State::SizeSpace, b' ' | b'\t') if self.digits > 0 => {
                self.extension(limits)?;
                Ok(State::SizeSpace)
            }
            (State::Size, _) => self.size_digit(octet),
            (State::Extension, _) if VALUE.has(octet) => {
                self.extension(limits)?;
                Ok(State::Extension)
            }
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                Ok(if self.size == 0 { State::Trailer } else { State::Data })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            _ => Err(Refusal::Chunk),
        }
    }

    fn size_digit(&mut self, octet: u8) -> Result<State, Refusal> {
        let digit = char::from(octet).to_digit(16).ok_or(Refusal::Chunk)?;
        self.digits += 1;
        if self.digits > SIZE_DIGITS_MAX {
            return Err(Refusal::Chunk);
        }
        let size = self.size.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
        self.size = size.ok_or(Refusal::Chunk)?;
        Ok(State::Size)
    }

    /// §7.1.1: extensions are ignored, so all that a sender can do with them is waste.
    const fn extension(&mut self, limits: &Limits) -> Result<(), Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > limits.chunk_extension_bytes_max {
            return Err(Refusal::ChunkExtension);
        }
        Ok(())
    }

    fn trailer(&mut self, octet: u8, limits: &Limits) -> Result<(), Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits.trailer_bytes_max {
            return Err(Refusal::TrailerBytes);
        }
        self.line.push(octet);
        if octet != b'\n' {
            return Ok(());
        }
        match field_line(&self.line)? {
            // A line feed is there, so the line is whole or refused.
            FieldLine::Partial => return Err(Refusal::Trailer),
            FieldLine::End => self.state = State::End,
            FieldLine::Field { name, .. } => {
                if NOT_TRAILERS.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                    return Err(Refusal::Trailer);
                }
                self.trailer_fields += 1;
                if self.trailer_fields > limits.header_count_max {
                    return Err(Refusal::TrailerBytes);
                }
            }
        }
        self.line.clear();
        Ok(())
    }
}
