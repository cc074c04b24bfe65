//! Nodes that are drained: clients are sent elsewhere, on one machine and on many.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Output},
};

use nearcast_tests::real::{
    Tested,
    geodns::{GeoDns, dig},
    http::Connection,
    nats::Nats,
    node::listening,
    origin::Origin,
    process::{Process, Signal},
    program, wait_for,
};
use serde_json::Value;
use tempfile::TempDir;

const NEAR_FRA: &str = "198.51.100.0/24";
const CACHED: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 2\r\n\r\nok";

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// What a client verb does at a node, with the token in a folder.
fn client(admin: SocketAddr, token: &TempDir, arguments: &[&str]) -> Tested<Output> {
    let mut command = Command::new(program::nearcast()?);
    command.args(arguments).arg("--admin").arg(admin.to_string());
    Ok(command.arg("--token-file").arg(token.path().join("token")).output()?)
}

/// The same, which must be done.
fn done(admin: SocketAddr, token: &TempDir, arguments: &[&str]) -> Tested<String> {
    let output = client(admin, token, arguments)?;
    if !output.status.success() {
        return Err(format!("{arguments:?}: {output:?}").into());
    }
    Ok(text(&output.stdout))
}

fn until(what: &str, wanted: &str, mut look: impl FnMut() -> Tested<String>) {
    let mut last = String::new();
    let came = wait_for(what, || {
        last = look()?;
        Ok((last == wanted).then_some(()))
    });
    assert!(came.is_ok(), "{what}: {last}, not {wanted}");
}

/// `nearcast up`, on a ledger that outlives it.
struct Up {
    process: Process,
    dns: SocketAddr,
    admin: SocketAddr,
}

impl Up {
    fn start(data: &TempDir) -> Tested<Self> {
        let mut command = Command::new(program::nearcast()?);
        command.args(["up", "--http-port", "0", "--dns-port", "0", "--admin-port", "0"]);
        let process = Process::start(command.arg("--data").arg(data.path()))?;
        process.stdout_line(|line| line.contains("Ctrl-C").then_some(()))?;
        let facts: Value = serde_json::from_slice(&fs::read(data.path().join("up.json"))?)?;
        let address = |name: &str| -> Tested<SocketAddr> {
            Ok(facts[name].as_str().ok_or("no address")?.parse()?)
        };
        Ok(Self { process, dns: address("dns")?, admin: address("admin")? })
    }

    fn near_fra(&self) -> Tested<String> {
        dig(self.dns, "www.cdn.test", &[&format!("+subnet={NEAR_FRA}")])
    }
}

#[test]
fn a_drained_edge_gets_no_clients_also_after_a_restart_until_it_is_undrained() {
    let data = tempfile::tempdir().unwrap();
    let mut up = Up::start(&data).unwrap();
    assert_eq!(up.near_fra().unwrap(), "127.0.0.3");
    let ended = done(up.admin, &data, &["node", "drain", "fra", "--wait=60s"]).unwrap();
    assert!(ended.contains("answers without 127.0.0.3"), "{ended}");
    assert!(ended.ends_with("fra has none of clients any more\n"), "{ended}");
    assert_ne!(up.near_fra().unwrap(), "127.0.0.3", "as it was waited for");
    let listed = done(up.admin, &data, &["node", "list"]).unwrap();
    let fra = listed.lines().find(|line| line.starts_with("fra")).unwrap();
    assert!(fra.contains("here, drained"), "{listed}");

    up.process.signal(Signal::Interrupt).unwrap();
    up.process.ended().unwrap();
    let up = Up::start(&data).unwrap();
    assert_ne!(up.near_fra().unwrap(), "127.0.0.3", "from its first answer on");

    // With two more drained nobody would be left.
    done(up.admin, &data, &["node", "drain", "iad"]).unwrap();
    until("the third edge", "127.0.0.4", || up.near_fra());
    let refused = client(up.admin, &data, &["node", "drain", "sin"]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stderr).contains("last edge"), "{refused:?}");
    done(up.admin, &data, &["node", "drain", "sin", "--force"]).unwrap();
    until("drains that are given up", "127.0.0.3", || up.near_fra());
    done(up.admin, &data, &["node", "undrain", "sin"]).unwrap();
    until("the one that is not drained", "127.0.0.4", || up.near_fra());
    done(up.admin, &data, &["node", "undrain", "fra"]).unwrap();
    until("the nearest", "127.0.0.3", || up.near_fra());
}

/// An edge of a PoP, at an address of its own, over NATS.
struct Edge {
    process: Process,
    http: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Edge {
    fn start(name: &str, address: &str, nats: &Nats, origin: &Origin) -> Tested<Self> {
        let folder = tempfile::tempdir()?;
        let pop = name.split('-').next().unwrap_or_default();
        let text = format!(
            "[node]\nname = \"{name}\"\npop = \"{pop}\"\naddresses = [\"{address}\"]\n\
             [edge]\nlisten = [\"{address}:0\"]\norigin_networks_allowed = [\"127.0.0.0/8\"]\n\
             [admin]\nlisten = \"127.0.0.1:0\"\nrequest_deadline = \"3s\"\n{}[log]\nformat = \"json\"\n\
             [[site]]\nname = \"www\"\nhosts = [\"*\"]\norigin = {{ servers = [\"http://{}\"] }}\n",
            control(nats),
            origin.address
        );
        fs::write(folder.path().join("node.toml"), text)?;
        let mut command = Command::new(program::nearcast()?);
        command.args(["run", "--config"]).arg(folder.path().join("node.toml"));
        let process = Process::start(command.env("NEARCAST_WORKERS", "2"))?;
        let http = process.stderr_line(listening("the edge answers"))?;
        let admin = process.stderr_line(listening("the admin listener answers"))?;
        Ok(Self { process, http, admin, folder })
    }
}

fn control(nats: &Nats) -> String {
    format!(
        "[control]\nheartbeat = \"200ms\"\naway_after = \"1500ms\"\nlease = \"1s\"\n[control.nats]\n\
         servers = [\"{}\"]\nfolder = \".\"\nreplicas = 1\n",
        nats.url()
    )
}

/// A name server over NATS; the file names the addresses of `fra`.
fn name_server(name: &str, nats: &Nats) -> String {
    format!(
        "[node]\nname = \"{name}\"\n{}[geodns]\nlisten = [\"127.0.0.1:0\"]\n\
         zone = [{{ name = \"cdn.test\", servers = [\"ns.invalid\"] }}]\n\
         [[geodns.map]]\nname = \"default\"\n\
         prefer = [{{ pops = [\"fra\"], networks = [\"{NEAR_FRA}\"] }}]\n\
         [[geodns.route]]\nname = \"www\"\nnames = [\"www\"]\nmap = \"default\"\nttl = \"1s\"\n\
         [[pop]]\nname = \"fra\"\naddresses = [\"127.0.0.3\", \"127.0.0.4\"]\n\
         [[pop]]\nname = \"sin\"\naddresses = [\"127.0.0.5\"]\n",
        control(nats)
    )
}

/// All that a client near fra is answered.
fn near_fra(server: &GeoDns) -> Tested<String> {
    let port = server.dns.port().to_string();
    let mut command = Command::new(program::tool("dig")?);
    command.args(["@127.0.0.1", "-p", &port, "+short", "www.cdn.test", "A"]);
    let output = command.arg(format!("+subnet={NEAR_FRA}")).output()?;
    let output = text(&output.stdout);
    let mut addresses: Vec<&str> = output.lines().collect();
    addresses.sort_unstable();
    Ok(addresses.join(" "))
}

#[test]
fn every_name_server_goes_by_a_drain_also_without_the_ledger() {
    let mut nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let mut fra_1 = Edge::start("fra-1", "127.0.0.3", &nats, &origin).unwrap();
    let _fra_2 = Edge::start("fra-2", "127.0.0.4", &nats, &origin).unwrap();
    let sin_1 = Edge::start("sin-1", "127.0.0.5", &nats, &origin).unwrap();
    let token = &fra_1.folder;
    let mut servers =
        ["ns-1", "ns-2"].map(|name| GeoDns::start(&name_server(name, &nats)).unwrap());
    for server in &servers {
        assert_eq!(near_fra(server).unwrap(), "127.0.0.3 127.0.0.4");
    }
    done(sin_1.admin, token, &["node", "drain", "fra-1"]).unwrap();
    for server in &servers {
        until("one address", "127.0.0.4", || near_fra(server));
    }
    // It is stopped, as it was drained for, and leaves the ledger; then another one dies.
    fra_1.process.signal(Signal::Terminate).unwrap();
    assert_eq!(fra_1.process.ended().unwrap().code(), Some(0));
    let listed = || done(sin_1.admin, token, &["node", "list"]);
    wait_for("its leave", || Ok(listed()?.contains("gone, drained").then_some(()))).unwrap();
    for server in &servers {
        assert_eq!(near_fra(server).unwrap(), "127.0.0.4", "it has left, and is drained still");
    }
    done(sin_1.admin, token, &["node", "drain", "fra-2"]).unwrap();
    for server in &servers {
        until("another PoP", "127.0.0.5", || near_fra(server));
    }
    // A name server that starts without the ledger goes by what it knew.
    nats.kill().unwrap();
    let server = &mut servers[0];
    server.start_again().unwrap();
    assert_eq!(near_fra(server).unwrap(), "127.0.0.5");
    nats.start_again().unwrap();
    wait_for("an order", || {
        Ok(client(sin_1.admin, token, &["node", "undrain", "fra-2"])?
            .status
            .success()
            .then_some(()))
    })
    .unwrap();
    for server in &servers {
        until("the PoP again", "127.0.0.4", || near_fra(server));
    }
}

#[test]
fn a_pop_that_says_that_it_is_full_gets_no_more_clients_while_another_does_not() {
    let nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Edge::start("fra-1", "127.0.0.3", &nats, &origin).unwrap();
    let _sin = Edge::start("sin-1", "127.0.0.5", &nats, &origin).unwrap();
    let of_four = "name = \"fra\"\ncapacity = 4\n";
    let text = name_server("ns-1", &nats).replace("name = \"fra\"\n", of_four);
    let server = GeoDns::start(&text).unwrap();
    assert_eq!(near_fra(&server).unwrap(), "127.0.0.3 127.0.0.4");
    let clients: Vec<Connection> = (0..5)
        .map(|_| {
            let mut client = Connection::open(fra.http).unwrap();
            assert_eq!(client.get("/").unwrap().status, 200);
            client
        })
        .collect();
    until("the one that is not full", "127.0.0.5", || near_fra(&server));
    drop(clients);
    until("the nearest", "127.0.0.3 127.0.0.4", || near_fra(&server));
}

#[test]
fn a_drain_that_is_waited_for_ends_once_no_client_can_come_and_none_is_left() {
    let mut nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Edge::start("fra-1", "127.0.0.3", &nats, &origin).unwrap();
    let sin = Edge::start("sin-1", "127.0.0.5", &nats, &origin).unwrap();
    let token = &fra.folder;
    let wait = |name: &str, wait: &str| -> Tested<Process> {
        let mut command = Command::new(program::nearcast()?);
        command.args(["node", "drain", name, wait, "--admin", &sin.admin.to_string()]);
        Process::start(command.arg("--token-file").arg(token.path().join("token")))
    };
    // Without a name server nobody says where clients are sent.
    let mut waiting = wait("fra-1", "--wait=1s").unwrap();
    assert_eq!(waiting.ended().unwrap().code(), Some(1));
    let told = waiting.stderr().join("\n");
    assert!(told.contains("no name server is registered"), "{told}");
    done(sin.admin, token, &["node", "undrain", "fra-1"]).unwrap();

    let mut servers =
        ["ns-1", "ns-2"].map(|name| GeoDns::start(&name_server(name, &nats)).unwrap());
    for server in &servers {
        until("all of the PoP", "127.0.0.3 127.0.0.4", || near_fra(server));
    }
    let mut client = Connection::open(fra.http).unwrap();
    assert_eq!(client.get("/").unwrap().status, 200);
    let mut waiting = wait("fra-1", "--wait=60s").unwrap();
    waiting.stdout_line(|line| line.contains("1 connections of clients").then_some(())).unwrap();
    for server in &servers {
        assert_eq!(near_fra(server).unwrap(), "127.0.0.4", "as soon as it is said");
    }
    assert!(waiting.is_running().unwrap(), "a client is there");
    // The ledger is away for longer than one request waits.
    nats.kill().unwrap();
    waiting.stdout_line(|line| line.contains("not known for now").then_some(())).unwrap();
    nats.start_again().unwrap();
    waiting.stdout_line(|line| line.contains("1 connections of clients").then_some(())).unwrap();
    drop(client);
    assert_eq!(waiting.ended().unwrap().code(), Some(0));
    let told = waiting.stdout().join("\n");
    for line in
        ["without 127.0.0.3", "all 2 answer without it", "fra-1 has none of clients any more"]
    {
        assert!(told.contains(line), "{line}: {told}");
    }

    // One that was killed may go on for all that is known.
    servers[1].process.signal(Signal::Kill).unwrap();
    servers[1].process.ended().unwrap();
    done(sin.admin, token, &["node", "undrain", "fra-1"]).unwrap();
    let mut waiting = wait("fra-1", "--wait=3s").unwrap();
    assert_eq!(waiting.ended().unwrap().code(), Some(1));
    let told = waiting.stderr().join("\n");
    assert!(told.contains("not known to answer without fra-1 yet: ns-2"), "{told}");
    // It is gone for good, and taken out; one that ends in order leaves by itself.
    done(sin.admin, token, &["node", "remove", "ns-2"]).unwrap();
    done(sin.admin, token, &["node", "drain", "fra-1", "--wait=60s"]).unwrap();
    servers[0].process.signal(Signal::Terminate).unwrap();
    assert_eq!(servers[0].process.ended().unwrap().code(), Some(0));
    let listed = done(sin.admin, token, &["node", "list"]).unwrap();
    assert!(listed.contains("sin-1") && !listed.contains("ns-"), "{listed}");
}

#[test]
fn a_name_server_that_cannot_keep_a_drain_for_its_next_start_is_waited_for() {
    let mut nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Edge::start("fra-1", "127.0.0.3", &nats, &origin).unwrap();
    let sin = Edge::start("sin-1", "127.0.0.5", &nats, &origin).unwrap();
    let mut server = GeoDns::start(&name_server("ns-1", &nats)).unwrap();
    until("all of the PoP", "127.0.0.3 127.0.0.4", || near_fra(&server));
    let in_the_way = server.folder().join("nats.fleet.new");
    fs::create_dir(&in_the_way).unwrap();
    let drain = ["node", "drain", "fra-1", "--wait=2s"];
    let refused = client(sin.admin, &fra.folder, &drain).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("ns-1 (here, does so, but cannot keep that on its disk"), "{told}");
    assert_eq!(near_fra(&server).unwrap(), "127.0.0.4", "it does so");
    fs::remove_dir(in_the_way).unwrap();
    done(sin.admin, &fra.folder, &["node", "drain", "fra-1", "--wait=60s"]).unwrap();
    nats.kill().unwrap();
    server.start_again().unwrap();
    assert_eq!(near_fra(&server).unwrap(), "127.0.0.4", "as was said");
}

#[test]
fn a_drain_that_is_given_up_for_a_client_comes_to_no_end_before_nobody_has_that_answer() {
    let nats = Nats::start().unwrap();
    let origin = Origin::answering(CACHED).unwrap();
    let fra = Edge::start("fra-1", "127.0.0.3", &nats, &origin).unwrap();
    let sin = Edge::start("sin-1", "127.0.0.5", &nats, &origin).unwrap();
    let fenced = name_server("ns-1", &nats).replace(", \"127.0.0.4\"", "")
        + "[pop.fence]\nnetworks = [\"203.0.113.0/24\"]\n";
    let server = GeoDns::start(&fenced).unwrap();
    assert_eq!(near_fra(&server).unwrap(), "127.0.0.3");
    let drain = ["node", "drain", "fra-1", "--wait=8s"];
    done(sin.admin, &fra.folder, &drain[..3]).unwrap();
    let elsewhere = || dig(server.dns, "www.cdn.test", &["+subnet=203.0.113.0/24"]);
    until("its drain", "127.0.0.5", elsewhere);
    assert_eq!(near_fra(&server).unwrap(), "127.0.0.3", "nobody else may serve it");
    let waited = client(sin.admin, &fra.folder, &drain).unwrap();
    assert_eq!(waited.status.code(), Some(1), "{waited:?}");
    let told = text(&waited.stderr);
    assert!(told.contains("ns-1 had nobody else left for a client"), "{told}");
    // Nobody asks any more.
    done(sin.admin, &fra.folder, &["node", "drain", "fra-1", "--wait=60s"]).unwrap();
}
