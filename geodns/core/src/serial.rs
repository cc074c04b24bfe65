//! Serials: the number in a zone's SOA that says which of two versions is newer.
//!
//! In: the content of a zone, the serial that its file says, the revision of the fleet's state,
//! and what was published before. Out: [`Published`], with the serial to publish.
//!
//! # What can be had
//!
//! A serial shall derive from the content, never recede (RFC 1912 §2.2, RFC 1982), and be equal on
//! all nodes. No function of the content alone does that: content can go from one state to another
//! and back, and then the same content has to have a greater serial than before. Somebody has to
//! say what came later, and two can: the operator, who writes a serial into the file, and the
//! fleet's state, whose revision grows with each change of sites, routes and nodes. So
//!
//! `serial = serial of the file + revision (mod 2^32)`,
//!
//! which every node computes alike, without a clock and without asking another, also after a
//! restart, and which moves on whenever one of the two does.
//!
//! The digest of the content is the witness that neither was forgotten. Where the content has
//! changed and the sum has not moved ([`Order::Untold`]), the new content is served, for old content
//! would hurt clients, and the serial stays the sum: a number that this node made up would be no
//! other node's, and not its own after a restart. Where the sum has gone back ([`Order::Receded`]: a
//! lowered serial, a state restored from an older copy) the last serial stays, the one case in which
//! nodes may differ. Both last, and are to be told, until the sum is ahead of what was published.
//!
//! Always holds: with `last` given, the serial is `last`'s or ahead of it, by the arithmetic of RFC
//! 1982; it is the sum, unless that has gone back.
//! It deliberately does not know where `last` is kept.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::{
    wire::{
        kind::RecordType,
        name::{Folded, Name},
    },
    zone::GeneratedNames,
    zonefile::Record,
};

/// The numbers at the end of an SOA, of which the serial is the first.
const SOA_NUMBERS_BYTES: usize = 20;

/// What a zone holds, as far as its serial is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    digest: u128,
    typed: u32,
}

/// A version of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// What its SOA says.
    pub serial: u32,
    /// What tells its content from other content.
    pub digest: u128,
    /// Whether no other content was published under its serial.
    pub is_told: bool,
}

/// Whether anybody said that this version comes after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is the first that this node publishes.
    First,
    /// Nothing has changed.
    Same,
    /// The file's serial or the revision has grown.
    Told,
    /// Neither has, but the content has changed: raise the serial in the file.
    Untold,
    /// Their sum comes before the serial that was published, which stays.
    Receded,
}

impl Content {
    /// The content of a zone with this apex, whatever the order of its records and the case of
    /// their owners.
    #[must_use]
    pub fn of(apex: &Name, records: &[Record], generated: &GeneratedNames) -> Self {
        // A fixed key: the digest is to be equal on all nodes, and the content is the operator's.
        let mut hasher = SipHasher24::new();
        let mut typed = 0;
        let mut rows: Vec<_> = records
            .iter()
            .map(|record| {
                let (data, serial) = without_serial(record);
                if record.owner == *apex {
                    typed = serial.unwrap_or(typed);
                }
                (&record.owner, record.rtype, record.ttl, data)
            })
            .collect();
        rows.sort_unstable();
        rows.dedup();
        for (owner, rtype, ttl, data) in rows {
            hasher.write(Folded::of(owner.as_ref()).as_ref().wire());
            hasher.write(&rtype.0.to_be_bytes());
            hasher.write(&ttl.to_be_bytes());
            hasher.write(&u64::try_from(data.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.write(&data);
        }
        for (owner, generated) in generated {
            // A route's number is a matter of one process; that a name is generated is not.
            hasher.write(b"\xff");
            hasher.write(Folded::of(owner.as_ref()).as_ref().wire());
            for rtype in &generated.types {
                hasher.write(&rtype.0.to_be_bytes());
            }
        }
        Self { digest: hasher.finish128().as_u128(), typed }
    }

    /// The version to publish at `revision`, after `last`.
    #[must_use]
    pub fn publish(self, revision: u64, last: Option<Published>) -> (Published, Order) {
        let [.., a, b, c, d] = revision.to_be_bytes();
        let sum = self.typed.wrapping_add(u32::from_be_bytes([a, b, c, d]));
        let same = last.is_some_and(|last| last.is_told && last.digest == self.digest);
        let (serial, order) = match last {
            None => (sum, Order::First),
            Some(last) if is_ahead(sum, last.serial) => (sum, Order::Told),
            Some(last) if sum != last.serial => (last.serial, Order::Receded),
            Some(_) if same => (sum, Order::Same),
            Some(_) => (sum, Order::Untold),
        };
        let is_told = same || matches!(order, Order::First | Order::Told);
        (Published { serial, digest: self.digest, is_told }, order)
    }
}

/// Whether `left` comes after `right` (RFC 1982 §3.2); not, if that is undefined.
const fn is_ahead(left: u32, right: u32) -> bool {
    matches!(left.wrapping_sub(right), 1..=0x7fff_ffff)
}

/// The data of a record, the serial of an SOA taken out.
fn without_serial(record: &Record) -> (Vec<u8>, Option<u32>) {
    let mut data = record.data.to_vec();
    if record.rtype != RecordType::SOA {
        return (data, None);
    }
    let at = data.len().saturating_sub(SOA_NUMBERS_BYTES);
    let field = data.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>);
    let serial = field.map(|field| u32::from_be_bytes(std::mem::take(field)));
    (data, serial)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{route::RouteId, wire::name::Name, zone::Generated, zonefile};

    fn content(text: &str, generated: &[(&str, usize, &[RecordType])]) -> Content {
        let apex = Name::parse(b"example.", None).unwrap();
        let mut load = |_: &str, _: &str| Err(String::new());
        let records = zonefile::read("zone", text.as_bytes(), &apex, &mut load).unwrap();
        let generated = generated.iter().map(|(name, route, types)| {
            let name = Name::parse(name.as_bytes(), None).unwrap();
            let types = types.iter().copied().collect();
            (name, Generated { route: RouteId::new(*route).unwrap(), types })
        });
        Content::of(&apex, &records, &generated.collect())
    }

    const SOA: &str = "$TTL 60\n@ SOA m h 100 1 1 1 1\n";
    const RAISED: &str = "$TTL 60\n@ SOA m h 101 1 1 1 1\n";

    #[test]
    fn the_digest_tells_content_and_nothing_else() {
        let base = content(&format!("{SOA}a A 1.2.3.4\nb A 1.2.3.5"), &[]);
        let same = [
            ("order", format!("{SOA}b A 1.2.3.5\na A 1.2.3.4")),
            ("case", format!("{SOA}A A 1.2.3.4\nB A 1.2.3.5")),
            ("twice", format!("{SOA}a A 1.2.3.4\na A 1.2.3.4\nb A 1.2.3.5")),
            ("the serial", format!("{RAISED}a A 1.2.3.4\nb A 1.2.3.5")),
        ];
        for (row, text) in same {
            assert_eq!(content(&text, &[]).digest, base.digest, "{row}");
        }
        let other = [
            ("data", format!("{SOA}a A 1.2.3.4\nb A 1.2.3.6")),
            ("an owner", format!("{SOA}a A 1.2.3.4\nc A 1.2.3.5")),
            ("a TTL", format!("{SOA}a A 1.2.3.4\nb 5 A 1.2.3.5")),
            ("a type", format!("{SOA}a A 1.2.3.4\nb TYPE77 \\# 4 01020305")),
            ("less", format!("{SOA}a A 1.2.3.4")),
            ("the SOA", "$TTL 60\n@ SOA m h 100 1 1 1 2\na A 1.2.3.4\nb A 1.2.3.5".to_owned()),
        ];
        for (row, text) in other {
            assert_ne!(content(&text, &[]).digest, base.digest, "{row}");
        }
        let (a, aaaa) = (RecordType::A, RecordType::AAAA);
        let routed = content(SOA, &[("w.example.", 1, &[a])]);
        assert_eq!(content(SOA, &[("W.example.", 9, &[a])]), routed, "route numbers are local");
        assert_ne!(content(SOA, &[("w.example.", 1, &[a, aaaa])]), routed);
        assert_ne!(content(SOA, &[("v.example.", 1, &[a])]), routed);
        assert_ne!(content(SOA, &[]), routed);
    }

    #[test]
    fn the_serial_moves_on_when_somebody_says_so() {
        let (first, raised) = (content(SOA, &[]), content(RAISED, &[]));
        let changed = content(&format!("{SOA}a A 1.2.3.4"), &[]);
        let after = |serial| Some(Published { serial, digest: first.digest, is_told: true });
        let untold = |serial| Some(Published { serial, digest: first.digest, is_told: false });
        let half = 100 + (1 << 31);
        let rows = [
            ("the file's", first, 0, None, 100, Order::First),
            ("the revision counts", first, 7, None, 107, Order::First),
            ("RFC 1982 §3.1 it wraps", first, u64::from(u32::MAX), None, 99, Order::First),
            ("nothing changed", first, 0, after(100), 100, Order::Same),
            ("the revision grew", first, 1, after(100), 101, Order::Told),
            ("the file's serial grew", raised, 0, after(100), 101, Order::Told),
            ("the content alone", changed, 0, after(100), 100, Order::Untold),
            ("nothing since", first, 0, untold(100), 100, Order::Untold),
            ("then somebody tells", raised, 0, untold(100), 101, Order::Told),
            ("the revision receded", first, 0, after(107), 107, Order::Receded),
            ("it receded, other content", changed, 0, after(107), 107, Order::Receded),
            ("RFC 1982 §3.2 across the wrap", first, 0, after(u32::MAX), 100, Order::Told),
            ("RFC 1982 §3.2 undefined", changed, 0, after(half), half, Order::Receded),
        ];
        for (row, content, revision, last, serial, order) in rows {
            let (published, said) = content.publish(revision, last);
            assert_eq!((published.serial, said), (serial, order), "{row}");
            assert_eq!(published.digest, content.digest, "{row}");
            let told = match order {
                Order::First | Order::Same | Order::Told => true,
                Order::Untold => false,
                Order::Receded => content == first,
            };
            assert_eq!(published.is_told, told, "{row}");
        }
    }

    proptest! {
        #[test]
        fn it_never_recedes_and_is_equal_on_all_nodes(
            steps in prop::collection::vec((0_u32..300, any::<bool>(), 0_u64..300), 1..20),
        ) {
            let mut last = None;
            for (typed, changed, revision) in steps {
                let content = Content { digest: u128::from(changed), typed };
                let (published, order) = content.publish(revision, last);
                if let Some(last) = last {
                    let same = published.serial == last.serial;
                    prop_assert!(same || is_ahead(published.serial, last.serial));
                    prop_assert_eq!(!same, order == Order::Told);
                }
                if order != Order::Receded {
                    let (elsewhere, _) = content.publish(revision, None);
                    prop_assert_eq!(elsewhere.serial, published.serial, "on every node");
                }
                last = Some(published);
            }
        }
    }
}
