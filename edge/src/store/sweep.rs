//! The sweeper: gives back the memory of what is dead in the store.
//!
//! In: the room of an edge. Out: a task that ends with it.
//! Always holds: it looks only after something was purged, takes a few entries at a time and lets
//! others have the thread between, and rests nine times as long as it has worked. What it has not
//! come to is dead all the same. When it is through, whatever was dead when it began has left the
//! store: what is stored meanwhile is looked at by who stores it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::fetch::room::FillRoom;

/// How often the sweeper looks whether there is something to do.
const TICK: Duration = Duration::from_secs(1);
/// Entries that it looks at in one go.
const STEP: usize = 128;
/// Times its own work that it rests.
const REST: u32 = 9;

/// Sweeps until the room is gone.
pub(crate) async fn run(room: Weak<FillRoom>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = 0;
    loop {
        ticks.tick().await;
        let Some(room) = room.upgrade() else { return };
        if !room.stamps.has_left_since(swept) {
            continue;
        }
        let began = Instant::now();
        swept = sweep(&room).await;
        drop(room);
        sleep_until(Instant::now() + began.elapsed().saturating_mul(REST)).await;
    }
}

/// Sweeps once, and says up to which strike.
pub(crate) async fn sweep(room: &Arc<FillRoom>) -> u64 {
    let newest = room.stamps.newest();
    for (index, (key, variants)) in room.tier.entries().enumerate() {
        for response in &variants.responses {
            if room.stamps.death(key.as_bytes(), response).is_some() {
                room.tier.remove(&key, response);
            }
        }
        if index % STEP == STEP - 1 {
            yield_now().await;
        }
    }
    room.stamps.swept(newest);
    newest
}
