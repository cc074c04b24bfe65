//! Building: from checked records to bytes that only have to be copied.
//!
//! In: a draft. Out: the nodes, cuts and sets of a [`Zone`].
//! Always holds: every name between the apex and a name that has records exists too (RFC 4592
//! §2.2.2), also if nothing stands there.
//!
//! RFC 1035 §3.3.13, RFC 2308 §3 and §5 (negative TTL), RFC 9471 (glue).

use std::collections::{BTreeSet, HashMap};

use crate::{
    wire::{
        kind::RecordType,
        name::{Folded, Name, NameRef},
        rrset::Rrset,
    },
    zonefile::{
        Record,
        fault::{Fault, Faults},
    },
};

use super::{
    Cut, GeneratedNames, Glue, Node, Standing, Zone, ZoneSettings, check,
    draft::{Draft, DraftName, DraftSet},
};

/// The numbers at the end of an SOA: serial, refresh, retry, expire, minimum.
const SOA_NUMBERS_BYTES: usize = 20;

impl Zone {
    /// Makes a zone of its records and of the names that routes generate. The serial that the
    /// records say is replaced by `serial`.
    ///
    /// # Errors
    /// All faults: of the records one by one, of the names, and of where they lead.
    pub fn build(
        apex: &Name,
        records: &[Record],
        generated: &GeneratedNames,
        serial: u32,
        settings: ZoneSettings,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let draft = Draft::new(apex, records, generated, &mut faults);
        check::names(&draft, &mut faults);
        let sets = Sets { serial: serial.to_be_bytes() };
        let zone = sets.zone(&draft, settings, &mut faults);
        let Some(zone) = zone else { return Err(faults.unless_any(()).err().unwrap_or_default()) };
        check::targets(&draft, &zone, &mut faults);
        faults.unless_any(Self { serial, ..zone })
    }
}

/// What goes into the sets.
struct Sets {
    serial: [u8; 4],
}

impl Sets {
    /// Nothing, if there is no SOA, which the faults say already.
    fn zone(&self, draft: &Draft<'_>, settings: ZoneSettings, faults: &mut Faults) -> Option<Zone> {
        let soa = draft.names.get(draft.apex)?.sets.get(&RecordType::SOA)?;
        let negative = self.negative(soa, settings)?;
        let owners = existing(draft);
        let mut names = HashMap::with_hasher(foldhash::fast::FixedState::default());
        for (at, owner) in owners.iter().enumerate() {
            let folded = Folded::of(*owner);
            names.insert(folded.as_ref().wire().into(), u32::try_from(at).ok()?);
        }
        let mut cuts = Vec::new();
        let mut nodes = Vec::with_capacity(owners.len());
        let mut cut = None;
        for owner in &owners {
            let drafted = draft.names.get(&Name::from(*owner));
            cut = cut.filter(|(name, _): &(NameRef<'_>, u32)| owner.is_within(*name));
            let standing = match (cut, drafted) {
                (Some((_, at)), _) => Standing::Below(at),
                (None, Some(drafted))
                    if *owner != draft.apex.as_ref() && drafted.has(RecordType::NS) =>
                {
                    let at = u32::try_from(cuts.len()).ok()?;
                    cuts.push(self.cut(draft, *owner, drafted, faults)?);
                    cut = Some((*owner, at));
                    Standing::Cut(at)
                }
                _ => Standing::Ours,
            };
            nodes.push(self.node(*owner, drafted, standing, faults));
        }
        for owner in owners.iter().filter(|owner| owner.is_wildcard()) {
            let folded = Folded::of(*owner);
            let wildcard = names.get(folded.as_ref().wire()).copied();
            let parent = folded.as_ref().parent().and_then(|parent| names.get(parent.wire()));
            let parent = parent.and_then(|at| usize::try_from(*at).ok());
            if let Some(parent) = parent.and_then(|at| nodes.get_mut(at)) {
                parent.wildcard = wildcard;
            }
        }
        let labels = owners.iter().map(|owner| owner.label_count());
        Some(Zone {
            apex: draft.apex.clone(),
            serial: 0,
            labels_max: labels.max().unwrap_or_default(),
            names,
            nodes: nodes.into(),
            cuts: cuts.into(),
            negative,
            any: Rrset::minimal_any(settings.any_ttl),
        })
    }

    fn node(
        &self,
        owner: NameRef<'_>,
        drafted: Option<&DraftName<'_>>,
        standing: Standing,
        faults: &mut Faults,
    ) -> Node {
        let mut node = Node { sets: Box::default(), generated: None, standing, wildcard: None };
        let Some(drafted) = drafted else { return node };
        let mut sets = Vec::new();
        for (rtype, set) in &drafted.sets {
            sets.extend(self.set(owner, *rtype, set, faults));
        }
        node.sets = sets.into();
        node.generated = drafted
            .generated
            .map(|generated| (generated.route, generated.types.iter().copied().collect()));
        node
    }

    fn set(
        &self,
        owner: NameRef<'_>,
        rtype: RecordType,
        set: &DraftSet<'_>,
        faults: &mut Faults,
    ) -> Option<Rrset> {
        let encoded = match (rtype, set.data.first()) {
            (RecordType::SOA, Some(soa)) => {
                Rrset::encode(rtype, set.ttl, [self.with_serial(soa)?.as_slice()])
            }
            _ => Rrset::encode(rtype, set.ttl, set.data.iter().copied()),
        };
        match encoded {
            Ok(encoded) => Some(encoded),
            Err(error) => {
                let what = format!("{owner} {rtype}: {error}");
                faults.add(Some(set.place), what, "fewer or smaller records");
                None
            }
        }
    }

    fn with_serial(&self, soa: &[u8]) -> Option<Vec<u8>> {
        let mut soa = soa.to_vec();
        let at = soa.len().checked_sub(SOA_NUMBERS_BYTES)?;
        *soa.get_mut(at..)?.first_chunk_mut()? = self.serial;
        Some(soa)
    }

    /// The SOA with the TTL of negative answers: its own or its minimum, whichever is less
    /// (RFC 2308 §3), and no more than the operator allows.
    fn negative(&self, soa: &DraftSet<'_>, settings: ZoneSettings) -> Option<Rrset> {
        let data = self.with_serial(soa.data.first()?)?;
        let minimum = u32::from_be_bytes(*data.last_chunk()?);
        let ttl = soa.ttl.min(minimum).min(settings.negative_ttl_max);
        Rrset::encode(RecordType::SOA, ttl, [data.as_slice()]).ok()
    }

    /// A cut, with the addresses of its servers as far as this zone knows them.
    fn cut(
        &self,
        draft: &Draft<'_>,
        owner: NameRef<'_>,
        drafted: &DraftName<'_>,
        faults: &mut Faults,
    ) -> Option<Cut> {
        let servers = drafted.sets.get(&RecordType::NS)?;
        let mut glue = Vec::new();
        for data in &servers.data {
            let Ok(target) = Name::from_wire(data) else { continue };
            let Some(server) = draft.names.get(&target) else { continue };
            for rtype in [RecordType::A, RecordType::AAAA] {
                let Some(set) = server.sets.get(&rtype) else { continue };
                let needed = target.as_ref().is_within(owner);
                if let Some(set) = self.set(target.as_ref(), rtype, set, faults) {
                    glue.push(Glue { owner: target.clone(), set, needed });
                }
            }
        }
        // What may be left out of a response stands last in it.
        glue.sort_by_key(|glue| !glue.needed);
        let servers = self.set(owner, RecordType::NS, servers, faults)?;
        Some(Cut { owner: owner.into(), servers, glue: glue.into() })
    }
}

/// All names that exist, in canonical order.
fn existing<'d>(draft: &'d Draft<'_>) -> Vec<NameRef<'d>> {
    let apex = draft.apex.as_ref();
    let mut names = BTreeSet::new();
    for name in draft.names.keys() {
        for ancestor in name.as_ref().ancestry() {
            if !ancestor.is_within(apex) || !names.insert(ancestor) {
                break;
            }
        }
    }
    names.into_iter().collect()
}
