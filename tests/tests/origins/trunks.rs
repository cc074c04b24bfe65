//! Shared HTTP/2 connections to origins, of which one stream must not harm the others.
//!
//! In: origins done frame by frame, clients that leave, do not read, or ask while nobody is there.
//! Out: what the others got, how many connections that took, what the server was blamed for.
//!
//! RFC 9113 §5.2 (flow control), §5.4.2 (RST_STREAM), §6.1 (DATA), §6.7 (PING), §8.7 (what was not
//! looked at).

mod neighbour;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nearcast_tests::world::{Server, caller::Caller, rest, until};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinHandle, JoinSet},
    time::{Instant, advance},
};

use self::neighbour::Neighbour;
use super::{
    http2::{Stage, stage},
    stage::{HOST, run},
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

/// Says REFUSED_STREAM.
const REFUSED: [u8; 4] = [0, 0, 0, 7];
/// `:status: 200` and `cache-control: no-store` (RFC 7541 §6.1, §6.2.2).
const OK: &[u8] = b"\x88\x0f\x09\x08no-store";

/// A frame of the edge (RFC 9113 §4.1).
pub(super) struct Said {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    payload: Vec<u8>,
}

impl Said {
    /// Whether it is a request's head.
    pub(super) fn is_head(&self) -> bool {
        self.kind == HEADERS
    }

    pub(super) fn is_last(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// An origin's end of one connection.
#[derive(Clone)]
pub(super) struct Wire {
    /// Which connection it is, from 1.
    pub(super) number: usize,
    out: UnboundedSender<Vec<u8>>,
}

impl Wire {
    pub(super) fn says(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap();
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.out.send(frame).unwrap_or_default();
    }

    /// A response's head, after which there is content.
    fn begins(&self, stream: u32) {
        self.says(HEADERS, 4, stream, OK);
    }

    /// A whole response.
    pub(super) fn answers(&self, stream: u32, content: &[u8]) {
        self.begins(stream);
        self.says(DATA, 1, stream, content);
    }

    /// Nothing after `stream` was looked at, and nothing more will be.
    pub(super) fn leaves(&self, stream: u32) {
        self.says(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat());
    }

    fn closes(&self) {
        self.out.send(Vec::new()).unwrap_or_default();
    }

    /// What any server does.
    pub(super) fn has_manners(&self, said: &Said) {
        match (said.kind, said.flags & 1) {
            (SETTINGS, 0) => self.says(SETTINGS, 1, 0, &[]),
            (PING, 0) => self.says(PING, 1, 0, &said.payload),
            _ => {}
        }
    }
}

/// An origin that does `does` with each frame.
pub(super) fn by_hand(does: impl Fn(&Wire, &Said) + Send + Sync + 'static) -> Server {
    let (does, connections) = (Arc::new(does), Arc::new(AtomicUsize::new(0)));
    Arc::new(move |io| {
        let does = Arc::clone(&does);
        let number = connections.fetch_add(1, Ordering::AcqRel) + 1;
        Box::pin(async move {
            let (mut from, mut to) = split(io);
            let (out, mut queue) = unbounded_channel::<Vec<u8>>();
            let wire = Wire { number, out };
            let writes = async {
                while let Some(frame) = queue.recv().await.filter(|frame| !frame.is_empty()) {
                    to.write_all(&frame).await.ok()?;
                }
                Some(())
            };
            let reads = async {
                from.read_exact(&mut [0; 24]).await.ok()?;
                wire.says(SETTINGS, 0, 0, &[]);
                loop {
                    let mut head = [0; 9];
                    from.read_exact(&mut head).await.ok()?;
                    let number = |octets: &[u8]| {
                        octets.iter().fold(0, |all, one| all << 8 | u32::from(*one))
                    };
                    let mut payload = vec![0; number(&head[..3]).try_into().unwrap()];
                    from.read_exact(&mut payload).await.ok()?;
                    does(
                        &wire,
                        &Said {
                            kind: head[3],
                            flags: head[4],
                            stream: number(&head[5..]),
                            payload,
                        },
                    );
                }
            };
            let _ended: Option<()> =
                tokio::select! { ended = writes => ended, ended = reads => ended };
        })
    })
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

impl Stage {
    /// Failures that the server was blamed for.
    pub(super) fn failures(&self) -> u64 {
        self.counted().counts().failures.load(Ordering::Relaxed)
    }

    fn counted(&self) -> Arc<edge::fetch::server::Server> {
        let snapshot = self.world.edge.hall().snapshot.load();
        let entry = snapshot.sites.values().next().unwrap();
        Arc::clone(&entry.pool.servers()[0])
    }

    /// Requests that were counted.
    pub(super) fn requests(&self) -> u64 {
        self.counted().counts().requests.load(Ordering::Relaxed)
    }

    /// Sees that the count of requests never falls.
    fn watch_requests(&self, enough: Arc<AtomicUsize>) -> JoinHandle<()> {
        let server = self.counted();
        tokio::spawn(async move {
            let mut most = 0;
            while enough.load(Ordering::Acquire) == 0 {
                let now = server.counts().requests.load(Ordering::Relaxed);
                assert!(now >= most, "{now} after {most}");
                most = now;
                tokio::task::yield_now().await;
            }
        })
    }

    /// A client that has sent a GET and has the head of its answer.
    async fn reader(&self, target: &str) -> Caller {
        let mut caller = self.caller();
        caller.send("GET", get(target).as_bytes()).await.unwrap();
        while caller.so_far().is_none_or(|answer| answer.head.is_none()) {
            assert!(caller.read(1).await > 0);
        }
        caller
    }
}

/// POSTs `content` at an origin that does `does` with the first request that ends or is large.
async fn posted(
    content: usize,
    does: impl Fn(&Wire, u32) + Send + Sync + 'static,
) -> (Stage, u16, Vec<u8>) {
    let bytes: Arc<Mutex<BTreeMap<(usize, u32), usize>>> = Arc::default();
    let is_done = AtomicUsize::new(0);
    let server = by_hand(move |wire, said| {
        wire.has_manners(said);
        if said.kind != DATA {
            return;
        }
        let mut bytes = bytes.lock();
        let so_far = bytes.entry((wire.number, said.stream)).or_default();
        *so_far += said.payload.len();
        if is_done.load(Ordering::Acquire) == 0 && (said.is_last() || *so_far > 100_000) {
            is_done.store(1, Ordering::Release);
            does(wire, said.stream);
        } else if said.is_last() {
            wire.answers(said.stream, so_far.to_string().as_bytes());
        } else {
            let more = u32::try_from(said.payload.len().max(1)).unwrap().to_be_bytes();
            wire.says(WINDOW_UPDATE, 0, 0, &more);
            wire.says(WINDOW_UPDATE, 0, said.stream, &more);
        }
    });
    let stage = stage(server, "retry_percent = 0");
    let mut caller = stage.caller();
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {content}\r\n\r\n");
    caller.send("POST", head.as_bytes()).await.unwrap();
    for _ in 0..content / 1000 {
        caller.more(&[b'x'; 1000]).await;
    }
    let answer = caller.answer().await;
    (stage, answer.status(), answer.body)
}

#[test]
fn rfc9113_8_7_content_that_was_not_looked_at_is_sent_again() {
    run(async {
        let refuses = |wire: &Wire, stream| wire.says(RST_STREAM, 0, stream, &REFUSED);
        let (stage, status, body) = posted(3000, refuses).await;
        assert_eq!((status, &body[..], stage.connections()), (200, &b"3000"[..], 1));
        assert_eq!(stage.failures(), 0, "it has only said not now");
        // It leaves; so the first request on a new connection has its second try.
        let (stage, status, body) = posted(3000, |wire, _| wire.leaves(0)).await;
        assert_eq!((status, &body[..], stage.connections()), (200, &b"3000"[..], 2));
        assert_eq!(stage.failures(), 0);
        // What is too long to be kept for that is lost, which is nobody's failure.
        let (stage, status, _) = posted(200_000, refuses).await;
        assert_eq!((status, stage.failures()), (502, 0));
    });
}

/// An origin whose first connection falls silent after the first answer.
fn falling_silent(pings: &Arc<AtomicUsize>) -> Server {
    let (pings, is_silent) = (Arc::clone(pings), AtomicUsize::new(0));
    by_hand(move |wire, said| {
        if wire.number == 1 && is_silent.load(Ordering::Acquire) > 0 {
            pings.fetch_add(usize::from(said.kind == PING), Ordering::AcqRel);
            return;
        }
        wire.has_manners(said);
        if said.kind == HEADERS {
            is_silent.store(1, Ordering::Release);
            wire.answers(said.stream, b"ok");
        }
    })
}

#[test]
fn rfc9113_6_7_a_connection_that_fell_silent_is_left_at_its_first_failure() {
    run(async {
        let pings = Arc::default();
        let stage = stage(falling_silent(&pings), "first_byte_timeout = \"2s\"\nretry_percent = 0");
        assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
        let mut statuses = Vec::new();
        for number in 0..4 {
            // In the middle between two looks every 15 s.
            advance(Duration::from_millis(7500)).await;
            rest().await;
            statuses.push(stage.ask("GET", &format!("/{number}"), "").await.status());
            advance(Duration::from_millis(7500)).await;
            rest().await;
        }
        assert_eq!(statuses, [504, 200, 200, 200]);
    });
}

#[test]
fn rfc9113_6_7_few_requests_meet_a_connection_that_fell_silent() {
    run(async {
        let pings = Arc::default();
        let stage = stage(falling_silent(&pings), "");
        assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
        advance(6 * SECOND).await;
        let (mut crowd, began) = (JoinSet::new(), Instant::now());
        for number in 0..100 {
            let mut caller = stage.caller();
            let target = format!("/{number}");
            crowd.spawn(async move {
                let answer = caller.ask("GET", HOST, &target, "").await;
                (number, answer.status(), Instant::now().duration_since(began).as_secs())
            });
            rest().await;
            advance(Duration::from_millis(400)).await;
        }
        let mut late = Vec::new();
        for (number, status, seconds) in crowd.join_all().await {
            assert_eq!(status, 200, "{number}");
            if seconds > number * 2 / 5 + 2 {
                late.push(number);
            }
        }
        assert!(late.len() < 12, "{late:?}");
        assert!(pings.load(Ordering::Acquire) > 0);
        assert_eq!(stage.failures(), 1, "one connection");
    });
}

#[test]
fn rfc9113_6_7_content_that_flows_is_a_sign_of_life() {
    run(async {
        let told: Arc<Mutex<Option<(Wire, u32)>>> = Arc::default();
        let held = Arc::clone(&told);
        let server = by_hand(move |wire, said| {
            // Its answers to PING come behind all the content.
            if said.kind != PING || held.lock().is_none() {
                wire.has_manners(said);
            }
            Neighbour::takes(&held, wire, said);
        });
        let stage = stage(server, "");
        let mut reader = stage.reader("/").await;
        let (wire, stream) = told.lock().clone().unwrap();
        let read = tokio::spawn(async move { reader.answer().await });
        for _ in 0..60 {
            wire.says(DATA, 0, stream, b"x");
            rest().await;
            advance(SECOND).await;
        }
        wire.says(DATA, 1, stream, b"x");
        assert_eq!(read.await.unwrap().body.len(), 61);
    });
}

#[test]
fn a_connection_that_is_lost_is_one_failure_and_costs_no_get() {
    run(async {
        let waiting: Arc<Mutex<Vec<u32>>> = Arc::default();
        let server = by_hand(move |wire, said| {
            wire.has_manners(said);
            match (said.kind, wire.number) {
                (HEADERS, 1) => {
                    let mut waiting = waiting.lock();
                    waiting.push(said.stream);
                    if waiting.len() == 8 {
                        wire.closes();
                    }
                }
                (HEADERS, _) => wire.answers(said.stream, b"ok"),
                _ => {}
            }
        });
        let stage = stage(server, "retry_percent = 0");
        let mut crowd = JoinSet::new();
        for number in 0..8 {
            let mut caller = stage.caller();
            crowd.spawn(async move {
                caller.ask("GET", HOST, &format!("/{number}"), "").await.status()
            });
        }
        assert_eq!(crowd.join_all().await, [200; 8]);
        assert_eq!((stage.failures(), stage.connections()), (1, 2));
    });
}

#[test]
fn rfc9113_6_8_a_server_may_leave_all_its_connections_at_once() {
    run(async {
        let wires: Arc<Mutex<BTreeMap<usize, (Wire, u32)>>> = Arc::default();
        let (known, is_leaving) = (Arc::clone(&wires), Arc::new(AtomicUsize::new(0)));
        let leaving = Arc::clone(&is_leaving);
        let server = by_hand(move |wire, said| {
            if said.kind == SETTINGS && !said.is_last() {
                // Two streams at once (RFC 9113 §6.5.2).
                wire.says(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2]);
            }
            wire.has_manners(said);
            if !said.is_head() {
                return;
            }
            if wire.number <= 2 && leaving.load(Ordering::Acquire) > 0 {
                for (wire, last) in known.lock().values() {
                    wire.leaves(*last);
                }
            } else if leaving.load(Ordering::Acquire) == 0 {
                known.lock().insert(wire.number, (wire.clone(), said.stream));
                wire.begins(said.stream);
            } else {
                wire.answers(said.stream, b"elsewhere");
            }
        });
        let stage = stage(server, "retry_percent = 0");
        let mut readers = Vec::new();
        for number in 0..3 {
            readers.push(stage.reader(&format!("/{number}")).await);
        }
        assert_eq!(stage.connections(), 2);
        readers.remove(0);
        rest().await;
        advance(SECOND).await;
        is_leaving.store(1, Ordering::Release);
        let requests = stage.requests();
        let enough = Arc::new(AtomicUsize::new(0));
        let watching = stage.watch_requests(Arc::clone(&enough));
        let answer = stage.ask("POST", "/", "Content-Length: 0\r\n").await;
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"elsewhere"[..]));
        assert_eq!((stage.connections(), stage.failures()), (3, 0));
        enough.store(1, Ordering::Release);
        watching.await.unwrap();
        assert_eq!(stage.requests(), requests + 1, "one request, however often it was sent");
    });
}

#[test]
fn a_connection_that_was_idle_for_too_long_takes_no_request() {
    run(async {
        let server = by_hand(|wire, said| {
            wire.has_manners(said);
            if said.is_head() {
                wire.answers(said.stream, b"ok");
            }
        });
        // Looked after every 5 s alone.
        let stage = stage(server, "keep_alive = \"1s\"");
        for connections in 1..4 {
            assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
            assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
            assert_eq!(stage.connections(), connections);
            advance(SECOND).await;
        }
    });
}

#[test]
fn a_host_that_http_2_cannot_say_is_the_clients_fault() {
    run(async {
        let server = by_hand(|wire, said| {
            wire.has_manners(said);
            if said.is_head() {
                wire.answers(said.stream, b"ok");
            }
        });
        let stage = stage(server, "host = \"client\"");
        let ask =
            async |host: &str| stage.caller().ask("POST", host, "/", "Content-Length: 0\r\n").await;
        assert_eq!(ask("www.example").await.status(), 200);
        assert_eq!(ask("www%2eexample").await.status(), 400);
        assert_eq!(stage.failures(), 0);
    });
}
