//! Numbers that serving threads count and a scrape adds up.
//!
//! In: increments and durations, each under a worker and an index. Out: sums over all workers.
//! Always: recording takes no lock and allocates nothing; workers never share a cache line; a worker
//! number past the end shares another's shard and an index past the end counts nothing, so that a
//! caller's slip costs accuracy and never a panic.
//! Does not know: names and labels; `metrics` gives them when read.
//! Hot path: one relaxed `fetch_add` per counter, two per duration.
//! Clause: ARCHITECTURE.md *Threads* (per-worker counters, summed when they are read).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Cells per line: 128 bytes, because adjacent 64-byte lines are fetched in pairs.
const LINE: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE]);

/// `shards × len` cells; each shard starts on a line of its own.
#[derive(Debug)]
struct Cells {
    lines: Box<[Line]>,
    lines_per_shard: usize,
    shards: usize,
    len: usize,
}

impl Cells {
    fn new(shards: usize, len: usize) -> Self {
        let shards = shards.max(1);
        let lines_per_shard = len.div_ceil(LINE);
        let lines = (0..shards * lines_per_shard).map(|_| Line::default()).collect();
        Self { lines, lines_per_shard, shards, len }
    }

    fn cell(&self, shard: usize, index: usize) -> Option<&AtomicU64> {
        if index >= self.len {
            debug_assert!(false, "index {index} of {}", self.len);
            return None;
        }
        let line = (shard % self.shards) * self.lines_per_shard + index / LINE;
        self.lines.get(line).and_then(|line| line.0.get(index % LINE))
    }

    fn add(&self, shard: usize, index: usize, by: u64) {
        if let Some(cell) = self.cell(shard, index) {
            cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Sum over the shards, modulo 2^64 (which is what makes signed gauges come out right).
    fn sum(&self, index: usize) -> u64 {
        (0..self.shards)
            .filter_map(|shard| self.cell(shard, index))
            .fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }
}

/// Counters by small index, one set per worker.
#[derive(Debug)]
pub struct ShardedCounters(Cells);

impl ShardedCounters {
    /// `len` counters for each of `shards` workers.
    #[must_use]
    pub fn new(shards: usize, len: usize) -> Self {
        Self(Cells::new(shards, len))
    }

    /// Counts one.
    pub fn record(&self, worker: usize, index: usize) {
        self.0.add(worker, index, 1);
    }

    /// Counts `by`, bytes for instance.
    pub fn add(&self, worker: usize, index: usize, by: u64) {
        self.0.add(worker, index, by);
    }

    /// Sum over all workers.
    #[must_use]
    pub fn sum(&self, index: usize) -> u64 {
        self.0.sum(index)
    }

    /// Counters per worker.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there is no counter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }
}

/// Levels by small index, such as open connections; up on one worker and down on another is fine.
#[derive(Debug)]
pub struct ShardedGauges(Cells);

impl ShardedGauges {
    /// `len` gauges for each of `shards` workers.
    #[must_use]
    pub fn new(shards: usize, len: usize) -> Self {
        Self(Cells::new(shards, len))
    }

    /// Raises a level.
    pub fn add(&self, worker: usize, index: usize, by: u64) {
        self.0.add(worker, index, by);
    }

    /// Lowers a level.
    pub fn sub(&self, worker: usize, index: usize, by: u64) {
        self.0.add(worker, index, by.wrapping_neg());
    }

    /// The level over all workers.
    #[must_use]
    pub fn level(&self, index: usize) -> i64 {
        self.0.sum(index).cast_signed()
    }
}

/// Upper bounds of the buckets in µs, inclusive; about twofold from 50 µs to 60 s, in round numbers
/// because an operator reads them. One more bucket takes what is longer.
pub const BOUNDS_MICROS: [u64; 19] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 60_000_000,
];

/// Buckets of a histogram, the unbounded one included.
pub const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// Cells of one histogram: its buckets, then the sum in nanoseconds.
const SERIES: usize = BUCKETS + 1;

/// Histograms of durations by small index, one set per worker.
#[derive(Debug)]
pub struct ShardedHistogram(Cells);

impl ShardedHistogram {
    /// `len` histograms for each of `shards` workers.
    #[must_use]
    pub fn new(shards: usize, len: usize) -> Self {
        Self(Cells::new(shards, len * SERIES))
    }

    /// Histograms per worker.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len / SERIES
    }

    /// Whether there is no histogram at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Records one duration.
    pub fn record(&self, worker: usize, index: usize, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let first = index * SERIES;
        self.0.add(worker, first + bucket(nanos), 1);
        self.0.add(worker, first + BUCKETS, nanos);
    }

    /// Sum over all workers. Durations recorded meanwhile may be in the counts and not yet in the sum.
    #[must_use]
    pub fn sum(&self, index: usize) -> Distribution {
        let first = index * SERIES;
        Distribution {
            counts: std::array::from_fn(|bucket| self.0.sum(first + bucket)),
            sum: Duration::from_nanos(self.0.sum(first + BUCKETS)),
        }
    }
}

/// The bucket for a duration: the first whose bound it does not pass.
fn bucket(nanos: u64) -> usize {
    BOUNDS_MICROS.partition_point(|micros| micros * 1_000 < nanos)
}

/// What a histogram held when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Distribution {
    /// Durations per bucket, not cumulated.
    pub counts: [u64; BUCKETS],
    /// Sum of all durations.
    pub sum: Duration,
}

impl Distribution {
    /// Number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds another distribution, to sum over sites or outcomes.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shards_start_on_lines_of_their_own() {
        let cells = Cells::new(3, 17);
        let address = |shard, index| std::ptr::from_ref(cells.cell(shard, index).unwrap()).addr();
        assert_eq!(address(0, 0) % 128, 0);
        assert_eq!(address(1, 0) - address(0, 0), 256);
        assert_eq!(address(2, 16) - address(2, 0), 128);
    }

    #[test]
    fn increments_from_all_workers_are_summed() {
        let counters = Arc::new(ShardedCounters::new(4, 3));
        let threads: [_; 4] = std::array::from_fn(|worker| {
            let counters = Arc::clone(&counters);
            std::thread::spawn(move || {
                for _ in 0..10_000 {
                    counters.record(worker, 1);
                    counters.add(worker, 2, 5);
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!([0, 1, 2].map(|index| counters.sum(index)), [0, 40_000, 200_000]);
    }

    #[test]
    fn a_worker_past_the_end_is_still_counted() {
        let counters = ShardedCounters::new(2, 1);
        counters.record(7, 0);
        assert_eq!(counters.sum(0), 1);
        assert!(ShardedCounters::new(0, 0).is_empty());
    }

    #[test]
    fn a_gauge_may_rise_on_one_worker_and_fall_on_another() {
        let gauges = ShardedGauges::new(2, 1);
        gauges.add(0, 0, 3);
        gauges.sub(1, 0, 2);
        assert_eq!(gauges.level(0), 1);
        gauges.sub(1, 0, 2);
        assert_eq!(gauges.level(0), -1);
    }

    #[test]
    fn bounds_are_inclusive_and_rise() {
        assert!(BOUNDS_MICROS.is_sorted_by(|a, b| a < b));
        for (index, micros) in BOUNDS_MICROS.iter().enumerate() {
            assert_eq!(bucket(micros * 1_000), index);
            assert_eq!(bucket(micros * 1_000 + 1), index + 1);
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn a_histogram_agrees_with_the_exact_distribution(
            records in proptest::collection::vec((0..3_usize, 0..2_usize, 0_u64..100_000_000_000), 0..200),
        ) {
            let histogram = ShardedHistogram::new(3, 2);
            for &(worker, index, nanos) in &records {
                histogram.record(worker, index, Duration::from_nanos(nanos));
            }
            let mut all = Distribution::default();
            for index in 0..histogram.len() {
                let exact: Vec<u64> =
                    records.iter().filter(|record| record.1 == index).map(|record| record.2).collect();
                let read = histogram.sum(index);
                prop_assert_eq!(read.sum, Duration::from_nanos(exact.iter().sum()));
                let mut cumulated = 0;
                for (bound, count) in BOUNDS_MICROS.iter().zip(read.counts) {
                    cumulated += count;
                    let within = exact.iter().filter(|&&nanos| nanos <= bound * 1_000).count();
                    prop_assert_eq!(cumulated, within as u64);
                }
                prop_assert_eq!(read.count(), exact.len() as u64);
                all.merge(&read);
            }
            prop_assert_eq!(all.count(), records.len() as u64);
        }
    }
}
