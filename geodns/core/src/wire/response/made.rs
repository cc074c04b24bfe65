//! Records whose data is at hand only now, such as the addresses that are up.
//!
//! In: an owner, a type and a TTL, then the data of each record, piece by piece. Out: records of
//! class IN in the answer section. Always holds: as with sets that are encoded ahead, all of them
//! fit or the answer becomes TC (RFC 2181 §9); the owner is written once and then pointed to.
//!
//! RFC 1035 §4.1.3. Hot path: no allocation.

use super::{Owner, Response, Section, names};
use crate::wire::{
    kind::{Class, RecordType},
    rrset::{OWNER, TTL_SECONDS_MAX},
};

/// A set that is being written.
#[derive(Debug)]
pub struct Made<'r, 'b, 'n> {
    response: &'r mut Response<'b>,
    owner: Owner<'n>,
    /// Where the owner stands, once it does.
    pointer: Option<[u8; 2]>,
    /// Type, class and TTL.
    fixed: [u8; 8],
}

/// The data of one record, which is being written.
#[derive(Debug)]
pub struct RecordData<'r, 'b> {
    response: &'r mut Response<'b>,
}

impl<'b> Response<'b> {
    /// Begins a set in the answer section.
    pub fn make<'n>(&mut self, owner: Owner<'n>, rtype: RecordType, ttl: u32) -> Made<'_, 'b, 'n> {
        debug_assert!(self.section == Section::Answer, "sections are written in their order");
        let [type_high, type_low] = rtype.0.to_be_bytes();
        let [class_high, class_low] = Class::IN.0.to_be_bytes();
        let [a, b, c, d] = ttl.min(TTL_SECONDS_MAX).to_be_bytes();
        let pointer = match owner {
            Owner::Question => Some(OWNER),
            Owner::Name(_) => None,
        };
        let fixed = [type_high, type_low, class_high, class_low, a, b, c, d];
        Made { response: self, owner, pointer, fixed }
    }
}

impl Made<'_, '_, '_> {
    /// Adds a record whose data `write` writes.
    pub fn add(&mut self, write: impl FnOnce(&mut RecordData<'_, '_>)) {
        if self.response.truncated || !self.put_owner() || !self.response.put(&self.fixed) {
            self.response.truncated = true;
            return;
        }
        let length_at = self.response.at;
        let mut data = RecordData { response: self.response };
        data.put(&[0, 0]);
        write(&mut data);
        let behind = length_at.saturating_add(2);
        let length = u16::try_from(self.response.at.saturating_sub(behind)).ok();
        let field = self.response.buffer.get_mut(length_at..).and_then(<[u8]>::first_chunk_mut);
        match (length, field) {
            (Some(length), Some(field)) => *field = length.to_be_bytes(),
            _ => self.response.truncated = true,
        }
        self.response.count_records(Section::Answer, 1);
    }

    fn put_owner(&mut self) -> bool {
        if let Some(pointer) = self.pointer {
            return self.response.put(&pointer);
        }
        let at = self.response.at;
        let Owner::Name(name) = self.owner else { return self.response.put(&OWNER) };
        self.pointer = names::pointer(at);
        self.response.put_name(name)
    }
}

impl RecordData<'_, '_> {
    /// Writes a piece.
    pub fn put(&mut self, bytes: &[u8]) {
        if !self.response.put(bytes) {
            self.response.truncated = true;
        }
    }
}
