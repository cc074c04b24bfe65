//! Random numbers for tests that replay.
//!
//! In: a seed. Out: numbers. Always holds: the same seed gives the same ones, today and with every
//! later version of every crate. It deliberately does not know what they decide.
//! Clause: CONTRIBUTING.md *Tests*.

/// Random numbers that a seed decides.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// True this often.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let count = u64::try_from(of.len()).unwrap_or(1);
        usize::try_from(self.below(count)).ok().and_then(|at| of.get(at)).copied().unwrap_or("")
    }
}

/// A number that every bit of another has its part in.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
