//! What the PoPs of a name say of HTTPS, which must be the same.
//!
//! In: routes that answer names, and the PoPs of their maps. Out: findings.
//! Always: a PoP is blamed once; the one that is blamed comes after the one that it differs from,
//! unless it says nothing at all.
//! Does not know: records; where PoPs differ the law makes none.
//! Clause: RFC 9460 §2.5, §7.

use geodns_core::{
    fleet::PopId,
    route::{
        MapId, RouteId,
        https::{Discord, DiscordKind},
    },
};

use super::{Given, pops::Fleet, ways::Ways};
use crate::{check::Findings, kind::Complaint, tree};

/// Checks the PoPs that a route's names may be answered with.
pub(super) fn check(
    given: &Given<'_, '_>,
    route: RouteId,
    fleet: &Fleet,
    ways: &Ways,
    findings: &mut Findings,
) {
    let members = |map: MapId| members(map, ways);
    for discord in ways.routes.https(route, &fleet.view, members).err().unwrap_or_default() {
        tell(given, &discord, fleet, findings);
    }
}

/// The PoPs of a map.
pub(super) fn members(map: MapId, ways: &Ways) -> &[PopId] {
    ways.maps.get(map.index()).map_or(&[], |map| map.members())
}

fn tell(given: &Given<'_, '_>, discord: &Discord, fleet: &Fleet, findings: &mut Findings) {
    let https = format!("{}.https", tree::item("pop", discord.pop.index()));
    let other = fleet.view.name(discord.other);
    let said = fleet.view.pop(discord.other).map(|pop| &pop.https);
    let key = match discord.kind {
        DiscordKind::Silence | DiscordKind::Protocols => format!("{https}.alpn"),
        DiscordKind::Port => format!("{https}.port"),
    };
    if !findings.none_within(&key) {
        return;
    }
    let (fault, allowed) = match discord.kind {
        DiscordKind::Silence => (
            format!("missing, and PoP \"{other}\" answers the same names and has some"),
            "protocols at both, or at neither".to_owned(),
        ),
        DiscordKind::Port => (
            format!("not the port of PoP \"{other}\", which answers the same names"),
            said.and_then(|said| said.port).unwrap_or(443).to_string(),
        ),
        DiscordKind::Protocols => (
            format!("none that PoP \"{other}\" has, too, which answers the same names"),
            "at least one that all of them speak".to_owned(),
        ),
    };
    let complaint = Complaint::new(fault, allowed);
    let complaint = complaint.advising("a name's HTTPS record holds for all of its addresses");
    match tree::find(given.root, &key) {
        Some(node) => findings.wrong(&key, node, complaint),
        None => findings.missing(&key, tree::nearest(given.root, &key), complaint),
    }
}
