//! The sweep: what is dead in a tier gives its memory back.
//!
//! In: a tier, and the stamps that say what is dead. Out: up to which strike nothing dead is left.
//! Always holds: it takes a few entries at a time and lets others have the thread between. What it
//! has not come to is dead all the same, and what is stored meanwhile is looked at by who stores it.
//! It deliberately does not know when it is worth while.

use tokio::task::yield_now;

use super::{Tier, stamps::Stamps};

/// Entries that are looked at in one go.
const STEP: usize = 128;

/// Sweeps once.
pub(crate) async fn sweep(tier: &dyn Tier, stamps: &Stamps) -> u64 {
    let newest = stamps.newest();
    for (index, (key, variants)) in tier.entries().enumerate() {
        for response in &variants.responses {
            if stamps.death(key.as_bytes(), response).is_some() {
                tier.remove(&key, response);
            }
        }
        if index % STEP == STEP - 1 {
            yield_now().await;
        }
    }
    stamps.swept(newest);
    newest
}
