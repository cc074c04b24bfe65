//! Each ledger keeps the contract (nearcast_control::ledger).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod contract;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use nearcast_control::{
    embedded::{Bound, Embedded, Kept},
    ledger::{
        ENTRY_BYTES_MAX, Expect, GONE_MAX, Key, Ledger, LedgerError, Log, Lost, Position, Revision,
    },
};
use tempfile::TempDir;

use self::contract::Place;

/// A file in a folder of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.redb")
    }
}

impl Place for Folder {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Ledger>> {
        Box::pin(async { Arc::new(Embedded::open(&self.path(), Kept::default()).unwrap()) as _ })
    }

    fn open_keeping(&self, kept: u64) -> BoxFuture<'_, Arc<dyn Ledger>> {
        let bound = Bound { entries: kept, ..Bound::default() };
        let kept = Kept { purges: bound, audit: bound };
        Box::pin(async move { Arc::new(Embedded::open(&self.path(), kept).unwrap()) as _ })
    }
}

/// A test of the contract over the embedded ledger for each of its functions.
macro_rules! keeps {
    ($($rule:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $rule() {
            contract::$rule(&Folder::new()).await;
        }
    )* };
}

contract::all_rules!(keeps);

#[tokio::test]
async fn a_foreign_epoch_and_a_receding_log_are_noticed() {
    let (one, other) = (Folder::new(), Folder::new());
    contract::a_foreign_epoch_and_a_receding_log_are_noticed(&one, &other).await;
}

/// A ledger whose logs keep so many bytes.
fn keeping(folder: &Folder, bytes: u64) -> Embedded {
    let bound = Bound { bytes, ..Bound::default() };
    Embedded::open(&folder.path(), Kept { purges: bound, audit: bound }).unwrap()
}

#[tokio::test]
async fn a_log_keeps_no_more_bytes_than_it_may() {
    const BYTES: u64 = 1 << 20;
    let folder = Folder::new();
    let (small, large) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; ENTRY_BYTES_MAX]));
    let kept = async |ledger: &Embedded, log| {
        let ends = ledger.ends(log).await.unwrap();
        let (mut bytes, mut entries) = (0, 0);
        for seq in ends.before_first.seq + 1..=ends.last.seq {
            let entry = ledger.entry(log, Position { seq, ..ends.last }).await.unwrap();
            bytes += entry.unwrap().len() as u64;
            entries += 1;
        }
        (bytes, entries)
    };
    let ledger = keeping(&folder, BYTES);
    let appends = (0..3000).map(|number: u32| {
        let (ledger, small) = (ledger.clone(), small.clone());
        async move { ledger.append(Log::Purges, small, Some(&number.to_string())).await }
    });
    for appended in futures_util::future::join_all(appends).await {
        appended.unwrap();
    }
    // Small ones: what each takes beside its value counts as well.
    assert_eq!(kept(&ledger, Log::Purges).await.1, 3000);
    for round in 0..8 {
        ledger.append(Log::Purges, large.clone(), None).await.unwrap();
        let (bytes, _) = kept(&ledger, Log::Purges).await;
        assert!(bytes <= BYTES, "{bytes} after {round} large ones: it outgrew its bound");
    }
    let (bytes, entries) = kept(&ledger, Log::Purges).await;
    assert!(bytes > BYTES / 2 && entries == 3, "{bytes} in {entries}: more was taken than need be");
    // Another log has its own room, and a name whose entry has gone is free again.
    assert_eq!(kept(&ledger, Log::Audit).await, (0, 0));
    assert!(!ledger.append(Log::Purges, small.clone(), Some("1")).await.unwrap().repeated);
    drop(ledger);
    // Its size is known after a restart, and a smaller bound is reached.
    let ledger = keeping(&folder, BYTES / 2);
    ledger.append(Log::Purges, small, None).await.unwrap();
    assert!(kept(&ledger, Log::Purges).await.0 <= BYTES / 2);
}

#[tokio::test]
async fn the_size_of_a_log_is_counted_where_nobody_kept_it() {
    const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    let folder = Folder::new();
    let entry = Bytes::from(vec![1; 100 << 10]);
    let ledger = keeping(&folder, 1 << 20);
    for _ in 0..8 {
        ledger.append(Log::Audit, entry.clone(), None).await.unwrap();
    }
    drop(ledger);
    let database = redb::Database::open(folder.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    // As another version leaves it, which knows no sizes.
    transaction.open_table(META).unwrap().insert("audit-bytes-at", 3).unwrap();
    transaction.open_table(META).unwrap().insert("audit-bytes", 0).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let ledger = keeping(&folder, 1 << 20);
    for _ in 0..8 {
        ledger.append(Log::Audit, entry.clone(), None).await.unwrap();
    }
    let ends = ledger.ends(Log::Audit).await.unwrap();
    let entries = ends.last.seq - ends.before_first.seq;
    assert!((9..=10).contains(&entries), "{entries} entries of 100 KiB in 1 MiB");
}

#[tokio::test]
async fn what_was_taken_away_is_forgotten_in_the_end() {
    let folder = Folder::new();
    let ledger = keeping(&folder, 1 << 20);
    let key = |number: u64| Key::parse(&format!("tokens/{number}")).unwrap();
    let back = key(1);
    let take_away = async |number: u64| {
        let at = ledger.write(&key(number), "x".into(), Expect::Absent).await.unwrap();
        ledger.delete(&key(number), at).await.unwrap()
    };
    let first = take_away(0).await;
    take_away(1).await;
    let returned = ledger.write(&back, "again".into(), Expect::Absent).await.unwrap();
    let mut watch = ledger.watch("", Revision::NONE).await.unwrap();
    let mut late = ledger.watch("", Revision(1)).await.unwrap();
    let left = futures_util::future::join_all((2..=GONE_MAX + 1).map(take_away)).await;
    assert_eq!(ledger.history(&key(0)).await.unwrap(), [], "its history is gone");
    assert_eq!(ledger.history(&back).await.unwrap().len(), 3, "it came back");
    assert_eq!(ledger.read(&back).await.unwrap().unwrap().revision, returned);
    assert_eq!(ledger.history(&key(GONE_MAX + 1)).await.unwrap().len(), 2);
    assert!(left.iter().all(|revision| *revision > first));
    // Who knew the first one was not told that it went; who knew nothing misses nothing.
    let told = late.next().await.unwrap_err();
    assert!(matches!(told, LedgerError::Lost(Lost::Forgotten { .. })), "{told}");
    watch.next().await.unwrap();
}
