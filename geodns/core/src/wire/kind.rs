//! The numbers of DNS that have names: types, classes, opcodes, response codes.
//!
//! In: numbers off the wire, words of a zone file. Out: the same, told apart by type.
//! Always holds: every number is carried through, known or not (RFC 3597 §2), and prints as it is
//! written in a zone file.
//!
//! RFC 1035 §3.2, RFC 3597 §5, RFC 6895.

use std::fmt;

/// A type of records, or a QTYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u16);

/// A class, or a QCLASS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

/// What kind of message a header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

macro_rules! record_types {
    ($($(#[$doc:meta])* $constant:ident = $code:literal $word:literal;)*) => {
        impl RecordType {
            $($(#[$doc])* pub const $constant: Self = Self($code);)*

            /// The name that a zone file may use for it.
            #[must_use]
            pub const fn word(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($word),)*
                    _ => None,
                }
            }

            fn from_word(word: &[u8]) -> Option<Self> {
                $(if word.eq_ignore_ascii_case($word.as_bytes()) { return Some(Self($code)); })*
                None
            }
        }
    };
}

record_types! {
    /// RFC 1035 §3.4.1
    A = 1 "A";
    /// RFC 1035 §3.3.11
    NS = 2 "NS";
    /// RFC 1035 §3.3.1
    CNAME = 5 "CNAME";
    /// RFC 1035 §3.3.13
    SOA = 6 "SOA";
    /// RFC 1035 §3.3.12
    PTR = 12 "PTR";
    /// RFC 1035 §3.3.2, RFC 8482 §4.2
    HINFO = 13 "HINFO";
    /// RFC 1035 §3.3.9
    MX = 15 "MX";
    /// RFC 1035 §3.3.14
    TXT = 16 "TXT";
    /// RFC 3596
    AAAA = 28 "AAAA";
    /// RFC 2782
    SRV = 33 "SRV";
    /// RFC 3403
    NAPTR = 35 "NAPTR";
    /// RFC 6672
    DNAME = 39 "DNAME";
    /// RFC 6891 §6.1.1
    OPT = 41 "OPT";
    /// RFC 4034 §5
    DS = 43 "DS";
    /// RFC 4034 §3
    RRSIG = 46 "RRSIG";
    /// RFC 4034 §4
    NSEC = 47 "NSEC";
    /// RFC 4034 §2
    DNSKEY = 48 "DNSKEY";
    /// RFC 5155 §3
    NSEC3 = 50 "NSEC3";
    /// RFC 5155 §4
    NSEC3PARAM = 51 "NSEC3PARAM";
    /// RFC 6698
    TLSA = 52 "TLSA";
    /// RFC 9460
    SVCB = 64 "SVCB";
    /// RFC 9460
    HTTPS = 65 "HTTPS";
    /// RFC 2930
    TKEY = 249 "TKEY";
    /// RFC 8945
    TSIG = 250 "TSIG";
    /// RFC 1995
    IXFR = 251 "IXFR";
    /// RFC 5936
    AXFR = 252 "AXFR";
    /// RFC 1035 §3.2.3
    MAILB = 253 "MAILB";
    /// RFC 1035 §3.2.3
    MAILA = 254 "MAILA";
    /// RFC 8482
    ANY = 255 "ANY";
    /// RFC 8659
    CAA = 257 "CAA";
}

impl RecordType {
    /// Reads a word of a zone file: a name of a type, or `TYPE` and a number (RFC 3597 §5).
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Self> {
        Self::from_word(word).or_else(|| numbered(word, "TYPE").map(Self))
    }

    /// Whether no zone may hold it: the types of questions and of single messages (RFC 6895 §3.1).
    #[must_use]
    pub const fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word() {
            Some(word) => f.write_str(word),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl Class {
    /// The internet.
    pub const IN: Self = Self(1);
    /// CHAOS, where servers say who they are (RFC 4892).
    pub const CH: Self = Self(3);
    /// Hesiod.
    pub const HS: Self = Self(4);
    /// Only in questions.
    pub const ANY: Self = Self(255);

    /// Reads a word of a zone file: a name of a class, or `CLASS` and a number (RFC 3597 §5).
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Self> {
        let named = [("IN", Self::IN), ("CH", Self::CH), ("HS", Self::HS), ("CS", Self(2))];
        let found = named.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, class)| *class).or_else(|| numbered(word, "CLASS").map(Self))
    }
}

/// The number behind `prefix`: decimal digits and nothing else.
fn numbered(word: &[u8], prefix: &str) -> Option<u16> {
    let (head, digits) = word.split_at_checked(prefix.len())?;
    let decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !head.eq_ignore_ascii_case(prefix.as_bytes()) || !decimal {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Opcode {
    /// A standard query.
    pub const QUERY: Self = Self(0);
    /// A primary says that its zone has changed (RFC 1996).
    pub const NOTIFY: Self = Self(4);
    /// A change of a zone (RFC 2136).
    pub const UPDATE: Self = Self(5);
}

/// The response codes that are sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rcode {
    /// There is an answer, or the name exists.
    NoError,
    /// The message cannot be read.
    FormErr,
    /// It is our fault.
    ServFail,
    /// There is no such name.
    NxDomain,
    /// That kind of query is not served.
    NotImp,
    /// That is not for us to answer.
    Refused,
    /// The version of EDNS is not known (RFC 6891 §9).
    BadVers,
    /// The server cookie is wrong (RFC 7873 §8).
    BadCookie,
}

impl Rcode {
    /// The number, of which EDNS carries the upper eight bits (RFC 6891 §6.1.3).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
            Self::BadCookie => 23,
        }
    }

    /// The name, as it is printed by tools, in logs and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::BadVers => "BADVERS",
            Self::BadCookie => "BADCOOKIE",
        }
    }
}

#[cfg(test)]
#[expect(clippy::type_complexity, reason = "rows of tables")]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_written_as_in_zone_files() {
        let rows: &[(&str, &str, Option<(u16, &str)>)] = &[
            ("RFC 1035 §5.1 a name", "MX", Some((15, "MX"))),
            ("RFC 1035 §5.1 any case", "aaaa", Some((28, "AAAA"))),
            ("RFC 9460 §14.1", "https", Some((65, "HTTPS"))),
            ("RFC 3597 §5 a number", "TYPE65280", Some((65280, "TYPE65280"))),
            ("RFC 3597 §5 a known number", "type1", Some((1, "A"))),
            ("RFC 3597 §5 no sign", "TYPE+1", None),
            ("RFC 3597 §5 no number", "TYPE", None),
            ("RFC 3597 §5 16 bits", "TYPE65536", None),
            ("RFC 1035 §5.1 not a type", "AA", None),
            ("RFC 1035 §5.1 nothing", "", None),
        ];
        for (name, word, expected) in rows {
            let read = RecordType::parse(word.as_bytes());
            let parts = read.map(|rtype| (rtype.0, rtype.to_string()));
            assert_eq!(parts, expected.map(|(code, text)| (code, text.to_owned())), "{name}");
        }
    }

    #[test]
    fn classes_are_read_as_in_zone_files() {
        let rows: &[(&str, &str, Option<Class>)] = &[
            ("RFC 1035 §5.1", "IN", Some(Class::IN)),
            ("RFC 1035 §5.1 any case", "ch", Some(Class::CH)),
            ("RFC 1035 §3.2.4 obsolete", "CS", Some(Class(2))),
            ("RFC 3597 §5", "CLASS32", Some(Class(32))),
            ("RFC 3597 §5 known", "class1", Some(Class::IN)),
            ("RFC 1035 §5.1 not a class", "INN", None),
        ];
        for (name, word, expected) in rows {
            assert_eq!(Class::parse(word.as_bytes()), *expected, "{name}");
        }
    }

    #[test]
    fn response_codes_have_the_registered_numbers() {
        let rows = [
            (Rcode::NoError, 0, "NOERROR"),
            (Rcode::FormErr, 1, "FORMERR"),
            (Rcode::ServFail, 2, "SERVFAIL"),
            (Rcode::NxDomain, 3, "NXDOMAIN"),
            (Rcode::NotImp, 4, "NOTIMP"),
            (Rcode::Refused, 5, "REFUSED"),
            (Rcode::BadVers, 16, "BADVERS"),
            (Rcode::BadCookie, 23, "BADCOOKIE"),
        ];
        for (rcode, code, word) in rows {
            assert_eq!((rcode.code(), rcode.as_str()), (code, word), "RFC 6895 §2.3");
        }
    }
}
