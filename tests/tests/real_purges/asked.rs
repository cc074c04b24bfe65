//! Clients, who judge what they get.
//!
//! In: pages to ask for, the least version of each. Out: how many answers there were, and each one that
//! ought not to have been.
//! Always holds: what may be got is looked up before the request is sent; an edge that is down, or says
//! that it cannot answer, breaks no promise.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use nearcast_tests::{
    real::http::{Connection, Response},
    world::dice::Dice,
};
use parking_lot::Mutex;

use super::{
    fleet::Place,
    shop::{HOST, LANGUAGES, PAGES, Shop, target, version},
    watched::{pick, rest},
};

/// How long a client waits for an answer, or for more of it.
const ANSWERED: Duration = Duration::from_millis(500);

/// What clients have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Answers with content, and those of them that an edge had.
    pub(super) answers: AtomicU64,
    pub(super) hits: AtomicU64,
    /// Answers that broke the promise.
    pub(super) wrong: Mutex<Vec<String>>,
}

/// Asks one edge until it is told to end.
pub(super) fn client(shop: &Shop, place: &Place, mut dice: Dice, seen: &Seen, ends: &AtomicBool) {
    let mut kept = None;
    while !ends.load(Ordering::Acquire) {
        let asked = (pick(&mut dice, PAGES), LANGUAGES[pick(&mut dice, LANGUAGES.len())]);
        if let Some(connection) = kept.take().or_else(|| open(place)) {
            kept = ask(shop, place, connection.host(HOST), asked, seen);
        }
        rest();
    }
}

/// Of an edge that stands still this client asks again and again, so that some request is always young
/// when it goes on.
fn open(place: &Place) -> Option<Connection> {
    let connection = Connection::open(place.edge).ok()?;
    connection.stream().set_read_timeout(Some(ANSWERED)).ok()?;
    Some(connection)
}

/// Asks for one page; the connection, if it can be used again.
pub(super) fn ask(
    shop: &Shop,
    place: &Place,
    mut connection: Connection,
    (page, language): (usize, &str),
    seen: &Seen,
) -> Option<Connection> {
    let least = shop.least(page);
    let response = connection.ask("GET", &target(page), &[("X-Language", language)]).ok()?;
    judge(place, &response, (page, language), least, seen);
    Some(connection).filter(|_| !response.closes())
}

/// Whether this may be, where nothing older than `least` may be got.
pub(super) fn judge(
    place: &Place,
    response: &Response,
    (page, language): (usize, &str),
    least: u64,
    seen: &Seen,
) {
    if response.status >= 500 {
        return;
    }
    let got = version(&response.text(), page, language);
    seen.answers.fetch_add(1, Ordering::Relaxed);
    if response.is_hit() {
        seen.hits.fetch_add(1, Ordering::Relaxed);
    }
    if response.status != 200 || got.is_none_or(|got| got < least) {
        seen.wrong.lock().push(format!(
            "{} answered {} for {language}: {}, version {got:?}, where {least} was purged complete; {}",
            place.name,
            target(page),
            response.status,
            response.field("cache-status").unwrap_or_default()
        ));
    }
}
