//! How long a server takes to its first byte, and how many of its answers are errors, as far as that is
//! known.
//!
//! Each measurement counts an eighth, as in RFC 6298 §2. What was not measured for a while counts for
//! less and less, so that a server that was slow once is asked again.

use std::time::Duration;

use ground::{moment::Moment, state::PerMille};

/// Without a measurement it counts half after this time.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// The first-byte time of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    micros: u64,
    at: Moment,
}

impl Latency {
    /// Takes a measurement.
    pub fn measure(&mut self, took: Duration, now: Moment) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.micros = match self.micros(now) {
            0 => took,
            known if known > took => known.saturating_sub(known.saturating_sub(took).div_ceil(8)),
            known => known.saturating_add(took.saturating_sub(known).div_ceil(8)),
        };
        self.at = now;
    }

    /// In microseconds; 0 where nothing was measured.
    #[must_use]
    pub fn micros(&self, now: Moment) -> u64 {
        let floor = u64::from(self.micros > 0);
        faded(self.micros, now.since(self.at)).max(floor)
    }
}

/// The share of a server's latest requests that failed or were answered with a server's error, each
/// counting an eighth as well; it fades alike, so that who has failed is asked again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    mille: u64,
    at: Moment,
}

impl Faults {
    /// Takes what became of a request.
    pub fn count(&mut self, is_fault: bool, now: Moment) {
        let before = u64::from(self.share(now).0);
        let kept = before.saturating_sub(before.div_ceil(8));
        self.mille = kept.saturating_add(if is_fault { 125 } else { 0 });
        self.at = now;
    }

    /// The share.
    #[must_use]
    pub fn share(&self, now: Moment) -> PerMille {
        let mille = faded(self.mille, now.since(self.at));
        PerMille(u16::try_from(mille).unwrap_or(u16::MAX).min(PerMille::ALL.0))
    }
}

/// What is left of a measurement after this time.
fn faded(measured: u64, age: Duration) -> u64 {
    let (half_life, age) = (HALF_LIFE.as_millis(), age.as_millis());
    let halved = age.checked_div(half_life).and_then(|halvings| u32::try_from(halvings).ok());
    let base = halved.and_then(|halvings| measured.checked_shr(halvings)).unwrap_or(0);
    // Straight on from one half to the next.
    let part = u128::from(base / 2).saturating_mul(age.checked_rem(half_life).unwrap_or(0));
    let part = u64::try_from(part.checked_div(half_life).unwrap_or(0)).unwrap_or(0);
    base.saturating_sub(part)
}
