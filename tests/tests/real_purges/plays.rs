//! Faults in an order that only one rule survives: each of these is red once that rule is taken out.
//!
//! In: a fleet whose clients never stop asking. Out: what they got.
//! Always holds: an edge that holds a lease has stored every page, and stands still while all of them
//! are purged, which is complete without it; nobody else purges pages, so that nothing covers up what
//! it missed.

use std::sync::atomic::{AtomicU64, Ordering};

use nearcast_tests::real::{Tested, http::Connection, wait_within};
use serde_json::{Value, json};

use super::{
    asked::{self, judge},
    faults::Faults,
    fleet::{LOG_BYTES, Place},
    ordered::{order, purge},
    shop::{HOST, LANGUAGES, PAGES, target},
    watched::{SETTLES, World, watched},
};

/// An edge with a lease, another one, and the one that has none.
const STILL: usize = 0;
const OTHER: usize = 1;
const SERVES_ON: usize = 2;
/// More bulky entries than a server sends to who reads none: 2 MiB.
const UNREAD_MAX: u64 = 30;

fn place(world: &World, edge: usize) -> Tested<&Place> {
    world.places.edges.get(edge).ok_or_else(|| "no such edge".into())
}

/// Every response that there is.
fn all() -> impl Iterator<Item = (usize, &'static str)> {
    (0..PAGES).flat_map(|page| LANGUAGES.map(|language| (page, language)))
}

/// Waits until this counts so many more, or a client has got what it ought not to.
fn more(world: &World, counter: &AtomicU64, count: u64) -> Tested {
    let until = counter.load(Ordering::Relaxed) + count;
    wait_within(SETTLES, "more of it", || {
        let is_over = !world.seen.wrong.lock().is_empty();
        Ok((is_over || counter.load(Ordering::Relaxed) >= until).then_some(()))
    })
}

/// The edge stores every page, and then stands still; where the log ended.
fn stands_still(faults: &mut Faults<'_>, world: &World) -> Tested<u64> {
    let still = place(world, STILL)?;
    for asked in all() {
        let connection = Connection::open(still.edge)?.host(HOST);
        asked::ask(&world.shop, still, connection, asked, &world.seen);
    }
    let (_, last) = wait_within(SETTLES, "the log", || Ok(faults.ends()))?;
    faults.stop(STILL)?;
    Ok(last)
}

/// Every page changes and is purged, which is complete without the edge that stands still.
fn purged_without_it(world: &World) -> Tested {
    let before = world.ordered.lapsed.load(Ordering::Relaxed);
    let pages: Vec<usize> = (0..PAGES).collect();
    let wanted = (&json!("all"), "hard", &*pages);
    wait_within(SETTLES, "a purge that is complete", || {
        let (other, token) = (place(world, OTHER)?, &*world.places.token);
        Ok(purge(&world.shop, other, token, wanted, &world.ordered).then_some(()))
    })?;
    if world.ordered.lapsed.load(Ordering::Relaxed) == before {
        return Err("it was complete with it".into());
    }
    Ok(())
}

/// Adds entries to the log that take nothing, until it is as wanted.
fn filled(
    faults: &Faults<'_>,
    world: &World,
    selectors: &Value,
    is_it: impl Fn(u64, u64) -> bool,
) -> Tested {
    wait_within(SETTLES, "the log is as it should be", || {
        // It may be refused while another log is being made.
        drop(order(place(world, OTHER)?, &world.places.token, selectors, "hard"));
        Ok(faults.ends().filter(|(first, last)| is_it(*first, *last)).map(drop))
    })
}

/// Without the lease it would answer what came while it stood still, before it hears of anything.
#[test]
fn an_edge_that_stood_still_asks_its_origin_first() -> Tested {
    watched(0, |faults, world| {
        let missed = stands_still(faults, world)?;
        // It reads for a while until it comes to the purge that follows.
        filled(faults, world, &bulky(), |_, last| last > missed + 8)?;
        purged_without_it(world)?;
        let still = place(world, STILL)?;
        let mut waiting = Vec::new();
        for (page, language) in all() {
            let least = world.shop.least(page);
            let mut connection = Connection::open(still.edge)?.host(HOST);
            connection.send_head("GET", &target(page), &[("X-Language", language)])?;
            waiting.push((connection, (page, language), least));
        }
        faults.go_on(STILL)?;
        for (mut connection, asked, least) in waiting {
            let response = connection.response("GET")?;
            judge(still, &response, asked, least, &world.seen);
        }
        more(world, &world.seen.hits, 100)
    })
}

/// Without the epoch it would go on in the middle of the other log, which has as many entries.
#[test]
fn an_edge_that_missed_another_log_purges_everything() -> Tested {
    watched(0, |faults, world| {
        let missed = stands_still(faults, world)?;
        faults.log_away(SERVES_ON)?;
        purged_without_it(world)?;
        filled(faults, world, &elsewhere(1, 1), |_, last| last > missed + 2)?;
        faults.go_on(STILL)?;
        more(world, &world.seen.answers, 400)
    })
}

/// Without a look at where the log begins it would go on with what is left of it.
#[test]
fn an_edge_that_missed_more_than_is_kept_purges_everything() -> Tested {
    watched(0, |faults, world| {
        let before = stands_still(faults, world)?;
        // Of so many it is not sent all while it reads none: so the one that follows is not on its way.
        filled(faults, world, &bulky(), |_, last| last > before + UNREAD_MAX)?;
        purged_without_it(world)?;
        let (_, missed) = wait_within(SETTLES, "the log", || Ok(faults.ends()))?;
        filled(faults, world, &bulky(), |first, _| first > missed + 1)?;
        faults.go_on(STILL)?;
        more(world, &world.seen.answers, 400)
    })
}

/// A purge of which some ten are all that the log keeps.
fn bulky() -> Value {
    elsewhere(100, LOG_BYTES / 1000)
}

/// So many URLs of this length that nobody asks for.
fn elsewhere(count: usize, length: usize) -> Value {
    let long = "x".repeat(length);
    let url = |number: usize| json!({ "url": format!("http://{HOST}/{number}/{long}") });
    (0..count).map(url).collect()
}
