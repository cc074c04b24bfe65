//! Tells once that a lease has lapsed, and once that it is back.
//!
//! In: until when the lease is good. Out: a word in the log, and a trouble.
//! Always: it is told when it lapses, whatever hangs that renews it. It does not know what renews it.
//! Clause: docs/operate.md *When the ledger is away*.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::troubles::{Own, Trouble};

/// Tells until nobody renews it any more; at first it has not begun.
pub(super) async fn tell(mut good_until: watch::Receiver<Instant>, node: &str, troubles: &Own) {
    const REASON: &str = "its lease on the ledger has lapsed; nothing stored is reused before its \
                          origin was asked, until the ledger is back";
    loop {
        let until = *good_until.borrow_and_update();
        let is_good = Instant::now() < until;
        if is_good && troubles.end(Trouble::Lease) {
            tracing::info!(node, "its lease on the ledger is back");
        } else if !is_good && troubles.begin(Trouble::Lease, REASON) {
            tracing::warn!(node, "{REASON}");
        }
        tokio::select! {
            renewed = good_until.changed() => if renewed.is_err() { return },
            () = sleep_until(until), if is_good => {}
        }
    }
}
