//! Where things stand: revisions of documents, positions in logs.
//!
//! In: numbers, text. Out: [`Revision`], [`Epoch`], [`Position`]. Always: a position is written as
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
    /// The entry's number, from 1; 0 is before the first.
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
    fn no_position_is_past_one_of_another_epoch() {
        let here = Position { epoch: Epoch(1), seq: 5 };
        assert!(here.has_reached(here));
        assert!(!here.has_reached(Position { seq: 6, ..here }));
        assert!(!here.has_reached(Position { epoch: Epoch(2), seq: 1 }));
    }
}
