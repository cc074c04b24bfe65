//! What a power cut, a kill and a newer version leave of the embedded ledger.
//!
//! The power is cut by storage that discards what was not synced, or keeps any part of it; the kill
//! is a real one, of a process that runs [`a_child_writes_until_it_is_killed`] of this same binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod durability {
    pub(super) mod disk;
    mod failing;
}

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use futures_util::future::join_all;
use nearcast_control::{
    embedded::{Embedded, Kept, OpenError},
    ledger::{Ledger as _, Log},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use redb::{Database, ReadableDatabase as _, TableDefinition};

use self::durability::disk::{Disk, assert_holds, on, text, write_one};

#[tokio::test]
async fn a_power_cut_loses_nothing_acknowledged() {
    const WRITES: u64 = 40;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let disk = Disk::default();
    let ledger = on(&disk);
    *disk.0.cuts.lock().unwrap() = Some(Vec::new());
    for number in 1..=WRITES {
        write_one(&ledger, number).await;
        disk.0.acknowledged.store(number, Ordering::SeqCst);
    }
    let cuts = disk.0.cuts.lock().unwrap().take().unwrap();
    assert!(cuts.len() as u64 >= WRITES, "every write is synced before it is acknowledged");
    for (number, cut) in cuts.iter().enumerate() {
        let none = cut.contents.cut(|| false);
        let some = cut.contents.cut(|| random.random());
        let all = cut.contents.cut(|| true);
        for (left, case) in [(none, "nothing"), (some, "some"), (all, "all")] {
            let case = format!("seed {seed}, cut {number}, {case} of the rest arrived");
            let after = on(&Disk::holding(left));
            assert_holds(&after, cut.acknowledged, &case).await;
        }
    }
}

#[tokio::test]
async fn writers_that_wait_together_share_a_sync() {
    let disk = Disk::default();
    let ledger = on(&disk);
    let before = disk.0.syncs.load(Ordering::SeqCst);
    let appends = (0..200).map(|number| ledger.append(Log::Purges, text(number), None));
    for appended in join_all(appends).await {
        appended.unwrap();
    }
    let syncs = disk.0.syncs.load(Ordering::SeqCst) - before;
    assert!((1..=20).contains(&syncs), "{syncs} syncs for 200 entries");
}

const CHILD: &str = "NEARCAST_TEST_LEDGER";

/// Is no test of its own: writes to the ledger that the environment names, and says what was
/// acknowledged, until it is killed.
#[tokio::test]
async fn a_child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let ledger = Embedded::open(Path::new(&path), Kept::default()).unwrap();
    let last = ledger.ends(Log::Purges).await.unwrap().last.seq;
    for number in last + 1.. {
        write_one(&ledger, number).await;
        println!("acknowledged {number}");
        io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let mut acknowledged = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let goal = acknowledged + 30 + round;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let number =
                line.split_once("acknowledged ").and_then(|(_, number)| number.parse().ok());
            acknowledged = number.unwrap_or(acknowledged);
            if acknowledged == goal {
                // SIGKILL; what it says until then is read as well.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= goal, "round {round}: the child ended by itself");
        let ledger = Embedded::open(&path, Kept::default()).unwrap();
        assert_holds(&ledger, acknowledged, &format!("round {round}")).await;
    }
}

#[tokio::test]
async fn a_ledger_is_for_its_owner_and_one_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let ledger = Embedded::open(&path, Kept::default()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Embedded::open(&path, Kept::default()).unwrap_err();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    drop(ledger);
    Embedded::open(&path, Kept::default()).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    drop(Embedded::open(&path, Kept::default()).unwrap());
    {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", 99).unwrap();
        transaction.commit().unwrap();
    }
    let told = Embedded::open(&path, Kept::default()).unwrap_err().to_string();
    assert!(told.contains("format 99") && told.contains("up to 1"), "{told}");
    let database = Database::open(&path).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    assert_eq!(meta.get("format").unwrap().unwrap().value(), 99);
}

#[tokio::test]
async fn what_is_no_ledger_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "these are notes, and no ledger\n".repeat(1000)).unwrap();
    let told = Embedded::open(&path, Kept::default()).unwrap_err();
    assert!(matches!(told, OpenError::Unreadable { .. }), "{told:?}");
    assert!(told.to_string().contains("notes.txt"), "{told}");
    let nowhere = folder.path().join("not-there/ledger.redb");
    let told = Embedded::open(&nowhere, Kept::default()).unwrap_err();
    assert!(matches!(told, OpenError::File { .. }), "{told:?}");
}
