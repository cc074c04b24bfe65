//! Which octets may stand where in a message head, and fast runs over them.
//!
//! In go bytes, out goes how many of them at the front belong to a class. Nothing allocates. It does not know what
//! follows a run; the caller decides whether that may be.

/// A set of octets.
pub(super) struct Class([bool; 256]);

impl Class {
    const fn of(octets: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut i = 0;
        while i < octets.len() {
            table[octets[i] as usize] = true;
            i += 1;
        }
        Self(table)
    }

    const fn range(mut self, from: u8, to: u8) -> Self {
        let mut octet = from as usize;
        while octet <= to as usize {
            self.0[octet] = true;
            octet += 1;
        }
        self
    }

    const fn alphanumeric(self) -> Self {
        self.range(b'0', b'9').range(b'a', b'z').range(b'A', b'Z')
    }

    pub(super) const fn has(&self, octet: u8) -> bool {
        self.0[octet as usize]
    }

    /// How many octets at the front belong to the class.
    pub(super) fn run(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|octet| !self.has(*octet)).unwrap_or(bytes.len())
    }
}

/// `tchar` (RFC 9110 §5.6.2).
pub(super) static TOKEN: Class = Class::of(b"!#$%&'*+-.^_`|~").alphanumeric();

/// `field-vchar`, SP and HTAB (RFC 9110 §5.5).
pub(super) static VALUE: Class = Class::of(b"\t").range(0x20, 0x7e).range(0x80, 0xff);

/// A target up to its query: RFC 3986's path and authority, and the `^` and `|` that browsers send unencoded.
pub(super) static PATH: Class = Class::of(b"-._~!$&'()*+,;=:@%/[]^|").alphanumeric();

/// A query: RFC 3986's, and what browsers send unencoded. Never `#`, `"`, `<`, `>`.
pub(super) static QUERY: Class = Class::of(b"-._~!$&'()*+,;=:@%/?[]^|\\`{}").alphanumeric();

/// A registered name without its percent-encoded octets (RFC 3986 §3.2.2).
pub(super) static NAME: Class = Class::of(b"-._~!$&'()*+,;=").alphanumeric();

const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
const SPACES: u64 = u64::from_ne_bytes([0x20; 8]);
const DELETES: u64 = u64::from_ne_bytes([0x7f; 8]);

/// How many octets at the front may stand in a field value. Eight octets at a time, because values are most of a head.
pub(super) fn value_run(bytes: &[u8]) -> usize {
    let mut run = 0;
    while let Some(word) = bytes.get(run..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // The classic "has a byte less than" and "has a zero byte" tests. A borrow can only add hits above a true
        // one, so the lowest hit is true.
        let control = word.wrapping_sub(SPACES) & !word & HIGH;
        let delete = word ^ DELETES;
        let hits = control | (delete.wrapping_sub(LOW) & !delete & HIGH);
        if hits == 0 {
            run += 8;
            continue;
        }
        run += (hits.trailing_zeros() / 8) as usize;
        if bytes.get(run) != Some(&b'\t') {
            return run;
        }
        run += 1;
    }
    run + VALUE.run(bytes.get(run..).unwrap_or_default())
}

/// Without the optional whitespace around it (RFC 9110 §5.6.3).
pub(super) const fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_run_stops_where_the_class_ends_at_any_offset() {
        for octet in 0..=255_u8 {
            for before in 0..20 {
                let mut bytes = vec![b'a'; before];
                bytes.push(octet);
                bytes.extend_from_slice(b"bcdefghij");
                let expected = if VALUE.has(octet) { bytes.len() } else { before };
                assert_eq!(value_run(&bytes), expected, "{octet:#x} after {before}");
            }
        }
    }

    #[test]
    fn value_run_passes_tabs_in_any_place() {
        for place in 0..24 {
            let mut bytes = [b'a'; 24];
            bytes[place] = b'\t';
            assert_eq!(value_run(&bytes), 24);
            bytes[23] = b'\r';
            assert_eq!(value_run(&bytes), 23);
        }
    }

    #[test]
    fn trim_takes_only_spaces_and_tabs() {
        for (value, trimmed) in
            [(&b" \t a b\t "[..], &b"a b"[..]), (b"", b""), (b" \t", b""), (b"\x0ba", b"\x0ba")]
        {
            assert_eq!(trim(value), trimmed);
        }
    }
}
