//! Reloads of zones, maps and settings, one after the other, while queries run: none of them is lost
//! or answered with an error, and nothing is left behind (docs/operate.md *What a reload changes*).
//!
//! RELOADS says how many; fifty by default, a thousand are a proof of their own.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nearcast_tests::real::{
    PATIENCE, Tested,
    geodns::GeoDns,
    process::{Process, Signal},
    wait_for, wait_within,
};
use tokio::time::Instant;

/// How many reloads, and of how many one changes the map, which takes longest to make: seconds of a
/// debug build that has a core to itself, and here three clients want it.
const FEW: Plan = Plan { reloads: 50, map_each: 20 };
const MAP_EACH: u32 = 4;
const MAP_PATIENCE: Duration = Duration::from_secs(60);
/// All of the few together. Each wait has its own deadline, but their sum is longer than the runner
/// waits, and it cannot say in which round it was.
const FEW_PATIENCE: Duration = Duration::from_secs(180);
/// Pages that an allocator has not given back yet, in bytes.
const GROWTH_MAX: u64 = 16 << 20;
/// A process that comes to rest watches its files, and one that reloads without pause does not yet.
const WATCHES: usize = 2;
const CLIENT: &str = "203.0.113.0/24";
const POPS: [(&str, &str); 2] = [("iad", "192.0.2.1"), ("fra", "192.0.2.2")];
/// Names, types and how each is answered: response code, whether there are answers.
const ASKED: [(&str, u16, u8, bool); 5] = [
    ("www.cdn.test", 1, 0, true),
    ("static.cdn.test", 1, 0, true),
    ("www.cdn.test", 28, 0, false),
    ("nowhere.cdn.test", 1, 3, false),
    ("alias.cdn.test", 1, 0, true),
];
const TXT: u16 = 16;

fn settings(round: u32) -> String {
    format!(
        "[geodns]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\n\
         rate_limit = {{ networks_exempt = [\"127.0.0.0/8\"] }}\n\
         [[geodns.zone]]\nname = \"cdn.test\"\nfile = \"cdn.zone\"\n\
         [[geodns.map]]\nnetworks = \"networks\"\n\
         [[geodns.route]]\nname = \"www\"\nnames = [\"www\"]\naddresses_max = 1\nttl = \"{}s\"\n{}",
        10 + round % 40,
        POPS.map(|(name, address)| format!(
            "[[pop]]\nname = \"{name}\"\naddresses = [\"{address}\"]\nweight = {}\n",
            1 + round % 100
        ))
        .concat()
    )
}

fn zone(round: u32) -> String {
    format!(
        "$TTL 60\n@ SOA ns hostmaster {} 2h 1h 2w 60\n@ NS ns\nns A 192.0.2.53\n\
         static A 192.0.2.54\nalias CNAME www\nround TXT {round}\n",
        round + 1
    )
}

#[derive(Clone, Copy)]
struct Plan {
    reloads: u32,
    map_each: u32,
}

impl Plan {
    fn of(reloads: Option<String>) -> Tested<Self> {
        let Some(reloads) = reloads else { return Ok(FEW) };
        Ok(Self { reloads: reloads.parse()?, map_each: MAP_EACH })
    }

    /// Whether the map changes in this round.
    fn changes_map(self, round: u32) -> bool {
        round.is_multiple_of(self.map_each)
    }

    /// Which PoP the client is given.
    fn pop(self, round: u32) -> (&'static str, &'static str) {
        POPS[usize::from((round / self.map_each).is_multiple_of(2))]
    }

    fn networks(self, round: u32) -> String {
        format!("{CLIENT} {}\n", self.pop(round).0)
    }
}

fn query(name: &str, rtype: u16, id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        query.extend([u8::try_from(label.len()).unwrap_or(0)]);
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
    query
}

/// A client that has one query under way at a time.
enum Client {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Client {
    fn udp(server: SocketAddr) -> Tested<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::Udp(socket))
    }

    fn tcp(server: SocketAddr) -> Tested<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Tcp(stream))
    }

    fn ask(&mut self, query: &[u8]) -> Tested<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                socket.send(query)?;
                let mut response = vec![0; 2000];
                let length = socket.recv(&mut response)?;
                response.truncate(length);
                Ok(response)
            }
            Self::Tcp(stream) => {
                let length = u16::try_from(query.len())?.to_be_bytes();
                stream.write_all(&[&length, query].concat())?;
                let mut length = [0; 2];
                stream.read_exact(&mut length)?;
                let mut response = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut response)?;
                Ok(response)
            }
        }
    }

    /// Asks one thing after another until it is told to end; how many were answered as they should.
    fn run(mut self, ends: &AtomicBool) -> Tested<u64> {
        let (mut answered, mut id) = (0, 0_u16);
        while !ends.load(Ordering::Acquire) {
            id = id.wrapping_add(1);
            let (name, rtype, code, has_answers) = ASKED[usize::from(id) % ASKED.len()];
            let query = query(name, rtype, id);
            let response = self.ask(&query).map_err(|error| format!("{name} is lost: {error}"))?;
            let right = response.len() > 12
                && response[..2] == query[..2]
                && response[3] & 0x0f == code
                && (response[6..8] != [0, 0]) == has_answers;
            if !right {
                return Err(format!("{name} {rtype}: {response:x?}").into());
            }
            answered += 1;
        }
        Ok(answered)
    }
}

/// The first text of a response's only answer.
fn text(response: &[u8], query: &[u8]) -> Option<String> {
    // Owner, type, class, TTL and length stand before the data.
    let data = response.get(query.len() + 12..)?;
    let length = usize::from(*data.first()?);
    Some(String::from_utf8_lossy(data.get(1..=length)?).into_owned())
}

/// What a process holds that does not go away by itself.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    threads: usize,
    descriptors: usize,
    bytes: u64,
}

impl Held {
    fn by(process: &Process) -> Tested<Self> {
        let threads = process.threads()?;
        let descriptors = process.descriptors()?;
        Ok(Self { threads, descriptors, bytes: process.resident_bytes()? })
    }

    /// The most of each. One look alone may fall where a reload has let the old go and does not
    /// have the new yet.
    fn most(self, other: Self) -> Self {
        Self {
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// Replaces everything, asks for a reload, and waits until it is in force. How nice to those who
/// answer the thread was that made the map, if it was seen.
fn reload(server: &mut GeoDns, asker: &mut Client, plan: Plan, round: u32) -> Tested<Option<i32>> {
    let mut niceness = None;
    server.replace("cdn.zone", &zone(round))?;
    if plan.changes_map(round) {
        server.replace("networks", &plan.networks(round))?;
    }
    server.rewrite(&settings(round))?;
    server.process.signal(Signal::Hangup)?;
    let query = query("round.cdn.test", TXT, 7);
    let limit = if plan.changes_map(round) { MAP_PATIENCE } else { PATIENCE };
    wait_within(limit, &format!("reload {round}"), || {
        let response = asker.ask(&query)?;
        niceness = niceness.max(server.process.niceness("geodns-load")?);
        Ok((text(&response, &query).as_deref() == Some(&*round.to_string())).then_some(()))
    })?;
    if plan.changes_map(round) {
        // The reload before may have read the new zone beside the old networks; ours is behind it.
        wait_within(MAP_PATIENCE, &format!("the map of round {round}"), || {
            let answer = server.dig("www.cdn.test", CLIENT)?;
            Ok((answer == plan.pop(round).1).then_some(()))
        })?;
    }
    Ok(niceness)
}

#[test]
fn queries_are_answered_through_reloads_and_nothing_is_left_of_them() {
    let plan = Plan::of(env::var("RELOADS").ok()).unwrap();
    let rounds = plan.reloads;
    let files = [("cdn.zone", zone(0)), ("networks", plan.networks(0))];
    let files = files.each_ref().map(|(name, text)| (*name, &**text));
    let mut server = GeoDns::start_with(&settings(0), &files).unwrap();
    let ends = Arc::<AtomicBool>::default();
    let clients = [
        Client::udp(server.dns).unwrap(),
        Client::udp(server.dns).unwrap(),
        Client::tcp(server.dns).unwrap(),
    ];
    let clients: Vec<JoinHandle<Tested<u64>>> = clients
        .into_iter()
        .map(|client| {
            let ends = Arc::clone(&ends);
            thread::spawn(move || client.run(&ends))
        })
        .collect();
    let mut asker = Client::udp(server.dns).unwrap();
    let (mut before, mut niceness, began) = (Held::default(), None, Instant::now());
    for round in 1..=rounds {
        niceness = niceness.max(reload(&mut server, &mut asker, plan, round).unwrap());
        let late = rounds == FEW.reloads && began.elapsed() > FEW_PATIENCE;
        assert!(!late, "round {round} after {:?}", began.elapsed());
        if round <= rounds.div_ceil(4) {
            before = before.most(Held::by(&server.process).unwrap());
        }
        if clients.iter().any(JoinHandle::is_finished) {
            // Its own words are better than these.
            break;
        }
    }
    ends.store(true, Ordering::Release);
    for client in clients {
        let answered = client.join().unwrap().unwrap();
        assert!(answered > u64::from(rounds), "{answered}");
    }
    assert!(niceness >= Some(10), "{niceness:?}: who answers goes first");
    let mut after = Held::default();
    // A thread of the runtime's pool that has nothing to do goes after ten seconds.
    let settled = wait_within(PATIENCE * 2, "what reloads took to be given back", || {
        after = Held::by(&server.process)?;
        let same =
            after.threads <= before.threads && after.descriptors <= before.descriptors + WATCHES;
        Ok(same.then_some(()))
    });
    assert!(settled.is_ok(), "{before:?}, and then {after:?}");
    assert!(after.bytes < before.bytes + GROWTH_MAX, "{before:?}, and then {after:?}");
    let count =
        |words: &str| server.process.stderr().iter().filter(|line| line.contains(words)).count();
    let wanted = usize::try_from(rounds).unwrap();
    let told = || Ok((count("\"reloaded\"") >= wanted).then_some(()));
    wait_for("a line for each reload", told).unwrap();
    assert_eq!(count("stay"), 0, "a reload was refused");
    let failed = server.metrics().unwrap();
    assert_eq!(failed.sum("nearcast_dns_responses_total", &[("rcode", "SERVFAIL")]), None);
}
