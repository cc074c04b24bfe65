//! Who answers when others do not.

use super::*;

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
