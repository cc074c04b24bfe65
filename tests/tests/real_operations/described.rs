//! The admin API against its own description: what `/openapi.json` says, schemathesis asks.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use nearcast_control::api::openapi;
use nearcast_tests::real::{Tested, process::Process, program};
use serde_json::Value;

/// What is asked of each operation beside the corners of its schema.
const EXAMPLES: &str = "15";
/// The same cases in every run.
const SEED: &str = "7";

#[test]
fn the_page_of_the_api_is_what_the_parts_say_of_themselves() -> Tested {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let kept: Value = serde_json::from_slice(&fs::read(page)?)?;
    let (own, other) = (openapi::document(), geodns::admin::description());
    // No two parts mean different things by one name.
    for place in ["/paths", "/components/schemas"] {
        let part = |document: &Value| document.pointer(place).cloned().unwrap_or_default();
        let (own, other) = (part(&own), part(&other));
        for (name, said) in other.as_object().into_iter().flatten() {
            assert!(own.get(name).is_none_or(|theirs| theirs == said), "{name}");
        }
    }
    let joined = openapi::joined(own, &other);
    assert_eq!(kept, joined, "cargo run -p nearcast-tests --example openapi makes it anew");
    let named = joined["components"]["schemas"].as_object().map_or(0, serde_json::Map::len);
    assert!(joined["paths"]["/v1/route"].is_object() && named > 0);
    // Every reference leads somewhere.
    for reference in joined.to_string().split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(joined["components"]["schemas"][name].is_object(), "{name}");
    }
    Ok(())
}

#[test]
fn the_api_answers_as_its_description_says_whatever_is_asked() -> Tested {
    let folder = tempfile::tempdir()?;
    // Nothing of a token's rate, which the description knows as an answer of every operation.
    let text = "[node]\nname = \"described\"\n[edge]\nlisten = [\"127.0.0.1:0\"]\n\
                origin_networks_allowed = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                [control]\nembedded = \"ledger.redb\"\nrequests_per_second = 100000\n\
                [[site]]\nname = \"www\"\nhosts = [\"www.test\"]\n\
                origin = { servers = [\"http://127.0.0.1:9\"] }\n\
                [geodns]\nlisten = [\"127.0.0.1:0\"]\n\
                [[geodns.zone]]\nname = \"cdn.test\"\nservers = [\"ns.invalid\"]\n\
                [[geodns.route]]\nname = \"www\"\nnames = [\"www\"]\n\
                [[pop]]\nname = \"fra\"\naddresses = [\"127.0.0.3\"]\n";
    fs::write(folder.path().join("node.toml"), text)?;
    let mut command = Command::new(program::nearcast()?);
    let process =
        Process::start(command.args(["run", "--config", "node.toml"]).current_dir(&folder))?;
    let admin: SocketAddr = process.stderr_line(|line| {
        let rest = line.split_once("the admin listener answers")?.1.split_once("listen=")?.1;
        rest.split_whitespace().next()?.trim_matches(['[', ']', ',']).parse().ok()
    })?;
    let token = fs::read_to_string(folder.path().join("token"))?;
    let answer = Command::new(program::schemathesis()?)
        .arg("run")
        .arg(format!("http://{admin}/openapi.json"))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--checks", "all", "--continue-on-failure", "--no-color", "--warnings", "off"])
        // A site may fit its schema and still be refused, as one whose host another site has.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--max-examples", EXAMPLES, "--seed", SEED])
        // It keeps what it has found in the folder where it runs.
        .current_dir(&folder)
        .output()?;
    let told = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{told}{}", String::from_utf8_lossy(&answer.stderr));
    // It says so as well when it has asked nothing.
    let tested =
        told.lines().find_map(|line| line.trim().strip_prefix("Tested:")?.trim().parse().ok());
    assert!(tested >= Some(8), "{told}");
    Ok(())
}
