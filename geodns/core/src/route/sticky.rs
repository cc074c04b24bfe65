//! `sticky`: orders PoPs by a hash, in proportion to weight: the same client, or the same name,
//! gets the same PoP.
//!
//! In: weights, and the key of the client's network or of the name. Out: the same PoPs in another
//! order, without those of weight 0. Always holds: a PoP that comes, goes or changes weight moves
//! no more than its own share ([`super::rendezvous`]); all clients within an answer's scope have
//! the same key. By name, a name's content gathers in one PoP's cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    filter::{Context, Trace},
    slate::Slate,
    weight::by_weight,
};

/// `route.sticky`: what `sticky` holds on to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StickySettings {
    /// Client or name.
    pub by: StickyBy,
    /// By how many bits IPv4 clients are told apart at least, which is then the scope of answers.
    #[schemars(range(min = 0, max = 32))]
    pub bits_v4: u8,
    /// The same for IPv6.
    #[schemars(range(min = 0, max = 128))]
    pub bits_v6: u8,
}

/// What `sticky` holds on to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StickyBy {
    /// The client's network.
    #[default]
    Client,
    /// The name that is asked for.
    Name,
}

impl Default for StickySettings {
    fn default() -> Self {
        // Some 65,000 networks of either family: enough to share evenly, few enough to cache.
        Self { by: StickyBy::Client, bits_v4: 16, bits_v6: 32 }
    }
}

/// What a hash begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Client,
    Name,
    Draw,
}

impl Key {
    pub(super) const fn of(self, cx: &Context<'_>) -> u64 {
        match self {
            Self::Client => cx.client,
            Self::Name => cx.name,
            Self::Draw => cx.draw,
        }
    }
}

/// The filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sticky {
    key: Key,
}

impl Sticky {
    pub(super) const fn new(settings: &StickySettings) -> Self {
        let key = match settings.by {
            StickyBy::Client => Key::Client,
            StickyBy::Name => Key::Name,
        };
        Self { key }
    }

    pub(super) fn is_by_client(&self) -> bool {
        self.key == Key::Client
    }

    pub(super) fn apply(&self, slate: &mut Slate, cx: &Context<'_>, trace: &mut impl Trace) {
        by_weight(slate, cx, self.key, trace);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            rendezvous::mix,
            tests::{Stage, name_of},
        },
        *,
    };

    #[test]
    fn the_same_client_or_name_gets_the_same_pop() {
        for by in [StickyBy::Client, StickyBy::Name] {
            let filter = Sticky::new(&StickySettings { by, ..StickySettings::default() });
            let mut stage = Stage::new(&["a", "b", "c"]);
            let mut first = |client: u64, name: u64, draw: u64| {
                (stage.client, stage.name, stage.draw) =
                    (mix(client, 1), mix(name, 2), mix(draw, 3));
                stage.run(|slate, cx, trace| filter.apply(slate, cx, trace))[0]
            };
            let mut seen = std::collections::BTreeSet::new();
            for key in 0..200 {
                let one = first(key, key, 0);
                seen.insert(one);
                assert_eq!(one, first(key, key, 1), "the draw means nothing");
                let other = match by {
                    StickyBy::Client => first(key, key + 1, 0),
                    StickyBy::Name => first(key + 1, key, 0),
                };
                assert_eq!(one, other, "{by:?}: the other key means nothing");
            }
            assert_eq!(seen.len(), 3, "all of them are used");
        }
    }

    #[test]
    fn a_pop_that_goes_down_moves_only_its_own_clients() {
        let filter = Sticky::new(&StickySettings::default());
        let mut stage = Stage::new(&["a", "b", "c", "d"]);
        let mut moved = 0;
        for client in 0..4_000 {
            stage.client = mix(client, 5);
            let run = |stage: &Stage, gone: &str| {
                stage.run(|slate, cx, trace| {
                    slate.retain(|one| name_of(one.pop) != gone);
                    filter.apply(slate, cx, trace);
                })[0]
            };
            let (before, after) = (run(&stage, ""), run(&stage, "a"));
            assert!(before == after || before == "a");
            moved += usize::from(before != after);
        }
        assert!(moved.abs_diff(1_000) < 120, "{moved}");
    }
}
