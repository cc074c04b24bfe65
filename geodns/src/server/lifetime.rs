//! For how long answers with addresses of PoPs may be cached.
//!
//! In: settings, as they come into force. Out: how long an answer of this or of any earlier moment may be
//! somewhere still. Always: it is the largest TTL that was served, as long as an answer with it may be
//! cached. It deliberately does not know which answers were given, nor who caches.
//! Clause: RFC 2181 §8; docs/operate.md *Draining a node*.

use std::time::Duration;

use geodns_core::settings::{GeodnsSettings, RouteSettings};
use tokio::time::Instant;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    /// Of answers now.
    ttl: Duration,
    /// Until when former ones may be cached.
    former: Option<Instant>,
}

impl Lifetime {
    pub(super) fn new(settings: &GeodnsSettings) -> Self {
        Self { ttl: ttl(settings), former: None }
    }

    /// After this one, with settings that are in force from now on.
    pub(super) fn next(self, settings: &GeodnsSettings, now: Instant) -> Self {
        let (until, ttl) = (now + self.ttl, ttl(settings));
        // What may be cached for as long from now on outlives what was.
        let former = if ttl < self.ttl { self.former.max(Some(until)) } else { self.former };
        Self { ttl, former }
    }

    /// For how long an answer that was given before `now` may be cached.
    pub(super) fn left(self, now: Instant) -> Duration {
        let former = self.former.map(|until| until.saturating_duration_since(now));
        self.ttl.max(former.unwrap_or_default())
    }
}

/// The largest that is served with an address of a PoP.
fn ttl(settings: &GeodnsSettings) -> Duration {
    let routes = settings.route.iter().map(|route| route.ttl).max();
    // Without a route there is one by default.
    routes.unwrap_or_else(|| RouteSettings::default().ttl).min(settings.health.ttl_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(routes: &[u64], ttl_max: u64) -> GeodnsSettings {
        let mut settings = GeodnsSettings::default();
        let route = |ttl: &u64| RouteSettings {
            ttl: Duration::from_secs(*ttl),
            ..RouteSettings::default()
        };
        settings.route = routes.iter().map(route).collect();
        settings.health.ttl_max = Duration::from_secs(ttl_max);
        settings
    }

    #[test]
    fn the_largest_ttl_counts_as_long_as_an_answer_with_it_may_be_cached() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let lifetime = Lifetime::new(&settings(&[5, 60], 30));
        assert_eq!(lifetime.left(at(0)).as_secs(), 30);
        let lifetime = lifetime.next(&settings(&[7, 60], 30), at(99));
        assert_eq!(lifetime.left(at(0)).as_secs(), 30, "of an answer then, it is as it was");
        let lifetime = lifetime.next(&settings(&[10], 30), at(100));
        assert_eq!(lifetime.left(at(100)).as_secs(), 30);
        assert_eq!(lifetime.left(at(115)).as_secs(), 15);
        let lifetime = lifetime.next(&settings(&[2], 30), at(116));
        assert_eq!(lifetime.left(at(116)).as_secs(), 14, "of the first");
        assert_eq!(lifetime.left(at(129)).as_secs(), 2);
        assert_eq!(Lifetime::new(&settings(&[], 90)).left(at(0)).as_secs(), 60, "by default");
    }
}
