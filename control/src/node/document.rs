//! What a node says of itself in the ledger.
//!
//! In: what a node knows. Out: its document, `nodes/NAME`. Always: a member that an older version did
//! not write has a value that promises nothing. It does not know who reads it, nor how often it is
//! written.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::{Key, Position},
    site::Served,
};

/// What a name server has answered is cached for a week at most (RFC 8767 §4).
pub(crate) const CACHED_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The keys of nodes begin so.
pub const NODES: &str = "nodes/";

/// The document of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDocument {
    /// Where it serves.
    pub addresses: Vec<SocketAddr>,
    /// Under which addresses clients reach it, where that is known.
    #[serde(default)]
    pub reached_at: Vec<IpAddr>,
    /// Up to where it has applied the purge log; nothing of a node that holds nothing to purge.
    #[serde(default)]
    pub applied: Option<Position>,
    /// The PoP that it belongs to.
    #[serde(default)]
    pub pop: Option<String>,
    /// What it does.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// The version that it runs.
    #[serde(default)]
    pub version: String,
    /// What it had to do when it said this.
    #[serde(default)]
    pub load: Load,
    /// How long after it was last heard of it goes on to reuse what it holds unasked; without that,
    /// for ever.
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// Which process says this.
    #[serde(default)]
    pub incarnation: String,
    /// Other processes that go by this name and are not known to have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<Rival>,
    /// What it answers DNS by, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// What it serves of the ledger's sites, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<Served>,
    /// Its process has ended in order, and what it last answered may be cached for so long after this was
    /// written. It is no node any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_cached_ms: Option<u64>,
    /// What name servers last said that ended under this name, as long as what they answered may be
    /// cached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_words: Vec<Word>,
}

/// What a name server last said that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// What it answered by.
    #[serde(default)]
    pub answers: Option<Answers>,
    /// What it last answered may be cached for so long after this was written.
    #[serde(default)]
    pub cached_ms: u64,
}

/// What a node answers DNS by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Up to which revision of the ledger its answers go by drains, with the epoch of the purge log
    /// that says which ledger that is.
    pub drains: Position,
    /// Up to where nobody may have an answer cached that went by less.
    #[serde(default)]
    pub expired: Option<Position>,
    /// For how many seconds its answers before this could be cached.
    #[serde(default)]
    pub ttl_s: u64,
    /// It answers by more, which its disk does not take, so that a start without the ledger would not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unkept: bool,
    /// Addresses that it has answered all the same, as nobody else was left, so lately that this may be
    /// cached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<IpAddr>,
}

/// What a name server says as it ends.
#[derive(Clone, Debug)]
pub(super) struct LastWord {
    /// What it answered by.
    pub(super) answers: Option<Answers>,
    /// For how long what it answered may be cached.
    pub(super) cached_for: Duration,
}

impl Word {
    /// For how long it counts: nobody waits for longer than a week.
    pub(crate) fn cached_for(&self) -> Duration {
        Duration::from_millis(self.cached_ms).min(CACHED_MAX)
    }
}

impl Answers {
    /// It answers by that, and nothing else is known.
    #[must_use]
    pub const fn by(drains: Position) -> Self {
        Self { drains, expired: None, ttl_s: 0, unkept: false, given_up: Vec::new() }
    }
}

/// A process that goes by another's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// Which it is.
    pub incarnation: String,
    /// Its lease, as in [`NodeDocument::lease_ms`].
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// Whether it has said something since it was thought to have ended.
    #[serde(default)]
    pub lives: bool,
}

impl NodeDocument {
    /// Under which addresses clients may reach it: those that it says, and those on which it listens.
    #[must_use]
    pub fn reached(&self) -> Vec<IpAddr> {
        let listens = self.addresses.iter().map(|address| address.ip().to_canonical());
        let listens = listens.filter(|address| !address.is_unspecified());
        self.reached_at.iter().copied().chain(listens).collect()
    }

    /// What is left of a name server that has ended: its last word of its answers.
    pub(super) fn ended(self, LastWord { answers, cached_for }: LastWord) -> Self {
        let cached_ms = u64::try_from(cached_for.as_millis()).unwrap_or(u64::MAX);
        // It stays as long as any of them counts.
        let cached_ms = self.last_words.iter().map(|word| word.cached_ms).fold(cached_ms, u64::max);
        Self {
            roles: vec![Role::Geodns],
            version: self.version,
            incarnation: self.incarnation,
            answers,
            ended_cached_ms: Some(cached_ms),
            last_words: self.last_words,
            ..Self::default()
        }
    }

    /// A name server has ended under this name, and another process has it.
    pub(super) fn keep(&mut self, LastWord { answers, cached_for }: LastWord) {
        let cached_ms = u64::try_from(cached_for.as_millis()).unwrap_or(u64::MAX);
        let word = Word { answers, cached_ms };
        if !self.last_words.contains(&word) {
            self.last_words.push(word);
        }
    }

    /// Its lease, if it has one.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        self.lease_ms.map(Duration::from_millis)
    }

    /// The longest lease of all that go by its name, if they all have one.
    #[must_use]
    pub fn longest_lease(&self) -> Option<Duration> {
        let others = self.rivals.iter().map(|rival| rival.lease_ms);
        let all: Option<Vec<u64>> = others.chain([self.lease_ms]).collect();
        all?.into_iter().max().map(Duration::from_millis)
    }

    /// Whether others go by its name, of whom nobody knows how far they are.
    #[must_use]
    pub fn is_contested(&self) -> bool {
        !self.rivals.is_empty()
    }
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It caches HTTP.
    Edge,
    /// It answers DNS.
    Geodns,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// What a node has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Connections of clients that are open.
    pub connections: u64,
    /// Bytes of its memory budget in use.
    pub memory_bytes: u64,
    /// The budget.
    pub memory_bytes_max: u64,
    /// How full it is, of a thousand: its share of the connections that it may have, or of the processors'
    /// time, whichever is more; null where it does not say.
    #[serde(default)]
    pub share_per_mille: Option<u16>,
}

/// The key of a node's document; nothing for a name that no node can have.
#[must_use]
pub fn key_of(name: &str) -> Option<Key> {
    Key::parse(&format!("{NODES}{name}")).filter(|key| key.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{documents, ledger::Epoch};

    #[test]
    fn a_document_of_an_older_version_promises_nothing() {
        let older = br#"{"schema":1,"addresses":["192.0.2.1:80"],"applied":"0000000000000007-3"}"#;
        let document: NodeDocument = documents::decode(older).unwrap();
        assert_eq!(document.applied, Some(Position { epoch: Epoch(7), seq: 3 }));
        assert_eq!((document.lease(), document.roles.len()), (None, 0));
        assert_eq!((document.answers, document.sites), (None, None));
    }

    #[test]
    fn a_name_has_the_longest_lease_of_all_that_go_by_it_or_none() {
        let rival = |lease_ms| Rival { lease_ms, ..Rival::default() };
        let longest = |lease_ms, rivals: &[Rival]| {
            let document = NodeDocument { lease_ms, rivals: rivals.into(), ..Default::default() };
            document.longest_lease().map(|lease| lease.as_millis())
        };
        assert_eq!(longest(Some(5), &[]), Some(5));
        assert_eq!(longest(Some(5), &[rival(Some(3)), rival(Some(9))]), Some(9));
        assert_eq!(longest(Some(5), &[rival(None)]), None);
        assert_eq!(longest(None, &[rival(Some(9))]), None);
    }

    #[test]
    fn a_role_of_a_newer_version_makes_no_document_unreadable() {
        let newer = br#"{"schema":1,"addresses":[],"roles":["edge","shield"],"more":1}"#;
        let document: NodeDocument = documents::decode(newer).unwrap();
        assert_eq!(document.roles, [Role::Edge, Role::Other]);
    }
}
