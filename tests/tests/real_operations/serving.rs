//! Sites that are waited for, on edges that share a ledger.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output},
};

use nearcast_tests::real::{
    Tested,
    http::Connection,
    nats::Nats,
    node::listening,
    origin::Origin,
    process::{Process, Signal},
    program,
};
use tempfile::TempDir;

/// An edge over NATS, without a site in its file.
struct Edge {
    process: Process,
    http: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Edge {
    fn start(name: &str, nats: &Nats, of_edge: &str) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let text = format!(
            "[node]\nname = \"{name}\"\n[edge]\nlisten = [\"127.0.0.1:0\"]\n{of_edge}\
             [admin]\nlisten = \"127.0.0.1:0\"\nrequest_deadline = \"3s\"\n\
             [control]\nheartbeat = \"200ms\"\naway_after = \"1500ms\"\nlease = \"1s\"\n\
             [control.nats]\nservers = [\"{}\"]\nfolder = \".\"\nreplicas = 1\n\
             [log]\nformat = \"json\"\n",
            nats.url()
        );
        fs::write(folder.path().join("node.toml"), text)?;
        let mut command = Command::new(program::nearcast()?);
        command.args(["run", "--config"]).arg(folder.path().join("node.toml"));
        let process = Process::start(command.env("NEARCAST_WORKERS", "2"))?;
        let http = process.stderr_line(listening("the edge answers"))?;
        let admin = process.stderr_line(listening("the admin listener answers"))?;
        Ok(Self { process, http, admin, folder })
    }

    /// What it answers for the shop: its content, or that there is none such.
    fn shop(&self) -> Tested<String> {
        let response = Connection::open(self.http)?.host("shop.example").get("/")?;
        Ok(if response.status == 200 { response.text() } else { response.status.to_string() })
    }
}

const ALLOWED: &str =
    "origin_networks_allowed = [\"127.0.0.0/8\"]\nledger_origins = [\"127.0.0.0/8\"]\n";

fn origin(content: &str) -> Tested<Origin> {
    let length = content.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: no-store");
    Origin::answering(format!("{head}\r\n\r\n{content}"))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn sites_are_waited_for_until_every_edge_serves_them_or_says_why_not() {
    let mut nats = Nats::start().unwrap();
    let (fra, sin) = (
        Edge::start("fra-1", &nats, ALLOWED).unwrap(),
        Edge::start("sin-1", &nats, ALLOWED).unwrap(),
    );
    let token = fra.folder.path().join("token");
    let file = fra.folder.path().join("shop.toml");
    let file = file.to_str().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(program::nearcast().unwrap());
        command.args(arguments).args(["--admin", &sin.admin.to_string()]);
        command.arg("--token-file").arg(&token);
        command
    };
    let run = |arguments: &[&str]| -> Output { command(arguments).output().unwrap() };
    let write = |origin: &Origin| {
        let shop = format!(
            "[[site]]\nname = \"shop\"\nhosts = [\"shop.example\"]\n\
             origin = {{ servers = [\"http://{}\"] }}\n",
            origin.address
        );
        fs::write(file, shop).unwrap();
    };
    let both = |wanted: &str| {
        assert_eq!([fra.shop().unwrap(), sin.shop().unwrap()], [wanted; 2], "as it was waited for");
    };
    let (one, two) = (origin("one").unwrap(), origin("two").unwrap());

    write(&one);
    let made = run(&["site", "apply", file, "--wait=60s"]);
    let told = text(&made.stdout);
    assert!(made.status.success(), "{made:?}");
    assert!(told.ends_with("complete: all 2 edges serve by it\n"), "{told}");
    both("one");
    let again = run(&["site", "apply", file, "--wait", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(said["sites"][0]["done"], "unchanged", "{said}");
    assert_eq!(said["progress"]["state"], "complete", "{said}");

    // One that may not use this origin says so, and the others go by it.
    let mut iad = Edge::start("iad-1", &nats, "").unwrap();
    write(&two);
    let refused = run(&["site", "apply", file, "--wait=60s"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = text(&refused.stdout);
    assert!(told.contains("iad-1        refused: ") && told.contains("not public"), "{told}");
    assert!(text(&refused.stderr).contains("refused by iad-1"), "{refused:?}");
    both("two");

    // One that was killed serves nobody knows what, until it is taken out; also while the ledger is away.
    iad.process.signal(Signal::Kill).unwrap();
    iad.process.ended().unwrap();
    let late = run(&["site", "rollback", "shop", "--wait=3s"]);
    assert_eq!(late.status.code(), Some(1), "{late:?}");
    assert!(text(&late.stderr).contains("not yet served by iad-1"), "{late:?}");
    both("one");
    let mut waiting =
        Process::start(&mut command(&["site", "delete", "shop", "--wait=60s"])).unwrap();
    waiting.stdout_line(|line| line.contains("iad-1        away").then_some(())).unwrap();
    nats.kill().unwrap();
    waiting.stdout_line(|line| line.contains("not known for now").then_some(())).unwrap();
    nats.start_again().unwrap();
    waiting.stdout_line(|line| line.starts_with("partial").then_some(())).unwrap();
    let removed = run(&["node", "remove", "iad-1", "--force"]);
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(waiting.ended().unwrap().code(), Some(0), "{:?}", waiting.stderr());
    let told = waiting.stdout().join("\n");
    assert!(told.ends_with("complete: all 2 edges serve by it"), "{told}");
    both("421");
    let usage = run(&["site", "delete", "shop", "--wait=2days"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}
