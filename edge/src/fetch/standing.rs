//! What is known of a server, and whether it is asked as others are.
//!
//! In: what requests and checks have shown. Out: up or not, since when, why. Always holds: a change is
//! told once, when it is first seen, with its reason.

use std::{fmt, time::Duration};

use edge_core::{
    balance::latency::{Faults, Latency},
    concurrency::Limit,
    ejection::{Reason, Record},
    site::CheckPlan,
};
use ground::{
    machine::Machine,
    moment::Moment,
    state::{PerMille, StateWord},
};

use super::probe::{Fault, Verdict};

/// Whether a server is asked as others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Up,
    /// Its checks fail.
    Down(Option<Fault>),
    /// It is left out for what requests have shown.
    Ejected(Reason),
}

impl Standing {
    /// The word for the metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down(_) => "down",
            Self::Ejected(_) => "ejected",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Down(Some(fault)) => write!(f, "its check fails: {fault}"),
            Self::Down(None) => f.write_str("not checked yet"),
            Self::Ejected(reason) => write!(f, "{reason}"),
        }
    }
}

/// What is known of one server.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) record: Record,
    pub(super) latency: Latency,
    pub(super) faults: Faults,
    pub(super) room: Option<Room>,
    checked: Option<Checked>,
    /// Checks that failed so far.
    pub(super) checks_failed: u64,
    standing: Standing,
    since: Moment,
    /// Whether it was seen not to be up before it was.
    has_recovered: bool,
}

/// The limit that a server's answers set, and how many permits it comes to now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) limit: Limit,
    pub(super) granted: u32,
}

/// What checks have shown.
#[derive(Clone, Debug)]
struct Checked {
    check: CheckPlan,
    machine: Machine,
    /// When the last one began.
    began: Option<Moment>,
    /// Why the last one failed.
    fault: Option<Fault>,
}

impl State {
    /// A server of which nothing is known.
    pub(super) fn new(check: Option<&CheckPlan>, now: Moment) -> Self {
        let mut state = Self {
            record: Record::default(),
            latency: Latency::default(),
            faults: Faults::default(),
            room: None,
            checked: None,
            checks_failed: 0,
            standing: Standing::Up,
            since: now,
            has_recovered: false,
        };
        state.adopt(check, now);
        state.standing = state.found(now);
        state
    }

    /// The same server under settings that may have another check: what is dead stays dead until a check
    /// says otherwise.
    pub(super) fn renewed(&self, check: Option<&CheckPlan>, now: Moment) -> Self {
        let mut state = self.clone();
        state.adopt(check, now);
        state
    }

    fn adopt(&mut self, check: Option<&CheckPlan>, now: Moment) {
        let before = self.checked.take();
        self.checked = check.map(|check| {
            let known = before.as_ref().filter(|before| before.machine.is_seen());
            let machine = match known {
                Some(before) if before.check.asks_as(check) => before.machine.kept(check),
                Some(before) => before.machine.resumed(check),
                None => Machine::new(check, now),
            };
            let (began, fault) = before.map_or((None, None), |one| (one.began, one.fault));
            Checked { check: check.clone(), machine, began, fault }
        });
    }

    /// How it stands, and for how long it has.
    pub(super) fn standing(&self, now: Moment) -> (Standing, Duration) {
        (self.standing.clone(), now.since(self.since))
    }

    /// Whether it is up, as was last seen.
    pub(super) fn is_up(&self) -> bool {
        self.standing == Standing::Up
    }

    /// Whether its checks fail.
    pub(super) fn is_down(&self) -> bool {
        self.checked.as_ref().is_some_and(|checked| checked.machine.state() == StateWord::Down)
    }

    /// What it takes of its share.
    pub(super) fn ramp(&self, slow_start: Duration, now: Moment) -> PerMille {
        if !self.has_recovered || slow_start.is_zero() {
            return PerMille::ALL;
        }
        let share = now.since(self.since).as_millis() * 1000 / slow_start.as_millis().max(1);
        let share = u16::try_from(share).unwrap_or(u16::MAX);
        PerMille(share.clamp(1, PerMille::ALL.0))
    }

    /// When its last check began.
    pub(super) fn probed(&self) -> Option<Moment> {
        self.checked.as_ref()?.began
    }

    /// Notes that a check begins.
    pub(super) fn begin_probe(&mut self, now: Moment) -> Moment {
        if let Some(checked) = &mut self.checked {
            checked.began = Some(now);
        }
        now
    }

    /// Takes what a check came to.
    pub(super) fn take(&mut self, verdict: Verdict, now: Moment) {
        let (Some(checked), Some(verdict)) = (&mut self.checked, verdict) else { return };
        let passed = verdict.is_ok();
        self.checks_failed += u64::from(!passed);
        checked.fault = verdict.err();
        let change = checked.machine.take(&checked.check, passed, now);
        if change == Some(StateWord::Up) {
            // What checks saw go and come back need not wait for the end of its ejection.
            self.record.pardon(now);
        }
    }

    /// A request that was sent at `sent` took so long, or longer.
    pub(super) fn measure(&mut self, took: Duration, sent: Moment, now: Moment) {
        if self.record.is_told_by(sent) {
            self.latency.measure(took, now);
        }
    }

    /// A request that was sent at `sent` failed or was answered with an error, or was not.
    pub(super) fn count(&mut self, is_fault: bool, sent: Moment, now: Moment) {
        if self.record.is_told_by(sent) {
            self.faults.count(is_fault, now);
        }
    }

    /// Sees how it stands now, and tells if that has changed, of which site and server.
    pub(super) fn look(&mut self, who: (&str, &str), now: Moment) {
        let found = self.found(now);
        let was_guess = self.standing == Standing::Down(None);
        if found.as_str() == self.standing.as_str() {
            if was_guess && found != self.standing {
                self.tell(who, &found, now);
            }
            // Why it is not up may have changed; what passes too seldom yet says nothing of it.
            if found != Standing::Down(None) {
                self.standing = found;
            }
            return;
        }
        self.tell(who, &found, now);
        self.has_recovered = found == Standing::Up && !was_guess;
        if found == Standing::Up {
            // What it let wait or failed while it was away would have it left out again at once.
            self.record.is_up_again(now);
            (self.latency, self.faults) = (Latency::default(), Faults::default());
        }
        self.standing = found;
        self.since = now;
    }

    fn found(&self, now: Moment) -> Standing {
        match (&self.checked, self.record.ejection(now)) {
            (Some(checked), _) if self.is_down() => Standing::Down(checked.fault.clone()),
            (_, Some(ejection)) => Standing::Ejected(ejection.reason),
            (_, None) => Standing::Up,
        }
    }

    fn tell(&self, (site, server): (&str, &str), found: &Standing, now: Moment) {
        let was = self.standing.as_str();
        let lasted = now.since(self.since);
        match found {
            Standing::Up => {
                tracing::info!(site, server, was, for_ = ?lasted, "an origin server is asked again");
            }
            Standing::Down(_) => tracing::warn!(
                site, server, was, reason = %found,
                "an origin server is down; it is asked only while no other is up"
            ),
            Standing::Ejected(_) => {
                let until = self.record.ejection(now).map(|ejection| ejection.until.since(now));
                tracing::warn!(
                    site, server, was, reason = %found, for_ = ?until.unwrap_or_default(),
                    "an origin server fails; it is left out while others answer"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use edge_core::{
        settings::EdgeSettings,
        site::{Site, SiteId},
    };

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn site() -> Site {
        let text = "name = \"a\"\nhosts = [\"*\"]\n[origin]\nservers = [\"http://a\"]\n\
            check = { before = \"down\", rise = 1, fall = 1 }";
        let settings = toml::from_str(text).unwrap();
        Site::build(&settings, &EdgeSettings::default(), SiteId(1)).unwrap()
    }

    /// What it let wait while it was stopped would have it left out for its delay at once.
    #[test]
    fn who_is_up_again_is_measured_by_what_was_sent_since() {
        let site = site();
        let mut state = State::new(site.origin.check.as_deref(), at(0));
        let second = Duration::from_secs(1);
        state.measure(second, at(0), at(1));
        state.count(true, at(0), at(1));
        assert_ne!((state.latency.micros(at(1)), state.faults.share(at(1)).0), (0, 0));
        state.take(Some(Ok(())), at(2));
        state.look(("a", "a"), at(2));
        state.measure(second, at(1), at(2));
        state.count(true, at(1), at(2));
        assert_eq!((state.latency.micros(at(2)), state.faults.share(at(2)).0), (0, 0));
        state.measure(second, at(2), at(3));
        state.count(true, at(2), at(3));
        assert_eq!((state.latency.micros(at(3)), state.faults.share(at(3)).0), (1_000_000, 125));
    }

    #[test]
    fn the_reason_is_the_latest_and_who_was_seen_down_starts_slowly() {
        let site = site();
        let (slow_start, check) = (Duration::from_secs(60), site.origin.check.as_deref());
        let mut state = State::new(check, at(0));
        assert_eq!(state.standing(at(0)).0.to_string(), "not checked yet");
        for (second, fault, told) in [
            (1, Fault::Status(500), "its check fails: status 500"),
            (2, Fault::Unanswered("refused".to_owned()), "its check fails: refused"),
        ] {
            state.take(Some(Err(fault)), at(second));
            state.look(("a", "a"), at(second));
            assert_eq!(state.standing(at(second)).0.to_string(), told);
        }
        state.take(Some(Ok(())), at(10));
        state.look(("a", "a"), at(10));
        assert!(state.is_up());
        assert!(state.ramp(slow_start, at(11)) < PerMille(100), "it was seen down");
        let mut fresh = State::new(check, at(0));
        fresh.take(Some(Ok(())), at(1));
        fresh.look(("a", "a"), at(1));
        assert_eq!(fresh.ramp(slow_start, at(2)), PerMille::ALL, "it was not");
    }
}
