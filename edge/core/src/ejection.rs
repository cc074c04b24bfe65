//! Who is left out for what requests have shown: failures in a row, outlying error rates or delays.
//!
//! In: what became of each request, `now`. Out: which servers to leave out, why, and until when.
//! Always holds: no more than `share_max` of the servers are left out, one of several at least; who is
//! left out again and again is so for longer each time; error rate and delay are judged beside those
//! of the other servers that have the same role and group, so what is wrong with all, and what writes or
//! a longer way cost, is no reason to leave out any; neither takes the last of a role.
//! It deliberately knows no request and no connection.

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests;

use std::{fmt, time::Duration};

use ground::moment::Moment;

use crate::settings::RoleWord;

/// What a site owner says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionPlan {
    /// Failures in a row.
    pub failures: u32,
    /// For how long, the first time.
    pub time: Duration,
    /// For how long at most.
    pub time_max: Duration,
    /// How many of the servers at most, in percent.
    pub share_max: u32,
    /// By how many percent of its requests a server has to fail more than the others.
    pub error_percent: Option<u32>,
    /// How many times the others' first-byte time one has to take.
    pub latency_factor: Option<u32>,
    /// Requests within `window` without which neither is judged.
    pub requests_min: u32,
    /// What is looked back on for them.
    pub window: Duration,
}

/// Why a server is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row.
    InARow(u32),
    /// So many percent of its requests fail, and so many of the others'.
    ErrorRate(u32, u32),
    /// It takes so many microseconds to the first byte, and the others so many.
    Delay(u64, u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(1) => write!(f, "1 failure"),
            Self::InARow(failures) => write!(f, "{failures} failures in a row"),
            Self::ErrorRate(own, others) => {
                write!(f, "{own} % of its requests fail, and {others} % of the others'")
            }
            Self::Delay(own, others) => {
                let (own, others) = (Duration::from_micros(*own), Duration::from_micros(*others));
                write!(f, "its first byte takes {own:.1?}, and that of the others {others:.1?}")
            }
        }
    }
}

/// For how long a server is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When it began to be.
    pub since: Moment,
    /// When it is asked again.
    pub until: Moment,
    /// Why.
    pub reason: Reason,
}

/// What requests have shown of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    in_a_row: u32,
    last_failure: Moment,
    rates: Rates,
    /// When it was last seen to be up again: what was sent before says nothing of how it is.
    up_since: Moment,
    ejection: Option<Ejection>,
    /// For how long it was left out the last time, by what was said then, and when that was over.
    last: Option<(Duration, Moment)>,
    /// Ejections that followed close on each other.
    times: u32,
    /// Since when it has been left out, time after time, without an answer between.
    out_since: Option<Moment>,
    /// Whether it answered while it was left out, which nobody has looked at yet.
    has_answered: bool,
}

/// Requests and errors of this window and the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rates {
    began: Moment,
    now: (u32, u32),
    before: (u32, u32),
}

/// What is judged of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its role: what it is asked is like what others of that role are asked.
    pub role: RoleWord,
    /// Its group: its way is as long as that of others of the group.
    pub group: usize,
    /// Whether it is left out now.
    pub is_ejected: bool,
    /// Whether its checks fail.
    pub is_down: bool,
    /// Whether it answered while it was left out.
    pub has_answered: bool,
    /// Failures in a row.
    pub in_a_row: u32,
    /// Requests of late.
    pub requests: u32,
    /// How many of them failed.
    pub errors: u32,
    /// Its first-byte time in microseconds; 0 where none was measured.
    pub first_byte: u64,
}

impl Record {
    /// A request came to its end that was sent at `sent`. Whether the server is back by it: while all
    /// are left out all are tried, and the first that answers is back at once. What was sent before it
    /// began to fail says nothing of how it is now.
    pub fn succeeded(&mut self, sent: Moment, now: Moment) -> bool {
        self.in_a_row = 0;
        let is_back = |ejection: &mut Ejection| ejection.since <= sent && now < ejection.until;
        let ended = self.ejection.take_if(is_back);
        let is_early = self.end(ended, now);
        self.prove(sent, now);
        self.has_answered |= is_early;
        is_early
    }

    /// Whether its last ejection is over and no answer has come since: it is on trial, with one request at
    /// a time.
    #[must_use]
    pub fn is_on_trial(&self, now: Moment) -> bool {
        self.ejection.is_some_and(|ejection| ejection.until <= now)
    }

    /// Since when it has been left out, time after time, without an answer between.
    #[must_use]
    pub fn out_since(&self) -> Option<Moment> {
        self.out_since
    }

    /// An answer came to what was sent at `sent`, so a trial is over.
    fn prove(&mut self, sent: Moment, now: Moment) {
        let is_trial = |ejection: &mut Ejection| ejection.since <= sent && ejection.until <= now;
        self.ejection.take_if(is_trial);
        if self.ejection.is_none() {
            self.out_since = None;
        }
    }

    /// Notes that an ejection was over before its time, if it was.
    fn end(&mut self, ended: Option<Ejection>, now: Moment) -> bool {
        let early = ended.filter(|ejection| now < ejection.until);
        if let (Some(_), Some((_, until))) = (early, &mut self.last) {
            *until = now;
        }
        early.is_some()
    }

    /// It is asked again: how many of its requests failed before that, and how long they took, says
    /// nothing any more.
    pub fn is_up_again(&mut self, now: Moment) {
        self.rates = Rates::default();
        self.up_since = now;
    }

    /// Whether what was sent at `sent` tells how it is, and not how it was before it went away.
    #[must_use]
    pub fn is_told_by(&self, sent: Moment) -> bool {
        self.up_since <= sent
    }

    /// A request failed that was sent at `sent`, and the server is to blame.
    pub fn failed(&mut self, plan: &EjectionPlan, sent: Moment, now: Moment) {
        // What was sent before it was left out, or while it was, says nothing new.
        let is_old = self.last.is_some_and(|(_, ended)| sent < ended);
        if !is_old && self.ejection(now).is_none() {
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.last_failure = now;
        }
        self.count(plan, sent, now, true);
    }

    /// A response came to what was sent at `sent`; whether its status is an error.
    pub fn answered(&mut self, plan: &EjectionPlan, sent: Moment, now: Moment, is_error: bool) {
        self.count(plan, sent, now, is_error);
        self.prove(sent, now);
    }

    fn count(&mut self, plan: &EjectionPlan, sent: Moment, now: Moment, is_error: bool) {
        if self.is_told_by(sent) {
            self.rates.count(plan.window, now, is_error);
        }
    }

    /// Whether it answered while it was left out, told once.
    pub fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.has_answered)
    }

    /// Forgets failures in a row: who was seen to come back need not wait for the end of its ejection.
    pub fn pardon(&mut self, now: Moment) {
        self.in_a_row = 0;
        let is_in_a_row = |ejection: &mut Ejection| matches!(ejection.reason, Reason::InARow(_));
        let ended = self.ejection.take_if(is_in_a_row);
        self.end(ended, now);
        if self.ejection.is_none() {
            self.out_since = None;
        }
    }

    /// Why it is left out, while it is.
    #[must_use]
    pub fn ejection(&self, now: Moment) -> Option<Ejection> {
        self.ejection.filter(|ejection| now < ejection.until)
    }

    /// What is to be judged, of a server that is a primary and up as far as this record tells.
    #[must_use]
    pub fn shown(&self, plan: &EjectionPlan, first_byte: u64, now: Moment) -> Shown {
        let (requests, errors) = self.rates.sum(plan.window, now);
        Shown {
            role: RoleWord::Primary,
            group: 0,
            is_ejected: self.ejection(now).is_some(),
            is_down: false,
            has_answered: self.has_answered,
            in_a_row: self.in_a_row,
            requests,
            errors,
            first_byte,
        }
    }

    /// Leaves it out; for how long.
    pub fn eject(&mut self, plan: &EjectionPlan, reason: Reason, now: Moment) -> Duration {
        // However that one ended: who has been well for longer than it was said to be left out begins anew.
        if self.last.is_some_and(|(length, ended)| now.since(ended) > length) {
            self.times = 0;
            self.out_since = None;
        }
        let doubled = 1_u32.checked_shl(self.times).unwrap_or(u32::MAX);
        let time = plan.time.saturating_mul(doubled).min(plan.time_max.max(plan.time));
        let since = match reason {
            Reason::InARow(_) => self.last_failure,
            Reason::ErrorRate(..) | Reason::Delay(..) => now,
        };
        self.times = self.times.saturating_add(1).min(16);
        self.in_a_row = 0;
        self.rates = Rates::default();
        self.out_since = self.out_since.or(Some(since));
        let until = since.plus(time);
        self.last = Some((time, until));
        self.ejection = Some(Ejection { since, until, reason });
        time
    }
}

impl Shown {
    const fn is_up(&self) -> bool {
        !self.is_ejected && !self.is_down
    }
}

impl Rates {
    fn turn(&mut self, window: Duration, now: Moment) {
        let age = now.since(self.began);
        if age < window {
            return;
        }
        self.before = if age < window.saturating_mul(2) { self.now } else { (0, 0) };
        self.now = (0, 0);
        self.began = now;
    }

    fn count(&mut self, window: Duration, now: Moment, is_error: bool) {
        self.turn(window, now);
        let (requests, errors) = self.now;
        self.now = (requests.saturating_add(1), errors.saturating_add(u32::from(is_error)));
    }

    fn sum(mut self, window: Duration, now: Moment) -> (u32, u32) {
        self.turn(window, now);
        let ((requests, errors), (more, further)) = (self.now, self.before);
        (requests.saturating_add(more), errors.saturating_add(further))
    }
}

/// Whether a server has answered while nobody was up: then the others are to be pardoned as well. What
/// had taken all of them out was one thing, and one alone would now get everything, and fall.
#[must_use]
pub fn is_over(servers: &[Shown]) -> bool {
    let mut others = servers.iter().filter(|server| !server.has_answered).peekable();
    let is_alone = others.peek().is_some() && others.all(|server| !server.is_up());
    is_alone && servers.iter().any(|server| server.has_answered)
}

/// Which servers to leave out now, by what all of them have shown.
#[must_use]
pub fn judge(plan: &EjectionPlan, servers: &[Shown]) -> Vec<(usize, Reason)> {
    let count = servers.len();
    let share_max = usize::try_from(plan.share_max).unwrap_or(100);
    let share = count.saturating_mul(share_max) / 100;
    let most = share.max(usize::from(count > 1));
    let out = servers.iter().filter(|server| server.is_ejected).count();
    let mut room = most.saturating_sub(out);
    let mut found: Vec<(usize, Reason)> = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        if server.is_ejected || room == 0 {
            continue;
        }
        let in_a_row = server.in_a_row >= plan.failures;
        let reason = if in_a_row {
            Some(Reason::InARow(server.in_a_row))
        } else {
            outlying(plan, servers, index, &found)
        };
        if let Some(reason) = reason {
            found.push((index, reason));
            room = room.saturating_sub(1);
        }
    }
    found
}

/// Whether a server that is up stands out among those of its role and group that are, and that are not
/// among those just `found`. Beside none of them it does not: who is only worse is better than nobody.
fn outlying(
    plan: &EjectionPlan,
    servers: &[Shown],
    index: usize,
    found: &[(usize, Reason)],
) -> Option<Reason> {
    let own = servers.get(index)?;
    if own.is_down || own.requests < plan.requests_min.max(1) {
        return None;
    }
    let is_beside = |(other, shown): &(usize, &Shown)| {
        let is_alike = (shown.role, shown.group) == (own.role, own.group);
        let is_found = found.iter().any(|(found, _)| found == other);
        *other != index && is_alike && shown.is_up() && !is_found
    };
    let others: Vec<&Shown> =
        servers.iter().enumerate().filter(is_beside).map(|(_, shown)| shown).collect();
    if let Some(more) = plan.error_percent {
        let requests: u64 = others.iter().map(|other| u64::from(other.requests)).sum();
        let errors: u64 = others.iter().map(|other| u64::from(other.errors)).sum();
        let own_rate = percent(own.errors.into(), own.requests.into());
        let rate = percent(errors, requests);
        if requests > 0 && own_rate >= rate.saturating_add(more) {
            return Some(Reason::ErrorRate(own_rate, rate));
        }
    }
    let factor = u64::from(plan.latency_factor?);
    let mut known: Vec<u64> = others.iter().map(|other| other.first_byte).collect();
    known.retain(|micros| *micros > 0);
    known.sort_unstable();
    let median = *known.get(known.len() / 2)?;
    let is_late = own.first_byte >= median.saturating_mul(factor).max(MOMENT_MICROS);
    is_late.then_some(Reason::Delay(own.first_byte, median))
}

/// Below this no delay is worth an ejection, however much faster others are.
const MOMENT_MICROS: u64 = 10_000;

fn percent(part: u64, whole: u64) -> u32 {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    u32::try_from(percent).unwrap_or(u32::MAX)
}
