//! Each ledger keeps the contract (nearcast_control::ledger).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod contract;

use std::{path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use nearcast_control::{
    embedded::{Embedded, Kept},
    ledger::Ledger,
};
use tempfile::TempDir;

use self::contract::Place;

/// A file in a folder of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ledger.redb")
    }
}

impl Place for Folder {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Ledger>> {
        Box::pin(async { Arc::new(Embedded::open(&self.path(), Kept::default()).unwrap()) as _ })
    }

    fn open_keeping(&self, kept: u64) -> BoxFuture<'_, Arc<dyn Ledger>> {
        let kept = Kept { purges: kept, audit: kept };
        Box::pin(async move { Arc::new(Embedded::open(&self.path(), kept).unwrap()) as _ })
    }
}

/// A test of the contract over the embedded ledger for each of its functions.
macro_rules! keeps {
    ($($rule:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $rule() {
            contract::$rule(&Folder::new()).await;
        }
    )* };
}

keeps!(
    a_write_expects_what_is_there,
    of_racing_writers_one_wins_each_round,
    a_listing_is_what_is_there_under_a_prefix,
    history_is_newest_first_and_bounded,
    a_watch_brings_what_was_and_what_comes_in_order,
    a_watcher_that_was_away_sees_the_newest_of_each,
    a_log_has_one_order_without_gaps,
    a_reader_goes_on_where_it_was_after_a_restart,
    an_entry_of_one_name_is_appended_once,
    a_reader_learns_what_was_trimmed,
    a_shorter_log_is_reached_in_time,
    what_is_too_large_is_refused,
);

#[tokio::test]
async fn a_foreign_epoch_and_a_receding_log_are_noticed() {
    let (one, other) = (Folder::new(), Folder::new());
    contract::a_foreign_epoch_and_a_receding_log_are_noticed(&one, &other).await;
}
