//! Zones: their records, and the names that routes and sites have in them.
//!
//! In: `[[geodns.zone]]`, routes, the names of sites. Out: [`ZoneConfig`]s, or findings.
//! Always: a zone that passes can be built and asked; what a route or site is called collides with
//! no record, no delegation and no other route.
//! Does not know: how a zone is asked.
//! Clause: RFC 1034 §4.2, RFC 1035 §5.

use std::{collections::BTreeSet, net::IpAddr, path::Path, sync::Arc};

use geodns_core::{
    route::{RouteId, Routes},
    settings::ZoneSettings,
    wire::{
        kind::RecordType,
        name::{Name, NameRef},
    },
    zone::{Generated, GeneratedNames, Zone, ZoneSettings as ZoneLaw, Zones},
    zonefile::{self, Record, fault::Fault},
};

use super::{
    Given, Sound, ZoneConfig, files, https, law,
    pops::Fleet,
    ways::Ways,
    zone_files::{self, Unread},
};
use crate::{
    check::{Elsewhere, Findings},
    compose::Files,
    kind::Complaint,
    tree,
};

/// Checks all zones; nothing where one is not sound.
pub(super) fn check(
    given: &Given<'_, '_>,
    sound: &Sound,
    fleet: &Fleet,
    ways: Option<&Ways>,
    findings: &mut Findings,
) -> Option<Vec<ZoneConfig>> {
    if let Some(ways) = ways {
        addresses(given, fleet, ways, findings);
    }
    let mut apexes: Vec<Option<Name>> = Vec::new();
    for (at, zone) in sound.zones.iter().enumerate() {
        let apex = zone.as_ref().and_then(|zone| apex(given, at, zone, &apexes, findings));
        apexes.push(apex);
    }
    let mut zones = Vec::new();
    let mut built = Vec::new();
    for (at, (zone, apex)) in sound.zones.iter().zip(apexes).enumerate() {
        let (Some(settings), Some(apex)) = (zone, apex) else {
            zones.push(None);
            continue;
        };
        let generated = ways.map(|ways| names(given, at, &apex, fleet, ways, findings));
        let records = records(given, sound, at, settings, &apex, findings);
        let (Some(generated), Some(records)) = (generated, records) else {
            zones.push(None);
            continue;
        };
        let zone = ZoneConfig { apex, records, generated };
        // The records of a file that was not looked at are not there to be judged.
        if given.files == Files::Looked || settings.file.is_none() {
            built.push(build(given, sound, at, &zone, findings));
        }
        zones.push(Some(zone));
    }
    let built: Option<Vec<Arc<Zone>>> = built.into_iter().collect();
    if let Some(Err(faults)) = built.map(Zones::new)
        && let Some(fault) = faults.first()
        && findings.none_within("geodns.zone")
    {
        let node = tree::nearest(given.root, "geodns.zone");
        findings.wrong("geodns.zone", node, law::of_zone(fault));
    }
    zones.into_iter().collect()
}

/// The name at the top of a zone, which is no other zone's.
fn apex(
    given: &Given<'_, '_>,
    at: usize,
    zone: &ZoneSettings,
    earlier: &[Option<Name>],
    findings: &mut Findings,
) -> Option<Name> {
    let key = format!("{}.name", tree::item("geodns.zone", at));
    let node = tree::nearest(given.root, &key);
    let apex = Name::parse(zone.name.as_bytes(), Some(NameRef::ROOT)).ok();
    let apex = apex.filter(|_| zone.name.parse::<IpAddr>().is_err());
    let Some(apex) = apex else {
        let complaint = Complaint::new("not a zone's name", "a domain name, as \"cdn.example\"");
        findings.wrong(&key, node, complaint);
        return None;
    };
    if let Some(first) = earlier.iter().position(|other| other.as_ref() == Some(&apex)) {
        let fault = format!("already given by geodns.zone[{first}].name");
        findings.wrong(&key, node, Complaint::new(fault, "each once"));
    }
    Some(apex)
}

/// A zone's records: those of its file, and those made of its name servers.
fn records(
    given: &Given<'_, '_>,
    sound: &Sound,
    at: usize,
    zone: &ZoneSettings,
    apex: &Name,
    findings: &mut Findings,
) -> Option<Vec<Record>> {
    let path = tree::item("geodns.zone", at);
    let key = format!("{path}.file");
    let mut records = match &zone.file {
        Some(file) if given.files == Files::Looked => {
            match zone_files::read(given.base, file, apex, &sound.settings.limits, findings) {
                Ok(records) => records,
                Err(Unread::File(error)) => {
                    let fault = format!("cannot be read: {error}");
                    let complaint = Complaint::new(fault, "a zone file that this user may read");
                    let looked_for = given.base.join(file);
                    crate::named::tell(given.root, &key, &looked_for, Err(complaint), findings);
                    return None;
                }
                Err(Unread::Faults(faults)) => {
                    tell(given, &path, zone, &faults, findings);
                    return None;
                }
            }
        }
        Some(_) => Vec::new(),
        None if zone.servers.is_empty() => {
            if findings.none_within(&key) && findings.none_within(&format!("{path}.servers")) {
                let fault = "missing, and without it the zone's name servers are not known";
                let complaint = Complaint::new(fault, "file = \"ZONE-FILE\"");
                let advice = "or name them: servers = [\"ns1.example.net\"]";
                let node = tree::nearest(given.root, &path);
                findings.missing(&key, node, complaint.advising(advice));
            }
            return None;
        }
        None => Vec::new(),
    };
    let ttl = sound.settings.negative_ttl_max.as_secs();
    match made(apex, &zone.servers, &records, ttl) {
        Ok(made) => records.extend(made),
        Err(faults) => tell(given, &path, zone, &faults, findings),
    }
    Some(records)
}

/// The file that records made of `servers` stand in.
const NO_FILE: &str = "";

/// The SOA and NS that a zone's file lacks, made of its name servers. The serial is 1: it moves on
/// with the revision of the fleet, and the operator who wants to say it writes an SOA.
fn made(
    apex: &Name,
    servers: &[String],
    records: &[Record],
    negative_ttl: u64,
) -> Result<Vec<Record>, Vec<Fault>> {
    let lacks = |rtype| !records.iter().any(|one| one.rtype == rtype && one.owner == *apex);
    let mut text = String::from("$TTL 1h\n");
    let absolute = |server: &String| format!("{}.", server.trim_end_matches('.'));
    if lacks(RecordType::SOA)
        && let Some(first) = servers.first().map(absolute)
    {
        text.push_str(&format!("@ SOA {first} hostmaster 1 2h 15m 2w {negative_ttl}\n"));
    }
    if lacks(RecordType::NS) {
        servers.iter().for_each(|server| text.push_str(&format!("@ NS {}\n", absolute(server))));
    }
    let mut load = |_: &str, _: &str| Err(String::new());
    zonefile::read(NO_FILE, text.as_bytes(), apex, &mut load)
}

fn build(
    given: &Given<'_, '_>,
    sound: &Sound,
    at: usize,
    zone: &ZoneConfig,
    findings: &mut Findings,
) -> Option<Arc<Zone>> {
    let negative = u32::try_from(sound.settings.negative_ttl_max.as_secs()).unwrap_or(u32::MAX);
    let law = ZoneLaw { negative_ttl_max: negative, ..ZoneLaw::default() };
    match Zone::build(&zone.apex, &zone.records, &zone.generated, 0, law) {
        Ok(zone) => Some(Arc::new(zone)),
        Err(faults) => {
            let zone = sound.zones.get(at).and_then(Option::as_ref)?;
            tell(given, &tree::item("geodns.zone", at), zone, &faults, findings);
            None
        }
    }
}

/// Notes the faults of a zone where they stand.
fn tell(
    given: &Given<'_, '_>,
    path: &str,
    zone: &ZoneSettings,
    faults: &[Fault],
    findings: &mut Findings,
) {
    let (file, servers) = (format!("{path}.file"), format!("{path}.servers"));
    // A file that is included twice has its faults twice.
    let mut faults = faults.to_vec();
    faults.sort();
    faults.dedup();
    for fault in faults {
        let mut complaint = law::of_zone(&fault);
        if fault.place.is_none() && zone.servers.is_empty() && fault.what.contains(" has no ") {
            let advice = "or have it made: servers = [\"ns1.example.net\"]";
            complaint = complaint.advising(advice);
        }
        match &fault.place {
            Some(place) if &*place.file == NO_FILE => {
                let node = tree::nearest(given.root, &servers);
                if findings.none_within(&servers) {
                    findings.wrong(&servers, node, complaint);
                }
            }
            Some(place) => {
                let node = tree::nearest(given.root, &file);
                let shown = files::shown(given.base, Path::new(&*place.file));
                let place = Elsewhere { file: shown, line: place.line };
                findings.wrong_elsewhere(&file, node, place, complaint);
            }
            // That something is nowhere; several such are told at one place.
            None => {
                let key = if zone.file.is_some() { &file } else { path };
                findings.wrong_again(key, tree::nearest(given.root, key), complaint);
            }
        }
    }
}

/// The names that routes and sites have in a zone.
fn names(
    given: &Given<'_, '_>,
    at: usize,
    apex: &Name,
    fleet: &Fleet,
    ways: &Ways,
    findings: &mut Findings,
) -> GeneratedNames {
    let mut names = GeneratedNames::new();
    for (index, (id, route)) in ways.routes.iter().enumerate() {
        let generated = generated(id, fleet, ways);
        for (place, text) in route.names.iter().enumerate() {
            match Name::parse(text.as_bytes(), Some(apex.as_ref())) {
                Ok(name) => {
                    names.insert(name, generated.clone());
                }
                Err(_too_long) => {
                    let list = format!("{}.names", tree::item("geodns.route", index));
                    let message = format!("too long a name below {apex}");
                    law::tell(given.root, &tree::item(&list, place), &message, findings);
                }
            }
        }
    }
    let for_sites = ways.routes.iter().find(|(_, route)| route.sites);
    let Some((id, _)) = for_sites.filter(|_| at == 0) else { return names };
    let generated = generated(id, fleet, ways);
    let sites = tree::find(given.root, "site").map_or(0, |list| tree::items(list).len());
    for key in (0..sites).map(|site| format!("{}.name", tree::item("site", site))) {
        let site = tree::find(given.root, &key).and_then(tree::string);
        let Some(site) = site.filter(|_| findings.none_within(&key)) else { continue };
        let Ok(name) = Name::parse(site.as_bytes(), Some(apex.as_ref())) else {
            law::tell(given.root, &key, &format!("too long a name below {apex}"), findings);
            continue;
        };
        match names.get(&name) {
            Some(other) if other.route != generated.route => {
                let other = other.route.index();
                let owner = owner(&ways.routes, other, site);
                let message = format!("its name {name} is {owner} already");
                law::tell(given.root, &key, &message, findings);
            }
            _ => {
                names.insert(name, generated.clone());
            }
        }
    }
    names
}

/// Where a route says that it answers a name.
fn owner(routes: &Routes, route: usize, name: &str) -> String {
    let names = routes.iter().nth(route).map(|(_, route)| &route.names);
    let place = names.and_then(|names| names.iter().position(|one| one.eq_ignore_ascii_case(name)));
    let list = format!("{}.names", tree::item("geodns.route", route));
    place.map_or_else(|| list.clone(), |place| tree::item(&list, place))
}

fn generated(id: RouteId, fleet: &Fleet, ways: &Ways) -> Generated {
    let types = ways.routes.types(id, &fleet.view, |map| https::members(map, ways));
    let of =
        [(types.v4, RecordType::A), (types.v6, RecordType::AAAA), (types.https, RecordType::HTTPS)];
    let types: BTreeSet<RecordType> =
        of.into_iter().filter_map(|(has, rtype)| has.then_some(rtype)).collect();
    Generated { route: id, types }
}

/// Where a node file says that it has a ledger.
const LEDGERS: [&str; 2] = ["control.embedded", "control.nats"];

/// A route that answers names has addresses to answer, and says one thing of HTTPS.
fn addresses(given: &Given<'_, '_>, fleet: &Fleet, ways: &Ways, findings: &mut Findings) {
    let sites = tree::find(given.root, "site").map_or(0, |list| tree::items(list).len());
    for (index, (id, route)) in ways.routes.iter().enumerate() {
        let is_used = !route.names.is_empty() || (route.sites && sites > 0);
        if !is_used || !fleet.is_whole {
            continue;
        }
        https::check(given, id, fleet, ways, findings);
        if !generated(id, fleet, ways).types.is_empty() {
            continue;
        }
        if fleet.view.pops.is_empty() {
            let who = if route.names.is_empty() { "sites" } else { "routes" };
            let fault = format!("missing, and {who} are answered with the addresses of PoPs");
            let complaint = Complaint::new(fault, "[[pop]] with name and addresses");
            if findings.none_within("pop") {
                findings.missing("pop", tree::nearest(given.root, "geodns"), complaint);
            }
            return;
        }
        // Nodes say in the ledger where they are reached.
        if LEDGERS.iter().any(|key| tree::find(given.root, key).is_some()) {
            continue;
        }
        let key = match tree::find(given.root, &tree::item("geodns.route", index)) {
            Some(_) => format!("{}.map", tree::item("geodns.route", index)),
            None => "pop".to_owned(),
        };
        if findings.none_within(&key) {
            let fault = format!("no PoP of the map of route \"{}\" has an address", route.name);
            let allowed = "addresses in its [[pop]], or in [node] of this node's own, or [control] with a ledger \
                 in which nodes say theirs";
            findings.missing(&key, tree::nearest(given.root, &key), Complaint::new(fault, allowed));
        }
    }
}
