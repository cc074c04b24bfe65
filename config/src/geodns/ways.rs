//! Maps and routes.
//!
//! In: `[[geodns.map]]`, `[[geodns.route]]`, the fleet. Out: plans and routes, or findings.
//! Always: what names a map, route or PoP whose own name is faulty is not blamed for it.
//! Does not know: zones; which names a route has is `zones`'.
//! Clause: docs/operate.md *The settings file*.

use std::{collections::HashMap, path::Path, sync::Arc};

use geodns_core::{
    locate::plan::MapPlan, problem::Problem, route::Routes, settings::GeodnsSettings,
};

use super::{Given, files, law, pops::Fleet};
use crate::{
    check::{Elsewhere, Findings},
    compose::Files,
    kind::Complaint,
    tree,
};

/// Maps and the routes through them.
pub(super) struct Ways {
    pub(super) maps: Vec<MapPlan>,
    pub(super) routes: Routes,
}

/// Checks them; nothing where they are not sound.
pub(super) fn check(
    given: &Given<'_, '_>,
    settings: &GeodnsSettings,
    fleet: &Fleet,
    findings: &mut Findings,
) -> Option<Ways> {
    let maps_named = are_named(given, "geodns.map", findings);
    let routes_named = are_named(given, "geodns.route", findings);
    map_names(given, settings, findings);
    let plans: Vec<Option<MapPlan>> =
        (0..settings.map.len()).map(|at| map(given, settings, at, fleet, findings)).collect();
    let names: Vec<Arc<str>> = settings.map.iter().map(|map| map.name.as_str().into()).collect();
    let routes = Routes::build(&settings.route, &names);
    if let Err(problems) = &routes {
        for Problem { at, message } in problems {
            let follows = (at.ends_with(".map") && !maps_named)
                || (at.ends_with(".fallback") && !routes_named);
            let mut message = message.replace(" of route[", " of geodns.route[");
            if message.ends_with(" is not a route") {
                let names: Vec<&str> = settings.route.iter().map(|route| &*route.name).collect();
                message.push_str(&format!(" (have: {})", names.join(", ")));
            }
            if !follows {
                law::tell(given.root, &format!("geodns.{at}"), &message, findings);
            }
        }
    }
    Some(Ways { maps: plans.into_iter().collect::<Option<_>>()?, routes: routes.ok()? })
}

/// Whether no name of a list's items is faulty.
fn are_named(given: &Given<'_, '_>, list: &str, findings: &Findings) -> bool {
    let count = tree::find(given.root, list).map_or(0, |node| tree::items(node).len());
    (0..count).all(|at| findings.none_within(&format!("{}.name", tree::item(list, at))))
}

fn map_names(given: &Given<'_, '_>, settings: &GeodnsSettings, findings: &mut Findings) {
    let mut names = HashMap::new();
    for (at, map) in settings.map.iter().enumerate() {
        let path = tree::item("geodns.map", at);
        if let Some(first) = names.insert(map.name.as_str(), at) {
            let message = format!("is the name of geodns.map[{first}] as well");
            law::tell(given.root, &format!("{path}.name"), &message, findings);
        }
    }
    let most = settings.limits.maps_max;
    let key = "geodns.map";
    if u32::try_from(settings.map.len()).is_ok_and(|count| count > most)
        && findings.none_within("geodns.limits.maps_max")
        && findings.none_within(key)
        && let Some(node) = tree::find(given.root, key)
    {
        let fault = format!("{} are more than geodns.limits.maps_max", settings.map.len());
        findings.wrong(key, node, Complaint::new(fault, format!("at most {most}")));
    }
}

fn map(
    given: &Given<'_, '_>,
    settings: &GeodnsSettings,
    at: usize,
    fleet: &Fleet,
    findings: &mut Findings,
) -> Option<MapPlan> {
    let map = settings.map.get(at)?;
    let path = tree::item("geodns.map", at);
    let text = match &map.networks {
        Some(file) if given.files == Files::Looked => {
            let most = settings.limits.database_bytes_max.0;
            let text = files::text(given, &format!("{path}.networks"), file, most, findings);
            // What a file that cannot be read says of networks is not known, the rest is.
            text.unwrap_or_default()
        }
        _ => String::new(),
    };
    let problems = match MapPlan::build(map, &fleet.view, Some(&text), &settings.limits) {
        Ok(plan) => return Some(plan),
        Err(problems) => problems,
    };
    for Problem { at, message } in problems {
        if let (Some(line), Some(file)) = (at.strip_prefix("networks:"), &map.networks) {
            if fleet.is_named {
                of_file(given, &path, file, line, &message, findings);
            }
            continue;
        }
        let names_a_pop = at.contains("pops[") || at.contains("fallback[");
        if fleet.is_named || !names_a_pop {
            let message = message.replace("prefer[", &format!("{path}.prefer["));
            law::tell(given.root, &key_of(given, &path, &at), &message, findings);
        }
    }
    None
}

/// Notes a problem of a line of a map's file of networks.
fn of_file(
    given: &Given<'_, '_>,
    map: &str,
    file: &Path,
    line: &str,
    message: &str,
    findings: &mut Findings,
) {
    let key = format!("{map}.networks");
    let file = files::shown(given.base, file);
    let place = Elsewhere { file, line: line.parse().unwrap_or(1) };
    let complaint = law::reworded(message, None);
    findings.wrong_elsewhere(&key, tree::nearest(given.root, &key), place, complaint);
}

/// The key that the law means with `at`, in the map at `map`. Of countries and continents the law
/// says which one it means and not where it stands.
fn key_of(given: &Given<'_, '_>, map: &str, at: &str) -> String {
    let Some((list, word)) = at.split_once(": ") else { return format!("{map}.{at}") };
    let list = format!("{map}.{list}");
    let items = tree::find(given.root, &list).map_or(&[][..], tree::items);
    // The last one: the first is the one that was there already.
    let place = items.iter().rposition(|item| tree::string(item) == Some(word));
    place.map_or_else(|| list.clone(), |place| tree::item(&list, place))
}
