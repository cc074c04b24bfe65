//! The admin API against its own description: what `/openapi.json` says, schemathesis asks.

use std::{fs, net::SocketAddr, process::Command};

use nearcast_tests::real::{Tested, process::Process, program};

/// What is asked of each operation beside the corners of its schema.
const EXAMPLES: &str = "15";
/// The same cases in every run.
const SEED: &str = "7";

#[test]
fn the_api_answers_as_its_description_says_whatever_is_asked() -> Tested {
    let folder = tempfile::tempdir()?;
    // Nothing of a token's rate, which the description knows as an answer of every operation.
    let text = "[node]\nname = \"described\"\n[edge]\nlisten = [\"127.0.0.1:0\"]\n\
                origin_networks_allowed = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                [control]\nembedded = \"ledger.redb\"\nrequests_per_second = 100000\n\
                [[site]]\nname = \"www\"\nhosts = [\"www.test\"]\n\
                origin = { servers = [\"http://127.0.0.1:9\"] }\n";
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
