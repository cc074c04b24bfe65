//! Stamps: tables, and the model that no map may contradict.
#![expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]

use std::{collections::hash_map::DefaultHasher, hash::BuildHasherDefault};

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::purge::TagLimits;

type Fixed = BuildHasherDefault<DefaultHasher>;

fn stamps(invalidations_max: usize, purges_max: usize) -> SiteStamps<Fixed> {
    SiteStamps::new(Room { invalidations_max, purges_max }, [Fixed::default(), Fixed::default()])
}

fn tags(text: &str) -> Tags {
    let mut fields = HeaderMap::new();
    let groups = text.split(' ').map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ");
    fields.insert("cache-groups", HeaderValue::from_str(&groups).unwrap());
    Tags::of(&fields, TagLimits { tags_max: 2, tag_bytes_max: 8 })
}

fn subject<'a>(key: &'a str, tags: &'a Tags, content: u64) -> Subject<'a> {
    let key = key.as_bytes();
    Subject { key, tags, content, validated: content, place: Place::Stored }
}

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn group(origin: &str, group: &str) -> Name {
    Name::Group { origin: bytes(origin), group: group.into() }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(second)
}

#[test]
fn each_kind_of_name_strikes_what_it_means_and_nothing_else() {
    let rows: &[(Name, &str, Cause, &str)] = &[
        (Name::Target(bytes("http/1/h/a")), "http/1/h/a", Cause::Target, "http/1/h/b"),
        (Name::Target(bytes("http/1/h/a")), "http/1/h/a\nk=1", Cause::Target, "http/1/h/ab"),
        (Name::Url(bytes("http/1/h/a")), "http/1/h/a", Cause::Url, "http/1/h/ab"),
        (Name::Url(bytes("http/1/h/a")), "http/1/h/a\nk", Cause::Url, "https/1/h/a"),
        (Name::Prefix(bytes("http/1/h/a")), "http/1/h/ab", Cause::Prefix, "http/1/h/b"),
        (Name::Prefix(bytes("http/1/h/a")), "http/1/h/a", Cause::Prefix, "http/1/h/\nh/a"),
        (Name::Host("h".into()), "https/1/h/a", Cause::Host, "http/1/g/h"),
        (Name::Everything, "http/1/g/", Cause::Everything, ""),
        (Name::Tag("t".into()), "http/1/h/a", Cause::Tag, ""),
        (group("http/1/h", "t"), "http/1/h/a", Cause::Group, "https/1/h/a"),
        (group("http/1/h", "t"), "http/1/h/b", Cause::Group, "http/1/g/a"),
    ];
    let (tagged, others) = (tags("s t"), tags("s u"));
    for (name, key, cause, other) in rows {
        let mut map = stamps(8, 8);
        map.strike(name, Strike::Dead, 5);
        for content in 1..8 {
            let expected = if content <= 5 { Standing::Dead(*cause) } else { Standing::Alive };
            assert_eq!(
                map.standing(&subject(key, &tagged, content)),
                expected,
                "{name:?} {content}"
            );
            let none = subject(other, &tagged, content);
            assert!(other.is_empty() || map.standing(&none) == Standing::Alive, "{name:?} {other}");
            let is_named = matches!(name, Name::Tag(_) | Name::Group { .. });
            let untagged = map.standing(&subject(key, &others, content));
            assert!(!is_named || untagged == Standing::Alive, "{name:?}");
        }
        let mut map = stamps(8, 8);
        map.strike(name, Strike::Stale(at(9)), 5);
        let stale = Standing::Stale { since: at(9), cause: *cause };
        assert_eq!(map.standing(&subject(key, &tagged, 5)), stale, "{name:?}");
        assert_eq!(map.standing(&subject(key, &tagged, 6)), Standing::Alive, "{name:?}");
        let validated = Subject { validated: 6, ..subject(key, &tagged, 5) };
        assert_eq!(map.standing(&validated), Standing::Alive, "{name:?}");
        map.strike(name, Strike::Dead, 7);
        assert_eq!(map.standing(&validated), Standing::Dead(*cause), "{name:?}");
    }
}

#[test]
fn of_several_strikes_the_worst_counts_and_of_two_stale_ones_the_latest() {
    let all = tags("s t");
    let mut map = stamps(8, 8);
    map.strike(&Name::Tag("t".into()), Strike::Stale(at(7)), 1);
    map.strike(&Name::Host("h".into()), Strike::Stale(at(6)), 2);
    let stale = Standing::Stale { since: at(7), cause: Cause::Tag };
    assert_eq!(map.standing(&subject("http/1/h/a", &all, 1)), stale);
    map.strike(&Name::Tag("s".into()), Strike::Dead, 3);
    assert_eq!(map.standing(&subject("http/1/h/a", &all, 1)), Standing::Dead(Cause::Tag));
    map.strike(&Name::Tag("s".into()), Strike::Stale(at(8)), 4);
    assert_eq!(map.standing(&subject("http/1/h/a", &all, 3)), Standing::Dead(Cause::Tag));
    let after = Standing::Stale { since: at(8), cause: Cause::Tag };
    assert_eq!(map.standing(&subject("http/1/h/a", &all, 4)), after);
}

#[test]
fn who_counts_as_having_every_tag_is_struck_by_any() {
    let beyond = tags("a b c");
    assert!(beyond.has_every() && beyond.is_in_every_group());
    let mut map = stamps(8, 8);
    map.strike(&Name::Tag("t".into()), Strike::Dead, 2);
    assert_eq!(map.standing(&subject("http/1/h/a", &beyond, 2)), Standing::Dead(Cause::Tag));
    assert_eq!(map.standing(&subject("http/1/h/a", &beyond, 3)), Standing::Alive);
    map.strike(&group("http/1/g", "t"), Strike::Dead, 4);
    assert_eq!(map.standing(&subject("http/1/h/a", &beyond, 4)), Standing::Dead(Cause::Group));
}

#[test]
fn nested_prefixes_are_all_found() {
    let none = Tags::default();
    let mut map = stamps(8, 64);
    let prefix = |text: &str| Name::Prefix(bytes(text));
    for (stamp, text) in (1..).zip(["http/1/h/a/b/c", "http/1/h/a/b", "http/1/h/a/"]) {
        map.strike(&prefix(text), Strike::Dead, stamp);
    }
    // What a newer, shorter one has overtaken is not kept.
    assert_eq!(map.prefixes.latest.dead, 3);
    map.strike(&prefix("http/1/h/a/b!"), Strike::Dead, 4);
    map.strike(&prefix("http/1/h/a/b/d"), Strike::Dead, 5);
    map.strike(&prefix("http/1/h/"), Strike::Stale(at(1)), 6);
    let dead = Standing::Dead(Cause::Prefix);
    let stale = Standing::Stale { since: at(1), cause: Cause::Prefix };
    for (key, content, expected) in [
        ("http/1/h/a/b/c/d", 3, dead),
        ("http/1/h/a/b/c/d", 4, stale),
        ("http/1/h/a/b/d", 5, dead),
        ("http/1/h/a/b/e", 3, dead),
        ("http/1/h/a/b!", 4, dead),
        ("http/1/h/a/b\"", 4, stale),
        ("http/1/h/b", 6, stale),
        ("http/1/h/b", 7, Standing::Alive),
        ("http/1/g/a/b/c", 1, Standing::Alive),
        ("", 1, Standing::Alive),
    ] {
        assert_eq!(map.standing(&subject(key, &none, content)), expected, "{key} {content}");
    }
}

#[test]
fn what_is_forgotten_becomes_a_floor_for_what_may_still_be_there() {
    let none = Tags::default();
    let on_its_way = |key, content| {
        let place = Place::OnItsWay;
        Subject { place, ..subject(key, &none, content) }
    };
    let strike_many = |map: &mut SiteStamps<Fixed>, from: u64| {
        for stamp in from..from + 4 {
            map.strike(&Name::Url(bytes(&format!("http/1/h/{stamp}"))), Strike::Dead, stamp);
        }
    };
    let mut map = stamps(4, 4);
    strike_many(&mut map, 1);
    assert_eq!(map.standing(&subject("http/1/h/x", &none, 1)), Standing::Alive, "nothing is");
    assert_eq!(map.overflows(), (0, 0));
    strike_many(&mut map, 5);
    // The latest half is remembered one by one, and perhaps more.
    assert_eq!(map.standing(&subject("http/1/h/x", &none, 4)), Standing::Dead(Cause::Url));
    assert_eq!(map.standing(&subject("http/1/h/x", &none, 7)), Standing::Alive);
    assert_eq!(map.standing(&subject("http/1/h/8", &none, 8)), Standing::Dead(Cause::Url));
    assert_eq!(map.overflows(), (0, 2));

    // The store was swept: only what is on its way may still be there.
    let mut map = stamps(4, 4);
    strike_many(&mut map, 1);
    map.swept(4);
    strike_many(&mut map, 5);
    assert_eq!(map.standing(&subject("http/1/h/x", &none, 4)), Standing::Alive);
    assert_eq!(map.standing(&on_its_way("http/1/h/x", 4)), Standing::Dead(Cause::Url));

    // What is stale is not swept.
    let mut map = stamps(4, 2);
    map.strike(&Name::Tag("a".into()), Strike::Stale(at(3)), 1);
    map.swept(1);
    map.strike(&Name::Tag("b".into()), Strike::Dead, 2);
    map.strike(&Name::Tag("c".into()), Strike::Dead, 3);
    let stale = Standing::Stale { since: at(3), cause: Cause::Tag };
    assert_eq!(map.standing(&subject("http/1/h/x", &none, 1)), stale);
}

#[test]
fn what_clients_invalidate_is_no_floor_for_what_is_stored_once_a_sweep_came_by() {
    let none = Tags::default();
    let on_its_way = Subject { place: Place::OnItsWay, ..subject("http/1/h/x", &none, 1) };
    // An invalidated URI leaves the store at once; what a rule's fields set apart is swept.
    let (plain, apart) = (subject("http/1/h/x", &none, 1), subject("http/1/h/x\nk", &none, 1));
    let mut map = stamps(4, 4);
    let mut stamp = 0;
    let mut invalidate = |map: &mut SiteStamps<Fixed>, times: u64| {
        for _ in 0..times {
            stamp += 1;
            let target = Name::Target(bytes(&format!("http/1/h/{stamp}")));
            map.strike(&target, Strike::Dead, stamp);
        }
        stamp
    };
    invalidate(&mut map, 2);
    assert!(!map.wants_sweep(), "nothing is about to be forgotten");
    let newest = invalidate(&mut map, 6);
    assert!(map.wants_sweep());
    // Whoever struck them may not have come to take them out yet.
    for stamp in [1, newest] {
        let key = format!("http/1/h/{stamp}");
        assert_eq!(
            map.standing(&subject(&key, &none, stamp)),
            Standing::Dead(Cause::Target),
            "{stamp}"
        );
    }
    // The sweep is late: all are remembered one by one.
    for stamp in 1..=newest {
        let key = format!("http/1/h/{stamp}\nk");
        assert_eq!(map.standing(&subject(&key, &none, stamp)), Standing::Dead(Cause::Target));
    }
    for of in [&plain, &apart, &on_its_way] {
        assert_eq!(map.standing(of), Standing::Alive, "{of:?}");
    }
    map.swept(newest);
    assert!(!map.wants_sweep());
    let newest = invalidate(&mut map, 3);
    map.swept(newest);
    invalidate(&mut map, 3);
    assert_eq!(map.standing(&plain), Standing::Alive);
    assert_eq!(map.standing(&apart), Standing::Alive, "it was swept");
    assert_eq!(map.standing(&on_its_way), Standing::Dead(Cause::Target));
    assert_eq!(map.overflows(), (3, 0));
    // Where no sweep ever comes, the room has an end.
    invalidate(&mut map, 1000);
    assert_eq!(map.standing(&apart), Standing::Dead(Cause::Target));
    assert_eq!(map.standing(&plain), Standing::Alive);
}

#[test]
fn a_long_prefix_takes_the_room_of_many_names() {
    let none = Tags::default();
    let long = |number: u64| {
        let path = format!("http/1/h/{number}{}", "x".repeat(1000));
        Name::Prefix(bytes(&path))
    };
    let kept = |room: usize| {
        let mut map = stamps(4, room);
        for stamp in 1..=100 {
            map.strike(&long(stamp), Strike::Dead, stamp);
        }
        let forgotten = (0..=100).rev().find(|stamp| {
            let of = subject("http/1/h/none", &none, *stamp);
            map.standing(&of) != Standing::Alive
        });
        100 - forgotten.unwrap_or(0)
    };
    // 1009 bytes each: as much as sixteen names.
    assert_eq!((kept(3200), kept(320)), (100, 20));
    // One that is larger than all room is remembered, as the only one of its half.
    assert_eq!(kept(2), 2);
}

const KEYS: [&str; 6] =
    ["http/1/h/a", "http/1/h/a\nk=1", "http/1/h/ab", "https/1/h/a", "http/1/g/a/b", "http/1/g/"];
const TAGS: [&str; 4] = ["a", "a b", "c", "b c d"];

fn names() -> impl Strategy<Value = Name> {
    let uri =
        || prop::sample::select(&["http/1/h/a", "http/1/h/ab", "https/1/h/a", "http/1/g/"][..]);
    let tag = || prop::sample::select(&["a", "b", "c"][..]);
    let origin = prop::sample::select(&["http/1/h", "https/1/h"][..]);
    let prefix = prop::sample::select(&["http/1/h/", "http/1/h/a", "http/1/", "http/1/g/a/"][..]);
    prop_oneof![
        uri().prop_map(|uri| Name::Target(bytes(uri))),
        uri().prop_map(|uri| Name::Url(bytes(uri))),
        prefix.prop_map(|prefix| Name::Prefix(bytes(prefix))),
        prop::sample::select(&["h", "g"][..]).prop_map(|host| Name::Host(host.into())),
        tag().prop_map(|tag| Name::Tag(tag.into())),
        (origin, tag()).prop_map(|(origin, tag)| group(origin, tag)),
        Just(Name::Everything),
    ]
}

/// 0 is alive, 1 stale, 2 dead.
fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Alive => 0,
        Standing::Stale { .. } => 1,
        Standing::Dead(_) => 2,
    }
}

/// What the names themselves say, one by one.
fn model(struck: &[(Name, Strike)], of: &Subject<'_>) -> u8 {
    let ranks = (1_u64..).zip(struck).map(|(stamp, (name, strike))| {
        let rank = match strike {
            Strike::Dead if of.content <= stamp => 2,
            Strike::Stale(_) if of.validated <= stamp => 1,
            Strike::Dead | Strike::Stale(_) => 0,
        };
        if name.means(of.key, of.tags) { rank } else { 0 }
    });
    ranks.max().unwrap_or(0)
}

proptest! {
    /// No key outside of a selector dies and none inside survives; where the maps are full, too
    /// much may die, never too little.
    #[test]
    fn stamps_say_what_the_names_mean(
        struck in prop::collection::vec((names(), any::<bool>()), 0..24),
        room in prop::sample::select(&[1_usize, 2, 4, 64][..]),
        (content, later) in (1..26_u64, 0..6_u64),
    ) {
        let struck: Vec<(Name, Strike)> = struck
            .into_iter()
            .map(|(name, dead)| (name, if dead { Strike::Dead } else { Strike::Stale(at(1)) }))
            .collect();
        let mut map = stamps(room, room);
        for (stamp, (name, strike)) in (1..).zip(&struck) {
            map.strike(name, *strike, stamp);
        }
        for (key, said) in KEYS.iter().flat_map(|key| TAGS.iter().map(move |tags| (key, tags))) {
            let said = tags(said);
            for place in [Place::Stored, Place::OnItsWay] {
                let validated = content + later;
                let of = Subject { validated, place, ..subject(key, &said, content) };
                let (got, expected) = (rank(map.standing(&of)), model(&struck, &of));
                if room == 64 {
                    // A response with more tags than are kept has every one.
                    prop_assert!(got == expected || of.tags.has_every() && got > expected);
                } else if place == Place::OnItsWay {
                    prop_assert!(got >= expected);
                } else {
                    // An invalidated URI has left the store, whatever is remembered of it.
                    let has_left = |name: &Name| matches!(name, Name::Target(_));
                    let nothing = || (Name::Target([].into()), Strike::Dead);
                    let left: Vec<_> = struck
                        .iter()
                        .map(|one| if has_left(&one.0) { nothing() } else { one.clone() })
                        .collect();
                    prop_assert!(got >= model(&left, &of));
                }
            }
        }
    }
}
