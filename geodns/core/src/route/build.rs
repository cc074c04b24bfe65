//! From `[[geodns.route]]` as typed to [`Routes`], with every problem at once.

use std::{collections::HashMap, sync::Arc};

use super::{
    MapId, Reach, Route, RouteId, Routes,
    filter::{Filter, FilterName},
    first::First,
    load::Shedding,
    nearest::Nearest,
    sticky::Sticky,
};
use crate::{
    problem::{Problem, Problems},
    settings::RouteSettings,
};

/// Routes of a node at most.
const ROUTES_MAX: usize = 10_000;

impl Routes {
    /// The routes that the settings describe; `maps` are the names of the maps, in order.
    ///
    /// # Errors
    /// Everything in the settings that no routes can be built from.
    pub fn build(settings: &[RouteSettings], maps: &[Arc<str>]) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        if settings.len() > ROUTES_MAX {
            problems.add("route", format!("{} routes, {ROUTES_MAX} are allowed", settings.len()));
        }
        let mut names = HashMap::new();
        let mut owners = HashMap::new();
        let mut for_sites = None;
        for (index, route) in settings.iter().enumerate() {
            let at = format!("route[{index}]");
            if let Some(first) = names.insert(route.name.as_str(), index) {
                let message = format!("\"{}\" is the name of route[{first}] as well", route.name);
                problems.add(format!("{at}.name"), message);
            }
            for (place, name) in route.names.iter().enumerate() {
                let normal = name.to_ascii_lowercase();
                if let Some(owner) = owners.insert(normal, route.name.as_str()) {
                    let message = format!("\"{name}\" belongs to route \"{owner}\" already");
                    problems.add(format!("{at}.names[{place}]"), message);
                }
            }
            if route.sites
                && let Some(first) = for_sites.replace(route.name.as_str())
            {
                let message = format!("route \"{first}\" answers for sites already");
                problems.add(format!("{at}.sites"), message);
            }
        }
        let mut routes = Vec::new();
        for (index, route) in settings.iter().enumerate() {
            let at = format!("route[{index}]");
            let map = map(route, maps, &at, &mut problems);
            let filters = filters(route, &at, &mut problems);
            let ways = ways(index, settings, &names, &at, &mut problems);
            let each = || ways.iter().filter_map(|way| settings.get(way.index()));
            let (by_name, bits_min) = (each().any(is_by_name), bits_min(each()));
            routes.push(Route {
                name: route.name.as_str().into(),
                names: route.names.iter().map(|name| name.as_str().into()).collect(),
                sites: route.sites,
                map,
                addresses_max: usize::try_from(route.addresses_max).unwrap_or(1).max(1),
                reach: reach(route),
                filters,
                by_name,
                ways,
                all_down: route.all_down,
                ttl: u32::try_from(route.ttl.as_secs()).unwrap_or(u32::MAX),
                bits_min,
            });
        }
        problems.unless_any(Self { routes })
    }
}

fn map(route: &RouteSettings, maps: &[Arc<str>], at: &str, problems: &mut Problems) -> MapId {
    let place = maps.iter().position(|name| **name == *route.map).and_then(MapId::new);
    place.unwrap_or_else(|| {
        let allowed = format!("a map (have: {})", maps.join(", "));
        problems.not(format!("{at}.map"), &route.map, &allowed);
        MapId::default()
    })
}

fn filters(route: &RouteSettings, at: &str, problems: &mut Problems) -> Vec<Filter> {
    let mut filters = Vec::new();
    for (index, name) in route.policy.iter().enumerate() {
        let at = format!("{at}.policy[{index}]");
        let before = route.policy.get(..index).unwrap_or_default();
        if before.contains(name) {
            problems.add(&*at, "it stands there already");
        }
        if rank(*name) == CHOOSES && before.contains(&FilterName::First) {
            problems.add(&*at, "nothing may follow \"first\"");
        }
        // What they drop must be replaced by what was not chosen yet.
        let later = before.iter().find(|other| rank(**other) > rank(*name));
        if let Some(later) = later {
            problems.add(&*at, format!("it must stand before {later:?}").to_lowercase());
        }
        let rival = match name {
            FilterName::Weight => before.contains(&FilterName::Sticky).then_some("sticky"),
            FilterName::Sticky => before.contains(&FilterName::Weight).then_some("weight"),
            FilterName::Up
            | FilterName::Fence
            | FilterName::Load
            | FilterName::Nearest
            | FilterName::Priority
            | FilterName::First => None,
        };
        if let Some(rival) = rival {
            problems.add(&*at, format!("\"{rival}\" orders PoPs already: choose one of the two"));
        }
        filters.extend(filter(*name, route, &at, problems));
    }
    filters
}

/// The rank of filters that choose among PoPs that are all good enough.
const CHOOSES: u8 = 3;

/// In which order filters that may leave nobody stand, and before all that choose.
fn rank(name: FilterName) -> u8 {
    match name {
        FilterName::Fence => 0,
        FilterName::Up => 1,
        FilterName::Load => 2,
        FilterName::Nearest
        | FilterName::Priority
        | FilterName::Weight
        | FilterName::Sticky
        | FilterName::First => CHOOSES,
    }
}

fn filter(
    name: FilterName,
    route: &RouteSettings,
    at: &str,
    problems: &mut Problems,
) -> Option<Filter> {
    Some(match name {
        FilterName::Up => Filter::Up,
        FilterName::Fence => Filter::Fence,
        FilterName::Load => match Shedding::new(&route.load) {
            Some(shedding) => Filter::Load(shedding),
            None => {
                problems.add(at, "load.low must be less than load.high");
                return None;
            }
        },
        FilterName::Nearest => Filter::Nearest(Nearest::new(&route.nearest)),
        FilterName::Priority => Filter::Priority,
        FilterName::Weight => Filter::Weight,
        FilterName::Sticky => Filter::Sticky(Sticky::new(&route.sticky)),
        FilterName::First => Filter::First(First::new(&route.first)),
    })
}

/// The route and those that are tried after it, each once.
fn ways(
    start: usize,
    settings: &[RouteSettings],
    names: &HashMap<&str, usize>,
    at: &str,
    problems: &mut Problems,
) -> Vec<RouteId> {
    let mut ways: Vec<RouteId> = RouteId::new(start).into_iter().collect();
    let mut next = settings.get(start).and_then(|route| route.fallback.as_deref());
    while let Some(name) = next {
        let Some(index) = names.get(name) else {
            // Where the name itself is wrong, its own route reports it.
            if ways.len() == 1 {
                problems.not(format!("{at}.fallback"), name, "a route");
            }
            break;
        };
        let Some(id) = RouteId::new(*index) else { break };
        if ways.contains(&id) {
            problems.add(format!("{at}.fallback"), format!("\"{name}\" leads back to itself"));
            break;
        }
        ways.push(id);
        next = settings.get(*index).and_then(|route| route.fallback.as_deref());
    }
    ways
}

/// Where PoPs that are down would be found again: what chooses by anything but the list's order finds
/// them wherever they stand, unless `nearest` has left one band before.
fn reach(route: &RouteSettings) -> Reach {
    let place = |wanted: fn(&FilterName) -> bool| route.policy.iter().position(wanted);
    let chooses = place(|name| {
        matches!(name, FilterName::Priority | FilterName::Weight | FilterName::Sticky)
    });
    let nearest = place(|name| *name == FilterName::Nearest).filter(|_| route.nearest.keep <= 1);
    match (chooses, nearest) {
        (None, _) => Reach::Before,
        (Some(chooses), Some(nearest)) if nearest < chooses => Reach::Bands,
        (Some(_), _) => Reach::All,
    }
}

/// Whether the policy holds on to names.
fn is_by_name(route: &RouteSettings) -> bool {
    route.policy.contains(&FilterName::Sticky) && !Sticky::new(&route.sticky).is_by_client()
}

/// By how many bits clients must be told apart for what the policies of a route and its fallbacks
/// do by client. Which of them answers follows from health, and a scope must not.
fn bits_min<'s>(ways: impl Iterator<Item = &'s RouteSettings>) -> (u8, u8) {
    ways.map(bits_of).fold((0, 0), |(v4, v6), (four, six)| (v4.max(four), v6.max(six)))
}

fn bits_of(route: &RouteSettings) -> (u8, u8) {
    let by_client = |name: &FilterName| match name {
        FilterName::Sticky => Sticky::new(&route.sticky).is_by_client(),
        FilterName::Load => Shedding::new(&route.load).is_some_and(|one| one.is_by_client()),
        FilterName::Up
        | FilterName::Fence
        | FilterName::Nearest
        | FilterName::Priority
        | FilterName::Weight
        | FilterName::First => false,
    };
    if route.policy.iter().any(by_client) {
        (route.sticky.bits_v4.min(32), route.sticky.bits_v6.min(128))
    } else {
        (0, 0)
    }
}
