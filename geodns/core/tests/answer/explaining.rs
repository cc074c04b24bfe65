//! What an operator is told of an answer, as text and as JSON.

use geodns_core::{
    answer::explain::{Explanation, Inquiry, explain},
    locate::{Finding, Map},
    wire::kind::RecordType,
};

use super::stage::{Draft, Stage, name, q};

fn told(stage: &Stage, qname: &str, rtype: &str, client: &str) -> Explanation {
    let inquiry = Inquiry {
        name: name(qname),
        rtype: RecordType::parse(rtype.as_bytes()).unwrap(),
        client: client.parse().unwrap(),
        draw: stage.draw,
    };
    let find = |map: &Map| {
        let plan = stage.plans.iter().find(|plan| &*plan.name == map.name()).unwrap();
        Finding::find(plan, stage.snapshot.fleet(), &[], inquiry.client)
            .map_err(|error| error.to_string())
    };
    explain(&stage.served, &inquiry, find)
}

#[test]
fn a_route_is_told_step_by_step() {
    let mut stage = Stage::new();
    stage.down(&["fra"]);
    let told = told(&stage, "alias.cdn.test.", "A", "2002:cb00:7109::1");
    assert_eq!(
        told.to_string(),
        "alias.cdn.test. A for 2002:cb00:7109::1
zone: cdn.test., serial 7
found: a route
location: as 203.0.113.9, in network 203.0.113.0/24, by preference for its network
map default: fra
route default, the client's list:
  kind: fra -> fra
  fence: fra -> fra
  up: fra -> nobody
    fra: down
route default, all PoPs of the map:
  kind: sin fra iad -> sin fra iad
  fence: sin fra iad -> sin fra iad
  up: sin fra iad -> sin iad
    fra: down
  load: sin iad -> sin iad
  nearest: sin iad -> sin
    iad: another one is nearer
  weight: sin -> sin
  first: sin -> sin
chosen by route default: sin; scope /40, TTL 60
answer: NOERROR
  alias.cdn.test. 300 IN CNAME www.cdn.test.
  www.cdn.test. 60 IN A 192.0.2.21"
    );
}

#[test]
fn json_says_the_same() {
    let stage = Stage::new();
    let told = told(&stage, "www.cdn.test.", "HTTPS", "203.0.113.9");
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["zone"]["name"], "cdn.test.");
    assert_eq!(json["found"], "route");
    assert_eq!(json["route"]["pops"], serde_json::json!(["fra"]));
    assert_eq!(json["route"]["location"]["network"], "203.0.113.0/24");
    assert_eq!(json["route"]["phases"][0]["from"], "list");
    assert_eq!(json["route"]["phases"][0]["steps"][0]["filter"], serde_json::Value::Null);
    assert_eq!(json["route"]["phases"][0]["steps"][2]["filter"], "up");
    assert_eq!(
        json["answer"],
        serde_json::json!([
            "www.cdn.test. 60 IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"
        ])
    );
}

#[test]
fn what_no_route_answers_is_told_too() {
    let stage = Stage::new();
    let rows = [
        (
            "mail.cdn.test.",
            "A",
            "found: records of the zone\nanswer: NOERROR\n  mail.cdn.test. 300 IN A 192.0.2.54",
        ),
        (
            "nope.cdn.test.",
            "A",
            "found: no such name\nanswer: NXDOMAIN\n  cdn.test. 60 IN SOA ns.cdn.test. hostmaster.cdn.test. 7 7200 3600 1209600 3600",
        ),
        (
            "txt.cdn.test.",
            "TXT",
            "found: records of the zone\nanswer: NOERROR\n  txt.cdn.test. 300 IN TXT \"hello\"",
        ),
        (
            "www.example.",
            "A",
            "zone: none of ours\nfound: nothing: the name is in no zone of ours\nanswer: REFUSED",
        ),
    ];
    for (qname, rtype, expected) in rows {
        let text = told(&stage, qname, rtype, "192.0.2.200").to_string();
        assert!(text.contains(expected), "{qname}: {text}");
    }
}

#[test]
fn a_kind_of_address_that_only_a_fallback_has_is_told() {
    let settings = "
[[geodns.map]]
name = 'own'
pops = ['iad']
[[geodns.map]]
name = 'all'
[[geodns.route]]
names = ['www']
map = 'own'
fallback = 'all'
[[geodns.route]]
name = 'all'
map = 'all'
[[pop]]
name = 'iad'
addresses = ['192.0.2.11']
[[pop]]
name = 'fra'
addresses = ['192.0.2.1', '2001:db8::1']
";
    let mut stage = Draft { settings, sites: Vec::new(), ..Draft::default() }.build().unwrap();
    for down in [&[][..], &["iad"]] {
        stage.down(down);
        for qname in ["www.cdn.test.", "alias.cdn.test."] {
            let text = told(&stage, qname, "AAAA", "192.0.2.200").to_string();
            assert!(
                text.contains("\nfound: a route, but no PoP of its own map has such"),
                "{text}"
            );
            assert!(text.contains("answer: NOERROR"), "{text}");
        }
        let address = if down.is_empty() { "IN A 192.0.2.11" } else { "IN A 192.0.2.1" };
        let text = told(&stage, "www.cdn.test.", "A", "192.0.2.200").to_string();
        assert!(text.ends_with(address), "{text}");
    }
    for (qname, rtype) in [("www.cdn.test.", "TXT"), ("mail.cdn.test.", "AAAA")] {
        let text = told(&stage, qname, rtype, "192.0.2.200").to_string();
        assert!(text.contains("found: the name, but no such records"), "{text}");
    }
}

#[test]
fn what_is_told_is_what_is_answered() {
    let mut stage = Stage::new();
    for down in [&[][..], &["fra"], &["fra", "sin"], &["fra", "sin", "iad"]] {
        stage.down(down);
        for (client, rtype) in ["203.0.113.9", "198.51.100.3", "8.8.8.8", "2001:db8:1::7"]
            .iter()
            .flat_map(|client| ["A", "AAAA"].map(|rtype| (client, rtype)))
        {
            let told = told(&stage, "www.cdn.test.", rtype, client);
            let bits = if client.contains(':') { 128 } else { 32 };
            let query = q("www.cdn.test.", rtype).ecs(&format!("{client}/{bits}"));
            let lines = stage.ask(&query);
            let answered: Vec<String> = lines[1..lines.len() - 1]
                .iter()
                .map(|line| {
                    line.replace("an ", "").replacen(
                        &format!(" {rtype} "),
                        &format!(" IN {rtype} "),
                        1,
                    )
                })
                .collect();
            assert_eq!(told.answer, answered, "{down:?} {client}");
            let scope = lines.last().unwrap().rsplit_once('/').unwrap().1;
            assert_eq!(told.route.unwrap().scope.to_string(), scope, "{down:?} {client}");
        }
    }
}

#[test]
fn a_broken_source_is_told_and_the_rest_stands() {
    let stage = Stage::new();
    let inquiry = Inquiry {
        name: name("www.cdn.test."),
        rtype: RecordType::A,
        client: "203.0.113.9".parse().unwrap(),
        draw: 0,
    };
    let told = explain(&stage.served, &inquiry, |_| Err("the database is gone".to_owned()));
    assert!(told.to_string().contains("location: unknown, the database is gone\n"), "{told}");
    assert_eq!(told.answer.len(), 2);
}
