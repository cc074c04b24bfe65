//! Filters together, and what follows for scope and TTL.

use super::*;

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
