//! A disk behind a cache, for tests: a power cut empties the cache, and it can be full or fail.
//!
//! In: what a ledger reads and writes. Out: what is left after a cut. Always: only what was synced is
//! left for sure; a sync that fails forgets what it should have written, as a system's cache does.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use nearcast_control::{
    embedded::{Embedded, Kept},
    ledger::{Expect, Key, Ledger as _, Log, Position},
};
use redb::StorageBackend;

/// Parts of a write that reach a disk or do not.
const SECTOR: usize = 512;

/// A disk behind a cache that a power cut empties.
#[derive(Debug, Default, Clone)]
pub(crate) struct Disk(pub(crate) Arc<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) contents: Mutex<Contents>,
    pub(crate) syncs: AtomicU64,
    /// What was acknowledged, as far as whoever looks after a cut knows.
    pub(crate) acknowledged: AtomicU64,
    /// What the disk would have held at each sync, just before it; kept once that is asked for.
    pub(crate) cuts: Mutex<Option<Vec<Cut>>>,
    pub(crate) fails: Mutex<Fails>,
}

/// What goes wrong on a disk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    #[default]
    Nothing,
    /// Nothing can be written.
    Writes,
    /// It is full: nothing can grow.
    Growth,
    /// Nothing can be written but its first page.
    MostWrites,
    /// A sync fails, and what it should have written counts as written from then on.
    Syncs,
    /// Nothing can be read or written.
    All,
    /// The next write panics, as redb does over a broken file, and none is taken after it.
    Panics,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Contents {
    /// What reads see.
    pub(crate) cached: Vec<u8>,
    /// What is on the disk for sure.
    pub(crate) synced: Vec<u8>,
    /// What was written since.
    pub(crate) pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) contents: Contents,
    pub(crate) acknowledged: u64,
}

impl Contents {
    /// What is left after a cut, if of what was not synced each sector may have arrived.
    pub(crate) fn cut(&self, mut arrives: impl FnMut() -> bool) -> Vec<u8> {
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
    pub(crate) fn holding(contents: Vec<u8>) -> Self {
        let disk = Self::default();
        *disk.0.contents.lock().unwrap() =
            Contents { cached: contents.clone(), synced: contents, pending: Vec::new() };
        disk
    }

    pub(crate) fn fails(&self, what: Fails) {
        *self.0.fails.lock().unwrap() = what;
    }

    /// Fails if what goes wrong is one of these.
    fn check(&self, what: &[Fails]) -> io::Result<()> {
        let fails = *self.0.fails.lock().unwrap();
        if what.contains(&fails) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

pub(crate) fn on(disk: &Disk) -> Embedded {
    let disk = disk.clone();
    Embedded::on(move || Ok(disk.clone()), Kept::default()).unwrap()
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.contents.lock().unwrap().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(&[Fails::All])?;
        let contents = self.0.contents.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let read = contents.cached.get(from..from + out.len());
        out.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(&[Fails::All, Fails::Writes])?;
        // A file's length is not held back: journals of file systems write it early.
        let mut contents = self.0.contents.lock().unwrap();
        let len = usize::try_from(len).unwrap();
        if len > contents.cached.len() {
            self.check(&[Fails::Growth])?;
        }
        contents.cached.resize(len, 0);
        contents.synced.resize(len, 0);
        contents.pending.retain(|(at, data)| at + data.len() <= len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.0.contents.lock().unwrap();
        if let Err(error) = self.check(&[Fails::All, Fails::Syncs]) {
            contents.pending.clear();
            return Err(error);
        }
        let acknowledged = self.0.acknowledged.load(Ordering::SeqCst);
        if let Some(cuts) = &mut *self.0.cuts.lock().unwrap() {
            cuts.push(Cut { contents: contents.clone(), acknowledged });
        }
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        let Contents { synced, pending, .. } = &mut *contents;
        for (from, data) in pending.drain(..) {
            synced[from..from + data.len()].copy_from_slice(&data);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(&[Fails::All, Fails::Writes])?;
        let panics = *self.0.fails.lock().unwrap() == Fails::Panics;
        if panics {
            self.fails(Fails::Writes);
            panic!("a test says so");
        }
        if offset >= 4096 {
            self.check(&[Fails::MostWrites])?;
        }
        let mut contents = self.0.contents.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let place = contents.cached.get_mut(from..from + data.len());
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        contents.pending.push((from, data.to_vec()));
        Ok(())
    }
}

pub(crate) fn text(number: u64) -> Bytes {
    Bytes::from(format!("entry {number} {}", "x".repeat(300)))
}

/// Everything up to `acknowledged` is there, in order, and nothing is broken after it.
pub(crate) async fn assert_holds(ledger: &Embedded, acknowledged: u64, case: &str) {
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

pub(crate) async fn write_one(ledger: &Embedded, number: u64) {
    ledger.append(Log::Purges, text(number), None).await.unwrap();
    let counted = Bytes::from(number.to_string());
    ledger.write(&Key::parse("counted").unwrap(), counted, Expect::Anything).await.unwrap();
}
