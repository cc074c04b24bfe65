//! The image and the supply chain, as far as they can be judged without building an image.
//!
//! In: the Dockerfile, the pinned toolchain, the manifest, the tree of built packages. Out: one
//! complaint per fault. What always holds: every package of the workspace is copied (cargo refuses
//! a workspace with a member missing), what is copied exists, the compiler is the pinned one, and
//! no crypto but aws-lc-rs is built. `Cargo.lock` cannot tell the last: it also lists optional
//! packages that nothing switches on.

use toml::{Table, Value};

use super::tree::Source;

/// Packages that must not be built: a second crypto provider, or TLS that is not rustls.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

fn text<'f>(files: &'f [Source], path: &str) -> Result<&'f str, String> {
    let file = files.iter().find(|f| f.path == path);
    file.map(|f| f.text.as_str()).ok_or_else(|| format!("{path} is not there"))
}

/// What the Dockerfile copies out of the repository.
fn copied(dockerfile: &str) -> Vec<&str> {
    let mut sources = Vec::new();
    for line in dockerfile.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("COPY") && !line.contains("--from=") {
            let paths: Vec<&str> = words.filter(|w| !w.starts_with("--")).collect();
            sources.extend(paths.split_last().map(|(_, sources)| sources).unwrap_or_default());
        }
    }
    sources
}

/// Where the Dockerfile and the repository disagree.
fn image_faults(files: &[Source]) -> Result<Vec<String>, String> {
    let dockerfile = text(files, "Dockerfile")?;
    let mut complaints = Vec::new();
    let sources = copied(dockerfile);
    for source in &sources {
        let folder = format!("{}/", source.trim_end_matches('/'));
        if !files.iter().any(|f| f.path == *source || f.path.starts_with(&folder)) {
            complaints.push(format!("Dockerfile: copies {source}, which is not there"));
        }
    }
    let manifest: Table = text(files, "Cargo.toml")?.parse().map_err(|e| format!("{e}"))?;
    let members =
        manifest.get("workspace").and_then(|w| w.get("members")).and_then(Value::as_array);
    for member in members.into_iter().flatten().filter_map(Value::as_str) {
        let inside = |source: &str| member == source || member.starts_with(&format!("{source}/"));
        if !sources.iter().any(|source| inside(source)) {
            complaints.push(format!("Dockerfile: does not copy the member {member}"));
        }
    }
    let toolchain: Table =
        text(files, "rust-toolchain.toml")?.parse().map_err(|e| format!("{e}"))?;
    let channel = toolchain.get("toolchain").and_then(|t| t.get("channel")).and_then(Value::as_str);
    let channel = channel.ok_or("rust-toolchain.toml pins no channel")?;
    if !dockerfile.contains(&format!("FROM rust:{channel}-")) {
        complaints.push(format!("Dockerfile: its compiler is not the pinned {channel}"));
    }
    for must in ["\nUSER ", "\nHEALTHCHECK ", "\nENTRYPOINT [\"nearcast\"]"] {
        if !dockerfile.contains(must) {
            complaints.push(format!("Dockerfile: no {}", must.trim()));
        }
    }
    Ok(complaints)
}

/// Banned packages in the output of `cargo tree --prefix none`.
fn banned(tree: &str) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| BANNED.contains(name)).map(str::to_owned).collect()
}

mod tests {
    use std::process::Command;

    use super::super::tree::{self, list};
    use super::{Source, banned, image_faults};

    #[test]
    fn the_image_copies_what_there_is_and_builds_with_the_pinned_compiler() -> Result<(), String> {
        let files = tree::files().map_err(|e| e.to_string())?;
        let complaints = image_faults(&files)?;
        assert!(complaints.is_empty(), "{}", list(&complaints));
        Ok(())
    }

    #[test]
    fn a_bad_image_is_red() -> Result<(), String> {
        let foot = "USER n\nHEALTHCHECK CMD x\nENTRYPOINT [\"nearcast\"]\n";
        let faults = |dockerfile: &str| {
            image_faults(&[
                Source::sample("Cargo.toml", "[workspace]\nmembers = ['edge/core', 'cli']"),
                Source::sample("rust-toolchain.toml", "[toolchain]\nchannel = '1.2.3'"),
                Source::sample("edge/core/Cargo.toml", ""),
                Source::sample("cli/Cargo.toml", ""),
                Source::sample("Dockerfile", dockerfile),
            ])
        };
        let good = format!("FROM rust:1.2.3-slim\nCOPY Cargo.toml edge ./\nCOPY cli cli\n{foot}");
        assert_eq!(faults(&good)?, Vec::<String>::new());
        let rows = [
            ("compiler", good.replace("1.2.3", "1.2.4")),
            ("source gone", good.replace("COPY cli cli", "COPY cli gone cli")),
            ("member left out", good.replace("COPY cli cli\n", "")),
            ("root", good.replace("USER n\n", "")),
            ("no probe", good.replace("HEALTHCHECK CMD x\n", "")),
        ];
        for (name, dockerfile) in rows {
            assert_eq!(faults(&dockerfile)?.len(), 1, "{name}");
        }
        let from_stage = format!("{good}COPY --from=build /gone /gone\n");
        assert!(faults(&from_stage)?.is_empty(), "another stage's files are not ours to check");
        Ok(())
    }

    #[test]
    fn one_crypto_provider_is_built() -> std::io::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["tree", "--workspace", "--locked", "--offline", "--edges", "all"])
            .args(["--prefix", "none", "--format", "{p}"])
            .current_dir(tree::root())
            .output()?;
        let packages = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(packages.contains("aws-lc-rs v"), "the listing misses what is surely built");
        assert_eq!(banned(&packages), Vec::<String>::new());
        assert_eq!(banned("tokio v1.0.0\nring v0.17.14\nopenssl v0.10\n").len(), 2);
        Ok(())
    }
}
