//! Servers of real data centers die, hang, slow down and lie, and no client notices.
//!
//! In: three nginx as two data centers, a node that checks them, clients that never stop asking. The
//! rules: docs/operate.md *Which server gets a request*, *When a server is left out*: with one good
//! server no GET sees an error; the others share the load evenly; who is back is asked again.

use std::{
    io::{Read as _, Write as _},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use nearcast_tests::real::{
    Tested,
    http::Connection,
    nginx::Nginx,
    node::{Node, NodeFile},
    origin::Origin,
    process::Signal,
    wait_for,
};
use serde_json::Value;

/// Clients that ask at once.
const CLIENTS: usize = 4;
/// What every request has to find its way anew for.
const UNSTORED: &str = "add_header Cache-Control no-store always;";
/// A check that sees a fault within half a second, and tries that may cost as much as requests.
const SETTINGS: &str = "slow_start = \"300ms\"\nfirst_byte_timeout = \"700ms\"\nretry_percent = 100\n\
    error_statuses = [502, 503]\n\
    check = { path = \"/a.txt\", interval = \"200ms\", timeout = \"150ms\", fall = 2, rise = 2 }\n";

struct World {
    node: Node,
    servers: Vec<Nginx>,
    _files: tempfile::TempDir,
}

/// Two servers in the first data center and one in the second; each with its own words for nginx.
fn world(locations: [&str; 3], more: &str) -> Tested<World> {
    let files = tempfile::tempdir()?;
    std::fs::write(files.path().join("a.txt"), "here")?;
    let mut servers = Vec::new();
    for location in locations {
        servers.push(Nginx::serving(files.path(), &format!("{UNSTORED}\n{location}"))?);
    }
    let listed: Vec<String> = servers
        .iter()
        .zip(["fra", "fra", "ams"])
        .map(|(server, group)| {
            format!("{{ url = \"http://{}\", group = \"{group}\" }}", server.address)
        })
        .collect();
    let node = Node::start(&file(&listed, more))?;
    let world = World { node, servers, _files: files };
    for index in 0..3 {
        world.wait_until(index, true)?;
    }
    Ok(world)
}

fn file(servers: &[String], more: &str) -> NodeFile {
    NodeFile {
        edge: vec!["origin_networks_allowed = [\"127.0.0.0/8\"]".to_owned()],
        sites: format!(
            "[[site]]\nname = \"www\"\nhosts = [\"*\"]\n[site.origin]\nservers = [{}]\n{SETTINGS}{more}\n",
            servers.join(", ")
        ),
        ..NodeFile::default()
    }
}

impl World {
    fn of(&self, name: &str, index: usize) -> Tested<f64> {
        let server = self.servers.get(index).ok_or("no such server")?.address.to_string();
        let value = self.node.metrics()?.sum(name, &[("server", &server)]);
        value.ok_or_else(|| format!("{name} of {server} is not on the page").into())
    }

    fn wait_until(&self, index: usize, up: bool) -> Tested {
        wait_for(&format!("server {index} up: {up}"), || {
            let is_up = self.of("nearcast_edge_origin_up", index)? > 0.5;
            Ok((is_up == up).then_some(()))
        })
    }

    /// What `/v1/origins` says of a server.
    fn told(&self, index: usize) -> Tested<Value> {
        let all: Vec<Value> = serde_json::from_str(&self.node.ask_admin("/v1/origins")?.text())?;
        let server = self.servers.get(index).ok_or("no such server")?.address.to_string();
        let one = all.into_iter().find(|one| one["server"] == server.as_str());
        one.ok_or_else(|| format!("nothing is told of {server}").into())
    }

    fn requests(&self, index: usize) -> Tested<f64> {
        self.of("nearcast_edge_origin_requests_total", index)
    }

    fn server(&mut self, index: usize) -> Tested<&mut Nginx> {
        self.servers.get_mut(index).ok_or_else(|| "no such server".into())
    }

    /// Has clients ask without end while `act` runs, and at least so many times after it; none may see
    /// anything but a 200.
    fn under_load(&mut self, act: impl FnOnce(&mut Self) -> Tested) -> Tested {
        let (ends, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        let edge = self.node.edge;
        thread::scope(|scope| {
            let (ends, asked) = (&ends, &asked);
            let ask = move || -> Tested {
                let mut connection = Connection::open(edge)?;
                while !ends.load(Ordering::Acquire) {
                    let number = asked.fetch_add(1, Ordering::AcqRel);
                    let response = connection.get(&format!("/a.txt?{number}"))?;
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
            ends.store(true, Ordering::Release);
            for client in clients {
                client.join().map_err(|_panicked| "a client panicked")??;
            }
            acted
        })
    }
}

#[test]
fn no_client_notices_a_server_that_is_killed_and_comes_back() -> Tested {
    let mut world = world([""; 3], "group_up_min = 50\nejection_time = \"1s\"")?;
    world.under_load(|world| {
        world.server(0)?.kill()?;
        world.wait_until(0, false)?;
        let told = world.told(0)?;
        assert!(matches!(told["state"].as_str(), Some("down" | "ejected")), "{told}");
        assert!(told["why"].as_str().is_some_and(|why| !why.is_empty()), "{told}");
        world.server(0)?.restart()?;
        world.wait_until(0, true)
    })?;
    let told = world.told(0)?;
    assert_eq!((told["state"].as_str(), told["why"].as_str()), (Some("up"), None), "{told}");
    assert_eq!(told["group"], "fra");
    assert!(world.requests(2)? < 1.0, "half of the first group was enough");
    world.node.logged(&["an origin server is asked again"])?;
    Ok(())
}

#[test]
fn no_client_notices_a_server_that_hangs_and_goes_on() -> Tested {
    let mut world = world([""; 3], "group_up_min = 50\nejection_time = \"1s\"")?;
    world.under_load(|world| {
        world.server(1)?.signal(Signal::Stop)?;
        world.wait_until(1, false)?;
        world.server(1)?.signal(Signal::Continue)?;
        world.wait_until(1, true)
    })
}

#[test]
fn no_client_notices_a_data_center_that_is_gone() -> Tested {
    let mut world = world([""; 3], "ejection_time = \"1s\"")?;
    world.under_load(|world| {
        assert!(world.requests(2)? < 1.0, "the second waits");
        world.server(0)?.kill()?;
        world.server(1)?.signal(Signal::Stop)?;
        world.wait_until(0, false)?;
        world.wait_until(1, false)?;
        let before = world.requests(2)?;
        wait_for("the second takes over", || {
            Ok((world.requests(2)? > before + 50.0).then_some(()))
        })?;
        world.server(0)?.restart()?;
        world.server(1)?.signal(Signal::Continue)?;
        world.wait_until(0, true)?;
        world.wait_until(1, true)
    })
}

#[test]
fn no_client_notices_a_server_whose_answers_are_errors_half_of_the_time() -> Tested {
    // nginx draws a request's id by chance. Its check is answered as ever.
    let half = "if ($request_id ~ \"^[0-7]\") { set $bad 1; }\nif ($args = \"\") { set $bad 0; }\n\
        if ($bad = 1) { return 503; }";
    let more = "ejection_error_percent = 20\nejection_requests_min = 10\nejection_time = \"30s\"";
    let mut world = world([half, "", ""], more)?;
    world.under_load(|world| {
        wait_for("the one that errs is left out", || {
            Ok((world.of("nearcast_edge_origin_ejected", 0)? > 0.5).then_some(()))
        })
    })?;
    world.node.logged(&["an origin server fails", "% of its requests fail"])?;
    Ok(())
}

#[test]
fn a_server_that_is_slow_is_left_out_and_the_others_are_even() -> Tested {
    let slow = Origin::start(|target, stream| {
        // A client says nothing more: this waits, and is no sleep of the test's.
        if target != "/a.txt" {
            stream.set_read_timeout(Some(Duration::from_millis(200)))?;
            drop(stream.read(&mut [0]));
        }
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\
              Connection: close\r\n\r\nhere",
        )
    })?;
    let files = tempfile::tempdir()?;
    std::fs::write(files.path().join("a.txt"), "here")?;
    let fast = [Nginx::serving(files.path(), UNSTORED)?, Nginx::serving(files.path(), UNSTORED)?];
    let mut listed: Vec<String> =
        fast.iter().map(|server| format!("\"http://{}\"", server.address)).collect();
    listed.push(format!("\"http://{}\"", slow.address));
    let more = "ejection_latency_factor = 4\nejection_requests_min = 5\nejection_time = \"30s\"";
    let node = Node::start(&file(&listed, more))?;
    let mut world = World { node, servers: fast.into(), _files: files };
    let slow = slow.address.to_string();
    world.under_load(|world| {
        wait_for("the slow one is left out", || {
            let ejected = world.node.metrics()?;
            let ejected = ejected.sum("nearcast_edge_origin_ejected", &[("server", &slow)]);
            Ok((ejected > Some(0.5)).then_some(()))
        })
    })?;
    let (one, other) = (world.requests(0)?, world.requests(1)?);
    assert!((one - other).abs() < 0.1 * one, "{one} and {other}");
    Ok(())
}
