//! Logs: entries in their order, as many and as many bytes as are kept.
//!
//! In: entries. Out: numbers. Always: the newest entry is never taken away; one append takes a
//! bounded number away, and as many bytes as came, so that a log that was shorter before is
//! reached in steps, and one of small entries does not outgrow its bound by large ones. It does not
//! know documents.

use redb::ReadableTable as _;

use super::{Done, Heads, Tables, number};
use crate::{embedded::Bound, ledger::Log};

/// Entries that one append takes away at most, unless more bytes came.
const TRIMMED_AT_ONCE: u64 = 64;
/// What an entry takes beside its value and its name, at least.
const ENTRY_BYTES: u64 = 64;

/// What an entry counts for.
fn size(value: usize, name: usize) -> u64 {
    ENTRY_BYTES.saturating_add(value as u64).saturating_add(2 * name as u64)
}

impl Tables<'_> {
    /// The bytes of a log, as they were kept beside it; counted if that is not known of where it is
    /// now: another version has written to it.
    pub(super) fn bytes(&self, log: Log, last: u64) -> Result<u64, redb::Error> {
        let of = names(log);
        if self.meta(of.bytes_at)? == Some(last)
            && let Some(bytes) = self.meta(of.bytes)?
        {
            return Ok(bytes);
        }
        let log = number(log);
        let mut bytes = 0_u64;
        for found in self.entries.range((log, 0)..=(log, u64::MAX))? {
            let (at, value) = found?;
            let name = self.names.get(at.value())?.map_or(0, |name| name.value().len());
            bytes = bytes.saturating_add(size(value.value().len(), name));
        }
        Ok(bytes)
    }

    pub(super) fn append(
        &mut self,
        log: Log,
        entry: &[u8],
        once: Option<&str>,
        heads: &mut Heads,
        bound: Bound,
    ) -> Result<Done, redb::Error> {
        let in_file = number(log);
        if let Some(name) = once
            && let Some(first) = self.named.get((in_file, name))?.map(|found| found.value())
        {
            return Ok(Done { number: first, repeated: true });
        }
        let seq = heads.of(log).last.saturating_add(1);
        self.entries.insert((in_file, seq), entry)?;
        if let Some(name) = once {
            self.named.insert((in_file, name), seq)?;
            self.names.insert((in_file, seq), name)?;
        }
        let came = size(entry.len(), once.map_or(0, str::len));
        let head = heads.of_mut(log);
        head.last = seq;
        head.bytes = head.bytes.saturating_add(came);
        head.bytes = self.trim(in_file, seq, (head.bytes, came), bound)?;
        Ok(Done { number: seq, repeated: false })
    }

    /// Takes the oldest entries away that are past the bound, and their names; says how many bytes are
    /// left.
    fn trim(
        &mut self,
        log: u8,
        last: u64,
        (mut bytes, came): (u64, u64),
        bound: Bound,
    ) -> Result<u64, redb::Error> {
        let (mut trimmed, mut freed) = (0_u64, 0_u64);
        while trimmed < TRIMMED_AT_ONCE || freed < came.saturating_mul(2) {
            // The newest one stays, so that the log's end can be told from the file.
            let oldest = match self.entries.range((log, 0)..(log, last))?.next() {
                Some(entry) => entry?.0.value(),
                None => break,
            };
            let is_past = oldest.1 <= last.saturating_sub(bound.entries.max(1));
            if !is_past && bytes <= bound.bytes {
                break;
            }
            let value = self.entries.remove(oldest)?.map_or(0, |value| value.value().len());
            let name = self.names.remove(oldest)?.map(|name| name.value().to_owned());
            if let Some(name) = &name {
                self.named.remove((log, name.as_str()))?;
            }
            let left = size(value, name.map_or(0, |name| name.len()));
            bytes = bytes.saturating_sub(left);
            (trimmed, freed) = (trimmed.saturating_add(1), freed.saturating_add(left));
        }
        Ok(bytes)
    }
}

/// The keys in the file's own table of what is known of a log.
pub(super) struct Names {
    /// Its last number.
    pub(super) last: &'static str,
    /// Its bytes, and the last number that they are of.
    pub(super) bytes: &'static str,
    pub(super) bytes_at: &'static str,
}

pub(super) const fn names(log: Log) -> Names {
    match log {
        Log::Purges => Names { last: "purges", bytes: "purges-bytes", bytes_at: "purges-bytes-at" },
        Log::Audit => Names { last: "audit", bytes: "audit-bytes", bytes_at: "audit-bytes-at" },
    }
}
