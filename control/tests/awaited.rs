//! A ledger that is not there when a process starts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use nearcast_control::{
    awaited::Awaited,
    embedded::{Embedded, Kept},
    ledger::{Epoch, Expect, Health, Key, Ledger, LedgerError, Log, Position, Revision},
};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::timeout};

const LONG: Duration = Duration::from_secs(20);
/// Where a ledger that is not there is asked.
const NOWHERE: Position = Position { epoch: Epoch(0), seq: 1 };

type Opened = Result<Arc<dyn Ledger>, String>;

/// A ledger that opens as it is told to, try by try.
fn awaited() -> (Awaited, mpsc::Sender<Opened>) {
    let (tell, told) = mpsc::channel(1);
    let told = Arc::new(tokio::sync::Mutex::new(told));
    let open = move || -> BoxFuture<'static, Opened> {
        let told = Arc::clone(&told);
        Box::pin(async move { told.lock().await.recv().await.unwrap() })
    };
    (Awaited::begin("nobody listens", Box::new(open)), tell)
}

/// Each question that a ledger is asked, and why it was not answered.
async fn refusals(ledger: &dyn Ledger) -> Vec<String> {
    let key = Key::parse("nodes/a").unwrap();
    let refused = Mutex::new(Vec::new());
    let note = |error: Option<LedgerError>| {
        refused.lock().push(error.map(|error| error.to_string()).unwrap_or_default());
    };
    note(ledger.read(&key).await.err());
    note(ledger.list("nodes/").await.err());
    note(ledger.history(&key).await.err());
    let revision = ledger.write(&key, "a".into(), Expect::Anything).await;
    let at = revision.as_ref().copied().unwrap_or(Revision::NONE);
    note(revision.err());
    note(ledger.watch("nodes/", Revision::NONE).await.err());
    note(ledger.delete(&key, at).await.err());
    let appended = ledger.append(Log::Purges, "a".into(), None).await;
    note(ledger.note(Log::Purges, "b".into(), None).await.err());
    let ends = ledger.ends(Log::Purges).await;
    let position = ends.as_ref().map_or(NOWHERE, |ends| ends.last);
    note(appended.err());
    note(ends.err());
    note(ledger.entry(Log::Purges, position).await.err());
    note(ledger.follow(Log::Purges, position).await.err());
    refused.into_inner()
}

#[tokio::test]
async fn it_refuses_with_the_reason_until_it_is_there_and_is_that_one_then() {
    let folder = tempfile::tempdir().unwrap();
    let (awaited, tell) = awaited();
    let mut health = awaited.health();
    let refused = refusals(&awaited).await;
    assert_eq!(refused.len(), 11);
    assert!(refused.iter().all(|why| why.ends_with("nobody listens")), "{refused:?}");
    // What is learnt later is the reason from then on, and is no other failure.
    tell.send(Err("no right to".to_owned())).await.unwrap();
    let of = |health: &Health| (health.failing().map(str::to_owned), health.failures());
    let told = timeout(LONG, health.wait_for(|health| health.failing() == Some("no right to")));
    assert_eq!(of(&told.await.unwrap().unwrap()), (Some("no right to".to_owned()), 1));
    let refused = refusals(&awaited).await;
    assert!(refused.iter().all(|why| why.ends_with("no right to")), "{refused:?}");
    let ledger: Arc<dyn Ledger> =
        Arc::new(Embedded::open(&folder.path().join("ledger.redb"), Kept::default()).unwrap());
    tell.send(Ok(Arc::clone(&ledger))).await.unwrap();
    let told = timeout(LONG, health.wait_for(|health| health.failing().is_none()));
    // That it had failed is counted on.
    assert_eq!(of(&told.await.unwrap().unwrap()), (None, 1));
    assert_eq!(refusals(&awaited).await, vec![String::new(); 11]);
    assert_eq!(ledger.ends(Log::Purges).await.unwrap().last.seq, 2, "it is that one");
}
