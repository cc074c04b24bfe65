//! Streams of one connection that do harm to none beside them.

use super::*;

/// An origin whose first response has its content only when it is told.
pub(super) struct Neighbour(Arc<Mutex<Option<(Wire, u32)>>>);

impl Neighbour {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Takes the first request.
    pub(super) fn takes(held: &Mutex<Option<(Wire, u32)>>, wire: &Wire, said: &Said) -> bool {
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
