//! Where things stand: revisions of documents, positions in logs, ends of logs.
//!
//! In: numbers, text. Out: [`Revision`], [`Epoch`], [`Position`], [`Ends`]. Always: a position is written as
//! its epoch in sixteen hexadecimal digits, a hyphen, and its number. Two positions compare only
//! within one epoch.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The number of a change, through all documents.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first change.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which log it is: another one after it was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The log's epoch.
    pub epoch: Epoch,
    /// The entry's number: each entry has a higher one than that before it; 0 is before the first.
    pub seq: u64,
}

impl Position {
    /// Whether who is here has passed `other`; not so in another epoch.
    #[must_use]
    pub fn has_reached(self, other: Self) -> bool {
        self.epoch == other.epoch && self.seq >= other.seq
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

/// The ends of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The position before the oldest entry that is kept.
    pub before_first: Position,
    /// The position of the newest entry; as `before_first` where none is kept.
    pub last: Position,
    /// From the number of an entry that was appended alone to the next such one's; those of entries that
    /// were appended together lie between.
    pub apart: u64,
}

impl Ends {
    /// How many entries there are after a position of this log, at least; nothing for one of another.
    #[must_use]
    pub fn after(&self, position: Position) -> Option<u64> {
        let numbers = self.last.seq.saturating_sub(position.seq);
        (position.epoch == self.last.epoch).then(|| numbers.div_ceil(self.apart.max(1)))
    }

    /// A number from which there are so many entries up to the number `to`, at least, or all that are
    /// kept.
    #[must_use]
    pub fn back(&self, to: u64, entries: u64) -> u64 {
        to.saturating_sub(entries.saturating_mul(self.apart)).max(self.before_first.seq)
    }
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position; allowed: 16 hexadecimal digits, a hyphen, a number")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (epoch, seq) = text.split_once('-').ok_or(NoPosition)?;
        let is_plain = seq.bytes().all(|byte| byte.is_ascii_digit());
        let is_epoch = epoch.len() == 16 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_plain || !is_epoch {
            return Err(NoPosition);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_no| NoPosition)?;
        let seq = seq.parse().map_err(|_no| NoPosition)?;
        Ok(Self { epoch: Epoch(epoch), seq })
    }
}

impl JsonSchema for Position {
    fn schema_name() -> Cow<'static, str> {
        "Position".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A place in a log: the log's epoch and a number.",
            "pattern": "^[0-9a-f]{16}-[0-9]+$",
        })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text_and_nothing_else_is_one() {
        for (epoch, seq) in [(0, 0), (u64::MAX, u64::MAX), (0x5d3c, 42)] {
            let position = Position { epoch: Epoch(epoch), seq };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in
            ["", "-", "5d-1", "000000000000005d-", "000000000000005d-+1", "+00000000000005d-1"]
        {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text}");
        }
    }

    #[test]
    fn what_lies_between_is_counted_in_entries() {
        let at = |seq| Position { epoch: Epoch(1), seq };
        let single = Ends { before_first: at(3), last: at(9), apart: 1 };
        assert_eq!([9, 8, 3].map(|seq| single.after(at(seq))), [0, 1, 6].map(Some));
        assert_eq!([(9, 2), (9, 6), (9, 100)].map(|(to, few)| single.back(to, few)), [7, 3, 3]);
        let packed = Ends { before_first: at(20), last: at(60), apart: 10 };
        let rows = [(60, 0), (59, 1), (51, 1), (50, 1), (49, 2), (20, 4), (70, 0)];
        for (seq, entries) in rows {
            assert_eq!(packed.after(at(seq)), Some(entries), "{seq}");
        }
        assert_eq!(packed.after(Position { epoch: Epoch(2), seq: 60 }), None);
        // From the middle of several to the middle of several.
        assert_eq!(
            [packed.back(60, 1), packed.back(57, 1), packed.back(57, u64::MAX)],
            [50, 47, 20]
        );
    }

    #[test]
    fn no_position_is_past_one_of_another_epoch() {
        let here = Position { epoch: Epoch(1), seq: 5 };
        assert!(here.has_reached(here));
        assert!(!here.has_reached(Position { seq: 6, ..here }));
        assert!(!here.has_reached(Position { epoch: Epoch(2), seq: 1 }));
    }
}
