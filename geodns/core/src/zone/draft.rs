//! Records sorted into names and sets, before anything is encoded.
//!
//! In: records and generated names. Out: [`Draft`], and what is wrong with them one by one.
//! Always holds: names are in canonical order, so that what lies below a name follows it; a record
//! that stands twice counts once (RFC 2181 §5).

use std::collections::BTreeMap;

use crate::{
    wire::{kind::RecordType, name::Name},
    zonefile::{
        Record,
        fault::{Faults, Place},
    },
};

use super::{Generated, GeneratedNames};

/// See the module.
pub(super) struct Draft<'r> {
    pub(super) apex: &'r Name,
    pub(super) names: BTreeMap<Name, DraftName<'r>>,
}

#[derive(Default)]
pub(super) struct DraftName<'r> {
    pub(super) sets: BTreeMap<RecordType, DraftSet<'r>>,
    pub(super) generated: Option<&'r Generated>,
}

pub(super) struct DraftSet<'r> {
    pub(super) ttl: u32,
    pub(super) data: Vec<&'r [u8]>,
    /// Where its first record stands.
    pub(super) place: &'r Place,
}

impl<'r> Draft<'r> {
    pub(super) fn new(
        apex: &'r Name,
        records: &'r [Record],
        generated: &'r GeneratedNames,
        faults: &mut Faults,
    ) -> Self {
        let mut draft = Self { apex, names: BTreeMap::new() };
        for record in records {
            draft.add(record, faults);
        }
        for (name, generated) in generated {
            draft.add_generated(name, generated, faults);
        }
        draft
    }

    fn add(&mut self, record: &'r Record, faults: &mut Faults) {
        let Record { owner, rtype, ttl, data, place } = record;
        if !owner.as_ref().is_within(self.apex.as_ref()) {
            let what = format!("{owner} is not in the zone {}", self.apex);
            faults.add(Some(place), what, "the apex and names below it");
            return;
        }
        let name = self.names.entry(owner.clone()).or_default();
        let set = name.sets.entry(*rtype);
        let set = set.or_insert_with(|| DraftSet { ttl: *ttl, data: Vec::new(), place });
        if set.ttl != *ttl {
            let what = format!("TTL {ttl} where {} {owner} {rtype} has {}", set.place, set.ttl);
            let allowed = "one TTL for all records of a name and type (RFC 2181 §5.2)";
            faults.add(Some(place), what, allowed);
        }
        if !set.data.contains(&&**data) {
            set.data.push(data);
        }
        if set.data.len() > 1 && matches!(*rtype, RecordType::SOA | RecordType::CNAME) {
            let what = format!("a second {rtype} at {owner}, after {}", set.place);
            faults.add(Some(place), what, "one (RFC 2181 §10.1, RFC 1035 §5.2)");
        }
    }

    /// Routes and static records may share a name, but not a type.
    fn add_generated(&mut self, owner: &Name, generated: &'r Generated, faults: &mut Faults) {
        if !owner.as_ref().is_within(self.apex.as_ref()) {
            let what = format!("the route at {owner} is not in the zone {}", self.apex);
            faults.add(None, what, "the apex and names below it");
            return;
        }
        let name = self.names.entry(owner.clone()).or_default();
        for rtype in &generated.types {
            if let Some(set) = name.sets.get(rtype) {
                let what = format!("{owner} {rtype} is also what a route or site generates");
                let allowed = "other types at that name, or another name for the route or site";
                faults.add(Some(set.place), what, allowed);
            }
            if matches!(
                *rtype,
                RecordType::CNAME | RecordType::NS | RecordType::SOA | RecordType::DS
            ) {
                let what = format!("a route generates {rtype} at {owner}");
                faults.add(None, what, "types that do not shape the zone, such as A");
            }
        }
        name.generated = Some(generated);
    }
}

impl DraftName<'_> {
    pub(super) fn has(&self, rtype: RecordType) -> bool {
        self.sets.contains_key(&rtype)
    }
}
