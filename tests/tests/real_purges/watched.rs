//! Everything at once, and what came of it.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
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
/// Operators of each edge where many purges are wanted: one who waits for an edge that stands still keeps
/// no other from purging.
const OPERATORS_EACH: u64 = 4;
/// How long faults go on where nobody says how many purges are wanted.
const SHORT: Duration = Duration::from_secs(9);
/// The same where faults left room for too few until then.
const LONG: Duration = Duration::from_secs(90);
/// Fewer purges that were complete prove nothing.
const COMPLETE_MIN: u64 = 20;
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
        None => {
            let is_tried = ordered.complete.load(Ordering::Relaxed) >= COMPLETE_MIN;
            began.elapsed() >= if is_tried { SHORT } else { LONG }
        }
    };
    is_enough || !seen.wrong.lock().is_empty()
}

/// When all is well again a purge is complete, and every edge has the newest of every page.
fn settled(World { shop, places, seen, ordered }: &World) -> Tested {
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

/// What the fleet is asked, and what came of it so far.
#[derive(Debug)]
pub(super) struct World {
    pub(super) shop: Arc<Shop>,
    pub(super) places: Places,
    pub(super) seen: Seen,
    pub(super) ordered: Ordered,
}

impl World {
    /// Clients of every edge, and so many operators, until this is over.
    fn asks<'s>(
        &'s self,
        scope: &'s thread::Scope<'s, '_>,
        (dice, operators): (&mut Dice, u64),
        ends: &'s AtomicBool,
    ) {
        for place in &self.places.edges {
            for _ in 0..CLIENTS_EACH {
                let dice = Dice::new(dice.roll());
                scope.spawn(move || client(&self.shop, place, dice, &self.seen, ends));
            }
            for _ in 0..operators {
                let (dice, order) = (Dice::new(dice.roll()), (place, &*self.places.token));
                scope.spawn(move || operator(&self.shop, order, dice, &self.ordered, ends));
            }
        }
    }

    /// Nobody has got what they ought not to.
    fn judged(&self) -> Tested {
        let wrong = self.seen.wrong.lock();
        // The first ones say it.
        let first: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
        if first.is_empty() {
            return Ok(());
        }
        Err(format!("{} wrong answers:\n{}", wrong.len(), first.join("\n")).into())
    }

    /// What was never tried proves nothing.
    fn was_tried(&self) -> Tested {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let validated = (count(&self.shop.validated), 5);
        let tried = [
            (count(&self.ordered.complete), COMPLETE_MIN),
            (count(&self.seen.hits), 50),
            validated,
        ];
        if tried.iter().any(|(tried, least)| tried < least) {
            return Err(format!("too little was tried: {tried:?}").into());
        }
        Ok(())
    }
}

/// Does `act` to a fleet that is asked all the while, and judges what it answered; the dice say who
/// asks for what, and go to `act` then. Of each edge so many operators order purges; without any nobody
/// purges but `act`.
pub(super) fn watched(
    operators: u64,
    act: impl FnOnce(&mut Faults<'_>, &World) -> Tested,
) -> Tested {
    let seed = said("PURGES_SEED")?.unwrap_or_else(rand::random);
    let mut dice = Dice::new(seed);
    let shop = Arc::<Shop>::default();
    let answering = Arc::clone(&shop);
    let origin = Origin::start_reading(move |head, stream| answering.answer(head, stream))?;
    let mut fleet = Fleet::start(origin.address)?;
    let places = fleet.places()?;
    let world = World { shop, places, seen: Seen::default(), ordered: Ordered::default() };
    let mut faults = Faults::new(&mut fleet, Dice::new(dice.roll()));
    let ends = AtomicBool::default();
    let acted = thread::scope(|scope| {
        let _ending = Raised(&ends);
        world.asks(scope, (&mut dice, operators), &ends);
        act(&mut faults, &world)
    });
    let happened = faults.done.join("\n");
    // What a client has got says more than that something was waited for in vain.
    let wrong = world.seen.wrong.lock().len();
    let rest = || acted.and_then(|()| fleet.is_well()).and_then(|()| settled(&world));
    let came = if wrong > 0 { Ok(()) } else { rest() }.and_then(|()| world.judged());
    let ordered = &world.ordered;
    came.map_err(|error| {
        format!("PURGES_SEED={seed}: {error}\n{ordered:?}, after\n{happened}").into()
    })
}

#[test]
fn nobody_gets_what_a_complete_purge_has_taken() -> Tested {
    let wanted = said("PURGES")?;
    watched(wanted.map_or(1, |_many| OPERATORS_EACH), |faults, world| {
        let began = Instant::now();
        let mut minutes = 0;
        faults.run(|| {
            if began.elapsed().as_secs() / 60 > minutes {
                minutes += 1;
                println!("after {minutes} min: {:?}", world.ordered);
            }
            is_over(wanted, began, &world.ordered, &world.seen)
        })?;
        let (done, took) = (faults.done.len(), began.elapsed());
        println!(
            "{:?}, {:?}, {done} faults and ends of them in {took:?}",
            world.ordered, world.seen
        );
        // Who has seen what is wrong has seen enough.
        world.judged().and_then(|()| world.was_tried())
    })
}
