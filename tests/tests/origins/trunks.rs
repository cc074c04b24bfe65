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
    task::JoinSet,
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
struct Said {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Said {
    fn is_last(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// An origin's end of one connection.
#[derive(Clone)]
struct Wire {
    /// Which connection it is, from 1.
    number: usize,
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
    fn answers(&self, stream: u32, content: &[u8]) {
        self.begins(stream);
        self.says(DATA, 1, stream, content);
    }

    /// Nothing after `stream` was looked at, and nothing more will be.
    fn leaves(&self, stream: u32) {
        self.says(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat());
    }

    fn closes(&self) {
        self.out.send(Vec::new()).unwrap_or_default();
    }

    /// What any server does.
    fn has_manners(&self, said: &Said) {
        match (said.kind, said.flags & 1) {
            (SETTINGS, 0) => self.says(SETTINGS, 1, 0, &[]),
            (PING, 0) => self.says(PING, 1, 0, &said.payload),
            _ => {}
        }
    }
}

/// An origin that does `does` with each frame.
fn by_hand(does: impl Fn(&Wire, &Said) + Send + Sync + 'static) -> Server {
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
        let snapshot = self.world.edge.hall().snapshot.load();
        let entry = snapshot.sites.values().next().unwrap();
        entry.pool.servers()[0].counts().failures.load(Ordering::Relaxed)
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
