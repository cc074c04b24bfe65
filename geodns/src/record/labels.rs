//! Where zones and PoPs are counted: a place for each name, kept from snapshot to snapshot.
//!
//! In: the names in a snapshot. Out: places on the sheets, by what the snapshot numbers them.
//! Always holds: a name has one place for ever, so that its counter never falls; there are at most
//! [`PLACES`] names of a kind, and those beyond share the last place, named [`OTHERS`].

use std::{collections::HashMap, sync::Arc};

use geodns_core::{answer::Snapshot, fleet::PopId, zone::ZoneId};

/// Names of a kind that are counted each for itself, with the one for all others.
pub(crate) const PLACES: usize = 257;
/// What the last place is called.
const OTHERS: &str = "(others)";

/// The places of one snapshot's zones and PoPs.
#[derive(Debug, Default)]
pub struct Labels {
    zones: Box<[(usize, Arc<str>)]>,
    pops: Box<[(usize, Arc<str>)]>,
}

/// All names so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) zones: Places,
    pub(super) pops: Places,
}

/// The names of a kind, by place.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_name: HashMap<Arc<str>, usize>,
    names: Vec<Arc<str>>,
}

impl Labels {
    /// The place of a zone; nothing, if the response is from none.
    pub(super) fn zone(&self, id: Option<ZoneId>) -> Option<usize> {
        self.zones.get(id?.index()).map(|(place, _)| *place)
    }

    /// The name of a zone.
    pub(super) fn zone_name(&self, id: ZoneId) -> Option<&str> {
        self.zones.get(id.index()).map(|(_, name)| &**name)
    }

    /// The place of a PoP; nothing, if nobody answers.
    pub(crate) fn pop(&self, id: Option<PopId>) -> Option<usize> {
        self.pops.get(id?.index()).map(|(place, _)| *place)
    }

    /// The name of a PoP.
    pub(super) fn pop_name(&self, id: PopId) -> Option<&str> {
        self.pops.get(id.index()).map(|(_, name)| &**name)
    }
}

impl Names {
    pub(super) fn labels(&mut self, snapshot: &Snapshot) -> Labels {
        let zones = snapshot.zones().iter().map(|zone| zone.apex().to_string());
        let zones = zones.map(|name| self.zones.place(&name)).collect();
        let pops = snapshot.fleet().pops.iter().map(|pop| self.pops.place(&pop.name)).collect();
        Labels { zones, pops }
    }
}

impl Places {
    fn place(&mut self, name: &str) -> (usize, Arc<str>) {
        if let Some((name, place)) = self.by_name.get_key_value(name) {
            return (*place, Arc::clone(name));
        }
        let name: Arc<str> = name.into();
        let place = self.names.len();
        if place + 1 >= PLACES {
            return (PLACES - 1, name);
        }
        self.names.push(Arc::clone(&name));
        self.by_name.insert(Arc::clone(&name), place);
        (place, name)
    }

    /// Each name with its place, the others' last.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &str)> {
        let others = (self.names.len() + 1 >= PLACES).then_some((PLACES - 1, OTHERS));
        self.names.iter().map(|name| &**name).enumerate().chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_place_and_too_many_share_one() {
        let mut places = Places::default();
        assert_eq!(places.place("a").0, 0);
        assert_eq!(places.place("b").0, 1);
        assert_eq!(places.place("a").0, 0);
        for at in 0..300 {
            places.place(&at.to_string());
        }
        assert_eq!(places.place("299").0, PLACES - 1);
        assert_eq!(places.place("b").0, 1);
        assert_eq!(places.all().count(), PLACES);
        assert_eq!(places.all().last(), Some((PLACES - 1, OTHERS)));
    }
}
