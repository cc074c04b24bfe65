//! For how long a response may be kept.
//!
//! In: a response. Out: seconds. Always holds: no record is kept beyond its TTL; what has no
//! records at all is not kept.
//!
//! RFC 8484 §5.1: the smallest TTL of the answer section, or of a negative answer's SOA (RFC 2308
//! §5), which is the smallest TTL of whatever stands there.

use geodns_core::wire::{
    header::{HEADER_BYTES, Header},
    name::skip,
};

/// The bytes of a type, a class, a TTL and a length.
const FIXED_BYTES: usize = 10;
const QUESTION_BYTES: usize = 4;

/// The smallest TTL of the answers, else of the authorities; 0 if there are none.
pub(super) fn freshness(message: &[u8]) -> u32 {
    Header::read(message).and_then(|header| smallest(message, &header)).unwrap_or(0)
}

fn smallest(message: &[u8], header: &Header) -> Option<u32> {
    let mut at = HEADER_BYTES;
    for _ in 0..header.questions {
        at = skip(message, at).ok()?.checked_add(QUESTION_BYTES)?;
    }
    let of_answers = header.answers;
    let records = if of_answers > 0 { of_answers } else { header.authorities };
    let mut least = None;
    for _ in 0..records {
        let fixed = skip(message, at).ok()?;
        let end = fixed.checked_add(FIXED_BYTES)?;
        let &[_, _, _, _, a, b, c, d, high, low] = message.get(fixed..end)?.first_chunk()?;
        let ttl = u32::from_be_bytes([a, b, c, d]);
        least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
        at = end.checked_add(usize::from(u16::from_be_bytes([high, low])))?;
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with a question for the root and records with these TTLs.
    fn message(answers: &[u32], authorities: &[u32]) -> Vec<u8> {
        let mut message = vec![0, 0, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        message[7] = u8::try_from(answers.len()).unwrap();
        message[9] = u8::try_from(authorities.len()).unwrap();
        for ttl in answers.iter().chain(authorities) {
            message.extend([0xc0, 12, 0, 1, 0, 1]);
            message.extend(ttl.to_be_bytes());
            message.extend([0, 4, 192, 0, 2, 1]);
        }
        message
    }

    #[test]
    fn a_response_is_kept_for_its_smallest_ttl() {
        for (answers, authorities, expected) in
            [(&[60, 30, 300][..], &[5][..], 30), (&[], &[60], 60), (&[0], &[], 0), (&[], &[], 0)]
        {
            let message = message(answers, authorities);
            assert_eq!(freshness(&message), expected, "RFC 8484 §5.1: {answers:?} {authorities:?}");
            for cut in 0..message.len() {
                freshness(&message[..cut]);
            }
        }
    }
}
