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
    mod audited;
    mod cluster;
    mod faults;
    mod jwt;
    pub(super) mod server;
    mod together;
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

contract::all_rules!(keeps);

#[tokio::test]
async fn a_foreign_epoch_and_a_receding_log_are_noticed() {
    let server = Server::alone();
    let (one, other) = (server.place("cdn"), server.place("other"));
    contract::a_foreign_epoch_and_a_receding_log_are_noticed(&one, &other).await;
}
