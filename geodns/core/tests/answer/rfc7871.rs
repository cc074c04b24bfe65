//! Client subnet: where the client is, and for how much of its network the answer holds.

use std::{net::IpAddr, sync::LazyLock};

use geodns_core::{answer::Known, locate::client::Origin};
use proptest::prelude::*;

use super::stage::{Draft, FRA, IAD, SETTINGS, SOA, Stage, lines, q, unhex};

const SIN: [&str; 2] = ["NOERROR aa", "an www.cdn.test. 60 A 192.0.2.21"];
const NEAR_FRA: [&str; 3] =
    ["NOERROR aa", "an www.cdn.test. 60 A 192.0.2.1", "an www.cdn.test. 60 A 192.0.2.2"];
const NEAR_IAD: [&str; 2] = ["NOERROR aa", "an www.cdn.test. 60 A 192.0.2.11"];

#[track_caller]
fn says(stage: &Stage, rows: &[(&str, super::stage::Query, &[&str], &str)]) {
    for (row, query, records, opt) in rows {
        let expected: Vec<&str> = records.iter().chain([opt]).copied().collect();
        assert_eq!(stage.ask(query), expected, "{row}");
    }
}

#[test]
fn the_answer_is_for_the_clients_network() {
    let www = || q("www.cdn.test.", "A");
    says(
        &Stage::new(),
        &[
            (
                "§7.2.1 scope is the leaf",
                www().ecs(FRA),
                &NEAR_FRA,
                "opt 1232 ecs=203.0.113.0/24/24",
            ),
            (
                "§7.2.1 shorter",
                www().ecs("198.51.100.64/26"),
                &NEAR_IAD,
                "opt 1232 ecs=198.51.100.64/26/25",
            ),
            ("§7.2.1 longer", www().ecs("198.51.0.0/16"), &SIN, "opt 1232 ecs=198.51.0.0/16/18"),
            ("§6 IPv6", www().ecs("2001:db8:1::/56"), &NEAR_FRA, "opt 1232 ecs=2001:db8:1::/56/48"),
            (
                "RFC 4291 §2.5.5.2 mapped: 96 bits before",
                www().ecs("::ffff:203.0.113.0/120"),
                &NEAR_FRA,
                "opt 1232 ecs=::ffff:203.0.113.0/120/120",
            ),
            (
                "RFC 3056 §2 6to4: 16 bits before",
                www().ecs("2002:cb00:7100::/48"),
                &NEAR_FRA,
                "opt 1232 ecs=2002:cb00:7100::/48/40",
            ),
            (
                "RFC 6052 §2.1 NAT64: 96 bits before",
                www().ecs("64:ff9b::cb00:7100/120"),
                &NEAR_FRA,
                "opt 1232 ecs=64:ff9b::cb00:7100/120/120",
            ),
            (
                "§7.1.1 no option: the resolver's address",
                www().from("203.0.113.77").size(1232),
                &NEAR_FRA,
                "opt 1232",
            ),
            (
                "RFC 4291 §2.5.5.2 a resolver that is mapped",
                www().from("::ffff:203.0.113.77").size(1232),
                &NEAR_FRA,
                "opt 1232",
            ),
            (
                "§7.2.1 the option decides, not the resolver",
                www().from("203.0.113.77").ecs(IAD),
                &NEAR_IAD,
                "opt 1232 ecs=198.51.100.0/25/25",
            ),
            (
                "§7.1.2 source 0: the resolver's address, scope 0",
                www().from("203.0.113.77").ecs("0.0.0.0/0"),
                &NEAR_FRA,
                "opt 1232 ecs=0.0.0.0/0/0",
            ),
            (
                "§7.1.2 source 0 in IPv6",
                www().from("203.0.113.77").ecs("::/0"),
                &NEAR_FRA,
                "opt 1232 ecs=::/0/0",
            ),
        ],
    );
}

#[test]
fn what_holds_for_everybody_has_scope_0() {
    let (ecs, opt) = ("203.0.113.0/24", "opt 1232 ecs=203.0.113.0/24/0");
    let refused = "opt 1232 ecs=203.0.113.0/24/0 ede=20";
    let mail: &[&str] = &["NOERROR aa", "an mail.cdn.test. 300 A 192.0.2.54"];
    says(
        &Stage::new(),
        &[
            ("§7.2.1 static records", q("mail.cdn.test.", "A").ecs(ecs), mail, opt),
            ("§7.4 no such name", q("nope.cdn.test.", "A").ecs(ecs), &["NXDOMAIN aa", SOA], opt),
            ("§7.4 no such type", q("www.cdn.test.", "MX").ecs(ecs), &["NOERROR aa", SOA], opt),
            ("§7.2.1 refused", q("www.example.", "A").ecs(ecs), &["REFUSED"], refused),
        ],
    );
    let stage = Stage::new();
    let (_, facts) = stage.send(&q("alias2.cdn.test.", "A").ecs(ecs)).unwrap();
    assert_eq!(facts.scope, Some(24), "§7.2.1 at the end of a chain: the scope of the route");
}

#[test]
fn malformed_options_are_format_errors_and_not_repeated() {
    let stage = Stage::new();
    let rows = [
        ("§6 too short", "0001"),
        ("§7.1.2 family 3", "000318 00cb0071"),
        ("§7.1.2 source beyond the family", "00012100cb00710100"),
        ("§7.1.2 a scope in a query", "00011818cb0071"),
        ("§6 address too long", "00011800cb007101"),
        ("§6 address too short", "00011800cb00"),
        ("§7.1.2 bits behind the prefix", "00011700cb0071"),
    ];
    for (row, data) in rows {
        let query = q("www.cdn.test.", "A").option(8, &unhex(&data.replace(' ', "")));
        assert_eq!(stage.ask(&query), ["FORMERR", "opt 1232"], "{row}");
    }
    let twice = q("www.cdn.test.", "A").ecs(FRA).ecs(IAD);
    assert_eq!(stage.ask(&twice), ["FORMERR", "opt 1232"], "§6 two options");
}

#[test]
fn only_the_resolvers_that_are_believed_say_where_their_client_is() {
    let all = "[geodns.client_subnet]\nbelieve = 'none'\n";
    let listed = "[geodns.client_subnet]\nbelieve = 'listed'\nresolvers = ['192.0.2.200/32']\n";
    let (ignored, used) = ("opt 1232 ecs=203.0.113.0/24/0", "opt 1232 ecs=203.0.113.0/24/24");
    let www = || q("www.cdn.test.", "A").ecs(FRA);
    says(&Stage::with(all), &[("§11.3 none", www(), &SIN, ignored)]);
    says(
        &Stage::with(listed),
        &[
            ("§11.3 listed", www(), &NEAR_FRA, used),
            ("§11.3 not listed", www().from("192.0.2.201"), &SIN, ignored),
        ],
    );
}

#[test]
fn facts_say_whose_address_decided() {
    let stage = Stage::new();
    let listed = Stage::with("[geodns.client_subnet]\nbelieve = 'none'\n");
    let www = || q("www.cdn.test.", "A");
    let rows = [
        ("a subnet", &stage, www().ecs(FRA), Origin::Subnet, Known::Listed, Some(24), "fra"),
        ("no option", &stage, www(), Origin::Resolver, Known::Unlisted, None, "sin"),
        ("source 0", &stage, www().ecs("::/0"), Origin::Withheld, Known::Unlisted, Some(0), "sin"),
        ("ignored", &listed, www().ecs(FRA), Origin::Ignored, Known::Unlisted, Some(0), "sin"),
    ];
    for (row, stage, query, origin, known, scope, pop) in rows {
        let (_, facts) = stage.send(&query).unwrap();
        let routed = facts.routed.unwrap();
        assert_eq!((routed.origin, routed.known, facts.scope), (origin, known, scope), "{row}");
        assert_eq!(stage.snapshot.fleet().name(routed.pop.unwrap()), pop, "{row}");
    }
}

static INTRICATE: LazyLock<[Stage; 4]> = LazyLock::new(|| {
    [&["iad"][..], &["iad", "sin"], &["iad", "fra"], &["iad", "sin", "fra"]].map(|down| {
        let mut stage = intricate();
        stage.down(down);
        stage
    })
});

/// Networks of any depth, a fallback with a map of its own, and clients told apart by `sticky`.
fn intricate() -> Stage {
    let settings = SETTINGS.replace(
        "[[geodns.route]]",
        "[[geodns.map]]
name = 'other'
pops = ['sin', 'fra']
[[geodns.map.prefer]]
pops = ['sin']
networks = ['203.0.112.0/20', '10.0.0.0/9', '10.64.0.0/14', '2001:db8::/30']
[[geodns.map.prefer]]
pops = ['fra']
networks = ['203.0.113.128/26', '10.0.0.0/30', '2001:db8:8000::/33']
[[geodns.route]]
name = 'second'
map = 'other'
names = ['second']
[[geodns.route]]
name = 'held'
names = ['held']
policy = ['up', 'sticky', 'first']
sticky = { bits_v4 = 12, bits_v6 = 20 }
map = 'other'
fallback = 'second'
[[geodns.route]]
fallback = 'second'",
    );
    Draft { settings: &settings, ..Draft::default() }.build().unwrap()
}

fn scope_of(answer: &[u8]) -> u8 {
    let text = lines(answer);
    let opt = text.last().and_then(|opt| opt.rsplit_once('/')).unwrap();
    opt.1.parse().unwrap()
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    ipnet::IpNet::new(address, bits).unwrap().network()
}

fn address_near() -> impl Strategy<Value = IpAddr> {
    let near = prop::sample::select(vec![
        "203.0.113.0",
        "203.0.112.0",
        "198.51.100.0",
        "10.0.0.0",
        "10.64.0.0",
        "192.0.2.0",
        "2001:db8:1::",
        "2001:db8:2::",
        "2001:db8:8000::",
        "::ffff:203.0.113.0",
        "2002:cb00:7100::",
        "64:ff9b::a00:0",
    ]);
    let flip = prop::collection::vec(0_u32..128, 0..4);
    (near, flip).prop_map(|(near, flip)| {
        let address: IpAddr = near.parse().unwrap();
        flip.into_iter().fold(address, |address, bit| match address {
            IpAddr::V4(four) => {
                std::net::Ipv4Addr::from_bits(four.to_bits() ^ 1 << (bit % 32)).into()
            }
            IpAddr::V6(six) => std::net::Ipv6Addr::from_bits(six.to_bits() ^ 1 << bit).into(),
        })
    })
}

fn routed_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["www.cdn.test.", "held.cdn.test.", "second.cdn.test."])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// §7.2.1, §7.3.1: whoever lies within a scope that was returned gets what was answered there,
    /// and is told a scope that neither contains nor is contained in that one, but the same.
    #[test]
    fn all_within_a_scope_get_the_same(
        first in address_near(), noise: u128, qname in routed_name(), rtype in prop::sample::select(vec!["A", "AAAA", "HTTPS"]),
        down in prop::sample::subsequence(vec!["sin", "fra"], 0..3),
    ) {
        let [all, no_sin, no_fra, none] = &*INTRICATE;
        let stage = match *down {
            [] => all,
            ["sin"] => no_sin,
            ["fra"] => no_fra,
            _ => none,
        };
        let full = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let ask = |address: IpAddr| {
            let query = q(qname, rtype).ecs(&format!("{address}/{}", full(address)));
            stage.send(&query).unwrap().0
        };
        let answer = ask(first);
        let scope = scope_of(&answer);
        let second = match first {
            IpAddr::V4(four) => {
                let rest = u32::MAX.checked_shr(scope.into()).unwrap_or(0);
                let noise = u32::try_from(noise >> 96).unwrap();
                IpAddr::V4(std::net::Ipv4Addr::from_bits(four.to_bits() ^ (noise & rest)))
            }
            IpAddr::V6(six) => {
                let rest = u128::MAX.checked_shr(scope.into()).unwrap_or(0);
                IpAddr::V6(std::net::Ipv6Addr::from_bits(six.to_bits() ^ (noise & rest)))
            }
        };
        prop_assert_eq!(masked(first, scope), masked(second, scope));
        let other = ask(second);
        prop_assert_eq!(scope_of(&other), scope, "{} {}", first, second);
        let (mut left, mut right) = (lines(&answer), lines(&other));
        left.pop();
        right.pop();
        prop_assert_eq!(left, right);
    }
}
