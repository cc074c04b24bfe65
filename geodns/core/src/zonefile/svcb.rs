//! The parameters of SVCB and HTTPS records.
//!
//! In: `key=value` tokens, or wire data. Out: wire data, or what is wrong with it.
//! Always holds: keys ascend and none stands twice; what RFC 9460 demands of one key with regard to
//! another holds, so that no client has to reject the record.
//!
//! RFC 9460 §2, §7, §8 and appendix A; RFC 9461 §5 (dohpath), RFC 9540 §4 (ohttp).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::wire::{cursor::Cursor, name::NameRef, text::unescape};

use super::{
    data::{Unfit, push_text, unfit},
    field::{Fields, Wrong, base64, base64_text, decimal, escape},
    lexer::Token,
    print::quoted,
};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// Never a key (RFC 9460 §14.3.2).
const INVALID: u16 = 65_535;

const NAMES: [(&str, u16); 9] = [
    ("mandatory", MANDATORY),
    ("alpn", ALPN),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", PORT),
    ("ipv4hint", IPV4HINT),
    ("ech", ECH),
    ("ipv6hint", IPV6HINT),
    ("dohpath", DOHPATH),
    ("ohttp", OHTTP),
];

/// Reads parameters to the end of the record and appends them in the order of their keys.
pub(super) fn read(fields: &mut Fields<'_, '_>, data: &mut Vec<u8>) -> Result<(), Wrong> {
    let mut params = BTreeMap::new();
    while let Some(token) = fields.optional() {
        let (name, value) = split(token)?;
        let key = key(name).ok_or_else(|| Wrong::not(token, keys_allowed()))?;
        let generic = name.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(b"key"));
        let value = if generic { value } else { encode(key, &value, token)? };
        if u16::try_from(value.len()).is_err() {
            return Err(Wrong::not(token, "a value of at most 65535 bytes"));
        }
        if params.insert(key, value).is_some() {
            return Err(Wrong::not(token, "each key once"));
        }
    }
    for (key, value) in params {
        data.extend(key.to_be_bytes());
        data.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        data.extend(value);
    }
    Ok(())
}

/// A key's name, and its value with the escapes of a character string resolved.
fn split<'t>(token: &Token<'t>) -> Result<(&'t [u8], Vec<u8>), Wrong> {
    let equals = token.raw.iter().position(|byte| *byte == b'=');
    let (name, value) =
        token.raw.split_at_checked(equals.unwrap_or(token.raw.len())).unwrap_or_default();
    let value = value.strip_prefix(b"=").unwrap_or(value);
    if token.quoted {
        return Err(Wrong::not(token, "key=value; only the value may stand in quotes"));
    }
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let value = unescape(inner.unwrap_or(value)).map_err(|error| escape(token, error))?;
    Ok((name, value))
}

fn key(name: &[u8]) -> Option<u16> {
    let known = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
    if let Some((_, key)) = known {
        return Some(*key);
    }
    let (head, digits) = name.split_at_checked(3)?;
    // RFC 9460 §2.1: no leading zeros.
    let plain = digits == b"0" || !digits.starts_with(b"0");
    let key = decimal(digits).filter(|key| *key != INVALID)?;
    (head.eq_ignore_ascii_case(b"key") && plain).then_some(key)
}

fn keys_allowed() -> String {
    let names = NAMES.map(|(name, _)| name).join(", ");
    format!("{names}, or key0 to key65534")
}

/// The wire form of a value.
fn encode(key: u16, value: &[u8], token: &Token<'_>) -> Result<Vec<u8>, Wrong> {
    let (encoded, allowed) = match key {
        MANDATORY => (list(value, |name| self::key(name).map(u16::to_be_bytes)), "names of keys"),
        ALPN => (alpn(value), "protocols such as h2,h3"),
        NO_DEFAULT_ALPN | OHTTP => (value.is_empty().then(Vec::new), "no value"),
        PORT => {
            (decimal(value).map(|port: u16| port.to_be_bytes().to_vec()), "a port from 0 to 65535")
        }
        IPV4HINT => {
            let octets = |text: &[u8]| parse(text).map(|address: Ipv4Addr| address.octets());
            (list(value, octets), "IPv4 addresses between commas")
        }
        IPV6HINT => {
            let octets = |text: &[u8]| parse(text).map(|address: Ipv6Addr| address.octets());
            (list(value, octets), "IPv6 addresses between commas")
        }
        ECH => (base64(value), "base64"),
        _ => ((!value.is_empty()).then(|| value.to_vec()), "a value"),
    };
    let mut encoded = encoded.ok_or_else(|| Wrong::not(token, allowed))?;
    if key == MANDATORY {
        // RFC 9460 §8: ascending on the wire, in any order as typed.
        let mut keys: Vec<[u8; 2]> = encoded.as_chunks().0.to_vec();
        keys.sort_unstable();
        encoded = keys.concat();
    }
    Ok(encoded)
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Items between commas, without escapes.
fn list<const N: usize>(value: &[u8], item: impl Fn(&[u8]) -> Option<[u8; N]>) -> Option<Vec<u8>> {
    let items: Option<Vec<[u8; N]>> = value.split(|byte| *byte == b',').map(item).collect();
    items.map(|items| items.concat())
}

/// Protocols between commas, where a backslash takes a comma or itself literally
/// (RFC 9460 appendix A.1).
fn alpn(value: &[u8]) -> Option<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => {
                let escaped = bytes.next().filter(|byte| matches!(byte, b',' | b'\\'))?;
                items.last_mut()?.push(*escaped);
            }
            _ => items.last_mut()?.push(*byte),
        }
    }
    if items.iter().any(|item| item.is_empty() || item.len() > 255) {
        return None;
    }
    let mut encoded = Vec::new();
    for item in &items {
        push_text(&mut encoded, item);
    }
    Some(encoded)
}

/// The parameters of wire data as text, a token each.
pub(super) fn print(params: &[u8]) -> Option<Vec<String>> {
    let params = take_apart(params).ok()?;
    let text = |(key, value): (u16, &[u8])| match text(key, value) {
        Some(text) if text.is_empty() => key_name(key),
        Some(text) => format!("{}={text}", key_name(key)),
        None if value.is_empty() => format!("key{key}"),
        None => format!("key{key}={}", plain(value)),
    };
    Some(params.into_iter().map(text).collect())
}

/// A value as its key writes it; nothing for a key that has no form of its own, or another value.
fn text(key: u16, value: &[u8]) -> Option<String> {
    if !value_fits(key, value) {
        return None;
    }
    let between_commas = |items: Vec<String>| items.join(",");
    Some(match key {
        MANDATORY => between_commas(key_list(value).map(key_name).collect()),
        ALPN => plain(&alpn_text(value)?),
        NO_DEFAULT_ALPN | OHTTP => String::new(),
        PORT => Cursor::new(value).u16()?.to_string(),
        IPV4HINT => between_commas(each(value, |octets| Ipv4Addr::from(octets).to_string())),
        IPV6HINT => between_commas(each(value, |octets| Ipv6Addr::from(octets).to_string())),
        ECH => base64_text(value),
        DOHPATH => plain(value),
        _ => return None,
    })
}

fn key_name(key: u16) -> String {
    let name = NAMES.iter().find(|(_, known)| *known == key);
    name.map_or_else(|| format!("key{key}"), |(name, _)| (*name).to_owned())
}

fn each<const N: usize>(value: &[u8], text: impl Fn([u8; N]) -> String) -> Vec<String> {
    value.as_chunks().0.iter().map(|octets| text(*octets)).collect()
}

/// Protocols between commas, the escapes of [`alpn`] put in.
fn alpn_text(mut value: &[u8]) -> Option<Vec<u8>> {
    let mut items = Vec::new();
    while let Some((length, rest)) = value.split_first() {
        let (item, rest) = rest.split_at_checked(usize::from(*length))?;
        let escaped = item.iter().flat_map(|byte| {
            let escape = matches!(byte, b',' | b'\\').then_some(b'\\');
            escape.into_iter().chain([*byte])
        });
        items.push(escaped.collect::<Vec<u8>>());
        value = rest;
    }
    Some(items.join(&b','))
}

/// A character string, in quotes only where it needs them.
fn plain(value: &[u8]) -> String {
    let is_plain =
        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b';' | b'(' | b')');
    match std::str::from_utf8(value) {
        Ok(text) if !value.is_empty() && value.iter().all(is_plain) => text.to_owned(),
        _ => quoted(value),
    }
}

/// Checks the wire data of a whole record.
pub(super) fn check(data: &[u8]) -> Result<(), Unfit> {
    let mut cursor = Cursor::new(data);
    let priority = cursor.u16().unwrap_or_default();
    let params = match NameRef::read(cursor.rest()) {
        Ok((_, params)) => params,
        Err(error) => return Err(unfit(error.to_string(), "a domain name")),
    };
    if priority == 0 && !params.is_empty() {
        return Err(unfit("parameters in alias mode (priority 0)", "none (RFC 9460 §2.4.2)"));
    }
    let params = take_apart(params)?;
    for (key, value) in &params {
        if !value_fits(*key, value) {
            let what = format!("the value of {} is malformed", key_name(*key));
            return Err(unfit(what, "see RFC 9460 §7"));
        }
    }
    if params.contains_key(&NO_DEFAULT_ALPN) && !params.contains_key(&ALPN) {
        return Err(unfit("no-default-alpn without alpn", "both (RFC 9460 §7.1.1)"));
    }
    let mandatory = params.get(&MANDATORY).copied().unwrap_or_default();
    match key_list(mandatory).find(|key| !params.contains_key(key)) {
        None => Ok(()),
        Some(absent) => Err(unfit(
            format!("key{absent} is mandatory but absent"),
            "only keys that stand in the record (RFC 9460 §8)",
        )),
    }
}

fn take_apart(params: &[u8]) -> Result<BTreeMap<u16, &[u8]>, Unfit> {
    let mut cursor = Cursor::new(params);
    let mut found = BTreeMap::new();
    while !cursor.is_empty() {
        let next = cursor.u16().zip(cursor.u16());
        let next = next.and_then(|(key, length)| Some((key, cursor.take(length.into())?)));
        let Some((key, value)) = next else {
            return Err(unfit("a parameter is cut", "a key, a length, and as many bytes"));
        };
        let last = found.last_key_value().map(|(last, _)| *last);
        if last.is_some_and(|last| last >= key) || key == INVALID {
            return Err(unfit("keys that do not ascend", "ascending keys below 65535, each once"));
        }
        found.insert(key, value);
    }
    Ok(found)
}

fn key_list(value: &[u8]) -> impl Iterator<Item = u16> {
    value.as_chunks().0.iter().map(|key| u16::from_be_bytes(*key))
}

fn value_fits(key: u16, value: &[u8]) -> bool {
    match key {
        MANDATORY => {
            let ascend = key_list(value).zip(key_list(value).skip(1)).all(|(a, b)| a < b);
            whole(value, 2) && ascend && !key_list(value).any(|key| key == MANDATORY)
        }
        ALPN => {
            let mut cursor = Cursor::new(value);
            let mut item = || {
                let length = cursor.u8().filter(|length| *length > 0)?;
                cursor.take(length.into()).map(|_| cursor.is_empty())
            };
            loop {
                match item() {
                    None => return false,
                    Some(true) => return true,
                    Some(false) => {}
                }
            }
        }
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => whole(value, 4),
        IPV6HINT => whole(value, 16),
        ECH | DOHPATH => !value.is_empty(),
        _ => true,
    }
}

/// At least one item of so many bytes, and nothing else.
const fn whole(value: &[u8], bytes: usize) -> bool {
    !value.is_empty() && value.len().is_multiple_of(bytes)
}
