//! The ledger in NATS keeps the contract (`nearcast_control::ledger`), whatever becomes of servers.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod contract;
mod nats {
    mod access;
    mod cluster;
    mod faults;
    pub(super) mod server;
}

use self::nats::server::Server;

/// A test of the contract over NATS for each of its functions.
macro_rules! keeps {
    ($($rule:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $rule() {
            let server = Server::alone();
            contract::$rule(&server.place("cdn")).await;
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
    let server = Server::alone();
    let (one, other) = (server.place("cdn"), server.place("other"));
    contract::a_foreign_epoch_and_a_receding_log_are_noticed(&one, &other).await;
}
