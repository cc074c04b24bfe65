//! Lines of the audit log, as many as one answer looks at: backwards from the newest, and onwards.
//!
//! In: a log, where to begin. Out: lines, some at a time. Always: of what lies between two numbers all
//! lines are handed out, or the newest, so that none is skipped on the way back; how many there are is
//! not taken from the numbers, which entries that were appended together share. It does not know what
//! lines say.

use std::collections::VecDeque;

use super::line::Line;
use crate::{
    documents::DocumentError,
    ledger::{Ends, Entry, Ledger, LedgerError, Log, Lost, Position},
};

/// Lines that are handed out at once, at most.
const AT_ONCE_MAX: u64 = 1000;
/// How far it goes back at first: what was ordered a moment ago is among the newest.
const FIRST: u64 = 16;
/// Lines that are looked at for one answer, at most.
const LOOKED_AT_MAX: u64 = 10_000;

/// A line, and where it stands.
pub(super) type Found = (Position, Result<Line, DocumentError>);

/// Lines from the newest on backwards, some at a time, as many as one answer looks at.
pub(super) struct Back<'l> {
    ledger: &'l dyn Ledger,
    ends: Ends,
    /// The number that all lines that were handed out are after.
    pub(super) to: u64,
    /// Lines that it may look at still.
    left: u64,
    /// How far it goes back at once, in entries that were appended alone.
    step: u64,
}

impl<'l> Back<'l> {
    /// Up to the number `to`.
    pub(super) fn new(ledger: &'l dyn Ledger, ends: Ends, to: u64) -> Self {
        Self { ledger, ends, to, left: LOOKED_AT_MAX, step: FIRST }
    }

    /// The lines before those that were handed out, in their order; nothing once there are no more, or
    /// enough were looked at.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Found>>, LedgerError> {
        if self.left == 0 || self.to <= self.ends.before_first.seq {
            return Ok(None);
        }
        let few = self.left.min(AT_ONCE_MAX);
        let from = self.ends.back(self.to, self.step.min(few));
        let Some((some, seen)) = unless_gone(self.newest(from, few).await)? else {
            return Ok(None);
        };
        let is_all = some.len() as u64 == seen;
        let oldest = some.front().map_or(from, |oldest| oldest.position.seq.saturating_sub(1));
        self.to = if is_all { from } else { oldest };
        self.left = self.left.saturating_sub(seen);
        // The next time so far that it is about as many.
        let step = match seen {
            _ if seen.saturating_mul(2) <= few => self.step.saturating_mul(2),
            _ if is_all => self.step,
            _ => self.step * few / seen,
        };
        self.step = step.clamp(1, AT_ONCE_MAX);
        Ok(Some(some.iter().map(read).collect()))
    }

    /// Of the entries from one number to where it is the newest few, and how many there are.
    async fn newest(&self, from: u64, few: u64) -> Result<(VecDeque<Entry>, u64), LedgerError> {
        let mut at = Position { seq: from, ..self.ends.last };
        let mut follow = self.ledger.follow(Log::Audit, at).await?;
        let (mut some, mut seen) = (VecDeque::new(), 0_u64);
        while at.seq < self.to {
            for entry in follow.next().await? {
                at = entry.position;
                if at.seq > self.to {
                    break;
                }
                some.push_back(entry);
                seen = seen.saturating_add(1);
                if some.len() as u64 > few {
                    some.pop_front();
                }
            }
        }
        Ok((some, seen))
    }
}

/// What was read, or nothing where the oldest have gone meanwhile.
pub(super) fn unless_gone<T>(read: Result<T, LedgerError>) -> Result<Option<T>, LedgerError> {
    match read {
        Err(LedgerError::Lost(Lost::Trimmed { .. })) => Ok(None),
        read => read.map(Some),
    }
}

fn read(entry: &Entry) -> Found {
    (entry.position, Line::read(&entry.value))
}

/// The lines after `at` up to the number `last`, in their order, as many as one answer looks at.
pub(super) async fn after(
    ledger: &dyn Ledger,
    mut at: Position,
    last: u64,
) -> Result<Vec<Found>, LedgerError> {
    let mut follow = ledger.follow(Log::Audit, at).await?;
    let mut lines = Vec::new();
    while at.seq < last && (lines.len() as u64) < LOOKED_AT_MAX {
        for entry in follow.next().await? {
            at = entry.position;
            lines.push(read(&entry));
        }
    }
    lines.truncate(usize::try_from(LOOKED_AT_MAX).unwrap_or(usize::MAX));
    Ok(lines)
}
