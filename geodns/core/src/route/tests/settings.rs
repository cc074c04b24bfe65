//! What settings are refused.

use super::*;

#[test]
fn every_problem_of_the_routes_is_reported_at_once() {
    let named = |name: &str| RouteSettings { name: name.to_owned(), ..route(&STANDARD) };
    let settings = [
        RouteSettings {
            names: vec!["www".to_owned()],
            sites: true,
            map: "nowhere".to_owned(),
            fallback: Some("gone".to_owned()),
            ..named("a")
        },
        RouteSettings {
            names: vec!["WWW".to_owned()],
            sites: true,
            policy: vec![
                FilterName::Up,
                FilterName::Up,
                FilterName::Weight,
                FilterName::Sticky,
                FilterName::First,
                FilterName::Load,
                FilterName::Priority,
            ],
            load: LoadSettings { low: 90, high: 90, by: LoadBy::Chance },
            fallback: Some("c".to_owned()),
            ..named("b")
        },
        RouteSettings { fallback: Some("b".to_owned()), ..named("c") },
        RouteSettings { fallback: Some("c".to_owned()), ..named("a") },
    ];
    let problems = Routes::build(&settings, &["m0".into(), "m1".into()]).unwrap_err();
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "route[1].names[0]: \"WWW\" belongs to route \"a\" already",
        "route[1].sites: route \"a\" answers for sites already",
        "route[3].name: \"a\" is the name of route[0] as well",
        "route[0].map: \"nowhere\" is not a map (have: m0, m1)",
        "route[0].fallback: \"gone\" is not a route",
        "route[1].policy[1]: it stands there already",
        "route[1].policy[3]: \"weight\" orders PoPs already: choose one of the two",
        "route[1].policy[5]: it must stand before weight",
        "route[1].policy[5]: load.low must be less than load.high",
        "route[1].policy[6]: nothing may follow \"first\"",
        "route[1].fallback: \"b\" leads back to itself",
        "route[2].fallback: \"c\" leads back to itself",
        "route[3].fallback: \"c\" leads back to itself",
    ];
    assert_eq!(printed, expected);
}
