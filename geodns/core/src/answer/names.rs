//! The names that routes answer: which of them stand in which zone.
//!
//! In: zones with their records, routes with their types, sites. Out: generated names by zone, and
//! what is wrong with them. Always holds: a name has one route; a site is one label under the
//! first zone, and has no records of its own in the zone's file, for two who write one name would
//! each think that it is theirs.
//!
//! RFC 1035 §2.3.1 (labels), RFC 4592 (wildcards).

use std::collections::BTreeSet;

use super::snapshot::ZoneSource;
use crate::{
    problem::Problems,
    route::{RouteId, Routes, Types},
    wire::{
        kind::RecordType,
        name::{LABEL_BYTES_MAX, Name},
    },
    zone::{Generated, GeneratedNames},
};

/// The names that routes answer in each zone.
pub(super) fn generate(
    zones: &[ZoneSource],
    routes: &Routes,
    types: impl Fn(RouteId) -> Types,
    sites: &[Box<str>],
    problems: &mut Problems,
) -> Vec<GeneratedNames> {
    let mut all = vec![GeneratedNames::new(); zones.len()];
    for (id, route) in routes.iter() {
        let generated = Generated { route: id, types: record_types(types(id)) };
        for (place, text) in route.names.iter().enumerate() {
            let at = format!("route[{}].names[{place}]", id.index());
            for (zone, names) in zones.iter().zip(&mut all) {
                add_name(zone, names, text, &generated, &at, problems);
            }
        }
        if let (true, Some(zone), Some(names)) = (route.sites, zones.first(), all.first_mut()) {
            for (place, site) in sites.iter().enumerate() {
                let at = format!("site[{place}].name");
                add_site(zone, names, site, &generated, &at, problems);
            }
        }
    }
    all
}

fn add_name(
    zone: &ZoneSource,
    names: &mut GeneratedNames,
    text: &str,
    generated: &Generated,
    at: &str,
    problems: &mut Problems,
) {
    let relative = !text.ends_with('.');
    let name = Name::parse(text.as_bytes(), Some(zone.apex.as_ref())).ok();
    let Some(name) = name.filter(|_| relative) else {
        let allowed = format!("a name under {}, such as \"www\", \"*.img\" or \"@\"", zone.apex);
        problems.not(at, text, &allowed);
        return;
    };
    insert(names, name, generated, at, problems);
}

fn add_site(
    zone: &ZoneSource,
    names: &mut GeneratedNames,
    site: &str,
    generated: &Generated,
    at: &str,
    problems: &mut Problems,
) {
    let is_label = site.len() <= LABEL_BYTES_MAX
        && site.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let name = Name::parse(site.as_bytes(), Some(zone.apex.as_ref())).ok();
    let Some(name) = name.filter(|_| is_label) else {
        let allowed = format!("a label under {}: letters, digits, \"-\" and \"_\"", zone.apex);
        problems.not(at, site, &allowed);
        return;
    };
    if let Some(record) = zone.records.iter().find(|record| record.owner == name) {
        let message = format!(
            "\"{site}\" is {name}, which has records of its own at {}: rename one of the two",
            record.place
        );
        problems.add(at, message);
        return;
    }
    insert(names, name, generated, at, problems);
}

/// A name may be generated twice, as a route's own and as a site's, if it is the same route's.
fn insert(
    names: &mut GeneratedNames,
    name: Name,
    generated: &Generated,
    at: &str,
    problems: &mut Problems,
) {
    if let Some(other) = names.get(&name).map(|other| other.route)
        && other != generated.route
    {
        let message = format!("{name} is answered by route[{}] already", RouteId::index(other));
        problems.add(at, message);
        return;
    }
    names.insert(name, generated.clone());
}

fn record_types(types: Types) -> BTreeSet<RecordType> {
    let each =
        [(types.v4, RecordType::A), (types.v6, RecordType::AAAA), (types.https, RecordType::HTTPS)];
    each.into_iter().filter_map(|(has, rtype)| has.then_some(rtype)).collect()
}
