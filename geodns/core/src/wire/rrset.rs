//! A set of records, encoded ahead.
//!
//! In: a type, a TTL and record data, when settings are loaded. Out: [`Rrset`], whose bytes only
//! have to be copied into an answer. Always holds: it has at least one record and fits into a
//! message; each record's owner is written as a pointer to the question's name, which is where
//! most answers need it ([`super::response`] writes other owners instead).
//!
//! RFC 1035 §4.1.3, RFC 2181 §5. Hot path: reading it allocates nothing.

use super::kind::{Class, RecordType};

/// What the records of one set may take in a message, so that header, question and OPT still fit.
pub const RRSET_BYTES_MAX: usize = 64_000;
/// TTLs are 31 bits (RFC 2181 §8).
pub const TTL_SECONDS_MAX: u32 = 0x7fff_ffff;
/// The question's name always stands right behind the header.
pub(super) const OWNER: [u8; 2] = [0xc0, 0x0c];
/// Owner, type, class, TTL and length of the data.
pub(super) const FIXED_BYTES: usize = 12;
/// Where the TTL stands in a record.
pub(super) const TTL_AT: usize = 6;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rrset {
    rtype: RecordType,
    ttl: u32,
    count: u16,
    wire: Box<[u8]>,
}

/// Why record data is no set. The operator is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RrsetError {
    /// There is no record.
    #[error("a set has at least one record")]
    Empty,
    /// The records fit into no message.
    #[error("the records of one name and type take more than {RRSET_BYTES_MAX} bytes")]
    TooLarge,
}

impl Rrset {
    /// Encodes records of class IN.
    pub fn encode<'r>(
        rtype: RecordType,
        ttl: u32,
        data: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Self, RrsetError> {
        Self::encode_in(Class::IN, rtype, ttl, data)
    }

    pub(super) fn encode_in<'r>(
        class: Class,
        rtype: RecordType,
        ttl: u32,
        data: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Self, RrsetError> {
        let ttl = ttl.min(TTL_SECONDS_MAX);
        let mut wire = Vec::new();
        let mut count = 0_u16;
        for data in data {
            let length = u16::try_from(data.len()).map_err(|_long| RrsetError::TooLarge)?;
            wire.extend_from_slice(&OWNER);
            wire.extend_from_slice(&rtype.0.to_be_bytes());
            wire.extend_from_slice(&class.0.to_be_bytes());
            wire.extend_from_slice(&ttl.to_be_bytes());
            wire.extend_from_slice(&length.to_be_bytes());
            wire.extend_from_slice(data);
            count = count.saturating_add(1);
            if wire.len() > RRSET_BYTES_MAX {
                return Err(RrsetError::TooLarge);
            }
        }
        if count == 0 {
            return Err(RrsetError::Empty);
        }
        Ok(Self { rtype, ttl, count, wire: wire.into() })
    }

    /// What a question for ANY gets where there are records (RFC 8482 §4.2).
    #[must_use]
    pub fn minimal_any(ttl: u32) -> Self {
        let data: &[u8] = b"\x07RFC8482\0";
        let hinfo = Self::encode(RecordType::HINFO, ttl, [data]);
        hinfo.unwrap_or_else(|_fits| Self {
            rtype: RecordType::HINFO,
            ttl,
            count: 0,
            wire: Box::default(),
        })
    }

    /// The type of its records.
    #[must_use]
    pub const fn rtype(&self) -> RecordType {
        self.rtype
    }

    /// How long its records may be kept.
    #[must_use]
    pub const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// How many records it has.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// All records, as they stand in an answer whose owner is the question's name.
    #[must_use]
    pub const fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The records, one by one.
    pub(super) const fn records(&self) -> Records<'_> {
        Records(&self.wire)
    }

    /// The data of the records, one by one.
    pub fn data(&self) -> impl Iterator<Item = &[u8]> {
        self.records().filter_map(|record| record.get(FIXED_BYTES..))
    }
}

/// See [`Rrset::records`].
pub(super) struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let fixed = self.0.first_chunk::<FIXED_BYTES>()?;
        let [.., high, low] = *fixed;
        let length = usize::from(u16::from_be_bytes([high, low])).saturating_add(FIXED_BYTES);
        let (record, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_encoded_for_the_question() {
        let addresses: [&[u8]; 2] = [&[192, 0, 2, 1], &[192, 0, 2, 2]];
        let set = Rrset::encode(RecordType::A, 60, addresses).unwrap();
        assert_eq!(
            set.wire(),
            b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01\
              \xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x02"
        );
        assert_eq!((set.rtype(), set.ttl(), set.count()), (RecordType::A, 60, 2));
        assert_eq!(set.data().collect::<Vec<_>>(), addresses);
        assert_eq!(Rrset::encode(RecordType::A, u32::MAX, addresses).unwrap().ttl(), 0x7fff_ffff);
    }

    #[test]
    fn a_set_is_never_empty_and_fits_into_a_message() {
        let none: [&[u8]; 0] = [];
        let large = vec![0; 65_535];
        let half: &[u8] = &[0; 32_000];
        assert_eq!(Rrset::encode(RecordType::A, 0, none), Err(RrsetError::Empty));
        assert_eq!(Rrset::encode(RecordType::TXT, 0, [&large[..]]), Err(RrsetError::TooLarge));
        assert_eq!(Rrset::encode(RecordType::TXT, 0, [half, half]), Err(RrsetError::TooLarge));
        assert!(Rrset::encode(RecordType::TXT, 0, [half]).is_ok());
    }

    #[test]
    fn minimal_any_is_that_of_the_rfc() {
        let any = Rrset::minimal_any(3600);
        assert_eq!(any.data().collect::<Vec<_>>(), [b"\x07RFC8482\0"], "RFC 8482 §4.2");
        assert_eq!((any.rtype(), any.ttl()), (RecordType::HINFO, 3600));
    }
}
