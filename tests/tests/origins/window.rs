//! Windows: what does not fit streams to its readers in bounded memory and slows its origin.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytesize::ByteSize;
use edge_core::settings::EdgeSettings;
use nearcast_tests::world::{rest, until};
use origin_mock::{
    pattern,
    script::{Body, Hold, Pattern, Script, Seed, Step},
};
use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{Instant, advance, sleep_until},
};

use super::stage::{HOST, Stage, run, stage_with};

const SEED: u64 = 9;

fn large(bytes: u64) -> Step {
    let body = Body::Pattern(Pattern { bytes, seed: Seed::Number(SEED) });
    Step { body, ..Step::default() }.with_field("Cache-Control", "max-age=60")
}

fn octets(bytes: u64) -> Vec<u8> {
    pattern::octets(SEED, 0, usize::try_from(bytes).unwrap())
}

fn narrow() -> EdgeSettings {
    EdgeSettings {
        object_bytes_max: ByteSize::kib(256),
        window_bytes: ByteSize::kib(128),
        ..EdgeSettings::default()
    }
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes()
}

/// What a kept connection to the origin is charged with.
const KEPT: usize = 16 * 1024;

/// What a response on its way over it is charged with, beside the window.
const ON_ITS_WAY: usize = 48 * 1024;

/// Bytes of the budget in use.
fn used(stage: &Stage) -> usize {
    stage.world.edge.hall().room.budget.used()
}

#[test]
fn a_slow_reader_slows_the_origin_and_memory_stays_bounded() {
    run(async {
        let script = Script::new().route("/*", [large(20_000_000)]);
        let stage = stage_with(&narrow(), vec![script], "");
        let mut slow = stage.caller();
        slow.send("GET", &get("/large")).await;
        assert!(slow.read(10_000).await > 0);
        for _ in 0..20 {
            rest().await;
        }
        assert_eq!(stage.origin(0).recorder().stats().responses, 0, "the origin waits");
        // The window bounds what its reader's connection has queued, too.
        let most = 128 * 1024 + KEPT + ON_ITS_WAY;
        assert!(used(&stage) <= most, "{} bytes in use", used(&stage));
        let answer = slow.answer().await;
        assert_eq!(answer.body.len(), 20_000_000);
        assert!(answer.body == octets(20_000_000));
        rest().await;
        assert_eq!(used(&stage), KEPT, "nothing is stored");
        assert!(answer.field("cache-status").unwrap().contains("detail=window"));
        let counts = &stage.world.edge.hall().room.counts;
        assert_eq!(counts.unstored_for_size.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn of_unknown_length_it_becomes_a_window_on_its_way() {
    run(async {
        let framing = origin_mock::script::Framing::Chunked;
        let script = Script::new().route("/*", [Step { framing, ..large(3_000_000) }]);
        let stage = stage_with(&narrow(), vec![script], "");
        let answer = stage.get("/large").await;
        assert!(answer.whole() && answer.body == octets(3_000_000));
        rest().await;
        assert_eq!(used(&stage), KEPT);
        assert_eq!(stage.get("/large").await.body.len(), 3_000_000);
        assert_eq!(stage.asked(0), 2);
        let counts = &stage.world.edge.hall().room.counts;
        assert_eq!(counts.unstored_for_size.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_laggard_is_cut_and_the_others_go_on() {
    run(async {
        let step = Step { hold: Some(Hold::Release), ..large(8_000_000) };
        let stage = stage_with(&narrow(), vec![Script::new().route("/*", [step])], "");
        let mut laggard = stage.caller();
        laggard.send("GET", &get("/large")).await;
        assert!(until(|| stage.asked(0) == 1).await);
        let mut prompt = stage.crowd((0..3).map(|_| "/large".to_owned()));
        rest().await;
        stage.origin(0).release(None);
        let expected = octets(8_000_000);
        while let Some(answer) = prompt.join_next().await {
            assert!(answer.unwrap().body == expected);
        }
        assert_eq!(stage.asked(0), 1, "all of them shared one forward");
        let answer = laggard.answer().await;
        assert!(
            !answer.whole() && expected.starts_with(&answer.body),
            "the laggard sees the break"
        );
    });
}

#[test]
fn laggards_at_different_offsets_are_cut_together() {
    run(async {
        let step = Step { hold: Some(Hold::Release), ..large(8_000_000) };
        let stage = stage_with(&narrow(), vec![Script::new().route("/*", [step])], "");
        let mut laggards: Vec<_> = (0..4).map(|_| stage.caller()).collect();
        for laggard in &mut laggards {
            laggard.send("GET", &get("/large")).await;
        }
        assert!(until(|| stage.asked(0) == 1).await);
        let mut prompt = stage.crowd((0..3).map(|_| "/large".to_owned()));
        rest().await;
        stage.origin(0).release(None);
        // Each has read further than the one before, then no more.
        for (laggard, most) in laggards.iter_mut().zip([0, 20_000, 40_000, 60_000]) {
            let mut read = 0;
            while read < most {
                read += laggard.read(4_000).await;
            }
        }
        let before = Instant::now();
        let expected = octets(8_000_000);
        while let Some(answer) = prompt.join_next().await {
            assert!(answer.unwrap().body == expected);
        }
        // Two rounds of patience at most, not one for each of them.
        assert!(before.elapsed() < Duration::from_secs(11), "{:?}", before.elapsed());
        for laggard in &mut laggards {
            let answer = laggard.answer().await;
            assert!(!answer.whole() && expected.starts_with(&answer.body));
        }
        assert_eq!(stage.asked(0), 1, "all of them shared one forward");
    });
}

#[test]
fn who_comes_late_to_a_window_goes_alone() {
    run(async {
        let script = Script::new().route("/*", [large(4_000_000)]);
        let stage = stage_with(&narrow(), vec![script], "");
        let mut first = stage.caller();
        first.send("GET", &get("/large")).await;
        assert!(first.read(500_000).await > 0);
        let late = stage.get("/large").await;
        assert!(late.body == octets(4_000_000));
        assert!(first.answer().await.body == octets(4_000_000));
        assert_eq!(stage.asked(0), 2);
    });
}

/// The highest mark of the budget while `readers` read an object larger than the memory.
async fn stream_to_slow_readers(stage: &Stage, readers: u64, bytes: u64) -> usize {
    let highest = Arc::new(Mutex::new(0));
    let mut crowd = JoinSet::new();
    for number in 0..readers {
        let mut caller = stage.caller();
        let (budget, highest) =
            (Arc::clone(&stage.world.edge.hall().room.budget), Arc::clone(&highest));
        crowd.spawn(async move {
            caller.send("GET", &get("/large")).await;
            while caller.so_far().is_none_or(|answer| !answer.ended) {
                sleep_until(Instant::now() + Duration::from_millis(100 + number % 7)).await;
                if caller.read(60_000).await == 0 {
                    break;
                }
                let mut highest = highest.lock();
                *highest = budget.used().max(*highest);
            }
            caller.answer().await
        });
    }
    assert!(until(|| stage.asked(0) == 1).await);
    rest().await;
    stage.origin(0).release(None);
    let expected = octets(bytes);
    for answer in crowd.join_all().await {
        assert!(answer.whole() && answer.body == expected, "{} octets", answer.body.len());
    }
    *highest.lock()
}

#[test]
fn an_object_larger_than_the_memory_streams_to_fifty_slow_readers() {
    run(async {
        let bytes = 6_000_000;
        let settings = EdgeSettings {
            memory: ByteSize::mib(4),
            object_bytes_max: ByteSize::mib(64),
            window_bytes: ByteSize::kib(256),
            ..EdgeSettings::default()
        };
        let step = Step { hold: Some(Hold::Release), ..large(bytes) };
        let stage = stage_with(&settings, vec![Script::new().route("/*", [step])], "");
        let highest = stream_to_slow_readers(&stage, 50, bytes).await;
        assert!(highest <= 4 * 1024 * 1024, "{highest} bytes in use");
        assert_eq!(stage.asked(0), 1);
        advance(Duration::from_secs(1)).await;
        rest().await;
        assert_eq!(used(&stage), KEPT);
    });
}

#[test]
fn many_readers_of_different_objects_are_served_or_refused_and_leave_no_trace() {
    run(async {
        let settings = EdgeSettings {
            memory: ByteSize::mib(3),
            object_bytes_max: ByteSize::mib(64),
            window_bytes: ByteSize::kib(128),
            ..EdgeSettings::default()
        };
        let stage = stage_with(&settings, vec![Script::new().route("/*", [large(400_000)])], "");
        let expected = octets(400_000);
        let mut crowd = stage.crowd((0..40).map(|number| format!("/{number}")));
        let (mut whole, mut refused) = (0, 0);
        while let Some(answer) = crowd.join_next().await {
            let answer = answer.unwrap();
            match answer.status() {
                200 if answer.whole() => {
                    assert!(answer.body == expected);
                    whole += 1;
                }
                200 => assert!(expected.starts_with(&answer.body)),
                503 => refused += 1,
                other => panic!("status {other}"),
            }
        }
        assert!(whole > 0, "{whole} whole, {refused} refused");
        // Afterwards there is room again.
        let answer = stage.get("/later").await;
        let told = (answer.status(), answer.field("cache-status"), answer.body.len(), answer.cut);
        assert!(
            answer.whole() && answer.body == expected,
            "{told:?}, {} bytes in use",
            used(&stage)
        );
    });
}
