//! Purges as an operator orders them: `up` and `run` with a ledger, and the verbs over it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use nearcast_tests::real::{
    Tested,
    http::Connection,
    process::{Process, Signal},
    program,
    up::Up,
    wait_for,
};
use serde_json::Value;
use tempfile::TempDir;

/// Whether each edge answers from its cache; what was not stored is then.
fn hits(up: &Up, target: &str) -> Tested<Vec<bool>> {
    let get = |edge: SocketAddr| -> Tested<bool> {
        let response = Connection::open(edge)?.host("www.cdn.test").get(target)?;
        if response.status != 200 {
            return Err(format!("{target}: {}", response.status).into());
        }
        Ok(response.is_hit())
    };
    up.edges().into_iter().map(get).collect()
}

fn act(up: &Up, edge: &str, what: &str) -> Tested<()> {
    let path = format!("/up/edges/{edge}/{what}");
    let response = Connection::open(up.fact("admin").parse()?)?.ask("POST", &path, &[])?;
    if response.status == 200 { Ok(()) } else { Err(format!("{path}: {response:?}").into()) }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

const ALL: [bool; 3] = [true; 3];
const NONE: [bool; 3] = [false; 3];

#[test]
fn what_is_purged_is_a_miss_on_every_edge() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    for target in ["/", "/style.css"] {
        assert_eq!(hits(&up, target).unwrap(), NONE);
        assert_eq!(hits(&up, target).unwrap(), ALL);
    }
    let counted = up.json(&["purge", "--site", "www", "--all", "--dry-run"]).unwrap();
    let counts: Vec<&Value> =
        counted["nodes"].as_array().unwrap().iter().map(|node| &node["responses"]).collect();
    assert_eq!(counts, [2, 2, 2]);
    assert_eq!(hits(&up, "/").unwrap(), ALL, "a dry run purges nothing");

    let url = "http://WWW.cdn.test/style.css";
    let purged = up.client(&["purge", "--site", "www", "--url", url, "--wait=10s"]).unwrap();
    let told = text(&purged.stdout);
    assert_eq!(purged.status.code(), Some(0), "{purged:?}");
    for name in ["iad", "fra", "sin"] {
        assert!(
            told.lines().any(|line| line.contains(name) && line.contains("applied in")),
            "{told}"
        );
    }
    assert!(told.contains("complete"), "{told}");
    assert_eq!(hits(&up, "/style.css").unwrap(), NONE);
    assert_eq!(hits(&up, "/").unwrap(), ALL, "another URL stays");

    let purged = up.json(&["purge", "--site", "www", "--all", "--wait"]).unwrap();
    assert_eq!(purged["state"], "complete");
    assert_eq!(hits(&up, "/").unwrap(), NONE);
    assert_eq!(hits(&up, "/style.css").unwrap(), NONE);
    let status = up.client(&["status"]).unwrap();
    assert_eq!(status.status.code(), Some(0), "{status:?}");
    assert_eq!(text(&status.stdout).matches("all applied").count(), 3);
    up.interrupted().unwrap();
}

#[test]
fn a_url_is_explained_before_and_after_its_purge() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    let url = "http://www.cdn.test/style.css";
    let next = || -> Tested<Vec<(bool, Value, Value)>> {
        let told = up.json(&["explain", url])?;
        let nodes = told["nodes"].as_array().ok_or("no nodes")?;
        let next = |node: &Value| {
            let next = &node["next"];
            (next["hit"] == true, next["fwd"].clone(), next["detail"].clone())
        };
        Ok(nodes.iter().map(next).collect())
    };
    let all = |next: (bool, Value, Value)| vec![next; 3];
    assert_eq!(next().unwrap(), all((false, "uri-miss".into(), Value::Null)));
    assert_eq!(hits(&up, "/style.css").unwrap(), NONE);
    assert_eq!(next().unwrap(), all((true, Value::Null, Value::Null)));
    let told = text(&up.client(&["explain", url]).unwrap().stdout);
    assert_eq!(told.matches("hit: it is stored, and fresh for").count(), 3, "{told}");
    assert_eq!(told.matches("200 fresh, age ").count(), 3, "{told}");
    // Looking changes nothing.
    up.json(&["purge", "--site", "www", "--url", url, "--soft", "--wait"]).unwrap();
    let told = up.json(&["explain", url]).unwrap();
    let stored = &told["nodes"][0]["stored"][0];
    assert_eq!((&stored["state"], &stored["soft_purged"]), (&"stale".into(), &true.into()));
    up.json(&["purge", "--site", "www", "--url", url, "--wait"]).unwrap();
    let (hit, _, detail) = next().unwrap().swap_remove(0);
    // The sweeper may have been there already.
    assert!(!hit && (detail == "purged" || detail.is_null()), "{detail}");
    assert_eq!(hits(&up, "/style.css").unwrap(), NONE);
    let refused = up.client(&["explain", "style.css"]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    up.interrupted().unwrap();
}

#[test]
fn an_edge_that_was_stopped_is_not_waited_for_and_joins_again() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    act(&up, "fra", "stop").unwrap();
    let purged = up.json(&["purge", "--site", "www", "--all", "--wait"]).unwrap();
    let nodes: Vec<&Value> =
        purged["nodes"].as_array().unwrap().iter().map(|node| &node["node"]).collect();
    assert_eq!(nodes, ["iad", "sin"]);
    for edge in ["iad", "sin"] {
        act(&up, edge, "stop").unwrap();
    }
    // Nobody holds anything, so it is done.
    let purged = up.json(&["purge", "--site", "www", "--all", "--wait"]).unwrap();
    assert_eq!((&purged["state"], &purged["nodes"]), (&"complete".into(), &Value::Array(vec![])));
    for edge in ["iad", "fra", "sin"] {
        act(&up, edge, "start").unwrap();
    }
    let purged = up.json(&["purge", "--site", "www", "--all", "--wait"]).unwrap();
    assert_eq!(purged["nodes"].as_array().map(Vec::len), Some(3), "{purged}");
    up.interrupted().unwrap();
}

#[test]
fn an_order_whose_content_is_arriving_is_answered_when_the_process_ends() {
    let data = tempfile::tempdir().unwrap();
    let mut up = Up::start(data.path()).unwrap();
    let admin: SocketAddr = up.fact("admin").parse().unwrap();
    let token = fs::read_to_string(up.fact("token_file")).unwrap();
    let content = r#"{"site":"www","selectors":["all"]}"#;
    let (first, rest) = content.split_at(5);
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = content.len();
    write!(
        stream,
        "POST /v1/purges HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{first}",
        token.trim()
    )
    .unwrap();
    // Whoever asks after it is answered after it was let in.
    Connection::open(admin).unwrap().get("/healthz").unwrap();
    up.process.signal(Signal::Interrupt).unwrap();
    wait_for("the listener to end", || Ok(TcpStream::connect(admin).is_err().then_some(())))
        .unwrap();
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(up.process.ended().unwrap().code(), Some(0));
}

#[test]
fn the_ledger_and_its_tokens_outlive_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let mut up = Up::start(data.path()).unwrap();
    let token = PathBuf::from(up.fact("token_file"));
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let made = up.client(&["token", "make", "--may", "purge", "--site", "www"]).unwrap();
    let secret = text(&made.stdout).trim().to_owned();
    assert!(made.status.success() && secret.starts_with("nct_"), "{made:?}");
    let purged = up.json(&["purge", "--site", "www", "--tag", "sale", "--wait"]).unwrap();
    let id = purged["id"].as_str().unwrap().to_owned();
    up.process.signal(Signal::Kill).unwrap();
    up.process.ended().unwrap();

    let up = Up::start(data.path()).unwrap();
    let mut purge = Command::new(program::nearcast().unwrap());
    purge.args([
        "purge",
        "--site",
        "www",
        "--all",
        "--wait",
        "--json",
        "--admin",
        up.fact("admin"),
    ]);
    let output = purge.env("NEARCAST_TOKEN", &secret).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let purged: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (epoch, seq) = id.split_once('-').unwrap();
    let next = seq.parse::<u64>().unwrap() + 1;
    assert_eq!(purged["id"], format!("{epoch}-{next}"), "the log goes on where it was");
    let own = secret.split('_').nth(1).unwrap();
    assert_eq!(purged["by"], own);
    // Revoked, it opens nothing.
    assert!(up.client(&["token", "revoke", own]).unwrap().status.success());
    let output = purge.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("revoked"), "{output:?}");
    let listed = text(&up.client(&["token", "list"]).unwrap().stdout);
    assert!(listed.lines().any(|line| line.contains(own) && line.contains("revoked")), "{listed}");
    assert!(!listed.contains(&secret));
    up.interrupted().unwrap();
}

#[test]
fn what_is_refused_is_said_and_ends_with_its_code() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(data.path()).unwrap();
    let rows: [(&[&str], i32, &str); 6] = [
        (&["purge", "--site", "none", "--all"], 1, "no site \"none\""),
        (&["purge", "--site", "www", "--url", "nonsense"], 1, "is not a URL"),
        (&["purge", "--site", "www"], 2, "required"),
        (&["purge", "--site", "www", "--all", "--wait=soon"], 2, "--wait"),
        (&["purge", "--site", "www", "--all", "--wait=1h"], 1, "up to"),
        (&["token", "revoke", "none"], 1, "no token"),
    ];
    for (arguments, code, said) in rows {
        let output = up.client(arguments).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stdout), "");
    }
    let mut without = Command::new(program::nearcast().unwrap());
    without.args(["status", "--token-file", "not-there", "--admin", up.fact("admin")]);
    let output = without.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not-there"), "{output:?}");
    up.interrupted().unwrap();
}

/// A node file with a ledger, whose admin listener is found in its log.
fn node(folder: &TempDir) -> Tested<(Process, String)> {
    let file = folder.path().join("node.toml");
    fs::write(
        &file,
        "[node]\nname = \"fra-1\"\n[edge]\nlisten = [\"127.0.0.1:0\"]\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[control]\nembedded = \"ledger.redb\"\n\
         [[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigin = { servers = [\"https://origin.test\"] }\n",
    )?;
    let mut command = Command::new(program::nearcast()?);
    let process = Process::start(command.args(["run", "--config"]).arg(file))?;
    let admin = process.stderr_line(|line| {
        let rest = line.split_once("the admin listener answers")?.1;
        let address = rest.split_once("listen=")?.1;
        Some(address.split_whitespace().next()?.to_owned())
    })?;
    Ok((process, admin))
}

#[test]
fn a_node_file_names_its_ledger_and_one_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, admin) = node(&folder).unwrap();
    let purge = || {
        let mut command = Command::new(program::nearcast().unwrap());
        command.args(["purge", "--site", "shop", "--all", "--wait", "--admin", &admin]);
        command.arg("--token-file").arg(folder.path().join("token")).output().unwrap()
    };
    let output = purge();
    assert!(text(&output.stdout).contains("fra-1"), "{output:?}");
    let mut second = Command::new(program::nearcast().unwrap());
    second.args(["run", "--config"]).arg(folder.path().join("node.toml"));
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("in use by another process"), "{output:?}");
    process.signal(Signal::Terminate).unwrap();
    assert_eq!(process.ended().unwrap().code(), Some(0));

    // Another ledger in its place: the node says so, and goes on.
    fs::remove_file(folder.path().join("ledger.redb")).unwrap();
    let (mut process, admin) = node(&folder).unwrap();
    process.stderr_line(|line| line.contains("everything stored is purged").then_some(())).unwrap();
    wait_for("readiness", || {
        let ready = Connection::open(admin.parse()?)?.get("/readyz")?;
        Ok((ready.status == 200).then_some(()))
    })
    .unwrap();
    process.signal(Signal::Terminate).unwrap();
    assert_eq!(process.ended().unwrap().code(), Some(0));
}
