//! Faults in an order that only one rule survives: each of these is red once that rule is taken out.
//!
//! In: a fleet that is asked all the while. Out: what was seen.
//! Always holds: an edge that holds a lease stands still; what is purged meanwhile is complete without
//! it, and it misses that.

use std::sync::atomic::{AtomicU64, Ordering};

use nearcast_tests::real::{Tested, wait_within};
use serde_json::{Value, json};

use super::{
    faults::Faults,
    fleet::LOG_BYTES,
    ordered::order,
    shop::HOST,
    watched::{SETTLES, World, watched},
};

/// An edge with a lease, another one, and the one that has none.
const STILL: usize = 0;
const OTHER: usize = 1;
const SERVES_ON: usize = 2;
/// How often each of them is done.
const TIMES: u32 = 1;

/// Waits until this counts so many more, or a client has got what it ought not to.
fn more(world: &World, counter: &AtomicU64, count: u64) -> Tested {
    let until = counter.load(Ordering::Relaxed) + count;
    wait_within(SETTLES, "more of it", || {
        let is_over = !world.seen.wrong.lock().is_empty();
        Ok((is_over || counter.load(Ordering::Relaxed) >= until).then_some(()))
    })
}

/// Stops the edge once it has stored something, and waits for purges that are complete without it.
fn misses(faults: &mut Faults<'_>, world: &World) -> Tested {
    more(world, &world.seen.hits, 200)?;
    faults.stop(STILL)?;
    more(world, &world.ordered.lapsed, 5)
}

/// Lets it go on, and clients ask it.
fn goes_on(faults: &mut Faults<'_>, world: &World) -> Tested {
    faults.go_on(STILL)?;
    more(world, &world.seen.answers, 400)
}

/// Without the lease it would answer what came while it stood still, before it hears of anything.
#[test]
fn an_edge_that_stood_still_asks_its_origin_first() -> Tested {
    watched(|faults, world| {
        for _ in 0..TIMES {
            misses(faults, world)?;
            goes_on(faults, world)?;
        }
        Ok(())
    })
}

/// Without the epoch it would go on in the middle of the other log, which has as many entries.
#[test]
fn an_edge_that_missed_another_log_purges_everything() -> Tested {
    watched(|faults, world| {
        for _ in 0..TIMES {
            faults.log_away(SERVES_ON)?;
            misses(faults, world)?;
            let (_, missed) = wait_within(SETTLES, "the log", || Ok(faults.ends()))?;
            faults.log_away(SERVES_ON)?;
            wait_within(SETTLES, "another log that is longer", || {
                Ok(faults.ends().filter(|(_, last)| *last > missed + 1).map(drop))
            })?;
            more(world, &world.ordered.lapsed, 2)?;
            goes_on(faults, world)?;
        }
        Ok(())
    })
}

/// Without a look at where the log begins it would go on with what is left of it.
#[test]
fn an_edge_that_missed_more_than_is_kept_purges_everything() -> Tested {
    watched(|faults, world| {
        for _ in 0..TIMES {
            misses(faults, world)?;
            let (_, missed) = wait_within(SETTLES, "the log", || Ok(faults.ends()))?;
            let place = world.places.edges.get(OTHER).ok_or("no other edge")?;
            wait_within(SETTLES, "a log that begins later", || {
                order(place, &world.places.token, &bulky(), "hard")?;
                Ok(faults.ends().filter(|(first, _)| *first > missed + 1).map(drop))
            })?;
            goes_on(faults, world)?;
        }
        Ok(())
    })
}

/// What takes a good part of the log, and nothing that anybody asks for.
fn bulky() -> Value {
    let long = "x".repeat(LOG_BYTES / 1000);
    let url = |number: u32| json!({ "url": format!("http://{HOST}/{number}/{long}") });
    (0..100).map(url).collect()
}
