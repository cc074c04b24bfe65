//! What the budget says is what the process holds: live bytes of the heap beside charged bytes.
//!
//! In: origins that pour, clients that take nothing. Out: bytes per client, allocated and charged.
//! Always holds: both are slopes between two crowds, so that what a node holds without clients is
//! not in them; all runs on this test's one thread, whose allocations alone are counted.
//! It deliberately does not know the resident size of a process: `tests/bench/memory.py` does.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use allocation_counter::measure;
use bytesize::ByteSize;
use edge::{
    fetch::room::FillRoom,
    store::{
        budget::{Budget, Charge},
        shared::{Reader, SharedBody},
    },
};
use edge_core::settings::EdgeSettings;
use nearcast_daemon::access_log::AccessLog;
use nearcast_tests::world::{Server, Wires, World, caller::Caller, rest, site, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::advance;

use origin_mock::script::{Body, Hold, Pattern, Script, Seed, Step};

use super::stage::{HOST, cacheable, run, stage, stage_with};

/// What stands around the edge for each client and is no part of it, and what a connection costs
/// without content: two pipes of 16 KiB both ways, hyper's buffers and tasks on the client's side.
const THEATRE_BYTES: f64 = 96.0 * 1024.0;

const SITE: &str = "name = \"www\"\nhosts = [\"*\"]\norigin = { servers = [\"http://a\"] }\n";

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n";

/// A server that answers with `head` and then pours `piece` for ever.
fn pours(head: &'static str, piece: &'static [u8]) -> Server {
    Arc::new(move |mut io: DuplexStream| {
        Box::pin(async move {
            let mut asked = [0; 1024];
            if !matches!(io.read(&mut asked).await, Ok(1..)) {
                return;
            }
            if io.write_all(head.as_bytes()).await.is_ok() {
                while io.write_all(piece).await.is_ok() {}
            }
        })
    })
}

/// Bytes that were live at most, and charged in the end, with so many clients that take nothing.
fn crowd(clients: usize, settings: &EdgeSettings, server: &Server) -> (f64, f64) {
    let mut charged = 0;
    let live = measure(|| {
        run(async {
            let wires = Arc::new(Wires::default());
            wires.put("a:80", Arc::clone(server));
            let sites = [site(SITE).unwrap()];
            let world = World::new(settings, &sites, wires, AccessLog::off()).unwrap();
            let mut callers = Vec::new();
            for number in 0..clients {
                let mut caller = Caller::on(world.connect());
                let request = format!("GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
                caller.send("GET", request.as_bytes()).await;
                callers.push(caller);
            }
            for _ in 0..40 {
                rest().await;
            }
            charged = world.edge.hall().room.budget.used();
        });
    });
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    (live.bytes_max as f64, charged as f64)
}

/// Bytes live and charged for each client more.
fn slopes(settings: &EdgeSettings, server: &Server) -> (f64, f64) {
    let (few, many) = (crowd(10, settings, server), crowd(30, settings, server));
    ((many.0 - few.0) / 20.0, (many.1 - few.1) / 20.0)
}

#[test]
fn what_slow_clients_hold_is_charged() {
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\nCache-Control: ";
    let stored: &str = Box::leak(format!("{large}max-age=60\r\n\r\n").into_boxed_str());
    let passed: &str = Box::leak(format!("{large}no-store\r\n\r\n").into_boxed_str());
    let octets: &[u8] = Box::leak(vec![b'x'; 65_536].into_boxed_slice());
    let flushed: &[u8] = Box::leak(b"1\r\na\r\n".repeat(1000).into_boxed_slice());
    let rows = [
        ("a window", pours(stored, octets)),
        ("passed on", pours(passed, octets)),
        ("byte by byte", pours(CHUNKED, flushed)),
    ];
    let settings = EdgeSettings { object_bytes_max: ByteSize::kib(1), ..EdgeSettings::default() };
    for (what, server) in rows {
        let (live, charged) = slopes(&settings, &server);
        assert!(live <= charged + THEATRE_BYTES, "{what}: {live:.0} live, {charged:.0} charged");
    }
}

/// What a reader gets until it has to wait.
async fn drain(reader: &mut Reader, content: &mut Vec<u8>) {
    poll_fn(|cx| {
        while let Poll::Ready(Some(chunk)) = reader.poll_next(cx) {
            content.extend_from_slice(&chunk.unwrap());
        }
        Poll::Ready(())
    })
    .await;
}

#[test]
fn content_that_comes_byte_by_byte_costs_little_more_than_itself() {
    run(async {
        let budget = Budget::new(1 << 20);
        let body = SharedBody::new(Arc::clone(&budget));
        let (mut early, mut late) = (body.reader(0).unwrap(), body.reader(0).unwrap());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let octets: Vec<u8> = (0..=250).cycle().take(20_000).collect();
        for (number, octet) in octets.iter().enumerate() {
            body.append(&[*octet]).unwrap();
            // At places that fall inside of what is joined later.
            if number % 7 == 0 {
                drain(&mut early, &mut first).await;
            }
        }
        assert!(budget.used() <= 2 * octets.len(), "{} bytes for 20,000", budget.used());
        drain(&mut early, &mut first).await;
        drain(&mut late, &mut second).await;
        assert!(first == octets && second == octets);
        drop((early, late, body));
        assert_eq!(budget.used(), 0);
    });
}

#[test]
fn orphans_give_way_when_memory_is_short() {
    run(async {
        let chunk: &[u8] =
            Box::leak([b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat().into_boxed_slice());
        let wires = Arc::new(Wires::default());
        wires.put("a:80", pours(CHUNKED, chunk));
        let settings = EdgeSettings {
            memory: ByteSize::mib(16),
            object_bytes_max: ByteSize::mib(3),
            ..EdgeSettings::default()
        };
        let world = World::new(&settings, &[site(SITE).unwrap()], wires, AccessLog::off()).unwrap();
        let room = &world.edge.hall().room;
        let mut callers = Vec::new();
        for number in 0..8 {
            let mut caller = Caller::on(world.connect());
            let request = format!("GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            caller.send("GET", request.as_bytes()).await;
            assert!(caller.read(1).await > 0);
            callers.push(caller);
        }
        drop(callers);
        assert!(until(|| world.serving() == 0 && room.table.is_empty()).await);
        assert!(room.counts.orphaned.load(Ordering::Relaxed) > 0);
        assert_eq!(room.budget.refused(), 0, "nobody was refused for them");
    });
}

#[test]
fn the_index_is_charged() {
    run(async {
        let script = Script::new().route("/*", [cacheable("small")]);
        let stage = stage(vec![script], "");
        for number in 0..200 {
            stage.get(&format!("/{number}")).await;
        }
        let room = &stage.world.edge.hall().room;
        room.tier.settle();
        let weighed = usize::try_from(room.tier.usage().bytes).unwrap();
        // What is weighed counts in units of 64 bytes, rounded up.
        let (charged, rounding) = (room.budget.used(), 200 * 64);
        assert!(charged + rounding >= weighed, "{charged} charged, {weighed} weighed");
    });
}

/// A node with 14 MiB to charge, of which stored responses may have four fifths.
fn small() -> EdgeSettings {
    EdgeSettings { memory: ByteSize::mib(16), ..EdgeSettings::default() }
}

#[test]
fn requests_that_wait_are_charged_with_their_heads() {
    run(async {
        let held = Step { hold: Some(Hold::Release), ..cacheable("late") };
        let stage = stage_with(&small(), vec![Script::new().route("/*", [held])], "");
        let hall = stage.world.edge.hall();
        let fields = (0..7).map(|n| format!("X-{n}: {}\r\n", "y".repeat(4000)));
        let request =
            format!("GET /one HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", fields.collect::<String>());
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..450 {
            let (mut caller, request) = (stage.caller(), request.clone());
            crowd.spawn(async move {
                caller.send("GET", request.as_bytes()).await;
                caller.answer().await
            });
        }
        let refused = || hall.limits.counts().get("memory").copied().unwrap_or(0);
        assert!(until(|| refused() > 0).await, "{} charged", hall.room.budget.used());
        assert!(hall.room.budget.used() > 350 * 28_000, "{}", hall.room.budget.used());
        let first = crowd.join_next().await.unwrap().unwrap();
        assert_eq!(first.status(), 503);
        assert_eq!(first.field("retry-after").as_deref(), Some("1"));
        for _ in 0..20 {
            rest().await;
        }
        stage.origin(0).release(None);
        let answers = crowd.join_all().await;
        let served = answers.iter().filter(|answer| answer.status() == 200).count() as u64;
        assert_eq!((served + refused(), stage.asked(0)), (450, 1));
        rest().await;
        assert!(hall.room.budget.used() < 64 * 1024, "{} are left", hall.room.budget.used());
    });
}

#[test]
fn stored_responses_give_way_to_responses_on_their_way() {
    run(async {
        let content = |bytes| Body::Pattern(Pattern { bytes, seed: Seed::Number(3) });
        let object = Step { body: content(40_000), ..Step::default() };
        let download = Step { body: content(8_000_000), ..Step::default() };
        let script = Script::new()
            .route("/o*", [object.with_field("Cache-Control", "max-age=600")])
            .route("/d*", [download.with_field("Cache-Control", "no-store")]);
        let stage = stage_with(&small(), vec![script], "");
        for number in 0..350 {
            stage.get(&format!("/o{number}")).await;
        }
        let room = &stage.world.edge.hall().room;
        room.tier.settle();
        let most = room.tier.usage().bytes;
        assert!(most > 10_500_000, "{most} stored");
        let mut downloads = Vec::new();
        let mut download = async |most: usize| {
            let mut served = 0;
            for number in 0..most {
                let mut caller = stage.caller();
                let request = format!("GET /d{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
                caller.send("GET", request.as_bytes()).await;
                while caller.so_far().is_none_or(|answer| answer.head.is_none()) {
                    assert!(caller.read(1000).await > 0);
                }
                served += usize::from(caller.so_far().is_some_and(|head| head.status() == 200));
                downloads.push(caller);
            }
            served
        };
        // Without the store there is room for twice as many as this, beside it for half as many.
        assert_eq!(download(40).await, 40);
        assert!(room.tier.usage().bytes < most);
        assert!(download(80).await < 80, "not all that is stored gives way");
        room.tier.settle();
        let left = room.tier.usage().bytes;
        assert!(left >= most * 45 / 100, "{left} of {most} are left");
        assert!(room.budget.used() <= room.budget.limit());
        drop(downloads);
        rest().await;
        let asked = stage.asked(0);
        stage.get("/o349").await;
        assert_eq!(stage.asked(0), asked, "what was asked for last stays");
        stage.get("/o100").await;
        assert_eq!(stage.asked(0), asked + 1);
    });
}

/// Leaves so many bytes of the budget.
fn leave(room: &FillRoom, bytes: usize) -> Charge {
    room.budget.reserve(room.budget.limit() - room.budget.used() - bytes).unwrap()
}

#[test]
fn what_is_not_stored_for_want_of_memory_says_so() {
    run(async {
        let body = Body::Pattern(Pattern { bytes: 3_000_000, seed: Seed::Number(3) });
        let step = Step { body, ..Step::default() }.with_field("Cache-Control", "max-age=60");
        let stage = stage_with(&small(), vec![Script::new().route("/*", [step])], "");
        let room = &stage.world.edge.hall().room;
        let taken = leave(room, 1_500_000);
        let answer = stage.get("/large").await;
        assert_eq!((answer.status(), answer.body.len()), (200, 3_000_000));
        let said = answer.field("cache-status").unwrap();
        assert!(said.ends_with("fwd-status=200; ttl=60; detail=memory"), "{said}");
        assert_eq!(room.counts.unstored_for_memory.load(Ordering::Relaxed), 1);
        drop(taken);
        let said = stage.get("/large").await.field("cache-status").unwrap();
        assert!(said.contains("; stored"), "{said}");
        assert_eq!(room.counts.unstored_for_memory.load(Ordering::Relaxed), 1);
    });
}

/// RFC 9111 §4.2.4, RFC 5861 §4: who cannot wait for its origin is as one whose origin is gone.
#[test]
fn what_is_stored_stands_in_for_want_of_memory() {
    run(async {
        let lasts = |text| Step::text(text).with_field("Cache-Control", text);
        let script = Script::new()
            .route("/may", [lasts("max-age=1, stale-if-error=600")])
            .route("/must", [lasts("max-age=1, must-revalidate")]);
        let stage = stage_with(&small(), vec![script], "");
        for target in ["/may", "/must"] {
            assert_eq!(stage.get(target).await.status(), 200);
        }
        advance(Duration::from_secs(2)).await;
        let hall = stage.world.edge.hall();
        let taken = leave(&hall.room, hall.room.budget.limit() / 20);
        let answer = stage.get("/may").await;
        assert_eq!(answer.status(), 200);
        let said = answer.field("cache-status").unwrap();
        assert_eq!(said, "edge; hit; ttl=-1; detail=memory");
        assert_eq!(hall.limits.counts().get("memory").copied(), Some(0));
        assert_eq!(stage.get("/must").await.status(), 503);
        assert_eq!(stage.get("/new").await.status(), 503);
        assert_eq!(hall.limits.counts().get("memory").copied(), Some(2));
        assert_eq!(stage.asked(0), 2, "nobody was asked meanwhile");
        drop(taken);
        assert_eq!(stage.get("/may").await.status(), 200);
        assert_eq!(stage.asked(0), 3);
    });
}
