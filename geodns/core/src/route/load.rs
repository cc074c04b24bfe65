//! `load`: moves clients away from PoPs that are full, the more the fuller.
//!
//! In: how full each PoP is, as far as a recent report says. Out: those that keep this client.
//! Below the low watermark a PoP keeps all, above the high one none, and in between a share that
//! falls evenly. Always holds: a PoP without a recent report keeps all: silence is never read as
//! idle or full; where every PoP of the map is full, the least full keeps the client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    filter::{Context, Reason, Source, Trace},
    rendezvous::{falls_into, mix},
    slate::Slate,
    sticky::Key,
};
use crate::standing::PerMille;

/// So that one draw does not decide alike here and in other filters.
const SALT: u64 = 0x6c6f_6164;

/// `route.load`: when `load` moves clients away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoadSettings {
    /// The load from which on a PoP moves clients away, in percent of its capacity.
    #[schemars(range(min = 0, max = 1000))]
    pub low: u32,
    /// The load from which on it moves all away.
    #[schemars(range(min = 1, max = 1000))]
    pub high: u32,
    /// What decides which clients: chance, or who they are, so that always the same ones go first.
    pub by: LoadBy,
}

/// What decides which clients are moved away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadBy {
    /// Each answer anew.
    #[default]
    Chance,
    /// The client's network: the same ones go first and come back last.
    Client,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self { low: 80, high: 100, by: LoadBy::Chance }
    }
}

/// The filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shedding {
    low: u32,
    high: u32,
    key: Key,
}

impl Shedding {
    /// Nothing where the watermarks are in the wrong order.
    pub(super) fn new(settings: &LoadSettings) -> Option<Self> {
        let key = match settings.by {
            LoadBy::Chance => Key::Draw,
            LoadBy::Client => Key::Client,
        };
        let per_mille = |percent: u32| percent.saturating_mul(10);
        let (low, high) = (per_mille(settings.low), per_mille(settings.high));
        (low < high).then_some(Self { low, high, key })
    }

    pub(super) fn is_by_client(&self) -> bool {
        self.key == Key::Client
    }

    pub(super) fn apply(&self, slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
        let load = |pop| cx.standing(pop).and_then(|pop| pop.load).unwrap_or(PerMille(0));
        let key = self.key.of(cx) ^ SALT;
        let keeps = |pop| {
            let share = self.share(load(pop));
            let hash = || mix(key, cx.standing(pop).map_or(0, |pop| pop.key));
            share == PerMille::ALL || falls_into(hash(), share)
        };
        if cx.source == Source::Rest && !slate.pops().any(keeps) {
            let least = slate.pops().min_by_key(|pop| load(*pop));
            slate.retain(|candidate| Some(candidate.pop) == least);
            return;
        }
        slate.retain(|candidate| {
            let keep = keeps(candidate.pop);
            if !keep {
                let PerMille(load) = load(candidate.pop);
                let full = u32::from(load) >= self.high;
                trace.dropped(
                    candidate.pop,
                    if full { Reason::Full(load) } else { Reason::Shed(load) },
                );
            }
            keep
        });
    }

    /// Whether a PoP moves any away where none is fuller than this.
    pub(super) const fn moves_any(&self, load_max: PerMille) -> bool {
        load_max.0 as u32 > self.low
    }

    /// The share of clients that a PoP keeps at this load.
    fn share(&self, load: PerMille) -> PerMille {
        let above = self.high.saturating_sub(u32::from(load.0));
        let width = self.high.saturating_sub(self.low).max(1);
        let share = above.saturating_mul(1000).checked_div(width).unwrap_or(0);
        PerMille(u16::try_from(share).unwrap_or(u16::MAX).min(PerMille::ALL.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Stage, *};

    fn shedding(low: u32, high: u32, by: LoadBy) -> Shedding {
        Shedding::new(&LoadSettings { low, high, by }).unwrap()
    }

    #[test]
    fn a_pop_keeps_fewer_the_fuller_it_is() {
        let rows = [
            (0, 1000),
            (700, 1000),
            (750, 800),
            (800, 600),
            (900, 200),
            (949, 4),
            (950, 0),
            (2000, 0),
        ];
        for (load, share) in rows {
            let kept = shedding(70, 95, LoadBy::Chance).share(PerMille(load));
            assert_eq!(kept, PerMille(share), "{load}");
        }
        assert!(
            Shedding::new(&LoadSettings { low: 95, high: 95, ..LoadSettings::default() }).is_none()
        );
    }

    #[test]
    fn clients_are_moved_in_proportion_and_silence_is_not_load() {
        let filter = shedding(50, 100, LoadBy::Chance);
        let mut stage = Stage::new(&["a", "b"]);
        stage.pop("a").load = Some(PerMille(900));
        let kept = stage.count(10_000, |slate, cx, trace| filter.apply(slate, cx, trace), "a");
        assert!(kept.abs_diff(2_000) < 200, "{kept}");
        let silent = stage.count(1_000, |slate, cx, trace| filter.apply(slate, cx, trace), "b");
        assert_eq!(silent, 1_000);
    }

    #[test]
    fn by_client_the_same_ones_go_first() {
        let filter = shedding(0, 100, LoadBy::Client);
        let mut stage = Stage::new(&["a", "b"]);
        let mut kept = Vec::new();
        for load in [200, 500, 800] {
            stage.pop("a").load = Some(PerMille(load));
            let keeps = |client: &u64| {
                stage.client = mix(*client, 9);
                stage.draw = mix(*client, u64::from(load));
                stage.run(|slate, cx, trace| filter.apply(slate, cx, trace)).contains(&"a")
            };
            kept.push((0..1_000).filter(keeps).collect::<Vec<u64>>());
        }
        assert!(kept[0].len() > kept[1].len() && kept[1].len() > kept[2].len());
        assert!(kept[2].iter().all(|client| kept[1].contains(client)));
        assert!(kept[1].iter().all(|client| kept[0].contains(client)));
    }

    #[test]
    fn where_all_are_full_the_list_gives_way_and_the_least_full_of_all_stays() {
        let filter = shedding(50, 90, LoadBy::Chance);
        let mut stage = Stage::new(&["a", "b", "c"]);
        stage.each(|pop| pop.load = Some(PerMille(990)));
        stage.pop("b").load = Some(PerMille(950));
        let mut run = |source| {
            stage.source = source;
            stage.run(|slate, cx, trace| filter.apply(slate, cx, trace))
        };
        assert_eq!(run(Source::List), [""; 0]);
        assert_eq!(run(Source::Rest), ["b"]);
        stage.source = Source::List;
        let reasons = stage.reasons(|slate, cx, trace| filter.apply(slate, cx, trace));
        assert_eq!(reasons[0], "a: full: load 99.0 %");
    }
}
