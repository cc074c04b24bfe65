//! What `[geodns]` and `[[pop]]` come to: zones, fleet, maps, routes, secrets, and what their files
//! may be.
//!
//! In: node files beside zone files, certificates and secrets. Out: verdicts.
//! Always: files are made anew for each test; nothing outlives it.
//! Does not know: how a query is answered.
//! Clause: docs/operate.md *The settings file*.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{fs, os::unix::fs::symlink, path::Path};

use geodns_core::{fleet::PopId, route::RouteId, wire::kind::RecordType};
use nearcast_config::{NodeConfig, geodns::GeodnsConfig, load, parse, problem::Report, read};
use nearcast_daemon::files::Print;
use tempfile::TempDir;

fn geodns(config: NodeConfig) -> GeodnsConfig {
    config.geodns.unwrap()
}

/// Node files and what they name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Loads a `[geodns]` that says `more`.
    fn load(&self, more: &str) -> Result<NodeConfig, Report> {
        self.write("node.toml", &format!("[geodns]\nlisten = [\"127.0.0.1:0\"]\n{more}\n"));
        load(&self.path().join("node.toml"))
    }

    /// The problems of such a file, the folder left out.
    fn problems(&self, more: &str) -> String {
        let report = self.load(more).unwrap_err();
        report.to_string().replace(&format!("{}/", self.path().display()), "")
    }
}

const ZONE: &str = "zone = [{ name = \"cdn.example\", file = \"z/cdn.zone\" }]";
const SOA: &str = "$TTL 60\n@ SOA ns hostmaster 7 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n";

#[test]
fn the_example_comes_to_zones_fleet_maps_and_routes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/geodns.toml");
    let config = load(&file).unwrap();
    assert!(config.edge.is_none());
    assert_eq!(config.sites[0].hosts, ["static.shop.example", "shop.cdn.example"]);
    let geodns = geodns(config);
    let names: Vec<&str> = geodns.fleet.pops.iter().map(|pop| &*pop.name).collect();
    assert_eq!((names, geodns.fleet.revision), (vec!["fra", "ams", "sin"], 0));
    let maps: Vec<(&str, usize)> =
        geodns.maps.iter().map(|map| (&*map.name, map.members().len())).collect();
    assert_eq!(maps, [("world", 3), ("union", 2)]);
    let routes: Vec<&str> = geodns.routes.iter().map(|(_, route)| &*route.name).collect();
    assert_eq!(routes, ["web", "downloads"]);
    assert_eq!(geodns.identity.as_deref(), Some("ns-1"));
    assert!(geodns.cookie_secrets.is_none());

    let zone = &geodns.zones[0];
    assert_eq!(zone.apex.to_string(), "cdn.example.");
    assert!(zone.records.iter().any(|record| record.rtype == RecordType::CAA));
    let generated: Vec<String> = zone
        .generated
        .iter()
        .map(|(name, generated)| {
            let types: Vec<String> = generated.types.iter().map(ToString::to_string).collect();
            format!("{name} {} {}", generated.route.index(), types.join(" "))
        })
        .collect();
    assert_eq!(
        generated,
        [
            "cdn.example. 0 A AAAA HTTPS",
            "downloads.cdn.example. 1 A AAAA HTTPS",
            "*.img.cdn.example. 1 A AAAA HTTPS",
            "shop.cdn.example. 0 A AAAA HTTPS",
            "www.cdn.example. 0 A AAAA HTTPS",
        ]
    );
}

#[test]
fn without_a_word_of_them_there_are_one_map_and_one_route_for_sites() {
    let text = "[node]\npop = \"fra\"\naddresses = [\"192.0.2.6\", \"192.0.2.7\"]\n\
                [geodns]\nlisten = [\"127.0.0.1:0\"]\n\
                zone = [{ name = \"CDN.example\", servers = [\"ns1.example.net\", \"ns2.example.net\"] }]\n\
                [[pop]]\nname = \"fra\"\naddresses = [\"192.0.2.7\"]\n\
                [[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigin.servers = [\"https://a.example\"]\n";
    let config = parse(text, "a.toml").unwrap();
    assert_eq!(config.sites[0].hosts, ["*", "shop.cdn.example"]);
    let geodns = geodns(config);
    assert_eq!((geodns.settings.map.len(), geodns.settings.route.len()), (1, 1));
    let fra = geodns.fleet.pop(PopId::new(0).unwrap()).unwrap();
    assert_eq!(fra.v4.len(), 2, "the node's own addresses are those of its PoP: {fra:?}");
    let zone = &geodns.zones[0];
    let types: Vec<RecordType> = zone.records.iter().map(|record| record.rtype).collect();
    assert_eq!(types, [RecordType::SOA, RecordType::NS, RecordType::NS]);
    let (name, shop) = zone.generated.iter().next().unwrap();
    assert_eq!(
        (name.to_string().as_str(), shop.route),
        ("shop.CDN.example.", RouteId::new(0).unwrap())
    );
    assert!(shop.types.contains(&RecordType::A) && shop.types.len() == 1);
}

#[test]
fn a_pop_may_leave_its_addresses_to_what_nodes_say_in_the_ledger() {
    let text = |control: &str| {
        format!(
            "[node]\npop = \"fra\"\naddresses = [\"192.0.2.6\"]\n{control}\
             [admin]\nlisten = \"127.0.0.1:9090\"\n\
             [geodns]\nlisten = [\"127.0.0.1:0\"]\nroute = [{{ names = [\"www\"] }}]\n\
             zone = [{{ name = \"cdn.example\", servers = [\"ns1.example.net\"] }}]\n\
             [[pop]]\nname = \"fra\"\n[[pop]]\nname = \"sin\"\n"
        )
    };
    let own = |control: &str| {
        let config = parse(&text(control), "a.toml").unwrap();
        geodns(config).fleet.pops[0].addresses().count()
    };
    let nats = "[control.nats]\nservers = [\"nats://127.0.0.1:4222\"]\nfolder = \".\"\n";
    assert_eq!(own(nats), 0, "it says so to all in the ledger, itself included");
    assert_eq!(own("[control]\nembedded = \"ledger.redb\"\n"), 1, "nobody else is in that");
    assert_eq!(own(""), 1);
    let none = |control: &str| text(control).replace("addresses = [\"192.0.2.6\"]\n", "");
    parse(&none(nats), "a.toml").unwrap();
    parse(&none(""), "a.toml").unwrap_err();
}

#[test]
fn routes_may_leave_sites_out() {
    let text = "[geodns]\nlisten = [\"127.0.0.1:0\"]\nroute = [{ names = [\"www\"] }]\n\
                zone = [{ name = \"cdn.example\", servers = [\"ns1.example.net\"] }]\n\
                [[pop]]\nname = \"fra\"\naddresses = [\"192.0.2.7\"]\n\
                [[site]]\nname = \"www\"\nhosts = [\"a.example\"]\norigin.servers = [\"https://a.example\"]\n";
    let config = parse(text, "a.toml").unwrap();
    assert_eq!(config.sites[0].hosts, ["a.example"]);
    assert_eq!(geodns(config).zones[0].generated.len(), 1);
    // One route may answer for a site and name it as well.
    let both = text.replace("[\"www\"] }", "[\"www\"], sites = true }");
    let config = parse(&both, "a.toml").unwrap();
    assert_eq!(config.sites[0].hosts, ["a.example", "www.cdn.example"]);
}

#[test]
fn a_text_alone_looks_at_no_zone_file() {
    let text = format!("[geodns]\nlisten = [\"127.0.0.1:0\"]\n{ZONE}");
    let geodns = geodns(parse(&text, "/nowhere/a.toml").unwrap());
    assert!(geodns.zones[0].records.is_empty());
    let file = geodns.settings.zone[0].file.as_deref().unwrap();
    assert_eq!(file, Path::new("/nowhere/z/cdn.zone"));
}

#[test]
fn zone_files_include_files_of_their_own_folder_and_below() {
    let folder = Folder::new();
    folder.write("z/cdn.zone", &format!("{SOA}$INCLUDE a/in.zone\n$INCLUDE in.zone\n"));
    folder.write("z/in.zone", "x A 192.0.2.1\n");
    folder.write("z/a/in.zone", "$INCLUDE b/in.zone\n$INCLUDE ./more.zone\n");
    folder.write("z/a/b/in.zone", "y A 192.0.2.2\n");
    folder.write("z/a/more.zone", "z A 192.0.2.3\n");
    let zones = geodns(folder.load(ZONE).unwrap()).zones;
    let owners: Vec<String> =
        zones[0].records.iter().skip(3).map(|record| record.owner.to_string()).collect();
    assert_eq!(owners, ["y.cdn.example.", "z.cdn.example.", "x.cdn.example."]);
    assert_eq!(zones[0].records[3].place.to_string(), "z/a/b/in.zone:1");
}

#[test]
fn what_lies_elsewhere_is_not_included() {
    let folder = Folder::new();
    folder.write("secret.txt", "s3cret\n");
    symlink(folder.path().join("secret.txt"), folder.path().join("link")).unwrap();
    fs::create_dir(folder.path().join("z")).unwrap();
    symlink(folder.path().join("secret.txt"), folder.path().join("z/link")).unwrap();
    let absolute = folder.path().join("secret.txt");
    for name in ["../secret.txt", "link", "../z/../secret.txt", absolute.to_str().unwrap()] {
        folder.write("z/cdn.zone", &format!("{SOA}$INCLUDE {name}\n"));
        let problems = folder.problems(ZONE);
        assert!(problems.contains("z/cdn.zone:5 geodns.zone[0].file: "), "{problems}");
        assert!(problems.contains("outside of the folder"), "{problems}");
        assert!(!problems.contains("s3cret"), "{problems}");
    }
    // A zone file itself may lie anywhere, also behind a link.
    folder.write("other/real.zone", &format!("{SOA}$INCLUDE more.zone\n"));
    folder.write("other/more.zone", "x A 192.0.2.1\n");
    fs::remove_file(folder.path().join("z/cdn.zone")).unwrap();
    symlink(folder.path().join("other/real.zone"), folder.path().join("z/cdn.zone")).unwrap();
    let problems = folder.problems(ZONE);
    assert!(problems.contains("more.zone: No such file"), "beside the link: {problems}");
    symlink(folder.path().join("other/more.zone"), folder.path().join("z/more.zone")).unwrap();
    assert!(folder.load(ZONE).is_ok(), "and within the real folder");
}

#[test]
fn included_files_come_to_an_end() {
    let folder = Folder::new();
    folder.write("z/cdn.zone", &format!("{SOA}$INCLUDE a.zone\n"));
    folder.write("z/a.zone", &"$INCLUDE b.zone\n".repeat(30));
    folder.write("z/b.zone", "; nothing\n");
    assert!(folder.load(ZONE).is_ok());
    for (limit, fault) in [
        ("zone_includes_max = 20", "more files are included than geodns.limits.zone_includes_max"),
        ("zone_bytes_max = \"1 KiB\"", "larger than "),
    ] {
        folder.write("z/b.zone", &format!("; {}\n", "x".repeat(40)));
        let problems = folder.problems(&format!("{ZONE}\nlimits = {{ {limit} }}"));
        assert!(problems.contains("z/a.zone:") && problems.contains(fault), "{problems}");
    }
    folder.write("z/b.zone", "$INCLUDE a.zone\n");
    let problems = folder.problems(ZONE);
    assert!(problems.contains("8 deep"), "{problems}");
    folder.write("z/cdn.zone", &"; a zone of comments\n".repeat(100));
    let problems = folder.problems(&format!("{ZONE}\nlimits = {{ zone_bytes_max = \"1 KiB\" }}"));
    assert!(
        problems
            .contains("geodns.zone[0].file = \"z/cdn.zone\": cannot be read: larger than 1 KiB"),
        "{problems}"
    );
}

#[test]
fn an_soa_and_ns_that_a_file_lacks_are_made_of_servers() {
    let folder = Folder::new();
    folder.write("z/cdn.zone", "$TTL 60\nns A 192.0.2.53\n");
    let problems = folder.problems(ZONE);
    assert!(problems.contains("has no SOA") && problems.contains("has no NS"), "{problems}");
    let zone = ZONE.replace(" }", ", servers = [\"ns.cdn.example\"] }");
    let config = geodns(folder.load(&zone).unwrap());
    assert_eq!(config.zones[0].records.len(), 3);
    let absent = ZONE.replace(" }", ", servers = [\"absent.cdn.example\"] }");
    let problems = folder.problems(&absent);
    assert!(problems.contains("node.toml:3:"), "in the node file: {problems}");
    assert!(problems.contains("geodns.zone[0].servers"), "{problems}");
}

#[test]
fn secrets_come_from_the_node_file_or_from_one_of_their_own() {
    let (old, new) = ("e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962");
    let folder = Folder::new();
    folder.write("z/cdn.zone", SOA);
    folder.write("secrets", &format!("# ours\n{new}\n\n  {old} # the old one\n"));
    let typed = format!("{ZONE}\ncookies = {{ secrets = [\"{new}\", \"{old}\"] }}");
    let file = format!("{ZONE}\ncookies = {{ secrets_file = \"secrets\" }}");
    let [typed, file] = [typed, file].map(|text| {
        let config = folder.load(&text).unwrap();
        let printed = format!("{config:?}");
        assert!(!printed.contains(new) && !printed.contains("445536"), "{printed}");
        geodns(config).cookie_secrets.unwrap()
    });
    assert_eq!(typed, file);
    assert!(typed.other.is_some());
    for (text, fault) in [
        (format!("{new}\n{old}\n{}\n", new.replace('4', "5")), "secrets:3 "),
        (format!("{new}\nx{old}\n"), "secrets:2 "),
        ("# none\n".to_owned(), "holds no secret"),
        ("\u{1b}".repeat(1024 * 1024 + 1), "larger than 1 MiB"),
    ] {
        folder.write("secrets", &text);
        let problems =
            folder.problems(&format!("{ZONE}\ncookies = {{ secrets_file = \"secrets\" }}"));
        assert!(problems.contains(fault), "{problems}");
        assert!(
            !problems.contains(new.get(..8).unwrap()) && !problems.contains(old.get(..8).unwrap()),
            "{problems}"
        );
    }
}

#[test]
fn a_secret_in_the_wrong_place_or_form_is_not_shown() {
    let secret = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    for line in [
        format!("cookies = \"{secret}\""),
        format!("cookies = [\"{secret}\"]"),
        format!("cookies.secret = \"{secret}\""),
        format!("cookies.secrets = \"{secret}\""),
        format!("cookies.secrets = [\"{secret}0\"]"),
        format!("cookies.secrets = [[\"{secret}\"]]"),
        format!("cookies.secrets = [\"{secret}\", \"{secret}\"]"),
        format!("cookies.secrets = [\"{secret}\", \"{secret}\", \"{secret}\"]"),
        format!("cookies.secrets = {{ a = \"{secret}\" }}"),
        "cookies.secrets = [12345678901234567890123456789012]".to_owned(),
        "cookies.secrets = 12345678901234567890123456789012".to_owned(),
    ] {
        let text = format!("[geodns]\nlisten = [\"127.0.0.1:0\"]\n{ZONE}\n{line}\n");
        let report = parse(&text, "a.toml").expect_err(&line);
        let told = format!("{report}{}", serde_json::to_string(&report).unwrap());
        assert!(!told.contains(secret.get(..8).unwrap()) && !told.contains("12345678"), "{told}");
        assert!(told.contains("geodns.cookies"), "{told}");
    }
}

#[test]
fn a_certificate_comes_with_its_own_key() {
    let folder = Folder::new();
    folder.write("z/cdn.zone", SOA);
    let [one, other] = [(); 2]
        .map(|()| rcgen::generate_simple_self_signed(["ns.cdn.example".to_owned()]).unwrap());
    folder.write("cert.pem", &one.cert.pem());
    folder.write("right.key", &one.signing_key.serialize_pem());
    folder.write("wrong.key", &other.signing_key.serialize_pem());
    let with = |key: &str| {
        format!(
            "{ZONE}\ntls = {{ certificate = \"cert.pem\", key = \"{key}\", dot = [\"127.0.0.1:0\"] }}"
        )
    };
    let tls = geodns(folder.load(&with("right.key")).unwrap()).settings.tls;
    assert_eq!(tls.key.as_deref(), Some(&*folder.path().join("right.key")));
    for (key, fault) in [
        ("wrong.key", "not the key of geodns.tls.certificate"),
        ("cert.pem", "holds no private key"),
        ("absent.key", "cannot be read"),
        ("z", "not a regular file"),
    ] {
        let problems = folder.problems(&with(key));
        assert!(problems.contains("geodns.tls.key = ") && problems.contains(fault), "{problems}");
    }
}

#[test]
fn a_map_reads_its_file_of_networks() {
    let folder = Folder::new();
    folder.write("z/cdn.zone", SOA);
    let text = format!(
        "{ZONE}\nmap = [{{ networks = \"nets.txt\" }}]\n[[pop]]\nname = \"fra\"\naddresses = [\"192.0.2.1\"]"
    );
    folder.write("nets.txt", "192.0.2.0/24 fra\n");
    assert_eq!(geodns(folder.load(&text).unwrap()).maps.len(), 1);
    folder.write("nets.txt", "\n192.0.2.0/24 fra\n192.0.2.0/24 \u{1b}[2J\n");
    let problems = folder.problems(&text);
    assert!(problems.contains("nets.txt:3 geodns.map[0].networks: "), "{problems}");
    assert!(!problems.contains('\u{1b}'), "{problems}");
    let limited = text.replace("map =", "limits = { networks_max = 1 }\nmap =");
    folder.write("nets.txt", "192.0.2.0/24 fra\n198.51.100.0/24 fra\n");
    let problems = folder.problems(&limited);
    assert!(problems.contains("2 networks, 1 are allowed"), "{problems}");
}

#[test]
fn a_family_that_one_pop_alone_has_is_noted() {
    let notes = |pops: &[(&str, &str)]| {
        let pop = |(name, addresses): &(&str, &str)| {
            format!("[[pop]]\nname = \"{name}\"\naddresses = [{addresses}]\n")
        };
        let pops: String = pops.iter().map(pop).collect();
        let zone = "zone = [{ name = \"cdn.example\", servers = [\"ns.example.net\"] }]\n";
        let text = format!("[geodns]\nlisten = [\"127.0.0.1:53\"]\n{zone}{pops}");
        geodns(parse(&text, "a.toml").unwrap_or_else(|report| panic!("{report}"))).notes()
    };
    let (four, both) = ("\"192.0.2.1\"", "\"192.0.2.2\", \"2001:db8::2\"");
    let six = "\"2001:db8::3\"";
    let note = "in the map \"default\" only the PoP \"b\" has IPv6 addresses: clients that use IPv6 go \
                there also while it is drained or down";
    assert_eq!(notes(&[("a", four), ("b", both)]), [note]);
    assert_eq!(notes(&[("a", four), ("b", six)]).len(), 2, "each alone in its family");
    assert_eq!(notes(&[("b", both)]), [""; 0], "nowhere else at all");
    assert_eq!(notes(&[("a", four), ("b", "\"192.0.2.9\"")]), [""; 0]);
    assert_eq!(notes(&[("a", both), ("b", six), ("c", four)]), [""; 0]);
}

#[test]
fn a_family_that_no_fallback_has_is_noted() {
    let pops: String = [
        ("four", "\"192.0.2.1\""),
        ("both", "\"192.0.2.2\", \"2001:db8::2\""),
        ("two", "\"192.0.2.3\", \"2001:db8::3\""),
        ("six", "\"2001:db8::4\""),
    ]
    .iter()
    .map(|(name, addresses)| format!("[[pop]]\nname = \"{name}\"\naddresses = [{addresses}]\n"))
    .collect();
    let zone = "zone = [{ name = \"cdn.example\", servers = [\"ns.example.net\"] }]\n";
    // Each route has the PoPs of its row and falls back to the next one.
    let notes = |routes: &[&str], more: &str| {
        let mut text = format!("[geodns]\nlisten = [\"127.0.0.1:53\"]\n{zone}{pops}");
        for (at, pops) in routes.iter().enumerate() {
            let fallback = match at + 1 < routes.len() {
                true => format!("fallback = \"r{}\"\n", at + 1),
                false => String::new(),
            };
            text += &format!(
                "[[geodns.map]]\nname = \"r{at}\"\npops = [{pops}]\n\
                 [[geodns.route]]\nname = \"r{at}\"\nnames = [\"r{at}\"]\nmap = \"r{at}\"\n\
                 {fallback}{more}"
            );
        }
        geodns(parse(&text, "a.toml").unwrap_or_else(|report| panic!("{report}"))).notes()
    };
    let (four, both, two, six) = ("\"four\"", "\"both\"", "\"two\"", "\"six\"");
    let note = |route: &str, family: &str, told: &str| {
        format!(
            "no route that \"{route}\" falls back to has {family} addresses: when its own PoPs are \
             down, clients that use {family} are answered {told}"
        )
    };
    let down = "addresses of PoPs that are down";
    assert_eq!(notes(&[both, four], ""), [note("r0", "IPv6", down)]);
    let servfail = "all_down = \"servfail\"\n";
    assert_eq!(notes(&[both, four], servfail), [note("r0", "IPv6", "SERVFAIL")]);
    assert_eq!(notes(&[both, six], ""), [note("r0", "IPv4", down)]);
    assert_eq!(notes(&[six, four], ""), [note("r0", "IPv6", down)]);
    assert_eq!(notes(&[six, four, six], ""), [note("r1", "IPv4", down)], "r0 goes on to r2");
    assert_eq!(notes(&[both, two], ""), [""; 0]);
    assert_eq!(notes(&[four, four], ""), [""; 0], "nobody expects IPv6 there");
    assert_eq!(notes(&[four, both], ""), [""; 0], "its names have no AAAA, whatever comes after");
    assert_eq!(notes(&[both, four, two], ""), [""; 0], "the next but one has it");
    assert_eq!(notes(&[both], ""), [""; 0], "nowhere to fall back to at all");
}

#[test]
fn an_edge_keeps_half_of_the_time_to_drain() {
    let zone = "zone = [{ name = \"cdn.example\", servers = [\"ns.example.net\"] }]\n";
    let pop = "[[pop]]\nname = \"a\"\naddresses = [\"192.0.2.1\"]\n";
    let site =
        "[[site]]\nname = \"www\"\nhosts = [\"*\"]\norigin = { servers = [\"https://a.test\"] }\n";
    let edge = format!("[edge]\nlisten = [\"127.0.0.1:80\"]\n{site}");
    let told = |duck: &str, deadline: &str, edge: &str| {
        let deadline = match deadline {
            "" => String::new(),
            deadline => format!("[node]\ndrain_deadline = \"{deadline}\"\n"),
        };
        let duck =
            if duck.is_empty() { String::new() } else { format!("lame_duck = \"{duck}\"\n") };
        let text =
            format!("{deadline}[geodns]\nlisten = [\"127.0.0.1:53\"]\n{duck}{zone}{pop}{edge}");
        let report = parse(&text, "a.toml").err();
        report.map(|report| {
            let [problem] = &report.problems[..] else { panic!("{report}") };
            format!("{} {}", problem.key, problem.fault)
        })
    };
    let rows = [
        ("8s", "8s", "", None),
        ("9s", "8s", "", Some("geodns.lame_duck longer than node.drain_deadline, which is 8s")),
        ("4s", "8s", &*edge, None),
        (
            "5s",
            "8s",
            &*edge,
            Some("geodns.lame_duck longer than half of node.drain_deadline, which is 8s"),
        ),
        (
            "13s",
            "",
            &*edge,
            Some(
                "geodns.lame_duck longer than half of node.drain_deadline, which is 25s by default",
            ),
        ),
        (
            "",
            "9s",
            &*edge,
            Some("node.drain_deadline shorter than twice geodns.lame_duck, which is 5s by default"),
        ),
    ];
    for (duck, deadline, edge, expected) in rows {
        let row = format!("{duck} {deadline} {}", !edge.is_empty());
        assert_eq!(told(duck, deadline, edge).as_deref(), expected, "{row}");
    }
}

#[test]
fn an_incomplete_item_hides_no_other_fault() {
    let text = "[geodns]\nlisten = [\"127.0.0.1:0\"]\nlame_duck = \"2h\"\n\
                [[geodns.zone]]\nfile = \"a\"\n[[geodns.zone]]\nname = \"10.0.0.1\"\nfile = \"b\"\n\
                [[geodns.check]]\nkind = \"tcp\"\n[[geodns.check]]\nport = 1\nstatus = [1]\n\
                [[geodns.map]]\npops = [\"fra\", \"x\"]\n\
                [[pop]]\nname = \"fra\"\nlocation = { latitude = 1 }\n";
    let report = parse(text, "a.toml").unwrap_err();
    let keys: Vec<&str> = report.problems.iter().map(|problem| &*problem.key).collect();
    assert_eq!(
        keys,
        [
            "geodns.lame_duck",
            "geodns.zone[0].name",
            "geodns.zone[1].name",
            "geodns.check[0].port",
            "geodns.check[1].status[0]",
            "geodns.map[0].pops[1]",
            "pop[0].location.longitude",
        ],
        "{report}"
    );
}

#[test]
fn every_file_that_is_read_is_named_so_that_it_can_be_watched() {
    let folder = Folder::new();
    folder.write("z/cdn.zone", &format!("{SOA}$INCLUDE more\n$INCLUDE gone\n"));
    folder.write("z/more", "www2 A 192.0.2.7\n");
    folder.write("secrets", "no secret\n");
    let certificate = "tls = { certificate = \"c.pem\", key = \"c.key\" }";
    let secrets = "cookies = { secrets_file = \"secrets\" }";
    // Also where they have faults: whoever mends them wants that to be seen.
    folder.load(&format!("{ZONE}\n{certificate}\n{secrets}")).unwrap_err();
    let mut files = read(&folder.path().join("node.toml")).files;
    for name in ["z/cdn.zone", "z/more", "z/gone", "c.pem", "c.key", "secrets", "node.toml"] {
        let print = Print::of(&folder.path().join(name));
        let at = files.iter().position(|one| *one == print);
        files.remove(at.unwrap_or_else(|| panic!("{name} is not among {files:?}")));
    }
    assert_eq!(files, []);
}

/// docs/operate.md *The settings file*: an edge without `[geodns]` answers 421 for a name that its
/// file does not say; the same site is right on both kinds of node.
#[test]
fn a_site_may_name_its_host_under_the_zone_for_edges_that_do_not_know_it() {
    let hosts = ["static.shop.example", "shop.cdn.example"];
    let site = format!(
        "[[site]]\nname = \"shop\"\nhosts = {hosts:?}\n\
         origin = {{ servers = [\"https://a.shop.example\"] }}\n"
    );
    let edge = format!("[edge]\nlisten = [\"127.0.0.1:80\"]\n{site}");
    assert_eq!(parse(&edge, "edge").unwrap().sites[0].hosts, hosts);
    let dns = format!(
        "[geodns]\nlisten = [\"127.0.0.1:53\"]\n\
         zone = [{{ name = \"cdn.example\", servers = [\"ns1.example.net\"] }}]\n\
         [[pop]]\nname = \"fra\"\naddresses = [\"192.0.2.6\"]\n{site}"
    );
    assert_eq!(parse(&dns, "dns").unwrap().sites[0].hosts, hosts);
}
