//! How far a drain has come.
//!
//! In: the roster, a drain. Out: what each name server answers by, and what the drained node has open.
//! Always: nobody polls: what nodes say is watched. A name server is any node that says that it answers
//! DNS, or says what is not understood; each of them must say that it goes by the drain, and that no
//! answer that did not may be cached, by its own clock; the word of one of whose name there are several
//! does not count; one that is not heard of may have nobody else left for a client by now and answer with
//! the node, so that what it said had expired may have come back; one that has ended in
//! order is waited for as long as what it last answered may be cached. Who is registered is asked of the ledger
//! after the drain was written. Connections count once nobody can come by DNS any more: what the node
//! says in its second report after that was seen here is what is left, since it may have counted before
//! what its first report says, which may have been long on its way.
//! It deliberately does not know who answers DNS without the ledger.
//! Clause: docs/operate.md *Draining a node*.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Drains, Withheld};
use crate::{
    ledger::{LedgerError, Position, Revision},
    node::{Answers, Role},
    roster::{Presence, Roster, Seen, Sighting},
    waiting::{Look, Now, Waiting},
};

/// How far a drain has come, in this order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "DrainState")]
pub enum State {
    /// Not every name server is known to answer by it, or clients are sent to the node all the same.
    Applying,
    /// All do; earlier answers may be cached.
    Expiring,
    /// Nobody has an earlier answer; the node has connections of clients, or is not known to have none.
    Ending,
    /// It has none, or is gone.
    Ended,
}

/// A name server, as far as a drain is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NameServer {
    /// Its node's name.
    pub node: String,
    /// Whether it is here.
    pub state: Presence,
    /// Whether it answers by the drain.
    pub applied: bool,
    /// Whether no answer of it with the node may be cached any more; false while it is not here, as it
    /// may have nobody else left for a client by now, and answer with the node.
    pub expired: bool,
    /// For how many seconds its answers before its last change of drains could be cached.
    pub ttl_s: u64,
    /// True where it answers by more than it says, as its disk does not take that: a start without the
    /// ledger would send clients to the node again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unkept: bool,
    /// True where it answered with the node all the same, since nobody else was left for a client, so
    /// lately that this may be cached.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// True where it has ended, in order: it answers no more, and `expired` is awaited.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// True where other processes go by its name, so that what it says says nothing of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub contested: bool,
    /// Why what it says cannot be read; it may be a name server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// What is known of a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DrainProgress")]
pub struct Progress {
    /// How far it is.
    pub state: State,
    /// The name servers, by name. Without one nobody says that clients are sent elsewhere.
    pub name_servers: Vec<NameServer>,
    /// Why clients are sent to it all the same, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// The largest `ttl_s` of them: how long to wait once all apply it.
    pub ttl_s: u64,
    /// Connections of clients that the node has open, as it last said; null where that is not known, or
    /// it is gone.
    pub connections: Option<u64>,
}

/// Since when nobody can come by DNS any more, as far as this process has seen; of each drained node.
#[derive(Debug, Default)]
pub struct Settled(Mutex<BTreeMap<String, Since>>);

#[derive(Debug)]
struct Since {
    of: Position,
    /// What the node had said until then.
    said: Revision,
    /// What it first said after that; it may have counted before.
    first: Option<Revision>,
}

impl Settled {
    /// It is so now, when the node has `said` that; says whether it has counted since it is.
    fn note(&self, (node, of): (&str, Position), said: Revision) -> bool {
        let mut all = self.0.lock();
        let new = || Since { of, said, first: None };
        let known = all.entry(node.to_owned()).or_insert_with(new);
        if known.of != of {
            *known = new();
        }
        said != known.said && said != *known.first.get_or_insert(said)
    }

    /// It is not so.
    fn forget(&self, node: &str) {
        self.0.lock().remove(node);
    }

    /// Forgets those that are drained no more.
    fn keep(&self, drains: &Drains) {
        self.0.lock().retain(|node, _| drains.has(node));
    }
}

/// A drain that is watched.
#[derive(Debug)]
pub struct Watching<'w> {
    waiting: Waiting,
    drain: Watched<'w>,
}

#[derive(Clone, Copy, Debug)]
struct Watched<'w> {
    settled: &'w Settled,
    drains: &'w Drains,
    node: &'w str,
    /// Its place among all changes.
    at: Position,
}

impl<'w> Watching<'w> {
    /// Watches the drain of `node` that was written `at`, among these.
    #[must_use]
    pub fn begin(
        (roster, settled): (&Roster, &'w Settled),
        drains: &'w Drains,
        (node, at): (&'w str, Position),
    ) -> Self {
        settled.keep(drains);
        let drain = Watched { settled, drains, node, at };
        Self { waiting: Waiting::begin(roster), drain }
    }

    /// Waits until it is as far as `wanted`; no longer than `until`.
    ///
    /// # Errors
    /// When the ledger cannot be asked which nodes there are.
    pub async fn wait(mut self, wanted: State, until: Instant) -> Result<Progress, LedgerError> {
        self.waiting.ask().await?;
        let drain = self.drain;
        let look = |now: Now<'_>| {
            let due = now.strange_until(drain.at.epoch);
            // One moment for both: what runs out between two would wake nobody.
            let moment = Instant::now();
            let progress = drain.progress(now.seen, due.is_some(), moment);
            let again = cached_until(now.seen, moment);
            Look { is_over: progress.state >= wanted, progress, due, again }
        };
        self.waiting.until(until, look).await
    }
}

impl Watched<'_> {
    /// What is known at that moment.
    fn progress(self, seen: &Seen, is_strange: bool, now: Instant) -> Progress {
        let own = self.drains.addresses_of(self.node, seen);
        let server = |(name, sighting)| {
            NameServer::of(name, sighting, (self.at, &own)).map(NameServer::if_heard)
        };
        let mut name_servers: Vec<NameServer> = seen.nodes().filter_map(server).collect();
        let has_none = name_servers.is_empty();
        let ended = seen.ended().map(|(name, word, until)| (name, word.clone(), until));
        let ended = ended.chain(seen.last_words()).filter(|(_, _, until)| now < *until);
        let ended = ended.filter_map(|(name, sighting, _)| {
            let server = NameServer::of(name, &sighting, (self.at, &own))?;
            (!server.expired).then_some(NameServer { applied: true, ended: true, ..server })
        });
        name_servers.extend(ended);
        name_servers.sort_by(|one, other| one.node.cmp(&other.node));
        let node = seen.node(self.node);
        let connections = node.and_then(connections);
        let withheld = self.drains.withheld(self.node, seen);
        let is_open = has_none || is_strange || withheld.is_some();
        let state = if is_open || name_servers.iter().any(|server| !server.applied) {
            State::Applying
        } else if name_servers.iter().any(|server| !server.expired) {
            State::Expiring
        } else {
            let place = (self.node, self.at);
            let has_counted = node.is_none_or(|node| self.settled.note(place, node.revision));
            let is_over = has_counted && (node.is_none() || connections == Some(0));
            if is_over { State::Ended } else { State::Ending }
        };
        if state < State::Ending {
            self.settled.forget(self.node);
        }
        let ttl_s = name_servers.iter().map(|server| server.ttl_s).max().unwrap_or_default();
        Progress { state, name_servers, withheld, ttl_s, connections }
    }
}

impl NameServer {
    /// What counts of it: whether it gives a drain up is known only of one that is heard of.
    fn if_heard(self) -> Self {
        Self { expired: self.expired && self.state == Presence::Here, ..self }
    }

    /// A node, if it is one.
    fn of(
        name: &str,
        sighting: &Sighting,
        (at, own): (Position, &BTreeSet<IpAddr>),
    ) -> Option<Self> {
        let unknown = Self {
            node: name.to_owned(),
            state: sighting.presence,
            applied: false,
            expired: false,
            ttl_s: 0,
            unkept: false,
            given_up: false,
            ended: false,
            contested: false,
            unreadable: None,
        };
        let document = match &sighting.document {
            Ok(document) => document,
            Err(why) => return Some(Self { unreadable: Some(why.clone()), ..unknown }),
        };
        if !document.roles.contains(&Role::Geodns) {
            return None;
        }
        let contested = document.is_contested();
        // Whoever says that it answers by what came later than its saying so speaks of documents that are
        // there no more, and were made anew since.
        let of_these = |said: &&Answers| said.drains.seq < sighting.revision.0;
        let said = document.answers.as_ref().filter(of_these).filter(|_| !contested);
        let applied = said.is_some_and(|said| said.drains.has_reached(at));
        let expired = said.and_then(|said| said.expired).filter(|_| applied);
        let given_up = said.is_some_and(|said| said.given_up.iter().any(|one| own.contains(one)));
        Some(Self {
            applied,
            expired: expired.is_some_and(|expired| expired.has_reached(at)) && !given_up,
            given_up,
            ttl_s: said.map_or(0, |said| said.ttl_s),
            unkept: said.is_some_and(|said| said.unkept),
            contested,
            ..unknown
        })
    }
}

/// What a node has open, if its word counts.
fn connections(sighting: &Sighting) -> Option<u64> {
    let document = sighting.document.as_ref().ok()?;
    let counts = sighting.presence == Presence::Here && !document.is_contested();
    counts.then_some(document.load.connections)
}

/// When the next name server that has ended is waited for no more.
fn cached_until(seen: &Seen, now: Instant) -> Option<Instant> {
    let ended = seen.ended().map(|(_, _, until)| until);
    let ended = ended.chain(seen.last_words().map(|(_, _, until)| until));
    ended.filter(|until| now < *until).min()
}
