//! Several entries of a log in one message, and where each of them stands.
//!
//! In: entries, or a message. Out: a payload and the header that parts it; entries with their numbers.
//! Always: the last entry of the message n has the number n · [`APART`], those before it one less each,
//! so numbers grow from entry to entry and say which message it is; a message without the header is one
//! entry, and so is one whose header does not fit it: whoever reads it takes what it cannot read for
//! the most that it may be. Every reader parts a message in the same way. It does not know what
//! entries say.
//! Clause: docs/decisions/0010-the-ledger-over-nats.md.

use bytes::{Bytes, BytesMut};

/// From one message's number to the next's, in numbers of entries: no message has more of them. The
/// positions that are written down hang on it, so it is never another.
pub(super) const APART: u64 = 1024;
/// The header that says how long each entry of a message is.
pub(super) const LENGTHS: &str = "Nearcast-Entries";

/// The number of the last entry of a message; with the last message's, where a log ends.
pub(super) fn last_of(message: u64) -> u64 {
    message.saturating_mul(APART)
}

/// The message that the entry of this number is in.
pub(super) fn message_of(seq: u64) -> u64 {
    seq.div_ceil(APART)
}

/// The message that the next entry after this number is in.
pub(super) fn message_after(seq: u64) -> u64 {
    (seq / APART).saturating_add(1)
}

/// Entries as one payload, with what parts it; nothing parts a single one.
pub(super) fn pack(mut entries: Vec<Bytes>) -> (Bytes, Option<String>) {
    if entries.len() == 1
        && let Some(one) = entries.pop()
    {
        return (one, None);
    }
    let lengths: Vec<String> = entries.iter().map(|entry| entry.len().to_string()).collect();
    let mut payload = BytesMut::with_capacity(entries.iter().map(Bytes::len).sum());
    entries.iter().for_each(|entry| payload.extend_from_slice(entry));
    (payload.freeze(), Some(lengths.join(" ")))
}

/// The numbers of so many entries of a message, in their order.
pub(super) fn numbers(message: u64, count: usize) -> impl Iterator<Item = u64> {
    let last = last_of(message);
    (0..u64::try_from(count).unwrap_or(u64::MAX)).rev().map(move |after| last.saturating_sub(after))
}

/// The entries of a message, with their numbers.
pub(super) fn entries(
    message: u64,
    lengths: Option<&str>,
    payload: Bytes,
) -> impl Iterator<Item = (u64, Bytes)> + use<> {
    let parts = lengths.and_then(|lengths| part(lengths, &payload));
    let parts = parts.unwrap_or_else(|| vec![payload]);
    numbers(message, parts.len()).zip(parts)
}

/// Parts a payload; nothing if these are not the lengths of it.
fn part(lengths: &str, payload: &Bytes) -> Option<Vec<Bytes>> {
    let (mut parts, mut from) = (Vec::new(), 0_usize);
    for length in lengths.split(' ') {
        let is_number = !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit());
        let to = from.checked_add(length.parse().ok().filter(|_: &usize| is_number)?)?;
        if to > payload.len() || parts.len() as u64 >= APART {
            return None;
        }
        parts.push(payload.slice(from..to));
        from = to;
    }
    (from == payload.len()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(message: u64, lengths: Option<&str>, payload: &'static str) -> Vec<(u64, Bytes)> {
        entries(message, lengths, Bytes::from_static(payload.as_bytes())).collect()
    }

    #[test]
    fn numbers_say_the_message_and_what_follows() {
        assert_eq!(last_of(0), 0, "an empty log ends before its first entry");
        for message in [1, 2, 3, 4_000_000_000] {
            let last = last_of(message);
            assert_eq!(numbers(message, 1).collect::<Vec<u64>>(), [last]);
            assert_eq!(numbers(message, 3).collect::<Vec<u64>>(), [last - 2, last - 1, last]);
            let all: Vec<u64> = numbers(message, 1024).collect();
            assert_eq!((all[0], all[1023]), (last_of(message - 1) + 1, last));
            assert!(all.iter().all(|seq| message_of(*seq) == message));
            // Who has the last of a message goes on with the next; who has another, with the same.
            assert_eq!(message_after(last), message + 1);
            assert_eq!(message_after(last_of(message - 1)), message);
            assert!(all[..1023].iter().all(|seq| message_after(*seq) == message));
        }
        for seq in [u64::MAX, u64::MAX - 1023] {
            assert_eq!(last_of(message_after(seq)), u64::MAX, "it is only past everything");
            assert!(last_of(message_of(seq)) >= seq);
        }
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let texts = ["one", "", "two two", "3"].map(|text| Bytes::from_static(text.as_bytes()));
        for count in 1..=4 {
            let some = &texts[..count];
            let (payload, lengths) = pack(some.to_vec());
            assert_eq!(lengths.is_none(), count == 1);
            let parted: Vec<(u64, Bytes)> = entries(7, lengths.as_deref(), payload).collect();
            let wanted: Vec<(u64, Bytes)> = numbers(7, count).zip(some.iter().cloned()).collect();
            assert_eq!(parted, wanted);
        }
        let many = vec![Bytes::from_static(b"x"); 1024];
        let (payload, lengths) = pack(many);
        assert_eq!(entries(1, lengths.as_deref(), payload).count(), 1024);
    }

    #[test]
    fn lengths_that_do_not_fit_make_it_one_entry() {
        let whole = vec![(2048, Bytes::from_static(b"abcdef"))];
        let many = vec!["0"; 1024].join(" ") + " 6";
        let huge = format!("{} 6", u64::MAX);
        let round = format!("6 {} 1", usize::MAX);
        for lengths in [
            "",
            " ",
            "5",
            "7",
            "3 2",
            "3 4",
            "3  3",
            " 3 3",
            "3 3 ",
            "+3 3",
            "-3 9",
            "3,3",
            "3\t3",
            "x",
            "3 x",
            "٣ ٣",
            "0x3 3",
            "99999999999999999999999 1",
            &many,
            &huge,
            &round,
        ] {
            assert_eq!(parted(2, Some(lengths), "abcdef"), whole, "{lengths:?}");
        }
        let two = vec![(2047, Bytes::from_static(b"abc")), (2048, Bytes::from_static(b"def"))];
        assert_eq!(parted(2, Some("3 3"), "abcdef"), two);
        assert_eq!(parted(2, Some("03 3"), "abcdef"), two, "zeros in front are nothing");
        assert_eq!(parted(2, None, "abcdef"), whole);
        assert_eq!(parted(1, Some("0 0"), "").len(), 2);
    }
}
