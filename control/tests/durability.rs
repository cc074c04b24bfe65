//! What a power cut, a kill and a newer version leave of the embedded ledger.
//!
//! The power is cut by storage that discards what was not synced, or keeps any part of it; the kill
//! is a real one, of a process that runs [`a_child_writes_until_it_is_killed`] of this same binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::join_all;
use nearcast_control::{
    embedded::{Embedded, Kept, OpenError},
    ledger::{Expect, Key, Ledger as _, Log, Position},
};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use redb::{Database, ReadableDatabase as _, StorageBackend, TableDefinition};

/// Parts of a write that reach a disk or do not.
const SECTOR: usize = 512;

/// A disk behind a cache that a power cut empties.
#[derive(Debug, Default, Clone)]
struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    contents: Mutex<Contents>,
    syncs: AtomicU64,
    /// What was acknowledged, as far as whoever looks after a cut knows.
    acknowledged: AtomicU64,
    /// What the disk would have held at each sync, just before it.
    cuts: Mutex<Vec<Cut>>,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    /// What reads see.
    cached: Vec<u8>,
    /// What is on the disk for sure.
    synced: Vec<u8>,
    /// What was written since.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct Cut {
    contents: Contents,
    acknowledged: u64,
}

impl Contents {
    /// What is left after a cut, if of what was not synced each sector may have arrived.
    fn cut(&self, mut arrives: impl FnMut() -> bool) -> Vec<u8> {
        let mut left = self.synced.clone();
        for (at, data) in &self.pending {
            for (number, sector) in data.chunks(SECTOR).enumerate() {
                let from = at + number * SECTOR;
                if arrives() {
                    left.resize(left.len().max(from + sector.len()), 0);
                    left[from..from + sector.len()].copy_from_slice(sector);
                }
            }
        }
        left
    }
}

impl Disk {
    fn holding(contents: Vec<u8>) -> Self {
        let disk = Self::default();
        *disk.0.contents.lock().unwrap() =
            Contents { cached: contents.clone(), synced: contents, pending: Vec::new() };
        disk
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.contents.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let contents = self.0.contents.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let read = contents.cached.get(from..from + out.len());
        out.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // A file's length is not held back: journals of file systems write it early.
        let mut contents = self.0.contents.lock().unwrap();
        let len = usize::try_from(len).unwrap();
        contents.cached.resize(len, 0);
        contents.synced.resize(len, 0);
        contents.pending.retain(|(at, data)| at + data.len() <= len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.0.contents.lock().unwrap();
        let acknowledged = self.0.acknowledged.load(Ordering::SeqCst);
        self.0.cuts.lock().unwrap().push(Cut { contents: contents.clone(), acknowledged });
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        contents.synced = contents.cached.clone();
        contents.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut contents = self.0.contents.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let place = contents.cached.get_mut(from..from + data.len());
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        contents.pending.push((from, data.to_vec()));
        Ok(())
    }
}

fn text(number: u64) -> Bytes {
    Bytes::from(format!("entry {number} {}", "x".repeat(300)))
}

/// Everything up to `acknowledged` is there, in order, and nothing is broken after it.
async fn assert_holds(ledger: &Embedded, acknowledged: u64, case: &str) {
    let ends = ledger.ends(Log::Purges).await.unwrap();
    assert!(ends.last.seq >= acknowledged, "{case}: {} < {acknowledged}", ends.last.seq);
    for seq in 1..=ends.last.seq {
        let entry = ledger.entry(Log::Purges, Position { seq, ..ends.last }).await.unwrap();
        assert_eq!(entry, Some(text(seq)), "{case}");
    }
    let counted = ledger.read(&Key::parse("counted").unwrap()).await.unwrap();
    let counted = counted.map_or(0, |found| String::from_utf8_lossy(&found.value).parse().unwrap());
    assert!(counted >= acknowledged, "{case}: counted {counted}");
}

async fn write_one(ledger: &Embedded, number: u64) {
    ledger.append(Log::Purges, text(number), None).await.unwrap();
    let counted = Bytes::from(number.to_string());
    ledger.write(&Key::parse("counted").unwrap(), counted, Expect::Anything).await.unwrap();
}

#[tokio::test]
async fn a_power_cut_loses_nothing_acknowledged() {
    const WRITES: u64 = 40;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let disk = Disk::default();
    let ledger = Embedded::on(disk.clone(), Kept::default()).unwrap();
    disk.0.cuts.lock().unwrap().clear();
    for number in 1..=WRITES {
        write_one(&ledger, number).await;
        disk.0.acknowledged.store(number, Ordering::SeqCst);
    }
    let cuts = std::mem::take(&mut *disk.0.cuts.lock().unwrap());
    assert!(cuts.len() as u64 >= WRITES, "every write is synced before it is acknowledged");
    for (number, cut) in cuts.iter().enumerate() {
        let none = cut.contents.cut(|| false);
        let some = cut.contents.cut(|| random.random());
        let all = cut.contents.cut(|| true);
        for (left, case) in [(none, "nothing"), (some, "some"), (all, "all")] {
            let case = format!("seed {seed}, cut {number}, {case} of the rest arrived");
            let after = Embedded::on(Disk::holding(left), Kept::default()).unwrap();
            assert_holds(&after, cut.acknowledged, &case).await;
        }
    }
}

#[tokio::test]
async fn writers_that_wait_together_share_a_sync() {
    let disk = Disk::default();
    let ledger = Embedded::on(disk.clone(), Kept::default()).unwrap();
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
