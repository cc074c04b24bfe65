//! Shared HTTP/2 connections to origins, of which one stream must not harm the others.
//!
//! In: origins done frame by frame, clients that leave, do not read, or ask while nobody is there.
//! Out: what the others got, how many connections that took, what the server was blamed for.
//!
//! RFC 9113 §5.2 (flow control), §5.4.2 (RST_STREAM), §6.1 (DATA), §6.7 (PING), §8.7 (what was not
//! looked at).

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

use super::{
    http2::{Stage, stage},
    stage::{HOST, run},
};

const SECOND: Duration = Duration::from_secs(1);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Says REFUSED_STREAM.
const REFUSED: [u8; 4] = [0, 0, 0, 7];
/// `:status: 200` and `cache-control: no-store` (RFC 7541 §6.1, §6.2.2).
const OK: &[u8] = b"\x88\x0f\x09\x08no-store";

/// A frame of the edge (RFC 9113 §4.1).
pub(super) struct Said {
    kind: u8,
    flags: u8,
    pub(super) stream: u32,
    payload: Vec<u8>,
}

impl Said {
    /// Whether it is a request's head.
    pub(super) fn is_head(&self) -> bool {
        self.kind == HEADERS
    }

    fn is_last(&self) -> bool {
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
    fn says(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
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
    fn failures(&self) -> u64 {
        self.counted().counts().failures.load(Ordering::Relaxed)
    }

    fn counted(&self) -> Arc<edge::fetch::server::Server> {
        let snapshot = self.world.edge.hall().snapshot.load();
        let entry = snapshot.sites.values().next().unwrap();
        Arc::clone(&entry.pool.servers()[0])
    }

    /// Requests that were counted.
    fn requests(&self) -> u64 {
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

/// An origin whose first response has its content only when it is told.
struct Neighbour(Arc<Mutex<Option<(Wire, u32)>>>);

impl Neighbour {
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Takes the first request.
    fn takes(held: &Mutex<Option<(Wire, u32)>>, wire: &Wire, said: &Said) -> bool {
        let mut held = held.lock();
        let is_first = said.kind == HEADERS && held.is_none();
        if is_first {
            wire.begins(said.stream);
            *held = Some((wire.clone(), said.stream));
        }
        is_first
    }

    /// Brings it to its end.
    async fn is_well(&self, mut reader: Caller) {
        let (wire, stream) = self.0.lock().clone().unwrap();
        wire.says(DATA, 1, stream, b"whole");
        let answer = reader.answer().await;
        assert_eq!((answer.whole(), &answer.body[..]), (true, &b"whole"[..]));
    }
}

#[test]
fn rfc9113_5_4_2_thousands_that_ask_and_leave_harm_no_neighbour() {
    run(async {
        let neighbour = Neighbour::new();
        let held = Arc::clone(&neighbour.0);
        let resets: Arc<Mutex<BTreeMap<usize, u32>>> = Arc::default();
        let counts = Arc::clone(&resets);
        let server = by_hand(move |wire, said| {
            wire.has_manners(said);
            if Neighbour::takes(&held, wire, said) {
                return;
            }
            match said.kind {
                HEADERS => {
                    wire.begins(said.stream);
                    wire.says(DATA, 0, said.stream, b"a beginning");
                }
                // What was on its way already when the client left.
                RST_STREAM if said.payload == [0, 0, 0, 8] => {
                    *counts.lock().entry(wire.number).or_default() += 1;
                    wire.says(DATA, 0, said.stream, b"more");
                    wire.says(DATA, 0, said.stream, b"and more");
                }
                _ => {}
            }
        });
        let stage = stage(server, "");
        let reader = stage.reader("/long").await;
        for number in 0..2000 {
            drop(stage.reader(&format!("/{number}")).await);
        }
        // The last of a connection that takes no more needs no RST_STREAM.
        assert!(until(|| resets.lock().values().sum::<u32>() >= 1900).await);
        neighbour.is_well(reader).await;
        assert_eq!(stage.failures(), 0);
    });
}

#[test]
fn resets_are_spread_so_thin_that_no_server_defends_itself() {
    run(async {
        let resets: Arc<Mutex<BTreeMap<usize, u32>>> = Arc::default();
        let counts = Arc::clone(&resets);
        let server = by_hand(move |wire, said| {
            wire.has_manners(said);
            match said.kind {
                HEADERS => wire.begins(said.stream),
                RST_STREAM => *counts.lock().entry(wire.number).or_default() += 1,
                _ => {}
            }
        });
        let stage = stage(server, "");
        for number in 0..300 {
            drop(stage.reader(&format!("/{number}")).await);
        }
        assert!(until(|| resets.lock().values().sum::<u32>() >= 290).await);
        let most = *resets.lock().values().max().unwrap();
        assert!(most < 100, "{most} on one connection");
        assert!(stage.connections() < 10, "{}", stage.connections());
    });
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
fn rfc9113_6_1_content_that_a_server_flushes_harms_no_neighbour() {
    run(async {
        let neighbour = Neighbour::new();
        let held = Arc::clone(&neighbour.0);
        let server = by_hand(move |wire, said| {
            wire.has_manners(said);
            if !Neighbour::takes(&held, wire, said) && said.kind == HEADERS {
                wire.begins(said.stream);
                wire.says(DATA, 0, said.stream, b"");
                wire.says(DATA, 0, said.stream, b"hel");
                wire.says(DATA, 0, said.stream, b"");
                wire.says(DATA, 0, said.stream, b"lo");
                wire.says(DATA, 1, said.stream, b"");
            }
        });
        let stage = stage(server, "");
        let reader = stage.reader("/long").await;
        for number in 0..120 {
            assert_eq!(stage.ask("GET", &format!("/{number}"), "").await.body, b"hello");
        }
        neighbour.is_well(reader).await;
        assert_eq!((stage.failures(), stage.connections()), (0, 1));
    });
}

#[test]
fn rfc9113_5_2_small_pieces_that_nobody_reads_harm_no_neighbour() {
    run(async {
        let neighbour = Neighbour::new();
        let held = Arc::clone(&neighbour.0);
        let room: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let server = by_hand(move |wire, said| {
            wire.has_manners(said);
            if Neighbour::takes(&held, wire, said) {
                return;
            }
            let mut room = room.lock();
            match said.kind {
                HEADERS => {
                    wire.begins(said.stream);
                    room.insert(said.stream, 128 * 1024);
                }
                WINDOW_UPDATE => {
                    let more = u32::from_be_bytes(said.payload.clone().try_into().unwrap());
                    room.entry(said.stream).and_modify(|room| *room += more);
                }
                _ => return,
            }
            if let Some(room) = room.get_mut(&said.stream) {
                while *room >= 20 {
                    wire.says(DATA, 0, said.stream, b"event: 12345678901\n\n");
                    *room -= 20;
                    count.fetch_add(20, Ordering::AcqRel);
                }
            }
        });
        let stage = stage(server, "");
        let reader = stage.reader("/long").await;
        let mut idlers = Vec::new();
        for number in 0..12 {
            idlers.push(stage.reader(&format!("/{number}")).await);
            rest().await;
        }
        assert!(until(|| sent.load(Ordering::Acquire) >= 12 * 128 * 1000).await);
        neighbour.is_well(reader).await;
        assert_eq!((stage.failures(), stage.connections()), (0, 1));
        let mut last = idlers.pop().unwrap();
        let before = last.so_far().unwrap().body.len();
        while last.so_far().unwrap().body.len() < before + 200_000 {
            assert!(last.read(16 * 1024).await > 0);
        }
        assert_eq!(
            last.so_far().unwrap().body.chunks(20).nth(9000).unwrap(),
            b"event: 12345678901\n\n"
        );
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

/// An origin that reads nothing of its first request, and a client that has sent it; how many heads
/// the origin has seen.
async fn unread() -> (Stage, Arc<AtomicUsize>) {
    let unread: Mutex<Option<(usize, u32)>> = Mutex::default();
    let heads = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&heads);
    let server = by_hand(move |wire, said| {
        wire.has_manners(said);
        let me = (wire.number, said.stream);
        let mut unread = unread.lock();
        seen.fetch_add(said.is_head().into(), Ordering::AcqRel);
        if said.kind == HEADERS && unread.is_none() {
            *unread = Some(me);
        }
        if *unread != Some(me) && said.is_last() && matches!(said.kind, HEADERS | DATA) {
            wire.answers(said.stream, b"ok");
        }
    });
    let stage = stage(server, "idle_timeout = \"60s\"\nretry_percent = 0");
    let mut stuck = stage.caller();
    let head = format!("POST /unread HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 200000\r\n\r\n");
    stuck.send("POST", head.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        stuck.more(&[b'x'; 200_000]).await;
        stuck.answer().await
    });
    rest().await;
    (stage, heads)
}

#[test]
fn rfc9113_5_2_who_waits_behind_an_upload_that_is_not_read_moves() {
    run(async {
        let (stage, heads) = unread().await;
        let began = Instant::now();
        let mut behind = JoinSet::new();
        for number in 0..6 {
            let mut caller = stage.caller();
            behind.spawn(async move {
                let head = format!(
                    "POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello"
                );
                caller.send("POST", head.as_bytes()).await.unwrap();
                caller.answer().await.status()
            });
        }
        assert_eq!(behind.join_all().await, [200; 6]);
        assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
        assert_eq!((stage.connections(), stage.failures()), (2, 0));
        assert_eq!(stage.requests(), 7, "one that moves is one request");
        rest().await;
        assert_eq!(heads.load(Ordering::Acquire), 13, "what was begun is not sent again");
    });
}

#[test]
fn rfc9113_5_2_who_has_moved_waits_for_as_long_as_the_server_takes() {
    const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
    run(async {
        let held: Arc<Mutex<Option<(Wire, u32)>>> = Arc::default();
        let last = Arc::clone(&held);
        let server = by_hand(move |wire, said| {
            if (said.kind, said.flags & 1) == (SETTINGS, 0) {
                wire.says(SETTINGS, 0, 0, &NO_WINDOW);
            }
            wire.has_manners(said);
            if said.is_last() && matches!(said.kind, HEADERS | DATA) {
                wire.answers(said.stream, b"ok");
            } else if said.is_head() {
                *last.lock() = Some((wire.clone(), said.stream));
            }
        });
        let stage = stage(server, "retry_percent = 0");
        assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
        advance(SECOND).await;
        let mut caller = stage.caller();
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
        caller.send("POST", head.as_bytes()).await.unwrap();
        for _ in 0..4 {
            rest().await;
            advance(SECOND).await;
        }
        rest().await;
        let (wire, stream) = held.lock().clone().unwrap();
        assert_eq!((wire.number, stage.connections()), (2, 2), "once, and no more");
        wire.says(WINDOW_UPDATE, 0, stream, &1000_u32.to_be_bytes());
        assert_eq!(caller.answer().await.status(), 200);
    });
}

#[test]
fn rfc9113_5_2_an_upload_that_is_not_read_stops_no_other() {
    run(async {
        let (stage, _heads) = unread().await;
        advance(2 * SECOND).await;
        rest().await;
        let began = Instant::now();
        assert_eq!(stage.ask("GET", "/", "").await.status(), 200);
        assert_eq!(stage.connections(), 1, "what has no content finds room");
        for number in 0..3 {
            let mut caller = stage.caller();
            let request = format!(
                "POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello"
            );
            caller.send("POST", request.as_bytes()).await.unwrap();
            assert_eq!(caller.answer().await.status(), 200);
        }
        assert!(began.elapsed() < 5 * SECOND);
        assert_eq!(stage.connections(), 2);
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
