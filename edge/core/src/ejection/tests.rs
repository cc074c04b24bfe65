//! Tables of ejection, and laws that hold whatever comes.

use proptest::prelude::*;

use super::*;

fn plan() -> EjectionPlan {
    EjectionPlan {
        failures: 5,
        time: Duration::from_secs(10),
        time_max: Duration::from_secs(60),
        share_max: 100,
        error_percent: None,
        latency_factor: None,
        requests_min: 20,
        window: Duration::from_secs(10),
    }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

fn shown(requests: u32, errors: u32, first_byte: u64) -> Shown {
    Shown { requests, errors, first_byte, ..Record::default().shown(&plan(), 0, at(0)) }
}

fn in_a_row(count: u32) -> Shown {
    Shown { in_a_row: count, ..shown(0, 0, 0) }
}

#[test]
fn failures_in_a_row_leave_a_server_out_and_a_success_between_begins_anew() {
    let mut record = Record::default();
    for _ in 0..4 {
        record.failed(&plan(), at(1), at(1));
    }
    assert!(judge(&plan(), &[record.shown(&plan(), 0, at(1))]).is_empty());
    record.succeeded(at(1), at(1));
    for _ in 0..5 {
        record.failed(&plan(), at(2), at(2));
    }
    let judged = judge(&plan(), &[record.shown(&plan(), 0, at(2))]);
    assert_eq!(judged, [(0, Reason::InARow(5))], "a single server as well: what is stored may do");
    assert_eq!(record.eject(&plan(), judged[0].1, at(3)), Duration::from_secs(10));
    let ejection = record.ejection(at(3)).unwrap();
    assert_eq!((ejection.since, ejection.until), (at(2), at(12)));
    assert!(judge(&plan(), &[record.shown(&plan(), 0, at(3))]).is_empty(), "once");
    for _ in 0..9 {
        record.failed(&plan(), at(11), at(11));
    }
    assert_eq!(record.ejection(at(12)), None);
    let judged = judge(&plan(), &[record.shown(&plan(), 0, at(12))]);
    assert!(judged.is_empty(), "what failed meanwhile counts no more: {judged:?}");
}

#[test]
fn who_answers_while_left_out_is_back_unless_it_was_asked_before() {
    let mut record = Record::default();
    record.failed(&plan(), at(5), at(5));
    record.eject(&plan(), Reason::InARow(5), at(5));
    assert!(!record.succeeded(at(4), at(6)), "asked before it failed");
    assert!(record.ejection(at(6)).is_some());
    assert!(record.succeeded(at(6), at(7)));
    assert_eq!(record.ejection(at(7)), None);
    assert!(!record.succeeded(at(6), at(7)), "told once");
}

#[test]
fn who_was_seen_to_come_back_is_pardoned_its_failures_and_nothing_else() {
    let rows = [(Reason::InARow(5), false), (Reason::ErrorRate(50, 0), true)];
    for (reason, expected) in rows {
        let mut record = Record::default();
        record.failed(&plan(), at(1), at(1));
        record.eject(&plan(), reason, at(1));
        record.failed(&plan(), at(1), at(1));
        record.pardon(at(2));
        assert_eq!(record.ejection(at(2)).is_some(), expected);
        assert_eq!(record.shown(&plan(), 0, at(2)).in_a_row, 0);
    }
}

#[test]
fn who_is_left_out_again_is_so_for_longer_until_it_has_been_well() {
    let mut record = Record::default();
    let mut ejects = |now| record.eject(&plan(), Reason::ErrorRate(50, 0), at(now)).as_secs();
    assert_eq!([ejects(0), ejects(10), ejects(31), ejects(72)], [10, 20, 40, 60]);
    assert_eq!(ejects(133), 60, "no longer than that");
    assert_eq!(ejects(254), 10, "well for longer than it was left out");
    let long = EjectionPlan { time: Duration::from_secs(3600), ..plan() };
    let time = Record::default().eject(&long, Reason::InARow(5), at(0));
    assert_eq!(time.as_secs(), 3600, "never shorter than the first");
}

#[test]
fn a_back_off_falls_back_however_its_ejections_ended() {
    let mut record = Record::default();
    let outage = |record: &mut Record, start: u64, ends: &dyn Fn(&mut Record, Moment)| {
        record.failed(&plan(), at(start), at(start));
        let time = record.eject(&plan(), Reason::InARow(5), at(start));
        ends(record, at(start + 2));
        time.as_secs()
    };
    let answers = |record: &mut Record, now: Moment| assert!(record.succeeded(now, now));
    let is_seen = |record: &mut Record, now: Moment| record.pardon(now);
    let times = [
        outage(&mut record, 0, &answers),
        outage(&mut record, 13, &answers),
        outage(&mut record, 26, &is_seen),
        outage(&mut record, 39, &is_seen),
        outage(&mut record, 50, &answers),
        outage(&mut record, 72, &answers),
        outage(&mut record, 115, &answers),
    ];
    assert_eq!(times, [10, 10, 10, 10, 20, 40, 10], "well for longer, or not");
}

#[test]
fn whose_ejection_is_over_is_on_trial_until_it_answers() {
    let mut record = Record::default();
    assert!(!record.is_on_trial(at(0)));
    record.eject(&plan(), Reason::ErrorRate(90, 0), at(1));
    assert!(!record.is_on_trial(at(10)) && record.is_on_trial(at(11)));
    record.answered(&plan(), at(0), at(12), false);
    assert!(record.is_on_trial(at(12)), "asked before it was left out");
    record.answered(&plan(), at(11), at(13), true);
    assert!(!record.is_on_trial(at(13)), "an answer is one");
    assert_eq!(record.out_since(), None);
}

#[test]
fn what_was_sent_before_an_ejection_ended_is_no_failure_after_it() {
    let mut record = Record::default();
    record.failed(&plan(), at(1), at(1));
    record.eject(&plan(), Reason::InARow(5), at(1));
    for _ in 0..9 {
        record.failed(&plan(), at(10), at(40));
    }
    assert_eq!(record.shown(&plan(), 0, at(40)).in_a_row, 0);
    record.failed(&plan(), at(11), at(40));
    assert_eq!(record.shown(&plan(), 0, at(40)).in_a_row, 1);
}

#[test]
fn ejections_without_an_answer_between_are_one_outage() {
    let mut record = Record::default();
    let ejects = |record: &mut Record, now: u64| {
        record.failed(&plan(), at(now), at(now));
        record.eject(&plan(), Reason::InARow(1), at(now));
        record.out_since()
    };
    assert_eq!(ejects(&mut record, 1), Some(at(1)));
    assert_eq!(ejects(&mut record, 12), Some(at(1)));
    record.succeeded(at(33), at(33));
    assert_eq!(record.out_since(), None);
    assert_eq!(ejects(&mut record, 34), Some(at(34)));
    assert_eq!(ejects(&mut record, 3000), Some(at(3000)), "nobody asked for so long");
}

#[test]
fn no_more_than_the_share_are_left_out_but_one_of_several() {
    let rows =
        [(100, 3, 3), (100, 1, 1), (50, 4, 2), (50, 1, 0), (10, 3, 1), (10, 2, 1), (34, 6, 2)];
    for (share_max, count, expected) in rows {
        let plan = EjectionPlan { share_max, ..plan() };
        let mut servers = vec![in_a_row(9); count];
        assert_eq!(judge(&plan, &servers).len(), expected, "{share_max} % of {count}");
        if expected > 0 {
            servers[0].is_ejected = true;
            assert_eq!(judge(&plan, &servers).len(), expected - 1, "{share_max} % of {count}");
        }
    }
}

#[test]
fn an_error_rate_is_judged_beside_the_others() {
    let plan = EjectionPlan { error_percent: Some(30), ..plan() };
    let rows = [
        ("half of its requests", vec![shown(20, 10, 0), shown(20, 0, 0)], Some((50, 0))),
        ("less than that", vec![shown(100, 29, 0), shown(20, 0, 0)], None),
        ("too few to tell", vec![shown(19, 19, 0), shown(20, 0, 0)], None),
        ("all are alike", vec![shown(20, 20, 0), shown(20, 18, 0)], None),
        ("worse than the rest", vec![shown(20, 20, 0), shown(20, 10, 0)], Some((100, 50))),
        ("nobody to be beside", vec![shown(20, 20, 0)], None),
        ("nobody has been asked beside it", vec![shown(20, 20, 0), shown(0, 0, 0)], None),
    ];
    for (name, servers, expected) in rows {
        let expected = expected.map(|(own, others)| (0, Reason::ErrorRate(own, others)));
        assert_eq!(judge(&plan, &servers).first().copied(), expected, "{name}");
    }
    let mut left_out = vec![shown(20, 20, 0), shown(20, 0, 0)];
    left_out[1].is_ejected = true;
    assert!(judge(&plan, &left_out).is_empty(), "the last one is better than nobody");
    let off = EjectionPlan { error_percent: None, ..plan };
    assert!(judge(&off, &[shown(20, 20, 0), shown(20, 0, 0)]).is_empty());
}

#[test]
fn a_delay_is_judged_beside_the_median_of_the_others() {
    let plan = EjectionPlan { latency_factor: Some(5), ..plan() };
    let rows = [
        ("five times", [50_000, 10_000, 9_000], Some(10_000)),
        ("not quite", [49_000, 10_000, 9_000], None),
        ("of no account", [9_000, 1_000, 1_000], None),
        ("others were not measured", [90_000, 0, 0], None),
        ("one other was", [90_000, 0, 10_000], Some(10_000)),
    ];
    for (name, delays, median) in rows {
        let servers = delays.map(|delay| shown(20, 0, delay));
        let expected = median.map(|median| (0, Reason::Delay(delays[0], median)));
        assert_eq!(judge(&plan, &servers).first().copied(), expected, "{name}");
    }
}

#[test]
fn error_rate_and_delay_are_judged_within_a_role_and_a_group_and_leave_the_last_of_them() {
    let plan = EjectionPlan { error_percent: Some(30), latency_factor: Some(10), ..plan() };
    let of = |role, group, shown| Shown { role, group, ..shown };
    let (primary, replica) = (RoleWord::Primary, RoleWord::Replica);
    let (good, slow, bad) = (shown(90, 0, 1_000), shown(90, 0, 90_000), shown(90, 90, 1_000));
    let (down, failing) = (Shown { is_down: true, ..good }, Shown { in_a_row: 9, ..good });
    let rows = [
        ("a write is no read", vec![of(primary, 0, slow), of(replica, 0, good)], vec![]),
        ("another role fails less", vec![of(primary, 0, bad), of(replica, 0, good)], vec![]),
        ("a longer way", vec![of(replica, 1, slow), of(replica, 0, good)], vec![]),
        ("the same role and group", vec![of(replica, 1, good), of(replica, 1, slow)], vec![1]),
        ("of primaries too", vec![of(primary, 0, bad), of(primary, 0, good)], vec![0]),
        ("the other is down", vec![of(replica, 0, slow), of(replica, 0, down)], vec![]),
        (
            "the other goes just now",
            vec![of(replica, 0, failing), of(replica, 0, bad), of(primary, 0, good)],
            vec![0],
        ),
    ];
    for (name, servers, expected) in rows {
        let judged = judge(&plan, &servers);
        let judged: Vec<usize> = judged.into_iter().map(|(index, _)| index).collect();
        assert_eq!(judged, expected, "{name}");
    }
}

#[test]
fn the_first_that_answers_while_all_are_out_ends_it_for_all() {
    let back = Shown { has_answered: true, ..shown(1, 0, 0) };
    let out = Shown { is_ejected: true, ..shown(1, 1, 0) };
    let down = Shown { is_down: true, ..shown(1, 1, 0) };
    let rows = [
        ("all others are out", vec![out, back, down], true),
        ("two at once", vec![back, out, back], true),
        ("another was up", vec![out, back, shown(1, 0, 0)], false),
        ("nobody has answered", vec![out, out], false),
        ("there is no other", vec![back], false),
    ];
    for (name, servers, expected) in rows {
        assert_eq!(is_over(&servers), expected, "{name}");
    }
    let mut record = Record::default();
    record.failed(&plan(), at(1), at(1));
    record.eject(&plan(), Reason::InARow(5), at(1));
    assert!(record.succeeded(at(2), at(2)));
    assert!(record.shown(&plan(), 0, at(2)).has_answered);
    assert!(record.take_answered() && !record.take_answered(), "told once");
}

#[test]
fn rates_are_of_late() {
    let mut record = Record::default();
    for second in 0..20 {
        record.answered(&plan(), at(second), at(second), second < 10);
    }
    let of = |record: &Record, now| {
        let shown = record.shown(&plan(), 0, at(now));
        (shown.requests, shown.errors)
    };
    assert_eq!(of(&record, 19), (20, 10));
    assert_eq!(of(&record, 20), (10, 0), "this window and the one before");
    assert_eq!(of(&record, 31), (0, 0));
}

/// A server that is back would else be left out again at once, for what it did while it was away.
#[test]
fn who_is_up_again_is_judged_by_what_was_sent_since() {
    let plan = EjectionPlan { error_percent: Some(20), ..plan() };
    let others = shown(100, 0, 0);
    let judged = |record: &Record, now| judge(&plan, &[record.shown(&plan, 0, at(now)), others]);
    let mut record = Record::default();
    (0..30).for_each(|_| record.answered(&plan, at(1), at(1), true));
    assert_eq!(judged(&record, 1), [(0, Reason::ErrorRate(100, 0))]);
    record.is_up_again(at(2));
    assert!(judged(&record, 2).is_empty(), "nothing is known of it");
    (0..30).for_each(|_| record.answered(&plan, at(1), at(3), true));
    record.failed(&plan, at(1), at(3));
    assert!(judged(&record, 3).is_empty(), "what was sent before comes late");
    (0..30).for_each(|_| record.answered(&plan, at(2), at(3), true));
    assert_eq!(judged(&record, 3), [(0, Reason::ErrorRate(100, 0))], "it is as bad as ever");
}

#[test]
fn reasons_are_told_in_words() {
    let rows = [
        (Reason::InARow(5), "5 failures in a row"),
        (Reason::InARow(1), "1 failure"),
        (Reason::ErrorRate(50, 1), "50 % of its requests fail, and 1 % of the others'"),
        (
            Reason::Delay(1_500_000, 20_000),
            "its first byte takes 1.5s, and that of the others 20.0ms",
        ),
    ];
    for (reason, text) in rows {
        assert_eq!(reason.to_string(), text);
    }
}

proptest! {
    #[test]
    fn some_are_left_as_long_as_the_share_says(
        servers in prop::collection::vec((any::<bool>(), 0_u32..9, 0_u32..60, 0_u32..60, 0_u64..100_000), 1..12),
        share_max in 1_u32..=100,
    ) {
        let plan = EjectionPlan {
            share_max, error_percent: Some(20), latency_factor: Some(2), ..plan()
        };
        let all: Vec<Shown> = servers
            .into_iter()
            .map(|(is_ejected, in_a_row, requests, errors, first_byte)| Shown {
                is_ejected, in_a_row, ..shown(requests, errors.min(requests), first_byte)
            })
            .collect();
        let out = all.iter().filter(|server| server.is_ejected).count();
        let judged = judge(&plan, &all);
        let most = (all.len() * share_max as usize / 100).max(usize::from(all.len() > 1));
        prop_assert!(judged.is_empty() || out + judged.len() <= most);
        for (index, reason) in judged {
            prop_assert!(!all[index].is_ejected);
            let by_rate = !matches!(reason, Reason::InARow(_));
            prop_assert!(!by_rate || out + 1 < all.len(), "the last one stays");
        }
    }
}
