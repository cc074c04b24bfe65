//! The figures of a run: percentiles over every latency, not over a sample.
//!
//! In: latencies and failures. Out: JSON. What always holds: a request that was never answered is
//! an error and weighs on every percentile as the slowest of all.

use std::time::Duration;

/// What has been seen so far.
#[derive(Default)]
pub(crate) struct Figures {
    latencies: Vec<Duration>,
    answered: u64,
    errors: u64,
}

impl Figures {
    /// An answer came; `good` if it was what was asked for.
    pub(crate) fn answered(&mut self, latency: Duration, good: bool) {
        self.latencies.push(latency);
        self.answered += 1;
        self.errors += u64::from(!good);
    }

    /// So many requests got no answer.
    pub(crate) fn missing(&mut self, count: u64) {
        self.errors += count;
        self.latencies.extend((0..count).map(|_| Duration::MAX));
    }

    /// One JSON object, latencies in milliseconds; -1 stands for "never".
    pub(crate) fn json(mut self, seconds: f64) -> String {
        self.latencies.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests, far below 2^53")]
        let rate = self.answered as f64 / seconds;
        let millis = |per_mille: usize| match self.percentile(per_mille) {
            Some(Duration::MAX) | None => -1.0,
            Some(latency) => latency.as_secs_f64() * 1e3,
        };
        format!(
            "{{\"rate\":{rate:.1},\"answered\":{},\"errors\":{},\"p50\":{:.4},\"p99\":{:.4},\"p999\":{:.4},\"max\":{:.4}}}",
            self.answered,
            self.errors,
            millis(500),
            millis(990),
            millis(999),
            millis(1000),
        )
    }

    /// The latency that so many of a thousand do not exceed.
    fn percentile(&self, per_mille: usize) -> Option<Duration> {
        let rank = (self.latencies.len() * per_mille).div_ceil(1000).max(1);
        self.latencies.get(rank - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_and_the_unanswered_are_the_slowest() {
        let mut figures = Figures::default();
        for millis in 1..=998 {
            figures.answered(Duration::from_millis(millis), true);
        }
        figures.answered(Duration::from_millis(999), false);
        figures.missing(1);
        let json = figures.json(1.0);
        assert!(
            json.contains("\"p50\":500.0000,\"p99\":990.0000,\"p999\":999.0000,\"max\":-1"),
            "{json}"
        );
        assert!(json.contains("\"answered\":999,\"errors\":2,"), "{json}");
    }
}
