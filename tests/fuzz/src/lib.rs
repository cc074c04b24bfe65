//! Garbage for GeoDNS: random and mutated queries, random and mutated zone files.
//!
//! In: how many, and a seed that replays a run. Out: what became of them, and how much memory was
//! held before and after; an error where anything was answered wrongly. A panic ends the run.
//! What always holds: the same seed gives the same bytes; nothing here is kept from one to the next,
//! so memory that grows has grown in what is tried.
//! `tests/bounded.rs` runs a part of it with all other tests, `run` all of it.

pub mod answer;
mod chance;
mod memory;
mod packets;
pub mod send;
mod stage;
pub mod zonefile;

use std::{error::Error, fmt};

/// Why a run did not go well.
pub type Failed = Box<dyn Error + Send + Sync>;

/// How much more memory a run may hold at its end than after its first tenth, in bytes: pages that
/// an allocator has not given back yet.
const GROWTH_MAX: u64 = 8 << 20;

/// What became of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many were tried.
    pub tried: u64,
    /// Queries that were answered, zone files that were taken.
    pub taken: u64,
    /// Resident memory after the first tenth, in bytes.
    pub resident_before: u64,
    /// Resident memory at the end, in bytes.
    pub resident_after: u64,
}

impl Tally {
    /// Notes what `process` holds when a tenth has been tried.
    fn tenth(&mut self, tried: u64, of: u64, process: Option<u32>) -> Result<(), Failed> {
        self.tried = tried;
        if tried == of / 10 {
            self.resident_before = memory::resident(process)?;
        }
        Ok(())
    }

    /// Ends the run.
    fn end(mut self, process: Option<u32>) -> Result<Self, Failed> {
        self.resident_after = memory::resident(process)?;
        if self.resident_after > self.resident_before + GROWTH_MAX {
            return Err(format!("memory has grown: {self}").into());
        }
        Ok(self)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tried, taken, resident_before, resident_after } = self;
        let mib = |bytes: &u64| *bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{tried} tried, {taken} taken or answered, resident {:.1} MiB after a tenth, {:.1} MiB at the end",
            mib(resident_before),
            mib(resident_after)
        )
    }
}
