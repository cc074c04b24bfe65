//! `nearest`: leaves the nearest PoP that is left, and those that the map's tie band counts as
//! equally near.
//!
//! In: places in the client's list, each with the end of its band. Out: the first few and their
//! ties. Always holds: what was farther than a PoP that is left is never nearer than it; the band
//! is that of the PoP that is left, not of one that a filter before dropped.
//! It deliberately knows no kilometres: distance, bias and bands were compiled into the map.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    filter::{Reason, Trace},
    slate::Slate,
};

/// `route.nearest`: how `nearest` chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearestSettings {
    /// PoPs that it leaves at least; those as near as the last of them stay as well.
    #[schemars(range(min = 1, max = 16))]
    pub keep: u32,
}

impl Default for NearestSettings {
    fn default() -> Self {
        Self { keep: 1 }
    }
}

/// The filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nearest {
    keep: usize,
}

impl Nearest {
    pub(super) fn new(settings: &NearestSettings) -> Self {
        Self { keep: usize::try_from(settings.keep).unwrap_or(1).max(1) }
    }

    pub(super) fn apply(&self, slate: &mut Slate, trace: &mut impl Trace) {
        // By place, not by order: a filter before may have ordered them by something else.
        let mut last = None;
        for _ in 0..self.keep {
            let behind =
                slate.candidates().iter().filter(|one| last.is_none_or(|at| one.place > at));
            let Some(next) = behind.map(|one| one.place).min() else { break };
            last = Some(next);
        }
        let band = slate.candidates().iter().find(|one| Some(one.place) == last);
        let Some(end) = band.map(|one| one.band_end) else { return };
        slate.retain(|candidate| {
            let near = candidate.place < end;
            if !near {
                trace.dropped(candidate.pop, Reason::Farther);
            }
            near
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Stage, name_of},
        *,
    };

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of rows")]
    fn the_nearest_and_its_ties_are_left() {
        // The end of each one's band, and who is gone before.
        let rows: [(&str, [u8; 4], &[&str], u32, &[&str]); 7] = [
            ("no ties", [1, 2, 3, 4], &[], 1, &["a"]),
            ("a tie", [2, 2, 3, 4], &[], 1, &["a", "b"]),
            ("the nearest is gone", [1, 2, 3, 4], &["a"], 1, &["b"]),
            ("the band of the one that is left", [1, 3, 3, 4], &["a"], 1, &["b", "c"]),
            ("part of the band is gone", [3, 3, 3, 4], &["b"], 1, &["a", "c"]),
            ("two at least", [1, 4, 4, 4], &[], 2, &["a", "b", "c", "d"]),
            ("more than there are", [1, 2, 3, 4], &["c"], 9, &["a", "b", "d"]),
        ];
        for (name, bands, gone, keep, expected) in rows {
            let mut stage = Stage::new(&["a", "b", "c", "d"]);
            stage.bands(&bands);
            let filter = Nearest::new(&NearestSettings { keep });
            let left = stage.run(|slate, _, trace| {
                slate.retain(|one| !gone.contains(&name_of(one.pop)));
                filter.apply(slate, trace);
            });
            assert_eq!(left, expected, "{name}");
        }
        let filter = Nearest::new(&NearestSettings::default());
        let reasons = Stage::new(&["a", "b"]).reasons(|slate, _, trace| filter.apply(slate, trace));
        assert_eq!(reasons, ["b: another one is nearer"]);
    }
}
