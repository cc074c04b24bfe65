//! Where a client is, how much PoPs weigh, and who is up, together.

use std::collections::BTreeMap;

use geodns_core::{
    answer::Routed,
    health::operator::Order,
    route::{Outcome, filter::Assumed},
    standing::{PerMille, Standings},
};

use super::stage::{Draft, SETTINGS, Stage, q};

/// Two PoPs as near to everybody in 203.0.113.0/24, of which one weighs three times the other.
fn weighed() -> Stage {
    let settings = SETTINGS
        .replace("pops = ['fra']\n", "pops = ['fra', 'iad']\nequal = true\n")
        .replace("name = 'iad'", "name = 'iad'\nweight = 300");
    Draft { settings: &settings, ..Draft::default() }.build().unwrap()
}

/// How often each PoP answers first, of 4,000 times.
fn shares(stage: &mut Stage, network: &str) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    let query = q("www.cdn.test.", "A").ecs(network);
    for draw in 1..=4_000_u64 {
        stage.draw = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let pop = stage.send(&query).unwrap().1.routed.unwrap().pop.unwrap();
        *shares.entry(stage.snapshot.fleet().name(pop).to_owned()).or_default() += 1;
    }
    shares
}

fn near(shares: &BTreeMap<String, usize>, expected: &[(&str, usize)]) {
    assert_eq!(shares.len(), expected.len(), "{shares:?}");
    for (pop, count) in expected {
        assert!(shares[*pop].abs_diff(*count) < 200, "{shares:?}");
    }
}

#[test]
fn weight_decides_among_the_near_and_health_before_both() {
    let mut stage = weighed();
    near(&shares(&mut stage, "203.0.113.0/24"), &[("fra", 1000), ("iad", 3000)]);
    near(&shares(&mut stage, "8.8.8.0/24"), &[("sin", 4000)]);
    stage.down(&["iad"]);
    near(&shares(&mut stage, "203.0.113.0/24"), &[("fra", 4000)]);
    stage.down(&["fra"]);
    near(&shares(&mut stage, "203.0.113.0/24"), &[("sin", 4000)]);
    let mut stage = weighed();
    stage.health.order("fra", Order::Drain, None);
    stage.restand();
    near(&shares(&mut stage, "203.0.113.0/24"), &[("iad", 4000)]);
}

#[test]
fn load_and_a_ramp_move_a_share() {
    let mut stage = weighed();
    let mut pops = stage.served.standings().pops().to_vec();
    pops[2].load = Some(PerMille(2000));
    stage.stand(Standings::new(pops));
    near(&shares(&mut stage, "203.0.113.0/24"), &[("fra", 4000)]);
    let mut stage = weighed();
    let mut pops = stage.served.standings().pops().to_vec();
    pops[2].v4.ramp = PerMille(500);
    stage.stand(Standings::new(pops));
    near(&shares(&mut stage, "203.0.113.0/24"), &[("fra", 2500), ("iad", 1500)]);
}

fn routed(stage: &Stage, name: &str, network: &str) -> (Vec<String>, Routed) {
    let query = q(name, "A").ecs(network);
    (stage.ask(&query), stage.send(&query).unwrap().1.routed.unwrap())
}

#[test]
fn when_all_are_down_all_are_offered_or_nobody_is() {
    let mut stage = Stage::new();
    stage.down(&["sin", "fra", "iad"]);
    let (lines, routed_) = routed(&stage, "www.cdn.test.", "203.0.113.0/24");
    assert_eq!(lines[1], "an www.cdn.test. 60 A 192.0.2.1");
    let Outcome::Answered { assumed, .. } = routed_.outcome else { panic!("{routed_:?}") };
    assert_eq!(assumed, Assumed::Up);

    let settings = SETTINGS.replace("sites = true", "sites = true\nall_down = 'servfail'");
    let mut stage = Draft { settings: &settings, ..Draft::default() }.build().unwrap();
    stage.down(&["sin", "fra", "iad"]);
    for name in ["www.cdn.test.", "alias.cdn.test."] {
        let (lines, routed) = routed(&stage, name, "203.0.113.0/24");
        // RFC 8914 §4.1; the scope is where the answer would have come from, not everybody's.
        let expected = ["SERVFAIL", "opt 1232 ecs=203.0.113.0/24/24 ede=0"];
        assert_eq!((lines, routed.pop), (expected.map(str::to_owned).into(), None), "{name}");
        assert_eq!(routed.outcome, Outcome::Nobody);
    }
}

#[test]
fn a_fallback_route_answers_with_its_own_map_and_number_of_addresses() {
    let settings = SETTINGS.replace(
        "[[geodns.route]]",
        "[[geodns.map]]
name = 'eu'
pops = ['fra']
[[geodns.route]]
name = 'all'
addresses_max = 1
[[geodns.route]]
map = 'eu'
fallback = 'all'",
    );
    let mut stage = Draft { settings: &settings, ..Draft::default() }.build().unwrap();
    let (lines, first) = routed(&stage, "www.cdn.test.", "198.51.100.0/25");
    let two = ["an www.cdn.test. 60 A 192.0.2.1", "an www.cdn.test. 60 A 192.0.2.2"];
    assert_eq!(
        (&lines[1..3], lines[3].as_str()),
        (&two.map(str::to_owned)[..], "opt 1232 ecs=198.51.100.0/25/0")
    );
    stage.down(&["fra"]);
    let (lines, second) = routed(&stage, "www.cdn.test.", "198.51.100.0/25");
    assert_eq!(lines[1..], ["an www.cdn.test. 60 A 192.0.2.11", "opt 1232 ecs=198.51.100.0/25/25"]);
    assert_eq!(first.route, second.route, "the route of the name");
    assert_ne!(first.outcome, second.outcome, "the outcome says which route answered");
}

#[test]
fn addresses_take_turns_and_a_doubt_shortens_the_ttl() {
    let mut stage = Stage::new();
    stage.draw = 1;
    let mut pops = stage.served.standings().pops().to_vec();
    pops[1].ttl_max = 7;
    stage.stand(Standings::new(pops));
    let (lines, _) = routed(&stage, "www.cdn.test.", "203.0.113.0/24");
    assert_eq!(lines[1..3], ["an www.cdn.test. 7 A 192.0.2.2", "an www.cdn.test. 7 A 192.0.2.1"]);
}

#[test]
fn addresses_are_no_more_than_the_route_allows() {
    let settings = SETTINGS.replace("sites = true", "sites = true\naddresses_max = 1");
    let stage = Draft { settings: &settings, ..Draft::default() }.build().unwrap();
    let (lines, _) = routed(&stage, "www.cdn.test.", "203.0.113.0/24");
    assert_eq!(lines[1..], ["an www.cdn.test. 60 A 192.0.2.1", "opt 1232 ecs=203.0.113.0/24/24"]);
}

#[test]
fn a_name_may_hold_on_to_a_pop_whatever_its_case_and_client() {
    let settings = SETTINGS.replace(
        "[[geodns.route]]",
        "[[geodns.route]]
name = 'by-name'
policy = ['up', 'sticky', 'first']
sticky = { by = 'name' }
[[geodns.route]]
fallback = 'by-name'
policy = ['up', 'sticky', 'first']
sticky = { by = 'name' }",
    );
    let stage = Draft { settings: &settings, ..Draft::default() }.build().unwrap();
    let pop = |name: &str| routed(&stage, name, "8.8.8.0/24").1.pop;
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..40 {
        let lower = format!("n{number}.img.cdn.test.");
        seen.insert(pop(&lower));
        assert_eq!(pop(&lower), pop(&lower.to_uppercase()), "RFC 4343 §3");
    }
    assert_eq!(seen.len(), 3, "names are spread over all PoPs");
}
