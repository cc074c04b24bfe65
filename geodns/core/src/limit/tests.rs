//! Rate limiting tables.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers in tests")]

use std::thread;

use proptest::prelude::*;

use super::*;

const KEY: [u8; 16] = [7; 16];

fn limits(rate: u32) -> Limits {
    Limits {
        rates: Rates { answer: rate, nodata: rate, nxdomain: rate, referral: rate, error: rate },
        burst: Duration::from_secs(1),
        window: Duration::from_secs(5),
        slip: 2,
        ipv4_prefix_length: 24,
        ipv6_prefix_length: 56,
        allowed: vec!["198.51.100.0/24".parse().unwrap()],
        entries: 1024,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ask(limiter: &Limiter, client: &str, now: Duration) -> Verdict {
    limiter.judge(client.parse().unwrap(), ResponseClass::Answer, Proof::None, now, 1)
}

/// How many of `count` responses at once are sent.
fn sent(limiter: &Limiter, client: &str, now: Duration, count: usize) -> usize {
    (0..count).filter(|_| ask(limiter, client, now) == Verdict::Send).count()
}

#[test]
fn a_burst_is_sent_and_no_more() {
    let limiter = Limiter::new(&limits(10), KEY);
    assert_eq!(sent(&limiter, "192.0.2.1", ms(0), 10), 10, "a second's worth at once");
    assert_eq!(ask(&limiter, "192.0.2.1", ms(0)), Verdict::Drop);
}

#[test]
fn an_exempt_network_is_never_limited_however_it_is_written() {
    let written = ["198.51.100.0/24", "::ffff:198.51.100.0/120", "2002:c633:6400::/40"];
    for network in written {
        let allowed = vec![network.parse().unwrap()];
        let limiter = Limiter::new(&Limits { allowed, ..limits(1) }, KEY);
        for client in ["198.51.100.7", "::ffff:198.51.100.7", "2002:c633:6407::1"] {
            assert_eq!(sent(&limiter, client, ms(0), 100), 100, "{network}, {client}");
        }
        assert_eq!(sent(&limiter, "198.51.101.7", ms(0), 100), 1, "{network}");
    }
}

#[test]
fn the_rate_itself_is_never_limited() {
    let limiter = Limiter::new(&limits(10), KEY);
    let all = (0..1000).all(|at| ask(&limiter, "192.0.2.1", ms(at * 100)) == Verdict::Send);
    assert!(all, "ten a second, for a hundred seconds");
}

#[test]
fn a_flood_is_refused_until_it_has_stopped_for_a_while() {
    let limiter = Limiter::new(&limits(10), KEY);
    let flood: usize =
        (0..60_000).filter(|at| ask(&limiter, "192.0.2.1", ms(*at)) == Verdict::Send).count();
    assert!(flood <= 12, "a minute of a thousand a second: {flood}");
    let (stopped, window) = (60_000, 5_000);
    assert_eq!(ask(&limiter, "192.0.2.1", ms(stopped + window - 200)), Verdict::Drop);
    assert_eq!(ask(&limiter, "192.0.2.1", ms(stopped + window + 1100)), Verdict::Send);
}

#[test]
fn networks_classes_and_families_are_told_apart() {
    let limiter = Limiter::new(&limits(1), KEY);
    let full = |client: &str, class| {
        let client = client.parse().unwrap();
        limiter.judge(client, class, Proof::None, ms(0), 1) == Verdict::Drop
    };
    let rows = [
        ("the first", "192.0.2.1", ResponseClass::Answer, false),
        ("the same network", "192.0.2.255", ResponseClass::Answer, true),
        ("mapped into IPv6", "::ffff:192.0.2.7", ResponseClass::Answer, true),
        ("another network", "192.0.3.1", ResponseClass::Answer, false),
        ("another class", "192.0.2.1", ResponseClass::NxDomain, false),
        ("and another", "192.0.2.1", ResponseClass::NoData, false),
        ("and another", "192.0.2.1", ResponseClass::Referral, false),
        ("and another", "192.0.2.1", ResponseClass::Error, false),
        ("the class again", "192.0.2.9", ResponseClass::Error, true),
        ("IPv6", "2001:db8::1", ResponseClass::Answer, false),
        ("IPv6, the same /56", "2001:db8:0:ff::1", ResponseClass::Answer, true),
        ("IPv6, the next /56", "2001:db8:0:100::1", ResponseClass::Answer, false),
    ];
    for (row, client, class, expected) in rows {
        assert_eq!(full(client, class), expected, "{row}");
    }
}

#[test]
fn who_is_known_is_not_limited() {
    let limiter = Limiter::new(&limits(1), KEY);
    let client = "192.0.2.1".parse().unwrap();
    let judge = |proof| limiter.judge(client, ResponseClass::Answer, proof, ms(0), 1);
    assert_eq!([judge(Proof::None), judge(Proof::None)], [Verdict::Send, Verdict::Drop]);
    assert_eq!(judge(Proof::Given), Verdict::Send, "RFC 7873 §5.2.5");
    assert_eq!(sent(&limiter, "198.51.100.7", ms(0), 100), 100, "the operator's own");
    assert_eq!(sent(&limiter, "::ffff:198.51.100.7", ms(0), 100), 100, "however they come");
    let unlimited = Limiter::new(&limits(0), KEY);
    assert_eq!(sent(&unlimited, "192.0.2.1", ms(0), 10_000), 10_000, "0 is no limit");
}

#[test]
fn some_refusals_are_sent_as_tc() {
    let slips = |slip: u32| {
        let limiter = Limiter::new(&Limits { slip, ..limits(1) }, KEY);
        let client = "192.0.2.1".parse().unwrap();
        let judge = |draw| limiter.judge(client, ResponseClass::Answer, Proof::None, ms(0), draw);
        assert_eq!(judge(0), Verdict::Send);
        (0..100).filter(|draw| judge(*draw) == Verdict::Slip).count()
    };
    assert_eq!([slips(0), slips(1), slips(2), slips(3)], [0, 100, 50, 34]);
}

#[test]
fn a_flood_does_not_push_out_who_owes_more() {
    let limiter = Limiter::new(&Limits { entries: 64, ..limits(10) }, KEY);
    assert_eq!(sent(&limiter, "192.0.2.1", ms(0), 1000), 10);
    for net in 0..50_000_u32 {
        let client = IpAddr::V4((0x0100_0000 + net * 256).into());
        assert_eq!(
            limiter.judge(client, ResponseClass::Answer, Proof::None, ms(1), 1),
            Verdict::Send
        );
    }
    assert_eq!(ask(&limiter, "192.0.2.1", ms(2)), Verdict::Drop, "it is still remembered");
}

#[test]
fn an_entry_is_forgotten_when_its_time_turns_over() {
    let limiter = Limiter::new(&limits(10), KEY);
    let turn = Duration::from_micros(1 << TIME_BITS);
    for half_turns in 0..5 {
        let now = turn / 2 * half_turns + ms(half_turns.into());
        assert_eq!(sent(&limiter, "192.0.2.1", now, 20), 10, "{half_turns}");
    }
}

#[test]
fn threads_share_one_limit() {
    let limiter = Limiter::new(&limits(1000), KEY);
    let total = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sent = sent(&limiter, "192.0.2.1", ms(0), 5000);
                total.fetch_add(sent.try_into().unwrap(), Ordering::Relaxed)
            });
        }
    });
    let total = total.into_inner();
    // A thread that loses all its races sends; that may not happen often.
    assert!((1000..1100).contains(&total), "{total}");
}

proptest! {
    #[test]
    fn nobody_gets_more_than_burst_and_rate(
        rate in 1_u32..1000, steps in prop::collection::vec(0_u64..50_000, 1..400),
    ) {
        let limiter = Limiter::new(&limits(rate), KEY);
        let mut now = 0;
        let mut count: u64 = 0;
        for step in steps {
            now += step;
            let client = IpAddr::from([192, 0, 2, 1]);
            let verdict = limiter.judge(client, ResponseClass::Answer, Proof::None, Duration::from_micros(now), 1);
            count += u64::from(verdict == Verdict::Send);
        }
        let most = u64::from(rate) * (now + 1_000_000) / 1_000_000 + 1;
        // Costs are whole microseconds, so rates that do not divide a second get a little more.
        prop_assert!(count <= most + most / 1000 + 1, "{count} of {most}");
    }
}
