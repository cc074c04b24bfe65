//! The faults of docs/operate.md *Faults, tried out*, done word by word as the page says.
//!
//! In: the page, the files that it names. Out: what clients that never stop asking have got.
//! Always holds: what is typed is read from the page, so that no reader types anything else; clients,
//! who are of the test's own, judge every answer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nearcast_tests::real::{
    Raised, Tested,
    http::Connection,
    network::{Shell, in_own_network},
    node::Metrics,
    page, wait_for,
};
use parking_lot::Mutex;
use tokio::time::Instant;

const PAGE: &str = include_str!("../../../docs/operate.md");
const TRIED: &str = "## Faults, tried out";
/// Where the page's servers are.
const SERVERS: [&str; 6] =
    ["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.10", "127.0.2.1", "127.0.2.10"];
const FAULTY: &str = SERVERS[0];
const GOOD: [&str; 2] = [SERVERS[1], SERVERS[2]];
const OTHER_DATA_CENTER: &str = SERVERS[4];
/// `rise` × `interval` + `slow_start` of the page's file.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// What may come to that: `jitter`, the counting of answers, and that this machine has more to do. Less
/// than `ejection_time`: who is left out once more on the way back is late.
const ALLOWANCE: Duration = Duration::from_millis(900);
/// `takeover_after` of the page's file.
const TAKEOVER_AFTER: Duration = Duration::from_secs(5);
/// Clients that ask at once.
const CLIENTS: usize = 4;

/// The blocks of a section that are for a shell.
fn blocks(heading: &str) -> Vec<String> {
    page::blocks(PAGE, heading)
}

/// What clients have got so far, by who has answered.
#[derive(Default)]
struct Clients {
    answers: Mutex<BTreeMap<String, u32>>,
    ends: AtomicBool,
}

impl Clients {
    fn ask(&self, edge: SocketAddr) -> Tested {
        let mut connection = Connection::open(edge)?;
        let mut number = 0;
        while !self.ends.load(Ordering::Acquire) {
            number += 1;
            let response = connection.get(&format!("/?{number}"))?;
            if response.status != 200 {
                return Err(format!("a client got {} {}", response.status, response.text()).into());
            }
            *self.answers.lock().entry(response.text().trim().to_owned()).or_default() += 1;
        }
        Ok(())
    }

    /// Waits for so many answers; how many of them were whose.
    fn next(&self, count: u32) -> Tested<Answers> {
        let before = self.answers.lock().clone();
        wait_for("more answers", || {
            let since = |(who, all): (&String, &u32)| {
                (who.clone(), all - before.get(who).copied().unwrap_or_default())
            };
            let answers = Answers(self.answers.lock().iter().map(since).collect());
            Ok((answers.all() >= count).then_some(answers))
        })
    }
}

/// Answers by who has given them.
#[derive(Debug)]
struct Answers(BTreeMap<String, u32>);

impl Answers {
    fn of(&self, server: &str) -> f64 {
        self.0.get(server).copied().unwrap_or_default().into()
    }

    fn all(&self) -> u32 {
        self.0.values().sum()
    }

    /// These have the same load within a tenth.
    fn evenly(&self, servers: &[&str]) -> Tested {
        let loads: Vec<f64> = servers.iter().map(|server| self.of(server)).collect();
        let count = f64::from(u32::try_from(loads.len())?);
        let mean = loads.iter().sum::<f64>() / count;
        let is_even = mean > 0.0 && loads.iter().all(|load| (load - mean).abs() <= 0.1 * mean);
        if is_even { Ok(()) } else { Err(format!("{servers:?} not evenly: {self:?}").into()) }
    }

    fn none_of(&self, server: &str) -> Tested {
        if self.of(server) > 0.0 {
            Err(format!("{server} as well: {self:?}").into())
        } else {
            Ok(())
        }
    }

    fn has_its_third(&self, server: &str) -> bool {
        self.of(server) >= 0.9 / 3.0 * f64::from(self.all())
    }
}

/// The page's shell, its servers and its node.
struct Tried {
    shell: Shell,
    admin: SocketAddr,
    edge: SocketAddr,
}

impl Tried {
    fn begin() -> Tested<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no sources")?;
        let mut shell = Shell::start(sources)?;
        let [_unshare, servers, node, _clients] = &*blocks(TRIED) else {
            return Err("the page begins otherwise".into());
        };
        shell.run(servers)?;
        for server in SERVERS {
            let address = SocketAddr::new(server.parse()?, 80);
            wait_for("nginx", || Ok(Connection::open(address).ok().map(drop)))?;
        }
        shell.run(node)?;
        let tried =
            Self { shell, admin: "127.0.0.1:9090".parse()?, edge: "127.0.0.1:8080".parse()? };
        let up = || {
            let up = tried.metrics().ok().and_then(|page| page.sum("nearcast_edge_origin_up", &[]));
            Ok((up == Some(6.0)).then_some(()))
        };
        wait_for("the node", || Ok(Connection::open(tried.edge).ok().map(drop)))?;
        wait_for("its servers", up)?;
        Ok(tried)
    }

    fn metrics(&self) -> Tested<Metrics> {
        Ok(Metrics(Connection::open(self.admin)?.get("/metrics")?.text()))
    }

    /// How its servers do, as the page asks it.
    fn origins(&self) -> Tested<String> {
        let mut connection = Connection::open(self.admin)?;
        Ok(connection.ask("GET", "/v1/origins", &[("Accept", "text/plain")])?.text())
    }

    fn is_left_out(&self) -> Tested<Option<()>> {
        let page = self.metrics()?;
        let of = |name| {
            let value = page.sum(name, &[("server", "ro-1.fra.shop.test")]);
            value.ok_or_else(|| format!("{name} of ro-1.fra is not on the page"))
        };
        let is_ejected = of("nearcast_edge_origin_ejected")? > 0.5;
        Ok((is_ejected || of("nearcast_edge_origin_up")? < 0.5).then_some(()))
    }

    /// Does `act` while clients ask, none of whom may get anything but a 200.
    fn under_load(&mut self, act: impl FnOnce(&mut Self, &Clients) -> Tested) -> Tested {
        let (clients, edge) = (&Clients::default(), self.edge);
        thread::scope(|scope| {
            let asking: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(move || clients.ask(edge))).collect();
            let ending = Raised(&clients.ends);
            let acted = act(self, clients);
            drop(ending);
            // What a client has met says more than that answers were waited for in vain.
            for client in asking {
                client.join().map_err(|_panicked| "a client panicked")??;
            }
            acted
        })
    }
}

/// Tries a section that begins with a fault of `ro-1.fra` and ends with its end.
fn tried(section: &str, test: &str) -> Tested {
    let [begin, end] = &*blocks(&format!("### {section}")) else {
        return Err("a fault and its end".into());
    };
    in_page(test, |tried, clients| {
        let before = clients.next(600)?;
        before.evenly(&[FAULTY, GOOD[0], GOOD[1]])?;
        tried.shell.run(begin)?;
        wait_for("ro-1.fra is left out", || tried.is_left_out())?;
        let during = clients.next(2000)?;
        during.evenly(&GOOD)?;
        during.none_of(OTHER_DATA_CENTER)?;
        let ended = Instant::now();
        tried.shell.run(end)?;
        wait_for("ro-1.fra has its share back", || {
            Ok(clients.next(300)?.has_its_third(FAULTY).then_some(()))
        })?;
        let took = ended.elapsed();
        if took > BACK_WITHIN + ALLOWANCE {
            return Err(format!("it was back after {took:?}").into());
        }
        let after = clients.next(600)?;
        after.evenly(&[FAULTY, GOOD[0], GOOD[1]])?;
        Ok(())
    })
}

/// Does `act` with all that the page starts, while clients ask.
fn in_page(test: &str, act: impl FnOnce(&mut Tried, &Clients) -> Tested) -> Tested {
    let all = blocks(TRIED);
    let way = all.first().ok_or("the page does not say how to begin")?;
    in_own_network(way, &format!("real_origins::tried::{test}"), || Tried::begin()?.under_load(act))
}

#[test]
fn a_server_that_is_killed() -> Tested {
    tried("Killed", "a_server_that_is_killed")
}

#[test]
fn a_server_that_is_stopped() -> Tested {
    tried("Stopped", "a_server_that_is_stopped")
}

#[test]
fn a_server_that_refuses() -> Tested {
    tried("Refusing", "a_server_that_refuses")
}

#[test]
fn a_server_whose_packets_are_swallowed() -> Tested {
    tried("Swallowed", "a_server_whose_packets_are_swallowed")
}

#[test]
fn a_server_that_is_slow() -> Tested {
    tried("Slow", "a_server_that_is_slow")
}

#[test]
fn a_server_that_errs_half_of_the_time() -> Tested {
    tried("Errors half of the time", "a_server_that_errs_half_of_the_time")
}

/// Writes are asked for one after the other, and readers meanwhile, who may notice nothing.
#[test]
fn a_primary_that_is_killed() -> Tested {
    let [dies, back] = &*blocks("### The primary killed") else {
        return Err("a fault and its end".into());
    };
    let (primary, standby) = (SERVERS[3], SERVERS[5]);
    in_page("a_primary_that_is_killed", |tried, _clients| {
        let edge = tried.edge;
        let post = || -> Tested<(u16, String)> {
            let asked = Connection::open(edge)?.ask("POST", "/orders", &[("Content-Length", "0")]);
            let response = asked?;
            let retry_after = response.field("retry-after").unwrap_or_default();
            let said = if response.status == 200 { response.text() } else { retry_after };
            Ok((response.status, said.trim().to_owned()))
        };
        let of = |server: &str| (200, server.to_owned());
        if post()? != of(primary) {
            return Err("the primary does not write".into());
        }
        tried.shell.run(dies)?;
        let died = Instant::now();
        wait_for("503 with Retry-After", || Ok((post()? == (503, "1".to_owned())).then_some(())))?;
        wait_for("the standby takes over", || Ok((post()? == of(standby)).then_some(())))?;
        if died.elapsed() < TAKEOVER_AFTER {
            return Err(format!("it took over after {:?}", died.elapsed()).into());
        }
        wait_for("it is told", || {
            Ok(tried.origins()?.contains("for the primaries").then_some(()))
        })?;
        tried.shell.run(back)?;
        wait_for("all are up", || {
            let up = tried.metrics()?.sum("nearcast_edge_origin_up", &[]);
            Ok((up == Some(6.0)).then_some(()))
        })?;
        for _ in 0..20 {
            let written = post()?;
            if written != of(standby) {
                return Err(format!("it went back: {written:?}").into());
            }
        }
        Ok(())
    })
}

#[test]
fn a_server_that_moves_in_dns() -> Tested {
    const NEW: &str = "127.0.1.9";
    let [begin, end] = &*blocks("### Moved in DNS") else {
        return Err("a move and its end".into());
    };
    in_page("a_server_that_moves_in_dns", |tried, clients| {
        clients.next(600)?;
        tried.shell.run(begin)?;
        wait_for("nobody asks the old address", || {
            let answers = clients.next(300)?;
            Ok((answers.of(FAULTY) == 0.0 && answers.has_its_third(NEW)).then_some(()))
        })?;
        tried.shell.run(end)?;
        let after = clients.next(2000)?;
        after.evenly(&[NEW, GOOD[0], GOOD[1]])?;
        after.none_of(OTHER_DATA_CENTER)?;
        Ok(())
    })
}
