//! Highest random weight: who gets a client, so that it stays when others come and go.
//!
//! In: a key (a client's, a name's, or a draw) and a target's key and weight: a PoP's or a server's.
//! Out: a score; the lowest wins. Each target's score depends on nothing but itself, so one that
//! leaves gives up only what it had, one that comes takes only what it wins, and a change of weight
//! moves only the difference. The share of a target is its weight's share.
//! Always holds: scores are the same on every node and in every build: the logarithm below is made
//! of operations whose results IEEE 754 fixes to the bit, which the platform's own is not.

use std::net::IpAddr;

use crate::state::PerMille;

/// Two odd constants without pattern: the golden ratio's and the square root of two's bits.
const PHI: u64 = 0x9e37_79b9_7f4a_7c15;
const ROOT: u64 = 0x6a09_e667_f3bc_c909;

/// Mixes two values so that each bit of both moves half of the result's.
#[must_use]
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let product = |a: u64, b: u64| {
        let wide = u128::from(a).wrapping_mul(u128::from(b));
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let halves = (wide as u64, (wide >> 64) as u64);
        halves.0 ^ halves.1
    };
    let first = product(a ^ PHI, b ^ ROOT);
    product(first ^ ROOT, b.rotate_left(32) ^ a ^ PHI)
}

/// The key of a name, in either case of its letters.
#[must_use]
pub fn name_key(name: &[u8]) -> u64 {
    let step = |key: u64, byte: &u8| {
        (key ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    };
    let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
    mix(name.iter().fold(0xcbf2_9ce4_8422_2325, step), length)
}

/// The key of a client's address, masked as far as an answer to it reaches.
#[must_use]
pub fn client_key(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(four) => mix(u64::from(four.to_bits()), 4),
        IpAddr::V6(six) => {
            let bits = six.to_bits();
            #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
            let halves = (bits as u64, (bits >> 64) as u64);
            mix(halves.0, halves.1)
        }
    }
}

/// Whether `hash` falls into a share.
#[must_use]
#[inline]
pub fn falls_into(hash: u64, share: PerMille) -> bool {
    let thousandth = (hash >> 32).wrapping_mul(1000) >> 32;
    thousandth < u64::from(share.0)
}

/// The score of a target of this weight for a key; the lowest wins, weight 0 never does.
#[must_use]
#[inline]
pub fn score(key: u64, target: u64, weight: u32) -> f64 {
    if weight == 0 {
        return f64::INFINITY;
    }
    // An exponential variable whose rate is the weight: the least of several is each one's with
    // a chance in proportion to its weight.
    -logarithm(unit(mix(key, target))) / f64::from(weight)
}

/// A hash as a number above 0 and at most 1.
fn unit(hash: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let number = (hash >> 11).saturating_add(1) as f64;
    number / 9_007_199_254_740_992.0
}

/// The natural logarithm of a normal positive number, to some 1e-12.
fn logarithm(number: f64) -> f64 {
    const LN_2: f64 = std::f64::consts::LN_2;
    let bits = number.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0).saturating_sub(1023);
    let mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    let (mantissa, exponent) = if mantissa > std::f64::consts::SQRT_2 {
        (mantissa / 2.0, exponent.saturating_add(1))
    } else {
        (mantissa, exponent)
    };
    // ln m = 2 artanh((m - 1) / (m + 1)), whose argument is at most 0.172 here.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    let sum = series.into_iter().fold(0.0, |sum, term| sum * square + term);
    f64::from(exponent) * LN_2 + 2.0 * s * sum
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "sums that a test may get wrong")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn winner(key: u64, pops: &[(u64, u32)]) -> u64 {
        let best = pops.iter().min_by(|a, b| score(key, a.0, a.1).total_cmp(&score(key, b.0, b.1)));
        best.unwrap().0
    }

    /// How many of 40,000 keys each PoP gets.
    fn counts(pops: &[(u64, u32)]) -> Vec<usize> {
        let mut counts = vec![0; pops.len()];
        for key in 0..40_000 {
            let won = winner(mix(key, 1), pops);
            counts[pops.iter().position(|pop| pop.0 == won).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn shares_are_those_of_the_weights() {
        let pops =
            [(name_key(b"fra"), 100), (name_key(b"ams"), 300), (name_key(b"lhr"), 600), (7, 0)];
        let counts = counts(&pops);
        for (count, expected) in counts.iter().zip([4_000, 12_000, 24_000, 0_usize]) {
            assert!(count.abs_diff(expected) < 500, "{counts:?}");
        }
    }

    #[test]
    fn a_change_moves_only_what_it_must() {
        let pop = |name: &str, weight| (name_key(name.as_bytes()), weight);
        let before = [pop("fra", 100), pop("ams", 100), pop("lhr", 100), pop("cdg", 100)];
        let heavier = [pop("fra", 200), pop("ams", 100), pop("lhr", 100), pop("cdg", 100)];
        let gone = [pop("ams", 100), pop("lhr", 100), pop("cdg", 100)];
        let (mut to_heavier, mut from_gone) = (0, 0);
        for key in (0..20_000).map(|key| mix(key, 2)) {
            let won = winner(key, &before);
            let with_weight = winner(key, &heavier);
            assert!(with_weight == won || with_weight == before[0].0, "moved between others");
            to_heavier += usize::from(with_weight != won);
            let without = winner(key, &gone);
            assert!(without == won || won == before[0].0, "moved between others");
            from_gone += usize::from(without != won);
        }
        // From a quarter to two fifths; and a quarter.
        assert!(to_heavier.abs_diff(3_000) < 300, "{to_heavier}");
        assert!(from_gone.abs_diff(5_000) < 300, "{from_gone}");
    }

    #[test]
    fn keys_are_the_same_in_every_build() {
        assert_eq!(name_key(b"www.CDN.example"), name_key(b"WWW.cdn.EXAMPLE"));
        assert_ne!(name_key(b"a"), name_key(b"b"));
        assert_eq!(mix(1, 2), 15_667_939_445_681_666_017);
        assert_ne!(
            client_key("192.0.2.1".parse().unwrap()),
            client_key("::c000:201".parse().unwrap())
        );
    }

    #[test]
    fn a_share_is_met() {
        for share in [0, 1, 250, 999, 1000] {
            let inside = (0..100_000).filter(|n| falls_into(mix(*n, 3), PerMille(share))).count();
            assert!(inside.abs_diff(usize::from(share) * 100) < 500, "{share}: {inside}");
        }
    }

    proptest! {
        #[test]
        fn the_logarithm_is_one(hash: u64) {
            let number = unit(hash);
            prop_assert!(number > 0.0 && number <= 1.0);
            prop_assert!((logarithm(number) - number.ln()).abs() < 1e-9);
        }
    }
}
