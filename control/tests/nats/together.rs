//! Entries that go together in one message: where each stands, and that none is lost or told twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_nats::HeaderMap;
use bytes::Bytes;
use nearcast_control::{
    ledger::{Entry, Follow, Ledger as _, LedgerError, Log, Position},
    nats::Nats,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::{JoinHandle, JoinSet, yield_now},
    time::Instant,
};

use super::{
    faults::{assert_there, soon, text},
    server::{InNats, Server},
};

/// So many at once.
const MANY: u64 = 500;

/// Messages of the purge log.
async fn messages(place: &InNats) -> u64 {
    let told = place.ask("STREAM.INFO.cdn-purges").await;
    told["state"]["messages"].as_u64().unwrap()
}

type Appending = JoinHandle<Result<Position, LedgerError>>;

/// Appends many numbers at once; all of them have been handed in when this returns.
async fn append_many(ledger: &Arc<Nats>) -> Vec<Appending> {
    let append = |number| {
        let ledger = Arc::clone(ledger);
        tokio::spawn(async move {
            let appended = ledger.append(Log::Purges, text(number), None).await;
            appended.map(|appended| appended.position)
        })
    };
    let appending = (0..MANY).map(append).collect();
    for _ in 0..10 {
        yield_now().await;
    }
    appending
}

async fn read(follow: &mut Box<dyn Follow>, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        match soon(follow.next()).await {
            Ok(some) => entries.extend(some),
            Err(LedgerError::Unavailable(_)) => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    entries
}

#[tokio::test]
async fn what_waits_for_a_slow_server_goes_in_few_messages() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = Arc::new(place.nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut early = ledger.follow(Log::Purges, start).await.unwrap();
    server.stop();
    let appending = append_many(&ledger).await;
    server.go_on();
    let mut positions = BTreeMap::new();
    for (number, appended) in (0..).zip(appending) {
        let position = soon(appended).await.unwrap().unwrap();
        assert_eq!(positions.insert(position.seq, (position, text(number))), None);
    }
    let sent = messages(&place).await;
    assert!(sent < MANY / 10, "{MANY} entries took {sent} messages");
    // Each is at its own place, for who asks and for who follows.
    for (position, value) in positions.values() {
        let entry = ledger.entry(Log::Purges, *position).await.unwrap();
        assert_eq!(entry.as_ref(), Some(value), "{position}");
    }
    let all: Vec<Entry> =
        positions.into_values().map(|(position, value)| Entry { position, value }).collect();
    assert_eq!(read(&mut early, all.len()).await, all);
    assert_eq!(ledger.ends(Log::Purges).await.unwrap().last, all.last().unwrap().position);
    let nowhere = Position { seq: all[0].position.seq - 1, ..start };
    assert_eq!(ledger.entry(Log::Purges, nowhere).await.unwrap(), None);
    // Who goes on from within a message gets the rest of it, and nothing twice.
    let is_within = |entry: &Entry| !entry.position.seq.is_multiple_of(1024);
    let within: Vec<usize> = (0..all.len()).filter(|at| is_within(&all[*at])).step_by(50).collect();
    assert!(within.len() > 5, "{within:?}");
    for at in within {
        let mut rest = ledger.follow(Log::Purges, all[at].position).await.unwrap();
        assert_eq!(read(&mut rest, all.len() - at - 1).await, all[at + 1..]);
    }
}

#[tokio::test]
async fn who_gives_up_hinders_nobody() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = Arc::new(place.nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    server.stop();
    let appending = append_many(&ledger).await;
    for append in appending.iter().step_by(2) {
        append.abort();
    }
    server.go_on();
    let mut acknowledged = Vec::new();
    for (number, appended) in (0..).zip(appending) {
        if let Ok(appended) = soon(appended).await {
            appended.unwrap();
            acknowledged.push(number);
        }
    }
    assert!(acknowledged.len() as u64 >= MANY / 2);
    assert_there(&ledger, start, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_of_what_went_together() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = Arc::new(place.nats().await);
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..100 {
        let ledger = Arc::clone(&ledger);
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in (writer..).step_by(100) {
                match ledger.append(Log::Purges, text(number), None).await {
                    Ok(_) => acknowledged.push(number),
                    Err(error) => assert!(matches!(error, LedgerError::Unavailable(_)), "{error}"),
                }
                if acknowledged.len() >= 40 {
                    break;
                }
            }
            acknowledged
        });
    }
    for _ in 0..3 {
        let so_far = messages(&place).await;
        let is_going = async { while messages(&place).await < so_far + 10 {} };
        soon(is_going).await;
        server.kill();
        server.start_again();
    }
    let mut acknowledged = Vec::new();
    while let Some(written) = soon(writers.join_next()).await {
        acknowledged.extend(written.unwrap());
    }
    assert!(messages(&place).await * 2 < acknowledged.len() as u64, "they went together");
    assert_there(&ledger, start, &acknowledged).await;
    // Who has read all the time has read all, each once and in its order.
    let (mut seen, mut before) = (BTreeSet::new(), start);
    while !seen.contains(&Bytes::from("end")) {
        for entry in read(&mut follow, 1).await {
            assert!(entry.position.seq > before.seq);
            before = entry.position;
            assert!(seen.insert(entry.value.clone()), "{:?} is there twice", entry.value);
        }
    }
    assert!(acknowledged.iter().all(|number| seen.contains(&text(*number))));
}

/// However many wait for it.
#[tokio::test]
async fn a_stopped_server_fails_all_in_time() {
    let server = Server::alone();
    let ledger = Arc::new(server.place("cdn").nats().await);
    server.stop();
    let asked = Instant::now();
    for appended in append_many(&ledger).await {
        let refused = soon(appended).await.unwrap().unwrap_err();
        assert!(matches!(refused, LedgerError::Unavailable(_)), "{refused}");
        assert!(refused.to_string().contains("NATS"), "{refused}");
    }
    assert!(asked.elapsed() < Duration::from_secs(14), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_message_that_others_wrote_is_no_way_past_an_entry() {
    let server = Server::alone();
    let place = server.place("cdn");
    let ledger = place.nats().await;
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let client = async_nats::connect(server.url()).await.unwrap();
    let write = async |lengths: &str, payload: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("Nearcast-Entries", lengths);
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let subject = "cdn.purges.entry";
        client.request_with_headers(subject, headers, payload).await.unwrap();
    };
    write("3 3", "onetwo").await;
    for wrong in ["", "7", "5", "3 3 1", "-1 7", "18446744073709551615 7", "x"] {
        write(wrong, "abcdef").await;
    }
    let last = ledger.append(Log::Purges, "last".into(), None).await.unwrap().position;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    let seen = read(&mut follow, 10).await;
    let values: Vec<&[u8]> = seen.iter().map(|entry| &*entry.value).collect();
    assert_eq!(values[..2], [b"one", b"two"]);
    assert!(values[2..9].iter().all(|value| *value == b"abcdef"), "{values:?}");
    assert_eq!((values[9], seen[9].position), (&b"last"[..], last));
    for entry in seen {
        let found = ledger.entry(Log::Purges, entry.position).await.unwrap();
        assert_eq!(found, Some(entry.value), "{}", entry.position);
    }
}

/// Stores what no client library would send: a header that is none.
async fn store_raw(server: &Server, subject: &str, headers: &str, payload: &str) {
    let stream = TcpStream::connect(("127.0.0.1", server.ports.0)).await.unwrap();
    let mut stream = BufReader::new(stream);
    let (mut info, mut pong) = (String::new(), String::new());
    stream.read_line(&mut info).await.unwrap();
    let block = format!("NATS/1.0{headers}\r\n\r\n");
    let total = block.len() + payload.len();
    let text = format!(
        "CONNECT {{\"headers\":true,\"verbose\":false,\"no_responders\":false}}\r\nHPUB \
         {subject} {} {total}\r\n{block}{payload}\r\nPING\r\n",
        block.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.read_line(&mut pong).await.unwrap();
}

#[tokio::test]
async fn a_message_that_nobody_can_read_holds_up_no_reader() {
    let rows = [" 100 Idle", " 503", "\r\nno colon here", "\r\nbad name: x"];
    for headers in rows {
        let server = Server::alone();
        let ledger = server.place("cdn").nats().await;
        let start = ledger.ends(Log::Purges).await.unwrap().last;
        let mut early = ledger.follow(Log::Purges, start).await.unwrap();
        store_raw(&server, "cdn.purges.entry", headers, "broken").await;
        let last = ledger.append(Log::Purges, "last".into(), None).await.unwrap().position;
        let mut late = ledger.follow(Log::Purges, start).await.unwrap();
        for (name, follow) in [("early", &mut early), ("late", &mut late)] {
            let some = soon(read(follow, 2)).await;
            let values: Vec<&[u8]> = some.iter().map(|entry| &*entry.value).collect();
            assert_eq!(values, [&b"broken"[..], b"last"], "{name}, {headers:?}");
            assert_eq!(some[1].position, last);
        }
    }
}
