//! A geo database: an mmdb file, opened, checked and walked along its address space.
//!
//! In: the file's bytes. Out: for each address what the file knows of its place.
//! Always holds: a file is checked as it is walked, down to the last record that an address leads
//! to, so a map that was compiled never meets a broken part; a tree that is no tree ends the walk
//! at a number of blocks that a tree cannot have.
//! It deliberately reads from bytes and knows no file: who replaces a file keeps the old bytes.
//!
//! MaxMind DB format 2.0. The tree is the `maxminddb` crate's business, records are ours
//! ([`super::record`]).

use std::{collections::HashMap, hash::BuildHasher as _, net::IpAddr, net::Ipv6Addr, sync::Arc};

use foldhash::fast::FixedState;
use maxminddb::{MaxMindDbError, Reader, Within, WithinOptions};

use super::{
    place::Place,
    record,
    span::{Cursor, Space},
};

/// Why a database is refused; the operator's file is at fault, and trying again changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is no mmdb file, or its tree is damaged.
    #[error("{name}: not a sound mmdb file")]
    Format {
        /// The database.
        name: Arc<str>,
        /// What the reader says.
        source: MaxMindDbError,
    },
    /// Its search tree leads to more networks than its nodes can tell apart.
    #[error("{name}: its search tree meets itself")]
    NoTree {
        /// The database.
        name: Arc<str>,
    },
    /// A record is damaged.
    #[error("{name}: the record at byte {offset} of the data section is damaged: {fault}")]
    Record {
        /// The database.
        name: Arc<str>,
        /// Where in the data section.
        offset: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// It is sound, but says nothing that helps to find a place.
    #[error("{name}: no record has a country, a continent, coordinates or an autonomous system")]
    SaysNothing {
        /// The database.
        name: Arc<str>,
    },
}

/// A geo database.
#[derive(Debug)]
pub struct Database<'d> {
    name: Arc<str>,
    reader: Reader<&'d [u8]>,
    section: &'d [u8],
    places: Places,
}

/// Slots of the records met last; a power of two.
const RECENT: usize = 1 << 15;

/// Records that were read, each place once. The first is the unknown place. A city database has
/// some hundred thousand of either, so that whatever is kept of each counts.
#[derive(Debug)]
struct Places {
    by_offset: HashMap<u32, u32, FixedState>,
    /// By a number that a place hashes to, or one of those behind it where others were there first.
    ids: HashMap<u32, u32, FixedState>,
    all: Vec<Place>,
    /// The last record of each slot that offsets fall into: networks beside each other are often
    /// of the same few records, and the table above does not fit into a processor's cache.
    recent: Box<[(u32, u32)]>,
}

impl<'d> Database<'d> {
    /// Opens the database in `bytes`; `name` stands in messages.
    ///
    /// # Errors
    /// What the head of the file shows to be wrong; the rest shows when it is walked.
    pub fn open(name: &str, bytes: &'d [u8]) -> Result<Self, DatabaseError> {
        let name: Arc<str> = name.into();
        let reader = Reader::from_source(bytes)
            .map_err(|source| DatabaseError::Format { name: Arc::clone(&name), source })?;
        let metadata = reader.metadata();
        // A node is two records of so many bits each; sixteen zero bytes part the tree from the
        // data section. The reader has checked that all of it lies within the file.
        let node_bytes = u64::from(metadata.record_size / 4);
        let tree_bytes = u64::from(metadata.node_count).saturating_mul(node_bytes);
        let start = usize::try_from(tree_bytes.saturating_add(16)).unwrap_or(usize::MAX);
        let section = bytes.get(start..).unwrap_or_default();
        Ok(Self { name, reader, section, places: Places::new(section.len()) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says that it is, as `GeoLite2-City`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was built, in seconds since 1970.
    #[must_use]
    pub fn built(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// The nodes of its search tree.
    pub(super) fn node_count(&self) -> usize {
        usize::try_from(self.reader.metadata().node_count).unwrap_or(usize::MAX)
    }

    /// What it knows of one address.
    ///
    /// # Errors
    /// Damage on the way to the address's record.
    pub fn find(&self, address: IpAddr) -> Result<Place, DatabaseError> {
        let IpAddr::V6(six) = address else { return self.search(address) };
        // Where such a file keeps IPv4 there are no IPv6 clients.
        if self.reader.metadata().ip_version == 4 || six.to_bits() <= u128::from(u32::MAX) {
            return Ok(Place::default());
        }
        self.search(address)
    }

    fn search(&self, address: IpAddr) -> Result<Place, DatabaseError> {
        let found = self.reader.lookup(address).map_err(|source| self.broken(source))?;
        let Some(offset) = found.offset() else { return Ok(Place::default()) };
        record::read(self.section, offset).map_err(|fault| self.damaged(offset, fault))
    }

    /// After a walk: whether it said anything.
    pub(super) fn said_anything(&self) -> Result<(), DatabaseError> {
        if self.places.all.len() > 1 {
            return Ok(());
        }
        Err(DatabaseError::SaysNothing { name: Arc::clone(&self.name) })
    }

    /// Walks an address space, `u32` or `u128`.
    pub(super) fn cursor<A: Space>(&mut self) -> DatabaseCursor<'_, 'd, A> {
        let mut networks = if A::BITS == 32 {
            vec![("0.0.0.0".to_owned(), 0)]
        } else if self.reader.metadata().ip_version == 6 {
            around_v4()
        } else {
            Vec::new()
        };
        networks.reverse();
        // The leaves of a tree are one more than its nodes; a walk in parts meets some twice.
        let blocks_left = u64::from(self.reader.metadata().node_count).saturating_add(1024);
        DatabaseCursor {
            name: &self.name,
            reader: &self.reader,
            section: self.section,
            places: &mut self.places,
            networks,
            within: None,
            ahead: Ahead::Unread,
            current: None,
            blocks_left,
        }
    }

    fn broken(&self, source: MaxMindDbError) -> DatabaseError {
        DatabaseError::Format { name: Arc::clone(&self.name), source }
    }

    fn damaged(&self, offset: usize, fault: &'static str) -> DatabaseError {
        DatabaseError::Record { name: Arc::clone(&self.name), offset, fault }
    }
}

/// All of the IPv6 space but `::/96`, where such a file keeps IPv4: ascending.
fn around_v4() -> Vec<(String, u8)> {
    let sibling = |prefix: u8| {
        let first = 1_u128.checked_shl(u32::from(128_u8.saturating_sub(prefix))).unwrap_or(0);
        (Ipv6Addr::from_bits(first).to_string(), prefix)
    };
    (1..=96).rev().map(sibling).collect()
}

impl Places {
    /// Room for as many records as a section of this length is likely to have: a table that grows
    /// takes all of it in one long step.
    fn new(section_bytes: usize) -> Self {
        let likely = (section_bytes / 64).min(1 << 20);
        let room = || HashMap::with_capacity_and_hasher(likely, FixedState::default());
        let mut places = Self {
            by_offset: room(),
            ids: room(),
            all: Vec::with_capacity(likely),
            recent: vec![(u32::MAX, 0); RECENT].into_boxed_slice(),
        };
        places.intern(Place::default());
        places
    }

    /// The number of the place in the record at `offset`.
    fn id(&mut self, section: &[u8], offset: usize) -> Result<u32, &'static str> {
        // A section has less than 4 GiB: its offsets stand in records of 32 bits.
        let key = u32::try_from(offset).map_err(|_too_far| "it lies too far behind")?;
        let slot = offset.wrapping_mul(0x9e37_79b1) >> 7 & RECENT.saturating_sub(1);
        if let Some((_, id)) = self.recent.get(slot).filter(|(recent, _)| *recent == key) {
            return Ok(*id);
        }
        let id = match self.by_offset.get(&key) {
            Some(id) => *id,
            None => {
                let place = record::read(section, offset)?;
                let id = self.intern(place).ok_or("there are too many places")?;
                self.by_offset.insert(key, id);
                id
            }
        };
        if let Some(slot) = self.recent.get_mut(slot) {
            *slot = (key, id);
        }
        Ok(id)
    }

    fn intern(&mut self, place: Place) -> Option<u32> {
        let mut hash = hash(&place);
        while let Some(id) = self.ids.get(&hash) {
            if usize::try_from(*id).ok().and_then(|at| self.all.get(at)) == Some(&place) {
                return Some(*id);
            }
            hash = hash.wrapping_add(1);
        }
        let id = u32::try_from(self.all.len()).ok()?;
        self.ids.insert(hash, id);
        self.all.push(place);
        Some(id)
    }
}

/// Its upper half, which is as good as the lower one.
fn hash(place: &Place) -> u32 {
    u32::try_from(FixedState::default().hash_one(place) >> 32).unwrap_or_default()
}

/// A block of addresses and the number of its place.
type Block<A> = (A, A, u32);

/// What the walk comes to next.
enum Ahead<A> {
    Unread,
    Block(Block<A>),
    Nothing,
}

/// A database, walked along an address space.
pub(super) struct DatabaseCursor<'c, 'd, A> {
    name: &'c Arc<str>,
    reader: &'c Reader<&'d [u8]>,
    section: &'d [u8],
    places: &'c mut Places,
    /// The parts of the space that are still to walk, the next one last.
    networks: Vec<(String, u8)>,
    within: Option<Within<'c, &'d [u8]>>,
    ahead: Ahead<A>,
    /// The last address of the block where the walk stands, and its place.
    current: Option<(A, u32)>,
    blocks_left: u64,
}

impl<A: Space> DatabaseCursor<'_, '_, A> {
    /// The place of a number that [`Cursor::at`] returned.
    pub(super) fn place(&self, id: u32) -> Place {
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        self.places.all.get(index).copied().unwrap_or_default()
    }

    fn read(&mut self) -> Result<Ahead<A>, DatabaseError> {
        let broken = |source| DatabaseError::Format { name: Arc::clone(self.name), source };
        let item = loop {
            if let Some(item) = self.within.as_mut().and_then(Iterator::next) {
                break item.map_err(broken)?;
            }
            let Some((first, prefix)) = self.networks.pop() else { return Ok(Ahead::Nothing) };
            let network = format!("{first}/{prefix}")
                .parse()
                .map_err(|source| broken(MaxMindDbError::InvalidNetwork(source)))?;
            let options = WithinOptions::default().include_networks_without_data();
            self.within = Some(self.reader.within(network, options).map_err(broken)?);
        };
        let Some(left) = self.blocks_left.checked_sub(1) else {
            return Err(DatabaseError::NoTree { name: Arc::clone(self.name) });
        };
        self.blocks_left = left;
        let id = match item.offset() {
            None => 0,
            Some(offset) => self.places.id(self.section, offset).map_err(|fault| {
                DatabaseError::Record { name: Arc::clone(self.name), offset, fault }
            })?,
        };
        let network = item.network().map_err(broken)?;
        // A file of IPv6 networks may have one record for all that stands around IPv4.
        let block = A::of(network.network())
            .map_or((A::FIRST, A::LAST, id), |first| (first, first.last_of(network.prefix()), id));
        Ok(Ahead::Block(block))
    }
}

impl<A: Space> Cursor<A> for DatabaseCursor<'_, '_, A> {
    fn at(&mut self, address: A) -> Result<(u32, A), DatabaseError> {
        loop {
            if let Some((last, id)) = self.current
                && address <= last
            {
                return Ok((id, last));
            }
            match self.ahead {
                Ahead::Unread => self.ahead = self.read()?,
                Ahead::Nothing => return Ok((0, A::LAST)),
                // A part of the file that mirrors IPv4 is left out of the walk: nothing is known.
                Ahead::Block((first, _, _)) if first > address => return Ok((0, first.before())),
                Ahead::Block((_, last, id)) => {
                    self.current = Some((last, id));
                    self.ahead = Ahead::Unread;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::place::Point, *};

    #[test]
    fn places_that_hash_alike_are_told_apart() {
        let place = |number: u32| Place {
            asn: Some(number.wrapping_mul(number)),
            point: Point::new(f64::from(number % 600) / 10.0, f64::from(number / 600) / 10.0),
            ..Place::default()
        };
        let mut hashes = HashSet::new();
        let alike = (0..300_000).filter(|number| !hashes.insert(hash(&place(*number)))).count();
        assert!(alike > 0, "among so many some ten pairs hash alike");
        let mut places = Places::new(0);
        for round in 0..2 {
            for number in 0..300_000 {
                let id = places.intern(place(number));
                assert_eq!(id, Some(number + 1), "{number}, round {round}");
            }
        }
        assert_eq!(places.intern(Place::default()), Some(0));
    }
}
