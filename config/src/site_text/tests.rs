//! Sites by themselves, and beside others.

use serde_json::json;

use super::*;
use crate::parse;

const SHOP: &str = "[[site]]\nname = \"shop\"\nhosts = [\"shop.example\"]\n\
                    origin = { servers = [\"https://origin.example\"] } # theirs\n";

fn node(more: &str) -> NodeConfig {
    let text = format!("edge.listen = [\"127.0.0.1:80\"]\n{more}");
    parse(&text, "node").unwrap_or_else(|report| panic!("{report}"))
}

/// A node that answers under a zone.
fn geo_node() -> NodeConfig {
    node(
        "geodns.listen = [\"127.0.0.1:53\"]\n\
         geodns.zone = [{ name = \"cdn.Test\", servers = [\"ns.example\"] }]\n\
         geodns.route = [{ name = \"s\", sites = true, map = \"m\" }, \
                         { name = \"o\", names = [\"other\"], map = \"m\" }]\n\
         geodns.map = [{ name = \"m\" }]\n\
         pop = [{ name = \"a\", addresses = [\"192.0.2.1\"] }]\n",
    )
}

fn told(beside: &Beside, text: &str) -> String {
    beside.check(text, "sent").unwrap_err().to_string()
}

#[test]
fn a_site_is_checked_as_one_of_a_file_with_the_same_words() {
    let beside = Beside::of(&node(""));
    assert_eq!(beside.check(SHOP, "sent").unwrap().hosts, ["shop.example"]);
    let bodies = [
        SHOP.replace("hosts", "host"),
        SHOP.replace("https://origin.example", "http://127.0.0.1:3000"),
        SHOP.replace("https://origin.example", "ftp://x"),
        format!("{SHOP}[[site.rule]]\npath = \"*\"\n[[site.rule]]\npath = \"/a\"\n"),
        SHOP.replace("[\"shop.example\"]", "[\"a.example\", \"A.example.\"]"),
        format!("{SHOP}name = \"again\"\n"),
        SHOP.replace("\"shop\"", "shop"),
        "[[site]]\n".to_owned(),
    ];
    for body in bodies {
        let of_file = format!("{body}[edge]\nlisten = [\"127.0.0.1:80\"]\n");
        let of_file = parse(&of_file, "sent").unwrap_err().to_string();
        assert_eq!(told(&beside, &body), of_file);
    }
}

#[test]
fn nothing_but_one_site_is_sent() {
    let beside = Beside::default();
    assert!(told(&beside, "").contains("site: missing"));
    let two = format!("{SHOP}{}", SHOP.replace("shop", "blog"));
    assert!(
        told(&beside, &two).contains("sent:5:1 site[1]: a second site"),
        "{}",
        told(&beside, &two)
    );
    let edge = format!("{SHOP}[edge]\nlisten = []\n");
    assert!(told(&beside, &edge).contains("edge: unknown key; allowed: site"));
}

#[test]
fn a_site_of_the_ledger_names_no_file() {
    let beside = Beside::default();
    for file in ["ca", "certificate", "key"] {
        let text = SHOP.replace("] } # theirs", &format!("], {file} = \"/etc/passwd\" }}"));
        assert!(told(&beside, &text).contains("names a file"), "{}", told(&beside, &text));
    }
    let bucket = "], bucket = { region = \"r\", credentials = \"/etc/passwd\" } }";
    assert!(told(&beside, &SHOP.replace("] } # theirs", bucket)).contains("names a file"));
}

#[test]
fn json_is_the_same_site_and_its_problems_have_no_lines() {
    let beside = Beside::default();
    let site = json!({
        "rule": [{ "path": "/img/*", "default_ttl": "1 day" }],
        "name": "shop",
        "origin": { "servers": [{ "url": "https://origin.example", "weight": 2 }, "https://b.example"] },
        "hosts": ["shop.example"],
    });
    let (text, settings) = beside.check_json(&site, "sent").unwrap();
    assert_eq!((settings.name.as_str(), settings.rules.len()), ("shop", 1));
    assert_eq!(beside.check(&text, "sent").unwrap().origin, settings.origin);
    for (wrong, told) in [
        (json!([]), "sent: not an object"),
        (json!({ "name": null }), "not TOML's"),
        (
            json!({ "name": "shop", "hosts": [7], "origin": { "servers": ["https://a"] } }),
            "sent: site[0].hosts[0] = 7",
        ),
    ] {
        let report = beside.check_json(&wrong, "sent").unwrap_err().to_string();
        assert!(report.contains(told), "{report}");
    }
}

#[test]
fn a_site_answers_under_the_zone_unless_its_name_is_something_else_there() {
    let beside = Beside::of(&geo_node());
    assert_eq!(beside.check(SHOP, "sent").unwrap().hosts, ["shop.example", "shop.cdn.test"]);
    assert_eq!(beside.host_of("shop").unwrap(), "shop.cdn.test");
    let other = told(&beside, &SHOP.replace("\"shop\"", "\"other\""));
    assert!(other.contains("site[0].name = \"other\": its name other.cdn.test. is"), "{other}");
    // Said by itself it stays one host.
    let own = SHOP.replace("shop.example", "Shop.cdn.test.");
    assert_eq!(beside.check(&own, "sent").unwrap().hosts.len(), 1);
}

fn sent<'s>(name: &'s str, id: &'s str, text: &'s str) -> Sent<'s> {
    Sent { name, id, text }
}

#[test]
fn the_ledgers_sites_join_those_of_the_file_which_come_first() {
    let of_file = SHOP.replace("\"shop\"", "\"blog\"").replace("shop.example", "blog.example");
    let mut config = node(&of_file);
    let blog = SHOP.replace("\"shop\"", "\"blog\"");
    let host = SHOP.replace("\"shop\"", "\"taker\"").replace("shop.example", "BLOG.example.");
    let all =
        [sent("blog", "5d-1", &blog), sent("shop", "5d-2", SHOP), sent("taker", "5d-3", &host)];
    let left_out = config.join(&all, &[]);
    let names: Vec<(&str, &str)> =
        config.sites.iter().map(|site| (site.name.as_str(), site.id.as_str())).collect();
    assert_eq!(names, [("blog", ""), ("shop", "5d-2")]);
    let told: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("\"blog\" of the ledger: another site has this name"), "{told:?}");
    assert!(told[1].contains("host \"BLOG.example.\" is site \"blog\"'s"), "{told:?}");
    assert!(told[1].ends_with("this node does not serve it"), "{told:?}");
}

#[test]
fn a_site_that_is_not_sound_here_stays_as_it_was() {
    let mut config = node("");
    assert!(config.join(&[sent("shop", "5d-1", SHOP)], &[]).is_empty());
    let in_force = config.sites;
    let newer = SHOP.replace("hosts", "hostnames");
    let mut config = node("");
    let left_out = config.join(&[sent("shop", "5d-1", &newer)], &in_force);
    assert_eq!(config.sites.len(), 1);
    assert!(left_out[0].stays && left_out[0].reason.contains("unknown key"), "{left_out:?}");
    // Of another site that had its name nothing stays.
    let mut config = node("");
    let left_out = config.join(&[sent("shop", "5d-9", &newer)], &in_force);
    assert!(config.sites.is_empty() && !left_out[0].stays);
}
