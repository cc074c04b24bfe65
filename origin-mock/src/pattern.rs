//! A seeded pattern of octets: content of any length that needs no memory.
//!
//! In: a seed and a position. Out: the octets there.
//! Always holds: the octet at a position depends on the seed and the position alone, so that any
//! range of a pattern of any length can be made, and checked, on its own.

/// Writes the octets of the pattern `seed` from `start` on into `into`.
pub fn fill(seed: u64, start: u64, into: &mut [u8]) {
    let mut position = start;
    let mut rest = into;
    while !rest.is_empty() {
        let word = word(seed, position / 8).to_le_bytes();
        let skip = usize::try_from(position % 8).unwrap_or_default();
        let count = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(count);
        now.copy_from_slice(&word[skip..skip + count]);
        position = position.wrapping_add(count as u64);
        rest = later;
    }
}

/// The octets of the pattern `seed` from `start` on, `len` of them.
#[must_use]
pub fn octets(seed: u64, start: u64, len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    fill(seed, start, &mut octets);
    octets
}

/// The seed that a request target stands for (FNV-1a).
#[must_use]
pub fn seed_of(target: &str) -> u64 {
    target.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3)
    })
}

/// One word of the pattern (the finalizer of SplitMix64).
fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_of_a_pattern_equals_the_same_range_of_the_whole() {
        let whole = octets(7, 0, 100);
        for start in 0..40 {
            for len in 0..40 {
                assert_eq!(
                    octets(7, start as u64, len),
                    whole[start..start + len],
                    "{start}+{len}"
                );
            }
        }
        assert_ne!(octets(8, 0, 100), whole);
    }
}
