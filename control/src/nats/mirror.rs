//! The documents in memory, as the stream had them at one revision.
//!
//! In: what the stream had and gets, in order. Out: documents, listings, changes after a revision.
//! Always: all of it up to its revision is in it and nothing later; of each key the newest version is
//! there, of lately written ones versions before it too; a watcher that may have missed something is
//! told so. It does not know how it is filled, nor who waits.

use std::collections::{BTreeMap, VecDeque};

use crate::ledger::{Change, Document, Epoch, GONE_MAX, Key, Listing, Lost, Revision};

/// Changes that are kept beside the newest of each key, for watchers that are a little behind.
const RECENT_MAX: usize = 1024;
/// What these may take.
const RECENT_BYTES_MAX: usize = 16 << 20;
/// Changes that a watcher takes at once.
const BATCH: usize = 256;
/// So many more keys than [`GONE_MAX`] that were taken away are remembered before any is forgotten:
/// it is not worth it for one.
pub(super) const GONE_SLACK: usize = 64;

/// What the stream says at one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A document was written or taken away.
    Change(Change),
    /// What was taken away up to this revision is forgotten.
    Forgotten { up_to: u64, at: u64 },
    /// Nothing about documents; all up to this number was looked at.
    Nothing(u64),
}

/// The newest of everything, as it is read at once.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) epoch: Epoch,
    pub(super) newest: BTreeMap<Key, Change>,
    pub(super) forgotten: Forgotten,
    pub(super) revision: u64,
}

/// Up to where what was taken away is forgotten, and where that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) up_to: u64,
    pub(super) at: u64,
}

/// How far a mirror has come, for those who wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) revision: u64,
    /// Another one once something may have been missed.
    pub(super) generation: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    epoch: Option<Epoch>,
    newest: BTreeMap<Key, Change>,
    recent: VecDeque<Change>,
    recent_bytes: usize,
    /// All changes after this are in `recent`.
    recent_after: u64,
    forgotten: Forgotten,
    /// Who knows less than this may have missed something when all was read anew.
    renewed: u64,
    head: Head,
}

/// What a watcher is to take next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) changes: Vec<Change>,
    /// Up to where it has looked with them.
    pub(super) looked: u64,
}

impl Mirror {
    pub(super) fn head(&self) -> Head {
        self.head
    }

    pub(super) fn forgotten(&self) -> Forgotten {
        self.forgotten
    }

    /// A key's newest version, if it is remembered.
    pub(super) fn newest(&self, key: &Key) -> Option<&Change> {
        self.newest.get(key)
    }

    pub(super) fn document(&self, key: &Key) -> Option<Document> {
        self.newest(key).and_then(document)
    }

    /// What is there under a prefix.
    pub(super) fn listing(&self, prefix: &str) -> Listing {
        let all = self.newest.iter().filter(|(key, _)| key.as_str().starts_with(prefix));
        let documents = all.filter_map(|(_, change)| document(change)).collect();
        Listing { documents, revision: Revision(self.head.revision) }
    }

    /// The changes after `looked` under a prefix, at most a batch; `began` is as far as the watcher
    /// never asked.
    pub(super) fn next(&self, prefix: &str, looked: u64, began: u64) -> Result<Next, Lost> {
        let forgotten = self.forgotten.up_to.max(self.renewed);
        if forgotten > looked.max(began) {
            let (asked, forgotten) = (Revision(looked), Revision(forgotten));
            return Err(Lost::Forgotten { asked, forgotten });
        }
        let is_asked = |change: &&Change| change.key.as_str().starts_with(prefix);
        if looked >= self.recent_after {
            let begin = self.recent.partition_point(|change| change.revision.0 <= looked);
            let batch: Vec<&Change> = self.recent.iter().skip(begin).take(BATCH).collect();
            let is_all = begin + batch.len() == self.recent.len();
            let last = batch.last().map_or(looked, |change| change.revision.0);
            let looked = if is_all { self.head.revision } else { last };
            let changes = batch.into_iter().filter(is_asked).cloned().collect();
            return Ok(Next { changes, looked });
        }
        let after = self.newest.values().filter(|change| change.revision.0 > looked);
        let mut changes: Vec<Change> = after.filter(is_asked).cloned().collect();
        changes.sort_unstable_by_key(|change| change.revision);
        Ok(Next { changes, looked: self.head.revision })
    }

    /// Takes what the stream got.
    pub(super) fn take(&mut self, said: Said) {
        let revision = match said {
            Said::Nothing(looked) => looked,
            Said::Forgotten { up_to, at } => {
                self.forgotten.up_to = self.forgotten.up_to.max(up_to);
                self.forgotten.at = at;
                at
            }
            Said::Change(change) => {
                let revision = change.revision.0;
                // The server may repeat the last one that it began with.
                if revision > self.head.revision {
                    self.remember(change);
                }
                revision
            }
        };
        self.head.revision = self.head.revision.max(revision);
    }

    fn remember(&mut self, change: Change) {
        self.recent_bytes += size(&change);
        self.newest.insert(change.key.clone(), change.clone());
        self.recent.push_back(change);
        while self.recent.len() > RECENT_MAX || self.recent_bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.recent.pop_front() else { return };
            self.recent_bytes -= size(&oldest);
            self.recent_after = oldest.revision.0;
        }
    }

    /// Takes everything anew; says whether that was what it should have known already, or came after
    /// it. Else something was missed, and every watcher is told.
    pub(super) fn fill(&mut self, filled: Filled) -> bool {
        let is_first = self.epoch.is_none();
        if !is_first && self.continues(&filled) {
            let mut later: Vec<Change> = filled
                .newest
                .values()
                .filter(|change| change.revision.0 > self.head.revision)
                .cloned()
                .collect();
            later.sort_unstable_by_key(|change| change.revision);
            // Versions between may be missing.
            if !later.is_empty() {
                self.recent.clear();
                self.recent_bytes = 0;
                self.recent_after = filled.revision;
            }
            self.newest = filled.newest;
            self.forgotten = filled.forgotten;
            self.head.revision = filled.revision;
            return true;
        }
        self.recent.clear();
        self.recent_bytes = 0;
        self.recent_after = filled.revision;
        self.epoch = Some(filled.epoch);
        self.newest = filled.newest;
        self.forgotten = filled.forgotten;
        self.head.revision = filled.revision;
        if !is_first {
            self.head.generation += 1;
            // Who lists now and watches from there misses nothing; who listed before might.
            self.renewed = filled.revision.saturating_sub(1);
        }
        is_first
    }

    /// Whether what the stream has follows from what is known.
    fn continues(&self, filled: &Filled) -> bool {
        let known = self.head.revision;
        if self.epoch != Some(filled.epoch) || filled.revision < known {
            return false;
        }
        // What was taken away may be forgotten, here or there, but nothing else goes by itself.
        let may_be_gone =
            |change: &Change| change.value.is_none() && change.revision.0 <= filled.forgotten.up_to;
        let is_known = |change: &Change| {
            change.revision.0 > known
                || self.newest.get(&change.key) == Some(change)
                || may_be_gone(change)
        };
        let is_there =
            |change: &Change| filled.newest.contains_key(&change.key) || may_be_gone(change);
        filled.newest.values().all(is_known)
            && self.newest.values().all(is_there)
            && filled.forgotten.up_to <= known
    }

    /// The oldest of those that were taken away, if they are too many to be remembered: as many as
    /// are to be forgotten.
    pub(super) fn too_many_gone(&self) -> Vec<Change> {
        let gone = || self.newest.values().filter(|change| change.value.is_none());
        let remembered = usize::try_from(GONE_MAX).unwrap_or(usize::MAX);
        let count = gone().count();
        if count <= remembered + GONE_SLACK {
            return Vec::new();
        }
        let mut gone: Vec<Change> = gone().cloned().collect();
        gone.sort_unstable_by_key(|change| change.revision);
        gone.truncate(count - remembered);
        gone
    }

    /// Forgets one that was taken away, unless it is back.
    pub(super) fn forget(&mut self, gone: &Change) {
        if self.newest.get(&gone.key) == Some(gone) {
            self.newest.remove(&gone.key);
        }
    }
}

fn document(change: &Change) -> Option<Document> {
    let value = change.value.clone()?;
    Some(Document { key: change.key.clone(), revision: change.revision, value })
}

fn size(change: &Change) -> usize {
    change.key.as_str().len() + change.value.as_ref().map_or(0, |value| value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, revision: u64, value: Option<&'static str>) -> Change {
        let key = Key::parse(key).unwrap();
        Change { key, revision: Revision(revision), value: value.map(Into::into) }
    }

    fn filled(epoch: u64, revision: u64, changes: &[Change]) -> Filled {
        let newest = changes.iter().map(|change| (change.key.clone(), change.clone())).collect();
        Filled { epoch: Epoch(epoch), newest, forgotten: Forgotten::default(), revision }
    }

    /// A mirror that has seen `a` at 1, `b` at 2 and, live, `a` again at 3.
    fn mirror() -> Mirror {
        let mut mirror = Mirror::default();
        assert!(mirror.fill(filled(1, 2, &[change("a", 1, Some("1")), change("b", 2, Some("2"))])));
        mirror.take(Said::Change(change("a", 3, Some("3"))));
        mirror
    }

    fn revisions(next: &Next) -> Vec<u64> {
        next.changes.iter().map(|change| change.revision.0).collect()
    }

    #[test]
    fn a_watcher_gets_what_it_has_not_seen_in_order() {
        let mut mirror = mirror();
        assert_eq!(revisions(&mirror.next("", 0, 0).unwrap()), [2, 3]);
        assert_eq!(revisions(&mirror.next("", 2, 2).unwrap()), [3]);
        assert_eq!(revisions(&mirror.next("b", 0, 0).unwrap()), [2]);
        assert_eq!(mirror.next("b", 2, 2).unwrap().looked, 3);
        mirror.take(Said::Change(change("a", 4, None)));
        assert_eq!(revisions(&mirror.next("", 2, 2).unwrap()), [3, 4]);
        // A repeated one is none.
        mirror.take(Said::Change(change("a", 4, None)));
        assert_eq!(revisions(&mirror.next("", 3, 3).unwrap()), [4]);
    }

    #[test]
    fn who_is_far_behind_gets_the_newest_of_each() {
        let mut mirror = mirror();
        for revision in 4..=3 + 2 * RECENT_MAX as u64 {
            mirror.take(Said::Change(change("a", revision, Some("x"))));
        }
        assert_eq!(mirror.recent.len(), RECENT_MAX);
        let last = 3 + 2 * RECENT_MAX as u64;
        assert_eq!(revisions(&mirror.next("", 1, 1).unwrap()), [2, last]);
        // Who is near gets them one after the other, in batches.
        let next = mirror.next("", last - 300, 0).unwrap();
        assert_eq!((next.changes.len(), next.looked), (BATCH, last - 300 + BATCH as u64));
    }

    #[test]
    fn what_is_read_anew_must_follow_from_what_was_known() {
        let known = [change("a", 3, Some("3")), change("b", 2, Some("2"))];
        let with = |more: &[Change]| [&known[..], more].concat();
        let later = change("c", 5, Some("5"));
        assert!(mirror().fill(filled(1, 5, &with(std::slice::from_ref(&later)))));
        assert!(mirror().fill(filled(1, 5, &[known[0].clone(), change("b", 4, None), later])));
        let rows = [
            ("another stream", filled(2, 3, &known)),
            ("an older copy", filled(1, 2, &known)),
            ("one that was missed", filled(1, 3, &with(&[change("c", 1, Some("1"))]))),
            ("one that went without a word", filled(1, 3, &known[..1])),
            ("another version", filled(1, 3, &[known[0].clone(), change("b", 1, Some("1"))])),
        ];
        for (case, filled) in rows {
            let mut mirror = mirror();
            assert!(!mirror.fill(filled), "{case}");
            assert_eq!(mirror.head().generation, 1, "{case}");
        }
    }

    #[test]
    fn a_watcher_goes_on_over_what_is_read_anew() {
        let mut mirror = mirror();
        let anew = [change("a", 3, Some("3")), change("b", 4, None), change("c", 6, Some("6"))];
        assert!(mirror.fill(filled(1, 7, &anew)));
        assert_eq!(mirror.head(), Head { revision: 7, generation: 0 });
        assert_eq!(revisions(&mirror.next("", 3, 3).unwrap()), [4, 6]);
        mirror.take(Said::Change(change("c", 8, None)));
        assert_eq!(revisions(&mirror.next("", 7, 7).unwrap()), [8]);
        assert_eq!(revisions(&mirror.next("", 3, 3).unwrap()), [4, 8]);
    }

    #[test]
    fn what_is_forgotten_is_told_to_who_may_have_missed_it() {
        let mut mirror = mirror();
        mirror.take(Said::Forgotten { up_to: 2, at: 4 });
        assert!(matches!(mirror.next("", 1, 1), Err(Lost::Forgotten { .. })));
        // Who knew nothing misses nothing.
        assert_eq!(revisions(&mirror.next("", 0, 4).unwrap()), [2, 3]);
        assert_eq!(revisions(&mirror.next("", 2, 2).unwrap()), [3]);
    }

    #[test]
    fn only_the_oldest_that_were_taken_away_give_way() {
        let mut mirror = mirror();
        let mut revision = 3;
        for number in 0..GONE_MAX + GONE_SLACK as u64 {
            revision += 1;
            mirror.take(Said::Change(change(&format!("gone/{number}"), revision, None)));
        }
        assert_eq!(mirror.too_many_gone(), []);
        mirror.take(Said::Change(change("gone/last", revision + 1, None)));
        let gone = mirror.too_many_gone();
        assert_eq!(gone.len(), GONE_SLACK + 1);
        assert_eq!(gone[0].key.as_str(), "gone/0");
        mirror.take(Said::Change(change("gone/1", revision + 2, Some("back"))));
        for gone in &gone {
            mirror.forget(gone);
        }
        assert!(mirror.newest(&Key::parse("gone/0").unwrap()).is_none());
        assert!(mirror.document(&Key::parse("gone/1").unwrap()).is_some());
    }
}
