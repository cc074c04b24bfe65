//! A part of what `tests/fuzz/run` tries, small enough to be tried each time.

use fuzz_dns::{answer, zonefile};

const SEED: u64 = 1;

#[test]
fn packets_are_answered_rightly_or_not_at_all() {
    let tally = answer::run(100_000, SEED).unwrap();
    assert!(tally.taken > 50_000 && tally.taken < 95_000, "{tally}");
}

#[test]
fn texts_are_taken_or_refused_with_reasons() {
    let tally = zonefile::run(5_000, SEED).unwrap();
    assert!(tally.taken > 500 && tally.taken < 4_500, "{tally}");
}
