//! What is told of a choice, and what names have.

use super::*;

#[test]
fn every_step_is_told_with_its_reasons() {
    let mut world = World::new(&[("(ab)c|abcd", 0)], &[route(&STANDARD)]);
    world.down("a");
    let explained =
        world.routes.explain(RouteId(0), &ASK, &world.standings(), |map| world.located(map));
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
        world.routes.explain(RouteId(0), &ASK, &world.standings(), |map| world.located(map));
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
    let standings = world.standings();
    world.routes.choose(RouteId(0), &ASK, &standings, &mut slate, |map| world.located(map));
    let v4 = |draw, max| {
        let addresses = answer::v4(&slate, &standings, draw, max);
        addresses.map(|address| address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(v4(0, 9), ["192.0.0.2", "192.0.1.1", "192.0.1.2"]);
    assert_eq!(v4(1, 9), ["192.0.0.2", "192.0.1.2", "192.0.1.1"], "turned");
    assert_eq!(v4(0, 2), ["192.0.0.2", "192.0.1.1"], "cut");
    assert_eq!(answer::v6(&slate, &standings, 3, 9).count(), 4);
    let hints = |world: &World, slate: &Slate, max| {
        let standings = world.standings();
        let v4 = answer::v4_hints(slate, &standings, 0, max);
        let v6 = answer::v6_hints(slate, &standings, 0, max);
        let all = v4.map(IpAddr::V4).chain(v6.map(IpAddr::V6));
        all.map(|address| address.to_string()).collect::<Vec<_>>()
    };
    let v6 = ["2001:db8::1", "2001:db8::2"];
    assert_eq!(hints(&world, &slate, 9), [&["192.0.0.2"][..], &v6].concat(), "b: no hints");
    world.pop("b").https.hints = true;
    assert_eq!(hints(&world, &slate, 1), ["192.0.0.2", v6[0]], "no more than addresses");
    world.pop("b").https.hints = false;
    world.pop("a").v4.drained = true;
    assert_eq!(hints(&world, &slate, 9), v6, "IPv4 is drained, and IPv6 is not");
    world.pop("a").v6.drained = true;
    assert_eq!(hints(&world, &slate, 9).len(), 3, "both are");
    (world.pop("a").v4.drained, world.pop("a").v6.drained) = (false, false);
    world.pop("a").v4.enough = false;
    assert_eq!(hints(&world, &slate, 9), v6, "one address is up, and too few for an A record");
    world.down("ab");
    let standings = world.standings();
    world.routes.choose(RouteId(0), &ASK, &standings, &mut slate, |map| world.located(map));
    assert_eq!(answer::v4(&slate, &standings, 0, 9).count(), 4, "assumed up: all of them");
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
