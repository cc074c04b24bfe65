//! Policies as a whole, and the stage on which each filter is tried.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "tables of rows, and sums that a test may get wrong"
)]

mod composed;
mod outage;
mod properties;
mod settings;
mod told;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{
    filter::{Context, FilterName, Reason, Trace},
    load::{LoadBy, LoadSettings},
    rendezvous::{mix, name_key},
    sticky::{StickyBy, StickySettings},
    *,
};
use crate::{
    fleet::{HttpsView, PopSet, PopView},
    locate::{ListId, PopList, Ranked},
    settings::RouteSettings,
    standing::{Addresses, PerMille, Standing, Standings},
};

/// The PoP of this name: one letter, counted from `a`.
fn id_of(name: &str) -> PopId {
    PopId::new(usize::from(name.as_bytes()[0] - b'a')).unwrap()
}

/// The name of a PoP.
pub(super) fn name_of(pop: PopId) -> &'static str {
    const NAMES: &str = "abcdefghijklmnopqrstuvwxyz";
    NAMES.get(pop.index()..=pop.index()).unwrap()
}

fn names(pops: impl IntoIterator<Item = PopId>) -> Vec<&'static str> {
    pops.into_iter().map(name_of).collect()
}

/// A PoP that is up with two addresses of each family.
fn standing(index: u8) -> Standing {
    let v4 = [1, 2].map(|host| Ipv4Addr::new(192, 0, index, host)).to_vec();
    let v6 =
        [1, 2].map(|host| Ipv6Addr::new(0x2001, 0xdb8, index.into(), 0, 0, 0, 0, host)).to_vec();
    Standing {
        key: name_key(&[b'a' + index]),
        weight: 100,
        priority: 0,
        drained: false,
        load: None,
        v4: Addresses { up: v4.clone(), all: v4, enough: true, ..Addresses::default() },
        v6: Addresses { up: v6.clone(), all: v6, enough: true, ..Addresses::default() },
        https: HttpsView { alpn: vec!["h2".into()], port: None, hints: true },
        in_doubt: false,
        ttl_max: 60,
    }
}

fn down(pop: &mut Standing) {
    (pop.v4.enough, pop.v6.enough) = (false, false);
    pop.v4.up.clear();
    pop.v6.up.clear();
}

/// Some PoPs and a query, for trying one filter.
pub(super) struct Stage {
    pops: Vec<Standing>,
    ranked: Vec<Ranked>,
    excluded: PopSet,
    pub(super) wanted: Wanted,
    pub(super) assumed: Assumed,
    pub(super) source: Source,
    pub(super) client: u64,
    pub(super) name: u64,
    pub(super) draw: u64,
}

impl Stage {
    pub(super) fn new(list: &[&str]) -> Self {
        let ranked = |(name, band_end): (&&str, u8)| Ranked { pop: id_of(name), band_end };
        Self {
            pops: (0..26).map(standing).collect(),
            ranked: list.iter().zip(1..).map(ranked).collect(),
            excluded: PopSet::EMPTY,
            wanted: Wanted::V4,
            assumed: Assumed::Nothing,
            source: Source::List,
            client: 1,
            name: 2,
            draw: 3,
        }
    }

    pub(super) fn pop(&mut self, name: &str) -> &mut Standing {
        &mut self.pops[id_of(name).index()]
    }

    pub(super) fn each(&mut self, change: impl Fn(&mut Standing)) {
        self.pops.iter_mut().for_each(change);
    }

    pub(super) fn down(&mut self, name: &str) {
        down(self.pop(name));
    }

    pub(super) fn exclude(&mut self, names: &[&str]) {
        self.excluded = names.iter().map(|name| id_of(name)).collect();
    }

    pub(super) fn bands(&mut self, ends: &[u8]) {
        for (ranked, end) in self.ranked.iter_mut().zip(ends) {
            ranked.band_end = *end;
        }
    }

    fn filtered(
        &self,
        filter: impl FnOnce(&mut Slate, &Context<'_>, &mut Noted),
    ) -> (Slate, Noted) {
        let standings = Standings::new(self.pops.clone());
        let cx = Context {
            standings: &standings,
            excluded: &self.excluded,
            wanted: self.wanted,
            assumed: self.assumed,
            source: self.source,
            client: self.client,
            name: self.name,
            draw: self.draw,
        };
        let (mut slate, mut noted) = (Slate::new(), Noted::default());
        slate.fill(&self.ranked);
        filter(&mut slate, &cx, &mut noted);
        (slate, noted)
    }

    /// The PoPs that a filter leaves.
    pub(super) fn run(
        &self,
        filter: impl FnOnce(&mut Slate, &Context<'_>, &mut Noted),
    ) -> Vec<&'static str> {
        names(self.filtered(filter).0.pops())
    }

    /// Why it drops the others.
    pub(super) fn reasons(
        &self,
        filter: impl FnOnce(&mut Slate, &Context<'_>, &mut Noted),
    ) -> Vec<String> {
        self.filtered(filter).1.0
    }

    /// In how many of so many draws it leaves `name`.
    pub(super) fn count(
        &mut self,
        draws: u64,
        filter: impl Fn(&mut Slate, &Context<'_>, &mut Noted),
        name: &str,
    ) -> usize {
        self.tally(draws, filter, |left| left.contains(&name))
    }

    /// In how many of so many draws it leaves `name` as the first.
    pub(super) fn count_first(
        &mut self,
        draws: u64,
        filter: impl Fn(&mut Slate, &Context<'_>, &mut Noted),
        name: &str,
    ) -> usize {
        self.tally(draws, filter, |left| left.first() == Some(&name))
    }

    fn tally(
        &mut self,
        draws: u64,
        filter: impl Fn(&mut Slate, &Context<'_>, &mut Noted),
        counts: impl Fn(&[&str]) -> bool,
    ) -> usize {
        let mut count = 0;
        for draw in 0..draws {
            self.draw = mix(draw, 77);
            count += usize::from(counts(&self.run(&filter)));
        }
        count
    }
}

/// Reasons as they are told.
#[derive(Default)]
pub(super) struct Noted(Vec<String>);

impl Trace for Noted {
    const IS_TOLD: bool = true;

    fn dropped(&mut self, pop: PopId, reason: Reason) {
        self.0.push(format!("{}: {reason}", name_of(pop)));
    }
}

/// Routes over maps that are written down: each a list, what follows it, and a scope.
struct World {
    routes: Routes,
    maps: Vec<(Vec<Ranked>, Vec<PopId>, PopSet, u8)>,
    pops: Vec<Standing>,
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

impl World {
    /// A map's list is letters, those behind `|` follow it; a tie is written `(ab)`.
    fn new(maps: &[(&str, u8)], routes: &[RouteSettings]) -> Self {
        let map_names: Vec<Arc<str>> = (0..maps.len()).map(|n| format!("m{n}").into()).collect();
        let routes = Routes::build(routes, &map_names).unwrap();
        let maps = maps.iter().map(|(text, scope)| {
            let (list, rest) = text.split_once('|').unwrap_or((text, ""));
            let mut ranked: Vec<Ranked> = Vec::new();
            let mut tie = None;
            for letter in list.chars() {
                match letter {
                    '(' => tie = Some(ranked.len()),
                    ')' => {
                        let end = u8::try_from(ranked.len()).unwrap();
                        let first = tie.take().unwrap();
                        ranked[first..].iter_mut().for_each(|one| one.band_end = end);
                    }
                    letter => {
                        let band_end = u8::try_from(ranked.len() + 1).unwrap();
                        ranked.push(Ranked { pop: id_of(&letter.to_string()), band_end });
                    }
                }
            }
            let rest = rest.chars().map(|letter| id_of(&letter.to_string())).collect();
            (ranked, rest, PopSet::EMPTY, *scope)
        });
        let maps = maps.collect();
        Self { routes, maps, pops: (0..26).map(standing).collect() }
    }

    fn pop(&mut self, name: &str) -> &mut Standing {
        &mut self.pops[id_of(name).index()]
    }

    fn down(&mut self, names: &str) {
        for name in names.chars() {
            down(self.pop(&name.to_string()));
        }
    }

    fn located(&self, map: MapId) -> Located<'_> {
        let (ranked, rest, excluded, scope) = &self.maps[map.index()];
        Located { list: PopList { ranked, rest, excluded }, id: ListId::default(), scope: *scope }
    }

    fn standings(&self) -> Standings {
        Standings::new(self.pops.clone())
    }

    fn ask(&self, ask: &Ask) -> (Choice, Vec<&'static str>) {
        let standings = self.standings();
        let mut slate = Slate::new();
        let id = RouteId(0);
        let choice = self.routes.choose(id, ask, &standings, &mut slate, |map| self.located(map));
        let explained = self.routes.explain(id, ask, &standings, |map| self.located(map));
        assert_eq!(explained.choice, choice, "explaining, which looks at each PoP, is choosing");
        assert_eq!(explained.pops, slate.pops().collect::<Vec<_>>());
        (choice, names(slate.pops()))
    }

    /// The PoPs for an ask that says nothing.
    fn answer(&self) -> String {
        self.ask(&ASK).1.concat()
    }
}

const ASK: Ask = Ask { wanted: Wanted::V4, client: CLIENT, name: 1, draw: 2 };

fn route(policy: &[FilterName]) -> RouteSettings {
    RouteSettings { map: "m0".to_owned(), policy: policy.to_vec(), ..RouteSettings::default() }
}

const STANDARD: [FilterName; 6] = [
    FilterName::Fence,
    FilterName::Up,
    FilterName::Load,
    FilterName::Nearest,
    FilterName::Weight,
    FilterName::First,
];
