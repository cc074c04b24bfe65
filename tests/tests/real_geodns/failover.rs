//! Edges that die, each a process of its own: clients are led around a dead one and back.

use std::{process::Command, time::Duration};

use nearcast_tests::real::{
    Tested,
    geodns::GeoDns,
    node::{Node, site},
    origin::Origin,
    process::Signal,
    program,
};
use tokio::time::Instant;

/// PoPs, their edges' addresses, and the networks that each is nearest to.
const PLACES: [(&str, &str, &str); 3] = [
    ("iad", "127.0.5.2", "192.0.2.0/24"),
    ("fra", "127.0.5.3", "198.51.100.0/24"),
    ("sin", "127.0.5.4", "203.0.113.0/24"),
];
const NAME: &str = "www.cdn.test";
const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(300);
const FALL: u32 = 2;
const RISE: u32 = 2;

struct Fleet {
    origin: Origin,
    edges: Vec<Node>,
    dns: GeoDns,
    port: u16,
}

/// An edge of `www` on this address.
fn edge(place: usize, port: u16, origin: &Origin) -> Tested<Node> {
    let (name, address, _) = PLACES[place];
    Node::start_with(&format!(
        "[node]\nname = \"{name}\"\n\
         [edge]\nlisten = [\"{address}:{port}\"]\norigin_networks_allowed = [\"127.0.0.0/8\"]\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n{}",
        site("www", NAME, origin.address)
    ))
}

/// GeoDNS for them all. It asks the edges for a host that no site has: 421 says that they work.
fn geodns(port: u16) -> String {
    let pops = PLACES.map(|(name, address, _)| {
        format!("[[pop]]\nname = \"{name}\"\naddresses = [\"{address}\"]\n")
    });
    let prefer = PLACES.map(|(name, _, network)| {
        format!("[[geodns.map.prefer]]\npops = [\"{name}\"]\nnetworks = [\"{network}\"]\n")
    });
    format!(
        "[geodns]\nlisten = [\"127.0.0.1:0\"]\n\
         zone = [{{ name = \"cdn.test\", servers = [\"ns.invalid\"] }}]\n\
         [[geodns.map]]\n{}\
         [[geodns.route]]\nname = \"www\"\nnames = [\"www\"]\naddresses_max = 1\n\
         [[geodns.check]]\nkind = \"http\"\nport = {port}\nhost = \"health.invalid\"\n\
         status = [421]\ninterval = \"{}ms\"\ntimeout = \"{}ms\"\nfall = {FALL}\nrise = {RISE}\n{}",
        prefer.concat(),
        INTERVAL.as_millis(),
        TIMEOUT.as_millis(),
        pops.concat()
    )
}

impl Fleet {
    fn start() -> Tested<Self> {
        let origin = Origin::answering(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\n\r\nok",
        )?;
        let first = edge(0, 0, &origin)?;
        let port = first.edge.port();
        let mut edges = vec![first];
        for place in 1..PLACES.len() {
            edges.push(edge(place, port, &origin)?);
        }
        let dns = GeoDns::start(&geodns(port))?;
        Ok(Self { origin, edges, dns, port })
    }

    /// What a client near this place is answered.
    fn answer(&self, place: usize) -> Tested<String> {
        self.dns.dig(NAME, PLACES[place].2)
    }

    /// Digs until that client is answered by its own place, or by another.
    fn answered_by(&self, place: usize, own: bool, limit: Duration) -> Tested<String> {
        let before = Instant::now();
        loop {
            let answer = self.answer(place)?;
            let elapsed = before.elapsed();
            if elapsed > limit {
                return Err(format!("after {elapsed:?} still {answer}").into());
            }
            if (answer == PLACES[place].1) == own {
                return Ok(answer);
            }
        }
    }

    /// The status that curl is answered for the name at this address.
    fn curl(&self, address: &str) -> Tested<String> {
        let port = self.port;
        let output = Command::new(program::tool("curl")?)
            .args(["-s", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["--resolve", &format!("{NAME}:{port}:{address}")])
            .arg(format!("http://{NAME}:{port}/"))
            .output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn promised(in_a_row: u32) -> Duration {
    (INTERVAL + TIMEOUT) * in_a_row + Duration::from_secs(1)
}

#[test]
fn clients_are_led_around_an_edge_that_was_killed_or_stopped_and_back() {
    let mut fleet = Fleet::start().unwrap();
    for (place, (_, address, _)) in PLACES.iter().enumerate() {
        assert_eq!(fleet.answer(place).unwrap(), *address);
        assert_eq!(fleet.curl(address).unwrap(), "200");
    }
    let sin = 2;
    // A stopped process keeps its socket, and the kernel goes on accepting for it.
    for (ends, returns) in [(Signal::Kill, None), (Signal::Stop, Some(Signal::Continue))] {
        fleet.edges[sin].process.signal(ends).unwrap();
        let other = fleet.answered_by(sin, false, promised(FALL)).unwrap();
        assert!(PLACES.iter().any(|(_, address, _)| *address == other), "{other}");
        assert_eq!(fleet.curl(&other).unwrap(), "200");
        assert_eq!(fleet.answer(1).unwrap(), PLACES[1].1, "nobody else's answer changes");
        let begun = Instant::now();
        match returns {
            Some(signal) => fleet.edges[sin].process.signal(signal).unwrap(),
            None => fleet.edges[sin] = edge(sin, fleet.port, &fleet.origin).unwrap(),
        }
        let limit = promised(RISE) + begun.elapsed();
        let back = fleet.answered_by(sin, true, limit).unwrap();
        assert_eq!(fleet.curl(&back).unwrap(), "200", "after {ends:?}");
    }
}
