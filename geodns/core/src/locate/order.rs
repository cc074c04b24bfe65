//! In which order PoPs are good for a place.
//!
//! In: a place, the preference of its network, the PoPs whose fences let its network in. Out: the
//! first PoPs, each with the end of its tie band, and what decided.
//! Always holds: a PoP stands once; none stands whose fence keeps the client out; a list that is
//! filled by distance holds, where the map has one at all, a PoP with IPv4 and one with IPv6, so
//! that AAAA comes from the nearest PoP that has one.
//! It deliberately does not know health, weight, load or drain: those change while the map stands.

use std::cmp::Ordering;

use super::{
    Basis,
    country::{Countries, Precision},
    place::Place,
    plan::MapPlan,
    sphere::{Vector, angle_of_chord_squared, angle_of_km, bias_factor},
};
use crate::fleet::{Fence, FleetView, PopId, PopSet, PopView};

/// A PoP of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranked {
    /// The PoP.
    pub pop: PopId,
    /// Those that stand behind it in the list, up to but without this place, are as good as it.
    pub band_end: u8,
}

/// PoPs in order for one place.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) ranked: Vec<Ranked>,
    pub(super) excluded: PopSet,
    /// By angle and bias, or by the square of the chord where no PoP has a bias.
    distances: Vec<(f64, PopId)>,
}

/// Orders the PoPs of a map.
#[derive(Debug)]
pub(super) struct Orderer<'p> {
    plan: &'p MapPlan,
    countries: Countries,
    candidates: Vec<Candidate<'p>>,
    /// The PoPs that have IPv4, and those that have IPv6.
    families: [PopSet; 2],
    tie_factor: f64,
    tie_angle: f64,
    any_fence: bool,
    any_bias: bool,
}

#[derive(Debug)]
struct Candidate<'p> {
    id: PopId,
    vector: Option<Vector>,
    bias: f64,
    fence: &'p Fence,
}

impl<'p> Orderer<'p> {
    pub(super) fn new(plan: &'p MapPlan, fleet: &'p FleetView) -> Self {
        let candidate = |id: &PopId| {
            let pop = fleet.pop(*id)?;
            Some(Candidate {
                id: *id,
                vector: pop.location.map(Vector::of),
                bias: bias_factor(pop.bias),
                fence: &pop.fence,
            })
        };
        let having = |has: fn(&PopView) -> bool| {
            let has = |id: &&PopId| fleet.pop(**id).is_some_and(has);
            plan.members.iter().filter(has).copied().collect()
        };
        let candidates: Vec<Candidate<'p>> = plan.members.iter().filter_map(candidate).collect();
        Self {
            plan,
            countries: Countries::load(),
            any_fence: candidates.iter().any(|candidate| !candidate.fence.is_open()),
            any_bias: plan.members.iter().any(|id| fleet.pop(*id).is_some_and(|pop| pop.bias != 0)),
            candidates,
            families: [having(|pop| !pop.v4.is_empty()), having(|pop| !pop.v6.is_empty())],
            tie_factor: 1.0 + f64::from(plan.tie_percent) / 100.0,
            tie_angle: angle_of_km(plan.tie_km),
        }
    }

    /// Orders the PoPs for a client at `place`, whose network has the preference `network` and is
    /// let in by the fences of the PoPs `inside`.
    pub(super) fn order(
        &self,
        place: &Place,
        network: Option<u32>,
        inside: &PopSet,
        draft: &mut Draft,
    ) -> Basis {
        draft.ranked.clear();
        draft.excluded = self.excluded(place, inside);
        let preference = self.preference(place, network);
        if let Some((index, _)) = preference {
            self.put_preferred(index, draft);
        }
        let point = self.countries.point(place);
        if let Some((point, _)) = point {
            self.put_nearest(Vector::of(point), draft);
        }
        match (preference, point) {
            (Some((_, basis)), _) => basis,
            (None, Some((_, Precision::Coordinates))) => Basis::Coordinates,
            (None, Some((_, Precision::Country))) => Basis::CountryCentre,
            (None, Some((_, Precision::Continent))) => Basis::ContinentCentre,
            (None, None) => Basis::Nothing,
        }
    }

    fn excluded(&self, place: &Place, inside: &PopSet) -> PopSet {
        if !self.any_fence {
            return PopSet::EMPTY;
        }
        let continent = self.countries.continent(place);
        let keeps_out = |candidate: &&Candidate<'_>| {
            let fence = candidate.fence;
            let country_in = place.country.is_some_and(|one| fence.countries.contains(&one));
            let continent_in = continent.is_some_and(|one| fence.continents.contains(&one));
            !fence.is_open() && !country_in && !continent_in && !inside.contains(candidate.id)
        };
        self.candidates.iter().filter(keeps_out).map(|candidate| candidate.id).collect()
    }

    /// The preference that speaks of the client most closely.
    fn preference(&self, place: &Place, network: Option<u32>) -> Option<(u32, Basis)> {
        let plan = self.plan;
        if let Some(index) = network {
            return Some((index, Basis::Network));
        }
        if let Some(index) = place.asn.and_then(|asn| plan.asns.get(&asn)) {
            return Some((*index, Basis::Asn));
        }
        if let Some(index) = place.region.and_then(|region| plan.regions.get(&region)) {
            return Some((*index, Basis::Region));
        }
        if let Some(index) = place.country.and_then(|country| plan.countries.get(&country)) {
            return Some((*index, Basis::Country));
        }
        if plan.continents.is_empty() {
            return None;
        }
        let continent = self.countries.continent(place)?;
        plan.continents.get(&continent).map(|index| (*index, Basis::Continent))
    }

    fn put_preferred(&self, index: u32, draft: &mut Draft) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(preference) = self.plan.preferences.get(index) else { return };
        for pop in &preference.pops {
            if !draft.excluded.contains(*pop) {
                let band_end = place_of(draft.ranked.len()).saturating_add(1);
                draft.ranked.push(Ranked { pop: *pop, band_end });
            }
        }
        if preference.equal {
            let end = place_of(draft.ranked.len());
            draft.ranked.iter_mut().for_each(|ranked| ranked.band_end = end);
        }
    }

    /// Fills the list up by distance.
    fn put_nearest(&self, client: Vector, draft: &mut Draft) {
        draft.distances.clear();
        for candidate in &self.candidates {
            let Some(vector) = candidate.vector else { continue };
            let stands = draft.ranked.iter().any(|ranked| ranked.pop == candidate.id);
            if !stands && !draft.excluded.contains(candidate.id) {
                let distance = if self.any_bias {
                    client.angle(vector) * candidate.bias
                } else {
                    client.chord_squared(vector)
                };
                draft.distances.push((distance, candidate.id));
            }
        }
        let taken = self.take_nearest(draft);
        let first = draft.ranked.len();
        for (index, (distance, pop)) in taken.iter().enumerate() {
            let reach = distance * self.tie_factor + self.tie_angle;
            let band = taken.iter().skip(index).take_while(|(other, _)| *other <= reach).count();
            let place = first.saturating_add(index).saturating_add(band);
            draft.ranked.push(Ranked { pop: *pop, band_end: place_of(place) });
        }
    }

    /// The nearest, as many as the list has room for, and of each family the nearest that has it.
    fn take_nearest(&self, draft: &mut Draft) -> Vec<(f64, PopId)> {
        let distances = &mut draft.distances;
        let room = self.plan.list.saturating_sub(draft.ranked.len());
        if room < distances.len() {
            distances.select_nth_unstable_by(room, nearer);
        }
        let mut taken: Vec<(f64, PopId)> = distances.iter().take(room).copied().collect();
        for family in &self.families {
            let preferred = draft.ranked.iter().any(|ranked| family.contains(ranked.pop));
            if !preferred && !taken.iter().any(|(_, pop)| family.contains(*pop)) {
                let having = distances.iter().filter(|(_, pop)| family.contains(*pop));
                taken.extend(having.min_by(|a, b| nearer(a, b)));
            }
        }
        taken.sort_by(nearer);
        if !self.any_bias {
            let to_angle = |(distance, _): &mut (f64, PopId)| {
                *distance = angle_of_chord_squared(*distance);
            };
            taken.iter_mut().for_each(to_angle);
        }
        taken
    }

    /// The PoPs that follow a list that begins with `first`: those of `fallback`, then the others
    /// by their distance from `first`.
    pub(super) fn rest(&self, first: Option<PopId>) -> Vec<PopId> {
        let vector_of = |id: PopId| self.candidates.iter().find(|one| one.id == id)?.vector;
        let from = first.and_then(vector_of);
        let distance = |candidate: &Candidate<'_>| match from.zip(candidate.vector) {
            Some((from, to)) => from.angle(to),
            // Behind all that have a place, in the order of the settings.
            None => f64::INFINITY,
        };
        let mut others: Vec<(f64, PopId)> = self
            .candidates
            .iter()
            .filter(|candidate| !self.plan.fallback.contains(&candidate.id))
            .map(|candidate| (distance(candidate), candidate.id))
            .collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.plan.fallback.iter().copied().chain(others.into_iter().map(|(_, id)| id)).collect()
    }
}

/// By distance, and among equals in the order of the settings.
fn nearer(a: &(f64, PopId), b: &(f64, PopId)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// A place in a list, which has at most some twenty.
fn place_of(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}
