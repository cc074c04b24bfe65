//! From `[[pop]]` as typed to a [`FleetView`], with every problem at once.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::{Fence, FleetView, HttpsView, POPS_MAX, PopView};
use crate::{
    locate::place::{Continent, Country, Point},
    nets::unfoldable,
    problem::{Problem, Problems},
    settings::{FenceSettings, PopSettings},
};

impl FleetView {
    /// The fleet that the settings describe, at revision 0.
    ///
    /// # Errors
    /// Everything in the settings that no fleet can be built from.
    pub fn build(settings: &[PopSettings]) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        if settings.len() > POPS_MAX {
            problems.add("pop", format!("{} PoPs, {POPS_MAX} are allowed", settings.len()));
        }
        let mut names = HashMap::new();
        let mut owners = HashMap::new();
        let mut pops = Vec::new();
        for (index, pop) in settings.iter().enumerate() {
            let at = format!("pop[{index}]");
            if let Some(first) = names.insert(pop.name.as_str(), index) {
                let message = format!("\"{}\" is the name of pop[{first}] as well", pop.name);
                problems.add(format!("{at}.name"), message);
            }
            for (place, address) in pop.addresses.iter().enumerate() {
                let at = format!("{at}.addresses[{place}]");
                if let Some(owner) = owners.insert(*address, pop.name.as_str()) {
                    problems.add(at, format!("\"{address}\" belongs to \"{owner}\" already"));
                } else if address.is_unspecified() || address.is_multicast() {
                    problems.not(at, &address.to_string(), "an address of a node");
                }
            }
            pops.push(pop_view(pop, &at, &mut problems));
        }
        problems.unless_any(Self { revision: 0, pops })
    }
}

fn pop_view(pop: &PopSettings, at: &str, problems: &mut Problems) -> PopView {
    if pop.name.is_empty() {
        problems.not(format!("{at}.name"), &pop.name, "a name");
    }
    let location = pop.location.and_then(|place| {
        let point = Point::new(place.latitude, place.longitude);
        if point.is_none() {
            let value = format!("{} {}", place.latitude, place.longitude);
            let allowed = "a latitude from -90 to 90 and a longitude from -180 to 180";
            problems.not(format!("{at}.location"), &value, allowed);
        }
        point
    });
    for (index, alpn) in pop.https.alpn.iter().enumerate() {
        // RFC 9460 §7.1.1: an ALPN identifier is 1 to 255 bytes.
        if alpn.is_empty() || alpn.len() > 255 {
            problems.not(format!("{at}.https.alpn[{index}]"), alpn, "a protocol such as \"h2\"");
        }
    }
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in &pop.addresses {
        match address {
            IpAddr::V4(four) => v4.push(*four),
            IpAddr::V6(six) => v6.push(*six),
        }
    }
    PopView {
        name: pop.name.as_str().into(),
        location,
        bias: pop.bias,
        weight: pop.weight,
        priority: pop.priority,
        capacity: pop.capacity,
        fence: fence(&pop.fence, at, problems),
        v4,
        v6,
        https: HttpsView {
            alpn: pop.https.alpn.iter().map(|alpn| alpn.as_str().into()).collect(),
            port: pop.https.port,
            hints: pop.https.hints,
        },
        drained: pop.drain,
        out: BTreeSet::new(),
    }
}

fn fence(settings: &FenceSettings, at: &str, problems: &mut Problems) -> Fence {
    let countries = countries(&settings.countries, &format!("{at}.fence"), problems);
    let continents = continents(&settings.continents, &format!("{at}.fence"), problems);
    unfoldable(&settings.networks, &format!("{at}.fence.networks"), problems);
    Fence { countries, continents, networks: settings.networks.clone() }
}

/// Reads country codes; `at` is the table that holds them.
pub(crate) fn countries(texts: &[String], at: &str, problems: &mut Problems) -> Vec<Country> {
    let mut countries = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Country::parse(text.as_bytes()) {
            Some(country) => countries.push(country),
            None => {
                let allowed = "a country's two letters, as \"DE\"";
                problems.not(format!("{at}.countries[{index}]"), text, allowed);
            }
        }
    }
    countries
}

/// Reads continent codes; `at` is the table that holds them.
pub(crate) fn continents(texts: &[String], at: &str, problems: &mut Problems) -> Vec<Continent> {
    let mut continents = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Continent::parse(text.as_bytes()) {
            Some(continent) => continents.push(continent),
            None => {
                let allowed = "a continent: AF, AN, AS, EU, NA, OC or SA";
                problems.not(format!("{at}.continents[{index}]"), text, allowed);
            }
        }
    }
    continents
}
