//! The zones that are served.
//!
//! In: zones. Out: for a name, the one whose apex is its longest match (RFC 1034 §4.3.2 step 2).
//! Always holds: no two have the same apex; a question for DS at an apex goes to the zone above,
//! if that is served too and delegates the lower one (RFC 4035 §3.1.4.1). Where it does not, the
//! name exists all the same (RFC 8020), and the lower zone says that it has no such record.
//!
//! Hot path: no allocation; one probe per label, from the longest apex on.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;

use crate::{
    wire::{
        kind::RecordType,
        name::{Folded, NameRef},
    },
    zonefile::fault::{Fault, Faults},
};

use super::{Standing, Zone};

/// A zone's place among the zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(u16);

/// See the module.
#[derive(Debug, Default)]
pub struct Zones {
    zones: Vec<Arc<Zone>>,
    apexes: HashMap<Box<[u8]>, ZoneId, FixedState>,
    labels_max: usize,
}

impl ZoneId {
    /// Its place among the zones.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Zones {
    /// A table of zones.
    ///
    /// # Errors
    /// Two zones have the same apex, or the records of one lie where another begins; or there are
    /// more than 65,536.
    pub fn new(zones: impl IntoIterator<Item = Arc<Zone>>) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let mut table = Self::default();
        for zone in zones {
            let apex = Folded::of(zone.apex());
            table.labels_max = table.labels_max.max(zone.apex().label_count());
            let Ok(id) = u16::try_from(table.zones.len()) else {
                faults.add(None, "more than 65536 zones", "fewer");
                break;
            };
            if table.apexes.insert(apex.as_ref().wire().into(), ZoneId(id)).is_some() {
                faults.add(None, format!("two zones are called {}", zone.apex()), "one");
            }
            table.zones.push(zone);
        }
        table.check_cuts(&mut faults);
        faults.unless_any(table)
    }

    /// The upper zone's records at the apex of a lower one would never be seen.
    fn check_cuts(&self, faults: &mut Faults) {
        let mut lower: Vec<_> = self.zones.iter().collect();
        lower.sort_by(|left, right| left.apex().cmp(&right.apex()));
        for zone in lower {
            let apex = Folded::of(zone.apex());
            let upper = apex.as_ref().parent().and_then(|parent| self.longest(parent));
            let Some(upper) = upper.and_then(|id| self.zone(id)) else { continue };
            let node = upper.node(apex.as_ref());
            if node.is_some_and(|node| node.standing == Standing::Ours) {
                let what = format!(
                    "{} is a zone, and a name with records in {}",
                    zone.apex(),
                    upper.apex()
                );
                faults.add(None, what, "NS in the upper zone, or nothing there");
            }
        }
    }

    /// The zone that answers a question.
    #[must_use]
    pub fn find(&self, name: &Folded, rtype: RecordType) -> Option<ZoneId> {
        let name = name.as_ref();
        let own = self.longest(name);
        if rtype != RecordType::DS {
            return own;
        }
        // Below an apex this is the same zone; at one it is the zone above.
        let upper = name.parent().and_then(|parent| self.longest(parent));
        upper.filter(|id| self.zone(*id).is_some_and(|zone| has_cut(zone, name))).or(own)
    }

    fn longest(&self, name: NameRef<'_>) -> Option<ZoneId> {
        let mut ancestry = name.last_labels(self.labels_max).ancestry();
        ancestry.find_map(|apex| self.apexes.get(apex.wire()).copied())
    }

    /// A zone.
    #[must_use]
    pub fn zone(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.get(id.index()).map(|zone| &**zone)
    }

    /// All zones, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.iter()
    }
}

/// Whether `name` itself is where a zone delegates.
fn has_cut(zone: &Zone, name: NameRef<'_>) -> bool {
    zone.node(name).is_some_and(|node| matches!(node.standing, Standing::Cut(_)))
}
