//! The lines of the audit log: that something is begun, and what came of it.
//!
//! In: bytes. Out: lines, and both lines of an order as one entry. Always: of what has no second line it
//! is not known what came of it; that it was done outdoes that it was refused before. It does not know
//! where lines stand.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents::{self, DocumentError};

/// A line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// What came of an order.
    Ended(Ended),
    /// That one is begun.
    Begun(Begun),
}

/// That something is begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Which order it is of.
    pub(super) order: String,
    pub(super) at: String,
    pub(super) who: String,
    pub(super) from: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<String>,
    /// The name under which it was ordered, if it was under one: whoever repeats it has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) named: Option<String>,
    pub(super) what: String,
    pub(super) on: Value,
    /// Whether it was done when this was written, so that there is no other line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) done: bool,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Which order it is of.
    pub(super) of: String,
    pub(super) came: Came,
    /// What is known of it only now.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) on: Value,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// What came of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Came {
    Refused,
    Done,
}

/// What came of what an entry speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Outcome {
    /// It was done.
    Done,
    /// It was begun, and refused since others had changed something first.
    Refused,
    /// Nobody knows: it is under way, or what carried it out or the ledger failed meanwhile.
    Unknown,
}

/// An entry.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct AuditEntry {
    /// When, for people.
    at: String,
    /// The id of the token.
    who: String,
    /// Where the order came from.
    from: Option<IpAddr>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// What was ordered: `purge`, `site.write`, `site.delete`, `token.make`, `token.revoke`,
    /// `node.remove`, `node.drain`, `node.undrain`, `ledger.import`.
    pub(super) what: String,
    /// What it was done to, and how.
    pub(super) on: Value,
    /// What came of it.
    pub(super) outcome: Outcome,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Line {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        documents::decode(bytes)
    }
}

/// What came of orders.
#[derive(Debug, Default)]
pub(super) struct Outcomes(BTreeMap<String, Ended>);

impl Outcomes {
    pub(super) fn take(&mut self, ended: Ended) {
        let known = self.0.get(&ended.of).is_some_and(|known| known.came >= ended.came);
        if !known {
            self.0.insert(ended.of.clone(), ended);
        }
    }

    /// The lines of an order.
    pub(super) fn entry(&mut self, begun: Begun) -> AuditEntry {
        let Begun { order, at, who, from, request, named: _, what, mut on, done } = begun;
        let (outcome, why, more) = match self.0.remove(&order) {
            None if done => (Outcome::Done, None, Value::Null),
            None => (Outcome::Unknown, None, Value::Null),
            Some(Ended { came: Came::Done, on, .. }) => (Outcome::Done, None, on),
            Some(Ended { came: Came::Refused, on, why, .. }) => (Outcome::Refused, why, on),
        };
        if let (Value::Object(on), Value::Object(more)) = (&mut on, more) {
            on.extend(more);
        }
        AuditEntry { at, who, from, request, what, on, outcome, why }
    }
}
