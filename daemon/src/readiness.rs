//! May traffic come here? Named conditions, each held by the role that knows.
//!
//! In: conditions registered and moved by roles. Out: one report for `/readyz` and for tests.
//! Always: ready only while every registered condition holds that counts; a condition whose owner is
//! gone does not hold, so that a role that died cannot leave the process ready. A condition that only
//! tells ([`Readiness::advice`]) takes no traffic away: it is of what serving does without.
//! Does not know: what the conditions mean, or HTTP.
//! Clause: docs/operate.md *Drain and stop*, *What is going on*.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

/// All conditions of this process. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<Vec<ConditionReport>>>,
}

/// One named condition, held by the role that moves it.
#[derive(Debug)]
#[must_use = "a dropped condition no longer holds"]
pub struct Condition {
    readiness: Readiness,
    index: usize,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every condition holds that counts.
    pub ready: bool,
    /// Each condition, in the order of registration.
    pub conditions: Vec<ConditionReport>,
}

/// One condition in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionReport {
    /// Its name, such as `edge-listening`.
    pub name: String,
    /// Whether it holds.
    pub ready: bool,
    /// Why it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it is told only: traffic comes here whether it holds or not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub advisory: bool,
}

impl Readiness {
    /// No conditions yet, which is ready: register them before the admin listener opens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a condition that does not hold yet, for `reason`.
    pub fn condition(&self, name: &str, reason: &str) -> Condition {
        self.add(name, reason, false)
    }

    /// Registers a condition that is told and does not count; it does not hold yet, for `reason`.
    pub fn advice(&self, name: &str, reason: &str) -> Condition {
        self.add(name, reason, true)
    }

    fn add(&self, name: &str, reason: &str, advisory: bool) -> Condition {
        let mut conditions = self.conditions.lock();
        conditions.push(ConditionReport {
            name: name.to_owned(),
            ready: false,
            reason: Some(reason.to_owned()),
            advisory,
        });
        Condition { readiness: self.clone(), index: conditions.len() - 1 }
    }

    /// All conditions as they are now.
    #[must_use]
    pub fn report(&self) -> Report {
        let conditions = self.conditions.lock().clone();
        let counts = |condition: &&ConditionReport| !condition.advisory;
        Report {
            ready: conditions.iter().filter(counts).all(|condition| condition.ready),
            conditions,
        }
    }

    fn set(&self, index: usize, reason: Option<&str>) {
        // Conditions are never removed, so that an index stays valid.
        if let Some(condition) = self.conditions.lock().get_mut(index) {
            condition.ready = reason.is_none();
            condition.reason = reason.map(str::to_owned);
        }
    }
}

impl Condition {
    /// From now on the condition holds.
    pub fn holds(&self) {
        self.readiness.set(self.index, None);
    }

    /// From now on the condition does not hold, for `reason`.
    pub fn fails(&self, reason: &str) {
        self.readiness.set(self.index, Some(reason));
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        self.readiness.set(self.index, Some("its owner has stopped"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_while_every_condition_holds() {
        let readiness = Readiness::new();
        assert!(readiness.report().ready);
        let listening = readiness.condition("listening", "not bound yet");
        let running = readiness.condition("running", "starting");
        listening.holds();
        assert!(!readiness.report().ready);
        running.holds();
        assert!(readiness.report().ready);
        running.fails("draining");
        let report = readiness.report();
        assert!(!report.ready);
        assert!(report.conditions[0].ready);
        assert_eq!(report.conditions[1].reason.as_deref(), Some("draining"));
    }

    #[test]
    fn advice_is_told_and_takes_no_traffic_away() {
        let readiness = Readiness::new();
        let listening = readiness.condition("listening", "not bound yet");
        let ledger = readiness.advice("ledger", "starting");
        listening.holds();
        ledger.fails("the disk is full");
        let report = readiness.report();
        assert!(report.ready);
        assert_eq!(report.conditions[1].reason.as_deref(), Some("the disk is full"));
        let told = serde_json::to_string(&report.conditions).unwrap();
        assert_eq!(told.matches("\"advisory\":true").count(), 1, "{told}");
        listening.fails("draining");
        assert!(!readiness.report().ready);
    }

    #[test]
    fn a_condition_whose_owner_is_gone_does_not_hold() {
        let readiness = Readiness::new();
        let condition = readiness.condition("listening", "not bound yet");
        condition.holds();
        drop(condition);
        assert!(!readiness.report().ready);
    }
}
