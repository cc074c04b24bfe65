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

#[cfg(test)]
mod tests {
    use std::{
        future::{Future as _, poll_fn},
        pin::pin,
        sync::Arc,
        task::Poll,
    };

    use edge_core::{
        key::CacheKey,
        purge::Name,
        stamps::{Room, Strike},
    };

    use super::*;
    use crate::store::{
        budget::Budget,
        memory::MemoryTier,
        stamps::tests::{SITE, response},
    };

    #[tokio::test]
    async fn it_takes_what_is_dead_and_speaks_for_no_more_than_was_when_it_began() {
        let stamps = Stamps::new(Room { invalidations_max: 8, purges_max: 8 });
        let tier = MemoryTier::new(1 << 20, 8, Budget::new(1 << 20));
        let key = |number: usize| CacheKey::from(format!("http/1/h/{number}").as_bytes());
        for number in 0..3 * STEP {
            tier.insert(&key(number), Arc::new(response(&stamps)));
        }
        stamps.strike(SITE, &[Name::Url(key(0).as_bytes().into())], Strike::Dead);
        let began = stamps.newest();
        let mut sweeping = pin!(sweep(&tier, &stamps));
        let part = poll_fn(|context| Poll::Ready(sweeping.as_mut().poll(context))).await;
        assert!(part.is_pending(), "others have the thread between");
        // Some of it was looked at already, and was alive then.
        stamps.strike(SITE, &[Name::Everything], Strike::Dead);
        assert_eq!(sweeping.await, began);
        assert!(tier.lookup(key(0).as_bytes()).is_none());
        assert!(tier.entries().next().is_some() && stamps.has_left_since(began));
        sweep(&tier, &stamps).await;
        assert!(tier.entries().next().is_none() && !stamps.has_left_since(stamps.newest()));
    }
}
