//! Sites by themselves, and beside others.

use std::sync::Arc;

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
fn an_origin_of_a_site_of_the_ledger_is_public_or_has_a_permission_of_its_own() {
    let private = SHOP.replace("https://origin.example", "http://10.1.2.3");
    let beside = Beside::of(&node("edge.origin_networks_allowed = [\"10.0.0.0/8\"]\n"));
    let told = told(&beside, &private);
    assert!(told.contains("an address that is not public"), "{told}");
    assert!(told.contains("set ledger_origins = [\"10.0.0.0/8\"] in [edge]"), "{told}");
    let beside = Beside::of(&node("edge.ledger_origins = [\"10.1.0.0/16\"]\n"));
    beside.check(&private, "sent").unwrap();
    // The file's own sites need none there.
    node(&private);
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

fn arc(text: &str) -> Arc<str> {
    Arc::from(text)
}

/// Sites with `NAME ID HOST` each, joined to a node that serves `in_force`.
fn joined(
    mut config: NodeConfig,
    sites: &[(&str, &str, Arc<str>)],
    in_force: &[SiteSettings],
) -> (NodeConfig, Vec<LeftOut>) {
    let sent = sites.iter().map(|(name, id, text)| Sent { name, id, text });
    let left_out = config.join(&sent.collect::<Vec<_>>(), in_force, &mut Checks::default());
    (config, left_out)
}

fn named(name: &str, host: &str) -> Arc<str> {
    let text = SHOP.replace("\"shop\"", &format!("\"{name}\""));
    arc(&text.replace("shop.example", host))
}

fn names(config: &NodeConfig) -> Vec<(&str, &str)> {
    config.sites.iter().map(|site| (site.name.as_str(), site.id.as_str())).collect()
}

#[test]
fn the_ledgers_sites_join_those_of_the_file_which_come_first() {
    let of_file = named("blog", "blog.example");
    let all = [
        ("blog", "5d-1", named("blog", "shop.example")),
        ("shop", "5d-2", arc(SHOP)),
        ("taker", "5d-3", named("taker", "BLOG.example.")),
    ];
    let (config, left_out) = joined(node(&of_file), &all, &[]);
    assert_eq!(names(&config), [("blog", ""), ("shop", "5d-2")]);
    let told: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("\"blog\" of the ledger: another site has this name"), "{told:?}");
    assert!(told[1].contains("host \"BLOG.example.\" is site \"blog\"'s"), "{told:?}");
    assert!(told[1].ends_with("this node does not serve it"), "{told:?}");
}

#[test]
fn a_site_that_is_not_sound_here_stays_as_it_was() {
    let (before, left_out) = joined(node(""), &[("shop", "5d-1", arc(SHOP))], &[]);
    assert!(left_out.is_empty());
    let newer = arc(&SHOP.replace("hosts", "hostnames"));
    let (config, left_out) =
        joined(node(""), &[("shop", "5d-1", Arc::clone(&newer))], &before.sites);
    assert_eq!(config.sites.len(), 1);
    assert!(left_out[0].stays && left_out[0].reason.contains("unknown key"), "{left_out:?}");
    // Of another site that had its name nothing stays.
    let (config, left_out) = joined(node(""), &[("shop", "5d-9", newer)], &before.sites);
    assert!(config.sites.is_empty() && !left_out[0].stays);
}

#[test]
fn who_is_established_stays_whatever_a_newer_site_is_called() {
    // Under a zone `shop` answers for shop.cdn.test as well, which a node without one cannot know.
    let shop = ("shop", "5d-9", arc(SHOP));
    let taker = ("aaa", "5d-10", named("aaa", "shop.CDN.test"));
    // At a start the one that was made first; its number is no text.
    let both = [taker.clone(), shop.clone()];
    let (config, left_out) = joined(geo_node(), &both, &[]);
    assert_eq!(names(&config), [("shop", "5d-9")]);
    assert!(left_out[0].to_string().contains("\"aaa\""), "{left_out:?}");
    // Then the one in force, whichever was made first.
    let (before, _) = joined(geo_node(), &[("shop", "5d-11", arc(SHOP))], &[]);
    let both = [taker, ("shop", "5d-11", arc(SHOP))];
    let (config, _) = joined(geo_node(), &both, &before.sites);
    assert_eq!(names(&config), [("shop", "5d-11")]);
    // Nor may an older one come by it that was in force with another host.
    let older = ("aaa", "5d-1", named("aaa", "aaa.example"));
    let (before, _) = joined(geo_node(), &[older, shop.clone()], &[]);
    let wants = [("aaa", "5d-1", named("aaa", "shop.cdn.test")), shop];
    let (config, left_out) = joined(geo_node(), &wants, &before.sites);
    assert!(left_out.len() == 1 && left_out[0].stays, "{left_out:?}");
    assert_eq!(config.sites[0].hosts, ["aaa.example", "aaa.cdn.test"]);
    assert_eq!(names(&config), [("aaa", "5d-1"), ("shop", "5d-9")]);
    // What a site gives up another may have at once.
    let both =
        [("aaa", "5d-1", named("aaa", "old.example")), ("b", "5d-2", named("b", "b.example"))];
    let (before, _) = joined(node(""), &both, &[]);
    let both =
        [("aaa", "5d-1", named("aaa", "new.example")), ("b", "5d-2", named("b", "old.example"))];
    assert!(joined(node(""), &both, &before.sites).1.is_empty());
}

#[test]
fn a_text_is_checked_once_beside_the_same() {
    let mut checks = Checks::default();
    let text = arc(SHOP);
    let join = |checks: &mut Checks, mut config: NodeConfig, text: &Arc<str>| {
        let left_out = config.join(&[Sent { name: "shop", id: "5d-1", text }], &[], checks);
        (config.sites.len(), left_out.len())
    };
    assert_eq!(join(&mut checks, node(""), &text), (1, 0));
    // What was found is what counts.
    checks.known.get_mut("shop").unwrap().result = Err("planted".to_owned());
    assert_eq!(join(&mut checks, node(""), &text), (0, 1));
    let newer = named("shop", "new.example");
    assert_eq!(join(&mut checks, node(""), &newer), (1, 0));
    checks.known.get_mut("shop").unwrap().result = Err("planted".to_owned());
    assert_eq!(join(&mut checks, geo_node(), &newer), (1, 0), "beside something else");
    let left_out = node("").join(&[], &[], &mut checks);
    assert!(left_out.is_empty() && checks.known.is_empty());
}
