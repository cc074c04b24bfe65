//! What a power cut, a kill and a newer version leave of the embedded ledger.
//!
//! The power is cut by storage that discards what was not synced, or keeps any part of it; the kill
//! is a real one, of a process that runs [`a_child_writes_until_it_is_killed`] of this same binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
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

use self::durability::disk::{Disk, Fails, assert_holds, on, text, write_one};

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

/// Is no test of its own: fails to write to the ledger that the environment names, and says when it
/// was tried anew, until it is killed.
#[tokio::test]
async fn a_child_fails_until_it_is_killed() {
    let Some(path) = std::env::var_os(FAILING_CHILD) else { return };
    let ledger = Embedded::open(Path::new(&path), Kept::default()).unwrap();
    let mut health = ledger.health();
    println!("opened");
    // Whoever reads that takes the disk away.
    for number in 1.. {
        if ledger.append(Log::Purges, text(number), None).await.is_err() {
            break;
        }
    }
    loop {
        println!("failed");
        io::stdout().flush().unwrap();
        health.changed().await.unwrap();
    }
}

const FAILING_CHILD: &str = "NEARCAST_TEST_FAILING_LEDGER";

#[tokio::test]
async fn nobody_else_opens_a_ledger_that_is_being_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    // A write beyond the limit shall fail, and not end the child.
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_fails_until_it_is_killed", "--nocapture"])
        .env(FAILING_CHILD, &path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut failures = 0;
    let mut opened = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.ends_with("opened") {
            let pid = rustix::process::Pid::from_child(&child);
            let none = rustix::process::Rlimit { current: Some(0), maximum: None };
            rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, none).unwrap();
        }
        if line.ends_with("failed") {
            failures += 1;
            opened.push(Embedded::open(&path, Kept::default()).map(drop));
            if failures == 4 {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(failures >= 4, "the child ended by itself");
    for opened in opened {
        let told = opened.expect_err("two have it");
        assert!(matches!(told, OpenError::InUse { .. }), "{told}");
    }
    Embedded::open(&path, Kept::default()).unwrap();
}

#[tokio::test]
async fn a_first_start_that_breaks_off_leaves_no_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    let new = folder.path().join("ledger.redb.new");
    // Where it cannot be begun it has no name.
    fs::create_dir(&new).unwrap();
    let told = Embedded::open(&path, Kept::default()).unwrap_err();
    assert!(matches!(told, OpenError::File { .. }), "{told}");
    assert!(!path.exists());
    fs::remove_dir(&new).unwrap();
    // What a kill leaves of it: a length, and nothing in it yet.
    fs::File::create(&new).unwrap().set_len(1 << 20).unwrap();
    let ledger = Embedded::open(&path, Kept::default()).unwrap();
    write_one(&ledger, 1).await;
    assert!(path.exists() && !new.exists());
    drop(ledger);
    // An empty file is none yet either.
    fs::File::create(&path).unwrap();
    Embedded::open(&path, Kept::default()).unwrap();
}

#[tokio::test]
async fn a_full_disk_at_the_start_says_nothing_against_the_ledger_on_it() {
    for fails in [Fails::MostWrites, Fails::Writes, Fails::All] {
        let disk = Disk::default();
        drop(on(&disk));
        disk.fails(fails);
        let told = Embedded::on(move || Ok(disk.clone()), Kept::default()).unwrap_err();
        assert!(matches!(told, OpenError::File { .. }), "{fails:?}: {told}");
    }
}

#[tokio::test]
async fn a_newer_format_is_known_by_its_number_whatever_its_tables_are() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    const NEWEST: TableDefinition<'_, u64, u64> = TableDefinition::new("newest");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    {
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", 2).unwrap();
        transaction.open_table(NEWEST).unwrap().insert(1, 1).unwrap();
        transaction.commit().unwrap();
    }
    let told = Embedded::open(&path, Kept::default()).unwrap_err();
    assert!(matches!(told, OpenError::Newer { found: 2, .. }), "{told}");
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
