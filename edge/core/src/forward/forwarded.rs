//! Forwarded: who a request came from (RFC 7239 §4).
//!
//! In: an address, a host, a scheme; or a value as received. Out: one element; or whether the
//! value is a list, so that something can be added to it; or the scheme that its last element says.
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

/// Whether no element of a list says another `proto` than `scheme`; what cannot be read may.
pub(super) fn is_all_of(value: &[u8], scheme: &[u8]) -> bool {
    let mut rest = value;
    loop {
        rest = rest.trim_ascii_start();
        rest = match rest.split_first() {
            None => return true,
            Some((b',' | b';', after)) => after,
            Some(_) => match proto_of_pair(rest) {
                Some((said, after)) if said.is_none_or(|it| it.eq_ignore_ascii_case(scheme)) => {
                    after
                }
                Some(_) | None => return false,
            },
        };
    }
}

/// The value of the pair that `rest` begins with, if its name is `proto`, and what comes after it.
fn proto_of_pair(rest: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let after = pair(rest)?;
    let read = rest.get(..rest.len().saturating_sub(after.len()))?;
    let (name, value) = read.split_at(read.iter().position(|octet| *octet == b'=')?);
    let is_proto = name.eq_ignore_ascii_case(b"proto");
    Some((if is_proto { value.get(1..).map(unquoted) } else { None }, after))
}

/// A scheme needs no quoted pair, so only the quotes go.
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
