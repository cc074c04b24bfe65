//! EDNS: the OPT record of a query and what its options say.
//!
//! In: the fixed part and the data of an OPT record. Out: [`Edns`], which borrows them.
//! Always holds: an option that is not known is ignored (RFC 6891 §6.1.2); of several cookies the
//! first counts (RFC 7873 §5.2); two client subnets say nothing that could be echoed and are a
//! format error, as is every option whose own RFC calls it malformed.
//!
//! RFC 6891, 5001 (NSID), 7828 (keepalive), 7830 and 8467 (padding), 7871, 7873, 8914. Hot path: no
//! allocation.

use super::{cookie::CookieOption, cursor::Cursor, ecs::Ecs};

/// The smallest size that counts (RFC 6891 §6.2.3).
pub const UDP_BYTES_MIN: u16 = 512;
/// The version that is spoken here (RFC 6891 §6.1.3).
pub const VERSION: u8 = 0;

pub(super) const DNSSEC_OK: u16 = 0x8000;
pub(super) const NSID: u16 = 3;
pub(super) const CLIENT_SUBNET: u16 = 8;
pub(super) const COOKIE: u16 = 10;
pub(super) const TCP_KEEPALIVE: u16 = 11;
pub(super) const PADDING: u16 = 12;
pub(super) const EXTENDED_ERROR: u16 = 15;

/// What a query says beyond RFC 1035.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    udp_bytes: u16,
    /// The version that the client speaks.
    pub version: u8,
    /// DO: whether signatures are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// Whether the server is asked for its identifier (RFC 5001).
    pub nsid: bool,
    /// Whether the query was padded, so that the answer is to be padded too (RFC 7830 §4).
    pub padding: bool,
    /// Whether it says that it knows how long a connection is kept (RFC 7828).
    pub tcp_keepalive: bool,
    /// The client's network (RFC 7871).
    pub ecs: Option<Ecs<'a>>,
    /// The client's cookie, and maybe ours (RFC 7873).
    pub cookie: Option<CookieOption<'a>>,
}

/// An option that its RFC calls malformed, or options that overrun their record: FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Edns<'a> {
    /// The record without its options: its class is a size, its TTL three fields
    /// (RFC 6891 §6.1.2, §6.1.3).
    pub(super) const fn new(class: u16, ttl: u32) -> Self {
        let [_extended_rcode, version, flags, _] = ttl.to_be_bytes();
        Self {
            udp_bytes: class,
            version,
            dnssec_ok: flags & 0x80 != 0,
            nsid: false,
            padding: false,
            tcp_keepalive: false,
            ecs: None,
            cookie: None,
        }
    }

    /// How large a datagram the client can take.
    #[must_use]
    pub fn udp_bytes(&self) -> u16 {
        self.udp_bytes.max(UDP_BYTES_MIN)
    }

    pub(super) fn read_options(&mut self, data: &'a [u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(data);
        while !cursor.is_empty() {
            let code = cursor.u16().ok_or(Malformed)?;
            let length = cursor.u16().ok_or(Malformed)?;
            let option = cursor.take(usize::from(length)).ok_or(Malformed)?;
            self.read_option(code, option)?;
        }
        Ok(())
    }

    fn read_option(&mut self, code: u16, data: &'a [u8]) -> Result<(), Malformed> {
        match code {
            // RFC 5001 §2.1: a client sends no payload; §2.3 gives a payload no meaning.
            NSID => self.nsid = true,
            PADDING => self.padding = true,
            // RFC 7828 §3.2.1: a query tells no time; one that does has the option all the same.
            TCP_KEEPALIVE => self.tcp_keepalive = true,
            CLIENT_SUBNET => {
                let ecs = Ecs::read(data).map_err(|_malformed| Malformed)?;
                if self.ecs.replace(ecs).is_some() {
                    self.ecs = None;
                    return Err(Malformed);
                }
            }
            COOKIE => {
                let cookie = CookieOption::read(data).ok_or(Malformed)?;
                self.cookie = self.cookie.or(Some(cookie));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Why an answer is what it is, for people (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError<'a> {
    /// The kind.
    pub code: ExtendedErrorCode,
    /// More about it; clients get no internals from us.
    pub text: &'a str,
}

/// The kinds of RFC 8914 §4 that an authority has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedErrorCode {
    /// 0
    Other,
    /// 3: an answer that is older than it should be.
    StaleAnswer,
    /// 14: not yet able to answer.
    NotReady,
    /// 15: a rule of the operator's.
    Blocked,
    /// 18: this client may not ask.
    Prohibited,
    /// 20: the question is not about one of our zones.
    NotAuthoritative,
    /// 21: that kind of query is not served.
    NotSupported,
    /// 24: the data of the zone cannot be used.
    InvalidData,
}

impl ExtendedErrorCode {
    /// The number of RFC 8914 §5.2.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Other => 0,
            Self::StaleAnswer => 3,
            Self::NotReady => 14,
            Self::Blocked => 15,
            Self::Prohibited => 18,
            Self::NotAuthoritative => 20,
            Self::NotSupported => 21,
            Self::InvalidData => 24,
        }
    }
}

#[cfg(test)]
#[expect(clippy::type_complexity, reason = "rows of tables")]
mod tests {
    use super::*;

    fn read(data: &[u8]) -> Result<Edns<'_>, Malformed> {
        let mut edns = Edns::new(1232, 0x0000_8000);
        edns.read_options(data).map(|()| edns)
    }

    #[test]
    fn the_fixed_part_is_read() {
        let rows: &[(&str, u16, u32, (u16, u8, bool))] = &[
            ("RFC 6891 §6.1.2", 1232, 0, (1232, 0, false)),
            ("RFC 6891 §6.2.3 below 512", 100, 0, (512, 0, false)),
            ("RFC 6891 §6.2.5 0", 0, 0, (512, 0, false)),
            ("RFC 6891 §6.1.3 version", 4096, 0x0001_0000, (4096, 1, false)),
            ("RFC 6891 §6.1.4 DO", 4096, 0x0000_8000, (4096, 0, true)),
            ("RFC 6891 §6.1.4 Z is ignored", 4096, 0xff00_7fff, (4096, 0, false)),
        ];
        for (row, class, ttl, expected) in rows {
            let edns = Edns::new(*class, *ttl);
            assert_eq!((edns.udp_bytes(), edns.version, edns.dnssec_ok), *expected, "{row}");
        }
    }

    #[test]
    fn options_are_read() {
        let ecs: &[u8] = b"\0\x08\0\x07\0\x01\x18\0\xcb\0\x71";
        let cookie: &[u8] = b"\0\x0a\0\x08abcdefgh";
        let rows: &[(&str, Vec<u8>, Option<(bool, bool, bool, bool)>)] = &[
            ("RFC 6891 §6.1.2 none", vec![], Some((false, false, false, false))),
            ("RFC 5001 §2.1", b"\0\x03\0\0".into(), Some((true, false, false, false))),
            ("RFC 5001 a payload", b"\0\x03\0\x01x".into(), Some((true, false, false, false))),
            ("RFC 7830 §3", b"\0\x0c\0\x02\0\0".into(), Some((false, true, false, false))),
            ("RFC 7871 §6", ecs.into(), Some((false, false, true, false))),
            ("RFC 7873 §4", cookie.into(), Some((false, false, false, true))),
            ("RFC 6891 §6.1.2 all", [ecs, cookie].concat(), Some((false, false, true, true))),
            (
                "RFC 6891 §6.1.2 unknown",
                b"\xfe\xed\0\x01x".into(),
                Some((false, false, false, false)),
            ),
            ("RFC 6891 §6.1.2 half a code", b"\0".into(), None),
            ("RFC 6891 §6.1.2 no length", b"\0\x03".into(), None),
            ("RFC 6891 §6.1.2 half a length", b"\0\x03\0".into(), None),
            ("RFC 6891 §6.1.2 overrun", b"\0\x03\0\x01".into(), None),
            ("RFC 7871 §6 malformed", b"\0\x08\0\x04\0\x03\0\0".into(), None),
            ("RFC 7871 two of them", [ecs, ecs].concat(), None),
            ("RFC 7873 §5.2.2 7 bytes", b"\0\x0a\0\x07abcdefg".into(), None),
        ];
        for (row, data, expected) in rows {
            let said = read(data).ok();
            let said = said.map(|e| (e.nsid, e.padding, e.ecs.is_some(), e.cookie.is_some()));
            assert_eq!(said, *expected, "{row}");
        }
    }

    #[test]
    fn of_several_cookies_the_first_counts() {
        let edns = read(b"\0\x0a\0\x08abcdefgh\0\x0a\0\x08ABCDEFGH").unwrap();
        assert_eq!(edns.cookie.unwrap().client, b"abcdefgh", "RFC 7873 §5.2");
    }
}
