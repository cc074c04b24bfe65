//! The files that stand beside this crate: examples load, refused files are refused word by word,
//! generated pages are current.
//!
//! In: config/examples, config/refused, docs/reference. Out: verdicts.
//! Always: every file in those folders takes part.
//! Does not know: any setting's meaning.
//! Clause: CONTRIBUTING.md *Errors*, *Commits and documents*.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nearcast_config::{NodeConfig, load, parse, reference};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder_name: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(folder_name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|other| other == extension)).collect();
    files.sort();
    files
}

#[test]
fn every_example_loads() {
    let mut examples = files("examples", "toml");
    assert!(examples.len() >= 3);
    for node in ["iad-1", "fra-1", "sin-1", "ns-1", "ns-2"] {
        examples.extend(files(&format!("examples/three/{node}"), "toml"));
    }
    assert!(examples.len() >= 8);
    for path in examples {
        if let Err(report) = load(&path) {
            panic!("{report}");
        }
    }
}

#[test]
fn every_refused_file_is_refused_in_exactly_these_words() {
    let refused = files("refused", "toml");
    assert!(refused.len() >= 30);
    assert_eq!(refused.len(), files("refused", "txt").len());
    let here = format!("{}/", folder("refused").display());
    for path in refused {
        let report = load(&path).expect_err(&path.display().to_string());
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(
            format!("{report}\n").replace(&here, ""),
            expected,
            "after reading the difference: cargo run -p nearcast-config --example refused"
        );
    }
}

#[test]
fn generated_pages_are_current() {
    let docs = folder("../docs/reference");
    for (path, page) in [
        (docs.join("settings.md"), reference::settings_page()),
        (docs.join("settings.schema.json"), reference::schema_page()),
        (folder("examples/every-setting.toml"), reference::every_setting()),
    ] {
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == page, "{} is not current: {}", path.display(), reference::COMMAND);
    }
}

/// All that a file says, comparable.
fn settings(config: &NodeConfig) -> String {
    format!("{config:#?}")
}

#[test]
fn every_setting_at_its_default_says_what_leaving_it_out_says() {
    let all = parse(&reference::every_setting(), "a.toml").unwrap();
    let least = r#"
        [edge]
        listen = ["0.0.0.0:80", "[::]:80"]
        [geodns]
        listen = ["0.0.0.0:53", "[::]:53"]
        zone = [{ name = "cdn.example", servers = ["ns1.example.net"] }]
        route = [{ names = ["www"] }]
        map = [{ prefer = [{ pops = ["fra"] }] }]
        check = [{ port = 443 }]
        [[pop]]
        name = "fra"
        addresses = ["192.0.2.6", "2001:db8::6"]
        [[site]]
        name = "shop"
        hosts = ["static.shop.example"]
        origin.servers = ["https://origin.shop.example"]
        origin.check = {}
        [[site.rule]]
    "#;
    assert_eq!(settings(&all), settings(&parse(least, "a.toml").unwrap()));
}

#[test]
fn settings_that_stand_commented_out_are_right_as_well() {
    let is_setting = |line: &str| {
        line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).is_some_and(|(key, _)| {
            key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    };
    let every = reference::every_setting();
    // Of two that exclude each other, the other one is right in other tests.
    let lines = every.lines().filter(|line| !line.starts_with("# embedded = "));
    let text: Vec<&str> = lines
        .map(|line| if is_setting(line) { line.trim_start_matches("# ") } else { line })
        .collect();
    assert!(text.join("\n").contains("\nworkers = 4"));
    // What one setting names, another has to be.
    let text = format!("{}\n[[geodns.route]]\nname = \"everywhere\"\n", text.join("\n"));
    if let Err(report) = parse(&text, "a.toml") {
        panic!("{report}");
    }
}

#[test]
fn every_key_of_the_schema_stands_on_every_page() {
    let schema: serde_json::Value = serde_json::from_str(&reference::schema_page()).unwrap();
    let mut tables = vec![&schema];
    tables.extend(schema["$defs"].as_object().unwrap().values());
    let (page, file) = (reference::settings_page(), reference::every_setting());
    let keys = tables.iter().filter_map(|table| table["properties"].as_object());
    for (key, law) in keys.flatten() {
        assert!(law["description"].is_string(), "{key} has no doc line");
        let section = format!("{key}]");
        assert!(page.contains(&format!("| `{key}` |")) || page.contains(&section), "{key}");
        assert!(file.contains(&format!("{key} = ")) || file.contains(&section), "{key}");
    }
}

#[test]
fn what_cannot_be_read_is_said_without_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let large = folder.path().join("large.toml");
    fs::write(&large, "#".repeat(8 * 1024 * 1024 + 1)).unwrap();
    // Nobody writes into it: who opened it would wait for ever.
    let fifo = folder.path().join("fifo.toml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (path, fault) in [
        (&absent, "cannot be read: "),
        (&large, "larger than "),
        (&folder.path().into(), "cannot be read: not a regular file"),
        (&fifo, "cannot be read: not a regular file"),
    ] {
        let report = load(path).unwrap_err();
        assert_eq!(report.problems.len(), 1);
        assert!(report.problems[0].fault.starts_with(fault), "{report}");
        assert_eq!(report.problems[0].place, None);
    }
}

#[test]
fn a_file_that_is_not_utf8_is_refused_where_it_stops_being_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"[node]\nname = \"M\xfcnchen\"\n").unwrap();
    let report = load(&path).unwrap_err();
    assert_eq!(
        report.to_string(),
        format!("{0}:2:10: not UTF-8; allowed: text in UTF-8\n1 problem in {0}", path.display())
    );
}

/// A certificate that signs itself.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUYPdX/jQPrMUKTbpuIfxAshRomHcwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjUyMzA2MjZaGA8yMTI2MTEwMTIzMDYy
NlowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAi9
anwbi7wACh4KxynfM8BV8XbE7RE2NlS+64DlWdI7Y4IYqH2SXF/rfP4Kp034uy4k
3UY63ncIIsxDpSk9teyjUzBRMB0GA1UdDgQWBBQ5YyQoEZS7a0FE6TWYNGE3TfX7
HzAfBgNVHSMEGDAWgBQ5YyQoEZS7a0FE6TWYNGE3TfX7HzAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIH8Pu/Akt7DhjnzzXdqHJA6eAu5TUzWThC4N
eQjKf4sYAiApFiXRPHL4jZMkNA6uGpp2cJR8qKjqfrUblB88eaB7rQ==
-----END CERTIFICATE-----
";

const WITH_PATHS: &str = r#"
[edge]
listen = ["127.0.0.1:0"]
[log]
access = "logs/access.log"
[[site]]
name = "shop"
hosts = ["*"]
[site.origin]
servers = ["https://origin.shop.example"]
ca = "ca.pem"
"#;

#[test]
fn paths_start_at_the_folder_of_the_file_and_named_files_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    fs::write(&path, WITH_PATHS).unwrap();
    let report = load(&path).unwrap_err();
    let keys: Vec<&str> = report.problems.iter().map(|problem| &*problem.key).collect();
    assert_eq!(keys, ["log.access", "site[0].origin.ca"], "{report}");

    fs::create_dir(folder.path().join("logs")).unwrap();
    fs::write(folder.path().join("ca.pem"), AUTHORITY).unwrap();
    let config = load(&path).unwrap();
    assert_eq!(config.base, folder.path());
    assert_eq!(config.sites[0].origin.ca.as_deref(), Some(&*folder.path().join("ca.pem")));
    assert_eq!(
        config.log.access.to_string(),
        folder.path().join("logs/access.log").display().to_string()
    );
}

#[test]
fn the_largest_object_is_no_larger_than_memory_unless_the_file_says_so() {
    let file = |memory| WITH_PATHS.replace("[log]", &format!("memory = \"{memory}\"\n[log]"));
    for (memory, object) in [("32 MiB", 32), ("1 GiB", 64)] {
        let edge = parse(&file(memory), "a.toml").unwrap().edge.unwrap();
        assert_eq!(edge.object_bytes_max, bytesize::ByteSize::mib(object));
    }
}

#[test]
fn the_json_form_says_the_same() {
    let report = parse("[edge]\nlisten = [\"80\"]\n", "a.toml").unwrap_err();
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        serde_json::json!({
            "file": "a.toml",
            "problems": [{
                "line": 2,
                "column": 11,
                "key": "edge.listen[0]",
                "value": "\"80\"",
                "fault": "not an address with a port",
                "allowed": "IP:PORT, as \"0.0.0.0:80\" or \"[::]:80\"",
                "advice": "add an address: \"0.0.0.0:80\"",
            }],
        })
    );
}
