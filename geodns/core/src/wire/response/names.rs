//! Owners that are not the question's name: compressed against what the response already holds.
//!
//! In: a name. Out: its bytes, ending in a pointer where an earlier name has the same end.
//! Always holds: a pointer leads to a name that stands uncompressed further ahead, and at most
//! [`TARGETS_MAX`] names are searched, so that the work per answer is bounded.
//!
//! RFC 1035 §4.1.4. Names within record data are never compressed: the data is encoded ahead, and
//! RFC 3597 §4 forbids it for most types anyway.

use super::Response;
use crate::wire::name::NameRef;

/// How many names of a response later ones may point to.
const TARGETS_MAX: usize = 16;
/// Pointers have 14 bits.
const POINTER_MAX: usize = 0x3fff;

/// Where names stand in a response, uncompressed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Targets {
    places: [u16; TARGETS_MAX],
    count: usize,
}

impl Targets {
    /// Remembers a place, while there is room and a pointer could lead there.
    pub(super) fn add(&mut self, at: usize) {
        if at > POINTER_MAX {
            return;
        }
        if let (Some(place), Ok(at)) = (self.places.get_mut(self.count), u16::try_from(at)) {
            *place = at;
            self.count = self.count.saturating_add(1);
        }
    }
}

/// The two bytes that point to a place.
pub(super) fn pointer(at: usize) -> Option<[u8; 2]> {
    let at = u16::try_from(at).ok().filter(|at| usize::from(*at) <= POINTER_MAX)?;
    Some((at | 0xc000).to_be_bytes())
}

impl Response<'_> {
    /// Writes a name; false, if it does not fit.
    pub(super) fn put_name(&mut self, name: NameRef<'_>) -> bool {
        for suffix in name.ancestry() {
            if suffix.is_root() {
                break;
            }
            let Some(pointer) = self.find(suffix).and_then(pointer) else { continue };
            let own = name.wire().len().saturating_sub(suffix.wire().len());
            let labels = name.wire().get(..own).unwrap_or_default();
            return self.put(labels) && self.put(&pointer);
        }
        self.put(name.wire())
    }

    /// Where `suffix` stands in the response, as a name or as the end of one.
    fn find(&self, suffix: NameRef<'_>) -> Option<usize> {
        let places = self.targets.places.iter().take(self.targets.count);
        places.map(|place| usize::from(*place)).find_map(|place| {
            let written = self.buffer.get(place..self.at)?;
            let (target, _) = NameRef::read(written).ok()?;
            let skipped = target.wire().len().checked_sub(suffix.wire().len())?;
            let end = target.ancestry().find(|end| end.wire().len() <= suffix.wire().len())?;
            (end == suffix).then(|| place.saturating_add(skipped))
        })
    }
}
