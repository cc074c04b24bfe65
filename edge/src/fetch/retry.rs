//! The retry budget of one origin: how many tries on another server it may cost.
//!
//! Each request earns a share of a try; each further try costs one. The purse starts with a few
//! and holds no more than a burst, so retries can never multiply the load of a failing origin:
//! 1,000 requests at ten percent make at most 103 extra.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Tries are counted in hundredths, so that a percentage is a whole number.
const TRY: u64 = 100;
/// What a new budget starts with.
const START: u64 = 3 * TRY;
/// The most that is saved up.
const BURST: u64 = 100 * TRY;

/// The purse.
#[derive(Debug)]
pub struct RetryBudget {
    percent: u64,
    purse: AtomicU64,
    /// Counted over all settings.
    refused: Arc<AtomicU64>,
}

impl RetryBudget {
    /// A budget of `percent` further tries per hundred requests.
    #[must_use]
    pub fn new(percent: u32) -> Self {
        let start = if percent == 0 { 0 } else { START };
        Self { percent: u64::from(percent), purse: AtomicU64::new(start), refused: Arc::default() }
    }

    /// The budget that comes after another, if there was one: what is saved up stays, and so does what
    /// was refused.
    #[must_use]
    pub fn after(before: Option<&Self>, percent: u32) -> Self {
        let Some(before) = before else { return Self::new(percent) };
        let purse = if percent == 0 { 0 } else { before.purse.load(Ordering::Relaxed) };
        Self {
            percent: u64::from(percent),
            purse: AtomicU64::new(purse),
            refused: Arc::clone(&before.refused),
        }
    }

    /// A request comes in: it earns its share.
    pub fn deposit(&self) {
        let percent = self.percent;
        self.purse
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |purse| {
                Some(purse.saturating_add(percent).min(BURST))
            })
            .unwrap_or_default();
    }

    /// Takes one try, if there is one.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let taken = self
            .purse
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |purse| purse.checked_sub(TRY))
            .is_ok();
        if !taken {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Tries that were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failing_requests_cost_at_most_103_extra() {
        let budget = RetryBudget::new(10);
        let extra = (0..1000)
            .filter(|_| {
                budget.deposit();
                budget.withdraw()
            })
            .count();
        assert_eq!(extra, 103);
        assert_eq!(budget.refused(), 897);
    }

    #[test]
    fn savings_are_bounded_and_zero_percent_never_retries() {
        let budget = RetryBudget::new(10);
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 100);
        let none = RetryBudget::new(0);
        (0..1000).for_each(|_| none.deposit());
        assert!(!none.withdraw());
    }

    #[test]
    fn another_percentage_takes_nothing_away_and_gives_nothing() {
        let budget = RetryBudget::new(10);
        (0..20).for_each(|_| budget.deposit());
        assert!(budget.withdraw());
        let later = RetryBudget::after(Some(&budget), 50);
        assert_eq!((0..10).filter(|_| later.withdraw()).count(), 4);
        let none = RetryBudget::after(Some(&later), 0);
        assert!(!none.withdraw());
        assert_eq!(none.refused(), 7);
    }
}
