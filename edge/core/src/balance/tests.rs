//! Tables and laws of choosing: distribution, movement, roles, groups.

use std::time::Duration;

use ground::{moment::Moment, rendezvous::mix};
use proptest::prelude::*;

use super::{
    hash::server_key,
    latency::{Faults, Latency},
    roles::{Succession, Takeover},
    *,
};

fn plan(by: BalanceWord) -> BalancePlan {
    BalancePlan { by, group_up_min: 70, hash_load_max: 125 }
}

fn server(name: &str) -> ServerView {
    ServerView {
        key: server_key(name),
        weight: 1,
        role: RoleWord::Primary,
        group: 0,
        is_up: true,
        is_on_trial: false,
        ramp: PerMille::ALL,
        in_flight: 0,
        waiting: 0,
        is_free: true,
        first_byte: 0,
        faults: PerMille(0),
        tried: false,
    }
}

fn servers(count: usize) -> Vec<ServerView> {
    (0..count).map(|index| server(&format!("http://{index}.example"))).collect()
}

fn read(number: u64) -> Ask {
    Ask { purpose: Purpose::Read, key: mix(number, 7), draw: mix(number, 11), acting: None }
}

fn write(number: u64) -> Ask {
    Ask { purpose: Purpose::Write, ..read(number) }
}

/// How many of `requests` reads each server gets.
fn counts(by: BalanceWord, views: &[ServerView], requests: u64) -> Vec<u64> {
    let mut turns = Turns::of(views.len());
    let mut counts = vec![0; views.len()];
    for number in 0..requests {
        let chosen = choose(&plan(by), &mut turns, views, &read(number)).unwrap();
        counts[chosen] += 1;
    }
    counts
}

const ALL: [BalanceWord; 3] =
    [BalanceWord::RoundRobin, BalanceWord::LeastLoaded, BalanceWord::Hash];

#[test]
fn servers_that_are_alike_get_alike() {
    for by in ALL {
        for count in counts(by, &servers(4), 40_000) {
            assert!(count.abs_diff(10_000) < 500, "{by:?}: {count}");
        }
    }
    assert_eq!(counts(BalanceWord::RoundRobin, &servers(3), 300), [100; 3]);
}

#[test]
fn weights_are_met_and_so_is_a_ramp() {
    for by in ALL {
        let mut views = servers(3);
        views[1].weight = 2;
        views[2].weight = 4;
        views[2].ramp = PerMille(250);
        for (count, expected) in counts(by, &views, 40_000).iter().zip([10_000, 20_000, 10_000]) {
            assert!(u64::abs_diff(*count, expected) < 600, "{by:?}: {count}");
        }
    }
}

#[test]
fn turns_are_smooth() {
    let mut views = servers(2);
    views[0].weight = 3;
    let mut turns = Turns::of(2);
    let plan = plan(BalanceWord::RoundRobin);
    let order: Vec<_> =
        (0..8).map(|number| choose(&plan, &mut turns, &views, &read(number)).unwrap()).collect();
    assert_eq!(order, [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn who_could_not_take_part_has_nothing_to_catch_up_on() {
    let mut views = servers(2);
    let mut turns = Turns::of(2);
    let plan = plan(BalanceWord::RoundRobin);
    let mut take = |views: &[ServerView]| choose(&plan, &mut turns, views, &read(0)).unwrap();
    views[1].is_up = false;
    for _ in 0..50 {
        assert_eq!(take(&views), 0);
    }
    views[1].is_up = true;
    let later: usize = (0..10).map(|_| take(&views)).sum();
    assert_eq!(later, 5);
}

#[test]
fn further_tries_have_turns_of_their_own() {
    let mut views = servers(4);
    let mut turns = Turns::of(4);
    let plan = plan(BalanceWord::RoundRobin);
    let mut counts = [0_u32; 4];
    for _ in 0..120 {
        views[0].tried = false;
        if choose(&plan, &mut turns, &views, &read(1)) == Ok(0) {
            views[0].tried = true;
            counts[choose(&plan, &mut turns, &views, &read(1)).unwrap()] += 1;
        }
    }
    assert_eq!(counts, [0, 10, 10, 10]);
}

#[test]
fn a_further_try_goes_elsewhere_and_takes_no_turn_of_a_first() {
    for by in ALL {
        let mut views = servers(2);
        let mut turns = Turns::of(2);
        let first = choose(&plan(by), &mut turns, &views, &read(1)).unwrap();
        views[first].tried = true;
        assert_eq!(choose(&plan(by), &mut turns, &views, &read(1)), Ok(1 - first), "{by:?}");
        views[1 - first].tried = true;
        let none = choose(&plan(by), &mut turns, &views, &read(1));
        assert_eq!(none, Err(NoServer::AllTried), "{by:?}");
        if by == BalanceWord::RoundRobin {
            let again = servers(2);
            assert_eq!(choose(&plan(by), &mut turns, &again, &read(1)), Ok(1 - first));
        }
    }
}

#[test]
fn who_is_down_is_asked_only_when_all_are() {
    for by in ALL {
        let mut views = servers(3);
        views[0].is_up = false;
        views[2].is_up = false;
        assert_eq!(counts(by, &views, 100), [0, 100, 0], "{by:?}");
        views[1].is_up = false;
        let counts = counts(by, &views, 3_000);
        assert!(counts.iter().all(|count| *count > 700), "{by:?}: {counts:?}");
        views[1].is_up = true;
        views[1].tried = true;
        let next = choose(&plan(by), &mut Turns::of(3), &views, &read(1)).unwrap();
        assert_ne!(next, 1, "{by:?}: who is down goes before who has been tried");
    }
}

#[test]
fn a_free_connection_goes_before_a_queue_and_the_shorter_queue_before_the_longer() {
    for by in [BalanceWord::RoundRobin, BalanceWord::LeastLoaded] {
        let mut views = servers(3);
        views[0].is_free = false;
        views[1].is_free = false;
        assert_eq!(counts(by, &views, 10), [0, 0, 10], "{by:?}");
        views[2].is_free = false;
        views[0].waiting = 3;
        views[1].waiting = 2;
        views[2].waiting = 9;
        assert_eq!(counts(by, &views, 10), [0, 10, 0], "{by:?}");
    }
}

#[test]
fn a_server_on_its_ramp_is_free_within_its_part_alone() {
    let rows = [
        ("back", 1000, 99, (true, 0)),
        ("within its part", 100, 9, (true, 0)),
        ("at its end", 100, 10, (false, 10)),
        ("beyond", 100, 12, (false, 30)),
        ("just back, with one to begin with", 1, 0, (true, 0)),
        ("and no more", 1, 1, (false, 1000)),
    ];
    for (name, ramp, in_flight, expected) in rows {
        assert_eq!(queue((true, 0), PerMille(ramp), in_flight, 100), expected, "{name}");
    }
    assert_eq!(queue((false, 7), PerMille(500), 1, 100), (false, 7));
}

#[test]
fn of_two_the_one_with_less_to_do_for_its_pace_is_taken() {
    let rows = [
        ("alike", (0, 0), (0, 0), 50..=150),
        ("busier", (5, 0), (0, 0), 0..=0),
        ("slower", (0, 40_000), (0, 10_000), 0..=0),
        ("hardly slower", (0, 11_000), (0, 10_000), 50..=150),
        ("slower, and the other far busier", (0, 40_000), (9, 10_000), 200..=200),
        ("not measured", (0, 0), (0, 10_000), 50..=150),
        ("not measured but busier", (3, 0), (0, 10_000), 0..=0),
    ];
    for (name, one, other, expected) in rows {
        let mut views = servers(2);
        (views[0].in_flight, views[0].first_byte) = one;
        (views[1].in_flight, views[1].first_byte) = other;
        let count = counts(BalanceWord::LeastLoaded, &views, 200)[0];
        assert!(expected.contains(&count), "{name}: {count}");
    }
}

#[test]
fn who_fails_gets_less_however_fast_it_does() {
    let rows = [
        ("all of it fails at once", (1000, 300), (0, 30_000), 0..=0),
        ("half of it", (500, 300), (0, 30_000), 0..=0),
        ("both do alike", (600, 10_000), (600, 10_000), 50..=150),
        ("a few of many", (90, 1_000), (0, 10_000), 200..=200),
    ];
    for (name, one, other, expected) in rows {
        let mut views = servers(2);
        (views[0].faults, views[0].first_byte) = (PerMille(one.0), one.1);
        (views[1].faults, views[1].first_byte) = (PerMille(other.0), other.1);
        let count = counts(BalanceWord::LeastLoaded, &views, 200)[0];
        assert!(expected.contains(&count), "{name}: {count}");
    }
    let mut views = servers(2);
    (views[0].faults, views[1].in_flight) = (PerMille(1000), 30);
    let count = counts(BalanceWord::LeastLoaded, &views, 200)[0];
    assert_eq!(count, 200, "it is asked before others drown");
}

#[test]
fn faults_count_an_eighth_and_fade() {
    let at = Moment::from_millis;
    let mut faults = Faults::default();
    faults.count(true, at(0));
    assert_eq!(faults.share(at(0)), PerMille(125));
    for _ in 0..100 {
        faults.count(true, at(0));
    }
    assert!(faults.share(at(0)) > PerMille(980), "{:?}", faults.share(at(0)));
    let half = faults.share(at(10_000)).0;
    assert!(half.abs_diff(500) < 10, "{half}");
    assert_eq!(faults.share(at(u64::MAX)), PerMille(0));
    for _ in 0..100 {
        faults.count(false, at(10_000));
    }
    assert_eq!(faults.share(at(10_000)), PerMille(0));
}

#[test]
fn load_follows_weight_when_servers_are_busy() {
    let mut views = servers(2);
    views[1].weight = 3;
    let mut turns = Turns::of(2);
    for number in 0..400 {
        let plan = plan(BalanceWord::LeastLoaded);
        let chosen = choose(&plan, &mut turns, &views, &read(number)).unwrap();
        views[chosen].in_flight += 1;
    }
    assert!(views[0].in_flight.abs_diff(100) < 25, "{}", views[0].in_flight);
}

#[test]
fn a_measurement_counts_an_eighth_and_fades() {
    let at = Moment::from_millis;
    let mut latency = Latency::default();
    assert_eq!(latency.micros(at(5)), 0);
    latency.measure(Duration::from_millis(80), at(0));
    assert_eq!(latency.micros(at(0)), 80_000);
    latency.measure(Duration::from_millis(160), at(0));
    assert_eq!(latency.micros(at(0)), 90_000);
    latency.measure(Duration::from_millis(10), at(0));
    assert_eq!(latency.micros(at(0)), 80_000);
    let rows = [(5_000, 60_000), (10_000, 40_000), (15_000, 30_000), (20_000, 20_000)];
    for (millis, expected) in rows {
        assert_eq!(latency.micros(at(millis)), expected, "{millis}");
    }
    assert_eq!(latency.micros(at(u64::MAX)), 1, "but it was measured");
}

#[test]
fn reads_go_to_replicas_and_the_rest_to_the_primary() {
    let with = |roles: [RoleWord; 3], up: [bool; 3]| {
        let mut views = servers(3);
        for ((view, role), is_up) in views.iter_mut().zip(roles).zip(up) {
            (view.role, view.is_up) = (role, is_up);
        }
        views
    };
    let usual = [RoleWord::Primary, RoleWord::Replica, RoleWord::Standby];
    let down = Err(NoServer::PrimaryDown);
    let rows = [
        ("all are up", [true, true, true], None, Ok(1), Ok(0)),
        ("no replica", [true, false, true], None, Ok(0), Ok(0)),
        ("no primary", [false, true, true], None, Ok(1), down),
        ("neither", [false, false, true], None, Ok(2), down),
        ("taken over", [false, true, true], Some(2), Ok(1), Ok(2)),
        ("taken over, without a replica", [true, false, true], Some(2), Ok(2), Ok(2)),
        ("the standby is down", [true, false, false], Some(2), Ok(0), down),
    ];
    for (name, up, acting, reads, writes) in rows {
        for by in ALL {
            let views = with(usual, up);
            let choice =
                |ask: Ask| choose(&plan(by), &mut Turns::of(3), &views, &Ask { acting, ..ask });
            assert_eq!((choice(read(1)), choice(write(1))), (reads, writes), "{name}, {by:?}");
        }
    }
    let views = with(usual, [false; 3]);
    let tried = |tried: [bool; 3]| {
        let mut views = views.clone();
        views.iter_mut().zip(tried).for_each(|(view, tried)| view.tried = tried);
        choose(&plan(BalanceWord::RoundRobin), &mut Turns::of(3), &views, &read(1))
    };
    assert!(tried([false; 3]).is_ok(), "all are down: try anyway");
    assert_eq!(tried([true, true, false]), Ok(2));
    let mut views = with([RoleWord::Primary; 3], [false; 3]);
    views[0].tried = true;
    let any = choose(&plan(BalanceWord::RoundRobin), &mut Turns::of(3), &views, &write(1));
    assert!(any.is_ok(), "without roles, writes are tried anyway as well");
}

#[test]
fn who_is_on_trial_gets_no_second_request_where_others_are() {
    for by in ALL {
        let mut views = servers(2);
        views[0].is_on_trial = true;
        assert_eq!(counts(by, &views, 20), [0, 20], "{by:?}");
        views[1].is_up = false;
        let asked = counts(by, &views, 20);
        assert_eq!(asked.iter().sum::<u64>(), 20, "{by:?}: nobody else is there");
        views[1].role = RoleWord::Replica;
        let choice = choose(&plan(by), &mut Turns::of(2), &views, &write(1));
        assert_eq!(choice, Ok(0), "{by:?}: a write has nowhere else to go");
        let second = beside(&plan(by), &mut Turns::of(2), &views, &read(1), 1);
        assert_eq!(second, None, "{by:?}");
    }
}

#[test]
fn a_second_try_goes_to_whom_is_up_and_as_good_a_choice() {
    let (primary, replica) = (RoleWord::Primary, RoleWord::Replica);
    let rows = [
        ("another", [primary, primary], [true, true], false, Some(1)),
        ("it is down", [primary, primary], [true, false], false, None),
        ("all are", [primary, primary], [false, false], false, None),
        ("a lower role", [replica, primary], [true, true], false, None),
        ("a higher one", [primary, replica], [true, true], false, None),
        ("it was tried", [replica, replica], [true, true], true, None),
    ];
    for (name, roles, up, tried, expected) in rows {
        for by in ALL {
            let mut views = servers(2);
            for ((view, role), is_up) in views.iter_mut().zip(roles).zip(up) {
                (view.role, view.is_up) = (role, is_up);
            }
            (views[0].tried, views[1].tried) = (true, tried);
            let second = beside(&plan(by), &mut Turns::of(2), &views, &read(1), 0);
            assert_eq!(second, expected, "{name}, {by:?}");
        }
    }
}

#[test]
fn a_standby_takes_over_in_time_and_does_not_flap_back() {
    let mut views = servers(3);
    views[1].role = RoleWord::Standby;
    views[2].role = RoleWord::Standby;
    let mut takeover = Takeover::default();
    let mut look = |up: [bool; 3], seconds: u64| {
        views.iter_mut().zip(up).for_each(|(view, up)| view.is_up = up);
        let change =
            takeover.look(&views, |_| Duration::from_secs(seconds), Duration::from_secs(10));
        (change, takeover.acting())
    };
    assert_eq!(look([true, true, true], 0), (None, None));
    assert_eq!(look([false, true, true], 9), (None, None), "a moment's trouble");
    assert_eq!(look([false, true, true], 10), (Some(Succession::TakenOver(1)), Some(1)));
    assert_eq!(look([true, true, true], 99), (None, Some(1)), "it stays");
    assert_eq!(look([false, false, true], 1), (None, Some(1)));
    assert_eq!(look([false, false, true], 11), (Some(Succession::TakenOver(2)), Some(2)));
    assert_eq!(look([true, false, false], 9), (None, Some(2)), "nor does it flap back");
    assert_eq!(look([true, false, true], 0), (None, Some(2)));
    assert_eq!(look([true, false, false], 10), (Some(Succession::Returned), None));
    assert_eq!(look([false, false, false], 99), (None, None), "nobody is there to take over");
}

/// The share of 6,000 reads, in percent, that goes to each of three groups of ten servers.
fn shares(by: BalanceWord, up: [usize; 3]) -> Vec<u64> {
    let mut views = servers(30);
    for (index, view) in views.iter_mut().enumerate() {
        view.group = index / 10;
        view.is_up = index % 10 < up[view.group];
    }
    let counts = counts(by, &views, 6_000);
    counts.chunks(10).map(|group| (group.iter().sum::<u64>() + 30) / 60).collect()
}

#[test]
fn load_spills_to_the_next_group_in_proportion() {
    let rows = [
        ([10, 10, 10], [100, 0, 0]),
        ([7, 10, 10], [100, 0, 0]),
        ([6, 10, 10], [86, 14, 0]),
        ([1, 10, 10], [14, 86, 0]),
        ([0, 10, 10], [0, 100, 0]),
        ([1, 3, 10], [14, 43, 43]),
        ([1, 0, 1], [50, 0, 50]),
        ([0, 0, 1], [0, 0, 100]),
        ([0, 0, 0], [33, 33, 33]),
    ];
    for (up, expected) in rows {
        for by in ALL {
            for (share, expected) in shares(by, up).into_iter().zip(expected) {
                assert!(u64::abs_diff(share, expected) <= 3, "{by:?} {up:?}: {share} {expected}");
            }
        }
    }
}

#[test]
fn a_group_that_is_back_takes_its_part_as_it_ramps_up() {
    let mut views = servers(2);
    views[1].group = 1;
    for (ramp, expected) in [(1, 0), (70, 10), (350, 50), (700, 100), (1000, 100)] {
        views[0].ramp = PerMille(ramp);
        let share = counts(BalanceWord::RoundRobin, &views, 10_000)[0] / 100;
        assert!(share.abs_diff(expected) <= 2, "{ramp}: {share}");
    }
    views[0].tried = true;
    views[0].ramp = PerMille::ALL;
    let next = choose(&plan(BalanceWord::RoundRobin), &mut Turns::of(2), &views, &read(1));
    assert_eq!(next, Ok(1), "a group that has been tried leaves it to the next");
}

fn key_homes(views: &[ServerView], keys: u64) -> Vec<u64> {
    let home = |number| {
        let chosen = choose(&plan(BalanceWord::Hash), &mut Turns::default(), views, &read(number));
        views[chosen.unwrap()].key
    };
    (0..keys).map(home).collect()
}

#[test]
fn who_is_crowded_by_its_keys_gives_way() {
    let mut views = servers(4);
    let home = choose(&plan(BalanceWord::Hash), &mut Turns::default(), &views, &read(1)).unwrap();
    let mut got = [0_u32; 4];
    for _ in 0..400 {
        let ask = read(1);
        let chosen = choose(&plan(BalanceWord::Hash), &mut Turns::default(), &views, &ask).unwrap();
        views[chosen].in_flight += 1;
        got[chosen] += 1;
    }
    assert!((120..=127).contains(&got[home]), "one key, no more than 125 %: {got:?}");
    let mut few = servers(4);
    few[home].in_flight = 7;
    let again = choose(&plan(BalanceWord::Hash), &mut Turns::default(), &few, &read(1));
    assert_eq!(again, Ok(home), "so few do not crowd");
    few[home].in_flight = 0;
    few[home].is_free = false;
    let next = choose(&plan(BalanceWord::Hash), &mut Turns::default(), &few, &read(1));
    assert_ne!(next, Ok(home), "nor waits a key where others are free");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_server_added_or_removed_moves_no_more_keys_than_it_must(
        count in 2_usize..12, gone in 0_usize..12, weights in prop::collection::vec(1_u32..5, 12),
    ) {
        let mut all = servers(count);
        all.iter_mut().zip(&weights).for_each(|(view, weight)| view.weight = *weight);
        let gone = all[gone % count].key;
        let fewer: Vec<_> = all.iter().filter(|view| view.key != gone).copied().collect();
        let (before, after) = (key_homes(&all, 4_000), key_homes(&fewer, 4_000));
        let mut moved = 0;
        for (one, other) in before.iter().zip(&after) {
            prop_assert!(one == other || *one == gone, "a key moved between two that stayed");
            moved += u32::from(one != other);
        }
        let weight = |views: &[ServerView]| views.iter().map(|view| view.weight).sum::<u32>();
        let expected = 4_000 * (weight(&all) - weight(&fewer)) / weight(&all);
        prop_assert!(moved.abs_diff(expected) < 250, "{moved} keys, {expected} expected");
        // Down is as good as gone, whatever the order of the list.
        let mut down = all.clone();
        down.iter_mut().filter(|view| view.key == gone).for_each(|view| view.is_up = false);
        down.reverse();
        prop_assert_eq!(key_homes(&down, 4_000), after);
    }

    #[test]
    fn keys_spread_over_servers_by_their_weights(
        count in 1_usize..12, weights in prop::collection::vec(1_u32..5, 12), salt: u64,
    ) {
        let mut all = servers(count);
        for (view, weight) in all.iter_mut().zip(&weights) {
            (view.weight, view.key) = (*weight, view.key ^ salt);
        }
        let homes = key_homes(&all, 4_000);
        let whole: u32 = all.iter().map(|view| view.weight).sum();
        for view in &all {
            let keys = u32::try_from(homes.iter().filter(|home| **home == view.key).count()).unwrap();
            let expected = 4_000 * view.weight / whole;
            prop_assert!(keys.abs_diff(expected) < 200, "{keys} keys, {expected} expected");
        }
    }

    #[test]
    fn a_bounded_load_is_bounded(
        count in 2_usize..8, keys in 1_u64..20, load_max in 100_u32..300,
        weights in prop::collection::vec(1_u32..4, 8),
    ) {
        let mut views = servers(count);
        views.iter_mut().zip(&weights).for_each(|(view, weight)| view.weight = *weight);
        let plan = BalancePlan { hash_load_max: load_max, ..plan(BalanceWord::Hash) };
        for number in 0..300_u64 {
            let ask = read(number % keys);
            let chosen = choose(&plan, &mut Turns::default(), &views, &ask).unwrap();
            views[chosen].in_flight += 1;
        }
        let whole: u32 = views.iter().map(|view| view.weight).sum();
        for view in &views {
            let bound = (300 * load_max * view.weight).div_ceil(100 * whole).max(8);
            prop_assert!(view.in_flight <= bound, "{} of {bound}", view.in_flight);
        }
    }

    #[test]
    fn whoever_is_chosen_may_be_asked(
        views in prop::collection::vec(
            (any::<bool>(), any::<bool>(), 0_u8..3, 0_usize..3, 1_u32..5, any::<bool>(), 0_u32..20),
            1..9,
        ),
        by in 0_usize..3, number: u64, is_read: bool, acting in prop::option::of(0_usize..9),
    ) {
        let views: Vec<ServerView> = views
            .into_iter()
            .enumerate()
            .map(|(index, (is_up, tried, role, group, weight, is_free, in_flight))| {
                let roles = [RoleWord::Primary, RoleWord::Replica, RoleWord::Standby];
                let role = roles[usize::from(role)];
                let known = server(&format!("http://{index}"));
                ServerView { is_up, tried, role, group, weight, is_free, in_flight, ..known }
            })
            .collect();
        let acting = acting.filter(|at| views.get(*at).is_some_and(|v| v.role == RoleWord::Standby));
        let purpose = if is_read { Purpose::Read } else { Purpose::Write };
        let ask = Ask { purpose, acting, ..read(number) };
        let chosen = choose(&plan(ALL[by]), &mut Turns::of(views.len()), &views, &ask);
        let has_up = views.iter().any(|view| view.is_up && !view.tried);
        if let Ok(index) = chosen {
            prop_assert!(!views[index].tried);
            let is_acting = acting.map_or(views[index].role == RoleWord::Primary, |at| at == index);
            prop_assert!(is_read || is_acting);
            prop_assert!(!is_read || views[index].is_up || !has_up);
        } else {
            prop_assert!(!is_read || views.iter().all(|view| view.tried));
        }
    }
}
