//! Floors: which of our packages may use which, and what the core may use at all.
//!
//! In: the members' manifests. Out: one complaint per arrow that ARCHITECTURE.md does not draw.
//! What always holds: every member has a row in [`FLOORS`], and every kind of dependency counts,
//! tests and build scripts included: a test that needs a higher floor belongs to the tests package.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::tree::Source;

/// A package, where it lives, and which of ours it may use.
struct Floor {
    package: &'static str,
    folder: &'static str,
    may_use: &'static [&'static str],
}

const FLOORS: &[Floor] = &[
    Floor { package: "ground", folder: "ground", may_use: &[] },
    Floor { package: "edge-core", folder: "edge/core", may_use: &["ground"] },
    Floor { package: "geodns-core", folder: "geodns/core", may_use: &["ground"] },
    Floor { package: "nearcast-daemon", folder: "daemon", may_use: &[] },
    Floor {
        package: "nearcast-control",
        folder: "control",
        may_use: &["edge-core", "nearcast-daemon"],
    },
    Floor { package: "origin-mock", folder: "origin-mock", may_use: &[] },
    Floor {
        package: "nearcast-config",
        folder: "config",
        may_use: &["ground", "edge-core", "geodns-core", "nearcast-control", "nearcast-daemon"],
    },
    Floor {
        package: "edge",
        folder: "edge",
        may_use: &["ground", "edge-core", "nearcast-config", "nearcast-daemon"],
    },
    Floor {
        package: "geodns",
        folder: "geodns",
        may_use: &["geodns-core", "nearcast-config", "nearcast-daemon"],
    },
    Floor {
        package: "nearcast",
        folder: "cli",
        // The cores for the settings that `up` composes without a file.
        may_use: &[
            "edge",
            "edge-core",
            "geodns",
            "geodns-core",
            "origin-mock",
            "nearcast-config",
            "nearcast-control",
            "nearcast-daemon",
        ],
    },
    Floor { package: "nearcast-tests", folder: "tests", may_use: EVERYTHING_BELOW },
    Floor { package: "bench-bare", folder: "tests/bench/bare", may_use: EVERYTHING_BELOW },
    Floor { package: "bench-dns", folder: "tests/bench/dns", may_use: EVERYTHING_BELOW },
    Floor { package: "fuzz-dns", folder: "tests/fuzz", may_use: &["geodns-core"] },
    Floor { package: "bench-load", folder: "tests/bench/load", may_use: &[] },
];

/// What tests and benches see: all but each other. Not the program: they start it.
const EVERYTHING_BELOW: &[&str] = &[
    "ground",
    "edge-core",
    "geodns-core",
    "nearcast-control",
    "nearcast-daemon",
    "origin-mock",
    "nearcast-config",
    "edge",
    "geodns",
];

/// What would give the core a clock, a socket, a task, a log line or a die to roll.
const IMPURE: &[&str] = &[
    "arc-swap",
    "hyper",
    "hyper-util",
    "moka",
    "mio",
    "notify",
    "parking_lot",
    "rand",
    "rustls",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tracing",
    "tracing-subscriber",
];

/// Folder names under which anything could be put, so that nothing is found again.
const NAMELESS: &[&str] = &["util", "utils", "common", "helpers", "misc"];

/// The manifests of the packages, by folder.
fn manifests(files: &[Source]) -> Result<BTreeMap<String, Table>, String> {
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|f| f.name() == "Cargo.toml" && f.path != "Cargo.toml") {
        let table: Table = file.text.parse().map_err(|e| format!("{}: {e}", file.path))?;
        found.insert(file.path.trim_end_matches("/Cargo.toml").to_owned(), table);
    }
    Ok(found)
}

/// The packages that a manifest depends on, by their real names, for whatever purpose.
fn dependencies(manifest: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let targets = manifest.get("target").and_then(Value::as_table);
    let per_target = targets.into_iter().flat_map(|t| t.values().filter_map(Value::as_table));
    for table in std::iter::once(manifest).chain(per_target) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(entries) = table.get(section).and_then(Value::as_table) else { continue };
            for (name, entry) in entries {
                let renamed = entry.get("package").and_then(Value::as_str);
                found.push(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    found
}

/// Arrows that do not point down, members without a floor, manifests that skip the lint table.
fn off_floor(manifests: &BTreeMap<String, Table>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (folder, manifest) in manifests {
        let package = manifest.get("package").and_then(|p| p.get("name")).and_then(Value::as_str);
        let Some(floor) = FLOORS.iter().find(|f| Some(f.package) == package) else {
            complaints.push(format!("{folder}: {package:?} has no floor in {}", file!()));
            continue;
        };
        if floor.folder != folder {
            complaints.push(format!("{folder}: {} lives in {}", floor.package, floor.folder));
        }
        let lints = manifest.get("lints").and_then(|l| l.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            complaints.push(format!("{folder}: `[lints] workspace = true` is missing"));
        }
        for used in dependencies(manifest) {
            let ours = FLOORS.iter().any(|f| f.package == used);
            if ours && !floor.may_use.contains(&used.as_str()) {
                complaints.push(format!("{folder}: {} must not use {used}", floor.package));
            }
            if ["ground", "edge-core"].contains(&floor.package) && IMPURE.contains(&used.as_str()) {
                complaints.push(format!("{folder}: the core is pure, so it must not use {used}"));
            }
        }
    }
    complaints
}

/// Folders whose name says nothing.
fn nameless(files: &[Source]) -> Vec<String> {
    let vague = |f: &&Source| {
        f.path.ends_with(".rs")
            && f.path.split('/').any(|part| NAMELESS.contains(&part.trim_end_matches(".rs")))
    };
    files.iter().filter(vague).map(|f| format!("{}: name it after what it does", f.path)).collect()
}

mod tests {
    use super::super::tree::{self, list};
    use super::{FLOORS, Source, manifests, nameless, off_floor};

    fn sample(folder: &str, text: &str) -> Vec<String> {
        let text = format!("{text}\n[lints]\nworkspace = true\n");
        let file = Source::sample(&format!("{folder}/Cargo.toml"), &text);
        manifests(&[file]).map_or_else(|fault| vec![fault], |m| off_floor(&m))
    }

    #[test]
    fn every_arrow_points_down() -> Result<(), String> {
        let files = tree::files().map_err(|e| e.to_string())?;
        let manifests = manifests(&files)?;
        let missing: Vec<_> = FLOORS
            .iter()
            .filter(|f| f.package != "bench-bare" && !manifests.contains_key(f.folder))
            .map(|f| f.package)
            .collect();
        assert!(missing.is_empty(), "floors without a package: {missing:?}");
        let complaints = off_floor(&manifests);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        Ok(())
    }

    #[test]
    fn no_folder_or_file_is_a_drawer_for_anything() -> std::io::Result<()> {
        let complaints = nameless(&tree::files()?);
        assert!(complaints.is_empty(), "{}", list(&complaints));
        assert_eq!(nameless(&[Source::sample("edge/src/util.rs", "")]).len(), 1);
        assert_eq!(nameless(&[Source::sample("edge/src/common/mod.rs", "")]).len(), 1);
        Ok(())
    }

    #[test]
    fn bad_manifests_are_red() {
        let rows = [
            ("upward", "daemon", "[package]\nname='nearcast-daemon'\n[dependencies]\nedge='1'"),
            ("sideways", "edge", "[package]\nname='edge'\n[dependencies]\norigin-mock.path='x'"),
            ("in tests", "edge/core", "[package]\nname='edge-core'\n[dev-dependencies]\nedge='1'"),
            (
                "on build",
                "config",
                "[package]\nname='nearcast-config'\n[build-dependencies]\nedge='1'",
            ),
            (
                "by target",
                "config",
                "[package]\nname='nearcast-config'\n[target.x.dependencies]\nedge='1'",
            ),
            (
                "renamed",
                "daemon",
                "[package]\nname='nearcast-daemon'\n[dependencies]\nx={package='edge'}",
            ),
            ("impure below", "ground", "[package]\nname='ground'\n[dependencies]\nrand='1'"),
            ("impure", "edge/core", "[package]\nname='edge-core'\n[dependencies]\ntokio='1'"),
            ("stranger", "util", "[package]\nname='util'"),
            ("moved", "somewhere", "[package]\nname='edge'"),
        ];
        for (name, folder, text) in rows {
            assert_eq!(sample(folder, text).len(), 1, "{name}: {:?}", sample(folder, text));
        }
        let without_lints =
            Source::sample("daemon/Cargo.toml", "[package]\nname='nearcast-daemon'");
        assert_eq!(manifests(&[without_lints]).map(|m| off_floor(&m).len()), Ok(1));
        assert!(sample("edge", "[package]\nname='edge'\n[dependencies]\nedge-core='1'").is_empty());
    }
}
