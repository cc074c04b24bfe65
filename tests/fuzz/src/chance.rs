//! Numbers without pattern that a seed replays, and what they do to bytes.

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // Of nothing but zeros nothing else would ever come.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is taken for 1 if it is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let [byte, ..] = self.next().to_be_bytes();
        byte
    }

    /// One of `all`.
    pub(crate) fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> Option<&'a T> {
        all.get(self.below(all.len())).copied()
    }

    /// One change: of a byte, a bit, a number of two bytes; a cut, an insertion, a copy within, or
    /// a piece of `other`.
    pub(crate) fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(10) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            3 => {
                let copied: Vec<u8> = bytes.iter().skip(at).take(self.below(40)).copied().collect();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            4 => {
                let from = self.below(other.len() + 1);
                let piece = other.iter().skip(from).take(self.below(60)).copied();
                let end = (at + self.below(60)).min(bytes.len());
                bytes.splice(at..end, piece);
            }
            5 => self.overwrite(bytes, at, &[0xff, 0xff]),
            6 => self.overwrite(bytes, at, &[0, 0]),
            7 => {
                let bit = 1 << self.below(8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
            }
            _ => {
                let byte = self.byte();
                self.overwrite(bytes, at, &[byte]);
            }
        }
    }

    fn overwrite(&mut self, bytes: &mut [u8], at: usize, new: &[u8]) {
        bytes.iter_mut().skip(at).zip(new).for_each(|(place, byte)| *place = *byte);
    }
}
