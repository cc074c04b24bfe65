//! Servers that are killed, stopped, emptied.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use nearcast_control::{
    ledger::{
        Change, Expect, Follow, GONE_MAX, Key, Ledger, LedgerError, Log, Lost, Position, Revision,
    },
    nats::Nats,
};
use tokio::time::{Instant, timeout};

use super::server::{InNats, Server};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

pub(super) fn text(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

pub(super) async fn soon<T>(wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait).await.expect("waited for too long")
}

/// Entries until one says `last`.
pub(super) async fn until(follow: &mut Box<dyn Follow>, last: &Bytes) -> Vec<(u64, Bytes)> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, value)| value != last) {
        match soon(follow.next()).await {
            Ok(entries) => {
                seen.extend(entries.into_iter().map(|entry| (entry.position.seq, entry.value)));
            }
            Err(LedgerError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

/// Writes numbers, one after the other, until `enough`; says which were acknowledged.
pub(super) async fn write_on(
    ledger: Arc<Nats>,
    writer: u64,
    enough: impl Fn(u64) -> bool,
) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let mut number = writer;
    while !enough(acknowledged.len() as u64) {
        let at = key(&format!("written/{writer}"));
        let appended = ledger.append(Log::Purges, text(number), None).await;
        let written = ledger.write(&at, text(number), Expect::Anything).await;
        if appended.is_ok() && written.is_ok() {
            acknowledged.push(number);
        }
        for error in [appended.err(), written.err()].into_iter().flatten() {
            assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
        }
        number += 10;
    }
    acknowledged
}

/// Whether all that was acknowledged is in the log, and nothing twice.
pub(super) async fn assert_there(ledger: &Nats, before: Position, acknowledged: &[u64]) {
    let mut follow = ledger.follow(Log::Purges, before).await.unwrap();
    ledger.append(Log::Purges, "end".into(), None).await.unwrap();
    let mut seen: BTreeMap<Bytes, u64> = BTreeMap::new();
    for (_, value) in until(&mut follow, &"end".into()).await {
        *seen.entry(value).or_default() += 1;
    }
    for number in acknowledged {
        assert!(seen.contains_key(&text(*number)), "{number} was acknowledged and is not there");
    }
    let twice: Vec<&Bytes> = seen
        .iter()
        .filter(|(value, count)| **count > 1 && *value != "end")
        .map(|(it, _)| it)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_acknowledged() {
    let server = Server::alone();
    let ledger = Arc::new(server.place("cdn").nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    let mut watch = ledger.watch("written/", Revision::NONE).await.unwrap();
    for round in 0..3 {
        let from = ledger.ends(Log::Purges).await.unwrap().last;
        let writers = (0..4).map(|writer| {
            let enough = |count| count >= 40;
            tokio::spawn(write_on(Arc::clone(&ledger), 1_000_000 * round + writer, enough))
        });
        let writers: Vec<_> = writers.collect();
        // In the middle of it.
        let is_going =
            async { while ledger.ends(Log::Purges).await.unwrap().after(from).unwrap() < 20 {} };
        soon(is_going).await;
        server.kill();
        server.start_again();
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(soon(writer).await.unwrap());
        }
        assert_there(&ledger, from, &acknowledged).await;
        // Who has read all the time has read all.
        let seen = until(&mut follow, &"end".into()).await;
        for number in acknowledged {
            assert!(seen.iter().any(|(_, value)| *value == text(number)), "{number}");
        }
    }
    let newest = ledger.list("written/").await.unwrap();
    let mut known: BTreeMap<Key, Change> = BTreeMap::new();
    let is_known = async {
        while newest.documents.iter().any(|document| {
            known.get(&document.key).is_none_or(|change| change.revision != document.revision)
        }) {
            let change = watch.next().await.unwrap();
            known.insert(change.key.clone(), change);
        }
    };
    soon(is_known).await;
    let health = ledger.health().borrow().clone();
    assert!(health.failures() >= 1, "{health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_fails_writes_clearly_and_readers_catch_up() {
    let server = Server::alone();
    let ledger = Arc::new(server.place("cdn").nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    ledger.append(Log::Purges, "before".into(), None).await.unwrap();
    until(&mut follow, &"before".into()).await;
    server.stop();
    let (asked, at) = (Instant::now(), key("a"));
    let (appended, written, read) = tokio::join!(
        ledger.append(Log::Purges, "during".into(), Some("during")),
        ledger.write(&at, "x".into(), Expect::Absent),
        async { ledger.list("").await },
    );
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    let told = [appended.unwrap_err(), written.unwrap_err(), read.unwrap_err()];
    for error in told {
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("NATS"), "{error}");
    }
    let mut health = ledger.health();
    assert!(health.borrow().failing().is_some());
    server.go_on();
    soon(health.wait_for(|health| health.failing().is_none())).await.unwrap();
    // What was refused may be there, once; asked again under its name it is.
    ledger.append(Log::Purges, "during".into(), Some("during")).await.unwrap();
    ledger.append(Log::Purges, "after".into(), None).await.unwrap();
    let seen = until(&mut follow, &"after".into()).await;
    let during = seen.iter().filter(|(_, value)| value == "during").count();
    assert_eq!((during, seen.len()), (1, 2), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_stored_once() {
    let server = Server::alone();
    let ledger = Arc::new(server.place("cdn").nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    server.stop();
    let appending = Arc::clone(&ledger);
    let append = tokio::spawn(async move { appending.append(Log::Purges, "1".into(), None).await });
    // These take so long that the other has been sent again meanwhile; the server gets both.
    for _ in 0..2 {
        ledger.ends(Log::Purges).await.unwrap_err();
    }
    server.go_on();
    let appended = soon(append).await.unwrap().unwrap();
    assert!(!appended.repeated);
    assert_there(&ledger, start, &[1]).await;
}

fn lost<T>(result: Result<T, LedgerError>) -> Lost {
    match result {
        Err(LedgerError::Lost(lost)) => lost,
        Err(other) => panic!("not lost: {other}"),
        Ok(_) => panic!("not lost"),
    }
}

/// What ends a wait: failures of the connection do not.
async fn end_of<T>(mut next: impl AsyncFnMut() -> Result<T, LedgerError>) -> Lost {
    let end = async {
        loop {
            match next().await {
                Ok(_) => {}
                Err(LedgerError::Unavailable(_)) => tokio::task::yield_now().await,
                Err(LedgerError::Lost(lost)) => return lost,
                Err(other) => panic!("{other}"),
            }
        }
    };
    soon(end).await
}

pub(super) async fn delete(place: &InNats, stream: &str) {
    let answer = place.ask(&format!("STREAM.DELETE.{stream}")).await;
    assert_eq!(answer["success"], true, "{answer}");
}

/// Its number is one that every node has passed in the log before.
#[tokio::test]
async fn an_entry_is_of_the_log_that_it_is_in() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = place.nats().await;
    for number in 0..3 {
        ledger.append(Log::Purges, text(number), None).await.unwrap();
    }
    delete(&place, "cdn-purges").await;
    let again = place.nats().await;
    let entry = ledger.append(Log::Purges, "first".into(), None).await.unwrap().position;
    assert_eq!(entry, again.ends(Log::Purges).await.unwrap().last);
}

#[tokio::test]
async fn a_log_that_is_made_anew_is_another_one() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = place.nats().await;
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    let old = ledger.append(Log::Purges, "1".into(), None).await.unwrap().position;
    until(&mut follow, &"1".into()).await;
    delete(&place, "cdn-purges").await;
    // It stays away until a process begins: what is gone is not hidden.
    let refused = ledger.append(Log::Purges, "2".into(), None).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Unavailable(_)), "{refused}");
    let again = place.nats().await;
    for number in 2..5 {
        again.append(Log::Purges, text(number), None).await.unwrap();
    }
    let told = end_of(async || follow.next().await).await;
    assert!(matches!(told, Lost::Foreign { .. }), "{told}");
    let told = lost(ledger.follow(Log::Purges, old).await.map(drop));
    assert!(matches!(told, Lost::Foreign { .. }), "{told}");
    assert_eq!(ledger.entry(Log::Purges, old).await.unwrap(), None);
    let mut health = ledger.health();
    soon(health.wait_for(|health| health.failing().is_none())).await.unwrap();
    // Its writers are told the new epoch.
    let ends = ledger.ends(Log::Purges).await.unwrap();
    assert_ne!(ends.last.epoch, old.epoch);
    let appended = ledger.append(Log::Purges, "5".into(), None).await.unwrap();
    assert_eq!(appended.position.epoch, ends.last.epoch);
    assert_eq!(again.ends(Log::Purges).await.unwrap().last, appended.position);
}

#[tokio::test]
async fn a_bucket_that_is_made_anew_is_read_anew() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = place.nats().await;
    for name in ["nodes/a", "nodes/b", "nodes/c"] {
        ledger.write(&key(name), "old".into(), Expect::Absent).await.unwrap();
    }
    let known = ledger.list("").await.unwrap();
    let mut watch = ledger.watch("", known.revision).await.unwrap();
    delete(&place, "KV_cdn").await;
    let again = place.nats().await;
    again.write(&key("nodes/b"), "new".into(), Expect::Absent).await.unwrap();
    let told = end_of(async || watch.next().await).await;
    assert!(matches!(told, Lost::Forgotten { .. }), "{told}");
    let listed = async {
        loop {
            if let Ok(listing) = ledger.list("").await {
                return listing;
            }
        }
    };
    let listing = soon(listed).await;
    let names: Vec<&str> = listing.documents.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(names, ["nodes/b"]);
    assert_eq!(ledger.read(&key("nodes/a")).await.unwrap(), None);
    // Whoever knew the old one's revision is told as well.
    let told = lost(ledger.watch("", Revision(known.revision.0 + 7)).await.map(drop));
    assert!(matches!(told, Lost::Forgotten { .. }), "{told}");
    ledger.write(&key("nodes/a"), "new".into(), Expect::Absent).await.unwrap();
    assert_eq!(again.list("nodes/").await.unwrap().documents.len(), 2);
}

#[tokio::test]
async fn what_one_process_writes_another_reads() {
    let server = Server::alone();
    let place = server.place("cdn");
    let (one, other) = (place.nats().await, place.nats().await);
    for number in 0..50 {
        let revision = one.write(&key("a"), text(number), Expect::Anything).await.unwrap();
        // Nothing that comes by itself has come yet.
        let read = other.read(&key("a")).await.unwrap().unwrap();
        assert_eq!((read.revision, read.value), (revision, text(number)));
        let listing = other.list("a").await.unwrap();
        assert!(listing.revision >= revision, "{listing:?}");
    }
    let deleted = other.read(&key("a")).await.unwrap().unwrap().revision;
    let gone = other.delete(&key("a"), deleted).await.unwrap();
    assert_eq!(one.read(&key("a")).await.unwrap(), None);
    assert_eq!(one.history(&key("a")).await.unwrap()[0].revision, gone);
}

#[tokio::test]
async fn what_was_taken_away_is_forgotten_in_the_end() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = place.nats().await;
    let take_away = async |number: u64| {
        let at = key(&format!("tokens/{number}"));
        let written = ledger.write(&at, "x".into(), Expect::Absent).await.unwrap();
        ledger.delete(&at, written).await.unwrap()
    };
    let first = take_away(0).await;
    let mut late = ledger.watch("", Revision(first.0 - 1)).await.unwrap();
    let numbers: Vec<u64> = (1..GONE_MAX + 100).collect();
    for some in numbers.chunks(100) {
        futures_util::future::join_all(some.iter().map(|number| take_away(*number))).await;
    }
    let forgotten = async {
        while !ledger.history(&key("tokens/0")).await.unwrap_or_default().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(forgotten).await;
    let info = async || place.ask("STREAM.INFO.KV_cdn").await["state"]["num_subjects"].clone();
    let is_small = async {
        while info().await.as_u64().unwrap() > GONE_MAX + 70 {
            tokio::task::yield_now().await;
        }
    };
    soon(is_small).await;
    // Who knew it before is told; a process that begins now knows the same.
    let told = lost(soon(late.next()).await);
    assert!(matches!(told, Lost::Forgotten { .. }), "{told}");
    let again = place.nats().await;
    let mut late = again.watch("", Revision(first.0 - 1)).await.unwrap();
    let told = lost(soon(late.next()).await);
    assert!(matches!(told, Lost::Forgotten { .. }), "{told}");
    let mut all = again.watch("", Revision::NONE).await.unwrap();
    soon(all.next()).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_another_kind_is_left_alone() {
    let server = Server::alone();
    let place = server.place("cdn");
    drop(place.nats().await);
    let client = async_nats::connect(server.url()).await.unwrap();
    delete(&place, "cdn-audit").await;
    let config = r#"{"name":"cdn-audit","subjects":["cdn.audit.>"],"retention":"workqueue",
        "storage":"file","discard":"old","max_age":0,"num_replicas":1}"#;
    client.request("$JS.API.STREAM.CREATE.cdn-audit", config.into()).await.unwrap();
    let told = Nats::open(&place.0).await.unwrap_err().to_string();
    assert!(told.contains("cdn-audit") && told.contains("retention"), "{told}");
}

#[tokio::test]
async fn a_server_without_jetstream_or_with_too_few_peers_is_refused_at_once() {
    let server = Server::alone();
    let mut place = server.place("cdn");
    place.0.replicas = 3;
    let told = Nats::open(&place.0).await.unwrap_err().to_string();
    assert!(told.contains("replicas"), "{told}");
    let nowhere = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    place.0.access.servers = vec![format!("nats://{nowhere}")];
    let told = Nats::open(&place.0).await.unwrap_err();
    let told = format!("{told}: {}", std::error::Error::source(&told).unwrap());
    assert!(told.contains(&nowhere.to_string()), "{told}");
}
