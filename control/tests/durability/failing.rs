//! A ledger whose disk is full or fails, and then is well again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edge_core::purge::Purge;
use nearcast_control::{
    applied::AppliedFile,
    embedded::{Embedded, Kept},
    ledger::{DOCUMENT_BYTES_MAX, Expect, Key, Ledger, LedgerError, Log, Position},
    node::{self, Applies, Incarnation, Joining, Load, NODES, NodeDocument, Troubles},
};
use tokio::time::{Instant, timeout};

use super::disk::{Disk, Fails, assert_holds, on, text, write_one};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until it takes writes again.
async fn mended(ledger: &Embedded) {
    let mut health = ledger.health();
    let fine = health.wait_for(|health| health.failing().is_none());
    timeout(PATIENCE, fine).await.expect("it did not come back").unwrap();
}

#[tokio::test]
async fn a_full_disk_ends_nothing_but_what_was_under_way() {
    for fails in [Fails::Writes, Fails::Syncs, Fails::All] {
        let disk = Disk::default();
        let ledger = on(&disk);
        write_one(&ledger, 1).await;
        let epoch = ledger.ends(Log::Purges).await.unwrap().last.epoch;
        let mut follow = ledger.follow(Log::Purges, Position { epoch, seq: 1 }).await.unwrap();
        disk.fails(fails);
        // Pages of its own that nothing writes again: if a failed sync lost them, they stay lost.
        let large = Key::parse("large").unwrap();
        let value = Bytes::from(vec![7; DOCUMENT_BYTES_MAX]);
        let refused = ledger.write(&large, value, Expect::Anything).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Unavailable(_)), "{fails:?}: {refused}");
        assert!(ledger.health().borrow().failing().is_some(), "{fails:?}");
        // What comes while it fails is refused at once, whoever looks after the file.
        let refused = ledger.append(Log::Purges, text(2), None);
        timeout(PATIENCE, refused).await.unwrap().unwrap_err();
        disk.fails(Fails::Nothing);
        mended(&ledger).await;
        assert_eq!(ledger.health().borrow().failures(), 1, "{fails:?}: told once");
        // A refused write may be in the log or not, and it is the first one that was.
        let last = ledger.ends(Log::Purges).await.unwrap().last.seq;
        assert!((1..=2).contains(&last), "{fails:?}: {last}");
        for number in last + 1..=20 {
            write_one(&ledger, number).await;
        }
        let mut seen = 1;
        while seen < 20 {
            for entry in timeout(PATIENCE, follow.next()).await.unwrap().unwrap() {
                seen += 1;
                assert_eq!(entry.position.seq, seen, "{fails:?}: a reader skips nothing");
            }
        }
        // And now the power goes: what was acknowledged after a failed sync is on the disk as well,
        // and so is what that sync was about, if it was seen since.
        let seen = ledger.read(&large).await.unwrap();
        let left = disk.0.contents.lock().unwrap().cut(|| false);
        let after = on(&Disk::holding(left));
        assert_holds(&after, 20, &format!("{fails:?}")).await;
        assert_eq!(after.read(&large).await.unwrap(), seen, "{fails:?}");
    }
}

#[tokio::test]
async fn what_a_failed_sync_left_is_settled_by_the_next_process_as_well() {
    let disk = Disk::default();
    let ledger = on(&disk);
    write_one(&ledger, 1).await;
    let large = Key::parse("large").unwrap();
    let write = async |octet: u8| {
        let value = Bytes::from(vec![octet; DOCUMENT_BYTES_MAX]);
        ledger.write(&large, value, Expect::Anything).await
    };
    // So that there is room, and the failing sync is that of the commit.
    for octet in 1..=5 {
        write(octet).await.unwrap();
    }
    disk.fails(Fails::Syncs);
    write(7).await.unwrap_err();
    // It ends before the disk is well again.
    drop(ledger);
    disk.fails(Fails::Nothing);
    let ledger = on(&disk);
    let seen = ledger.read(&large).await.unwrap();
    assert_eq!(seen.as_ref().unwrap().value[0], 7, "the case is that it is seen");
    for number in 2..=20 {
        write_one(&ledger, number).await;
    }
    let left = disk.0.contents.lock().unwrap().cut(|| false);
    let after = on(&Disk::holding(left));
    assert_holds(&after, 20, "after a restart").await;
    assert_eq!(after.read(&large).await.unwrap(), seen);
}

#[tokio::test]
async fn a_panic_over_its_file_is_a_failure_and_not_its_end() {
    let disk = Disk::default();
    let ledger = on(&disk);
    write_one(&ledger, 1).await;
    disk.fails(Fails::Panics);
    write_refused(&ledger).await;
    assert!(ledger.health().borrow().failing().is_some(), "it says that it takes writes");
    disk.fails(Fails::Nothing);
    mended(&ledger).await;
    write_one(&ledger, 2).await;
}

#[tokio::test]
async fn a_full_disk_can_be_read() {
    let disk = Disk::default();
    let ledger = on(&disk);
    write_one(&ledger, 1).await;
    disk.fails(Fails::Growth);
    let grow = async |key: &str| {
        let value = Bytes::from(vec![1; DOCUMENT_BYTES_MAX]);
        ledger.write(&Key::parse(key).unwrap(), value, Expect::Anything).await
    };
    let mut number = 0;
    while grow(&format!("large/{number}")).await.is_ok() {
        number += 1;
    }
    let key = Key::parse("counted").unwrap();
    let read = async {
        // Between two tries it is closed for a moment.
        while ledger.read(&key).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, read).await.expect("it cannot be read");
    disk.fails(Fails::Nothing);
    let grown = async {
        while grow("large").await.is_err() {
            mended(&ledger).await;
        }
    };
    timeout(PATIENCE, grown).await.expect("it cannot be written");
}

#[tokio::test]
async fn a_failed_read_has_it_opened_again() {
    // More than is kept in memory, so that reads need the disk.
    const DOCUMENTS: usize = 50;
    let disk = Disk::default();
    let ledger = on(&disk);
    let keys: Vec<Key> =
        (0..DOCUMENTS).map(|number| Key::parse(&format!("large/{number}")).unwrap()).collect();
    for key in &keys {
        let value = Bytes::from(vec![1; DOCUMENT_BYTES_MAX]);
        ledger.write(key, value, Expect::Absent).await.unwrap();
    }
    let mut health = ledger.health();
    disk.fails(Fails::All);
    let mut failed = 0;
    for key in &keys {
        failed += usize::from(ledger.read(key).await.is_err());
    }
    assert!(failed > 0, "everything was in memory");
    let told = health.wait_for(|health| health.failing().is_some());
    timeout(PATIENCE, told).await.expect("nobody looked").unwrap();
    disk.fails(Fails::Nothing);
    mended(&ledger).await;
    for key in &keys {
        assert_eq!(ledger.read(key).await.unwrap().unwrap().value.len(), DOCUMENT_BYTES_MAX);
    }
}

async fn write_refused(ledger: &Embedded) {
    let key = Key::parse("refused").unwrap();
    ledger.write(&key, text(0), Expect::Anything).await.unwrap_err();
}

#[tokio::test]
async fn another_ledger_in_its_place_is_not_taken_for_it() {
    let (disk, other) = (Disk::default(), Disk::default());
    drop(on(&other));
    let is_replaced = Arc::new(AtomicBool::new(false));
    let open = {
        let (disk, is_replaced) = (disk.clone(), Arc::clone(&is_replaced));
        move || Ok(if is_replaced.load(Ordering::SeqCst) { other.clone() } else { disk.clone() })
    };
    let ledger = Embedded::on(open, Kept::default()).unwrap();
    // It fails for ever, so only the other can ever be written.
    disk.fails(Fails::Writes);
    write_refused(&ledger).await;
    is_replaced.store(true, Ordering::SeqCst);
    let mut health = ledger.health();
    let told = health
        .wait_for(|health| health.failing().is_none_or(|reason| reason.contains("another ledger")));
    let told = timeout(PATIENCE, told).await.unwrap().unwrap().clone();
    assert!(told.failing().is_some(), "it took the other one");
}

#[tokio::test]
async fn an_older_copy_in_its_place_is_not_taken_for_it() {
    let disk = Disk::default();
    drop(on(&disk));
    let copy = Disk::holding(disk.0.contents.lock().unwrap().cached.clone());
    let is_replaced = Arc::new(AtomicBool::new(false));
    let open = {
        let (disk, is_replaced) = (disk.clone(), Arc::clone(&is_replaced));
        move || Ok(if is_replaced.load(Ordering::SeqCst) { copy.clone() } else { disk.clone() })
    };
    let ledger = Embedded::on(open, Kept::default()).unwrap();
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    ledger.append(Log::Purges, text(1), None).await.unwrap();
    assert_eq!(timeout(PATIENCE, follow.next()).await.unwrap().unwrap().len(), 1);
    disk.fails(Fails::Writes);
    write_refused(&ledger).await;
    is_replaced.store(true, Ordering::SeqCst);
    let mut health = ledger.health();
    let told = health
        .wait_for(|health| health.failing().is_none_or(|reason| reason.contains("older copy")));
    let told = timeout(PATIENCE, told).await.unwrap().unwrap().clone();
    assert!(
        told.failing().is_some(),
        "a purge there would have the number of one that was applied"
    );
    // The ledger itself, back in its place, is taken.
    disk.fails(Fails::Nothing);
    is_replaced.store(false, Ordering::SeqCst);
    mended(&ledger).await;
    ledger.append(Log::Purges, text(2), None).await.unwrap();
    let next = timeout(PATIENCE, follow.next()).await.unwrap().unwrap();
    assert_eq!(next[0].position.seq, 2);
}

#[test]
fn a_read_waits_for_no_thread_of_the_rest_of_the_process() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().max_blocking_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let busy = runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        // Its end is that nobody sends any more.
        ended.recv().unwrap_err();
    });
    has_begun.recv().unwrap();
    let ledger = on(&Disk::default());
    let read = runtime.block_on(async { timeout(PATIENCE, ledger.list("")).await });
    drop(end);
    runtime.block_on(busy).unwrap();
    read.expect("it waited").unwrap();
}

struct Nothing;

impl Applies for Nothing {
    fn apply(&self, _purge: &Purge) {}

    fn apply_everything(&self) {}

    fn load(&self) -> Load {
        Load::default()
    }

    fn vouch(&self, _until: Instant) {}
}

#[tokio::test]
async fn a_node_that_leaves_meanwhile_is_gone_in_the_end() {
    let (disk, folder) = (Disk::default(), tempfile::tempdir().unwrap());
    let ledger: Arc<dyn Ledger> = Arc::new(on(&disk));
    let join = async || {
        let joining = Joining {
            key: node::key_of("fra").unwrap(),
            document: NodeDocument::default(),
            heartbeat: Duration::from_secs(3600),
            edge: Arc::new(Nothing),
            file: AppliedFile::beside(&folder.path().join("ledger"), "fra"),
            incarnation: Incarnation::fresh().unwrap(),
            is_shared: false,
            troubles: Troubles::default(),
            answers: None,
            sites: None,
        };
        node::join(Arc::clone(&ledger), joining).await
    };
    let nodes = async || ledger.list(NODES).await.map_or(usize::MAX, |found| found.documents.len());
    let leaves = async |joins_again: bool| {
        let member = join().await.unwrap();
        disk.fails(Fails::Writes);
        let leaving = member.leave().await.expect("nobody could take that");
        let mut again = None;
        if joins_again {
            drop(leaving);
            disk.fails(Fails::Nothing);
            let joined = async {
                while again.is_none() {
                    again = join().await.ok();
                }
            };
            timeout(PATIENCE, joined).await.unwrap();
            assert_eq!(nodes().await, 1);
            return again;
        }
        disk.fails(Fails::Nothing);
        let gone = async {
            while nodes().await != 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("it is still there");
        drop(leaving);
        again
    };
    leaves(false).await;
    let member = leaves(true).await.unwrap();
    assert!(member.leave().await.is_none());
    assert_eq!(nodes().await, 0);
}
