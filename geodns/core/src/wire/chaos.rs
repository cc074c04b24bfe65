//! Questions of class CHAOS: which server is this, and which version.
//!
//! In: a question of class CH. Out: what it is answered. Always holds: nothing is told that the
//! operator did not write down; every other name of the class is refused.
//!
//! RFC 4892 (`id.server`), and the older `hostname.bind`, `version.bind` and `version.server`.
//! Hot path: no allocation.

use super::{
    kind::{Class, RecordType},
    query::Question,
    rrset::Rrset,
};

/// The longest text that is told: one character string.
const TEXT_BYTES_MAX: usize = 255;

/// What this server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chaos {
    id: Option<Rrset>,
    version: Option<Rrset>,
}

/// What a question of class CH is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChaosAnswer<'a> {
    /// These records.
    Data(&'a Rrset),
    /// The name exists, but not that type.
    NoData,
    /// REFUSED.
    Refused,
}

impl Chaos {
    /// What is told; more than 255 bytes are cut.
    #[must_use]
    pub fn new(id: Option<&str>, version: Option<&str>) -> Self {
        Self { id: id.and_then(text), version: version.and_then(text) }
    }

    /// The answer to a question.
    #[must_use]
    pub fn answer(&self, question: &Question<'_>) -> ChaosAnswer<'_> {
        let name = question.name.wire();
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let told = if is(b"\x02id\x06server\0") || is(b"\x08hostname\x04bind\0") {
            &self.id
        } else if is(b"\x07version\x04bind\0") || is(b"\x07version\x06server\0") {
            &self.version
        } else {
            &None
        };
        match (told, question.rtype) {
            (None, _) => ChaosAnswer::Refused,
            (Some(text), RecordType::TXT | RecordType::ANY) => ChaosAnswer::Data(text),
            (Some(_), _) => ChaosAnswer::NoData,
        }
    }
}

fn text(text: &str) -> Option<Rrset> {
    let text = text.as_bytes();
    let text = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
    let mut data = vec![u8::try_from(text.len()).ok()?];
    data.extend_from_slice(text);
    Rrset::encode_in(Class::CH, RecordType::TXT, 0, [data.as_slice()]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query::{Decoded, decode};

    #[test]
    fn only_what_the_operator_wrote_is_told() {
        let both = Chaos::new(Some("fra-1"), Some("Nearcast"));
        let silent = Chaos::default();
        let id = Some(Ok(b"\x05fra-1".as_slice()));
        let version = Some(Ok(b"\x08Nearcast".as_slice()));
        type Row<'a> = (&'a str, &'a Chaos, &'a [u8], u16, Option<Result<&'a [u8], ()>>);
        let rows: &[Row<'_>] = &[
            ("RFC 4892 §3.1", &both, b"\x02id\x06server\0", 16, id),
            ("RFC 4892 any case", &both, b"\x02ID\x06Server\0", 16, id),
            ("RFC 4892 ANY", &both, b"\x02id\x06server\0", 255, id),
            ("RFC 4892 §2 its elder", &both, b"\x08hostname\x04bind\0", 16, id),
            ("custom", &both, b"\x07version\x04bind\0", 16, version),
            ("custom", &both, b"\x07version\x06server\0", 16, version),
            ("RFC 2308 §2.2 no such type", &both, b"\x02id\x06server\0", 1, Some(Err(()))),
            ("RFC 4892 another name", &both, b"\x04bind\0", 16, None),
            ("RFC 4892 §3.1 may be disabled", &silent, b"\x02id\x06server\0", 16, None),
            ("custom, disabled", &silent, b"\x07version\x04bind\0", 16, None),
        ];
        for (row, chaos, name, rtype, expected) in rows {
            let head = b"\0\0\0\0\0\x01\0\0\0\0\0\0";
            let message = [&head[..], name, &rtype.to_be_bytes(), &[0, 3]].concat();
            let Decoded::Asked(query) = decode(&message) else { panic!("{row}") };
            let told = match chaos.answer(&query.question.unwrap()) {
                ChaosAnswer::Data(set) => Some(Ok(set.data().next().unwrap())),
                ChaosAnswer::NoData => Some(Err(())),
                ChaosAnswer::Refused => None,
            };
            assert_eq!(told, *expected, "{row}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let chaos = Chaos::new(Some(&"a".repeat(300)), None);
        let data = chaos.id.as_ref().and_then(|set| set.data().next()).map(<[u8]>::len);
        assert_eq!(data, Some(256), "RFC 1035 §3.3 character strings");
    }
}
