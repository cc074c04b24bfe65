//! The load: queries outstanding over some sockets, and what came back.
//!
//! It spins on its core, so it must have one of its own.

use std::{
    array,
    fmt::Write as _,
    io::{self, IoSlice, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg},
};
use tokio::time::Instant;

use crate::server::SITES;

/// Datagrams that go out, or come in, at once.
const BATCH: usize = 32;
/// After so long without an answer on a socket, what was asked on it is lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// Names that are asked in turn, drawn before the load begins.
const NAMES: usize = 4096;

/// What is asked for on the command line.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) seconds: u64,
    pub(crate) outstanding: usize,
    pub(crate) sockets: usize,
    pub(crate) names: String,
    pub(crate) has_subnets: bool,
    pub(crate) pid: Option<u32>,
}

/// One socket, and what it waits for.
struct Asker {
    socket: UdpSocket,
    waiting: usize,
    heard: Instant,
}

/// Numbers without pattern, the same in every run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[derive(Default)]
struct Counts {
    sent: u64,
    answered: u64,
    lost: u64,
    bytes: u64,
    rcodes: [u64; 16],
}

/// Runs the load; the figures as JSON.
pub(crate) fn run(load: &Load) -> io::Result<String> {
    let mut askers = (0..load.sockets.max(1))
        .map(|_| Asker::new(load.address))
        .collect::<io::Result<Vec<_>>>()?;
    let each = (load.outstanding / askers.len()).max(1);
    let mut exchange = Exchange::new(Queries::new(&load.names, load.has_subnets));
    let busy_before = busy(load.pid)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(load.seconds) {
        for asker in &mut askers {
            exchange.turn(asker, each)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let busy = busy(load.pid)?.saturating_sub(busy_before);
    Ok(exchange.counts.json(seconds, busy))
}

impl Asker {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, waiting: 0, heard: Instant::now() })
    }
}

/// What is asked, one after the other.
pub(crate) struct Queries {
    questions: Vec<Vec<u8>>,
    has_subnets: bool,
    draws: Draws,
    asked: usize,
}

impl Queries {
    pub(crate) fn new(names: &str, has_subnets: bool) -> Self {
        let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
        Self { questions: questions(names, &mut draws), has_subnets, draws, asked: 0 }
    }

    /// Writes the next query: a question, and an OPT record with the subnet of a random client. Its
    /// ID is one more than that of the query before.
    pub(crate) fn write(&mut self, query: &mut Vec<u8>) -> u16 {
        self.asked = self.asked.wrapping_add(1);
        query.clear();
        let [.., high, low] = self.asked.to_be_bytes();
        query.extend([high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        query.extend(self.questions.get(self.asked % self.questions.len()).into_iter().flatten());
        query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
        if self.has_subnets {
            let [a, b, c, ..] = self.draws.next().to_le_bytes();
            query.extend([0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 1 + a % 222, b, c]);
        } else {
            query.extend([0, 0]);
        }
        u16::from_be_bytes([high, low])
    }
}

struct Exchange {
    source: Queries,
    queries: [Vec<u8>; BATCH],
    answers: Box<[[u8; 1500]; BATCH]>,
    outbox: MultiHeaders<SockaddrIn>,
    inbox: MultiHeaders<SockaddrIn>,
    counts: Counts,
}

impl Exchange {
    fn new(source: Queries) -> Self {
        Self {
            source,
            queries: array::from_fn(|_| Vec::with_capacity(512)),
            answers: Box::new([[0; 1500]; BATCH]),
            outbox: MultiHeaders::preallocate(BATCH, None),
            inbox: MultiHeaders::preallocate(BATCH, None),
            counts: Counts::default(),
        }
    }

    /// Fills up what a socket has outstanding, and takes what has come.
    fn turn(&mut self, asker: &mut Asker, each: usize) -> io::Result<()> {
        if asker.waiting > 0 && asker.heard.elapsed() > PATIENCE {
            self.counts.lost += asker.waiting as u64;
            asker.waiting = 0;
        }
        let wanted = each.saturating_sub(asker.waiting).min(BATCH);
        if wanted > 0 {
            self.send(asker, wanted)?;
        }
        self.receive(asker)
    }

    fn send(&mut self, asker: &mut Asker, wanted: usize) -> io::Result<()> {
        for query in self.queries.iter_mut().take(wanted) {
            self.source.write(query);
        }
        if asker.waiting == 0 {
            asker.heard = Instant::now();
        }
        let slices: Vec<[IoSlice<'_>; 1]> =
            self.queries.iter().take(wanted).map(|query| [IoSlice::new(query)]).collect();
        let socket = asker.socket.as_raw_fd();
        let nobody = [None; BATCH];
        match sendmmsg(socket, &mut self.outbox, &slices, nobody, [], MsgFlags::empty()) {
            Ok(sent) => {
                let sent = sent.count();
                asker.waiting += sent;
                self.counts.sent += sent as u64;
                Ok(())
            }
            // Its server is not there yet, or its queue is full.
            Err(Errno::ECONNREFUSED | Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self, asker: &mut Asker) -> io::Result<()> {
        let mut slices = self.answers.each_mut().map(|answer| [IoSliceMut::new(answer)]);
        let socket = asker.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(socket, &mut self.inbox, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                asker.heard = Instant::now();
                for message in messages {
                    asker.waiting = asker.waiting.saturating_sub(1);
                    let answer = message.iovs().next().unwrap_or_default();
                    let rcode = answer.get(3).map_or(0, |byte| usize::from(byte & 15));
                    self.counts.answered += 1;
                    self.counts.bytes += answer.len() as u64;
                    if let Some(count) = self.counts.rcodes.get_mut(rcode) {
                        *count += 1;
                    }
                }
                Ok(())
            }
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Counts {
    fn json(&self, seconds: f64, busy: Duration) -> String {
        let answered = self.answered.max(1) as f64;
        let mut json = String::new();
        let written = write!(
            json,
            "{{\"rate\":{:.0},\"cpu_us\":{:.3},\"lost\":{},\"sent\":{},\"bytes\":{:.0},\"noerror\":{},\"nxdomain\":{},\"other\":{}}}",
            self.answered as f64 / seconds,
            busy.as_secs_f64() * 1e6 / answered,
            self.lost,
            self.sent,
            self.bytes as f64 / answered,
            self.rcodes[0],
            self.rcodes[3],
            self.answered - self.rcodes[0] - self.rcodes[3],
        );
        debug_assert!(written.is_ok(), "text takes what is written");
        json
    }
}

/// The questions that are asked in turn, each for type A.
fn questions(names: &str, draws: &mut Draws) -> Vec<Vec<u8>> {
    if names != "mix" {
        return vec![question(names)];
    }
    // Zipf's law: the n-th site is asked for with a share of 1/n.
    let shares: Vec<f64> = (0..SITES).map(|site| 1.0 / (site + 1) as f64).collect();
    let total: f64 = shares.iter().sum();
    let name = |_| {
        let drawn = draws.next();
        if drawn.is_multiple_of(10) {
            return question(&format!("n{}.cdn.test", drawn >> 40));
        }
        let mut left = (draws.next() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        let site = shares.iter().position(|share| {
            left -= share;
            left <= 0.0
        });
        question(&format!("s{}.cdn.test", site.unwrap_or(SITES - 1)))
    };
    (0..NAMES).map(name).collect()
}

fn question(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap_or(63));
        wire.extend(label.as_bytes());
    }
    wire.extend([0, 0, 1, 0, 1]);
    wire
}

/// How long all threads of a process have run, as the scheduler counts it.
fn busy(pid: Option<u32>) -> io::Result<Duration> {
    let Some(pid) = pid else { return Ok(Duration::ZERO) };
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let ran = text.split(' ').next().and_then(|ran| ran.parse::<u64>().ok());
        nanos += ran.unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanos))
}
