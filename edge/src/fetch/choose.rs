//! Which server gets a request: what is known of each, put before the law of choosing.
//!
//! In: a request, the servers that it has been tried at. Out: the next, or why there is none.
//! Always holds: who fails is left out before the next choice; nothing here waits.
//! It knows no law: [`edge_core::balance`] and [`edge_core::ejection`] decide.

use std::{sync::Arc, time::Duration};

use edge_core::{
    balance::{
        self, Ask, NoServer, Purpose, ServerView,
        roles::{Succession, Takeover},
        turns::Turns,
    },
    ejection,
    settings::RoleWord,
    site::{OriginPlan, ServerPlan},
};
use http::Method;

use super::{FetchError, pool::Pool, server::Server};

/// A request, as far as choosing looks at it.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    purpose: Purpose,
    key: u64,
}

impl Wish {
    pub(super) fn of(method: &Method, key: u64) -> Self {
        Self { purpose: Purpose::of(method), key }
    }
}

impl Pool {
    /// The server whose turn it is.
    pub(super) fn choose(
        &self,
        wish: Wish,
        tried: &[usize],
    ) -> Result<(usize, &Arc<Server>), NoServer> {
        let views = self.views(tried);
        let acting = self.succession(&views);
        let ask = self.ask(wish, acting);
        let index = balance::choose(&self.plan.balance, &mut self.turns.lock(), &views, &ask)?;
        Ok((index, self.servers.get(index).ok_or(NoServer::AllTried)?))
    }

    /// The server for a second try beside the first, which is the last that was tried.
    pub(super) fn beside(&self, wish: Wish, tried: &[usize]) -> Option<(usize, &Arc<Server>)> {
        let views = self.views(tried);
        let ask = self.ask(wish, self.takeover.lock().acting());
        let (balance, first) = (&self.plan.balance, *tried.last()?);
        let index = balance::beside(balance, &mut self.turns.lock(), &views, &ask, first)?;
        Some((index, self.servers.get(index)?))
    }

    /// Whether there is a server that has not had its try; it takes no turn.
    pub(super) fn has_other(&self, wish: Wish, tried: &[usize]) -> bool {
        let views = self.views(tried);
        let acting = self.takeover.lock().acting();
        let mut turns = Turns::of(views.len());
        let ask = self.ask(wish, acting);
        balance::choose(&self.plan.balance, &mut turns, &views, &ask).is_ok()
    }

    fn ask(&self, wish: Wish, acting: Option<usize>) -> Ask {
        Ask { purpose: wish.purpose, key: wish.key, draw: rand::random(), acting }
    }

    /// Leaves out who is to be, and sees how all stand.
    pub(super) fn judge(&self) {
        // What is seen holds until it is acted on: two at once would leave out one server twice, or more
        // of them than may be.
        let _judging = self.judging.lock();
        let plan = &self.plan.ejection;
        let mut shown: Vec<_> = self.servers.iter().map(|server| server.shown(plan)).collect();
        if shown.iter().any(|server| server.has_answered) {
            let is_over = ejection::is_over(&shown);
            self.servers.iter().for_each(|server| server.take_answered(is_over));
            shown = self.servers.iter().map(|server| server.shown(plan)).collect();
        }
        for (index, reason) in ejection::judge(plan, &shown) {
            if let Some(server) = self.servers.get(index) {
                server.eject(plan, reason);
            }
        }
        self.servers.iter().for_each(|server| server.look());
    }

    fn views(&self, tried: &[usize]) -> Vec<ServerView> {
        self.judge();
        let view = |(index, server): (usize, &Arc<Server>)| {
            let ((is_up, on_trial), ramp, (first_byte, faults)) = server.glance(|state, now| {
                let pace = (state.latency.micros(now), state.faults.share(now));
                let is_up = (state.is_up(), state.record.is_on_trial(now));
                (is_up, state.ramp(self.plan.slow_start, now), pace)
            });
            let in_flight = server.in_flight();
            let waits = (server.is_free(), server.waiting());
            let max = self.plan.connections_max;
            let (is_free, waiting) = balance::queue(waits, ramp, in_flight, max);
            ServerView {
                key: server.plan.key,
                weight: server.plan.weight,
                role: server.plan.role,
                group: server.plan.group,
                is_up,
                is_on_trial: on_trial && in_flight > 0,
                ramp,
                in_flight,
                waiting,
                is_free,
                first_byte,
                faults,
                tried: tried.contains(&index),
            }
        };
        self.servers.iter().enumerate().map(view).collect()
    }

    /// The standby of this pool that stands in for the primaries, by its place among `servers`: the one
    /// that did in the pool `before`, for as long as it is still one.
    pub(super) fn inherited(before: Option<&Self>, plan: &OriginPlan) -> Takeover {
        let acting = before.and_then(Self::acting).map(|server| server.plan.key);
        let is_it =
            |server: &ServerPlan| server.role == RoleWord::Standby && Some(server.key) == acting;
        Takeover::by(plan.servers.iter().position(is_it))
    }

    /// The standby that stands in for the primaries, as was last seen.
    #[must_use]
    pub fn acting(&self) -> Option<&Arc<Server>> {
        let acting = self.takeover.lock().acting();
        acting.and_then(|index| self.servers.get(index))
    }

    /// Who stands in for the primaries now.
    fn succession(&self, views: &[ServerView]) -> Option<usize> {
        let down_for = |index: usize| {
            self.servers.get(index).map_or(Duration::ZERO, |server| server.out_for())
        };
        let mut takeover = self.takeover.lock();
        let site = &*self.plan.site;
        let name = |index: usize| self.servers.get(index).map_or("", |server| server.name());
        match takeover.look(views, down_for, self.plan.takeover_after) {
            Some(Succession::TakenOver(standby)) => tracing::warn!(
                site,
                server = name(standby),
                "no primary is up; a standby has taken over, and stays until it has been down as long"
            ),
            Some(Succession::Returned) => {
                tracing::warn!(
                    site,
                    "the standby that had taken over has been down; the primaries are back"
                );
            }
            None => {}
        }
        takeover.acting()
    }
}

/// What no server comes to, for the client.
pub(super) fn refused(none: NoServer) -> FetchError {
    match none {
        NoServer::PrimaryDown => FetchError::NoPrimary,
        NoServer::AllTried => FetchError::Resolve {
            host: String::new(),
            reason: "the site has no server that may be asked".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Barrier, atomic::Ordering},
        thread,
    };

    use edge_core::{
        settings::EdgeSettings,
        site::{Site, SiteId},
    };
    use tokio::time::Instant;

    use super::*;
    use crate::fetch::world::tests::world;

    #[tokio::test]
    async fn however_many_look_at_once_no_more_are_left_out_than_may_be_and_each_once() {
        let text = "name = \"a\"\nhosts = [\"*\"]\n[origin]\nejection_failures = 1\n\
            ejection_share_max = 50\nservers = [\"http://a\", \"http://b\", \"http://c\", \"http://d\"]";
        let settings = toml::from_str(text).unwrap();
        let site = Site::build(&settings, &EdgeSettings::default(), SiteId(1)).unwrap();
        let world = world();
        for _ in 0..300 {
            let pool = Pool::new(&site.origin, world.clone(), None).unwrap();
            pool.servers.iter().for_each(|server| server.failed(&site.origin, Instant::now()));
            let together = Barrier::new(4);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        together.wait();
                        pool.judge();
                    });
                }
            });
            let left_out =
                pool.servers.iter().map(|one| one.counts().ejections.load(Ordering::Relaxed));
            assert_eq!(left_out.collect::<Vec<_>>(), [1, 1, 0, 0]);
        }
    }
}
