//! Everything at once, and what came of it.

use std::{
    env,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use nearcast_tests::{
    real::{Raised, Tested, http::Connection, origin::Origin, wait_within},
    world::dice::Dice,
};
use serde_json::json;
use tokio::time::Instant;

use super::{
    asked::{self, Seen, client},
    faults::Faults,
    fleet::{Fleet, Places},
    ordered::{Ordered, operator, purge},
    shop::{HOST, LANGUAGES, PAGES, Shop},
};

/// Clients of each edge; one who waits for an edge that stands still keeps no other from asking.
const CLIENTS_EACH: u64 = 2;
/// How long faults go on where nobody says how many purges are wanted.
const SHORT: Duration = Duration::from_secs(9);
/// How long a fleet may take until all is well, on a busy machine.
pub(super) const SETTLES: Duration = Duration::from_secs(60);
/// Between two requests of one client: what is proved needs no flood.
const REST: Duration = Duration::from_millis(3);

/// Lets others run.
pub(super) fn rest() {
    thread::park_timeout(REST);
}

/// A number below `count`.
pub(super) fn pick(dice: &mut Dice, count: usize) -> usize {
    let below = dice.below(u64::try_from(count).unwrap_or(1));
    usize::try_from(below).unwrap_or_default()
}

/// A number that the environment says.
fn said(name: &str) -> Tested<Option<u64>> {
    env::var(name).ok().map(|text| Ok(text.parse()?)).transpose()
}

/// Until enough was purged, or anything was wrong.
fn is_over(wanted: Option<u64>, began: Instant, ordered: &Ordered, seen: &Seen) -> bool {
    let is_enough = match wanted {
        Some(wanted) => ordered.complete.load(Ordering::Relaxed) >= wanted,
        None => began.elapsed() >= SHORT,
    };
    is_enough || !seen.wrong.lock().is_empty()
}

/// When all is well again a purge is complete, and every edge has the newest of every page.
fn settled(shop: &Shop, places: &Places, ordered: &Ordered, seen: &Seen) -> Tested {
    let all: Vec<usize> = (0..PAGES).collect();
    let order = (&json!("all"), "hard", &*all);
    wait_within(SETTLES, "a purge that is complete", || {
        Ok(purge(shop, &places.edges[0], &places.token, order, ordered).then_some(()))
    })?;
    for place in &places.edges {
        for page in 0..PAGES {
            let connection = Connection::open(place.edge)?.host(HOST);
            asked::ask(shop, place, connection, (page, LANGUAGES[0]), seen);
        }
    }
    Ok(())
}

#[test]
fn nobody_gets_what_a_complete_purge_has_taken() -> Tested {
    let wanted = said("PURGES")?;
    let seed = said("PURGES_SEED")?.unwrap_or_else(rand::random);
    println!("PURGES_SEED={seed}");
    let mut dice = Dice::new(seed);
    let shop = std::sync::Arc::<Shop>::default();
    let answering = std::sync::Arc::clone(&shop);
    let origin = Origin::start_reading(move |head, stream| answering.answer(head, stream))?;
    let mut fleet = Fleet::start(origin.address)?;
    let places = fleet.places()?;
    let (seen, ordered) = (&Seen::default(), &Ordered::default());
    let ends = &AtomicBool::default();
    let (shop, places) = (&*shop, &places);
    let mut faults = Faults::new(&mut fleet, Dice::new(dice.roll()));
    let done = thread::scope(|scope| {
        let ending = Raised(ends);
        for place in &places.edges {
            for _ in 0..CLIENTS_EACH {
                let dice = Dice::new(dice.roll());
                scope.spawn(move || client(shop, place, dice, seen, ends));
            }
            let (dice, order) = (Dice::new(dice.roll()), (place, &*places.token));
            scope.spawn(move || operator(shop, order, dice, ordered, ends));
        }
        let began = Instant::now();
        let done = faults.run(|| is_over(wanted, began, ordered, seen));
        drop(ending);
        done
    });
    let happened = faults.done.join("\n");
    done.map_err(|error| format!("PURGES_SEED={seed}: {error}\n{happened}"))?;
    let settled = fleet.is_well().and_then(|()| settled(shop, places, ordered, seen));
    let wrong = seen.wrong.lock().join("\n");
    if !wrong.is_empty() {
        return Err(format!("PURGES_SEED={seed}\n{wrong}\nafter\n{happened}").into());
    }
    settled.map_err(|error| format!("PURGES_SEED={seed}: {error}\n{happened}"))?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let validated = count(&shop.validated);
    println!("{happened}\n{ordered:?}\n{seen:?}\n{validated} validations");
    // What was never tried proves nothing.
    let tried = [(count(&ordered.complete), 20), (count(&seen.hits), 50), (validated, 5)];
    if tried.iter().any(|(tried, least)| tried < least) {
        return Err(format!("PURGES_SEED={seed}: too little was tried: {tried:?}").into());
    }
    Ok(())
}
