//! The twelve bytes at the beginning of a message.
//!
//! In: bytes. Out: [`Header`]. Always holds: every combination of bits is a header; what it means
//! for the answer is [`super::query`]'s to say.
//!
//! RFC 1035 §4.1.1.

use super::{cursor::Cursor, kind::Opcode};

/// The length of a header.
pub const HEADER_BYTES: usize = 12;

const RESPONSE: u16 = 0x8000;
pub(super) const AUTHORITATIVE: u16 = 0x0400;
pub(super) const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const OPCODE: u16 = 0x7800;

/// A header, with its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the answer repeats, so that its asker knows it.
    pub id: u16,
    flags: u16,
    /// Questions.
    pub questions: u16,
    /// Records in the answer section.
    pub answers: u16,
    /// Records in the authority section.
    pub authorities: u16,
    /// Records in the additional section.
    pub additionals: u16,
}

impl Header {
    /// The header of `message`, if it is long enough to have one.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(message);
        let mut next = || cursor.u16();
        Some(Self {
            id: next()?,
            flags: next()?,
            questions: next()?,
            answers: next()?,
            authorities: next()?,
            additionals: next()?,
        })
    }

    /// QR: whether the message is itself a response.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    /// RD, which the answer repeats.
    #[must_use]
    pub const fn recursion_desired(&self) -> bool {
        self.flags & RECURSION_DESIRED != 0
    }

    /// What kind of message it is.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        let [high, _] = self.flags.to_be_bytes();
        Opcode((high >> 3) & 0x0f)
    }

    /// The flags of a response to this: QR, the opcode and RD. AD and CD stay clear, as
    /// RFC 4035 §3.1.6 wants it of an authority, and so does Z.
    pub(super) const fn response_flags(&self) -> u16 {
        RESPONSE | (self.flags & (OPCODE | RECURSION_DESIRED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let header = Header::read(b"\x12\x34\xa9\x30\0\x01\0\x02\0\x03\0\x04").unwrap();
        assert_eq!((header.id, header.questions, header.answers), (0x1234, 1, 2));
        assert_eq!((header.authorities, header.additionals), (3, 4));
        assert_eq!(header.opcode(), Opcode(5));
        assert!(header.is_response() && header.recursion_desired());
        assert_eq!(header.response_flags(), 0xa900, "RFC 4035 §3.1.6: AD and CD are clear");
        assert_eq!(Header::read(&[0; 11]), None, "RFC 1035 §4.1.1");
    }
}
