//! From a map's settings as typed to a [`MapPlan`], with every problem at once.
//!
//! In: `[[geodns.map]]`, the fleet, and the text of the map's file of networks. Out: PoPs by id and
//! who prefers them. Always holds: every PoP named is a member of the map, and no two preferences
//! speak of the same network, system, region, country or continent.
//! It deliberately does not know how a client is found: [`super::compile`] does.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use ground::fold::fold_network;
use ipnet::IpNet;

use super::place::{Continent, Country, Region};
use crate::{
    fleet::{FleetView, PopId, PopSet, build},
    nets::FOLDABLE,
    problem::{Problem, Problems},
    settings::{GeodnsLimits, MapSettings, PreferSettings},
};

/// Problems of a file of networks that are reported; a file of another kind has one a line.
const FILE_PROBLEMS_MAX: usize = 20;
/// PoPs that a preference names at most, and a list has.
const PREFERRED_MAX: usize = 16;

/// A map, ready to be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapPlan {
    /// Its name.
    pub name: Arc<str>,
    /// Its PoPs, in the order of the settings.
    pub(super) members: Vec<PopId>,
    /// PoPs of a list.
    pub(super) list: usize,
    pub(super) tie_percent: u32,
    pub(super) tie_km: u32,
    pub(super) preferences: Vec<Preference>,
    /// The preference of networks, none of which stands twice.
    pub(super) networks: Vec<(IpNet, u32)>,
    pub(super) asns: HashMap<u32, u32>,
    pub(super) regions: HashMap<Region, u32>,
    pub(super) countries: HashMap<Country, u32>,
    pub(super) continents: HashMap<Continent, u32>,
    /// The first of the PoPs that follow a list.
    pub(super) fallback: Vec<PopId>,
}

/// PoPs that some clients are given first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Preference {
    pub(super) pops: Vec<PopId>,
    pub(super) equal: bool,
}

impl MapPlan {
    /// The map that the settings describe; `file` is the text of its file of networks.
    ///
    /// # Errors
    /// Everything in the settings and the file that no map can be made from.
    pub fn build(
        settings: &MapSettings,
        fleet: &FleetView,
        file: Option<&str>,
        limits: &GeodnsLimits,
    ) -> Result<Self, Vec<Problem>> {
        let mut builder = Builder::new(settings, fleet);
        for (index, prefer) in settings.prefer.iter().enumerate() {
            builder.prefer(prefer, &format!("prefer[{index}]"));
        }
        builder.read_file(file.unwrap_or_default());
        builder.plan.fallback = builder.pops(&settings.fallback, "fallback");
        builder.finish(limits)
    }

    /// The names of the map's PoPs that have an address of a family decide the types of a name:
    /// see [`crate::route`].
    #[must_use]
    pub fn members(&self) -> &[PopId] {
        &self.members
    }
}

struct Builder<'s> {
    fleet: &'s FleetView,
    members: PopSet,
    plan: MapPlan,
    /// Where each network was named.
    networks: HashMap<IpNet, (u32, String)>,
    /// The preferences of the file, each set of PoPs once.
    of_file: HashMap<Vec<PopId>, u32>,
    problems: Problems,
}

impl<'s> Builder<'s> {
    fn new(settings: &MapSettings, fleet: &'s FleetView) -> Self {
        let mut problems = Problems::default();
        let mut members = Vec::new();
        for (index, name) in settings.pops.iter().enumerate() {
            match fleet.find(name) {
                Some(pop) => members.push(pop),
                None => problems.not(format!("pops[{index}]"), name, &known(fleet, None)),
            }
        }
        if settings.pops.is_empty() {
            members = fleet.iter().map(|(id, _)| id).collect();
        }
        // In the order of the fleet, whatever order the settings have: `fallback` is for that.
        members.sort_unstable();
        members.dedup();
        let plan = MapPlan {
            name: settings.name.as_str().into(),
            list: usize::try_from(settings.list).unwrap_or(1).clamp(1, PREFERRED_MAX),
            tie_percent: settings.tie_percent,
            tie_km: settings.tie_km,
            preferences: Vec::new(),
            networks: Vec::new(),
            asns: HashMap::new(),
            regions: HashMap::new(),
            countries: HashMap::new(),
            continents: HashMap::new(),
            fallback: Vec::new(),
            members,
        };
        Self {
            fleet,
            members: plan.members.iter().copied().collect(),
            plan,
            networks: HashMap::new(),
            of_file: HashMap::new(),
            problems,
        }
    }

    fn prefer(&mut self, settings: &PreferSettings, at: &str) {
        let pops = self.pops(&settings.pops, &format!("{at}.pops"));
        if pops.is_empty() && settings.pops.is_empty() {
            self.problems.add(format!("{at}.pops"), "at least one PoP");
        } else if settings.pops.len() > PREFERRED_MAX {
            self.problems.add(format!("{at}.pops"), format!("at most {PREFERRED_MAX} PoPs"));
        }
        let index = u32::try_from(self.plan.preferences.len()).unwrap_or(u32::MAX);
        self.plan.preferences.push(Preference { pops, equal: settings.equal });
        for (place, network) in settings.networks.iter().enumerate() {
            self.network(*network, index, format!("{at}.networks[{place}]"));
        }
        for (place, asn) in settings.asns.iter().enumerate() {
            let at = format!("{at}.asns[{place}]");
            claim(&mut self.plan.asns, *asn, index, at, &mut self.problems);
        }
        for (place, text) in settings.regions.iter().enumerate() {
            let at = format!("{at}.regions[{place}]");
            match Region::parse(text) {
                Some(region) => {
                    claim(&mut self.plan.regions, region, index, at, &mut self.problems);
                }
                None => self.problems.not(at, text, "a part of a country, as \"US-CA\""),
            }
        }
        let countries = build::countries(&settings.countries, at, &mut self.problems);
        for (country, text) in countries.into_iter().zip(&settings.countries) {
            let at = format!("{at}.countries: {text}");
            claim(&mut self.plan.countries, country, index, at, &mut self.problems);
        }
        let continents = build::continents(&settings.continents, at, &mut self.problems);
        for (continent, text) in continents.into_iter().zip(&settings.continents) {
            let at = format!("{at}.continents: {text}");
            claim(&mut self.plan.continents, continent, index, at, &mut self.problems);
        }
    }

    fn network(&mut self, network: IpNet, preference: u32, at: String) {
        let Some(folded) = fold_network(network) else {
            self.problems.not(at, &network.to_string(), FOLDABLE);
            return;
        };
        match self.networks.get(&folded) {
            Some((_, first)) if !first.is_empty() => {
                self.problems.add(at, format!("{network} stands at {first} already"));
            }
            _ => {
                self.networks.insert(folded, (preference, at));
            }
        }
    }

    /// Reads the file: what it names replaces what the settings say of the same networks.
    fn read_file(&mut self, text: &str) {
        let of_settings = std::mem::take(&mut self.networks);
        let mut faults: usize = 0;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let number = index.saturating_add(1);
            if line.is_empty() {
                continue;
            }
            if let Err(message) = self.read_line(line, number) {
                self.problems.add(format!("networks:{number}"), message);
                faults = faults.saturating_add(1);
            }
            if faults >= FILE_PROBLEMS_MAX {
                self.problems.add(format!("networks:{number}"), "too many problems; not read on");
                break;
            }
        }
        for (network, value) in of_settings {
            self.networks.entry(network).or_insert(value);
        }
    }

    fn read_line(&mut self, line: &str, number: usize) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let network: IpNet =
            first.parse().map_err(|_fault| format!("\"{first}\" is not a network"))?;
        let folded = fold_network(network)
            .ok_or_else(|| format!("\"{network}\" goes beyond the IPv4 address in it"))?;
        let mut pops = Vec::new();
        for name in words {
            let pop = self.fleet.find(name).filter(|pop| self.members.contains(*pop));
            pops.push(pop.ok_or_else(|| {
                format!("\"{name}\" is not {}", known(self.fleet, Some(&self.members)))
            })?);
        }
        if pops.is_empty() || pops.len() > PREFERRED_MAX {
            return Err(format!("one to {PREFERRED_MAX} PoPs must follow the network"));
        }
        if self.networks.contains_key(&folded) {
            return Err(format!("{network} stands in an earlier line already"));
        }
        let next = u32::try_from(self.plan.preferences.len()).unwrap_or(u32::MAX);
        let preference = *self.of_file.entry(pops).or_insert_with_key(|pops| {
            self.plan.preferences.push(Preference { pops: pops.clone(), equal: false });
            next
        });
        self.networks.insert(folded, (preference, format!("networks:{number}")));
        Ok(())
    }

    /// The members of these names, each once.
    fn pops(&mut self, names: &[String], at: &str) -> Vec<PopId> {
        let mut pops = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let pop = self.fleet.find(name).filter(|pop| self.members.contains(*pop));
            match pop {
                Some(pop) if pops.contains(&pop) => {
                    let message = format!("\"{name}\" stands twice");
                    self.problems.add(format!("{at}[{index}]"), message);
                }
                Some(pop) => pops.push(pop),
                None => {
                    let allowed = known(self.fleet, Some(&self.members));
                    self.problems.not(format!("{at}[{index}]"), name, &allowed);
                }
            }
        }
        pops
    }

    fn finish(mut self, limits: &GeodnsLimits) -> Result<MapPlan, Vec<Problem>> {
        let max = usize::try_from(limits.networks_max).unwrap_or(usize::MAX);
        if self.networks.len() > max {
            let message = format!("{} networks, {max} are allowed", self.networks.len());
            self.problems.add("networks", message);
        }
        let named = self.networks.into_iter();
        self.plan.networks =
            named.map(|(network, (preference, _))| (network, preference)).collect();
        self.plan.networks.sort_unstable();
        self.problems.unless_any(self.plan)
    }
}

fn claim<K: Eq + Hash>(
    claimed: &mut HashMap<K, u32>,
    key: K,
    preference: u32,
    at: String,
    problems: &mut Problems,
) {
    if let Some(first) = claimed.insert(key, preference) {
        problems.add(at, format!("prefer[{first}] speaks of it already"));
    }
}

/// What a PoP's name may be.
fn known(fleet: &FleetView, members: Option<&PopSet>) -> String {
    let is_member = |id: PopId| members.is_none_or(|members| members.contains(id));
    let names: Vec<&str> =
        fleet.iter().filter(|(id, _)| is_member(*id)).map(|(_, pop)| &*pop.name).collect();
    let what = if members.is_some() { "a PoP of this map" } else { "a PoP" };
    format!("{what} (have: {})", names.join(", "))
}
