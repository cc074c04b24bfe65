//! The zones that are served.
//!
//! In: zones. Out: for a name, the one whose apex is its longest match (RFC 1034 §4.3.2 step 2).
//! Always holds: no two have the same apex; a question for DS at an apex goes to the zone above,
//! if that is served too (RFC 4035 §3.1.4.1).
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

/// See the module.
#[derive(Debug, Default)]
pub struct Zones {
    zones: HashMap<Box<[u8]>, Arc<Zone>, FixedState>,
    labels_max: usize,
}

impl Zones {
    /// A table of zones.
    ///
    /// # Errors
    /// Two zones have the same apex, or the records of one lie where another begins.
    pub fn new(zones: impl IntoIterator<Item = Arc<Zone>>) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let mut table = Self::default();
        for zone in zones {
            let apex = Folded::of(zone.apex());
            table.labels_max = table.labels_max.max(zone.apex().label_count());
            let key = apex.as_ref().wire().into();
            if let Some(twin) = table.zones.insert(key, zone) {
                faults.add(None, format!("two zones are called {}", twin.apex()), "one");
            }
        }
        table.check_cuts(&mut faults);
        faults.unless_any(table)
    }

    /// The upper zone's records at the apex of a lower one would never be seen.
    fn check_cuts(&self, faults: &mut Faults) {
        let mut lower: Vec<_> = self.zones.values().collect();
        lower.sort_by(|left, right| left.apex().cmp(&right.apex()));
        for zone in lower {
            let apex = Folded::of(zone.apex());
            let upper = apex.as_ref().parent().and_then(|parent| self.longest(parent));
            let Some(upper) = upper else { continue };
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
    pub fn find(&self, name: &Folded, rtype: RecordType) -> Option<&Arc<Zone>> {
        let name = name.as_ref();
        if rtype == RecordType::DS {
            // Below an apex this is the same zone; at one it is the zone above.
            let upper = name.parent().and_then(|parent| self.longest(parent));
            return upper.or_else(|| self.longest(name));
        }
        self.longest(name)
    }

    fn longest(&self, name: NameRef<'_>) -> Option<&Arc<Zone>> {
        name.last_labels(self.labels_max).ancestry().find_map(|apex| self.zones.get(apex.wire()))
    }

    /// All zones, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Zone>> {
        self.zones.values()
    }
}
