//! The shop of config/examples/origins.toml, with servers that are real: what its clients notice when
//! these die.
//!
//! In: the example as it stands, but for where its servers are; six nginx; clients that never stop
//! asking. The rules: docs/operate.md *Which server gets a request*, *Primaries and standbys*. One
//! server's faults of every kind are tried in `tried.rs`, with shorter times.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use nearcast_tests::real::{
    Raised, Tested,
    http::{Connection, Response},
    nginx::Nginx,
    node::{Node, NodeFile},
    wait_for,
};
use serde_json::Value;
use tokio::time::Instant;

const EXAMPLE: &str = include_str!("../../../config/examples/origins.toml");
/// The servers, as the example lists them.
const SERVERS: [&str; 6] = ["db-1.fra", "db-2.ams", "ro-1.fra", "ro-2.fra", "ro-3.fra", "ro-1.ams"];
/// Their places there.
const PRIMARY: usize = 0;
const STANDBY: usize = 1;
const REPLICAS: [usize; 3] = [2, 3, 4];
const OTHER_DATA_CENTER: usize = 5;
/// Clients that ask at once.
const CLIENTS: usize = 4;
/// Everything is answered, writes as well; and nothing may be stored, so that each request has to find
/// its way.
const LOCATIONS: &str = "location = /health { return 200 ready; }\n\
    location / { add_header Cache-Control no-store; return 200 $server_addr; }";

struct World {
    node: Node,
    servers: Vec<Nginx>,
    _files: tempfile::TempDir,
}

fn world() -> Tested<World> {
    let files = tempfile::tempdir()?;
    let mut sites = EXAMPLE.get(EXAMPLE.find("[[site]]").ok_or("no site")?..).unwrap_or_default();
    let mut moved = String::new();
    let mut servers = Vec::new();
    for name in SERVERS {
        let server = Nginx::serving(files.path(), LOCATIONS)?;
        let url = format!("https://{name}.shop.example");
        let (before, after) = sites.split_once(&url).ok_or_else(|| format!("no {url}"))?;
        moved.push_str(&format!("{before}http://{}", server.address));
        sites = after;
        servers.push(server);
    }
    let sites = format!("{moved}{sites}").replace("\"www.shop.example\"", "\"*\"");
    let edge = vec!["origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned()];
    let node = Node::start(&NodeFile { edge, sites, ..NodeFile::default() })?;
    let world = World { node, servers, _files: files };
    for index in 0..SERVERS.len() {
        world.wait_until(index, true)?;
    }
    Ok(world)
}

impl World {
    fn of(&self, name: &str, index: usize) -> Tested<f64> {
        let server = self.address(index)?;
        let value = self.node.metrics()?.sum(name, &[("server", &server)]);
        value.ok_or_else(|| format!("{name} of {server} is not on the page").into())
    }

    fn address(&self, index: usize) -> Tested<String> {
        Ok(self.servers.get(index).ok_or("no such server")?.address.to_string())
    }

    fn wait_until(&self, index: usize, up: bool) -> Tested {
        wait_for(&format!("{} up: {up}", SERVERS.get(index).unwrap_or(&"?")), || {
            let is_up = self.of("nearcast_edge_origin_up", index)? > 0.5;
            Ok((is_up == up).then_some(()))
        })
    }

    /// What `/v1/origins` says of a server.
    fn told(&self, index: usize) -> Tested<Value> {
        let all: Vec<Value> = serde_json::from_str(&self.node.ask_admin("/v1/origins")?.text())?;
        let server = self.address(index)?;
        let one = all.into_iter().find(|one| one["server"] == server.as_str());
        one.ok_or_else(|| format!("nothing is told of {server}").into())
    }

    /// Answers to requests so far, checks not counted.
    fn requests(&self, index: usize) -> Tested<f64> {
        self.of("nearcast_edge_origin_requests_total", index)
    }

    fn server(&mut self, index: usize) -> Tested<&mut Nginx> {
        self.servers.get_mut(index).ok_or_else(|| "no such server".into())
    }

    fn post(&self) -> Tested<Response> {
        self.node.connect()?.ask("POST", "/orders", &[("Content-Length", "0")])
    }

    /// Whether a server has answered.
    fn is_of(&self, response: &Response, index: usize) -> Tested<bool> {
        let address = self.servers.get(index).ok_or("no such server")?.address.ip().to_string();
        Ok(response.status == 200 && response.text() == address)
    }

    /// Has clients ask without end while `act` runs, and at least so many times after it; none may see
    /// anything but a 200.
    fn under_load(&mut self, act: impl FnOnce(&mut Self) -> Tested) -> Tested {
        let (ends, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        let edge = self.node.edge;
        thread::scope(|scope| {
            let (ends, asked) = (&ends, &asked);
            // Whatever becomes of `act`: who never stops asking would be waited for.
            let ending = Raised(ends);
            let ask = move || -> Tested {
                let mut connection = Connection::open(edge)?;
                while !ends.load(Ordering::Acquire) {
                    let number = asked.fetch_add(1, Ordering::AcqRel);
                    let response = connection.get(&format!("/{number}"))?;
                    if response.status != 200 {
                        return Err(format!("request {number}: {}", response.status).into());
                    }
                }
                Ok(())
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            let acted = act(self).and_then(|()| {
                let enough = asked.load(Ordering::Acquire) + 100;
                wait_for("more requests", || {
                    // A client that has seen an error asks no more.
                    let is_enough = asked.load(Ordering::Acquire) >= enough;
                    Ok((is_enough || clients.iter().any(|one| one.is_finished())).then_some(()))
                })
            });
            drop(ending);
            for client in clients {
                client.join().map_err(|_panicked| "a client panicked")??;
            }
            acted
        })
    }
}

#[test]
fn no_reader_notices_a_replica_that_dies_and_comes_back() -> Tested {
    let mut world = world()?;
    let [dies, ..] = REPLICAS;
    world.under_load(|world| {
        world.server(dies)?.kill()?;
        world.wait_until(dies, false)?;
        let told = world.told(dies)?;
        assert!(matches!(told["state"].as_str(), Some("down" | "ejected")), "{told}");
        assert!(told["why"].as_str().is_some_and(|why| !why.is_empty()), "{told}");
        world.server(dies)?.restart()?;
        world.wait_until(dies, true)
    })?;
    let told = world.told(dies)?;
    assert_eq!((told["state"].as_str(), told["why"].as_str()), (Some("up"), None), "{told}");
    assert_eq!((told["group"].as_str(), told["role"].as_str()), (Some("fra"), Some("replica")));
    assert!(world.requests(OTHER_DATA_CENTER)? < 1.0, "two of three replicas were enough");
    assert!(world.requests(PRIMARY)? < 1.0, "nobody has written");
    let server = world.address(dies)?;
    world.node.logged(&["an origin server is asked again", "\"site\":\"shop\"", &server])?;
    Ok(())
}

#[test]
fn no_reader_notices_a_data_center_that_is_gone() -> Tested {
    let mut world = world()?;
    world.under_load(|world| {
        // Three servers that die at once cost each request three tries, which have to be saved up.
        wait_for("requests", || {
            let mut all = 0.0;
            for index in REPLICAS {
                all += world.requests(index)?;
            }
            Ok((all > 400.0).then_some(()))
        })?;
        assert!(world.requests(OTHER_DATA_CENTER)? < 1.0, "the second waits");
        for index in REPLICAS {
            world.server(index)?.kill()?;
        }
        for index in REPLICAS {
            world.wait_until(index, false)?;
        }
        let before = world.requests(OTHER_DATA_CENTER)?;
        wait_for("the second takes over", || {
            Ok((world.requests(OTHER_DATA_CENTER)? > before + 50.0).then_some(()))
        })?;
        assert!(world.requests(PRIMARY)? < 1.0, "no reader of a replica's is sent to the primary");
        for index in REPLICAS {
            world.server(index)?.restart()?;
        }
        for index in REPLICAS {
            world.wait_until(index, true)?;
        }
        Ok(())
    })
}

#[test]
fn a_primary_that_dies_costs_writes_alone_and_those_at_once() -> Tested {
    let mut world = world()?;
    let written = world.post()?;
    assert!(world.is_of(&written, PRIMARY)?, "{written:?}");
    world.under_load(|world| {
        world.server(PRIMARY)?.kill()?;
        world.wait_until(PRIMARY, false)?;
        let before = Instant::now();
        let refused = world.post()?;
        assert_eq!((refused.status, refused.field("retry-after").as_deref()), (503, Some("1")));
        assert!(before.elapsed().as_secs() < 1, "{:?}", before.elapsed());
        world.server(PRIMARY)?.restart()?;
        world.wait_until(PRIMARY, true)
    })?;
    let written = world.post()?;
    assert!(world.is_of(&written, PRIMARY)?, "{written:?}");
    assert!(world.requests(STANDBY)? < 1.0, "it was back before `takeover_after`");
    Ok(())
}
