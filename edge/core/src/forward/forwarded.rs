//! Forwarded: who a request came from (RFC 7239 §4).
//!
//! In: an address, a host, a scheme; or a value as received. Out: one element; or whether the
//! value is a list, so that something can be added to it; or the scheme that its last element says;
//! or the list without what contradicts a host and a scheme.
//! Always holds: an element is one whatever the host contains.

use std::net::IpAddr;

use super::cdn_loop::pair;
use crate::outcome::is_tchar;

/// `for=…;host=…;proto=…`; `by` would say something about our inside.
pub(super) fn element(address: IpAddr, host: &str, proto: &str) -> String {
    // An IPv6 address stands in brackets, and these in quotes (RFC 7239 §6).
    let mut element = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    if !host.is_empty() {
        element.push_str(";host=");
        push_value(&mut element, host);
    }
    element.push_str(";proto=");
    element.push_str(proto);
    element
}

/// A token as it is, anything else as a quoted-string (RFC 9110 §5.6.4).
fn push_value(element: &mut String, value: &str) {
    if value.bytes().all(is_tchar) {
        element.push_str(value);
        return;
    }
    element.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            element.push('\\');
        }
        element.push(c);
    }
    element.push('"');
}

/// The `proto` of the last element of a list, if it says one (RFC 7239 §5.4).
pub(super) fn last_proto(value: &[u8]) -> Option<&[u8]> {
    let mut rest = value;
    let mut proto = None;
    loop {
        rest = rest.trim_ascii_start();
        rest = match rest.split_first() {
            None => return proto,
            Some((b';', after)) => after,
            Some((b',', after)) => {
                // Empty elements are no elements (RFC 9110 §5.6.1.2).
                if !after.iter().all(|octet| matches!(octet, b',' | b' ' | b'\t')) {
                    proto = None;
                }
                after
            }
            Some(_) => {
                let (said, after) = proto_of_pair(rest)?;
                proto = said.or(proto);
                after
            }
        };
    }
}

/// A list without the pairs that say another `host` or `proto`; nothing, if it has none of these.
pub(super) fn agreeing(value: &[u8], host: &str, proto: &str) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let mut agrees = true;
    let mut separator: &[u8] = b"";
    let mut rest = value;
    loop {
        rest = rest.trim_ascii_start();
        rest = match rest.split_first() {
            None => return (!agrees).then_some(kept),
            Some((b';', after)) => after,
            Some((b',', after)) => {
                separator = if kept.is_empty() { b"" } else { b", " };
                after
            }
            Some(_) => {
                // Whoever is no list says nothing that could be kept.
                let Some(after) = pair(rest) else { return Some(kept) };
                let whole = rest.get(..rest.len().saturating_sub(after.len())).unwrap_or(rest);
                if says_of(whole, b"host").is_none_or(|it| it.eq_ignore_ascii_case(host.as_bytes()))
                    && says_of(whole, b"proto")
                        .is_none_or(|it| it.eq_ignore_ascii_case(proto.as_bytes()))
                {
                    kept.extend_from_slice(separator);
                    kept.extend_from_slice(whole);
                    separator = b";";
                } else {
                    agrees = false;
                }
                after
            }
        };
    }
}

/// The value of the pair that `rest` begins with, if its name is `proto`, and what comes after it.
fn proto_of_pair(rest: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let after = pair(rest)?;
    let read = rest.get(..rest.len().saturating_sub(after.len()))?;
    Some((says_of(read, b"proto"), after))
}

/// The value of a pair of this name.
fn says_of<'p>(pair: &'p [u8], wanted: &[u8]) -> Option<&'p [u8]> {
    let (name, value) = pair.split_at(pair.iter().position(|octet| *octet == b'=')?);
    let value = value.get(1..)?;
    name.eq_ignore_ascii_case(wanted).then(|| unquoted(value))
}

/// A scheme and a host need no quoted pair, so only the quotes go.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// Whether a value is a list of elements; white space around `;` is tolerated.
pub(super) fn is_list(value: &[u8]) -> bool {
    let mut rest = value;
    loop {
        rest = rest.trim_ascii_start();
        rest = match rest.split_first() {
            None => return true,
            Some((b',' | b';', after)) => after,
            Some(_) => match pair(rest).map(<[u8]>::trim_ascii_start) {
                // A pair ends where the value, its element or the pair itself is said to end.
                Some(after) if matches!(after.first(), None | Some(b',' | b';')) => after,
                _ => return false,
            },
        };
    }
}
