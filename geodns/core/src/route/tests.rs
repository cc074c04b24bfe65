//! Policies as a whole, and the stage on which each filter is tried.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "tables of rows, and sums that a test may get wrong"
)]

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
    standing::{Addresses, PerMille, Standing},
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
        v4: Addresses { up: v4.clone(), all: v4, enough: true, ramp: PerMille::ALL },
        v6: Addresses { up: v6.clone(), all: v6, enough: true, ramp: PerMille::ALL },
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
    standings: Standings,
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
            standings: Standings { pops: (0..26).map(standing).collect() },
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
        &mut self.standings.pops[id_of(name).index()]
    }

    pub(super) fn each(&mut self, change: impl Fn(&mut Standing)) {
        self.standings.pops.iter_mut().for_each(change);
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
        let cx = Context {
            standings: &self.standings,
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
    fn dropped(&mut self, pop: PopId, reason: Reason) {
        self.0.push(format!("{}: {reason}", name_of(pop)));
    }
}

/// Routes over maps that are written down: each a list, what follows it, and a scope.
struct World {
    routes: Routes,
    maps: Vec<(Vec<Ranked>, Vec<PopId>, PopSet, u8)>,
    standings: Standings,
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
        Self { routes, maps, standings: Standings { pops: (0..26).map(standing).collect() } }
    }

    fn pop(&mut self, name: &str) -> &mut Standing {
        &mut self.standings.pops[id_of(name).index()]
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

    fn ask(&self, ask: &Ask) -> (Choice, Vec<&'static str>) {
        let mut slate = Slate::new();
        let id = RouteId(0);
        let choice =
            self.routes.choose(id, ask, &self.standings, &mut slate, |map| self.located(map));
        let explained = self.routes.explain(id, ask, &self.standings, |map| self.located(map));
        assert_eq!(explained.choice, choice, "explaining is choosing");
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

#[test]
fn the_nearest_pop_that_is_up_answers() {
    let rows = [
        ("all up", "", "a"),
        ("the nearest down", "a", "b"),
        ("the whole list down: what follows it", "abc", "d"),
        ("and further", "abcd", "e"),
        ("all down: as if all were up", "abcde", "a"),
    ];
    for (name, gone, expected) in rows {
        let mut world = World::new(&[("abc|abcde", 20)], &[route(&STANDARD)]);
        world.down(gone);
        assert_eq!(world.answer(), expected, "{name}");
        assert_eq!(world.ask(&ASK).0.scope, 20, "{name}");
    }
}

#[test]
fn all_down_is_servfail_where_the_route_says_so() {
    let mut settings = route(&STANDARD);
    settings.all_down = AllDown::Servfail;
    let mut world = World::new(&[("ab|ab", 9)], &[settings]);
    world.down("ab");
    let (choice, pops) = world.ask(&ASK);
    assert_eq!((choice.outcome, choice.scope), (Outcome::Nobody, 9));
    assert!(pops.is_empty());
}

#[test]
fn a_drained_pop_comes_last_of_all() {
    let rows = [
        ("drained", "a", "", "b", Assumed::Nothing),
        ("drained, the others down: it works, they do not", "a", "bc", "a", Assumed::Undrained),
        ("so it is where it only follows the list", "c", "ab", "c", Assumed::Undrained),
        ("all drained", "abc", "", "a", Assumed::Undrained),
        ("all drained, one down", "abc", "a", "b", Assumed::Undrained),
        ("all down, one drained: the others", "a", "abc", "b", Assumed::Up),
        ("down and drained", "abc", "abc", "a", Assumed::UpAndUndrained),
    ];
    for all_down in [AllDown::Offer, AllDown::Servfail] {
        for (name, drained, gone, expected, assumed) in rows {
            let settings = RouteSettings { all_down, ..route(&STANDARD) };
            let mut world = World::new(&[("ab|abc", 0)], &[settings]);
            drained.chars().for_each(|pop| world.pop(&pop.to_string()).drained = true);
            world.down(gone);
            let (choice, pops) = world.ask(&ASK);
            if all_down == AllDown::Servfail && assumed >= Assumed::Up {
                assert_eq!(choice.outcome, Outcome::Nobody, "{name}");
                continue;
            }
            assert_eq!(pops.concat(), expected, "{name}");
            let Outcome::Answered { assumed: was, .. } = choice.outcome else { panic!("{name}") };
            assert_eq!(was, assumed, "{name}");
        }
    }
}

#[test]
fn a_fallback_is_tried_before_a_drain_is_given_up_and_a_drain_before_health() {
    let second =
        RouteSettings { name: "second".to_owned(), map: "m1".to_owned(), ..route(&STANDARD) };
    let first = RouteSettings { fallback: Some("second".to_owned()), ..route(&STANDARD) };
    let rows = [
        ("the fallback's first", "a", "", "b", 1, Assumed::Nothing),
        ("all drained: this route's own", "ab", "", "a", 0, Assumed::Undrained),
        ("the fallback's that is drained and works", "b", "a", "b", 1, Assumed::Undrained),
        ("nothing works", "b", "ab", "a", 0, Assumed::Up),
    ];
    for (name, drained, gone, expected, from, assumed) in rows {
        let mut world = World::new(&[("a|a", 0), ("b|b", 0)], &[first.clone(), second.clone()]);
        drained.chars().for_each(|pop| world.pop(&pop.to_string()).drained = true);
        world.down(gone);
        let (choice, pops) = world.ask(&ASK);
        assert_eq!(pops.concat(), expected, "{name}");
        let Outcome::Answered { route, assumed: was, .. } = choice.outcome else {
            panic!("{name}")
        };
        assert_eq!((route, was), (RouteId(from), assumed), "{name}");
    }
}

#[test]
fn a_fence_is_kept_even_when_nobody_is_left() {
    let mut world = World::new(&[("ab|abc", 4)], &[route(&STANDARD)]);
    world.maps[0].2 = [id_of("c")].into_iter().collect();
    world.down("ab");
    assert_eq!(world.answer(), "a", "assumed up rather than outside of its fence");
    world.maps[0].0.clear();
    world.maps[0].2 = ["a", "b", "c"].into_iter().map(id_of).collect();
    assert_eq!(world.ask(&ASK).0.outcome, Outcome::Nobody);
    let unfenced = [FilterName::Up, FilterName::Nearest];
    let mut world = World::new(&[("|abc", 4)], &[route(&unfenced)]);
    world.maps[0].2 = ["a", "b", "c"].into_iter().map(id_of).collect();
    assert_eq!(world.answer(), "a", "a policy may do without");
}

#[test]
fn a_fallback_route_is_tried_before_anything_is_assumed() {
    let second = RouteSettings {
        name: "second".to_owned(),
        map: "m1".to_owned(),
        fallback: Some("third".to_owned()),
        ..route(&STANDARD)
    };
    let third =
        RouteSettings { name: "third".to_owned(), map: "m2".to_owned(), ..route(&STANDARD) };
    let first = RouteSettings { fallback: Some("second".to_owned()), ..route(&STANDARD) };
    let rows = [
        ("", "a", 0, 10),
        ("a", "b", 0, 10),
        ("ab", "c", 1, 24),
        ("abc", "d", 1, 24),
        ("abcd", "e", 2, 24),
        ("abcde", "a", 0, 24),
    ];
    for (gone, expected, from, scope) in rows {
        let maps = [("a|ab", 10), ("c|cd", 24), ("e|e", 16)];
        let mut world = World::new(&maps, &[first.clone(), second.clone(), third.clone()]);
        world.down(gone);
        let (choice, pops) = world.ask(&ASK);
        assert_eq!(pops.concat(), expected, "{gone}");
        assert_eq!(choice.scope, scope, "the deepest leaf that was consulted: {gone}");
        let Outcome::Answered { route, .. } = choice.outcome else { panic!("{gone}") };
        assert_eq!(route, RouteId(from), "{gone}");
    }
}

#[test]
fn an_answer_of_a_kind_comes_from_the_nearest_pop_that_has_it() {
    let mut world = World::new(&[("abc|abc", 0)], &[route(&STANDARD)]);
    world.pop("a").v6 = Addresses::default();
    world.pop("a").https.alpn.clear();
    world.pop("b").https.alpn.clear();
    for (wanted, expected) in [(Wanted::V4, "a"), (Wanted::V6, "b"), (Wanted::Https, "c")] {
        assert_eq!(world.ask(&Ask { wanted, ..ASK }).1.concat(), expected, "{wanted:?}");
    }
    world.down("b");
    assert_eq!(world.ask(&Ask { wanted: Wanted::V6, ..ASK }).1.concat(), "c");
}

#[test]
fn distance_weight_and_health_compose() {
    let mut world = World::new(&[("(abc)d|abcd", 0)], &[route(&STANDARD)]);
    world.pop("a").weight = 300;
    world.pop("b").weight = 100;
    world.pop("c").weight = 0;
    let shares = |world: &World| {
        let mut counts = std::collections::BTreeMap::new();
        for draw in 0..8_000 {
            let (_, pops) = world.ask(&Ask { draw: mix(draw, 5), ..ASK });
            *counts.entry(pops.concat()).or_insert(0_usize) += 1;
        }
        counts
    };
    let close = |count: usize, expected: usize| count.abs_diff(expected) < 250;
    let counts = shares(&world);
    assert!(close(counts["a"], 6_000) && close(counts["b"], 2_000), "{counts:?}");
    assert_eq!(counts.len(), 2, "neither weight 0 nor the farther one");
    // A tie's PoP that is full sends its clients to the other one of the tie.
    world.pop("a").load = Some(PerMille(900));
    let counts = shares(&world);
    assert!(close(counts["a"], 3_000), "half keeps, of which three quarters: {counts:?}");
    // A tie's PoP that is down leaves all to the other.
    world.down("a");
    assert_eq!(shares(&world)["b"], 8_000);
    // Only weight 0 is left near: better than far.
    world.down("b");
    assert_eq!(shares(&world)["c"], 8_000);
    world.down("c");
    assert_eq!(shares(&world)["d"], 8_000);
}

#[test]
fn sticky_clients_are_told_apart_by_the_scope_that_is_answered() {
    let sticky = RouteSettings {
        sticky: StickySettings { by: StickyBy::Client, bits_v4: 16, bits_v6: 40 },
        ..route(&[FilterName::Up, FilterName::Sticky, FilterName::First])
    };
    let by_name = RouteSettings {
        sticky: StickySettings { by: StickyBy::Name, ..StickySettings::default() },
        ..sticky.clone()
    };
    let by_load = RouteSettings {
        load: LoadSettings { by: LoadBy::Client, ..LoadSettings::default() },
        ..route(&STANDARD)
    };
    let rows: [(&str, &RouteSettings, u8, &str, u8); 8] = [
        ("a shallow leaf", &sticky, 3, "198.51.100.7", 16),
        ("a deep leaf", &sticky, 24, "198.51.100.7", 24),
        ("IPv6", &sticky, 20, "2001:db8::1", 40),
        ("a mapped address", &sticky, 96, "::ffff:198.51.100.7", 112),
        ("6to4", &sticky, 20, "2002:c633:6407::1", 32),
        ("by name nothing is told apart", &by_name, 3, "198.51.100.7", 3),
        ("load by client", &by_load, 3, "198.51.100.7", 16),
        ("load by chance", &route(&STANDARD), 3, "198.51.100.7", 3),
    ];
    for (name, settings, leaf, client, scope) in rows {
        let world = World::new(&[("abc|abc", leaf)], std::slice::from_ref(settings));
        let ask = Ask { client: client.parse().unwrap(), ..ASK };
        assert_eq!(world.ask(&ask).0.scope, scope, "{name}");
    }
}

#[test]
fn a_fallback_that_is_sticky_tells_clients_apart() {
    let sticky = |name: &str, bits_v4| RouteSettings {
        name: name.to_owned(),
        map: "m1".to_owned(),
        sticky: StickySettings { by: StickyBy::Client, bits_v4, bits_v6: 40 },
        ..route(&[FilterName::Up, FilterName::Sticky, FilterName::First])
    };
    let first = RouteSettings { fallback: Some("second".to_owned()), ..route(&STANDARD) };
    let second = RouteSettings { fallback: Some("third".to_owned()), ..sticky("second", 16) };
    let routes = [first, second, sticky("third", 12)];
    let mut world = World::new(&[("a|a", 0), ("bcd|bcd", 0)], &routes);
    let answers = |world: &World| -> PopSet {
        let client = |net: u8| IpAddr::V4(Ipv4Addr::new(198, net, 100, 7));
        let of = |net| world.ask(&Ask { client: client(net), ..ASK });
        (0..100)
            .inspect(|net| assert_eq!(of(*net).0.scope, 16))
            .map(|net| id_of(of(net).1[0]))
            .collect()
    };
    assert_eq!(answers(&world), [id_of("a")].into_iter().collect());
    world.down("a");
    let all: PopSet = ["b", "c", "d"].into_iter().map(id_of).collect();
    assert_eq!(answers(&world), all, "each gets a share");
}

#[test]
fn an_answer_is_cached_no_longer_than_any_pop_it_depends_on_allows() {
    let mut settings = route(&STANDARD);
    settings.ttl = std::time::Duration::from_secs(40);
    let mut world = World::new(&[("ab|abc", 0)], &[settings]);
    assert_eq!(world.ask(&ASK).0.ttl, 40, "the route's own");
    world.pop("c").ttl_max = 5;
    assert_eq!(world.ask(&ASK).0.ttl, 40, "not consulted");
    world.pop("b").ttl_max = 10;
    assert_eq!(world.ask(&ASK).0.ttl, 40, "farther than the one that answers: no matter");
    world.down("a");
    assert_eq!(world.ask(&ASK).0.ttl, 10, "chosen");
    world.pop("a").ttl_max = 8;
    assert_eq!(world.ask(&ASK).0.ttl, 8, "passed over, but it may take the client back");
    world.down("b");
    assert_eq!(world.ask(&ASK).0.ttl, 5);
    let two = RouteSettings {
        first: first::FirstSettings { pops: 2 },
        ..route(&[FilterName::Up, FilterName::First])
    };
    let mut world = World::new(&[("abc|abc", 0)], &[two]);
    (world.pop("b").ttl_max, world.pop("c").ttl_max) = (7, 3);
    assert_eq!(world.ask(&ASK).0.ttl, 7, "up to the last one");
}

#[test]
fn who_will_take_the_client_back_bounds_the_ttl_wherever_it_stands() {
    use FilterName::{First, Nearest, Priority, Sticky, Up, Weight};
    let kept =
        |keep| RouteSettings { nearest: nearest::NearestSettings { keep }, ..route(&STANDARD) };
    // `b` answers; `c`, which is drained or down, has so long until that may change.
    let rows: [(&str, &str, RouteSettings, u32); 9] = [
        ("priority", "bc", route(&[Up, Priority, First]), 8),
        ("weight", "bc", route(&[Up, Weight, First]), 8),
        ("sticky", "bc", route(&[Up, Sticky, First]), 8),
        ("none of them: the first answers", "bc", route(&[Up, First]), 60),
        ("farther than the nearest", "bc", route(&STANDARD), 60),
        ("as near as the nearest", "(bc)", route(&STANDARD), 8),
        ("as near, but the first of them answers", "(bc)", route(&[Up, Nearest, First]), 60),
        ("more than the nearest are kept", "bc", kept(2), 8),
        ("priority before nearest", "bc", route(&[Up, Priority, Nearest, First]), 8),
    ];
    for (name, list, settings, ttl) in rows {
        let mut world = World::new(&[(&format!("{list}|bcd"), 0)], &[settings]);
        (world.pop("b").priority, world.pop("d").ttl_max) = (1, 3);
        for is_drained in [true, false] {
            world.pop("c").ttl_max = 8;
            if is_drained {
                world.pop("c").drained = true;
            } else {
                world.pop("c").drained = false;
                world.down("c");
            }
            let (choice, pops) = world.ask(&ASK);
            assert_eq!((pops, choice.ttl), (vec!["b"], ttl), "{name}, {is_drained}");
        }
    }
}

#[test]
fn every_step_is_told_with_its_reasons() {
    let mut world = World::new(&[("(ab)c|abcd", 0)], &[route(&STANDARD)]);
    world.down("a");
    let explained =
        world.routes.explain(RouteId(0), &ASK, &world.standings, |map| world.located(map));
    let [phase] = &explained.phases[..] else { panic!("{explained:?}") };
    assert_eq!((phase.source, phase.assumed), (Source::List, Assumed::Nothing));
    let told: Vec<String> = phase
        .steps
        .iter()
        .map(|step| {
            let list = |pops: &[PopId]| names(pops.iter().copied()).concat();
            let dropped =
                step.dropped.iter().map(|(pop, why)| format!(" {}: {why}", name_of(*pop)));
            let dropped: String = dropped.collect();
            format!("{:?} {} > {}{dropped}", step.filter, list(&step.before), list(&step.after))
        })
        .collect();
    let expected = [
        "None abc > abc",
        "Some(Fence) abc > abc",
        "Some(Up) abc > bc a: down",
        "Some(Load) bc > bc",
        "Some(Nearest) bc > b c: another one is nearer",
        "Some(Weight) b > b",
        "Some(First) b > b",
    ];
    assert_eq!(told, expected);
    world.down("bcd");
    let explained =
        world.routes.explain(RouteId(0), &ASK, &world.standings, |map| world.located(map));
    let phases: Vec<(Source, Assumed)> =
        explained.phases.iter().map(|phase| (phase.source, phase.assumed)).collect();
    let expected = [
        (Source::List, Assumed::Nothing),
        (Source::Rest, Assumed::Nothing),
        (Source::List, Assumed::Undrained),
        (Source::Rest, Assumed::Undrained),
        (Source::List, Assumed::Up),
    ];
    assert_eq!(phases, expected);
}

#[test]
fn addresses_are_those_that_are_up() {
    let mut world = World::new(
        &[("ab|ab", 0)],
        &[RouteSettings {
            first: first::FirstSettings { pops: 2 },
            ..route(&[FilterName::Up, FilterName::First])
        }],
    );
    world.pop("a").v4.up.remove(0);
    world.pop("b").https.hints = false;
    let mut slate = Slate::new();
    world.routes.choose(RouteId(0), &ASK, &world.standings, &mut slate, |map| world.located(map));
    let v4 = |draw, max| {
        let addresses = answer::v4(&slate, &world.standings, draw, max);
        addresses.map(|address| address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(v4(0, 9), ["192.0.0.2", "192.0.1.1", "192.0.1.2"]);
    assert_eq!(v4(1, 9), ["192.0.0.2", "192.0.1.2", "192.0.1.1"], "turned");
    assert_eq!(v4(0, 2), ["192.0.0.2", "192.0.1.1"], "cut");
    assert_eq!(answer::v6(&slate, &world.standings, 3, 9).count(), 4);
    let hints = |world: &World, slate: &Slate, max| {
        let v4 = answer::v4_hints(slate, &world.standings, 0, max);
        let v6 = answer::v6_hints(slate, &world.standings, 0, max);
        let all = v4.map(IpAddr::V4).chain(v6.map(IpAddr::V6));
        all.map(|address| address.to_string()).collect::<Vec<_>>()
    };
    let v6 = ["2001:db8::1", "2001:db8::2"];
    assert_eq!(hints(&world, &slate, 9), [&["192.0.0.2"][..], &v6].concat(), "b: no hints");
    world.pop("b").https.hints = true;
    assert_eq!(hints(&world, &slate, 1), ["192.0.0.2", v6[0]], "no more than addresses");
    world.pop("a").v4.enough = false;
    world.pop("b").https.hints = false;
    assert_eq!(hints(&world, &slate, 9), v6, "one address is up, and too few for an A record");
    world.down("ab");
    world.routes.choose(RouteId(0), &ASK, &world.standings, &mut slate, |map| world.located(map));
    assert_eq!(answer::v4(&slate, &world.standings, 0, 9).count(), 4, "assumed up: all of them");
}

#[test]
fn types_follow_from_the_fleet_alone() {
    let with = |v4: bool, v6: bool, alpn: bool| {
        let mut pop = PopView::new("p");
        pop.v4.extend(v4.then_some(Ipv4Addr::LOCALHOST));
        pop.v6.extend(v6.then_some(Ipv6Addr::LOCALHOST));
        pop.https.alpn.extend(alpn.then(|| "h3".into()));
        pop
    };
    let rows: [(&str, Vec<PopView>, (bool, bool, bool)); 6] = [
        ("no PoP", vec![], (false, false, false)),
        ("only names", vec![with(false, false, true)], (false, false, false)),
        (
            "one of each",
            vec![with(true, false, false), with(false, true, false)],
            (true, true, false),
        ),
        ("HTTPS", vec![with(true, false, true)], (true, false, true)),
        (
            "RFC 9460 §2.5 one speaks and one does not",
            vec![with(true, false, true), with(true, false, false)],
            (true, false, false),
        ),
        ("drained", vec![PopView { drained: true, ..with(true, true, true) }], (true, true, true)),
    ];
    for (name, pops, (v4, v6, https)) in rows {
        let fleet = FleetView { revision: 0, pops };
        let members: Vec<PopId> = fleet.iter().map(|(id, _)| id).collect();
        let routes = Routes::build(&[route(&STANDARD)], &["m0".into()]).unwrap();
        let types = |members: &[PopId]| routes.types(RouteId(0), &fleet, |_| members);
        assert_eq!(types(&members), Types { v4, v6, https }, "{name}");
        assert_eq!(types(&[]), Types::default());
    }
}

#[test]
fn every_problem_of_the_routes_is_reported_at_once() {
    let named = |name: &str| RouteSettings { name: name.to_owned(), ..route(&STANDARD) };
    let settings = [
        RouteSettings {
            names: vec!["www".to_owned()],
            sites: true,
            map: "nowhere".to_owned(),
            fallback: Some("gone".to_owned()),
            ..named("a")
        },
        RouteSettings {
            names: vec!["WWW".to_owned()],
            sites: true,
            policy: vec![
                FilterName::Up,
                FilterName::Up,
                FilterName::Weight,
                FilterName::Sticky,
                FilterName::First,
                FilterName::Load,
                FilterName::Priority,
            ],
            load: LoadSettings { low: 90, high: 90, by: LoadBy::Chance },
            fallback: Some("c".to_owned()),
            ..named("b")
        },
        RouteSettings { fallback: Some("b".to_owned()), ..named("c") },
        RouteSettings { fallback: Some("c".to_owned()), ..named("a") },
    ];
    let problems = Routes::build(&settings, &["m0".into(), "m1".into()]).unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "route[1].names[0]: \"WWW\" belongs to route \"a\" already",
        "route[1].sites: route \"a\" answers for sites already",
        "route[3].name: \"a\" is the name of route[0] as well",
        "route[0].map: \"nowhere\" is not a map (have: m0, m1)",
        "route[0].fallback: \"gone\" is not a route",
        "route[1].policy[1]: it stands there already",
        "route[1].policy[3]: \"weight\" orders PoPs already: choose one of the two",
        "route[1].policy[5]: it must stand before weight",
        "route[1].policy[5]: load.low must be less than load.high",
        "route[1].policy[6]: nothing may follow \"first\"",
        "route[1].fallback: \"b\" leads back to itself",
        "route[2].fallback: \"c\" leads back to itself",
        "route[3].fallback: \"c\" leads back to itself",
    ];
    assert_eq!(printed, expected);
}

/// Any policy that the settings allow.
fn any_policy() -> impl Strategy<Value = Vec<FilterName>> {
    let dropping = [FilterName::Fence, FilterName::Up, FilterName::Load];
    let choosing = vec![FilterName::Priority, FilterName::Nearest, FilterName::Weight];
    (
        prop::sample::subsequence(dropping.to_vec(), 0..=3),
        prop::sample::subsequence(choosing, 0..=3).prop_shuffle(),
        prop::option::of(Just(FilterName::First)),
    )
        .prop_map(|(dropping, choosing, first)| {
            dropping.into_iter().chain(choosing).chain(first).collect()
        })
}

proptest! {
    #[test]
    fn a_choice_depends_on_its_input_alone_and_never_on_luck(
        policy in any_policy(),
        states in prop::collection::vec((any::<bool>(), any::<bool>(), 0..3_u32, 0..1500_u16, 0..=1000_u16), 6),
        fenced in prop::collection::vec(0..6_usize, 0..4),
        draw: u64,
    ) {
        let has = |name| policy.contains(&name);
        let (up, fence) = (has(FilterName::Up), has(FilterName::Fence));
        let mut world = World::new(&[("(ab)c|abcdef", 7)], &[route(&policy)]);
        for (index, (is_up, drained, number, load, ramp)) in states.iter().enumerate() {
            let pop = &mut world.standings.pops[index];
            if !is_up {
                down(pop);
            }
            pop.drained = *drained;
            (pop.weight, pop.priority) = (*number, *number);
            pop.load = Some(PerMille(*load));
            (pop.v4.ramp, pop.v6.ramp) = (PerMille(*ramp), PerMille(*ramp));
        }
        let excluded: PopSet = fenced.iter().filter_map(|index| PopId::new(*index)).collect();
        world.maps[0].2 = excluded;
        world.maps[0].0.retain(|one| !excluded.contains(one.pop));
        let length = world.maps[0].0.len();
        world.maps[0].0.iter_mut().for_each(|one| one.band_end = u8::try_from(length).unwrap());
        let ask = Ask { draw, ..ASK };
        let (choice, pops) = world.ask(&ask);
        prop_assert_eq!(world.ask(&ask), (choice, pops.clone()));
        let mut once = pops.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), pops.len(), "each once");
        let all_fenced = (0..6).all(|index| excluded.contains(PopId::new(index).unwrap()));
        match choice.outcome {
            Outcome::Nobody => prop_assert!(fence && all_fenced),
            Outcome::Answered { assumed, .. } => {
                prop_assert!(!pops.is_empty());
                for pop in &pops {
                    let standing = &world.standings.pops[id_of(pop).index()];
                    if up && assumed <= Assumed::Undrained {
                        prop_assert!(standing.v4.enough);
                        prop_assert!(assumed == Assumed::Undrained || !standing.drained);
                    }
                    prop_assert!(!(fence && excluded.contains(id_of(pop))));
                }
            }
        }
    }
}
