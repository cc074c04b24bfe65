//! The loop over real sockets, with a desk that answers with what it was asked.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::*;
use crate::listen::{Addresses, bind};

const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone, Default)]
struct Echo {
    ending: Arc<AtomicBool>,
    batches: Arc<AtomicUsize>,
    idle: Arc<AtomicUsize>,
    lost: Arc<Mutex<Vec<Lost>>>,
}

impl Respond for Echo {
    fn begin(&mut self) {
        self.batches.fetch_add(1, Ordering::SeqCst);
    }

    fn respond(&mut self, query: &[u8], _client: SocketAddr, out: &mut [u8]) -> Option<usize> {
        out[..query.len()].copy_from_slice(query);
        (query != b"silence").then_some(query.len())
    }

    fn lost(&mut self, why: Lost) {
        self.lost.lock().push(why);
    }

    fn idle(&mut self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }
}

struct Server {
    echo: Echo,
    port: u16,
    thread: thread::JoinHandle<()>,
}

fn serving(address: &str) -> Server {
    let echo = Echo::default();
    let (socket, port) = bound(address);
    let mut desk = echo.clone();
    let thread = thread::spawn(move || serve(&socket, &mut desk).unwrap());
    Server { echo, port, thread }
}

fn bound(address: &str) -> (UdpSocket, u16) {
    let dns = vec![address.parse().unwrap()];
    let mut bound = bind(&Addresses { dns, ..Addresses::default() }, 1).unwrap();
    let port = bound.addresses.dns[0].port();
    (bound.workers.remove(0).udp.remove(0), port)
}

impl Server {
    fn end(self) -> Vec<Lost> {
        self.echo.ending.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.echo.lost.lock().clone()
    }
}

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

fn until(reached: impl Fn() -> bool) {
    let start = tokio::time::Instant::now();
    while !reached() {
        assert!(start.elapsed() < DEADLINE, "in vain");
        thread::yield_now();
    }
}

/// RFC 2181 §4.1: a response comes from the address that was asked, whichever it was.
#[test]
fn a_response_leaves_from_the_address_that_was_asked() {
    let v4 = serving("0.0.0.0:0");
    let asker = client("127.0.0.1:0");
    let mut buffer = [0; 100];
    for round in 0..100_u8 {
        let to = SocketAddr::from(([127, 0, 0, 2 + round % 3], v4.port));
        asker.send_to(&[round], to).unwrap();
    }
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let (length, from) = asker.recv_from(&mut buffer).unwrap();
        assert_eq!(length, 1);
        assert_eq!(from, SocketAddr::from(([127, 0, 0, 2 + buffer[0] % 3], v4.port)));
        assert!(seen.insert(buffer[0]), "{} came twice", buffer[0]);
    }
    assert_eq!(v4.end(), []);

    let v6 = serving("[::]:0");
    let asker = client("[::1]:0");
    asker.send_to(b"six", ("::1", v6.port)).unwrap();
    let (length, from) = asker.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.to_string()), (&b"six"[..], format!("[::1]:{}", v6.port)));
    assert_eq!(v6.end(), []);
}

#[test]
fn a_socket_of_one_address_needs_no_word_of_it() {
    for address in ["127.0.0.4:0", "[::1]:0"] {
        let server = serving(address);
        let to = SocketAddr::new(address.parse::<SocketAddr>().unwrap().ip(), server.port);
        let asker = client(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        asker.send_to(b"one", to).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(asker.recv_from(&mut buffer).unwrap(), (3, to));
        assert_eq!(server.end(), []);
    }
}

#[test]
fn what_waits_at_the_end_is_answered() {
    let (socket, port) = bound("127.0.0.1:0");
    let asker = client("127.0.0.1:0");
    for round in 0..200_u8 {
        asker.send_to(&[round], (Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    let echo = Echo::default();
    echo.ending.store(true, Ordering::SeqCst);
    serve(&socket, &mut echo.clone()).unwrap();
    drop(socket);
    let mut buffer = [0; 10];
    for _ in 0..200 {
        assert_eq!(asker.recv_from(&mut buffer).unwrap().0, 1);
    }
    let batches = echo.batches.load(Ordering::SeqCst);
    assert!((200 / BATCH..=200 / BATCH + 1).contains(&batches), "{batches} batches");
}

#[test]
fn a_datagram_that_was_cut_is_dropped_and_the_next_one_answered() {
    let server = serving("0.0.0.0:0");
    let asker = client("127.0.0.1:0");
    let to = (Ipv4Addr::LOCALHOST, server.port);
    asker.send_to(&[1; DATAGRAM_BYTES + 1], to).unwrap();
    asker.send_to(b"silence", to).unwrap();
    asker.send_to(&[], to).unwrap();
    asker.send_to(&[2; DATAGRAM_BYTES], to).unwrap();
    let mut buffer = [0; 2000];
    assert_eq!(asker.recv_from(&mut buffer).unwrap().0, 0);
    assert_eq!(asker.recv_from(&mut buffer).unwrap().0, DATAGRAM_BYTES);
    assert_eq!(server.end(), [Lost::TooLong]);
}

/// What cannot be sent takes no other response with it.
#[test]
fn a_response_that_cannot_be_sent_costs_itself_alone() {
    [false, true].into_iter().for_each(unreachable);
}

fn unreachable(one_by_one: bool) {
    let (socket, _) = bound("127.0.0.1:0");
    let asker = client("127.0.0.1:0");
    let name = |address: SocketAddr| match address {
        SocketAddr::V4(address) => Some(address.into()),
        SocketAddr::V6(_) => None,
    };
    let mut loop_ = Loop::<V4>::new(&socket, RepliesFrom::Socket);
    if one_by_one {
        loop_.replies.headers = ToSend::one_by_one(RepliesFrom::Socket);
    }
    let reachable = asker.local_addr().unwrap();
    // A socket that is bound to loopback reaches nothing beyond.
    let beyond = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 53);
    let order = [beyond, reachable, beyond, beyond, reachable, reachable, beyond];
    for (at, to) in order.into_iter().enumerate() {
        loop_.replies.buffer()[0] = u8::try_from(at).unwrap();
        loop_.replies.push(1, name(to).unwrap(), None);
    }
    let mut echo = Echo::default();
    loop_.replies.send(socket.as_raw_fd(), &mut echo);
    let mut buffer = [0; 10];
    for at in [1, 4, 5] {
        asker.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[0], at);
    }
    assert_eq!(*echo.lost.lock(), [Lost::NotSent; 4]);
}

#[test]
fn a_loop_without_work_looks_around() {
    let server = serving("127.0.0.1:0");
    let idle = Arc::clone(&server.echo.idle);
    until(|| idle.load(Ordering::SeqCst) > 1);
    assert_eq!(server.end(), []);
}
