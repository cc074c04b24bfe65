//! A node's place in the ledger, which two processes may take for theirs.
//!
//! In: what was found there, what was written there. Out: what the next write is to expect there; the
//! processes that go by the same name as well.
//! Always: nothing is overwritten that was not looked at; who is found there and did not have this
//! node's folder before is a rival, and stays one until it has certainly no lease any more, takes
//! itself off, or an operator removes the node; one without a lease is taken to have ended if it is not
//! heard for two heartbeats, but for ever lives once it was heard. Who loses its place takes it back,
//! but no more often than twice in a heartbeat. What a name server last said that ended there is said on,
//! as long as what it answered may be cached.
//! It does not know what is said there, nor who is told.
//! Clause: docs/operate.md *The nodes*.

use std::time::Duration;

use tokio::time::Instant;

use super::{Answers, Incarnation, NodeDocument, Word, document::Rival, lease::lapse_after};
use crate::{
    documents,
    ledger::{Document, Expect, Revision},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Seat {
    own: Incarnation,
    /// Who had the folder before: it has ended.
    former: Option<String>,
    heartbeat: Duration,
    /// What was written there last by this process.
    last: Revision,
    /// Whether it is still there, as far as is known.
    is_held: bool,
    /// When it was taken from a rival last.
    taken: Option<Instant>,
    rivals: Vec<Known>,
    /// What name servers last said that ended here, with until when that counts.
    last_words: Vec<(Option<Answers>, Instant)>,
}

#[derive(Debug)]
struct Known {
    rival: Rival,
    /// What it wrote last, if that was seen.
    revision: Revision,
    /// From when on it is held to have ended; never, without it.
    gone_at: Option<Instant>,
}

/// What there is to do about a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It may be written, if it is as expected.
    Write(Expect),
    /// Nobody is there any more, though this process was: it was removed, or the ledger is another.
    Anew(Expect),
    /// A rival has it, from whom it was taken a moment ago.
    Later(Revision),
}

impl Seat {
    pub(super) fn new(own: Incarnation, former: Option<String>, heartbeat: Duration) -> Self {
        let last = Revision::NONE;
        let (rivals, last_words) = (Vec::new(), Vec::new());
        Self { own, former, heartbeat, last, is_held: false, taken: None, rivals, last_words }
    }

    /// What is expected there without looking.
    pub(super) fn held(&self) -> Option<Expect> {
        self.is_held.then_some(Expect::At(self.last))
    }

    /// It was written.
    pub(super) fn hold(&mut self, revision: Revision) {
        (self.last, self.is_held) = (revision, true);
    }

    /// It was not as expected.
    pub(super) fn lose(&mut self) {
        self.is_held = false;
    }

    /// What follows from what was found there.
    pub(super) fn find(&mut self, found: Option<&Document>, now: Instant) -> Look {
        let was_held = self.last != Revision::NONE;
        let Some(found) = found else {
            self.rivals.clear();
            self.last = Revision::NONE;
            let absent = Expect::Absent;
            return if was_held { Look::Anew(absent) } else { Look::Write(absent) };
        };
        let at = Expect::At(found.revision);
        let expected = Look::Write(at);
        // One that cannot be read is a newer version's.
        let document: NodeDocument = documents::decode(&found.value).unwrap_or_default();
        self.keep_words(&document, now);
        if document.ended_cached_ms.is_some() {
            // Whoever was there has ended, and took itself off.
            self.rivals.clear();
            return if was_held { Look::Anew(at) } else { expected };
        }
        if document.incarnation == self.own.as_str() {
            let is_there =
                |rival: &Rival| document.rivals.iter().any(|there| is_same(rival, there));
            self.rivals.retain(|known| is_there(&known.rival));
            self.inherit(document.rivals, now);
            return expected;
        }
        if !was_held && self.former.as_ref() == Some(&document.incarnation) {
            self.inherit(document.rivals, now);
            return expected;
        }
        let NodeDocument { incarnation, lease_ms, rivals, .. } = document;
        let before = self.rivals.iter().find(|known| known.rival.incarnation == incarnation);
        // It has written since this process did, or since it was seen.
        let lives = (was_held && found.revision > self.last)
            || before.is_some_and(|known| known.rival.lives || found.revision > known.revision);
        self.note(Rival { incarnation, lease_ms, lives }, found.revision, now);
        self.inherit(rivals, now);
        let is_soon = self.taken.is_some_and(|taken| now < taken + self.heartbeat / 2);
        if lives && is_soon {
            return Look::Later(found.revision);
        }
        self.taken = Some(now);
        expected
    }

    /// Takes over what was last said here, which would be lost with what is found.
    fn keep_words(&mut self, found: &NodeDocument, now: Instant) {
        let ended = found.ended_cached_ms;
        let last = ended.map(|cached_ms| Word { answers: found.answers.clone(), cached_ms });
        for word in last.iter().chain(&found.last_words) {
            let until = now + word.cached_for();
            match self.last_words.iter_mut().find(|(known, _)| *known == word.answers) {
                Some((_, known)) => *known = until.max(*known),
                None => self.last_words.push((word.answers.clone(), until)),
            }
        }
    }

    /// What name servers last said that ended here, as far as it counts still.
    pub(super) fn last_words(&mut self, now: Instant) -> Vec<Word> {
        self.last_words.retain(|(_, until)| now < *until);
        let word = |(answers, until): &(Option<Answers>, Instant)| {
            let left = until.saturating_duration_since(now).as_millis();
            Word {
                answers: answers.clone(),
                cached_ms: u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1),
            }
        };
        self.last_words.iter().map(word).collect()
    }

    /// Takes over whom another knows.
    fn inherit(&mut self, rivals: Vec<Rival>, now: Instant) {
        for rival in rivals {
            let is_known = self.rivals.iter().any(|known| is_same(&known.rival, &rival));
            if !is_known && rival.incarnation != self.own.as_str() {
                self.note(rival, Revision::NONE, now);
            }
        }
    }

    fn note(&mut self, rival: Rival, revision: Revision, now: Instant) {
        self.rivals.retain(|known| !is_same(&known.rival, &rival));
        let gone_after = match rival.lease_ms.map(Duration::from_millis) {
            Some(lease) => Some(lapse_after(lease)),
            None if rival.lives => None,
            None => Some(self.heartbeat * 2),
        };
        let gone_at = gone_after.map(|after| now + after);
        self.rivals.push(Known { rival, revision, gone_at });
    }

    /// Who goes by the same name, and is not known to have ended.
    pub(super) fn rivals(&mut self, now: Instant) -> Vec<Rival> {
        self.rivals.retain(|known| known.gone_at.is_none_or(|gone_at| now < gone_at));
        self.rivals.iter().map(|known| known.rival.clone()).collect()
    }

    /// When the next of them is held to have ended.
    pub(super) fn next_gone(&self) -> Option<Instant> {
        self.rivals.iter().filter_map(|known| known.gone_at).min()
    }
}

fn is_same(one: &Rival, other: &Rival) -> bool {
    one.incarnation == other.incarnation
}
