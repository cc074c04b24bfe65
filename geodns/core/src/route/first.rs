//! `first`: leaves the first PoPs.
//!
//! In: an order that the filters before made. Out: no more than so many.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    filter::{Reason, Trace},
    slate::Slate,
};

/// `route.first`: how many PoPs `first` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FirstSettings {
    /// The number of PoPs whose addresses stand in an answer.
    #[schemars(range(min = 1, max = 16))]
    pub pops: u32,
}

impl Default for FirstSettings {
    fn default() -> Self {
        Self { pops: 1 }
    }
}

/// The filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct First {
    count: usize,
}

impl First {
    pub(super) fn new(settings: &FirstSettings) -> Self {
        Self { count: usize::try_from(settings.pops).unwrap_or(1).max(1) }
    }

    pub(super) fn apply(&self, slate: &mut Slate, trace: &mut impl Trace) {
        let mut left = self.count;
        slate.retain(|candidate| match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                true
            }
            None => {
                trace.dropped(candidate.pop, Reason::NotAmongFirst);
                false
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Stage, *};

    #[test]
    fn no_more_than_so_many_are_left() {
        for (pops, expected) in
            [(0, &["a"][..]), (1, &["a"]), (2, &["a", "b"]), (9, &["a", "b", "c"])]
        {
            let filter = First::new(&FirstSettings { pops });
            let stage = Stage::new(&["a", "b", "c"]);
            assert_eq!(stage.run(|slate, _, trace| filter.apply(slate, trace)), expected, "{pops}");
        }
        let filter = First::new(&FirstSettings { pops: 2 });
        let reasons =
            Stage::new(&["a", "b", "c"]).reasons(|slate, _, trace| filter.apply(slate, trace));
        assert_eq!(reasons, ["c: enough others stand before it"]);
    }
}
