//! The ledger's contract, as tests over any implementation of it.
//!
//! In: a [`Place`], where a ledger can be opened again. Out: a panic where the contract is broken.
//! Always: each function needs a fresh place, and says in its name what it proves.

mod copies;
mod sites;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use nearcast_control::ledger::{
    Change, DOCUMENT_BYTES_MAX, ENTRY_BYTES_MAX, Entry, Expect, Follow, HISTORY_MAX, Key, Ledger,
    LedgerError, Log, Lost, Position, Revision, Watch,
};
use tokio::time::timeout;

/// Gives the rules that need one place to `$keeps`, which makes a test of each: no implementation has
/// a list of its own.
macro_rules! all_rules {
    ($keeps:ident) => {
        $keeps!(
            a_write_expects_what_is_there,
            of_racing_writers_one_wins_each_round,
            a_listing_is_what_is_there_under_a_prefix,
            history_is_newest_first_and_bounded,
            a_watch_brings_what_was_and_what_comes_in_order,
            a_watcher_that_was_away_sees_the_newest_of_each,
            a_log_has_one_order,
            a_reader_goes_on_after_any_entry,
            entries_of_one_writer_keep_their_order,
            a_reader_goes_on_where_it_was_after_a_restart,
            an_entry_of_one_name_is_appended_once,
            a_reader_learns_what_was_trimmed,
            a_shorter_log_is_reached_in_time,
            what_is_too_large_is_refused,
            of_writers_who_want_one_host_one_wins,
            writers_of_other_sites_do_not_lose_each_others,
            a_site_is_written_as_its_writer_expects,
            a_site_that_is_made_again_is_another_one,
            of_a_site_so_many_versions_are_kept,
            a_change_of_one_name_is_made_once,
            a_follower_has_what_the_catalogue_names,
            what_a_newer_version_wrote_leaves_what_is_known,
            changes_that_come_together_are_told_together,
            a_copy_has_what_is_there_and_goes_where_nothing_is,
            a_copy_that_is_forced_in_takes_nothing_from_history,
            a_copy_that_is_wrong_anywhere_is_refused_whole,
            a_copy_takes_drains_along_and_takes_none_back,
            a_token_that_was_revoked_is_never_good_again,
            an_import_of_one_name_is_made_once,
            an_import_keeps_the_bounds_of_what_it_meets,
            an_import_purges_once_what_it_brings_is_in_force,
        );
    };
}
pub(crate) use all_rules;

pub(crate) use self::{copies::*, sites::*};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a ledger is, and stays when it is closed.
pub(crate) trait Place {
    /// Opens it; after the one before was dropped, this is a restart.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Ledger>>;
    /// The same ledger, with only `kept` entries of each log kept from now on.
    fn open_keeping(&self, kept: u64) -> BoxFuture<'_, Arc<dyn Ledger>>;
}

pub(crate) fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn soon<T>(wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait).await.expect("waited for too long")
}

async fn value(ledger: &dyn Ledger, at: &str) -> Option<Bytes> {
    ledger.read(&key(at)).await.unwrap().map(|document| document.value)
}

fn conflict<T: std::fmt::Debug>(result: Result<T, LedgerError>) -> Option<Revision> {
    match result.unwrap_err() {
        LedgerError::Conflict { current, .. } => current,
        other => panic!("not a conflict: {other}"),
    }
}

fn lost<T>(result: Result<T, LedgerError>) -> Lost {
    match result {
        Err(LedgerError::Lost(lost)) => lost,
        Err(other) => panic!("not lost: {other}"),
        Ok(_) => panic!("not lost"),
    }
}

pub(crate) async fn a_write_expects_what_is_there(place: &dyn Place) {
    let ledger = place.open().await;
    let at = key("sites/shop");
    assert_eq!(conflict(ledger.write(&at, bytes("0"), Expect::At(Revision(1))).await), None);
    let first = ledger.write(&at, bytes("1"), Expect::Absent).await.unwrap();
    assert_eq!(conflict(ledger.write(&at, bytes("x"), Expect::Absent).await), Some(first));
    let second = ledger.write(&at, bytes("2"), Expect::At(first)).await.unwrap();
    assert!(second > first);
    assert_eq!(conflict(ledger.write(&at, bytes("x"), Expect::At(first)).await), Some(second));
    assert_eq!(conflict(ledger.delete(&at, first).await), Some(second));
    let document = ledger.read(&at).await.unwrap().unwrap();
    assert_eq!((document.revision, document.value), (second, bytes("2")));
    let third = ledger.write(&at, bytes("3"), Expect::Anything).await.unwrap();
    let gone = ledger.delete(&at, third).await.unwrap();
    assert!(gone > third);
    assert_eq!(ledger.read(&at).await.unwrap(), None);
    assert_eq!(conflict(ledger.write(&at, bytes("x"), Expect::At(gone)).await), None);
    ledger.write(&at, bytes("4"), Expect::Absent).await.unwrap();
    assert_eq!(value(&*ledger, "sites/shop").await, Some(bytes("4")));
}

pub(crate) async fn of_racing_writers_one_wins_each_round(place: &dyn Place) {
    let ledger = place.open().await;
    let at = key("counter");
    let mut revision = ledger.write(&at, bytes("0"), Expect::Absent).await.unwrap();
    for round in 0..10 {
        let (ledger, at) = (&ledger, &at);
        let racers = (0..8).map(|racer| async move {
            ledger.write(at, bytes(&format!("{round}/{racer}")), Expect::At(revision)).await
        });
        let ended = join_all(racers).await;
        let won: Vec<Revision> = ended.iter().flatten().copied().collect();
        assert_eq!(won.len(), 1, "round {round}: {ended:?}");
        let winner = ended.iter().position(Result::is_ok).unwrap();
        revision = won[0];
        assert_eq!(value(&**ledger, "counter").await, Some(bytes(&format!("{round}/{winner}"))));
    }
}

pub(crate) async fn a_listing_is_what_is_there_under_a_prefix(place: &dyn Place) {
    let ledger = place.open().await;
    for name in ["nodes/b", "nodes/a", "nodesy", "pops/a"] {
        ledger.write(&key(name), bytes(name), Expect::Absent).await.unwrap();
    }
    let at = ledger.write(&key("nodes/c"), bytes("c"), Expect::Absent).await.unwrap();
    let last = ledger.delete(&key("nodes/c"), at).await.unwrap();
    let listing = ledger.list("nodes/").await.unwrap();
    let keys: Vec<&str> = listing.documents.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(keys, ["nodes/a", "nodes/b"]);
    assert_eq!(listing.documents[1].value, bytes("nodes/b"));
    assert_eq!(listing.revision, last);
    assert_eq!(ledger.list("").await.unwrap().documents.len(), 4);
    assert!(ledger.list("tokens/").await.unwrap().documents.is_empty());
}

pub(crate) async fn history_is_newest_first_and_bounded(place: &dyn Place) {
    let ledger = place.open().await;
    let at = key("sites/shop");
    ledger.write(&key("sites/shop.b"), bytes("other"), Expect::Absent).await.unwrap();
    for version in 0..HISTORY_MAX + 3 {
        ledger.write(&at, bytes(&version.to_string()), Expect::Anything).await.unwrap();
    }
    let revision = ledger.read(&at).await.unwrap().unwrap().revision;
    let gone = ledger.delete(&at, revision).await.unwrap();
    let history = ledger.history(&at).await.unwrap();
    assert_eq!(history.len(), HISTORY_MAX);
    assert_eq!((history[0].revision, &history[0].value), (gone, &None));
    assert_eq!(history[1].value, Some(bytes(&(HISTORY_MAX + 2).to_string())));
    assert!(history.is_sorted_by(|newer, older| newer.revision > older.revision));
    assert_eq!(ledger.history(&key("sites/shop.b")).await.unwrap().len(), 1);
    assert!(ledger.history(&key("sites/none")).await.unwrap().is_empty());
}

async fn changes(watch: &mut Box<dyn Watch>, count: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    while changes.len() < count {
        changes.push(soon(watch.next()).await.unwrap());
    }
    changes
}

pub(crate) async fn a_watch_brings_what_was_and_what_comes_in_order(place: &dyn Place) {
    let ledger = place.open().await;
    let put = async |name: &str, text: &str| {
        ledger.write(&key(name), bytes(text), Expect::Anything).await.unwrap()
    };
    let first = put("nodes/a", "1").await;
    put("pops/a", "1").await;
    put("nodes/b", "1").await;
    let mut all = ledger.watch("nodes/", Revision::NONE).await.unwrap();
    let mut later = ledger.watch("nodes/", first).await.unwrap();
    let seen = changes(&mut all, 2).await;
    assert_eq!(seen[0].key, key("nodes/a"));
    assert_eq!(seen[1].key, key("nodes/b"));
    assert_eq!(changes(&mut later, 1).await[0], seen[1]);
    // What is there no more than not yet.
    let waiting = timeout(Duration::from_millis(20), all.next()).await;
    waiting.unwrap_err();
    let third = put("nodes/a", "2").await;
    let fourth = ledger.delete(&key("nodes/a"), third).await.unwrap();
    for watch in [&mut all, &mut later] {
        let seen = changes(watch, 2).await;
        assert_eq!((seen[0].revision, &seen[0].value), (third, &Some(bytes("2"))));
        assert_eq!((seen[1].revision, &seen[1].value), (fourth, &None));
    }
}

pub(crate) async fn a_watcher_that_was_away_sees_the_newest_of_each(place: &dyn Place) {
    let (ledger, from) = {
        let ledger = place.open().await;
        let from = ledger.write(&key("nodes/a"), bytes("0"), Expect::Absent).await.unwrap();
        for version in 0..HISTORY_MAX * 2 {
            let version = bytes(&version.to_string());
            ledger.write(&key("nodes/a"), version.clone(), Expect::Anything).await.unwrap();
            ledger.write(&key("nodes/b"), version, Expect::Anything).await.unwrap();
        }
        drop(ledger);
        (place.open().await, from)
    };
    let newest = ledger.list("").await.unwrap();
    let mut watch = ledger.watch("", from).await.unwrap();
    let mut seen: Vec<Change> = Vec::new();
    while seen.last().is_none_or(|change| change.revision < newest.revision) {
        seen.push(soon(watch.next()).await.unwrap());
    }
    assert!(seen.is_sorted_by(|older, newer| older.revision < newer.revision));
    for document in newest.documents {
        let last = seen.iter().rfind(|change| change.key == document.key).unwrap();
        assert_eq!(last.value.as_ref(), Some(&document.value));
    }
}

async fn append(ledger: &dyn Ledger, text: &str) -> Position {
    ledger.append(Log::Purges, bytes(text), None).await.unwrap().position
}

/// How many entries a log has, where each was appended alone.
async fn count(ledger: &dyn Ledger, log: Log) -> u64 {
    let ends = ledger.ends(log).await.unwrap();
    ends.after(ends.before_first).unwrap()
}

async fn entries(follow: &mut Box<dyn Follow>, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        entries.extend(soon(follow.next()).await.unwrap());
    }
    entries
}

pub(crate) async fn a_log_has_one_order(place: &dyn Place) {
    let ledger = place.open().await;
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    assert_eq!(start.seq, 0);
    let mut early = ledger.follow(Log::Purges, start).await.unwrap();
    let texts: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let appends = texts.iter().map(|text| append(&*ledger, text));
    let positions = join_all(appends).await;
    let mut late = ledger.follow(Log::Purges, start).await.unwrap();
    let seen = entries(&mut early, 600).await;
    assert_eq!(entries(&mut late, 600).await, seen);
    assert!(seen.is_sorted_by(|before, after| before.position.seq < after.position.seq));
    assert!(seen.iter().all(|entry| entry.position.epoch == start.epoch));
    for (position, text) in positions.iter().zip(&texts) {
        let entry = seen.iter().find(|entry| entry.position == *position).unwrap();
        assert_eq!(entry.value, bytes(text));
        assert_eq!(ledger.entry(Log::Purges, *position).await.unwrap(), Some(bytes(text)));
    }
    assert!(seen[0].position.seq > start.seq);
    assert_eq!(ledger.ends(Log::Purges).await.unwrap().last, seen[599].position);
    // One log is not another.
    assert_eq!(ledger.ends(Log::Audit).await.unwrap().last.seq, 0);
    let audit = ledger.append(Log::Audit, bytes("who"), None).await.unwrap();
    let ends = ledger.ends(Log::Audit).await.unwrap();
    assert_eq!((audit.position, ends.after(ends.before_first)), (ends.last, Some(1)));
}

/// Wherever that is: between entries that were appended together, too.
pub(crate) async fn a_reader_goes_on_after_any_entry(place: &dyn Place) {
    let ledger = place.open().await;
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let texts: Vec<String> = (0..150).map(|number| number.to_string()).collect();
    for some in texts.chunks(50) {
        join_all(some.iter().map(|text| append(&*ledger, text))).await;
    }
    let ends = ledger.ends(Log::Purges).await.unwrap();
    let mut all = ledger.follow(Log::Purges, start).await.unwrap();
    let all = entries(&mut all, 150).await;
    for (number, entry) in all.iter().enumerate() {
        let mut rest = ledger.follow(Log::Purges, entry.position).await.unwrap();
        let (after, rest) = (&all[number + 1..], entries(&mut rest, 149 - number).await);
        assert_eq!(rest, after, "after {}", entry.position);
        // What is told of a distance is never more than there is, and nothing only at the end.
        let told = usize::try_from(ends.after(entry.position).unwrap()).unwrap();
        assert!(told <= after.len() && (told == 0) == after.is_empty(), "{told}");
        let back = ends.back(ends.last.seq, after.len() as u64);
        assert!(back <= entry.position.seq, "{back} is not so far back as {}", entry.position);
    }
}

/// Each of one writer's that waits for one before it writes the next.
pub(crate) async fn entries_of_one_writer_keep_their_order(place: &dyn Place) {
    let ledger = place.open().await;
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let write = async |writer: usize| {
        let mut before = start;
        for number in 0..10 {
            let position = append(&*ledger, &format!("{writer} {number}")).await;
            assert!(position.seq > before.seq);
            before = position;
        }
    };
    join_all((0..20).map(write)).await;
    let mut follow = ledger.follow(Log::Purges, start).await.unwrap();
    let mut seen = [0; 20];
    for entry in entries(&mut follow, 200).await {
        let text = String::from_utf8(entry.value.to_vec()).unwrap();
        let (writer, number) = text.split_once(' ').unwrap();
        let next = &mut seen[writer.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*next), "of {writer}");
        *next += 1;
    }
}

pub(crate) async fn a_reader_goes_on_where_it_was_after_a_restart(place: &dyn Place) {
    let ledger = place.open().await;
    let before = append(&*ledger, "1").await;
    append(&*ledger, "2").await;
    drop(ledger);
    let ledger = place.open().await;
    append(&*ledger, "3").await;
    let mut follow = ledger.follow(Log::Purges, before).await.unwrap();
    let texts: Vec<Bytes> =
        entries(&mut follow, 2).await.into_iter().map(|entry| entry.value).collect();
    assert_eq!(texts, [bytes("2"), bytes("3")]);
    // A wait that was given up loses nothing.
    timeout(Duration::from_millis(20), follow.next()).await.unwrap_err();
    append(&*ledger, "4").await;
    assert_eq!(entries(&mut follow, 1).await[0].value, bytes("4"));
}

pub(crate) async fn an_entry_of_one_name_is_appended_once(place: &dyn Place) {
    let ledger = place.open().await;
    let once = async |ledger: &dyn Ledger, text: &str, name: &str| {
        ledger.append(Log::Purges, bytes(text), Some(name)).await.unwrap()
    };
    let first = once(&*ledger, "1", "a").await;
    assert!(!first.repeated);
    let again = once(&*ledger, "2", "a").await;
    assert_eq!((again.position, again.repeated), (first.position, true));
    assert!(!once(&*ledger, "3", "b").await.repeated);
    // Each log has its own names.
    assert!(!ledger.note(Log::Audit, bytes("4"), Some("a")).await.unwrap());
    assert!(ledger.append(Log::Audit, bytes("4"), Some("a")).await.unwrap().repeated);
    assert!(ledger.note(Log::Audit, bytes("4"), Some("a")).await.unwrap());
    assert!(!ledger.note(Log::Audit, bytes("5"), None).await.unwrap());
    assert_eq!(count(&*ledger, Log::Audit).await, 2);
    drop(ledger);
    let ledger = place.open().await;
    assert_eq!(once(&*ledger, "5", "a").await.position, first.position);
    let racing = join_all((0..8).map(|_| once(&*ledger, "6", "c"))).await;
    assert_eq!(racing.iter().filter(|appended| !appended.repeated).count(), 1);
    assert_eq!(count(&*ledger, Log::Purges).await, 3);
    let entry = ledger.entry(Log::Purges, first.position).await.unwrap();
    assert_eq!(entry, Some(bytes("1")));
}

pub(crate) async fn a_reader_learns_what_was_trimmed(place: &dyn Place) {
    let ledger = place.open_keeping(5).await;
    let start = ledger.ends(Log::Purges).await.unwrap().last;
    let mut slow = ledger.follow(Log::Purges, start).await.unwrap();
    let mut positions = vec![start];
    for number in 0..12 {
        let name = number.to_string();
        let appended = ledger.append(Log::Purges, bytes(&name), Some(&name)).await.unwrap();
        positions.push(appended.position);
    }
    let ends = ledger.ends(Log::Purges).await.unwrap();
    assert_eq!((ends.before_first, ends.last), (positions[7], positions[12]));
    // It followed before anything was trimmed, and learns it nevertheless.
    assert!(matches!(lost(soon(slow.next()).await), Lost::Trimmed { .. }));
    assert!(matches!(
        lost(ledger.follow(Log::Purges, positions[6]).await.map(drop)),
        Lost::Trimmed { .. }
    ));
    let mut follow = ledger.follow(Log::Purges, positions[7]).await.unwrap();
    assert_eq!(entries(&mut follow, 5).await[0].value, bytes("7"));
    assert_eq!(ledger.entry(Log::Purges, positions[7]).await.unwrap(), None);
    // With the entry its name is forgotten.
    assert!(!ledger.append(Log::Purges, bytes("again"), Some("0")).await.unwrap().repeated);
    assert!(ledger.append(Log::Purges, bytes("again"), Some("11")).await.unwrap().repeated);
}

pub(crate) async fn a_shorter_log_is_reached_in_time(place: &dyn Place) {
    let ledger = place.open_keeping(1000).await;
    join_all((0..400).map(|_| append(&*ledger, "x"))).await;
    drop(ledger);
    let ledger = place.open_keeping(2).await;
    let mut positions = Vec::new();
    for _ in 0..20 {
        positions.push(append(&*ledger, "y").await);
    }
    let ends = ledger.ends(Log::Purges).await.unwrap();
    assert_eq!((ends.before_first, ends.last), (positions[17], positions[19]));
}

pub(crate) async fn a_foreign_epoch_and_a_receding_log_are_noticed(
    place: &dyn Place,
    another: &dyn Place,
) {
    let ledger = place.open().await;
    let position = append(&*ledger, "1").await;
    let ahead = Position { seq: position.seq + 1, ..position };
    let receded = lost(ledger.follow(Log::Purges, ahead).await.map(drop));
    assert!(matches!(receded, Lost::Receded { .. }));
    let other = another.open().await;
    append(&*other, "1").await;
    let foreign = lost(other.follow(Log::Purges, position).await.map(drop));
    assert!(matches!(foreign, Lost::Foreign { .. }));
    assert_eq!(other.entry(Log::Purges, position).await.unwrap(), None);
}

pub(crate) async fn what_is_too_large_is_refused(place: &dyn Place) {
    let ledger = place.open().await;
    let large = |max: usize| Bytes::from(vec![b'x'; max + 1]);
    let document = ledger.write(&key("a"), large(DOCUMENT_BYTES_MAX), Expect::Anything).await;
    assert!(matches!(document, Err(LedgerError::TooLarge { .. })));
    let entry = ledger.append(Log::Purges, large(ENTRY_BYTES_MAX), None).await;
    assert!(matches!(entry, Err(LedgerError::TooLarge { .. })));
    assert_eq!(ledger.ends(Log::Purges).await.unwrap().last.seq, 0);
    assert_eq!(ledger.list("").await.unwrap().revision, Revision::NONE);
    let largest = Bytes::from(vec![b'x'; DOCUMENT_BYTES_MAX]);
    ledger.write(&key("a"), largest.clone(), Expect::Absent).await.unwrap();
    assert_eq!(value(&*ledger, "a").await, Some(largest));
}
