//! Two nodes over one NATS, as an operator runs them.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Command, Output},
    time::Duration,
};

use nearcast_tests::real::{
    Tested,
    http::{Connection, Response},
    nats::Nats,
    origin::Origin,
    process::{Process, Signal},
    program, wait_for,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// A node, whose folder outlives its process.
struct Node {
    process: Process,
    edge: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Node {
    fn start(name: &str, nats: &Nats, origin: &Origin) -> Tested<Self> {
        Self::start_with(name, nats, origin, "")
    }

    /// With more lines under `[control]`.
    fn start_with(name: &str, nats: &Nats, origin: &Origin, control: &str) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let text = format!(
            "[node]\nname = \"{name}\"\n[edge]\nlisten = [\"127.0.0.1:0\"]\n\
             origin_networks_allowed = [\"127.0.0.0/8\"]\n\
             ledger_origins = [\"127.0.0.0/8\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [control]\n{control}[control.nats]\nservers = [\"{}\"]\nfolder = \".\"\nreplicas = 1\n\
             [[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigin = {{ servers = [\"http://{}\"] }}\n",
            nats.url(),
            origin.address
        );
        fs::write(folder.path().join("node.toml"), text)?;
        let (process, edge, admin) = run(&folder)?;
        Ok(Self { process, edge, admin, folder })
    }

    fn start_again(&mut self) -> Tested {
        (self.process, self.edge, self.admin) = run(&self.folder)?;
        Ok(())
    }

    fn get(&self, target: &str) -> Tested<Response> {
        Connection::open(self.edge)?.host("shop.test").get(target)
    }

    /// Whether it has it in its cache; it has then.
    fn hits(&self, target: &str) -> Tested<bool> {
        let response = self.get(target)?;
        assert_eq!(response.status, 200);
        Ok(response.is_hit())
    }

    /// What a client verb says here as JSON.
    fn json(&self, arguments: &[&str], first: &TempDir) -> Tested<Value> {
        let output = self.client(&[arguments, &["--json"]].concat(), first)?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What a client verb does here, with the token of the node that has it.
    fn client(&self, arguments: &[&str], first: &TempDir) -> Tested<Output> {
        let mut command = Command::new(program::nearcast()?);
        command.args(arguments).arg("--admin").arg(self.admin.to_string());
        command.arg("--token-file").arg(first.path().join("token"));
        Ok(command.output()?)
    }
}

fn run(folder: &TempDir) -> Tested<(Process, SocketAddr, SocketAddr)> {
    let mut command = Command::new(program::nearcast()?);
    command.args(["run", "--config"]).arg(folder.path().join("node.toml"));
    let process = Process::start(command.env("NEARCAST_WORKERS", "2"))?;
    let listens = |message: &str| {
        process.stderr_line(|line| {
            let rest = line.split_once(message)?.1.split_once("listen=")?.1;
            let address = rest.split_whitespace().next()?.trim_matches(['[', ']', ',']);
            address.parse().ok()
        })
    };
    let (edge, admin) = (listens("the edge answers")?, listens("the admin listener answers")?);
    Ok((process, edge, admin))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

const CACHED: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_purge_at_one_node_is_applied_by_all() {
    let nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Node::start("fra-1", &nats, &origin).unwrap();
    let mut sin = Node::start("sin-1", &nats, &origin).unwrap();
    for node in [&fra, &sin] {
        assert!(!node.hits("/a").unwrap());
        assert!(node.hits("/a").unwrap());
    }
    let purge = ["purge", "--site", "shop", "--url", "http://shop.test/a", "--wait", "--json"];
    // Either takes orders, and there is one set of tokens: the first node made the first.
    assert!(!sin.folder.path().join("token").exists());
    for node in [&fra, &sin] {
        let output = node.client(&purge, &fra.folder).unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let purged: Value = serde_json::from_slice(&output.stdout).unwrap();
        let nodes = purged["nodes"].as_array().unwrap();
        let names: Vec<&str> = nodes.iter().filter_map(|node| node["node"].as_str()).collect();
        assert_eq!(names, ["fra-1", "sin-1"], "{purged}");
        for node in [&fra, &sin] {
            assert!(!node.hits("/a").unwrap(), "purged before it was said");
            assert!(node.hits("/a").unwrap());
        }
    }

    // A node that is away is named, and has applied what it missed before it answers again.
    sin.process.signal(Signal::Kill).unwrap();
    sin.process.ended().unwrap();
    let partial = ["purge", "--site", "shop", "--all", "--wait=1s"];
    let output = fra.client(&partial, &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("sin-1"), "{output:?}");
    sin.start_again().unwrap();
    let output = fra.client(&["status"], &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    // One that ends in order is waited for no more.
    sin.process.signal(Signal::Terminate).unwrap();
    assert_eq!(sin.process.ended().unwrap().code(), Some(0));
    let output = fra.client(&purge, &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!text(&output.stdout).contains("sin-1"), "{output:?}");
}

#[test]
fn without_nats_nodes_serve_and_orders_are_refused() {
    let mut nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Node::start("fra-1", &nats, &origin).unwrap();
    let sin = Node::start("sin-1", &nats, &origin).unwrap();
    for node in [&fra, &sin] {
        assert!(!node.hits("/a").unwrap());
    }
    nats.kill().unwrap();
    let purge = ["purge", "--site", "shop", "--all", "--wait"];
    let output = fra.client(&purge, &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("ledger"), "{output:?}");
    let ready = || Connection::open(fra.admin)?.get("/readyz");
    let told = wait_for("what is told", || {
        let ready = ready()?;
        Ok(ready.text().contains("NATS").then_some(ready.status))
    });
    assert_eq!(told.unwrap(), 200, "it takes no traffic away");
    for node in [&fra, &sin] {
        assert!(node.hits("/a").unwrap(), "it serves what it has");
        assert!(!node.hits("/b").unwrap(), "and fetches what it has not");
    }
    nats.start_again().unwrap();
    wait_for("a purge", || {
        let output = fra.client(&purge, &fra.folder)?;
        Ok(output.status.success().then_some(()))
    })
    .unwrap();
    for node in [&fra, &sin] {
        assert!(!node.hits("/a").unwrap());
    }
}

/// Silences are short here.
const BRISK: &str = "heartbeat = \"200ms\"\nlease = \"1s\"\naway_after = \"1500ms\"\n";

#[test]
fn a_node_that_is_gone_for_good_is_away_and_then_removed() {
    let nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Node::start_with("fra-1", &nats, &origin, BRISK).unwrap();
    let mut sin = Node::start_with("sin-1", &nats, &origin, BRISK).unwrap();
    let state = |name: &str| -> Tested<Option<Value>> {
        let told = fra.json(&["node", "list"], &fra.folder)?;
        let nodes = told["nodes"].as_array().ok_or("no nodes")?;
        let node = nodes.iter().find(|node| node["name"] == name);
        Ok(node.map(|node| node["state"].clone()))
    };
    let wait = |name: &str, wanted: &str| {
        wait_for(wanted, || Ok(state(name)?.is_some_and(|state| state == wanted).then_some(())))
    };
    wait("sin-1", "here").unwrap();
    let output = fra.client(&["node", "remove", "sin-1"], &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("is here"), "{output:?}");
    sin.process.signal(Signal::Kill).unwrap();
    sin.process.ended().unwrap();
    wait("sin-1", "away").unwrap();
    wait("fra-1", "here").unwrap();
    let metrics = Connection::open(fra.admin).unwrap().get("/metrics").unwrap();
    assert!(metrics.text().contains("nearcast_ledger_nodes{state=\"away\"} 1"), "{metrics:?}");
    let purge = ["purge", "--site", "shop", "--all", "--wait=1s"];
    assert_eq!(fra.client(&purge, &fra.folder).unwrap().status.code(), Some(1));
    let output = fra.client(&["node", "remove", "sin-1"], &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fra.client(&purge, &fra.folder).unwrap().status.code(), Some(0));
    sin.start_again().unwrap();
    wait("sin-1", "here").unwrap();
}

#[test]
fn two_processes_of_one_name_say_so_and_purges_are_partial() {
    let nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Node::start_with("fra-1", &nats, &origin, BRISK).unwrap();
    let mut twin = Node::start_with("fra-1", &nats, &origin, BRISK).unwrap();
    for node in [&fra, &twin] {
        let ready = wait_for("what is told", || {
            let ready = Connection::open(node.admin)?.get("/readyz")?;
            Ok(ready.text().contains("another process").then_some(ready.status))
        });
        assert_eq!(ready.unwrap(), 200, "it takes no traffic away");
        let metrics = Connection::open(node.admin).unwrap().get("/metrics").unwrap().text();
        assert!(metrics.contains("nearcast_ledger_troubles{trouble=\"twin\"} 1"), "{metrics}");
    }
    let told = fra.json(&["purge", "--site", "shop", "--all", "--wait=1s"], &fra.folder).unwrap();
    assert_eq!((&told["state"], &told["nodes"][0]["contested"]), (&"partial".into(), &true.into()));
    // One that ends in order leaves the name to the other.
    twin.process.signal(Signal::Terminate).unwrap();
    assert_eq!(twin.process.ended().unwrap().code(), Some(0));
    wait_for("a purge", || {
        let output = fra.client(&["purge", "--site", "shop", "--all", "--wait"], &fra.folder)?;
        Ok(output.status.success().then_some(()))
    })
    .unwrap();
    let ready = Connection::open(fra.admin).unwrap().get("/readyz").unwrap();
    assert!(!ready.text().contains("another process"), "{}", ready.text());
}

#[test]
fn an_edge_with_a_lease_asks_its_origin_while_the_ledger_is_lost() {
    let mut nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Node::start_with("fra-1", &nats, &origin, BRISK).unwrap();
    let leased = format!("{BRISK}ledger_lost = \"revalidate\"\n");
    let mut sin = Node::start_with("sin-1", &nats, &origin, &leased).unwrap();
    for node in [&fra, &sin] {
        assert!(!node.hits("/a").unwrap());
        assert!(node.hits("/a").unwrap());
    }
    // One that stands still is not waited for once its lease has lapsed, and then serves nothing on it.
    sin.process.signal(Signal::Stop).unwrap();
    let purge = ["purge", "--site", "shop", "--all", "--wait=9s"];
    let told = fra.json(&purge, &fra.folder).unwrap();
    assert_eq!(told["state"], "complete", "{told}");
    assert_eq!(told["nodes"][1]["lapsed"], true, "{told}");
    sin.process.signal(Signal::Continue).unwrap();
    assert!(!sin.hits("/a").unwrap(), "it was purged");
    wait_for("the lease", || Ok(sin.hits("/a")?.then_some(()))).unwrap();
    assert!(!fra.hits("/a").unwrap());

    nats.kill().unwrap();
    wait_for("its end", || Ok((!sin.hits("/a")?).then_some(()))).unwrap();
    for _ in 0..3 {
        assert!(!sin.hits("/a").unwrap(), "each time");
        assert!(fra.hits("/a").unwrap(), "this one serves on");
    }
    // One that is started now never had a lease.
    sin.process.signal(Signal::Kill).unwrap();
    sin.process.ended().unwrap();
    sin.start_again().unwrap();
    for _ in 0..3 {
        assert!(!sin.hits("/a").unwrap(), "each time");
    }
    nats.start_again().unwrap();
    wait_for("the lease again", || Ok(sin.hits("/a")?.then_some(()))).unwrap();
}

#[test]
fn a_node_whose_nats_is_not_there_serves_and_joins_when_it_is() {
    let mut nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Node::start("fra-1", &nats, &origin).unwrap();
    let mut sin = Node::start("sin-1", &nats, &origin).unwrap();
    sin.process.signal(Signal::Kill).unwrap();
    sin.process.ended().unwrap();
    // It comes back to no ledger, and misses this one for good until there is.
    let purge = ["purge", "--site", "shop", "--all"];
    assert_eq!(fra.client(&purge, &fra.folder).unwrap().status.code(), Some(0));
    nats.kill().unwrap();
    sin.start_again().unwrap();
    assert!(!sin.hits("/a").unwrap());
    assert!(sin.hits("/a").unwrap(), "it serves what its file says");
    let ready = Connection::open(sin.admin).unwrap().get("/readyz").unwrap();
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains(&nats.url()), "{}", ready.text());
    let output = sin.client(&purge, &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    nats.start_again().unwrap();
    let joined = wait_for("sin-1", || {
        let output = fra.client(&["status"], &fra.folder)?;
        Ok(output.status.success().then_some(()))
    });
    joined.unwrap();
    assert!(!sin.hits("/a").unwrap(), "what it stored is older than what it missed");
    let waited = ["purge", "--site", "shop", "--all", "--wait"];
    let output = sin.client(&waited, &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_node_that_still_waits_for_its_nats_ends_when_it_is_told_to() {
    // It takes connections and says nothing, for which a node has patience.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let node = format!(
        "[edge]\nlisten = [\"127.0.0.1:0\"]\n[control.nats]\nservers = [\"nats://{}\"]\nfolder = \".\"\n",
        silent.local_addr().unwrap()
    );
    let file = folder.path().join("node.toml");
    fs::write(&file, node).unwrap();
    let mut command = Command::new(program::nearcast().unwrap());
    let mut process = Process::start(command.args(["run", "--config"]).arg(&file)).unwrap();
    let (connection, _) = silent.accept().unwrap();
    let told = Instant::now();
    process.signal(Signal::Terminate).unwrap();
    let status = process.ended().unwrap();
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert_eq!(status.code(), Some(0), "{:?}", process.stderr());
    drop(connection);
}

#[test]
fn a_node_that_nats_does_not_take_says_so_and_ends() {
    let nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let node = Node::start("fra-1", &nats, &origin).unwrap();
    let file = node.folder.path().join("node.toml");
    // Nobody has three servers here.
    let written = fs::read_to_string(&file).unwrap().replace("replicas = 1", "replicas = 3");
    let written = written.replace("[control.nats]", "[control.nats]\nprefix = \"other\"");
    fs::write(&file, written).unwrap();
    let mut command = Command::new(program::nearcast().unwrap());
    command.args(["run", "--config"]).arg(&file);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("replicas"), "{output:?}");
}

#[test]
fn a_site_added_through_one_node_is_served_by_all() {
    let mut nats = Nats::start().unwrap();
    let (origin, blogs) = (Origin::answering(CACHED).unwrap(), Origin::answering(BLOG).unwrap());
    let fra = Node::start("fra-1", &nats, &origin).unwrap();
    let mut sin = Node::start("sin-1", &nats, &origin).unwrap();
    let file = fra.folder.path().join("blog.toml");
    let site = format!(
        "[[site]]\nname = \"blog\"\nhosts = [\"blog.test\"]\n\
         origin = {{ servers = [\"http://{}\"] }}\n",
        blogs.address
    );
    fs::write(&file, &site).unwrap();
    let apply = ["site", "apply", file.to_str().unwrap()];
    let blog = |node: &Node| -> Tested<String> {
        Ok(Connection::open(node.edge)?.host("blog.test").get("/")?.text())
    };
    // Through the one that did not make the first token.
    let output = sin.client(&apply, &fra.folder).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for node in [&fra, &sin] {
        wait_for("the site is served", || Ok((blog(node)? == "blog").then_some(()))).unwrap();
    }
    // A node that was away has it before it answers.
    sin.process.signal(Signal::Kill).unwrap();
    sin.process.ended().unwrap();
    fs::write(&file, site.replace("blog.test", "news.test")).unwrap();
    assert_eq!(fra.client(&apply, &fra.folder).unwrap().status.code(), Some(0));
    sin.start_again().unwrap();
    assert_eq!(blog(&sin).unwrap(), "ok", "the catch-all of the file");
    let kept = || fs::read_to_string(sin.folder.path().join("nats.sites"));
    wait_for("it is kept on disk", || Ok(kept()?.contains("news.test").then_some(()))).unwrap();
    // Without the ledger nobody writes, and everybody serves.
    nats.kill().unwrap();
    assert_eq!(fra.client(&apply, &fra.folder).unwrap().status.code(), Some(1));
    for node in [&fra, &sin] {
        let news = Connection::open(node.edge).unwrap().host("news.test").get("/").unwrap();
        assert_eq!(news.text(), "blog");
    }
    // Also who is started then, by what it kept.
    sin.process.signal(Signal::Kill).unwrap();
    sin.process.ended().unwrap();
    sin.start_again().unwrap();
    let news = Connection::open(sin.edge).unwrap().host("news.test").get("/").unwrap();
    assert_eq!(news.text(), "blog");
}

const BLOG: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nblog";
