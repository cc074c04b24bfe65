//! Lines of the log that would else come many times a second.
//!
//! In: that something happened again. Out: whether to tell it now.
//! Always: the first is told, and none within [`PAUSE`] of one that was.
//! Does not know: what happened.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines.
pub const PAUSE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it is to be told this time.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if self.0.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            return false;
        }
        self.0 = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_and_then_one_in_so_long() {
        let mut seldom = Seldom::default();
        let mut told = 0;
        for _ in 0..1000 {
            told += u32::from(seldom.is_due());
            tokio::time::advance(PAUSE / 100).await;
        }
        assert_eq!(told, 10);
    }
}
