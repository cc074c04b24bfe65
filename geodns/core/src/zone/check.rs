//! Whether records and generated names make a zone.
//!
//! In: a [`Draft`], and later the zone that was built of it. Out: faults.
//! Always holds: what passes can be answered: no name is both ours and delegated, no alias has
//! company or goes in circles, and every server that is named within the zone has an address.
//!
//! RFC 1034 §3.6.2 (CNAME alone) and §4.2.1 (glue), RFC 1035 §5.2, RFC 2181 §10.3 (NS and MX do not
//! name aliases), RFC 4035 §2.4 (DS at the parent), RFC 4592 §4.2 (NS and wildcards).

use crate::{
    wire::{
        kind::RecordType,
        name::{Folded, Name, NameRef},
    },
    zonefile::fault::{Faults, Place},
};

use super::{
    CHAIN_MAX, End, Zone,
    draft::{Draft, DraftName, DraftSet},
};

/// Checks a draft name by name.
pub(super) fn names(draft: &Draft<'_>, faults: &mut Faults) {
    apex(draft, faults);
    let mut cut: Option<&Name> = None;
    for (name, drafted) in &draft.names {
        alone(name, drafted, faults);
        cut = cut.filter(|cut| name.as_ref().is_within(cut.as_ref()));
        if let Some(cut) = cut {
            below_cut(name, drafted, cut, faults);
        } else if name != draft.apex {
            if drafted.has(RecordType::NS) {
                at_cut(name, drafted, faults);
                cut = Some(name);
            } else if let Some(set) = drafted.sets.get(&RecordType::DS) {
                let what = format!("DS at {name}, where no zone is delegated");
                faults.add(Some(set.place), what, "DS beside NS (RFC 4035 §2.4)");
            }
        }
    }
}

fn apex(draft: &Draft<'_>, faults: &mut Faults) {
    let name = draft.names.get(draft.apex);
    for (rtype, allowed) in [
        (RecordType::SOA, "one SOA at the apex (RFC 1035 §5.2)"),
        (RecordType::NS, "at least one NS at the apex (RFC 1034 §4.2.1)"),
    ] {
        if !name.is_some_and(|name| name.has(rtype)) {
            faults.add(None, format!("the zone {} has no {rtype}", draft.apex), allowed);
        }
    }
    if let Some(set) = name.and_then(|name| name.sets.get(&RecordType::DS)) {
        let what = format!("DS at {}, the apex", draft.apex);
        faults.add(Some(set.place), what, "DS in the zone above (RFC 4035 §2.4)");
    }
    for (name, drafted) in &draft.names {
        if name != draft.apex
            && let Some(set) = drafted.sets.get(&RecordType::SOA)
        {
            let what = format!("SOA at {name}, which is not the apex {}", draft.apex);
            faults.add(Some(set.place), what, "one SOA, at the apex");
        }
    }
}

/// An alias stands alone.
fn alone(name: &Name, drafted: &DraftName<'_>, faults: &mut Faults) {
    let Some(alias) = drafted.sets.get(&RecordType::CNAME) else { return };
    let others = drafted.sets.keys().filter(|rtype| **rtype != RecordType::CNAME);
    let mut others: Vec<String> = others.map(ToString::to_string).collect();
    if drafted.generated.is_some() {
        others.push("a route".to_owned());
    }
    if !others.is_empty() {
        let what = format!("CNAME at {name} beside {}", others.join(", "));
        faults.add(Some(alias.place), what, "CNAME alone (RFC 1034 §3.6.2)");
    }
}

fn at_cut(name: &Name, drafted: &DraftName<'_>, faults: &mut Faults) {
    let servers = drafted.sets.get(&RecordType::NS).map(|set| set.place);
    if name.as_ref().is_wildcard() {
        let what = format!("NS at the wildcard {name}");
        faults.add(servers, what, "delegations by name (RFC 4592 §4.2)");
    }
    if drafted.generated.is_some() {
        let what = format!("{name} is delegated, and a route or site generates it");
        faults.add(servers, what, "another name for the route or site");
    }
    let parent_side = |rtype: RecordType| {
        matches!(rtype, RecordType::NS | RecordType::DS | RecordType::A | RecordType::AAAA)
    };
    for (rtype, set) in drafted.sets.iter().filter(|(rtype, _)| !parent_side(**rtype)) {
        let what = format!("{rtype} at {name}, which is delegated");
        faults.add(Some(set.place), what, "NS, DS, and A or AAAA as glue");
    }
}

fn below_cut(name: &Name, drafted: &DraftName<'_>, cut: &Name, faults: &mut Faults) {
    if drafted.generated.is_some() {
        let what = format!("a route or site generates {name}, below the delegation of {cut}");
        faults.add(None, what, "a name outside of delegations");
    }
    let glue = |rtype: RecordType| matches!(rtype, RecordType::A | RecordType::AAAA);
    for (rtype, set) in drafted.sets.iter().filter(|(rtype, _)| !glue(**rtype)) {
        let what = format!("{rtype} at {name}, below the delegation of {cut}");
        faults.add(Some(set.place), what, "A and AAAA as glue");
    }
}

/// Checks where records lead, once they can be looked up.
pub(super) fn targets(draft: &Draft<'_>, zone: &Zone, faults: &mut Faults) {
    for (owner, drafted) in &draft.names {
        for (rtype, set) in &drafted.sets {
            let skipped = match *rtype {
                RecordType::NS => 0,
                RecordType::MX => 2,
                RecordType::SRV => 6,
                RecordType::CNAME => {
                    alias_ends(owner, set.place, zone, faults);
                    continue;
                }
                _ => continue,
            };
            for data in &set.data {
                let target = data.get(skipped..).map(NameRef::read);
                if let Some(Ok((target, _))) = target {
                    has_address(owner, *rtype, set, target, zone, faults);
                }
            }
        }
    }
}

fn alias_ends(owner: &Name, place: &Place, zone: &Zone, faults: &mut Faults) {
    let found = zone.lookup(&Folded::of(owner.as_ref()), RecordType::A);
    if matches!(found.end, End::TooLong) {
        let what = format!("{owner} is an alias that leads in a circle or too far");
        faults.add(Some(place), what, format!("at most {CHAIN_MAX} aliases, and then no alias"));
    }
}

/// The name of a server within the zone has an address and is no alias. Only the delegated zone
/// itself can know the names below a cut, unless it is the one whose server this is.
fn has_address(
    owner: &Name,
    rtype: RecordType,
    set: &DraftSet<'_>,
    target: NameRef<'_>,
    zone: &Zone,
    faults: &mut Faults,
) {
    if !target.is_within(zone.apex()) {
        return;
    }
    let target_folded = Folded::of(target);
    let mut exists = false;
    for address in [RecordType::A, RecordType::AAAA] {
        let found = zone.lookup(&target_folded, address);
        if !found.chain.is_empty() {
            let what = format!("{rtype} at {owner} names {target}, an alias");
            faults.add(Some(set.place), what, "a name with addresses (RFC 2181 §10.3)");
            return;
        }
        exists |= match found.end {
            End::Data { .. } | End::Any { .. } | End::Route { .. } => true,
            End::Referral(cut) => {
                cut.owner != *owner || cut.glue.iter().any(|glue| glue.owner.as_ref() == target)
            }
            End::NoData | End::NxDomain | End::Outside | End::TooLong => false,
        };
    }
    if !exists {
        let what = format!("{rtype} at {owner} names {target}, which has no address here");
        let allowed = "a name with A or AAAA in this zone, or one outside (RFC 1034 §4.2.1)";
        faults.add(Some(set.place), what, allowed);
    }
}
