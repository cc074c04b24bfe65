//! Health from the first probe to the standings that routes read.
#![expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use super::{operator::Order, *};
use crate::{
    fleet::{FleetView, Load, PopView},
    moment::Moment,
    settings::{CheckKind, CheckSettings, HealthSettings, StateWord},
    standing::{PerMille, Standing, Wanted},
};

fn check(rise: u32, fall: u32) -> CheckSettings {
    CheckSettings { rise, fall, ..CheckSettings::new(CheckKind::Tcp, 80) }
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// Two PoPs: `a` with two IPv4 addresses and one IPv6, `b` with one IPv4.
fn fleet() -> FleetView {
    let pop = |name: &str, addresses: &[&str]| {
        let mut pop = PopView::new(name);
        for address in addresses {
            match address.parse().unwrap() {
                IpAddr::V4(four) => pop.v4.push(four),
                IpAddr::V6(six) => pop.v6.push(six),
            }
        }
        pop
    };
    let a = pop("a", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    FleetView { revision: 0, pops: vec![a, pop("b", &["192.0.2.9"])] }
}

struct Probed {
    fleet: FleetView,
    table: HealthTable,
    settings: HealthSettings,
    now: u64,
}

impl Probed {
    fn new(checks: &[CheckSettings]) -> Self {
        let fleet = fleet();
        let table = HealthTable::new(&fleet, checks, at(0));
        Self { fleet, table, settings: HealthSettings::default(), now: 1 }
    }

    /// Probes an address on a check's port.
    fn probe(&mut self, address: &str, check: usize, passed: bool) -> Option<Change> {
        let address: IpAddr = address.parse().unwrap();
        let is_it = |target: &Target| target.address == address && target.check == check;
        let index = self.table.targets().iter().position(is_it).unwrap();
        self.table.take(index, passed, at(self.now))
    }

    fn all_pass(&mut self) {
        for index in 0..self.table.targets().len() {
            self.table.take(index, true, at(self.now));
        }
    }

    fn standing(&self, pop: usize) -> Standing {
        self.table.standings(&self.fleet, &self.settings, at(self.now)).pops()[pop].clone()
    }
}

#[test]
fn an_address_is_up_when_all_its_checks_are_and_a_pop_when_enough_addresses_are() {
    let mut probed = Probed::new(&[check(1, 1), CheckSettings::new(CheckKind::Https, 443)]);
    assert_eq!(probed.table.targets().len(), 8);
    assert!(!probed.table.is_ready());
    probed.all_pass();
    assert!(probed.table.is_ready());
    let a = probed.standing(0);
    assert_eq!((a.v4.up.len(), a.v4.enough, a.v6.enough), (2, true, true));
    let change = probed.probe("192.0.2.1", 0, false).unwrap();
    assert_eq!(
        (change.state, change.target.address.to_string().as_str()),
        (StateWord::Down, "192.0.2.1")
    );
    let a = probed.standing(0);
    assert_eq!(a.v4.up, ["192.0.2.2".parse::<std::net::Ipv4Addr>().unwrap()]);
    assert!(a.is_up(Wanted::V4) && a.is_up(Wanted::V6));
    probed.settings.addresses_min = 2;
    let a = probed.standing(0);
    assert!(!a.is_up(Wanted::V4), "one of two is not enough");
    assert!(a.is_up(Wanted::V6), "never more than it has");
    assert!(a.is_up(Wanted::Https));
    let b = probed.standing(1);
    assert!(b.is_up(Wanted::V4) && !b.is_up(Wanted::V6) && !b.offers(Wanted::V6));
}

#[test]
fn without_checks_every_address_is_up() {
    let probed = Probed::new(&[]);
    assert!(probed.table.is_ready());
    let a = probed.standing(0);
    assert!(a.v4.enough && a.v6.enough && !a.in_doubt);
}

#[test]
fn orders_go_before_probes_and_before_the_fleet() {
    let mut probed = Probed::new(&[check(1, 1)]);
    probed.all_pass();
    probed.table.order("a", Order::Force(StateWord::Down), Some(at(100)));
    probed.table.order("b", Order::Drain, None);
    assert_eq!(probed.table.next_end(at(1)), Some(at(100)));
    assert!(!probed.standing(0).v4.enough && probed.standing(1).drained);
    probed.now = 100;
    assert!(probed.standing(0).v4.enough, "over");
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        probed.probe(address, 0, false);
    }
    assert!(!probed.standing(0).v4.enough);
    probed.table.order("a", Order::Force(StateWord::Up), None);
    assert_eq!(probed.standing(0).v4.up.len(), 2);
    probed.fleet.pops[1].drained = true;
    probed.table.order("b", Order::Undrain, None);
    assert!(!probed.standing(1).drained);
}

#[test]
fn a_pop_in_doubt_shortens_the_ttl() {
    let mut probed = Probed::new(&[check(4, 6)]);
    probed.settings.ttl_min = Duration::from_secs(7);
    assert!(probed.standing(0).in_doubt, "no result yet");
    assert_eq!(probed.standing(0).ttl_max, 7, "the first result comes after 5 s");
    probed.all_pass();
    assert_eq!((probed.standing(0).in_doubt, probed.standing(0).ttl_max), (false, 60));
    // Six failures are needed at five seconds each.
    let expected = [25, 20, 15, 10, 7];
    for ttl in expected {
        probed.probe("192.0.2.1", 0, false);
        assert_eq!((probed.standing(0).in_doubt, probed.standing(0).ttl_max), (true, ttl));
    }
    probed.probe("192.0.2.1", 0, false);
    assert_eq!(probed.standing(0).ttl_max, 60, "down, without a doubt");
    assert_eq!(probed.standing(1).ttl_max, 60, "another PoP's doubts are its own");
    probed.table.order("b", Order::Drain, Some(at(31)));
    assert_eq!(probed.standing(1).ttl_max, 30, "an order that ends is a change known ahead");
    probed.settings.ttl_max = Duration::from_secs(3);
    assert_eq!(probed.standing(1).ttl_max, 3, "never longer than the setting");
}

#[test]
fn a_pop_is_back_for_as_long_as_its_first_address() {
    let mut probed = Probed::new(&[check(1, 1)]);
    probed.settings.ramp_up = Duration::from_secs(10);
    probed.all_pass();
    for address in ["192.0.2.1", "192.0.2.2"] {
        probed.probe(address, 0, false);
    }
    probed.now = 10;
    probed.probe("192.0.2.1", 0, true);
    probed.now = 14;
    probed.probe("192.0.2.2", 0, true);
    let a = probed.standing(0);
    assert_eq!((a.ramp(Wanted::V4), a.ramp(Wanted::V6)), (PerMille(400), PerMille::ALL));
    assert_eq!(a.ramp(Wanted::Https), PerMille::ALL);
}

#[test]
fn a_report_of_load_counts_while_it_is_fresh() {
    let rows = [
        ("as nodes say", None, 85, 50, Some(850)),
        ("of a capacity", Some(40_u64), 10, 50, Some(250)),
        ("more than full", Some(10), 1_000, 50, Some(u16::MAX)),
        ("no capacity at all", Some(0), 1, 50, Some(1000)),
        ("as old as is allowed", None, 85, 40, Some(850)),
        ("too old", None, 85, 39, None),
        ("of a capacity, too old", Some(40), 10, 39, None),
    ];
    for (name, capacity, connections, reported, expected) in rows {
        let mut probed = Probed::new(&[]);
        probed.now = 100;
        probed.fleet.pops[0].capacity = capacity;
        let share = Some(PerMille(850));
        let load = Load { connections, share, at: at(reported) };
        probed.table.hear(HashMap::from([(Arc::clone(&probed.fleet.pops[0].name), load)]));
        assert_eq!(probed.standing(0).load, expected.map(PerMille), "{name}");
        assert_eq!(probed.standing(1).load, None, "silence is no load");
        probed.table = probed.table.renewed(&probed.fleet, &[], at(100));
        assert_eq!(probed.standing(0).load, expected.map(PerMille), "{name}, over a reload");
        probed.table.hear(HashMap::new());
        assert_eq!(probed.standing(0).load, None, "taken back");
    }
    // An older node says nothing of how full it is.
    let mut probed = Probed::new(&[]);
    let load = Load { connections: 9, share: None, at: at(0) };
    probed.table.hear(HashMap::from([(Arc::clone(&probed.fleet.pops[0].name), load)]));
    assert_eq!(probed.standing(0).load, None);
}

#[test]
fn a_reload_is_no_restart() {
    let mut probed = Probed::new(&[check(1, 1), check(2, 2)]);
    probed.all_pass();
    probed.probe("192.0.2.9", 0, false);
    probed.table.order("b", Order::Drain, None);
    let mut fleet = probed.fleet.clone();
    fleet.pops.insert(0, PopView::new("new"));
    fleet.pops[0].v4.push("192.0.2.77".parse().unwrap());
    let renewed = probed.table.renewed(&fleet, &[check(2, 2), check(1, 1)], at(9));
    let known = |address: &str, check: usize| {
        let address: IpAddr = address.parse().unwrap();
        let targets = renewed.targets().iter();
        let index = targets.clone().position(|one| one.address == address && one.check == check);
        let machine = renewed.machine(index.unwrap()).unwrap();
        (machine.state(), machine.has_result())
    };
    assert_eq!(known("192.0.2.9", 1), (StateWord::Down, true), "the same check at another place");
    assert_eq!(known("192.0.2.9", 0), (StateWord::Up, true));
    assert_eq!(known("192.0.2.77", 0), (StateWord::Up, false), "a new address");
    assert_eq!(renewed.orders("b").drained(at(9)), Some(true));
    let changed = renewed.renewed(&fleet, &[check(3, 3)], at(9));
    let gone = changed.renewed(&FleetView::default(), &[], at(9));
    assert_eq!((gone.targets().len(), gone.orders("b")), (0, Default::default()));
}

#[test]
fn what_is_dead_stays_dead_whatever_changes_in_its_checks() {
    let http = |path: &str| CheckSettings {
        path: path.to_owned(),
        ..CheckSettings::new(CheckKind::Http, 80)
    };
    let before = [check(1, 1), http("/a")];
    let quick = CheckSettings { interval: Duration::from_secs(1), ..http("/a") };
    let says = |status| CheckSettings { status: vec![status], ..http("/a") };
    let pessimist = CheckSettings { before: StateWord::Down, ..http("/b") };
    let (kept, begun) = (true, false);
    // Of each check after the change: whether it knows results already.
    let rows: [(&str, Vec<CheckSettings>, Vec<bool>); 9] = [
        ("nothing changed", before.to_vec(), vec![kept, kept]),
        ("another interval", vec![check(1, 1), quick.clone()], vec![kept, kept]),
        ("another rise and fall", vec![check(3, 4), http("/a")], vec![kept, kept]),
        ("another status", vec![check(1, 1), says(204)], vec![kept, kept]),
        ("another path", vec![check(1, 1), http("/b")], vec![kept, begun]),
        ("one more", vec![check(1, 1), http("/b"), http("/a")], vec![kept, begun, kept]),
        ("a pessimist", vec![pessimist], vec![begun]),
        ("another kind alone", vec![CheckSettings::new(CheckKind::Https, 80)], vec![begun]),
        ("two that ask the same", vec![quick, says(204)], vec![kept, begun]),
    ];
    for (name, checks, known) in rows {
        let mut probed = Probed::new(&before);
        probed.all_pass();
        for second in 1..=3 {
            probed.now = second;
            probed.probe("192.0.2.9", 1, false);
        }
        probed.table = probed.table.renewed(&probed.fleet, &checks, at(9));
        assert!(!probed.standing(1).v4.enough, "{name}");
        assert!(probed.standing(0).v4.enough && probed.standing(0).v6.enough, "{name}");
        let next = probed.table.renewed(&probed.fleet, &[http("/next")], at(9));
        let standings = next.standings(&probed.fleet, &probed.settings, at(9));
        assert!(!standings.pops()[1].v4.enough, "and again before any probe: {name}");
        let of_dead = probed.table.targets().iter().enumerate();
        let of_dead = of_dead.filter(|(_, target)| target.pop.index() == 1);
        let has_result = |(index, _)| probed.table.machine(index).unwrap().has_result();
        assert_eq!(of_dead.map(has_result).collect::<Vec<_>>(), known, "{name}");
        // What lives is back as soon as probes say so.
        for _ in 0..4 {
            for check in 0..checks.len() {
                probed.probe("192.0.2.9", check, true);
            }
        }
        assert!(probed.standing(1).v4.enough, "{name}");
    }
    let fewer = CheckSettings { fall: 2, ..check(1, 4) };
    let mut probed = Probed::new(&[check(1, 4)]);
    probed.all_pass();
    for _ in 0..3 {
        assert!(probed.probe("192.0.2.9", 0, false).is_none());
    }
    probed.table = probed.table.renewed(&probed.fleet, std::slice::from_ref(&fewer), at(9));
    let index = probed.table.targets().iter().position(|one| one.pop.index() == 1).unwrap();
    probed.table.machine(index).unwrap().check_invariants(&fewer);
    assert!(probed.probe("192.0.2.9", 0, false).is_some(), "as many failures as are needed now");
}

#[test]
fn a_check_that_is_worded_anew_neither_revives_nor_kills_at_once() {
    let http = |path: &str| CheckSettings {
        path: path.to_owned(),
        rise: 2,
        fall: 2,
        ..CheckSettings::new(CheckKind::Http, 80)
    };
    let mut probed = Probed::new(&[http("/a")]);
    probed.settings.ramp_up = Duration::from_secs(100);
    probed.all_pass();
    for _ in 0..2 {
        probed.probe("192.0.2.9", 0, false);
    }
    probed.now = 9;
    probed.table = probed.table.renewed(&probed.fleet, &[http("/b")], at(9));
    assert!(!probed.table.is_ready(), "readiness waits for its first result");
    assert!(probed.probe("192.0.2.9", 0, true).is_none(), "one pass of two");
    assert!(!probed.standing(1).v4.enough && probed.standing(1).in_doubt);
    assert!(probed.probe("192.0.2.9", 0, true).is_some());
    assert_eq!(
        probed.standing(1).ramp(Wanted::V4),
        PerMille(1),
        "it comes back and does not begin"
    );
    assert!(probed.probe("192.0.2.1", 0, false).is_none(), "one failure of two");
    assert!(probed.probe("192.0.2.1", 0, false).is_some());
    probed.now = 59;
    probed.table = probed.table.renewed(&probed.fleet, &[http("/c"), check(1, 1)], at(59));
    assert_eq!(probed.standing(1).ramp(Wanted::V4), PerMille(500), "on its way as before");
    // What was counted stays, whoever counted it, until the address is gone.
    let changes = |table: &HealthTable, address: &str| table.changes(address.parse().unwrap());
    assert_eq!(changes(&probed.table, "192.0.2.9"), 2);
    let none = probed.table.renewed(&probed.fleet, &[], at(60));
    assert_eq!((changes(&none, "192.0.2.9"), changes(&none, "192.0.2.1")), (2, 1));
    let gone = none.renewed(&FleetView::default(), &[], at(61));
    assert_eq!(changes(&gone, "192.0.2.9"), 0);
}

#[test]
fn what_answers_report_is_the_mean_of_those_that_are_up_while_it_is_recent() {
    let pop = PopView {
        v4: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
        capacity: Some(10),
        ..PopView::new("a")
    };
    let fleet = FleetView { revision: 0, pops: vec![pop] };
    let checks = [check(1, 1)];
    let settings = HealthSettings::default();
    let mut table = HealthTable::new(&fleet, &checks, at(0));
    let load =
        |table: &HealthTable, now| table.standings(&fleet, &settings, at(now)).pops()[0].load;
    let told = Load { connections: 9, share: None, at: at(0) };
    table.hear(HashMap::from([("a".into(), told)]));
    assert_eq!(load(&table, 1), Some(PerMille(900)), "the fleet's word");
    table.report(0, PerMille(200), at(10));
    assert_eq!(load(&table, 10), Some(PerMille(200)), "one of them");
    table.report(1, PerMille(501), at(20));
    table.report(7, PerMille(501), at(20));
    assert_eq!(load(&table, 20), Some(PerMille(350)), "both");
    let renewed = table.renewed(&fleet, &checks, at(20));
    assert_eq!(load(&renewed, 20), Some(PerMille(350)), "over a reload");
    table.take(0, false, at(21));
    assert_eq!(load(&table, 21), Some(PerMille(501)), "who is down has no clients");
    assert_eq!(load(&table, 80), Some(PerMille(501)));
    assert_eq!(load(&table, 81), None, "too old");
}

#[test]
fn an_address_that_is_out_is_as_if_it_were_not_there() {
    let mut probed = Probed::new(&[check(1, 1)]);
    probed.all_pass();
    let out = |probed: &mut Probed, addresses: &[&str]| {
        probed.fleet.pops[0].out = addresses.iter().map(|one| one.parse().unwrap()).collect();
    };
    let told = |pop: &Standing| {
        let up: Vec<String> = pop.v4.up.iter().map(ToString::to_string).collect();
        (up.join(" "), pop.is_up(Wanted::V4), pop.is_drained(Wanted::V4))
    };
    let row = |up: &str, is_up, is_drained| (up.to_owned(), is_up, is_drained);
    out(&mut probed, &["192.0.2.1"]);
    assert_eq!(told(&probed.standing(0)), row("192.0.2.2", true, false));
    probed.settings.addresses_min = 2;
    assert_eq!(told(&probed.standing(0)), row("192.0.2.2", true, false), "one of one is enough");
    probed.settings.addresses_min = 1;
    // The other is down: what is out is better than what is dead, and worse than other PoPs.
    probed.probe("192.0.2.2", 0, false);
    assert_eq!(told(&probed.standing(0)), row("192.0.2.1", true, true));
    assert!(!probed.standing(0).drained, "not as a whole");
    probed.probe("192.0.2.1", 0, false);
    let dead = probed.standing(0);
    assert_eq!(told(&dead), row("", false, false));
    assert_eq!(dead.v4.to_answer(), ["192.0.2.2".parse::<std::net::Ipv4Addr>().unwrap()]);
}

#[test]
fn a_pop_whose_addresses_are_all_out_is_drained() {
    let mut probed = Probed::new(&[check(1, 1)]);
    probed.all_pass();
    probed.fleet.pops[0].out = probed.fleet.pops[0].addresses().collect();
    let whole = probed.standing(0);
    assert!(whole.drained && whole.is_up(Wanted::V4) && whole.is_up(Wanted::V6));
    assert_eq!((whole.v4.up.len(), whole.v4.all.len()), (2, 2), "whom nobody else serves it does");
    probed.table.order("a", Order::Undrain, None);
    assert!(probed.standing(0).drained, "an order for the PoP takes no node back in");
    // One family of it alone.
    probed.fleet.pops[0].out = ["2001:db8::1".parse().unwrap()].into();
    let half = probed.standing(0);
    let drained = [Wanted::V4, Wanted::V6, Wanted::Https].map(|wanted| half.is_drained(wanted));
    assert_eq!((half.drained, drained), (false, [false, true, false]));
    // The HTTPS record leads to the family that is left, if that is up.
    probed.probe("192.0.2.1", 0, false);
    probed.probe("192.0.2.2", 0, false);
    let half = probed.standing(0);
    assert!(half.is_up(Wanted::Https) && half.is_drained(Wanted::Https));
}
